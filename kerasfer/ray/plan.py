"""What is done in which shard: written down once, before the first photo is recognized, and kept.

A shard is a part of the list of entries; its rows become one Parquet file, `shard-00000.parquet` and so on. The list is
kept in `_plan` beside them, in Parquet files of which each row group is a shard, so that whoever does a shard reads no
more than that. What was asked for is in `_plan/plan.json`, which is written last.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerasfer.files import name_of_text, text_of_name
from kerasfer.ray.places import BulkError, Folder
from kerasfer.ray.sources import PHOTO, TAR, VIDEO, Entry

__all__ = ["Plan", "is_shard_name", "read_plan", "require_columns", "shard_name", "shards_of", "write_plan"]

FORMAT = 1

PART = 200
"""Shards whose lists are in one file."""

_FIELDS = ("kind", "path", "size", "start", "end", "first", "frames")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        asked: what decides the rows: sources, model and so on.
        columns: names of the columns of every shard.
        shards: how many there are.
        counts: number of photos, segments of videos, and archives.
        left_out: how many files of the sources were left out, by their ending or by the reason.
    """

    asked: dict[str, Any]
    columns: tuple[str, ...]
    shards: int
    counts: dict[str, int]
    left_out: dict[str, int]

    def entries(self, folder: Folder, shard: int) -> list[Entry]:
        """The list of one shard."""
        import pyarrow.parquet

        name = _part_name(shard // PART)
        try:
            with folder.open(name) as file:
                group = pyarrow.parquet.ParquetFile(file).read_row_group(shard % PART)
        except (OSError, IndexError, ValueError) as error:
            raise BulkError(f"{folder}/{name}: cannot be read ({error}); remove {folder} and begin again") from error
        return [_entry(row) for row in group.to_pylist()]

    def to_json(self) -> bytes:
        """The plan as it is kept."""
        return (json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n").encode()


def shard_name(shard: int) -> str:
    """Name of a shard's file."""
    return f"shard-{shard:05}.parquet"


def is_shard_name(name: str) -> bool:
    """Whether a file of that name is a shard's."""
    return re.fullmatch(r"shard-\d{5,}\.parquet", name) is not None


def _part_name(part: int) -> str:
    return f"_plan/entries-{part:05}.parquet"


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(**{**{name: row[name] for name in _FIELDS}, "path": name_of_text(row["path"])})


def shards_of(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Cuts a list of entries into shards of `size` photos or frames; an archive is one of its own.

    Args:
        entries: what `sources.entries` gives.
        size: photos, or frames of videos, in a shard.
    """
    shard: list[Entry] = []
    weight = 0
    for entry in entries:
        if entry.kind == TAR:
            if shard:
                yield shard
            yield [entry]
            shard, weight = [], 0
            continue
        shard.append(entry)
        weight += max(entry.frames, 1)
        if weight >= size:
            yield shard
            shard, weight = [], 0
    if shard:
        yield shard


def write_plan(
    folder: Folder,
    entries: Iterable[Entry],
    size: int,
    asked: Mapping[str, Any],
    columns_of: Any,
    left_out: collections.Counter[str],
) -> Plan:
    """Writes down what is to be done.

    Args:
        folder: where the results come.
        entries: what `sources.entries` gives; it is read once, and never all of it is in memory.
        size: photos in a shard.
        asked: what decides the rows.
        columns_of: gives the names of the columns, told whether there are videos.
        left_out: what `sources.entries` counts, when it is through.

    Raises:
        BulkError: an entry is in the list twice, or the plan cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [
            ("kind", pyarrow.int8()),
            ("path", pyarrow.string()),
            ("size", pyarrow.int64()),
            ("start", pyarrow.float64()),
            ("end", pyarrow.float64()),
            ("first", pyarrow.int64()),
            ("frames", pyarrow.int64()),
        ]
    )
    hashes = array.array("Q")
    kinds: collections.Counter[int] = collections.Counter()
    shards = 0
    buffer, writer = io.BytesIO(), None
    for shard in shards_of(entries, size):
        if writer is None:
            buffer = io.BytesIO()
            writer = pyarrow.parquet.ParquetWriter(buffer, schema, compression="zstd")
        rows: dict[str, list[Any]] = {name: [getattr(entry, name) for entry in shard] for name in _FIELDS}
        rows["path"] = [text_of_name(path) for path in rows["path"]]
        writer.write_table(pyarrow.table(rows, schema), row_group_size=len(shard))
        for entry in shard:
            hashes.append(_hash(entry))
            kinds[entry.kind] += 1
        shards += 1
        if shards % PART == 0:
            writer.close()
            folder.write(_part_name(shards // PART - 1), buffer.getvalue())
            writer = None
    if writer is not None:
        writer.close()
        folder.write(_part_name(shards // PART), buffer.getvalue())
    counts = {"photos": kinds[PHOTO], "segments": kinds[VIDEO], "archives": kinds[TAR]}
    plan = Plan(dict(asked), tuple(columns_of(kinds[VIDEO] > 0)), shards, counts, dict(left_out))
    _require_once(plan, folder, hashes)
    folder.write("_plan/plan.json", plan.to_json())
    return plan


def _hash(entry: Entry) -> int:
    content = f"{entry.path}\0{entry.start!r}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _require_once(plan: Plan, folder: Folder, hashes: array.array) -> None:
    """Raises `BulkError` if an entry is in the list twice. A path takes eight bytes of memory."""
    values = np.frombuffer(hashes, np.uint64).copy()
    values.sort()
    doubled = set(values[1:][values[1:] == values[:-1]].tolist())
    if not doubled:
        return
    seen: dict[tuple[str, float], int] = {}
    number = 0
    for shard in range(plan.shards):
        for entry in plan.entries(folder, shard):
            number += 1
            if _hash(entry) not in doubled:
                continue
            first = seen.setdefault((entry.path, entry.start), number)
            if first != number:
                raise BulkError(
                    f"{entry.path}: is listed twice, as entries {first} and {number}; take one out of the sources"
                )


def read_plan(folder: Folder, asked: Mapping[str, Any]) -> Plan | None:
    """The plan that an earlier run of the same command wrote down, or None if there is none.

    Raises:
        BulkError: it was another command, or the plan is damaged.
    """
    content = folder.read("_plan/plan.json")
    if content is None:
        return None
    try:
        told = json.loads(content)
        if told.pop("format") != FORMAT:
            raise ValueError("another format")
        plan = Plan(**{**told, "columns": tuple(told["columns"])})
    except (ValueError, KeyError, TypeError) as error:
        raise BulkError(f"{folder}/_plan/plan.json: is damaged ({error}); remove {folder} and begin again") from error
    # As JSON gives it back, where tuples are lists.
    wanted = json.loads(json.dumps(dict(asked)))
    for name in dict.fromkeys((*plan.asked, *wanted)):
        before, now = plan.asked.get(name), wanted.get(name)
        if before != now and not (before is now is None):
            raise BulkError(
                f"{folder}: was begun with {name.replace('_', ' ')} {_shown(before)}, not {_shown(now)}; "
                "give the same again, or another folder for the results"
            )
    return plan


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def require_columns(names: Sequence[str], plan: Plan, place: str) -> None:
    """Raises `BulkError` if a shard that is there has other columns than the plan says."""
    if tuple(names) != plan.columns:
        odd = sorted(set(names) ^ set(plan.columns)) or ["their order"]
        raise BulkError(
            f"{place}: has other columns than the rest ({', '.join(odd)}); remove it and run the same command again"
        )

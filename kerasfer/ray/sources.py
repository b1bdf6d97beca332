"""What is to be recognized: folders, patterns, manifests and archives, as one list of entries, never all in memory."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import functools
import glob
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from kerasfer import folders
from kerasfer.files import name_of_text
from kerasfer.ray.places import (
    BulkError,
    Refused,
    Unreachable,
    asked_of,
    is_remote,
    is_web,
    local_path,
    open_binary,
    protocol_of,
    store_of,
)

__all__ = ["ARCHIVES", "MANIFESTS", "PHOTO", "TAR", "VIDEO", "Entry", "entries", "is_archive"]

PHOTO, VIDEO, TAR = 0, 1, 2

MANIFESTS = (".csv", ".parquet", ".pq")
"""Endings of the files that list photos, in a column named "path"."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Endings of WebDataset's archives."""

_HEAD = 1024
_COLUMN = "path"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A photo, a video or a part of one, or an archive.

    Attributes:
        kind: `PHOTO`, `VIDEO` or `TAR`.
        path: a path or an address.
        size: bytes, -1 if not known.
        start, end: of a part of a video: seconds, from a key frame to before another; the last part has no end (inf).
        first: number of its first frame.
        frames: how many frames there are in it.
    """

    kind: int
    path: str
    size: int = -1
    start: float = 0.0
    end: float = float("inf")
    first: int = 0
    frames: int = 0


def is_archive(name: str) -> bool:
    """Whether a name ends like a WebDataset archive's."""
    return name.lower().endswith(ARCHIVES)


def entries(sources: Sequence[str], options: Mapping[str, Any], left_out: collections.Counter[str]) -> Iterator[Entry]:
    """What the sources hold, one after the other, in an order that is the same each time.

    Args:
        sources: paths or addresses of photos, videos, archives, manifests and folders, or patterns of these.
        options: for fsspec.
        left_out: is told of files that are left out, by their ending or by the reason.

    Raises:
        BulkError: a source holds nothing, cannot be read, or is a manifest with a row that names no photo.
    """
    for source in sources:
        if not source:
            raise BulkError("an empty source; name a folder, a pattern, a manifest, an archive or photos")
        count = 0
        try:
            for entry in _of_source(source, options, left_out):
                count += 1
                yield entry
        except (Refused, Unreachable) as error:
            raise BulkError(str(error)) from error
        if not count:
            others = folders.Listing((), (), dict(left_out)).remark()
            raise BulkError(f"{source}: holds no photos, videos or archives{'; ' + others if others else ''}")


def _of_source(source: str, options: Mapping[str, Any], left_out: collections.Counter[str]) -> Iterator[Entry]:
    if source.lower().endswith(MANIFESTS):
        yield from _of_manifest(source, options)
    elif is_remote(source):
        yield from _of_store(source, options, left_out)
    else:
        yield from _of_disk(local_path(source), left_out)


def _named(path: str, size: int = -1) -> Entry:
    """What one file is, by the ending of its name."""
    if is_archive(path):
        return Entry(TAR, path, size)
    suffix = PurePosixPath(path).suffix.lower()
    return Entry(VIDEO if suffix in folders.VIDEO_SUFFIXES else PHOTO, path, size)


def _of_disk(source: str, left_out: collections.Counter[str]) -> Iterator[Entry]:
    if os.path.isdir(source):
        names, others = folders.files_below(source)

        def head_of(name: str) -> bytes:
            try:
                with open(os.path.join(source, name), "rb") as file:
                    return file.read(_HEAD)
            except OSError:
                return b""

        yield from _sorted_out(names, lambda name: os.path.join(source, name), head_of, others, left_out)
    elif glob.has_magic(source) and not os.path.lexists(source):
        for match in sorted(glob.iglob(source, recursive=True)):
            if os.path.isfile(match):
                yield from _of_disk_file(match)
    else:
        yield from _of_disk_file(source)


def _of_disk_file(path: str) -> Iterator[Entry]:
    if path.lower().endswith(MANIFESTS):
        yield from _of_manifest(path, {})
    elif is_archive(path):
        yield Entry(TAR, path)
    else:
        yield Entry(VIDEO if folders.kind_of(path) == "video" else PHOTO, path)


def _sorted_out(
    names: Iterable[str], path_of: Any, head_of: Any, others: Mapping[str, int], left_out: collections.Counter[str]
) -> Iterator[Entry]:
    """Of the files below a folder: the photos, the videos, the archives."""
    archives = [name for name in names if is_archive(name) and not folders.is_system(name)]
    taken = set(archives)
    found = folders.sorted_out((name for name in names if name not in taken), head_of, dict(others))
    left_out.update(found.left_out)
    for kind, kept in ((PHOTO, found.photos), (VIDEO, found.videos), (TAR, archives)):
        for name in kept:
            yield Entry(kind, path_of(name))


def _of_store(source: str, options: Mapping[str, Any], left_out: collections.Counter[str]) -> Iterator[Entry]:
    if is_web(source):
        # The web has no folders.
        yield _named(source)
        return
    store = store_of(source, options)
    begin = f"{protocol_of(source)}://"
    if re.search(r"[*?\[]", source):
        found = _asked(lambda: store.glob(source, detail=True), source)
        for name in sorted(found):
            if found[name].get("type") != "directory":
                yield from _of_store_file(f"{begin}{name.lstrip('/')}", found[name].get("size"), options)
        return
    root = store._strip_protocol(source).rstrip("/")
    try:
        state = asked_of(lambda: store.info(source), source)
    except FileNotFoundError:
        raise BulkError(f"{source}: no such file or folder; check the address") from None
    if state.get("type") != "directory":
        yield from _of_store_file(source, state.get("size"), options)
        return
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        listed = _asked(functools.partial(store.ls, folder, detail=True), source)
        sizes, inner = {}, []
        for state in listed:
            # Some stores keep an object of a folder's own name, which is none of its files.
            name = state["name"].rstrip("/")
            if name == folder or state["name"].endswith("/") and state.get("type") != "directory":
                continue
            below = name[len(root) :].lstrip("/")
            if state.get("type") != "directory":
                sizes[below] = state.get("size")
            elif folders.is_system(below):
                left_out["hidden or a system's folders"] += 1
            else:
                inner.append(name)
        waiting += sorted(inner, reverse=True)

        def head_of(name: str) -> bytes:
            return _asked(lambda: store.cat_file(f"{root}/{name}", start=0, end=_HEAD), source)

        for entry in _sorted_out(sorted(sizes), str, head_of, {}, left_out):
            size = sizes[entry.path]
            path = f"{begin}{root.lstrip('/')}/{entry.path}"
            yield dataclasses.replace(entry, path=path, size=-1 if size is None else size)


def _of_store_file(address: str, size: int | None, options: Mapping[str, Any]) -> Iterator[Entry]:
    if address.lower().endswith(MANIFESTS):
        yield from _of_manifest(address, options)
    else:
        yield _named(address, -1 if size is None else size)


def _asked(ask: Any, source: str) -> Any:
    """What a store answers while it is searched."""
    try:
        return asked_of(ask, source)
    except (OSError, ValueError) as error:
        raise BulkError(f"{source}: cannot be searched ({' '.join(str(error).split())}); check the address") from error


# -- manifests ---------------------------------------------------------------------------------------------------------


def _of_manifest(manifest: str, options: Mapping[str, Any]) -> Iterator[Entry]:
    """The entries that a CSV or Parquet file lists; names without a folder are beside the file."""
    base = manifest.rpartition("/")[0]
    read = _of_csv if manifest.lower().endswith(".csv") else _of_parquet
    for number, path in read(manifest, options):
        if path is None or not str(path).strip():
            raise BulkError(f"{manifest}: row {number} names no photo; fill its {_COLUMN} in, or take the row out")
        path = name_of_text(str(path))
        if not is_remote(path) and not os.path.isabs(local_path(path)):
            path = f"{base}/{path}" if base else path
        yield _named(path if is_remote(path) else local_path(path))


def _of_csv(manifest: str, options: Mapping[str, Any]) -> Iterator[tuple[int, str | None]]:
    with _opened(manifest, options) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        lines = csv.reader(text, strict=True)
        try:
            heading = next(lines, [])
            if _COLUMN not in heading:
                names = ", ".join(heading) or "nothing"
                raise BulkError(f"{manifest}: has no column {_COLUMN}, but {names}; name it so")
            place = heading.index(_COLUMN)
            for number, row in enumerate(lines, 2):
                if row:
                    yield number, row[place] if len(row) > place else None
        except csv.Error as error:
            raise BulkError(f"{manifest}: is no CSV file ({error}); write it again") from error


def _of_parquet(manifest: str, options: Mapping[str, Any]) -> Iterator[tuple[int, str | None]]:
    import pyarrow
    import pyarrow.parquet

    with _opened(manifest, options) as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
            if _COLUMN not in table.schema_arrow.names:
                names = ", ".join(table.schema_arrow.names) or "nothing"
                raise BulkError(f"{manifest}: has no column {_COLUMN}, but {names}; name it so")
            number = 0
            for batch in table.iter_batches(10_000, columns=[_COLUMN]):
                for path in batch.column(0).to_pylist():
                    number += 1
                    yield number, path
        except pyarrow.ArrowException as error:
            raise BulkError(f"{manifest}: is no Parquet file ({error}); write it again") from error


@contextlib.contextmanager
def _opened(manifest: str, options: Mapping[str, Any]) -> Iterator[Any]:
    try:
        opened = open_binary(manifest, options)
        file = opened.__enter__()
    except FileNotFoundError as error:
        raise BulkError(f"{manifest}: no such file; check the path") from error
    except OSError as error:
        raise BulkError(f"{manifest}: cannot be read ({error.strerror or error}); check its permissions") from error
    try:
        yield file
    finally:
        opened.__exit__(None, None, None)

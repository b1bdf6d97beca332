"""One shard: its photos are read, recognized, and their rows written as one file.

Everything that decides a row is `kerasfer.recognition`'s. A photo on a disk is read by it; of one in a store it is
given the content, which threads fetch while others are recognized, never more than `AHEAD` in advance.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kerasfer import folders, images
from kerasfer.files import text_of_name
from kerasfer.ray.counts import Asked, Counts, count_error
from kerasfer.ray.guard import Guard
from kerasfer.ray.places import MOST_CONTENT, BulkError, Folder, Refused, Unreachable, fetch, is_remote, open_binary
from kerasfer.ray.plan import Plan, require_columns, shard_name
from kerasfer.ray.segments import name_of_part, segment_rows
from kerasfer.ray.sources import PHOTO, TAR, Entry
from kerasfer.recognition import FaceClassifier, PhotoResult, recognize_each
from kerasfer.rows import Row, columns, face_row, photo_rows, schema

__all__ = ["STOPS", "Recognizer", "counts_of", "do_shard", "named_photos", "table_columns", "text_of"]

FETCHERS = 8
"""Threads that fetch photos from stores, in each process."""

AHEAD = 16
"""Photos from stores that are in a process's memory at a time."""

TOGETHER, MOST_HELD = 32, 64_000_000
"""Photos of an archive that are looked at together, and their bytes."""

_COUNTS = b"kerasfer"


def table_columns(classifier: FaceClassifier, shapes: Sequence[str], videos: bool) -> list[str]:
    """The columns of `kerasfer recognize --parquet`, of photos alone or of photos and videos."""
    first = ["path", "face", *(["frame", "time", "person"] if videos else [])]
    return [*columns(first, classifier.labels, classifier.units, shapes), "error"]


class _Content(io.BytesIO):
    """A photo's content, which results call by its path."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


class _Fetcher:
    """Fetches photos from stores in the order in which they will be asked for, `AHEAD` of them in advance."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._executor: ThreadPoolExecutor | None = None
        self._listed: list[tuple[str, int]] = []
        self._waiting: collections.deque[Future[bytes]] = collections.deque()
        self._begun = 0

    def add(self, address: str, size: int) -> _Fetched:
        """A photo that will be asked for after those that were added before."""
        self._listed.append((address, size))
        return _Fetched(address, self)

    def next(self) -> bytes:
        """The content of the next photo."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(FETCHERS)
        while len(self._waiting) < AHEAD and self._begun < len(self._listed):
            self._waiting.append(self._executor.submit(fetch, *self._listed[self._begun], self._options))
            self._begun += 1
        return self._waiting.popleft().result()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)


class _Fetched:
    """A photo in a store.

    Attributes:
        name: its address.
        error: why it could not be had, if so.
    """

    def __init__(self, name: str, fetcher: _Fetcher) -> None:
        self.name = name
        self.error: str | None = None
        self._fetcher = fetcher

    def read(self, _: int = -1) -> bytes:
        try:
            return self._fetcher.next()
        except FileNotFoundError as error:
            self.error = f"{self.name}: no such file; check the path"
            raise ValueError(self.error) from error
        except ValueError as error:
            self.error = str(error)
            raise


class _Missing:
    """A path on a disk at which there is no file, whatever it looks like otherwise."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: str | None = None

    def read(self, _: int = -1) -> bytes:
        try:
            images.read(self.name)
        except images.ImageError as error:
            self.error = str(error)
            raise
        raise ValueError(f"{self.name}: was not there a moment ago; run the same command again")


class Recognizer:
    """Recognizes photos as `kerasfer recognize` does, with a model that it keeps.

    Args:
        asked: how.
        options: of stores, for fsspec.
    """

    def __init__(self, asked: Asked, options: Mapping[str, Any] | None = None) -> None:
        self.asked = asked
        self.options = dict(options or {})
        self.classifier = FaceClassifier(asked.model, asked.batch_size, asked.action_units, asked.flip, asked.prior)

    def results(self, photos: Sequence[Any]) -> Iterator[PhotoResult]:
        """A result for each photo, in order: a path, an address, an `Entry`, or what `recognize` takes else.

        Raises:
            Refused, Unreachable: a store cannot be read.
        """
        asked, fetcher = self.asked, _Fetcher(self.options)
        sources = [self._source(photo, fetcher) for photo in photos]
        try:
            found = recognize_each(
                sources,
                self.classifier,
                asked.detector or "mediapipe",
                minimum_score=asked.minimum_score,
                workers=1,
                blendshapes=asked.blendshapes,
            )
            for source, result in zip(sources, found, strict=True):
                error = getattr(source, "error", None)
                yield result if error is None else dataclasses.replace(result, error=error)
        finally:
            fetcher.close()

    def _source(self, photo: Any, fetcher: _Fetcher) -> Any:
        """A photo as `recognize_each` takes it, which looks for patterns and folders in paths of nothing."""
        size = photo.size if isinstance(photo, Entry) else -1
        name = photo.path if isinstance(photo, Entry) else photo
        if not isinstance(name, str):
            return name
        if is_remote(name):
            return fetcher.add(name, size)
        return name if os.path.isfile(name) else _Missing(name)


def named_photos(batch: Any) -> list[Any]:
    """The photos of a pyarrow table with a column "path", "bytes" or both."""
    names = batch.column("path").to_pylist() if "path" in batch.column_names else None
    if "bytes" not in batch.column_names:
        return list(names or [])
    contents = batch.column("bytes").to_pylist()
    names = names or [f"image {number}" for number in range(len(contents))]
    return [_Content(name, content or b"") for name, content in zip(names, contents, strict=True)]


# -- a shard -----------------------------------------------------------------------------------------------------------


def do_shard(recognizer: Recognizer, plan: Plan, folder: Folder, shard: int) -> Counts:
    """Recognizes a shard and writes its file, unless another did.

    Raises:
        BulkError: the file cannot be written.
        Refused, Unreachable: a store cannot be read.
    """
    done = counts_of(plan, folder, shard)
    if done is not None:
        return done
    counts, guard = Counts(), Guard(folder, shard)
    rows = _rows(recognizer, plan.entries(folder, shard), counts, guard)
    content = _parquet(rows, plan.columns, counts)
    folder.write(shard_name(shard), content)
    guard.done()
    return counts


def counts_of(plan: Plan, folder: Folder, shard: int) -> Counts | None:
    """What is in a shard's file, or None if there is no file yet.

    Raises:
        BulkError: the file is damaged, or its columns are others than the plan's.
    """
    import pyarrow
    import pyarrow.parquet

    place = f"{folder}/{shard_name(shard)}"
    try:
        with folder.open(shard_name(shard)) as file:
            kept = pyarrow.parquet.read_schema(file)
        counts = Counts(**json.loads(kept.metadata[_COUNTS]))
    except FileNotFoundError:
        return None
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BulkError):
            raise
        raise BulkError(f"{place}: is damaged ({error}); remove that file and run the same command again") from error
    require_columns(kept.names, plan, place)
    return counts


def _parquet(rows: Iterable[Row], names: Sequence[str], counts: Counts) -> bytes:
    """The content of a shard's file. What it counts goes with it, so that a report need not read rows."""
    import pyarrow
    import pyarrow.parquet

    types, tables = schema(names), []
    while chunk := list(itertools.islice(rows, 5000)):
        full = [{name: text_of(row.get(name)) for name in names} for row in chunk]
        tables.append(pyarrow.Table.from_pylist(full, types))
    table = pyarrow.concat_tables(tables) if tables else types.empty_table()
    counts.rows = table.num_rows
    table = table.replace_schema_metadata({_COUNTS: json.dumps(dataclasses.asdict(counts)).encode()})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def text_of(value: Any) -> Any:
    """A value as Parquet holds it: names as valid text."""
    return text_of_name(value) if isinstance(value, str) else value


Results = Callable[[Sequence[Any]], Iterator[PhotoResult]]
"""What recognizes several photos, each an `Entry` or a `_Content`."""


def _rows(recognizer: Recognizer, entries: Sequence[Entry], counts: Counts, guard: Guard) -> Iterator[Row]:
    def one_by_one(photos: Sequence[Any]) -> Iterator[PhotoResult]:
        for found in guard.watched(photos, _name_of, lambda photo: recognizer.results([photo])):
            yield found if isinstance(found, PhotoResult) else PhotoResult(found[0], [], found[1])

    def part(entry: Entry) -> Iterator[Row]:
        return segment_rows(recognizer.asked, recognizer.options, entry, counts)

    results: Results = one_by_one if guard.is_careful else recognizer.results
    for kind, group in itertools.groupby(entries, lambda entry: entry.kind):
        if kind == PHOTO:
            yield from _photo_rows(results(list(group)), counts)
        elif kind == TAR:
            for entry in group:
                yield from _archive_rows(results, recognizer.options, entry, counts)
        elif not guard.is_careful:
            for entry in group:
                yield from part(entry)
        else:
            for found in guard.watched(group, name_of_part, part):
                if isinstance(found, dict):
                    yield found
                else:
                    name, error = found
                    count_error(counts, name, error)
                    yield from photo_rows(name, error, [])


def _name_of(photo: Any) -> str:
    return photo.path if isinstance(photo, Entry) else photo.name


def _photo_rows(results: Iterable[PhotoResult], counts: Counts) -> Iterator[Row]:
    for result in results:
        counts.photos += 1
        counts.faces += len(result.predictions)
        if result.error is not None:
            count_error(counts, result.path, result.error)
        yield from photo_rows(result.path, result.error, [face_row(face) for face in result.predictions])


def _archive_rows(results: Results, options: Mapping[str, Any], entry: Entry, counts: Counts) -> Iterator[Row]:
    """The rows of a tar archive, read from its beginning to its end; photos are called tar://NAME::ARCHIVE."""
    count, held, names = 0, 0, set()
    error: str | None = None
    waiting: list[Any] = []
    left_out: collections.Counter[str] = collections.Counter()
    try:
        with open_binary(entry.path, options) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                kept = folders.sorted_out([member.name], lambda _: b"")
                if not kept.photos:
                    left_out.update(kept.left_out or {"videos in archives": 1})
                    continue
                address = f"tar://{member.name}::{entry.path}"
                if member.name in names:
                    wrong = f"{address}: has the name of an earlier file of the archive; give it another"
                    found = results(waiting) if waiting else ()
                    yield from _photo_rows([*found, PhotoResult(address, [], wrong)], counts)
                    waiting, held = [], 0
                    continue
                names.add(member.name)
                opened = archive.extractfile(member)
                content = opened.read(MOST_CONTENT + 1) if opened is not None else b""
                waiting.append(_Content(address, content))
                count, held = count + 1, held + len(content)
                if len(waiting) >= TOGETHER or held > MOST_HELD:
                    yield from _photo_rows(results(waiting), counts)
                    waiting, held = [], 0
    except FileNotFoundError:
        error = f"{entry.path}: no such file; check the path"
    except (tarfile.TarError, EOFError, zlib.error, OSError) as reason:
        if is_remote(entry.path) and not isinstance(reason, (tarfile.TarError, EOFError, zlib.error)):
            told = f"{entry.path}: cannot be read to its end ({reason}); run the same command again"
            raise Unreachable(told) from reason
        error = f"{entry.path}: the archive is damaged or cut off after {count} photos ({reason}); get it again"
    if waiting:
        yield from _photo_rows(results(waiting), counts)
    for kind, number in left_out.items():
        counts.left_out[kind] = counts.left_out.get(kind, 0) + number
    if error is not None:
        count_error(counts, entry.path, error.replace(f" after {count} photos", ""))
        yield from photo_rows(entry.path, error, [])


STOPS = (BulkError, Refused, Unreachable)
"""What ends a run: nothing that is wrong with one photo."""

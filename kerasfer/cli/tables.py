"""Rows of results in files: CSV, JSON, JSON Lines, Parquet; and the journal from which a video resumes.

Names of files may hold bytes that are no UTF-8. In CSV they stand as they are (read it as UTF-8 with the error handler
"surrogateescape"); in JSON and JSON Lines as Python's surrogates ("\\udce9" is the byte E9), which `os.fsencode` turns
into the bytes again; in Parquet, which holds valid text only, as \\xe9 (`kerasfer.files.name_of_text`).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasfer.files import aside_of, atomic_file, is_stream, put_in_place, text_of_name, unwritable
from kerasfer.rows import Row, columns, face_row, schema

__all__ = [
    "Journal",
    "Row",
    "TableError",
    "Tables",
    "add_options",
    "columns",
    "face_row",
    "require_writable",
    "written",
]

FORMATS = ("csv", "json", "jsonl", "parquet")

CHUNK = 5000
"""Rows that Parquet is written in at once."""


class TableError(ValueError):
    """A table cannot be written; the message says why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each kind of table."""
    parser.add_argument("--csv", metavar="FILE", help="write one line per face as CSV")
    parser.add_argument("--json", metavar="FILE", help="write everything found as one JSON list")
    parser.add_argument("--jsonl", metavar="FILE", help="the same as JSON Lines, one line per photo or frame")
    parser.add_argument("--parquet", metavar="FILE", help="write the columns of --csv as Parquet (needs pyarrow)")


def require_writable(options: argparse.Namespace) -> None:
    """Raises `TableError` if a table is asked for whose folder or whose package is missing."""
    for path in (getattr(options, kind) for kind in FORMATS):
        if path and not Path(path).absolute().parent.is_dir():
            raise TableError(f"{path}: cannot be written (there is no such folder); choose another place")
    if options.parquet:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise TableError(f"--parquet needs pyarrow ({error}); pip install 'pyarrow<20', or take --csv") from error


def written(options: argparse.Namespace) -> list[Path]:
    """The files that tables are asked for in; a stream, such as /dev/stdout, is none."""
    paths = [Path(path) for kind in FORMATS if (path := getattr(options, kind))]
    return [path for path in paths if not is_stream(path)]


class Tables:
    """The files that were asked for. CSV and JSON Lines grow as results come, whatever ends the program.

    A file that is there already is replaced at the end, by what came until then.

    Args:
        options: with the options of `add_options`.
        names: of the columns, for CSV and Parquet.
    """

    def __init__(self, options: argparse.Namespace, names: Sequence[str]) -> None:
        self._options = options
        self._names = tuple(names)
        self._csv: _GrowingFile | None = None
        self._jsonl: _GrowingFile | None = None
        self._begun = False

    def add(self, rows: Iterable[Row], entry: Mapping[str, Any]) -> None:
        """Writes the rows of a photo or of a frame, column -> value, and what JSON Lines holds of it.

        Raises:
            TableError: a file cannot be written; whole lines are in it.
        """
        if not self._begun:
            self._begun = True
            self._csv = _GrowingFile(self._options.csv) if self._options.csv else None
            self._jsonl = _GrowingFile(self._options.jsonl) if self._options.jsonl else None
            if self._csv is not None:
                self._csv.write(_csv_line(self._names))
        if self._csv is not None:
            self._csv.write(b"".join(_csv_line([row.get(name) for name in self._names]) for row in rows))
        if self._jsonl is not None:
            self._jsonl.write(_json(entry) + b"\n")

    def close(self, rows: Callable[[], Iterable[Row]], entries: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Finishes CSV and JSON Lines, and writes JSON and Parquet, one entry in memory at a time.

        Args:
            rows: gives all rows once more.
            entries: gives all that JSON holds once more.

        Raises:
            TableError: a file cannot be written.
        """
        if not self._begun:
            return
        with contextlib.ExitStack() as stack:
            if self._options.parquet:
                stack.callback(self._write_parquet, rows)
            if self._options.json:
                stack.callback(self._write_json, entries)
            for file in (self._jsonl, self._csv):
                if file is not None:
                    stack.callback(file.close)

    def _write_json(self, entries: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        with atomic_file(self._options.json, TableError) as aside, aside.open("wb") as file:
            file.write(b"[")
            for number, entry in enumerate(entries()):
                file.write((b"," if number else b"") + b"\n" + _json(entry))
            file.write(b"\n]\n")

    def _write_parquet(self, rows: Callable[[], Iterable[Row]]) -> None:
        import pyarrow
        import pyarrow.parquet

        types = schema(self._names)
        left = iter(rows())
        with (
            atomic_file(self._options.parquet, TableError) as aside,
            pyarrow.parquet.ParquetWriter(aside, types) as writer,
        ):
            while chunk := list(itertools.islice(left, CHUNK)):
                texts = [{key: _valid(value) for key, value in row.items()} for row in chunk]
                full = [{**dict.fromkeys(self._names), **row} for row in texts]
                writer.write_table(pyarrow.Table.from_pylist(full, types))


def _valid(value: Any) -> Any:
    return text_of_name(value) if isinstance(value, str) else value


def _json(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode()


def _csv_line(values: Iterable[Any]) -> bytes:
    """One line of CSV; what holds a line break of any kind stands in quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return (line.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "surrogateescape")


def _write_all(file: io.FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


class _GrowingFile:
    """A file that whole lines are added to, which are on their way to the disk when `write` returns.

    It has its name from the first line on; where there is a file of that name it stands aside until it is closed.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._aside: Path | None = None
        with self._reported():
            self._is_stream = is_stream(self._path)
            if not self._is_stream and self._path.exists():
                self._aside = aside_of(self._path)
            self._file = (self._aside or self._path).open("wb", buffering=0)
        self._end = 0

    def write(self, lines: bytes) -> None:
        with self._reported():
            try:
                _write_all(self._file, lines)
            except OSError:
                if not self._is_stream:
                    self._file.truncate(self._end)
                raise
            self._end += len(lines)

    def close(self) -> None:
        with self._reported():
            if not self._is_stream:
                os.fsync(self._file.fileno())
            self._file.close()
        if self._aside is not None:
            put_in_place(self._aside, self._path, TableError)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TableError(unwritable(self._path, error)) from error


class Journal:
    """Entries in a file, a line of JSON each, that can be read again while it grows and after it was cut off.

    Args:
        path: the file; None: one without a name, gone when the journal is closed.
        header: what must be the same for the entries of an earlier run to count.

    Attributes:
        count: number of entries.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self._path = path
        first = json.dumps(header).encode() + b"\n"
        with self._reported():
            if path is None:
                self._file = tempfile.TemporaryFile(buffering=0)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("r+b" if path.is_file() else "w+b", buffering=0)
            self._begin, self.count = len(first), 0
            self._end = self._begin
            with self._reader() as file:
                same = file.readline() == first
                while same and (line := file.readline()).endswith(b"\n"):
                    self.count += 1
                    self._end += len(line)
            if not same:
                self._file.seek(0)
                _write_all(self._file, first)
            self._file.truncate(self._end)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._reader() as file:
            place = self._begin
            for _ in range(self.count):
                file.seek(place)
                line = file.readline()
                place += len(line)
                yield json.loads(line)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds an entry, so that it outlives this process; `TableError` if there is no room for it."""
        line = json.dumps(entry).encode() + b"\n"
        with self._reported():
            self._file.seek(self._end)
            _write_all(self._file, line)
            self._end += len(line)
        self.count += 1

    def keep(self, count: int) -> None:
        """Drops all but the first entries."""
        with self._reported(), self._reader() as file:
            file.seek(self._begin)
            self._end = self._begin + sum(len(file.readline()) for _ in range(count))
            self.count = count
            self._file.truncate(self._end)

    def close(self, remove: bool = False) -> None:
        """Closes the file, and removes it if its entries are not needed any more."""
        self._file.close()
        if remove and self._path is not None:
            self._path.unlink(missing_ok=True)

    def _reader(self) -> Any:
        """The file once more, from its beginning."""
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = self._path or os.path.join(tempfile.gettempdir(), "journal")
            raise TableError(unwritable(name, error)) from error

"""Rows of results in files: CSV, JSON, JSON Lines, Parquet; and the journal from which a video goes on."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasfer.faces import Prediction
from kerasfer.files import written_aside

__all__ = ["Journal", "TableError", "add_options", "columns", "demand_writable", "face_row", "write_tables"]

FORMATS = ("csv", "json", "jsonl", "parquet")

CHUNK = 5000
"""Rows that Parquet is written in at once."""

WHOLE = ("frame", "person", "face")
TEXT = ("path", "expression", "error")
"""Columns of whole numbers and of text; the others are decimal numbers."""

Row = dict[str, Any]


class TableError(ValueError):
    """A table cannot be written; the message says why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each kind of table."""
    parser.add_argument("--csv", metavar="FILE", help="write one line a face as CSV")
    parser.add_argument("--json", metavar="FILE", help="write everything found as one JSON list")
    parser.add_argument("--jsonl", metavar="FILE", help="the same as JSON Lines, a line a photo or a frame")
    parser.add_argument("--parquet", metavar="FILE", help="write the columns of --csv as Parquet (needs pyarrow)")


def demand_writable(options: argparse.Namespace) -> None:
    """Raises `TableError` if a table is asked for whose folder or whose package is missing."""
    for path in (getattr(options, kind) for kind in FORMATS):
        if path and not Path(path).absolute().parent.is_dir():
            raise TableError(f"{path}: cannot be written (there is no such folder); choose another place")
    if options.parquet:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise TableError(f"--parquet needs pyarrow ({error}); pip install 'pyarrow<20', or take --csv") from error


def columns(first: Sequence[str], prediction: Prediction | None) -> list[str]:
    """Names of the columns: some of the caller's, then those of `face_row`."""
    labels = list(prediction.probabilities) if prediction else []
    units = [f"AU{unit}" for unit in prediction.action_units or ()] if prediction else []
    return [*first, "left", "top", "right", "bottom", "score", "expression", *labels, "yaw", "pitch", "roll", *units]


def face_row(face: Prediction) -> Row:
    """What is known of a face, by column."""
    box, pose = face.box, face.pose
    row: Row = {side: round(float(getattr(box, side)), 1) for side in ("left", "top", "right", "bottom")}
    row |= {"score": round(face.score, 4), "expression": face.expression}
    row |= {label: round(float(value), 6) for label, value in face.probabilities.items()}
    row |= {angle: None if pose is None else round(getattr(pose, angle), 1) for angle in ("yaw", "pitch", "roll")}
    return row | {f"AU{unit}": round(float(value), 6) for unit, value in (face.action_units or {}).items()}


def write_tables(
    options: argparse.Namespace,
    names: Sequence[str],
    rows: Callable[[], Iterable[Row]],
    entries: Callable[[], Iterable[Mapping[str, Any]]],
) -> None:
    """Writes the files that were asked for, one entry in memory at a time.

    Args:
        options: with the options of `add_options`.
        names: of the columns, for CSV and Parquet.
        rows: gives the rows: column -> value; a column may be left out.
        entries: gives what JSON and JSON Lines hold.

    Raises:
        TableError: a file cannot be written.
    """
    for kind, write in (("csv", _write_csv), ("parquet", _write_parquet)):
        if path := getattr(options, kind):
            with written_aside(path, TableError) as aside:
                write(aside, names, rows())
    if options.json:
        with written_aside(options.json, TableError) as aside, aside.open("w", encoding="utf-8") as file:
            file.write("[")
            for number, entry in enumerate(entries()):
                file.write(("," if number else "") + "\n" + json.dumps(entry))
            file.write("\n]\n")
    if options.jsonl:
        with written_aside(options.jsonl, TableError) as aside, aside.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries())


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, names: Sequence[str], rows: Iterable[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = {**dict.fromkeys(WHOLE, pyarrow.int64()), **dict.fromkeys(TEXT, pyarrow.string())}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in names])
    rows = iter(rows)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(itertools.islice(rows, CHUNK)):
            writer.write_table(pyarrow.Table.from_pylist([{**dict.fromkeys(names), **row} for row in chunk], schema))


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
        try:
            if path is None:
                self._file = tempfile.TemporaryFile()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("r+b" if path.is_file() else "w+b")
        except OSError as error:
            raise TableError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
        self._begin, self.count = len(first), 0
        if self._file.readline() == first:
            while (line := self._file.readline()).endswith(b"\n"):
                self.count += 1
            self._end = self._file.tell() - len(line)
        else:
            self._file.seek(0)
            self._file.write(first)
            self._end = self._begin
        self._file.truncate(self._end)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._file.flush()
        with os.fdopen(os.dup(self._file.fileno()), "rb", closefd=True) as file:
            place = self._begin
            for _ in range(self.count):
                file.seek(place)
                line = file.readline()
                place += len(line)
                yield json.loads(line)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds an entry, so that it outlives this process."""
        line = json.dumps(entry).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._file.flush()
        self._end += len(line)
        self.count += 1

    def keep(self, count: int) -> None:
        """Drops all but the first entries."""
        self._file.seek(self._begin)
        for _ in range(count):
            self._file.readline()
        self._end, self.count = self._file.tell(), count
        self._file.truncate(self._end)

    def close(self, remove: bool = False) -> None:
        """Closes the file, and removes it if its entries are not needed any more."""
        self._file.close()
        if remove and self._path is not None:
            self._path.unlink(missing_ok=True)

"""Checks a data set on the disk: what is there, what is missing, how much of each beside the papers' counts.

The counts that owners and papers name are in counts.json: for each set one or more readings, each with what is counted,
who says so, the reader's options for it, and numbers; `editions` are other extents in which a set is passed around.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, Rejected

__all__ = ["CheckReport", "Count", "Reading", "contact_sheet", "count_all", "expected_counts"]

Load = Callable[..., FaceTable]

_SHOWN = 10
_TILE = 64


@dataclasses.dataclass(frozen=True)
class Count:
    """One number beside the one that it should be.

    Attributes:
        what: what is counted.
        found: how many there are.
        expected: how many somebody says there are; None if nobody does.
    """

    what: str
    found: int
    expected: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether the numbers are equal, or there is nothing to compare with."""
        return self.expected is None or self.found == self.expected


@dataclasses.dataclass(frozen=True)
class Reading:
    """A way to read a set, and its counts.

    Attributes:
        what: which part or selection of the set.
        source: who names the numbers; "" if nobody does.
        options: of the reader.
        counts: images, people, sequences, and images of each split and expression.
        problem: why it cannot be read; "" if it can.
    """

    what: str
    source: str
    options: dict[str, Any]
    counts: tuple[Count, ...]
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What `kerasfer.datasets.check` found.

    Attributes:
        name: of the data set.
        root: where it lies.
        readings: every reading with its counts.
        rejected: files that are missing, damaged or not known, with reasons.
        columns: what the table tells of each face.
        faces_per_person: smallest, median and largest number of images of one person; None if nobody is known.
        table: what was read.
    """

    name: str
    root: str
    readings: tuple[Reading, ...]
    rejected: tuple[Rejected, ...]
    columns: tuple[str, ...]
    faces_per_person: tuple[int, float, int] | None
    table: FaceTable

    @property
    def complete(self) -> bool:
        """Whether no file is missing or damaged and every count is as it should be."""
        return not self.rejected and all(
            not reading.problem and all(count.agrees for count in reading.counts) for reading in self.readings
        )

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {
            "name": self.name,
            "root": self.root,
            "complete": self.complete,
            "columns": list(self.columns),
            "faces_per_person": self.faces_per_person and list(self.faces_per_person),
            "readings": [dataclasses.asdict(reading) for reading in self.readings],
            "rejected": [dataclasses.asdict(entry) for entry in self.rejected],
        }

    def __str__(self) -> str:
        lines = [f"{self.name} in {self.root}: {len(self.table):,} faces, with {', '.join(self.columns)}"]
        if self.faces_per_person:
            low, middle, high = self.faces_per_person
            lines.append(f"images of a person: {low} to {high}, median {middle:g}")
        for reading in self.readings:
            lines.append(f"{reading.what}{f' (expected: {reading.source})' if reading.source else ''}")
            if reading.problem:
                lines.append(f"  cannot be read: {reading.problem}")
            width = max((len(count.what) for count in reading.counts), default=0)
            for count in reading.counts:
                expected = "" if count.expected is None else f"{count.expected:>10,}"
                mark = "" if count.agrees or count.expected is None else f"  {count.found - count.expected:+,}"
                lines.append(f"  {count.what:<{width}}{count.found:>10,}{expected}{mark}")
        if self.rejected:
            lines.append(f"{len(self.rejected)} files missing, damaged or not known:")
            lines += [f"  {entry.path}: {entry.reason}" for entry in self.rejected[:_SHOWN]]
            if len(self.rejected) > _SHOWN:
                lines.append(f"  and {len(self.rejected) - _SHOWN} more")
        lines.append("complete" if self.complete else "not as it should be: see the lines with + or -, and its card")
        return "\n".join(lines)


@functools.cache
def _all_counts() -> dict[str, list[dict[str, Any]]]:
    file = resources.files("kerasfer.datasets").joinpath("counts.json")
    return json.loads(file.read_text(encoding="utf-8"))


def expected_counts(name: str) -> list[dict[str, Any]]:
    """What owners and papers count in a set: what, source, and options, images, people, sequences, classes, parts."""
    return _all_counts().get(name, [])


def count_all(name: str, root: str | Path, options: dict[str, Any], load: Load) -> CheckReport:
    """Reads a data set in every way that somebody names counts for, without stopping at what is wrong.

    Args:
        name: of the data set.
        root: its folder or zip.
        options: of the reader, for all of the set.
        load: `kerasfer.datasets.load`.

    Raises:
        DatasetError: an unknown name or option, or nothing of the set is there.
    """
    table, part_rejected = _read(name, root, options, load)
    readings = []
    for entry in expected_counts(name) or [{"what": "all", "source": ""}]:
        wanted = entry.get("options", {})
        problem, read = "", table
        if wanted and wanted != options:
            try:
                read = load(name, root, strict=False, **wanted)
            except DatasetError as error:
                problem, read = str(error), table.select([])
        edition = _edition(entry, len(read))
        readings.append(Reading(edition["what"], edition["source"], wanted, _counted(read, edition), problem))
    people = None
    if "identity" in table and (table["identity"] != "").any():
        numbers = np.unique(table["identity"][table["identity"] != ""], return_counts=True)[1]
        people = int(numbers.min()), float(np.median(numbers)), int(numbers.max())
    rejected = (*table.rejected, *part_rejected)
    columns = tuple(column for column in table.columns if column != "path")
    return CheckReport(name, str(root), tuple(readings), rejected, columns, people, table)


def _read(name: str, root: str | Path, options: dict[str, Any], load: Load) -> tuple[FaceTable, list[Rejected]]:
    """All of a set; where its parts cannot be read together, those that are there, and why others are not."""
    try:
        return load(name, root, strict=False, **options), []
    except DatasetError as error:
        parts = {part for entry in expected_counts(name) for part in entry.get("parts", {})}
        found, rejected = [], []
        for part in sorted(parts, key=_PARTS.index):
            try:
                found.append(load(name, root, split=part, strict=False, **options))
            except DatasetError as reason:
                rejected.append(Rejected(part, str(reason)))
        if not found:
            raise error
        return (found[0] if len(found) == 1 else FaceTable.concatenate(name, found)), rejected


def _edition(entry: dict[str, Any], images: int) -> dict[str, Any]:
    """A reading or the one of its editions whose number of images is nearest."""
    return min((entry, *entry.get("editions", ())), key=lambda known: abs(known.get("images", images) - images))


_PARTS = ("train", "valid", "test")


def _counted(table: FaceTable, entry: dict[str, Any]) -> tuple[Count, ...]:
    counts = [Count("images", len(table), entry.get("images"))]
    for column, what, key in (("identity", "people", "people"), ("sequence", "sequences", "sequences")):
        if column in table:
            counts.append(Count(what, len(set(table[column].tolist()) - {""}), entry.get(key)))
    expected = entry.get("classes", {})
    counts += [Count(label, number, expected.get(label)) for label, number in table.counts().items()]
    unlabeled = int((table["expression"] < 0).sum())
    if unlabeled:
        counts.append(Count("no expression", unlabeled))
    parts = entry.get("parts", {})
    present = set(table["split"].tolist()) - {""} if "split" in table else set()
    for part in (part for part in _PARTS if part in present or part in parts):
        faces = table.where(split=part) if present else table.select([])
        counts.append(Count(part, len(faces), parts.get(part, {}).get("images")))
        classes = parts.get(part, {}).get("classes", {})
        if not len(faces):
            continue
        counts += [Count(f"{part} {label}", number, classes.get(label)) for label, number in faces.counts().items()]
    return tuple(counts)


def contact_sheet(table: FaceTable, columns: int = 12, seed: int = 0) -> np.ndarray:
    """A picture of some faces of every expression, a row each, chosen at random by the seed.

    Args:
        table: the data set.
        columns: faces in a row.
        seed: of the choice.

    Returns:
        uint8 (rows * 64, columns * 64, 3), gray where there are too few faces or one does not decode.

    Raises:
        DatasetError: the table is empty.
    """
    from kerasfer import images
    from kerasfer.datasets.reading import read_face
    from kerasfer.faces import ImageSpec

    if not len(table):
        raise DatasetError(f"{table.name}: no faces to show")
    spec = ImageSpec(_TILE, 3)
    generator = np.random.default_rng(seed)
    classes = table.encoded()
    codes = [code for code in (*range(len(table.label_space)), -1) if (classes == code).any()]
    sheet = np.full((len(codes) * _TILE, columns * _TILE, 3), 128, np.uint8)
    for line, code in enumerate(codes):
        rows = np.flatnonzero(classes == code)
        for place, row in enumerate(sorted(generator.permutation(rows)[:columns].tolist())):
            try:
                pixels = images.prepare_uint8(read_face(table, row), spec)
            except ValueError:
                continue
            top, left = line * _TILE, place * _TILE
            sheet[top : top + _TILE, left : left + _TILE] = pixels
    return sheet

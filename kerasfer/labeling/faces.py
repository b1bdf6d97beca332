"""Faces with labels: what recognition found, or what a table says, as the list that people correct."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import Problems
from kerasfer.files import name_of_text

__all__ = ["LabeledFace", "LabelingError", "least_sure", "of_table", "read_results", "require_single"]


class LabelingError(DatasetError):
    """A file of labels is wrong; the message names the entries and the remedy."""


@dataclasses.dataclass(frozen=True)
class LabeledFace:
    """A face in a photo, and its expression.

    Attributes:
        path: of the photo, relative to the folder of all, with forward slashes.
        box: left, top, right, bottom in pixels of the upright photo; None for the whole photo.
        expression: the class; "" where it is not known.
        confidence: how sure the machine was of it, in [0, 1]; None if nobody knows.
        recognized: what the machine said, where a person has looked at it since.
    """

    path: str
    box: tuple[float, float, float, float] | None
    expression: str
    confidence: float | None = None
    recognized: str | None = None


SAME_FACE = 0.9
"""Two boxes in a photo whose intersection is this part of their union, or more, are of one face."""


def overlap(one: LabeledFace, other: LabeledFace) -> float:
    """Intersection over union of two faces' boxes; whole photos overlap everything."""
    if one.box is None or other.box is None:
        return 1.0
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in (one, other) if face.box]
    return shared / (sum(areas) - shared)


def require_single(faces: Sequence[tuple[str, LabeledFace]], problems: Problems) -> None:
    """Notes every face that has two labels.

    Args:
        faces: each with where it stands, for the message.
        problems: where it is noted.
    """
    by_photo: dict[str, list[tuple[str, LabeledFace]]] = {}
    for place, face in faces:
        before = by_photo.setdefault(face.path, [])
        double = next((other for other, known in before if overlap(known, face) >= SAME_FACE), None)
        if double is not None:
            problems.add(place, f"labels the same face of {face.path} as {double}; keep one of the two")
        before.append((place, face))


def least_sure(faces: Sequence[LabeledFace], below: float) -> list[LabeledFace]:
    """The faces of every photo in which the machine was less sure of a face than `below`, in their order."""
    photos = {face.path for face in faces if face.confidence is None or face.confidence < below}
    return [face for face in faces if face.path in photos]


def of_table(table: FaceTable) -> list[LabeledFace]:
    """The faces of a table."""
    boxes = table["box"] if "box" in table else np.full((len(table), 4), np.nan)
    return [
        LabeledFace(path, _box(box.tolist()) if np.isfinite(box).all() else None, name)
        for path, box, name in zip(table["path"].tolist(), boxes, table.class_names().tolist())
    ]


def _box(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = numbers
    return left, top, right, bottom


def read_results(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> tuple[list[LabeledFace], str]:
    """The faces of a table that `kerasfer recognize` (--csv, --parquet) or `kerasfer recognize-many` wrote.

    Args:
        path: the CSV or Parquet file, or a folder of Parquet files.
        root: the folder of the photos; the paths that are given back are relative to it.

    Returns:
        The faces, and in a line what was left out: photos without a face, and with an error.

    Raises:
        LabelingError: it is no such table, a photo is in no folder below `root`, or a face is in it twice.
        ImportError: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    problems = Problems(str(path), strict=True)
    faces: list[tuple[str, LabeledFace]] = []
    empty = failed = 0
    for number, row in enumerate(_rows(path), start=1):
        if row.get("error"):
            failed += 1
            continue
        if row.get("left") in (None, ""):
            empty += 1
            continue
        try:
            faces.append((f"face {number}", _face_of_row(row, Path(root))))
        except (ValueError, TypeError, KeyError) as error:
            problems.add(f"row {number}", str(error))
    require_single(faces, problems)
    _close(problems)
    told = [f"{empty} photos without a face"] if empty else []
    told += [f"{failed} photos with an error"] if failed else []
    return [face for _, face in faces], f"left out: {', '.join(told)}" if told else ""


def _close(problems: Problems) -> None:
    """Raises what was noted as one error that does not speak of data sets."""
    try:
        problems.close()
    except DatasetError as error:
        text = str(error).replace("missing or damaged files or unknown labels", "entries cannot be used")
        text = text.replace("1 entries", "1 entry").partition("; put them right, or read with strict=False")[0]
        raise LabelingError(f"{text}; put them right") from error


_PLACE = ("path", "left", "top", "right", "bottom", "expression")


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix.lower() == ".parquet" or path.is_dir():
        try:
            import pyarrow
            import pyarrow.dataset
        except ImportError as error:
            raise ImportError(f"Parquet needs pyarrow ({error}): pip install 'kerasfer[parquet]'") from error
        try:
            found = pyarrow.dataset.dataset(path, format="parquet", exclude_invalid_files=False)
            _require_columns(path, found.schema.names)
            for batch in found.to_batches():
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            if isinstance(error, DatasetError):
                raise
            raise LabelingError(f"{path}: not a Parquet table ({' '.join(str(error).split())})") from error
        return
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = csv.DictReader(file)
            _require_columns(path, lines.fieldnames or ())
            yield from lines
    except (OSError, csv.Error) as error:
        if isinstance(error, DatasetError):
            raise
        raise LabelingError(f"{path}: cannot be read as CSV ({error})") from error


def _require_columns(path: Path, names: Iterable[str]) -> None:
    missing = [name for name in _PLACE if name not in list(names)]
    if missing:
        raise LabelingError(
            f"{path}: has no column {', '.join(missing)}; name a table that kerasfer recognize --csv wrote"
        )


def _face_of_row(row: Mapping[str, Any], root: Path) -> LabeledFace:
    box = _box([float(row[side]) for side in ("left", "top", "right", "bottom")])
    if not all(math.isfinite(value) for value in box) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"{box} is no box")
    name = str(row["expression"])
    told = row.get("confidence", row.get(name, row.get(f"class {name}")))
    confidence = None if told in (None, "") else float(told)
    if confidence is not None and not 0 <= confidence <= 1:
        raise ValueError(f"a confidence of {confidence:g}")
    return LabeledFace(relative(name_of_text(str(row["path"])), root), box, name, confidence)


def relative(path: str, root: Path) -> str:
    """A photo's path below the folder of all, with forward slashes.

    Raises:
        ValueError: it is not below it.
    """
    place = Path(path)
    if not place.is_absolute() and (root / place).is_file():
        found = place
    else:
        try:
            found = place.absolute().relative_to(root.absolute())
        except ValueError:
            raise ValueError(f"{path}: is not in {root}; name the folder that all photos are in") from None
    if ".." in found.parts:
        raise ValueError(f"{path}: leads out of {root}")
    return found.as_posix()

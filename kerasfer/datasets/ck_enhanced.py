"""The enhanced Cohn-Kanade labels (RPI Intelligent Systems Laboratory, "ISL Enhanced Cohn-Kanade AU-coded Facial
Expression Database"; Tong, Liao and Ji, "Facial action unit recognition by exploiting their dynamic and semantic
relationships", IEEE TPAMI 29(10), 2007): fourteen action units of every frame."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource
from kerasfer.datasets.ck_plus import FILE_NAME, intensity_of_grade
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, check_split, table_of_rows
from kerasfer.datasets.text_files import text_of
from kerasfer.expressions import ACTION_UNITS, FERPLUS8
from kerasfer.folders import is_system

__all__ = ["read"]

_SEQUENCE = re.compile(r"(S\d+)[_/-](\d+)(?!\d)", re.IGNORECASE)
_UNIT = re.compile(r"(?:AU)?[ _]?(\d+)", re.IGNORECASE)
_LABEL_SUFFIXES = (".txt", ".csv")


@dataclasses.dataclass(frozen=True)
class _Label:
    """One line of a label file: its sequence and frame, and the grades of the action units, NaN where not known."""

    sequence: str
    frame: int
    grades: np.ndarray


def read(root: str | Path, split: str | None = None, strict: bool = True, *, verify: bool = False) -> FaceTable:
    """Reads images of Cohn-Kanade with action units for each frame.

    The owners' label files could not be seen, so any text files (.txt, .csv) are read in which a line is an image's
    name or frame number and the values of the fourteen units, or those values alone, a line for each image of the
    sequence in order. A first line may name the units (AU1 ...); else they are in the order of `ACTION_UNITS`. Values
    are 0 and 1, or, if any in the set is higher, grades from 0 (absent) to 5; -1 and 9 are not known.

    Args:
        root: the folder or zip: images named as S010_002_01594215.png, and label files whose name, folder or lines
            tell the sequence.
        split: None; the set has no official split.
        strict: raise on missing or damaged files and bad lines; False leaves them out.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        Columns path, expression (unknown, -1), identity (S010), sequence (S010_002), frame and aus. Images without a
        label are not read.

    Raises:
        DatasetError: the layout is another, or, if strict, files or lines are bad.
    """
    check_split("ck_enhanced", split, ())
    source, found = find_images("ck_enhanced", root)
    images: dict[str, dict[int, str]] = {}
    for path in found:
        if match := FILE_NAME.fullmatch(PurePosixPath(path).name):
            images.setdefault(_key(match["subject"], match["sequence"]), {})[int(match["frame"])] = path
    if not images:
        raise DatasetError(f"{root}: holds no images named as S010_002_01594215.png")
    problems = Problems("ck_enhanced", strict)
    labels = [
        label
        for path in source.names()
        if PurePosixPath(path).suffix.lower() in _LABEL_SUFFIXES and not is_system(path)
        for label in _labels(source, path, images, problems)
    ]
    if not labels and not problems.entries:
        raise DatasetError(
            f"{root}: holds no label file: lines of an image's name or number and {len(ACTION_UNITS)} values, in a "
            ".txt or .csv file that is named after its sequence (S010_002.txt) or that names images"
        )
    graded = any(np.nanmax(label.grades, initial=0) > 1 for label in labels)
    rows: list[dict[str, Any]] = []
    for label in sorted(labels, key=lambda label: (label.sequence, label.frame)):
        rows.append(
            {
                "path": _image_path(images, label),
                "identity": label.sequence.partition("_")[0],
                "sequence": label.sequence,
                "frame": label.frame,
                "aus": [_intensity(grade, graded) for grade in label.grades.tolist()],
            }
        )
    return table_of_rows("ck_enhanced", source, rows, FERPLUS8, problems, verify)


def _key(subject: str, sequence: str) -> str:
    return f"{subject.upper()}_{sequence}"


def _intensity(grade: float, graded: bool) -> float:
    """Intensity in [0, 1] of a value of a label file."""
    return intensity_of_grade(grade) if graded and grade > 0 else grade


def _image_path(images: dict[str, dict[int, str]], label: _Label) -> str:
    """Path of a label's image: where it is, or where it would have to be."""
    frames = images.get(label.sequence, {})
    if label.frame in frames:
        return frames[label.frame]
    like = PurePosixPath(next(iter(frames.values()), f"{label.sequence}_00000000.png"))
    width = len(like.stem.rpartition("_")[2])
    return like.with_name(f"{label.sequence}_{label.frame:0{width}}{like.suffix}").as_posix()


def _labels(source: ImageSource, path: str, images: dict[str, dict[int, str]], problems: Problems) -> list[_Label]:
    """The labels of one file; none if no line of it has as many numbers as there are units."""
    try:
        text = text_of(source, path).read()
    except DatasetError as error:
        problems.add_error(source.describe(path), error)
        return []
    lines = [
        (number, [cell for cell in re.split(r"[\s,;]+", line) if cell])
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not any(len(cells) in (len(ACTION_UNITS), len(ACTION_UNITS) + 1) for _, cells in lines):
        return []
    order = _header(lines[0][1])
    if order:
        lines = lines[1:]
    order = order or list(ACTION_UNITS)
    of_file = _SEQUENCE.search(path)
    sequence = _key(*of_file.groups()) if of_file else ""
    bare = all(len(cells) == len(order) for _, cells in lines)
    frames = sorted(images.get(sequence, ()))
    if bare and len(frames) != len(lines):
        problems.add(source.describe(path), f"{len(lines)} lines for {len(frames)} images of sequence {sequence!r}")
        return []
    labels = []
    for position, (number, cells) in enumerate(lines):
        try:
            name, values = ("", cells) if bare else (cells[0], cells[1:])
            if len(values) != len(order):
                raise ValueError(f"{len(values)} values instead of {len(order)}")
            grades = dict(zip(order, map(_grade, values)))
            match = FILE_NAME.fullmatch(name if PurePosixPath(name).suffix else f"{name}.png")
            if bare:
                at = sequence, frames[position]
            elif match:
                at = _key(match["subject"], match["sequence"]), int(match["frame"])
            elif sequence and name.isdecimal():
                at = sequence, int(name)
            else:
                raise ValueError(f"{name!r} is not an image's name, nor the number of a frame of a known sequence")
        except ValueError as error:
            problems.add(f"{source.describe(path)} line {number}", str(error))
            continue
        labels.append(_Label(*at, np.array([grades[unit] for unit in ACTION_UNITS])))
    return labels


def _header(cells: list[str]) -> list[int]:
    """The action units that a first line names, in its order; none if it is not a header."""
    units = [_UNIT.fullmatch(cell) for cell in cells]
    named = [int(match[1]) for match in units if match]
    return named if sorted(named) == sorted(ACTION_UNITS) else []


def _grade(cell: str) -> float:
    value = float(cell)
    if value in (-1, 9):
        return np.nan
    if value not in range(6):
        raise ValueError(f"value {cell} is not 0 to 5, or -1 or 9 for not known")
    return value

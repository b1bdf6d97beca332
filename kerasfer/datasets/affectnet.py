"""AffectNet (Mollahosseini, Hasani and Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal
Computing in the Wild", IEEE Transactions on Affective Computing 10(1), 2019), manually annotated part."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource, open_source
from kerasfer.datasets.reading import Problems, check_choice, check_split, table_of_rows
from kerasfer.datasets.text_files import csv_lines
from kerasfer.expressions import BASIC7, FERPLUS8, LABEL_CODES, Expression
from kerasfer.images import IMAGE_SUFFIXES

__all__ = ["CLASSES", "EXPRESSIONS", "HEADER", "NO_EXPRESSION", "read"]

EXPRESSIONS = tuple(LABEL_CODES["affectnet"].values())
"""The expressions in the order of the set's codes 0 to 7."""

NO_EXPRESSION = {8: "none", 9: "uncertain", 10: "no face"}
"""Codes of images that were annotated as showing no expression of the eight; they are not read."""

CLASSES = {7: BASIC7, 8: FERPLUS8}
"""Number of classes -> their label space: 7 leaves contempt out."""

HEADER = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
"""Columns of `training.csv` and `validation.csv`; some copies of the second lack the line that names them."""

_LISTS = {"train": "training.csv", "valid": "validation.csv"}
_IMAGE_FOLDERS = (
    "Manually_Annotated_Images/",
    "Manually_Annotated/Manually_Annotated_Images/",
    "Manually_Annotated/",
    "",
)
_PART_FOLDERS = {"train_set": "train", "val_set": "valid"}
_IN_PART = re.compile(r"(?P<part>(?:.*/)?(?P<split>train_set|val_set)/)(?P<kind>images|annotations)/(?P<file>[^/]+)")


def read(
    root: str | Path, split: str | None = None, strict: bool = True, *, classes: int = 8, verify: bool = False
) -> FaceTable:
    """Reads the manually annotated images of AffectNet, in either form in which it is given out.

    If there are images in `train_set/images` or `val_set/images`, their labels are read from the `.npy` files in
    `annotations` beside them (the form since 2021). Otherwise `training.csv` and `validation.csv` list the images
    in `Manually_Annotated_Images`.

    Args:
        root: the folder or zip; what it holds may stand one or more folders deeper.
        split: "train" or "valid"; None reads those that are there. The test part is not given out.
        strict: raise on missing or damaged files and unknown codes; False leaves them out.
        classes: 8, or 7 to leave contempt out. Images without an expression of these are passed over.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression, landmarks (NaN where not given), split and, of the form with CSV files, box.

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("affectnet", split, tuple(_LISTS))
    check_choice("affectnet", "classes", classes, CLASSES)
    source = open_source(root)
    parts: dict[tuple[str, str], dict[str, list[str]]] = {}
    lists: dict[str, str] = {}
    for path in source.names():
        if found := _IN_PART.fullmatch(path):
            part = parts.setdefault((found["part"], _PART_FOLDERS[found["split"]]), {"images": [], "annotations": []})
            part[found["kind"]].append(found["file"])
        for name, file in _LISTS.items():
            if PurePosixPath(path).name == file:
                lists.setdefault(name, path)
    problems = Problems("affectnet", strict)
    rows: list[dict[str, Any]] = []
    if any(files["images"] for files in parts.values()):
        for (folder, name), files in sorted(parts.items()):
            if split in (None, name):
                rows += _rows_of_part(source, folder, name, files, problems)
    else:
        for name, path in lists.items():
            if split in (None, name):
                rows += _rows_of_list(source, path, name, problems)
    if not rows and not problems.entries:
        raise DatasetError(
            f"{root}: holds no images of split {split or 'any'!r} in train_set/images or val_set/images, and no list "
            "of them, training.csv or validation.csv"
        )
    rows = [row for row in rows if row["expression"] in CLASSES[classes].expressions]
    return table_of_rows("affectnet", source, rows, CLASSES[classes], problems, verify)


def _expression(value: str) -> Expression | None:
    """The expression of a code; None for images without one.

    Raises:
        ValueError: an unknown code.
    """
    try:
        code = int(float(value))
    except (ValueError, OverflowError):
        code = -1
    if code in NO_EXPRESSION:
        return None
    if code not in range(len(EXPRESSIONS)):
        raise ValueError(f"expression {value!r} is not a code from 0 to 10")
    return EXPRESSIONS[code]


def _rows_of_list(source: ImageSource, path: str, split: str, problems: Problems) -> list[dict[str, Any]]:
    """The rows of a CSV file that have an expression."""
    origin = source.describe(path)
    lines = csv_lines(source, path)
    places = {name: place for place, name in enumerate(HEADER)}
    rows: list[dict[str, Any]] = []
    for number, cells in enumerate(lines, start=1):
        if number == 1 and HEADER[0] in cells:
            places = {name.strip(): place for place, name in enumerate(cells)}
            if missing := [name for name in HEADER[:7] if name not in places]:
                raise DatasetError(f"{origin}: its first line names no column {', '.join(missing)}")
            continue
        try:
            if len(cells) < len(places):
                raise ValueError(f"{len(cells)} cells instead of {len(places)}")
            line = {name: cells[place].strip() for name, place in places.items()}
            expression = _expression(line["expression"])
            if expression is not None:
                file = line["subDirectory_filePath"].replace("\\", "/")
                box, points = _box(line), _points(line["facial_landmarks"])
                rows.append({"path": file, "expression": expression, "box": box, "landmarks": points, "split": split})
        except ValueError as error:
            problems.add(f"{origin} line {number}", str(error))
    parent = _image_folder(source, PurePosixPath(path).parent, [row["path"] for row in rows])
    for row in rows:
        row["path"] = parent + row["path"]
    return rows


def _image_folder(source: ImageSource, folder: PurePosixPath, files: list[str]) -> str:
    """Where the images of a list are, with a slash at the end; if they are nowhere, where they ought to be."""
    parents = [f"{base.as_posix()}/" for base in (folder.parent, folder)]
    candidates = [f"{parent}{name}".removeprefix("./") for parent in parents for name in _IMAGE_FOLDERS]
    for file in files:
        for candidate in candidates:
            if source.exists(candidate + file):
                return candidate
    return candidates[0]


def _box(row: dict[str, str]) -> np.ndarray:
    """Left, top, right and bottom of a row's face, float32 (4,); NaN where there is NULL."""
    cells = [row[name] for name in ("face_x", "face_y", "face_width", "face_height")]
    if "NULL" in (cell.upper() for cell in cells):
        return np.full(4, np.nan, np.float32)
    left, top, width, height = map(float, cells)
    if not (width > 0 and height > 0):
        raise ValueError(f"a face of {width:g} x {height:g} pixels")
    return np.array([left, top, left + width, top + height], np.float32)


def _points(cell: str) -> np.ndarray:
    """Landmarks float32 (68, 2) of a cell "x;y;x;y;..."; NaN where there is NULL."""
    if cell.upper() in ("", "NULL"):
        return np.full((68, 2), np.nan, np.float32)
    numbers = list(map(float, cell.rstrip(";").split(";")))
    if len(numbers) != 136:
        raise ValueError(f"{len(numbers)} numbers in facial_landmarks instead of 136")
    return np.array(numbers, np.float32).reshape(68, 2)


def _rows_of_part(
    source: ImageSource, folder: str, split: str, files: dict[str, list[str]], problems: Problems
) -> Iterator[dict[str, Any]]:
    """The rows of `train_set` or `val_set` that have an expression."""
    images = {
        PurePosixPath(file).stem: file
        for file in files["images"]
        if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES and not file.startswith(".")
    }
    annotated = {file.removesuffix("_exp.npy") for file in files["annotations"] if file.endswith("_exp.npy")}
    with_points = {file.removesuffix("_lnd.npy") for file in files["annotations"] if file.endswith("_lnd.npy")}
    for name in sorted(images.keys() | annotated):
        path = f"{folder}images/{images.get(name, name + '.jpg')}"
        if name not in annotated:
            problems.add(source.describe(path), f"has no annotations/{name}_exp.npy")
            continue
        file = f"{folder}annotations/{name}_exp.npy"
        row: dict[str, Any] = {"path": path, "split": split}
        try:
            row["expression"] = _expression(str(_array(source, file, 1).astype(np.str_)[0]))
            if row["expression"] is None:
                continue
            if name in with_points:
                file = f"{folder}annotations/{name}_lnd.npy"
                row["landmarks"] = _array(source, file, 136).astype(np.float32).reshape(68, 2)
        except ValueError as error:
            problems.add(source.describe(file), str(error))
            continue
        yield row


def _array(source: ImageSource, path: str, size: int) -> np.ndarray:
    """The values of a `.npy` file, of any shape, as (size,).

    Raises:
        ValueError: it cannot be read, holds Python objects, or another number of values.
    """
    try:
        values = np.load(io.BytesIO(bytes(source.read(path))), allow_pickle=False)
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise ValueError(f"not a .npy file of numbers or text ({' '.join(str(error).split())})") from error
    if not isinstance(values, np.ndarray) or values.size != size:
        raise ValueError(f"{np.size(values)} values instead of {size}")
    return values.ravel()

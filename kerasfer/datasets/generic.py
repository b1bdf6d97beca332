"""Readers of your own images: a folder for each class, or a CSV file with any of the table's columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import COLUMNS, DatasetError, FaceTable, ImageSource, open_source, text_of
from kerasfer.datasets.reading import SPLITS, Problems, check_images, check_split, words
from kerasfer.expressions import ACTION_UNITS, FERPLUS8, UNKNOWN, Expression, LabelSpace, parse_expression
from kerasfer.images import IMAGE_SUFFIXES

__all__ = ["class_folders", "find_images", "is_hidden", "read_csv", "read_folder"]

_SPLIT_ALIASES = {
    "training": "train",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "publictest": "valid",
    "testing": "test",
    "privatetest": "test",
}
"""Other names of the parts; FER-2013 calls its own Training, PublicTest and PrivateTest."""

_ABOUT_FOLDERS = {"set", "split", "data", "image", "images", "face", "faces", "aligned", "fer2013"}
"""Words that may stand beside a part's name in a folder's."""

_VECTORS = {"votes": len(FERPLUS8), "box": 4, "pose": 3, "landmarks": 136, "aus": len(ACTION_UNITS)}


def is_hidden(name: str) -> bool:
    """Whether a path is of a file that a system put there, such as ._a.txt or __MACOSX/a.txt."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _is_image(name: str) -> bool:
    return not is_hidden(name) and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def find_images(name: str, root: str | Path) -> tuple[ImageSource, list[str]]:
    """A source and its images' paths, without the folders that all of them stand in."""
    source = open_source(root)
    found = [path for path in source.names() if _is_image(path)]
    if not found:
        raise DatasetError(f"{root}: holds no images ({', '.join(IMAGE_SUFFIXES)}), which {name} is made of")
    return source, found


def _part_of_folder(name: str) -> str:
    """The part that a folder's name tells, as "Training", "val_set", "PublicTest" and "test-images" do; "" for none."""
    told = "".join(word for word in words(name) if word not in _ABOUT_FOLDERS).removeprefix("fer2013")
    part = _SPLIT_ALIASES.get(told, told)
    return part if part in SPLITS else ""


def class_folders(name: str, root: str | Path) -> tuple[ImageSource, dict[str, list[str]]]:
    """Finds folders of images.

    Args:
        name: the data set's name, for messages.
        root: a folder or zip in which each image stands in a folder of its class.

    Returns:
        The source, and class -> paths of its images, sorted.

    Raises:
        DatasetError: there are no images, or some stand in no folder.
    """
    source, found = find_images(name, root)
    folders: dict[str, list[str]] = {}
    for path in found:
        folders.setdefault(PurePosixPath(path).parent.name, []).append(path)
    if "" in folders:
        raise DatasetError(f"{source.describe(folders[''][0])}: stands in no folder; {name} has one for each class")
    return source, folders


def read_folder(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    classes: str | Mapping[str, str] = "expression",
    verify: bool = False,
) -> FaceTable:
    """Reads `<class>/<image>` or `<split>/<class>/<image>`, with other folders around and between them or not.

    Args:
        root: the folder or zip; a zip may hold one folder with everything in it.
        split: read only the folder train, valid (or val, validation, PublicTest) or test (or PrivateTest), also called
            "val_set" or "Test images"; None reads all.
        strict: raise on damaged files and folders that name no expression; False leaves them out.
        classes: "expression" if the class folders bear the names of expressions ("happiness", "Happy"), "identity" if
            they are people; or a mapping from the folders' names to expressions, for example {"1": "surprise"}.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        Columns path, expression (or identity), and split where there are folders of splits.

    Raises:
        DatasetError: there are no such folders, or, if strict, files or classes are bad.
    """
    check_split("folder", split)
    if isinstance(classes, str) and classes not in ("expression", "identity"):
        raise DatasetError(f"folder: classes must be expression, identity or a mapping, not {classes!r}")
    source, found = find_images("folder", root)
    problems = Problems("folder", strict)
    paths, labels, splits = [], [], []
    expressions: dict[str, int] = {}
    for path in found:
        *parents, _ = PurePosixPath(path).parts
        if not parents:
            problems.add(source.describe(path), "stands in no folder of a class")
            continue
        folder = parents[-1]
        part = next(filter(None, map(_part_of_folder, reversed(parents[:-1]))), "")
        if split not in (None, part):
            continue
        if classes != "identity" and folder not in expressions:
            try:
                expressions[folder] = parse_expression(folder if isinstance(classes, str) else classes[folder])
            except (ValueError, KeyError) as error:
                reason = str(error) if isinstance(error, ValueError) else f"class {folder!r} is not in the mapping"
                problems.add(source.describe(path), reason)
                continue
        paths.append(path)
        labels.append(folder)
        splits.append(part)
    if not paths and not problems.entries:
        raise DatasetError(f"{root}: holds no images of split {split!r}; put them in {split}/<class>/")
    good = check_images(source, paths, problems, verify)
    names = np.array(labels, np.str_)[good]
    columns: dict[str, Any] = {"path": np.array(paths, np.str_)[good]}
    if classes == "identity":
        columns["identity"] = names
    else:
        columns["expression"] = [expressions[name] for name in names]
    if any(splits):
        columns["split"] = np.array(splits, np.str_)[good]
    rejected = problems.close()
    return FaceTable("folder", source, columns, _space(columns.get("expression", ())), rejected)


def _space(codes: Any) -> LabelSpace:
    """The space of the expressions that occur; FER+'s eight where none does."""
    present = sorted({int(code) for code in codes} - {UNKNOWN})
    return LabelSpace.of([Expression(code) for code in present]) if present else FERPLUS8


def _expression(cell: str) -> int:
    cell = cell.strip()
    return parse_expression(int(cell) if cell.isdecimal() else cell) if cell not in ("", str(UNKNOWN)) else UNKNOWN


def _vector(length: int, empty: float) -> Callable[[str], np.ndarray]:
    def parse(cell: str) -> np.ndarray:
        numbers = np.array(cell.split(), np.float32)
        if not len(numbers):
            return np.full(length, empty, np.float32)
        if len(numbers) != length:
            raise ValueError(f"{len(numbers)} numbers instead of {length}")
        return numbers

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "expression": _expression,
    "split": lambda cell: _SPLIT_ALIASES.get(cell.strip().lower(), cell.strip().lower()),
    "fold": lambda cell: int(cell) if cell.strip() else -1,
    "frame": lambda cell: int(cell) if cell.strip() else -1,
    **{name: _vector(length, 0.0 if name == "votes" else np.nan) for name, length in _VECTORS.items()},
}


def read_csv(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    file: str = "labels.csv",
    verify: bool = False,
) -> FaceTable:
    """Reads a CSV file whose columns are any of the table's (`kerasfer.datasets.base.COLUMNS`); `path` is needed.

    A cell of `expression` is a name or a code of Expression. A cell of votes, box, pose, landmarks or aus holds its
    8, 4, 3, 136 (x y x y ...) or 14 numbers with blanks between them. An empty cell is an unknown value.

    Args:
        root: the CSV file, or a folder or zip that holds it. Paths in it are relative to the folder it stands in.
        split: read only the rows of this split; None reads all.
        strict: raise on missing or damaged files and bad cells; False leaves those rows out.
        file: the CSV file's name in the folder or zip.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        The columns that the file has.

    Raises:
        DatasetError: there is no such file or column, or, if strict, files or cells are bad.
    """
    check_split("csv", split)
    root = Path(root)
    if root.is_file() and root.suffix.lower() != ".zip":
        root, file = root.parent, root.name
    source = open_source(root, file)
    origin = source.describe(file)
    rows = csv.DictReader(text_of(source, file))
    header = [name.strip() for name in rows.fieldnames or ()]
    unknown = sorted(set(header) - set(COLUMNS))
    if unknown or "path" not in header or len(set(header)) != len(header):
        wrong = f"not {', '.join(map(repr, unknown))}" if unknown else "each once, and path among them"
        raise DatasetError(f"{origin}: its first line must name columns of {', '.join(COLUMNS)}; {wrong}")
    if split is not None and "split" not in header:
        raise DatasetError(f"{origin}: has no column split, so {split!r} cannot be read from it")
    rows.fieldnames = header
    problems = Problems("csv", strict)
    columns: dict[str, list] = {name: [] for name in header}
    for number, row in enumerate(rows, start=2):
        values = {}
        for name in header:
            try:
                if row[name] is None or None in row:
                    raise ValueError(f"{sum(value is not None for value in row.values())} cells, not {len(header)}")
                values[name] = _PARSERS.get(name, str.strip)(row[name])
                if name == "split" and values[name] not in ("", *SPLITS):
                    raise ValueError(f"split {row[name]!r} is not {', '.join(SPLITS)}")
            except ValueError as error:
                problems.add(f"{origin} line {number}", f"column {name}: {error}")
                break
        else:
            if split in (None, values.get("split")):
                for name in header:
                    columns[name].append(values[name])
    good = np.flatnonzero(check_images(source, columns["path"], problems, verify))
    kept = {name: [values[row] for row in good] for name, values in columns.items()}
    return FaceTable("csv", source, kept, _space(kept.get("expression", ())), problems.close())

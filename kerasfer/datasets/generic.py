"""Readers of your own images: a folder for each class, or a CSV file with any of the table's columns."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import COLUMNS, LONGEST_TEXT, MOST_VOTES, DatasetError, FaceTable, ImageSource, open_source
from kerasfer.datasets.reading import SPLITS, Problems, check_images, check_split, words
from kerasfer.datasets.text_files import csv_rows
from kerasfer.expressions import (
    ACTION_UNITS,
    ALIASES,
    FERPLUS8,
    KNOWN_CLASSES,
    LABEL_CODES,
    LABEL_SPACES,
    UNKNOWN,
    LabelSpace,
    class_name,
    known_expression,
    label_codes,
)
from kerasfer.faces import BLENDSHAPES
from kerasfer.files import printable
from kerasfer.folders import sorted_out
from kerasfer.images import IMAGE_SUFFIXES

__all__ = ["class_folders", "find_images", "read_csv", "read_folder"]

_log = logging.getLogger(__name__)

_SPLIT_ALIASES = {
    "training": "train",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "publictest": "valid",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "privatetest": "test",
}
"""Other names of the parts; FER-2013 calls its own Training, PublicTest and PrivateTest."""

_ABOUT_FOLDERS = re.compile(r"(set|sets|split|data|images?|imgs?|faces?|aligned|class|classes)?\d*$")
"""What may stand behind a part's name in a folder's, or beside it."""

_VECTORS = {"box": 4, "pose": 3, "landmarks": 136, "blendshapes": len(BLENDSHAPES), "aus": len(ACTION_UNITS)}


def find_images(name: str, root: str | Path) -> tuple[ImageSource, list[str]]:
    """A source and its images' paths, without the folders that all of them stand in."""
    source = open_source(root)
    found, _ = _sorted_out(name, root, source)
    return source, found


def _sorted_out(name: str, root: str | Path, source: ImageSource) -> tuple[list[str], str]:
    """The images' paths, and what is said of the files beside them."""
    listing = sorted_out(source.names(), lambda path: bytes(source.read(path)), getattr(source, "left_out", None))
    if not listing.photos:
        raise DatasetError(f"{root}: holds no images ({', '.join(IMAGE_SUFFIXES)}), which {name} is made of")
    left_out = {**listing.left_out, **({"of video": len(listing.videos)} if listing.videos else {})}
    return list(listing.photos), dataclasses.replace(listing, left_out=left_out).remark()


def _part_of_folder(name: str) -> str:
    """The part that a folder's name tells, as "Training", "testset", "AffectNet_val2" and "PublicTest" do; "" for none.

    A name that tells two, such as "train_test_split", tells none.
    """
    told = words(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name))
    told = [_ABOUT_FOLDERS.sub("", word) for word in told]
    together = "".join(told).removeprefix("fer2013")
    parts = {_SPLIT_ALIASES.get(word, word) for word in [together] if word} & set(SPLITS)
    parts = parts or {_SPLIT_ALIASES.get(word, word) for word in told if word != "dev"} & set(SPLITS)
    return parts.pop() if len(parts) == 1 else ""


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
    expressions: Sequence[str] | LabelSpace | None = None,
    labels_of: str | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads `<class>/<image>`, `<split>/<class>/<image>` or `<class>/<split>/<image>`.

    Other folders may stand around and between them.

    Folders that all bear names of known expressions ("happiness", "Happy") become these; else every folder is a class
    of its own name, whatever that is.

    Args:
        root: the folder or zip; a zip may hold one folder with everything in it.
        split: read only the folder train, valid (or val, validation, PublicTest) or test (or PrivateTest), also called
            "val_set" or "Test images"; None reads all.
        strict: raise on damaged files and folders that are no class; False leaves them out.
        classes: "expression" if the class folders bear the names of classes, "identity" if they are people; or a
            mapping from the folders' names to those of classes, for example {"1": "surprise"}.
        expressions: the classes there are, in order, if folders of other names are a mistake; by default all that
            are found, known expressions in their order, others by name.
        labels_of: whose numbers the folders bear, if they are numbers: "raf_db" or another of `LABEL_CODES`; "names"
            if the numbers are to be names of classes.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        Columns path, expression (or identity), and split where there are folders of splits.

    Raises:
        DatasetError: there are no such folders, folders are numbers and no one said whose, or, if strict, files or
            classes are bad.
    """
    check_split("folder", split)
    naming = _Naming("folder", classes, expressions, labels_of)
    if isinstance(classes, str) and classes not in ("expression", "identity"):
        raise DatasetError(f"folder: classes must be expression, identity or a mapping, not {classes!r}")
    source = open_source(root)
    found, remark = _sorted_out("folder", root, source)
    if remark:
        _log.warning("%s: %s", printable(root), remark)
    problems = Problems("folder", strict)
    paths, labels, splits = [], [], []
    by_class = classes == "expression" and expressions is None and _parts_stand_in_classes(root, found)
    places = [_class_and_parents(path, by_class) for path in found]
    numbers = naming.settle([place[0] for place in places] if classes != "identity" else [])
    if numbers:
        raise DatasetError(f"{root}: unknown expression {numbers[0]!r}: {naming.question('folders', numbers)}")
    for path, (folder, parents) in zip(found, places, strict=True):
        if not folder:
            problems.add(source.describe(path), "stands in no folder of a class")
            continue
        part = next(filter(None, map(_part_of_folder, reversed(parents))), "")
        if split not in (None, part):
            continue
        if classes != "identity" and (reason := naming.wrong.get(folder)):
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
        columns["expression"] = [naming.names[name] for name in names]
    if any(splits):
        columns["split"] = np.array(splits, np.str_)[good]
    rejected = problems.close()
    return FaceTable("folder", source, columns, naming.space(columns.get("expression", ())), rejected)


def _parts_stand_in_classes(root: str | Path, paths: Sequence[str]) -> bool:
    """Whether the layout is `<class>/<split>/<image>`; `DatasetError` if there are parts and no classes."""
    folders = {PurePosixPath(path).parent for path in paths}
    if not all(_part_of_folder(folder.name) for folder in folders):
        return False
    if bare := sorted(folder.name for folder in folders if not folder.parent.name):
        raise DatasetError(
            f"{root}: {', '.join(map(repr, bare))} hold images and no folders of classes; put them in <split>/<class>/"
        )
    return True


def _class_and_parents(path: str, by_class: bool) -> tuple[str, tuple[str, ...]]:
    """The folder that names an image's class, "" if there is none, and the other folders that it stands in."""
    parents = PurePosixPath(path).parent.parts
    place = len(parents) - (2 if by_class else 1)
    return ("", ()) if place < 0 else (parents[place], parents[:place] + parents[place + 1 :])


_NUMBER = re.compile(r"\d+(?:\.0*)?")
_NAMES = "names"
"""Value of `labels_of` that takes numbers for names."""

_MISSPELLED = 0.85
"""How much of two words is equal if one is the other misspelled: "surprize" is "surprise", "content" no "contempt"."""


class _Naming:
    """Which class each folder or cell names.

    Args:
        reader: the data set's name, for messages.
        classes, expressions, labels_of: the reader's options.

    Attributes:
        names: what is written -> name of its class, once `settle` has seen all that is written.
        wrong: what is written and names no class -> why.
    """

    def __init__(
        self,
        reader: str,
        classes: str | Mapping[str, str],
        expressions: Sequence[str] | LabelSpace | None,
        labels_of: str | None,
    ) -> None:
        if isinstance(classes, str) and classes == "identity" and (expressions or labels_of):
            raise DatasetError(f"{reader}: people have no expressions: leave expressions and labels_of out")
        self._mapping = None if isinstance(classes, str) else classes
        self._labels_of = labels_of
        try:
            self.codes = None if labels_of in (None, _NAMES) else label_codes(labels_of)
            if isinstance(expressions, str) and expressions not in LABEL_SPACES:
                expressions = expressions.split(",")
            self.expressions = None if expressions is None else LabelSpace.of(expressions)
        except ValueError as error:
            raise DatasetError(f"{reader}: {error}") from error
        self.names: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        self._own: LabelSpace | None = None

    def settle(self, written: Iterable[str]) -> list[str]:
        """Takes all that is written, and gives what is a number that no option explains."""
        numbers, names = [], {}
        for text in sorted(set(written)):
            try:
                name = self._name(text)
            except ValueError as error:
                self.wrong[text] = str(error)
                continue
            if name is None:
                numbers.append(text)
            else:
                names[text] = name
        self._call(names)
        return numbers

    def _name(self, text: str) -> str | None:
        """The name that is meant, None for a number; `ValueError` if it is none."""
        if self._mapping is not None:
            if text not in self._mapping:
                raise ValueError(f"class {text!r} is not in the mapping")
            return class_name(self._mapping[text])
        name = class_name(text)
        listed = self.expressions is not None and self.expressions.find(name) != UNKNOWN
        if not _NUMBER.fullmatch(name) or listed or self._labels_of == _NAMES:
            return name
        if self.codes is None:
            return None
        if not math.isfinite(float(name)) or int(float(name)) not in self.codes:
            raise ValueError(f"{name} is no code of {self._labels_of}, which has {', '.join(map(str, self.codes))}")
        return self.codes[int(float(name))].label

    def _call(self, names: Mapping[str, str]) -> None:
        """Decides what the classes are called in the table."""
        if self.expressions is not None:
            for text, name in names.items():
                if (number := self.expressions.find(name)) == UNKNOWN:
                    self.wrong[text] = f"class {name!r} is not one of {', '.join(self.expressions.labels)}"
                else:
                    self.names[text] = self.expressions.labels[number]
            return
        meant = {text: known_expression(name) for text, name in names.items()}
        unknown = [text for text, expression in meant.items() if expression is None]
        near = {text: difflib.get_close_matches(names[text].lower(), _SPELLED, 1, _MISSPELLED) for text in unknown}
        if not names or len(unknown) < len(names) and all(near[text] and names[text].isalpha() for text in unknown):
            for text in unknown:
                self.wrong[text] = (
                    f"unknown expression {names[text]!r}, which looks like {near[text][0]!r}; if it is a class of "
                    "your own, name all classes: expressions=(...)"
                )
            self.names = {text: expression.label for text, expression in meant.items() if expression is not None}
            return
        spelled: dict[str, str] = {}
        self.names = {text: spelled.setdefault(name.casefold(), name) for text, name in names.items()}
        own: list[str] = sorted(spelled.values(), key=str.casefold)
        self._own = LabelSpace.of(own)

    def question(self, what: str, numbers: Sequence[str]) -> str:
        """What to ask where there are numbers."""
        shown = ", ".join(numbers[:10]) + (", ..." if len(numbers) > 10 else "")
        return (
            f"{what} hold numbers ({shown}), which mean other expressions in every data set; say whose they are with "
            f"labels_of= (--labels-of): {', '.join(LABEL_CODES)}; or {_NAMES}, if they are names of classes"
        )

    def space(self, names: Iterable[str]) -> LabelSpace:
        """The label space of a table with these classes: all that are known of, or the expressions that occur."""
        given = self._own if self.expressions is None else self.expressions
        if given is not None:
            return given
        present = [label for label in KNOWN_CLASSES if label in set(names)]
        return LabelSpace.of(present) if present else FERPLUS8


_SPELLED = tuple({*KNOWN_CLASSES, *ALIASES})


def _vector(length: int, empty: float) -> Callable[[str], np.ndarray]:
    def parse(cell: str) -> np.ndarray:
        with np.errstate(over="ignore"):
            numbers = np.array(cell.split()[: length + 1], np.float32)
        if not len(numbers):
            return np.full(length, empty, np.float32)
        if len(numbers) != length:
            raise ValueError(f"{len(cell.split())} numbers instead of {length}")
        if np.isinf(numbers).any():
            raise ValueError("a number is infinite")
        return numbers

    return parse


def _box(cell: str) -> np.ndarray:
    box = _vector(4, np.nan)(cell)
    if not np.isnan(box).all() and not (box[0] < box[2] and box[1] < box[3] and np.abs(box).max() <= _FARTHEST):
        raise ValueError(f"not left, top, right, bottom in pixels, within {_FARTHEST}")
    return box


def _votes(count: int) -> Callable[[str], np.ndarray]:
    def parse(cell: str) -> np.ndarray:
        votes = _vector(count, 0.0)(cell)
        if not ((votes >= 0) & (votes <= MOST_VOTES)).all():
            raise ValueError(f"not numbers from 0 to {MOST_VOTES:g}")
        return votes

    return parse


def _whole(dtype: type[np.integer]) -> Callable[[str], int]:
    limits = np.iinfo(dtype)

    def parse(cell: str) -> int:
        number = int(cell) if cell.strip() else -1
        if not limits.min <= number <= limits.max:
            raise ValueError(f"not a whole number from {limits.min} to {limits.max}")
        return number

    return parse


def _text(cell: str) -> str:
    if len(cell) > LONGEST_TEXT:
        raise ValueError(f"more than {LONGEST_TEXT} characters")
    return cell.strip()


_FARTHEST = 100_000
"""Pixels from the image's corner to a side of a box, at most."""

_PARSERS: dict[str, Callable[[str], Any]] = {
    "expression": lambda cell: "" if cell.strip() == str(UNKNOWN) else cell.strip(),
    "split": lambda cell: _part_of_folder(cell) or _SPLIT_ALIASES.get(cell.strip().lower(), cell.strip().lower()),
    "path": _text,
    "identity": _text,
    "sequence": _text,
    "fold": _whole(np.int16),
    "frame": _whole(np.int32),
    **{name: _vector(length, np.nan) for name, length in _VECTORS.items()},
    "box": _box,
}


def read_csv(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    file: str = "labels.csv",
    classes: str | Mapping[str, str] = "expression",
    expressions: Sequence[str] | LabelSpace | None = None,
    labels_of: str | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads a CSV file whose columns are any of the table's (`kerasfer.datasets.base.COLUMNS`); `path` is needed.

    A cell of `expression` is the name of a class: where all are names of known expressions ("happiness", "Happy") they
    become these, else each is a class of its own name. A number is a class only with `labels_of`. A cell of votes, box,
    pose, landmarks or aus holds its 8, 4, 3, 136 (x y x y ...) or 14 numbers with blanks between them; votes are for
    the FERPlus expressions, or for the classes of `expressions`, one number each. An empty cell is an unknown value.

    Args:
        root: the CSV file, or a folder or zip that holds it. Paths in it are relative to the folder it stands in.
        split: read only the rows of this split; None reads all.
        strict: raise on missing or damaged files and bad cells; False leaves those rows out.
        file: the CSV file's name in the folder or zip.
        classes: "expression", or a mapping from what the cells hold to names of classes.
        expressions: the classes there are, in order, if other names are a mistake; by default all that are found.
        labels_of: whose numbers the cells hold, if they are numbers: "fer2013" or another of `LABEL_CODES`; "names" if
            the numbers are to be names of classes.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        The columns that the file has.

    Raises:
        DatasetError: there is no such file or column, expressions are numbers and no one said whose, or, if strict,
            files or cells are bad.
    """
    check_split("csv", split)
    if isinstance(classes, str) and classes != "expression":
        raise DatasetError(f"csv: classes must be expression or a mapping, not {classes!r}")
    naming = _Naming("csv", classes, expressions, labels_of)
    voted = naming.expressions or FERPLUS8
    parsers = {**_PARSERS, "votes": _votes(len(voted))}
    root = Path(root)
    if root.is_file() and root.suffix.lower() != ".zip":
        root, file = root.parent, root.name
    source = open_source(root, file)
    origin = source.describe(file)
    rows = csv_rows(source, file)
    header = [name.strip() for name in rows.fieldnames or ()]
    unknown = sorted(set(header) - set(COLUMNS))
    if unknown or "path" not in header or len(set(header)) != len(header):
        wrong = f"not {', '.join(map(reprlib.repr, unknown[:5]))}" if unknown else "each once, and path among them"
        raise DatasetError(f"{origin}: its first line must name columns of {', '.join(COLUMNS)}; {wrong}")
    if split is not None and "split" not in header:
        raise DatasetError(f"{origin}: has no column split, so {split!r} cannot be read from it")
    rows.fieldnames = header
    problems = Problems("csv", strict)
    lines: list[tuple[int, dict[str, Any]]] = []
    for number, row in enumerate(rows, start=2):
        values = {}
        for name in header:
            try:
                if row[name] is None or None in row:
                    raise ValueError(f"{sum(value is not None for value in row.values())} cells, not {len(header)}")
                values[name] = parsers.get(name, str.strip)(row[name])
                if name == "split" and values[name] not in ("", *SPLITS):
                    raise ValueError(f"split {row[name]!r} is not {', '.join(SPLITS)}")
            except ValueError as error:
                problems.add(f"{origin} line {number}", f"column {name}: {error}")
                break
        else:
            lines.append((number, values))
    if "expression" in header:
        numbers = naming.settle(values["expression"] for _, values in lines if values["expression"])
        if numbers:
            line = next(number for number, values in lines if values["expression"] == numbers[0])
            raise DatasetError(
                f"{origin} line {line}: unknown expression {numbers[0]}: {naming.question('cells', numbers)}"
            )
    kept: list[dict[str, Any]] = []
    for number, values in lines:
        written = values.get("expression", "")
        if written in naming.wrong:
            problems.add(f"{origin} line {number}", f"column expression: {naming.wrong[written]}")
        elif split in (None, values.get("split")):
            kept.append({**values, "expression": naming.names.get(written, "")} if written else values)
    good = np.flatnonzero(check_images(source, [values["path"] for values in kept], problems, verify))
    columns = {name: [kept[row][name] for row in good] for name in header}
    return FaceTable(
        "csv", source, columns, naming.space(columns.get("expression", ())), problems.close(), vote_space=voted
    )

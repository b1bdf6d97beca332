"""`FaceTable`: a data set as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasfer import images, markup
from kerasfer.datasets.sources import (
    ArraySource,
    ChainSource,
    DatasetError,
    FolderSource,
    ImageSource,
    ZipSource,
    open_source,
)
from kerasfer.expressions import FERPLUS8, KNOWN_CLASSES, UNKNOWN, LabelSpace
from kerasfer.faces import Box

__all__ = [
    "COLUMNS",
    "SHAPES",
    "ArraySource",
    "ChainSource",
    "DatasetError",
    "FaceTable",
    "FolderSource",
    "ImageSource",
    "Rejected",
    "ZipSource",
    "open_source",
]


COLUMNS: dict[str, str] = {
    "path": "str: where the source finds the image",
    "expression": "int16: number of the table's class, for known expressions their code; -1 where it is not known",
    "votes": "float32 (K,): annotators' votes for the table's vote_space, by default the eight FERPlus expressions",
    "identity": "str: the person; empty where not known",
    "box": "float32 (4,): left, top, right, bottom of the face in pixels; NaN for the whole image",
    "pose": "float32 (3,): yaw, pitch, roll in degrees as in HeadPose; NaN where not known",
    "landmarks": "float32 (68, 2): x, y in pixels of the image; NaN where not known",
    "blendshapes": "float32 (52,): score in [0, 1] of each of `kerasfer.faces.BLENDSHAPES`; NaN where not known",
    "aus": "float32 (14,): intensity in [0, 1] of each unit of ACTION_UNITS; NaN where not known",
    "split": "str: train, valid or test, as the data set's owners divide it; empty where they do not",
    "fold": "int16: number of the official fold, -1 where there is none",
    "sequence": "str: the video or sequence the image is from",
    "frame": "int32: number of the frame in it, -1 where not known",
}
"""The columns of a table: name -> type and meaning. Only `path` and `expression` are always there."""

SHAPES: dict[str, tuple[int, ...]] = {
    "box": (4,),
    "pose": (3,),
    "landmarks": (68, 2),
    "blendshapes": (52,),
    "aus": (14,),
}
"""The columns of several numbers -> their shape; that of votes is the vote space's."""

_DTYPES: dict[str, Any] = {"expression": np.int16, "fold": np.int16, "frame": np.int32}


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A file that was left out of a table, and why."""

    path: str
    reason: str


class FaceTable:
    """A data set as columns of equal length, and the source of its images.

    Args:
        name: the data set's name.
        source: where the images are read from.
        columns: name -> values, for names in `COLUMNS`. `path` is needed; a missing `expression` counts as unknown.
            `expression` may hold names of classes, "" for unknown, in place of numbers.
        label_space: the classes that the set distinguishes.
        rejected: files that were left out while reading, with reasons.
        classes: names of the classes that `expression` counts. They begin with the known expressions, whose numbers
            are their codes; classes of the set's own follow. By default those are the label space's.
        vote_space: the classes that `votes` has a number for.

    Raises:
        DatasetError: an unknown column, unequal lengths, or a shape, name or code that `COLUMNS` does not allow.
    """

    def __init__(
        self,
        name: str,
        source: ImageSource,
        columns: dict[str, Any],
        label_space: LabelSpace,
        rejected: Sequence[Rejected] = (),
        classes: Sequence[str] | None = None,
        vote_space: LabelSpace = FERPLUS8,
    ) -> None:
        self.name = name
        self.source = source
        self.label_space = label_space
        self.rejected = tuple(rejected)
        self.classes = _with_known(label_space.labels if classes is None else classes)
        self.vote_space = vote_space
        unknown = set(columns) - set(COLUMNS)
        if unknown or "path" not in columns:
            raise DatasetError(
                f"{name}: a table has a path column, others of {', '.join(COLUMNS)}; not {', '.join(sorted(unknown))}"
            )
        size = len(columns["path"])
        columns = {"expression": np.full(size, UNKNOWN, np.int16), **columns}
        columns["expression"] = self._numbers(columns["expression"])
        shapes = {**SHAPES, "votes": (len(vote_space),)}
        self.columns: dict[str, np.ndarray] = {}
        for column in COLUMNS:
            if column not in columns:
                continue
            if column in shapes:
                with np.errstate(over="ignore"):
                    values = np.asarray(columns[column], np.float32)
                if column == "votes" and len(values) and values.shape[1:] != shapes[column]:
                    raise DatasetError(
                        f"{name}: votes are for {', '.join(vote_space.labels)}: {len(vote_space)} numbers a face, "
                        f"got an array of shape {values.shape}"
                    )
                values = values.reshape(-1, *shapes[column])
            elif column in _DTYPES:
                values = self._whole(column, columns[column])
            else:
                values = self._texts(column, columns[column])
            if len(values) != size:
                raise DatasetError(f"{name}: column {column!r} has {len(values)} values for {size} paths")
            if column == "votes":
                self._require_votes(values)
            values.setflags(write=False)
            self.columns[column] = values

    def _whole(self, column: str, numbers: Any) -> np.ndarray:
        """Numbers that fit into a column of whole ones; others are not wrapped round."""
        limits = np.iinfo(_DTYPES[column])
        values = np.asarray(numbers).reshape(-1)
        if values.size and not ((values >= limits.min) & (values <= limits.max)).all():
            raise DatasetError(f"{self.name}: column {column!r} holds whole numbers from {limits.min} to {limits.max}")
        return values.astype(_DTYPES[column])

    def _texts(self, column: str, texts: Any) -> np.ndarray:
        """Texts of a length for which an array of all of them has room."""
        if not isinstance(texts, np.ndarray):
            texts = [str(text) for text in texts]
            if any(len(text) > LONGEST_TEXT for text in texts):
                raise DatasetError(f"{self.name}: column {column!r} holds texts of at most {LONGEST_TEXT} characters")
        return np.asarray(texts, np.str_).reshape(-1)

    def _require_votes(self, votes: np.ndarray) -> None:
        """Votes are numbers from 0 on; NaN throughout where nobody voted."""
        known = votes[~np.isnan(votes).all(axis=1)]
        if not ((known >= 0) & (known <= MOST_VOTES)).all():
            raise DatasetError(f"{self.name}: votes are numbers from 0 to {MOST_VOTES:g}")

    def _numbers(self, classes: Any) -> np.ndarray:
        """The numbers of classes that are given by number or by name, checked."""
        values = np.asarray(classes)
        if values.dtype.kind in "US":
            numbers = {name: number for number, name in enumerate(self.classes)} | {"": UNKNOWN}
            strange = sorted(set(values.tolist()) - set(numbers))
            if strange:
                raise DatasetError(
                    f"{self.name}: class {strange[0]!r} is not among those of the label space: "
                    f"{', '.join(self.label_space.labels)}"
                )
            values = np.array([numbers[name] for name in values.tolist()], np.int16)
        if values.size and (values.min() < UNKNOWN or values.max() >= len(self.classes)):
            raise DatasetError(
                f"{self.name}: expression codes must be those of Expression, then of the set's own classes, "
                f"or {UNKNOWN}; there are {len(self.classes)}"
            )
        return values

    def replace(self, **changes: Any) -> FaceTable:
        """A table with other arguments than this one's, such as `source`, `columns` or `rejected`."""
        mine = {
            "name": self.name,
            "source": self.source,
            "columns": self.columns,
            "label_space": self.label_space,
            "rejected": self.rejected,
            "classes": self.classes,
            "vote_space": self.vote_space,
        }
        return FaceTable(**{**mine, **changes})

    def __len__(self) -> int:
        return len(self.columns["path"])

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self.columns:
            known = COLUMNS.get(column)
            hint = f"this set has none ({known})" if known else f"columns are {', '.join(COLUMNS)}"
            raise DatasetError(f"{self.name}: no column {column!r}; {hint}")
        return self.columns[column]

    def __repr__(self) -> str:
        return f"FaceTable({self.name!r}, {len(self)} faces, columns {', '.join(self.columns)})"

    @markup.optional
    def _repr_html_(self) -> str:
        counts = {name: number for name, number in self.counts().items() if number}
        told = ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "no labels"
        return markup.page(
            markup.Html(f"<b>{markup.escaped(self.name)}</b>: {len(self):,} faces; {markup.escaped(told)}"),
            f"columns: {', '.join(self.columns)}" + (f"; {len(self.rejected)} left out" if self.rejected else ""),
            self._contact_sheet(12),
        )

    def _contact_sheet(self, most: int) -> markup.Html:
        """Some faces from the whole of the table, small, each with the name of its class."""
        rows = np.linspace(0, len(self) - 1, min(len(self), most)).round().astype(int) if len(self) else []
        names = self.class_names()
        cells = []
        for row in map(int, rows):
            cells.append(
                '<span style="display:inline-block;width:76px;margin:2px;text-align:center;font-size:11px;'
                f'vertical-align:top">{self._thumbnail(row)}<br>{markup.escaped(names[row] or "–")}</span>'
            )
        return markup.Html("".join(cells))

    def _thumbnail(self, row: int) -> markup.Html:
        """A face, 72 pixels wide; in its place "no image" where it cannot be read."""
        path = str(self["path"][row])
        try:
            image = images.read_reduced(self.read(row))[0]
            box = self["box"][row] if "box" in self else np.full(4, np.nan)
            if np.isfinite(box).all():
                image = images.crop(image, Box(*map(float, box)))
            height = max(1, min(144, round(72 * image.shape[0] / image.shape[1])))
            return markup.picture(images.encode(images.resize(image, (height, 72)), ".jpg"), path)
        except (ValueError, OSError, MemoryError):
            return markup.Html(f'<span title="{markup.escaped(path)}">no image</span>')

    def select(self, rows: np.ndarray | Sequence[int] | Sequence[bool]) -> FaceTable:
        """A table of some rows: a boolean mask, or row numbers in the order wanted."""
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)
        if rows.dtype == bool and rows.shape == (len(self),) and rows.all():
            return self  # Nothing can change in a table; a copy of a large one takes its memory again.
        return self.replace(columns={name: values[rows] for name, values in self.columns.items()})

    def where(self, **equal: Any) -> FaceTable:
        """The rows where each named column equals the value given, e.g. `where(split="train")`.

        An expression may be given by name; "happy" means a class of that name, and happiness.
        """
        mask = np.ones(len(self), bool)
        for column, value in equal.items():
            if column == "expression" and isinstance(value, str):
                mask &= self.encoded(self._one_class(value)) >= 0
            else:
                mask &= self[column] == value
        return self.select(mask)

    def _one_class(self, name: str) -> LabelSpace:
        if LabelSpace("classes", self.classes).find(name) == UNKNOWN:
            raise DatasetError(f"{self.name}: no class {name!r}; classes are {', '.join(self.classes)}")
        return LabelSpace(name, (name,))

    def encoded(self, space: LabelSpace | None = None) -> np.ndarray:
        """The class number of each row in a label space (by default the table's), int32 (n,).

        A class of the table is the class of that name, or else the one that means the same expression, as
        `LabelSpace.find` tells; -1 where there is none, or the row's class is not known.
        """
        return (self.label_space if space is None else space).encode(self["expression"], self.classes)

    def labeled(self, space: LabelSpace | None = None) -> FaceTable:
        """The rows whose expression is in the space (by default: is known)."""
        return self.select(self["expression"] != UNKNOWN if space is None else self.encoded(space) >= 0)

    def outside(self, space: LabelSpace) -> dict[str, int]:
        """Classes of rows that a label space has no class for -> their number of rows."""
        codes = self["expression"]
        codes, numbers = np.unique(codes[(codes != UNKNOWN) & (self.encoded(space) == UNKNOWN)], return_counts=True)
        return {self.classes[code]: int(number) for code, number in zip(codes, numbers)}

    def class_names(self) -> np.ndarray:
        """The name of each row's class, str (n,); "" where it is not known."""
        return np.array([*self.classes, ""], np.str_)[self["expression"]]

    def votes_for(self, space: LabelSpace) -> np.ndarray:
        """The votes for the classes of a label space, float32 (n, K); those that fell on other classes are left out.

        Raises:
            DatasetError: the table has no votes, or none for one of the classes.
        """
        votes = np.nan_to_num(self["votes"])
        belongs = np.array([space.find(label) for label in self.vote_space.labels])
        if lacking := [label for number, label in enumerate(space.labels) if number not in belongs]:
            raise DatasetError(
                f"{self.name}: no one votes on {', '.join(lacking)}, only on {', '.join(self.vote_space.labels)}; "
                "use majority labels"
            )
        return votes @ np.float32(belongs[:, None] == np.arange(len(space)))

    def with_columns(self, **columns: Any) -> FaceTable:
        """A table with columns added or replaced."""
        return self.replace(columns={**self.columns, **columns})

    def mapped(self, classes: Mapping[str, str]) -> FaceTable:
        """A table with other classes, e.g. `mapped({"happiness": "happy", "sadness": "sad", "neutral": "other"})`.

        Votes are added up by class. Rows of a class that is not named count as unknown.

        Args:
            classes: class of this table -> name of the new class; the label space has the new ones as they come.

        Raises:
            DatasetError: a class that the table does not have, or names that cannot be classes.
        """
        try:
            space = LabelSpace("custom", tuple(dict.fromkeys(classes.values())))
            mine = LabelSpace("classes", self.classes)
            new = {mine.index(name): space.index(target) for name, target in classes.items()}
            columns: dict[str, Any] = dict(self.columns)
            lookup = np.array([new.get(code, UNKNOWN) for code in (*range(len(self.classes)), UNKNOWN)])
            columns["expression"] = np.array([*space.labels, ""], np.str_)[lookup[self["expression"]]]
            if "votes" in self:
                belongs = [new.get(mine.find(label), UNKNOWN) for label in self.vote_space.labels]
                columns["votes"] = self["votes"] @ np.float32(np.array(belongs)[:, None] == np.arange(len(space)))
        except ValueError as error:
            raise DatasetError(f"{self.name}: {error}") from error
        return self.replace(columns=columns, label_space=space, classes=None, vote_space=space)

    @classmethod
    def concatenate(cls, name: str, tables: Sequence[FaceTable]) -> FaceTable:
        """One table of several; it keeps the columns that all of them have. Classes of one name become one class."""
        if not tables:
            raise DatasetError(f"{name}: nothing to put together")
        shared = [column for column in COLUMNS if all(column in table for table in tables)]
        votes = _united([table.vote_space for table in tables])
        columns: dict[str, Any] = {
            column: np.concatenate([table[column] for table in tables])
            for column in shared
            if column not in ("path", "expression", "votes")
        }
        columns["path"] = [f"{number}/{path}" for number, table in enumerate(tables) for path in table["path"]]
        columns["expression"] = np.concatenate([table.class_names() for table in tables])
        if "votes" in shared:
            columns["votes"] = np.concatenate([_placed(table["votes"], table.vote_space, votes) for table in tables])
        return cls(
            name,
            ChainSource([table.source for table in tables]),
            columns,
            _united([table.label_space for table in tables]),
            [entry for table in tables for entry in table.rejected],
            [own for table in tables for own in table.classes],
            votes,
        )

    def counts(self) -> dict[str, int]:
        """Number of faces of each class of the label space, in its order."""
        encoded = self.encoded()
        numbers = np.bincount(encoded[encoded >= 0], minlength=len(self.label_space))
        return dict(zip(self.label_space.labels, map(int, numbers)))

    def read(self, row: int) -> bytes | np.ndarray:
        """The image of one row as the source holds it."""
        return self.source.read(str(self["path"][row]))

    def map_images(self, function: Callable[[bytes | np.ndarray], Any], rows: Sequence[int] | None = None) -> list:
        """Applies a function to each image in turn, in row order."""
        return [function(self.read(row)) for row in (range(len(self)) if rows is None else rows)]


def _with_known(classes: Sequence[str]) -> tuple[str, ...]:
    """The known expressions' names, then those of the classes that are no known expression's."""
    return tuple(dict.fromkeys((*KNOWN_CLASSES, *classes)))


def _united(spaces: Sequence[LabelSpace]) -> LabelSpace:
    """The classes of all spaces, each once: known expressions in their order, then others as they come."""
    if all(space == spaces[0] for space in spaces):
        return spaces[0]
    labels = [label for space in spaces for label in space.labels]
    return LabelSpace.of(label for label in _with_known(labels) if label in labels)


def _placed(votes: np.ndarray, own: LabelSpace, space: LabelSpace) -> np.ndarray:
    """Votes for the classes of one space among the columns of one that holds them all."""
    placed = np.zeros((len(votes), len(space)), np.float32)
    placed[:, [space.labels.index(label) for label in own.labels]] = votes
    return placed


LONGEST_TEXT = 4096
"""Characters of a path, or of a person's or a sequence's name, at most."""

MOST_VOTES = 1e6
"""Votes that a face may have for a class."""

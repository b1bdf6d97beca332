"""What the commands train and test on: the parts that a data set has, or a share held out."""

from __future__ import annotations

import functools
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import UNKNOWN
from kerasfer.splits.division import Split, set_aside

__all__ = [
    "Part",
    "TrainingParts",
    "evaluation_part",
    "load_evaluation_part",
    "load_train_part",
    "load_training_parts",
    "train_part",
    "training_parts",
]


class TrainingParts(NamedTuple):
    """What a training sees of a table.

    Attributes:
        train: the faces to train on.
        valid: those to watch while it trains, none of which it is trained on.
        said: one line that tells which they are, how many, and what was left aside.
    """

    train: FaceTable
    valid: FaceTable
    said: str


class Part(NamedTuple):
    """A part of a table.

    Attributes:
        table: the faces.
        said: one line that tells which they are, how many, and what was left aside.
    """

    table: FaceTable
    said: str


_READ_BY_PART = ("ferplus", "synthetic")
"""Sets that always have a train, a valid and a test part, and of which no more is read (or rendered) than is used."""

_HELD_OUT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares to hold out if none is asked for: the first that a small set, or one of few people, can be divided by."""


def training_parts(
    table: FaceTable,
    hold_out: float | None = None,
    seed: int = 0,
    *,
    split: str | None = None,
    share: float | None = None,
    valid: FaceTable | None = None,
) -> TrainingParts:
    """Divides a table into the faces to train on and those to watch; the test part is left aside.

    Trained on is the part "train"; where nothing is marked so, the faces of no part. Watched is the part "valid", or,
    if there is none, a tenth of the faces to train on, which is then held out: by person where names are known (a face
    without a name counts as a person of its own), by image otherwise, and of each expression alike.

    Args:
        table: faces, of which a column "split" may tell the part.
        hold_out: hold this share out, and watch it instead of the part "valid".
        seed: of what is held out.
        split: train on this part instead, or on "all".
        share: train on this share alone of what is left to train on, of each expression alike.
        valid: the part "valid", if it is not in the table.

    Raises:
        DatasetError: there is no such part, a face is in two parts, or there are too few faces.
    """
    for name, value in (("hold out", hold_out), ("train on", share)):
        if value is not None and not 0 < value < 1:
            raise DatasetError(f"the share to {name} must lie between 0 and 1, not {value}")
    given = valid
    parts = _parts_of(table)
    _check_rows_apart(table)
    learned, part = _learned(table, split)
    if valid is None and "valid" in parts and split not in ("all", "valid"):
        valid = table.where(split="valid")
    if valid is not None and len(learned.labeled()) and not len(valid.labeled()):
        valid = None
    if hold_out is not None or valid is None:
        inner, how = _held_out(learned, hold_out, seed)
        learned, watched, how = inner.train, inner.test, f"held out of them, by {how}"
    else:
        watched, how = valid, "the part valid"
    if share is not None:
        learned, part = _held_out(learned, share, seed + 1)[0].test, f"a share of {share:g} of {part or 'all'}"
    said = (
        f"{table.name}: {len(learned)} faces to train on{f' ({part})' if part else ''}, {len(watched)} to watch ({how})"
    )
    if people := _people_in_both(learned, watched):
        said += f"; {people} people are in both"
    return TrainingParts(
        learned, watched, said + _left_aside(table, (learned,) if watched is given else (learned, watched))
    )


def train_part(table: FaceTable, split: str | None = None) -> Part:
    """The faces of a table that may be trained on, as `training_parts` chooses them, with none held out."""
    learned, part = _learned(table, split)
    said = f"{table.name}: {len(learned)} faces to train on{f' ({part})' if part else ''}"
    return Part(learned, said + _left_aside(table, (learned,)))


def evaluation_part(table: FaceTable, split: str | None = None) -> Part:
    """The faces of a table to test a model on: the part "test"; if no face of it has an expression, "valid"; else all.

    Args:
        table: faces, of which a column "split" may tell the part.
        split: test on this part instead, or on "all".

    Raises:
        DatasetError: there is no such part.
    """
    parts = _parts_of(table)
    if split not in (None, "all") and split not in parts:
        raise DatasetError(f"{table.name}: no {split} part to test on; {_known_parts(parts)}")
    chosen = split or next((name for name in ("test", "valid") if name in parts and _has_labels(table, name)), "all")
    tested = table if chosen == "all" else table.where(split=chosen)
    if chosen != "all":
        what = f"the part {chosen}"
    elif split is None and parts:
        what = f"all of it, {' and '.join(sorted(parts))}, as no face of a test or valid part has an expression"
    else:
        what = "all of it"
    return Part(tested, f"{table.name}: {len(tested)} faces to test on ({what}){_left_aside(table, (tested,))}")


def load_training_parts(
    name: str,
    root: str | Path | None = None,
    hold_out: float | None = None,
    seed: int = 0,
    *,
    split: str | None = None,
    share: float | None = None,
    train_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> TrainingParts:
    """Reads a data set and divides it with `training_parts`; files of parts that are not used are not asked for.

    Args:
        name, root: as for `kerasfer.datasets.load`.
        hold_out, seed, split, share: as for `training_parts`.
        train_options: options of the reader for the faces to train on, and not for those of the part "valid".
        **options: options of the reader.

    Raises:
        DatasetError: as `kerasfer.datasets.load` and `training_parts`.
    """
    read = functools.partial(datasets.load, name, root, **options)
    own = dict(train_options or {})
    if name in _READ_BY_PART and split != "all":
        valid = read(split="valid") if hold_out is None and split in (None, "train") else None
        table = read(split=split or "train", **own)
        return training_parts(table, hold_out, seed, split=split, share=share, valid=valid)
    return training_parts(read(**own), hold_out, seed, split=split, share=share)


def load_evaluation_part(name: str, root: str | Path | None = None, split: str | None = None, **options: Any) -> Part:
    """Reads the faces of a data set to test a model on, as `evaluation_part` chooses them.

    Args:
        name, root: as for `kerasfer.datasets.load`.
        split: test on this part, of which alone the files are asked for, or on "all".
        **options: options of the reader.

    Raises:
        DatasetError: as `kerasfer.datasets.load` and `evaluation_part`.
    """
    read = functools.partial(datasets.load, name, root, **options)
    if split not in (None, "all"):
        table = read(split=split)
        return Part(table, f"{table.name}: {len(table)} faces to test on (the part {split})")
    if split is None and name in _READ_BY_PART:
        try:
            return evaluation_part(read(split="test"))
        except DatasetError as error:
            try:
                table, said = evaluation_part(read(split="valid"))
            except DatasetError:
                raise error from None
            return Part(table, f"{said}; the part test cannot be read: {error}")
    return evaluation_part(read(), split)


def load_train_part(name: str, root: str | Path | None = None, **options: Any) -> Part:
    """Reads the faces of a data set that may be trained on, as `train_part` chooses them.

    Raises:
        DatasetError: as `kerasfer.datasets.load`.
    """
    part: dict[str, Any] = {"split": "train"} if name in _READ_BY_PART else {}
    return train_part(datasets.load(name, root, **part, **options))


def _learned(table: FaceTable, split: str | None) -> tuple[FaceTable, str]:
    """The faces to train on, before any are held out, and what a line calls them; "" for all that there are."""
    parts = _parts_of(table)
    if split == "all" or split is None and not parts:
        return table, "all parts" if parts else ""
    if split is None and "train" not in parts and (table["split"] == "").any():
        return table.where(split=""), "the faces of no part"
    wanted = split or "train"
    if wanted not in parts:
        raise DatasetError(f"{table.name}: no {wanted} part to train on; {_known_parts(parts)}")
    return table.where(split=wanted), f"the part {wanted}"


def _parts_of(table: FaceTable) -> set[str]:
    """Names of the parts that a table's column tells."""
    return set(table["split"].tolist()) - {""} if "split" in table else set()


def _known_parts(parts: set[str]) -> str:
    return f"its parts are {', '.join(sorted(parts))}, or all" if parts else "it has no parts: say all"


def _has_labels(table: FaceTable, part: str) -> bool:
    return bool((table.where(split=part)["expression"] != UNKNOWN).any())


def _check_rows_apart(table: FaceTable) -> None:
    """`DatasetError` if one face, a path and a box, is in two parts."""
    if len(_parts_of(table)) < 2:
        return
    boxes = [box.tobytes() for box in table["box"]] if "box" in table else [b""] * len(table)
    seen: dict[tuple[str, bytes], str] = {}
    twice = {}
    for path, box, part in zip(table["path"].tolist(), boxes, table["split"].tolist()):
        first = seen.setdefault((posixpath.normpath(path), box), part)
        if first != part:
            twice[path] = (first or "no part", part or "no part")
    if twice:
        path, found = next(iter(twice.items()))
        raise DatasetError(
            f"{table.source.describe(path)}: is in {found[0]} and in {found[1]}, as {len(twice)} faces of {table.name} "
            "are in two parts; leave each in one"
        )


def _held_out(table: FaceTable, part: float | None, seed: int) -> tuple[Split, str]:
    """A `holdout` with no image and no person whose name is known on both sides, and which of them was kept apart.

    Args:
        table: the faces.
        part: the share that is set aside; None for a tenth, or more where a tenth is less than a person or an image.
        seed: of the division.
    """
    paths = np.array([posixpath.normpath(path) for path in table["path"].tolist()], np.str_)
    names = table["identity"] if "identity" in table else np.full(len(table), "", np.str_)
    known, nameless = len(set(names.tolist()) - {""}), bool((names == "").any())
    by_person = known > 1 or known == 1 and nameless
    if by_person:
        names = np.where(names == "", np.char.add("\0", paths), names)
    else:
        repeated = len(set(paths.tolist())) < len(table)
        names = paths if repeated else np.full(len(table), "", np.str_)
    grouped = table.with_columns(identity=names)
    for share in (part,) if part is not None else _HELD_OUT:
        try:
            aside = set_aside(grouped, share, seed)
        except DatasetError:
            if share in (part, _HELD_OUT[-1]):
                raise
            continue
        break
    split = Split(f"{table.name} holdout {share:g} seed {seed}", table.select(~aside), table.select(aside))
    return split, "person" if by_person else "image"


def _people_in_both(first: FaceTable, second: FaceTable) -> int:
    """Number of people, by name, of whom both tables have faces."""
    if "identity" not in first or "identity" not in second:
        return 0
    return len(set(first["identity"].tolist()) & set(second["identity"].tolist()) - {""})


def _left_aside(table: FaceTable, used: Iterable[FaceTable]) -> str:
    """What a line says of a table's faces that none of some parts of it holds."""
    left = _numbers_by_part(table)
    for part in used:
        left.subtract(_numbers_by_part(part))
    told = [f"{number} of {name or 'no part'}" for name, number in sorted(left.items()) if number]
    if not told:
        return ""
    return f"; left aside: {', '.join(told) if 'split' in table else sum(left.values())}"


def _numbers_by_part(table: FaceTable) -> Counter[str]:
    return Counter(table["split"].tolist() if "split" in table else [""] * len(table))

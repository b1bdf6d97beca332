"""Two parts of a table, or of two tables: official ones, folds by people, holdouts, pairs of sets."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import UNKNOWN, LabelSpace
from kerasfer.splits.subsets import restricted

__all__ = [
    "Split",
    "balanced",
    "cross_database",
    "holdout",
    "official",
    "official_folds",
    "repeated",
    "repeated_holdouts",
    "subject_holdout",
    "subject_independent_folds",
]


@dataclasses.dataclass(frozen=True)
class Split:
    """Two parts of a table.

    Attributes:
        name: for reports and file names.
        train: the faces to train on.
        test: the faces to test on, or to select a model on if the split was made of a training part.
    """

    name: str
    train: FaceTable
    test: FaceTable


def _key(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def check_subjects_apart(split: Split, named_only: bool = False) -> Split:
    """Returns the split; `DatasetError` if a person is on both sides."""
    shared = set(split.train["identity"].tolist()) & set(split.test["identity"].tolist())
    if named_only:
        shared.discard("")
    if shared:
        raise DatasetError(f"{split.name}: {len(shared)} people on both sides, for example {min(shared)!r}")
    return split


def _subjects(table: FaceTable) -> np.ndarray:
    """The identity column; `DatasetError` if it is missing or has gaps."""
    identities = table["identity"]
    nameless = int((identities == "").sum())
    if nameless:
        raise DatasetError(f"{table.name}: {nameless} faces have no identity, so people cannot be kept apart")
    return identities


def _assign(table: FaceTable, shares: Sequence[int], seed: int) -> np.ndarray:
    """Deals people out to parts, so that each part gets its share of every expression.

    The people with the most images come first (by the seed where equal). Each goes to the part whose expressions then
    stay closest to its share: the part with the smallest increase of sum_c count_c^2 / (total_c share).

    Args:
        table: faces with identities.
        shares: whole numbers, the parts' sizes relative to each other.
        seed: decides between people with equally many images.

    Returns:
        int (n,): number of the part of each row.
    """
    people, person = np.unique(_subjects(table), return_inverse=True)
    if len(people) < len(shares):
        raise DatasetError(f"{table.name}: {len(people)} people cannot be divided into {len(shares)} parts")
    codes = table["expression"].astype(np.int64) + 1
    counts = np.zeros((len(people), int(codes.max()) + 1), np.int64)
    np.add.at(counts, (person, codes), 1)
    totals = counts.sum(0).tolist()
    multiple = math.lcm(*shares) * math.lcm(*(total for total in totals if total))
    weights = [[multiple // (total * share) if total else 0 for total in totals] for share in shares]
    order = sorted(range(len(people)), key=lambda index: (-int(counts[index].sum()), _key(seed, str(people[index]))))
    held = [[0] * len(totals) for _ in shares]
    members = [0] * len(shares)
    part_of = np.empty(len(people), np.int64)
    for index in order:
        added = counts[index].tolist()

        def cost(part: int, added: list[int] = added) -> tuple[int, int, int]:
            increase = sum(w * n * (2 * h + n) for w, n, h in zip(weights[part], added, held[part]))
            return increase, members[part], part

        part = min(range(len(shares)), key=cost)
        held[part] = [before + more for before, more in zip(held[part], added)]
        members[part] += 1
        part_of[index] = part
    return part_of[person]


def subject_independent_folds(table: FaceTable, count: int = 10, seed: int = 0) -> list[Split]:
    """Divides a table into folds by people, balanced by expression; each fold is tested once.

    Args:
        table: faces with identities.
        count: number of folds, at least 2.
        seed: of the division.

    Returns:
        `count` splits in which nobody is on both sides and every face is tested exactly once.

    Raises:
        DatasetError: faces without identity, or fewer people than folds.
    """
    if count < 2:
        raise DatasetError(f"cross-validation needs at least 2 folds, not {count}")
    fold = _assign(table, [1] * count, seed)
    return [
        check_subjects_apart(
            Split(
                f"{table.name} fold {number + 1} of {count}", table.select(fold != number), table.select(fold == number)
            )
        )
        for number in range(count)
    ]


def official(table: FaceTable, test: str | None = None) -> Split:
    """The split that the data set's owners made.

    Args:
        table: faces with a split column.
        test: the part to test on; by default "test" where there is one, else "valid".

    Raises:
        DatasetError: there is no such part, or no training part.
    """
    parts = set(table["split"].tolist())
    test = test or ("test" if "test" in parts else "valid")
    missing = sorted({"train", test} - parts)
    if missing:
        raise DatasetError(f"{table.name}: no {' and no '.join(missing)} part in this table; read it with split=None")
    return Split(f"{table.name} {test}", table.where(split="train"), table.where(split=test))


def balanced(table: FaceTable, seed: int = 0) -> FaceTable:
    """A table with as many faces of each expression that it has: their mean number.

    Of frequent expressions it has some of the faces, of rare ones all, again and again; faces without an expression are
    left out.

    Raises:
        DatasetError: no face has an expression.
    """
    table = table.labeled()
    found = np.unique(table["expression"])
    if not len(found):
        raise DatasetError(f"{table.name}: no face has an expression, so none can be drawn as often as another")
    order = sorted(range(len(table)), key=lambda row: _key(seed, str(table["path"][row])))
    codes = table["expression"][order]
    count = len(table) // len(found)
    rows = [np.resize(np.asarray(order)[codes == code], count) for code in found]
    return table.select(np.concatenate(rows))


def official_folds(table: FaceTable) -> list[Split]:
    """The folds that the data set's owners made, each tested once.

    Where the table has identities, nobody whose name is known may be on both sides.

    Raises:
        DatasetError: there is no fold column, or a person is in two folds.
    """
    numbers = sorted(set(table["fold"].tolist()) - {-1})
    if len(numbers) < 2:
        raise DatasetError(f"{table.name}: has no official folds")
    table = table.select(table["fold"] >= 0)
    splits = [
        Split(f"{table.name} official fold {number}", table.select(table["fold"] != number), table.where(fold=number))
        for number in numbers
    ]
    return [check_subjects_apart(split, named_only=True) for split in splits] if "identity" in table else splits


def holdout(table: FaceTable, part: float = 0.1, seed: int = 0) -> Split:
    """Sets a part of a (training) table aside, balanced by expression, to select a model on.

    By people where the table has identities, so that nobody is on both sides; by images where nobody is known.

    Args:
        table: the faces.
        part: the part set aside, between 0 and 1.
        seed: of the division.

    Returns:
        A split whose `test` is what was set aside.

    Raises:
        DatasetError: a part that is not between 0 and 1, some faces without identity, or too few faces.
    """
    aside = set_aside(table, part, seed)
    split = Split(f"{table.name} holdout {part:g} seed {seed}", table.select(~aside), table.select(aside))
    return check_subjects_apart(split) if _has_names(table) else split


def _has_names(table: FaceTable) -> bool:
    return "identity" in table and bool((table["identity"] != "").any())


def set_aside(table: FaceTable, part: float, seed: int) -> np.ndarray:
    """Which rows `holdout` sets aside, bool (n,)."""
    if not 0 < part < 1:
        raise DatasetError(f"the part to hold out must lie between 0 and 1, not {part}")
    if _has_names(table):
        share = Fraction(part).limit_denominator(1000)
        if not 0 < share < 1:
            raise DatasetError(f"the part to hold out must lie between 0.001 and 0.999, not {part}")
        aside = _assign(table, [share.denominator - share.numerator, share.numerator], seed) == 1
    else:
        aside = np.zeros(len(table), bool)
        for code in np.unique(table["expression"]):
            rows = np.flatnonzero(table["expression"] == code)
            ordered = sorted(rows.tolist(), key=lambda row: _key(seed, str(table["path"][row])))
            aside[ordered[: round(part * len(ordered))]] = True
    if not aside.any() or aside.all():
        raise DatasetError(f"{table.name}: {len(table)} faces are too few to hold out {part:g} of them")
    return aside


def repeated_holdouts(table: FaceTable, part: float = 0.1, seeds: Iterable[int] = range(5)) -> list[Split]:
    """One `holdout` for each seed."""
    return [holdout(table, part, seed) for seed in seeds]


def subject_holdout(table: FaceTable, part: float = 0.2, seed: int = 0) -> Split:
    """Divides a table once by people, balanced by expression: `part` of it is tested, as with 80 and 20 subjects.

    Raises:
        DatasetError: as `holdout`, or nobody is known.
    """
    _subjects(table)
    return holdout(table, part, seed)


def repeated(split: Split, runs: int = 3) -> list[Split]:
    """The same split several times, for runs that differ in their seeds.

    Raises:
        DatasetError: fewer than one run.
    """
    if runs < 1:
        raise DatasetError(f"an experiment needs at least 1 run, not {runs}")
    return [dataclasses.replace(split, name=f"{split.name} run {run + 1} of {runs}") for run in range(runs)]


def cross_database(train: FaceTable, test: FaceTable) -> Split:
    """Trains on one data set and tests on another, on the expressions that both know.

    Raises:
        DatasetError: they share fewer than two expressions, or one has no face of them.
    """
    name = f"{train.name} to {test.name}"
    shared = [label for label in train.label_space.labels if test.label_space.find(label) != UNKNOWN]
    if len(shared) < 2:
        raise DatasetError(f"{name}: the sets share {len(shared)} expressions; a test needs at least 2")
    space = LabelSpace.of(shared)
    split = Split(name, restricted(train, space), restricted(test, space))
    for part in (split.train, split.test):
        if not len(part):
            raise DatasetError(f"{name}: {part.name} has no face with one of {', '.join(space.labels)}")
    return split

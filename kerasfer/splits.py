"""Which faces train and which test: official parts, subject-independent folds, holdouts, repeated runs, pairs of sets.

`training_parts` and `evaluation_part` choose what the apps train and test on. `seal` turns a split into what an
experiment may see of it: a part to train on, a part of the train side to select a model on, and the test part, which is
given out once.

Everything here depends on the table and the seed alone. Order is taken from SHA-256 of the seed and a name, and sums
are of whole numbers, so that every machine and every version of every library makes the same splits. scikit-learn's
`StratifiedGroupKFold` and `train_test_split` would make others, and all figures so far would be of other faces.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import UNKNOWN, LabelSpace

__all__ = [
    "Part",
    "SealedSplit",
    "Split",
    "TrainingParts",
    "balanced",
    "cross_database",
    "evaluation_part",
    "first_identities",
    "holdout",
    "load_evaluation_part",
    "load_train_part",
    "load_training_parts",
    "official",
    "official_folds",
    "repeated",
    "repeated_holdouts",
    "restricted",
    "seal",
    "subject_holdout",
    "subject_independent_folds",
    "top_identities",
    "train_part",
    "training_parts",
    "turned_by",
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


class SealedSplit:
    """A split as an experiment may see it; made by `seal`.

    Attributes:
        name: of the split.
        seed: of the run.
        train: the faces to train on.
        selection: faces of the train side to choose an epoch or a setting on; None if none were set aside.
        fingerprint: 16 hexadecimal digits that tell which faces stand on which side.
    """

    def __init__(self, name: str, seed: int, train: FaceTable, selection: FaceTable | None, test: FaceTable) -> None:
        self.name = name
        self.seed = seed
        self.train = train
        self.selection = selection
        self._test: FaceTable | None = test
        digest = hashlib.sha256()
        for part in (train, selection, test):
            digest.update(b"part")
            for path, code in () if part is None else zip(part["path"].tolist(), part["expression"].tolist()):
                digest.update(f"{path}:{code};".encode())
        self.fingerprint = digest.hexdigest()[:16]

    def release_test(self) -> FaceTable:
        """Gives the test part out, the first time that it is asked for.

        Raises:
            DatasetError: it was given out before.
        """
        if self._test is None:
            raise DatasetError(f"{self.name}: the test part was given out already; select models on `selection`")
        test, self._test = self._test, None
        return test


def seal(split: Split, selection: float = 0.1, seed: int = 0) -> SealedSplit:
    """Divides the train side of a split into a part to train on and a part to select on, and seals the test side.

    Args:
        split: what is trained and tested on.
        selection: share of the train side to select on, as in `holdout`; 0 for none.
        seed: of that division, and of the run.

    Raises:
        DatasetError: a person, or where nobody is known an image, is on both sides; or the train side is too small.
    """
    same_set = split.train.name == split.test.name
    if same_set and "identity" in split.train and "identity" in split.test:
        _check_subjects_apart(split, named_only=True)
    elif same_set:
        shared = set(split.train["path"].tolist()) & set(split.test["path"].tolist())
        if shared:
            raise DatasetError(f"{split.name}: {len(shared)} images on both sides, for example {min(shared)!r}")
    if not selection:
        return SealedSplit(split.name, seed, split.train, None, split.test)
    inner = holdout(split.train, selection, seed)
    return SealedSplit(split.name, seed, inner.train, inner.test, split.test)


def _key(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _check_subjects_apart(split: Split, named_only: bool = False) -> Split:
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
        _check_subjects_apart(
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
    table = table.labelled()
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
    return [_check_subjects_apart(split, named_only=True) for split in splits] if "identity" in table else splits


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
    aside = _set_aside(table, part, seed)
    split = Split(f"{table.name} holdout {part:g} seed {seed}", table.select(~aside), table.select(aside))
    return _check_subjects_apart(split) if _has_names(table) else split


def _has_names(table: FaceTable) -> bool:
    return "identity" in table and bool((table["identity"] != "").any())


def _set_aside(table: FaceTable, part: float, seed: int) -> np.ndarray:
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


def restricted(table: FaceTable, space: LabelSpace) -> FaceTable:
    """The faces whose expression is in a label space, as a table of that space."""
    return table.labelled(space).replace(label_space=space)


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


def turned_by(table: FaceTable, above: float, up_to: float = 180.0) -> FaceTable:
    """The faces whose head is turned by more than `above` and at most `up_to` degrees of yaw, to either side.

    The first class takes faces at exactly 0 degrees too. Faces without a known pose belong to none.

    Args:
        table: faces with poses.
        above, up_to: degrees, 0 <= above < up_to.
    """
    if not 0 <= above < up_to:
        raise DatasetError(f"a range of yaw goes upwards from at least 0 degrees, got {above:g} to {up_to:g}")
    yaw = np.abs(table["pose"][:, 0])
    return table.select(((yaw > above) | ((above == 0) & (yaw == 0))) & (yaw <= up_to))


def first_identities(table: FaceTable, count: int) -> FaceTable:
    """The faces of the first people by name, in the table's order.

    Args:
        table: faces with identities; those without a name do not count.
        count: number of people.

    Raises:
        DatasetError: there are fewer people.
    """
    people = np.unique(table["identity"][table["identity"] != ""])
    if not 0 < count <= len(people):
        raise DatasetError(f"{table.name}: {count} people asked for, there are {len(people)}")
    return table.select(np.isin(table["identity"], people[:count]))


def top_identities(table: FaceTable, count: int) -> FaceTable:
    """The faces of the people with the most images (by name where equal), in the table's order.

    Args:
        table: faces with identities; those without a name do not count.
        count: number of people.

    Raises:
        DatasetError: there are fewer people.
    """
    people, numbers = np.unique(table["identity"][table["identity"] != ""], return_counts=True)
    if not 0 < count <= len(people):
        raise DatasetError(f"{table.name}: {count} people asked for, there are {len(people)}")
    order = np.lexsort((people, -numbers))[:count]
    return table.select(np.isin(table["identity"], people[order]))


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
    if valid is not None and len(learned.labelled()) and not len(valid.labelled()):
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
    return train_part(datasets.load(name, root, **({"split": "train"} if name in _READ_BY_PART else {}), **options))


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
            aside = _set_aside(grouped, share, seed)
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

"""Splits: nobody on both sides, balance, and the same split on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer import splits
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import FERPLUS8


def table(expressions: list[int], **columns: object) -> FaceTable:
    source = ArraySource(np.zeros((1, 4, 4), np.uint8))
    paths = [str(row) for row in range(len(expressions))]
    return FaceTable("faces", source, {"path": paths, "expression": expressions, **columns}, FERPLUS8)


@pytest.fixture
def people() -> FaceTable:
    generator = np.random.default_rng(0)
    expressions, identities = [], []
    for person in range(53):
        for _ in range(int(generator.integers(1, 12))):
            expressions.append(int(generator.choice(8, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])))
            identities.append(f"person {person}")
    return table(expressions, identity=identities)


def test_folds_keep_people_apart_and_test_every_face_once(people: FaceTable) -> None:
    folds = splits.subject_independent_folds(people, 10, seed=3)
    assert len(folds) == 10
    tested = np.concatenate([fold.test["path"] for fold in folds])
    assert sorted(tested) == sorted(people["path"])
    for fold in folds:
        assert not set(fold.train["identity"]) & set(fold.test["identity"])
        assert len(fold.train) + len(fold.test) == len(people)


def test_folds_are_balanced_by_expression(people: FaceTable) -> None:
    folds = splits.subject_independent_folds(people, 5)
    counts = np.array([np.bincount(fold.test["expression"], minlength=8) for fold in folds])
    ideal = np.bincount(people["expression"], minlength=8) / 5
    assert np.abs(counts - ideal).max() <= 3


def test_folds_by_hand() -> None:
    # Two happy people and two sad ones in two folds: one of each must stand in each.
    faces = table([1, 1, 1, 1, 3, 3, 3, 3], identity=list("aabbccdd"))
    for seed in range(5):
        for fold in splits.subject_independent_folds(faces, 2, seed):
            assert np.bincount(fold.test["expression"]).tolist() == [0, 2, 0, 2]


def test_folds_follow_the_seed_and_not_the_order_of_rows(people: FaceTable) -> None:
    def people_of(faces: FaceTable, seed: int) -> list[set[str]]:
        return [set(fold.test["identity"]) for fold in splits.subject_independent_folds(faces, 4, seed)]

    shuffled = people.select(np.random.default_rng(1).permutation(len(people)))
    assert people_of(people, 1) == people_of(people, 1) == people_of(shuffled, 1)
    assert people_of(people, 1) != people_of(people, 2)


def test_folds_are_the_same_on_every_machine() -> None:
    faces = table([0, 1, 2, 0, 1, 2, 0, 1], identity=list("abcdefgh"))
    folds = splits.subject_independent_folds(faces, 2, seed=7)
    assert ["".join(fold.test["identity"]) for fold in folds] == ["acgh", "bdef"]


def test_folds_refuse_what_they_cannot_divide() -> None:
    with pytest.raises(DatasetError, match="2 people cannot be divided into 3"):
        splits.subject_independent_folds(table([0, 1], identity=["a", "b"]), 3)
    with pytest.raises(DatasetError, match="1 faces have no identity"):
        splits.subject_independent_folds(table([0, 1], identity=["a", ""]), 2)
    with pytest.raises(DatasetError, match="no column 'identity'"):
        splits.subject_independent_folds(table([0, 1]), 2)
    with pytest.raises(DatasetError, match="at least 2"):
        splits.subject_independent_folds(table([0, 1], identity=["a", "b"]), 1)


def test_people_on_both_sides_are_found() -> None:
    faces = table([0, 1, 0], identity=["a", "b", "a"], fold=[0, 0, 1])
    with pytest.raises(DatasetError, match="1 people on both sides, for example 'a'"):
        splits.official_folds(faces)


def test_official() -> None:
    faces = table([0, 1, 0, 2], split=["train", "valid", "train", "test"])
    assert splits.official(faces).test["expression"].tolist() == [2]
    assert splits.official(faces, "valid").test["expression"].tolist() == [1]
    assert len(splits.official(faces).train) == 2
    assert splits.official(faces.select([0, 1])).test["split"].tolist() == ["valid"]
    with pytest.raises(DatasetError, match="no train part"):
        splits.official(faces.where(split="test"))


def test_official_folds() -> None:
    faces = table([0, 1, 0, 2], fold=[1, 2, 2, -1], identity=["a", "b", "c", "d"])
    folds = splits.official_folds(faces)
    assert [fold.test["identity"].tolist() for fold in folds] == [["a"], ["b", "c"]]
    assert [fold.train["identity"].tolist() for fold in folds] == [["b", "c"], ["a"]]
    with pytest.raises(DatasetError, match="no official folds"):
        splits.official_folds(table([0], fold=[-1]))


def test_holdout_by_people(people: FaceTable) -> None:
    split = splits.holdout(people, 0.2, seed=1)
    assert not set(split.train["identity"]) & set(split.test["identity"])
    assert len(split.test) / len(people) == pytest.approx(0.2, abs=0.03)
    other = splits.holdout(people, 0.2, seed=2)
    assert set(other.test["identity"]) != set(split.test["identity"])


def test_holdout_by_images() -> None:
    faces = table([0] * 50 + [1] * 20 + [-1] * 10)
    split = splits.holdout(faces, 0.1, seed=1)
    assert {code: int((split.test["expression"] == code).sum()) for code in (0, 1, -1)} == {0: 5, 1: 2, -1: 1}
    assert sorted([*split.train["path"], *split.test["path"]]) == sorted(faces["path"])
    runs = splits.repeated_holdouts(faces, 0.1, range(3))
    assert len({tuple(run.test["path"]) for run in runs}) == 3
    assert runs[1].test["path"].tolist() == split.test["path"].tolist()


@pytest.mark.parametrize("part", [0, 1, -0.5, 2])
def test_holdout_refuses_a_bad_part(part: float) -> None:
    with pytest.raises(DatasetError, match="between 0 and 1"):
        splits.holdout(table([0] * 20), part)


def test_holdout_of_too_few() -> None:
    with pytest.raises(DatasetError, match="too few"):
        splits.holdout(table([0, 1, 2]), 0.1)


def test_top_identities() -> None:
    faces = table([0] * 8, identity=["c", "a", "", "b", "b", "a", "", ""])
    assert splits.top_identities(faces, 2)["identity"].tolist() == ["a", "b", "b", "a"]
    assert splits.top_identities(faces, 3)["identity"].tolist() == ["c", "a", "b", "b", "a"]
    with pytest.raises(DatasetError, match="4 people asked for, there are 3"):
        splits.top_identities(faces, 4)

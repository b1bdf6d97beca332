"""Splits: nobody on both sides, balance, and the same split on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer import datasets, splits
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import BASIC7, FERPLUS8, LabelSpace


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


def test_the_split_is_pinned() -> None:
    faces = table([row * 7 % 8 for row in range(120)], identity=[f"p{row * row % 23}" for row in range(120)])
    folds = splits.subject_independent_folds(faces, 4, seed=11)
    assert [splits.seal(fold, 0.2, seed=1).fingerprint for fold in folds] == PINNED


PINNED = ["9900cb81505b5f2f", "5a264022e217cce0", "a6cacb70c56679d5", "53a40b6af66c0db7"]
"""Fingerprints that every machine must find: a change here changes every published fold."""


def test_the_test_part_is_given_out_once(people: FaceTable) -> None:
    fold = splits.subject_independent_folds(people, 5)[0]
    sealed = splits.seal(fold, 0.2)
    assert not any(value is fold.test for value in (sealed.train, sealed.selection))
    assert sealed.release_test() is fold.test
    with pytest.raises(DatasetError, match="fold 1 of 5: the test part was given out already; select models on"):
        sealed.release_test()


def test_selection_is_a_part_of_train_and_of_other_people(people: FaceTable) -> None:
    fold = splits.subject_independent_folds(people, 5)[1]
    sealed = splits.seal(fold, 0.2, seed=4)
    assert sorted([*sealed.train["path"], *sealed.selection["path"]]) == sorted(fold.train["path"])
    sides = [set(part["identity"]) for part in (sealed.train, sealed.selection, fold.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert splits.seal(fold, 0).selection is None and splits.seal(fold, 0).train is fold.train
    assert splits.seal(fold, 0.2, seed=5).fingerprint != sealed.fingerprint


def test_seal_finds_leaks() -> None:
    faces = table([0, 1, 0, 1], identity=["a", "b", "", ""])
    leak = splits.Split("leak", faces.select([0, 1, 2]), faces.select([1, 3]))
    with pytest.raises(DatasetError, match="leak: 1 people on both sides, for example 'b'"):
        splits.seal(leak, 0)
    assert splits.seal(splits.Split("fine", faces.select([0, 2]), faces.select([1, 3])), 0)
    nameless = table([0, 1, 0])
    with pytest.raises(DatasetError, match="1 images on both sides, for example '1'"):
        splits.seal(splits.Split("leak", nameless.select([0, 1]), nameless.select([1, 2])), 0)


def test_cross_database_keeps_the_classes_of_both() -> None:
    seven, three = table([0, 1, 2, 7, 7, 6]), table([7, 1, 0, 3])
    seven = FaceTable("seven", seven.source, seven.columns, FERPLUS8)
    three = FaceTable("three", three.source, three.columns, LabelSpace.of(["contempt", "happiness", "neutral"]))
    split = splits.cross_database(seven, three)
    assert split.train.label_space.labels == split.test.label_space.labels == ("neutral", "happiness", "contempt")
    assert split.train["expression"].tolist() == [0, 1, 7, 7] and split.test["expression"].tolist() == [7, 1, 0]
    two = FaceTable("two", three.source, three.columns, LabelSpace.of(["neutral", "happiness"]))
    assert splits.cross_database(seven, two).train["expression"].tolist() == [0, 1]
    with pytest.raises(DatasetError, match="the sets share 1 expressions"):
        splits.cross_database(seven, FaceTable("one", three.source, three.columns, LabelSpace.of(["fear"])))
    with pytest.raises(DatasetError, match="seven has no face with one of neutral"):
        splits.cross_database(seven.select([]), splits.restricted(three, BASIC7))


def test_balanced_by_hand() -> None:
    """Nine faces of three expressions: three of each, the only sad face three times."""
    faces = table([0] * 6 + [1] * 2 + [3] + [-1] * 4)
    drawn = splits.balanced(faces)
    assert drawn["expression"].tolist() == [0] * 3 + [1] * 3 + [3] * 3
    assert len(set(drawn["path"][:3])) == 3 and set(drawn["path"][3:6]) == {"6", "7"}
    assert drawn["path"][6:].tolist() == ["8"] * 3
    assert drawn["path"].tolist() == splits.balanced(faces.select(np.arange(13)[::-1]))["path"].tolist()
    assert drawn["path"].tolist() != splits.balanced(faces, seed=1)["path"].tolist()
    with pytest.raises(DatasetError, match="no face has an expression"):
        splits.balanced(faces.where(expression=-1))


def test_subsets_by_yaw() -> None:
    yaw = [0.0, 10.0, 10.1, -20.0, 39.0, -41.0, np.nan]
    faces = table([0] * 7, pose=[(value, 0, 0) for value in yaw])
    edges = [0, 10, 20, 30, 40, 180]
    classes = [splits.turned_by(faces, low, high)["path"].tolist() for low, high in zip(edges, edges[1:])]
    assert classes == [["0", "1"], ["2", "3"], [], ["4"], ["5"]]
    assert splits.turned_by(faces, 20)["path"].tolist() == ["4", "5"]
    with pytest.raises(DatasetError, match="goes upwards"):
        splits.turned_by(faces, 20, 10)


def test_repeated_runs_and_first_people() -> None:
    faces = table([0, 1, 0, 1], identity=["c", "a", "b", ""])
    split = splits.Split("s", faces.select([0]), faces.select([1]))
    runs = splits.repeated(split, 2)
    assert [run.name for run in runs] == ["s run 1 of 2", "s run 2 of 2"] and runs[1].test is split.test
    assert [run.name for run in splits.repeated(split, 1)] == ["s run 1 of 1"]
    with pytest.raises(DatasetError, match="at least 1 run"):
        splits.repeated(split, 0)
    assert splits.first_identities(faces, 2)["identity"].tolist() == ["a", "b"]
    with pytest.raises(DatasetError, match="4 people asked for, there are 3"):
        splits.first_identities(faces, 4)


def test_subject_holdout_needs_people(people: FaceTable) -> None:
    split = splits.subject_holdout(people, 0.2)
    assert not set(split.train["identity"]) & set(split.test["identity"])
    with pytest.raises(DatasetError, match="no identity"):
        splits.subject_holdout(table([0] * 20, identity=[""] * 20), 0.2)


def parts_of(faces: FaceTable, *arguments: object, **options: object) -> tuple[list[str], list[str], str]:
    train, valid, said = splits.training_parts(faces, *arguments, **options)
    return train["path"].tolist(), valid["path"].tolist(), said


def divided() -> FaceTable:
    """Twenty faces to train on, four to watch, three to test on and two of no part."""
    marks = ["train"] * 20 + ["valid"] * 4 + ["test"] * 3 + [""] * 2
    return table([row % 2 for row in range(29)], split=marks)


def test_training_parts_of_a_divided_table() -> None:
    rows = [str(row) for row in range(29)]
    train, valid, said = parts_of(divided())
    assert (train, valid) == (rows[:20], rows[20:24])
    assert said == (
        "faces: 20 faces to train on (the part train), 4 to watch (the part valid); left aside: 2 of no part, 3 of test"
    )
    train, valid, said = parts_of(divided(), 0.2)
    assert len(train) == 16 and len(valid) == 4 and sorted(train + valid) == sorted(rows[:20])
    assert "4 to watch (held out of them, by image); left aside: 2 of no part, 3 of test, 4 of valid" in said
    assert [sum(int(path) % 2 for path in valid)] == [2]
    train, valid, said = parts_of(divided().select(range(20, 29)), split="valid", hold_out=0.5)
    assert sorted(train + valid) == rows[20:24]
    train, valid, _ = parts_of(divided(), split="all")
    assert sorted(train + valid) == sorted(rows)


def test_without_a_valid_part_a_tenth_of_train_is_watched_and_never_the_test_part() -> None:
    faces = divided()
    faces = faces.select(faces["split"] != "valid")
    for seed in range(3):
        train, valid, said = parts_of(faces, seed=seed)
        assert len(valid) == 2 and sorted(train + valid) == sorted(str(row) for row in range(20))
    assert parts_of(faces, seed=1)[1] != parts_of(faces, seed=2)[1]
    assert said.endswith(
        "(the part train), 2 to watch (held out of them, by image); left aside: 2 of no part, 3 of test"
    )


def test_what_is_not_marked_is_trained_on_where_only_test_faces_are_marked() -> None:
    faces = table([0, 1] * 10, split=["test", "test", *[""] * 18])
    train, valid, said = parts_of(faces)
    assert len(train) + len(valid) == 18 and not {"0", "1"} & {*train, *valid}
    assert "(the faces of no part)" in said and said.endswith("left aside: 2 of test")


def test_a_valid_part_without_expressions_is_not_watched() -> None:
    faces = table([0, 1] * 10 + [-1] * 4, split=["train"] * 20 + ["valid"] * 4)
    _, valid, said = parts_of(faces)
    assert len(valid) == 2 and "left aside: 4 of valid" in said
    nothing_known = table([-1] * 24, split=["train"] * 20 + ["valid"] * 4)
    assert len(parts_of(nothing_known)[1]) == 4


def test_a_table_without_parts_is_held_out_of() -> None:
    train, valid, said = parts_of(table([0, 1] * 10))
    assert len(train) == 18 and len(valid) == 2
    assert said == "faces: 18 faces to train on, 2 to watch (held out of them, by image)"
    assert parts_of(table([0, 1] * 10), split="all")[:2] == (train, valid)


def test_parts_that_are_not_there() -> None:
    with pytest.raises(DatasetError, match="faces: no train part to train on; its parts are test, or all"):
        splits.training_parts(table([0, 1], split=["test", "test"]))
    with pytest.raises(DatasetError, match="faces: no train part to train on; it has no parts: say all"):
        splits.training_parts(table([0, 1]), split="train")
    with pytest.raises(DatasetError, match="faces: no test part to test on; its parts are train, or all"):
        splits.evaluation_part(table([0, 1], split=["train", "train"]), "test")
    for options, message in (({"hold_out": 1.5}, "share to hold out"), ({"share": 0.0}, "share to train on")):
        with pytest.raises(DatasetError, match=f"the {message} must lie between 0 and 1"):
            splits.training_parts(table([0, 1] * 10), **options)


def test_a_face_in_two_parts_is_refused() -> None:
    columns = {"split": ["train"] * 3 + ["test"], "box": [[0, 0, 2, 2]] * 4}
    faces = table([0, 1, 0, 1], **columns)
    twice = faces.with_columns(path=["a.png", "b.png", "c.png", "./a.png"])
    with pytest.raises(
        DatasetError, match=r"\[./a.png\]: is in train and in test, as 1 faces of faces are in two parts"
    ):
        splits.training_parts(twice)
    other_face = twice.with_columns(box=[[0, 0, 2, 2]] * 3 + [[2, 2, 4, 4]])
    assert len(splits.training_parts(other_face).train) + len(splits.training_parts(other_face).valid) == 3
    assert len(splits.evaluation_part(other_face).table) == 1


def test_held_out_people_are_strangers_and_the_nameless_count_as_one_each(people: FaceTable) -> None:
    train, valid, said = splits.training_parts(people)
    assert not set(train["identity"]) & set(valid["identity"]) and "by person" in said
    assert len(valid) / len(people) == pytest.approx(0.1, abs=0.03)
    names = people["identity"].copy()
    names[::3] = ""
    some = people.with_columns(identity=names)
    train, valid, said = splits.training_parts(some)
    assert not set(train["identity"]) & set(valid["identity"]) - {""} and "by person" in said
    assert set(valid["identity"]) <= set(names) and len(train) + len(valid) == len(some)
    assert (valid["identity"] == "").any() and (train["identity"] == "").any()
    both = splits.training_parts(people.with_columns(split=np.where(np.arange(len(people)) % 5, "train", "valid")))
    shared = len(set(both.train["identity"]) & set(both.valid["identity"]))
    assert shared > 10 and f"; {shared} people are in both" in both.said


def test_one_picture_that_is_listed_twice_stays_on_one_side() -> None:
    paths = [str(row // 2) for row in range(80)]
    faces = table([row % 3 for row in range(80)]).with_columns(path=paths)
    for seed in range(4):
        train, valid, said = parts_of(faces, seed=seed)
        assert not set(train) & set(valid) and len(train) + len(valid) == 80 and len(valid) == pytest.approx(8, abs=2)
        assert "by image" in said


@pytest.mark.parametrize("count", [2, 3, 6])
def test_few_people_can_be_held_out_of(count: int) -> None:
    faces = table([row % 2 for row in range(8 * count)], identity=[f"p{row // 8}" for row in range(8 * count)])
    train, valid, _ = splits.training_parts(faces)
    assert len(set(valid["identity"])) == 1 and not set(train["identity"]) & set(valid["identity"])
    alone = faces.where(identity="p0")
    train, valid, said = splits.training_parts(alone)
    assert len(train) + len(valid) == 8 and len(valid) and "by image" in said
    with pytest.raises(DatasetError, match="too few to hold out 0.01"):
        splits.training_parts(faces, 0.01)


def test_a_share_is_of_what_is_left_to_train_on() -> None:
    whole = splits.training_parts(divided())
    part = splits.training_parts(divided(), share=0.5)
    assert set(part.train["path"]) < set(whole.train["path"]) and len(part.train) == 10
    assert part.valid["path"].tolist() == whole.valid["path"].tolist()
    assert "10 faces to train on (a share of 0.5 of the part train)" in part.said
    assert part.said.endswith("left aside: 2 of no part, 3 of test, 10 of train")
    held_out = splits.training_parts(divided(), 0.2, share=0.5)
    assert len(held_out.train) == 8 and not set(held_out.train["path"]) & set(held_out.valid["path"])
    drawn = splits.balanced(held_out.train)
    assert not set(drawn["path"]) & set(held_out.valid["path"])


def test_evaluation_parts() -> None:
    faces = divided()
    part, said = splits.evaluation_part(faces)
    assert part["path"].tolist() == ["24", "25", "26"]
    assert said == ("faces: 3 faces to test on (the part test); left aside: 2 of no part, 20 of train, 4 of valid")
    assert len(splits.evaluation_part(faces, "all").table) == 29
    assert splits.evaluation_part(faces, "valid").table["split"].tolist() == ["valid"] * 4
    unlabeled = faces.with_columns(expression=np.where(faces["split"] == "test", -1, 0))
    assert set(splits.evaluation_part(unlabeled).table["split"]) == {"valid"}
    part, said = splits.evaluation_part(faces.where(split="train"))
    assert len(part) == 20 and "all of it, train, as no face of a test or valid part" in said
    assert splits.evaluation_part(table([0, 1])).said == "faces: 2 faces to test on (all of it)"


def test_the_part_to_train_on_beside_another_set() -> None:
    part, said = splits.train_part(divided())
    assert set(part["split"]) == {"train"} and "left aside: 2 of no part, 3 of test, 4 of valid" in said
    assert len(splits.train_part(table([0, 1])).table) == 2


def test_what_is_held_out_by_default_is_what_earlier_runs_held_out() -> None:
    """A run that resumes must find its faces: a tenth with the seed 0, of a share with the next, by the same draws."""
    faces = table([row % 3 for row in range(90)])
    parts = splits.training_parts(faces, share=0.5)
    whole = splits.holdout(faces, 0.1, seed=0)
    assert parts.valid["path"].tolist() == whole.test["path"].tolist()
    assert parts.train["path"].tolist() == splits.holdout(whole.train, 0.5, seed=1).test["path"].tolist()
    named = faces.with_columns(identity=[f"p{row % 30}" for row in range(90)])
    assert splits.training_parts(named).valid["path"].tolist() == splits.holdout(named, 0.1).test["path"].tolist()


def test_defaults(people: FaceTable) -> None:
    def sides(found: list[splits.Split]) -> list[tuple[list[str], list[str]]]:
        return [(split.train["path"].tolist(), split.test["path"].tolist()) for split in found]

    assert len(splits.subject_independent_folds(people)) == 10
    assert sides([splits.subject_holdout(people)]) == sides([splits.holdout(people, 0.2, 0)])
    assert sides(splits.repeated_holdouts(people)) == sides([splits.holdout(people, 0.1, seed) for seed in range(5)])


def test_shares_that_no_whole_numbers_tell(people: FaceTable) -> None:
    for part in (0.0001, 0.99999):
        with pytest.raises(DatasetError, match=r"must lie between 0.001 and 0.999"):
            splits.holdout(people, part)


def test_the_nameless_may_be_in_several_official_folds() -> None:
    faces = table([0, 1, 0, 2], fold=[1, 1, 2, 2], identity=["a", "", "", "b"])
    assert [len(fold.test) for fold in splits.official_folds(faces)] == [2, 2]
    with pytest.raises(DatasetError, match="0 people asked for, there are 2"):
        splits.top_identities(faces, 0)
    with pytest.raises(DatasetError, match="0 people asked for, there are 2"):
        splits.first_identities(faces, 0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What is read of a set with every part, whose test part may be missing: `absent` says so."""
    read: list[dict[str, object]] = []

    def load(name: str, root: object, split: str | None = None, **options: object) -> FaceTable:
        read.append({"name": name, "split": split, **options})
        if "absent" in options and options["absent"] in (split, "every"):
            raise DatasetError(f"{name}: no images of {split}")
        found = divided()
        return found if split is None else found.where(split=split)

    monkeypatch.setattr(datasets, "load", load)
    return read


def test_of_large_sets_no_more_is_read_than_is_used(reads: list[dict[str, object]]) -> None:
    def of_last() -> list[object]:
        found = [entry["split"] for entry in reads]
        reads.clear()
        return found

    train, valid, said = splits.load_training_parts("ferplus", "root", size=1)
    assert (len(train), len(valid)) == (20, 4) and "left aside" not in said and all(read["size"] == 1 for read in reads)
    assert sorted(of_last()) == ["train", "valid"]
    train, valid, _ = splits.load_training_parts("ferplus", "root", 0.2, train_options={"labels": "probability"})
    assert (len(train), len(valid)) == (16, 4) and reads == [
        {"name": "ferplus", "split": "train", "labels": "probability"}
    ]
    reads.clear()
    splits.load_training_parts("ferplus", "root", train_options={"labels": "probability"})
    assert ["labels" in read for read in sorted(reads, key=lambda read: str(read["split"]))] == [True, False]
    reads.clear()
    splits.load_training_parts("ferplus", "root", split="valid", hold_out=0.5)
    assert of_last() == ["valid"]
    train, valid, _ = splits.load_training_parts("ferplus", "root", split="all")
    assert len(train) + len(valid) == 29 and of_last() == [None]
    assert len(splits.load_training_parts("csv", "root").train) == 20 and of_last() == [None]
    assert len(splits.load_train_part("ferplus", "root").table) == 20 and of_last() == ["train"]
    assert len(splits.load_train_part("csv", "root").table) == 20 and of_last() == [None]


def test_what_is_read_to_test_on(reads: list[dict[str, object]]) -> None:
    assert len(splits.load_evaluation_part("synthetic").table) == 3
    assert len(splits.load_evaluation_part("csv", "root").table) == 3
    table, said = splits.load_evaluation_part("csv", "root", "valid")
    assert len(table) == 4 and said == "faces: 4 faces to test on (the part valid)"
    assert len(splits.load_evaluation_part("synthetic", split="all").table) == 29
    assert [entry["split"] for entry in reads] == ["test", None, "valid", None]
    table, said = splits.load_evaluation_part("ferplus", "root", absent="test")
    assert len(table) == 4 and said.endswith("; the part test cannot be read: ferplus: no images of test")
    with pytest.raises(DatasetError, match="ferplus: no images of test"):
        splits.load_evaluation_part("ferplus", "root", absent="every")

"""Batches: what is in them, and that they depend on seed, epoch and step alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasfer import images
from kerasfer.data import NO_AUGMENTATION, Augmentation, kinds, sampling
from kerasfer.data import cache as caching
from kerasfer.data.augment import MIRRORED_LANDMARKS, augment
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable, FolderSource
from kerasfer.detection.pose import MEAN_FACE
from kerasfer.expressions import BASIC7, FERPLUS8, MULTIPIE6
from kerasfer.faces import LANDMARK_GROUPS, ImageSpec
from kerasfer.models.base import BATCH_KINDS

SPEC = ImageSpec(6, 1, "unit")


def numbered(count: int, **columns: object) -> FaceTable:
    """A table whose images have their row's number as gray level and whose expressions go round."""
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 6, 6)).copy()
    paths = [str(row) for row in range(count)]
    columns = {"path": paths, "expression": np.arange(count) % 8, **columns}
    return FaceTable("numbered", ArraySource(pixels), columns, FERPLUS8)


def rows_of(image: tf.Tensor) -> list[int]:
    """Row numbers of a batch of `numbered` images."""
    return np.rint(image.numpy()[:, 0, 0, 0] * 255).astype(int).tolist()


def points_of(count: int) -> np.ndarray:
    """The mean face for each of so many images of 6 pixels, float32 (count, 68, 2)."""
    return 6 * (0.5 + 0.37 * (np.tile(np.asarray(MEAN_FACE)[:, :2], (count, 1, 1)) - [0.0, 0.35]))


def drawn(dataset: tf.data.Dataset, key: str = "image") -> list[list[int]]:
    return [rows_of(batch[key]) for batch in dataset]


def assert_same(first: tf.data.Dataset, second: tf.data.Dataset) -> None:
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for one, other in zip(first, second):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def everything(kind: str, **options: object) -> kinds.Batches:
    """Batches of each kind, of a table that suits it."""
    generator = np.random.default_rng(5)
    table = FaceTable(
        "noise",
        ArraySource(generator.integers(0, 256, (30, 9, 9, 3)).astype(np.uint8)),
        {
            "path": [str(row) for row in range(30)],
            "expression": np.arange(30) % 8,
            "identity": [f"p{row % 7}" for row in range(30)],
            "landmarks": generator.uniform(0, 9, (30, 68, 2)),
            "pose": generator.uniform(-60, 60, (30, 3)),
            "blendshapes": generator.uniform(0, 1, (30, 52)),
        },
        FERPLUS8,
    )
    spec = ImageSpec(8, 3, "signed")
    return kinds.KINDS[kind](table, spec, FERPLUS8, 4, **{"augmentation": Augmentation.strong(), **options})


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_elements_are_as_their_spec_says(kind: str) -> None:
    made = everything(kind)
    batch = next(iter(made.epoch(0)))
    assert list(batch) == list(made.element_spec)
    for key, value in batch.items():
        assert (value.shape, value.dtype) == (made.element_spec[key].shape, made.element_spec[key].dtype)
        if key.endswith("image"):
            assert value.shape == (4, 8, 8, 3) and -1 <= value.numpy().min() < value.numpy().max() <= 1
        elif key.endswith("label") and value.dtype == tf.float32:
            np.testing.assert_array_equal(value.numpy().sum(1), 1)
    assert made.epoch(0).element_spec == made.element_spec
    assert set(BATCH_KINDS.get(kind, {})) <= set(batch)


def test_pose_labels_are_the_classes_of_the_yaw() -> None:
    yaw = [0.0, -15.0, 25.0, 35.0, -80.0, np.nan]
    table = numbered(6, pose=[[angle, 50.0, 50.0] for angle in yaw])
    options = {"labels": "majority", "augmentation": NO_AUGMENTATION}
    batch = next(iter(kinds.ImagesWithPose(table, SPEC, FERPLUS8, 6, **options).epoch(0)))
    classes = dict(zip(rows_of(batch["image"]), batch["pose_label"].numpy().tolist()))
    assert classes == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: -1}


def test_a_table_without_any_pose_is_refused() -> None:
    table = numbered(6, pose=np.full((6, 3), np.nan))
    with pytest.raises(DatasetError, match="numbered: not one face has a pose; estimate them"):
        kinds.ImagesWithPose(table, SPEC, FERPLUS8, 2)
    with pytest.raises(DatasetError, match="no column 'pose'"):
        kinds.ImagesWithPose(numbered(6), SPEC, FERPLUS8, 2)


def test_every_kind_that_models_eat_can_be_made() -> None:
    assert set(BATCH_KINDS) == set(kinds.KINDS)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_batches_depend_on_seed_epoch_and_step_alone(kind: str) -> None:
    made = everything(kind, seed=3)
    whole = list(made.epoch(4))
    list(made.epoch(0)), next(iter(made.epoch(4)))
    assert_same(made.epoch(4), whole)
    assert_same(everything(kind, seed=3).epoch(4, 2), whole[2:])
    assert len(list(made.epoch(4, made.steps_per_epoch))) == 0
    for other in (everything(kind, seed=3).epoch(5), everything(kind, seed=2).epoch(4)):
        assert any((one[key].numpy() != two[key].numpy()).any() for one, two in zip(whole, other) for key in one)


def test_an_epoch_has_no_tuning_thread_to_wait_for() -> None:
    assert everything("images").epoch(0).options().autotune.enabled is False


def test_wrong_epoch_or_step() -> None:
    made = everything("images")
    for epoch, step in ((-1, 0), (0, -1), (0, made.steps_per_epoch + 1)):
        with pytest.raises(ValueError, match="epochs count from 0"):
            made.epoch(epoch, step)


def test_an_epoch_is_one_shuffled_pass() -> None:
    made = kinds.Images(numbered(11), SPEC, FERPLUS8, 4, augmentation=NO_AUGMENTATION)
    assert made.steps_per_epoch == len(made) == 2
    passes = [sum(drawn(made.epoch(epoch)), []) for epoch in range(12)]
    assert all(len(set(rows)) == 8 for rows in passes)
    assert len({tuple(rows) for rows in passes}) == 12
    assert set(sum(passes, [])) == set(range(11))
    for batch in made.epoch(0):
        assert batch["label"].numpy().argmax(1).tolist() == [row % 8 for row in rows_of(batch["image"])]
    in_order = kinds.Images(numbered(9), SPEC, FERPLUS8, 4, augmentation=NO_AUGMENTATION, shuffle=False)
    assert drawn(in_order.epoch(3)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_rows_without_target_are_left_out() -> None:
    table = numbered(16)
    made = kinds.Images(table, SPEC, BASIC7, 1, augmentation=NO_AUGMENTATION)
    rows = sum(drawn(made.epoch(0)), [])
    assert sorted(rows) == [row for row in range(16) if row % 8 != 7]
    with pytest.raises(DatasetError, match="0 labeled images, fewer than one batch of 4"):
        kinds.Images(numbered(16, expression=[-1] * 16), SPEC, BASIC7, 4)


def test_vote_shares_by_hand() -> None:
    votes = np.zeros((3, 8))
    votes[0, [0, 1, 7]] = 2, 2, 6
    votes[1, 7] = 5
    votes[2] = np.nan
    table = numbered(3, votes=votes)
    shares = sampling.label_distributions(table, FERPLUS8, "votes")
    np.testing.assert_allclose(shares[0], [0.2, 0.2, 0, 0, 0, 0, 0, 0.6], rtol=1e-6)
    assert shares[1, 7] == 1 and shares[2].sum() == 0
    without_contempt = sampling.label_distributions(table, BASIC7, "votes")
    np.testing.assert_allclose(without_contempt[:2].sum(1), [1, 0])
    np.testing.assert_allclose(without_contempt[0, :2], [0.5, 0.5])
    with pytest.raises(DatasetError, match="no one votes on"):
        sampling.label_distributions(table, MULTIPIE6, "votes")
    with pytest.raises(DatasetError, match="majority or votes"):
        sampling.label_distributions(table, FERPLUS8, "mean")
    with pytest.raises(DatasetError, match="no column 'votes'"):
        sampling.label_distributions(numbered(3), FERPLUS8, "votes")


def test_faces_go_round_in_passes_of_their_own() -> None:
    faces = numbered(7, identity=["b", "a", "b", "c", "", "a", "c"])
    made = kinds.ExpressionAndFace(numbered(13), SPEC, FERPLUS8, 4, faces=faces, augmentation=NO_AUGMENTATION)
    assert made.steps_per_epoch == 3 and made.identity_names == ["a", "b", "c"]
    seen: list[int] = []
    for epoch in range(4):
        for batch in made.epoch(epoch):
            rows = rows_of(batch["face_image"])
            assert [made.identity_names[number] for number in batch["identity_label"]] == [
                str(faces["identity"][row]) for row in rows
            ]
            seen += rows
    passes = [seen[start : start + 6] for start in range(0, 48, 6)]
    assert all(sorted(rows) == [0, 1, 2, 3, 5, 6] for rows in passes)
    assert len(set(map(tuple, passes))) > 1


def test_fewer_faces_than_a_batch() -> None:
    faces = numbered(3, identity=["a", "b", "a"])
    made = kinds.ExpressionAndFace(numbered(8), SPEC, FERPLUS8, 8, faces=faces, augmentation=NO_AUGMENTATION)
    rows = drawn(made.epoch(0), "face_image")[0]
    assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2] and len(rows) == 8
    with pytest.raises(DatasetError, match="no face has a name"):
        kinds.ExpressionAndFace(numbered(8), SPEC, FERPLUS8, 8, faces=numbered(2, identity=["", ""]))


def test_landmark_pairs_take_another_image_of_the_person_or_of_anyone() -> None:
    people = ["a", "a", "b", "b", "b", "single", "", ""]
    points = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (1, 68, 2))
    table = numbered(8, identity=people, landmarks=points)
    made = kinds.LandmarkPairs(table, SPEC, FERPLUS8, 4, augmentation=NO_AUGMENTATION)
    assert made.steps_per_epoch == 2 and made.columns["paired"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    scale = SPEC.size / table.source.images.shape[1]
    np.testing.assert_allclose(made.columns["landmarks"], points * scale)
    np.testing.assert_array_equal(made.columns["label"].argmax(1), table["expression"])
    partners: dict[int, set[int]] = {}
    for epoch in range(30):
        for step in range(2):
            for row, other in zip(*made.rows(epoch, step)):
                partners.setdefault(int(row), set()).add(int(other))
    for epoch in range(2):
        for batch in made.epoch(epoch):
            rows, others = rows_of(batch["image"]), rows_of(batch["other_image"])
            for row, other, paired in zip(rows, others, batch["paired"].numpy()):
                assert row != other and paired == (people.count(people[row]) > 1 and people[row] != "")
            np.testing.assert_allclose(batch["landmarks"].numpy()[:, 0, 0], np.array(rows) * scale, atol=1e-6)
            np.testing.assert_allclose(batch["other_landmarks"].numpy()[:, 0, 0], np.array(others) * scale, atol=1e-6)
            assert batch["other_label"].numpy().argmax(1).tolist() == [other % 8 for other in others]
    assert partners[0] == {1} and partners[2] == {3, 4}
    assert partners[5] == set(range(8)) - {5} and partners[6] == set(range(8)) - {6}
    unnamed = kinds.LandmarkPairs(numbered(4, landmarks=points[:4]), SPEC, FERPLUS8, 2)
    assert not unnamed.columns["paired"].any()
    uncached = kinds.LandmarkPairs(table, SPEC, FERPLUS8, 4, cache=None)
    np.testing.assert_allclose(uncached.columns["landmarks"], points * scale)


def test_people_are_drawn_as_often_whatever_their_images() -> None:
    faces = numbered(12, identity=["a"] * 9 + ["b"] * 2 + ["c"])
    made = kinds.ExpressionAndPerson(numbered(300), SPEC, FERPLUS8, 30, faces=faces, augmentation=NO_AUGMENTATION)
    rows = np.concatenate([made.rows(0, step)[1] for step in range(10)])
    shares = np.bincount(rows, minlength=12) / len(rows)
    assert shares[:9].sum() == pytest.approx(1 / 3, abs=0.1) == shares[9:11].sum() and shares[11] > 0.23
    assert (shares > 0).all()
    np.testing.assert_array_equal(made.rows(0, 3)[1], made.rows(0, 3)[1])
    assert (made.rows(0, 3)[1] != made.rows(1, 3)[1]).any()
    assert sorted(np.concatenate([made.rows(0, step)[0] for step in range(10)])) == list(range(300))
    batch = next(iter(made.epoch(0)))
    labels = batch["identity_label"].numpy()
    np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], [9, 2, 1])[made.rows(0, 0)[1]])


def test_warped_pairs_are_of_one_person_for_everybody() -> None:
    """Of people with several images mostly two of them, flipped alike; of the others one, flipped each by itself."""
    table = numbered(
        16, identity=["a"] * 4 + ["b"] * 4 + [f"p{row}" for row in range(6)] + ["", ""], landmarks=points_of(16)
    )
    made = kinds.WarpedPairs(table, SPEC, FERPLUS8, 8, augmentation=NO_AUGMENTATION)
    assert made.augmentation.yaw == Augmentation.warps().yaw and made.augmentation.flip == 0
    same, others = 0, 0
    for epoch in range(20):
        for step in range(2):
            one, other = made.rows(epoch, step)
            several = one < 8
            np.testing.assert_array_equal(one[several] // 4, other[several] // 4)
            np.testing.assert_array_equal(one[~several], other[~several])
            same, others = same + (one[several] == other[several]).sum(), others + (one != other).sum()
    assert same / (same + others) == pytest.approx(kinds.WarpedPairs.OWN_SHARE, abs=0.08)
    assert made.facts(table, [table])["landmark_pairs"]["with_another_of_the_person"] == 8
    assert next(iter(made.epoch(0)))["paired"].numpy().tolist() == [1] * 8 == made.columns["paired"][:8].tolist()

    flipping = kinds.WarpedPairs(table, SPEC, FERPLUS8, 8, augmentation=dataclasses.replace(NO_AUGMENTATION, flip=0.5))
    one, other = flipping.mirrored(0, 0, (np.arange(8), np.arange(8)[::-1]))
    np.testing.assert_array_equal(one, other)
    alone = [flipping.mirrored(0, step, (np.arange(8), np.arange(8))) for step in range(8)]
    assert 0.2 < np.mean([one != other for one, other in alone]) < 0.8
    sharp = dataclasses.replace(NO_AUGMENTATION, rotation=5.0)
    assert kinds.WarpedPairs(table, SPEC, FERPLUS8, 8, augmentation=sharp).augmentation == sharp


def test_landmark_pairs_need_landmarks() -> None:
    points = np.full((4, 68, 2), np.nan, np.float32)
    for table in (numbered(4), numbered(4, landmarks=points)):
        with pytest.raises(DatasetError, match="some faces have no landmarks; locate them"):
            kinds.LandmarkPairs(table, SPEC, FERPLUS8, 2)


def test_expression_pairs() -> None:
    table = numbered(21, expression=[0] * 9 + [3] * 11 + [5])
    made = kinds.ExpressionPairs(table, SPEC, FERPLUS8, 2, augmentation=NO_AUGMENTATION)
    assert made.steps_per_epoch == 10
    partners = set()
    for epoch in range(4):
        for batch in made.epoch(epoch):
            assert batch["positive_label"].numpy().tolist() == batch["label"].numpy().tolist()
            for row, same in zip(rows_of(batch["image"]), rows_of(batch["positive_image"])):
                assert row != same and (row < 9) == (same < 9) and max(row, same) < 20
                partners.add((row, same))
    assert len(partners) > 40
    with pytest.raises(DatasetError, match="0 images of expressions with two or more"):
        kinds.ExpressionPairs(numbered(4, expression=[0, 1, 2, 3]), SPEC, FERPLUS8, 2)


def test_ranges_and_channels() -> None:
    pixels = np.stack([np.zeros((4, 4)), np.full((4, 4), 255)]).astype(np.uint8)
    table = FaceTable("two", ArraySource(pixels), {"path": ["0", "1"], "expression": [0, 1]}, FERPLUS8)
    for pixel_range, black in (("unit", 0.0), ("signed", -1.0)):
        for channels in (1, 3):
            spec = ImageSpec(4, channels, pixel_range)
            made = kinds.Images(table, spec, FERPLUS8, 2, augmentation=NO_AUGMENTATION, shuffle=False)
            image = next(iter(made.epoch(0)))["image"].numpy()
            assert image.shape == (2, 4, 4, channels)
            np.testing.assert_array_equal(image[0], np.full((4, 4, channels), black, np.float32))
            np.testing.assert_allclose(image[1], 1.0, atol=1e-6)


def test_crop_and_flip_are_exact() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(400, 0)
    result, _ = augment(pixels, np.random.default_rng(0), Augmentation(), 6)
    corners, mirrored = set(), 0
    for image in result[..., 0]:
        flipped = image[0, 0] > image[0, 1]
        image = image[:, ::-1] if flipped else image
        top, left = divmod(int(image[0, 0]), 8)
        np.testing.assert_array_equal(image, pixels[0, top : top + 6, left : left + 6, 0])
        corners.add((top, left))
        mirrored += flipped
    assert corners == {(top, left) for top in range(3) for left in range(3)}
    assert 160 < mirrored < 240


def test_no_augmentation_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 7, 3)).astype(np.uint8)
    same, _ = augment(pixels, np.random.default_rng(0), NO_AUGMENTATION, 7)
    np.testing.assert_array_equal(same, pixels)
    barely = dataclasses.replace(NO_AUGMENTATION, shift=1e-9)
    same, _ = augment(pixels, np.random.default_rng(0), barely, 7)
    np.testing.assert_array_equal(same, pixels)


def test_each_change_is_done_without_the_others() -> None:
    assert set(dataclasses.asdict(NO_AUGMENTATION).values()) == {0.0}
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 1)).astype(np.uint8)
    for change in ({"shift": 0.2}, {"scale": 0.3}, {"rotation": 30.0}, {"rotation": 0.9}, {"flip": 1.0}):
        recipe = dataclasses.replace(NO_AUGMENTATION, **change)
        changed, _ = augment(pixels, np.random.default_rng(1), recipe, 12)
        assert all((one != other).any() for one, other in zip(changed, pixels)), change
    flipped, _ = augment(pixels, np.random.default_rng(1), dataclasses.replace(NO_AUGMENTATION, flip=1.0), 12)
    np.testing.assert_array_equal(flipped, pixels[:, :, ::-1])


def test_sharp_images_move_by_whole_pixels() -> None:
    """Each is the picture, mirrored or not, moved by up to two pixels, its border repeated; the others are blurred."""
    pixels = np.random.default_rng(1).integers(0, 256, (1, 10, 10, 1)).astype(np.uint8).repeat(400, 0)
    recipe = Augmentation(margin=0.0, shift=0.2, scale=0.2, rotation=20.0, sharp=0.25)
    result, _ = augment(pixels, np.random.default_rng(0), recipe, 10)
    wide = np.pad(pixels[0, :, :, 0], 2, mode="edge")
    moved = {
        crop[:, ::step].tobytes()
        for top, left in np.ndindex(5, 5)
        for crop in [np.ascontiguousarray(wide[top : top + 10, left : left + 10])]
        for step in (1, -1)
    }
    found = [image.tobytes() for image in result[..., 0] if image.tobytes() in moved]
    assert 70 < len(found) < 130 and len(set(found)) > 40
    everything, _ = augment(pixels, np.random.default_rng(0), dataclasses.replace(recipe, sharp=1.0), 10)
    assert {image.tobytes() for image in everything[..., 0]} <= moved


@pytest.mark.parametrize("channels", [1, 3])
def test_light_and_cutout(channels: int) -> None:
    pixels = np.full((200, 10, 10, channels), 100, np.uint8)
    bright, _ = augment(pixels, np.random.default_rng(0), dataclasses.replace(NO_AUGMENTATION, brightness=0.2), 10)
    levels = bright[:, 0, 0, 0].astype(int)
    assert (bright == levels[:, None, None, None]).all()
    assert 49 <= levels.min() < 60 and 140 < levels.max() <= 151
    pixels[:, :, 5:] = 200
    flat, _ = augment(pixels, np.random.default_rng(0), dataclasses.replace(NO_AUGMENTATION, contrast=0.5), 10)
    spread = flat[:, 0, 9, 0].astype(int) - flat[:, 0, 0, 0]
    assert 49 <= spread.min() < 60 and 140 < spread.max() <= 151
    np.testing.assert_allclose(flat.mean((1, 2, 3)), 150, atol=1)
    cut, _ = augment(pixels, np.random.default_rng(0), dataclasses.replace(NO_AUGMENTATION, cutout=0.4), 10)
    holes = (cut == 150).sum((1, 2, 3)) / channels
    assert holes.max() == 16 and holes.min() >= 4
    for hole in (cut[..., 0] == 150)[holes == 16]:
        assert sorted(hole.any(0)) == sorted(hole.any(1)) == [False] * 6 + [True] * 4, "a square of four by four"
    hidden = cut[..., 0] == 150
    assert hidden[:, 0].any() and hidden[:, -1].any() and hidden[:, :, 0].any() and hidden[:, :, -1].any()
    whole = hidden[holes == 16]
    assert np.abs(np.corrcoef(whole.any(1).argmax(1), whole.any(2).argmax(1))[0, 1]) < 0.4, "anywhere"
    both = dataclasses.replace(NO_AUGMENTATION, brightness=0.1, contrast=0.2)
    lit, _ = augment(pixels, np.random.default_rng(0), both, 10)
    bright, spread = lit.mean((1, 2, 3)), lit[:, 0, 9, 0].astype(int) - lit[:, 0, 0, 0]
    assert np.abs(np.corrcoef(bright, spread)[0, 1]) < 0.3, "light and contrast are drawn apart"


@pytest.mark.parametrize(
    "field",
    [
        {"flip": 1.5},
        {"margin": -1},
        {"margin": 1.5},
        {"shift": 2.0},
        {"sharp": 1.1},
        {"scale": 1.0},
        {"shift": float("nan")},
    ],
)
def test_augmentation_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Augmentation(**field)


def test_mirrored_landmarks() -> None:
    assert (MIRRORED_LANDMARKS[MIRRORED_LANDMARKS] == np.arange(68)).all()
    pairs = {"right_brow": "left_brow", "right_eye": "left_eye"}
    for name, group in LANDMARK_GROUPS.items():
        partner = pairs.get(name, {mine: yours for yours, mine in pairs.items()}.get(name, name))
        assert set(MIRRORED_LANDMARKS[list(group)]) == set(LANDMARK_GROUPS[partner])
    assert MIRRORED_LANDMARKS[[0, 8, 30, 36, 48, 66]].tolist() == [16, 8, 30, 45, 54, 66]


def test_landmarks_move_with_the_image() -> None:
    """Two spots at the outer eye corners, 36 and 45: whichever is on the left of the result bears the number 36."""
    size, margin, count = 40, 8, 24
    generator = np.random.default_rng(2)
    landmarks = np.full((count, 68, 2), 24.0, np.float32)
    marked = generator.uniform(-2, 2, (count, 2, 2)) + [[17, 20], [31, 25]]
    points = [36, 45]
    landmarks[:, points] = marked
    columns, rows = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5)
    pixels = np.zeros((count, 48, 48, 3), np.uint8)
    for spot in range(2):
        x, y = marked[:, spot, 0, None, None], marked[:, spot, 1, None, None]
        pixels[..., spot] = np.rint(255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8))
    recipe = Augmentation(margin=margin / size, shift=0.04, scale=0.2, rotation=25.0)
    result, moved = augment(pixels, np.random.default_rng(1), recipe, size, landmarks)
    assert moved.dtype == np.float32
    weights = result[..., :2].astype(np.float64)
    place = np.arange(size) + 0.5
    totals = weights.sum((1, 2))
    found = np.stack([np.einsum("nijs,j->ns", weights, place), np.einsum("nijs,i->ns", weights, place)], 2)
    found /= totals[..., None]
    flipped = found[:, 0, 0] > found[:, 1, 0]
    assert 4 < flipped.sum() < 20
    found[flipped] = found[flipped, ::-1]
    np.testing.assert_allclose(moved[:, points], found, atol=0.15)


def test_given_flips_are_done_and_leave_the_other_draws() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 9, 1)).astype(np.uint8)
    recipe = Augmentation(margin=1 / 8)
    drawn_flips = np.random.default_rng(4).random(6) < recipe.flip
    usual, _ = augment(pixels, np.random.default_rng(4), recipe, 8)
    same, _ = augment(pixels, np.random.default_rng(4), recipe, 8, mirror=drawn_flips)
    other, _ = augment(pixels, np.random.default_rng(4), recipe, 8, mirror=~drawn_flips)
    np.testing.assert_array_equal(same, usual)
    np.testing.assert_array_equal(other, usual[:, :, ::-1])


@pytest.mark.parametrize(("kind", "together"), [("landmark_pairs", True), ("expression_pairs", False)])
def test_both_images_of_a_pair_are_flipped_or_neither(kind: str, together: bool) -> None:
    """Images that are dark on the left and landmarks of which number 36 is on the left tell what was flipped."""
    pixels = np.zeros((32, 8, 8), np.uint8)
    pixels[:, :, 4:] = 255
    points = np.full((32, 68, 2), 4.0)
    points[:, 36, 0] = 1.0
    table = FaceTable(
        "halves",
        ArraySource(pixels),
        {
            "path": [str(row) for row in range(32)],
            "expression": np.arange(32) % 8,
            "identity": [f"p{row % 8}" for row in range(32)],
            "landmarks": points,
        },
        FERPLUS8,
    )
    made = kinds.KINDS[kind](table, ImageSpec(8), FERPLUS8, 16, augmentation=Augmentation(margin=0.0))
    found = []
    for batch in (batch for epoch in range(2) for batch in made.epoch(epoch)):
        flips = [batch[key].numpy()[:, 0, 0, 0] > 0.5 for key in batch if key.endswith("image")]
        for key, flipped in zip([key for key in batch if key.endswith("landmarks")], flips):
            assert ((batch[key].numpy()[:, 45, 0] == 7.0) == flipped).all()
        found.append(flips)
    first, second = (np.concatenate(flips) for flips in zip(*(flips[:2] for flips in found)))
    assert 10 < first.sum() < 54
    assert (first == second).all() == together


def test_landmarks_follow_box_and_size() -> None:
    landmarks = np.tile(np.float32([[[10, 20]]]), (4, 68, 1))
    table = FaceTable(
        "boxed",
        ArraySource(np.zeros((4, 60, 60), np.uint8)),
        {
            "path": list("0123"),
            "expression": [0] * 4,
            "identity": list("aabb"),
            "box": [[5, 10, 25, 30]] * 2 + [[np.nan] * 4] * 2,
            "landmarks": landmarks,
        },
        FERPLUS8,
    )
    made = kinds.LandmarkPairs(table, ImageSpec(10), FERPLUS8, 4, augmentation=NO_AUGMENTATION)
    batch = next(iter(made.epoch(0)))
    for points, row in zip(batch["landmarks"].numpy(), made.rows(0, 0)[0]):
        expected = [2.5, 5.0] if row < 2 else [10 / 6, 20 / 6]
        np.testing.assert_allclose(points, np.tile(np.float32(expected), (68, 1)), rtol=1e-6)


@pytest.fixture
def folder_table(tmp_path: Path) -> FaceTable:
    for row in range(6):
        images.write(tmp_path / "faces" / f"{row}.png", np.full((6, 6), row, np.uint8))
    paths = [f"{row}.png" for row in range(6)]
    return FaceTable("mine", FolderSource(tmp_path / "faces"), {"path": paths, "expression": [1] * 6}, FERPLUS8)


def test_caches_hold_the_same(folder_table: FaceTable, tmp_path: Path) -> None:
    made = [
        kinds.Images(folder_table, SPEC, FERPLUS8, 2, cache=cache, augmentation=Augmentation(margin=0.3))
        for cache in ("memory", tmp_path / "cache", None)
    ]
    assert_same(made[0].epoch(1), made[1].epoch(1))
    assert_same(made[0].epoch(1), made[2].epoch(1))
    files = sorted(file.name for file in (tmp_path / "cache").iterdir())
    assert len(files) == 2 and all(name.startswith("mine-8x1-") for name in files)


def test_disk_cache_is_used_again_and_follows_the_files(
    folder_table: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def first(size: int = 6) -> list[int]:
        made = kinds.Images(
            folder_table, ImageSpec(size), FERPLUS8, 6, cache=cache, augmentation=NO_AUGMENTATION, shuffle=False
        )
        return drawn(made.epoch(0))[0]

    assert first() == list(range(6))
    with monkeypatch.context() as patch:
        patch.setattr(caching, "prepare_faces", lambda *_, **__: pytest.fail("decoded again"))
        assert first() == list(range(6))
    first(7)
    assert len(list(cache.iterdir())) == 4
    images.write(tmp_path / "faces" / "2.png", np.full((7, 7), 99, np.uint8))
    assert first() == [0, 1, 99, 3, 4, 5]


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_bad_image_is_named_and_leaves_nothing_half_written(
    folder_table: FaceTable, tmp_path: Path, cache: str
) -> None:
    (tmp_path / "faces" / "3.png").write_bytes(b"not an image")
    where = tmp_path / "cache" if cache == "disk" else cache
    with pytest.raises(DatasetError, match=r"1 missing or damaged.*3\.png"):
        kinds.Images(folder_table, SPEC, FERPLUS8, 2, cache=where)
    assert cache == "memory" or list((tmp_path / "cache").iterdir()) == []


def test_bad_image_without_cache_is_named(folder_table: FaceTable, tmp_path: Path) -> None:
    (tmp_path / "faces" / "3.png").write_bytes(b"not an image")
    made = kinds.Images(folder_table, SPEC, FERPLUS8, 6, cache=None, augmentation=NO_AUGMENTATION)
    with pytest.raises(tf.errors.OpError, match=r"3\.png"):
        list(made.epoch(0))


def test_cache_that_cannot_be_written(folder_table: FaceTable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DatasetError, match="cannot be written"):
        kinds.Images(folder_table, SPEC, FERPLUS8, 2, cache=tmp_path / "file" / "cache")


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kinds.Images(numbered(4), SPEC, FERPLUS8, 0)


_TWO_REPLICAS = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from test_batches import everything
made = everything("expression_and_face", seed=1)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
parts = strategy.experimental_distribute_dataset(made.epoch(2, 1))
count = 0
for whole, part in zip(made.epoch(2, 1), parts):
    for key in whole:
        values = strategy.experimental_local_results(part[key])
        assert len(values) == 2 and values[0].shape == values[1].shape, key
        np.testing.assert_array_equal(np.concatenate([value.numpy() for value in values]), whole[key].numpy())
    count += 1
assert count == made.steps_per_epoch - 1, count
"""


@pytest.mark.slow
def test_two_replicas_share_each_batch() -> None:
    command = [sys.executable, "-c", _TWO_REPLICAS, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_margin_in_pixels() -> None:
    assert [Augmentation().margin_of(size) for size in (128, 64, 48, 8)] == [8, 4, 3, 0]
    assert Augmentation.strong().margin_of(128) == 0


def faces_of_noise(count: int = 40, size: int = 48, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(2).integers(30, 220, (count, size, size, channels)).astype(np.uint8)


@pytest.mark.parametrize("field", ["gamma", "shade", "coarse", "blur", "grain", "jpeg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_cameras_do(field, channels):
    """Each of it changes images on its own, keeps what they are, and repeats."""
    faces = faces_of_noise(channels=channels)
    plain = Augmentation(margin=0.0, flip=0.0)
    asked = dataclasses.replace(plain, **{field: 0.5})
    changed, _ = augment(faces.copy(), np.random.default_rng(1), asked, 48)
    again, _ = augment(faces.copy(), np.random.default_rng(1), asked, 48)
    assert changed.shape == faces.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(changed, again)
    differ = (changed != faces).any((1, 2, 3))
    assert differ.mean() > 0.3 if field in ("coarse", "blur", "jpeg") else differ.all()
    if field in ("coarse", "blur"):
        assert changed[differ].std((1, 2)).mean() < 0.6 * faces[differ].std((1, 2)).mean()
    else:
        assert abs(changed.astype(float).mean() - faces.mean()) < 25


def test_augmentation_of_cameras_is_in_range():
    assert Augmentation.cameras().jpeg > 0 and Augmentation.cameras().sharp == 0.5
    for field in ("shade", "coarse", "blur", "grain", "jpeg"):
        with pytest.raises(ValueError, match=field):
            Augmentation(**{field: 1.5})
    with pytest.raises(ValueError, match="gamma"):
        Augmentation(gamma=-0.1)

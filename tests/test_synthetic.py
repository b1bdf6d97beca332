"""The synthetic faces: do the pixels show what the labels say, and nothing else?"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from kerasfer import rendering
from kerasfer.datasets import synthetic
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import ACTION_UNITS, EXPRESSION_ACTION_UNITS, FERPLUS8, UNKNOWN, Expression, LabelSpace
from kerasfer.faces import LANDMARK_GROUPS

SMALL = {"count": 32, "identities": 10, "size": 32}


def landmarks(identity: int = 0, **factors) -> np.ndarray:
    factors.setdefault("zoom", 0.8)
    return rendering.render(rendering.make_factors(identity, **factors), 128).landmarks


def group(points: np.ndarray, name: str) -> np.ndarray:
    return points[list(LANDMARK_GROUPS[name])]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again = synthetic.read(**SMALL), synthetic.read(**SMALL)
    assert np.array_equal(first.source.images, again.source.images)
    for column, values in first.columns.items():
        assert np.array_equal(values, again[column]), column
    assert not np.array_equal(first.source.images, synthetic.read(**SMALL, seed=1).source.images)


def test_the_same_bytes_in_a_process_of_its_own():
    code = (
        "import zlib; from kerasfer.datasets import synthetic; "
        "print(zlib.crc32(synthetic.read(count=12, identities=4, size=48, channels=3).source.images.tobytes()))"
    )
    sums = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }
    assert len(sums) == 1 and sums != {""}


def test_a_face_rendered_alone_equals_the_one_in_the_table():
    table = synthetic.read(**SMALL)
    options = synthetic.Options(**SMALL)
    for index in (31, 0, 17):
        alone = rendering.render(synthetic.sample_factors(index, options), 32)
        assert np.array_equal(alone.image, table.read(index))
        assert np.array_equal(alone.landmarks, table["landmarks"][index])


def test_one_split_alone_equals_its_part_of_the_whole():
    whole = synthetic.read(**SMALL)
    for split in ("train", "valid", "test"):
        part, rows = synthetic.read(split=split, **SMALL), np.flatnonzero(whole["split"] == split)
        assert len(part) == len(rows) > 0
        assert np.array_equal(part.source.images, whole.source.images[rows])
        for column in ("expression", "identity", "pose", "landmarks", "aus", "split", "votes"):
            assert np.array_equal(part[column], whole[column][rows]), column


def test_the_seed_of_a_larger_set_starts_with_the_same_faces():
    few = synthetic.read(count=10, identities=10, size=32)
    more = synthetic.read(count=14, identities=10, size=32)
    assert np.array_equal(few.source.images, more.source.images[:10])


@pytest.mark.parametrize("identities", [3, 7, 10, 23])
def test_people_of_different_splits_differ(identities):
    table = synthetic.read(count=2 * identities, identities=identities, size=16)
    people = {split: set(table.where(split=split)["identity"]) for split in ("train", "valid", "test")}
    assert all(people.values())
    assert not (people["train"] & people["valid"] | people["train"] & people["test"] | people["valid"] & people["test"])
    assert len(people["train"]) == max(map(len, people.values()))


def test_table_has_the_agreed_columns():
    table = synthetic.read(**SMALL)
    assert isinstance(table, FaceTable) and table.label_space == FERPLUS8
    assert set(table.columns) == {"path", "expression", "votes", "identity", "pose", "landmarks", "aus", "split"}
    assert table.read(0).shape == (32, 32) and table.read(0).dtype == np.uint8
    assert np.array_equal(table["votes"].argmax(1), table["expression"]) and (table["votes"].sum(1) == 10).all()
    assert not np.isnan(table["landmarks"]).any() and not np.isnan(table["pose"]).any()
    assert synthetic.read(count=2, identities=2, size=32, channels=3).read(1).shape == (32, 32, 3)


def test_balanced_means_every_person_shows_every_expression_equally_often():
    table = synthetic.read(count=160, identities=10, size=16)
    pairs = np.unique(np.stack([table["expression"].astype(str), table["identity"]]), axis=1, return_counts=True)
    assert pairs[0].shape[1] == 80 and set(pairs[1]) == {2}


def test_unbalanced_classes_follow_the_shares_of_ferplus():
    options = synthetic.Options(balanced=False)
    codes = [synthetic.sample_factors(index, options).expression for index in range(4000)]
    shares = np.bincount(codes, minlength=8) / 4000
    assert shares == pytest.approx([0.36, 0.26, 0.12, 0.12, 0.085, 0.02, 0.025, 0.01], abs=0.03)


def test_action_units_are_those_of_the_expression():
    table = synthetic.read(count=80, identities=10, size=16, intensity=(0.5, 0.9))
    for expression, intensities in zip(table["expression"], table["aus"]):
        active = {unit for unit, value in zip(ACTION_UNITS, intensities) if value > 0}
        assert active == EXPRESSION_ACTION_UNITS[Expression(expression)]
        assert all(0.5 <= value <= 0.9 for value in intensities if value > 0)


def test_units_drawn_apart_tell_those_of_anger_apart():
    factors, kept = (
        [synthetic.sample_factors(index, synthetic.Options(identities=10, apart=share)) for index in range(1600)]
        for share in (0.5, 0.0)
    )
    apart = np.array([made.expression == Expression.NEUTRAL and any(made.aus) for made in factors])
    shown = np.array([made.aus for made in factors]) > 0
    columns = [ACTION_UNITS.index(unit) for unit in (7, 23, 24)]
    assert 0.4 < apart.mean() < 0.6
    assert np.corrcoef(shown[~apart][:, columns].T).min() == pytest.approx(1)
    assert np.abs(np.corrcoef(shown[apart].T) - np.eye(14)).max() < 0.25
    assert (0.15 < shown[apart].mean(0)).all() and (shown[apart].mean(0) < 0.35).all()
    assert all(made.pose == other.pose for made, other in zip(factors, kept))
    assert all(made.aus == other.aus for made, other in zip(factors, kept) if made.expression != Expression.NEUTRAL)


def test_faces_whose_units_are_apart_have_no_expression():
    table = synthetic.read(count=20, identities=10, size=16, apart=1.0)
    unknown = (table["aus"] > 0).any(1)
    assert unknown.mean() > 0.8 and np.array_equal(table["expression"] == UNKNOWN, unknown)
    assert not table["votes"][unknown].any() and (table["votes"][~unknown].sum(1) == 10).all()


def test_happiness_is_six_twelve_and_twenty_five():
    made = rendering.make_factors(3, "happy", intensity=0.7)
    assert {unit: value for unit, value in zip(ACTION_UNITS, made.aus) if value} == {6: 0.7, 12: 0.7, 25: 0.7}


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_every_action_unit_changes_the_picture_and_the_landmarks_or_folds(unit):
    still = rendering.render(rendering.make_factors(1), 96)
    moved = rendering.render(rendering.make_factors(1, aus={unit: 1.0}), 96)
    assert np.abs(still.image.astype(int) - moved.image).max() > 20
    assert np.abs(still.landmarks - moved.landmarks).max() > 0.3


@pytest.mark.parametrize("unit", [25, 27])
def test_lips_part_as_far_as_the_unit_says(unit):
    gaps = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        points = landmarks(2, aus={unit: strength})
        gaps.append(points[66, 1] - points[62, 1])
    assert 0 <= gaps[0] < 2 and np.all(np.diff(gaps) > 0.5)


def test_jaw_drops_with_unit_27_and_hardly_with_25():
    chin = [landmarks(2, aus=aus)[8, 1] for aus in ({}, {25: 1.0}, {27: 1.0})]
    assert chin[2] - chin[0] > 8 and chin[2] - chin[0] > 4 * (chin[1] - chin[0]) > 0


def test_brows_rise_where_the_unit_says():
    still, inner, outer, low = (landmarks(4, aus=aus) for aus in ({}, {1: 1.0}, {2: 1.0}, {4: 1.0}))
    for corner_in, corner_out in ((21, 18), (22, 25)):
        assert still[corner_in, 1] - inner[corner_in, 1] > 3 > 1 > still[corner_out, 1] - inner[corner_out, 1]
        assert still[corner_out, 1] - outer[corner_out, 1] > 3 > 1 > still[corner_in, 1] - outer[corner_in, 1]
        assert low[corner_in, 1] - still[corner_in, 1] > 2
    assert low[22, 0] - low[21, 0] < still[22, 0] - still[21, 0]


def test_corners_of_the_mouth_and_lids():
    still = landmarks(5)
    smile, frown = landmarks(5, aus={12: 1.0}), landmarks(5, aus={15: 1.0})
    assert smile[48, 1] < still[48, 1] - 3 and smile[54, 0] - smile[48, 0] > still[54, 0] - still[48, 0] + 5
    assert frown[48, 1] > still[48, 1] + 3

    def opening(points: np.ndarray) -> float:
        return float(points[40:42, 1].mean() - points[37:39, 1].mean())

    wide, tight = landmarks(5, aus={5: 1.0}), landmarks(5, aus={7: 1.0})
    assert opening(wide) > opening(still) + 1 > opening(still) > opening(tight) + 1 > 1


def test_lids_and_lips_tighten_and_press_each_in_its_own_way():
    """7 raises the lower lid, 23 makes the mouth narrower, 24 wider and its lips thinnest."""
    still, lid, tight, pressed = (landmarks(5, aus=aus) for aus in ({}, {7: 1.0}, {23: 1.0}, {24: 1.0}))

    def width(points: np.ndarray) -> float:
        return float(points[54, 0] - points[48, 0])

    def height(points: np.ndarray) -> float:
        return float(points[57, 1] - points[51, 1])

    lower, upper = (still[rows, 1].mean() - lid[rows, 1].mean() for rows in ([40, 41, 46, 47], [37, 38, 43, 44]))
    assert lower > 1.2 and -0.7 < upper < 0
    assert np.ptp(lid[[39, 40, 41, 36], 1]) < 0.6 * np.ptp(still[[39, 40, 41, 36], 1]), "the lower lid is straight"
    assert np.array_equal(lid[48:68], still[48:68])
    assert width(tight) < width(still) - 3 < width(still) + 2 < width(pressed)
    assert height(pressed) < 0.7 * height(tight) < height(tight) < height(still) - 1


def test_contempt_pulls_one_corner_only():
    still = landmarks(6)
    for asymmetry, pulled, other in ((1.0, 54, 48), (-1.0, 48, 54)):
        points = landmarks(6, expression="contempt", asymmetry=asymmetry)
        assert still[pulled, 1] - points[pulled, 1] > 3
        assert abs(still[other, 1] - points[other, 1]) < 0.5


def test_frontal_face_is_symmetric_and_in_the_usual_order():
    for identity in range(8):
        points = landmarks(identity)
        center = 63.5
        for right, left in ((0, 16), (4, 12), (17, 26), (21, 22), (31, 35), (36, 45), (39, 42), (48, 54), (60, 64)):
            assert points[right, 0] < center < points[left, 0], "the person's right is on the left of the picture"
            assert points[right, 0] + points[left, 0] == pytest.approx(2 * center, abs=0.05)
            assert points[right, 1] == pytest.approx(points[left, 1], abs=0.05)
        levels = [group(points, name)[:, 1].mean() for name in ("right_brow", "right_eye", "nose_base", "inner_lips")]
        assert np.all(np.diff([*levels, points[8, 1]]) > 0)
        assert np.ptp(points[27:31, 0]) < 0.1 and np.all(np.diff(points[27:31, 1]) > 0)


@pytest.mark.parametrize("yaw", [15, 45])
def test_positive_yaw_looks_to_the_right_of_the_picture(yaw):
    points = landmarks(0, yaw=yaw)
    middle = (points[36, 0] + points[45, 0]) / 2
    assert points[30, 0] > middle + 3
    assert landmarks(0, yaw=-yaw)[:, 0].mean() == pytest.approx(127 - points[:, 0].mean(), abs=0.05)


def test_positive_pitch_looks_up_and_positive_roll_leans_right():
    up, level, down = (landmarks(0, pitch=pitch) for pitch in (20, 0, -20))
    rise = [points[[36, 45], 1].mean() - points[30, 1] for points in (up, level, down)]
    assert rise[0] > rise[1] > rise[2], "looking up brings the tip of the nose toward the eyes"
    leaning = landmarks(0, roll=20)
    eyes, chin = leaning[36:48].mean(0), leaning[8]
    assert eyes[0] > chin[0]
    assert np.degrees(np.arctan2(*(leaning[45] - leaning[36])[::-1])) == pytest.approx(20, abs=0.1)


def test_landmarks_scale_with_the_size():
    made = rendering.make_factors(7, "surprise", yaw=20, roll=5, zoom=0.7)
    small, large = (rendering.render(made, size).landmarks for size in (64, 256))
    assert np.allclose((small + 0.5) * 4, large + 0.5, atol=0.01)


def test_landmarks_lie_on_what_is_drawn():
    """Dark pupils lie between the eye's landmarks, the open mouth is dark within the inner lips, brows are darker."""
    for identity in (1, 5, 9):
        for yaw in (-20, 0, 20):
            made = rendering.make_factors(identity, "surprise", yaw=yaw, light_azimuth=0, zoom=0.9)
            drawn = rendering.render(made, 256)
            image, points = drawn.image.astype(float), drawn.landmarks

            def at(point: np.ndarray, image: np.ndarray = image) -> float:
                x, y = np.rint(point).astype(int)
                return image[y - 1 : y + 2, x - 1 : x + 2].mean()

            skin = at((points[28] + 2 * points[40 if yaw < 0 else 47]) / 3 + (0, 12))
            for name in ("right_eye", "left_eye"):
                eye = group(points, name)
                left, top = np.rint(eye.min(0)).astype(int)
                right, bottom = np.rint(eye.max(0)).astype(int)
                inside = image[top : bottom + 1, left : right + 1]
                assert inside.min() < 45, "a pupil"
                assert inside.max() > 120, "the white of the eye"
            mouth = 0.35 * points[62] + 0.65 * points[66]
            assert at(mouth) < 0.65 * skin
            if made.yaw == 0:
                brow = group(points, "right_brow")[2]
                assert at(brow) < at(brow + (0, -12)), "a brow is darker than the forehead above it"


def test_neutral_twin_differs_in_the_expression_only():
    table = synthetic.read(count=64, identities=8, size=48, channels=3)
    twin = synthetic.neutral_twin(table)
    for column in ("identity", "pose", "split"):
        assert np.array_equal(table[column], twin[column])
    assert (twin["expression"] == Expression.NEUTRAL).all() and (twin["aus"] == 0).all()
    factors, others = synthetic.factors_of(table), synthetic.factors_of(twin)
    for name in set(factors) - {"expression", "aus", "asymmetry"}:
        assert np.array_equal(factors[name], others[name]), name
    was_neutral = table["expression"] == Expression.NEUTRAL
    assert was_neutral.any() and not was_neutral.all()
    same = (table.source.images == twin.source.images).all((1, 2, 3))
    assert np.array_equal(same, was_neutral)
    corner = np.s_[:, :4, :4]
    untouched = (table.source.images[corner] == twin.source.images[corner]).all((1, 2, 3))
    assert untouched.mean() > 0.8, "background and noise are the same, except where hair reaches the corner"


def test_neutral_twin_of_a_selection_keeps_its_order():
    table = synthetic.read(**SMALL)
    rows = [20, 3, 11]
    part = synthetic.neutral_twin(table.select(rows))
    whole = synthetic.neutral_twin(table)
    for place, row in enumerate(rows):
        assert np.array_equal(part.read(place), whole.read(row))


def test_factors_of_other_tables_are_not_known():
    table = synthetic.read(count=4, identities=2, size=16)
    joined = FaceTable.concatenate("both", [table, table])
    with pytest.raises(DatasetError, match="rendered"):
        synthetic.neutral_twin(joined)


def test_factors_are_columns_for_disentanglement():
    table = synthetic.read(**SMALL)
    factors = synthetic.factors_of(table)
    assert factors["aus"].shape == (32, 14)
    assert all(len(values) == 32 for values in factors.values())
    assert np.allclose(np.stack([factors["yaw"], factors["pitch"], factors["roll"]], 1), table["pose"], atol=1e-4)
    assert np.array_equal(factors["expression"], table["expression"])
    assert set(factors["glasses"]) <= set(rendering.GLASSES)


def test_the_label_alone_does_not_change_the_pixels():
    made = rendering.make_factors(2, "anger")
    relabeled = dataclasses.replace(made, expression=Expression.HAPPINESS)
    assert np.array_equal(rendering.render(made).image, rendering.render(relabeled).image)


def test_people_differ_more_than_one_person_under_another_light():
    images = np.stack([rendering.render_image(i, size=64, zoom=0.9, background=0).astype(float) for i in range(12)])
    for i in range(12):
        relit = rendering.render_image(i, size=64, zoom=0.9, background=0, light_azimuth=-30).astype(float)
        distances = np.abs(images - relit).mean((1, 2, 3))
        assert distances.argmin() == i
    assert len({rendering.person(i).traits["hair_style"] for i in range(40)}) >= 6


def test_noise_has_the_deviation_asked_for():
    clean = rendering.render(rendering.make_factors(0), 128).image.astype(float)
    noisy = rendering.render(rendering.make_factors(0, noise=6.0), 128).image.astype(float)
    assert (noisy - clean).std() == pytest.approx(6.0, rel=0.05)
    other = rendering.render(rendering.make_factors(0, noise=6.0, noise_seed=1), 128).image.astype(float)
    assert abs(np.corrcoef((noisy - clean).ravel(), (other - clean).ravel())[0, 1]) < 0.05


def test_light_from_the_right_brightens_the_right_of_the_picture():
    shaded = [
        rendering.render(rendering.make_factors(10, light_azimuth=angle, ambient=0.3), 96).image.astype(float)
        for angle in (-50, 50)
    ]
    cheeks = [(image[50:70, 25:40].mean(), image[50:70, 56:71].mean()) for image in shaded]
    assert cheeks[0][0] > cheeks[0][1] + 10 and cheeks[1][1] > cheeks[1][0] + 10


def test_gray_is_the_luma_of_the_color_picture():
    made = rendering.make_factors(3, "fear", yaw=-10)
    color, gray = rendering.render(made, 64, 3).image, rendering.render(made, 64, 1).image
    luma = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - gray).max() <= 1.5


def test_ranges_are_kept():
    table = synthetic.read(count=60, identities=3, size=16, yaw=(10, 20), pitch=5, roll=0, noise=0)
    yaw, pitch, roll = table["pose"].T
    assert yaw.min() >= 10 and yaw.max() <= 20 and np.abs(pitch).max() <= 5 and np.ptp(pitch) > 5 and (roll == 0).all()
    assert (synthetic.factors_of(table)["noise"] == 0).all()


def test_some_expressions_only():
    table = synthetic.read(count=12, identities=3, size=16, expressions=("anger", "neutral"))
    assert table.label_space == LabelSpace.of(["anger", "neutral"])
    assert table.counts() == {"anger": 6, "neutral": 6}


@pytest.mark.parametrize("size", [16, 48, 100, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_renders(size, channels):
    made = rendering.make_factors(11, "disgust", yaw=30, pitch=-10)
    image = rendering.render(made, size, channels).image
    assert image.shape == ((size, size) if channels == 1 else (size, size, 3)) and image.std() > 15


def test_extreme_poses_render_every_hair_style():
    seen = set()
    for identity in range(200):
        style = rendering.person(identity).traits["hair_style"]
        if style in seen:
            continue
        seen.add(style)
        for yaw, pitch in ((-60, 30), (60, -30), (45, 0), (-45, -20)):
            drawn = rendering.render(rendering.make_factors(identity, yaw=yaw, pitch=pitch, zoom=0.6), 64)
            assert np.isfinite(drawn.landmarks).all() and drawn.image.std() > 5
    assert len(seen) == len(rendering.HAIR_STYLES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": 3}, "unknown option color; known are count"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"count": 0}, "count must be a whole number"),
        ({"count": 3.5}, "count must be a whole number"),
        ({"identities": 0}, "identities must be"),
        ({"size": 8}, "size must be"),
        ({"seed": -1}, "seed must be"),
        ({"expressions": ("joyful",)}, "unknown expression 'joyful'"),
        ({"expressions": ("scream",)}, "no action units for 'scream'"),
        ({"expressions": ("anger", "angry")}, "named twice"),
        ({"yaw": 90}, "yaw must lie in"),
        ({"yaw": (20, 10)}, "lowest first"),
        ({"pitch": "high"}, "pitch must be a number or a pair"),
        ({"noise": -1}, "noise must lie in"),
        ({"intensity": (0.5, 2)}, "intensity must lie in"),
        ({"apart": 1.5}, "apart must lie in"),
        ({"jitter": float("nan")}, "jitter must lie in"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"split": "test", "identities": 2}, "is empty"),
    ],
)
def test_bad_options_raise_one_clear_line(options, message):
    with pytest.raises(DatasetError, match=message) as caught:
        synthetic.read(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"yaw": 80}, "yaw must lie in"),
        ({"aus": {99: 1.0}}, "no action unit"),
        ({"aus": {1: 1.5}}, "intensities"),
        ({"aus": [0.0] * 3}, "intensities"),
        ({"expression": "squint"}, "no action units"),
        ({"mood": 1}, "unknown factor mood"),
        ({"identity": -1}, "not negative"),
        ({"size": 4}, "size is 16"),
    ],
)
def test_bad_factors_raise(factors, message):
    with pytest.raises(rendering.RenderingError, match=message):
        rendering.render_image(**factors)


def test_importing_the_module_is_light():
    code = (
        "import sys, kerasfer.datasets.synthetic; "
        "print(sorted({'cv2', 'tensorflow', 'matplotlib', 'sklearn', 'mediapipe'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""Robustness: what is done to faces, and how a recognizer that knows nothing but brightness fares."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation.robustness import CONDITIONS, robustness, spoiled
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import ImageSpec

FACES = np.random.default_rng(0).integers(40, 200, (20, 24, 24, 1)).astype(np.uint8)


class Brightness:
    """Surprise for bright faces, neutral for dark ones; the surer, the further from the middle."""

    image_spec = ImageSpec(24, 1, "unit")
    label_space = FERPLUS8
    training_prior = ()

    def recognizer(self):
        def answer(faces):
            bright = 1 / (1 + np.exp(-20 * (np.asarray(faces).mean((1, 2, 3)) - 0.5)))
            answers = np.full((len(faces), 8), 1e-6)
            answers[:, 0], answers[:, 2] = 1 - bright, bright
            return answers

        return answer


def table_of(levels: list[int], border: int = 128) -> FaceTable:
    pixels = np.stack([np.full((24, 24), level, np.uint8) for level in levels])
    columns = {
        "path": [str(row) for row in range(len(levels))],
        "expression": [2 if level > border else 0 for level in levels],
    }
    return FaceTable("levels", ArraySource(pixels), columns, FERPLUS8)


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name != "as they are"])
def test_each_condition_changes_faces_and_keeps_what_they_are(name):
    changed = [CONDITIONS[name](face, np.random.default_rng(1)) for face in FACES]
    again = [CONDITIONS[name](face, np.random.default_rng(1)) for face in FACES]
    assert {(each.shape, each.dtype) for each in changed} == {((24, 24, 1), np.dtype(np.uint8))} or name == "32 pixels"
    np.testing.assert_array_equal(changed, again)
    assert all((one != face).any() for one, face in zip(changed, FACES)) or name in ("32 pixels", "24 pixels")


def test_what_hides_what_it_goes_by_costs_accuracy():
    report = robustness(Brightness(), table_of([60, 80, 100, 150, 160, 170, 180, 200]), model_name="brightness")
    by_name = {result.name: result for result in report.results}
    assert report.faces == 8 and by_name["as they are"].accuracy == 1.0
    assert by_name["blur, 1/24 of the side"].accuracy == 1.0
    assert by_name["dark, exponent 4"].accuracy == pytest.approx(3 / 8 + 1 / 8 * (200 > 215))
    assert by_name["dark, exponent 4"].mean_recall == pytest.approx(0.5)
    assert 0.5 < by_name["as they are"].confidence < 1
    text = str(report)
    assert "dark, exponent 4" in text and "AUROC" in text and report.to_json()["faces"] == 8


def test_confidence_is_judged_over_all_conditions():
    """Sure when right and unsure when wrong: near 1."""
    report = robustness(Brightness(), table_of([20, 30, 115, 120, 225, 235] * 3, border=110))
    assert report.confidence_auroc > 0.8


def test_no_face_of_the_models_classes():
    class Other(Brightness):
        label_space = LabelSpace.of(["mine", "yours"])

    with pytest.raises(DatasetError, match="no face has one of the model's classes"):
        robustness(Other(), table_of([60, 200]))


def test_pictures_without_a_face_count_as_wrong_answers():
    """Brightness is as sure of noise as of a face of its level: half of what it is sure of is then no face."""
    report = robustness(Brightness(), table_of([60, 80, 180, 200]))
    assert report.confidence_auroc_with_no_face < report.confidence_auroc
    assert f"{report.confidence_auroc_with_no_face:.3f}" in str(report)


def test_faces_are_spoiled_as_drawn_and_stay_pictures_of_their_size():
    spoilt = [spoiled(face, np.random.default_rng(number)) for number, face in enumerate(FACES)]
    again = [spoiled(face, np.random.default_rng(number)) for number, face in enumerate(FACES)]
    np.testing.assert_array_equal(spoilt, again)
    assert {(each.shape, each.dtype) for each in spoilt} == {((24, 24, 1), np.dtype(np.uint8))}
    changed = sum((one != face).any() for one, face in zip(spoilt, FACES))
    assert 10 <= changed < 20

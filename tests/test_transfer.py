"""What carries over: figures worked by hand, intervals by person, paired tests, faces that are not found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_apps import app, code_of

import kerasfer
from kerasfer import images
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation import paired_test, predict, transfer
from kerasfer.evaluation.resampling import interval, mcnemar, people_of, resampled_sums
from kerasfer.evaluation.transfer import SETS, score
from kerasfer.expressions import FERPLUS8, Expression, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.priors import PriorError

E = Expression


def model_of(space: LabelSpace, answer, training_prior=None) -> SimpleNamespace:
    """A model that answers each face by its mean gray level in [0, 1]: answer(level) are probabilities."""

    def recognize(faces):
        return np.array([answer(float(np.mean(face))) for face in np.asarray(faces)], np.float32)

    return SimpleNamespace(
        image_spec=ImageSpec(16), label_space=space, recognizer=lambda: recognize, training_prior=training_prior
    )


def test_figures_by_hand() -> None:
    true = np.array([0, 0, 0, 2, 2])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.05, 0.05, 0.9], [0.05, 0.05, 0.9]])
    found = np.array([True, True, True, True, False])
    scores = score(true, probabilities, found, np.arange(5), ("a", "b", "c"))
    # a: 2 of 3; b does not occur; c: 1 of 2, as the other was not found.
    assert scores.recall["a"].value == pytest.approx(2 / 3) and scores.recall["c"].value == pytest.approx(1 / 2)
    assert set(scores.recall) == {"a", "c"} and scores.worst == "c"
    assert scores.mean_recall.value == pytest.approx(7 / 12)
    assert scores.accuracy.value == pytest.approx(3 / 5)
    # Found: three of confidence 0.7, two of them right, and one of confidence 0.9, right.
    assert scores.calibration_error.value == pytest.approx((abs(3 * 0.7 - 2) + abs(0.9 - 1)) / 4)
    for figure in (scores.mean_recall, scores.accuracy):
        assert figure.low < figure.value < figure.high


def test_intervals_draw_people_with_all_their_faces() -> None:
    table = FaceTable(
        "t",
        ArraySource(np.zeros((6, 4, 4), np.uint8)),
        {"path": [str(row) for row in range(6)], "identity": ["b", "", "a", "b", "", "a"]},
        FERPLUS8,
    )
    units, people = people_of(table)
    assert people == 2 and units[0] == units[3] and units[2] == units[5]
    assert sorted(set(units.tolist())) == [0, 1, 2, 3] and len({units[0], units[1], units[2], units[4]}) == 4
    assert people_of(table.select([1, 4]))[1] == 0

    values = np.column_stack([np.ones(4), [1.0, 1.0, 0.0, 0.0]])
    together = resampled_sums(values, np.array([0, 0, 1, 1]), 4000)
    assert set(map(tuple, together.tolist())) == {(4.0, 4.0), (4.0, 2.0), (4.0, 0.0)}
    assert together[:, 1].mean() == pytest.approx(2, abs=0.1)
    uneven = resampled_sums(values, np.array([0, 1, 1, 1]), 500)
    assert set(uneven[:, 0]) == {2.0, 4.0, 6.0}
    np.testing.assert_array_equal(
        resampled_sums(values, np.arange(4), 7, seed=3), resampled_sums(values, np.arange(4), 7, seed=3)
    )

    right = np.repeat([1, 0] * 20, 10)
    true, found = np.zeros(400, int), np.ones(400, bool)
    probabilities = np.column_stack([0.2 + 0.6 * right, 0.8 - 0.6 * right])
    by_person = score(true, probabilities, found, np.repeat(np.arange(40), 10), ("a", "b")).accuracy
    by_face = score(true, probabilities, found, np.arange(400), ("a", "b")).accuracy
    # The standard error of a share of one half is 0.5 / sqrt(n): 0.079 of 40 people, 0.025 of 400 faces.
    assert by_person.high - by_person.low == pytest.approx(2 * 1.96 * 0.079, rel=0.12)
    assert by_face.high - by_face.low == pytest.approx(2 * 1.96 * 0.025, rel=0.12)


def test_an_interval_leaves_out_what_cannot_be_measured() -> None:
    assert np.isnan(interval(0.5, np.array([np.nan])).low)
    assert dataclasses.astuple(interval(0.5, np.array([0.1, np.nan, 0.1]))) == (0.5, 0.1, 0.1)
    np.testing.assert_allclose(dataclasses.astuple(interval(0.1, np.full(9, 0.4), biased=True)), 0.1)
    low = interval(0.1, np.tile([0.2, 0.6], 50), biased=True)
    np.testing.assert_allclose((low.low, low.high), (0.0, 0.3))
    assert interval(np.nan, np.array([])).to_json() == [None, None, None]


def test_mcnemar_by_hand() -> None:
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar(5, 1) == mcnemar(1, 5) and mcnemar(0, 0) == 1 and mcnemar(3, 3) == pytest.approx(1)


def test_two_models_on_the_same_faces_by_hand() -> None:
    true = np.array([0, 0, 0, 0, 1, 1])
    first = np.array([0, 0, 0, 1, 1, -1])
    second = np.array([0, 1, 1, 0, 1, 1])
    test = paired_test(true, first, second, np.arange(6))
    assert (test.n, test.first_alone, test.second_alone) == (6, 2, 2) and test.p_value == 1
    assert test.accuracy.value == pytest.approx(0)
    # Recall 3/4 and 1/2 of the first, 2/4 and 2/2 of the second.
    assert test.mean_recall.value == pytest.approx((0.75 + 0.5) / 2 - (0.5 + 1) / 2)
    assert test.mean_recall.low < test.mean_recall.value < test.mean_recall.high
    same = paired_test(true, first, first, np.zeros(6, int))
    assert same.accuracy.to_json() == [0, 0, 0] and same.p_value == 1
    with pytest.raises(ValueError, match="as many answers as faces"):
        paired_test(true, first, second[:3], np.arange(6))


def test_a_prior_changes_what_is_predicted() -> None:
    space = LabelSpace.of(["neutral", "fear"])
    table = FaceTable("t", ArraySource(np.zeros((2, 16, 16), np.uint8)), {"path": ["0", "1"]}, space)
    model = model_of(space, lambda level: [0.8, 0.2], [0.9, 0.1])
    np.testing.assert_allclose(predict(model, table), [[0.8, 0.2]] * 2)
    np.testing.assert_allclose(predict(model, table, prior="balanced"), [[4 / 13, 9 / 13]] * 2, rtol=1e-6)
    with pytest.raises(PriorError):
        predict(model, table, prior={"neutral": 1})


GRAY = {"anger": 10, "happy": 120, "contempt": 240}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """CK+ crops of three gray levels, and London with one photo that shows a face and one that shows none."""
    for number, (folder, level) in enumerate(GRAY.items()):
        for frame in (1, 2):
            pixels = np.full((48, 48), level, np.uint8)
            images.write(tmp_path / f"ck48/CK+48/{folder}/S01{number}_001_0000000{frame}.png", pixels)
    photo = images.read(Path(kerasfer.__file__).with_name("astronaut.jpg"))
    images.write(tmp_path / "london/smiling_front/001_08.jpg", photo[:300, 80:380])
    images.write(tmp_path / "london/neutral_front/001_03.jpg", np.full((300, 300, 3), 90, np.uint8))
    return tmp_path


def three_levels(level: float) -> list[float]:
    """Dark faces are angry, gray ones happy; bright ones are neutral, or else contempt."""
    label = "anger" if level < 0.2 else "happiness" if level < 0.7 else ""
    if not label:
        return [0.5, 0, 0, 0.1, 0, 0, 0, 0.4]
    return [0.86 if name == label else 0.02 for name in FERPLUS8.labels]


def test_sets_that_are_there_on_their_own_classes_and_on_the_models(data: Path) -> None:
    model = model_of(FERPLUS8, three_levels)
    report = transfer(model, data, [entry for entry in SETS if entry.name != "rendered"], resamples=50, model_name="m")
    assert [result.name for result in report.results] == ["ck48", "london"]
    assert report.absent["lfw"] == "not there" and "ck48" not in report.absent
    crops, photos = report.results
    assert (crops.n, crops.people, crops.not_found, crops.left_out) == (6, 3, 0, 0)
    assert crops.classes == {"happiness": 2, "anger": 2, "contempt": 2}
    assert crops.own.mean_recall.value == 1 and crops.every.mean_recall.value == pytest.approx(2 / 3)
    assert crops.own.labels == ("happiness", "anger", "contempt") and crops.every.worst == "contempt"
    assert (photos.n, photos.people, photos.not_found) == (2, 1, 1)
    assert photos.own.recall["neutral"].value == 0 and photos.own.recall["happiness"].value == 1
    assert photos.own.accuracy.value == 0.5
    text = str(report)
    assert "no face found in 1 photos, counted as not recognized" in text and "not measured: lfw (not there)" in text
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [entry["own"]["mean_recall"][0] for entry in content["sets"]] == [1, 0.5]


def test_a_model_of_fewer_classes_and_another_beside_it(data: Path) -> None:
    space = LabelSpace.of(["anger", "happiness", "neutral"])
    few = model_of(space, lambda level: [0.6, 0.3, 0.1], [1, 1, 1])
    sets = [entry for entry in SETS if entry.name == "ck48"]
    (result,) = transfer(few, data, sets, against=model_of(FERPLUS8, three_levels), resamples=50).results
    assert (result.n, result.left_out) == (4, 2)
    assert result.against.n == 4 and (result.against.first_alone, result.against.second_alone) == (0, 2)
    assert result.against.accuracy.value == pytest.approx(-0.5)
    (result,) = transfer(few, data, sets, prior={"anger": 1, "happiness": 3, "neutral": 1}, resamples=50).results
    assert result.own.recall["happiness"].value == 1 and result.own.recall["anger"].value == 0


def test_classes_by_names_of_ones_own(data: Path) -> None:
    space = LabelSpace.of(["bored", "happy", "anger"])
    model = model_of(space, lambda level: [0.5, 0.4, 0.1] if level > 0.3 else [0.5, 0.1, 0.4], [1, 1, 1])
    sets = [entry for entry in SETS if entry.name == "ck48"]
    sets += [
        dataclasses.replace(entry, options={"count": 12, "identities": 3}) for entry in SETS if entry.name == "rendered"
    ]
    crops, rendered = transfer(model, data, sets, resamples=20).results
    assert crops.classes == {"happy": 2, "anger": 2} and crops.own.mean_recall.value == 1
    assert crops.every.mean_recall.value == 0 and set(rendered.classes) == {"happy", "anger"}


def test_a_damaged_file_and_a_folder_that_is_not_there(data: Path) -> None:
    (data / "ck48/CK+48/anger/S010_001_00000001.png").write_bytes(b"no image")
    sets = [entry for entry in SETS if entry.name == "ck48"]
    report = transfer(model_of(FERPLUS8, three_levels), data, sets, resamples=50)
    assert (report.results[0].n, report.results[0].unreadable) == (5, 1)
    assert "1 files missing or damaged" in str(report)
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        transfer(model_of(FERPLUS8, three_levels), data / "nowhere")


def test_the_app_keeps_nothing_unasked(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    model = Path("saved_models/edge/model_int8.tflite").resolve()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    asked = ["--transfer", "--tflite", model, "--data", data, "--sets", "london"]
    assert code_of("evaluate", monkeypatch, *asked) == 0
    assert "london" in capsys.readouterr().out and sorted(tmp_path.rglob("*")) == before
    assert code_of("evaluate", monkeypatch, *asked, "--cache", "kept") == 0
    assert any(path.is_file() for path in Path("kept").rglob("*"))


def test_the_app(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    (data / "ck48").rename(data / "CK+48")
    arguments = ["--tflite", "saved_models/edge/model_int8.tflite", "--data", data, "--cache", tmp_path / "cache"]
    output = tmp_path / "new" / "transfer.json"
    monkeypatch.chdir(Path(__file__).parents[1])
    shown = ["--transfer", "--prior", "balanced", "--against", "saved_models/edge/model_int8.tflite"]
    assert code_of("evaluate", monkeypatch, *arguments, *shown, "--output", output) == 0
    content = json.loads(output.read_text())
    assert content["prior"] == "balanced" and content["against"] == "saved_models/edge/model_int8.tflite"
    names = [entry["name"] for entry in content["sets"]]
    assert names == ["ck48", "london", "rendered"] and content["sets"][0]["against"]["first_alone"] == 0
    assert "prior: balanced" in capsys.readouterr().out
    assert code_of("evaluate", monkeypatch, *arguments, "--transfer", "--sets", "ck48") == 0
    out = capsys.readouterr().out
    assert "ck48" in out and "london" not in out
    assert code_of("evaluate", monkeypatch, *arguments, "--transfer", "--sets", "ck49") == 2
    assert "no set 'ck49'; known are: ferplus_valid, " in capsys.readouterr().err
    compared = ["--dataset", "ck48", "--against", "saved_models/edge/model_int8.tflite"]
    assert code_of("evaluate", monkeypatch, *arguments, *compared) == 0
    assert "less saved_models/edge/model_int8.tflite: mean recall +0.0 [+0.0, +0.0]" in capsys.readouterr().out
    assert code_of("evaluate", monkeypatch, *arguments, "--dataset", "ck48", "--prior", "even") == 2
    assert "not 'even'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        app("evaluate").parser().parse_args(["--prior", "{1"])

"""Reports with figures worked by hand, and probes on codes whose content is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation import Report, disentanglement, evaluate, linear_probe, predict
from kerasfer.expressions import BASIC6, FERPLUS8, MULTIPIE6, LabelSpace
from kerasfer.faces import ImageSpec

THREE = LabelSpace.of(["neutral", "happiness", "surprise"])


@pytest.fixture
def report() -> Report:
    true = np.array([0, 0, 0, 0, 1, 1])
    recognized = np.array([0, 0, 0, 1, 1, 0])
    return Report.of(true, recognized, THREE, dataset="faces", split="valid", model="m", left_out=2)


def test_rates_by_hand(report: Report) -> None:
    assert report.confusion.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert report.n == 6
    assert report.accuracy == pytest.approx(4 / 6)
    assert report.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    np.testing.assert_allclose(report.recall, [3 / 4, 1 / 2, np.nan])
    np.testing.assert_allclose(report.precision, [3 / 4, 1 / 2, np.nan])
    np.testing.assert_allclose(report.f1, [3 / 4, 1 / 2, np.nan])
    lopsided = Report(("a", "b"), np.array([[8, 0], [3, 1]]))
    np.testing.assert_allclose(lopsided.precision, [8 / 11, 1])
    np.testing.assert_allclose(lopsided.recall, [1, 1 / 4])
    np.testing.assert_allclose(lopsided.f1, [16 / 19, 2 / 5])


def test_json_round_trip(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "new" / "report.json")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.json"]
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    assert content["accuracy"] == 0.666667 and content["n"] == 6 and content["left_out"] == 2
    assert content["per_class"]["surprise"] == {"recall": None, "precision": None, "f1": None, "n": 0}
    assert Report.load(tmp_path / "new" / "report.json") == report
    (tmp_path / "bad.json").write_text('{"labels": ["a"], "confusion": [[1, 2]]}')
    with pytest.raises(ValueError, match="bad.json: not a readable report"):
        Report.load(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="none.json"):
        Report.load(tmp_path / "none.json")


def test_text(report: Report) -> None:
    text = str(report)
    assert "accuracy 66.67%, mean per class 62.50%, n = 6" in text
    assert "m, faces, valid" in text and "2 faces left out" in text
    assert len({line.rstrip()[-1] for line in text.splitlines()}) > 1


class Brightness:
    """Recognizes 0, 1 or 2 by the gray level; `sided` looks at the left half alone."""

    image_spec = ImageSpec(8, 1, "signed")
    label_space = THREE
    name = "brightness"

    def __init__(self, sided: bool = False) -> None:
        self.sided = sided
        self.shapes: list[tuple[int, ...]] = []

    def recognizer(self):
        def recognize(faces: np.ndarray) -> np.ndarray:
            assert faces.dtype == np.float32 and faces.min() >= -1 and faces.max() <= 1
            self.shapes.append(faces.shape)
            level = (faces[:, :, :4] if self.sided else faces).mean((1, 2, 3))
            scores = -np.abs(level[:, None] - np.array([-1, 0, 1]))
            return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)

        return recognize


def faces(levels: list[int], expressions: list[int], **columns: object) -> FaceTable:
    pixels = np.stack([np.full((20, 20), level, np.uint8) for level in levels])
    paths = [str(row) for row in range(len(levels))]
    return FaceTable("levels", ArraySource(pixels), {"path": paths, "expression": expressions, **columns}, FERPLUS8)


def test_evaluate() -> None:
    table = faces([0, 128, 255, 255, 0, 0], [0, 1, 2, 1, -1, 5], split=["valid"] * 6)
    model = Brightness()
    report = evaluate(model, table, batch_size=3)
    assert report.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert (report.dataset, report.split, report.model, report.left_out) == ("levels", "valid", "brightness", 2)
    assert model.shapes == [(3, 8, 8, 1), (1, 8, 8, 1)]
    assert report.labels == THREE.labels
    assert report == evaluate(model, table, batch_size=64)


def test_evaluate_by_votes() -> None:
    votes = np.zeros((3, 8))
    votes[0, 2], votes[0, 0], votes[1, 5] = 5, 4, 9
    table = faces([255, 0, 0], [0, 0, 0], votes=votes)
    report = evaluate(Brightness(), table, labels="votes")
    assert report.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]] and report.left_out == 2
    with pytest.raises(DatasetError, match="majority"):
        evaluate(Brightness(), table, labels="mean")


def test_flip_takes_the_mean_with_the_mirror_image() -> None:
    pixels = np.zeros((1, 8, 8), np.uint8)
    pixels[:, :, 4:] = 255
    table = FaceTable("half", ArraySource(pixels), {"path": ["0"], "expression": [0]}, FERPLUS8)
    plain, flipped = (predict(Brightness(sided=True), table, flip=flip) for flip in (False, True))
    black, white = np.exp([0, -1, -2]), np.exp([-2, -1, 0])
    black, white = black / black.sum(), white / white.sum()
    np.testing.assert_allclose(plain[0], black, rtol=1e-5)
    np.testing.assert_allclose(flipped[0], (black + white) / 2, rtol=1e-5)


def test_evaluate_without_a_face_to_test() -> None:
    model = Brightness()
    with pytest.raises(DatasetError, match="no face has one of the model's expressions: neutral, happiness"):
        evaluate(model, faces([0], [5]))
    assert MULTIPIE6.encode([8]).tolist() == [1] and BASIC6.encode([0]).tolist() == [-1]


def test_evaluate_keras_model_in_a_graph() -> None:
    import keras

    class Model(Brightness):
        def recognizer(self) -> keras.Model:
            inputs = keras.Input((8, 8, 1))
            level = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.9)(inputs))
            outputs = keras.layers.Dense(3, "softmax", kernel_initializer="ones")(level)
            model = keras.Model(inputs, outputs)
            model.layers[-1].set_weights([np.array([[-5.0, 0.0, 5.0]]), np.array([0.0, 1.0, 0.0])])
            return model

    report = evaluate(Model(), faces([0, 128, 255, 255], [0, 1, 2, 2]), batch_size=3)
    assert report.accuracy == 1.0


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    predict(Brightness(), faces([0] * 5, [0] * 5), batch_size=2, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_linear_probe() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], [60, 40, 20])
    known = np.eye(3)[np.searchsorted(["a", "b", "c"], labels)] + generator.normal(0, 0.05, (120, 3))
    rows = generator.permutation(120)
    probe = linear_probe(known * 1000, labels, rows[:80], rows[80:])
    assert probe.accuracy == 1.0
    assert probe.chance == pytest.approx(np.mean(labels[rows[80:]] == "a"))
    assert (probe.classes, probe.train_rows, probe.test_rows) == (3, 80, 40)
    blind = linear_probe(generator.normal(0, 1, (120, 3)), labels, rows[:80], rows[80:])
    assert blind.accuracy < 0.7


def test_linear_probe_refuses() -> None:
    features, labels = np.zeros((4, 2)), ["a", "a", "b", "b"]
    with pytest.raises(ValueError, match="rows to train on and others"):
        linear_probe(features, labels, np.array([0, 1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="two labels"):
        linear_probe(features, labels, np.array([0, 1]), np.array([2, 3]))
    with pytest.raises(ValueError, match="not finite"):
        linear_probe(np.full((4, 2), np.nan), labels, np.array([0, 2]), np.array([1, 3]))


def test_disentanglement_tells_codes_apart() -> None:
    generator = np.random.default_rng(0)
    identities, expressions = np.repeat(np.arange(6), 40), np.tile(np.arange(8), 30)
    table = FaceTable(
        "probed",
        ArraySource(np.zeros((1, 2, 2), np.uint8)),
        {"path": ["0"] * 240, "identity": identities.astype(str), "expression": expressions},
        FERPLUS8,
    )
    codes = {"face": np.eye(6)[identities], "expression": np.eye(8)[expressions]}
    codes = {name: code + generator.normal(0, 0.1, code.shape) for name, code in codes.items()}
    probes = {(probe.code, probe.label): probe for probe in disentanglement(codes, table)}
    assert probes["face", "identity"].accuracy == probes["expression", "expression"].accuracy == 1.0
    assert probes["face", "expression"].accuracy < 0.35 and probes["expression", "identity"].accuracy < 0.4
    assert probes["expression", "identity"].chance == pytest.approx(1 / 6, abs=0.01)
    assert "identity from the expression code" in str(probes["expression", "identity"])
    # Deviation 0.1 within a group; groups sqrt(2) apart: clusters of their own for one label, none for the other.
    assert probes["face", "identity"].silhouette > 0.6 > 0.1 > abs(probes["face", "expression"].silhouette)
    assert "silhouette" in str(probes["face", "identity"])
    assert "silhouette" not in str(linear_probe(np.eye(4), [0, 1, 0, 1], np.array([0, 1]), np.array([2, 3])))
    with pytest.raises(DatasetError, match="3 rows for 240 faces"):
        disentanglement({"face": np.zeros((3, 2))}, table)

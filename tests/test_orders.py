"""The paper's experiments with other sets, snapshots of a training and curves of them, on rendered faces."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from kerasfer import datasets
from kerasfer.checkpoints import TrainingError, snapshots
from kerasfer.data.sets import showing
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import estimate_boxes
from kerasfer.evaluation.measurements import (
    Bench,
    Experiment,
    Experiments,
    ExpressionMachine,
    LearningCurve,
    OneUnit,
    generated,
    machines,
)
from kerasfer.expressions import FERPLUS8, Expression
from kerasfer.faces import Box, DetectedFace, ImageSpec
from kerasfer.models.dcganfer import DCGANFER, DCGANFERConfig
from kerasfer.training import EpochEnd, Snapshots
from kerasfer.weights import ZooError, unpack

TINY = DCGANFERConfig.tiny()
ACTED = ("happiness", "surprise", "anger", "disgust")


@dataclasses.dataclass(frozen=True)
class Training:
    name: str


@dataclasses.dataclass(eq=False)
class SmallBench(Bench):
    """Rendered faces in place of three sets."""

    missing: tuple[str, ...] = ()

    def load(self, name, **options):
        if name in self.missing:
            raise DatasetError(f"{name}: not there")
        seed = {"ferplus": 1, "lfw_expressions": 2, "ck48": 3}[name] + (options.get("split") == "valid")
        acted = {"expressions": ACTED} if name == "ck48" else {}
        count = 64 if name == "ck48" else 48
        return datasets.load("synthetic", count=count, identities=8, size=32, seed=seed, **acted)


@pytest.fixture(scope="module")
def network():
    return DCGANFER(TINY.replace(svm_gamma=0.3))


class Knowing:
    """A network whose feature is what the face shows."""

    config = TINY.replace(svm_gamma=0.3)
    label_space = FERPLUS8

    def features(self, table):
        return np.eye(8, dtype=np.float32)[table["expression"]]


def bench_of(network, run, tmp_path):
    return SmallBench("dcganfer", {run: network}, run, lambda name: Path(name), tmp_path, "measure")


def test_what_other_fields_make_of_the_machine(tmp_path):
    pytest.importorskip("skimage")
    model, run = DCGANFER(TINY.replace(components=6, folds=3, mirrored=True)), Training("run")
    figures = ExpressionMachine(({"mirrored": False}, {"components": 12}, {"feature_layers": 2})).fit(
        bench_of(model, run, tmp_path)
    )
    found = {figure["key"]: figure for figure in figures}
    assert found["svm_feature_layers_2_accuracy"]["what"].startswith(
        "RBF SVM on the DCGAN feature with feature_layers 2, fitted on 48 FERPlus train faces: FERPlus valid, 48 faces"
    )
    kinds = ("dcgan", "untrained", "hog", "mirrored_false", "components_12", "feature_layers_2")
    accuracies = [found[f"svm_{key}_accuracy"]["value"] for key in kinds]
    assert len(set(accuracies)) > 3 and found["svm_mirrored_false_c"]["value"] == found["svm_dcgan_c"]["value"]
    assert found["svm_decision_difference"]["value"] < 1e-3
    above = found["svm_dcgan_accuracy"]["value"] - found["svm_hog_accuracy"]["value"]
    assert found["svm_above_hog"]["value"] == pytest.approx(above) and "(95 %: " in found["svm_above_hog"]["what"]
    assert "svm_above_dcgan" not in found
    faces = datasets.load("synthetic", count=4, identities=2, size=32)
    turned = ArraySource(prepare_faces(faces, ImageSpec(32, 1))[:, :, ::-1])
    flipped = machines.hog(FaceTable("turned", turned, {"path": list("0123")}, FERPLUS8), 32, mirrored=True)
    np.testing.assert_allclose(machines.hog(faces, 32, mirrored=True), flipped, atol=1e-5)
    assert np.abs(machines.hog(faces, 32) - flipped).max() > 0.01


def test_rendered_faces_as_cameras_would_take_them():
    faces = datasets.load("synthetic", count=40, identities=4, size=48)
    spec = ImageSpec(32, 1)
    plain, some = prepare_faces(faces, spec), machines._photographed(faces, spec, 0.5)
    changed = np.abs(prepare_faces(some, spec).astype(int) - plain).max((1, 2, 3)) > 0
    assert 10 < changed.sum() < 30
    np.testing.assert_array_equal(some["aus"], faces["aus"])
    np.testing.assert_array_equal(prepare_faces(machines._photographed(faces, spec, 0.0), spec), plain)


def test_orders_of_sets(tmp_path, capsys):
    network, run = Knowing(), Training("run")
    rows = (
        Experiment(run, "lfw_expressions", "ferplus", "ck48"),
        Experiment(run, "ferplus", "ck48", "ck48"),
        Experiment(run, "ferplus", "lfw_expressions", "lfw_expressions"),
    )
    measurement = Experiments(rows, most=40, folds=2)
    assert list(measurement.needs()) == [run]
    found = {figure["key"]: figure for figure in measurement.measure(bench_of(network, run, tmp_path))}
    crossed, within = found["lfw_expressions_ferplus_ck48_accuracy"], found["ferplus_ck48_ck48_accuracy"]
    told = "LFW-expressions -> FERPlus -> CK+: 40 faces fitted, 64 tested, 4 expressions; accuracy"
    assert crossed["what"] == told
    told = r"FERPlus -> CK\+ -> CK\+: 2 folds by people, \d\d( or \d\d)? faces fitted, 64 tested, 4 expressions"
    assert re.match(told, within["what"]), "each fold's once"
    assert all(figure["value"] == 1 for key, figure in found.items()), "it is told what faces show"
    units = [key for key in found if key.startswith("ferplus_ck48_ck48_unit_")]
    mean = np.mean([found[key]["value"] for key in units])
    assert len(units) == 14 and found["ferplus_ck48_ck48_units_auc"]["value"] == pytest.approx(mean)
    bench = dataclasses.replace(bench_of(network, run, tmp_path), missing=("ck48",))
    assert not any("ck48" in figure["key"] for figure in measurement.measure(bench))
    assert "FERPlus -> CK+ -> CK+: left out, ck48: not there" in capsys.readouterr().out


def test_one_unit_alone(tmp_path, monkeypatch):
    network, run = Knowing(), Training("au7")
    measurement = OneUnit(run, folds=2)
    found = {figure["key"]: figure["value"] for figure in measurement.measure(bench_of(network, run, tmp_path))}
    assert found == {"unit_7_alone_train": 1, "unit_7_alone_test": 1}
    monkeypatch.setattr(Knowing, "features", lambda self, table: np.float32(table["path"].astype(int) % 7)[:, None])
    found = {figure["key"]: figure["value"] for figure in measurement.measure(bench_of(network, run, tmp_path))}
    assert max(found.values()) < 0.8, "of what tells nothing nothing is learned"


def test_faces_that_show_a_unit():
    table = SmallBench("", {}, None, Path, Path(), "").load("ferplus")
    shown = showing(table, 7)
    assert set(shown["expression"]) == {int(Expression.ANGER)} and len(shown) == 8
    assert set(showing(table, 17)["expression"]) == {int(Expression[name]) for name in ("ANGER", "SADNESS", "DISGUST")}
    with pytest.raises(DatasetError, match="no face of an expression that shows action unit 7; take another set"):
        showing(table.select(table["expression"] != Expression.ANGER), 7)


def test_snapshots_and_curves(network, tmp_path, monkeypatch):
    run = Training("run")
    (tmp_path / "run").mkdir()
    keep, generator = Snapshots(2, ("generator",)), network.networks["generator"]
    first = generator.get_weights()
    for epoch in range(5):
        generator.set_weights([values + 0.01 * epoch for values in first])
        keep(EpochEnd(network, epoch, {}, tmp_path / "run"))
    kept = snapshots(tmp_path / "run")
    assert list(kept) == [2, 4] and snapshots(tmp_path) == {}
    arrays = unpack(kept[4].read_bytes(), kept[4])
    for number, values in enumerate(first):
        np.testing.assert_allclose(arrays[f"generator/{number}"], values + 0.03, rtol=1e-6)
    with pytest.raises(TrainingError, match="every epoch or every so many, got 0"):
        Snapshots(0, ("generator",))

    made = []
    monkeypatch.setattr(generated, "_judged", lambda bench, key, called, faces: made.append((key, faces)) or [])
    bench, last = bench_of(network, run, tmp_path), generator.get_weights()
    keys = [figure["key"] for figure in LearningCurve(run).measure(bench)]
    assert keys == [f"epoch_{epoch}_{what}" for epoch in (2, 4) for what in ("diversity", "repeats", "novelty")]
    assert [key for key, _ in made] == ["epoch_2", "epoch_4"] and not np.array_equal(made[0][1], made[1][1])
    for values, before in zip(generator.get_weights(), last):
        np.testing.assert_array_equal(values, before)
    monkeypatch.setattr(bench, "models", {run: DCGANFER(TINY.replace(generator_channels=(6, 4, 4)))})
    with pytest.raises(ZooError, match="epoch-00002.safetensors: the generator of another config"):
        LearningCurve(run).measure(bench)


def test_faces_are_cut_as_a_detector_has_them(monkeypatch):
    """The box of the face in the middle; where none is found, what the table had."""
    table = SmallBench("", {}, None, Path, Path(), "").load("ferplus").select([0, 1, 2])
    nothing = table.with_columns(box=np.array([[1, 2, 3, 4], [0, 0, 20, 20], [np.nan] * 4], np.float32))
    blank = table.read(1)
    here, aside = Box(4.0, 5.0, 28.0, 29.0), Box(0.0, 0.0, 6.0, 6.0)

    def seen(image, detector):
        assert detector == "mediapipe"
        return [] if np.array_equal(image[..., 0], blank) else [DetectedFace(aside, 1.0), DetectedFace(here, 0.9)]

    monkeypatch.setattr("kerasfer.detection.tables.detect", seen)
    assert estimate_boxes(table.select([0, 1]), "mediapipe")["box"].tolist()[0] == [4, 5, 28, 29]
    boxes = estimate_boxes(nothing.select([1, 2]), "mediapipe")["box"]
    assert boxes.tolist() == [[0, 0, 20, 20], [4, 5, 28, 29]]

"""What is measured of models that are to be bundled, on models whose answers are known beforehand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_training import noise_table
from toy_model import Toy, ToyConfig

from kerasfer import detection, splits, zoo
from kerasfer.data import NamedSets
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.measurements import Bench, Codes, Measurement, Recognition, TurnedHeads
from kerasfer.evaluation.measurements.recognition import calibrated, settled
from kerasfer.faces import ImageSpec
from kerasfer.models import MODELS
from kerasfer.models.g2fer import G2FER, G2FERConfig
from kerasfer.recipes import Mean, Plan, Run

ROOT = Path(__file__).resolve().parent.parent
NEUTRAL, HAPPINESS = 0, 1


def saying(number: int, sure: float = 20.0) -> Toy:
    """A model that always gives one answer."""
    model = Toy(ToyConfig(image_size=16))
    kernel, bias = model.networks["classifier"].get_layer("out").weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign(sure * np.eye(8)[number])
    return model


def made(name: str) -> SimpleNamespace:
    """A training, as figures call it."""
    return type("Training", (SimpleNamespace,), {"__hash__": object.__hash__})(name=name)


@pytest.fixture
def table():
    """Ten faces, of which six are neutral and four happy."""
    return noise_table(16).select([0, 8, 0, 8, 0, 8, 1, 9, 1, 9])


def bench_of(models, bundled, table, folder) -> Bench:
    bench = Bench("toy", models, bundled, Path, folder, "python build")
    bench.valid = bench.train = table
    return bench


def values(figures):
    keys = [figure["key"] for figure in figures]
    assert len(set(keys)) == len(keys)
    return {figure["key"]: figure["value"] for figure in figures}


def test_accuracy_of_what_is_bundled_and_of_what_is_beside_it(table, tmp_path):
    one, other = made("one"), made("other")
    mean = Mean("mean", (one, other))
    models = {one: saying(NEUTRAL), other: saying(HAPPINESS), mean: saying(NEUTRAL)}
    bench = bench_of(models, one, table, tmp_path)
    titles = {one: "One", other: "Other", mean: "Both"}
    figures = Recognition(titles, seeds={"Seeds": (one, other)}).measure(bench)
    found = values(figures)
    for prefix, accuracy in (("", 0.6), ("mean_", 0.6), ("other_", 0.4)):
        assert found[f"{prefix}ferplus_valid_accuracy"] == pytest.approx(accuracy)
    assert found["ferplus_valid_flip_accuracy"] == found["ferplus_valid_accuracy"]
    assert found["ferplus_valid_balanced"] == found["other_ferplus_valid_balanced"] == 0.5
    assert (found["recall_neutral"], found["recall_happiness"]) == (1, 0)
    assert found["one_seeds_mean"] == pytest.approx(0.5) and found["one_seeds_deviation"] == pytest.approx(0.02**0.5)
    said = {figure["key"]: figure for figure in figures}
    assert said["ferplus_valid_accuracy"]["command"] == (
        "python apps/evaluate.py --model toy --dataset ferplus --split valid --data DIR"
    )
    assert said["ferplus_valid_flip_accuracy"]["command"].endswith(" --flip")
    assert said["other_ferplus_valid_accuracy"]["command"] == "python build"
    assert said["other_ferplus_valid_accuracy"]["what"].startswith("Other: FERPlus valid, 10 faces, 8 classes")
    assert "one seed; accuracy" in said["other_ferplus_valid_accuracy"]["what"]
    assert "mean of the weights of 2 last trainings" in said["mean_ferplus_valid_accuracy"]["what"]


def test_the_bundled_model_beside_others_face_by_face(table, tmp_path):
    one, other = made("one"), made("other")
    bench = bench_of({one: saying(NEUTRAL), other: saying(HAPPINESS)}, one, table, tmp_path)
    figures = Recognition({one: "One", other: "Other"}, beside=(other,)).measure(bench)
    found = values(figures)
    assert found["above_other_accuracy"] == pytest.approx(0.2)
    assert found["above_other_balanced"] == pytest.approx(0)
    assert "above_one_accuracy" not in found
    told = next(figure["what"] for figure in figures if figure["key"] == "above_other_accuracy")
    assert "10 faces" in told and "that of Other" in told and "McNemar's p 0.75" in told
    with pytest.raises(ValueError, match="other.*among those compared"):
        Recognition({one: "One"}, beside=(other,))


def test_accuracy_on_turned_heads(table, tmp_path, monkeypatch):
    """Six neutral faces turn by 15 degrees, four happy ones by -35: the angle's sign is none of accuracy's business."""
    poses = np.array([[15.0, 0, 0]] * 6 + [[-35.0, 0, 0]] * 4, np.float32)
    monkeypatch.setattr(detection, "estimate_poses", lambda faces, cache: faces.with_columns(pose=poses))
    one = made("one")
    measurement = TurnedHeads({one: "One"}, degrees=(10, 20))
    assert list(measurement.needs()) == [one]
    found = values(measurement.measure(bench_of({one: saying(NEUTRAL)}, one, table, tmp_path)))
    assert found == pytest.approx({"one_yaw_above_10_accuracy": 0.6, "one_yaw_above_20_accuracy": 0.0})


def test_the_temperature_is_fitted_on_what_was_held_out(table, tmp_path, monkeypatch):
    one = made("one")
    bench = bench_of({one: saying(NEUTRAL, sure=6.0)}, one, table, tmp_path)
    read = []

    def load(name, **options):
        read.append((name, options))
        return table.select(np.tile(np.arange(10), 8))

    monkeypatch.setattr(bench, "load", load)
    (tmp_path / "one").mkdir()
    config = tmp_path / "one" / "config.json"
    config.write_text(json.dumps({"dataset": {"hold_out": None}}))
    before = bench.model
    assert calibrated(bench, one) == [] and bench.model is before and not read
    config.write_text(json.dumps({"dataset": {"hold_out": 0.5, "labels": "votes"}}))
    found = values(calibrated(bench, one))
    assert read == [("ferplus", {"split": "train", "labels": "probability"})]
    # Far too sure of itself, it is wrong four times in ten.
    assert found["temperature"] > 1 and bench.model.config.temperature == round(found["temperature"], 4)
    assert found["held_out_calibration_error"] < found["held_out_calibration_error_before"]
    np.testing.assert_array_equal(
        bench.model.networks["classifier"].get_weights()[-1], before.networks["classifier"].get_weights()[-1]
    )


def test_statistics_are_of_faces_that_no_training_held_out(table, tmp_path, capsys):
    one = made("one")
    model = G2FER(G2FERConfig.tiny().replace(variant="no_synfi"))
    bench = bench_of({one: model}, one, table, tmp_path)
    bench.train = table.select(np.tile(np.arange(10), 8))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text(json.dumps({"dataset": {"hold_out": 0.5}}))
    kept = splits.holdout(bench.train, 0.5).train
    stem = model.networks["classifier"].get_layer("stem_norm")
    settled(bench, len(bench.train), size=7)
    assert f"settled on {len(kept)} faces" in capsys.readouterr().out and len(kept) < len(bench.train)
    faces = model.image_spec.scale(prepare_faces(kept, model.image_spec))
    maps = keras.Model(model.networks["classifier"].input, stem.input)(faces).numpy()
    np.testing.assert_allclose(stem.moving_mean.numpy(), maps.mean((0, 1, 2)), rtol=1e-2, atol=1e-4)


def test_what_codes_give_away(tmp_path):
    """A code that is the face itself gives more away than one that is the same for every face."""
    one, other = made("one"), made("other")
    spec = ImageSpec(32, 1)

    def small(faces):
        return np.asarray(faces)[:, ::4, ::4].reshape(len(faces), -1)

    seeing = SimpleNamespace(image_spec=spec, codes=lambda faces: {"face": small(faces)})
    blind = SimpleNamespace(image_spec=spec, codes=lambda faces: {"expression": np.zeros((len(faces), 2))})
    measurement = Codes("My-Model", {"Blind": other}, faces=80, people=4)
    assert list(measurement.needs()) == [other]
    found = values(measurement.measure(bench_of({one: seeing, other: blind}, one, None, tmp_path)))
    chance = found["probe_my_model_face_identity_chance"]
    assert found["probe_my_model_face_identity"] > chance + 0.2
    assert found["probe_blind_identity"] <= chance + 0.2 and "probe_blind_expression_silhouette" in found


def test_a_measurement_measures_nothing_by_itself(tmp_path):
    bench, nothing = bench_of({}, made("one"), None, tmp_path), Measurement()
    assert not (nothing.needs() or nothing.fit(bench) or nothing.measure(bench) or nothing.judge(bench))


def test_what_a_plan_needs_is_loaded_and_averaged(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setitem(MODELS, "toy", (Toy.__module__, Toy.__qualname__))
    import build_zoo

    first = Run("first", ToyConfig(image_size=16), NamedSets("synthetic"))
    runs = (first, first.with_(seed=1), first.with_("idle", seed=2))
    mean = Mean("mean", runs[:2])
    plan = Plan(runs, mean, (Recognition({mean: "Mean"}),), storage={"recognizer": "float32"})
    for number, run in enumerate(runs[:2]):
        zoo.save(saying(number), tmp_path / run.name)
    models = build_zoo.trained_models(plan, tmp_path)
    assert set(models) == {mean, *runs[:2]}
    bias = models[mean].networks["classifier"].get_layer("out").get_weights()[1]
    np.testing.assert_allclose(bias, [10, 10, 0, 0, 0, 0, 0, 0])
    bench = build_zoo.bench_of(plan, models, str(tmp_path), tmp_path)
    assert bench.model is models[mean] and bench.command == "python scripts/build_zoo.py --model toy --data DIR"
    with pytest.raises(ValueError, match="toy: no measurement has judges"):
        build_zoo.judged_again(plan, str(tmp_path), tmp_path, tmp_path / "first")
    sys.modules.pop("build_zoo")

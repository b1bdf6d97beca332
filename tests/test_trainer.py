"""Recipes and `kerasfer.train`: from a table of faces to a trained model."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import toy_model
from tiny_training import noise_table, state_arrays

import kerasfer
from kerasfer import datasets, detection, kernels, trainer, training, zoo
from kerasfer.cli import train as command
from kerasfer.data import NO_AUGMENTATION, Augmentation, Recipe, kinds
from kerasfer.datasets.base import DatasetError
from kerasfer.models import MODELS, model_class
from kerasfer.models.base import FERModel

ROOT = Path(__file__).resolve().parents[1]


class Toy(toy_model.Toy):
    """The toy with a kind of batch of its own, which notes what its batches showed."""

    class Batch(kinds.Images):
        """Images that must have a pose; the mean yaw goes to the model."""

        needs = ("pose",)

        def adapt_columns(self):
            return {"yaw": self._streams[0].table["pose"][:, 0]}

    batch_kind_of = classmethod(FERModel.batch_kind_of.__func__)

    def adapt(self, columns):
        self.adapt_columns = columns.get("yaw")


@pytest.fixture
def toy(monkeypatch):
    """The toy in the zoo, trained eagerly."""
    monkeypatch.setitem(MODELS, "toy", (__name__, "Toy"))
    tf.config.run_functions_eagerly(True)
    yield Toy
    tf.config.run_functions_eagerly(False)


def silent(line: str) -> None:
    """Says nothing."""


def table(count=24, **columns):
    """Noise of known poses."""
    return noise_table(count).with_columns(pose=np.tile([10.0, 0, 0], (count, 1)), **columns)


# -- recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("valid", "learned", "watched"), [(None, 32, 6), (0.25, 24, 8), (0, 32, None), ("table", 32, 5)]
)
def test_what_is_learned_and_what_is_watched(valid, learned, watched):
    """The part test is never among either."""
    parts = ["train"] * 32 + ["valid"] * 6 + ["test"] * 6
    faces = table(44, split=parts, identity=[""] * 44, expression=np.arange(44) % 2)
    recipe = Recipe(faces, table(5) if valid == "table" else valid).divided()
    assert len(recipe.train) == learned and set(recipe.train["split"]) == {"train"}
    assert (len(recipe.valid) if watched else recipe.valid) == (watched or 0)
    assert recipe.said.startswith(f"noise: {learned} faces to train on (the part train)") and "of test" in recipe.said
    assert recipe.divided() is recipe
    held = {Recipe(faces, 0.25, seed=seed).divided().train["path"].tobytes() for seed in range(4)}
    assert len(held) > 1


def test_recipes_that_cannot_be():
    faces = table(8)
    for wrong, message in (
        ({"train": "faces"}, "train is a table of faces .* got str"),
        ({"valid": "faces"}, "valid is a table of faces .* got str"),
        ({"faces": ["lfw"]}, "faces are tables"),
        ({"labels": "mean"}, "majority or votes"),
        ({"teachers": "edge"}, "teachers speak by votes"),
        ({"memory": False}, "name one"),
    ):
        with pytest.raises(DatasetError, match=message):
            Recipe(**{"train": faces, **wrong})
    with pytest.raises(DatasetError, match=r"memory\[3\]: is among the faces to learn from and among those to watch"):
        Recipe(faces.select([0, 3]), faces.select([3, 4])).divided()
    with pytest.raises(DatasetError, match="is for faces of 48 pixels, the model takes 32"):
        Recipe(faces, 0, size=48).prepare(model_class("edge"), model_class("edge").Config.tiny().replace(image_size=32))


def test_what_batches_need_is_located_once_and_told(tmp_path, monkeypatch):
    located = []

    def landmarked(faces, detector="mediapipe", cache=None, progress=None):
        located.append((faces.name, cache))
        found = faces.with_columns(landmarks=np.ones((len(faces), 68, 2)))
        return found.select(np.arange(len(faces)) != 2)

    def estimated(faces, detector="mediapipe", cache=None, progress=None):
        located.append((faces.name, cache))
        return faces.with_columns(pose=np.full((len(faces), 3), np.nan))

    monkeypatch.setattr(detection, "landmarked", landmarked)
    monkeypatch.setattr(detection, "estimate_poses", estimated)
    plain = noise_table(9)
    plain = plain.replace(columns={name: plain[name] for name in ("path", "expression", "identity")})
    other = plain.replace(name="other")
    lines: list[str] = []
    config = model_class("g2fer").Config.tiny()
    recipe = Recipe(plain, 0, faces=other)
    prepared = recipe.prepare(model_class("g2fer"), config, tmp_path / "runs" / "x", lines.append)
    shared = tmp_path / "runs" / "landmarks"
    assert located == [("noise", shared), ("other", shared)] and prepared.kind is kinds.LandmarkPairs
    assert len(prepared.table) == 16 and set(prepared.table["identity"]) >= {"0/p0", "1/p0"}
    assert "1 of 9 faces of other are left out: no landmarks were found" in lines
    prepared = Recipe(plain, 0, faces=other, cache=tmp_path).prepare(
        model_class("ipdfer"), model_class("ipdfer").Config.tiny(), tmp_path / "runs" / "x", lines.append
    )
    assert located[2:] == [("noise", tmp_path / "poses")] and prepared.sets == (prepared.table,)
    assert "other: not used, as the model learns from one set" in lines
    assert "9 of 9 faces have no pose, as no face was found: they train all but the pose" in lines


def test_people_of_one_set():
    Model = model_class("tdgan")
    config = Model.Config.tiny().replace(identities=2)
    faces = table(9, identity=["a", "b", "c", "c", "b", "c", "", "a", "b"])
    prepared = Recipe(faces, 0).prepare(Model, config, say=silent)
    assert set(prepared.faces["identity"]) == {"b", "c"} and len(prepared.table) == 9
    with pytest.raises(DatasetError, match="the people of one set, got noise, noise"):
        Recipe(faces, 0, faces=[faces, faces]).prepare(Model, config, say=silent)
    nameless = faces.replace(columns={name: faces[name] for name in ("path", "expression")})
    with pytest.raises(DatasetError, match="noise has no names; give a set that has"):
        Recipe(nameless, 0).prepare(Model, config, say=silent)


def test_classes_that_a_model_does_not_have_are_told_or_refused():
    faces = table(16)
    config = model_class("edge").Config.tiny().replace(expressions=("happiness", "neutral"))
    prepared = Recipe(faces, 0, balanced=True).prepare(model_class("edge"), config, say=silent)
    assert "12 more are left out, which the model has no class for: surprise (2), sadness (2)" in prepared.said
    assert prepared.said.endswith("balanced, the 16 are drawn 16 times")
    assert prepared.prior(config.expressions) == (0.5, 0.5)
    Recipe(faces, 0).require_classes(config.expressions)
    with pytest.raises(DatasetError, match=r"folder: surprise \(2\).*expressions=neutral,happiness.*kerasfer.train"):
        Recipe(faces.replace(name="folder"), 0).require_classes(config.expressions)


def test_images_on_disk_are_the_same(tmp_path):
    Model = model_class("edge")
    config = Model.Config.tiny()
    made = []
    for options in ({}, {"memory": False, "cache": tmp_path}):
        prepared = Recipe(table(8), 0, augment=NO_AUGMENTATION, seed=3, **options).prepare(Model, config, say=silent)
        spec = Model(config).image_spec
        made.append(next(iter(prepared.batches(spec, Model(config).label_space, 4).epoch(0)))["image"])
    np.testing.assert_array_equal(*made)
    assert len(list((tmp_path / "images").iterdir())) == 2


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_name_a_recipe_and_a_folder_make_a_run(toy, tmp_path, capsys):
    """With a kind of batch that the library does not know, which the model's class brings as its `Batch`."""
    recipe = Recipe(table(40), 0.25, augment=Augmentation.strong(), size=6, seed=4)
    run = kerasfer.train("toy", recipe, tmp_path / "run", epochs=3, verbose=0)
    assert run.model.config.epochs == 3 and run.model.config.image_size == 6 and run.stopped == ""
    assert [row["epoch"] for row in run.history] == [1, 2, 3] and "valid_accuracy" in run.history[0]
    assert set(run.model.adapt_columns) == {10.0}
    said = json.loads((tmp_path / "run" / "config.json").read_text())
    assert said["model"] == "toy" and said["dataset"]["hold_out"] == 0.25
    parts = recipe.divided()
    assert (said["dataset"]["train"], said["dataset"]["valid"]) == (len(parts.train), len(parts.valid))
    assert sum(said["config"]["training_prior"]) == pytest.approx(1, abs=1e-4)
    assert run.evaluate(table(16)).n == 16
    state = state_arrays(run.model)
    again = kerasfer.train("toy", recipe, tmp_path / "run", epochs=3, verbose=0)
    assert again.history == run.history
    for name, values in state_arrays(again.model).items():
        np.testing.assert_array_equal(values, state[name], err_msg=name)
    loaded = kerasfer.load(tmp_path / "run").networks["classifier"].get_weights()
    np.testing.assert_array_equal(loaded[0], run.model.networks["classifier"].get_weights()[0])
    with pytest.raises(training.TrainingError, match="another .*epochs"):
        kerasfer.train("toy", recipe, tmp_path / "run", epochs=4, verbose=0)


def test_the_run_has_the_averaged_weights_and_goes_on_from_the_others(toy, tmp_path):
    config = toy.Config.small().replace(average=0.9, epochs=2, batch_size=4)
    recipe = Recipe(table(16), 0, seed=1)
    whole = kerasfer.train(config, recipe, tmp_path / "whole", verbose=0)
    half = kerasfer.train(config, recipe, tmp_path / "half", until=1, verbose=0)
    assert len(half.history) == 1
    with half.model.averaged_weights():
        averaged = half.model.networks["classifier"].get_weights()
    for ours, theirs in zip(half.model.networks["classifier"].get_weights(), averaged, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    raw = toy(half.model.config)
    raw.compile(total_steps=8)
    training.Checkpoints(tmp_path / "half").restore(raw)
    assert (raw.networks["classifier"].get_weights()[0] != averaged[0]).any()
    resumed = kerasfer.train(config, recipe, tmp_path / "half", verbose=0)
    expected = state_arrays(whole.model)
    for name, values in state_arrays(resumed.model).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_a_size_in_bfloat16_trains_in_float32_where_that_is_quicker(toy, tmp_path, monkeypatch):
    """What is used is in the run's config, and a run that has begun goes on in it, on whatever processor."""
    small = toy.Config.small().replace(precision="mixed_bfloat16", epochs=1)
    monkeypatch.setattr(toy.Config, "small", classmethod(lambda cls: small))
    flags = frozenset({"avx2"})
    monkeypatch.setattr(kernels, "processor_flags", lambda: flags)
    said = []
    for name, model in (("chosen", "toy"), ("named", small)):
        kerasfer.train(model, Recipe(table(8), 0), tmp_path / name, minutes=1e-9, verbose=0, say=said.append)
    begun = [training.begun_config(tmp_path / name)["precision"] for name in ("chosen", "named")]
    assert begun == ["float32", "mixed_bfloat16"]
    chosen, named = (line for line in said if "AVX512-BF16" in line)
    assert chosen.startswith("in float32: ") and named.endswith("; --set precision=float32")

    def precisions():
        configs = [trainer.with_precision(small, tmp_path / name, silent) for name in ("chosen", "named", "new")]
        return [config.precision for config in (*configs, zoo.create("toy", "small").config)]

    assert precisions() == [*begun, "float32", "float32"]
    flags = frozenset({"avx2", "amx_bf16"})
    assert precisions() == [*begun, "mixed_bfloat16", "mixed_bfloat16"]


@pytest.mark.parametrize(
    ("named", "precision"), [((), "float32"), (("--set", "precision=mixed_bfloat16"), "mixed_bfloat16")]
)
def test_the_command_trains_in_the_precision_that_it_names(toy, tmp_path, monkeypatch, named, precision):
    small = toy.Config.small().replace(precision="mixed_bfloat16")
    monkeypatch.setattr(toy.Config, "small", classmethod(lambda cls: small))
    monkeypatch.setattr(kernels, "processor_flags", lambda: frozenset({"avx2"}))
    given = []
    monkeypatch.setattr(trainer, "train", lambda *a, **b: given.append(a) or SimpleNamespace(stopped="over"))
    assert command.main(["--model", "toy", "--images", "16", "--output", str(tmp_path), *named]) == 0
    assert given[0][0].precision == precision


def test_models_batches_time_and_watchers(toy, tmp_path):
    """A model that is given is trained itself; batches that are made already are taken as they are."""
    model = toy(toy.Config.small().replace(batch_size=4))
    batches = kinds.Images(table(16), model.image_spec, model.label_space, 4)
    seen = []
    options = {"epochs": 2, "on_epoch_end": [lambda end: seen.append(end.epoch)], "verbose": 0}
    stopped = kerasfer.train(model, batches, tmp_path, minutes=1e-9, **options)
    assert stopped.stopped.startswith("stopped in epoch 1") and stopped.history == []
    run = kerasfer.train(model, batches, tmp_path, **options)
    assert run.model is model and model.config.epochs == 2 and seen == [0, 1] and len(run.history) == 2
    with pytest.raises(training.TrainingError, match="the model says its classes itself"):
        kerasfer.train(model, batches, tmp_path, expressions=("a", "b"))


def test_teachers_are_asked_once(toy, tmp_path):
    faces = datasets.load("synthetic", count=40, size=16, split="train")
    teacher = toy(toy.Config.small().replace(channels=1))
    recipe = Recipe(faces, 0.2, labels="votes", teachers=[teacher], teacher_share=1.0)
    with pytest.raises(DatasetError, match="teachers are asked by kerasfer.train"):
        recipe.prepare(toy, teacher.config, say=silent)
    config = toy.Config.small().replace(batch_size=4, epochs=1)
    run = kerasfer.train(config, recipe, tmp_path, verbose=0)
    said = json.loads((tmp_path / "config.json").read_text())["dataset"]
    assert said["teachers"] == ["toy"] and np.load(tmp_path / "teachers.npy").shape == (said["train"], 8)
    assert run.model.config.training_prior != ()


def test_every_argument_is_explained():
    text = inspect.getdoc(kerasfer.train)
    for name in inspect.signature(trainer.train).parameters:
        assert f"\n    {name}: " in text, name
    for field in Recipe.__dataclass_fields__:
        assert f"\n    {field}: " in inspect.getdoc(Recipe), field


@pytest.mark.slow
def test_the_example_of_ones_own_faces(tmp_path, capsys):
    """From folders to a TFLite file that knows the folders' names."""
    path = ROOT / "examples" / "train_your_own.py"
    assert len(path.read_text().splitlines()) < 60
    spec = importlib.util.spec_from_file_location("train_your_own", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(["--output", str(tmp_path), "--rendered", "72", "--epochs", "2"])
    printed = capsys.readouterr().out
    assert "a new head on edge" in printed and "a face that shows" in printed
    answer = printed.splitlines()[-1]
    assert all(f"{name} " in answer for name in ("happy", "sad", "amazed")), answer
    assert kerasfer.load(tmp_path / "run").label_space.labels == ("amazed", "happy", "sad")

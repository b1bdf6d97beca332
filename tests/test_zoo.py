"""Models by name, and saved models that are complete and undamaged or are not loaded at all."""

from __future__ import annotations

import configparser
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file
from toy_model import Toy, ToyConfig

import kerasfer
from kerasfer import weights, zoo
from kerasfer.models import MODELS
from kerasfer.models.base import ConfigError
from kerasfer.zoo import saving

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def toy_in_zoo(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", ("toy_model", "Toy"))


@pytest.fixture
def model():
    return Toy(ToyConfig(seed=3))


@pytest.fixture
def saved(model, tmp_path):
    return zoo.save(model, tmp_path / "toy", metrics={"accuracy": 0.5}, history=[{"epoch": 1, "loss": 0.25}])


def faces(model, count=3):
    return np.random.default_rng(0).random((count, *model.image_spec.shape), np.float32)


def answers(model, count=3):
    return np.asarray(model.recognizer()(faces(model, count)))


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite_weights(folder, group, change):
    """Replaces a weight file by a changed one with the right checksum."""
    path = folder / f"{group}.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    files = json.loads((folder / "config.json").read_text())["files"]
    files[group]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, files=files)


def test_names():
    assert "tdgan" in zoo.list_models()
    assert zoo.list_models("t*gan") == ["tdgan"]
    assert zoo.list_models("no*") == []
    assert set(zoo.list_models(trained=True)) <= {path.name for path in (ROOT / "saved_models").glob("*")}


def test_create_takes_sizes_and_fields():
    assert zoo.create("toy").config == ToyConfig()
    assert zoo.create("toy", "small", image_size=6).config == ToyConfig(units=3, image_size=6)
    with pytest.raises(zoo.ZooError, match="unknown model 'nobody'; known are: .*tdgan"):
        zoo.create("nobody")
    with pytest.raises(zoo.ZooError, match="unknown size 'huge'; known are: paper, small, tiny"):
        zoo.create("toy", "huge")
    with pytest.raises(ConfigError, match="no field 'unit'"):
        zoo.create("toy", unit=3)


def test_a_saved_model_answers_as_before(model, saved):
    loaded = zoo.load(saved)
    assert loaded.config == model.config
    np.testing.assert_array_equal(answers(loaded), answers(model))
    np.testing.assert_array_equal(loaded.synthesize(np.ones((1, 4))), model.synthesize(np.ones((1, 4))))
    np.testing.assert_array_equal(answers(zoo.load(str(saved / "config.json"))), answers(model))


def test_an_average_has_the_means_of_the_weights(model):
    models = [model, Toy(ToyConfig(seed=4)), Toy(ToyConfig(seed=5))]
    mean = zoo.average(models)
    assert mean.config == model.config
    for name in ("classifier", "painter"):
        for value, *parts in zip(mean.networks[name].get_weights(), *(m.networks[name].get_weights() for m in models)):
            np.testing.assert_allclose(value, (parts[0] + parts[1] + parts[2]) / 3, atol=1e-7)
    np.testing.assert_array_equal(answers(zoo.average([model, model, model])), answers(model))


def test_an_average_is_of_models_that_differ_in_the_seed_alone(model, saved):
    with pytest.raises(zoo.ZooError, match="at least one model"):
        zoo.average([])
    with pytest.raises(zoo.ZooError, match="of one class and one config"):
        zoo.average([model, Toy(ToyConfig(units=3))])
    (saved / "generator.safetensors").unlink()
    with pytest.raises(zoo.ZooError, match="saved without painter"):
        zoo.average([model, zoo.load(saved)])


def test_the_folder_says_what_it_holds(saved):
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "generator.safetensors",
        "history.csv",
        "metrics.json",
        "recognizer.safetensors",
    ]
    description = json.loads((saved / "config.json").read_text())
    assert description["format"] == 1
    assert description["kerasfer"] == kerasfer.__version__
    assert description["model"] == "toy"
    assert description["labels"][:2] == ["neutral", "happiness"]
    assert description["image"] == {"size": 8, "channels": 1, "pixel_range": "unit"}
    entry = description["files"]["recognizer"]
    content = (saved / entry["file"]).read_bytes()
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["bytes"] == len(content)
    assert entry["networks"] == ["classifier"]
    assert (saved / "history.csv").read_text() == "epoch,loss\n1,0.25\n"
    assert json.loads((saved / "metrics.json").read_text()) == {"accuracy": 0.5}


def test_the_card_lists_what_is_not_the_papers(tmp_path):
    folder = zoo.save(Toy(ToyConfig.small()), tmp_path / "toy", metrics={"accuracy": 0.5})
    card = (folder / "README.md").read_text()
    assert "## Deviations from the paper" in card
    assert "| `units` | 3 | 4 |  |" in card
    assert "image_size" not in card
    assert "- accuracy: 0.5" in card


def test_a_model_trained_in_bfloat16_is_used_in_float32(tmp_path):
    model = Toy(ToyConfig(precision="mixed_bfloat16"))
    folder = zoo.save(model, tmp_path / "toy")
    loaded = zoo.load(folder)
    assert loaded.config.precision == "float32"
    assert loaded.networks["classifier"].get_layer("conv").compute_dtype == "float32"
    assert zoo.load(folder, precision="mixed_bfloat16").config == model.config
    with pytest.raises(ConfigError, match="precision is one of"):
        zoo.load(folder, precision="float8")


def test_int8_storage_rounds_each_channel_to_255_steps(tmp_path):
    from kerasfer.weights import pack, unpack

    kernel = np.float32([[[1.27, -300.0, 0.0]], [[-0.634, 150.4, 0.0]]])
    arrays = {"conv/kernel": kernel, "conv/bias": np.float32([0.1, 7.0, -2.0])}
    again = unpack(pack(arrays, np.int8), tmp_path)
    steps = kernel.reshape(-1, 3) / [0.01, 300 / 127, 1]
    np.testing.assert_allclose(again["conv/kernel"].reshape(-1, 3), np.rint(steps) * [0.01, 300 / 127, 1], rtol=1e-6)
    np.testing.assert_array_equal(again["conv/bias"], np.float16(arrays["conv/bias"]))
    for broken in (np.nan, np.inf):
        with pytest.raises(zoo.ZooError, match="conv/kernel are not finite as int8"):
            pack({"conv/kernel": np.float32([[1.0, broken]])}, np.int8)
    from safetensors.numpy import save

    with pytest.raises(zoo.ZooError, match="not a readable safetensors file .*conv:scale"):
        unpack(save({"conv": np.int8([[1, 2]])}), tmp_path)


def test_a_generator_stored_as_int8_is_loaded_as_floats(model, tmp_path):
    small = zoo.save(model, tmp_path / "small", storage={"generator": "int8"})
    files = json.loads((small / "config.json").read_text())["files"]
    assert [files[group]["storage"] for group in ("recognizer", "generator")] == ["float32", "int8"]
    loaded = zoo.load(small)
    for network in model.weight_groups()["generator"]:
        for weight, before in zip(loaded.networks[network].weights, model.networks[network].weights):
            before = before.numpy()
            bound = np.abs(before).max() / 127 if before.ndim > 1 else 1e-3 * (1 + np.abs(before))
            assert (np.abs(weight.numpy() - before) <= bound).all()


def test_float16_storage_halves_the_file_and_rounds_the_weights(model, saved, tmp_path):
    small = zoo.save(model, tmp_path / "small", storage={"recognizer": "float16"})
    files = json.loads((small / "config.json").read_text())["files"]
    assert [files[group]["storage"] for group in ("recognizer", "generator")] == ["float16", "float32"]
    assert files["recognizer"]["bytes"] < (saved / "recognizer.safetensors").stat().st_size
    loaded = zoo.load(small)
    for ours, theirs in zip(loaded.recognizer().weights, model.recognizer().weights):
        assert ours.dtype == "float32"
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy().astype(np.float16).astype(np.float32))
    with pytest.raises(zoo.ZooError, match="storage is one of float32, float16, int8, got int4"):
        zoo.save(model, tmp_path / "other", storage="int4")
    model.recognizer().weights[0].assign(np.full(model.recognizer().weights[0].shape, 1e6))
    with pytest.raises(zoo.ZooError, match="classifier/conv/kernel are not finite as float16"):
        zoo.save(model, tmp_path / "other", storage="float16")
    assert not (tmp_path / "other").exists()


def test_without_the_generator_a_model_recognizes_and_refuses_to_generate(model, saved, tmp_path):
    alone = zoo.save(model, tmp_path / "alone", groups=["recognizer"])
    (saved / "generator.safetensors").unlink()
    for folder, reason in ((alone, "was saved without its generator weights"), (saved, "generator.safetensors is")):
        loaded = zoo.load(folder)
        np.testing.assert_array_equal(answers(loaded), answers(model))
        with pytest.raises(zoo.ZooError, match=f"no painter: .*{reason}"):
            loaded.synthesize(np.ones((1, 4)))
        with pytest.raises(zoo.ZooError, match="no painter"):
            loaded.compile()
    again = zoo.save(zoo.load(alone), tmp_path / "again")
    assert not (again / "generator.safetensors").exists()
    with pytest.raises(zoo.ZooError, match="groups are recognizer and any of"):
        zoo.save(model, tmp_path / "other", groups=["generator"])


def test_damage_is_told_with_file_and_remedy(saved):
    path = saved / "recognizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(zoo.ZooError, match="recognizer.safetensors: damaged.*checksum.*copy the model's folder again"):
        zoo.load(saved)
    path.write_bytes(content[:-4])
    with pytest.raises(zoo.ZooError, match="recognizer.safetensors: damaged"):
        zoo.load(saved)
    path.unlink()
    with pytest.raises(zoo.ZooError, match="recognizer.safetensors: cannot be read .*copy"):
        zoo.load(saved)


def test_a_damaged_optional_file_is_not_passed_over(saved):
    (saved / "generator.safetensors").write_bytes(b"no weights")
    with pytest.raises(zoo.ZooError, match="generator.safetensors: damaged"):
        zoo.load(saved)


def test_weights_of_another_size_or_model_do_not_load(saved):
    def transposed(arrays):
        arrays["classifier/out/kernel"] = np.ascontiguousarray(arrays["classifier/out/kernel"].T)

    rewrite_weights(saved, "recognizer", transposed)
    with pytest.raises(zoo.ZooError, match=r"1 of 4 differ, first: classifier/out/kernel has shape \(8, 144\) instead"):
        zoo.load(saved)
    rewrite_weights(saved, "recognizer", lambda arrays: arrays.pop("classifier/out/kernel"))
    with pytest.raises(zoo.ZooError, match="no classifier/out/kernel"):
        zoo.load(saved)
    rewrite_weights(saved, "recognizer", lambda arrays: arrays.update({"else/kernel": np.ones(2, np.float32)}))
    with pytest.raises(zoo.ZooError, match="of another model or size"):
        zoo.load(saved)


def test_weights_that_are_not_numbers_do_not_load(saved):
    def spoil(arrays):
        arrays["classifier/out/bias"] = np.full(8, np.nan, np.float32)

    rewrite_weights(saved, "recognizer", spoil)
    with pytest.raises(zoo.ZooError, match="recognizer.safetensors: classifier/out/bias holds values that are not"):
        zoo.load(saved)


def test_a_weight_file_that_is_not_safetensors(saved):
    content = b"\xff" * 64
    (saved / "recognizer.safetensors").write_bytes(content)
    files = json.loads((saved / "config.json").read_text())["files"]
    files["recognizer"]["sha256"] = hashlib.sha256(content).hexdigest()
    edit(saved, files=files)
    with pytest.raises(zoo.ZooError, match="recognizer.safetensors: not a readable safetensors file"):
        zoo.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99.*install a newer one"),
        ({"model": "g9fer"}, "is of model 'g9fer'"),
        ({"labels": ["neutral", "happiness"]}, r"labels \['neutral', 'happiness'\] contradicts"),
        ({"image": {"size": 9, "channels": 1, "pixel_range": "unit"}}, "image .* contradicts"),
        ({"config": {"unit": 3}}, "has no field 'unit'"),
        ({"config": {"image_size": "8"}}, "image_size is of type int"),
        ({"config": None}, "does not describe a model"),
        ({"files": {}}, "has no valid entry of recognizer.safetensors"),
        ({"files": {"secret": {}}}, "lists other weight files"),
        (
            {"files": {"recognizer": {"file": "../recognizer.safetensors"}}},
            "has no valid entry of recognizer.safetensors",
        ),
        ({"files": {"recognizer": 3}}, "has no valid entry of recognizer.safetensors"),
    ],
)
def test_a_config_that_cannot_be_right(saved, changes, message):
    edit(saved, **changes)
    with pytest.raises(zoo.ZooError, match=f"config.json: .*{message}"):
        zoo.load(saved)


def test_places_where_there_is_no_model(tmp_path, saved):
    with pytest.raises(zoo.ZooError, match="nobody: neither a trained model nor a folder"):
        zoo.load("nobody")
    with pytest.raises(zoo.ZooError, match="kerasfer.create\\('toy'\\) makes an untrained one"):
        zoo.load("toy")
    with pytest.raises(zoo.ZooError, match="config.json: no such file"):
        zoo.load(tmp_path)
    with pytest.raises(zoo.ZooError, match="metrics.json: not a saved model; name the folder"):
        zoo.load(saved / "metrics.json")
    (saved / "config.json").write_text('{"format": 1, ')
    with pytest.raises(zoo.ZooError, match="config.json: not a readable JSON file"):
        zoo.load(saved)


def test_saving_replaces_a_model_but_nothing_else(model, saved, tmp_path):
    (saved / "model.tflite").write_bytes(b"of the model before")
    zoo.save(model, saved, groups=["recognizer"])
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "config.json", "recognizer.safetensors"]
    (saved / "thesis.tex").write_text("years of work")
    with pytest.raises(zoo.ZooError, match=r"holds something else \(thesis.tex\)"):
        zoo.save(model, saved)
    (tmp_path / "file").write_text("")
    with pytest.raises(zoo.ZooError, match="file: is a file"):
        zoo.save(model, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "toy"]


def test_a_failed_save_leaves_the_model_before(model, saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "_write_json", full)
    with pytest.raises(zoo.ZooError, match="toy: cannot be written .No space left on device."):
        zoo.save(model, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["toy"]


def test_a_bundled_model_is_found_in_a_checkout_and_in_a_package(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "BUNDLES", (tmp_path / "nowhere", tmp_path))
    shutil.copytree(saved, tmp_path / "toy_b")
    assert zoo.list_models(trained=True) == ["toy", "toy_b"]
    assert zoo.list_models("*_b", trained=True) == ["toy_b"]
    assert zoo.load("toy_b").config == ToyConfig(seed=3)
    with pytest.raises(zoo.ZooError, match="unknown model 'toy_b' .a trained model: use load."):
        zoo.create("toy_b")
    monkeypatch.chdir(saved)
    assert zoo.load("toy").config == ToyConfig(seed=3)


def write_run(model, run, steps):
    """What `training.fit` leaves: a config and one checkpoint a step."""
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(json.dumps({"model": "toy", "config": model.config.to_dict(), "command": "x"}))
    model.compile(total_steps=10)
    rng = np.random.default_rng(1)
    for step in range(1, steps + 1):
        batch = {"image": rng.random((2, *model.image_spec.shape), np.float32), "label": tf.eye(2, 8)}
        model.train_step(batch)
        checkpoint = run / "checkpoints" / f"00000-{step:07d}"
        checkpoint.mkdir(parents=True)
        save_file(
            {name: np.asarray(variable.numpy(), order="C") for name, variable in model.state().items()},
            checkpoint / "state.safetensors",
        )
        yield {variable.path: variable.numpy() for variable in model.recognizer().weights}


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_training_run_gives_its_newest_weights_averaged_if_it_averages(tmp_path, average, schedule):
    model = Toy(ToyConfig(average=average, schedule=schedule, learning_rate=0.1))
    start = {variable.path: variable.numpy() for variable in model.recognizer().weights}
    first, second = write_run(model, tmp_path / "run", 2)
    loaded = zoo.load(tmp_path / "run")
    for variable in loaded.recognizer().weights:
        # The average begins at the first weights, of which the first update keeps 1/10, the second 2/11.
        path = variable.path
        expected = second[path]
        if average:
            expected = 2 / 11 * (0.1 * start[path] + 0.9 * first[path]) + 9 / 11 * second[path]
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-6)
    older = zoo.load(tmp_path / "run" / "checkpoints" / "00000-0000001")
    if not average:
        np.testing.assert_array_equal(older.recognizer().weights[0].numpy(), first["conv/kernel"])


def test_training_runs_that_cannot_be_loaded(tmp_path):
    model = Toy(ToyConfig())
    run = tmp_path / "run"
    list(write_run(model, run, 1))
    path = run / "checkpoints" / "00000-0000001" / "state.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.raises(zoo.ZooError, match="state.safetensors: not a readable checkpoint"):
        zoo.load(run)
    path.write_bytes(content)
    edit(run, config=ToyConfig(units=5).to_dict())
    with pytest.raises(zoo.ZooError, match="state.safetensors: weights of another model or size"):
        zoo.load(run)
    shutil.rmtree(path.parent)
    with pytest.raises(zoo.ZooError, match="checkpoints: holds no checkpoint; train longer"):
        zoo.load(run)
    (run / "checkpoints").rmdir()
    with pytest.raises(zoo.ZooError, match="config.json: is of a training run without checkpoints"):
        zoo.load(run)


def test_a_model_outside_the_zoo_is_not_saved(tmp_path, monkeypatch, model):
    monkeypatch.delitem(MODELS, "toy")
    with pytest.raises(zoo.ZooError, match="Toy is not a model of the zoo"):
        zoo.save(model, tmp_path / "toy")


def test_tdgan_returns_from_a_folder(tmp_path):
    model = zoo.create("tdgan", "tiny", seed=5)
    loaded = zoo.load(zoo.save(model, tmp_path / "tdgan", groups=["recognizer", "generator"]))
    np.testing.assert_array_equal(answers(loaded), answers(model))
    pictures = faces(model, 2)
    np.testing.assert_array_equal(loaded.synthesize(pictures, pictures), model.synthesize(pictures, pictures))
    with pytest.raises(zoo.ZooError, match="no expression_discriminator_encoder: .*without its training weights"):
        loaded.expression_logits(pictures)


def test_public_names():
    assert kerasfer.list_models is zoo.list_models
    assert kerasfer.load is zoo.load
    assert kerasfer.datasets.names()
    assert {"recognize", "evaluate", "export", "create", "__version__"} <= set(dir(kerasfer))
    assert callable(kerasfer.evaluate) and callable(kerasfer.recognize)
    with pytest.raises(AttributeError, match="has no attribute 'lode'; it has: .*load"):
        kerasfer.lode  # noqa: B018


def test_the_version_is_written_once():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] in (kerasfer.__version__, "attr: kerasfer.version.__version__")


def test_importing_kerasfer_imports_little():
    code = (
        "import sys; before = set(sys.modules); import kerasfer; "
        "print(len(set(sys.modules) - before), *({'numpy', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, *heavy = result.stdout.split()
    assert heavy == []
    assert int(count) < 20

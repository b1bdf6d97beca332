"""Models as Keras users know them: flat recognizers, .keras files, compile and fit."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasfer
from kerasfer import registration, zoo
from kerasfer.models import MODELS
from kerasfer.models.base import FERModel
from kerasfer.models.recognizer import Recognizer

ROOT = Path(__file__).resolve().parents[1]

FEATURES = {"dcganfer": 128, "edge": 64, "fesr": 8, "g2fer": 8, "ipdfer": 8, "tdgan": 16}
"""Numbers that describe a face at the tiny size."""

_models: dict[str, FERModel] = {}


def model_of(name: str) -> FERModel:
    """A tiny model with weights that no new model has."""
    if name not in _models:
        model = _models[name] = zoo.create(name, "tiny", temperature=0.5)
        for weight in model.weights:
            if weight.dtype == "float32":
                weight.assign(1.05 * weight + 0.003)
    return _models[name]


def faces_of(model: FERModel, count: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *model.image_spec.shape), np.uint8)
    return model.image_spec.scale(pixels)


# -- one flat model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_recognizer_is_one_flat_model(name):
    model = model_of(name)
    recognizer, faces = model.recognizer(), faces_of(model)
    assert isinstance(recognizer, Recognizer) and recognizer.name == "recognizer"
    assert not any(isinstance(layer, keras.Model) for layer in recognizer.layers)
    assert [layer.name for layer in recognizer.layers][0] == "image"
    assert [layer.name for layer in recognizer.layers][-2:] == ["temperature", "probabilities"]
    assert recognizer.image_spec == model.image_spec and recognizer.label_space.labels == model.label_space.labels
    for layer in recognizer.layers[-4:]:
        part = keras.Model(recognizer.input, layer.output)
        assert part(faces).shape[0] == len(faces)
    parts = keras.Model(recognizer.input, [recognizer.layers[-3].output, recognizer.layers[-1].input])
    logits, tempered = (np.asarray(part) for part in parts(faces))
    np.testing.assert_allclose(logits / 0.5, tempered, rtol=1e-5)
    again = type(model)(model.config).recognizer()
    assert [layer.name for layer in again.layers] == [layer.name for layer in recognizer.layers]


@pytest.mark.parametrize("name", MODELS)
def test_the_recognizer_shares_its_weights_with_the_networks(name):
    model = model_of(name)
    own = {id(weight) for network in model.weight_groups()["recognizer"] for weight in model.networks[network].weights}
    assert {id(weight) for weight in model.recognizer().weights} == own


@pytest.mark.parametrize("name", MODELS)
def test_features(name):
    model = model_of(name)
    faces = faces_of(model, 5)
    features = model.features(faces)
    assert features.shape == (5, FEATURES[name]) and features.dtype == np.float32
    np.testing.assert_allclose(model.recognizer().features(faces, batch_size=2), features, rtol=1e-3, atol=1e-3)
    assert model.features(faces[:0]).shape == (0, FEATURES[name])
    with pytest.raises(ValueError, match="have shape"):
        model.features(faces[0])
    # What comes after the features says the same of equal features: the rest of the network is a function of them.
    recognizer = model.recognizer()
    after = recognizer.layers.index(recognizer.get_layer(recognizer.layers[-1].feature_layer)) + 1
    x = features
    for layer in recognizer.layers[after:]:
        x = layer(x, training=False) if layer.name.endswith("dropout") else layer(x)
    np.testing.assert_allclose(x, recognizer(faces), atol=1e-5)


# -- .keras files ------------------------------------------------------------------------------------------------------


def test_every_registered_class_has_its_stand_in():
    modules = set(registration.CLASSES.values()) | {module for module, _ in MODELS.values()}
    for path in (ROOT / "kerasfer").rglob("*.py"):
        if "register_keras_serializable" in path.read_text():
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules.add(".".join(parts))
    found = {}
    for module in modules:
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, type) and value.__module__ == module:
                registered = keras.saving.get_registered_name(value)
                if registered != name:
                    assert registered == f"{registration.PACKAGE}>{name}"
                    found[name] = module
    assert found == registration.CLASSES


LOAD = """
import sys
import kerasfer
assert not {"keras", "tensorflow"} & set(sys.modules)
import importlib.util
importlib.util.find_spec("keras")
import keras, numpy as np
for path in sys.argv[1:]:
    assert not any(name.startswith("kerasfer.models.") for name in sys.modules) or path != sys.argv[1]
    kept = np.load(f"{path}.npz")
    model = keras.models.load_model(path)
    np.testing.assert_allclose(np.asarray(model(kept["faces"])), kept["answers"], atol=1e-6)
    assert list(model.label_space.labels) == list(kept["labels"]), path
    assert model.image_spec.pixel_range == str(kept["range"]), path
print("loaded", len(sys.argv) - 1)
"""


def test_keras_files_load_in_a_new_process_after_importing_kerasfer_alone(tmp_path):
    paths = []
    for name in MODELS:
        model = model_of(name)
        faces = faces_of(model)
        for saved in (model.recognizer(), *([model] if name == "edge" else [])):
            path = tmp_path / f"{name}_{len(paths)}.keras"
            saved.save(path)
            np.savez(
                f"{path}.npz",
                faces=faces,
                answers=np.asarray(saved(faces)),
                labels=model.label_space.labels,
                range=model.image_spec.pixel_range,
            )
            paths.append(str(path))
    result = subprocess.run([sys.executable, "-c", LOAD, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split() == ["loaded", str(len(MODELS) + 1)]


@pytest.mark.parametrize("name", [*(pytest.param(n, marks=[] if n == "tdgan" else pytest.mark.slow) for n in MODELS)])
def test_a_whole_model_comes_back_with_every_weight(name, tmp_path):
    model = model_of(name)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for name, network in model.networks.items():
        for one, other in zip(network.weights, loaded.networks[name].weights, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{name}/{one.path}")


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_hdf5_is_refused(tmp_path, whole, ending):
    model = model_of("edge")
    saved = model if whole else model.recognizer()
    with pytest.raises(ValueError, match=r"m\.h.*\.keras, or with kerasfer\.save"):
        saved.save(tmp_path / f"m.{ending}")
    assert not list(tmp_path.iterdir())
    if not whole:
        with pytest.raises(ValueError, match=r"\.keras, or with kerasfer\.save"):
            keras.models.save_model(saved, tmp_path / f"m.{ending}")
    saved.save_weights(tmp_path / "m.weights.h5")
    saved.load_weights(tmp_path / "m.weights.h5")


def test_a_model_without_some_weights_says_how_to_save_it(tmp_path):
    model = model_of("tdgan")
    folder = kerasfer.save(model, tmp_path / "some", groups=("recognizer",))
    with pytest.raises(ValueError, match=r"m\.keras: the model has no face_encoder.*kerasfer\.save"):
        kerasfer.load(folder).save(tmp_path / "m.keras")


@pytest.mark.parametrize("name", MODELS)
def test_clone_model(name):
    model = model_of(name)
    recognizer = model.recognizer()
    clone = keras.models.clone_model(recognizer)
    assert isinstance(clone, Recognizer) and clone.label_space.labels == model.label_space.labels
    assert not {id(weight) for weight in clone.weights} & {id(weight) for weight in recognizer.weights}
    clone.set_weights(recognizer.get_weights())
    faces = faces_of(model)
    np.testing.assert_allclose(clone(faces), recognizer(faces), atol=1e-6)
    assert clone.features(faces).shape == (3, FEATURES[name])
    if name == "edge":
        assert keras.models.clone_model(model).config == model.config

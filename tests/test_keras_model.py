"""Models as Keras users know them: flat recognizers, .keras files, compile and fit."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches

import kerasfer
from kerasfer import registration, zoo
from kerasfer.faces import ImageSpec
from kerasfer.images import prepare
from kerasfer.models import MODELS
from kerasfer.models.base import ConfigError, FERModel
from kerasfer.models.recognizer import Recognizer

ROOT = Path(__file__).resolve().parents[1]

FEATURES = {"dcganfer": 128, "edge": 64, "fesr": 8, "g2fer": 8, "ipdfer": 8, "tdgan": 16, "wild": 80}
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
    seen = recognizer.get_layer(recognizer.layers[-1].feature_layer).output
    rest = keras.Model(seen, recognizer.output)
    np.testing.assert_allclose(rest(features), recognizer(faces), atol=1e-5)


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


# -- compile and fit ---------------------------------------------------------------------------------------------------


def labeled(model: FERModel, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    classes = np.arange(count) % len(model.label_space)
    return faces_of(model, count), np.eye(len(model.label_space), dtype=np.float32)[classes]


class Pairs(keras.utils.PyDataset):
    """Batches of two of images and labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images) // 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(2 * index, 2 * index + 2)
        return self.images[rows], self.labels[rows]


def sources(images: np.ndarray, labels: np.ndarray) -> dict[str, dict]:
    """What `fit` may be given: the same batches of two, always in order."""
    named = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}).batch(2)
    return {
        "arrays": {"x": images, "y": labels, "batch_size": 2, "shuffle": False},
        "class numbers": {"x": images, "y": labels.argmax(1), "batch_size": 2, "shuffle": False},
        "arrays by name": {"x": {"image": images, "label": labels}, "batch_size": 2, "shuffle": False},
        "tf.data": {"x": tf.data.Dataset.from_tensor_slices((images, labels)).batch(2)},
        "tf.data by name": {"x": named},
        "PyDataset": {"x": Pairs(images, labels), "shuffle": False},
    }


@pytest.fixture(scope="module")
def edge() -> FERModel:
    return zoo.create("edge", "tiny", teacher_share=0.0)


@pytest.mark.slow
def test_every_source_trains_alike(edge):
    images, labels = labeled(edge)
    start = edge.get_weights()
    ends = {}
    for name, source in sources(images, labels).items():
        edge.set_weights(start)
        edge.compile("sgd")
        history = edge.fit(**source, verbose=0)
        assert set(history.history) == {"labels", "accuracy"}
        ends[name] = edge.networks["body"].get_weights()
    edge.set_weights(start)
    moved = [(one != other).any() for one, other in zip(ends["arrays"], edge.networks["body"].get_weights())]
    assert any(moved)
    for name, weights in ends.items():
        for one, other in zip(weights, ends["arrays"], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=name)


def test_callbacks_see_the_learning_rate_and_the_recognizers_loss(edge):
    images, labels = labeled(edge)
    edge.compile("adam")
    rate = edge.config.learning_rate
    assert float(edge.optimizer.learning_rate) == pytest.approx(rate)
    history = edge.fit(
        images,
        labels,
        batch_size=4,
        epochs=3,
        verbose=0,
        validation_data=(images, labels),
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=1e9),
        ],
    )
    assert len(history.epoch) == 2 and set(history.history) >= {"val_loss", "val_accuracy", "labels"}
    assert float(edge.optimizers["recognizer"].learning_rate) == pytest.approx(rate / 4)
    loss, accuracy = edge.evaluate(images, labels, verbose=0)
    probabilities = edge.predict(images, verbose=0)
    assert loss == pytest.approx(-np.log(probabilities[labels > 0]).mean(), rel=1e-4)
    assert accuracy == pytest.approx((probabilities.argmax(1) == labels.argmax(1)).mean())


def test_checkpoints_of_keras_hold_the_optimizer(edge, tmp_path):
    images, labels = labeled(edge, 4)
    path = tmp_path / "m.keras"
    edge.compile("adam", jit_compile=False)
    edge.fit(images, labels, batch_size=2, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    loaded = keras.models.load_model(path)
    assert loaded.optimizers["recognizer"].iterations == 2 and int(loaded.step) == int(edge.step)
    for model in (edge, loaded):
        model.fit(images, labels, batch_size=2, shuffle=False, verbose=0)
    for one, other in zip(edge.networks["body"].get_weights(), loaded.networks["body"].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_the_optimizers_that_compile_makes():
    model = zoo.create("tdgan", "tiny", average=0.5, learning_rate=3e-4)
    model.compile("adam")
    assert {type(optimizer).__name__ for optimizer in model.optimizers.values()} == {"FusedAdam"}
    assert float(model.optimizers["generator"].learning_rate) == pytest.approx(3e-4)
    assert len({id(optimizer) for optimizer in model.optimizers.values()}) == len(model.optimizer_plans()) == 4
    with model.averaged_weights():
        pass
    model.compile(keras.optimizers.SGD(0.25, momentum=0.5))
    assert {float(optimizer.learning_rate) for optimizer in model.optimizers.values()} == {0.25}
    assert {optimizer.momentum for optimizer in model.optimizers.values()} == {0.5}
    with pytest.raises(ConfigError, match="freeze_epochs need Adam"):
        zoo.create("edge", "tiny", epochs=2, freeze_epochs=1).compile("sgd", total_steps=4)
    model.compile({name: "sgd" if name == "generator" else "adam" for name in model.optimizer_plans()})
    assert type(model.optimizers["generator"]).__name__ == "SGD"
    model.optimizer.learning_rate = 1e-5
    assert float(model.optimizers["face_discriminator"].learning_rate) == pytest.approx(1e-5)
    for wrong, message in (
        ({"optimizer": {"generator": "adam"}}, "the optimizers are generator, "),
        ({"optimizer": "adamant"}, "'adamant' is no Keras optimizer"),
        ({"loss": "mse"}, "takes no loss; compile and fit model.recognizer"),
        ({"metrics": ["accuracy"]}, "takes no metrics; compile and fit model.recognizer"),
    ):
        with pytest.raises(ConfigError, match=message):
            model.compile(**wrong)


def test_batches_that_fit_cannot_take(edge):
    images, labels = labeled(edge, 4)
    model = model_of("tdgan")
    with pytest.raises(ConfigError, match="kind expression_and_face.*has no expression_image"):
        model.as_batch((faces_of(model), np.zeros(3, int)))
    with pytest.raises(ConfigError, match="no sample weights"):
        edge.as_batch((images, labels, np.ones(4)))
    with pytest.raises(ConfigError, match="has no label"):
        edge.as_batch(images)
    with pytest.raises(ConfigError, match="no labels"):
        edge.test_step(images)


SMALL = {"dcganfer": "adam", "fesr": None, "g2fer": None, "ipdfer": "adam", "tdgan": None}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "dcganfer" else pytest.mark.slow) for n in SMALL])
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_papers_model_fits_batches_of_its_kind(name, jit_compile):
    model = zoo.create(name, "tiny")
    batch = next(iter(make_batches(model.batch_kind_of(model.config), model.config, count=16).epoch(0)))
    model.compile(SMALL[name], total_steps=4, jit_compile=jit_compile)
    history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0)
    assert set(history.history) == set(model.loss_terms())
    assert all(np.isfinite(values).all() for values in history.history.values()) and int(model.step) == 2


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "edge" else pytest.mark.slow) for n in MODELS])
@pytest.mark.parametrize("policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"])
def test_recognizers_are_compiled_and_fitted_like_any_keras_model(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = zoo.create(name, "tiny")
    finally:
        keras.config.set_dtype_policy("float32")
    recognizer = model.recognizer()
    assert model.config.precision == policy == recognizer.dtype_policy.name
    images, labels = labeled(model)
    recognizer.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=policy == "float32")
    assert isinstance(recognizer.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    history = recognizer.fit(images, labels, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all() and len(history.history["accuracy"]) == 2
    probabilities = recognizer.predict(images, verbose=0)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-3)


@pytest.mark.slow
def test_float16_scales_the_loss_of_every_optimizer():
    model = zoo.create("ipdfer", "tiny", precision="mixed_float16", average=0.5)
    model.compile()
    assert all(isinstance(optimizer, keras.optimizers.LossScaleOptimizer) for optimizer in model.optimizers.values())
    batch = next(iter(make_batches(model.batch_kind_of(model.config), model.config, count=16).epoch(0)))
    for optimizer, scale in zip(model.optimizers.values(), (64.0, 1024.0, 64.0, 8.0)):
        optimizer.dynamic_scale.assign(scale)
    exact = zoo.create("ipdfer", "tiny", average=0.5)
    exact.compile(keras.optimizers.SGD(1e-3))
    model.compile(keras.optimizers.SGD(1e-3))
    for number, optimizer in enumerate(model.optimizers.values()):
        optimizer.dynamic_scale.assign(2.0 ** (4 + number))
    before = {name: network.get_weights() for name, network in exact.networks.items()}
    model.train_step(batch)
    exact.train_step(batch)
    for name in ("expression_classifier", "pose_classifier", "expression_encoder", "discriminator_head"):
        pairs = zip(before[name], exact.networks[name].get_weights(), model.networks[name].get_weights(), strict=True)
        for start, right, found in pairs:
            if start.ndim > 1:
                size = np.abs(right - start).max()
                # Processors without float16 arithmetic lose digits; a scale that is left in is a factor of 16 and more.
                assert np.abs(found - right).max() < 0.3 * size + 1e-6, name
    for optimizer in model.optimizers.values():
        optimizer.dynamic_scale.assign(1e38)
    weights = model.networks["decoder"].get_weights()
    model.train_step(batch)
    for one, other in zip(weights, model.networks["decoder"].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(float(optimizer.dynamic_scale) < 1e38 for optimizer in model.optimizers.values())


MIRRORED = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import kerasfer
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 1)).astype(np.float32)
labels = np.eye(8, dtype=np.float32)
data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
kerasfer_settings = dict(teacher_share=0.0, norm=False, expressions=tuple("abcdefgh"))
ends = []
for scope in (strategy.scope, tf.distribute.get_strategy().scope):
    with scope():
        model = kerasfer.create("edge", "tiny", **kerasfer_settings)
        model.compile("sgd")
    history = model.fit(data, epochs=2, verbose=0, validation_data=data)
    ends.append((model.networks["body"].get_weights(), history.history))
for one, other in zip(ends[0][0], ends[1][0], strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)
for name in ends[0][1]:
    np.testing.assert_allclose(ends[0][1][name], ends[1][1][name], atol=1e-4, err_msg=name)
with strategy.scope():
    recognizer = kerasfer.create("edge", "tiny", precision="mixed_float16", **kerasfer_settings).recognizer()
    recognizer.compile("adam", "categorical_crossentropy")
recognizer.fit(data, verbose=0)
print("alike")
"""


@pytest.mark.slow
def test_two_replicas_train_like_one():
    result = subprocess.run([sys.executable, "-c", MIRRORED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "alike" in result.stdout


LIKE_A_GPU = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
sys.path.insert(0, "tests")
from tiny_training import make_batches
from kerasfer import zoo
name, devices = sys.argv[1], int(sys.argv[2])
one = tf.distribute.get_strategy()
strategy = one if devices == 1 else tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
with strategy.scope():
    # The random stand-in of FESR's identity network exceeds what float16 holds; the released one does not.
    identity = {"identity": "dlib_resnet"} if name == "fesr" else {}
    model = zoo.create(name, "tiny", precision="mixed_float16", average=0.5, **identity)
    batches = make_batches(model.batch_kind_of(model.config), model.config, count=16)
    model.prepare(next(iter(batches.epoch(0))))
    model.compile(total_steps=12, jit_compile=devices == 1)
model.adapt(batches.columns)
assert all(isinstance(found, keras.optimizers.LossScaleOptimizer) for found in model.optimizers.values())
before = [variable.numpy() for variable in model.trainable_variables]
# The first steps may be none: a scale that is too large for the gradients is halved at each.
history = model.fit(batches.epoch(0), epochs=3, verbose=0).history
assert set(history) == set(model.loss_terms()) and all(np.isfinite(values).all() for values in history.values())
assert any((old != new.numpy()).any() for old, new in zip(before, model.trainable_variables, strict=True))
assert all(np.isfinite(value.numpy()).all() for value in model.trainable_variables)
print("trains")
"""


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2], ids=["compiled by XLA", "on two devices"])
@pytest.mark.parametrize("name", SMALL)
def test_each_papers_model_trains_as_on_a_gpu(name, devices):
    """In float16 with scaled losses: compiled whole, and mirrored on two devices."""
    command = [sys.executable, "-c", LIKE_A_GPU, name, str(devices)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.splitlines()[-1] == "trains"


# -- as before ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_flat_recognizer_answers_as_the_networks_one_after_the_other(name):
    model = model_of(name)
    faces = faces_of(model, 4)
    groups = {
        "dcganfer": ("feature_network", "expression_svm"),
        "edge": ("body", "head"),
        "fesr": ("trunk", "extractor", "classifier"),
        "g2fer": ("classifier",),
        "ipdfer": ("expression_encoder", "expression_classifier"),
        "tdgan": ("expression_encoder", "expression_classifier"),
    }
    if name == "wild":
        features = keras.ops.concatenate([model.networks[part](faces) for part in ("body", "fine")], -1)
        judged = model.networks["expert"](model.networks["movements"](features))
        logits = model.networks["head"](features) + model.config.expert_share * judged
        logits *= model.networks["certainty"](features)
        expected = tf.nn.softmax(logits / model.config.temperature)
        np.testing.assert_allclose(model.recognizer()(faces), expected, atol=1e-6)
        return
    x = faces
    for network in groups[name]:
        x = (model.feature_network() if network == "feature_network" else model.networks[network])(x, training=False)
    logits = x[1] if name == "dcganfer" else x
    if name == "edge":
        logits *= model.networks["certainty"](model.networks["body"](faces))
    expected = tf.nn.softmax(logits / model.config.temperature)
    np.testing.assert_allclose(model.recognizer()(faces), expected, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "edge" else pytest.mark.slow) for n in MODELS])
def test_bundled_weights_answer_as_the_bundled_tflite_file(name):
    model = kerasfer.load(name, recognizer_only=True)
    exact = zoo.folder_of(name) / "model_float16.tflite"
    recognizer = kerasfer.lite.Recognizer(exact if exact.is_file() else exact.with_name("model_int8.tflite"))
    face = keras.ops.convert_to_numpy(keras.ops.image.resize(np.random.default_rng(0).random((1, 6, 6, 1)), (48, 48)))
    pixels = prepare((face[0, :, :, 0] * 255).astype(np.uint8), ImageSpec(model.image_spec.size, 1, "unit"))
    faces = model.image_spec.scale(np.rint(pixels * 255)[np.newaxis].astype(np.float32))
    allowed = 0.01 if exact.is_file() else 0.15
    np.testing.assert_allclose(model.recognizer()(faces), recognizer.run(faces), atol=allowed)

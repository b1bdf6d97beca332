"""Faces of another pixel range are refused by Keras models, whichever way they come in."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_model import Toy, ToyConfig

from kerasfer import zoo
from kerasfer.faces import ImageSpec
from kerasfer.models.ranges import RangeChecked


@keras.saving.register_keras_serializable("test_ranges")
class Checked(RangeChecked, keras.Model):
    """Functional, of faces of 4 x 4 from -1 to 1."""

    image_spec = ImageSpec(4, 1, "signed")

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)


class Sequence(keras.utils.PyDataset):
    def __init__(self, faces, labels=None):
        super().__init__()
        self.batch = faces if labels is None else (faces, labels)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.batch


def checked_model() -> Checked:
    image = keras.Input((4, 4, 1))
    model = Checked(image, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


FACES = np.random.default_rng(0).uniform(-1, 1, (6, 4, 4, 1)).astype(np.float32)
LABELS = np.arange(6) % 2
WITH_NAN = FACES.copy()
WITH_NAN[3, 2, 1] = np.nan

WRONG = [
    pytest.param((FACES + 1) * 127.5, r"values from .* to 2\d\d.*takes -1 to 1: .* image_spec.scale", id="0 to 255"),
    pytest.param(FACES * 1.6, "takes -1 to 1", id="a little more than the slack"),
    pytest.param(WITH_NAN, "faces hold NaN where values from -1 to 1 are expected", id="NaN"),
    pytest.param(
        np.zeros((6, 4, 4, 1), np.uint8), "faces are uint8, but the model takes float32 from -1 to 1", id="bytes"
    ),
]

WAYS = {
    "call": lambda model, x: model(x),
    "call with a tensor": lambda model, x: model(tf.constant(x)),
    "call with a list": lambda model, x: model([x]),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict a data set": lambda model, x: model.predict(tf.data.Dataset.from_tensor_slices(x).batch(2), verbose=0),
    "predict on a PyDataset": lambda model, x: model.predict(Sequence(x), verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, LABELS, verbose=0),
    "fit": lambda model, x: model.fit(x, LABELS, verbose=0),
    "fit on a data set": lambda model, x: model.fit(
        tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(4), verbose=0
    ),
    "fit on a PyDataset": lambda model, x: model.fit(Sequence(x, LABELS), verbose=0),
    "validation": lambda model, x: model.fit(FACES, LABELS, validation_data=(x, LABELS), verbose=0),
}


@pytest.fixture(scope="module")
def model() -> Checked:
    return checked_model()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("faces", "message"), WRONG)
def test_wrong_faces_are_refused(model, way, faces, message):
    with pytest.raises(ValueError, match=message) as error:
        WAYS[way](model, faces)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("way", WAYS)
def test_faces_of_the_range_pass(model, way):
    assert WAYS[way](model, FACES) is not None
    assert WAYS[way](model, FACES * 1.4) is not None, "bicubic resizing overshoots"


def test_other_errors_of_a_data_set_stay_what_they_are(model):
    def fail(face):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_max(face) < -2, ["another reason"])]):
            return tf.identity(face)

    data = tf.data.Dataset.from_tensor_slices(FACES).map(fail).batch(2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another reason"):
        model.predict(data, verbose=0)


def test_graphs_hold_no_check_and_files_bring_it_back(model, tmp_path):
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 4, 4, 1), tf.float32))
    plain = keras.Model(model.input, model.output)
    expected = tf.function(plain).get_concrete_function(tf.TensorSpec((None, 4, 4, 1), tf.float32))
    operations = [operation.type for operation in graph.graph.get_operations()]
    assert operations == [operation.type for operation in expected.graph.get_operations()]
    assert "Assert" not in operations and np.isfinite(graph(tf.constant(FACES * 255))).all()
    assert keras.Model(model.input, model.layers[-1].output)(FACES * 255).shape == (6, 2), "a part is a plain model"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(FACES), model(FACES))
    with pytest.raises(ValueError, match="takes -1 to 1"):
        loaded(FACES * 255)


def test_recognizers_refuse_them(tmp_path):
    """A model's recognizer, and what a .keras file of it holds; the features too."""
    recognizer = zoo.create("edge", "tiny").recognizer()
    faces = np.random.default_rng(0).random((2, *recognizer.image_spec.shape), np.float32)
    recognizer.save(tmp_path / "recognizer.keras")
    loaded = keras.models.load_model(tmp_path / "recognizer.keras")
    for model in (recognizer, loaded):
        assert model.predict(faces, verbose=0).shape == (2, 8)
        for way in (model, functools.partial(model.predict, verbose=0), model.features):
            for wrong in (faces * 255, (faces * 255).astype(np.uint8), faces * np.nan):
                with pytest.raises(ValueError, match="but the model takes|faces hold NaN"):
                    way(wrong)


def test_models_of_the_zoo_refuse_them():
    model = Toy(ToyConfig())
    faces = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    assert model(faces).shape == model.predict(faces, verbose=0).shape == (2, 8)
    for way in (model, lambda x: model.predict(x, verbose=0), model.checked):
        with pytest.raises(ValueError, match="but the model takes 0 to 1"):
            way(faces * 255)
    assert model.checked(faces[:0]).shape == (0, 8, 8, 1)

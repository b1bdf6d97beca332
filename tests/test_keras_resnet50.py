"""ResNet-50's weights as keras.applications has them: the same features of the same faces."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasfer.backbones.keras_resnet50 import MEANS, as_imagenet, load_keras_resnet50
from kerasfer.backbones.resnet import ResNetError, build_resnet50


def test_faces_as_imagenet_wants_them():
    """White is 255 less the mean of red, green and blue; gray faces are three channels of one."""
    for channels in (1, 3):
        image = keras.Input((4, 4, channels))
        white = keras.Model(image, as_imagenet(image))(np.ones((1, 4, 4, channels), np.float32))
        np.testing.assert_allclose(white[0, 0, 0], 255 - np.array(MEANS), rtol=1e-5)


def test_a_file_of_something_else_is_refused(tmp_path, monkeypatch):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(
        ResNetError, match=r"none.h5: there is no such file; give keras.applications' resnet50_weights_tf"
    ):
        load_keras_resnet50(network, tmp_path / "none.h5")
    monkeypatch.setattr(keras.applications, "ResNet50", lambda weights, **options: network.load_weights(weights))
    for name, content in (("text.h5", b"no weights"), ("text.weights.h5", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ResNetError, match=rf"{name}: holds no weights of keras.applications' ResNet50"):
            load_keras_resnet50(network, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("top", [False, True])
def test_the_features_are_those_of_keras_applications(tmp_path, top):
    theirs = keras.applications.ResNet50(include_top=top, weights=None)
    generator = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    theirs.save_weights(tmp_path / "their.weights.h5")
    ours = build_resnet50(input_shape=(64, 64, 3), prepare=as_imagenet)
    load_keras_resnet50(ours, tmp_path / "their.weights.h5")
    faces = generator.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    prepared = keras.applications.resnet50.preprocess_input((faces + 1) * 127.5)
    body = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    for layer in body.layers:
        if layer.weights:
            layer.set_weights(theirs.get_layer(layer.name).get_weights())
    expected = np.asarray(body(prepared))
    np.testing.assert_allclose(ours(faces), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

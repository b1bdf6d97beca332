"""Light CNN-29: the published sizes, the released weights' names, and a forward pass worked out channels first."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from channel_first_faces import convolve, pool

from kerasfer.backbones.lightcnn import (
    LightCNNError,
    MaxFeatureMap,
    build_lightcnn,
    lightcnn_arrays,
    load_lightcnn_weights,
)
from kerasfer.weights import fill, named_weights

BLOCKS = (1, 2, 3, 4)


def random_state(width: int = 3, side: int = 2, features: int = 5) -> dict[str, np.ndarray]:
    """Weights under the names of the authors' code, of a narrower network for faces of 16 * side pixels."""
    rng = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}

    def layer(name: str, shape: tuple[int, ...]) -> None:
        state[f"{name}.filter.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
        state[f"{name}.filter.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)

    layer("conv1", (2 * width, 1, 5, 5))
    before = width
    for stage, (count, after) in enumerate(zip(BLOCKS, (2 * width, 4 * width, 8 * width // 3, 8 * width // 3)), 1):
        for block in range(count):
            for number in (1, 2):
                layer(f"block{stage}.{block}.conv{number}", (2 * before, before, 3, 3))
        layer(f"group{stage}.conv_a", (2 * before, before, 1, 1))
        layer(f"group{stage}.conv", (2 * after, before, 3, 3))
        before = after
    layer("fc", (2 * features, side * side * before))
    state["fc2.weight"] = np.zeros((7, features), np.float32)
    state["fc2.bias"] = np.zeros(7, np.float32)
    return state


def forward(state: dict[str, np.ndarray], face: np.ndarray) -> np.ndarray:
    """Features of a gray face (h, w) in [0, 1]."""

    def halves(x: np.ndarray) -> np.ndarray:
        return np.maximum(*np.split(x, 2))

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        weight = state[f"{name}.filter.weight"]
        x = convolve(x, weight, 1, weight.shape[-1] // 2) + state[f"{name}.filter.bias"][:, None, None]
        return halves(x)

    x = pool(layer("conv1", face[None]), 2, 2, np.max)
    for stage, count in enumerate(BLOCKS, 1):
        for block in range(count):
            x = layer(f"block{stage}.{block}.conv2", layer(f"block{stage}.{block}.conv1", x)) + x
        x = layer(f"group{stage}.conv", layer(f"group{stage}.conv_a", x))
        x = x if stage == 3 else pool(x, 2, 2, np.max)
    return halves(state["fc.filter.weight"] @ x.reshape(-1) + state["fc.filter.bias"])


def test_the_published_sizes():
    network = build_lightcnn()
    sizes = {name: tuple(network.get_layer(name).output.shape[1:]) for name in ("pool1", "pool2", "pool3", "pool4")}
    assert sizes == {"pool1": (64, 64, 48), "pool2": (32, 32, 96), "pool3": (16, 16, 192), "pool4": (8, 8, 128)}
    assert network.input_shape == (None, 128, 128, 1) and network.output_shape == (None, 256)
    weighted = [layer for layer in network.layers if layer.weights]
    assert len(weighted) == 29 + 1  # 29 convolutions, 20 of them in blocks and 8 in groups, and the last layer
    trunk = build_lightcnn(whole=False)
    assert trunk.output_shape == (None, 16, 16, 192)
    assert set(named_weights(trunk)) < set(named_weights(network))


def test_a_forward_pass_with_the_released_names():
    state = random_state()
    arrays = lightcnn_arrays({f"module.{key}": value for key, value in state.items()}, "x.pth")
    network = build_lightcnn("small", 32, 1, "unit", internal_size=32, width=3, features=5)
    fill(named_weights(network), arrays, "x.pth")
    face = np.random.default_rng(1).random((32, 32)).astype(np.float32)
    expected = forward(state, face)
    np.testing.assert_allclose(network(face[None, :, :, None])[0], expected, atol=1e-5 * np.abs(expected).max() + 1e-6)


def test_color_and_range_are_brought_to_what_the_weights_want():
    arrays = lightcnn_arrays(random_state(), "x.pth")
    gray = build_lightcnn("gray", 32, 1, "unit", internal_size=32, width=3, features=5)
    color = build_lightcnn("color", 32, 3, "signed", internal_size=32, width=3, features=5)
    for network in (gray, color):
        fill(named_weights(network), arrays, "x.pth")
    face = np.random.default_rng(1).random((1, 32, 32, 3)).astype(np.float32)
    luma = (face @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    np.testing.assert_allclose(color(2 * face - 1), gray(luma), atol=1e-4)


def test_max_feature_map():
    values = np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)
    layer = MaxFeatureMap()
    np.testing.assert_array_equal(layer(values), [[1.0, 3.0]])
    assert layer.compute_output_shape((None, 4, 4, 6)) == (None, 4, 4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.clear(), "no key 'block1.0.conv1.filter.bias' and 59 more"),
        (lambda state: state.pop("group3.conv.filter.bias"), "no key 'group3.conv.filter.bias'"),
        (lambda state: state.update({"block5.0.conv1.filter.weight": np.zeros(1)}), "unknown key 'block5"),
        (lambda state: state.update({"conv1.filter.weight": np.zeros(6)}), "not that of a convolution"),
        (lambda state: state.update({"fc.filter.weight": np.zeros((10, 33))}), "no square map of 8 channels fits"),
        (lambda state: state["fc.filter.bias"].fill(np.inf), "'fc.filter' holds values that are not finite"),
        (lambda state: state.update({"fc.weight": state.pop("fc.filter.weight")}), "Light CNN-29 v2"),
    ],
)
def test_state_dicts_of_other_networks(change, message):
    state = random_state()
    change(state)
    with pytest.raises(LightCNNError, match=f"^x.pth: .*{message}"):
        lightcnn_arrays(state, "x.pth")


def test_wrong_sizes():
    for wrong in ({"internal_size": 40}, {"width": 4}, {"features": 0}):
        with pytest.raises(ValueError, match="multiple of 16"):
            build_lightcnn(**wrong)


def test_files(tmp_path, monkeypatch):
    network = build_lightcnn("small", 32, internal_size=32, width=3, features=5)
    with pytest.raises(LightCNNError, match="none.pth: no such file; check the path"):
        load_lightcnn_weights(network, tmp_path / "none.pth")
    monkeypatch.setattr("kerasfer.backbones.lightcnn.read_state", lambda path, error: random_state())
    load_lightcnn_weights(network, tmp_path / "x.pth")
    np.testing.assert_array_equal(
        named_weights(network)["conv1/kernel"], random_state()["conv1.filter.weight"].transpose(2, 3, 1, 0)
    )
    trunk = build_lightcnn("trunk", 32, internal_size=32, width=3, whole=False)
    load_lightcnn_weights(trunk, tmp_path / "x.pth")
    wider = build_lightcnn("wider", 32, internal_size=32, width=6, features=5)
    with pytest.raises(LightCNNError, match="x.pth: weights of another model or size .* of a Light CNN-29"):
        load_lightcnn_weights(wider, tmp_path / "x.pth")


def test_files_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensors = {f"module.{key}": torch.from_numpy(value) for key, value in random_state().items()}
    torch.save({"state_dict": tensors, "epoch": 80}, tmp_path / "checkpoint.pth.tar")
    network = build_lightcnn("small", 32, internal_size=32, width=3, features=5)
    load_lightcnn_weights(network, tmp_path / "checkpoint.pth.tar")
    np.testing.assert_array_equal(named_weights(network)["fc/bias"], random_state()["fc.filter.bias"])


def test_pytorch_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "some.pth").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(LightCNNError, match="some.pth: reading it needs PyTorch; pip install"):
        load_lightcnn_weights(build_lightcnn("small", 32, internal_size=32, width=3), tmp_path / "some.pth")

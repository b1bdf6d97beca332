"""Light CNN-29, a face recognition network with max-feature-maps, and its released weights from PyTorch.

X. Wu et al., "A Light CNN for Deep Face Representation with Noisy Labels", IEEE TIFS 2018. A max-feature-map keeps the
larger of two halves of a layer's outputs, number by number, in the place of an activation function.

    gray, 128 x 128, [0, 1]
    Conv1   5x5, 48                                             128
    Pool1   2x2 max                                             64
    block1  1 residual block of 48; group1: 1x1 of 48, 3x3 of 96
    Pool2                                                       32
    block2  2 residual blocks of 96; group2: to 192
    Pool3                                                       16      (where FESR's recognizer takes over)
    block3  3 residual blocks of 192; group3: to 128
    block4  4 residual blocks of 128; group4: to 128
    Pool4                                                       8
    fc      256

A residual block is x + MFM(conv3x3(MFM(conv3x3(x)))). Every layer has a bias.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.face_input import FaceInput
from kerasfer.backbones.torch_file import read_state
from kerasfer.faces import ImageSpec
from kerasfer.weights import ZooError, fill, named_weights

__all__ = [
    "BLOCKS",
    "SIZE",
    "WIDTH",
    "LightCNNError",
    "Luma",
    "MaxFeatureMap",
    "build_lightcnn",
    "lightcnn_arrays",
    "load_lightcnn_weights",
]

SIZE = 128
"""Side in pixels that the released weights were trained at."""

WIDTH = 48
"""Channels of the first layer."""

BLOCKS = (1, 2, 3, 4)
"""Residual blocks of each stage."""

STAGES = ((1, 2), (2, 4), (4, 8 / 3), (8 / 3, 8 / 3))
"""Channels of each stage's blocks and of what its group makes of them, in widths: 48, 96; 96, 192; 192, 128; 128, 128.
"""

FEATURES = 256

_LUMA = (0.299, 0.587, 0.114)


class LightCNNError(ValueError):
    """A weight file is missing, damaged or of another network; the message names the file and the remedy."""


@keras.saving.register_keras_serializable("kerasfer")
class MaxFeatureMap(keras.layers.Layer):
    """The larger of the first and the second half of the channels.

    Input: float (n, ..., 2 c). Output: float (n, ..., c).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.maximum(*tf.split(inputs, 2, axis=-1))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], input_shape[-1] // 2)


@keras.saving.register_keras_serializable("kerasfer")
class Luma(keras.layers.Layer):
    """Gray of RGB by ITU-R BT.601: float (n, h, w, 3) to float (n, h, w, 1)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(inputs * tf.constant(_LUMA, inputs.dtype), axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 1)


def build_lightcnn(
    name: str = "lightcnn",
    input_size: int = SIZE,
    channels: int = 1,
    pixel_range: str = "unit",
    internal_size: int = SIZE,
    width: int = WIDTH,
    features: int = FEATURES,
    whole: bool = True,
) -> keras.Model:
    """Builds the network with random weights, under the dtype policy in force.

    Args:
        name: of the model.
        input_size: side of the faces in pixels.
        channels: 1 (gray) or 3 (RGB, brought to gray in the graph) of the faces.
        pixel_range: a key of `PIXEL_RANGES`, that of the faces.
        internal_size: side that faces are resized to in the graph, a multiple of 16; 128 for the released weights.
        width: channels of the first layer, a multiple of 3; 48 for the released weights.
        features: numbers that come out; 256 for the released weights.
        whole: False to end with Pool3.

    Returns:
        A functional model: float (n, input_size, input_size, channels) in the range to float32 (n, features); or to
        Pool3's map, an eighth of the internal size, of 4 widths.

    Raises:
        ValueError: an argument has another value than those.
    """
    spec = ImageSpec(input_size, channels, pixel_range)
    if internal_size < 16 or internal_size % 16 or width < 3 or width % 3 or features < 1:
        raise ValueError(
            "a Light CNN needs an internal_size that is a multiple of 16, a width that is a multiple of 3 and at least "
            f"one feature; got {internal_size}, {width} and {features}"
        )
    inputs = keras.Input(spec.shape, name="image")
    x = FaceInput(internal_size, pixel_range, (0, 0, 0), (255, 255, 255), name="normalize")(inputs)
    x = Luma(name="luma", dtype="float32")(x)
    x = _convolution(x, "conv1", width, 5)
    x = keras.layers.MaxPooling2D(2, name="pool1")(x)
    for stage, (count, (inner, outer)) in enumerate(zip(BLOCKS, STAGES), 1):
        filters = round(inner * width)
        for block in range(1, count + 1):
            branch = _convolution(x, f"block{stage}_{block}_conv1", filters, 3)
            branch = _convolution(branch, f"block{stage}_{block}_conv2", filters, 3)
            x = keras.layers.Add(name=f"block{stage}_{block}")([branch, x])
        x = _convolution(x, f"group{stage}_conv_a", filters, 1)
        x = _convolution(x, f"group{stage}_conv", round(outer * width), 3)
        if stage != 3:
            x = keras.layers.MaxPooling2D(2, name=f"pool{min(stage + 1, 4)}")(x)
        if stage == 2 and not whole:
            return keras.Model(inputs, x, name=name)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(2 * features, name="fc", dtype="float32")(x)
    x = MaxFeatureMap(name="fc_mfm", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def _convolution(x: keras.KerasTensor, name: str, filters: int, size: int) -> keras.KerasTensor:
    convolution = keras.layers.Conv2D(2 * filters, size, padding="same", kernel_initializer="he_normal", name=name)
    return MaxFeatureMap(name=f"{name}_mfm")(convolution(x))


# -- weights from PyTorch ----------------------------------------------------------------------------------------------


def load_lightcnn_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Gives a model of `build_lightcnn`, of the default width and size, the authors' released weights.

    Args:
        model: whole, or up to Pool3.
        path: their LightCNN_29Layers_checkpoint.pth.tar, or any file of `torch.save` with its keys; see
            `lightcnn_arrays`.

    Raises:
        LightCNNError: PyTorch is not installed; the file is missing, damaged, of another network or of another size.
    """
    path = Path(path)
    arrays = lightcnn_arrays(read_state(path, LightCNNError), os.fspath(path))
    variables = named_weights(model)
    built = {layer.name for layer in model.layers}
    used = {name: array for name, array in arrays.items() if name.partition("/")[0] in built}
    try:
        fill(variables, used, path)
    except ZooError as error:
        raise LightCNNError(str(error).replace("that belongs to config.json", "of a Light CNN-29")) from error


def lightcnn_arrays(state: Mapping[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """The weights of `build_lightcnn` from a state dict of the authors' code: the part that needs no PyTorch.

    A `module.` may stand before every name. The last layer, `fc2`, tells people apart and is left out.

    Args:
        state: key -> array.
        origin: what messages call it, usually the file's path.

    Returns:
        "layer/weight" -> float32; convolutions as (row, column, in, out), the matrix behind the flattening with its
        rows in the order of height, width, channel.

    Raises:
        LightCNNError: a key is missing, unknown or of another shape, or an array is not finite.
    """
    state = {key.removeprefix("module."): array for key, array in state.items()}
    if "fc.weight" in state and "fc.filter.weight" not in state:
        raise LightCNNError(
            f"{origin}: is of Light CNN-29 v2, whose last layer has no max-feature-map; take Light CNN-29"
        )
    entries = dict(_entries())
    known = {f"{key}.{kind}" for key in entries for kind in ("weight", "bias")}
    missing = sorted(known - set(state))
    unknown = sorted(key for key in state if key not in known and not key.startswith("fc2."))
    for word, keys in (("no", missing), ("unknown", unknown)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise LightCNNError(f"{origin}: {word} key {keys[0]!r}{more}; the file is not of a Light CNN-29")
    arrays = {}
    channels = state["group4.conv.filter.weight"].shape[0] // 2
    for key, name in entries.items():
        weight, bias = (np.asarray(state[f"{key}.{kind}"], np.float32) for kind in ("weight", "bias"))
        arrays[f"{name}/kernel"] = _in_our_order(origin, f"{key}.weight", weight, channels)
        arrays[f"{name}/bias"] = bias
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise LightCNNError(f"{origin}: {key!r} holds values that are not finite; get the file again")
    return arrays


def _entries() -> Iterator[tuple[str, str]]:
    """Layer of the authors' code, name of ours."""
    yield "conv1.filter", "conv1"
    for stage, count in enumerate(BLOCKS, 1):
        for block in range(count):
            for number in (1, 2):
                yield f"block{stage}.{block}.conv{number}.filter", f"block{stage}_{block + 1}_conv{number}"
        yield f"group{stage}.conv_a.filter", f"group{stage}_conv_a"
        yield f"group{stage}.conv.filter", f"group{stage}_conv"
    yield "fc.filter", "fc"


def _in_our_order(origin: str, key: str, weight: np.ndarray, channels: int) -> np.ndarray:
    if key != "fc.filter.weight":
        if weight.ndim != 4:
            raise LightCNNError(f"{origin}: {key!r} has shape {weight.shape}, not that of a convolution")
        return weight.transpose(2, 3, 1, 0)
    side = round((weight.shape[-1] / max(channels, 1)) ** 0.5)
    if weight.ndim != 2 or side * side * channels != weight.shape[1]:
        raise LightCNNError(f"{origin}: {key!r} has shape {weight.shape}: no square map of {channels} channels fits it")
    return weight.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(weight.shape[1], -1)

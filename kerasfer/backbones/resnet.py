"""ResNet-18 for faces, and its weights from PyTorch; ResNet-50 and a network for small faces to train from the start.

K. He et al., "Deep Residual Learning for Image Recognition", 2016, in two styles:

- "face", that of face recognition (J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
  2019): a 3x3 stem of stride 1 without pooling, blocks of normalization, convolution, normalization, PReLU,
  convolution, normalization, and a fully-connected layer on the flattened last map, normalized;
- "plain", that of the first paper: a 7x7 stem of stride 2, a max-pool, blocks with ReLU, the mean over the last map.

    face, 112: 112 -> 56 -> 28 -> 14 -> 7 -> features          plain, 112: 56 -> 28 -> 28 -> 14 -> 7 -> 4 -> mean

ResNet-50 is that of the first paper: bottleneck blocks whose first convolution has the stride.

    imagenet, 224: 112 -> 56 -> 56 -> 28 -> 14 -> 7 -> mean     half, 48: 24 -> 24 -> 12 -> 6 -> 3 -> mean

The network for small faces is the one that the first paper has for CIFAR: a 3x3 stem at full size and three stages.

    48: 48 -> 24 -> 12 -> 6 -> mean
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.torch_file import read_state
from kerasfer.layers import channel_prelu
from kerasfer.weights import ZooError, fill, named_weights

__all__ = [
    "STEMS",
    "STYLES",
    "BatchNormalization",
    "PReLU",
    "ResNetError",
    "build_resnet18",
    "build_resnet50",
    "build_small_resnet",
    "fill_resnet18",
    "load_resnet18_weights",
    "read_resnet18",
    "resnet18_arrays",
    "resnet18_settings",
    "uncounted",
]

STYLES = ("face", "plain")

BLOCKS = (2, 2, 2, 2)
"""Blocks of each stage of ResNet-18; the filters double from stage to stage."""

STEMS = ("imagenet", "half")
"""How ResNet-50 begins: 7x7 of stride 2 and a max-pool, or for small images 3x3 of stride 2 alone."""

_EPSILON = 1e-5
_MOMENTUM = 0.9


class ResNetError(ValueError):
    """A weight file is missing, damaged or of another network; the message names the file and the remedy."""


@keras.saving.register_keras_serializable("kerasfer")
class BatchNormalization(keras.layers.Layer):
    """Batch normalization (Ioffe and Szegedy 2015) as one fused operation, with statistics in float32.

    Keras' own takes four passes over the map. A layer with `trainable = False` normalizes with the running statistics
    and leaves them alone, whatever `training` says.

    Args:
        epsilon: added to the variance.
        momentum: of the running mean and variance.
        scale: whether gamma is learned; without, it is one.

    Attributes:
        counts: whether batches of a training enter the running statistics (`uncounted`).

    Input and output: float (n, h, w, c) or (n, c).
    """

    def __init__(self, epsilon: float = _EPSILON, momentum: float = _MOMENTUM, scale: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.momentum = momentum
        self.scale = scale
        self.counts = True

    def build(self, input_shape: tuple) -> None:
        shape = (input_shape[-1],)
        settings: dict[str, Any] = {"autocast": False}
        if self.scale:
            self.gamma = self.add_weight(shape, initializer="ones", name="gamma", **settings)
        self.beta = self.add_weight(shape, initializer="zeros", name="beta", **settings)
        settings |= {"trainable": False, "aggregation": "mean"}
        self.moving_mean = self.add_weight(shape, initializer="zeros", name="moving_mean", **settings)
        self.moving_variance = self.add_weight(shape, initializer="ones", name="moving_variance", **settings)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = inputs if len(inputs.shape) == 4 else inputs[:, tf.newaxis, tf.newaxis, :]
        beta = tf.convert_to_tensor(self.beta)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(beta)
        training = bool(training) and self.trainable
        running = {"mean": self.moving_mean, "variance": self.moving_variance}
        statistics = {} if training else {name: tf.convert_to_tensor(value) for name, value in running.items()}
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, epsilon=self.epsilon, is_training=training, **statistics
        )
        if training and self.counts:
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * self.momentum + tf.stop_gradient(value) * (1.0 - self.momentum))
        return outputs if len(inputs.shape) == 4 else outputs[:, 0, 0, :]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        config = {"epsilon": self.epsilon, "momentum": self.momentum, "scale": self.scale}
        return {**super().get_config(), **config}


@contextlib.contextmanager
def uncounted(model: keras.Model) -> Iterator[None]:
    """What a model sees inside does not enter its running statistics, though it is normalized by its own."""
    layers = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    before = [layer.counts for layer in layers]
    for layer in layers:
        layer.counts = False
    try:
        yield
    finally:
        for layer, counts in zip(layers, before):
            layer.counts = counts


@keras.saving.register_keras_serializable("kerasfer")
class PReLU(keras.layers.Layer):
    """max(0, x) + alpha min(0, x) with an alpha for every channel (He et al. 2015), from 0.25.

    Input and output: float (n, h, w, c).
    """

    def build(self, input_shape: tuple) -> None:
        initial = keras.initializers.Constant(0.25)
        self.alpha = self.add_weight((input_shape[-1],), initializer=initial, name="alpha", autocast=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return channel_prelu(inputs, tf.convert_to_tensor(self.alpha))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


def build_resnet18(
    name: str = "resnet18",
    input_shape: tuple[int, int, int] = (112, 112, 3),
    width: int = 64,
    features: int = 512,
    style: str = "face",
) -> keras.Model:
    """Builds the network with random weights, under the dtype policy in force.

    Args:
        name: of the model.
        input_shape: (height, width, channels) of the faces.
        width: filters of the stem and the first stage; the paper's is 64.
        features: numbers that come out; with style "plain" eight times the width.
        style: one of `STYLES`.

    Returns:
        A functional model: float (n, *input_shape), as the weights want them (released ones: bytes, less a mean, over a
        deviation), to float32 (n, features).

    Raises:
        ValueError: an unknown style, or features that the style cannot have.
    """
    if style not in STYLES:
        raise ValueError(f"style is {' or '.join(STYLES)}, got {style!r}")
    if style == "plain" and features != 8 * width:
        raise ValueError(f"a plain ResNet-18 of width {width} has {8 * width} features, not {features}")
    inputs = keras.Input(input_shape, name="image")
    x = _face_stem(inputs, width) if style == "face" else _plain_stem(inputs, width)
    for stage, count in enumerate(BLOCKS, 1):
        for block in range(1, count + 1):
            shrinks = block == 1 and (stage > 1 or style == "face")
            make = _face_block if style == "face" else _plain_block
            x = make(x, f"stage{stage}_block{block}", width << (stage - 1), 2 if shrinks else 1)
    if style == "face":
        x = BatchNormalization(name="last_norm")(x)
        x = keras.layers.Flatten(name="flat")(x)
        x = keras.layers.Dense(features, name="features", dtype="float32")(x)
        x = BatchNormalization(scale=False, name="features_norm", dtype="float32")(x)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def build_resnet50(
    name: str = "resnet50",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    width: int = 64,
    blocks: Sequence[int] = (3, 4, 6, 3),
    stem: str = "imagenet",
    initializer: Callable[[], Any] = keras.initializers.HeNormal,
    prepare: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
) -> keras.Model:
    """Builds ResNet-50 (He et al. 2016, Table 1) up to its mean over the last map, with random weights.

    Args:
        name: of the model.
        input_shape: (height, width, channels) of the images.
        width: filters of the stem and of the first stage's bottlenecks; the paper's is 64.
        blocks: of the four stages.
        stem: one of `STEMS`.
        initializer: makes the initializer of a convolution's kernel; called for each.
        prepare: what is done to the images first.

    Returns:
        A functional model: float (n, *input_shape) to float32 (n, 32 width), the output of "pool5".

    Raises:
        ValueError: an unknown stem, or not four stages.
    """
    if stem not in STEMS or len(blocks) != 4 or min(blocks) < 1:
        raise ValueError(f"a ResNet-50 has a stem of {' or '.join(STEMS)} and four stages; got {stem!r}, {blocks}")
    inputs = keras.Input(input_shape, name="image")
    x = inputs if prepare is None else prepare(inputs)
    if stem == "imagenet":
        x = _plain_stem(x, width, initializer)
    else:
        x = BatchNormalization(name="stem_norm")(_convolution(x, "stem", width, 3, 2, initializer))
        x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, count in enumerate(blocks, 1):
        for block in range(1, count + 1):
            stride = 2 if block == 1 and stage > 1 else 1
            x = _bottleneck(x, f"stage{stage}_block{block}", width << (stage - 1), stride, initializer)
    x = keras.layers.GlobalAveragePooling2D(name="pool5", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def build_small_resnet(
    name: str = "small_resnet",
    input_shape: tuple[int, int, int] = (48, 48, 1),
    width: int = 48,
    blocks: int = 2,
    inputs: keras.KerasTensor | None = None,
    prefix: str = "",
) -> keras.Model:
    """Builds a ResNet for small images (after He et al. 2016, Section 4.2) up to the mean over its last map.

    Args:
        name: of the model.
        input_shape: (height, width, channels) of the images.
        width: filters of the first stage, doubled in each of the two after it; the stem has two thirds of them.
        blocks: of each stage; the first of them halves the map.
        inputs: what it is built on, the input of another model; by default one of its own.
        prefix: before the name of every layer.

    Returns:
        A functional model with random weights, under the dtype policy in force: float (n, *input_shape) to float32
        (n, 4 width).

    Raises:
        ValueError: a width below 2, or no blocks.
    """
    if width < 2 or blocks < 1:
        raise ValueError(f"a small ResNet has a width of 2 or more and at least one block, got {width} and {blocks}")
    inputs = keras.Input(input_shape, name="image") if inputs is None else inputs
    x = BatchNormalization(name=f"{prefix}stem_norm")(_convolution(inputs, f"{prefix}stem", 2 * width // 3, 3))
    x = keras.layers.ReLU(name=f"{prefix}stem_relu")(x)
    for stage in range(3):
        for block in range(blocks):
            x = _plain_block(x, f"{prefix}stage{stage + 1}_block{block + 1}", width << stage, 1 if block else 2)
    x = keras.layers.GlobalAveragePooling2D(name=f"{prefix}pooled", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def _bottleneck(
    x: keras.KerasTensor, name: str, filters: int, stride: int, initializer: Callable[[], Any]
) -> keras.KerasTensor:
    shortcut = _shortcut(x, name, 4 * filters, stride, initializer)
    for number, (size, step) in enumerate(((1, stride), (3, 1)), 1):
        x = _convolution(x, f"{name}_conv{number}", filters, size, step, initializer)
        x = BatchNormalization(name=f"{name}_norm{number}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu{number}")(x)
    x = BatchNormalization(name=f"{name}_norm3")(_convolution(x, f"{name}_conv3", 4 * filters, 1, 1, initializer))
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_sum")([x, shortcut]))


def _convolution(
    x: keras.KerasTensor,
    name: str,
    filters: int,
    size: int,
    stride: int = 1,
    initializer: Callable[[], Any] = keras.initializers.HeNormal,
) -> keras.KerasTensor:
    """A convolution without bias, padded by half its size on every side, as PyTorch pads.

    Keras' "same" would pad a stride of 2 at the bottom and the right alone, and see everything half a pixel off.
    """
    padding = "same"
    if stride > 1:
        padding = "valid"
        if size > 1:
            x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    convolution = keras.layers.Conv2D(
        filters, size, stride, padding=padding, use_bias=False, kernel_initializer=initializer(), name=name
    )
    return convolution(x)


def _face_stem(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    x = BatchNormalization(name="stem_norm")(_convolution(x, "stem", width, 3))
    return PReLU(name="stem_prelu")(x)


def _face_block(x: keras.KerasTensor, name: str, filters: int, stride: int) -> keras.KerasTensor:
    shortcut = _shortcut(x, name, filters, stride)
    x = BatchNormalization(name=f"{name}_norm1")(x)
    x = BatchNormalization(name=f"{name}_norm2")(_convolution(x, f"{name}_conv1", filters, 3))
    x = PReLU(name=f"{name}_prelu")(x)
    x = BatchNormalization(name=f"{name}_norm3")(_convolution(x, f"{name}_conv2", filters, 3, stride))
    return keras.layers.Add(name=f"{name}_sum")([x, shortcut])


def _plain_stem(
    x: keras.KerasTensor, width: int, initializer: Callable[[], Any] = keras.initializers.HeNormal
) -> keras.KerasTensor:
    x = BatchNormalization(name="stem_norm")(_convolution(x, "stem", width, 7, 2, initializer))
    x = keras.layers.ReLU(name="stem_relu")(x)
    # After a ReLU nothing is below zero, so that zeros may stand for the missing border.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)


def _plain_block(x: keras.KerasTensor, name: str, filters: int, stride: int) -> keras.KerasTensor:
    shortcut = _shortcut(x, name, filters, stride)
    x = BatchNormalization(name=f"{name}_norm1")(_convolution(x, f"{name}_conv1", filters, 3, stride))
    x = keras.layers.ReLU(name=f"{name}_relu1")(x)
    x = BatchNormalization(name=f"{name}_norm2")(_convolution(x, f"{name}_conv2", filters, 3))
    return keras.layers.ReLU(name=f"{name}_relu2")(keras.layers.Add(name=f"{name}_sum")([x, shortcut]))


def _shortcut(
    x: keras.KerasTensor,
    name: str,
    filters: int,
    stride: int,
    initializer: Callable[[], Any] = keras.initializers.HeNormal,
) -> keras.KerasTensor:
    if stride == 1 and x.shape[-1] == filters:
        return x
    x = _convolution(x, f"{name}_shortcut", filters, 1, stride, initializer)
    return BatchNormalization(name=f"{name}_shortcut_norm")(x)


# -- weights from PyTorch ----------------------------------------------------------------------------------------------

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def load_resnet18_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Gives a model of `build_resnet18` the weights of a PyTorch state dict.

    Args:
        model: in the style and of the size of the weights.
        path: a file of `torch.save`; see `resnet18_arrays`.

    Raises:
        ResNetError: PyTorch is not installed; the file is missing, damaged, of another network or of another size.
    """
    fill_resnet18(model, read_resnet18(path), path)


def fill_resnet18(model: keras.Model, arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Assigns the arrays of `read_resnet18` to a model; `ResNetError`, naming the path, if they do not fit."""
    try:
        fill(named_weights(model), arrays, Path(path))
    except ZooError as error:
        raise ResNetError(str(error).replace("that belongs to config.json", "of a ResNet-18 of this size")) from error


def resnet18_settings(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Width, features and style, arguments of `build_resnet18`, of the arrays of `resnet18_arrays`."""
    width = arrays["stem/kernel"].shape[-1]
    if "features/kernel" in arrays:
        return {"width": width, "features": arrays["features/kernel"].shape[-1], "style": "face"}
    return {"width": width, "features": 8 * width, "style": "plain"}


def read_resnet18(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights of `build_resnet18` in a PyTorch file; nothing in the file is executed.

    Raises:
        ResNetError: PyTorch is not installed; the file is missing or damaged; or as `resnet18_arrays`.
    """
    path = Path(path)
    return resnet18_arrays(read_state(path, ResNetError), os.fspath(path))


def resnet18_arrays(state: Mapping[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """The weights of `build_resnet18` from a state dict of PyTorch: the part of `read_resnet18` that needs no PyTorch.

    Two ways of naming are known: that of InsightFace's iresnet18 (`layer1.0.bn1`, `prelu`, `features`), style "face",
    for faces of 112 pixels; and torchvision's of resnet18 (`layer1.0.conv1`), style "plain", whose last layer, `fc`,
    tells classes apart and is left out. A `module.` or `backbone.` may stand before every name.

    Args:
        state: key -> array.
        origin: what messages call it, usually the file's path.

    Raises:
        ResNetError: a key is missing, unknown or of another shape, or an array is not finite.
    """
    state = _plain_state(state)
    if "conv1.weight" not in state or state["conv1.weight"].ndim != 4:
        raise ResNetError(f"{origin}: not a ResNet-18: it has no key 'conv1.weight'; save the network's state_dict()")
    style = "face" if "features.weight" in state else "plain"
    size = 3 if style == "face" else 7
    if state["conv1.weight"].shape[2:] != (size, size):
        raise ResNetError(
            f"{origin}: conv1.weight has shape {state['conv1.weight'].shape}; a ResNet-18 "
            f"{'with' if style == 'face' else 'without'} 'features.weight' has a {size}x{size} stem"
        )
    entries = list(_entries(style))
    known = {key for key, _ in entries} | {"fc.weight", "fc.bias", "features.weight"}
    unknown = sorted(key for key in state if key not in known and not key.endswith("num_batches_tracked"))
    missing = [key for key, _ in entries if key not in state]
    for word, keys in (("no", missing), ("unknown", unknown)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ResNetError(
                f"{origin}: {word} key {keys[0]!r}{more}; the file is not of a ResNet-18 of a known naming"
            )
    arrays = {name: _in_our_order(origin, key, name, state) for key, name in entries}
    broken = [key for key, name in entries if not np.isfinite(arrays[name]).all()]
    if broken:
        raise ResNetError(f"{origin}: {broken[0]!r} holds values that are not finite; get the file again")
    if style == "face":
        arrays = _scaled_by_features(arrays, state["features.weight"])
    return arrays


def _entries(style: str) -> Iterator[tuple[str, str]]:
    """Key of the state dict, name of our weight."""
    yield "conv1.weight", "stem/kernel"
    yield from _norm("bn1", "stem_norm")
    if style == "face":
        yield "prelu.weight", "stem_prelu/alpha"
    for stage, count in enumerate(BLOCKS, 1):
        for block in range(1, count + 1):
            theirs, ours = f"layer{stage}.{block - 1}", f"stage{stage}_block{block}"
            for number in (1, 2):
                yield f"{theirs}.conv{number}.weight", f"{ours}_conv{number}/kernel"
            for number in (1, 2, 3) if style == "face" else (1, 2):
                yield from _norm(f"{theirs}.bn{number}", f"{ours}_norm{number}")
            if style == "face":
                yield f"{theirs}.prelu.weight", f"{ours}_prelu/alpha"
            if block == 1 and (stage > 1 or style == "face"):
                yield f"{theirs}.downsample.0.weight", f"{ours}_shortcut/kernel"
                yield from _norm(f"{theirs}.downsample.1", f"{ours}_shortcut_norm")
    if style == "face":
        yield from _norm("bn2", "last_norm")
        yield "fc.weight", "features/kernel"
        yield "fc.bias", "features/bias"
        yield from ((key, name) for key, name in _norm("features", "features_norm") if not name.endswith("gamma"))


def _norm(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    return ((f"{theirs}.{key}", f"{ours}/{name}") for name, key in _NORM.items())


def _in_our_order(origin: str, key: str, name: str, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Convolutions from (out, in, row, column); the matrix behind the flattening from channels first."""
    array = state[key]
    if name == "features/kernel":
        channels = state["bn2.weight"].shape[0]
        side = math.isqrt(array.shape[-1] // channels)
        if array.ndim != 2 or side * side * channels != array.shape[1]:
            raise ResNetError(
                f"{origin}: {key!r} has shape {array.shape}: no square map of {channels} channels fits it"
            )
        by_place = array.reshape(-1, channels, side, side).transpose(2, 3, 1, 0)
        return by_place.reshape(array.shape[1], -1)
    if name.endswith("kernel"):
        if array.ndim != 4:
            raise ResNetError(f"{origin}: {key!r} has shape {array.shape}, not that of a convolution")
        return array.transpose(2, 3, 1, 0)
    return array.reshape(-1)


def _scaled_by_features(arrays: dict[str, np.ndarray], gamma: np.ndarray) -> dict[str, np.ndarray]:
    """Takes a gamma of the last normalization, which ours does not have, into the layer before it.

    gamma (y - mean) / sqrt(variance + epsilon) + beta is the same with gamma y, gamma mean and the variance as it is.
    """
    scaled = dict(arrays)
    for name in ("features/kernel", "features/bias", "features_norm/moving_mean"):
        scaled[name] = arrays[name] * gamma
    return scaled


def _plain_state(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state dict without the names that wrappers put in front."""
    plain = {}
    for key, array in state.items():
        parts = key.split(".")
        while parts[0] in ("module", "backbone"):
            parts.pop(0)
        plain[".".join(parts)] = array
    return plain

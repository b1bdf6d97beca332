"""The straightforward forms of what kerasfer computes in a faster way, to measure what each way brings.

    with without("norm", "adam"):
        ...  # models built and traced here take Keras' arithmetic for instance normalization and for Adam

The results are the same up to rounding (`tests/test_speed.py`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from kerasfer import layers
from kerasfer.backbones import resnet
from kerasfer.optimizers import FusedAdam

__all__ = ["CHANGES", "without"]


def _instance_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    values = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(values, (1, 2), keepdims=True)
    return tf.cast(tf.nn.batch_normalization(values, mean, variance, beta, gamma, epsilon), x.dtype)


def _conv_norm_relu(
    inputs: tf.Tensor,
    kernel: Any,
    gamma: Any,
    beta: Any,
    epsilon: float,
    pool: bool = False,
    training: bool = False,
) -> tf.Tensor:
    kernel, gamma, beta = (tf.convert_to_tensor(weight) for weight in (kernel, gamma, beta))
    x = tf.nn.conv2d(inputs, tf.cast(kernel, inputs.dtype), 1, "SAME")
    x = tf.nn.relu(_instance_norm(x, gamma, beta, epsilon))
    return tf.nn.max_pool2d(x, 3, 2, "SAME") if pool else x


def _instance_norm_layer(self: layers.InstanceNormalization, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    gamma = tf.convert_to_tensor(self.gamma) if self.affine else tf.ones([inputs.shape[-1]])
    beta = tf.convert_to_tensor(self.beta) if self.affine else tf.zeros([inputs.shape[-1]])
    outputs = _instance_norm(inputs, gamma, beta, self.epsilon)
    return tf.nn.relu(outputs) if self.relu else outputs


def _batch_norm_layer(self: resnet.BatchNormalization, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    values = tf.cast(inputs, tf.float32)
    mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
    if training and self.trainable:
        mean, variance = tf.nn.moments(values, list(range(len(inputs.shape) - 1)))
        count = tf.cast(tf.size(values[..., 0]), tf.float32)
        unbiased = variance * count / (count - 1.0)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            average.assign(average * self.momentum + tf.stop_gradient(value) * (1.0 - self.momentum))
    gamma = tf.convert_to_tensor(self.gamma) if self.scale else None
    beta = tf.convert_to_tensor(self.beta)
    return tf.cast(tf.nn.batch_normalization(values, mean, variance, beta, gamma, self.epsilon), inputs.dtype)


def _prelu(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(x) - tf.cast(alpha, x.dtype) * tf.nn.relu(-x)


def _convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def _everywhere(name: str, function: Callable) -> list[Any]:
    """Patches of a function of `kerasfer.layers` in each module that has imported it."""
    users = [module for key, module in sorted(sys.modules.items()) if key.startswith("kerasfer.")]
    original = getattr(layers, name)
    return [mock.patch.object(module, name, function) for module in users if vars(module).get(name) is original]


def _patches(change: str) -> list[Any]:
    if change == "norm":
        layer = mock.patch.object(layers.InstanceNormalization, "call", _instance_norm_layer)
        return [layer, *_everywhere("conv_norm_relu", _conv_norm_relu)]
    if change == "batch-norm":
        return [mock.patch.object(resnet.BatchNormalization, "call", _batch_norm_layer)]
    if change == "prelu":
        return _everywhere("channel_prelu", _prelu)
    if change == "gray":
        return [part for name in ("conv_from_gray", "conv_to_gray") for part in _everywhere(name, _convolve)]
    adam = keras.optimizers.Adam
    return [mock.patch.object(FusedAdam, name, getattr(adam, name)) for name in ("apply", "update_step")]


CHANGES = {
    "norm": "instance norm: statistics by pooling, gradients by hand, one kernel for what is element-wise",
    "batch-norm": "batch norm: one operation in the type of the map",
    "prelu": "PReLU: gradients by hand, one kernel",
    "gray": "convolutions of one channel: taps by a matrix product, then shifted and added; gradients by hand",
    "adam": "Adam: one operation a variable",
}
"""What is faster, and how."""


@contextlib.contextmanager
def without(*changes: str) -> Iterator[None]:
    """Models built and traced inside do without these of `CHANGES`; the models' modules are imported before.

    Raises:
        ValueError: no such change.
    """
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise ValueError(f"no such change: {', '.join(unknown)}; there are {', '.join(CHANGES)}")
    with contextlib.ExitStack() as stack:
        for change in changes:
            for patch in _patches(change):
                stack.enter_context(patch)
        yield

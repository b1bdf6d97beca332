"""Blocks that more than one paper uses.

Instance normalization decides what a training step of these networks costs on a CPU, so its arithmetic is written here
once, with gradients of its own: in bfloat16 the statistics come from oneDNN's average pooling (accumulated in float32,
finished in float32) and the element-wise parts run as one fused XLA kernel each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

__all__ = [
    "ConvUnit",
    "GrayConvTranspose",
    "InstanceNormalization",
    "channel_prelu",
    "conv_from_gray",
    "conv_to_gray",
    "instance_moments",
    "normalize_relu",
]

_FUSED_ELEMENTS = 2048
"""Feature maps of at least so many numbers an image are worth a fused XLA kernel in bfloat16."""


def _fused(function: Callable) -> Callable:
    """Returns a function that runs as one XLA kernel where its first argument is a large bfloat16 map."""
    compiled = tf.function(function, jit_compile=True, reduce_retracing=True)

    def call(x: tf.Tensor, *arguments: tf.Tensor):
        elements = 1
        for dimension in x.shape[1:]:
            elements *= dimension or 0
        large = x.dtype == tf.bfloat16 and elements >= _FUSED_ELEMENTS
        return (compiled if large else function)(x, *arguments)

    return call


@functools.cache
def _pools_precisely() -> bool:
    """Whether windows of bfloat16 numbers are added up with more digits than these have; not so on older processors."""
    window = np.ones((1, 8, 8, 1), np.float32)
    window[0, 0, 0, 0] = 256.0
    with tf.init_scope():
        mean = tf.nn.avg_pool2d(tf.constant(window, tf.bfloat16), 8, 8, "VALID")
        return bool(abs(tf.cast(mean, tf.float32)[0, 0, 0, 0] - window.mean()) < 0.05)


def _spatial_mean(x: tf.Tensor) -> tf.Tensor:
    """Mean over height and width of (n, h, w, c), as float32 (n, c)."""
    if x.dtype == tf.bfloat16 and _pools_precisely():
        for window in (8, 4, 2):
            if all(side is not None and side % window == 0 and side >= 3 * window for side in x.shape[1:3]):
                x = tf.nn.avg_pool2d(x, window, window, "VALID")
                break
    return tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))


def _per_image(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(values, dtype)[:, tf.newaxis, tf.newaxis, :]


@_fused
def _scale_add(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return x * scale + offset


@_fused
def _squared_distance(x: tf.Tensor, center: tf.Tensor) -> tf.Tensor:
    difference = x - center
    return difference * difference


@_fused
def _center_scale_add_relu(x: tf.Tensor, center: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return tf.maximum((x - center) * scale + offset, tf.zeros([], x.dtype))


@_fused
def _relu_gradients(
    x: tf.Tensor, y: tf.Tensor, gradient: tf.Tensor, center: tf.Tensor, scale: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    active = tf.raw_ops.ReluGrad(gradients=gradient, features=y)
    return active * scale, active * (x - center), active


@_fused
def _prelu(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    zero = tf.zeros([], x.dtype)
    return tf.maximum(x, zero) + alpha * tf.minimum(x, zero)


@_fused
def _prelu_gradients(x: tf.Tensor, gradient: tf.Tensor, alpha: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.where(x > 0, gradient, gradient * alpha), gradient * tf.minimum(x, tf.zeros([], x.dtype))


@tf.custom_gradient
def channel_prelu(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """max(0, x) + alpha min(0, x) (He et al. 2015, "Delving Deep into Rectifiers"), with gradients to both.

    Args:
        x: float (n, h, w, c).
        alpha: float32 (c,).

    Returns:
        A tensor like `x`.
    """
    slope = tf.cast(alpha, x.dtype)

    def gradient(y_gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x_gradient, alpha_terms = _prelu_gradients(x, y_gradient, slope)
        count = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        return x_gradient, tf.reduce_sum(_spatial_mean(alpha_terms), 0) * count

    return _prelu(x, slope), gradient


def _convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def _sum_of_shifts(x: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
    """The convolution to one channel that `conv_to_gray` does, with its kernel as (k, k, c), without a gradient.

    One matrix product gives each tap's map; the maps are shifted and added in float32.
    """
    count, (height, width, channels), size = tf.shape(x)[0], x.shape[1:], taps.shape[0]
    rows = tf.reshape(x, (-1, channels))
    maps = tf.matmul(tf.reshape(taps, (size * size, channels)), rows, transpose_b=True)
    margin = [size // 2] * 2
    maps = tf.reshape(tf.cast(maps, tf.float32), (size * size, count, height, width))
    maps = tf.pad(maps, [[0, 0], [0, 0], margin, margin])
    shifted = [
        maps[size * row + column, :, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    return tf.cast(tf.add_n(shifted), x.dtype)[..., tf.newaxis]


def _kernel_gradient(gray: tf.Tensor, size: int, many: tf.Tensor) -> tf.Tensor:
    """Gradient of the kernel (k, k, 1, c) of a convolution of `gray` (n, h, w, 1), that of its result being `many`."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=gray, filter_sizes=(size, size, 1, many.shape[3]), out_backprop=many, strides=[1] * 4, padding="SAME"
    )


@tf.custom_gradient
def conv_from_gray(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution of one channel, of stride 1, "same", whose gradient to x costs less than oneDNN's.

    Args:
        x: float (n, h, w, 1).
        kernel: of the same type, (k, k, 1, c); k is odd.

    Returns:
        A tensor (n, h, w, c) of that type.
    """

    def gradient(y_gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        back = _sum_of_shifts(y_gradient, kernel[::-1, ::-1, 0])
        return back, _kernel_gradient(x, kernel.shape[0], y_gradient)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient


@tf.custom_gradient
def conv_to_gray(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution to one channel, of stride 1, "same", that with its gradients costs less than oneDNN's.

    Args:
        x: float (n, h, w, c).
        kernel: of the same type, (k, k, c, 1); k is odd.

    Returns:
        A tensor (n, h, w, 1) of that type.
    """

    def gradient(y_gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        turned = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        back = tf.nn.conv2d(y_gradient, turned, 1, "SAME")
        taps = _kernel_gradient(y_gradient, kernel.shape[0], x)
        return back, tf.transpose(taps[::-1, ::-1], (0, 1, 3, 2))

    return _sum_of_shifts(x, kernel[..., 0]), gradient


@keras.saving.register_keras_serializable("kerasfer")
class GrayConvTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` of stride 1, "same", without bias; to one channel it trains by `conv_to_gray`.

    Args:
        filters: number of output channels.
        kernel_size: odd.

    Input: float (n, h, w, c). Output: float (n, h, w, filters).
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", "use_bias": False, **kwargs})

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.filters > 1:
            return super().call(inputs)
        kernel = tf.transpose(tf.convert_to_tensor(self.kernel)[::-1, ::-1], (0, 1, 3, 2))
        return conv_to_gray(inputs, tf.cast(kernel, inputs.dtype))


@tf.custom_gradient
def instance_moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and biased variance of every image and channel.

    Args:
        x: float (n, h, w, c).

    Returns:
        Two float32 tensors (n, c). The variance is taken around the mean as rounded to the type of `x`, which keeps
        bfloat16 from cancelling where the mean is much larger than the deviation.
    """
    mean = _spatial_mean(x)
    # Squares of more than 255 are too large for float16, whose range is small; bfloat16 has that of float32.
    wide = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
    center = _per_image(mean, wide.dtype)
    shift = mean - tf.cast(center[:, 0, 0, :], tf.float32)
    variance = tf.maximum(_spatial_mean(_squared_distance(wide, center)) - shift * shift, 0.0)

    def gradient(mean_gradient: tf.Tensor, variance_gradient: tf.Tensor) -> tf.Tensor:
        count = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        slope = 2.0 * variance_gradient / count
        constant = mean_gradient / count - slope * mean
        return _scale_add(x, _per_image(slope, x.dtype), _per_image(constant, x.dtype))

    return (mean, variance), gradient


def normalize_relu(
    x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """max(0, gamma * (x - mean) / sqrt(variance + epsilon) + beta), with gradients to all but epsilon.

    Args:
        x: float (n, h, w, c).
        mean: float32 (n, c).
        variance: float32 (n, c).
        gamma: float32 (c,).
        beta: float32 (c,).
        epsilon: added to the variance.

    Returns:
        A tensor like `x`.
    """
    return _centered_scale_relu(x, *_center_scale_offset(mean, variance, gamma, beta, epsilon, x.dtype))


def _center_scale_offset(
    mean: tf.Tensor, variance: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalization as (x - center) * scale + offset: three tensors (n, c).

    The center is the mean as rounded to the type of x; what the rounding left goes into the offset. Without it, a mean
    that is large beside the deviation would cancel in bfloat16.
    """
    scale = gamma * tf.math.rsqrt(variance + epsilon)
    center = tf.stop_gradient(tf.cast(mean, dtype))
    return center, scale, beta - (mean - tf.cast(center, tf.float32)) * scale


@tf.custom_gradient
def _centered_scale_relu(x: tf.Tensor, center: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    center_map, scale_map = _per_image(center, x.dtype), _per_image(scale, x.dtype)
    y = _center_scale_add_relu(x, center_map, scale_map, _per_image(offset, x.dtype))

    def gradient(y_gradient: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        x_gradient, scale_terms, offset_terms = _relu_gradients(x, y, y_gradient, center_map, scale_map)
        count = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        return x_gradient, None, _spatial_mean(scale_terms) * count, _spatial_mean(offset_terms) * count

    return y, gradient


def _centered_moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance in two passes: the accurate form, which also survives 8-bit quantization."""
    mean = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
    centered = x - mean
    return centered, tf.reduce_mean(centered * centered, axis=(1, 2), keepdims=True)


@keras.saving.register_keras_serializable("kerasfer")
class InstanceNormalization(keras.layers.Layer):
    """Normalizes every channel of every image over height and width (Ulyanov et al. 2016), optionally with ReLU.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the biased variance, computed in float32.

    Args:
        epsilon: added to the variance.
        affine: whether gamma and beta (from zero) are learned; without, they are one and zero.
        relu: whether the result goes through a ReLU, which is cheaper here than as a layer of its own.
        gamma_initializer: what gamma starts from; "zeros" lets the last norm of a residual branch start it as nothing.

    Input and output: float (n, h, w, c).
    """

    def __init__(
        self,
        epsilon: float = 1e-5,
        affine: bool = True,
        relu: bool = False,
        gamma_initializer: str = "ones",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.affine = affine
        self.relu = relu
        self.gamma_initializer = gamma_initializer

    def build(self, input_shape: tuple) -> None:
        if self.affine:
            shape, initializer = (input_shape[-1],), self.gamma_initializer
            self.gamma = self.add_weight(shape, initializer=initializer, name="gamma", autocast=False)
            self.beta = self.add_weight((input_shape[-1],), initializer="zeros", name="beta", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        gamma = tf.convert_to_tensor(self.gamma) if self.affine else tf.ones([inputs.shape[-1]])
        beta = tf.convert_to_tensor(self.beta) if self.affine else tf.zeros([inputs.shape[-1]])
        if not training and inputs.dtype == tf.float32:
            centered, variance = _centered_moments(inputs)
            outputs = centered * (gamma * tf.math.rsqrt(variance + self.epsilon)) + beta
            return tf.nn.relu(outputs) if self.relu else outputs
        mean, variance = instance_moments(inputs)
        if self.relu:
            return normalize_relu(inputs, mean, variance, gamma, beta, self.epsilon)
        parts = _center_scale_offset(mean, variance, gamma, beta, self.epsilon, inputs.dtype)
        center, scale, offset = (_per_image(part, inputs.dtype) for part in parts)
        return (inputs - center) * scale + offset

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        config = {"epsilon": self.epsilon, "affine": self.affine, "relu": self.relu}
        return {**super().get_config(), **config, "gamma_initializer": self.gamma_initializer}


@keras.saving.register_keras_serializable("kerasfer")
class ConvUnit(keras.layers.Layer):
    """Convolution without bias, instance normalization with affine parameters, ReLU and, if asked for, max-pooling.

    The convolution has stride 1 and keeps the size. The pooling has a 3x3 window, stride 2 and rounds up: 128 -> 64.

    With pooling, the maximum is taken before the normalization's scale and offset, on a map whose sign is turned where
    gamma is negative. Scale, offset and ReLU then never decrease, so the result is the same as that of the printed
    order, at a quarter of the work.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel.
        pool: whether to end in the max-pooling.
        epsilon: added to the variance.

    Input: float (n, h, w, c). Output: float (n, h, w, filters), or (n, ceil(h / 2), ceil(w / 2), filters) with pooling.
    """

    def __init__(self, filters: int, kernel_size: int, pool: bool = False, epsilon: float = 1e-3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.pool = pool
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape, initializer="glorot_uniform", name="kernel")
        self.gamma = self.add_weight((self.filters,), initializer="ones", name="gamma", autocast=False)
        self.beta = self.add_weight((self.filters,), initializer="zeros", name="beta", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return conv_norm_relu(
            inputs, self.kernel, self.gamma, self.beta, self.epsilon, pool=self.pool, training=training
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        count, height, width, _ = input_shape
        if self.pool:
            height, width = -(-height // 2), -(-width // 2)
        return (count, height, width, self.filters)

    def get_config(self) -> dict:
        config = {"filters": self.filters, "kernel_size": self.kernel_size, "pool": self.pool, "epsilon": self.epsilon}
        return {**super().get_config(), **config}


def conv_norm_relu(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    pool: bool = False,
    training: bool = False,
) -> tf.Tensor:
    """The function of `ConvUnit` on given weights.

    Args:
        inputs: float (n, h, w, c).
        kernel: (k, k, c, filters), cast to the type of the inputs.
        gamma: float32 (filters,).
        beta: float32 (filters,).
        epsilon: added to the variance.
        pool: whether to end in the max-pooling.
        training: whether gradients are wanted; without, float32 statistics are taken in two passes.

    Returns:
        float (n, h, w, filters), or (n, ceil(h / 2), ceil(w / 2), filters) with pooling.
    """
    kernel, gamma, beta = (tf.convert_to_tensor(weight) for weight in (kernel, gamma, beta))
    if pool:
        sign = tf.where(gamma < 0, -1.0, 1.0)
        kernel = kernel * tf.cast(sign, kernel.dtype)
        gamma = gamma * sign
    convolve = conv_from_gray if training and inputs.shape[-1] == 1 else _convolve
    x = convolve(inputs, tf.cast(kernel, inputs.dtype))
    if not training and x.dtype == tf.float32:
        x, variance = _centered_moments(x)
        if pool:
            x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        return tf.nn.relu(x * (gamma * tf.math.rsqrt(variance + epsilon)) + beta)
    mean, variance = instance_moments(x)
    if pool:
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    return normalize_relu(x, mean, variance, gamma, beta, epsilon)

"""The shared layers against the same formulas written plainly, with TensorFlow's own gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasfer import layers
from kerasfer.layers import (
    ConvUnit,
    GrayConvTranspose,
    InstanceNormalization,
    conv_from_gray,
    conv_to_gray,
    instance_moments,
    normalize_relu,
)
from kerasfer.models.tdgan import InceptionResidual, ResidualBlock

GAMMAS = np.float32([1.3, -0.7, 0.0, -1.8, 0.4, 2.0])
BETAS = np.float32([0.2, 0.5, 0.3, -0.1, -0.4, 0.0])


def normal(*shape: int, seed: int = 0, mean: float = 0.0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(mean, 1.0, shape), tf.float32)


def plain_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    mean = tf.reduce_mean(x, (1, 2), keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), (1, 2), keepdims=True)
    return gamma * (x - mean) / tf.sqrt(variance + epsilon) + beta


def plain_pool(x: tf.Tensor) -> tf.Tensor:
    """3x3 windows at every second pixel of an even map; the last hang over the right and the lower border."""
    x = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]], constant_values=-np.inf)
    return tf.nn.max_pool2d(x, 3, 2, "VALID")


def plain_unit(x, kernel, gamma, beta, epsilon, pool=False):
    x = tf.nn.relu(plain_norm(tf.nn.conv2d(x, kernel, 1, "SAME"), gamma, beta, epsilon))
    return plain_pool(x) if pool else x


def gradients_of(function, variables, weights):
    """The value of a function, and the gradients of its sum weighted with fixed random numbers."""
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = function(*variables)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * weights)
    return y, tape.gradient(loss, variables)


def relative_error(ours: tf.Tensor, theirs: tf.Tensor) -> float:
    """Largest difference as a share of the largest value."""
    ours, theirs = np.asarray(tf.cast(ours, tf.float32)), np.asarray(tf.cast(theirs, tf.float32))
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def unit_layer(pool: bool, kernel_size: int = 5, channels: int = 3, dtype: str = "float32") -> ConvUnit:
    layer = ConvUnit(len(GAMMAS), kernel_size, pool=pool, epsilon=1e-3, dtype=dtype)
    layer.build((None, 12, 12, channels))
    layer.kernel.assign(normal(kernel_size, kernel_size, channels, len(GAMMAS), seed=9) * 0.2)
    layer.gamma.assign(GAMMAS)
    layer.beta.assign(BETAS)
    return layer


def test_pooling_rounds_up_and_looks_past_the_border():
    layer = ConvUnit(1, 1, pool=True)
    layer.build((None, 4, 4, 1))
    layer.kernel.assign(np.ones((1, 1, 1, 1)))
    pixels = np.float32([[1, 2, 3, 9], [4, 5, 6, 8], [7, 1, 0, 2], [3, 2, 1, 4]])
    maxima = np.float32([[7, 9], [7, 4]])
    expected = np.maximum((maxima - pixels.mean()) / np.sqrt(pixels.var() + 1e-3), 0)
    for training in (False, True):
        output = layer(pixels.reshape(1, 4, 4, 1), training=training)
        np.testing.assert_allclose(output[0, :, :, 0], expected, atol=1e-5)
    assert ConvUnit(2, 3, pool=True)(np.zeros((1, 128, 128, 1), np.float32)).shape == (1, 64, 64, 2)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_conv_unit_equals_the_printed_order(kernel_size, pool, training):
    layer = unit_layer(pool, kernel_size)
    x = normal(3, 12, 12, 3)
    expected = plain_unit(x, layer.kernel.value, GAMMAS, BETAS, 1e-3, pool)
    output = layer(x, training=training)
    assert output.shape == (3, 6, 6, 6) if pool else (3, 12, 12, 6)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(output[..., 2], 0.3, atol=1e-6)  # gamma is zero there: ReLU of beta is left


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pool", [False, True])
def test_conv_unit_has_the_gradients_of_the_printed_order(pool, training):
    x = normal(2, 12, 12, 3, mean=0.5)
    kernel = normal(5, 5, 3, 6, seed=1) * 0.2
    weights = normal(2, 6, 6, 6, seed=2) if pool else normal(2, 12, 12, 6, seed=2)
    variables = [x, kernel, tf.constant(GAMMAS), tf.constant(BETAS)]
    _, ours = gradients_of(lambda *v: layers.conv_norm_relu(*v, 1e-3, pool=pool, training=training), variables, weights)
    _, theirs = gradients_of(lambda *v: plain_unit(*v, 1e-3, pool), variables, weights)
    for name, our, their in zip(("input", "kernel", "gamma", "beta"), ours, theirs):
        if name == "gamma":
            # Where gamma is zero a pooled window is constant: which of its pixels counts is a matter of choice.
            our, their = np.delete(our, 2), np.delete(their, 2)
        assert relative_error(our, their) < 1e-4, name


@pytest.mark.parametrize("pool", [False, True])
def test_conv_unit_in_bfloat16_is_right_within_rounding(pool):
    layer = unit_layer(pool, dtype="mixed_bfloat16")
    x = normal(3, 24, 24, 3)
    output = layer(x, training=True)
    assert output.dtype == tf.bfloat16
    assert layer.gamma.dtype == layer.kernel.dtype == "float32"
    expected = plain_unit(x, layer.kernel.value, GAMMAS, BETAS, 1e-3, pool)
    difference = np.abs(np.asarray(tf.cast(output, tf.float32)) - expected)
    assert np.all(difference < 0.02 * (1 + np.abs(expected))) and difference.mean() < 0.006


def test_conv_unit_in_bfloat16_has_right_gradients_within_rounding():
    x, kernel = normal(2, 24, 24, 3), normal(5, 5, 3, 6, seed=1) * 0.2
    weights = normal(2, 12, 12, 6, seed=2)
    variables = [x, kernel, tf.constant(GAMMAS), tf.constant(BETAS)]

    def in_bfloat16(x, *others):
        return layers.conv_norm_relu(tf.cast(x, tf.bfloat16), *others, 1e-3, pool=True, training=True)

    _, ours = gradients_of(in_bfloat16, variables, weights)
    _, theirs = gradients_of(lambda *v: plain_unit(*v, 1e-3, True), variables, weights)
    for name, our, their in zip(("input", "kernel", "gamma", "beta"), ours, theirs):
        our, their = np.asarray(our, np.float64).ravel(), np.asarray(their, np.float64).ravel()
        if name == "gamma":
            our, their = np.delete(our, 2), np.delete(their, 2)
        similarity = our @ their / np.sqrt((our @ our) * (their @ their))
        assert similarity > 0.99, name  # where two pixels of a window round to the same, either may be the largest


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_instance_normalization_equals_its_formula(affine, relu, training):
    layer = InstanceNormalization(1e-5, affine=affine, relu=relu)
    x = normal(2, 5, 7, 6, mean=3.0)
    layer.build(x.shape)
    gamma, beta = (GAMMAS, BETAS) if affine else (np.ones(6, np.float32), np.zeros(6, np.float32))
    if affine:
        layer.gamma.assign(gamma)
        layer.beta.assign(beta)
    assert len(layer.weights) == (2 if affine else 0)

    def plain(x):
        y = plain_norm(x, gamma, beta, 1e-5)
        return tf.nn.relu(y) if relu else y

    weights = normal(2, 5, 7, 6, seed=3)
    y, (gradient,) = gradients_of(lambda x: layer(x, training=training), [x], weights)
    expected, (expected_gradient,) = gradients_of(plain, [x], weights)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert relative_error(gradient, expected_gradient) < 1e-4


def test_each_image_and_channel_is_normalized_alone():
    layer = InstanceNormalization(0.0, affine=False)
    x = np.zeros((2, 1, 2, 2), np.float32)
    x[0, 0, :, 0], x[0, 0, :, 1], x[1, 0, :, 0], x[1, 0, :, 1] = (1, 3), (10, 30), (-5, 5), (7, 6)
    for training in (False, True):
        y = np.asarray(layer(x, training=training))
        expected = np.float32([[[[-1, -1], [1, 1]]], [[[-1, 1], [1, -1]]]])
        np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_constant_channel_gives_beta_and_finite_gradients(dtype, training):
    layer = InstanceNormalization(1e-3, dtype=dtype)
    layer.build((None, 4, 4, 1))
    layer.beta.assign([0.25])
    x = tf.fill((1, 4, 4, 1), tf.cast(0.5, layer.compute_dtype))
    y, (gradient,) = gradients_of(lambda x: layer(x, training=training), [x], normal(1, 4, 4, 1))
    rounding = 0.5 / np.sqrt(1e-3) * 2**-7 if dtype == "mixed_bfloat16" else 1e-6
    np.testing.assert_allclose(tf.cast(y, tf.float32), np.full((1, 4, 4, 1), 0.25), atol=rounding)
    assert np.isfinite(tf.cast(gradient, tf.float32)).all()


def test_moments_in_bfloat16_do_not_cancel_under_a_large_mean():
    x = tf.cast(normal(2, 24, 24, 8, mean=20.0), tf.bfloat16)
    exact = np.asarray(tf.cast(x, tf.float32), np.float64)
    mean, variance = instance_moments(x)
    assert mean.dtype == variance.dtype == tf.float32
    np.testing.assert_allclose(mean, exact.mean((1, 2)), rtol=0.002)
    np.testing.assert_allclose(variance, exact.var((1, 2)), rtol=0.03)


def test_moments_have_the_gradients_of_their_formulas():
    x, mean_weights, variance_weights = normal(2, 6, 4, 3, mean=2.0), normal(2, 3, seed=1), normal(2, 3, seed=2)

    def ours(x):
        mean, variance = instance_moments(x)
        return tf.stack([mean, variance])

    def plain(x):
        mean = tf.reduce_mean(x, (1, 2))
        return tf.stack([mean, tf.reduce_mean(tf.square(x - mean[:, None, None]), (1, 2))])

    weights = tf.stack([mean_weights, variance_weights])
    y, (gradient,) = gradients_of(ours, [x], weights)
    expected, (expected_gradient,) = gradients_of(plain, [x], weights)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


def test_the_fused_path_equals_the_plain_path(monkeypatch):
    x = tf.cast(normal(2, 24, 24, 8), tf.bfloat16)
    assert 24 * 24 * 8 >= layers._FUSED_ELEMENTS
    mean, variance = normal(2, 8, seed=1), tf.square(normal(2, 8, seed=2)) + 0.5
    gamma, beta, weights = normal(8, seed=5), normal(8, seed=6), normal(2, 24, 24, 8, seed=3)

    def everything():
        y, gradients = gradients_of(
            lambda *parts: normalize_relu(*parts, 1e-3), [x, mean, variance, gamma, beta], weights
        )
        moments, (moment_gradient,) = gradients_of(
            lambda x: tf.stack(instance_moments(x)), [x], normal(2, 2, 8, seed=4)
        )
        return [y, *gradients, moments, moment_gradient]

    fused = everything()
    monkeypatch.setattr(layers, "_FUSED_ELEMENTS", 10**9)
    plain = everything()
    names = [
        "y",
        *(f"{part} gradient" for part in ("x", "mean", "variance", "gamma", "beta")),
        "moments",
        "their gradient",
    ]
    for name, ours, theirs in zip(names, fused, plain):
        assert ours.dtype == theirs.dtype and relative_error(ours, theirs) < 2**-6, name


@pytest.mark.parametrize("relu", [False, True])
def test_normalization_in_bfloat16_does_not_cancel_under_a_large_mean(relu):
    layer = InstanceNormalization(1e-5, affine=False, relu=relu, dtype="mixed_bfloat16")
    x = tf.cast(normal(2, 24, 24, 6, mean=10.0), tf.bfloat16)
    expected = plain_norm(tf.cast(x, tf.float32), 1.0, 0.0, 1e-5)
    expected = tf.nn.relu(expected) if relu else expected
    difference = np.abs(tf.cast(layer(x, training=True), tf.float32) - expected)
    assert difference.mean() < 0.01  # scale and offset rounded on their own would give 0.03


def test_the_fused_path_works_inside_a_graph_with_an_unknown_batch_size():
    layer = unit_layer(True, dtype="mixed_bfloat16")
    call = tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, 24, 24, 3))])
    for count in (1, 3):
        x = normal(count, 24, 24, 3)
        expected = layer(x, training=True)
        np.testing.assert_allclose(tf.cast(call(x), tf.float32), tf.cast(expected, tf.float32), atol=0.03)


def inception_layer(dtype: str = "float32") -> InceptionResidual:
    layer = InceptionResidual(6, 0.17, 1e-3, dtype=dtype)
    layer.build((None, 8, 8, 9))
    for seed, name in enumerate(layer.kernels):
        layer.gammas[name].assign(np.roll(GAMMAS, seed))
        layer.betas[name].assign(np.roll(BETAS, seed))
    layer.bias.assign(normal(9, seed=9))
    return layer


def plain_inception(x: tf.Tensor, layer: InceptionResidual) -> tf.Tensor:
    """The three branches of Fig. 4, one convolution after the other."""
    branches = []
    for names in (("branch0_0",), ("branch1_0", "branch1_1"), ("branch2_0", "branch2_1", "branch2_2")):
        y = x
        for name in names:
            weights = (weight[name].value for weight in (layer.kernels, layer.gammas, layer.betas))
            y = plain_unit(y, *weights, 1e-3)
        branches.append(y)
    y = tf.nn.conv2d(tf.concat(branches, -1), layer.kernel.value, 1, "SAME") + layer.bias.value
    return tf.nn.relu(x + 0.17 * y)


@pytest.mark.parametrize("training", [False, True])
def test_inception_residual_equals_three_separate_branches(training):
    layer, x = inception_layer(), normal(2, 8, 8, 9)
    weights = normal(2, 8, 8, 9, seed=1)
    variables = [weight.value for weight in layer.trainable_weights]
    assert len(variables) == 6 * 3 + 2
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = layer(x, training=training), plain_inception(x, layer)
        our_loss, their_loss = tf.reduce_sum(ours * weights), tf.reduce_sum(theirs * weights)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    sources = [x, *variables]
    for our, their in zip(tape.gradient(our_loss, sources), tape.gradient(their_loss, sources)):
        assert relative_error(our, their) < 1e-4


def test_inception_residual_in_bfloat16_is_right_within_rounding():
    layer, x = inception_layer("mixed_bfloat16"), normal(2, 24, 24, 9)
    output = layer(x, training=True)
    assert output.dtype == tf.bfloat16
    difference = np.abs(np.asarray(tf.cast(output, tf.float32)) - plain_inception(x, layer))
    assert difference.max() < 0.1 and difference.mean() < 0.01


def plain_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dtype, bound", [(tf.float32, 1e-5), (tf.bfloat16, 0.04)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("function, channels", [(conv_from_gray, (1, 4)), (conv_to_gray, (4, 1))], ids=["from", "to"])
def test_convolutions_of_one_channel(function, channels, dtype, bound, size):
    """A map that is not square, and a kernel without symmetry."""
    x, kernel = tf.cast(normal(2, 9, 14, channels[0]), dtype), tf.cast(normal(size, size, *channels, seed=1), dtype)
    weights = normal(2, 9, 14, channels[1], seed=2)
    exact = [tf.cast(value, tf.float32) for value in (x, kernel)]
    ours, our_gradients = gradients_of(tf.function(function), [x, kernel], weights)
    theirs, their_gradients = gradients_of(plain_conv, exact, weights)
    assert ours.dtype == dtype and relative_error(ours, theirs) < bound
    for our, their in zip(our_gradients, their_gradients, strict=True):
        assert our.shape == their.shape and relative_error(our, their) < bound


def test_gray_transposed_convolution_is_keras():
    layer, plain = GrayConvTranspose(1, 3), keras.layers.Conv2DTranspose(1, 3, padding="same", use_bias=False)
    x = normal(2, 6, 7, 5)
    for part in (layer, plain):
        part.build(x.shape)
    plain.kernel.assign(layer.kernel)
    np.testing.assert_allclose(layer(x, training=True), plain(x), atol=1e-5)
    np.testing.assert_array_equal(layer(x), plain(x))
    assert GrayConvTranspose(3, 3)(x, training=True).shape == (2, 6, 7, 3)


def test_residual_block_adds_after_the_relu():
    block, x = ResidualBlock(), normal(2, 4, 4, 3)
    y = block(x)
    kernel, bias = block.conv.kernel.value, block.conv.bias.value
    np.testing.assert_allclose(y, x + tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias), atol=1e-6)
    assert np.asarray(y).min() < 0


@pytest.mark.parametrize(
    "layer",
    [
        InstanceNormalization(1e-4, affine=False, relu=True, name="norm"),
        ConvUnit(7, 3, pool=True, epsilon=1e-2, name="unit"),
        InceptionResidual(3, 0.5, 1e-2, name="inception"),
        GrayConvTranspose(1, 3, name="gray"),
    ],
    ids=lambda layer: layer.name,
)
def test_layers_are_rebuilt_from_their_configs(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()

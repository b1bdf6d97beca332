"""Loss terms on numbers worked by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasfer import losses


def close(actual: tf.Tensor, expected: list, tolerance: float = 1e-6) -> None:
    assert actual.dtype == tf.float32
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def gradient_of(function, *values: list) -> list[np.ndarray]:
    tensors = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = tf.reduce_sum(function(*tensors))
    return [gradient.numpy() for gradient in tape.gradient(total, tensors)]


def test_wasserstein_losses():
    real, fake = tf.constant([[3.0], [-1.0]]), tf.constant([[0.5], [2.0]])
    close(losses.wasserstein_critic_loss(real, fake), [-2.5, 3.0])
    close(losses.wasserstein_generator_loss(fake), [-0.5, -2.0])


def test_a_map_of_scores_counts_by_its_mean():
    scores = tf.reshape(tf.constant([1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 4.0]), (2, 2, 2, 1))
    close(losses.wasserstein_generator_loss(scores), [-3.0, -1.0])
    close(losses.wasserstein_critic_loss(scores, tf.zeros((2, 2, 2, 1))), [-3.0, -1.0])
    logits = tf.zeros((2, 3, 3, 1))
    close(losses.minimax_discriminator_loss(logits, logits), [2 * math.log(2)] * 2)


def test_interpolate_draws_one_number_per_example():
    first = tf.zeros((3, 2, 2, 1), tf.bfloat16)
    second = tf.fill((3, 2, 2, 1), tf.constant(8.0, tf.bfloat16))
    for shape in ((3,), (3, 1), (3, 1, 1, 1)):
        points = losses.interpolate(first, second, tf.reshape([0.0, 0.25, 1.0], shape))
        assert points.dtype == tf.float32
        assert points.shape == (3, 2, 2, 1)
        np.testing.assert_array_equal(points[:, 0, 1, 0], [0, 2, 8])
    np.testing.assert_array_equal(losses.interpolate([1.0, 2.0], [3.0, 6.0], [0.5, 0.5]), [2, 4])


def test_gradient_penalty_of_a_linear_critic_is_the_same_everywhere():
    def critic(points):
        return points @ tf.constant([[3.0], [4.0]])

    real, fake = tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[5.0, -2.0], [1.0, 1.0]])
    close(losses.gradient_penalty(critic, real, fake, tf.constant([0.3, 0.9])), [16.0, 16.0])
    close(losses.gradient_penalty(critic, real, fake, tf.constant([0.3, 0.9]), target=5.0), [0.0, 0.0])


def test_gradient_penalty_is_taken_at_the_interpolates():
    def critic(points):
        return tf.reduce_sum(points * points, axis=-1)

    real, fake = tf.constant([[0.0, 0.0]]), tf.constant([[6.0, 8.0]])
    close(losses.gradient_penalty(critic, real, fake, tf.constant([0.0])), [1.0], 1e-4)
    close(losses.gradient_penalty(critic, real, fake, tf.constant([0.25])), [16.0])
    close(losses.gradient_penalty(critic, real, fake, tf.constant([1.0])), [361.0])


def test_gradient_penalty_teaches_the_critic_and_is_finite_on_a_flat_one():
    weight = tf.Variable([[0.0], [0.0]])
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(lambda points: points @ weight, tf.ones((2, 2)), tf.zeros((2, 2)), [0.1, 0.2])
    gradient = tape.gradient(penalty, weight)
    close(penalty, [1.0, 1.0], 1e-4)
    np.testing.assert_array_equal(gradient, [[0.0], [0.0]])
    weight.assign([[3.0], [4.0]])
    with tf.GradientTape() as tape:
        penalty = tf.reduce_mean(
            losses.gradient_penalty(lambda points: points @ weight, tf.ones((2, 2)), tf.zeros((2, 2)), [0.1, 0.2])
        )
    np.testing.assert_allclose(tape.gradient(penalty, weight), [[2 * 4 * 0.6], [2 * 4 * 0.8]], rtol=1e-5)


def test_gradient_penalty_of_a_bfloat16_critic_is_float32():
    critic = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, use_bias=False, dtype=keras.DTypePolicy("mixed_bfloat16"))]
    )
    critic.layers[0].kernel.assign([[2.0], [0.0], [0.0], [0.0]])
    data = tf.ones((3, 4), tf.bfloat16)
    close(losses.gradient_penalty(critic, data, data * 2, tf.constant([0.1, 0.5, 0.7])), [1.0, 1.0, 1.0], 1e-5)


def test_gradient_penalty_in_a_graph_with_an_unknown_batch():
    @tf.function(input_signature=[tf.TensorSpec([None, 2])] * 2 + [tf.TensorSpec([None])])
    def penalty(real, fake, alpha):
        return losses.gradient_penalty(lambda points: 2 * points[:, :1], real, fake, alpha)

    close(penalty(tf.ones((5, 2)), tf.zeros((5, 2)), tf.zeros(5)), [1.0] * 5, 1e-5)


def test_minimax_losses():
    real, fake = tf.constant([[0.0], [math.log(3)]]), tf.constant([[0.0], [math.log(3)]])
    close(losses.minimax_discriminator_loss(real, fake), [2 * math.log(2), -math.log(0.75) - math.log(0.25)])
    close(
        losses.minimax_discriminator_loss(real, fake, real_target=0.9)[1:],
        [-0.9 * math.log(0.75) - 0.1 * math.log(0.25) - math.log(0.25)],
    )
    close(losses.minimax_generator_loss(fake), [-math.log(2), math.log(0.25)])
    close(losses.non_saturating_generator_loss(fake), [math.log(2), -math.log(0.75)])


def test_minimax_losses_stay_finite_and_the_non_saturating_one_keeps_its_gradient():
    sure = tf.constant([[200.0], [-200.0]])
    close(losses.minimax_discriminator_loss(sure, -sure), [0.0, 400.0])
    close(losses.minimax_generator_loss(sure), [-200.0, 0.0])
    close(losses.non_saturating_generator_loss(sure), [0.0, 200.0])
    (saturated,) = gradient_of(losses.minimax_generator_loss, [[-200.0]])
    (kept,) = gradient_of(losses.non_saturating_generator_loss, [[-200.0]])
    assert saturated == 0
    assert kept == -1


def test_l1_mean_and_sum():
    first = tf.reshape(tf.constant([1.0, -2.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]), (2, 2, 2, 1))
    second = tf.zeros((2, 2, 2, 1))
    close(losses.l1_mean(first, second), [0.875, 0.0])
    close(losses.l1_sum(first, second), [3.5, 0.0])
    for function in (losses.l1_mean, losses.l1_sum):
        assert np.isfinite(gradient_of(function, np.zeros((1, 3), "float32"), np.zeros((1, 3), "float32"))).all()


def test_l1_sum_of_bfloat16_images_is_summed_in_float32():
    ones = tf.ones((1, 64, 64, 3), tf.bfloat16)
    close(losses.l1_sum(ones, 0 * ones), [64 * 64 * 3])


def test_smooth_labels_follow_g2fer_equation_6():
    rho, classes = 0.1, 6
    right, wrong = 1 - (classes - 1) * rho / classes, rho / classes
    close(losses.smooth_labels(tf.constant([2]), classes, rho), [[wrong, wrong, right, wrong, wrong, wrong]])
    close(losses.smooth_labels(tf.constant([[0.5, 0.5]]), 2, 0.0), [[0.5, 0.5]])


def test_cross_entropy_of_class_numbers_distributions_and_smoothing():
    logits = tf.math.log(tf.constant([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    probabilities = tf.nn.softmax(logits)
    uniform = tf.fill((2, 3), 1 / 3)
    for function, outputs in (
        (losses.cross_entropy_from_logits, logits),
        (losses.cross_entropy_from_probabilities, probabilities),
    ):
        close(function(tf.constant([0, 2]), outputs), [math.log(2), -math.log(0.7)])
        close(function(tf.constant([0, 2], tf.int64), outputs), [math.log(2), -math.log(0.7)])
        close(function(tf.constant([[0.5, 0.5, 0], [0, 1, 0]]), outputs), [1.5 * math.log(2), -math.log(0.2)])
        close(function(uniform, outputs), [-math.log(0.5 * 0.25 * 0.25) / 3, -math.log(0.1 * 0.2 * 0.7) / 3])
        smoothed = [-(0.8 * math.log(0.5) + 0.2 * math.log(0.25)), -(0.1 * math.log(0.1 * 0.2) + 0.8 * math.log(0.7))]
        close(function(tf.constant([0, 2]), outputs, smoothing=0.3), smoothed)


def test_cross_entropy_of_an_unknown_class_is_nan_not_zero():
    logits = tf.zeros((3, 2))
    for function, outputs in (
        (losses.cross_entropy_from_logits, logits),
        (losses.cross_entropy_from_probabilities, tf.nn.softmax(logits)),
    ):
        values = function(tf.constant([-1, 2, 1]), outputs).numpy()
        assert np.isnan(values[:2]).all()
        assert values[2] == pytest.approx(math.log(2))


def test_cross_entropy_is_finite_at_the_ends_and_exact_for_bfloat16():
    close(losses.cross_entropy_from_logits(tf.constant([1]), tf.constant([[300.0, -300.0]])), [600.0])
    zero = losses.cross_entropy_from_probabilities(tf.constant([1]), tf.constant([[1.0, 0.0]]))
    close(zero, [-math.log(1e-12)], 1e-5)
    (gradient,) = gradient_of(
        lambda probabilities: losses.cross_entropy_from_probabilities(tf.constant([1]), probabilities), [[1.0, 0.0]]
    )
    assert np.isfinite(gradient).all()
    logits = tf.constant([[1.0, 3.0]], tf.bfloat16)
    close(losses.cross_entropy_from_logits(tf.constant([0]), logits), [math.log(1 + math.exp(2))])


def test_absolute_cosine():
    first = tf.constant([[1.0, 0.0], [1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    second = tf.constant([[0.0, 5.0], [-2.0, -4.0], [4.0, 3.0], [1.0, 1.0]])
    close(losses.absolute_cosine(first, second), [0.0, 1.0, 24 / 25, 0.0])
    for gradient in gradient_of(losses.absolute_cosine, np.zeros((1, 2), "float32"), np.zeros((1, 2), "float32")):
        assert np.isfinite(gradient).all()


def test_hinge():
    """(1 - 0.5) + 0 on real scores of 0.5 and 2, 0 and 1 + 1 on fake ones of -3 and 1; each example's mean."""
    real, fake = tf.constant([[0.5, 2.0], [3.0, 3.0]]), tf.constant([[-3.0, 1.0], [-1.0, -0.5]])
    close(losses.hinge_discriminator_loss(real, fake), [0.25 + 1.0, 0.25])


def test_safe_norm():
    close(losses.safe_norm(tf.constant([[3.0, 4.0], [0.0, 0.0]])), [5.0, 0.0], 1e-5)
    close(losses.safe_norm(tf.constant([[3.0, 0.0], [4.0, 0.0]]), axis=0), [5.0, 0.0], 1e-5)
    (gradient,) = gradient_of(losses.safe_norm, [[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    thousand = tf.fill((1, 1000), tf.constant(1.0, tf.bfloat16))
    close(losses.safe_norm(thousand), [math.sqrt(1000)])


def test_every_term_is_one_float32_value_per_example():
    one, two = tf.ones((4, 3), tf.bfloat16), tf.zeros((4, 3), tf.bfloat16)
    for name in losses.__all__:
        if name in ("gradient_penalty", "interpolate", "smooth_labels", "safe_norm", "told_by_length"):
            continue
        function = getattr(losses, name)
        single = "generator" in name
        further = ("mean",) if name == "l1_distance" else ()
        value = function(one) if single else function(one, two, *further)
        assert value.shape == (4,), name
        assert value.dtype == tf.float32, name


def test_lengths_tell_codes_from_a_prior_apart():
    apart = tf.constant([[3.0, 0.0], [0.0, 4.0]])
    assert float(losses.told_by_length(apart, apart / 10)) == float(losses.told_by_length(apart / 10, apart)) == 1
    # Squared lengths 1, 9 and 4, 4, 16; means 5 and 8, the middle 6.5: one of two and one of three are on their side.
    found = losses.told_by_length(tf.constant([[1.0], [3.0]]), tf.constant([[2.0], [-2.0], [4.0]]))
    assert float(found) == pytest.approx((1 / 2 + 1 / 3) / 2)

"""Loss terms that more than one paper uses, one function a formula, named after the formula.

Every function casts to float32 first, so that a bfloat16 network trains on exact loss values, and returns one float32
value per example, shape (batch,), unless its docstring says otherwise. Weighting and averaging are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = [
    "absolute_cosine",
    "cross_entropy_from_logits",
    "cross_entropy_from_probabilities",
    "gradient_penalty",
    "hinge_discriminator_loss",
    "hits",
    "interpolate",
    "l1_distance",
    "l1_mean",
    "l1_sum",
    "minimax_discriminator_loss",
    "minimax_generator_loss",
    "non_saturating_generator_loss",
    "safe_norm",
    "smooth_labels",
    "told_by_length",
    "wasserstein_critic_loss",
    "wasserstein_generator_loss",
]


def wasserstein_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """D(fake) - D(real), which the critic minimizes.

    Source: Arjovsky et al. 2017, "Wasserstein GAN".

    Args:
        real_scores: the critic's unbounded outputs, (batch, ...); a map of scores counts by its mean.
        fake_scores: the same for generated images, same batch.
    """
    return _per_example_mean(fake_scores) - _per_example_mean(real_scores)


def wasserstein_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """-D(fake), which the generator minimizes.

    Source: Arjovsky et al. 2017, "Wasserstein GAN".

    Args:
        fake_scores: the critic's unbounded outputs for generated images, (batch, ...).
    """
    return -_per_example_mean(fake_scores)


def interpolate(first: tf.Tensor, second: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """first + alpha (second - first): the points between two batches.

    Args:
        first: (batch, ...), where alpha = 0.
        second: same shape, where alpha = 1.
        alpha: (batch,) or any shape of `batch` entries: one number per example, usually uniform on [0, 1).

    Returns:
        float32, the shape of `first`.
    """
    first, second = _float32(first), _float32(second)
    alpha = tf.reshape(_float32(alpha), tf.concat([[-1], tf.ones([tf.rank(first) - 1], tf.int32)], 0))
    return first + alpha * (second - first)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    alpha: tf.Tensor,
    target: float = 1.0,
) -> tf.Tensor:
    """(|grad D(x)| / target - 1)^2 at x = real + alpha (fake - real).

    The norm runs over all entries of an example, in float32 whatever the critic computes in. The coefficient (10 in
    the paper) is the caller's.

    Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs".

    Args:
        critic: maps a float32 batch to unbounded scores, (batch, ...); call its network with `training=True`. It must
            not mix examples (no batch normalization).
        real: (batch, ...).
        fake: same shape.
        alpha: `batch` numbers, usually uniform on [0, 1).
        target: the gradient norm at which the penalty is zero.
    """
    points = interpolate(real, fake, alpha)
    with tf.GradientTape() as tape:
        tape.watch(points)
        scores = _per_example_mean(critic(points))
    gradients = tape.gradient(scores, points)
    norms = safe_norm(tf.reshape(gradients, [tf.shape(points)[0], -1]), epsilon=1e-10)
    return tf.square(norms / target - 1.0)


def minimax_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0) -> tf.Tensor:
    """-log s(D(real)) - log(1 - s(D(fake))), with s the sigmoid.

    With `real_target` t below 1 the first term is -t log s(D(real)) - (1 - t) log(1 - s(D(real))): one-sided label
    smoothing (Salimans et al. 2016). TF-GAN's `label_smoothing` a is t = 1 - a / 2.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", equation 1.

    Args:
        real_logits: the discriminator's outputs before the sigmoid, (batch, ...); a map of logits counts by the mean
            of its losses.
        fake_logits: the same for generated images, same batch.
        real_target: the probability that the discriminator shall give to real images.
    """
    real_logits, fake_logits = _float32(real_logits), _float32(fake_logits)
    on_real = tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(real_logits), real_target), real_logits)
    return _per_example_mean(on_real) + _per_example_mean(tf.math.softplus(fake_logits))


def minimax_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """log(1 - s(D(fake))), with s the sigmoid: the generator's part of the two-player game.

    Its gradient vanishes where the discriminator is sure; see `non_saturating_generator_loss`. (TF-GAN's
    `minimax_generator_loss` adds the constant log s(1).)

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", equation 1.

    Args:
        fake_logits: the discriminator's outputs before the sigmoid for generated images, (batch, ...).
    """
    return -_per_example_mean(tf.math.softplus(_float32(fake_logits)))


def non_saturating_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """-log s(D(fake)), with s the sigmoid (TF-GAN's `modified_generator_loss`).

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", section 3.

    Args:
        fake_logits: the discriminator's outputs before the sigmoid for generated images, (batch, ...).
    """
    return _per_example_mean(tf.math.softplus(-_float32(fake_logits)))


def hinge_discriminator_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)); the generator minimizes `wasserstein_generator_loss`.

    Source: Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral Normalization for GANs", equation 16.

    Args:
        real_scores: the discriminator's unbounded outputs, (batch, ...); a map of scores counts by the mean of its
            losses.
        fake_scores: the same for generated images, same batch.
    """
    on_real = tf.nn.relu(1.0 - _float32(real_scores))
    return _per_example_mean(on_real) + _per_example_mean(tf.nn.relu(1.0 + _float32(fake_scores)))


def l1_mean(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """|first - second| averaged over the entries of an example.

    Args:
        first: (batch, ...).
        second: same shape.
    """
    return _per_example_mean(tf.abs(_float32(first) - _float32(second)))


def l1_sum(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """|first - second| summed over the entries of an example: the L1 norm as the papers print it.

    Args:
        first: (batch, ...).
        second: same shape.
    """
    difference = tf.abs(_float32(first) - _float32(second))
    return tf.reduce_sum(tf.reshape(difference, [tf.shape(difference)[0], -1]), axis=-1)


def l1_distance(first: tf.Tensor, second: tf.Tensor, norm: str) -> tf.Tensor:
    """The L1 norm of a difference where a paper leaves open whether it is a mean or a sum over entries.

    Args:
        first: (batch, ...).
        second: same shape.
        norm: "mean" or "sum".
    """
    return (l1_mean if norm == "mean" else l1_sum)(first, second)


def smooth_labels(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """(1 - smoothing) y + smoothing / K: target distributions with label smoothing.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture"; equation 6 of "Geometry Guided
    Pose-Invariant Facial Expression Recognition".

    Args:
        labels: class numbers, an integer tensor (batch,), or distributions, a float tensor (batch, K).
        classes: K.
        smoothing: in [0, 1].

    Returns:
        float32 (batch, K). The row of a class number outside [0, K) is NaN, so that a wrong label stops a training
        instead of passing as a loss of zero.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer:
        known = (labels >= 0) & (labels < classes)
        labels = tf.where(known[..., None], tf.one_hot(labels, classes), float("nan"))
    return _float32(labels) * (1.0 - smoothing) + smoothing / classes


def cross_entropy_from_logits(labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """-sum over k of y_k log softmax(logits)_k.

    Args:
        labels: class numbers, an integer tensor (batch,), or distributions, a float tensor (batch, K). The uniform
            distribution makes it the confusion loss of "Disentangling Identity and Pose for Facial Expression
            Recognition", equation 4.
        logits: (batch, K).
        smoothing: as in `smooth_labels`.
    """
    logits = _float32(logits)
    targets = smooth_labels(labels, logits.shape[-1], smoothing)
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def cross_entropy_from_probabilities(
    labels: tf.Tensor, probabilities: tf.Tensor, smoothing: float = 0.0, epsilon: float = 1e-12
) -> tf.Tensor:
    """-sum over k of y_k log p_k.

    Prefer `cross_entropy_from_logits` where logits are at hand: a probability below `epsilon` counts as `epsilon` and
    passes no gradient.

    Args:
        labels: class numbers, an integer tensor (batch,), or distributions, a float tensor (batch, K).
        probabilities: (batch, K), rows that add up to 1.
        smoothing: as in `smooth_labels`.
        epsilon: the smallest probability.
    """
    probabilities = _float32(probabilities)
    targets = smooth_labels(labels, probabilities.shape[-1], smoothing)
    return -tf.reduce_sum(targets * tf.math.log(tf.maximum(probabilities, epsilon)), axis=-1)


def hits(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 where the most probable class is the right one, else 0.

    Args:
        labels: distributions, (batch, K).
        logits: (batch, K).
    """
    return _float32(tf.equal(tf.argmax(labels, -1), tf.argmax(logits, -1)))


def absolute_cosine(first: tf.Tensor, second: tf.Tensor, epsilon: float = 1e-12) -> tf.Tensor:
    """|a . b| / (|a| |b|): zero where two codes are orthogonal, one where they are parallel or opposed.

    Source: equation 3 of "Disentangling Identity and Pose for Facial Expression Recognition".

    Args:
        first: (batch, width).
        second: same shape.
        epsilon: as in `safe_norm`; a zero vector gives a loss of zero.
    """
    first, second = _float32(first), _float32(second)
    norms = safe_norm(first, epsilon=epsilon) * safe_norm(second, epsilon=epsilon)
    return tf.abs(tf.reduce_sum(first * second, axis=-1)) / norms


def safe_norm(values: tf.Tensor, axis: int = -1, epsilon: float = 1e-12) -> tf.Tensor:
    """sqrt(sum of squares + epsilon): the L2 norm with a finite gradient at zero (`tf.norm` gives NaN there).

    Args:
        values: any shape.
        axis: the axis that is summed over.
        epsilon: at least about 1e-30, so that its root is a normal float32.

    Returns:
        float32, the shape of `values` without `axis`.
    """
    return tf.sqrt(tf.reduce_sum(tf.square(_float32(values)), axis=axis) + epsilon)


def _float32(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)


def _per_example_mean(values: tf.Tensor) -> tf.Tensor:
    """Mean over all axes but the first, float32 (batch,)."""
    values = _float32(values)
    return tf.reduce_mean(tf.reshape(values, [tf.shape(values)[0], -1]), axis=-1)


def told_by_length(prior: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """Share of draws from a prior and of codes that the middle between their mean squared lengths tells apart, ().

    0.5 where codes are as long as the prior's draws, 1 where the longest of one are shorter than the shortest of the
    other: a discriminator of codes that is at chance then has not kept up.

    Args:
        prior: draws, (n, d).
        codes: (m, d).
    """
    lengths = [tf.reduce_sum(tf.square(_float32(values)), -1) for values in (prior, codes)]
    drawn, coded = (tf.reduce_mean(values) for values in lengths)
    middle, sign = (drawn + coded) / 2, tf.where(drawn > coded, 1.0, -1.0)
    right = [tf.cast(sign * (values - middle) * side > 0, tf.float32) for values, side in zip(lengths, (1.0, -1.0))]
    return tf.add_n([tf.reduce_mean(values) for values in right]) / 2

"""A temperature for each face: answers on faces that say little are less sure.

One temperature for all faces makes the answers' certainty right on average. On a blurred, covered or turned face, and
on what is no face, the networks stay as sure as on a good one. Here the logits are multiplied by a factor in (0, 2)
that one fully-connected layer makes of the features (after Joy et al., "Sample-Dependent Adaptive Temperature Scaling
for Improved Calibration", AAAI 2023). The factor is one for all classes, so the answer stays the same and only its
probability changes. It is fitted when the recognizer is done, on faces that were spoiled in known ways.
"""

from __future__ import annotations

import keras
import numpy as np

__all__ = ["build_certainty", "fit_certainty", "sure"]


def build_certainty(features: keras.KerasTensor) -> keras.Model:
    """Features, float32 (n, d), to the factor of the logits, float32 (n, 1) in (0, 2); 1 before it is fitted."""
    share = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", dtype="float32", name="certainty")(features)
    factor = keras.layers.Rescaling(2.0, dtype="float32", name="certainty_factor")(share)
    network = keras.Model(features, factor, name="certainty")
    network.trainable = False
    return network


def sure(logits: keras.KerasTensor, certainty: keras.Model) -> keras.KerasTensor:
    """Logits (n, K), multiplied by the factor that `build_certainty` makes of the features in the same graph."""
    # A model of an inner tensor has its own copy of the graph; its layers' outputs are of the graph it was built on.
    return keras.layers.Multiply(dtype="float32", name="sure_logits")([logits, certainty.layers[-1].output])


def fit_certainty(
    features: np.ndarray, logits: np.ndarray, targets: np.ndarray, penalty: float = 1e-2
) -> tuple[np.ndarray, np.ndarray]:
    """The layer's weights that make the logits' cross-entropy least.

    Args:
        features: float (n, d).
        logits: float (n, K), with the temperature that is the same for all faces, if there is one, taken out.
        targets: float (n, K), what the answers are to be: distributions over the classes.
        penalty: of the squares of the kernel for features of deviation 1.

    Returns:
        float32 kernel (d, 1) and bias (1,).
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_softmax, softmax

    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64) + 1e-6
    seen = (features - mean) / deviation
    logits = logits.astype(np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        share = expit(seen @ weights[:-1] + weights[-1])
        scaled = 2 * share[:, None] * logits
        value = -(targets * log_softmax(scaled, 1)).sum(1).mean() + penalty * (weights[:-1] ** 2).sum()
        by_factor = ((softmax(scaled, 1) - targets) * logits).sum(1)
        by_sum = by_factor * 2 * share * (1 - share) / len(seen)
        return value, np.append(by_sum @ seen + 2 * penalty * weights[:-1], by_sum.sum())

    found = minimize(loss, np.zeros(seen.shape[1] + 1), jac=True, method="L-BFGS-B").x
    kernel = found[:-1] / deviation
    return kernel[:, None].astype(np.float32), np.array([found[-1] - mean @ kernel], np.float32)

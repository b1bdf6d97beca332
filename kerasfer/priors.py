"""Class priors: a recognizer's answers, adjusted to how frequent the expressions are where it is used.

A recognizer learns how frequent its classes were in training, and answers rare ones too rarely elsewhere. Logit
adjustment (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 4) takes that out again:
p'(y) is in proportion to p(y) * target(y) / training(y).

Numpy only, so that `kerasfer.lite` can use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["FERPLUS_SHARES", "PRIORS", "Prior", "PriorError", "adjusted", "prior_weights", "training_shares"]

Prior = str | Mapping[str, float]
"""A key of `PRIORS`, or the name of every class -> how frequent it is, in any unit."""

PRIORS = ("balanced", "ferplus")
"""Priors by name: every class as frequent as the others; as frequent as in FER+'s train part."""

_FERPLUS_FACES = {
    "neutral": 8740,
    "happiness": 7287,
    "surprise": 3149,
    "sadness": 3014,
    "anger": 2100,
    "disgust": 119,
    "fear": 532,
    "contempt": 119,
}
FERPLUS_SHARES: dict[str, float] = {label: faces / 25060 for label, faces in _FERPLUS_FACES.items()}
"""Shares of the 25,060 faces of FER+'s train part by majority label. Models of these eight classes that do not say what
they were trained on are taken to have been trained on them, as the bundled ones were."""

_SMALLEST = 1e-12


class PriorError(ValueError):
    """A prior is not known or not of the model's classes, or the model does not say what it was trained on."""


def training_shares(labels: Sequence[str], stored: Sequence[float] | None = None) -> np.ndarray:
    """Shares of the classes in what a model was trained on.

    Args:
        labels: names of the K classes, in the model's order.
        stored: shares that stand with the model, in the same order; none if there are none.

    Returns:
        float64 (K,), adds up to 1.

    Raises:
        PriorError: there are none, and the classes are not FER+'s eight; or they are not K shares.
    """
    if stored is None or not len(stored):
        if set(labels) != set(FERPLUS_SHARES):
            raise PriorError(
                f"this model of {', '.join(labels)} does not say how frequent its classes were in training, so that no "
                "prior can take the place of that; train it anew, or set training_prior in its config"
            )
        stored = [FERPLUS_SHARES[label] for label in labels]
    return _normalized(stored, len(labels), "training_prior")


def prior_weights(
    prior: Prior | None, labels: Sequence[str], stored: Sequence[float] | None = None
) -> np.ndarray | None:
    """What probabilities are to be multiplied by.

    Args:
        prior: how frequent the classes are to count as: one of `PRIORS`, or a number for the name of every class, in
            any unit; None leaves the answers as they are.
        labels: names of the K classes, in the model's order.
        stored: as for `training_shares`.

    Returns:
        float64 (K,), target share by training share, 0 for a class that the model never saw; None if `prior` is.

    Raises:
        PriorError: the prior is not known or does not name every class once; or as `training_shares`.
    """
    if prior is None:
        return None
    if isinstance(prior, str):
        if prior not in PRIORS:
            raise PriorError(f"prior is {' or '.join(PRIORS)} or a share for every class, not {prior!r}")
        if prior == "balanced":
            target = np.full(len(labels), 1 / len(labels))
        elif set(labels) <= set(FERPLUS_SHARES):
            target = _normalized([FERPLUS_SHARES[label] for label in labels], len(labels), "ferplus")
        else:
            raise PriorError(f"prior 'ferplus' has shares of {', '.join(FERPLUS_SHARES)}, not of {', '.join(labels)}")
    else:
        if not isinstance(prior, Mapping) or set(prior) != set(labels):
            named = ", ".join(map(str, prior)) if isinstance(prior, Mapping) else repr(prior)
            raise PriorError(f"a prior names every class of the model: {', '.join(labels)}; got {named}")
        target = _normalized([prior[label] for label in labels], len(labels), "prior")
    training = training_shares(labels, stored)
    return np.divide(target, training, out=np.zeros_like(target), where=training > 0)


def _normalized(shares: Sequence[float], count: int, what: str) -> np.ndarray:
    try:
        values = np.array([float(share) for share in shares])
    except (TypeError, ValueError) as error:
        raise PriorError(f"{what}: shares are numbers, got {list(shares)!r}") from error
    if values.shape != (count,) or not np.isfinite(values).all() or (values < 0).any() or not math.fsum(values) > 0:
        raise PriorError(f"{what}: {count} shares of at least 0, not all 0, are needed; got {values.tolist()}")
    return values / values.sum()


def adjusted(probabilities: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Probabilities under another prior.

    Args:
        probabilities: float (..., K), as the model gives them.
        weights: float64 (K,), as `prior_weights` gives them; None changes nothing.

    Returns:
        (..., K) of the same type; each row adds up to 1.
    """
    if weights is None:
        return probabilities
    probabilities = np.asarray(probabilities)
    weighted = np.maximum(probabilities, _SMALLEST) * weights
    return (weighted / weighted.sum(-1, keepdims=True)).astype(probabilities.dtype)

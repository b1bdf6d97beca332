"""Whether a recognizer's confidence means what it says, and the temperature that makes it so."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = [
    "Calibration",
    "calibrate",
    "calibration_bins",
    "expected_calibration_error",
    "negative_log_likelihood",
    "tempered",
]

_SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A temperature, and what it does on the faces it was found on.

    Attributes:
        temperature: what logits are to be divided by; above 1 the recognizer was too sure of itself.
        error_before, error_after: expected calibration error.
        likelihood_before, likelihood_after: mean negative log likelihood of the true class.
        n: number of faces.
    """

    temperature: float
    error_before: float
    error_after: float
    likelihood_before: float
    likelihood_after: float
    n: int

    def __str__(self) -> str:
        return (
            f"temperature {self.temperature:.3f} on {self.n} faces: calibration error {self.error_before:.4f} -> "
            f"{self.error_after:.4f}, negative log likelihood {self.likelihood_before:.4f} -> "
            f"{self.likelihood_after:.4f}"
        )


def expected_calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by the bins' sizes.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.

    Args:
        probabilities: float (n, K), rows that add up to 1.
        true: int (n,), the right class of each.
        bins: number of bins of the confidence, which is the largest probability.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    members, gaps = calibration_bins(probabilities, true, bins)
    return float(np.abs(gaps.sum(0)).sum() / members.sum())


def calibration_bins(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """What each face adds to the bins of the expected calibration error; arguments as above.

    Returns:
        float64 (n, bins): 1 in the bin of the face's confidence; and confidence less 1 if it is right, less 0 if not,
        in the same place.
    """
    probabilities, true = _checked(probabilities, true)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == true
    members = np.eye(bins)[np.minimum((confidence * bins).astype(int), bins - 1)]
    return members, members * (confidence - right)[:, None]


def negative_log_likelihood(probabilities: np.ndarray, true: np.ndarray) -> float:
    """-log of the true class's probability, mean over the rows; arguments as above."""
    probabilities, true = _checked(probabilities, true)
    return float(-np.log(np.maximum(probabilities[np.arange(len(true)), true], _SMALLEST)).mean())


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / temperature), float64 (n, K), of probabilities softmax(logits), float (n, K)."""
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def calibrate(probabilities: np.ndarray, true: np.ndarray) -> Calibration:
    """Finds the temperature at which the true classes are most likely (Guo et al. 2017, section 4.2).

    Args:
        probabilities: float (n, K), a recognizer's answers at temperature 1 on faces that it was not trained on.
        true: int (n,), the right class of each.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    from scipy.optimize import minimize_scalar

    probabilities, true = _checked(probabilities, true)
    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(tempered(probabilities, np.exp(logarithm)), true),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    temperature = float(np.exp(found.x))
    after = tempered(probabilities, temperature)
    return Calibration(
        temperature,
        expected_calibration_error(probabilities, true),
        expected_calibration_error(after, true),
        negative_log_likelihood(probabilities, true),
        negative_log_likelihood(after, true),
        len(true),
    )


def _checked(probabilities: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, true = np.asarray(probabilities, np.float64), np.asarray(true)
    if probabilities.ndim != 2 or true.shape != probabilities.shape[:1] or not len(true):
        raise ValueError(
            f"probabilities (n, K) and classes (n,) of one face or more are needed, got {probabilities.shape} and "
            f"{true.shape}"
        )
    if true.min() < 0 or true.max() >= probabilities.shape[1]:
        raise ValueError(f"classes lie in 0..{probabilities.shape[1] - 1}, got {true.min()}..{true.max()}")
    return probabilities, true

"""How far a figure may be trusted: intervals by resampling people, and tests of two models on the same faces."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from kerasfer.datasets.base import FaceTable

__all__ = ["LEVEL", "Interval", "PairedTest", "interval", "mcnemar", "paired_test", "people_of", "resampled_sums"]

LEVEL = 0.95
"""Share of the resamples that an interval covers."""

_CHUNK = 4_000_000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95 % interval; all NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float | None]:
        """Value, low and high, rounded to six places; None for NaN."""
        return [round(number, 6) if math.isfinite(number) else None for number in dataclasses.astuple(self)]

    def bounds(self) -> str:
        """The bounds of a difference of shares, in points."""
        return f"95 %: {100 * self.low:+.1f} to {100 * self.high:+.1f} points"

    def __str__(self) -> str:
        """In per cent."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def people_of(table: FaceTable) -> tuple[np.ndarray, int]:
    """The unit that each face is drawn with: its person, or itself where the person is not known.

    Returns:
        int (n,), numbers from 0 on without a gap; and how many people are known.
    """
    names = table["identity"] if "identity" in table else np.full(len(table), "", np.str_)
    known, numbers = np.unique(names, return_inverse=True)
    numbers = numbers.reshape(-1).astype(np.int64)
    nameless = np.flatnonzero(names == "")
    numbers[nameless] = len(known) + np.arange(len(nameless))
    return np.unique(numbers, return_inverse=True)[1].reshape(-1), int((known != "").sum())


def resampled_sums(values: np.ndarray, units: np.ndarray, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """Column sums over bootstrap resamples: as many units as there are, drawn with replacement, each with all its rows.

    Args:
        values: float (n, C), a row for each face.
        units: int (n,), from 0 on without a gap, as `people_of` gives them.
        resamples: how many to draw.
        seed: of the draws.

    Returns:
        float64 (resamples, C).
    """
    count = int(units.max()) + 1
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, units, values)
    generator = np.random.default_rng(seed)
    parts = []
    step = max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(count, size=(rows, count))
        weights = np.bincount((drawn + count * np.arange(rows)[:, None]).ravel(), minlength=rows * count)
        parts.append(weights.reshape(rows, count) @ sums)
    return np.concatenate(parts)


def interval(value: float, resampled: np.ndarray, biased: bool = False) -> Interval:
    """A figure with the percentiles of its resamples.

    Args:
        value: the figure.
        resampled: float (B,); NaN is left out.
        biased: whether the figure is at least 0 and grows with every spread, as a calibration error does: resamples,
            which spread once more, are then too large on the whole and are moved down by as much as their mean is.
    """
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return Interval(float(value), math.nan, math.nan)
    if biased:
        resampled = np.maximum(resampled - (resampled.mean() - value), 0)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Exact two-sided p-value of McNemar's test (McNemar 1947; the binomial test of the pairs that differ).

    Args:
        first_alone, second_alone: faces that only the one and only the other model recognized.

    Returns:
        The probability, if both were equally good, of pairs at least as unequal; 1 if none differ.
    """
    from scipy.stats import binomtest

    differing = first_alone + second_alone
    return float(binomtest(first_alone, differing, 0.5).pvalue) if differing else 1.0


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """Two models on the same faces.

    Attributes:
        n: number of faces.
        first_alone, second_alone: faces that only the first and only the second model recognized.
        p_value: of McNemar's exact test. It takes faces as independent; the intervals do not.
        accuracy: of the first less that of the second, with the interval of paired resamples by person.
        mean_recall: likewise.
    """

    n: int
    first_alone: int
    second_alone: int
    p_value: float
    accuracy: Interval
    mean_recall: Interval

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            "n": self.n,
            "first_alone": self.first_alone,
            "second_alone": self.second_alone,
            "mcnemar_p": self.p_value,
            "mean_recall_difference": self.mean_recall.to_json(),
            "accuracy_difference": self.accuracy.to_json(),
        }

    def __str__(self) -> str:
        return (
            f"mean recall {_signed(self.mean_recall)}, accuracy {_signed(self.accuracy)}; right alone "
            f"{self.first_alone} and {self.second_alone} of {self.n}, McNemar p = {self.p_value:.2g}"
        )


def _signed(difference: Interval) -> str:
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def paired_test(
    true: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    units: np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedTest:
    """Compares two models on the same faces.

    Args:
        true: int (n,), class of each face.
        first, second: int (n,), what the two models answered; another number than any class for none.
        units: int (n,), who is drawn together, as `people_of` gives them.
        resamples, seed: of the bootstrap.

    Raises:
        ValueError: no faces, or other shapes.
    """
    true, first, second = (np.asarray(values) for values in (true, first, second))
    if not len(true) or not true.shape == first.shape == second.shape == np.shape(units):
        raise ValueError(f"as many answers as faces are needed, got {true.shape}, {first.shape} and {second.shape}")
    right = np.stack([first == true, second == true])
    of_class = np.eye(int(true.max()) + 1)[true]
    values = np.concatenate([of_class, of_class * right[0][:, None], of_class * right[1][:, None]], axis=1)
    observed = _differences(values.sum(0, keepdims=True))
    drawn = _differences(resampled_sums(values, np.asarray(units), resamples, seed))
    alone = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return PairedTest(
        len(true),
        *alone,
        mcnemar(*alone),
        interval(observed[0][0], drawn[0]),
        interval(observed[1][0], drawn[1]),
    )


def _differences(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences of accuracy and of mean recall, float (B,) each, of faces and right answers by class, (B, 3 K)."""
    faces, first, second = np.split(sums, 3, axis=1)
    gained = first - second
    present = faces > 0
    recall = np.divide(gained, faces, out=np.zeros_like(gained), where=present)
    return gained.sum(1) / faces.sum(1), recall.sum(1) / present.sum(1)

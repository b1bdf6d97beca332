"""Curves: splines through points, and the curves of the mean face, right side of the face, in canonical millimeters."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

__all__ = [
    "BROW",
    "JAW_X",
    "JAW_Y",
    "LOWER_INNER",
    "LOWER_LID",
    "LOWER_OUTER",
    "UPPER_INNER",
    "UPPER_LID",
    "UPPER_OUTER",
    "mirrored",
    "smooth_curve",
    "whole_of",
]

JAW_X = (71.3, 70.3, 66.8, 61.3, 53.8, 44.3, 32.0, 17.5)
JAW_Y = (-1.0, -19.5, -42.5, -62.5, -79.5, -92.5, -102.5, -110.0)
BROW = ((-56.0, 19.0), (-48.0, 25.5), (-38.0, 28.0), (-27.0, 26.0), (-15.0, 21.5))
UPPER_LID = ((-46.0, 0.5), (-42.0, 3.4), (-36.5, 5.4), (-31.0, 6.1), (-25.5, 5.3), (-20.0, 2.6), (-16.0, -1.0))
LOWER_LID = ((-46.0, 0.5), (-41.5, -2.6), (-36.5, -4.2), (-31.0, -4.9), (-25.5, -4.5), (-20.5, -3.3), (-16.0, -1.0))
UPPER_OUTER = ((-25.0, -71.0), (-16.5, -66.9), (-6.5, -63.6), (0.0, -64.8))
UPPER_INNER = ((-21.5, -71.0), (-15.0, -70.4), (-9.0, -70.2), (0.0, -70.7))
LOWER_OUTER = ((-25.0, -71.0), (-17.0, -76.3), (-7.3, -80.1), (0.0, -80.8))
LOWER_INNER = ((-21.5, -71.0), (-15.0, -71.0), (-9.0, -71.1), (0.0, -71.5))


def smooth_curve(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """`count` points of the Catmull-Rom spline through some points, float64 (count, d)."""
    return _spline(len(points), count, closed) @ np.asarray(points, np.float64)


@functools.lru_cache(maxsize=64)
def _spline(number: int, count: int, closed: bool) -> np.ndarray:
    """Weights of `number` control points in `count` points of their Catmull-Rom spline, float64 (count, number)."""
    position = np.arange(count) * number / count if closed else np.linspace(0, number - 1, count)
    start = np.minimum(position.astype(int), number - (1 if closed else 2))
    t = (position - start)[:, None]
    # One more control point at either end: the next of a closed curve, else one on the straight line through the last
    unit = np.eye(number)
    if closed:
        padded = np.concatenate([unit[-1:], unit, unit[:2]])
    else:
        padded = np.concatenate([2 * unit[:1] - unit[1:2], unit, 2 * unit[-1:] - unit[-2:-1]])
    before, here, there, after = (padded[start + offset] for offset in range(4))
    return here + 0.5 * t * (
        there - before + t * (2 * before - 5 * here + 4 * there - after + t * (3 * (here - there) + after - before))
    )


def mirrored(points: np.ndarray) -> np.ndarray:
    return np.asarray(points, np.float64) * (-1.0, 1.0)


def whole_of(half: Sequence[tuple[float, float]]) -> np.ndarray:
    """The whole of a symmetric curve given from its left end to the middle."""
    left = np.asarray(half, np.float64)
    return np.concatenate([left, mirrored(left[:-1])[::-1]])

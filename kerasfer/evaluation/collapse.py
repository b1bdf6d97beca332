"""Whether a generator has collapsed: how much its faces differ from one another, and from those that it learned from.

Faces are compared as pictures of 16 x 16, by the root of their mean squared difference: that is coarse enough not to
take noise for diversity.
"""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Collapse", "CollapseError", "collapse"]

SIDE = 16


class CollapseError(ValueError):
    """There are too few faces to compare, or they are of different shapes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Collapse:
    """The outcome of `collapse`.

    Attributes:
        diversity: mean distance of two generated faces, divided by that of two real ones; 0 if all are the same.
        repeats: share of the generated faces that are nearer to another generated one than all but one in a hundred
            real faces are to another real one.
        novelty: median distance of a generated face from the nearest real one, divided by that of a real face from the
            nearest other real one; 0 if training faces are copied.
        nearest: int (n,), the real face that is nearest to each generated one.
    """

    diversity: float
    repeats: float
    novelty: float
    nearest: np.ndarray


def collapse(generated: np.ndarray, real: np.ndarray) -> Collapse:
    """Compares generated faces with real ones.

    Args:
        generated: (n, h, w, c), n >= 2.
        real: (m, h, w, c), m >= 2, in the same range.

    Raises:
        CollapseError: fewer than two faces on a side, other shapes, or real faces that are all the same.
    """
    if min(len(generated), len(real)) < 2 or np.shape(generated)[1:] != np.shape(real)[1:]:
        raise CollapseError(
            f"two or more faces of one shape are needed on each side, got {np.shape(generated)} and {np.shape(real)}"
        )
    made, true = _reduced(generated), _reduced(real)
    among_made, among_true, between = _distances(made, made), _distances(true, true), _distances(made, true)
    spreads = [_mean_of_distinct(distances) for distances in (among_made, among_true)]
    for distances in (among_made, among_true):
        np.fill_diagonal(distances, np.inf)
    usual = among_true.min(1)
    if not np.median(usual):
        raise CollapseError("most of the real faces are the same; give different ones")
    return Collapse(
        spreads[0] / spreads[1],
        float((among_made.min(1) < np.percentile(usual, 1)).mean()),
        float(np.median(between.min(1)) / np.median(usual)),
        between.argmin(1),
    )


def _reduced(faces: np.ndarray) -> np.ndarray:
    """Faces (n, h, w, c) as means over blocks, at least 16 to a side where the size allows: float64 (n, numbers)."""
    faces = np.asarray(faces, np.float64)
    block = max(min(faces.shape[1:3]) // SIDE, 1)
    height, width = (side // block for side in faces.shape[1:3])
    faces = faces[:, : height * block, : width * block]
    return faces.reshape(len(faces), height, block, width, block, -1).mean((2, 4)).reshape(len(faces), -1)


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0) / first.shape[1])


def _mean_of_distinct(distances: np.ndarray) -> float:
    count = len(distances)
    return float((distances.sum() - np.trace(distances)) / (count * (count - 1)))

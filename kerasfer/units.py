"""FACS action units of photographs: what moves, and what the expression implies.

Two things tell of a unit. Some units are movements that MediaPipe's blendshapes score: brows go up, corners of the
mouth are pulled, the jaw drops. Others leave traces that a mesh of points hardly shows, such as raised cheeks, a
wrinkled nose or tightened lips; but they come with expressions, and a recognizer sees those. For each unit both are
weighed:

    p(unit) = a * moved + (1 - a) * sum over expressions e of p(e) * [unit is of e]

where `moved` is a logistic function of a weighted sum of scores, and the expressions' units are those of
`kerasfer.expressions.EXPRESSION_ACTION_UNITS` (Alharbawee and Pugeault, Table VI) with what the FACS investigator's
guide adds for the units that the table has not. The weights were set by hand, looking at rendered faces of people that
nothing is measured on and at the CK+ crops of subjects with odd numbers.

Numpy only, so that it needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kerasfer.expressions import EXPRESSION_ACTION_UNITS, Expression, known_expression
from kerasfer.faces import BLENDSHAPES

__all__ = ["UNITS", "Evidence", "intensities", "probabilities", "sides"]

_SIDES = ("Left", "Right")

STEEPNESS, MIDDLE = 8.0, 0.35
"""Of the logistic function that makes a probability of a weighted sum of scores: at `MIDDLE` it is one half."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What tells of a unit.

    Attributes:
        name: what FACS calls it.
        moved: blendshape, without its side -> what its score is multiplied by. The products add up; what counts
            against the unit shows mostly that another one moves the same points.
        weight: a, how much the movements count beside the expression.
        also: expressions that it comes with, beside those of Table VI.
    """

    name: str
    moved: Mapping[str, float]
    weight: float
    also: tuple[Expression, ...] = ()


_E = Expression

UNITS: dict[int, Evidence] = {
    1: Evidence("inner brow raiser", {"browInnerUp": 1.5}, 0.8),
    2: Evidence("outer brow raiser", {"browOuterUp": 1.5}, 0.8),
    4: Evidence(
        "brow lowerer",
        {"browDown": 1.2, "mouthSmile": -0.7, "mouthShrugLower": 0.3, "jawOpen": -0.5, "mouthUpperUp": -0.3},
        0.5,
        (_E.FEAR, _E.DISGUST),
    ),
    5: Evidence("upper lid raiser", {"eyeWide": 5.0, "eyeSquint": -0.3, "eyeBlink": -0.3}, 0.7),
    6: Evidence("cheek raiser", {"mouthSmile": 0.7, "eyeSquint": 0.4}, 0.5),
    7: Evidence("lid tightener", {"eyeSquint": 0.6, "browDown": 0.8, "mouthSmile": -0.6}, 0.5, (_E.DISGUST,)),
    9: Evidence("nose wrinkler", {"noseSneer": 2.0, "browDown": 0.4, "mouthUpperUp": 0.4, "mouthSmile": -0.5}, 0.3),
    10: Evidence("upper lip raiser", {"mouthUpperUp": 1.2, "mouthSmile": -0.6}, 0.5, (_E.DISGUST,)),
    12: Evidence("lip corner puller", {"mouthSmile": 1.2}, 0.8),
    14: Evidence("dimpler", {"mouthDimple": 4.0, "mouthPress": 0.5, "mouthSmile": -0.4}, 0.7, (_E.CONTEMPT,)),
    15: Evidence("lip corner depressor", {"mouthFrown": 4.0}, 0.8),
    17: Evidence("chin raiser", {"mouthShrugLower": 1.2}, 0.8),
    20: Evidence("lip stretcher", {"mouthStretch": 2.0, "mouthSmile": -0.5}, 0.6, (_E.FEAR,)),
    23: Evidence(
        "lip tightener",
        {"mouthRollUpper": 1.5, "mouthRollLower": 1.0, "browDown": 0.7, "mouthSmile": -0.8, "jawOpen": -1.0},
        0.4,
    ),
    24: Evidence(
        "lip presser",
        {"mouthPress": 1.5, "mouthRollLower": 1.0, "browDown": 0.5, "mouthSmile": -0.6, "jawOpen": -1.0},
        0.4,
    ),
    25: Evidence("lips part", {"mouthLowerDown": 2.5, "mouthUpperUp": 1.2, "jawOpen": 4.0}, 0.9),
    26: Evidence("jaw drop", {"jawOpen": 3.0}, 0.9, (_E.SURPRISE,)),
    27: Evidence("mouth stretch", {"jawOpen": 1.5}, 0.9),
}
"""Number of a unit -> what tells of it."""


def _places(shape: str) -> list[int]:
    names = (shape, *(f"{shape}{side}" for side in _SIDES))
    return [BLENDSHAPES.index(name) for name in names if name in BLENDSHAPES]


def _moved(scores: np.ndarray, evidence: Evidence, side: int | None = None) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-STEEPNESS * (_summed(scores, evidence, side) - MIDDLE)))


def _summed(scores: np.ndarray, evidence: Evidence, side: int | None = None) -> np.ndarray:
    total = np.zeros(len(scores))
    for shape, factor in evidence.moved.items():
        places = _places(shape)
        places = places if side is None or len(places) == 1 else [places[side]]
        total += factor * scores[:, places].mean(1)
    return total


def _implied(unit: int, expressions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    kinds = [known_expression(label) for label in labels]
    implies = [
        float(kind is not None and (unit in EXPRESSION_ACTION_UNITS.get(kind, ()) or kind in UNITS[unit].also))
        for kind in kinds
    ]
    return np.clip(expressions @ np.array(implies), 0.0, 1.0)


def probabilities(scores: np.ndarray, expressions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """How likely each unit is in each face.

    Args:
        scores: of `kerasfer.faces.BLENDSHAPES`, float (n, 52) in [0, 1]; a row of NaN where no movement is known, which
            leaves what the expression implies.
        expressions: probabilities of the expressions, float (n, K).
        labels: names of the K expressions; those of one's own imply no unit.

    Returns:
        float64 (n, 18) in [0, 1], in the order of `UNITS`.

    Raises:
        ValueError: other shapes.
    """
    scores, expressions = np.asarray(scores, np.float64), np.asarray(expressions, np.float64)
    if scores.shape != (len(expressions), len(BLENDSHAPES)) or expressions.shape != (len(scores), len(labels)):
        raise ValueError(
            f"action units need 52 scores and {len(labels)} probabilities a face, got arrays of shape {scores.shape} "
            f"and {expressions.shape}"
        )
    known = np.isfinite(scores).all(1)
    scores = np.where(known[:, None], scores, 0.0)
    columns = []
    for unit, evidence in UNITS.items():
        weight = evidence.weight * known
        columns.append(weight * _moved(scores, evidence) + (1 - weight) * _implied(unit, expressions, labels))
    return np.stack(columns, 1)


def sides(scores: Mapping[str, float]) -> dict[int, tuple[float, float]]:
    """The movements of a unit left and right apart, where blendshapes tell them apart.

    Args:
        scores: of one face, as `kerasfer.detection.blendshapes` gives them.

    Returns:
        Number of the unit -> the person's left and right, each in [0, 1].
    """
    row = np.array([[scores[name] for name in BLENDSHAPES]], np.float64)
    return {
        unit: (float(_moved(row, evidence, 0)[0]), float(_moved(row, evidence, 1)[0]))
        for unit, evidence in UNITS.items()
        if any(len(_places(shape)) == 2 for shape in evidence.moved)
    }


def intensities(scores: Mapping[str, float]) -> dict[int, float]:
    """How strong each unit's movement is, on FACS' scale: 0 for none, then 1 (trace, A) to 5 (maximum, E).

    Args:
        scores: of one face, as `kerasfer.detection.blendshapes` gives them.

    Returns:
        Number of a unit that the movements tell more of than the expression -> intensity in [0, 5].
    """
    row = np.array([[scores[name] for name in BLENDSHAPES]], np.float64)
    return {
        unit: 5.0 * float(np.clip(_summed(row, evidence)[0], 0.0, 1.0))
        for unit, evidence in UNITS.items()
        if evidence.weight > 0.5
    }

"""FACS action units of photographs: what moves, and what the expression implies.

Two things tell of a unit. Most units are movements: MediaPipe's blendshapes score those of brows, corners of the mouth
and jaw, and distances between the points of the same network show others, such as a nose that is wrinkled or lips that
are pressed. Some leave traces that points hardly show, such as raised cheeks; but they come with expressions, and a
recognizer sees those. For each unit both are weighed:

    p(unit) = a * moved + (1 - a) * sum over expressions e of p(e) * share of people who show the unit in e

where `moved` is a logistic function of a weighted sum of scores and measures. The shares were set by hand between
those of three tables: Alharbawee and Pugeault, Table VI (`kerasfer.expressions.EXPRESSION_ACTION_UNITS`); Du, Tao and
Martinez, "Compound Facial Expressions of Emotion" (PNAS 2014), Table 1, where people's shares were counted; and the
prototypes of the FACS investigator's guide. The weights were set by hand, looking at rendered faces of people that
nothing is measured on, at the neutral faces of the London set, and at the CK+ crops of subjects with odd numbers.

Numpy only, so that it needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasfer.expressions import Expression, known_expression
from kerasfer.faces import BLENDSHAPES, DetectedFace

__all__ = [
    "MEASURES",
    "UNITS",
    "Evidence",
    "description",
    "detail_columns",
    "details",
    "intensities",
    "measured",
    "of_face",
    "probabilities",
    "sides",
]

_SIDES = ("Left", "Right")

STEEPNESS, MIDDLE = 8.0, 0.35
"""Of the logistic function that makes a probability of a weighted sum of scores: at `MIDDLE` it is one half."""

MEASURES: dict[str, tuple[float, float]] = {
    "nose": (0.420, 0.021),
    "philtrum": (0.170, 0.023),
    "lip": (-0.700, 0.042),
    "corners": (0.003, 0.013),
    "mouth": (0.570, 0.035),
    "upper": (0.103, 0.015),
    "lower": (0.117, 0.023),
}
"""What is measured between points -> mean and standard deviation of the London set's 102 neutral faces, in distances
between the outer corners of the eyes: from the inner corner of the eye to the wing of the nose (both sides' mean), from
the nose to the upper lip, the height of the upper lip's edge over the line of the eyes, of the mouth's corners over its
middle, the mouth's width, the upper and the lower lip's thickness."""

_BETWEEN: dict[str, tuple[tuple[int, int], ...]] = {
    "nose": ((133, 129), (362, 358)),
    "philtrum": ((2, 0),),
    "mouth": ((61, 291),),
    "upper": ((0, 13),),
    "lower": ((14, 17),),
}
"""Measure -> pairs of points, whose mean distance it is."""

_OVER: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "lip": ((39, 269), ()),
    "corners": ((61, 291), (13, 14)),
}
"""Measure -> points whose mean height it is, over that of others; over the line of the eyes, if there are none."""

_CORNERS, _AXIS, _EYES = (33, 263), (168, 10), (33, 133, 263, 362)
"""The outer corners of the eyes, from the person's right on; from the bridge of the nose to the forehead; the eyes."""

_FARTHEST = 3.0
"""Standard deviations beyond which a measure says no more."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What tells of a unit.

    Attributes:
        name: what FACS calls it.
        moved: blendshape, without its side -> what its score is multiplied by. The products add up; what counts
            against the unit shows mostly that another one moves the same points.
        weight: a, how much the movements count beside the expression.
        shares: expression -> share of the people who show the unit in it.
        measured: key of `MEASURES` -> what it is multiplied by, in standard deviations.
        graded: whether the sum follows the strength of the movement, from 0 at rest to 1 at most.
    """

    name: str
    moved: Mapping[str, float]
    weight: float
    shares: Mapping[Expression, float]
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
    graded: bool = False


_E = Expression

UNITS: dict[int, Evidence] = {
    1: Evidence(
        "inner brow raiser", {"browInnerUp": 1.5}, 0.5, {_E.SURPRISE: 1.0, _E.FEAR: 0.95, _E.SADNESS: 0.8}, graded=True
    ),
    2: Evidence("outer brow raiser", {"browOuterUp": 1.5}, 0.5, {_E.SURPRISE: 1.0, _E.FEAR: 0.75}, graded=True),
    4: Evidence(
        "brow lowerer",
        {"browDown": 1.2, "mouthSmile": -0.7, "mouthShrugLower": 0.3, "jawOpen": -0.5, "mouthUpperUp": -0.3},
        0.5,
        {_E.ANGER: 0.95, _E.SADNESS: 0.9, _E.FEAR: 0.6, _E.DISGUST: 0.4},
    ),
    5: Evidence(
        "upper lid raiser",
        {"eyeWide": 5.0, "eyeSquint": -0.3, "eyeBlink": -0.3},
        0.7,
        {_E.SURPRISE: 0.8, _E.FEAR: 0.8, _E.ANGER: 0.4},
        graded=True,
    ),
    6: Evidence(
        "cheek raiser", {"mouthSmile": 0.7, "eyeSquint": 0.4}, 0.5, {_E.HAPPINESS: 0.75, _E.SADNESS: 0.2}, graded=True
    ),
    7: Evidence(
        "lid tightener",
        {"eyeSquint": 0.6, "browDown": 0.8, "mouthSmile": -0.6},
        0.7,
        {_E.ANGER: 0.95, _E.DISGUST: 0.5, _E.FEAR: 0.2},
    ),
    9: Evidence(
        "nose wrinkler",
        {"browDown": 0.3, "eyeSquint": 0.4, "mouthSmile": -0.7},
        0.5,
        {_E.DISGUST: 0.95},
        {"nose": -0.18, "philtrum": -0.09},
    ),
    10: Evidence(
        "upper lip raiser",
        {"mouthUpperUp": 0.1, "mouthSmile": -0.5},
        0.5,
        {_E.DISGUST: 0.8, _E.ANGER: 0.2},
        {"lip": 0.2},
    ),
    12: Evidence("lip corner puller", {"mouthSmile": 1.2}, 0.7, {_E.HAPPINESS: 1.0, _E.CONTEMPT: 0.5}, graded=True),
    14: Evidence(
        "dimpler",
        {
            "mouthDimple": 3.0,
            "mouthPress": 0.4,
            "mouthSmile": -1.0,
            "mouthLowerDown": -0.6,
            "mouthStretch": -0.5,
            "jawOpen": -3.0,
        },
        0.6,
        {_E.CONTEMPT: 0.9},
        {"mouth": 0.15},
    ),
    15: Evidence(
        "lip corner depressor",
        {"mouthFrown": 2.0},
        0.6,
        {_E.SADNESS: 0.95, _E.DISGUST: 0.3, _E.FEAR: 0.2},
        {"corners": -0.2},
    ),
    17: Evidence(
        "chin raiser", {"mouthShrugLower": 1.2}, 0.5, {_E.SADNESS: 0.8, _E.ANGER: 0.7, _E.DISGUST: 0.7}, graded=True
    ),
    20: Evidence("lip stretcher", {"mouthStretch": 2.0, "mouthSmile": -0.5}, 0.5, {_E.FEAR: 0.9}, graded=True),
    23: Evidence(
        "lip tightener",
        {"mouthRollUpper": 1.5, "mouthRollLower": 1.0, "browDown": 0.7, "mouthSmile": -0.8, "jawOpen": -1.0},
        0.6,
        {_E.ANGER: 0.7, _E.DISGUST: 0.1},
        {"upper": -0.1, "lower": -0.1},
    ),
    24: Evidence(
        "lip presser",
        {"mouthPress": 1.5, "mouthRollLower": 1.0, "browDown": 0.5, "mouthSmile": -0.6, "jawOpen": -1.0},
        0.6,
        {_E.ANGER: 0.85, _E.DISGUST: 0.15},
        {"upper": -0.05, "lower": -0.05},
    ),
    25: Evidence(
        "lips part",
        {"mouthLowerDown": 2.5, "mouthUpperUp": 1.2, "jawOpen": 4.0},
        0.8,
        {_E.HAPPINESS: 0.9, _E.SURPRISE: 0.9, _E.FEAR: 0.9, _E.DISGUST: 0.3},
        graded=True,
    ),
    26: Evidence("jaw drop", {"jawOpen": 3.0}, 0.7, {_E.SURPRISE: 0.7, _E.FEAR: 0.35}, graded=True),
    27: Evidence("mouth stretch", {"jawOpen": 1.5}, 0.7, {_E.SURPRISE: 0.8}, graded=True),
}
"""Number of a unit -> what tells of it."""


def measured(points: np.ndarray) -> np.ndarray:
    """What `MEASURES` names, of points as `kerasfer.detection.landmarker.fit` gives them.

    Args:
        points: float (n, 478, 3).

    Returns:
        float64 (n, 7), in standard deviations from the mean of neutral faces.
    """
    points = np.asarray(points, np.float64)

    def between(first: int, second: int) -> np.ndarray:
        return np.linalg.norm(points[:, first] - points[:, second], axis=1)

    right, left = _CORNERS
    unit = between(right, left)
    across = (points[:, left] - points[:, right]) / unit[:, None]
    up = points[:, _AXIS[1]] - points[:, _AXIS[0]]
    up = up - (up * across).sum(1, keepdims=True) * across
    up /= np.linalg.norm(up, axis=1, keepdims=True)

    def middle(numbers: Sequence[int]) -> np.ndarray:
        return points[:, list(numbers)].mean(1)

    values = {name: np.mean([between(*pair) for pair in pairs], 0) for name, pairs in _BETWEEN.items()}
    for name, (these, others) in _OVER.items():
        values[name] = ((middle(these) - middle(others or _EYES)) * up).sum(1)
    return np.stack([(values[name] / unit - mean) / spread for name, (mean, spread) in MEASURES.items()], 1)


def _places(shape: str) -> list[int]:
    names = (shape, *(f"{shape}{side}" for side in _SIDES))
    return [BLENDSHAPES.index(name) for name in names if name in BLENDSHAPES]


def _likely(total: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-STEEPNESS * (total - MIDDLE)))


def _summed(scores: np.ndarray, evidence: Evidence, side: int | None = None) -> np.ndarray:
    total = np.zeros(len(scores))
    for shape, factor in evidence.moved.items():
        places = _places(shape)
        places = places if side is None or len(places) == 1 else [places[side]]
        total += factor * scores[:, places].mean(1)
    return total


def _implied(unit: int, expressions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    return np.clip(expressions @ np.array(_shares(unit, labels)), 0.0, 1.0)


def _shares(unit: int, labels: Sequence[str]) -> list[float]:
    """Share of the people who show a unit in each of the expressions."""
    kinds = [known_expression(label) for label in labels]
    return [0.0 if kind is None else UNITS[unit].shares.get(kind, 0.0) for kind in kinds]


def probabilities(
    scores: np.ndarray, expressions: np.ndarray, labels: Sequence[str], measures: np.ndarray | None = None
) -> np.ndarray:
    """How likely each unit is in each face.

    Args:
        scores: of `kerasfer.faces.BLENDSHAPES`, float (n, 52) in [0, 1]; a row of NaN where no movement is known, which
            leaves what the expression implies.
        expressions: probabilities of the expressions, float (n, K).
        labels: names of the K expressions; those of one's own imply no unit.
        measures: as `measured` gives them, float (n, 7); NaN, or None for all, where they are not known, which leaves
            the scores.

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
    measures = np.zeros((len(scores), len(MEASURES))) if measures is None else np.asarray(measures, np.float64)
    if measures.shape != (len(scores), len(MEASURES)):
        raise ValueError(f"action units need {len(MEASURES)} measures a face, got an array of shape {measures.shape}")
    measures = np.clip(np.nan_to_num(measures), -_FARTHEST, _FARTHEST)
    known = np.isfinite(scores).all(1)
    scores = np.where(known[:, None], scores, 0.0)
    columns = []
    for unit, evidence in UNITS.items():
        total = _summed(scores, evidence)
        total += measures @ np.array([evidence.measured.get(name, 0.0) for name in MEASURES])
        weight = evidence.weight * known
        columns.append(weight * _likely(total) + (1 - weight) * _implied(unit, expressions, labels))
    return np.stack(columns, 1)


def of_face(
    face: DetectedFace, expressions: np.ndarray, labels: Sequence[str]
) -> tuple[dict[int, float], dict[str, float] | None]:
    """The units of one face.

    Args:
        face: with its blendshapes and measures, as `kerasfer.detection.landmarker.with_movements` gives it; without,
            the expression alone tells.
        expressions, labels: its probabilities, float (K,), and their names.

    Returns:
        Number of each unit -> probability, and what `details` gives; None where no movement is known.
    """
    shapes = face.blendshapes
    scores = [np.nan if shapes is None else shapes[name] for name in BLENDSHAPES]
    measures = None if face.measures is None else np.array([face.measures])
    (row,) = probabilities(np.array([scores]), expressions[None], labels, measures)
    return dict(zip(UNITS, row.tolist())), None if shapes is None else details(shapes)


def sides(scores: Mapping[str, float]) -> dict[int, tuple[float, float]]:
    """The movements of a unit left and right apart, where blendshapes tell them apart.

    Args:
        scores: of one face, as `kerasfer.detection.blendshapes` gives them.

    Returns:
        Number of the unit -> the person's left and right, each in [0, 1].
    """
    row = np.array([[scores[name] for name in BLENDSHAPES]], np.float64)
    return {
        unit: (float(_likely(_summed(row, evidence, 0))[0]), float(_likely(_summed(row, evidence, 1))[0]))
        for unit, evidence in UNITS.items()
        if _is_sided(evidence)
    }


def _is_sided(evidence: Evidence) -> bool:
    """Whether sides are told: those of a unit that measures tell of too, blendshapes alone do not."""
    return not evidence.measured and any(len(_places(shape)) == 2 for shape in evidence.moved)


def intensities(scores: Mapping[str, float]) -> dict[int, float]:
    """How strong each unit's movement is, on FACS' scale: 0 for none, then 1 (trace, A) to 5 (maximum, E).

    Args:
        scores: of one face, as `kerasfer.detection.blendshapes` gives them.

    Returns:
        Number of a unit whose movement blendshapes follow (`Evidence.graded`) -> intensity in [0, 5].
    """
    row = np.array([[scores[name] for name in BLENDSHAPES]], np.float64)
    return {
        unit: 5.0 * float(np.clip(_summed(row, evidence)[0], 0.0, 1.0))
        for unit, evidence in UNITS.items()
        if evidence.graded
    }


def details(scores: Mapping[str, float]) -> dict[str, float]:
    """Intensities and sides of one face by column: "AU12_intensity" in [0, 5], "AU12_left", "AU12_right" in [0, 1]."""
    left_and_right = sides(scores)
    return {
        **{f"AU{unit}_intensity": value for unit, value in intensities(scores).items()},
        **{f"AU{unit}_left": left for unit, (left, _) in left_and_right.items()},
        **{f"AU{unit}_right": right for unit, (_, right) in left_and_right.items()},
    }


def detail_columns(numbers: Sequence[int]) -> list[str]:
    """The names that `details` gives, where units of these numbers go by movements; none of a model's machines."""
    return list(details(dict.fromkeys(BLENDSHAPES, 0.0))) if tuple(numbers) == tuple(UNITS) else []


def description(labels: Sequence[str]) -> dict[str, Any]:
    """All that `measured`, `probabilities`, `sides` and `intensities` go by, for programs in other languages.

    Args:
        labels: names of the expressions, in the order of their probabilities.

    Returns:
        Plain numbers, strings and lists: "blendshapes", the names of the 52 scores in order; "steepness" and "middle"
        of the logistic function; "corners" and "axis", the points that a face is measured by; "farthest", the
        standard deviations that measures are cut to; "measures", one entry each with "mean", "spread" and either
        "between", pairs of points, or "these" and "others", whose heights are compared; "units", one entry each in the
        order of `UNITS`: "number", "name", "weight" of the movements, "moved" with the places of blendshapes (one, or
        the person's left and right) and the factor of their mean, "measured" with a factor for each measure, "shares"
        of the people who show it in each of the labels, "sides" and "intensity", whether these are told.
    """
    measures = []
    for name, (mean, spread) in MEASURES.items():
        these, others = _OVER.get(name, ((), ()))
        places: dict[str, list[Any]] = {"between": [list(pair) for pair in _BETWEEN.get(name, ())]}
        places |= {"these": list(these), "others": list(others or (_EYES if these else ()))}
        measures.append({"name": name, "mean": mean, "spread": spread, **places})
    entries = [
        {
            "number": unit,
            "name": evidence.name,
            "weight": evidence.weight,
            "moved": [{"places": _places(shape), "factor": factor} for shape, factor in evidence.moved.items()],
            "measured": [evidence.measured.get(name, 0.0) for name in MEASURES],
            "shares": _shares(unit, labels),
            "sides": _is_sided(evidence),
            "intensity": evidence.graded,
        }
        for unit, evidence in UNITS.items()
    ]
    return {
        "blendshapes": list(BLENDSHAPES),
        "steepness": STEEPNESS,
        "middle": MIDDLE,
        "corners": list(_CORNERS),
        "axis": list(_AXIS),
        "farthest": _FARTHEST,
        "measures": measures,
        "units": entries,
    }

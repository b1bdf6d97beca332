"""Expressions as movements: what the scores of MediaPipe's blendshapes say of a face's expression.

Photographs taken in the street hold many smiles and little of what actors pose when they are asked for anger, fear or
disgust. What such faces look like is known all the same: FACS describes every expression by action units (Ekman,
Friesen and Hager, "Facial Action Coding System: Investigator's Guide", 2002, the table of prototypes and variants), and
the blendshapes follow the units. `prototypes` composes such faces from real neutral ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasfer.faces import BLENDSHAPES, MIRRORED_BLENDSHAPES

__all__ = ["MOVED", "POSED", "fit_expert", "logits_of", "prototypes"]

_SIDES = ("Left", "Right")

MOVED: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 0.8, "browDown": -0.5},
    2: {"browOuterUp": 0.8, "browDown": -0.7},
    4: {
        **{"browDown": 0.7, "browInnerUp": -1.6, "browOuterUp": -1.6, "eyeSquint": 0.3, "eyeBlink": 0.12},
        **{"mouthPucker": -0.5},
    },
    5: {"eyeWide": 0.1},
    6: {"eyeSquint": 0.4, "eyeBlink": 0.1},
    7: {"eyeSquint": 0.5, "eyeBlink": 0.15},
    9: {
        **{"browDown": 0.6, "browInnerUp": -1.2, "browOuterUp": -1.2, "eyeSquint": 0.45, "eyeBlink": 0.3},
        **{"mouthUpperUp": 0.12, "mouthShrugUpper": 0.1},
    },
    10: {"mouthUpperUp": 0.5},
    12: {"mouthSmile": 0.9},
    14: {"mouthDimple": 0.15, "mouthPress": 0.15, "mouthSmile": 0.1},
    15: {"mouthFrown": 0.3, "mouthSmile": -0.9, "mouthShrugLower": 0.2},
    16: {"mouthLowerDown": 0.4},
    17: {"mouthShrugLower": 0.25, "mouthShrugUpper": 0.08},
    20: {"mouthStretch": 0.5, "mouthLowerDown": 0.3, "mouthUpperUp": 0.2, "mouthSmile": 0.15},
    23: {"mouthPress": 0.04, "mouthRollUpper": 0.03},
    24: {"mouthPress": 0.08, "mouthRollUpper": 0.03},
    25: {"mouthLowerDown": 0.3, "mouthShrugLower": -0.8, "mouthPress": -0.8},
    26: {"jawOpen": 0.25, "mouthShrugLower": -0.9},
    27: {"jawOpen": 0.75, "mouthShrugLower": -0.9},
}
"""Action unit -> what it does to blendshapes, both sides alike where there are two, at full strength: a share of the
way to 1 (positive) or to 0 (negative), beyond which it does not go. What a unit does was set by hand: by its name,
and by the scores of posed faces of the CK+ crops whose subjects have odd numbers."""

_BROWS_OF_GRIEF = {"browDown": 0.25, "browOuterUp": -0.5}
"""What unit 4 does beside unit 1: the inner brows are up and drawn together."""

POSED: dict[str, tuple[tuple[int, ...], ...]] = {
    "sadness": ((1, 4), (1, 4, 15), (1, 4, 15, 17), (1, 15, 17), (4, 15, 17), (15, 17), (1, 4, 17)),
    "anger": (
        *((4, 5, 7, 23), (4, 7), (4, 5, 7, 24), (4, 7, 17, 24), (4, 7, 23), (4, 5), (4, 7, 17, 23, 24), (4, 24)),
        *((4, 5, 7, 25), (4, 7, 10, 25, 26)),
    ),
    "disgust": ((9,), (9, 17), (9, 10), (9, 10, 17), (9, 16, 25), (10, 25), (9, 25), (4, 7, 9, 10), (10, 17)),
    "fear": (
        *((1, 2, 4, 5, 20, 25), (1, 2, 4, 5, 25), (1, 4, 5, 20, 25), (1, 2, 5, 20, 25, 26), (1, 4, 20, 25)),
        *((1, 2, 4, 5, 26), (4, 5, 20, 25)),
    ),
    "contempt": ((12,), (14,)),
}
"""Expression -> action units of its prototype and variants, those that street photographs hardly show. Contempt is of
one side."""

_LEAST = 0.002


def logits_of(scores: np.ndarray) -> np.ndarray:
    """Scores in [0, 1] as logits, at most 6.2 from 0, float32 of the same shape."""
    clipped = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.log(clipped / (1 - clipped)).astype(np.float32)


def _places(name: str) -> list[int]:
    return [BLENDSHAPES.index(side) for side in (name, *(name + end for end in _SIDES)) if side in BLENDSHAPES]


def _composed(neutral: np.ndarray, units: Sequence[int], one_sided: bool, generator: np.random.Generator) -> np.ndarray:
    scores, strength = neutral.copy(), generator.uniform(0.35, 1)
    side = int(generator.integers(2))
    for unit in units:
        moved = _BROWS_OF_GRIEF if unit == 4 and 1 in units else MOVED[unit]
        here = np.clip(strength + generator.normal(0, 0.15), 0.15, 1)
        for name, share in moved.items():
            places = _places(name)
            way = min(here * abs(share) * generator.uniform(0.6, 1.3), 1)
            for place in [places[side]] if one_sided and len(places) == 2 else places:
                scores[place] += way * ((1 - scores[place]) if share > 0 else -scores[place])
    return scores


def prototypes(expression: str, neutral: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Movements of faces that pose an expression, composed of real neutral faces and action units.

    Args:
        expression: one of `POSED`.
        neutral: scores of neutral faces, float (n, 52) in [0, 1].
        count: how many.
        seed: of all that is drawn: the face, which of the expression's sets of units, and how strong each is.

    Returns:
        float32 (count, 52) in [0, 1].
    """
    generator = np.random.default_rng([seed, *expression.encode()])
    faces = neutral[generator.integers(len(neutral), size=count)]
    sets = POSED[expression]
    rows = [_composed(face, sets[generator.integers(len(sets))], expression == "contempt", generator) for face in faces]
    return np.array(rows, np.float32).reshape(-1, len(BLENDSHAPES))


def fit_expert(
    scores: np.ndarray,
    labels: np.ndarray,
    expressions: Sequence[str],
    hidden: int,
    seed: int = 0,
    faces: int = 3000,
    posed_share: float = 0.7,
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Learns to tell expressions by movements: logits of the scores to logits of the expressions, by one hidden layer.

    Every expression is learned from as many faces: those of the training set (at most half of an expression's votes on
    others), mirrored half of the time, and, of the expressions in `POSED`, prototypes.

    Args:
        scores: float (n, 52) in [0, 1].
        labels: float (n, K), distributions over the expressions.
        expressions: names of the K expressions.
        hidden: units of the hidden layer, with ReLU.
        seed: of all that is drawn.
        faces: how many of each expression.
        posed_share: of them prototypes, where there are.

    Returns:
        Kernel and bias of both layers, float32: (52, hidden), (hidden,), (hidden, K), (K,). An expression without faces
        or prototypes gets a bias of -20.
    """
    from sklearn.neural_network import MLPClassifier

    generator = np.random.default_rng([seed, 52])
    codes = np.where(labels.max(1) > 0.5, labels.argmax(1), -1)
    neutral = scores[codes == expressions.index("neutral")] if "neutral" in expressions else scores[:0]
    rows, targets = [], []
    for code, name in enumerate(expressions):
        real = np.flatnonzero(codes == code)
        posed = round(faces * posed_share) if name in POSED and len(neutral) else 0
        drawn = scores[generator.choice(real, faces - posed)] if len(real) else scores[:0]
        made = prototypes(name, neutral, posed, seed) if posed else scores[:0]
        rows += [drawn, made]
        targets += [code] * (len(drawn) + len(made))
    every, targets = np.concatenate(rows), np.array(targets)
    mirrored = generator.random(len(every)) < 0.5
    every[mirrored] = every[mirrored][:, list(MIRRORED_BLENDSHAPES)]
    inputs = logits_of(every) * generator.uniform(0.6, 1, (len(every), 1)) + generator.normal(0, 0.6, every.shape)
    machine = MLPClassifier((hidden,), alpha=0.3, max_iter=40, early_stopping=True, random_state=seed)
    machine.fit(inputs, targets)
    kernel, bias = np.zeros((hidden, len(expressions)), np.float32), np.full(len(expressions), -20, np.float32)
    kernel[:, machine.classes_], bias[machine.classes_] = machine.coefs_[1], machine.intercepts_[1]
    first = (machine.coefs_[0].astype(np.float32), machine.intercepts_[0].astype(np.float32))
    return first, (kernel, bias)

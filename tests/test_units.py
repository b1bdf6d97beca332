"""Action units by movements: what is weighed, on faces of which all is known."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer import units
from kerasfer.faces import BLENDSHAPES

LABELS = ("neutral", "happiness", "surprise", "anger", "my own")
NUMBERS = list(units.UNITS)


def scores_of(**shown: float) -> np.ndarray:
    row = np.zeros((1, len(BLENDSHAPES)))
    for name, value in shown.items():
        for place in (name, f"{name}Left", f"{name}Right"):
            if place in BLENDSHAPES:
                row[0, BLENDSHAPES.index(place)] = value
    return row


def answer(scores: np.ndarray, **shares: float) -> dict[int, float]:
    expressions = np.array([[shares.get(label, 0.0) for label in LABELS]])
    return dict(zip(NUMBERS, units.probabilities(scores, expressions, LABELS)[0]))


def test_a_movement_and_what_is_implied_are_weighed():
    evidence = units.UNITS[12]
    moved = 1 / (1 + np.exp(-units.STEEPNESS * (0.6 * evidence.moved["mouthSmile"] - units.MIDDLE)))
    found = answer(scores_of(mouthSmile=0.6), happiness=0.5, neutral=0.5)
    assert found[12] == pytest.approx(evidence.weight * moved + (1 - evidence.weight) * 0.5)
    assert found[1] < 0.06 and found[27] < 0.06


def test_movements_show_in_their_units():
    for shape, unit in {
        "browInnerUp": 1,
        "browOuterUp": 2,
        "browDown": 4,
        "eyeWide": 5,
        "mouthSmile": 12,
        "mouthFrown": 15,
        "mouthShrugLower": 17,
        "mouthStretch": 20,
        "jawOpen": 27,
    }.items():
        weak, strong = (answer(scores_of(**{shape: value}), neutral=1.0)[unit] for value in (0.1, 0.9))
        assert strong > weak and strong > 0.4, (shape, unit)


def test_an_expression_implies_its_units():
    """Anger tightens lips (23, 24), which points hardly show; what is one's own implies nothing."""
    angry, own = answer(scores_of(), anger=1.0), answer(scores_of(), **{"my own": 1.0})
    still = 1 / (1 + np.exp(units.STEEPNESS * units.MIDDLE))
    weight = units.UNITS[23].weight
    assert angry[23] == pytest.approx(1 - weight + weight * still) and angry[24] > 0.5 and angry[12] < 0.06
    assert max(own.values()) < 0.06


def test_without_movements_the_expression_alone_counts():
    unknown = np.full((1, len(BLENDSHAPES)), np.nan)
    found = answer(unknown, surprise=1.0)
    assert {unit for unit, value in found.items() if value} == {1, 2, 5, 25, 26, 27} and found[27] == 1.0
    assert units.probabilities(np.zeros((0, 52)), np.zeros((0, 5)), LABELS).shape == (0, len(NUMBERS))


def test_probabilities_are_probabilities():
    generator = np.random.default_rng(0)
    found = units.probabilities(generator.random((50, 52)), generator.dirichlet(np.ones(5), 50), LABELS)
    assert found.shape == (50, len(NUMBERS)) and found.min() >= 0 and found.max() <= 1
    with pytest.raises(ValueError, match="need 52 scores and 5 probabilities a face"):
        units.probabilities(np.zeros((2, 51)), np.zeros((2, 5)), LABELS)


def test_left_and_right_apart():
    row = dict.fromkeys(BLENDSHAPES, 0.0) | {"mouthSmileLeft": 0.5, "jawOpen": 0.4}
    left, right = units.sides(row)[12]
    assert left > 0.8 > 0.06 > right and 27 not in units.sides(row)


def test_intensities_are_on_facs_scale():
    row = dict.fromkeys(BLENDSHAPES, 0.0) | {"jawOpen": 2 / 3}
    found = units.intensities(row)
    assert found[27] == pytest.approx(5.0) and found[12] == 0 and 9 not in found

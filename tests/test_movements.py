"""Prototypes of posed expressions and the expert that learns from them."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer import movements
from kerasfer.faces import BLENDSHAPES, MIRRORED_BLENDSHAPES

NEUTRAL = np.random.default_rng(0).uniform(0.0, 0.15, (40, len(BLENDSHAPES)))
LEFT, RIGHT = (BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right"))


def at(scores: np.ndarray, name: str) -> np.ndarray:
    return scores[
        :, [BLENDSHAPES.index(place) for place in (name, f"{name}Left", f"{name}Right") if place in BLENDSHAPES]
    ]


def test_mirrored_movements_change_sides():
    order = list(MIRRORED_BLENDSHAPES)
    assert [order[number] for number in order] == list(range(len(BLENDSHAPES)))
    assert order[LEFT] == RIGHT and order[BLENDSHAPES.index("jawOpen")] == BLENDSHAPES.index("jawOpen")
    assert order[BLENDSHAPES.index("jawLeft")] == BLENDSHAPES.index("jawRight")


def test_prototypes_move_as_their_units_say():
    made = {name: movements.prototypes(name, NEUTRAL, 200, seed=1) for name in movements.POSED}
    for name, rows in made.items():
        assert rows.shape == (200, 52) and rows.min() >= 0 and rows.max() <= 1, name
    assert at(made["anger"], "browDown").mean() > 0.4 > 0.2 > at(made["anger"], "browOuterUp").mean()
    assert at(made["fear"], "eyeWide").mean() > at(NEUTRAL, "eyeWide").mean()
    assert at(made["fear"], "mouthStretch").mean() > 0.2 > at(made["sadness"], "mouthStretch").mean()
    assert at(made["sadness"], "browInnerUp").mean() > 0.2
    np.testing.assert_array_equal(made["fear"], movements.prototypes("fear", NEUTRAL, 200, seed=1))
    assert (made["fear"] != movements.prototypes("fear", NEUTRAL, 200, seed=2)).any()


def test_contempt_is_of_one_side():
    smiles = movements.prototypes("contempt", NEUTRAL, 200)[:, [LEFT, RIGHT]]
    moved = smiles[smiles.max(1) > 0.4]
    assert len(moved) > 40 and (moved.min(1) < 0.2).all() and 0.2 < (moved[:, 0] > moved[:, 1]).mean() < 0.8


def test_the_expert_tells_what_it_was_shown():
    """Smiles of the training set, and anger from prototypes alone; a class that nothing shows is never told."""
    generator = np.random.default_rng(3)
    smiling = np.clip(NEUTRAL[generator.integers(40, size=300)], 0, 1)
    smiling[:, [LEFT, RIGHT]] = generator.uniform(0.5, 1, (300, 2))
    neutral = NEUTRAL[generator.integers(40, size=300)]
    scores = np.concatenate([neutral, smiling])
    names = ("neutral", "happiness", "anger", "my own")
    labels = np.eye(4)[[0] * 300 + [1] * 300]
    (kernel, bias), (last, offset) = movements.fit_expert(scores, labels, names, hidden=16, seed=0, faces=300)
    assert kernel.shape == (52, 16) and last.shape == (16, 4) and offset.shape == (4,)

    def told(rows: np.ndarray) -> np.ndarray:
        return (np.maximum(movements.logits_of(rows) @ kernel + bias, 0) @ last + offset).argmax(1)

    assert (told(neutral) == 0).mean() > 0.8 and (told(smiling) == 1).mean() > 0.85
    angry = movements.prototypes("anger", NEUTRAL, 200, seed=9)
    assert (told(angry) == 2).mean() > 0.8 and offset[3] == -20


def test_logits_are_bounded():
    assert movements.logits_of(np.array([0.0, 0.5, 1.0])) == pytest.approx([-6.2126, 0, 6.2126], abs=1e-3)

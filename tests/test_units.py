"""Action units by movements: what is weighed, on faces of which all is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasfer import datasets, units
from kerasfer.datasets.base import DatasetError
from kerasfer.evaluation.measurements.base import Bench
from kerasfer.evaluation.measurements.units import UnitsByMachines, UnitsByMovements, area_of_shares
from kerasfer.expressions import ACTION_UNITS, Expression
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


def answer(scores: np.ndarray, measures: dict[str, float] | None = None, **shares: float) -> dict[int, float]:
    expressions = np.array([[shares.get(label, 0.0) for label in LABELS]])
    row = None if measures is None else np.array([[measures.get(name, 0.0) for name in units.MEASURES]])
    return dict(zip(NUMBERS, units.probabilities(scores, expressions, LABELS, row)[0]))


def points_of(**changes: float) -> np.ndarray:
    """Points (1, 478, 3) of a face with London's mean measures but for changes in its standard deviations, 300 pixels
    between the corners of the eyes, drawn back to front and leaning by 20 degrees."""
    value = {name: mean + spread * changes.get(name, 0.0) for name, (mean, spread) in units.MEASURES.items()}
    points = np.zeros((478, 3))

    def put(x: float, y: float, *numbers: int) -> None:
        for number, side in zip(numbers, (-1, 1)):
            points[number] = (side * x if len(numbers) == 2 else x, y, 0.02 * number / 478)
        points[list(numbers), 2] = 0.0

    put(0.5, 0.0, 33, 263)
    put(0.2, 0.0, 133, 362)
    put(0.2, -value["nose"], 129, 358)
    put(0.1, value["lip"], 39, 269)
    put(0.0, -0.1, 168)
    put(0.0, 0.6, 10)
    put(0.0, -0.75, 13)
    put(0.0, -0.77, 14)
    put(0.0, -0.75 + value["upper"], 0)
    put(0.0, -0.77 - value["lower"], 17)
    put(0.0, -0.75 + value["upper"] + value["philtrum"], 2)
    put(value["mouth"] / 2, -0.76 + value["corners"], 61, 291)
    angle = np.radians(20)
    lean = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (300 * points * (1, -1, 1) @ lean + (80, 40, 0))[None]


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
    share = units.UNITS[23].shares[Expression.ANGER]
    assert angry[23] == pytest.approx((1 - weight) * share + weight * still)
    assert angry[24] > 0.3 > 0.06 > angry[12] and max(own.values()) < 0.06


def test_without_movements_the_expression_alone_counts():
    unknown = np.full((1, len(BLENDSHAPES)), np.nan)
    found = answer(unknown, surprise=1.0)
    assert {unit for unit, value in found.items() if value} == {1, 2, 5, 25, 26, 27} and found[1] == 1.0
    assert units.probabilities(np.zeros((0, 52)), np.zeros((0, 5)), LABELS).shape == (0, len(NUMBERS))


def test_probabilities_are_probabilities():
    generator = np.random.default_rng(0)
    found = units.probabilities(generator.random((50, 52)), generator.dirichlet(np.ones(5), 50), LABELS)
    assert found.shape == (50, len(NUMBERS)) and found.min() >= 0 and found.max() <= 1
    with pytest.raises(ValueError, match="need 52 scores and 5 probabilities a face"):
        units.probabilities(np.zeros((2, 51)), np.zeros((2, 5)), LABELS)
    with pytest.raises(ValueError, match=r"need 7 measures a face, got an array of shape \(2, 6\)"):
        units.probabilities(np.zeros((2, 52)), np.zeros((2, 5)), LABELS, np.zeros((2, 6)))


def test_measures_by_hand():
    """Whatever the size of the face, where it is and how it leans."""
    assert units.measured(points_of()) == pytest.approx(np.zeros((1, 7)), abs=1e-6)
    for number, name in enumerate(units.MEASURES):
        found = units.measured(points_of(**{name: 2.0}))[0]
        assert found[number] == pytest.approx(2.0, abs=1e-6), name
        assert np.delete(found, number) == pytest.approx(0, abs=1e-6), name


def test_measures_tell_of_units_that_scores_do_not_show():
    for unit, measures in {
        9: {"nose": -2.5, "philtrum": -1.0},
        10: {"lip": 2.5},
        14: {"mouth": 2.5},
        15: {"corners": -2.5},
        23: {"upper": -2.0, "lower": -2.0},
    }.items():
        still, shown = answer(scores_of(), {}, neutral=1.0), answer(scores_of(), measures, neutral=1.0)
        assert still[unit] < 0.06 and shown[unit] > still[unit] + 0.2, unit
    far, farther = (answer(scores_of(), {"corners": value}, neutral=1.0)[15] for value in (-3.0, -300.0))
    assert far == farther


def test_unknown_measures_leave_the_scores():
    scores, share = scores_of(mouthFrown=0.3, mouthSmile=0.1), {"neutral": 0.5, "anger": 0.5}
    assert answer(scores, dict.fromkeys(units.MEASURES, np.nan), **share) == answer(scores, **share)


def test_the_description_is_all_that_another_program_needs():
    """What is told is worked out from the description alone, as those who read units.json must."""
    told = json.loads(json.dumps(units.description(LABELS)))
    generator = np.random.default_rng(1)
    points = points_of(nose=-1.5, lip=2.0, mouth=1.0, corners=-5.0)[0] + generator.normal(0, 2, (478, 3))
    scores, shares = generator.random(52), generator.dirichlet(np.ones(5))
    right, left = points[told["corners"]]
    unit = np.linalg.norm(left - right)
    across = (left - right) / unit
    up = np.subtract(*points[told["axis"][::-1]])
    up = up - up @ across * across
    up /= np.linalg.norm(up)
    measures = []
    for entry in told["measures"]:
        if entry["between"]:
            value = np.mean([np.linalg.norm(points[one] - points[other]) for one, other in entry["between"]])
        else:
            value = (points[entry["these"]].mean(0) - points[entry["others"]].mean(0)) @ up
        measures.append((value / unit - entry["mean"]) / entry["spread"])
    measures = np.clip(measures, -told["farthest"], told["farthest"])
    expected = units.probabilities(scores[None], shares[None], LABELS, units.measured(points[None]))[0]
    named = dict(zip(told["blendshapes"], scores.tolist()))
    for entry, probability in zip(told["units"], expected, strict=True):
        moved = sum(part["factor"] * scores[part["places"]].mean() for part in entry["moved"])
        likely = 1 / (1 + np.exp(-told["steepness"] * (moved + measures @ entry["measured"] - told["middle"])))
        weight, number = entry["weight"], entry["number"]
        assert weight * likely + (1 - weight) * (shares @ entry["shares"]) == pytest.approx(probability), number
        assert entry["sides"] == (number in units.sides(named))
        if entry["intensity"]:
            assert 5 * np.clip(moved, 0, 1) == pytest.approx(units.intensities(named)[number])


def test_left_and_right_apart():
    row = dict.fromkeys(BLENDSHAPES, 0.0) | {"mouthSmileLeft": 0.5, "jawOpen": 0.4}
    left, right = units.sides(row)[12]
    assert left > 0.8 > 0.06 > right and 27 not in units.sides(row)
    assert 14 not in units.sides(row), "measures tell of it too, and they have no sides"


def test_intensities_are_on_facs_scale():
    row = dict.fromkeys(BLENDSHAPES, 0.0) | {"jawOpen": 2 / 3}
    found = units.intensities(row)
    assert found[27] == pytest.approx(5.0) and found[12] == 0 and 9 not in found
    details = units.details(row | {"mouthSmileLeft": 0.5})
    assert details["AU27_intensity"] == pytest.approx(5.0) and details["AU12_intensity"] == pytest.approx(1.5)
    assert details["AU12_left"] > 0.8 > 0.06 > details["AU12_right"]
    assert units.detail_columns(NUMBERS) == list(details) and units.detail_columns((1, 12)) == []


def test_areas_of_shares_by_hand():
    assert area_of_shares(np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.1, 0.5])) == 1.0
    # 1 at 3 and 0.5 at 2 show it, 0.5 at 2 and 1 at 1 do not: (0.5 + 1 + 0.25 / 2 + 0.5) of 1.5 * 1.5
    assert area_of_shares(np.array([1.0, 0.5, 0.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(2.125 / 2.25)


def test_units_are_measured_on_those_who_were_not_looked_at(monkeypatch, tmp_path):
    """Of CK+ the subjects with even numbers; a set that is not there is left out."""
    faces = datasets.load("synthetic", count=64, identities=8, size=16)
    subjects = faces.with_columns(identity=[f"S{int(name[-4:]):03d}" for name in faces["identity"].tolist()])

    def load(self, name, **options):
        if name == "ck48":
            return subjects.replace(name="ck48")
        raise DatasetError(f"{name}: not there")

    def answers(self, bench, table):
        assert table.name == "synthetic" or {name[-1] for name in table["identity"].tolist()} == {"0", "2", "4", "6"}
        known = dict(zip(ACTION_UNITS, table["aus"].T))
        return np.stack([known.get(unit, np.zeros(len(table))) for unit in units.UNITS], 1)

    monkeypatch.setattr("kerasfer.evaluation.measurements.units.RENDERED", {"count": 16, "identities": 2, "size": 16})
    monkeypatch.setattr(Bench, "load", load)
    monkeypatch.setattr(UnitsByMovements, "_answers", answers)
    bench = Bench("wild", {}, None, lambda name: None, tmp_path, "measure")
    found = {figure["key"]: figure for figure in UnitsByMovements(most=20).measure(bench)}
    assert "subjects with even numbers, units that Table VI implies, 20 faces" in found["ck48_units_mean"]["what"]
    assert found["ck48_units_mean"]["value"] == found["rendered_units_mean"]["value"] == 1.0
    assert 0.5 < found["ck48_counted_unit_6"]["value"] < 1.0 and found["ck48_counted_unit_20"]["value"] == 0.5
    assert not any(key.startswith(("lfw", "london")) for key in found)

    class Machines:
        """A model that knows every unit but AU 1 and 2, of which it learned all but AU 2."""

        learned_units = tuple(unit for unit in ACTION_UNITS if unit != 2)

        def detect_units(self, table):
            assert table.name == "ck48"
            return table["aus"] * (np.array(ACTION_UNITS) != 1)

    bench.models[None] = Machines()
    by_machines = {figure["key"]: figure for figure in UnitsByMachines(most=20).measure(bench)}
    assert by_machines["ck48_unit_1"]["value"] == 0.5 and by_machines["ck48_unit_4"]["value"] == 1.0
    assert by_machines["ck48_units_mean"]["what"].startswith(
        "action units by machines; CK+ crops of subjects with even"
    )
    assert not {"rendered_units_mean", "ck48_unit_2", "ck48_counted_unit_20"} & set(by_machines)

"""Action units by movements (`kerasfer.units`) on faces of which units, or what implies them, are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from sklearn.metrics import roc_auc_score

from kerasfer import datasets, units
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.detection import align_table, estimate_blendshapes, estimate_measures
from kerasfer.evaluation.classification import predict
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.transfer import RENDERED
from kerasfer.expressions import ACTION_UNITS, EXPRESSION_ACTION_UNITS, Expression

__all__ = ["COUNTED", "UnitsByMachines", "UnitsByMovements", "area_of_shares"]

_E = Expression

COUNTED: dict[Expression, dict[int, float]] = {
    _E.NEUTRAL: {},
    _E.HAPPINESS: {12: 0.9, 25: 0.9, 6: 0.51},
    _E.SADNESS: {4: 0.9, 15: 0.9, 1: 0.6, 6: 0.5, 17: 0.67},
    _E.FEAR: {1: 0.9, 4: 0.9, 20: 0.9, 25: 0.9, 2: 0.57, 5: 0.63, 26: 0.33},
    _E.ANGER: {4: 0.9, 7: 0.9, 24: 0.9, 10: 0.26, 17: 0.52, 23: 0.29},
    _E.SURPRISE: {1: 0.9, 2: 0.9, 25: 0.9, 26: 0.9, 5: 0.66},
    _E.DISGUST: {9: 0.9, 10: 0.9, 17: 0.9, 4: 0.31, 24: 0.26},
}
"""Share of 230 people who show a unit in an expression (Du, Tao and Martinez, PNAS 2014, Table 1); what more than 70 %
show stands there without a number, and counts as 0.9. Contempt is not in it."""

_SMILE = (6, 12, 25)


@dataclasses.dataclass(frozen=True, eq=False)
class _Known:
    """Faces with what is known of their units.

    Attributes:
        key: in the figures' keys.
        what: they are.
        table: of them.
        numbers: of the units.
        shares: float (n, number of units): the probability that a face shows a unit, 0 or 1 where that is known.
    """

    key: str
    what: str
    table: FaceTable
    numbers: tuple[int, ...]
    shares: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class UnitsByMovements(Measurement):
    """Areas under the ROC curves of units: on rendered faces, whose units are known; on the CK+ crops of subjects with
    even numbers (those with odd ones were looked at when the weights were set) and on LFW-expressions, whose
    expressions imply some; and on London's smiles.

    Attributes:
        most: faces of a set to measure on, spread evenly over it.
    """

    most: int = 2000

    called = "by movements"

    def measure(self, bench: Bench) -> list[Figure]:
        figures, answers = [], {}
        for known in self._sets(bench):
            if known.table.name not in answers:
                answers[known.table.name] = self._answers(bench, known.table)
            found = answers[known.table.name]
            areas = {
                unit: area_of_shares(known.shares[:, column], found[:, list(units.UNITS).index(unit)])
                for column, unit in enumerate(known.numbers)
                if known.shares[:, column].any()
            }
            told = f"action units {self.called}; {known.what}, {len(known.table)} faces; area under the ROC curve"
            mean = float(np.mean(list(areas.values())))
            figures.append(bench.figure(f"{known.key}_units_mean", f"{told}, mean of {len(areas)} units", mean))
            figures += [
                bench.figure(f"{known.key}_unit_{unit}", f"{told}, AU{unit}", area) for unit, area in areas.items()
            ]
        return figures

    def _sets(self, bench: Bench) -> Iterator[_Known]:
        rendered = datasets.load("synthetic", **RENDERED)
        exact = (rendered["aus"] > 0.2).astype(np.float64)
        yield _Known("rendered", "rendered faces, exact units", rendered, ACTION_UNITS, exact)
        for name, called in (("ck48", "CK+ crops of subjects with even numbers"), ("lfw_expressions", "LFW faces")):
            try:
                table = bench.load(name, strict=False)
            except DatasetError:
                continue
            if name == "ck48":
                even = [int(who.lstrip("S")) % 2 == 0 for who in table["identity"].tolist()]
                table = table.select(np.flatnonzero(even))
            table = table.select(table["expression"] >= 0)
            table = table.select(np.unique(np.linspace(0, len(table) - 1, self.most).astype(int)))
            ruled = _shares(table, {kind: dict.fromkeys(shown, 1.0) for kind, shown in EXPRESSION_ACTION_UNITS.items()})
            columns = [list(units.UNITS).index(unit) for unit in ACTION_UNITS]
            yield _Known(name, f"{called}, units that Table VI implies", table, ACTION_UNITS, ruled[:, columns])
            counted = "units by the shares of people that Du et al. counted"
            yield _Known(f"{name}_counted", f"{called}, {counted}", table, tuple(units.UNITS), _shares(table, COUNTED))
        try:
            table = bench.load("london", strict=False)
        except DatasetError:
            return
        smiling = (table["expression"] == Expression.HAPPINESS).astype(np.float64)
        yield _Known("london", "London, smiles", table, _SMILE, np.stack([smiling] * len(_SMILE), 1))

    def _answers(self, bench: Bench, table: FaceTable) -> np.ndarray:
        """Probabilities of `units.UNITS`, float (n, 18)."""
        model = bench.model
        table = estimate_blendshapes(table, cache=bench.runs / "blendshapes")
        measures = estimate_measures(table, cache=bench.runs / "blendshapes")
        faces = table
        if table.name != "ck48":
            faces = align_table(table, model.image_spec.size, model.image_spec.channels, cache=bench.runs / "aligned")
        return units.probabilities(table["blendshapes"], predict(model, faces), model.label_space.labels, measures)


@dataclasses.dataclass(frozen=True, eq=False)
class UnitsByMachines(UnitsByMovements):
    """The same of the machines that DCGAN-FER fits, on photographs; `ActionUnits` measures them on rendered faces.

    Units that no machine was learned for, and those of `units.UNITS` that are none of the fourteen, are left out.
    """

    called = "by machines"

    def _sets(self, bench: Bench) -> Iterator[_Known]:
        learned = set(bench.model.learned_units)
        for known in super()._sets(bench):
            kept = [column for column, unit in enumerate(known.numbers) if unit in learned]
            if known.key != "rendered" and kept:
                numbers = tuple(known.numbers[column] for column in kept)
                yield dataclasses.replace(known, numbers=numbers, shares=known.shares[:, kept])

    def _answers(self, bench: Bench, table: FaceTable) -> np.ndarray:
        """Probabilities of `units.UNITS`, float (n, 18), NaN for those without a machine."""
        model, faces = bench.model, table
        if table.name != "ck48":
            faces = align_table(table, model.image_spec.size, model.image_spec.channels, cache=bench.runs / "aligned")
        found = dict(zip(ACTION_UNITS, model.detect_units(faces).T))
        return np.stack([found.get(unit, np.full(len(table), np.nan)) for unit in units.UNITS], 1)


def _shares(table: FaceTable, known: dict[Expression, dict[int, float]]) -> np.ndarray:
    """Float (n, 18): the share of people who show each unit in the face's expression."""
    kinds = [Expression(int(code)) for code in table["expression"]]
    return np.array([[known.get(kind, {}).get(unit, 0.0) for unit in units.UNITS] for kind in kinds])


def area_of_shares(shares: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve where a face shows something with a probability.

    Args:
        shares: float (n,) in [0, 1]; each face counts as one that shows it with this weight, and as one that does not
            with the rest.
        scores: float (n,).
    """
    shown = np.repeat([1, 0], len(shares))
    weights = np.concatenate([shares, 1 - shares])
    return float(roc_auc_score(shown, np.tile(scores, 2), sample_weight=weights))

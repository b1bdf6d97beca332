"""Action units by movements (`kerasfer.units`) on faces of which units, or what implies them, are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import roc_auc_score

from kerasfer import datasets, units
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.detection import align_table, estimate_blendshapes
from kerasfer.evaluation.classification import predict
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.transfer import RENDERED
from kerasfer.expressions import ACTION_UNITS, EXPRESSION_ACTION_UNITS, Expression

__all__ = ["UnitsByMovements"]


class UnitsByMovements(Measurement):
    """Areas under the ROC curves of units on rendered faces, whose units are known, on CK+ crops, whose expressions
    imply some (Table VI), and of unit 12 on London's smiles."""

    def measure(self, bench: Bench) -> list[Figure]:
        figures = []
        for name, what, table, labels in self._sets(bench):
            found = self._answers(bench, table)
            areas = {
                unit: float(roc_auc_score(labels[:, column], found[:, list(units.UNITS).index(unit)]))
                for column, unit in enumerate(ACTION_UNITS)
                if 0 < labels[:, column].sum() < len(labels)
            }
            told = f"action units by movements; {what}, {len(table)} faces; area under the ROC curve"
            if len(areas) > 1:
                mean = float(np.mean(list(areas.values())))
                figures.append(bench.figure(f"{name}_units_mean", f"{told}, mean of {len(areas)} units", mean))
            figures += [bench.figure(f"{name}_unit_{unit}", f"{told}, AU{unit}", area) for unit, area in areas.items()]
        return figures

    def _sets(self, bench: Bench) -> Iterator[tuple[str, str, FaceTable, np.ndarray]]:
        """Name, what it is, faces, and bool (n, 14): which units are there."""
        rendered = datasets.load("synthetic", **RENDERED)
        yield "rendered", "rendered faces, exact units", rendered, rendered["aus"] > 0.2
        for name, what in (("ck48", "CK+ crops, units that Table VI implies"), ("london", "London, smiles")):
            try:
                table = bench.load(name, strict=False)
            except DatasetError:
                continue
            shown = [Expression(int(code)) for code in table["expression"]]
            implied = np.array([[unit in EXPRESSION_ACTION_UNITS[each] for unit in ACTION_UNITS] for each in shown])
            if name == "london":
                implied &= np.array(ACTION_UNITS) == 12
            yield name, what, table, implied

    def _answers(self, bench: Bench, table: FaceTable) -> np.ndarray:
        """Probabilities of `units.UNITS`, float (n, 18)."""
        model = bench.model
        table = estimate_blendshapes(table, cache=bench.runs / "blendshapes")
        faces = table
        if table.name != "ck48":
            faces = align_table(table, model.image_spec.size, model.image_spec.channels, cache=bench.runs / "aligned")
        return units.probabilities(table["blendshapes"], predict(model, faces), model.label_space.labels)

"""What a protocol's run has measured: each figure beside the paper's, and how a tested fold becomes figures."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasfer.protocols.schema import YAW_CLASSES, ProtocolError

__all__ = ["Cell", "Outcome", "cells_of"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure of ours beside the paper's.

    Attributes:
        setting, method, cell: which.
        kind: "own", "baseline", "ablation" or "comparison" in the paper; "" if it does not print this figure.
        paper, paper_deviation, paper_best: as printed.
        ours, deviation, best: mean, sample deviation and largest value over the folds or runs; None if none is done.
        folds: how many are done.
        n: faces tested in all of them.
    """

    setting: str
    method: str
    cell: str
    kind: str
    paper: float | None
    paper_deviation: float | None
    paper_best: float | None
    ours: float | None
    deviation: float | None
    best: float | None
    folds: int
    n: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run of a protocol has measured so far.

    Attributes:
        name: of the protocol.
        cells: every figure.
        facts: what stands in the JSON beside them: paper, data, folds done, config.
    """

    name: str
    cells: tuple[Cell, ...]
    facts: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every fold of every variant is done."""
        return all(entry["done"] == entry["folds"] for entry in self.facts["settings"].values())

    def to_json(self) -> dict[str, Any]:
        """The content of result.json."""
        return {**self.facts, "complete": self.complete, "cells": [dataclasses.asdict(cell) for cell in self.cells]}

    def to_csv(self) -> str:
        """One line a figure."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [field.name for field in dataclasses.fields(Cell)]
        writer.writerow(names)
        writer.writerows(
            [["" if (value := getattr(cell, name)) is None else value for name in names] for cell in self.cells]
        )
        return text.getvalue()

    def text(self, most: int = 80) -> str:
        """The figures as a table to print; of more than `most` rows, the means only."""
        rows = list(self.cells)
        if len(rows) > most:
            rows = [cell for cell in rows if ":" not in cell.cell or cell.cell.endswith(": mean")]
        facts = self.facts
        lines = [f"{self.name}: {facts['title']} ({facts['place']} of {facts['paper']})"]
        if facts["synthetic"]:
            lines.append("on synthetic faces: this shows that the engine runs; the figures mean nothing")
        for name, entry in facts["settings"].items():
            paper = f", the paper {entry['paper_images']:,}" if entry["paper_images"] else ""
            lines.append(
                f"{name}: {entry['images']:,} faces{paper}; {entry['rule']}; {entry['done']} of {entry['folds']} done"
            )
        about = {"percent": "%", "count": "number", "hours": "hours"}.get(facts["unit"], "value")
        header = ("setting", "method", "cell", f"paper ({about})", "ours", "runs", "n")
        body = [header, *(_row(cell) for cell in rows)]
        widths = [max(len(line[column]) for line in body) for column in range(len(header))]
        for line in body:
            cells = [
                text.ljust(width) if index < 3 else text.rjust(width)
                for index, (text, width) in enumerate(zip(line, widths))
            ]
            lines.append("  ".join(cells).rstrip())
        if len(rows) < len(self.cells):
            lines.append(f"{len(self.cells) - len(rows)} more figures are in result.csv")
        return "\n".join(lines)


def _row(cell: Cell) -> tuple[str, ...]:
    def number(value: float | None, deviation: float | None) -> str:
        if value is None:
            return "–"
        text = f"{value:,.0f}" if value == int(value) and abs(value) > 100 else f"{value:.4g}"
        return text if deviation is None else f"{text} ± {deviation:.3g}"

    paper = number(cell.paper, cell.paper_deviation)
    ours = number(cell.ours, cell.deviation)
    return cell.setting, cell.method, cell.cell, paper, ours, str(cell.folds or "–"), str(cell.n or "–")


def cells_of(
    metric: str, labels: Sequence[str], true: np.ndarray, scores: np.ndarray, poses: np.ndarray | None = None
) -> dict[str, float]:
    """What a metric says of a tested fold.

    Args:
        metric: accuracy, recall, pose_accuracy, pose_recall, view_recall, yaw_subsets, auc or unit_auc.
        labels: names of the K classes or units.
        true: class numbers, int (n,); for units bool (n, K).
        scores: float (n, K), larger for what is more likely.
        poses: yaw and pitch in degrees, (n, 2); for the metrics by pose.

    Returns:
        Cell -> figure: percent, or areas in [0, 1]. A class that does not occur has no cell.
    """
    if metric in ("auc", "unit_auc"):
        return _areas(labels, true, scores)
    right = scores.argmax(1) == true
    if metric == "accuracy":
        return {"accuracy": 100.0 * float(right.mean())}
    if metric == "recall":
        return _recalls("", labels, true, right)
    if poses is None:
        raise ProtocolError(f"{metric} needs head poses")
    if metric == "yaw_subsets":
        yaw = np.abs(poses[:, 0])
        subsets = {"all": np.ones(len(yaw), bool)}
        subsets |= {f"above {edge}": yaw > edge for edge in YAW_CLASSES[1:]}
        return {name: 100.0 * float(right[rows].mean()) for name, rows in subsets.items() if rows.any()}
    grid = np.where(np.isfinite(poses), np.rint(np.nan_to_num(poses) / 15) * 15, np.nan)
    view = grid if metric == "view_recall" else grid[:, :1]
    cells: dict[str, float] = {}
    for values in sorted({tuple(row) for row in view.tolist() if np.isfinite(row).all()}):
        rows = (view == values).all(1)
        name = " ".join(f"{axis} {value:.0f}" for axis, value in zip(("yaw", "pitch"), values))
        if metric == "pose_accuracy":
            cells[name] = 100.0 * float(right[rows].mean())
        else:
            cells |= _recalls(f"{name}: ", labels, true[rows], right[rows])
    if metric == "pose_accuracy":
        return {**cells, "all": 100.0 * float(right.mean())}
    for label in (*labels, "mean"):
        found = [value for name, value in cells.items() if name.endswith(f": {label}")]
        if found:
            cells[f"all: {label}"] = float(np.mean(found))
    return cells


def _recalls(prefix: str, labels: Sequence[str], true: np.ndarray, right: np.ndarray) -> dict[str, float]:
    cells = {
        f"{prefix}{label}": 100.0 * float(right[true == number].mean())
        for number, label in enumerate(labels)
        if (true == number).any()
    }
    return {**cells, f"{prefix}mean": float(np.mean(list(cells.values())))}


def _areas(labels: Sequence[str], true: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    holds = np.arange(len(labels)) == true[:, None] if true.ndim == 1 else true.astype(bool)
    cells = {
        label: float(roc_auc_score(holds[:, number], scores[:, number]))
        for number, label in enumerate(labels)
        if holds[:, number].any() and not holds[:, number].all()
    }
    return {**cells, "mean": float(np.mean(list(cells.values())))} if cells else {}

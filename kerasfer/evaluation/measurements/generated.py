"""What faces that are made of noise are worth beside real ones, at the end of a training and on the way there."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerasfer.checkpoints import snapshots
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.collapse import collapse
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.measurements.judges import JUDGES, judge_of
from kerasfer.evaluation.synthesis import evaluate_synthesis
from kerasfer.weights import ZooError, unpack

__all__ = ["GeneratedFaces", "LearningCurve"]

_NEIGHBORS = 4000
"""Training faces that generated ones are compared with, one by one."""


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratedFaces(Measurement):
    """Faces made of noise beside real ones: FID, KID and inception score by each judge, and collapse.

    Beside each FID stands that of as many real training faces: what a generator could reach at best.
    """

    def fit(self, bench: Bench) -> list[Figure]:
        made = bench.model.generate(len(bench.valid), seed=1)
        return [*_judged(bench, "generated", "generated", made), *self._floor(bench), *_collapsed(bench, "", made)]

    def judge(self, bench: Bench) -> list[Figure]:
        made = bench.model.generate(len(bench.valid), seed=1)
        return [*_judged(bench, "generated", "generated", made), *self._floor(bench)]

    def _floor(self, bench: Bench) -> list[Figure]:
        rows = np.unique(np.linspace(0, len(bench.train) - 1, len(bench.valid)).astype(int))
        faces = bench.model.image_spec.scale(prepare_faces(bench.train, bench.model.image_spec, rows))
        found = _judged(bench, "real", "FERPlus train", faces)
        return [figure for figure in found if figure["key"].startswith("real_fid_")]


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve(Measurement):
    """FID, KID, inception score and collapse of the generator that each snapshot of a training kept.

    Attributes:
        run: the training, one with `keep_every`.
    """

    run: Any

    def measure(self, bench: Bench) -> list[Figure]:
        generator = bench.model.networks["generator"]
        last, figures = generator.get_weights(), []
        try:
            for epoch, path in snapshots(bench.runs / self.run.name).items():
                arrays = unpack(path.read_bytes(), path)
                kept = [arrays[f"generator/{number}"] for number in range(len(arrays))]
                if [values.shape for values in kept] != [values.shape for values in last]:
                    raise ZooError(f"{path}: the generator of another config; remove it, or measure the run it is of")
                generator.set_weights(kept)
                made = bench.model.generate(len(bench.valid), seed=1)
                figures += _judged(bench, f"epoch_{epoch}", f"after {epoch} epochs generated", made)
                figures += _collapsed(bench, f"epoch_{epoch}_", made)
        finally:
            generator.set_weights(last)
        return figures


def _judged(bench: Bench, key: str, called: str, faces: np.ndarray) -> list[Figure]:
    """The judges' figures of faces, float32 (n, h, w, c), beside FERPlus valid."""
    real = bench.model.image_spec.scale(prepare_faces(bench.valid, bench.model.image_spec))
    figures = []
    for name, judge in JUDGES.items():
        report = evaluate_synthesis(real, faces, judge_of(name, bench.model))
        print(report, flush=True)
        what = f"{len(faces)} {called} beside {len(real)} FERPlus valid faces, features of {judge}"
        figures.append(bench.figure(f"{key}_fid_{name}", f"{what}; FID", report.frechet_distance))
        figures.append(bench.figure(f"{key}_kid_{name}", f"{what}; KID", report.kernel_distance.value))
        if report.inception_score is not None:
            what = f"{len(faces)} {called} faces, probabilities of {judge}; inception score"
            figures.append(bench.figure(f"{key}_is_{name}", what, report.inception_score))
    return figures


def _collapsed(bench: Bench, key: str, faces: np.ndarray) -> list[Figure]:
    """How much generated faces differ from each other and from those that were learned from."""
    spec = bench.model.image_spec
    rows = np.unique(np.linspace(0, len(bench.train) - 1, _NEIGHBORS).astype(int))
    found = collapse(faces[:1000], spec.scale(prepare_faces(bench.train, spec, rows)))
    what = f"{len(faces[:1000])} generated beside {len(rows)} train faces, 16 x 16 pixels"
    distance = f"{what}; distance of two, of that of two real ones"
    nearest = f"{what}; distance to the nearest, of that of a real one"
    return [
        bench.figure(f"{key}diversity", distance, found.diversity, "share"),
        bench.figure(f"{key}repeats", f"{what}; as near to another as 1 % of real ones are", found.repeats, "share"),
        bench.figure(f"{key}novelty", nearest, found.novelty, "share"),
    ]

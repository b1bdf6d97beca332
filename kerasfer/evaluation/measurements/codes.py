"""What the codes of a face give away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.disentanglement import disentanglement
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Measurement

__all__ = ["Codes"]


@dataclasses.dataclass(frozen=True, eq=False)
class Codes(Measurement):
    """What linear probes read from the codes of synthetic faces, beside chance, and how the codes cluster.

    Attributes:
        title: of the bundled model in the figures.
        beside: title -> what was made whose expression code is probed as well.
        faces, people: that are rendered.
    """

    title: str
    beside: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    faces: int = 1600
    people: int = 20

    def needs(self) -> Iterable[Any]:
        return self.beside.values()

    def measure(self, bench: Bench) -> list[Figure]:
        model = bench.model
        spec = model.image_spec
        size = max(64, spec.size)
        faces = datasets.load("synthetic", count=self.faces, identities=self.people, size=size, channels=spec.channels)
        pixels = spec.scale(prepare_faces(faces, spec))
        codes = {f"{self.title} {name}": code for name, code in model.codes(pixels).items()}
        for label, made in self.beside.items():
            codes[label] = bench.models[made].codes(pixels)["expression"]
        figures = []
        for probe in disentanglement({name: np.asarray(code) for name, code in codes.items()}, faces):
            print(probe, flush=True)
            key = f"probe_{probe.code}_{probe.label}".lower().replace(" ", "_").replace("-", "_")
            read = f"{probe.label} from the {probe.code} code"
            what = f"linear probe, {read}, {probe.test_rows} synthetic faces"
            clusters = f"silhouette of the {probe.code} code by {probe.label}, {len(faces)} synthetic faces"
            figures += [
                bench.figure(key, what, probe.accuracy, "share"),
                bench.figure(f"{key}_chance", f"{what}; chance", probe.chance, "share"),
                bench.figure(f"{key}_silhouette", clusters, probe.silhouette),
            ]
        return figures

"""Faces that landmarks drive, and recognition of heads that turn, on rendered faces, whose geometry is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import align_table
from kerasfer.evaluation.classification import evaluate
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.geometry import landmark_report
from kerasfer.evaluation.measurements.base import Bench, Measurement

__all__ = ["Geometry"]


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry(Measurement):
    """On rendered faces: accuracy by yaw, and landmarks found again in generated and in real faces.

    Attributes:
        faces, people: that are rendered.
        turned: what was made -> its title, for the accuracy by yaw.
        noise: on the landmarks that drive the generator, in pixels of the paper's image.
    """

    faces: int
    people: int
    turned: Mapping[Any, str]
    noise: tuple[int, ...] = ()

    def needs(self) -> Iterable[Any]:
        return self.turned

    def measure(self, bench: Bench) -> list[Figure]:
        from kerasfer.models.g2fer import YAWS

        spec, half = bench.model.image_spec, (YAWS[1] - YAWS[0]) / 2
        rendered = datasets.load(
            "synthetic",
            count=self.faces,
            identities=self.people,
            size=2 * spec.size,
            channels=spec.channels,
            yaw=YAWS[-1] + half,
        )
        faces = align_table(rendered, spec.size, spec.channels).with_columns(pose=rendered["pose"])
        figures = []
        for degrees in YAWS:
            turned = faces.select(np.abs(faces["pose"][:, 0] - degrees) <= half)
            for made, label in self.turned.items():
                report = evaluate(bench.models[made], turned)
                what = f"{label}: {report.n} synthetic faces, yaw {degrees:g} degrees; accuracy"
                print(what, f"{report.accuracy:.2%}", flush=True)
                figures.append(bench.figure(f"{made.name}_yaw_{degrees:g}_accuracy", what, report.accuracy, "share"))
        return figures + self._found_again(bench, prepare_faces(faces, spec), faces["landmarks"])

    def _found_again(self, bench: Bench, pixels: np.ndarray, points: np.ndarray) -> list[Figure]:
        """Landmarks located in faces drawn from them, with noise and without, and in the real faces."""
        from kerasfer.models.g2fer import NOISE_PIXELS

        model = bench.model
        spec = model.image_spec
        generator = np.random.default_rng(0)
        wanted = points[generator.permutation(len(points))]

        def drawn(landmarks: np.ndarray) -> np.ndarray:
            return spec.unscale(model.synthesize(spec.scale(pixels), landmarks))

        shown = [("generated", "generated faces", drawn(wanted), wanted), ("real", "real faces", pixels, points)]
        for sigma in self.noise:
            noise = generator.uniform(-sigma, sigma, wanted.shape).astype(np.float32) * spec.size / NOISE_PIXELS
            what = f"faces generated from landmarks with noise of {sigma} px"
            shown.append((f"noise_{sigma}", what, drawn(wanted + noise), wanted))
        figures = []
        for key, called, images, where in shown:
            report = landmark_report(images, where)
            print(called, report, flush=True)
            what = f"landmarks found in {report.n} {called} of the synthetic set beside those they should have"
            share = report.found / report.n
            figures.append(bench.figure(f"landmarks_{key}_found", f"{what}; share found", share, "share"))
            if report.found:
                what = f"{what}; mean error over the eye corners' distance"
                figures.append(bench.figure(f"landmarks_{key}_error", what, report.error, "share"))
        return figures

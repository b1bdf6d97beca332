"""Faces that landmarks drive, of people whom the training did not see, judged by networks that took no part in it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerasfer import zoo
from kerasfer.data.sets import divided
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import align_table
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.geometry import landmark_report, linear_fit, rank_one, sharpness
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.measurements.judges import judge_of
from kerasfer.images import prepare_uint8

__all__ = ["DrivenFaces"]


@dataclasses.dataclass(frozen=True, eq=False)
class DrivenFaces(Measurement):
    """What is drawn of people left aside: landmarks, person, expression and detail; and what f(x) tells of the pose.

    Attributes:
        hold_out: share of LFW's people that the recipe has left aside (`NamedSets.faces_hold_out`).
        people: of them, one face each.
        yaws: of the landmarks that faces are driven by, the nearest to the front first.
        reader: a bundled model that reads the expressions.
        faces: of LFW that the pose is read from at most, half of the people trained on, all of those left aside.
    """

    hold_out: float
    people: int = 200
    yaws: tuple[float, ...] = (0.0, -15.0, 15.0, -30.0, 30.0)
    reader: str = "wild"
    faces: int = 4000

    def measure(self, bench: Bench) -> list[Figure]:
        return self.judge(bench)

    def judge(self, bench: Bench) -> list[Figure]:
        from kerasfer.synthesis import ByLandmarks

        model, control = bench.model, ByLandmarks(bench.model)
        spec = model.image_spec
        split = divided(bench.load("lfw"), self.hold_out)
        aside = self._aligned(bench, split.test)
        _, firsts = np.unique(aside["identity"], return_index=True)
        faces = aside.select(np.sort(firsts)[: self.people])
        pixels, points = prepare_faces(faces, spec), _in_pixels(faces, spec.size)

        def drawn(landmarks: np.ndarray) -> np.ndarray:
            return spec.unscale(model.synthesize(spec.scale(pixels), landmarks))

        who = f"{len(faces)} people of LFW left aside"
        wanted = points[np.random.default_rng(0).permutation(len(points))]
        driven = drawn(wanted)
        figures = self._landmarks(bench, who, driven, wanted, pixels, points)
        detail = {"drawn": sharpness(driven), "real": sharpness(pixels)}
        for key, value in detail.items():
            what = f"mean variance of the Laplacian, {key} faces of {who}"
            figures.append(bench.figure(f"driven_sharpness_{key}", what, value))
        figures += self._person(bench, control, who, pixels, drawn)
        figures += self._expression(bench, control, who, drawn)
        figures.append(self._pose(bench, split.train, aside))
        return figures + self._geometry(bench, aside)

    def _aligned(self, bench: Bench, table: FaceTable) -> FaceTable:
        """The faces of a table in which landmarks were found, a third larger than the model takes them."""
        spec = bench.model.image_spec
        faces = align_table(table, spec.size * 4 // 3, spec.channels, cache=bench.runs / "aligned")
        return faces.select(np.isfinite(faces["landmarks"]).all((1, 2)) & np.isfinite(faces["pose"][:, 0]))

    def _landmarks(
        self,
        bench: Bench,
        who: str,
        driven: np.ndarray,
        wanted: np.ndarray,
        pixels: np.ndarray,
        points: np.ndarray,
    ) -> list[Figure]:
        figures, errors = [], {}
        for key, images, where in (("drawn", driven, wanted), ("real", pixels, points)):
            report = landmark_report(images, where)
            print(key, report, flush=True)
            errors[key] = report.error
            what = f"landmarks located in {key} faces, {who}"
            figures.append(
                bench.figure(f"driven_{key}_found", f"{what}; share found", report.found / report.n, "share")
            )
        what = f"error of landmarks in drawn faces over that in real ones, {who}"
        return [*figures, bench.figure("driven_error_ratio", what, errors["drawn"] / errors["real"])]

    def _person(self, bench: Bench, control: Any, who: str, pixels: np.ndarray, drawn: Any) -> list[Figure]:
        judge = judge_of("dlib_resnet", bench.model)
        gallery = judge.features(bench.model.image_spec.scale(pixels))
        figures = []
        for reach in sorted({abs(yaw) for yaw in self.yaws}):
            shares = [
                rank_one(judge.features(bench.model.image_spec.scale(drawn(landmarks))), gallery)
                for landmarks in (control.landmarks_of("neutral", yaw) for yaw in self.yaws if abs(yaw) == reach)
            ]
            what = f"drawn neutral at a yaw of {reach:g} degrees, nearest real face of {who}, by {judge.name}; rank-1"
            print(what, shares, flush=True)
            figures.append(bench.figure(f"driven_rank_one_{reach:g}", what, float(np.mean(shares)), "share"))
        return figures

    def _expression(self, bench: Bench, control: Any, who: str, drawn: Any) -> list[Figure]:
        judge: Any = zoo.load(self.reader)
        figures, shares = [], []
        for label in bench.model.label_space.labels:
            if not control.seen()[bench.model.label_space.index(label), len(control.yaws) // 2]:
                continue
            pictures = [face[..., 0] if face.shape[-1] == 1 else face for face in drawn(control.landmarks_of(label))]
            seen = judge.image_spec.scale(np.stack([prepare_uint8(picture, judge.image_spec) for picture in pictures]))
            answers = np.asarray(judge.recognizer()(seen)).argmax(1)
            shares.append(float((answers == judge.label_space.index(label)).mean()))
            what = f"drawn with the mean landmarks of {label}, {who}; share read as {label} by {self.reader}"
            print(what, f"{shares[-1]:.2%}", flush=True)
            figures.append(bench.figure(f"driven_read_{label}", what, shares[-1], "share"))
        what = f"drawn with the mean landmarks of each expression, {who}; mean share read as asked by {self.reader}"
        return [*figures, bench.figure("driven_read", what, float(np.mean(shares)), "share")]

    def _pose(self, bench: Bench, known: FaceTable, aside: FaceTable) -> Figure:
        spec = bench.model.image_spec
        known = self._aligned(bench, known)
        rows = np.unique(np.linspace(0, len(known) - 1, max(self.faces - len(aside), 1)).astype(int))
        pixels = np.concatenate([prepare_faces(faces, spec) for faces in (known.select(rows), aside)])
        codes = np.asarray(bench.model.codes(spec.scale(pixels))["identity"])
        yaws = np.concatenate([known["pose"][rows, 0], aside["pose"][:, 0]])
        train = np.arange(len(yaws)) < len(rows)
        value = linear_fit(codes, yaws, train, ~train)
        what = f"R2 of a linear fit of the yaw to f(x), {len(rows)} faces of LFW, on {len(aside)} of people left aside"
        print(what, f"{value:.3f}", flush=True)
        return bench.figure("driven_yaw_r2", what, value)

    def _geometry(self, bench: Bench, aside: FaceTable) -> list[Figure]:
        """What f(g) tells of landmarks: of the components in which they differ most, and of finer ones, by a fit."""
        model = bench.model
        geometry = _in_pixels(aside, model.image_spec.size).reshape(len(aside), -1) * (2 / model.image_spec.size) - 1
        centered = geometry - geometry.mean(0)
        components = centered @ np.linalg.svd(centered, full_matrices=False)[2][:16].T
        codes = np.asarray(model.networks["geometry_encoder"](geometry.astype(np.float32)))
        train = np.arange(len(aside)) % 2 == 0
        figures = []
        for first in range(0, components.shape[1], 4):
            fits = [linear_fit(codes, values, train, ~train) for values in components[:, first : first + 4].T]
            what = (
                f"R2 of a linear fit of landmarks' principal components {first + 1} to {first + len(fits)} to f(g), "
                f"{train.sum()} faces of LFW left aside, on {(~train).sum()} others; mean"
            )
            print(what, f"{np.mean(fits):.3f}", flush=True)
            figures.append(bench.figure(f"driven_code_r2_{first + 1}", what, float(np.mean(fits))))
        return figures


def _in_pixels(faces: FaceTable, size: int) -> np.ndarray:
    """Landmarks of aligned faces in pixels of images of a size, float32 (n, 68, 2)."""
    return np.float32(faces["landmarks"]) * (size / np.asarray(faces.read(0)).shape[0])

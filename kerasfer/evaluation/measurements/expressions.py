"""Faces with named expressions: beside true ones, as the same person, as a class, and as a distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kerasfer import plots
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.classification import true_classes
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.generated_faces import class_gap, expression_twins, identity_kept, twin_scores
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.measurements.judges import JUDGES, judge_of
from kerasfer.evaluation.synthesis import evaluate_synthesis

__all__ = ["NewExpressions"]

_DRAWN = 800
"""Faces of each kind in a picture of codes."""


@dataclasses.dataclass(frozen=True, eq=False)
class NewExpressions(Measurement):
    """Measures a generator of named expressions, for faces that there are and for new people.

    Attributes:
        faces: of FERPlus valid that are changed and verified.
        people: that are rendered with every expression.
        gaps: what was made -> its title, for the gap between the classes' means of real and synthetic faces.
        variants: generators beside the bundled one -> their titles.
    """

    faces: int
    people: int
    gaps: Mapping[Any, str] = dataclasses.field(default_factory=dict)
    variants: Mapping[Any, str] = dataclasses.field(default_factory=dict)

    def needs(self) -> Iterable[Any]:
        return (*self.gaps, *self.variants)

    def measure(self, bench: Bench) -> list[Figure]:
        model = bench.model
        faces, true = _real_faces(model, bench.valid)
        figures = self._changed(bench, model, faces)
        made, shown = _new_people(model, true)
        recognized = np.concatenate(
            [np.asarray(model.recognizer()(made[row : row + 256])).argmax(1) for row in range(0, len(made), 256)]
        )
        what = f"{len(made)} new people; share recognized, by the model's own R, as the expression asked for"
        figures.append(bench.figure("new_people_recognized", what, float((recognized == shown).mean()), "share"))
        figures += _beside_real(bench, model, faces, made)
        for run, called in self.gaps.items():
            features = [np.asarray(bench.models[run].codes(part)["expression"]) for part in (faces, made)]
            gap = class_gap(features[0], true, features[1], shown)
            print(called, gap, flush=True)
            what = f"class means of R's features, real to synthetic, in units of class to class; {called}"
            figures.append(bench.figure(f"{run.name}_class_gap", what, gap.relative))
            rows = np.random.default_rng(0).permutation(len(faces))[:_DRAWN]
            labels = model.label_space.labels
            names = [f"{labels[number]}, real" for number in true[rows]]
            names += [f"{labels[number]}, synthetic" for number in shown[rows]]
            picture = plots.tsne(np.concatenate([part[rows] for part in features]), names)
            plots.save(picture, bench.runs / f"tsne_{run.name}.png")
        for run, called in self.variants.items():
            made, _ = _new_people(bench.models[run], true)
            further = self._changed(bench, bench.models[run], faces)
            for one in further + _beside_real(bench, bench.models[run], faces, made):
                if "unchanged" not in one["key"]:
                    figures.append({**one, "key": f"{run.name}_{one['key']}", "what": f"{called}: {one['what']}"})
        return figures

    def judge(self, bench: Bench) -> list[Figure]:
        faces, true = _real_faces(bench.model, bench.valid)
        made, _ = _new_people(bench.model, true)
        return _beside_real(bench, bench.model, faces, made)

    def _changed(self, bench: Bench, model: Any, faces: np.ndarray) -> list[Figure]:
        """Faces given another expression: beside the true ones of rendered people, and as the same person."""
        spec, labels = model.image_spec, model.label_space.labels
        twins = twin_scores(model.change_expression, expression_twins(spec, labels, self.people), spec.pixel_range)
        print(twins, flush=True)
        what = f"expression changed, beside the true face, {twins.n} pairs of {self.people} rendered people"
        figures = [
            bench.figure("twins_psnr", f"{what}; PSNR", twins.psnr, "dB"),
            bench.figure("twins_ssim", f"{what}; SSIM", twins.ssim),
            bench.figure("twins_unchanged_psnr", f"{what}; PSNR of the unchanged face", twins.unchanged_psnr, "dB"),
            bench.figure("twins_unchanged_ssim", f"{what}; SSIM of the unchanged face", twins.unchanged_ssim),
        ]
        chosen = faces[np.linspace(0, len(faces) - 1, min(self.faces, len(faces))).astype(int)]
        kept = identity_kept(model.change_expression, model.identity_codes, chosen, len(labels))
        print(kept, flush=True)
        judge = "judge: dlib_resnet on mirrored, cropped faces, as dlib_resnet is the network of the identity loss"
        what = f"verification of changed faces, {kept.same} same and {kept.different} different pairs; {judge}"
        figures.append(bench.figure("verification_accuracy", f"{what}; accuracy", kept.accuracy, "share"))
        figures.append(bench.figure("verification_auc", f"{what}; AUC", kept.auc))
        return figures


def _real_faces(model: Any, valid: FaceTable) -> tuple[np.ndarray, np.ndarray]:
    """The faces of a table that are of a model's classes, as the model takes them, and their class numbers."""
    true = true_classes(valid, model.label_space)
    return model.image_spec.scale(prepare_faces(valid, model.image_spec))[true >= 0], true[true >= 0]


def _new_people(model: Any, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New people with the expressions of real faces, one each, in chunks of one expression, and their class numbers."""
    from kerasfer.synthesis import NamedExpressions

    counts = np.bincount(true, minlength=len(model.label_space.labels))
    control = NamedExpressions(model)
    made = [control.new_people(int(count), [number], seed=number)[:, 0] for number, count in enumerate(counts) if count]
    return np.concatenate(made), np.repeat(np.arange(len(counts)), counts)


def _beside_real(bench: Bench, model: Any, faces: np.ndarray, made: np.ndarray) -> list[Figure]:
    """New people beside real faces: FID and KID by each judge."""
    figures = []
    for name, called in JUDGES.items():
        report = evaluate_synthesis(faces, made, judge_of(name, model))
        print(report, flush=True)
        what = f"{len(made)} new people beside {len(faces)} FERPlus valid faces, features of {called}"
        figures.append(bench.figure(f"new_people_fid_{name}", f"{what}; FID", report.frechet_distance))
        figures.append(bench.figure(f"new_people_kid_{name}", f"{what}; KID", report.kernel_distance.value))
    return figures

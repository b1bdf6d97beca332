"""What support vector machines on a network's features are worth, beside the same machines on other features."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kerasfer import datasets, plots, splits
from kerasfer.data.augment import Augmentation, augment
from kerasfer.datasets.base import ArraySource, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import align_table
from kerasfer.evaluation.classification import Report
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.resampling import paired_test, people_of
from kerasfer.expressions import ACTION_UNITS
from kerasfer.faces import ImageSpec

__all__ = ["ActionUnits", "ExpressionMachine", "Learned", "Transfer", "hog"]


_CAMERAS = dataclasses.replace(Augmentation.cameras(), cutout=0.0)
"""What is done to rendered faces; a covered brow would still count as raised."""


def hog(table: FaceTable, size: int, mirrored: bool = False) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of each face, float32 (n, d).

    Args:
        table: faces; they are brought to `size` pixels in gray.
        size: side of the faces.
        mirrored: whether to give the mean of a face's and its mirror image's.

    Raises:
        ImportError: scikit-image is not installed; the message says what to install.
    """
    try:
        from skimage.feature import hog as histograms
    except ModuleNotFoundError as error:
        message = "scikit-image is not installed: pip install 'kerasfer[measure]'"
        raise ImportError(message, name=error.name) from None

    faces = prepare_faces(table, ImageSpec(size, 1))[..., 0]
    settings = {"orientations": 8, "pixels_per_cell": (size // 8, size // 8), "cells_per_block": (2, 2)}

    def described(face: np.ndarray) -> np.ndarray:
        return np.float32(histograms(face, **settings))

    return np.stack(
        [(described(face) + described(face[:, ::-1])) / 2 if mirrored else described(face) for face in faces]
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionMachine(Measurement):
    """Fits the expression machine of a model to FERPlus train, and compares it on FERPlus valid.

    Beside it, with the same procedure: the exact machine where the model's is Nystroem's, with its C and gamma; the
    features of the network before training; HOG. And with its C and gamma what other fields of the config make of it.

    Attributes:
        others: fields that differ, a set of them for each machine that is compared.
    """

    others: tuple[Mapping[str, Any], ...] = ()

    def fit(self, bench: Bench) -> list[Figure]:
        from kerasfer.models.svm import fit_expression_svm

        model = bench.model
        space, settings = model.label_space, model.config.svm_settings
        train, valid = bench.train.labeled(space), bench.valid.labeled(space)
        classes, true = train.encoded(space), valid.encoded(space)
        fresh = type(model)(model.config)
        features = {
            "dcgan": ("the DCGAN feature", model.features),
            "untrained": ("the untrained network's feature", fresh.features),
            "hog": ("HOG", lambda table: hog(table, model.image_spec.size, model.config.mirrored)),
        }
        figures: list[Figure] = []
        answers: dict[str, np.ndarray] = {}

        def measured(key: str, called: str, machine: Any, on_valid: np.ndarray) -> None:
            answers[key] = machine.classify(on_valid)
            accuracy = float((answers[key] == true).mean())
            what = f"RBF SVM on {called}, fitted on {len(train)} FERPlus train faces"
            tested = f"{what}: FERPlus valid, {len(true)} faces, 8 classes, majority labels; accuracy"
            print(f"{tested} {accuracy:.2%}; C {machine.c:.4g}, gamma {machine.gamma:.4g}", flush=True)
            figures.extend(
                (
                    bench.figure(f"svm_{key}_accuracy", tested, accuracy, "share"),
                    bench.figure(f"svm_{key}_c", f"{what}; C of {machine.trials} tried", machine.c),
                    bench.figure(f"svm_{key}_gamma", f"{what}; gamma of {machine.trials} tried", machine.gamma),
                    bench.figure(f"svm_{key}_vectors", f"{what}; vectors kept", len(machine.vectors), "count"),
                )
            )
            if key != "dcgan":
                gained = paired_test(true, answers["dcgan"], answers[key], people_of(valid)[0]).accuracy
                told = (
                    f"accuracy of the machine on the DCGAN feature above that on {called}, the same {len(true)} faces"
                )
                what = f"{told} ({gained.bounds()})"
                figures.append(bench.figure(f"svm_above_{key}", what, gained.value, "share"))

        for key, (called, compute) in features.items():
            on_train, on_valid = compute(train), compute(valid)
            machine = fit_expression_svm(on_train, classes, len(space), settings)
            measured(key, called, machine, on_valid)
            if key != "dcgan":
                continue
            model.set_classifier(machine)
            found = dataclasses.replace(settings, landmarks=0, trials=0, c=machine.c, gamma=machine.gamma)
            figures += self._decisions(bench, machine, on_valid, valid, called)
            if settings.landmarks:
                whole = fit_expression_svm(on_train, classes, len(space), found, scaling=machine.scaling)
                measured("exact", f"{called}, every support vector kept", whole, on_valid)
        called = features["dcgan"][0]
        for fields in self.others:
            other = type(model)(model.config.replace(support_vectors=0, **fields))
            other.start_from(model)
            differing = dataclasses.replace(found, components=other.config.components)
            machine = fit_expression_svm(other.features(train), classes, len(space), differing)
            told = ", ".join(f"{name} {value}" for name, value in fields.items())
            key = "_".join(f"{name}_{value}" for name, value in fields.items()).lower()
            measured(key, f"{called} with {told}", machine, other.features(valid))
        return figures

    def _decisions(
        self, bench: Bench, machine: Any, on_valid: np.ndarray, valid: FaceTable, called: str
    ) -> list[Figure]:
        """The model's decisions beside its machine's, and each expression against the rest."""
        from sklearn.metrics import roc_auc_score

        from kerasfer.models.svm import pair_scores

        model, space = bench.model, bench.model.label_space
        true, decisions = valid.encoded(space), machine.decide(on_valid)
        difference = float(np.abs(model.decide(valid) - decisions).max())
        what = f"decisions of the model beside the machine's in float64, {len(true)} FERPlus valid faces"
        figures = [bench.figure("svm_decision_difference", f"{what}; largest difference", difference)]
        scores = pair_scores(decisions, len(space))
        plots.save(plots.roc_curves(true, scores, space.labels), bench.runs / "roc_expressions.png")
        for number, label in enumerate(space.labels):
            area = float(roc_auc_score(true == number, scores[:, number]))
            what = f"{called}, {label} against the rest: FERPlus valid, {len(true)} faces; AUC"
            figures.append(bench.figure(f"{label}_auc", what, area))
        return figures


@dataclasses.dataclass(frozen=True)
class Learned:
    """A network of another set of faces, and the set that a machine is fitted to.

    Attributes:
        title: what the network's faces are called.
        fitted: "ferplus" or "lfw_expressions".
    """

    title: str
    fitted: str


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer(Measurement):
    """Machines for expressions on the feature of networks that learned from another set of faces.

    Attributes:
        networks: what was made -> what it learned from, and the set whose train part a machine is fitted to and whose
            other part it is tested on.
    """

    networks: Mapping[Any, Learned]

    def needs(self) -> Iterable[Any]:
        return self.networks

    def fit(self, bench: Bench) -> list[Figure]:
        from kerasfer.models.svm import fit_expression_svm

        people = splits.holdout(bench.load("lfw_expressions"))
        parts = {
            "ferplus": ("FERPlus train and valid", bench.train, bench.valid),
            "lfw_expressions": ("LFW-expressions, split by people", people.train, people.test),
        }
        space, settings = bench.model.label_space, bench.model.config.svm_settings
        figures = []
        for made, learned in self.networks.items():
            network = bench.models[made]
            called, *tables = parts[learned.fitted]
            train, test = (table.labeled(space) for table in tables)
            machine = fit_expression_svm(network.features(train), train.encoded(space), len(space), settings)
            report = Report.of(test.encoded(space), machine.classify(network.features(test)), space)
            what = (
                f"DCGAN on {learned.title} without labels, RBF SVM fitted on {len(train)} faces of {called}: "
                f"{report.n} others of it, 8 classes"
            )
            print(what, report, flush=True)
            key = f"transfer_{made.name}"
            figures += [
                bench.figure(f"{key}_accuracy", f"{what}; accuracy", report.accuracy, "share"),
                bench.figure(f"{key}_balanced", f"{what}; mean recall", report.balanced_accuracy, "share"),
            ]
        return figures


@dataclasses.dataclass(frozen=True, eq=False)
class ActionUnits(Measurement):
    """Fits the action units' machines, and measures each on rendered faces of people whom they did not see.

    Attributes:
        faces, people: that are rendered, as the renderer draws them.
        apart: share of the faces that show units drawn each on its own; those of an expression come only together.
        aligned: of the first of them, seen a second time as `kerasfer.recognize` sees a face in a photo.
        photographs: of FERPlus train, with the units that Table VI gives their expressions.
        degraded: share of the rendered faces that are fitted to as some camera would have taken them: other light and
            place, out of focus, coarse, grainy, compressed.
    """

    faces: int
    people: int
    aligned: int
    photographs: int
    apart: float = 0.0
    degraded: float = 0.0

    def fit(self, bench: Bench) -> list[Figure]:
        from kerasfer.models.dcganfer import unit_labels

        model, spec = bench.model, bench.model.image_spec
        rendered = datasets.load(
            "synthetic",
            size=max(64, spec.size),
            count=self.faces,
            identities=self.people,
            channels=spec.channels,
            apart=self.apart,
        )
        unseen = rendered["split"] != "train"
        again = np.r_[np.flatnonzero(~unseen)[: self.aligned], np.flatnonzero(unseen)]
        aligned = align_table(rendered.select(again), spec.size, spec.channels)
        tables = [
            _photographed(table, spec, self.degraded)
            for table in (rendered.select(~unseen), aligned.where(split="train"))
        ]
        if self.photographs:
            labeled = bench.train.labeled(model.label_space)
            tables.append(labeled.select(np.linspace(0, len(labeled) - 1, self.photographs).astype(int)))
        units = np.concatenate([unit_labels(table) for table in tables])
        model.fit_units(FaceTable.concatenate("units", tables), units)
        figures = self._measured(bench, "", "rendered faces", rendered.select(unseen))
        unseen_aligned = aligned.select(aligned["split"] != "train")
        return figures + self._measured(bench, "_aligned", "aligned rendered faces", unseen_aligned)

    def _measured(self, bench: Bench, key: str, called: str, tested: FaceTable) -> list[Figure]:
        """The area under each unit's curve."""
        from sklearn.metrics import roc_auc_score

        from kerasfer.models.dcganfer import unit_labels
        from kerasfer.models.svm import PRESENT

        scores, shown = bench.model.detect_units(tested), unit_labels(tested) > PRESENT
        people, areas, figures = len(set(tested["identity"].tolist())), [], []
        for number, unit in enumerate(ACTION_UNITS):
            areas.append(float(roc_auc_score(shown[:, number], scores[:, number])))
            what = f"AU {unit}: {len(tested)} {called} of {people} people who were not fitted on; AUC"
            print(what, f"{areas[-1]:.3f}", flush=True)
            figures.append(bench.figure(f"unit_{unit}{key}_auc", what, areas[-1]))
        what = f"mean of {len(areas)} action units, {len(tested)} {called} of people who were not fitted on; AUC"
        figures.append(bench.figure(f"units{key}_auc", what, float(np.mean(areas))))
        labels = [f"AU{unit}" for unit in ACTION_UNITS]
        plots.save(plots.roc_curves(shown, scores, labels), bench.runs / f"roc_units{key}.png")
        return figures


def _photographed(table: FaceTable, spec: ImageSpec, share: float) -> FaceTable:
    """The faces of a table at a model's size, a share of them as some camera would have taken them."""
    pixels, generator = prepare_faces(table, spec), np.random.default_rng(0)
    taken = generator.random(len(table)) < share
    pixels[taken] = augment(pixels[taken], generator, _CAMERAS, spec.size)[0]
    columns = {name: values for name, values in table.columns.items() if name not in ("box", "landmarks")}
    return table.replace(source=ArraySource(pixels), columns={**columns, "path": np.arange(len(table)).astype(str)})

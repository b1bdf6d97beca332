"""What carries over: the bundled model on sets of other kinds than the one that it mainly learns from."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerasfer import zoo
from kerasfer.data.sets import divided
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import align_table
from kerasfer.evaluation.calibration import calibrate, expected_calibration_error
from kerasfer.evaluation.classification import predict, true_classes
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.groups import by_group, grouped
from kerasfer.evaluation.measurements.base import Bench, Measurement
from kerasfer.evaluation.robustness import robustness, spoiled, without_faces
from kerasfer.evaluation.transfer import SETS, TransferReport, transfer
from kerasfer.graphs import in_graph
from kerasfer.models.certainty import fit_certainty

__all__ = ["Blended", "CarriedOver", "FaceTemperature", "Robustness", "SkinTones"]


@dataclasses.dataclass(frozen=True)
class Blended(Measurement):
    """The bundled model goes back a part of the way to where its training started (`Wild.blend`).

    Attributes:
        start: name of that model.
        share: of it, in [0, 1].
    """

    start: str
    share: float

    def fit(self, bench: Bench) -> list[Figure]:
        bench.model.blend(zoo.load(self.start, recognizer_only=True), self.share)
        return [bench.figure("blended_share", f"share of {self.start}'s weights in the model's", self.share, "share")]


@dataclasses.dataclass(frozen=True)
class FaceTemperature(Measurement):
    """The temperature of each face (`kerasfer.models.certainty`), fitted on FERPlus train faces spoiled at random.

    A sixth as many pictures without a face are to be answered with every class equally probable.

    Attributes:
        faces: how many.
    """

    faces: int = 9000

    def fit(self, bench: Bench) -> list[Figure]:
        model = bench.model
        table = bench.train.labeled(model.label_space)
        generator = np.random.default_rng(model.config.seed)
        table = table.select(generator.permutation(len(table))[: self.faces])
        faces = list(prepare_faces(table, model.image_spec))
        nothing = without_faces(faces[: self.faces // 6], generator)
        spoilt = [spoiled(face, generator) for face in faces]
        recognizer, classes = model.recognizer(), len(model.label_space)
        layer = recognizer.get_layer("certainty")
        logits = recognizer.get_layer("sure_logits").input[0]
        network = in_graph(keras.Model(recognizer.input, [layer.input, logits]))
        seen, found = ([] for _ in range(2))
        pictures = spoilt + nothing
        for start in range(0, len(pictures), 64):
            features, answers = network(model.image_spec.scale(np.stack(pictures[start : start + 64])))
            seen.append(np.asarray(features, np.float32))
            found.append(np.asarray(answers, np.float32))
        targets = np.eye(classes)[true_classes(table, model.label_space)]
        targets = np.concatenate([targets, np.full((len(nothing), classes), 1 / classes)])
        kernel, bias = fit_certainty(np.concatenate(seen), np.concatenate(found), targets)
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        what = "FERPlus train faces spoiled at random, to which each face's temperature was fitted"
        return [bench.figure("certainty_faces", what, len(faces), "count")]


@dataclasses.dataclass(frozen=True)
class CarriedOver(Measurement):
    """Mean recall and accuracy on every set that is there, and the temperature, fitted on people left aside.

    Attributes:
        people: name of a further set of the training, of which `hold_out` was left aside; it is measured on those.
        hold_out: as `kerasfer.data.NamedSets.faces_hold_out`.
    """

    people: str
    hold_out: float

    def fit(self, bench: Bench) -> list[Figure]:
        model = bench.model
        faces = self._left_aside(bench)
        true = true_classes(faces, model.label_space)
        found = calibrate(predict(model, faces), true)
        tempered = type(model)(dataclasses.replace(model.config, temperature=round(found.temperature, 4)))
        tempered.start_from(model)
        bench.models[bench.bundled] = tempered
        what = f"{found.n} faces of people of {self.people} left aside"
        return [
            bench.figure("temperature", f"temperature, fitted on {what}", found.temperature),
            bench.figure(
                "left_aside_calibration_error",
                f"expected calibration error, {what}, as the temperature was fitted",
                found.error_after,
            ),
        ]

    def measure(self, bench: Bench) -> list[Figure]:
        model = bench.model
        figures = self._of_people(bench, model)
        report = self._transfer(bench, model)
        for result in report.results:
            command = f"python apps/evaluate.py --model {bench.name} --transfer --sets {result.name} --data DIR"
            of_people = f" of {result.people} people" if result.people else ""
            for key, scores, answers in (("", result.every, "the model's"), ("_own", result.own, "the set's own")):
                what = f"{result.name} ({result.kind}), {result.n} faces{of_people}, answers from {answers} classes"
                for name, value in (("mean_recall", scores.mean_recall), ("accuracy", scores.accuracy)):
                    label = f"{what}; {name.replace('_', ' ')} (95 %: {value.low:.1%} to {value.high:.1%})"
                    figures.append(bench.figure(f"{result.name}{key}_{name}", label, value.value, "share", command))
        return figures

    def _transfer(self, bench: Bench, model: Any) -> TransferReport:
        """On the sets that were not trained on; FER+ and who was left aside of the training's people are apart."""
        sets = [entry for entry in SETS if not entry.dataset.startswith((self.people, "ferplus"))]
        found = bench.locate("ferplus")
        folder = None if found is None else found.parent
        return transfer(model, folder, sets, cache=bench.runs / "aligned", model_name=bench.name)

    def _of_people(self, bench: Bench, model: Any) -> list[Figure]:
        faces = self._left_aside(bench)
        true = true_classes(faces, model.label_space)
        probabilities = predict(model, faces)
        right = probabilities.argmax(1) == true
        recalls = [right[true == code].mean() for code in sorted(set(true.tolist()))]
        what = f"{self.people}, {len(faces)} photos of {len(set(faces['identity'].tolist()))} people left aside"
        figures = [
            bench.figure("left_aside_accuracy", f"{what}; accuracy", float(right.mean()), "share"),
            bench.figure(
                "left_aside_mean_recall", f"{what}; mean recall", sum(map(float, recalls)) / len(recalls), "share"
            ),
        ]
        error = expected_calibration_error(probabilities, true)
        return [
            *figures,
            bench.figure("left_aside_calibration_error_saved", f"{what}; calibration error of what is saved", error),
        ]

    def _left_aside(self, bench: Bench) -> FaceTable:
        """The faces of the people left aside, aligned as photos are when they are recognized."""
        spec = bench.model.image_spec
        table = divided(bench.load(self.people, strict=False), self.hold_out).test
        return align_table(table, spec.size, spec.channels, cache=bench.runs / "aligned")


@dataclasses.dataclass(frozen=True)
class SkinTones(Measurement):
    """Accuracy and share of faces that are said to be happy by tone of skin, on London and on people left aside.

    Attributes:
        people, hold_out: as of `CarriedOver`.
        fewest: faces that a tone needs; others are not reported.
    """

    people: str
    hold_out: float
    fewest: int = 20

    def measure(self, bench: Bench) -> list[Figure]:
        aside = divided(bench.load(self.people, strict=False), self.hold_out).test
        figures = []
        for name, table in ((f"{self.people}, people left aside", aside), ("london", bench.load("london"))):
            faces, tones = grouped(table, "skin_tone", bench.model.image_spec.size, cache=bench.runs / "aligned")
            for result in by_group(bench.model, faces, tones).results:
                if result.n < self.fewest:
                    continue
                what = f"{name}, skin {result.name} in the picture, {result.n} faces of {result.people} people"
                key = f"{table.name}_{result.name.replace(' ', '_')}"
                said, labeled = result.answered["happiness"], result.labeled["happiness"]
                for suffix, of, share in (
                    ("accuracy", "accuracy", result.accuracy),
                    ("happiness", f"said to be happy ({labeled:.1%} are by their labels)", said),
                ):
                    label = f"{what}; {of} (95 %: {share.low:.1%} to {share.high:.1%})"
                    figures.append(bench.figure(f"{key}_{suffix}", label, share.value, "share"))
        return figures


class Robustness(Measurement):
    """Accuracy and confidence on FERPlus valid made worse in known ways."""

    def measure(self, bench: Bench) -> list[Figure]:
        report = robustness(bench.model, bench.valid, model_name=bench.name)
        command = (
            f"python apps/evaluate.py --model {bench.name} --dataset ferplus --split valid --data DIR --robustness"
        )
        what = f"FERPlus valid, {report.faces} faces"
        figures = [
            bench.figure(
                f"robustness_{number}_accuracy", f"{what}, {result.name}; accuracy", result.accuracy, "share", command
            )
            for number, result in enumerate(report.results)
        ]
        told = f"{what}, all of these conditions; confidence, right against wrong answers, area under the ROC curve"
        figures.append(bench.figure("confidence_area", told, report.confidence_auroc, "", command))
        told = f"{told}, with as many pictures without a face as wrong ones"
        figures.append(
            bench.figure("confidence_area_with_no_face", told, report.confidence_auroc_with_no_face, "", command)
        )
        told = "noise and patches without a face; mean confidence"
        return [*figures, bench.figure("no_face_confidence", told, report.no_face_confidence, "share", command)]

"""How many faces are recognized: of all, of each expression, of heads that turn away; and how sure a model is of it."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasfer import splits
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.calibration import calibrate, expected_calibration_error
from kerasfer.evaluation.classification import evaluate, predict, true_classes
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench, Made, Measurement
from kerasfer.evaluation.resampling import paired_test, people_of
from kerasfer.models.normalization import settle

__all__ = ["Recognition", "TurnedHeads", "calibrated", "settled"]


@dataclasses.dataclass(frozen=True, eq=False)
class Recognition(Measurement):
    """Accuracy of the bundled model and of those beside it on FERPlus valid.

    Attributes:
        compared: what was made -> its title in the figures.
        seeds: title -> trainings that differ in the seed alone, and whose mean is told; they are compared, too.
        beside: of those compared, the ones that the bundled model is tested against, face by face.

    Raises:
        ValueError: a seed's training, or one of `beside`, is not compared.
    """

    compared: Mapping[Any, str]
    seeds: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    beside: Sequence[Any] = ()

    def __post_init__(self) -> None:
        lost = [made.name for several in self.seeds.values() for made in several if made not in self.compared]
        if lost:
            raise ValueError(f"seeds {', '.join(lost)}: are among those compared, too, or have no accuracy")
        lost = [made.name for made in self.beside if made not in self.compared]
        if lost:
            raise ValueError(f"{', '.join(lost)}: what the bundled model is tested against is among those compared")

    def needs(self) -> Iterable[Any]:
        return self.compared

    def measure(self, bench: Bench) -> list[Figure]:
        command = f"python apps/evaluate.py --model {bench.name} --dataset ferplus --split valid --data DIR"
        figures, reports = [], {}
        for made, label in self.compared.items():
            model = bench.models[made]
            report = reports[made] = evaluate(model, bench.valid)
            print(report, flush=True)
            bundled = made is bench.bundled
            prefix, source = ("ferplus_valid", command) if bundled else (f"{made.name}_ferplus_valid", bench.command)
            trained = "last checkpoint, one seed"
            if hasattr(made, "runs"):
                trained = f"mean of the weights of {len(made.runs)} last trainings"
            tested = f"{label}: FERPlus valid, {report.n} faces, 8 classes, majority labels, {trained}"
            figures += [
                bench.figure(f"{prefix}_accuracy", f"{tested}; accuracy", report.accuracy, "share", source),
                bench.figure(f"{prefix}_balanced", f"{tested}; mean recall", report.balanced_accuracy, "share", source),
            ]
            if bundled:
                flipped = evaluate(model, bench.valid, flip=True).accuracy
                what = f"{tested}; mean of face and mirror image; accuracy"
                figures.append(bench.figure("ferplus_valid_flip_accuracy", what, flipped, "share", f"{command} --flip"))
                for expression, recall in zip(report.labels, report.recall):
                    what = f"{tested}; recall of {expression}"
                    figures.append(bench.figure(f"recall_{expression}", what, float(recall), "share", source))
        for label, several in self.seeds.items():
            accuracies = [reports[made].accuracy for made in several]
            key = several[0].name
            told = f"accuracy of {len(several)} seeds of the last training"
            what = f"{label}: FERPlus valid, {reports[several[0]].n} faces, {told}"
            figures += [
                bench.figure(f"{key}_seeds_mean", f"{what}; mean", statistics.mean(accuracies), "share"),
                bench.figure(f"{key}_seeds_deviation", f"{what}; deviation", statistics.stdev(accuracies), "share"),
            ]
        return figures + self._tested(bench)

    def _tested(self, bench: Bench) -> list[Figure]:
        """The bundled model's rates less those of the ones beside it, with paired intervals."""
        if not self.beside:
            return []
        valid = bench.valid.labeled(bench.model.label_space)
        true, units = true_classes(valid, bench.model.label_space), people_of(valid)[0]
        answers = predict(bench.model, valid).argmax(1)
        figures = []
        for made in self.beside:
            tested = paired_test(true, answers, predict(bench.models[made], valid).argmax(1), units)
            print(f"beside {self.compared[made]}: {tested}", flush=True)
            for key, rate, gained, chance in (
                ("accuracy", "accuracy", tested.accuracy, f"; McNemar's p {tested.p_value:.2g}"),
                ("balanced", "mean recall", tested.mean_recall, ""),
            ):
                what = f"FERPlus valid, {tested.n} faces: {rate} above that of {self.compared[made]}"
                what = f"{what} ({gained.bounds()}{chance})"
                figures.append(bench.figure(f"above_{made.name}_{key}", what, gained.value, "share"))
        return figures


@dataclasses.dataclass(frozen=True, eq=False)
class TurnedHeads(Measurement):
    """Accuracy on the faces of FERPlus valid that turn away by more than so many degrees.

    Attributes:
        compared: what was made -> its title in the figures.
        degrees: how far the faces turn away at least.
    """

    compared: Mapping[Any, str]
    degrees: tuple[int, ...] = (10, 20, 30, 40)

    def needs(self) -> Iterable[Any]:
        return self.compared

    def measure(self, bench: Bench) -> list[Figure]:
        from kerasfer.detection import estimate_poses

        yaw = np.abs(estimate_poses(bench.valid, cache=bench.runs / "poses")["pose"][:, 0])
        figures = []
        for degrees in self.degrees:
            turned = bench.valid.select(yaw > degrees)
            for made, label in self.compared.items():
                report = evaluate(bench.models[made], turned)
                what = f"{label}: FERPlus valid, |yaw| > {degrees} degrees, {report.n} faces; accuracy"
                print(what, f"{report.accuracy:.2%}", flush=True)
                key = f"{made.name}_yaw_above_{degrees}_accuracy"
                figures.append(bench.figure(key, what, report.accuracy, "share"))
        return figures


def _learned_from(bench: Bench, made: Made) -> dict[str, Any]:
    """What a training's run tells of its data set."""
    return json.loads((bench.runs / made.name / "config.json").read_text(encoding="utf-8"))["dataset"]


def settled(bench: Bench, count: int, size: int = 128) -> None:
    """Gives models with batch normalization the running statistics of real faces as they are (`settle`).

    Args:
        bench: its models are changed.
        count: how many faces of FERPlus train that no training held out, spread evenly over the set.
        size: of a batch.
    """
    for made, model in bench.models.items():
        # A mean has the held-out faces of the first of its trainings.
        share = _learned_from(bench, getattr(made, "runs", (made,))[0]).get("hold_out")
        table = splits.holdout(bench.train, share).train if share else bench.train
        table = table.select(np.unique(np.linspace(0, len(table) - 1, count).astype(int)))
        faces = model.image_spec.scale(prepare_faces(table, model.image_spec))
        layers = settle(model.recognizer(), np.array_split(faces, max(len(faces) // size, 1)))
        print(f"{made.name}: {layers} batch normalizations settled on {len(faces)} faces", flush=True)


def calibrated(bench: Bench, made: Made) -> list[Figure]:
    """Gives the bundled model the temperature that suits faces held out of its training; what that brings.

    Args:
        bench: its bundled model is replaced by one with the temperature, if faces were held out.
        made: the training whose run tells the share and the labels.
    """
    told = _learned_from(bench, made)
    share = told.get("hold_out")
    if not share:
        return []
    model = bench.model
    reading = {"labels": "probability"} if told.get("labels") == "votes" else {}
    held_out = splits.holdout(bench.load("ferplus", split="train", **reading), share).test.labeled(model.label_space)
    found = calibrate(predict(model, held_out), true_classes(held_out, model.label_space))
    print(found, flush=True)
    tempered = type(model)(dataclasses.replace(model.config, temperature=round(found.temperature, 4)))
    tempered.start_from(model)
    bench.models[bench.bundled] = tempered
    fitted = f"temperature, fitted on {found.n} faces held out of FERPlus train"
    what = f"expected calibration error, {found.n} faces held out of FERPlus train"
    figures = [
        bench.figure("temperature", fitted, found.temperature),
        bench.figure("held_out_calibration_error_before", f"{what}; temperature 1", found.error_before),
        bench.figure("held_out_calibration_error", f"{what}; with the temperature", found.error_after),
    ]
    valid = bench.valid.labeled(model.label_space)
    true = true_classes(valid, model.label_space)
    what = f"expected calibration error, FERPlus valid, {len(true)} faces"
    for key, when, judged in (("_before", "temperature 1", model), ("", "with the temperature", tempered)):
        error = expected_calibration_error(np.asarray(predict(judged, valid)), true)
        figures.append(bench.figure(f"valid_calibration_error{key}", f"{what}; {when}", error))
    return figures

"""Transfer: one recognizer on every data set in a folder, from whole photos where the set has them.

    report = transfer(kerasfer.load("edge"), "data")
    print(report)

Each set is measured on its own classes: probabilities of the others are dropped and the rest made to add up to 1; and,
beside that, on all classes of the model. Photos go the way that `kerasfer.recognize` takes: find the face (the one
nearest to the middle), align it, recognize it; a face that is not found counts as not recognized. Intervals are of
95 %, by resampling people where the set knows them, faces where it does not.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.evaluation.calibration import calibration_bins
from kerasfer.evaluation.classification import Recognizes, predict
from kerasfer.evaluation.resampling import (
    Interval,
    PairedTest,
    interval,
    paired_test,
    people_of,
    resampled_sums,
)
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.priors import Prior

__all__ = ["SETS", "Scores", "SetResult", "TransferReport", "TransferSet", "score", "transfer"]

RENDERED = {"count": 800, "identities": 40, "seed": 1000, "size": 96, "channels": 3}
"""The rendered faces that are measured: of other people than those that `apps/train.py` trains on."""

_NONE = -1


@dataclasses.dataclass(frozen=True)
class TransferSet:
    """A part of a data set that is measured.

    Attributes:
        name: what the table calls it.
        dataset: a name of `kerasfer.datasets.names()`.
        kind: "crops" (faces cut out as tight as FER+'s), "photos" (faces are found and aligned first) or "rendered".
        split: the part; None for all.
        options: of the reader.
    """

    name: str
    dataset: str
    kind: str = "crops"
    split: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


SETS = (
    TransferSet("ferplus_valid", "ferplus", split="valid"),
    TransferSet("ferplus_test", "ferplus", split="test"),
    TransferSet("lfw_expressions", "lfw_expressions"),
    TransferSet("lfw", "lfw", "photos"),
    TransferSet("ck48", "ck48"),
    TransferSet("london", "london", "photos"),
    TransferSet("kdef", "kdef", "photos", options={"views": ("S",)}),
    TransferSet("rafd", "rafd", "photos", options={"selection": "dcganfer_frontal"}),
    TransferSet("rendered", "synthetic", "rendered", options=RENDERED),
)
"""What is measured, in the table's order, of what is there."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Figures over some classes.

    Attributes:
        labels: the classes that answers are chosen from.
        mean_recall: mean over the set's classes of the share of its faces that were recognized.
        accuracy: share of all faces that were recognized.
        calibration_error: expected calibration error (15 bins) of the faces that were found.
        recall: class of the set -> share of its faces that were recognized.
    """

    labels: tuple[str, ...]
    mean_recall: Interval
    accuracy: Interval
    calibration_error: Interval
    recall: dict[str, Interval]

    @property
    def worst(self) -> str:
        """The class with the least recall."""
        return min(self.recall, key=lambda label: self.recall[label].value)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists; an interval is value, low, high."""
        return {
            "answers": list(self.labels),
            "mean_recall": self.mean_recall.to_json(),
            "accuracy": self.accuracy.to_json(),
            "calibration_error": self.calibration_error.to_json(),
            "worst_class": self.worst,
            "recall": {label: value.to_json() for label, value in self.recall.items()},
        }


@dataclasses.dataclass(frozen=True)
class SetResult:
    """A model on one set.

    Attributes:
        name: of the `TransferSet`.
        kind: "crops", "photos" or "rendered".
        n: number of faces measured, those not found among them.
        people: number of people known; 0: resampled by face.
        classes: class of the set that the model has -> number of faces.
        not_found: photos in which no face was found; they count as not recognized.
        left_out: faces of unknown expression or of one that the model has not.
        unreadable: files that are missing or damaged; they are not counted in n.
        own: answers from the set's classes.
        every: answers from all classes of the model.
        against: the first model beside the second, on the set's classes that both have; None if there is no second.
    """

    name: str
    kind: str
    n: int
    people: int
    classes: dict[str, int]
    not_found: int
    left_out: int
    unreadable: int
    own: Scores
    every: Scores
    against: PairedTest | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        content |= {"own": self.own.to_json(), "every": self.every.to_json()}
        content["against"] = self.against and self.against.to_json()
        return content


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """A model on all sets.

    Attributes:
        model: its name.
        prior: how frequent the classes counted as; None: as in the model's training.
        results: of the sets that are there.
        absent: set -> why it was not measured.
        against: name of the model it is compared with; "" if none.
        flip: whether answers are means over each face and its mirror image.
    """

    model: str
    prior: Prior | None
    results: tuple[SetResult, ...]
    absent: dict[str, str]
    against: str = ""
    flip: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {
            "model": self.model,
            "prior": self.prior if self.prior is None or isinstance(self.prior, str) else dict(self.prior),
            "flip": self.flip,
            "against": self.against or None,
            "sets": [result.to_json() for result in self.results],
            "absent": self.absent,
        }

    def __str__(self) -> str:
        prior = self.prior if isinstance(self.prior, str) or self.prior is None else json.dumps(dict(self.prior))
        flip = "; mean of face and mirror image" if self.flip else ""
        lines = [
            f"{self.model}: what carries over, in per cent with 95 % intervals; prior: {prior or 'as trained'}{flip}",
            f"{'set':<16}{'':<9}{'n':>6}{'people':>7}  {'answers':<15}{'mean recall':<20}{'accuracy':<20}"
            f"{'worst class':<30}calibration error",
        ]
        for result in self.results:
            head = f"{result.name:<16}{result.kind:<9}{result.n:>6}{result.people or '-':>7}"
            lines.append(head + _line(f"its own {len(result.own.labels)}", result.own))
            if set(result.every.labels) != set(result.own.labels):
                lines.append(" " * len(head) + _line(f"the model's {len(result.every.labels)}", result.every))
            notes = []
            if result.kind == "photos":
                notes.append(f"no face found in {result.not_found} photos, counted as not recognized")
            if result.left_out:
                notes.append(f"{result.left_out} faces left out: expression unknown or not one of the model's")
            if result.unreadable:
                notes.append(f"{result.unreadable} files missing or damaged")
            lines += [f"  {note}" for note in notes]
            if result.against:
                lines.append(f"  less {self.against}: {result.against}")
        lines += [f"not measured: {name} ({reason})" for name, reason in self.absent.items()]
        return "\n".join(lines)


def _line(answers: str, scores: Scores) -> str:
    worst = f"{scores.worst} {scores.recall[scores.worst]}"
    return (
        f"  {answers:<15}{scores.mean_recall!s:<20}{scores.accuracy!s:<20}{worst:<30}{scores.calibration_error!s}"
    ).rstrip()


def transfer(
    model: Recognizes,
    data: str | os.PathLike[str] | None = None,
    sets: Sequence[TransferSet] = SETS,
    *,
    prior: Prior | None = None,
    flip: bool = False,
    against: Recognizes | None = None,
    cache: str | os.PathLike[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    model_name: str = "",
    against_name: str = "",
    progress: Callable[[str], None] | None = None,
) -> TransferReport:
    """Measures a recognizer on every set that is there.

    Args:
        model: what recognizes, as for `evaluate`.
        data: folder that holds the sets' folders or zips; None: only rendered faces.
        sets: what to measure.
        prior: how frequent the classes are to count as, as for `kerasfer.recognize`.
        flip: take the mean of each face's and its mirror image's answers.
        against: another model to compare with on the same faces, with the same prior.
        cache: folder that keeps the faces aligned in photos, so that they are found once.
        resamples, seed: of the intervals.
        model_name, against_name: for the report; by default the models' own `name`, if they have one.
        progress: called with the name of each set before it is measured.

    Raises:
        DatasetError: the folder is not there.
        PriorError: the prior is not known or not of the model's classes.
    """
    if data is not None and not Path(data).is_dir():
        raise DatasetError(f"{data}: no such folder; name the one that holds the data sets' folders or zips")
    results, absent = [], {}
    for entry in sets:
        try:
            table = _load(entry, data, model)
            if progress:
                progress(entry.name)
            results.append(_measure(model, entry, table, prior, flip, against, cache, resamples, seed))
        except DatasetError as error:
            absent[entry.name] = str(error)
    return TransferReport(
        _name(model, model_name), prior, tuple(results), absent, _name(against, against_name) if against else "", flip
    )


def _name(model: Recognizes, given: str) -> str:
    name = given or getattr(model, "name", "")
    return name if isinstance(name, str) else ""


def _load(entry: TransferSet, data: str | os.PathLike[str] | None, model: Recognizes) -> FaceTable:
    """The part of a set, without files that cannot be used.

    Raises:
        DatasetError: it is not there, or nothing of it has one of the model's expressions.
    """
    root, options = None, dict(entry.options)
    if entry.dataset == "synthetic":
        names = [label for label in FERPLUS8.labels if model.label_space.find(label) >= 0]
        if not names:
            raise DatasetError("none of the model's expressions can be rendered")
        options["expressions"] = names
    else:
        root = None if data is None else datasets.find(entry.dataset, data)
        if root is None:
            raise DatasetError("not there")
        options["verify"] = True
    table = datasets.load(entry.dataset, root, split=entry.split, strict=False, **options)
    if not len(table.labeled(model.label_space)):
        why = f"; of {len(table.rejected)} files missing or damaged the first: {table.rejected[0]}" * bool(
            table.rejected
        )
        raise DatasetError(f"no face of an expression that the model has{why}")
    return table


def _measure(
    model: Recognizes,
    entry: TransferSet,
    table: FaceTable,
    prior: Prior | None,
    flip: bool,
    against: Recognizes | None,
    cache: str | os.PathLike[str] | None,
    resamples: int,
    seed: int,
) -> SetResult:
    space = model.label_space
    faces = table.labeled(space)
    every = faces.encoded(space)
    present = np.unique(every)
    own = LabelSpace.of([space.labels[number] for number in present])
    units, people = people_of(faces)
    probabilities, found = _answers(model, entry, faces, prior, flip, cache)
    true = np.searchsorted(present, every)
    settings = {"resamples": resamples, "seed": seed}
    compared = None
    if against is not None:
        both = [label for label in own.labels if against.label_space.find(label) >= 0]
        rows = np.flatnonzero(faces.encoded(LabelSpace.of(both)) >= 0) if both else []
        if len(rows):
            shared, same = LabelSpace.of(both), faces.select(rows)
            others, others_found = _answers(against, entry, same, prior, flip, cache)
            first = _chosen(_restricted(probabilities[rows], space, shared), found[rows])
            second = _chosen(_restricted(others, against.label_space, shared), others_found)
            compared = paired_test(same.encoded(shared), first, second, people_of(same)[0], **settings)
    return SetResult(
        entry.name,
        entry.kind,
        len(faces),
        people,
        dict(zip(own.labels, np.bincount(true, minlength=len(own)).tolist())),
        int((~found).sum()),
        len(table) - len(faces),
        len(table.rejected),
        score(true, _restricted(probabilities, space, own), found, units, own.labels, **settings),
        score(every, probabilities, found, units, space.labels, **settings),
        compared,
    )


def _answers(
    model: Recognizes,
    entry: TransferSet,
    faces: FaceTable,
    prior: Prior | None,
    flip: bool,
    cache: str | os.PathLike[str] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, float (n, K), and bool (n,): in which rows a face was found; in the others they are 1 / K."""
    found = np.ones(len(faces), bool)
    if entry.kind != "crops":
        from kerasfer.detection import align_table

        spec = model.image_spec
        numbers = np.arange(len(faces))
        numbered = faces.with_columns(frame=numbers, box=np.full((len(faces), 4), np.nan))
        faces = align_table(numbered, spec.size, spec.channels, missing="drop", cache=cache)
        found = np.isin(numbers, faces["frame"])
    classes = len(model.label_space)
    probabilities = np.full((len(found), classes), 1 / classes)
    probabilities[found] = predict(model, faces, flip=flip, prior=prior)
    return probabilities, found


def _restricted(probabilities: np.ndarray, space: LabelSpace, own: LabelSpace) -> np.ndarray:
    """Probabilities of the classes of another space, all of which this one has, made to add up to 1."""
    kept = np.maximum(probabilities[:, [space.find(label) for label in own.labels]], 1e-12)
    return kept / kept.sum(1, keepdims=True)


def _chosen(probabilities: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.where(found, probabilities.argmax(1), _NONE)


def score(
    true: np.ndarray,
    probabilities: np.ndarray,
    found: np.ndarray,
    units: np.ndarray,
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Figures with intervals.

    Args:
        true: int (n,), class of each face.
        probabilities: float (n, K), rows that add up to 1.
        found: bool (n,), whether there is an answer at all; those without count as wrong, and not in the calibration.
        units: int (n,), who is drawn together, as `resampling.people_of` gives them.
        labels: names of the K classes.
        resamples, seed: of the bootstrap.
    """
    right = _chosen(probabilities, found) == true
    present = np.unique(true)
    of_class = (true[:, None] == present).astype(np.float64)
    bins, gaps = calibration_bins(probabilities, true)
    values = np.concatenate([of_class, of_class * right[:, None], bins * found[:, None], gaps * found[:, None]], axis=1)
    edges = np.cumsum([len(present), len(present), bins.shape[1]])

    def figures(sums: np.ndarray) -> tuple[np.ndarray, ...]:
        faces, hits, counts, distances = np.split(sums, edges, axis=1)
        there = faces > 0
        recall = np.divide(hits, faces, out=np.full_like(hits, np.nan), where=there)
        mean = np.nansum(recall, axis=1) / there.sum(1)
        answered = counts.sum(1)
        error = np.divide(np.abs(distances).sum(1), answered, out=np.full(len(sums), np.nan), where=answered > 0)
        return mean, hits.sum(1) / faces.sum(1), error, recall

    mean, accuracy, error, recall = figures(values.sum(0, keepdims=True))
    drawn = figures(resampled_sums(values, units, resamples, seed))
    return Scores(
        tuple(labels),
        interval(mean[0], drawn[0]),
        interval(accuracy[0], drawn[1]),
        interval(error[0], drawn[2], biased=True),
        {labels[code]: interval(recall[0, column], drawn[3][:, column]) for column, code in enumerate(present)},
    )

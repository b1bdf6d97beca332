"""How well a model recognizes expressions: accuracy, per class, confusion."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerasfer import markup
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.expressions import UNKNOWN, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.files import atomic_write
from kerasfer.graphs import in_graph
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = ["Recognizes", "Report", "evaluate", "predict", "true_classes"]

_CHUNK = 1024


class Recognizes(Protocol):
    """What can be evaluated: every model of the zoo, or anything with these three."""

    image_spec: ImageSpec
    label_space: LabelSpace

    def recognizer(self) -> Callable[[Any], Any]:
        """A function of images float32 (n, *image_spec.shape), in the spec's range, to probabilities (n, K)."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The outcome of a test. Rates of a class that does not occur are NaN, None in JSON.

    Attributes:
        labels: names of the K classes.
        confusion: int64 (K, K), true class by row, recognized class by column.
        dataset: name of the data set.
        split: the part tested on.
        protocol: how it was tested.
        model: name of the model.
        left_out: faces of the table whose expression is unknown or not among the classes.
        outside: of those, the number of each class that is not among the model's.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    dataset: str = ""
    split: str = ""
    protocol: str = ""
    model: str = ""
    left_out: int = 0
    outside: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        confusion = np.asarray(self.confusion, np.int64)
        if confusion.shape != (len(self.labels), len(self.labels)) or (confusion < 0).any():
            raise ValueError(f"{len(self.labels)} classes need a confusion matrix of counts of that size")
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "confusion", confusion)

    def __repr__(self) -> str:
        rates = f"accuracy {self.accuracy:.1%}, mean recall {self.balanced_accuracy:.1%}" if self.n else "none known"
        return f"Report({self._title()}: {self.n:,} faces, {rates})"

    def _title(self) -> str:
        return " ".join(
            filter(None, (self.model, "on" if self.model and self.dataset else "", self.dataset, self.split))
        )

    @markup.optional
    def _repr_html_(self) -> str:
        rates = [
            (label, *(f"{rate:.1%}" if rate == rate else "–" for rate in rates), int(count), *map(int, line))
            for label, *rates, count, line in zip(
                self.labels, self.recall, self.precision, self.f1, self.confusion.sum(1), self.confusion
            )
        ]
        told = f"{self.n:,} faces, accuracy {self.accuracy:.1%}, mean recall {self.balanced_accuracy:.1%}"
        if self.left_out:
            told += f"; {self.left_out:,} left out"
        return markup.page(
            markup.Html(f"<b>{markup.escaped(self._title() or 'Report')}</b>: {told}"),
            markup.table(
                ("class", "recall", "precision", "F1", "faces", *(f"as {name}" for name in self.labels)), rates
            ),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Report) and self.to_json() == other.to_json()

    @classmethod
    def of(cls, true: np.ndarray, recognized: np.ndarray, space: LabelSpace, **about: Any) -> Report:
        """The report of class numbers, int (n,) each."""
        size = len(space)
        confusion = np.bincount(np.asarray(true) * size + recognized, minlength=size * size).reshape(size, size)
        return cls(space.labels, confusion, **about)

    @property
    def n(self) -> int:
        """Number of faces tested."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Part of all faces that were recognized."""
        return float(np.trace(self.confusion) / self.n) if self.n else float("nan")

    @property
    def recall(self) -> np.ndarray:
        """For each class, the part of its faces that were recognized: float64 (K,)."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(1))

    @property
    def precision(self) -> np.ndarray:
        """For each class, the part of the faces recognized as it that are of it: float64 (K,)."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(0))

    @property
    def f1(self) -> np.ndarray:
        """For each class, the harmonic mean of recall and precision: float64 (K,)."""
        return _ratio(2 * np.diag(self.confusion), self.confusion.sum(0) + self.confusion.sum(1))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recall of the classes that occur."""
        return float(np.nanmean(self.recall)) if self.n else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; rates are rounded to six places."""
        rates = zip(self.labels, self.recall, self.precision, self.f1, self.confusion.sum(1))
        return {
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "protocol": self.protocol,
            "n": self.n,
            "left_out": self.left_out,
            **({"outside": dict(self.outside)} if self.outside else {}),
            "accuracy": _rounded(self.accuracy),
            "balanced_accuracy": _rounded(self.balanced_accuracy),
            "per_class": {
                label: {"recall": _rounded(r), "precision": _rounded(p), "f1": _rounded(f), "n": int(count)}
                for label, r, p, f, count in rates
            },
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Report:
        """The report that `to_json` gave; the rates are computed anew from the confusion matrix."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: content[name] for name in names if name in content})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON; `ValueError`, naming the file and the remedy, if it cannot be written."""
        atomic_write(path, (json.dumps(self.to_json(), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Reads what `save` wrote.

        Raises:
            ValueError: the file is missing or is not a report.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a readable report ({error})") from error

    def __str__(self) -> str:
        title = ", ".join(part for part in (self.model, self.dataset, self.split, self.protocol) if part)
        width = max(len("expression"), *(len(label) for label in self.labels))
        lines = [title] if title else []
        lines.append(f"accuracy {self.accuracy:.2%}, mean per class {self.balanced_accuracy:.2%}, n = {self.n}")
        if self.left_out:
            classes = ", ".join(f"{name} ({count})" for name, count in self.outside.items())
            lines.append(
                f"{self.left_out} faces left out: their expression is unknown or not one of the model's"
                + (f": {classes}" if classes else "")
            )
        cells = "".join(f"{label[:7]:>8}" for label in self.labels)
        lines.append(f"{'expression':<{width}}{'n':>7}{'recall':>9}{'precis.':>9}{'F1':>9}   recognized as{cells}")
        for index, label in enumerate(self.labels):
            rates = "".join(f"{rate[index]:>9.2%}" for rate in (self.recall, self.precision, self.f1))
            counts = "".join(f"{count:>8}" for count in self.confusion[index])
            lines.append(f"{label:<{width}}{self.confusion[index].sum():>7}{rates}{'':>16}{counts}")
        return "\n".join(lines)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def true_classes(table: FaceTable, space: LabelSpace, labels: str = "majority") -> np.ndarray:
    """Class numbers int32 (n,), -1 where there is none.

    Args:
        table: the data set.
        space: the classes.
        labels: "majority" for `expression`, "votes" for the class with the most votes (the first one where equal).

    Raises:
        DatasetError: another value of `labels`, or classes that the table has no votes for.
    """
    if labels == "majority":
        return table.encoded(space)
    if labels != "votes":
        raise DatasetError(f"labels must be majority or votes, not {labels!r}")
    votes = table.votes_for(space)
    return np.where(votes.sum(1) > 0, votes.argmax(1), UNKNOWN).astype(np.int32)


def predict(
    model: Recognizes,
    table: FaceTable,
    batch_size: int = 64,
    flip: bool = False,
    progress: Callable[[int, int], None] | None = None,
    prior: Prior | None = None,
) -> np.ndarray:
    """Probabilities of each face of a table.

    Args:
        model: what recognizes.
        table: the faces, aligned; each row's `box` is cut out.
        batch_size: faces at a time.
        flip: take the mean of each face's and its mirror image's probabilities.
        progress: called with the number of faces done and of all.
        prior: how frequent the classes are to count as, as for `kerasfer.recognize`; None: as in training.

    Returns:
        float32 (n, K), in the order of the model's label space.

    Raises:
        DatasetError: images that do not decode; the message names them.
        PriorError: the prior is not known or not of the model's classes.
    """
    spec = model.image_spec
    weights = prior_weights(prior, model.label_space.labels, getattr(model, "training_prior", None))
    recognize = in_graph(model.recognizer())
    probabilities = np.empty((len(table), len(model.label_space)), np.float32)
    for start in range(0, len(table), _CHUNK):
        pixels = prepare_faces(table, spec, np.arange(start, min(start + _CHUNK, len(table))))
        for low in range(0, len(pixels), batch_size):
            faces = spec.scale(pixels[low : low + batch_size])
            outcome = np.asarray(recognize(faces))
            if flip:
                outcome = (outcome + np.asarray(recognize(np.ascontiguousarray(faces[:, :, ::-1])))) / 2
            probabilities[start + low : start + low + len(faces)] = adjusted(outcome, weights)
            if progress:
                progress(start + low + len(faces), len(table))
    return probabilities


def evaluate(
    model: Recognizes,
    table: FaceTable,
    batch_size: int = 64,
    flip: bool = False,
    *,
    labels: str = "majority",
    protocol: str = "",
    model_name: str = "",
    progress: Callable[[int, int], None] | None = None,
    prior: Prior | None = None,
) -> Report:
    """Tests a model on a table.

    Faces whose expression is unknown or not one of the model's classes are left out, and counted in the report.

    Args:
        model: what recognizes: a model of the zoo, or anything with `image_spec`, `label_space` and `recognizer()`.
        table: the faces, aligned.
        batch_size: faces at a time.
        flip: as in `predict`.
        labels: as in `true_classes`.
        protocol: how the table was made, for the report.
        model_name: for the report; by default the model's own `name`, if it has one.
        progress: called with the number of faces done and of all.
        prior: as in `predict`.

    Raises:
        DatasetError: no face to test, or images that do not decode.
    """
    space = model.label_space
    true = true_classes(table, space, labels)
    rows = np.flatnonzero(true >= 0)
    if not len(rows):
        theirs = ", ".join(name for name, count in table.counts().items() if count) or "not known"
        raise DatasetError(
            f"{table.name}: no face has one of the model's expressions: {', '.join(space.labels)}; theirs are {theirs}"
        )
    tested = table.select(rows)
    recognized = predict(model, tested, batch_size, flip, progress, prior).argmax(1)
    parts = sorted(set(tested["split"].tolist()) - {""}) if "split" in tested else []
    name = model_name or getattr(model, "name", "")
    return Report.of(
        true[rows],
        recognized,
        space,
        dataset=table.name,
        split="+".join(parts),
        protocol=protocol or ("flip" if flip else ""),
        model=name if isinstance(name, str) else "",
        left_out=len(table) - len(rows),
        outside=table.outside(space) if labels == "majority" else {},
    )

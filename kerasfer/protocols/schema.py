"""What a protocol is: data sets as a paper uses them, their division, the variants of a model, and what is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kerasfer.datasets.base import FaceTable
from kerasfer.splits import (
    Split,
    cross_database,
    official,
    official_folds,
    repeated,
    subject_holdout,
    subject_independent_folds,
)

__all__ = [
    "METRICS",
    "NEEDS",
    "YAW_CLASSES",
    "Data",
    "Protocol",
    "ProtocolError",
    "Rule",
    "Setting",
    "Variant",
    "as_it_is",
    "having",
]


class ProtocolError(ValueError):
    """A protocol is unknown or cannot run; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set as a protocol uses it.

    Attributes:
        name: of the reader.
        classes: name of a label space; faces of other expressions are left out. "" takes all faces, labeled or not.
        options: of the reader.
        parts: which of the owners' parts are read; () for all of the set.
        cropped: whether the owners' images are faces cut out already; others are aligned first.
        peak: which of a sequence's frames read is its peak: "last" or "middle".
    """

    name: str
    classes: str = "basic7"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()
    cropped: bool = False
    peak: str = "last"


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a setting's faces are divided.

    Attributes:
        kind: "folds" (by people, balanced), "official", "official_folds", "people" (once, by people) or "cross".
        count: number of folds, or of runs with different seeds.
        part: share of the people tested, for "people".
        test: name of the official part tested, for "official".
    """

    kind: str
    count: int = 1
    part: float = 0.2
    test: str | None = None

    def splits(self, train: FaceTable, test: FaceTable | None = None, seed: int = 0) -> list[tuple[Split, int]]:
        """Each split, and the seed of its run: 0, but for runs that are repeated."""
        if self.kind == "folds":
            return [(split, 0) for split in subject_independent_folds(train, self.count, seed)]
        if self.kind == "official_folds":
            return [(split, 0) for split in official_folds(train)]
        if self.kind == "people":
            return [(subject_holdout(train, self.part, seed), 0)]
        whole = official(train, self.test) if self.kind == "official" else cross_database(train, test or train)
        return list(zip(repeated(whole, self.count), range(self.count)))

    def __str__(self) -> str:
        runs = f", {self.count} runs" if self.count > 1 else ""
        return {
            "folds": f"{self.count} folds by people",
            "official_folds": "the owners' folds",
            "people": f"{self.part:.0%} of the people tested",
            "official": f"the owners' split{runs}",
            "cross": f"trained on one set, tested on the other{runs}",
        }[self.kind]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A column of a table: faces, and how they are divided.

    Attributes:
        name: as in the published figures.
        data: what is trained on, and tested on unless `test` is given.
        rule: how it is divided.
        test: another set to test on.
        start: a set that the model is trained on first.
        tested: name of the label space tested, where the model also learns other classes.
    """

    name: str
    data: Data
    rule: Rule
    test: Data | None = None
    start: Data | None = None
    tested: str = ""

    @property
    def sets(self) -> tuple[Data, ...]:
        """Every set that the setting needs."""
        return tuple(data for data in (self.data, self.test, self.start) if data is not None)


def as_it_is(config: Any) -> Any:
    """The paper's config, unchanged."""
    return config


def having(**fields: Any) -> Callable[[Any], Any]:
    """A change of a config: these fields, with these values."""
    return lambda config: config.replace(**fields)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of a table: a model's config.

    Attributes:
        name: as in the published figures.
        of: makes the variant's config of the paper's.
    """

    name: str
    of: Callable[[Any], Any] = as_it_is


METRICS: dict[str, str] = {
    "accuracy": "share of the faces recognized",
    "recall": "share recognized of each expression, and the mean of these",
    "pose_accuracy": "share recognized at each yaw, and of all",
    "pose_recall": "share recognized of each expression at each yaw, and their means",
    "view_recall": "share recognized of each expression at each yaw and pitch, and their means",
    "yaw_subsets": "share recognized of the faces turned by more than so many degrees",
    "auc": "area under each expression's ROC curve, and the mean",
    "unit_auc": "area under each action unit's ROC curve, and the mean",
    "reconstruction": "PSNR and SSIM of a changed expression beside the person's real one",
    "verification": "share of pairs of a real and a generated face rightly told the same person or not",
    "generation": "inception score, FID and SSIM of generated faces",
    "hours": "hours of training",
    "pose_counts": "number of training faces in each class of yaw",
}
"""What a protocol can measure."""

NEEDS: dict[str, tuple[str, ...]] = {
    "unit_auc": ("fit_units", "detect_units"),
    "reconstruction": ("change_expression",),
    "verification": ("change_expression", "identity_codes"),
    "generation": ("generate",),
}
"""Methods that a model must have to be measured so; see "Protocols" in CONTRIBUTING.md."""

YAW_CLASSES = (0, 10, 20, 30, 40)
"""Lower edges of IPD-FER's classes of yaw (Table 1), in degrees; the last one has no upper edge."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A table or a figure of a paper as something to run.

    Attributes:
        title: what is measured.
        model: name in the zoo; "" if none is trained.
        metric: a key of `METRICS`.
        settings: the columns.
        variants: the rows.
        faces: the set of faces with names that the model learns identities from, if it needs one.
        fits: whether the model's recognizer is fitted to the train part after the networks have been trained
            (`fit_classifier`).
        peak: whether of each sequence only the peak is tested.
        notes: readings where the paper leaves a choice.
    """

    title: str
    model: str
    metric: str
    settings: tuple[Setting, ...]
    variants: tuple[Variant, ...] = (Variant("model"),)
    faces: Data | None = None
    fits: bool = False
    peak: bool = False
    notes: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Methods that the model must have beyond those of every model."""
        return (*(("fit_classifier",) if self.fits else ()), *NEEDS.get(self.metric, ()))

    def data_sets(self, settings: Iterable[Setting] | None = None) -> tuple[str, ...]:
        """Names of the data sets needed, each once."""
        needed = [data for setting in (settings or self.settings) for data in setting.sets]
        needed += [self.faces] if self.faces else []
        return tuple(dict.fromkeys(data.name for data in needed))

    def chosen(self, names: Iterable[str] | None) -> tuple[Setting, ...]:
        """The settings of these names; all for None.

        Raises:
            ProtocolError: there is no setting of that name.
        """
        if names is None:
            return self.settings
        by_name = {setting.name: setting for setting in self.settings}
        for name in names:
            if name not in by_name:
                raise ProtocolError(f"no setting {name!r}; settings are: {', '.join(by_name)}")
        return tuple(by_name[name] for name in dict.fromkeys(names))

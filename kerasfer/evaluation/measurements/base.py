"""A measurement, and the bench with the trained models that are measured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from kerasfer import datasets
from kerasfer.datasets.base import FaceTable
from kerasfer.evaluation.figures import Figure

__all__ = ["Bench", "Made", "Measurement"]


class Made(Protocol):
    """What a trained model was made by: a training, or the mean of several."""

    @property
    def name(self) -> str:
        """As figures call it."""


@dataclasses.dataclass(eq=False)
class Bench:
    """Trained models, faces to measure them on, and the command that does it.

    Attributes:
        name: of the model in the zoo.
        models: what was made -> the model.
        bundled: which of them is saved.
        locate: gives the folder or zip of a data set by its name.
        runs: folder of the trainings, where pictures and what is estimated once are kept.
        command: prints the figures, unless one has a command of its own.
    """

    name: str
    models: dict[Made, Any]
    bundled: Made
    locate: Callable[[str], Path | None]
    runs: Path
    command: str

    @property
    def model(self) -> Any:
        """The model that is bundled."""
        return self.models[self.bundled]

    @functools.cached_property
    def train(self) -> FaceTable:
        """FERPlus train, majority labels."""
        return self.load("ferplus", split="train")

    @functools.cached_property
    def valid(self) -> FaceTable:
        """FERPlus valid, majority labels."""
        return self.load("ferplus", split="valid")

    def load(self, name: str, **options: Any) -> FaceTable:
        """Reads a data set, as `kerasfer.datasets.load` does."""
        return datasets.load(name, self.locate(name), **options)

    def figure(self, key: str, what: str, value: float, unit: str = "", command: str | None = None) -> Figure:
        """A figure of this bench."""
        return {"key": key, "what": what, "value": value, "unit": unit, "command": command or self.command}


class Measurement:
    """Something that is measured of trained models; a recipe lists some, each with what it is to look at."""

    def needs(self) -> Iterable[Any]:
        """What must have been made, besides what is bundled."""
        return ()

    def fit(self, bench: Bench) -> list[Figure]:
        """Fits what belongs to the bundled model and is saved with it; the figures of that."""
        return []

    def measure(self, bench: Bench) -> list[Figure]:
        """Measures the bundled model, as it was saved and loaded again, and those beside it."""
        return []

    def judge(self, bench: Bench) -> list[Figure]:
        """The figures that depend on other bundled models, which may have changed since."""
        return []

"""A figure, a measurement, and the bench with the trained models that are measured."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

from kerasfer import datasets
from kerasfer.datasets.base import FaceTable
from kerasfer.files import write_aside

__all__ = ["Bench", "Figure", "FiguresError", "Made", "Measurement", "read_figures", "replaced", "write_figures"]


class FiguresError(ValueError):
    """A metrics.json, or a page that shows figures, is not as it must be."""


class Figure(TypedDict):
    """A figure of a metrics.json.

    Keys:
        key: a name, unique in its file.
        what: what was measured, for readers.
        value: the number.
        unit: "share" (shown in percent), "count", "bytes" or any word, which is shown behind the number.
        command: prints the figure.
    """

    key: str
    what: str
    value: float
    unit: str
    command: str


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


def read_figures(path: Path) -> list[Figure]:
    """Reads the figures of one metrics.json.

    Raises:
        FiguresError: it is not a list of figures; the message names the file and what is wrong with it.
    """
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
        keys = [figure["key"] for figure in figures]
        for figure in figures:
            if not isinstance(figure["value"], (int, float)) or isinstance(figure["value"], bool):
                raise FiguresError(f"{path}: the value of {figure['key']} is no number")
            figure["what"], figure["unit"], figure["command"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, FiguresError):
            raise
        raise FiguresError(
            f"{path}: not a list of figures with key, what, value, unit and command ({error})"
        ) from error
    if len(set(keys)) != len(keys):
        raise FiguresError(f"{path}: a key occurs twice")
    return figures


def write_figures(path: Path, figures: Sequence[Figure]) -> None:
    """Writes a metrics.json."""
    write_aside(path, (json.dumps({"figures": list(figures)}, indent=2) + "\n").encode())


def replaced(figures: Sequence[Figure], fresh: Sequence[Figure]) -> list[Figure]:
    """Figures with fresh ones in the place of older ones of the same key, and what is new at the end."""
    by_key: Mapping[str, Figure] = {figure["key"]: figure for figure in fresh}
    kept = [by_key.get(figure["key"], figure) for figure in figures]
    known = {figure["key"] for figure in figures}
    return kept + [figure for figure in fresh if figure["key"] not in known]

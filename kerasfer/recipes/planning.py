"""Trainings that are planned, one on the other, and what is made and measured of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasfer import datasets, trainer, training
from kerasfer.data.sets import NamedSets
from kerasfer.evaluation.measurements.base import Measurement
from kerasfer.models.config import ModelConfig

if TYPE_CHECKING:
    from kerasfer.data.recipe import Say

__all__ = ["Mean", "Plan", "PlanError", "Run", "Teachers"]


class PlanError(ValueError):
    """Trainings that cannot be done as they are planned."""


@dataclasses.dataclass(frozen=True)
class Teachers:
    """Models whose mean answers count among the votes; one that is named twice counts twice.

    Attributes:
        models: trainings of the plan, or names or folders of trained models.
        share: their share of the votes.
    """

    models: tuple[Run | str, ...] = ()
    share: float = 0.5


NOBODY = Teachers()
"""No teachers: the data set's own labels alone."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A training as it is planned; `kerasfer.trainer.Run` is what is left of one that was done.

    Attributes:
        name: of the training and of its folder.
        config: of the model.
        sets: what it learns from.
        start: where its first weights come from: other trainings, or names or folders of trained models, the last
            first; () for random weights.
        teachers: whose answers count among the votes.
        until: stop after this epoch, earlier than the schedule ends.
        keep_every: keep the generator's weights every so many epochs (`kerasfer.training.Snapshots`); 0 never.
    """

    name: str
    config: ModelConfig
    sets: NamedSets
    _: dataclasses.KW_ONLY
    start: tuple[Run | str, ...] = ()
    teachers: Teachers = NOBODY
    until: int | None = None
    keep_every: int = 0

    def then(
        self,
        name: str,
        *also: Run | str,
        sets: NamedSets | None = None,
        teachers: Teachers | None = None,
        **fields: Any,
    ) -> Run:
        """The training that goes on from this one's weights.

        Args:
            name: of the next training.
            *also: where it starts from as well; what these have is taken from them.
            sets: what it learns from; by default what this one does.
            teachers: whose answers count; by default those of this one.
            **fields: of the config, where the next one's differs.

        Raises:
            ConfigError: a field that the config does not have, or a value that it cannot have.
        """
        return Run(
            name,
            self.config.replace(**fields),
            self.sets if sets is None else sets,
            start=(self, *also),
            teachers=self.teachers if teachers is None else teachers,
        )

    def with_(
        self,
        name: str | None = None,
        *,
        sets: NamedSets | None = None,
        start: Sequence[Run | str] | None = None,
        teachers: Teachers | None = None,
        **fields: Any,
    ) -> Run:
        """The same training with something else in it: another seed, an ablation.

        Args:
            name: of the other training; by default this one's with the fields that differ, as in "tdgan_seed1".
            sets, start, teachers: what differs of these.
            **fields: of the config, where the other one's differs.

        Raises:
            ConfigError: a field that the config does not have, or a value that it cannot have.
        """
        return dataclasses.replace(
            self,
            name=name or "_".join([self.name, *(f"{field}{value}" for field, value in fields.items())]),
            config=self.config.replace(**fields),
            sets=self.sets if sets is None else sets,
            start=self.start if start is None else tuple(start),
            teachers=self.teachers if teachers is None else teachers,
        )

    def before(self) -> list[Run]:
        """The trainings of the plan that this one needs."""
        return [source for source in (*self.start, *self.teachers.models) if isinstance(source, Run)]

    def given(self) -> list[str]:
        """The names and folders of trained models that this one needs besides."""
        return [source for source in (*self.start, *self.teachers.models) if isinstance(source, str)]

    def train(
        self,
        data: str | os.PathLike[str],
        runs: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        verbose: int = 2,
        say: Say = print,
    ) -> trainer.Run:
        """Trains, or goes on where the training stopped.

        Args:
            data: folder with the data sets, as folders or zips.
            runs: folder of the trainings, which holds those that this one needs.
            notes: what else config.json is to say.
            verbose: as of `kerasfer.train`.
            say: is told what is done and what is left out, a line at a time.

        Raises:
            DatasetError: a data set is missing or is not as it must be.
            ZooError: a training that this one needs has not been done.
            TrainingError: the folder holds another training.
        """
        Model, runs = trainer.class_of(self.config), Path(runs)

        def place(source: Run | str) -> str:
            return source if isinstance(source, str) else str(runs / source.name)

        recipe = self.sets.recipe(
            Model,
            self.config,
            lambda name: None if name == "synthetic" else datasets.locate(name, os.fspath(data)),
            teachers=[place(source) for source in self.teachers.models],
            teacher_share=self.teachers.share,
            say=say,
        )
        return trainer.train(
            self.config,
            recipe,
            runs / self.name,
            until=self.until,
            on_epoch_end=[training.Snapshots(self.keep_every, ("generator",))] if self.keep_every else (),
            start_from={place(source): trainer.trained_model(place(source)) for source in self.start},
            notes={**self.sets.facts(), **(notes or {})},
            verbose=verbose,
            say=say,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Mean:
    """The mean of the weights of several trainings (`kerasfer.zoo.average`), which counts as one of them.

    Attributes:
        name: what figures call it.
        runs: of one config but for the seed.
    """

    name: str
    runs: tuple[Run, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How a bundled model is made, and what is measured of it.

    Attributes:
        runs: the trainings, each after those that it needs.
        bundled: the one that is saved.
        measurements: what is measured, in the order of the figures.
        storage: weight group to save -> type that its weights are stored in, as for `kerasfer.save`.
        generator: whether there are TFLite files of the generator as well as of the recognizer.
        left_out: files that are measured and, for want of room, not bundled: `kerasfer export` writes them.
        settled: how many faces of FER+ train the running statistics of batch normalization are taken of anew, for
            averaged weights (`kerasfer.models.normalization`); 0 for those that the training left.

    Raises:
        PlanError: two trainings have one name, one comes before another that it needs, they are of several models, or
            something is measured that the plan does not make.
    """

    runs: tuple[Run, ...]
    bundled: Run | Mean
    measurements: tuple[Measurement, ...]
    _: dataclasses.KW_ONLY
    storage: Mapping[str, str]
    generator: bool = False
    left_out: tuple[str, ...] = ()
    settled: int = 0

    def __post_init__(self) -> None:
        done: dict[str, Run] = {}
        for run in self.runs:
            if run.name in done:
                raise PlanError(f"{run.name}: two trainings have this name")
            late = [other.name for other in run.before() if done.get(other.name) is not other]
            if late:
                raise PlanError(f"{run.name}: needs {', '.join(late)}; list what it needs before it")
            done[run.name] = run
        if len({type(run.config) for run in self.runs}) != 1:
            raise PlanError("a plan is of the trainings of one model")
        for made in self.needed():
            missing = [run.name for run in _parts(made) if done.get(run.name) is not run]
            if missing:
                raise PlanError(f"{', '.join(missing)}: is measured or bundled, but no training of the plan")

    @property
    def model(self) -> str:
        """The name of the model."""
        return trainer.name_of(trainer.class_of(self.runs[0].config))

    def run(self, name: str) -> Run:
        """The training of a name.

        Raises:
            PlanError: there is none; the message lists the names.
        """
        for run in self.runs:
            if run.name == name:
                return run
        raise PlanError(f"unknown training {name!r}; known are: {', '.join(run.name for run in self.runs)}")

    def needed(self) -> list[Run | Mean]:
        """What is bundled and all that is measured beside it, each once."""
        measured = (made for measurement in self.measurements for made in measurement.needs())
        return list(dict.fromkeys([self.bundled, *measured]))


def _parts(made: Run | Mean) -> tuple[Run, ...]:
    """The trainings that something is made of."""
    return made.runs if isinstance(made, Mean) else (made,)

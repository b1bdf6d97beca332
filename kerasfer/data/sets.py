"""A recipe by the names of its data sets: what a command line, or an experiment, says of the faces to learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import splits
from kerasfer.data.augment import PAPER_AUGMENTATION, Augmentation
from kerasfer.data.kinds import kind_of
from kerasfer.data.recipe import Recipe, Say, read_faces, read_parts
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import EXPRESSION_ACTION_UNITS, UNKNOWN

__all__ = ["AUGMENTATIONS", "NamedSets", "divided", "showing"]

AUGMENTATIONS: dict[str, Augmentation] = {
    "paper": PAPER_AUGMENTATION,
    "strong": Augmentation.strong(),
    "sharp": Augmentation.strong_and_sharp(),
    "cameras": Augmentation.cameras(),
    "warps": Augmentation.warps(),
}
"""What a word on the command line stands for."""


def divided(table: FaceTable, hold_out: float) -> splits.Split:
    """A further set as `NamedSets.faces_hold_out` divides it: what is trained on, and as `test` what is left aside."""
    return splits.holdout(table.select(table["expression"] != UNKNOWN), hold_out, seed=0)


def showing(table: FaceTable, unit: int) -> FaceTable:
    """The faces whose expression shows an action unit, as `EXPRESSION_ACTION_UNITS` has it.

    Raises:
        DatasetError: none does.
    """
    codes = [int(expression) for expression, units in EXPRESSION_ACTION_UNITS.items() if unit in units]
    kept = np.isin(table["expression"], codes)
    if not kept.any():
        raise DatasetError(f"{table.name}: no face of an expression that shows action unit {unit}; take another set")
    return table.select(kept)


@dataclasses.dataclass(frozen=True)
class NamedSets:
    """Data sets to learn from, by name, and what is taken of them.

    Attributes:
        dataset: name of the set with expression labels.
        faces: names of further sets, for models that learn from two or more.
        hold_out: share of the train part to watch, by person where identities are known; None: the valid part, or a
            tenth where there is none.
        train_share: share of the training faces that is learned from, stratified by class; None: all of them.
        split: learn from this part, instead of train.
        images: how many faces to render, of synthetic sets.
        labels: "majority", or "votes" for the share of each vote.
        augment: what is done to each image, drawn anew at every step.
        balanced: draw as many faces of each class.
        align_faces: whether the further faces are aligned by their landmarks first.
        faces_hold_out: share of the labeled faces of each further set to leave aside, by person where identities are
            known, so that there is something of it to measure on; None: none. Faces without a label go as well.
        unit: learn only from faces whose expression shows this action unit (`EXPRESSION_ACTION_UNITS`); None: all.
        detector: cut faces as this detector finds them (`kerasfer.detection.estimate_boxes`), as DCGAN-FER's paper
            cuts them by Viola and Jones' ("haar"); None: as the sets have them.
        options: of the data set's reader.

    Raises:
        DatasetError: from `recipe`, like everything that is wrong with the sets.
    """

    dataset: str
    faces: tuple[str, ...] = ()
    hold_out: float | None = None
    train_share: float | None = None
    split: str | None = None
    images: int = 8000
    labels: str = "majority"
    augment: Augmentation = PAPER_AUGMENTATION
    balanced: bool = False
    align_faces: bool = False
    faces_hold_out: float | None = None
    unit: int | None = None
    detector: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def recipe(
        self,
        model: Any,
        config: Any,
        locate: Callable[[str], Path | None],
        *,
        teachers: Any = (),
        teacher_share: float = 0.5,
        say: Say = print,
    ) -> Recipe:
        """Reads the sets.

        Args:
            model: the class of the model that learns.
            config: its config, whose seed the recipe has, too.
            locate: gives the folder or zip of a data set by its name; None where none is needed.
            teachers, teacher_share: of the recipe.
            say: is told what is taken of further sets, and which of them the model has no use for.

        Raises:
            DatasetError: an unknown set, files that are not as they must be, or more sets than the model can take.
        """
        kind = kind_of(model, config)
        others = [name for name in self.faces if name != self.dataset]
        if kind.further == 1 and len(self.faces) > 1:
            raise DatasetError(f"{model.__name__} takes the people of one set, got {', '.join(self.faces)}")
        parts = read_parts(
            self.dataset,
            locate(self.dataset),
            config,
            hold_out=self.hold_out,
            split=self.split,
            share=self.train_share,
            images=self.images,
            labels=self.labels,
            **self.options,
        )
        if others and kind.further == 0:
            say(f"{', '.join(others)}: not used, as {model.__name__} learns from one set so")
            others = []
        train = parts.train if self.unit is None else showing(parts.train, self.unit)
        faces = []
        for name in others:
            table, said = read_faces(name, locate(name), kind, config, images=self.images)
            if self.faces_hold_out is not None:
                table = divided(table, self.faces_hold_out).train
                said += f"; {len(table)} of them to train on, as the others are left aside"
            say(said)
            faces.append(table)
        if self.detector is not None:
            from kerasfer.detection import estimate_boxes

            train, *faces = (estimate_boxes(table, self.detector) for table in (train, *faces))
        return Recipe(
            train,
            parts.valid,
            split="all",
            said=parts.said,
            faces=faces,
            align_faces=self.align_faces,
            augment=self.augment,
            labels=self.labels,
            balanced=self.balanced,
            teachers=teachers,
            teacher_share=teacher_share,
            seed=config.seed,
        )

    def facts(self) -> dict[str, Any]:
        """What config.json says of a division that was made before the recipe was."""
        shared = {"train_share": self.train_share} if self.train_share is not None else {}
        return {"dataset": {"hold_out": self.hold_out, **shared}}

"""What a model trains on: which faces, which ones validate it, how they are labeled, sampled and augmented.

    recipe = kerasfer.data.Recipe(train=table, valid=0.05, size=64, augment=Augmentation.strong(), seed=0)
    run = kerasfer.train("g2fer", recipe, folder="runs/g2fer")

What the model's kind of batch needs beyond images and labels (head poses, landmarks, faces of named people, aligned
faces) is located once, kept in a folder, and what is left out is told, a line each.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasfer import datasets, splits
from kerasfer.data.augment import PAPER_AUGMENTATION, Augmentation
from kerasfer.data.kinds import Batches, kind_of
from kerasfer.data.sampling import class_shares
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import LabelSpace
from kerasfer.faces import ImageSpec

__all__ = ["Prepared", "Recipe", "read_faces", "read_parts"]

Say = Callable[[str], None]

RENDERED_FACES = {"seed": 1, "yaw": 50.0}
"""Of rendered faces that join another data set's: a population of their own, turned as far as a model may ask for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """What a training learns from.

    Attributes:
        train: the faces. Of a table that is divided (column `split`) the part train is learned from, as
            `kerasfer.splits.training_parts` says.
        valid: what is watched while the model learns, and never learned from: a share of the faces to hold out, by
            person where names are known; a table of its own; 0 for nothing; None for the part valid, or a tenth where
            there is none.
        split: learn from this part of `train` instead, or from "all" of it.
        size: side of the faces in pixels; None: the model's own.
        augment: what is done to each image, drawn anew at every step.
        labels: "majority" to learn the expression that most people saw, "votes" for the share of each.
        faces: further faces for models that draw from two sets (of named people: TDGAN; the set itself serves, if it
            has names) or from any number (G2-FER, DCGAN-FER).
        align_faces: whether `faces` are aligned by their landmarks first.
        balanced: learn from as many faces of each expression, of frequent ones some, rare ones again and again.
        teachers: trained models, or their names and folders, whose mean answers count among the votes.
        teacher_share: of the votes, in [0, 1].
        seed: of the order, of all that is drawn, and of what is held out.
        cache: folder for what is located; None: the run's folder, but for landmarks and aligned faces, which the runs
            beside it share.
        memory: whether decoded images are kept in memory; else in memory-mapped files in `cache`; None: nowhere, they
            are decoded anew whenever they are drawn, for sets that have no room and so that a training starts at once.
        said: a line that tells which faces these are; None: what `kerasfer.splits` says of them.

    Raises:
        DatasetError: a field has a value that it cannot have.
    """

    train: FaceTable
    valid: FaceTable | float | None = None
    _: dataclasses.KW_ONLY
    split: str | None = None
    size: int | None = None
    augment: Augmentation = PAPER_AUGMENTATION
    labels: str = "majority"
    faces: FaceTable | Sequence[FaceTable] = ()
    align_faces: bool = False
    balanced: bool = False
    teachers: Sequence[Any] = ()
    teacher_share: float = 0.5
    seed: int = 0
    cache: str | os.PathLike[str] | None = None
    memory: bool | None = True
    said: str | None = None

    def __post_init__(self) -> None:
        for name in ("train", *(("valid",) if not isinstance(self.valid, (int, float, type(None))) else ())):
            if not isinstance(getattr(self, name), FaceTable):
                found = type(getattr(self, name)).__name__
                raise DatasetError(f"{name} is a table of faces (kerasfer.datasets.load reads one), got {found}")
        faces = [self.faces] if isinstance(self.faces, FaceTable) else list(self.faces)
        if not all(isinstance(table, FaceTable) for table in faces):
            raise DatasetError("faces are tables; kerasfer.datasets.load reads one")
        object.__setattr__(self, "faces", tuple(faces))
        teachers = self.teachers if isinstance(self.teachers, (list, tuple)) else (self.teachers,)
        object.__setattr__(self, "teachers", tuple(teachers))
        if self.labels not in ("majority", "votes"):
            raise DatasetError(f"labels must be majority or votes, not {self.labels!r}")
        if self.teachers and self.labels != "votes":
            raise DatasetError('teachers speak by votes: give labels="votes", too')
        if self.memory is False and self.cache is None:
            raise DatasetError("memory=False keeps decoded images in the folder cache: name one")

    @property
    def held_out(self) -> float | None:
        """The share that is held out; None if no share was given."""
        return None if self.valid is None or isinstance(self.valid, FaceTable) else float(self.valid) or None

    def divided(self) -> Recipe:
        """The same recipe with the faces to learn from in `train`, those to watch in `valid` (0 for none), and `said`.

        Raises:
            DatasetError: there is no such part, a face is in both, or there are too few faces.
        """
        if self.said is not None:
            return self
        if self.valid == 0 and not isinstance(self.valid, FaceTable):
            table, said = splits.train_part(self.train, self.split)
            return dataclasses.replace(self, train=table, split="all", said=said)
        given = self.valid if isinstance(self.valid, FaceTable) else None
        if given is not None and (shared := _in_both(self.train, given)):
            raise DatasetError(f"{shared}: is among the faces to learn from and among those to watch; leave it in one")
        parts = splits.training_parts(self.train, self.held_out, self.seed, split=self.split, valid=given)
        return dataclasses.replace(self, train=parts.train, valid=parts.valid, split="all", said=parts.said)

    def require_classes(self, expressions: Sequence[str]) -> None:
        """Refuses faces of one's own with a class that a model does not have, where nobody named its classes.

        Raises:
            DatasetError: there are such faces; the message counts them and says how to name their classes.
        """
        table = self.divided().train
        counted = _outside(table, expressions)
        if counted and table.name in datasets.OWN_DATA:
            classes = ",".join(table.label_space.labels)
            raise DatasetError(
                f"{table.name}: {counted}: no classes of the model, which has {', '.join(expressions)}; name those "
                f"to learn: --set expressions={classes} (in Python kerasfer.train(..., expressions=(...)))"
            )

    def prepare(self, model: Any, config: Any, folder: str | os.PathLike[str] = ".", say: Say = print) -> Prepared:
        """Locates what a model's batches need.

        Args:
            model: the model's class, or the model.
            config: its config.
            folder: of the run.
            say: is told what is done and what is left out, a line at a time.

        Raises:
            DatasetError: the faces lack what the kind of batch needs, or are too few.
        """
        kind = kind_of(model, config)
        recipe = self.divided()
        if recipe.teachers:
            raise DatasetError("teachers are asked by kerasfer.train; mix their votes in with kerasfer.teaching.taught")
        if recipe.size not in (None, config.image_size):
            raise DatasetError(f"the recipe is for faces of {recipe.size} pixels, the model takes {config.image_size}")
        train, said = recipe.train, recipe.said or ""
        if counted := _outside(train, config.expressions):
            total = sum(train.outside(LabelSpace.of(config.expressions)).values())
            said += f"; {total} more are left out, which the model has no class for: {counted}"
        if recipe.balanced:
            found, train = len(train), splits.balanced(train)
            said += f"; balanced, the {found} are drawn {len(train)} times"
        faces = self._further(kind, train, config, say)
        if recipe.align_faces:
            if "blendshapes" in kind.needs:
                # A mesh of points fits a photo better than what is cut out of it.
                faces = [_with_blendshapes(table, recipe, Path(folder), say) for table in faces]
            aligned = _folder(recipe, folder) / "aligned"
            if not aligned.is_dir():
                aligned = _folder(recipe, Path(folder).parent) / "aligned"
            faces = [_aligned(table, config, aligned) for table in faces]
        sets = [_located(table, kind, recipe, Path(folder), say) for table in (train, *faces)]
        table, second = kind.together(sets[0], sets[1:])
        valid = recipe.valid if isinstance(recipe.valid, FaceTable) else None
        return Prepared(recipe, kind, train, valid, table, second, tuple(sets), said)

    def _further(self, kind: type[Batches], train: FaceTable, config: Any, say: Say) -> list[FaceTable]:
        """The tables beside the one with expressions that a kind of batch draws from."""
        faces = [self.faces] if isinstance(self.faces, FaceTable) else list(self.faces)
        people = kind.people(config)
        names = ", ".join(table.name for table in faces)
        if kind.further is not None and len(faces) > kind.further:
            if kind.further:
                raise DatasetError(f"the model takes the people of one set, got {names}")
            say(f"{names}: not used, as the model learns from one set")
            return []
        if people is None:
            return faces
        if not faces and "identity" not in train:
            raise DatasetError(f"{train.name} has no names; give a set that has, e.g. --faces lfw_expressions")
        return [splits.top_identities(faces[0] if faces else train, people)]


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A recipe with all that a model's batches need.

    Attributes:
        recipe: divided into what is learned from and what is watched.
        kind: of batch.
        train: the faces with expressions to learn from.
        valid: the faces to watch; None for none.
        table: what the batches are drawn from.
        faces: the second table, of kinds that draw from two.
        sets: those that `table` and `faces` were made of.
        said: what there is to say of the faces in one line.
    """

    recipe: Recipe
    kind: type[Batches]
    train: FaceTable
    valid: FaceTable | None
    table: FaceTable
    faces: FaceTable | None
    sets: tuple[FaceTable, ...]
    said: str

    def prior(self, expressions: Sequence[str]) -> tuple[float, ...]:
        """Share of each expression in what is learned, as a config's `training_prior`; () where nothing is labeled."""
        return class_shares(self.table, LabelSpace.of(expressions), self.recipe.labels) if self.kind.labeled else ()

    def batches(self, spec: ImageSpec, label_space: LabelSpace, batch_size: int) -> Batches:
        """The batches for a model's image format and classes.

        Raises:
            DatasetError: too few images, or images that do not decode; the message names them.
        """
        recipe = self.recipe
        kept = "memory" if recipe.memory else Path(os.fspath(recipe.cache or ".")) / "images"
        return self.kind(
            self.table,
            spec,
            label_space,
            batch_size,
            faces=self.faces,
            seed=recipe.seed,
            augmentation=recipe.augment,
            labels=recipe.labels,
            cache=None if recipe.memory is None else kept,
        )

    def facts(self, batches: Batches) -> dict[str, Any]:
        """What a run's config.json says of the faces."""
        recipe = self.recipe
        return {
            "dataset": {
                "name": self.train.name,
                "train": len(self.train),
                "valid": len(self.valid) if self.valid is not None else 0,
                "parts": self.said,
                "labels": recipe.labels,
                "balanced": recipe.balanced,
            },
            "augmentation": dataclasses.asdict(recipe.augment),
            **batches.facts(self.table, self.sets),
        }


def _outside(table: FaceTable, expressions: Sequence[str]) -> str:
    """The classes of a table that a model does not have, and how many faces show each; "" for none."""
    return ", ".join(f"{name} ({count})" for name, count in table.outside(LabelSpace.of(expressions)).items())


def _in_both(one: FaceTable, other: FaceTable) -> str:
    """A face that two tables of the same files share; "" if there is none."""
    if one.source is not other.source and ArraySource in (type(one.source), type(other.source)):
        return ""

    def named(table: FaceTable) -> set[tuple[str, bytes]]:
        boxes = [box.tobytes() for box in table["box"]] if "box" in table else [b""] * len(table)
        return {(table.source.describe(path), box) for path, box in zip(table["path"].tolist(), boxes)}

    return min(named(one) & named(other), default=("", b""))[0]


def _folder(recipe: Recipe, folder: str | os.PathLike[str]) -> Path:
    return Path(folder if recipe.cache is None else recipe.cache)


def _progress(say: Say) -> Callable[[int, int], None]:
    """A function that shows how many rows are done: on a terminal by Keras' bar, else in a line now and then."""
    bars: list[keras.utils.Progbar] = []

    def show(done: int, rows: int) -> None:
        if sys.stdout.isatty():
            bars[:] = bars or [keras.utils.Progbar(rows, unit_name="face")]
            bars[0].update(done)
        elif done == rows or done % 4096 == 0:
            say(f"{done} of {rows}")

    return show


def _located(table: FaceTable, kind: type[Batches], recipe: Recipe, folder: Path, say: Say) -> FaceTable:
    """A table with the columns that a kind of batch needs: the set's own, or as estimated and kept in a folder."""
    for need in kind.needs:
        table = _LOCATED[need](table, recipe, folder, say) if need in _LOCATED else table
        if need not in table:
            raise DatasetError(f"{table.name}: has no {need}, which {kind.__name__} batches need")
    return table


def _with_poses(table: FaceTable, recipe: Recipe, folder: Path, say: Say) -> FaceTable:
    """The faces with their head poses; where a set knows none, they are estimated."""
    from kerasfer import detection

    if "pose" in table and np.isfinite(table["pose"][:, 0]).any():
        return table
    say(f"{table.name}: estimating {len(table)} head poses (once; they are kept)")
    table = detection.estimate_poses(table, cache=_folder(recipe, folder) / "poses", progress=_progress(say))
    unknown = int(np.isnan(table["pose"][:, 0]).sum())
    if unknown:
        say(f"{unknown} of {len(table)} faces have no pose, as no face was found: they train all but the pose")
    return table


def _with_landmarks(table: FaceTable, recipe: Recipe, folder: Path, say: Say) -> FaceTable:
    """The faces that have landmarks; where a set has none, they are located."""
    from kerasfer import detection

    if "landmarks" not in table:
        say(f"{table.name}: locating landmarks in {len(table)} faces (once; they are kept)")
    cache = _folder(recipe, folder.parent) / "landmarks"
    found = detection.landmarked(table, cache=cache, progress=_progress(say))
    if len(found) < len(table):
        say(f"{len(table) - len(found)} of {len(table)} faces of {table.name} are left out: no landmarks were found")
    return found


def _with_blendshapes(table: FaceTable, recipe: Recipe, folder: Path, say: Say) -> FaceTable:
    """The faces with the scores of their movements; where a set has none, they are estimated."""
    from kerasfer import detection

    if "blendshapes" in table:
        return table
    say(f"{table.name}: scoring the movements of {len(table)} faces (once; they are kept)")
    cache = _folder(recipe, folder.parent) / "blendshapes"
    table = detection.estimate_blendshapes(table, cache=cache, progress=_progress(say))
    unknown = int(np.isnan(table["blendshapes"][:, 0]).sum())
    if unknown:
        say(f"{unknown} of {len(table)} faces have no scores, as no face was seen: they train all but the movements")
    return table


_LOCATED: dict[str, Callable[[FaceTable, Recipe, Path, Say], FaceTable]] = {
    "pose": _with_poses,
    "landmarks": _with_landmarks,
    "blendshapes": _with_blendshapes,
}
"""Column -> what finds it."""


def _aligned(faces: FaceTable, config: Any, cache: Path) -> FaceTable:
    """The faces cut out by their landmarks, a third larger than the model takes them, kept in a folder."""
    from kerasfer import detection

    return detection.align_table(faces, config.image_size * 4 // 3, config.channels, cache=cache)


def read_parts(
    name: str,
    root: Path | None,
    config: Any,
    *,
    hold_out: float | None = None,
    split: str | None = None,
    share: float | None = None,
    images: int = 8000,
    labels: str = "majority",
    **options: Any,
) -> splits.TrainingParts:
    """Reads the faces to learn from and those to watch; `splits.load_training_parts` with what a model asks for.

    Args:
        name, root, hold_out, split, share: as for `splits.load_training_parts`.
        config: of the model that learns, for faces that are rendered.
        images: how many of them.
        labels: of the recipe.
        **options: of the reader.

    Raises:
        DatasetError: as `splits.load_training_parts`.
    """
    rendered = _rendered(config, images) if name == "synthetic" else {}
    votes = {"labels": "probability"} if name == "ferplus" and labels == "votes" else None
    return splits.load_training_parts(
        name, root, hold_out, split=split, share=share, train_options=votes, **{**rendered, **options}
    )


def read_faces(
    name: str, root: Path | None, kind: type[Batches], config: Any, *, images: int = 8000
) -> tuple[FaceTable, str]:
    """Reads a further set for a kind of batch, and says in one line what of it is taken.

    Rendered faces are of another population than those that are rendered by default: what is measured on rendered faces
    is then measured on strangers.

    Args:
        name, root: as for `kerasfer.datasets.load`.
        kind, config: of the model that learns.
        images: how many faces to render.

    Raises:
        DatasetError: as `kerasfer.datasets.load`.
    """
    if name != "synthetic":
        return splits.load_train_part(name, root)
    rendered = {**_rendered(config, images), **RENDERED_FACES}
    if kind.people(config) is None:
        rendered["identities"] = max(rendered["identities"], images // 20)
    table = datasets.load(name, **rendered)
    return table, f"{name}: {len(table)} rendered faces of {rendered['identities']} other people"


def _rendered(config: Any, images: int) -> dict[str, Any]:
    """Faces a little larger than the model takes them, of so many people that enough of them are for training."""
    return {
        "count": images,
        "identities": max(50, 2 * getattr(config, "identities", 0)),
        "size": max(64, config.image_size * 9 // 8),
        "channels": config.channels,
        "expressions": config.expressions,
    }

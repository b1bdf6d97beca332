"""The kinds of batch that the papers' models take, one class each: what it needs of a table, its streams, its rows.

    batches = Images(table, spec, FERPLUS8, batch_size=32, seed=1)
    for batch in batches.epoch(3, start_step=17): ...

A batch is a pure function of the seed, the epoch and the step, so a run that was killed resumes at any step with the
very batches it would have had. What is drawn each step (shuffling, partners, augmentation) comes from counters and
stateless random operations.

An element is one global batch. Under `tf.distribute`, `strategy.experimental_distribute_dataset(batches.epoch(n))`
gives each replica its part of it; set `AutoShardPolicy.DATA` (the data set has no files), which every data set made
here already asks for.

A model says which kind it eats: by a name of `KINDS` (`batch_kind_of`), or, for a kind of the paper's own, by a class
made here of `Batches` (`Batch = TheKind` in the model's class).
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from kerasfer.data.augment import PAPER_AUGMENTATION, Augmentation, augment
from kerasfer.data.cache import PreparedFaces
from kerasfer.data.sampling import Groups, Order, identity_names, label_distributions, often, usable
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import LabelSpace
from kerasfer.faces import MIRRORED_BLENDSHAPES, ImageSpec, yaw_class
from kerasfer.models.kinds import BATCH_KINDS

__all__ = [
    "KINDS",
    "Batches",
    "ExpressionAndFace",
    "ExpressionPairs",
    "Images",
    "ImagesWithMovements",
    "ImagesWithPose",
    "LandmarkPairs",
    "Stream",
    "Unlabeled",
    "kind_of",
]


@dataclasses.dataclass(frozen=True)
class Stream:
    """One image of a batch's element, with what goes with it.

    Attributes:
        image: its key in the batch.
        table: the faces that it is taken from.
        columns: key -> values by row of the table.
        landmarks: key of the landmarks; None to leave them out.
        sided: key -> where each number of its column goes in a face's mirror image. The kind has `one_flip`.
    """

    image: str
    table: FaceTable
    columns: Mapping[str, np.ndarray]
    landmarks: str | None = None
    sided: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)


_AUGMENTATION_STREAM = 100
"""Number of the first image's random stream; those below are of what is drawn from the table."""


class Batches(abc.ABC):
    """Batches of a table or two: dictionaries of tensors. A kind of batch is a class of this.

    Args:
        table: the data set; rows without a target (`label_distributions`) are left out where the kind has labels.
        spec: the model's image format.
        label_space: the model's K classes.
        batch_size: images a batch, over all replicas.
        faces: the second table of a kind that draws from two.
        seed: of everything drawn.
        augmentation: what is done to the images.
        labels: "majority" or "votes".
        cache: "memory", a folder for memory-mapped files, or None to decode images each time they are drawn.
        shuffle: False takes the first image's rows in the table's order.

    Raises:
        DatasetError: too few images, a column is missing, or images do not decode; the message names them.

    Attributes:
        keys: what a batch holds: key -> type and meaning.
        needs: columns that every row of the tables must have and that can be located where a set has none: "pose",
            "landmarks".
        further: how many sets it draws from beside the one with expressions; None for any number.
        labeled: whether a batch holds expressions.
        one_flip: whether the images of an element are flipped together, all or none; else each by a draw of its own.
        steps_per_epoch: whole batches in an epoch; what is left over is dropped.
        element_spec: key -> `tf.TensorSpec`.
        identity_names: the people that `identity_label` numbers, in order; empty where there is none.
        columns: what a model may look at before it trains (`FERModel.adapt`): values of every row, as they are
            without augmentation.
    """

    keys: ClassVar[Mapping[str, str]]
    needs: ClassVar[tuple[str, ...]] = ()
    further: ClassVar[int | None] = 0
    labeled: ClassVar[bool] = True
    one_flip: ClassVar[bool] = False
    counted: ClassVar[str] = "labeled images"

    def __init__(
        self,
        table: FaceTable,
        spec: ImageSpec,
        label_space: LabelSpace,
        batch_size: int,
        *,
        faces: FaceTable | None = None,
        seed: int = 0,
        augmentation: Augmentation = PAPER_AUGMENTATION,
        labels: str = "majority",
        cache: str | os.PathLike[str] | None = "memory",
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.spec = spec
        self.label_space = label_space
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.labels = labels
        self.identity_names: list[str] = []
        self._streams = self.streams(table, faces)
        first = self._streams[0].table
        if len(first) < batch_size:
            raise DatasetError(
                f"{first.name}: {len(first)} {self.counted}, fewer than one batch of {batch_size}; take a smaller "
                "batch_size"
            )
        self.steps_per_epoch = len(first) // batch_size
        self._order = Order(seed, 0, len(first), batch_size) if shuffle else None
        stored = dataclasses.replace(spec, size=spec.size + augmentation.margin_of(spec.size))
        prepared: dict[int, PreparedFaces] = {}
        for stream in self._streams:
            if id(stream.table) not in prepared:
                prepared[id(stream.table)] = PreparedFaces(stream.table, stored, cache)
        self._faces = [prepared[id(stream.table)] for stream in self._streams]
        self.columns = self.adapt_columns()
        self.element_spec: dict[str, tf.TensorSpec] = {}
        for stream in self._streams:
            self.element_spec[stream.image] = tf.TensorSpec((batch_size, *spec.shape), tf.float32)
            for key, values in stream.columns.items():
                self.element_spec[key] = tf.TensorSpec((batch_size, *values.shape[1:]), values.dtype)
            if stream.landmarks:
                self.element_spec[stream.landmarks] = tf.TensorSpec((batch_size, 68, 2), tf.float32)

    # -- what a kind defines -------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        """The images of an element, each with the rows of a table that it may be; an epoch is a pass over the first's.

        Streams of the same table share its decoded images.

        Raises:
            DatasetError: a table lacks what the kind needs.
        """

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        """The rows of each stream's table that a step takes, each int64 (batch_size,)."""
        return (self.first_rows(epoch, step),)

    def adapt_columns(self) -> dict[str, np.ndarray]:
        """What `columns` holds."""
        return {}

    @classmethod
    def people(cls, config: Any) -> int | None:
        """How many people the kind's second table shows, those with the most images; None if it is of no people."""
        return None

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        """The kind's one table or two, made of the set with expressions and the further ones."""
        return table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        """What a run's config.json says of further sets.

        Args:
            table: what `together` made.
            sets: of which sets: the one with expressions, then the others.
        """
        return {}

    # -- what kinds are made of ----------------------------------------------------------------------------------------

    def usable(self, table: FaceTable) -> tuple[FaceTable, np.ndarray]:
        """The rows that have a target, and their targets, float32 (n, K)."""
        return usable(table, self.label_space, self.labels)

    def first_rows(self, epoch: int, step: int) -> np.ndarray:
        """The first stream's rows of a step: one shuffled pass an epoch."""
        if self._order is None:
            return np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        return self._order.rows(epoch, step, self.steps_per_epoch)

    def draws(self, epoch: int, step: int, count: int) -> np.ndarray:
        """Numbers in [0, 1) to choose partners by, float64 (count, batch_size)."""
        return np.random.default_rng([self.seed, 1, epoch, step]).random((count, self.batch_size))

    # -- the batches ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.steps_per_epoch

    def epoch(self, epoch: int, start_step: int = 0) -> tf.data.Dataset:
        """The batches of one epoch, from a step on; the same whatever ran before.

        Args:
            epoch: number of the epoch, from 0.
            start_step: number of the first step wanted; those before it cost nothing.

        Raises:
            ValueError: no such epoch or step.
        """
        if epoch < 0 or not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(
                f"epoch {epoch}, step {start_step}: epochs count from 0, steps from 0 to {self.steps_per_epoch}"
            )
        dataset = tf.data.Dataset.range(start_step, self.steps_per_epoch)
        dataset = dataset.map(functools.partial(self._batch, epoch), num_parallel_calls=os.cpu_count())
        options = tf.data.Options()
        # An iterator that goes away waits, now and then, for the tuning thread's next look, up to a minute later.
        options.autotune.enabled = False
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return dataset.prefetch(4).with_options(options)

    def _gather(self, epoch: int, step: np.ndarray) -> list[np.ndarray]:
        """The arrays of one step, stream by stream: images uint8, columns, landmarks."""
        values: list[np.ndarray] = []
        mirror = None
        if self.one_flip:
            draws = np.random.default_rng([self.seed, _AUGMENTATION_STREAM, epoch, int(step)]).random(self.batch_size)
            mirror = draws < self.augmentation.flip
        chosen = self.rows(epoch, int(step))
        for number, (stream, faces, rows) in enumerate(zip(self._streams, self._faces, chosen, strict=True)):
            pixels, frames = faces.take(rows)
            points = faces.landmarks(rows, frames) if stream.landmarks else None
            generator = np.random.default_rng([self.seed, _AUGMENTATION_STREAM + number, epoch, int(step)])
            pixels, points = augment(pixels, generator, self.augmentation, self.spec.size, points, mirror)
            values += [pixels, *(self._turned(stream, key, rows, mirror) for key in stream.columns)]
            values += [] if points is None else [points]
        return values

    def _turned(self, stream: Stream, key: str, rows: np.ndarray, mirror: np.ndarray | None) -> np.ndarray:
        """A column's values of some rows, left and right exchanged where the image is mirrored."""
        values = stream.columns[key][rows]
        if key in stream.sided and mirror is not None:
            values[mirror] = values[mirror][:, list(stream.sided[key])]
        return values

    def _batch(self, epoch: int, step: tf.Tensor) -> dict[str, tf.Tensor]:
        keys: list[str] = []
        for stream in self._streams:
            keys += [stream.image, *stream.columns, *([stream.landmarks] if stream.landmarks else [])]
        pixels = {stream.image for stream in self._streams}
        types = [tf.uint8 if key in pixels else self.element_spec[key].dtype for key in keys]
        gathered = tf.numpy_function(functools.partial(self._gather, epoch), [step], types, stateful=False)
        batch = dict(zip(keys, gathered))
        for key in keys:
            batch[key] = tf.ensure_shape(batch[key], self.element_spec[key].shape)
            if key in pixels:
                batch[key] = self.spec.scale(tf.cast(batch[key], tf.float32))
        return batch


class Images(Batches):
    """Images with their expression.

    A batch is {"image": float32 (n, *spec.shape) in the spec's range, "label": float32 (n, K), a distribution}.
    """

    keys = BATCH_KINDS["images"]

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        return [Stream("image", table, {"label": targets})]


class ImagesTogether(Images):
    """Images with their expression, of one set or of several, which become one table."""

    keys = BATCH_KINDS["images_together"]
    further = None

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"images_of_sets": {part.name: len(part) for part in sets}}


class ImagesWithMovements(Batches):
    """Images with their expression and how strongly each of 52 movements shows (`kerasfer.detection.blendshapes`).

    A face needs an expression or movements: what is not known is 0 in the label, NaN in the movements. Further sets
    become one table with the first.

    `columns` are "label" and "movements".
    """

    keys = BATCH_KINDS["images_with_movements"]
    needs = ("blendshapes",)
    further = None
    one_flip = True
    counted = "images with an expression or movements"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        targets = label_distributions(table, self.label_space, self.labels)
        kept = (targets.sum(1) > 0) | np.isfinite(table["blendshapes"]).all(1)
        table, targets = table.select(kept), targets[kept]
        movements = np.asarray(table["blendshapes"], np.float32)
        sided = {"movements": MIRRORED_BLENDSHAPES}
        return [Stream("image", table, {"label": targets, "movements": movements}, sided=sided)]

    def adapt_columns(self) -> dict[str, np.ndarray]:
        return dict(self._streams[0].columns)

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"faces_with_movements": {part.name: len(part) for part in sets}}


class ImagesWithPose(Batches):
    """Images with their expression and the class of their yaw (IPD-FER); see `kerasfer.faces.yaw_class`.

    The table has a pose column; NaN where a face's pose is not known.
    """

    keys = BATCH_KINDS["images_with_pose"]
    needs = ("pose",)

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        classes = yaw_class(table["pose"][:, 0])
        if len(table) and (classes < 0).all():
            raise DatasetError(
                f"{table.name}: not one face has a pose; estimate them with kerasfer.detection, or train a variant "
                "without"
            )
        return [Stream("image", table, {"label": targets, "pose_label": classes})]


class ExpressionAndFace(Batches):
    """An expression image and, drawn independently of it, a face image with a name (TDGAN, section IV-A).

    An epoch is one pass over the expression images; `faces`, of which rows without a name are left out, go on from
    epoch to epoch in passes of their own.
    """

    keys = BATCH_KINDS["expression_and_face"]
    further = 1

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        expressions, targets = self.usable(table)
        faces = table if faces is None else faces
        faces = faces.select(faces["identity"] != "")
        if not len(faces):
            raise DatasetError(f"{faces.name}: no face has a name")
        self.identity_names = identity_names(faces)
        numbers = np.searchsorted(self.identity_names, faces["identity"]).astype(np.int32)
        self._face_order = Order(self.seed, 1, len(faces), self.batch_size, cyclic=True)
        return [
            Stream("expression_image", expressions, {"expression_label": targets}),
            Stream("face_image", faces, {"identity_label": numbers}),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        return self.first_rows(epoch, step), self._face_order.rows(epoch, step, self.steps_per_epoch)

    @classmethod
    def people(cls, config: Any) -> int | None:
        return config.identities

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return table, faces[0]

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        people = sets[-1]
        return {"faces": {"name": people.name, "images": len(people), "people": len(self.identity_names)}}


class LandmarkPairs(Batches):
    """Two images with their landmarks, of one person where the set has pairs (G2-FER); both are flipped, or neither.

    Every labeled image is the first of a pair once an epoch. The second is drawn from the person's other images; for
    a person with one image, or of whom the name is not known, from all other images. Landmarks are float32 (n, 68, 2)
    in pixels of the augmented images. Further sets become one table with the first, their people apart.

    `columns` are "landmarks", in pixels of the model's images, "label" and "paired".
    """

    keys = BATCH_KINDS["landmark_pairs"]
    needs = ("landmarks",)
    further = None
    one_flip = True

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        if "landmarks" not in table or not np.isfinite(table["landmarks"]).all():
            raise DatasetError(
                f"{table.name}: some faces have no landmarks; locate them with kerasfer.detection.landmarked first"
            )
        if len(table) == 1:
            raise DatasetError(f"{table.name}: pairs need two images")
        named = table["identity"] != "" if "identity" in table else np.zeros(len(table), bool)
        people = self.identity_names = identity_names(table) if named.any() else []
        numbers = np.arange(len(table)) + len(people)
        numbers[named] = np.searchsorted(people, table["identity"][named]) if people else 0
        self._people = Groups(numbers)
        self._paired = (self._people.mates() > 0).astype(np.float32)
        return [
            Stream("image", table, {"label": targets, "paired": self._paired}, "landmarks"),
            Stream("other_image", table, {"other_label": targets}, "other_landmarks"),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = self.first_rows(epoch, step)
        draws, count = self.draws(epoch, step, 2), len(self._paired)
        anyone = (rows + 1 + (draws[1] * (count - 1)).astype(np.int64)) % count
        mates = self._paired[rows] > 0
        anyone[mates] = self._people.same(rows[mates], draws[0, mates])
        return rows, anyone

    def adapt_columns(self) -> dict[str, np.ndarray]:
        faces = self._faces[0]
        landmarks = faces.every_landmark() * (self.spec.size / faces.spec.size)
        return {"landmarks": landmarks, "label": self._streams[0].columns["label"], "paired": self._paired}

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        paired = int(self._paired.sum())
        return {"landmark_pairs": {"name": table.name, "images": len(table), "with_another_of_the_person": paired}}


class ExpressionPairs(Batches):
    """An image and another of the same expression (FESR's x and x^{p,r}).

    Faces of an expression that the table shows once are left out. With votes, a face's expression is the one with the
    most.
    """

    keys = BATCH_KINDS["expression_pairs"]
    counted = "images of expressions with two or more"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = often(*self.usable(table))
        self._expressions = Groups(targets.argmax(1))
        return [
            Stream("image", table, {"label": targets}),
            Stream("positive_image", table, {"positive_label": targets}),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = self.first_rows(epoch, step)
        return rows, self._expressions.same(rows, self.draws(epoch, step, 1)[0])


class Unlabeled(Batches):
    """Images alone, of one set or of several together, all rows shuffled (DCGAN-FER); a face needs no expression."""

    keys = BATCH_KINDS["unlabeled"]
    further = None
    labeled = False
    counted = "images"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        return [Stream("image", table, {})]

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        if not faces:
            return table, None
        return FaceTable.concatenate("+".join(part.name for part in (table, *faces)), (table, *faces)), None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"unlabeled": {part.name: len(part) for part in sets}}


KINDS: dict[str, type[Batches]] = {
    "images": Images,
    "images_together": ImagesTogether,
    "images_with_movements": ImagesWithMovements,
    "images_with_pose": ImagesWithPose,
    "expression_and_face": ExpressionAndFace,
    "landmark_pairs": LandmarkPairs,
    "expression_pairs": ExpressionPairs,
    "unlabeled": Unlabeled,
}
"""Name of a kind of batch, as a model asks for it -> its class."""


def kind_of(model: Any, config: Any) -> type[Batches]:
    """The kind of batch that a model's class, or a model, eats under a config."""
    kind = model.batch_kind_of(config)
    return KINDS[kind] if isinstance(kind, str) else kind


def joined(tables: Sequence[FaceTable]) -> FaceTable:
    """Several sets as one table; who is not named is "", one label counts ten votes.

    Two sets may call different people the same: a name gets its set's before it.
    """
    filled = []
    for number, table in enumerate(tables):
        columns: dict[str, Any] = {"identity": [""] * len(table)}
        if "identity" in table:
            columns["identity"] = [name and f"{number}/{name}" for name in map(str, table["identity"])]
        if "box" not in table:
            columns["box"] = np.full((len(table), 4), np.nan)
        if "votes" not in table:
            columns["votes"] = 10.0 * (table["expression"][:, None] == np.arange(len(table.classes)))
            table = table.replace(vote_space=LabelSpace("votes", table.classes), columns={**table.columns, **columns})
        else:
            table = table.with_columns(**columns)
        filled.append(table)
    return FaceTable.concatenate(" and ".join(table.name for table in tables), filled)

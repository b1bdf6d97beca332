"""What every kind of batch is made of: streams of images, drawn, augmented, put together; see `kerasfer.data.kinds`."""

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
from kerasfer.data.sampling import Order, usable
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import LabelSpace
from kerasfer.faces import ImageSpec

__all__ = ["Batches", "Stream"]


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

    def mirrored(self, epoch: int, step: int, rows: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Which images of each stream are flipped, bool (batch_size,); None where each image's augmentation draws it.

        Args:
            epoch, step: of which the draws are.
            rows: as `rows` gave them.
        """
        return [self.flipped_together(epoch, step) if self.one_flip else None] * len(rows)

    def flipped_together(self, epoch: int, step: int) -> np.ndarray:
        """Which elements are flipped as a whole, bool (batch_size,)."""
        draws = np.random.default_rng([self.seed, _AUGMENTATION_STREAM, epoch, step]).random(self.batch_size)
        return draws < self.augmentation.flip

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
        chosen = self.rows(epoch, int(step))
        mirrors = self.mirrored(epoch, int(step), chosen)
        streams = zip(self._streams, self._faces, chosen, mirrors, strict=True)
        for number, (stream, faces, rows, mirror) in enumerate(streams):
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

"""Face tables as `tf.data` batches: one function for each kind of batch that the papers' models eat.

A batch is a pure function of the seed, the epoch and the step, so a run that was killed goes on at any step with the
very batches it would have had:

    batches = images(table, spec, FERPLUS8, batch_size=32, seed=1)
    for batch in batches.epoch(3, start_step=17): ...

Images are decoded once, in parallel, and kept as uint8 in memory or in a memory-mapped file. What is drawn each step
(shuffling, partners, augmentation) comes from counters and stateless random operations.

An element is one global batch. Under `tf.distribute`, `strategy.experimental_distribute_dataset(batches.epoch(n))`
gives each replica its part of it; set `AutoShardPolicy.DATA` (the data set has no files), which every data set made
here already asks for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from kerasfer.datasets.base import (
    ArraySource,
    ChainSource,
    DatasetError,
    FaceTable,
    FolderSource,
    ImageSource,
    ZipSource,
)
from kerasfer.datasets.reading import prepare_faces
from kerasfer.expressions import LabelSpace
from kerasfer.faces import MIRRORED_LANDMARKS, ImageSpec, yaw_class
from kerasfer.files import written_aside

__all__ = [
    "BATCH_MAKERS",
    "NO_AUGMENTATION",
    "Augmentation",
    "Batches",
    "augment",
    "class_shares",
    "expression_and_face",
    "expression_pairs",
    "identity_names",
    "identity_pairs",
    "images",
    "images_with_pose",
    "label_distributions",
    "landmark_pairs",
    "triplets",
    "unlabelled",
]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to each training image, drawn anew at every step.

    Every field at 0 is no augmentation. The default is the TDGAN paper's "random cropping and horizontal flipping",
    with a margin (the paper gives none) of 8 pixels at its size of 128.

    Attributes:
        margin: images are resized to this part more than the model's size, in whole pixels, and a crop of the model's
            size is taken at random.
        flip: probability of a horizontal flip.
        shift: further shift to each side, as a part of the image's side; border pixels repeat.
        scale: relative change of size to each side, 0.1 for 0.9 to 1.1.
        rotation: degrees to each side.
        sharp: share of the images that are shifted by whole pixels, not scaled and not turned. The others lose a little
            sharpness, which faces have that are recognised.
        brightness: change to each side, as a part of the range from black to white.
        contrast: relative change of the distance from the image's mean, to each side.
        cutout: side of a square set to the image's mean, as a part of the image's side; its centre is anywhere.
    """

    margin: float = 1 / 16
    flip: float = 0.5
    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    sharp: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        values = dataclasses.asdict(self)
        bad = [name for name, value in values.items() if not (math.isfinite(value) and value >= 0)]
        bad += [name for name in ("margin", "flip", "shift", "sharp", "cutout") if values[name] > 1]
        bad += [name for name in ("scale", "contrast") if values[name] >= 1]
        if bad:
            raise ValueError(f"augmentation {', '.join(bad)} is out of range: {self}")

    @classmethod
    def strong(cls) -> Augmentation:
        """A stronger recipe for classifiers: flip, shift, scale, rotation, light and cutout.

        It has no margin, so that faces are as large on average as when they are recognised.
        """
        return cls(margin=0.0, shift=0.06, scale=0.12, rotation=12.0, brightness=0.1, contrast=0.2, cutout=0.25)

    @classmethod
    def strong_and_sharp(cls) -> Augmentation:
        """`strong`, with half of the images as sharp as they were."""
        return dataclasses.replace(cls.strong(), sharp=0.5)

    def margin_of(self, size: int) -> int:
        """The margin in pixels for images of a size."""
        return round(self.margin * size)

    @property
    def _resamples(self) -> bool:
        return self.shift > 0 or self.scale > 0 or self.rotation > 0


NO_AUGMENTATION = Augmentation(margin=0.0, flip=0.0)
"""Images as they are."""


def augment(
    pixels: np.ndarray,
    generator: np.random.Generator,
    augmentation: Augmentation,
    size: int,
    landmarks: np.ndarray | None = None,
    mirror: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Augments a batch.

    Args:
        pixels: uint8 (n, size + margin, size + margin, channels).
        generator: what is drawn; one in the same state gives the same result.
        augmentation: what to do.
        size: height and width of the result.
        landmarks: float32 (n, 68, 2), in pixels of the images given; they move with their image.
        mirror: bool (n,), which images to flip; None draws them.

    Returns:
        uint8 (n, size, size, channels), and the landmarks, in pixels of these.
    """
    if augmentation == NO_AUGMENTATION:
        return pixels, landmarks
    count = len(pixels)
    draws = generator.random((12, count))
    sides = 2 * draws - 1
    if mirror is None:
        mirror = draws[0] < augmentation.flip
    corners = np.floor(draws[1:3] * (pixels.shape[1] - size + 1)).astype(np.int64)
    moves = sides[3:7] * np.array([[augmentation.shift * size]] * 2 + [[augmentation.scale], [augmentation.rotation]])
    sharp = draws[11] < augmentation.sharp
    moves[:, sharp] = np.rint(moves[:, sharp]) * [[1], [1], [0], [0]]
    transforms = _transforms(mirror, corners, moves, size)
    result = np.empty((count, size, size, pixels.shape[3]), np.uint8)
    for index in range(count):
        if augmentation._resamples:
            result[index] = _warp(pixels[index], transforms[index], size)
        else:
            left, top = corners[:, index]
            crop = pixels[index, top : top + size, left : left + size]
            result[index] = crop[:, ::-1] if mirror[index] else crop
    if augmentation.brightness or augmentation.contrast:
        means = _means(result)
        factors = 1 + sides[8] * augmentation.contrast
        offsets = means * (1 - factors) + sides[7] * augmentation.brightness * 255
        levels = np.clip(np.rint(factors[:, None] * np.arange(256) + offsets[:, None]), 0, 255).astype(np.uint8)
        for index in range(count):
            result[index] = cv2.LUT(result[index], levels[index]).reshape(result[index].shape)
    if augmentation.cutout:
        half = augmentation.cutout * size / 2
        low = np.clip(np.rint(draws[9:11] * size - half), 0, size).astype(np.int64)
        high = np.clip(np.rint(draws[9:11] * size + half), 0, size).astype(np.int64)
        for index, mean in enumerate(np.rint(_means(result))):
            result[index, low[0, index] : high[0, index], low[1, index] : high[1, index]] = mean
    return result, None if landmarks is None else _move_landmarks(landmarks, transforms, mirror)


def _means(pixels: np.ndarray) -> np.ndarray:
    """Mean value of each image, (n,)."""
    return np.array([sum(cv2.mean(image)) / image.shape[2] for image in pixels])


def _transforms(mirror: np.ndarray, corners: np.ndarray, moves: np.ndarray, size: int) -> np.ndarray:
    """Where the pixels of each result come from: float64 (n, 2, 3), taking (x, y, 1) of the result to x and y of the
    image given, with whole numbers at the centres of pixels.

    Args:
        mirror: bool (n,).
        corners: left and top of the crop, int (2, n).
        moves: shift to the right and down in pixels, relative change of size, degrees: float64 (4, n).
        size: height and width of the result.
    """
    shift, zoom, angle = moves[:2], 1 / (1 + moves[2]), np.radians(moves[3])
    cosine, sine, sign = zoom * np.cos(angle), zoom * np.sin(angle), np.where(mirror, -1.0, 1.0)
    transforms = np.empty((len(mirror), 2, 3))
    transforms[:, 0, 0], transforms[:, 0, 1] = cosine * sign, -sine
    transforms[:, 1, 0], transforms[:, 1, 1] = sine * sign, cosine
    middle = (size - 1) / 2
    transforms[:, :, 2] = (corners + shift).T + middle - transforms[:, :, :2].sum(2) * middle
    return transforms


def _warp(image: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, transform, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped.reshape(size, size, image.shape[2])


def _move_landmarks(landmarks: np.ndarray, transforms: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Takes points, float32 (n, 68, 2), through the inverse of the transforms; a pixel's centre lies at a half."""
    inverse = np.linalg.inv(transforms[:, :, :2])
    moved = np.einsum("nij,npj->npi", inverse, landmarks - 0.5 - transforms[:, None, :, 2]) + 0.5
    moved[mirror] = moved[mirror][:, MIRRORED_LANDMARKS]
    return moved.astype(np.float32)


def label_distributions(table: FaceTable, space: LabelSpace, labels: str = "majority") -> np.ndarray:
    """The target distribution of each row over a label space.

    Args:
        table: the data set.
        space: the classes.
        labels: "majority" for one-hot `expression`; "votes" for shares of the votes that fell on the space's classes.

    Returns:
        float32 (n, K); a row of zeros where there is none: an unknown expression, one outside the space, or no votes.

    Raises:
        DatasetError: votes were asked for and the table, or the space, has classes without votes.
    """
    if labels == "majority":
        encoded = table.encoded(space)
        return np.where(encoded[:, None] == np.arange(len(space)), np.float32(1), np.float32(0))
    if labels != "votes":
        raise DatasetError(f"labels must be majority or votes, not {labels!r}")
    votes = table.votes_for(space)
    total = votes.sum(1, keepdims=True)
    return np.divide(votes, total, out=np.zeros_like(votes), where=total > 0)


def class_shares(table: FaceTable, space: LabelSpace, labels: str = "majority") -> tuple[float, ...]:
    """Share of each class in the targets of a table, (K,), as a config's `training_prior`; () if no row has one."""
    _, targets = _usable(table, space, labels)
    return tuple(round(float(share), 6) for share in targets.mean(0)) if len(targets) else ()


def identity_names(table: FaceTable) -> list[str]:
    """The people of a table, sorted: the order of `identity_label`. Rows without a name do not count."""
    return sorted(set(table["identity"].tolist()) - {""})


class _Faces:
    """A table's prepared images, uint8 (n, side, side, channels), and the part of each image that they show."""

    def __init__(self, table: FaceTable, spec: ImageSpec, cache: str | os.PathLike[str] | None) -> None:
        self.table = table
        self.spec = spec
        self.pixels: np.ndarray | None = None
        self.frames: np.ndarray | None = None
        if cache == "memory":
            self.frames = np.empty((len(table), 4), np.float32)
            self.pixels = prepare_faces(table, spec, frames=self.frames)
        elif cache is not None:
            self.pixels, self.frames = _on_disk(table, spec, Path(cache))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images and frames of some rows; decoded now if they are not cached."""
        if self.pixels is not None and self.frames is not None:
            return self.pixels[rows], self.frames[rows]
        frames = np.empty((len(rows), 4), np.float32)
        return prepare_faces(self.table, self.spec, rows, frames=frames), frames

    def landmarks(self, rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Landmarks float32 (n, 68, 2) in pixels of the prepared images."""
        corner, extent = frames[:, None, :2], frames[:, None, 2:] - frames[:, None, :2]
        return ((self.table["landmarks"][rows] - corner) * (self.spec.size / extent)).astype(np.float32)

    def every_landmark(self) -> np.ndarray:
        """Landmarks of all rows."""
        frames = self.frames
        if frames is None:
            frames = np.empty((len(self.table), 4), np.float32)
            prepare_faces(self.table, dataclasses.replace(self.spec, size=1), frames=frames)
        return self.landmarks(np.arange(len(self.table)), frames)


def _source_identity(source: ImageSource) -> Any:
    """What tells one state of a source from another."""
    if isinstance(source, ZipSource):
        state = source.archive.stat()
        return ["zip", str(source.archive.resolve()), source.prefix, state.st_size, state.st_mtime_ns]
    if isinstance(source, FolderSource):
        return ["folder", str(source.root.resolve())]
    if isinstance(source, ArraySource):
        content = hashlib.sha256(np.ascontiguousarray(source.images).data).hexdigest()
        return ["array", source.images.shape, content]
    if isinstance(source, ChainSource):
        return ["chain", *(_source_identity(part) for part in source.sources)]
    return [type(source).__name__, source.describe("")]


def _fingerprint(table: FaceTable, spec: ImageSpec) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([1, _source_identity(table.source), spec.size, spec.channels]).encode())
    digest.update("\0".join(table["path"].tolist()).encode())
    if "box" in table:
        digest.update(table["box"].tobytes())
    sources = table.source.sources if isinstance(table.source, ChainSource) else [table.source]
    if any(isinstance(source, FolderSource) for source in sources):
        for path in table["path"].tolist():
            with contextlib.suppress(OSError):
                state = os.stat(table.source.describe(path))
                digest.update(f"{state.st_size},{state.st_mtime_ns};".encode())
    return digest.hexdigest()[:24]


def _on_disk(table: FaceTable, spec: ImageSpec, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Prepared images and frames in memory-mapped files, which are made if they are not there."""
    stem = f"{table.name}-{spec.size}x{spec.channels}-{_fingerprint(table, spec)}"
    pixels_path, frames_path = folder / f"{stem}.pixels.npy", folder / f"{stem}.frames.npy"
    if not (pixels_path.is_file() and frames_path.is_file()):
        with (
            written_aside(pixels_path, DatasetError) as pixels_aside,
            written_aside(frames_path, DatasetError) as frames_aside,
        ):
            pixels = _mapped(pixels_aside, np.uint8, (len(table), *spec.shape))
            frames = _mapped(frames_aside, np.float32, (len(table), 4))
            prepare_faces(table, spec, out=pixels, frames=frames)
            pixels.flush()
            frames.flush()
    return np.load(pixels_path, mmap_mode="r"), np.load(frames_path, mmap_mode="r")


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A new file as an array. Its room on the disk is taken first: in an array there is no way to say it is full."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        if array.size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, stream: int, number: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, number]).permutation(size)


class _Order:
    """Which rows each step takes from a table.

    Args:
        seed: of the whole run.
        stream: tells the streams of one batch apart.
        size: number of rows.
        batch_size: rows a step.
        cyclic: draw pass after pass over the rows without regard to epochs; otherwise each epoch is one pass, and the
            rows left over at its end are dropped.
    """

    def __init__(self, seed: int, stream: int, size: int, batch_size: int, cyclic: bool = False) -> None:
        self.seed = seed
        self.stream = stream
        self.size = size
        self.batch_size = batch_size
        self.cyclic = cyclic

    def rows(self, epoch: int, step: int, steps_per_epoch: int) -> np.ndarray:
        """Row numbers int64 (batch_size,)."""
        if not self.cyclic:
            start = step * self.batch_size
            return _permutation(self.seed, self.stream, epoch, self.size)[start : start + self.batch_size]
        positions = (epoch * steps_per_epoch + step) * self.batch_size + np.arange(self.batch_size)
        passes, places = np.divmod(positions, self.size)
        return np.array(
            [
                _permutation(self.seed, self.stream, int(number), self.size)[place]
                for number, place in zip(passes, places)
            ]
        )


@dataclasses.dataclass(frozen=True)
class _Stream:
    """One image of a batch's element, with what goes with it.

    Attributes:
        image: its key in the batch.
        faces: where it is taken from.
        columns: key -> values by row.
        landmarks: key of the landmarks; None to leave them out.
    """

    image: str
    faces: _Faces
    columns: Mapping[str, np.ndarray]
    landmarks: str | None = None


_AUGMENTATION_STREAM = 100
"""Number of the first image's random stream; those below are of what is drawn from the table."""

_Pick = Callable[[int, int], tuple[np.ndarray, ...]]


class Batches:
    """Batches of a table or two: dictionaries of tensors, made by the functions of this module.

    Attributes:
        batch_size: images a batch, over all replicas.
        steps_per_epoch: whole batches in an epoch; what is left over is dropped.
        element_spec: key -> `tf.TensorSpec`.
        identity_names: the people that `identity_label` numbers, in order; empty where there is none.
        columns: what a model may look at before it trains (`FERModel.survey`): values of every row, as they are
            without augmentation.
        one_flip: whether the images of an element are flipped together, all or none; else each by a draw of its own.
    """

    def __init__(
        self,
        spec: ImageSpec,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        augmentation: Augmentation,
        streams: list[_Stream],
        pick: _Pick,
        identity_names: list[str],
        columns: dict[str, np.ndarray] | None = None,
        one_flip: bool = False,
    ) -> None:
        self.columns = columns or {}
        self.one_flip = one_flip
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.identity_names = identity_names
        self._spec = spec
        self._seed = seed
        self._augmentation = augmentation
        self._streams = streams
        self._pick = pick
        self.element_spec: dict[str, tf.TensorSpec] = {}
        for stream in streams:
            self.element_spec[stream.image] = tf.TensorSpec((batch_size, *spec.shape), tf.float32)
            for key, values in stream.columns.items():
                self.element_spec[key] = tf.TensorSpec((batch_size, *values.shape[1:]), values.dtype)
            if stream.landmarks:
                self.element_spec[stream.landmarks] = tf.TensorSpec((batch_size, 68, 2), tf.float32)

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
            draws = np.random.default_rng([self._seed, _AUGMENTATION_STREAM, epoch, int(step)]).random(self.batch_size)
            mirror = draws < self._augmentation.flip
        for number, (stream, rows) in enumerate(zip(self._streams, self._pick(epoch, int(step)))):
            pixels, frames = stream.faces.take(rows)
            points = stream.faces.landmarks(rows, frames) if stream.landmarks else None
            generator = np.random.default_rng([self._seed, _AUGMENTATION_STREAM + number, epoch, int(step)])
            pixels, points = augment(pixels, generator, self._augmentation, self._spec.size, points, mirror)
            values += [pixels, *(column[rows] for column in stream.columns.values())]
            values += [] if points is None else [points]
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
                batch[key] = self._spec.scale(tf.cast(batch[key], tf.float32))
        return batch


def _usable(table: FaceTable, space: LabelSpace, labels: str) -> tuple[FaceTable, np.ndarray]:
    """The rows that have a target, and their targets."""
    targets = label_distributions(table, space, labels)
    usable = targets.sum(1) > 0
    return table.select(usable), targets[usable]


def _steps(name: str, size: int, batch_size: int, what: str) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if size < batch_size:
        raise DatasetError(f"{name}: {size} {what}, fewer than one batch of {batch_size}; take a smaller batch_size")
    return size // batch_size


def _stored(spec: ImageSpec, augmentation: Augmentation) -> ImageSpec:
    return dataclasses.replace(spec, size=spec.size + augmentation.margin_of(spec.size))


def images(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
    shuffle: bool = True,
) -> Batches:
    """Images with their expression.

    Args:
        table: the data set; rows without a target (`label_distributions`) are left out.
        spec: the model's image format.
        label_space: the model's K classes.
        batch_size: images a batch.
        seed: of everything drawn.
        augmentation: what is done to the images.
        labels: "majority" or "votes".
        cache: "memory", a folder for memory-mapped files, or None to decode images each time they are drawn.
        shuffle: False takes the rows in the table's order.

    Returns:
        Batches {"image": float32 (n, *spec.shape) in the spec's range, "label": float32 (n, K), a distribution}.

    Raises:
        DatasetError: too few images, no such column, or images that do not decode; the message names them.
    """
    table, targets = _usable(table, label_space, labels)
    return _single_images(table, {"label": targets}, spec, batch_size, seed, augmentation, cache, shuffle)


def _single_images(
    table: FaceTable,
    columns: dict[str, np.ndarray],
    spec: ImageSpec,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    cache: str | os.PathLike[str] | None,
    shuffle: bool = True,
    what: str = "labelled images",
) -> Batches:
    """One image of each row, "image", with columns of the same rows."""
    steps = _steps(table.name, len(table), batch_size, what)
    order = _Order(seed, 0, len(table), batch_size)
    stream = _Stream("image", _Faces(table, _stored(spec, augmentation), cache), columns)

    def pick(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        if not shuffle:
            return (np.arange(step * batch_size, (step + 1) * batch_size),)
        return (order.rows(epoch, step, steps),)

    return Batches(spec, batch_size, steps, seed, augmentation, [stream], pick, [])


def images_with_pose(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """Images with their expression and the class of their yaw (IPD-FER).

    Args:
        table: faces with an expression and a pose column; NaN where a face's pose is not known.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`.

    Returns:
        Batches {"image", "label", "pose_label"}; see `kerasfer.faces.yaw_class`.

    Raises:
        DatasetError: as for `images`, or no face has a pose.
    """
    table, targets = _usable(table, label_space, labels)
    classes = yaw_class(table["pose"][:, 0])
    if len(table) and (classes < 0).all():
        raise DatasetError(
            f"{table.name}: not one face has a pose; estimate them with kerasfer.detection, or train a variant without"
        )
    columns = {"label": targets, "pose_label": classes}
    return _single_images(table, columns, spec, batch_size, seed, augmentation, cache)


def expression_and_face(
    expressions: FaceTable,
    faces: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """An expression image and, drawn independently of it, a face image with a name (TDGAN, section IV-A).

    An epoch is one pass over the expression images; faces go on from epoch to epoch in passes of their own.

    Args:
        expressions: faces with an expression; rows without a target are left out.
        faces: faces with a name; rows without one are left out.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`.

    Returns:
        Batches {"expression_image": float32 (n, *spec.shape), "expression_label": float32 (n, K),
        "face_image": float32 (n, *spec.shape), "identity_label": int32 (n,), a number in `identity_names`}.

    Raises:
        DatasetError: as for `images`.
    """
    expressions, targets = _usable(expressions, label_space, labels)
    faces = faces.select(faces["identity"] != "")
    if not len(faces):
        raise DatasetError(f"{faces.name}: no face has a name")
    people = identity_names(faces)
    numbers = np.searchsorted(people, faces["identity"]).astype(np.int32)
    steps = _steps(expressions.name, len(expressions), batch_size, "labelled images")
    orders = (_Order(seed, 0, len(expressions), batch_size), _Order(seed, 1, len(faces), batch_size, cyclic=True))
    stored = _stored(spec, augmentation)
    streams = [
        _Stream("expression_image", _Faces(expressions, stored, cache), {"expression_label": targets}),
        _Stream("face_image", _Faces(faces, stored, cache), {"identity_label": numbers}),
    ]

    def pick(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        return tuple(order.rows(epoch, step, steps) for order in orders)

    return Batches(spec, batch_size, steps, seed, augmentation, streams, pick, people)


class _Groups:
    """Rows by group, to draw another row of the same or of another group.

    Args:
        numbers: int (n,): group of each row.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.order = np.argsort(numbers, kind="stable")
        self.place = np.argsort(self.order, kind="stable")
        self.counts = np.bincount(numbers)
        self.starts = np.cumsum(self.counts) - self.counts
        self.numbers = numbers

    def mates(self) -> np.ndarray:
        """Number of other rows in each row's group, int (n,)."""
        return self.counts[self.numbers] - 1

    def same(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Another row of each row's group; draws in [0, 1) choose it."""
        group = self.numbers[rows]
        others = self.counts[group] - 1
        inner = self.place[rows] - self.starts[group]
        chosen = (draws * others).astype(np.int64)
        return self.order[self.starts[group] + chosen + (chosen >= inner)]

    def other(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A row of any other group than each row's."""
        group = self.numbers[rows]
        chosen = (draws * (len(self.order) - self.counts[group])).astype(np.int64)
        return self.order[chosen + np.where(chosen >= self.starts[group], self.counts[group], 0)]


def identity_pairs(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
    landmarks: bool | None = None,
) -> Batches:
    """Two different images of one person (G2-FER); both are flipped, or neither.

    Every labelled image of a person with two or more is the first of a pair once an epoch; the second is drawn from
    the person's others.

    Args:
        table: faces with expression and identity.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`.
        landmarks: whether the batch holds landmarks; None if the table has them for every face.

    Returns:
        Batches {"image", "label", "identity_label", "other_image", "other_label"} and, with landmarks, "landmarks"
        and "other_landmarks": float32 (n, 68, 2) in pixels of the augmented images.

    Raises:
        DatasetError: as for `images`, or landmarks were asked for and a face has none.
    """
    table, targets = _usable(table, label_space, labels)
    named = table["identity"] != ""
    table, targets = table.select(named), targets[named]
    people = identity_names(table)
    groups = _Groups(np.searchsorted(people, table["identity"]))
    paired = np.flatnonzero(groups.mates() > 0)
    table, targets = table.select(paired), targets[paired]
    people = identity_names(table)
    numbers = np.searchsorted(people, table["identity"]).astype(np.int32)
    groups = _Groups(numbers)
    steps = _steps(table.name, len(table), batch_size, "labelled images of people with two or more")
    with_landmarks = "landmarks" in table and bool(np.isfinite(table["landmarks"]).all())
    if landmarks and not with_landmarks:
        raise DatasetError(f"{table.name}: landmarks were asked for and some faces have none; detect them first")
    with_landmarks = with_landmarks if landmarks is None else landmarks
    faces = _Faces(table, _stored(spec, augmentation), cache)
    first = {"label": targets, "identity_label": numbers}
    streams = [
        _Stream("image", faces, first, "landmarks" if with_landmarks else None),
        _Stream("other_image", faces, {"other_label": targets}, "other_landmarks" if with_landmarks else None),
    ]
    order = _Order(seed, 0, len(table), batch_size)

    def pick(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = order.rows(epoch, step, steps)
        draws = np.random.default_rng([seed, 1, epoch, step]).random(batch_size)
        return rows, groups.same(rows, draws)

    return Batches(spec, batch_size, steps, seed, augmentation, streams, pick, people, one_flip=True)


def landmark_pairs(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """Two images with their landmarks, of one person where the set has pairs (G2-FER); both are flipped, or neither.

    Every labelled image is the first of a pair once an epoch. The second is drawn from the person's other images; for
    a person with one image, or of whom the name is not known, from all other images.

    Args:
        table: faces with expression and landmarks; an identity column where people are known.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`.

    Returns:
        Batches {"image", "label", "landmarks", "other_image", "other_label", "other_landmarks", "paired"}; landmarks
        are float32 (n, 68, 2) in pixels of the augmented images, "paired" is float32 (n,). Their `columns` are
        "landmarks", in pixels of the model's images, "label" and "paired".

    Raises:
        DatasetError: as for `images`, or a face has no landmarks.
    """
    table, targets = _usable(table, label_space, labels)
    if "landmarks" not in table or not np.isfinite(table["landmarks"]).all():
        raise DatasetError(
            f"{table.name}: some faces have no landmarks; locate them with kerasfer.detection.landmarked first"
        )
    steps = _steps(table.name, len(table), batch_size, "labelled images")
    if len(table) < 2:
        raise DatasetError(f"{table.name}: pairs need two images")
    named = table["identity"] != "" if "identity" in table else np.zeros(len(table), bool)
    people = identity_names(table) if named.any() else []
    numbers = np.arange(len(table)) + len(people)
    numbers[named] = np.searchsorted(people, table["identity"][named]) if people else 0
    groups = _Groups(numbers)
    paired = (groups.mates() > 0).astype(np.float32)
    faces = _Faces(table, _stored(spec, augmentation), cache)
    streams = [
        _Stream("image", faces, {"label": targets, "paired": paired}, "landmarks"),
        _Stream("other_image", faces, {"other_label": targets}, "other_landmarks"),
    ]
    order = _Order(seed, 0, len(table), batch_size)

    def pick(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = order.rows(epoch, step, steps)
        draws = np.random.default_rng([seed, 1, epoch, step]).random((2, batch_size))
        anyone = (rows + 1 + (draws[1] * (len(table) - 1)).astype(np.int64)) % len(table)
        mates = paired[rows] > 0
        anyone[mates] = groups.same(rows[mates], draws[0, mates])
        return rows, anyone

    columns = {"landmarks": faces.every_landmark() * (spec.size / faces.spec.size), "label": targets, "paired": paired}
    return Batches(spec, batch_size, steps, seed, augmentation, streams, pick, people, columns, one_flip=True)


def expression_pairs(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """An image and another of the same expression (FESR's x and x^{p,r}).

    Args:
        table: faces with an expression, each expression at least twice; others are left out.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`. With votes, a face's
            expression is the one with the most.

    Returns:
        Batches {"image", "label", "positive_image", "positive_label"}.

    Raises:
        DatasetError: as for `images`.
    """
    table, targets = _often(*_usable(table, label_space, labels))
    return _compared(table, targets, ("positive",), spec, batch_size, seed, augmentation, cache)


def _compared(
    table: FaceTable,
    targets: np.ndarray,
    others: tuple[str, ...],
    spec: ImageSpec,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    cache: str | os.PathLike[str] | None,
) -> Batches:
    """An image of each row and, of `others`, "positive", one of the same expression, and "negative", one of another."""
    steps = _steps(table.name, len(table), batch_size, "images of expressions with two or more")
    groups = _Groups(targets.argmax(1))
    draw = {"positive": groups.same, "negative": groups.other}
    faces = _Faces(table, _stored(spec, augmentation), cache)
    streams = [_Stream("image", faces, {"label": targets})]
    streams += [_Stream(f"{name}_image", faces, {f"{name}_label": targets}) for name in others]
    order = _Order(seed, 0, len(table), batch_size)

    def pick(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = order.rows(epoch, step, steps)
        draws = np.random.default_rng([seed, 1, epoch, step]).random((len(others), batch_size))
        return rows, *(draw[name](rows, chosen) for name, chosen in zip(others, draws))

    return Batches(spec, batch_size, steps, seed, augmentation, streams, pick, [])


def _often(table: FaceTable, targets: np.ndarray) -> tuple[FaceTable, np.ndarray]:
    """The rows whose expression, that with the largest share, occurs at least twice."""
    rows = np.flatnonzero(_Groups(targets.argmax(1)).mates() > 0) if len(table) else np.arange(0)
    return table.select(rows), targets[rows]


def triplets(
    table: FaceTable,
    spec: ImageSpec,
    label_space: LabelSpace,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """An image, another of the same expression, and one of another expression.

    Args:
        table: faces with an expression, each of two or more expressions at least twice; others are left out.
        spec, label_space, batch_size, seed, augmentation, labels, cache: as for `images`. With votes, a face's
            expression is the one with the most.

    Returns:
        Batches {"image", "label", "positive_image", "positive_label", "negative_image", "negative_label"}.

    Raises:
        DatasetError: as for `images`, or there are not two expressions with two images.
    """
    table, targets = _often(*_usable(table, label_space, labels))
    if len(np.unique(targets.argmax(1))) < 2:
        raise DatasetError(f"{table.name}: triplets need two expressions with two images each")
    return _compared(table, targets, ("positive", "negative"), spec, batch_size, seed, augmentation, cache)


def unlabelled(
    table: FaceTable | Sequence[FaceTable],
    spec: ImageSpec,
    label_space: LabelSpace | None,
    batch_size: int,
    *,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    labels: str = "majority",
    cache: str | os.PathLike[str] | None = "memory",
) -> Batches:
    """Images alone, of one set or of several together (DCGAN-FER).

    Args:
        table: faces; of several tables all rows, shuffled together.
        spec, batch_size, seed, augmentation, cache: as for `images`.
        label_space, labels: not used; a face needs no expression.

    Returns:
        Batches {"image": float32 (n, *spec.shape) in the spec's range}.

    Raises:
        DatasetError: too few images, or images that do not decode; the message names them.
    """
    if not isinstance(table, FaceTable):
        table = table[0] if len(table) == 1 else FaceTable.concatenate("+".join(part.name for part in table), table)
    return _single_images(table, {}, spec, batch_size, seed, augmentation, cache, what="images")


BATCH_MAKERS: dict[str, Callable[..., Batches]] = {
    "images": images,
    "images_with_pose": images_with_pose,
    "expression_and_face": expression_and_face,
    "identity_pairs": identity_pairs,
    "landmark_pairs": landmark_pairs,
    "expression_pairs": expression_pairs,
    "triplets": triplets,
    "unlabelled": unlabelled,
}
"""Name of a kind of batch, as a model asks for it -> the function that makes it."""

"""`FERModel`: the contract that every paper's model fulfils, and all that the models share.

A paper's class defines its `Config`, the batches it eats, its networks, which optimizer moves which networks,
`train_step`, `recognizer` and `synthesize`. Everything else is here.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import json
import math
import os
import re
import reprlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import LARGEST_FACE, ImageSpec
from kerasfer.forks import use_tensorflow
from kerasfer.losses import hits
from kerasfer.models.ranges import RangeChecked
from kerasfer.models.recognizer import Probabilities, Recognizer, refuse_hdf5
from kerasfer.optimizers import FusedAdam, WarmAverage, copied
from kerasfer.priors import PriorError, training_shares

__all__ = [
    "BATCH_KINDS",
    "ConfigError",
    "FERModel",
    "ModelConfig",
    "OptimizerPlan",
    "copy_weights",
    "in_batches",
    "precision_scope",
    "weights_at_most",
]

BATCH_KINDS: dict[str, dict[str, str]] = {
    "unlabelled": {
        "image": "float32 (n, h, w, c) in the model's range",
    },
    "images": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
    },
    "images_with_pose": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "pose_label": "int32 (n,), class of the head's yaw, -1 where it is not known",
    },
    "expression_and_face": {
        "expression_image": "float32 (n, h, w, c) in the model's range",
        "expression_label": "float32 (n, K), a distribution over the expressions",
        "face_image": "float32 (n, h, w, c) in the model's range",
        "identity_label": "int32 (n,), number of the person",
    },
    "identity_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "identity_label": "int32 (n,), number of the person",
        "other_image": "float32 (n, h, w, c), another image of the same person",
        "other_label": "float32 (n, K), its distribution over the expressions",
    },
    "landmark_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "landmarks": "float32 (n, 68, 2) in pixels of the image",
        "other_image": "float32 (n, h, w, c), another image, of the same person where there is one",
        "other_label": "float32 (n, K), its distribution over the expressions",
        "other_landmarks": "float32 (n, 68, 2) in its pixels",
        "paired": "float32 (n,), 1 where both images are of the same person, else 0",
    },
    "expression_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "positive_image": "float32 (n, h, w, c), another image of the same expression",
        "positive_label": "float32 (n, K), its distribution over the expressions",
    },
    "triplets": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "positive_image": "float32 (n, h, w, c), another image of the same expression",
        "positive_label": "float32 (n, K), its distribution over the expressions",
        "negative_image": "float32 (n, h, w, c), an image of another expression",
        "negative_label": "float32 (n, K), its distribution over the expressions",
    },
}
"""The kinds of batch that models eat: kind -> key -> type and meaning. `kerasfer.batches` makes them."""

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
Optimizers = str | keras.optimizers.Optimizer
"""What names an optimizer: "adam", say, or one."""

SCHEDULES = ("constant", "cosine", "steps")


class ConfigError(ValueError):
    """A config field is unknown or has a value that it cannot have."""


_COUNTS = ("batch_size", "epochs", "steps", "images", "identities", "trials", "landmarks", "vectors", "every")
_LIMITS = {
    "seed": 2**32 - 1,
    **dict.fromkeys(_COUNTS, 10**7),
    "size": LARGEST_FACE,
    "blocks": 1000,
    "layers": 1000,
}
_LARGEST = 1 << 16
"""Largest whole numbers that a config may hold, by a part of the field's name, and in other fields."""

_MOST_ENTRIES, _LONGEST = 256, 4096
"""Most entries of a list, and characters of a text, in a config."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Fields of every model's config.

    Attributes:
        image_size: height and width of the faces in pixels.
        channels: 1 (grey) or 3 (RGB).
        pixel_range: a key of `kerasfer.faces.PIXEL_RANGES`.
        expressions: names of the classes, in order: two or more, any names, each once.
        precision: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16 (losses are scaled then). `create`
            and `load` take a global policy other than float32 for it.
        seed: of the initial weights and of every random draw while training.
        batch_size: images a step, over all replicas.
        epochs: passes over the training set.
        freeze_epochs: how many of them, at the start, move only the layers that depend on the classes: for a new head
            on weights that have learnt. The others are held at their values; batch normalisation follows its means.
        learning_rate: the optimizers' step size.
        schedule: "constant"; "cosine" (falls to zero at the end of the last epoch); or "steps" (a tenth after each
            third of the epochs).
        average: momentum of the running average of the weights that is used after training; 0 for none. It grows to
            that value over the first updates (`kerasfer.optimizers.WarmAverage`).
        temperature: what the recogniser's logits are divided by before the softmax (Guo et al. 2017).
        training_prior: share of each class in what the model was trained on, in the order of `expressions`, which
            another prior can take the place of (`kerasfer.recognize(prior=)`); empty where it is not known.
    """

    image_size: int = 128
    channels: int = 1
    pixel_range: str = "unit"
    expressions: tuple[str, ...] = FERPLUS8.labels
    precision: str = "float32"
    seed: int = 0
    batch_size: int = 32
    epochs: int = 100
    freeze_epochs: int = 0
    learning_rate: float = 1e-4
    schedule: str = "constant"
    average: float = 0.0
    temperature: float = 1.0
    training_prior: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "expressions", tuple(self.expressions))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        self._demand_bounds()
        try:
            ImageSpec(self.image_size, self.channels, self.pixel_range)
            object.__setattr__(self, "expressions", LabelSpace.of(self.expressions).labels)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._demand(
            len(self.expressions) > 1, f"expressions name two classes or more, got {', '.join(self.expressions)}"
        )
        self._demand(self.precision in PRECISIONS, f"precision is one of {', '.join(PRECISIONS)}")
        self._demand(self.schedule in SCHEDULES, f"schedule is one of {', '.join(SCHEDULES)}")
        self._demand(self.batch_size >= 1 and self.epochs >= 0, "batch_size is at least 1, epochs at least 0")
        self._demand(0 <= self.freeze_epochs <= self.epochs, "freeze_epochs lie between 0 and epochs")
        self._demand(0 <= self.average < 1, "average lies in [0, 1)")
        self._demand(self.temperature > 0, "temperature is more than 0")
        if self.training_prior:
            try:
                training_shares(self.expressions, self.training_prior)
            except PriorError as error:
                raise ConfigError(str(error)) from error

    def _demand_bounds(self) -> None:
        """No field, and no entry of one, is outside what a model could be made of."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            entries = value if isinstance(value, tuple) else (value,)
            self._demand(len(entries) <= _MOST_ENTRIES, f"{field.name} has at most {_MOST_ENTRIES} entries")
            most = next((limit for part, limit in _LIMITS.items() if part in field.name), _LARGEST)
            for entry in entries:
                if isinstance(entry, (int, np.integer)):
                    self._demand(0 <= entry <= most, f"{field.name} is at least 0 and at most {most}")
                elif isinstance(entry, (float, np.floating)):
                    self._demand(math.isfinite(entry), f"{field.name} is a finite number")
                elif isinstance(entry, str):
                    self._demand(len(entry) <= _LONGEST, f"{field.name} has at most {_LONGEST} characters")
                else:
                    self._demand(False, f"{field.name} holds numbers or texts")

    def _demand(self, condition: bool, rule: str) -> None:
        if not condition:
            raise ConfigError(f"{type(self).__name__}: {rule}")

    @classmethod
    def paper(cls) -> ModelConfig:
        """The paper's size and settings."""
        return cls()

    @classmethod
    @abc.abstractmethod
    def small(cls) -> ModelConfig:
        """A size that a CPU can train: other width, resolution and epochs, same structure and losses."""

    @classmethod
    @abc.abstractmethod
    def tiny(cls) -> ModelConfig:
        """The smallest size that still has every part, for tests."""

    def replace(self, **overrides: Any) -> ModelConfig:
        """A copy with fields changed; other expressions begin without a training prior.

        Raises:
            ConfigError: a field that the config does not have, or a value of another type.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name, value in overrides.items():
            if name not in fields:
                raise ConfigError(f"{type(self).__name__} has no field {name!r}; fields are {', '.join(fields)}")
            overrides[name] = _matching(name, value, getattr(self, name))
        if overrides.get("expressions", self.expressions) != self.expressions:
            overrides.setdefault("training_prior", ())
        return dataclasses.replace(self, **overrides)

    def recognizing(self) -> ModelConfig:
        """The config of the same recogniser without networks that only training and synthesis need; if none, this."""
        return self

    def with_classes(self, expressions: Sequence[str]) -> ModelConfig:
        """The config of the same networks with a new head, for classes that they are to learn.

        A calibration, which was of the head before, is dropped.

        Args:
            expressions: names of the classes.

        Raises:
            ConfigError: names that cannot be classes.
        """
        return self.replace(expressions=tuple(expressions), temperature=1.0)

    def fine_tuning(self) -> ModelConfig:
        """The config with the schedule for going on from weights that have learnt, on some hundred faces and more.

        20 epochs of batches of 32 at most, of which the first 4 move the head alone; the learning rate is at most 3e-4
        and falls with the cosine; no running average reaches further back than a tenth of a short training.
        """
        return self.replace(
            epochs=20,
            freeze_epochs=4,
            batch_size=min(self.batch_size, 32),
            learning_rate=min(self.learning_rate, 3e-4),
            schedule="cosine",
            average=min(self.average, 0.95),
        )

    @classmethod
    def parse_override(cls, text: str) -> tuple[str, Any]:
        """Splits "field=value" as given on a command line; the value is JSON, or else a string."""
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"{text!r}: write field=value")
        return name.strip(), _json_or_text(value)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The config of `to_dict`; `ConfigError` for a field that is not known."""
        return cls.paper().replace(**values)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _matching(name: str, value: Any, current: Any) -> Any:
    """The value for a field, of the type of the one that it has; of a list every entry, which commas may part."""
    if isinstance(current, tuple):
        if isinstance(value, str):
            texts = current and isinstance(current[0], str)
            value = [part.strip() if texts else _json_or_text(part.strip()) for part in value.split(",")]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} is a list, got {reprlib.repr(value)}")
        if current:
            value = [_matching(f"each entry of {name}", entry, current[0]) for entry in value]
        return tuple(value)
    if isinstance(current, bool) != isinstance(value, bool):
        raise ConfigError(f"{name} is of type {type(current).__name__}, got {reprlib.repr(value)}")
    if isinstance(current, float) and isinstance(value, int):
        return float(value)
    if current is not None and not isinstance(value, type(current)):
        raise ConfigError(f"{name} is of type {type(current).__name__}, got {reprlib.repr(value)}")
    return value


@dataclasses.dataclass(frozen=True)
class OptimizerPlan:
    """One optimizer of a model.

    Attributes:
        networks: names of the networks it moves; every network with weights belongs to exactly one optimizer, or is
            named in the model's `frozen`.
        make: makes the optimizer, a `kerasfer.optimizers.WarmAverage`, from keyword arguments `learning_rate`,
            `use_ema`, `ema_momentum`.
        updates: how often a training step updates the networks; the learning rate's schedule counts updates.
        start: the training step at which the updates begin.
        rate: multiplies the config's learning rate.
        average: whether the config's running average covers these networks.
    """

    networks: tuple[str, ...]
    make: Callable[..., keras.optimizers.Optimizer] = FusedAdam
    updates: int = 1
    start: int = 0
    rate: float = 1.0
    average: bool = True


def chosen_precision(otherwise: str) -> str:
    """The global dtype policy where somebody has set another than float32, else the one given."""
    policy = keras.config.dtype_policy().name
    return otherwise if policy == "float32" else policy


class _Together:
    """The optimizers of a model as Keras' callbacks see one: a learning rate that they read and set."""

    built = True

    def __init__(self, optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
        self._optimizers = optimizers

    @property
    def learning_rate(self) -> Any:
        """That of the first; when it is set, the others' change in proportion."""
        return self._optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        before = float(keras.ops.convert_to_numpy(self.learning_rate))
        for optimizer in self._optimizers:
            own = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = float(rate) * (own / before if before else 1.0)


@contextlib.contextmanager
def precision_scope(policy: str) -> Iterator[None]:
    """Layers made inside have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_counting = threading.RLock()


@contextlib.contextmanager
def weights_at_most(most: int) -> Iterator[None]:
    """Layers that this thread makes inside have so many weights in all; `ConfigError` before memory is taken."""
    left, thread = most, threading.get_ident()
    with _counting:
        before = keras.layers.Layer.add_weight

        def add_weight(self: keras.layers.Layer, shape: Any = None, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if threading.get_ident() == thread:
                left -= math.prod(shape or ())
                if left < 0:
                    raise ConfigError(f"its networks would have more than {most:,} weights, {self.name} among them")
            return before(self, shape, *arguments, **options)

        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = before


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copies every weight; `ConfigError` if the networks differ in shape."""
    ours, theirs = target.weights, source.weights
    if [tuple(weight.shape) for weight in ours] != [tuple(weight.shape) for weight in theirs]:
        raise ConfigError(
            f"network {source.name!r} has other shapes than {target.name!r}; use configs of the same size"
        )
    for weight, value in zip(ours, theirs):
        weight.assign(value)


def copy_layers(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of every layer of the target from the source's layer of that name.

    Raises:
        ConfigError: the source has no such layer, or one of another shape.
    """
    names = [layer.name for layer in target.layers if layer.weights]
    missing = set(names) - {layer.name for layer in source.layers}
    if missing:
        raise ConfigError(f"network {source.name!r} has no {', '.join(sorted(missing))}; use configs that fit")
    for name in names:
        copy_weights(source.get_layer(name), target.get_layer(name))


def in_batches(function: Callable[..., tf.Tensor], *arrays: np.ndarray, size: int = 64) -> np.ndarray:
    """Applies a function to arrays of n rows, `size` rows at a time: float32 (n, ...)."""
    parts = [
        np.asarray(tf.cast(function(*(array[start : start + size] for array in arrays)), tf.float32))
        for start in range(0, len(arrays[0]), size)
    ]
    return np.concatenate(parts)


def _seed_paths(paths: Iterable[str]) -> dict[str, str]:
    """Keras numbers seed generators through the process; path -> path as if they were the process's first."""
    numbers = {path: int(found[1] or 0) for path in paths if (found := _SEED_PATH.fullmatch(path))}
    ordered = sorted(numbers, key=numbers.__getitem__)
    return {path: f"seed_generator{f'_{rank}' if rank else ''}/{_SEED}" for rank, path in enumerate(ordered)}


_SEED = "seed_generator_state"
_SEED_PATH = re.compile(rf"seed_generator(?:_(\d+))?/{_SEED}")


class FERModel(RangeChecked, keras.Model):
    """A paper's model: several networks, several optimizers, one training step.

    Args:
        config: an instance of the class's `Config`.

    Attributes:
        networks: name -> functional `keras.Model`, built and ready.
        optimizers: name -> optimizer, after `compile`.
        step: number of training steps done, int64 variable.
        new_head: whether the layers that depend on the classes have learnt nothing yet, on networks that have.
    """

    new_head: bool = False

    Config: ClassVar[type[ModelConfig]]
    frozen: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ModelConfig) -> None:
        use_tensorflow()
        super().__init__(name=type(self).__name__.lower(), dtype="float32")
        if not isinstance(config, self.Config):
            raise ConfigError(f"{type(self).__name__} takes a {self.Config.__name__}, got {type(config).__name__}")
        self.config = config
        self.image_spec = ImageSpec(config.image_size, config.channels, config.pixel_range)
        self.label_space = LabelSpace.of(config.expressions)
        keras.utils.set_random_seed(config.seed)
        with precision_scope(config.precision):
            self.networks: dict[str, keras.Model] = self.build_networks()
        self.step = self.add_weight(
            (), initializer="zeros", dtype="int64", trainable=False, name="step", aggregation="only_first_replica"
        )
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.loss_terms()}
        self.test_trackers = {
            name: self.trackers.get(name) or keras.metrics.Mean(name=name) for name in ("loss", "accuracy")
        }
        self.optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.phase: tuple[bool, ...] | None = None
        self.built = True

    @classmethod
    @abc.abstractmethod
    def batch_kind_of(cls, config: ModelConfig) -> str:
        """The kind of batch, a key of `BATCH_KINDS`, that `train_step` eats under a config."""

    @abc.abstractmethod
    def build_networks(self) -> dict[str, keras.Model]:
        """Makes the networks, by name."""

    @abc.abstractmethod
    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        """Which optimizer moves which networks, by the optimizer's name."""

    @abc.abstractmethod
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the numbers that `train_step` reports."""

    @abc.abstractmethod
    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on a batch of the class's `batch_kind`; returns the loss terms' running means.

        It begins with `self.as_batch`, so that `Model.fit` may be given images and labels.
        """

    @abc.abstractmethod
    def recognizer(self) -> keras.Model:
        """Aligned faces in the model's range, float32 (n, h, w, c), to probabilities, float32 (n, K).

        One flat functional model, a `Recognizer`; it shares its layers with the networks.
        """

    def features(self, faces: np.ndarray) -> np.ndarray:
        """What the recognizer makes of faces before it names their expressions.

        The last layer but one of each: dcganfer's feature of D's last maps (8,192 numbers at the bundled size), edge's
        mean over the last map (128), fesr's R_ext (256), g2fer's fc1 (512), ipdfer's E_exp (128), tdgan's fc2 (512).

        Args:
            faces: float32 (n, h, w, c) in the model's range.

        Returns:
            float32 (n, d).
        """
        return self.recognizer().features(faces)

    def generator(self) -> keras.Model | None:
        """What generates images, as one network to export; None if the model or the variant generates none.

        Returns:
            A model with named inputs, each float32 (n, ...), to "image", float32 (n, h, w, c) in the model's range.
        """
        return None

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """Inputs of `generator()` made from aligned faces, to compare exported files on.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            seed: of what is drawn.

        Returns:
            Name of the input -> float32 (n, ...).
        """
        raise NotImplementedError(f"{type(self).__name__} has no generator")

    @property
    def training_prior(self) -> tuple[float, ...]:
        """Share of each class in what the model was trained on; () where it is not known."""
        return self.config.training_prior

    def get_config(self) -> dict[str, Any]:
        """What a .keras file says of the model, beside its weights."""
        return {"config": self.portable_config().to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> FERModel:
        """The model of `get_config`, with the weights that its config starts with."""
        return cls(cls.Config.from_dict(config["config"]))

    def save(self, filepath: str | os.PathLike[str], *arguments: Any, **options: Any) -> None:
        """Saves the whole model as a .keras file, as `keras.Model.save` does; `kerasfer.save` writes a folder.

        Raises:
            ValueError: the path is that of an HDF5 file, or the model was saved without some of its weights.
        """
        refuse_hdf5(filepath)
        missing = [name for name, network in self.networks.items() if not isinstance(network, keras.Model)]
        if missing:
            raise ValueError(
                f"{os.fspath(filepath)}: the model has no {', '.join(missing)}, which a .keras file must hold; save it "
                "with kerasfer.save(model, folder), or model.recognizer() alone as .keras"
            )
        super().save(filepath, *arguments, **options)

    @abc.abstractmethod
    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        """Networks by what they are needed for: "recognizer" first, then others such as "generator", "training"."""

    def survey(self, columns: dict[str, np.ndarray]) -> None:
        """Looks at the whole training set before the first step, for models that keep something of it.

        Args:
            columns: what `Batches.columns` holds of every row; {} for kinds of batch that hold nothing.
        """

    def prepare(self, batch: dict[str, tf.Tensor]) -> None:
        """Fits what needs it to the first batch, before the first step of a training that begins.

        Args:
            batch: of the model's kind, whole on every replica and worker.
        """

    def omissions(self) -> tuple[str, ...]:
        """What of the paper's method the config's classes leave no place for, a line each; a training says it."""
        return ()

    def given_groups(self) -> tuple[str, ...]:
        """Weight groups whose values come with kerasfer: a saved model does not hold them once more."""
        return ()

    def portable_config(self) -> ModelConfig:
        """The config as a saved model holds it: without paths of this machine."""
        return self.config

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the encoders make of aligned faces, for probing what each code gives away.

        Args:
            images: float32 (n, h, w, c) in the model's range.

        Returns:
            Name of the code, such as "expression" -> float32 (n, ...); none if the model has no encoders.
        """
        return {}

    def preview(self, batch: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Pictures that show what the model has learnt to generate, made from a training batch.

        Returns:
            Rows of a grid, each float32 (columns, h, w, c) in the model's range; none if it generates nothing.
        """
        return []

    def intervals(self) -> tuple[int, ...]:
        """For parts of the step that are not due at every step: every how many steps each is due."""
        return ()

    def starts(self) -> tuple[int, ...]:
        """For parts of the step that come in later: the training step from which on each is done."""
        return ()

    def phase_at(self, step: int) -> tuple[bool, ...]:
        """Which of `intervals` are due at a step, and which of `starts` are past.

        A loop may trace one step function for each answer.
        """
        due = tuple(step % every == 0 for every in self.intervals())
        return (*due, *(step >= start for start in self.starts()))

    def when_due(self, index: int, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Runs the function if `intervals()[index]` is due at this step.

        A loop that sets `phase` decides while tracing, which works under every `tf.distribute` strategy, and so does
        `Model.fit`; with `steps_per_execution` it decides in the graph, which works on one replica.
        """
        every = self.intervals()[index]
        if every == 1:
            return function()
        return self._choose(index, lambda step: tf.equal(step % every, 0), function, otherwise)

    def when_started(self, index: int, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Runs the function from step `starts()[index]` on; decided as in `when_due`."""
        start = self.starts()[index]
        if start <= 0:
            return function()
        return self._choose(len(self.intervals()) + index, lambda step: step >= start, function, otherwise)

    def _choose(
        self,
        index: int,
        holds: Callable[[tf.Tensor], tf.Tensor],
        function: Callable[[], Any],
        otherwise: Callable[[], Any],
    ) -> Any:
        """Runs the function if entry `index` of the phase holds."""
        if self.phase is not None:
            return function() if self.phase[index] else otherwise()
        return tf.cond(holds(tf.convert_to_tensor(self.step)), function, otherwise)

    def compile(
        self,
        optimizer: Optimizers | Mapping[str, Optimizers] | None = None,
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = False,
        auto_scale_loss: bool = True,
        *,
        total_steps: int | None = None,
    ) -> None:
        """Makes the optimizers and builds their slots; the arguments are those of `keras.Model.compile`.

        Args:
            optimizer: by default the paper's. A name such as "adam" has the config's learning rates, an optimizer its
                own; each of the model's is a copy. Or one for each of `optimizer_plans()`, by name.
            loss, loss_weights, metrics, weighted_metrics: None: `train_step` has its own. To train with others compile
                and fit `recognizer()`.
            run_eagerly, steps_per_execution: for `Model.fit`.
            jit_compile: whether `Model.fit` has XLA compile the step; "auto" does not.
            auto_scale_loss: whether losses are scaled where the precision is mixed_float16, for each optimizer apart.
            total_steps: length of the training; needed by every schedule but the constant one, and by `freeze_epochs`.
                Without it, an optimizer named here keeps one learning rate and moves everything from the first step on.

        Raises:
            ConfigError: a loss or a metric; an optimizer that is unknown or missing; a schedule without `total_steps`;
                a network that no optimizer moves, or two do.
        """
        others = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise ConfigError(
                f"{type(self).__name__} has the losses of its train_step and takes no {given[0]}; compile and fit "
                "model.recognizer() to train with others"
            )
        plans = self.optimizer_plans()
        if isinstance(optimizer, Mapping) and set(optimizer) != set(plans):
            raise ConfigError(f"the optimizers are {', '.join(plans)}; got {', '.join(optimizer) or 'none'}")
        super().compile(
            optimizer=None,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile is True,
        )
        seen: dict[str, str] = {}
        for name, plan in plans.items():
            for network in plan.networks:
                if network in seen:
                    raise ConfigError(f"network {network!r} is moved by both {seen[network]!r} and {name!r}")
                seen[network] = name
            updates = total_steps and max(total_steps - plan.start, 1) * plan.updates
            wanted = optimizer[name] if isinstance(optimizer, Mapping) else optimizer
            made = self._make_optimizer(name, plan, wanted, updates)
            variables = self.variables_of(*plan.networks)
            scaled = auto_scale_loss and self.config.precision == "mixed_float16"
            self.optimizers[name] = keras.optimizers.LossScaleOptimizer(made) if scaled else made
            self.optimizers[name].build(variables)
            if made.use_ema:
                # Until its first update, a network's averages are the weights that it starts with.
                for variable, average in zip(variables, made.averages, strict=True):
                    average.assign(variable)
        if total_steps is not None or optimizer is None:
            self._freeze(total_steps)
        idle = [name for name, net in self.networks.items() if net.trainable_variables and name not in seen]
        if set(idle) - set(self.frozen):
            raise ConfigError(f"no optimizer moves {', '.join(sorted(set(idle) - set(self.frozen)))}")
        self.optimizer = _Together(list(self.optimizers.values()))
        self._compiled = {
            "optimizer": optimizer,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
            "auto_scale_loss": auto_scale_loss,
            "total_steps": total_steps,
        }

    def _make_optimizer(
        self, name: str, plan: OptimizerPlan, wanted: Optimizers | None, updates: int | None
    ) -> keras.optimizers.Optimizer:
        if wanted is None:
            made = plan.make(learning_rate=self._learning_rate(updates, plan.rate), **self._averaging(plan))
            if not isinstance(made, WarmAverage):
                raise ConfigError(f"optimizer {name!r} is no WarmAverage: its averages would start at random weights")
            return made
        try:
            known = keras.optimizers.get(wanted)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"optimizer {name!r}: {wanted!r} is no Keras optimizer; give one, or its name") from error
        settings = self._averaging(plan)
        if isinstance(wanted, str):
            one_rate = plan.rate * self.config.learning_rate
            settings["learning_rate"] = self._learning_rate(updates, plan.rate) if updates else one_rate
        return copied(known, **settings)

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, for a .keras file."""
        return keras.saving.serialize_keras_object(getattr(self, "_compiled", {}))

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a .keras file says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _freeze(self, total_steps: int | None) -> None:
        """Has the optimizers hold, for `freeze_epochs`, all weights that do not depend on the classes."""
        if not self.config.freeze_epochs:
            return
        if total_steps is None:
            raise ConfigError("freeze_epochs need the number of steps: compile(total_steps=...)")
        steps = round(total_steps * self.config.freeze_epochs / self.config.epochs)
        if not steps:
            return
        depends = {
            id(self.networks[network].weights[place])
            for network, places in self.class_weights().items()
            for place in places
        }
        for name, plan in self.optimizer_plans().items():
            held = [variable for variable in self.variables_of(*plan.networks) if id(variable) not in depends]
            updates = max(steps - plan.start, 0) * plan.updates
            if held and updates and not isinstance(self._inner(name), FusedAdam):
                raise ConfigError("freeze_epochs need Adam: compile() or compile('adam')")
            if held and updates:
                self._inner(name).hold(held, updates)

    def class_weights(self) -> dict[str, tuple[int, ...]]:
        """What a new head replaces: of each network the places, in `weights`, of those that depend on the classes.

        They are the weights that would have another shape if there were one class more.
        """
        more = [f"class {number}" for number in range(len(self.config.expressions) + 1)]
        other = type(self)(self.config.replace(expressions=tuple(more)))
        return {
            name: tuple(
                place
                for place, (mine, theirs) in enumerate(zip(network.weights, other.networks[name].weights, strict=True))
                if mine.shape != theirs.shape
            )
            for name, network in self.networks.items()
            if isinstance(network, keras.Model)
        }

    def _learning_rate(self, updates: int | None, factor: float = 1.0) -> Any:
        rate, schedule = factor * self.config.learning_rate, self.config.schedule
        if schedule == "constant":
            return rate
        if not updates:
            raise ConfigError(f"the {schedule} schedule needs the number of steps: compile(total_steps=...)")
        if schedule == "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, updates)
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [updates // 3, 2 * updates // 3], [rate, rate / 10, rate / 100]
        )

    def _averaging(self, plan: OptimizerPlan) -> dict[str, Any]:
        if not (self.config.average and plan.average):
            return {}
        return {"use_ema": True, "ema_momentum": self.config.average, "ema_overwrite_frequency": None}

    def variables_of(self, *networks: str) -> list[keras.Variable]:
        """Trainable variables of some networks, in a fixed order."""
        return [variable for name in networks for variable in self.networks[name].trainable_variables]

    def mean_over_batch(self, per_example: tf.Tensor) -> tf.Tensor:
        """Mean in float32, divided by the number of replicas, since `tf.distribute` adds up their gradients."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return tf.reduce_mean(tf.cast(per_example, tf.float32)) / replicas

    def uniform(self, shape: tuple[int | tf.Tensor, ...], draw: int) -> tf.Tensor:
        """Numbers uniform on [0, 1), float32, that depend on the seed, the step and the place in the global batch only.

        Args:
            shape: of this replica's part; the first entry is its number of examples.
            draw: tells the draws of one step apart.
        """
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        count = shape[0]
        seed = tf.stack([tf.constant(self.config.seed * 1009 + draw, tf.int64), tf.convert_to_tensor(self.step)])
        numbers = tf.random.stateless_uniform((count * replicas, *shape[1:]), seed)
        if replicas == 1:
            return numbers
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        return numbers[index * count : (index + 1) * count]

    def left_out(self) -> tuple[str, ...]:
        """Networks of the group "training" that this model was saved without."""
        training = self.weight_groups().get("training", ())
        return tuple(name for name in training if not isinstance(self.networks[name], keras.Model))

    def start_from(self, other: FERModel) -> None:
        """Copies the weights of the networks that both models have.

        Networks of the group "training" that the other was saved without, such as discriminators, stay as they are.

        Raises:
            ConfigError: no network is shared, or one has other shapes, or was taught other classes.
            ZooError: the other was saved without another network that both have.
        """
        shared = [name for name in self.networks if name in other.networks and name not in other.left_out()]
        if not shared:
            raise ConfigError(f"{type(other).__name__} has no network that {type(self).__name__} could start from")
        if other.label_space != self.label_space and any(self.class_weights().get(name) for name in shared):
            raise ConfigError(
                f"{type(other).__name__} has learnt {', '.join(other.label_space.labels)}, and this model is to learn "
                f"{', '.join(self.label_space.labels)}; for a new head on its networks load it with "
                "expressions=(...), or name the classes with --set expressions="
            )
        for name in shared:
            copy_weights(other.networks[name], self.networks[name])

    def minimize(self, optimizers: str | tuple[str, ...], loss: tf.Tensor, tape: tf.GradientTape) -> None:
        """Moves the networks of one optimizer or of several, and no others, down the loss."""
        names = (optimizers,) if isinstance(optimizers, str) else optimizers
        variables = [self.variables_of(*self.optimizer_plans()[name].networks) for name in names]
        scales = [self._loss_scale(name) for name in names]
        first = scales[0]
        start = None if first is None else tf.cast(first, loss.dtype)
        for name, gradients, moved, scale in zip(
            names, tape.gradient(loss, variables, output_gradients=start), variables, scales
        ):
            if scale is not first:
                gradients = [gradient if gradient is None else gradient * (scale / first) for gradient in gradients]
            self.optimizers[name].apply(gradients, moved)

    def _inner(self, name: str) -> WarmAverage:
        """The optimizer itself, without what scales its loss."""
        optimizer = self.optimizers[name]
        return getattr(optimizer, "inner_optimizer", optimizer)

    def _loss_scale(self, name: str) -> tf.Tensor | None:
        """What an optimizer wants its loss multiplied by; None if it does not scale losses."""
        optimizer = self.optimizers[name]
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        return tf.convert_to_tensor(optimizer.dynamic_scale) if scales else None

    def recognizer_of(self, image: keras.KerasTensor, logits: keras.KerasTensor, feature_layer: str) -> Recognizer:
        """The recognizer from its input to its logits, Keras tensors of the networks' own graph.

        Args:
            image: the input.
            logits: what the softmax is taken of.
            feature_layer: name of the layer whose output the logits are made from.
        """
        config = self.config
        if config.temperature != 1.0:
            logits = keras.layers.Rescaling(1.0 / config.temperature, dtype="float32", name="temperature")(logits)
        end = Probabilities(
            self.label_space.labels,
            config.pixel_range,
            feature_layer,
            config.precision,
            config.training_prior,
            name="probabilities",
        )
        return Recognizer(image, end(logits), name="recognizer")

    def weight_name(self, network: str, variable: keras.Variable) -> str:
        """What files call a weight of a network: its path.

        Layers whose names would meet another network's in the recognizer have their network's before their own; files
        do without.
        """
        return variable.path.removeprefix(f"{network}_")

    def report(self, **terms: tf.Tensor) -> None:
        """Adds values, as `mean_over_batch` gives them, to the running means of the loss terms."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in terms.items():
            self.trackers[name].update_state(tf.cast(value, tf.float32) * replicas)

    def result(self) -> dict[str, tf.Tensor]:
        """The running means of the loss terms since the last reset."""
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list({**self.test_trackers, **self.trackers}.values())

    def as_batch(self, data: Any) -> dict[str, tf.Tensor]:
        """What `train_step` was given, as a batch of the model's kind.

        Args:
            data: such a batch, a dict; images; or images and labels, where the kind has no more than these. Labels may
                be class numbers, int (n,).

        Raises:
            ConfigError: an entry of the batch is missing, or there are sample weights.
        """
        batch = self._by_name(data)
        kind = self.batch_kind_of(self.config)
        missing = [name for name in BATCH_KINDS[kind] if name not in batch]
        if missing:
            raise ConfigError(
                f"{type(self).__name__} eats batches of the kind {kind}, dicts of {', '.join(BATCH_KINDS[kind])}; "
                f"this one has no {', '.join(missing)} (kerasfer.batches makes them)"
            )
        return batch

    def _by_name(self, data: Any) -> dict[str, tf.Tensor]:
        if isinstance(data, Mapping):
            batch = dict(data)
        else:
            images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
            if weights is not None:
                raise ConfigError(f"{type(self).__name__} takes no sample weights; draw what counts more more often")
            batch = {"image": images} if labels is None else {"image": images, "label": labels}
        for name in batch:
            if name.endswith("label") and name not in ("identity_label", "pose_label"):
                labels = tf.convert_to_tensor(batch[name])
                if labels.shape.rank == 1 or labels.dtype.is_integer and labels.shape[-1] == 1:
                    labels = tf.one_hot(tf.reshape(tf.cast(labels, tf.int32), (-1,)), len(self.label_space))
                batch[name] = tf.cast(labels, tf.float32)
        return batch

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """For `Model.evaluate`: cross entropy and accuracy of the recognizer on images and labels."""
        batch = self._by_name(data)
        start = "expression_" if "expression_image" in batch else ""
        if f"{start}label" not in batch:
            raise ConfigError(f"{type(self).__name__} is evaluated on images and labels; this batch has no labels")
        labels = batch[f"{start}label"]
        probabilities = tf.cast(self(batch[f"{start}image"], training=False), tf.float32)
        self.test_trackers["loss"].update_state(keras.losses.categorical_crossentropy(labels, probabilities))
        self.test_trackers["accuracy"].update_state(hits(labels, probabilities))
        return {name: tracker.result() for name, tracker in self.test_trackers.items()}

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """Keras' step of `fit`; of a model whose step has parts that are not always due, one for each `phase`."""
        if self.train_function is not None and not force:
            return self.train_function
        self.phase = None
        if self.steps_per_execution > 1 or not (self.intervals() or self.starts()):
            super().make_train_function(force=True)
            return self.train_function
        keras_step = super().make_train_function
        made: dict[tuple[bool, ...], Callable[[Any], Any]] = {}

        def step(iterator: Any) -> Any:
            phase = self.phase = self.phase_at(int(self.step.numpy()))
            if phase not in made:
                keras_step(force=True)
                made[phase], self.train_function = self.train_function, step
            return made[phase](iterator)

        self.train_function = step
        return step

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Probabilities of aligned faces: the recogniser's answer."""
        return self.recognizer()(inputs, training=training)

    def checked(self, images: np.ndarray) -> np.ndarray:
        """Images as float32; `ValueError` if they have not shape (n, h, w, c) or the range of values of the model."""
        images = np.asarray(images, np.float32)
        if images.ndim != 4 or images.shape[1:] != self.image_spec.shape:
            raise ValueError(f"images have shape (n, {', '.join(map(str, self.image_spec.shape))}), got {images.shape}")
        if images.size:
            self.image_spec.check_range(float(images.min()), float(images.max()), "images")
        return images

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The trained weights are replaced by their running averages inside, if the config asks for averages."""
        if not (self.config.average and self.optimizers):
            yield
            return
        kept: list[tuple[keras.Variable, np.ndarray]] = []
        averaged = {name: plan for name, plan in self.optimizer_plans().items() if plan.average}
        for name, plan in averaged.items():
            variables = self.variables_of(*plan.networks)
            for variable, average in zip(variables, self._inner(name).averages, strict=True):
                kept.append((variable, variable.numpy()))
                variable.assign(average.numpy())
        try:
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

    def state(self) -> dict[str, Any]:
        """Every variable that a training needs to go on: weights, optimizer slots, random states, the step.

        Returns:
            name -> Keras variable; the names are the same in every run of the same config.
        """
        variables = {"step": self.step}
        in_networks = {name: model.variables for name, model in self.networks.items()}
        seeds = _seed_paths([variable.path for part in in_networks.values() for variable in part])
        for network, part in in_networks.items():
            for index, variable in enumerate(part):
                path = seeds.get(variable.path) or self.weight_name(network, variable)
                variables[f"network/{network}/{index:03d}/{path}"] = variable
        for name, optimizer in self.optimizers.items():
            for index, variable in enumerate(optimizer.variables):
                variables[f"optimizer/{name}/{index:03d}"] = variable
        for name, tracker in self.trackers.items():
            for index, variable in enumerate(tracker.variables):
                variables[f"tracker/{name}/{index}"] = variable
        return variables

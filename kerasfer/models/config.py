"""`ModelConfig`: the fields that every model's config has, their bounds, and how they are given and stored."""

from __future__ import annotations

import abc
import dataclasses
import json
import math
import reprlib
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import LARGEST_FACE, ImageSpec
from kerasfer.priors import PriorError, training_shares

__all__ = [
    "PRECISIONS",
    "SCHEDULES",
    "ConfigError",
    "Deviation",
    "ModelConfig",
    "deviations",
    "deviations_table",
    "is_path",
    "ours",
    "require_defined",
]

ConfigType = TypeVar("ConfigType", bound="ModelConfig")

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
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


def ours(default: Any, why: str, paper: Any = None) -> Any:
    """A field of a config that the paper does not have.

    Args:
        default: the field's value by default.
        why: what it is there for, a few words.
        paper: the value with which the model is the paper's, or a function that says of a value whether it is; the
            default, if None is given.
    """
    return dataclasses.field(default=default, metadata={"ours": why, "paper": default if paper is None else paper})


def is_path(identity: str) -> bool:
    """Whether a field that names identity networks is the path of released weights, as the papers have them."""
    return identity not in ("dlib_resnet", "untrained")


def require_defined(cls: type, *also: str) -> None:
    """`TypeError` for a class that leaves one of its bases' abstract methods undefined, or something else, `also`."""
    abstract = [
        name
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if getattr(value, "__isabstractmethod__", False)
    ]
    missing = [name for name in dict.fromkeys(abstract) if getattr(getattr(cls, name), "__isabstractmethod__", False)]
    missing += also
    if missing:
        raise TypeError(f"{cls.__name__} does not define {', '.join(missing)}, which {cls.__mro__[1].__name__} demands")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Fields of every model's config.

    Attributes:
        image_size: height and width of the faces in pixels.
        channels: 1 (gray) or 3 (RGB).
        pixel_range: a key of `kerasfer.faces.PIXEL_RANGES`.
        expressions: names of the classes, in order: two or more, any names, each once.
        precision: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16 (losses are scaled then). `create`
            and `load` take a global policy other than float32 for it. Where a size has mixed_bfloat16 by default,
            `create` and trainings have float32 on processors that take longer in bfloat16.
        seed: of the initial weights and of every random draw while training.
        batch_size: images a step, over all replicas.
        epochs: passes over the training set.
        freeze_epochs: how many of them, at the start, move only the layers that depend on the classes: for a new head
            on weights that have learned. The others are held at their values; batch normalization follows its means.
        learning_rate: the optimizers' step size.
        schedule: "constant"; "cosine" (falls to zero at the end of the last epoch); or "steps" (a tenth after each
            third of the epochs).
        average: momentum of the running average of the weights that is used after training; 0 for none. It grows to
            that value over the first updates (`kerasfer.optimizers.WarmAverage`).
        temperature: what the recognizer's logits are divided by before the softmax (Guo et al. 2017).
        training_prior: share of each class in what the model was trained on, in the order of `expressions`, which
            another prior can take the place of (`kerasfer.recognize(prior=)`); empty where it is not known.
    """

    image_size: int = 128
    channels: int = 1
    pixel_range: str = "unit"
    expressions: tuple[str, ...] = FERPLUS8.labels
    precision: str = ours("float32", "what the networks compute in")
    seed: int = ours(0, "what is drawn at random")
    batch_size: int = 32
    epochs: int = 100
    freeze_epochs: int = ours(0, "a new head learns alone first")
    learning_rate: float = 1e-4
    schedule: str = "constant"
    average: float = ours(0.0, "the running average of the weights is steadier")
    temperature: float = ours(1.0, "calibrated probabilities")
    training_prior: tuple[float, ...] = ours((), "answers for another share of each class")

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        """Every config has its sizes.

        Args:
            abstract: whether the class leaves some of them to its own subclasses.
            **options: none.

        Raises:
            TypeError: `small` or `tiny` is not defined.
        """
        super().__init_subclass__(**options)
        if not abstract:
            require_defined(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expressions", tuple(self.expressions))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        self._require_bounds()
        try:
            ImageSpec(self.image_size, self.channels, self.pixel_range)
            object.__setattr__(self, "expressions", LabelSpace.of(self.expressions).labels)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._require(
            len(self.expressions) > 1, f"expressions name two classes or more, got {', '.join(self.expressions)}"
        )
        self._require(self.precision in PRECISIONS, f"precision is one of {', '.join(PRECISIONS)}")
        self._require(self.schedule in SCHEDULES, f"schedule is one of {', '.join(SCHEDULES)}")
        self._require(self.batch_size >= 1 and self.epochs >= 0, "batch_size is at least 1, epochs at least 0")
        self._require(0 <= self.freeze_epochs <= self.epochs, "freeze_epochs lie between 0 and epochs")
        self._require(0 <= self.average < 1, "average lies in [0, 1)")
        self._require(self.temperature > 0, "temperature is more than 0")
        if self.training_prior:
            try:
                training_shares(self.expressions, self.training_prior)
            except PriorError as error:
                raise ConfigError(str(error)) from error

    def _require_bounds(self) -> None:
        """No field, and no entry of one, is outside what a model could be made of."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            entries = value if isinstance(value, tuple) else (value,)
            self._require(len(entries) <= _MOST_ENTRIES, f"{field.name} has at most {_MOST_ENTRIES} entries")
            most = next((limit for part, limit in _LIMITS.items() if part in field.name), _LARGEST)
            for entry in entries:
                if isinstance(entry, (int, np.integer)):
                    self._require(0 <= int(entry) <= most, f"{field.name} is at least 0 and at most {most}")
                elif isinstance(entry, (float, np.floating)):
                    self._require(math.isfinite(entry), f"{field.name} is a finite number")
                elif isinstance(entry, str):
                    self._require(len(entry) <= _LONGEST, f"{field.name} has at most {_LONGEST} characters")
                else:
                    self._require(False, f"{field.name} holds numbers or texts")

    def _require(self, condition: bool, rule: str) -> None:
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

    def replace(self: ConfigType, **overrides: Any) -> ConfigType:
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
        """The config of the same recognizer without networks that only training and synthesis need; if none, this."""
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
        """The config with the schedule for going on from weights that have learned, on some hundred faces and more.

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


@dataclasses.dataclass(frozen=True)
class Deviation:
    """A field that makes a config another than the paper's.

    Attributes:
        field: its name.
        value: what it is set to.
        paper: what the paper has; None where only a value of the user's own would be the paper's.
        why: what a field that the paper does not have is there for; "" for one of the paper's with another value.
    """

    field: str
    value: Any
    paper: Any
    why: str = ""


def deviations(config: ModelConfig) -> tuple[Deviation, ...]:
    """Where a config is not the paper's: fields of ours (`ours`) that are not off, and the paper's of another value."""
    found = []
    printed = type(config).paper()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        paper = field.metadata.get("paper", getattr(printed, field.name))
        same = paper(value) if callable(paper) else value == paper
        if not same:
            shown = None if callable(paper) else paper
            found.append(Deviation(field.name, value, shown, field.metadata.get("ours", "")))
    return tuple(found)


def deviations_table(config: ModelConfig) -> str:
    """The deviations of a config as a Markdown table, but for what only says which faces it was trained on."""
    rows = [each for each in deviations(config) if each.field != "training_prior"]
    if not rows:
        return "None in the config."
    lines = ["| field | here | paper | what for |", "| --- | --- | --- | --- |"]
    for each in rows:
        paper = "–" if each.paper is None else _shown(each.paper)
        lines.append(f"| `{each.field}` | {_shown(each.value)} | {paper} | {each.why} |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


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

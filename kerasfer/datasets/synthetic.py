"""Rendered faces as a data set: people of a population, faces with every factor known exactly.

Every face is a pure function of (seed, index): any subset can be rendered alone and has the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import (
    ACTION_UNITS,
    EXPRESSION_ACTION_UNITS,
    FERPLUS8,
    UNKNOWN,
    Expression,
    LabelSpace,
)
from kerasfer.rendering.anatomy import person
from kerasfer.rendering.draw import render
from kerasfer.rendering.factors import (
    MAXIMUM_PITCH,
    MAXIMUM_ROLL,
    MAXIMUM_YAW,
    Factors,
    RenderingError,
    known_expression,
    neutral,
)

__all__ = ["Options", "SyntheticSource", "factors_of", "neutral_twin", "read", "sample_factors", "split_of"]

_SPLITS = ("train", "valid", "test")
_VOTES = 10.0
_FERPLUS_SHARES = (0.36, 0.26, 0.12, 0.12, 0.085, 0.02, 0.025, 0.01)
_FACE_STREAM = 12
_APART_STREAM = 14
_SHOWN_APART = 0.25
"""Probability of each unit in a face whose units are drawn each on its own."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the data set holds.

    Attributes:
        count: number of faces over all splits.
        identities: number of people; each belongs to one split.
        size: height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        seed: decides everything random.
        expressions: names of the expressions, among FERPlus' eight; empty for all.
        balanced: every person shows every expression equally often (as far as `count` allows); otherwise expressions
            are drawn with about FERPlus' shares.
        yaw, pitch, roll: ranges in degrees, drawn uniformly; one number stands for -number to number.
        noise: range of the noise's standard deviation in gray levels; one number stands for 0 to number.
        intensity: range of the intensity of the active action units, within [0, 1].
        light: range of the light's azimuth in degrees.
        jitter: how far the framing varies, as a share of the picture.
        apart: share of faces that show action units drawn each on its own, in place of an expression's; their
            expression is not known. What comes only together cannot be told apart by who learns from it: of the
            fourteen units 7, 23 and 24 are of anger alone.
    """

    count: int = 1600
    identities: int = 50
    size: int = 64
    channels: int = 1
    seed: int = 0
    expressions: tuple[str, ...] = ()
    balanced: bool = True
    yaw: tuple[float, float] = (-30.0, 30.0)
    pitch: tuple[float, float] = (-12.0, 12.0)
    roll: tuple[float, float] = (-6.0, 6.0)
    noise: tuple[float, float] = (0.0, 6.0)
    intensity: tuple[float, float] = (0.6, 1.0)
    light: tuple[float, float] = (-55.0, 55.0)
    jitter: float = 0.03
    apart: float = 0.0

    def __post_init__(self) -> None:
        for name in ("yaw", "pitch", "roll", "light"):
            object.__setattr__(self, name, _range(name, getattr(self, name), symmetric=True))
        for name in ("noise", "intensity"):
            object.__setattr__(self, name, _range(name, getattr(self, name), symmetric=False))
        names = self.expressions if not isinstance(self.expressions, str) else self.expressions.split(",")
        names = tuple(_rendered(name).label for name in names)
        object.__setattr__(self, "expressions", names or FERPLUS8.labels)
        for name, low, high in (
            ("count", 1, 10_000_000),
            ("identities", 1, 1_000_000),
            ("size", 16, 1024),
            ("seed", 0, 2**63),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
                raise DatasetError(f"synthetic: {name} must be a whole number from {low} to {high}, got {value!r}")
        if len(set(self.expressions)) != len(self.expressions):
            raise DatasetError(f"synthetic: an expression is named twice: {', '.join(self.expressions)}")
        if self.channels not in (1, 3):
            raise DatasetError(f"synthetic: channels must be 1 or 3, got {self.channels!r}")
        limits: dict[str, tuple[float, float]] = {
            "yaw": (-MAXIMUM_YAW, MAXIMUM_YAW),
            "pitch": (-MAXIMUM_PITCH, MAXIMUM_PITCH),
            "roll": (-MAXIMUM_ROLL, MAXIMUM_ROLL),
            "light": (-90.0, 90.0),
            "noise": (0.0, 80.0),
            "intensity": (0.0, 1.0),
            "jitter": (0.0, 0.3),
            "apart": (0.0, 1.0),
        }
        for name, (least, most) in limits.items():
            values = np.atleast_1d(getattr(self, name))
            if not (values[0] >= least and values[-1] <= most and values[0] <= values[-1]):
                raise DatasetError(
                    f"synthetic: {name} must lie in [{least:g}, {most:g}], lowest first; got {getattr(self, name)!r}"
                )

    @property
    def label_space(self) -> LabelSpace:
        """The expressions as a label space, in the order given."""
        return LabelSpace.of(self.expressions)


def _rendered(expression: str | int | Expression) -> Expression:
    try:
        return known_expression(expression)
    except RenderingError as error:
        raise DatasetError(f"synthetic: {error}") from error


def _range(name: str, value: Any, symmetric: bool) -> tuple[float, float]:
    try:
        if np.ndim(value) == 0:
            return (-abs(float(value)) if symmetric else 0.0, abs(float(value)) if symmetric else float(value))
        low, high = value
        return (float(low), float(high))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"synthetic: {name} must be a number or a pair (low, high), got {value!r}") from error


def split_of(identity: int, identities: int) -> str:
    """The split of a person: of each ten people in turn eight train, one validates and one tests.

    Of three to nine people one validates and one tests; of fewer everyone trains.
    """
    if identities < 3:
        return "train"
    if identities < 10:
        return {identities - 1: "test", identities - 2: "valid"}.get(identity, "train")
    return ("train", "train", "train", "valid", "train", "train", "test", "train", "train", "train")[identity % 10]


_BLOCK = 1024


@functools.lru_cache(maxsize=64)
def _draws(seed: int, block: int) -> np.ndarray:
    """Uniform draws of a block of faces, float64 (1024, 28)."""
    return np.random.default_rng((seed, _FACE_STREAM, block)).random((_BLOCK, len(ACTION_UNITS) + 14))


@functools.lru_cache(maxsize=64)
def _draws_apart(seed: int, block: int) -> np.ndarray:
    """Uniform draws of a block of faces: whether its units are drawn apart, and which; float64 (1024, 15)."""
    return np.random.default_rng((seed, _APART_STREAM, block)).random((_BLOCK, len(ACTION_UNITS) + 1))


def sample_factors(index: int, options: Options) -> Factors:
    """The factors of a face by its number: a pure function of the number and the options."""
    draws = _draws(options.seed, index // _BLOCK)[index % _BLOCK]
    identity = index % options.identities
    if options.balanced:
        label = options.expressions[(index // options.identities) % len(options.expressions)]
    else:
        shares = np.array([_FERPLUS_SHARES[known_expression(name)] for name in options.expressions])
        label = options.expressions[int(np.searchsorted(np.cumsum(shares / shares.sum()), draws[-1]))]
    expression = known_expression(label)
    low, high = options.intensity
    active = EXPRESSION_ACTION_UNITS[expression]
    if options.apart:
        own, *shown = _draws_apart(options.seed, index // _BLOCK)[index % _BLOCK]
        if own < options.apart:
            expression = Expression.NEUTRAL
            active = frozenset(unit for unit, draw in zip(ACTION_UNITS, shown) if draw < _SHOWN_APART)
    aus = tuple(
        round(low + (high - low) * float(draws[column]), 6) if unit in active else 0.0
        for column, unit in enumerate(ACTION_UNITS)
    )
    rest = draws[len(ACTION_UNITS) :]

    def between(bounds: tuple[float, float], draw: float) -> float:
        return round(bounds[0] + (bounds[1] - bounds[0]) * float(draw), 6)

    lopsided = (-1.0 if rest[0] < 0.5 else 1.0) if expression is Expression.CONTEMPT else 0.0
    jitter = (-options.jitter, options.jitter)
    return Factors(
        identity=identity,
        expression=expression,
        aus=aus,
        asymmetry=lopsided,
        yaw=between(options.yaw, rest[1]),
        pitch=between(options.pitch, rest[2]),
        roll=between(options.roll, rest[3]),
        light_azimuth=between(options.light, rest[4]),
        light_elevation=between((5.0, 55.0), rest[5]),
        light_strength=between((0.8, 1.1), rest[6]),
        ambient=between((0.4, 0.65), rest[7]),
        noise=between(options.noise, rest[8]),
        gaze=between((-8.0, 8.0), rest[9]),
        zoom=between((1 - 2 * options.jitter, 1 + 2 * options.jitter), rest[10]),
        shift_x=between(jitter, rest[11]),
        shift_y=between(jitter, rest[12]),
        background=index,
        noise_seed=index,
        seed=options.seed,
    )


class SyntheticSource(ArraySource):
    """Rendered images in memory, with the factors of each.

    Args:
        images: uint8 (n, size, size) or (n, size, size, 3).
        factors: those of each image.
    """

    def __init__(self, images: np.ndarray, factors: Sequence[Factors]) -> None:
        super().__init__(images, "synthetic")
        self.factors = tuple(factors)


def _render_all(factors: Sequence[Factors], size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.empty((len(factors), size, size) if channels == 1 else (len(factors), size, size, 3), np.uint8)
    landmarks = np.empty((len(factors), 68, 2), np.float32)
    order = sorted(range(len(factors)), key=lambda row: (factors[row].seed, factors[row].identity))
    for row in order:
        rendering = render(factors[row], size, channels)
        images[row], landmarks[row] = rendering.image, rendering.landmarks
    return images, landmarks


def _code(entry: Factors) -> int:
    """The expression's; unknown for units that are of no expression."""
    own = entry.expression is Expression.NEUTRAL and any(entry.aus)
    return UNKNOWN if own else int(entry.expression)


def _table(factors: Sequence[Factors], splits: Sequence[str], size: int, channels: int, space: LabelSpace) -> FaceTable:
    images, landmarks = _render_all(factors, size, channels)
    codes = np.array([_code(entry) for entry in factors], np.int8)
    columns = {
        "path": [str(row) for row in range(len(factors))],
        "expression": codes,
        "votes": np.where(codes[:, None] == np.arange(8), np.float32(_VOTES), np.float32(0)),
        "identity": [f"person{entry.identity:04d}" for entry in factors],
        "pose": np.array([entry.pose for entry in factors], np.float32).reshape(-1, 3),
        "landmarks": landmarks,
        "aus": np.array([entry.aus for entry in factors], np.float32).reshape(-1, len(ACTION_UNITS)),
        "split": list(splits),
    }
    return FaceTable("synthetic", SyntheticSource(images, factors), columns, space)


def read(root: str | Path | None = None, split: str | None = None, strict: bool = True, **options: Any) -> FaceTable:
    """Renders the data set.

    Args:
        root: not used; nothing is read from the disk.
        split: "train", "valid" or "test" (of different people), or None for all. Only what is asked for is rendered.
        strict: not used; no rendered face is ever missing.
        **options: fields of `Options`: `count`, `identities`, `size`, `channels`, `seed`, `expressions`, `balanced`,
            `yaw`, `pitch`, `roll`, `noise`, `intensity`, `light`, `jitter`, `apart`.

    Returns:
        A table with path, expression, votes, identity, pose, landmarks, aus and split.

    Raises:
        DatasetError: an unknown option or split, a value out of range, or a split that holds no one.
    """
    del root, strict
    known = [field.name for field in dataclasses.fields(Options)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DatasetError(f"synthetic: unknown option {', '.join(unknown)}; known are {', '.join(known)}")
    chosen = Options(**options)
    if split is not None and split not in _SPLITS:
        raise DatasetError(f"synthetic: no split {split!r}; splits are {', '.join(_SPLITS)}")
    rows = [
        index
        for index in range(chosen.count)
        if split is None or split_of(index % chosen.identities, chosen.identities) == split
    ]
    if not rows:
        raise DatasetError(
            f"synthetic: split {split!r} is empty with {chosen.identities} identities and {chosen.count} faces; "
            "ask for more of both"
        )
    factors = [sample_factors(index, chosen) for index in rows]
    splits = [split_of(entry.identity, chosen.identities) for entry in factors]
    return _table(factors, splits, chosen.size, chosen.channels, chosen.label_space)


def _factors_of_rows(table: FaceTable) -> list[Factors]:
    if not isinstance(table.source, SyntheticSource):
        raise DatasetError(f"{table.name}: factors are known of rendered faces only; give a table that `read` returned")
    return [table.source.factors[int(path)] for path in table["path"]]


def neutral_twin(table: FaceTable) -> FaceTable:
    """A table whose row i shows row i's face with a neutral expression and everything else the same.

    Args:
        table: a table that `read` returned, or a selection of its rows.

    Raises:
        DatasetError: the table is another one.
    """
    factors = [neutral(entry) for entry in _factors_of_rows(table)]
    source: Any = table.source
    images = source.images
    channels = 1 if images.ndim == 3 else 3
    space = table.label_space if Expression.NEUTRAL in table.label_space.expressions else LabelSpace.of(["neutral"])
    return _table(factors, list(table["split"]), images.shape[1], channels, space)


def factors_of(table: FaceTable) -> dict[str, np.ndarray]:
    """The factors of each row as columns, for measures of disentanglement.

    Args:
        table: a table that `read` returned, or a selection of its rows.

    Returns:
        The fields of `Factors` and the person's traits (`hair_style`, `hair_color`, `beard`, `glasses`, `skin_tone`),
        name -> array of n values; `aus` has shape (n, 14), `expression` and `identity` are whole numbers.

    Raises:
        DatasetError: the table is another one.
    """
    factors = _factors_of_rows(table)
    columns: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(Factors):
        columns[field.name] = np.array([getattr(entry, field.name) for entry in factors])
    columns["aus"] = columns["aus"].reshape(-1, len(ACTION_UNITS))
    for trait in ("hair_style", "hair_color", "beard", "glasses", "skin_tone"):
        columns[trait] = np.array([person(entry.identity, entry.seed).traits[trait] for entry in factors])
    return columns

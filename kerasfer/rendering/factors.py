"""Factors: everything that decides the pixels of a rendered face."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerasfer.expressions import ACTION_UNITS, EXPRESSION_ACTION_UNITS, Expression, parse_expression

__all__ = [
    "MAXIMUM_PITCH",
    "MAXIMUM_ROLL",
    "MAXIMUM_YAW",
    "Factors",
    "RenderingError",
    "known_expression",
    "make_factors",
    "neutral",
]

MAXIMUM_YAW = 60.0
MAXIMUM_PITCH = 30.0
MAXIMUM_ROLL = 45.0


class RenderingError(ValueError):
    """A factor is unknown or has a value that it cannot have."""


@dataclasses.dataclass(frozen=True)
class Factors:
    """Everything that decides the pixels of one face.

    Attributes:
        identity: number of the person; with `seed` it decides shape, colors, hair, beard and glasses.
        expression: the label. It has no influence on the pixels of its own: `aus` has.
        aus: intensity in [0, 1] of each unit of `ACTION_UNITS`, in that order.
        asymmetry: in [-1, 1]. AU 12 pulls both corners of the mouth at 0, only the one on the left of the picture at
            -1, only the one on the right at 1.
        yaw, pitch, roll: head pose in degrees as in `HeadPose`. The head nods by pitch, then turns by yaw, then leans
            by roll, so that yaw and pitch are azimuth and elevation of the direction in which the face looks.
        light_azimuth, light_elevation: where the light comes from, in degrees; positive is right of the picture, above.
        light_strength: brightness of a fully lit surface, about 1.
        ambient: share of the light that comes from everywhere, in [0, 1].
        noise: standard deviation of the pixel noise in gray levels.
        gaze: direction of the eyes within the head in degrees, positive to the right of the picture.
        zoom: size of the head; 1 lets the face fill the picture, 0.5 shows head and shoulders.
        shift_x, shift_y: displacement of the head in shares of the picture's size, to the right and down.
        background: seed of the background.
        noise_seed: seed of the pixel noise.
        seed: seed of the population that `identity` counts.
    """

    identity: int
    expression: Expression = Expression.NEUTRAL
    aus: tuple[float, ...] = (0.0,) * len(ACTION_UNITS)
    asymmetry: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    light_azimuth: float = -20.0
    light_elevation: float = 35.0
    light_strength: float = 1.0
    ambient: float = 0.5
    noise: float = 0.0
    gaze: float = 0.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    background: int = 0
    noise_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        aus = tuple(float(value) for value in self.aus)
        if len(aus) != len(ACTION_UNITS) or not all(0.0 <= value <= 1.0 for value in aus):
            raise RenderingError(f"aus are {len(ACTION_UNITS)} intensities in [0, 1], got {self.aus}")
        object.__setattr__(self, "aus", aus)
        object.__setattr__(self, "expression", parse_expression(self.expression))
        limits = {"yaw": MAXIMUM_YAW, "pitch": MAXIMUM_PITCH, "roll": MAXIMUM_ROLL, "asymmetry": 1.0, "gaze": 30.0}
        for name, limit in limits.items():
            if not abs(getattr(self, name)) <= limit:
                raise RenderingError(f"{name} must lie in [{-limit:g}, {limit:g}], got {getattr(self, name)}")
        if not (self.noise >= 0 and 0.2 <= self.zoom <= 3 and 0 <= self.ambient <= 1 and self.identity >= 0):
            raise RenderingError("noise and identity are not negative, zoom in [0.2, 3], ambient in [0, 1]")

    @property
    def pose(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees."""
        return (self.yaw, self.pitch, self.roll)


def neutral(factors: Factors) -> Factors:
    """The neutral twin of a face: everything the same but expression and action units."""
    return dataclasses.replace(factors, expression=Expression.NEUTRAL, aus=(0.0,) * len(ACTION_UNITS), asymmetry=0.0)


def make_factors(
    identity: int = 0,
    expression: str | int | Expression = Expression.NEUTRAL,
    *,
    intensity: float = 1.0,
    aus: Sequence[float] | dict[int, float] | None = None,
    **others: Any,
) -> Factors:
    """Factors of a chosen face.

    Args:
        identity: number of the person.
        expression: one of FERPlus' eight; its action units (`EXPRESSION_ACTION_UNITS`) are set to `intensity`.
        intensity: in [0, 1].
        aus: intensities in the order of `ACTION_UNITS`, or unit number -> intensity, in place of the expression's.
        **others: any other field of `Factors`.

    Raises:
        RenderingError: an unknown field, action unit or expression without units, or a value out of range.
    """
    parsed = known_expression(expression)
    if aus is None:
        aus = dict.fromkeys(EXPRESSION_ACTION_UNITS[parsed], intensity)
        if parsed is Expression.CONTEMPT:
            others.setdefault("asymmetry", 1.0)
    if isinstance(aus, dict):
        unknown = sorted(set(aus) - set(ACTION_UNITS))
        if unknown:
            raise RenderingError(f"no action unit {unknown}; known are {', '.join(map(str, ACTION_UNITS))}")
        aus = [aus.get(unit, 0.0) for unit in ACTION_UNITS]
    known = {field.name for field in dataclasses.fields(Factors)}
    if set(others) - known:
        raise RenderingError(
            f"unknown factor {', '.join(sorted(set(others) - known))}; known are {', '.join(sorted(known))}"
        )
    return Factors(identity=identity, expression=parsed, aus=tuple(aus), **others)


def known_expression(expression: str | int | Expression) -> Expression:
    try:
        parsed = parse_expression(expression)
    except ValueError as error:
        raise RenderingError(f"{error}") from error
    if parsed not in EXPRESSION_ACTION_UNITS:
        known = ", ".join(entry.label for entry in EXPRESSION_ACTION_UNITS)
        raise RenderingError(f"no action units for {parsed.label!r}; rendered are {known}")
    return parsed

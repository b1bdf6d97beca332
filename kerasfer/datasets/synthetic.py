"""Procedurally rendered faces: a small 3-D head whose every factor is known exactly.

The head is a star-shaped surface in millimetres (x to the right of the picture, y up from the line of the eyes, z
towards the viewer, origin between the ears) with curves for eyes, lids, brows, nose and lips on it. Identity warps the
surface and chooses colours, hair, beard and glasses; action units displace it; then it is turned, projected, shaded and
drawn. The 68 landmarks are points of the same surface, so they are exact. Proportions follow common anthropometric
means of adults.

Every face is a pure function of (seed, index): any subset can be rendered alone and has the same bytes.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import (
    ACTION_UNITS,
    EXPRESSION_ACTION_UNITS,
    FERPLUS8,
    Expression,
    LabelSpace,
    parse_expression,
)

__all__ = [
    "Factors",
    "Options",
    "Person",
    "Rendering",
    "SyntheticSource",
    "factors_of",
    "make_factors",
    "neutral",
    "neutral_twin",
    "person",
    "read",
    "render",
    "render_image",
    "sample_factors",
    "split_of",
]

MAXIMUM_YAW = 60.0
MAXIMUM_PITCH = 30.0
MAXIMUM_ROLL = 45.0
_AU_COLUMN = {unit: column for column, unit in enumerate(ACTION_UNITS)}
_SPLITS = ("train", "valid", "test")
_VOTES = 10.0
_FERPLUS_SHARES = (0.36, 0.26, 0.12, 0.12, 0.085, 0.02, 0.025, 0.01)
_PERSON_STREAM, _FACE_STREAM, _NOISE_STREAM = 11, 12, 13


# Factors: everything that decides the pixels


@dataclasses.dataclass(frozen=True)
class Factors:
    """Everything that decides the pixels of one face.

    Attributes:
        identity: number of the person; with `seed` it decides shape, colours, hair, beard and glasses.
        expression: the label. It has no influence on the pixels of its own: `aus` has.
        aus: intensity in [0, 1] of each unit of `ACTION_UNITS`, in that order.
        asymmetry: in [-1, 1]. AU 12 pulls both corners of the mouth at 0, only the one on the left of the picture at
            -1, only the one on the right at 1.
        yaw, pitch, roll: head pose in degrees as in `HeadPose`. The head nods by pitch, then turns by yaw, then leans
            by roll, so that yaw and pitch are azimuth and elevation of the direction in which the face looks.
        light_azimuth, light_elevation: where the light comes from, in degrees; positive is right of the picture, above.
        light_strength: brightness of a fully lit surface, about 1.
        ambient: share of the light that comes from everywhere, in [0, 1].
        noise: standard deviation of the pixel noise in grey levels.
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
            raise DatasetError(f"synthetic: aus are {len(ACTION_UNITS)} intensities in [0, 1], got {self.aus}")
        object.__setattr__(self, "aus", aus)
        object.__setattr__(self, "expression", parse_expression(self.expression))
        limits = {"yaw": MAXIMUM_YAW, "pitch": MAXIMUM_PITCH, "roll": MAXIMUM_ROLL, "asymmetry": 1.0, "gaze": 30.0}
        for name, limit in limits.items():
            if not abs(getattr(self, name)) <= limit:
                raise DatasetError(f"synthetic: {name} must lie in [{-limit:g}, {limit:g}], got {getattr(self, name)}")
        if not (self.noise >= 0 and 0.2 <= self.zoom <= 3 and 0 <= self.ambient <= 1 and self.identity >= 0):
            raise DatasetError("synthetic: noise and identity are not negative, zoom in [0.2, 3], ambient in [0, 1]")

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
        DatasetError: an unknown field, action unit or expression without units, or a value out of range.
    """
    parsed = _known_expression(expression)
    if aus is None:
        aus = dict.fromkeys(EXPRESSION_ACTION_UNITS[parsed], intensity)
        if parsed is Expression.CONTEMPT:
            others.setdefault("asymmetry", 1.0)
    if isinstance(aus, dict):
        unknown = sorted(set(aus) - set(ACTION_UNITS))
        if unknown:
            raise DatasetError(f"synthetic: no action unit {unknown}; known are {', '.join(map(str, ACTION_UNITS))}")
        aus = [aus.get(unit, 0.0) for unit in ACTION_UNITS]
    known = {field.name for field in dataclasses.fields(Factors)}
    if set(others) - known:
        raise DatasetError(
            f"synthetic: unknown factor {', '.join(sorted(set(others) - known))}; known are {', '.join(sorted(known))}"
        )
    return Factors(identity=identity, expression=parsed, aus=tuple(aus), **others)


def _known_expression(expression: str | int | Expression) -> Expression:
    try:
        parsed = parse_expression(expression)
    except ValueError as error:
        raise DatasetError(f"synthetic: {error}") from error
    if parsed not in EXPRESSION_ACTION_UNITS:
        known = ", ".join(entry.label for entry in EXPRESSION_ACTION_UNITS)
        raise DatasetError(f"synthetic: no action units for {parsed.label!r}; rendered are {known}")
    return parsed


# Shape of the head, in canonical millimetres: the mean face before identity warps it


def _gauss(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def _step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


# Height of each ring, its half width, the z of its front (without features) and the z of its widest place.
_PROFILE = np.array(
    [
        (-116.0, 1.0, 55.0, 52.0),
        (-114.0, 14.0, 66.0, 46.0),
        (-110.0, 24.0, 74.0, 40.0),
        (-104.0, 33.0, 79.0, 33.0),
        (-95.0, 43.0, 82.0, 24.0),
        (-80.0, 54.0, 83.0, 12.0),
        (-60.0, 61.5, 85.0, 3.0),
        (-40.0, 66.5, 86.0, -2.0),
        (-20.0, 70.0, 88.0, -5.0),
        (0.0, 72.5, 90.0, -7.0),
        (20.0, 75.0, 94.0, -8.0),
        (40.0, 76.0, 93.0, -8.0),
        (60.0, 73.0, 86.0, -8.0),
        (80.0, 64.0, 71.0, -8.0),
        (95.0, 50.0, 50.0, -8.0),
        (106.0, 32.0, 27.0, -8.0),
        (112.0, 16.0, 8.0, -8.0),
        (114.0, 1.0, -6.0, -8.0),
    ]
)
_EYE_X, _EYE_HALF = 31.0, 15.0


def _ring(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half width, depth of the front, z of the widest place and depth of the back of the head at height y."""
    heights = _PROFILE[:, 0]
    half, front, side = (np.interp(y, heights, _PROFILE[:, column]) for column in (1, 2, 3))
    skull = 88.0 * np.sqrt(np.clip(1.0 - (np.maximum(y, 20.0) - 20.0) ** 2 / 95.0**2, 0.0, 1.0))
    back = np.where(y > -20, skull, np.interp(y, [-116, -70, -20], [4.0, 12.0, 84.0]))
    return half, front - side, side, back


def _relief(x: np.ndarray, y: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """Height of the features above the plain head, in millimetres along z."""
    ax = np.abs(x)
    width, length, bridge = shape["nose_width"], shape["nose_length"], shape["nose_bridge"]
    tip, base = -41.0 - length, -50.0 - length
    ridge = np.interp(
        y, [base - 5, base, base + 4, tip, tip + 9, -14, 0, 9], [0, 8, 19, 23.5, 20, 10 + bridge, 2 + bridge, 0]
    )
    half = np.interp(y, [base, tip, tip + 12, -8, 6], [8.5 * width, 8.5 * width, 7 * width, 6.0, 7.0])
    nose = ridge * np.exp(-0.5 * (ax / half) ** 2)
    wings = 8.0 * _gauss(ax, y, 12.5 * width, tip - 4, 4.0, 4.5)
    eye = shape["eye_spacing"]
    sockets = -7.0 * _gauss(ax, y, _EYE_X + eye, 3, 17, 10) - 4.0 * _gauss(ax, y, 14 + eye, 2, 6, 8)
    balls = 3.5 * _gauss(ax, y, _EYE_X + eye, 0, 11, 7)
    brows = (3.0 + shape["brow_ridge"]) * _gauss(ax, y, 24, 19, 20, 8)
    cheeks = (4.0 + shape["cheekbones"]) * _gauss(ax, y, 44, -28, 16, 13)
    lips = 5.0 * _gauss(ax, y, 0, -66, 17, 5) + 5.0 * _gauss(ax, y, 0, -77, 14, 5)
    fold = -2.5 * _gauss(ax, y, 0, -86, 18, 4)
    chin = (6.0 + shape["chin"]) * _gauss(ax, y, 0, -101, 14, 10)
    return nose + wings + sockets + balls + brows + cheeks + lips + fold + chin


def _surface(x: np.ndarray, y: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """z of the front of the head at (x, y)."""
    half, front, side, _ = _ring(y)
    inside = np.clip(1.0 - (x / half) ** 2, 0.0, 1.0)
    return side + front * np.sqrt(inside) + _relief(x, y, shape) * np.sqrt(np.sqrt(inside))


# Action units as displacements, in canonical millimetres at intensity 1


def _skin_motion(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement of skin at (x, y) by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    ax, side = np.abs(x), np.sign(x)

    def add(unit: int, dx: Any = 0.0, dy: Any = 0.0, dz: Any = 0.0) -> None:
        moved = motion[_AU_COLUMN[unit]].T
        moved[0] += dx * side
        moved[1] += dy
        moved[2] += dz

    add(1, dy=9.0 * _gauss(ax, y, 13, 24, 12, 14))
    add(2, dy=8.0 * _gauss(ax, y, 47, 24, 14, 14))
    inner = _gauss(ax, y, 21, 22, 15, 11)
    add(4, dx=-4.5 * _gauss(ax, y, 17, 22, 11, 10), dy=-7.0 * inner, dz=1.5 * _gauss(ax, y, 6, 18, 7, 8))
    add(6, dy=4.0 * _gauss(ax, y, 38, -24, 17, 12), dz=4.0 * _gauss(ax, y, 40, -24, 15, 10))
    add(9, dx=1.5 * _gauss(ax, y, 15, -43, 6, 8), dy=4.0 * _gauss(ax, y, 13, -42, 9, 9), dz=0.0)
    add(9, dy=-4.5 * inner, dx=-2.5 * inner, dz=2.5 * _gauss(ax, y, 22, -28, 10, 9))
    corner = _gauss(ax, y, 29, -67, 14, 12)
    add(12, dx=7.0 * corner, dy=8.0 * corner, dz=5.0 * _gauss(ax, y, 41, -36, 14, 12))
    add(12, dx=1.5 * _gauss(ax, y, 15, -45, 6, 6), dy=1.0 * _gauss(ax, y, 15, -45, 6, 6))
    add(15, dy=-7.0 * _gauss(ax, y, 27, -75, 9, 9))
    add(17, dy=4.0 * _gauss(ax, y, 0, -95, 18, 9), dz=3.0 * _gauss(ax, y, 0, -95, 12, 8))
    jaw = _step(-y, 60, 92) * np.exp(-0.5 * (ax / 42.0) ** 2)
    add(25, dy=-3.0 * jaw)
    add(27, dx=-0.09 * ax * _step(-y, 45, 80), dy=-24.0 * jaw, dz=-6.0 * jaw)
    return motion


def _lip_motion(x: np.ndarray, y: np.ndarray, upper: bool, inner: bool) -> np.ndarray:
    """Displacement of points of the lips by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    side = np.sign(x)
    corner = np.clip(np.abs(x) / 25.0, 0.0, 1.2) ** 1.5
    reach = np.clip(np.abs(x) / (21.5 if inner else 25.0), 0.0, 1.0)
    middle, rounded = 1.0 - reach**2.2, np.sqrt(1.0 - reach**2)

    def add(unit: int, dx: Any = 0.0, dy: Any = 0.0, dz: Any = 0.0) -> None:
        moved = motion[_AU_COLUMN[unit]].T
        moved[0] += dx * side
        moved[1] += dy
        moved[2] += dz

    add(9, dy=3.0 * middle if upper else 0.5 * middle)
    add(12, dx=8.0 * corner, dy=9.0 * corner, dz=-5.0 * corner)
    add(15, dx=0.5 * corner, dy=-9.0 * corner**1.3)
    add(17, dy=3.0 * middle, dz=2.0 * middle)
    if not upper and not inner:
        add(17, dy=1.0 * middle)
    thinner = 0.0 if inner else (-1.7 if upper else 2.6) * middle
    add(23, dx=-2.0 * corner, dy=thinner)
    add(24, dx=-2.5 * corner, dy=thinner, dz=-1.0 * middle)
    add(25, dy=2.5 * middle if upper else -5.0 * middle)
    if upper:
        add(27, dx=-5.0 * corner, dy=2.0 * rounded - 9.0 * corner)
    else:
        add(27, dx=-5.0 * corner, dy=-26.0 * rounded - 9.0 * corner, dz=-5.0 * middle)
    return motion


def _lid_motion(x: np.ndarray, y: np.ndarray, upper: bool, shape: dict[str, float]) -> np.ndarray:
    """Displacement of points of a lid by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    place = (np.abs(x) - _EYE_X - shape["eye_spacing"]) / (_EYE_HALF * shape["eye_width"])
    middle = np.clip(1.0 - place**2, 0.0, 1.0) * shape["eye_opening"]
    inner = np.clip(0.6 - place, 0.0, 1.5) * middle
    lift = {4: -0.8, 5: 3.4, 6: -0.8, 7: -1.6, 9: -1.0} if upper else {6: 2.4, 7: 2.0, 9: 1.4, 12: 0.4}
    for unit, height in lift.items():
        motion[_AU_COLUMN[unit], :, 1] = height * middle
    if upper:
        motion[_AU_COLUMN[1], :, 1] = 0.8 * inner
    return motion


# Curves of the face


def _smooth(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """`count` points of the Catmull-Rom spline through some points, float64 (count, d)."""
    return _spline(len(points), count, closed) @ np.asarray(points, np.float64)


@functools.lru_cache(maxsize=64)
def _spline(number: int, count: int, closed: bool) -> np.ndarray:
    """Weights of `number` control points in `count` points of their Catmull-Rom spline, float64 (count, number)."""
    position = np.arange(count) * number / count if closed else np.linspace(0, number - 1, count)
    start = np.minimum(position.astype(int), number - (1 if closed else 2))
    t = (position - start)[:, None]
    # One more control point at either end: the next of a closed curve, else one on the straight line through the last
    unit = np.eye(number)
    if closed:
        padded = np.concatenate([unit[-1:], unit, unit[:2]])
    else:
        padded = np.concatenate([2 * unit[:1] - unit[1:2], unit, 2 * unit[-1:] - unit[-2:-1]])
    before, here, there, after = (padded[start + offset] for offset in range(4))
    return here + 0.5 * t * (
        there - before + t * (2 * before - 5 * here + 4 * there - after + t * (3 * (here - there) + after - before))
    )


def _mirror(points: np.ndarray) -> np.ndarray:
    return np.asarray(points, np.float64) * (-1.0, 1.0)


_JAW_X = (71.3, 70.3, 66.8, 61.3, 53.8, 44.3, 32.0, 17.5)
_JAW_Y = (-1.0, -19.5, -42.5, -62.5, -79.5, -92.5, -102.5, -110.0)
_BROW = ((-56.0, 19.0), (-48.0, 25.5), (-38.0, 28.0), (-27.0, 26.0), (-15.0, 21.5))
_UPPER_LID = ((-46.0, 0.5), (-42.0, 3.4), (-36.5, 5.4), (-31.0, 6.1), (-25.5, 5.3), (-20.0, 2.6), (-16.0, -1.0))
_LOWER_LID = ((-46.0, 0.5), (-41.5, -2.6), (-36.5, -4.2), (-31.0, -4.9), (-25.5, -4.5), (-20.5, -3.3), (-16.0, -1.0))
_UPPER_OUTER = ((-25.0, -71.0), (-16.5, -66.9), (-6.5, -63.6), (0.0, -64.8))
_UPPER_INNER = ((-21.5, -71.0), (-15.0, -70.4), (-9.0, -70.2), (0.0, -70.7))
_LOWER_OUTER = ((-25.0, -71.0), (-17.0, -76.3), (-7.3, -80.1), (0.0, -80.8))
_LOWER_INNER = ((-21.5, -71.0), (-15.0, -71.0), (-9.0, -71.1), (0.0, -71.5))


def _both(half: Sequence[tuple[float, float]]) -> np.ndarray:
    """The whole of a symmetric curve given from its left end to the middle."""
    left = np.asarray(half, np.float64)
    return np.concatenate([left, _mirror(left[:-1])[::-1]])


class _Points:
    """Collects points of the head with their motion, and names runs of them."""

    def __init__(self, shape: dict[str, float]) -> None:
        self.shape = shape
        self.flat: list[np.ndarray] = []
        self.depth: list[np.ndarray] = []
        self.moved: list[tuple[slice, np.ndarray]] = []
        self.runs: dict[str, slice] = {}
        self.count = 0

    def add(
        self, name: str, points: np.ndarray, motion: np.ndarray | None = None, *, lift: float = 0.0, z: Any = np.nan
    ) -> None:
        """Adds points (n, 2), on the surface unless z is given; without motion (14, n, 3) they move as skin does."""
        points = np.asarray(points, np.float64)
        self.flat.append(points)
        depth = np.empty((2, len(points)))
        depth[0], depth[1] = z, lift
        self.depth.append(depth)
        run = slice(self.count, self.count + len(points))
        if motion is not None:
            self.moved.append((run, motion))
        self.runs[name] = run
        self.count += len(points)

    def collect(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All points (n, 2), their z (n,) and their motion (14, n, 3)."""
        flat = np.concatenate(self.flat)
        z, lift = np.concatenate(self.depth, 1)
        missing = np.isnan(z)
        z[missing] = _surface(*flat[missing].T, self.shape)
        motion = np.empty((len(ACTION_UNITS), self.count, 3))
        skin = np.ones(self.count, bool)
        for run, given in self.moved:
            motion[:, run] = given
            skin[run] = False
        motion[:, skin] = _skin_motion(*flat[skin].T)
        return flat, z + lift, motion

    def fixed(self, name: str, points: np.ndarray, z: Any) -> None:
        """Adds points that no action unit moves."""
        self.add(name, points, np.zeros((len(ACTION_UNITS), len(points), 3)), z=z)


_HALF_COLUMNS = np.concatenate([np.arange(3.5, 25, 3.5), np.arange(29.5, 96, 5.5), np.arange(103, 152, 12.0)])
_COLUMNS = np.radians(np.concatenate([-_HALF_COLUMNS[::-1], [0.0], _HALF_COLUMNS]))
_ROWS = np.concatenate(
    [
        np.arange(114, 38, -7.6),
        np.arange(38, 10, -5.0),
        np.arange(9, -58, -3.6),
        np.arange(-61, -110, -5.0),
        [-113, -115.5],
    ]
)
_SHELL_COLUMNS = np.radians(np.linspace(-165, 165, 29))
_SKIN_ROWS = np.linspace(96, -115.5, 48)
_SKIN_ROW_ON_GRID = np.clip(np.searchsorted(-_ROWS, -_SKIN_ROWS), 0, len(_ROWS) - 1)


def _grid(columns: np.ndarray, rows: np.ndarray, shape: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Canonical (x, y) and z of the surface over angles and heights, shapes (c, r, 2) and (c, r)."""
    angle, y = np.meshgrid(columns, rows, indexing="ij")
    half, front, side, back = _ring(y)
    x = half * np.sin(angle)
    depth = np.where(np.cos(angle) >= 0, front, back)
    relief = _relief(x, y, shape) * np.sqrt(np.clip(np.cos(angle), 0.0, 1.0))
    return np.stack([x, y], -1), side + depth * np.cos(angle) + relief


@functools.lru_cache(maxsize=1)
def _grid_motion() -> np.ndarray:
    """Motion of the grid's points, which all people share, float32 (14, 3, n)."""
    angle, y = np.meshgrid(_COLUMNS, _ROWS, indexing="ij")
    motion = _skin_motion((_ring(y)[0] * np.sin(angle)).reshape(-1), y.reshape(-1))
    return np.ascontiguousarray(motion.transpose(0, 2, 1), np.float32)


# Identity

_SKINS = np.array(
    [
        (246, 213, 188),
        (238, 198, 166),
        (228, 182, 146),
        (205, 152, 112),
        (166, 114, 80),
        (122, 82, 58),
        (88, 59, 44),
    ],
    np.float64,
)
_HAIRS = np.array(
    [
        (26, 22, 21),
        (52, 36, 27),
        (86, 56, 36),
        (128, 88, 54),
        (196, 160, 104),
        (148, 72, 38),
        (146, 143, 140),
        (208, 205, 200),
    ],
    np.float64,
)
_IRISES = np.array([(64, 40, 24), (92, 62, 34), (70, 98, 130), (84, 108, 74), (108, 116, 120)], np.float64)
_CLOTHES = np.array(
    [(60, 72, 96), (120, 44, 48), (50, 92, 72), (198, 196, 190), (40, 40, 44), (170, 140, 90), (110, 96, 140)],
    np.float64,
)
HAIR_STYLES = ("shaved", "short", "receding", "fringe", "side_parted", "bob", "long", "curly", "tied")
BEARDS = ("none", "stubble", "moustache", "full")
GLASSES = ("none", "round", "square")


class Person:
    """One identity: shape, colours, hair, beard and glasses, and the points of the head with their motion.

    Args:
        identity: the person's number.
        seed: the population's seed.

    Attributes:
        traits: name -> value of the categorical and colour traits.
        shape: name -> value of the continuous traits of the shape, in millimetres or as factors.
    """

    def __init__(self, identity: int, seed: int = 0) -> None:
        rng = np.random.default_rng((seed, _PERSON_STREAM, identity))

        def normal(scale: float, low: float = -2.0, high: float = 2.0) -> float:
            return float(scale * np.clip(rng.standard_normal(), low, high))

        heavy = rng.random()
        tone = rng.random() * (len(_SKINS) - 1)
        skin = np.stack([np.interp(tone, range(len(_SKINS)), _SKINS[:, channel]) for channel in range(3)])
        skin = np.clip(skin * (1 + np.array([normal(0.02), normal(0.02), normal(0.03)])), 20, 252)
        dark = tone > 3.2
        weights = np.array([4, 3, 0.3, 0, 0.1, 0, 0.8, 0.3] if dark else [1.5, 2, 2, 1.6, 1.8, 1.2, 0.8, 0.5])
        colour = int(rng.choice(len(_HAIRS), p=weights / weights.sum()))
        hair = np.clip(_HAIRS[colour] * (1 + normal(0.08)), 12, 230)
        bearded = heavy > 0.5
        style_weights = (
            [1.3, 2.5, 1.0, 1.2, 1.6, 0.2, 0.5, 1.0, 0.2] if bearded else [0.15, 0.8, 0, 1.5, 1.5, 2.0, 2.0, 1.0, 1.5]
        )
        style = str(rng.choice(HAIR_STYLES, p=np.array(style_weights) / sum(style_weights)))
        beard = str(rng.choice(BEARDS, p=[0.45, 0.2, 0.12, 0.23])) if bearded else "none"
        glasses = str(rng.choice(GLASSES, p=[0.7, 0.15, 0.15]))
        iris = _IRISES[0] if dark else _IRISES[int(rng.integers(len(_IRISES)))]
        lip_red = rng.random() * (0.35 if bearded else 1.0)
        lips = skin * np.array([0.86, 0.62, 0.62]) * (1 - lip_red) + np.array([178, 62, 70]) * lip_red
        lips = lips if not dark else 0.6 * lips + 0.4 * skin * 0.75
        self.identity, self.seed = identity, seed
        self.traits: dict[str, Any] = {
            "skin_tone": tone / (len(_SKINS) - 1),
            "hair_style": style,
            "hair_colour": colour,
            "beard": beard,
            "glasses": glasses,
            "parting": 1.0 if rng.random() < 0.5 else -1.0,
        }
        self.shape: dict[str, float] = {
            "face_width": 1.0 + normal(0.05),
            "jaw_width": 1.0 + 0.10 * (heavy - 0.5) + normal(0.05),
            "jaw_length": 1.0 + normal(0.05),
            "middle_length": 1.0 + normal(0.045),
            "forehead": 1.0 + normal(0.05),
            "nose_width": 1.0 + 0.1 * (heavy - 0.5) + 0.12 * (tone / 6 - 0.4) + normal(0.10),
            "nose_length": normal(2.0),
            "nose_bridge": normal(2.0),
            "eye_spacing": normal(1.3),
            "eye_width": 1.0 + normal(0.05),
            "eye_opening": 1.02 - 0.12 * (heavy - 0.5) + normal(0.11),
            "eye_tilt": normal(0.05),
            "brow_height": -2.0 * (heavy - 0.5) + normal(1.5),
            "brow_arch": -2.5 * (heavy - 0.5) + normal(1.2),
            "brow_thickness": 1.0 + 0.7 * (heavy - 0.5) + normal(0.22),
            "brow_ridge": 3.0 * (heavy - 0.5) + normal(0.7),
            "cheekbones": normal(1.5),
            "mouth_width": 1.0 + normal(0.07),
            "upper_lip": 1.0 + 0.25 * (tone / 6 - 0.4) - 0.3 * (heavy - 0.5) + normal(0.18),
            "lower_lip": 1.0 + 0.2 * (tone / 6 - 0.4) - 0.2 * (heavy - 0.5) + normal(0.15),
            "chin": 3.0 * (heavy - 0.5) + normal(1.5),
            "age": rng.random() if colour < 6 else 0.6 + 0.4 * rng.random(),
            "freckles": max(0.0, normal(0.5)) if tone < 2 else 0.0,
        }
        brow = 0.75 * hair + 0.25 * skin * 0.5 if colour != 7 else hair * 0.75
        self.colours: dict[str, np.ndarray] = {
            "skin": skin,
            "hair": hair,
            "brow": np.minimum(brow, skin * 0.72),
            "lips": np.clip(lips, 25, 235),
            "iris": iris,
            "clothes": _CLOTHES[int(rng.integers(len(_CLOTHES)))],
            "frame": np.array([(28, 26, 28), (96, 58, 34), (120, 122, 128)][int(rng.integers(3))], np.float64),
        }
        self.inks = self._inks()
        self._build()
        self.tint = self._tint(rng)

    def _warp(self, points: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Canonical (n, 2) and z to this person's head, (n, 3)."""
        shape = self.shape
        x, y = points[:, 0], points[:, 1]
        width = np.interp(
            y,
            [-116, -80, -20, 20, 60],
            [
                shape["jaw_width"],
                shape["jaw_width"],
                0.5 * (1 + shape["face_width"]),
                shape["face_width"],
                shape["face_width"],
            ],
        )
        middle = -50.0 * shape["middle_length"]
        chin = middle - 66.0 * shape["jaw_length"]
        high = np.interp(
            y, [-150, -116, -50, 0, 30, 150], [chin - 34, chin, middle, 0, 30, 30 + 120 * shape["forehead"]]
        )
        return np.stack([x * width, high, z], -1)

    def _build(self) -> None:
        shape = self.shape
        points = _Points(shape)
        eye, wide, open_, tilt = shape["eye_spacing"], shape["eye_width"], shape["eye_opening"], shape["eye_tilt"]
        center = np.array([-_EYE_X - eye, 0.0])

        def lid(curve: Sequence[tuple[float, float]]) -> np.ndarray:
            local = np.asarray(curve) - (-_EYE_X, 0.0)
            local = local * (wide, open_)
            local[:, 1] -= tilt * local[:, 0]
            return center + local

        def brow(curve: Sequence[tuple[float, float]]) -> np.ndarray:
            curve = np.asarray(curve, np.float64).copy()
            arch = np.array([-0.3, 0.8, 1.0, 0.3, -0.3])
            curve[:, 0] -= eye * 0.6
            curve[:, 1] += shape["brow_height"] + shape["brow_arch"] * arch
            return curve

        mouth = shape["mouth_width"]

        def lip(half: Sequence[tuple[float, float]], thickness: float) -> np.ndarray:
            half = np.asarray(half, np.float64)
            middle = np.array([0.0, -0.5, -0.7, -0.9]) - 70.5
            half = np.stack([half[:, 0] * mouth, middle + (half[:, 1] - middle) * thickness], -1)
            half[0, 1] = -71.0
            return _both(half)

        outer_upper, inner_upper = lip(_UPPER_OUTER, shape["upper_lip"]), lip(_UPPER_INNER, 1.0)
        outer_lower, inner_lower = lip(_LOWER_OUTER, shape["lower_lip"]), lip(_LOWER_INNER, 1.0)
        nose_width, nose_length = shape["nose_width"], shape["nose_length"]
        base = -50.0 - nose_length

        # The 68 landmarks
        jaw = np.array([*zip(-np.array(_JAW_X), _JAW_Y), (0.0, -113.0)])
        jaw = np.concatenate([jaw, _mirror(jaw[:-1])[::-1]])
        points.add("jaw", jaw)
        right_brow = brow(_BROW)
        brow_thickness = 5.2 * shape["brow_thickness"] * np.array([0.35, 0.85, 1.0, 1.05, 0.9])
        upper_brow = right_brow + brow_thickness[:, None] * (0.0, 0.25)
        points.add("right_brow", upper_brow, lift=1.0)
        points.add("left_brow", _mirror(upper_brow)[::-1], lift=1.0)
        tip = -41.0 - nose_length
        points.add("nose_bridge", np.array([(0, 3.0), (0, 3 + (tip - 3) / 3), (0, 3 + (tip - 3) * 2 / 3), (0, tip)]))
        nose_base = np.array([(-14.0, 3.0), (-7.0, 0.3), (0.0, -1.5), (7.0, 0.3), (14.0, 3.0)])
        points.add("nose_base", nose_base * (nose_width, 1.0) + (0, base))
        upper, lower = lid(_UPPER_LID), lid(_LOWER_LID)
        fine_upper, fine_lower = _smooth(upper, 13), _smooth(lower, 13)
        eye_z = _surface(center[:1], center[1:], shape)[0]

        def lid_z(curve: np.ndarray) -> np.ndarray:
            local = (curve - center) / (_EYE_HALF * wide, _EYE_HALF)
            return (
                eye_z
                + 2.0
                - 6.5 * local[:, 0] ** 2
                - 2.0 * local[:, 1] ** 2
                + np.where(local[:, 0] > 0, 2.0, 0.0) * (local[:, 0] ** 2)
            )

        for name, sign in (("right", 1.0), ("left", -1.0)):
            around = np.stack([upper[0], upper[2], upper[4], upper[6], lower[4], lower[2]])
            is_upper = np.array([True, True, True, True, False, False])
            z = lid_z(around)
            if sign < 0:
                around, z = _mirror(around[[3, 2, 1, 0, 5, 4]]), z[[3, 2, 1, 0, 5, 4]]
            x, y = around.T
            motion = np.where(is_upper[None, :, None], _lid_motion(x, y, True, shape), _lid_motion(x, y, False, shape))
            points.add(f"{name}_eye", around, motion, z=z)

        def lips(name: str, curve: np.ndarray, upper_lip: bool, inner: bool) -> None:
            motion = _lip_motion(curve[:, 0] / mouth, curve[:, 1], upper_lip, inner)
            motion[..., 0] *= mouth
            points.add(name, curve, motion, lift=-1.5 if inner else 0.0)

        lips("outer_upper", outer_upper, True, False)
        lips("outer_lower", outer_lower[-2:0:-1], False, False)
        lips("inner_upper", inner_upper[[0, 2, 3, 4, 6]], True, True)
        lips("inner_lower", inner_lower[[4, 3, 2]], False, True)
        self.landmark_rows = self._landmark_rows(points)

        # Fine curves for drawing
        lips("draw_outer_upper", _smooth(outer_upper, 25), True, False)
        lips("draw_outer_lower", _smooth(outer_lower, 25), False, False)
        lips("draw_inner_upper", _smooth(inner_upper, 25), True, True)
        lips("draw_inner_lower", _smooth(inner_lower, 25), False, True)

        for name, sign in (("right", 1.0), ("left", -1.0)):
            mirror = (lambda curve: curve) if sign > 0 else _mirror
            for part, curve, is_upper in (("upper", fine_upper, True), ("lower", fine_lower, False)):
                placed = mirror(curve)
                motion = _lid_motion(placed[:, 0], placed[:, 1], is_upper, shape)
                points.add(f"{name}_{part}_lid", placed, motion, z=lid_z(curve))
                cover = curve + (0.0, 7.5 if is_upper else -7.0) * np.clip(
                    1.15 - ((curve[:, :1] - center[0]) / (_EYE_HALF * wide * 1.05)) ** 2, 0, 1
                )
                placed = mirror(cover)
                points.add(f"{name}_{part}_cover", placed, motion * 0.6, z=lid_z(curve) + 0.5)
            crease = _curve_beside(fine_upper, 3.0, center[0], _EYE_HALF * wide)
            placed = mirror(crease)
            crease_motion = _lid_motion(placed[:, 0], placed[:, 1], True, shape) * 0.6
            points.add(f"{name}_crease", placed, crease_motion + 0.15 * _skin_motion(*placed.T), z=lid_z(crease) + 0.5)
            bag = _curve_beside(fine_lower, -4.0 - 1.0 * shape["age"], center[0], _EYE_HALF * wide)[2:-1]
            points.add(f"{name}_bag", mirror(bag))
            circle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
            ring = np.stack([np.cos(circle), np.sin(circle)], -1)
            place = center + (0.0, 0.4)
            points.fixed(f"{name}_iris", mirror(place + 6.1 * ring), eye_z + 3.0)
            points.fixed(f"{name}_pupil", mirror(place + 2.5 * ring), eye_z + 3.4)
            points.fixed(f"{name}_glint", mirror(place) + 1.25 * ring + (-1.8, 2.2), eye_z + 3.6)
            spine = _smooth(right_brow, 15)
            profile = np.interp(np.linspace(0, 4, 15), range(5), brow_thickness)[:, None] * (0.0, 0.5)
            points.add(f"{name}_brow_top", mirror(spine + profile), lift=1.0)
            points.add(f"{name}_brow_bottom", mirror(spine - profile), lift=1.0)
            nostril = np.stack([4.2 * nose_width * np.cos(circle), 1.7 * np.sin(circle)], -1)
            nostril[:, 1] -= 0.12 * nostril[:, 0]
            nostril += (-7.3 * nose_width, base + 2.6)
            points.add(f"{name}_nostril", mirror(nostril), lift=1.0)
            wing = np.array([(-15.5, 12.0), (-17.6, 7.5), (-16.8, 3.2), (-13.5, 1.6)]) * (nose_width, 1.0) + (0, base)
            points.add(f"{name}_wing", mirror(_smooth(wing, 9)))
            fold = np.array([(-19.5, -43.0), (-25.0, -52.0), (-30.0, -62.0), (-32.5, -71.0)])
            points.add(f"{name}_fold", mirror(_smooth(fold, 11)))
            bridge = np.array([(-9.0, 8.0), (-8.0, -4.0), (-9.0, -16.0), (-11.0, -28.0), (-15.0, -40.0)])
            points.add(f"{name}_bridge_side", mirror(_smooth(bridge, 9)))
            for number, height in enumerate((2.5, -1.5, -5.5)):
                crow = np.array([(-50.0, height * 0.4 + 0.5), (-56.0, height), (-61.0, height * 1.6)])
                points.add(f"{name}_crow{number}", mirror(_smooth(crow, 5)))
            furrow = np.array([(-5.5, 13.0), (-5.0, 20.0), (-6.5, 27.0)])
            points.add(f"{name}_furrow", mirror(_smooth(furrow, 6)))
            for number, height in enumerate((2.0, -4.0)):
                scrunch = np.array([(-11.0, height + 4.0), (-5.0, height), (-1.0, height - 1.0)])
                points.add(f"{name}_scrunch{number}", mirror(_smooth(scrunch, 6)))
            ear = np.linspace(0, np.pi, 15)
            ear_points = np.stack([-(71.5 + 9.0 * np.sin(ear)), -9.0 + 29.0 * np.cos(ear)], -1)
            points.fixed(f"{name}_ear", mirror(ear_points), -2.0 - 22.0 * np.sin(ear))
            hollow = np.stack([-(71.5 + 6.0 * np.sin(ear)), -7.0 + 18.0 * np.cos(ear)], -1)
            points.fixed(f"{name}_ear_hollow", mirror(hollow), 0.0 - 13.0 * np.sin(ear))
            round_lens = self.traits["glasses"] != "square"
            power = 1.0 if round_lens else 0.55
            lens = np.sign(ring) * np.abs(ring) ** power * ((22.0, 20.5) if round_lens else (24.0, 17.0))
            lens = lens + center + (-0.5, -2.0)
            points.fixed(f"{name}_lens", mirror(lens), eye_z + 15.0 - 0.012 * (lens[:, 0] - center[0] - 20) ** 2 * 0.5)
            hinge = np.array([(center[0] - 22.0, 3.0), (-73.0, 3.0), (-78.0, 2.0)])
            points.fixed(f"{name}_temple", mirror(hinge), np.array([eye_z + 3.0, 25.0, -8.0]))
        inner_rim = -center[0] - 22.0
        points.fixed(
            "glasses_bridge",
            np.array([(-inner_rim, 1.0), (-inner_rim / 2, 4.0), (inner_rim / 2, 4.0), (inner_rim, 1.0)]),
            eye_z + 15.0,
        )
        for number, height in enumerate((40.0, 48.0, 56.0)):
            line = np.array(
                [(-36.0, height - 2), (-18.0, height), (0.0, height - 1.5), (18.0, height), (36.0, height - 2)]
            )
            points.add(f"forehead{number}", _smooth(line, 15))
        points.add("chin_dimple", _smooth(np.array([(-11.0, -87.0), (0.0, -84.5), (11.0, -87.0)]), 7), lift=0.0)
        points.add("ridge", np.stack([np.zeros(9), np.linspace(8, tip, 9)], -1))
        moustache = np.array(
            [
                (-24, -71),
                (-16, -62.5),
                (-5, -57),
                (5, -57),
                (16, -62.5),
                (24, -71),
                (14, -66.0),
                (0, -63.4),
                (-14, -66.0),
            ],
            float,
        )
        points.add("moustache", _smooth(moustache * (mouth, 1.0), 36, True), lift=1.0)
        self._hair(points)

        xy, z = _grid(_COLUMNS, _ROWS, shape)
        self.grid_xy = xy.reshape(-1, 2)
        flat, depth, motion = points.collect()
        self.runs = {**points.runs, "grid": slice(len(flat), len(flat) + z.size)}
        flat, depth = np.concatenate([flat, self.grid_xy]), np.concatenate([depth, z.reshape(-1)])
        self.points = np.ascontiguousarray(self._warp(flat, depth).T, np.float32)
        self.motion = np.ascontiguousarray(motion.transpose(0, 2, 1), np.float32)
        self.side = np.tanh(flat[:, 0] / 6.0).astype(np.float32)
        self.order, self.shapes = self._shapes()
        self.teeth = float(self._warp(np.array([(0.0, -74.6)]), np.zeros(1))[0, 1])

    def _shapes(self) -> tuple[np.ndarray, dict[str, list[slice]]]:
        """Numbers of the points in the order of drawing; name -> the polygons that one colour draws, as runs of it."""

        def rows(name: str) -> np.ndarray:
            return np.arange(self.runs[name].start, self.runs[name].stop)

        def between(first: str, second: str) -> np.ndarray:
            return np.concatenate([rows(first), rows(second)[::-1]])

        sides = ("right", "left")
        shapes = {
            "sclera": [between(f"{side}_upper_lid", f"{side}_lower_lid") for side in sides],
            "upper_patch": [between(f"{side}_upper_lid", f"{side}_upper_cover") for side in sides],
            "lower_patch": [between(f"{side}_lower_lid", f"{side}_lower_cover") for side in sides],
            "brow": [between(f"{side}_brow_top", f"{side}_brow_bottom") for side in sides],
            "crow": [rows(f"{side}_crow{number}") for side in sides for number in range(3)],
            "scrunch": [rows(f"{side}_scrunch{number}") for side in sides for number in range(2)],
            "forehead": [rows(f"forehead{number}") for number in range(3)],
            "opening": [between("draw_inner_upper", "draw_inner_lower")],
            "upper_lip": [between("draw_outer_upper", "draw_inner_upper")],
            "lower_lip": [between("draw_inner_lower", "draw_outer_lower")],
            "strands": list(rows("strands").reshape(7, 6)),
            "dark_strands": list(rows("strands").reshape(7, 6)[1::2]),
        }
        for part in (
            "ear",
            "ear_hollow",
            "iris",
            "pupil",
            "glint",
            "upper_lid",
            "lower_lid",
            "crease",
            "wing",
            "nostril",
            "fold",
            "bag",
        ):
            shapes[part] = [rows(f"{side}_{part}") for side in sides]
        for part in ("furrow", "lens"):
            shapes[part] = [rows(f"{side}_{part}") for side in sides]
        for side in sides:
            shapes[f"{side}_occluder"] = [between("ridge", f"{side}_bridge_side")]
        for name in self.runs.keys() - {"grid"}:
            shapes.setdefault(name, [rows(name)])
        order, runs, count = [], {}, 0
        for name, polygons in shapes.items():
            runs[name] = []
            for polygon in polygons:
                runs[name].append(slice(count, count + len(polygon)))
                order.append(polygon)
                count += len(polygon)
        return np.concatenate(order), runs

    def _inks(self) -> dict[str, tuple[float, float, float]]:
        """Name -> RGB colour of what is drawn."""
        skin, hair, lips = self.colours["skin"], self.colours["hair"], self.colours["lips"]
        inks = {
            **self.colours,
            "bun": hair * 0.8,
            "strand": hair * 1.15,
            "dark_strand": hair * 0.8,
            "fringe": hair * 1.04,
            "neck": skin * (0.62, 0.54, 0.50),
            "ear": skin * 0.9,
            "ear_hollow": skin * 0.69,
            "wing": skin * 0.74,
            "nostril": skin * (0.36, 0.28, 0.26),
            "lower_lid": skin * (0.70, 0.58, 0.56),
            "crease": skin * (0.70, 0.64, 0.62),
            "lashes": np.minimum(skin * 0.28, 48),
            "upper_lip": lips * 0.86,
            "lower_lip": lips * 1.04,
            "lip_line": lips * (0.42, 0.34, 0.34),
            "lip_edge": lips * (0.55, 0.45, 0.45),
        }
        return {name: tuple(float(value) for value in colour) for name, colour in inks.items()}

    @staticmethod
    def _landmark_rows(points: _Points) -> np.ndarray:
        order = ("jaw", "right_brow", "left_brow", "nose_bridge", "nose_base", "right_eye", "left_eye")
        order += ("outer_upper", "outer_lower", "inner_upper", "inner_lower")
        return np.concatenate([np.arange(points.runs[name].start, points.runs[name].stop) for name in order])

    def _hair(self, points: _Points) -> None:
        """Adds the hairline, the shell of hair around the skull and the fringe."""
        style, parting = self.traits["hair_style"], self.traits["parting"]
        low_hair = style in ("bob", "long")
        top = {"receding": 84.0, "fringe": 62.0, "curly": 60.0}.get(style, 66.0)
        # Angle up to which each height shows skin, seen from the front
        rows = _SKIN_ROWS[_SKIN_ROWS < top - 0.5]
        y0 = 4.0
        above = np.clip((rows - y0) / (top - y0), 0.0, 1.0)
        side = 62.0 if not low_hair else 58.0
        limit = side * np.sqrt(1.0 - above**3.0)
        below = np.clip((y0 - rows) / 26.0, 0.0, 1.0)
        if low_hair:
            limit = np.where(rows < y0, side + 8.0 * below, limit)
            limit = np.where(rows < -76, np.interp(-rows, [76, 110], [66.0, 90.0]), limit)
        else:
            limit = np.where(rows < y0, np.interp(-rows, [-y0, 10.0, 24.0, 26.0], [side, 78.0, 84.0, 150.0]), limit)
        self.skin_rows = len(rows)
        for name, sign in (("skin_left", -1.0), ("skin_right", 1.0)):
            angle = np.radians(sign * limit)
            half, front, middle, back = _ring(rows)
            depth = np.where(np.cos(angle) >= 0, front, back)
            points.add(name, np.stack([half * np.sin(angle), rows], -1), z=middle + depth * np.cos(angle))
        columns = np.degrees(_COLUMNS)
        inside = np.abs(columns)[:, None] < np.interp(_ROWS, rows[::-1], limit[::-1], right=0.0)[None, :]
        self.outside_skin = np.where(inside, 0.0, 1e6).astype(np.float32)

        thickness = {"shaved": 0.0, "short": 6.0, "receding": 4.0, "tied": 4.0, "curly": 24.0}.get(style, 10.0)
        bottom = {"bob": -92.0, "long": -135.0, "curly": -30.0}.get(style, -12.0)
        shell_rows = np.concatenate([np.linspace(114, 20, 12), np.linspace(12, bottom, 10)])
        angle, y = np.meshgrid(_SHELL_COLUMNS, shell_rows, indexing="ij")
        half, front, middle, back = _ring(np.maximum(y, 0.0 if low_hair else -15.0))
        if low_hair:
            half = half + np.interp(-y, [0, 60, 135], [0.0, 6.0, 8.0])
        depth = np.where(np.cos(angle) >= 0, np.minimum(front, np.interp(y, [-60, 0], [40.0, 200.0])), back)
        if low_hair:
            depth = np.where((np.cos(angle) >= 0) & (y < 0), np.minimum(depth, 60.0), depth)
        if style == "curly":
            wobble = 1.0 + 0.12 * np.sin(7 * angle + 0.35 * y) * np.cos(0.22 * y + 3 * angle)
        else:
            wobble = np.ones_like(angle)
        grow = 1.0 + thickness * wobble / 76.0
        x = half * np.sin(angle) * grow
        z = middle + depth * np.cos(angle) * grow
        raised = 114.0 + thickness * 0.9
        high = np.where(y > 20, 20 + (y - 20) * (raised - 20) / 94.0, y)
        points.add(
            "shell", np.stack([x, high], -1).reshape(-1, 2), np.zeros((len(ACTION_UNITS), x.size, 3)), z=z.reshape(-1)
        )
        self.shell_shape = x.shape
        if style == "fringe":
            outline = [(-52, 36), (-40, 34), (-26, 36), (-12, 34), (0, 36.5), (12, 34), (26, 36), (40, 34), (52, 36)]
            outline += [(50, 58), (26, 76), (0, 80), (-26, 76), (-50, 58)]
        elif style in ("side_parted", "bob", "long"):
            outline = [(-56, 30), (-46, 47), (-24, 57), (10, 63), (30, 69), (30, 80), (0, 84), (-34, 74), (-54, 52)]
            outline = [(-parting * x_, y_) for x_, y_ in outline]
        else:
            outline = []
        if outline:
            curve = _smooth(np.array(outline, np.float64), 60, True)
            points.add("fringe", curve, np.zeros((len(ACTION_UNITS), 60, 3)), lift=4.0)
        if style == "tied":
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            points.fixed("bun", np.stack([26 * np.cos(turn), 124 + 22 * np.sin(turn)], -1), -30.0)
        strands = []
        for number in range(7):
            azimuth = np.radians(np.linspace(-66, 66, 7)[number])
            heights = np.linspace(100, 68, 6)
            half, front, middle, _ = _ring(heights)
            strands.append(np.stack([half * np.sin(azimuth), heights, middle + front * np.cos(azimuth)], -1))
        strands = np.concatenate(strands) * (1.0 + thickness / 90.0, 1.0 + thickness / 130.0, 1.0 + thickness / 90.0)
        points.fixed("strands", strands[:, :2], strands[:, 2])

    def _tint(self, rng: np.random.Generator) -> np.ndarray:
        """Colour factors of the skin at the grid's points, float32 (3, columns, rows)."""
        x, y = self.grid_xy.T
        ax = np.abs(x)
        shape = self.shape
        base = -50.0 - shape["nose_length"]
        eye = _EYE_X + shape["eye_spacing"]
        dim = 1.0 - (0.16 + 0.05 * shape["age"]) * _gauss(ax, y, eye, 4, 15, 8) - 0.14 * _gauss(ax, y, 15, 3, 6, 7)
        dim -= 0.10 * (0.4 + shape["age"]) * _gauss(ax, y, eye - 3, -9, 10, 4)
        dim -= 0.28 * _gauss(ax, y, 0, base - 3, 9, 3.5) + 0.20 * _gauss(ax, y, 0, -86, 13, 4)
        dim -= 0.10 * _gauss(ax, y, 17.5 * shape["nose_width"], base + 5, 4, 5)
        tint = np.repeat(dim[:, None], 3, 1)
        flush = 0.9 * _gauss(ax, y, 43, -31, 14, 12) + 0.6 * _gauss(ax, y, 0, base + 8, 9, 7)
        tint *= 1.0 - flush[:, None] * np.array([0.0, 0.10, 0.08])
        if shape["freckles"] > 0:
            spots = rng.random(len(x)) < 0.3
            near = _gauss(ax, y, 25, -25, 24, 14) * spots
            tint *= 1.0 - shape["freckles"] * 0.25 * near[:, None] * np.array([0.6, 0.9, 1.0])
        beard = self.traits["beard"]
        skin, hair = self.colours["skin"], self.colours["hair"]
        cheek_line = np.interp(ax, [0, 20, 45, 70], [-53.0, -58.0, -62.0, -30.0])
        region = _step(cheek_line - y, -2.0, 9.0) * (1.0 - _gauss(ax, y, 0, -71, 20, 7)) * (ax < 71.5)
        if beard == "stubble":
            tint *= 1.0 - region[:, None] * np.array([0.30, 0.24, 0.20])
        elif beard == "full":
            region = np.clip(region * 1.5, 0, 1)[:, None] * (1.0 - 0.25 * rng.random((len(x), 1)))
            tint = tint * (1 - region) + region * np.minimum(hair * 1.15 / skin, 1.1)
        if self.traits["hair_style"] == "shaved":
            scalp = _step(y + 0.35 * np.clip(ax - 40, 0, 40), 62, 74)[:, None]
            tint *= 1.0 - scalp * (1 - np.minimum(0.55 * hair / skin + 0.45, 1.0)) * 0.8
        return np.ascontiguousarray(tint.T.reshape(3, len(_COLUMNS), len(_ROWS)), np.float32)


def _curve_beside(curve: np.ndarray, distance: float, center: float, half: float) -> np.ndarray:
    """A curve that runs at a distance beside a lid and meets its corners."""
    weight = np.clip(1.1 - ((curve[:, 0] - center) / (half * 1.1)) ** 2, 0.0, 1.0)
    return curve + np.stack([np.zeros(len(curve)), distance * weight], -1)


@functools.lru_cache(maxsize=256)
def person(identity: int, seed: int = 0) -> Person:
    """The person of a number in the population of a seed; kept for the next call."""
    return Person(identity, seed)


# Rendering


@dataclasses.dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered face.

    Attributes:
        image: uint8 (size, size) for one channel, (size, size, 3) RGB for three.
        landmarks: float32 (68, 2), x and y in pixels, pixel centres at whole numbers; points of the head also where
            hair or the head itself hides them.
    """

    image: np.ndarray
    landmarks: np.ndarray


def _rotation(yaw: float, pitch: float) -> np.ndarray:
    """Rotation of the head by pitch, then yaw; float32 (3, 3) for column vectors."""
    cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return (turn @ nod).astype(np.float32)


_MILLIMETRES = 190.0
_CAMERA = 900.0
_CENTER_Y = -24.0
_BITS = 4


class _Canvas:
    """Draws antialiased polygons; the fourth channel says how much of the head's shading a pixel takes."""

    def __init__(self, pixels: np.ndarray, points: np.ndarray, who: Person, scale: float) -> None:
        import cv2

        self._cv2 = cv2
        self.pixels = pixels
        self.points = points
        self.strokes = points.take(who.order, axis=0)
        self.shapes = who.shapes
        self.inks = who.inks
        self.scale = scale

    def shape(self, name: str) -> list[np.ndarray]:
        """The polygons of a name, int32 (n, 2) each, in the canvas' fixed-point units."""
        return [self.strokes[run] for run in self.shapes[name]]

    def hull(self, name: str) -> np.ndarray:
        return self._cv2.convexHull(self.shape(name)[0])

    def fill(self, shape: str | np.ndarray, ink: str | Sequence[float], shading: int = 255) -> None:
        self._fill(shape, ink, shading, self._cv2.LINE_AA)

    def area(self, shape: str | np.ndarray, ink: str | Sequence[float], shading: int = 255) -> None:
        """Fills something large: without antialiasing of its own, as the canvas has twice the picture's size."""
        self._fill(shape, ink, shading, self._cv2.LINE_8)

    def _fill(self, shape: str | np.ndarray, ink: str | Sequence[float], shading: int, kind: int) -> None:
        points = self.shape(shape) if isinstance(shape, str) else [shape]
        colour = self.inks[ink] if isinstance(ink, str) else ink
        self._cv2.fillPoly(self.pixels, points, (*colour, shading), kind, _BITS)

    def line(
        self, shape: str, ink: str | Sequence[float], width: float, shading: int = 255, closed: bool = False
    ) -> None:
        colour = self.inks[ink] if isinstance(ink, str) else ink
        thickness = max(1, int(width * self.scale + 0.5))
        self._cv2.polylines(
            self.pixels, self.shape(shape), closed, (*colour, shading), thickness, self._cv2.LINE_AA, _BITS
        )


def render(factors: Factors, size: int = 64, channels: int = 1) -> Rendering:
    """Renders one face.

    Args:
        factors: what to render.
        size: height and width in pixels, at least 16.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).

    Raises:
        DatasetError: size or channels are not allowed.
    """
    import cv2

    if channels not in (1, 3) or not 16 <= size <= 4096:
        raise DatasetError(f"synthetic: size is 16 to 4096 and channels 1 or 3; got {size} and {channels}")
    who = person(factors.identity, factors.seed)
    moved = _move(who, factors)
    turned = _rotation(factors.yaw, factors.pitch) @ moved
    scale = factors.zoom * size / _MILLIMETRES
    perspective = np.float32(scale * _CAMERA) / (np.float32(_CAMERA + 90.0) - turned[2])
    flat_x = turned[0] * perspective
    flat_y = (np.float32(_CENTER_Y) - turned[1]) * perspective
    cosine, sine = np.float32(math.cos(math.radians(factors.roll))), np.float32(math.sin(math.radians(factors.roll)))
    placed = np.empty((len(flat_x), 2), np.float32)
    placed[:, 0] = flat_x * cosine - flat_y * sine + np.float32((0.5 + factors.shift_x) * size - 0.5)
    placed[:, 1] = flat_x * sine + flat_y * cosine + np.float32((0.5 + factors.shift_y) * size - 0.5)

    fixed_point = np.rint((placed + np.float32(0.25)) * np.float32(2 << _BITS)).astype(np.int32)
    canvas = _Canvas(_background(factors.background, size * 2), fixed_point, who, scale * 2)
    _draw(canvas, who, factors, flat_x, moved[1])
    albedo = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    *colours, shading = cv2.split(albedo.astype(np.float32))
    shading *= np.float32(1 / 255)
    *light, amount = cv2.split(_shade(who, factors, turned, placed, size))
    gain = shading / amount * np.float32(factors.light_strength)
    rest = (1 - shading) * np.float32(factors.light_strength)
    planes = [colour * (part * gain + rest) for colour, part in zip(colours, light)]
    if channels == 1:
        image = np.float32(0.299) * planes[0] + np.float32(0.587) * planes[1] + np.float32(0.114) * planes[2]
    else:
        image = cv2.merge(planes)
    if factors.noise:
        image += np.float32(factors.noise) * _grain(factors.noise_seed, image.size).reshape(image.shape)
    np.rint(image, out=image)
    np.clip(image, 0, 255, out=image)
    return Rendering(image.astype(np.uint8), placed[who.landmark_rows])


def _move(who: Person, factors: Factors) -> np.ndarray:
    """The person's points under the action units, float32 (3, n)."""
    moved = who.points.copy()
    shift = np.empty_like(moved)
    own = who.runs["grid"].start
    for column, value in enumerate(factors.aus):
        if value == 0:
            continue
        np.multiply(who.motion[column], np.float32(value), out=shift[:, :own])
        np.multiply(_grid_motion()[column], np.float32(value), out=shift[:, own:])
        if factors.asymmetry and ACTION_UNITS[column] == 12:
            shift *= np.clip(1 + np.float32(factors.asymmetry) * who.side, 0, 1)
        moved += shift
    if factors.gaze:
        turn = np.float32(math.sin(math.radians(factors.gaze)) * 11.0)
        for name in ("iris", "pupil"):
            moved[0, who.runs[f"right_{name}"]] += turn
            moved[0, who.runs[f"left_{name}"]] += turn
    return moved


@functools.lru_cache(maxsize=1)
def _grain_bank() -> np.ndarray:
    """A million normal deviates, float32."""
    return np.random.default_rng(_NOISE_STREAM).standard_normal(1 << 20, np.float32)


def _grain(seed: int, count: int) -> np.ndarray:
    """Normal deviates of a seed: a run of the bank that starts at a place decided by the seed; float32 (count,)."""
    bank = _grain_bank()
    start = (seed * 2654435761 + 40503) % (len(bank) // 2)
    run = bank[start : start + count]
    return run if len(run) == count else np.resize(run, count)


def _background(seed: int, size: int) -> np.ndarray:
    """A soft background of a seed, uint8 (size, size, 4), without the head's shading."""
    import cv2

    grain = _grain(seed + 7919, 52)
    coarse = np.zeros((4, 4, 4), np.float32)
    coarse[..., :3] = grain[4:].reshape(4, 4, 3) * np.float32(9) + (grain[0] * 42 + 125 + grain[1:4] * 11)
    np.clip(coarse, 0, 240, out=coarse)
    return cv2.resize(coarse.astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)


def _outline(canvas: _Canvas, start: int, shape: tuple[int, int], x: np.ndarray) -> np.ndarray:
    """Silhouette of a grid of rings: the two ends of each ring, as one polygon."""
    block = np.ascontiguousarray(x[start : start + shape[0] * shape[1]].reshape(shape).T)
    row = np.arange(start, start + shape[1])
    left = block.argmin(1) * shape[1] + row
    right = block.argmax(1) * shape[1] + row
    return canvas.points[np.concatenate([left, right[::-1]])]


def _draw(canvas: _Canvas, who: Person, factors: Factors, x: np.ndarray, high: np.ndarray) -> None:
    """Draws the flat colours of the face, from back to front.

    Args:
        canvas: where to, with the background on it.
        who: the person.
        factors: what to draw.
        x: the points' x in the picture before the head leans, float32 (n,); it decides what is silhouette.
        high: the points' y on the head, in millimetres, float32 (n,).
    """
    runs, traits = who.runs, who.traits
    au = dict(zip(ACTION_UNITS, factors.aus))
    grid, shell = runs["grid"].start, runs["shell"].start
    low_hair = traits["hair_style"] in ("bob", "long")
    outline = _outline(canvas, shell, who.shell_shape, x)
    if "bun" in runs:
        canvas.fill("bun", "bun", 60)
    _draw_neck(canvas, who)
    near, far = ("right", "left") if factors.yaw > 0 else ("left", "right")
    turned = abs(factors.yaw) >= 12
    if not low_hair:
        ears = f"{far}_" if turned else ""
        canvas.area(f"{ears}ear", "ear")
        canvas.area(f"{ears}ear_hollow", "ear_hollow")
        canvas.area(_outline(canvas, grid, who.outside_skin.shape, x), "skin")
    if traits["hair_style"] != "shaved":
        canvas.area(outline, "hair", 170)
        if factors.pitch > 4:
            canvas.area(canvas.hull("shell"), "hair", 170)
        canvas.line("strands", "strand", 1.6, 170)
        canvas.line("dark_strands", "dark_strand", 1.6, 170)
        canvas.area(_skin_outline(canvas, who, x), "skin")
    if turned and not low_hair:
        canvas.area(f"{near}_ear", "ear")
        canvas.area(f"{near}_ear_hollow", "ear_hollow")
    _draw_lines(canvas, who, au)
    _draw_eyes(canvas)
    if turned:
        canvas.fill(f"{far}_occluder", "skin")
    canvas.fill("brow", "brow", 200)
    canvas.line("wing", "wing", 1.0)
    canvas.fill("nostril", "nostril")
    if traits["beard"] in ("moustache", "full"):
        canvas.fill("moustache", "hair", 200)
    _draw_mouth(canvas, who, au, high)
    if "fringe" in runs:
        canvas.area("fringe", "fringe", 150)
    if traits["glasses"] != "none":
        canvas.line("lens", "frame", 2.4 if traits["glasses"] == "square" else 1.5, 60, closed=True)
        for side in (near,) if turned else (near, far):
            canvas.line(f"{side}_temple", "frame", 1.8, 60)
        canvas.line("glasses_bridge", "frame", 1.8, 60)


_NECK = np.array([(-45, 40), (-45, 152), (45, 152), (45, 40)], np.float32)
_SHOULDERS = np.array(
    [(-41, 130), (-150, 170), (-190, 212), (-190, 1200), (190, 1200), (190, 212), (150, 170), (41, 130), (0, 166)],
    np.float32,
)


def _draw_neck(canvas: _Canvas, who: Person) -> None:
    """Neck and shoulders, upright whatever the pose of the head."""
    unit = canvas.scale * (1 << _BITS)
    middle = canvas.points[who.landmark_rows[[0, 16]]].mean(0)
    canvas.area(np.rint(middle + _NECK * unit).astype(np.int32), "neck", 30)
    if (middle[1] + 130 * unit) < canvas.pixels.shape[0] * (1 << _BITS):
        canvas.area(np.rint(middle + _SHOULDERS * unit).astype(np.int32), "clothes", 40)


def _skin_outline(canvas: _Canvas, who: Person, x: np.ndarray) -> np.ndarray:
    """The part of the head's silhouette that shows skin below the hairline, as one polygon."""
    runs = who.runs
    count = who.skin_rows
    first, second = runs["skin_left"].start, runs["skin_right"].start
    one, other = x[first : first + count], x[second : second + count]
    # Where the edge of the hair lies behind the horizon, the horizon is the edge
    columns, rows = who.outside_skin.shape
    block = x[runs["grid"]].reshape(columns, rows)
    low = np.ascontiguousarray((block + who.outside_skin).T)
    high = np.ascontiguousarray((block - who.outside_skin).T)
    low_at, high_at = low.argmin(1), high.argmax(1)
    row = np.arange(rows)
    nearest = _SKIN_ROW_ON_GRID[-count:]
    place = np.arange(count)
    start = runs["grid"].start
    swap = one > other
    left = np.where(swap, second, first) + place
    right = np.where(swap, first, second) + place
    horizon = low[row, low_at][nearest] < np.minimum(one, other)
    left = np.where(horizon, start + (low_at * rows + row)[nearest], left)
    horizon = high[row, high_at][nearest] > np.maximum(one, other)
    right = np.where(horizon, start + (high_at * rows + row)[nearest], right)
    return canvas.points[np.concatenate([left, right[::-1]])]


def _draw_lines(canvas: _Canvas, who: Person, au: dict[int, float]) -> None:
    """Wrinkles and folds, which action units and age deepen."""
    red, green, blue = canvas.inks["skin"]
    age = who.shape["age"]
    raised = 0.5 * (au[1] + au[2])
    for name, depth, width in (
        ("fold", 0.06 + 0.10 * age + 0.30 * max(au[12], 0.8 * au[9]) + 0.08 * au[6], 1.3),
        ("bag", 0.08 * age + 0.16 * au[6] + 0.10 * au[7], 1.0),
        ("crow", 0.10 * age * au[6] + 0.22 * au[6] - 0.02, 0.8),
        ("furrow", 0.40 * au[4] + 0.18 * au[9], 1.2),
        ("scrunch", 0.36 * au[9], 1.0),
        ("forehead", 0.05 * age + 0.22 * raised, 0.9),
        ("chin_dimple", 0.10 + 0.25 * au[17], 1.2),
    ):
        if depth > 0.06:
            depth = min(depth, 0.5)
            canvas.line(name, (red * (1 - 0.85 * depth), green * (1 - depth), blue * (1 - depth)), width)


def _draw_eyes(canvas: _Canvas) -> None:
    """Both eyes: the ball first, then the lids, which cover what is too much of it."""
    canvas.area("sclera", (232.0, 228.0, 222.0), 150)
    canvas.fill("iris", "iris", 110)
    canvas.fill("pupil", (14.0, 12.0, 12.0), 60)
    canvas.fill("glint", (250.0, 250.0, 250.0), 0)
    canvas.area("upper_patch", "skin")
    canvas.area("lower_patch", "skin")
    canvas.line("lower_lid", "lower_lid", 0.7)
    canvas.line("crease", "crease", 1.0)
    canvas.line("upper_lid", "lashes", 1.7, 120)


_TEETH_ARCH = np.linspace(-1, 1, 25, dtype=np.float32) ** 2


def _teeth_share(who: Person, y: np.ndarray) -> np.ndarray:
    """Share of the mouth's opening that the upper teeth, which no action unit moves, fill along the lips; (25,)."""
    upper, lower = y[who.runs["draw_inner_upper"]], y[who.runs["draw_inner_lower"]]
    edge = who.teeth + 4.0 * _TEETH_ARCH
    return np.clip((upper - edge) / np.maximum(upper - lower, 0.5), 0.0, 1.0)


def _draw_mouth(canvas: _Canvas, who: Person, au: dict[int, float], high: np.ndarray) -> None:
    is_open = au[25] > 0.02 or au[27] > 0.02
    if is_open:
        canvas.fill("opening", (52.0, 18.0, 20.0), 90)
        (upper,), (lower,) = canvas.shape("draw_inner_upper"), canvas.shape("draw_inner_lower")
        opening = lower - upper
        if au[27] > 0.3:
            tongue = (upper + opening * 0.68)[6:19]
            canvas.fill(np.concatenate([tongue, lower[6:19][::-1]]).astype(np.int32), (150.0, 66.0, 68.0), 90)
        edge = np.rint(upper + opening * _teeth_share(who, high)[:, None]).astype(np.int32)
        canvas.fill(np.concatenate([upper, edge[::-1]]), (226.0, 222.0, 212.0), 130)
    canvas.fill("upper_lip", "upper_lip")
    canvas.fill("lower_lip", "lower_lip")
    canvas.line("draw_inner_upper", "lip_line", 0.9)
    if is_open:
        canvas.line("draw_inner_lower", "lip_edge", 0.7)


_DEGREES = [float(angle) for angle in np.degrees(_COLUMNS)]


def _shade(who: Person, factors: Factors, turned: np.ndarray, placed: np.ndarray, size: int) -> np.ndarray:
    """Light on the head times the skin's tint, over the picture; float32 (size, size, 4).

    The first three channels are to be divided by the fourth. The grid's points are lit by the Phong model, refined by
    linear interpolation and splatted from the far side of the head to the near one, so that what lies in front covers
    what lies behind.
    """
    import cv2

    first = bisect.bisect(_DEGREES, -factors.yaw - 100)
    last = bisect.bisect(_DEGREES, -factors.yaw + 100)
    columns, rows = last - first, len(_ROWS)
    start = who.runs["grid"].start
    block = slice(start + first * rows, start + last * rows)
    position = turned[:, block].reshape(3, columns, rows)
    along, down = np.empty_like(position), np.empty_like(position)
    np.subtract(position[:, 2:], position[:, :-2], out=along[:, 1:-1])
    along[:, 0], along[:, -1] = along[:, 1], along[:, -2]
    np.subtract(position[:, :, :-2], position[:, :, 2:], out=down[:, :, 1:-1])
    down[:, :, 0], down[:, :, -1] = down[:, :, 1], down[:, :, -2]
    nx = along[1] * down[2] - along[2] * down[1]
    ny = along[2] * down[0] - along[0] * down[2]
    nz = along[0] * down[1] - along[1] * down[0]
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6)
    azimuth, elevation = math.radians(factors.light_azimuth), math.radians(factors.light_elevation)
    lx, ly = math.sin(azimuth) * math.cos(elevation), math.sin(elevation)
    lz = math.cos(azimuth) * math.cos(elevation)
    facing = (nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz)) / length
    # The halfway vector of light and viewer is (l + (0, 0, 1)) / |l + (0, 0, 1)|
    glance = np.maximum((facing + nz / length) * np.float32(1 / math.sqrt(2 + 2 * lz)), 0)
    for _ in range(4):
        glance *= glance
    diffuse = (1 - factors.ambient) * 1.05 / 1.25
    lit = np.maximum(facing * np.float32(diffuse) + np.float32(0.25 * diffuse), 0)
    lit += np.float32(factors.ambient)
    lit += glance * np.float32(0.10)
    colour = cv2.merge([*(who.tint[:, first:last] * lit), np.ones_like(lit)])

    side = min(size, 256)
    position = placed[block].reshape(columns, rows, 2)
    if side != size:
        position = (position + np.float32(0.5)) * np.float32(side / size) - np.float32(0.5)
    pixel = factors.zoom * side / _MILLIMETRES
    fine, finer = max(1, math.ceil(5.2 * pixel)), max(1, math.ceil(4.4 * pixel - 0.5))
    wanted = (rows * finer, columns * fine)
    at_x, at_y = cv2.split(cv2.resize(position, wanted, interpolation=cv2.INTER_LINEAR))
    colour = cv2.resize(colour, wanted, interpolation=cv2.INTER_LINEAR)
    for at in (at_x, at_y):
        np.rint(at, out=at)
        np.maximum(at, -1, out=at)
        np.minimum(at, side, out=at)
    at_y *= np.float32(side + 2)
    at_y += at_x
    pixels = at_y.astype(np.intp)
    pixels += side + 3
    number = np.arange(pixels.size).reshape(pixels.shape)
    if factors.pitch < 0:
        pixels, number = pixels[:, ::-1], number[:, ::-1]
    nearest = int(bisect.bisect(_DEGREES, -factors.yaw) - first) * fine
    painted = np.full((side + 2) * (side + 2), pixels.size, np.intp)
    painted[pixels[:nearest]] = number[:nearest]
    painted[pixels[nearest:][::-1]] = number[nearest:][::-1]
    flat = np.zeros((pixels.size + 1, 4), np.float32)
    flat[:-1] = colour.reshape(-1, 4)
    light = flat.take(painted.reshape(side + 2, side + 2)[1:-1, 1:-1], axis=0)
    # Gaps take the light of their neighbours, and hair beyond the head that of the nearest parts of it
    coarse = cv2.blur(cv2.resize(light, (16, 16), interpolation=cv2.INTER_AREA), (5, 5), borderType=cv2.BORDER_CONSTANT)
    coarse += np.float32(1e-4)
    coarse *= np.float32(1e-3)
    total = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    total += cv2.blur(light, (3, 3), borderType=cv2.BORDER_CONSTANT)
    if side != size:
        total = cv2.resize(total, (size, size), interpolation=cv2.INTER_LINEAR)
    return total


def render_image(
    identity: int = 0,
    expression: str | int | Expression = Expression.NEUTRAL,
    *,
    size: int = 256,
    channels: int = 3,
    **factors: Any,
) -> np.ndarray:
    """A picture of a chosen face: head and shoulders before a background unless `zoom` says otherwise.

    Args:
        identity: number of the person.
        expression: one of FERPlus' eight.
        size: height and width in pixels.
        channels: 1 or 3.
        **factors: more arguments of `make_factors`: `yaw`, `pitch`, `roll`, `aus`, `intensity`, `noise`, `zoom`, ...

    Returns:
        uint8 (size, size, 3) RGB, or (size, size) for one channel.

    Raises:
        DatasetError: an unknown factor, or a value out of range.
    """
    factors.setdefault("zoom", 0.55)
    factors.setdefault("background", identity)
    return render(make_factors(identity, expression, **factors), size, channels).image


# The data set


@dataclasses.dataclass(frozen=True)
class Options:
    """What the data set holds.

    Attributes:
        count: number of faces over all splits.
        identities: number of people; each belongs to one split.
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        seed: decides everything random.
        expressions: names of the expressions, among FERPlus' eight; empty for all.
        balanced: every person shows every expression equally often (as far as `count` allows); otherwise expressions
            are drawn with about FERPlus' shares.
        yaw, pitch, roll: ranges in degrees, drawn uniformly; one number stands for -number to number.
        noise: range of the noise's standard deviation in grey levels; one number stands for 0 to number.
        intensity: range of the intensity of the active action units, within [0, 1].
        light: range of the light's azimuth in degrees.
        jitter: how far the framing varies, as a share of the picture.
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

    def __post_init__(self) -> None:
        for name in ("yaw", "pitch", "roll", "light"):
            object.__setattr__(self, name, _range(name, getattr(self, name), symmetric=True))
        for name in ("noise", "intensity"):
            object.__setattr__(self, name, _range(name, getattr(self, name), symmetric=False))
        names = self.expressions if not isinstance(self.expressions, str) else self.expressions.split(",")
        names = tuple(_known_expression(name).label for name in names)
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
        limits = {
            "yaw": (-MAXIMUM_YAW, MAXIMUM_YAW),
            "pitch": (-MAXIMUM_PITCH, MAXIMUM_PITCH),
            "roll": (-MAXIMUM_ROLL, MAXIMUM_ROLL),
            "light": (-90.0, 90.0),
            "noise": (0.0, 80.0),
            "intensity": (0.0, 1.0),
            "jitter": (0.0, 0.3),
        }
        for name, (low, high) in limits.items():
            values = np.atleast_1d(getattr(self, name))
            if not (values[0] >= low and values[-1] <= high and values[0] <= values[-1]):
                raise DatasetError(
                    f"synthetic: {name} must lie in [{low:g}, {high:g}], lowest first; got {getattr(self, name)!r}"
                )

    @property
    def label_space(self) -> LabelSpace:
        """The expressions as a label space, in the order given."""
        return LabelSpace.of(self.expressions)


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


def sample_factors(index: int, options: Options) -> Factors:
    """The factors of a face by its number: a pure function of the number and the options."""
    draws = _draws(options.seed, index // _BLOCK)[index % _BLOCK]
    identity = index % options.identities
    if options.balanced:
        label = options.expressions[(index // options.identities) % len(options.expressions)]
    else:
        shares = np.array([_FERPLUS_SHARES[_known_expression(name)] for name in options.expressions])
        label = options.expressions[int(np.searchsorted(np.cumsum(shares / shares.sum()), draws[-1]))]
    expression = _known_expression(label)
    low, high = options.intensity
    active = EXPRESSION_ACTION_UNITS[expression]
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


def _table(factors: Sequence[Factors], splits: Sequence[str], size: int, channels: int, space: LabelSpace) -> FaceTable:
    images, landmarks = _render_all(factors, size, channels)
    codes = np.array([entry.expression for entry in factors], np.int8)
    columns = {
        "path": [str(row) for row in range(len(factors))],
        "expression": codes,
        "votes": np.eye(8, dtype=np.float32)[codes] * np.float32(_VOTES),
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
            `yaw`, `pitch`, `roll`, `noise`, `intensity`, `light`, `jitter`.

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
    images = table.source.images
    channels = 1 if images.ndim == 3 else 3
    space = table.label_space if Expression.NEUTRAL in table.label_space.expressions else LabelSpace.of(["neutral"])
    return _table(factors, list(table["split"]), images.shape[1], channels, space)


def factors_of(table: FaceTable) -> dict[str, np.ndarray]:
    """The factors of each row as columns, for measures of disentanglement.

    Args:
        table: a table that `read` returned, or a selection of its rows.

    Returns:
        The fields of `Factors` and the person's traits (`hair_style`, `hair_colour`, `beard`, `glasses`, `skin_tone`),
        name -> array of n values; `aus` has shape (n, 14), `expression` and `identity` are whole numbers.

    Raises:
        DatasetError: the table is another one.
    """
    factors = _factors_of_rows(table)
    columns: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(Factors):
        columns[field.name] = np.array([getattr(entry, field.name) for entry in factors])
    columns["aus"] = columns["aus"].reshape(-1, len(ACTION_UNITS))
    for trait in ("hair_style", "hair_colour", "beard", "glasses", "skin_tone"):
        columns[trait] = np.array([person(entry.identity, entry.seed).traits[trait] for entry in factors])
    return columns

"""Drawing: a person with the factors of one face, turned, projected, shaded and drawn."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasfer.expressions import ACTION_UNITS, Expression
from kerasfer.rendering.anatomy import Person, person
from kerasfer.rendering.factors import Factors, RenderingError, make_factors
from kerasfer.rendering.motion import grid_motion
from kerasfer.rendering.surface import COLUMNS, ROWS, SKIN_ROW_ON_GRID

__all__ = ["Rendering", "render", "render_image"]

_NOISE_STREAM = 13


@dataclasses.dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered face.

    Attributes:
        image: uint8 (size, size) for one channel, (size, size, 3) RGB for three.
        landmarks: float32 (68, 2), x and y in pixels, pixel centers at whole numbers; points of the head also where
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


_MILLIMETERS = 190.0
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
        color = self.inks[ink] if isinstance(ink, str) else ink
        self._cv2.fillPoly(self.pixels, points, (*color, shading), kind, _BITS)

    def line(
        self, shape: str, ink: str | Sequence[float], width: float, shading: int = 255, closed: bool = False
    ) -> None:
        color = self.inks[ink] if isinstance(ink, str) else ink
        thickness = max(1, int(width * self.scale + 0.5))
        self._cv2.polylines(
            self.pixels, self.shape(shape), closed, (*color, shading), thickness, self._cv2.LINE_AA, _BITS
        )


def render(factors: Factors, size: int = 64, channels: int = 1) -> Rendering:
    """Renders one face.

    Args:
        factors: what to render.
        size: height and width in pixels, at least 16.
        channels: 1 (gray, ITU-R 601 luma) or 3 (RGB).

    Raises:
        RenderingError: size or channels are not allowed.
    """
    import cv2

    if channels not in (1, 3) or not 16 <= size <= 4096:
        raise RenderingError(f"size is 16 to 4096 and channels 1 or 3; got {size} and {channels}")
    who = person(factors.identity, factors.seed)
    moved = _move(who, factors)
    turned = _rotation(factors.yaw, factors.pitch) @ moved
    scale = factors.zoom * size / _MILLIMETERS
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
    *colors, shading = cv2.split(albedo.astype(np.float32))
    shading *= np.float32(1 / 255)
    *light, amount = cv2.split(_shade(who, factors, turned, placed, size))
    gain = shading / amount * np.float32(factors.light_strength)
    rest = (1 - shading) * np.float32(factors.light_strength)
    planes = [color * (part * gain + rest) for color, part in zip(colors, light)]
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
        np.multiply(grid_motion()[column], np.float32(value), out=shift[:, own:])
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
    """Draws the flat colors of the face, from back to front.

    Args:
        canvas: where to, with the background on it.
        who: the person.
        factors: what to draw.
        x: the points' x in the picture before the head leans, float32 (n,); it decides what is silhouette.
        high: the points' y on the head, in millimeters, float32 (n,).
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
    nearest = SKIN_ROW_ON_GRID[-count:]
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
        ("bag", 0.08 * age + 0.16 * au[6] + 0.22 * au[7], 1.0),
        ("crow", 0.10 * age * au[6] + 0.22 * au[6] - 0.02, 0.8),
        ("furrow", 0.40 * au[4] + 0.18 * au[9], 1.2),
        ("scrunch", 0.36 * au[9], 1.0),
        ("forehead", 0.05 * age + 0.22 * raised, 0.9),
        ("chin_dimple", 0.10 + 0.25 * au[17] + 0.10 * au[24], 1.2),
        ("pucker", 0.24 * au[23], 0.8),
        ("bracket", 0.34 * au[24], 1.2),
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
    canvas.line("draw_inner_upper", "lip_line", 0.9 + 0.7 * au[24])
    if is_open:
        canvas.line("draw_inner_lower", "lip_edge", 0.7)


_DEGREES = [float(angle) for angle in np.degrees(COLUMNS)]


def _shade(who: Person, factors: Factors, turned: np.ndarray, placed: np.ndarray, size: int) -> np.ndarray:
    """Light on the head times the skin's tint, over the picture; float32 (size, size, 4).

    The first three channels are to be divided by the fourth. The grid's points are lit by the Phong model, refined by
    linear interpolation and splatted from the far side of the head to the near one, so that what lies in front covers
    what lies behind.
    """
    import cv2

    first = bisect.bisect(_DEGREES, -factors.yaw - 100)
    last = bisect.bisect(_DEGREES, -factors.yaw + 100)
    columns, rows = last - first, len(ROWS)
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
    color = cv2.merge([*(who.tint[:, first:last] * lit), np.ones_like(lit)])

    side = min(size, 256)
    position = placed[block].reshape(columns, rows, 2)
    if side != size:
        position = (position + np.float32(0.5)) * np.float32(side / size) - np.float32(0.5)
    pixel = factors.zoom * side / _MILLIMETERS
    fine, finer = max(1, math.ceil(5.2 * pixel)), max(1, math.ceil(4.4 * pixel - 0.5))
    wanted = (rows * finer, columns * fine)
    at_x, at_y = cv2.split(cv2.resize(position, wanted, interpolation=cv2.INTER_LINEAR))
    color = cv2.resize(color, wanted, interpolation=cv2.INTER_LINEAR)
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
    flat[:-1] = color.reshape(-1, 4)
    light = flat.take(painted.reshape(side + 2, side + 2)[1:-1, 1:-1], axis=0)
    # Gaps take the light of their neighbors, and hair beyond the head that of the nearest parts of it
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
        RenderingError: an unknown factor, or a value out of range.
    """
    factors.setdefault("zoom", 0.55)
    factors.setdefault("background", identity)
    return render(make_factors(identity, expression, **factors), size, channels).image

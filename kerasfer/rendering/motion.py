"""Action units as displacements, in canonical millimeters at intensity 1."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from kerasfer.expressions import ACTION_UNITS
from kerasfer.rendering.surface import COLUMNS, EYE_HALF, EYE_X, ROWS, depth_at, gauss, head_ring, smooth_step

__all__ = ["PointSet", "grid_motion", "lid_motion", "lip_motion", "skin_motion"]

AU_COLUMN = {unit: column for column, unit in enumerate(ACTION_UNITS)}


def skin_motion(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement of skin at (x, y) by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    ax, side = np.abs(x), np.sign(x)

    def add(unit: int, dx: Any = 0.0, dy: Any = 0.0, dz: Any = 0.0) -> None:
        moved = motion[AU_COLUMN[unit]].T
        moved[0] += dx * side
        moved[1] += dy
        moved[2] += dz

    add(1, dy=9.0 * gauss(ax, y, 13, 24, 12, 14))
    add(2, dy=8.0 * gauss(ax, y, 47, 24, 14, 14))
    inner = gauss(ax, y, 21, 22, 15, 11)
    add(4, dx=-4.5 * gauss(ax, y, 17, 22, 11, 10), dy=-7.0 * inner, dz=1.5 * gauss(ax, y, 6, 18, 7, 8))
    add(6, dy=4.0 * gauss(ax, y, 38, -24, 17, 12), dz=4.0 * gauss(ax, y, 40, -24, 15, 10))
    add(9, dx=1.5 * gauss(ax, y, 15, -43, 6, 8), dy=4.0 * gauss(ax, y, 13, -42, 9, 9), dz=0.0)
    add(9, dy=-4.5 * inner, dx=-2.5 * inner, dz=2.5 * gauss(ax, y, 22, -28, 10, 9))
    corner = gauss(ax, y, 29, -67, 14, 12)
    add(12, dx=7.0 * corner, dy=8.0 * corner, dz=5.0 * gauss(ax, y, 41, -36, 14, 12))
    add(12, dx=1.5 * gauss(ax, y, 15, -45, 6, 6), dy=1.0 * gauss(ax, y, 15, -45, 6, 6))
    add(15, dy=-7.0 * gauss(ax, y, 27, -75, 9, 9))
    add(17, dy=4.0 * gauss(ax, y, 0, -95, 18, 9), dz=3.0 * gauss(ax, y, 0, -95, 12, 8))
    jaw = smooth_step(-y, 60, 92) * np.exp(-0.5 * (ax / 42.0) ** 2)
    around = gauss(ax, y, 10, -58, 12, 4) + gauss(ax, y, 10, -84, 12, 4)
    add(23, dx=-2.5 * gauss(ax, y, 28, -71, 9, 8))
    add(24, dx=1.5 * gauss(ax, y, 28, -71, 9, 8), dz=2.5 * around)
    add(25, dy=-3.0 * jaw)
    add(27, dx=-0.09 * ax * smooth_step(-y, 45, 80), dy=-24.0 * jaw, dz=-6.0 * jaw)
    return motion


def lip_motion(x: np.ndarray, y: np.ndarray, upper: bool, inner: bool) -> np.ndarray:
    """Displacement of points of the lips by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    side = np.sign(x)
    corner = np.clip(np.abs(x) / 25.0, 0.0, 1.2) ** 1.5
    reach = np.clip(np.abs(x) / (21.5 if inner else 25.0), 0.0, 1.0)
    middle, rounded = 1.0 - reach**2.2, np.sqrt(1.0 - reach**2)

    def add(unit: int, dx: Any = 0.0, dy: Any = 0.0, dz: Any = 0.0) -> None:
        moved = motion[AU_COLUMN[unit]].T
        moved[0] += dx * side
        moved[1] += dy
        moved[2] += dz

    add(9, dy=3.0 * middle if upper else 0.5 * middle)
    add(12, dx=8.0 * corner, dy=9.0 * corner, dz=-5.0 * corner)
    add(15, dx=0.5 * corner, dy=-9.0 * corner**1.3)
    add(17, dy=3.0 * middle, dz=2.0 * middle)
    if not upper and not inner:
        add(17, dy=1.0 * middle)
    # 23 rolls the red of the lips in and draws the corners toward each other; 24 flattens the lips against each other
    if not inner:
        add(23, dy=(-1.6 if upper else 2.4) * rounded)
        add(24, dy=(-3.2 if upper else 5.2) * middle)
    add(23, dx=-4.5 * corner, dz=-2.0 * middle)
    add(24, dx=2.5 * corner, dy=-0.5 * corner, dz=-1.0 * middle)
    add(25, dy=2.5 * middle if upper else -5.0 * middle)
    if upper:
        add(27, dx=-5.0 * corner, dy=2.0 * rounded - 9.0 * corner)
    else:
        add(27, dx=-5.0 * corner, dy=-26.0 * rounded - 9.0 * corner, dz=-5.0 * middle)
    return motion


def lid_motion(x: np.ndarray, y: np.ndarray, upper: bool, shape: dict[str, float]) -> np.ndarray:
    """Displacement of points of a lid by each action unit at intensity 1, shape (14, n, 3)."""
    motion = np.zeros((len(ACTION_UNITS), len(x), 3))
    place = (np.abs(x) - EYE_X - shape["eye_spacing"]) / (EYE_HALF * shape["eye_width"])
    middle = np.clip(1.0 - place**2, 0.0, 1.0) * shape["eye_opening"]
    inner = np.clip(0.6 - place, 0.0, 1.5) * middle
    # 7 draws the lower lid straight and hardly lowers the upper one; 6 pushes the lower lid up with the cheek
    lift = {4: -0.8, 5: 3.4, 6: -0.8, 7: -0.7, 9: -1.0} if upper else {6: 2.4, 7: 3.6, 9: 1.4, 12: 0.4}
    for unit, height in lift.items():
        motion[AU_COLUMN[unit], :, 1] = height * middle
    if upper:
        motion[AU_COLUMN[1], :, 1] = 0.8 * inner
    return motion


@functools.lru_cache(maxsize=1)
def grid_motion() -> np.ndarray:
    """Motion of the grid's points, which all people share, float32 (14, 3, n)."""
    angle, y = np.meshgrid(COLUMNS, ROWS, indexing="ij")
    motion = skin_motion((head_ring(y)[0] * np.sin(angle)).reshape(-1), y.reshape(-1))
    return np.ascontiguousarray(motion.transpose(0, 2, 1), np.float32)


class PointSet:
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
        z[missing] = depth_at(*flat[missing].T, self.shape)
        motion = np.empty((len(ACTION_UNITS), self.count, 3))
        skin = np.ones(self.count, bool)
        for run, given in self.moved:
            motion[:, run] = given
            skin[run] = False
        motion[:, skin] = skin_motion(*flat[skin].T)
        return flat, z + lift, motion

    def fixed(self, name: str, points: np.ndarray, z: Any) -> None:
        """Adds points that no action unit moves."""
        self.add(name, points, np.zeros((len(ACTION_UNITS), len(points), 3)), z=z)

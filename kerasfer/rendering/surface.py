"""The head's surface: the mean face before identity warps it, in canonical millimeters, and the grid over it."""

from __future__ import annotations

import numpy as np

__all__ = [
    "COLUMNS",
    "EYE_HALF",
    "EYE_X",
    "ROWS",
    "SHELL_COLUMNS",
    "SKIN_ROWS",
    "SKIN_ROW_ON_GRID",
    "depth_at",
    "gauss",
    "head_grid",
    "head_ring",
    "smooth_step",
]


def gauss(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def smooth_step(value: np.ndarray, low: float, high: float) -> np.ndarray:
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
EYE_X, EYE_HALF = 31.0, 15.0


def head_ring(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half width, depth of the front, z of the widest place and depth of the back of the head at height y."""
    heights = _PROFILE[:, 0]
    half, front, side = (np.interp(y, heights, _PROFILE[:, column]) for column in (1, 2, 3))
    skull = 88.0 * np.sqrt(np.clip(1.0 - (np.maximum(y, 20.0) - 20.0) ** 2 / 95.0**2, 0.0, 1.0))
    back = np.where(y > -20, skull, np.interp(y, [-116, -70, -20], [4.0, 12.0, 84.0]))
    return half, front - side, side, back


def relief(x: np.ndarray, y: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """Height of the features above the plain head, in millimeters along z."""
    ax = np.abs(x)
    width, length, bridge = shape["nose_width"], shape["nose_length"], shape["nose_bridge"]
    tip, base = -41.0 - length, -50.0 - length
    ridge = np.interp(
        y, [base - 5, base, base + 4, tip, tip + 9, -14, 0, 9], [0, 8, 19, 23.5, 20, 10 + bridge, 2 + bridge, 0]
    )
    half = np.interp(y, [base, tip, tip + 12, -8, 6], [8.5 * width, 8.5 * width, 7 * width, 6.0, 7.0])
    nose = ridge * np.exp(-0.5 * (ax / half) ** 2)
    wings = 8.0 * gauss(ax, y, 12.5 * width, tip - 4, 4.0, 4.5)
    eye = shape["eye_spacing"]
    sockets = -7.0 * gauss(ax, y, EYE_X + eye, 3, 17, 10) - 4.0 * gauss(ax, y, 14 + eye, 2, 6, 8)
    balls = 3.5 * gauss(ax, y, EYE_X + eye, 0, 11, 7)
    brows = (3.0 + shape["brow_ridge"]) * gauss(ax, y, 24, 19, 20, 8)
    cheeks = (4.0 + shape["cheekbones"]) * gauss(ax, y, 44, -28, 16, 13)
    lips = 5.0 * gauss(ax, y, 0, -66, 17, 5) + 5.0 * gauss(ax, y, 0, -77, 14, 5)
    fold = -2.5 * gauss(ax, y, 0, -86, 18, 4)
    chin = (6.0 + shape["chin"]) * gauss(ax, y, 0, -101, 14, 10)
    return nose + wings + sockets + balls + brows + cheeks + lips + fold + chin


def depth_at(x: np.ndarray, y: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """z of the front of the head at (x, y)."""
    half, front, side, _ = head_ring(y)
    inside = np.clip(1.0 - (x / half) ** 2, 0.0, 1.0)
    return side + front * np.sqrt(inside) + relief(x, y, shape) * np.sqrt(np.sqrt(inside))


_HALF_COLUMNS = np.concatenate([np.arange(3.5, 25, 3.5), np.arange(29.5, 96, 5.5), np.arange(103, 152, 12.0)])
COLUMNS = np.radians(np.concatenate([-_HALF_COLUMNS[::-1], [0.0], _HALF_COLUMNS]))
ROWS = np.concatenate(
    [
        np.arange(114, 38, -7.6),
        np.arange(38, 10, -5.0),
        np.arange(9, -58, -3.6),
        np.arange(-61, -110, -5.0),
        [-113, -115.5],
    ]
)
SHELL_COLUMNS = np.radians(np.linspace(-165, 165, 29))
SKIN_ROWS = np.linspace(96, -115.5, 48)
SKIN_ROW_ON_GRID = np.clip(np.searchsorted(-ROWS, -SKIN_ROWS), 0, len(ROWS) - 1)


def head_grid(columns: np.ndarray, rows: np.ndarray, shape: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Canonical (x, y) and z of the surface over angles and heights, shapes (c, r, 2) and (c, r)."""
    angle, y = np.meshgrid(columns, rows, indexing="ij")
    half, front, side, back = head_ring(y)
    x = half * np.sin(angle)
    depth = np.where(np.cos(angle) >= 0, front, back)
    features = relief(x, y, shape) * np.sqrt(np.clip(np.cos(angle), 0.0, 1.0))
    return np.stack([x, y], -1), side + depth * np.cos(angle) + features

"""Faces that turn a little about their own vertical axis: by how far away each of 68 landmarks lies."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["turned_landmarks", "turning_field", "turns_without_folds"]

_FURTHEST = 20.0
"""Degrees of yaw to which a face turns away from the camera; further on its cheeks fold over each other."""

_GRID = 17
"""Places on each side at which the field is worked out; between them it is interpolated."""

_AROUND = 0.35
"""How far outside the image the places lie that stay where they are, as a part of its side."""

_SMOOTHING = 1e-4
"""Of the splines: how little a field hurries to meet every landmark."""


def turns_without_folds(points: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Turns, (n,) in degrees, as far as these landmarks, (n, 68, 2), allow; a head in profile turns back alone."""
    from kerasfer.detection.pose import head_poses

    yaw = head_poses(points)[:, 0]
    furthest = np.maximum(np.abs(yaw), _FURTHEST)
    return np.clip(yaw + degrees, -furthest, furthest) - yaw


def turned_landmarks(points: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Where landmarks lie after the head has turned; their middle stays.

    Depths are those of the mean face in space, as `kerasfer.detection.pose.head_axes` places it.

    Args:
        points: (n, 68, 2) in pixels.
        degrees: (n,), how much is added to the yaw, as in `kerasfer.faces.HeadPose`.

    Returns:
        float32 (n, 68, 2).
    """
    from kerasfer.detection.pose import MEAN_FACE, head_axes

    points, angle = np.asarray(points, np.float64), np.radians(degrees)[:, None]
    rotation, size = head_axes(points)
    mean = np.asarray(MEAN_FACE, np.float64)
    depth = size[:, None] * ((mean - mean.mean(0)) @ rotation[:, 2, :, None])[..., 0]
    down = rotation[:, :2, 1] / np.maximum(np.linalg.norm(rotation[:, :2, 1], axis=1, keepdims=True), 1e-9)
    across = np.stack([down[:, 1], -down[:, 0]], 1)
    middle = points.mean(1, keepdims=True)
    beside = ((points - middle) @ across[..., None])[..., 0]
    moves = beside * (np.cos(angle) - 1.0) - depth * np.sin(angle)
    return (points + moves[..., None] * across[:, None]).astype(np.float32)


def turning_field(points: np.ndarray, moved: np.ndarray, side: int) -> np.ndarray:
    """What takes the pixels of a face along with its landmarks: a thin-plate spline through them.

    Args:
        points: (68, 2), where landmarks lie in an image; a pixel's center lies at a half.
        moved: (68, 2), where they are to lie.
        side: height and width of the image.

    Returns:
        float32 (side, side, 2): from each pixel of the turned image, right and down to where it comes from.
    """
    from scipy.interpolate import RBFInterpolator

    low, middle, high = -_AROUND, 0.5, 1.0 + _AROUND
    still = [(x, y) for x in (low, middle, high) for y in (low, middle, high) if (x, y) != (middle, middle)]
    places = np.concatenate([moved / side, still])
    moves = np.concatenate([(points - moved) / side, np.zeros((len(still), 2))])
    ticks = (np.arange(_GRID) + 0.5) / _GRID
    grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    spline = RBFInterpolator(places, moves, smoothing=_SMOOTHING, kernel="thin_plate_spline")
    field = np.float32(side * spline(grid)).reshape(_GRID, _GRID, 2)
    return cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)

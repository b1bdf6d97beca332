"""MediaPipe's face mesh: 468 points of a face, 68 of them as landmarks.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019.
"""

from __future__ import annotations

import functools

import numpy as np

from kerasfer import images
from kerasfer.detection.graphs import Graph
from kerasfer.faces import Box, Landmarks

__all__ = ["MESH_POINTS", "fit", "follow", "follow_from", "landmarks_of", "region"]

MESH_POINTS: dict[str, tuple[int, ...]] = {
    "jaw": (127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356),
    "right_brow": (70, 63, 105, 66, 107),
    "left_brow": (336, 296, 334, 293, 300),
    "nose_bridge": (168, 197, 5, 4),
    "nose_base": (98, 97, 2, 326, 327),
    "right_eye": (33, 160, 158, 133, 153, 144),
    "left_eye": (362, 385, 387, 263, 373, 380),
    "outer_lips": (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    "inner_lips": (78, 81, 13, 311, 308, 402, 14, 178),
}
"""The mesh's points that stand at the 68 landmarks, by part of the face, in the order of `faces.LANDMARK_GROUPS`.

Eyes and lips coincide with the mesh's contours; along jaw and bridge the nearest mesh points are taken."""

PRESENT = 0.5
"""Least probability that a region holds a face, where a detector was sure of it."""

CONFIRMED = 0.9
"""Least probability that a region holds a face, where a detector was not."""

_SIZE = 192
_POINTS = 468
_INDICES = tuple(index for indices in MESH_POINTS.values() for index in indices)


def fit(image: np.ndarray, box: Box, roll: float = 0.0, minimum_presence: float = PRESENT) -> np.ndarray | None:
    """Fits the mesh to a face.

    The mesh looks at a square half as large again as the box, turned upright by `roll`. Where its own points say that
    the face lies otherwise in that square than they should, it looks once more, at the region they span.

    Args:
        image: uint8 RGB (height, width, 3).
        box: the face.
        roll: angle of the line between the eyes in radians, positive when it falls to the right.
        minimum_presence: least probability, by the mesh's own judgment, that it sees a face.

    Returns:
        float32 (468, 3): x and y in pixels of the image, z in pixels too, smaller toward the camera; None if there is
        no face.
    """
    center, side = np.array(box.center), 1.5 * max(box.width, box.height)
    points, present = _run(image, center, side, roll)
    new_center, new_side, new_roll = region(points)
    moved = np.hypot(*(new_center - center)) / side
    turned = abs((new_roll - roll + np.pi) % (2 * np.pi) - np.pi)
    if moved > 0.1 or turned > np.radians(10) or not 0.8 < new_side / side < 1.25:
        again, present_again = _run(image, new_center, new_side, new_roll)
        if present_again >= present:
            points, present = again, present_again
    return points if present >= minimum_presence else None


def follow(image: np.ndarray, points: np.ndarray, minimum_presence: float = PRESENT) -> np.ndarray | None:
    """Fits the mesh to a face near where it was a moment before.

    Args:
        image: uint8 RGB (height, width, 3), the next frame of a video.
        points: the mesh in the frame before, as `fit` gives it.
        minimum_presence: least probability, by the mesh's own judgment, that it sees a face.

    Returns:
        As `fit`.
    """
    return follow_from(image, region(points), minimum_presence)


def follow_from(
    image: np.ndarray, square: tuple[np.ndarray, float, float], minimum_presence: float = PRESENT
) -> np.ndarray | None:
    """As `follow`, where of the mesh in the frame before only its `region` is known."""
    found, present = _run(image, *square)
    return found if present >= minimum_presence else None


def landmarks_of(points: np.ndarray) -> Landmarks:
    """The 68 landmarks of mesh points, (468, 2 or 3)."""
    return Landmarks(points[list(_INDICES), :2])


@functools.cache
def _network() -> Graph:
    return Graph("face_landmark.tflite")


def _run(image: np.ndarray, center: np.ndarray, side: float, roll: float) -> tuple[np.ndarray, float]:
    """Mesh points of a square region in pixels of the image, and the probability that it holds a face."""
    scale = side / _SIZE
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    matrix = np.column_stack([turn, center - turn @ np.full(2, _SIZE / 2)])
    outputs = _network()(images.warp(image, matrix, _SIZE).astype(np.float32) / 255.0)
    points = outputs[_POINTS * 3].reshape(_POINTS, 3)
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    present = 1.0 / (1.0 + np.exp(-np.clip(outputs[1][0], -80, 80)))
    return np.column_stack([flat, points[:, 2] * scale]).astype(np.float32), float(present)


def region(points: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Center (2,), side in pixels and roll in radians of the square that the mesh expects around its points."""
    right, left = points[33, :2], points[263, :2]
    roll = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    turned = points[:, :2] @ upright.T
    low, high = turned.min(0), turned.max(0)
    return upright.T @ ((low + high) / 2), 1.5 * float((high - low).max()), roll

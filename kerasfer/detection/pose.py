"""Head pose from 68 landmarks."""

from __future__ import annotations

import functools

import numpy as np

from kerasfer.faces import HeadPose, Landmarks

__all__ = ["MEAN_FACE", "head_axes", "head_pose", "head_poses"]

# fmt: off
MEAN_FACE: tuple[tuple[float, float, float], ...] = (
    (-0.770, 0.029, 0.543), (-0.761, 0.181, 0.599), (-0.733, 0.507, 0.589), (-0.685, 0.687, 0.534),
    (-0.615, 0.834, 0.431), (-0.536, 0.943, 0.317), (-0.436, 1.040, 0.226), (-0.256, 1.170, 0.076),
    (0.000, 1.230, 0.006), (0.256, 1.170, 0.076), (0.436, 1.040, 0.226), (0.536, 0.943, 0.317),
    (0.615, 0.834, 0.431), (0.685, 0.687, 0.534), (0.733, 0.507, 0.589), (0.761, 0.181, 0.599),
    (0.770, 0.029, 0.543), (-0.627, -0.154, 0.003), (-0.558, -0.211, -0.090), (-0.453, -0.242, -0.164),
    (-0.316, -0.237, -0.229), (-0.161, -0.219, -0.260), (0.161, -0.219, -0.260), (0.316, -0.237, -0.229),
    (0.453, -0.242, -0.164), (0.558, -0.211, -0.090), (0.627, -0.154, 0.003), (0.000, -0.035, -0.245),
    (0.000, 0.134, -0.344), (0.000, 0.290, -0.460), (0.000, 0.385, -0.485), (-0.197, 0.490, -0.195),
    (-0.089, 0.517, -0.266), (0.000, 0.519, -0.285), (0.089, 0.517, -0.266), (0.197, 0.490, -0.195),
    (-0.500, 0.000, 0.000), (-0.425, -0.036, -0.073), (-0.308, -0.043, -0.092), (-0.193, 0.017, -0.058),
    (-0.289, 0.039, -0.078), (-0.404, 0.039, -0.059), (0.193, 0.017, -0.058), (0.308, -0.043, -0.092),
    (0.425, -0.036, -0.073), (0.500, 0.000, 0.000), (0.404, 0.039, -0.059), (0.289, 0.039, -0.078),
    (-0.300, 0.752, -0.038), (-0.235, 0.708, -0.161), (-0.089, 0.668, -0.263), (0.000, 0.681, -0.272),
    (0.089, 0.668, -0.263), (0.235, 0.708, -0.161), (0.300, 0.752, -0.038), (0.230, 0.828, -0.119),
    (0.091, 0.903, -0.185), (0.000, 0.911, -0.191), (-0.091, 0.903, -0.185), (-0.230, 0.828, -0.119),
    (-0.258, 0.748, -0.058), (-0.128, 0.738, -0.169), (0.000, 0.745, -0.207), (0.128, 0.738, -0.169),
    (0.258, 0.748, -0.058), (0.136, 0.793, -0.147), (0.000, 0.808, -0.181), (-0.136, 0.793, -0.147),
)
# fmt: on
"""The mean face in space, in the order of `faces.LANDMARK_GROUPS`: x to the right of the picture, y down, z away from
the camera; the origin lies between the outer eye corners, whose distance is 1.

Measured with `python scripts/measure_faces.py`: mean of the face mesh over LFW, made symmetric. People in LFW mostly
look at the camera, so their mean direction counts as straight ahead."""


def head_pose(landmarks: Landmarks) -> HeadPose:
    """Head rotation from landmarks; see `head_poses`.

    Args:
        landmarks: of one face, in pixels of any image.

    Returns:
        Angles in degrees.
    """
    return HeadPose(*head_poses(landmarks.points[None])[0].tolist())


def head_poses(points: np.ndarray) -> np.ndarray:
    """Head rotations from the landmarks of many faces.

    The weak-perspective fit of the mean face: an affine map from its 68 points to the landmarks by least squares, whose
    nearest rotation is split into roll, pitch and yaw (applied to the head in the order yaw, pitch, roll). Against the
    rotation of the mesh's own 3-D points it differs by about 1 degree in yaw, 3 in pitch and 0.3 in roll.

    Args:
        points: (n, 68, 2), each in pixels of any image.

    Returns:
        float64 (n, 3): yaw, pitch and roll in degrees as in `HeadPose`.
    """
    rotation, _ = head_axes(points)
    first, second, third = rotation[:, 0], rotation[:, 1], rotation[:, 2]
    yaw = np.arctan2(third[:, 0], third[:, 2])
    pitch = np.arcsin(np.clip(-third[:, 1], -1.0, 1.0))
    roll = np.arctan2(-first[:, 1], second[:, 1])
    return np.degrees(np.stack([yaw, pitch, roll], 1))


def head_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fit behind `head_poses`: how heads stand before the camera, and how large they are.

    Args:
        points: (n, 68, 2), each in pixels of any image.

    Returns:
        float64 (n, 3, 3), rotations that take a place of `MEAN_FACE` to the picture's right, down and away from the
        camera; and float64 (n,), pixels that a distance of 1 has.
    """
    points = np.asarray(points, np.float64)
    affine = _solver() @ (points - points.mean(1, keepdims=True))
    left, sizes, right = np.linalg.svd(affine.transpose(0, 2, 1), full_matrices=False)
    rotation = left @ right
    third = np.cross(rotation[:, 0], rotation[:, 1])
    return np.concatenate([rotation, third[:, None]], 1), sizes.mean(1)


@functools.cache
def _solver() -> np.ndarray:
    """Pseudo-inverse of the centered mean face, (3, 68)."""
    mean = np.asarray(MEAN_FACE, np.float64)
    return np.linalg.pinv(mean - mean.mean(0))

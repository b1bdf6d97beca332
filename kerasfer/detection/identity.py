"""Alignment for telling people apart: by the corners of the eyes and the base of the nose, as dlib aligns faces."""

from __future__ import annotations

import numpy as np

from kerasfer import images
from kerasfer.detection.alignment import inverted, similarity
from kerasfer.faces import Landmarks

__all__ = ["FIVE_LANDMARKS", "FIVE_POINTS", "align_identity"]

FIVE_LANDMARKS = (45, 42, 36, 39, 33)
"""Those of the 68 landmarks that the points stand for: outer and inner corner of the left eye, outer and inner corner
of the right eye, base of the nose. "Left" is the person's own, which lies on the right of the picture."""

FIVE_POINTS = np.array(
    [(0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278)], np.float64
)
"""Where dlib puts them, in a square of side 1 that the picture surrounds by a quarter on every side."""

_PADDING = 0.25


def align_identity(image: np.ndarray, landmarks: Landmarks, size: int = 150) -> np.ndarray:
    """Cuts a face out as dlib's face recognition network was trained on.

    Args:
        image: uint8 RGB (height, width, 3) or gray (height, width); edge pixels repeat beyond its borders.
        landmarks: of the face, in pixels of the image.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size[, 3]).
    """
    target = (FIVE_POINTS + _PADDING) / (1 + 2 * _PADDING) * size + 0.5
    matrix = similarity(landmarks.points[list(FIVE_LANDMARKS)].astype(np.float64), target)
    return images.warp(image, inverted(matrix), size)

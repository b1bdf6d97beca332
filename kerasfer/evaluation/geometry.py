"""How well generated faces have the landmarks that were asked for."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasfer.detection import detect

__all__ = ["LandmarkReport", "landmark_report", "normalized_mean_error"]


@dataclasses.dataclass(frozen=True)
class LandmarkReport:
    """Landmarks found in faces beside those they should have.

    Attributes:
        error: mean over the faces of `normalized_mean_error`; NaN if no face was found.
        found: number of faces in which landmarks were found.
        n: number of faces.
    """

    error: float
    found: int
    n: int

    def __str__(self) -> str:
        return f"normalized mean error {self.error:.2%}, landmarks found in {self.found} of {self.n} faces"


def normalized_mean_error(found: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean distance of 68 points from where they should be, over that of the outer eye corners (points 36 and 45).

    Args:
        found: (n, 68, 2) in pixels.
        asked: the same shape; its eye corners count.

    Returns:
        float64 (n,).
    """
    found, asked = np.asarray(found, np.float64), np.asarray(asked, np.float64)
    distance = np.linalg.norm(found - asked, axis=2).mean(1)
    return distance / np.linalg.norm(asked[:, 45] - asked[:, 36], axis=1)


def landmark_report(faces: np.ndarray, asked: np.ndarray, detector: str = "mediapipe") -> LandmarkReport:
    """Looks for landmarks in faces, of each image those of the largest face.

    Args:
        faces: uint8 (n, h, w, c).
        asked: the landmarks they should have, (n, 68, 2) in pixels of the faces.
        detector: a key of `DETECTORS`.
    """
    errors = []
    for face, points in zip(faces, asked, strict=True):
        located = [one.landmarks for one in detect(face, detector, pose=False) if one.landmarks is not None]
        if located:
            errors.append(float(normalized_mean_error(located[0].points[None], points[None])[0]))
    return LandmarkReport(float(np.mean(errors)) if errors else float("nan"), len(errors), len(faces))

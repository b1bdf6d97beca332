"""How well generated faces have the landmarks, the person and the detail that were asked for."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from kerasfer.detection import detect

__all__ = ["LandmarkReport", "landmark_report", "linear_fit", "normalized_mean_error", "rank_one", "sharpness"]


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


def rank_one(features: np.ndarray, gallery: np.ndarray) -> float:
    """Share of faces whose nearest face of a gallery, by the L2 distance, is the one of the same row.

    Args:
        features: float (n, d), of generated faces.
        gallery: float (n, d), of the faces that they were made of, each of another person.
    """
    features, gallery = np.asarray(features, np.float64), np.asarray(gallery, np.float64)
    squared = (gallery**2).sum(1) - 2 * features @ gallery.T
    return float((squared.argmin(1) == np.arange(len(features))).mean())


def sharpness(faces: np.ndarray) -> float:
    """Mean over faces of the variance of the Laplacian, pixels in [0, 1] (Pech-Pacheco et al. 2000).

    Args:
        faces: uint8 (n, h, w, c); of several channels their mean.
    """
    gray = np.asarray(faces, np.float64).mean(-1) / 255
    return float(np.mean([cv2.Laplacian(face, cv2.CV_64F).var() for face in gray]))


def linear_fit(features: np.ndarray, values: np.ndarray, train_rows: np.ndarray, test_rows: np.ndarray) -> float:
    """R2, on the test rows, of a ridge regression of values on standardized features: 0 where nothing is told.

    Args:
        features: float (n, d).
        values: float (n,), such as yaws.
        train_rows, test_rows: row numbers or masks.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    model.fit(features[train_rows], values[train_rows])
    return float(model.score(features[test_rows], values[test_rows]))

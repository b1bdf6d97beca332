"""Alignment: brings every face to the place, size and angle that the recognizers were trained on."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasfer import images
from kerasfer.faces import Box, DetectedFace, Landmarks

__all__ = ["FERPLUS_TEMPLATE", "Template", "align", "alignment_matrix", "inverted", "parts", "similarity", "transform"]


@dataclasses.dataclass(frozen=True)
class Template:
    """Where an aligned face has its parts, in a square of side 1: x to the right, y down.

    Attributes:
        right_eye, left_eye: centers of the person's eyes.
        nose: tip of the nose (landmark 30).
        mouth: middle between the corners of the mouth.
        box_ratio: side of the square in longer sides of a detector's box, where there are no landmarks.
        box_shift: how far the square's center lies below the box's, in longer sides of the box.
    """

    right_eye: tuple[float, float]
    left_eye: tuple[float, float]
    nose: tuple[float, float]
    mouth: tuple[float, float]
    box_ratio: float
    box_shift: float

    @property
    def points(self) -> np.ndarray:
        """Right eye, left eye, nose, mouth: float64 (4, 2)."""
        return np.array([self.right_eye, self.left_eye, self.nose, self.mouth])


FERPLUS_TEMPLATE = Template(
    right_eye=(0.314, 0.389),
    left_eye=(0.686, 0.389),
    nose=(0.5, 0.592),
    mouth=(0.5, 0.766),
    box_ratio=1.155,
    box_shift=-0.096,
)
"""Mean geometry of the FERPlus training faces, made symmetric; measured with `python scripts/measure_faces.py`."""


def parts(landmarks: Landmarks) -> np.ndarray:
    """The points that stand at a template's, float64 (4, 2)."""
    points = landmarks.points.astype(np.float64)
    return np.stack([*landmarks.eye_centers.astype(np.float64), points[30], points[[48, 54]].mean(0)])


_PLANE = np.array([1.0, 1.0j])
"""Makes complex numbers of points."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity transform (no reflection) that takes points nearest to others in the least-squares sense.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991, in the plane,
    where it is a complex factor and a shift.

    Args:
        source, target: (n, 2), n >= 2, the source not all one point.

    Returns:
        float64 (2, 3), takes (x, y, 1) of the source to the target.
    """
    from_points, to_points = (np.asarray(points, np.float64) @ _PLANE for points in (source, target))
    from_middle, to_middle = (points.sum() / len(points) for points in (from_points, to_points))
    spread = from_points - from_middle
    size = np.vdot(spread, spread).real
    if size == 0:
        raise ValueError("cannot align landmarks that are all one point")
    factor = np.vdot(spread, to_points - to_middle) / size
    shift = to_middle - factor * from_middle
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def inverted(matrix: np.ndarray) -> np.ndarray:
    """The transform the other way round.

    In closed form: for so few numbers a linear algebra library takes longer to start than to compute.

    Args:
        matrix: float64 (2, 3), an affine transform as `similarity` gives it.

    Returns:
        float64 (2, 3).
    """
    (a, b, x), (c, d, y) = matrix.tolist()
    area = a * d - b * c
    if area == 0:
        raise ValueError("a transform onto a line or a point has no inverse")
    return np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]]) / area


def alignment_matrix(
    face: DetectedFace | Landmarks | Box, size: int, template: Template = FERPLUS_TEMPLATE, zoom: float = 1.0
) -> np.ndarray:
    """The transform from pixels of the image to pixels of the aligned face.

    With landmarks: the similarity transform that brings eyes, nose and mouth nearest to the template's. (The nose keeps
    the size of a turned head right, whose eyes move together.) Without landmarks: the same with the points of the
    detector. With a box alone: its square, without rotation.

    Args:
        face: a detected face, or landmarks or a box alone.
        size: side of the aligned face in pixels.
        template: where the parts of the face go.
        zoom: 2 shows the face twice as large about the middle of the picture, 0.5 half as large.

    Returns:
        float64 (2, 3), takes (x, y, 1) in the image to (x, y) in the aligned face.
    """
    if isinstance(face, DetectedFace):
        box, points = face.box, face.points if face.landmarks is None else parts(face.landmarks)
    elif isinstance(face, Landmarks):
        box, points = Box(0, 0, 0, 0), parts(face)
    else:
        box, points = face, None
    if points is not None:
        return similarity(points, ((template.points - 0.5) * zoom + 0.5) * size)
    if not box.width > 0 or not box.height > 0:
        raise ValueError(f"cannot align to the empty box {box}")
    longer = max(box.width, box.height)
    scale = size * zoom / (longer * template.box_ratio)
    center = np.array(box.center) + [0.0, template.box_shift * longer]
    return np.column_stack([np.eye(2) * scale, size / 2 - scale * center])


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Applies a (2, 3) transform to points (..., 2)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def align(
    image: np.ndarray,
    face: DetectedFace | Landmarks | Box,
    size: int,
    template: Template = FERPLUS_TEMPLATE,
    zoom: float = 1.0,
) -> np.ndarray:
    """Cuts a face out so that its parts lie where the template has them.

    Args:
        image: uint8 RGB (height, width, 3) or gray (height, width); edge pixels repeat beyond its borders.
        face: a detected face in the image, or landmarks or a box alone; see `alignment_matrix`.
        size: side of the result in pixels.
        template: where the parts of the face go.
        zoom: 2 shows the face twice as large about the middle of the picture, 0.5 half as large.

    Returns:
        uint8 (size, size[, 3]).
    """
    matrix = alignment_matrix(face, size, template, zoom)
    return images.warp(image, inverted(matrix), size)

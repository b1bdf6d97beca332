"""MediaPipe's face landmarker: 478 points of a face, the irises among them, and 52 blendshape scores.

Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020, and MediaPipe's model card
"Blendshape V2". Pictures are looked at as MediaPipe's FaceLandmarker looks at single images, so that the answers are
its own: where its detector sees the face in the whole picture, the region is that detector's; of a face that only a
closer look shows, the region is the closer look's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from kerasfer import images, units
from kerasfer.detection import blazeface, mesh
from kerasfer.detection.detectors import Detector, detect
from kerasfer.detection.graphs import Graph
from kerasfer.faces import BLENDSHAPES, Box, DetectedFace

__all__ = [
    "blendshapes",
    "blendshapes_of_crop",
    "fit",
    "fit_where",
    "moved",
    "named",
    "points_of_crop",
    "refit",
    "scores_of",
    "with_movements",
]

SEEN = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78),
    *(80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152),
    *(153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246),
    *(249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312),
    *(314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381),
    *(382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472),
    *(473, 474, 475, 476, 477),
)
"""The 146 of the 478 points that the network of the blendshapes sees, in its order."""

PRESENT = 0.5
"""Least probability, by the network's own judgment, that a region holds a face."""

REGION = 1.5
"""Side of the square that the network looks at, in longer sides of the detector's box."""

SAME_FACE = 0.5
"""Least overlap of two detectors' boxes of one face."""

_SIZE = 256
_POINTS, _MESH = 478, 468
"""Points, and those of the mesh without the irises."""


def blendshapes(
    image: np.ndarray, faces: Sequence[DetectedFace] | None = None, detector: str | Detector = "mediapipe"
) -> list[dict[str, float] | None]:
    """How strongly each of 52 movements shows in each face: a smile on the left, a raised inner brow, an open jaw.

    Args:
        image: uint8 RGB (height, width, 3); gray and RGBA arrays as `images.read` takes them.
        faces: as `detect` finds them in this image; None: it finds them first.
        detector: of `detect`, where `faces` is None.

    Returns:
        For each face, in order, the name of each of `kerasfer.faces.BLENDSHAPES` -> score in [0, 1]; None where the
        network sees no face.

    Raises:
        DetectionError: the detector is unknown, or what it needs is missing.
        ImageError: the array is not an image.
    """
    image = images.read(image)
    if faces is None:
        faces = detect(image, detector, pose=False)
    return [face.blendshapes for face in with_movements(image, faces)]


def with_movements(image: np.ndarray, faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """The same faces with their blendshapes and measures, which `kerasfer.units` reads; None where no face is seen.

    Args:
        image: uint8 RGB (height, width, 3).
        faces: as `detect` finds them in this image.
    """
    if not faces:
        return []
    seen = _glance(image)
    return [moved(face, fit(image, *_region(face, seen))) for face in faces]


def moved(face: DetectedFace, points: np.ndarray | None) -> DetectedFace:
    """The face with the blendshapes and the measures of its points, float (478, 3), or with neither."""
    if points is None:
        return dataclasses.replace(face, blendshapes=None, measures=None)
    measures = tuple(units.measured(points[None])[0].tolist())
    return dataclasses.replace(face, blendshapes=named(scores_of(points)), measures=measures)


def blendshapes_of_crop(image: np.ndarray, box: Box | None = None) -> dict[str, float] | None:
    """The same of a face that is cut out already, as tight as FER+ crops are; no face is looked for.

    The points are fitted where the face should be, then once more where the first fit shows it to be.

    Args:
        image: uint8 RGB (height, width, 3).
        box: the crop within the image; by default the largest square in its middle.

    Returns:
        Name of each of `kerasfer.faces.BLENDSHAPES` -> score in [0, 1]; None if no face is seen.
    """
    points = points_of_crop(image, box)
    return None if points is None else named(scores_of(points))


def points_of_crop(image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
    """The points of a face that is cut out already, as `blendshapes_of_crop` fits them: as `fit` gives them."""
    height, width = image.shape[:2]
    if box is None:
        side = min(height, width)
        box = Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    side = max(box.width, box.height)
    inner = Box(box.left + 0.1 * side, box.top + 0.12 * side, box.right - 0.1 * side, box.bottom - 0.05 * side)
    return refit(image, inner)


def fit(image: np.ndarray, box: Box, roll: float = 0.0, minimum_presence: float = PRESENT) -> np.ndarray | None:
    """Fits the points to a face.

    Args:
        image: uint8 RGB (height, width, 3).
        box: the face, as MediaPipe's detector has it: from the brows to the chin.
        roll: angle of the line between the eyes in radians, positive when it falls to the right.
        minimum_presence: least probability, by the network's own judgment, that it sees a face.

    Returns:
        float32 (478, 3): x and y in pixels of the image, z in pixels too, smaller toward the camera; None if there is
        no face. The first 468 stand where those of `kerasfer.detection.mesh` do, then come the irises: center and four
        points around it, first of the person's right eye, then of the left.
    """
    matrix = _placed(np.array(box.center), REGION * max(box.width, box.height), roll)
    return _fitted(_sampled(image, matrix, _SIZE), matrix, minimum_presence)


def refit(image: np.ndarray, box: Box, minimum_presence: float = 0.2) -> np.ndarray | None:
    """Fits the points to a face that is known to be about there, without a detector: small crops, tight crops.

    Args:
        image: uint8 RGB (height, width, 3).
        box: about where the face is, from the brows to the chin.
        minimum_presence: least probability, by the network's own judgment, that the second look shows a face. Small
            upright faces are often found less certain than those of photos.

    Returns:
        As `fit`, of a second look where the first one saw the face.
    """
    first = fit_where(image, (np.array(box.center), REGION * max(box.width, box.height), 0.0), minimum_presence=0.0)
    return None if first is None else fit_where(image, mesh.region(first[:_MESH]), minimum_presence)


def fit_where(
    image: np.ndarray, square: tuple[np.ndarray, float, float], minimum_presence: float = PRESENT
) -> np.ndarray | None:
    """Fits the points to a face of a video, where the mesh that follows it is.

    MediaPipe looks at videos so: the region is that of points which were found, not the detector's box, which jumps
    from frame to frame and the scores with it.

    Args:
        image: uint8 RGB (height, width, 3), a frame.
        square: as `kerasfer.detection.mesh.region` tells it of the mesh in this frame.
        minimum_presence: least probability, by the network's own judgment, that it sees a face.

    Returns:
        As `fit`.
    """
    matrix = _placed(*square)
    return _fitted(images.warp(image, matrix, _SIZE).astype(np.float32), matrix, minimum_presence)


def _placed(center: np.ndarray, side: float, roll: float) -> np.ndarray:
    """(2, 3), from pixels of the network's square to those of the image."""
    turn = side / _SIZE * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.column_stack([turn, center - turn @ np.full(2, _SIZE / 2)])


def _fitted(pixels: np.ndarray, matrix: np.ndarray, minimum_presence: float) -> np.ndarray | None:
    points, presence = _landmarks().outputs(pixels / np.float32(255))[:2]
    if 1.0 / (1.0 + np.exp(-np.clip(presence[0], -80, 80))) < minimum_presence:
        return None
    points = points.reshape(_POINTS, 3)
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.column_stack([flat, points[:, 2] * np.hypot(*matrix[:, 0])]).astype(np.float32)


def scores_of(points: np.ndarray) -> np.ndarray:
    """The scores, float32 (52,) in [0, 1] in the order of `kerasfer.faces.BLENDSHAPES`, of points (478, 2 or 3)."""
    (scores,) = _scorer().outputs(np.ascontiguousarray(points[list(SEEN), :2], np.float32))
    return np.clip(scores, 0.0, 1.0)


def named(scores: np.ndarray) -> dict[str, float]:
    """Name of each blendshape -> its score, of scores (52,)."""
    return dict(zip(BLENDSHAPES, scores.tolist(), strict=True))


def _glance(image: np.ndarray) -> list[tuple[Box, float]]:
    """What MediaPipe's detector sees in one look at the whole image: boxes in its pixels, and rolls."""
    height, width = image.shape[:2]
    scale = max(height, width) / blazeface.WINDOW
    corner = (np.array([width, height]) - max(height, width)) / 2
    pixels = _sampled(image, np.column_stack([np.eye(2) * scale, corner]), blazeface.WINDOW, black=True)
    return [
        (Box(*map(float, box * scale + np.tile(corner, 2))), roll)
        for box, _, roll, _ in blazeface.faces_in(pixels, PRESENT)
    ]


def _region(face: DetectedFace, seen: Sequence[tuple[Box, float]]) -> tuple[Box, float]:
    """Box and roll of a face as the glance saw it, or as it was found."""
    nearest = max(seen, key=lambda other: face.box.intersection_over_union(other[0]), default=None)
    if nearest is not None and face.box.intersection_over_union(nearest[0]) >= SAME_FACE:
        return nearest
    eyes = face.points[:2] if face.points is not None else None
    if face.landmarks is not None:
        eyes = face.landmarks.eye_centers
    if eyes is None:
        return face.box, 0.0
    return face.box, float(np.arctan2(*(eyes[1] - eyes[0])[::-1]))


def _sampled(image: np.ndarray, matrix: np.ndarray, size: int, black: bool = False) -> np.ndarray:
    """Samples an image along a transform as MediaPipe does: bilinear, without a reduction before, by pixels' corners.

    Args:
        image: uint8 (height, width, 3).
        matrix: (2, 3), takes (x, y, 1) in the result to (x, y) in the image, both counted in whole pixels.
        size: height and width of the result.
        black: whether what lies beyond the image is black; else its edge pixels repeat.

    Returns:
        float32 (size, size, 3), whole numbers in [0, 255].
    """
    height, width = image.shape[:2]
    row, column = np.mgrid[:size, :size].reshape(2, -1)
    x, y = matrix[:, :2] @ np.stack([column, row]) + matrix[:, 2:]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x_share, y_share = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]

    def at(across: np.ndarray, down: np.ndarray) -> np.ndarray:
        values = image[np.clip(down, 0, height - 1), np.clip(across, 0, width - 1)].astype(np.float32)
        if black:
            values[(across < 0) | (across >= width) | (down < 0) | (down >= height)] = 0
        return values

    upper = at(left, top) * (1 - x_share) + at(left + 1, top) * x_share
    lower = at(left, top + 1) * (1 - x_share) + at(left + 1, top + 1) * x_share
    return np.rint(upper * (1 - y_share) + lower * y_share).reshape(size, size, 3)


@functools.cache
def _landmarks() -> Graph:
    return Graph("face_landmarks_detector.tflite")


@functools.cache
def _scorer() -> Graph:
    return Graph("face_blendshapes.tflite")

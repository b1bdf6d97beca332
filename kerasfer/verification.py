"""Are two photos of the same person? Find the face in each, align it, compare what the identity network says."""

from __future__ import annotations

import dataclasses
import functools
import os

import numpy as np

from kerasfer import images
from kerasfer.detection import Detector, detect
from kerasfer.detection.identity import align_identity
from kerasfer.faces import Box

__all__ = ["Verification", "VerificationError", "verify"]


class VerificationError(ValueError):
    """A photo shows no face that can be compared, or the model compares none; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """Whether two faces are of one person.

    Attributes:
        same: whether the distance is below the threshold.
        distance: L2 distance of the faces' descriptors.
        threshold: what it was compared with.
        boxes: the faces compared, in pixels of the first and of the second photo.
    """

    same: bool
    distance: float
    threshold: float
    boxes: tuple[Box, Box]

    def __bool__(self) -> bool:
        return self.same


def verify(
    photo_a: str | os.PathLike[str] | np.ndarray,
    photo_b: str | os.PathLike[str] | np.ndarray,
    model: str | os.PathLike[str] = "dlib_resnet",
    threshold: float | None = None,
    detector: str | Detector = "mediapipe",
    minimum_score: float = 0.5,
) -> Verification:
    """Tells whether two photos show the same person; of several faces in a photo the largest is taken.

    Args:
        photo_a, photo_b: paths of images, or uint8 RGB arrays (height, width, 3).
        model: name or folder of an identity network.
        threshold: L2 distance below which the faces count as one person's; None takes the network's own. A smaller one
            mistakes fewer strangers for the same person and overlooks more who are.
        detector: a key of `kerasfer.detection.DETECTORS`.
        minimum_score: least confidence of the detector in a face, in [0, 1].

    Raises:
        VerificationError: a photo shows no face, or only one turned too far away; the model is no identity network; the
            threshold is not a positive number.
        ImageError: a photo cannot be read.
        DetectionError: the detector is unknown.
        ValueError: the model is unknown or its weights are damaged.
    """
    network = _network(os.fspath(model))
    threshold = network.threshold if threshold is None else float(threshold)
    if not 0 < threshold < np.inf:
        raise VerificationError(f"threshold is a positive distance, got {threshold}")
    found = [
        _face(photo, name, detector, minimum_score, network.image_spec.size)
        for photo, name in ((photo_a, "the first photo"), (photo_b, "the second photo"))
    ]
    first, second = network.embed(np.stack([face for face, _ in found]))
    distance = float(np.linalg.norm(first - second))
    return Verification(distance < threshold, distance, threshold, (found[0][1], found[1][1]))


@functools.lru_cache(maxsize=2)
def _network(model: str):
    from kerasfer import zoo

    network = zoo.load(model)
    if not hasattr(network, "embed"):
        raise VerificationError(f"{model}: recognizes expressions, not people; use dlib_resnet")
    return network


def _face(
    photo: str | os.PathLike[str] | np.ndarray, name: str, detector: str | Detector, minimum_score: float, size: int
) -> tuple[np.ndarray, Box]:
    """The largest face of a photo, aligned, and where it is."""
    name = os.fsdecode(photo) if isinstance(photo, (str, os.PathLike)) and not images.is_data_url(photo) else name
    image, reduced = images.read_reduced(photo)
    faces = detect(image, detector, pose=False, minimum_score=minimum_score)
    if not faces:
        raise VerificationError(f"{name}: no face found; use a photo that shows one, or lower minimum_score")
    face = faces[0]
    if face.landmarks is None:
        raise VerificationError(f"{name}: the face is turned too far away to be compared; use a photo from the front")
    return align_identity(image, face.landmarks, size), face.box.scaled(reduced)

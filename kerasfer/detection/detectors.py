"""Face detectors by name."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from kerasfer import images
from kerasfer.detection import blazeface, mesh
from kerasfer.detection.blazeface import Candidate
from kerasfer.detection.graphs import DetectionError
from kerasfer.detection.pose import head_pose
from kerasfer.faces import Box, DetectedFace
from kerasfer.forks import use_tensorflow

__all__ = ["DETECTORS", "Detector", "detect", "find_detector"]

Detector = Callable[[np.ndarray, float], list[Candidate]]
"""Takes a uint8 RGB image and the least score, returns candidates."""

_LONGEST_SIDE = 1280
"""MTCNN and the Haar cascade see larger images shrunk to this."""


def detect(
    image: np.ndarray,
    detector: str | Detector = "mediapipe",
    landmarks: bool = True,
    pose: bool = True,
    minimum_score: float = 0.5,
    executor: Executor | None = None,
) -> list[DetectedFace]:
    """Finds the faces in an image. Safe to call from several threads.

    Args:
        image: uint8 RGB (height, width, 3); gray and RGBA arrays as `images.read` takes them.
        detector: a key of `DETECTORS`, or a function like them.
        landmarks: whether to locate 68 landmarks, by MediaPipe's face mesh, whatever the detector. A face turned
            too far away for the mesh has none.
        pose: whether to compute yaw, pitch and roll, where landmarks are found.
        minimum_score: least confidence of a face in [0, 1].
        executor: where the mesh looks at several faces at a time; None: at one after the other.

    Returns:
        Faces, the largest first; [] if there are none.

    Raises:
        DetectionError: the detector is unknown or its package is missing.
        ImageError: the array is not an image.
    """
    find = find_detector(detector)
    image = images.read(image)
    look = functools.partial(_face, image, landmarks=landmarks, pose=pose)
    candidates = find(image, minimum_score)
    apply = map if executor is None or len(candidates) < 2 else executor.map
    faces = [face for face in apply(look, candidates) if face is not None]
    return sorted(faces, key=lambda face: -face.box.area)


def _face(image: np.ndarray, candidate: Candidate, landmarks: bool, pose: bool) -> DetectedFace | None:
    """What is asked for of a face, or None if the mesh sees that it is none."""
    points = None
    if landmarks or pose or not candidate.trusted:
        presence = mesh.PRESENT if candidate.trusted else mesh.CONFIRMED
        points = mesh.fit(image, candidate.box, candidate.roll, presence)
    if points is None and not candidate.trusted:
        return None
    located = None if points is None else mesh.landmarks_of(points)
    return DetectedFace(
        box=candidate.box,
        score=candidate.score,
        landmarks=located if landmarks else None,
        pose=head_pose(located) if pose and located is not None else None,
        points=None if landmarks else candidate.points,
    )


def find_detector(detector: str | Detector) -> Detector:
    """A detector by its name, or the function itself.

    Raises:
        DetectionError: there is no such detector, or what it needs is not installed; the message says what to install.
    """
    if callable(detector):
        return detector
    if detector not in DETECTORS:
        raise DetectionError(f"unknown detector {detector!r}; known are: {', '.join(DETECTORS)}")
    if detector in _NEEDED:
        _NEEDED[detector]()
    return DETECTORS[detector]


def _mtcnn(image: np.ndarray, minimum_score: float) -> list[Candidate]:
    """Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016."""
    use_tensorflow()
    network, lock = _mtcnn_network()
    smaller, scale = _shrunk(image)
    with lock:
        found = network.detect_faces(smaller)
    candidates = []
    for face in found:
        if face["confidence"] < minimum_score:
            continue
        left, top, width, height = (value / scale for value in face["box"])
        right_eye, left_eye = (np.array(face["keypoints"][name], float) for name in ("left_eye", "right_eye"))
        roll = float(np.arctan2(*(left_eye - right_eye)[::-1]))
        candidates.append(Candidate(Box(left, top, left + width, top + height), float(face["confidence"]), roll))
    return blazeface.merge(candidates)


@functools.cache
def _mtcnn_network():
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise DetectionError(
            f"the detector 'mtcnn' needs a package that is missing ({error}): pip install 'kerasfer[mtcnn]'"
        ) from error
    return MTCNN(), threading.Lock()


def _mediapipe_solutions(image: np.ndarray, minimum_score: float) -> list[Candidate]:
    """The package mediapipe's own face detection: one look at the whole image, as its users know it."""
    solution, lock = _mediapipe_solution(minimum_score)
    with lock:
        detections = solution.process(image).detections or []
    height, width = image.shape[:2]
    candidates = []
    for face in detections:
        place = face.location_data
        box = place.relative_bounding_box
        left, top = box.xmin * width, box.ymin * height
        right_eye, left_eye = (np.array([at.x * width, at.y * height]) for at in place.relative_keypoints[:2])
        roll = float(np.arctan2(*(left_eye - right_eye)[::-1]))
        sides = (left, top, left + box.width * width, top + box.height * height)
        candidates.append(Candidate(Box(*map(float, sides)), float(face.score[0]), roll))
    return blazeface.merge(candidates)


@functools.cache
def _mediapipe_solution(minimum_score: float):
    solutions = _mediapipe_package()
    return solutions.FaceDetection(min_detection_confidence=minimum_score, model_selection=0), threading.Lock()


@functools.cache
def _mediapipe_package():
    try:
        from mediapipe.python.solutions import face_detection
    except ImportError as error:
        raise DetectionError(
            f"the detector 'mediapipe_solutions' needs mediapipe 0.10.21, the last with its networks ({error}): "
            "pip install 'kerasfer[mediapipe]' in an environment with Python 3.10 to 3.12 and NumPy 1.26; "
            "'mediapipe' runs the same network without that package"
        ) from error
    return face_detection


def _haar(image: np.ndarray, minimum_score: float) -> list[Candidate]:
    """Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", 2001, as OpenCV has it."""
    cascade, lock = _haar_cascade()
    smaller, scale = _shrunk(image)
    with lock:
        boxes, _, weights = cascade.detectMultiScale3(
            images.to_gray(smaller), scaleFactor=1.1, minNeighbors=5, minSize=(20, 20), outputRejectLevels=True
        )
    candidates = []
    for (left, top, width, height), weight in zip(boxes, np.ravel(weights), strict=True):
        score = 1.0 / (1.0 + float(np.exp(-weight)))
        if score >= minimum_score:
            sides = np.array([left, top, left + width, top + height]) / scale
            candidates.append(Candidate(Box(*map(float, sides)), score))
    return blazeface.merge(candidates)


@functools.cache
def _haar_cascade():
    import cv2
    import cv2.data

    path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        raise DetectionError(
            f"the detector 'haar' is not in OpenCV {cv2.__version__}, which came without its cascades: "
            "pip install 'kerasfer[haar]', or choose the detector 'mediapipe'"
        )
    return cv2.CascadeClassifier(str(path)), threading.Lock()


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    scale = min(1.0, _LONGEST_SIDE / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return images.resize(image, (height, width)), scale


DETECTORS: dict[str, Detector] = {
    "mediapipe": blazeface.find,
    "quick": blazeface.find_quickly,
    "mediapipe_solutions": _mediapipe_solutions,
    "mtcnn": _mtcnn,
    "haar": _haar,
}
"""Name -> detector: MediaPipe's short-range BlazeFace, looking closely or no more than it must, which need nothing
else; the same as the package mediapipe runs it, MTCNN, and OpenCV's Haar cascade, where these are installed."""

_NEEDED: dict[str, Callable[[], object]] = {
    "mediapipe_solutions": _mediapipe_package,
    "mtcnn": _mtcnn_network,
    "haar": _haar_cascade,
}
"""Detector -> what fetches its package, or says that it is missing."""

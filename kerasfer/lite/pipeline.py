"""From a photo to expressions, on a device."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerasfer import units
from kerasfer.faces import DetectedFace, Prediction
from kerasfer.forks import renew_in_child
from kerasfer.lite.metadata import LiteError
from kerasfer.lite.networks import Recognizer
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = ["RECOGNIZERS", "Pipeline", "recognizer_file"]

RECOGNIZERS = ("model_int8.tflite", "model_dynamic.tflite", "model_float16.tflite", "model.tflite")
"""Names of a recognizer's files, the one taken first if a folder holds several."""


class Pipeline:
    """Finds the faces in photos and recognizes their expressions.

    MediaPipe's detector and face mesh come with kerasfer and are run by LiteRT.
    (A bundle of `apps/export.py --bundle` brings its own.) The answers are those of `kerasfer.recognize` with the same
    file and detector. Safe to call from several threads, and in processes made by os.fork().

    Args:
        model: name of a bundled model; a .tflite file written by `kerasfer.export`; or a folder with one: of several
            the first in the order of `RECOGNIZERS`.
        threads: number of faces in a photo that are looked at side by side.
        detector: a key of `kerasfer.detection.DETECTORS`: "quick" looks no more than it must; "mediapipe", the default
            of `kerasfer.recognize`, looks again for small faces beside large ones and takes several times as long.
        landmarks: whether to locate 68 landmarks, which give the head's pose and align the face. Without, the face is
            aligned by the eyes, nose and mouth that the detector sees, and one network less is run.
        minimum_score: least confidence of the detector in a face, in [0, 1].
        prior: as for `Recognizer`.
        action_units: whether to tell FACS action units as well, by movements and expressions (`kerasfer.units`): two
            networks more are run.

    Attributes:
        file: the recognizer's file.
        labels: names of the expressions, in the order of the probabilities.
        image_spec: size, channels and pixel range of the aligned faces.

    Raises:
        LiteError: no such model, or the file is damaged or no recognizer of kerasfer's, or LiteRT is not installed.
        DetectionError: the detector is unknown.
        PriorError: the prior is not known or not of the model's expressions.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        threads: int = 1,
        detector: str = "quick",
        landmarks: bool = True,
        minimum_score: float = 0.5,
        prior: Prior | None = None,
        action_units: bool = False,
    ) -> None:
        from kerasfer.detection.detectors import find_detector

        if threads < 1:
            raise LiteError(f"threads must be at least 1, got {threads}")
        self.file = recognizer_file(model)
        self._opened = threading.local()
        recognizer = self._opened.recognizer = Recognizer(self.file)
        self.labels, self.image_spec = recognizer.labels, recognizer.image_spec
        self._training_prior = recognizer.training_prior
        self._weights = self.weights_of(prior)
        self._action_units = action_units
        self._detector = find_detector(detector)
        self._landmarks = landmarks
        self._minimum_score = minimum_score
        self._threads = threads
        self._renew()
        renew_in_child(self)

    def _renew(self) -> None:
        self._executor = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def recognize(self, photo: str | os.PathLike[str] | np.ndarray) -> list[Prediction]:
        """The expression of every face in a photo.

        Args:
            photo: as for `kerasfer.images.read`: a path, the content of an image file, a Pillow image; or uint8 RGB
                (height, width, 3), gray (height, width) or RGBA.

        Returns:
            One `Prediction` for each face, the largest first; [] if there is none. Landmarks and pose are None where
            they were not asked for, and of a face turned too far away for the mesh.

        Raises:
            ImageError: the photo cannot be read.
            DetectionError: a network of MediaPipe's is missing.
        """
        from kerasfer import images

        image, reduced = images.read_reduced(photo)
        return [face.scaled(reduced) for face in self.classify(image, self.detect(image))]

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        """The faces in an image, uint8 RGB (height, width, 3), the largest first."""
        from kerasfer.detection.detectors import detect

        return detect(image, self._detector, self._landmarks, self._landmarks, self._minimum_score, self._executor)

    def weights_of(self, prior: Prior | None) -> np.ndarray | None:
        """What this recognizer's probabilities are multiplied by under a prior, as `kerasfer.priors.prior_weights`.

        Raises:
            PriorError: the prior is not known or not of the model's expressions.
        """
        return prior_weights(prior, self.labels, self._training_prior)

    def classify(
        self,
        image: np.ndarray,
        faces: Sequence[DetectedFace],
        weights: np.ndarray | None = None,
        action_units: bool | None = None,
    ) -> list[Prediction]:
        """The predictions for faces found in an image.

        Args:
            image: uint8 RGB (height, width, 3).
            faces: as `detect` gives them.
            weights: of another prior, as `weights_of` gives them; None: of the pipeline's own.
            action_units: whether to tell them; None: as the pipeline does.

        Returns:
            One prediction for each face, in order.
        """
        from kerasfer.detection.alignment import align

        weights = self._weights if weights is None else weights
        telling = self._action_units if action_units is None else action_units
        if telling:
            from kerasfer.detection import landmarker

            faces = landmarker.with_movements(image, faces)

        def answer(face: DetectedFace) -> Prediction:
            if not hasattr(self._opened, "recognizer"):
                self._opened.recognizer = Recognizer(self.file)
            aligned = align(image, face, self.image_spec.size)
            probabilities = adjusted(self._opened.recognizer.recognize(aligned), weights)
            if not telling:
                return Prediction.of(face, self.labels, probabilities)
            told = units.of_face(face, probabilities, self.labels)
            plain = dataclasses.replace(face, blendshapes=None)
            return Prediction.of(plain, self.labels, probabilities, *told)

        apply = map if self._executor is None or len(faces) < 2 else self._executor.map
        return list(apply(answer, faces))


def recognizer_file(model: str | os.PathLike[str]) -> Path:
    """The recognizer's file that a bundled model's name, a folder or a path means.

    Raises:
        LiteError: there is none.
    """
    path = Path(model)
    if path.suffix != ".tflite" and not path.is_dir():
        from kerasfer.weights import bundled

        known = bundled()
        if str(model) not in known:
            raise LiteError(f"{model}: neither a .tflite file, nor a folder, nor one of: {', '.join(known) or 'none'}")
        path = known[str(model)]
    if not path.is_dir():
        return path
    for name in RECOGNIZERS:
        if (path / name).is_file():
            return path / name
    raise LiteError(f"{path}: holds none of {', '.join(RECOGNIZERS)}; write them with apps/export.py")

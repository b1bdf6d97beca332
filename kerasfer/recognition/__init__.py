"""From photos to expressions: find the faces, align them, ask a model, draw the answer."""

from __future__ import annotations

from kerasfer.recognition.classifier import FaceClassifier, RecognitionModel, classify, recognition_model
from kerasfer.recognition.drawing import COLORS, annotate
from kerasfer.recognition.inputs import RecognitionError, find_photos
from kerasfer.recognition.photos import recognize, recognize_each, recognize_faces
from kerasfer.recognition.shown import Faces, PhotoResult, PhotoResults

__all__ = [
    "COLORS",
    "FaceClassifier",
    "Faces",
    "PhotoResult",
    "PhotoResults",
    "RecognitionError",
    "RecognitionModel",
    "annotate",
    "classify",
    "find_photos",
    "recognize",
    "recognize_each",
    "recognize_faces",
    "recognition_model",
]

"""Faces in photos: detectors, 68 landmarks, blendshapes, head pose, alignment."""

from kerasfer.detection.alignment import FERPLUS_TEMPLATE, Template, align, alignment_matrix, transform
from kerasfer.detection.detectors import DETECTORS, Detector, detect, find_detector
from kerasfer.detection.graphs import DetectionError
from kerasfer.detection.landmarker import blendshapes, blendshapes_of_crop
from kerasfer.detection.pose import head_pose, head_poses
from kerasfer.detection.tables import (
    align_table,
    estimate_blendshapes,
    estimate_boxes,
    estimate_landmarks,
    estimate_measures,
    estimate_poses,
    landmarked,
)

__all__ = [
    "DETECTORS",
    "FERPLUS_TEMPLATE",
    "DetectionError",
    "Detector",
    "Template",
    "align",
    "align_table",
    "alignment_matrix",
    "blendshapes",
    "blendshapes_of_crop",
    "detect",
    "estimate_blendshapes",
    "estimate_boxes",
    "estimate_landmarks",
    "estimate_measures",
    "estimate_poses",
    "find_detector",
    "head_pose",
    "head_poses",
    "landmarked",
    "transform",
]

"""Faces in a model's format, with numpy alone."""

from __future__ import annotations

import numpy as np

from kerasfer.faces import ImageSpec
from kerasfer.lite.metadata import LiteError

__all__ = ["prepare", "resize"]

_LUMA = np.array([19595, 38470, 7471], np.uint32)
"""Weights of R, G and B in the luma of ITU-R BT.601, in 65536ths."""


def prepare(face: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's color and size, like `kerasfer.images.prepare_uint8` within one gray level.

    Args:
        face: uint8, gray (h, w) or (h, w, 1) or RGB (h, w, 3).
        spec: the model's image format.

    Returns:
        uint8 of `spec.shape`.

    Raises:
        LiteError: another type or shape.
    """
    if (
        face.dtype != np.uint8
        or 0 in face.shape
        or not (face.ndim == 2 or (face.ndim == 3 and face.shape[2] in (1, 3)))
    ):
        raise LiteError(f"a face is uint8 (h, w) or (h, w, 3), got {face.dtype} {face.shape}; scale it to 0..255")
    if face.ndim == 2:
        face = face[:, :, np.newaxis]
    if spec.channels == 1 and face.shape[2] == 3:
        face = ((face @ _LUMA + 0x8000) >> 16).astype(np.uint8)[:, :, np.newaxis]
    elif spec.channels == 3 and face.shape[2] == 1:
        face = np.repeat(face, 3, axis=2)
    return resize(face, spec.size)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Mean over the covered area along an axis that shrinks, linear along one that grows.

    Args:
        image: uint8 (h, w, c).
        size: new height and width.

    Returns:
        uint8 (size, size, c).
    """
    values = image.astype(np.float32)
    for axis in (0, 1):
        if image.shape[axis] != size:
            weights = _weights(image.shape[axis], size)
            values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _weights(length: int, size: int) -> np.ndarray:
    """How much each of `length` pixels counts in each of `size` new ones, float32 (size, length); rows add up to 1."""
    ratio = length / size
    new, old = np.arange(size)[:, np.newaxis], np.arange(length)[np.newaxis]
    if ratio > 1:
        overlap = np.minimum((new + 1) * ratio, old + 1) - np.maximum(new * ratio, old)
        return (np.clip(overlap, 0, None) / ratio).astype(np.float32)
    center = np.clip((new + 0.5) * ratio - 0.5, 0, length - 1)
    return np.clip(1 - np.abs(center - old), 0, None).astype(np.float32)

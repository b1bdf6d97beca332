"""Writes photos as PNG or JPEG."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from kerasfer.files import atomic_write
from kerasfer.images.decoding import ImageError

__all__ = ["encode", "write"]

_WRITE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """The content of a PNG or JPEG file of an image.

    Args:
        image: uint8, gray (height, width[, 1]) or RGB (height, width, 3).
        suffix: .png, .jpg or .jpeg.

    Raises:
        ImageError: another suffix.
    """
    if suffix.lower() not in _WRITE_FORMATS:
        raise ImageError(f"cannot write an image as {suffix!r}; use {', '.join(_WRITE_FORMATS)}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, _WRITE_FORMATS[suffix.lower()], quality=95)
    return buffer.getvalue()


def write(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a PNG or JPEG file, first beside its place and then renamed, so that no half-written file is ever seen.

    Args:
        path: where to, ending in .png, .jpg or .jpeg; missing folders are made.
        image: uint8, gray (height, width[, 1]) or RGB (height, width, 3).

    Raises:
        ImageError: another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITE_FORMATS:
        raise ImageError(f"{path}: cannot tell the image's format; let the name end in {', '.join(_WRITE_FORMATS)}")
    atomic_write(path, encode(image, path.suffix), ImageError)

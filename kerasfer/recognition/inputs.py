"""What counts as a photo, and which photos a path, a folder, a pattern or a list means."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from kerasfer import folders, images
from kerasfer.files import printable

__all__ = ["RecognitionError", "find_photos"]

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray
"""A photo as `images.read` takes it: a path, the content of an image file, a Pillow image, an array or a tensor."""

_log = logging.getLogger(__name__)


class RecognitionError(ValueError):
    """There is nothing to recognize, or the model's answer is unusable; the message says what to do."""


def find_photos(photos: Photo | Sequence[Photo]) -> list[Photo]:
    """The photos that a path, folder, pattern, array, batch or list of those means, in order.

    In a folder they are what `folders.walk` finds, videos after the photos. A path that does not exist stays in the
    list, so that whoever reads it reports it.

    Raises:
        RecognitionError: a folder or a pattern holds no photos, the list is empty, or so is the path.
    """
    given: Any = in_memory(photos)
    if is_batch(given):
        return list(images.floats_to_bytes(given))
    if isinstance(given, np.ndarray) or _is_content(given):
        return [given]
    return _listed(given)


def _listed(photos: Any) -> list[Photo]:
    """`find_photos` of paths and lists."""
    if not isinstance(photos, (str, os.PathLike)):
        if not isinstance(photos, Iterable):
            raise RecognitionError(f"photos are paths, images, arrays or lists of those, not {type(photos).__name__}")
        listed = [photo for entry in photos for photo in find_photos(entry)]
        if not listed:
            raise RecognitionError("the list of photos is empty")
        return listed
    if not os.fspath(photos):
        raise RecognitionError("the path of the photo is empty; name an image file, or '.' for the current folder")
    if os.path.isdir(photos):
        found = folders.walk(photos)
        if found.left_out:
            _log.warning("%s: %s", printable(photos), found.remark())
        if not found.photos and not found.videos:
            remark = f"; {found.remark()}" if found.left_out else ""
            raise RecognitionError(f"{photos}: holds no images ({', '.join(images.IMAGE_SUFFIXES)}){remark}")
        return [*found.photos, *found.videos]
    if _is_pattern(photos):
        matches = sorted(match for match in glob.glob(os.fspath(photos), recursive=True) if os.path.isfile(match))
        if not matches:
            raise RecognitionError(f"{photos}: no file matches this pattern")
        return list(matches)
    return [photos]


def in_memory(photos: Any) -> Any:
    """Tensors, and whatever else turns into an array, as arrays; anything else as it is."""
    if isinstance(photos, (str, os.PathLike, np.ndarray)) or _is_content(photos) or not hasattr(photos, "__array__"):
        return photos
    try:
        photos = np.asarray(photos)
    except Exception as error:
        raise RecognitionError(f"this {type(photos).__name__} has no values ({error}); give an array") from error
    return photos.item() if photos.ndim == 0 and isinstance(photos.item(), bytes) else photos


def _is_content(photo: Any) -> bool:
    """Whether this is one photo in memory or in an open file, and no array."""
    return (
        isinstance(photo, (bytes, bytearray, memoryview, Image.Image))
        or images.is_data_url(photo)
        or hasattr(photo, "read")
    )


def is_batch(photos: Any) -> bool:
    return isinstance(photos, np.ndarray) and photos.ndim == 4


def _is_pattern(photo: str | os.PathLike[str]) -> bool:
    return glob.has_magic(os.fspath(photo)) and not os.path.lexists(photo)


def are_many(photos: Photo | Sequence[Photo]) -> bool:
    if isinstance(photos, np.ndarray) or _is_content(photos):
        return False
    return not isinstance(photos, (str, os.PathLike)) or os.path.isdir(photos) or _is_pattern(photos)


def name_of(photo: Photo, number: int) -> str:
    """What a result calls a photo."""
    if isinstance(photo, np.ndarray):
        return f"array {number}"
    if isinstance(photo, (str, os.PathLike)) and not images.is_data_url(photo):
        return os.fsdecode(photo)
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return name if isinstance(name, str) and name else f"image {number}"

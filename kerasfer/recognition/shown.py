"""Results of `kerasfer.recognize` as lists that a notebook can show: the photo with its faces marked, or a table."""

from __future__ import annotations

import dataclasses
import io
import os
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from kerasfer import images, markup
from kerasfer.faces import Prediction
from kerasfer.recognition.drawing import annotate

__all__ = ["Faces", "PhotoResult", "PhotoResults", "marked_png"]

SIDE = 640
"""Pixels of the longer side of a photo in a notebook."""

ROWS = 20
"""Photos that a notebook's table shows; the others are counted."""


class Faces(list[Prediction]):
    """The predictions of one photo; a notebook shows the photo, if it is still there.

    A path is remembered, an image in memory only as long as somebody else has it: results keep no pictures alive, and
    go into files and other processes without them.
    """

    def __init__(self, predictions: Iterable[Prediction] = (), photo: Any = None) -> None:
        super().__init__(predictions)
        self._path = os.path.abspath(os.fsdecode(photo)) if isinstance(photo, (str, os.PathLike)) else ""
        self._image = weakref.ref(photo) if isinstance(photo, (np.ndarray, Image.Image)) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Faces, (list(self),)

    def _photo(self) -> Any:
        """The photo; None if it is not there any more."""
        if self._image is not None:
            return self._image()
        return self._path if os.path.isfile(self._path) else None

    @markup.optional
    def _repr_png_(self) -> bytes | None:
        photo = self._photo()
        return None if photo is None else marked_png(photo, self)

    @markup.optional
    def _repr_html_(self) -> str | None:
        return None if self._photo() is not None else _of_faces(self)


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoResult:
    """What was recognized in one of several photos.

    Attributes:
        path: the photo's path, or what it is and its number, such as "array 0".
        predictions: one for each face, the largest face first; [] if there is none or the photo is bad.
        error: why the photo could not be read, or None.
    """

    path: str
    predictions: list[Prediction]
    error: str | None = None

    @markup.optional
    def _repr_png_(self) -> bytes | None:
        return None if self.error or not os.path.isfile(self.path) else marked_png(self.path, self.predictions)

    @markup.optional
    def _repr_html_(self) -> str | None:
        if self._repr_png_() is not None:
            return None
        return markup.page(
            self.path, self.error or (_of_faces(self.predictions) if self.predictions else "no face found")
        )


class PhotoResults(list[PhotoResult]):
    """The results of many photos; a notebook shows a table of the first of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return PhotoResults, (list(self),)

    @markup.optional
    def _repr_html_(self) -> str:
        rows = [
            (result.path, len(result.predictions), result.error or ", ".join(map(_said, result.predictions[:5])))
            for result in self[:ROWS]
        ]
        bad = sum(result.error is not None for result in self)
        told = f"{len(self):,} photos, {sum(len(result.predictions) for result in self):,} faces"
        told += f", {bad:,} could not be read" if bad else ""
        more = f"and {len(self) - ROWS:,} more" if len(self) > ROWS else ""
        return markup.page(told, markup.table(("photo", "faces", "expressions"), rows), more)


def marked_png(photo: Any, predictions: Iterable[Prediction]) -> bytes:
    """A photo with its faces marked, small: a PNG of 256 colors.

    Args:
        photo: as for `kerasfer.recognize`, one.
        predictions: of the faces in it.

    Raises:
        ImageError: it cannot be read.
    """
    image, reduced = images.read_reduced(images.floats_to_bytes(photo) if isinstance(photo, np.ndarray) else photo)
    scale = min(1.0, SIDE / max(image.shape[:2]))
    if scale < 1:
        image = images.resize(image, tuple(max(1, round(side * scale)) for side in image.shape[:2]))
    marked = Image.fromarray(annotate(image, [face.scaled(scale / reduced) for face in predictions]))
    buffer = io.BytesIO()
    marked.quantize(256, Image.Quantize.FASTOCTREE).save(buffer, "PNG")
    return buffer.getvalue()


def _said(face: Prediction) -> str:
    return f"{face.expression} {face.confidence:.0%}"


def _of_faces(faces: Sequence[Prediction]) -> markup.Html:
    if not faces:
        return markup.escaped("no face found")
    rows = [(number, face.expression, f"{face.confidence:.1%}") for number, face in enumerate(faces, 1)]
    return markup.table(("face", "expression", "probability"), rows)

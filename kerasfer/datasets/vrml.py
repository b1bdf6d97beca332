"""Textured meshes in VRML 2.0 files, the format of BU-3DFE's models."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from kerasfer.datasets.base import DatasetError

__all__ = ["Mesh", "parse_vrml"]

_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|#[^\n]*')
_FACE_SET = re.compile(r"\bgeometry\s+(?:DEF\s+\S+\s+)?IndexedFaceSet\s*\{")
_TEXTURE = re.compile(r'\burl\s*\[?\s*"([^"]*)"')


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with a texture.

    Attributes:
        points: float32 (n, 3), x to the right, y up, z toward the viewer.
        triangles: int32 (t, 3), rows of `points`.
        corners: float32 (t, 3, 2), where each corner of each triangle lies in the texture: from 0 at the left to 1 at
            the right, and from 0 at the bottom to 1 at the top.
        texture: name of the texture's file, as the model gives it.
    """

    points: np.ndarray
    triangles: np.ndarray
    corners: np.ndarray
    texture: str


def parse_vrml(text: str, origin: str = "model") -> Mesh:
    """Reads a model that is one `IndexedFaceSet` with an `ImageTexture`; faces of many corners become triangles.

    Transforms around the shape are not applied.

    Args:
        text: the file's content.
        origin: what a message calls it.

    Raises:
        DatasetError: there is not exactly one such shape, or its lists do not fit together.
    """
    if not text.startswith("#VRML V2.0"):
        raise DatasetError(f"{origin}: not a VRML 2.0 file; its first line must begin with #VRML V2.0")
    text = _COMMENT.sub(lambda found: found[1] or "", text)
    shapes = list(_FACE_SET.finditer(text))
    if len(shapes) != 1:
        raise DatasetError(f"{origin}: holds {len(shapes)} IndexedFaceSets instead of one")
    shape = _braces(text, shapes[0].end(), origin)
    texture = _TEXTURE.search(text)
    if texture is None:
        raise DatasetError(f'{origin}: names no texture (ImageTexture {{ url "..." }})')
    points = _numbers(shape, r"\bcoord\s+[^{}]*Coordinate\s*\{\s*point", 3, origin, "points").astype(np.float32)
    places = _numbers(shape, r"\btexCoord\s+[^{}]*TextureCoordinate\s*\{\s*point", 2, origin, "places in the texture")
    faces = _numbers(shape, r"\bcoordIndex", 1, origin, "faces").ravel()
    has_own = re.search(r"\btexCoordIndex\s*\[\s*[-\d]", shape)
    in_texture = _numbers(shape, r"\btexCoordIndex", 1, origin, "faces in the texture").ravel() if has_own else faces
    if not np.array_equal(faces < 0, in_texture < 0):
        raise DatasetError(f"{origin}: coordIndex and texCoordIndex list different faces")
    corners = _fans(faces.astype(np.int64))
    if not len(corners):
        raise DatasetError(f"{origin}: has no face of three corners or more")
    triangles, texture_rows = faces[corners].astype(np.int32), in_texture[corners].astype(np.int32)
    if triangles.max() >= len(points) or texture_rows.max() >= len(places):
        raise DatasetError(f"{origin}: a face has a corner that is not in its list; get the file again")
    return Mesh(points, triangles, places.astype(np.float32)[texture_rows], texture[1])


def _braces(text: str, start: int, origin: str) -> str:
    """What stands between the brace that opens just before `start` and the one that closes it."""
    depth = 1
    for found in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return text[start : found.start()]
    raise DatasetError(f"{origin}: cut short (a brace is not closed); get the file again")


def _numbers(text: str, before: str, width: int, origin: str, what: str) -> np.ndarray:
    """The numbers in the brackets after a pattern, float64 (n, width)."""
    found = re.search(before + r"\s*\[([^\]]*)\]", text)
    try:
        numbers = np.array(found[1].replace(",", " ").split() if found else [], np.float64)
    except ValueError as error:
        raise DatasetError(f"{origin}: its {what} are not numbers ({error})") from error
    if not len(numbers) or len(numbers) % width or not np.isfinite(numbers).all():
        raise DatasetError(f"{origin}: has no {what}, or their list is cut short; get the file again")
    return numbers.reshape(-1, width)


def _fans(faces: np.ndarray) -> np.ndarray:
    """Cuts faces, corners with a negative number after each, into triangles: int64 (t, 3), places in `faces`."""
    ends = np.flatnonzero(np.append(faces, -1) < 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    fans = [
        np.stack([np.full(end - start - 2, start), np.arange(start + 1, end - 1), np.arange(start + 2, end)], 1)
        for start, end in zip(starts, ends)
        if end - start >= 3
    ]
    return np.concatenate(fans) if fans else np.empty((0, 3), np.int64)

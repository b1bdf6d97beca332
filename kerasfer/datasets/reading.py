"""What every reader does: note what is wrong, check images without decoding them, and read a row's face."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kerasfer import images
from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource, Rejected
from kerasfer.faces import Box, ImageSpec

__all__ = ["SPLITS", "Problems", "check_images", "check_split", "frame", "prepare_faces", "read_face"]

SPLITS = ("train", "valid", "test")
"""Names of the parts that owners divide their sets into."""

_SHOWN = 10
_CHUNK = 256
_PNG = b"\x89PNG\r\n\x1a\n"


def check_split(name: str, split: str | None, known: Sequence[str] = SPLITS) -> None:
    """Raises a `DatasetError` if a data set has no part of that name."""
    if split is not None and split not in known:
        parts = f"its splits are: {', '.join(known)}" if known else "it has no official split; read all of it"
        raise DatasetError(f"{name}: no split {split!r}; {parts}")


class Problems:
    """Files and rows that cannot be used, gathered over a whole data set.

    Args:
        name: the data set's name.
        strict: whether `close` raises.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self.name = name
        self.strict = strict
        self.entries: list[Rejected] = []

    def add(self, path: str, reason: str) -> None:
        """Notes a file, or a line of one, and what is wrong with it."""
        self.entries.append(Rejected(path, reason))

    def extend(self, entries: Iterable[Rejected]) -> None:
        """Notes several."""
        self.entries.extend(entries)

    def close(self) -> tuple[Rejected, ...]:
        """Returns what was noted.

        Raises:
            DatasetError: something was, and the reader is strict. The message lists the first ten and the count.
        """
        if self.entries and self.strict:
            shown = "; ".join(f"{entry.path}: {entry.reason}" for entry in self.entries[:_SHOWN])
            more = len(self.entries) - _SHOWN
            raise DatasetError(
                f"{self.name}: {len(self.entries)} missing or damaged files or unknown labels: {shown}"
                + (f"; and {more} more" if more > 0 else "")
                + "; put them right, or read with strict=False to leave them out"
            )
        return tuple(self.entries)


def _image_problem(content: bytes | np.ndarray, origin: str, verify: bool) -> str | None:
    """What is wrong with an image, or None.

    A PNG is checked by the checksum of each of its chunks, a JPEG by its first and last marker; anything else, and
    everything if `verify`, is decoded.
    """
    if isinstance(content, np.ndarray):
        return None
    if not verify:
        if content.startswith(_PNG):
            return _png_problem(content)
        if content.startswith(b"\xff\xd8\xff") and content.rfind(b"\xff\xd9", len(content) - 64) > 0:
            return None
    try:
        images.decode(content, origin)
    except images.ImageError as error:
        return str(error).removeprefix(f"{origin}: ")
    return None


def _png_problem(content: bytes) -> str | None:
    position = len(_PNG)
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4], "big")
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            return "damaged (a checksum does not match)" if end + 4 <= len(content) else "cut short"
        if content[position + 4 : position + 8] == b"IEND":
            return None
        position = end + 4
    return "cut short"


def check_images(
    source: ImageSource, paths: Sequence[str], problems: Problems, verify: bool = False, remedy: str = "missing"
) -> np.ndarray:
    """Checks that images are there and whole, and notes those that are not.

    Args:
        source: where they are read from.
        paths: the n images.
        problems: where the bad ones are noted.
        verify: decode every image instead of checking PNG checksums and JPEG markers.
        remedy: what is said of a file that is not there.

    Returns:
        bool (n,): which images can be used.
    """

    def problem(path: str) -> Rejected | None:
        if not source.exists(path):
            return Rejected(source.describe(path), remedy)
        try:
            found = _image_problem(source.read(path), path, verify)
        except DatasetError as error:
            found = str(error).removeprefix(f"{source.describe(path)}: ")
        return None if found is None else Rejected(source.describe(path), found)

    if verify:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(problem, paths, chunksize=64))
    else:
        found = [problem(path) for path in paths]
    problems.extend(entry for entry in found if entry is not None)
    return np.array([entry is None for entry in found], bool)


def _decoded(table: FaceTable, row: int) -> np.ndarray:
    content = table.read(row)
    if isinstance(content, np.ndarray):
        return content
    return images.decode(content, table.source.describe(str(table["path"][row])))


def frame(table: FaceTable, row: int, image: np.ndarray) -> Box:
    """The part of an image that is the face: the row's `box`, or the whole image where there is none."""
    if "box" in table and np.isfinite(table["box"][row]).all():
        return Box(*(float(value) for value in table["box"][row]))
    return Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


def read_face(table: FaceTable, row: int) -> np.ndarray:
    """Reads, decodes and crops (to its `box`, if any) one row's face.

    Returns:
        uint8 (height, width) or (height, width, channels).

    Raises:
        DatasetError, kerasfer.images.ImageError: the file is missing or does not decode; the message names it.
    """
    image = _decoded(table, row)
    if "box" in table and np.isfinite(table["box"][row]).all():
        return images.crop(image, frame(table, row, image))
    return image


def prepare_faces(
    table: FaceTable,
    spec: ImageSpec,
    rows: Sequence[int] | np.ndarray | None = None,
    out: np.ndarray | None = None,
    frames: np.ndarray | None = None,
) -> np.ndarray:
    """Decodes rows in parallel and brings them to a model's colour and size.

    Args:
        table: the data set.
        spec: the image format; the pixel range plays no part.
        rows: row numbers; all by default.
        out: uint8 (n, size, size, channels) to write to, for example memory-mapped.
        frames: float32 (n, 4) to write the part of each image that was taken to: left, top, right, bottom.

    Returns:
        uint8 (n, size, size, channels): `out`, or a new array.

    Raises:
        DatasetError: images that are missing or do not decode; the message lists the first ten and the count.
    """
    rows = np.arange(len(table)) if rows is None else np.asarray(rows)
    if out is None:
        out = np.empty((len(rows), *spec.shape), np.uint8)

    def prepare(position: int) -> Rejected | None:
        row = int(rows[position])
        try:
            image = _decoded(table, row)
            box = frame(table, row, image)
            if frames is not None:
                frames[position] = box.left, box.top, box.right, box.bottom
            if "box" in table:
                image = images.crop(image, box)
            out[position] = images.prepare_uint8(image, spec)
        except ValueError as error:
            origin = table.source.describe(str(table["path"][row]))
            return Rejected(origin, str(error).removeprefix(f"{origin}: "))
        return None

    def prepare_chunk(start: int) -> list[Rejected]:
        found = (prepare(position) for position in range(start, min(start + _CHUNK, len(rows))))
        return [entry for entry in found if entry is not None]

    problems = Problems(table.name, strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(prepare_chunk, range(0, len(rows), _CHUNK)):
            problems.extend(found)
    problems.close()
    return out

"""What every reader does: note what is wrong, check images without decoding them, and read a row's face."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from kerasfer import images
from kerasfer.datasets.base import DatasetError, FaceTable, FolderSource, ImageSource, Rejected
from kerasfer.datasets.sources import OUTSIDE, leads_out
from kerasfer.expressions import ACTION_UNITS, UNKNOWN, Expression, LabelSpace, parse_expression
from kerasfer.faces import BLENDSHAPES, Box, ImageSpec

__all__ = [
    "SPLITS",
    "Problems",
    "action_unit_vector",
    "check_choice",
    "check_images",
    "check_split",
    "expression_of_path",
    "frame",
    "image_size",
    "prepare_faces",
    "read_face",
    "table_of_rows",
    "words",
]

SPLITS = ("train", "valid", "test")
"""Names of the parts that owners divide their sets into."""

_SHOWN = 10
_CHUNK = 256
_LONGEST = 500
_JPEG_TAIL = 64
_PNG = b"\x89PNG\r\n\x1a\n"


def check_split(name: str, split: str | None, known: Sequence[str] = SPLITS) -> None:
    """Raises a `DatasetError` if a data set has no part of that name."""
    if split is not None and split not in known:
        parts = f"its splits are: {', '.join(known)}" if known else "it has no official split; read all of it"
        raise DatasetError(f"{name}: no split {split!r}; {parts}")


def check_choice(name: str, option: str, value: Any, known: Iterable[Any]) -> None:
    """Raises a `DatasetError` if an option's value is none of those it can have."""
    known = list(known)
    if value not in known:
        raise DatasetError(f"{name}: {option} must be one of {', '.join(map(str, known))}, not {value!r}")


def words(text: str) -> list[str]:
    """The parts of a name between its punctuation, in lower case: "f01_dfh-AN.jpg" -> f01, dfh, an, jpg."""
    return re.findall(r"[a-z0-9]+", text.lower())


def expression_of_path(path: str, codes: Mapping[str, Expression]) -> Expression:
    """The expression that a file's name, or else the nearest folder that names one, tells.

    Args:
        path: with forward slashes.
        codes: the data set's own abbreviations, in lower case; full names ("happiness", "happy") need none.

    Raises:
        ValueError: no part of the path tells an expression, or one part tells two.
    """
    for part in (PurePosixPath(path).stem, *reversed(PurePosixPath(path).parent.parts)):
        found = set()
        for word in words(part):
            try:
                found.add(codes[word] if word in codes else parse_expression(word))
            except ValueError:
                continue
        if len(found) > 1:
            raise ValueError(f"{part!r} tells several expressions: {', '.join(sorted(code.label for code in found))}")
        if found:
            return found.pop()
    raise ValueError("neither its name nor a folder tells an expression")


def action_unit_vector(intensities: Mapping[int, float]) -> np.ndarray:
    """A row of the column `aus`.

    Args:
        intensities: action unit -> intensity in [0, 1]; units that are not in `ACTION_UNITS` are dropped.

    Returns:
        float32 (14,); 0 for the units that are not given.
    """
    return np.array([intensities.get(unit, 0.0) for unit in ACTION_UNITS], np.float32)


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

    def add_error(self, path: str, error: Exception) -> None:
        """Notes a file and the error that it caused, without the file's name if the message begins with it."""
        self.add(path, str(error).removeprefix(f"{path}: "))

    def extend(self, entries: Iterable[Rejected]) -> None:
        """Notes several."""
        self.entries.extend(entries)

    def close(self) -> tuple[Rejected, ...]:
        """Returns what was noted.

        Raises:
            DatasetError: something was, and the reader is strict. The message lists the first ten and the count.
        """
        if self.entries and self.strict:
            shown = "; ".join(f"{entry.path}: {_shortened(entry.reason)}" for entry in self.entries[:_SHOWN])
            more = len(self.entries) - _SHOWN
            raise DatasetError(
                f"{self.name}: {len(self.entries)} missing or damaged files or unknown labels: {shown}"
                + (f"; and {more} more" if more > 0 else "")
                + "; put them right, or read with strict=False to leave them out"
            )
        return tuple(self.entries)


def _shortened(reason: str) -> str:
    """A reason of which only so much is shown as one reads: it may quote a cell of any length."""
    text = " ".join(reason.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


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
        if _is_whole_jpeg(content[:3], content[-_JPEG_TAIL:]):
            return None
    try:
        images.decode(content, origin)
    except images.ImageError as error:
        return str(error).removeprefix(f"{origin}: ")
    return None


def _is_whole_jpeg(head: bytes, tail: bytes) -> bool:
    """Whether a file that begins and ends so has a JPEG's first marker and, near its end, its last one."""
    return head == b"\xff\xd8\xff" and b"\xff\xd9" in tail


def _is_jpeg_in_folder(source: ImageSource, path: str) -> bool:
    """Whether this is a file of a folder that is a whole JPEG; the rest of it is not read."""
    if not isinstance(source, FolderSource) or not path.lower().endswith((".jpg", ".jpeg")):
        return False
    try:
        with open(os.path.join(source.root, path), "rb", buffering=0) as file:
            head = file.read(3)
            file.seek(max(file.seek(0, os.SEEK_END) - _JPEG_TAIL, 0))
            return _is_whole_jpeg(head, file.read())
    except OSError:
        return False


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
        if leads_out(path):
            return Rejected(source.describe(path), OUTSIDE)
        if not verify and _is_jpeg_in_folder(source, path):
            return None
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


def image_size(source: ImageSource, path: str) -> tuple[int, int] | None:
    """Width and height of an image by its first bytes, without decoding it; None where they do not tell."""
    try:
        content: Any = source.read(path)
        with Image.open(io.BytesIO(content)) as opened:
            return opened.size
    except Exception:
        # Pillow's plug-ins meet damage with errors of many types; whoever decodes the image reports it.
        return None


_EMPTY: dict[str, Any] = {
    "expression": UNKNOWN,
    "box": np.full(4, np.nan, np.float32),
    "pose": np.full(3, np.nan, np.float32),
    "landmarks": np.full((68, 2), np.nan, np.float32),
    "blendshapes": np.full(len(BLENDSHAPES), np.nan, np.float32),
    "aus": np.full(len(ACTION_UNITS), np.nan, np.float32),
    "fold": -1,
    "frame": -1,
}
"""What stands in a column where a row does not know better; an empty string in the others."""


def table_of_rows(
    name: str,
    source: ImageSource,
    rows: Sequence[Mapping[str, Any]],
    space: LabelSpace,
    problems: Problems,
    verify: bool = False,
    usable: np.ndarray | None = None,
) -> FaceTable:
    """Checks the images of rows, drops the bad ones and makes a table of the others.

    Args:
        name: the data set's name.
        source: where the images are read from.
        rows: for each image its `path` and values of other columns. A row that has no value of a column which others
            have is unknown there.
        space: the expressions that the set distinguishes.
        problems: what was found wrong so far; it is closed.
        verify: decode every image.
        usable: bool (n,), which images can be used, if that is known already; None checks them.

    Raises:
        DatasetError: nothing is left, or, if strict, something is wrong.
    """
    if usable is None:
        usable = check_images(source, [row["path"] for row in rows], problems, verify)
    rejected = problems.close()
    kept = [row for row, good in zip(rows, usable) if good]
    if not kept:
        raise DatasetError(f"{name}: no image that can be used is left ({len(rejected)} were left out)")
    names = dict.fromkeys(column for row in kept for column in row)
    columns = {column: [row.get(column, _EMPTY.get(column, "")) for row in kept] for column in names}
    return FaceTable(name, source, columns, space, rejected)


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
    """Decodes rows in parallel and brings them to a model's color and size.

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

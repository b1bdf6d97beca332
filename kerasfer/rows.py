"""Rows of tables: the names of their columns, and what is known of a face, a photo or a frame, by column.

The commands write them as CSV, JSON and Parquet, `kerasfer.ray` as the Parquet files of its shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kerasfer import units as action_units
from kerasfer.faces import Prediction

if TYPE_CHECKING:
    import pyarrow

__all__ = ["RESERVED", "TEXT", "WHOLE", "Row", "columns", "face_row", "frame_rows", "photo_rows", "schema"]

WHOLE = ("frame", "person", "face")
TEXT = ("path", "expression", "error")
"""Columns of whole numbers and of text; the others are decimal numbers."""

RESERVED = ("time", "left", "top", "right", "bottom", "score", "yaw", "pitch", "roll", *WHOLE, *TEXT)
"""Columns that say something else than the probability of a class, beside those of the action units."""

Row = dict[str, Any]


def columns(
    first: Sequence[str], labels: Sequence[str], units: Sequence[int] = (), shapes: Sequence[str] = ()
) -> list[str]:
    """Names of the columns: some of the caller's, then those of `face_row`.

    Args:
        first: the caller's.
        labels: the model's expressions, whether or not a face is found.
        units: numbers of the action units that it tells; where they go by movements, intensities and sides follow.
        shapes: names of the blendshapes that are asked for.
    """
    face = ["left", "top", "right", "bottom", "score", "expression", *map(_column, labels), "yaw", "pitch", "roll"]
    return [*first, *face, *(f"AU{unit}" for unit in units), *action_units.detail_columns(units), *shapes]


def _column(label: str) -> str:
    """The column of a class: its name, or "class NAME" where that is another column's."""
    taken = label in RESERVED or (label.startswith("AU") and label[2:].isdecimal())
    return f"class {label}" if taken else label


def face_row(face: Prediction) -> Row:
    """What is known of a face, by column."""
    box, pose = face.box, face.pose
    row: Row = {side: round(float(getattr(box, side)), 1) for side in ("left", "top", "right", "bottom")}
    row |= {"score": round(face.score, 4), "expression": face.expression}
    row |= {_column(label): round(float(value), 6) for label, value in face.probabilities.items()}
    row |= {angle: None if pose is None else round(getattr(pose, angle), 1) for angle in ("yaw", "pitch", "roll")}
    row |= {f"AU{unit}": round(float(value), 6) for unit, value in (face.action_units or {}).items()}
    row |= {name: round(value, 6) for name, value in (face.unit_details or {}).items()}
    return row | {name: round(value, 6) for name, value in (face.blendshapes or {}).items()}


def photo_rows(path: str, error: str | None, faces: Sequence[Row]) -> Iterator[Row]:
    """A row for each face of a photo, or one if it has none or could not be read.

    Args:
        path: what the rows call the photo.
        error: why it could not be read, or None.
        faces: what `face_row` gives for each face.
    """
    known = {"path": path, "error": error}
    for number, face in enumerate(faces, 1):
        yield {**known, "face": number, **face}
    if not faces:
        yield known if error else {**known, "face": 0}


def frame_rows(results: Iterable[Any], path: str | None = None) -> Iterator[Row]:
    """A row for each face in each frame of a video, and for each frame without one: that of person 0.

    Args:
        results: `kerasfer.video.FrameResult` of each frame.
        path: what the rows call the video; None if they are of no other.
    """
    for result in results:
        known = {**({} if path is None else {"path": path}), "frame": result.number, "time": round(result.time, 4)}
        for face in result.faces:
            yield {**known, "person": face.person, **face_row(face.prediction)}
        if not result.faces:
            yield {**known, "person": 0}


def schema(names: Sequence[str]) -> pyarrow.Schema:
    """The types of columns as Parquet has them: int64 (`WHOLE`), string (`TEXT`), and float64.

    Raises:
        ImportError: pyarrow is not installed.
    """
    import pyarrow

    kinds = {**dict.fromkeys(WHOLE, pyarrow.int64()), **dict.fromkeys(TEXT, pyarrow.string())}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in names])

"""A whole data set: its faces aligned, or their head poses or landmarks estimated."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import images, units
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable, Rejected
from kerasfer.detection.alignment import FERPLUS_TEMPLATE, Template, align, alignment_matrix, inverted, transform
from kerasfer.detection.detectors import detect, find_detector
from kerasfer.detection.landmarker import blendshapes_of_crop, points_of_crop
from kerasfer.detection.mesh import MESH_POINTS
from kerasfer.detection.pose import head_pose
from kerasfer.faces import Box, DetectedFace, Landmarks
from kerasfer.files import atomic_file

__all__ = [
    "align_table",
    "estimate_blendshapes",
    "estimate_boxes",
    "estimate_landmarks",
    "estimate_measures",
    "estimate_poses",
    "landmarked",
]

_FORMAT = 1
"""Number of the cache's layout and of the way faces are aligned; raised when either changes."""

_POSE_FORMAT = 1
"""Number of the way poses are estimated and stored; raised when either changes."""

_LANDMARK_FORMAT = 1
"""Number of the way landmarks are located and stored; raised when either changes."""

_BOX_FORMAT = 1
"""Number of the way boxes are found and stored; raised when either changes."""

_BLENDSHAPE_FORMAT = 1
"""Number of the way blendshapes are scored and stored; raised when either changes."""

_MEASURE_FORMAT = 1
"""Number of the way measures are taken and stored; raised when either changes."""

_CHUNK = 512
"""Rows between two writes of the cache of poses, landmarks or blendshapes."""


def align_table(
    table: FaceTable,
    size: int,
    channels: int = 1,
    detector: str = "mediapipe",
    template: Template = FERPLUS_TEMPLATE,
    zoom: float = 1.0,
    missing: str = "keep",
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> FaceTable:
    """Aligns every face of a data set.

    In each image the face nearest to the row's box (or to the middle of the image) is found and aligned by its
    landmarks; a face without landmarks by its box. Where the table has landmarks already, they serve.

    Args:
        table: images with one face each that matters.
        size: side of the aligned faces in pixels.
        channels: 1 (gray) or 3 (RGB).
        detector: a key of `DETECTORS`.
        template, zoom: see `alignment.align`.
        missing: what becomes of an image in which no face is found: "keep" cuts out the row's box (or takes the whole
            image) unaligned, "drop" leaves it out.
        cache: folder that keeps the aligned faces; called again with the same images and arguments, they are read from
            there.
        progress: whether to show a progress bar.

    Returns:
        A table with the faces in memory and the same columns, but for `box`, and with `landmarks` (in pixels of the
        aligned faces) and `pose` as found: NaN in the rows whose face has none. Rows left out are in `rejected`, with
        reasons; images that do not decode are always left out.

    Raises:
        DatasetError: no face is left, or `missing` is neither "keep" nor "drop".
        DetectionError: the detector is unknown.
    """
    if missing not in ("keep", "drop") or channels not in (1, 3) or size < 1:
        raise DatasetError(
            f"{table.name}: align_table needs missing 'keep' or 'drop', channels 1 or 3 and size >= 1; "
            f"got {missing!r}, {channels}, {size}"
        )
    file = None
    if cache is not None:
        digest = _digest(table, (_FORMAT, size, channels, detector, dataclasses.astuple(template), zoom, MESH_POINTS))
        file = Path(cache) / f"{table.name}-{size}-{digest}.npz"
    arrays = None if file is None else _load(file, ("faces", "landmarks", "pose", "notes"))
    if arrays is None:
        arrays = _align_rows(table, size, channels, detector, template, zoom, progress)
        if file is not None:
            _save(file, arrays)
    return _assemble(table, arrays, missing)


def estimate_poses(
    table: FaceTable,
    detector: str = "mediapipe",
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """Estimates the head pose of every face of a data set.

    In each image the face nearest to the row's box (or to the middle of the image) counts. Where the table has
    landmarks already, they serve. Several threads share the work.

    Args:
        table: images with one face each that matters.
        detector: a key of `DETECTORS`.
        cache: folder that keeps the poses. It is written every few hundred rows, so that a run that was stopped goes
            on; called again with the same images, all are read from there.
        progress: called with the number of rows done and of all.

    Returns:
        The table with `pose` as estimated: NaN where no face was found or the image does not decode.

    Raises:
        DetectionError: the detector is unknown.
        DatasetError: the cache cannot be written.
    """
    known = _looked_up(table, "pose", (_POSE_FORMAT, detector), cache, progress, _of_face(detector, _pose_of))
    return table.with_columns(pose=known)


def estimate_landmarks(
    table: FaceTable,
    detector: str = "mediapipe",
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """Locates the 68 landmarks of every face of a data set that has none yet.

    Args:
        table, detector, cache, progress: as for `estimate_poses`.

    Returns:
        The table with `landmarks` in pixels of its images: NaN where no face was found or the image does not decode.

    Raises:
        DetectionError: the detector is unknown.
        DatasetError: the cache cannot be written.
    """
    known = _looked_up(
        table, "landmarks", (_LANDMARK_FORMAT, detector), cache, progress, _of_face(detector, _points_of)
    )
    return table.with_columns(landmarks=known)


def estimate_boxes(
    table: FaceTable,
    detector: str = "haar",
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """Finds the face of every image of a data set anew, so that it is cut out as another detector has it.

    Viola and Jones' detector, which older papers cut faces with, is "haar". Its boxes are squares from the middle of
    the forehead to below the lower lip; what they cut is resized as it is, not aligned.

    Args:
        table, detector, cache, progress: as for `estimate_poses`.

    Returns:
        The table with `box`, in pixels of its images: the row's own, or NaN for all of the image, where no face was
        found or the image does not decode.

    Raises:
        DetectionError, DatasetError: as `estimate_poses`.
    """
    bare = table.replace(columns={name: values for name, values in table.columns.items() if name != "landmarks"})
    found = _looked_up(bare, "box", (_BOX_FORMAT, detector), cache, progress, _of_face(detector, _box_of))
    own = table["box"] if "box" in table else np.full((len(table), 4), np.nan, np.float32)
    return table.with_columns(box=np.where(np.isfinite(found), found, own))


def estimate_blendshapes(
    table: FaceTable,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """Scores 52 movements in every face of a data set, as `kerasfer.detection.blendshapes` does in photos.

    No face is looked for: it is taken to be where the row's box is, or, without one, to fill the image, as tight as in
    FER+. The points are fitted there, then once more where the first fit shows the face to be.

    Args:
        table, cache, progress: as for `estimate_poses`.

    Returns:
        The table with `blendshapes`, float32 (n, 52) in [0, 1] in the order of `kerasfer.faces.BLENDSHAPES`: NaN where
        no face was seen or the image does not decode.

    Raises:
        DatasetError: the cache cannot be written.
    """
    known = _looked_up(table, "blendshapes", (_BLENDSHAPE_FORMAT,), cache, progress, _blendshapes_of)
    return table.with_columns(blendshapes=known)


def estimate_measures(
    table: FaceTable,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """What `kerasfer.units.measured` takes of every face of a data set, fitted as for `estimate_blendshapes`.

    Args:
        table, cache, progress: as for `estimate_poses`.

    Returns:
        float32 (n, 7), NaN where no face was seen or the image does not decode.
    """
    return _looked_up(table, "measures", (_MEASURE_FORMAT,), cache, progress, _measures_of)


def landmarked(
    table: FaceTable,
    detector: str = "mediapipe",
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """The faces of a data set that have landmarks: its own, or as `estimate_landmarks` locates them.

    Args:
        table, detector, cache, progress: as for `estimate_poses`.

    Returns:
        A table in which every row has landmarks; the rows left out are in its `rejected`.

    Raises:
        DetectionError, DatasetError: as `estimate_landmarks`, or no face has landmarks.
    """
    if "landmarks" not in table:
        table = estimate_landmarks(table, detector, cache, progress)
    found = np.isfinite(table["landmarks"]).all((1, 2))
    if not found.any():
        raise DatasetError(f"{table.name}: landmarks were found in none of {len(table)} images; look at the images")
    left_out = [
        Rejected(table.source.describe(str(path)), "no face found to locate landmarks in")
        for path in table["path"][~found]
    ]
    kept = table.select(found)
    return kept.replace(rejected=(*kept.rejected, *left_out))


def _pose_of(face: DetectedFace) -> tuple[float, ...] | None:
    return None if face.pose is None else dataclasses.astuple(face.pose)


def _box_of(face: DetectedFace) -> tuple[float, ...]:
    return dataclasses.astuple(face.box)


def _points_of(face: DetectedFace) -> np.ndarray | None:
    return None if face.landmarks is None else face.landmarks.points


def _of_face(detector: str, value_of: Callable[[DetectedFace], Any]) -> Callable[[FaceTable, int, np.ndarray], Any]:
    """What a function tells of the face that is found in a row's image."""
    find_detector(detector)

    def look(table: FaceTable, row: int, image: np.ndarray) -> Any:
        face = _face_of(table, row, image, detector)
        return None if face is None else value_of(face)

    return look


def _blendshapes_of(table: FaceTable, row: int, image: np.ndarray) -> list[float] | None:
    scores = blendshapes_of_crop(image, _frame(table, row, image))
    return None if scores is None else list(scores.values())


_COLUMNS = {
    "box": ((4,), "boxes"),
    "pose": ((3,), "poses"),
    "landmarks": ((68, 2), "landmarks"),
    "blendshapes": ((52,), "blendshapes"),
    "measures": ((len(units.MEASURES),), "measures"),
}
"""Column -> shape of a row's value, and the name of its cache."""


def _measures_of(table: FaceTable, row: int, image: np.ndarray) -> np.ndarray | None:
    points = points_of_crop(image, _frame(table, row, image))
    return None if points is None else units.measured(points[None])[0]


def _looked_up(
    table: FaceTable,
    column: str,
    way: tuple,
    cache: str | os.PathLike[str] | None,
    progress: Callable[[int, int], None] | None,
    value_of: Callable[[FaceTable, int, np.ndarray], Any],
) -> np.ndarray:
    """A column, float32, as it is found in each image; NaN where it is not."""
    shape, plural = _COLUMNS[column]
    values = np.full((len(table), *shape), np.nan, np.float32)
    done = 0
    file = None
    if cache is not None:
        file = Path(cache) / f"{table.name}-{plural}-{_digest(table, (*way, MESH_POINTS))}.npz"
        stored = _load(file, (column, "done"))
        if stored is not None and stored[column].shape == values.shape:
            values, done = stored[column], int(stored["done"])

    def estimate(row: int) -> Any:
        try:
            return value_of(table, row, _image(table, row))
        except ValueError:
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while done < len(table):
            rows = range(done, min(done + _CHUNK, len(table)))
            for row, value in zip(rows, pool.map(estimate, rows), strict=True):
                if value is not None:
                    values[row] = value
            done = rows.stop
            if file is not None:
                _save(file, {column: values, "done": np.array(done)})
            if progress:
                progress(done, len(table))
    return values


def _align_rows(
    table: FaceTable, size: int, channels: int, detector: str, template: Template, zoom: float, progress: bool
) -> dict[str, np.ndarray]:
    rows = len(table)
    faces = np.zeros((rows, size, size) if channels == 1 else (rows, size, size, 3), np.uint8)
    landmarks = np.full((rows, 68, 2), np.nan, np.float32)
    pose = np.full((rows, 3), np.nan, np.float32)
    notes = np.full(rows, "", dtype="<U200")

    def align_row(row: int) -> None:
        try:
            image = _image(table, row)
        except ValueError as error:
            notes[row] = f"!{error}"
            return
        face = _face_of(table, row, image, detector)
        if face is None:
            notes[row] = "no face found"
            matrix = _frame_matrix(_frame(table, row, image), size)
            faces[row] = _colored(images.warp(image, inverted(matrix), size), channels)
            return
        faces[row] = _colored(align(image, face, size, template, zoom), channels)
        if face.landmarks is not None:
            matrix = alignment_matrix(face, size, template, zoom)
            landmarks[row] = transform(face.landmarks.points, matrix)
        if face.pose is not None:
            pose[row] = dataclasses.astuple(face.pose)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in _counted(pool.map(align_row, range(rows)), rows, f"aligning {table.name}", progress):
            pass
    return {"faces": faces, "landmarks": landmarks, "pose": pose, "notes": notes}


def _counted(items: Iterable[Any], count: int, title: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return items
    from tqdm import tqdm

    return tqdm(items, total=count, desc=title, unit="face")


def _image(table: FaceTable, row: int) -> np.ndarray:
    content = table.read(row)
    if isinstance(content, np.ndarray):
        return images.read(content)
    return images.decode(content, table.source.describe(str(table["path"][row])))


def _colored(image: np.ndarray, channels: int) -> np.ndarray:
    return images.to_gray(image) if channels == 1 else image


def _frame(table: FaceTable, row: int, image: np.ndarray) -> Box:
    """The row's box; if there is none, the largest square in the middle of the image."""
    if "box" in table and np.isfinite(table["box"][row]).all():
        return Box(*map(float, table["box"][row]))
    height, width = image.shape[:2]
    side = min(height, width)
    return Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def _frame_matrix(frame: Box, size: int) -> np.ndarray:
    scale = size / max(frame.width, frame.height)
    return np.column_stack([np.eye(2) * scale, size / 2 - scale * np.array(frame.center)])


def _face_of(table: FaceTable, row: int, image: np.ndarray, detector: str) -> DetectedFace | None:
    frame = _frame(table, row, image)
    if "landmarks" in table and np.isfinite(table["landmarks"][row]).all():
        known = Landmarks(table["landmarks"][row])
        return DetectedFace(frame, 1.0, known, head_pose(known))
    center = np.array(frame.center)
    found = detect(image, detector)
    near = [face for face in found if np.abs(np.array(face.box.center) - center).max() < max(frame.width, frame.height)]
    return min(near, key=lambda face: np.hypot(*(np.array(face.box.center) - center)), default=None)


def _assemble(table: FaceTable, arrays: dict[str, np.ndarray], missing: str) -> FaceTable:
    notes = arrays["notes"]
    broken = np.char.startswith(notes, "!")
    left_out = broken | (notes != "") if missing == "drop" else broken
    rejected = [
        Rejected(table.source.describe(str(table["path"][row])), str(notes[row]).removeprefix("!"))
        for row in np.flatnonzero(left_out)
    ]
    kept = np.flatnonzero(~left_out)
    if not len(kept):
        raise DatasetError(f"{table.name}: no face could be aligned in any of {len(table)} images")
    columns: dict[str, Any] = {name: values[kept] for name, values in table.columns.items() if name != "box"}
    columns["path"] = [str(number) for number in range(len(kept))]
    columns["landmarks"] = arrays["landmarks"][kept]
    columns["pose"] = arrays["pose"][kept]
    source = ArraySource(arrays["faces"][kept], f"{table.name} aligned")
    return table.replace(source=source, columns=columns, rejected=(*table.rejected, *rejected))


def _digest(table: FaceTable, settings: tuple) -> str:
    """A fingerprint of the images and of all that decides how they are aligned."""
    digest = hashlib.sha256(repr(settings).encode())
    for column in ("box", "landmarks"):
        if column in table:
            digest.update(table[column].tobytes())
    for row in range(len(table)):
        content = table.read(row)
        digest.update(str(getattr(content, "shape", "")).encode())
        digest.update(content.tobytes() if isinstance(content, np.ndarray) else hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _load(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """The cached arrays; None if there are none or the file is damaged (it is then made anew)."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _save(file: Path, arrays: dict[str, Any]) -> None:
    with atomic_file(file, DatasetError) as aside, aside.open("wb") as opened:
        np.savez(opened, **arrays)

"""A table's images, decoded once, in parallel, and kept as uint8 in memory or in memory-mapped files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.datasets.base import (
    ArraySource,
    ChainSource,
    DatasetError,
    FaceTable,
    FolderSource,
    ImageSource,
    ZipSource,
)
from kerasfer.datasets.reading import prepare_faces
from kerasfer.datasets.shards import ShardSource
from kerasfer.faces import ImageSpec
from kerasfer.files import atomic_file

__all__ = ["PreparedFaces"]


class PreparedFaces:
    """A table's prepared images, uint8 (n, side, side, channels), and the part of each image that they show."""

    def __init__(self, table: FaceTable, spec: ImageSpec, cache: str | os.PathLike[str] | None) -> None:
        self.table = table
        self.spec = spec
        self.pixels: np.ndarray | None = None
        self.frames: np.ndarray | None = None
        if cache == "memory":
            self.frames = np.empty((len(table), 4), np.float32)
            self.pixels = prepare_faces(table, spec, frames=self.frames)
        elif cache is not None:
            self.pixels, self.frames = _on_disk(table, spec, Path(cache))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images and frames of some rows; decoded now if they are not cached."""
        if self.pixels is not None and self.frames is not None:
            return self.pixels[rows], self.frames[rows]
        frames = np.empty((len(rows), 4), np.float32)
        return prepare_faces(self.table, self.spec, rows, frames=frames), frames

    def landmarks(self, rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Landmarks float32 (n, 68, 2) in pixels of the prepared images."""
        corner, extent = frames[:, None, :2], frames[:, None, 2:] - frames[:, None, :2]
        return ((self.table["landmarks"][rows] - corner) * (self.spec.size / extent)).astype(np.float32)

    def every_landmark(self) -> np.ndarray:
        """Landmarks of all rows."""
        frames = self.frames
        if frames is None:
            frames = np.empty((len(self.table), 4), np.float32)
            prepare_faces(self.table, dataclasses.replace(self.spec, size=1), frames=frames)
        return self.landmarks(np.arange(len(self.table)), frames)


def _source_identity(source: ImageSource) -> Any:
    """What tells one state of a source from another."""
    if isinstance(source, ZipSource):
        state = source.archive.stat()
        return ["zip", str(source.archive.resolve()), source.prefix, state.st_size, state.st_mtime_ns]
    if isinstance(source, FolderSource):
        return ["folder", str(source.root.resolve())]
    if isinstance(source, ArraySource):
        content = hashlib.sha256(np.ascontiguousarray(source.images).data).hexdigest()
        return ["array", source.images.shape, content]
    if isinstance(source, ShardSource):
        return ["shards", source.fingerprint]
    if isinstance(source, ChainSource):
        return ["chain", *(_source_identity(part) for part in source.sources)]
    return [type(source).__name__, source.describe("")]


def _fingerprint(table: FaceTable, spec: ImageSpec) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([1, _source_identity(table.source), spec.size, spec.channels]).encode())
    digest.update("\0".join(table["path"].tolist()).encode())
    if "box" in table:
        digest.update(table["box"].tobytes())
    sources = table.source.sources if isinstance(table.source, ChainSource) else [table.source]
    if any(isinstance(source, FolderSource) for source in sources):
        for path in table["path"].tolist():
            with contextlib.suppress(OSError):
                state = os.stat(table.source.describe(path))
                digest.update(f"{state.st_size},{state.st_mtime_ns};".encode())
    return digest.hexdigest()[:24]


def _on_disk(table: FaceTable, spec: ImageSpec, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Prepared images and frames in memory-mapped files, which are made if they are not there."""
    stem = f"{table.name}-{spec.size}x{spec.channels}-{_fingerprint(table, spec)}"
    pixels_path, frames_path = folder / f"{stem}.pixels.npy", folder / f"{stem}.frames.npy"
    if not (pixels_path.is_file() and frames_path.is_file()):
        with (
            atomic_file(pixels_path, DatasetError) as pixels_aside,
            atomic_file(frames_path, DatasetError) as frames_aside,
        ):
            pixels = _mapped(pixels_aside, np.uint8, (len(table), *spec.shape))
            frames = _mapped(frames_aside, np.float32, (len(table), 4))
            prepare_faces(table, spec, out=pixels, frames=frames)
            pixels.flush()
            frames.flush()
    return np.load(pixels_path, mmap_mode="r"), np.load(frames_path, mmap_mode="r")


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A new file as an array. Its room on the disk is taken first: in an array there is no way to say it is full."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        if array.size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array

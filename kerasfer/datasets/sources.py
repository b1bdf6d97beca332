"""Where a data set's images are read from: folders, zip archives, memory."""

from __future__ import annotations

import os
import posixpath
import stat
import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from kerasfer.folders import files_below

__all__ = ["ArraySource", "ChainSource", "DatasetError", "FolderSource", "ImageSource", "ZipSource", "open_source"]


class DatasetError(ValueError):
    """A data set is not as its layout says; the message names the files and the remedy."""


class ImageSource(Protocol):
    """Where a table's images come from. Safe to call from several threads."""

    def read(self, path: str) -> bytes | np.ndarray:
        """Returns an encoded image as bytes, or a decoded one as uint8 (height, width[, channels])."""

    def exists(self, path: str) -> bool:
        """Tells whether `read` would find the image."""

    def names(self) -> list[str]:
        """Paths of all files, sorted, with forward slashes, relative to the root."""

    def describe(self, path: str) -> str:
        """The path as a person finds it, for messages."""


class FolderSource:
    """Files under a folder; hidden ones, and those in folders that systems make, are not among its `names`.

    Attributes:
        root: the folder.
        left_out: reason -> how many files `names` left out when it was last called.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.left_out: dict[str, int] = {}
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder")

    def read(self, path: str) -> bytes:
        if leads_out(path):
            raise DatasetError(f"{self.describe(path)}: {OUTSIDE}")
        try:
            with (self.root / path).open("rb") as file:
                large = os.fstat(file.fileno()).st_size > LARGEST_FILE
                content = b"" if large else file.read()
        except OSError as error:
            raise DatasetError(f"{self.root / path}: cannot be read ({error.strerror})") from error
        if large:
            raise DatasetError(f"{self.root / path}: larger than {LARGEST_FILE >> 20} MB, which no file of a set is")
        return content

    def exists(self, path: str) -> bool:
        return not leads_out(path) and (self.root / path).is_file()

    def names(self) -> list[str]:
        names, self.left_out = files_below(self.root)
        return names

    def describe(self, path: str) -> str:
        return str(self.root / path)


class ZipSource:
    """Files in a zip archive, optionally under a folder inside it.

    Files are read at their place in the archive, without a position that threads or forked processes would share.
    """

    def __init__(self, archive: str | Path, prefix: str = "") -> None:
        self.archive = Path(archive)
        self.prefix = ""
        try:
            with zipfile.ZipFile(self.archive) as opened:
                listed = [entry for entry in opened.infolist() if entry.filename and not entry.filename.endswith("/")]
                self._entries = {entry.filename: _Entry.of(entry) for entry in listed}
        except FileNotFoundError as error:
            raise DatasetError(f"{self.archive}: no such file") from error
        except (OSError, ValueError, RuntimeError, EOFError, OverflowError, struct.error, zipfile.BadZipFile) as error:
            raise DatasetError(f"{self.archive}: not a readable zip archive ({error}); get it again") from error
        self._file: int | None = None
        if prefix:
            self._enter(prefix)

    def _enter(self, prefix: str) -> None:
        """Makes a folder, with a slash at its end, the root."""
        self.prefix += prefix
        length = len(prefix)
        self._entries = {name[length:]: entry for name, entry in self._entries.items() if name.startswith(prefix)}

    def read(self, path: str) -> bytes:
        try:
            entry = self._entries[path]
        except KeyError as error:
            raise DatasetError(f"{self.describe(path)}: no such file in the archive") from error
        if leads_out(path):
            raise DatasetError(f"{self.describe(path)}: {OUTSIDE}")
        try:
            content = entry.read(self._open() if self._file is None else self._file)
        except (OSError, ValueError, OverflowError, zlib.error) as error:
            raise DatasetError(f"{self.describe(path)}: damaged in the archive ({error})") from error
        return content

    def _open(self) -> int:
        file = os.open(self.archive, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, file)
        self._file = file
        return file

    def exists(self, path: str) -> bool:
        return path in self._entries and not leads_out(path)

    def names(self) -> list[str]:
        return sorted(self._entries)

    def describe(self, path: str) -> str:
        return f"{self.archive}!{self.prefix}{path}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}


class _Entry(NamedTuple):
    """Where a file stands in a zip archive, and how."""

    header: int
    packed: int
    size: int
    method: int
    checksum: int
    encrypted: bool
    link: bool

    @classmethod
    def of(cls, entry: zipfile.ZipInfo) -> _Entry:
        place = entry.header_offset, entry.compress_size, entry.file_size, entry.compress_type, entry.CRC
        return cls(*place, bool(entry.flag_bits & 1), stat.S_ISLNK(entry.external_attr >> 16))

    def read(self, file: int) -> bytes:
        """The file's content, from the archive's file descriptor.

        Raises:
            OSError, ValueError, OverflowError, zlib.error: it is damaged, encrypted, a link, packed in another way than
                zip usually does, or of another size than the list of files says; more memory than that is not taken.
        """
        if self.link:
            raise ValueError("a link; put the file itself into the archive")
        if self.encrypted or self.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("encrypted or packed in a way that is not read; unpack it and name the folder")
        header = _read_at(file, _LOCAL_HEADER, self.header)
        if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
            raise ValueError("it is not where the list of files says")
        start = (
            self.header
            + _LOCAL_HEADER
            + int.from_bytes(header[26:28], "little")
            + int.from_bytes(header[28:], "little")
        )
        if self.packed > os.fstat(file).st_size - start:
            raise ValueError(f"the archive has no room for its {self.packed} bytes")
        if self.size > min(LARGEST_FILE, _MOST_INFLATED * (self.packed + 1)):
            raise ValueError(f"{self.packed} bytes cannot hold its {self.size}, or they are too many")
        content = _read_at(file, self.packed, start)
        if self.method == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size + 1)
        if len(content) != self.size or zlib.crc32(content) != self.checksum:
            raise ValueError("its checksum does not match")
        return content


_seeking = threading.Lock()


def _read_at(file: int, length: int, start: int) -> bytes:
    """Bytes of an open file from some place on, for several threads at once; Windows has no `os.pread`."""
    if hasattr(os, "pread"):
        return os.pread(file, length, start)
    with _seeking:
        os.lseek(file, start, os.SEEK_SET)
        return os.read(file, length)


LARGEST_FILE = 1 << 30
"""Bytes that a file of a data set may have."""

_MOST_INFLATED = 1032
"""Bytes that deflate makes of one at most."""

OUTSIDE = "leads out of the data set's folder; name files inside it, relative to it"
"""What is said of a path that `leads_out`."""


def leads_out(path: str) -> bool:
    """Whether a path is none of a file below a root: absolute, with too many "..", or no path at all."""
    return "\0" in path or os.path.isabs(path) or posixpath.normpath(path).split("/")[0] == ".."


_LOCAL_HEADER = 30
"""Bytes that stand before the name in front of each file of a zip archive."""


class ArraySource:
    """Decoded images in memory; a path is the image's number.

    Args:
        images: uint8 (n, height, width) or (n, height, width, channels).
        origin: what a message calls the place they come from.
    """

    def __init__(self, images: np.ndarray, origin: str = "memory") -> None:
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise DatasetError(f"{origin}: images must be uint8 (n, height, width[, channels])")
        self.images = images
        self.origin = origin

    def read(self, path: str) -> np.ndarray:
        try:
            return self.images[int(path)]
        except (ValueError, IndexError) as error:
            raise DatasetError(f"{self.describe(path)}: no such image") from error

    def exists(self, path: str) -> bool:
        return path.isdecimal() and int(path) < len(self.images)

    def names(self) -> list[str]:
        return [str(index) for index in range(len(self.images))]

    def describe(self, path: str) -> str:
        return f"{self.origin}[{path}]"


class ChainSource:
    """Several sources as one; a path is "<number of the source>/<path there>"."""

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        self.sources = tuple(sources)

    def _split(self, path: str) -> tuple[ImageSource, str]:
        number, _, rest = path.partition("/")
        return self.sources[int(number)], rest

    def read(self, path: str) -> bytes | np.ndarray:
        source, rest = self._split(path)
        return source.read(rest)

    def exists(self, path: str) -> bool:
        source, rest = self._split(path)
        return source.exists(rest)

    def names(self) -> list[str]:
        return [f"{number}/{name}" for number, source in enumerate(self.sources) for name in source.names()]

    def describe(self, path: str) -> str:
        source, rest = self._split(path)
        return source.describe(rest)


def open_source(root: str | Path, marker: str | None = None) -> ImageSource:
    """Opens a folder or a zip as an image source.

    Args:
        root: the data set's folder, or a zip of it.
        marker: a file or folder name that stands at the root of the data set's layout. If it is found one or more
            folders deeper (as when the zip holds one folder with everything in it), that folder becomes the root.

    Raises:
        DatasetError: there is nothing at `root`, or the marker is nowhere below it.
    """
    root = Path(root)
    if root.is_dir():
        if marker is None or (root / marker).exists():
            return FolderSource(root)
        deeper = sorted(path.parent for path in root.glob(f"*/{marker}"))
        if deeper:
            return FolderSource(deeper[0])
    elif root.is_file():
        source = ZipSource(root)
        if marker is None:
            return source
        found = [name for name in source.names() if f"/{marker}/" in f"/{name}/"]
        if found:
            position, name = min((f"/{name}/".index(f"/{marker}/"), name) for name in found)
            source._enter(name[:position])
            return source
    else:
        raise DatasetError(f"{root}: no such folder or zip file")
    raise DatasetError(f"{root}: holds no {marker!r}, which this data set's layout has at its root")

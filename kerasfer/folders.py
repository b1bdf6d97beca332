"""The files below a folder: which are photos, which are videos, and what is left out.

    found = walk("holiday")
    found.photos, found.videos        # paths below the folder, sorted
    found.left_out                    # {".txt": 3, "hidden or a system's": 12}

Everything that searches folders or archives for photos does it here. Hidden files and the folders that systems and
programs make for themselves (`SYSTEM_FOLDERS`) are left out. Linked folders are searched, each folder once. The ending
of a file's name tells what it is; where there is none, or one that source code has too, the file's first bytes do.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from kerasfer.files import printable
from kerasfer.images import IMAGE_SUFFIXES

__all__ = ["SYSTEM_FOLDERS", "VIDEO_SUFFIXES", "Listing", "files_below", "is_system", "kind_of", "sorted_out", "walk"]

VIDEO_SUFFIXES = tuple(
    ".3g2 .3gp .asf .avi .divx .f4v .flv .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogm .ogv .qt .ts "
    ".vob .webm .wmv".split()
)
"""Endings, in lower case, of the files that count as videos."""

SYSTEM_FOLDERS = frozenset(
    (
        "__MACOSX",
        "__pycache__",
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "RECYCLER",
        "System Volume Information",
        "lost+found",
    )
)
"""Names of folders, besides those that begin with a dot, whose files are nobody's photos."""

HIDDEN = "hidden or a system's"
"""What `Listing.left_out` calls files of folders that are not searched."""

_AMBIGUOUS = ("", ".mts", ".ts")
"""Endings that do not tell what a file is: TypeScript's files end like MPEG transport streams."""

_HEAD = 1024
"""Bytes by which a file is told."""

_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")
_VIDEO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_VIDEO_HEADS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"FLV\x01",
    b"OggS",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x06\x0e\x2b\x34",  # MXF
)
_IMAGE_HEADS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"qoif",
)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What was found below a folder or in an archive.

    Attributes:
        photos, videos: their names or paths, sorted.
        left_out: how many other files there are, by their ending or by why they were not looked at.
    """

    photos: tuple[str, ...]
    videos: tuple[str, ...]
    left_out: dict[str, int]

    def remark(self) -> str:
        """What was left out, in words that a terminal may show; "" if nothing was."""
        if not self.left_out:
            return ""
        kinds = sorted(self.left_out.items(), key=lambda kind: (-kind[1], kind[0]))
        shown = ", ".join(f"{count} {reason}" for reason, count in kinds[:6])
        more = sum(count for _, count in kinds[6:])
        count = sum(self.left_out.values())
        said = f"{count} {'file' if count == 1 else 'files'} left out: {shown}" + (f", {more} others" if more else "")
        return printable(said)


def is_system(name: str) -> bool:
    """Whether a path, relative and with forward slashes, is hidden or below a folder that a system made."""
    return any(part in SYSTEM_FOLDERS or part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What a file is by its first bytes, or else by the ending of its name: "photo", "video" or None for neither."""
    try:
        with open(path, "rb") as file:
            told = _kind_of_content(file.read(_HEAD))
    except (OSError, ValueError):
        told = None
    return told or _kind_of_suffix(os.fsdecode(path))


def _kind_of_suffix(name: str) -> str | None:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "photo"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _kind_of_content(head: bytes) -> str | None:
    """What a file is that begins so, None if that cannot be told."""
    if head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS or head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "photo"
    if head.startswith(_IMAGE_HEADS):
        return "photo"
    if head[4:8] in _VIDEO_BOXES or head[:4] == b"RIFF" and head[8:12] == b"AVI " or head.startswith(_VIDEO_HEADS):
        return "video"
    for first, length in ((0, 188), (4, 192), (0, 204)):
        marks = head[first::length]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return "video"
    return None


def files_below(root: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """The files below a folder, linked folders too, and how many were not looked at.

    Returns:
        Paths relative to the folder, with forward slashes, sorted; and reason -> number of the files or folders, hidden
        ones and those of systems among them, that are not in the list.
    """
    root = os.fspath(root)
    names: list[str] = []
    left_out: collections.Counter[str] = collections.Counter()
    seen: set[tuple[int, int]] = set()
    waiting: list[str] = [""]
    linked: list[str] = []
    while waiting or linked:
        # Links last, so that what a folder and a link lead to goes by the folder's name.
        folder = waiting.pop() if waiting else linked.pop(0)
        try:
            state = os.stat(os.path.join(root, folder))
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(os.path.join(root, folder) or "."), key=lambda entry: entry.name)
        except OSError:
            left_out["folders that cannot be opened"] += 1
            continue
        for entry in entries:
            name = f"{folder}{entry.name}"
            if is_system(entry.name):
                left_out[HIDDEN] += _count(entry)
            elif entry.is_dir():
                (linked if entry.is_symlink() else waiting).append(f"{name}/")
            elif entry.is_file():
                names.append(name)
            else:
                left_out["broken links, pipes or devices"] += 1
    return sorted(names), dict(left_out)


def _count(entry: os.DirEntry[str]) -> int:
    """How many files there are in a folder that is not searched; 1 for a file."""
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(files) for _, _, files in os.walk(entry.path))


def sorted_out(
    names: Iterable[str], head_of: Callable[[str], bytes], left_out: dict[str, int] | None = None
) -> Listing:
    """Tells photos and videos among files.

    Args:
        names: of the files, with forward slashes.
        head_of: gives the first bytes of a file; it is asked where the name does not tell.
        left_out: what was left out before.
    """
    photos: list[str] = []
    videos: list[str] = []
    others = collections.Counter(left_out or {})
    for name in names:
        if is_system(name):
            others[HIDDEN] += 1
            continue
        suffix = PurePosixPath(name).suffix.lower()
        kind = _kind_of_content(head_of(name)) if suffix in _AMBIGUOUS else _kind_of_suffix(name)
        if kind is None:
            others[suffix or "without an ending"] += 1
        else:
            (photos if kind == "photo" else videos).append(name)
    return Listing(tuple(photos), tuple(videos), dict(others))


def walk(root: str | os.PathLike[str]) -> Listing:
    """The photos and videos below a folder, as paths that begin with it."""

    def head_of(name: str) -> bytes:
        try:
            with open(os.path.join(root, name), "rb") as file:
                return file.read(_HEAD)
        except OSError:
            return b""

    names, left_out = files_below(root)
    found = sorted_out(names, head_of, left_out)
    return Listing(tuple(_below(root, found.photos)), tuple(_below(root, found.videos)), found.left_out)


def _below(root: str | os.PathLike[str], names: Iterable[str]) -> Iterator[str]:
    return (str(Path(root) / name) for name in names)

"""Atomic writes, and file names as they may be printed.

Everything that kerasfer writes under a name that somebody gave goes through this module: the content goes to a file or
folder beside its place, is brought to the disk, and takes its place in one step. Whatever fails before that, a full
disk among it, leaves what was there as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "aside_of",
    "atomic_entries",
    "atomic_file",
    "atomic_folder",
    "atomic_write",
    "is_stream",
    "name_of_text",
    "printable",
    "put_in_place",
    "text_of_name",
    "unwritable",
]

_REMEDIES = {
    errno.ENOSPC: "the disk is full: make room, or choose another place",
    errno.EDQUOT: "your share of the disk is used up: make room, or choose another place",
    errno.EFBIG: "no file may be as large here: raise the limit (ulimit -f), or choose another place",
    errno.EACCES: "permission is missing: get it, or choose another place",
    errno.EPERM: "permission is missing: get it, or choose another place",
    errno.EROFS: "nothing can be written there: choose another place",
    errno.EISDIR: "a folder has this name: choose another place",
    errno.ENOTDIR: "a file is where a folder should be: choose another place",
    errno.EEXIST: "a file is where a folder should be: choose another place",
    errno.ENAMETOOLONG: "the name is too long: choose another place",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "the disk fails: choose another place",
}
"""What helps when a file cannot be written, by the system's error number."""

_STEM, _ENDING = 40, 16
"""Characters of a file's name and ending that the name of the one written aside keeps, so as not to be too long."""


def atomic_write(path: str | os.PathLike[str], content: bytes, error: type[ValueError] = ValueError) -> None:
    """Writes a file beside its place and renames it, so that no half-written file is ever seen.

    Args:
        path: where to; missing folders are made.
        content: what the file holds.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the file and the remedy. What was there before stays.
    """
    with atomic_file(path, error) as aside:
        aside.write_bytes(content)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> Iterator[Path]:
    """A place beside a file's own to write it to, bit by bit; the file is renamed if all goes well.

    Args:
        path: where the file belongs; missing folders are made.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the file and the remedy. What was there before stays.
    """
    with _reported(Path(path), error):
        aside = aside_of(path)
        try:
            yield aside
            _put_in_place(aside, Path(path))
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()


def aside_of(path: str | os.PathLike[str]) -> Path:
    """A new name beside a file's own, of the same ending, to write the file to before `put_in_place`.

    Missing folders are made. A link means the file it leads to; of a device or a pipe, such as /dev/stdout, the new
    name is in the folder for temporary files.

    Raises:
        OSError: a folder cannot be made.
    """
    path = _own_place(Path(path))
    if is_stream(path):
        folder = Path(tempfile.gettempdir())
    else:
        folder = path.parent
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{_short(path.stem)}.{os.getpid()}.{threading.get_ident()}.tmp{path.suffix[:_ENDING]}"


def put_in_place(aside: Path, path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> None:
    """Brings a complete file to the disk and gives it its name; what had that name before is gone then.

    Args:
        aside: the file, at `aside_of(path)`.
        path: where it belongs.
        error: what is raised if that fails.

    Raises:
        ValueError: of the class given; the message names the file and the remedy. What was there before stays.
    """
    with _reported(Path(path), error):
        _put_in_place(aside, Path(path))


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> Iterator[Path]:
    """A new folder beside a folder's own place, which takes that place, as a whole, if all goes well.

    Args:
        path: where the folder belongs; missing folders above it are made, and a folder that is there is replaced.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the folder and the remedy. What was there before stays.
    """
    path = Path(path)
    with _reported(path, error):
        place = _own_place(path.absolute())
        stem = f".{_short(place.name)}.{os.getpid()}.{threading.get_ident()}"
        aside, replaced = place.with_name(f"{stem}.tmp"), place.with_name(f"{stem}.old")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            _sync_tree(aside)
            if place.exists():
                os.replace(place, replaced)
            try:
                os.replace(aside, place)
            except OSError:
                if replaced.exists():
                    os.replace(replaced, place)
                raise
            _sync_folder(place.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)


@contextlib.contextmanager
def atomic_entries(path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> Iterator[Path]:
    """A new folder inside a folder, whose entries take their places in it, one by one, if all goes well.

    Args:
        path: the folder; it is made if it is missing, and removed again if that was in vain.
        error: what is raised if something cannot be written.

    Raises:
        ValueError: of the class given; the message names the folder and the remedy. What was there before stays.
    """
    path = Path(path)
    with _reported(path, error):
        made, aside = not path.exists(), None
        try:
            path.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=path))
            yield aside
            _sync_tree(aside)
            for entry in sorted(aside.iterdir()):
                target = path / entry.name
                if target.is_dir():
                    os.replace(target, aside / f".{entry.name}.old")
                os.replace(entry, target)
            _sync_folder(path)
            made = False
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
            if made:
                with contextlib.suppress(OSError):
                    path.rmdir()


def unwritable(path: str | os.PathLike[str], reason: BaseException) -> str | None:
    """One line on why a file cannot be written and what helps; None if the reason is no error of the system's.

    Libraries that write by code of their own (safetensors, TensorFlow, FFmpeg) tell the system's error in the text of
    theirs.
    """
    number = getattr(reason, "errno", None)
    text = getattr(reason, "strerror", None)
    if number is None or number not in _REMEDIES:
        number = next((known for known in _REMEDIES if os.strerror(known) in str(reason)), None)
        text = os.strerror(number) if number is not None else text
    if number is None and not isinstance(reason, OSError):
        return None
    remedy = _REMEDIES.get(number or 0, "see that there is room, or choose another place")
    return f"{os.fspath(path)}: cannot be written ({text or reason}); {remedy}"


@contextlib.contextmanager
def _reported(path: Path, error: type[ValueError]) -> Iterator[None]:
    """Turns a failed write into an error of a class; what fails for another file than that at `path` stays as it is."""
    try:
        yield
    except Exception as reason:
        named = getattr(reason, "filename", None)
        if isinstance(named, (str, os.PathLike)) and not _is_about(Path(named), path):
            raise
        message = None if isinstance(reason, error) else unwritable(path, reason)
        if message is None:
            raise
        raise error(message) from reason


def _is_about(named: Path, path: Path) -> bool:
    """Whether an error that names one path is one of writing another: that itself, a folder above it, or one aside."""
    named, path = named.absolute(), path.absolute()
    aside = any(part.startswith(".") and ".tmp" in part for part in named.parts)
    return aside or named in (path, _own_place(path)) or named in _own_place(path).parents


def _own_place(path: Path) -> Path:
    """Where a link leads to, or the path itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() and not is_stream(path) else path


def is_stream(path: Path) -> bool:
    """Whether a device, a pipe, a socket or an open file of this process, such as /dev/stdout, is there."""
    return path.exists() and (
        path.absolute().parts[:2] in (("/", "dev"), ("/", "proc")) or not (path.is_file() or path.is_dir())
    )


def _short(stem: str) -> str:
    return stem.lstrip(".")[:_STEM]


def _put_in_place(aside: Path, path: Path) -> None:
    place = _own_place(path)
    if is_stream(place):
        with aside.open("rb") as content, place.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        return
    _sync_file(aside)
    with contextlib.suppress(FileNotFoundError):
        os.chmod(aside, place.stat().st_mode & 0o7777)
    os.replace(aside, place)
    _sync_folder(place.parent)


def _sync_file(path: Path) -> None:
    """Returns when a file's content is on the disk: only then an error of writing it is known."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk, where the system can tell."""
    with contextlib.suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _sync_tree(path: Path) -> None:
    for folder, _, files in os.walk(path):
        for file in files:
            _sync_file(Path(folder, file))
        _sync_folder(Path(folder))


# -- names -------------------------------------------------------------------------------------------------------------

_LEFT_ALONE = "\u200c\u200d"
"""Characters without a shape that words of some scripts, and some emoji, are joined by."""

_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")
_SURROGATE = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile(rf"\\\\|{_BYTE.pattern}")


def printable(name: object) -> str:
    """A name, or a line of text with names in it, as a terminal may show it: without anything that it would obey.

    Control characters, line breaks among them, those that turn the direction of writing, and bytes that are no text
    become escapes, such as \\x1b.
    """
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or character in _LEFT_ALONE or unicodedata.category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def text_of_name(name: str) -> str:
    """A file's name as valid Unicode, for formats that hold nothing else; `name_of_text` gives it back.

    Names are themselves but for those with bytes that are no UTF-8, which Python holds as surrogates: in these each
    such byte becomes \\xe9 or the like, and a backslash two. So do backslashes of names that look like that already.
    """
    if not (_BYTE.search(name) or _SURROGATE.search(name)):
        return name
    return _SURROGATE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", name.replace("\\", "\\\\"))


def name_of_text(text: str) -> str:
    """The name that `text_of_name` made a text of."""
    if not _BYTE.search(text):
        return text
    return _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)) if found[1] else "\\", text)

"""Files that appear when they are complete and not before."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["write_aside", "written_aside"]


def write_aside(path: str | os.PathLike[str], content: bytes, error: type[ValueError] = ValueError) -> None:
    """Writes a file beside its place and renames it, so that no half-written file is ever seen.

    Args:
        path: where to; missing folders are made.
        content: what the file holds.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the file.
    """
    with written_aside(path, error) as aside:
        aside.write_bytes(content)


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> Iterator[Path]:
    """A place beside a file's own to write it to, bit by bit; the file is renamed if all goes well.

    Args:
        path: where the file belongs; missing folders are made.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the file.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as reason:
        raise error(f"{path}: cannot be written ({reason.strerror}); choose another place") from reason
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()

"""Files that appear when they are complete and not before."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

__all__ = ["write_aside"]


def write_aside(path: str | os.PathLike[str], content: bytes, error: type[ValueError] = ValueError) -> None:
    """Writes a file beside its place and renames it, so that no half-written file is ever seen.

    Args:
        path: where to; missing folders are made.
        content: what the file holds.
        error: what is raised if it cannot be written.

    Raises:
        ValueError: of the class given; the message names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as reason:
        raise error(f"{path}: cannot be written ({reason.strerror}); choose another place") from reason
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()

"""Opens the LiteRT interpreter, without the messages that it prints."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["open_interpreter", "silent_stderr"]

_opening = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A child made while a file is being opened would have the lock taken and its stderr silenced for good.
    os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_opening.release)


def open_interpreter(content: bytes, threads: int = 1, shape: tuple[int, ...] | None = None) -> Any:
    """An interpreter of a TFLite file, ready to run.

    Args:
        content: the file's bytes.
        threads: number of threads.
        shape: of its input; None: as the file has it.

    Raises:
        ImportError: LiteRT is not installed.
        ValueError, RuntimeError: the file is damaged, or cannot take that shape.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _opening, silent_stderr():
        interpreter = Interpreter(model_content=content, num_threads=threads)
        entrance = interpreter.get_input_details()[0]
        if shape is not None and tuple(entrance["shape"]) != shape:
            interpreter.resize_tensor_input(entrance["index"], shape)
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Drops what native code writes to file descriptor 2: LiteRT and TensorFlow announce themselves there."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

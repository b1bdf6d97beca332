"""The face networks that mediapipe's wheel carries, run by the LiteRT interpreter.

Only the wheel's files are used: mediapipe itself is not imported, so neither TensorFlow, nor OpenGL, nor its logging
is needed, and every thread may look for faces at the same time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["DetectionError", "Graph"]


class DetectionError(ValueError):
    """A detector is unknown or cannot be used; the message says what to do."""


class Graph:
    """A TFLite network from mediapipe's wheel. Safe to call from several threads: each has its own interpreter.

    Args:
        path: the file below the wheel's `modules` folder.

    Raises:
        DetectionError: mediapipe is not installed, or its wheel holds no such network.
    """

    def __init__(self, path: str) -> None:
        found = importlib.util.find_spec("mediapipe")
        folders = (found.submodule_search_locations if found else None) or []
        files = [Path(folder) / "modules" / path for folder in folders]
        self._file = next((file for file in files if file.is_file()), None)
        if self._file is None:
            raise DetectionError(f"mediapipe's {path} is missing; install it with: pip install mediapipe==0.10.21")
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> dict[int, np.ndarray]:
        """Runs the network on one image.

        Args:
            image: float32 (height, width, 3), as large as the network takes it.

        Returns:
            The outputs, float32, flat, by their number of values.
        """
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = _open(self._file)
        interpreter = self._local.interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(output["index"]).ravel() for output in interpreter.get_output_details()]
        return {output.size: output for output in outputs}


_opening = threading.Lock()


def _open(file: Path):
    from ai_edge_litert.interpreter import Interpreter

    with _opening, _silent_stderr():
        interpreter = Interpreter(str(file), num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drops what native code writes to file descriptor 2: LiteRT announces its delegate there."""
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

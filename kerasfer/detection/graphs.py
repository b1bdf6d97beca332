"""The face networks that mediapipe's wheel carries, run by the LiteRT interpreter.

Only the wheel's files are used: mediapipe itself is not imported, so neither TensorFlow, nor OpenGL, nor its logging
is needed, and every thread may look for faces at the same time.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.interpreter import open_interpreter

__all__ = ["DetectionError", "Graph"]

FOLDER: Path | None = None
"""Where the networks' files are; None: in mediapipe's wheel. A bundle for a device sets it to its own folder."""

MOST_OPENED = 6
"""Sizes of image that a thread keeps an interpreter of a network open for: those used last."""


class DetectionError(ValueError):
    """A detector is unknown or cannot be used; the message says what to do."""


class Graph:
    """A TFLite network of MediaPipe's. Safe to call from several threads: each has its own interpreters.

    Images of another size than the network was made for are possible where it is convolutional throughout; the outputs
    then have as many more values.

    Args:
        path: the file below the wheel's `modules` folder.

    Raises:
        DetectionError: mediapipe is not installed, or its wheel holds no such network.
    """

    def __init__(self, path: str) -> None:
        self.file = _find(path)
        if self.file is None:
            raise DetectionError(f"mediapipe's {path} is missing; install it with: pip install mediapipe==0.10.21")
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> dict[int, np.ndarray]:
        """Runs the network on one image.

        Args:
            image: float32 (height, width, 3), as large as the network takes it.

        Returns:
            The outputs, float32, flat, by their number of values.
        """
        opened = vars(self._local).setdefault("opened", {})
        if image.shape in opened:
            opened[image.shape] = opened.pop(image.shape)
        else:
            opened[image.shape] = _open(self.file, image.shape)
            if len(opened) > MOST_OPENED:
                del opened[next(iter(opened))]
        interpreter, entrance, exits = opened[image.shape]
        interpreter.set_tensor(entrance, image[None])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(place).ravel() for place in exits]
        return {output.size: output for output in outputs}


def _find(path: str) -> Path | None:
    """A network's file, by its path below the `modules` of mediapipe's wheel; None if it is not there."""
    if FOLDER is not None:
        files = [FOLDER / Path(path).name]
    else:
        found = importlib.util.find_spec("mediapipe")
        folders = (found.submodule_search_locations if found else None) or []
        files = [Path(folder) / "modules" / path for folder in folders]
    return next((file for file in files if file.is_file()), None)


def _open(file: Path, shape: tuple[int, ...]) -> tuple[Any, int, list[int]]:
    """An interpreter for images of that shape, and the numbers of its input and its outputs."""
    try:
        interpreter = open_interpreter(file.read_bytes(), shape=(1, *shape))
    except ImportError as error:
        raise DetectionError("the LiteRT interpreter is missing: pip install ai-edge-litert") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise DetectionError(f"{file}: cannot be run ({' '.join(str(error).split())}); copy it again") from error
    entrance, exits = interpreter.get_input_details()[0], interpreter.get_output_details()
    return interpreter, entrance["index"], [output["index"] for output in exits]

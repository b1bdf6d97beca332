"""MediaPipe's face networks, whose files are in `networks/`, run by the LiteRT interpreter.

Neither the package mediapipe nor TensorFlow or OpenGL is needed, and every thread may look for faces at the same time.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.interpreter import open_interpreter

__all__ = ["DetectionError", "Graph"]

FOLDER = Path(__file__).parent / "networks"
"""Where the networks' files are. A bundle for a device sets it to its own folder."""

MOST_OPENED = 6
"""Sizes of image that a thread keeps an interpreter of a network open for: those used last."""


class DetectionError(ValueError):
    """A detector is unknown or cannot be used; the message says what to do."""


class Graph:
    """A TFLite network of MediaPipe's. Safe to call from several threads: each has its own interpreters.

    Images of another size than the network was made for are possible where it is convolutional throughout; the outputs
    then have as many more values.

    Args:
        name: the file in `FOLDER`.

    Raises:
        DetectionError: there is no such file.
    """

    def __init__(self, name: str) -> None:
        self.file = FOLDER / name
        if not self.file.is_file():
            raise DetectionError(f"{self.file}: missing; install kerasfer again")
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> dict[int, np.ndarray]:
        """Runs the network on one image.

        Args:
            image: float32 (height, width, 3), as large as the network takes it.

        Returns:
            The outputs, float32, flat, by their number of values.
        """
        return {output.size: output for output in self.outputs(image)}

    def outputs(self, values: np.ndarray) -> list[np.ndarray]:
        """Runs the network on one image, or on what else it takes.

        Args:
            values: float32, of the shape that the network takes, without that of the batch.

        Returns:
            The outputs, float32, flat, in the network's order.
        """
        opened = vars(self._local).setdefault("opened", {})
        if values.shape in opened:
            opened[values.shape] = opened.pop(values.shape)
        else:
            opened[values.shape] = _open(self.file, values.shape)
            if len(opened) > MOST_OPENED:
                del opened[next(iter(opened))]
        interpreter, entrance, exits = opened[values.shape]
        interpreter.set_tensor(entrance, values[None])
        interpreter.invoke()
        return [interpreter.get_tensor(place).ravel() for place in exits]


def _open(file: Path, shape: tuple[int, ...]) -> tuple[Any, int, list[int]]:
    """An interpreter for inputs of that shape, and the numbers of its input and its outputs."""
    try:
        interpreter = open_interpreter(file.read_bytes(), shape=(1, *shape))
    except ImportError as error:
        raise DetectionError("the LiteRT interpreter is missing: pip install ai-edge-litert") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise DetectionError(f"{file}: cannot be run ({' '.join(str(error).split())}); copy it again") from error
    entrance, exits = interpreter.get_input_details()[0], interpreter.get_output_details()
    return interpreter, entrance["index"], [output["index"] for output in exits]

"""Exported recognizers and generators, run by LiteRT."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.faces import ImageSpec
from kerasfer.forks import renew_in_child
from kerasfer.interpreter import open_interpreter
from kerasfer.lite.metadata import LiteError, image_spec_of, labels_of, read_metadata, require_whole
from kerasfer.lite.preparation import prepare
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = ["Generator", "Recognizer"]

_SUM = 0.05
"""How far from 1 the sum of an answer may be, in 8-bit integers too."""


class _File:
    """A .tflite file of kerasfer's and its interpreter, which a process made by os.fork() opens anew.

    Attributes:
        labels: names of the expressions.
        image_spec: format of the images.
        metadata: all that the file says of itself. "batch" is "any" if the input of another interpreter can be resized
            to several rows, or 1. This one takes row after row, which is the quickest.
    """

    def __init__(self, path: Path, part: str, threads: int) -> None:
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise LiteError(f"{path}: cannot be read ({error.strerror}); name a .tflite file") from error
        self.metadata: dict[str, Any] = read_metadata(self._content, str(path))
        if self.metadata.get("part") != part:
            raise LiteError(f"{path}: is a {self.metadata.get('part')}, not a {part}; name another file")
        require_whole(self._content, self.metadata, path)
        self.metadata.setdefault("batch", 1)
        self.labels = labels_of(self.metadata, path)
        self.image_spec = image_spec_of(self.metadata)
        self._path, self._threads = path, threads
        self._lock = threading.Lock()
        self._interpreter = self._opened()
        renew_in_child(self)

    def _opened(self) -> Any:
        try:
            return open_interpreter(self._content, self._threads)
        except ImportError as error:
            raise LiteError("the LiteRT interpreter is missing: pip install ai-edge-litert") from error
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise LiteError(f"{self._path}: cannot be run ({reason}); copy or export it again") from error

    def _renew(self) -> None:
        # The parent's interpreter is kept: it would wait, when it goes, for threads that are not in this process.
        _left_behind.append(self._interpreter)
        self._interpreter = None
        self._lock = threading.Lock()

    def _ready(self) -> Any:
        """The interpreter; whoever asks holds the lock."""
        if self._interpreter is None:
            self._interpreter = self._opened()
        return self._interpreter


_left_behind: list[Any] = []
"""Interpreters of the process that this one was forked from."""


class Recognizer(_File):
    """Runs an exported recognizer. Safe to call after os.fork(), and from several threads, which take turns.

    Args:
        path: a .tflite file written by `kerasfer.export`, of any format.
        threads: number of threads.
        prior: how frequent the expressions are to count as: "balanced" (one as much as the other), "ferplus", or a
            number for the name of each; None: as in the model's training. See `kerasfer.priors`.

    Attributes:
        labels: names of the expressions, in the order of the probabilities.
        training_prior: their shares in the model's training; () if the file does not say them.
        image_spec: the model's size, channels and pixel range.
        image_size: height and width that faces are brought to, in pixels.
        metadata: all that the file says of itself.

    Raises:
        LiteError: the file is missing, damaged or not one of kerasfer's recognizers, or LiteRT is not installed.
        PriorError: the prior is not known or not of the model's expressions.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1, prior: Prior | None = None) -> None:
        super().__init__(Path(path), "recognizer", threads)
        self.training_prior: tuple[float, ...] = tuple(self.metadata.get("training_prior", ()))
        self._weights = prior_weights(prior, self.labels, self.training_prior)
        self.image_size: int = self.image_spec.size
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        shapes = (tuple(self._input["shape"]), tuple(self._output["shape"]))
        if shapes != ((1, *self.image_spec.shape), (1, len(self.labels))):
            raise LiteError(f"{path}: its tensors {shapes} contradict its metadata; export the model again")
        with np.errstate(all="ignore"):
            answer = self._recognize_one(np.full(self.image_spec.shape, 128, np.uint8))
        if not (np.isfinite(answer).all() and abs(float(answer.sum()) - 1) < _SUM and answer.min() > -_SUM):
            raise LiteError(f"{path}: does not answer with probabilities; its weights are damaged, export it again")

    def recognize(self, faces: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities of the expressions of one aligned face or of several.

        Args:
            faces: one face, uint8 gray (h, w) or (h, w, 1) or RGB (h, w, 3), of any size; or several: uint8 (n, h, w),
                (n, h, w, 1) or (n, h, w, 3), or a list of faces.

        Returns:
            float32 (K,) for one face, (n, K) for several, in the order of `labels`; each row adds up to 1.

        Raises:
            LiteError: another type or shape.
        """
        if isinstance(faces, np.ndarray) and (faces.ndim == 2 or (faces.ndim == 3 and faces.shape[2] in (1, 3))):
            return self._recognize_one(faces)
        if isinstance(faces, np.ndarray) and faces.ndim not in (3, 4):
            raise LiteError(f"faces have shape (h, w), (h, w, 3), (n, h, w) or (n, h, w, 3), got {faces.shape}")
        answers = [self._recognize_one(np.asarray(face)) for face in faces]
        return np.stack(answers) if answers else np.zeros((0, len(self.labels)), np.float32)

    def run(self, faces: np.ndarray) -> np.ndarray:
        """Probabilities of faces in the model's own format.

        Args:
            faces: float32 (n, *image_spec.shape) in the range of `image_spec`.

        Returns:
            float32 (n, K), in the order of `labels`; each row adds up to 1.

        Raises:
            LiteError: another type, shape or range of values, or NaN.
        """
        faces = np.asarray(faces)
        if faces.dtype.kind != "f" or faces.shape[1:] != self.image_spec.shape:
            shape = ", ".join(map(str, self.image_spec.shape))
            raise LiteError(
                f"faces in the model's own format are float32 (n, {shape}), got {faces.dtype} {faces.shape}; "
                "recognize() takes uint8 faces of any size"
            )
        _check_range(self.image_spec, faces, "faces")
        answers = [self._run_one(face.astype(np.float32, copy=False)) for face in faces]
        return np.stack(answers) if answers else np.zeros((0, len(self.labels)), np.float32)

    def _recognize_one(self, face: np.ndarray) -> np.ndarray:
        return self._run_one(self.image_spec.scale(prepare(face, self.image_spec)))

    def _run_one(self, face: np.ndarray) -> np.ndarray:
        values = face[np.newaxis]
        if self._input["dtype"] != np.float32:
            scale, zero = self._input["quantization"]
            limits = np.iinfo(self._input["dtype"])
            values = np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(self._input["dtype"])
        with self._lock:
            interpreter = self._ready()
            interpreter.set_tensor(self._input["index"], values)
            interpreter.invoke()
            answer = interpreter.get_tensor(self._output["index"])[0]
        if answer.dtype != np.float32:
            scale, zero = self._output["quantization"]
            probabilities = (answer.astype(np.float32) - zero) * np.float32(scale)
            answer = probabilities / probabilities.sum()
        return adjusted(answer, self._weights)


class Generator(_File):
    """Runs an exported generator. Safe to call after os.fork(), and from several threads, which take turns.

    Args:
        path: a .tflite file written by `kerasfer.export.export_generator`.
        threads: number of threads.

    Attributes:
        inputs: name of an input -> shape of one row.
        labels: names of the expressions.
        image_spec: format of the images, those that go in and those that come out.
        metadata: all that the file says of itself.

    Raises:
        LiteError: the file is missing, damaged or not one of kerasfer's generators, or LiteRT is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        super().__init__(Path(path), "generator", threads)
        self.inputs: dict[str, tuple[int, ...]] = {
            name: tuple(shape) for name, shape in self.metadata["inputs"].items()
        }
        _require_tensors(Path(path), self._interpreter, self.inputs, self.image_spec)

    def generate(self, **inputs: np.ndarray) -> np.ndarray:
        """Images of n rows of every input.

        Args:
            **inputs: every one of `inputs`: float32 (n, *shape); images in the range of `image_spec`.

        Returns:
            float32 (n, h, w, c) in the range of `image_spec`.

        Raises:
            LiteError: an input is missing, unknown or of another shape, they have not the same number of rows, or
                images are of another range.
        """
        if set(inputs) != set(self.inputs):
            raise LiteError(f"the inputs are {', '.join(self.inputs)}; got {', '.join(inputs) or 'none'}")
        rows = {name: np.asarray(values, np.float32) for name, values in inputs.items()}
        for name, values in rows.items():
            if values.shape[1:] != self.inputs[name]:
                raise LiteError(f"{name} has shape (n, {', '.join(map(str, self.inputs[name]))}), got {values.shape}")
            if values.shape[1:] == self.image_spec.shape:
                _check_range(self.image_spec, values, name)
        counts = {len(values) for values in rows.values()}
        if len(counts) != 1:
            raise LiteError(f"the inputs have one number of rows, got {', '.join(map(str, sorted(counts)))}")
        with self._lock:
            run = self._ready().get_signature_runner()
            images = [
                run(**{name: values[row : row + 1] for name, values in rows.items()})["image"][0]
                for row in range(counts.pop())
            ]
        return np.stack(images) if images else np.zeros((0, *self.image_spec.shape), np.float32)


def _check_range(spec: ImageSpec, images: np.ndarray, what: str) -> None:
    """`LiteError` if images, float (n, h, w, c), are not in the range of a spec."""
    if not images.size:
        return
    try:
        spec.check_range(float(images.min()), float(images.max()), what)
    except ValueError as error:
        raise LiteError(str(error)) from error


def _require_tensors(path: Path, interpreter: Any, inputs: dict[str, tuple[int, ...]], spec: ImageSpec) -> None:
    """Raises `LiteError` if a generator's tensors are not those that its metadata tell."""
    try:
        run = interpreter.get_signature_runner()
        found = {name: tuple(entry["shape"]) for name, entry in run.get_input_details().items()}
        made = {name: tuple(entry["shape"]) for name, entry in run.get_output_details().items()}
    except (ValueError, RuntimeError) as error:
        raise LiteError(f"{path}: its signature cannot be read ({error}); export the model again") from error
    if found != {name: (1, *shape) for name, shape in inputs.items()} or made != {"image": (1, *spec.shape)}:
        raise LiteError(f"{path}: its tensors {found}, {made} contradict its metadata; export the model again")

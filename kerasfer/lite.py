"""Recognition and synthesis on a device: numpy and the LiteRT interpreter, never TensorFlow.

    pipeline = Pipeline("tdgan")  # a bundled model, a folder or a .tflite file; needs Pillow too
    for face in pipeline.recognize("photo.jpg"):
        print(face.box, face.expression, face.probabilities)

    recognizer = Recognizer("saved_models/tdgan/model_int8.tflite")  # of faces that are cut out already
    probabilities = recognizer.recognize(face)
    print(recognizer.labels[probabilities.argmax()])

The files are those of `kerasfer.export`. What must be known to use one (labels, image size, colour, pixel range) is in
the file itself, as JSON in a metadata buffer named "kerasfer".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.faces import DetectedFace, ImageSpec, Prediction
from kerasfer.forks import renew_in_child
from kerasfer.interpreter import open_interpreter
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = [
    "METADATA",
    "RECOGNIZERS",
    "Generator",
    "LiteError",
    "Pipeline",
    "Recognizer",
    "demand_whole",
    "prepare",
    "read_metadata",
    "recognizer_file",
    "resize",
    "sealed",
]

METADATA = "kerasfer"
"""Name of the metadata buffer."""

RECOGNIZERS = ("model_int8.tflite", "model_dynamic.tflite", "model_float16.tflite", "model.tflite")
"""Names of a recogniser's files, the one taken first if a folder holds several."""

UNSEALED = "0" * 64
"""What stands in a file's metadata in the place of its digest while that is computed."""

_SEAL = b'"sha256": "'
_DIGEST = re.compile("[0-9a-f]{64}")

_SUM = 0.05
"""How far from 1 the sum of an answer may be, in 8-bit integers too."""

_LUMA = np.array([19595, 38470, 7471], np.uint32)
"""Weights of R, G and B in the luma of ITU-R BT.601, in 65536ths."""


class LiteError(ValueError):
    """A model file cannot be used, or an image has another type or shape; the message says what to do."""


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
            wanted = {"recognizer": "recogniser"}.get(part, part)
            raise LiteError(f"{path}: is a {self.metadata.get('part')}, not a {wanted}; name another file")
        demand_whole(self._content, self.metadata, path)
        self.metadata.setdefault("batch", 1)
        self.labels = _labels(self.metadata, path)
        self.image_spec = _image_spec(self.metadata)
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
    """Runs an exported recogniser. Safe to call after os.fork(), and from several threads, which take turns.

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
        LiteError: the file is missing, damaged or not one of kerasfer's recognisers, or LiteRT is not installed.
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
            faces: one face, uint8 grey (h, w) or (h, w, 1) or RGB (h, w, 3), of any size; or several: uint8 (n, h, w),
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
        _demand_tensors(Path(path), self._interpreter, self.inputs, self.image_spec)

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


def _demand_tensors(path: Path, interpreter: Any, inputs: dict[str, tuple[int, ...]], spec: ImageSpec) -> None:
    """Raises `LiteError` if a generator's tensors are not those that its metadata tell."""
    try:
        run = interpreter.get_signature_runner()
        found = {name: tuple(entry["shape"]) for name, entry in run.get_input_details().items()}
        made = {name: tuple(entry["shape"]) for name, entry in run.get_output_details().items()}
    except (ValueError, RuntimeError) as error:
        raise LiteError(f"{path}: its signature cannot be read ({error}); export the model again") from error
    if found != {name: (1, *shape) for name, shape in inputs.items()} or made != {"image": (1, *spec.shape)}:
        raise LiteError(f"{path}: its tensors {found}, {made} contradict its metadata; export the model again")


def _labels(metadata: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Names of the classes; `LiteError` if they are no names, each once."""
    labels: Any = metadata.get("labels")
    named = isinstance(labels, list) and labels and all(isinstance(label, str) and label.strip() for label in labels)
    if not named or len(set(labels)) != len(labels):
        raise LiteError(f"{path}: its labels are no names, each once ({labels!r}); export the model again")
    return tuple(labels)


def _image_spec(metadata: dict[str, Any]) -> ImageSpec:
    image = metadata["image"]
    return ImageSpec(image["size"], image["channels"], image["pixel_range"])


# -- photos ------------------------------------------------------------------------------------------------------------


class Pipeline:
    """Finds the faces in photos and recognises their expressions.

    MediaPipe's detector and face mesh come with kerasfer and are run by LiteRT.
    (A bundle of `apps/export.py --bundle` brings its own.) The answers are those of `kerasfer.recognize` with the same
    file and detector. Safe to call from several threads, and in processes made by os.fork().

    Args:
        model: name of a bundled model; a .tflite file written by `kerasfer.export`; or a folder with one: of several
            the first in the order of `RECOGNIZERS`.
        threads: number of faces in a photo that are looked at side by side.
        detector: a key of `kerasfer.detection.DETECTORS`: "quick" looks no more than it must; "mediapipe", the default
            of `kerasfer.recognize`, looks again for small faces beside large ones and takes several times as long.
        landmarks: whether to locate 68 landmarks, which give the head's pose and align the face. Without, the face is
            aligned by the eyes, nose and mouth that the detector sees, and one network less is run.
        minimum_score: least confidence of the detector in a face, in [0, 1].
        prior: as for `Recognizer`.

    Attributes:
        file: the recogniser's file.
        labels: names of the expressions, in the order of the probabilities.
        image_spec: size, channels and pixel range of the aligned faces.

    Raises:
        LiteError: no such model, or the file is damaged or no recogniser of kerasfer's, or LiteRT is not installed.
        DetectionError: the detector is unknown.
        PriorError: the prior is not known or not of the model's expressions.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        threads: int = 1,
        detector: str = "quick",
        landmarks: bool = True,
        minimum_score: float = 0.5,
        prior: Prior | None = None,
    ) -> None:
        from kerasfer.detection.detectors import find_detector

        if threads < 1:
            raise LiteError(f"threads must be at least 1, got {threads}")
        self.file = recognizer_file(model)
        self._opened = threading.local()
        self._prior = prior
        recognizer = self._opened.recognizer = Recognizer(self.file, prior=prior)
        self.labels, self.image_spec = recognizer.labels, recognizer.image_spec
        self._detector = find_detector(detector)
        self._landmarks = landmarks
        self._minimum_score = minimum_score
        self._threads = threads
        self._renew()
        renew_in_child(self)

    def _renew(self) -> None:
        self._executor = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def recognize(self, photo: str | os.PathLike[str] | np.ndarray) -> list[Prediction]:
        """The expression of every face in a photo.

        Args:
            photo: as for `kerasfer.images.read`: a path, the content of an image file, a Pillow image; or uint8 RGB
                (height, width, 3), grey (height, width) or RGBA.

        Returns:
            One `Prediction` for each face, the largest first; [] if there is none. Landmarks and pose are None where
            they were not asked for, and of a face turned too far away for the mesh.

        Raises:
            ImageError: the photo cannot be read.
            DetectionError: a network of MediaPipe's is missing.
        """
        from kerasfer import images

        image, reduced = images.read_reduced(photo)
        return [face.scaled(reduced) for face in self.classify(image, self.detect(image))]

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        """The faces in an image, uint8 RGB (height, width, 3), the largest first."""
        from kerasfer.detection.detectors import detect

        return detect(image, self._detector, self._landmarks, self._landmarks, self._minimum_score, self._executor)

    def classify(self, image: np.ndarray, faces: Sequence[DetectedFace]) -> list[Prediction]:
        """The predictions for faces found in an image, uint8 RGB (height, width, 3), in order."""
        from kerasfer.detection.alignment import align

        def answer(face: DetectedFace) -> Prediction:
            if not hasattr(self._opened, "recognizer"):
                self._opened.recognizer = Recognizer(self.file, prior=self._prior)
            aligned = align(image, face, self.image_spec.size)
            return Prediction.of(face, self.labels, self._opened.recognizer.recognize(aligned))

        apply = map if self._executor is None or len(faces) < 2 else self._executor.map
        return list(apply(answer, faces))


def recognizer_file(model: str | os.PathLike[str]) -> Path:
    """The recogniser's file that a bundled model's name, a folder or a path means.

    Raises:
        LiteError: there is none.
    """
    path = Path(model)
    if path.suffix != ".tflite" and not path.is_dir():
        from kerasfer.weights import bundled

        known = bundled()
        if str(model) not in known:
            raise LiteError(f"{model}: neither a .tflite file, nor a folder, nor one of: {', '.join(known) or 'none'}")
        path = known[str(model)]
    if not path.is_dir():
        return path
    for name in RECOGNIZERS:
        if (path / name).is_file():
            return path / name
    raise LiteError(f"{path}: holds none of {', '.join(RECOGNIZERS)}; write them with apps/export.py")


# -- faces -------------------------------------------------------------------------------------------------------------


def prepare(face: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's colour and size, like `kerasfer.images.prepare_uint8` within one grey level.

    Args:
        face: uint8, grey (h, w) or (h, w, 1) or RGB (h, w, 3).
        spec: the model's image format.

    Returns:
        uint8 of `spec.shape`.

    Raises:
        LiteError: another type or shape.
    """
    if (
        face.dtype != np.uint8
        or 0 in face.shape
        or not (face.ndim == 2 or (face.ndim == 3 and face.shape[2] in (1, 3)))
    ):
        raise LiteError(f"a face is uint8 (h, w) or (h, w, 3), got {face.dtype} {face.shape}; scale it to 0..255")
    if face.ndim == 2:
        face = face[:, :, np.newaxis]
    if spec.channels == 1 and face.shape[2] == 3:
        face = ((face @ _LUMA + 0x8000) >> 16).astype(np.uint8)[:, :, np.newaxis]
    elif spec.channels == 3 and face.shape[2] == 1:
        face = np.repeat(face, 3, axis=2)
    return resize(face, spec.size)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Mean over the covered area along an axis that shrinks, linear along one that grows.

    Args:
        image: uint8 (h, w, c).
        size: new height and width.

    Returns:
        uint8 (size, size, c).
    """
    values = image.astype(np.float32)
    for axis in (0, 1):
        if image.shape[axis] != size:
            weights = _weights(image.shape[axis], size)
            values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _weights(length: int, size: int) -> np.ndarray:
    """How much each of `length` pixels counts in each of `size` new ones, float32 (size, length); rows add up to 1."""
    ratio = length / size
    new, old = np.arange(size)[:, np.newaxis], np.arange(length)[np.newaxis]
    if ratio > 1:
        overlap = np.minimum((new + 1) * ratio, old + 1) - np.maximum(new * ratio, old)
        return (np.clip(overlap, 0, None) / ratio).astype(np.float32)
    center = np.clip((new + 0.5) * ratio - 0.5, 0, length - 1)
    return np.clip(1 - np.abs(center - old), 0, None).astype(np.float32)


# -- metadata ----------------------------------------------------------------------------------------------------------


def read_metadata(content: bytes, origin: str = "model") -> dict[str, Any]:
    """What a .tflite file written by kerasfer says of itself.

    Args:
        content: the file's bytes.
        origin: what a message calls the file.

    Raises:
        LiteError: not a TFLite file, a damaged one, one without kerasfer's metadata, or with metadata that cannot be:
            labels that are missing or there twice, an unknown pixel range, and the like.
    """
    if content[4:8] != b"TFL3":
        raise LiteError(f"{origin}: not a TFLite file; name a .tflite file written by kerasfer.export")
    try:
        for name, data in _metadata_buffers(content):
            if name == METADATA.encode():
                return _possible(json.loads(data), origin)
    except LiteError:
        raise
    except (struct.error, IndexError, ValueError, RecursionError) as error:
        raise LiteError(f"{origin}: damaged ({error}); copy or export it again") from error
    raise LiteError(
        f"{origin}: carries no kerasfer metadata, so its labels are unknown; export it with kerasfer.export"
    )


def _possible(metadata: Any, origin: str) -> dict[str, Any]:
    """Metadata, if they are such as an export writes; else `LiteError`."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise LiteError(f"{origin}: {what}; copy it or export it again")

    demand(isinstance(metadata, dict), "its metadata are no JSON object")
    labels = metadata.get("labels")
    texts = isinstance(labels, list) and all(isinstance(label, str) and label.strip() for label in labels)
    demand(bool(texts and labels), "its metadata have no list of labels, each with a name")
    demand(len(set(labels)) == len(labels), f"of its labels some are there twice: {reprlib.repr(labels)}")
    image = metadata.get("image")
    demand(isinstance(image, dict) and {"size", "channels", "pixel_range"} <= set(image), "tells no image format")
    try:
        _image_spec(metadata)
    except ValueError as error:
        raise LiteError(f"{origin}: {error}; copy it or export it again") from error
    inputs = metadata.get("inputs", {} if metadata.get("part") != "generator" else None)
    shapes = isinstance(inputs, dict) and all(
        isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape) for shape in inputs.values()
    )
    demand(shapes, "tells no shapes of the generator's inputs")
    return metadata


def sealed(content: bytes) -> bytes:
    """A TFLite file whose metadata have the entry "sha256", `UNSEALED`, with the digest of the file in its place."""
    place = content.index(_SEAL + UNSEALED.encode()) + len(_SEAL)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:place] + digest + content[place + len(digest) :]


def demand_whole(content: bytes, metadata: dict[str, Any], path: Path) -> None:
    """Raises `LiteError` if a file is not what was exported.

    The digest is in the file; for older files it is in the parity.json beside them, if there is one.

    Args:
        content: the file's bytes.
        metadata: what it says of itself.
        path: where it is.
    """
    digest = metadata.get("sha256")
    if digest is None and not any(isinstance(value, str) and _DIGEST.fullmatch(value) for value in metadata.values()):
        expected = _digest_beside(path)
        whole = expected in (None, hashlib.sha256(content).hexdigest())
    else:
        entry = _SEAL + str(digest).encode()
        bare = content.replace(entry, _SEAL + UNSEALED.encode(), 1)
        whole = entry in content and hashlib.sha256(bare).hexdigest() == digest
    if not whole:
        raise LiteError(f"{path}: damaged: its checksum is not that of the export; copy or export it again")


def _digest_beside(path: Path) -> str | None:
    """What the note of an export beside a file tells of it; None if nothing."""
    from kerasfer.weights import ZooError, read_json

    for name in ("parity.json", "generator_parity.json"):
        if (path.parent / name).is_file():
            try:
                entry = read_json(path.parent / name).get("files", {}).get(path.name)
                if entry is not None:
                    return str(entry["sha256"])
            except ZooError as error:
                raise LiteError(str(error)) from error
            except (AttributeError, KeyError, TypeError) as error:
                raise LiteError(f"{path.parent / name}: damaged; copy the model's folder again") from error
    return None


def _metadata_buffers(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each metadata buffer.

    Reads as much of the FlatBuffers format as that takes. In the schema of TFLite a Model has its buffers as field 4
    and its metadata as field 6, a Metadata its name as field 0 and the number of its buffer as field 1, and a Buffer
    its data as field 0.
    """

    def number(kind: str, position: int) -> int:
        return struct.unpack_from(f"<{kind}", content, position)[0]

    def field(table: int, index: int) -> int:
        """Where a field of a table is, or 0 if the table leaves it out."""
        layout = table - number("i", table)
        entry = 4 + 2 * index
        offset = number("H", layout + entry) if entry < number("H", layout) else 0
        return table + offset if offset else 0

    def target(position: int) -> int:
        return position + number("I", position)

    def tables(position: int) -> list[int]:
        start = target(position)
        return [target(start + 4 + 4 * index) for index in range(number("I", start))]

    def data(position: int) -> bytes:
        start = target(position)
        return content[start + 4 : start + 4 + number("I", start)]

    model = target(0)
    buffers = tables(field(model, 4))
    listed = field(model, 6)
    for entry in tables(listed) if listed else ():
        place = field(entry, 1)
        contained = field(buffers[number("I", place) if place else 0], 0)
        yield data(field(entry, 0)), data(contained) if contained else b""

"""From photos to expressions: find the faces, align them, ask a model, draw the answer."""

from __future__ import annotations

import collections
import dataclasses
import functools
import glob
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kerasfer import detection, folders, images, lite
from kerasfer.detection import DetectionError, Detector, align, detect, find_detector
from kerasfer.expressions import ACTION_UNITS, LabelSpace
from kerasfer.faces import Box, DetectedFace, ImageSpec, Prediction
from kerasfer.files import printable
from kerasfer.graphs import in_graph
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = [
    "COLORS",
    "FaceClassifier",
    "PhotoResult",
    "RecognitionError",
    "RecognitionModel",
    "annotate",
    "classify",
    "find_photos",
    "recognize",
    "recognize_each",
    "recognize_faces",
    "recognition_model",
]

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray
"""A photo as `images.read` takes it: a path, the content of an image file, a Pillow image, an array or a tensor."""

_log = logging.getLogger(__name__)


class RecognitionError(ValueError):
    """There is nothing to recognise, or the model's answer is unusable; the message says what to do."""


class RecognitionModel(Protocol):
    """What a model must have to recognise: `FERModel` has it."""

    image_spec: ImageSpec
    label_space: LabelSpace

    def recognizer(self) -> Callable[[Any], Any]:
        """Faces, float32 (n, h, w, c) in the model's range, to probabilities, float32 (n, K)."""


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoResult:
    """What was recognised in one of several photos.

    Attributes:
        path: the photo's path, or what it is and its number, such as "array 0".
        predictions: one for each face, the largest face first; [] if there is none or the photo is bad.
        error: why the photo could not be read, or None.
    """

    path: str
    predictions: list[Prediction]
    error: str | None = None


def recognize(
    photos: Photo | Sequence[Photo],
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    detector: str | Detector = "mediapipe",
    batch_size: int = 32,
    minimum_score: float = 0.5,
    action_units: bool = False,
    flip: bool = False,
    blendshapes: bool = False,
    prior: Prior | None = None,
) -> list[Prediction] | list[list[Prediction]] | list[PhotoResult]:
    """Recognises the expression of every face in one photo or in many.

    Args:
        photos: one photo: the path of an image; the content of an image file, as bytes, an open binary file or a data:
            URL; a Pillow image; or an RGB array or tensor (height, width, 3), uint8, or another type with values from 0
            to 255, or floats from 0 to 1. A batch: an array or a tensor (n, height, width, 3) of these. Many: a folder
            (searched with all below it), a pattern such as "holiday/*.jpg", or a list of any of these.
        model: a name of `kerasfer.list_models()`, a folder with a trained model, a recogniser's .tflite file (which
            runs without TensorFlow), or a model.
        detector: a key of `kerasfer.detection.DETECTORS`.
        batch_size: number of faces that go through the model at once.
        minimum_score: least confidence of the detector in a face, in [0, 1].
        action_units: also tell how likely each FACS action unit is; the model must detect them, as "dcganfer" does.
        flip: take the mean of what the model says of each face and of its mirror image: twice the work, and a little
            more often right.
        blendshapes: also score the 52 movements of `kerasfer.detection.blendshapes`, whatever the model.
        prior: how frequent the expressions are to count as: "balanced" (one as much as the other: rare ones, such as
            fear, are then told more often, rightly and wrongly), "ferplus" (as in FER+), or a number for the name of
            each, such as `{"neutral": 3, "happiness": 1, ...}`; None: as in the model's training.

    Returns:
        For one photo its faces' predictions, the largest face first; [] if there is no face. For a batch a list of
        these, one for each image. For many a `PhotoResult` each, in order; one that cannot be read carries its error,
        and so does a video in a folder. What a folder holds beside these is counted in a warning to the log.

    Raises:
        ImageError: one photo was given and cannot be read, or values are in no range that images have.
        RecognitionError: the folder or the pattern holds no photos, or the model detects no action units.
        DetectionError: the detector is unknown.
        PriorError: the prior is not known or not of the model's expressions.
        ValueError: the model is unknown or its weights are damaged.
    """
    photos = _in_memory(photos)
    asked: dict[str, Any] = {"action_units": action_units, "flip": flip, "blendshapes": blendshapes, "prior": prior}
    results = recognize_each(photos, model, detector, batch_size, minimum_score, **asked)
    if _is_many(photos):
        return list(results)
    answers = []
    for result in results:
        if result.error is not None:
            raise images.ImageError(result.error)
        answers.append(result.predictions)
    return answers if _is_batch(photos) else answers[0]


def recognize_faces(
    crops: Photo | Sequence[Photo],
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    batch_size: int = 64,
    on_error: str = "entry",
    workers: int = 2,
    action_units: bool = False,
    flip: bool = False,
    prior: Prior | None = None,
) -> Prediction | list[PhotoResult]:
    """Recognises the expressions of faces that are cut out already ("crops"); no face is looked for.

    Faces should fill their pictures as in the model's training: forehead to chin, eyes level. Each is brought to the
    model's size as it is, whatever its shape.

    Args:
        crops: one: a path, a Pillow image, the content of an image file, or an array, uint8 grey (h, w), RGB (h, w, 3)
            or RGBA (h, w, 4). Many: a folder, a pattern, a list of any of these, each of a size of its own, or an array
            (n, h, w), (n, h, w, 1) or (n, h, w, 3).
        model, action_units, flip, prior: as for `recognize`.
        batch_size: number of faces that go through the model at once.
        on_error: of many, what a crop that cannot be read gives: "entry", a result that carries the error; or "raise".
        workers: number of threads that read files.

    Returns:
        For one crop its `Prediction`, whose box is the whole crop. For many a `PhotoResult` each, in order, with one
        prediction or an error.

    Raises:
        ImageError: one crop was given and cannot be read, or one of many with `on_error="raise"`.
        RecognitionError: the folder or the pattern holds no images, the list is empty, or a wrong `on_error`.
        ValueError: the model is unknown or its weights are damaged.
    """
    if on_error not in ("entry", "raise"):
        raise RecognitionError(f"on_error is 'entry' or 'raise', got {on_error!r}")
    if batch_size < 1 or workers < 1:
        raise RecognitionError(f"batch_size and workers must be at least 1, got {batch_size} and {workers}")
    crops = _in_memory(crops)
    if isinstance(crops, np.ndarray) and (crops.ndim == 4 or crops.ndim == 3 and crops.shape[2] not in (1, 3, 4)):
        found, is_many = list(images.floats_to_bytes(crops)) if len(crops) else [], True
    else:
        found, is_many = _crops(crops), _is_many(crops)
    classifier = FaceClassifier(model, batch_size, action_units, flip, prior)

    def look(numbered: tuple[int, Photo]) -> _Found:
        number, crop = numbered
        try:
            crop = images.floats_to_bytes(crop) if isinstance(crop, np.ndarray) else crop
            image = images.read_reduced(crop)[0]
            face = DetectedFace(Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0])), 1.0)
            return _Found(_name_of(crop, number), [face], [classifier.prepared(image)])
        except (ValueError, OSError, MemoryError) as error:
            return _Found(_name_of(crop, number), [], [], str(error) or type(error).__name__)

    results = []
    for result in _looked_at(found, look, classifier, workers if _reads_files(found) else 1):
        if result.error is not None and (on_error == "raise" or not is_many):
            raise images.ImageError(result.error)
        results.append(result)
    return results if is_many else results[0].predictions[0]


def _crops(crops: Any) -> list[Any]:
    """`find_photos`, but that an entry of a list which is no image, such as None, stays in it to be reported."""
    if not isinstance(crops, (list, tuple)):
        return find_photos(crops)
    found: list[Any] = []
    for entry in crops:
        try:
            found += find_photos(entry)
        except RecognitionError:
            found.append(entry)
    if not found:
        raise RecognitionError("the list of crops is empty")
    return found


def _reads_files(photos: Sequence[Photo]) -> bool:
    return any(not isinstance(photo, np.ndarray) for photo in photos)


def recognize_each(
    photos: Photo | Sequence[Photo],
    model: str | os.PathLike[str] | RecognitionModel | FaceClassifier = DEFAULT_RECOGNIZER,
    detector: str | Detector = "mediapipe",
    batch_size: int = 32,
    minimum_score: float = 0.5,
    workers: int = 2,
    action_units: bool = False,
    flip: bool = False,
    blendshapes: bool = False,
    prior: Prior | None = None,
) -> Iterator[PhotoResult]:
    """Like `recognize`, one `PhotoResult` after the other as they are ready, in order; for one photo too.

    Args:
        photos, model, detector, batch_size, minimum_score, action_units, flip, blendshapes, prior: as for `recognize`.
            The model may be a `FaceClassifier`, which has a batch_size, action_units, flip and prior of its own.
        workers: number of threads that decode photos and look for faces.

    Raises:
        RecognitionError, DetectionError, ValueError: at once, as `recognize`.
    """
    if batch_size < 1 or workers < 1:
        raise RecognitionError(f"batch_size and workers must be at least 1, got {batch_size} and {workers}")
    find_detector(detector)
    found = find_photos(photos)
    if not isinstance(model, FaceClassifier):
        model = FaceClassifier(model, batch_size, action_units, flip, prior)
    return _results(found, model, detector, minimum_score, workers, blendshapes)


def find_photos(photos: Photo | Sequence[Photo]) -> list[Photo]:
    """The photos that a path, folder, pattern, array, batch or list of those means, in order.

    In a folder they are what `folders.walk` finds, videos after the photos. A path that does not exist stays in the
    list, so that whoever reads it reports it.

    Raises:
        RecognitionError: a folder or a pattern holds no photos, the list is empty, or so is the path.
    """
    given: Any = _in_memory(photos)
    if _is_batch(given):
        return list(images.floats_to_bytes(given))
    if isinstance(given, np.ndarray) or _is_content(given):
        return [given]
    return _listed(given)


def _listed(photos: Any) -> list[Photo]:
    """`find_photos` of paths and lists."""
    if not isinstance(photos, (str, os.PathLike)):
        if not isinstance(photos, Iterable):
            raise RecognitionError(f"photos are paths, images, arrays or lists of those, not {type(photos).__name__}")
        listed = [photo for entry in photos for photo in find_photos(entry)]
        if not listed:
            raise RecognitionError("the list of photos is empty")
        return listed
    if not os.fspath(photos):
        raise RecognitionError("the path of the photo is empty; name an image file, or '.' for the current folder")
    if os.path.isdir(photos):
        found = folders.walk(photos)
        if found.left_out:
            _log.warning("%s: %s", printable(photos), found.remark())
        if not found.photos and not found.videos:
            remark = f"; {found.remark()}" if found.left_out else ""
            raise RecognitionError(f"{photos}: holds no images ({', '.join(images.IMAGE_SUFFIXES)}){remark}")
        return [*found.photos, *found.videos]
    if _is_pattern(photos):
        matches = sorted(match for match in glob.glob(os.fspath(photos), recursive=True) if os.path.isfile(match))
        if not matches:
            raise RecognitionError(f"{photos}: no file matches this pattern")
        return list(matches)
    return [photos]


def _in_memory(photos: Any) -> Any:
    """Tensors, and whatever else turns into an array, as arrays; anything else as it is."""
    if isinstance(photos, (str, os.PathLike, np.ndarray)) or _is_content(photos) or not hasattr(photos, "__array__"):
        return photos
    try:
        photos = np.asarray(photos)
    except Exception as error:
        raise RecognitionError(f"this {type(photos).__name__} has no values ({error}); give an array") from error
    return photos.item() if photos.ndim == 0 and isinstance(photos.item(), bytes) else photos


def _is_content(photo: Any) -> bool:
    """Whether this is one photo in memory or in an open file, and no array."""
    return (
        isinstance(photo, (bytes, bytearray, memoryview, Image.Image))
        or images.is_data_url(photo)
        or hasattr(photo, "read")
    )


def _is_batch(photos: Any) -> bool:
    return isinstance(photos, np.ndarray) and photos.ndim == 4


def _is_pattern(photo: str | os.PathLike[str]) -> bool:
    return glob.has_magic(os.fspath(photo)) and not os.path.lexists(photo)


def _is_many(photos: Photo | Sequence[Photo]) -> bool:
    if isinstance(photos, np.ndarray) or _is_content(photos):
        return False
    return not isinstance(photos, (str, os.PathLike)) or os.path.isdir(photos) or _is_pattern(photos)


def _name_of(photo: Photo, number: int) -> str:
    """What a result calls a photo."""
    if isinstance(photo, np.ndarray):
        return f"array {number}"
    if isinstance(photo, (str, os.PathLike)) and not images.is_data_url(photo):
        return os.fsdecode(photo)
    name = getattr(photo, "filename", None) or getattr(photo, "name", None)
    return name if isinstance(name, str) and name else f"image {number}"


def recognition_model(given: str | os.PathLike[str] | RecognitionModel) -> RecognitionModel:
    """The model that a name, a folder, a TFLite file or a model means, as for `recognize`."""
    model: Any = given
    if isinstance(model, (str, os.PathLike)) and Path(model).suffix == ".tflite":
        model = _lite_model(Path(model), Path(model).stat().st_mtime_ns if Path(model).exists() else 0)
    elif isinstance(model, str) and not os.path.exists(model):
        model = _named_model(model)
    elif isinstance(model, (str, os.PathLike)):
        from kerasfer import zoo

        model = zoo.load(model, recognizer_only=True)
    missing = [name for name in ("image_spec", "label_space", "recognizer") if not hasattr(model, name)]
    if missing:
        raise RecognitionError(f"a {type(model).__name__} cannot recognise: it has no {', '.join(missing)}")
    return model


@functools.lru_cache(maxsize=4)
def _lite_model(path: Path, modified: int) -> RecognitionModel:
    return _LiteModel(path)


@functools.lru_cache(maxsize=4)
def _named_model(name: str) -> Any:
    from kerasfer import zoo

    return zoo.load(name, recognizer_only=True)


class _LiteModel:
    """A TFLite file in the place of a model."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._recognizer = lite.Recognizer(path)
        self.image_spec = self._recognizer.image_spec
        self.label_space = LabelSpace.of(self._recognizer.labels)
        self.training_prior = self._recognizer.training_prior

    def recognizer(self) -> Callable[[np.ndarray], np.ndarray]:
        return self._recognizer.run


class _Classifier:
    """A network of a model that answers faces, for any number of faces at once.

    Args:
        model: the model.
        batch_size: faces at a time.
        network: faces to numbers; by default the model's recogniser.
        labels: what the numbers are of; by default the model's expressions.
        columns: which of the network's numbers these are.
        flip: whether the mirror image counts as much as the face.
    """

    def __init__(
        self,
        model: RecognitionModel,
        batch_size: int,
        network: Callable[[Any], Any] | None = None,
        labels: Sequence[Any] | None = None,
        columns: slice | Sequence[int] = slice(None),
        flip: bool = False,
    ) -> None:
        self.spec = model.image_spec
        self.labels = model.label_space.labels if labels is None else labels
        self.batch_size = batch_size
        self._answer = in_graph(model.recognizer() if network is None else network)
        self._columns = columns
        self._flip = flip

    def __call__(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Faces, each float32 of the model's shape, to probabilities, float64 (n, K)."""
        answers = [np.zeros((0, len(self.labels)))]
        for start in range(0, len(faces), self.batch_size):
            batch = np.stack(faces[start : start + self.batch_size])
            answer = np.asarray(self._answer(batch), np.float64)
            if self._flip:
                answer = (answer + np.asarray(self._answer(batch[:, :, ::-1]), np.float64)) / 2
            answers.append(answer[:, self._columns])
        probabilities = np.concatenate(answers)
        if probabilities.shape != (len(faces), len(self.labels)) or not np.isfinite(probabilities).all():
            raise RecognitionError(
                f"the model answers {len(faces)} faces with an array {probabilities.shape} or with values that are not "
                f"finite, not with {len(self.labels)} probabilities each; its weights are damaged"
            )
        return probabilities


def _units_of(model: Any, batch_size: int, flip: bool) -> _Classifier:
    """What tells a model's action units; its labels are their numbers."""
    learnt = getattr(model, "learnt_units", ())
    if not learnt:
        raise RecognitionError(
            f"the {type(model).__name__} model detects no action units; take one that does, such as dcganfer, fitted"
        )
    columns = [ACTION_UNITS.index(unit) for unit in learnt]
    return _Classifier(model, batch_size, model.unit_detector(), learnt, columns, flip)


def classify(
    model: RecognitionModel,
    image: np.ndarray,
    faces: Sequence[DetectedFace],
    batch_size: int = 32,
    prior: Prior | None = None,
) -> list[Prediction]:
    """The predictions for faces that are already found.

    Args:
        model: the model.
        image: uint8 RGB (height, width, 3).
        faces: faces in the image, as `detection.detect` finds them.
        batch_size: number of faces that go through the model at once.
        prior: as for `recognize`.

    Returns:
        One prediction for each face, in order.
    """
    classifier = FaceClassifier(model, batch_size, prior=prior)
    return classifier(faces, [classifier.aligned(image, face) for face in faces])


class FaceClassifier:
    """Says what faces express that are already found.

    Args:
        model: as for `recognize`.
        batch_size: number of faces that go through the model at once.
        action_units: whether to tell how likely each FACS action unit is, too.
        flip: whether to take the mean of what the model says of each face and of its mirror image.
        prior: as for `recognize`.

    Attributes:
        batch_size: as given.
        labels: names of the expressions, in the model's order.
        units: numbers of the action units that are told; () if none are.

    Raises:
        RecognitionError, ValueError: as `recognize`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
        batch_size: int = 32,
        action_units: bool = False,
        flip: bool = False,
        prior: Prior | None = None,
    ) -> None:
        model = recognition_model(model)
        self._weights = prior_weights(prior, model.label_space.labels, getattr(model, "training_prior", None))
        self._expressions = _Classifier(model, batch_size, flip=flip)
        self._action_units = _units_of(model, batch_size, flip) if action_units else None
        self.batch_size = batch_size
        self.labels: tuple[str, ...] = tuple(self._expressions.labels)
        self.units: tuple[int, ...] = () if self._action_units is None else tuple(map(int, self._action_units.labels))

    def prepared(self, face: np.ndarray) -> np.ndarray:
        """A cut-out face, uint8 RGB (height, width, 3), as the model wants it: float32 (h, w, c)."""
        return images.prepare(face, self._expressions.spec)

    def aligned(self, image: np.ndarray, face: DetectedFace) -> np.ndarray:
        """A face of an image, uint8 RGB (height, width, 3), as the model wants it: float32 (h, w, c)."""
        spec = self._expressions.spec
        return images.prepare(align(image, face, spec.size), spec)

    def __call__(self, faces: Sequence[DetectedFace], aligned: Sequence[np.ndarray]) -> list[Prediction]:
        """The predictions for faces and what `aligned` gave for each, in order."""
        units: list[dict[int, float] | None] = [None] * len(faces)
        if self._action_units:
            units = [dict(zip(self.units, row)) for row in self._action_units(aligned).tolist()]
        rows = zip(faces, adjusted(self._expressions(aligned), self._weights), units, strict=True)
        return [Prediction.of(face, self.labels, probabilities, shown) for face, probabilities, shown in rows]


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """A photo between detection and classification.

    Attributes:
        reduced: by how much the image was smaller than the photo, whose faces these are.
    """

    path: str
    faces: list[DetectedFace]
    aligned: list[np.ndarray]
    error: str | None = None
    reduced: int = 1


def _results(
    photos: Sequence[Photo],
    classifier: FaceClassifier,
    detector: str | Detector,
    minimum_score: float,
    workers: int,
    blendshapes: bool,
) -> Iterator[PhotoResult]:
    def look(numbered: tuple[int, Photo]) -> _Found:
        number, photo = numbered
        path = _name_of(photo, number)
        try:
            photo = images.floats_to_bytes(photo) if isinstance(photo, np.ndarray) else photo
            image, reduced = images.read_reduced(photo)
            faces = detect(image, detector, minimum_score=minimum_score)
            if blendshapes:
                scores = detection.blendshapes(image, faces)
                faces = [dataclasses.replace(face, blendshapes=shown) for face, shown in zip(faces, scores)]
            return _Found(path, faces, [classifier.aligned(image, face) for face in faces], reduced=reduced)
        except DetectionError:
            raise
        except (ValueError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(photo, (str, os.PathLike)) and folders.kind_of(photo) == "video":
                reason = f"{path}: a video, not a photo; give it to kerasfer.video.recognize_video"
            return _Found(path, [], [], reason)

    return _looked_at(photos, look, classifier, workers)


def _looked_at(
    photos: Sequence[Photo], look: Callable[[tuple[int, Photo]], _Found], classifier: FaceClassifier, workers: int
) -> Iterator[PhotoResult]:
    """What `look` finds in each photo, classified in batches; in order."""
    batch_size = classifier.batch_size
    if len(photos) <= 1 or workers == 1:
        # In this thread, whose interpreters of the detector's networks are open from the last photo.
        numbered = list(enumerate(photos))
        for start in range(0, len(numbered), batch_size):
            yield from _classified([look(photo) for photo in numbered[start : start + batch_size]], classifier)
        return
    executor = ThreadPoolExecutor(min(workers, len(photos)))
    try:
        waiting: list[_Found] = []
        for found in _ahead(executor, look, enumerate(photos), 4 * workers):
            waiting.append(found)
            if sum(len(entry.faces) for entry in waiting) >= batch_size or len(waiting) >= 2 * batch_size:
                yield from _classified(waiting, classifier)
                waiting = []
        yield from _classified(waiting, classifier)
    finally:
        executor.shutdown(cancel_futures=True)


def _ahead(executor: Executor, function: Callable[[Any], Any], entries: Iterable[Any], most: int) -> Iterator[Any]:
    """Like `executor.map`, but no more than `most` entries ahead of whoever takes the results."""
    waiting: collections.deque[Future] = collections.deque()
    for entry in entries:
        waiting.append(executor.submit(function, entry))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _classified(waiting: Sequence[_Found], classifier: FaceClassifier) -> Iterator[PhotoResult]:
    faces = [face for found in waiting for face in found.faces]
    predictions = iter(classifier(faces, [face for found in waiting for face in found.aligned]))
    for found in waiting:
        shown = itertools.islice(predictions, len(found.faces))
        yield PhotoResult(found.path, [prediction.scaled(found.reduced) for prediction in shown], found.error)


COLORS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (110, 110, 110))
"""Okabe and Ito's colours, which people with any colour vision can tell apart."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_INK, _PAPER, _FAINT = (30, 30, 30), (255, 255, 255), (190, 190, 190)


def annotate(image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
    """Draws each face's box with its number and expression, and beside the photo the probabilities as bars.

    Args:
        image: uint8 RGB (height, width, 3).
        predictions: of the faces in it.

    Returns:
        uint8 RGB; the photo's longer side is brought between 480 and 1600 pixels.
    """
    longer = max(image.shape[:2])
    scale = min(max(longer, 480), 1600) / longer
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    line = max(14, round(max(height, width) / 40))
    font = ImageFont.load_default(line * 0.8)
    panel = _panel(predictions, line, font, height)
    canvas = Image.new("RGB", (width + panel.width, max(height, panel.height)), _PAPER)
    canvas.paste(Image.fromarray(images.resize(image, (height, width))), (0, 0))
    drawing = ImageDraw.Draw(canvas)
    for number, prediction in enumerate(predictions, 1):
        _draw_box(drawing, prediction, number, scale, (width, height), line, font)
    canvas.paste(panel, (width, 0))
    return np.array(canvas)


def _draw_box(
    drawing: ImageDraw.ImageDraw,
    prediction: Prediction,
    number: int,
    scale: float,
    limits: tuple[int, int],
    line: int,
    font: _Font,
) -> None:
    color = COLORS[(number - 1) % len(COLORS)]
    box = Box(*(side * scale for side in dataclasses.astuple(prediction.box)))
    thickness = max(2, line // 8)
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = max(min(box.right, limits[0] - 1), left), max(min(box.bottom, limits[1] - 1), top)
    drawing.rectangle((left, top, right, bottom), outline=color, width=thickness)
    text = f"{number} {prediction.expression}"
    wide = drawing.textlength(text, font=font) + line * 0.5
    label_left = min(max(left, 0), max(limits[0] - wide, 0))
    label_top = top - line if top >= line else top
    drawing.rectangle((label_left, label_top, label_left + wide, label_top + line), fill=color)
    drawing.text((label_left + line * 0.25, label_top + line / 2), text, fill=_PAPER, font=font, anchor="lm")


def _panel(predictions: Sequence[Prediction], line: int, font: _Font, height: int) -> Image.Image:
    """The bars of all faces, beside a photo of that height; the three longest of each where all would not fit."""
    if not predictions:
        panel = Image.new("RGB", (line * 8, line * 3), _PAPER)
        ImageDraw.Draw(panel).text((line, line * 1.5), "no face found", fill=_INK, font=font, anchor="lm")
        return panel
    bars = len(predictions[0].probabilities)
    if len(predictions) > 2 * max(1, height // (line * (bars + 2))):
        bars = min(bars, 3)
    cell_height, cell_width = line * (bars + 2), line * 16
    columns = min(-(-len(predictions) // max(1, height // cell_height)), 4)
    rows = -(-len(predictions) // columns)
    panel = Image.new("RGB", (cell_width * columns, cell_height * rows), _PAPER)
    drawing = ImageDraw.Draw(panel)
    for index, prediction in enumerate(predictions):
        left, top = (index // rows) * cell_width + line, (index % rows) * cell_height + line * 0.5
        color = COLORS[index % len(COLORS)]
        title = f"{index + 1} {prediction.expression} {prediction.confidence:.0%}"
        drawing.text((left, top + line / 2), title, fill=color, font=font, anchor="lm")
        shown = sorted(prediction.probabilities, key=prediction.probabilities.__getitem__, reverse=True)[:bars]
        for label, probability in prediction.probabilities.items():
            if label not in shown:
                continue
            top += line
            drawing.text((left, top + line / 2), label, fill=_INK, font=font, anchor="lm")
            start, full = left + line * 5.5, line * 6
            fill = color if label == prediction.expression else _FAINT
            drawing.rectangle((start, top + line * 0.2, start + full * probability, top + line * 0.8), fill=fill)
            drawing.text(
                (start + full + line * 0.3, top + line / 2), f"{probability:.0%}", fill=_INK, font=font, anchor="lm"
            )
    return panel

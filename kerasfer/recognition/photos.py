"""The expressions of all faces in one photo or in many."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from kerasfer import folders, images
from kerasfer.detection import DetectionError, Detector, detect, find_detector, landmarker
from kerasfer.faces import Box, DetectedFace, Prediction
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior
from kerasfer.recognition.classifier import ActionUnits, FaceClassifier, RecognitionModel
from kerasfer.recognition.inputs import Photo, RecognitionError, are_many, find_photos, in_memory, is_batch, name_of
from kerasfer.recognition.shown import Faces, PhotoResult, PhotoResults

__all__ = ["PhotoResult", "recognize", "recognize_each", "recognize_faces"]


def recognize(
    photos: Photo | Sequence[Photo],
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    detector: str | Detector = "mediapipe",
    batch_size: int = 32,
    minimum_score: float = 0.5,
    action_units: ActionUnits = False,
    flip: bool = False,
    blendshapes: bool = False,
    prior: Prior | None = None,
) -> list[Prediction] | list[list[Prediction]] | list[PhotoResult]:
    """Recognizes the expression of every face in one photo or in many.

    Args:
        photos: one photo: the path of an image; the content of an image file, as bytes, an open binary file or a data:
            URL; a Pillow image; or an RGB array or tensor (height, width, 3), uint8, or another type with values from 0
            to 255, or floats from 0 to 1. A batch: an array or a tensor (n, height, width, 3) of these. Many: a folder
            (searched with all below it), a pattern such as "holiday/*.jpg", or a list of any of these.
        model: a name of `kerasfer.list_models()`, a folder with a trained model, a recognizer's .tflite file (which
            runs without TensorFlow), or a model.
        detector: a key of `kerasfer.detection.DETECTORS`.
        batch_size: number of faces that go through the model at once.
        minimum_score: least confidence of the detector in a face, in [0, 1].
        action_units: also tell how likely each FACS action unit is: True or "movements" by the blendshapes and what the
            expression implies (`kerasfer.units`), whatever the model; "machines" by the model's own, as dcganfer has.
        flip: take the mean of what the model says of each face and of its mirror image: twice the work, and a little
            more often right.
        blendshapes: also score the 52 movements of `kerasfer.detection.blendshapes`, whatever the model.
        prior: how frequent the expressions are to count as: "balanced" (one as much as the other: rare ones, such as
            fear, are then told more often, rightly and wrongly), "ferplus" (as in FER+), or a number for the name of
            each, such as `{"neutral": 3, "happiness": 1, ...}`; None: as in the model's training.

    Returns:
        For one photo its faces' predictions, the largest face first; [] if there is no face. For a batch a list of
        these, one for each image. For many a `PhotoResult` each, in order; one that cannot be read carries its error,
        and so does a video in a folder. What a folder holds beside these is counted in a warning to the log. A notebook
        shows the photo with its faces marked, or a table of many.

    Raises:
        ImageError: one photo was given and cannot be read, or values are in no range that images have.
        RecognitionError: the folder or the pattern holds no photos, or the model has no machines for action units.
        DetectionError: the detector is unknown.
        PriorError: the prior is not known or not of the model's expressions.
        ValueError: the model is unknown or its weights are damaged.
    """
    photos = in_memory(photos)
    asked: dict[str, Any] = {"action_units": action_units, "flip": flip, "blendshapes": blendshapes, "prior": prior}
    results = recognize_each(photos, model, detector, batch_size, minimum_score, **asked)
    if are_many(photos):
        return PhotoResults(results)
    answers: list[list[Prediction]] = []
    for result in results:
        if result.error is not None:
            raise images.ImageError(result.error)
        answers.append(Faces(result.predictions, None if is_batch(photos) else photos))
    return answers if is_batch(photos) else answers[0]


def recognize_faces(
    crops: Photo | Sequence[Photo],
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    batch_size: int = 64,
    on_error: str = "entry",
    workers: int = 2,
    action_units: ActionUnits = False,
    flip: bool = False,
    prior: Prior | None = None,
) -> Prediction | list[PhotoResult]:
    """Recognizes the expressions of faces that are cut out already ("crops"); no face is looked for.

    Faces should fill their pictures as in the model's training: forehead to chin, eyes level. Each is brought to the
    model's size as it is, whatever its shape.

    Args:
        crops: one: a path, a Pillow image, the content of an image file, or an array, uint8 gray (h, w), RGB (h, w, 3)
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
    crops = in_memory(crops)
    if isinstance(crops, np.ndarray) and (crops.ndim == 4 or crops.ndim == 3 and crops.shape[2] not in (1, 3, 4)):
        found, is_many = list(images.floats_to_bytes(crops)) if len(crops) else [], True
    else:
        found, is_many = _crops(crops), are_many(crops)
    classifier = FaceClassifier(model, batch_size, action_units, flip, prior)

    def look(numbered: tuple[int, Photo]) -> _Found:
        number, crop = numbered
        try:
            crop = images.floats_to_bytes(crop) if isinstance(crop, np.ndarray) else crop
            image = images.read_reduced(crop)[0]
            face = DetectedFace(Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0])), 1.0)
            if classifier.needs_movements:
                face = landmarker.moved(face, landmarker.points_of_crop(image))
            return _Found(name_of(crop, number), [face], [classifier.prepared(image)])
        except (ValueError, OSError, MemoryError) as error:
            return _Found(name_of(crop, number), [], [], str(error) or type(error).__name__)

    results = PhotoResults()
    looked_at = _looked_at(found, look, classifier, workers if _reads_files(found) else 1)
    for result in _without_blendshapes(looked_at):
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
    action_units: ActionUnits = False,
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
        path = name_of(photo, number)
        try:
            photo = images.floats_to_bytes(photo) if isinstance(photo, np.ndarray) else photo
            image, reduced = images.read_reduced(photo)
            faces = detect(image, detector, minimum_score=minimum_score)
            if blendshapes or classifier.needs_movements:
                faces = landmarker.with_movements(image, faces)
            return _Found(path, faces, [classifier.aligned(image, face) for face in faces], reduced=reduced)
        except DetectionError:
            raise
        except (ValueError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(photo, (str, os.PathLike)) and folders.kind_of(photo) == "video":
                reason = f"{path}: a video, not a photo; give it to kerasfer.video.recognize_video"
            return _Found(path, [], [], reason)

    results = _looked_at(photos, look, classifier, workers)
    return results if blendshapes else _without_blendshapes(results)


def _without_blendshapes(results: Generator[PhotoResult, None, None]) -> Generator[PhotoResult, None, None]:
    """Results as they are told to who did not ask for the blendshapes that action units were read from."""
    with contextlib.closing(results):
        for result in results:
            kept = [dataclasses.replace(prediction, blendshapes=None) for prediction in result.predictions]
            yield dataclasses.replace(result, predictions=kept)


def _looked_at(
    photos: Sequence[Photo], look: Callable[[tuple[int, Photo]], _Found], classifier: FaceClassifier, workers: int
) -> Generator[PhotoResult, None, None]:
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

"""What faces express that are already found and aligned."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerasfer import images, lite, units
from kerasfer.detection import align
from kerasfer.expressions import ACTION_UNITS, LabelSpace
from kerasfer.faces import BLENDSHAPES, DetectedFace, ImageSpec, Prediction
from kerasfer.graphs import in_graph
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior, adjusted, prior_weights
from kerasfer.recognition.inputs import RecognitionError

__all__ = ["UNIT_SOURCES", "ActionUnits", "FaceClassifier", "RecognitionModel", "classify", "recognition_model"]


ActionUnits = bool | str
"""Whether action units are told, and by what: True, False or one of `UNIT_SOURCES`."""

UNIT_SOURCES = ("movements", "machines")
"""What tells action units: `kerasfer.units`, of the blendshapes and the expression; or a model's own machines."""


class RecognitionModel(Protocol):
    """What a model must have to recognize: `FERModel` has it."""

    image_spec: ImageSpec
    label_space: LabelSpace

    def recognizer(self) -> Callable[[Any], Any]:
        """Faces, float32 (n, h, w, c) in the model's range, to probabilities, float32 (n, K)."""


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
        raise RecognitionError(f"a {type(model).__name__} cannot recognize: it has no {', '.join(missing)}")
    return model


@functools.lru_cache(maxsize=4)
def _lite_model(path: Path, modified: int) -> RecognitionModel:
    return _LiteModel(path)


@functools.lru_cache(maxsize=4)
def _named_model(name: str) -> Any:
    from kerasfer import zoo

    return zoo.load(name, recognizer_only=True)


class _LiteModel:
    """A TFLite file with the interface of a model."""

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
        network: faces to numbers; by default the model's recognizer.
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


def _machines_of(model: Any, batch_size: int, flip: bool) -> _Classifier:
    """What tells a model's action units; its labels are their numbers."""
    learned = getattr(model, "learned_units", ())
    if not learned:
        raise RecognitionError(
            f"the {type(model).__name__} model has no machines for action units; take one that has, such as dcganfer, "
            "fitted, or action_units=True, which goes by movements"
        )
    columns = [ACTION_UNITS.index(unit) for unit in learned]
    return _Classifier(model, batch_size, model.unit_detector(), learned, columns, flip)


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
        action_units: whether to tell how likely each FACS action unit is, too, and by what, as for `recognize`.
        flip: whether to take the mean of what the model says of each face and of its mirror image.
        prior: as for `recognize`.

    Attributes:
        batch_size: as given.
        labels: names of the expressions, in the model's order.
        units: numbers of the action units that are told; () if none are.
        needs_movements: whether the faces must come with their blendshapes.

    Raises:
        RecognitionError, ValueError: as `recognize`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
        batch_size: int = 32,
        action_units: ActionUnits = False,
        flip: bool = False,
        prior: Prior | None = None,
    ) -> None:
        if action_units not in (True, False, *UNIT_SOURCES):
            raise RecognitionError(f"action_units is True, False, {' or '.join(UNIT_SOURCES)}, got {action_units!r}")
        model = recognition_model(model)
        self._weights = prior_weights(prior, model.label_space.labels, getattr(model, "training_prior", None))
        self._expressions = _Classifier(model, batch_size, flip=flip)
        self._machines = _machines_of(model, batch_size, flip) if action_units == "machines" else None
        self.needs_movements = action_units in (True, "movements")
        self.batch_size = batch_size
        self.labels: tuple[str, ...] = tuple(self._expressions.labels)
        self.units: tuple[int, ...] = tuple(units.UNITS) if self.needs_movements else ()
        if self._machines is not None:
            self.units = tuple(map(int, self._machines.labels))

    def prepared(self, face: np.ndarray) -> np.ndarray:
        """A cut-out face, uint8 RGB (height, width, 3), as the model wants it: float32 (h, w, c)."""
        return images.prepare(face, self._expressions.spec)

    def aligned(self, image: np.ndarray, face: DetectedFace) -> np.ndarray:
        """A face of an image, uint8 RGB (height, width, 3), as the model wants it: float32 (h, w, c)."""
        spec = self._expressions.spec
        return images.prepare(align(image, face, spec.size), spec)

    def __call__(self, faces: Sequence[DetectedFace], aligned: Sequence[np.ndarray]) -> list[Prediction]:
        """The predictions for faces and what `aligned` gave for each, in order."""
        probabilities = adjusted(self._expressions(aligned), self._weights)
        shown: list[dict[int, float] | None] = [None] * len(faces)
        if self.units and faces:
            shown = [dict(zip(self.units, row)) for row in self._units(faces, aligned, probabilities).tolist()]
        return [
            Prediction.of(face, self.labels, answer, present, self._details(face))
            for face, answer, present in zip(faces, probabilities, shown, strict=True)
        ]

    def _details(self, face: DetectedFace) -> dict[str, float] | None:
        """Intensities and sides of units that go by movements."""
        return units.details(face.blendshapes) if self.needs_movements and face.blendshapes else None

    def _units(
        self, faces: Sequence[DetectedFace], aligned: Sequence[np.ndarray], probabilities: np.ndarray
    ) -> np.ndarray:
        """Probabilities of the action units, (n, number of units)."""
        if self._machines is not None:
            return self._machines(aligned)
        unknown = dict.fromkeys(BLENDSHAPES, np.nan)
        scores = [[(face.blendshapes or unknown)[name] for name in BLENDSHAPES] for face in faces]
        unmeasured = (np.nan,) * len(units.MEASURES)
        measures = [unmeasured if face.measures is None else face.measures for face in faces]
        return units.probabilities(np.array(scores), probabilities, self.labels, np.array(measures))

"""What bad pictures cost, and whether a recognizer knows: accuracy and confidence on faces made worse in known ways.

    report = robustness(kerasfer.load("wild"), table)
    print(report)

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019,
measure so. Confidence is judged by how well it tells right answers from wrong ones, over all conditions together, and
by what it is on pictures that show no face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from kerasfer import images
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.classification import Recognizes, true_classes
from kerasfer.graphs import in_graph
from kerasfer.priors import Prior, adjusted, prior_weights

__all__ = ["CONDITIONS", "ConditionResult", "RobustnessReport", "robustness", "spoiled", "without_faces"]

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _smaller(side: int) -> Change:
    def change(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return images.resize(images.resize(face, side), face.shape[:2])

    return change


def _blurred(share: float) -> Change:
    return lambda face, generator: cv2.GaussianBlur(face, (0, 0), share * face.shape[0]).reshape(face.shape)


def _darker(exponent: float) -> Change:
    levels = np.uint8(np.rint((np.arange(256) / 255) ** exponent * 255))
    return lambda face, generator: levels[face]


def _compressed(quality: int) -> Change:
    def change(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _, content = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(content, cv2.IMREAD_UNCHANGED).reshape(face.shape)

    return change


def _grainy(deviation: float) -> Change:
    def change(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.uint8(np.clip(np.rint(face + generator.normal(0, deviation, face.shape)), 0, 255))

    return change


def _covered(top: float, bottom: float, left: float = 0.0, right: float = 1.0, level: int = 200) -> Change:
    def change(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        covered, side = face.copy(), len(face)
        covered[round(top * side) : round(bottom * side), round(left * side) : round(right * side)] = level
        return covered

    return change


def _turned(degrees: float) -> Change:
    def change(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        side = face.shape[0]
        angle = degrees if generator.random() < 0.5 else -degrees
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1.0)
        return cv2.warpAffine(face, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE).reshape(face.shape)

    return change


CONDITIONS: dict[str, Change] = {
    "as they are": lambda face, generator: face,
    "32 pixels": _smaller(32),
    "24 pixels": _smaller(24),
    "16 pixels": _smaller(16),
    "blur, 1/48 of the side": _blurred(1 / 48),
    "blur, 1/24 of the side": _blurred(1 / 24),
    "dark, exponent 2": _darker(2.0),
    "dark, exponent 4": _darker(4.0),
    "JPEG, quality 30": _compressed(30),
    "JPEG, quality 10": _compressed(10),
    "grain, 10 levels": _grainy(10.0),
    "grain, 25 levels": _grainy(25.0),
    "leaning by 20 degrees": _turned(20.0),
    "a mask over mouth and nose": _covered(0.55, 1.0),
    "eyes covered": _covered(0.2, 0.48),
}
"""What is done to faces as tight as FER+'s -> how. Sizes are the sides that faces are made smaller to; the standard
deviation of a blur is a part of the side; exponents are of light in [0, 1]."""


def spoiled(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A face with one thing done to it of the kinds in `CONDITIONS`, or nothing, as strongly as is drawn.

    Args:
        face: uint8 (h, h, c).
        generator: draws what is done.
    """
    top, left = generator.uniform(0.0, 0.6, 2)
    height, width = generator.uniform((0.2, 0.4), (0.55, 1.0))
    changes: tuple[Change, ...] = (
        lambda face, generator: face,
        _smaller(int(generator.integers(10, 40))),
        _blurred(generator.uniform(0.01, 0.06)),
        _darker(np.exp(generator.uniform(np.log(0.3), np.log(6.0)))),
        _compressed(int(generator.integers(5, 50))),
        _grainy(generator.uniform(3.0, 40.0)),
        _turned(generator.uniform(0.0, 60.0)),
        _covered(top, top + height, left, left + width, int(generator.integers(0, 256))),
    )
    return changes[generator.integers(len(changes))](face, generator)


@dataclasses.dataclass(frozen=True)
class ConditionResult:
    """A recognizer on faces that one thing was done to.

    Attributes:
        name: a key of `CONDITIONS`.
        accuracy, mean_recall: shares.
        confidence: mean probability of the class that is named.
    """

    name: str
    accuracy: float
    mean_recall: float
    confidence: float


@dataclasses.dataclass(frozen=True)
class RobustnessReport:
    """A recognizer on faces made worse.

    Attributes:
        model: its name.
        faces: how many.
        results: one a condition.
        confidence_auroc: area under the ROC curve of the confidence, right answers against wrong ones, over all
            conditions.
        no_face_confidence: mean confidence on as many pictures of noise and of patches that hold no whole face.
        confidence_auroc_with_no_face: as `confidence_auroc`, with these pictures among the wrong answers.
    """

    model: str
    faces: int
    results: tuple[ConditionResult, ...]
    confidence_auroc: float
    no_face_confidence: float
    confidence_auroc_with_no_face: float

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.model}: {self.faces} faces made worse, in per cent"]
        lines.append(f"{'what was done':<30}{'accuracy':>10}{'mean recall':>14}{'confidence':>13}")
        for result in self.results:
            values = (100 * result.accuracy, 100 * result.mean_recall, 100 * result.confidence)
            lines.append(f"{result.name:<30}{values[0]:>10.1f}{values[1]:>14.1f}{values[2]:>13.1f}")
        lines.append(f"pictures without a face: confidence {100 * self.no_face_confidence:.1f}")
        lines.append(
            f"confidence, right against wrong answers: AUROC {self.confidence_auroc:.3f}; pictures without a face "
            f"counted as wrong answers: {self.confidence_auroc_with_no_face:.3f}"
        )
        return "\n".join(lines)


def robustness(
    model: Recognizes,
    table: FaceTable,
    *,
    prior: Prior | None = None,
    seed: int = 0,
    model_name: str = "",
    progress: Callable[[str], None] | None = None,
) -> RobustnessReport:
    """Measures a recognizer on faces that are made worse.

    Args:
        model: what recognizes, as for `evaluate`.
        table: faces as tight as FER+'s; those without a class of the model's are left out.
        prior: how frequent the classes are to count as, as for `kerasfer.recognize`.
        seed: of what is drawn.
        model_name: for the report.
        progress: called with the name of each condition before it is measured.

    Raises:
        DatasetError: no face has a class of the model's.
    """
    faces = table.labeled(model.label_space)
    if not len(faces):
        raise DatasetError(f"{table.name}: no face has one of the model's classes")
    true = true_classes(faces, model.label_space)
    originals = list(prepare_faces(faces, model.image_spec))
    weights = prior_weights(prior, model.label_space.labels, getattr(model, "training_prior", None))
    answer = in_graph(model.recognizer())

    def answers(changed: list[np.ndarray]) -> np.ndarray:
        found = [np.zeros((0, len(model.label_space)))]
        for start in range(0, len(changed), 64):
            batch = model.image_spec.scale(np.stack(changed[start : start + 64]))
            found.append(adjusted(np.asarray(answer(batch)), weights))
        return np.concatenate(found)

    results, confidences, right = [], [], []
    for number, (name, change) in enumerate(CONDITIONS.items()):
        if progress:
            progress(name)
        generator = np.random.default_rng([seed, number])
        found = answers([change(face, generator) for face in originals])
        hit = found.argmax(1) == true
        recalls = [hit[true == code].mean() for code in np.unique(true)]
        results.append(ConditionResult(name, float(hit.mean()), float(np.mean(recalls)), float(found.max(1).mean())))
        confidences.append(found.max(1))
        right.append(hit)
    nothing = answers(without_faces(originals, np.random.default_rng([seed, 1000]))).max(1)
    sure, hits = np.concatenate(confidences), np.concatenate(right)
    with_nothing = _area(np.append(sure, nothing), np.append(hits, np.zeros(len(nothing), bool)))
    return RobustnessReport(
        model_name, len(faces), tuple(results), _area(sure, hits), float(nothing.mean()), with_nothing
    )


def without_faces(faces: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    """Noise, and corners of faces made as large as a face, in turn."""
    made = []
    for number, face in enumerate(faces):
        if number % 2:
            made.append(generator.integers(0, 256, face.shape).astype(np.uint8))
        else:
            third = max(face.shape[0] // 3, 1)
            made.append(images.resize(np.ascontiguousarray(face[:third, :third]), face.shape[:2]))
    return made


def _area(scores: np.ndarray, right: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, scores)) if 0 < right.sum() < len(right) else float("nan")

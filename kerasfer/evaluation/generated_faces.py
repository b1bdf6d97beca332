"""How good faces with a chosen expression are: beside the person's true face, as the same person, and as a class.

A model is measured by three functions of its own: one that gives faces an expression, one that tells what a judge of
identity makes of faces, and one that gives a recognizer's features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError
from kerasfer.evaluation.synthesis import peak_signal_to_noise_ratio, structural_similarity
from kerasfer.evaluation.verification import VerificationReport, verification
from kerasfer.faces import ImageSpec

__all__ = ["ClassGap", "TwinScores", "class_gap", "expression_twins", "identity_kept", "twin_scores"]

Change = Callable[[np.ndarray, np.ndarray], Any]
"""Faces, float32 (n, h, w, c) in the model's range, and class numbers (n,), to faces with these expressions."""

_FOLDS = 10


def expression_twins(spec: ImageSpec, labels: Sequence[str], people: int = 50, seed: int = 0) -> np.ndarray:
    """Rendered people, each with every expression and everything else the same.

    Args:
        spec: the model's image format.
        labels: names of FERPlus' expressions.
        people: how many.
        seed: of the people.

    Returns:
        float32 (people, K, h, w, c) in the spec's range, cut out as real faces are.

    Raises:
        DatasetError: an expression that cannot be rendered.
    """
    from kerasfer import images
    from kerasfer.detection import align
    from kerasfer.faces import Landmarks
    from kerasfer.rendering import make_factors, render

    def face(person: int, label: str) -> np.ndarray:
        factors = make_factors(person, label, zoom=0.8, background=person, seed=seed)
        rendering = render(factors, 256, 3)
        return images.prepare(align(rendering.image, Landmarks(rendering.landmarks), spec.size), spec)

    return np.stack([np.stack([face(person, label) for label in labels]) for person in range(people)])


@dataclasses.dataclass(frozen=True)
class TwinScores:
    """Changed faces beside true ones.

    Attributes:
        psnr, ssim: means over all pairs, PSNR in dB.
        unchanged_psnr, unchanged_ssim: the same for the faces as they were: what doing nothing would give.
        n: pairs.
    """

    psnr: float
    ssim: float
    unchanged_psnr: float
    unchanged_ssim: float
    n: int

    def __str__(self) -> str:
        return (
            f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.3f} over {self.n} pairs (unchanged faces: "
            f"{self.unchanged_psnr:.2f} dB, {self.unchanged_ssim:.3f})"
        )


def twin_scores(change: Change, twins: np.ndarray, pixel_range: str) -> TwinScores:
    """Gives each person's every face each other expression, and compares with the true face (FESR, Table III).

    Args:
        change: the model.
        twins: float32 (people, K, h, w, c), as of `expression_twins`.
        pixel_range: of the faces, a key of `kerasfer.faces.PIXEL_RANGES`.

    Raises:
        ScoreError: images outside their range.
    """
    people, classes = twins.shape[:2]
    person, source, target = (grid.ravel() for grid in np.indices((people, classes, classes)))
    chosen = source != target
    person, source, target = person[chosen], source[chosen], target[chosen]
    before, true = twins[person, source], twins[person, target]
    after = np.asarray(change(before, target))
    scores = []
    for drawn in (after, before):
        ratios = peak_signal_to_noise_ratio(true, drawn, pixel_range)
        scores.append(float(ratios[np.isfinite(ratios)].mean()))
        scores.append(float(structural_similarity(true, drawn, pixel_range).mean()))
    return TwinScores(*scores, n=len(person))


def identity_kept(
    change: Change, identify: Callable[[np.ndarray], Any], faces: np.ndarray, classes: int, seed: int = 0
) -> VerificationReport:
    """Whether a judge tells changed faces of a person from those of others (FESR, Table IV).

    Each real face is paired with its own changes to every expression, and with as many changes of another face. Cosines
    decide; the threshold is found on nine tenths of the faces and used on the last.

    Args:
        change: the model.
        identify: the judge: faces to codes, (n, d). It must not be the very network and input of the model's loss.
        faces: float32 (n, h, w, c), at least 20, each of another person.
        classes: number of expressions.
        seed: of the pairing.

    Raises:
        DatasetError: too few faces.
    """
    count = len(faces)
    if count < 2 * _FOLDS:
        raise DatasetError(f"verification needs at least {2 * _FOLDS} faces of different people, got {count}")
    numbers = np.tile(np.arange(classes), count)
    made = _unit(identify(np.asarray(change(np.repeat(faces, classes, 0), numbers)))).reshape(count, classes, -1)
    real = _unit(identify(faces))
    # Strangers come from the same tenth, so that no face is in two.
    order = np.random.default_rng(seed).permutation(count)
    fold = np.empty(count, np.int64)
    stranger = np.empty(count, np.int64)
    for number, part in enumerate(np.array_split(order, _FOLDS)):
        fold[part] = number
        stranger[part] = np.roll(part, 1)
    cosines = [np.einsum("nd,nkd->nk", real, of) for of in (made, made[stranger])]
    distances = np.concatenate([1.0 - part.ravel() for part in cosines])
    same = np.repeat([True, False], count * classes)
    return verification(distances, same, np.tile(np.repeat(fold, classes), 2))


def _unit(codes: Any) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True)
class ClassGap:
    """How far apart a class's real and synthetic faces lie in a space of features.

    Attributes:
        distance: L2 distance of the mean real and the mean synthetic feature of a class, mean over the classes.
        between: L2 distance of the mean real features of two classes, mean over the pairs.
        classes: how many classes have both.
        real, synthetic: numbers of faces.
    """

    distance: float
    between: float
    classes: int
    real: int
    synthetic: int

    @property
    def relative(self) -> float:
        """The distance in units of that between classes: below 1, expressions differ more than real and synthetic."""
        return self.distance / self.between

    def __str__(self) -> str:
        return (
            f"real to synthetic {self.distance:.4f}, class to class {self.between:.4f}, ratio {self.relative:.3f} "
            f"({self.classes} classes, {self.real} real and {self.synthetic} synthetic faces)"
        )


def class_gap(real: np.ndarray, real_classes: np.ndarray, synthetic: np.ndarray, classes: np.ndarray) -> ClassGap:
    """The number that goes with a t-SNE of real and synthetic features (FESR, Fig. 9).

    Args:
        real, synthetic: features, float (n, d) and (m, d).
        real_classes, classes: their class numbers.

    Raises:
        DatasetError: fewer than two classes have both.
    """
    both = np.intersect1d(real_classes, classes)
    if len(both) < 2:
        raise DatasetError(f"a gap between classes needs two with real and synthetic faces, got {len(both)}")
    centers = np.stack([np.asarray(real, np.float64)[real_classes == number].mean(0) for number in both])
    others = np.stack([np.asarray(synthetic, np.float64)[classes == number].mean(0) for number in both])
    first, second = np.triu_indices(len(both), 1)
    return ClassGap(
        distance=float(np.linalg.norm(centers - others, axis=1).mean()),
        between=float(np.linalg.norm(centers[first] - centers[second], axis=1).mean()),
        classes=len(both),
        real=len(real),
        synthetic=len(synthetic),
    )

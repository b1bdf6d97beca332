"""What a protocol measures of synthesized faces, each on the test part of a fold."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces

__all__ = ["MEASUREMENTS"]


def _pairs(model: Any, test: FaceTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces, and for each row numbers of a source and of the same person's real face with the expression wanted."""
    faces = model.image_spec.scale(prepare_faces(test, model.image_spec))
    people, codes = test["identity"], test["expression"]
    sources, targets = [], []
    for row in range(len(test)):
        seen: set[int] = set()
        for other in np.flatnonzero(people == people[row]).tolist():
            if codes[other] != codes[row] and int(codes[other]) not in seen:
                seen.add(int(codes[other]))
                sources.append(row)
                targets.append(other)
    if not sources:
        raise DatasetError(f"{test.name}: nobody in the test part shows two expressions")
    return faces, np.array(sources), np.array(targets)


def _reconstruction(model: Any, test: FaceTable, seed: int) -> dict[str, Any]:
    """PSNR and SSIM of each face given another expression, beside the person's real face with it."""
    from kerasfer.evaluation.synthesis import peak_signal_to_noise_ratio, structural_similarity

    faces, sources, targets = _pairs(model, test)
    changed = np.asarray(model.change_expression(faces[sources], test.encoded(model.label_space)[targets], seed=seed))
    pixels = model.image_spec.pixel_range
    ratios = peak_signal_to_noise_ratio(faces[targets], changed, pixels)
    cells = {
        "PSNR": float(ratios[np.isfinite(ratios)].mean()),
        "SSIM": float(structural_similarity(faces[targets], changed, pixels).mean()),
    }
    return {"n": len(sources), "cells": cells}


def _verification(model: Any, test: FaceTable, seed: int) -> dict[str, Any]:
    """Share of pairs of a real and a changed face told right: of one person, and each with one of another person.

    The threshold on the cosine is the one that tells most pairs right.
    """
    faces, sources, targets = _pairs(model, test)
    changed = np.asarray(model.change_expression(faces[sources], test.encoded(model.label_space)[targets], seed=seed))
    codes = [np.asarray(model.identity_codes(images), np.float64) for images in (faces, changed)]
    real, made = (code / np.maximum(np.linalg.norm(code, axis=1, keepdims=True), 1e-12) for code in codes)
    people = test["identity"]
    generator = np.random.default_rng(seed)
    others = np.array([generator.choice(np.flatnonzero(people != people[row])) for row in sources])
    same, different = (real[sources] * made).sum(1), (real[others] * made).sum(1)
    cosines = np.concatenate([same, different])
    right = [(same >= edge).sum() + (different < edge).sum() for edge in np.unique(cosines)]
    return {"n": len(cosines), "cells": {"verification": 100.0 * float(max(right)) / len(cosines)}}


def _generation(model: Any, test: FaceTable, seed: int) -> dict[str, Any]:
    """IS, FID and SSIM of generated faces. SSIM is that with the most similar of the real ones."""
    from kerasfer import zoo
    from kerasfer.evaluation.synthesis import FeatureNetwork, evaluate_synthesis, structural_similarity
    from kerasfer.images import prepare_uint8

    judge = zoo.load("tdgan")
    network = judge.recognizer()
    real = prepare_faces(test, model.image_spec)
    made = model.image_spec.unscale(np.asarray(model.generate(len(real), seed=seed)))

    def judged(pictures: np.ndarray) -> np.ndarray:
        pictures = [picture[..., 0] if picture.shape[-1] == 1 else picture for picture in pictures]
        faces = np.stack([prepare_uint8(picture, judge.image_spec) for picture in pictures])
        return np.asarray(network(judge.image_spec.scale(faces), training=False))

    recognizer = FeatureNetwork("the bundled tdgan's probabilities", judged, judged)
    report = evaluate_synthesis(real, made, recognizer)
    rows = real[:: max(1, len(real) // 64)]
    nearest = [structural_similarity(rows, np.repeat(face[None], len(rows), 0)).max() for face in made[:64]]
    cells = {"IS": report.inception_score, "FID": report.frechet_distance, "SSIM": float(np.mean(nearest))}
    return {"n": len(made), "cells": cells}


MEASUREMENTS = {"reconstruction": _reconstruction, "verification": _verification, "generation": _generation}
"""Metric -> its measurement: model, test part and seed to n and cells."""

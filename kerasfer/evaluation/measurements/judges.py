"""Bundled models as the networks whose features of faces are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasfer import zoo
from kerasfer.evaluation.synthesis import FeatureNetwork
from kerasfer.images import prepare_uint8

__all__ = ["JUDGES", "judge_of"]

JUDGES: Mapping[str, str] = {
    "tdgan": "the bundled tdgan's expression encoder",
    "dlib_resnet": "dlib's identity network",
}
"""Name of a bundled model that judges generated faces -> what it is called in the figures."""


def judge_of(name: str, model: Any) -> FeatureNetwork:
    """A judge of the faces of a model.

    Args:
        name: one of `JUDGES`.
        model: the model whose faces it gets, float32 (n, h, w, c) in that model's range.
    """
    judge: Any = zoo.load(name)

    def prepared(faces: np.ndarray) -> np.ndarray:
        pictures = [face[..., 0] if face.shape[-1] == 1 else face for face in model.image_spec.unscale(faces)]
        return judge.image_spec.scale(np.stack([prepare_uint8(picture, judge.image_spec) for picture in pictures]))

    def features(faces: np.ndarray) -> np.ndarray:
        codes = judge.embed(prepared(faces)) if hasattr(judge, "embed") else judge.codes(prepared(faces))["expression"]
        return np.asarray(codes).reshape(len(faces), -1)

    if not hasattr(judge, "recognizer"):
        return FeatureNetwork(JUDGES[name], features)
    network = judge.recognizer()
    return FeatureNetwork(JUDGES[name], features, lambda faces: np.asarray(network(prepared(faces))))

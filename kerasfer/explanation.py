"""Which parts of a face an answer rests on: Grad-CAM, and occlusion for models without gradients.

R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017;
M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014, Section 4.2.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from kerasfer import images
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.recognition import RecognitionError, RecognitionModel, recognition_model

__all__ = ["METHODS", "Explanation", "explain"]

METHODS = ("grad-cam", "occlusion")

_PATCHES, _STRIDE = (5, 3, 2), 15
"""A patch has a fifth of the face's side, or more where that changes nothing, and moves by a fifteenth."""


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """What an answer rests on.

    Attributes:
        heatmap: float32 (h, w) of the face as it was given, in [0, 1]: how much each place speaks for the expression,
            1 where most; all 0 where nothing does.
        expression: the expression that is explained.
        probability: the model's, of that expression.
        method: one of `METHODS`.
        face: the face, uint8 RGB (h, w, 3).
    """

    heatmap: np.ndarray
    expression: str
    probability: float
    method: str
    face: np.ndarray

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.heatmap, dtype=dtype)

    def picture(self, strength: float = 0.5, size: int = 240) -> Image.Image:
        """The face with the heatmap over it.

        Args:
            strength: how much of the hottest place is covered, in [0, 1].
            size: pixels that the shorter side has at least.
        """
        scale = max(1.0, size / min(self.heatmap.shape))
        height, width = (round(side * scale) for side in self.heatmap.shape)
        heat = np.asarray(Image.fromarray(self.heatmap).resize((width, height), Image.Resampling.BICUBIC))
        heat = np.clip(heat, 0.0, 1.0)[..., np.newaxis]
        gray = np.asarray(Image.fromarray(self.face).convert("L").resize((width, height), Image.Resampling.BICUBIC))
        color = np.array([255.0, 180.0, 0.0]) * heat + np.array([200.0, 0.0, 0.0]) * (1 - heat)
        cover = strength * heat
        return Image.fromarray(np.rint(gray[..., np.newaxis] * (1 - cover) + color * cover).astype(np.uint8))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture().save(buffer, "PNG")
        return buffer.getvalue()


def explain(
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    face: Any = None,
    expression: str | None = None,
    method: str | None = None,
) -> Explanation:
    """Shows which parts of a face speak for an expression.

    Args:
        model: as for `kerasfer.recognize`.
        face: one cut-out face, as `kerasfer.recognize_faces` takes it.
        expression: by default the one that the model answers.
        method: "grad-cam": the last feature maps, weighed by the gradient of the expression's logit, on each way
            through the network; needs a Keras model. "occlusion": how much a gray patch there takes from the
            probability; for any model, TFLite files too. By default the first where it can be had.

    Returns:
        An `Explanation`: an array in [0, 1] of the face's size, and a picture, which notebooks show.

    Raises:
        ImageError: the face cannot be read.
        RecognitionError: no face; an unknown method or expression; or "grad-cam" of a model without gradients.
    """
    if face is None:
        raise RecognitionError("explain takes a model and a face: explain('edge', 'face.png')")
    if method is not None and method not in METHODS:
        raise RecognitionError(f"method is one of {', '.join(METHODS)}, got {method!r}")
    loaded = recognition_model(model)
    network = loaded.recognizer()
    has_gradients = hasattr(network, "layers")
    if method == "grad-cam" and not has_gradients:
        raise RecognitionError("Grad-CAM needs a Keras model's gradients; take method='occlusion', or a Keras model")
    method = method or METHODS[0 if has_gradients else 1]
    labels = loaded.label_space.labels
    if expression is not None and expression not in labels:
        raise RecognitionError(f"the model knows no {expression!r}; it knows {', '.join(labels)}")
    pixels = images.read(face)
    prepared = images.prepare(pixels, loaded.image_spec)
    probabilities = np.asarray(network(prepared[np.newaxis]), np.float64)[0]
    wanted = int(probabilities.argmax()) if expression is None else labels.index(expression)
    if method == "grad-cam":
        heat = _grad_cam(network, prepared, wanted)
    else:
        # A small patch may leave the rounded answer of an int8 file as it is.
        for share in _PATCHES:
            heat = _occlusion(network, prepared, wanted, float(probabilities[wanted]), share)
            if heat.max() > 0:
                break
    heat = np.maximum(_resized(heat, pixels.shape[:2]), 0.0)
    heat = heat / heat.max() if heat.max() > 0 else heat
    return Explanation(heat, labels[wanted], float(probabilities[wanted]), method, pixels)


def _resized(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(heat.astype(np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)


def _grad_cam(network: Any, face: np.ndarray, wanted: int) -> np.ndarray:
    """Grad-CAM of one face, float (h, w): the sum of what every way through the network says."""
    import keras
    import tensorflow as tf

    last = _last_maps(network)
    if not last:
        raise RecognitionError("the network has no feature maps to look at; take method='occlusion'")
    logits = network.layers[-1].input if isinstance(network.layers[-1], keras.layers.Softmax) else network.output
    parts = keras.Model(network.input, [*last, logits])
    with tf.GradientTape() as tape:
        *maps, answers = parts(tf.constant(face[np.newaxis]), training=False)
        tape.watch(maps)
        score = _again(network, last, logits)(maps)[:, wanted]
    total = np.zeros(face.shape[:2])
    for values, gradient in zip(maps, tape.gradient(score, maps)):
        if gradient is not None:
            values, gradient = (np.asarray(tf.cast(part, tf.float32))[0] for part in (values, gradient))
            total += _resized(np.maximum((values * gradient.mean((0, 1))).sum(-1), 0.0), face.shape[:2])
    return total


def _again(network: Any, maps: list[Any], logits: Any) -> Callable[[Any], Any]:
    """The rest of the network, from its last maps to the logits."""
    import keras

    rest = keras.Model(maps, logits)
    return lambda values: rest(values, training=False)


def _last_maps(network: Any) -> list[Any]:
    """Keras tensors of the maps (n, h, w, c) of more than one pixel that something else than a map is made from."""
    import keras

    found: list[Any] = []
    for layer in network.layers[1:]:
        if len(keras.tree.flatten(layer.output)[0].shape) == 4:
            continue
        for tensor in keras.tree.flatten(layer.input):
            is_map = len(tensor.shape) == 4 and tensor.shape[1] * tensor.shape[2] > 1
            if is_map and not any(tensor is other for other in found):
                found.append(tensor)
    return found


def _occlusion(network: Callable[[Any], Any], face: np.ndarray, wanted: int, whole: float, share: int) -> np.ndarray:
    """What a patch of the face's mean takes from the probability, float (h, w): the mean of all that cover a place."""
    side = face.shape[0]
    patch, stride = max(1, round(side / share)), max(1, round(side / _STRIDE))
    starts = sorted({*range(0, side - patch, stride), side - patch})
    places = [(row, column) for row in starts for column in starts]
    covered = np.repeat(face[np.newaxis], len(places), 0)
    for number, (row, column) in enumerate(places):
        covered[number, row : row + patch, column : column + patch] = face.mean((0, 1))
    answers = np.concatenate(
        [np.asarray(network(covered[start : start + 32]))[:, wanted] for start in range(0, len(covered), 32)]
    )
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for (row, column), answer in zip(places, answers):
        total[row : row + patch, column : column + patch] += whole - float(answer)
        count[row : row + patch, column : column + patch] += 1
    return total / np.maximum(count, 1)

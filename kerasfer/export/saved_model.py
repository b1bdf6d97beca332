"""SavedModels of a recognizer and of a generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import images
from kerasfer.export.parity import answers_of
from kerasfer.faces import ImageSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def write_generator(
    network: keras.Model, generate: Callable, shapes: dict[str, list[int]], path: Path, rows: int | None
) -> None:
    """Writes a SavedModel of the signature "generate" for any number of rows, or for one."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    specs = {name: tf.TensorSpec((rows, *shape), tf.float32, name) for name, shape in shapes.items()}
    module.generate = tf.function(generate).get_concrete_function(**specs)
    signatures = {"generate": module.generate, "serving_default": module.generate}
    tf.saved_model.save(module, str(path), signatures=signatures)


def write_signatures(network: keras.Model, signatures: dict[str, tuple[Callable, tf.TensorSpec]], path: Path) -> None:
    """Writes a SavedModel of functions that call a network; the first is also "serving_default"."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    module.functions = {
        name: tf.function(function, input_signature=[spec]) for name, (function, spec) in signatures.items()
    }
    first = next(iter(module.functions.values()))
    tf.saved_model.save(module, str(path), signatures={**module.functions, "serving_default": first})


def write_saved_model(network: keras.Model, spec: ImageSpec, path: Path, description: dict[str, Any]) -> None:
    """Writes a recognizer's SavedModel with the signatures that `export` tells of."""
    import tensorflow as tf

    def aligned_faces(faces: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(faces, training=False)}

    def encoded_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(
            lambda content: _decoded(content, spec), images, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32)
        )
        return aligned_faces(spec.scale(pixels))

    signatures = {
        "aligned_faces": (aligned_faces, tf.TensorSpec((None, *spec.shape), tf.float32, "faces")),
        "encoded_images": (encoded_images, tf.TensorSpec((None,), tf.string, "images")),
    }
    write_signatures(network, signatures, path)
    describe(path, description)


def describe(path: Path, description: dict[str, Any]) -> None:
    """Puts a description into a SavedModel."""
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "kerasfer.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _decoded(content: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """An image file's content in a model's color and size, as `images.prepare_uint8`: float32 of `spec.shape`."""
    import tensorflow as tf

    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    if spec.channels == 1:
        luma = tf.reduce_sum(tf.cast(image, tf.int32) * [19595, 38470, 7471], -1, keepdims=True) + 0x8000
        image = tf.bitwise.right_shift(luma, 16)
    values = tf.cast(image, tf.float32)
    values = tf.einsum("oi,iwc->owc", _resize_weights(tf.shape(image)[0], spec.size), values)
    values = tf.einsum("oi,hic->hoc", _resize_weights(tf.shape(image)[1], spec.size), values)
    return tf.ensure_shape(tf.clip_by_value(tf.round(values), 0.0, 255.0), spec.shape)


def _resize_weights(length: tf.Tensor, size: int) -> tf.Tensor:
    """How much each old pixel of an axis counts in each new one, as in `images.resize`: float32 (size, length)."""
    import tensorflow as tf

    ratio = tf.cast(length, tf.float32) / size
    new = tf.range(size, dtype=tf.float32)[:, tf.newaxis]
    old = tf.range(tf.cast(length, tf.float32))[tf.newaxis]
    overlap = tf.minimum((new + 1) * ratio, old + 1) - tf.maximum(new * ratio, old)
    center = tf.clip_by_value((new + 0.5) * ratio - 0.5, 0.0, tf.cast(length, tf.float32) - 1)
    return tf.where(ratio > 1, tf.maximum(overlap, 0) / ratio, tf.maximum(1 - tf.abs(center - old), 0))


def saved_model_answers(path: Path, spec: ImageSpec, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Answers of both signatures to faces, uint8 (n, h, w, c)."""
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures
    contents = np.array([images.encode(face) for face in faces], object)
    aligned, encoded = (
        lambda batch, signature=signatures[name], key=key: signature(**{key: tf.constant(batch)})["probabilities"]
        for name, key in (("aligned_faces", "faces"), ("encoded_images", "images"))
    )
    return {
        "saved_model": answers_of(aligned, spec.scale(faces)),
        "saved_model, encoded images": answers_of(encoded, contents),
    }

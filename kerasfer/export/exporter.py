"""A model's recognizer or generator, written in the formats asked for and measured."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import images, lite
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.export.onnx_file import onnx_answers, write_onnx
from kerasfer.export.parity import (
    FILES,
    FORMATS,
    GENERATOR_FILES,
    OPSETS,
    OTHER_FORMATS,
    ExportError,
    GeneratorParity,
    Parity,
    Report,
    answers_of,
    compared,
    generated,
    images_compared,
    size_of,
)
from kerasfer.export.saved_model import describe, saved_model_answers, write_generator, write_saved_model
from kerasfer.export.tflite import converted, with_any_batch, with_metadata, write_one_face
from kerasfer.faces import PIXEL_RANGES, ImageSpec
from kerasfer.files import atomic_entries
from kerasfer.version import __version__
from kerasfer.zoo import model_name

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasfer.models.base import FERModel

__all__ = ["export", "export_generator"]

CALIBRATION_FACES = 200
PARITY_FACES = 500
GENERATOR_FACES = 100

Faces = np.ndarray | Sequence[np.ndarray] | FaceTable
"""Aligned faces: uint8 (n, h, w[, c]) of any size, a list of faces, or a table."""


def export(
    model: FERModel,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    calibration: Faces | None = None,
    parity: Faces | None = None,
    progress: Callable[[str], None] | None = None,
    opset: int = 17,
) -> Report:
    """Exports a model's recognizer.

    The SavedModel has two signatures: "aligned_faces" (also "serving_default") takes `faces`, float32 (n, h, w, c) in
    the model's range; "encoded_images" takes `images`, the contents of PNG, JPEG, GIF or BMP files of aligned faces,
    of any size and color, and brings them to the model's format as `images.prepare` does. Both give `probabilities`,
    float32 (n, K). Labels and image format are in its assets.extra/kerasfer.json.

    The TFLite files take one face, (1, h, w, c), and give (1, K); an interpreter whose input is resized to (n, h, w, c)
    takes n of them at once. float32 and float16 (weights in half precision) take
    float32 in the model's range; so does dynamic, whose weights are 8-bit integers, and which needs no calibration.
    int8 computes in integers throughout; it takes uint8 pixels and gives uint8, 256ths of a probability. Labels and
    image format are in a metadata buffer that `lite.read_metadata` reads.

    ONNX takes `faces`, float32 (n, h, w, c) in the model's range, and gives `probabilities`, (n, K). Labels and image
    format are in its metadata under "kerasfer", as JSON.

    Args:
        model: a model of the zoo.
        folder: where to; files of an earlier export are replaced when the new ones are complete and measured. Beside
            them parity.json is written.
        formats: any of `FORMATS` and `OTHER_FORMATS`.
        calibration: aligned faces that the model was trained on or the like, for the ranges of int8; of more than 200,
            200 spread evenly over them are used. By default synthetic faces, which real ones may not resemble enough.
        parity: aligned faces to compare on; of more than 500, 500 spread evenly. By default synthetic ones.
        progress: called with the name of each format before it is made.
        opset: of ONNX, one of `OPSETS`; older runtimes know only older ones.

    Returns:
        The files and their parity figures. Files whose figures miss `LIMITS` are written all the same: look at `good`.

    Raises:
        ExportError: an unknown format or opset, a package that ONNX takes is missing, no faces, or a folder that cannot
            be written.
        DatasetError: a table's images are missing or damaged.
    """
    folder, spec = Path(folder), model.image_spec
    _require_possible(folder, formats, opset)
    parity_name, parity_faces = _faces(parity, spec, PARITY_FACES, seed=1)
    calibration_name, calibration_faces = "", None
    if "int8" in formats:
        calibration_name, calibration_faces = _faces(calibration, spec, CALIBRATION_FACES, seed=0)
    description = _description(model, "recognizer")
    network = _in_float32(model, model.weight_groups()["recognizer"]).recognizer()
    expected = answers_of(network, spec.scale(parity_faces))
    entries: list[Parity] = []
    with atomic_entries(folder, ExportError) as aside:
        one_face = None
        for name in formats:
            if progress is not None:
                progress(name)
            target = aside / FILES[name]
            if name == "saved_model":
                write_saved_model(network, spec, target, description)
                answers = saved_model_answers(target, spec, parity_faces)
            elif name == "onnx":
                write_onnx(_recognizing(network), {"faces": list(spec.shape)}, target, description, opset)
                answers = {name: onnx_answers(target, {"faces": spec.scale(parity_faces)})}
            else:
                if one_face is None:
                    one_face = aside / "one_face"
                    write_one_face(network, spec, one_face)
                content, batch = with_any_batch(converted(one_face, name, calibration_faces, spec), spec)
                target.write_bytes(with_metadata(content, {**description, "storage": name, "batch": batch}))
                answers = {name: lite.Recognizer(target).recognize(parity_faces)}
            entries += [compared(key, value, expected, size_of(target)) for key, value in answers.items()]
        report = Report({name: folder / FILES[name] for name in formats}, tuple(entries), calibration_name, parity_name)
        (aside / "parity.json").write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
        if one_face is not None:
            shutil.rmtree(one_face)
    return report


def export_generator(
    model: FERModel,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    calibration: Faces | None = None,
    parity: Faces | None = None,
    progress: Callable[[str], None] | None = None,
    opset: int = 17,
) -> Report:
    """Exports what a model generates images with (`FERModel.generator`).

    The SavedModel's signature "generate" (also "serving_default") has the generator's named inputs, each float32 with
    any number of rows, and gives `image`, float32 (n, h, w, c) in the model's range. The TFLite files take one row;
    `lite.Generator` runs them. All of them take and give float32; int8 computes in integers inside, of dynamic the
    weights alone are 8-bit integers. What the inputs are stands beside labels and image format in
    assets.extra/kerasfer.json and in the metadata buffer.

    Args:
        model: a model of the zoo.
        folder: where to, as for `export`; beside the files generator_parity.json is written.
        formats: any of `FORMATS` and `OTHER_FORMATS`.
        calibration, parity: aligned faces, as for `export`; the generator's inputs are made from them
            (`FERModel.generator_inputs`). At most 100 are compared.
        progress: called with the name of each format before it is made.
        opset: of ONNX, one of `OPSETS`; older runtimes know only older ones.

    Returns:
        The files and their parity figures. Files whose figures miss `GENERATOR_LIMITS` are written all the same: look
        at `good`.

    Raises:
        ExportError: the model generates nothing; or as for `export`.
        ZooError: the generator's weights are not there.
    """
    folder, spec = Path(folder), model.image_spec
    _require_possible(folder, formats, opset)
    if model.generator() is None:
        raise ExportError(
            f"{model_name(model)}: this variant has no generator to export; take another, or the recognizer"
        )
    parity_name, parity_faces = _faces(parity, spec, GENERATOR_FACES, seed=1)
    inputs = model.generator_inputs(spec.scale(parity_faces), seed=1)
    calibration_name, calibration_inputs = "", None
    if "int8" in formats:
        calibration_name, faces = _faces(calibration, spec, CALIBRATION_FACES, seed=0)
        calibration_inputs = model.generator_inputs(spec.scale(faces), seed=0)
    shapes = {name: list(values.shape[1:]) for name, values in inputs.items()}
    description = {**_description(model, "generator"), "inputs": shapes}
    network: Any = _in_float32(model, list(model.networks)).generator()

    def generate(**values: tf.Tensor) -> dict[str, tf.Tensor]:
        return network(values, training=False)

    expected = generated(generate, inputs)
    entries: list[GeneratorParity] = []
    with atomic_entries(folder, ExportError) as aside:
        one_row = None
        for name in formats:
            if progress is not None:
                progress(f"generator, {name}")
            target = aside / GENERATOR_FILES[name]
            if name == "saved_model":
                write_generator(network, generate, shapes, target, None)
                describe(target, description)
                import tensorflow as tf

                images = generated(tf.saved_model.load(str(target)).signatures["generate"], inputs)
            elif name == "onnx":
                write_onnx(generate, shapes, target, description, opset)
                images = onnx_answers(target, inputs)
            else:
                if one_row is None:
                    one_row = aside / "one_row"
                    write_generator(network, generate, shapes, one_row, 1)
                content = converted(one_row, name, calibration_inputs)
                target.write_bytes(with_metadata(content, {**description, "storage": name, "batch": 1}))
                images = lite.Generator(target).generate(**inputs)
            entries.append(images_compared(name, images, expected, spec, size_of(target)))
        report = Report(
            {name: folder / GENERATOR_FILES[name] for name in formats}, tuple(entries), calibration_name, parity_name
        )
        (aside / "generator_parity.json").write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
        if one_row is not None:
            shutil.rmtree(one_row)
    return report


def _require_possible(folder: Path, formats: Sequence[str], opset: int) -> None:
    known = (*FORMATS, *OTHER_FORMATS)
    unknown = [name for name in formats if name not in known]
    if unknown or not formats:
        raise ExportError(f"formats are {', '.join(known)}; got {', '.join(unknown) or 'none'}")
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder}: is a file; name a folder")
    if "onnx" in formats:
        if opset not in OPSETS:
            age = "old" if opset < OPSETS[0] else "new"
            raise ExportError(f"opset {opset} is too {age} to be written; take {OPSETS[0]} to {OPSETS[-1]}")
        try:
            import onnxruntime  # noqa: F401
            import tf2onnx  # noqa: F401
        except ImportError as error:
            raise ExportError(f"{error.name} is missing, which ONNX takes; pip install 'kerasfer[onnx]'") from error


def _description(model: FERModel, part: str) -> dict[str, Any]:
    """What every exported file says of itself."""
    spec = model.image_spec
    prior = {"training_prior": list(model.training_prior)} if model.training_prior else {}
    return {
        "kerasfer": __version__,
        "model": model_name(model),
        "part": part,
        "labels": list(model.label_space.labels),
        "image": {
            "size": spec.size,
            "channels": spec.channels,
            "pixel_range": spec.pixel_range,
            "range": list(PIXEL_RANGES[spec.pixel_range]),
        },
        **prior,
    }


def _faces(faces: Faces | None, spec: ImageSpec, count: int, seed: int) -> tuple[str, np.ndarray]:
    """What the faces are, and at most `count` of them, spread evenly, in the model's format, uint8 (n, h, w, c)."""
    if faces is None:
        from kerasfer.datasets import load

        faces = load("synthetic", count=count, size=max(spec.size, 32), channels=spec.channels, seed=seed)
    if not len(faces):
        raise ExportError("there are no faces to calibrate or compare on; give at least one")
    rows = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)
    if isinstance(faces, FaceTable):
        splits = "+".join(sorted(set(faces["split"]) - {""})) if "split" in faces else ""
        prepared = prepare_faces(faces, spec, rows)
        return f"{len(prepared)} faces of {faces.name}{f' {splits}' if splits else ''}", prepared
    chosen = [np.asarray(faces[row]) for row in rows]
    if any(face.dtype != np.uint8 or face.ndim not in (2, 3) for face in chosen):
        raise ExportError("faces are uint8 (h, w) or (h, w, c); scale them to 0..255 and convert them")
    return f"{len(chosen)} faces", np.stack([images.prepare_uint8(face, spec) for face in chosen])


def _in_float32(model: FERModel, networks: Sequence[str]) -> FERModel:
    """The model, or one that computes in float32 and has the same weights in these networks."""
    from kerasfer.models.base import copy_weights
    from kerasfer.zoo import is_missing

    if model.config.precision == "float32":
        return model
    exact = type(model)(model.config.replace(precision="float32"))
    for network in networks:
        if not is_missing(model.networks[network]):
            copy_weights(model.networks[network], exact.networks[network])
    return exact


def _recognizing(network: keras.Model) -> Callable[..., dict[str, tf.Tensor]]:
    return lambda faces: {"probabilities": network(faces, training=False)}

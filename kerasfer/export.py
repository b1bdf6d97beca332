"""Export: recogniser and generator as SavedModel, TFLite in four formats and ONNX, each checked against the model.

    report = kerasfer.export(model, "exported", calibration=faces, parity=other_faces)
    print(report.table())
    print(kerasfer.export.export_generator(model, "exported", calibration=faces, parity=other_faces).table())

Whatever dtype a model was trained in, its inference graph is exported in float32, and the smaller formats are made from
that. Every file carries its labels, image size, colour and pixel range.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import images, lite
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.faces import PIXEL_RANGES, ImageSpec
from kerasfer.files import entries_written_aside
from kerasfer.interpreter import open_interpreter
from kerasfer.version import __version__
from kerasfer.zoo import model_name

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasfer.models.base import FERModel

__all__ = [
    "FILES",
    "FORMATS",
    "GENERATOR_FILES",
    "GENERATOR_LIMITS",
    "LIMITS",
    "OPSETS",
    "OTHER_FORMATS",
    "ExportError",
    "GeneratorParity",
    "Parity",
    "Report",
    "export",
    "export_generator",
]

FORMATS = ("saved_model", "float32", "float16", "dynamic", "int8")
"""What is written if nothing else is asked for."""

OTHER_FORMATS = ("onnx",)
"""What is written if it is asked for: it takes packages more (`pip install 'kerasfer[onnx]'`)."""

OPSETS = range(13, 19)
"""Versions of ONNX's operators that can be written."""

FILES = {
    "saved_model": "saved_model",
    "float32": "model.tflite",
    "float16": "model_float16.tflite",
    "dynamic": "model_dynamic.tflite",
    "int8": "model_int8.tflite",
    "onnx": "model.onnx",
}
"""Format -> name of its file or folder."""

LIMITS: dict[str, tuple[float, float]] = {
    "saved_model": (1e-4, 1.0),
    "saved_model, encoded images": (1e-4, 1.0),
    "float32": (1e-4, 1.0),
    "float16": (1.0, 0.995),
    "dynamic": (1.0, 0.98),
    "int8": (1.0, 0.97),
    "onnx": (1e-4, 1.0),
}
"""What is compared -> largest difference in probability and least share of equal labels that are good enough."""

GENERATOR_FILES = {
    "saved_model": "generator_saved_model",
    "float32": "generator.tflite",
    "float16": "generator_float16.tflite",
    "dynamic": "generator_dynamic.tflite",
    "int8": "generator_int8.tflite",
    "onnx": "generator.onnx",
}
"""Format -> name of its file or folder, for a generator."""

GENERATOR_LIMITS = {"saved_model": 60.0, "float32": 60.0, "float16": 40.0, "dynamic": 40.0, "int8": 30.0, "onnx": 60.0}
"""Format -> least PSNR in dB, beside the Keras model's images, that is good enough."""

CALIBRATION_FACES = 200
PARITY_FACES = 500
GENERATOR_FACES = 100

Faces = np.ndarray | Sequence[np.ndarray] | FaceTable
"""Aligned faces: uint8 (n, h, w[, c]) of any size, a list of faces, or a table."""


class ExportError(ValueError):
    """A model cannot be exported as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far one exported format is from the Keras model in float32.

    Attributes:
        format: what was compared, a key of `LIMITS`.
        faces: number of faces compared on.
        max_difference: largest difference of a probability.
        mean_difference: mean absolute difference of the probabilities.
        same_label: share of the faces that get the same label.
        bytes: size of the file or folder.
    """

    format: str
    faces: int
    max_difference: float
    mean_difference: float
    same_label: float
    bytes: int

    @property
    def good(self) -> bool:
        """Whether the figures keep to `LIMITS`."""
        difference, same = LIMITS[self.format]
        return self.max_difference <= difference and self.same_label >= same

    @staticmethod
    def heading() -> str:
        """What stands above lines of such figures."""
        return f"{'format':28} {'size':>10} {'same label':>11} {'largest diff.':>14} {'mean diff.':>11}  target"

    def __str__(self) -> str:
        difference, same = LIMITS[self.format]
        target = f"difference at most {difference:g}" if difference < 1 else f"same label on {same:.1%}"
        return (
            f"{self.format:28} {self.bytes / 1e6:7.2f} MB {self.same_label:11.2%} {self.max_difference:14.2e} "
            f"{self.mean_difference:11.2e}  {target}: {'kept' if self.good else 'MISSED'}"
        )


@dataclasses.dataclass(frozen=True)
class GeneratorParity:
    """How far an exported generator's images are from the Keras model's in float32.

    Attributes:
        format: a key of `FORMATS`.
        faces: number of images compared.
        max_difference: largest difference of a pixel, as a part of the model's range.
        mean_difference: mean absolute difference of the pixels, as a part of the model's range.
        psnr: peak signal-to-noise ratio over all pixels in dB, at most 120.
        bytes: size of the file or folder.
    """

    format: str
    faces: int
    max_difference: float
    mean_difference: float
    psnr: float
    bytes: int

    @property
    def good(self) -> bool:
        """Whether the figures keep to `GENERATOR_LIMITS`."""
        return self.psnr >= GENERATOR_LIMITS[self.format]

    @staticmethod
    def heading() -> str:
        """What stands above lines of such figures."""
        return f"{'generator':28} {'size':>10} {'PSNR':>11} {'largest diff.':>14} {'mean diff.':>11}  target"

    def __str__(self) -> str:
        return (
            f"{self.format:28} {self.bytes / 1e6:7.2f} MB {self.psnr:8.1f} dB {self.max_difference:14.2e} "
            f"{self.mean_difference:11.2e}  {GENERATOR_LIMITS[self.format]:g} dB: {'kept' if self.good else 'MISSED'}"
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """What was exported, and how near it is to the model.

    Attributes:
        files: format -> file or folder.
        parity: one entry for each thing compared.
        calibration: what int8 was calibrated on; empty without int8.
        compared_on: what the parity figures were measured on.
    """

    files: dict[str, Path]
    parity: tuple[Parity, ...] | tuple[GeneratorParity, ...]
    calibration: str
    compared_on: str

    @property
    def good(self) -> bool:
        """Whether every figure keeps to its limit."""
        return all(entry.good for entry in self.parity)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "calibration": self.calibration,
            "compared_on": self.compared_on,
            "formats": [{**dataclasses.asdict(entry), "good": entry.good} for entry in self.parity],
        }

    def table(self) -> str:
        """The figures as lines of text."""
        calibration = f"; int8 calibrated on {self.calibration}" if self.calibration else ""
        heading = self.parity[0].heading() if self.parity else ""
        return "\n".join([heading, *map(str, self.parity), f"compared on {self.compared_on}{calibration}"])


def export(
    model: FERModel,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    calibration: Faces | None = None,
    parity: Faces | None = None,
    progress: Callable[[str], None] | None = None,
    opset: int = 17,
) -> Report:
    """Exports a model's recogniser.

    The SavedModel has two signatures: "aligned_faces" (also "serving_default") takes `faces`, float32 (n, h, w, c) in
    the model's range; "encoded_images" takes `images`, the contents of PNG, JPEG, GIF or BMP files of aligned faces,
    of any size and colour, and brings them to the model's format as `images.prepare` does. Both give `probabilities`,
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
    _demand_possible(folder, formats, opset)
    parity_name, parity_faces = _faces(parity, spec, PARITY_FACES, seed=1)
    calibration_name, calibration_faces = "", None
    if "int8" in formats:
        calibration_name, calibration_faces = _faces(calibration, spec, CALIBRATION_FACES, seed=0)
    description = _description(model, "recognizer")
    network = _in_float32(model, model.weight_groups()["recognizer"]).recognizer()
    expected = _answers(network, spec.scale(parity_faces))
    entries: list[Parity] = []
    with entries_written_aside(folder, ExportError) as aside:
        one_face = None
        for name in formats:
            if progress is not None:
                progress(name)
            target = aside / FILES[name]
            if name == "saved_model":
                _write_saved_model(network, spec, target, description)
                answers = _saved_model_answers(target, spec, parity_faces)
            elif name == "onnx":
                _write_onnx(_recognizing(network), {"faces": list(spec.shape)}, target, description, opset)
                answers = {name: _onnx_answers(target, {"faces": spec.scale(parity_faces)})}
            else:
                if one_face is None:
                    one_face = aside / "one_face"
                    _write_one_face(network, spec, one_face)
                content, batch = _with_any_batch(_converted(one_face, name, calibration_faces, spec), spec)
                target.write_bytes(_with_metadata(content, {**description, "storage": name, "batch": batch}))
                answers = {name: lite.Recognizer(target).recognize(parity_faces)}
            entries += [_compared(key, value, expected, _size(target)) for key, value in answers.items()]
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
    _demand_possible(folder, formats, opset)
    if model.generator() is None:
        raise ExportError(
            f"{model_name(model)}: this variant has no generator to export; take another, or the recogniser"
        )
    parity_name, parity_faces = _faces(parity, spec, GENERATOR_FACES, seed=1)
    inputs = model.generator_inputs(spec.scale(parity_faces), seed=1)
    calibration_name, calibration_inputs = "", None
    if "int8" in formats:
        calibration_name, faces = _faces(calibration, spec, CALIBRATION_FACES, seed=0)
        calibration_inputs = model.generator_inputs(spec.scale(faces), seed=0)
    shapes = {name: list(values.shape[1:]) for name, values in inputs.items()}
    description = {**_description(model, "generator"), "inputs": shapes}
    network = _in_float32(model, list(model.networks)).generator()

    def generate(**values: tf.Tensor) -> dict[str, tf.Tensor]:
        return network(values, training=False)

    expected = _generated(generate, inputs)
    entries: list[GeneratorParity] = []
    with entries_written_aside(folder, ExportError) as aside:
        one_row = None
        for name in formats:
            if progress is not None:
                progress(f"generator, {name}")
            target = aside / GENERATOR_FILES[name]
            if name == "saved_model":
                _write_generator(network, generate, shapes, target, None)
                _describe(target, description)
                import tensorflow as tf

                images = _generated(tf.saved_model.load(str(target)).signatures["generate"], inputs)
            elif name == "onnx":
                _write_onnx(generate, shapes, target, description, opset)
                images = _onnx_answers(target, inputs)
            else:
                if one_row is None:
                    one_row = aside / "one_row"
                    _write_generator(network, generate, shapes, one_row, 1)
                content = _converted(one_row, name, calibration_inputs)
                target.write_bytes(_with_metadata(content, {**description, "storage": name, "batch": 1}))
                images = lite.Generator(target).generate(**inputs)
            entries.append(_images_compared(name, images, expected, spec, _size(target)))
        report = Report(
            {name: folder / GENERATOR_FILES[name] for name in formats}, tuple(entries), calibration_name, parity_name
        )
        (aside / "generator_parity.json").write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
        if one_row is not None:
            shutil.rmtree(one_row)
    return report


def _generated(generate: Callable[..., dict[str, Any]], inputs: dict[str, np.ndarray], size: int = 50) -> np.ndarray:
    import tensorflow as tf

    count = len(next(iter(inputs.values())))
    parts = [
        np.asarray(
            generate(**{name: tf.constant(values[row : row + size]) for name, values in inputs.items()})["image"]
        )
        for row in range(0, count, size)
    ]
    return np.concatenate(parts)


def _images_compared(
    name: str, images: np.ndarray, expected: np.ndarray, spec: ImageSpec, size: int
) -> GeneratorParity:
    low, high = PIXEL_RANGES[spec.pixel_range]
    difference = np.abs(images.astype(np.float64) - expected) / (high - low)
    psnr = -10 * np.log10(max(float(np.mean(difference**2)), 1e-12))
    return GeneratorParity(name, len(expected), float(difference.max()), float(difference.mean()), float(psnr), size)


def _write_generator(
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


def _demand_possible(folder: Path, formats: Sequence[str], opset: int) -> None:
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


def _answers(network: Callable[[np.ndarray], Any], faces: np.ndarray, size: int = 100) -> np.ndarray:
    parts = [np.asarray(network(faces[start : start + size])) for start in range(0, len(faces), size)]
    return np.concatenate(parts)


def _compared(name: str, answers: np.ndarray, expected: np.ndarray, size: int) -> Parity:
    difference = np.abs(answers.astype(np.float64) - expected)
    same = (answers.argmax(1) == expected.argmax(1)).mean()
    return Parity(name, len(expected), float(difference.max()), float(difference.mean()), float(same), size)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


# -- SavedModel --------------------------------------------------------------------------------------------------------


def _write_signatures(network: keras.Model, signatures: dict[str, tuple[Callable, tf.TensorSpec]], path: Path) -> None:
    """Writes a SavedModel of functions that call a network; the first is also "serving_default"."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    module.functions = {
        name: tf.function(function, input_signature=[spec]) for name, (function, spec) in signatures.items()
    }
    first = next(iter(module.functions.values()))
    tf.saved_model.save(module, str(path), signatures={**module.functions, "serving_default": first})


def _write_saved_model(network: keras.Model, spec: ImageSpec, path: Path, description: dict[str, Any]) -> None:
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
    _write_signatures(network, signatures, path)
    _describe(path, description)


def _describe(path: Path, description: dict[str, Any]) -> None:
    """Puts a description into a SavedModel."""
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "kerasfer.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _decoded(content: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """An image file's content in a model's colour and size, as `images.prepare_uint8`: float32 of `spec.shape`."""
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


def _saved_model_answers(path: Path, spec: ImageSpec, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Answers of both signatures to faces, uint8 (n, h, w, c)."""
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures
    contents = np.array([images.encode(face) for face in faces], object)
    aligned, encoded = (
        lambda batch, signature=signatures[name], key=key: signature(**{key: tf.constant(batch)})["probabilities"]
        for name, key in (("aligned_faces", "faces"), ("encoded_images", "images"))
    )
    return {
        "saved_model": _answers(aligned, spec.scale(faces)),
        "saved_model, encoded images": _answers(encoded, contents),
    }


# -- ONNX --------------------------------------------------------------------------------------------------------------


def _recognizing(network: keras.Model) -> Callable[..., dict[str, tf.Tensor]]:
    return lambda faces: {"probabilities": network(faces, training=False)}


def _write_onnx(
    function: Callable[..., dict[str, tf.Tensor]],
    shapes: dict[str, list[int]],
    path: Path,
    description: dict[str, Any],
    opset: int,
) -> None:
    """Writes what a function of named inputs computes, for any number of rows.

    Args:
        function: takes float32 (n, *shape) by name and gives its outputs by name.
        shapes: name of an input -> shape of one row.
        path: the file.
        description: what the file says of itself.
        opset: version of the operators.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    specs = [tf.TensorSpec((None, *shape), tf.float32, name) for name, shape in shapes.items()]
    traced = tf.function(lambda *values: function(**dict(zip(shapes, values))), input_signature=specs)
    model, _ = tf2onnx.convert.from_function(traced, input_signature=specs, opset=opset)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    model.graph.name = model.graph.doc_string = f"{description['model']} of kerasfer {description['kerasfer']}"
    onnx.helper.set_model_props(model, {lite.METADATA: json.dumps({**description, "storage": "onnx"})})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _onnx_answers(path: Path, inputs: dict[str, np.ndarray], size: int = 50) -> np.ndarray:
    """The first output for named inputs, each float32 (n, ...), as onnxruntime computes it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    count = len(next(iter(inputs.values())))
    batches = ({name: values[row : row + size] for name, values in inputs.items()} for row in range(0, count, size))
    return np.concatenate([session.run(None, batch)[0] for batch in batches])


# -- TFLite ------------------------------------------------------------------------------------------------------------


def _write_one_face(network: keras.Model, spec: ImageSpec, path: Path) -> None:
    """A SavedModel that takes one face at a time, as devices do; the converter reads it."""
    import tensorflow as tf

    def recognize(face: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(face, training=False)}

    _write_signatures(network, {"recognize": (recognize, tf.TensorSpec((1, *spec.shape), tf.float32, "face"))}, path)


def _with_any_batch(content: bytes, spec: ImageSpec) -> tuple[bytes, str | int]:
    """A recogniser's TFLite file whose input may be resized to several faces.

    Converted for one face, its layers take any number, but a reshape has the one in its new shape; -1 there stands for
    as many as come. All shapes stay known, as delegates want them: a file converted for any number computes shapes
    as it runs, and LiteRT's newer runtimes refuse it.

    Args:
        content: the file.
        spec: of its input.

    Returns:
        The file, and "any"; or, if several faces do not get the answers that each gets alone, the file as it was and 1.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        for operation in graph.operators:
            code = model.operatorCodes[operation.opcodeIndex]
            kind = max(code.builtinCode, code.deprecatedBuiltinCode)
            if kind != schema.BuiltinOperator.RESHAPE or len(operation.inputs) < 2:
                continue
            source, target = (graph.tensors[number] for number in operation.inputs[:2])
            data = model.buffers[target.buffer].data
            shape = [] if data is None else np.frombuffer(bytes(data), np.int32).copy()
            if len(shape) and shape[0] == source.shape[0] == 1 and -1 not in shape:
                # A constant of its own: others may share the one that it has.
                shape[0] = -1
                buffer, constant = schema.BufferT(), copy.copy(target)
                buffer.data, constant.buffer = np.frombuffer(shape.tobytes(), np.uint8), len(model.buffers)
                operation.inputs = [operation.inputs[0], len(graph.tensors)]
                model.buffers.append(buffer)
                graph.tensors.append(constant)
                if operation.builtinOptions is not None:
                    operation.builtinOptions.newShape = shape
    changed = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    try:
        several, alone = _raw_answers(changed, spec, 3), _raw_answers(content, spec, 1)
    except (ValueError, RuntimeError):
        return content, 1
    tolerance = 1 if several.dtype == np.uint8 else 1e-5
    difference = np.abs(several.astype(np.float64) - alone).max()
    return (changed, "any") if difference <= tolerance else (content, 1)


def _raw_answers(content: bytes, spec: ImageSpec, rows: int) -> np.ndarray:
    """What a TFLite file answers to three faces of noise, so many at a time, as it stores it: (3, K)."""
    interpreter = open_interpreter(content, shape=(rows, *spec.shape))
    entrance, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    pixels = np.random.default_rng(0).integers(0, 256, (3, *spec.shape), np.uint8)
    faces = pixels if entrance["dtype"] == np.uint8 else spec.scale(pixels)
    answers = []
    for start in range(0, len(faces), rows):
        interpreter.set_tensor(entrance["index"], faces[start : start + rows])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(answer["index"]))
    return np.concatenate(answers)


def _converted(
    source: Path, storage: str, calibration: np.ndarray | dict[str, np.ndarray] | None, spec: ImageSpec | None = None
) -> bytes:
    """A TFLite file of a SavedModel's default signature.

    Args:
        source: the SavedModel.
        storage: "float32", "float16", "dynamic" or "int8".
        calibration: for int8: faces of a recogniser, uint8; or named inputs of a generator, float32.
        spec: of a recogniser's faces, whose int8 takes and gives bytes.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(source), signature_keys=["serving_default"])
    if storage != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if storage == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if storage == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if isinstance(calibration, dict):
            converter.representative_dataset = lambda: _rows(calibration)
        else:
            converter.representative_dataset = lambda: _calibration_steps(calibration, spec)
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return converter.convert()


def _calibration_steps(faces: np.ndarray, spec: ImageSpec) -> Iterator[list[np.ndarray]]:
    """Each face, and the first once more with its contrast stretched, so that the input's range is that of bytes."""
    first = faces[0].astype(np.float32)
    stretched = (first - first.min()) * (255.0 / max(float(np.ptp(first)), 1.0))
    stretched.flat[0], stretched.flat[-1] = 0.0, 255.0
    for pixels in (stretched, *faces):
        yield [spec.scale(np.asarray(pixels, np.float32))[np.newaxis]]


def _rows(inputs: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Named inputs, one row after the other."""
    for row in range(len(next(iter(inputs.values())))):
        yield {name: values[row : row + 1] for name, values in inputs.items()}


def _with_metadata(content: bytes, description: dict[str, Any]) -> bytes:
    """A TFLite file with a description in it, for `lite.read_metadata`, and with its own digest."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    model.description = f"{description['model']} of kerasfer {description['kerasfer']}".encode()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps({**description, "sha256": lite.UNSEALED}).encode(), np.uint8)
    entry.name, entry.buffer = lite.METADATA.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return lite.sealed(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


class _CallableModule(types.ModuleType):
    """`kerasfer.export` is this module, and by the package's interface the function too: the module can be called."""

    @staticmethod
    def __call__(*arguments: Any, **options: Any) -> Report:
        return export(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule

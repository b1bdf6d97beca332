"""TFLite files, with everything needed to use them in their metadata."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import lite
from kerasfer.export.saved_model import write_signatures
from kerasfer.faces import ImageSpec
from kerasfer.interpreter import open_interpreter

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def write_one_face(network: keras.Model, spec: ImageSpec, path: Path) -> None:
    """A SavedModel that takes one face at a time, as devices do; the converter reads it."""
    import tensorflow as tf

    def recognize(face: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(face, training=False)}

    write_signatures(network, {"recognize": (recognize, tf.TensorSpec((1, *spec.shape), tf.float32, "face"))}, path)


def with_any_batch(content: bytes, spec: ImageSpec) -> tuple[bytes, str | int]:
    """A recognizer's TFLite file whose input may be resized to several faces.

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
            shape = np.frombuffer(b"" if data is None else bytes(data), np.int32).copy()
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


def converted(
    source: Path,
    storage: str,
    calibration: np.ndarray | dict[str, np.ndarray] | None = None,
    spec: ImageSpec | None = None,
) -> bytes:
    """A TFLite file of a SavedModel's default signature.

    Args:
        source: the SavedModel.
        storage: "float32", "float16", "dynamic" or "int8".
        calibration: for int8: faces of a recognizer, uint8; or named inputs of a generator, float32.
        spec: of a recognizer's faces, whose int8 takes and gives bytes.
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
        elif calibration is not None and spec is not None:
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


def with_metadata(content: bytes, description: dict[str, Any]) -> bytes:
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

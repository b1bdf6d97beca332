"""ONNX files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import lite

if TYPE_CHECKING:
    import tensorflow as tf


def write_onnx(
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


def onnx_answers(path: Path, inputs: dict[str, np.ndarray], size: int = 50) -> np.ndarray:
    """The first output for named inputs, each float32 (n, ...), as onnxruntime computes it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    count = len(next(iter(inputs.values())))
    batches = ({name: values[row : row + size] for name, values in inputs.items()} for row in range(0, count, size))
    return np.concatenate([session.run(None, batch)[0] for batch in batches])

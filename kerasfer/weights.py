"""Weight files that are what they were when they were saved, or are not used at all; and where the bundled ones are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["BUNDLES", "ZooError", "bundled", "fill", "folder_of", "named_weights", "pack", "read_weights", "unpack"]

_PACKAGE = Path(__file__).resolve().parent
BUNDLES = (_PACKAGE / "saved_models", _PACKAGE.parent / "saved_models")
"""Where the models that come with kerasfer are: in an installed package, and in a checkout."""


class ZooError(ValueError):
    """A model is unknown, or its folder is not as it was saved; the message names the file and the remedy."""


def bundled() -> dict[str, Path]:
    """Name -> folder of the models that come with kerasfer."""
    found: dict[str, Path] = {}
    for bundle in BUNDLES:
        for path in sorted(bundle.glob("*/config.json")):
            found.setdefault(path.parent.name, path.parent)
    return found


def folder_of(name: str) -> Path:
    """The folder of a trained model that comes with kerasfer; `ZooError` if there is none of that name."""
    known = bundled()
    if name not in known:
        raise ZooError(f"no trained model {name!r} comes with kerasfer; there are: {', '.join(known) or 'none'}")
    return known[name]


_SCALE = ":scale"
"""After a weight's name: what its 8-bit integers are multiplied by, a number for each entry of the last axis."""


def pack(arrays: Mapping[str, np.ndarray], dtype: type[np.number] = np.float32) -> bytes:
    """The content of a safetensors file.

    Args:
        arrays: weights by name.
        dtype: float32, float16 or int8: of int8, arrays of two and more axes are rounded to 255 steps of a size of
            their own for each entry of the last axis (the output channels of a convolution), others are float16.

    Raises:
        ZooError: an array is not finite as stored.
    """
    from safetensors.numpy import save

    packed: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        values = np.asarray(array, np.float32)
        stored: dict[str, tuple[np.ndarray, Any]] = {key: (values, np.float16 if dtype is np.int8 else dtype)}
        if dtype is np.int8 and values.ndim >= 2:
            scale = np.abs(values).max(tuple(range(values.ndim - 1)), initial=0.0) / 127
            with np.errstate(invalid="ignore"):
                steps = np.rint(values / np.where(scale > 0, scale, 1))
            stored = {key: (steps, np.int8), f"{key}{_SCALE}": (scale, np.float32)}
        for name, (value, kind) in stored.items():
            with np.errstate(over="ignore", invalid="ignore"):
                packed[name] = np.asarray(value.astype(kind), order="C")
            if not (np.isfinite(value).all() and np.isfinite(packed[name]).all()):
                raise ZooError(f"weights {key} are not finite as {np.dtype(dtype).name}; nothing was saved")
    return save(packed)


def read_weights(path: Path, entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file.

    Args:
        path: the file.
        entry: what a config.json says of it: "bytes" and "sha256".

    Raises:
        ZooError: the file is missing or not the one that was saved.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror}); copy the model's folder again") from error
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise ZooError(
            f"{path}: damaged, or of another model: its checksum is not that in config.json "
            f"({len(content)} bytes, saved with {entry.get('bytes')}); copy the model's folder again"
        )
    return unpack(content, path)


def unpack(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays in the content of a safetensors file, floats; `ZooError`, naming the path, if it is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        scales = {key: arrays.pop(f"{key}{_SCALE}") for key, values in list(arrays.items()) if values.dtype == np.int8}
        return {key: values * scales[key] if key in scales else values for key, values in arrays.items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise ZooError(f"{path}: not a readable safetensors file ({error}); copy it again") from error


def named_weights(network: Any) -> dict[str, Any]:
    """The variables, by "layer/weight", of a Keras network whose layers hold their weights themselves."""
    return {f"{layer.name}/{weight.name}": weight for layer in network.layers for weight in layer.weights}


def fill(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Assigns arrays to variables of the same names and shapes; `ZooError` if they do not match, one by one."""
    wrong = [f"no {name}" for name in variables if name not in arrays]
    wrong += [f"unknown {name}" for name in arrays if name not in variables]
    wrong += [
        f"{name} has shape {arrays[name].shape} instead of {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in arrays and tuple(variable.shape) != arrays[name].shape
    ]
    if wrong:
        raise ZooError(
            f"{path}: weights of another model or size ({len(wrong)} of {len(variables)} differ, first: {wrong[0]}); "
            "use the file that belongs to config.json"
        )
    for name, variable in variables.items():
        if not np.isfinite(arrays[name].astype(np.float64)).all():
            raise ZooError(f"{path}: {name} holds values that are not finite; use another file")
        variable.assign(arrays[name].astype(variable.dtype))

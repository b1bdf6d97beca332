"""Weight files, checked against their digests before they are used; and where the bundled ones are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "BUNDLES",
    "ZooError",
    "bundled",
    "check_seal",
    "fill",
    "folder_of",
    "named_weights",
    "pack",
    "read_json",
    "read_state",
    "read_weights",
    "seal",
    "unpack",
    "write_state",
]

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


# -- checkpoints -------------------------------------------------------------------------------------------------------


def write_state(path: Path, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Writes a checkpoint: arrays by name, and a config, with a digest of all in the file itself.

    Raises:
        safetensors.SafetensorError: the file cannot be written; `kerasfer.files` tells what helps.
    """
    from safetensors.numpy import save_file

    text = json.dumps(config)
    save_file(dict(arrays), path, metadata={"config": text, _SEAL: _digest_of(arrays, text)})


def read_state(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """The arrays and the config of a file of `write_state`; those that older versions wrote carry no digest.

    Raises:
        ZooError: the file cannot be read, is damaged, or holds values that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        text = metadata.get("config", "null")
        if set(metadata) - {"config", _SEAL} or metadata.get(_SEAL, "") not in ("", _digest_of(arrays, text)):
            raise ValueError("its content is not what was written: the digest differs")
        config = _parsed(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, MemoryError, SafetensorError) as error:
        raise ZooError(
            f"{path}: not a readable checkpoint ({error}); delete its folder to use the one before"
        ) from error
    for name, values in arrays.items():
        if not np.isfinite(values.astype(np.float64)).all():
            raise ZooError(f"{path}: {name} holds values that are not finite; delete its folder to use the one before")
    return arrays, config if isinstance(config, dict) else None


def _digest_of(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """A digest of a text and of names, types, shapes and values of arrays, whatever their order."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps([name, values.dtype.str, arrays[name].shape]).encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# -- descriptions ------------------------------------------------------------------------------------------------------

_SEAL = "sha256"
_LONGEST = 1 << 24
"""Bytes that a JSON file beside weights may have."""


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a digest of itself in it, for `check_seal`; it is that of the values, not of the layout."""
    bare = {key: value for key, value in content.items() if key != _SEAL}
    canonical = json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {**bare, _SEAL: hashlib.sha256(canonical.encode()).hexdigest()}


def check_seal(content: Mapping[str, Any], path: Path) -> None:
    """Raises `ZooError` if an object of `seal` has changed since; one that was never sealed passes."""
    found = content.get(_SEAL)
    if found is None:
        broken = any(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in content.values())
    else:
        try:
            broken = found != seal(content)[_SEAL]
        except ValueError:
            broken = True
    if broken:
        raise ZooError(
            f"{path}: damaged or edited: its digest is not that of its content; restore the file as saved, or remove "
            f'the entry "{_SEAL}" from it if the change is yours'
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file beside weights; whoever uses it checks its seal.

    Raises:
        ZooError: the file cannot be read, is not of a size and depth that such a file has, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise ValueError(f"more than {_LONGEST} bytes")
        content = _parsed(text.decode())
    except FileNotFoundError as error:
        raise ZooError(f"{path}: no such file; name the folder of a saved model or of a training run") from error
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror}); copy the folder again") from error
    except ValueError as error:
        raise ZooError(f"{path}: not a readable JSON file ({error}); copy the folder again") from error
    if not isinstance(content, dict):
        raise ZooError(f"{path}: does not describe a model; name the folder of a saved model or of a training run")
    return content


def _parsed(text: str) -> Any:
    """JSON, parsed; `ValueError` if it is none, also if it is nested without end or has numbers that are none."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


# -- variables ---------------------------------------------------------------------------------------------------------


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

"""Helpers for any network: built in a precision and within bounds, copied, run in batches."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer import kernels
from kerasfer.models.config import ConfigError

__all__ = [
    "chosen_precision",
    "copy_layers",
    "copy_weights",
    "in_batches",
    "lacking_for",
    "precision_scope",
    "weights_at_most",
]


def chosen_precision(otherwise: str) -> str:
    """The global dtype policy where somebody has set another than float32, else the one given.

    In place of mixed_bfloat16 it is float32 where the networks run on a processor that takes longer in bfloat16.
    """
    policy = keras.config.dtype_policy().name
    if policy != "float32":
        return policy
    return "float32" if otherwise == "mixed_bfloat16" and lacking_for(otherwise) else otherwise


def lacking_for(precision: str) -> tuple[str, ...]:
    """What the processor would need one of to be quicker in a precision than in float32; () if nothing is lacking.

    Also () where there is a GPU or another device to compute on.
    """
    if precision != "mixed_bfloat16" or any(each.device_type != "CPU" for each in tf.config.list_physical_devices()):
        return ()
    return kernels.bfloat16_lacks()


@contextlib.contextmanager
def precision_scope(policy: str) -> Iterator[None]:
    """Layers made inside have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_counting = threading.RLock()


@contextlib.contextmanager
def weights_at_most(most: int) -> Iterator[None]:
    """Layers that this thread makes inside have so many weights in all; `ConfigError` before memory is taken."""
    left, thread = most, threading.get_ident()
    with _counting:
        before = keras.layers.Layer.add_weight

        def add_weight(self: keras.layers.Layer, shape: Any = None, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if threading.get_ident() == thread:
                left -= math.prod(shape or ())
                if left < 0:
                    raise ConfigError(f"its networks would have more than {most:,} weights, {self.name} among them")
            return before(self, shape, *arguments, **options)

        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = before


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copies every weight; `ConfigError` if the networks differ in shape."""
    ours, theirs = target.weights, source.weights
    if [tuple(weight.shape) for weight in ours] != [tuple(weight.shape) for weight in theirs]:
        raise ConfigError(
            f"network {source.name!r} has other shapes than {target.name!r}; use configs of the same size"
        )
    for weight, value in zip(ours, theirs):
        weight.assign(value)


def copy_layers(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of every layer of the target from the source's layer of that name.

    Raises:
        ConfigError: the source has no such layer, or one of another shape.
    """
    names = [layer.name for layer in target.layers if layer.weights]
    missing = set(names) - {layer.name for layer in source.layers}
    if missing:
        raise ConfigError(f"network {source.name!r} has no {', '.join(sorted(missing))}; use configs that fit")
    for name in names:
        copy_weights(source.get_layer(name), target.get_layer(name))


def in_batches(function: Callable[..., tf.Tensor], *arrays: np.ndarray, size: int = 64) -> np.ndarray:
    """Applies a function to arrays of n rows, `size` rows at a time: float32 (n, ...)."""
    parts = [
        np.asarray(tf.cast(function(*(array[start : start + size] for array in arrays)), tf.float32))
        for start in range(0, len(arrays[0]), size)
    ]
    return np.concatenate(parts)

"""The papers' models, and one for small devices, one file each."""

from __future__ import annotations

import importlib
from typing import Any

from kerasfer.missing import explained

__all__ = ["DEFAULT_RECOGNIZER", "MODELS", "model_class"]

MODELS: dict[str, tuple[str, str]] = {
    "dcganfer": ("kerasfer.models.dcganfer", "DCGANFER"),
    "edge": ("kerasfer.models.edge", "Edge"),
    "fesr": ("kerasfer.models.fesr", "FESR"),
    "g2fer": ("kerasfer.models.g2fer", "G2FER"),
    "ipdfer": ("kerasfer.models.ipdfer", "IPDFER"),
    "tdgan": ("kerasfer.models.tdgan", "TDGAN"),
    "wild": ("kerasfer.models.wild", "Wild"),
}
"""Name -> module and class. Modules are imported only when they are used."""

DEFAULT_RECOGNIZER = "wild"
"""The bundled model that recognizes where none is named."""


def model_class(name: str) -> type[Any]:
    """Returns the model class of a name.

    Raises:
        ValueError: there is no such model; the message lists the names.
        ImportError: TensorFlow or Keras is not installed; the message says what to install.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known are: {', '.join(sorted(MODELS))}")
    module, attribute = MODELS[name]
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise explained(error) from None

"""kerasfer: facial expression recognition with Keras 3.

    kerasfer.recognize("photo.jpg")                  # the expression of every face in a photo
    kerasfer.verify("a.jpg", "b.jpg")                # whether two photos show the same person
    kerasfer.load("tdgan").recognizer()              # a trained Keras model: aligned faces to probabilities
    kerasfer.create("tdgan", size="small")           # an untrained model
    kerasfer.train("edge", recipe, folder="runs/x")  # learns from a kerasfer.data.Recipe

Everything is imported when it is first used, so that `import kerasfer` costs next to nothing.
"""

from __future__ import annotations

import importlib

from kerasfer import kernels, registration
from kerasfer.missing import explained
from kerasfer.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

kernels.prefer_onednn()
registration.announce()

_PUBLIC = {
    "create": "kerasfer.zoo",
    "evaluate": "kerasfer.evaluation",
    "list_models": "kerasfer.zoo",
    "load": "kerasfer.zoo",
    "explain": "kerasfer.explanation",
    "push_to_hub": "kerasfer.zoo",
    "recognize": "kerasfer.recognition",
    "recognize_faces": "kerasfer.recognition",
    "save": "kerasfer.zoo",
    "train": "kerasfer.trainer",
    "to_dataframe": "kerasfer.tabular",
    "verify": "kerasfer.verification",
}
"""Public function -> the module that holds it."""

_MODULES = (
    "bundle",
    "data",
    "datasets",
    "detection",
    "evaluation",
    "export",
    "images",
    "lite",
    "plots",
    "recipes",
    "splits",
    "synthesis",
    "trainer",
    "training",
    "video",
    "zoo",
)
"""Modules that are reached as attributes; `kerasfer.export` can itself be called."""

__all__ = ["__version__", *_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC and name not in _MODULES:
        raise AttributeError(f"module 'kerasfer' has no attribute {name!r}; it has: {', '.join(sorted(__all__))}")
    try:
        module = importlib.import_module(_PUBLIC.get(name, f"kerasfer.{name}"))
    except ModuleNotFoundError as error:
        raise explained(error) from None
    value = getattr(module, name) if name in _PUBLIC else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

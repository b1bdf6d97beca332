"""Models by name."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from kerasfer.missing import explained
from kerasfer.models import MODELS, model_class
from kerasfer.weights import ZooError, bundled

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel

__all__ = ["SIZES", "chosen_precision", "create", "list_models", "model_name"]

SIZES = ("paper", "small", "tiny")
"""Ready-made configs that every model has."""


def list_models(pattern: str = "*", trained: bool = False) -> list[str]:
    """Names of models, sorted.

    Args:
        pattern: a shell pattern, such as "tdgan*".
        trained: list what `load` takes by name, the trained models that come with kerasfer, instead of what `create`
            takes.
    """
    names = bundled() if trained else MODELS
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def create(name: str, size: str = "paper", **config_overrides: Any) -> FERModel:
    """Makes an untrained model.

    Args:
        name: one of `list_models()`.
        size: "paper" for the paper's config, "small" for one that a CPU can train, "tiny" for tests.
        **config_overrides: fields of the model's config to change. Its precision is by default a global dtype policy
            other than float32, where somebody has set one; and float32 in place of bfloat16 on processors that take
            longer in that.

    Raises:
        ZooError: an unknown name or size.
        ConfigError: a field that the config does not have, or a value that it cannot have.
    """
    if name not in MODELS:
        trained = " (a trained model: use load)" if name in bundled() else ""
        raise ZooError(f"unknown model {name!r}{trained}; known are: {', '.join(sorted(MODELS))}")
    if size not in SIZES:
        raise ZooError(f"unknown size {size!r}; known are: {', '.join(SIZES)}")

    model = model_class(name)
    config = getattr(model.Config, size)()
    return model(config.replace(**{"precision": chosen_precision(config.precision), **config_overrides}))


def model_name(model: FERModel) -> str:
    """The name that `create` makes a model of this class by; `ZooError` if its class is not in the zoo."""
    for name, (module, attribute) in MODELS.items():
        if (type(model).__module__, type(model).__qualname__) == (module, attribute):
            return name
    raise ZooError(f"{type(model).__qualname__} is not a model of the zoo; add it to MODELS in kerasfer/models")


def chosen_precision(configured: str) -> str:
    """As `models.base.chosen_precision`; `ImportError` if Keras is not installed."""
    try:
        from kerasfer.models import base
    except ModuleNotFoundError as error:
        raise explained(error) from None
    return base.chosen_precision(configured)

"""The networks of a model's weight groups: their variables, and what stands for those that were not saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer.weights import ZooError

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel

__all__ = ["MissingNetwork", "is_loaded", "is_missing", "mark_missing", "variables_of"]


def variables_of(model: FERModel, group: str) -> dict[str, Any]:
    """Name -> variable of the networks of a group; the names are those in its file."""
    found: dict[str, Any] = {}
    for network in model.weight_groups()[group]:
        for variable in model.networks[network].weights:
            key = f"{network}/{model.weight_name(network, variable)}"
            if key in found:
                raise ZooError(f"{key}: two weights have this name; give the layers of {network} names of their own")
            found[key] = variable
    return found


class MissingNetwork:
    """Stands for a network whose weights were not saved: any use raises."""

    def __init__(self, network: str, reason: str) -> None:
        self._message = f"no {network}: {reason}; put the file there, or load a model that was saved with all groups"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ZooError(self._message)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise ZooError(self._message)


def mark_missing(model: FERModel, group: str, reason: str) -> None:
    """Makes every use of a group's networks raise, and every trace of their random weights NaN."""
    for network in model.weight_groups()[group]:
        for variable in model.networks[network].weights:
            variable.assign(np.full(variable.shape, math.nan, variable.dtype))
        model.networks[network] = MissingNetwork(network, reason)


def is_missing(network: Any) -> bool:
    """Whether a network of a loaded model has no weights, as its group was not saved."""
    return isinstance(network, MissingNetwork)


def is_loaded(model: FERModel, group: str) -> bool:
    """Whether every network of a group has its weights."""
    return not any(is_missing(model.networks[network]) for network in model.weight_groups()[group])

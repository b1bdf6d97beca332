"""What the controls share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

__all__ = ["PREVIEWED", "Control", "between"]

PREVIEWED = 8
"""Faces in a row of a preview."""


class Control:
    """One thing that people control faces with which a model draws.

    Args:
        model: a `FERModel` that names the control among its `controls`.

    Attributes:
        name: what `FERModel.controls` calls it.
        model: the model.

    Raises:
        ValueError: the model has no such control, or this variant of it draws nothing.
    """

    name: ClassVar[str]

    def __init__(self, model: Any) -> None:
        if self.name not in model.controls and type(self) not in model.controls:
            known = ", ".join(each if isinstance(each, str) else each.name for each in model.controls)
            raise ValueError(
                f"a {type(model).__name__} is not controlled by {self.name}, but by {known or 'nothing: it recognizes'}"
            )
        model.require_generator()
        self.model = model

    def preview(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Pictures that show what the model has learned, made from the first faces of a training batch.

        Args:
            batch: of the model's kind.

        Returns:
            Rows of a grid, each float32 (columns, h, w, c) in the model's range, beside the faces themselves.
        """
        return []


def between(ends: np.ndarray, steps: int) -> np.ndarray:
    """A straight line from one code to another: float32 (steps, ...).

    Args:
        ends: (2, ...), the first and the last.
        steps: at least 2.

    Raises:
        ValueError: fewer steps.
    """
    if steps < 2:
        raise ValueError(f"an interpolation needs at least 2 steps, got {steps}")
    weights = np.linspace(0.0, 1.0, steps, dtype=np.float32).reshape(-1, *[1] * (np.ndim(ends) - 1))
    return (1.0 - weights) * ends[0] + weights * ends[1]

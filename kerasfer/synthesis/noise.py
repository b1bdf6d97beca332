"""Faces of nobody: DCGAN-FER and FESR."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerasfer.synthesis.control import PREVIEWED, Control
from kerasfer.synthesis.names import NamedExpressions

__all__ = ["FromNoise"]


class FromNoise(Control):
    """Faces of people who do not exist, drawn from noise.

    The model defines `draw(count, seed)`, codes drawn at random, and `decode(codes)`; if it takes expressions by name,
    `decode(codes, expression_codes)`. Images are float32 (n, h, w, c) in the model's range.
    """

    name = "noise"

    def generate(self, count: int, seed: int = 0) -> np.ndarray:
        """Faces of nobody; of a model that takes expressions by name one with each in turn.

        Args:
            count: number of faces.
            seed: of the noise.

        Returns:
            float32 (count, h, w, c) in the model's range.

        Raises:
            ValueError: no faces.
        """
        if count < 1:
            raise ValueError(f"at least one face is needed, got {count}")
        codes = self.model.draw(count, seed)
        if NamedExpressions.name not in self.model.controls:
            return self.model.decode(codes)
        classes = np.arange(count) % len(self.model.label_space)
        return self.model.decode(codes, self.model.expression_codes(classes))

    def preview(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Five rows of them, or one of people who are happy, if the model takes that by name."""
        columns = min(len(batch["image"]), PREVIEWED)
        if NamedExpressions.name in self.model.controls:
            happy = max(self.model.label_space.find("happiness"), 0)
            return [NamedExpressions(self.model).new_people(columns, [happy])[:, 0]]
        made = self.generate(5 * columns)
        return list(made.reshape(5, columns, *made.shape[1:]))

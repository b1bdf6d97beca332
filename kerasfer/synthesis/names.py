"""Expressions by name and intensity: FESR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerasfer.synthesis.control import PREVIEWED, Control

__all__ = ["NamedExpressions"]


class NamedExpressions(Control):
    """A named expression on a face, from weak to strong.

    The model defines `synthesize(faces, expressions, intensity)`, `expression_codes(expressions, intensity)`,
    `encode(faces)` and `decode(codes, expression_codes)`. Images are float32 (n, h, w, c) in the model's range.
    """

    name = "names"

    def draw(
        self,
        faces: np.ndarray,
        expressions: str | int | Sequence[str | int] | np.ndarray,
        intensity: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Puts an expression on each face.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            expressions: a name or class number for all, or one for each face.
            intensity: in [0, 1], for all or for each face.

        Returns:
            float32 (n, h, w, c) in the model's range.

        Raises:
            ValueError: an unknown expression, an intensity outside [0, 1], or shapes that do not fit.
        """
        return self.model.synthesize(faces, expressions, intensity)

    def each(
        self,
        faces: np.ndarray,
        expressions: str | int | Sequence[str | int] | None = None,
        intensity: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Each face with each of several expressions (FESR's Fig. 5), or with one from weak to strong (its Fig. 6).

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            expressions: names or class numbers, the same one as often as there are intensities if need be; by default
                all m of the model.
            intensity: in [0, 1], for all or for each expression.

        Returns:
            float32 (n, m, h, w, c) in the model's range.

        Raises:
            ValueError: as for `draw`.
        """
        return self.each_code(self.model.encode(faces), expressions, intensity)

    def new_people(
        self,
        count: int,
        expressions: str | int | Sequence[str | int] | None = None,
        seed: int = 0,
        intensity: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Faces of people who do not exist (FESR's Fig. 7): each with every expression.

        Args:
            count: number of people.
            expressions: names or class numbers; by default all m of the model.
            seed: of the people.
            intensity: in [0, 1], for all or for each expression.

        Returns:
            float32 (count, m, h, w, c) in the model's range.

        Raises:
            ValueError: no people, an unknown expression, an intensity outside [0, 1], or a model that draws given
                people only.
        """
        if "noise" not in self.model.controls:
            raise ValueError(f"a {type(self.model).__name__} draws no new people; use another")
        if count < 1:
            raise ValueError(f"at least one new person is needed, got {count}")
        return self.each_code(self.model.draw(count, seed), expressions, intensity)

    def each_code(
        self,
        codes: np.ndarray,
        expressions: str | int | Sequence[str | int] | None = None,
        intensity: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """As `each`, of what `model.encode` makes of faces, float32 (n, d): float32 (n, m, h, w, c)."""
        chosen = self.model.label_space.labels if expressions is None else expressions
        wanted = self.model.expression_codes(chosen, intensity)
        images = self.model.decode(np.repeat(codes, len(wanted), 0), np.tile(wanted, (len(codes), 1)))
        return images.reshape(len(codes), len(wanted), *images.shape[1:])

    def preview(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The faces with each expression."""
        return list(self.each(np.asarray(batch["image"])[:PREVIEWED]).swapaxes(0, 1))

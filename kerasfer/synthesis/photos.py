"""Expressions from photos of other people: TDGAN and IPD-FER."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerasfer.synthesis.control import PREVIEWED, Control, between

__all__ = ["ByPhoto"]


class ByPhoto(Control):
    """The expression of one photo on the face of another.

    The model defines `synthesize(faces, expressions, seed=)`, `encode_faces(images)`, `encode_expressions(images)` and
    `decode_codes(expression_codes, face_codes, seed=, same_noise=)`; if it draws faces from a sum of codes, `parts`,
    `encode(part, images)` and `decode(sums)`, too. Images are float32 (n, h, w, c) in the model's range.
    """

    name = "photos"

    def transfer(self, faces: np.ndarray, expressions: np.ndarray, seed: int = 0) -> np.ndarray:
        """Puts expressions on faces.

        Args:
            faces: whose face to take, float32 (n, h, w, c) in the model's range.
            expressions: whose expression to take, like `faces`.
            seed: of the noise, if the model draws any.

        Returns:
            float32 (n, h, w, c) in the model's range.

        Raises:
            ValueError: shapes that do not fit.
        """
        return self.model.synthesize(faces, expressions, seed=seed)

    def interpolate_expression(
        self, face: np.ndarray, source: np.ndarray, target: np.ndarray, steps: int = 8, seed: int = 0
    ) -> np.ndarray:
        """One face, its expression going from that of `source` to that of `target` (TDGAN's equation 11).

        Args:
            face: float32 (h, w, c) in the model's range.
            source: the expression at the start, like `face`.
            target: the expression at the end, like `face`.
            steps: number of images, at least 2.
            seed: of the noise, which is the same in all images.

        Returns:
            float32 (steps, h, w, c) in the model's range.
        """
        codes = between(self.model.encode_expressions(np.stack([source, target])), steps)
        face_codes = np.repeat(self.model.encode_faces(face[None]), steps, 0)
        return self.model.decode_codes(codes, face_codes, seed=seed, same_noise=True)

    def interpolate_face(
        self, expression: np.ndarray, source: np.ndarray, target: np.ndarray, steps: int = 8, seed: int = 0
    ) -> np.ndarray:
        """One expression, the face, with its pose, going from `source` to `target` (TDGAN's equation 12).

        Args:
            expression: float32 (h, w, c) in the model's range.
            source: the face at the start, like `expression`.
            target: the face at the end, like `expression`.
            steps: number of images, at least 2.
            seed: of the noise, which is the same in all images.

        Returns:
            float32 (steps, h, w, c) in the model's range.
        """
        codes = between(self.model.encode_faces(np.stack([source, target])), steps)
        expression_codes = np.repeat(self.model.encode_expressions(expression[None]), steps, 0)
        return self.model.decode_codes(expression_codes, codes, seed=seed, same_noise=True)

    @property
    def disentangles(self) -> bool:
        """Whether the model draws faces from parts."""
        return len(self.model.parts) > 1

    def disentangle(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """What the model draws from the first part of its code alone, and with each further part added.

        IPD-FER's are the person, the pose and the expression (its Fig. 8 and 9); ID-FER has no pose.

        Args:
            faces: float32 (n, h, w, c) in the model's range.

        Returns:
            Name of the part added last -> float32 (n, h, w, c) in the model's range, in that order.

        Raises:
            ValueError: the model draws whole faces only.
        """
        if not self.disentangles:
            raise ValueError(f"a {type(self.model).__name__} does not disentangle; use another")
        drawn: dict[str, np.ndarray] = {}
        total: np.ndarray | float = 0.0
        for part in self.model.parts:
            total = total + self.model.encode(part, faces)
            drawn[part] = self.model.decode(total)
        return drawn

    def preview(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The expressions, and the faces with them; or the faces part by part, if the model draws them so."""
        if self.disentangles:
            return list(self.disentangle(np.asarray(batch["image"])[:PREVIEWED]).values())
        faces, expressions = (np.asarray(batch[name])[:PREVIEWED] for name in ("face_image", "expression_image"))
        return [expressions, self.transfer(faces, expressions)]

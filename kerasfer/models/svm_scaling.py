"""How features are scaled and projected before a support vector machine (`kerasfer.models.svm`) takes them.

Each is centered and divided by its deviation, all by the root of their number, so that their total variance is 1 and
the same ranges of C and gamma suit any features; then, if asked for, they are projected onto their first principal
components.
"""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["SVMError", "Scaling", "fit_scaling", "matrix"]

_PCA_ROWS = 6000
"""Principal components are found from at most so many rows."""

_CHUNK = 2048


class SVMError(ValueError):
    """A support vector machine cannot be fitted or asked as it was; the message says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """What is done to features of width d.

    Attributes:
        mean: float32 (d,).
        scale: float32 (d,); 0 for a feature that never varies.
        projection: float32 (d, m), orthonormal columns; None for no projection.
    """

    mean: np.ndarray
    scale: np.ndarray
    projection: np.ndarray | None = None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scaled features, float32 (n, d or m), of features (n, d).

        Raises:
            SVMError: features of another width.
        """
        features = matrix(features)
        if features.shape[1] != len(self.mean):
            raise SVMError(
                f"features are {features.shape[1]} wide, the machine takes {len(self.mean)}; "
                "use those of the network that it was fitted on"
            )
        parts = []
        for start in range(0, max(len(features), 1), _CHUNK):
            part = (features[start : start + _CHUNK] - self.mean) * self.scale
            parts.append(part if self.projection is None else part @ self.projection)
        return np.concatenate(parts)


def matrix(features: np.ndarray) -> np.ndarray:
    """Features as float32 (n, d); `SVMError` for another shape, and for NaN and infinity."""
    features = np.asarray(features, np.float32)
    if features.ndim != 2:
        raise SVMError(f"features have shape (n, d), got {features.shape}")
    if not np.isfinite(features).all():
        raise SVMError("features are NaN or infinite; look at the network that they come from")
    return features


def fit_scaling(features: np.ndarray, components: int = 0, seed: int = 0) -> Scaling:
    """The scaling of features (n, d), projected onto at most `components` components; 0 for no projection."""
    features = matrix(features)
    mean = features.mean(0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), _CHUNK):
        squares += ((features[start : start + _CHUNK] - mean) ** 2).sum(0)
    deviation = np.sqrt(squares / len(features))
    varies = deviation > 1e-6
    root = np.sqrt(max(int(varies.sum()), 1))
    scale = np.where(varies, 1 / np.where(varies, deviation, 1) / root, 0.0)
    plain = Scaling(mean.astype(np.float32), scale.astype(np.float32))
    count = min(components, features.shape[1], len(features))
    if not count:
        return plain
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(seed).permutation(len(features))[:_PCA_ROWS]
    found = PCA(count, svd_solver="auto", random_state=seed).fit(plain(features[np.sort(rows)]))
    return dataclasses.replace(plain, projection=found.components_.T.astype(np.float32))

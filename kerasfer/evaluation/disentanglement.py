"""What a latent code reveals: identity read from an expression code by a linear probe, and the reverse.

A model that disentangles has an expression code from which people cannot be told apart better than by chance, and a
face code from which expressions cannot.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable

__all__ = ["Probe", "disentanglement", "linear_probe"]


@dataclasses.dataclass(frozen=True)
class Probe:
    """How well a linear classifier reads a label from features.

    Attributes:
        accuracy: on the test rows.
        chance: accuracy there of always naming the label most frequent among the training rows.
        classes: number of labels among the training rows.
        train_rows: number of rows trained on.
        test_rows: number of rows tested on.
        code: what the features are.
        label: what was read.
        silhouette: of the standardized features of all rows, grouped by the label (Rousseeuw 1987): near 1 where each
            group is a cluster of its own, near 0 where groups lie in one another, negative where rows lie nearer to
            another group than to their own; NaN if it was not measured.
    """

    accuracy: float
    chance: float
    classes: int
    train_rows: int
    test_rows: int
    code: str = ""
    label: str = ""
    silhouette: float = math.nan

    def __str__(self) -> str:
        what = f"{self.label} from the {self.code} code: " if self.label else ""
        clusters = "" if math.isnan(self.silhouette) else f"; silhouette {self.silhouette:+.3f}"
        chance = f"chance {self.chance:.2%}, {self.classes} classes, n = {self.test_rows}"
        return f"{what}{self.accuracy:.2%} ({chance}){clusters}"


def linear_probe(
    features: np.ndarray,
    labels: Sequence[str] | Sequence[int] | np.ndarray,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    seed: int = 0,
    *,
    code: str = "",
    label: str = "",
) -> Probe:
    """Trains a logistic regression on standardized features and tests it.

    Args:
        features: float (n, d), or (n, ...) to be flattened.
        labels: (n,).
        train_rows, test_rows: row numbers or masks; no row may be in both.
        seed: of the solver.
        code: what the features are, for the result.
        label: what the labels are, for the result.

    Raises:
        ValueError: rows in both parts, a part without rows, fewer than two labels, or features that are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.asarray(features, np.float64).reshape(len(features), -1)
    labels = np.asarray(labels)
    rows = np.arange(len(features))
    train, test = rows[train_rows], rows[test_rows]
    if np.intersect1d(train, test).size or not train.size or not test.size:
        raise ValueError("a probe needs rows to train on and others to test on")
    if not np.isfinite(features).all():
        raise ValueError("the features to probe hold values that are not finite")
    names, counts = np.unique(labels[train], return_counts=True)
    if len(names) < 2:
        raise ValueError("a probe needs at least two labels to tell apart")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed))
    classifier.fit(features[train], labels[train])
    accuracy = float(np.mean(classifier.predict(features[test]) == labels[test]))
    chance = float(np.mean(labels[test] == names[counts.argmax()]))
    return Probe(accuracy, chance, len(names), len(train), len(test), code, label)


def disentanglement(
    codes: Mapping[str, np.ndarray], table: FaceTable, seed: int = 0, test_part: float = 0.3
) -> list[Probe]:
    """Probes every code for identity and for expression.

    A part of each person's images is tested on and the rest trained on, drawn by the seed, so that every person is
    known to the probe for identity.

    Args:
        codes: name -> features float (n, ...) of the table's faces, for example "expression" and "face".
        table: faces with identity and expression, as the synthetic data set has them.
        seed: of the division and the solver.
        test_part: part of each person's images to test on.

    Returns:
        For each code, the probe for identity and the probe for expression, each with its silhouette.

    Raises:
        DatasetError: a face without identity or expression, a person with fewer than two images, or a code of another
            length.
    """
    identities, expressions = table["identity"], table["expression"]
    people, numbers, counts = np.unique(identities, return_inverse=True, return_counts=True)
    if "" in people or (expressions < 0).any() or (counts < 2).any() or not 0 < test_part < 1:
        raise DatasetError(f"{table.name}: probing needs an identity and an expression for every face, two faces each")
    tested = np.zeros(len(table), bool)
    generator = np.random.default_rng(seed)
    for number, count in enumerate(counts):
        rows = generator.permutation(np.flatnonzero(numbers == number))
        tested[rows[: min(max(round(test_part * count), 1), count - 1)]] = True
    labels = {"identity": identities, "expression": table.class_names()}
    probes = []
    for code, features in codes.items():
        if len(features) != len(table):
            raise DatasetError(f"{table.name}: the {code} code has {len(features)} rows for {len(table)} faces")
        for label, values in labels.items():
            probe = linear_probe(features, values, ~tested, tested, seed, code=code, label=label)
            probes.append(dataclasses.replace(probe, silhouette=_silhouette(features, values)))
    return probes


def _silhouette(features: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score
    from sklearn.preprocessing import StandardScaler

    flat = np.asarray(features, np.float32).reshape(len(features), -1)
    return float(silhouette_score(StandardScaler().fit_transform(flat), labels))

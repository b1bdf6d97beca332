"""Which rows of a table a step takes, in which order, and with which targets.

The order is a pure function of the seed, the epoch and the step, so that a run that was killed resumes at any step
with the very rows it would have had. Google's `grain` gives that, too, but with an order of its own: the first faces of
every seed, and with them all runs and figures so far, would change.
"""

from __future__ import annotations

import functools

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import LabelSpace

__all__ = ["Groups", "Order", "class_shares", "identity_names", "label_distributions", "often", "usable"]


def label_distributions(table: FaceTable, space: LabelSpace, labels: str = "majority") -> np.ndarray:
    """The target distribution of each row over a label space.

    Args:
        table: the data set.
        space: the classes.
        labels: "majority" for one-hot `expression`; "votes" for shares of the votes that fell on the space's classes.

    Returns:
        float32 (n, K); a row of zeros where there is none: an unknown expression, one outside the space, or no votes.

    Raises:
        DatasetError: votes were asked for and the table, or the space, has classes without votes.
    """
    if labels == "majority":
        encoded = table.encoded(space)
        return np.where(encoded[:, None] == np.arange(len(space)), np.float32(1), np.float32(0))
    if labels != "votes":
        raise DatasetError(f"labels must be majority or votes, not {labels!r}")
    votes = table.votes_for(space)
    total = votes.sum(1, keepdims=True)
    return np.divide(votes, total, out=np.zeros_like(votes), where=total > 0)


def class_shares(table: FaceTable, space: LabelSpace, labels: str = "majority") -> tuple[float, ...]:
    """Share of each class in the targets of a table, (K,), as a config's `training_prior`; () if no row has one."""
    _, targets = usable(table, space, labels)
    return tuple(round(float(share), 6) for share in targets.mean(0)) if len(targets) else ()


def identity_names(table: FaceTable) -> list[str]:
    """The people of a table, sorted: the order of `identity_label`. Rows without a name do not count."""
    return sorted(set(table["identity"].tolist()) - {""})


def usable(table: FaceTable, space: LabelSpace, labels: str) -> tuple[FaceTable, np.ndarray]:
    """The rows that have a target, and their targets."""
    targets = label_distributions(table, space, labels)
    known = targets.sum(1) > 0
    return table.select(known), targets[known]


def often(table: FaceTable, targets: np.ndarray) -> tuple[FaceTable, np.ndarray]:
    """The rows whose expression, that with the largest share, occurs at least twice."""
    rows = np.flatnonzero(Groups(targets.argmax(1)).mates() > 0) if len(table) else np.arange(0)
    return table.select(rows), targets[rows]


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, stream: int, number: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, number]).permutation(size)


class Order:
    """Which rows each step takes from a table.

    Args:
        seed: of the whole run.
        stream: tells the streams of one batch apart.
        size: number of rows.
        batch_size: rows a step.
        cyclic: draw pass after pass over the rows without regard to epochs; otherwise each epoch is one pass, and the
            rows left over at its end are dropped.
    """

    def __init__(self, seed: int, stream: int, size: int, batch_size: int, cyclic: bool = False) -> None:
        self.seed = seed
        self.stream = stream
        self.size = size
        self.batch_size = batch_size
        self.cyclic = cyclic

    def rows(self, epoch: int, step: int, steps_per_epoch: int) -> np.ndarray:
        """Row numbers int64 (batch_size,)."""
        if not self.cyclic:
            start = step * self.batch_size
            return _permutation(self.seed, self.stream, epoch, self.size)[start : start + self.batch_size]
        positions = (epoch * steps_per_epoch + step) * self.batch_size + np.arange(self.batch_size)
        passes, places = np.divmod(positions, self.size)
        return np.array(
            [
                _permutation(self.seed, self.stream, int(number), self.size)[place]
                for number, place in zip(passes, places)
            ]
        )


class Groups:
    """Rows by group, to draw another row of the same or of another group.

    Args:
        numbers: int (n,): group of each row.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.order = np.argsort(numbers, kind="stable")
        self.place = np.argsort(self.order, kind="stable")
        self.counts = np.bincount(numbers)
        self.starts = np.cumsum(self.counts) - self.counts
        self.numbers = numbers

    def mates(self) -> np.ndarray:
        """Number of other rows in each row's group, int (n,)."""
        return self.counts[self.numbers] - 1

    def same(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Another row of each row's group; draws in [0, 1) choose it."""
        group = self.numbers[rows]
        others = self.counts[group] - 1
        inner = self.place[rows] - self.starts[group]
        chosen = (draws * others).astype(np.int64)
        return self.order[self.starts[group] + chosen + (chosen >= inner)]

    def other(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A row of any other group than each row's."""
        group = self.numbers[rows]
        chosen = (draws * (len(self.order) - self.counts[group])).astype(np.int64)
        return self.order[chosen + np.where(chosen >= self.starts[group], self.counts[group], 0)]

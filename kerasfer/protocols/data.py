"""Where a protocol's faces come from: data sets on the disk, or rendered faces in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from kerasfer import datasets
from kerasfer.datasets.base import FaceTable
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.protocols.schema import Data
from kerasfer.splits import restricted

__all__ = ["DataSource", "FolderData", "RenderedMultiPie", "SyntheticData"]

_NAMELESS = ("raf_db", "ferplus", "affectnet", "sfew", "tfd")
"""Sets that do not say who is pictured, nor how heads are turned."""


class DataSource(Protocol):
    """Where a protocol's faces come from."""

    synthetic: bool

    def missing(self, names: Sequence[str]) -> list[str]:
        """Names of the sets that are not there."""

    def load(self, data: Data, spec: ImageSpec) -> FaceTable:
        """All faces of a set as a protocol uses it."""


class FolderData:
    """Data sets on the disk.

    Args:
        locate: gives the folder or zip of a data set by its name, None where there is none.
    """

    synthetic = False

    def __init__(self, locate: Callable[[str], Path | None]) -> None:
        self._locate = locate

    def missing(self, names: Sequence[str]) -> list[str]:
        """Names of the sets that are not there."""
        return [name for name in names if self._locate(name) is None]

    def load(self, data: Data, spec: ImageSpec) -> FaceTable:
        """All faces of a set as a protocol uses it; `DatasetError` if it is not there or not as its layout says."""
        root = self._locate(data.name)
        read = [datasets.load(data.name, root, split=part, **data.options) for part in data.parts or (None,)]
        table = read[0] if len(read) == 1 else FaceTable.concatenate(data.name, read)
        return _used(table, data)


class SyntheticData:
    """Rendered faces in the place of every set: its classes, people, views, parts and folds, and few faces of each.

    Args:
        count: faces of each set.
        people: people of each set.
    """

    synthetic = True

    def __init__(self, count: int = 70, people: int = 14) -> None:
        self.count = count
        self.people = people

    def missing(self, names: Sequence[str]) -> list[str]:
        """None: every set is drawn."""
        return []

    def load(self, data: Data, spec: ImageSpec) -> FaceTable:
        """Faces in the place of a set."""
        space = LabelSpace.of(data.classes or "basic7")
        drawn = LabelSpace.of(space if space.labels[-1] in FERPLUS8.labels else FERPLUS8.labels[:6])
        views = {"multi_pie": (37.0, 0.0), "bu3dfe": (50.0, 30.0)}.get(data.name, (45.0, 10.0))
        people = max(self.people, data.options.get("identities", 0))
        table = datasets.load(
            "synthetic",
            count=max(self.count, 2 * people),
            identities=people,
            seed=sum(data.name.encode()),
            size=max(48, spec.size * 9 // 8),
            channels=spec.channels,
            expressions=drawn.labels,
            yaw=views[0],
            pitch=views[1],
        )
        person = np.unique(table["identity"], return_inverse=True)[1]
        codes = np.asarray(space.expressions)[table.encoded(drawn)]
        frames = np.zeros(len(table), np.int32)
        for key in set(zip(person.tolist(), codes.tolist())):
            rows = np.flatnonzero((person == key[0]) & (codes == key[1]))
            frames[rows] = np.arange(len(rows))
        columns = {
            **table.columns,
            "expression": codes,
            "sequence": [f"{number}-{code}" for number, code in zip(person, codes)],
            "frame": frames,
            "fold": person % 5,
        }
        if data.name in _NAMELESS:
            del columns["identity"], columns["pose"]
        if data.parts and "test" not in data.parts:
            columns["split"] = np.where(table["split"] == "test", "valid", table["split"])
        if data.parts == ("train",):
            columns["split"] = np.full(len(table), "train")
        return FaceTable(data.name, table.source, columns, space, table.rejected)


class RenderedMultiPie:
    """Rendered faces in the place of Multi-PIE, as many as G2-FER's paper takes of it, with exact landmarks and poses.

    270 people show six expressions before five cameras at once, from -30 to 30 degrees: each of 1,531 moments is
    rendered from every side, so that 7,655 images hold 6,124 to train on in each of five folds.

    Args:
        moments: rendered from every side.
        people: who show them.
    """

    synthetic = True
    yaws = (-30.0, -15.0, 0.0, 15.0, 30.0)

    def __init__(self, moments: int = 1531, people: int = 270) -> None:
        self.moments = moments
        self.people = people

    def missing(self, names: Sequence[str]) -> list[str]:
        """Every other set."""
        return [name for name in names if name != "multi_pie"]

    def load(self, data: Data, spec: ImageSpec) -> FaceTable:
        """The faces, in the classes of Multi-PIE."""
        space = LabelSpace.of(data.classes or "multipie6")
        drawn = LabelSpace.of(FERPLUS8.labels[: len(space)])
        sides = [
            datasets.load(
                "synthetic",
                count=self.moments,
                identities=self.people,
                seed=sum(data.name.encode()),
                size=max(48, spec.size * 9 // 8),
                channels=spec.channels,
                expressions=drawn.labels,
                yaw=(yaw, yaw),
                pitch=0.0,
            )
            for yaw in self.yaws
        ]
        table = FaceTable.concatenate(data.name, sides)
        codes = np.asarray(space.expressions)[table.encoded(drawn)]
        columns = {name: values for name, values in table.columns.items() if name not in ("split", "votes")}
        return FaceTable(data.name, table.source, {**columns, "expression": codes}, space, table.rejected)


def _used(table: FaceTable, data: Data) -> FaceTable:
    """The faces of a set that a protocol uses."""
    return restricted(table, LabelSpace.of(data.classes)) if data.classes else table

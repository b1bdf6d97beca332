"""Some of a table's faces: of some expressions, a range of poses, a number of people."""

from __future__ import annotations

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import LabelSpace

__all__ = ["first_identities", "restricted", "top_identities", "turned_by"]


def restricted(table: FaceTable, space: LabelSpace) -> FaceTable:
    """The faces whose expression is in a label space, as a table of that space."""
    return table.labeled(space).replace(label_space=space)


def turned_by(table: FaceTable, above: float, up_to: float = 180.0) -> FaceTable:
    """The faces whose head is turned by more than `above` and at most `up_to` degrees of yaw, to either side.

    The first class takes faces at exactly 0 degrees too. Faces without a known pose belong to none.

    Args:
        table: faces with poses.
        above, up_to: degrees, 0 <= above < up_to.
    """
    if not 0 <= above < up_to:
        raise DatasetError(f"a range of yaw goes upwards from at least 0 degrees, got {above:g} to {up_to:g}")
    yaw = np.abs(table["pose"][:, 0])
    return table.select(((yaw > above) | ((above == 0) & (yaw == 0))) & (yaw <= up_to))


def first_identities(table: FaceTable, count: int) -> FaceTable:
    """The faces of the first people by name, in the table's order.

    Args:
        table: faces with identities; those without a name do not count.
        count: number of people.

    Raises:
        DatasetError: there are fewer people.
    """
    people = np.unique(table["identity"][table["identity"] != ""])
    if not 0 < count <= len(people):
        raise DatasetError(f"{table.name}: {count} people asked for, there are {len(people)}")
    return table.select(np.isin(table["identity"], people[:count]))


def top_identities(table: FaceTable, count: int) -> FaceTable:
    """The faces of the people with the most images (by name where equal), in the table's order.

    Args:
        table: faces with identities; those without a name do not count.
        count: number of people.

    Raises:
        DatasetError: there are fewer people.
    """
    people, numbers = np.unique(table["identity"][table["identity"] != ""], return_counts=True)
    if not 0 < count <= len(people):
        raise DatasetError(f"{table.name}: {count} people asked for, there are {len(people)}")
    order = np.lexsort((people, -numbers))[:count]
    return table.select(np.isin(table["identity"], people[order]))

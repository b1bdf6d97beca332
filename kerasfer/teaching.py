"""Knowledge distillation: the answers of trained models, mixed into the votes of a data set.

After Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, with several teachers, whose mean is
right more often than each, and answers that are given once, to the faces as they are and mirrored. Any model of the zoo
teaches any other, whatever their sizes; the one that learns takes `labels="votes"`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.evaluation.classification import Recognizes, predict
from kerasfer.expressions import FERPLUS8
from kerasfer.files import atomic_file

__all__ = ["answers", "taught"]


def answers(
    teachers: Sequence[Recognizes], table: FaceTable, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """What several models say of each face of a table: the mean of all, and of the face and its mirror image.

    Args:
        teachers: recognizers; a class that is not among a teacher's gets nothing from it.
        table: the faces, aligned.
        progress: called with the number of faces done and of all, counted over all teachers.

    Returns:
        float32 (n, K): shares of the classes that the table's votes are for; each row adds up to one.

    Raises:
        DatasetError: no teacher, one that knows a class that no one votes on, or images that do not decode.
    """
    if not teachers:
        raise DatasetError(f"{table.name}: no model was given to learn from")
    voted = table.vote_space
    votable = "the FERPlus expressions" if voted == FERPLUS8 else ", ".join(voted.labels)
    total = np.zeros((len(table), len(voted)), np.float64)
    for number, teacher in enumerate(teachers):
        positions = np.array([voted.find(label) for label in teacher.label_space.labels])
        if (positions < 0).any():
            raise DatasetError(f"a teacher knows {', '.join(teacher.label_space.labels)}; take one of {votable}")

        def told(done: int, rows: int, number: int = number) -> None:
            if progress is not None:
                progress(number * rows + done, len(teachers) * rows)

        total[:, positions] += predict(teacher, table, flip=True, progress=told)
    return (total / total.sum(1, keepdims=True)).astype(np.float32)


def taught(
    table: FaceTable,
    teachers: Sequence[Recognizes],
    share: float = 0.5,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTable:
    """A table whose votes are in part those of models.

    Args:
        table: faces with votes; where a face has none, the models' count alone.
        teachers: as for `answers`.
        share: of the votes that comes from the models, in [0, 1].
        cache: file that keeps what the models said. If it is there, they are not asked again.
        progress: as for `answers`.

    Returns:
        The table with `votes` that add up to ten for each face.

    Raises:
        DatasetError: as for `answers`, a share that cannot be, a table without votes, or a cache of another table.
    """
    if not 0 <= share <= 1:
        raise DatasetError(f"the teachers' share of the votes lies in [0, 1], got {share}")
    if "votes" not in table:
        raise DatasetError(f"{table.name}: has no votes to mix with what the teachers say")
    path = None if cache is None else Path(cache)
    if path is not None and path.is_file():
        try:
            said = np.load(path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: not readable ({error}); delete it to ask the teachers again") from error
        if said.shape != (len(table), len(table.vote_space)):
            raise DatasetError(f"{path}: is of other faces; delete it to ask the teachers again")
    else:
        said = answers(teachers, table, progress)
        if path is not None:
            with atomic_file(path, DatasetError) as aside, aside.open("wb") as file:
                np.save(file, said)
    votes = np.nan_to_num(table["votes"])
    total = votes.sum(1, keepdims=True)
    own = np.divide(votes, total, out=said.astype(np.float64), where=total > 0)
    return table.with_columns(votes=(10 * ((1 - share) * own + share * said)).astype(np.float32))

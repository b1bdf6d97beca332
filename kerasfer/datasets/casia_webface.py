"""CASIA-WebFace (Yi, Lei, Liao and Li, "Learning Face Representation from Scratch", 2014): faces with an identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.generic import class_folders
from kerasfer.datasets.reading import Problems, check_images, check_split
from kerasfer.expressions import FERPLUS8

__all__ = ["read"]


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    identities: int | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads CASIA-WebFace: a folder for each person, named by a number, with that person's images.

    Args:
        root: the folder or zip; the folders may stand one or more levels deeper.
        split: None; the set has no official split.
        strict: raise on damaged files; False leaves them out.
        identities: read only the first so many people in the order of their folders' names (the TDGAN paper takes
            20); None reads all.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression (unknown, -1) and identity (the folder's name).

    Raises:
        DatasetError: the layout is another, or, if strict, files are bad.
    """
    check_split("casia_webface", split, ())
    source, folders = class_folders("casia_webface", root)
    people = sorted(folders)
    if any(not person.isdecimal() for person in people):
        wrong = next(person for person in people if not person.isdecimal())
        raise DatasetError(f"{root}: holds a folder {wrong!r}; CASIA-WebFace's are named by numbers, such as 0000045")
    if identities is not None:
        if not 0 < identities <= len(people):
            raise DatasetError(f"{root}: {identities} people asked for, there are {len(people)}")
        people = people[:identities]
    problems = Problems("casia_webface", strict)
    paths = [path for person in people for path in folders[person]]
    owners = np.repeat(np.array(people, np.str_), [len(folders[person]) for person in people])
    good = check_images(source, paths, problems, verify)
    columns = {"path": np.array(paths, np.str_)[good], "identity": owners[good]}
    return FaceTable("casia_webface", source, columns, FERPLUS8, problems.close())

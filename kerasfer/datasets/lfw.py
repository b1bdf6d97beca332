"""LFW, Labeled Faces in the Wild (Huang, Ramesh, Berg and Learned-Miller, University of Massachusetts, Amherst, 2007):
the original, funneled or deep-funneled photographs, or their middles.

The box that the reader gives was measured with `python scripts/measure_faces.py`: the landmarks of 300 images lie in it
where they lie in FER+'s images.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from kerasfer.datasets.base import FaceTable, ImageSource, open_source
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.lfw_expressions import read_labels
from kerasfer.datasets.reading import Problems, check_images, check_split, image_size, table_of_rows
from kerasfer.expressions import FERPLUS8, Expression

__all__ = ["BOX", "FULL_SIDE", "MIDDLE_SIDE", "read"]

FULL_SIDE = 250
"""Height and width of LFW's images in pixels."""

MIDDLE_SIDE = 168
"""Height and width of the middle of an image: 41 pixels less on every side."""

BOX = (67.0, 68.0, 183.0, 184.0)
"""Left, top, right and bottom of the face in the 250 x 250 images, as tight as FER+ crops."""

_NAME = re.compile(r"(?P<person>.+)_\d{4}")


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    expressions: str | os.PathLike[str] | None = "beside",
    verify: bool = False,
) -> FaceTable:
    """Reads LFW: a folder for each person, with images named as AJ_Cook/AJ_Cook_0001.jpg.

    Args:
        root: the folder or zip.
        split: None; LFW's lists are of pairs of images, not of expressions.
        strict: raise on damaged files, other names and bad labels; False leaves them out.
        expressions: folder or zip of the set `lfw_expressions`, whose labels join by the images' names; "beside" takes
            the one that lies in the folder that `root` lies in, if there is one; None reads none.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression (unknown where there is no label of that name), identity (the person's name) and box
        (`BOX` within images of 250 x 250 and of 168 x 168 pixels, their middles; NaN within others).

    Raises:
        DatasetError: the layout is another, or, if strict, files, names or labels are bad.
    """
    check_split("lfw", split, ())
    source, found = find_images("lfw", root)
    problems = Problems("lfw", strict)
    labels = _labels(root, expressions, problems)
    rows = []
    for path in found:
        file = PurePosixPath(path)
        name = _NAME.fullmatch(file.stem)
        if name is None or name["person"] != file.parent.name:
            problems.add(source.describe(path), "not named like AJ_Cook/AJ_Cook_0001.jpg")
            continue
        row = {"path": path, "identity": name["person"]}
        if file.stem in labels:
            row["expression"] = labels[file.stem]
        rows.append(row)
    usable = check_images(source, [row["path"] for row in rows], problems, verify)
    for row, good in zip(rows, usable):
        if good:
            row["box"] = _box(source, row["path"])
    return table_of_rows("lfw", source, rows, FERPLUS8, problems, usable=usable)


def _labels(root: str | Path, expressions: str | os.PathLike[str] | None, problems: Problems) -> dict[str, Expression]:
    """Name of an image without its ending -> its expression."""
    if expressions is None:
        return {}
    if expressions == "beside":
        folder = Path(root).resolve().parent
        beside = [folder / name for name in ("lfw_expressions", "lfw_expressions.zip")]
        present = [path for path in beside if path.exists()]
        if not present:
            return {}
        expressions = present[0]
    paths, _, codes = read_labels(open_source(Path(expressions), "labels.csv"), problems)
    return {PurePosixPath(path).stem: code for path, code in zip(paths, codes)}


def _box(source: ImageSource, path: str) -> np.ndarray:
    """float32 (4,): the face in an image, by the image's size."""
    size = image_size(source, path)
    if size not in ((FULL_SIDE, FULL_SIDE), (MIDDLE_SIDE, MIDDLE_SIDE)):
        return np.full(4, np.nan, np.float32)
    return np.array(BOX, np.float32) - (FULL_SIDE - size[0]) / 2

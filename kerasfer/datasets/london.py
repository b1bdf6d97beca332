"""The Face Research Lab London Set (DeBruine and Jones, 2017): people photographed neutral and smiling, from the front.

The box that the reader gives was measured with `python scripts/measure_faces.py`: the faces' landmarks lie in it where
they lie in FER+'s images.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, check_images, check_split, image_size, table_of_rows
from kerasfer.expressions import Expression, LabelSpace

__all__ = ["BOX", "CREDIT", "FOLDERS", "read"]

CREDIT = (
    "Lisa DeBruine and Benedict Jones, Face Research Lab London Set (2017), doi:10.6084/m9.figshare.5047666, CC BY 4.0"
)
"""What must stand beside a picture of the set, with a word on what was changed in it."""

FOLDERS = {"neutral_front": ("03", Expression.NEUTRAL), "smiling_front": ("08", Expression.HAPPINESS)}
"""Folder -> the number of its photographs and what the people show."""

BOX = (0.297, 0.306, 0.702, 0.711)
"""Left, top, right and bottom of the face in parts of the image's width and height, as tight as FER+ crops."""

_NAME = re.compile(r"(?P<person>\d{3})_(?P<number>\d{2})")
_SPACE = LabelSpace.of([Expression.NEUTRAL, Expression.HAPPINESS])


def read(root: str | Path, split: str | None = None, strict: bool = True, *, verify: bool = False) -> FaceTable:
    """Reads the London set: `neutral_front/001_03.jpg` and `smiling_front/001_08.jpg`; other folders are passed over.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on damaged files and other names in the two folders; False leaves them out.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression (neutral or happiness), identity (001) and box (`BOX`, in pixels).

    Raises:
        DatasetError: the layout is another, or, if strict, files or names are bad.
    """
    check_split("london", split, ())
    source, found = find_images("london", root)
    problems = Problems("london", strict)
    rows: list[dict[str, Any]] = []
    for path in found:
        file = PurePosixPath(path)
        if file.parent.name not in FOLDERS:
            continue
        number, expression = FOLDERS[file.parent.name]
        name = _NAME.fullmatch(file.stem)
        if name is None or name["number"] != number:
            problems.add(source.describe(path), f"not named like 001_{number}.jpg")
            continue
        rows.append({"path": path, "expression": expression, "identity": name["person"]})
    if not rows and not problems.entries:
        raise DatasetError(f"{root}: holds neither of the folders {' and '.join(FOLDERS)} with images")
    usable = check_images(source, [row["path"] for row in rows], problems, verify)
    for row, good in zip(rows, usable):
        if good:
            width, height = image_size(source, row["path"]) or (np.nan, np.nan)
            row["box"] = np.array(BOX, np.float32) * np.array([width, height, width, height], np.float32)
    return table_of_rows("london", source, rows, _SPACE, problems, usable=usable)

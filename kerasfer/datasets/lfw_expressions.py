"""LFW-expressions: faces of Labeled Faces in the Wild with a name and an expression each.

The box that the reader gives was measured: the faces' landmarks (MediaPipe's face mesh on 300 images of each set) lie
in it where they lie in FER+'s images: eyes 0.37 of the width apart at 0.39 of the height, the mouth at 0.79.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource, open_source
from kerasfer.datasets.reading import Problems, check_images, check_split
from kerasfer.datasets.text_files import csv_rows
from kerasfer.expressions import FERPLUS8, Expression, parse_expression

__all__ = ["BOX", "read", "read_labels"]

BOX = (4.0, 4.0, 158.0, 158.0)
"""Left, top, right and bottom of the face in the 160 x 160 images, as tight as FER+ crops."""


def read(root: str | Path, split: str | None = None, strict: bool = True, *, verify: bool = False) -> FaceTable:
    """Reads LFW-expressions: `labels.csv` with columns image, identity, expression, beside a folder for each person.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on missing or damaged files and unknown codes; False leaves them out.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression, identity and box (the constant `BOX`).

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("lfw_expressions", split, ())
    source = open_source(root, "labels.csv")
    problems = Problems("lfw_expressions", strict)
    paths, identities, expressions = read_labels(source, problems)
    good = np.flatnonzero(check_images(source, paths, problems, verify))
    columns = {
        "path": np.array(paths, np.str_)[good],
        "expression": np.array(expressions, np.int8)[good],
        "identity": np.array(identities, np.str_)[good],
        "box": np.tile(np.array(BOX, np.float32), (len(good), 1)),
    }
    return FaceTable("lfw_expressions", source, columns, FERPLUS8, problems.close())


def read_labels(source: ImageSource, problems: Problems) -> tuple[list[str], list[str], list[Expression]]:
    """Path, person and expression of each line of `labels.csv` that can be used; the others are noted.

    Raises:
        DatasetError: the file is missing, is not text or has other columns.
    """
    origin = source.describe("labels.csv")
    rows = csv_rows(source, "labels.csv")
    if not {"image", "identity", "expression"} <= set(rows.fieldnames or ()):
        raise DatasetError(f"{origin}: its first line must be image,identity,expression")
    paths, identities, expressions = [], [], []
    for number, row in enumerate(rows, start=2):
        try:
            expression = parse_expression(row["expression"] or "")
            if expression not in FERPLUS8.expressions:
                raise ValueError(f"expression {row['expression']!r} is not one of {', '.join(FERPLUS8.labels)}")
        except ValueError as error:
            problems.add(f"{origin} line {number}", str(error))
            continue
        if not row["image"] or not row["identity"]:
            problems.add(f"{origin} line {number}", "no image or no identity")
            continue
        paths.append(row["image"])
        identities.append(row["identity"])
        expressions.append(expression)
    return paths, identities, expressions

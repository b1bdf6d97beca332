"""CK+ as the crops of 48 x 48 pixels that are passed around: the last three frames of each sequence with an expression,
in a folder for each class.

The faces lie where they lie in FER+'s images (`python scripts/measure_faces.py`), so the reader gives no box.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.ck_plus import FILE_NAME
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, check_split, table_of_rows
from kerasfer.expressions import CK_PLUS7, Expression, parse_expression

__all__ = ["read"]


def read(root: str | Path, split: str | None = None, strict: bool = True, *, verify: bool = False) -> FaceTable:
    """Reads CK+48: `CK+48/CLASS/S010_004_00000017.png`, CLASS one of seven expressions without neutral.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on damaged files, other names and sequences of two classes; False leaves them out.
        verify: decode every image, instead of a check of its checksums.

    Returns:
        Columns path, expression, identity (the subject, S010), sequence (S010_004) and frame (17).

    Raises:
        DatasetError: the layout is another, or, if strict, files or names are bad.
    """
    check_split("ck48", split, ())
    source, found = find_images("ck48", root)
    problems = Problems("ck48", strict)
    rows = []
    classes: dict[str, Expression] = {}
    for path in found:
        file = PurePosixPath(path)
        name = FILE_NAME.fullmatch(file.name)
        if name is None:
            problems.add(source.describe(path), "not named like S010_004_00000017.png")
            continue
        sequence = f"{name['subject'].upper()}_{name['sequence']}"
        try:
            expression = parse_expression(file.parent.name)
            if expression not in CK_PLUS7.expressions:
                raise ValueError(f"expression {expression.label!r} is not one of {', '.join(CK_PLUS7.labels)}")
            if classes.setdefault(sequence, expression) != expression:
                raise ValueError(f"sequence {sequence} stands in {classes[sequence].label} too")
        except ValueError as error:
            problems.add(source.describe(path), str(error))
            continue
        rows.append(
            {
                "path": path,
                "expression": expression,
                "identity": name["subject"].upper(),
                "sequence": sequence,
                "frame": int(name["frame"]),
            }
        )
    if not rows and not problems.entries:
        raise DatasetError(f"{root}: holds no images in folders of a class")
    return table_of_rows("ck48", source, rows, CK_PLUS7, problems, verify)

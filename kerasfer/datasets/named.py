"""Sets whose files' and folders' names tell the expression and the person, in an arrangement that is not known for
certain."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, expression_of_path, table_of_rows, words
from kerasfer.expressions import BASIC7, FERPLUS8, Expression

__all__ = ["checked_codes", "identity_of_path", "read_named"]


def checked_codes(name: str, codes: Mapping[str, str] | None) -> dict[str, Expression]:
    """A user's own abbreviations, in lower case, as expressions.

    Raises:
        DatasetError: a value is not an expression of FER+'s eight.
    """
    parsed: dict[str, Any] = {}
    for code, label in (codes or {}).items():
        try:
            parsed[code.lower()] = FERPLUS8.expressions[FERPLUS8.index(label)]
        except ValueError as error:
            raise DatasetError(f"{name}: codes: {error}") from error
    return parsed


def identity_of_path(path: str, pattern: re.Pattern[str]) -> str:
    """The first word of a file's name, or of the nearest folder with one, that is a person's code; "" if none is."""
    for part in (PurePosixPath(path).stem, *reversed(PurePosixPath(path).parent.parts)):
        for word in words(part):
            if pattern.fullmatch(word):
                return word
    return ""


def read_named(
    name: str,
    root: str | Path,
    strict: bool,
    *,
    codes: Mapping[str, Expression],
    person: re.Pattern[str],
    contempt: bool,
    wanted: Callable[[str], bool] = lambda path: True,
    verify: bool = False,
) -> FaceTable:
    """Reads images whose names, or whose folders' names, tell the expression and the person.

    Args:
        name: the data set's name.
        root: the folder or zip.
        strict: raise on damaged files and names that tell no expression; False leaves them out.
        codes: abbreviations of expressions, in lower case.
        person: what a person's code looks like, in lower case.
        contempt: whether contempt is read.
        wanted: tells of a path whether it is read.
        verify: decode every image.

    Returns:
        Columns path, expression and identity (empty where no name tells it).

    Raises:
        DatasetError: there are no such images, or, if strict, files or names are bad.
    """
    source, found = find_images(name, root)
    problems = Problems(name, strict)
    space = FERPLUS8 if contempt else BASIC7
    rows = []
    for path in filter(wanted, found):
        try:
            expression = expression_of_path(path, codes)
            if expression not in FERPLUS8.expressions:
                raise ValueError(f"expression {expression.label!r} is not one of {', '.join(FERPLUS8.labels)}")
        except ValueError as error:
            problems.add(source.describe(path), str(error))
            continue
        if expression in space.expressions:
            rows.append({"path": path, "expression": expression, "identity": identity_of_path(path, person)})
    if not rows and not problems.entries:
        raise DatasetError(f"{root}: holds no images of the kind that was asked for")
    return table_of_rows(name, source, rows, space, problems, verify)

"""BAUM-2i (Eroglu Erdem, Turan and Aydin, "BAUM-2: a multilingual audio-visual affective face database", Multimedia
Tools and Applications 74(18), 2015): the peak frames of clips from films and television."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.named import checked_codes, identity_of_path, read_named
from kerasfer.datasets.reading import Problems, check_split, table_of_rows
from kerasfer.datasets.text_files import csv_lines, text_of
from kerasfer.expressions import BASIC7, FERPLUS8, Expression, parse_expression
from kerasfer.folders import is_system

__all__ = ["CODES", "read"]

CODES = {
    "an": Expression.ANGER,
    "co": Expression.CONTEMPT,
    "di": Expression.DISGUST,
    "fe": Expression.FEAR,
    "ha": Expression.HAPPINESS,
    "ne": Expression.NEUTRAL,
    "sa": Expression.SADNESS,
    "su": Expression.SURPRISE,
}
"""Abbreviations in names and lists -> expressions."""

_PERSON = re.compile(r"(?:s|subject|p|person)\d{1,4}")
_IMAGE_COLUMNS = ("image", "file", "filename", "name", "path", "clip")
_EXPRESSION_COLUMNS = ("expression", "emotion", "label", "class")
_PERSON_COLUMNS = ("subject", "person", "actor", "identity", "id")


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    annotations: str | None = None,
    contempt: bool = False,
    codes: Mapping[str, str] | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads BAUM-2i: images with a CSV list of their expressions, or whose names or folders tell the expression.

    The owners' arrangement could not be seen, so any is read in which the words of a name, or else of the nearest
    folder, hold one expression, in full or as in `CODES`, and the person's code (S001). If there is a CSV file whose
    first line names a column of images (image, file, filename, name, path or clip) and one of expressions
    (expression, emotion, label or class), it is read instead, and a column subject, person, actor, identity or id
    with it.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on missing or damaged files and unknown expressions; False leaves them out.
        annotations: the CSV file's path in the folder or zip; None looks for one.
        contempt: whether contempt is read; TDGAN leaves it out.
        codes: further words, or the list's numbers, -> names of expressions, for example {"1": "anger"}; they go before
            the known ones.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        Columns path, expression and identity (s001, or as the list has it; empty where nothing tells it).

    Raises:
        DatasetError: there are no such images, or, if strict, files, names or codes are bad.
    """
    check_split("baum2i", split, ())
    known = {**CODES, **checked_codes("baum2i", codes)}
    source, found = find_images("baum2i", root)
    listing = _find_list(source, annotations)
    if listing is None:
        return read_named("baum2i", root, strict, codes=known, person=_PERSON, contempt=contempt, verify=verify)
    problems = Problems("baum2i", strict)
    space = FERPLUS8 if contempt else BASIC7
    rows = [row for row in _listed(source, found, listing, known, problems) if row["expression"] in space.expressions]
    return table_of_rows("baum2i", source, rows, space, problems, verify)


def _columns(header: list[str]) -> dict[str, int]:
    """Which column tells what."""
    found: dict[str, int] = {}
    for meaning, names in (("image", _IMAGE_COLUMNS), ("expression", _EXPRESSION_COLUMNS), ("person", _PERSON_COLUMNS)):
        for position, name in enumerate(header):
            if name.strip().lower().replace(" ", "").replace("_", "") in names:
                found.setdefault(meaning, position)
    return found


def _lines(source: ImageSource, path: str) -> Iterator[list[str]]:
    """Lines of a CSV file, which has semicolons between cells if its first line has more of them than commas."""
    text = text_of(source, path)
    first = text.readline()
    return csv_lines(source, path, ";" if first.count(";") > first.count(",") else ",")


def _find_list(source: ImageSource, annotations: str | None) -> str | None:
    """Path of the CSV list of expressions, if there is one."""
    if annotations is not None and not source.exists(annotations):
        raise DatasetError(f"{source.describe(annotations)}: no such file")
    tables = (path for path in source.names() if path.lower().endswith(".csv") and not is_system(path))
    candidates = [annotations] if annotations else list(tables)
    for path in candidates:
        header = next(_lines(source, path), [])
        if {"image", "expression"} <= set(_columns(header)):
            return path
    if annotations is not None:
        raise DatasetError(
            f"{source.describe(annotations)}: its first line must name a column of images "
            f"({', '.join(_IMAGE_COLUMNS)}) and one of expressions ({', '.join(_EXPRESSION_COLUMNS)})"
        )
    return None


def _listed(
    source: ImageSource, found: list[str], listing: str, codes: Mapping[str, Expression], problems: Problems
) -> list[dict[str, Any]]:
    by_stem = {PurePosixPath(path).stem.lower(): path for path in found}
    lines = _lines(source, listing)
    columns = _columns(next(lines))
    rows = []
    for number, cells in enumerate(lines, start=2):
        if not any(cells):
            continue
        try:
            name, label = (cells[columns[meaning]].strip() for meaning in ("image", "expression"))
            expression = codes[label.lower()] if label.lower() in codes else parse_expression(label)
        except (IndexError, ValueError) as error:
            reason = "too few cells" if isinstance(error, IndexError) else str(error)
            problems.add(f"{source.describe(listing)} line {number}", reason)
            continue
        stem = PurePosixPath(name).stem if PurePosixPath(name).suffix else name
        path = by_stem.get(stem.lower(), (PurePosixPath(found[0]).parent / name).as_posix())
        told = cells[columns["person"]].strip() if columns.get("person", len(cells)) < len(cells) else ""
        rows.append({"path": path, "expression": expression, "identity": told or identity_of_path(path, _PERSON)})
    return rows

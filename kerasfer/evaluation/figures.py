"""Figures with the commands that print them, as a saved model's metrics.json keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from kerasfer.files import atomic_write

__all__ = ["Figure", "FiguresError", "read_figures", "replaced", "write_figures"]


class FiguresError(ValueError):
    """A metrics.json, or a page that shows figures, is not as it must be."""


class Figure(TypedDict):
    """A figure of a metrics.json.

    Keys:
        key: a name, unique in its file.
        what: what was measured, for readers.
        value: the number.
        unit: "share" (shown in percent), "count", "bytes" or any word, which is shown behind the number.
        command: prints the figure.
    """

    key: str
    what: str
    value: float
    unit: str
    command: str


def read_figures(path: Path) -> list[Figure]:
    """Reads the figures of one metrics.json.

    Raises:
        FiguresError: it is not a list of figures; the message names the file and what is wrong with it.
    """
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
        keys = [figure["key"] for figure in figures]
        for figure in figures:
            if not isinstance(figure["value"], (int, float)) or isinstance(figure["value"], bool):
                raise FiguresError(f"{path}: the value of {figure['key']} is no number")
            figure["what"], figure["unit"], figure["command"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, FiguresError):
            raise
        raise FiguresError(
            f"{path}: not a list of figures with key, what, value, unit and command ({error})"
        ) from error
    if len(set(keys)) != len(keys):
        raise FiguresError(f"{path}: a key occurs twice")
    return figures


def write_figures(path: Path, figures: Sequence[Figure]) -> None:
    """Writes a metrics.json."""
    atomic_write(path, (json.dumps({"figures": list(figures)}, indent=2) + "\n").encode())


def replaced(figures: Sequence[Figure], fresh: Sequence[Figure]) -> list[Figure]:
    """Figures with fresh ones in the place of older ones of the same key, and what is new at the end."""
    by_key = {figure["key"]: figure for figure in fresh}
    kept = [by_key.get(figure["key"], figure) for figure in figures]
    known = {figure["key"] for figure in figures}
    return kept + [figure for figure in fresh if figure["key"] not in known]

#!/usr/bin/env python3
"""Writes the measured figures of the bundled models into README.md and into their model cards.

    python scripts/results_table.py            # rewrites what stands between the markers
    python scripts/results_table.py --check    # only tells whether it is up to date (exit code 1: it is not)

The figures come from saved_models/<name>/metrics.json and from nowhere else:

    {"figures": [{"key": "ferplus_valid_accuracy", "what": "FERPlus valid, 8 classes, accuracy",
                  "value": 0.8312, "unit": "share", "command": "python apps/evaluate.py ..."}, ...]}

`unit` is "share" (shown in percent), "count", "bytes" or any word, which is shown behind the number; `command` prints
the figure. README shows the keys of `COLUMNS` by model, a model card all; one without markers gets them at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = {
    "ferplus_valid_accuracy": "FERPlus valid, 8 classes: accuracy",
    "ferplus_valid_balanced": "mean recall of the classes",
    "recognizer_weights": "weights of the recogniser",
    "model.tflite": "TFLite float32",
    "model_int8.tflite": "TFLite int8",
    "lite_int8_milliseconds": "one face, int8, one thread",
}
"""README's columns: key of a figure, or a file of the model whose size is shown -> heading."""

BEGIN, END = "<!-- figures: begin (scripts/results_table.py writes this) -->", "<!-- figures: end -->"


class FiguresError(ValueError):
    """A metrics.json or a page with markers is not as it must be."""


def read_figures(path: Path) -> list[dict[str, Any]]:
    """Reads the figures of one metrics.json; `FiguresError` names the file and what is wrong with it."""
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


def shown(value: float, unit: str) -> str:
    """A figure as text: 0.8312 of unit "share" is "83.1 %"."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    return f"{value:.4g} {unit}".strip()


def overview(root: Path, models: dict[str, list[dict[str, Any]]]) -> str:
    """README's table: one row a model; a figure that is not there is a dash."""
    lines = [f"| model | {' | '.join(COLUMNS.values())} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for name, figures in models.items():
        files = (root / "saved_models" / name).glob("*.tflite")
        values = {path.name: shown(path.stat().st_size, "bytes") for path in files}
        values |= {figure["key"]: shown(figure["value"], figure["unit"]) for figure in figures}
        cells = [f"[`{name}`](saved_models/{name}/README.md)", *(values.get(key, "–") for key in COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def details(figures: list[dict[str, Any]]) -> str:
    """A model card's table: one row a figure, with the command that prints it."""
    lines = ["| figure | measured | printed by |", "| --- | ---: | --- |"]
    for figure in figures:
        lines.append(f"| {figure['what']} | {shown(figure['value'], figure['unit'])} | `{figure['command']}` |")
    return "\n".join(lines)


def filled(path: Path, table: str) -> str:
    """The page with the table between its markers."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text and END not in text and path.parent.parent.name == "saved_models":
        text = f"{text.rstrip()}\n\n## Measured\n\n{BEGIN}\n{END}\n"
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise FiguresError(f"{path}: needs one line '{BEGIN}' and below it one line '{END}'")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"


def pages(root: Path) -> dict[Path, str]:
    """Every page that shows figures, as it should read."""
    models = {path.parent.name: read_figures(path) for path in sorted(root.glob("saved_models/*/metrics.json"))}
    if not models:
        raise FiguresError(f"{root / 'saved_models'}: no model with a metrics.json there")
    wanted = {root / "README.md": overview(root, models)}
    wanted |= {root / "saved_models" / name / "README.md": details(figures) for name, figures in models.items()}
    for path in wanted:
        if not path.is_file():
            raise FiguresError(f"{path}: missing; write the page first")
    return {path: filled(path, table) for path, table in wanted.items()}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    options = parser.parse_args(arguments)
    try:
        stale = {path: text for path, text in pages(root).items() if path.read_text(encoding="utf-8") != text}
        for path, text in stale.items():
            print(f"{path.relative_to(root)}: {'out of date' if options.check else 'written'}")
            if not options.check:
                temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, path)
    except (FiguresError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not stale:
        print("every page is up to date")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

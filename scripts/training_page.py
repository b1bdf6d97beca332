#!/usr/bin/env python3
"""Writes what was measured of several workers and of large sets into docs/guides/scale.md, between the markers there,
and what made training steps faster into docs/benchmarks.md.

    python scripts/training_page.py            # rewrites what stands between the markers
    python scripts/training_page.py --check    # only tells whether it is up to date (exit code 1: it is not)

The figures come from docs/scale/workers.json, docs/scale/large_sets.json and docs/training_speed/before/ and from
nowhere else; these write them:

    python scripts/benchmark.py workers
    python scripts/large_sets.py DIR
    python scripts/benchmark.py train --against PATH --model NAME --size small --batch-size 16 --runs 3 \\
        --json docs/training_speed/before/NAME.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from ray_page import read, table, write_page  # noqa: E402
from results_table import FiguresError, between  # noqa: E402


def workers(told: dict[str, Any]) -> str:
    """One and two processes beside each other, a line a model."""
    keys = ("batch", "one process, images/s", "two processes, images/s", "speed-up")
    keys += ("half a batch, ms", "exchange, ms", "input, ms", "load average")
    rows = [(f"{row['model']} ({row['size']})", *(row[key] for key in keys)) for row in told["figures"]]
    said = f"{told['cores']} cores, medians of {told['steps']} steps (`{told['command']}`)."
    return f"{table(' | '.join(('model', *keys)), rows)}\n\n{said}"


def large_sets(told: dict[str, Any]) -> str:
    """Seconds and memory of each process, a line each."""
    keys = (
        "rows",
        "table seconds",
        "first batch seconds",
        "next epoch seconds",
        "cpu seconds",
        "peak MB",
        "load average",
    )
    rows = [(f"{row['set']}, {row['what']}", *(row.get(key, "–") for key in keys)) for row in told["figures"]]
    return f"{table(' | '.join(('process', *keys)), rows)}\n\n{told['cores']} cores (`{told['command']}`)."


BROUGHT = {
    "dcganfer": "oneDNN's kernels",
    "fesr": "oneDNN's kernels; the critic sees real and generated faces in one call",
    "g2fer": "oneDNN's kernels",
    "ipdfer": "oneDNN's kernels",
    "tdgan": "oneDNN's kernels; with the released perceptual loss, D_f sees the generated face once",
}
"""Model -> what its step was made faster by, since the commit that it was measured against."""


def steps(told: dict[str, dict[str, Any]]) -> str:
    """Training steps before and after, a line each.

    Args:
        told: model -> what `benchmark.py train --against` wrote.
    """
    heading = (
        "model, size | precision | batch | before, images/s | after | times as fast | before, processor ms an image"
    )
    heading += " | after | times | load average | what brought it"
    keys = ("precision", "batch", "theirs, images/s", "images/s", "times as fast", "theirs, processor ms/image")
    keys += ("processor ms/image", "times the work for a processor second")
    rows = [
        (row["what"].removeprefix("train "), *(row[key] for key in keys), row["load average"], BROUGHT[model])
        for model, measured in told.items()
        for row in measured["rows"]
    ]
    processors = " and ".join(sorted({measured["processor"] for measured in told.values()}))
    before = " and ".join(sorted({row["theirs"] for measured in told.values() for row in measured["rows"]}))
    said = f"{processors}; before is {before}, a step each in turn, medians. Under load only processor times compare."
    return f"{table(heading, rows)}\n\n{said}"


def benchmarks(root: Path) -> str:
    """docs/benchmarks.md as it should read.

    Raises:
        FiguresError: figures or markers are missing.
    """
    path, folder = root / "docs/benchmarks.md", root / "docs/training_speed/before"
    files = sorted(folder.glob("*.json"))
    told = {file.stem: read(file, f"python scripts/benchmark.py train --against PATH --json {file}") for file in files}
    try:
        content = steps(told) if told else "None has been measured yet."
    except (KeyError, TypeError) as error:
        raise FiguresError(f"{folder}: a file there lacks a figure ({error!r}); measure again") from error
    begin, end = "<!-- steps: begin (scripts/training_page.py writes this) -->", "<!-- steps: end -->"
    return between(path.read_text(encoding="utf-8"), begin, end, content, path)


def page(root: Path) -> str:
    """docs/guides/scale.md as it should read.

    Raises:
        FiguresError: figures or markers are missing.
    """
    path = root / "docs/guides/scale.md"
    text = path.read_text(encoding="utf-8")
    sections = {
        "workers": (workers, "workers.json", "python scripts/benchmark.py workers"),
        "large sets": (large_sets, "large_sets.json", "python scripts/large_sets.py DIR"),
    }
    for name, (write, file, command) in sections.items():
        told = read(root / "docs/scale" / file, command)
        try:
            content = write(told)
        except (KeyError, TypeError) as error:
            raise FiguresError(f"{root / 'docs/scale' / file}: lacks a figure ({error!r}); measure again") from error
        begin, end = f"<!-- {name}: begin (scripts/training_page.py writes this) -->", f"<!-- {name}: end -->"
        text = between(text, begin, end, content, path)
    return text


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command; returns its exit code."""
    codes = [write_page(page, __doc__, arguments, root)]
    return max(*codes, write_page(benchmarks, __doc__, arguments, root, "docs/benchmarks.md"))


if __name__ == "__main__":
    sys.exit(main())

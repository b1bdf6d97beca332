#!/usr/bin/env python3
"""Writes the measured figures of the bundled models, and of the papers' tables, into the pages that show them.

    python scripts/results_table.py            # rewrites what stands between the markers
    python scripts/results_table.py --check    # only tells whether it is up to date (exit code 1: it is not)

The figures come from saved_models/<name>/metrics.json and from nowhere else:

    {"figures": [{"key": "ferplus_valid_accuracy", "what": "FERPlus valid, 8 classes, accuracy",
                  "value": 0.8312, "unit": "share", "command": "python apps/evaluate.py ..."}, ...]}

`unit` is "share" (shown in percent), "count", "bytes" or any word, which is shown behind the number; `command` prints
the figure. README shows the keys of `COLUMNS` by model, and the papers' own figures (kerasfer/protocols/published)
beside ours, as `CLAIMS` lists them; any other page of docs/ may hold the same tables between the same markers. Model
cards are written whole, as scripts/model_cards.py says.

What a protocol measured is a result.json of apps/evaluate.py, put into docs/protocols/<protocol>.json by

    python scripts/results_table.py --add runs/ipdfer-table1/result.json

The pages with markers for it then show it beside the paper's figures. Results on synthetic faces are refused.

How fast a model trains, and what each change to its step brought, is in docs/training_speed/<model>.json, which

    python scripts/benchmark.py train --model NAME --before --json docs/training_speed/NAME.json

writes. How fast recognition is, beside a peer, is in docs/speed/*.json, which

    python scripts/benchmark.py device --model NAME --json docs/speed/device.json    # also photo, video, folder

writes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kerasfer.evaluation.figures import Figure, FiguresError, read_figures  # noqa: E402
from kerasfer.files import atomic_write  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from model_cards import card, shown  # noqa: E402

DEFAULT = "wild"
"""The model that answers where none is named; tests hold it beside `kerasfer.models.DEFAULT_RECOGNIZER`."""

COLUMNS = {
    "ferplus_valid_accuracy": "accuracy",
    "ferplus_valid_balanced": "mean recall",
    "int8_ferplus_valid_accuracy": "int8 file: accuracy",
    "tflite_int8_bytes": "its size",
    "lite_int8_milliseconds": "a face takes it",
}
"""Columns of the table of models: key of a figure -> heading."""


class Claim(NamedTuple):
    """What a paper says that its idea brings, and where both figures of it stand.

    Attributes:
        name: the paper's name for its method; `model` is kerasfer's.
        what: what the method does, in a few words.
        table: a file of kerasfer/protocols/published, without its suffix.
        setting, cell: the row of that table.
        without: the method that the paper compares with; None where it has none.
        ours: key of our figure with the idea, and key of the one without.
        beside: what the second of `ours` is.
    """

    model: str
    name: str
    what: str
    table: str
    setting: str
    cell: str
    without: str | None
    ours: tuple[str, str]
    beside: str


SEEDS = "{}_seeds_mean"

CLAIMS = (
    Claim(
        *("tdgan", "TDGAN", "moves an expression from one face onto another, and so learns to read it"),
        *("tdgan-table3", "raf_db", "accuracy", "CNN-Base"),
        *((SEEDS.format("tdgan"), SEEDS.format("cnn_base_longer")), "CNN-Base"),
    ),
    Claim(
        *("g2fer", "G2-FER", "draws a face with the expression and pose of given landmarks, and learns from it"),
        *("g2fer-table8", "multi_pie", "all: mean", "No_SynFI"),
        *((SEEDS.format("g2fer"), SEEDS.format("no_synfi_longer")), "No_SynFI"),
    ),
    Claim(
        *("fesr", "FESR_JL", "gives a face any expression, draws new people, and learns from both"),
        *("fesr-table5", "ck_plus", "accuracy", "BASELINE"),
        *(("ferplus_valid_accuracy", "baseline_longer_ferplus_valid_accuracy"), "BASELINE"),
    ),
    Claim(
        *("ipdfer", "IPD-FER", "tells an expression apart from who shows it and in which pose"),
        *("ipdfer-table4", "ferplus", "accuracy", "ResNet-18"),
        *((SEEDS.format("ipdfer"), SEEDS.format("baseline_longer")), "its baseline"),
    ),
    Claim(
        *("dcganfer", "DCGAN-FER", "learns features without labels, on which support vector machines decide"),
        *("dcganfer-table3", "raf_db", "accuracy", None),
        *(("svm_dcgan_accuracy", "svm_untrained_accuracy"), "untrained features"),
    ),
)
"""The papers in the order of README's table."""

SETS = {"raf_db": "RAF-DB", "multi_pie": "Multi-PIE", "ck_plus": "CK+", "ferplus": "FER+"}
"""What the data sets of `CLAIMS` are called."""

FILE_COLUMNS = {
    "tflite_{}_bytes": "size",
    "{}_same_label": "same label as Keras, 500 FERPlus valid faces",
    "{}_ferplus_valid_accuracy": "accuracy, FERPlus valid, 3,199 faces",
    "lite_{}_milliseconds": "one face, 1 thread",
    "lite_{}_milliseconds_2_threads": "2 threads",
}
"""Columns of the table of TFLite files: key of a figure, with the format left open -> heading."""

BEGIN, END = "<!-- figures: begin (scripts/results_table.py writes this) -->", "<!-- figures: end -->"
PAPERS_BEGIN = "<!-- papers: begin (scripts/results_table.py writes this) -->"
PAPERS_END = "<!-- papers: end -->"
FILES_BEGIN = "<!-- files: begin (scripts/results_table.py writes this) -->"
FILES_END = "<!-- files: end -->"
SPEED_BEGIN = "<!-- speed: begin (scripts/results_table.py writes this) -->"
SPEED_END = "<!-- speed: end -->"
TIMES_BEGIN = "<!-- times: begin (scripts/results_table.py writes this) -->"
TIMES_END = "<!-- times: end -->"
PROTOCOLS_BEGIN = "<!-- protocols: begin (scripts/results_table.py writes this) -->"
PROTOCOLS_END = "<!-- protocols: end -->"


def shown_by_key(figures: list[Figure]) -> dict[str, str]:
    """Figures as text, by key."""
    return {figure["key"]: shown(figure["value"], figure["unit"]) for figure in figures}


def overview(models: dict[str, list[Figure]], linked: bool = True) -> str:
    """The table of models: a row for each that recognizes expressions, the default first; a dash for no figure.

    Pages of docs/ don't link the cards, which are not among them.
    """
    lines = [f"| model | {' | '.join(COLUMNS.values())} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for name in sorted(models, key=lambda name: (name != DEFAULT, name)):
        values = shown_by_key(models[name])
        if not values.keys() & COLUMNS.keys():
            continue
        link = f"[`{name}`](saved_models/{name}/README.md)" if linked else f"`{name}`"
        cells = [link, *(values.get(key, "–") for key in COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def published(claim: Claim, root: Path) -> str:
    """What the paper says of its method and of what that is compared with.

    Raises:
        FiguresError: the file of its table does not have it; the message names the file.
    """
    path = root / "kerasfer" / "protocols" / "published" / f"{claim.table}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        values = {
            row["method"]: f"{measured(row['value'], None, 'percent')} %"
            for row in rows
            if (row["setting"], row["cell"]) == (claim.setting, claim.cell)
        }
        own = f"{SETS[claim.setting]}: {values[claim.name]}"
        return own if claim.without is None else f"{own}; {claim.without} {values[claim.without]}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{path}: does not hold what the table of papers shows of it ({error})") from error


def papers(models: dict[str, list[Figure]], root: Path, folder: Path) -> str:
    """The table of papers for a page in `folder`: what each gains by itself, and here; a dash for no figure."""
    lines = ["| paper | what it does | in the paper | here, on FER+ |", "| --- | --- | --- | --- |"]
    for claim in CLAIMS:
        if claim.model in models:
            values = shown_by_key(models[claim.model])
            with_it, without = (values.get(key, "–") for key in claim.ours)
            link = f"[{claim.name}]({os.path.relpath(root / 'docs/papers' / claim.model, folder)}.md)"
            lines.append(f"| {link} | {claim.what} | {published(claim, root)} | {with_it}; {claim.beside} {without} |")
    return "\n".join(lines)


def files(models: dict[str, list[Figure]]) -> str:
    """The table of TFLite files: one row a model and format that was measured."""
    lines = [
        f"| model | format | {' | '.join(FILE_COLUMNS.values())} |",
        f"| --- | --- |{' ---: |' * len(FILE_COLUMNS)}",
    ]
    for name, figures in models.items():
        values = shown_by_key(figures)
        for kind in ("float32", "float16", "dynamic", "int8"):
            cells = [values.get(key.format(kind), "–") for key in FILE_COLUMNS]
            if set(cells) != {"–"}:
                lines.append(f"| `{name}` | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _benchmark(path: Path, options: str, look: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Reads what scripts/benchmark.py wrote; `look` takes of each row what will be shown.

    Raises:
        FiguresError: it is something else; the message names the file and what writes it.
    """
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
        for row in measured["rows"]:
            look(row)
        measured["processor"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{path}: not written by scripts/benchmark.py {options} --json ({error})") from error
    return measured


def read_speed(path: Path) -> dict[str, Any]:
    """What scripts/benchmark.py wrote of a training step."""
    wanted = itemgetter("what", "precision", "without", "batch", "images/s", "runs")
    return _benchmark(path, "train --before", wanted)


def training_speed(measured: list[dict[str, Any]]) -> str:
    """The table of training steps: one row a model and precision, from the plain step to the one there is."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    stages: list[str] = []
    for speed in measured:
        for row in speed["rows"]:
            key = (row["what"].removeprefix("train "), row["precision"], str(row["batch"]))
            rows.setdefault(key, {})[row["without"]] = f"{row['images/s']:.3g}"
            if row["without"] not in stages:
                stages.append(row["without"])
    names = stages[0].split("+") if stages else []
    headings = ["plain", *(f"+ {name}" for name in names[:-1]), f"+ {names[-1]} (as it is)"] if names else []
    lines = [
        f"| model, size | precision | batch | {' | '.join(headings)} |",
        f"| --- | --- | ---: |{' ---: |' * len(headings)}",
    ]
    lines += [f"| {' | '.join((*key, *(row.get(stage, '–') for stage in stages)))} |" for key, row in rows.items()]
    return "\n".join(lines) if rows else "None has been measured yet."


def read_times(path: Path) -> dict[str, Any]:
    """What scripts/benchmark.py wrote of photos or of a video."""
    wanted = itemgetter("what", "MB", "runs")
    return _benchmark(path, "device, photo, video or folder", lambda row: (wanted(row), _time_of(row)))


def _time_of(row: dict[str, Any]) -> str:
    """What a row of scripts/benchmark.py measured, with its unit."""
    for unit in ("frames/s", "photos/s"):
        if unit in row:
            return f"{row[unit]} {unit}"
    return f"{row['ms/photo']} ms"


def running_times(measured: list[dict[str, Any]]) -> str:
    """The table of photos and videos: one row a measurement."""
    lines = [
        "| what | processors | median | fastest | of | until the first answer | memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for times in measured:
        name = times["processor"].replace("(R)", "").removesuffix(" Processor")
        for row in times["rows"]:
            details = [row["what"]]
            if "faces" in row:
                details.append(f"{row['faces']} face{'s' * (row['faces'] != 1)}")
            if "landmarks" in row:
                details.append("with landmarks" if row["landmarks"] else "without landmarks")
            if "detector" in row:
                details.append(f"detector {row['detector']}")
            count = f"{row['frames']} frames" if "frames" in row else f"{row['runs']} runs"
            start = f"{row['import s']} s (import)" if "import s" in row else None
            start = f"{row['first photo s']} s" if "first photo s" in row else start or "–"
            processors = f"{row.get('processors', row.get('threads', 'all'))}, {name}"
            memory = f"{row['MB after a fifth']} to {row['MB']} MB" if "MB after a fifth" in row else f"{row['MB']} MB"
            fastest = f"{row['fastest ms']} ms" if "fastest ms" in row else "–"
            cells = (", ".join(details), processors, _time_of(row), fastest, count, start, memory)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) if len(lines) > 2 else "None has been measured yet."


def read_result(path: Path) -> dict[str, Any]:
    """Reads the result of a protocol; `FiguresError` names the file and what is wrong with it."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["synthetic"]:
            raise FiguresError(f"{path}: was measured on synthetic faces; such figures are not shown")
        for cell in result["cells"]:
            cell["setting"], cell["method"], cell["cell"], cell["paper"], cell["ours"], cell["folds"], cell["n"]
        result["protocol"], result["title"], result["place"], result["model"], result["unit"], result["complete"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FiguresError):
            raise
        raise FiguresError(f"{path}: not a result of apps/evaluate.py --protocol ({error})") from error
    return result


def measured(value: float | None, deviation: float | None, unit: str) -> str:
    """A figure of a protocol as text; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if unit == "count" else f"{value:.2f}" if unit == "percent" else f"{value:.3f}"
    return text if deviation is None else f"{text} ± {deviation:.2f}"


def protocol_rows(results: list[dict[str, Any]]) -> str:
    """The papers' tables: one row for each figure that was measured, of many by pose and class the means."""
    lines = [
        "| table | set | method | what | paper | ours | runs | n |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        cells = [cell for cell in result["cells"] if cell["ours"] is not None]
        if len(cells) > 40:
            cells = [cell for cell in cells if ":" not in cell["cell"] or cell["cell"].endswith(": mean")]
        name = f"`{result['protocol']}`" + ("" if result["complete"] else " (in part)")
        for cell in cells:
            paper = measured(cell["paper"], cell.get("paper_deviation"), result["unit"])
            ours = measured(cell["ours"], cell.get("deviation"), result["unit"])
            row = [
                name,
                cell["setting"],
                cell["method"],
                cell["cell"],
                paper,
                ours,
                str(cell["folds"]),
                f"{cell['n']:,}",
            ]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) if results else "None has been run on the real sets yet."


def add_result(path: Path, root: Path) -> Path:
    """Puts a result where the pages are made from; returns the file."""
    result = read_result(path)
    target = root / "docs" / "protocols" / f"{result['protocol'].replace('/', '-')}.json"
    atomic_write(target, (json.dumps(result, indent=1) + "\n").encode(), FiguresError)
    return target


def between(text: str, begin: str, end: str, content: str, path: Path) -> str:
    """The page's text with something else between two markers; `FiguresError` where they are not once there."""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise FiguresError(f"{path}: needs one line '{begin}' and below it one line '{end}'")
    return f"{text[: text.index(begin)]}{begin}\n{content}\n{text[text.index(end) :]}"


def page(path: Path, text: str, tables: dict[tuple[str, str], str]) -> str:
    """A page as it should read: between each pair of markers that it has, the table for them."""
    for (begin, end), content in tables.items():
        if begin in text or end in text:
            text = between(text, begin, end, content, path)
    return text


def pages(root: Path) -> dict[Path, str]:
    """Every page that shows figures, as it should read: README, the models' cards, and docs/ where it has markers."""
    models = {path.parent.name: read_figures(path) for path in sorted(root.glob("saved_models/*/metrics.json"))}
    if not models:
        raise FiguresError(f"{root / 'saved_models'}: no model with a metrics.json there")
    if not (root / "README.md").is_file():
        raise FiguresError(f"{root / 'README.md'}: missing; write the page first")
    results = [read_result(file) for file in sorted(root.glob("docs/protocols/*.json"))]
    speeds = [read_speed(file) for file in sorted(root.glob("docs/training_speed/*.json"))]
    times = [read_times(file) for file in sorted(root.glob("docs/speed/*.json"))]
    wanted = {}
    for path in (root / "README.md", *sorted(root.glob("docs/**/*.md"))):
        tables = {
            (BEGIN, END): overview(models, linked=path.parent == root),
            (PAPERS_BEGIN, PAPERS_END): papers(models, root, path.parent),
            (FILES_BEGIN, FILES_END): files(models),
            (PROTOCOLS_BEGIN, PROTOCOLS_END): protocol_rows(results),
            (SPEED_BEGIN, SPEED_END): training_speed(speeds),
            (TIMES_BEGIN, TIMES_END): running_times(times),
        }
        wanted[path] = page(path, path.read_text(encoding="utf-8"), tables)
    for name in models:
        wanted[root / "saved_models" / name / "README.md"] = card(root / "saved_models" / name, root)
    from site_figures import pages as pages_of_the_site

    return wanted | pages_of_the_site(root, wanted)


def bring_up_to_date(pages: Callable[[], Mapping[Path, str]], root: Path, check: bool) -> int:
    """Writes the pages that are not as they should read, or only names them; returns the command's exit code.

    Args:
        pages: makes the pages as they should read.
        root: what the printed paths are relative to.
        check: whether nothing is written.
    """
    try:
        stale = {
            path: text
            for path, text in pages().items()
            if not path.is_file() or path.read_text(encoding="utf-8") != text
        }
        for path, text in stale.items():
            print(f"{path.relative_to(root)}: {'out of date' if check else 'written'}")
            if not check:
                atomic_write(path, text.encode(), FiguresError)
    except (FiguresError, OSError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not stale:
        print("every page is up to date")
    return 1 if check and stale else 0


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    parser.add_argument("--add", nargs="+", default=[], metavar="FILE", help="results of protocols to show")
    options = parser.parse_args(arguments)
    try:
        for file in options.add:
            print(f"{add_result(Path(file), root).relative_to(root)}: added")
    except (FiguresError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return bring_up_to_date(lambda: pages(root), root, options.check)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Writes what was measured of recognize-many into docs/guides/scale.md, between the markers of its sections.

    python scripts/ray_page.py            # rewrites what stands between the markers
    python scripts/ray_page.py --check    # only tells whether it is up to date (exit code 1: it is not)

The figures come from docs/scale/ray.json and docs/scale/kills.json and from nowhere else; these write them:

    python scripts/benchmark.py ray --model edge --json docs/scale/ray.json
    python scripts/ray_kills.py --folder runs/ray_kills --json docs/scale/kills.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

PROCESSORS = 2
"""Those that are measured: more processes than these waiting are of other work."""
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from results_table import FiguresError, between  # noqa: E402

from kerasfer.files import atomic_write  # noqa: E402

COUNTS = (10**6, 10**8, 10**10)
MACHINE = 32
"""Processors of the machines that are counted."""

MEMORY = 64e9
"""Bytes of memory of the machine that makes the list."""

DAY = 24.0
"""Hours."""


def read(path: Path, command: str) -> dict[str, Any]:
    """What a command measured."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FiguresError(f"{path}: cannot be read ({error}); {command} writes it") from error


def table(heading: str, rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table, of which all columns but the first hold numbers."""
    columns = heading.split(" | ")
    lines = [f"| {heading} |", f"| --- |{' ---: |' * (len(columns) - 1)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


class Figures:
    """The rows of `benchmark.py ray`, by what they are of."""

    def __init__(self, measured: dict[str, Any]) -> None:
        self.processor = measured["processor"]
        self.rows = measured["rows"]

    def of(self, what: str) -> dict[str, Any]:
        """The row of that name."""
        return next(row for row in self.rows if row["what"] == what)

    def ms(self, what: str) -> float:
        """Processor's milliseconds of the row of that name."""
        return self.of(what)["processor ms"]

    def speed(self, what: str, processors: int) -> dict[str, Any]:
        """A row of the plain loop or of Ray."""
        return next(row for row in self.rows if row["what"] == what and row["processors"] == processors)


def speed(figures: Figures) -> str:
    """The plain loop beside Ray."""
    rows = []
    for processors in (1, 2):
        plain, bulk = (figures.speed(what, processors) for what in ("plain loop", "recognize-many"))
        before = plain["processor ms/photo"]
        for row, own in ((plain, before), (bulk, bulk["processor ms/photo"])):
            more = "–" if row is plain else f"{100 * (own / before - 1):+.1f} %"
            everything = row.get("with Ray's own ms", own)
            rest = "–" if row is plain else f"{100 * (everything / before - 1):+.1f} %"
            cells = (row["what"], processors, row["photos/s"], f"{own:.2f}", more, f"{everything:.2f}", rest)
            rows.append((*cells, row["photos"], row["runs"]))
    text = table(
        "what | processors | photos/s on the clock | processor ms/photo | beside the loop | "
        "with all of Ray's processes | beside the loop | photos | runs",
        rows,
    )
    grown = next(row for row in figures.rows if row["what"].startswith("growth"))
    load = figures.of("load of the machine at the end")["processes"]
    busy = (
        f" The machine did other work meanwhile ({load} processes waited for a processor at the end), so the clock "
        "tells little and the processors' time counts."
    )
    return (
        f"{figures.processor}.{busy if load > PROCESSORS else ''}\n\n"
        f"{text}\n\n"
        f"Memory, {grown['what']} in one run: a worker {grown['MB a worker at first']} MB, then "
        f"{grown['MB a worker']} MB (at most {grown['most MB a worker']} MB); the driver "
        f"{grown['MB driver at first']} MB, then {grown['MB driver']} MB (proportional set size, which shares what "
        "processes have in common)."
    )


def stages(figures: Figures) -> str:
    """Where the time of a photo goes."""
    whole = figures.ms("stage: read") + figures.ms("stage: decode") + figures.ms("stage: detect with landmarks")
    whole += figures.ms("stage: align") + figures.ms("stage: recognize")
    names = {
        "read": "read from the disk's cache",
        "decode": "decode",
        "detect with landmarks": "find the face, its landmarks and pose",
        "align": "align",
        "recognize": "recognize",
    }
    rows = []
    for name, shown in names.items():
        ms = figures.ms(f"stage: {name}")
        rows.append((shown, f"{ms:.2f}", f"{100 * ms / whole:.0f} %"))
    return table("a photo of 384 x 384 pixels, one face | processor ms | share", rows)


def decoders(figures: Figures) -> str:
    """Decoders, and the ways of a 12-megapixel photo."""
    rows: list[tuple[Any, ...]] = []
    for name in ("Pillow", "OpenCV", "PyTurboJPEG"):
        both = [row for row in figures.rows if row["what"].startswith(f"{name}, 1/")]
        if not both:
            rows.append((name, "not installed", "–", "–"))
            continue
        full, quarter = (row["processor ms"] for row in both)
        rows.append((name, full, quarter, f"{full / quarter:.1f}"))
    own = figures.ms("kerasfer.images.read")
    rows.append(("`kerasfer.images.read`", own, "–", "–"))
    found = figures.of("faces found in the quarter beside those of the whole")
    text = table("a JPEG of 4000 x 3000 pixels | whole, ms | at 1/4, ms | times as quick", rows)
    answer = figures.ms("align and recognize, cut from the whole")
    large, small = figures.ms("detect in the whole"), figures.ms("detect in the quarter")
    quickest = min(
        (row for row in figures.rows if row["what"].endswith(", 1/4") and "processor ms" in row),
        key=lambda row: row["processor ms"],
    )
    reduced, name = quickest["processor ms"], quickest["what"].partition(",")[0]
    ways = [
        ("whole photo: read, detect, recognize (as it is)", round(own + large + answer, 1)),
        (
            f"{name} at 1/4, detect; then the whole photo, recognize the faces cut from it",
            round(reduced + small + own + answer, 1),
        ),
        (f"{name} at 1/4, detect; no face, so no more", round(reduced + small, 1)),
    ]
    return (
        f"{text}\n\n{table('the way of such a photo | processor ms', ways)}\n\n"
        f"In the quarter {found['faces']} faces of the whole photo were found, their boxes overlap by "
        f"{found['least overlap of boxes']} or more, and no probability differs by more than "
        f"{found['largest difference of a probability']}. JPEG's entropy coding is undone for every size alike, so a "
        "quarter saves less than it looks, and a face must be cut from the whole photo, which is then decoded as well: "
        "the quarter pays where most photos have no face."
    )


def number(value: float) -> str:
    """A number of two or three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def bytes_shown(value: float) -> str:
    """Bytes in the unit that suits."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{number(value / 1e6)} MB"


def costs(figures: Figures) -> str:
    """What 10^6, 10^8 and 10^10 photos cost."""
    bulk = figures.speed("recognize-many", 1)
    found = figures.of("faces found in the quarter beside those of the whole")
    short, listed = sorted((row for row in figures.rows if "paths" in row), key=lambda row: row["paths"])
    each = 1e6 * (listed["MB more"] - short["MB more"]) / (listed["paths"] - short["paths"])
    fixed = 1e6 * short["MB more"] - each * short["paths"]
    small_own = bulk["with Ray's own ms"] - bulk["processor ms/photo"]
    large_decode = figures.ms("kerasfer.images.read")
    large_find = figures.ms("detect in the whole")
    large = large_decode + large_find + figures.ms("align and recognize, cut from the whole") + small_own
    kinds = (
        (
            "384 x 384",
            bulk["with Ray's own ms"],
            bulk["bytes/photo"],
            {"decoding": figures.ms("stage: decode"), "finding faces": figures.ms("stage: detect with landmarks")},
        ),
        ("4000 x 3000", large, found["bytes"], {"decoding": large_decode, "finding faces": large_find}),
    )
    rows = []
    for name, ms, size, shares in kinds:
        for count in COUNTS:
            hours = count * ms / 3.6e6
            listing = count * listed["processor us/path"] / 3.6e9
            memory = fixed + count * each
            most = max(shares, key=lambda share: shares[share])
            narrow = "the list, made by one process" if listing > DAY or memory > MEMORY else most
            rows.append(
                (
                    f"10^{len(str(count)) - 1} of {name}",
                    number(hours),
                    number(hours / (DAY * MACHINE)),
                    bytes_shown(count * size),
                    bytes_shown(count * bulk["result bytes/photo"]),
                    number(count / (DAY * 3600)),
                    number(listing),
                    bytes_shown(memory),
                    narrow,
                )
            )
    return table(
        f"photos | core hours | machines of {MACHINE} cores for a day | bytes read | bytes written | "
        "photos/s to fetch, to be done in a day | hours to list | memory to list | what is narrowest",
        rows,
    )


def kills(told: dict[str, Any]) -> str:
    """What the kills did."""
    names = ("rows", "rows undisturbed", "shards that differ", "rows twice", "photos without a row", "left behind")
    rows = [
        ("photos, broken ones among them", f"{told['photos']:,}, {told['broken']:,}"),
        ("nodes of one processor, beside the head", told["nodes"]),
        ("photos in a shard", told["shard size"]),
        *((f"kills: {kind}", count) for kind, count in told["kills"].items()),
        ("times that all photos were done", told["times all photos were done"]),
        ("starts of the command", told["starts of the command"]),
        ("seconds undisturbed, once", told["seconds undisturbed"]),
        ("seconds with kills", told["seconds"]),
        *((name.replace("left behind", "files left behind"), f"{told[name]:,}") for name in names),
    ]
    return table(f"{told['processor']}, seed {told['seed']} | figure", rows)


def page(root: Path) -> str:
    """docs/guides/scale.md as it should read."""
    path = root / "docs" / "guides" / "scale.md"
    figures = Figures(read(root / "docs" / "scale" / "ray.json", "python scripts/benchmark.py ray --json"))
    told = read(root / "docs" / "scale" / "kills.json", "python scripts/ray_kills.py --json")
    text = path.read_text(encoding="utf-8")
    try:
        sections = {
            "speed": speed(figures),
            "stages": stages(figures),
            "decoders": decoders(figures),
            "costs": costs(figures),
            "kills": kills(told),
        }
    except (KeyError, StopIteration, TypeError) as error:
        raise FiguresError(f"{root / 'docs' / 'scale'}: lacks a figure ({error!r}); measure again") from error
    for name, content in sections.items():
        begin, end = f"<!-- ray {name}: begin (scripts/ray_page.py writes this) -->", f"<!-- ray {name}: end -->"
        text = between(text, begin, end, content, path)
    return text


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command; returns its exit code."""
    return write_page(page, __doc__, arguments, root)


def write_page(
    made: Callable[[Path], str],
    about: str | None,
    arguments: list[str] | None,
    root: Path,
    page: str = "docs/guides/scale.md",
) -> int:
    """Runs a command that brings a page of docs/ up to date; returns its exit code.

    Args:
        made: the project's folder to the page as it should read.
        about: what the command does, for --help.
        arguments: of the command line.
        root: the project's folder.
        page: which, from there.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    options = parser.parse_args(arguments)
    path = root / page
    try:
        text = made(root)
        stale = path.read_text(encoding="utf-8") != text
        if stale and not options.check:
            atomic_write(path, text.encode(), FiguresError)
    except (FiguresError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    state = "up to date" if not stale else "out of date" if options.check else "written"
    print(f"{path.relative_to(root)}: {state}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures sets as large as AffectNet (291,651 faces) and CASIA-WebFace (494,414): seconds and memory until training.

python scripts/large_sets.py DIR                     # stand-ins go to DIR (5 GB); figures to docs/scale/large_sets.json
python scripts/large_sets.py DIR --rows 2000 --output /dev/null

The stand-ins have the layout, the names and the lists of the real sets; their images are small JPEG files, 64 of them
linked again and again. Each figure is of a process of its own: its seconds from before the first import (the seconds of
the processor beside them, as a busy machine takes longer), and the most memory that it ever had (peak RSS, of which
importing TensorFlow takes most). "train" decodes images as they are drawn; from shards it reads no landmarks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ROWS = {"affectnet": 291_651, "casia_webface": 494_414}
PEOPLE = 10_575
"""Of CASIA-WebFace."""

MEASURES = ("read", "read shards", "train", "train shards", "resume shards")


def write_pictures(folder: Path) -> list[Path]:
    import numpy as np

    from kerasfer import images

    generator = np.random.default_rng(0)
    paths = [folder / f"{number:02}.jpg" for number in range(64)]
    for path in paths:
        small = generator.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        images.write(path, images.resize(small, 112))
    return paths


class Links:
    """Many names of few files: a file system allows so many links of one."""

    def __init__(self, sources: list[Path]) -> None:
        self.sources, self.made = sources, 0

    def __call__(self, path: Path) -> None:
        number, nth = self.made % len(self.sources), self.made // len(self.sources)
        if nth and nth % 30_000 == 0 and number == 0:
            self.sources = [self._copy(source, nth) for source in self.sources]
        os.link(self.sources[number], path)
        self.made += 1

    def _copy(self, source: Path, nth: int) -> Path:
        copy = source.with_name(f"{nth}-{source.name}")
        copy.write_bytes(source.read_bytes())
        return copy


def write_affectnet(root: Path, rows: int, link: Links) -> None:
    """training.csv and validation.csv with boxes and landmarks, images in numbered folders."""
    import numpy as np

    from kerasfer.datasets.affectnet import HEADER

    generator = np.random.default_rng(1)
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    valid = min(4000, rows // 10)
    number = 0
    for name, count in (("training", rows - valid), ("validation", valid)):
        with (lists / f"{name}.csv").open("w") as file:
            file.write(",".join(HEADER) + "\n")
            for _ in range(count):
                folder = root / "Manually_Annotated_Images" / str(number // 1000)
                if number % 1000 == 0:
                    folder.mkdir(parents=True)
                picture = f"{generator.bytes(28).hex()}.jpg"
                link(folder / picture)
                points = ";".join(f"{value:.2f}" for value in generator.uniform(5, 107, 136))
                file.write(f"{number // 1000}/{picture},4,4,104,104,{points},{number % 8},0.1,0.2\n")
                number += 1


def write_casia_webface(root: Path, rows: int, link: Links) -> None:
    """A folder for each person."""
    people = min(PEOPLE, rows // 2)
    for number in range(rows):
        person, nth = number % people, number // people
        folder = root / f"{person:07}"
        if not nth:
            folder.mkdir(parents=True)
        link(folder / f"{nth + 1:03}.jpg")


def prepare(folder: Path, name: str, rows: int) -> None:
    """Writes a stand-in and its shards, where they are not there."""
    root = folder / name
    if not root.exists():
        aside = folder / f"{name}.new"
        link = Links(write_pictures(folder / f"pictures of {name}"))
        (write_affectnet if name == "affectnet" else write_casia_webface)(aside, rows, link)
        aside.rename(root)


def peak_megabytes() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure(folder: Path, name: str, what: str) -> dict[str, Any]:
    """What one process does and needs."""
    from kerasfer import datasets

    facts: dict[str, Any] = {"set": name, "what": what}
    root, shards_root = folder / name, folder / f"{name} shards"
    if what == "write shards":
        from kerasfer.datasets import shards

        table = datasets.load(name, root)
        shards.write(table, shards_root)
    else:
        some = {"columns": () if name == "casia_webface" else ("box", "split")} if what != "read shards" else {}
        table = datasets.load("shards", shards_root, **some) if what.endswith("shards") else datasets.load(name, root)
    facts |= {"rows": len(table), "table seconds": round(time.perf_counter() - STARTED, 1)}
    if what.startswith(("train", "resume")):
        from kerasfer.data.kinds import KINDS
        from kerasfer.expressions import FERPLUS8
        from kerasfer.faces import ImageSpec

        kind = KINDS["images" if name == "affectnet" else "unlabeled"]
        batches = kind(table, ImageSpec(96, 3), FERPLUS8, 64, seed=1, cache=None)
        step = batches.steps_per_epoch // 2 if what.startswith("resume") else 0
        taken = iter(batches.epoch(3 if step else 0, step))
        next(taken)
        facts["first batch seconds"] = round(time.perf_counter() - STARTED, 1)
        started = time.perf_counter()
        for _ in range(50):
            if next(taken, None) is None:
                break
        else:
            facts["images/s after it"] = round(50 * 64 / (time.perf_counter() - started))
        before = time.perf_counter()
        next(iter(batches.epoch(4, 0)))
        facts["next epoch seconds"] = round(time.perf_counter() - before, 2)
    facts["load average"] = round(os.getloadavg()[0], 1)
    facts["cpu seconds"] = round(sum(os.times()[:2]), 1)
    facts["peak MB"] = round(peak_megabytes())
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the stand-ins")
    parser.add_argument("--rows", type=int, help="of each set, to try this script (default: as many as the real ones)")
    parser.add_argument("--sets", nargs="+", default=sorted(ROWS), choices=sorted(ROWS))
    parser.add_argument("--output", type=Path, default=ROOT / "docs/scale/large_sets.json")
    parser.add_argument("--one", nargs=2, metavar=("SET", "MEASURE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.folder, *options.one)))
        return
    facts = {
        "command": "python scripts/large_sets.py DIR",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    figures: dict[tuple[str, str], dict[str, Any]] = {}
    if options.output.is_file():
        figures = {(row["set"], row["what"]): row for row in json.loads(options.output.read_text())["figures"]}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        prepare(options.folder, name, options.rows or ROWS[name])
        measures = MEASURES if (options.folder / f"{name} shards/shards.json").exists() else ("write shards", *MEASURES)
        for what in measures:
            command = [sys.executable, __file__, str(options.folder), "--one", name, what]
            quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, capture_output=True, text=True, env=quiet)
            if done.returncode:
                sys.exit(done.stderr)
            row = figures[name, what] = json.loads(done.stdout.splitlines()[-1])
            print(row, flush=True)
            order = sorted(
                figures.values(), key=lambda row: (row["set"], ("write shards", *MEASURES).index(row["what"]))
            )
            options.output.write_text(json.dumps({**facts, "figures": order}, indent=1) + "\n")


if __name__ == "__main__":
    main()

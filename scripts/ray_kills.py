#!/usr/bin/env python3
"""Kills what recognizes photos on a Ray cluster, at random, and compares the rows with those of an undisturbed run.

    python scripts/ray_kills.py --photos 20000 --kills 20 --folder runs/ray_kills --json docs/scale/kills.json

A cluster of several nodes is started on this machine, as processes of their own. `kerasfer recognize-many` runs on it
once undisturbed, then again into another folder while one of these is killed (SIGKILL) every few seconds: the driver,
which is then started again with the same command; a worker; or a node with all its workers, in whose place another
starts. If all photos are done before the last kill, they are begun again in a further folder. Every hundredth photo is
broken. Photos come from a few faces, shifted, lit and compressed in different ways, so that no two are the same.

Exit code 0: the rows are the same; 1: they are not; 2: bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))
sys.path.insert(0, str(ROOT / "scripts"))

from common import run_app  # noqa: E402

SIDE = 192
"""Height and width of the photos."""

KINDS = ("driver", "worker", "node")


def faces() -> list[np.ndarray]:
    """Photos of faces, uint8 RGB (SIDE, SIDE, 3): the astronaut's, and rendered ones."""
    from kerasfer import images
    from kerasfer.rendering import make_factors, render

    astronaut = images.read(ROOT / "kerasfer" / "astronaut.jpg")
    found = [images.resize(astronaut[20:276, 100:356], SIDE)]
    for number, expression in enumerate(("neutral", "happiness", "surprise", "sadness", "anger")):
        photo = np.full((SIDE, SIDE, 3), 120, np.uint8)
        edge = SIDE // 6
        face = render(make_factors(number + 1, expression), SIDE - 2 * edge, 3).image
        photo[edge : SIDE - edge, edge : SIDE - edge] = face
        found.append(photo)
    return found


def write_photos(folder: Path, count: int, seed: int) -> int:
    """Writes photos, a hundred in each folder below; returns how many of them are broken."""
    from PIL import Image

    bases, broken = faces(), 0
    for number in range(count):
        chance = np.random.default_rng((seed, number))
        base = np.roll(bases[number % len(bases)], chance.integers(-12, 13, 2), (0, 1))
        lit = np.clip(base * chance.uniform(0.7, 1.2) + chance.uniform(-10, 10), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(lit).save(buffer, "JPEG", quality=int(chance.integers(70, 95)))
        content = buffer.getvalue()
        if number % 100 == 50:
            content = (b"", content[: len(content) // 2], b"no image")[number // 100 % 3]
            broken += 1
        path = folder / f"{number // 100:04}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return broken


class Run:
    """`kerasfer recognize-many` in a process of its own.

    Args:
        photos: folder of the photos.
        answers: folder of the results.
        address: of the cluster.
        shard_size: photos in a shard.
        log: file that takes what it prints.
    """

    def __init__(self, photos: Path, answers: Path, address: str, shard_size: int, log: Path) -> None:
        self._command = [sys.executable, str(ROOT / "apps" / "recognize_many.py"), str(photos)]
        self._command += ["--output", str(answers), "--address", address, "--shard-size", str(shard_size)]
        self._command += ["--model", "edge", "--lite", "--detector", "quick"]
        self._log = log
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Starts the command, or starts it again."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)
        self.starts += 1

    def ended(self) -> bool:
        """Whether all is done. What ended with an error, as a command may that lost its nodes, is started again."""
        code = self.process.poll()
        if code is None:
            return False
        if code in (0, 1):
            return True
        self.start()
        return False

    def kill(self) -> None:
        """Kills the command."""
        self.process.kill()
        self.process.wait()


def processes_below(parent: int) -> dict[int, str]:
    """Process number -> command line of the processes that one has started, and that these have."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text()
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    found: dict[int, str] = {}
    level = {parent}
    while level:
        level = {number for number, above in parents.items() if above in level}
        found |= {number: lines.get(number, "") for number in level}
    return found


def patiently(start: Callable[[], Any]) -> Any:
    """Starts a node. Ray gives up after half a minute, which a busy machine may take."""
    for _ in range(9):
        try:
            return start()
        except Exception as error:
            if "timed out" not in str(error):
                raise
            print("a node took too long to start", flush=True)
    return start()


class Nodes:
    """A cluster on this machine: a head without processors, and nodes with one each.

    Args:
        count: number of nodes beside the head.
    """

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        store = {"object_store_memory": 100_000_000}
        head = {"num_cpus": 0, **store}
        self._cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self._store = store
        self.nodes = [self._add() for _ in range(count)]
        self.address = self._cluster.address

    def _add(self) -> Any:
        return patiently(lambda: self._cluster.add_node(num_cpus=1, **self._store))

    def raylet_of(self, node: Any) -> int:
        """Process number of a node's raylet."""
        return node.all_processes["raylet"][0].process.pid

    def kill_node(self, chance: random.Random) -> None:
        """Kills a node, and starts another some seconds later."""
        node = self.nodes.pop(chance.randrange(len(self.nodes)))
        workers = [number for number, line in processes_below(self.raylet_of(node)).items() if "ray::" in line]
        self._cluster.remove_node(node, allow_graceful=False)
        for worker in workers:
            # A machine that is gone takes its workers with it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        time.sleep(chance.uniform(0, 5))
        self.nodes.append(self._add())

    def kill_worker(self, chance: random.Random) -> bool:
        """Kills a worker that recognizes photos; False if there is none at the moment."""
        found = []
        for node in self.nodes:
            below = processes_below(self.raylet_of(node))
            found += [number for number, line in below.items() if "ray::" in line and "Map" in line]
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(sorted(found)), signal.SIGKILL)
            return True
        return False

    def stop(self) -> None:
        """Ends all nodes."""
        self._cluster.shutdown()


def rows_of(folder: Path) -> dict[str, Any]:
    """Name of each shard -> its rows, as a pyarrow table."""
    import pyarrow.parquet

    return {path.name: pyarrow.parquet.read_table(path) for path in sorted(folder.glob("*.parquet"))}


def compared(plain: Path, disturbed: Path, photos: Path) -> dict[str, int]:
    """How the rows of two runs differ, and whether each photo has its rows once."""
    first, second = rows_of(plain), rows_of(disturbed)
    different = sum(name not in second or not table.equals(second[name]) for name, table in first.items())
    keys = [
        (path, face)
        for table in second.values()
        for path, face in zip(table["path"].to_pylist(), table["face"].to_pylist(), strict=True)
    ]
    named = {path for path, _ in keys}
    wanted = {str(path) for path in photos.rglob("*.jpg")}
    return {
        "rows": len(keys),
        "rows undisturbed": sum(table.num_rows for table in first.values()),
        "shards": len(second),
        "shards that differ": different + len(set(second) - set(first)),
        "rows twice": len(keys) - len(set(keys)),
        "photos without a row": len(wanted - named),
        "left behind": sum(path.name.startswith(".") for path in disturbed.iterdir()),
    }


def disturbed(
    options: argparse.Namespace, nodes: Nodes, photos: Path, chance: random.Random, stack: contextlib.ExitStack
) -> dict[str, Any]:
    """Runs with kills, until there were enough; returns how many of what, and how the rows compare."""
    kills = dict.fromkeys(KINDS, 0)
    results: list[dict[str, int]] = []
    began = time.monotonic()
    starts = 0
    while sum(kills.values()) < options.kills:
        answers = options.folder / f"disturbed-{len(results)}"
        shutil.rmtree(answers, ignore_errors=True)
        run = Run(photos, answers, nodes.address, options.shard_size, options.folder / "disturbed.log")
        stack.callback(run.kill)
        due = time.monotonic() + chance.uniform(*options.gap)
        while not run.ended():
            time.sleep(0.2)
            if time.monotonic() < due or sum(kills.values()) >= options.kills:
                continue
            kind = chance.choice(KINDS)
            if kind == "driver":
                run.kill()
                run.start()
            elif kind == "node":
                nodes.kill_node(chance)
            elif not nodes.kill_worker(chance):
                continue
            kills[kind] += 1
            print(f"{time.monotonic() - began:6.0f} s: killed a {kind} ({sum(kills.values())})", flush=True)
            due = time.monotonic() + chance.uniform(*options.gap)
        starts += run.starts
        results.append(compared(options.folder / "plain", answers, photos))
        print(results[-1], flush=True)
    return {
        "kills": kills,
        "times all photos were done": len(results),
        "starts of the command": starts,
        "seconds": round(time.monotonic() - began),
        **{name: sum(result[name] for result in results) for name in results[0]},
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20_000, help="default: 20000")
    parser.add_argument("--kills", type=int, default=20, help="default: 20")
    parser.add_argument("--nodes", type=int, default=2, help="beside the head; default: 2")
    parser.add_argument("--shard-size", type=int, default=100, help="default: 100")
    parser.add_argument("--gap", type=float, nargs=2, default=(10.0, 60.0), help="seconds from one kill to the next")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for photos and results")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    options = parser.parse_args(arguments)
    options.folder = options.folder.absolute()
    photos = options.folder / f"photos-{options.photos}-{options.seed}"
    chance = random.Random(options.seed)
    if not photos.is_dir():
        aside = photos.with_suffix(".tmp")
        shutil.rmtree(aside, ignore_errors=True)
        write_photos(aside, options.photos, options.seed)
        aside.rename(photos)
    # Ray lets its workers give way to everything else on a machine, which may be much.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    with contextlib.ExitStack() as stack:
        nodes = Nodes(options.nodes)
        stack.callback(nodes.stop)
        plain = options.folder / "plain"
        shutil.rmtree(plain, ignore_errors=True)
        began = time.monotonic()
        run = Run(photos, plain, nodes.address, options.shard_size, options.folder / "plain.log")
        stack.callback(run.kill)
        while not run.ended():
            time.sleep(0.2)
        took = time.monotonic() - began
        print(f"undisturbed: {took:.0f} s", flush=True)
        found = disturbed(options, nodes, photos, chance, stack)
    broken = len(range(50, options.photos, 100))
    figures = {
        "photos": options.photos,
        "broken": broken,
        "nodes": options.nodes,
        "shard size": options.shard_size,
        "seed": options.seed,
        "seconds undisturbed": round(took),
        **found,
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        from benchmark import processor

        from kerasfer.files import atomic_write

        atomic_write(options.json, (json.dumps({"processor": processor(), **figures}, indent=2) + "\n").encode())
    wrong = ("shards that differ", "rows twice", "photos without a row", "left behind")
    return 1 if any(found[name] for name in wrong) or found["rows"] % found["rows undisturbed"] else 0


if __name__ == "__main__":
    run_app(main)

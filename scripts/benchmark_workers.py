"""Times a training step of one and of two processes, a core each, and where the time goes.

python scripts/benchmark.py workers                          # every model, tiny; figures to docs/scale/workers.json
python scripts/benchmark.py workers --models edge tdgan --size small

For each model: one process with the whole batch; one with half of it, which is what each of two has to compute; two
processes (`tf.distribute.MultiWorkerMirroredStrategy` on loopback) with half each. What two take longer than the one
with half a batch is exchange: sending the gradients, and waiting for the slower one. "input" is what the loop waits for
its next batch; each process prepares the whole batch and takes its part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# One thread a process, of which kerasfer is to know before TensorFlow is imported (`kerasfer.kernels`).
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def measure(name: str, size: str, batch_size: int, steps: int) -> dict[str, float]:
    """Medians of one process: seconds that it waits for a batch, and of a step."""
    import numpy as np
    import tensorflow as tf

    from kerasfer import datasets, training
    from kerasfer.data import Recipe
    from kerasfer.models import model_class

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = training.strategy_for()
    Model = model_class(name)
    config = getattr(Model.Config, size)().replace(batch_size=batch_size)
    count = max(6 * batch_size, 64)
    table = datasets.load("synthetic", count=count, identities=max(8, getattr(config, "identities", 8)), size=64)
    missing = {"pose": (3,), "landmarks": (68, 2)}
    columns = {key: np.full((len(table), *shape), 20.0) for key, shape in missing.items() if key not in table}
    table = table.with_columns(**columns)
    with strategy.scope():
        model = Model(config)
    prepared = Recipe(train=table, valid=0, split="all").prepare(Model, config, say=lambda line: None)
    batches = prepared.batches(model.image_spec, model.label_space, batch_size)
    model.prepare(next(iter(batches.epoch(0))))
    with strategy.scope():
        model.compile(total_steps=1000)
    model.adapt(batches.columns)
    step = training._StepFunctions.of(model, strategy)
    waits, works, epoch, done = [], [], 0, 0
    while done < steps + 3:
        taken = iter(training._distributed(batches, epoch, 0, strategy))
        for _ in range(batches.steps_per_epoch):
            started = time.perf_counter()
            batch = next(taken)
            waited = time.perf_counter()
            step(batch, 0)
            if done >= 3:  # Those before it build the graph.
                waits.append(waited - started)
                works.append(time.perf_counter() - waited)
            done += 1
        epoch += 1
    return {"input": statistics.median(waits), "step": statistics.median(works)}


def free_port() -> int:
    with socket.socket() as entry:
        entry.bind(("127.0.0.1", 0))
        return entry.getsockname()[1]


def run(options: argparse.Namespace, name: str, batch_size: int, count: int) -> dict[str, float]:
    """What the first of some processes measured, each on a core of its own."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    processes = []
    for index in range(count):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"TF_CONFIG": json.dumps(place)} if count > 1 else {}
        command = [sys.executable, __file__, "--one", name, str(batch_size), str(index), "--size", options.size]
        command += ["--steps", str(options.steps)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True))
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(f"{name}: a process failed")
    return json.loads(told[0].splitlines()[-1])


def row(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """The figures of a model."""
    from kerasfer.models import model_class

    batch = getattr(model_class(name).Config, options.size)().batch_size
    batch += batch % 2
    whole, half, two = (run(options, name, size, count) for size, count in ((batch, 1), (batch // 2, 1), (batch, 2)))
    seconds = {key: value["input"] + value["step"] for key, value in (("one", whole), ("two", two))}
    return {
        "model": name,
        "size": options.size,
        "batch": batch,
        "one process, images/s": round(batch / seconds["one"], 1),
        "two processes, images/s": round(batch / seconds["two"], 1),
        "speed-up": round(seconds["one"] / seconds["two"], 2),
        "half a batch, ms": round(1000 * half["step"], 1),
        "exchange, ms": round(1000 * (two["step"] - half["step"]), 1),
        "input, ms": round(1000 * two["input"], 1),
        "load average": round(os.getloadavg()[0], 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    from kerasfer.models import MODELS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=sorted(MODELS), choices=sorted(MODELS))
    parser.add_argument("--size", default="tiny", choices=("paper", "small", "tiny"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=ROOT / "docs/scale/workers.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        name, batch_size, core = options.one
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[int(core) % len(cores)]})
        print(json.dumps(measure(name, options.size, int(batch_size), options.steps)))
        return 0
    figures = []
    for name in options.models:
        figures.append(row(options, name))
        print(figures[-1], flush=True)
        facts = {"command": "python scripts/benchmark.py workers", "cores": os.cpu_count(), "steps": options.steps}
        facts["python"] = platform.python_version()
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Times kerasfer on this machine: medians over many runs, the number of runs, threads and processor beside them.

python scripts/benchmark.py input                  # images/s of the input pipeline, beside the training step's
python scripts/benchmark.py train --model tdgan    # images/s of a training step at the paper's size
python scripts/benchmark.py lite --model tdgan     # milliseconds a face of the TFLite recognisers
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps"))

from common import locate, run_app  # noqa: E402


def processor() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def seconds_each(function: Callable[[], Any], runs: int, warm_up: int = 2) -> list[float]:
    """Seconds of each of `runs` calls, after some that do not count."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return times


def step_seconds(model_name: str, size: str, precision: str, batch_size: int, runs: int) -> list[float]:
    """Seconds of a training step on random images, every network updated."""
    import numpy as np
    import tensorflow as tf

    from kerasfer.models import model_class
    from kerasfer.models.base import BATCH_KINDS

    Model = model_class(model_name)
    model = Model(getattr(Model.Config, size)().replace(precision=precision, batch_size=batch_size))
    model.compile(total_steps=1000)
    random = np.random.default_rng(0)
    classes = len(model.label_space)
    batch = {}
    for key in BATCH_KINDS[Model.batch_kind_of(model.config)]:
        if key.endswith("image"):
            batch[key] = tf.constant(random.random((batch_size, *model.image_spec.shape), np.float32))
        elif key == "identity_label":
            batch[key] = tf.constant(random.integers(0, model.config.identities, batch_size), tf.int32)
        else:
            batch[key] = tf.constant(np.eye(classes, dtype=np.float32)[random.integers(0, classes, batch_size)])
    step = tf.function(model.train_step)

    def run() -> None:
        for value in step(batch).values():
            value.numpy()

    return seconds_each(run, runs)


def benchmark_train(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Images/s of `train_step`; an image is one face with its expression image."""
    rows = []
    for precision in options.precision:
        times = step_seconds(options.model, options.size, precision, options.batch_size, options.runs)
        rows.append(
            {
                "what": f"train {options.model} {options.size}",
                "precision": precision,
                "batch": options.batch_size,
                "images/s": round(options.batch_size / statistics.median(times), 2),
                "ms/step": round(1000 * statistics.median(times), 1),
                "fastest ms": round(1000 * min(times), 1),
                "runs": options.runs,
            }
        )
    return rows


def benchmark_input(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Images/s that the input pipeline gives from its cache, and that a training step of the small size takes."""
    from kerasfer import datasets
    from kerasfer.batches import Augmentation, images
    from kerasfer.expressions import FERPLUS8
    from kerasfer.faces import ImageSpec

    arguments = {"split": "train"} if options.data is None or options.dataset == "ferplus" else {}
    table = datasets.load(options.dataset, locate(options.dataset, options.data), **arguments)
    rows = []
    for size in (48, 64):
        for name, augmentation in (("paper", Augmentation()), ("strong", Augmentation.strong())):
            batches = images(table, ImageSpec(size), FERPLUS8, 64, augmentation=augmentation)
            rates = []
            for epoch in range(options.runs):
                started, count = time.perf_counter(), 0
                for batch in batches.epoch(epoch):
                    count += batch["image"].shape[0]
                rates.append(count / (time.perf_counter() - started))
            rows.append(
                {
                    "what": f"input {table.name}, {name} augmentation",
                    "size": size,
                    "batch": 64,
                    "images/s": round(statistics.median(rates)),
                    "runs": f"{options.runs} epochs of {batches.steps_per_epoch * 64} images",
                }
            )
    times = step_seconds(options.model, "small", "mixed_bfloat16", 64, 5)
    rate = round(64 / statistics.median(times), 1)
    rows.append({"what": f"train {options.model} small", "batch": 64, "images/s": rate, "runs": 5})
    return rows


def lite_rows(folder: Path, runs: int) -> list[dict[str, Any]]:
    """Milliseconds of one aligned face through each TFLite recogniser in a folder, on one and on two threads."""
    import numpy as np

    from kerasfer import lite

    rows = []
    for path in sorted(folder.glob("*.tflite")):
        for threads in (1, 2):
            recognizer = lite.Recognizer(path, threads=threads)
            face = np.random.default_rng(0).integers(0, 256, (recognizer.image_size,) * 2, np.uint8)
            times = seconds_each(lambda recognizer=recognizer, face=face: recognizer.recognize(face), runs, 20)
            rows.append(
                {
                    "what": f"lite {path.name}",
                    "storage": path.stem.partition("_")[2] or "float32",
                    "threads": threads,
                    "ms/face": round(1000 * statistics.median(times), 3),
                    "MB": round(path.stat().st_size / 1e6, 2),
                    "runs": runs,
                }
            )
    return rows


def benchmark_lite(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds a face of a bundled model's TFLite recognisers."""
    from kerasfer import zoo

    folder = Path(options.model) if Path(options.model).is_dir() else zoo.folder_of(options.model)
    rows = lite_rows(folder, options.runs)
    if not rows:
        raise ValueError(f"{folder}: holds no TFLite file; python apps/export.py writes them")
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("input", "train", "lite"))
    parser.add_argument("--model", default="tdgan", help="default: tdgan")
    parser.add_argument("--size", default="paper", choices=("paper", "small", "tiny"), help="of train; default: paper")
    parser.add_argument("--batch-size", type=int, default=8, help="of train; default: 8")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32", "mixed_bfloat16"],
        help="of train; default: float32 mixed_bfloat16",
    )
    parser.add_argument("--dataset", default="synthetic", help="of input; default: synthetic")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets, for input")
    parser.add_argument("--runs", type=int, help="measurements; default: 10 steps, 3 epochs, 200 faces")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    options = parser.parse_args(arguments)
    options.runs = options.runs or {"train": 10, "input": 3, "lite": 200}[options.what]
    rows = {"input": benchmark_input, "train": benchmark_train, "lite": benchmark_lite}[options.what](options)
    print(f"{processor()}, {os.cpu_count()} threads; medians")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        aside = Path(f"{options.json}.tmp")
        aside.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=2) + "\n")
        os.replace(aside, options.json)
    return 0


if __name__ == "__main__":
    run_app(main)

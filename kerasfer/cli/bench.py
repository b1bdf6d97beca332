"""Times this machine: milliseconds a face and photos a second, with the models that come with kerasfer.

    kerasfer bench
    kerasfer bench --model edge phone/model_int8.tflite --seconds 5 --json times.json

For each model it runs the recognizer alone, on a face that is cut out and aligned already, then the whole way from a
photo in memory to the expression, with each of the two detectors that come with kerasfer, and then photos on all
processors at once. Where TensorFlow is installed, the same by Keras. The photo shows one face, 512 x 512 pixels.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import files, images, lite, sample
from kerasfer.version import __version__

WARM_UP = 3
"""Calls before those that count."""

LEAST_RUNS = 5
"""Calls that count, however long they take."""

DETECTORS = ("quick", "mediapipe")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        nargs="+",
        default=["edge", "ipdfer"],
        metavar="NAME|FILE",
        help="bundled models, TFLite files or folders with one (default: edge ipdfer)",
    )
    parser.add_argument("--photo", metavar="FILE", help="a photo of your own instead of the bundled one")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="worker threads for photos/s (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="to spend on each line (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    return parser


def times_of(function: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of each call, as many as fit."""
    for _ in range(WARM_UP):
        function()
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < seconds:
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return times


def photos_a_second(function: Callable[[], Any], threads: int, seconds: float) -> tuple[float, int]:
    """How many calls a second several threads make together, and of how many calls that is."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: function(), range(WARM_UP * threads)))
        count, started, passed = 0, time.perf_counter(), 0.0
        while passed < seconds or count < LEAST_RUNS:
            count += len(list(pool.map(lambda _: function(), range(4 * threads))))
            passed = time.perf_counter() - started
    return count / passed, count


def row_of(name: str, what: str, times: list[float]) -> dict[str, Any]:
    return {
        "model": name,
        "what": what,
        "ms": statistics.median(times) * 1000,
        "fastest ms": min(times) * 1000,
        "runs": len(times),
    }


def shown(row: dict[str, Any]) -> str:
    if "photos/s" in row:
        return f"{row['model']:24} {row['what']:44} {row['photos/s']:8.1f} photos/s   {row['runs']} runs"
    figures = f"{row['ms']:8.3g} ms         fastest {row['fastest ms']:.3g} ms, {row['runs']} runs"
    return f"{row['model']:24} {row['what']:44} {figures}"


def lite_rows(model: str, photo: np.ndarray, threads: int, seconds: float) -> Iterator[dict[str, Any]]:
    """The figures of a TFLite file, one after the other."""
    name = f"{Path(model).name} (TFLite)"
    pipelines = {detector: lite.Pipeline(model, detector=detector) for detector in DETECTORS}
    recognizer = lite.Recognizer(pipelines["quick"].file)
    face = np.zeros((1, *recognizer.image_spec.shape), np.float32)
    yield row_of(name, "one aligned face, one thread", times_of(lambda: recognizer.run(face), seconds))
    for detector, pipeline in pipelines.items():
        times = times_of(functools.partial(pipeline.recognize, photo), seconds)
        yield row_of(name, f"photo to expression, detector {detector}", times)
    rate, count = photos_a_second(lambda: pipelines["quick"].recognize(photo), threads, seconds)
    yield {"model": name, "what": f"photos, detector quick, threads: {threads}", "photos/s": rate, "runs": count}


def keras_rows(model: str, photo: np.ndarray, seconds: float) -> Iterator[dict[str, Any]]:
    """The figures of a Keras model."""
    from kerasfer import recognition, zoo

    loaded: Any = zoo.load(model, recognizer_only=True)
    for detector in DETECTORS:
        times = times_of(functools.partial(recognition.recognize, photo, loaded, detector), seconds)
        yield row_of(f"{model} (Keras)", f"photo to expression, detector {detector}", times)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.threads < 1 or not 0 < options.seconds < float("inf"):
        raise ValueError(f"--threads must be at least 1 and --seconds above 0: {options.threads}, {options.seconds}")
    photo = images.read(options.photo or sample.PHOTO)
    machine = {
        "kerasfer": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
    }
    print(
        f"kerasfer {__version__}, Python {machine['python']}, {machine['system']}, {machine['processors']} processors"
    )
    whole = importlib.util.find_spec("tensorflow") is not None
    rows = []
    for model in options.model:
        sources = [lite_rows(model, photo, options.threads, options.seconds)]
        if whole and Path(model).suffix != ".tflite":
            sources.append(keras_rows(model, photo, options.seconds))
        for source in sources:
            for row in source:
                rows.append(row)
                print(shown(row), flush=True)
    if not whole:
        print("Keras is left out: TensorFlow is not installed")
    if options.json:
        files.atomic_write(options.json, (json.dumps({**machine, "rows": rows}, indent=1) + "\n").encode())
        print(f"written: {options.json}")
    return 0

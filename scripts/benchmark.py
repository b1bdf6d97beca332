"""Times kerasfer on this machine: medians over many runs, the number of runs, threads and processor beside them.

python scripts/benchmark.py input                  # images/s of the input pipeline, beside the training step's
python scripts/benchmark.py data                   # seconds to read a set, images/s of each cache, memory of many paths
python scripts/benchmark.py train --model tdgan    # images/s of a training step at the paper's size
python scripts/benchmark.py train --against PATH   # the same in turn with another checkout, or TDGAN's authors' code
python scripts/benchmark.py lite --model tdgan     # milliseconds a face of the TFLite recognizers
python scripts/benchmark.py device --model tdgan   # a bundle, photo to expression: import, memory, milliseconds a photo
python scripts/benchmark.py photo --model tdgan    # kerasfer.recognize and the package fer on the same photos
python scripts/benchmark.py video --model tdgan    # frames/s of a 720p video with two faces
python scripts/benchmark.py folder --model tdgan   # photos/s and memory of a folder, broken photos in it
python scripts/benchmark.py workers                # one and two processes that train together (benchmark_workers.py)
python scripts/benchmark.py ray --model edge       # recognize-many beside a plain loop, its memory, lists and decoders
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
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps"))

from common import locate, run_app  # noqa: E402

if TYPE_CHECKING:
    from kerasfer.data import Batches
    from kerasfer.datasets.base import FaceTable


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


def training_step(model_name: str, size: str, precision: str, batch_size: int) -> Callable[[], None]:
    """Makes a training step on random images, every network updated."""
    import numpy as np
    import tensorflow as tf

    from kerasfer.data import kind_of
    from kerasfer.models import model_class

    Model = model_class(model_name)
    model = Model(getattr(Model.Config, size)().replace(precision=precision, batch_size=batch_size))
    model.compile(total_steps=1000)
    random = np.random.default_rng(0)
    classes = len(model.label_space)
    batch = {}
    for key in kind_of(Model, model.config).keys:
        if key.endswith("image"):
            batch[key] = tf.constant(random.random((batch_size, *model.image_spec.shape), np.float32))
        elif key == "identity_label":
            batch[key] = tf.constant(random.integers(0, model.config.identities, batch_size), tf.int32)
        elif key == "pose_label":
            batch[key] = tf.constant(random.integers(0, model.config.pose_classes, batch_size), tf.int32)
        elif key.endswith("landmarks"):
            batch[key] = tf.constant(model.image_spec.size * random.random((batch_size, 68, 2), np.float32))
        elif key == "paired":
            batch[key] = tf.ones(batch_size)
        else:
            batch[key] = tf.constant(np.eye(classes, dtype=np.float32)[random.integers(0, classes, batch_size)])
    model.phase = (True,) * len(model.phase_at(0))  # What waits for its step, or for every so many, is due.
    step = tf.function(model.train_step)

    def run() -> None:
        for value in step(batch).values():
            value.numpy()

    return run


def step_seconds(model_name: str, size: str, precision: str, batch_size: int, runs: int) -> list[float]:
    """Seconds of each of some training steps."""
    return seconds_each(training_step(model_name, size, precision, batch_size), runs)


def benchmark_train(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Images/s of `train_step`; an image is one face with its expression image.

    With --before, first without what makes it fast, then with one change more in each row. With --against, in turn
    with another checkout.
    """
    if options.against:
        from against import against_rows

        return against_rows(options)
    from straightforward import CHANGES, without

    from kerasfer.models import model_class

    model_class(options.model)
    names = list(CHANGES)
    stages = [names[number:] for number in range(len(names) + 1)] if options.before else [[]]
    rows = []
    for precision in options.precision:
        for stage in stages:
            with without(*stage):
                times = step_seconds(options.model, options.size, precision, options.batch_size, options.runs)
            rows.append(
                {
                    "what": f"train {options.model} {options.size}",
                    "precision": precision,
                    **({"without": "+".join(stage) or "nothing"} if options.before else {}),
                    "batch": options.batch_size,
                    "images/s": round(options.batch_size / statistics.median(times), 2),
                    "ms/step": round(1000 * statistics.median(times), 1),
                    "fastest ms": round(1000 * min(times), 1),
                    "runs": options.runs,
                }
            )
    return rows


def read_table(options: argparse.Namespace) -> FaceTable:
    """The data set to measure with; of those that have one, the training part."""
    from kerasfer import datasets

    arguments = {"split": "train"} if options.data is None or options.dataset == "ferplus" else {}
    return datasets.load(options.dataset, locate(options.dataset, options.data), **arguments)


def epoch_row(batches: Batches, runs: int) -> dict[str, Any]:
    """Images/s over whole epochs, and images for each second that the processors worked for this process.

    The second figure tells what the pipeline costs on a machine that is busy with other things, too.
    """
    rates, work = [], []
    for epoch in range(runs):
        started, worked, count = time.perf_counter(), time.process_time(), 0
        for batch in batches.epoch(epoch):
            count += batch["image"].shape[0]
        rates.append(count / (time.perf_counter() - started))
        work.append(count / (time.process_time() - worked))
    return {
        "batch": batches.batch_size,
        "images/s": round(statistics.median(rates)),
        "images/processor s": round(statistics.median(work)),
        "runs": f"{runs} epochs of {batches.steps_per_epoch * batches.batch_size} images",
    }


def write_listing(root: Path, count: int) -> None:
    """A folder in CelebA's layout whose images are all the same small file, under as many names."""
    import numpy as np

    from kerasfer.images import encode

    folder = root / "Img" / "img_align_celeba"
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number + 1:06}.jpg"
        if number % 10000 == 0:
            path.write_bytes(encode(np.zeros((8, 8, 3), np.uint8), ".jpg"))
            original = path
        else:
            os.link(original, path)
    names = [f"{number + 1:06}.jpg" for number in range(count)]
    lists = {
        "Eval/list_eval_partition.txt": (f"{name} {number % 3}" for number, name in enumerate(names)),
        "Anno/identity_CelebA.txt": (f"{name} {number % 10177}" for number, name in enumerate(names)),
    }
    for name, lines in lists.items():
        (root / name).parent.mkdir()
        (root / name).write_text("\n".join(lines) + "\n")


def listing_row(root: Path) -> dict[str, Any]:
    """Time and memory of reading CelebA; to be called in a process that has done nothing else."""
    import resource

    from kerasfer import datasets

    started, worked = time.perf_counter(), time.process_time()
    table = datasets.load("celeba", root)
    return {
        "what": f"read {len(table)} paths in CelebA's layout",
        "s": round(time.perf_counter() - started, 2),
        "processor s": round(time.process_time() - worked, 2),
        "table MB": round(sum(values.nbytes for values in table.columns.values()) / 1e6, 1),
        "whole process MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "runs": 1,
    }


def benchmark_data(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds to read a data set, images/s from each kind of cache, and the memory that a set of many paths takes."""
    import tempfile
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # First of all, as the system counts the largest size of the process that starts another as that one's own.
    with tempfile.TemporaryDirectory() as folder:
        write_listing(Path(folder), options.paths)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows = [pool.submit(listing_row, Path(folder)).result()]
    worked: list[float] = []

    def read() -> FaceTable:
        before = time.process_time()
        table = read_table(options)
        worked.append(time.process_time() - before)
        return table

    times = seconds_each(read, options.runs, warm_up=1)
    table = read()
    rows.append(
        {
            "what": f"read {table.name}",
            "images": len(table),
            "s": round(statistics.median(times), 2),
            "processor s": round(statistics.median(worked[1:]), 2),
            "runs": options.runs,
        }
    )
    from kerasfer.data import Augmentation
    from kerasfer.data.kinds import Images
    from kerasfer.expressions import FERPLUS8
    from kerasfer.faces import ImageSpec

    with tempfile.TemporaryDirectory() as folder:
        for size in (48, 64):
            for name, cache in (("in memory", "memory"), ("on disk", folder)):
                for kind, augmentation in (("paper", Augmentation()), ("strong", Augmentation.strong())):
                    batches = Images(table, ImageSpec(size), FERPLUS8, 64, augmentation=augmentation, cache=cache)
                    what = {"what": f"{table.name} cached {name}, {kind} augmentation", "size": size}
                    rows.append(what | epoch_row(batches, options.runs))
    return rows


def benchmark_input(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Images/s that the input pipeline gives from its cache, and that a training step of the small size takes."""
    from kerasfer.data import Augmentation
    from kerasfer.data.kinds import Images
    from kerasfer.expressions import FERPLUS8
    from kerasfer.faces import ImageSpec

    table = read_table(options)
    rows = []
    for size in (48, 64):
        for name, augmentation in (("paper", Augmentation()), ("strong", Augmentation.strong())):
            batches = Images(table, ImageSpec(size), FERPLUS8, 64, augmentation=augmentation)
            what = {"what": f"input {table.name}, {name} augmentation", "size": size}
            rows.append(what | epoch_row(batches, options.runs))
    times = step_seconds(options.model, "small", "mixed_bfloat16", 64, 5)
    rate = round(64 / statistics.median(times), 1)
    rows.append({"what": f"train {options.model} small", "batch": 64, "images/s": rate, "runs": 5})
    return rows


def lite_rows(folder: Path, runs: int) -> list[dict[str, Any]]:
    """Milliseconds of one aligned face through each TFLite recognizer in a folder, on one and on two threads."""
    import numpy as np

    from kerasfer import lite

    rows = []
    for path in sorted(path for path in folder.glob("*.tflite") if not path.name.startswith("generator")):
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
    """Milliseconds a face of a bundled model's TFLite recognizers."""
    from kerasfer import zoo

    folder = Path(options.model) if Path(options.model).is_dir() else zoo.folder_of(options.model)
    rows = lite_rows(folder, options.runs)
    if not rows:
        raise ValueError(f"{folder}: holds no TFLite file; python apps/export.py writes them")
    return rows


def benchmark_device(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A bundle in an interpreter that knows nothing else: import, memory, photos with one face and with twenty."""
    from speed import device_rows

    return device_rows(options.model, options.python, options.runs)


def benchmark_photo(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Ours and a peer's time and memory on the same photos."""
    from speed import photo_rows

    return photo_rows(options.model, options.python, options.runs, options.photos)


def benchmark_video(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Frames/s from file to answers, and to a marked video."""
    from speed import video_rows

    return video_rows(options.model, options.runs)


def benchmark_folder(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Photos/s and memory of a whole folder."""
    from speed import folder_rows

    return folder_rows(options.model, options.runs)


def benchmark_ray(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What photos by the million cost on Ray."""
    from ray_cost import cost_rows

    return cost_rows(options.model, options.runs)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=("input", "data", "train", "lite", "device", "photo", "video", "folder", "ray", "workers")
    )
    parser.add_argument("--model", default="tdgan", help="default: tdgan")
    parser.add_argument("--size", default="paper", choices=("paper", "small", "tiny"), help="of train; default: paper")
    parser.add_argument("--batch-size", type=int, default=8, help="of train; default: 8")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32", "mixed_bfloat16"],
        help="of train; default: float32 mixed_bfloat16",
    )
    parser.add_argument(
        "--before",
        action="store_true",
        help="of train: begin without what makes the step fast (scripts/straightforward.py), add it one by one",
    )
    parser.add_argument(
        "--against",
        metavar="PATH",
        help="of train: in turn with another checkout of kerasfer, or the code of TDGAN's authors (scripts/against.py)",
    )
    parser.add_argument("--dataset", default="synthetic", help="of input and data; default: synthetic")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets, for input and data")
    parser.add_argument("--paths", type=int, default=200_000, help="files of data's large set; default: 200000")
    parser.add_argument("--photos", metavar="DIR", help="of photo; default: one of 384 x 384 pixels")
    parser.add_argument(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="interpreter of an environment for device (numpy, pillow, ai-edge-litert) or with fer, for photo; "
        "default: this one",
    )
    parser.add_argument(
        "--runs",
        type=int,
        help="measurements; default: 10 steps, 3 epochs, 200 faces, 300 frames, 10000 photos, 3000 of ray",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["workers"]:
        import benchmark_workers

        return benchmark_workers.main(given[1:])
    options = parser.parse_args(given)
    defaults = {"train": 10, "input": 3, "data": 3, "video": 300, "folder": 10_000, "ray": 3000}
    options.runs = options.runs or defaults.get(options.what, 200)
    benchmarks = {
        "input": benchmark_input,
        "data": benchmark_data,
        "train": benchmark_train,
        "lite": benchmark_lite,
        "device": benchmark_device,
        "photo": benchmark_photo,
        "video": benchmark_video,
        "folder": benchmark_folder,
        "ray": benchmark_ray,
    }
    rows = benchmarks[options.what](options)
    print(f"{processor()}, {os.cpu_count()} threads; medians")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        from kerasfer.files import atomic_write

        atomic_write(options.json, (json.dumps({"processor": processor(), "rows": rows}, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    run_app(main)

"""What photos by the million cost: `benchmark.py ray` prints what this measures.

Wall time means little on a machine that does other work too, so processors' time stands beside it: that of every
process of the cluster (workers, Ray's own, the driver), and that of the plain loop, in the same run and on the same
photos, by turns.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

TICKS = os.sysconf("SC_CLK_TCK")

_LOOP = """
import json, os, sys, time
sys.path.insert(0, {root!r})
os.sched_setaffinity(0, {processors!r})
import cv2
cv2.setNumThreads(1)
from kerasfer import lite
from kerasfer.recognition import FaceClassifier, recognize_each
from kerasfer.rows import face_row, photo_rows
photos = json.load(open({listed!r}))
classifier = FaceClassifier(str(lite.recognizer_file({model!r})))
rows = []
def loop(paths):
    for result in recognize_each(paths, classifier, "quick", workers=1):
        rows.extend(photo_rows(result.path, result.error, [face_row(face) for face in result.predictions]))
loop(photos[:20])
rows.clear()
began, worked = time.perf_counter(), time.process_time()
loop(photos)
print(json.dumps([time.perf_counter() - began, time.process_time() - worked, len(rows)]))
"""


def copies(folder: Path, count: int) -> list[str]:
    """Photos of 384 x 384 pixels with one face, no two the same."""
    from kerasfer import images

    photo = images.read(ROOT / "kerasfer" / "astronaut.jpg")[:384, 40:424]
    paths = []
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode(np.roll(photo, number % 40, 1), ".jpg") + number.to_bytes(4, "big"))
        paths.append(str(path))
    return paths


def plain_loop(paths: list[str], model: str, processes: int) -> dict[str, float]:
    """`recognize_each` in processes of one processor each, which share the photos."""
    places = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number in range(processes):
            listed = Path(folder) / f"{number}.json"
            listed.write_text(json.dumps(paths[number::processes]))
            told = {"root": str(ROOT), "processors": [places[number % len(places)]], "listed": str(listed)}
            code = _LOOP.format(model=model, **told)
            command = [sys.executable, "-c", code]
            running.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
        told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    return {
        "photos/s": round(len(paths) / max(seconds for seconds, _, _ in told), 1),
        "processor ms/photo": round(1000 * sum(worked for _, worked, _ in told) / len(paths), 2),
    }


# -- processes ---------------------------------------------------------------------------------------------------------


def processor_seconds(number: int) -> float:
    """Time that processors worked for a process so far."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def memory_of(number: int) -> float:
    """Megabytes that a process has to itself, plus its share of what it has in common with others."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0


class Watched:
    """The processes of a cluster on this machine, this one among them."""

    def __init__(self) -> None:
        from ray_kills import processes_below

        self._below = processes_below
        self._before = self._times()

    def _times(self) -> dict[int, tuple[str, float]]:
        found = {number: (line, processor_seconds(number)) for number, line in self._below(os.getpid()).items()}
        return found | {os.getpid(): ("driver", processor_seconds(os.getpid()))}

    def workers(self) -> list[int]:
        """Numbers of the actors' processes."""
        return [number for number, (line, _) in self._times().items() if "ray::" in line and "Map" in line]

    def again(self) -> None:
        """Counts from now on."""
        self._before = self._times()

    def seconds(self) -> tuple[float, float]:
        """Time that processors worked since: for the actors, and for all processes together."""
        actors = others = 0.0
        for number, (line, now) in self._times().items():
            worked = now - self._before.get(number, ("", 0.0))[1]
            if "ray::" in line and "Map" in line:
                actors += worked
            else:
                others += worked
        return actors, actors + others


def on_ray(folder: Path, model: str, workers: int, shard_size: int, output: Path) -> dict[str, Any]:
    """`recognize_many`, measured from the moment when every actor has its model to the end."""
    from kerasfer.ray import Progress, recognize_many

    shutil.rmtree(output, ignore_errors=True)
    watched: Watched | None = None
    began, first = 0.0, 0
    last: tuple[float, int, float, float] = (0.0, 0, 0.0, 0.0)
    memory: list[float] = []
    start_memory = driver_start = 0.0

    def show(progress: Progress) -> None:
        nonlocal watched, began, first, last, start_memory, driver_start
        if progress.done < 2 * workers:
            return
        if watched is None:
            watched = Watched()
            began, first = time.perf_counter(), progress.counts.photos
            start_memory = max(map(memory_of, watched.workers()), default=0.0)
            driver_start = memory_of(os.getpid())
            return
        last = (time.perf_counter() - began, progress.counts.photos - first, *watched.seconds())
        memory.append(max(map(memory_of, watched.workers()), default=0.0))

    report = recognize_many(
        str(folder),
        str(output),
        model,
        "quick",
        use_lite=True,
        shard_size=shard_size,
        workers=workers,
        show=show,
    )
    seconds, photos, actors, everything = last
    size = sum(path.stat().st_size for path in output.glob("*.parquet"))
    return {
        "photos/s": round(photos / seconds, 1),
        "processor ms/photo": round(1000 * actors / photos, 2),
        "with Ray's own ms": round(1000 * everything / photos, 2),
        "MB a worker at first": round(start_memory),
        "MB a worker": round(memory[-1]),
        "most MB a worker": round(max(memory)),
        "MB driver at first": round(driver_start),
        "MB driver": round(memory_of(os.getpid())),
        "photos": report.counts.photos,
        "result bytes/photo": round(size / report.counts.photos, 1),
    }


def speed_rows(model: str, photos: int, turns: int) -> Iterator[dict[str, Any]]:
    """The plain loop and Ray on one and on two processors, by turns; medians."""
    with tempfile.TemporaryDirectory() as aside:
        paths = copies(Path(aside) / "photos", photos)
        size = statistics.mean(os.path.getsize(path) for path in paths)
        for workers in (1, 2):
            plain, bulk = [], []
            for _ in range(turns):
                plain.append(plain_loop(paths, model, workers))
                bulk.append(on_ray(Path(aside) / "photos", model, workers, photos // 10, Path(aside) / "out"))
            known = {"processors": workers, "photos": photos, "runs": turns, "bytes/photo": round(size)}
            for what, found in (("plain loop", plain), ("recognize-many", bulk)):
                middle = {key: round(statistics.median(each[key] for each in found), 2) for key in found[0]}
                yield {"what": what, **known, **middle, "photos": photos}


def growth_row(model: str, few: int, times: int) -> dict[str, Any]:
    """Memory of a worker and of the driver after a few photos, and after many times as many, in one run."""
    with tempfile.TemporaryDirectory() as aside:
        copies(Path(aside) / "photos", few * times)
        found = on_ray(Path(aside) / "photos", model, 1, few // 2, Path(aside) / "out")
    names = ("MB a worker at first", "MB a worker", "most MB a worker", "MB driver at first", "MB driver")
    return {"what": f"growth from {few} to {few * times} photos", **{name: found[name] for name in names}, "runs": 1}


_PLAN = """
import collections, json, sys, time
sys.path.insert(0, {root!r})
from kerasfer.ray.places import Folder
from kerasfer.ray.plan import write_plan
from kerasfer.ray.sources import PHOTO, Entry
import pyarrow.parquet
entries = (Entry(PHOTO, f"s3://bucket/photos/{{n // 1000:07}}/{{n:011}}.jpg", 100000) for n in range({count}))
def most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = most()
began = time.process_time()
write_plan(Folder({folder!r}), entries, 1000, {{}}, lambda videos: ["path"], collections.Counter())
worked = time.process_time() - began
print(json.dumps([worked, (most() - before) / 1000]))
"""


def plan_rows(count: int) -> Iterator[dict[str, Any]]:
    """Time, memory and bytes of the list of shards, for two lengths, and of listing files on this disk."""
    for number in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder:
            code = _PLAN.format(root=str(ROOT), folder=folder, count=number)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            worked, memory = json.loads(done.stdout.splitlines()[-1])
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        yield {
            "what": f"list of {number} photos",
            "paths": number,
            "processor us/path": round(1e6 * worked / number, 2),
            "MB more": round(memory, 1),
            "bytes/path": round(size / number, 2),
            "runs": 1,
        }


# -- decoders ----------------------------------------------------------------------------------------------------------


def large_photo(width: int = 4000, height: int = 3000) -> bytes:
    """A JPEG of 12 megapixels, quality 90, with two faces and grain, as a camera's."""
    from PIL import Image

    from kerasfer import images

    face = images.read(ROOT / "kerasfer" / "astronaut.jpg")[:384, 40:424]
    chance = np.random.default_rng(0)
    photo = np.array(Image.fromarray(face).resize((width, height), Image.Resampling.BICUBIC))
    photo = (0.3 * photo + 80).astype(np.uint8)
    for left, top, side in ((500, 900, 900), (2400, 700, 1200)):
        photo[top : top + side, left : left + side] = images.resize(face, side)
    grain = chance.normal(0, 4, photo.shape[:2])[:, :, None]
    noisy = np.clip(photo + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def worked_ms(function: Callable[[], Any], runs: int) -> float:
    """Median of the processor's milliseconds of a call."""
    function()
    times = []
    for _ in range(runs):
        began = time.process_time()
        function()
        times.append(1000 * (time.process_time() - began))
    return round(statistics.median(times), 1)


def decoder_rows(model: str, runs: int) -> list[dict[str, Any]]:
    """Reading a 12-megapixel JPEG whole and at a quarter, by three libraries, and recognizing with either."""
    import cv2
    from PIL import Image

    from kerasfer import images, lite
    from kerasfer.detection import detect
    from kerasfer.faces import Box
    from kerasfer.recognition import FaceClassifier

    cv2.setNumThreads(1)
    content = large_photo()
    packed = np.frombuffer(content, np.uint8)

    def pillow(factor: int) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (image.width // factor, image.height // factor))
            return np.asarray(image.convert("RGB"))

    def opencv(factor: int) -> np.ndarray:
        flag = cv2.IMREAD_COLOR if factor == 1 else cv2.IMREAD_REDUCED_COLOR_4
        return cv2.cvtColor(cv2.imdecode(packed, flag), cv2.COLOR_BGR2RGB)

    decoders: dict[str, Callable[[int], np.ndarray]] = {"Pillow": pillow, "OpenCV": opencv}
    turbo = None
    with contextlib.suppress(ImportError, OSError, RuntimeError, AttributeError):
        import turbojpeg

        turbo = turbojpeg.TurboJPEG()
        decoders["PyTurboJPEG"] = lambda factor: turbo.decode(
            content, turbojpeg.TJPF_RGB, scaling_factor=(1, factor) if factor > 1 else None
        )
    rows: list[dict[str, Any]] = []
    for name, decode in decoders.items():
        for factor in (1, 4):
            height, width = decode(factor).shape[:2]
            ms = worked_ms(lambda decode=decode, factor=factor: decode(factor), runs)
            rows.append(
                {"what": f"{name}, 1/{factor}", "pixels": f"{width}x{height}", "processor ms": ms, "runs": runs}
            )
    if turbo is None:
        rows.append({"what": "PyTurboJPEG", "skipped": "PyTurboJPEG or libturbojpeg is not installed", "runs": 0})
    rows.append(
        {"what": "kerasfer.images.read", "pixels": "4000x3000", "runs": runs}
        | {"processor ms": worked_ms(lambda: images.read(content), runs)}
    )
    # The whole way, by Pillow, which every installation has.
    classifier = FaceClassifier(str(lite.recognizer_file(model)))
    full, quarter = images.read(content), pillow(4)

    def scaled(face: Any) -> Any:
        import dataclasses

        box = Box(*(4 * side for side in dataclasses.astuple(face.box)))
        marks = None if face.landmarks is None else type(face.landmarks)(4 * face.landmarks.points)
        points = None if face.points is None else 4 * face.points
        return dataclasses.replace(face, box=box, landmarks=marks, points=points)

    whole_faces = detect(full, "quick")
    small_faces = [scaled(face) for face in detect(quarter, "quick")]
    stages = {
        "detect in the whole": lambda: detect(full, "quick"),
        "detect in the quarter": lambda: detect(quarter, "quick"),
        "align and recognize, cut from the whole": lambda: classifier(
            whole_faces, [classifier.aligned(full, face) for face in whole_faces]
        ),
    }
    for what, function in stages.items():
        rows.append({"what": what, "pixels": "", "processor ms": worked_ms(function, runs), "runs": runs})
    answers = [
        classifier(faces, [classifier.aligned(full, face) for face in faces]) for faces in (whole_faces, small_faces)
    ]
    overlaps = [
        one.box.intersection_over_union(other.box) for one, other in zip(whole_faces, small_faces, strict=False)
    ]
    differences = [
        max(abs(one.probabilities[label] - other.probabilities[label]) for label in one.probabilities)
        for one, other in zip(*answers, strict=False)
    ]
    rows.append(
        {
            "what": "faces found in the quarter beside those of the whole",
            "faces": f"{len(small_faces)} of {len(whole_faces)}",
            "least overlap of boxes": round(min(overlaps, default=0.0), 3),
            "largest difference of a probability": round(max(differences, default=1.0), 4),
            "bytes": len(content),
            "runs": 1,
        }
    )
    return rows


def stage_rows(model: str, runs: int) -> list[dict[str, Any]]:
    """Processor's milliseconds of each stage of a photo of 384 x 384 pixels with one face."""
    import cv2

    from kerasfer import images, lite
    from kerasfer.detection import align, detect
    from kerasfer.recognition import FaceClassifier

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = copies(Path(folder), 1)
        classifier = FaceClassifier(str(lite.recognizer_file(model)))
        photo = images.read(path)
        faces = detect(photo, "quick")
        aligned = [classifier.aligned(photo, face) for face in faces]
        stages = {
            "read": lambda: Path(path).read_bytes(),
            "decode": lambda: images.read(path),
            "detect": lambda: detect(photo, "quick", landmarks=False, pose=False),
            "detect with landmarks": lambda: detect(photo, "quick"),
            "align": lambda: [align(photo, face, 64) for face in faces],
            "recognize": lambda: classifier(faces, aligned),
        }

        def ten(function: Callable[[], Any]) -> Callable[[], None]:
            return lambda: [function() for _ in range(10)] and None

        return [
            {"what": f"stage: {what}", "processor ms": round(worked_ms(ten(function), runs) / 10, 3), "runs": 10 * runs}
            for what, function in stages.items()
        ]


def cost_rows(model: str, photos: int) -> list[dict[str, Any]]:
    """All that `benchmark.py ray` measures.

    Args:
        model: whose TFLite file recognizes.
        photos: of each measurement of speed.
    """
    from kerasfer.ray.run import cluster

    rows = [*stage_rows(model, 10), *decoder_rows(model, 7), *plan_rows(1_000_000)]
    # One cluster for all: as often as not, a busy machine takes longer to start one than Ray waits.
    os.environ |= {"RAY_worker_niceness": "0", "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    with cluster(None, 2):
        rows += speed_rows(model, photos, 2)
        rows.append(growth_row(model, 30, 100))
    busy = os.getloadavg()[0]
    rows.append({"what": "load of the machine at the end", "processes": round(busy, 1), "runs": 1})
    return rows

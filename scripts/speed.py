"""How quick recognition is: on a device, beside a peer, in a video. `benchmark.py` prints what this measures.

Everything is timed in interpreters of its own, on as many processors as it is given threads. Beside the time on the
clock stands the processors' time, which tells the cost on a machine that is busy with other things, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

_COMMON = """
import json, os, resource, statistics, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{threads}])

def memory():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

def times(function, photos, runs):
    for photo in photos[:3]:
        function(photo)
    taken, worked = [], []
    for number in range(runs):
        began, busy = time.perf_counter(), time.process_time()
        function(photos[number % len(photos)])
        taken.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - busy))
    return {{
        "ms/photo": round(statistics.median(taken), 2),
        "fastest ms": round(min(taken), 2),
        "processor ms": round(statistics.median(worked), 2),
        "MB": memory(),
    }}
"""

_DEVICE = (
    _COMMON
    + """
for module in ("kerasfer", "tensorflow", "mediapipe", "cv2"):
    sys.modules[module] = None
sys.path.insert(0, {folder!r})
began = time.perf_counter()
import kerasfer_lite
took = time.perf_counter() - began
import numpy as np
pipeline = kerasfer_lite.load(threads={threads}, landmarks={landmarks})
photo = np.load({photo!r})
faces = len(pipeline.recognize(photo))
taken = times(pipeline.recognize, [photo], {runs})
print(json.dumps({{"faces": faces, "import s": round(took, 3), **taken}}))
"""
)

_OURS = (
    _COMMON
    + """
sys.path.insert(0, {root!r})
import numpy as np
photos = [photo for photo in np.load({photo!r}).values()]
began = time.perf_counter()
import kerasfer
answer = lambda photo: kerasfer.recognize(photo, {model!r}, detector={detector!r})
answer(photos[0])
took = time.perf_counter() - began
found = sum(bool(answer(photo)) for photo in photos)
taken = times(answer, photos, {runs})
print(json.dumps({{"found": found, "first photo s": round(took, 2), **taken}}))
"""
)

_FER = (
    _COMMON
    + """
import numpy as np
photos = [np.ascontiguousarray(photo[:, :, ::-1]) for photo in np.load({photo!r}).values()]
began = time.perf_counter()
try:
    from fer.fer import FER
except ImportError as error:
    print(json.dumps({{"skipped": " ".join(str(error).split())}}))
    sys.exit()
answer = FER().detect_emotions
answer(photos[0])
took = time.perf_counter() - began
found = sum(bool(answer(photo)) for photo in photos)
taken = times(answer, photos, {runs})
print(json.dumps({{"found": found, "first photo s": round(took, 2), **taken}}))
"""
)


def _measured(code: str, python: str = sys.executable, **values: Any) -> dict[str, Any]:
    """What a piece of code prints as its last line, run by an interpreter of its own."""
    threads = str(values["threads"])
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), threads)
    environment = {**os.environ, **pinned, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-c", code.format(**values)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ValueError(f"{python}: {(result.stderr.strip() or 'ended without a message').splitlines()[-1]}")
    return json.loads(result.stdout.splitlines()[-1])


def _astronaut() -> np.ndarray:
    """A photo of 384 x 384 pixels with one face."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[:384, 40:424])


def device_rows(model: str, python: str, runs: int) -> list[dict[str, Any]]:
    """Time and memory of a bundle, photo to expression.

    Args:
        model: as `lite.recognizer_file` takes it.
        python: the interpreter to run it.
        runs: photos that are timed; of the photo with twenty faces a tenth.
    """
    import skimage.data

    from kerasfer.bundle import write_bundle

    twenty = np.tile(skimage.data.astronaut()[20:220, 120:340], (4, 5, 1))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(model, folder)
        for name, photo, count in (("one", _astronaut(), runs), ("twenty", twenty, max(1, runs // 10))):
            path = str(Path(folder) / f"{name}.npy")
            np.save(path, photo)
            for threads in (1, 2):
                for landmarks in (True, False):
                    what = f"bundle of {model}, {photo.shape[1]}x{photo.shape[0]}"
                    row = {"what": what, "landmarks": landmarks, "threads": threads, "runs": count}
                    values = {"threads": threads, "landmarks": landmarks, "runs": count, "photo": path}
                    rows.append(row | _measured(_DEVICE, python, folder=folder, **values))
    return rows


def photo_rows(model: str, python: str, runs: int, folder: str | None) -> list[dict[str, Any]]:
    """`kerasfer.recognize` with a model's TFLite file and with Keras, and the package fer, on the same photos.

    Args:
        model: name of a bundled model, or a folder.
        python: an interpreter that has fer.
        runs: photos that are timed.
        folder: with photos; None: one photo.
    """
    from kerasfer import images, lite
    from kerasfer.recognition import find_photos

    photos = [_astronaut()] if folder is None else [images.read(path) for path in find_photos(folder)[:200]]
    rows = []
    with tempfile.TemporaryDirectory() as aside:
        path = str(Path(aside) / "photos.npz")
        np.savez(path, *photos)
        values = {"threads": 1, "photo": path, "runs": runs, "root": str(ROOT)}
        file = str(lite.recognizer_file(model))
        for name, used in ((Path(file).name, file), ("Keras", model)):
            for detector in ("quick", "mediapipe"):
                row = {"what": f"kerasfer {model} {name}", "detector": detector, "photos": len(photos), "threads": 1}
                answer = _measured(_OURS, model=used, detector=detector, **values)
                rows.append(row | {"runs": runs} | answer)
        row = {"what": "fer", "detector": "its own", "photos": len(photos), "threads": 1, "runs": runs}
        rows.append(row | _measured(_FER, python, **values))
    return rows


_VIDEO = (
    _COMMON
    + """
sys.path.insert(0, {root!r})
import contextlib
import cv2
cv2.setNumThreads(1)
from kerasfer import tracking
from kerasfer.frames import Frame
from kerasfer.video import VideoRecognizer, VideoWriter, mark, open_video
if not {close!r}:
    tracking.CLOSE_EVERY = tracking.CLOSE_APART = float("inf")
recognizer = VideoRecognizer({model!r})
writer = VideoWriter({target!r}, 30) if {target!r} else None
count, people = 0, set()
with open_video({source!r}) as video:
    began, busy = time.perf_counter(), time.process_time()
    for frame in recognizer.recognize(video):
        count += 1
        people |= {{face.person for face in frame.faces}}
        if writer:
            writer.write(Frame(frame.number, frame.time, mark(frame.image, frame.faces)))
    if writer:
        writer.close()
    took, worked = time.perf_counter() - began, time.process_time() - busy
rates = {{"frames/s": round(count / took, 1), "processor ms/frame": round(1000 * worked / count, 1)}}
print(json.dumps({{"frames": count, "people": len(people), **rates, "MB": memory()}}))
"""
)


def video_rows(model: str, frames: int) -> list[dict[str, Any]]:
    """Frames/s of a 720p video in which two faces move; also without the close looks after the first.

    Args:
        model: as for `VideoRecognizer`.
        frames: length of the video.
    """
    from kerasfer.video import VideoWriter

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "clip.mp4")
        writer = VideoWriter(source, 30)
        for number in range(frames):
            writer.write(two_faces(number))
        writer.close()
        for threads in (1, 2):
            for target, close in (("", True), ("", False), (str(Path(folder) / "marked.mp4"), True)):
                what = f"video 1280x720, {model}" + (", marked" if target else "" if close else ", without close looks")
                values = {"threads": threads, "root": str(ROOT), "model": model, "source": source, "target": target}
                values["close"] = close
                rows.append({"what": what, "processors": threads, "runs": 1} | _measured(_VIDEO, **values))
    return rows


def folder_rows(model: str, photos: int) -> list[dict[str, Any]]:
    """Photos/s and memory of apps/recognize.py on a folder of copies of one photo, every hundredth of them broken.

    Args:
        model: as `lite.recognizer_file` takes it.
        photos: how many.

    Raises:
        ValueError: a photo has no row, or a broken one no reason.
    """
    from kerasfer import images, lite

    with tempfile.TemporaryDirectory() as aside:
        folder, rows = Path(aside) / "photos", Path(aside) / "rows.jsonl"
        folder.mkdir()
        content = images.encode(_astronaut(), ".jpg")
        broken = [number for number in range(photos) if number % 100 == 50]
        for number in range(photos):
            kept = (0, len(content) // 2)[number % 200 < 100] if number in broken else len(content)
            (folder / f"{number:06}.jpg").write_bytes(content[:kept])
        files = ("--model", str(lite.recognizer_file(model)), "--output", "none", "--jsonl", str(rows))
        command = [sys.executable, str(ROOT / "apps" / "recognize.py"), str(folder), "--detector", "quick", *files]
        began, memory = time.perf_counter(), [0.0]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                sizes = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmRSS")]
                memory += [int(size) / 1000 for size in sizes]
                time.sleep(0.2)
        took = time.perf_counter() - began
        found = [json.loads(line) for line in rows.read_text().splitlines()]
    failed = [number for number, row in enumerate(found) if row["error"]]
    if len(found) != photos or failed != broken or not all(row["faces"] or row["error"] for row in found):
        raise ValueError(
            f"{len(found)} rows and {len(failed)} reasons for {photos} photos, {len(broken)} of them broken"
        )
    return [
        {
            "what": f"folder of {photos} photos, {len(broken)} broken, {model}",
            "photos/s": round(photos / took, 1),
            "MB after a fifth": round(max(memory[: len(memory) // 5])),
            "MB": round(max(memory)),
            "runs": 1,
        }
    ]


def two_faces(number: int) -> np.ndarray:
    """A frame of a 720p video: one face goes from side to side, another up and down."""
    import skimage.data

    from kerasfer import images

    face = skimage.data.astronaut()[10:270, 90:350]
    frame = np.full((720, 1280, 3), 90, np.uint8)
    left = 60 + round(150 * (1 + np.sin(number / 40)))
    frame[230:490, left : left + 260] = face
    top = 150 + round(60 * np.sin(number / 15))
    frame[top : top + 200, 900:1100] = images.resize(face, 200)[:, ::-1]
    return frame

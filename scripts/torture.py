#!/usr/bin/env python3
"""Attacks kerasfer's files, trainings and apps at random, and counts what does not hold.

    python scripts/torture.py --seed 1 --minutes 60 --folder runs/torture --page docs/torture.md
    python scripts/torture.py --seed 2 --minutes 5 --only photos zips

Each campaign makes one attempt after the other, all of them from the seed and the attempt's number, until the time is
over; the campaigns take turns. Run again with the same folder, they resume. What counts as a failure: an
answer that is wrong without a message, an error of more than one line, a crash, a hang, more than a gigabyte of memory,
and work that is lost.

Exit code 0: everything held; 1: something did not; 2: bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import dataclasses
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))

from common import run_app  # noqa: E402

TFLITE = ROOT / "saved_models" / "edge" / "model_int8.tflite"
LONGEST = 120.0
"""Seconds after which an attempt counts as hanging."""

MEMORY = 1 << 30
"""Bytes that an attempt may take."""


class Failure(Exception):
    """What an attempt found wrong."""


# -- attempts inside one process ---------------------------------------------------------------------------------------


def one_line(error: BaseException) -> None:
    """Raises `Failure` if an error's message is not one that a person can use."""
    text = str(error)
    if not text or "\n" in text or len(text) > 2000:
        raise Failure(f"{type(error).__name__} of {len(text)} characters: {text[:200]!r}")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content with bytes changed, cut off, doubled or left out."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        place = chance.randrange(len(changed)) if changed else 0
        kind = chance.randrange(6)
        if kind <= 2 and changed:
            changed[place] = chance.choice(
                (0, 255, 127, changed[place] ^ (1 << chance.randrange(8)), chance.randrange(256))
            )
        elif kind == 3:
            del changed[place : place + chance.choice((1, 4, 100, 10_000))]
        elif kind == 4:
            changed[place:place] = changed[place : place + chance.choice((1, 4, 100))]
        elif chance.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def flipped(path: Path, chance: random.Random) -> None:
    """Changes one bit of a file."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def astronaut() -> Any:
    from kerasfer import images

    return images.read(ROOT / "kerasfer" / "astronaut.jpg")


def photos(chance: random.Random, folder: Path) -> None:
    """mutated photos of seven formats are decoded or refused"""
    import numpy as np
    from PIL import Image

    from kerasfer import images

    side = chance.choice((16, 64, 200))
    buffer = io.BytesIO()
    picture = Image.fromarray(astronaut()).resize((side, side))
    picture.save(buffer, chance.choice(("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")))
    path = folder / f"photo{chance.choice(('.jpg', '.png', '.bmp', ''))}"
    path.write_bytes(mutated(buffer.getvalue(), chance))
    try:
        image = images.read(path)
    except images.ImageError as error:
        one_line(error)
        return
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Failure(f"an image of {image.dtype} {image.shape}")


def _saved(folder: Path) -> Path:
    """A small saved model, a run with a checkpoint, and a TFLite file, made once."""
    place = folder.parent / "small"
    if not (place / "edge").is_dir():
        from kerasfer import training, zoo

        model = zoo.create("dcganfer", "tiny", seed=1)
        zoo.save(model, place / "saved")
        training.write_run(place / "run", "dcganfer", model)
        training.Checkpoints(place / "run").save(model, training.Place(1, 0))
        (place / "aside").mkdir(exist_ok=True)
        for path in (TFLITE, TFLITE.with_name("parity.json")):
            shutil.copy(path, place / "aside")
        (place / "aside").rename(place / "edge")
    return place


def weights(chance: random.Random, folder: Path) -> None:
    """one flipped bit of weights, a checkpoint, config.json or a TFLite file is refused"""
    from kerasfer import lite, zoo

    name, file = chance.choice(
        (
            ("saved", "recognizer.safetensors"),
            ("saved", "config.json"),
            ("run", "checkpoints/00001-0000000/state.safetensors"),
            ("run", "config.json"),
            ("edge", TFLITE.name),
        )
    )
    shutil.copytree(_saved(folder) / name, folder / name)
    flipped(folder / name / file, chance)
    try:
        lite.Recognizer(folder / name / file) if name == "edge" else zoo.load(folder / name)
    except ValueError as error:
        one_line(error)
        return
    raise Failure(f"{name}/{file} was taken with a flipped bit")


HOSTILE: tuple[Any, ...] = (None, True, -1, 0, 1, 2, 10**4, 10**6, 10**9, 10**30, -0.5, 1e308, float("nan"), "", "x")
HOSTILE += ("x" * 10**5, [], [1], [10**9] * 5, ["a"] * 10**4, {}, {"a": 1}, [[[]]])


def configs(chance: random.Random, folder: Path) -> None:
    """a config.json with other values, types or sizes is refused, or, if it never had a digest, means what it says"""
    from kerasfer import zoo

    shutil.copytree(_saved(folder) / "saved", folder / "saved")
    path = folder / "saved" / "config.json"
    description = json.loads(path.read_text())
    as_saved = json.dumps(description)
    if has_no_digest := chance.random() < 0.7:
        description.pop("sha256")
    for _ in range(chance.choice((1, 1, 3))):
        owner = chance.choice((description, description["config"], description["config"], description["image"]))
        if owner and isinstance(owner, dict):
            owner[chance.choice(list(owner))] = copy.deepcopy(chance.choice(HOSTILE))
        if not all(isinstance(description.get(key), dict) for key in ("config", "image")):
            break
    text = json.dumps(description)
    if chance.random() < 0.1:
        text = '{"a": ' * chance.choice((10, 10**5)) + text
    text = text if chance.random() < 0.8 else mutated(text.encode(), chance).decode("latin-1")
    path.write_text(text)
    try:
        zoo.load(folder / "saved")
    except ValueError as error:
        one_line(error)
        return
    if not has_no_digest and json.dumps(json.loads(text)) != as_saved:
        raise Failure("a config.json was taken that is not as it was saved")


def _data_set(folder: Path) -> dict[str, bytes]:
    """The files of a small data set: images by class, and a CSV file of all columns."""
    import numpy as np

    from kerasfer import images

    generator = np.random.default_rng(0)
    files = {
        f"{label}/{number}.png": images.encode(generator.integers(0, 256, (24, 24), np.uint8))
        for label in ("happiness", "anger")
        for number in range(3)
    }
    lines = ["path,expression,identity,split,fold,frame,votes,box,pose"]
    for number, name in enumerate(files):
        votes = " ".join(str(generator.integers(9)) for _ in range(8))
        lines.append(f"{name},{name.split('/')[0]},p{number},train,{number},{number},{votes},1 2 20 22,0 1 2")
    return {**files, "labels.csv": ("\n".join(lines) + "\n").encode()}


CELLS = ("", "-1", "nan", "inf", "1e400", "9" * 30, "9" * 5000, "../x.png", "/etc/passwd", "x" * 5000, "x" * 140_000)
CELLS += ('"', '"a\nb', "\0", "0 0 20000 20000", "1 2", "-1 0 0 0 0 0 0 0", "nan 0 0 0 0 0 0 0", "é", "\ud800")


def tables(chance: random.Random, folder: Path) -> None:
    """a CSV file with other cells or bytes is read row by row, or refused with its line"""
    import numpy as np

    from kerasfer import datasets
    from kerasfer.datasets.reading import read_face

    files = _data_set(folder)
    (folder.parent / "x.png").write_bytes(files["anger/0.png"])
    rows = [line.split(",") for line in files["labels.csv"].decode().splitlines()]
    for _ in range(chance.choice((0, 1, 3))):
        row = chance.randrange(len(rows))
        rows[row][chance.randrange(len(rows[row]))] = chance.choice(CELLS)
    content = "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")
    files["labels.csv"] = mutated(content, chance) if chance.random() < 0.5 else content
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    try:
        table = datasets.load("csv", folder, strict=chance.random() < 0.5)
        for row in range(len(table)):
            if "votes" in table and not (table["votes"][row] >= 0).all():
                raise Failure(f"votes {table['votes'][row]}")
            if not (folder / str(table["path"][row])).resolve().is_relative_to(folder.resolve()):
                raise Failure(f"read outside: {table['path'][row]!r}")
            with contextlib.suppress(ValueError):
                assert read_face(table, row).dtype == np.uint8
    except ValueError as error:
        one_line(error)


def zips(chance: random.Random, folder: Path) -> None:
    """a mutated zip is refused, or gives each file as it was"""
    from kerasfer import datasets
    from kerasfer.datasets.base import ZipSource

    files = _data_set(folder)
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    if chance.random() < 0.5:
        entry = content.find(b"PK\x01\x02", chance.randrange(content.index(b"PK\x01\x02"), len(content)))
        if entry >= 0:
            place = entry + chance.choice((10, 16, 20, 24, 28, 30, 42))
            content[place : place + 4] = chance.getrandbits(32).to_bytes(4, "little")
        path.write_bytes(content)
    else:
        path.write_bytes(mutated(bytes(content), chance))
    known = set(files.values())
    try:
        source = ZipSource(path)
        for name in source.names():
            try:
                read = source.read(name)
            except ValueError as error:
                one_line(error)
                continue
            if read not in known:
                raise Failure(f"{name!r} holds what nobody wrote")
        datasets.load("folder", path, strict=chance.random() < 0.5)
    except ValueError as error:
        one_line(error)


def names(chance: random.Random, folder: Path) -> None:
    """names of any bytes are in CSV, JSON and JSON Lines as they are, and print nothing that a terminal obeys"""
    from kerasfer.cli import tables as results
    from kerasfer.files import name_of_text, printable, text_of_name

    raw = bytes(chance.choice((*range(1, 47), *range(48, 256))) for _ in range(chance.randint(1, 60)))
    name = os.fsdecode(raw)
    shown = printable(name)
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown):
        raise Failure(f"{shown!r} has a control character")
    shown.encode()
    if name_of_text(text_of_name(name)) != name:
        raise Failure(f"{raw!r} is not what its text says")
    asked = argparse.Namespace(csv=str(folder / "a.csv"), jsonl=str(folder / "a.jsonl"), json=str(folder / "a.json"))
    asked.parquet = None
    written = results.Tables(asked, ["path", "face"])
    written.add([{"path": name, "face": 1}], {"path": name})
    written.close(lambda: [{"path": name}], lambda: [{"path": name}])
    with open(asked.csv, encoding="utf-8", errors="surrogateescape", newline="") as file:
        found = [row["path"] for row in csv.DictReader(file)]
    found += [json.loads(line)["path"] for line in Path(asked.jsonl).read_text("utf-8").splitlines()]
    found += [entry["path"] for entry in json.loads(Path(asked.json).read_text("utf-8"))]
    if found != [name] * 3:
        raise Failure(f"{raw!r} came back as {found!r}")


def full_disk(chance: random.Random, folder: Path) -> None:
    """on a full disk, or at a limit of file sizes, an earlier file stays, and one line says what helps"""
    import numpy as np

    from kerasfer import images, training, zoo
    from kerasfer.video import VideoWriter

    model = zoo.create("dcganfer", "tiny", seed=1)

    def video(place: Path) -> None:
        writer = VideoWriter(place / "v.mp4", 10)
        try:
            for number in range(30):
                noise = np.random.default_rng(number).integers(0, 256, (120, 160, 3), np.uint8)
                writer.write(noise)
        except BaseException:
            writer.close(keep=False)
            raise
        writer.close()

    writers: dict[str, Callable[[Path], Any]] = {
        "saved": lambda place: zoo.save(model, place / "saved"),
        "checkpoints": lambda place: training.Checkpoints(place).save(model, training.Place(2, 0)),
        "a.png": lambda place: images.write(place / "a.png", astronaut()),
        "v.mp4": video,
    }
    name = chance.choice(list(writers))
    place = folder / "place"
    place.mkdir()
    with _small(place, chance) as filled:
        (place / name).mkdir() if "." not in name else None
        before = (place / name / "before") if "." not in name else place / name
        if name == "saved":
            before = place / name / "README.md"
        if name == "checkpoints":
            before = place / name / "00001-0000000" / "state.safetensors"
            before.parent.mkdir()
        before.write_bytes(b"good")
        filled()
        try:
            writers[name](place)
        except ValueError as error:
            one_line(error)
            if "cannot be written" not in str(error):
                raise Failure(f"{name}: {error}") from error
            if before.read_bytes() != b"good":
                raise Failure(f"{name}: the earlier one is gone") from error
            return
        _require_complete(place / name)


def _require_complete(path: Path) -> None:
    from kerasfer import images, zoo
    from kerasfer.video import open_video
    from kerasfer.weights import read_state

    if path.name == "saved":
        zoo.load(path)
    elif path.name == "checkpoints":
        read_state(path / "00002-0000000" / "state.safetensors")
    elif path.suffix == ".png":
        images.read(path)
    else:
        with open_video(path) as video:
            if len(list(video)) != 30:
                raise Failure("a marked video lacks frames")


@contextlib.contextmanager
def _small(place: Path, chance: random.Random) -> Iterator[Callable[[], None]]:
    """A place where little can be written: a small disk if this process may mount one, else a limit of file sizes."""
    size = chance.choice((16, 64, 200, 500, 1000, 4000)) << 10
    if os.environ.get("TORTURE_MOUNTS"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)

        def fill() -> None:
            with (place / "filler").open("wb") as file, contextlib.suppress(OSError):
                state = os.statvfs(place)
                file.write(bytes(max(state.f_bavail * state.f_frsize - size, 0)))

        try:
            yield fill
        finally:
            subprocess.run(["umount", "-l", place], check=False)
    else:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def forks(chance: random.Random, folder: Path) -> None:
    """a forked or spawned process answers as its parent does, before and after the parent's first use"""
    import multiprocessing

    import numpy as np

    from kerasfer import lite

    kind, used = chance.choice(("fork", "spawn")), chance.random() < 0.5
    recognizer = lite.Recognizer(TFLITE, threads=chance.choice((1, 2)))
    face = np.random.default_rng(chance.getrandbits(32)).integers(0, 256, (48, 48), np.uint8)
    expected = recognizer.recognize(face) if used else None
    context = multiprocessing.get_context(kind)
    receiver, sender = context.Pipe(False)
    process = context.Process(target=_answer, args=(sender, recognizer if kind == "fork" else None, face))
    process.start()
    try:
        if not receiver.poll(60):
            raise Failure(f"a process made by {kind} does not answer")
        answer = receiver.recv()
    finally:
        process.kill()
        process.join()
    expected = recognizer.recognize(face) if expected is None else expected
    if not np.array_equal(answer, expected):
        raise Failure(f"a process made by {kind} answers something else")


def _answer(sender: Any, recognizer: Any, face: Any) -> None:
    from kerasfer import lite

    sender.send((recognizer or lite.Recognizer(TFLITE)).recognize(face))


# -- attempts on whole programs ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Ended:
    """How a program ended.

    Attributes:
        code: its exit code; negative: the signal that killed it.
        seconds: how long it ran.
        errors: what it wrote to stderr.
    """

    code: int
    seconds: float
    errors: str


def program(arguments: list[Any], after: float | None = None, number: int = signal.SIGKILL) -> Ended:
    """Runs an app; sends it a signal after so many seconds, if it still runs then."""
    began = time.monotonic()
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    try:
        try:
            errors = process.communicate(timeout=LONGEST * 5 if after is None else after)[1]
        except subprocess.TimeoutExpired as error:
            if after is None:
                raise Failure(f"{Path(arguments[0]).name} hangs") from error
            process.send_signal(number)
            try:
                errors = process.communicate(timeout=LONGEST)[1]
            except subprocess.TimeoutExpired as hang:
                raise Failure(f"{Path(arguments[0]).name} does not end after signal {number}") from hang
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Ended(process.returncode, time.monotonic() - began, errors.decode(errors="replace"))


def require_done(ended: Ended, most: int = 0) -> Ended:
    """Raises `Failure` if a program that nobody stopped did not end well, with an exit code of so much at most."""
    if not 0 <= ended.code <= most:
        raise Failure(f"exit code {ended.code}: {' '.join(ended.errors.split())[-300:]}")
    return ended


def once(place: Path, make: Callable[[Path], float]) -> float:
    """Makes what attempts are compared with, if it is not there yet; gives how long that took."""
    note = place.with_name(f"{place.name}.seconds")
    if not note.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        note.write_text(str(make(place)))
    return float(note.read_text())


def training(chance: random.Random, folder: Path) -> int:
    """train.py, deterministic, of a real small model: killed at random, it ends with the same weights, bit for bit"""
    import numpy as np

    from kerasfer.weights import read_state

    model = chance.choice(("dcganfer", "edge"))

    def command(place: Path) -> list[Any]:
        fields = {"dcganfer": ["epochs=4", "batch_size=32"], "edge": ["epochs=4", "batch_size=32", "teacher_share=0"]}
        changes = [part for field in fields[model] for part in ("--set", field)]
        options = ["--size", "tiny", "--images", 320, "--deterministic", "--quiet", "--output", place / "run"]
        return [ROOT / "apps" / "train.py", "--model", model, *options, *changes]

    whole = folder.parent / f"whole_{model}"
    seconds = once(whole, lambda place: require_done(program(command(place))).seconds)
    kills = 0
    while kills < 4 and program(command(folder), chance.uniform(0.2, 1.1) * seconds).code == -signal.SIGKILL:
        kills += 1
    require_done(program(command(folder)))
    ends = [sorted((place / "run" / "checkpoints").glob("[0-9]*/state.safetensors"))[-1] for place in (whole, folder)]
    (expected, _), (found, _) = map(read_state, ends)
    wrong = [name for name in expected if name not in found or not np.array_equal(expected[name], found[name])]
    if wrong or set(found) != set(expected) or ends[0].parent.name != ends[1].parent.name:
        raise Failure(f"{model}: after {kills} kills {len(wrong)} of {len(expected)} variables differ")
    return kills


def exporting(chance: random.Random, folder: Path) -> int:
    """export.py, killed at random, leaves whole files under their names"""
    from kerasfer import lite

    def command(place: Path) -> list[Any]:
        options = ["--formats", "float32", "float16", "dynamic", "--output", place / "out"]
        return [ROOT / "apps" / "export.py", "--model", _saved(folder) / "saved", *options]

    whole = folder.parent / "whole_export"
    seconds = once(whole, lambda place: require_done(program(command(place)), 1).seconds)
    shutil.copytree(whole / "out", folder / "out")
    kills = int(program(command(folder), chance.uniform(0.3, 1.05) * seconds).code == -signal.SIGKILL)
    for path in (folder / "out").glob("*.tflite"):
        lite.Recognizer(path)
    json.loads((folder / "out" / "parity.json").read_text())
    return kills


def _photos(folder: Path, count: int) -> Path:
    from kerasfer import images

    place = folder.parent / "photos"
    if not place.is_dir():
        aside = folder.parent / "photos_aside"
        aside.mkdir(exist_ok=True)
        for number in range(count):
            left = 4 * number
            images.write(aside / f"{number:03}.png", astronaut()[:, left : left + 320])
        aside.rename(place)
    return place


def _recognize(source: Path, place: Path, *more: Any) -> list[Any]:
    app = [ROOT / "apps" / "recognize.py", source, "--model", TFLITE, "--output", place / "marked"]
    return [*app, "--csv", place / "a.csv", "--jsonl", place / "a.jsonl", *more]


def _require_rows(path: Path, lines: Path) -> None:
    """Raises `Failure` if a table that was cut off has a line that is not whole."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        raise Failure(f"the last line of {path.name} is not whole")
    if path.exists():
        with path.open(newline="") as file:
            widths = {len(row) for row in csv.reader(file)}
        if len(widths) > 1:
            raise Failure(f"{path.name} has lines of {sorted(widths)} cells")
    if lines.exists():
        [json.loads(line) for line in lines.read_text().splitlines()]


def photo_folder(chance: random.Random, folder: Path) -> int:
    """recognize.py on a folder, killed at random, leaves whole lines and photos; run again it does all"""
    from kerasfer import images

    source = _photos(folder, 40)
    whole = folder.parent / "whole_photos"
    seconds = once(whole, lambda place: require_done(program(_recognize(source, place))).seconds)
    kills = int(program(_recognize(source, folder), chance.uniform(0.1, 1.05) * seconds).code == -signal.SIGKILL)
    _require_rows(folder / "a.csv", folder / "a.jsonl")
    for path in (folder / "marked").glob("[!.]*"):
        images.read(path)
    require_done(program(_recognize(source, folder)))
    if (folder / "a.csv").read_bytes() != (whole / "a.csv").read_bytes():
        raise Failure("run again after a kill, the table is another")
    return kills


def stopped_folder(chance: random.Random, folder: Path) -> int:
    """recognize.py on a folder, stopped by SIGTERM or Ctrl-C, leaves every table with what was done"""
    source = _photos(folder, 40)
    whole = folder.parent / "whole_photos"
    seconds = once(whole, lambda place: require_done(program(_recognize(source, place))).seconds)
    number = chance.choice((signal.SIGTERM, signal.SIGINT))
    ended = program(_recognize(source, folder, "--json", folder / "a.json"), chance.uniform(0.3, 1) * seconds, number)
    if ended.code not in (0, 128 + number, -number) or ended.code == -number and (folder / "a.csv").exists():
        raise Failure(f"exit code {ended.code} after signal {number}: {' '.join(ended.errors.split())[-300:]}")
    if not (folder / "a.csv").exists():
        return 1
    _require_rows(folder / "a.csv", folder / "a.jsonl")
    with (folder / "a.csv").open(newline="") as file:
        paths = list(dict.fromkeys(row["path"] for row in csv.DictReader(file)))
    lines = [json.loads(line)["path"] for line in (folder / "a.jsonl").read_text().splitlines()]
    listed = [entry["path"] for entry in json.loads((folder / "a.json").read_text())]
    if not paths == lines == listed:
        raise Failure(f"tables of {len(paths)}, {len(lines)} and {len(listed)} photos")
    return 1


def _clip(folder: Path) -> Path:
    from kerasfer.video import VideoWriter

    path = folder.parent / "clip.mp4"
    if not path.exists():
        writer = VideoWriter(path, 25)
        picture = astronaut()
        for number in range(60):
            writer.write(picture[:384, 2 * number : 2 * number + 320].copy())
        writer.close()
    return path


def video(chance: random.Random, folder: Path) -> int:
    """recognize.py on a video, killed at random and run again, ends with the same table as one that was not"""
    clip = _clip(folder)
    whole = folder.parent / "whole_video"
    seconds = once(whole, lambda place: require_done(program(_recognize(clip, place))).seconds)
    kills = 0
    while kills < 3 and program(_recognize(clip, folder), chance.uniform(0.1, 1) * seconds).code == -signal.SIGKILL:
        kills += 1
        _require_rows(folder / "a.csv", folder / "a.jsonl")
    require_done(program(_recognize(clip, folder)))
    for name in ("a.csv", "a.jsonl"):
        if (folder / name).read_bytes() != (whole / name).read_bytes():
            raise Failure(f"after {kills} kills {name} is another")
    return kills


# -- the driver --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Campaign:
    """A kind of attack.

    Attributes:
        attempt: one attempt, from random numbers and in an empty folder; what it returns counts (None: 1).
        share: of the time.
        together: attempts that one process makes, which a crash of theirs ends; 0: it starts programs itself.
    """

    attempt: Callable[[random.Random, Path], int | None]
    share: float
    together: int


CAMPAIGNS = {
    "photos": Campaign(photos, 1, 400),
    "weights": Campaign(weights, 1, 60),
    "configs": Campaign(configs, 1, 60),
    "tables": Campaign(tables, 1, 200),
    "zips": Campaign(zips, 1, 200),
    "names": Campaign(names, 0.5, 400),
    "full_disk": Campaign(full_disk, 1, 30),
    "forks": Campaign(forks, 1, 10),
    "training": Campaign(training, 6, 0),
    "exporting": Campaign(exporting, 1.5, 0),
    "photo_folder": Campaign(photo_folder, 1, 0),
    "stopped_folder": Campaign(stopped_folder, 1, 0),
    "video": Campaign(video, 1, 0),
}


def attempt(name: str, seed: int, number: int, folder: Path) -> dict[str, Any]:
    """Makes one attempt: how many things were tried, and what went wrong, if anything."""
    place = folder / name / "attempt"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong, count = None, 1
    try:
        done = CAMPAIGNS[name].attempt(random.Random(f"{name} {seed} {number}"), place)
        count = 1 if done is None else done
    except Failure as failure:
        wrong = str(failure)
    except Exception as error:
        wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if wrong is None and number and taken > MEMORY:
        wrong = f"took {taken >> 20} MB"
    shutil.rmtree(place, ignore_errors=True)
    return {"number": number, "count": count, "wrong": wrong}


def slice_of(name: str, seed: int, first: int, folder: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Results of attempts in a process of their own, which is started anew after a crash or a hang."""
    alone = [sys.executable, __file__, "--worker", name, "--seed", str(seed), "--first", str(first)]
    environment = dict(os.environ)
    if name == "full_disk" and os.geteuid() == 0 and shutil.which("unshare"):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0:
            alone, environment["TORTURE_MOUNTS"] = ["unshare", "-m", *alone], "1"
    process = subprocess.Popen(
        [*alone, "--folder", str(folder), "--minutes", str(seconds / 60)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert process.stdout is not None and process.stderr is not None
    number = first
    try:
        while True:
            ready, _, _ = select.select([process.stdout], [], [], LONGEST)
            if not ready:
                yield {"number": number, "count": 1, "wrong": f"hangs for {LONGEST:.0f} s"}
                return
            line = process.stdout.readline()
            if not line:
                break
            result = json.loads(line)
            number = result["number"] + 1
            yield result
        if process.wait():
            errors = process.stderr.read().decode(errors="replace").split()
            yield {
                "number": number,
                "count": 1,
                "wrong": f"the process ended with {process.returncode}: {' '.join(errors)[-300:]}",
            }
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def work(options: argparse.Namespace) -> int:
    """Makes attempts of one campaign, a line of JSON each; an empty line of output is none."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    end = time.monotonic() + 60 * options.minutes
    for number in range(options.first, options.first + CAMPAIGNS[options.worker].together):
        output.write(json.dumps(attempt(options.worker, options.seed, number, options.folder)) + "\n")
        output.flush()
        if time.monotonic() > end:
            break
    return 0


def torture(options: argparse.Namespace) -> dict[str, Any]:
    """Lets the campaigns take turns until the time is over; gives their counts."""
    note = options.folder / "result.json"
    state: dict[str, Any] = {"seed": options.seed, "seconds": 0.0, "campaigns": {}}
    if note.exists() and (before := json.loads(note.read_text()))["seed"] == options.seed:
        state = before
    began = reported = time.monotonic()
    spent = state["seconds"]
    while time.monotonic() - began < 60 * options.minutes:
        left = 60 * options.minutes - (time.monotonic() - began)
        for name in options.only:
            state["campaigns"].setdefault(name, {"attempts": 0, "n": 0, "failures": 0, "seconds": 0.0, "wrong": []})
        chosen = min(options.only, key=lambda name: state["campaigns"][name]["seconds"] / CAMPAIGNS[name].share)
        entry, campaign, started = state["campaigns"][chosen], CAMPAIGNS[chosen], time.monotonic()
        if campaign.together:
            results = slice_of(chosen, options.seed, entry["attempts"], options.folder, min(left, 60))
        else:
            results = iter([attempt(chosen, options.seed, entry["attempts"], options.folder)])
        for result in results:
            entry["attempts"] = result["number"] + 1
            entry["n"] += result["count"]
            if result["wrong"] is not None:
                entry["failures"] += 1
                entry["wrong"].append({"attempt": result["number"], "what": result["wrong"]})
                print(f"{chosen} {result['number']}: {result['wrong']}", flush=True)
        entry["seconds"] = round(entry["seconds"] + time.monotonic() - started, 1)
        state["seconds"] = round(spent + time.monotonic() - began, 1)
        write(note, json.dumps(state, indent=1) + "\n")
        if time.monotonic() - reported > 60:
            reported = time.monotonic()
            print(", ".join(f"{name} {found['n']}" for name, found in state["campaigns"].items()), flush=True)
    return state


def page(state: dict[str, Any]) -> str:
    """The counts as a page of Markdown."""
    from kerasfer.version import __version__

    command, minutes = f"python scripts/torture.py --seed {state['seed']}", state["seconds"] / 60
    lines = [
        "# What was tried to break kerasfer",
        "",
        f"`{command}`, {minutes:.0f} minutes, kerasfer {__version__}",
        "",
        "Each attempt follows from the seed and its number. A failure is an answer that is wrong without a message, an",
        "error of more than one line, a crash, a hang, more than a gigabyte of memory, or work that is lost. Of",
        "programs that are killed, n counts the kills.",
        "",
        "| campaign | what must hold | n | failures |",
        "| --- | --- | ---: | ---: |",
    ]
    for name, entry in state["campaigns"].items():
        what = (CAMPAIGNS[name].attempt.__doc__ or "").strip()
        lines.append(f"| {name} | {what} | {entry['n']:,} | {entry['failures']} |")
    wrong = [(name, found) for name, entry in state["campaigns"].items() for found in entry["wrong"]]
    if wrong:
        lines += ["", "## Failures", ""]
        lines += [f"- {name}, attempt {found['attempt']}: {found['what']}" for name, found in wrong[:50]]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    from kerasfer.files import atomic_write

    atomic_write(path, text.encode())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="what all attempts follow from (default: 1)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (default: 5)")
    parser.add_argument("--only", nargs="+", choices=list(CAMPAIGNS), default=list(CAMPAIGNS), metavar="CAMPAIGN")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/torture"), help="for files and counts (default: runs/torture)"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table of counts there, as Markdown")
    parser.add_argument("--worker", choices=list(CAMPAIGNS), help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    options = parser().parse_args(arguments)
    options.folder = options.folder.resolve()
    if options.worker:
        return work(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    state = torture(options)
    text = page(state)
    print(text)
    if options.page:
        write(options.page, text)
    return int(any(entry["failures"] for entry in state["campaigns"].values()))


if __name__ == "__main__":
    run_app(main)

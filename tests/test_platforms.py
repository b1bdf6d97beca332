"""What differs on Windows and macOS, as far as that can be tried from Linux: names, missing functions, paths."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kerasfer import images, sample

ROOT = Path(__file__).resolve().parent.parent

WITHOUT = """
import os, sys
for name in ("pread", "register_at_fork", "fork", "forkpty", "getuid", "geteuid", "statvfs", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
for module in ("resource", "fcntl", "pwd", "grp", "termios", "tty"):
    sys.modules[module] = None
"""
"""What Python on Windows lacks."""


def windows(code: str, *arguments: object, cwd: Path = ROOT) -> str:
    """What a program prints where Python lacks what it lacks on Windows."""
    program = f"{WITHOUT}\nsys.path.insert(0, sys.argv.pop(1))\n{code}"
    command = [sys.executable, "-c", program, ROOT, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_in_the_repository_can_be_checked_out_everywhere():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    names = [name for name in done.stdout.split("\0") if name]
    assert len({name.casefold() for name in names}) == len(names), "names that differ in upper and lower case alone"
    for name in names:
        for part in name.split("/"):
            assert not re.search(r'[<>:"\\|?*\x00-\x1f]|[ .]$', part), name
            assert part.split(".")[0].upper() not in ("CON", "PRN", "AUX", "NUL", "COM1", "LPT1"), name
        assert len(name) < 150, name


def test_photos_are_recognized(tmp_path):
    code = """
import json
from kerasfer.cli.main import main
from kerasfer import lite
print(json.dumps([face.to_json() for face in lite.Pipeline("edge", threads=2).recognize(sys.argv[1])]))
"""
    (face,) = json.loads(windows(code, sample.PHOTO))
    assert face["expression"] == "happiness"


def test_zips_are_read_by_several_threads(tmp_path):
    pixels = [images.resize(images.read(sample.PHOTO), 8 + number) for number in range(12)]
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, image in enumerate(pixels):
            archive.writestr(f"happiness/{number:02}.png", images.encode(image))
    code = """
from concurrent.futures import ThreadPoolExecutor
from kerasfer import datasets, images
table = datasets.load("folder", sys.argv[1])
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(lambda row: len(images.decode(table.read(row % len(table)))), range(300)))
"""
    assert windows(code, tmp_path / "faces.zip").split() == [str(8 + number % 12) for number in range(300)]


def test_files_are_written_and_replaced(tmp_path):
    code = """
from kerasfer import files
for content in (b"first", b"second"):
    files.atomic_write("deep/er/file.json", content)
print(open("deep/er/file.json").read(), os.listdir("deep/er"))
"""
    assert windows(code, cwd=tmp_path) == "second ['file.json']\n"


LIGHT = ("cli", "datasets", "detection", "files", "folders", "images", "lite", "rendering", "server")


def test_modules_load():
    """Every module of those that know no TensorFlow."""
    files = [
        path for name in LIGHT for path in (*ROOT.glob(f"kerasfer/{name}.py"), *ROOT.glob(f"kerasfer/{name}/*.py"))
    ]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert len(names) > 50
    assert windows("import importlib\nprint(*map(importlib.import_module, sys.argv[1:]), sep='\\n')", *names)

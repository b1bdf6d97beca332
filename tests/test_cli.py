"""The command line: `kerasfer COMMAND`, the doors to it in apps, and what every command keeps to."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerasfer import sample
from kerasfer.cli.main import COMMANDS
from kerasfer.version import __version__

ROOT = Path(__file__).resolve().parent.parent
EDGE = ROOT / "saved_models" / "edge" / "model_int8.tflite"


def kerasfer(*arguments: object, cwd: Path = ROOT, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Runs `python -m kerasfer`, as if some packages were not installed."""
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); missing = sys.argv.pop(1).split()\n"
    program += "sys.modules.update(dict.fromkeys(missing)); from kerasfer.cli.main import main; main()"
    command = [sys.executable, "-c", program, ROOT, " ".join(without), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_list_of_commands():
    for arguments in ([], ["--help"], ["-h"]):
        done = kerasfer(*arguments)
        assert done.returncode == 0 and not done.stderr
        assert all(re.search(rf"^  {name} +\w", done.stdout, re.M) for name in COMMANDS)
    commands = [
        "recognize",
        "recognize-many",
        "train",
        "evaluate",
        "synthesize",
        "export",
        "data",
        "labels",
        "serve",
        "bench",
    ]
    assert list(COMMANDS) == commands
    assert kerasfer("--version").stdout == f"kerasfer {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_and_so_does_its_door(name):
    done = kerasfer(name, "--help")
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith(f"usage: kerasfer {name} ")
    door = subprocess.run(
        [sys.executable, ROOT / "apps" / f"{name.replace('-', '_')}.py", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert door.returncode == 0, door.stderr
    assert door.stdout.split("\n\n", 1)[1].split() == done.stdout.split("\n\n", 1)[1].split()


@pytest.mark.parametrize("name", COMMANDS)
def test_doors_are_thin(name):
    assert len((ROOT / "apps" / f"{name.replace('-', '_')}.py").read_text().splitlines()) < 15


@pytest.mark.parametrize("name", ["evaluate", "export"])
def test_a_model_of_identities_gets_one_line(name, tmp_path):
    done = kerasfer(name, "--model", "dlib_resnet", cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout and list(tmp_path.iterdir()) == []
    assert re.fullmatch(r"error: dlib_resnet: recognizes no expressions, .*; name another\n", done.stderr)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "recognize",
            ["crops", "bounding box", "class prior", "test-time augmentation", "(AUs)", "temporal smoothing"],
        ),
        (
            "evaluate",
            ["crops", "balanced accuracy", "ground truth", "confidence intervals", "linear probe", "class prior"],
        ),
        (
            "train",
            ["crops", "labels", "fine-tune", "classifier only", "learning rate", "batch size", "pretrained weights"]
            + ["class-balanced sampling", "class weights", "soft labels", "validation split", "knowledge distillation"],
        ),
        ("export", ["classifier only", "int8 quantization", "opset", "crops"]),
    ],
)
def test_the_fields_words_are_in_the_help(name, words):
    shown = " ".join(kerasfer(name, "--help").stdout.split())
    assert [word for word in words if word.lower() not in shown.lower()] == []


def test_an_unknown_command_gets_one_line():
    done = kerasfer("recognition")
    assert done.returncode == 2 and not done.stdout
    assert re.fullmatch(r"error: there is no command 'recognition'; there are: recognize, .*bench\n", done.stderr)


def test_recognize_prints_and_writes_nothing(tmp_path):
    done = kerasfer("recognize", sample.PHOTO, "--model", EDGE, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 face" in done.stdout and "happiness" in done.stdout and "marked in" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_recognize_writes_what_is_asked_for(tmp_path):
    done = kerasfer("recognize", sample.PHOTO, "--model", EDGE, "--output", "out", "--jsonl", "a.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.jsonl", "astronaut_expressions.png", "out"]


def test_recognize_tells_blendshapes(tmp_path):
    asked = ["--model", EDGE, "--blendshapes", "--jsonl", "a.jsonl", "--csv", "a.csv"]
    done = kerasfer("recognize", sample.PHOTO, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"mouthSmileLeft 0\.\d+", done.stdout)
    (face,) = json.loads((tmp_path / "a.jsonl").read_text())["faces"]
    names, values = (line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines())
    row = dict(zip(names, values, strict=True))
    assert float(row["mouthSmileLeft"]) == pytest.approx(face["blendshapes"]["mouthSmileLeft"], abs=1e-5)
    assert len(face["blendshapes"]) == 52


def test_without_tensorflow_the_tflite_file_answers(tmp_path):
    done = kerasfer("recognize", sample.PHOTO, cwd=tmp_path, without=("tensorflow", "keras", "cv2", "tqdm", "scipy"))
    assert done.returncode == 0, done.stderr
    assert "happiness" in done.stdout
    assert re.fullmatch(r"TensorFlow is not installed: wild's model_int8.tflite answers\n", done.stderr)
    done = kerasfer("train", "--model", "edge", cwd=tmp_path, without=("tensorflow", "keras"))
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    assert re.fullmatch(r"error: \w+ is not installed: pip install 'kerasfer\[train\]' .*\n", done.stderr)


@pytest.mark.slow
def test_tensorflow_is_imported_without_a_word(tmp_path):
    """The newest speaks of the processor before any setting of its log is read."""
    done = kerasfer("export", "--model", "nothing", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    done = kerasfer("train", "--model", "edge", "--size", "tiny", "--set", "help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "seed = " in done.stdout


def test_bench(tmp_path):
    done = kerasfer("bench", "--model", EDGE, "--seconds", "0.01", "--threads", "2", "--json", "b.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    times = json.loads((tmp_path / "b.json").read_text())
    assert times["kerasfer"] == __version__ and len(times["rows"]) == 4
    assert [row["what"].split(",")[0] for row in times["rows"]].count("photo to expression") == 2
    assert all(row.get("ms", 1) > 0 and row.get("photos/s", 1) > 0 and row["runs"] >= 5 for row in times["rows"])
    assert all(row["what"] in done.stdout for row in times["rows"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--threads", "0"], "--threads must be at least 1 and --seconds above 0: 0, 2.0"),
        (["--seconds", "nan"], "--threads must be at least 1 and --seconds above 0: "),
        (["--model", "nothing"], "nothing: neither a .tflite file, nor a folder, nor one of: "),
        (["--photo", "gone.jpg"], "gone.jpg: "),
    ],
)
def test_bench_of_bad_input_is_one_line(tmp_path, arguments, error):
    done = kerasfer("bench", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {error}") and done.stderr.count("\n") == 1


def test_the_public_modules_are_typed():
    """mypy, which scripts/check.sh runs, looks at every module but those named, none of which users call directly."""
    tomllib = pytest.importorskip("tomllib")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    (left_out,) = settings["overrides"]
    assert settings["files"] == ["kerasfer"] and settings["check_untyped_defs"]
    assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in left_out["module"])
    parts = {module.split(".")[1] for module in left_out["module"]}
    assert not parts & {"api", "cli", "data", "detection", "images", "lite", "recognition", "trainer", "video", "zoo"}
    assert (ROOT / "kerasfer" / "py.typed").is_file()


def test_every_command_has_a_module():
    for name in COMMANDS:
        module = importlib.import_module(f"kerasfer.cli.{name.replace('-', '_')}")
        assert callable(module.main) and module.__doc__.count("\n") > 2

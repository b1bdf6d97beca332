"""The Dockerfile, without Docker: its steps name what is there, ask the index alone, work in a clean environment."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def steps() -> list[tuple[str, str]]:
    """Instruction and arguments of each step."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def arguments_of(instruction: str) -> list[str]:
    return [arguments for name, arguments in steps() if name == instruction]


def is_ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path out: the last pattern that fits it, or a folder above it, decides."""
    ignored = False
    above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        patterns = [pattern, pattern.removeprefix("**/")] if pattern.startswith("**/") else [pattern]
        if any(matches(each, part) for each in patterns for part in above):
            ignored = not line.startswith("!")
    return ignored


def matches(pattern: str, path: str) -> bool:
    parts, names = pattern.split("/"), path.split("/")
    if parts[0] == "**":
        parts, names = parts[1:], names[-len(parts[1:]) :]
    return len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))


def copied() -> list[tuple[str, str]]:
    """Files of the repository that get into the image, and where to in its folder."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    if not tracked:
        pytest.skip("not a checkout")
    pairs = []
    for arguments in arguments_of("COPY"):
        *sources, target = shlex.split(arguments)
        for source in sources:
            found = [name for name in tracked if name == source or name.startswith(f"{source}/")]
            found = [name for name in found if (ROOT / name).is_file() and not is_ignored(name)]
            assert found, f"COPY {source}: nothing of it is there and not ignored"
            pairs += [
                (name, os.path.normpath(name if target == "./" else target + name[len(source) :])) for name in found
            ]
    return pairs


def test_its_base_is_a_python_that_kerasfer_runs_on():
    [base] = arguments_of("FROM")
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)
    requires = re.search(r"python_requires = (.+)", (ROOT / "setup.cfg").read_text())[1]
    from packaging.specifiers import SpecifierSet

    assert version and f"{version[1]}.0" in SpecifierSet(requires)


def test_its_steps_ask_the_package_index_alone():
    assert {name for name, _ in steps()} <= {
        *("FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT")
    }
    assert arguments_of("RUN") == ['python -m pip install ".[serve]"']
    assert "://" not in "".join(arguments_of("COPY") + arguments_of("FROM"))


def test_it_holds_what_the_service_takes_and_little_else():
    names = {target for _, target in copied()}
    assert {
        "setup.cfg",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "kerasfer/api/app.py",
        "kerasfer/lite/__init__.py",
    } <= names
    assert {f"saved_models/{name}/config.json" for name in ("edge", "tdgan", "ipdfer")} <= names
    assert "kerasfer/detection/networks/face_landmark.tflite" in names
    assert not [name for name in names if name.endswith(".safetensors") or "generator" in Path(name).name]
    assert sum((ROOT / source).stat().st_size for source, _ in copied()) < 60e6


def test_it_runs_as_nobody_and_tells_its_health():
    assert arguments_of("USER") == ["65534:65534"]
    command = json.loads(arguments_of("ENTRYPOINT")[0])
    assert command[:3] == ["kerasfer", "serve", "--api"]
    assert command[command.index("--port") + 1] == arguments_of("EXPOSE")[0]
    check = json.loads(arguments_of("HEALTHCHECK")[0].split("CMD ", 1)[1])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{arguments_of('EXPOSE')[0]}/health" in check[2]
    from kerasfer.cli import serve

    options = serve.api_parser().parse_args(command[3:])
    assert options.host == "0.0.0.0" and options.allow_host == ["*"]


@pytest.mark.slow
def test_its_steps_in_a_clean_environment(tmp_path):
    """Everything but the base image: the files that are copied, what is installed, the command, a picture."""
    for source, target in copied():
        (tmp_path / "app" / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, tmp_path / "app" / target)
    venv.create(tmp_path / "venv", with_pip=True)
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}, "PATH": path}
    for command in arguments_of("RUN"):
        done = subprocess.run(
            command, shell=True, cwd=tmp_path / "app", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    listed = subprocess.run(
        [tmp_path / "venv" / "bin" / "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"^(tensorflow|keras|torch|jax|mediapipe) ", listed, re.MULTILINE)
    shutil.rmtree(tmp_path / "app")
    command = json.loads(arguments_of("ENTRYPOINT")[0])
    command[command.index("--port") + 1] = "0"
    command[0] = str(tmp_path / "venv" / "bin" / command[0])
    service = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        port = re.search(r":(\d+)/docs", service.stdout.readline())[1]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/recognize",
            (ROOT / "kerasfer" / "astronaut.jpg").read_bytes(),
            {"Content-Type": "image/jpeg", "Host": "kerasfer"},
        )
        [face] = json.load(urllib.request.urlopen(request, timeout=60))["faces"]
        assert face["expression"] == "happiness"
        check = json.loads(arguments_of("HEALTHCHECK")[0].split("CMD ", 1)[1])
        check = [sys.executable, *(part.replace("8000", port) for part in check[1:])]
        assert subprocess.run(check, check=False).returncode == 0
    finally:
        service.terminate()
        service.wait(30)
    assert subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode != 0

"""pre-commit and the workflow on GitHub call the repository's own scripts, on the Pythons that it says it runs on."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]

WORDS = {
    "scripts/build_docs.sh": {"site"},
    "scripts/check.sh": {"style", "types"},
    "scripts/install.sh": {"dev", "tested"},
    "scripts/matrix.sh": {"haar", "lite", "mediapipe", "newest", "oldest", "pandas"},
    "scripts/test.sh": set(),
}
"""Script -> the words that it takes."""


def commands() -> list[str]:
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    return [step["run"] for step in steps if "run" in step] + [hook["entry"] for hook in HOOKS]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_is_a_script_of_ours_with_words_that_it_takes(command):
    script, *words = shlex.split(command)
    assert os.access(ROOT / script, os.X_OK)
    assert set(words) <= WORDS[script]
    text = (ROOT / script).read_text(encoding="utf-8")
    assert all(re.search(rf"\b{word}\b", text) for word in words)


def test_style_types_and_tests_are_all_there():
    assert {"scripts/check.sh style", "scripts/check.sh types", "scripts/test.sh"} <= set(commands())
    assert "scripts/build_docs.sh" in commands()
    assert {hook["entry"] for hook in HOOKS} == {"scripts/check.sh style", "scripts/check.sh types"}
    assert "scripts/check.sh" in (ROOT / "scripts" / "test.sh").read_text(encoding="utf-8")


def test_the_oldest_and_the_newest_python_are_tested():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    pythons = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == [pythons[0], pythons[-1]]
    assert setup["options"]["python_requires"] == f">={pythons[0]}"


@pytest.mark.parametrize(
    ("words", "called", "code"),
    [((), ["ruff check", "ruff format", "mypy"], 0), (("types",), ["mypy"], 0), (("speling",), [], 2)],
)
@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_what_the_checks_call(tmp_path, words, called, code):
    """The stub is a venv's Python, which writes down what it is asked for."""
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "python"
    stub.write_text(f'#!/bin/sh\necho "$2 $3" >>{tmp_path}/asked\n')
    stub.chmod(0o755)
    environment = {**os.environ, "KERASFER_VENV": str(tmp_path)}
    done = subprocess.run([ROOT / "scripts/check.sh", *words], env=environment, capture_output=True, check=False)
    assert done.returncode == code
    asked = (tmp_path / "asked").read_text().splitlines() if called else []
    assert [line.strip() for line in asked] == called
    stub.write_text("#!/bin/sh\nexit 1\n")
    done = subprocess.run([ROOT / "scripts/check.sh", *words], env=environment, capture_output=True, check=False)
    assert done.returncode == (code or 1)

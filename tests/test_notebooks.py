"""The notebooks: what they hold, and that their cells run from the first to the last."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_of(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells_of(path) if cell["cell_type"] == "code"]


def run(path: Path, **smaller: int) -> tuple[dict[str, Any], list[Any]]:
    """Runs the cells; returns their names, and of each cell the value of its last line, which a notebook would show.

    Numbers that a cell assigns may be replaced by smaller ones.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for number, code in enumerate(code_of(path)):
        tree = ast.parse(code, f"{path.name}, code cell {number}")
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name}, code cell {number}", "exec"), names)
        names |= {name: value for name, value in smaller.items() if name in names}
        values.append(None if last is None else eval(compile(last, f"{path.name}, code cell {number}", "eval"), names))
    assert set(smaller) <= set(names)
    return names, values


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["recognize_and_explain", "train_your_own"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_plain_and_installs_what_it_needs(path):
    """Version 4, Python, no outputs, no magics, text before every step, and the first cell gets kerasfer."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook["metadata"]["kernelspec"]["language"] == "python"
    assert [cell["cell_type"] for cell in notebook["cells"][:2]] == ["markdown", "code"]
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    first, *others = code_of(path)
    assert 'find_spec("kerasfer") is None' in first and "pip" in first and "import kerasfer" not in first
    assert "import kerasfer" in "".join(others)
    for code in code_of(path):
        compile(code, path.name, "exec")
        assert max(map(len, code.splitlines())) <= 120
    for name in re.findall(r"`(\w+\.ipynb)`", path.read_text(encoding="utf-8")):
        assert (path.parent / name).exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_takes_of_kerasfer_is_there(path):
    """Without running it: what is imported, and what is reached as an attribute of that."""
    taken: dict[str, Any] = {}
    for node in (node for code in code_of(path) for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name == "kerasfer"]
            taken |= {name: importlib.import_module(name) for name in names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("kerasfer"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                named = f"{node.module}.{alias.name}"
                taken[alias.name] = getattr(module, alias.name, None) or importlib.import_module(named)
    assert {"kerasfer", "images"} <= set(taken)
    for node in (node for code in code_of(path) for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in taken:
            assert hasattr(taken[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_where_kerasfer_is_not_its_first_cell_installs_it(path, monkeypatch):
    import importlib.util
    import subprocess

    asked = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda words, check: asked.append((words, check)))
    exec(compile(code_of(path)[0], path.name, "exec"), {})
    [(words, check)] = asked
    assert words[:4] == [sys.executable, "-m", "pip", "install"] and check
    assert words[-1].startswith("kerasfer[keras] @ git+https://")


@pytest.mark.slow
def test_recognize_and_explain(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names, values = run(ROOT / "notebooks" / "recognize_and_explain.ipynb")
    said = capsys.readouterr().out
    assert re.search(r"^happiness, \d+% sure$", said, re.MULTILINE)
    assert "AU12" in said.split("action units:")[1]
    pictures = [value for value in values if isinstance(value, Image.Image)]
    assert len(pictures) == 4 and pictures[0].width > names["photo"].shape[1]
    assert names["explanation"].expression == "happiness" and pictures[2].width == 3 * pictures[1].width
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_train_your_own(capsys, monkeypatch, tmp_path):
    """On fewer faces and epochs: to an int8 file whose answer is one of the classes."""
    monkeypatch.chdir(tmp_path)
    names, _ = run(ROOT / "notebooks" / "train_your_own.ipynb", FACES=180, EPOCHS=2)
    assert names["classes"] == ("amazed", "happy", "sad") and len(names["run"].history) == 2
    assert names["report"].good and (tmp_path / "exported" / "model_int8.tflite").stat().st_size < 1.5e6
    assert names["recognizer"].labels == names["classes"]
    assert np.isclose(sum(names["shares"].values()), 1, atol=0.02)
    assert "classes: amazed, happy, sad" in capsys.readouterr().out

"""The direction of imports: lower floors never import higher ones, nothing goes in a circle, the edge stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    "kerasfer": 6,
    "kerasfer.cluster": 0,
    "kerasfer.expressions": 0,
    "kerasfer.faces": 0,
    "kerasfer.files": 0,
    "kerasfer.forks": 0,
    "kerasfer.graphs": 0,
    "kerasfer.hub": 1,
    "kerasfer.interpreter": 0,
    "kerasfer.kernels": 0,
    "kerasfer.markup": 0,
    "kerasfer.missing": 0,
    "kerasfer.priors": 0,
    "kerasfer.sample": 0,
    "kerasfer.registration": 0,
    "kerasfer.version": 0,
    "kerasfer.weights": 0,
    "kerasfer.folders": 1,
    "kerasfer.frames": 1,
    "kerasfer.images": 1,
    "kerasfer.layers": 1,
    "kerasfer.movements": 1,
    "kerasfer.units": 1,
    "kerasfer.losses": 1,
    "kerasfer.optimizers": 1,
    "kerasfer.backbones": 1,
    "kerasfer.rendering": 1,
    "kerasfer.rows": 1,
    "kerasfer.models": 2,
    "kerasfer.datasets": 2,
    "kerasfer.detection": 2,
    "kerasfer.splits": 3,
    "kerasfer.checkpoints": 3,
    "kerasfer.progress": 0,
    "kerasfer.data": 3,
    "kerasfer.labeling": 3,
    "kerasfer.lite": 3,
    "kerasfer.zoo": 3,
    "kerasfer.recognition": 4,
    "kerasfer.verification": 4,
    "kerasfer.evaluation": 4,
    "kerasfer.plots": 4,
    "kerasfer.synthesis": 4,
    "kerasfer.bundle": 4,
    "kerasfer.teaching": 4,
    "kerasfer.tracking": 4,
    "kerasfer.video": 4,
    "kerasfer.explanation": 4,
    "kerasfer.export": 4,
    "kerasfer.tabular": 4,
    "kerasfer.protocols": 5,
    "kerasfer.ray": 5,
    "kerasfer.recipes": 5,
    "kerasfer.server": 5,
    "kerasfer.api": 5,
    "kerasfer.training": 5,
    "kerasfer.trainer": 5,
    "kerasfer.__main__": 7,
    "kerasfer.cli": 7,
}
"""Module or package -> floor. A module may import modules of its own floor and of lower ones."""

NEVER_TENSORFLOW = (
    "kerasfer.expressions",
    "kerasfer.faces",
    "kerasfer.lite",
    "kerasfer.images",
    "kerasfer.rendering",
    "kerasfer.datasets",
    "kerasfer.detection",
    "kerasfer.labeling",
    "kerasfer.splits",
)
"""Modules and packages that do not import TensorFlow or Keras, not even inside a function."""

LIGHT = ("kerasfer", "kerasfer.lite", "kerasfer.expressions", "kerasfer.faces", "kerasfer.images", "kerasfer.datasets")
"""Imported in a fresh interpreter, these load none of `HEAVY`."""

HEAVY = ("tensorflow", "keras", "cv2", "mediapipe")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / "kerasfer").rglob("*.py"))}


def floor_of(module: str) -> int:
    if module == "kerasfer":
        return FLOORS["kerasfer"]
    part = ".".join(module.split(".")[:2])
    if part not in FLOORS:
        pytest.fail(f"{part} has no floor yet: add it to FLOORS in tests/test_import_floors.py")
    return FLOORS[part]


def inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports_of(name: str, source: str, is_package: bool, modules: set[str]) -> set[str]:
    """Dotted names that a module imports anywhere; of kerasfer's, the module that holds the imported name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            found |= {
                argument.value
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            }
    return found


def imports(name: str) -> set[str]:
    path = MODULES[name]
    return imports_of(name, path.read_text(), path.name == "__init__.py", set(MODULES))


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, or none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph[module]):
            if found := visit(target, [*way, module]):
                return found
        done.add(module)
        return []

    for module in sorted(graph):
        if found := visit(module, []):
            return found
    return []


def test_every_module_has_a_floor():
    for module in MODULES:
        assert floor_of(module) >= 0


def test_no_module_imports_a_higher_floor():
    wrong = []
    for module in MODULES:
        for target in imports(module):
            if target.split(".")[0] in ("apps", "scripts", "tests"):
                wrong.append(f"{module} imports {target}")
            elif target.split(".")[0] == "kerasfer" and floor_of(target) > floor_of(module):
                wrong.append(f"{module} (floor {floor_of(module)}) imports {target} (floor {floor_of(target)})")
    assert not wrong, "\n".join(sorted(wrong))


def test_the_table_of_contributors_is_the_list():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = {}
    for floor, names in re.findall(r"^\| (\d) \| (.+) \|$", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            table["kerasfer" if name == "kerasfer" else f"kerasfer.{name}"] = int(floor)
    assert {name: floor for name, floor in table.items() if name in FLOORS} == FLOORS
    assert set(table) - set(FLOORS) == {"kerasfer.apps"}


def test_no_file_but_a_papers_is_longer_than_600_lines():
    """A paper's file is read from top to bottom; any other that grows so long does more than one thing."""
    papers = {f"kerasfer.models.{name}" for name in ("tdgan", "g2fer", "fesr", "ipdfer", "dcganfer")}
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert papers <= set(lines)
    assert not {name: count for name, count in lines.items() if count > 600 and name not in papers}


def test_private_names_of_keras_sit_in_one_file():
    """They change without notice; `kerasfer.optimizers` alone takes the risk."""
    private = re.compile(
        r"keras\.src|keras\._|_get_variable_index|_momentums|_velocities|_model_variables_moving_average"
    )
    found = {name for name, path in MODULES.items() if private.search(path.read_text(encoding="utf-8"))}
    assert found == {"kerasfer.optimizers"}


def test_imports_go_in_no_circle():
    graph = {module: {target for target in imports(module) if target in MODULES} - {module} for module in MODULES}
    assert not circle(graph), " -> ".join(circle(graph))


def test_modules_that_must_not_know_tensorflow():
    wrong = [
        f"{module} imports {target}"
        for module in MODULES
        if inside(module, NEVER_TENSORFLOW)
        for target in imports(module)
        if target.split(".")[0] in ("tensorflow", "keras")
    ]
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("module", [module for module in LIGHT if module in MODULES])
def test_the_edge_is_light(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], f"import {module} loads {result.stdout}"


def repository_files() -> list[Path]:
    """Tracked files and new ones that are not ignored; without git, every file outside hidden folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        names = result.stdout.decode().split("\0") if result.returncode == 0 else []
    except FileNotFoundError:
        names = []
    if names:
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    paths = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])]


MACHINE_PATH = re.compile(
    rb"(?<![\w.$}~/-])/(?:work|root|home|Users|mnt|media)/\w|(?<![\w.])/tmp/(?:venv|bash)|\.\./shared\b"
)


def test_no_file_mentions_a_path_of_somebodys_machine():
    wrong = []
    for path in repository_files():
        content = path.read_bytes()
        if path == Path(__file__).resolve() or b"\0" in content:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if MACHINE_PATH.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line[:200].decode(errors='replace').strip()}")
    assert not wrong, "\n".join(wrong)


def test_the_checks_themselves_find_what_is_wrong():
    modules = {"kerasfer", "kerasfer.faces", "kerasfer.models", "kerasfer.models.base", "kerasfer.zoo"}
    source = "import keras.ops\nfrom . import base\nfrom .. import zoo\nfrom kerasfer.faces import Box\n"
    source += "def late():\n    from kerasfer import models\n    importlib.import_module('kerasfer.plots')\n"
    expected = {
        "keras.ops",
        "kerasfer.models.base",
        "kerasfer.zoo",
        "kerasfer.faces",
        "kerasfer.models",
        "kerasfer.plots",
    }
    assert imports_of("kerasfer.models.tdgan", source, False, modules) == expected
    assert imports_of("kerasfer.models", "from .base import FERModel", True, modules) == {"kerasfer.models.base"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    for line in (b"cd /home" + b"/ann/faces", b"'/work" + b"/main'", b"see ../sha" + b"red/design.md"):
        assert MACHINE_PATH.search(line), line
    for line in (b"https://example.org/work/index", b"a/home/b", b"--data DIR", b"$HOME/home/x"):
        assert not MACHINE_PATH.search(line), line
    with pytest.raises(pytest.fail.Exception, match="add it to FLOORS"):
        floor_of("kerasfer.nowhere")

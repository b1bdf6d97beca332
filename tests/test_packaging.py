"""What is installed, by which scripts, and what the pages say of it."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = sorted(path.parent.name for path in ROOT.glob("saved_models/*/config.json"))

DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "skimage": "scikit-image"}
DISTRIBUTIONS |= {
    "ai_edge_litert": "ai-edge-litert",
    "pillow_heif": "pillow-heif",
    "huggingface_hub": "huggingface-hub",
}
DISTRIBUTIONS |= {"prometheus_client": "prometheus-client", "python_multipart": "python-multipart"}
"""Name of an import -> name of the package that brings it, where the two differ."""


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]


def required(text: str) -> set[str]:
    return {re.match(r"[\w.-]+", line).group().lower() for line in lines(text)}


def third_party_imports(folder: str) -> set[str]:
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    own = {"kerasfer", *(path.stem for path in (ROOT / folder).glob("*.py"))}
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - own


def test_every_package_is_installed(setup):
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "kerasfer").rglob("__init__.py")}
    assert set(lines(setup["options"]["packages"])) == packages | {"kerasfer.saved_models"}


def extras_of(setup: configparser.ConfigParser, extra: str) -> list[str]:
    """The requirements of an extra, those of the extras that it names among them."""
    found = []
    for line in lines(setup["options.extras_require"][extra]):
        inner = re.fullmatch(r"kerasfer\[([\w,]+)\]", line)
        found += [line] if inner is None else [each for name in inner[1].split(",") for each in extras_of(setup, name)]
    return found


USERS_EXTRAS = ("train", "hub", "pandas", "serve", "heic", "mediapipe", "mtcnn", "convert", "onnx", "parquet", "ray")
USERS_EXTRAS += ("search", "measure")
"""Extras that between them bring whatever kerasfer and its commands import."""


def test_every_import_is_required(setup):
    imports = third_party_imports("kerasfer") | third_party_imports("apps")
    needed = {DISTRIBUTIONS.get(name, name) for name in imports}
    brought = required(setup["options"]["install_requires"])
    for extra in USERS_EXTRAS:
        brought |= required("\n".join(extras_of(setup, extra)))
    assert needed <= brought


def test_a_device_needs_no_more_than_three_packages(setup):
    assert required(setup["options"]["install_requires"]) == {"numpy", "pillow", "ai-edge-litert"}
    assert extras_of(setup, "lite") == []


def test_tensorflow_is_whichever_one_wants(setup):
    """One TensorFlow for each of three extras, none for the fourth, and nothing else differs."""
    common = extras_of(setup, "keras")
    assert not [line for line in common if line.startswith("tensorflow")]
    for extra, name in (("train", "tensorflow"), ("cpu", "tensorflow-cpu"), ("cuda", "tensorflow[and-cuda]")):
        assert extras_of(setup, extra) == [*common, f"{name} >=2.19"]
    assert "tensorboard >=2.19" in common


def test_nothing_is_held_back(setup):
    """No upper limit anywhere but where a package stopped having what is used of it; nothing of mediapipe's pins."""
    from packaging.requirements import Requirement

    # MkDocs 2 takes no themes and plugins of today's.
    held = {"haar": "opencv-python-headless", "mediapipe": "mediapipe", "dev": "ruff mkdocs", "docs": "mkdocs"}
    names = {"": lines(setup["options"]["install_requires"])}
    names |= {extra: extras_of(setup, extra) for extra in setup["options.extras_require"]}
    for extra, requirements in names.items():
        for line in requirements:
            requirement = Requirement(line)
            limited = any(clause.operator in ("<", "<=", "==", "~=") for clause in requirement.specifier)
            assert not limited or requirement.name in held.get(extra, "").split(), f"{extra}: {line}"
    everywhere = [line for extra in ("", "keras", "train", "cpu", "cuda") for line in names[extra]]
    assert not {"mediapipe", "mtcnn", "protobuf", "scikit-image", "opencv-contrib-python"} & required(
        "\n".join(everywhere)
    )


def test_the_tested_versions_fit_the_requirements(setup):
    from packaging.requirements import Requirement

    pins: dict[str, list[Requirement]] = {}
    for line in lines((ROOT / "scripts" / "tested.txt").read_text(encoding="utf-8")):
        if not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(pin.name, []).append(pin)
    wanted = [*lines(setup["options"]["install_requires"]), *extras_of(setup, "cpu"), *extras_of(setup, "train")]
    for python in ("3.10", "3.11", "3.12", "3.13"):
        for line in wanted:
            requirement = Requirement(line)
            environment = {"python_version": python}
            fitting = [pin for pin in pins[requirement.name] if not pin.marker or pin.marker.evaluate(environment)]
            assert len(fitting) == 1, f"{requirement.name} is pinned {len(fitting)} times on Python {python}"
            (version,) = [clause.version for clause in fitting[0].specifier]
            assert requirement.specifier.contains(version), f"{fitting[0]} does not fit {requirement}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of what git would hold, built aside so that no build folder is left in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("kerasfer", "saved_models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    result = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=source, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return next(target.glob("*.whl"))


def test_the_wheel_holds_the_code_the_cards_and_the_models(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasfer").rglob("*.py")}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasfer/datasets/cards").glob("*.md")}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasfer").rglob("*.json")}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasfer/detection/networks").iterdir()}
    templates = (path for path in (ROOT / "kerasfer/templates").rglob("*") if path.is_file())
    expected |= {path.relative_to(ROOT).as_posix() for path in templates}
    expected |= {"kerasfer/astronaut.jpg", "kerasfer/py.typed"}
    recognizing = ("recognizer.safetensors", "units.safetensors", "network.safetensors", "model_int8.tflite")
    models = [
        path
        for path in (ROOT / "saved_models").rglob("*")
        if path.name in recognizing or path.suffix in (".md", ".json", ".csv")
    ]
    expected |= {f"kerasfer/{path.relative_to(ROOT).as_posix()}" for path in models}
    assert not expected - names
    extra = {name for name in names - expected if ".dist-info/" not in name}
    assert not extra, f"does not belong into the wheel: {sorted(extra)}"


def test_the_wheel_is_under_65_megabytes(wheel):
    """With MediaPipe's networks in it, for which another wheel of 36 MB was needed before."""
    assert wheel.stat().st_size < 65e6


@pytest.mark.slow
def test_installed_models_load_outside_the_checkout(wheel, tmp_path):
    assert "tdgan" in BUNDLED
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = """
import json, sys
import numpy as np
import kerasfer
names = kerasfer.list_models(trained=True)
answers = {}
for name in names:
    model = kerasfer.load(name)
    faces = np.zeros((2, *model.image_spec.shape), "float32")
    if name == "dlib_resnet":
        answers[name] = np.isfinite(model.embed(faces)).mean(axis=1).tolist()
    else:
        answers[name] = np.asarray(model.recognizer()(faces)).sum(axis=1).tolist()
print(json.dumps([kerasfer.__file__, kerasfer.__version__, answers]))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    place, version, answers = json.loads(result.stdout.splitlines()[-1])
    assert Path(place).is_relative_to(tmp_path)
    assert f"kerasfer-{version}-" in wheel.name
    assert sorted(answers) == BUNDLED
    for sums in answers.values():
        assert sums == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize(
    "use", ["kerasfer.load('edge')", "kerasfer.create('tdgan')", "kerasfer.training.fit", "k.data"]
)
def test_without_tensorflow_one_line_says_what_to_install(use):
    code = f"""
import sys
for module in ("tensorflow", "keras", "cv2", "scipy", "sklearn", "safetensors", "matplotlib", "tqdm"):
    sys.modules[module] = None
import kerasfer, kerasfer as k, kerasfer.lite
try:
    {use}
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert re.match(r"\w+ is not installed: pip install 'kerasfer\[train\]' .*kerasfer.lite", line)


def test_another_missing_module_is_named_as_it_is():
    from kerasfer.missing import explained

    error = ModuleNotFoundError("No module named 'kerasfer.nowhere'", name="kerasfer.nowhere")
    assert explained(error) is error


# The scripts, with a Python that a stub stands for.


def tools(folder: Path, **stubs: str) -> Path:
    """A folder for PATH with the few tools that the scripts use, and stubs of others."""
    folder.mkdir()
    for name in ("sh", "cat", "rm", "dirname", "tail", "tr", "env"):
        (folder / name).symlink_to(shutil.which(name))
    for name, text in stubs.items():
        stub = folder / name
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
    return folder


def run_script(name: str, path: Path, venv: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {"PATH": str(path), "KERASFER_VENV": str(venv)}
    return subprocess.run(
        [str(ROOT / "scripts" / name), *words], env=environment, capture_output=True, text=True, check=False
    )


BROKEN = {
    "no ensurepip": 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; esac',
    "venv fails half way": 'case "$1 $2" in "-m venv") mkdir="$3"; /bin/mkdir -p "$3/bin"; echo "no ensurepip"; '
    "exit 1;; *print*) echo 3.11;; esac",
}


@pytest.mark.parametrize("script", ["test.sh", "demo.sh"])
@pytest.mark.parametrize("stub", BROKEN.values(), ids=BROKEN.keys())
def test_a_python_without_venv_gets_one_line(tmp_path, script, stub):
    result = run_script(script, tools(tmp_path / "bin", python3=stub), tmp_path / "venv")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "apt-get install python3.11-venv" in line
    assert not (tmp_path / "venv").exists()


def test_no_python_that_fits_gets_one_line(tmp_path):
    result = run_script("install.sh", tools(tmp_path / "bin", python3="exit 1"), tmp_path / "venv")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "no Python 3.10 or newer found" in line and "apt-get install" in line


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), r"install .*--no-compile -e \.\[(cpu|train),serve,heic\]"),
        (("dev",), r"install .*--no-compile -e \.\[(cpu|train),serve,heic,dev\]"),
        (("dev", "tested"), r"install .*-c scripts/tested\.txt -e \.\[(cpu|train),serve,heic,dev\]"),
    ],
)
def test_what_pip_is_asked_to_install(tmp_path, words, asked):
    """The stub is a venv's Python; it writes down what pip is asked to do."""
    log = tmp_path / "asked"
    stub = 'case "$*" in *hashlib*) echo stamp;; "-") case "$(cat)" in *machine*) echo cpu;; esac;; esac\n'
    stub += f'case "$*" in "-m pip"*) echo "$*" >>{log};; esac'
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    tools(tmp_path / "tools", python=stub)
    (venv / "bin" / "python").symlink_to(tmp_path / "tools" / "python")
    result = run_script("install.sh", tmp_path / "tools", venv, *words)
    assert result.returncode == 0, result.stderr
    *_, last = log.read_text().splitlines()
    assert re.fullmatch(f"-m pip {asked}", last)
    log.unlink()
    again = run_script("install.sh", tmp_path / "tools", venv, *words)
    assert again.returncode == 0 and not again.stdout
    assert " install " not in log.read_text(), "installed again though nothing changed"


# The pages.


def figures_tree(root: Path, **metrics: list[dict]) -> Path:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import results_table
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    page = f"# Title\n\n{results_table.BEGIN}\nold\n{results_table.END}\n\nend\n"
    (root / "README.md").write_text(f"{page}\n{results_table.FILES_BEGIN}\n{results_table.FILES_END}\n")
    (root / "scripts/cards").mkdir(parents=True)
    for name, figures in metrics.items():
        folder = root / "saved_models" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"figures": figures}))
        (folder / "config.json").write_text(json.dumps({"model": name}))
        (root / "scripts/cards" / f"{name}.md").write_text(CARD_TEXT)
    return root


CARD_TEXT = "picture: none\n\nA toy.\n\n## Use\n\nNone.\n\n## Limits\n\nMany.\n\n## Licenses\n\nFree.\n"

FIGURES = [
    {
        "key": "ferplus_valid_accuracy",
        "what": "accuracy",
        "value": 0.8125,
        "unit": "share",
        "command": "python apps/evaluate.py --model toy",
    },
    {"key": "recognizer_weights", "what": "weights", "value": 1234567, "unit": "count", "command": "x"},
    {"key": "lite_int8_milliseconds", "what": "time", "value": 1.23456, "unit": "ms", "command": "x"},
    {"key": "tflite_int8_bytes", "what": "size", "value": 512_000, "unit": "bytes", "command": "x"},
    {"key": "float16_same_label", "what": "agreement", "value": 0.995, "unit": "share", "command": "x"},
]


def test_figures_are_written_between_the_markers(tmp_path, capsys):
    root = figures_tree(tmp_path, toy=FIGURES)
    import results_table

    assert results_table.main(["--check"], root) == 1
    assert "old" in (root / "README.md").read_text()
    assert results_table.main([], root) == 0
    page = (root / "README.md").read_text()
    assert "| [`toy`](saved_models/toy/README.md) | 81.2 % | – | – | 0.5 MB | 1.235 ms |" in page
    assert (
        "| `toy` | float16 | – | 99.5 % | – | – | – |\n| `toy` | int8 | 0.5 MB | – | – | 1.235 ms | – |\n<!--" in page
    )
    assert page.startswith("# Title\n") and "\n\nend\n\n<!-- files" in page and "old" not in page
    assert "| FER+ valid: accuracy |  | 81.2 % |  |" in (root / "saved_models/toy/README.md").read_text()
    assert results_table.main(["--check"], root) == 0


def test_the_default_model_stands_first_and_papers_beside_their_figures(tmp_path, capsys):
    """Also in pages of docs/, which link a paper's page from where they are, and no cards."""
    share = {"unit": "share", "command": "x", "what": "x"}
    figures = [
        {"key": key, "value": value, **share} for key, value in (("fesr", 0.5), ("ferplus_valid_accuracy", 0.75))
    ]
    root = figures_tree(tmp_path, edge=FIGURES, fesr=figures, wild=FIGURES)
    import results_table

    from kerasfer.models import DEFAULT_RECOGNIZER

    assert results_table.DEFAULT == DEFAULT_RECOGNIZER
    published = root / "kerasfer/protocols/published"
    published.mkdir(parents=True)
    shutil.copy(ROOT / "kerasfer/protocols/published/fesr-table5.json", published)
    tables = f"{results_table.PAPERS_BEGIN}\n{results_table.PAPERS_END}\n"
    (root / "docs/guides").mkdir(parents=True)
    guide = root / "docs/guides/all.md"
    guide.write_text(f"{tables}{results_table.BEGIN}\n{results_table.END}\n")
    (root / "README.md").write_text((root / "README.md").read_text() + tables)
    assert results_table.main([], root) == 0
    text = (root / "README.md").read_text()
    assert re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE) == ["wild", "edge", "fesr"]
    assert "| [FESR_JL](docs/papers/fesr.md) | " in text
    assert " | CK+: 99.34 %; BASELINE 95.63 % | 75.0 %; BASELINE – |" in text
    assert "| [FESR_JL](../papers/fesr.md) | " in guide.read_text() and "| `wild` | 81.2 % |" in guide.read_text()
    (published / "fesr-table5.json").write_text('{"rows": []}')
    assert results_table.main([], root) == 2
    assert "fesr-table5.json: does not hold what the table of papers shows" in capsys.readouterr().err


def test_the_table_of_training_steps(tmp_path, capsys):
    root = figures_tree(tmp_path, toy=FIGURES)
    import results_table

    page = root / "README.md"
    page.write_text(f"{page.read_text()}\n{results_table.SPEED_BEGIN}\n{results_table.SPEED_END}\n")
    assert results_table.main([], root) == 0 and "None has been measured yet." in page.read_text()
    common = {"what": "train toy small", "precision": "float32", "batch": 8, "runs": 5}
    stages = (("norm+adam", 1.0), ("adam", 2.5), ("nothing", 3.0))
    rows = [{**common, "without": stage, "images/s": speed} for stage, speed in stages]
    (root / "docs/training_speed").mkdir(parents=True)
    (root / "docs/training_speed/toy.json").write_text(json.dumps({"processor": "x", "rows": rows}))
    assert results_table.main([], root) == 0
    assert "| plain | + norm | + adam (as it is) |" in page.read_text()
    assert "| toy small | float32 | 8 | 1 | 2.5 | 3 |" in page.read_text()
    (root / "docs/training_speed/toy.json").write_text('{"rows": [{}]}')
    assert results_table.main([], root) == 2
    assert "toy.json: not written by scripts/benchmark.py train" in capsys.readouterr().err


def test_the_table_of_photos_and_videos(tmp_path, capsys):
    root = figures_tree(tmp_path, toy=FIGURES)
    import results_table

    page = root / "README.md"
    page.write_text(f"{page.read_text()}\n{results_table.TIMES_BEGIN}\n{results_table.TIMES_END}\n")
    (root / "docs/speed").mkdir(parents=True)
    common = {"threads": 1, "runs": 200, "ms/photo": 6.5, "fastest ms": 6.1, "MB": 82}
    rows = {
        "device": {"what": "bundle", "landmarks": False, "faces": 20, "import s": 0.2, **common},
        "photo": {"what": "fer", "detector": "its own", "first photo s": 4.5, **common},
        "folder": {"what": "folder", "photos/s": 43.5, "runs": 1, "MB": 127, "MB after a fifth": 126},
        "video": {"what": "video", "processors": 2, "runs": 1, "frames": 300, "frames/s": 65.8, "MB": 200},
    }
    for name, row in rows.items():
        (root / f"docs/speed/{name}.json").write_text(json.dumps({"processor": "x", "rows": [row]}))
    assert results_table.main([], root) == 0
    text = page.read_text()
    bundle = "| bundle, 20 faces, without landmarks | 1, x | 6.5 ms | 6.1 ms | 200 runs | 0.2 s (import) | 82 MB |"
    assert bundle in text
    assert "| fer, detector its own | 1, x | 6.5 ms | 6.1 ms | 200 runs | 4.5 s | 82 MB |" in text
    assert "| folder | all, x | 43.5 photos/s | – | 1 runs | – | 126 to 127 MB |" in text
    assert "| video | 2, x | 65.8 frames/s | – | 300 frames | – | 200 MB |" in text
    (root / "docs/speed/photo.json").write_text(json.dumps({"processor": "x", "rows": [{"what": "fer"}]}))
    assert results_table.main([], root) == 2
    assert "photo.json: not written by scripts/benchmark.py device, photo, video or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    ['{"figures": [{"key": "a"}]}', "{}", "no json", '{"figures": 1}'],
    ids=["fields", "none", "text", "number"],
)
def test_bad_figures_are_one_line(tmp_path, capsys, content):
    root = figures_tree(tmp_path, toy=FIGURES)
    import results_table

    (root / "saved_models/toy/metrics.json").write_text(content)
    before = (root / "README.md").read_text()
    assert results_table.main([], root) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "metrics.json" in line
    assert (root / "README.md").read_text() == before


def test_readme_shows_the_measured_figures():
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts/results_table.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_pages_name_only_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", prose)
    named = re.findall(
        r"\b((?:apps|scripts|tests|docs|kerasfer|saved_models)/[\w./-]+\.(?:py|sh|md|png|gif|json))", text
    )
    missing = {name for name in {*links, *named} if not (ROOT / name).exists()}
    assert not missing


def test_pictures_are_small():
    for path in (ROOT / "docs").glob("*"):
        assert path.stat().st_size < 1_500_000, f"{path.name} is too large"

"""A bundle recognizes by itself, and says truly what it holds."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import kerasfer
from kerasfer import images, lite, units
from kerasfer.bundle import FILLED_IN, MODULES, BundleError, write_bundle
from kerasfer.detection import FERPLUS_TEMPLATE, blazeface

ROOT = Path(__file__).resolve().parent.parent
ASTRONAUT = skimage.data.astronaut()
UNITS_TOLERANCE = 0.01
"""Largest difference of an action unit between the bundle and `kerasfer.recognize`."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle far from the checkout, and what it lists."""
    folder = tmp_path_factory.mktemp("device") / "bundle"
    return folder, write_bundle(ROOT / "saved_models" / "tdgan" / "model_int8.tflite", folder)


def run(folder, *arguments):
    """`recognize.py` of the bundle in a process that can import numpy, Pillow and LiteRT, and little else."""
    code = f"""
import runpy, sys
for module in ("kerasfer", "tensorflow", "keras", "mediapipe", "cv2", "scipy", "sklearn", "skimage", "tqdm"):
    sys.modules[module] = None
sys.path.insert(0, {str(folder)!r})
sys.argv = ["recognize.py", *{arguments!r}]
runpy.run_path({str(folder / "recognize.py")!r}, run_name="__main__")
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )


def test_it_runs_where_kerasfer_is_not(bundle, tmp_path):
    images.write(tmp_path / "a.png", ASTRONAUT)
    (tmp_path / "b.png").touch()
    images.write(tmp_path / "c.png", np.full((90, 90, 3), 70, np.uint8))
    result = run(bundle[0], "--action-units", *(str(tmp_path / name) for name in ("a.png", "b.png", "c.png")))
    assert (result.returncode, result.stderr) == (1, "")
    photos = [json.loads(line) for line in result.stdout.splitlines()]
    (face,) = photos[0]["faces"]
    (expected,) = kerasfer.recognize(ASTRONAUT, bundle[0] / "model_int8.tflite", "quick", action_units=True)
    assert face["expression"] == expected.expression
    np.testing.assert_allclose(face["box"], expected.to_json()["box"], atol=1)
    for name, probability in expected.probabilities.items():
        assert face["probabilities"][name] == pytest.approx(probability, abs=0.05)
    # Without OpenCV pictures shrink by other roundings; the README states what that may change.
    told = {f"AU{number}": value for number, value in expected.action_units.items()}
    assert face["action_units"] == pytest.approx(told, abs=UNITS_TOLERANCE)
    assert face["unit_details"] == pytest.approx(expected.unit_details, abs=UNITS_TOLERANCE)
    assert f"within {UNITS_TOLERANCE}" in (bundle[0] / "README.md").read_text()
    assert "b.png: the file is empty" in photos[1]["error"]
    assert photos[2] == {"path": str(tmp_path / "c.png"), "error": None, "faces": []}


def test_it_takes_a_prior(bundle):
    never_happy = dict.fromkeys((bundle[0] / "labels.txt").read_text().split(), 1) | {"happiness": 0}
    code = (
        f"import sys; sys.path.insert(0, {str(bundle[0])!r})\nimport kerasfer_lite\n"
        f"pipeline = kerasfer_lite.load(prior={never_happy})\n"
        f"face, = pipeline.recognize({str(ROOT / 'kerasfer' / 'astronaut.jpg')!r})\n"
        "print(face.probabilities['happiness'], face.expression)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    probability, expression = told.stdout.split() or [told.stderr, ""]
    assert float(probability) == 0 and expression != "happiness"


def test_what_it_holds(bundle):
    folder, files = bundle
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert (folder / "labels.txt").read_text().split() == list(lite.Recognizer(folder / "model_int8.tflite").labels)
    assert (folder / "face_detection_short_range.tflite").read_bytes() == blazeface._network().file.read_bytes()
    told = json.loads((folder / "units.json").read_text())
    assert told["labels"] == (folder / "labels.txt").read_text().split()
    assert [unit["number"] for unit in told["units"]] == list(units.UNITS) and len(told["seen"]) == 146
    for name in ("LICENSE", "LICENSE-mediapipe"):
        assert "Apache License" in (folder / name).read_text()


def test_its_modules_import_nothing_that_stayed_behind(bundle):
    folder = bundle[0]
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                assert name.split(".")[0] != "kerasfer", f"{path.name} imports {name}"
                if name.startswith("kerasfer_lite."):
                    module = name.replace(".", "/")
                    places = [folder / f"{module}.py", folder / f"{Path(module).parent}.py", folder / module]
                    assert any(place.exists() for place in [*places, (folder / module).parent]), name
    assert len(MODULES) == len(set(MODULES))


@pytest.mark.parametrize(
    ("name", "kotlin", "swift"),
    [
        ("tdgan/model_int8.tflite", "0.114 * blue).roundToInt().toByte())", "0.114 * blue).rounded())]"),
        ("wild/model_float16.tflite", "input.putFloat((0.007843137 * (0.299", "[Float(0.007843137 * (0.299"),
    ],
)
def test_the_snippets_have_the_models_numbers(name, kotlin, swift, tmp_path):
    write_bundle(ROOT / "saved_models" / name, tmp_path)
    texts = {path: (tmp_path / path).read_text() for path in FILLED_IN}
    assert kotlin in texts["Expressions.kt"] and swift in texts["Expressions.swift"]
    assert all(Path(name).stem in text and not re.search(r"\$[a-z_]|\$\$", text) for text in texts.values())
    (target,) = re.findall(r"let target: \[CGFloat\] = \[(.*)\]", texts["Expressions.swift"])
    expected = (FERPLUS_TEMPLATE.points * 48).ravel()
    np.testing.assert_allclose([float(value) for value in target.split(", ")], expected, atol=0.006)
    assert (
        '"neutral", "happiness"' in texts["Expressions.kt"] and '"neutral", "happiness"' in texts["Expressions.swift"]
    )


@pytest.mark.skipif(
    shutil.which("kotlinc") is None, reason="no Kotlin compiler (Debian, Ubuntu: apt-get install kotlin)"
)
@pytest.mark.parametrize(
    "name", ["tdgan/model_int8.tflite", pytest.param("wild/model_float16.tflite", marks=pytest.mark.slow)]
)
def test_the_kotlin_code_compiles(name, tmp_path):
    write_bundle(ROOT / "saved_models" / name, tmp_path)
    sources = [*sorted(tmp_path.glob("*.kt")), *sorted((ROOT / "tests" / "android_stubs").glob("*.kt"))]
    command = ["kotlinc", "-nowarn", *map(str, sources), "-d", str(tmp_path / "classes")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("Expressions", "ActionUnits", "UnitRules"):
        assert (tmp_path / "classes" / f"{name}.class").is_file()


def test_the_way_of_a_picture_as_the_readme_tells_it():
    """Its numbers for anchors are those that the detector's decoding uses."""
    anchors = blazeface._anchors(128, 128) / 128
    for i in (0, 1, 31, 32, 511, 512, 517, 518, 895):
        if i < 512:
            place = ((i // 2) % 16 + 0.5) / 16, (i // 32 + 0.5) / 16
        else:
            place = ((i - 512) // 6 % 8 + 0.5) / 8, ((i - 512) // 48 + 0.5) / 8
        np.testing.assert_allclose(anchors[i], place)


def test_what_cannot_be_bundled(tmp_path):
    other = tmp_path / "other.tflite"
    shutil.copy(blazeface._network().file, other)
    with pytest.raises(lite.LiteError, match="no kerasfer metadata"):
        write_bundle(other, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle("tdgan", tmp_path / "file")


@pytest.mark.slow
def test_the_app_writes_bundles(tmp_path):
    def app(*arguments):
        command = [sys.executable, str(ROOT / "apps" / "export.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    result = app("--model", "tdgan", "--formats", "float16", "--bundle", "phone")
    assert result.returncode == 0, result.stderr
    assert "phone/model_float16.tflite" in result.stdout.split()
    assert not (tmp_path / "phone" / "model_int8.tflite").exists()
    result = app("--formats", "saved_model", "--bundle", "other")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1) and "a bundle holds a TFLite file" in result.stderr

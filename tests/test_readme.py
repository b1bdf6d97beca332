"""What README says holds: its code runs, its commands and extras are there; and so does what stands beside it."""

from __future__ import annotations

import configparser
import importlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from kerasfer import images, sample
from kerasfer.cli.main import COMMANDS
from kerasfer.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every `kerasfer ...` of the page, in blocks and within lines, as words without the first."""
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    found = [line for line in lines if line.startswith("kerasfer ")]
    prose = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    found += re.findall(r"`(kerasfer [a-z-]+ [^`]+|kerasfer serve)`", prose)
    return [shlex.split(line)[1:] for line in found]


def command(words: list[str]) -> int:
    module = importlib.import_module(f"kerasfer.cli.{words[0].replace('-', '_')}")
    return module.main(words[1:])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a photo, and with rendered faces in folders by class, as the page has them."""
    from kerasfer.rendering import make_factors, render

    folder = tmp_path_factory.mktemp("place")
    (folder / "photo.jpg").write_bytes(sample.PHOTO.read_bytes())
    for number in range(60):
        part, name = ("test", "train")[number >= 12], ("happy", "other")[number % 2]
        factors = make_factors(number // 4, ("happiness", "sadness")[number % 2], seed=3)
        images.write(folder / "my_faces" / part / name / f"{number}.png", render(factors, 48, 1).image)
    return folder


def test_it_is_a_page():
    assert len(PAGE.splitlines()) <= 150
    assert PAGE.index("import kerasfer") < PAGE.index("kerasfer.train(") < PAGE.index("papers: begin")
    for script in ("demo.sh", "test.sh"):
        assert re.search(rf"^scripts/{re.escape(script)} ", blocks("sh")[0], re.MULTILINE)
        assert (ROOT / "scripts" / script).stat().st_mode & 0o111
    assert "git clone --depth 1 " in blocks("sh")[0]
    for marker in ("figures", "papers"):
        assert PAGE.count(f"<!-- {marker}: begin") == PAGE.count(f"<!-- {marker}: end -->") == 1


def test_its_code_runs(place, monkeypatch, capsys):
    """The Python blocks one after the other, with one epoch for twenty, and the commands beside them."""
    monkeypatch.chdir(place)
    recognize, train = blocks("python")
    assert len([line for line in train.splitlines() if line.strip()]) == 5
    names = {}
    exec(compile(recognize, "README.md", "exec"), names)
    assert names["face"].expression == "happiness" and "happiness" in capsys.readouterr().out
    assert train.count("epochs=20") == 1
    exec(compile(train.replace("epochs=20", "epochs=1"), "README.md", "exec"), names)
    assert names["names"] == ("happy", "other") and len(names["run"].history) == 1
    assert "accuracy" in capsys.readouterr().out and (place / "exported" / "model_float16.tflite").exists()

    first, own = (words for block in blocks("sh") for words in commands_of(block))
    assert command(first) == 0
    assert list((place / "marked").iterdir()) and "happiness" in (place / "faces.csv").read_text()
    capsys.readouterr()
    assert command(own) == 0
    assert re.search(r"1\. (happy|other) ", capsys.readouterr().out)


def commands_of(block: str) -> list[list[str]]:
    return [shlex.split(line.split("#")[0])[1:] for line in block.splitlines() if line.startswith("kerasfer ")]


def test_its_line_without_tensorflow_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    [line] = re.findall(r"`(kerasfer\.lite\.[^`]+)`", PAGE)
    [face] = eval(line, {"kerasfer": importlib.import_module("kerasfer")})
    assert face.expression == "happiness"


def test_its_bundle_is_written(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    [words] = [words for words in commands() if "--bundle" in words]
    assert command(words) == 0
    assert list((place / words[-1]).glob("*.tflite"))


def test_its_commands_are_known():
    found = commands()
    assert {words[0] for words in found} >= {"recognize", "export", "serve", "recognize-many", "train", "evaluate"}
    for name, *words in found:
        assert name in COMMANDS
        module = importlib.import_module(f"kerasfer.cli.{name.replace('-', '_')}")
        if "--api" in words:
            words.remove("--api")
            module.api_parser().parse_args(words)
        else:
            module.parser().parse_args(words)
        if "--protocol" in words:
            from kerasfer.protocols import PROTOCOLS

            assert words[words.index("--protocol") + 1] in PROTOCOLS


def test_its_extras_are_there():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = re.findall(r"'\.\[(\w+)\]'", PAGE)
    assert {"train", "cpu", "cuda"} == set(extras) <= set(setup["options.extras_require"])


# What stands beside README.


def test_the_citation():
    """What CITATION.cff has to have, a reference for each paper, and no version that could differ from the code's."""
    yaml = pytest.importorskip("yaml")
    from kerasfer.models import MODELS

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation) and citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software" and citation["license"] == "Apache-2.0" and "version" not in citation
    papers = {reference["notes"]: reference for reference in citation["references"]}
    assert len(papers) == len(citation["references"]) == 5 and set(papers) <= set(MODELS)
    for name, reference in papers.items():
        assert reference["type"] == "article" and reference["title"] and reference["authors"]
        people = [tuple(person.values()) for person in reference["authors"]]
        assert len(set(people)) == len(people), f"{name}: an author occurs twice"
        tables = sorted((ROOT / "kerasfer/protocols/published").glob(f"{name}-*.json"))
        title = json.loads(tables[0].read_text(encoding="utf-8"))["paper"]
        assert title.startswith(reference["title"]), f"{name}: {title}"


def test_the_version_stands_once_and_has_its_changes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+) ", text, re.MULTILINE)
    assert versions[0] == __version__
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["version"] == "attr: kerasfer.version.__version__"


def test_the_classifiers_name_the_pythons_that_are_tried():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = re.findall(r"Python :: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert setup["options"]["python_requires"] == f">={named[0]}"
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    tried = re.search(r"python: \[(.*)\]", workflow)[1]
    assert [named[0], named[-1]] == re.findall(r"3\.\d+", tried)
    pinned = (ROOT / "scripts/renew_tested.py").read_text(encoding="utf-8")
    assert re.findall(r"3\.\d+", re.search(r"PYTHONS = \((.*)\)", pinned)[1]) == named


def test_the_release_check_refuses_what_it_does_not_know():
    script = str(ROOT / "scripts" / "release_check.sh")
    result = subprocess.run([script, "--outptu", "dist"], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stderr == "error: the only option is --output DIR\n"


def test_the_front_picture_shows_the_people_that_it_names(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import front_picture

    from kerasfer.datasets.london import CREDIT, FOLDERS

    folders = {expression.name.lower(): (folder, number) for folder, (number, expression) in FOLDERS.items()}
    for person, expression in front_picture.SHOWN:
        folder, number = folders[expression]
        other, other_number = folders["neutral" if expression == "happiness" else "happiness"]
        gray = np.full((64, 64, 3), int(person), np.uint8)
        images.write(tmp_path / "london" / folder / f"{person}_{number}.jpg", gray)
        images.write(tmp_path / "london" / other / f"{person}_{other_number}.jpg", np.zeros_like(gray))
    group = front_picture.group(tmp_path)
    side = front_picture.SIDE
    assert group.shape == (2 * side, 2 * side, 3)
    shown = [group[side // 2, side // 2], group[side // 2, -1], group[-1, side // 2], group[-1, -1]]
    wanted = [int(person) for person, _ in front_picture.SHOWN]
    np.testing.assert_allclose([pixel.mean() for pixel in shown], wanted, atol=3)
    assert CREDIT in PAGE.replace("\n", " ")

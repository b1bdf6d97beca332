"""The train and evaluate apps, as someone at a command line meets them."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasfer import images, synthesis, training
from kerasfer.data.kinds import ExpressionAndFace, LandmarkPairs, joined
from kerasfer.data.recipe import Recipe, read_faces
from kerasfer.models import model_class

ROOT = Path(__file__).resolve().parents[1]

LEAST = ["--size", "tiny", "--set", "inception_blocks=1", "--set", "residual_blocks=1", "--set", "head_units=8"]
BASE = [*LEAST, "--set", "variant=cnn_base", "--set", "batch_size=32", "--images", "300", "--quiet"]


def app(name: str):
    return importlib.import_module(f"kerasfer.cli.{name}")


def code_of(name: str, monkeypatch, *arguments: str) -> int:
    """Runs an app in this process as the command line would; returns its exit code."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        app("common").run_app(app(name).main)
    return stopped.value.code or 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A CNN-Base that was trained for an epoch by the app."""
    folder = tmp_path_factory.mktemp("app") / "run"
    assert app("train").main(["--model", "tdgan", "--output", str(folder), *BASE]) == 0
    return folder


def test_train_leaves_a_run(run):
    config = json.loads((run / "config.json").read_text())
    assert config["model"] == "tdgan" and config["config"]["variant"] == "cnn_base"
    assert config["config"]["training_prior"] == pytest.approx([1 / 6] * 6 + [0, 0], abs=1e-5)
    assert config["dataset"]["name"] == "synthetic" and config["dataset"]["train"] > config["dataset"]["valid"] > 0
    assert config["command"].startswith("kerasfer train --model tdgan --output ")
    with (run / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == [
        "epoch", "expression_discriminator", "accuracy", "seconds", "valid_accuracy", "valid_balanced_accuracy"
    ]  # fmt: skip
    assert list((run / "logs").glob("events.out.tfevents.*"))
    assert [place for place, _ in training.Checkpoints(run).places()] == [training.Place(1, 0)]


def test_train_goes_on_and_refuses_other_settings(run, monkeypatch, capsys):
    assert code_of("train", monkeypatch, "--model", "tdgan", "--output", run, *BASE) == 0
    assert f"trained: {run}" in capsys.readouterr().out
    assert code_of("train", monkeypatch, "--model", "tdgan", "--output", run, *BASE, "--set", "seed=5") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {run}/config.json: holds a run with another seed;") and error.count("\n") == 1


def test_a_share_of_the_faces(monkeypatch, capsys):
    """Is some of those trained on otherwise; the faces watched stay the same."""
    train = app("train")
    config = model_class("edge").Config.tiny()
    every, part = (
        recipe_parts(train.parser().parse_args(["--model", "edge", "--images", "400", *more]), config)
        for more in ([], ["--train-share", "0.1"])
    )
    paths = [set(table["path"]) for table in (every[0], part[0])]
    assert paths[1] < paths[0] and 20 <= len(part[0]) <= 60
    assert list(every[1]["path"]) == list(part[1]["path"])
    for share in ("0", "1", "-2"):
        assert code_of("train", monkeypatch, "--model", "edge", "--train-share", share) == 2
        assert capsys.readouterr().err == "error: --train-share lies between 0 and 1\n"


def recipe_parts(options, config):
    """The faces that the train app learns from and those that it watches, and what it says of them."""
    sets = app("train").sets_of(options, config.expressions)
    recipe = sets.recipe(model_class(options.model), config, lambda name: app("common").locate(name, options.data))
    return recipe.train, recipe.valid, recipe.said


def write_parts(root: Path, parts: dict[str, int]) -> None:
    """Folders of parts with so many happy and as many sad faces, each a picture of its own."""
    generator = np.random.default_rng(0)
    for part, count in parts.items():
        for number in range(2 * count):
            picture = generator.integers(0, 256, (24, 24)).astype(np.uint8)
            images.write(root / part / ("happy", "sad")[number % 2] / f"{number}.png", picture)


@pytest.mark.parametrize(
    ("parts", "trained", "watched", "tested"),
    [
        ({"train": 20, "test": 4}, ("train", 36), ("train", 4), ("test", 8)),
        ({"Training": 10, "PublicTest": 3, "PrivateTest": 4}, ("train", 20), ("valid", 6), ("test", 8)),
        ({"train": 10, "val": 3}, ("train", 20), ("valid", 6), ("valid", 6)),
        ({"Train_Aligned_Faces": 10, "validation set": 3}, ("train", 20), ("valid", 6), ("valid", 6)),
        ({"trainset": 10, "testset": 2}, ("train", 18), ("train", 2), ("test", 4)),
        ({"Mine_train2020": 10, "Mine_eval": 2}, ("train", 18), ("train", 2), ("test", 4)),
        ({"TrainImages": 10, "ValImages": 3, "TestImages": 4}, ("train", 20), ("valid", 6), ("test", 8)),
        ({"test_images/one": 2, "train_images/two": 10, "train_images": 10}, ("train", 36), ("train", 4), ("test", 4)),
    ],
)
def test_a_folder_of_parts_is_trained_on_train_and_tested_on_test(
    tmp_path, monkeypatch, capsys, run, parts, trained, watched, tested
):
    write_parts(tmp_path / "set", parts)
    data = ["--dataset", "folder", "--data", str(tmp_path / "set")]
    train = app("train")
    options = train.parser().parse_args(["--model", "edge", *data])
    learned, seen, said = recipe_parts(options, model_class("edge").Config.tiny())
    for table, (part, count) in ((learned, trained), (seen, watched)):
        assert (set(table["split"]), len(table)) == ({part}, count)
    assert not set(learned["path"]) & set(seen["path"])
    assert said.startswith(f"folder: {trained[1]} faces to train on (the part train), {watched[1]} to watch")
    assert ("left aside" in said) == ("test" in {tested[0]})
    assert code_of("evaluate", monkeypatch, "--model", run, *data) == 0
    assert f"folder: {tested[1]} faces to test on (the part {tested[0]}); left aside" in capsys.readouterr().out


def test_which_part_can_be_said(tmp_path, monkeypatch, capsys, run):
    write_parts(tmp_path / "set", {"train": 4, "test": 3})
    data = ["--dataset", "folder", "--data", str(tmp_path / "set")]
    for split, count in (("train", 8), ("test", 6), ("all", 14)):
        output = tmp_path / f"{split}.json"
        assert code_of("evaluate", monkeypatch, "--model", run, *data, "--split", split, "--output", output) == 0
        assert json.loads(output.read_text())["n"] == count
    train = app("train")
    for more, count in ((["--split", "all"], 14), (["--split", "test"], 6)):
        options = train.parser().parse_args(["--model", "edge", *data, *more])
        learned, seen, _ = recipe_parts(options, model_class("edge").Config.tiny())
        assert len(learned) + len(seen) == count
    capsys.readouterr()
    assert code_of("train", monkeypatch, "--model", "edge", *data, "--split", "valid") == 2
    assert capsys.readouterr().err == "error: folder: no valid part to train on; its parts are test, train, or all\n"


def test_a_list_of_parts_is_trained_on_train(tmp_path, capsys):
    """From the command line to the records of the run: the test faces are never read by the training."""
    write_parts(tmp_path, {"faces": 20})
    lines = ["path,expression,split,identity"]
    for number in range(40):
        split = "test" if number >= 32 else "train"
        name = ("happy", "sad")[number % 2]
        lines.append(f"faces/{name}/{number}.png,{name},{split},p{number // 4}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    arguments = ["--model", "tdgan", "--dataset", "csv", "--data", str(tmp_path), "--output", str(tmp_path / "run")]
    few = [*BASE, "--set", "batch_size=8", "--set", "epochs=1", "--balanced"]
    assert app("train").main([*arguments, *few]) == 0
    said = (
        "csv: 28 faces to train on (the part train), 4 to watch (held out of them, by person); left aside: 8 of test; "
        "balanced, the 28 are drawn 28 times"
    )
    assert f"{said}; 3 steps an epoch" in capsys.readouterr().out
    dataset = json.loads((tmp_path / "run" / "config.json").read_text())["dataset"]
    assert (dataset["train"], dataset["valid"], dataset["parts"]) == (28, 4, said)


def test_evaluate_a_run(run, tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "report.json"
    assert code_of("evaluate", monkeypatch, "--model", run, "--flip", "--output", output) == 0
    printed = capsys.readouterr().out
    report = json.loads(output.read_text())
    assert printed.startswith(f"synthetic: {report['n']} faces to test on (the part test)\n")
    assert f"accuracy {report['accuracy']:.2%}" in printed and "contempt" in printed
    assert (report["model"], report["dataset"], report["split"]) == (str(run), "synthetic", "test")
    assert report["protocol"] == "majority labels, mean of face and mirror image"
    assert report["n"] == np.sum(report["confusion"]) > 0
    assert {"recall", "precision", "f1", "n"} == set(report["per_class"]["fear"])
    assert [path.name for path in output.parent.iterdir()] == ["report.json"]


@pytest.mark.slow
def test_evaluate_the_codes(run, tmp_path, monkeypatch, capsys):
    output = tmp_path / "probes.json"
    drawn = tmp_path / "codes"
    options = ["--disentanglement", "--output", output, "--tsne", drawn]
    assert code_of("evaluate", monkeypatch, "--model", run, *options) == 0
    assert {path.name for path in drawn.iterdir()} == {
        "tsne_expression_by_expression.png",
        "tsne_expression_by_identity.png",
    }
    printed = capsys.readouterr().out
    assert "identity from the expression code" in printed and "chance 5.00%, 20 classes" in printed
    probes = json.loads(output.read_text())["probes"]
    assert [(probe["label"], probe["code"]) for probe in probes] == [
        ("identity", "expression"),
        ("expression", "expression"),
    ]


@pytest.mark.slow
def test_evaluate_a_tflite_file(run, tmp_path, monkeypatch):
    from kerasfer import export, zoo

    export.export(zoo.load(run), tmp_path / "exported", formats=("float32",))
    file = tmp_path / "exported" / "model.tflite"
    for option, source in (("--tflite", file), ("--model", run)):
        assert code_of("evaluate", monkeypatch, option, source, "--output", tmp_path / f"{option}.json") == 0
    lite, keras = (json.loads((tmp_path / f"{option}.json").read_text()) for option in ("--tflite", "--model"))
    assert lite["confusion"] == keras["confusion"]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("train", ["--model", "tdgan", "--dataset", "nowhere"], "unknown data set 'nowhere'; known are: affectnet"),
        ("train", ["--model", "tdgan", "--faces", "nowhere"], "unknown data set 'nowhere'"),
        ("train", ["--model", "tdgan", "--faces", "synthetic", "lfw_expressions"], "takes the people of one set"),
        ("train", ["--model", "tdgan", "--set", "epoch=3"], "no field 'epoch'; fields are"),
        ("train", ["--model", "tdgan", "--set", "epochs"], "write field=value"),
        ("train", ["--model", "tdgan", "--set", "image_size=50"], "multiple of 16"),
        ("train", ["--model", "tdgan", "--dataset", "ferplus"], "ferplus: say where its folder or zip is"),
        ("train", ["--model", "tdgan", "--dataset", "ferplus", "--data", "/no/such/place"], "/no/such/place"),
        ("train", ["--model", "tdgan", "--images", "0"], "more than 0"),
        ("train", ["--model", "tdgan", "--minutes", "nan"], "more than 0"),
        ("train", ["--model", "tdgan", "--teachers", "tdgan", *BASE], "give --labels votes, too"),
        ("train", ["--model", "tdgan", "--start-from", "/no/such/model", *BASE], "/no/such/model"),
        ("evaluate", ["--dataset", "nowhere"], "unknown data set 'nowhere'"),
        ("evaluate", ["--model", "/no/such/model"], "/no/such/model"),
        ("evaluate", ["--tflite", "/no/such/model.tflite"], "/no/such/model.tflite"),
        ("evaluate", ["--disentanglement", "--dataset", "ferplus"], "needs a --model, and synthetic faces"),
        ("evaluate", ["--tsne", "codes"], "give both"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, name, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert code_of(name, monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert expected in captured.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_split_and_output_that_cannot_be_written(run, tmp_path, monkeypatch, capsys):
    assert code_of("evaluate", monkeypatch, "--model", run, "--split", "noon") == 2
    assert "no split 'noon'; splits are train, valid, test" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert code_of("evaluate", monkeypatch, "--model", run, "--output", tmp_path / "file" / "report.json") == 2
    assert "choose another place" in capsys.readouterr().err


def test_an_unknown_model_is_refused_by_the_command_line(monkeypatch, capsys):
    assert code_of("train", monkeypatch, "--model", "nogan") == 2
    assert "invalid choice: 'nogan'" in capsys.readouterr().err


def test_stopping(tmp_path, monkeypatch, capsys):
    """Ctrl-C is 130, the end of the time 0, a loss that is not finite 1; each says where the run is."""

    def raising(error):
        def fit(*arguments, **options):
            raise error

        return fit

    for error, code in (
        (training.Interrupted("stopped; saved in run"), 130),
        (training.TimeIsOver("stopped; saved in run"), 0),
        (training.NonFiniteLossError("accuracy is nan; the last good checkpoint is run"), 1),
    ):
        monkeypatch.setattr(training, "fit", raising(error))
        assert code_of("train", monkeypatch, "--model", "tdgan", "--output", tmp_path / "run", *BASE) == code
        assert str(error) in capsys.readouterr().err


def test_help_and_fields(monkeypatch, capsys):
    for name in ("train", "evaluate"):
        assert code_of(name, monkeypatch, "--help") == 0
        text = capsys.readouterr().out
        assert f"kerasfer {name} " in text and "exit code" in " ".join(text.lower().split())
    assert code_of("train", monkeypatch, "--model", "tdgan", "--size", "paper", "--set", "help") == 0
    fields = capsys.readouterr().out.splitlines()
    assert "image_size = 128" in fields and "lambda_dic = 5.0" in fields


def test_help_does_not_load_tensorflow():
    code = "import sys; sys.argv = ['x', '--help']; sys.path.insert(0, 'apps'); import {0}\n"
    code += "try: {0}.main()\nexcept SystemExit: print('tensorflow' in sys.modules)"
    for name in ("train", "evaluate"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(name)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
def test_train_tdgan_with_nothing_downloaded(tmp_path):
    """The command of the README at the least size, in a process of its own, watched and then stopped."""
    import signal
    import time

    command = [sys.executable, str(ROOT / "apps/train.py"), "--model", "tdgan", *LEAST, "--images", "400"]
    command += ["--set", "epochs=50", "--output", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    samples = tmp_path / "run" / "samples" / "epoch-00001.png"
    while not samples.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert "saved in" in error and "the same command resumes it" in error
    assert "dual_image_consistency" in output and "valid_accuracy" in output
    assert max(map(len, output.splitlines())) <= 200
    assert images.read(samples).shape == (3 * 32, 4 * 32, 3)
    assert training.Checkpoints(tmp_path / "run").places()


def test_two_sets_with_landmarks_become_one_table():
    """Votes, names and boxes are filled in where a set has none; other columns of one set alone go."""
    from kerasfer import datasets

    faces = datasets.load("synthetic", count=8, identities=4)
    columns = {name: faces.columns[name] for name in ("path", "expression", "landmarks")}
    plain = type(faces)("plain", faces.source, columns, faces.label_space)
    both = joined([faces, plain])
    assert both.name == "synthetic and plain" and len(both) == 16
    assert set(both.columns) == {"path", "expression", "votes", "identity", "box", "landmarks"}
    assert both["identity"][:8].tolist() == [f"0/{name}" for name in faces["identity"]]
    assert set(both["identity"][8:]) == {""}
    np.testing.assert_array_equal(both["votes"][8:].argmax(1), faces["expression"])
    assert (both["votes"][8:].sum(1) == 10).all() and np.isnan(both["box"]).all()
    np.testing.assert_array_equal(both.read(8), faces.read(0))


def test_people_of_two_sets_stay_apart():
    """Rendered faces that join others are of another population, and of people with a score of faces each."""
    from kerasfer import datasets, splits

    config = model_class("g2fer").Config.tiny()
    faces, said = read_faces("synthetic", None, LandmarkPairs, config, images=1200)
    assert said == "synthetic: 1200 rendered faces of 60 other people"
    usual = datasets.load("synthetic", count=60, identities=60, size=64)
    assert len(faces) == 1200 and len(set(faces["identity"])) == 60
    first = [table.source.factors[0] for table in (faces, usual)]
    assert first[0].identity == first[1].identity and first[0].seed != first[1].seed
    assert np.abs(faces["pose"][:, 0]).max() > 45
    config = model_class("tdgan").Config.tiny().replace(identities=20)
    recipe = Recipe(usual, faces=[read_faces("synthetic", None, ExpressionAndFace, config, images=1200)[0]])
    few = recipe.prepare(model_class("tdgan"), config, say=lambda line: None).faces
    assert len(set(few["identity"])) == 20 and len(few) == 20 * 1200 // 50
    both = joined([faces, usual])
    assert len(set(both["identity"])) == 120 and len(splits.top_identities(both, 120)) == len(both)


@pytest.mark.slow
def test_train_g2fer_on_paired_and_unpaired_faces(tmp_path):
    """From landmarks to a run that can be loaded and draws."""
    from kerasfer import zoo

    fields = ["--set", "batch_size=16", "--set", "synthetic_images=2", "--set", "content_target=own"]
    arguments = ["--model", "g2fer", "--size", "tiny", "--images", "200", "--quiet", *fields]
    assert app("train").main([*arguments, "--output", str(tmp_path / "run")]) == 0
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["paired"]) == 1 and float(row["synthetic"]) > 0
    model = zoo.load(tmp_path / "run")
    control = synthesis.ByLandmarks(model)
    assert control.seen().sum() == 2 * json.loads((tmp_path / "run" / "config.json").read_text())["dataset"]["train"]
    faces = np.zeros((2, *model.image_spec.shape), np.float32)
    assert np.isfinite(model.synthesize(faces, control.landmarks_of("happiness", 15))).all()


@pytest.fixture(scope="module")
def own_faces(tmp_path_factory):
    """Rendered faces in folders happy, sad and other, divided into train and test."""
    from kerasfer.rendering import make_factors, render

    root = tmp_path_factory.mktemp("own") / "my_faces"
    shown = {"happy": ("happiness",), "sad": ("sadness",), "other": ("neutral", "surprise")}
    for number in range(60):
        part, name = ("test", "train")[number >= 12], list(shown)[number % 3]
        factors = make_factors(number // 6, shown[name][number % len(shown[name])], seed=3)
        images.write(root / part / name / f"{number:02}.png", render(factors, 48, 1).image)
    return root


def commands_of_the_pages(own_faces: Path, folder: Path) -> list[list[str]]:
    """The four commands for classes of one's own, as a page has them, with the folders of the test."""
    first = "kerasfer train --start-from edge --set expressions=happy,sad,other "
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("**/*.md"))]
    (block,) = {
        block for text in pages for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if block.startswith(first)
    }
    lines = [line.split("#")[0] for line in block.splitlines() if line.startswith("kerasfer ")]
    places = {"my_faces": str(own_faces), "runs/edge": str(folder / "run"), "exported": str(folder / "exported")}
    return [[places.get(word, word) for word in shlex.split(line)[1:]] for line in lines]


@pytest.mark.slow
def test_classes_of_ones_own_as_the_pages_have_it(own_faces, tmp_path, capsys):
    """From a bundled model to a run, a report, a photo and a TFLite file that say happy, sad and other.

    The default tests go the same way in Python, for README.
    """
    from kerasfer.lite import Recognizer

    train, evaluate, export, recognize = commands_of_the_pages(own_faces, tmp_path)
    least = ["--set", "epochs=5", "--set", "batch_size=16", "--output", str(tmp_path / "run"), "--quiet"]
    assert app("train").main([*train[1:], *least]) == 0
    said = capsys.readouterr().out
    assert "a new head on edge" in said and "the first 1 of 5 epochs move the head alone" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"] == "edge" and config["config"]["expressions"] == ["happy", "sad", "other"]
    assert config["config"]["blocks"] == 9 and config["config"]["freeze_epochs"] == 1
    assert app("evaluate").main([*evaluate[1:], "--output", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["labels"] == ["happy", "sad", "other"] and report["n"] == 12 and report["split"] == "test"
    assert app("export").main([*export[1:], "--formats", "float32", "--dataset", "synthetic"]) == 0
    assert Recognizer(tmp_path / "exported" / "model.tflite").labels == ("happy", "sad", "other")
    table = tmp_path / "faces.csv"
    photo = str(ROOT / "kerasfer" / "astronaut.jpg")
    assert app("recognize").main([photo, *recognize[2:], "--csv", str(table), "--output", "none"]) == 0
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["expression"] in ("happy", "sad", "other")
    assert sum(float(row[name]) for name in ("happy", "sad", "other")) == pytest.approx(1, abs=1e-4)


def test_classes_that_a_model_does_not_have_are_an_error_or_said(own_faces, run, tmp_path, monkeypatch, capsys):
    own = ["--dataset", "folder", "--data", str(own_faces), "--output", str(tmp_path / "run")]
    assert code_of("train", monkeypatch, "--model", "tdgan", *own, *BASE) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "other (14): no classes of the model" in line and "--set expressions=happy,other,sad" in line
    assert code_of("train", monkeypatch, *own) == 2
    assert "--model is missing" in capsys.readouterr().err
    some = [*BASE, "--set", "expressions=happiness,sad", "--set", "epochs=1", "--set", "batch_size=16"]
    assert code_of("train", monkeypatch, "--model", "tdgan", *own, *some) == 0
    assert "14 more are left out, which the model has no class for: other (14)" in capsys.readouterr().out
    assert code_of("evaluate", monkeypatch, "--model", run, "--dataset", "folder", "--data", own_faces) == 0
    assert (
        "4 faces left out: their expression is unknown or not one of the model's: other (4)" in capsys.readouterr().out
    )
    assert code_of("train", monkeypatch, "--model", "tdgan", "--start-from", run, *BASE, "--set", "epochs=0",
                   "--set", "expressions=happy,sad,sad") == 2  # fmt: skip
    assert "class 'sad' is named twice" in capsys.readouterr().err
    assert code_of("train", monkeypatch, "--model", "tdgan", "--labels-of", "fer2013", *BASE) == 2
    assert "--labels-of explains the numbers of csv or folder, not of synthetic" in capsys.readouterr().err


def test_labels_of_another_set(tmp_path, monkeypatch, run, capsys):
    """FER2013's 3 is happiness, and no number is an expression before someone says whose it is."""
    from kerasfer.rendering import make_factors, render

    for number, label in enumerate("3344"):
        name = {"3": "happiness", "4": "sadness"}[label]
        images.write(tmp_path / "faces" / label / f"{number}.png", render(make_factors(number, name), 48, 1).image)
    given = ["--model", run, "--dataset", "folder", "--data", tmp_path / "faces"]
    assert code_of("evaluate", monkeypatch, *given) == 2
    assert "say whose they are with labels_of= (--labels-of)" in capsys.readouterr().err
    file = tmp_path / "report.json"
    assert code_of("evaluate", monkeypatch, *given, "--labels-of", "fer2013", "--output", file) == 0
    counted = {name: entry["n"] for name, entry in json.loads(file.read_text())["per_class"].items() if entry["n"]}
    assert counted == {"happiness": 2, "sadness": 2}


@pytest.mark.slow
def test_the_example_of_own_classes(tmp_path):
    """On rendered faces and for an epoch: two lines with as many faces."""
    command = [sys.executable, str(ROOT / "examples/own_classes.py"), "--dataset", "synthetic", "--each", "12"]
    command += ["--output", str(tmp_path), "--set", "epochs=1", "--set", "batch_size=8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("a new head on edge") and second.startswith("without")
    assert first.endswith("n = 124") and second.endswith("n = 124")

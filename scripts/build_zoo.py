"""Retrains a bundled model from scratch, measures it and writes saved_models/<name>.

    python scripts/build_zoo.py --model tdgan --data DIR              # everything: hours
    python scripts/build_zoo.py --model tdgan --data DIR --measure    # the trainings in --runs are done: the rest
    python scripts/build_zoo.py --model tdgan --speed                 # images/s on this machine, into the figures

DIR holds ferplus and lfw_expressions, as folders or zips. Run again, a training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))

from common import locate, run_app  # noqa: E402

CONFIGS = {"tdgan": ROOT / "apps" / "configs" / "tdgan_ferplus.json"}
"""Model -> its experiment: the trainings, in order, and what apps/train.py is told for each."""

Figure = dict[str, Any]


def train(model: str, data: str, runs: Path) -> None:
    """Runs, or finishes, every training of a model."""
    experiment = json.loads(CONFIGS[model].read_text())
    for name, settings in experiment["runs"].items():
        told = shlex.split(f"{experiment['shared']} {settings.format(runs=shlex.quote(str(runs)))}")
        command = [sys.executable, str(ROOT / "apps" / "train.py"), "--model", model, "--data", data, *told]
        command += ["--output", str(runs / name)]
        print("$", shlex.join(command), flush=True)
        if subprocess.run(command, check=False).returncode:
            raise ValueError(f"{runs / name}: the training stopped; run this again to go on")


def figure(key: str, what: str, value: float, unit: str, command: str) -> Figure:
    """One entry of metrics.json, as scripts/results_table.py reads it."""
    return {"key": key, "what": what, "value": value, "unit": unit, "command": command}


def write_figures(folder: Path, figures: list[Figure]) -> None:
    """Writes the metrics.json of a model."""
    from kerasfer.files import write_aside

    write_aside(folder / "metrics.json", (json.dumps({"figures": figures}, indent=2) + "\n").encode())


def recognition_figures(models: dict[str, Any], valid: Any, command: str, build: str) -> list[Figure]:
    """Accuracy of TDGAN and of its baseline on FERPlus valid."""
    import kerasfer

    named = {
        "tdgan": "TDGAN",
        "cnn_base": "CNN-Base at the point where TDGAN starts",
        "cnn_base_longer": "CNN-Base, trained on for no fewer steps than TDGAN",
    }
    figures = []
    for name, label in named.items():
        report = kerasfer.evaluate(models[name], valid)
        print(report, flush=True)
        prefix, source = ("ferplus_valid", command) if name == "tdgan" else (f"{name}_ferplus_valid", build)
        tested = f"{label}: FERPlus valid, {report.n} faces, 8 classes, majority labels, last checkpoint, one seed"
        figures += [
            figure(f"{prefix}_accuracy", f"{tested}; accuracy", report.accuracy, "share", source),
            figure(f"{prefix}_balanced", f"{tested}; mean recall", report.balanced_accuracy, "share", source),
        ]
        if name == "tdgan":
            figures += [
                figure(f"recall_{expression}", f"{tested}; recall of {expression}", float(recall), "share", source)
                for expression, recall in zip(report.labels, report.recall)
            ]
    return figures


def disentangling_figures(models: dict[str, Any], build: str) -> list[Figure]:
    """What linear probes read from the codes of synthetic faces, beside chance."""
    import numpy as np

    from kerasfer import datasets
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.disentanglement import disentanglement

    faces = datasets.load("synthetic", count=1600, identities=20)
    spec = models["tdgan"].image_spec
    pixels = spec.scale(prepare_faces(faces, spec))
    codes = {
        "TDGAN expression": models["tdgan"].encode_expressions(pixels),
        "TDGAN face": models["tdgan"].encode_faces(pixels),
        "CNN-Base": models["cnn_base_longer"].encode_expressions(pixels),
    }
    figures = []
    for probe in disentanglement({name: np.asarray(code) for name, code in codes.items()}, faces):
        print(probe, flush=True)
        key = f"probe_{probe.code}_{probe.label}".lower().replace(" ", "_").replace("-", "_")
        what = f"linear probe, {probe.label} from the {probe.code} code, {probe.test_rows} synthetic faces"
        figures.append(figure(key, what, probe.accuracy, "share", build))
        figures.append(figure(f"{key}_chance", f"{what}; chance", probe.chance, "share", build))
    return figures


def export_figures(model: Any, folder: Path, data: str, valid: Any) -> list[Figure]:
    """TFLite files beside the weights, their parity on real faces, and what int8 recognises."""
    import kerasfer
    from kerasfer import datasets, lite
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.classification import Report, true_classes

    command = "python apps/export.py --model tdgan --output DIR --data DIR"
    train_faces = datasets.load("ferplus", locate("ferplus", data), split="train")
    exported = kerasfer.export(model, folder, ("float32", "float16", "int8"), calibration=train_faces, parity=valid)
    print(exported.table(), flush=True)
    figures = []
    for entry in exported.parity:
        tested = f"TFLite {entry.format} beside Keras, {entry.faces} FERPlus valid faces"
        figures += [
            figure(f"{entry.format}_same_label", f"{tested}; same label", entry.same_label, "share", command),
            figure(f"{entry.format}_difference", f"{tested}; largest difference", entry.max_difference, "", command),
            figure(f"tflite_{entry.format}_bytes", f"TFLite {entry.format}; size", entry.bytes, "bytes", command),
        ]
    recognizer = lite.Recognizer(exported.files["int8"])
    answers = recognizer.recognize(prepare_faces(valid, model.image_spec))
    true = true_classes(valid, model.label_space)
    report = Report.of(true, answers.argmax(1), model.label_space)
    evaluated = f"python apps/evaluate.py --tflite saved_models/tdgan/{exported.files['int8'].name} --dataset ferplus"
    what = f"TFLite int8: FERPlus valid, {report.n} faces, 8 classes, majority labels; accuracy"
    figures.append(
        figure("int8_ferplus_valid_accuracy", what, report.accuracy, "share", f"{evaluated} --split valid --data DIR")
    )
    return figures


def measure_tdgan(data: str, runs: Path, folder: Path) -> None:
    """Writes saved_models/tdgan: weights, TFLite files, figures, learning curves and card."""
    from kerasfer import datasets, zoo
    from kerasfer.training import read_history

    build = "python scripts/build_zoo.py --model tdgan --data DIR"
    command = "python apps/evaluate.py --model tdgan --dataset ferplus --split valid --data DIR"
    valid = datasets.load("ferplus", locate("ferplus", data), split="valid")
    models = {name: zoo.load(runs / name) for name in json.loads(CONFIGS["tdgan"].read_text())["runs"]}
    model = models["tdgan"]
    figures = recognition_figures(models, valid, command, build) + disentangling_figures(models, build)
    weights = model.recognizer().count_params()
    figures.append(figure("recognizer_weights", "weights of the recogniser", weights, "count", build))
    card = (folder / "README.md").read_text() if (folder / "README.md").is_file() else None
    history = read_history(runs / "tdgan" / "history.csv")
    zoo.save(
        model,
        folder,
        metrics={"figures": figures},
        history=history,
        card=card,
        storage={"recognizer": "float32", "generator": "float16", "training": "float16"},
    )
    figures += export_figures(model, folder, data, valid)
    figures += lite_figures(folder)
    write_figures(folder, figures)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)


def lite_figures(folder: Path) -> list[Figure]:
    """Milliseconds a face of the TFLite files on this machine."""
    from benchmark import lite_rows, processor

    figures = []
    for row in lite_rows(folder, runs=200):
        storage, threads = row["storage"], row["threads"]
        what = f"TFLite {storage}, one aligned face, {threads} thread(s), median of {row['runs']}, {processor()}"
        command = "python scripts/benchmark.py lite --model tdgan"
        key = f"lite_{storage}_milliseconds" + ("" if threads == 1 else f"_{threads}_threads")
        figures.append(figure(key, what, row["ms/face"], "ms", command))
    return figures


def speed_figures(model: str) -> list[Figure]:
    """Images/s of a training step at the paper's size and of the input pipeline, on this machine."""
    from benchmark import benchmark_input, benchmark_train, processor

    options = argparse.Namespace(
        model=model, size="paper", batch_size=8, precision=["float32", "mixed_bfloat16"], runs=5
    )
    figures = []
    for row in benchmark_train(options):
        what = f"training step, paper size, {row['precision']}, batch {row['batch']}, median of {row['runs']}"
        command = f"python scripts/benchmark.py train --model {model}"
        key = f"train_{row['precision']}_images_per_second"
        figures.append(figure(key, f"{what}, {processor()}", row["images/s"], "images/s", command))
    for row in benchmark_input(argparse.Namespace(model=model, dataset="synthetic", data=None, runs=3)):
        what = f"{row['what']}, batch {row['batch']}, median, {processor()}"
        size = row.get("size", "")
        key = f"{row['what']}_{size}_images_per_second".replace(",", "").replace(" ", "_")
        what = f"{what}, {size} px" if size else what
        figures.append(figure(key, what, row["images/s"], "images/s", "python scripts/benchmark.py input"))
    return figures


def add_speed(model: str, folder: Path) -> None:
    """Puts the speeds of this machine into the figures of a bundled model, in the place of older ones."""
    fresh = speed_figures(model)
    keys = {entry["key"] for entry in fresh}
    kept = [entry for entry in json.loads((folder / "metrics.json").read_text())["figures"] if entry["key"] not in keys]
    write_figures(folder, kept + fresh)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="build_zoo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, choices=sorted(CONFIGS), help="what to build")
    parser.add_argument("--data", metavar="DIR", help="folder with the data sets; needed but for --speed")
    parser.add_argument("--runs", metavar="DIR", help="where the trainings lie; default: runs/zoo-MODEL")
    parser.add_argument("--measure", action="store_true", help="do not train: measure and save what --runs holds")
    parser.add_argument("--speed", action="store_true", help="only time training and input on this machine")
    options = parser.parse_args(arguments)
    if options.speed:
        add_speed(options.model, ROOT / "saved_models" / options.model)
        return 0
    if options.data is None:
        raise ValueError("--data is missing: the folder that holds ferplus and lfw_expressions")
    runs = Path(options.runs or f"runs/zoo-{options.model}")
    if not options.measure:
        train(options.model, options.data, runs)
    {"tdgan": measure_tdgan}[options.model](options.data, runs, ROOT / "saved_models" / options.model)
    return 0


if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""Gathers what the page needs beside its own code: networks, the runtime's files, samples, and manifest.json.

    python apps/web/manifest.py FOLDER

Run by scripts/build_web.sh. The networks are MediaPipe's detector and face mesh, one TFLite file of each bundled
recognizer, and the generators that take a face and either another face or landmarks. TDGAN's generator, if it comes
without a TFLite file, is exported in float16, once: it is kept beside FOLDER until its weights change. Whatever the
page must know of them (labels, image sizes, constants of detection and alignment, accuracy, milliseconds) is read from
the files, from `metrics.json` and from kerasfer's modules, and written to networks/manifest.json.
"""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import run_app  # noqa: E402  (lies one folder up)

from kerasfer import images, lite, rendering, sample, tracking, video, weights  # noqa: E402
from kerasfer.detection import blazeface, mesh  # noqa: E402
from kerasfer.detection.alignment import FERPLUS_TEMPLATE  # noqa: E402
from kerasfer.detection.graphs import Graph  # noqa: E402
from kerasfer.faces import LANDMARK_GROUPS  # noqa: E402
from kerasfer.files import atomic_write  # noqa: E402
from kerasfer.interpreter import open_interpreter  # noqa: E402
from kerasfer.models import DEFAULT_RECOGNIZER  # noqa: E402
from kerasfer.priors import PriorError, prior_weights  # noqa: E402
from kerasfer.version import __version__  # noqa: E402

DETECTOR, MESH = "face_detection_short_range.tflite", "face_landmark.tflite"
RUNTIME = ("litert_wasm_internal", "litert_wasm_compat_internal")
"""LiteRT for browsers with relaxed SIMD and for those with SIMD alone."""

RECOGNIZERS = ("model_float16.tflite", "model_int8.tflite", "model.tflite")
"""Names of a recognizer's files, the one taken first if a folder holds several. Float16 gives the same answers in every
browser as outside. What int8 answers depends on how a processor's kernels round: beside WebAssembly's, probabilities of
the deeper networks were seen to differ by up to a tenth."""

GENERATORS = ("generator_int8.tflite", "generator_float16.tflite")
"""Names of a generator's files, the one taken first if a folder holds several."""

TRANSFER = ({"face", "expression"}, {"face", "expression", "noise"}, {"face", "landmarks"})
"""Inputs of the generators that the page can drive with two pictures."""

EXPORTED = ("tdgan",)
"""Models whose generator is exported here if they come without a TFLite file of it."""

DEFAULT_GENERATOR = "tdgan"
"""The generator that the page begins with, if it is there."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to; emptied first")
    folder: Path = parser.parse_args(arguments).folder
    shutil.rmtree(folder, ignore_errors=True)
    networks = folder / "networks"
    detector, face_mesh = (_copied(Graph(name).file, networks) for name in (DETECTOR, MESH))
    recognizers, generators = [], []
    for name, model in weights.bundled().items():
        figures = _figures(model)
        recognizer = next((model / entry for entry in RECOGNIZERS if (model / entry).is_file()), None)
        if recognizer is not None:
            recognizers.append(_recognizer(name, recognizer, figures, networks))
        file = _generator_file(name, model, folder.parent / "generators")
        if file is not None:
            generators.append(_generator(name, file, figures, networks))
    if not recognizers:
        raise ValueError("saved_models: holds no recognizer as a TFLite file; write one with apps/export.py")
    recognizers.sort(key=lambda entry: -(entry["accuracy"] or 0.0))
    names = [entry["name"] for entry in recognizers]
    drivers = [entry["name"] for entry in generators]
    manifest = {
        "version": __version__,
        "recognizer": DEFAULT_RECOGNIZER if DEFAULT_RECOGNIZER in names else names[0],
        "generator": DEFAULT_GENERATOR if DEFAULT_GENERATOR in drivers else next(iter(drivers), ""),
        **_settings(detector, face_mesh),
        "recognizers": recognizers,
        "generators": generators,
        "samples": _samples(folder / "samples"),
    }
    _copy_runtime(folder / "litert")
    atomic_write(networks / "manifest.json", json.dumps(manifest, indent=1).encode())
    print(f"{len(recognizers)} recognizers ({', '.join(names)}), {len(generators)} generators ({', '.join(drivers)})")
    return 0


def _settings(detector: str, face_mesh: str) -> dict[str, Any]:
    """The constants of detection, alignment and following."""
    landmarks = [index for indices in mesh.MESH_POINTS.values() for index in indices]
    interpreter = open_interpreter(Graph(MESH).file.read_bytes())
    size = int(interpreter.get_input_details()[0]["shape"][1])
    points = max(int(output["shape"].prod()) for output in interpreter.get_output_details()) // 3
    following = inspect.signature(video.VideoRecognizer).parameters
    return {
        "detector": {
            "file": detector,
            "window": blazeface.WINDOW,
            "padding": blazeface.PADDING,
            "step": blazeface.STEP,
            "smallest": blazeface.SMALLEST,
            "minimumScore": inspect.signature(lite.Pipeline).parameters["minimum_score"].default,
            "tileScore": blazeface.TILE_SCORE,
            "trustedScore": blazeface.TRUSTED_SCORE,
            "sureScore": blazeface.SURE_SCORE,
        },
        "mesh": {
            "file": face_mesh,
            "size": size,
            "points": points,
            "present": mesh.PRESENT,
            "confirmed": mesh.CONFIRMED,
            "landmarks": landmarks,
            "rightEye": list(LANDMARK_GROUPS["right_eye"]),
            "leftEye": list(LANDMARK_GROUPS["left_eye"]),
        },
        "template": {
            "points": FERPLUS_TEMPLATE.points.tolist(),
            "boxRatio": FERPLUS_TEMPLATE.box_ratio,
            "boxShift": FERPLUS_TEMPLATE.box_shift,
        },
        "tracking": {
            "every": following["every"].default,
            "closeEvery": tracking.CLOSE_EVERY,
            "closeApart": tracking.CLOSE_APART,
            "cut": tracking.CUT,
            "reduced": list(tracking.REDUCED),
            "samePerson": tracking.SAME_PERSON,
            "sameFace": tracking.SAME_FACE,
            "patience": tracking.PATIENCE,
            "smoothing": following["smoothing"].default,
        },
    }


def _recognizer(name: str, file: Path, figures: dict[str, dict[str, Any]], networks: Path) -> dict[str, Any]:
    content = file.read_bytes()
    metadata = lite.read_metadata(content, str(file))
    interpreter = open_interpreter(content)
    storage = metadata["storage"]
    accuracy = figures.get(f"{storage}_ferplus_valid_accuracy") or figures.get("ferplus_valid_accuracy") or {}
    speed = figures.get(f"lite_{storage}_milliseconds") or {}
    return {
        **_described(name, file, metadata, figures, networks),
        "labels": metadata["labels"],
        "balancing": _balancing(metadata),
        "input": _quantization(interpreter.get_input_details()[0], file),
        "output": _quantization(interpreter.get_output_details()[0], file),
        "accuracy": accuracy.get("value"),
        "accuracyOf": accuracy.get("what"),
        "milliseconds": speed.get("value"),
        "millisecondsOf": speed.get("what"),
    }


def _balancing(metadata: dict[str, Any]) -> list[float] | None:
    """What probabilities are multiplied by for the prior "balanced"; None if the model does not say its own."""
    try:
        return prior_weights("balanced", metadata["labels"], metadata.get("training_prior")).tolist()
    except PriorError:
        return None


def _generator(name: str, file: Path, figures: dict[str, dict[str, Any]], networks: Path) -> dict[str, Any]:
    metadata = lite.read_metadata(file.read_bytes(), str(file))
    return {**_described(name, file, metadata, figures, networks), "inputs": metadata["inputs"]}


def _described(
    name: str, file: Path, metadata: dict[str, Any], figures: dict[str, dict[str, Any]], networks: Path
) -> dict[str, Any]:
    """What recognizers and generators have in common; the title is the name that the paper's figures go by."""
    title = figures.get("ferplus_valid_accuracy", {}).get("what", name).split(":")[0]
    image = metadata["image"]
    return {
        "name": name,
        "title": title,
        "file": f"{name}/{_copied(file, networks / name)}",
        "storage": metadata["storage"],
        "bytes": file.stat().st_size,
        "image": {"size": image["size"], "channels": image["channels"], "range": image["range"]},
    }


def _quantization(details: dict[str, Any], file: Path) -> dict[str, float] | None:
    kind = details["dtype"].__name__
    if kind == "float32":
        return None
    if kind != "uint8":
        raise ValueError(f"{file}: takes or gives {kind}, which the page does not know; export it with apps/export.py")
    scale, zero = details["quantization"]
    return {"scale": float(scale), "zero": int(zero)}


def _generator_file(name: str, model: Path, exported: Path) -> Path | None:
    """A generator that two pictures can drive, exported if need be; None if the model has none."""
    file = next((model / entry for entry in GENERATORS if (model / entry).is_file()), None)
    if file is None and name in EXPORTED and (model / "generator.safetensors").is_file():
        file = _exported(name, model, exported / name)
    if file is None or set(lite.read_metadata(file.read_bytes(), str(file))["inputs"]) not in TRANSFER:
        return None
    return file


def _exported(name: str, model: Path, folder: Path) -> Path:
    """A generator's TFLite file, made anew only when the model's weights have changed."""
    file, note = folder / GENERATORS[1], folder / "made_of.json"
    weights_now = json.loads((model / "config.json").read_text(encoding="utf-8"))["files"]
    if file.is_file() and note.is_file() and json.loads(note.read_text(encoding="utf-8")) == weights_now:
        return file
    from kerasfer import export, zoo

    print(f"exporting the generator of {name} ...", flush=True)
    export.export_generator(zoo.load(name), folder, ["float16"])
    atomic_write(note, json.dumps(weights_now).encode())
    return file


def _figures(model: Path) -> dict[str, dict[str, Any]]:
    """The entries of a model's metrics.json by key."""
    file = model / "metrics.json"
    if not file.is_file():
        return {}
    return {entry["key"]: entry for entry in json.loads(file.read_text(encoding="utf-8"))["figures"]}


def _samples(folder: Path) -> dict[str, str]:
    """A photo of an astronaut (NASA, public domain) and a rendered face of nobody."""
    folder.mkdir(parents=True)
    shutil.copy(sample.PHOTO, folder / "astronaut.jpg")
    face = rendering.render(rendering.make_factors(identity=3), size=256, channels=3)
    images.write(folder / "rendered.png", face.image)
    photo = "samples/astronaut.jpg"
    return {"photo": photo, "face": "samples/rendered.png", "expression": photo}


def _copy_runtime(folder: Path) -> None:
    source = HERE / "node_modules" / "@litertjs" / "core" / "wasm"
    for name in RUNTIME:
        for ending in (".js", ".wasm"):
            if not (source / f"{name}{ending}").is_file():
                raise ValueError(f"{source / name}{ending}: missing; run npm ci in {HERE}")
            _copied(source / f"{name}{ending}", folder)


def _copied(file: Path, folder: Path) -> str:
    atomic_write(folder / file.name, file.read_bytes())
    return file.name


if __name__ == "__main__":
    run_app(main)

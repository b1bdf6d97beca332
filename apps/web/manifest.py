#!/usr/bin/env python3
"""Gathers what the page needs beside its own code: networks, the runtime's files, samples, and manifest.json.

    python apps/web/manifest.py FOLDER

Run by scripts/build_web.sh. The networks are MediaPipe's detector, face mesh, face landmarker and blendshapes, one
TFLite file of each bundled recognizer, and the generators that take a face and either another face or landmarks, as
far as metrics.json says that people accept what they draw (the figure generator_accepted, not 0); --all-generators
takes the others as well. TDGAN's generator, if it is taken and comes without a TFLite file, is exported in float16,
once: it is kept beside FOLDER until its weights change. Whatever the page must know of them (labels, image sizes,
constants of detection and alignment, accuracy, milliseconds) is read from the files, from `metrics.json` and from
kerasfer's modules, and written to networks/manifest.json.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import run_app  # noqa: E402  (lies one folder up)

from kerasfer import images, lite, rendering, sample, tracking, units, video, weights  # noqa: E402
from kerasfer.detection import blazeface, landmarker, mesh  # noqa: E402
from kerasfer.detection.alignment import FERPLUS_TEMPLATE  # noqa: E402
from kerasfer.detection.graphs import Graph  # noqa: E402
from kerasfer.faces import BLENDSHAPES, LANDMARK_GROUPS  # noqa: E402
from kerasfer.files import atomic_write  # noqa: E402
from kerasfer.interpreter import open_interpreter  # noqa: E402
from kerasfer.models import DEFAULT_RECOGNIZER  # noqa: E402
from kerasfer.priors import PRIORS, PriorError, prior_weights  # noqa: E402
from kerasfer.version import __version__  # noqa: E402

DETECTOR, MESH = "face_detection_short_range.tflite", "face_landmark.tflite"
LANDMARKER, BLENDSHAPES_FILE = "face_landmarks_detector.tflite", "face_blendshapes.tflite"
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

ACCEPTED = "generator_accepted"
"""The figure of a metrics.json that says whether people accept what a generator draws: 0, or not there, for no."""

LONDON = "Face Research Lab London Set, DeBruine and Jones, CC BY 4.0"
GALLERY = (
    ("astronaut.jpg", "An astronaut", "NASA, public domain"),
    ("london_smile.jpg", "A smile", LONDON),
    ("london_neutral.jpg", "A neutral face", LONDON),
    ("london_three.jpg", "Three people", LONDON),
)
"""Photos to try the page with: file, what it shows, whose it is."""

ICONS = (180, 192, 512)
"""Sides of the page's icons in pixels."""

DEFAULT_GENERATOR = "tdgan"
"""The generator that the page begins with, if it is there."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to; emptied first")
    parser.add_argument("--all-generators", action="store_true", help="also those that people have not accepted")
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    networks = folder / "networks"
    for name in (DETECTOR, MESH, LANDMARKER, BLENDSHAPES_FILE):
        _copied(Graph(name).file, networks)
    recognizers, generators = [], []
    for name, model in weights.bundled().items():
        figures = _figures(model)
        recognizer = next((model / entry for entry in RECOGNIZERS if (model / entry).is_file()), None)
        if recognizer is not None:
            recognizers.append(_recognizer(name, recognizer, figures, networks))
        wanted = options.all_generators or figures.get(ACCEPTED, {}).get("value")
        file = _generator_file(name, model, folder.parent / "generators") if wanted else None
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
        **_settings(),
        "recognizers": recognizers,
        "generators": generators,
        "samples": _samples(folder / "samples"),
    }
    shutil.copytree(HERE / "static", folder, dirs_exist_ok=True)
    for size in ICONS:
        images.write(folder / f"icon-{size}.png", _icon(size))
    _copy_runtime(folder / "litert")
    atomic_write(networks / "manifest.json", json.dumps(manifest, indent=1).encode())
    print(f"recognizers: {', '.join(names)}; generators: {', '.join(drivers) or 'none'}")
    return 0


def _settings() -> dict[str, Any]:
    """The constants of detection, alignment, following and action units."""
    landmarks = [index for indices in mesh.MESH_POINTS.values() for index in indices]
    interpreter = open_interpreter(Graph(MESH).file.read_bytes())
    size = int(interpreter.get_input_details()[0]["shape"][1])
    points = max(int(output["shape"].prod()) for output in interpreter.get_output_details()) // 3
    following = inspect.signature(video.VideoRecognizer).parameters
    return {
        "detector": {
            "file": DETECTOR,
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
            "file": MESH,
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
            "fineEvery": tracking.FINE_EVERY,
            "cut": tracking.CUT,
            "reduced": list(tracking.REDUCED),
            "samePerson": tracking.SAME_PERSON,
            "sameFace": tracking.SAME_FACE,
            "patience": tracking.PATIENCE,
            "smoothing": following["smoothing"].default,
        },
        "landmarker": {
            "file": LANDMARKER,
            "size": int(open_interpreter(Graph(LANDMARKER).file.read_bytes()).get_input_details()[0]["shape"][1]),
            "points": max(landmarker.SEEN) + 1,
            "present": landmarker.PRESENT,
            "region": landmarker.REGION,
            "sameFace": landmarker.SAME_FACE,
            "seen": list(landmarker.SEEN),
        },
        "blendshapes": {"file": BLENDSHAPES_FILE, "names": list(BLENDSHAPES)},
        "units": _units(),
    }


def _units() -> dict[str, Any]:
    told = units.description([])
    entries = [{key: unit[key] for key in unit if key != "shares"} for unit in told.pop("units")]
    return {key: told[key] for key in told if key != "blendshapes"} | {"entries": entries}


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
        "priors": _priors(metadata),
        "shares": [unit["shares"] for unit in units.description(metadata["labels"])["units"]],
        "input": _quantization(interpreter.get_input_details()[0], file),
        "output": _quantization(interpreter.get_output_details()[0], file),
        "accuracy": accuracy.get("value"),
        "accuracyOf": accuracy.get("what"),
        "milliseconds": speed.get("value"),
        "millisecondsOf": speed.get("what"),
    }


def _priors(metadata: dict[str, Any]) -> dict[str, list[float]]:
    """What probabilities are multiplied by for each prior that the model can answer for, by the prior's name."""
    weights_of = {}
    for name in PRIORS:
        with contextlib.suppress(PriorError):
            weights_of[name] = prior_weights(name, metadata["labels"], metadata.get("training_prior")).tolist()
    return weights_of


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


def _samples(folder: Path) -> dict[str, Any]:
    """The gallery: an astronaut and people of the London set; and a rendered face of nobody, for the generators."""
    shutil.copytree(HERE / "samples", folder, ignore=shutil.ignore_patterns("*.md"))
    shutil.copy(sample.PHOTO, folder / "astronaut.jpg")
    face = rendering.render(rendering.make_factors(identity=3), size=256, channels=3)
    images.write(folder / "rendered.png", face.image)
    gallery = [
        {"name": Path(file).stem, "file": f"samples/{file}", "shows": shows, "credit": credit}
        for file, shows, credit in GALLERY
    ]
    return {"gallery": gallery, "face": "samples/rendered.png", "expression": gallery[0]["file"]}


def _icon(size: int) -> np.ndarray:
    """static/icon.svg in pixels, uint8 (size, size, 3), for the systems that want it so."""
    drawn = Image.new("RGB", (1024, 1024), "#15191b")
    pen = ImageDraw.Draw(drawn)

    def line(color: str, *points: tuple[float, float]) -> None:
        pen.line([(16 * x, 16 * y) for x, y in points], fill=color, width=40, joint="curve")

    for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        near, far = 32 - 18 * x, 32 - 8 * x
        line("#f4f3ee", (near, 32 - 8 * y), (near, 32 - 18 * y), (far, 32 - 18 * y))
    for x, y in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        line("#ff8b66", (32 + 14 * x, 32 + 14 * y), (32 + 22 * x, 32 + 22 * y))
    turns = np.linspace(0.78, 2.36, 24)
    line("#ff8b66", *((32 + 11.3 * float(np.cos(turn)), 27.5 + 11.3 * float(np.sin(turn))) for turn in turns))
    return np.array(drawn.resize((size, size), Image.Resampling.LANCZOS))


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

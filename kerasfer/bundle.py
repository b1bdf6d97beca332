"""Bundles: a folder that recognizes faces on a device by itself, photo to expression.

    kerasfer.bundle.write_bundle("saved_models/tdgan/model_int8.tflite", "phone")

It holds the recognizer, MediaPipe's networks, the labels, how action units are told, the licenses, a README, code for
Python, Kotlin and Swift (from `templates/bundle`), and of kerasfer the modules that it takes, as the package
`kerasfer_lite`. They need numpy, Pillow and LiteRT.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from kerasfer import lite, units
from kerasfer.detection import graphs, landmarker
from kerasfer.detection.alignment import FERPLUS_TEMPLATE
from kerasfer.detection.graphs import Graph
from kerasfer.faces import PIXEL_RANGES
from kerasfer.files import atomic_write

__all__ = ["MODULES", "NETWORKS", "BundleError", "write_bundle"]

PACKAGE = "kerasfer_lite"
"""Name of the package in a bundle."""

MODULES = (
    "detection/alignment.py",
    "detection/blazeface.py",
    "detection/detectors.py",
    "detection/graphs.py",
    "detection/landmarker.py",
    "detection/mesh.py",
    "detection/pose.py",
    "expressions.py",
    "faces.py",
    "files.py",
    "forks.py",
    "images/__init__.py",
    "images/decoding.py",
    "images/sampling.py",
    "images/writing.py",
    "interpreter.py",
    "lite/__init__.py",
    "lite/metadata.py",
    "lite/networks.py",
    "lite/pipeline.py",
    "lite/preparation.py",
    "markup.py",
    "priors.py",
    "units.py",
    "weights.py",
)
"""kerasfer's modules that go into a bundle."""

NETWORKS = (
    "face_detection_short_range.tflite",
    "face_landmark.tflite",
    "face_landmarks_detector.tflite",
    "face_blendshapes.tflite",
)
"""MediaPipe's networks that go into a bundle: detector and face mesh; and for action units points and blendshapes."""

FILLED_IN = ("README.md", "Expressions.kt", "ActionUnits.kt", "Expressions.swift", "ActionUnits.swift")
"""Templates that get the recognizer's numbers."""

UNITS_TOLERANCE = 0.01
"""Largest difference between a bundle's action units and `kerasfer.recognize`'s: without OpenCV, pictures shrink by
other roundings."""

_IMPORT = re.compile(r"^(\s*(?:from|import) )kerasfer(?=[. ])", re.MULTILINE)
_HERE = Path(__file__).resolve().parent
_TEMPLATES = _HERE / "templates" / "bundle"


class BundleError(ValueError):
    """A bundle cannot be written; the message says why and what to do."""


def write_bundle(model: str | os.PathLike[str], folder: str | os.PathLike[str]) -> list[Path]:
    """Writes everything that a device needs to recognize expressions in photos.

    Args:
        model: a recognizer as `lite.recognizer_file` takes it.
        folder: where to; files of an earlier bundle are replaced.

    Returns:
        The files.

    Raises:
        LiteError: there is no such recognizer, or it is damaged.
        BundleError: a file cannot be written, or a license is missing.
    """
    source = lite.recognizer_file(model)
    recognizer = lite.Recognizer(source)
    contents = {
        source.name: source.read_bytes(),
        "labels.txt": "".join(f"{label}\n" for label in recognizer.labels).encode(),
        "units.json": json.dumps(_units(recognizer.labels), indent=1, ensure_ascii=False).encode(),
        "LICENSE": _license().encode(),
        "LICENSE-mediapipe": (graphs.FOLDER / "LICENSE").read_bytes(),
        "recognize.py": (_TEMPLATES / "recognize.py.in").read_bytes(),
        f"{PACKAGE}/__init__.py": (_TEMPLATES / "__init__.py.in").read_bytes(),
        f"{PACKAGE}/detection/__init__.py": b'"""Faces in photos."""\n',
    }
    numbers = _numbers(recognizer, source.name)
    for name in FILLED_IN:
        contents[name] = Template((_TEMPLATES / name).read_text(encoding="utf-8")).substitute(numbers).encode()
    for name in NETWORKS:
        file = Graph(name).file
        contents[file.name] = file.read_bytes()
    for name in MODULES:
        text = (_HERE / name).read_text(encoding="utf-8")
        contents[f"{PACKAGE}/{name}"] = _IMPORT.sub(rf"\g<1>{PACKAGE}", text).encode()
    written = []
    for name, content in contents.items():
        path = Path(folder) / name
        atomic_write(path, content, BundleError)
        written.append(path)
    return written


def _units(labels: Sequence[str]) -> dict[str, Any]:
    """How action units are told, and the points that the network of the blendshapes sees."""
    return {"labels": list(labels), "seen": list(landmarker.SEEN), **units.description(labels)}


def _license() -> str:
    checkout = _HERE.parent / "LICENSE"
    if checkout.is_file():
        return checkout.read_text(encoding="utf-8")
    try:
        found = importlib.metadata.distribution("kerasfer")
    except importlib.metadata.PackageNotFoundError:
        found = None
    for name in ("LICENSE", "licenses/LICENSE"):
        if found is not None and (text := found.read_text(name)):
            return text
    raise BundleError("the license of kerasfer is not where it is installed; install kerasfer with pip")


def _numbers(recognizer: lite.Recognizer, file: str) -> dict[str, Any]:
    """What the templates say of a recognizer."""
    spec = recognizer.image_spec
    low, high = PIXEL_RANGES[spec.pixel_range]
    bytes_in = recognizer.metadata["storage"] == "int8"
    factor, shift = (high - low) / 255, low
    gray = "(0.299 * red + 0.587 * green + 0.114 * blue)"
    scaled = f"{factor:.9f} * {{}} {'-' if shift < 0 else '+'} {abs(shift):g}"
    values = [gray] if spec.channels == 1 else ["red", "green", "blue"]
    rounded = ".roundToInt()" if spec.channels == 1 else ""
    kotlin = f".put({{}}{rounded}.toByte())" if bytes_in else f".putFloat(({scaled}).toFloat())"
    swift = "UInt8({}.rounded())" if bytes_in else f"Float({scaled})"
    target = FERPLUS_TEMPLATE.points * spec.size
    return {
        "model": recognizer.metadata["model"],
        "storage": recognizer.metadata["storage"],
        "file": file,
        "stem": Path(file).stem,
        "units_tolerance": UNITS_TOLERANCE,
        "size": spec.size,
        "color": "gray" if spec.channels == 1 else "RGB",
        "count": len(recognizer.labels),
        "labels": ", ".join(recognizer.labels),
        "swift_labels": ", ".join(json.dumps(label, ensure_ascii=False) for label in recognizer.labels),
        "kotlin_labels": ", ".join(
            json.dumps(label, ensure_ascii=False).replace("$", "\\$") for label in recognizer.labels
        ),
        "input": "bytes 0 to 255" if bytes_in else f"float32, {low:g} (black) to {high:g} (white)",
        "output": "bytes: probability = byte / 256" if bytes_in else "float32 probabilities",
        "target": ", ".join(f"{value:.2f}" for value in target.ravel()),
        "kotlin_target": ", ".join(f"{value:.2f}f" for value in target.ravel()),
        "bytes_a_face": spec.size * spec.size * spec.channels * (1 if bytes_in else 4),
        "kotlin_put": "".join(kotlin.format(value) for value in values),
        "kotlin_answer": "ByteArray" if bytes_in else "FloatArray",
        "kotlin_probabilities": "answer[0].map { (it.toInt() and 0xFF) / 256f }" if bytes_in else "answer[0].toList()",
        "swift_type": "UInt8" if bytes_in else "Float",
        "swift_put": "[" + ", ".join(swift.format(value) for value in values) + "]",
        "swift_probabilities": "answer.data.map { Float($0) / 256 }" if bytes_in else "floats(answer)",
    }

#!/usr/bin/env python3
"""Measures how well the bundled identity network tells people apart, on pairs of LFW-expressions faces.

    python scripts/measure_identity.py --data DIR                 # prints the figures
    python scripts/measure_identity.py --data DIR --save          # also writes them into saved_models/dlib_resnet

DIR holds lfw_expressions, as a folder or zip. The pairs depend on --seed alone. Faces are found and aligned once and
kept in --cache. Exit code 0: done; 2: bad input.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))

from common import locate, run_app  # noqa: E402

COMMAND = "python scripts/measure_identity.py --data DIR"
FERPLUS_SIZE = 112
UNFOUND_TOP = 0.09
"""Where no face is found, the picture is moved up by this share of its height, which brings the eyes of most to their
place."""


def aligned_faces(table: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Gray faces of some rows: "identity", aligned by five points, and "ferplus", as the recognizers see them."""
    from tqdm import tqdm

    from kerasfer import images
    from kerasfer.detection import align, detect
    from kerasfer.detection.identity import align_identity

    identity = np.zeros((len(rows), 150, 150), np.uint8)
    ferplus = np.zeros((len(rows), FERPLUS_SIZE, FERPLUS_SIZE), np.uint8)
    found = np.zeros(len(rows), bool)
    for number, row in enumerate(tqdm(rows, desc="aligning", unit="face")):
        image = images.decode(table.read(row), str(table["path"][row]))
        middle = np.array(image.shape[1::-1]) / 2
        faces = [face for face in detect(image, pose=False) if face.landmarks is not None]
        if not faces:
            lost = round(UNFOUND_TOP * len(image))
            lifted = np.concatenate([image[lost:], np.repeat(image[-1:], lost, axis=0)])
            identity[number] = images.to_gray(images.resize(lifted, 150))
            ferplus[number] = images.to_gray(images.resize(image, FERPLUS_SIZE))
            continue
        face = min(faces, key=lambda face: np.hypot(*(np.array(face.box.center) - middle)))
        identity[number] = images.to_gray(align_identity(image, face.landmarks))
        ferplus[number] = images.to_gray(align(image, face, FERPLUS_SIZE))
        found[number] = True
    return {"rows": rows, "identity": identity, "ferplus": ferplus, "found": found}


def cached_faces(table: Any, rows: np.ndarray, cache: Path) -> dict[str, np.ndarray]:
    """`aligned_faces`, read from the cache if it holds those rows."""
    from kerasfer.files import atomic_write

    try:
        with np.load(cache, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("rows", "identity", "ferplus", "found")}
        if np.array_equal(arrays["rows"], rows):
            return arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    arrays = aligned_faces(table, rows)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    atomic_write(cache, buffer.getvalue())
    return arrays


def embedded(network: Any, pixels: np.ndarray, spec: Any) -> np.ndarray:
    """Features of gray faces (n, side, side), brought to a spec."""
    import tensorflow as tf

    from kerasfer.images import prepare

    call = tf.function(lambda batch: network(batch, training=False), reduce_retracing=True)
    batches = [pixels[start : start + 64] for start in range(0, len(pixels), 64)]
    return np.concatenate([call(np.stack([prepare(face, spec) for face in batch])).numpy() for batch in batches])


def figures_of(faces: dict[str, np.ndarray], pairs: Any) -> list[dict[str, Any]]:
    """All that metrics.json says of the network; printed as they come."""
    import keras

    import kerasfer
    from kerasfer.backbones.identity import LIFT, identity_network
    from kerasfer.evaluation.verification import pair_distances, verification
    from kerasfer.faces import ImageSpec

    entries: list[dict[str, Any]] = []

    def add(key: str, what: str, value: float, unit: str = "share") -> None:
        entries.append({"key": key, "what": what, "value": value, "unit": unit, "command": COMMAND})

    def measured(features: np.ndarray, key: str, what: str) -> np.ndarray:
        distances = pair_distances(features, pairs, faces["rows"])
        report = verification(distances, pairs.same, pairs.fold)
        print(f"{what}: {report}", flush=True)
        tested = f"{what}: {report.same} same and {report.different} different LFW-expressions pairs"
        add(f"{key}_accuracy", f"{tested}; accuracy, ten folds", report.accuracy)
        add(f"{key}_auc", f"{tested}; AUC", report.auc, "")
        add(f"{key}_eer", f"{tested}; equal error rate", report.equal_error_rate)
        add(f"{key}_threshold", f"{tested}; best threshold, mean of the folds", report.threshold, "")
        return distances

    network = kerasfer.load("dlib_resnet")
    spec = ImageSpec(150, 1)
    features = embedded(identity_network(spec=spec, lift=0.0), faces["identity"], spec)
    distances = measured(features, "verification", "150 px, aligned by five points")
    fixed = float(np.mean((distances < network.threshold) == pairs.same))
    add("verification_fixed", f"the same pairs at the fixed threshold {network.threshold}; accuracy", fixed)
    add("distance_same", "the same pairs: mean distance of one person's faces", distances[pairs.same].mean(), "")
    add("distance_different", "the same pairs: mean distance of two people's", distances[~pairs.same].mean(), "")
    share = float(faces["found"].mean())
    add("faces_found", f"share of the {len(faces['found'])} faces that were found and aligned", share)
    for side, lift in ((FERPLUS_SIZE, LIFT), (FERPLUS_SIZE, 0.0), (48, LIFT)):
        spec = ImageSpec(side, 1)
        moved = f"moved up by {lift:.0%}" if lift else "as they are"
        key = f"verification_ferplus_{side}" + ("" if lift else "_unmoved")
        features_here = embedded(identity_network(spec=spec, lift=lift), faces["ferplus"], spec)
        measured(features_here, key, f"{side} px, aligned for recognition, {moved}, resized in the graph")
    spec, some = ImageSpec(150, 1), faces["identity"][:500]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rounded = embedded(identity_network(spec=spec, lift=0.0), some, spec)
    finally:
        keras.config.set_dtype_policy("float32")
    lengths = np.linalg.norm(rounded, axis=1) * np.linalg.norm(features[: len(some)], axis=1)
    cosine = (rounded * features[: len(some)]).sum(1) / lengths
    add("bfloat16_cosine", f"mixed_bfloat16 beside float32, {len(some)} faces; least cosine", float(cosine.min()), "")
    add("network_weights", "weights", network.network.count_params(), "count")
    for entry in entries:
        entry["value"] = float(entry["value"])
        print(f"{entry['key']}: {entry['value']:.6g} {entry['unit']}".rstrip())
    return entries


def main(arguments: list[str] | None = None) -> int:
    """Runs the measurement; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder that holds lfw_expressions or its zip")
    parser.add_argument("--pairs", type=int, default=2000, metavar="N", help="pairs of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs (default: 0)")
    parser.add_argument(
        "--cache",
        default="runs/identity/faces.npz",
        metavar="FILE",
        help="aligned faces (default: runs/identity/faces.npz)",
    )
    parser.add_argument("--save", action="store_true", help="write saved_models/dlib_resnet/metrics.json and its card")
    options = parser.parse_args(arguments)

    from kerasfer import datasets
    from kerasfer.evaluation.verification import draw_pairs
    from kerasfer.files import atomic_write

    table = datasets.load("lfw_expressions", locate("lfw_expressions", options.data))
    pairs = draw_pairs(table, options.pairs, options.pairs, options.seed)
    figures = figures_of(cached_faces(table, pairs.rows, Path(options.cache)), pairs)
    if options.save:
        path = ROOT / "saved_models" / "dlib_resnet" / "metrics.json"
        atomic_write(path, (json.dumps({"figures": figures}, indent=2) + "\n").encode())
        subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)
    return 0


if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""Writes tests/golden/training_losses.json: what the first steps of tiny trainings lose, and what batches hold.

    python scripts/golden_losses.py                # all of it, a minute or two
    python scripts/golden_losses.py --compare      # what differs from the file that is there; writes nothing

A change of how trainings are put together must leave these numbers as they are; a change that means to move them
writes the file again and says so. Rendered faces of four people, float32, three steps without a graph, every term of
each step; of each kind of batch the mean and the spread of every array, with all augmentations. Needs nothing but
kerasfer.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FILE = ROOT / "tests" / "golden" / "training_losses.json"
STEPS = 3
BATCH_SIZE = 4

TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcganfer": ("dcganfer", {}),
    "edge": ("edge", {}),
    "fesr": ("fesr", {"pretraining_steps": 1}),
    "fesr baseline": ("fesr", {"variant": "baseline"}),
    "g2fer": ("g2fer", {}),
    "g2fer no_synfi": ("g2fer", {"variant": "no_synfi"}),
    "ipdfer": ("ipdfer", {}),
    "ipdfer baseline": ("ipdfer", {"variant": "baseline"}),
    "tdgan": ("tdgan", {}),
    "tdgan cnn_base": ("tdgan", {"variant": "cnn_base"}),
    "wild": ("wild", {"training_prior": (0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05)}),
}
"""Training -> model and fields of its config that differ from `tiny()`: each model, each kind of batch that it eats."""

TOLERANCE = {"relative": 1e-3, "absolute": 1e-5}
"""How far numbers may move between processors and versions of TensorFlow."""


def faces(size: int, channels: int) -> Any:
    """Rendered faces, a little larger than the model takes them, of four people with six each; movements are drawn."""
    import numpy as np

    from kerasfer import datasets

    table = datasets.load("synthetic", count=24, identities=4, size=size * 9 // 8, channels=channels, seed=7)
    return table.with_columns(blendshapes=np.random.default_rng(7).random((24, 52)))


def batches_of(kind: str, spec: Any, space: Any, augmentation: Any) -> Any:
    """Batches of a kind."""
    from kerasfer.data import KINDS

    table = faces(spec.size, spec.channels)
    return KINDS[kind](table, spec, space, BATCH_SIZE, seed=3, augmentation=augmentation)


def losses_of(training: str) -> list[dict[str, float]]:
    """Every term of each of the first steps."""
    from kerasfer.data import Augmentation
    from kerasfer.models import model_class

    name, fields = TRAININGS[training]
    Model = model_class(name)
    fields = {"seed": 5, "batch_size": BATCH_SIZE, "average": 0.9, "precision": "float32", **fields}
    model = Model(Model.Config.tiny().replace(**fields))
    batches = batches_of(Model.batch_kind_of(model.config), model.image_spec, model.label_space, Augmentation())
    steps = list(batches.epoch(0).take(STEPS))
    model.prepare(steps[0])
    model.compile(total_steps=STEPS)
    model.adapt(batches.columns)
    terms = []
    for batch in steps:
        for tracker in model.trackers.values():
            tracker.reset_state()
        terms.append({name: float(value) for name, value in model.train_step(batch).items()})
    return terms


def contents_of(kind: str) -> list[dict[str, list[float]]]:
    """Mean and standard deviation of every array of the first batches of a kind."""
    import numpy as np

    from kerasfer.data import Augmentation
    from kerasfer.expressions import FERPLUS8
    from kerasfer.faces import ImageSpec

    batches = batches_of(kind, ImageSpec(32, 1, "signed"), FERPLUS8, Augmentation.strong_and_sharp())
    return [
        {key: [float(np.mean(value)), float(np.std(value))] for key, value in batch.items()}
        for batch in batches.epoch(1).take(STEPS)
    ]


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """Where two such values differ by more than the tolerance."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        return [line for key in expected for line in differences(found[key], expected[key], f"{place}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        return [
            line for number, pair in enumerate(zip(found, expected)) for line in differences(*pair, f"{place}/{number}")
        ]
    if isinstance(expected, float) and isinstance(found, float):
        if math.isclose(found, expected, rel_tol=TOLERANCE["relative"], abs_tol=TOLERANCE["absolute"]):
            return []
    return [f"{place}: {found} instead of {expected}"]


def rounded(value: Any) -> Any:
    """The value with seven digits in each number."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.7g}")


def measured() -> dict[str, Any]:
    """All that the file holds."""
    from kerasfer.data import KINDS

    return {
        "trainings": {training: losses_of(training) for training in TRAININGS},
        "batches": {kind: contents_of(kind) for kind in KINDS},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", action="store_true", help="print what differs from the file; exit code 1 if any")
    options = parser.parse_args()
    found = measured()
    if options.compare:
        lines = differences(found, json.loads(FILE.read_text(encoding="utf-8")))
        print("\n".join(lines) or "nothing differs")
        return 1 if lines else 0
    FILE.write_text(json.dumps(rounded(found), indent=1) + "\n", encoding="utf-8")
    print(FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

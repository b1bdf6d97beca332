#!/usr/bin/env python3
"""Classes of your own on some hundred faces: from a trained model with a new head, beside without one.

    python examples/own_classes.py --data DIR        # DIR holds FER+; minutes on two cores

Takes faces of FER+'s valid part, which no bundled model has learned from, as happy, sad and other; trains `edge` on 200
of each, once from the bundled model with a new head and once from the face-recognition network that it starts from by
itself; and tests both on all other faces of that part.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kerasfer import datasets, images  # noqa: E402
from kerasfer.datasets.base import FaceTable  # noqa: E402

CLASSES = {"happiness": "happy", "sadness": "sad"}
"""What an expression is called here; every other one is "other"."""

OWN = ("happy", "sad", "other")

TRAININGS = {"a new head on edge": (("edge",), {}), "without": ((), {"teacher_share": 0.0})}
"""What is compared: the models to start from, and fields of the config."""


def own_table(name: str, data: str | None) -> FaceTable:
    """The faces with classes happy, sad and other."""
    root = None if data is None else datasets.find(name, data) or Path(data)
    table = datasets.load(name, root, split="valid")
    return table.mapped({label: CLASSES.get(label, "other") for label in table.label_space.labels})


def write_folders(table: FaceTable, folder: Path, each: int) -> None:
    """Writes `each` faces of each class, drawn with a seed, to train/<class>/, and all others to test/<class>/."""
    import numpy as np

    from kerasfer.datasets.reading import read_face

    generator = np.random.default_rng(0)
    names = table.class_names()
    for label in table.label_space.labels:
        for place, row in enumerate(generator.permutation(np.flatnonzero(names == label)).tolist()):
            part = "train" if place < each else "test"
            images.write(folder / part / label / f"{row:05}.png", read_face(table, row))


def wilson(right: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of Wilson for a share of n."""
    middle = (right + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (right * (1 - right) / n + z * z / (4 * n * n)) ** 0.5
    return middle - half, middle + half


def main(arguments: list[str] | None = None) -> int:
    """Trains both models and prints how often they are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", help="folder that holds FER+ or its zip")
    parser.add_argument("--dataset", default="ferplus", metavar="NAME", help="other faces (default: ferplus)")
    parser.add_argument("--each", type=int, default=200, metavar="N", help="faces of each class (default: 200)")
    parser.add_argument("--output", default="runs/own_classes", metavar="DIR", help="default: runs/own_classes")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="FIELD=VALUE")
    options = parser.parse_args(arguments)

    import kerasfer
    from kerasfer.data import Recipe
    from kerasfer.models import model_class
    from kerasfer.trainer import first_config, trained_model

    folder = Path(options.output)
    write_folders(own_table(options.dataset, options.data), folder / "faces", options.each)
    Edge = model_class("edge")
    more = {"epochs": 20, "batch_size": 32, **dict(map(Edge.Config.parse_override, options.overrides))}
    faces = Recipe(datasets.load("folder", folder / "faces", expressions=OWN)).divided()
    test = datasets.load("folder", folder / "faces", split="test", expressions=OWN)
    for number, (name, (sources, fields)) in enumerate(TRAININGS.items()):
        models = {source: trained_model(source) for source in sources}
        config = first_config(Edge, list(models.values()), expressions=OWN, epochs=more["epochs"])
        config = config.replace(expressions=OWN, **{**fields, **more})
        recipe = dataclasses.replace(faces, seed=config.seed)
        report = kerasfer.train(config, recipe, folder / f"run{number}", start_from=models, verbose=0).evaluate(test)
        low, high = wilson(report.accuracy, report.n)
        print(
            f"{name:<20}{report.accuracy:.1%} right ({low:.1%} to {high:.1%}), mean recall "
            f"{report.balanced_accuracy:.1%}, n = {report.n}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

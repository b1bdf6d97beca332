#!/usr/bin/env python3
"""Faces of your own, from folders to a file for a phone: recipe, training, test, export, recognition.

    python examples/train_your_own.py                  # on rendered faces, half a minute of processor time
    python examples/train_your_own.py --data my_faces  # my_faces/train/happy/1.jpg ..., my_faces/test/happy/9.jpg ...

Folders are named by what their faces show. The bundled `edge` keeps what it knows of faces and gets a new head.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kerasfer
from kerasfer import datasets, export, images, lite
from kerasfer.data import Augmentation, Recipe
from kerasfer.datasets.reading import read_face


def render_faces(folder: Path, count: int) -> Path:
    """Writes faces that show nobody to train/<class>/ and test/<class>/, instead of faces of your own."""
    names = {"happiness": "happy", "sadness": "sad", "surprise": "amazed"}
    faces = datasets.load("synthetic", count=count, identities=count // 6, size=64, expressions=tuple(names))
    for row, (expression, part) in enumerate(zip(faces.class_names(), faces["split"])):
        part = "test" if part == "test" else "train"
        images.write(folder / part / names[expression] / f"{row:05}.png", faces.read(row))
    return folder


def main(arguments: list[str] | None = None) -> None:
    """From folders to an exported model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", help="folders of faces (default: rendered ones)")
    parser.add_argument("--output", metavar="DIR", default="runs/train_your_own")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rendered", type=int, default=600, metavar="N", help="faces to render (default: 600)")
    options = parser.parse_args(arguments)
    output = Path(options.output)
    data = Path(options.data) if options.data else render_faces(output / "faces", options.rendered)

    faces, test = datasets.load("folder", data), datasets.load("folder", data, split="test")
    recipe = Recipe(train=faces, valid=0.1, augment=Augmentation.strong())  # the part train; a tenth of it is watched
    classes = faces.label_space.labels
    run = kerasfer.train("edge", recipe, output / "run", start_from="edge", expressions=classes, epochs=options.epochs)
    print(f"watched: {run.history[-1]['valid_accuracy']:.1%} right after {len(run.history)} epochs")
    print(run.evaluate(test))
    export.export(run.model, output / "exported", formats=("float32",))
    recognizer = lite.Recognizer(output / "exported" / "model.tflite")
    shares = recognizer.recognize(read_face(test, 0))
    answer = ", ".join(f"{name} {share:.0%}" for name, share in zip(recognizer.labels, shares))
    print(f"a face that shows {test.class_names()[0]}: {answer}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tests how well a model recognises expressions.

    python apps/evaluate.py --model tdgan --dataset ferplus --split valid --data DIR
    python apps/evaluate.py --model runs/tdgan --flip --output report.json
    python apps/evaluate.py --tflite exported/tdgan/model_int8.tflite --dataset ferplus --data DIR
    python apps/evaluate.py --model runs/tdgan --disentanglement

Prints accuracy, the figures of each expression and the confusion matrix. With --disentanglement it measures instead
what the model's codes give away: who it is and which expression it is, as a linear classifier reads them from the codes
of synthetic faces, beside chance. Exit code 0: done; 2: bad input.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from common import locate, run_app

from kerasfer import datasets
from kerasfer.files import write_aside


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tested = parser.add_mutually_exclusive_group()
    tested.add_argument(
        "--model",
        default="tdgan",
        metavar="NAME|DIR",
        help="bundled model, saved model or training run (default: tdgan)",
    )
    tested.add_argument("--tflite", metavar="FILE", help="test an exported .tflite file instead")
    parser.add_argument(
        "--dataset",
        default="synthetic",
        metavar="NAME",
        help=f"the faces: {', '.join(datasets.names())} (default: synthetic)",
    )
    parser.add_argument(
        "--split",
        metavar="PART",
        help="train, valid, test or all (default: valid for synthetic and ferplus, else all)",
    )
    parser.add_argument(
        "--data", metavar="DIR", help="folder that holds the data set's folder or zip, or is the data set"
    )
    parser.add_argument(
        "--labels",
        default="majority",
        choices=("majority", "votes"),
        help="what counts as right (default: majority)",
    )
    parser.add_argument("--flip", action="store_true", help="mean over each face and its mirror image")
    parser.add_argument("--disentanglement", action="store_true", help="probe the codes instead")
    parser.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    options = parser().parse_args(arguments)
    if options.disentanglement:
        if options.tflite or options.dataset != "synthetic":
            raise ValueError("--disentanglement needs a --model, and synthetic faces, whose factors are known")
        return _probe(options)

    from kerasfer import evaluation

    datasets.reader(options.dataset)
    model, name = _lite(options.tflite) if options.tflite else _loaded(options.model)
    split = options.split or ("valid" if options.dataset in ("ferplus", "synthetic") else "all")
    root = locate(options.dataset, options.data)
    table = datasets.load(options.dataset, root, split=None if split == "all" else split)
    protocol = [f"{options.labels} labels", *(["mean of face and mirror image"] if options.flip else [])]
    report = evaluation.evaluate(
        model,
        table,
        flip=options.flip,
        labels=options.labels,
        protocol=", ".join(protocol),
        model_name=name,
        progress=_progress(),
    )
    print(report)
    if options.output:
        write_aside(options.output, as_json(report.to_json()))
    return 0


def _loaded(source: str) -> tuple[Any, str]:
    from kerasfer import zoo

    return zoo.load(source), source


def _lite(path: str) -> tuple[Any, str]:
    """A TFLite recogniser as something that can be evaluated."""
    import numpy as np

    from kerasfer.expressions import LabelSpace
    from kerasfer.lite import Recognizer

    lite = Recognizer(path)
    spec = lite.image_spec

    def recognize(faces: Any) -> Any:
        return lite.recognize(list(spec.unscale(np.asarray(faces))))

    space = LabelSpace.of(lite.labels)
    return SimpleNamespace(image_spec=spec, label_space=space, recognizer=lambda: recognize), path


def _probe(options: argparse.Namespace) -> int:
    """Reads identity and expression from the codes of synthetic faces that the model was not trained on."""
    import dataclasses

    from kerasfer import evaluation
    from kerasfer.datasets.reading import prepare_faces

    model, name = _loaded(options.model)
    if not hasattr(model, "encode_expressions"):
        raise ValueError(f"{name}: this model has no expression code to probe")
    spec = model.image_spec
    table = datasets.load(
        "synthetic",
        count=1600,
        identities=20,
        seed=PROBED_SEED,
        size=max(64, spec.size),
        channels=spec.channels,
        expressions=model.label_space.labels,
    )
    faces = spec.scale(prepare_faces(table, spec))
    codes = {"expression": model.encode_expressions(faces)}
    if "face_encoder" in model.networks:
        codes["face"] = model.encode_faces(faces)
    probes = evaluation.disentanglement(codes, table)
    print(f"{name}, {len(table)} synthetic faces of {len(set(table['identity'].tolist()))} people")
    for probe in probes:
        print(probe)
    if options.output:
        figures = [dataclasses.asdict(probe) for probe in probes]
        content = {"model": name, "dataset": "synthetic", "n": len(table), "probes": figures}
        write_aside(options.output, as_json(content))
    return 0


PROBED_SEED = 1000
"""Seed of the synthetic people that are probed: others than those that `apps/train.py` trains on."""


def _progress() -> Callable[[int, int], None]:
    """A progress bar, if someone watches."""
    from tqdm import tqdm

    bar = tqdm(unit="face", disable=None, leave=False)

    def show(done: int, count: int) -> None:
        bar.total = count
        bar.update(done - bar.n)
        if done == count:
            bar.close()

    return show


def as_json(content: dict[str, Any]) -> bytes:
    """The content of a JSON file."""
    return (json.dumps(content, indent=2) + "\n").encode()


if __name__ == "__main__":
    run_app(main)

"""Trains a model of the zoo, or goes on with a training that was stopped.

    python apps/train.py --model tdgan                                   # synthetic faces, nothing to download
    python apps/train.py --model tdgan --dataset ferplus --faces lfw_expressions --data DIR

Run again with the same arguments, a training goes on where it stopped: after Ctrl-C, a crash or at the end of its time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from common import locate, run_app


def parse(arguments: list[str] | None) -> argparse.Namespace:
    from kerasfer.datasets import names
    from kerasfer.models import MODELS

    parser = argparse.ArgumentParser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, choices=sorted(MODELS), help="what to train")
    parser.add_argument("--size", default="small", choices=("paper", "small", "tiny"), help="default: small")
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a field of the model's config; may be given often; --set help lists the fields",
    )
    parser.add_argument(
        "--dataset", default="synthetic", help=f"faces with expressions: {', '.join(names())}; default: synthetic"
    )
    parser.add_argument(
        "--faces",
        metavar="NAME",
        help="faces with names, for models that need them; default: the data set, if it has names",
    )
    parser.add_argument(
        "--align-faces", action="store_true", help="align the faces with names by their landmarks first"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="folder with the data sets' folders or zips (or the data set itself)"
    )
    parser.add_argument(
        "--labels", default="majority", choices=("majority", "votes"), help="what the classifiers learn"
    )
    parser.add_argument("--augmentation", default="paper", choices=("paper", "strong"), help="default: paper")
    parser.add_argument(
        "--start-from", metavar="DIR", help="a run or saved model whose networks give the first weights"
    )
    parser.add_argument("--output", metavar="DIR", help="the run's folder; default: runs/MODEL")
    parser.add_argument("--minutes", type=float, metavar="N", help="save and stop after so long; run again to go on")
    parser.add_argument("--replicas", type=int, default=1, help="devices of this machine to share each batch among")
    parser.add_argument("--deterministic", action="store_true", help="repeat bit for bit (slower)")
    parser.add_argument("--quiet", action="store_true", help="one line an epoch instead of a progress bar")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    from kerasfer.models import model_class

    Model = model_class(options.model)
    if "help" in options.overrides:
        for field in dataclasses.fields(Model.Config):
            print(f"{field.name} = {json.dumps(getattr(getattr(Model.Config, options.size)(), field.name))}")
        return 0
    changes = dict(Model.Config.parse_override(text) for text in options.overrides)
    config = getattr(Model.Config, options.size)().replace(**changes)

    from kerasfer import training
    from kerasfer.batches import BATCH_MAKERS, Augmentation

    if options.deterministic:
        training.deterministic(config.seed)
    strategy = training.strategy_for(options.replicas)
    folder = Path(options.output or f"runs/{options.model}")
    train, valid = expression_tables(options.dataset, options.data, options.labels)
    augmentation = Augmentation.strong() if options.augmentation == "strong" else Augmentation()
    batch_kind = Model.batch_kind_of(config)
    tables = [train]
    if batch_kind == "expression_and_face":
        faces = face_table(options, train, config.identities)
        tables.append(aligned(faces, config, folder / "aligned") if options.align_faces else faces)
    make = BATCH_MAKERS[batch_kind]
    with strategy.scope():
        model = Model(config)
    batches = make(
        *tables,
        model.image_spec,
        model.label_space,
        config.batch_size,
        seed=config.seed,
        augmentation=augmentation,
        labels=options.labels,
    )
    facts: dict[str, Any] = {
        "command": "python apps/train.py " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "dataset": {"name": train.name, "train": len(train), "valid": len(valid), "labels": options.labels},
        "augmentation": dataclasses.asdict(augmentation),
    }
    if len(tables) > 1:
        facts["faces"] = {"name": tables[1].name, "images": len(tables[1]), "people": len(batches.identity_names)}
    if options.start_from and not training.Checkpoints(folder).places():
        from kerasfer import zoo

        model.start_from(zoo.load(options.start_from))
        facts["start_from"] = options.start_from
    training.write_run(folder, options.model, model, **facts)
    preview = next(iter(batches.epoch(0)))
    training.fit(
        model,
        batches,
        folder,
        strategy=strategy,
        on_epoch_end=[training.Validation(valid), training.Preview(preview)],
        verbose=2 if options.quiet else 1,
        stop_after=options.minutes and options.minutes * 60,
    )
    print(f"trained weights: {folder}")
    return 0


def expression_tables(name: str, data: str | None, labels: str) -> tuple[Any, Any]:
    """The train and the valid part of a data set; a set without a valid split gives a tenth of its train part."""
    from kerasfer import datasets, splits

    root = locate(name, data)
    options = {"labels": "probability"} if name == "ferplus" and labels == "votes" else {}
    train = datasets.load(name, root, split="train", **options) if name in OFFICIAL else datasets.load(name, root)
    if name in OFFICIAL:
        return train, datasets.load(name, root, split="valid")
    held_out = splits.holdout(train)
    return held_out.train, held_out.test


OFFICIAL = ("ferplus", "synthetic")
"""Data sets with an official valid split."""


def face_table(options: argparse.Namespace, expressions: Any, people: int) -> Any:
    """The images of the people with the most images."""
    from kerasfer import datasets, splits

    name = options.faces
    if name is None:
        if "identity" not in expressions:
            raise ValueError(f"{expressions.name} has no names; give a set that has, e.g. --faces lfw_expressions")
        return splits.top_identities(expressions, people)
    table = datasets.load(name, locate(name, options.data), **({"split": "train"} if name in OFFICIAL else {}))
    return splits.top_identities(table, people)


def aligned(faces: Any, config: Any, cache: Path) -> Any:
    """The faces cut out by their landmarks, a third larger than the model takes them, kept in a folder."""
    from kerasfer.detection import align_table

    return align_table(faces, config.image_size * 4 // 3, config.channels, cache=cache)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_app(main)

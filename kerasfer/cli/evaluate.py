"""Tests how well a model recognizes expressions.

    kerasfer evaluate --model tdgan --dataset ferplus --split valid --data DIR
    kerasfer evaluate --model runs/tdgan --flip --output report.json
    kerasfer evaluate --tflite exported/tdgan/model_int8.tflite --dataset ferplus --data DIR
    kerasfer evaluate --model edge --data DIR --transfer                 # every set that is in DIR
    kerasfer evaluate --model edge --data DIR --transfer --prior balanced --against ipdfer
    kerasfer evaluate --model edge --dataset ferplus --split valid --data DIR --robustness
    kerasfer evaluate --model wild --dataset london --data DIR --by skin_tone
    kerasfer evaluate --model runs/tdgan --disentanglement
    kerasfer evaluate --list-protocols
    kerasfer evaluate --protocol tdgan/table3 --data DIR
    kerasfer evaluate --protocol tdgan/table3 --data synthetic    # minutes: shows that it runs
    kerasfer evaluate --protocol g2fer/table8 --data rendered     # hours: Multi-PIE's place, at its size, rendered

Prints accuracy, precision, recall and F1 of each class and the confusion matrix. With --transfer it evaluates across
data sets: mean recall (balanced accuracy), accuracy, the worst class and the calibration error (ECE) on every set that
DIR holds, from whole photos where the set has photos, from crops where it has those, with 95 % confidence intervals.
With --disentanglement it measures instead what the model's latent codes give away: identity and expression, as a linear
probe reads them from the codes of synthetic faces, beside chance, and how well the codes cluster (silhouette).

With --protocol it runs a paper's table: trains each variant on each fold, chooses the epoch on a validation part of
the training side, tests once, and prints the paper's figure and ours. Run again, it resumes; with --folds, several runs
share the work in one folder. Exit code 0: done; 2: bad input; 130: stopped by Ctrl-C, and saved.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kerasfer import datasets
from kerasfer.cli.common import add_labels_of, load_recognizer, locate, own_options, prior, say
from kerasfer.files import atomic_write
from kerasfer.models import DEFAULT_RECOGNIZER


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tested = parser.add_mutually_exclusive_group()
    tested.add_argument(
        "--model",
        default=DEFAULT_RECOGNIZER,
        metavar="NAME|DIR",
        help="bundled model, saved model or training run (default: %(default)s)",
    )
    tested.add_argument("--tflite", metavar="FILE", help="test an exported .tflite file instead")
    parser.add_argument(
        "--dataset",
        default="synthetic",
        metavar="NAME",
        help=f"labeled faces to test on: {', '.join(datasets.names())} (default: synthetic)",
    )
    parser.add_argument(
        "--split",
        metavar="PART",
        help="train, valid, test or all (default: test; valid if the set has no test part, all if it has neither)",
    )
    parser.add_argument(
        "--data", metavar="DIR", help="folder that holds the data set's folder or zip, or is the data set"
    )
    parser.add_argument(
        "--labels",
        default="majority",
        choices=("majority", "votes"),
        help="ground truth: the majority label, or the share of each vote (default: majority)",
    )
    add_labels_of(parser)
    parser.add_argument(
        "--flip", action="store_true", help="test-time augmentation: average each face with its mirror image"
    )
    parser.add_argument(
        "--prior",
        type=prior,
        metavar="PRIOR",
        help="class prior to answer for: balanced, ferplus, or a JSON object with a share for each class "
        "(default: that of the model's training set)",
    )
    parser.add_argument(
        "--against",
        metavar="NAME|DIR|FILE",
        help="compare with another model, or a .tflite file, on the same faces: McNemar's test, intervals by person",
    )
    parser.add_argument(
        "--transfer", action="store_true", help="cross-data-set evaluation: every set in --data, and rendered faces"
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        metavar="NAME",
        help="with --transfer: only these sets, such as ck48 london rendered (default: all)",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="with --transfer or --by: keep the aligned crops of photos here, so that faces are detected once "
        "(default: nothing is kept)",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="accuracy and confidence on the faces made smaller, blurred, dark, compressed, grainy, turned and covered",
    )
    parser.add_argument(
        "--by",
        metavar="GROUP",
        help="accuracy and expressions answered in each group of faces: skin_tone, measured in the pictures; a CSV "
        "file with columns path and group; or a column of the data set. Faces in photos are found and aligned first",
    )
    parser.add_argument("--disentanglement", action="store_true", help="linear probes of the latent codes instead")
    parser.add_argument(
        "--tsne", metavar="DIR", help="with --disentanglement: t-SNE plots of the codes, by expression and by identity"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the figures as JSON; of a protocol, its folder (default: runs/NAME)"
    )
    table = parser.add_argument_group("a paper's table")
    table.add_argument("--list-protocols", action="store_true", help="list the tables that can be run")
    table.add_argument("--protocol", metavar="NAME", help="run this table; --data may be the words synthetic, rendered")
    table.add_argument("--settings", nargs="+", metavar="NAME", help="only these columns of it (default: all)")
    table.add_argument(
        "--folds", metavar="N,N", help="only these cross-validation folds or runs, from 0 (default: all)"
    )
    table.add_argument(
        "--size",
        choices=("paper", "small", "tiny"),
        help="of the models (default: paper; tiny on synthetic faces, small on rendered ones)",
    )
    table.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a field of the models' config, as often as needed",
    )
    table.add_argument(
        "--selection",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="validation share of the training side, on which the epoch is chosen; 0: train on all, take the last "
        "epoch (default: 0.1)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    if options.list_protocols:
        return _list_protocols()
    if options.protocol:
        return _run_protocol(options)
    if options.disentanglement:
        if options.tflite or options.dataset != "synthetic":
            raise ValueError("--disentanglement needs a --model, and synthetic faces, whose factors are known")
        return _probe(options)
    if options.tsne:
        raise ValueError("--tsne draws the codes that --disentanglement probes: give both")

    if options.transfer:
        return _transfer(options)

    from kerasfer import evaluation, splits

    datasets.reader(options.dataset)
    model, name = _tested(options)
    root = locate(options.dataset, options.data)
    voted = model.label_space.labels if options.labels == "votes" else None
    reading = own_options(options.dataset, options.labels_of, voted)
    table, said = splits.load_evaluation_part(options.dataset, root, options.split, **reading)
    print(said)
    if options.robustness:
        return _robustness(options, model, name, table)
    if options.by:
        return _by_group(options, model, name, table)
    protocol = [f"{options.labels} labels", *(["mean of face and mirror image"] if options.flip else [])]
    report = evaluation.evaluate(
        model,
        table,
        flip=options.flip,
        labels=options.labels,
        protocol=", ".join(protocol),
        model_name=name,
        progress=_progress(),
        prior=options.prior,
    )
    print(report)
    content = report.to_json()
    if options.against:
        compared = _compared(options, model, table)
        print(f"less {options.against}: {compared}")
        content["against"] = {"model": options.against, **compared.to_json()}
    if options.output:
        atomic_write(options.output, as_json(content))
    return 0


def _robustness(options: argparse.Namespace, model: Any, name: str, table: Any) -> int:
    """Measures the model on faces that are made worse."""
    from kerasfer.evaluation.robustness import robustness

    report = robustness(
        model,
        table,
        prior=options.prior,
        model_name=name,
        progress=lambda condition: print(f"measuring {condition}", file=sys.stderr, flush=True),
    )
    print(report)
    if options.output:
        atomic_write(options.output, as_json(report.to_json()))
    return 0


def _by_group(options: argparse.Namespace, model: Any, name: str, table: Any) -> int:
    """Measures the model in each group of faces."""
    from kerasfer.evaluation.groups import by_group, grouped

    faces, groups = grouped(table, options.by, model.image_spec.size, cache=options.cache)
    report = by_group(model, faces, groups, prior=options.prior, model_name=name)
    print(report)
    if options.output:
        atomic_write(options.output, as_json(report.to_json()))
    return 0


def _compared(options: argparse.Namespace, model: Any, table: Any) -> Any:
    """The model beside the other one on the faces whose expression both know."""
    import numpy as np

    from kerasfer.evaluation import paired_test, predict
    from kerasfer.evaluation.classification import true_classes
    from kerasfer.evaluation.resampling import people_of

    other, _ = _named(options.against)
    shared = model.label_space.shared(other.label_space)
    true = true_classes(table, shared, options.labels)
    faces = table.select(true >= 0)
    if not len(faces):
        raise ValueError(f"{options.against}: no face has an expression that both models know")

    def answers(of: Any) -> np.ndarray:
        probabilities = predict(of, faces, flip=options.flip, progress=_progress(), prior=options.prior)
        return np.asarray(probabilities)[:, [of.label_space.find(label) for label in shared.labels]].argmax(1)

    return paired_test(true[true >= 0], answers(model), answers(other), people_of(faces)[0])


def _transfer(options: argparse.Namespace) -> int:
    """Measures every set that is there."""
    from kerasfer.evaluation.transfer import SETS, transfer

    known = {entry.name: entry for entry in SETS}
    for wanted in options.sets or ():
        if wanted not in known:
            raise ValueError(f"--sets: no set {wanted!r}; known are: {', '.join(entry.name for entry in SETS)}")
    model, name = _tested(options)
    against = _named(options.against)[0] if options.against else None
    report = transfer(
        model,
        options.data,
        SETS if options.sets is None else [known[wanted] for wanted in options.sets],
        prior=options.prior,
        flip=options.flip,
        against=against,
        cache=options.cache,
        model_name=name,
        against_name=options.against or "",
        progress=lambda known: print(f"measuring {known}", file=sys.stderr, flush=True),
    )
    print(report)
    if options.output:
        atomic_write(options.output, as_json(report.to_json()))
    return 0


def _tested(options: argparse.Namespace) -> tuple[Any, str]:
    return _lite(options.tflite) if options.tflite else _loaded(options.model)


def _named(source: str) -> tuple[Any, str]:
    return _lite(source) if source.endswith(".tflite") else _loaded(source)


def _loaded(source: str) -> tuple[Any, str]:
    return load_recognizer(source), source


def _lite(path: str) -> tuple[Any, str]:
    """A TFLite recognizer as something that can be evaluated."""
    import numpy as np

    from kerasfer.expressions import LabelSpace
    from kerasfer.lite import Recognizer

    lite = Recognizer(path)
    spec = lite.image_spec

    def recognize(faces: Any) -> Any:
        return lite.recognize(list(spec.unscale(np.asarray(faces))))

    space = LabelSpace.of(lite.labels)
    about = {"image_spec": spec, "label_space": space, "training_prior": lite.metadata.get("training_prior")}
    return SimpleNamespace(**about, recognizer=lambda: recognize), path


def _probe(options: argparse.Namespace) -> int:
    """Reads identity and expression from the codes of synthetic faces that the model was not trained on."""
    import dataclasses

    from kerasfer import evaluation
    from kerasfer.datasets.reading import prepare_faces

    model, name = _loaded(options.model)
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
    codes = model.codes(spec.scale(prepare_faces(table, spec)))
    if not codes:
        raise ValueError(f"{name}: this model has no codes to probe")
    probes = evaluation.disentanglement(codes, table)
    print(f"{name}, {len(table)} synthetic faces of {len(set(table['identity'].tolist()))} people")
    for probe in probes:
        print(probe)
    if options.tsne:
        _draw_codes(codes, table, Path(options.tsne))
    if options.output:
        figures = [dataclasses.asdict(probe) for probe in probes]
        content = {"model": name, "dataset": "synthetic", "n": len(table), "probes": figures}
        atomic_write(options.output, as_json(content))
    return 0


def _draw_codes(codes: dict[str, Any], table: Any, folder: Path) -> None:
    """Each code in the plane, colored by expression and by person."""
    from kerasfer import plots

    folder.mkdir(parents=True, exist_ok=True)
    groups = {
        "expression": table.class_names().tolist(),
        "identity": table["identity"].tolist(),
    }
    for code, features in codes.items():
        for group, names in groups.items():
            path = folder / f"tsne_{code}_by_{group}.png"
            plots.save(plots.tsne(features, names), path)
            say(f"drawn: {path}")


def _list_protocols() -> int:
    """Prints every protocol: name, place, what it measures, the data sets it needs."""
    from kerasfer.models import MODELS
    from kerasfer.protocols import PROTOCOLS, published

    for name, protocol in PROTOCOLS.items():
        absent = protocol.model and protocol.model not in MODELS
        needed = ", ".join(protocol.data_sets())
        print(f"{name:<18}{published(name).place:<11}{protocol.title}")
        print(f"{'':<18}needs {needed}{'; its model is not in the project yet' if absent else ''}")
    return 0


def _run_protocol(options: argparse.Namespace) -> int:
    """Runs a paper's table, or resumes it."""
    from kerasfer.protocols import protocol

    chosen = protocol(options.protocol)
    if options.data is None:
        raise ValueError(f"--data is missing: the folder that holds {', '.join(chosen.data_sets())}; or synthetic")
    folds = None
    if options.folds is not None:
        if not all(part.strip().isdecimal() for part in options.folds.split(",")):
            raise ValueError(f"--folds {options.folds}: write numbers with commas between them, as in 0,1")
        folds = [int(part) for part in options.folds.split(",")]

    from kerasfer import protocols, training
    from kerasfer.models.base import ModelConfig

    synthetic = options.data == "synthetic"
    find = functools.partial(datasets.find, folder=options.data)
    rendered = options.data == "rendered"
    source: protocols.DataSource = protocols.FolderData(find)
    if synthetic or rendered:
        source = protocols.SyntheticData() if synthetic else protocols.RenderedMultiPie()
    default = f"runs/{options.protocol.replace('/', '-')}{f'-{options.data}' if synthetic or rendered else ''}"
    experiment = protocols.Experiment(
        options.protocol,
        source,
        options.output or default,
        size=options.size or ("tiny" if synthetic else "small" if rendered else "paper"),
        overrides=dict(ModelConfig.parse_override(text) for text in options.overrides),
        folds=folds,
        settings=options.settings,
        selection=options.selection,
        say=lambda line: print(line, flush=True),
        verbose=0 if synthetic else 2,
    )
    try:
        outcome = experiment.run()
    except training.Interrupted as stopped:
        say(f"{stopped}; the same command resumes it", sys.stderr)
        return 130
    print(outcome.text())
    say(f"written: {experiment.folder / 'result.json'}, result.csv and figures")
    return 0


PROBED_SEED = 1000
"""Seed of the synthetic people that are probed: others than those that `kerasfer train` trains on."""


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

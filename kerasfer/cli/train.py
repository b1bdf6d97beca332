"""Trains a model of the zoo, or resumes a training that was stopped.

    kerasfer train --model tdgan                                   # synthetic faces, nothing to download
    kerasfer train --model tdgan --dataset ferplus --faces lfw_expressions --data DIR
    kerasfer train --model tdgan --set epochs=4 --set lambda_dic=2 --output runs/mine
    kerasfer train --start-from edge --set expressions=happy,sad,other --dataset folder --data faces/

The last fine-tunes a trained model with a new head for labels of your own: folders happy, sad and other hold the
crops. The first epochs train the classifier only (--set freeze_epochs=N), with everything else frozen, then all layers.
Learning rate, batch size, epochs and loss weights are fields of the config: --set help lists them.

Run again with the same arguments, a training resumes where it stopped: after Ctrl-C, a crash or when its time was over.

The run's folder gets checkpoints/, history.csv, logs/ (for TensorBoard), samples/ (generated faces, a grid each epoch)
and config.json. `kerasfer evaluate --model FOLDER` tests it. Exit code 0: trained, or --minutes are over; 1: a loss
became infinite or NaN; 2: bad input; 75: another process of the training is lost; 130: stopped by Ctrl-C, and saved.

    kerasfer train --model tdgan --workers 2                       # two processes on this machine
    srun kerasfer train --model tdgan --cluster slurm              # one in each task; jobset: one in each pod

Several processes share each batch and train like one, the losses equal up to rounding. With --workers one that is
killed starts again, and the training goes on from the last checkpoint; one Ctrl-C saves and stops all. On clusters the
run's folder is one that all machines see, and the same command again goes on. Without --cluster, a TF_CONFIG of each
process says which there are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerasfer import cluster, datasets
from kerasfer.cli import workers
from kerasfer.cli.common import add_labels_of, locate, own_options, say
from kerasfer.models import MODELS

if TYPE_CHECKING:
    from kerasfer.data.sets import NamedSets


class _Named(argparse.Action):
    """Keeps a value, and that the command line named it: a default may give way to something else."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values)
        setattr(namespace, f"{self.dest}_named", True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", choices=sorted(MODELS), help="what to train (default: what the model of --start-from is)"
    )
    model.add_argument(
        "--size",
        action=_Named,
        default="small",
        choices=("paper", "small", "tiny"),
        help="the paper's size, one that a CPU can train, or one for tests (default: small; that of a model which "
        "gets a new head)",
    )
    model.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a field of the model's config, as often as needed; '--set help' lists the fields",
    )
    model.add_argument(
        "--start-from",
        metavar="DIR",
        nargs="+",
        default=[],
        help="fine-tune: bundled models, saved models or runs whose pretrained weights are taken, the last first "
        "(default: random weights); with other classes named by --set expressions=NAME,NAME the model gets a new head",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        default="synthetic",
        metavar="NAME",
        help=f"crops with expression labels: {', '.join(datasets.names())} (default: synthetic)",
    )
    data.add_argument(
        "--faces",
        metavar="NAME",
        nargs="+",
        default=[],
        help="faces with identity labels, for models that need them (default: the data set, if it has them); a model "
        "that takes pairs of one person, or no labels, trains on these sets, too",
    )
    data.add_argument(
        "--data", metavar="DIR", help="folder that holds the data sets' folders or zips, or is the data set"
    )
    data.add_argument(
        "--split",
        metavar="PART",
        help="train on this part of a data set that is divided: train, valid, test or all (default: train)",
    )
    data.add_argument(
        "--images", type=int, default=8000, metavar="N", help="number of synthetic faces to render (default: 8000)"
    )
    data.add_argument(
        "--labels",
        default="majority",
        choices=("majority", "votes"),
        help="learn the majority label, or the share of each vote as soft labels (default: majority)",
    )
    add_labels_of(data)
    data.add_argument(
        "--teachers",
        metavar="DIR",
        nargs="+",
        default=[],
        help="knowledge distillation: saved models or runs whose mean probabilities, for each face and its mirror "
        "image, count among the votes",
    )
    data.add_argument(
        "--teacher-share",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="weight of the teachers among the votes (default: 0.5)",
    )
    data.add_argument(
        "--balanced",
        action="store_true",
        help="class-balanced sampling instead of class weights: as many faces of each class, of frequent ones "
        "some, rare ones again and again",
    )
    data.add_argument(
        "--augmentation",
        default="paper",
        choices=("paper", "strong", "sharp"),
        help="paper: crop and flip; strong: also shift, scale, turn, light and cutout; sharp: half of the images are "
        "shifted by whole pixels instead of shifted, scaled and turned (default: paper)",
    )
    data.add_argument(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help="validation split: this share of the train part, by person where identities are known (default: the valid "
        "part; where there is none, 0.1)",
    )
    data.add_argument(
        "--train-share",
        type=float,
        metavar="SHARE",
        help="train on this share of the training faces only, stratified by class",
    )
    data.add_argument("--align-faces", action="store_true", help="align the faces of --faces by their landmarks first")
    data.add_argument(
        "--decode",
        default="once",
        choices=("once", "drawn"),
        help="once: decoded images stay in memory; drawn: they are decoded anew whenever they are drawn, for sets of "
        "hundreds of thousands (default: once)",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--output", metavar="DIR", help="the run's folder (default: runs/MODEL)")
    run.add_argument("--until", type=int, metavar="EPOCH", help="stop after this epoch, earlier than the config says")
    run.add_argument("--minutes", type=float, metavar="N", help="save and stop after so long; run again to resume")
    run.add_argument("--replicas", type=int, default=1, metavar="N", help="devices to share each batch (default: 1)")
    run.add_argument("--workers", type=int, metavar="N", help="processes on this machine to share each batch")
    run.add_argument(
        "--cluster", choices=cluster.SYSTEMS, help="this is one of the processes that such a cluster started"
    )
    run.add_argument(
        "--save-every",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="between checkpoints inside an epoch; what a killed training has to do again (default: 300)",
    )
    run.add_argument("--deterministic", action="store_true", help="reproducible bit for bit, somewhat slower")
    run.add_argument("--quiet", action="store_true", help="one line per epoch instead of a progress bar")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    if options.images < 1 or options.replicas < 1 or (options.minutes is not None and not options.minutes > 0):
        raise ValueError("--images, --replicas and --minutes are more than 0")
    if options.train_share is not None and not 0 < options.train_share < 1:
        raise ValueError("--train-share lies between 0 and 1")
    if options.teachers and options.labels != "votes":
        raise ValueError("--teachers speak by votes: give --labels votes, too")
    for name in (options.dataset, *options.faces):
        datasets.reader(name)
    own_options(options.dataset, options.labels_of)
    require_processes(options)
    if not (options.model or options.start_from):
        raise ValueError(f"--model is missing: one of {', '.join(sorted(MODELS))}; or --start-from a trained one")
    given = sys.argv[1:] if arguments is None else arguments
    if options.workers and not workers.is_worker() and "help" not in options.overrides:
        if not (options.output or options.model):
            raise ValueError("--workers: say where the run goes with --output, or what is trained with --model")
        return workers.run(options.workers, given, options.output or f"runs/{options.model}")
    if workers.is_worker():
        workers.ends_with_its_parent()
    if options.cluster:
        os.environ["TF_CONFIG"] = json.dumps(cluster.tf_config(options.cluster, os.environ))
    from kerasfer import trainer, training, zoo
    from kerasfer.models import model_class

    strategy = training.strategy_for(options.replicas)
    # Behind kerasfer's modules, which say what to install where it is missing.
    import tensorflow as tf

    sources = {source: trainer.trained_model(source) for source in options.start_from}
    goes_on = options.model is None
    if goes_on:
        options.model = zoo.model_name(sources[options.start_from[0]])
    Model = model_class(options.model)
    named = dict(Model.Config.parse_override(text) for text in options.overrides if text != "help")
    start = trainer.first_config(
        Model,
        list(sources.values()),
        size=options.size if hasattr(options, "size_named") else None,
        expressions=named.get("expressions", ()),
        epochs=named["epochs"] if isinstance(named.get("epochs"), int) else None,
        goes_on=goes_on,
    )
    if "help" in options.overrides:
        for line in fields_of(start):
            print(line)
        return 0
    config = start.replace(**named)
    output = options.output or f"runs/{options.model}"
    if "precision" not in named:
        config = trainer.with_precision(config, output, say)
    sets = sets_of(options, config.expressions)
    recipe = sets.recipe(
        Model,
        config,
        lambda name: locate(name, options.data),
        teachers=options.teachers,
        teacher_share=options.teacher_share,
        say=say,
    )
    recipe = dataclasses.replace(recipe, memory=True if options.decode == "once" else None)
    if "expressions" not in named:
        recipe.require_classes(config.expressions)
    try:
        run = trainer.train(
            config,
            recipe,
            output,
            until=options.until,
            start_from=sources,
            strategy=strategy,
            minutes=options.minutes,
            save_every=options.save_every,
            deterministic=options.deterministic,
            notes={
                "command": "kerasfer train " + shlex.join(given),
                **sets.facts(),
            },
            verbose=2 if options.quiet else 1,
            say=say,
        )
    except training.NonFiniteLossError as error:
        say(f"error: {error}", sys.stderr)
        return 1
    except tf.errors.OpError as error:
        if not os.environ.get("TF_CONFIG"):
            raise
        say(
            f"error: another process of the training is lost ({_first_line(error)}); the same command resumes it",
            sys.stderr,
        )
        return workers.LOST
    except training.Interrupted as stopped:
        say(f"{stopped}; the same command resumes it", sys.stderr)
        return 130
    if run.stopped:
        say(f"{run.stopped}; the same command resumes it", sys.stderr)
        return 0
    if training.is_chief(strategy):
        say(f"trained: {run.folder}")
    return 0


def require_processes(options: argparse.Namespace) -> None:
    """Raises `ValueError` if what is asked of several processes cannot be."""
    if options.workers is not None and options.workers < 1 or not options.save_every > 0:
        raise ValueError("--workers and --save-every are more than 0")
    asked = [f"--{name}" for name in ("workers", "cluster") if getattr(options, name)]
    asked += ["--replicas"] if options.replicas > 1 else []
    asked += ["the variable TF_CONFIG"] if os.environ.get("TF_CONFIG") else []
    if len(asked) > 1 and not workers.is_worker():
        raise ValueError(f"{' and '.join(asked)} say what shares a batch; give one of them")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def fields_of(config: Any) -> list[str]:
    """What `--set help` prints: the fields that the paper has, then those that it does not have, with what for."""
    lines: dict[bool, list[str]] = {False: [], True: []}
    for field in dataclasses.fields(config):
        why = field.metadata.get("ours")
        line = f"{field.name} = {json.dumps(getattr(config, field.name))}"
        lines[why is not None].append(f"{line}  # {why}" if why else line)
    return [*lines[False], "", "not of the paper:", *lines[True]]


def sets_of(options: argparse.Namespace, expressions: Sequence[str]) -> NamedSets:
    """What the command line says of the faces to learn from.

    Args:
        options: of the command line.
        expressions: the model's classes.
    """
    from kerasfer.data.sets import AUGMENTATIONS, NamedSets

    voted = expressions if options.labels == "votes" else None
    return NamedSets(
        options.dataset,
        tuple(options.faces),
        hold_out=options.hold_out,
        train_share=options.train_share,
        split=options.split,
        images=options.images,
        labels=options.labels,
        augment=AUGMENTATIONS[options.augmentation],
        balanced=options.balanced,
        align_faces=options.align_faces,
        options=own_options(options.dataset, options.labels_of, voted),
    )

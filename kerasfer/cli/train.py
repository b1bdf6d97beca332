"""Trains a model of the zoo, or goes on with a training that was stopped.

    kerasfer train --model tdgan                                   # synthetic faces, nothing to download
    kerasfer train --model tdgan --dataset ferplus --faces lfw_expressions --data DIR
    kerasfer train --model tdgan --set epochs=4 --set lambda_dic=2 --output runs/mine
    kerasfer train --start-from edge --set expressions=happy,sad,other --dataset folder --data faces/

The last goes on from a trained model with a new head: folders happy, sad and other hold the faces. The first epochs
move the head alone (--set freeze_epochs=N), then everything learns.

Run again with the same arguments, a training goes on where it stopped: after Ctrl-C, a crash or at the end of its time.

The run's folder gets checkpoints/, history.csv, logs/ (for TensorBoard), samples/ (generated faces, a grid each epoch)
and config.json. `kerasfer evaluate --model FOLDER` tests it. Exit code 0: trained, or --minutes are over; 1: a loss
became infinite or NaN; 2: bad input; 130: stopped by Ctrl-C, and saved.

To train with several processes, start each with the same arguments and a TF_CONFIG of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasfer import datasets
from kerasfer.cli.common import add_labels_of, locate, own_options, say
from kerasfer.models import MODELS

RENDERED_FACES = {"seed": 1, "yaw": 50.0}
"""Of rendered faces that join another data set's: a population of their own, turned as far as a model may ask for."""


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
        help="saved models or runs whose networks give the first weights, the last first (default: random); with other "
        "classes named by --set expressions=NAME,NAME the model gets a new head for these",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        default="synthetic",
        metavar="NAME",
        help=f"faces with expressions: {', '.join(datasets.names())} (default: synthetic)",
    )
    data.add_argument(
        "--faces",
        metavar="NAME",
        nargs="+",
        default=[],
        help="faces with names, for models that need them (default: the data set, if it has names); a model that takes "
        "pairs of one person, or no labels, trains on these sets, too",
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
        help="learn the expression that most people saw, or the share of each (default: majority)",
    )
    add_labels_of(data)
    data.add_argument(
        "--teachers",
        metavar="DIR",
        nargs="+",
        default=[],
        help="saved models or runs whose mean answers, to each face and its mirror image, count among the votes",
    )
    data.add_argument(
        "--teacher-share",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of the votes, with --teachers (default: 0.5)",
    )
    data.add_argument(
        "--balanced",
        action="store_true",
        help="train on as many faces of each expression, of frequent ones some, rare ones again and again",
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
        help="leave this share of the train part out of the training and watch it, by person where names are known "
        "(default: watch the valid part; where there is none, hold out 0.1)",
    )
    data.add_argument(
        "--train-share",
        type=float,
        metavar="SHARE",
        help="of the faces to train on take this share alone, of each expression alike",
    )
    data.add_argument("--align-faces", action="store_true", help="align the faces with names by their landmarks first")
    run = parser.add_argument_group("run")
    run.add_argument("--output", metavar="DIR", help="the run's folder (default: runs/MODEL)")
    run.add_argument("--until", type=int, metavar="EPOCH", help="stop after this epoch, earlier than the config says")
    run.add_argument("--minutes", type=float, metavar="N", help="save and stop after so long; run again to go on")
    run.add_argument("--replicas", type=int, default=1, metavar="N", help="devices to share each batch (default: 1)")
    run.add_argument("--deterministic", action="store_true", help="repeat bit for bit, somewhat slower")
    run.add_argument("--quiet", action="store_true", help="show each epoch when it is over, not how it goes")
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
    if not (options.model or options.start_from):
        raise ValueError(f"--model is missing: one of {', '.join(sorted(MODELS))}; or --start-from a trained one")

    from kerasfer import splits, training, zoo
    from kerasfer.data import KINDS, Augmentation, class_shares
    from kerasfer.data.kinds import joined
    from kerasfer.expressions import LabelSpace
    from kerasfer.models import model_class

    strategy = training.strategy_for(options.replicas)
    sources = {source: recognizer_of(source) for source in options.start_from}
    goes_on = options.model is None
    if goes_on:
        options.model = zoo.model_name(sources[options.start_from[0]])
    Model = model_class(options.model)
    named = dict(Model.Config.parse_override(text) for text in options.overrides if text != "help")
    start = first_config(options, sources, named, goes_on)
    if "help" in options.overrides:
        for line in fields_of(start):
            print(line)
        return 0
    config = start.replace(**named)
    if options.deterministic:
        training.deterministic(config.seed)
    folder = Path(options.output or f"runs/{options.model}")
    train, valid, said = expression_parts(options, config)
    said += outside_classes(train, config, "expressions" in named)
    if options.teachers:
        train = with_teachers(train, options, folder / "teachers.npy")
    if options.balanced:
        found = len(train)
        train = splits.balanced(train)
        said += f"; balanced, the {found} are drawn {len(train)} times"
    recipes = {"paper": Augmentation, "strong": Augmentation.strong, "sharp": Augmentation.strong_and_sharp}
    augmentation = recipes[options.augmentation]()
    batch_kind = Model.batch_kind_of(config)
    tables = [with_poses(train, folder / "poses") if batch_kind == "images_with_pose" else train]
    if batch_kind == "expression_and_face":
        tables.append(face_table(options, train, config, folder))
    others = [name for name in options.faces if name != options.dataset]
    if batch_kind == "landmark_pairs":
        tables = [with_landmarks(train, folder.parent / "landmarks")]
        more = [named_table(name, options, config, folder) for name in others]
        if more:
            tables = [joined([*tables, *(with_landmarks(faces, folder.parent / "landmarks") for faces in more)])]
    if batch_kind == "unlabelled":
        together = [train, *(named_table(name, options, config, folder) for name in others)]
        tables = [KINDS[batch_kind].together(train, together[1:])[0]]
    if batch_kind != "unlabelled" and not config.training_prior:
        shares = class_shares(tables[0], LabelSpace.of(config.expressions), options.labels)
        config = config.replace(training_prior=shares)
    with strategy.scope():
        model = Model(config)
    batches = KINDS[batch_kind](
        tables[0],
        model.image_spec,
        model.label_space,
        config.batch_size,
        faces=tables[1] if len(tables) > 1 else None,
        seed=config.seed,
        augmentation=augmentation,
        labels=options.labels,
    )
    facts: dict[str, Any] = {
        "command": "kerasfer train " + shlex.join(sys.argv[1:] if arguments is None else arguments),
        "dataset": {
            "name": train.name,
            "train": len(train),
            "valid": len(valid),
            "parts": said,
            "labels": options.labels,
            "hold_out": options.hold_out,
            "balanced": options.balanced,
            **({} if options.train_share is None else {"train_share": options.train_share}),
            **({"teachers": options.teachers, "teacher_share": options.teacher_share} if options.teachers else {}),
        },
        "augmentation": dataclasses.asdict(augmentation),
    }
    if len(tables) > 1:
        facts["faces"] = {"name": tables[1].name, "images": len(tables[1]), "people": len(batches.identity_names)}
    if batch_kind == "unlabelled":
        facts["unlabelled"] = {table.name: len(table) for table in together}
    if batch_kind == "landmark_pairs":
        paired = int(batches.columns["paired"].sum())
        facts["landmark_pairs"] = {
            "name": tables[0].name,
            "images": len(tables[0]),
            "with_another_of_the_person": paired,
        }
    if options.start_from:
        facts["start_from"] = options.start_from
        if not training.Checkpoints(folder).places():
            for source, other in sources.items():
                if "expressions" in named and other.label_space != model.label_space:
                    other = zoo.with_new_head(other, config.expressions)
                    said += f"; a new head on {source}"
                model.start_from(other)
        sources.clear()
    if getattr(config, "synthetic_teachers", ()):
        with strategy.scope():
            model.learn_from(
                [zoo.load(name, precision=config.precision, recognizer_only=True) for name in config.synthetic_teachers]
            )
    if training.is_chief(strategy):
        training.write_run(folder, options.model, model, **facts)
        shown = set(train.encoded(model.label_space).tolist())
        absent = [name for number, name in enumerate(model.label_space.labels) if number not in shown]
        if absent:
            print(f"no face of {', '.join(absent)} to train on: the model will hardly ever answer so")
        for line in model.omissions():
            print(line)
        if config.freeze_epochs:
            print(f"the first {config.freeze_epochs} of {config.epochs} epochs move the head alone")
        say(f"{said}; {batches.steps_per_epoch} steps an epoch")
        say(f"in {folder}; the first step takes a while, as the graph is built")
    watcher = collapse_check(train, model) if batch_kind == "unlabelled" else training.Validation(valid)
    try:
        training.fit(
            model,
            batches,
            folder,
            strategy=strategy,
            on_epoch_end=[watcher, training.Preview(next(iter(batches.epoch(0))))],
            verbose=2 if options.quiet else 1,
            epochs=options.until,
            stop_after=options.minutes and options.minutes * 60,
        )
    except training.NonFiniteLossError as error:
        say(f"error: {error}", sys.stderr)
        return 1
    except training.Interrupted as stopped:
        say(f"{stopped}; the same command goes on", sys.stderr)
        return 0 if isinstance(stopped, training.TimeIsOver) else 130
    say(f"trained: {folder}")
    return 0


def recognizer_of(source: str) -> Any:
    """A trained model to start from."""
    from kerasfer import zoo
    from kerasfer.models.base import FERModel

    model = zoo.load(source)
    if not isinstance(model, FERModel):
        raise ValueError(f"--start-from {source}: recognises no expressions; name a model that does")
    return model


def fields_of(config: Any) -> list[str]:
    """What `--set help` prints: the fields that the paper has, then those that it does not have, with what for."""
    lines: dict[bool, list[str]] = {False: [], True: []}
    for field in dataclasses.fields(config):
        why = field.metadata.get("ours")
        line = f"{field.name} = {json.dumps(getattr(config, field.name))}"
        lines[why is not None].append(f"{line}  # {why}" if why else line)
    return [*lines[False], "", "not of the paper:", *lines[True]]


def first_config(options: argparse.Namespace, sources: Mapping[str, Any], named: dict[str, Any], goes_on: bool) -> Any:
    """The config before `--set`.

    A model that goes on from one of its own kind has that one's size, and the schedule of `ModelConfig.fine_tuning`, if
    `--size` does not say otherwise.

    Args:
        options: of the command line.
        sources: the models of `--start-from` by name.
        named: the fields that `--set` names.
        goes_on: whether no kind of model was named, so that it is that of the first source in any case; else it goes
            on where `--set expressions` asks for a new head.
    """
    from kerasfer.models import model_class

    Model = model_class(options.model)
    wanted = getattr(Model.Config, options.size)()
    own = next((model for model in sources.values() if type(model) is Model), None)
    if own is None or hasattr(options, "size_named"):
        return wanted
    learnt = own.config.recognizing()
    given = {"expressions": named["expressions"]} if "expressions" in named else {}
    new_head = learnt.replace(**given).expressions != learnt.expressions
    if not (new_head or goes_on):
        return wanted
    start = learnt.fine_tuning().replace(precision=wanted.precision)
    start = start.with_classes(learnt.replace(**given).expressions) if new_head else start.replace(freeze_epochs=0)
    if isinstance(epochs := named.get("epochs"), int):
        start = start.replace(epochs=epochs, freeze_epochs=min(start.freeze_epochs, epochs // 5))
    return start


def outside_classes(table: Any, config: Any, named: bool) -> str:
    """What is said of faces whose class the model does not have.

    Raises:
        ValueError: there are some in data of the user's own, and no classes were named.
    """
    from kerasfer.expressions import LabelSpace

    outside = table.outside(LabelSpace.of(config.expressions))
    if not outside:
        return ""
    counted = ", ".join(f"{name} ({count})" for name, count in outside.items())
    if table.name in datasets.OWN_DATA and not named:
        classes = ",".join(table.label_space.labels)
        raise ValueError(
            f"{table.name}: {counted}: no classes of the model, which has {', '.join(config.expressions)}; name those "
            f"to learn: --set expressions={classes}"
        )
    return f"; {sum(outside.values())} more are left out, which the model has no class for: {counted}"


def collapse_check(table: Any, model: Any) -> Any:
    """What watches a model that learns without labels: whether it repeats itself, or the faces of the table."""
    import numpy as np

    from kerasfer import training
    from kerasfer.datasets.reading import prepare_faces

    rows = np.unique(np.linspace(0, len(table) - 1, 2000).astype(int))
    return training.CollapseCheck(model.image_spec.scale(prepare_faces(table, model.image_spec, rows)))


def expression_parts(options: argparse.Namespace, config: Any) -> Any:
    """The faces to train on and those to watch: see `kerasfer.splits.training_parts`."""
    from kerasfer import splits

    name = options.dataset
    reading: dict[str, Any] = {}
    if name == "synthetic":
        reading = synthetic_options(options, config)
    else:
        reading = own_options(name, options.labels_of, config.expressions if options.labels == "votes" else None)
    votes = name == "ferplus" and options.labels == "votes"
    return splits.load_training_parts(
        name,
        locate(name, options.data),
        options.hold_out,
        split=options.split,
        share=options.train_share,
        train_options={"labels": "probability"} if votes else None,
        **reading,
    )


def with_teachers(table: Any, options: argparse.Namespace, cache: Path) -> Any:
    """The faces with the teachers' answers among the votes; what they said is kept in the run's folder."""
    from kerasfer import teaching, zoo

    def progress(done: int, rows: int) -> None:
        if not options.quiet:
            print(f"\rasking the teachers: {done} of {rows}", end="\n" if done == rows else "", flush=True)

    teachers = [] if cache.is_file() else [zoo.load(source) for source in options.teachers]
    return teaching.taught(table, teachers, options.teacher_share, cache, progress)


def with_poses(table: Any, cache: Path) -> Any:
    """The faces with their head poses: the data set's own, or as estimated and kept in a folder."""
    import numpy as np

    from kerasfer.detection import estimate_poses

    if "pose" in table:
        return table

    def progress(done: int, rows: int) -> None:
        print(f"\restimating poses: {done} of {rows}", end="\n" if done == rows else "", flush=True)

    table = estimate_poses(table, cache=cache, progress=progress)
    unknown = int(np.isnan(table["pose"][:, 0]).sum())
    if unknown:
        print(f"{unknown} of {len(table)} faces have no pose, as no face was found: they train all but the pose")
    return table


def with_landmarks(table: Any, cache: Path) -> Any:
    """The faces that have landmarks: the data set's own, or as located and kept in a folder that runs share."""
    from kerasfer.detection import landmarked

    def progress(done: int, rows: int) -> None:
        print(f"\rlocating landmarks: {done} of {rows}", end="\n" if done == rows else "", flush=True)

    found = landmarked(table, cache=cache, progress=progress)
    if len(found) < len(table):
        print(f"{len(table) - len(found)} of {len(table)} faces of {table.name} are left out: no landmarks were found")
    return found


def synthetic_options(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Faces a little larger than the model takes them, of so many people that enough of them are for training."""
    people = max(50, 2 * getattr(config, "identities", 0))
    return {
        "count": options.images,
        "identities": people,
        "size": max(64, config.image_size * 9 // 8),
        "channels": config.channels,
        "expressions": config.expressions,
    }


def face_table(options: argparse.Namespace, expressions: Any, config: Any, folder: Path) -> Any:
    """The images of the people with the most images."""
    from kerasfer import splits

    if len(options.faces) > 1:
        raise ValueError(f"--faces: {options.model} takes the people of one set, got {', '.join(options.faces)}")
    if options.faces and options.faces[0] != options.dataset:
        return named_table(options.faces[0], options, config, folder, config.identities)
    if "identity" not in expressions:
        raise ValueError(f"{expressions.name} has no names; give a set that has, e.g. --faces lfw_expressions")
    faces = splits.top_identities(expressions, config.identities)
    return aligned(faces, config, folder / "aligned") if options.align_faces else faces


def named_table(name: str, options: argparse.Namespace, config: Any, folder: Path, people: int | None = None) -> Any:
    """Faces with names of another set than the expressions', of those people who have the most images if asked for.

    Rendered ones are of another population than those that are rendered by default: what is measured on rendered faces
    is then measured on strangers.
    """
    from kerasfer import splits

    if name == "synthetic":
        rendered = {**synthetic_options(options, config), **RENDERED_FACES}
        if people is None:
            rendered["identities"] = max(rendered["identities"], options.images // 20)
        faces = datasets.load(name, **rendered)
    else:
        faces, said = splits.load_train_part(name, locate(name, options.data))
        print(said)
    if people is not None:
        faces = splits.top_identities(faces, people)
    return aligned(faces, config, folder / "aligned") if options.align_faces else faces


def aligned(faces: Any, config: Any, cache: Path) -> Any:
    """The faces cut out by their landmarks, a third larger than the model takes them, kept in a folder."""
    from kerasfer.detection import align_table

    return align_table(faces, config.image_size * 4 // 3, config.channels, cache=cache)

"""`kerasfer.train`: from a recipe to a trained model; the commands, protocols and notebooks all call it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer import markup, teaching, training, zoo
from kerasfer.data.kinds import Batches
from kerasfer.data.recipe import Recipe, Say
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.classification import Report, evaluate
from kerasfer.models import MODELS, model_class
from kerasfer.models.base import FERModel, ModelConfig
from kerasfer.models.networks import chosen_precision, lacking_for

__all__ = ["Run", "class_of", "first_config", "name_of", "train", "trained_model", "with_precision"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A training, done or stopped at the end of its time.

    Attributes:
        model: as it was trained, with the running averages of its weights if its config asks for them.
        history: one dict an epoch: its number, every loss term, seconds, what was measured on the faces watched.
        folder: holds checkpoints/, history.csv, logs/ (for TensorBoard), samples/ and config.json;
            `kerasfer.load(folder)` gives the model again.
        stopped: where the training stopped as its time was over; "" if it is done.
    """

    model: FERModel
    history: list[dict[str, float]]
    folder: Path
    stopped: str = ""

    def __repr__(self) -> str:
        state = f"stopped: {self.stopped}" if self.stopped else "done"
        return (
            f"Run({type(self.model).__name__}, {len(self.history)} epochs, {state}, folder {os.fspath(self.folder)!r})"
        )

    @markup.optional
    def _repr_html_(self) -> str:
        last = self.history[-6:]
        names = list(dict.fromkeys(name for epoch in last for name in epoch))[:10]
        rows = [[f"{epoch[name]:.4g}" if name in epoch else "–" for name in names] for epoch in last]
        title = f"{type(self.model).__name__}: {len(self.history)} epochs" + (
            f"; {self.stopped}" if self.stopped else ""
        )
        return markup.page(markup.Html(f"<b>{markup.escaped(title)}</b>"), self.folder, markup.table(names, rows))

    def evaluate(self, table: FaceTable, **options: Any) -> Report:
        """Tests the model on a table, as `kerasfer.evaluate` does."""
        return evaluate(self.model, table, **options)


def train(
    model: str | FERModel | ModelConfig,
    recipe: Recipe | Batches,
    folder: str | os.PathLike[str] | None = None,
    *,
    epochs: int | None = None,
    until: int | None = None,
    start_from: Any = (),
    expressions: Sequence[str] = (),
    replicas: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    minutes: float | None = None,
    save_every: float = 300.0,
    deterministic: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch_end: Sequence[Callable[[training.EpochEnd], dict[str, float] | None]] = (),
    notes: Mapping[str, Any] | None = None,
    verbose: int = 1,
    say: Say = print,
) -> Run:
    """Trains a model of the zoo, or one's own, on a recipe; resumes the run in the folder, if there is one.

        table = kerasfer.datasets.load("folder", "my_faces")
        recipe = kerasfer.data.Recipe(train=table, valid=0.1)
        run = kerasfer.train("edge", recipe, folder="runs/mine", start_from="edge", epochs=20)
        run.history, run.model, run.evaluate(test)

    What the model's batches need (head poses, landmarks, the faces of named people) is located first, once. Called
    again with the same arguments, a training resumes at the step where it stopped: after Ctrl-C, a crash, or at the end
    of its time. `kerasfer.load(folder)` gives the trained model; so does `run.model`.

    Args:
        model: a name, as of `kerasfer.list_models()`, for its size that a CPU can train; a config; or a model, as
            `kerasfer.create("tdgan", size="paper")` or `kerasfer.load("edge", expressions=("happy", "sad"))` give.
        recipe: what to learn from: a `kerasfer.data.Recipe`; or batches of the model's kind, made already.
        folder: of the run; by default runs/ and the model's name.
        epochs: passes over the faces, in place of the config's; the learning rate's schedule is made for so many. A
            model that is compiled already stops after so many, on the schedule it was compiled with.
        until: stop after this epoch, earlier than the schedule ends.
        start_from: trained models, or their names or folders, or a mapping of names to models, whose networks give the
            first weights, the last first. One with other classes gives all but its head.
        expressions: the classes to learn, where a model is named. If it starts from one of its own kind, it gets a new
            head for them, and a schedule for some hundred faces (`ModelConfig.fine_tuning`).
        replicas: devices to share each batch.
        strategy: of `tf.distribute`, in place of replicas; by default what `TF_CONFIG` and replicas ask for.
        minutes: save and return after so long.
        save_every: seconds between checkpoints inside an epoch; each epoch ends with one in any case.
        deterministic: repeat bit for bit, somewhat slower.
        callbacks: Keras callbacks; they may set `model.stop_training`.
        on_epoch_end: functions that are called after each epoch with the averaged weights in place, as those of
            `kerasfer.training.fit`; numbers they return become part of the history.
        notes: what else config.json is to say.
        verbose: 1 to show how each epoch goes, 2 for its outcome only, 0 for silence.
        say: is told what is done and what is left out, a line at a time.

    Returns:
        The run: `history`, `model`, `folder`, `evaluate(table)`.

    Raises:
        DatasetError: the recipe lacks what the model needs; the message says what to do.
        ConfigError: a config that cannot be.
        TrainingError: the folder holds another run, or a batch cannot be shared by the replicas.
        NonFiniteLossError: a loss is NaN or infinite.
        Interrupted: Ctrl-C or SIGTERM; the state is saved, and the same call resumes it.
    """
    strategy = strategy or training.strategy_for(replicas)
    sources = _sources(start_from)
    Model, config, made = _asked_for(model, [other for _, other in sources], epochs, expressions)
    name = name_of(Model)
    folder = Path(folder or f"runs/{name}")
    quiet = say if verbose or say is not print else _silent
    if isinstance(model, str):
        config = with_precision(config, folder, quiet)
    if deterministic:
        training.deterministic(config.seed)
    facts: dict[str, Any] = {}
    watchers: list[Callable[[training.EpochEnd], dict[str, float] | None]] = []
    said, learned = "", None
    prepared = None
    if isinstance(recipe, Batches):
        batches = recipe
    else:
        if isinstance(model, str) and not expressions:
            recipe.require_classes(config.expressions)
        if made is None and recipe.size:
            config = config.replace(image_size=recipe.size)
        prepared = _taught(recipe, folder, verbose == 1, quiet).prepare(Model, config, folder, quiet)
        said, learned = prepared.said, prepared.train
        facts = _of_recipe(recipe)
        if made is None and not config.training_prior:
            config = config.replace(training_prior=prepared.prior(config.expressions))
    if made is None:
        with strategy.scope():
            made = Model(config)
    if prepared is not None:
        batches = prepared.batches(made.image_spec, made.label_space, config.batch_size)
        facts = _merged(prepared.facts(batches), facts)
        if not prepared.kind.labeled:
            watchers.append(_collapse_check(prepared.train, made))
        elif prepared.valid is not None:
            watchers.append(training.Validation(prepared.valid))
        watchers.append(training.Preview(next(iter(batches.epoch(0)))))
    if sources:
        facts["start_from"] = [source for source, _ in sources]
        if not training.Checkpoints(folder).places():
            said += _start(made, sources)
        sources.clear()
    teachers = getattr(config, "synthetic_teachers", ())
    if teachers and getattr(made, "_teachers_say", None) is None:
        with strategy.scope():
            made.learn_from([zoo.load(name, precision=config.precision, recognizer_only=True) for name in teachers])
    if training.is_chief(strategy):
        training.write_run(folder, name, made, **_merged(facts, notes or {}))
        _tell(made, learned, said, batches, folder, quiet)
    stopped = ""
    try:
        history = training.fit(
            made,
            batches,
            folder,
            strategy=strategy,
            on_epoch_end=[*watchers, *on_epoch_end],
            callbacks=callbacks,
            verbose=verbose,
            epochs=epochs if until is None else until,
            stop_after=minutes and minutes * 60,
            save_every=save_every,
        )
    except training.TimeIsOver as over:
        history, stopped = training.read_history(folder / "history.csv"), str(over)
    _finish(made)
    return Run(made, history, folder, stopped)


def trained_model(source: Any) -> FERModel:
    """A trained model to start from, or that of a name or a folder.

    Raises:
        ValueError: it recognizes no expressions.
        ZooError: there is none.
    """
    model = source if isinstance(source, FERModel) else zoo.load(source)
    if not isinstance(model, FERModel):
        raise ValueError(f"--start-from {source}: recognizes no expressions; name a model that does")
    return model


def first_config(
    Model: type[FERModel],
    sources: Sequence[FERModel] = (),
    *,
    size: str | None = None,
    expressions: str | Sequence[str] = (),
    epochs: int | None = None,
    goes_on: bool = False,
) -> ModelConfig:
    """The config of a training before any field of it is changed.

    A model that goes on from one of its own kind has that one's size, and the schedule of `ModelConfig.fine_tuning`.

    Args:
        Model: what is trained.
        sources: the models to start from.
        size: "paper", "small" or "tiny"; None for small, or the size of a model that goes on.
        expressions: the classes, if they are named, as a config takes them.
        epochs: of the training, if they are said.
        goes_on: whether it goes on from a model of its own kind in any case; else it does if the classes that are named
            ask for a new head.
    """
    wanted = getattr(Model.Config, size or "small")()
    own = next((model for model in sources if type(model) is Model), None)
    if own is None or size is not None:
        return wanted
    learned = own.config.recognizing()
    given = {"expressions": expressions} if expressions else {}
    new_head = learned.replace(**given).expressions != learned.expressions
    if not (new_head or goes_on):
        return wanted
    start = learned.fine_tuning().replace(precision=wanted.precision)
    start = start.with_classes(learned.replace(**given).expressions) if new_head else start.replace(freeze_epochs=0)
    if epochs is not None:
        start = start.replace(epochs=epochs, freeze_epochs=min(start.freeze_epochs, epochs // 5))
    return start


def with_precision(config: ModelConfig, folder: str | os.PathLike[str], say: Say) -> ModelConfig:
    """The config of a training for which nobody has named a precision.

    That is the one of the run in the folder, if it has begun; else a global dtype policy, where somebody has set one;
    else the config's own, but float32 in place of bfloat16 where the processor takes longer in that.

    Args:
        config: as its size has it.
        folder: of the run.
        say: is told of float32 in place of bfloat16.
    """
    chosen = chosen_precision(config.precision)
    if config.precision == "mixed_bfloat16" and keras.config.dtype_policy().name == "float32":
        begun = training.begun_config(Path(folder)).get("precision")
        if begun in ("float32", "mixed_bfloat16"):
            return config.replace(precision=begun)
        if chosen == "float32":
            lacking = " or ".join(lacking_for(config.precision))
            say(f"in float32: this processor, without {lacking}, takes longer in bfloat16 (--set precision=...)")
    return config.replace(precision=chosen)


def _asked_for(
    model: str | FERModel | ModelConfig, sources: Sequence[FERModel], epochs: int | None, expressions: Sequence[str]
) -> tuple[type[FERModel], ModelConfig, FERModel | None]:
    """The class, the config and, if it is there already, the model that are to be trained."""
    if expressions and not isinstance(model, str):
        raise training.TrainingError("the model says its classes itself; give expressions where a model is named")
    if isinstance(model, FERModel):
        if epochs is not None and not model.optimizers:
            model.config = model.config.replace(epochs=epochs)
        return type(model), model.config, model
    if isinstance(model, str):
        Model = model_class(model)
        config = first_config(Model, sources, expressions=expressions, epochs=epochs)
        given = {"expressions": tuple(expressions)} if expressions else {}
        config = config.replace(**given)
    else:
        Model, config = class_of(model), model
    return Model, config if epochs is None else config.replace(epochs=epochs), None


def class_of(config: ModelConfig) -> type[FERModel]:
    """The class of the zoo's model that a config is of.

    Raises:
        TrainingError: no model has such a config.
    """
    for name in MODELS:
        Model = model_class(name)
        if type(config) is Model.Config:
            return Model
    raise training.TrainingError(
        f"{type(config).__name__} is the config of no model in {', '.join(sorted(MODELS))}; give the model itself"
    )


def name_of(Model: type[FERModel]) -> str:
    """The name that a run's files call a model by."""
    known = {place: name for name, place in MODELS.items()}
    return known.get((Model.__module__, Model.__qualname__), Model.__name__.lower())


def _sources(start_from: Any) -> list[tuple[str, FERModel]]:
    """What the models to start from are called, and the models."""
    if isinstance(start_from, Mapping):
        return list(start_from.items())
    given = (start_from,) if isinstance(start_from, (str, os.PathLike, FERModel)) else tuple(start_from)
    return [(_named(source), trained_model(source)) for source in given]


def _finish(model: FERModel) -> None:
    """Leaves a model with its averaged weights, as it will be loaded; a training that resumes reads its own."""
    variables = [variable for network in model.networks.values() for variable in network.trainable_variables]
    with model.averaged_weights():
        averaged = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, averaged):
        variable.assign(value)


def _named(source: Any) -> str:
    return name_of(type(source)) if isinstance(source, FERModel) else os.fspath(source)


def _silent(line: str) -> None:
    """Says nothing."""


def _taught(recipe: Recipe, folder: Path, shown: bool, say: Say) -> Recipe:
    """The recipe with the teachers' answers among the votes; what they said is kept."""
    if not recipe.teachers:
        return recipe

    def progress(done: int, rows: int) -> None:
        if shown:
            print(f"\rasking the teachers: {done} of {rows}", end="\n" if done == rows else "", flush=True)

    divided = recipe.divided()
    cache = Path(folder if recipe.cache is None else recipe.cache) / "teachers.npy"
    teachers = [] if cache.is_file() else [trained_model(source) for source in recipe.teachers]
    table = teaching.taught(divided.train, teachers, recipe.teacher_share, cache, progress)
    return dataclasses.replace(divided, train=table, teachers=())


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    """What config.json says of the faces that the recipe knows before it is divided."""
    more: dict[str, Any] = {"hold_out": recipe.held_out}
    if recipe.teachers:
        more |= {"teachers": [_named(teacher) for teacher in recipe.teachers], "teacher_share": recipe.teacher_share}
    return {"dataset": more}


def _merged(facts: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with notes, entry by entry."""
    merged = dict(facts)
    for key, value in notes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _start(model: FERModel, sources: Sequence[tuple[str, FERModel]]) -> str:
    """Gives a model its first weights; returns what there is to say of it."""
    said = ""
    for name, other in sources:
        if other.label_space != model.label_space:
            other = zoo.with_new_head(other, model.config.expressions)
            said += f"; a new head on {name}"
        model.start_from(other)
    return said


def _collapse_check(table: FaceTable, model: FERModel) -> training.CollapseCheck:
    """What watches a model that learns without labels: whether it repeats itself, or the faces of the table."""
    rows = np.unique(np.linspace(0, len(table) - 1, 2000).astype(int))
    return training.CollapseCheck(model.image_spec.scale(prepare_faces(table, model.image_spec, rows)))


def _tell(model: FERModel, table: FaceTable | None, said: str, batches: Batches, folder: Path, say: Say) -> None:
    """Says what is about to be trained."""
    if table is not None:
        shown = set(table.encoded(model.label_space).tolist())
        absent = [name for number, name in enumerate(model.label_space.labels) if number not in shown]
        if absent:
            say(f"no face of {', '.join(absent)} to train on: the model will hardly ever answer so")
    for line in model.omissions():
        say(line)
    config = model.config
    if lacking := lacking_for(config.precision):
        lacks = f"this processor, without {' or '.join(lacking)}, takes longer in it than in float32"
        say(f"precision={config.precision}: {lacks}; --set precision=float32")
    if config.freeze_epochs:
        say(f"the first {config.freeze_epochs} of {config.epochs} epochs move the head alone")
    say(f"{said}{'; ' if said else ''}{batches.steps_per_epoch} steps an epoch")
    say(f"in {folder}; the first step takes a while, as the graph is built")

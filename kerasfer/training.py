"""The one training loop: any model, any number of replicas, resumable at any step.

`fit` runs `model.train_step` under a `tf.distribute` strategy, writes checkpoints that hold everything a run needs to
go on (weights, optimizer slots, random states, the place in the epoch), reports every loss term, stops at the first
that is not finite and saves when it is interrupted.

Several processes, on one machine or on several, train together under `tf.distribute.MultiWorkerMirroredStrategy`: each
is started with the same command, a `TF_CONFIG` of its own and the same run folder, which only the chief writes to. For
the same global batch every number of replicas gives the same losses and weights up to rounding, with two exceptions.
Dropout: the masks are repeatable, but each replica draws the same one for its own examples. Batch normalisation: each
replica takes the statistics of its own examples, as is usual.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer import images, synthesis
from kerasfer.data.kinds import Batches
from kerasfer.datasets.base import FaceTable
from kerasfer.evaluation.classification import evaluate
from kerasfer.files import folder_written_aside, write_aside, written_aside
from kerasfer.models.base import FERModel
from kerasfer.weights import ZooError, check_seal, read_json, read_state, seal, write_state

__all__ = [
    "Checkpoints",
    "CollapseCheck",
    "EpochEnd",
    "Interrupted",
    "NonFiniteLossError",
    "Place",
    "Preview",
    "TimeIsOver",
    "TrainingError",
    "Validation",
    "deterministic",
    "fit",
    "is_chief",
    "load_state",
    "local_strategy",
    "read_history",
    "save_state",
    "strategy_for",
    "write_run",
]


class TrainingError(ValueError):
    """A training cannot start or go on; the message says why and what to do."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite; the message names the term, the step and the last good checkpoint."""


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; its state is saved."""


class TimeIsOver(Interrupted):
    """The time that the run was given is over; its state is saved."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run stands: `step` batches of epoch `epoch` are done."""

    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """What an `on_epoch_end` function is told: the model, the epoch's number and its mean losses."""

    model: FERModel
    epoch: int
    logs: dict[str, float]
    folder: Path


def deterministic(seed: int) -> None:
    """Makes every later operation of this process repeat bit for bit on the same machine with as many threads."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def local_strategy(replicas: int) -> tf.distribute.Strategy:
    """A strategy of one process: one replica on the default device, or several on as many GPUs or CPU devices.

    Raises:
        TrainingError: fewer devices than replicas; logical CPU devices are made before TensorFlow is first used.
    """
    if replicas <= 1:
        return tf.distribute.get_strategy()
    if len(tf.config.list_physical_devices("GPU")) >= replicas:
        return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(replicas)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) < replicas:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        except RuntimeError as error:
            raise TrainingError(
                f"{replicas} replicas need as many devices; ask for them before TensorFlow is used ({error})"
            ) from error
    return tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(replicas)])


def strategy_for(replicas: int = 1) -> tf.distribute.Strategy:
    """The strategy that the environment asks for: several workers if `TF_CONFIG` is set, else `local_strategy`."""
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    return local_strategy(replicas)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether this process writes the run's files: of several workers only the first does."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_type in (None, "", "chief") or resolver.task_id == 0


def save_state(model: FERModel, path: Path) -> None:
    """Writes every variable of `model.state()` to a safetensors file, aside first.

    Raises:
        NonFiniteLossError: a variable is NaN or infinite; nothing is written.
        TrainingError: the file cannot be written; what was there before stays.
    """
    with written_aside(path, TrainingError) as aside:
        _write_state(_arrays(model), model, aside)


def _arrays(model: FERModel) -> dict[str, np.ndarray]:
    """The values of `model.state()`. Every worker has to ask for them: the running means are summed over all."""
    return {name: np.array(variable.numpy(), order="C") for name, variable in model.state().items()}


def _write_state(arrays: dict[str, np.ndarray], model: FERModel, path: Path) -> None:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise NonFiniteLossError(f"{name} is no longer finite")
    write_state(path, arrays, model.config.to_dict())


def load_state(model: FERModel, path: Path) -> None:
    """Fills every variable of `model.state()` from a file of `save_state`.

    Raises:
        TrainingError: the file is damaged, or is of another model or config.
    """
    try:
        arrays, config = read_state(path)
    except ZooError as error:
        raise TrainingError(str(error)) from error
    remedy = "train into an empty folder, or with the config.json beside it"
    # Fields that came to the config after the run was written have the values that make no difference.
    changed = _changed({**type(model.config).paper().to_dict(), **config}, model.config.to_dict()) if config else []
    if changed:
        raise TrainingError(f"{path}: is of a run with another {', '.join(changed)}; {remedy}")
    state = model.state()
    wrong = sorted(set(arrays) ^ set(state)) or [
        name for name, variable in state.items() if not _fits(arrays[name], tuple(variable.shape))
    ]
    if wrong:
        raise TrainingError(
            f"{path}: is of another model or config ({len(wrong)} variables differ, first {wrong[0]}); {remedy}"
        )
    for name, variable in state.items():
        variable.assign(arrays[name].reshape(variable.shape))


def _fits(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array is of a shape; a single number may be stored with an axis."""
    return array.shape == shape or array.size == 1 and not shape


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Fields that two configs do not share or that differ."""
    return [key for key in {**before, **after} if key not in before or key not in after or before[key] != after[key]]


class Checkpoints:
    """The checkpoints of one run: complete folders `checkpoints/<epoch>-<step>`, the newest two are kept.

    Args:
        folder: of the run.
        writes: False for the workers that only read.
    """

    def __init__(self, folder: Path, writes: bool = True, keep: int = 2) -> None:
        self.folder = folder / "checkpoints"
        self.writes = writes
        self.keep = keep

    def places(self) -> list[tuple[Place, Path]]:
        """Every complete checkpoint, oldest first."""
        found = []
        for path in self.folder.glob("[0-9]*-[0-9]*"):
            epoch, _, step = path.name.partition("-")
            if (path / "state.safetensors").is_file() and epoch.isdecimal() and step.isdecimal():
                found.append((Place(int(epoch), int(step)), path))
        return sorted(found, key=lambda entry: dataclasses.astuple(entry[0]))

    def save(self, model: FERModel, place: Place) -> None:
        """Writes a checkpoint aside, renames it, and removes those that are no longer kept.

        Raises:
            NonFiniteLossError: a variable is NaN or infinite; the checkpoints stay as they are.
            TrainingError: it cannot be written, as on a full disk; the checkpoints stay as they are.
        """
        arrays = _arrays(model)
        if not self.writes:
            return
        target = self.folder / f"{place.epoch:05d}-{place.step:07d}"
        with folder_written_aside(target, TrainingError) as aside:
            _write_state(arrays, model, aside / "state.safetensors")
        for _, path in self.places()[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)

    def restore(self, model: FERModel) -> Place:
        """Loads the newest checkpoint, if there is one, and returns the place it was written at.

        Raises:
            TrainingError: it is damaged, or of another model or config.
        """
        if self.writes:
            for left_over in (*self.folder.glob(".*.tmp"), *self.folder.glob(".*.old")):
                shutil.rmtree(left_over, ignore_errors=True)
        places = self.places()
        if not places:
            return Place()
        place, path = places[-1]
        load_state(model, path / "state.safetensors")
        return place


class _Interrupt:
    """Notes SIGINT and SIGTERM inside a `with`, so that the loop can save before it stops; a second stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Interrupt:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Workers:
    """What the processes of one training have to agree on; a single process agrees with itself."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self._many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

        def total(values: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

        self._total = tf.function(lambda values: strategy.run(total, (values,)), autograph=False)

    def _mean(self, values: Sequence[float]) -> np.ndarray:
        sums = self._strategy.experimental_local_results(self._total(tf.constant(values, tf.float64)))[0]
        return sums.numpy() / self._strategy.num_replicas_in_sync

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """For each wish, whether any worker has it."""
        return tuple(value > 0 for value in self._mean(wishes)) if self._many else wishes

    def demand_same(self, place: Place, folder: Path) -> None:
        """`TrainingError` if the workers would start at different places."""
        if self._many and not np.array_equal(self._mean(dataclasses.astuple(place)), dataclasses.astuple(place)):
            raise TrainingError(f"{folder}: the workers see different checkpoints; give all of them one shared folder")


class _StepFunctions:
    """One traced step function for each phase of the model."""

    def __init__(self, model: FERModel, strategy: tf.distribute.Strategy) -> None:
        self.model = model
        self.strategy = strategy
        self._optimizers = dict(model.optimizers)
        self._traced: dict[tuple[bool, ...], Callable] = {}

    @classmethod
    def of(cls, model: FERModel, strategy: tf.distribute.Strategy) -> _StepFunctions:
        """Those that an earlier `fit` of the model traced, where they still hold; else new ones."""
        kept = getattr(model, "traced_steps", None)
        if kept is None or kept.strategy is not strategy or kept._optimizers != model.optimizers:
            kept = model.traced_steps = cls(model, strategy)
        return kept

    def __call__(self, batch: Any, step: int) -> dict[str, float]:
        """Trains on a batch; returns the running means of the loss terms."""
        phase = self.model.phase_at(step)
        if phase not in self._traced:
            self._traced[phase] = self._trace()
        self.model.phase = phase
        try:
            means = self._traced[phase](batch).numpy()
        finally:
            self.model.phase = None
        return dict(zip(self.model.trackers, means.tolist()))

    def _trace(self) -> Callable:
        def step(batch: Any) -> tf.Tensor:
            self.strategy.run(self._one_replica, (batch,))
            return tf.stack([tracker.result() for tracker in self.model.trackers.values()])

        return tf.function(step, reduce_retracing=True, autograph=False)

    def _one_replica(self, batch: Any) -> None:
        self.model.train_step(batch)


def fit(
    model: FERModel,
    batches: Batches,
    folder: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    strategy: tf.distribute.Strategy | None = None,
    on_epoch_end: Sequence[Callable[[EpochEnd], dict[str, float] | None]] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    save_every: float = 300.0,
    verbose: int = 1,
    stop_after: float | None = None,
) -> list[dict[str, float]]:
    """Trains a model, or goes on where the run in `folder` stopped.

    Args:
        model: made under the strategy's scope; compiled here.
        batches: of the model's `batch_kind`.
        folder: of the run: checkpoints/, history.csv, logs/ for TensorBoard. A run in it goes on.
        epochs: stop after so many passes over the batches; by default as many as the config says. The learning rate's
            schedule is that of the config either way.
        strategy: by default that of the scope this is called in.
        on_epoch_end: functions that are called with the averaged weights in place; numbers they return are logged. Of
            several workers only the chief calls them.
        callbacks: Keras callbacks; they get epochs, batches and logs as from `Model.fit`, and may set
            `model.stop_training`.
        save_every: seconds between checkpoints inside an epoch; each epoch ends with one in any case.
        verbose: 1 to show how each epoch goes, 2 for its outcome only, 0 for silence.
        stop_after: seconds after which to save and stop; None for never.

    Returns:
        One dict an epoch: its number, every loss term, seconds, and what `on_epoch_end` returned.

    Raises:
        NonFiniteLossError: a loss term, or with it a weight, is NaN or infinite.
        Interrupted: SIGINT or SIGTERM arrived; the state is saved.
        TimeIsOver: `stop_after` has passed; the state is saved.
        TrainingError: the folder holds a run of another model or config, or the batch cannot be divided by the
            replicas.
    """
    folder = Path(folder)
    strategy = strategy or tf.distribute.get_strategy()
    epochs = model.config.epochs if epochs is None else epochs
    if batches.batch_size % strategy.num_replicas_in_sync:
        raise TrainingError(
            f"a batch of {batches.batch_size} cannot be shared by {strategy.num_replicas_in_sync} replicas; "
            "choose a batch_size that divides by their number"
        )
    chief = is_chief(strategy)
    checkpoints = Checkpoints(folder, writes=chief)
    if not checkpoints.places():
        model.prepare(next(iter(batches.epoch(0))))
    if not model.optimizers:
        with strategy.scope():
            model.compile(total_steps=model.config.epochs * batches.steps_per_epoch)
    model.adapt(batches.columns)
    place = checkpoints.restore(model)
    workers = _Workers(strategy)
    workers.demand_same(place, checkpoints.folder)
    history = read_history(folder / "history.csv")[: place.epoch]
    steps = _StepFunctions.of(model, strategy)
    model.stop_training = False
    for callback in callbacks:
        callback.set_model(model)
        callback.set_params({"epochs": epochs, "steps": batches.steps_per_epoch, "verbose": 0})
    _notify(callbacks, "on_train_begin")
    started = saved = time.monotonic()

    def stop_is_wanted() -> bool:
        return interrupt.asked or (stop_after is not None and time.monotonic() - started > stop_after)

    with _Interrupt() as interrupt, _summary_writer(folder, chief) as writer:
        for epoch in range(place.epoch, epochs):
            first = place.step if epoch == place.epoch else 0
            if first == 0:
                for tracker in model.trackers.values():
                    tracker.reset_state()
            _notify(callbacks, "on_epoch_begin", epoch)
            progress = _Progress(epoch, epochs, first, batches.steps_per_epoch, verbose if chief else 0)
            logs = _means(model)
            for step, batch in enumerate(_distributed(batches, epoch, first, strategy), start=first):
                _notify(callbacks, "on_train_batch_begin", step)
                logs = steps(batch, epoch * batches.steps_per_epoch + step)
                _check_finite(logs, epoch, step, checkpoints)
                _notify(callbacks, "on_train_batch_end", step, logs)
                progress.show(step + 1, logs)
                stop, save = workers.any(stop_is_wanted(), time.monotonic() - saved > save_every)
                if (stop or save) and step + 1 < batches.steps_per_epoch:
                    _save(checkpoints, model, Place(epoch, step + 1))
                    saved = time.monotonic()
                    if stop:
                        kind = Interrupted if interrupt.asked else TimeIsOver
                        raise kind(f"stopped in epoch {epoch + 1} after step {step + 1}; saved in {folder}")
            logs["seconds"] = round(progress.seconds, 3)
            with model.averaged_weights():
                for function in on_epoch_end if chief else ():
                    logs.update(function(EpochEnd(model, epoch, dict(logs), folder)) or {})
            history.append({"epoch": epoch + 1, **logs})
            progress.end(logs)
            if chief:
                _write_history(folder / "history.csv", history)
                _write_summaries(writer, logs, epoch)
            _notify(callbacks, "on_epoch_end", epoch, logs)
            _save(checkpoints, model, Place(epoch + 1, 0))
            saved = time.monotonic()
            stop, enough = workers.any(stop_is_wanted(), model.stop_training)
            if enough:
                break
            if stop and epoch + 1 < epochs:
                kind = Interrupted if interrupt.asked else TimeIsOver
                raise kind(f"stopped after epoch {epoch + 1}; saved in {folder}")
    _notify(callbacks, "on_train_end")
    return history


def _notify(callbacks: Sequence[keras.callbacks.Callback], event: str, *arguments: Any) -> None:
    for callback in callbacks:
        getattr(callback, event)(*arguments)


def _means(model: FERModel) -> dict[str, float]:
    """The running means of the loss terms, as a run that goes on finds them."""
    return {name: float(tracker.result()) for name, tracker in model.trackers.items()}


def _save(checkpoints: Checkpoints, model: FERModel, place: Place) -> None:
    try:
        checkpoints.save(model, place)
    except NonFiniteLossError as error:
        raise _not_finite(str(error), place.epoch, place.step, checkpoints) from error


class Validation:
    """Tests the recogniser on a table at the end of each epoch; logs accuracy and mean recall of the classes."""

    def __init__(self, table: FaceTable, batch_size: int = 256) -> None:
        self.table = table
        self.batch_size = batch_size

    def __call__(self, end: EpochEnd) -> dict[str, float]:
        report = evaluate(end.model, self.table, batch_size=self.batch_size)
        return {"valid_accuracy": report.accuracy, "valid_balanced_accuracy": report.balanced_accuracy}


class Preview:
    """Draws the model's pictures of one batch at the end of each epoch: samples/epoch-00001.png."""

    def __init__(self, batch: dict[str, tf.Tensor]) -> None:
        self.batch = {name: np.asarray(value) for name, value in batch.items()}

    def __call__(self, end: EpochEnd) -> None:
        rows = synthesis.preview(end.model, self.batch)
        if rows:
            pixels = end.model.image_spec.unscale(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
            (end.folder / "samples").mkdir(exist_ok=True)
            images.write(end.folder / "samples" / f"epoch-{end.epoch + 1:05d}.png", pixels)


class CollapseCheck:
    """Looks at the end of each epoch whether a model that generates faces from noise repeats itself or its faces.

    Logs `diversity`, `repeats` and `novelty` of `evaluation.collapse`, and draws generated faces (above) beside the
    training faces that are nearest to them (below): samples/epoch-00001-nearest.png.

    Args:
        faces: training faces to compare with, float32 (n, h, w, c) in the model's range.
        count: faces to generate.
    """

    def __init__(self, faces: np.ndarray, count: int = 256) -> None:
        self.faces = faces
        self.count = count

    def __call__(self, end: EpochEnd) -> dict[str, float]:
        from kerasfer.evaluation.collapse import collapse

        made = end.model.generate(self.count, seed=0)
        found = collapse(made, self.faces)
        rows = [made[:12], self.faces[found.nearest[:12]]]
        pixels = end.model.image_spec.unscale(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
        (end.folder / "samples").mkdir(exist_ok=True)
        images.write(end.folder / "samples" / f"epoch-{end.epoch + 1:05d}-nearest.png", pixels)
        return {"diversity": found.diversity, "repeats": found.repeats, "novelty": found.novelty}


def _distributed(batches: Batches, epoch: int, first: int, strategy: tf.distribute.Strategy) -> Iterator[Any]:
    dataset = batches.epoch(epoch, first)
    if strategy.num_replicas_in_sync == 1 and not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return iter(dataset)
    return iter(strategy.experimental_distribute_dataset(dataset))


def _check_finite(logs: dict[str, float], epoch: int, step: int, checkpoints: Checkpoints) -> None:
    for name, value in logs.items():
        if not math.isfinite(value):
            raise _not_finite(f"{name} is {value}", epoch, step + 1, checkpoints)


def _not_finite(what: str, epoch: int, step: int, checkpoints: Checkpoints) -> NonFiniteLossError:
    kept = checkpoints.places()
    last = f"the last good checkpoint is {kept[-1][1]}" if kept else "no checkpoint was written yet"
    return NonFiniteLossError(
        f"{what} in epoch {epoch + 1}, step {step}; {last}. "
        "A smaller learning_rate, or precision=float32, usually helps"
    )


class _Progress:
    """Shows an epoch on standard output: where it stands and every loss term, within the width of a terminal.

    A terminal shows one block of lines that changes in place; anything else gets a block a minute.
    """

    def __init__(self, epoch: int, epochs: int, first: int, steps: int, verbose: int) -> None:
        self._title = f"epoch {epoch + 1}/{epochs}"
        self._first = first
        self._steps = steps
        self._verbose = verbose
        self._terminal = sys.stdout.isatty()
        self._started = self._shown = time.monotonic()
        self._height = 0

    @property
    def seconds(self) -> float:
        """Time since the epoch, or its part that this process trains, began."""
        return time.monotonic() - self._started

    def show(self, step: int, logs: dict[str, float]) -> None:
        """Tells that a number of steps are done, if it is time for it."""
        now = time.monotonic()
        if self._verbose != 1 or now - self._shown < (0.5 if self._terminal else 60.0):
            return
        self._shown = now
        rate = (step - self._first) / max(now - self._started, 1e-9)
        speed = f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s/step"
        left = _clock((self._steps - step) / max(rate, 1e-9))
        self._print([f"{step / self._steps:4.0%}", f"step {step}/{self._steps}", speed, f"{left} left"], logs)

    def end(self, logs: dict[str, float]) -> None:
        """Shows the outcome of the epoch."""
        if self._verbose:
            terms = {name: value for name, value in logs.items() if name != "seconds"}
            self._print([_clock(logs["seconds"])], terms)

    def _print(self, facts: list[str], logs: dict[str, float]) -> None:
        width = max(shutil.get_terminal_size((100, 24)).columns - 1, 20)
        terms = [
            f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e4 or not value else f"{name} {value:.3e}"
            for name, value in logs.items()
        ]
        lines = [*_wrapped([self._title, *facts], width), *_wrapped(terms, width, "  ")]
        if self._terminal:
            up = f"\x1b[{self._height}A" if self._height else ""
            print(up + "".join(f"\x1b[2K{line[:width]}\n" for line in lines), end="\x1b[J", flush=True)
            self._height = len(lines)
        else:
            print("\n".join(lines), flush=True)


def _wrapped(parts: Sequence[str], width: int, indent: str = "") -> list[str]:
    """Lines of whole parts, two spaces between them."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(indent + part)
    return lines


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def read_history(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: int(float(value)) if name == "epoch" else float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in history for name in row))
    with written_aside(path, TrainingError) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)


@contextlib.contextmanager
def _summary_writer(folder: Path, chief: bool) -> Iterator[Any]:
    if not chief:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    writer = tf.summary.create_file_writer(str(folder / "logs"))
    try:
        yield writer
    finally:
        writer.close()


def _write_summaries(writer: Any, logs: dict[str, float], epoch: int) -> None:
    with writer.as_default(step=epoch + 1):
        for name, value in logs.items():
            tf.summary.scalar(name, value)


def write_run(folder: Path, name: str, model: FERModel, **facts: Any) -> None:
    """Writes config.json: the model's name and config, and facts such as data set and command.

    Raises:
        TrainingError: the folder holds a run with another model or config.
    """
    path = folder / "config.json"
    content = {"model": name, "config": model.config.to_dict(), **facts}
    if path.is_file():
        try:
            before = read_json(path)
            check_seal(before, path)
            changed = _changed(before["config"], content["config"]) + _changed(
                {"model": before["model"]}, {"model": name}
            )
        except ZooError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise TrainingError(f"{path}: not readable ({reason}); or give another output folder") from error
        except (KeyError, TypeError) as error:
            raise TrainingError(f"{path}: does not describe a run; give another output folder") from error
        if changed:
            raise TrainingError(
                f"{path}: holds a run with another {', '.join(changed)}; give another output folder, or the same "
                "settings to go on"
            )
    write_aside(path, (json.dumps(seal(content), indent=2) + "\n").encode(), TrainingError)

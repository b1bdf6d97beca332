"""The one training loop: any model, any number of replicas, resumable at any step.

`fit` runs `model.train_step` under a `tf.distribute` strategy, writes checkpoints that hold everything a run needs to
resume (weights, optimizer slots, random states, the place in the epoch), reports every loss term, stops at the first
that is not finite and saves when it is interrupted.

Several processes, on one machine or on several, train together under `tf.distribute.MultiWorkerMirroredStrategy`: each
is started with the same command, a `TF_CONFIG` of its own and the same run folder, which only the chief writes to. For
the same global batch every number of replicas gives the same losses and weights up to rounding, with two exceptions.
Dropout: the masks are repeatable, but each replica draws the same one for its own examples. Batch normalization: each
replica takes the statistics of its own examples, as is usual.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer import images, synthesis
from kerasfer.checkpoints import (
    Checkpoints,
    NonFiniteLossError,
    Place,
    TrainingError,
    changed_fields,
    load_state,
    save_state,
)
from kerasfer.data.kinds import Batches
from kerasfer.datasets.base import FaceTable
from kerasfer.evaluation.classification import evaluate
from kerasfer.files import atomic_file, atomic_write
from kerasfer.models.base import FERModel
from kerasfer.progress import Progress
from kerasfer.weights import ZooError, check_seal, pack, read_json, seal

__all__ = [
    "Checkpoints",
    "CollapseCheck",
    "EpochEnd",
    "Interrupted",
    "NonFiniteLossError",
    "Place",
    "Preview",
    "Snapshots",
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


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; its state is saved."""


class TimeIsOver(Interrupted):
    """The time that the run was given is over; its state is saved."""


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

    def require_same(self, place: Place, folder: Path) -> None:
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
    """Trains a model, or resumes the run in `folder`.

    Args:
        model: made under the strategy's scope; compiled here.
        batches: of the model's `batch_kind`.
        folder: of the run: checkpoints/, history.csv, logs/ for TensorBoard. A run in it is resumed.
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
    workers.require_same(place, checkpoints.folder)
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
            progress = Progress(epoch, epochs, first, batches.steps_per_epoch, verbose if chief else 0)
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
    """Calls each in turn; Keras' `CallbackList` calls some from threads, which an interruption leaves behind."""
    for callback in callbacks:
        getattr(callback, event)(*arguments)


def _means(model: FERModel) -> dict[str, float]:
    """The running means of the loss terms, as a run that resumes finds them."""
    return {name: float(tracker.result()) for name, tracker in model.trackers.items()}


def _save(checkpoints: Checkpoints, model: FERModel, place: Place) -> None:
    try:
        checkpoints.save(model, place)
    except NonFiniteLossError as error:
        raise _not_finite(str(error), place.epoch, place.step, checkpoints) from error


class Validation:
    """Tests the recognizer on a table at the end of each epoch; logs accuracy and mean recall of the classes."""

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

        made = synthesis.FromNoise(end.model).generate(self.count, seed=0)
        found = collapse(made, self.faces)
        rows = [made[:12], self.faces[found.nearest[:12]]]
        pixels = end.model.image_spec.unscale(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
        (end.folder / "samples").mkdir(exist_ok=True)
        images.write(end.folder / "samples" / f"epoch-{end.epoch + 1:05d}-nearest.png", pixels)
        return {"diversity": found.diversity, "repeats": found.repeats, "novelty": found.novelty}


class Snapshots:
    """Keeps weights, as they are averaged, at the end of every so many epochs: snapshots/epoch-00010.safetensors.

    `kerasfer.checkpoints.snapshots` lists them, and `kerasfer.weights.unpack` reads one: "NETWORK/NUMBER" -> weight.

    Args:
        every: epochs from one to the next, 1 or more.
        networks: names of the networks to keep.
    """

    def __init__(self, every: int, networks: Sequence[str]) -> None:
        if every < 1:
            raise TrainingError(f"snapshots are kept every epoch or every so many, got {every}")
        self.every = every
        self.networks = tuple(networks)

    def __call__(self, end: EpochEnd) -> None:
        if (end.epoch + 1) % self.every:
            return
        arrays = {
            f"{name}/{number}": values
            for name in self.networks
            for number, values in enumerate(end.model.networks[name].get_weights())
        }
        folder = end.folder / "snapshots"
        folder.mkdir(exist_ok=True)
        atomic_write(folder / f"epoch-{end.epoch + 1:05d}.safetensors", pack(arrays), TrainingError)


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


def read_history(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: int(float(value)) if name == "epoch" else float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes the file anew, aside first: Keras' `CSVLogger` adds lines, and so repeats an epoch that was cut off."""
    names = list(dict.fromkeys(name for row in history for name in row))
    with atomic_file(path, TrainingError) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)


@contextlib.contextmanager
def _summary_writer(folder: Path, chief: bool) -> Iterator[Any]:
    """For TensorBoard. Keras' callback closes its files when a training ends, and not when it is interrupted."""
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


def begun_config(folder: Path) -> dict[str, Any]:
    """The config of the run that a folder holds; {} if it holds none that can be read."""
    try:
        config = read_json(folder / "config.json").get("config")
    except ZooError:
        return {}
    return config if isinstance(config, dict) else {}


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
            changed = changed_fields(before["config"], content["config"]) + changed_fields(
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
                "settings to resume it"
            )
    atomic_write(path, (json.dumps(seal(content), indent=2) + "\n").encode(), TrainingError)

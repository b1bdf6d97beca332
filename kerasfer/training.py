"""The one training loop: any model, any number of replicas, resumable at any step.

`fit` runs `model.train_step` under a `tf.distribute` strategy, writes checkpoints that hold everything a run needs to
go on (weights, optimizer slots, random states, the place in the epoch), reports every loss term, stops at the first
that is not finite and saves when it is interrupted.
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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kerasfer import images
from kerasfer.batches import Batches
from kerasfer.datasets.base import FaceTable
from kerasfer.evaluation.classification import evaluate
from kerasfer.models.base import FERModel

__all__ = [
    "Checkpoints",
    "EpochEnd",
    "Interrupted",
    "NonFiniteLossError",
    "Place",
    "Preview",
    "TrainingError",
    "Validation",
    "deterministic",
    "fit",
    "load_state",
    "local_strategy",
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
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if len(devices) >= replicas:
            return tf.distribute.MirroredStrategy([device.name for device in devices[:replicas]])
    try:
        cpu = tf.config.list_physical_devices("CPU")[0]
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


def save_state(model: FERModel, path: Path) -> None:
    """Writes every variable of `model.state()` to a safetensors file, aside first."""
    arrays = {name: np.asarray(variable.numpy()) for name, variable in model.state().items()}
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, aside)
    os.replace(aside, path)


def load_state(model: FERModel, path: Path) -> None:
    """Fills every variable of `model.state()` from a file of `save_state`.

    Raises:
        TrainingError: the file is damaged, or is of another model or config.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: not a readable checkpoint ({error}); delete its folder to use the one before"
        ) from error
    state = model.state()
    wrong = sorted(set(arrays) ^ set(state)) or [
        name for name, variable in state.items() if tuple(variable.shape) != arrays[name].shape
    ]
    if wrong:
        raise TrainingError(
            f"{path}: is of another model or config ({len(wrong)} variables differ, first {wrong[0]}); "
            "train into an empty folder, or with the config.json beside it"
        )
    for name, variable in state.items():
        variable.assign(arrays[name])


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
        """Writes a checkpoint aside, renames it, and removes those that are no longer kept."""
        if not self.writes:
            return
        target = self.folder / f"{place.epoch:05d}-{place.step:07d}"
        aside = self.folder / f".{target.name}.{os.getpid()}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_state(model, aside / "state.safetensors")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(aside, target)
        for _, path in self.places()[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)

    def restore(self, model: FERModel) -> Place:
        """Loads the newest checkpoint, if there is one, and returns the place it was written at."""
        places = self.places()
        if not places:
            return Place()
        place, path = places[-1]
        load_state(model, path / "state.safetensors")
        return place


class _Interrupt:
    """Notes SIGINT and SIGTERM inside a `with`, so that the loop can save before it stops."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Interrupt:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self.asked = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _StepFunctions:
    """One traced step function for each phase of the model."""

    def __init__(self, model: FERModel, strategy: tf.distribute.Strategy) -> None:
        self.model = model
        self.strategy = strategy
        self._traced: dict[tuple[bool, ...], Callable] = {}

    def __call__(self, batch: Any, step: int) -> dict[str, float]:
        phase = self.model.phase_at(step)
        if phase not in self._traced:
            self._traced[phase] = self._trace()
        self.model.phase = phase
        try:
            self._traced[phase](batch)
        finally:
            self.model.phase = None
        return {name: float(tracker.result()) for name, tracker in self.model.trackers.items()}

    def _trace(self) -> Callable:
        def step(batch: Any) -> None:
            self.strategy.run(self._one_replica, (batch,))

        return tf.function(step, reduce_retracing=True)

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
        epochs: passes over the batches; by default as the config says.
        strategy: by default the one that the model was made under.
        on_epoch_end: functions that are called with the averaged weights in place; numbers they return are logged.
        callbacks: Keras callbacks; they get epochs, batches and logs as from `Model.fit`.
        save_every: seconds between checkpoints inside an epoch; each epoch ends with one in any case.
        verbose: 1 for a progress bar, 2 for a line an epoch, 0 for silence.
        stop_after: seconds after which to save and stop as if interrupted; None for never.

    Returns:
        One dict an epoch: every loss term, seconds, and what `on_epoch_end` returned.

    Raises:
        NonFiniteLossError: a loss term is NaN or infinite.
        Interrupted: SIGINT or SIGTERM arrived; the state is saved.
        TrainingError: the folder holds a run of another model or config.
    """
    folder = Path(folder)
    strategy = strategy or tf.distribute.get_strategy()
    epochs = model.config.epochs if epochs is None else epochs
    chief = _is_chief(strategy)
    if not model.optimizers:
        with strategy.scope():
            model.compile(total_steps=epochs * batches.steps_per_epoch)
    checkpoints = Checkpoints(folder, writes=chief)
    place = checkpoints.restore(model)
    history = _read_history(folder / "history.csv")[: place.epoch]
    steps = _StepFunctions(model, strategy)
    verbose = verbose if chief else 0
    keras_callbacks = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, verbose=0, steps=batches.steps_per_epoch
    )
    keras_callbacks.on_train_begin()
    started = saved = time.monotonic()
    with _Interrupt() as interrupt, _summary_writer(folder, chief) as writer:
        for epoch in range(place.epoch, epochs):
            first = place.step if epoch == place.epoch else 0
            if first == 0:
                for tracker in model.trackers.values():
                    tracker.reset_state()
            keras_callbacks.on_epoch_begin(epoch)
            epoch_started = time.monotonic()
            bar = _progress_bar(batches.steps_per_epoch, model, verbose, epoch, epochs)
            logs: dict[str, float] = {}
            for step, batch in enumerate(_distributed(batches, epoch, first, strategy), start=first):
                keras_callbacks.on_train_batch_begin(step)
                logs = steps(batch, epoch * batches.steps_per_epoch + step)
                _check_finite(logs, epoch, step, checkpoints)
                keras_callbacks.on_train_batch_end(step, logs)
                if bar:
                    bar.update(step + 1, list(logs.items()), finalize=False)
                timed_out = stop_after is not None and time.monotonic() - started > stop_after
                if interrupt.asked or timed_out:
                    checkpoints.save(model, Place(epoch, step + 1))
                    raise Interrupted(f"stopped in epoch {epoch + 1} after step {step + 1}; saved in {folder}")
                if time.monotonic() - saved > save_every and step + 1 < batches.steps_per_epoch:
                    checkpoints.save(model, Place(epoch, step + 1))
                    saved = time.monotonic()
            logs["seconds"] = round(time.monotonic() - epoch_started, 3)
            with model.averaged_weights():
                for function in on_epoch_end:
                    logs.update(function(EpochEnd(model, epoch, dict(logs), folder)) or {})
            history.append({"epoch": epoch + 1, **logs})
            if bar:
                bar.update(batches.steps_per_epoch, list(logs.items()), finalize=True)
            if chief:
                _write_history(folder / "history.csv", history)
                _write_summaries(writer, logs, epoch)
            keras_callbacks.on_epoch_end(epoch, logs)
            checkpoints.save(model, Place(epoch + 1, 0))
            saved = time.monotonic()
    keras_callbacks.on_train_end()
    return history


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
        rows = end.model.preview(self.batch)
        if rows:
            pixels = end.model.image_spec.unscale(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
            (end.folder / "samples").mkdir(exist_ok=True)
            images.write(end.folder / "samples" / f"epoch-{end.epoch + 1:05d}.png", pixels)


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_type in (None, "", "chief") or resolver.task_id == 0


def _distributed(batches: Batches, epoch: int, first: int, strategy: tf.distribute.Strategy) -> Iterator[Any]:
    dataset = batches.epoch(epoch, first)
    if strategy.num_replicas_in_sync == 1 and not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return iter(dataset)
    return iter(strategy.experimental_distribute_dataset(dataset))


def _check_finite(logs: dict[str, float], epoch: int, step: int, checkpoints: Checkpoints) -> None:
    for name, value in logs.items():
        if not math.isfinite(value):
            kept = checkpoints.places()
            last = f"the last good checkpoint is {kept[-1][1]}" if kept else "no checkpoint was written yet"
            raise NonFiniteLossError(
                f"{name} is {value} in epoch {epoch + 1}, step {step + 1}; {last}. "
                "A smaller learning_rate, or precision=float32, usually helps"
            )


def _progress_bar(steps: int, model: FERModel, verbose: int, epoch: int, epochs: int) -> keras.utils.Progbar | None:
    if not verbose:
        return None
    if verbose == 1:
        print(f"Epoch {epoch + 1}/{epochs}", flush=True)
    return keras.utils.Progbar(
        steps, verbose=verbose, stateful_metrics=[*model.trackers, "seconds"], unit_name="step", interval=1.0
    )


def _read_history(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value not in ("", None)}
            for row in csv.DictReader(file)
        ]


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in history for name in row))
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)
    os.replace(aside, path)


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
        before = json.loads(path.read_text())
        if (before.get("model"), before.get("config")) != (content["model"], content["config"]):
            changed = [
                key
                for key in {**before.get("config", {}), **content["config"]}
                if before.get("config", {}).get(key) != content["config"].get(key)
            ]
            raise TrainingError(
                f"{path}: holds another run (other {', '.join(changed) or 'model'}); give another output folder, "
                "or the same settings to go on"
            )
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(".config.json.tmp")
    aside.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(aside, path)

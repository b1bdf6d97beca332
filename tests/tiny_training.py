"""A training small enough for tests, in this process or in processes of its own."""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

from kerasfer import training
from kerasfer.data import KINDS, Batches
from kerasfer.datasets.base import ArraySource, FaceTable
from kerasfer.detection.pose import MEAN_FACE
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan
from kerasfer.models.tdgan import TDGAN, TDGANConfig
from kerasfer.optimizers import FusedAdam


def least(**fields: Any) -> TDGANConfig:
    """The least config that has every part of TDGAN once, without dropout."""
    config = TDGANConfig.tiny().replace(
        inception_blocks=1,
        residual_blocks=1,
        encoder_channels=(3, 4, 4, 4),
        embedding_channels=4,
        decoder_channels=(6, 5, 4, 3),
        head_units=6,
        dropout=0.0,
        epochs=2,
    )
    return config.replace(**fields)


class Steady(TDGAN):
    """TDGAN whose Adam has a larger epsilon.

    Where a gradient is zero but for rounding, Adam still takes whole steps in the direction of that rounding, which
    differs with the way that a batch is divided. The larger epsilon leaves the differences that are not rounding.
    """

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        make = functools.partial(FusedAdam, epsilon=1e-2)
        return {name: dataclasses.replace(plan, make=make) for name, plan in super().optimizer_plans().items()}


def face_landmarks(size: int = 32, count: int = 1) -> np.ndarray:
    """The mean face from the front, (count, 68, 2) in pixels of an image; each with a mouth a little lower."""
    points = np.tile(np.asarray(MEAN_FACE)[:, :2], (count, 1, 1))
    points[:, 48:, 1] += 0.02 * np.arange(count)[:, None]
    return (size * (0.5 + 0.37 * (points - [0.0, 0.35]))).astype(np.float32)


def noise_table(count: int = 8, size: int = 36, people: int = 3) -> FaceTable:
    """Images of noise, each brighter than the one before, with expressions, people, landmarks and some poses."""
    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 200, (count, size, size)) + np.arange(count)[:, None, None] * 50 // count
    columns = {
        "path": [str(row) for row in range(count)],
        "expression": np.arange(count) % 8,
        "identity": [f"p{row % people}" for row in range(count)],
        "pose": [[np.nan if row % 4 == 3 else 7.0 * (row % 7), 0.0, 0.0] for row in range(count)],
        "landmarks": face_landmarks(size, count),
        "blendshapes": np.random.default_rng(4).random((count, 52)),
    }
    return FaceTable("noise", ArraySource(pixels.astype(np.uint8)), columns, FERPLUS8)


def make_batches(kind: str, config: ModelConfig, count: int = 8, people: int = 3) -> Batches:
    """Batches of noise of some kind for a config."""
    spec = ImageSpec(config.image_size, config.channels, config.pixel_range)
    space = LabelSpace.of(config.expressions)
    table = noise_table(count, people=people)
    if None in space.expressions:
        names = [space.labels[row % len(space)] for row in range(count)]
        table = table.replace(label_space=space, classes=space.labels, columns={**table.columns, "expression": names})
    return KINDS[kind](table, spec, space, config.batch_size, seed=config.seed)


def state_arrays(model: FERModel) -> dict[str, np.ndarray]:
    """The values of `model.state()`."""
    return {name: variable.numpy() for name, variable in model.state().items()}


def moved(model: FERModel, step: Callable[[], Any]) -> set[str]:
    """Names of the networks of which any variable, moving statistics included, differs after `step()`."""
    before = {name: [value.numpy() for value in part.variables] for name, part in model.networks.items()}
    step()
    return {
        name
        for name, part in model.networks.items()
        if any((value.numpy() != old).any() for value, old in zip(part.variables, before[name]))
    }


class Losses(keras.callbacks.Callback):
    """Notes the losses after every step, and waits a little if asked to."""

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__()
        self.wait = wait
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.steps.append(dict(logs or {}))
        time.sleep(self.wait)


def train(
    folder: str | os.PathLike[str],
    fields: dict[str, Any],
    *,
    images: int = 8,
    epochs: int | None = None,
    replicas: int = 1,
    deterministic: bool = False,
    save_every: float = 1e9,
    wait: float = 0.0,
    output: str | os.PathLike[str] | None = None,
    tf_config: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Trains a TDGAN of the least size; returns its variables and, as "losses", those after each step (steps, terms).

    Args:
        folder: of the run.
        fields: of the config that differ from `least`.
        images: number of images in each table.
        epochs: how far to train, by default to the end.
        replicas, deterministic, save_every: as everywhere in `kerasfer.training`.
        wait: seconds to wait after each step.
        output: a file for what is returned; of several workers the chief writes it.
        tf_config: becomes TF_CONFIG.
    """
    if tf_config:
        os.environ["TF_CONFIG"] = json.dumps(tf_config)
    config = least(**fields)
    if deterministic:
        training.deterministic(config.seed)
    strategy = training.strategy_for(replicas)
    with strategy.scope():
        model = Steady(config)
    losses = Losses(wait)
    batches = make_batches(TDGAN.batch_kind_of(config), config, images)
    training.fit(
        model,
        batches,
        folder,
        epochs=epochs,
        strategy=strategy,
        callbacks=[losses],
        save_every=save_every,
        verbose=0,
    )
    arrays = state_arrays(model)
    arrays["losses"] = np.array([[step[name] for name in model.trackers] for step in losses.steps])
    if output and training.is_chief(strategy):
        np.savez(output, **arrays)
    return arrays


def start(*arguments: Any, **options: Any) -> ForkServerProcess:
    """Starts `train` in a process of its own, in which TensorFlow is fresh."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow"])
    process = context.Process(target=train, args=arguments, kwargs=options, daemon=True)
    process.start()
    return process


def finish(*processes: ForkServerProcess, seconds: float = 900.0) -> None:
    """Waits for processes that have to end well."""
    for process in processes:
        process.join(seconds)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(processes)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()

"""A model that a protocol trains again and again, and the epoch that is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kerasfer.datasets.base import FaceTable
from kerasfer.evaluation.classification import predict
from kerasfer.files import atomic_write

__all__ = ["BestEpoch", "Trained", "as_json"]


class BestEpoch:
    """Keeps the state of the epoch that recognizes most of the selection part; the first one where equal."""

    def __init__(self, folder: Path, table: FaceTable, recognizes: Any) -> None:
        self.folder = folder
        self.true = table.encoded(recognizes.label_space)
        self.table = table
        self.recognizes = recognizes

    def best(self) -> dict[str, Any] | None:
        """Epoch and accuracy of the state that is kept."""
        file = self.folder / "best.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def __call__(self, end: Any) -> dict[str, float]:
        from kerasfer.training import save_state

        accuracy = float((predict(self.recognizes, self.table).argmax(1) == self.true).mean())
        best = self.best()
        if best is None or accuracy > best["accuracy"]:
            save_state(end.model, self.folder / "best.safetensors")
            atomic_write(self.folder / "best.json", as_json({"epoch": end.epoch + 1, "accuracy": accuracy}))
        return {"selection_accuracy": accuracy}


class Trained:
    """A model that is trained again and again from the start, with all that was traced of it.

    Whatever the order of the runs, one with the same seed begins with the same weights and slots.
    """

    def __init__(self, model: type, config: Any) -> None:
        self.model = model(config)
        self._weights = {0: self._copied(self.model)}
        self._first: dict[str, np.ndarray] | None = None
        self._steps = 0
        self._recognizes: Any = None

    @staticmethod
    def _copied(model: Any) -> dict[str, list[np.ndarray]]:
        return {name: [variable.numpy() for variable in net.variables] for name, net in model.networks.items()}

    @property
    def recognizes(self) -> Any:
        """The model as `kerasfer.evaluation.predict` takes it, traced once."""
        if self._recognizes is None:
            import tensorflow as tf

            network, spec = self.model.recognizer(), self.model.image_spec
            traced = tf.function(
                lambda faces: network(faces, training=False),
                input_signature=[tf.TensorSpec((None, *spec.shape), tf.float32)],
            )
            self._recognizes = SimpleNamespace(
                image_spec=spec, label_space=self.model.label_space, recognizer=lambda: traced
            )
        return self._recognizes

    def compile(self, steps_per_epoch: int) -> None:
        """Makes the optimizers, anew if the schedule of the learning rate depends on another number of steps."""
        steps = 0 if self.model.config.schedule == "constant" else steps_per_epoch
        if not self.model.optimizers or steps != self._steps:
            self.model.compile(total_steps=self.model.config.epochs * steps_per_epoch)
            self._steps, self._first = steps, None
        if self._first is None:
            state = self.model.state()
            self._first = {name: state[name].numpy() for name in state if not name.startswith("network/")}

    def restart(self, seed: int) -> None:
        """Gives every variable the value that it has before a training with a seed."""
        if hasattr(self.model, "forget_classifier"):
            self.model.forget_classifier()
        if seed not in self._weights:
            config = self.model.config
            fresh = type(self.model)(config.replace(seed=config.seed + seed))
            self._weights[seed] = self._copied(fresh)
        for name, values in self._weights[seed].items():
            for variable, value in zip(self.model.networks[name].variables, values, strict=True):
                variable.assign(value)
        self.reset_counters()

    def reset_counters(self) -> None:
        """Sets optimizer slots, trackers and the step to their first values."""
        if self._first is not None:
            state = self.model.state()
            for name, value in self._first.items():
                state[name].assign(value)


def as_json(content: dict[str, Any]) -> bytes:
    """The content of a JSON file; `ValueError` for a number that JSON does not have."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()

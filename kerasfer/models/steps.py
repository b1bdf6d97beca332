"""Parts of a training step: terms that are not due at every step, means over replicas, random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasfer.models.config import ModelConfig

__all__ = ["Stepped"]


class Stepped:
    """Stands before `keras.Model` among the bases of a model with a training step of its own.

    Attributes:
        config: its seed is that of every random draw.
        step: number of training steps done, int64 variable.
        trackers: name of each loss term -> its running mean.
        test_trackers: the same of what `test_step` reports.
        phase: which parts of the step a loop traces; None where the step decides as it runs.
    """

    config: ModelConfig
    step: keras.Variable
    trackers: dict[str, keras.metrics.Metric]
    test_trackers: dict[str, keras.metrics.Metric]
    phase: tuple[bool, ...] | None

    def intervals(self) -> tuple[int, ...]:
        """For parts of the step that are not due at every step: every how many steps each is due."""
        return ()

    def starts(self) -> tuple[int, ...]:
        """For parts of the step that come in later: the training step from which on each is done."""
        return ()

    def phase_at(self, step: int) -> tuple[bool, ...]:
        """Which of `intervals` are due at a step, and which of `starts` are past.

        A loop may trace one step function for each answer.
        """
        due = tuple(step % every == 0 for every in self.intervals())
        return (*due, *(step >= start for start in self.starts()))

    def when_due(self, index: int, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Runs the function if `intervals()[index]` is due at this step.

        A loop that sets `phase` decides while tracing, which works under every `tf.distribute` strategy, and so does
        `Model.fit`; with `steps_per_execution` it decides in the graph, which works on one replica.
        """
        every = self.intervals()[index]
        if every == 1:
            return function()
        return self._choose(index, lambda step: tf.equal(step % every, 0), function, otherwise)

    def when_started(self, index: int, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Runs the function from step `starts()[index]` on; decided as in `when_due`."""
        start = self.starts()[index]
        if start <= 0:
            return function()
        return self._choose(len(self.intervals()) + index, lambda step: step >= start, function, otherwise)

    def _choose(
        self,
        index: int,
        holds: Callable[[tf.Tensor], tf.Tensor],
        function: Callable[[], Any],
        otherwise: Callable[[], Any],
    ) -> Any:
        """Runs the function if entry `index` of the phase holds."""
        if self.phase is not None:
            return function() if self.phase[index] else otherwise()
        return tf.cond(holds(tf.convert_to_tensor(self.step)), function, otherwise)

    def mean_over_batch(self, per_example: tf.Tensor) -> tf.Tensor:
        """Mean in float32, divided by the number of replicas, since `tf.distribute` adds up their gradients."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return tf.reduce_mean(tf.cast(per_example, tf.float32)) / replicas

    def uniform(self, shape: tuple[int | tf.Tensor, ...], draw: int) -> tf.Tensor:
        """Numbers uniform on [0, 1), float32, that depend on the seed, the step and the place in the global batch only.

        Args:
            shape: of this replica's part; the first entry is its number of examples.
            draw: tells the draws of one step apart.
        """
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        count = shape[0]
        seed = tf.stack([tf.constant(self.config.seed * 1009 + draw, tf.int64), tf.convert_to_tensor(self.step)])
        numbers = tf.random.stateless_uniform((count * replicas, *shape[1:]), seed)
        if replicas == 1:
            return numbers
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        return numbers[index * count : (index + 1) * count]

    def report(self, **terms: tf.Tensor) -> None:
        """Adds values, as `mean_over_batch` gives them, to the running means of the loss terms."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in terms.items():
            self.trackers[name].update_state(tf.cast(value, tf.float32) * replicas)

    def result(self) -> dict[str, tf.Tensor]:
        """The running means of the loss terms since the last reset."""
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list({**self.test_trackers, **self.trackers}.values())

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """Keras' step of `fit`; of a model whose step has parts that are not always due, one for each `phase`."""
        if self.train_function is not None and not force:
            return self.train_function
        self.phase = None
        if self.steps_per_execution > 1 or not (self.intervals() or self.starts()):
            super().make_train_function(force=True)
            return self.train_function
        keras_step = super().make_train_function
        made: dict[tuple[bool, ...], Callable[[Any], Any]] = {}

        def step(iterator: Any) -> Any:
            phase = self.phase = self.phase_at(int(self.step.numpy()))
            if phase not in made:
                keras_step(force=True)
                made[phase], self.train_function = self.train_function, step
            return made[phase](iterator)

        self.train_function = step
        return step

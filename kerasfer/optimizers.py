"""Optimizers that step in one pass over memory, and whose running averages of the weights warm up.

What Keras keeps private is used here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["FusedAdam", "WarmAverage", "copied"]


class WarmAverage:
    """Stands before a Keras optimizer among a class's bases; its running averages (`use_ema=True`) then warm up.

    After update t, counted from 0, an average is M average + (1 - M) weight with M = min(`ema_momentum`, (1 + t) /
    (10 + t)), as in `tf.train.ExponentialMovingAverage(decay, num_updates=t)`: 0.1 at first, 0.9 after 80 updates. With
    a constant momentum of 0.998 the random weights at the start would be two thirds of what 200 updates leave.
    """

    @property
    def averages(self) -> list[keras.Variable]:
        """The running averages, in the order of the variables that the optimizer was built on; [] without any."""
        return self._model_variables_moving_average if self.use_ema else []

    def average_momentum(self) -> tf.Tensor:
        """M of the update that is being made, a float32 number."""
        updates = tf.cast(tf.convert_to_tensor(self.iterations), tf.float32)
        return tf.minimum(tf.constant(self.ema_momentum, tf.float32), (1.0 + updates) / (10.0 + updates))

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[keras.Variable]) -> None:
        """Called by Keras when the variables have been updated, before the update is counted."""
        if not self.use_ema:
            return
        momentum = self.average_momentum()
        for variable, average in zip(trainable_variables, self.averages, strict=True):
            kept = tf.cast(momentum, average.dtype)
            average.assign(kept * average + (1 - kept) * tf.cast(tf.convert_to_tensor(variable), average.dtype))


def copied(optimizer: keras.optimizers.Optimizer, **changes: Any) -> keras.optimizers.Optimizer:
    """A new optimizer of the same kind and settings, but for the changes; its running averages warm up.

    Of Adam the copy is a `FusedAdam`. One that scales losses is left out: the copy is of the one inside.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    kind = type(optimizer)
    if kind is keras.optimizers.Adam and not optimizer.amsgrad:
        kind = FusedAdam
    elif not issubclass(kind, WarmAverage):
        kind = type(kind.__name__, (WarmAverage, kind), {})
    return kind.from_config({**optimizer.get_config(), **changes})


@keras.saving.register_keras_serializable("kerasfer")
class FusedAdam(WarmAverage, keras.optimizers.Adam):
    """Adam whose update of a variable is one TensorFlow operation.

    The same numbers as `keras.optimizers.Adam` up to rounding, but for running averages, which warm up (`WarmAverage`);
    with a tenth of the operations in the graph and one pass over the memory of weights and slots instead of ten. Takes
    the arguments of `keras.optimizers.Adam`. Variables can be held at their values for the first updates.

    Raises:
        ValueError: when it is built with `amsgrad=True`, which it does not do.
    """

    _held: frozenset[int] = frozenset()
    _held_updates = 0

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.amsgrad:
            raise ValueError("FusedAdam has no AMSGrad; use keras.optimizers.Adam")
        super().build(variables)

    def hold(self, variables: Sequence[keras.Variable], updates: int) -> None:
        """Holds variables at their values, but for weight decay, in the first updates; call it before the first.

        Their gradients count for the moments meanwhile, so that they then set out with steps of the usual length.

        Args:
            variables: some of those that the optimizer was built on.
            updates: how many updates to hold them for.
        """
        self._held = frozenset(self._get_variable_index(variable) for variable in variables)
        self._held_updates = updates

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        """Updates the variables; the numbers that all updates share are computed once."""
        steps = tf.cast(tf.convert_to_tensor(self.iterations) + 1, tf.float32)
        beta1, beta2 = tf.constant(self.beta_1), tf.constant(self.beta_2)
        self._shared = {
            "beta1_power": tf.pow(beta1, steps),
            "beta2_power": tf.pow(beta2, steps),
            "beta1": beta1,
            "beta2": beta2,
            "epsilon": tf.constant(self.epsilon),
        }
        self._held_share = tf.where(steps > self._held_updates, 1.0, 0.0) if self._held else None
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._shared, self._held_share = {}, None

    def update_step(self, gradient: Any, variable: Any, learning_rate: tf.Tensor) -> None:
        """Updates one variable, which is the replica's own part of it under `tf.distribute`."""
        index = self._get_variable_index(variable)
        variable = variable.value if isinstance(variable, keras.Variable) else variable
        dtype = variable.dtype.base_dtype
        if index in self._held:
            learning_rate = tf.cast(learning_rate, tf.float32) * self._held_share
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
            **{name: tf.cast(value, dtype) for name, value in self._shared.items()},
        )

"""Optimizers that step in one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["FusedAdam"]


@keras.saving.register_keras_serializable("kerasfer")
class FusedAdam(keras.optimizers.Adam):
    """Adam whose update of a variable is one TensorFlow operation.

    The same numbers as `keras.optimizers.Adam` up to rounding, with a tenth of the operations in the graph and one pass
    over the memory of weights and slots instead of ten. Takes the arguments of `keras.optimizers.Adam`.

    Raises:
        ValueError: when it is built with `amsgrad=True`, which it does not do.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.amsgrad:
            raise ValueError("FusedAdam has no AMSGrad; use keras.optimizers.Adam")
        super().build(variables)

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
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._shared = {}

    def update_step(self, gradient: Any, variable: Any, learning_rate: tf.Tensor) -> None:
        """Updates one variable, which is the replica's own part of it under `tf.distribute`."""
        index = self._get_variable_index(variable)
        variable = variable.value if isinstance(variable, keras.Variable) else variable
        dtype = variable.dtype.base_dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
            **{name: tf.cast(value, dtype) for name, value in self._shared.items()},
        )

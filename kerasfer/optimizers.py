"""Optimizers that step in one pass over memory."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["FusedAdam"]


@keras.saving.register_keras_serializable("kerasfer")
class FusedAdam(keras.optimizers.Adam):
    """Adam whose update of a variable is one TensorFlow operation.

    The same numbers as `keras.optimizers.Adam` up to rounding, with a tenth of the operations in the graph and one pass
    over the memory of weights and slots instead of ten. Without AMSGrad. Takes the arguments of `keras.optimizers.Adam`.
    """

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)
        variable = variable.value if isinstance(variable, keras.Variable) else variable
        first, second = self._momentums[index].value, self._velocities[index].value
        dtype = variable.dtype.base_dtype if hasattr(variable.dtype, "base_dtype") else variable.dtype
        steps = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        beta1, beta2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(beta1, steps),
            beta2_power=tf.pow(beta2, steps),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta1,
            beta2=beta2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

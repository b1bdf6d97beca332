"""Fitted support vector machines as Keras layers, whose weights are the arrays of `kerasfer.models.svm`."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasfer.models.svm import pair_sides

__all__ = ["LinearDecision", "RBFDecision", "ScaledFeatures", "VoteLogits"]


class _Fitted(keras.layers.Layer):
    """A layer whose weights are given, not trained; they are float32 whatever the policy."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def given(self, name: str, shape: tuple[int, ...], value: str = "zeros") -> keras.Variable:
        return self.add_weight(shape, initializer=value, trainable=False, name=name, autocast=False)


@keras.saving.register_keras_serializable("kerasfer")
class ScaledFeatures(_Fitted):
    """`Scaling` as a layer: features float32 (n, d) to (n, d), or to (n, components)."""

    def __init__(self, components: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.components = components

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        self.mean = self.given("mean", (width,))
        self.scale = self.given("scale", (width,), "ones")
        self.projection = self.given("projection", (width, self.components)) if self.components else None

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        scaled = (inputs - self.mean) * self.scale
        return scaled if self.projection is None else tf.matmul(scaled, tf.convert_to_tensor(self.projection))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.components or input_shape[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "components": self.components}


@keras.saving.register_keras_serializable("kerasfer")
class RBFDecision(_Fitted):
    """Decisions of an RBF machine: scaled features float32 (n, m) to (n, outputs).

    Args:
        vectors: number of support vectors or landmarks.
        outputs: number of decisions.
    """

    def __init__(self, vectors: int, outputs: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.count = vectors
        self.outputs = outputs

    def build(self, input_shape: tuple) -> None:
        self.vectors = self.given("vectors", (self.count, input_shape[-1]))
        self.coefficients = self.given("coefficients", (self.count, self.outputs))
        self.intercepts = self.given("intercepts", (self.outputs,))
        self.gamma = self.given("gamma", (1,), "ones")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        vectors = tf.convert_to_tensor(self.vectors)
        # The vectors' lengths are constants to a converter, and half precision is too coarse for them: they are added
        # as two numbers, of which the second is what half precision leaves of the first.
        lengths = tf.reduce_sum(vectors * vectors, 1)[tf.newaxis]
        coarse = tf.cast(tf.cast(lengths, tf.float16), tf.float32)
        distances = tf.reduce_sum(inputs * inputs, 1, keepdims=True) + coarse
        distances -= 2.0 * tf.matmul(inputs, vectors, transpose_b=True)
        distances += lengths - coarse
        kernel = tf.exp(-tf.convert_to_tensor(self.gamma) * tf.nn.relu(distances))
        # Thousands of large coefficients all but cancel, and what float32 loses on the way grows with what they weigh.
        # So only the kernel's difference from its mean is weighed one by one.
        coefficients = tf.convert_to_tensor(self.coefficients)
        totals = tf.cast(tf.reduce_sum(tf.cast(coefficients, tf.float64), 0), tf.float32)
        mean = tf.reduce_mean(kernel, 1, keepdims=True)
        return tf.matmul(kernel - mean, coefficients) + mean * totals + self.intercepts

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.outputs)

    def get_config(self) -> dict:
        return {**super().get_config(), "vectors": self.count, "outputs": self.outputs}


@keras.saving.register_keras_serializable("kerasfer")
class VoteLogits(_Fitted):
    """`pair_scores` times a slope, plus an offset for each class: decisions float32 (n, pairs) to logits (n, K)."""

    def __init__(self, classes: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape: tuple) -> None:
        self.slope = self.given("slope", (1,), "ones")
        self.offsets = self.given("offsets", (self.classes,))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        first, second = (tf.constant(side) for side in pair_sides(self.classes))
        losses = tf.matmul(tf.nn.relu(1.0 - inputs), first) + tf.matmul(tf.nn.relu(1.0 + inputs), second)
        return losses * (-self.slope / (2.0 * (self.classes - 1))) + self.offsets

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.classes)

    def get_config(self) -> dict:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("kerasfer")
class LinearDecision(_Fitted):
    """Decisions of linear machines, and Platt's sigmoid of them: features float32 (n, d) to two tensors (n, outputs).

    The weight `learned` is 1 for the machines that were fitted.
    """

    def __init__(self, outputs: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.outputs = outputs

    def build(self, input_shape: tuple) -> None:
        self.directions = self.given("directions", (input_shape[-1], self.outputs))
        self.intercepts = self.given("intercepts", (self.outputs,))
        self.slopes = self.given("slopes", (self.outputs,), "ones")
        self.shifts = self.given("shifts", (self.outputs,))
        self.learned = self.given("learnt", (self.outputs,))

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        decisions = tf.matmul(inputs, tf.convert_to_tensor(self.directions)) + self.intercepts
        return decisions, tf.sigmoid(decisions * self.slopes + self.shifts)

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        shape = (*input_shape[:-1], self.outputs)
        return shape, shape

    def get_config(self) -> dict:
        return {**super().get_config(), "outputs": self.outputs}

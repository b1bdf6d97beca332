"""Brings a model's faces into the format that a pretrained network expects."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasfer.faces import PIXEL_RANGES

__all__ = ["FaceInput"]


@keras.saving.register_keras_serializable("kerasfer")
class FaceInput(keras.layers.Layer):
    """Faces as RGB of a network's size, (byte - mean) / deviation, in float32 whatever the dtype policy.

    A face is resized bilinearly, with pixel centers half a pixel from the border. One at least twice as large is first
    reduced by means over squares of whole pixels.

    Args:
        size: height and width of the result.
        pixel_range: a key of `PIXEL_RANGES`, that of the input.
        mean: taken from red, green and blue, which are bytes.
        deviation: what the differences are divided by.
        lift: share of the height by which the picture moves up, where the network was trained on faces that stand
            higher in it: the top rows go, the bottom row repeats.

    Input: float (n, h, w, 1 or 3) in the range. Output: float32 (n, size, size, 3).
    """

    def __init__(
        self,
        size: int,
        pixel_range: str = "unit",
        mean: tuple[float, float, float] = (127.5, 127.5, 127.5),
        deviation: tuple[float, float, float] = (127.5, 127.5, 127.5),
        lift: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if pixel_range not in PIXEL_RANGES or size < 1 or not 0 <= lift < 0.5:
            raise ValueError(
                f"faces need size >= 1, pixel_range {' or '.join(PIXEL_RANGES)} and 0 <= lift < 0.5; "
                f"got {size}, {pixel_range!r} and {lift}"
            )
        self.size = size
        self.pixel_range = pixel_range
        self.mean = tuple(mean)
        self.deviation = tuple(deviation)
        self.lift = lift

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        x = tf.cast(inputs, tf.float32)
        rows = round(self.lift * x.shape[1])
        if rows:
            x = tf.concat([x[:, rows:], *([x[:, -1:]] * rows)], axis=1)
        factor = min(x.shape[1:3]) // self.size
        if factor > 1:
            x = tf.nn.avg_pool2d(x, factor, factor, "VALID")
        if x.shape[1:3] != (self.size, self.size):
            x = tf.image.resize(x, (self.size, self.size))
        low, high = PIXEL_RANGES[self.pixel_range]
        bytes_per_unit = 255.0 / (high - low)
        scale = tf.constant([bytes_per_unit / deviation for deviation in self.deviation])
        offset = tf.constant([-(low * bytes_per_unit + m) / d for m, d in zip(self.mean, self.deviation, strict=True)])
        return x * scale + offset

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.size, self.size, 3)

    def get_config(self) -> dict:
        config = {"size": self.size, "pixel_range": self.pixel_range, "mean": self.mean, "deviation": self.deviation}
        return {**super().get_config(), **config, "lift": self.lift}

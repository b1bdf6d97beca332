"""Refuses faces of another pixel range at the entrance of a Keras model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer.faces import PIXEL_RANGES, RANGE_SLACK, ImageSpec
from kerasfer.forks import use_tensorflow

__all__ = ["RangeChecked"]

_MARK = "kerasfer: values out of range"
_FOUND = re.compile(re.escape(_MARK) + r"[^\[\]]*\]? ?\[?([-+.\w]+)\]? ?\[?([-+.\w]+)")


class RangeChecked:
    """Stands before `keras.Model` among the bases of a model of one input, aligned faces.

    Pixels from 0 to 255, bytes and NaN would be answered with nonsense. They raise a `ValueError` that names the range:
    when the model is called outside a graph, and in `predict`, `evaluate` and `fit` with arrays, tensors, a
    `tf.data.Dataset` (every batch) or a `PyDataset` (the first batch). A least and a greatest value cost some
    microseconds a face. The layers are not touched: graphs, exported files and compiled functions hold no check.

    The same calls raise a `ForkError` in a process made by os.fork(), where they would wait without end.

    Attributes:
        image_spec: the format of the faces; the model has to define it.
    """

    image_spec: ImageSpec

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        use_tensorflow()
        if args and tf.executing_eagerly():
            self._check_faces(args[0])
        return super().__call__(*args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`; `ValueError` for faces of another range."""
        use_tensorflow()
        with self._one_line():
            return super().predict(self._checked_faces(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; `ValueError` for faces of another range."""
        use_tensorflow()
        with self._one_line():
            return super().evaluate(self._checked_faces(x), *args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`; `ValueError` for faces of another range."""
        use_tensorflow()
        with self._one_line():
            return super().fit(self._checked_faces(x), *args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict_on_batch`."""
        use_tensorflow()
        return super().predict_on_batch(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`."""
        use_tensorflow()
        return super().test_on_batch(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`."""
        use_tensorflow()
        return super().train_on_batch(*args, **kwargs)

    def _check_faces(self, faces: Any) -> None:
        """`ValueError` for an array or tensor of another type or range; anything else is not looked at."""
        if isinstance(faces, (list, tuple)) and len(faces) == 1:
            faces = faces[0]
        if not isinstance(faces, (np.ndarray, tf.Tensor)):
            return
        self._check_type(tf.as_dtype(faces.dtype))
        values = np.asarray(faces)
        if values.size:
            self.image_spec.check_range(float(values.min()), float(values.max()))

    def _check_type(self, dtype: tf.DType) -> None:
        if dtype.is_integer or dtype.is_bool:
            low, high = PIXEL_RANGES[self.image_spec.pixel_range]
            raise ValueError(
                f"faces are {dtype.name}, but the model takes float32 from {low:g} to {high:g}: bring pixels "
                "of 0 to 255 to its range with image_spec.scale(pixels)"
            )

    def _checked_faces(self, x: Any) -> Any:
        """What is given to `fit` and the like, looked at, or looked at while it is drawn."""
        if isinstance(x, tf.data.Dataset):
            first = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
            if not isinstance(first, tf.TensorSpec):
                return x
            self._check_type(first.dtype)
            return x.map(tf.autograph.experimental.do_not_convert(self._asserted))
        if isinstance(x, keras.utils.PyDataset):
            if len(x):
                batch = x[0]
                self._check_faces(batch[0] if isinstance(batch, tuple) else batch)
        else:
            self._check_faces(x)
        return x

    def _asserted(self, faces: tf.Tensor, *others: Any) -> Any:
        """An element of a data set, which cannot be drawn if its faces are of another range."""
        first, last = PIXEL_RANGES[self.image_spec.pixel_range]
        slack = RANGE_SLACK * (last - first)
        values = tf.cast(faces, tf.float32)
        low, high = tf.reduce_min(values), tf.reduce_max(values)
        good = (low >= first - slack) & (high <= last + slack)
        with tf.control_dependencies([tf.debugging.Assert(good, [_MARK, low, high])]):
            faces = tf.identity(faces)
        return (faces, *others) if others else faces

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """What a data set's batch fails with becomes the `ValueError` that an array raises."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            found = _FOUND.search(str(error))
            if found is None:
                raise
            low, high = map(float, found.groups())
        else:
            return
        self.image_spec.check_range(low, high)

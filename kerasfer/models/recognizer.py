"""`Recognizer`: every model's classifier as one flat Keras model that knows what its outputs mean."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerasfer.expressions import LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.forks import use_tensorflow
from kerasfer.graphs import in_graph
from kerasfer.models.ranges import RangeChecked

__all__ = ["Probabilities", "Recognizer", "refuse_hdf5"]

HDF5 = (".h5", ".hdf5")


@keras.saving.register_keras_serializable("kerasfer")
class Probabilities(keras.layers.Softmax):
    """The softmax at the end of a `Recognizer`, which keeps what one must know to use it through every copy.

    Args:
        labels: names of the expressions, in the order of the probabilities.
        pixel_range: a key of `PIXEL_RANGES`, that of the images.
        feature_layer: name of the layer whose output describes a face: what the last layers classify.
        precision: the dtype policy that the model computes in; the softmax itself is taken in float32.
        training_prior: share of each expression in what the model was trained on; empty where it is not known.

    Input and output: float32 (n, K).
    """

    def __init__(
        self,
        labels: Sequence[str],
        pixel_range: str,
        feature_layer: str,
        precision: str = "float32",
        training_prior: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        use_tensorflow()
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.labels = tuple(labels)
        self.pixel_range = pixel_range
        self.feature_layer = feature_layer
        self.precision = precision
        self.training_prior = tuple(training_prior)

    def get_config(self) -> dict[str, Any]:
        config = {"labels": list(self.labels), "pixel_range": self.pixel_range, "feature_layer": self.feature_layer}
        prior = {"training_prior": list(self.training_prior)} if self.training_prior else {}
        return {**super().get_config(), **config, "precision": self.precision, **prior}


@keras.saving.register_keras_serializable("kerasfer")
class Recognizer(RangeChecked, keras.Model):
    """A functional model without models inside it: aligned faces to probabilities.

    Every layer's `output` is a part of it, so that `keras.Model(recognizer.input, recognizer.layers[-3].output)` works.
    The layer "probabilities" is the last, its input the logits. It can be compiled and fitted like any Keras model, and
    saved as a .keras file, which `keras.models.load_model` opens wherever kerasfer has been imported. Faces of another
    pixel range, bytes and NaN are refused (`RangeChecked`); graphs and exported files hold no check.

    Args:
        inputs: Keras tensor of aligned faces, float32 (n, h, w, c) in the model's range.
        outputs: Keras tensor of probabilities, float32 (n, K), made by `Probabilities`.
        name: of the model.
    """

    # No __init__: Keras saves and clones subclasses of its functional models only where that is its own.

    @property
    def dtype_policy(self) -> keras.DTypePolicy:
        """That of the layers, by which `compile` scales losses or does not."""
        return keras.dtype_policies.get(self._end.precision)

    @property
    def _end(self) -> Probabilities:
        return self.layers[-1]

    @property
    def label_space(self) -> LabelSpace:
        """The expressions, in the order of the probabilities."""
        return LabelSpace.of(self._end.labels)

    @property
    def training_prior(self) -> tuple[float, ...]:
        """Share of each expression in what the model was trained on; () where it is not known."""
        return self._end.training_prior

    @property
    def image_spec(self) -> ImageSpec:
        """Format of the aligned faces."""
        return ImageSpec(*self.input_shape[2:], self._end.pixel_range)

    def recognizer(self) -> Recognizer:
        """Itself: what takes a model, such as `kerasfer.recognize`, takes its recognizer too."""
        return self

    def features(self, faces: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """What the model makes of faces before it names their expressions.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            batch_size: faces at a time.

        Returns:
            float32 (n, d).
        """
        self._check_faces(faces)
        faces = np.asarray(faces, np.float32)
        if faces.ndim != 4 or faces.shape[1:] != self.input_shape[1:]:
            shape = ", ".join(map(str, self.input_shape[1:]))
            raise ValueError(f"faces have shape (n, {shape}), got {faces.shape}")
        parts = [np.zeros((0, self._features.shape[-1]), np.float32)]
        parts += [self._featured(faces[start : start + batch_size]) for start in range(0, len(faces), batch_size)]
        return np.concatenate([np.asarray(part, np.float32) for part in parts])

    @property
    def _features(self) -> keras.KerasTensor:
        return self.get_layer(self._end.feature_layer).output

    @functools.cached_property
    def _featured(self) -> Callable[[Any], Any]:
        return in_graph(keras.Model(self.input, self._features))

    def save(self, filepath: str | os.PathLike[str], *arguments: Any, **options: Any) -> None:
        """Saves the model as a .keras file, as `keras.Model.save` does.

        Raises:
            ValueError: the path is that of an HDF5 file.
        """
        refuse_hdf5(filepath)
        super().save(filepath, *arguments, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if any("module" not in layer for layer in config["layers"]):
            # Only Keras' HDF5 format leaves out where a layer's class comes from.
            refuse_hdf5(f"{self.name}.h5")
        return config


def refuse_hdf5(path: str | os.PathLike[str]) -> None:
    """`ValueError` for the path of an HDF5 file of a whole model; files of weights alone, .weights.h5, may be."""
    name = os.fspath(path)
    if name.endswith(HDF5) and not name.endswith(".weights.h5"):
        raise ValueError(
            f"{name}: HDF5 files cannot hold kerasfer's layers; save the model as .keras, or with kerasfer.save(model, "
            "folder)"
        )

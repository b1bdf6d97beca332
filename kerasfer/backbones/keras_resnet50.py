"""ResNet-50's weights from ImageNet as keras.applications has them, for `kerasfer.backbones.resnet.build_resnet50`.

The file is keras.applications' own, `resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5` or that with the last layer,
which is left out; Keras reads it. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from kerasfer.backbones.resnet import ResNetError

__all__ = ["MEANS", "as_imagenet", "load_keras_resnet50"]

MEANS = (123.68, 116.779, 103.939)
"""Of ImageNet's red, green and blue in [0, 255], which the weights want subtracted."""

_THEIR_EPSILON, _OUR_EPSILON = 1.001e-5, 1e-5
_BLOCKS = (3, 4, 6, 3)


def as_imagenet(image: keras.KerasTensor) -> keras.KerasTensor:
    """Faces in [-1, 1], (h, w, 1 or 3), as the weights want them: red, green and blue in [0, 255] less their means."""
    if image.shape[-1] == 1:
        image = keras.layers.Concatenate(name="three_channels")([image] * 3)
    offsets = [127.5 - mean for mean in MEANS]
    return keras.layers.Rescaling(127.5, offsets, name="as_imagenet")(image)


def load_keras_resnet50(network: keras.Model, path: str | os.PathLike[str]) -> None:
    """Gives a network that was built on `build_resnet50`, on the output of `as_imagenet`, ImageNet's weights.

    Args:
        network: has the layers of a ResNet-50 of width 64 and stem "imagenet"; others stay as they are.
        path: of keras.applications' file.

    Raises:
        ResNetError: there is no such file, or it holds other weights.
    """
    path = Path(path)
    remedy = "give keras.applications' resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if not path.is_file():
        raise ResNetError(f"{path}: there is no such file; {remedy}")
    theirs = _read(path, remedy)
    for source, target in _layers():
        weights = [np.asarray(weight) for weight in theirs.get_layer(f"{source}_conv").weights]
        kernel, bias = weights
        if source == "conv1":
            kernel = kernel[:, :, ::-1]  # They read blue, green and red.
        gamma, beta, mean, variance = (np.asarray(weight) for weight in theirs.get_layer(f"{source}_bn").weights)
        norm = "stem_norm" if target == "stem" else target.replace("_conv", "_norm")
        norm = f"{target}_norm" if target.endswith("_shortcut") else norm
        network.get_layer(target).kernel.assign(kernel)
        ours = network.get_layer(norm)
        ours.gamma.assign(gamma)
        ours.beta.assign(beta)
        # Their convolutions have a bias, which a normalization takes away again.
        ours.moving_mean.assign(mean - bias)
        ours.moving_variance.assign(variance + (_THEIR_EPSILON - _OUR_EPSILON))


def _read(path: Path, remedy: str) -> keras.Model:
    """keras.applications' network with the weights of a file, whichever of its two files it is."""
    reasons = []
    for top in (False, True):
        try:
            return keras.applications.ResNet50(include_top=top, weights=os.fspath(path), classes=1000)
        except (ValueError, OSError, KeyError, TypeError) as error:
            reasons.append(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
    raise ResNetError(f"{path}: holds no weights of keras.applications' ResNet50 ({reasons[0]}); {remedy}")


def _layers() -> Iterator[tuple[str, str]]:
    """What their layers' names begin with, and the name of our convolution."""
    yield "conv1", "stem"
    for stage, count in enumerate(_BLOCKS, 1):
        for block in range(1, count + 1):
            theirs, ours = f"conv{stage + 1}_block{block}", f"stage{stage}_block{block}"
            if block == 1:
                yield f"{theirs}_0", f"{ours}_shortcut"
            yield from ((f"{theirs}_{number}", f"{ours}_conv{number}") for number in (1, 2, 3))

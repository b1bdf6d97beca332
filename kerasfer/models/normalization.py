"""Running statistics of batch normalization that fit the weights beside them."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from kerasfer.backbones.resnet import BatchNormalization

__all__ = ["settle"]


def settle(model: keras.Model, batches: Iterable[np.ndarray]) -> int:
    """Makes the running means and variances of a model those of some images; weights stay as they are.

    Those that a training leaves are of the weights that it had step by step, on augmented images. Averaged weights
    pass on less than these, more so from layer to layer, until a deep network answers the same to everything (Izmailov
    et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018).

    Args:
        model: a flat model, as recognizers are; its `kerasfer.backbones.resnet.BatchNormalization` layers are changed.
        batches: images, float32 (n, h, w, c) in the model's range, each batch of a hundred or so; each counts alike.

    Returns:
        The number of layers that were changed; with 0 no batch is looked at.
    """
    layers = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    try:
        for number, images in enumerate(batches if layers else ()):
            for layer in layers:
                layer.momentum = number / (number + 1)
            model(images, training=True)
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
    return len(layers)

"""Running statistics that fit the weights beside them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasfer.backbones.resnet import BatchNormalization, uncounted
from kerasfer.models.normalization import settle


@pytest.fixture
def model() -> keras.Model:
    """Two normalizations in a row; the statistics of both are those of nothing."""
    x = inputs = keras.Input((6, 6, 2))
    for number in (1, 2):
        x = keras.layers.Conv2D(3, 3, name=f"conv{number}")(x)
        x = BatchNormalization(name=f"norm{number}")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_running_statistics_become_those_of_the_images(model):
    images = np.random.default_rng(0).normal(3, 2, (24, 6, 6, 2)).astype(np.float32)
    weights = [variable.numpy() for variable in model.trainable_variables]
    assert settle(model, [images]) == 2
    # Of one batch: what the model answers is then what it answers while it trains.
    np.testing.assert_allclose(model(images), model(images, training=True), atol=0.02)
    settle(model, [images])
    assert all(np.array_equal(old, new) for old, new in zip(weights, model.trainable_variables))
    assert {layer.momentum for layer in model.layers if isinstance(layer, BatchNormalization)} == {0.9}


def test_every_batch_counts_alike(model):
    batches = [np.full((4, 6, 6, 2), value, np.float32) for value in (1.0, 2.0, 6.0)]
    batches = [batch + np.random.default_rng(0).normal(0, 0.1, batch.shape).astype(np.float32) for batch in batches]
    settle(model, batches)
    first = model.get_layer("norm1")
    maps = [keras.Model(model.input, first.input)(batch).numpy() for batch in batches]
    np.testing.assert_allclose(first.moving_mean, np.mean([part.mean((0, 1, 2)) for part in maps], 0), rtol=1e-4)


def test_statistics_come_back_if_a_batch_cannot_be_looked_at(model):
    with pytest.raises(ValueError):
        settle(model, [np.zeros((2, 6, 6, 5), np.float32)])
    assert model.get_layer("norm1").momentum == 0.9


def test_without_normalization_nothing_is_looked_at():
    inputs = keras.Input((3,))
    assert settle(keras.Model(inputs, keras.layers.Dense(2)(inputs)), [None]) == 0


def test_what_does_not_count_is_normalized_by_itself_and_leaves_no_trace(model):
    images = np.random.default_rng(1).normal(5, 3, (8, 6, 6, 2)).astype(np.float32)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    with uncounted(model):
        apart = model(images, training=True).numpy()
    assert all(np.array_equal(old, new) for old, new in zip(before, model.non_trainable_variables))
    np.testing.assert_allclose(apart, model(images, training=True), atol=1e-5)
    assert not any(np.array_equal(old, new) for old, new in zip(before, model.non_trainable_variables))

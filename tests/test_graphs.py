"""Networks as graphs: traced once for any number of images, with the weights of the moment, gone when they are."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np

from kerasfer import graphs


def network() -> keras.Model:
    image = keras.Input((4, 4, 1))
    hidden = keras.layers.Dropout(0.9)(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(3, kernel_initializer="ones")(hidden))


def test_a_network_answers_any_number_of_images():
    model = network()
    for count in (1, 5, 2):
        images = np.random.default_rng(count).normal(0, 1, (count, 4, 4, 1)).astype(np.float32)
        np.testing.assert_allclose(graphs.in_graph(model)(images), np.tile(images.sum((1, 2)), 3), atol=1e-5)
    assert graphs._graphs[model].experimental_get_tracing_count() == 1


def test_weights_count_as_they_are():
    model = network()
    graph = graphs.in_graph(model)
    images = np.ones((2, 4, 4, 1), np.float32)
    before = graph(images).numpy()
    model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)
    np.testing.assert_allclose(graph(images), 2 * before)


def test_a_graph_keeps_its_network_and_goes_with_it():
    model = network()
    itself, graph = weakref.ref(model), graphs.in_graph(model)
    del model
    gc.collect()
    np.testing.assert_allclose(graph(np.ones((1, 4, 4, 1), np.float32)), np.full((1, 3), 16.0))
    del graph
    gc.collect()
    assert itself() is None


def test_other_functions_stay_as_they_are():
    assert graphs.in_graph(len) is len

"""Keras models as graphs: called layer by layer, a network spends most of its time between the layers."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from kerasfer.forks import use_tensorflow

__all__ = ["in_graph"]

_graphs: weakref.WeakKeyDictionary[Any, Callable[[Any], Any]] = weakref.WeakKeyDictionary()


def in_graph(network: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Keras model as one graph for every batch size, traced when it is first called.

    The same model gives the same graph, and what is returned keeps the model.

    Args:
        network: a functional Keras model of one input, or any other function.

    Raises:
        ForkError: in a process made by os.fork(), where TensorFlow cannot compute any more; the returned function too.

    Returns:
        A function of float32 (n, *shape of the input), without dropout and the like; any other function as it is.
    """
    if not hasattr(network, "trainable_weights"):
        return network
    use_tensorflow()
    if network not in _graphs:
        import tensorflow as tf

        model: Any = network
        itself: Any = weakref.ref(network)
        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        _graphs[network] = tf.function(lambda inputs: itself()(inputs, training=False), input_signature=signature)
    return functools.partial(_answer, network, _graphs[network])


def _answer(network: Any, graph: Callable[[Any], Any], inputs: Any) -> Any:
    """The graph's answer. It knows its network weakly, or else neither would ever go; so the network is held here."""
    use_tensorflow()
    return graph(inputs)

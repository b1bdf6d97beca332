"""Models that are made of trained ones: a mean of several, one with a new head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasfer.weights import ZooError
from kerasfer.zoo.groups import MissingNetwork, is_missing

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel, ModelConfig

__all__ = ["average", "with_new_head"]


def average(models: Sequence[FERModel]) -> FERModel:
    """The model whose weights are the means of those of several.

    Trainings that begin at the same weights, and differ in what they draw, end near each other; their mean is then a
    model too, of the size of one, and often a better one (Wortsman et al., "Model soups", ICML 2022). Means of models
    that began apart are of no use.

    Args:
        models: of one class and, but for the seed, of one config, each with all of its weights.

    Returns:
        A new model, with the config of the first.

    Raises:
        ZooError: no models, ones that differ in more than the seed, or one that was saved without some of its weights.
    """
    if not models:
        raise ZooError("an average needs at least one model")
    first = models[0]
    for model in models:
        if type(model) is not type(first) or model.config.replace(seed=first.config.seed) != first.config:
            raise ZooError("an average is of models of one class and one config, which may differ in the seed alone")
        missing = ", ".join(name for name, network in model.networks.items() if is_missing(network))
        if missing:
            raise ZooError(f"a model was saved without {missing}; average models that have all weights")
    mean = type(first)(first.config)
    for name, network in mean.networks.items():
        parts = zip(*(model.networks[name].get_weights() for model in models))
        network.set_weights([np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype) for values in parts])
    return mean


def with_new_head(model: FERModel, expressions: Sequence[str], config: ModelConfig | None = None) -> FERModel:
    """A model with a trained one's networks, but for the weights that depend on the classes, which are new.

    Args:
        model: the trained model.
        expressions: names of the new classes.
        config: of the new model but for its classes; by default the trained one's. It may lack some of the networks.

    Returns:
        A new model, whose `new_head` is true. DCGAN-FER's has no machine until `fit_classifier`.

    Raises:
        ConfigError: names that cannot be classes, or networks of another size.
    """
    from kerasfer.models.base import ConfigError

    headed = type(model)((config or model.config).with_classes(expressions))
    if config is not None and any(is_missing(model.networks[name]) for name in headed.weight_groups()["recognizer"]):
        # Another variant, whose recognizer is made of other networks: the model's `start_from` says of which.
        headed.start_from(with_new_head(model, expressions))
        headed.new_head = True
        return headed
    replaced = headed.class_weights()
    for name, network in headed.networks.items():
        if is_missing(model.networks[name]):
            reason = f"it was not with the weights that {type(model).__name__} was loaded from"
            headed.networks[name] = MissingNetwork(name, reason)
            continue
        kept = set(range(len(network.weights))) - set(replaced.get(name, ()))
        for place in sorted(kept):
            mine, theirs = network.weights[place], model.networks[name].weights[place]
            if mine.shape != theirs.shape:
                raise ConfigError(f"network {name!r} has other shapes than the trained one's; use a config of its size")
            mine.assign(theirs.numpy())
    headed.new_head = True
    return headed

"""The zoo: models by name, and trained models as folders that hold everything needed to use them.

A saved model is a folder:

    config.json               format, model, config, labels, image format, and each weight file with its checksum
    recognizer.safetensors    weights of the networks that recognize
    generator.safetensors     ... and of those that synthesize, and so on, one file a group of `weight_groups()`
    README.md                 the model card
    metrics.json history.csv  what was measured, and the course of the training

Nothing in it is code, and nothing in it is taken on trust: a file that is missing, damaged or of another model raises.
"""

from __future__ import annotations

from kerasfer.weights import ZooError, folder_of
from kerasfer.zoo.derived import average, with_new_head
from kerasfer.zoo.groups import is_missing
from kerasfer.zoo.layout import FORMAT, STORAGES
from kerasfer.zoo.loading import load
from kerasfer.zoo.names import SIZES, create, list_models, model_name
from kerasfer.zoo.saving import push_to_hub, save

__all__ = [
    "FORMAT",
    "SIZES",
    "STORAGES",
    "ZooError",
    "average",
    "create",
    "folder_of",
    "is_missing",
    "list_models",
    "load",
    "model_name",
    "push_to_hub",
    "save",
    "with_new_head",
]

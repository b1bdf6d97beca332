"""From a table of faces to a model's batches: augmentation, order, kinds of batch, and the recipe for all of it."""

from __future__ import annotations

from kerasfer.data.augment import NO_AUGMENTATION, Augmentation
from kerasfer.data.kinds import KINDS, Batches, Stream, kind_of
from kerasfer.data.recipe import Prepared, Recipe
from kerasfer.data.sampling import class_shares, label_distributions
from kerasfer.data.sets import NamedSets

__all__ = [
    "KINDS",
    "NO_AUGMENTATION",
    "Augmentation",
    "Batches",
    "NamedSets",
    "Prepared",
    "Recipe",
    "Stream",
    "class_shares",
    "kind_of",
    "label_distributions",
]

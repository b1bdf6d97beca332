"""Which faces to train on and which to test on: official parts, folds by people, holdouts, repeats, pairs of sets.

`training_parts` and `evaluation_part` choose what the apps train and test on. `seal` turns a split into what an
experiment may see of it: a part to train on, a part of the train side to select a model on, and the test part, which is
given out once.

Everything here depends on the table and the seed alone. Order is taken from SHA-256 of the seed and a name, and sums
are of whole numbers, so that every machine and every version of every library makes the same splits. scikit-learn's
`StratifiedGroupKFold` and `train_test_split` would make others, and all figures so far would be of other faces.
"""

from __future__ import annotations

from kerasfer.splits.division import (
    Split,
    balanced,
    cross_database,
    holdout,
    official,
    official_folds,
    repeated,
    repeated_holdouts,
    subject_holdout,
    subject_independent_folds,
)
from kerasfer.splits.parts import (
    Part,
    TrainingParts,
    evaluation_part,
    load_evaluation_part,
    load_train_part,
    load_training_parts,
    train_part,
    training_parts,
)
from kerasfer.splits.sealing import SealedSplit, seal
from kerasfer.splits.subsets import first_identities, restricted, top_identities, turned_by

__all__ = [
    "Part",
    "SealedSplit",
    "Split",
    "TrainingParts",
    "balanced",
    "cross_database",
    "evaluation_part",
    "first_identities",
    "holdout",
    "load_evaluation_part",
    "load_train_part",
    "load_training_parts",
    "official",
    "official_folds",
    "repeated",
    "repeated_holdouts",
    "restricted",
    "seal",
    "subject_holdout",
    "subject_independent_folds",
    "top_identities",
    "train_part",
    "training_parts",
    "turned_by",
]

"""DCGAN-FER small (64 px, gray): a DCGAN on FER+ train and LFW-expressions without labels, SVMs on its feature.

    python scripts/build_zoo.py --model dcganfer --data DIR

Hardware: two shared cores of an Intel Xeon with AMX, mixed bfloat16.
Hours: 1.6 for `dcganfer` (saved_models/dcganfer/history.csv); of the other trainings unknown.
Paper: RaFD, 8 classes, ten folds (Table III): 98.57 %; RAF-DB 61.87 %; on FER+ none.
Ours: FER+ valid, 8 classes, 1 run: 73.8 %.
"""

from __future__ import annotations

from kerasfer.data import NamedSets
from kerasfer.evaluation.measurements import (
    ActionUnits,
    Codes,
    ExpressionMachine,
    GeneratedFaces,
    Recognition,
    Transfer,
)
from kerasfer.evaluation.measurements.machines import Learned
from kerasfer.models.dcganfer import DCGANFERConfig
from kerasfer.recipes.planning import Plan, Run

# Adam's beta1 is Radford et al.'s.
SMALL = DCGANFERConfig.small().replace(beta1=0.5, search_trials=8)

dcganfer = Run("dcganfer", SMALL.replace(epochs=12), NamedSets("ferplus", faces=("lfw_expressions",), align_faces=True))
dcganfer_lfw = Run("dcganfer_lfw", SMALL.replace(epochs=10), NamedSets("lfw_expressions"))
dcganfer_fer = Run("dcganfer_fer", SMALL.replace(epochs=5), NamedSets("ferplus"))

PLAN = Plan(
    (dcganfer, dcganfer_lfw, dcganfer_fer),
    dcganfer,
    (
        ExpressionMachine(),
        Transfer(
            {
                dcganfer_lfw: Learned("LFW-expressions", fitted="ferplus"),
                dcganfer_fer: Learned("FERPlus train", fitted="lfw_expressions"),
            }
        ),
        ActionUnits(faces=10000, people=200, aligned=4000, photographs=2000),
        GeneratedFaces(),
        Recognition({dcganfer: "DCGAN-FER"}),
        Codes("DCGAN-FER"),
    ),
    storage={"recognizer": "float16", "units": "float32", "generator": "float16", "training": "float16"},
    generator=True,
    left_out=("model.tflite", "model_int8.tflite", "generator_float16.tflite", "generator_dynamic.tflite"),
)

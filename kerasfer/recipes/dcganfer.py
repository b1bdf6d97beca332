"""DCGAN-FER small (64 px, gray): a DCGAN on FER+ train and LFW-expressions without labels, SVMs on its feature.

    python scripts/build_zoo.py --model dcganfer --data DIR

Beside the training that is bundled the plan has those of the paper's experiments that FER+, LFW-expressions and CK+
allow (Tables II to IV, and AU 7 alone); CK+ is in no file that is bundled. Of the bundled training the generator
is kept every fourth epoch, for FID, KID, inception score and collapse on the way.

It goes on from a training of twelve epochs with ten more, at a rate that falls to zero and with an average over G.

int8 is not bundled: the machine's decisions are sums of 17,606 kernel values times coefficients of up to C, which all
but cancel, and 256 steps are too coarse for the values: the file answers as the model does for a third of the faces
(saved_models/dcganfer/parity.json). In whole numbers but for the machine it would be larger than the float16 file.

Hardware: two shared cores of an Intel Xeon with AMX, mixed bfloat16, for `dcganfer_begun`; of an AMD EPYC without
AVX-512, float32, for the others.
Hours: 1.0 for `dcganfer` (saved_models/dcganfer/history.csv), beside other work; of `dcganfer_begun` 1.6.
Paper: RaFD, 8 classes, ten folds (Table III): 98.57 %; RAF-DB 61.87 %; on FER+ none.
Ours: FER+ valid, 8 classes, 1 run: 75.0 %.
"""

from __future__ import annotations

from kerasfer.data import NamedSets
from kerasfer.evaluation.measurements import (
    ActionUnits,
    Codes,
    Experiment,
    Experiments,
    ExpressionMachine,
    GeneratedFaces,
    LearningCurve,
    OneUnit,
    Recognition,
    Transfer,
    UnitsByMachines,
)
from kerasfer.evaluation.measurements.machines import Learned
from kerasfer.models.dcganfer import DCGANFERConfig
from kerasfer.recipes.planning import Plan, Run

# Adam's beta1 is Radford et al.'s.
SMALL = DCGANFERConfig.small().replace(beta1=0.5, precision="float32", search_trials=8)

FACES = NamedSets("ferplus", faces=("lfw_expressions",), align_faces=True)
dcganfer_begun = Run("dcganfer_begun", SMALL.replace(epochs=12, precision="mixed_bfloat16"), FACES)
dcganfer = Run(
    "dcganfer",
    SMALL.replace(epochs=10, average=0.999, schedule="cosine", mirrored=True),
    FACES,
    start=(dcganfer_begun,),
    keep_every=4,
)
dcganfer_lfw = Run("dcganfer_lfw", SMALL.replace(epochs=6), NamedSets("lfw_expressions"))
dcganfer_fer = Run("dcganfer_fer", SMALL.replace(epochs=3), NamedSets("ferplus"))
# The 135 CK+ faces whose expression shows AU 7: four batches an epoch.
dcganfer_au7 = Run("dcganfer_au7", SMALL.replace(epochs=150, batch_size=32), NamedSets("ck48", unit=7))

_LEARNED = {"lfw_expressions": dcganfer_lfw, "ferplus": dcganfer_fer}
ORDERS = tuple(
    Experiment(_LEARNED[learned], learned, fitted, tested)
    for learned, fitted, tested in (
        ("lfw_expressions", "ferplus", "ck48"),
        ("ferplus", "lfw_expressions", "ck48"),
        ("lfw_expressions", "lfw_expressions", "ck48"),
        ("ferplus", "ferplus", "ck48"),
        ("lfw_expressions", "ck48", "ck48"),
        ("ferplus", "ck48", "ck48"),
        ("lfw_expressions", "ferplus", "ferplus"),
        ("ferplus", "lfw_expressions", "lfw_expressions"),
    )
)
"""As many as the paper's: what is learned from without labels, what machines are fitted to, what they are tested on."""

OTHERS = ({"mirrored": False}, {"components": 512}, {"feature_layers": 3})

PLAN = Plan(
    (dcganfer_begun, dcganfer, dcganfer_lfw, dcganfer_fer, dcganfer_au7),
    dcganfer,
    (
        ExpressionMachine(OTHERS),
        Transfer(
            {
                dcganfer_lfw: Learned("LFW-expressions", fitted="ferplus"),
                dcganfer_fer: Learned("FERPlus train", fitted="lfw_expressions"),
            }
        ),
        ActionUnits(faces=6000, people=200, aligned=3000, photographs=3000, apart=0.4, degraded=0.6),
        UnitsByMachines(),
        GeneratedFaces(),
        LearningCurve(dcganfer),
        Experiments(ORDERS, most=5000, folds=5),
        OneUnit(dcganfer_au7, folds=5),
        Recognition({dcganfer: "DCGAN-FER"}),
        Codes("DCGAN-FER"),
    ),
    storage={"recognizer": "float16", "units": "float32", "generator": "float16", "training": "float16"},
    generator=True,
    left_out=("model.tflite", "model_int8.tflite", "generator_float16.tflite", "generator_dynamic.tflite"),
)

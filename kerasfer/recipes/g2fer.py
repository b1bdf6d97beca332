"""G2-FER small (48 px) on FER+ train, LFW and rendered people, from random weights in the paper's order.

    python scripts/build_zoo.py --model g2fer --data DIR

No teacher and no network that was trained before: C_exp is a thin ResNet-50 from random weights, where the paper's
starts from ImageNet's. The generator learns first, and C_exp beside it from real faces alone; then both learn end to
end. Everybody gives pairs of two images: another photograph of the person, another rendering, or two warps of one.

Hardware: two shared cores of an Intel Xeon without AMX, float32.
Hours: HOURS
Paper: Multi-PIE, 6 classes, 224 px, five folds (Table VIII): G2-FER 92.09 %, No_SynFI 86.58 %; on FER+ none.
Ours: OURS
"""

from __future__ import annotations

import dataclasses

from kerasfer.data import Augmentation, NamedSets
from kerasfer.evaluation.measurements import Codes, DrivenFaces, Geometry, Recognition
from kerasfer.models.g2fer import G2FERConfig
from kerasfer.recipes.planning import Plan, Run

ASIDE = 0.1
"""Share of LFW's people to judge on; the London set's people are not trained on at all."""

PAIRS = NamedSets(
    "ferplus",
    labels="votes",
    hold_out=0.05,
    faces=("lfw", "synthetic"),
    images=12000,
    align_faces=True,
    faces_hold_out=ASIDE,
    augment=Augmentation.warps(),
)
NEARER = dataclasses.replace(PAIRS, augment=dataclasses.replace(PAIRS.augment, shift=0.02, scale=0.04, rotation=3.0))

SMALL = G2FERConfig.small().replace(precision="float32", schedule="cosine", average=0.999)

# -- step 1: the generator, C_exp beside it on real faces alone; where faces lie differs less from the third epoch on --

generator = Run("generator", SMALL.replace(synthetic_images=0, epochs=8), PAIRS, until=2)
drawing = generator.then(
    "drawing", sets=NEARER, epochs=2, learning_rate=2.5e-4, schedule="constant", lambda_attribute=0.006
)

# -- step 2: end to end, and C_exp on real faces alone for as many passes --

g2fer = drawing.then("g2fer", synthetic_images=1, epochs=4, schedule="cosine", exchanged_landmarks=0.25)
no_synfi = g2fer.with_("no_synfi", variant="no_synfi")

BESIDE = {g2fer: "G2-FER", no_synfi: "No_SynFI (C_exp on real faces alone), of G2-FER's budget"}

PLAN = Plan(
    (generator, drawing, g2fer, no_synfi),
    g2fer,
    (
        Recognition(BESIDE, beside=(no_synfi,)),
        Codes("G2-FER", {"No_SynFI": no_synfi}),
        Geometry(faces=1400, people=40, turned=BESIDE, noise=(2, 4, 6, 8)),
        DrivenFaces(ASIDE),
    ),
    storage={"recognizer": "float16", "generator": "float16", "training": "float16"},
    generator=True,
    left_out=("model.tflite", "model_float16.tflite", "generator_float16.tflite", "generator_dynamic.tflite"),
)

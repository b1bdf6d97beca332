"""Edge small (48 px, faces scaled to 64, nine blocks) on FER+ train and LFW, taught by the bundled Wild.

    python scripts/build_zoo.py --model edge --data DIR

Before that it learned from FER+ train alone, taught by IPD-FER, as kerasfer bundled it until then.

Hardware: two shared cores, of an Intel Xeon with AMX up to `edge_small`, of an AMD EPYC from there; mixed bfloat16, the
last training in float32.
Hours: 1.4 for `edge` (saved_models/edge/history.csv), 0.1 for `edge_ferplus`; of the other trainings unknown.
Paper: none; a small recognizer of the zoo's own, taught by distillation.
Ours: FER+ valid, 8 classes: 84.6 %, mean recall 72.2 %; what carries over: saved_models/edge/README.md.
"""

from __future__ import annotations

import dataclasses

from kerasfer.data import Augmentation, NamedSets
from kerasfer.evaluation.measurements import CarriedOver, FaceTemperature, Recognition, Robustness
from kerasfer.models.edge import EdgeConfig
from kerasfer.recipes.planning import Plan, Run, Teachers
from kerasfer.recipes.wild import LEFT_ASIDE, PHOTOGRAPHS

STRONG = NamedSets("ferplus", labels="votes", hold_out=0.05, augment=Augmentation.strong())
SHARP = dataclasses.replace(STRONG, augment=Augmentation.strong_and_sharp())

edge_start = Run(
    "edge_start",
    EdgeConfig.small().replace(internal_size=80, epochs=14),
    STRONG,
    start=("ipdfer",),
    teachers=Teachers(("ipdfer",), share=0.7),
)
edge_small = edge_start.then("edge_small", internal_size=64, epochs=7, learning_rate=7e-4)
edge_ferplus = edge_small.then("edge_ferplus", sets=SHARP, epochs=8, seed=1)
edge = edge_ferplus.then(
    "edge",
    sets=PHOTOGRAPHS,
    teachers=Teachers(("wild",), share=0.7),
    precision="float32",
    epochs=16,
    adaptive_temperature=True,
)

PLAN = Plan(
    (edge_start, edge_small, edge_ferplus, edge),
    edge,
    (
        FaceTemperature(),
        CarriedOver("lfw", LEFT_ASIDE),
        Recognition({edge: "Edge", edge_ferplus: "Edge of FER+ alone, taught by IPD-FER"}),
        Robustness(),
    ),
    storage={"recognizer": "float16"},
    left_out=("model.tflite",),
)

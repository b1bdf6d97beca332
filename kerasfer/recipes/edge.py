"""Edge small (48 px, faces scaled to 64, nine blocks) on FER+ train, taught by the bundled IPD-FER.

    python scripts/build_zoo.py --model edge --data DIR

Hardware: two shared cores, of an Intel Xeon with AMX up to `edge_small`, of an AMD EPYC from there; mixed bfloat16.
Hours: 0.1 for `edge` (saved_models/edge/history.csv); of the other trainings unknown.
Paper: none; a small recognizer of the zoo's own, taught by distillation.
Ours: FER+ valid, 8 classes: 86.4 %.
"""

from __future__ import annotations

import dataclasses

from kerasfer.data import Augmentation, NamedSets
from kerasfer.evaluation.measurements import Recognition
from kerasfer.models.edge import EdgeConfig
from kerasfer.recipes.planning import Plan, Run, Teachers

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
edge = edge_small.then("edge", sets=SHARP, epochs=8, seed=1)

PLAN = Plan(
    (edge_start, edge_small, edge),
    edge,
    (Recognition({edge: "Edge", edge_small: "Edge before its last eight epochs"}),),
    storage={"recognizer": "float16"},
    left_out=("model.tflite",),
)

"""IPD-FER small (48 px, the zoo's identity network) on FER+ train, beside its baseline: means of three last trainings.

    python scripts/build_zoo.py --model ipdfer --data DIR

Hardware: two shared cores, of an Intel Xeon with AMX up to `ipdfer_coarse`, of an AMD EPYC from there; mixed bfloat16.
Hours: 0.3 for `ipdfer` (saved_models/ipdfer/history.csv); of the other trainings unknown.
Paper: FERPlus test, 8 classes, 112 px, best of 4 runs: 88.42 %.
Ours: FER+ valid, 8 classes, mean of the weights of 3 last trainings: 87.4 %, the baseline of equal budget 87.5 %.
"""

from __future__ import annotations

import dataclasses

from kerasfer.data import Augmentation, NamedSets
from kerasfer.evaluation.measurements import Codes, Recognition, TurnedHeads
from kerasfer.models.ipdfer import IPDFERConfig
from kerasfer.recipes.planning import Mean, Plan, Run, Teachers

STRONG = NamedSets("ferplus", labels="votes", hold_out=0.05, augment=Augmentation.strong())
SHARP = dataclasses.replace(STRONG, augment=Augmentation.strong_and_sharp())

SMALL = IPDFERConfig.small().replace(schedule="cosine")
BASELINE = SMALL.replace(variant="baseline", batch_size=64)

# -- steps 1 to 4: the identity network alone in E_exp --

baseline = Run("baseline", BASELINE.replace(epochs=18, learning_rate=1e-3, average=0.997), STRONG)
baseline_mixup = baseline.with_("baseline_mixup", mixup=0.3, seed=1)
TWO_BASELINES = Teachers((baseline, baseline_mixup, "g2fer"), share=0.7)
baseline_taught = baseline.then("baseline_taught", teachers=TWO_BASELINES, epochs=8, learning_rate=5e-4, seed=2)
WHOLE = SMALL.replace(
    batch_size=32,
    epochs=1,
    learning_rate=1e-4,
    # dlib's vectors vary ten times less than the other parts, and the gradient of L_id otherwise exceeds that of the
    # reconstruction at single pixels.
    identity_scale=10,
    lambda_identity=0.01,
)
ipdfer_start = Run(
    "ipdfer_start",
    WHOLE.replace(schedule="constant", average=0, decoder_rate=10),
    STRONG,
    start=(baseline,),
)
ipdfer_coarse = ipdfer_start.then(
    "ipdfer_coarse", baseline_taught, teachers=TWO_BASELINES, schedule="cosine", average=0.99, decoder_rate=20
)

# -- steps 5 and 6: a second network that sees small faces as they are --

fine = Run(
    "fine",
    BASELINE.replace(
        expression_networks="fine",
        epochs=34,
        learning_rate=1e-3,
        average=0.998,
        mixup=0.3,
        weight_decay=0.05,
        seed=3,
    ),
    STRONG,
    teachers=Teachers((ipdfer_coarse, "g2fer", "fesr", "edge"), share=0.5),
)
ALL = Teachers((fine, fine, ipdfer_coarse, "g2fer", "fesr", "edge"), share=0.7)
both = Run(
    "both",
    BASELINE.replace(
        expression_networks=("identity", "fine"),
        epochs=8,
        learning_rate=4e-4,
        average=0.997,
        mixup=0.3,
        weight_decay=0.05,
        seed=4,
    ),
    SHARP,
    start=(ipdfer_coarse, fine),
    teachers=ALL,
)

# -- steps 7 to 9: IPD-FER from there, the baseline for as many steps, and the ablations of Table 9 --

ipdfer = ipdfer_coarse.then("ipdfer", both, sets=SHARP, teachers=ALL, expression_networks=("identity", "fine"))
baseline_longer = both.then(
    "baseline_longer", batch_size=32, epochs=1, learning_rate=1e-4, average=0.99, mixup=0, weight_decay=0, seed=0
)
ipdfer_seed1, ipdfer_seed2 = (ipdfer.with_(seed=seed) for seed in (1, 2))
baseline_longer_seed1, baseline_longer_seed2 = (baseline_longer.with_(seed=seed) for seed in (1, 2))
no_cosine = ipdfer.with_("no_cosine", beta_cosine=0)
no_confusion = ipdfer.with_("no_confusion", beta_confusion=0)
no_identity_loss = ipdfer.with_("no_identity_loss", lambda_identity=0)
no_discriminator = ipdfer.with_("no_discriminator", lambda_neutral=0, lambda_expression=0)

ipdfer_mean = Mean("ipdfer_mean", (ipdfer, ipdfer_seed1, ipdfer_seed2))
baseline_mean = Mean("baseline_mean", (baseline_longer, baseline_longer_seed1, baseline_longer_seed2))
MEANS = {ipdfer_mean: "IPD-FER", baseline_mean: "baseline of equal budget (E_exp of both networks and C_exp)"}

PLAN = Plan(
    (
        baseline,
        baseline_mixup,
        baseline_taught,
        ipdfer_start,
        ipdfer_coarse,
        fine,
        both,
        ipdfer,
        baseline_longer,
        ipdfer_seed1,
        baseline_longer_seed1,
        ipdfer_seed2,
        baseline_longer_seed2,
        no_cosine,
        no_confusion,
        no_identity_loss,
        no_discriminator,
    ),
    ipdfer_mean,
    (
        Recognition(
            {
                **MEANS,
                ipdfer: "IPD-FER, seed 0 in its last training",
                ipdfer_seed1: "IPD-FER, seed 1",
                ipdfer_seed2: "IPD-FER, seed 2",
                baseline_longer: "baseline of equal budget, seed 0 in its last training",
                baseline_longer_seed1: "baseline of equal budget, seed 1",
                baseline_longer_seed2: "baseline of equal budget, seed 2",
                both: "baseline where IPD-FER starts",
                ipdfer_coarse: "IPD-FER with the identity network alone in E_exp",
                fine: "the fine network alone, taught by that and by g2fer, fesr and edge",
                no_confusion: "IPD-FER without L_confusion, seed 0",
                no_cosine: "IPD-FER without L_cos, seed 0",
                no_identity_loss: "IPD-FER without L_id, seed 0",
                no_discriminator: "IPD-FER without D, seed 0",
            },
            seeds={"IPD-FER": ipdfer_mean.runs, "baseline of equal budget": baseline_mean.runs},
        ),
        Codes(
            "IPD-FER",
            {
                "baseline": baseline_mean,
                "IPD-FER of seed 0 expression": ipdfer,
                "IPD-FER without L_cos expression": no_cosine,
            },
        ),
        TurnedHeads(MEANS),
    ),
    storage={"recognizer": "float16", "generator": "int8"},
    left_out=("model.tflite", "model_float16.tflite"),
)

"""G2-FER small (48 px) on FER+ train, LFW and rendered people, from random weights in the paper's order.

    python scripts/build_zoo.py --coming --model g2fer --data DIR

No teacher and no network that was trained before: C_exp is a thin ResNet-50 from random weights, where the paper's
starts from ImageNet's. The generator learns first, and C_exp beside it from real faces alone; then both learn end to
end. Everybody gives pairs of two images: another photograph of the person, another rendering, or two warps of one.

Hardware: two shared cores of an Intel Xeon without AMX, float32.
Paper: Multi-PIE, 6 classes, 224 px, five folds (Table VIII): G2-FER 92.09 %, No_SynFI 86.58 %; on FER+ none.
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

# -- step 2: the generator learns from C_exp, whom such drawings do no good yet; C_exp goes on from before, alone --

joint = dataclasses.replace(
    drawing.then("joint", synthetic_images=1, epochs=4, schedule="cosine", exchanged_landmarks=0.25), until=3
)
no_synfi_start = drawing.then("no_synfi_start", variant="no_synfi", epochs=4, schedule="cosine")

# -- step 3: end to end, and the paper's parts left out, for as many passes --

g2fer = joint.then(
    "g2fer", no_synfi_start, synthetic_statistics="batch", epochs=3, learning_rate=1e-4, schedule="cosine"
)
no_ls = g2fer.with_("no_ls", variant="no_ls")
no_e2e = g2fer.with_("no_e2e", variant="no_e2e")
no_synfi = g2fer.with_("no_synfi", variant="no_synfi", start=(no_synfi_start,))
g2fer_seed1, g2fer_seed2 = (g2fer.with_(seed=seed) for seed in (1, 2))
no_synfi_seed1, no_synfi_seed2 = (no_synfi.with_(seed=seed) for seed in (1, 2))

# -- where labels are few: C_exp starts from a network that never saw an expression, the generator from step 1 --

FEW_LABELS = (500, 1000, 2500)
SEEN = 27131
"""Faces of FER+ train that are not held out."""


def with_few(labels: int, seed: int, variant: str, images: int = 3) -> Run:
    """C_exp on so many labels, and on so many drawn faces a real one, for about 1,500 steps."""
    return Run(
        f"few{labels}_{variant}_seed{seed}",
        g2fer.config.replace(
            classifier="dlib_resnet",
            dlib_size=96,
            dlib_blocks=11,
            classifier_rate=0.5,
            variant=variant,
            synthetic_images=images,
            exchanged_landmarks=0.0,
            epochs=round(1500 * SMALL.batch_size / labels),
            seed=seed,
        ),
        dataclasses.replace(NEARER, faces=(), faces_hold_out=None, train_share=labels / SEEN),
        start=(drawing,) if variant == "g2fer" else (),
    )


FEW = {
    (labels, variant): tuple(with_few(labels, seed, variant) for seed in (0, 1, 2))
    for labels in FEW_LABELS
    for variant in ("g2fer", "no_synfi")
}

NAMES = {"g2fer": "G2-FER", "no_synfi": "No_SynFI"}
BESIDE = {
    g2fer: "G2-FER",
    no_ls: "No_LS (no label smoothing), of G2-FER's budget",
    no_e2e: "No_E2E (G learns nothing from C_exp), of G2-FER's budget",
    no_synfi: "No_SynFI (C_exp on real faces alone), of G2-FER's budget",
}

PLAN = Plan(
    (
        *(generator, drawing, joint, no_synfi_start, g2fer, no_synfi, no_ls, no_e2e),
        *(g2fer_seed1, no_synfi_seed1, g2fer_seed2, no_synfi_seed2),
        *(run for several in FEW.values() for run in several),
    ),
    g2fer,
    (
        Recognition(
            {
                **BESIDE,
                g2fer_seed1: "G2-FER, seed 1 in its last training",
                no_synfi_seed1: "No_SynFI, seed 1 in its last training",
                g2fer_seed2: "G2-FER, seed 2 in its last training",
                no_synfi_seed2: "No_SynFI, seed 2 in its last training",
                **{
                    run: f"{NAMES[variant]}, {labels} labels, seed {run.config.seed}"
                    for (labels, variant), several in FEW.items()
                    for run in several
                },
            },
            seeds={
                **{f"{NAMES[variant]}, {labels} labels": several for (labels, variant), several in FEW.items()},
                "G2-FER": (g2fer, g2fer_seed1, g2fer_seed2),
                "No_SynFI of equal budget": (no_synfi, no_synfi_seed1, no_synfi_seed2),
            },
            beside=(no_synfi, no_ls, no_e2e),
        ),
        Codes("G2-FER", {"No_SynFI": no_synfi}),
        Geometry(faces=1400, people=40, turned=BESIDE, noise=(2, 4, 6, 8)),
        DrivenFaces(ASIDE),
    ),
    storage={"recognizer": "int8", "generator": "int8", "training": "int8"},
    generator=True,
    settled=4096,
    left_out=("model.tflite", "model_float16.tflite", "generator_float16.tflite", "generator_dynamic.tflite"),
)

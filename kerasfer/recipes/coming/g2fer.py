"""What the bundled G2-FER (`kerasfer.recipes.g2fer`) has not been measured with: more seeds, its ablations, few labels.

    python scripts/build_zoo.py --coming --model g2fer --data DIR

The first trainings are the bundled model's.

Hardware: two shared cores of an Intel Xeon without AMX, float32.
Paper: Multi-PIE, 6 classes, 224 px, five folds (Table VIII): No_LS 90.14 %, No_E2E 89.55 %; on FER+ none.
"""

from __future__ import annotations

import dataclasses

from kerasfer.evaluation.measurements import Codes, DrivenFaces, Geometry, Recognition
from kerasfer.recipes.g2fer import ASIDE, NEARER, SMALL, drawing, g2fer, generator, no_synfi
from kerasfer.recipes.planning import Plan, Run

no_ls = g2fer.with_("no_ls", variant="no_ls")
no_e2e = g2fer.with_("no_e2e", variant="no_e2e")
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
        *(generator, drawing, g2fer, no_synfi, no_ls, no_e2e),
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
    storage={"recognizer": "float16", "generator": "float16", "training": "float16"},
    generator=True,
    left_out=("model.tflite", "model_float16.tflite", "generator_float16.tflite", "generator_dynamic.tflite"),
)

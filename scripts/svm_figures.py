"""What support vector machines on a network's features are worth, beside the same machines on other features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Figure = dict[str, Any]


def hog(table: Any, size: int) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of each face, float32 (n, d).

    Args:
        table: faces; they are brought to `size` pixels in grey.
        size: side of the faces.
    """
    from skimage.feature import hog as histograms

    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.faces import ImageSpec

    faces = prepare_faces(table, ImageSpec(size, 1))[..., 0]
    settings = {"orientations": 8, "pixels_per_cell": (size // 8, size // 8), "cells_per_block": (2, 2)}
    return np.stack([histograms(face, **settings) for face in faces]).astype(np.float32)


def expression_figures(
    experiment: dict[str, Any],
    model: Any,
    train: Any,
    valid: Any,
    runs: Path,
    figure: Callable[..., Figure],
    build: str,
) -> list[Figure]:
    """Fits the expression machine of a model to a train part, and compares it on a valid part.

    Beside it, with the same procedure: the exact machine where the model's is Nystroem's, with its C and gamma; the
    features of the network before training; HOG.
    """
    from sklearn.metrics import roc_auc_score

    from kerasfer import plots
    from kerasfer.models.svm import fit_expression_svm, pair_scores

    space, settings = model.label_space, model.config.svm_settings
    train, valid = train.labelled(space), valid.labelled(space)
    classes, true = train.encoded(space), valid.encoded(space)
    fresh = type(model)(model.config)
    features = {
        "dcgan": ("the DCGAN feature", model.features),
        "untrained": ("the untrained network's feature", fresh.features),
        "hog": ("HOG", lambda table: hog(table, model.image_spec.size)),
    }
    figures: list[Figure] = []

    def measured(key: str, called: str, machine: Any, on_valid: np.ndarray) -> None:
        accuracy = float((machine.classify(on_valid) == true).mean())
        what = f"RBF SVM on {called}, fitted on {len(train)} FERPlus train faces"
        tested = f"{what}: FERPlus valid, {len(true)} faces, 8 classes, majority labels; accuracy"
        print(f"{tested} {accuracy:.2%}; C {machine.c:.4g}, gamma {machine.gamma:.4g}", flush=True)
        figures.append(figure(f"svm_{key}_accuracy", tested, accuracy, "share", build))
        figures.append(figure(f"svm_{key}_c", f"{what}; C of {machine.trials} tried", machine.c, "", build))
        figures.append(figure(f"svm_{key}_gamma", f"{what}; gamma of {machine.trials} tried", machine.gamma, "", build))
        vectors = len(machine.vectors)
        figures.append(figure(f"svm_{key}_vectors", f"{what}; vectors kept", vectors, "count", build))

    for key, (called, compute) in features.items():
        on_train, on_valid = compute(train), compute(valid)
        machine = fit_expression_svm(on_train, classes, len(space), settings)
        measured(key, called, machine, on_valid)
        if key != "dcgan":
            continue
        model.set_classifier(machine)
        decisions = machine.decide(on_valid)
        difference = float(np.abs(model.decide(valid) - decisions).max())
        what = f"decisions of the model beside the machine's in float64, {len(true)} FERPlus valid faces"
        figures.append(figure("svm_decision_difference", f"{what}; largest difference", difference, "", build))
        scores = pair_scores(decisions, len(space))
        plots.save(plots.roc_curves(true, scores, space.labels), runs / "roc_expressions.png")
        for number, label in enumerate(space.labels):
            area = float(roc_auc_score(true == number, scores[:, number]))
            what = f"{called}, {label} against the rest: FERPlus valid, {len(true)} faces; AUC"
            figures.append(figure(f"{label}_auc", what, area, "", build))
        if settings.landmarks:
            exact = dataclasses.replace(settings, landmarks=0, trials=0, c=machine.c, gamma=machine.gamma)
            whole = fit_expression_svm(on_train, classes, len(space), exact, scaling=machine.scaling)
            measured("exact", f"{called}, every support vector kept", whole, on_valid)
    return figures


def transfer_figures(
    experiment: dict[str, Any], model: Any, parts: dict[str, Any], runs: Path, figure: Callable[..., Figure], build: str
) -> list[Figure]:
    """Machines for expressions on the feature of networks that learnt from another set of faces.

    `transfer` in the experiment: run -> `learnt`, the faces that its network saw, and `fitted`, the set whose train
    part the machine is fitted to and whose other part it is tested on.

    Args:
        parts: the set's name -> what it is called, its train and its test part.
    """
    from kerasfer import zoo
    from kerasfer.evaluation.classification import Report
    from kerasfer.models.svm import fit_expression_svm

    space, settings = model.label_space, model.config.svm_settings
    figures = []
    for run, asked in experiment["transfer"].items():
        network = zoo.load(runs / run)
        called, *tables = parts[asked["fitted"]]
        train, test = (table.labelled(space) for table in tables)
        machine = fit_expression_svm(network.features(train), train.encoded(space), len(space), settings)
        report = Report.of(test.encoded(space), machine.classify(network.features(test)), space)
        what = (
            f"DCGAN on {asked['learnt']} without labels, RBF SVM fitted on {len(train)} faces of {called}: "
            f"{report.n} others of it, 8 classes"
        )
        print(what, report, flush=True)
        figures += [
            figure(f"transfer_{run}_accuracy", f"{what}; accuracy", report.accuracy, "share", build),
            figure(f"transfer_{run}_balanced", f"{what}; mean recall", report.balanced_accuracy, "share", build),
        ]
    return figures


def unit_figures(
    experiment: dict[str, Any], model: Any, train: Any, runs: Path, figure: Callable[..., Figure], build: str
) -> list[Figure]:
    """Fits the action units' machines, and measures each on rendered faces of people whom they did not see.

    `units` in the experiment: `faces` rendered of `people`, as the renderer draws them; `aligned` of the first of them
    that are seen a second time as `kerasfer.recognize` sees a face in a photo; `photographs` of the train part with the
    units that Table VI gives their expressions.
    """
    from sklearn.metrics import roc_auc_score

    from kerasfer import datasets, plots
    from kerasfer.datasets.base import FaceTable
    from kerasfer.detection import align_table
    from kerasfer.expressions import ACTION_UNITS
    from kerasfer.models.dcganfer import unit_labels
    from kerasfer.models.svm import PRESENT

    settings, spec = experiment["units"], model.image_spec
    rendering = {"count": settings["faces"], "identities": settings["people"], "channels": spec.channels}
    rendered = datasets.load("synthetic", size=max(64, spec.size), **rendering)
    unseen = rendered["split"] != "train"
    again = np.r_[np.flatnonzero(~unseen)[: settings["aligned"]], np.flatnonzero(unseen)]
    aligned = align_table(rendered.select(again), spec.size, spec.channels)
    tables = [rendered.select(~unseen), aligned.where(split="train")]
    if settings["photographs"]:
        labelled = train.labelled(model.label_space)
        tables.append(labelled.select(np.linspace(0, len(labelled) - 1, settings["photographs"]).astype(int)))
    model.fit_units(FaceTable.concatenate("units", tables), np.concatenate([unit_labels(table) for table in tables]))
    figures = []
    seen_as = {"": ("rendered faces", rendered.select(unseen))}
    seen_as["_aligned"] = ("aligned rendered faces", aligned.select(aligned["split"] != "train"))
    for key, (called, tested) in seen_as.items():
        scores, shown = model.detect_units(tested), unit_labels(tested) > PRESENT
        people, areas = len(set(tested["identity"].tolist())), []
        for number, unit in enumerate(ACTION_UNITS):
            areas.append(float(roc_auc_score(shown[:, number], scores[:, number])))
            what = f"AU {unit}: {len(tested)} {called} of {people} people who were not fitted on; AUC"
            print(what, f"{areas[-1]:.3f}", flush=True)
            figures.append(figure(f"unit_{unit}{key}_auc", what, areas[-1], "", build))
        what = f"mean of {len(areas)} action units, {len(tested)} {called} of people who were not fitted on; AUC"
        figures.append(figure(f"units{key}_auc", what, float(np.mean(areas)), "", build))
        labels = [f"AU{unit}" for unit in ACTION_UNITS]
        plots.save(plots.roc_curves(shown, scores, labels), runs / f"roc_units{key}.png")
    return figures


def judged_figures(
    experiment: dict[str, Any],
    model: Any,
    valid: Any,
    judge_of: Callable[..., Any],
    figure: Callable[..., Figure],
    build: str,
) -> tuple[list[Figure], np.ndarray]:
    """Generated faces beside real ones: FID, KID and inception score by each judge of the experiment; and the faces."""
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.synthesis import evaluate_synthesis

    spec = model.image_spec
    real = spec.scale(prepare_faces(valid, spec))
    made = model.generate(len(real), seed=1)
    figures = []
    for name, called in experiment["judges"].items():
        report = evaluate_synthesis(real, made, judge_of(name, called, model))
        print(report, flush=True)
        what = f"{len(made)} generated beside {len(real)} FERPlus valid faces, features of {called}"
        figures.append(figure(f"generated_fid_{name}", f"{what}; FID", report.frechet_distance, "", build))
        figures.append(figure(f"generated_kid_{name}", f"{what}; KID", report.kernel_distance.value, "", build))
        if report.inception_score is not None:
            what = f"{len(made)} generated faces, probabilities of {called}; inception score"
            figures.append(figure(f"generated_is_{name}", what, report.inception_score, "", build))
    return figures, made


def generated_figures(
    experiment: dict[str, Any],
    model: Any,
    train: Any,
    valid: Any,
    judge_of: Callable[..., Any],
    figure: Callable[..., Figure],
    build: str,
) -> list[Figure]:
    """Generated faces beside real ones: FID, KID and inception score by each judge of the experiment, and collapse."""
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.collapse import collapse

    spec = model.image_spec
    figures, made = judged_figures(experiment, model, valid, judge_of, figure, build)
    rows = np.unique(np.linspace(0, len(train) - 1, 4000).astype(int))
    found = collapse(made[:1000], spec.scale(prepare_faces(train, spec, rows)))
    what = f"{len(made[:1000])} generated beside {len(rows)} train faces, 16 x 16 pixels"
    figures += [
        figure("diversity", f"{what}; distance of two, of that of two real ones", found.diversity, "share", build),
        figure("repeats", f"{what}; as near to another as 1 % of real ones are", found.repeats, "share", build),
        figure("novelty", f"{what}; distance to the nearest, of that of a real one", found.novelty, "share", build),
    ]
    return figures

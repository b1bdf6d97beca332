"""Retrains a bundled model from scratch, measures it and writes saved_models/<name>.

    python scripts/build_zoo.py --model tdgan --data DIR              # everything: hours
    python scripts/build_zoo.py --model tdgan --data DIR --measure    # the trainings in --runs are done: the rest
    python scripts/build_zoo.py --model tdgan --speed                 # images/s on this machine, into the figures
    python scripts/build_zoo.py --model fesr --data DIR --judge       # FID and KID, after a model that judges changed

DIR holds ferplus and lfw_expressions, as folders or zips. Run again, a training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))

from common import locate, run_app  # noqa: E402

BUILT = ("dcganfer", "edge", "fesr", "g2fer", "ipdfer", "tdgan")
CONFIGS = {name: ROOT / "apps" / "configs" / f"{name}_ferplus.json" for name in BUILT}
"""Model -> its experiment, a JSON file.

`runs` are the trainings, in order, and what apps/train.py is told for each (`shared`: for all); `averaged` are means of
the weights of several of them, name -> runs, and count as runs below; `bundled` is the one that is saved, its weight
groups stored as `storage` says; `compared` are measured on FERPlus valid under these names; `seeds` are those of them
that differ in the seed of their last training alone, and whose mean is told; `probed` are baselines whose expression
code is probed beside the bundled model's codes (called `title`); `turned` are measured on turned heads as well;
`synthesis` says how a generator of named expressions is measured, `geometry` how one that landmarks drive is, with
`noise` on them in pixels of the paper's image; `units`, `transfer` and `judges` how machines on a feature, on a feature
learnt elsewhere, and faces made of noise are; `left_out` are files that are measured and, for want of room, not
bundled: apps/export.py writes them.
"""

Figure = dict[str, Any]


def train(model: str, data: str, runs: Path) -> None:
    """Runs, or finishes, every training of a model."""
    experiment = json.loads(CONFIGS[model].read_text())
    for name, settings in experiment["runs"].items():
        told = shlex.split(f"{experiment['shared']} {settings.format(runs=shlex.quote(str(runs)))}")
        command = [sys.executable, str(ROOT / "apps" / "train.py"), "--model", model, "--data", data, *told]
        command += ["--output", str(runs / name)]
        print("$", shlex.join(command), flush=True)
        if subprocess.run(command, check=False).returncode:
            raise ValueError(f"{runs / name}: the training stopped; run this again to go on")


def figure(key: str, what: str, value: float, unit: str, command: str) -> Figure:
    """One entry of metrics.json, as scripts/results_table.py reads it."""
    return {"key": key, "what": what, "value": value, "unit": unit, "command": command}


def write_figures(folder: Path, figures: list[Figure]) -> None:
    """Writes the metrics.json of a model."""
    from kerasfer.files import write_aside

    write_aside(folder / "metrics.json", (json.dumps({"figures": figures}, indent=2) + "\n").encode())


def recognition_figures(experiment: dict[str, Any], models: dict[str, Any], valid: Any, build: str) -> list[Figure]:
    """Accuracy of the bundled model and of those beside it on FERPlus valid."""
    import kerasfer

    bundled = experiment["bundled"]
    command = f"python apps/evaluate.py --model {experiment['model']} --dataset ferplus --split valid --data DIR"
    figures, reports, averaged = [], {}, experiment.get("averaged", {})
    for name, label in experiment["compared"].items():
        report = reports[name] = kerasfer.evaluate(models[name], valid)
        print(report, flush=True)
        prefix, source = ("ferplus_valid", command) if name == bundled else (f"{name}_ferplus_valid", build)
        trained = "last checkpoint, one seed"
        if name in averaged:
            trained = f"mean of the weights of {len(averaged[name])} last trainings"
        tested = f"{label}: FERPlus valid, {report.n} faces, 8 classes, majority labels, {trained}"
        figures += [
            figure(f"{prefix}_accuracy", f"{tested}; accuracy", report.accuracy, "share", source),
            figure(f"{prefix}_balanced", f"{tested}; mean recall", report.balanced_accuracy, "share", source),
        ]
        if name == bundled:
            flipped = kerasfer.evaluate(models[name], valid, flip=True)
            what = f"{tested}; mean of face and mirror image; accuracy"
            figures.append(figure("ferplus_valid_flip_accuracy", what, flipped.accuracy, "share", f"{command} --flip"))
            figures += [
                figure(f"recall_{expression}", f"{tested}; recall of {expression}", float(recall), "share", source)
                for expression, recall in zip(report.labels, report.recall)
            ]
    for label, names in experiment.get("seeds", {}).items():
        accuracies = [reports[name].accuracy for name in names]
        told = f"accuracy of {len(names)} seeds of the last training"
        what = f"{label}: FERPlus valid, {reports[names[0]].n} faces, {told}"
        figures += [
            figure(f"{names[0]}_seeds_mean", f"{what}; mean", statistics.mean(accuracies), "share", build),
            figure(f"{names[0]}_seeds_deviation", f"{what}; deviation", statistics.stdev(accuracies), "share", build),
        ]
    return figures


def disentangling_figures(experiment: dict[str, Any], models: dict[str, Any], build: str) -> list[Figure]:
    """What linear probes read from the codes of synthetic faces, beside chance, and how the codes cluster."""
    import numpy as np

    from kerasfer import datasets
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.disentanglement import disentanglement

    model = models[experiment["bundled"]]
    spec = model.image_spec
    size = max(64, spec.size)
    faces = datasets.load("synthetic", count=1600, identities=20, size=size, channels=spec.channels)
    pixels = spec.scale(prepare_faces(faces, spec))
    codes = {f"{experiment['title']} {name}": code for name, code in model.codes(pixels).items()}
    for label, name in experiment["probed"].items():
        codes[label] = models[name].codes(pixels)["expression"]
    figures = []
    for probe in disentanglement({name: np.asarray(code) for name, code in codes.items()}, faces):
        print(probe, flush=True)
        key = f"probe_{probe.code}_{probe.label}".lower().replace(" ", "_").replace("-", "_")
        read = f"{probe.label} from the {probe.code} code"
        what = f"linear probe, {read}, {probe.test_rows} synthetic faces"
        clusters = f"silhouette of the {probe.code} code by {probe.label}, {len(faces)} synthetic faces"
        figures += [
            figure(key, what, probe.accuracy, "share", build),
            figure(f"{key}_chance", f"{what}; chance", probe.chance, "share", build),
            figure(f"{key}_silhouette", clusters, probe.silhouette, "", build),
        ]
    return figures


def synthesis_figures(experiment: dict[str, Any], models: dict[str, Any], valid: Any, runs: Path, build: str) -> list:
    """Faces with named expressions: beside true ones, as the same person, as a class, and as a distribution.

    `synthesis` in the experiment: `faces` of FERPlus valid that are changed and verified, `people` that are rendered
    with every expression, `judges` whose features FID and KID compare (name of a bundled model -> what it is called),
    `gaps` between the classes' means of real and synthetic faces and `variants` of the generator (run -> its title).
    """
    import numpy as np

    from kerasfer import plots
    from kerasfer.evaluation.generated_faces import class_gap

    settings, model = experiment["synthesis"], models[experiment["bundled"]]
    labels = model.label_space.labels
    faces, true = real_faces(model, valid)
    figures = changed_face_figures(settings, model, faces, build)
    made, shown = new_people(model, true)
    recognised = np.concatenate(
        [np.asarray(model.recognizer()(made[row : row + 256])).argmax(1) for row in range(0, len(made), 256)]
    )
    what = f"{len(made)} new people; share recognised, by the model's own R, as the expression asked for"
    figures.append(figure("new_people_recognised", what, float((recognised == shown).mean()), "share", build))
    figures += new_people_figures(settings["judges"], model, faces, made, build)
    for run, called in settings["gaps"].items():
        features = [np.asarray(models[run].codes(part)["expression"]) for part in (faces, made)]
        gap = class_gap(features[0], true, features[1], shown)
        print(called, gap, flush=True)
        what = f"class means of R's features, real to synthetic, in units of class to class; {called}"
        figures.append(figure(f"{run}_class_gap", what, gap.relative, "", build))
        rows = np.random.default_rng(0).permutation(len(faces))[:800]
        names = [f"{labels[number]}, real" for number in true[rows]]
        names += [f"{labels[number]}, synthetic" for number in shown[rows]]
        plots.save(plots.tsne(np.concatenate([part[rows] for part in features]), names), runs / f"tsne_{run}.png")
    for run, called in settings.get("variants", {}).items():
        made, _ = new_people(models[run], true)
        further = changed_face_figures(settings, models[run], faces, build)
        further += new_people_figures(settings["judges"], models[run], faces, made, build)
        figures += [
            {**one, "key": f"{run}_{one['key']}", "what": f"{called}: {one['what']}"}
            for one in further
            if "unchanged" not in one["key"]
        ]
    return figures


def changed_face_figures(settings: dict[str, Any], model: Any, faces: Any, build: str) -> list[Figure]:
    """Faces given another expression: beside the true ones of rendered people, and whether they are the same person."""
    import numpy as np

    from kerasfer.evaluation.generated_faces import expression_twins, identity_kept, twin_scores

    spec, labels = model.image_spec, model.label_space.labels
    twins = twin_scores(model.change_expression, expression_twins(spec, labels, settings["people"]), spec.pixel_range)
    print(twins, flush=True)
    what = f"expression changed, beside the true face, {twins.n} pairs of {settings['people']} rendered people"
    figures = [
        figure("twins_psnr", f"{what}; PSNR", twins.psnr, "dB", build),
        figure("twins_ssim", f"{what}; SSIM", twins.ssim, "", build),
        figure("twins_unchanged_psnr", f"{what}; PSNR of the unchanged face", twins.unchanged_psnr, "dB", build),
        figure("twins_unchanged_ssim", f"{what}; SSIM of the unchanged face", twins.unchanged_ssim, "", build),
    ]
    chosen = faces[np.linspace(0, len(faces) - 1, min(settings["faces"], len(faces))).astype(int)]
    kept = identity_kept(model.change_expression, model.identity_codes, chosen, len(labels))
    print(kept, flush=True)
    judge = "judge: dlib_resnet on mirrored, cropped faces, as dlib_resnet is the network of the identity loss"
    what = f"verification of changed faces, {kept.same} same and {kept.different} different pairs; {judge}"
    figures.append(figure("verification_accuracy", f"{what}; accuracy", kept.accuracy, "share", build))
    figures.append(figure("verification_auc", f"{what}; AUC", kept.auc, "", build))
    return figures


def real_faces(model: Any, valid: Any) -> tuple[Any, Any]:
    """The faces of a table that are of a model's classes, as the model takes them, and their class numbers."""
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.classification import true_classes

    true = true_classes(valid, model.label_space)
    return model.image_spec.scale(prepare_faces(valid, model.image_spec))[true >= 0], true[true >= 0]


def new_people(model: Any, true: Any) -> tuple[Any, Any]:
    """New people with the expressions of real faces, one each, in chunks of one expression, and their class numbers."""
    import numpy as np

    from kerasfer.synthesis import NamedExpressions

    counts = np.bincount(true, minlength=len(model.label_space.labels))
    control = NamedExpressions(model)
    made = [control.new_people(int(count), [number], seed=number)[:, 0] for number, count in enumerate(counts) if count]
    return np.concatenate(made), np.repeat(np.arange(len(counts)), counts)


def new_people_figures(judges: dict[str, str], model: Any, faces: Any, made: Any, build: str) -> list[Figure]:
    """New people beside real faces: FID and KID by each judge."""
    from kerasfer.evaluation.synthesis import evaluate_synthesis

    figures = []
    for name, called in judges.items():
        report = evaluate_synthesis(faces, made, judge_of(name, called, model))
        print(report, flush=True)
        what = f"{len(made)} new people beside {len(faces)} FERPlus valid faces, features of {called}"
        figures.append(figure(f"new_people_fid_{name}", f"{what}; FID", report.frechet_distance, "", build))
        figures.append(figure(f"new_people_kid_{name}", f"{what}; KID", report.kernel_distance.value, "", build))
    return figures


def judge_of(name: str, called: str, model: Any) -> Any:
    """A bundled model as the network whose features of a model's faces are compared."""
    import numpy as np

    from kerasfer import zoo
    from kerasfer.evaluation.synthesis import FeatureNetwork
    from kerasfer.images import prepare_uint8

    judge = zoo.load(name)

    def prepared(faces: np.ndarray) -> np.ndarray:
        pictures = [face[..., 0] if face.shape[-1] == 1 else face for face in model.image_spec.unscale(faces)]
        return judge.image_spec.scale(np.stack([prepare_uint8(picture, judge.image_spec) for picture in pictures]))

    def features(faces: np.ndarray) -> np.ndarray:
        codes = judge.embed(prepared(faces)) if hasattr(judge, "embed") else judge.codes(prepared(faces))["expression"]
        return np.asarray(codes).reshape(len(faces), -1)

    if not hasattr(judge, "recognizer"):
        return FeatureNetwork(called, features)
    network = judge.recognizer()
    return FeatureNetwork(called, features, lambda faces: np.asarray(network(prepared(faces))))


def generator_figures(name: str, model: Any, folder: Path, data: str, valid: Any) -> list[Figure]:
    """The generator's TFLite files and their parity; kept are float16, dynamic and, if it is near enough, int8."""
    from kerasfer import datasets
    from kerasfer.export import export_generator

    command = f"python apps/export.py --model {name} --part generator --output DIR --data DIR"
    train_faces = datasets.load("ferplus", locate("ferplus", data), split="train")
    exported = export_generator(model, folder, ("float32", "float16", "dynamic", "int8"), train_faces, valid)
    print(exported.table(), flush=True)
    figures = []
    for entry in exported.parity:
        what = f"generator, TFLite {entry.format} beside Keras, {entry.faces} FERPlus valid faces"
        figures += [
            figure(f"generator_{entry.format}_psnr", f"{what}; PSNR", entry.psnr, "dB", command),
            figure(f"generator_{entry.format}_bytes", f"{what}; size", entry.bytes, "bytes", command),
        ]
        if entry.format == "float32" or (entry.format == "int8" and not entry.good):
            exported.files[entry.format].unlink()
    return figures


def export_figures(name: str, model: Any, folder: Path, data: str, valid: Any) -> list[Figure]:
    """TFLite files beside the weights, their parity on real faces, and what int8 recognises."""
    import kerasfer
    from kerasfer import datasets, lite
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.evaluation.classification import Report, true_classes

    command = f"python apps/export.py --model {name} --output DIR --data DIR"
    train_faces = datasets.load("ferplus", locate("ferplus", data), split="train")
    exported = kerasfer.export(model, folder, ("float32", "float16", "int8"), calibration=train_faces, parity=valid)
    print(exported.table(), flush=True)
    figures = []
    for entry in exported.parity:
        tested = f"TFLite {entry.format} beside Keras, {entry.faces} FERPlus valid faces"
        figures += [
            figure(f"{entry.format}_same_label", f"{tested}; same label", entry.same_label, "share", command),
            figure(f"{entry.format}_difference", f"{tested}; largest difference", entry.max_difference, "", command),
            figure(f"tflite_{entry.format}_bytes", f"TFLite {entry.format}; size", entry.bytes, "bytes", command),
        ]
    recognizer = lite.Recognizer(exported.files["int8"])
    answers = recognizer.recognize(prepare_faces(valid, model.image_spec))
    true = true_classes(valid, model.label_space)
    report = Report.of(true, answers.argmax(1), model.label_space)
    evaluated = f"python apps/evaluate.py --tflite saved_models/{name}/{exported.files['int8'].name} --dataset ferplus"
    what = f"TFLite int8: FERPlus valid, {report.n} faces, 8 classes, majority labels; accuracy"
    figures.append(
        figure("int8_ferplus_valid_accuracy", what, report.accuracy, "share", f"{evaluated} --split valid --data DIR")
    )
    return figures


def calibrated(experiment: dict[str, Any], run: Path, model: Any, data: str, build: str) -> tuple[Any, list[Figure]]:
    """The model with the temperature that suits the faces its training held out, and what that brings."""
    import numpy as np

    from kerasfer import datasets, splits
    from kerasfer.evaluation.calibration import calibrate, expected_calibration_error
    from kerasfer.evaluation.classification import predict, true_classes

    share = json.loads((run / "config.json").read_text())["dataset"].get("hold_out")
    if not share:
        return model, []
    root = locate("ferplus", data)
    reading = {"labels": "probability"} if "--labels votes" in experiment["shared"] else {}
    train_faces = datasets.load("ferplus", root, split="train", **reading)
    held_out = splits.holdout(train_faces, share).test.labelled(model.label_space)
    found = calibrate(predict(model, held_out), true_classes(held_out, model.label_space))
    print(found, flush=True)
    tempered = type(model)(dataclasses.replace(model.config, temperature=round(found.temperature, 4)))
    tempered.start_from(model)
    what = f"expected calibration error, {found.n} faces held out of FERPlus train"
    figures = [
        figure("temperature", f"temperature, fitted on {found.n} faces held out of FERPlus train",
               found.temperature, "", build),
        figure("held_out_calibration_error_before", f"{what}; temperature 1", found.error_before, "", build),
        figure("held_out_calibration_error", f"{what}; with the temperature", found.error_after, "", build),
    ]  # fmt: skip
    valid = datasets.load("ferplus", root, split="valid").labelled(model.label_space)
    true = true_classes(valid, model.label_space)
    what = f"expected calibration error, FERPlus valid, {len(true)} faces"
    for key, when, judged in (("_before", "temperature 1", model), ("", "with the temperature", tempered)):
        error = expected_calibration_error(np.asarray(predict(judged, valid)), true)
        figures.append(figure(f"valid_calibration_error{key}", f"{what}; {when}", error, "", build))
    return tempered, figures


def yaw_figures(
    experiment: dict[str, Any], models: dict[str, Any], valid: Any, cache: Path, build: str
) -> list[Figure]:
    """Accuracy on the faces of FERPlus valid that turn away by more than so many degrees."""
    import numpy as np

    import kerasfer
    from kerasfer.detection import estimate_poses

    yaw = np.abs(estimate_poses(valid, cache=cache)["pose"][:, 0])
    figures = []
    for degrees in (10, 20, 30, 40):
        turned = valid.select(yaw > degrees)
        for name in experiment["turned"]:
            report = kerasfer.evaluate(models[name], turned)
            what = (
                f"{experiment['compared'][name]}: FERPlus valid, |yaw| > {degrees} degrees, {report.n} faces; accuracy"
            )
            print(what, f"{report.accuracy:.2%}", flush=True)
            figures.append(figure(f"{name}_yaw_above_{degrees}_accuracy", what, report.accuracy, "share", build))
    return figures


def speeds_of(folder: Path) -> list[Figure]:
    """The figures of --speed that a bundled model has: they depend on the machine and the code, not on the weights."""
    path = folder / "metrics.json"
    if not path.is_file():
        return []
    timed = ("python scripts/benchmark.py train", "python scripts/benchmark.py input")
    return [entry for entry in json.loads(path.read_text())["figures"] if entry["command"].startswith(timed)]


def geometry_figures(experiment: dict[str, Any], models: dict[str, Any], build: str) -> list[Figure]:
    """On rendered faces: accuracy by yaw, and landmarks found again in generated and in real faces."""
    import numpy as np

    import kerasfer
    from kerasfer import datasets
    from kerasfer.datasets.reading import prepare_faces
    from kerasfer.detection import align_table
    from kerasfer.evaluation.geometry import landmark_report
    from kerasfer.models.g2fer import NOISE_PIXELS, YAWS

    asked, model = experiment["geometry"], models[experiment["bundled"]]
    spec, half = model.image_spec, (YAWS[1] - YAWS[0]) / 2
    rendered = datasets.load(
        "synthetic",
        count=asked["faces"],
        identities=asked["people"],
        size=2 * spec.size,
        channels=spec.channels,
        yaw=YAWS[-1] + half,
    )
    faces = align_table(rendered, spec.size, spec.channels).with_columns(pose=rendered["pose"])
    figures = []
    for degrees in YAWS:
        turned = faces.select(np.abs(faces["pose"][:, 0] - degrees) <= half)
        for name in asked["turned"]:
            report = kerasfer.evaluate(models[name], turned)
            what = f"{experiment['compared'][name]}: {report.n} synthetic faces, yaw {degrees:g} degrees; accuracy"
            print(what, f"{report.accuracy:.2%}", flush=True)
            figures.append(figure(f"{name}_yaw_{degrees:g}_accuracy", what, report.accuracy, "share", build))
    pixels, points = prepare_faces(faces, spec), faces["landmarks"]
    generator = np.random.default_rng(0)
    wanted = points[generator.permutation(len(points))]

    def drawn(landmarks: np.ndarray) -> np.ndarray:
        return spec.unscale(model.synthesize(spec.scale(pixels), landmarks))

    shown = [("generated", "generated faces", drawn(wanted), wanted), ("real", "real faces", pixels, points)]
    for sigma in asked["noise"]:
        noise = generator.uniform(-sigma, sigma, wanted.shape).astype(np.float32) * spec.size / NOISE_PIXELS
        what = f"faces generated from landmarks with noise of {sigma} px"
        shown.append((f"noise_{sigma}", what, drawn(wanted + noise), wanted))
    for key, called, images, where in shown:
        report = landmark_report(images, where)
        print(called, report, flush=True)
        what = f"landmarks found in {report.n} {called} of the synthetic set beside those they should have"
        figures.append(
            figure(f"landmarks_{key}_found", f"{what}; share found", report.found / report.n, "share", build)
        )
        if report.found:
            what = f"{what}; mean error over the eye corners' distance"
            figures.append(figure(f"landmarks_{key}_error", what, report.error, "share", build))
    return figures


def machine_figures(
    experiment: dict[str, Any], model: Any, valid: Any, data: str, runs: Path, build: str
) -> list[Figure]:
    """Fits a model's support vector machines, measures them, and what it generates from noise."""
    import svm_figures

    from kerasfer import datasets, splits

    train_faces = datasets.load("ferplus", locate("ferplus", data), split="train")
    figures = svm_figures.expression_figures(experiment, model, train_faces, valid, runs, figure, build)
    people = splits.holdout(datasets.load("lfw_expressions", locate("lfw_expressions", data)))
    parts = {
        "ferplus": ("FERPlus train and valid", train_faces, valid),
        "lfw_expressions": ("LFW-expressions, split by people", people.train, people.test),
    }
    figures += svm_figures.transfer_figures(experiment, model, parts, runs, figure, build)
    figures += svm_figures.unit_figures(experiment, model, train_faces, runs, figure, build)
    return figures + svm_figures.generated_figures(experiment, model, train_faces, valid, judge_of, figure, build)


def measure(name: str, data: str, runs: Path, folder: Path) -> None:
    """Writes saved_models/NAME: weights, TFLite files, figures, learning curves and card."""
    from kerasfer import datasets, zoo
    from kerasfer.training import read_history

    experiment = json.loads(CONFIGS[name].read_text())
    build = f"python scripts/build_zoo.py --model {name} --data DIR"
    valid = datasets.load("ferplus", locate("ferplus", data), split="valid")
    bundled = experiment["bundled"]
    synthesis = experiment.get("synthesis", {})
    needed = {*experiment["compared"], *experiment["probed"].values(), bundled}
    needed.update(*(synthesis.get(key, ()) for key in ("gaps", "variants")))
    averaged = {name: parts for name, parts in experiment.get("averaged", {}).items() if name in needed}
    needed.update(*averaged.values())
    models = {run: zoo.load(runs / run) for run in experiment["runs"] if run in needed}
    models |= {name: zoo.average([models[part] for part in parts]) for name, parts in averaged.items()}
    # An average has the held-out faces and the history of the first of its trainings.
    run = runs / averaged.get(bundled, [bundled])[0]
    models[bundled], figures = calibrated(experiment, run, models[bundled], data, build)
    if experiment.get("units"):
        figures += machine_figures(experiment, models[bundled], valid, data, runs, build)
    speeds = speeds_of(folder)
    zoo.save(
        models[bundled],
        folder,
        history=read_history(run / "history.csv"),
        card=(folder / "README.md").read_text() if (folder / "README.md").is_file() else None,
        groups=list(experiment["storage"]),
        storage=experiment["storage"],
    )
    # What is measured is what is bundled, as rounded as its storage.
    model = models[bundled] = zoo.load(folder)
    figures += recognition_figures(experiment, models, valid, build) + disentangling_figures(experiment, models, build)
    if experiment.get("turned"):
        figures += yaw_figures(experiment, models, valid, runs / "poses", build)
    if experiment.get("synthesis"):
        figures += synthesis_figures(experiment, models, valid, runs, build)
    if experiment.get("geometry"):
        figures += geometry_figures(experiment, models, build)
    weights = model.recognizer().count_params()
    figures.append(figure("recognizer_weights", "weights of the recogniser", weights, "count", build))
    figures += export_figures(name, model, folder, data, valid)
    if any(experiment.get(key) for key in ("synthesis", "geometry", "judges")):
        figures += generator_figures(name, model, folder, data, valid)
    for file in experiment.get("left_out", ()):
        (folder / file).unlink(missing_ok=True)
    figures += lite_figures(name, folder)
    write_figures(folder, figures + speeds)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)


def lite_figures(name: str, folder: Path) -> list[Figure]:
    """Milliseconds a face of the TFLite files on this machine."""
    from benchmark import lite_rows, processor

    figures = []
    for row in lite_rows(folder, runs=200):
        storage, threads = row["storage"], row["threads"]
        what = f"TFLite {storage}, one aligned face, {threads} thread(s), median of {row['runs']}, {processor()}"
        command = f"python scripts/benchmark.py lite --model {name}"
        key = f"lite_{storage}_milliseconds" + ("" if threads == 1 else f"_{threads}_threads")
        figures.append(figure(key, what, row["ms/face"], "ms", command))
    return figures


def speed_figures(model: str) -> list[Figure]:
    """Images/s of a training step at the paper's size and of the input pipeline, on this machine."""
    from benchmark import benchmark_input, benchmark_train, processor

    options = argparse.Namespace(
        model=model, size="paper", batch_size=8, precision=["float32", "mixed_bfloat16"], runs=5, before=False
    )
    figures = []
    for row in benchmark_train(options):
        what = f"training step, paper size, {row['precision']}, batch {row['batch']}, median of {row['runs']}"
        command = f"python scripts/benchmark.py train --model {model}"
        key = f"train_{row['precision']}_images_per_second"
        figures.append(figure(key, f"{what}, {processor()}", row["images/s"], "images/s", command))
    for row in benchmark_input(argparse.Namespace(model=model, dataset="synthetic", data=None, runs=3)):
        what = f"{row['what']}, batch {row['batch']}, median, {processor()}"
        size = row.get("size", "")
        key = f"{row['what']}_{size}_images_per_second".replace(",", "").replace(" ", "_")
        what = f"{what}, {size} px" if size else what
        figures.append(figure(key, what, row["images/s"], "images/s", "python scripts/benchmark.py input"))
    return figures


def judged_again(name: str, data: str, folder: Path) -> list[Figure]:
    """The faces that a bundled generator makes of noise, as the bundled judges see them now."""
    from kerasfer import datasets, zoo

    experiment = json.loads(CONFIGS[name].read_text())
    build = f"python scripts/build_zoo.py --model {name} --data DIR"
    valid = datasets.load("ferplus", locate("ferplus", data), split="valid")
    model = zoo.load(folder)
    if experiment.get("judges"):
        import svm_figures

        return svm_figures.judged_figures(experiment, model, valid, judge_of, figure, build)[0]
    if experiment.get("synthesis"):
        faces, true = real_faces(model, valid)
        made, _ = new_people(model, true)
        return new_people_figures(experiment["synthesis"]["judges"], model, faces, made, build)
    raise ValueError(f"{CONFIGS[name]}: no judges are named, so there is nothing to judge")


def replace_figures(folder: Path, fresh: list[Figure]) -> None:
    """Puts figures into those of a bundled model, in the place of older ones, and into the pages that show them."""
    by_key = {entry["key"]: entry for entry in fresh}
    before = json.loads((folder / "metrics.json").read_text())["figures"]
    kept = [by_key.pop(entry["key"], entry) for entry in before]
    write_figures(folder, kept + list(by_key.values()))
    subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="build_zoo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, choices=sorted(CONFIGS), help="what to build")
    parser.add_argument("--data", metavar="DIR", help="folder with the data sets; needed but for --speed")
    parser.add_argument("--runs", metavar="DIR", help="where the trainings lie; default: runs/zoo-MODEL")
    parser.add_argument("--measure", action="store_true", help="do not train: measure and save what --runs holds")
    parser.add_argument("--speed", action="store_true", help="only time training and input on this machine")
    parser.add_argument("--judge", action="store_true", help="only compare what the bundled generator makes with faces")
    options = parser.parse_args(arguments)
    folder = ROOT / "saved_models" / options.model
    if options.speed:
        replace_figures(folder, speed_figures(options.model))
        return 0
    if options.data is None:
        raise ValueError("--data is missing: the folder that holds ferplus and lfw_expressions")
    if options.judge:
        replace_figures(folder, judged_again(options.model, options.data, folder))
        return 0
    runs = Path(options.runs or f"runs/zoo-{options.model}")
    if not options.measure:
        train(options.model, options.data, runs)
    measure(options.model, options.data, runs, folder)
    return 0


if __name__ == "__main__":
    run_app(main)

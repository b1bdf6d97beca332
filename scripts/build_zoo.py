"""Retrains a bundled model from scratch, measures it and writes saved_models/<name>.

    python scripts/build_zoo.py --model tdgan --data DIR                    # everything: hours
    python scripts/build_zoo.py --model tdgan --data DIR --train cnn_base   # one of its trainings
    python scripts/build_zoo.py --model tdgan --data DIR --measure          # all are done: the rest
    python scripts/build_zoo.py --model tdgan --speed                       # images/s on this machine, into the figures
    python scripts/build_zoo.py --model fesr --data DIR --judge             # FID and KID, after a judge changed
    python scripts/build_zoo.py --coming --model g2fer --data DIR --train generator   # a plan that is not bundled yet

DIR holds ferplus and lfw_expressions, as folders or zips. What is trained and what is measured stands in
kerasfer/recipes/<name>.py. Run again, a training that was stopped resumes.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps"))

from common import locate, run_app  # noqa: E402

from kerasfer import recipes  # noqa: E402

if TYPE_CHECKING:
    from kerasfer.evaluation.figures import Figure
    from kerasfer.evaluation.measurements import Bench


def train(plan: recipes.Plan, data: str, runs: Path, coming: bool = False) -> None:
    """Runs, or finishes, every training of a plan, each in a process of its own: its memory ends with it."""
    for run in plan.runs:
        command = [sys.executable, __file__, "--model", plan.model, "--data", data]
        command += ["--runs", str(runs), "--train", run.name, *(["--coming"] if coming else [])]
        print("$", shlex.join(command), flush=True)
        if subprocess.run(command, check=False).returncode:
            raise ValueError(f"{runs / run.name}: the training stopped; run this again to resume")


def bench_of(plan: recipes.Plan, models: dict[Any, Any], data: str, runs: Path) -> Bench:
    """The bench for a plan's models."""
    from kerasfer.evaluation.measurements import Bench

    command = f"python scripts/build_zoo.py --model {plan.model} --data DIR"
    return Bench(plan.model, models, plan.bundled, lambda name: locate(name, data), runs, command)


def trained_models(plan: recipes.Plan, runs: Path) -> dict[Any, Any]:
    """What is bundled and what is measured beside it, as the runs have left it."""
    from kerasfer import zoo

    needed = plan.needed()
    means = [made for made in needed if isinstance(made, recipes.Mean)]
    parts = {*needed, *(run for mean in means for run in mean.runs)}
    models: dict[Any, Any] = {run: zoo.load(runs / run.name) for run in plan.runs if run in parts}
    return models | {mean: zoo.average([models[run] for run in mean.runs]) for mean in means}


def measure(plan: recipes.Plan, data: str, runs: Path, folder: Path) -> None:
    """Writes saved_models/NAME: weights, TFLite files, figures, learning curves and card."""
    from model_cards import draw_pictures

    from kerasfer import zoo
    from kerasfer.evaluation.figures import write_figures
    from kerasfer.evaluation.measurements.exported import exported, exported_generator
    from kerasfer.evaluation.measurements.recognition import calibrated, settled
    from kerasfer.training import read_history

    bench = bench_of(plan, trained_models(plan, runs), data, runs)
    # A mean has the held-out faces and the history of the first of its trainings.
    first = plan.bundled.runs[0] if isinstance(plan.bundled, recipes.Mean) else plan.bundled
    if plan.settled:
        settled(bench, plan.settled)
    figures = calibrated(bench, first)
    for measurement in plan.measurements:
        figures += measurement.fit(bench)
    speeds = speeds_of(folder)
    card = folder / "README.md"
    zoo.save(
        bench.model,
        folder,
        history=read_history(runs / first.name / "history.csv"),
        card=card.read_text(encoding="utf-8") if card.is_file() else None,
        groups=list(plan.storage),
        storage=plan.storage,
    )
    # What is measured is what is bundled, as rounded as its storage.
    bench.models[plan.bundled] = zoo.load(folder)
    for measurement in plan.measurements:
        figures += measurement.measure(bench)
    weights = bench.model.recognizer().count_params()
    figures.append(bench.figure("recognizer_weights", "weights of the recognizer", weights, "count"))
    figures += exported(bench, folder)
    if plan.generator:
        figures += exported_generator(bench, folder)
    for file in plan.left_out:
        (folder / file).unlink(missing_ok=True)
    write_figures(folder / "metrics.json", [*figures, *lite_figures(bench, folder), *speeds])
    if bench.locate("london") is not None:
        draw_pictures([plan.model], data)
    show_figures()


def show_figures() -> None:
    """Brings the pages that show figures up to date."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "results_table.py")], check=True)


def replace_figures(folder: Path, fresh: list[Figure]) -> None:
    """Puts figures into those of a bundled model, in the place of older ones, and into the pages that show them."""
    from kerasfer.evaluation.figures import read_figures, replaced, write_figures

    path = folder / "metrics.json"
    write_figures(path, replaced(read_figures(path), fresh))
    show_figures()


def judged_again(plan: recipes.Plan, data: str, runs: Path, folder: Path) -> list[Figure]:
    """The faces that the generator in a folder makes, as the bundled judges see them now."""
    from kerasfer import zoo

    bench = bench_of(plan, {plan.bundled: zoo.load(folder)}, data, runs)
    figures = [figure for measurement in plan.measurements for figure in measurement.judge(bench)]
    if not figures:
        raise ValueError(f"{plan.model}: no measurement has judges, so there is nothing to judge")
    return figures


# -- what depends on the machine ---------------------------------------------------------------------------------------


def speeds_of(folder: Path) -> list[Figure]:
    """The figures of --speed that a bundled model has: they depend on the machine and the code, not on the weights."""
    from kerasfer.evaluation.figures import read_figures

    path = folder / "metrics.json"
    if not path.is_file():
        return []
    timed = ("python scripts/benchmark.py train", "python scripts/benchmark.py input")
    return [entry for entry in read_figures(path) if entry["command"].startswith(timed)]


def lite_figures(bench: Bench, folder: Path) -> list[Figure]:
    """Milliseconds a face of the TFLite files on this machine."""
    from benchmark import lite_rows, processor

    figures = []
    for row in lite_rows(folder, runs=200):
        storage, threads = row["storage"], row["threads"]
        what = f"TFLite {storage}, one aligned face, {threads} thread(s), median of {row['runs']}, {processor()}"
        command = f"python scripts/benchmark.py lite --model {bench.name}"
        key = f"lite_{storage}_milliseconds" + ("" if threads == 1 else f"_{threads}_threads")
        figures.append(bench.figure(key, what, row["ms/face"], "ms", command))
    return figures


def speed_figures(model: str) -> list[Figure]:
    """Images/s of a training step at the paper's size and of the input pipeline, on this machine."""
    from benchmark import benchmark_input, benchmark_train, processor

    options = argparse.Namespace(
        model=model, size="paper", batch_size=8, precision=["float32", "mixed_bfloat16"], runs=5, before=False
    )
    figures: list[Figure] = []

    def measured(key: str, what: str, row: dict[str, Any], command: str) -> None:
        figures.append({"key": key, "what": what, "value": row["images/s"], "unit": "images/s", "command": command})

    for row in benchmark_train(options):
        what = f"training step, paper size, {row['precision']}, batch {row['batch']}, median of {row['runs']}"
        key = f"train_{row['precision']}_images_per_second"
        measured(key, f"{what}, {processor()}", row, f"python scripts/benchmark.py train --model {model}")
    for row in benchmark_input(argparse.Namespace(model=model, dataset="synthetic", data=None, runs=3)):
        what = f"{row['what']}, batch {row['batch']}, median, {processor()}"
        size = row.get("size", "")
        key = f"{row['what']}_{size}_images_per_second".replace(",", "").replace(" ", "_")
        measured(key, f"{what}, {size} px" if size else what, row, "python scripts/benchmark.py input")
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="build_zoo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, choices=recipes.names(), help="what to build")
    parser.add_argument("--data", metavar="DIR", help="folder with the data sets; needed but for --speed")
    parser.add_argument("--runs", metavar="DIR", help="where the trainings lie; default: runs/zoo-MODEL")
    parser.add_argument("--train", metavar="NAME", help="only do this training of the recipe")
    parser.add_argument("--measure", action="store_true", help="do not train: measure and save what --runs holds")
    parser.add_argument("--speed", action="store_true", help="only time training and input on this machine")
    parser.add_argument("--judge", action="store_true", help="only compare what the bundled generator makes with faces")
    parser.add_argument(
        "--coming",
        action="store_true",
        help="the plan in kerasfer/recipes/coming, which is to take the bundled one's place; --judge prints figures of "
        "its bundled training, or of that of --train, and keeps none",
    )
    options = parser.parse_args(arguments)
    folder = ROOT / "saved_models" / options.model
    if options.speed:
        replace_figures(folder, speed_figures(options.model))
        return 0
    if options.data is None:
        raise ValueError("--data is missing: the folder that holds ferplus and lfw_expressions")
    plan = recipes.plan(options.model, options.coming)
    runs = Path(options.runs or f"runs/{'coming' if options.coming else 'zoo'}-{options.model}")
    if options.train and not options.judge:
        notes = {"command": f"python scripts/build_zoo.py {shlex.join(sys.argv[1:])}"}
        print(f"trained: {plan.run(options.train).train(options.data, runs, notes=notes).folder}")
        return 0
    if options.judge and options.coming:
        for figure in judged_again(plan, options.data, runs, runs / (options.train or plan.bundled.name)):
            print(f"{figure['key']}: {figure['value']:.4g} ({figure['what']})", flush=True)
        return 0
    if options.judge:
        replace_figures(folder, judged_again(plan, options.data, runs, folder))
        return 0
    if not options.measure:
        train(plan, options.data, runs, options.coming)
    measure(plan, options.data, runs, folder)
    return 0


if __name__ == "__main__":
    run_app(main)

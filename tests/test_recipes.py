"""The recipes of the bundled models: every one is built, without training, and says what its figures are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_training import noise_table
from toy_model import Toy, ToyConfig

from kerasfer import datasets, recipes, trainer
from kerasfer.data import Augmentation, NamedSets
from kerasfer.datasets.base import DatasetError
from kerasfer.evaluation.figures import FiguresError, read_figures, replaced, write_figures
from kerasfer.evaluation.measurements import Recognition
from kerasfer.models import MODELS, model_class
from kerasfer.recipes import Mean, Plan, PlanError, Run, Teachers
from kerasfer.weights import bundled

ROOT = Path(__file__).resolve().parent.parent
SETS = NamedSets("synthetic", images=60)


@pytest.fixture
def toy(monkeypatch):
    """The config of a model of the zoo that takes no time."""
    monkeypatch.setitem(MODELS, "toy", (Toy.__module__, Toy.__qualname__))
    return ToyConfig(image_size=16, epochs=1, batch_size=8)


# -- the bundled models' ---------------------------------------------------------------------------------------------


IN_FLOAT32 = {"wild", "edge", "dcganfer", "dcganfer_lfw", "dcganfer_fer", "dcganfer_au7"}
"""Trainings that were done on processors without bfloat16."""


def test_every_bundled_model_that_is_trained_has_a_recipe():
    assert set(recipes.names()) >= {name for name in bundled() if name in MODELS} and "tdgan" in recipes.names()
    with pytest.raises(PlanError, match="no recipe for 'dlib_resnet'; there is one for: dcganfer, edge"):
        recipes.plan("dlib_resnet")


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_can_be_followed(name):
    plan = recipes.plan(name)
    assert plan.model == name and isinstance(plan, Plan)
    done = set()
    for run in plan.runs:
        assert type(run.config) is model_class(name).Config
        assert run.config.precision == ("float32" if run.name in IN_FLOAT32 else "mixed_bfloat16")
        assert {each.name for each in run.before()} <= done, f"{run.name} is before what it needs"
        assert set(run.given()) <= set(bundled()), f"{run.name} starts from what does not come with kerasfer"
        assert not run.teachers.models or run.sets.labels == "votes"
        for each in (run.sets.dataset, *run.sets.faces):
            datasets.reader(each)
        done.add(run.name)
    starts = {source.name for run in plan.runs for source in run.before()}
    measured = {part.name for made in plan.needed() for part in getattr(made, "runs", (made,))}
    assert done == starts | measured, "a training is of no use"


def test_a_coming_plan_starts_from_nothing_but_itself():
    plan = recipes.plan("g2fer", coming=True)
    assert plan.model == "g2fer" and plan is not recipes.plan("g2fer") and "coming" not in recipes.names()
    assert not any(run.given() or run.teachers.models for run in plan.runs)
    assert {run.config.precision for run in plan.runs} == {"float32"}
    assert {run.config.classifier_start for run in plan.runs} == {"random"}
    with pytest.raises(PlanError, match="no coming recipe for 'edge'; there is one for: .*g2fer"):
        recipes.plan("edge", coming=True)


@pytest.mark.parametrize("name", sorted({*recipes.names()} & {*bundled()}))
def test_the_bundled_config_is_the_recipes(name):
    """But for what training, measuring and saving change: the temperature, what a machine has found, the precision."""
    plan = recipes.plan(name)
    bundle = plan.bundled.runs[0] if isinstance(plan.bundled, Mean) else plan.bundled
    saved = json.loads((ROOT / "saved_models" / name / "config.json").read_text())
    found, planned = saved["config"], bundle.config.to_dict()
    differing = {field for field in found if found[field] != planned[field]}
    added = {"precision", "temperature", "training_prior", "support_vectors"}
    assert differing <= added | {"synthetic_teachers", "synthetic_teacher_share"}
    assert {group: entry["storage"] for group, entry in saved["files"].items()} == dict(plan.storage)
    for file in plan.left_out:
        assert not (ROOT / "saved_models" / name / file).exists()


@pytest.mark.parametrize("name", sorted({*recipes.names()} & {*bundled()}))
def test_a_docstring_says_what_the_figures_say(name):
    recipes.plan(name)
    text = __import__(f"kerasfer.recipes.{name}", fromlist=["PLAN"]).__doc__
    assert f"python scripts/build_zoo.py --model {name} --data DIR" in text
    for heading in ("Hardware: ", "Hours: ", "Paper: ", "Ours: "):
        assert re.search(rf"^{heading}", text, re.MULTILINE), heading
    figures = {figure["key"]: figure["value"] for figure in read_figures(ROOT / "saved_models" / name / "metrics.json")}
    shown = set(re.findall(r"\d+\.\d %", text.partition("Ours: ")[2]))
    assert f"{100 * figures['ferplus_valid_accuracy']:.1f} %" in shown
    assert shown <= {
        f"{100 * value:.1f} %" for key, value in figures.items() if "ferplus_valid" in key or "seeds" in key
    }
    seconds = sum(
        float(line.split(",")[column])
        for lines in [(ROOT / "saved_models" / name / "history.csv").read_text().splitlines()]
        for column in [lines[0].split(",").index("seconds")]
        for line in lines[1:]
    )
    assert f"Hours: {seconds / 3600:.1f} for" in text


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_leads_to_the_next(toy):
    first = Run("first", toy, SETS, start=("edge",), teachers=Teachers(("ipdfer",), 0.7), until=3)
    strong = NamedSets("synthetic", augment=Augmentation.strong())
    second = first.then("second", "g2fer", sets=strong, epochs=2)
    assert second.start == (first, "g2fer") and second.until is None and second.teachers is first.teachers
    assert second.config == toy.replace(epochs=2) and second.sets is strong
    assert second.before() == [first] and second.given() == ["g2fer", "ipdfer"]
    other = second.with_(seed=3)
    assert (other.name, other.config, other.start) == ("second_seed3", second.config.replace(seed=3), second.start)
    alone = first.with_("alone", start=(), teachers=Teachers())
    assert (alone.name, alone.config, alone.start, alone.given(), alone.until) == ("alone", toy, (), [], 3)
    with pytest.raises(ValueError, match="ToyConfig has no field 'sead'"):
        first.with_(sead=1)


def test_a_plan_that_cannot_be_is_refused(toy):
    first = Run("first", toy, SETS)
    second = first.then("second")

    def plan(*runs, bundled=first, measurements=()):
        return Plan(runs, bundled, measurements, storage={"recognizer": "float32"})

    assert plan(first, second, bundled=second).model == "toy"
    with pytest.raises(PlanError, match="second: needs first; list what it needs before it"):
        plan(second, first)
    with pytest.raises(PlanError, match="first: two trainings have this name"):
        plan(first, second.with_("first", start=()))
    with pytest.raises(PlanError, match="needs first"):
        plan(first.with_("first"), second)
    with pytest.raises(PlanError, match="second: is measured or bundled, but no training of the plan"):
        plan(first, bundled=Mean("mean", (first, second)))
    with pytest.raises(PlanError, match="second: is measured or bundled"):
        plan(first, measurements=(Recognition({second: "second"}),))
    with pytest.raises(PlanError, match="of one model"):
        plan(first, Run("other", model_class("edge").Config.tiny(), SETS))
    with pytest.raises(PlanError, match="unknown training 'third'; known are: first, second"):
        plan(first, second).run("third")


def test_a_plan_names_what_must_be_loaded_once(toy):
    runs = [Run("first", toy, SETS)]
    runs += [runs[0].with_(seed=seed) for seed in (1, 2)]
    mean = Mean("mean", tuple(runs))
    plan = Plan(
        tuple(runs),
        mean,
        (Recognition({mean: "mean", runs[2]: "third"}), Recognition({runs[2]: "third", runs[0]: "first"})),
        storage={"recognizer": "float32"},
    )
    assert plan.needed() == [mean, runs[2], runs[0]] and plan.run("first_seed2") is runs[2]
    with pytest.raises(ValueError, match="seeds first_seed1: are among those compared, too"):
        Recognition({runs[0]: "first"}, seeds={"all": runs[:2]})


def test_a_run_trains_as_the_command_does(toy, tmp_path):
    """What it starts from, who teaches and what it learns from reach the training, and its folder tells them."""
    lines = []
    votes = NamedSets("synthetic", images=60, labels="votes", train_share=0.5, hold_out=0.25)
    first = Run("first", toy.replace(epochs=3), votes, until=1)
    done = first.train(tmp_path, tmp_path / "runs", verbose=0, say=lines.append)
    assert done.folder == tmp_path / "runs" / "first" and len(done.history) == 1
    second = first.then("second", teachers=Teachers((first, first), 0.25), epochs=2, seed=4)
    done = second.train(tmp_path, tmp_path / "runs", notes={"command": "x"}, verbose=0, say=lines.append)
    told = json.loads((done.folder / "config.json").read_text())
    place = str(tmp_path / "runs" / "first")
    assert told["start_from"] == [place] and told["command"] == "x" and told["config"]["seed"] == 4
    assert told["dataset"]["teachers"] == [place, place] and told["dataset"]["teacher_share"] == 0.25
    assert told["dataset"]["hold_out"] == 0.25 and told["dataset"]["train_share"] == 0.5
    assert len(done.history) == 2


def test_named_sets_read_what_they_name(monkeypatch, toy):
    table = noise_table(40, size=16)
    monkeypatch.setattr(datasets, "load", lambda name, root=None, **options: table)
    lines = []
    tdgan = model_class("tdgan")
    with pytest.raises(DatasetError, match="TDGAN takes the people of one set, got synthetic, lfw_expressions"):
        NamedSets("ferplus", ("synthetic", "lfw_expressions")).recipe(tdgan, tdgan.Config.tiny(), lambda name: None)
    recipe = NamedSets("synthetic", ("lfw",), labels="votes", balanced=True).recipe(
        Toy, toy.replace(seed=7), lambda name: Path(name), teachers=("edge",), teacher_share=0.3, say=lines.append
    )
    assert lines == ["lfw: not used, as Toy learns from one set so"] and recipe.faces == ()
    assert (recipe.seed, recipe.labels, recipe.balanced) == (7, "votes", True)
    assert (recipe.teachers, recipe.teacher_share) == (("edge",), 0.3)


def test_the_model_of_a_config(toy):
    assert trainer.class_of(toy) is Toy and trainer.name_of(Toy) == "toy"


# -- figures ---------------------------------------------------------------------------------------------------------


def figure(key, value):
    return {"key": key, "what": key.upper(), "value": value, "unit": "share", "command": "x"}


def test_figures_take_the_place_of_older_ones(tmp_path):
    path = tmp_path / "metrics.json"
    write_figures(path, [figure("a", 0.5), figure("b", 1)])
    assert replaced(read_figures(path), [figure("c", 3), figure("a", 0.25)]) == [
        figure("a", 0.25),
        figure("b", 1),
        figure("c", 3),
    ]
    write_figures(path, [figure("a", True)])
    with pytest.raises(FiguresError, match="metrics.json: the value of a is no number"):
        read_figures(path)
    write_figures(path, [figure("a", 1), figure("a", 2)])
    with pytest.raises(FiguresError, match="a key occurs twice"):
        read_figures(path)

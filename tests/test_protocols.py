"""Protocols and what runs them: the published figures, the folds, their resumption, and clear errors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import toy_model
from test_apps import ROOT, code_of

from kerasfer import protocols, splits, training
from kerasfer.expressions import LABEL_SPACES
from kerasfer.faces import ImageSpec
from kerasfer.models import MODELS
from kerasfer.protocols import Data, Protocol, ProtocolError, Rule, Setting, Variant

TOY = Protocol(
    "a toy's accuracy",
    "toy",
    "accuracy",
    (
        Setting("ck_plus", Data("ck_plus"), Rule("folds", 2)),
        Setting("raf_db", Data("raf_db", cropped=True), Rule("official", 2, test="test")),
        Setting("ck_plus to tfeid", Data("ck_plus"), Rule("cross"), test=Data("tfeid", "basic6")),
    ),
    (Variant("narrow", protocols.having(units=2)), Variant("TDGAN")),
)


Toy = toy_model.Toy


@pytest.fixture
def toy(monkeypatch):
    """The toy in the zoo, with a protocol that has tdgan/table3's figures; trained eagerly."""
    import tensorflow as tf

    monkeypatch.setitem(MODELS, "toy", (__name__, "Toy"))
    monkeypatch.setitem(protocols.PROTOCOLS, "tdgan/table3", TOY)
    tf.config.run_functions_eagerly(True)
    yield TOY
    tf.config.run_functions_eagerly(False)


def experiment(folder, name="tdgan/table3", **options):
    options = {
        "size": "tiny",
        "overrides": {"epochs": 1, "batch_size": 16},
        "selection": 0.25,
        "say": lambda line: None,
        **options,
    }
    return protocols.Experiment(name, protocols.SyntheticData(count=42, people=9), folder, **options)


# -- the table of protocols --------------------------------------------------------------------------------------------


def test_every_table_that_measures_is_there():
    expected = {
        "tdgan": ["table3", "table4", "table5", "figure10"],
        "g2fer": ["table3", "table4", "table5", "table7", "table8", "table9", "table10", "figure5"],
        "fesr": ["table3", "table4", "table5", "table6", "table7", "figure8"],
        "ipdfer": [*(f"table{number}" for number in range(1, 10)), "figure7"],
        "dcganfer": ["table2", "table3", "table4", "table7"],
    }
    assert list(protocols.PROTOCOLS) == [f"{paper}/{table}" for paper, tables in expected.items() for table in tables]


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_published_figures_are_well_formed(name):
    protocol, published = protocols.PROTOCOLS[name], protocols.published(name)
    settings = {setting.name for setting in protocol.settings}
    assert published.paper and published.place and published.section and published.rows
    assert set(published.images) <= settings
    keys = [(row["method"], row["setting"], row["cell"]) for row in published.rows]
    assert len(set(keys)) == len(keys)
    for row in published.rows:
        assert set(row) <= {"method", "kind", "setting", "cell", "value", "deviation", "best"}
        assert row["kind"] in ("own", "baseline", "ablation", "comparison")
        assert row["setting"] in settings or row["kind"] == "comparison"
        if published.unit == "percent":
            assert 0 < row["value"] <= 100 and 0 <= row.get("deviation", 0) < 10
            assert row["value"] <= row.get("best", 100) <= 100
        assert row["value"] > 0
    own = {row["method"] for row in published.rows if row["kind"] != "comparison"}
    assert own <= {variant.name for variant in protocol.variants}


def test_protocols_are_well_formed():
    for name, protocol in protocols.PROTOCOLS.items():
        assert protocol.metric in protocols.METRICS, name
        assert len({setting.name for setting in protocol.settings}) == len(protocol.settings)
        assert len({variant.name for variant in protocol.variants}) == len(protocol.variants)
        for data in (data for setting in protocol.settings for data in setting.sets):
            assert data.classes in ("", *LABEL_SPACES), name
        for setting in protocol.settings:
            assert setting.tested in ("", *LABEL_SPACES)


def test_figures_that_the_papers_state_twice_agree():
    def value(name, *key):
        return protocols.published(name).value(*key)["value"]

    assert value("tdgan/table3", "TDGAN", "tfeid", "accuracy") == value("tdgan/table5", "TDGAN", "tfeid", "accuracy")
    for yaw in (-30, -15, 0, 15, 30):
        key = ("multi_pie", f"yaw {yaw}: mean")
        assert value("g2fer/table3", "G2-FER", *key) == value("g2fer/table8", "G2-FER", *key)
        assert value("g2fer/table3", "G2-FER", *key) == value("g2fer/table9", "sigma = 0", *key)
    counts = [row["value"] for row in protocols.published("ipdfer/table1").rows if row["setting"] == "ferplus"]
    assert counts == [13515, 4985, 3200, 2486, 874] and sum(counts) == 25060


def test_printed_means_are_the_means_of_their_rows():
    rows = protocols.published("g2fer/table5").rows
    for cell in ("yaw -45 pitch -30", "yaw 45 pitch 30"):
        values = [row["value"] for row in rows if row["cell"].startswith(f"{cell}: ")]
        assert len(values) == 7 and np.mean(values[:6]) == pytest.approx(values[6], abs=0.01)
    for number in range(1, 9):
        areas = {
            row["cell"]: row["value"]
            for row in protocols.published("dcganfer/table4").rows
            if row["setting"] == f"experiment {number}"
        }
        mean = areas.pop("mean")
        assert len(areas) == 14 and np.mean(list(areas.values())) == pytest.approx(mean, abs=0.002)


def test_unknown_names():
    with pytest.raises(ProtocolError, match="unknown protocol 'tdgan/table9'; --list-protocols names all"):
        protocols.protocol("tdgan/table9")
    with pytest.raises(ProtocolError, match="no setting 'jaffe'; settings are: ck_plus, tfeid"):
        protocols.PROTOCOLS["tdgan/table3"].chosen(["jaffe"])


def test_variants():
    from kerasfer.models.tdgan import TDGANConfig

    config = TDGANConfig.tiny()
    assert Variant("TDGAN").of(config) is config
    changed = Variant("50 people", protocols.having(identities=50)).of(config)
    assert changed.identities == 50 and changed.replace(identities=config.identities) == config


def test_every_variant_is_a_config_of_its_own():
    """Every row of every table can be made at every size, and no two of a table are the same."""
    from kerasfer.models import MODELS, model_class

    for name, protocol in protocols.PROTOCOLS.items():
        if protocol.model not in MODELS:
            continue
        for size in ("paper", "small", "tiny"):
            start = getattr(model_class(protocol.model).Config, size)()
            made = [variant.of(start) for variant in protocol.variants]
            assert len(set(made)) == len(made) or size == "tiny", (name, size)
    tables = {name: {row.name: row for row in protocol.variants} for name, protocol in protocols.PROTOCOLS.items()}
    tdgan = model_class("tdgan").Config.paper()
    assert tables["tdgan/table3"]["CNN-Base"].of(tdgan).variant == "cnn_base"
    assert tables["tdgan/table5"]["TDGAN-D"].of(tdgan).lambda_dic == 0
    assert tables["g2fer/table9"]["sigma = 4"].of(model_class("g2fer").Config.paper()).landmark_noise == 4
    ipdfer = model_class("ipdfer").Config.paper()
    assert tables["ipdfer/figure7"]["lambda_identity x 10"].of(ipdfer).lambda_identity == 10
    assert tables["ipdfer/table2"]["IPD-FER"].of(ipdfer).variant == "id_fer"


# -- figures of a fold, by hand ----------------------------------------------------------------------------------------

TRUE = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.eye(3)[[0, 0, 1, 1, 0, 2]]


def test_accuracy_and_recall():
    labels = ("a", "b", "c")
    assert protocols.cells_of("accuracy", labels, TRUE, SCORES) == {"accuracy": pytest.approx(400 / 6)}
    recall = protocols.cells_of("recall", labels, TRUE, SCORES)
    assert recall == pytest.approx({"a": 200 / 3, "b": 50, "c": 100, "mean": (200 / 3 + 150) / 3})
    assert "c" not in protocols.cells_of("recall", labels, TRUE[:5], SCORES[:5])


def test_figures_by_pose():
    poses = np.array([[-31, 14], [-29, -16], [0, 0], [0, 1], [29, 0], [np.nan, np.nan]])
    labels = ("a", "b", "c")
    by_yaw = protocols.cells_of("pose_accuracy", labels, TRUE, SCORES, poses)
    assert by_yaw == pytest.approx({"yaw -30": 100, "yaw 0": 50, "yaw 30": 0, "all": 400 / 6})
    cells = protocols.cells_of("pose_recall", labels, TRUE, SCORES, poses)
    assert cells["yaw -30: a"] == 100 and cells["yaw 0: a"] == 0 and cells["yaw 0: b"] == 100
    assert cells["yaw 0: mean"] == 50 and cells["all: a"] == 50 and cells["all: mean"] == 50
    views = protocols.cells_of("view_recall", labels, TRUE, SCORES, poses)
    assert {"yaw -30 pitch 15: a", "yaw -30 pitch -15: a", "yaw 0 pitch 0: b"} <= set(views)
    turned = protocols.cells_of("yaw_subsets", labels, TRUE, SCORES, poses)
    assert turned == pytest.approx({"all": 400 / 6, "above 10": 200 / 3, "above 20": 200 / 3, "above 30": 100})
    with pytest.raises(ProtocolError, match="needs head poses"):
        protocols.cells_of("yaw_subsets", labels, TRUE, SCORES)


def test_areas():
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    assert protocols.cells_of("auc", ("a", "b"), np.array([0, 0, 1, 1]), scores) == {
        "a": 0.75,
        "b": 0.75,
        "mean": 0.75,
    }
    units = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], bool)
    assert protocols.cells_of("unit_auc", ("AU1", "AU2"), units, scores) == {"AU1": 1.0, "mean": 1.0}


# -- the engine --------------------------------------------------------------------------------------------------------


def test_the_whole_engine(toy, tmp_path):
    outcome = experiment(tmp_path).run()
    assert outcome.complete
    cells = {(cell.setting, cell.method): cell for cell in outcome.cells if cell.ours is not None}
    ours = cells["ck_plus", "TDGAN"]
    assert (ours.paper, ours.paper_deviation, ours.folds, ours.n) == (97.53, 2.03, 2, 42) and ours.kind == "own"
    assert cells["raf_db", "narrow"].folds == 2 and cells["raf_db", "narrow"].paper is None
    assert cells["ck_plus to tfeid", "TDGAN"].folds == 1 and cells["ck_plus to tfeid", "TDGAN"].deviation is None
    compared = [cell for cell in outcome.cells if cell.method == "pACNN"]
    assert [(cell.paper, cell.ours) for cell in compared] == [(97.03, None)]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["complete"] and result["synthetic"] and len(result["cells"]) == len(outcome.cells)
    assert result["settings"]["ck_plus"]["paper_images"] == 1236
    assert len((tmp_path / "result.csv").read_text().splitlines()) == len(outcome.cells) + 1
    assert (tmp_path / "ck_plus-TDGAN-confusion.png").is_file() and (tmp_path / "ck_plus-TDGAN-roc.png").is_file()
    text = outcome.text()
    assert "on synthetic faces" in text and "97.53 ± 2.03" in text and "the paper 1,236" in text
    fold = json.loads((tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "fold.json").read_text())
    assert fold["chosen"]["epoch"] == 1 and fold["trained_on"] + fold["n"] < 42
    assert not (tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "checkpoints").exists()
    six = json.loads((tmp_path / "ck_plus_to_tfeid" / "TDGAN" / "fold-00" / "fold.json").read_text())
    assert len(six["labels"]) == 6 and "neutral" not in six["labels"]


def test_folds_are_shared_and_not_done_twice(toy, tmp_path, monkeypatch):
    outcome = experiment(tmp_path, folds=[0], settings=["ck_plus"]).run()
    assert not outcome.complete and outcome.facts["settings"]["ck_plus"]["done"] == 2
    assert "2 of 4 done" in outcome.text()
    first = (tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "fold.json").read_bytes()
    assert experiment(tmp_path, folds=[1], settings=["ck_plus"]).run().complete
    monkeypatch.setattr(training, "fit", None)
    again = experiment(tmp_path, settings=["ck_plus"]).run()
    assert again.complete and (tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "fold.json").read_bytes() == first


@pytest.mark.slow
def test_a_fold_alone_gives_what_it_gives_among_others(toy, tmp_path):
    experiment(tmp_path / "all", settings=["raf_db"]).run()
    experiment(tmp_path / "one", settings=["raf_db"], folds=[1]).run()
    alone, among = (
        json.loads((tmp_path / name / "raf_db" / "TDGAN" / "fold-01" / "fold.json").read_text())
        for name in ("one", "all")
    )
    assert alone == among
    other = json.loads((tmp_path / "all" / "raf_db" / "TDGAN" / "fold-00" / "fold.json").read_text())
    assert other["seed"] == 0 and among["seed"] == 1 and other["scores"] != among["scores"]


def test_a_run_that_was_killed_goes_on(toy, tmp_path, monkeypatch):
    overrides = {"epochs": 2, "batch_size": 16}
    options = {"settings": ["ck_plus"], "folds": [0], "overrides": overrides}
    whole = experiment(tmp_path / "whole", **options).run()
    fit = training.fit

    def killed(*arguments, **given):
        fit(*arguments, **{**given, "epochs": 1})
        raise training.Interrupted("stopped")

    monkeypatch.setattr(training, "fit", killed)
    with pytest.raises(training.Interrupted):
        experiment(tmp_path / "killed", **options).run()
    folder = tmp_path / "killed" / "ck_plus" / "narrow" / "fold-00"
    assert not (folder / "fold.json").exists() and list((folder / "checkpoints").iterdir())
    monkeypatch.setattr(training, "fit", fit)
    resumed = experiment(tmp_path / "killed", **options).run()
    assert [cell.ours for cell in resumed.cells] == [cell.ours for cell in whole.cells]
    one, two = (
        json.loads((tmp_path / name / "ck_plus" / "narrow" / "fold-00" / "fold.json").read_text())
        for name in ("whole", "killed")
    )
    assert one == two


def test_the_test_part_is_had_after_the_epoch_was_chosen(toy, tmp_path, monkeypatch):
    order = []
    release, fit = splits.SealedSplit.release_test, training.fit

    def watched_fit(model, batches, folder, **options):
        history = fit(model, batches, folder, **options)
        order.append(("trained", "selection_accuracy" in history[-1]))
        return history

    monkeypatch.setattr(training, "fit", watched_fit)
    monkeypatch.setattr(
        splits.SealedSplit, "release_test", lambda self: order.append(("tested", True)) or release(self)
    )
    experiment(tmp_path, settings=["ck_plus"], folds=[0]).run()
    assert order == [("trained", True), ("tested", True)] * 2


def test_without_a_selection_part_the_last_epoch_counts(toy, tmp_path):
    experiment(tmp_path, settings=["ck_plus"], folds=[0], selection=0).run()
    fold = json.loads((tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "fold.json").read_text())
    assert fold["chosen"] is None and fold["trained_on"] + fold["n"] == 42


@pytest.mark.slow
def test_a_set_to_start_from(toy, tmp_path, monkeypatch):
    setting = Setting("sfew", Data("sfew"), Rule("official", 1, test="test"), start=Data("raf_db"))
    protocol = Protocol("", "toy", "recall", (setting,), (Variant("TDGAN"),))
    monkeypatch.setitem(protocols.PROTOCOLS, "tdgan/table3", protocol)
    outcome = experiment(tmp_path).run()
    assert outcome.complete and (tmp_path / "sfew" / "TDGAN" / "start-0" / "state.safetensors").is_file()


def test_other_settings_in_the_folder_are_refused(toy, tmp_path):
    experiment(tmp_path, settings=["ck_plus"], folds=[0]).run()
    with pytest.raises(
        ProtocolError, match="fold-00/fold.json: is of a run with another config; choose another folder"
    ):
        experiment(tmp_path, settings=["ck_plus"], folds=[0], overrides={"epochs": 2}).run()
    path = tmp_path / "ck_plus" / "TDGAN" / "fold-00" / "fold.json"
    path.write_text("{")
    with pytest.raises(ProtocolError, match="not readable .* delete it to run the fold again"):
        experiment(tmp_path, settings=["ck_plus"], folds=[0]).run()
    shutil.rmtree(tmp_path)
    with pytest.raises(ProtocolError, match="ck_plus has folds 0 to 1, none of those asked for"):
        experiment(tmp_path, settings=["ck_plus"], folds=[7]).run()


def test_what_is_not_there(toy, monkeypatch, tmp_path):
    monkeypatch.setitem(protocols.PROTOCOLS, "fesr/table7", Protocol("", "nobody", "accuracy", TOY.settings))
    with pytest.raises(ProtocolError, match="fesr/table7: its model 'nobody' is not in the project yet; there are: "):
        experiment(tmp_path, "fesr/table7")
    monkeypatch.setitem(protocols.PROTOCOLS, "fesr/table7", Protocol("", "toy", "generation", TOY.settings))
    with pytest.raises(ProtocolError, match="toy has no method generate, which it is measured by"):
        experiment(tmp_path, "fesr/table7")
    (tmp_path / "ck_plus").mkdir()
    source = protocols.FolderData(lambda name: tmp_path / name if (tmp_path / name).exists() else None)
    with pytest.raises(ProtocolError, match="needs raf_db, tfeid: no folder .* --settings 'ck_plus'"):
        protocols.Experiment("tdgan/table3", source, tmp_path, size="tiny")


def test_stand_ins_have_the_sets_structure():
    source = protocols.SyntheticData(count=42, people=9)
    spec = toy_model.Toy(toy_model.ToyConfig.tiny()).image_spec
    views = source.load(Data("multi_pie", "multipie6"), spec)
    assert set(np.unique(views["expression"])) <= {0, 8, 2, 9, 5, 10} and np.abs(views["pose"][:, 0]).max() > 15
    wild = source.load(Data("raf_db", parts=("train", "test")), spec)
    assert "identity" not in wild and {"train", "test"} <= set(wild["split"].tolist())
    assert set(source.load(Data("sfew", parts=("train", "valid")), spec)["split"].tolist()) == {"train", "valid"}
    assert len(set(source.load(Data("tfd"), spec)["fold"].tolist())) == 5
    named = source.load(Data("casia_webface", "", {"identities": 20}), spec)
    assert len(set(named["identity"].tolist())) == 20 and len(named) == 42


def test_pose_counts(tmp_path, monkeypatch):
    from kerasfer import detection

    def estimated(table, cache, progress):
        yaw = np.resize([0.0, -15.0, 25.0, 35.0, -50.0, np.nan], len(table))
        return table.with_columns(pose=np.column_stack([yaw, yaw * 0, yaw * 0]))

    monkeypatch.setattr(detection, "estimate_poses", estimated)
    outcome = experiment(tmp_path, "ipdfer/table1", settings=["ferplus"]).run()
    cells = {cell.cell: (cell.paper, cell.ours) for cell in outcome.cells}
    paper = {"0 to 10": 13515, "10 to 20": 4985, "20 to 30": 3200, "30 to 40": 2486, "above 40": 874}
    assert cells == {**{name: (count, 7) for name, count in paper.items()}, "no face found": (None, 7)}


def test_results_join_the_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import results_table

    root = tmp_path / "root"
    (root / "saved_models" / "toy").mkdir(parents=True)
    (root / "saved_models" / "toy" / "metrics.json").write_text('{"figures": []}')
    (root / "saved_models" / "toy" / "config.json").write_text('{"model": "toy"}')
    (root / "scripts" / "cards").mkdir(parents=True)
    text = "picture: none\n\nA toy.\n\n## Use\n\nNone.\n\n## Limits\n\nMany.\n\n## Licenses\n\nFree.\n"
    (root / "scripts" / "cards" / "toy.md").write_text(text)
    figures = f"# T\n\n{results_table.BEGIN}\n{results_table.END}\n"
    table = f"{results_table.PROTOCOLS_BEGIN}\n{results_table.PROTOCOLS_END}\n"
    (root / "README.md").write_text(figures + table)
    assert results_table.main([], root) == 0
    assert "None has been run on the real sets yet." in (root / "README.md").read_text()
    cell = {"setting": "ck_plus", "method": "Toy", "cell": "accuracy", "paper": 97.53, "paper_deviation": 2.03}
    result = {"protocol": "toy/table3", "title": "t", "place": "Table III", "model": "toy", "unit": "percent"}
    result |= {"complete": False, "synthetic": False, "cells": [{**cell, "ours": 61.5, "folds": 1, "n": 1234}]}
    file = tmp_path / "result.json"
    file.write_text(json.dumps(result))
    assert results_table.main(["--add", str(file)], root) == 0
    row = "| `toy/table3` (in part) | ck_plus | Toy | accuracy | 97.53 ± 2.03 | 61.50 | 1 | 1,234 |"
    assert row in (root / "README.md").read_text()
    assert results_table.main(["--check"], root) == 0
    file.write_text(json.dumps({**result, "synthetic": True}))
    assert results_table.main(["--add", str(file)], root) == 2
    assert "result.json: was measured on synthetic faces" in capsys.readouterr().err


# -- the app -----------------------------------------------------------------------------------------------------------


def test_list_protocols(monkeypatch, capsys):
    assert code_of("evaluate", monkeypatch, "--list-protocols") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(protocols.PROTOCOLS)
    assert "needs ck_plus, tfeid, rafd, baum2i, raf_db, casia_webface" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--protocol", "tdgan/table33", "--data", "synthetic"], "unknown protocol 'tdgan/table33'"),
        (["--protocol", "tdgan/table3"], "--data is missing: the folder that holds ck_plus, tfeid"),
        (
            ["--protocol", "tdgan/table3", "--data", "/no/such/place"],
            "tdgan/table3 needs ck_plus, casia_webface, tfeid",
        ),
        (["--protocol", "tdgan/table3", "--data", "synthetic", "--folds", "a"], "write numbers with commas"),
        (["--protocol", "tdgan/table3", "--data", "synthetic", "--settings", "x"], "no setting 'x'; settings are:"),
        (["--protocol", "tdgan/table3", "--data", "synthetic", "--set", "x=1"], "no field 'x'; fields are"),
        (["--protocol", "tdgan/table3", "--data", "synthetic", "--selection", "2"], "lies between 0 and 1"),
    ],
)
def test_errors_are_one_line(arguments, expected, monkeypatch, capsys):
    assert code_of("evaluate", monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


@pytest.mark.slow
def test_tdgan_table_on_synthetic_faces(tmp_path, monkeypatch, capsys):
    arguments = ["--protocol", "tdgan/table3", "--data", "synthetic", "--folds", "0", "--output", tmp_path / "run"]
    assert code_of("evaluate", monkeypatch, *arguments, "--settings", "ck_plus", "raf_db") == 0
    printed = capsys.readouterr().out
    assert "97.53 ± 2.03" in printed and "CNN-Base" in printed


def test_the_rendered_multi_pie_shows_each_moment_from_every_side():
    source = protocols.RenderedMultiPie(moments=12, people=4)
    table = source.load(protocols.Data("multi_pie", "multipie6"), ImageSpec(48))
    assert len(table) == 60 and source.missing(["multi_pie", "sfew"]) == ["sfew"]
    assert table.label_space.labels == ("neutral", "smile", "surprise", "squint", "disgust", "scream")
    by_side = np.round(table["pose"][:, 0]).reshape(5, 12)
    np.testing.assert_array_equal(by_side, np.repeat([[-30], [-15], [0], [15], [30]], 12, 1))
    for column in ("identity", "expression"):
        sides = table[column].reshape(5, 12)
        assert (sides == sides[0]).all() and len(set(sides[0])) > 2
    assert np.isfinite(table["landmarks"]).all() and not (table.read(0) == table.read(24)).all()
    whole = protocols.RenderedMultiPie()
    assert 5 * whole.moments == 7655 and whole.people == 270

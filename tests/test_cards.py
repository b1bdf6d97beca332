"""The cards of the bundled models: one screen each, from files and from nothing else."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from kerasfer import hub

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("saved_models/*/config.json"))


@pytest.fixture(scope="module")
def cards():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import model_cards
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return model_cards


def figure(key: str, value: float = 0.5, what: str = "x", unit: str = "share") -> dict:
    return {"key": key, "what": what, "value": value, "unit": unit, "command": "c"}


def parts(name: str) -> tuple[str, str]:
    """The front matter and the rest of a card."""
    _, front, body = (ROOT / "saved_models" / name / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return front, body


def text(path: Path, **sections: str) -> Path:
    said = {"Use": "u", "Limits": "l", "Licenses": "f", **sections}
    said = "".join(f"## {heading}\n\n{body}\n\n" for heading, body in said.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"picture: none\n\nA toy.\n\n{said}")
    return path


def toy(root: Path, figures: list[dict], **sections: str) -> Path:
    folder = root / "saved_models" / "toy"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"figures": figures}))
    (folder / "config.json").write_text('{"model": "toy"}')
    text(root / "scripts/cards/toy.md", **sections)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_one_screen(name):
    _, body = parts(name)
    figures = body.split("| figure |")[1].split("\n\n")[0].splitlines()[2:]
    assert 5 <= len(figures) <= 12
    assert len(body.splitlines()) <= 73
    for heading in ("Use", "Limits", "Licenses", "Repeat"):
        assert f"\n## {heading}\n" in body
    assert len(body.split("## Repeat")[1].strip().splitlines()) == 3, "one command"
    (picture,) = re.findall(r"!\[.*\]\((.+)\)", body) or [None]
    assert ("No picture" in body) if picture is None else (ROOT / "saved_models" / name / picture).is_file()
    assert "CC BY 4.0" in body or picture is None


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_reads_the_front_matter(name):
    yaml = pytest.importorskip("yaml")
    front = yaml.safe_load(parts(name)[0])
    assert front["library_name"] == "keras" and front["license"] == (
        "cc0-1.0" if name == "dlib_resnet" else "apache-2.0"
    )
    figures = {
        each["key"]: each["value"]
        for each in json.loads((ROOT / f"saved_models/{name}/metrics.json").read_text())["figures"]
    }
    if name == "dlib_resnet":
        assert front["pipeline_tag"] == "image-feature-extraction" and "model-index" not in front
        return
    assert front["pipeline_tag"] == "image-classification" and "ferplus" in front["datasets"]
    ((measured,), *_) = [[each for each in front["model-index"][0]["results"] if each["dataset"]["type"] == "ferplus"]]
    values = {metric["type"]: metric["value"] for metric in measured["metrics"]}
    assert values["accuracy"] == pytest.approx(figures["ferplus_valid_accuracy"], abs=1e-4)
    assert values["recall"] == pytest.approx(figures["ferplus_valid_balanced"], abs=1e-4)
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    results = cards.model_index_to_eval_results(front["model-index"])[1]
    assert {(each.dataset_type, each.metric_type) for each in results} >= {
        ("ferplus", "accuracy"),
        ("ferplus", "recall"),
    }


def test_front_matter_cannot_be_broken_out_of():
    yaml = pytest.importorskip("yaml")
    strange = 'a: "b"\n---\n# c'
    figures = [hub.HubFigure(strange, strange, "yes", "accuracy", strange, 0.5)]
    front = hub.front_matter(strange, "mit", [strange], ["no"], [], figures=figures)
    assert front.count("---\n") == 2 and front.endswith("---\n")
    read = yaml.safe_load(front.split("---\n")[1])
    assert read["tags"] == [strange.replace("\n", " ")] and read["datasets"] == ["no"]
    assert read["model-index"][0]["results"][0]["dataset"]["split"] == "yes"


def test_what_wilds_card_says_of_its_figures():
    _, body = parts("wild")
    assert body.count("calibration error") == 1
    assert "not free of selection" in body and "odd numbers" in body and "three settings" in body


def test_intervals(cards):
    # Wilson's of 8 of 10, by hand: middle (0.8 + 1.9207 / 10) / 1.38415, half 1.41596 * sqrt(0.016 + 0.0096).
    low, high = cards.wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    alone = "FERPlus valid, 3199 faces, 8 classes; accuracy"
    assert cards.interval(figure("ferplus_valid_accuracy", 2720 / 3199, alone)) == "83.7 to 86.2 %"
    assert cards.interval(figure("ferplus_valid_accuracy", 0.8503, alone)) == "", "no whole number of faces"
    assert cards.interval(figure("ferplus_valid_accuracy", 0.5, "accuracy")) == "", "no number of faces"
    assert cards.interval(figure("ferplus_valid_balanced", 2720 / 3199, alone)) == "", "no share of faces"
    of_people = "lfw, 1110 photos of 477 people left aside; accuracy"
    assert cards.interval(figure("left_aside_accuracy", 982 / 1110, of_people)) == ""
    stated = "ck48 (crops), 981 faces of 118 people; accuracy (95 %: 69.5% to 78.4%)"
    assert cards.interval(figure("ck48_accuracy", 0.7, stated)) == "69.5 to 78.4 %"


def test_counts(cards):
    for what, count in {
        "ck48 (crops), 981 faces of 118 people": 981,
        "fitted on 25060 FERPlus train faces: FERPlus valid, 3199 faces, 8 classes": 3199,
        "lfw, 1110 photos of 477 people left aside": 1110,
        "3199 new people beside 3199 FERPlus valid faces, features": 3199,
        "2000 same and 2000 different pairs": None,
    }.items():
        assert cards.counted(figure("a", what=what)) == count, what


def test_what_took_part_is_no_judge(cards):
    judged = [
        figure(
            "generated_fid_tdgan",
            what="9 generated beside 9 faces, features of the bundled tdgan's expression encoder; FID",
        ),
        figure(
            "generated_fid_dlib_resnet", what="9 generated beside 9 faces, features of dlib's identity network; FID"
        ),
        figure("verification_accuracy", what="pairs; judge: dlib_resnet on mirrored faces; accuracy"),
    ]
    keys = [each["key"] for _, each in cards.chosen(judged, "int8", ["fesr", "dlib_resnet"])]
    assert keys == ["generated_fid_tdgan"]
    assert len(cards.chosen(judged, "int8", ["fesr"])) == 3


def test_a_card_follows_from_its_files(cards, tmp_path):
    figures = [figure("tflite_int8_bytes", 905624, unit="bytes"), figure("tflite_float16_bytes", 2e6, unit="bytes")]
    folder = toy(tmp_path, [figure("ferplus_valid_accuracy", 0.8125), *figures])
    (folder / "model_float16.tflite").touch()
    card = cards.card(folder, tmp_path)
    assert (
        "| FER+ valid: accuracy |  | 81.2 % |  |" in card and "float16: size |  | 2.0 MB" in card and "int8" not in card
    )
    assert "build_zoo.py --model toy --data DIR" in card and "docs/figures" not in card
    (tmp_path / "docs/figures").mkdir(parents=True)
    (tmp_path / "docs/figures/toy.md").touch()
    assert "](../../docs/figures/toy.md)" in cards.card(folder, tmp_path)


def test_a_card_that_cannot_be_made_says_why(cards, tmp_path):
    folder = toy(tmp_path, [figure(f"x{number}") for number in range(20)], Limits="a\n" * 80)
    with pytest.raises(ValueError, match=r"toy.md: the card has \d+ lines and may have 72"):
        cards.card(folder, tmp_path)
    text(tmp_path / "scripts/cards/toy.md", Other="x")
    with pytest.raises(ValueError, match="toy.md: has the heading Other"):
        cards.card(folder, tmp_path)
    (tmp_path / "scripts/cards/toy.md").unlink()
    with pytest.raises(ValueError, match="toy.md: missing"):
        cards.card(folder, tmp_path)


def test_only_what_led_to_the_bundled_weights_took_part(cards):
    """The plan of dcganfer trains on CK+ as well, for a table of the paper; no weights of that are shipped."""
    assert cards.parts_of("dcganfer", {})[0] == ["ferplus", "lfw_expressions"]
    sets, models = cards.parts_of("g2fer", {"config": {"classifier": "dlib_resnet"}})
    assert set(sets) == {"ferplus", "lfw_expressions", "synthetic"}
    assert {"g2fer", "ipdfer", "dlib_resnet"} <= set(models)


def test_no_more_than_twelve_figures(cards):
    keys = ["ferplus_valid_accuracy", "ferplus_valid_balanced", "ck48_accuracy", "ck48_mean_recall", "london_accuracy"]
    keys += [
        "left_aside_accuracy",
        "left_aside_mean_recall",
        "valid_calibration_error",
        "twins_psnr",
        "units_aligned_auc",
    ]
    keys += ["int8_ferplus_valid_accuracy", "tflite_int8_bytes", "recognizer_weights", "network_weights"]
    rows = cards.chosen([figure(key) for key in keys], "int8", [])
    assert len(rows) == 12 and rows[0][1]["key"] == "ferplus_valid_accuracy"

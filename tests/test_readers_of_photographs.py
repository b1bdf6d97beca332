"""RAF-DB, RaFD, TFEID, BAUM-2i and TFD: grammars of names, label codes, views, folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_lines
from dataset_layouts_of_photographs import (
    RAFD_NAMES,
    TFD_EXPRESSIONS,
    tfd_fields,
    write_baum2i,
    write_baum2i_list,
    write_raf_db,
    write_raf_db_folders,
    write_rafd,
    write_tfd,
    write_tfeid,
)
from scipy.io import savemat

from kerasfer import datasets, images
from kerasfer.datasets import baum2i, raf_db, rafd, tfd, tfeid
from kerasfer.datasets.base import DatasetError
from kerasfer.datasets.reading import expression_of_path, read_face, words
from kerasfer.expressions import ACTION_UNITS, BASIC7, EXPRESSION_ACTION_UNITS, FERPLUS8, Expression
from kerasfer.splits import official_folds

E = Expression


def test_words_and_expressions_of_paths() -> None:
    codes = {"an": E.ANGER, "fe": E.FEAR}
    assert words("f01_dfh-AN++.000") == ["f01", "dfh", "an", "000"]
    assert expression_of_path("x/f01_dfh_an_000.jpg", codes) is E.ANGER
    assert expression_of_path("Angry/sub/f01.jpg", codes) is E.ANGER
    assert expression_of_path("Angry/f01_happy.jpg", codes) is E.HAPPINESS
    with pytest.raises(ValueError, match="'an_fe' tells several expressions: anger, fear"):
        expression_of_path("x/an_fe.jpg", codes)
    with pytest.raises(ValueError, match="neither its name nor a folder tells an expression"):
        expression_of_path("x/joy.jpg", codes)


def test_raf_db_codes_and_splits(tmp_path: Path) -> None:
    names = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
    assert [raf_db.CODES[str(code)].label for code in range(1, 8)] == names
    write_raf_db(tmp_path)
    table = datasets.load("raf_db", tmp_path)
    assert table.label_space is BASIC7
    assert table["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert "box" not in table
    assert datasets.load("raf_db", tmp_path / "basic", split="test")["expression"].tolist() == [E.HAPPINESS, E.FEAR]
    with pytest.raises(DatasetError, match="its splits are: train, test"):
        datasets.load("raf_db", tmp_path, split="valid")


def test_raf_db_original_images_have_a_box(tmp_path: Path) -> None:
    write_raf_db(tmp_path)
    table = datasets.load("raf_db", tmp_path, images="original")
    assert table["box"][:2].tolist() == [[1, 2, 30, 40], [3.5, 4, 43, 50]]
    assert read_face(table, 0).shape == (38, 29, 3)
    annotation = tmp_path / "basic/Annotation/boundingbox"
    write_lines(annotation / "train_00001_boundingbox.txt", ["5 5 4 9"])
    (annotation / "train_00002_boundingbox.txt").unlink()
    with pytest.raises(DatasetError, match="train_00001_boundingbox.txt: not left, top, right and bottom"):
        datasets.load("raf_db", tmp_path, images="original")
    table = datasets.load("raf_db", tmp_path, images="original", strict=False)
    assert len(table) == 4 and np.isnan(table["box"][0]).all()
    with pytest.raises(DatasetError, match="images must be one of aligned, original, not 'cropped'"):
        datasets.load("raf_db", tmp_path, images="cropped")


def test_raf_db_other_subset_and_other_folders(tmp_path: Path) -> None:
    write_raf_db(tmp_path / "a")
    (tmp_path / "a/basic").rename(tmp_path / "a/compound")
    with pytest.raises(DatasetError, match="holds only the compound subset"):
        datasets.load("raf_db", tmp_path / "a")
    write_raf_db_folders(tmp_path / "b")
    with pytest.raises(DatasetError, match="only aligned images can be read"):
        datasets.load("raf_db", tmp_path / "b", images="original")
    images.write(tmp_path / "b/DATASET/train/8/x.jpg", picture(9))
    with pytest.raises(DatasetError, match="x.jpg: folder '8' is not 1 to 7"):
        datasets.load("raf_db", tmp_path / "b")
    images.write(tmp_path / "c/some/x.jpg", picture(9))
    with pytest.raises(
        DatasetError, match="neither EmoLabel/list_patition_label.txt .* nor folders train/1 to train/7"
    ):
        datasets.load("raf_db", tmp_path / "c")


def test_rafd_grammar(tmp_path: Path) -> None:
    write_rafd(tmp_path)
    table = datasets.load("rafd", tmp_path)
    by_name = {Path(path).stem: row for row, path in enumerate(table["path"].tolist())}
    assert set(by_name) == set(RAFD_NAMES)
    expected = {
        "Rafd090_01_Caucasian_female_contemptuous_frontal": (E.CONTEMPT, "01", 0.0),
        "Rafd000_29_Moroccan_male_happy_frontal": (E.HAPPINESS, "29", 90.0),
        "Rafd045_29_Moroccan_male_neutral_right": (E.NEUTRAL, "29", 45.0),
        "Rafd135_06_Kid_female_fearful_frontal": (E.FEAR, "06", -45.0),
        "Rafd180_06_Kid_female_surprised_frontal": (E.SURPRISE, "06", -90.0),
    }
    for name, (expression, model, yaw) in expected.items():
        row = by_name[name]
        assert (table["expression"][row], table["identity"][row]) == (expression, model)
        assert table["pose"][row].tolist() == [yaw, 0, 0]
    for bad in ("Rafd060_01_Caucasian_female_angry_frontal", "Rafd090_01_Caucasian_female_angry", "thumbnail"):
        images.write(tmp_path / f"{bad}.jpg", picture(5))
        with pytest.raises(DatasetError, match=f"1 missing .*{bad}.jpg: not named as Rafd090_01_"):
            datasets.load("rafd", tmp_path)
        assert len(datasets.load("rafd", tmp_path, strict=False)) == len(RAFD_NAMES)
        (tmp_path / f"{bad}.jpg").unlink()
    images.write(tmp_path / "Rafd090_01_Caucasian_female_smile_left.jpg", picture(5))
    with pytest.raises(DatasetError, match="expression 'smile' is not one of neutral, "):
        datasets.load("rafd", tmp_path)


def test_rafd_selections_count_as_the_papers_do(tmp_path: Path) -> None:
    people, expressions = range(1, 4), ["angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad"]
    for person in people:
        for expression in [*expressions, "surprised"]:
            for angle in rafd.ANGLES:
                for gaze in rafd.GAZES:
                    name = f"Rafd{angle:03}_{person:02}_Caucasian_male_{expression}_{gaze}.jpg"
                    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xff\xd9")
    for selection, of_each in {
        "all": 8 * 3 * 5,
        "tdgan": 7 * 3,
        "dcganfer_frontal": 8 * 3,
        "dcganfer_views": 8 * 5,
    }.items():
        table = datasets.load("rafd", tmp_path, selection=selection)
        assert len(table) == 3 * of_each
        assert table.label_space is (BASIC7 if selection == "tdgan" else FERPLUS8)
    table = datasets.load("rafd", tmp_path, angles=(45, 135), gazes=["left"])
    assert len(table) == 3 * 8 * 2 and set(table["pose"][:, 0].tolist()) == {45.0, -45.0}
    with pytest.raises(DatasetError, match="angles must be one of 0, 45, 90, 135, 180, not 60"):
        datasets.load("rafd", tmp_path, angles=(60,))
    with pytest.raises(DatasetError, match="gazes must be one of left, frontal, right, not 'up'"):
        datasets.load("rafd", tmp_path, gazes=("up",))


def test_rafd_action_units_of_table_6(tmp_path: Path) -> None:
    write_rafd(tmp_path)
    assert "aus" not in datasets.load("rafd", tmp_path)
    table = datasets.load("rafd", tmp_path, action_units=True)
    for code, row in zip(table["expression"].tolist(), table["aus"]):
        present = {unit for unit, value in zip(ACTION_UNITS, row.tolist()) if value == 1}
        assert present == EXPRESSION_ACTION_UNITS[E(code)] and row.sum() == len(present)


def test_tfd_codes_and_folds(tmp_path: Path) -> None:
    assert [tfd.CODES[code].label for code in range(1, 8)] == [
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
        "neutral",
    ]
    write_tfd(tmp_path)
    table = datasets.load("tfd", tmp_path)
    assert "split" not in table and len(table) == 8
    assert table["identity"].tolist() == ["11", "12", "13", "14", "15", "16", "17", ""]
    assert table["fold"].tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    folds = official_folds(table.select(table["identity"] != ""))
    assert [len(fold.test) for fold in folds] == [2, 2, 1, 1, 1]
    first = datasets.load("tfd", tmp_path, fold=1)
    assert first["split"].tolist() == ["test", "train", "train", "train", "train", "test", "valid", "train"]
    assert datasets.load("tfd", tmp_path, fold=2, split="valid")["identity"].tolist() == ["16", ""]
    fifth = datasets.load("tfd", tmp_path, fold=5, split="test")
    np.testing.assert_array_equal(read_face(fifth, 0), picture(4))
    with pytest.raises(DatasetError, match="no official split without a fold; say fold=1 to 5"):
        datasets.load("tfd", tmp_path, split="train")
    with pytest.raises(DatasetError, match="fold must be one of 1, 2, 3, 4, 5, not 0"):
        datasets.load("tfd", tmp_path, fold=0)


def test_tfd_unlabeled_part_and_sizes(tmp_path: Path) -> None:
    write_tfd(tmp_path)
    every = datasets.load("tfd", tmp_path, unlabeled=True, fold=1)
    assert every["expression"].tolist()[-2:] == [-1, -1]
    assert every["identity"].tolist()[-2:] == ["", "99"] and every["split"].tolist()[-2:] == ["", ""]
    assert every["fold"].tolist()[-2:] == [-1, -1]
    fields = tfd_fields(96)
    fields["images"] = fields["images"].transpose(1, 2, 0)
    savemat(tmp_path / "TFD_ranzato_96x96.mat", fields)
    larger = datasets.load("tfd", tmp_path)
    np.testing.assert_array_equal(read_face(larger, 2), picture(2, 96))
    assert read_face(datasets.load("tfd", tmp_path, size=48), 0).shape == (48, 48)
    assert read_face(datasets.load("tfd", tmp_path / "TFD_48x48.mat"), 0).shape == (48, 48)
    (tmp_path / "TFD_ranzato_96x96.mat").unlink()
    with pytest.raises(DatasetError, match="holds no TFD_96x96.mat"):
        datasets.load("tfd", tmp_path, size=96)


def test_tfd_bad_files(tmp_path: Path) -> None:
    write_tfd(tmp_path)
    file = tmp_path / "TFD_48x48.mat"
    content = file.read_bytes()
    for bad in (b"", b"no", b"not MATLAB at all" * 99, content[: len(content) // 2]):
        file.write_bytes(bad)
        with pytest.raises(DatasetError, match="TFD_48x48.mat: not a readable .mat file") as error:
            datasets.load("tfd", tmp_path, strict=False)
        assert "\n" not in str(error.value)
    fields = tfd_fields()
    savemat(file, {**fields, "labs_ex": np.array([8, *TFD_EXPRESSIONS[1:]])})
    with pytest.raises(DatasetError, match="1 missing .*TFD_48x48.mat image 0: expression 8"):
        datasets.load("tfd", tmp_path)
    assert datasets.load("tfd", tmp_path, strict=False)["identity"].tolist() == ["12", "13", "14", "15", "16", "17", ""]
    savemat(file, {name: fields[name] for name in ("images", "labs_id")})
    with pytest.raises(DatasetError, match="has no labs_ex, folds"):
        datasets.load("tfd", tmp_path)
    savemat(file, {**fields, "folds": fields["folds"][:, :4]})
    with pytest.raises(DatasetError, match=r"folds \(10, 4\) are not uint8 \(n, size, size\)"):
        datasets.load("tfd", tmp_path)


def test_tfeid_names(tmp_path: Path) -> None:
    write_tfeid(tmp_path)
    table = datasets.load("tfeid", tmp_path)
    assert table.label_space is BASIC7
    assert table["identity"].tolist() == ["f01", "m02", "f01", "f01", "m02"]
    assert datasets.load("tfeid", tmp_path, contempt=True)["expression"].tolist().count(E.CONTEMPT) == 1
    slight = datasets.load("tfeid", tmp_path, intensity="slight")
    assert slight["expression"].tolist() == [E.NEUTRAL, E.ANGER, E.SURPRISE]
    images.write(tmp_path / "high/m03_hp.jpg", picture(8))
    with pytest.raises(DatasetError, match="m03_hp.jpg: neither its name nor a folder tells an expression"):
        datasets.load("tfeid", tmp_path)
    assert E.HAPPINESS in datasets.load("tfeid", tmp_path, codes={"HP": "happy"})["expression"]
    with pytest.raises(DatasetError, match="tfeid: codes: 'joy' is not in label space 'ferplus8'"):
        datasets.load("tfeid", tmp_path, codes={"hp": "joy"})
    with pytest.raises(DatasetError, match="intensity must be one of high, slight, not 'low'"):
        datasets.load("tfeid", tmp_path, intensity="low")
    assert all(tfeid.CODES[code].label.startswith(code) for code in tfeid.CODES)


def test_names_that_tell_no_person_leave_the_identity_empty(tmp_path: Path) -> None:
    images.write(tmp_path / "Angry/picture.jpg", picture(0))
    images.write(tmp_path / "Smile/picture.jpg", picture(1))
    with pytest.raises(DatasetError, match="expression 'smile' is not one of neutral, "):
        datasets.load("tfeid", tmp_path)
    for name in ("tfeid", "baum2i"):
        table = datasets.load(name, tmp_path, strict=False)
        assert table["identity"].tolist() == [""] and table["expression"].tolist() == [E.ANGER]


def test_baum2i_names_and_lists(tmp_path: Path) -> None:
    assert all(baum2i.CODES[code].label.startswith(code) for code in baum2i.CODES)
    write_baum2i(tmp_path / "names")
    table = datasets.load("baum2i", tmp_path / "names", contempt=True)
    assert table["identity"].tolist() == ["s001", "s002", "s001", "s003"]
    assert table["expression"].tolist() == [E.ANGER, E.CONTEMPT, E.HAPPINESS, E.SADNESS]
    write_lines(tmp_path / "names/other.csv", ["a,b", "1,2"])
    assert len(datasets.load("baum2i", tmp_path / "names")) == 3
    with pytest.raises(DatasetError, match="other.csv: its first line must name a column of images"):
        datasets.load("baum2i", tmp_path / "names", annotations="other.csv")
    with pytest.raises(DatasetError, match="none.csv: no such file"):
        datasets.load("baum2i", tmp_path / "names", annotations="none.csv")
    write_baum2i_list(tmp_path / "list")
    table = datasets.load("baum2i", tmp_path / "list")
    assert table["identity"].tolist() == ["12", "13"] and table.label_space is BASIC7
    text = (tmp_path / "list/Annotations.csv").read_text()
    (tmp_path / "list/Annotations.csv").write_text(text.replace(",", ";"))
    assert datasets.load("baum2i", tmp_path / "list")["identity"].tolist() == ["12", "13"]
    write_lines(
        tmp_path / "list/numbers.csv", ["image,label", "clip_1.png,7", "clip_3.png,2", "clip_9.png,2", "clip_2"]
    )
    options = {"annotations": "numbers.csv", "codes": {"7": "fear", "2": "sadness"}}
    with pytest.raises(DatasetError, match="2 missing .*numbers.csv line 5: too few cells; .*clip_9.png: missing"):
        datasets.load("baum2i", tmp_path / "list", **options)
    table = datasets.load("baum2i", tmp_path / "list", strict=False, **options)
    assert table["expression"].tolist() == [E.FEAR, E.SADNESS]

"""What is particular to the sets of films and of the web: SFEW, AffectNet and CelebA."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_lines
from dataset_layouts_of_the_web import (
    AFFECTNET_HEADER,
    AFFECTNET_POINTS,
    CELEBA_ATTRIBUTES,
    affectnet_line,
    write_affectnet,
    write_affectnet_arrays,
    write_celeba,
    write_celeba_lists,
    write_sfew,
    write_sfew_1,
)

from kerasfer import datasets, images
from kerasfer.datasets import affectnet, celeba, sfew
from kerasfer.datasets.base import DatasetError
from kerasfer.datasets.reading import read_face
from kerasfer.expressions import BASIC7, FERPLUS8, Expression

E = Expression
LISTS = "Manually_Annotated_file_lists"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("Train/Angry/a.png", ("train", -1, False)),
        ("SFEW_2/Train/Train_Aligned_Faces/Angry/a.png", ("train", -1, True)),
        ("Val_Aligned_Faces_new/Happy/a.png", ("valid", -1, True)),
        ("Validation/Happy/a.png", ("valid", -1, False)),
        ("Testing/a.png", ("test", -1, False)),
        ("SFEW/Set 2/Sad/a.png", ("", 2, False)),
        ("set_1/Sad/a.png", ("", 1, False)),
        ("Trainers/Sad/a.png", ("", -1, False)),
    ],
)
def test_sfew_folders(path: str, place: tuple[str, int, bool]) -> None:
    assert sfew.place_of(path) == place


def test_sfew_columns(tmp_path: Path) -> None:
    write_sfew(tmp_path)
    table = datasets.load("sfew", tmp_path)
    assert table.label_space is BASIC7
    assert table["split"].tolist() == ["test", "train", "train", "valid"]
    assert table["sequence"][2] == "About_a_Boy_000137540" and table["frame"].tolist() == [18, 5, 12, 29]
    frames = datasets.load("sfew", tmp_path, faces="original")
    assert frames["expression"].tolist() == [E.ANGER, E.FEAR] and set(frames["split"]) == {"train"}
    shutil.rmtree(tmp_path / "Train/Train_Aligned_Faces")
    assert datasets.load("sfew", tmp_path)["expression"].tolist() == [-1, E.ANGER, E.FEAR, E.SADNESS]
    with pytest.raises(DatasetError, match="holds no aligned images of split 'train'"):
        datasets.load("sfew", tmp_path, split="train", faces="aligned")
    with pytest.raises(DatasetError, match="faces must be one of auto, aligned, original"):
        datasets.load("sfew", tmp_path, faces="cropped")


def test_sfew_1_columns(tmp_path: Path) -> None:
    write_sfew_1(tmp_path)
    table = datasets.load("sfew", tmp_path)
    assert "split" not in table and table["fold"].tolist() == [1, 2, 2]
    assert table["sequence"].tolist() == ["Hangover_000231240", "Juno_004500960", ""]
    assert table["frame"].tolist() == [16, 29, -1]


@pytest.mark.parametrize("name", ["Train/Joy/a.png", "Train/Contempt/a.png", "Train/a.png", "Anger/a.png"])
def test_sfew_other_folders(tmp_path: Path, name: str) -> None:
    write_sfew_1(tmp_path)
    images.write(tmp_path / name, picture(9))
    with pytest.raises(DatasetError, match="a.png: stands in no folder of an expression"):
        datasets.load("sfew", tmp_path)
    assert len(datasets.load("sfew", tmp_path, strict=False)) == 3


def test_affectnet_codes() -> None:
    assert [expression.label for expression in affectnet.EXPRESSIONS] == [
        "neutral",
        "happiness",
        "sadness",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "contempt",
    ]
    assert affectnet.CLASSES == {7: BASIC7, 8: FERPLUS8}
    assert ",".join(affectnet.HEADER) == AFFECTNET_HEADER


def test_affectnet_lists(tmp_path: Path) -> None:
    write_affectnet(tmp_path)
    table = datasets.load("affectnet", tmp_path)
    assert table.label_space is FERPLUS8
    assert table["path"][0] == "Manually_Annotated_Images/103/aa.jpg"
    assert table["split"].tolist() == ["train"] * 4 + ["valid"] * 2
    assert table["box"][0].tolist() == [2, 3, 22, 27] and np.isnan(table["box"][3]).all()
    assert read_face(table, 0).shape == (24, 20, 3) and read_face(table, 3).shape == (40, 40, 3)
    np.testing.assert_array_equal(table["landmarks"][0].ravel(), AFFECTNET_POINTS)
    assert table["landmarks"][0, 1].tolist() == [0.5, 0.75] and np.isnan(table["landmarks"][3]).all()
    seven = datasets.load("affectnet", tmp_path, classes=7)
    assert seven.label_space is BASIC7 and seven["expression"].tolist() == [E.FEAR, 1, E.SADNESS, E.SURPRISE, E.ANGER]
    with pytest.raises(DatasetError, match="classes must be one of 7, 8, not 11"):
        datasets.load("affectnet", tmp_path, classes=11)


@pytest.mark.parametrize(
    ("lists", "folder"),
    [
        ("", "Manually_Annotated_Images"),
        (LISTS, "Manually_Annotated/Manually_Annotated_Images"),
        ("", "."),
        (LISTS, "."),
    ],
)
def test_affectnet_folders(tmp_path: Path, lists: str, folder: str) -> None:
    write_affectnet(tmp_path / "old")
    shutil.copytree(tmp_path / "old/Manually_Annotated_Images", tmp_path / "new" / folder, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "old" / LISTS, tmp_path / "new" / lists, dirs_exist_ok=True)
    assert len(datasets.load("affectnet", tmp_path / "new")) == 6


def test_affectnet_bad_lines(tmp_path: Path) -> None:
    write_affectnet(tmp_path)
    file = tmp_path / LISTS / "training.csv"
    lines = [
        AFFECTNET_HEADER,
        affectnet_line("103/aa.jpg", 4),
        "103/aa.jpg,1,2,3",
        affectnet_line("103/aa.jpg", 4, box="1,2,x,4"),
        affectnet_line("103/aa.jpg", 4, box="1,2,0,4"),
        affectnet_line("103/aa.jpg", 4).replace("0.0;", "", 1),
        affectnet_line("103/aa.jpg", 4).replace(",4,0.25", ",fear,0.25"),
        affectnet_line("103\\bb.jpg", 7),
    ]
    write_lines(file, lines)
    with pytest.raises(DatasetError) as error:
        datasets.load("affectnet", tmp_path)
    message = str(error.value)
    for part in ("5 missing", "line 3: 4 cells instead of 9", "line 4: could not", "line 5: a face of 0 x 4 pixels"):
        assert part in message
    assert "line 6: 135 numbers in facial_landmarks" in message and "line 7: expression 'fear' is not a code" in message
    assert datasets.load("affectnet", tmp_path, split="train", strict=False)["expression"].tolist() == [E.FEAR, 7]
    write_lines(file, [AFFECTNET_HEADER.replace("face_x", "x"), *lines[1:]])
    with pytest.raises(DatasetError, match="names no column face_x"):
        datasets.load("affectnet", tmp_path)


def test_affectnet_arrays(tmp_path: Path) -> None:
    write_affectnet_arrays(tmp_path)
    table = datasets.load("affectnet", tmp_path)
    assert "box" not in table
    assert table["path"][1] == "train_set/images/12.jpg"
    assert table["split"].tolist() == ["train", "train", "train", "valid"]
    np.testing.assert_array_equal(table["landmarks"][1].ravel(), AFFECTNET_POINTS + 1)
    assert np.isnan(table["landmarks"][2]).all()
    assert datasets.load("affectnet", tmp_path, classes=7)["expression"].tolist() == [E.ANGER, E.SURPRISE, E.NEUTRAL]
    for code in (np.array(6), np.array([6.0]), np.array(b"6"), np.array("8")):
        np.save(tmp_path / "train_set/annotations/0_exp.npy", code)
        codes = datasets.load("affectnet", tmp_path, split="train")["expression"].tolist()
        assert codes == ([] if code == np.array("8") else [E.ANGER]) + [E.CONTEMPT, E.SURPRISE]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("0_exp", np.array("11"), "expression '11' is not a code"),
        ("0_exp", np.array({"label": 6}, dtype=object), "Object arrays cannot be loaded"),
        ("0_exp", np.zeros(2), "2 values instead of 1"),
        ("0_exp", None, "has no annotations/0_exp.npy"),
        ("0_exp", b"6", "not a .npy file"),
        ("0_lnd", b"", "not a .npy file"),
        ("0_lnd", np.zeros(134), "134 values instead of 136"),
        ("0_lnd", np.array(["x"] * 136), "could not convert"),
        ("99_exp", np.array("1"), "missing"),
    ],
)
def test_affectnet_bad_arrays(tmp_path: Path, name: str, content: np.ndarray | bytes | None, message: str) -> None:
    write_affectnet_arrays(tmp_path)
    file = tmp_path / "train_set/annotations" / f"{name}.npy"
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content, allow_pickle=True)
    with pytest.raises(DatasetError, match=f"1 missing.*{message}") as error:
        datasets.load("affectnet", tmp_path)
    assert "\n" not in str(error.value) and name.partition("_")[0] in str(error.value)
    table = datasets.load("affectnet", tmp_path, strict=False)
    assert len(table.rejected) == 1 and len(table) == (4 if name == "99_exp" else 3)


def test_celeba_columns(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    table = datasets.load("celeba", tmp_path)
    assert table["split"].tolist() == ["train", "train", "valid", "test"]
    assert table["identity"].tolist() == ["2880", "2937", "2880", "8692"]
    assert (table["expression"] == -1).all()
    assert datasets.load("celeba", tmp_path, count=2)["path"][1] == "Img/img_align_celeba/000002.jpg"
    part = table.select([3, 1])
    names, values = celeba.attributes(tmp_path, part)
    assert names == CELEBA_ATTRIBUTES
    assert values.tolist() == [[False, True, True], [False, True, True]]
    assert celeba.attributes(tmp_path, table.select([0]))[1].tolist() == [[False, False, True]]
    points = celeba.five_points(tmp_path, part)
    assert points.shape == (2, 5, 2) and points[0].tolist() == [[69, 109], [106, 113], [77, 142], [73, 152], [108, 153]]
    with pytest.raises(DatasetError, match="count must be at least 1"):
        datasets.load("celeba", tmp_path, count=0)


def test_celeba_without_lists_and_with_the_archive(tmp_path: Path) -> None:
    write_celeba(tmp_path / "all")
    shutil.copytree(tmp_path / "all/Img", tmp_path / "images")
    bare = datasets.load("celeba", tmp_path / "images")
    assert list(bare.columns) == ["path", "expression"] and len(bare) == 4
    with pytest.raises(DatasetError, match="list_eval_partition.txt: no such file; add it"):
        datasets.load("celeba", tmp_path / "images", split="train")
    with pytest.raises(DatasetError, match="list_attr_celeba.txt: no such file"):
        celeba.attributes(tmp_path / "images", bare)
    archived = tmp_path / "archived"
    write_celeba_lists(archived)
    shutil.make_archive(str(archived / "Img/img_align_celeba"), "zip", tmp_path / "all/Img", "img_align_celeba")
    table = datasets.load("celeba", archived, split="valid")
    assert table["path"].tolist() == ["img_align_celeba/000003.jpg"]
    np.testing.assert_array_equal(
        images.decode(table.read(0)), images.read(tmp_path / "all/Img/img_align_celeba/000003.jpg")
    )
    assert celeba.attributes(archived, table)[1].shape == (1, 3)


def test_celeba_lists_as_csv(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    for file in [*(tmp_path / "Anno").iterdir(), *(tmp_path / "Eval").iterdir()]:
        lines = [",".join(line.split()) for line in file.read_text().splitlines() if len(line.split()) > 1]
        if not lines[0].startswith("0"):
            lines[0] = f"image_id,{lines[0]}"
        else:
            lines.insert(0, "image_id,partition")
        write_lines(file.with_suffix(".csv"), lines)
        file.unlink()
    table = datasets.load("celeba", tmp_path)
    assert table["split"].tolist() == ["train", "train", "valid", "test"] and table["identity"][3] == "8692"
    assert celeba.attributes(tmp_path, table)[0] == CELEBA_ATTRIBUTES


def test_celeba_bad_lines(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    partition, people = tmp_path / "Eval/list_eval_partition.txt", tmp_path / "Anno/identity_CelebA.txt"
    write_lines(partition, ["000001.jpg 0", "000002.jpg 3", "000003.jpg 1", "000005.jpg 0"])
    write_lines(people, ["000001.jpg 7", "000002.jpg", "000003.jpg 8"])
    with pytest.raises(DatasetError) as error:
        datasets.load("celeba", tmp_path)
    for part in ("3 missing", "line 2: unknown code '3'", "line 2: not an image and a number", "000005.jpg: missing"):
        assert part in str(error.value)
    table = datasets.load("celeba", tmp_path, strict=False)
    assert table["split"].tolist() == ["train", "", "valid", ""] and table["identity"].tolist() == ["7", "", "8", ""]
    attributes = tmp_path / "Anno/list_attr_celeba.txt"
    lines = attributes.read_text().splitlines()
    write_lines(attributes, lines[:4])
    with pytest.raises(DatasetError, match="has no line for 000003.jpg"):
        celeba.attributes(tmp_path, table)
    write_lines(attributes, [*lines[:4], "000003.jpg 1 x 1"])
    with pytest.raises(DatasetError, match="as many numbers as the header names"):
        celeba.attributes(tmp_path, table)

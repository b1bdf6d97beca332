"""What is particular to one reader, and FER+'s rules worked by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import (
    FERPLUS_HEADER,
    picture,
    write_casia,
    write_csv,
    write_ferplus,
    write_ferplus_pixels,
    write_lfw,
    write_lines,
)

from kerasfer import datasets, images
from kerasfer.datasets.base import DatasetError
from kerasfer.datasets.ferplus import majority_expressions, usable_distributions
from kerasfer.datasets.lfw_expressions import BOX
from kerasfer.datasets.reading import prepare_faces, read_face
from kerasfer.expressions import FERPLUS8, Expression
from kerasfer.faces import ImageSpec

E = Expression


def test_majority_rule() -> None:
    votes = [
        [0, 9, 0, 0, 0, 0, 0, 0, 1, 0],  # clear
        [5, 0, 0, 0, 0, 0, 0, 1, 4, 0],  # 5 of the 9 left
        [5, 0, 0, 0, 0, 0, 0, 0, 5, 0],  # 5 of 10: not more than half
        [4, 0, 1, 1, 1, 1, 1, 1, 0, 0],  # all else is outliers: 4 of 4
        [4, 0, 2, 2, 2, 0, 0, 0, 0, 0],  # 4 of 10
        [3, 0, 0, 0, 0, 0, 0, 0, 7, 0],  # unknown
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nothing is left
        [0, 0, 0, 0, 0, 0, 0, 6, 0, 4],  # 6 of 10
    ]
    expected = [E.HAPPINESS, E.NEUTRAL, -1, E.NEUTRAL, -1, -1, -1, -1, E.CONTEMPT]
    assert majority_expressions(np.array(votes)).tolist() == expected
    usable = [True, True, False, True, True, False, False, False, True]
    assert usable_distributions(np.array(votes)).tolist() == usable


def test_ferplus_columns(tmp_path: Path) -> None:
    write_ferplus(tmp_path)
    table = datasets.load("ferplus", tmp_path)
    assert table["split"].tolist() == ["train", "train", "valid", "test"]
    assert table.label_space is FERPLUS8
    assert table["votes"].tolist() == [
        [0, 9, 0, 0, 0, 0, 0, 0],
        [5, 4, 0, 0, 0, 0, 0, 0],
        [0, 0, 8, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 10, 0, 0, 0],
    ]
    probability = datasets.load("ferplus", tmp_path, labels="probability")
    assert probability["expression"].tolist() == [1, 0, -1, 2, 4]
    assert probability["votes"][2].tolist() == [5, 5, 0, 0, 0, 0, 0, 0]
    with pytest.raises(DatasetError, match="majority or probability"):
        datasets.load("ferplus", tmp_path, labels="mean")


def test_ferplus_layouts_hold_the_same_pictures(tmp_path: Path) -> None:
    write_ferplus(tmp_path / "images")
    write_ferplus(tmp_path / "checkout" / "data")
    (tmp_path / "checkout" / "data" / "fer2013new.csv").rename(tmp_path / "checkout" / "fer2013new.csv")
    write_ferplus_pixels(tmp_path / "pixels")
    tables = [datasets.load("ferplus", tmp_path / name) for name in ("images", "checkout", "pixels")]
    expected = np.stack([picture(number) for number in (0, 1, 4, 5)])[..., None]
    for table in tables:
        np.testing.assert_array_equal(prepare_faces(table, ImageSpec(48)), expected)


def test_ferplus_pixels_out_of_step_or_bad(tmp_path: Path) -> None:
    write_ferplus_pixels(tmp_path)
    file = tmp_path / "fer2013.csv"
    lines = file.read_text().splitlines()
    write_lines(file, [lines[0], *lines[2:]])
    with pytest.raises(DatasetError, match="same images in the same order"):
        datasets.load("ferplus", tmp_path)
    write_lines(file, [*lines[:5], lines[5].replace(" ", " 999 ", 1), *lines[6:]])
    with pytest.raises(DatasetError, match=r"fer2013.csv line 6: not 2304 pixels"):
        datasets.load("ferplus", tmp_path)
    write_lines(file, [lines[0], lines[1], lines[2].rpartition(" ")[0] + ",Training", *lines[3:-1]])
    table = datasets.load("ferplus", tmp_path, strict=False)
    assert table["expression"].tolist() == [E.HAPPINESS, E.SURPRISE]
    assert [entry.path.rpartition(" ")[2] for entry in table.rejected] == ["3", "7"]


def test_ferplus_says_what_is_missing(tmp_path: Path) -> None:
    write_ferplus(tmp_path)
    for file in (tmp_path / "FER2013Test").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="neither FER2013Test/ nor fer2013.csv"):
        datasets.load("ferplus", tmp_path)
    text = [FERPLUS_HEADER, "Training,fer0000000.png,0,9,0,0,0,0,0,0,1,0"]
    write_lines(tmp_path / "fer2013new.csv", text)
    with pytest.raises(DatasetError, match="lists no images of split 'test'"):
        datasets.load("ferplus", tmp_path, split="test")
    write_lines(tmp_path / "fer2013new.csv", ["a,b", *text[1:]])
    with pytest.raises(DatasetError, match="first line must be Usage,Image name,neutral"):
        datasets.load("ferplus", tmp_path)
    (tmp_path / "fer2013new.csv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(DatasetError, match="not a UTF-8 text file"):
        datasets.load("ferplus", tmp_path)


def test_lfw_columns(tmp_path: Path) -> None:
    write_lfw(tmp_path)
    table = datasets.load("lfw_expressions", tmp_path)
    assert table["identity"].tolist() == ["A_B", "A_B", "C_D"]
    assert table["box"].tolist() == [list(BOX)] * 3
    face = read_face(table, 0)
    whole = images.read(tmp_path / "A_B" / "A_B_0001.jpg")
    np.testing.assert_array_equal(face, whole[4:158, 4:158])


def test_casia_first_identities(tmp_path: Path) -> None:
    write_casia(tmp_path)
    table = datasets.load("casia_webface", tmp_path, identities=2)
    assert table["identity"].tolist() == ["0000045", "0000045", "0000099"]
    assert (table["expression"] == -1).all()
    (tmp_path / "0000100" / "003.jpg").write_bytes(b"bad")
    assert len(datasets.load("casia_webface", tmp_path, identities=2)) == 3
    with pytest.raises(DatasetError, match="4 people asked for, there are 3"):
        datasets.load("casia_webface", tmp_path, identities=4)
    images.write(tmp_path / "anger" / "a.png", picture(0))
    with pytest.raises(DatasetError, match="'anger'"):
        datasets.load("casia_webface", tmp_path)


def test_folder_of_people_and_of_codes(tmp_path: Path) -> None:
    for number, name in enumerate(["1/a.png", "1/b.png", "2/a.png"]):
        images.write(tmp_path / name, picture(number))
    with pytest.raises(DatasetError, match="unknown expression '1'"):
        datasets.load("folder", tmp_path)
    people = datasets.load("folder", tmp_path, classes="identity")
    assert people["identity"].tolist() == ["1", "1", "2"]
    coded = datasets.load("folder", tmp_path, classes={"1": "surprise", "2": "fear"})
    assert coded["expression"].tolist() == [E.SURPRISE, E.SURPRISE, E.FEAR]
    assert coded.label_space.labels == ("surprise", "fear")
    with pytest.raises(DatasetError, match="class '2' is not in the mapping"):
        datasets.load("folder", tmp_path, classes={"1": "surprise"})


def test_parts_may_stand_in_the_classes(tmp_path: Path) -> None:
    for name in ("happy/train/1", "happy/test/2", "sad/Training set/3", "sad/val/4"):
        images.write(tmp_path / "set" / f"{name}.png", np.zeros((8, 8), np.uint8))
    table = datasets.load("folder", tmp_path / "set")
    assert table["split"].tolist() == ["test", "train", "train", "valid"]
    assert table.class_names().tolist() == ["happiness", "happiness", "sadness", "sadness"]
    with pytest.raises(DatasetError, match="happy: 'test', 'train' hold images and no folders of classes; put them in"):
        datasets.load("folder", tmp_path / "set" / "happy")


@pytest.mark.parametrize(
    ("cell", "part"),
    [("Train ", "train"), ("TRAINING", "train"), ("Public Test", "valid"), ("val", "valid"), ("Private_Test", "test")],
)
def test_parts_in_a_csv_file(cell: str, part: str, tmp_path: Path) -> None:
    images.write(tmp_path / "1.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "labels.csv").write_text(f"path,expression,split\n1.png,happy,{cell}\n")
    assert datasets.load("csv", tmp_path)["split"].tolist() == [part]


def test_csv_columns(tmp_path: Path) -> None:
    write_csv(tmp_path)
    table = datasets.load("csv", tmp_path / "labels.csv")
    assert table["identity"].tolist() == ["anna", "", ""]
    assert table["box"][0].tolist() == [1, 2, 30.5, 31] and np.isnan(table["box"][1]).all()
    assert table["landmarks"][0, 67].tolist() == [67.0, 67.5]
    assert table["votes"].sum(1).tolist() == [10, 0, 0]
    assert table["split"].tolist() == ["train", "valid", "test"]
    assert table["fold"].tolist() == [3, -1, -1] and table["frame"].tolist() == [7, -1, -1]
    assert read_face(table, 0).shape == (29, 30, 3)
    assert read_face(table, 1).shape == (40, 40, 3)


def test_csv_bad_cells_and_columns(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", picture(0))
    file = tmp_path / "mine.csv"
    write_lines(file, ["path,box", "a.png,1 2 3", "a.png,1 2 3 x", "a.png,1 2 3 4,5", "a.png,1 2 30 40"])
    with pytest.raises(DatasetError, match=r"3 missing .*line 2: column box: 3 numbers instead of 4"):
        datasets.load("csv", file)
    table = datasets.load("csv", tmp_path, file="mine.csv", strict=False)
    assert len(table) == 1 and len(table.rejected) == 3
    write_lines(file, ["path,mood", "a.png,good"])
    with pytest.raises(DatasetError, match="not 'mood'"):
        datasets.load("csv", file)
    write_lines(file, ["path,expression", "a.png,42"])
    with pytest.raises(DatasetError, match="unknown expression 42"):
        datasets.load("csv", file)
    with pytest.raises(DatasetError, match="no column split"):
        datasets.load("csv", file, split="train")


@pytest.fixture(scope="module")
def shared_data() -> Path:
    folder = os.environ.get("KERASFER_DATA")
    if not folder:
        pytest.skip("KERASFER_DATA does not name the folder with ferplus.zip and lfw_expressions.zip")
    return Path(folder)


def test_ferplus_counts_of_the_paper(shared_data: Path) -> None:
    table = datasets.load("ferplus", shared_data / "ferplus.zip")
    assert len(table.where(split="train")) == 25060
    assert len(table.where(split="valid")) == 3199
    assert not table.rejected
    assert len(datasets.load("ferplus", shared_data / "ferplus.zip", split="valid")) == 3199
    assert list(table.counts().values()) == [9922, 8152, 3564, 3365, 2387, 143, 594, 132]


def test_ferplus_probability_counts(shared_data: Path) -> None:
    table = datasets.load("ferplus", shared_data / "ferplus.zip", split="valid", labels="probability")
    assert (len(table), int((table["expression"] >= 0).sum())) == (3555, 3199)


def test_lfw_counts(shared_data: Path) -> None:
    table = datasets.load("lfw_expressions", shared_data / "lfw_expressions.zip")
    assert len(table) == 11095 and not table.rejected
    assert list(table.counts().values()) == [5852, 4593, 311, 106, 206, 11, 9, 7]
    assert prepare_faces(table, ImageSpec(24, 3), range(32)).shape == (32, 24, 24, 3)

"""LFW's photographs, CK+ crops and the London set: boxes by size, labels of another set, names, and where faces lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_ck48, write_lfw, write_lfw_photographs, write_london
from test_apps import app
from test_reader_contract import zipped

from kerasfer import datasets, images
from kerasfer.datasets import london
from kerasfer.datasets.base import DatasetError
from kerasfer.datasets.reading import prepare_faces, read_face
from kerasfer.expressions import CK_PLUS7, UNKNOWN, Expression
from kerasfer.faces import ImageSpec

E = Expression


def test_the_box_of_lfw_goes_by_the_size_of_the_image(tmp_path: Path) -> None:
    write_lfw_photographs(tmp_path)
    table = datasets.load("lfw", tmp_path)
    assert table["box"][0].tolist() == [67, 68, 183, 184]
    assert table["box"][1].tolist() == table["box"][2].tolist() == [26, 27, 142, 143]
    assert np.isnan(table["box"][3]).all() and read_face(table, 3).shape == (100, 100, 3)
    whole = picture(7, 250, 3)
    images.write(tmp_path / "A_B" / "A_B_0001.png", whole)
    images.write(tmp_path / "A_B" / "A_B_0002.png", whole[41:209, 41:209])
    for name in ("A_B_0001.jpg", "A_B_0002.jpg"):
        (tmp_path / "A_B" / name).unlink()
    table = datasets.load("lfw", tmp_path)
    np.testing.assert_array_equal(read_face(table, 0), whole[68:184, 67:183])
    np.testing.assert_array_equal(read_face(table, 1), whole[68:184, 67:183])


def test_expressions_of_lfw_join_by_name(tmp_path: Path) -> None:
    write_lfw_photographs(tmp_path / "data/lfw_color")
    write_lfw(tmp_path / "elsewhere/lfw_expressions")
    root = tmp_path / "data/lfw_color"
    joined = [E.HAPPINESS, E.NEUTRAL, E.ANGER, UNKNOWN]
    assert datasets.load("lfw", root)["expression"].tolist() == [UNKNOWN] * 4
    table = datasets.load("lfw", root, expressions=tmp_path / "elsewhere/lfw_expressions")
    assert table["expression"].tolist() == joined
    assert table["identity"].tolist() == ["A_B", "A_B", "C_D", "C_D"]
    zipped(tmp_path / "elsewhere", tmp_path / "data/lfw_expressions.zip")
    assert datasets.load("lfw", root)["expression"].tolist() == joined
    assert datasets.load("lfw", root, expressions=None)["expression"].tolist() == [UNKNOWN] * 4
    shutil.move(tmp_path / "elsewhere/lfw_expressions", tmp_path / "data/lfw_expressions")
    assert datasets.load("lfw", root)["expression"].tolist() == joined
    with pytest.raises(DatasetError, match="nowhere: no such folder or zip"):
        datasets.load("lfw", root, expressions=tmp_path / "nowhere")


def test_bad_labels_and_names_of_lfw_are_said(tmp_path: Path) -> None:
    write_lfw_photographs(tmp_path / "lfw")
    write_lfw(tmp_path / "lfw_expressions")
    labels = tmp_path / "lfw_expressions/labels.csv"
    labels.write_text(labels.read_text().replace("C_D,anger", "C_D,rage"))
    with pytest.raises(DatasetError, match="labels.csv line 4: unknown expression 'rage'"):
        datasets.load("lfw", tmp_path / "lfw")
    table = datasets.load("lfw", tmp_path / "lfw", strict=False)
    assert table["expression"].tolist() == [E.HAPPINESS, E.NEUTRAL, UNKNOWN, UNKNOWN] and len(table.rejected) == 1
    (tmp_path / "lfw/A_B/A_B_0001.jpg").rename(tmp_path / "lfw/A_B/C_D_0009.jpg")
    with pytest.raises(DatasetError, match="C_D_0009.jpg: not named like AJ_Cook/AJ_Cook_0001.jpg"):
        datasets.load("lfw", tmp_path / "lfw", expressions=None)


def test_ck48_tells_subject_sequence_and_frame(tmp_path: Path) -> None:
    write_ck48(tmp_path)
    table = datasets.load("ck48", tmp_path)
    assert table.label_space is CK_PLUS7 and "box" not in table
    assert table["identity"].tolist() == ["S010", "S010", "S138", "S010"]
    assert table["sequence"].tolist() == ["S010_004", "S010_004", "S138_008", "S010_006"]
    assert table["frame"].tolist() == [17, 18, 9, 13]


def test_bad_names_and_folders_of_ck48_are_said(tmp_path: Path) -> None:
    write_ck48(tmp_path)
    images.write(tmp_path / "CK+48/neutral/S010_001_00000001.png", picture(5))
    images.write(tmp_path / "CK+48/anger/face.png", picture(6))
    images.write(tmp_path / "CK+48/fear/S010_004_00000019.png", picture(7))
    with pytest.raises(DatasetError) as error:
        datasets.load("ck48", tmp_path)
    for part in ("'neutral' is not one of", "face.png: not named", "sequence S010_004 stands in anger too"):
        assert part in str(error.value)
    table = datasets.load("ck48", tmp_path, strict=False)
    assert len(table) == 4 and len(table.rejected) == 3


def test_london_has_two_expressions_a_box_and_a_credit(tmp_path: Path) -> None:
    write_london(tmp_path)
    table = datasets.load("london", tmp_path)
    assert table.label_space.labels == ("neutral", "happiness")
    assert table["identity"].tolist() == ["001", "002", "001"]
    np.testing.assert_allclose(table["box"][:2, 0], [256 * 0.297, 512 * 0.297])
    assert "CC BY 4.0" in london.CREDIT and london.CREDIT in datasets.card("london")
    (tmp_path / "smiling_front/001_08.jpg").rename(tmp_path / "smiling_front/001_03.jpg")
    with pytest.raises(DatasetError, match=r"001_03.jpg: not named like 001_08.jpg"):
        datasets.load("london", tmp_path)
    with pytest.raises(DatasetError, match="holds neither of the folders neutral_front and smiling_front"):
        datasets.load("london", tmp_path / "neutral_front")


@pytest.mark.parametrize(("name", "file"), [("lfw", "lfw_color"), ("ck48", "CK+48"), ("london", "london")])
def test_a_set_is_found_under_every_name_it_goes_by(name: str, file: str, tmp_path: Path) -> None:
    assert app("common").locate(name, str(tmp_path)) == tmp_path and datasets.find(name, tmp_path) is None
    (tmp_path / f"{file}.zip").touch()
    assert app("common").locate(name, str(tmp_path)) == tmp_path / f"{file}.zip"
    (tmp_path / name).mkdir(exist_ok=True)
    assert datasets.find(name, tmp_path) == tmp_path / name
    assert app("common").locate(name, None) is None


def _real(name: str) -> datasets.FaceTable:
    folder = os.environ.get("KERASFER_DATA")
    root = folder and datasets.find(name, folder)
    if not root:
        pytest.skip(f"KERASFER_DATA does not name a folder with {name}")
    return datasets.load(name, root)


@pytest.mark.parametrize("name", ["lfw", "lfw_expressions", "ck48", "london"])
def test_faces_lie_as_in_ferplus(name: str) -> None:
    from kerasfer.detection import FERPLUS_TEMPLATE, align_table, detect
    from kerasfer.detection.alignment import parts

    table = _real(name)
    table = table.select(np.arange(len(table))[:: len(table) // 40][:40])
    by_box = prepare_faces(table, ImageSpec(96, 3))
    by_landmarks = prepare_faces(align_table(table, 96, 3), ImageSpec(96, 3))
    for faces, tolerance in ((by_box, 0.03), (by_landmarks, 0.03)):
        found = [detect(face)[:1] for face in faces]
        places = [parts(face[0].landmarks) / 96 for face in found if face and face[0].landmarks is not None]
        assert len(places) >= 36
        np.testing.assert_allclose(np.median(places, 0), FERPLUS_TEMPLATE.points, atol=tolerance)


@pytest.mark.parametrize("name", ["lfw", "ck48", "london"])
def test_what_is_read_is_complete(name: str) -> None:
    report = datasets.check(name, datasets.find(name, os.environ["KERASFER_DATA"])) if _real(name) else None
    assert report.complete

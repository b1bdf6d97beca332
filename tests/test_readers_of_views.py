"""What is particular to the sets of many views: KDEF, Multi-PIE, BU-3DFE and the rendering of its models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_lines
from dataset_layouts_of_views import (
    PYRAMID,
    pyramid_vrml,
    write_bu3dfe,
    write_bu3dfe_model,
    write_kdef,
    write_multi_pie,
)

from kerasfer import datasets, images
from kerasfer.datasets import bu3dfe, kdef, multi_pie
from kerasfer.datasets.base import DatasetError
from kerasfer.datasets.vrml import parse_vrml
from kerasfer.expressions import BASIC6, BASIC7, MULTIPIE6, Expression

E = Expression
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "render_bu3dfe.py"


def test_kdef_codes() -> None:
    labels = {code: expression.label for code, expression in kdef.EXPRESSIONS.items()}
    assert labels == {
        "AF": "fear",
        "AN": "anger",
        "DI": "disgust",
        "HA": "happiness",
        "NE": "neutral",
        "SA": "sadness",
        "SU": "surprise",
    }
    assert kdef.YAW == {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}


def test_kdef_columns(tmp_path: Path) -> None:
    write_kdef(tmp_path)
    table = datasets.load("kdef", tmp_path)
    assert table.label_space is BASIC7
    assert [path.rpartition("/")[2] for path in table["path"]][:3] == ["AF01AFFL.JPG", "AF01ANHL.JPG", "AM31H.JPG"]
    assert table["identity"].tolist() == ["F01", "F01", "M31", "M31", "F01", "M35"]
    assert table["sequence"].tolist() == ["AF01", "AF01", "AM31", "AM31", "BF01", "BM35"]
    assert table["pose"].tolist() == [[yaw, 0, 0] for yaw in (-90, -45, 45, 45, 0, 90)]
    assert table["expression"][2] == E.SURPRISE


def test_kdef_views_and_other_names(tmp_path: Path) -> None:
    write_kdef(tmp_path)
    assert datasets.load("kdef", tmp_path, views=("S", "FR"))["identity"].tolist() == ["F01", "M35"]
    with pytest.raises(DatasetError, match="views must be one of FL, HL, S, HR, FR, not 'front'"):
        datasets.load("kdef", tmp_path, views=["front"])
    images.write(tmp_path / "AF02" / "AF02XXFL.jpg", picture(7))
    with pytest.raises(DatasetError, match="1 missing.*AF02XXFL.jpg: not named like AF01ANFL.JPG"):
        datasets.load("kdef", tmp_path)
    assert len(datasets.load("kdef", tmp_path, strict=False).rejected) == 1
    images.write(tmp_path / "only" / "AF02NES.jpg", picture(8))
    assert datasets.load("kdef", tmp_path / "only")["expression"].tolist() == [E.NEUTRAL]
    with pytest.raises(DatasetError, match="holds no image of the views HL"):
        datasets.load("kdef", tmp_path / "only", views=["HL"])


def test_multi_pie_recordings_and_cameras() -> None:
    by_session = [
        [code.label for (at, _), code in multi_pie.EXPRESSIONS.items() if at == number] for number in range(5)
    ]
    assert by_session == [
        [],
        ["neutral", "smile"],
        ["neutral", "surprise", "squint"],
        ["neutral", "smile", "disgust"],
        ["neutral", "neutral", "scream"],
    ]
    level = [camera for camera in multi_pie.YAW if camera not in ("08_1", "19_1")]
    assert [multi_pie.YAW[camera] for camera in level] == list(range(-90, 91, 15))
    assert (level[0], level[6], level[-1]) == ("11_0", "05_1", "24_0")
    assert [multi_pie.YAW[camera] for camera in multi_pie.OWN_FLASH] == [-30, -15, 0, 15, 30]


def test_multi_pie_columns(tmp_path: Path) -> None:
    write_multi_pie(tmp_path)
    table = datasets.load("multi_pie", tmp_path)
    assert table.label_space is MULTIPIE6
    assert table["identity"].tolist() == ["001"] * 4 + ["002"] * 5
    assert table["frame"].tolist() == [7, 8, 18, 7, 0, 0, 5, 5, 5]
    assert table["pose"][:, 0].tolist() == [0, 15, 15, 0, 90, 45, -30, -30, -30]
    assert np.isnan(table["pose"][5, 1:]).all() and (table["pose"][[0, 4], 1:] == 0).all()
    assert table["sequence"][1] == table["sequence"][2] == "001_01_02_050"


def test_multi_pie_selection_of_g2fer(tmp_path: Path) -> None:
    write_multi_pie(tmp_path)
    table = datasets.load("multi_pie", tmp_path, selection="g2fer")
    assert [path.rpartition("/")[2] for path in table["path"]] == [
        "001_01_01_051_07.png",
        "001_01_02_050_08.png",
        "002_04_01_130_05.png",
        "002_04_03_130_05.png",
    ]
    assert len(datasets.load("multi_pie", tmp_path, cameras=["13_0"], people=["001", "002"])) == 3
    assert datasets.load("multi_pie", tmp_path, lights=[18])["frame"].tolist() == [18]
    assert datasets.load("multi_pie", tmp_path, selection="g2fer", lights=[18])["frame"].tolist() == [18]
    with pytest.raises(DatasetError, match="holds no multiview image of the people"):
        datasets.load("multi_pie", tmp_path, people=["003"])
    with pytest.raises(DatasetError, match="selection must be one of all, g2fer, not 'g3fer'"):
        datasets.load("multi_pie", tmp_path, selection="g3fer")


def test_multi_pie_bad_names(tmp_path: Path) -> None:
    write_multi_pie(tmp_path)
    folder = tmp_path / "data/session01/multiview/001/01"
    for name in ("05_1/001_01_01_051", "99_0/001_01_01_990_07", "05_1/001_01_03_051_07"):
        images.write(folder / f"{name}.png", picture(3))
    with pytest.raises(DatasetError) as error:
        datasets.load("multi_pie", tmp_path)
    for part in ("3 missing", "not named like", "unknown camera 99_0", "unknown session and recording"):
        assert part in str(error.value)
    assert len(datasets.load("multi_pie", tmp_path, strict=False)) == 9


def test_bu3dfe_columns(tmp_path: Path) -> None:
    write_bu3dfe(tmp_path)
    table = datasets.load("bu3dfe", tmp_path)
    assert table["identity"].tolist() == ["F0001", "F0001", "M0044", "M0044"]
    assert table["pose"].tolist() == [[15, -30, 0], [-45, 0, 0], [0, 0, 0], [30, 15, 0]]
    assert table["sequence"].tolist() == ["F0001_AN", "F0001_AN", "M0044_NE", "M0044_SU"]
    assert table["frame"].tolist() == [4, 4, 0, 3]
    six = datasets.load("bu3dfe", tmp_path, expressions="six", levels=[4])
    assert six.label_space is BASIC6 and len(six) == 2
    assert len(bu3dfe.YAW) * len(bu3dfe.PITCH) == 35
    assert bu3dfe.VIEW_NAME.fullmatch(bu3dfe.view_name("F0001_AN04WH", -5, 30).removesuffix(".png"))["yaw"] == "-05"
    with pytest.raises(DatasetError, match="expressions must be one of all, six"):
        datasets.load("bu3dfe", tmp_path, expressions="seven")
    images.write(tmp_path / "F0001" / "F0001_AN04WH.png", picture(5))
    with pytest.raises(DatasetError, match="not named like F0001_AN04WH_y-30"):
        datasets.load("bu3dfe", tmp_path)


def test_bu3dfe_asks_to_render_first(tmp_path: Path) -> None:
    write_bu3dfe_model(tmp_path)
    with pytest.raises(DatasetError, match="no rendered view .* scripts/render_bu3dfe.py makes them"):
        datasets.load("bu3dfe", tmp_path)


def test_vrml_mesh() -> None:
    mesh = parse_vrml(pyramid_vrml("face.bmp"))
    np.testing.assert_array_equal(mesh.points, PYRAMID.astype(np.float32))
    assert mesh.texture == "face.bmp"
    assert mesh.triangles.tolist() == [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [3, 2, 1], [3, 1, 0]]
    assert mesh.corners[0].tolist() == [[0.25, 0.5], [0.25, 0.5], [0.75, 0.5]]
    assert mesh.corners[4].tolist() == [[0.25, 0.5]] * 3


def test_vrml_uses_the_faces_for_the_texture_if_it_has_none_of_its_own() -> None:
    text = re.sub(r"texCoordIndex \[[^\]]*\]", "", pyramid_vrml())
    text = re.sub(r"(TextureCoordinate \{ point) \[[^\]]*\]", r"\1 [ 0 0, 1 0, 1 1, 0 1, .5 .5 ]", text)
    assert parse_vrml(text).corners[5].tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#VRML V2.0", "#VRML V1.0", "not a VRML 2.0 file"),
        ("geometry IndexedFaceSet {\n    solid", "geometry Sphere {\n    solid", "holds 0 IndexedFaceSets"),
        ("ImageTexture", "MovieTexture { } #", "names no texture"),
        ("0, 1, 4, -1, 1", "0, 1, 9, -1, 1", "a corner that is not in its list"),
        ("0, 0, 1, -1, 0", "0, 0, 0, 1, -1, 0", "list different faces"),
        ("0.0 0.0 90.0", "0.0 0.0", "their list is cut short"),
        ("0.0 0.0 90.0", "0.0 O.0 90.0", "points are not numbers"),
        ("} ] }\n", "", "a brace is not closed"),
    ],
)
def test_vrml_damage_is_named(old: str, new: str, message: str) -> None:
    text = pyramid_vrml()
    assert old in text
    text = text[: text.rindex("0, 0, 0, -1 ]")] if message == "a brace is not closed" else text.replace(old, new, 1)
    with pytest.raises(DatasetError, match=f"^face.wrl: .*{message}") as error:
        parse_vrml(text, "face.wrl")
    assert "\n" not in str(error.value)


def rendered(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--size", "48", "--workers", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def nose(image: np.ndarray) -> np.ndarray:
    """Where the reddest pixel lies from the middle, in parts of the image's side: x to the right, y up."""
    red = image[..., 0].astype(float) - image[..., 2]
    row, column = np.unravel_index(red.argmax(), red.shape)
    return np.array([column + 0.5 - 24, 24 - row - 0.5]) / 48


def test_render_turns_the_head_as_the_pose_says(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="rendering needs embreex: pip install '.[render]'")
    write_bu3dfe_model(tmp_path / "data")
    result = rendered(tmp_path / "data", tmp_path / "out", "--yaw", "-30", "0", "30", "--pitch", "0", "30")
    assert result.returncode == 0, result.stderr
    assert "6 views of 1 models" in result.stdout
    table = datasets.load("bu3dfe", tmp_path / "out")
    assert sorted(table["pose"][:, :2].tolist()) == [[-30, 0], [-30, 30], [0, 0], [0, 30], [30, 0], [30, 30]]
    noses = {
        tuple(pose[:2]): nose(images.read(tmp_path / "out" / path))
        for pose, path in zip(table["pose"].tolist(), table["path"])
    }
    # The frontal face is 160 high and fills 90 % of the image; the nose's tip is 45 in front of the head's middle.
    unit = 0.9 / 160
    for (yaw, pitch), place in noses.items():
        turned = np.sin(np.radians([yaw, pitch])) * [np.cos(np.radians(pitch)), 1] * 45 * unit
        np.testing.assert_allclose(place, turned, atol=1.5 / 48, err_msg=f"{yaw} {pitch}")
    frontal = images.read(tmp_path / "out/F0001/F0001_AN04WH_y+00_p+00.png")
    lit = np.argwhere(frontal.any(2))
    assert lit.min(0).tolist() == [2, 8] and lit.max(0).tolist() == [45, 39]
    assert frontal[3, 24].tolist() == pytest.approx([0, 0, 200], abs=12)


def test_render_goes_on_and_names_bad_models(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="rendering needs embreex: pip install '.[render]'")
    data, out = tmp_path / "data", tmp_path / "out"
    for model in ("F0001_AN04WH", "F0001_SA03WH", "F0002_HA04WH", "F0003_NE00WH"):
        write_bu3dfe_model(data, model)
    (data / "F0002/F0002_HA04WH_F3D.bmp").unlink()
    kept = out / "F0001" / "F0001_AN04WH_y+00_p+00.png"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    result = rendered(data, out, "--yaw", "0", "15", "--pitch", "0")
    assert result.returncode == 1
    assert "left out:" in result.stderr and "F0002_HA04WH_F3D.wrl: its texture" in result.stderr
    assert kept.read_bytes() == b"kept"
    assert sorted(path.name for path in out.rglob("*.png")) == [
        "F0001_AN04WH_y+00_p+00.png",
        "F0001_AN04WH_y+15_p+00.png",
    ]
    write_lines(data / "F0001/F0001_AN04WH_F3D.wrl", ["#VRML V1.0 ascii"])
    result = rendered(tmp_path / "out", tmp_path / "again")
    assert result.returncode == 2 and "holds no model asked for" in result.stderr

"""CK+, enhanced CK, Oulu-CASIA and MMI: selections of frames, labels, action units and landmarks."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_lines
from dataset_layouts_of_sequences import (
    CK_ENHANCED_SEQUENCES,
    OAO_MARKERS,
    write_ck_enhanced,
    write_ck_plus,
    write_mmi,
    write_mmi_frames,
    write_oulu_casia,
)

from kerasfer import datasets, images
from kerasfer.datasets import ck_plus, mmi
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.expressions import ACTION_UNITS, BASIC6, BASIC7, CK_PLUS7, FERPLUS8, Expression
from kerasfer.faces import ImageSpec

E = Expression


def units_of(row: np.ndarray) -> dict[int, float]:
    """Action unit -> intensity, of those that are there."""
    return {unit: round(float(value), 3) for unit, value in zip(ACTION_UNITS, row) if value > 0}


def frames_of(table: FaceTable) -> dict[str, list[int]]:
    """Sequence -> numbers of its frames, in the order of the rows."""
    found: dict[str, list[int]] = {}
    for sequence, frame in zip(table["sequence"].tolist(), table["frame"].tolist()):
        found.setdefault(sequence, []).append(frame)
    return found


def test_ck_plus_codes() -> None:
    assert [ck_plus.CODES[code].label for code in range(8)] == [
        "neutral",
        "anger",
        "contempt",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
    ]


@pytest.mark.parametrize(
    ("selection", "frames", "space"),
    [
        ("tdgan", {"S005_001": [1, 3, 4, 5], "S010_002": [1, 2, 3, 4]}, BASIC7),
        ("ipdfer", {"S005_001": [1, 3, 4, 5], "S010_002": [1, 2, 3, 4], "S011_003": [1, 4, 5, 6]}, FERPLUS8),
        ("fesr", {"S005_001": [3, 4, 5], "S010_002": [2, 3, 4], "S011_003": [4, 5, 6]}, CK_PLUS7),
        ("peak", {"S005_001": [5], "S010_002": [4], "S011_003": [6]}, CK_PLUS7),
        ("facs", {"S005_001": [5], "S010_002": [4], "S011_003": [6], "S014_001": [4]}, CK_PLUS7),
        (
            "all",
            {
                "S005_001": [1, 2, 3, 4, 5],
                "S010_002": [1, 2, 3, 4],
                "S011_003": [*range(1, 7)],
                "S014_001": [1, 2, 3, 4],
            },
            FERPLUS8,
        ),
    ],
)
def test_ck_plus_selections(selection: str, frames: dict[str, list[int]], space: object, tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    table = datasets.load("ck_plus", tmp_path, selection=selection)
    assert frames_of(table) == frames
    assert table.label_space == space
    assert all(sequence.startswith(f"{who}_") for who, sequence in zip(table["identity"], table["sequence"]))


def test_ck_plus_expressions_of_frames(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    table = datasets.load("ck_plus", tmp_path, selection="ipdfer")
    assert Counter(table["sequence"].tolist()) == {"S005_001": 4, "S010_002": 4, "S011_003": 4}
    expected = [E.NEUTRAL] + [E.DISGUST] * 3 + [E.NEUTRAL] + [E.HAPPINESS] * 3 + [E.NEUTRAL] + [E.CONTEMPT] * 3
    assert table["expression"].tolist() == expected
    every = datasets.load("ck_plus", tmp_path, selection="all")
    assert every["expression"].tolist()[:5] == [E.NEUTRAL, -1, -1, -1, E.DISGUST]
    assert every.where(identity="S014")["expression"].tolist() == [E.NEUTRAL, -1, -1, -1]
    assert set(datasets.load("ck_plus", tmp_path, selection="ipdfer", contempt=False)["identity"]) == {"S005", "S010"}
    assert len(datasets.load("ck_plus", tmp_path, contempt=True)) == 12
    with pytest.raises(DatasetError, match="selection must be one of tdgan, ipdfer, fesr, peak, facs, all"):
        datasets.load("ck_plus", tmp_path, selection="last")


def test_ck_plus_pictures_action_units_and_landmarks(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    table = datasets.load("ck_plus", tmp_path)
    expected = np.stack([picture(number) for number in (501, 503, 504, 505, 1001, 1002, 1003, 1004)])[..., None]
    np.testing.assert_array_equal(prepare_faces(table, ImageSpec(48)), expected)
    assert not table["aus"][0].any() and np.isnan(table["aus"][1]).all()
    assert units_of(table["aus"][3]) == {9: 0.6, 17: 0.8}
    assert units_of(table["aus"][7]) == {6: 0.6, 12: 1.0, 25: 0.2}
    assert table["landmarks"][1, 10].tolist() == [13.0, 8.0]
    assert [ck_plus.intensity_of_grade(grade) for grade in range(6)] == [0.6, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_ck_plus_bad_labels_and_landmarks(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    facs = tmp_path / "FACS/S005/001/S005_001_00000005_facs.txt"
    write_lines(facs, ["9 7"])
    with pytest.raises(DatasetError, match="S005_001_00000005_facs.txt: intensity 7 is not 0 to 5"):
        datasets.load("ck_plus", tmp_path)
    assert set(datasets.load("ck_plus", tmp_path, strict=False)["identity"]) == {"S010"}
    write_lines(facs, ["9"])
    with pytest.raises(DatasetError, match="not pairs of an action unit and its intensity"):
        datasets.load("ck_plus", tmp_path)
    facs.unlink()
    assert np.isnan(datasets.load("ck_plus", tmp_path)["aus"][3]).all()
    landmarks = tmp_path / "Landmarks/S010/002/S010_002_00000004_landmarks.txt"
    write_lines(landmarks, ["1 2"])
    with pytest.raises(DatasetError, match="S010_002_00000004_landmarks.txt: 2 numbers, not x and y of 68 points"):
        datasets.load("ck_plus", tmp_path)
    assert datasets.load("ck_plus", tmp_path, strict=False)["frame"].tolist() == [1, 3, 4, 5, 1, 2, 3]
    landmarks.unlink()
    assert np.isnan(datasets.load("ck_plus", tmp_path)["landmarks"][7]).all()


def test_ck_plus_other_folders(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    (tmp_path / "Emotion_labels").mkdir()
    (tmp_path / "Emotion").rename(tmp_path / "Emotion_labels" / "Emotion")
    crop = tmp_path / "crops" / "S005_001_00000005.png"
    images.write(crop, picture(7))
    assert "crops" not in " ".join(datasets.load("ck_plus", tmp_path)["path"])
    (tmp_path / "cohn-kanade-images/S010/002/S010_002_00000001.png").unlink()
    with pytest.raises(DatasetError, match="S010_002_00000002.png: the sequence has 3 images, the selection needs 4"):
        datasets.load("ck_plus", tmp_path)
    (tmp_path / "Emotion_labels").rename(tmp_path / "cohn-kanade-images" / "x")
    for file in (tmp_path / "cohn-kanade-images" / "x").rglob("*.txt"):
        file.unlink()
    with pytest.raises(DatasetError, match="add the folder Emotion"):
        datasets.load("ck_plus", tmp_path)
    assert len(datasets.load("ck_plus", tmp_path, selection="facs")) == 4


@pytest.mark.parametrize(
    ("selection", "frames"),
    [
        ("fesr", {"P001_anger": [0, 1, 2], "P001_happiness": [2, 3, 4], "P002_surprise": [1, 2, 3]}),
        ("peak", {"P001_anger": [2], "P001_happiness": [4], "P002_surprise": [3]}),
        ("all", {"P001_anger": [0, 1, 2], "P001_happiness": [0, 1, 2, 3, 4], "P002_surprise": [0, 1, 2, 3]}),
    ],
)
def test_oulu_casia_selections(selection: str, frames: dict[str, list[int]], tmp_path: Path) -> None:
    write_oulu_casia(tmp_path)
    table = datasets.load("oulu_casia", tmp_path, selection=selection)
    assert frames_of(table) == frames
    assert table["identity"].tolist() == [name[:4] for name in table["sequence"].tolist()]
    assert table.label_space is (BASIC7 if selection == "all" else BASIC6)
    if selection == "all":
        assert table["expression"].tolist()[:5] == [E.NEUTRAL, -1, E.ANGER, E.NEUTRAL, -1]


def test_oulu_casia_cameras_lights_and_crops(tmp_path: Path) -> None:
    write_oulu_casia(tmp_path)
    options = {
        "OriginalImg/VL/Strong": {},
        "OriginalImg/VL/Dark": {"light": "Dark"},
        "OriginalImg/NI/Strong": {"camera": "NI"},
        "PreProcess_Img/VL_Acropped/Strong": {"preprocessed": True},
    }
    for folder, option in options.items():
        table = datasets.load("oulu_casia", tmp_path, **option)
        assert len(table) == 9 and all(f"/{folder}/" in path for path in table["path"].tolist())
    assert len(datasets.load("oulu_casia", tmp_path / "B_OriginalImg/OriginalImg/VL/Strong")) == 9
    assert len(datasets.load("oulu_casia", tmp_path / "C_PreProcess_Img")) == 9
    with pytest.raises(
        DatasetError, match="holds no images at VL/Weak/P001/Anger/000.jpeg; kinds of images: NI/Strong"
    ):
        datasets.load("oulu_casia", tmp_path, light="Weak")
    with pytest.raises(DatasetError, match="light must be one of Strong, Weak, Dark, not 'strong'"):
        datasets.load("oulu_casia", tmp_path, light="strong")


def test_oulu_casia_bad_sequences(tmp_path: Path) -> None:
    write_oulu_casia(tmp_path)
    folder = tmp_path / "B_OriginalImg/OriginalImg/VL/Strong"
    (folder / "P001/Anger/001.jpeg").unlink()
    (folder / "P002/Surprise").rename(folder / "P002/Contempt")
    with pytest.raises(DatasetError, match="2 missing .*2 images, the selection needs 3; .*'Contempt' is not one of"):
        datasets.load("oulu_casia", tmp_path)
    assert frames_of(datasets.load("oulu_casia", tmp_path, strict=False)) == {"P001_happiness": [2, 3, 4]}


def test_mmi_codes_and_apex() -> None:
    assert [mmi.CODES[code].label for code in range(1, 7)] == [
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
    ]
    xml = '<a xmlns="x"><ActionUnit Number="L12"><Markers><Marker Frame="7" Type="3"/><Marker Frame="4" Type="2"/>'
    xml += '</Markers></ActionUnit><ActionUnit Number="AD19"><Marker Frame="1" Type="2"/></ActionUnit></a>'
    assert mmi.phases(xml.encode()) == {12: [(4, "2"), (7, "3")]}
    assert mmi.apex({12: [(4, "2"), (7, "3")]}) == 5
    assert mmi.apex({12: [(4, "2"), (7, "3")], 6: [(6, "2"), (20, "0")]}) == 6
    assert mmi.apex({12: [(2, "2"), (4, "3"), (10, "2"), (15, "3")]}) == 12
    assert mmi.apex({12: [(2, "1"), (4, "3")]}) is None and mmi.apex({}) is None
    with pytest.raises(ValueError, match="marker's type is not 0, 1, 2 or 3"):
        mmi.phases(xml.replace('Type="3"', 'Type="9"').encode())


def test_mmi_peaks_and_action_units(tmp_path: Path) -> None:
    write_mmi(tmp_path)
    table = datasets.load("mmi", tmp_path)
    assert frames_of(table) == {"S001-001": [5, 6, 7], "S002-003": [4, 5, 6]}
    assert table["identity"].tolist() == ["S001"] * 3 + ["S002"] * 3
    assert units_of(table["aus"][1]) == {6: 1.0, 12: 1.0} and not np.isnan(table["aus"][1]).any()
    before = dict(zip(ACTION_UNITS, table["aus"][0].tolist()))
    assert before[12] == 1 and np.isnan(before[6]) and before[25] == 0
    assert np.isnan(table["aus"][3:]).all()
    peaks = datasets.load("mmi", tmp_path, selection="peak")
    assert frames_of(peaks) == {"S001-001": [6], "S002-003": [5]}
    shades = [round(image.mean() / 10) for image in prepare_faces(table, ImageSpec(16))]
    assert shades == [5, 6, 7, 4, 5, 6]
    assert datasets.load("mmi", tmp_path, views=("profile",))["identity"].tolist() == ["S002"] * 3
    with pytest.raises(DatasetError, match="holds no dual video labeled with an emotion from 1 to 6"):
        datasets.load("mmi", tmp_path, views=("dual",))


def test_mmi_peaks_chosen_by_eye(tmp_path: Path) -> None:
    write_mmi(tmp_path / "data")
    peaks = tmp_path / "peaks.csv"
    write_lines(peaks, ["sequence,frame", "S002-003,8"])
    assert frames_of(datasets.load("mmi", tmp_path / "data", peaks=peaks)) == {"S002-003": [7, 8, 9]}
    write_lines(peaks, ["sequence,frame", "S002-003,9"])
    assert frames_of(datasets.load("mmi", tmp_path / "data", peaks=peaks)) == {"S002-003": [7, 8, 9]}
    write_lines(peaks, ["sequence,frame", "S002-003,10", "S009-001,3"])
    with pytest.raises(
        DatasetError, match="S009-001 is not in the data set; .*peak frame 10 is not one of its frames 1 to 9"
    ):
        datasets.load("mmi", tmp_path / "data", peaks=peaks)
    write_lines(peaks, ["sequence,frame", "S002-003,0"])
    with pytest.raises(DatasetError, match="peaks.csv line 2: not a sequence and a frame from 1"):
        datasets.load("mmi", tmp_path / "data", peaks=peaks)
    write_lines(peaks, ["a,b"])
    with pytest.raises(DatasetError, match="first line must be sequence,frame"):
        datasets.load("mmi", tmp_path / "data", peaks=peaks)


@pytest.mark.parametrize("harm", ["remove", "empty", "text", "cut short"])
def test_mmi_bad_videos(harm: str, tmp_path: Path) -> None:
    write_mmi(tmp_path)
    video = tmp_path / "Sessions/2/S002-003.avi"
    content = video.read_bytes()
    video.write_bytes(
        {"empty": b"", "text": b"not a video" * 99, "cut short": content[: len(content) // 2]}.get(harm, b"")
    )
    if harm == "remove":
        video.unlink()
    with pytest.raises(DatasetError, match="mmi: 1 missing .*Sessions/2/S002-003"):
        datasets.load("mmi", tmp_path)
    table = datasets.load("mmi", tmp_path, strict=False)
    assert frames_of(table) == {"S001-001": [5, 6, 7]} and len(table.rejected) == 1


def test_mmi_verify_decodes_the_frames(tmp_path: Path) -> None:
    write_mmi(tmp_path)
    video = tmp_path / "Sessions/2/S002-003.avi"
    content = bytearray(video.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"00dc"][3:6]
    for start in starts:
        content[start + 8 : start + 300] = bytes(292)
    video.write_bytes(bytes(content))
    table = datasets.load("mmi", tmp_path)
    assert len(table) == 6
    with pytest.raises(DatasetError, match="S002-003.avi frame 4: cannot be decoded"):
        prepare_faces(table, ImageSpec(8))
    with pytest.raises(DatasetError, match="S002-003.avi frame 4: cannot be decoded"):
        datasets.load("mmi", tmp_path, verify=True)


def test_mmi_frames_as_images_and_bad_annotations(tmp_path: Path) -> None:
    write_mmi_frames(tmp_path)
    assert frames_of(datasets.load("mmi", tmp_path)) == {"S001-001": [5, 6, 7], "S002-003": [4, 5, 6]}
    phases = tmp_path / "Sessions/1/S001-001-oao_aucs.xml"
    text = phases.read_text()
    assert OAO_MARKERS[0] in text
    phases.write_text(text.replace('Frame="5"', 'Frame="five"'))
    (tmp_path / "Sessions/2/session.xml").write_text("<session")
    with pytest.raises(DatasetError, match="2 missing .*S001-001-oao_aucs.xml: .*'five'; .*session.xml: not XML"):
        datasets.load("mmi", tmp_path)
    for frame in range(3, 13):
        (tmp_path / f"Sessions/1/S001-001/frame_{frame:03}.png").unlink()
    phases.unlink()
    with pytest.raises(DatasetError, match="has only 2 frames"):
        datasets.load("mmi", tmp_path)


def test_mmi_source_can_be_copied(tmp_path: Path) -> None:
    write_mmi(tmp_path)
    table = datasets.load("mmi", tmp_path)
    again = copy.deepcopy(table.source)
    path = str(table["path"][1])
    np.testing.assert_array_equal(again.read(path), table.read(1))
    assert again.exists(path) and not again.exists(path + "0")
    assert again.read("Sessions/1/session.xml").startswith(b"<")


def test_ck_enhanced_columns(tmp_path: Path) -> None:
    write_ck_enhanced(tmp_path)
    table = datasets.load("ck_enhanced", tmp_path)
    assert frames_of(table) == {"S010_002": [1594210, 1594211, 1594212], "S011_001": [1594210, 1594211]}
    assert table["identity"].tolist() == ["S010"] * 3 + ["S011"] * 2
    assert (table["expression"] == -1).all()
    assert [set(units_of(row)) for row in table["aus"]] == [
        set(),
        {1, 6, 12, 25},
        {1, 2, 5, 6, 12, 25, 27},
        {4},
        {4, 7, 9, 17},
    ]
    assert set(table["aus"].ravel().tolist()) == {0.0, 1.0}


def test_ck_enhanced_other_forms_of_labels(tmp_path: Path) -> None:
    write_ck_enhanced(tmp_path)
    expected = datasets.load("ck_enhanced", tmp_path)
    labels = tmp_path / "labels"
    turned = [
        f"{1594210 + frame}," + ",".join(line.split()[::-1])
        for frame, line in enumerate(CK_ENHANCED_SEQUENCES["S010_002"])
    ]
    header = ";".join(["frame", *(str(unit) for unit in reversed(ACTION_UNITS))])
    write_lines(labels / "S010_002.txt", [header, *turned])
    (labels / "S011_001.txt").unlink()
    write_lines(tmp_path / "S011/001/aus.csv", CK_ENHANCED_SEQUENCES["S011_001"])
    table = datasets.load("ck_enhanced", tmp_path)
    for column in ("path", "sequence", "frame", "aus"):
        np.testing.assert_array_equal(table[column], expected[column])
    write_lines(tmp_path / "S011/001/aus.csv", ["0 0 5 0 0 0 0 0 0 0 0 0 0 -1", "0 0 1 0 0 0 0 0 0 0 0 0 0 9"])
    table = datasets.load("ck_enhanced", tmp_path)
    assert units_of(table["aus"][3]) == {4: 1.0} and units_of(table["aus"][4]) == {4: 0.2}
    assert np.isnan(table["aus"][3:, 13]).all() and not np.isnan(table["aus"][:3]).any()
    assert units_of(table["aus"][1]) == {1: 0.2, 6: 0.2, 12: 0.2, 25: 0.2}


def test_ck_enhanced_bad_labels(tmp_path: Path) -> None:
    write_ck_enhanced(tmp_path)
    write_lines(tmp_path / "S011/001/aus.csv", CK_ENHANCED_SEQUENCES["S011_001"][:1])
    with pytest.raises(DatasetError, match="aus.csv: 1 lines for 2 images of sequence 'S011_001'"):
        datasets.load("ck_enhanced", tmp_path)
    (tmp_path / "S011/001/aus.csv").unlink()
    good = CK_ENHANCED_SEQUENCES["S011_001"][0]
    write_lines(
        tmp_path / "labels/S011_001.txt", [f"x.png {good}", f"1594210 {good} 1", f"1594211 {good[:-1]}7", f"99 {good}"]
    )
    with pytest.raises(
        DatasetError, match="4 missing .*'x.png' is not an image's name.*15 values instead of 14.*value 7 is"
    ):
        datasets.load("ck_enhanced", tmp_path)
    table = datasets.load("ck_enhanced", tmp_path, strict=False)
    assert set(table["sequence"]) == {"S010_002"} and "S011_001_00000099.png" in table.rejected[-1].path
    (tmp_path / "readme.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="5 missing .*readme.txt: not a UTF-8 text file"):
        datasets.load("ck_enhanced", tmp_path)
    (tmp_path / "readme.txt").unlink()
    for file in (tmp_path / "labels").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="holds no label file"):
        datasets.load("ck_enhanced", tmp_path)

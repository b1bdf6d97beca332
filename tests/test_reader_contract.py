"""One contract over every reader, on small trees that the test writes in the official layouts."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_layouts import (
    picture,
    write_casia,
    write_ck48,
    write_csv,
    write_ferplus,
    write_ferplus_pixels,
    write_folder,
    write_lfw,
    write_lfw_photographs,
    write_london,
    write_shards,
)
from dataset_layouts_of_photographs import (
    write_baum2i,
    write_baum2i_list,
    write_raf_db,
    write_raf_db_folders,
    write_rafd,
    write_tfd,
    write_tfeid,
)
from dataset_layouts_of_sequences import write_ck_enhanced, write_ck_plus, write_mmi, write_mmi_frames, write_oulu_casia
from dataset_layouts_of_the_web import write_affectnet, write_affectnet_arrays, write_celeba, write_sfew, write_sfew_1
from dataset_layouts_of_views import write_bu3dfe, write_kdef, write_multi_pie

from kerasfer import datasets, images, splits
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.expressions import Expression
from kerasfer.faces import ImageSpec

E = Expression


@dataclasses.dataclass(frozen=True)
class Layout:
    """A reader, a tree in its layout and what is to be found there.

    Attributes:
        reader: name of the data set.
        write: makes the tree.
        expressions: of all rows, in order.
        splits: split -> number of rows and the files that only the others need.
        victim: a file of the tree that a row needs, to be damaged.
        bad_label: file, text in it and its replacement, which makes one label unknown.
        after_removal: number of rows without the victim, where the layout does not list its files; None: it is missed.
        bad_place: what the message says of where in the file the unknown label is.
        bad_rows: the rows that the unknown label is of.
    """

    reader: str
    write: Callable[[Path], None]
    expressions: list[int]
    splits: dict[str, tuple[int, list[str]]]
    victim: str | None
    bad_label: tuple[str, str, str] | None
    after_removal: int | None = None
    bad_place: str = " line 2"
    bad_rows: tuple[int, ...] = (0,)


LAYOUTS = {
    "ferplus": Layout(
        "ferplus",
        write_ferplus,
        [E.HAPPINESS, E.NEUTRAL, E.SURPRISE, E.ANGER],
        {
            "train": (2, ["FER2013Valid", "FER2013Test"]),
            "valid": (1, ["FER2013Train", "FER2013Test"]),
            "test": (1, ["FER2013Train", "FER2013Valid"]),
        },
        "FER2013Train/fer0000001.png",
        ("fer2013new.csv", "Training,fer0000000.png", "Trainning,fer0000000.png"),
    ),
    "ferplus pixels": Layout(
        "ferplus",
        write_ferplus_pixels,
        [E.HAPPINESS, E.NEUTRAL, E.SURPRISE, E.ANGER],
        {"train": (2, []), "valid": (1, []), "test": (1, [])},
        None,
        ("fer2013new.csv", "fer0000000.png,0,9", "fer0000000.png,0,x"),
    ),
    "lfw_expressions": Layout(
        "lfw_expressions",
        write_lfw,
        [E.HAPPINESS, E.NEUTRAL, E.ANGER],
        {},
        "A_B/A_B_0002.jpg",
        ("labels.csv", "A_B,happiness", "A_B,joy"),
    ),
    "lfw": Layout("lfw", write_lfw_photographs, [-1, -1, -1, -1], {}, "A_B/A_B_0002.jpg", None, 3),
    "ck48": Layout(
        "ck48",
        write_ck48,
        [E.ANGER, E.ANGER, E.CONTEMPT, E.HAPPINESS],
        {},
        "CK+48/anger/S010_004_00000018.png",
        None,
        3,
    ),
    "london": Layout(
        "london",
        write_london,
        [E.NEUTRAL, E.NEUTRAL, E.HAPPINESS],
        {},
        "smiling_front/001_08.jpg",
        None,
        2,
    ),
    "casia_webface": Layout("casia_webface", write_casia, [-1, -1, -1, -1], {}, "0000099/001.jpg", None, 3),
    "ck_enhanced": Layout(
        "ck_enhanced",
        write_ck_enhanced,
        [-1, -1, -1, -1, -1],
        {},
        "S010/002/S010_002_01594211.png",
        ("labels/S010_002.txt", "0 0 0 0", "0 0 0 nothing"),
    ),
    "ck_plus": Layout(
        "ck_plus",
        write_ck_plus,
        [E.NEUTRAL, E.DISGUST, E.DISGUST, E.DISGUST, E.NEUTRAL, E.HAPPINESS, E.HAPPINESS, E.HAPPINESS],
        {},
        "cohn-kanade-images/S005/001/S005_001_00000005.png",
        ("Emotion/S005/001/S005_001_00000005_emotion.txt", "3.0000000e+00", "8.0000000e+00"),
        bad_place="",
        bad_rows=(0, 1, 2, 3),
    ),
    "mmi": Layout(
        "mmi",
        write_mmi,
        [E.HAPPINESS, E.HAPPINESS, E.HAPPINESS, E.ANGER, E.ANGER, E.ANGER],
        {},
        None,
        ("Sessions/1/S001-001.xml", 'Name="Emotion" Value="4"', 'Name="Emotion" Value="four"'),
        bad_place="",
        bad_rows=(0, 1, 2),
    ),
    "mmi frames": Layout(
        "mmi",
        write_mmi_frames,
        [E.HAPPINESS, E.HAPPINESS, E.HAPPINESS, E.ANGER, E.ANGER, E.ANGER],
        {},
        "Sessions/1/S001-001/frame_006.png",
        None,
    ),
    "oulu_casia": Layout(
        "oulu_casia",
        write_oulu_casia,
        [E.ANGER, E.ANGER, E.ANGER, E.HAPPINESS, E.HAPPINESS, E.HAPPINESS, E.SURPRISE, E.SURPRISE, E.SURPRISE],
        {},
        "B_OriginalImg/OriginalImg/VL/Strong/P001/Happiness/003.jpeg",
        None,
        after_removal=9,
    ),
    "tfeid": Layout(
        "tfeid",
        write_tfeid,
        [E.ANGER, E.HAPPINESS, E.NEUTRAL, E.ANGER, E.SURPRISE],
        {},
        "slight/m02_su_slight.jpg",
        None,
        after_removal=4,
    ),
    "baum2i": Layout(
        "baum2i",
        write_baum2i,
        [E.ANGER, E.HAPPINESS, E.SADNESS],
        {},
        "Happiness/S001_02.png",
        None,
        after_removal=2,
    ),
    "baum2i list": Layout(
        "baum2i",
        write_baum2i_list,
        [E.SURPRISE, E.NEUTRAL],
        {},
        "peaks/clip_2.png",
        ("Annotations.csv", "12,Surprise", "12,Surprized"),
    ),
    "tfd": Layout(
        "tfd",
        write_tfd,
        [E.ANGER, E.DISGUST, E.FEAR, E.HAPPINESS, E.SADNESS, E.SURPRISE, E.NEUTRAL, E.HAPPINESS],
        {},
        None,
        None,
    ),
    "raf_db": Layout(
        "raf_db",
        write_raf_db,
        [E.SADNESS, E.SURPRISE, E.NEUTRAL, E.HAPPINESS, E.FEAR],
        {
            "train": (3, [f"basic/Image/aligned/test_000{number}_aligned.jpg" for number in (1, 2)]),
            "test": (2, [f"basic/Image/aligned/train_0000{number}_aligned.jpg" for number in (1, 2, 3)]),
        },
        "basic/Image/aligned/train_00002_aligned.jpg",
        ("basic/EmoLabel/list_patition_label.txt", "train_00002.jpg 1", "train_00002.jpg 8"),
        bad_rows=(1,),
    ),
    "raf_db folders": Layout(
        "raf_db",
        write_raf_db_folders,
        [E.FEAR, E.HAPPINESS, E.SURPRISE, E.SADNESS, E.NEUTRAL],
        {"train": (3, ["DATASET/test"]), "test": (2, ["DATASET/train"])},
        "DATASET/train/1/train_00002_aligned.jpg",
        None,
        after_removal=4,
    ),
    "rafd": Layout(
        "rafd",
        write_rafd,
        [E.HAPPINESS, E.NEUTRAL, E.ANGER, E.ANGER, E.CONTEMPT, E.FEAR, E.SURPRISE],
        {},
        "Rafd090_01_Caucasian_female_angry_left.jpg",
        None,
        after_removal=6,
    ),
    "kdef": Layout(
        "kdef",
        write_kdef,
        [E.FEAR, E.ANGER, E.SURPRISE, E.HAPPINESS, E.DISGUST, E.NEUTRAL],
        {},
        "KDEF_and_AKDEF/KDEF/BF01/BF01DIS.JPG",
        None,
        5,
    ),
    "multi_pie": Layout(
        "multi_pie",
        write_multi_pie,
        [E.NEUTRAL, E.SMILE, E.SMILE, E.NEUTRAL, E.SQUINT, E.DISGUST, E.NEUTRAL, E.NEUTRAL, E.SCREAM],
        {},
        "data/session02/multiview/002/03/24_0/002_02_03_240_00.png",
        None,
        8,
    ),
    "bu3dfe": Layout(
        "bu3dfe",
        write_bu3dfe,
        [E.ANGER, E.ANGER, E.NEUTRAL, E.SURPRISE],
        {},
        "M0044/M0044_NE00BL_y+00_p+00.png",
        None,
        3,
    ),
    "sfew": Layout(
        "sfew",
        write_sfew,
        [-1, E.ANGER, E.HAPPINESS, E.SADNESS],
        {"train": (2, ["Test", "Val"]), "valid": (1, ["Test", "Train"]), "test": (1, ["Train", "Val"])},
        "Train/Train_Aligned_Faces/Happy/About_a_Boy_000137540_00000012.png",
        None,
        3,
    ),
    "sfew 1": Layout(
        "sfew",
        write_sfew_1,
        [E.SURPRISE, E.DISGUST, E.NEUTRAL],
        {},
        "Set 2/Disgust/Juno_004500960_00000029.png",
        None,
        2,
    ),
    "affectnet": Layout(
        "affectnet",
        write_affectnet,
        [E.FEAR, E.CONTEMPT, E.HAPPINESS, E.SADNESS, E.SURPRISE, E.ANGER],
        {
            "train": (4, ["Manually_Annotated_file_lists/validation.csv", "Manually_Annotated_Images/9"]),
            "valid": (2, ["Manually_Annotated_file_lists/training.csv", "Manually_Annotated_Images/103"]),
        },
        "Manually_Annotated_Images/7/dd.jpg",
        ("Manually_Annotated_file_lists/training.csv", ",4,0.25", ",11,0.25"),
    ),
    "affectnet arrays": Layout(
        "affectnet",
        write_affectnet_arrays,
        [E.ANGER, E.CONTEMPT, E.SURPRISE, E.NEUTRAL],
        {"train": (3, ["val_set"]), "valid": (1, ["train_set"])},
        "train_set/images/12.jpg",
        None,
    ),
    "celeba": Layout(
        "celeba",
        write_celeba,
        [-1, -1, -1, -1],
        {
            "train": (2, ["Img/img_align_celeba/000003.jpg", "Img/img_align_celeba/000004.jpg"]),
            "valid": (1, ["Img/img_align_celeba/000001.jpg", "Img/img_align_celeba/000002.jpg"]),
            "test": (1, ["Img/img_align_celeba/000003.jpg", "Img/img_align_celeba/000002.jpg"]),
        },
        "Img/img_align_celeba/000003.jpg",
        None,
    ),
    "folder": Layout(
        "folder",
        write_folder,
        [E.FEAR, E.HAPPINESS, E.SADNESS, E.HAPPINESS],
        {"train": (2, ["val", "test"]), "valid": (1, ["train", "test"]), "test": (1, ["train", "val"])},
        "train/Happy/a.png",
        None,
        3,
    ),
    "csv": Layout(
        "csv",
        write_csv,
        [E.SURPRISE, E.ANGER, -1],
        {
            "train": (1, ["faces/b.png", "faces/c.png"]),
            "valid": (1, ["faces/a.png", "faces/c.png"]),
            "test": (1, ["faces/a.png", "faces/b.png"]),
        },
        "faces/b.png",
        ("labels.csv", "surprise", "surprize"),
    ),
    "shards": Layout(
        "shards",
        write_shards,
        [E.SURPRISE, E.ANGER, -1],
        {"train": (1, []), "valid": (1, []), "test": (1, [])},
        None,
        None,
    ),
}
WITH_FILES = [name for name, layout in LAYOUTS.items() if layout.victim]
WITH_LABELS = [name for name, layout in LAYOUTS.items() if layout.bad_label]


def zipped(root: Path, archive: Path, parent: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                opened.write(file, f"{parent}{file.relative_to(root).as_posix()}")
    return archive


@pytest.fixture(params=LAYOUTS)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Layout, Path]:
    layout = LAYOUTS[request.param]
    layout.write(tmp_path / "data")
    return layout, tmp_path / "data"


def loaded(layout: Layout, root: Path, **options: Any) -> FaceTable:
    return datasets.load(layout.reader, root, **options)


def assert_one_line(error: pytest.ExceptionInfo[DatasetError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_every_reader_but_synthetic_is_under_contract() -> None:
    assert {layout.reader for layout in LAYOUTS.values()} | {"synthetic"} == set(datasets.names())


@pytest.mark.parametrize("name", [name for name in datasets.READERS if name != "synthetic"])
def test_signature(name: str) -> None:
    parameters = list(inspect.signature(datasets.reader(name)).parameters.values())
    assert [parameter.name for parameter in parameters[:3]] == ["root", "split", "strict"]
    assert parameters[1].default is None and parameters[2].default is True
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[3:])


def test_folder_holds_what_was_written(tree: tuple[Layout, Path]) -> None:
    layout, root = tree
    table = loaded(layout, root)
    assert table.name == layout.reader
    assert table["expression"].tolist() == layout.expressions
    assert not table.rejected
    pixels = prepare_faces(table, ImageSpec(16, 3))
    assert len({image.tobytes() for image in pixels}) == len(table)


@pytest.mark.parametrize("parent", ["", "some folder/"])
def test_zip_is_read_like_the_folder(tree: tuple[Layout, Path], tmp_path: Path, parent: str) -> None:
    layout, root = tree
    table = loaded(layout, root)
    from_zip = loaded(layout, zipped(root, tmp_path / "data.zip", parent))
    assert set(from_zip.columns) == set(table.columns)
    for column in set(table.columns) - {"path"}:
        np.testing.assert_array_equal(from_zip[column], table[column])
    spec = ImageSpec(16)
    np.testing.assert_array_equal(prepare_faces(from_zip, spec), prepare_faces(table, spec))


def test_a_split_needs_only_its_own_files(tree: tuple[Layout, Path], tmp_path: Path) -> None:
    layout, root = tree
    for split, (count, others) in layout.splits.items():
        part = tmp_path / split
        shutil.copytree(root, part)
        for other in others:
            shutil.rmtree(part / other) if (part / other).is_dir() else (part / other).unlink()
        table = loaded(layout, part, split=split)
        assert len(table) == count
        assert set(table["split"]) == {split}


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.splits])
def test_trained_on_is_train_and_tested_on_is_test(name: str, tmp_path: Path) -> None:
    """Watched is the valid part; a test part without labels gives way to the valid part."""
    layout = LAYOUTS[name]
    layout.write(tmp_path)
    count = {part: number for part, (number, _) in layout.splits.items()}
    if "valid" in count:
        train, valid, said = splits.load_training_parts(layout.reader, tmp_path)
        assert (len(valid), set(valid["split"])) == (count["valid"], {"valid"})
        assert said.startswith(
            f"{layout.reader}: {len(train)} faces to train on (the part train), {len(valid)} to watch"
        )
    else:
        with pytest.raises(DatasetError, match=f"{layout.reader}: {count['train']} faces are too few to hold out"):
            splits.load_training_parts(layout.reader, tmp_path)
        train = splits.load_train_part(layout.reader, tmp_path).table
    assert (len(train), set(train["split"])) == (count["train"], {"train"})
    tables = {part: loaded(layout, tmp_path, split=part) for part in ("test", "valid") if part in count}
    known = [part for part, table in tables.items() if (table["expression"] >= 0).any()]
    tested, said = splits.load_evaluation_part(layout.reader, tmp_path)
    if known:
        assert (len(tested), set(tested["split"])) == (count[known[0]], {known[0]})
        assert f"(the part {known[0]})" in said
    else:
        assert len(tested) == sum(count.values()) and "all of it" in said


def test_unknown_split_and_option_are_refused(tree: tuple[Layout, Path]) -> None:
    layout, root = tree
    with pytest.raises(DatasetError) as error:
        loaded(layout, root, split="dev")
    assert_one_line(error, layout.reader, "'dev'")
    with pytest.raises(DatasetError) as error:
        loaded(layout, root, color="red")
    assert_one_line(error, layout.reader, "color", "verify")
    if not layout.splits:
        with pytest.raises(DatasetError, match="no official split"):
            loaded(layout, root, split="train")


def test_nothing_there(tree: tuple[Layout, Path], tmp_path: Path) -> None:
    layout, _ = tree
    with pytest.raises(DatasetError) as error:
        loaded(layout, tmp_path / "nowhere")
    assert_one_line(error, "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError) as error:
        loaded(layout, tmp_path / "empty")
    assert_one_line(error, "empty")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 half a zip")
    with pytest.raises(DatasetError) as error:
        loaded(layout, tmp_path / "broken.zip")
    assert_one_line(error, "broken.zip")
    with pytest.raises(DatasetError) as error:
        datasets.load(layout.reader)
    assert_one_line(error, layout.reader)


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _replace_by_text(path: Path) -> None:
    path.write_bytes(b"this is not an image at all" * 10)


def _cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("harm", [_remove, _empty, _replace_by_text, _cut_short])
@pytest.mark.parametrize("name", WITH_FILES)
def test_bad_file_is_named_or_left_out(name: str, harm: Callable[[Path], None], tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "data"
    layout.write(root)
    harm(root / layout.victim)
    if harm is _remove and layout.after_removal is not None:
        assert len(loaded(layout, root)) == layout.after_removal
        return
    for path in (root, zipped(root, tmp_path / "data.zip")):
        with pytest.raises(DatasetError) as error:
            loaded(layout, path)
        assert_one_line(error, layout.reader, "1 missing or damaged", layout.victim, "strict=False")
        table = loaded(layout, path, strict=False)
        assert len(table) == len(layout.expressions) - 1
        assert len(table.rejected) == 1 and layout.victim in table.rejected[0].path
        prepare_faces(table, ImageSpec(8))


@pytest.mark.parametrize("name", WITH_LABELS)
def test_unknown_code_is_named_or_left_out(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "data"
    layout.write(root)
    file, known, unknown = layout.bad_label
    text = (root / file).read_text(encoding="utf-8")
    assert known in text
    (root / file).write_text(text.replace(known, unknown, 1), encoding="utf-8")
    with pytest.raises(DatasetError) as error:
        loaded(layout, root)
    assert_one_line(error, f"{file}{layout.bad_place}", "strict=False")
    table = loaded(layout, root, strict=False)
    left = [code for row, code in enumerate(layout.expressions) if row not in layout.bad_rows]
    assert table["expression"].tolist() == left
    assert len(table.rejected) == 1


def test_the_first_ten_of_many_bad_files_are_listed(tmp_path: Path) -> None:
    for number in range(13):
        (tmp_path / "anger").mkdir(exist_ok=True)
        (tmp_path / "anger" / f"{number:02}.png").write_bytes(b"no")
    images.write(tmp_path / "anger" / "good.png", picture(0))
    with pytest.raises(DatasetError) as error:
        datasets.load("folder", tmp_path)
    assert_one_line(error, "13 missing or damaged", "00.png", "09.png", "and 3 more")
    assert "10.png" not in str(error.value)
    table = datasets.load("folder", tmp_path, strict=False)
    assert len(table) == 1 and len(table.rejected) == 13


@pytest.mark.parametrize("name", WITH_FILES)
def test_verify_finds_what_the_quick_check_cannot(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "data"
    layout.write(root)
    victim = root / layout.victim
    content = bytearray(victim.read_bytes())
    middle = len(content) // 2
    if victim.suffix == ".png":
        content[middle] ^= 0xFF
        victim.write_bytes(bytes(content))
        with pytest.raises(DatasetError, match="checksum"):
            loaded(layout, root)
    else:
        start_of_frame = content.index(b"\xff\xc0")
        victim.write_bytes(bytes(content[: start_of_frame + 4]) + b"\xff\xd9")
        assert len(loaded(layout, root)) == len(layout.expressions)
        with pytest.raises(DatasetError) as error:
            prepare_faces(loaded(layout, root), ImageSpec(8))
        assert_one_line(error, layout.victim)
    with pytest.raises(DatasetError) as error:
        loaded(layout, root, verify=True)
    assert_one_line(error, layout.victim)
    assert len(loaded(layout, root, verify=True, strict=False)) == len(layout.expressions) - 1


@pytest.mark.parametrize("name", sorted(datasets.READERS))
def test_card(name: str) -> None:
    card = datasets.card(name)
    assert card.startswith("# ")
    for section in ("Source", "License", "Layout", "Labels"):
        assert f"## {section}" in card, section


def test_options_of_synthetic_are_its_own() -> None:
    assert len(datasets.load("synthetic", count=4, identities=2, size=16)) == 4
    with pytest.raises(DatasetError, match="color"):
        datasets.load("synthetic", color="red")


def test_unknown_name() -> None:
    for function in (datasets.load, datasets.card, datasets.reader):
        with pytest.raises(DatasetError, match="unknown data set 'ferminus'.*ferplus"):
            function("ferminus")

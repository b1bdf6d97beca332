"""One walk for photos and data sets: what is read is found, what is left out is counted."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasfer import datasets, folders, images
from kerasfer.recognition import find_photos

CASES = Path(__file__).parent / "cases"


@pytest.fixture
def holiday(tmp_path):
    """What people and their programs leave in a folder of photos."""
    root = tmp_path / "holiday"
    photo = images.encode(np.full((8, 8, 3), 99, np.uint8), ".jpg")
    for name in (
        "a.jpg",
        "b.JFIF",
        "c.heic",
        "d.avif",
        "e.jp2",
        "f.mpo",
        "g.tga",
        "day 2/h.JPEG",
        "no_ending",
        ".ipynb_checkpoints/a-checkpoint.jpg",
        ".thumbnails/a.jpg",
        "__MACOSX/day 2/a.jpg",
        "@eaDir/a.jpg",
        "day 2/._h.JPEG",
        "notes.txt",
        "day 2/app.ts",
        "README",
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"export const x = 1;" if name in ("notes.txt", "day 2/app.ts", "README") else photo)
    shutil.copy(CASES / "noface.mp4", root / "i.mp4")
    shutil.copy(CASES / "noface.mp4", root / "day 2" / "clip")
    return root


PHOTOS = ["a.jpg", "b.JFIF", "c.heic", "d.avif", "day 2/h.JPEG", "e.jp2", "f.mpo", "g.tga", "no_ending"]


def test_photos_videos_and_the_rest(holiday):
    found = folders.walk(holiday)
    assert found.photos == tuple(str(holiday / name) for name in PHOTOS)
    assert found.videos == (str(holiday / "day 2" / "clip"), str(holiday / "i.mp4"))
    assert found.left_out == {folders.HIDDEN: 5, ".txt": 1, ".ts": 1, "without an ending": 1}
    assert found.remark() == "8 files left out: 5 hidden or a system's, 1 .ts, 1 .txt, 1 without an ending"
    assert folders.Listing((), (), {}).remark() == ""


def test_linked_folders_are_searched_once(holiday, tmp_path):
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    shutil.copy(holiday / "a.jpg", other / "deep" / "z.jpg")
    os.symlink(other, holiday / "linked")
    os.symlink(holiday, other / "deep" / "back")
    os.symlink(holiday / "day 2", holiday / "again")
    os.symlink(tmp_path / "gone", holiday / "broken")
    os.symlink(holiday / "a.jpg", holiday / "x.jpg")
    found = folders.walk(holiday)
    names = [os.path.relpath(path, holiday) for path in found.photos]
    assert names == sorted([*PHOTOS, "linked/deep/z.jpg", "x.jpg"])
    assert found.left_out["broken links, pipes or devices"] == 1


def test_recognition_and_data_sets_walk_alike(holiday, caplog):
    with caplog.at_level(logging.WARNING):
        found = [os.path.relpath(path, holiday) for path in find_photos(holiday)]
    assert found == [*PHOTOS, "day 2/clip", "i.mp4"]
    assert "8 files left out: 5 hidden or a system's" in caplog.text
    caplog.clear()
    os.rename(holiday, holiday.with_name("happy"))
    (holiday / "set").mkdir(parents=True)
    os.rename(holiday.with_name("happy"), holiday / "set" / "happy")
    shutil.rmtree(holiday / "set" / "happy" / "day 2")
    with caplog.at_level(logging.WARNING):
        table = datasets.load("folder", holiday / "set", strict=False)
    assert sorted(table["path"]) == [f"happy/{name}" for name in PHOTOS if "/" not in name]
    assert "left out: 4 hidden or a system's, 1 .txt, 1 of video, 1 without an ending" in caplog.text
    archive = shutil.make_archive(str(holiday / "zipped"), "zip", holiday / "set")
    assert list(datasets.load("folder", archive, strict=False)["path"]) == list(table["path"])


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_content_tells_what_a_file_is(name, tmp_path):
    kind = "photo" if name.startswith("a.") else "video"
    for other in ("plain", "wrong.txt", "wrong.jpg", "wrong.mp4"):
        shutil.copy(CASES / name, tmp_path / other)
        assert folders.kind_of(tmp_path / other) == kind
    assert folders.kind_of(tmp_path / "gone.webm") == "video" and folders.kind_of(tmp_path / "gone.JPG") == "photo"
    assert folders.kind_of(tmp_path / "gone") is None


def test_pictures_without_an_ending_are_told(tmp_path):
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "JPEG2000"):
        Image.new("RGB", (32, 32)).save(tmp_path / kind, kind)
        assert folders.kind_of(tmp_path / kind) == "photo"

"""Data sets that lie: one clear error each, nothing read outside, no memory for what is only claimed."""

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerasfer import datasets, images
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable, FolderSource, ZipSource
from kerasfer.expressions import FERPLUS8
from kerasfer.faces import Box

ROOT = Path(__file__).resolve().parents[1]
PNG = images.encode(np.full((8, 8), 90, np.uint8))


def zipped(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def claiming(path, size, packed=None):
    """Changes the sizes that an archive's list of files claims of its only file."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", size)
    if packed is not None:
        content[place + 20 : place + 24] = struct.pack("<I", packed)
    path.write_bytes(content)
    return path


def claiming_64(path, size):
    """The same, with a size of 64 bits."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    name, extra = struct.unpack_from("<HH", content, place + 28)
    assert extra == 0
    content[place + 24 : place + 28] = b"\xff" * 4
    content[place + 30 : place + 32] = struct.pack("<H", 12)
    content[place + 46 + name : place + 46 + name] = struct.pack("<HHQ", 1, 8, size)
    end = content.rindex(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<I", end - place)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("claim", [0, 10, 10_001, 2**31, 2**32 - 2])
def test_a_zip_that_lies_about_a_size(tmp_path, method, claim):
    path = claiming(zipped(tmp_path / "a.zip", {"a.png": bytes(10_000)}, method), claim)
    with pytest.raises(DatasetError, match="a.zip!a.png: damaged in the archive") as raised:
        ZipSource(path).read("a.png")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("claim", [2**40, 2**62, 2**63 + 5])
def test_a_zip_that_claims_terabytes(tmp_path, claim):
    path = claiming_64(zipped(tmp_path / "a.zip", {"a.png": bytes(10_000)}), claim)
    with pytest.raises(DatasetError, match=r"a.zip(!a.png: damaged in|: not a readable zip)"):
        ZipSource(path).read("a.png")


def test_a_zip_that_claims_more_packed_bytes_than_it_has(tmp_path):
    path = claiming(zipped(tmp_path / "a.zip", {"a.png": PNG}), len(PNG), 2**31)
    with pytest.raises(DatasetError, match="no room for its 2147483648 bytes"):
        ZipSource(path).read("a.png")


def test_memory_is_taken_for_no_more_than_is_claimed(tmp_path):
    bomb = zipped(tmp_path / "bomb.zip", {"a.png": bytes(300_000_000)})
    small = tmp_path / "small.zip"
    small.write_bytes(bomb.read_bytes())
    claiming(small, 1000)
    terabyte = claiming_64(zipped(tmp_path / "t.zip", {"a.png": bytes(10_000)}), 2**40)
    program = (
        "import resource, sys; from kerasfer.datasets.base import ZipSource\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: ZipSource(path).read('a.png')\n"
        "    except ValueError: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)"
    )
    command = [sys.executable, "-c", program, small, terabyte]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 50, "megabytes"


def test_a_link_in_a_zip_leads_nowhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    entry = zipfile.ZipInfo("joy/a.png")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, str(tmp_path / "secret.png"))
        file.writestr("happiness/b.png", PNG)
    with pytest.raises(DatasetError, match="a link; put the file itself"):
        ZipSource(tmp_path / "a.zip").read("joy/a.png")


OUTSIDE = ["../secret.png", "a/../../secret.png", "ABSOLUTE", "..", "a\0b.png"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_is_read_outside_a_folder(tmp_path, name):
    (tmp_path / "set").mkdir()
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "set" / "in.png").write_bytes(PNG)
    name = name.replace("ABSOLUTE", str(tmp_path / "secret.png"))
    source = FolderSource(tmp_path / "set")
    with pytest.raises(DatasetError, match="leads out of the data set's folder"):
        source.read(name)
    assert not source.exists(name) and source.exists("in.png") and source.exists("a/../in.png") is False
    (tmp_path / "set" / "labels.csv").write_text(f"path,expression\nin.png,happiness\n{name},happiness\n")
    with pytest.raises(DatasetError, match="leads out of the data set's folder"):
        datasets.load("csv", tmp_path / "set")
    table = datasets.load("csv", tmp_path / "set", strict=False)
    assert table["path"].tolist() == ["in.png"] and len(table.rejected) == 1


@pytest.mark.parametrize("name", ["../happiness/a.png", "/happiness/a.png", "x/../../a.png"])
def test_nothing_is_read_outside_an_archive(tmp_path, name):
    path = zipped(tmp_path / "a.zip", {name: PNG, "set/happiness/b.png": PNG})
    source = ZipSource(path)
    assert not source.exists(name) and source.exists("set/happiness/b.png")
    with pytest.raises(DatasetError, match="leads out"):
        source.read(name)


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("path,identity", "a.png,%s" % ("x" * 140_000), "no CSV .field larger than field limit .131072."),
        ("path,identity", 'a.png,"%s' % ("x\n" * 140_000), "no CSV .*quotation mark"),
        ("path,identity", "a.png,%s" % ("x" * 5000), "line 2: column identity: more than 4096 characters"),
        ("path,fold", "a.png,70000", "line 2: column fold: not a whole number from -32768 to 32767"),
        ("path,frame", "a.png,99999999999999999999999", "line 2: column frame: not a whole number"),
        ("path,frame", "a.png,%s" % ("9" * 10_000), "line 2: column frame: "),
        ("path,votes", "a.png,1 2 nan 0 0 0 0 0", "line 2: column votes: not numbers from 0 to"),
        ("path,votes", "a.png,1 2 -3 0 0 0 0 0", "line 2: column votes: not numbers from 0 to"),
        ("path,votes", "a.png,1 2 inf 0 0 0 0 0", "line 2: column votes: a number is infinite"),
        ("path,votes", "a.png,1 2 1e300 0 0 0 0 0", "line 2: column votes: "),
        ("path,votes", "a.png," + "1 " * 60_000, "line 2: column votes: 60000 numbers instead of 8"),
        ("path,box", "a.png,0 0 1e9 1e9", "line 2: column box: not left, top, right, bottom"),
        ("path,box", "a.png,5 0 2 8", "line 2: column box: not left"),
        ("path,box", "a.png,0 0 nan 8", "line 2: column box: not left"),
        ("path,pose", "a.png,0 inf 0", "line 2: column pose: a number is infinite"),
    ],
    ids=range(15),
)
def test_a_cell_that_cannot_be_is_one_clear_error(tmp_path, header, line, message):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "labels.csv").write_text(f"{header}\n{line}\n")
    with pytest.raises(DatasetError, match=message) as raised:
        datasets.load("csv", tmp_path)
    assert "labels.csv" in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 1000


def test_readers_of_other_sets_tell_a_broken_csv_too(tmp_path):
    zipped(tmp_path / "lfw.zip", {"labels.csv": 'image,identity,expression\na.png,"%s' % ("x\n" * 140_000)})
    with pytest.raises(DatasetError, match="labels.csv line .*: no CSV"):
        datasets.load("lfw_expressions", tmp_path / "lfw.zip")
    votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    zipped(tmp_path / "fer.zip", {"fer2013new.csv": votes + "Training," + "x" * 140_000})
    with pytest.raises(DatasetError, match="fer2013new.csv line 2: no CSV"):
        datasets.load("ferplus", tmp_path / "fer.zip")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"fold": [40_000]}, "'fold' holds whole numbers from -32768 to 32767"),
        ({"frame": [10**30]}, "'frame' holds whole numbers"),
        ({"frame": [float("nan")]}, "'frame' holds whole numbers"),
        ({"votes": [[1, 2, float("nan"), 0, 0, 0, 0, 0]]}, "votes are numbers from 0 to"),
        ({"votes": [[1, 2, -1, 0, 0, 0, 0, 0]]}, "votes are numbers from 0 to"),
        ({"votes": [[1e39, 0, 0, 0, 0, 0, 0, 0]]}, "votes are numbers from 0 to"),
        ({"identity": ["x" * 10_000]}, "'identity' holds texts of at most 4096"),
    ],
    ids=range(7),
)
def test_a_table_wraps_no_number_round(columns, message):
    source = ArraySource(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(DatasetError, match=message):
        FaceTable("made", source, {"path": ["0"], **columns}, FERPLUS8)
    FaceTable("made", source, {"path": ["0"], "fold": [32767], "votes": [[np.nan] * 8], "identity": ["x"]}, FERPLUS8)


def test_a_box_far_larger_than_its_image_is_refused():
    image = np.zeros((48, 48), np.uint8)
    for box in (Box(0, 0, 20_000, 20_000), Box(-1e12, 0, -1e12 + 10, 10), Box(0, 0, 1e300, 1)):
        with pytest.raises(images.ImageError, match="correct the box") as raised:
            images.crop(image, box)
        assert len(str(raised.value)) < 500
    assert images.crop(image, Box(-20, -20, 70, 70)).shape == (90, 90)
    assert images.crop(np.zeros((3000, 60), np.uint8), Box(-1500, 0, 1500, 3000)).shape == (3000, 3000)


def test_a_file_that_no_set_holds_is_not_read_whole(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DatasetError, match="a.png: larger than 1024 MB"):
        FolderSource(tmp_path).read("a.png")


@pytest.mark.parametrize("seed", range(30))
def test_a_mutated_zip_is_read_or_refused(tmp_path, seed):
    generator = np.random.default_rng(seed)
    entries = {f"happiness/{number}.png": PNG for number in range(4)}
    content = bytearray(zipped(tmp_path / "a.zip", entries).read_bytes())
    for place in generator.integers(0, len(content), 3):
        content[place] = generator.integers(256)
    (tmp_path / "b.zip").write_bytes(content)
    try:
        source = ZipSource(tmp_path / "b.zip")
        for name in source.names():
            try:
                assert source.read(name) == PNG
            except DatasetError as error:
                assert "\n" not in str(error)
    except DatasetError as error:
        assert "b.zip" in str(error) and io.StringIO(str(error)).readline() == str(error)

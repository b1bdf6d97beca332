"""Files that are written aside: what fails leaves what was there, and says what helps."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from kerasfer import files


class Broken(ValueError):
    pass


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with files.atomic_file(path) as aside:
        assert aside.suffix == ".csv" and aside.parent == path.parent
        aside.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half" and os.listdir(path.parent) == ["a.csv"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(
        files.os, "fsync", lambda number: order.append(os.path.basename(os.readlink(f"/proc/self/fd/{number}")))
    )
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda old, new: (order.append("renamed"), replace(old, new)))
    files.atomic_write(tmp_path / "a", b"1")
    assert len(order) == 3 and ".tmp" in order[0] and order[1:] == ["renamed", tmp_path.name]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written .No space left on device.*make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "share of the disk"),
        (OSError(errno.EFBIG, "File too large"), "ulimit -f"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission"),
        (OSError(errno.EROFS, "Read-only file system"), "choose another place"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "make room"),
        (OSError("400 requested and 0 written"), "400 requested and 0 written.*room"),
    ],
)
def test_an_error_names_the_file_and_the_remedy(tmp_path, reason, message):
    path = tmp_path / "a.bin"
    path.write_bytes(b"good")
    with pytest.raises(Broken, match=message) as raised, files.atomic_file(path, Broken) as aside:
        aside.write_bytes(b"bad")
        raise reason
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)
    assert path.read_bytes() == b"good" and os.listdir(tmp_path) == ["a.bin"]


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), files.atomic_file(tmp_path / "a"):
        raise KeyError("x")
    with pytest.raises(FileNotFoundError, match="photo.png"), files.atomic_file(tmp_path / "a", Broken):
        (tmp_path / "photo.png").read_bytes()
    with pytest.raises(KeyboardInterrupt), files.atomic_file(tmp_path / "a") as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_the_systems_own_limit(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"good")
    program = (
        "import resource, sys; from kerasfer import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.atomic_write(sys.argv[1], bytes(5000))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert "a.bin: cannot be written (File too large)" in done.stdout and done.stdout.count("\n") == 1
    assert path.read_bytes() == b"good" and os.listdir(tmp_path) == ["a.bin"]


def test_links_streams_modes_and_long_names(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    files.atomic_write(link, b"new")
    assert link.is_symlink() and real.read_bytes() == b"new" and real.stat().st_mode & 0o777 == 0o640
    name = "ü" * 127
    files.atomic_write(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    files.atomic_write(os.devnull, b"x")
    assert Path(os.devnull).is_char_device()
    program = "from kerasfer import files; files.atomic_write('/dev/stdout', b'rows')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"rows"


def test_a_folder_takes_its_place_as_a_whole(tmp_path):
    place = tmp_path / "model"
    with files.atomic_folder(place) as aside:
        (aside / "a").write_text("1")
    with (
        pytest.raises(Broken, match="model: cannot be written .*make room"),
        files.atomic_folder(place, Broken) as aside,
    ):
        (aside / "b").write_text("2")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(place) == ["a"] and os.listdir(tmp_path) == ["model"]
    with files.atomic_folder(place) as aside:
        (aside / "b").write_text("2")
    assert os.listdir(place) == ["b"] and os.listdir(tmp_path) == ["model"]


def test_entries_take_their_places_one_by_one(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "old").write_text("")
    with files.atomic_entries(tmp_path) as aside:
        (aside / "a").write_text("1")
        (aside / "part").mkdir()
        (aside / "part" / "new").write_text("")
    assert sorted(os.listdir(tmp_path)) == ["a", "mine", "part"] and os.listdir(tmp_path / "part") == ["new"]
    with pytest.raises(Broken), files.atomic_entries(tmp_path / "new", Broken) as aside:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not (tmp_path / "new").exists()


def test_no_other_module_renames_what_it_wrote():
    root = Path(__file__).resolve().parents[1]
    word = re.compile(r"\bos\.(replace|rename|renames)\(|\bshutil\.move\(|NamedTemporaryFile|\.unfinished\b.*replace\(")
    found = [
        f"{path.relative_to(root)}:{number}"
        for folder in ("kerasfer", "apps", "scripts")
        for path in (root / folder).rglob("*.py")
        if path.name != "files.py" and "node_modules" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if word.search(line)
    ]
    assert not found, "kerasfer.files does this"


def test_a_cache_takes_its_room_on_the_disk_before_it_is_filled(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    import numpy as np

    from kerasfer.data import cache
    from kerasfer.data.kinds import Images
    from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
    from kerasfer.expressions import FERPLUS8
    from kerasfer.faces import ImageSpec

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    source = ArraySource(np.zeros((4, 8, 8), np.uint8))
    table = FaceTable("made", source, {"path": list("0123"), "expression": [0, 1, 2, 3]}, FERPLUS8)
    with pytest.raises(DatasetError, match="cannot be written .No space left on device.*make room"):
        Images(table, ImageSpec(8), FERPLUS8, 2, cache=tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []

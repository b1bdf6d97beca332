"""Photos by the million: the rows of `kerasfer recognize`, each once, whatever goes wrong on the way."""

from __future__ import annotations

import collections
import dataclasses
import errno
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kerasfer import images, lite

pyarrow = pytest.importorskip("pyarrow", reason="pip install 'kerasfer[ray]'")
pytest.importorskip("fsspec", reason="pip install 'kerasfer[ray]'")

import pyarrow.parquet  # noqa: E402, F811

from kerasfer.ray import BulkError, places, plan, run, segments, shards, sources  # noqa: E402
from kerasfer.ray.counts import Asked, Counts, kind_of_error  # noqa: E402
from kerasfer.ray.places import Folder, Refused, Unreachable  # noqa: E402
from kerasfer.ray.sources import PHOTO, TAR, VIDEO, Entry  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
MODEL = str(lite.recognizer_file("edge"))
HOW = Asked(MODEL, "quick")
LABELS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Contents of files: faces, no face, and all kinds of damage."""
    face = images.resize(images.read(ROOT / "kerasfer" / "astronaut.jpg")[20:276, 100:356], 192)
    good = images.encode(face, ".jpg")
    return {
        "a.jpg": good,
        "b/cut.jpg": good[: len(good) // 2],
        "b/empty.png": b"",
        "b/two.png": images.encode(np.concatenate([face, face[:, ::-1]], 1), ".png"),
        "c[1].jpg": images.encode(face[:, ::-1], ".jpg"),
        "gray.png": images.encode(np.full((64, 64, 3), 90, np.uint8), ".png"),
        "text.jpg": b"no image at all",
    }


@pytest.fixture
def photos(contents, tmp_path) -> Path:
    for name, content in contents.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def recognizer() -> shards.Recognizer:
    return shards.Recognizer(HOW)


def listed(*given, options=None, left_out=None) -> list[Entry]:
    kept = collections.Counter() if left_out is None else left_out
    return list(sources.entries([str(source) for source in given], options or {}, kept))


def planned(folder: Folder, entries, size: int = 3, **asked) -> plan.Plan:
    names = shards.table_columns(shards.FaceClassifier(MODEL), (), False)
    return plan.write_plan(folder, entries, size, asked, lambda videos: names, collections.Counter())


def done(folder: Folder, made: plan.Plan, recognizer: shards.Recognizer) -> list[dict]:
    """Does all shards; gives their rows."""
    for shard in range(made.shards):
        shards.do_shard(recognizer, made, folder, shard)
    return rows_in(Path(folder.address))


def rows_in(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in pyarrow.parquet.read_table(path).to_pylist()]


def plain_rows(source, tmp_path: Path, *more: str) -> list[dict]:
    """What `kerasfer recognize --parquet` writes."""
    module = importlib.import_module("kerasfer.cli.recognize")
    target = tmp_path / "plain.parquet"
    module.main([str(source), "--model", MODEL, "--detector", "quick", "--parquet", str(target), *more])
    return pyarrow.parquet.read_table(target).to_pylist()


# -- rows --------------------------------------------------------------------------------------------------------------


def test_rows_are_those_of_recognize_to_the_bit(photos, tmp_path, recognizer, capsys):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos))
    found = done(folder, made, recognizer)
    assert made.shards == 3 and made.counts == {"photos": 7, "segments": 0, "archives": 0}
    assert found == plain_rows(photos, tmp_path)
    assert [row["face"] for row in found if row["path"].endswith("two.png")] == [1, 2]
    assert [row["face"] for row in found if row["path"].endswith("gray.png")] == [0]
    types = pyarrow.parquet.read_schema(tmp_path / "plain.parquet")
    assert pyarrow.parquet.read_schema(tmp_path / "answers" / "shard-00000.parquet").equals(types)


def test_what_a_shard_counts_goes_with_its_file(photos, tmp_path, recognizer):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 100)
    counted = shards.do_shard(recognizer, made, folder, 0)
    assert (counted.photos, counted.rows, counted.faces) == (7, 8, 4)
    kinds = {"the file is empty": 1, "the image is damaged or truncated": 1, "not an image of a known format": 1}
    assert counted.errors == kinds
    assert shards.counts_of(made, folder, 0) == counted
    total = Counts()
    total.add(counted)
    total.add(counted)
    assert (total.photos, total.errors["the file is empty"]) == (14, 2)


def test_a_shard_that_is_there_is_not_done_again(photos, tmp_path, recognizer, monkeypatch):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 100)
    first = shards.do_shard(recognizer, made, folder, 0)
    monkeypatch.setattr(shards, "_rows", None)
    assert shards.do_shard(recognizer, made, folder, 0) == first


def test_what_is_gone_since_it_was_listed_gets_a_row_that_says_so(photos, tmp_path, recognizer):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos))
    for name in ("a.jpg", "c[1].jpg"):
        (photos / name).unlink()
    errors = {row["path"]: row["error"] for row in done(folder, made, recognizer)}
    for name in ("a.jpg", "c[1].jpg"):
        assert errors[f"{photos}/{name}"] == f"{photos}/{name}: no such file; check the path"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            "a (1).jpg: the image is damaged or truncated (bad; worse); get it again",
            "the image is damaged or truncated",
        ),
        ("a (1).jpg: no such file; check the path", "no such file"),
        ("a (1).jpg: a video, not a photo; give it to somebody", "a video"),
        ("'a (1).jpg': cannot be read (Permission denied)", "cannot be read"),
    ],
)
def test_kinds_of_errors(error, kind):
    assert kind_of_error("a (1).jpg", error) == kind


# -- sources -----------------------------------------------------------------------------------------------------------


def test_folders_patterns_and_single_files(photos):
    left_out = collections.Counter()
    found = [entry.path for entry in listed(photos, left_out=left_out)]
    names = ["a.jpg", "b/cut.jpg", "b/empty.png", "b/two.png", "c[1].jpg", "gray.png", "text.jpg"]
    assert found == [f"{photos}/{name}" for name in names] and left_out == {".txt": 1}
    assert [entry.path for entry in listed(f"{photos}/b/*.png")] == [f"{photos}/b/{n}.png" for n in ("empty", "two")]
    assert [entry.path for entry in listed(photos / "c[1].jpg")] == [f"{photos}/c[1].jpg"]
    assert [entry.path for entry in listed(f"file://{photos}/a.jpg")] == [f"{photos}/a.jpg"]


def test_manifests_of_both_kinds(photos):
    table = pyarrow.table({"label": [1, 2], "path": ["a.jpg", f"{photos}/b/two.png"]})
    pyarrow.parquet.write_table(table, photos / "list.parquet")
    (photos / "list.csv").write_text(f"label,path\n1,a.jpg\n\n2,{photos}/b/two.png\n")
    wanted = [Entry(PHOTO, f"{photos}/a.jpg"), Entry(PHOTO, f"{photos}/b/two.png")]
    assert listed(photos / "list.parquet") == listed(photos / "list.csv") == wanted
    (photos / "kinds.csv").write_text("path\ns3://bucket/a.tar\nhttps://web/c.mp4\n")
    assert [entry.kind for entry in listed(photos / "kinds.csv")] == [TAR, VIDEO]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path\na.jpg\n ,x\n", "row 3 names no photo"),
        ("label,path\n1\n", "row 2 names no photo"),
        ("file\na.jpg\n", "has no column path, but file; name it so"),
        ("", "has no column path, but nothing"),
        ('path\n"a.jpg\n', "is no CSV file"),
        ("path\n", "holds no photos"),
    ],
)
def test_manifests_that_are_wrong(content, message, tmp_path):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(BulkError, match=message) as caught:
        listed(tmp_path / "list.csv")
    assert str(tmp_path / "list.csv") in str(caught.value)


def test_a_manifest_in_parquet_with_a_gap(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.jpg", None]}), tmp_path / "list.parquet")
    with pytest.raises(BulkError, match="list.parquet: row 2 names no photo"):
        listed(tmp_path / "list.parquet")
    (tmp_path / "list.parquet").write_bytes(b"PAR1")
    with pytest.raises(BulkError, match="is no Parquet file"):
        listed(tmp_path / "list.parquet")
    with pytest.raises(BulkError, match="nowhere.csv: no such file"):
        listed(tmp_path / "nowhere.csv")


def test_sources_that_hold_nothing(tmp_path):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(BulkError, match=r"holds no photos, videos or archives; 1 file left out: 1 \.txt"):
        listed(tmp_path)
    with pytest.raises(BulkError, match="an empty source"):
        listed("")
    with pytest.raises(BulkError, match="nonsense:// cannot be read here"):
        listed("nonsense://x/y.jpg")


def test_what_is_listed_twice_is_told(photos, tmp_path):
    folder = Folder(str(tmp_path / "answers"))
    with pytest.raises(BulkError, match=r"a\.jpg: is listed twice, as entries 1 and 8; take one out"):
        planned(folder, listed(photos, f"{photos}/a*.jpg"))
    assert plan.read_plan(folder, {}) is None


# -- archives ----------------------------------------------------------------------------------------------------------


def write_tar(path: Path, members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_archives_give_the_rows_of_their_photos(contents, photos, tmp_path, recognizer, name, mode):
    members = [*contents.items(), ("0.cls", b"3"), ("clip.mp4", b"x")]
    archive = write_tar(tmp_path / name, members, mode)
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(archive, photos / "gray.png"))
    assert made.shards == 2
    found = done(folder, made, recognizer)[:-1]
    plain = plain_rows(photos, tmp_path)
    for row, wanted in zip(found, plain, strict=True):
        address = wanted["path"].replace(f"{photos}/", "tar://") + f"::{archive}"
        error = wanted["error"] and wanted["error"].replace(wanted["path"], address)
        assert row == {**wanted, "path": address, "error": error}
    assert shards.counts_of(made, folder, 0).left_out == {".cls": 1, "videos in archives": 1}


def test_an_archive_that_is_cut_off_or_gone(contents, tmp_path, recognizer):
    whole = write_tar(tmp_path / "whole.tar", [("a.jpg", contents["a.jpg"]), ("b.jpg", contents["a.jpg"])])
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: 512 + 10240 + 2000])
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, [Entry(TAR, str(cut)), Entry(TAR, str(tmp_path / "gone.tar"))])
    found = done(folder, made, recognizer)
    assert found[-1]["error"] == f"{tmp_path}/gone.tar: no such file; check the path"
    assert found[-2]["path"] == str(cut) and "the archive is damaged or cut off after" in found[-2]["error"]
    assert shards.counts_of(made, folder, 0).errors["the archive is damaged or cut off"] == 1


def test_a_name_that_an_archive_has_twice(contents, tmp_path, recognizer):
    archive = write_tar(tmp_path / "a.tar", [(name, contents["a.jpg"]) for name in ("x.jpg", "x.jpg", "y.jpg")])
    folder = Folder(str(tmp_path / "answers"))
    found = done(folder, planned(folder, listed(archive)), recognizer)
    assert [row["path"].partition("::")[0] for row in found] == ["tar://x.jpg", "tar://x.jpg", "tar://y.jpg"]
    assert found[1]["error"].endswith("has the name of an earlier file of the archive; give it another")


# -- stores ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(contents):
    """fsspec's store in memory, with the photos."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name, content in {**contents, "notes.txt": b"x", ".hidden/z.jpg": b"z"}.items():
        memory.pipe_file(f"/photos/{name}", content)
    yield memory
    memory.store.clear()


def test_photos_from_a_store_give_the_same_rows(store, photos, tmp_path, recognizer):
    left_out = collections.Counter()
    entries = listed("memory://photos", left_out=left_out)
    assert left_out[".txt"] == 1 and sum(left_out.values()) == 2
    folder = Folder(str(tmp_path / "answers"))
    found = sorted(done(folder, planned(folder, entries), recognizer), key=lambda row: (row["path"], row["face"] or 0))
    wanted = sorted(plain_rows(photos, tmp_path), key=lambda row: (row["path"], row["face"] or 0))
    for row, plain in zip(found, wanted, strict=True):
        address = plain["path"].replace(str(photos), "memory://photos")
        error = plain["error"] and plain["error"].replace(plain["path"], address)
        assert row == {**plain, "path": address, "error": error}


def test_results_in_a_store(store, photos, tmp_path, recognizer):
    folder = Folder("memory://answers/2026/")
    made = planned(folder, listed(photos))
    counts = [shards.do_shard(recognizer, made, folder, shard) for shard in range(made.shards)]
    assert {"shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"} <= folder.names()
    assert counts == [shards.counts_of(made, folder, shard) for shard in range(made.shards)]
    table = pyarrow.parquet.read_table(io.BytesIO(folder.read("shard-00000.parquet")))
    assert table.to_pylist() == plain_rows(photos, tmp_path)[: table.num_rows]


def failing(error: Exception, times: int, answer: bytes = b"content"):
    """A store that fails some times before it answers."""
    calls = []

    class Store:
        def cat_file(self, *_, **__):
            calls.append(1)
            if len(calls) <= times:
                raise error
            return answer

        def info(self, _):
            return {"size": 7}

    return Store(), calls


def test_a_store_is_asked_again_and_then_given_up(monkeypatch):
    monkeypatch.setattr(places, "PAUSE", 0.0)
    store, calls = failing(TimeoutError("slow"), 2)
    monkeypatch.setattr(places, "store_of", lambda *_: store)
    assert places.fetch("s3://b/a.jpg", 7, {}) == b"content" and len(calls) == 3
    store, calls = failing(TimeoutError("slow"), 99)
    with pytest.raises(Unreachable, match=r"s3://b/a.jpg: the store does not answer, asked 4 times \(slow\)"):
        places.fetch("s3://b/a.jpg", 7, {})
    assert len(calls) == 4


@pytest.mark.parametrize("error", [PermissionError("403"), RuntimeError("Unable to locate credentials")])
def test_credentials_that_fail_are_no_error_of_a_photo(monkeypatch, tmp_path, recognizer, error):
    """A run whose credentials are over would else write rows that say that its photos are bad."""
    store, calls = failing(error, 99)
    monkeypatch.setattr(places, "store_of", lambda *_: store)
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, [Entry(PHOTO, "s3://b/a.jpg", 7)])
    with pytest.raises(Refused, match="s3://b/a.jpg: the store refuses .*; renew the credentials"):
        shards.do_shard(recognizer, made, folder, 0)
    assert len(calls) == 1 and "shard-00000.parquet" not in folder.names()


def test_the_size_of_a_photo_in_a_store_is_limited(monkeypatch):
    store, _ = failing(TimeoutError(), 0, b"x" * 20)
    monkeypatch.setattr(places, "store_of", lambda *_: store)
    monkeypatch.setattr(places, "MOST_CONTENT", 10)
    for size in (20, -1):
        with pytest.raises(ValueError, match="s3://b/a.jpg: has more than .* MB; shrink it first"):
            places.fetch("s3://b/a.jpg", size, {})
    assert places.fetch("s3://b/a.jpg", 0, {}) == b""


@pytest.fixture
def web(photos):
    """The photos on a web server."""
    pytest.importorskip("aiohttp", reason="pip install aiohttp")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(photos))

        def do_GET(self):
            if "forbidden" in self.path:
                return self.send_error(403)
            return super().do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_photos_on_the_web(web, photos, tmp_path, recognizer, monkeypatch):
    monkeypatch.setattr(places, "PAUSE", 0.0)
    names = ["a.jpg", "b/empty.png", "gone.jpg", "forbidden.jpg"]
    addresses = [*(f"{web}/{name}" for name in names), "http://127.0.0.1:9/down.jpg"]
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(addresses))
    folder = Folder(str(tmp_path / "answers"))
    found = done(folder, planned(folder, listed(tmp_path / "list.csv")), recognizer)
    assert [row["path"] for row in found] == addresses
    plain = plain_rows(photos, tmp_path)[0]
    assert found[0] == {**plain, "path": addresses[0]}
    ends = [
        "the file is empty; get it again",
        "no such file; check the path",
        "; check the address",
        "; try again later",
    ]
    for row, end in zip(found[1:], ends, strict=True):
        assert row["error"].startswith(f"{row['path']}: ") and row["error"].endswith(end), row["error"]
    assert "403" in found[3]["error"]


@pytest.fixture
def bucket(photos):
    """An S3 store on this machine, with the photos in the bucket "photos" and an empty bucket; its options."""
    pytest.importorskip("s3fs", reason="pip install s3fs")
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {"s3": {"endpoint_url": f"http://127.0.0.1:{port}", "key": "test", "secret": "test"}}
    s3 = places.store_of("s3://photos", options)
    for name in ("photos", "answers"):
        s3.mkdir(f"s3://{name}")
    for path in photos.rglob("*.*"):
        s3.put_file(str(path), f"s3://photos/2026/{path.relative_to(photos)}")
    yield options
    server.stop()


@pytest.mark.slow
def test_photos_and_results_in_s3(bucket, photos, tmp_path, recognizer):
    entries = listed("s3://photos/2026", options=bucket)
    assert {entry.path: entry.size for entry in entries if "b/" in entry.path} == {
        f"s3://photos/2026/b/{path.name}": path.stat().st_size for path in (photos / "b").iterdir()
    }
    assert listed("s3://photos/2026/b/*.png", options=bucket) == [entry for entry in entries if "/b/" in entry.path][1:]
    folder = Folder("s3://answers/2026", bucket)
    made = planned(folder, entries)
    assert plan.read_plan(folder, {}) == made
    far = shards.Recognizer(HOW, bucket)
    counts = [shards.do_shard(far, made, folder, shard) for shard in range(made.shards)]
    assert folder.names() >= {"shard-00000.parquet", "shard-00002.parquet"}
    assert counts == [shards.counts_of(made, folder, shard) for shard in range(made.shards)]
    found = []
    for shard in range(made.shards):
        found += pyarrow.parquet.read_table(io.BytesIO(folder.read(plan.shard_name(shard)))).to_pylist()
    wanted = plain_rows(photos, tmp_path)
    key = lambda row: (row["path"], row["face"] or 0)  # noqa: E731
    for row, plain in zip(sorted(found, key=key), sorted(wanted, key=key), strict=True):
        address = plain["path"].replace(str(photos), "s3://photos/2026")
        assert row == {
            **plain,
            "path": address,
            "error": plain["error"] and plain["error"].replace(plain["path"], address),
        }
    with pytest.raises(BulkError, match="s3://nowhere/x: cannot be .*|s3://nowhere/x: no such file or folder"):
        listed("s3://nowhere/x", options=bucket)


# -- plans -------------------------------------------------------------------------------------------------------------


def test_a_plan_is_kept_and_another_command_refused(photos, tmp_path):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 3, model="edge", prior=None)
    assert plan.read_plan(folder, {"model": "edge", "prior": None}) == made
    with pytest.raises(BulkError, match=r'was begun with model "edge", not "tdgan"; give the same again, or another'):
        plan.read_plan(folder, {"model": "tdgan", "prior": None})
    Path(folder.address, "_plan", "plan.json").write_text("{")
    with pytest.raises(BulkError, match=r"_plan/plan\.json: is damaged"):
        plan.read_plan(folder, {})


def test_shards_are_cut_the_same_each_time():
    photos = [Entry(PHOTO, f"{number}.jpg") for number in range(7)]
    entries = [*photos[:4], Entry(TAR, "a.tar"), *photos[4:], Entry(VIDEO, "c.mp4", frames=5), Entry(VIDEO, "d.mp4")]
    found = [[entry.path for entry in shard] for shard in plan.shards_of(entries, 3)]
    assert found == [
        ["0.jpg", "1.jpg", "2.jpg"],
        ["3.jpg"],
        ["a.tar"],
        ["4.jpg", "5.jpg", "6.jpg"],
        ["c.mp4"],
        ["d.mp4"],
    ]


def test_a_list_of_more_shards_than_one_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "PART", 2)
    folder = Folder(str(tmp_path))
    name = "odd\udce9.jpg"
    entries = [Entry(PHOTO, name), *(Entry(VIDEO, f"{number}.mp4", 9, 1.5, 2.5, 3, 2) for number in range(8))]
    made = planned(folder, entries, 2)
    assert made.shards == 8 and {"entries-00003.parquet", "plan.json"} <= set(os.listdir(tmp_path / "_plan"))
    assert [entry for shard in range(made.shards) for entry in made.entries(folder, shard)] == entries


def test_a_shard_with_other_columns_is_no_part_of_the_table(photos, tmp_path, recognizer):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 100)
    shards.do_shard(recognizer, made, folder, 0)
    other = dataclasses.replace(made, columns=(*made.columns, "AU1"))
    with pytest.raises(BulkError, match=r"shard-00000.parquet: has other columns than the rest \(AU1\); remove it"):
        shards.counts_of(other, folder, 0)
    (tmp_path / "answers" / "shard-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(BulkError, match=r"shard-00000.parquet: is damaged"):
        shards.counts_of(made, folder, 0)


def test_a_full_disk_leaves_no_half_shard(photos, tmp_path, recognizer, monkeypatch):
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 100)

    whole = Path.write_bytes

    def full(path, content):
        if "shard-" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(BulkError, match=r"shard-00000.parquet: cannot be written \(No space left on device\)"):
            shards.do_shard(recognizer, made, folder, 0)
    assert folder.names() == {"_plan"}
    assert shards.do_shard(recognizer, made, folder, 0).photos == 7


def test_what_killed_writers_left_is_swept(tmp_path):
    folder = Folder(str(tmp_path))
    (tmp_path / ".shard-00001.17.23.tmp.parquet").write_text("half")
    folder.write("shard-00000.parquet", b"whole")
    folder.sweep()
    assert folder.names() == {"shard-00000.parquet"}


def test_a_photo_that_ends_the_programs_that_read_it_gets_a_row(photos, tmp_path, recognizer, monkeypatch):
    """As a decoder's fault does it; without an end of it the shard would be begun for ever."""
    folder = Folder(str(tmp_path / "answers"))
    made = planned(folder, listed(photos), 100)
    starts = []

    class Death(BaseException):
        pass

    def deadly(self, given):
        for photo in given:
            starts.append(photo.path)
            if photo.path.endswith("b/two.png"):
                raise Death
            yield shards.PhotoResult(photo.path, [])

    with monkeypatch.context() as patched:
        patched.setattr(shards.Recognizer, "results", deadly)
        for _ in range(6):
            with pytest.raises(Death):
                shards.do_shard(recognizer, made, folder, 0)
    found = shards.do_shard(recognizer, made, folder, 0)
    plain = plain_rows(photos, tmp_path)
    rows = rows_in(tmp_path / "answers")
    bad = [row for row in rows if row["path"].endswith("b/two.png")]
    assert [row["error"].partition(": ")[2] for row in bad] == [
        "ended 2 programs that read it; look at it in one of its own"
    ]
    assert [row for row in rows if row not in bad] == [row for row in plain if not row["path"].endswith("b/two.png")]
    assert found.errors["ended 2 programs that read it"] == 1 and len(rows) == found.rows == 7
    assert not list((tmp_path / "answers" / "_plan").glob("attempts*"))


def test_photos_done_one_by_one_give_the_same_rows(contents, photos, tmp_path, recognizer, monkeypatch):
    monkeypatch.setattr("kerasfer.ray.guard.STARTS", 0)
    archive = write_tar(tmp_path / "a.tar", contents.items())
    folder = Folder(str(tmp_path / "answers"))
    found = done(folder, planned(folder, listed(photos, archive), 100), recognizer)
    plain = plain_rows(photos, tmp_path)
    assert found[: len(plain)] == plain
    assert [row["face"] for row in found[len(plain) :]] == [row["face"] for row in plain]


# -- videos ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Three seconds of a face, a key frame every ten frames."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    face = images.resize(images.read(ROOT / "kerasfer" / "astronaut.jpg")[20:276, 100:356], 128)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"g": "10", "sc_threshold": "1000000000"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.roll(face, number, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_video_is_cut_at_key_frames(clip):
    found = segments.parts(Entry(VIDEO, str(clip)), 0.5, {})
    assert [(entry.start, entry.end, entry.first, entry.frames) for entry in found] == [
        (0.0, pytest.approx(1.0), 0, 10),
        (pytest.approx(1.0), pytest.approx(2.0), 10, 10),
        (pytest.approx(2.0), float("inf"), 20, 10),
    ]
    assert [segments.name_of_part(entry) for entry in found] == [f"{clip}#t=0,1", f"{clip}#t=1,2", f"{clip}#t=2"]
    assert segments.parts(Entry(VIDEO, str(clip)), 1.5, {})[0].frames == 20
    assert len(segments.parts(Entry(VIDEO, str(clip)), 60, {})) == 1


def test_parts_of_a_video_have_all_its_frames_once(clip):
    from kerasfer.frames import open_part, open_video

    with open_video(clip) as video:
        whole = list(video)
    found = []
    for entry in segments.parts(Entry(VIDEO, str(clip)), 0.5, {}):
        with clip.open("rb") as file, open_part(file, str(clip), entry.start, entry.end) as part:
            frames = list(part)
        assert len(frames) == entry.frames and part.problem is None
        found += frames
    assert [frame.time for frame in found] == pytest.approx([frame.time for frame in whole])
    assert all(np.array_equal(frame.image, same.image) for frame, same in zip(found, whole, strict=True))


def test_rows_of_videos(clip, tmp_path):
    counts = Counts()
    (whole,) = segments.parts(Entry(VIDEO, str(clip)), 60, {})
    found = list(segments.segment_rows(HOW, {}, whole, counts))
    assert counts.frames == 30 and not counts.errors
    module = importlib.import_module("kerasfer.cli.recognize")
    target = tmp_path / "plain.parquet"
    module.main([str(clip), "--model", MODEL, "--parquet", str(target)])
    plain = pyarrow.parquet.read_table(target).to_pylist()
    assert [{name: row.get(name) for name in plain[0]} for row in found] == plain
    rows = []
    for entry in segments.parts(Entry(VIDEO, str(clip)), 0.5, {}):
        rows += segments.segment_rows(HOW, {}, entry, Counts())
    assert [row["frame"] for row in rows] == list(range(30)) and {row["person"] for row in rows} == {1}


def test_videos_that_cannot_be_read(clip, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(b"\0\0\0\x18ftypmp42")
    for path, end in ((cut, "convert it to MP4"), (tmp_path / "gone.mp4", "no such file; check the path")):
        (entry,) = segments.parts(Entry(VIDEO, str(path)), 0.5, {})
        counts = Counts()
        (row,) = segments.segment_rows(HOW, {}, entry, counts)
        assert row["path"] == str(path) and row["error"].endswith(end) and sum(counts.errors.values()) == 1


# -- a cluster ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, one worker."""
    ray = pytest.importorskip("ray", reason="pip install 'kerasfer[ray]'")
    pytest.importorskip("ray.data", reason="pip install 'kerasfer[ray]'")
    before = dict(os.environ)
    os.environ |= {"RAY_worker_niceness": "0", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    try:
        with run.cluster(None, 1):
            yield ray
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_without_ray_one_line_says_what_to_install(photos, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')")
    kept = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    program = [sys.executable, str(ROOT / "apps" / "recognize_many.py"), str(photos), "--output", str(tmp_path / "out")]
    result = subprocess.run(program, env=kept, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: Ray Data is not installed (no ray here): pip install 'kerasfer[ray]'\n"


def test_the_command_from_photos_to_report_and_again(cluster, photos, tmp_path, capsys):
    command = importlib.import_module("kerasfer.cli.recognize_many")
    plain = plain_rows(photos, tmp_path)
    capsys.readouterr()
    options = [str(photos), "--output", str(tmp_path / "out"), "--model", "edge", "--lite", "--detector", "quick"]
    assert command.main([*options, "--shard-size", "3"]) == 1
    first = capsys.readouterr()
    assert first.out.splitlines()[0] == f"{tmp_path}/out: 7 photos, 4 faces, 8 rows"
    assert "    1  the file is empty" in first.out and "1 file left out: 1 .txt" in first.out
    assert "3 of 3 shards, 7 photos, 4 faces, " in first.err and first.err.endswith("/s, 0:00 left\n")
    assert rows_in(tmp_path / "out") == plain
    assert json.loads((tmp_path / "out" / "_plan" / "plan.json").read_text())["left_out"] == {".txt": 1}
    # Again, after one shard was lost.
    (tmp_path / "out" / "shard-00001.parquet").rename(tmp_path / "kept.parquet")
    assert command.main([*options, "--shard-size", "3"]) == 1
    again = capsys.readouterr().out
    assert again.splitlines()[0] == first.out.splitlines()[0] and "2 of them by earlier runs" in again
    assert (tmp_path / "out" / "shard-00001.parquet").read_bytes() == (tmp_path / "kept.parquet").read_bytes()
    with pytest.raises(BulkError, match="out: was begun with shard size 3, not 4; give the same again, or another"):
        command.main([*options, "--shard-size", "4"])
    # What a worker cannot do ends the run with its reason.
    (tmp_path / "out" / "shard-00002.parquet").unlink()
    (tmp_path / "out" / "_plan" / "entries-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(BulkError, match="entries-00000.parquet: cannot be read"):
        command.main([*options, "--shard-size", "3"])


def test_a_stage_of_a_dataset_of_ones_own(cluster, photos, tmp_path):
    import ray.data

    from kerasfer.ray import recognize

    plain = plain_rows(photos, tmp_path)
    paths = list(dict.fromkeys(row["path"] for row in plain))
    contents = [{"path": path, "bytes": Path(path).read_bytes()} for path in paths]
    how = {"model": MODEL, "detector": "quick", "workers": 1}
    found = recognize(ray.data.from_items(contents, override_num_blocks=1), **how).take_all()
    assert found == plain


@pytest.mark.slow
def test_rows_are_the_same_after_kills_of_drivers_workers_and_nodes(tmp_path):
    pytest.importorskip("ray.data", reason="pip install 'kerasfer[ray]'")
    program = [sys.executable, str(ROOT / "scripts" / "ray_kills.py"), "--folder", str(tmp_path), "--photos", "400"]
    program += ["--kills", "3", "--gap", "3", "8", "--shard-size", "20", "--json", str(tmp_path / "kills.json")]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    told = json.loads((tmp_path / "kills.json").read_text())
    assert sum(told["kills"].values()) == 3 and told["rows twice"] == told["photos without a row"] == 0


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("ray_page")


def test_the_page_shows_what_was_measured(page, capsys):
    assert page.main(["--check"]) == 0, capsys.readouterr()
    assert capsys.readouterr().out == "docs/guides/scale.md: up to date\n"


def test_the_page_is_written_from_the_files_alone(page, tmp_path, capsys):
    (tmp_path / "docs" / "scale").mkdir(parents=True)
    (tmp_path / "saved_models").mkdir()
    text = (ROOT / "docs" / "guides" / "scale.md").read_text(encoding="utf-8")
    (tmp_path / "docs" / "guides").mkdir()
    (tmp_path / "docs" / "guides" / "scale.md").write_text(text, encoding="utf-8")
    assert page.main([], tmp_path) == 2 and "ray.json: cannot be read" in capsys.readouterr().err
    for name in ("ray.json", "kills.json"):
        (tmp_path / "docs" / "scale" / name).write_bytes((ROOT / "docs" / "scale" / name).read_bytes())
    told = json.loads((tmp_path / "docs" / "scale" / "kills.json").read_text())
    (tmp_path / "docs" / "scale" / "kills.json").write_text(json.dumps({**told, "photos": 123456789}))
    assert page.main(["--check"], tmp_path) == 1
    assert page.main([], tmp_path) == 0
    assert "| 123,456,789, " in (tmp_path / "docs" / "guides" / "scale.md").read_text(encoding="utf-8")
    del told["kills"]
    (tmp_path / "docs" / "scale" / "kills.json").write_text(json.dumps(told))
    assert page.main([], tmp_path) == 2 and "lacks a figure" in capsys.readouterr().err

"""Shards give back the table, its images and its trainings; what is missing or damaged is named."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

parquet = pytest.importorskip("pyarrow.parquet")

from kerasfer import datasets, images, splits  # noqa: E402
from kerasfer.cli import data as command  # noqa: E402
from kerasfer.data.cache import PreparedFaces  # noqa: E402
from kerasfer.datasets import shards  # noqa: E402
from kerasfer.datasets.base import COLUMNS, ArraySource, DatasetError, FaceTable, Rejected  # noqa: E402
from kerasfer.datasets.reading import prepare_faces  # noqa: E402
from kerasfer.expressions import FERPLUS8, LabelSpace  # noqa: E402
from kerasfer.faces import ImageSpec  # noqa: E402

COUNT = 24


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (40, 40), np.uint8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A zip with a list of faces, two of them in one photo."""
    path = tmp_path_factory.mktemp("zip") / "faces.zip"
    lines = ["path,expression,identity,split,box"]
    with zipfile.ZipFile(path, "w") as file:
        for row in range(COUNT):
            name = f"faces/{row if row != 5 else 4:03d}.png"
            part = "valid" if row % 4 == 3 else "train"
            lines.append(f"{name},{['happy', 'sad', 'angry'][row % 3]},p{row % 6},{part},{row % 3} 0 {30 + row % 5} 36")
            if row != 5:
                file.writestr(name, images.encode(picture(row)))
        file.writestr("labels.csv", "\n".join(lines))
    return path


@pytest.fixture(scope="module")
def table(archive) -> FaceTable:
    return datasets.load("csv", archive)


@pytest.fixture
def folder(table, tmp_path) -> Path:
    shards.write(table, tmp_path / "shards", rows=7)
    return tmp_path / "shards"


def assert_same(found: FaceTable, expected: FaceTable) -> None:
    assert (found.name, found.classes, found.label_space, found.vote_space) == (
        expected.name,
        expected.classes,
        expected.label_space,
        expected.vote_space,
    )
    assert list(found.columns) == list(expected.columns)
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert found[name].dtype.kind == values.dtype.kind


def test_the_table_and_the_bytes_of_its_images_come_back(table, folder):
    found = datasets.load("shards", folder)
    assert_same(found, table)
    assert [found.read(row) for row in range(COUNT)] == [table.read(row) for row in range(COUNT)]
    assert [path.name for path in sorted(folder.iterdir())] == [
        *(f"shard-{number:05d}.parquet" for number in range(4)),
        "shards.json",
    ]
    stored = [parquet.read_table(path)["image"].null_count for path in sorted(folder.glob("*.parquet"))]
    assert stored == [1, 0, 0, 0], "the photo that two faces are in is stored once"


def test_every_column_and_classes_of_ones_own(tmp_path):
    space = LabelSpace.of(("calm", "wild"))
    generator = np.random.default_rng(1)
    columns = {
        "path": [str(number) for number in range(5)],
        "expression": ["calm", "", "wild", "calm", "wild"],
        "votes": generator.random((5, 2)),
        "identity": ["Zoë", "", "a\udce9", "\\xe9", "b"],
        "box": [[0, 0, 5, 6], *[[np.nan] * 4] * 4],
        "pose": generator.random((5, 3)),
        "landmarks": generator.random((5, 68, 2)),
        "aus": generator.random((5, 14)),
        "blendshapes": generator.random((5, 52)),
        "split": ["train", "", "test", "valid", "train"],
        "fold": [-1, 0, 3, 9, 2],
        "sequence": ["s", "", "s", "t", ""],
        "frame": [-1, 70000, 3, 4, 5],
    }
    assert set(columns) == set(COLUMNS)
    pixels = generator.integers(0, 256, (5, 12, 10, 3)).astype(np.uint8)
    left_out = [Rejected("a\udce9.png", "cut short")]
    table = FaceTable("mine", ArraySource(pixels), columns, space, left_out, space.labels, space)
    shards.write(table, tmp_path, rows=2)
    found = shards.read(tmp_path)
    assert_same(found, table)
    assert found.rejected == table.rejected
    spec = ImageSpec(12)
    np.testing.assert_array_equal(prepare_faces(found, spec), prepare_faces(table, spec))


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_arrays_give_the_same_pixels(tmp_path, channels):
    pixels = np.arange(3 * 16 * 16, dtype=np.uint16).reshape(3, 16, 16).astype(np.uint8)
    table = FaceTable("gray", ArraySource(pixels), {"path": ["0", "1", "2"]}, FERPLUS8)
    shards.write(table, tmp_path)
    spec = ImageSpec(16, channels)
    np.testing.assert_array_equal(prepare_faces(shards.read(tmp_path), spec), prepare_faces(table, spec))


def test_an_array_that_a_png_does_not_hold_is_refused(tmp_path):
    table = FaceTable("four", ArraySource(np.full((1, 4, 4, 4), 7, np.uint8)), {"path": ["0"]}, FERPLUS8)
    with pytest.raises(DatasetError, match=r"memory\[0\]: an array of shape \(4, 4, 4\) cannot be stored"):
        shards.write(table, tmp_path)
    assert not (tmp_path / shards.MANIFEST).exists()


def test_rows_in_any_order_from_several_threads_and_after_pickling(table, folder, monkeypatch):
    monkeypatch.setattr(shards, "_GROUP", 64)
    found = pickle.loads(pickle.dumps(datasets.load("shards", folder)))
    order = np.random.default_rng(0).permutation(COUNT)
    spec = ImageSpec(20, 1)
    np.testing.assert_array_equal(prepare_faces(found, spec, order), prepare_faces(table, spec, order))
    np.testing.assert_array_equal(prepare_faces(found.select(order), spec), prepare_faces(table.select(order), spec))


def test_groups_of_a_shard(tmp_path):
    """More rows in a shard than are read together."""
    count = 2 * shards._GROUP + 3
    pixels = np.zeros((count, 4, 4), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None]
    table = FaceTable("groups", ArraySource(pixels), {"path": [str(row) for row in range(count)]}, FERPLUS8)
    shards.write(table, tmp_path, rows=count)
    assert parquet.ParquetFile(tmp_path / "shard-00000.parquet").num_row_groups == 3
    found = shards.read(tmp_path)
    assert [images.decode(found.read(row))[0, 0, 0] for row in range(count)] == list(range(count))


def test_the_same_faces_are_held_out(table, archive, folder):
    of_zip = splits.load_training_parts("csv", archive, 0.4, split="all")
    of_shards = splits.load_training_parts("shards", folder, 0.4, split="all")
    assert of_zip.train["path"].tolist() == of_shards.train["path"].tolist()
    assert of_zip.valid["path"].tolist() == of_shards.valid["path"].tolist()


def test_a_part_is_read_alone(table, folder):
    assert_same(datasets.load("shards", folder, split="valid"), table.where(split="valid"))
    with pytest.raises(DatasetError, match="holds no faces of split 'test'"):
        datasets.load("shards", folder, split="test")


def test_some_columns_are_read_alone(table, folder):
    found = datasets.load("shards", folder, columns=("identity",), split="train")
    assert list(found.columns) == ["path", "expression", "identity", "split"]
    assert found["identity"].tolist() == table.where(split="train")["identity"].tolist()
    with pytest.raises(DatasetError, match="columns must be one of path, expression, identity, box, split, not 'age'"):
        datasets.load("shards", folder, columns=("age",))


def test_a_recipe_whose_images_are_kept_nowhere_has_the_same_batches(table):
    from kerasfer.data import Recipe
    from kerasfer.models.edge import Edge

    config = Edge.Config.tiny().replace(expressions=("happiness", "sadness", "anger"), batch_size=4)
    batches = []
    for memory in (True, None):
        prepared = Recipe(train=table, valid=0, split="all", memory=memory).prepare(Edge, config)
        made = prepared.batches(ImageSpec(config.image_size, config.channels), LabelSpace.of(config.expressions), 4)
        assert (made._faces[0].pixels is None) == (memory is None)
        batches.append([batch["image"].numpy() for batch in made.epoch(1)])
    np.testing.assert_array_equal(*batches)


def test_training_on_shards_has_the_losses_of_training_on_the_zip(table, folder):
    from tiny_training import Steady, least, state_arrays

    from kerasfer.data.kinds import Images

    config = least(variant="cnn_base", batch_size=8)
    model = Steady(config)
    model.compile(total_steps=6)
    first, losses, trained = state_arrays(model), {}, {}
    for name, faces in (("zip", table), ("shards", datasets.load("shards", folder))):
        for key, variable in model.state().items():
            variable.assign(first[key])
        batches = Images(faces, model.image_spec, model.label_space, config.batch_size, seed=3)
        steps = [batch for epoch in range(2) for batch in batches.epoch(epoch)]
        losses[name] = [{key: float(value) for key, value in model.train_step(batch).items()} for batch in steps]
        trained[name] = state_arrays(model)
    assert len(losses["zip"]) == 6 and losses["zip"] == losses["shards"]
    for key, values in trained["zip"].items():
        np.testing.assert_array_equal(trained["shards"][key], values, err_msg=key)


def test_the_cache_tells_shards_apart(table, folder, tmp_path):
    spec, cache = ImageSpec(16, 1), tmp_path / "cache"
    first = PreparedFaces(datasets.load("shards", folder), spec, cache).pixels
    shutil.rmtree(folder)
    other = table.replace(source=ArraySource(np.full((COUNT, 40, 40), 9, np.uint8)))
    other = other.with_columns(path=[str(row) for row in range(COUNT)])
    shards.write(other, folder, rows=7)
    second = PreparedFaces(datasets.load("shards", folder), spec, cache).pixels
    assert first.std() > 1 and (second == 9).all()


# -- stopped, damaged, of something else -------------------------------------------------------------------------------


def test_writing_goes_on_behind_the_last_whole_shard(table, tmp_path):
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(table, tmp_path, rows=7, say=stop)
    with pytest.raises(DatasetError, match="its shards are not complete.*kerasfer data shard again"):
        datasets.load("shards", tmp_path)
    shards.write(table, tmp_path, rows=7, say=said.append)
    assert [line.split(": ")[1] for line in said] == [
        f"{faces} faces, shard {number} of 4" for number, faces in enumerate((7, 7, 7, 3), start=1)
    ]
    assert_same(datasets.load("shards", tmp_path), table)


def test_a_folder_of_other_shards_is_left_alone(table, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    others = {
        "rows": (table, 6),
        "labels": (table.with_columns(expression=np.roll(table["expression"], 1)), 7),
        "columns": (table.with_columns(fold=np.zeros(COUNT)), 7),
    }
    for other, rows in others.values():
        with pytest.raises(DatasetError, match="shard-00000.parquet: is a shard of another table.*another folder"):
            shards.write(other, folder, rows)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_images_that_are_missing_stop_the_writing_before_a_shard_is_there(table, tmp_path):
    class Holes:
        read = staticmethod(table.source.read)

        def describe(self, path: str) -> str:
            return f"photos/{path}"

        def exists(self, path: str) -> bool:
            return True

    def read(path: str) -> bytes:
        if path in ("faces/001.png", "faces/003.png"):
            raise DatasetError(f"photos/{path}: cannot be read")
        return table.source.read(path)

    holes = Holes()
    holes.read = read  # type: ignore[method-assign]
    with pytest.raises(DatasetError, match="2 missing or damaged.*001.png: cannot be read; photos/faces/003.png"):
        shards.write(table.replace(source=holes), tmp_path / "out", rows=7)
    assert not list((tmp_path / "out").iterdir())


def harm(folder: Path, kind: str) -> None:
    victim = folder / "shard-00001.parquet"
    content = bytearray(victim.read_bytes())
    if kind == "missing":
        victim.unlink()
    elif kind == "cut short":
        victim.write_bytes(content[: len(content) // 2])
    else:
        victim.write_bytes(content + b"x")


@pytest.mark.parametrize("kind", ["missing", "cut short", "too long"])
def test_a_bad_shard_is_named_or_left_out_and_counted(table, folder, kind):
    harm(folder, kind)
    with pytest.raises(DatasetError, match="1 missing or damaged.*shard-00001.parquet.*7 faces are in it") as error:
        datasets.load("shards", folder)
    assert "\n" not in str(error.value)
    found = datasets.load("shards", folder, strict=False)
    kept = np.r_[0:7, 14:COUNT]
    assert found["path"].tolist() == table["path"][kept].tolist()
    assert [found.read(row) for row in range(len(found))] == [table.read(row) for row in kept]
    (rejected,) = found.rejected
    assert "shard-00001.parquet" in rejected.path and "7 faces" in rejected.reason


def test_a_changed_byte_of_an_image_is_found(table, folder):
    victim = folder / "shard-00002.parquet"
    content = bytearray(victim.read_bytes())
    place = content.index(table.read(16)) + 60
    content[place] ^= 1
    victim.write_bytes(content)
    found = datasets.load("shards", folder)
    with pytest.raises(DatasetError, match="shard-00002.parquet: damaged"):
        found.read(16)
    with pytest.raises(DatasetError, match="shard-00002.parquet.*damaged"):
        datasets.load("shards", folder, verify=True)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "kerasfer shards 99"},
        {"rows": 5},
        {"shards": [{"file": "../shard-00000.parquet", "first": 0, "rows": 24, "bytes": 9999}]},
        {"shards": [{"file": "shard-00000.parquet", "first": 0, "rows": 10**15, "bytes": 10}]},
        {"columns": ["path"]},
        {"columns": ["path", "expression", "color"]},
        {"classes": 5},
        {"label_space": []},
        {"name": None, "shards": 7},
        {"left_out": ["a"]},
    ],
)
def test_a_list_of_shards_that_lies_is_one_error(folder, change):
    path = folder / shards.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DatasetError) as error:
        datasets.load("shards", folder)
    assert "shard" in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 900


def test_a_shard_with_other_columns_than_the_list_says(folder):
    victim = folder / "shard-00001.parquet"
    parquet.write_table(parquet.read_table(victim).drop_columns(["identity"]), victim)
    listed = json.loads((folder / shards.MANIFEST).read_text())
    listed["shards"][1]["bytes"] = victim.stat().st_size
    (folder / shards.MANIFEST).write_text(json.dumps(listed))
    with pytest.raises(DatasetError, match="shard-00001.parquet: damaged, or no shard"):
        datasets.load("shards", folder)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(archive, table, tmp_path, capsys):
    out = tmp_path / "out"
    assert command.main(["shard", "csv", str(archive), "--output", str(out), "--rows", "10"]) == 0
    said = capsys.readouterr().out
    assert "24 faces in 3 shards" in said and "--dataset shards" in said
    assert_same(datasets.load("shards", out), table)
    for arguments, message in (
        (["shard", "csv", str(archive), "--output", str(out), "--rows", "0"], "--rows is more than 0"),
        (["shard", "csv", str(tmp_path / "no.zip"), "--output", str(out)], "no such folder or zip"),
        (["shard", "nothing", str(archive), "--output", str(out)], "unknown data set 'nothing'"),
    ):
        with pytest.raises(ValueError, match=message):
            command.main(arguments)


def test_what_is_left_out_is_counted(tmp_path, capsys):
    images.write(tmp_path / "faces/happy/a.png", picture(1))
    (tmp_path / "faces/happy/b.png").write_bytes(b"nothing")
    arguments = ["shard", "folder", str(tmp_path / "faces"), "--output", str(tmp_path / "out")]
    with pytest.raises(DatasetError, match="b.png"):
        command.main(arguments)
    assert command.main([*arguments, "--leave-out"]) == 0
    said = capsys.readouterr().out
    assert "left out: " in said and "b.png" in said and "1 faces in 1 shards; 1 left out" in said
    assert "b.png" in datasets.load("shards", tmp_path / "out").rejected[0].path


def test_without_pyarrow_the_remedy_is_named(table, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for call in (lambda: shards.write(table, tmp_path), lambda: datasets.load("shards", tmp_path)):
        with pytest.raises(ImportError, match=r"pip install 'kerasfer\[parquet\]'"):
            call()

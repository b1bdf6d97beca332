"""Tables of results: columns that do not depend on the faces, names of any bytes, and rows that outlive the program."""

import argparse
import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from kerasfer import images
from kerasfer.files import name_of_text, printable, text_of_name
from kerasfer.video import VideoWriter

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "saved_models" / "tdgan" / "model_int8.tflite")
ASTRONAUT = skimage.data.astronaut()
EMPTY = np.full((120, 160, 3), 90, np.uint8)
ODD = os.fsdecode(b"caf\xe9 \x1b[31m\n.png")


@pytest.fixture
def app():
    return importlib.import_module("kerasfer.cli.recognize")


@pytest.fixture
def tables():
    return importlib.import_module("kerasfer.cli.tables")


def rows_of(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def options(**paths):
    return argparse.Namespace(**{**dict.fromkeys(("csv", "json", "jsonl", "parquet")), **paths})


def test_the_columns_are_the_models_also_without_a_face(app, tmp_path):
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    images.write(tmp_path / "with" / "a.png", ASTRONAUT)
    images.write(tmp_path / "without" / "a.png", EMPTY)
    for folder in ("with", "without"):
        app.main(
            [str(tmp_path / folder), "--model", MODEL, "--output", "none", "--csv", str(tmp_path / f"{folder}.csv")]
        )
    (face,), (none,) = rows_of(tmp_path / "with.csv"), rows_of(tmp_path / "without.csv")
    assert list(face) == list(none) and "happiness" in none
    assert none["face"] == "0" and none["happiness"] == none["expression"] == none["error"] == ""


def test_a_frame_without_a_face_has_a_row(app, tmp_path):
    writer = VideoWriter(tmp_path / "gray.mp4", 10)
    for _ in range(4):
        writer.write(EMPTY)
    writer.close()
    out = {kind: str(tmp_path / f"a.{kind}") for kind in ("csv", "jsonl", "parquet")}
    pytest.importorskip("pyarrow")
    arguments = [part for kind, path in out.items() for part in (f"--{kind}", path)]
    assert app.main([str(tmp_path / "gray.mp4"), "--model", MODEL, "--output", "none", *arguments]) == 0
    rows = rows_of(out["csv"])
    assert [(row["frame"], row["person"], row["happiness"]) for row in rows] == [(str(n), "0", "") for n in range(4)]
    import pyarrow.parquet

    read = pyarrow.parquet.read_table(out["parquet"])
    assert read.column_names == list(rows[0]) and read["person"].to_pylist() == [0] * 4
    assert len(Path(out["jsonl"]).read_text().splitlines()) == 4


def test_a_name_of_any_bytes_is_in_every_table_and_never_in_the_terminals_hands(app, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    images.write(folder / "plain.png", EMPTY)
    images.write(folder / ODD, EMPTY)
    (folder / (ODD + "bad.jpg")).write_bytes(b"no photo")
    out = {kind: str(tmp_path / f"a.{kind}") for kind in ("csv", "json", "jsonl", "parquet")}
    parquet = pytest.importorskip("pyarrow.parquet")
    arguments = [part for kind, path in out.items() for part in (f"--{kind}", path)]
    assert app.main([str(folder), "--model", MODEL, "--output", str(tmp_path / "marked"), *arguments]) == 1
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed and r"caf\xe9 \x1b[31m\n.png" in printed
    expected = {os.fsencode(path) for path in folder.iterdir()}
    written = [row["path"] for row in rows_of(out["csv"])]
    listed = [entry["path"] for entry in json.loads(Path(out["json"]).read_text("utf-8"))]
    lines = [json.loads(line)["path"] for line in Path(out["jsonl"]).read_text("utf-8").splitlines()]
    columns = [name_of_text(path) for path in parquet.read_table(out["parquet"])["path"].to_pylist()]
    for names in (written, listed, lines, columns):
        assert {os.fsencode(name) for name in names} == expected and len(names) == 3


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain \xc3\xbc.png", "plain ü.png"),
        (b"caf\xe9.png", r"caf\xe9.png"),
        (rb"caf\xe9.png", r"caf\\xe9.png"),
        (rb"C:\temp\x1.png", r"C:\temp\x1.png"),
        (rb"a\\" + b"\xff", r"a\\\\\xff"),
    ],
)
def test_text_of_a_name_gives_the_name_again(raw, text):
    name = os.fsdecode(raw)
    assert text_of_name(name) == text and os.fsencode(name_of_text(text)) == raw


def test_what_is_printed_holds_nothing_to_obey():
    assert printable("a\x1b]0;x\x07\r\n\x9b1m\u202eb\u2028c\x7f") == r"a\x1b]0;x\x07\r\n\x9b1m\u202eb\u2028c\x7f"
    assert printable("Grüße 家族\u3000👨\u200d👩") == "Grüße 家族\u3000👨\u200d👩"
    assert printable(Path(os.fsdecode(b"\xff"))) == r"\xff"


def test_an_error_message_holds_nothing_to_obey(tmp_path):
    bad = tmp_path / ODD
    bad.write_bytes(b"no photo")
    command = [sys.executable, ROOT / "apps" / "recognize.py", bad, "--model", MODEL, "--output", "none"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr and rb"caf\xe9" in done.stderr


@pytest.mark.parametrize("earlier", [False, True])
def test_sigterm_leaves_what_was_done(earlier, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(60):
        images.write(tmp_path / "photos" / f"{number:03}.png", ASTRONAUT[:256, :320])
    table, lines, listed = (tmp_path / name for name in ("a.csv", "a.jsonl", "a.json"))
    if earlier:
        table.write_text("of an earlier run\n")
    command = [sys.executable, ROOT / "apps" / "recognize.py", "photos", "--model", MODEL, "--output", "none"]
    command += ["--csv", table, "--jsonl", lines, "--json", listed]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (lines.exists() and lines.read_bytes().count(b"\n") >= 2):
            time.sleep(0.01)
        assert table.read_text().startswith("of an earlier" if earlier else "path,face,left")
        process.send_signal(signal.SIGTERM)
        assert b"interrupted" in process.communicate()[1] and process.returncode == 143
    paths = [row["path"] for row in rows_of(table)]
    assert 2 <= len(paths) < 60 and paths == [f"photos/{number:03}.png" for number in range(len(paths))]
    assert [json.loads(line)["path"] for line in lines.read_text().splitlines()] == paths
    assert [entry["path"] for entry in json.loads(listed.read_text())] == paths
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.json", "a.jsonl", "photos"]


def test_a_line_is_whole_or_not_there(tmp_path):
    program = (
        "import argparse, resource, sys; sys.path.insert(0, sys.argv[1]); from kerasfer.cli import tables\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "options = argparse.Namespace(csv=sys.argv[2], json=None, jsonl=sys.argv[3], parquet=None)\n"
        "written = tables.Tables(options, ['path'])\n"
        "try:\n"
        "    for number in range(100): written.add([{'path': 'x' * 90}], {'path': 'x' * 60})\n"
        "except ValueError as error: print(error)\n"
        "finally: written.close(list, list)\n"
    )
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    command = [sys.executable, "-c", program, ROOT, table, lines]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.csv: cannot be written (File too large)" in done.stdout and done.stdout.count("\n") == 1
    assert {len(row["path"]) for row in rows_of(table)} == {90} and 20 <= len(rows_of(table)) <= 22
    assert all(json.loads(line) for line in lines.read_text().splitlines())


def test_an_earlier_table_stays_until_the_new_one_is_complete(tables, tmp_path):
    (tmp_path / "a.csv").write_text("earlier")
    written = tables.Tables(options(csv=str(tmp_path / "a.csv")), ["path"])
    written.close(list, list)
    assert (tmp_path / "a.csv").read_text() == "earlier", "nothing was done"
    written.add([{"path": "a\rb"}, {"path": 'say "x", y'}], {})
    assert (tmp_path / "a.csv").read_text() == "earlier"
    written.close(list, list)
    assert [row["path"] for row in rows_of(tmp_path / "a.csv")] == ["a\rb", 'say "x", y']
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_table_may_go_to_a_stream(tmp_path):
    images.write(tmp_path / "a.png", EMPTY)
    command = [sys.executable, ROOT / "apps" / "recognize.py", "a.png", "--model", MODEL, "--output", "none"]
    done = subprocess.run([*command, "--csv", "/dev/stdout"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("path,face,left") and "a.png,0," in done.stdout


def test_a_journal_begins_anew_for_another_header_and_goes_on_for_its_own(tables, tmp_path):
    path = tmp_path / "journal"
    journal = tables.Journal(path, {"a": 1})
    for number in range(3):
        journal.append({"n": number})
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"n": 3')
    journal = tables.Journal(path, {"a": 1})
    assert journal.count == 3 and list(journal) == [{"n": 0}, {"n": 1}, {"n": 2}]
    journal.keep(1)
    journal.append({"n": 9})
    assert list(journal) == [{"n": 0}, {"n": 9}]
    journal.close()
    journal = tables.Journal(path, {"a": 2})
    assert journal.count == 0 and list(journal) == []
    journal.append({"n": 5})
    journal.close(remove=True)
    assert not path.exists()

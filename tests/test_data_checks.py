"""Checks of data sets on the disk: counts beside what should be there, and what is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dataset_layouts
import numpy as np
import pytest
from test_apps import app, code_of

from kerasfer import datasets
from kerasfer.datasets import checking
from kerasfer.datasets.base import DatasetError


def count(report: checking.CheckReport, what: str, reading: int = 0) -> checking.Count:
    (found,) = [entry for entry in report.readings[reading].counts if entry.what == what]
    return found


def test_counts_beside_the_owners(tmp_path):
    dataset_layouts.write_ferplus(tmp_path)
    report = datasets.check("ferplus", tmp_path)
    assert (count(report, "train").found, count(report, "train").expected) == (2, 25060)
    assert (count(report, "valid neutral").found, count(report, "valid neutral").expected) == (0, 1182)
    assert (count(report, "test").found, count(report, "test").expected) == (1, None)
    assert not report.complete and not report.rejected
    text = str(report)
    assert f"{2:>10,}{25060:>10,}  -25,058" in text and text.endswith("its card")


def test_what_is_missing_is_listed(tmp_path):
    dataset_layouts.write_ferplus(tmp_path)
    (tmp_path / "FER2013Train" / "fer0000000.png").unlink()
    report = datasets.check("ferplus", tmp_path)
    assert len(report.rejected) == 1 and "fer0000000.png" in report.rejected[0].path
    assert "1 files missing, damaged or not known:" in str(report)
    assert json.dumps(report.to_json())


def test_a_set_that_is_as_it_should_be(tmp_path, monkeypatch):
    dataset_layouts.write_lfw(tmp_path)
    content = [{"what": "all", "source": "by hand", "images": 3, "people": 2, "classes": {"anger": 1, "fear": 0}}]
    monkeypatch.setattr(checking, "_all_counts", lambda: {"lfw_expressions": content})
    report = datasets.check("lfw_expressions", tmp_path)
    assert report.complete and str(report).endswith("complete")
    assert report.faces_per_person == (1, 1.5, 2)
    assert count(report, "people") == checking.Count("people", 2, 2)


def test_readings_with_options_of_their_own(tmp_path, monkeypatch):
    dataset_layouts.write_casia(tmp_path)
    content = [
        {"what": "all", "source": "", "images": 4},
        {"what": "two people", "source": "", "options": {"identities": 2}, "images": 3, "people": 2},
        {"what": "too many people", "source": "", "options": {"identities": 99}, "images": 1},
    ]
    monkeypatch.setattr(checking, "_all_counts", lambda: {"casia_webface": content})
    report = datasets.check("casia_webface", tmp_path)
    assert [reading.counts[0].found for reading in report.readings] == [4, 3, 0]
    assert "99" in report.readings[2].problem and not report.complete


def test_a_set_that_is_passed_around_in_two_extents(tmp_path, monkeypatch):
    dataset_layouts.write_lfw_photographs(tmp_path)
    smaller = {"what": "a part", "source": "by hand", "images": 4, "people": 2}
    content = [{"what": "all", "source": "its authors", "images": 100, "people": 50, "editions": [smaller]}]
    monkeypatch.setattr(checking, "_all_counts", lambda: {"lfw": content})
    report = datasets.check("lfw", tmp_path)
    assert report.complete and report.readings[0].what == "a part"
    content[0]["images"] = 5
    content[0]["editions"][0]["images"] = 20
    report = datasets.check("lfw", tmp_path)
    assert not report.complete and count(report, "images") == checking.Count("images", 4, 5)


def test_only_a_part_is_there(tmp_path):
    dataset_layouts.write_ferplus(tmp_path)
    for file in (tmp_path / "FER2013Test").iterdir():
        file.unlink()
    (tmp_path / "FER2013Test").rmdir()
    report = datasets.check("ferplus", tmp_path)
    assert count(report, "train").found == 2 and count(report, "test").found == 0


def test_nothing_is_there(tmp_path):
    with pytest.raises(DatasetError):
        datasets.check("ferplus", tmp_path)
    with pytest.raises(DatasetError, match="unknown data set 'nowhere'"):
        datasets.check("nowhere", tmp_path)


def test_contact_sheet_has_a_row_for_each_expression():
    table = datasets.load("synthetic", count=24, identities=6, expressions=("neutral", "fear", "anger"), size=48)
    sheet = checking.contact_sheet(table, columns=4)
    assert sheet.shape == (3 * 64, 4 * 64, 3) and sheet.dtype == np.uint8
    assert np.array_equal(sheet, checking.contact_sheet(table, columns=4))
    with pytest.raises(DatasetError, match="no faces to show"):
        checking.contact_sheet(table.select([]))


def test_the_counts_are_well_formed():
    known = {"what", "source", "options", "images", "people", "sequences", "classes", "parts", "editions"}
    for name, readings in checking._all_counts().items():
        for entry in readings:
            assert set(entry) <= known and entry["what"] and entry["source"], name
            for part in [entry, *entry.get("parts", {}).values(), *entry.get("editions", [])]:
                if "images" in part and "classes" in part:
                    assert sum(part["classes"].values()) == part["images"], name
            assert set(entry.get("parts", {})) <= {"train", "valid", "test"}


def test_the_app(tmp_path, monkeypatch, capsys):
    root = tmp_path / "ferplus"
    dataset_layouts.write_ferplus(root)
    files = ["--sheet", tmp_path / "sheet.png", "--json", tmp_path / "new" / "check.json"]
    assert code_of("data", monkeypatch, "check", "ferplus", tmp_path, *files) == 1
    assert "train neutral" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size and json.loads((tmp_path / "new" / "check.json").read_text())
    assert code_of("data", monkeypatch, "card", "ferplus") == 0
    assert capsys.readouterr().out.startswith("# FER+")
    assert app("data").main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == datasets.names()
    assert code_of("data", monkeypatch, "check", "nowhere", tmp_path) == 2
    assert "unknown data set 'nowhere'" in capsys.readouterr().err
    assert code_of("data", monkeypatch, "check", "ferplus", tmp_path / "no") == 2
    assert "no: no such folder or zip file" in capsys.readouterr().err


@pytest.mark.skipif("KERASFER_DATA" not in os.environ, reason="KERASFER_DATA does not name a folder with ferplus.zip")
def test_ferplus_is_complete():
    report = datasets.check("ferplus", Path(os.environ["KERASFER_DATA"]) / "ferplus.zip")
    assert report.complete and count(report, "train").found == 25060

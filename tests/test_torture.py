"""The script that attacks kerasfer: what it finds wrong is counted, and it goes on where it was."""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def script(monkeypatch):
    specification = importlib.util.spec_from_file_location("torture_script", ROOT / "scripts" / "torture.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "torture_script", module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["photos", "tables", "zips", "names"])
def test_a_few_attempts_hold(script, name, tmp_path):
    for number in range(10):
        result = script.attempt(name, 11, number, tmp_path)
        assert result == {"number": number, "count": 1, "wrong": None}
    assert os.listdir(tmp_path / name) in ([], ["x.png"])


def test_what_does_not_hold_is_counted_and_a_run_goes_on(script, tmp_path, monkeypatch, capsys):
    made = []

    def odd(chance, folder):
        made.append(chance.random())
        (folder / "left").write_text("over")
        if len(made) % 3 == 1:
            raise script.Failure("two and two are five")
        if len(made) % 3 == 2:
            raise KeyError("x")
        return 5

    clock = iter(range(1000))
    monkeypatch.setattr(script, "CAMPAIGNS", {"odd": script.Campaign(odd, 1, 0)})
    monkeypatch.setattr(script.time, "monotonic", lambda: float(next(clock)))
    options = argparse.Namespace(seed=1, minutes=0.25, only=["odd"], folder=tmp_path)
    first = script.torture(options)["campaigns"]["odd"]
    wrong = sum(number % 3 != 2 for number in range(len(made)))
    assert first["attempts"] == len(made) >= 3 and first["failures"] == wrong
    assert first["wrong"][0] == {"attempt": 0, "what": "two and two are five"}
    assert first["wrong"][1]["what"].startswith("KeyError")
    again = script.torture(options)
    assert again["campaigns"]["odd"]["attempts"] == len(made) == len(set(made)) > first["attempts"]
    assert json.loads((tmp_path / "result.json").read_text()) == again
    assert "two and two are five" in script.page(again) and "odd 0: two and two" in capsys.readouterr().out
    assert os.listdir(tmp_path / "odd") == []


def test_a_crash_of_a_worker_is_a_failure(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "__file__", str(tmp_path / "worker.py"))
    program = 'import os; print(\'{"number": 3, "count": 1, "wrong": null}\', flush=True); os.abort()'
    (tmp_path / "worker.py").write_text(program)
    good, crash = script.slice_of("names", 1, 3, tmp_path, 5)
    assert good == {"number": 3, "count": 1, "wrong": None}
    assert crash["number"] == 4 and "ended with -6" in crash["wrong"]


def test_attempts_follow_from_seed_and_number(script, tmp_path, monkeypatch):
    drawn = []
    campaign = script.Campaign(lambda chance, folder: drawn.append(chance.random()), 1, 0)
    monkeypatch.setattr(script, "CAMPAIGNS", {"one": campaign})
    for seed, number in ((1, 0), (1, 1), (2, 0), (1, 0)):
        script.attempt("one", seed, number, tmp_path)
    assert drawn[0] == drawn[3] and len(set(drawn)) == 3

"""Two checkouts in turn: whose code it is, that the authors' loop makes one step a turn, and what the rows say."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import against  # noqa: E402

TRAINER = """
import LoadData
import models
import torch

def train(settings):
    LoadData.getFaceData("nowhere", settings["FR_cls_num"])
    loader = torch.utils.data.DataLoader(LoadData.DualTrainDatasetRAF("nowhere"), batch_size=settings["BS"])
    for step, (faces, people, expressions, classes) in enumerate(loader):
        assert len(faces) == len(expressions) == settings["BS"] == 3 and step % settings["D_GAP_FR"] == 0
        print("the authors say much", step)
        if step == 2:
            raise ValueError("no third step")
"""

TORCH = """
class Generator:
    def manual_seed(self, seed):
        return self

def rand(shape, generator):
    return [0.0] * shape[0]

def randint(low, high, shape, generator):
    return [low] * shape[0]

class utils:
    class data:
        DataLoader = None

device = str
"""
"""As much of PyTorch as it takes."""


@pytest.fixture
def released(tmp_path):
    """A folder laid out as the authors' code."""
    for name, content in {"trainer.py": TRAINER, "models.py": "", "LoadData.py": "", "torch.py": TORCH}.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def options(**changed):
    given = {"model": "tdgan", "size": "paper", "precision": ["float32"], "batch_size": 3, "runs": 2}
    return argparse.Namespace(**given | changed)


def test_the_authors_loop_makes_one_step_a_turn(released):
    side = against._Side(released, "released", options(), "float32")
    try:
        assert all(second >= 0 for _ in range(2) for second in side.step())
        with pytest.raises(ValueError, match=r": no third step$"):
            side.step()
    finally:
        side.close()


def test_what_a_checkout_is(released, tmp_path):
    assert against.kind_of_checkout(ROOT, "edge") == "kerasfer"
    assert against.kind_of_checkout(released, "tdgan") == "released"
    with pytest.raises(ValueError, match="neither a checkout of kerasfer nor"):
        against.kind_of_checkout(released, "edge")
    (released / "trainer.py").unlink()
    with pytest.raises(ValueError, match=f"^{tmp_path}: neither"):
        against.kind_of_checkout(released, "tdgan")
    (released / "trainer.py").touch()
    with pytest.raises(ValueError, match="paper's size alone"):
        against.against_rows(options(against=str(released), size="small"))


def test_rows_by_hand(monkeypatch):
    """Medians of each side after the steps that warm up; the sides take turns."""
    turns = []

    class Side:
        def __init__(self, path, *_):
            self.ours = path == ROOT
            self.times = iter([(9.0, 9.0)] * 2 + [(0.5, 0.6), (0.7, 0.6), (0.5, 0.6)] * 2)

        def step(self):
            turns.append(self.ours)
            clock, processors = next(self.times)
            return (clock, processors) if self.ours else (3 * clock, 2 * processors)

        def close(self):
            turns.append(None)

    monkeypatch.setattr(against, "_Side", Side)
    monkeypatch.setattr(against, "kind_of_checkout", lambda *_: "kerasfer")
    (row,) = against.against_rows(options(against="other", runs=3))
    assert turns == [True, True, False, False, *[True, False] * 3, None, None]
    assert row["images/s"] == 6.0 and row["theirs, images/s"] == 2.0 and row["times as fast"] == 3.0
    assert row["processor ms/image"] == 200.0 and row["times the work for a processor second"] == 2.0
    assert row["theirs"].split()[0] == "kerasfer" and row["runs"] == 3

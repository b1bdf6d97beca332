"""Trainings and batches against the numbers of scripts/golden_losses.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from kerasfer.data import KINDS
from kerasfer.models import MODELS, model_class

ROOT = Path(__file__).resolve().parents[1]


def _script():
    spec = importlib.util.spec_from_file_location("golden_losses", ROOT / "scripts" / "golden_losses.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


script = _script()
EXPECTED = json.loads(script.FILE.read_text(encoding="utf-8"))


def test_every_model_and_kind_is_in_the_file():
    assert set(EXPECTED["trainings"]) == set(script.TRAININGS) and set(EXPECTED["batches"]) == set(KINDS)
    assert {name for name, _ in script.TRAININGS.values()} == set(MODELS)
    for training, (name, fields) in script.TRAININGS.items():
        model_terms = EXPECTED["trainings"][training]
        assert len(model_terms) == script.STEPS and model_class(name).Config.tiny().replace(**fields)


@pytest.mark.parametrize("training", script.TRAININGS)
def test_losses_are_as_they_were(training):
    assert script.differences(script.losses_of(training), EXPECTED["trainings"][training]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_as_they_were(kind):
    assert script.differences(script.contents_of(kind), EXPECTED["batches"][kind]) == []


def test_differences_are_found():
    expected = {"a": [1.0, {"b": 2.0}]}
    assert script.differences({"a": [1.0005, {"b": 2.0}]}, expected) == []
    assert script.differences({"a": [1.002, {"b": 2.0}]}, expected) == ["/a/0: 1.002 instead of 1.0"]
    assert script.differences({"a": [1.0]}, expected) and script.differences({"a": [1.0, {"c": 2.0}]}, expected)

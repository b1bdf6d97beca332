"""docs/guides/scale.md says of several workers and of large sets what was measured, and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import training_page  # noqa: E402


@pytest.fixture
def root(tmp_path) -> Path:
    """A page with markers, and figures."""
    scale = tmp_path / "docs/scale"
    scale.mkdir(parents=True)
    marks = [
        f"<!-- {name}: begin (scripts/training_page.py writes this) -->\nold\n<!-- {name}: end -->"
        for name in ("workers", "large sets")
    ]
    (tmp_path / "docs/guides").mkdir()
    (tmp_path / "docs/guides/scale.md").write_text("# Title\n\n" + "\n\ntext\n\n".join(marks) + "\n")
    row = {"model": "edge", "size": "tiny", "batch": 4, "speed-up": 1.5, "load average": 0.5, "input, ms": 1.0}
    row |= {"one process, images/s": 10.0, "two processes, images/s": 15.0}
    row |= {"half a batch, ms": 2.0, "exchange, ms": 3.0}
    (scale / "workers.json").write_text(json.dumps({"cores": 2, "steps": 20, "command": "python x", "figures": [row]}))
    steps = "<!-- steps: begin (scripts/training_page.py writes this) -->\nold\n<!-- steps: end -->\n"
    (tmp_path / "docs/benchmarks.md").write_text(f"# Other\n\n{steps}")
    before = tmp_path / "docs/training_speed/before"
    before.mkdir(parents=True)
    row = {"what": "train fesr small", "precision": "float32", "batch": 32, "images/s": 5.8, "times as fast": 2.1}
    row |= {"theirs, images/s": 2.8, "processor ms/image": 90.0, "theirs, processor ms/image": 190.0}
    row |= {"times the work for a processor second": 2.11, "theirs": "kerasfer abc", "load average": 25.0}
    (before / "fesr.json").write_text(json.dumps({"processor": "Thing 9", "rows": [row]}))
    row = {"set": "affectnet", "what": "read", "rows": 9, "table seconds": 1.0, "cpu seconds": 2.0, "peak MB": 80}
    row |= {"load average": 0.5}
    (scale / "large_sets.json").write_text(json.dumps({"cores": 2, "command": "python y", "figures": [row]}))
    return tmp_path


def test_the_page_follows_the_figures(root, capsys):
    assert training_page.main(["--check"], root) == 1
    assert training_page.main([], root) == 0
    text = (root / "docs/guides/scale.md").read_text()
    assert "| edge (tiny) | 4 | 10.0 | 15.0 | 1.5 | 2.0 | 3.0 | 1.0 | 0.5 |" in text
    assert "| affectnet, read | 9 | 1.0 | – | – | 2.0 | 80 | 0.5 |" in text
    assert "old" not in text and text.count("text\n") == 1
    other = (root / "docs/benchmarks.md").read_text()
    assert (
        "| fesr small | float32 | 32 | 2.8 | 5.8 | 2.1 | 190.0 | 90.0 | 2.11 | 25.0 | oneDNN" in other
        and "old" not in other
    )
    assert "Thing 9; before is kerasfer abc" in other
    assert training_page.main(["--check"], root) == 0


def test_steps_without_figures(root, capsys):
    path = root / "docs/training_speed/before/fesr.json"
    path.write_text('{"processor": "x", "rows": [{}]}')
    assert training_page.main([], root) == 2 and "lacks a figure" in capsys.readouterr().err
    path.unlink()
    assert training_page.main([], root) == 0
    assert "None has been measured yet." in (root / "docs/benchmarks.md").read_text()


@pytest.mark.parametrize("file", ["workers.json", "large_sets.json"])
def test_missing_figures_are_one_line(root, capsys, file):
    path = root / "docs/scale" / file
    for content in (None, "{", '{"figures": [{}]}'):
        path.unlink() if content is None else path.write_text(content)
        assert training_page.main([], root) == 2
        assert file in capsys.readouterr().err

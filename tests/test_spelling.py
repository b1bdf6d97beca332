"""American spelling, as in the libraries that kerasfer stands on, in code, pages and messages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BRITISH = re.compile(
    r"\w*(?:behaviour|catalogue|centr(?:e|ing)|colour|favour|fulfil(?!l)|grey|judgement|labell|learnt|licence|"
    r"litre|millimetre|modell|neighbour|towards|"
    r"(?:generali|initiali|maximi|minimi|normali|optimi|organi|quanti|recogni|regulari|standardi|summari|synthesi)"
    r"s(?:e[drs]?|ing|ation)(?![a-z]))\w*",
    re.IGNORECASE,
)

ALLOWED = re.compile(
    r"aria-labelledby|Behavioural Science Institute"  # HTML; a proper name
    r"|given\(\"learnt\""  # the name of an array in stored weights
)

TEXTS = {".cfg", ".html", ".in", ".kt", ".md", ".py", ".sh", ".swift", ".toml", ".ts", ".yaml", ".yml"}


def found(text: str) -> list[str]:
    return [match[0] for match in BRITISH.finditer(ALLOWED.sub("", text))]


def test_british_spellings_are_found():
    for word in ("Colo" + "urs", "recogni" + "ser", "unlabel" + "led", "_optimi" + "sation", "to_gr" + "ey"):
        assert found(f"a {word} b") == [word]
    assert not found('given("learnt" aria-labelledby promise optimism grey'.replace("grey", "gray"))


def test_spelling_is_american():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs git's list of the files")
    paths = [ROOT / name for name in done.stdout.split("\0") if Path(name).suffix in TEXTS]
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in paths
        if path.is_file() and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in found(line)
    ]
    assert not wrong, "\n".join(wrong)

"""The site: papers' claims are judged by figures, links and code are checked, the reference has what is public."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import check_docs  # noqa: E402
import site_figures  # noqa: E402
from site_figures import EVEN, HELD, NOT_HELD, UNKNOWN, Claim  # noqa: E402

# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chance", "options", "first", "second", "verdict"),
    [
        (100, {}, 0.6, 0.49, HELD),  # twice the standard error of 0.49 on 100 faces: 0.09998
        (100, {}, 0.58, 0.49, EVEN),
        (100, {}, 0.38, 0.49, NOT_HELD),
        (100, {"below": True}, 0.38, 0.49, HELD),
        (100, {"even": True}, 0.58, 0.49, HELD),
        (100, {"even": True}, 0.38, 0.49, NOT_HELD),
        (0.5, {}, 2.0, 1.6, EVEN),
        (("deviation", "other"), {}, 0.85, 0.80, HELD),  # twice the larger one: 0.04
        (("deviation", "other"), {}, 0.85, 0.82, EVEN),
        (("deviation", "missing"), {}, 0.85, 0.80, UNKNOWN),
        (0.0, {"least": 0.9}, 0.9, 0.1, HELD),
        (0.0, {"least": 0.9}, 0.89, 0.1, NOT_HELD),
    ],
)
def test_a_claim_holds_where_the_figures_say_so(chance, options, first, second, verdict):
    claim = Claim("x", {}, {"with": "a", "without": "b"}, chance, **options)
    values = {"a": first, "b": second, "deviation": 0.01, "other": 0.02}
    assert claim.verdict(values) == verdict
    assert claim.verdict({"b": second}) == UNKNOWN


def test_every_claim_of_a_paper_can_be_looked_up():
    """Figures of papers are in their files, and those here in metrics.json, unless a claim says that there is none."""
    for name, claims in site_figures.CLAIMS.items():
        figures = json.loads((ROOT / "saved_models" / name / "metrics.json").read_text())["figures"]
        known = {figure["key"] for figure in figures}
        for claim in claims:
            for place in claim.paper.values():
                assert re.match(r"\d", site_figures.cell_of(place, ROOT))
            assert set(claim.here.values()) <= known, claim.text
            keys = [*claim.here.values(), *(claim.chance if isinstance(claim.chance, tuple) else ())]
            assert not keys or claim.verdict(dict.fromkeys(known, 0.5)) != UNKNOWN
    with pytest.raises(site_figures.FiguresError, match=r"tdgan-table3\.json: has no TDGAN, mars, accuracy"):
        site_figures.cell_of(("tdgan-table3", "TDGAN", "mars", "accuracy"), ROOT)


def test_pages_follow_the_figures(tmp_path, capsys):
    model = tmp_path / "saved_models/tdgan"
    model.mkdir(parents=True)
    figure = {"what": "a | b", "unit": "share", "command": "python x.py --data DIR"}
    figures = [
        {"key": "tdgan_seeds_mean", "value": 0.9, **figure},
        {"key": "cnn_base_longer_seeds_mean", "value": 0.7, **figure},
        {"key": "tdgan_seeds_deviation", "value": 0.01, **figure},
        {"key": "cnn_base_longer_seeds_deviation", "value": 0.01, **figure},
    ]
    (model / "metrics.json").write_text(json.dumps({"figures": figures}))
    (tmp_path / "docs/figures").mkdir(parents=True)
    (tmp_path / "docs/papers").mkdir()
    page = tmp_path / "docs/papers/tdgan.md"
    page.write_text("before\n{}\nstale\n{}\nafter\n".format(*site_figures.marks("claims")))
    published = tmp_path / "kerasfer/protocols"
    published.mkdir(parents=True)
    (published / "published").symlink_to(ROOT / "kerasfer/protocols/published")
    assert site_figures.main(["--check"], tmp_path) == 1
    assert site_figures.main([], tmp_path) == 0
    row = "| TDGAN: 81.91 %<br>CNN-Base: 77.25 % | TDGAN: 90.0 %<br>CNN-Base of equal budget: 70.0 % | held |"
    assert (
        row.replace(" %", "\u00a0%") in page.read_text()
        and "stale" not in page.read_text()
        and page.read_text().endswith("after\n")
    )
    text = (tmp_path / "docs/figures/tdgan.md").read_text()
    assert "All 4 figures" in text and "| a \\| b | 90.0 % |" in text and text.count("## `x.py`") == 1
    assert site_figures.main(["--check"], tmp_path) == 0
    page.write_text("no markers")
    assert site_figures.main([], tmp_path) == 2
    assert "docs/papers/tdgan.md: needs one line" in capsys.readouterr().err


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="b.html#there">', ""),
        ('<a href="sub/#top">', ""),
        ('<a href="https://example.org/x#y">', ""),
        ('<h2 id="here"></h2><a href="#here">', ""),
        ('<a href="c.html">', "a.html: c.html leads to no file"),
        ('<a href="b.html#nowhere">', "a.html: b.html#nowhere leads to no place of that page"),
        ('<img src="b.png">', "a.html: b.png leads to no file"),
        ('<script src="https://example.org/x.js">', "a.html: loads https://example.org/x.js from another server"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "a.html: loads //example.org/x.css from another server"),
    ],
)
def test_links(tmp_path, text, problem):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "b.html").write_text('<h1 id="there"></h1>')
    (tmp_path / "sub/index.html").write_text('<h1 id="top"></h1>')
    assert check_docs.broken_links(tmp_path) == ([problem] if problem else [])


# -- code --------------------------------------------------------------------------------------------------------------

PAGE = """
```python
x = 1
```

<!-- not run: takes a day -->
```python
x = 2
```

??? note
    ```sh
    kerasfer data list  # all
    ```

```python
x += 3
assert x == {expected}
```
"""


def test_blocks_run_in_order_but_for_those_that_say_why_not(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE.format(expected=4))
    blocks = check_docs.blocks_of(path.read_text())
    assert [(block.language, block.line, block.reason) for block in blocks] == [
        ("python", 3, ""),
        ("python", 8, "takes a day"),
        ("sh", 13, ""),
        ("python", 17, ""),
    ]
    assert blocks[2].code == "kerasfer data list  # all\n"
    check_docs.run_page(path)
    path.write_text(PAGE.format(expected=5))
    samples = tmp_path / "samples"
    samples.mkdir()
    assert 'page.md", line 18' in check_docs.failure_of(path, samples)[1]
    path.write_text(PAGE.replace("x = 2", "x = (").format(expected=4))
    with pytest.raises(SyntaxError):
        check_docs.run_page(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("kerasfer data list", ""),
        ("kerasfer data lisst", "kerasfer data: argument ACTION: invalid choice: 'lisst'"),
        ("kerasfer recognize a.jpg --outputt x", "kerasfer recognize: unrecognized arguments: --outputt x"),
        ("kerasfer reckognize a.jpg", "kerasfer has no command 'reckognize'"),
        ("kerasfer --help", ""),
        ("pip install '.[serve,heic]'", ""),
        ("pip install '.[sever]'", "kerasfer has no extra 'sever'"),
        ("python scripts/build_zoo.py --model x", ""),
        ("python scripts/build_zoo.py --modle x", "scripts/build_zoo.py has no --modle"),
        ("scripts/built.sh", "scripts/built.sh is missing"),
        ("python apps/data.py list", ""),
        ("curl -F image=@a.jpg http://127.0.0.1:8000/", None),
    ],
)
def test_commands_are_read_by_their_own_parsers(line, problem):
    ((words),) = check_docs.commands_of(f"{line}   # said\n")
    said = check_docs.wrong_command(words)
    assert said == problem if not problem else said.startswith(problem)
    assert check_docs.commands_of("a b && c | d\\\n e # f") == [["a", "b"], ["c"], ["d", "e"]]


# -- the reference -----------------------------------------------------------------------------------------------------


def test_the_reference_has_every_public_name():
    import kerasfer

    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    shown = set(re.findall(r"<!-- public names of ([\w.]+)", pages))
    assert set(kerasfer._PUBLIC.values()) <= shown
    assert {f"kerasfer.{name}" for name in kerasfer._MODULES} <= shown

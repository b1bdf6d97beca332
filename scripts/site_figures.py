#!/usr/bin/env python3
"""Writes what the site's pages say of figures and data sets, from the files that hold them.

    python scripts/site_figures.py            # rewrites the pages and what stands between the markers
    python scripts/site_figures.py --check    # only tells whether they are up to date (exit code 1: they are not)

- docs/figures/<model>.md, the page of each model: every figure of saved_models/<model>/metrics.json.
- docs/papers/<model>.md, between the markers: what the paper claims, in its words for methods and with its figures
  (kerasfer/protocols/published/), beside the figures here, and whether the claim holds here.
- docs/datasets.md, between the markers: the data sets that kerasfer reads, from their cards.

scripts/results_table.py writes these, too, beside README, the cards and the other tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from results_table import FiguresError, between, bring_up_to_date, shown  # noqa: E402

from kerasfer import datasets  # noqa: E402
from kerasfer.evaluation.figures import Figure, read_figures  # noqa: E402

HELD, NOT_HELD, EVEN, UNKNOWN = "held", "not held", "no difference that these faces show", "not measured"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a paper says of its method.

    Attributes:
        text: the claim.
        paper: of the paper's figures name -> (file in published/, method, setting, cell).
        here: of metrics.json name -> key. The first has to be above the second, or below it.
        chance: what is chance in such a comparison: a number of faces, for accuracies on the same faces (twice the
            standard error of one of them); keys of standard deviations (twice the larger one); a number, or "" for 0.
        below: whether the first has to be the smaller one.
        least: a number that the first has to reach, in place of the second.
        even: whether the claim is that there is no difference.
    """

    text: str
    paper: dict[str, tuple[str, str, str, str]]
    here: dict[str, str] = dataclasses.field(default_factory=dict)
    chance: int | float | tuple[str, ...] = 0.0
    below: bool = False
    even: bool = False
    least: float | None = None

    def verdict(self, values: dict[str, float]) -> str:
        """Whether the claim holds: one of the words above."""
        keys = [*self.here.values()][:2]
        if self.least is not None and keys[0] in values:
            return HELD if values[keys[0]] >= self.least else NOT_HELD
        wanted = [*keys, *(self.chance if isinstance(self.chance, tuple) else ())]
        if len(keys) < 2 or any(key not in values for key in wanted):
            return UNKNOWN
        first, second = (values[key] for key in keys)
        if isinstance(self.chance, tuple):
            chance = 2 * max(values[key] for key in self.chance)
        elif isinstance(self.chance, int):
            chance = 2 * math.sqrt(second * (1 - second) / self.chance)
        else:
            chance = self.chance
        gain = second - first if self.below else first - second
        if self.even:
            return HELD if abs(gain) <= chance else NOT_HELD
        return HELD if gain > chance else NOT_HELD if gain < -chance else EVEN


FER = 3199
"""Faces of FER+'s valid part."""

MEAN = "mean"
"""In place of a cell: the mean of all that a table has of a method and setting, but for the mean that it prints."""

CLAIMS = {
    "tdgan": (
        Claim(
            "TDGAN recognizes better than CNN-Base, its own classifier without the generator",
            {
                "TDGAN": ("tdgan-table3", "TDGAN", "raf_db", "accuracy"),
                "CNN-Base": ("tdgan-table3", "CNN-Base", "raf_db", "accuracy"),
            },
            {"TDGAN": "tdgan_seeds_mean", "CNN-Base of equal budget": "cnn_base_longer_seeds_mean"},
            ("tdgan_seeds_deviation", "cnn_base_longer_seeds_deviation"),
        ),
        Claim(
            "The expression code tells less of who it is",
            {},
            {
                "who, told from E_e's code": "probe_tdgan_expression_identity",
                "from CNN-Base's": "probe_cnn_base_identity",
            },
            480,
            below=True,
        ),
        Claim(
            "The face code tells little of the expression",
            {},
            {
                "expression, told from E_f's code": "probe_tdgan_face_expression",
                "from E_e's": "probe_tdgan_expression_expression",
                "by chance": "probe_tdgan_face_expression_chance",
            },
            480,
            below=True,
        ),
        Claim(
            "Dual image consistency helps (without it: TDGAN-D)",
            {
                "TDGAN": ("tdgan-table5", "TDGAN", "raf_db", "accuracy"),
                "TDGAN-D": ("tdgan-table5", "TDGAN-D", "raf_db", "accuracy"),
            },
        ),
        Claim(
            "It carries over to another data set better (CK+ to TFEID)",
            {
                "TDGAN": ("tdgan-table4", "TDGAN", "ck_plus to tfeid", "accuracy"),
                "CNN-Base": ("tdgan-table4", "CNN-Baseline", "ck_plus to tfeid", "accuracy"),
            },
        ),
    ),
    "g2fer": (
        Claim(
            "Learning from generated faces as well is better than from real ones alone (No_SynFI)",
            {
                "G2-FER": ("g2fer-table8", "G2-FER", "multi_pie", "all: mean"),
                "No_SynFI": ("g2fer-table8", "No_SynFI", "multi_pie", "all: mean"),
            },
            {"G2-FER": "g2fer_seeds_mean", "No_SynFI of equal budget": "no_synfi_longer_seeds_mean"},
            ("g2fer_seeds_deviation", "no_synfi_longer_seeds_deviation"),
        ),
        Claim(
            "It helps on heads that are turned to the left",
            {
                "G2-FER": ("g2fer-table8", "G2-FER", "multi_pie", "yaw -30: mean"),
                "No_SynFI": ("g2fer-table8", "No_SynFI", "multi_pie", "yaw -30: mean"),
            },
            {"G2-FER, rendered faces": "g2fer_yaw_-30_accuracy", "No_SynFI": "no_synfi_longer_yaw_-30_accuracy"},
            191,
        ),
        Claim(
            "and to the right",
            {
                "G2-FER": ("g2fer-table8", "G2-FER", "multi_pie", "yaw 30: mean"),
                "No_SynFI": ("g2fer-table8", "No_SynFI", "multi_pie", "yaw 30: mean"),
            },
            {"G2-FER, rendered faces": "g2fer_yaw_30_accuracy", "No_SynFI": "no_synfi_longer_yaw_30_accuracy"},
            178,
        ),
        Claim(
            "Label smoothing of generated faces helps (without it: No_LS)",
            {
                "G2-FER": ("g2fer-table8", "G2-FER", "multi_pie", "all: mean"),
                "No_LS": ("g2fer-table8", "No_LS", "multi_pie", "all: mean"),
            },
            {"G2-FER, one seed": "ferplus_valid_accuracy", "No_LS": "no_ls_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "The generator does better when it learns from the classifier (without that: No_E2E)",
            {
                "G2-FER": ("g2fer-table8", "G2-FER", "multi_pie", "all: mean"),
                "No_E2E": ("g2fer-table8", "No_E2E", "multi_pie", "all: mean"),
            },
            {"G2-FER, one seed": "ferplus_valid_accuracy", "No_E2E": "no_e2e_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "Landmarks that are 8 pixels off cost a good part of that",
            {
                "without noise": ("g2fer-table9", "sigma = 0", "multi_pie", "all: mean"),
                "8 pixels": ("g2fer-table9", "sigma = 8", "multi_pie", "all: mean"),
            },
            {"without noise": "ferplus_valid_accuracy", "8 pixels": "noise8_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "The identity code holds the person and not the expression",
            {},
            {
                "expression, told from f(x)": "probe_g2_fer_identity_expression",
                "by chance": "probe_g2_fer_identity_expression_chance",
                "who, told from f(x)": "probe_g2_fer_identity_identity",
            },
            480,
            even=True,
        ),
    ),
    "fesr": (
        Claim(
            "R learns more with synthetic faces than without (BASELINE)",
            {
                "FESR_JL": ("fesr-table5", "FESR_JL", "ck_plus", "accuracy"),
                "BASELINE": ("fesr-table5", "BASELINE", "ck_plus", "accuracy"),
            },
            {
                "FESR_JL, as the paper labels": "fesr_jl_ferplus_valid_accuracy",
                "BASELINE of equal budget": "baseline_longer_ferplus_valid_accuracy",
                "FESR_JL, as bundled": "ferplus_valid_accuracy",
            },
            FER,
        ),
        Claim(
            "The intra-class loss helps (without it: FESR_JL-IL)",
            {
                "FESR_JL": ("fesr-figure8", "FESR_JL", "ck_plus", "accuracy"),
                "FESR_JL-IL": ("fesr-figure8", "FESR_JL-IL", "ck_plus", "accuracy"),
            },
            {"FESR_JL": "fesr_jl_ferplus_valid_accuracy", "FESR_JL-IL": "fesr_jl_il_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "It helps more when synthetic features go to real ones, not both ways (FESR_JL-RDBP)",
            {
                "FESR_JL": ("fesr-figure8", "FESR_JL", "ck_plus", "accuracy"),
                "FESR_JL-RDBP": ("fesr-figure8", "FESR_JL-RDBP", "ck_plus", "accuracy"),
            },
            {"FESR_JL": "fesr_jl_ferplus_valid_accuracy", "FESR_JL-RDBP": "fesr_jl_rdbp_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "Learning together is better than one after the other (FESR_SL)",
            {
                "FESR_JL-IL": ("fesr-figure8", "FESR_JL-IL", "ck_plus", "accuracy"),
                "FESR_SL": ("fesr-figure8", "FESR_SL", "ck_plus", "accuracy"),
            },
            {"FESR_JL-IL": "fesr_jl_il_ferplus_valid_accuracy", "FESR_SL": "fesr_sl_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "FESGAN has to learn alone first (without that: FESR_OneSt)",
            {
                "FESR_JL": ("fesr-figure8", "FESR_JL", "ck_plus", "accuracy"),
                "FESR_OneSt": ("fesr-figure8", "FESR_OneSt", "ck_plus", "accuracy"),
            },
            {"FESR_JL": "fesr_jl_ferplus_valid_accuracy", "FESR_OneSt": "fesr_onest_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "Faces of new people teach more than other expressions of the same people (FESR_Real)",
            {
                "FESR_JL-IL": ("fesr-figure8", "FESR_JL-IL", "oulu_casia", "accuracy"),
                "FESR_Real": ("fesr-figure8", "FESR_Real", "oulu_casia", "accuracy"),
            },
            {"FESR_JL-IL": "fesr_jl_il_ferplus_valid_accuracy", "FESR_Real": "fesr_real_ferplus_valid_accuracy"},
            FER,
        ),
        Claim(
            "The identity loss keeps who it is (verification of changed faces; without it: FG-IP)",
            {
                "FG": ("fesr-table4", "FG", "ck_plus", "verification"),
                "FG-IP": ("fesr-table4", "FG-IP", "ck_plus", "verification"),
            },
            {
                "FG, one epoch": "fg_verification_accuracy",
                "FG-IP, one epoch": "fg_ip_verification_accuracy",
                "as bundled": "verification_accuracy",
            },
            6400,
        ),
        Claim(
            "A changed face is near the true one (PSNR; here beside that of the unchanged face)",
            {"FESGAN": ("fesr-table3", "FESGAN", "ck_plus", "PSNR")},
            {"changed": "twins_psnr", "unchanged": "twins_unchanged_psnr"},
        ),
    ),
    "ipdfer": (
        Claim(
            "IPD-FER recognizes better than its encoder, fine-tuned alone",
            {
                "IPD-FER": ("ipdfer-table4", "IPD-FER", "ferplus", "accuracy"),
                "ResNet-18": ("ipdfer-table4", "ResNet-18", "ferplus", "accuracy"),
            },
            {"IPD-FER": "ipdfer_seeds_mean", "baseline of equal budget": "baseline_longer_seeds_mean"},
            ("ipdfer_seeds_deviation", "baseline_longer_seeds_deviation"),
        ),
        Claim(
            "The gain is greatest where heads are turned by more than 40 degrees",
            {
                "IPD-FER": ("ipdfer-table8", "IPD-FER", "raf_db", "above 40"),
                "baseline": ("ipdfer-table8", "baseline", "raf_db", "above 40"),
            },
            {
                "IPD-FER": "ipdfer_mean_yaw_above_40_accuracy",
                "baseline": "baseline_mean_yaw_above_40_accuracy",
            },
            120,
        ),
        *(
            Claim(
                f"{loss} helps",
                {
                    "IPD-FER": ("ipdfer-table9", "IPD-FER", "raf_db", "accuracy"),
                    f"without {loss}": ("ipdfer-table9", f"without {loss}", "raf_db", "accuracy"),
                },
                {"IPD-FER, one seed": "ipdfer_ferplus_valid_accuracy", f"without {loss}": key},
                FER,
            )
            for loss, key in {
                "L_confusion": "no_confusion_ferplus_valid_accuracy",
                "L_cos": "no_cosine_ferplus_valid_accuracy",
                "L_id": "no_identity_loss_ferplus_valid_accuracy",
                "D": "no_discriminator_ferplus_valid_accuracy",
            }.items()
        ),
        Claim(
            "The expression's vector tells less of who it is",
            {},
            {
                "who, told from E_exp's vector": "probe_ipd_fer_expression_identity",
                "from the baseline's": "probe_baseline_identity",
                "by chance": "probe_ipd_fer_expression_identity_chance",
            },
            480,
            below=True,
        ),
    ),
    "dcganfer": (
        Claim(
            "What a DCGAN learns without labels is a feature for expressions",
            {
                "RaFD": ("dcganfer-table3", "DCGAN-FER", "rafd", "accuracy"),
                "RAF-DB": ("dcganfer-table3", "DCGAN-FER", "raf_db", "accuracy"),
            },
            {
                "the DCGAN's feature": "svm_dcgan_accuracy",
                "the untrained network's": "svm_untrained_accuracy",
            },
            FER,
        ),
        Claim(
            "It is better than features made by hand (histograms of oriented gradients)",
            {},
            {"the DCGAN's feature": "svm_dcgan_accuracy", "HOG": "svm_hog_accuracy"},
            FER,
        ),
        Claim(
            "The DCGAN may have learned from another set",
            {},
            {
                "DCGAN of LFW-expressions": "transfer_dcganfer_lfw_accuracy",
                "DCGAN of FER+ and LFW-expressions": "svm_dcgan_accuracy",
            },
            FER,
            even=True,
        ),
        Claim(
            "Linear machines on the feature tell action units: areas under the ROC curve of 0.9 and more, mean of 14",
            {
                "enhanced CK": ("dcganfer-table4", "DCGAN-FER", "experiment 1", MEAN),
                "features of CelebA, machines of CK, tested on RaFD": (
                    "dcganfer-table4",
                    "DCGAN-FER",
                    "experiment 4",
                    MEAN,
                ),
            },
            {"rendered faces of other people": "units_auc", "the same, aligned": "units_aligned_auc"},
            least=0.9,
        ),
    ),
}
"""Model -> what its paper claims."""

UNITS_OF_TABLES = {"percent": " %", "": "", "count": "", "hours": " hours"}


def cell_of(place: tuple[str, str, str, str], root: Path) -> str:
    """A figure of a paper as text.

    Raises:
        FiguresError: the file lacks it; the message names both.
    """
    file, method, setting, cell = place
    path = root / "kerasfer/protocols/published" / f"{file}.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = {row["cell"]: row for row in table["rows"] if (row["method"], row["setting"]) == (method, setting)}
        unit = UNITS_OF_TABLES[table["unit"]]
        if cell in rows:
            return f"{rows[cell]['value']:g}{unit}"
        if cell == MEAN and rows:
            return f"{sum(row['value'] for row in rows.values()) / len(rows):.3g}{unit}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{path}: not a table of a paper ({error!r})") from error
    raise FiguresError(f"{path}: has no {method}, {setting}, {cell}")


def claims(name: str, figures: list[Figure], root: Path) -> str:
    """A paper's claims beside what was measured: one row a claim."""
    values = {figure["key"]: figure["value"] for figure in figures}
    texts = {figure["key"]: shown(figure["value"], figure["unit"]) for figure in figures}
    lines = ["| the paper's claim | in the paper | here | does it hold here? |", "| --- | --- | --- | --- |"]
    for claim in CLAIMS[name]:
        paper = "<br>".join(f"{label}: {cell_of(place, root)}" for label, place in claim.paper.items()) or "in words"
        here = "<br>".join(f"{label}: {texts.get(key, '–')}" for label, key in claim.here.items()) or "–"
        lines.append(f"| {claim.text} | {paper} | {here} | {claim.verdict(values)} |".replace(" %", "\u00a0%"))
    return "\n".join(lines)


def figures_page(name: str, figures: list[Figure]) -> str:
    """Every figure of a model, those of one command together."""
    by_command: dict[str, list[Figure]] = {}
    for figure in figures:
        by_command.setdefault(figure["command"], []).append(figure)
    lines = [
        f"# Figures of `{name}`",
        "",
        f"All {len(figures)} figures of `saved_models/{name}/metrics.json`, under the commands that print them.",
        f"[Its card](../../saved_models/{name}/README.md) shows those that say most; [notes](../card_notes.md) tell "
        "how the models were trained, and what falls short.",
    ]
    for command, those in by_command.items():
        lines += ["", f"## {heading(command)}", "", "```sh", command, "```", ""]
        lines += ["| figure | measured |", "| --- | ---: |"]
        lines += [f"| {escaped(figure['what'])} | {shown(figure['value'], figure['unit'])} |" for figure in those]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")


def heading(command: str) -> str:
    """A heading for the figures of a command: what it is called with, but for what every command has."""
    words = re.sub(r"^python ", "", command)
    words = re.sub(r" --(data|output) \S+", "", words)
    return f"`{words}`"


def overview(models: dict[str, list[Figure]]) -> str:
    """The list of the models' pages."""
    lines = ["| model | figures | accuracy on FER+ valid | mean recall |", "| --- | ---: | ---: | ---: |"]
    for name, figures in models.items():
        texts = {figure["key"]: shown(figure["value"], figure["unit"]) for figure in figures}
        cells = [texts.get(key, "–") for key in ("ferplus_valid_accuracy", "ferplus_valid_balanced")]
        lines.append(f"| [`{name}`]({name}.md) | {len(figures)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def data_sets() -> str:
    """Each data set's card, and a table of all of them first."""
    table = ["| name | what it is |", "| --- | --- |"]
    sections = []
    for name in datasets.names():
        title, _, summary, *rest = datasets.card(name).rstrip().splitlines()
        table.append(f"| [`{name}`](#{name}) | {summary} |")
        body = re.sub(r"^#", "##", "\n".join(rest).strip(), flags=re.MULTILINE)
        body = re.sub(r"^### (.*)$", rf"### \1 {{ #{name}-\1 }}", body, flags=re.MULTILINE)
        body = re.sub(r"\{ #(\S+) \}", lambda match: f"{{ #{match[1].lower()} }}", body)
        if name != "synthetic":
            body = body.replace("```python\n", "<!-- not run: needs the data set -->\n```python\n")
        sections.append(f"## {title.removeprefix('# ')} {{ #{name} }}\n\n{summary}\n\n{body}")
    return "\n".join(table) + "\n\n" + "\n\n".join(sections)


def marks(name: str) -> tuple[str, str]:
    """What a part of a page stands between."""
    return f"<!-- {name}: begin (scripts/site_figures.py writes this) -->", f"<!-- {name}: end -->"


def pages(root: Path, written: Mapping[Path, str] | None = None) -> dict[Path, str]:
    """Every page of the site that this writes, as it should read; one that is not there is left out.

    Args:
        root: the checkout.
        written: what else was written into pages.
    """
    written = written or {}
    models = {path.parent.name: read_figures(path) for path in sorted(root.glob("saved_models/*/metrics.json"))}
    docs = root / "docs"
    parts: dict[Path, tuple[str, Callable[[], str]]] = {
        docs / "papers" / f"{name}.md": ("claims", functools.partial(claims, name, models.get(name, []), root))
        for name in CLAIMS
    }
    parts[docs / "figures/index.md"] = ("models", functools.partial(overview, models))
    parts[docs / "datasets.md"] = ("data sets", data_sets)
    wanted: dict[Path, str] = {}
    if (docs / "figures").is_dir():
        wanted = {docs / "figures" / f"{name}.md": figures_page(name, figures) for name, figures in models.items()}
    for path, (name, content) in parts.items():
        if path.is_file():
            text = written.get(path) or path.read_text(encoding="utf-8")
            wanted[path] = between(text, *marks(name), content(), path)
    return wanted


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    options = parser.parse_args(arguments)
    return bring_up_to_date(lambda: pages(root), root, options.check)


if __name__ == "__main__":
    sys.exit(main())

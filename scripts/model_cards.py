"""The cards of the bundled models: saved_models/<name>/README.md, one screen each, from files and from nothing else.

`python scripts/results_table.py` writes them, and its --check tells whether one is out of date. What a card says comes
from the model's metrics.json (at most `MOST_ROWS` figures, by `ROWS`), from its config.json (what is not the paper's),
from its recipe (data sets, teachers), and from scripts/cards/<name>.md, which holds the sentences:

    key: value                license, pipeline_tag, picture or command, where they are not the usual ones; optional

    One sentence that says what the model is.

    ## Use                    each of these with what belongs there; Licenses may be empty, as those of the data sets
    ## Limits                 are added, and Deviations may be missing where there is no paper
    ## Licenses
    ## Deviations

The picture is docs/cards/<name>.jpg: the first four people of the London set, as that model answers, which

    python scripts/model_cards.py --data DIR            # of all; or of those that are named with --models

draws; none is shown where a text says "picture: none".
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kerasfer.evaluation.figures import Figure, FiguresError, read_figures  # noqa: E402
from kerasfer.faces import Box, Prediction  # noqa: E402
from kerasfer.hub import HubFigure, front_matter  # noqa: E402

MOST_ROWS = 12
"""Figures on a card at most."""

LONGEST = 72
"""Lines of a card at most, below the front matter, which the Hub does not show: one screen."""

WIDTH = 120
SECTIONS = ("Use", "Limits", "Licenses", "Deviations")

ROWS: tuple[tuple[str, str | None], ...] = (
    ("ferplus_valid_accuracy", "FER+ valid: accuracy"),
    ("ferplus_valid_balanced", "FER+ valid: mean recall of the classes"),
    (r"(?!cnn_base|no_synfi|baseline)\w+_seeds_mean", None),
    (r"(cnn_base|no_synfi|baseline)\w*_seeds_mean", None),
    ("baseline_longer_ferplus_valid_accuracy", "FER+ valid: accuracy of the baseline of equal budget"),
    ("svm_hog_accuracy", "FER+ valid: accuracy of the same machine on HOG"),
    ("left_aside_accuracy", "LFW, people left aside: accuracy"),
    ("left_aside_mean_recall", "LFW, people left aside: mean recall"),
    ("ck48_accuracy", "CK+ crops: accuracy"),
    ("ck48_mean_recall", "CK+ crops: mean recall"),
    ("london_accuracy", "London, found and aligned: accuracy"),
    ("left_aside_calibration_error_saved", "LFW, people left aside: calibration error"),
    ("valid_calibration_error", "FER+ valid: calibration error"),
    ("verification_accuracy", "same person or not, LFW, ten folds: accuracy"),
    ("verification_fixed", "the same pairs at the threshold 0.6: accuracy"),
    ("verification_auc", "the same pairs: area under the ROC curve"),
    ("verification_eer", "the same pairs: equal error rate"),
    ("verification_ferplus_112_accuracy", "faces aligned for recognition, 112 px, ten folds: accuracy"),
    ("verification_ferplus_48_accuracy", "faces aligned for recognition, 48 px, ten folds: accuracy"),
    ("units_aligned_auc", "action units, rendered faces of unseen people: area under the ROC curve, mean"),
    ("{file}_ferplus_valid_accuracy", "TFLite {file}, FER+ valid: accuracy"),
    ("tflite_{file}_bytes", "TFLite {file}: size"),
    ("lite_{file}_milliseconds", None),
    (r"(generated|new_people)_fid_\w+", None),
    ("twins_psnr", "expression changed, beside the true rendered face: PSNR"),
    ("twins_unchanged_psnr", "the unchanged face, beside the true one: PSNR"),
    ("landmarks_generated_found", "generated faces in which landmarks are found"),
    ("landmarks_generated_error", "error of these landmarks, of the eye corners' distance"),
    ("recognizer_weights", "weights of the recognizer"),
    ("network_weights", "weights of the network"),
)
"""Figures that a card may show, the most important first: a pattern of the key, and what the row says; None: as
metrics.json words it. `{file}` is int8 where the bundled TFLite file is that, otherwise float16."""

SETS = {
    "ferplus": (
        "FER+",
        "labels under the MIT license, images from the web without a license of their own, for research",
    ),
    "lfw": ("LFW", "news pictures published for research, whose owners keep the rights"),
    "lfw_expressions": ("LFW-expressions", "news pictures published for research, whose owners keep the rights"),
    "synthetic": ("rendered faces", "people who do not exist, drawn by kerasfer"),
}
"""Data set of a recipe -> what it is called, and the terms of its pictures; more in kerasfer/datasets/cards."""

HUB_SETS = {
    "ferplus_valid": ("ferplus", "FER+ valid, majority labels", "valid"),
    "left_aside": ("lfw", "LFW, people left aside", "held_out"),
    "ck48": ("ck48", "CK+ crops", "test"),
    "london": ("london", "Face Research Lab London Set", "test"),
}
"""Beginning of a figure's key -> the set as the front matter's model-index names it: type, name, split."""

HUB_METRICS = {
    "accuracy": ("accuracy", "accuracy"),
    "balanced": ("recall", "mean recall of the classes"),
    "mean_recall": ("recall", "mean recall of the classes"),
}
"""End of a figure's key -> the metric as the model-index names it: type, name."""


@dataclasses.dataclass(frozen=True)
class CardText:
    """The sentences of a card.

    Attributes:
        options: license, pipeline_tag, picture, command, where they are given.
        headline: one sentence.
        sections: heading -> Markdown.
    """

    options: dict[str, str]
    headline: str
    sections: dict[str, str]


def read_text(path: Path) -> CardText:
    """Reads scripts/cards/<name>.md.

    Raises:
        FiguresError: it is missing, or lacks a part; the message names the file and the part.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FiguresError(f"{path}: missing; write what the card says (scripts/model_cards.py explains)") from error
    begin, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    sections = {heading.strip(): body.strip() for heading, body in zip(parts[::2], parts[1::2])}
    found = re.match(r"(?:\w+: .*\n)*", begin)
    head = found.group() if found else ""
    options = dict(line.split(": ", 1) for line in head.splitlines())
    headline = begin[len(head) :].strip()
    unknown = [name for name in sections if name not in SECTIONS]
    missing = [name for name in SECTIONS[:3] if name not in sections]
    if not headline or unknown or missing:
        wrong = f"the heading {unknown[0]}" if unknown else f"no {missing[0] if missing else 'sentence at the top'}"
        raise FiguresError(f"{path}: has {wrong}; it takes a sentence and {', '.join(SECTIONS)}")
    return CardText(options, headline, sections)


# -- figures -----------------------------------------------------------------------------------------------------------


def shown(value: float, unit: str) -> str:
    """A figure as text: 0.8312 of unit "share" is "83.1 %"."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    return f"{value:.4g} {unit}".strip()


def counted(figure: Figure) -> int | None:
    """How many faces a figure was measured on, as it says itself; None where it does not."""
    counts = re.findall(r"\b(\d+) (?:[^\W\d]\S* ){0,3}?(?:faces|photos)\b", figure["what"])
    return int(counts[-1]) if counts else None


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", Journal of the American Statistical Association, 1927."""
    z = 1.959964
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def interval(figure: Figure) -> str:
    """The 95 % interval of a figure; "" where none is known.

    One that the figure states is taken. An accuracy on independent faces gets Wilson's; one on several photos of a
    person does not, since these are not independent.
    """
    stated = re.search(r"\(95 %: ([\d.]+)% to ([\d.]+)%\)", figure["what"])
    if stated:
        return f"{stated[1]} to {stated[2]} %"
    count = counted(figure)
    alone = figure["unit"] == "share" and figure["key"].endswith("ferplus_valid_accuracy")
    if not alone or count is None or re.search(r"of \d+ people", figure["what"]):
        return ""
    right = figure["value"] * count
    if abs(right - round(right)) > 0.01:
        return ""
    low, high = wilson(round(right), count)
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def chosen(figures: Sequence[Figure], file: str, parts: Sequence[str]) -> list[tuple[str, Figure]]:
    """The figures of a card with what their rows say: those of `ROWS` that were measured, no more than `MOST_ROWS`.

    Args:
        figures: of metrics.json.
        file: type of the bundled TFLite file.
        parts: models that took part in the training: what these judge of generated faces is left out.
    """
    rows = []
    for pattern, says in ROWS:
        for figure in figures:
            if re.fullmatch(pattern.replace("{file}", file), figure["key"]) and not _judged_by(figure, parts):
                rows.append(((says or _worded(figure)).replace("{file}", file), figure))
    if any(figure["key"].endswith("_seeds_mean") for _, figure in rows):
        rows = [row for row in rows if row[1]["key"] != "baseline_longer_ferplus_valid_accuracy"]
    return rows[:MOST_ROWS]


def _judged_by(figure: Figure, parts: Sequence[str]) -> bool:
    """Whether a figure is what one of these models says of generated faces."""
    from kerasfer.evaluation.measurements.judges import JUDGES

    judges = [name for name, called in JUDGES.items() if name in figure["key"] or called in figure["what"]]
    judges += re.findall(r"judge: (\w+)", figure["what"])
    return any(name in parts for name in judges)


def _worded(figure: Figure) -> str:
    """What a row says of a figure in the words of metrics.json, short."""
    what = figure["what"]
    if "_fid_" in figure["key"]:
        people, _, judge = what.removesuffix("; FID").partition(", ")
        drawn = people.split(" beside")[0].split(" ", 1)[1]
        return f"{drawn} beside FER+ valid faces: FID by {judge}"
    if figure["key"].endswith("_seeds_mean"):
        name, _, rest = what.partition(":")
        seeds = re.search(r"\d+ seeds", rest)
        return f"FER+ valid: accuracy of {name}, mean of {seeds.group() if seeds else 'several seeds'}"
    threads = re.fullmatch(r"(.*?), one aligned face, (\d+) thread\(s\), median of \d+, (.*)", what)
    if threads:
        return f"{threads[1]}: one face, {threads[2]} thread, {threads[3]}"
    return what


def table(rows: Sequence[tuple[str, Figure]], figures: Sequence[Figure]) -> str:
    """The table of a card."""
    values = {figure["key"]: figure for figure in figures}
    lines = ["| figure | faces | measured | 95 % |", "| --- | ---: | ---: | ---: |"]
    for says, figure in rows:
        value = shown(figure["value"], figure["unit"])
        deviation = values.get(figure["key"].replace("_seeds_mean", "_seeds_deviation"))
        if figure["key"].endswith("_seeds_mean") and deviation is not None:
            value = f"{value.removesuffix(' %')} ± {100 * deviation['value']:.1f} %"
        count = counted(figure) if figure["unit"] not in ("bytes", "count", "ms") else None
        lines.append(f"| {says} | {'' if count is None else f'{count:,}'} | {value} | {interval(figure)} |")
    return "\n".join(lines)


def hub_figures(rows: Sequence[tuple[str, Figure]]) -> list[HubFigure]:
    """The figures of a card that the Hub's model-index can name."""
    found = []
    for _, figure in rows:
        for begin, dataset in HUB_SETS.items():
            metric = HUB_METRICS.get(figure["key"].removeprefix(f"{begin}_"))
            if figure["key"].startswith(f"{begin}_") and metric is not None:
                found.append(HubFigure(*dataset, *metric, round(float(figure["value"]), 4)))
    return found


# -- what the config and the recipe say --------------------------------------------------------------------------------


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        FiguresError: it cannot be read.
    """
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FiguresError(f"{folder / 'config.json'}: cannot be read ({error})") from error


def deviations_line(folder: Path, saved: dict[str, Any]) -> str:
    """What the config of a saved model has other than the paper, in one paragraph.

    Raises:
        FiguresError: config.json describes no model of the zoo.
    """
    from kerasfer.models import model_class
    from kerasfer.models.config import deviations

    try:
        found = deviations(model_class(saved["model"]).Config.from_dict(saved["config"]))
    except (ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{folder / 'config.json'}: does not describe a model of the zoo ({error})") from error

    def text(value: Any) -> str:
        return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)

    said = []
    for each in found:
        if each.field != "training_prior":
            paper = [] if each.paper is None else [text(each.paper)]
            said.append(f"`{each.field}` {text(each.value)} ({'; '.join([*paper, *([each.why] if each.why else [])])})")
    if not said:
        return "None in the config."
    said = [entry.removesuffix(" ()") for entry in said]
    return wrapped(f"Fields of the config that are not the paper's (in brackets the paper's value): {', '.join(said)}.")


def parts_of(name: str, saved: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The data sets that a model learned from, and the models that took part, by its recipe and its config."""
    from kerasfer import recipes

    if name not in recipes.names():
        return [], [name]
    bundled = recipes.plan(name).bundled
    runs = list(bundled.runs if isinstance(bundled, recipes.Mean) else (bundled,))
    for run in runs:  # The list grows: what a training began from or was taught by took part, an ablation did not.
        runs += [other for other in run.before() if other not in runs]
    sets = [each for run in runs for each in (run.sets.dataset, *run.sets.faces)]
    models = [each for run in runs for each in run.given()]
    fields = [value for value in saved.get("config", {}).values() if isinstance(value, str)]
    return list(dict.fromkeys(sets)), list(dict.fromkeys([name, *models, *fields]))


def wrapped(text: str) -> str:
    """A paragraph in lines."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


# -- the card ----------------------------------------------------------------------------------------------------------


def card(folder: Path, root: Path) -> str:
    """The card of a bundled model as it should read.

    Raises:
        FiguresError: a file that it is made from is missing or wrong, or it would be longer than a screen.
    """
    name, saved = folder.name, read_config(folder)
    figures, text = read_figures(folder / "metrics.json"), read_text(root / "scripts" / "cards" / f"{folder.name}.md")
    sets, parts = parts_of(name, saved)
    rows = chosen(figures, "int8" if (folder / "model_int8.tflite").is_file() else "float16", parts)
    license = text.options.get("license", "apache-2.0")
    tags = ["facial-expression-recognition", "kerasfer", "keras", name]
    task = text.options.get("pipeline_tag", "image-classification")
    hub = hub_figures(rows)
    front = front_matter(name, license, tags, sets, sorted({entry.metric for entry in hub}), task, hub)
    page = f"docs/figures/{name}.md"
    told = f"[Its page](../../{page}) shows" if (root / page).is_file() else "[metrics.json](metrics.json) holds"
    intervals = ""
    if any(interval(figure) for _, figure in rows):
        intervals = (
            "Intervals are Wilson's, or by person where photos of one are not independent; blank: not measured. "
        )
    command = text.options.get("command", f"python scripts/build_zoo.py --model {name} --data DIR")
    body = [
        f"# {name}",
        wrapped(text.headline),
        _picture(name, text, root),
        table(rows, figures),
        wrapped(f"{intervals}{told} every figure with the command that prints it."),
        f"## Use\n\n{text.sections['Use']}",
        f"## Limits\n\n{text.sections['Limits']}",
        f"## Licenses\n\n{_licenses(text, license, sets)}",
    ]
    if "Deviations" in text.sections:
        line = [deviations_line(folder, saved)] if "config" in saved else []
        body.append("\n\n".join(["## Deviations from the paper", *line, wrapped(text.sections["Deviations"])]))
    body.append(f"## Repeat\n\n```sh\n{command}\n```")
    page_text = "\n\n".join(part for part in body if part) + "\n"
    lines = page_text.count("\n")
    if lines > LONGEST:
        path = root / "scripts" / "cards" / f"{name}.md"
        raise FiguresError(f"{path}: the card has {lines} lines and may have {LONGEST}; shorten it")
    return f"{front}\n{page_text}"


def _picture(name: str, text: CardText, root: Path) -> str:
    from kerasfer.datasets.london import CREDIT

    path = root / "docs" / "cards" / f"{name}.jpg"
    if text.options.get("picture") == "none":
        return "*No picture: it answers with a number.*"
    if not path.is_file():
        raise FiguresError(f"{path}: missing; python scripts/model_cards.py --data DIR --models {name} draws it")
    credit = f"*The first four people of the London set, and what {name} answers. {CREDIT}; cropped and lettered.*"
    return f"![Eight faces with the answers of {name} below](../../docs/cards/{name}.jpg)\n\n{wrapped(credit)}"


def _licenses(text: CardText, license: str, sets: Sequence[str]) -> str:
    said = text.sections["Licenses"]
    if sets:
        terms: dict[str, list[str]] = {}
        for each in sets:
            if each not in SETS:
                raise FiguresError(f"scripts/model_cards.py: SETS does not say under which terms {each} is")
            terms.setdefault(SETS[each][1], []).append(SETS[each][0])
        learned = "; ".join(f"{' and '.join(names)} ({term})" for term, names in terms.items())
        said = wrapped(
            f"The weights are under kerasfer's license ({license}). They learned from {learned}. No picture is part of "
            f"them. {' '.join(said.split())}".strip()
        )
    return said


# -- the pictures ------------------------------------------------------------------------------------------------------

FACE, PEOPLE = 150, 4


def draw_pictures(names: Sequence[str], data: str, root: Path = ROOT) -> None:
    """Writes docs/cards/<name>.jpg: London's first people, neutral and smiling, with what the model says of each."""
    from kerasfer import datasets, images, recognize

    found = datasets.locate("london", data)
    if found is None:
        raise ValueError(f"{data}: holds no london; scripts/model_cards.py draws its people")
    table = datasets.load("london", found)
    order = np.lexsort((table["expression"], table["identity"]))[: 2 * PEOPLE]
    photos = [images.decode(table.read(int(row))) for row in order]
    faces = [images.crop(photo, _around(table["box"][row]), FACE) for photo, row in zip(photos, order)]
    for name in names:
        answers = [next(iter(seen.predictions), None) for seen in recognize(photos, model=name)]
        path = root / "docs" / "cards" / f"{name}.jpg"
        images.write(path, _lettered(faces, answers))
        print(f"{path.relative_to(root)}: written")


def _around(box: np.ndarray) -> Box:
    """A box with the head around the face."""
    left, top, right, bottom = map(float, box)
    margin = 0.3 * (right - left)
    return Box(left - margin, top - 1.3 * margin, right + margin, bottom + 0.7 * margin)


def _lettered(faces: Sequence[np.ndarray], answers: Sequence[Prediction | None]) -> np.ndarray:
    """Faces side by side, below each its answer."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (FACE * len(faces), FACE + 40), (255, 255, 255))
    drawing, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for number, (face, answer) in enumerate(zip(faces, answers)):
        canvas.paste(Image.fromarray(face), (number * FACE, 0))
        text = "no face found" if answer is None else f"{answer.expression} {answer.confidence:.0%}"
        drawing.text(((number + 0.5) * FACE, FACE + 20), text, fill=(30, 30, 30), font=font, anchor="mm")
    return np.array(canvas)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the data sets, london among them")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="models whose pictures to draw (default: all)")
    options = parser.parse_args(arguments)
    texts = {path.stem: read_text(path) for path in sorted((ROOT / "scripts" / "cards").glob("*.md"))}
    shown = [name for name, text in texts.items() if text.options.get("picture") != "none"]
    try:
        draw_pictures(options.models or shown, options.data)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Pictures of results: confusion matrix, ROC curves, t-SNE, learning curves, transfer grids, interpolations.

Charts are Matplotlib figures, drawn without a display; grids of faces are arrays. `save` writes either.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kerasfer import images
from kerasfer.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kerasfer.evaluation import Report

__all__ = [
    "PlotError",
    "confusion_matrix",
    "faces_grid",
    "interpolation_strip",
    "learning_curves",
    "parts_grid",
    "roc_curves",
    "save",
    "transfer_grid",
    "tsne",
    "write_gif",
]

ENDINGS = (".png", ".jpg", ".jpeg", ".svg", ".pdf")
"""What a chart can be written as."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6e6e6e", "#000000")
"""Okabe and Ito's colors, which people with any color vision can tell apart."""

_TILE = 96
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


class PlotError(ValueError):
    """There is nothing to draw, or the picture cannot be written; the message says what to do."""


# -- charts ------------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def confusion_matrix(report: Report) -> Figure:
    """A report's confusion matrix: each row's shares as color, shares and counts as text.

    Args:
        report: of `kerasfer.evaluate`.
    """
    size = len(report.labels)
    counts = report.confusion
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = _figure(1.5 + 0.75 * size, 1.2 + 0.65 * size)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(size):
        for column in range(size):
            text = f"{shares[row, column]:.0%}\n{counts[row, column]}"
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    names = list(map(_plain, report.labels))
    axes.set_xticks(range(size), names, rotation=45, ha="right")
    axes.set_yticks(range(size), names)
    axes.set_xlabel("recognized")
    axes.set_ylabel("true")
    about = ", ".join(part for part in (report.model, report.dataset, report.split) if part)
    axes.set_title(f"{about + ': ' if about else ''}{report.accuracy:.1%} of {report.n}", fontsize=10)
    return figure


def _plain(name: str) -> str:
    """A name as matplotlib shows it as it is: a dollar begins no formula, a low line at the start hides nothing."""
    shown = str(name).replace("$", r"\$")
    return f"\u200a{shown}" if shown.startswith("_") else shown


def roc_curves(true: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> Figure:
    """One ROC curve for each class against the rest, with the areas under them in the legend.

    Args:
        true: class numbers, int (n,); or which labels hold, bool or 0 and 1, (n, K), for action units.
        scores: float (n, K), larger for what is more likely.
        labels: names of the K classes.

    Raises:
        PlotError: shapes that do not fit, or scores that are not finite.
    """
    from sklearn.metrics import auc, roc_curve

    true, scores = np.asarray(true), np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(labels) or true.shape not in ((len(scores),), scores.shape):
        raise PlotError(
            f"{len(labels)} classes need scores (n, {len(labels)}) and class numbers (n,), got {scores.shape} and "
            f"{true.shape}"
        )
    if not np.isfinite(scores).all():
        raise PlotError("scores are not finite; look at the model's weights")
    holds = np.arange(len(labels)) == true[:, None] if true.ndim == 1 else true.astype(bool)
    figure = _figure(6, 5)
    axes = figure.add_subplot()
    for number, label in enumerate(labels):
        style = {"color": COLORS[number % len(COLORS)], "linestyle": ("-", "--", ":")[number // len(COLORS) % 3]}
        if holds[:, number].all() or not holds[:, number].any():
            axes.plot([], [], label=f"{_plain(label)}: not in the set, or nothing else", **style)
            continue
        false_rate, true_rate, _ = roc_curve(holds[:, number], scores[:, number])
        axes.plot(false_rate, true_rate, label=f"{_plain(label)}: {auc(false_rate, true_rate):.3f}", **style)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(title="area under the curve", fontsize=8, loc="lower right")
    return figure


def tsne(codes: np.ndarray, groups: Sequence[str], seed: int = 0, perplexity: float = 30.0) -> Figure:
    """The codes in the plane by t-SNE (van der Maaten and Hinton 2008), colored by group.

    Args:
        codes: float (n, ...), n >= 4; each is flattened.
        groups: n names, such as expressions or people.
        seed: of the embedding.
        perplexity: number of neighbors that count, at most (n - 1) / 3.

    Raises:
        PlotError: too few codes, codes that are not finite, or another number of groups.
    """
    from sklearn.manifold import TSNE

    codes = np.asarray(codes, np.float32)
    count = len(codes)
    if count < 4 or len(groups) != count:
        raise PlotError(
            f"t-SNE needs at least 4 codes and a group for each, got {count} codes and {len(groups)} groups"
        )
    if not np.isfinite(codes).all():
        raise PlotError("codes are not finite; look at the model's weights")
    flat = codes.reshape(count, -1)
    perplexity = min(perplexity, (count - 1) / 3)
    start = "pca" if min(flat.shape) > 2 else "random"
    points = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(flat)
    figure = _figure(7, 5.5)
    axes = figure.add_subplot()
    groups = np.asarray(groups)
    for number, name in enumerate(dict.fromkeys(groups.tolist())):
        chosen = points[groups == name]
        marker = "osD^vPX*"[number // len(COLORS) % 8]
        color = COLORS[number % len(COLORS)]
        axes.scatter(*chosen.T, s=12, color=color, marker=marker, linewidths=0, alpha=0.8, label=_plain(name))
    axes.set_xticks([])
    axes.set_yticks([])
    figure.legend(loc="outside right upper", fontsize=8, ncols=1 + len(set(groups.tolist())) // 24)
    return figure


def learning_curves(history: str | os.PathLike[str] | Sequence[Mapping[str, float]]) -> Figure:
    """One panel for each quantity over the epochs; "valid_x" is drawn beside "x".

    Args:
        history: the history.csv of a training run, or its rows as `training.fit` returns them.

    Raises:
        PlotError: the file cannot be read, or holds no epochs.
    """
    rows = _history_of(history) if isinstance(history, (str, os.PathLike)) else list(history)
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "epoch"]
    if not rows or not names or not all("epoch" in row for row in rows):
        raise PlotError("the history holds no epochs with numbers; train for at least one epoch")
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(name.removeprefix("valid_"), []).append(name)
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = _figure(3.6 * columns, 2.6 * lines)
    for number, (title, members) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(lines, columns, number)
        for name, color in zip(members, COLORS):
            points = [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]
            label = "validation" if name.startswith("valid_") else "training"
            axes.plot(*zip(*points), marker="." if len(points) < 30 else None, color=color, label=label)
        axes.set_title((title if len(members) > 1 else members[0]).replace("_", " "), fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if len(members) > 1:
            axes.legend(fontsize=7)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def _history_of(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items() if name and value not in (None, "")}
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        raise PlotError(f"{path}: cannot be read ({error.strerror}); name the history.csv of a training run") from error
    except (TypeError, ValueError, csv.Error) as error:
        raise PlotError(f"{path}: not a table of numbers ({error}); name the history.csv of a training run") from error


# -- grids of faces ----------------------------------------------------------------------------------------------------


def transfer_grid(
    faces: Sequence[np.ndarray],
    expressions: Sequence[np.ndarray],
    generated: Sequence[Sequence[np.ndarray]],
    face_names: Sequence[str] | None = None,
    expression_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Every face with every expression, the inputs on the borders.

    Args:
        faces: r images, uint8 (h, w), (h, w, 1) or RGB (h, w, 3): the left column.
        expressions: c images: the top row.
        generated: r rows of c images.
        face_names: r names for the left border.
        expression_names: c names for the top border.

    Returns:
        uint8 RGB.

    Raises:
        PlotError: numbers of images or names that do not fit.
    """
    if not len(faces) or not len(expressions):
        raise PlotError("a transfer grid needs at least one face and one expression")
    if len(generated) != len(faces) or any(len(row) != len(expressions) for row in generated):
        raise PlotError(f"{len(faces)} faces and {len(expressions)} expressions need as many rows and columns")
    rows = [[None, *expressions], *([face, *row] for face, row in zip(faces, generated))]
    row_names = ["", *_names(face_names, len(faces))]
    column_names = ["", *_names(expression_names, len(expressions))]
    return _grid(rows, row_names, column_names, column_apart=True, row_apart=True)


def parts_grid(
    faces: Sequence[np.ndarray], drawn: Mapping[str, Sequence[np.ndarray]], face_names: Sequence[str] | None = None
) -> np.ndarray:
    """Every face beside what was drawn from it step by step (IPD-FER, Fig. 8 and 9).

    Args:
        faces: r images, uint8 (h, w), (h, w, 1) or RGB (h, w, 3): the left column.
        drawn: name of a column -> its r images.
        face_names: r names for the left border.

    Returns:
        uint8 RGB.

    Raises:
        PlotError: numbers of images or names that do not fit.
    """
    if not len(faces) or any(len(column) != len(faces) for column in drawn.values()):
        raise PlotError(f"{len(faces)} faces need as many images in every column")
    rows = [[face, *(column[row] for column in drawn.values())] for row, face in enumerate(faces)]
    return _grid(rows, _names(face_names, len(faces)), ["face", *drawn], column_apart=True)


def faces_grid(columns: Mapping[str, Sequence[np.ndarray]], row_names: Sequence[str] | None = None) -> np.ndarray:
    """Generated faces in rows, each column under its name (FESR, Fig. 7).

    Args:
        columns: name of a column -> its r images, uint8 (h, w), (h, w, 1) or RGB (h, w, 3).
        row_names: r names for the left border.

    Returns:
        uint8 RGB.

    Raises:
        PlotError: no images, or columns that are not equally long.
    """
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise PlotError(f"the columns of a grid have one length, more than 0; got {sorted(lengths) or 'none'}")
    rows = [list(row) for row in zip(*columns.values())]
    return _grid(rows, _names(row_names, len(rows)), list(columns))


def interpolation_strip(
    frames: Sequence[Sequence[np.ndarray]],
    first: Sequence[np.ndarray] | None = None,
    last: Sequence[np.ndarray] | None = None,
    row_names: Sequence[str] | None = None,
    kept: Sequence[np.ndarray] | None = None,
    kept_name: str = "",
) -> np.ndarray:
    """Rows of interpolated faces under the values of alpha from 0 to 1 (TDGAN, equations 11 and 12).

    Args:
        frames: r rows of n images each, uint8 (h, w), (h, w, 1) or RGB (h, w, 3).
        first: one more image left of each row, such as the input that alpha = 0 stands for.
        last: the same on the right.
        row_names: r names for the left border.
        kept: the input of each row that stays the same, drawn left of everything.
        kept_name: what stands above these.

    Returns:
        uint8 RGB.

    Raises:
        PlotError: numbers of images or names that do not fit.
    """
    count = len(frames[0]) if len(frames) else 0
    sides = [side for side in (first, last, kept) if side is not None]
    if count < 2 or any(len(row) != count for row in frames) or any(len(side) != len(frames) for side in sides):
        raise PlotError("an interpolation needs rows of at least two images each, all as long, and inputs for each row")
    names = [f"{alpha:.2f}" for alpha in np.linspace(0, 1, count)]
    rows = [list(row) for row in frames]
    if first is not None:
        rows, names = [[image, *row] for image, row in zip(first, rows)], ["from", *names]
    if last is not None:
        rows, names = [[*row, image] for row, image in zip(rows, last)], [*names, "to"]
    if kept is not None:
        rows, names = [[image, *row] for image, row in zip(kept, rows)], [kept_name, *names]
    return _grid(rows, _names(row_names, len(rows)), names, column_apart=kept is not None)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [""] * count
    if len(names) != count:
        raise PlotError(f"{count} images need as many names, got {len(names)}")
    return [str(name) for name in names]


def _grid(
    rows: Sequence[Sequence[np.ndarray | None]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    column_apart: bool = False,
    row_apart: bool = False,
) -> np.ndarray:
    """Images in rows and columns, with names; the first column or row may be set apart from the others."""
    sides = {image.shape[:2] for row in rows for image in row if image is not None}
    if len(sides) != 1:
        raise PlotError(f"the images of a grid have one size, got {sorted(sides)}")
    height, width = sides.pop()
    scale = max(1, math.ceil(_TILE / max(height, width)))
    tile = (height * scale, width * scale)
    gap = max(2, tile[1] // 32)
    line = max(12, tile[1] // 7)
    font = ImageFont.load_default(line * 0.75)
    left = gap + round(max((font.getlength(name) for name in row_names), default=0))
    left = min(left, 2 * tile[1]) + (gap if left > gap else 0)
    top = gap + (line if any(column_names) else 0)
    right, below = (2 * gap if apart else 0 for apart in (column_apart, row_apart))
    canvas = Image.new(
        "RGB",
        (left + right + len(column_names) * (tile[1] + gap), top + below + len(rows) * (tile[0] + gap)),
        _PAPER,
    )
    drawing = ImageDraw.Draw(canvas)
    xs = [left + column * (tile[1] + gap) + (right if column else 0) for column in range(len(column_names))]
    ys = [top + row * (tile[0] + gap) + (below if row else 0) for row in range(len(rows))]
    for x, name in zip(xs, column_names):
        middle = (x + tile[1] / 2, top - gap / 2)
        drawing.text(middle, _shortened(name, font, tile[1]), fill=_INK, font=font, anchor="mb")
    for y, name, row in zip(ys, row_names, rows):
        drawing.text((gap, y + tile[0] / 2), _shortened(name, font, left), fill=_INK, font=font, anchor="lm")
        for x, image in zip(xs, row):
            if image is not None:
                canvas.paste(Image.fromarray(images.resize(_rgb(image), tile)), (x, y))
    return np.array(canvas)


def _rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise PlotError(f"images are uint8 (h, w[, 1 or 3]), got {image.dtype} {image.shape}")
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy()


def _shortened(text: str, font: Any, width: float) -> str:
    """The text, cut so that it fits."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


# -- writing -----------------------------------------------------------------------------------------------------------


def save(picture: Figure | np.ndarray, path: str | os.PathLike[str]) -> None:
    """Writes a chart or a grid, aside and then renamed.

    Args:
        picture: a figure, or uint8 RGB or gray.
        path: where to: .png or .jpg, for figures .svg and .pdf too; missing folders are made.

    Raises:
        PlotError, ImageError: another ending, or the file cannot be written.
    """
    if isinstance(picture, np.ndarray):
        images.write(path, picture)
        return
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise PlotError(f"{path}: cannot tell the chart's format; let the name end in {', '.join(ENDINGS)}")
    buffer = io.BytesIO()
    picture.savefig(buffer, format=ending[1:])
    atomic_write(path, buffer.getvalue(), PlotError)


def write_gif(
    path: str | os.PathLike[str], frames: Sequence[np.ndarray], seconds: float = 0.12, there_and_back: bool = True
) -> None:
    """Writes an animation that loops forever, atomically.

    Args:
        path: where to, ending in .gif; missing folders are made.
        frames: at least two images of one size, uint8 (h, w), (h, w, 1) or RGB (h, w, 3).
        seconds: how long each is shown; the first and the last stay four times as long.
        there_and_back: whether the way back is shown too.

    Raises:
        PlotError: another ending, frames that do not fit, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise PlotError(f"{path}: an animation is a GIF; let the name end in .gif")
    if len(frames) < 2 or len({np.shape(frame) for frame in frames}) != 1:
        raise PlotError("an animation needs at least two frames of one size")
    pictures = [Image.fromarray(_rgb(frame)) for frame in frames]
    milliseconds = [round(1000 * seconds)] * len(pictures)
    milliseconds[0] = milliseconds[-1] = round(4000 * seconds)
    if there_and_back:
        pictures += pictures[-2:0:-1]
        milliseconds += milliseconds[-2:0:-1]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    atomic_write(path, buffer.getvalue(), PlotError)

"""What was recognized, drawn into the photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kerasfer import images
from kerasfer.faces import Box, Prediction

__all__ = ["COLORS", "annotate"]


COLORS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (110, 110, 110))
"""Okabe and Ito's colors, which people with any color vision can tell apart."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_INK, _PAPER, _FAINT = (30, 30, 30), (255, 255, 255), (190, 190, 190)


def annotate(image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
    """Draws each face's box with its number and expression, and beside the photo the probabilities as bars.

    Args:
        image: uint8 RGB (height, width, 3).
        predictions: of the faces in it.

    Returns:
        uint8 RGB; the photo's longer side is brought between 480 and 1600 pixels.
    """
    longer = max(image.shape[:2])
    scale = min(max(longer, 480), 1600) / longer
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    line = max(14, round(max(height, width) / 40))
    font = ImageFont.load_default(line * 0.8)
    panel = _panel(predictions, line, font, height)
    canvas = Image.new("RGB", (width + panel.width, max(height, panel.height)), _PAPER)
    canvas.paste(Image.fromarray(images.resize(image, (height, width))), (0, 0))
    drawing = ImageDraw.Draw(canvas)
    for number, prediction in enumerate(predictions, 1):
        _draw_box(drawing, prediction, number, scale, (width, height), line, font)
    canvas.paste(panel, (width, 0))
    return np.array(canvas)


def _draw_box(
    drawing: ImageDraw.ImageDraw,
    prediction: Prediction,
    number: int,
    scale: float,
    limits: tuple[int, int],
    line: int,
    font: _Font,
) -> None:
    color = COLORS[(number - 1) % len(COLORS)]
    box = Box(*(side * scale for side in dataclasses.astuple(prediction.box)))
    thickness = max(2, line // 8)
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = max(min(box.right, limits[0] - 1), left), max(min(box.bottom, limits[1] - 1), top)
    drawing.rectangle((left, top, right, bottom), outline=color, width=thickness)
    text = f"{number} {prediction.expression}"
    wide = drawing.textlength(text, font=font) + line * 0.5
    label_left = min(max(left, 0), max(limits[0] - wide, 0))
    label_top = top - line if top >= line else top
    drawing.rectangle((label_left, label_top, label_left + wide, label_top + line), fill=color)
    drawing.text((label_left + line * 0.25, label_top + line / 2), text, fill=_PAPER, font=font, anchor="lm")


def _panel(predictions: Sequence[Prediction], line: int, font: _Font, height: int) -> Image.Image:
    """The bars of all faces, beside a photo of that height; the three longest of each where all would not fit."""
    if not predictions:
        panel = Image.new("RGB", (line * 8, line * 3), _PAPER)
        ImageDraw.Draw(panel).text((line, line * 1.5), "no face found", fill=_INK, font=font, anchor="lm")
        return panel
    bars = len(predictions[0].probabilities)
    if len(predictions) > 2 * max(1, height // (line * (bars + 2))):
        bars = min(bars, 3)
    cell_height, cell_width = line * (bars + 2), line * 16
    columns = min(-(-len(predictions) // max(1, height // cell_height)), 4)
    rows = -(-len(predictions) // columns)
    panel = Image.new("RGB", (cell_width * columns, cell_height * rows), _PAPER)
    drawing = ImageDraw.Draw(panel)
    for index, prediction in enumerate(predictions):
        left, top = (index // rows) * cell_width + line, (index % rows) * cell_height + line * 0.5
        color = COLORS[index % len(COLORS)]
        title = f"{index + 1} {prediction.expression} {prediction.confidence:.0%}"
        drawing.text((left, top + line / 2), title, fill=color, font=font, anchor="lm")
        shown = sorted(prediction.probabilities, key=prediction.probabilities.__getitem__, reverse=True)[:bars]
        for label, probability in prediction.probabilities.items():
            if label not in shown:
                continue
            top += line
            drawing.text((left, top + line / 2), label, fill=_INK, font=font, anchor="lm")
            start, full = left + line * 5.5, line * 6
            fill = color if label == prediction.expression else _FAINT
            drawing.rectangle((start, top + line * 0.2, start + full * probability, top + line * 0.8), fill=fill)
            drawing.text(
                (start + full + line * 0.3, top + line / 2), f"{probability:.0%}", fill=_INK, font=font, anchor="lm"
            )
    return panel

"""MediaPipe's short-range BlazeFace, with a second look for very large and for small faces.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019. The network sees
128 x 128 pixels and finds faces between about a sixth and nine tenths of that.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from kerasfer import images
from kerasfer.detection.graphs import Graph
from kerasfer.faces import Box

__all__ = ["Candidate", "faces_in", "find", "find_quickly", "merge"]

WINDOW = 128
"""Pixels that the network sees, squared."""

OVERLAP = 48
"""Pixels by which the tiles of a level overlap: the largest face that only tiles of that level see whole."""

LEVELS = 3
"""Number of tiled looks; at the last one the image's longer side has WINDOW * 2 ** LEVELS pixels."""

PADDING = 1.75
"""Longer side of the padded look, in longer sides of the image."""

TILE_SCORE = 0.6
"""Least score of a face in a tile: the many tiles would otherwise bring many false ones."""

STEP = 64
"""Both sides of an image of which the network sees all are multiples of this, in pixels."""

SMALLEST = 0.15
"""Widest face, in windows, beside which a look at the whole image may have missed smaller ones."""

TRUSTED_SCORE = 0.7
"""From this score on, a face of the plain or padded look needs no confirmation by the face mesh."""

SURE_SCORE = 0.8
"""The same, of a face that was seen with the whole image at a higher resolution."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A face as a detector reports it.

    Attributes:
        box: where, in pixels.
        score: confidence in [0, 1].
        roll: angle of the line from the right to the left eye in radians, positive downwards; 0 where not known.
        trusted: whether the face counts even if the face mesh does not see one there.
        points: right eye, left eye, nose and mouth in pixels, float (4, 2), or None.
    """

    box: Box
    score: float
    roll: float = 0.0
    trusted: bool = True
    points: np.ndarray | None = dataclasses.field(default=None, compare=False)


def find(image: np.ndarray, minimum_score: float = 0.5) -> list[Candidate]:
    """Finds faces.

    Looks at the whole image, at the image with a black border (a face that fills the frame then fits the network), and
    at overlapping tiles of the image at growing resolutions, as long as it has them to give. From the second tiled look
    on, it goes on only if no face was found yet or one so small that there may be smaller ones beside it; else one run
    over the whole image at four times the resolution tells whether there are small faces beside large ones. What
    several looks see is merged.

    Args:
        image: uint8 RGB (height, width, 3).
        minimum_score: least confidence of a face.

    Returns:
        Candidates, the most confident first.
    """
    longer = max(image.shape[:2])
    finest = min(longer, WINDOW * 2**LEVELS)
    reduced = images.resize(image, _scaled(image, finest))
    found = _look(reduced, 1.0, minimum_score) + _look(reduced, 1 / PADDING, minimum_score)
    for level in range(1, LEVELS + 1):
        smallest = min((face.box.width / finest for face in found), default=0.0)
        are_large = level > 1 and smallest > 0.6 / 2**level
        if WINDOW * 2**level > 1.5 * longer or are_large and level > 2:
            break
        if are_large:
            seen = _overview(reduced, 2**level, max(minimum_score, TILE_SCORE))
            found += [face for face in seen if not any(_same_face(face.box, other.box) for other in found)]
        else:
            found += _look(reduced, 2.0**level, max(minimum_score, TILE_SCORE))
    return [_enlarged(face, longer / finest) for face in merge(found)]


def find_quickly(image: np.ndarray, minimum_score: float = 0.5, windows: int = 4) -> list[Candidate]:
    """Finds faces in as few looks as it takes.

    Looks at the whole image. If there is no face, looks at it with a black border. If there is still none, or one so
    small that there may be smaller ones beside it, lets the network see the whole image at twice the resolution, and
    then at four times. So it misses what `find` does not: small faces beside large ones.

    Args:
        image: uint8 RGB (height, width, 3).
        minimum_score: least confidence of a face.
        windows: the highest of these resolutions, 2 or 4; the last one takes most of the time.

    Returns:
        Candidates, the most confident first.
    """
    return _overviews(image, minimum_score, False, windows)


def find_closely(image: np.ndarray, minimum_score: float = 0.5) -> list[Candidate]:
    """Finds faces as `find_quickly` does, but looks at the image at twice and four times the resolution in any case.

    So it finds small faces beside large ones, in a fraction of the time that `find` takes.

    Args:
        image: uint8 RGB (height, width, 3).
        minimum_score: least confidence of a face.

    Returns:
        Candidates, the most confident first.
    """
    return _overviews(image, minimum_score, True)


def _overviews(image: np.ndarray, minimum_score: float, closely: bool, most: int = 4) -> list[Candidate]:
    longer = max(image.shape[:2])
    # Of a large image, first all that two windows show: seldom is more needed, and looks at less are quicker.
    finest = longer if longer <= 4 * WINDOW else 2 * WINDOW
    reduced = images.resize(image, _scaled(image, finest))
    seen = _look(reduced, 1.0, minimum_score) or _look(reduced, 1 / PADDING, minimum_score)
    found = [_enlarged(face, longer / finest) for face in seen]
    for windows in (2, 4):
        smallest = min((face.box.width / longer for face in found), default=0.0)
        if windows > most or WINDOW * windows > 1.5 * longer or not closely and smallest > 2 * SMALLEST / windows:
            break
        if finest < min(longer, WINDOW * windows):
            finest = WINDOW * windows
            reduced = images.resize(image, _scaled(image, finest))
        seen = _overview(reduced, windows, max(minimum_score, TILE_SCORE))
        found += [_enlarged(face, longer / finest) for face in seen]
    return merge(found)


def _scaled(image: np.ndarray, longer: float) -> tuple[int, int]:
    """Height and width of the image when its longer side gets that many pixels."""
    scale = longer / max(image.shape[:2])
    return max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))


def _enlarged(face: Candidate, factor: float) -> Candidate:
    sides = dataclasses.astuple(face.box)
    points = None if face.points is None else face.points * factor
    return dataclasses.replace(face, box=Box(*(side * factor for side in sides)), points=points)


def merge(candidates: list[Candidate]) -> list[Candidate]:
    """Keeps, of candidates that overlap by a third or lie within each other, the most confident one."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda face: -face.score):
        if not any(_same_face(candidate.box, other.box) for other in kept):
            kept.append(candidate)
    return kept


def _same_face(one: Box, other: Box) -> bool:
    shared = Box(
        max(one.left, other.left), max(one.top, other.top), min(one.right, other.right), min(one.bottom, other.bottom)
    )
    if shared.width <= 0 or shared.height <= 0:
        return False
    return one.intersection_over_union(other) > 0.3 or shared.area > 0.7 * min(one.area, other.area)


def _overview(image: np.ndarray, windows: int, minimum_score: float) -> list[Candidate]:
    """Finds faces by letting the network see all of an image, its longer side as long as that many windows."""
    scale = WINDOW * windows / max(image.shape[:2])
    height, width = _scaled(image, WINDOW * windows)
    # Few sizes, for each takes an interpreter.
    seen = np.zeros((-(-height // STEP) * STEP, -(-width // STEP) * STEP, 3), np.uint8)
    seen[:height, :width] = images.resize(image, (height, width))
    return [
        Candidate(Box(*map(float, box / scale)), score, roll, score >= SURE_SCORE, points / scale)
        for box, score, roll, points in faces_in(seen, minimum_score)
    ]


def _look(image: np.ndarray, windows: float, minimum_score: float) -> list[Candidate]:
    """Finds faces at one resolution: the image's longer side is as long as that many windows."""
    scale = WINDOW * windows / max(image.shape[:2])
    height, width = _scaled(image, WINDOW * windows)
    resized = images.resize(image, (height, width))
    found = []
    for top in _starts(height):
        for left in _starts(width):
            window = np.zeros((WINDOW, WINDOW, 3), np.uint8)
            part = resized[max(top, 0) : top + WINDOW, max(left, 0) : left + WINDOW]
            below, right = max(-top, 0), max(-left, 0)
            window[below : below + part.shape[0], right : right + part.shape[1]] = part
            inner = (left > 0, top > 0, left + WINDOW < width, top + WINDOW < height)
            for box, score, roll, points in faces_in(window, minimum_score):
                if _is_cut(box, inner):
                    continue
                corners = (box + np.array([left, top, left, top])) / scale
                trusted = windows <= 1 and score >= TRUSTED_SCORE
                placed = (points + np.array([left, top])) / scale
                found.append(Candidate(Box(*map(float, corners)), score, roll, trusted, placed))
    return found


def _starts(side: int) -> list[int]:
    """Where along a side the windows begin; a side shorter than a window is centered in it."""
    if side <= WINDOW:
        return [(side - WINDOW) // 2]
    count = -(-(side - WINDOW) // (WINDOW - OVERLAP)) + 1
    return [round(start) for start in np.linspace(0, side - WINDOW, count)]


def _is_cut(box: np.ndarray, inner: tuple[bool, bool, bool, bool]) -> bool:
    """Tells whether a face crosses a window's edge beyond which the image goes on: another window sees all of it."""
    beyond = (box[0] < 0, box[1] < 0, box[2] > WINDOW, box[3] > WINDOW)
    return any(crosses and within for crosses, within in zip(beyond, inner, strict=True))


@functools.cache
def _network() -> Graph:
    return Graph("face_detection_short_range.tflite")


@functools.cache
def _anchors(height: int, width: int) -> np.ndarray:
    """Centers of the anchors in an image of that size, multiples of 16, in pixels, float32 (n, 2).

    Two a cell of 8 pixels, then six a cell of 16: 896 where both sides have 128 pixels.
    """
    centers = []
    for cell, repeats in ((8, 2), (16, 6)):
        y, x = np.mgrid[: height // cell, : width // cell]
        grid = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * cell
        centers.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centers).astype(np.float32)


def faces_in(window: np.ndarray, minimum_score: float) -> list[tuple[np.ndarray, float, float, np.ndarray]]:
    """Faces in one window: box as (left, top, right, bottom) in its pixels, score, roll, eyes, nose and mouth.

    The network gives, for each anchor, center, size and six key points (eyes first) in pixels beside the anchor, and a
    logit. Overlapping answers are averaged, weighted by their scores (the paper's blending).
    """
    # In place: further arrays of that size take longer than the arithmetic.
    values = np.divide(window, np.float32(127.5), dtype=np.float32)
    values -= np.float32(1.0)
    outputs = _network()(values)
    anchors = _anchors(*window.shape[:2])
    scores = 1.0 / (1.0 + np.exp(-np.clip(outputs[len(anchors)], -80, 80)))
    chosen = np.flatnonzero(scores >= minimum_score)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    scores = scores[chosen]
    values = outputs[anchors.size * 8].reshape(len(anchors), 16)[chosen]
    origin = anchors[chosen]
    centers, halves = values[:, :2] + origin, values[:, 2:4] / 2
    eyes = values[:, 6:8] - values[:, 4:6]
    points = values[:, 4:12] + np.tile(origin, 4)
    answers = np.concatenate([centers - halves, centers + halves, eyes, points], axis=1)
    found = []
    while len(scores):
        same = _overlaps(answers[0, :4], answers[:, :4]) > 0.3
        same[0] = True
        mean = scores[same] @ answers[same] / scores[same].sum()
        roll = float(np.arctan2(mean[5], mean[4]))
        found.append((mean[:4], float(scores[0]), roll, mean[6:].reshape(4, 2)))
        answers, scores = answers[~same], scores[~same]
    return found


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4), (left, top, right, bottom) each: (n,) in [0, 1]."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.maximum(sides, 0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    return shared / np.where(union > 0, union, np.inf)

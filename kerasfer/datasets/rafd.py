"""RaFD, the Radboud Faces Database (Langner, Dotsch, Bijlstra, Wigboldus, Hawk and van Knippenberg, "Presentation and
validation of the Radboud Faces Database", Cognition and Emotion 24(8), 2010)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, action_unit_vector, check_choice, check_split, table_of_rows
from kerasfer.expressions import BASIC7, EXPRESSION_ACTION_UNITS, FERPLUS8, Expression, parse_expression

__all__ = ["ANGLES", "GAZES", "SELECTIONS", "Selection", "read", "yaw_of_angle"]

ANGLES = (0, 45, 90, 135, 180)
"""Camera angles in degrees; 90 sees the face from the front."""

GAZES = ("left", "frontal", "right")
"""Where the person looks."""

_NAME = re.compile(
    r"rafd(?P<angle>\d{3})_(?P<model>\d+)_(?P<group>[a-z]+)_(?P<gender>male|female)_(?P<expression>[a-z]+)_(?P<gaze>[a-z]+)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which images are read.

    Attributes:
        angles: of `ANGLES`.
        gazes: of `GAZES`.
        contempt: whether contempt is read.
    """

    angles: tuple[int, ...]
    gazes: tuple[str, ...]
    contempt: bool


SELECTIONS = {
    "all": Selection(ANGLES, GAZES, contempt=True),
    "tdgan": Selection((90,), GAZES, contempt=False),
    "dcganfer_frontal": Selection((90,), GAZES, contempt=True),
    "dcganfer_views": Selection(ANGLES, ("frontal",), contempt=True),
}
"""Everything, and the papers' ways to choose images."""


def yaw_of_angle(angle: int) -> float:
    """Yaw of the head in degrees, positive toward the right side of the picture, for a camera angle of a file name."""
    return 90.0 - angle


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    selection: str = "all",
    angles: Sequence[int] | None = None,
    gazes: Sequence[str] | None = None,
    action_units: bool = False,
    verify: bool = False,
) -> FaceTable:
    """Reads RaFD: images named as Rafd090_01_Caucasian_female_angry_frontal.jpg, in one folder or several.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on damaged files and names that do not follow the grammar; False leaves them out.
        selection: one of `SELECTIONS`: "all", "tdgan" (frontal camera, seven expressions without contempt: 1,407
            images), "dcganfer_frontal" (frontal camera: 1,608) or "dcganfer_views" (five cameras, frontal gaze: 2,680).
        angles: read only these camera angles, of `ANGLES`; None leaves it to the selection.
        gazes: read only these gaze directions, of `GAZES`; None leaves it to the selection.
        action_units: add the column aus: 1 for the action units that DCGAN-FER's Table VI gives the expression, else 0.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression, identity (the model's number), pose (yaw by the camera angle, pitch and roll 0) and,
        if asked for, aus.

    Raises:
        DatasetError: there are no such images, or, if strict, files or names are bad.
    """
    check_split("rafd", split, ())
    check_choice("rafd", "selection", selection, SELECTIONS)
    rule = SELECTIONS[selection]
    rule = dataclasses.replace(
        rule,
        angles=rule.angles if angles is None else tuple(angles),
        gazes=rule.gazes if gazes is None else tuple(gazes),
    )
    for angle in rule.angles:
        check_choice("rafd", "angles", angle, ANGLES)
    for gaze in rule.gazes:
        check_choice("rafd", "gazes", gaze, GAZES)
    source, found = find_images("rafd", root)
    problems = Problems("rafd", strict)
    rows: list[dict[str, Any]] = []
    for path in found:
        try:
            row = _row(path, rule, action_units)
        except ValueError as error:
            problems.add(source.describe(path), str(error))
            continue
        if row:
            rows.append(row)
    if not rows and not problems.entries:
        raise DatasetError(f"{root}: holds no images of angles {rule.angles} and gazes {rule.gazes}")
    return table_of_rows("rafd", source, rows, FERPLUS8 if rule.contempt else BASIC7, problems, verify)


def _row(path: str, rule: Selection, action_units: bool) -> dict[str, Any]:
    """What an image's name tells; nothing if the image is not selected.

    Raises:
        ValueError: the name does not follow the grammar.
    """
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    if not match or int(match["angle"]) not in ANGLES or match["gaze"].lower() not in GAZES:
        raise ValueError("not named as Rafd090_01_Caucasian_female_angry_frontal.jpg")
    expression = parse_expression(match["expression"])
    if expression not in FERPLUS8.expressions:
        raise ValueError(f"expression {match['expression']!r} is not one of {', '.join(FERPLUS8.labels)}")
    angle = int(match["angle"])
    if (
        angle not in rule.angles
        or match["gaze"].lower() not in rule.gazes
        or (expression == Expression.CONTEMPT and not rule.contempt)
    ):
        return {}
    row = {
        "path": path,
        "expression": expression,
        "identity": f"{int(match['model']):02}",
        "pose": (yaw_of_angle(angle), 0.0, 0.0),
    }
    if action_units:
        row["aus"] = action_unit_vector(dict.fromkeys(EXPRESSION_ACTION_UNITS[expression], 1.0))
    return row

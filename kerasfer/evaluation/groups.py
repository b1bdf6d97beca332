"""A recognizer by groups of faces: who is recognized how well, and whose faces are said to show what.

    faces = align_table(table, 96, 3)
    print(by_group(kerasfer.load("wild"), faces, skin_tones(faces)))

A group is whatever a table or a file says of its faces, or the tone of the skin as the picture shows it: the individual
typology angle (Chardon, Cretois, Hourseau, International Journal of Cosmetic Science, 1991) of the cheeks, in the six
classes that dermatology uses. It is measured, so it needs nobody's opinion of who someone is; but it is of the picture,
and light, camera and make-up change it. It is not ancestry, and says nothing of age or gender.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.detection import align_table
from kerasfer.detection.alignment import FERPLUS_TEMPLATE
from kerasfer.evaluation.classification import Recognizes, predict, true_classes
from kerasfer.evaluation.resampling import Interval, interval, people_of, resampled_sums
from kerasfer.evaluation.transfer import SETS
from kerasfer.faces import ImageSpec
from kerasfer.priors import Prior

__all__ = ["SKIN_TONES", "GroupReport", "GroupResult", "by_group", "grouped", "skin_tones", "typology_angle"]

SKIN_TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
"""Class of skin tone -> the individual typology angle in degrees above which it lies, lightest first."""

_CHEEK = 0.06
"""Half the side of the square that is looked at on each cheek, as a part of the face's side: below the eye, as high
as the tip of the nose."""


@dataclasses.dataclass(frozen=True)
class GroupResult:
    """One group.

    Attributes:
        name: of the group.
        n, people: faces, and known people among them.
        accuracy: share of the faces that were recognized, with its interval.
        answered: expression -> share of the faces that were said to show it, with its interval.
        labeled: expression -> share of the faces that do by their labels.
    """

    name: str
    n: int
    people: int
    accuracy: Interval
    answered: dict[str, Interval]
    labeled: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            "group": self.name,
            "n": self.n,
            "people": self.people,
            "accuracy": self.accuracy.to_json(),
            "answered": {label: share.to_json() for label, share in self.answered.items()},
            "labeled": self.labeled,
        }


@dataclasses.dataclass(frozen=True)
class GroupReport:
    """A recognizer by groups.

    Attributes:
        model: its name.
        results: of the groups that have faces.
        unknown: faces that are in no group; they are not counted.
    """

    model: str
    results: tuple[GroupResult, ...]
    unknown: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {
            "model": self.model,
            "groups": [result.to_json() for result in self.results],
            "unknown": self.unknown,
        }

    def __str__(self) -> str:
        lines = [f"{self.model}: by group, in per cent with 95 % intervals; shares answered (and labeled)"]
        for result in self.results:
            of_people = f" of {result.people} people" if result.people else ""
            lines.append(f"{result.name}: {result.n} faces{of_people}, accuracy {result.accuracy}")
            for label, share in result.answered.items():
                if result.labeled[label] or share.value:
                    lines.append(f"    {label:<12}{share!s:<20}({100 * result.labeled[label]:.1f})")
        if self.unknown:
            lines.append(f"{self.unknown} faces are in no group and not counted")
        return "\n".join(lines)


def typology_angle(faces: np.ndarray) -> np.ndarray:
    """The individual typology angle of the cheeks, arctan((L* - 50) / b*) in degrees, float64 (n,) in [-90, 90].

    Args:
        faces: uint8 (n, h, h, 3) RGB, aligned to the standard template.
    """
    right_eye, left_eye, nose, _ = FERPLUS_TEMPLATE.points
    side = faces.shape[1]
    angles = []
    for face in faces:
        patches = []
        for eye in (right_eye, left_eye):
            rows, columns = (
                slice(round((place - _CHEEK) * side), round((place + _CHEEK) * side) + 1) for place in (nose[1], eye[0])
            )
            patches.append(face[rows, columns].reshape(-1, 3))
        cheeks = np.concatenate(patches)[None].astype(np.float32) / 255
        light, _, yellow = np.median(cv2.cvtColor(cheeks, cv2.COLOR_RGB2LAB)[0], axis=0)
        angles.append(np.degrees(np.arctan2(light - 50.0, max(yellow, 1e-3))))
    return np.array(angles, np.float64)


def skin_tones(table: FaceTable) -> np.ndarray:
    """The class of skin tone of each face of a table of aligned faces in color: str (n,), a key of `SKIN_TONES`.

    Raises:
        DatasetError: pictures without color.
    """
    faces = prepare_faces(table, ImageSpec(96, 3, "unit"))
    if len(faces) and not (faces.max(3) > faces.min(3)).any():
        raise DatasetError(f"{table.name}: the pictures are gray, so that they show no tone of the skin")
    names, bounds = list(SKIN_TONES), np.array(list(SKIN_TONES.values()))
    return np.array([names[int(np.argmax(angle >= bounds))] for angle in typology_angle(faces)], np.str_)


def grouped(
    table: FaceTable, by: str, size: int, cache: str | os.PathLike[str] | None = None
) -> tuple[FaceTable, np.ndarray]:
    """The faces of a table, of photos aligned first, and the group of each.

    Args:
        table: of a data set.
        by: "skin_tone", a column of names or numbers, or a CSV file with columns path and group, for what is known of
            the people elsewhere; faces that it does not name are in no group.
        size: side of the aligned faces in pixels.
        cache: folder that keeps them.

    Returns:
        The table, without photos in which no face is found, and str (n,).

    Raises:
        DatasetError: no such column, or one of vectors; a file without the two columns, or with none of the paths; or
            as `skin_tones`.
    """
    columns = [key for key in table.columns if np.ndim(table[key]) == 1]
    listed = _listed(Path(by)) if by.endswith(".csv") else None
    if listed is None and by != "skin_tone" and by not in columns:
        known = ", ".join(columns)
        raise DatasetError(f"{table.name}: no column {by!r}; group by skin_tone, a CSV file, {known}")
    if any(entry.dataset == table.name and entry.kind == "photos" for entry in SETS):
        table = align_table(table, size if by != "skin_tone" else 96, 3, missing="drop", cache=cache)
    if by == "skin_tone":
        return table, skin_tones(table)
    if listed is not None:
        groups = [listed.get(path, "") for path in table["path"].tolist()]
        if not any(groups):
            raise DatasetError(
                f"{by}: names none of the faces of {table.name}, whose paths are like {table['path'][0]}"
            )
        return table, np.array(groups, np.str_)
    values = table.class_names() if by == "expression" else table[by]
    return table, np.asarray(values).astype(np.str_)


def _listed(path: Path) -> dict[str, str]:
    """Path -> group, of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not readable as CSV ({error})") from error
    if not rows or not {"path", "group"} <= set(rows[0]):
        raise DatasetError(f"{path}: the first line names the columns; path and group are needed")
    return {row["path"]: (row["group"] or "").strip() for row in rows}


def by_group(
    model: Recognizes,
    table: FaceTable,
    groups: Sequence[str] | np.ndarray,
    *,
    prior: Prior | None = None,
    resamples: int = 2000,
    seed: int = 0,
    model_name: str = "",
) -> GroupReport:
    """Measures a recognizer in each group of faces.

    Args:
        model: what recognizes, as for `evaluate`.
        table: aligned faces; those without a class of the model's are left out.
        groups: the group of each face, str (n,); "" for none.
        prior: how frequent the classes are to count as, as for `kerasfer.recognize`.
        resamples, seed: of the intervals, which are of 95 % and resample people where they are known.
        model_name: for the report.

    Raises:
        DatasetError: no face has a class of the model's and a group.
    """
    labels = model.label_space.labels
    true, groups = true_classes(table, model.label_space), np.asarray(groups, np.str_)
    if groups.shape != (len(table),):
        raise DatasetError(f"{table.name}: {len(table)} faces need as many groups, got {len(groups)}")
    kept = np.flatnonzero((true >= 0) & (groups != ""))
    if not len(kept):
        raise DatasetError(f"{table.name}: no face has both an expression that the model knows and a group")
    answers = predict(model, table.select(kept), prior=prior).argmax(1)
    order = [name for name in SKIN_TONES if name in groups] if set(groups) <= {*SKIN_TONES, ""} else None
    results = []
    for name in order or sorted(set(groups[kept].tolist())):
        rows = np.flatnonzero(groups[kept] == name)
        if not len(rows):
            continue
        faces = table.select(kept[rows])
        units, people = people_of(faces)
        said, is_so = answers[rows], true[kept[rows]]
        columns = np.concatenate([(said == is_so)[:, None], said[:, None] == np.arange(len(labels))], axis=1)
        values = columns.astype(np.float64)
        drawn = resampled_sums(np.column_stack([values, np.ones(len(rows))]), units, resamples, seed)
        shares = drawn[:, :-1] / drawn[:, -1:]
        means = [interval(value, shares[:, column]) for column, value in enumerate(values.mean(0))]
        labeled = dict(zip(labels, np.round((is_so[:, None] == np.arange(len(labels))).mean(0), 6).tolist()))
        results.append(GroupResult(name, len(rows), people, means[0], dict(zip(labels, means[1:])), labeled))
    unknown = int(((true >= 0) & (groups == "")).sum())
    return GroupReport(model_name, tuple(results), unknown)

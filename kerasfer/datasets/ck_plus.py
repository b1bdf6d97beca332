"""CK+, the Extended Cohn-Kanade data set (Lucey, Cohn, Kanade, Saragih, Ambadar and Matthews, "The Extended Cohn-Kanade
Dataset (CK+): A complete dataset for action unit and emotion-specified expression", CVPR Workshops 2010)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource, open_source
from kerasfer.datasets.reading import Problems, action_unit_vector, check_choice, check_split, table_of_rows
from kerasfer.datasets.sequences import FrameRule
from kerasfer.datasets.text_files import text_of
from kerasfer.expressions import BASIC6, BASIC7, CK_PLUS7, FERPLUS8, LABEL_CODES, UNKNOWN, Expression
from kerasfer.folders import is_system

__all__ = ["CODES", "FILE_NAME", "SELECTIONS", "Selection", "intensity_of_grade", "read"]

CODES = LABEL_CODES["ck_plus"]
"""Numbers in the files of `Emotion/` -> expressions."""

FILE_NAME = re.compile(
    r"(?P<subject>S\d+)_(?P<sequence>\d+)_(?P<frame>\d+)"
    r"(?:(?P<image>\.(?:png|jpe?g|tiff?|bmp|pgm))|_(?P<label>emotion|facs|landmarks)\.txt)",
    re.IGNORECASE,
)
"""Names of the set's images and label files: S005_001_00000011.png, S005_001_00000011_emotion.txt."""

_IMAGE_FOLDER = "cohn-kanade-images"
_UNGRADED = 3
_HIGHEST = 5


@dataclasses.dataclass(frozen=True)
class Selection(FrameRule):
    """Which images are read: frames of a sequence, and which sequences.

    Attributes:
        contempt: whether sequences of contempt are read.
        unlabeled: whether sequences without an expression are read.
    """

    contempt: bool = True
    unlabeled: bool = False


SELECTIONS = {
    "tdgan": Selection(last=3, neutral=True, contempt=False),
    "ipdfer": Selection(last=3, neutral=True, contempt=True),
    "fesr": Selection(last=3, neutral=False, contempt=True),
    "peak": Selection(last=1, neutral=False, contempt=True),
    "facs": Selection(last=1, neutral=False, contempt=True, unlabeled=True),
    "all": Selection(last=1, neutral=True, contempt=True, unlabeled=True, between=True),
}
"""The papers' ways to choose images, by the paper; and the peaks that have an expression, the peaks of all sequences,
and every frame."""


@dataclasses.dataclass
class _Sequence:
    """Files of one sequence: frame number -> path of the image and of its landmarks, paths of the label files."""

    images: dict[int, str] = dataclasses.field(default_factory=dict)
    landmarks: dict[int, str] = dataclasses.field(default_factory=dict)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


def intensity_of_grade(grade: float) -> float:
    """Intensity in [0, 1] of an action unit's grade: 1 (A, a trace) to 5 (E, maximal) in fifths.

    Grade 0 says that the unit is there but was not graded; it counts as C, the middle of the scale.

    Raises:
        ValueError: another grade.
    """
    if grade not in range(_HIGHEST + 1):
        raise ValueError(f"intensity {grade:g} is not 0 to {_HIGHEST}")
    return (grade or _UNGRADED) / _HIGHEST


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    selection: str = "tdgan",
    contempt: bool | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads CK+: folders `cohn-kanade-images`, `Emotion`, `FACS` and `Landmarks`, each with `<subject>/<sequence>/`.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on missing or damaged files and unknown codes; False leaves them out: an image, or the whole
            sequence if one of its labels is bad.
        selection: one of `SELECTIONS`: "tdgan" (the last three frames, and the first as neutral, of the sequences of
            six expressions), "ipdfer" (the same with contempt), "fesr" (the last three frames, with contempt), "peak"
            (the last frame of each sequence with an expression), "facs" (the last frame of every sequence) or "all".
        contempt: whether sequences of contempt are read; None leaves it to the selection.
        verify: decode every image, instead of a check of its checksums or its first and last bytes.

    Returns:
        Columns path, expression, identity (the subject), sequence (S005_001), frame, aus (of peaks as FACS tells, 0 for
        neutral first frames, else NaN) and landmarks (NaN for images without a file of them).

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("ck_plus", split, ())
    check_choice("ck_plus", "selection", selection, SELECTIONS)
    rule = SELECTIONS[selection]
    if contempt is not None:
        rule = dataclasses.replace(rule, contempt=contempt)
    source = open_source(root)
    sequences = _find_sequences(source)
    if not any(sequence.images for sequence in sequences.values()):
        raise DatasetError(f"{root}: holds no images named as {_IMAGE_FOLDER}/S005/001/S005_001_00000011.png")
    if not rule.unlabeled and not any("emotion" in sequence.labels for sequence in sequences.values()):
        raise DatasetError(f"{root}: holds no Emotion/S005/001/S005_001_00000011_emotion.txt; add the folder Emotion")
    problems = Problems("ck_plus", strict)
    rows = [
        row for name, sequence in sorted(sequences.items()) for row in _rows(source, name, sequence, rule, problems)
    ]
    spaces = {(False, False): BASIC6, (True, False): BASIC7, (False, True): CK_PLUS7, (True, True): FERPLUS8}
    return table_of_rows("ck_plus", source, rows, spaces[rule.neutral, rule.contempt], problems, verify)


def _find_sequences(source: ImageSource) -> dict[str, _Sequence]:
    names = source.names()
    official = any(_IMAGE_FOLDER in PurePosixPath(name).parts for name in names)
    sequences: dict[str, _Sequence] = {}
    for name in names:
        path = PurePosixPath(name)
        match = FILE_NAME.fullmatch(path.name)
        if not match or is_system(name):
            continue
        sequence = sequences.setdefault(f"{match['subject'].upper()}_{match['sequence']}", _Sequence())
        number = int(match["frame"])
        if match["label"] is None:
            if not official or _IMAGE_FOLDER in path.parts:
                sequence.images[number] = name
        elif match["label"].lower() == "landmarks":
            sequence.landmarks[number] = name
        else:
            sequence.labels[match["label"].lower()] = name
    return sequences


def _rows(
    source: ImageSource, name: str, sequence: _Sequence, rule: Selection, problems: Problems
) -> list[dict[str, Any]]:
    """Rows of one sequence, in the order of its frames; none if its labels are bad."""
    if "emotion" not in sequence.labels and not rule.unlabeled:
        return []
    label = ""
    expression, units = UNKNOWN, None
    try:
        if label := sequence.labels.get("emotion", ""):
            expression = _emotion(source, label)
        if label := sequence.labels.get("facs", ""):
            units = action_unit_vector(_facs(source, label))
    except ValueError as error:
        problems.add_error(source.describe(label), error)
        return []
    if expression == Expression.CONTEMPT and not rule.contempt:
        return []
    frames = _with_peak(sequence)
    try:
        chosen = rule.choose(frames, expression)
    except ValueError as error:
        files = [*frames.values(), *sequence.labels.values(), *sequence.landmarks.values()]
        problems.add(source.describe(files[0]), str(error))
        return []
    rows = []
    for number, code in chosen.items():
        row = {"path": frames[number], "expression": code, "identity": name.partition("_")[0], "sequence": name}
        row["frame"] = number
        if number == max(frames) and units is not None:
            row["aus"] = units
        elif rule.neutral and number == min(frames):
            row["aus"] = action_unit_vector({})
        if number in sequence.landmarks:
            try:
                row["landmarks"] = _landmarks(source, sequence.landmarks[number])
            except ValueError as error:
                problems.add_error(source.describe(sequence.landmarks[number]), error)
                continue
        rows.append(row)
    return rows


def _with_peak(sequence: _Sequence) -> dict[int, str]:
    """Frame number -> path of a sequence's images, and of the image that its label file is named after."""
    frames = dict(sequence.images)
    if frames:
        folder, suffix = PurePosixPath(next(iter(frames.values()))).parent, PurePosixPath(frames[max(frames)]).suffix
        for label in sequence.labels.values():
            stem = PurePosixPath(label).stem.rpartition("_")[0]
            frames.setdefault(int(stem.rpartition("_")[2]), (folder / f"{stem}{suffix}").as_posix())
    return frames


def _numbers(source: ImageSource, path: str) -> np.ndarray:
    """All numbers of a text file, float64 (n,); `ValueError` for other text."""
    return np.array(text_of(source, path).read().split(), np.float64)


def _emotion(source: ImageSource, path: str) -> Expression:
    numbers = _numbers(source, path)
    if len(numbers) != 1 or numbers[0] not in CODES:
        raise ValueError(f"not one number from 0 to 7: {' '.join(f'{number:g}' for number in numbers[:5])!r}")
    return CODES[int(numbers[0])]


def _facs(source: ImageSource, path: str) -> dict[int, float]:
    """Action unit -> intensity in [0, 1]."""
    numbers = _numbers(source, path)
    if len(numbers) % 2:
        raise ValueError("not pairs of an action unit and its intensity")
    return {int(unit): intensity_of_grade(grade) for unit, grade in numbers.reshape(-1, 2)}


def _landmarks(source: ImageSource, path: str) -> np.ndarray:
    """float32 (68, 2): x and y."""
    numbers = _numbers(source, path)
    if numbers.size != 136 or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.size} numbers, not x and y of 68 points")
    return numbers.astype(np.float32).reshape(68, 2)

"""The MMI facial expression database (Pantic, Valstar, Rademaker and Maat, "Web-based database for facial expression
analysis", ICME 2005): videos from neutral to the peak and back, with XML annotations."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, FolderSource, ImageSource, open_source
from kerasfer.datasets.reading import (
    Problems,
    action_unit_vector,
    check_choice,
    check_images,
    check_split,
    table_of_rows,
)
from kerasfer.datasets.text_files import csv_rows
from kerasfer.datasets.videos import VIDEO_SUFFIXES, VideoSource, frame_path
from kerasfer.expressions import BASIC6, Expression
from kerasfer.images import IMAGE_SUFFIXES

__all__ = ["CODES", "SELECTIONS", "VIEWS", "apex", "phases", "read"]

CODES = {
    1: Expression.ANGER,
    2: Expression.DISGUST,
    3: Expression.FEAR,
    4: Expression.HAPPINESS,
    5: Expression.SADNESS,
    6: Expression.SURPRISE,
}
"""Values of the metatag "Emotion" -> expressions. Higher ones are other states, which are not read."""

VIEWS = {"frontal": "0", "profile": "1", "dual": "2"}
"""What a video shows -> the attribute `view` of its track in session.xml."""

SELECTIONS = {"fesr": (-1, 0, 1), "peak": (0,)}
"""FESR's way to choose training images, and the images it tests on: steps from the peak frame."""

_SEQUENCE = re.compile(r"(?P<subject>S\d+)-\d+", re.IGNORECASE)
_PHASES = "-oao_aucs"
_SESSION = "session.xml"
_NEUTRAL, _ONSET, _APEX, _OFFSET = "0123"


@dataclasses.dataclass
class _Recording:
    """Files of one video: its annotations, and the video itself or images of its frames, number -> path."""

    annotation: str
    phases: str = ""
    session: str = ""
    video: str = ""
    images: dict[int, str] = dataclasses.field(default_factory=dict)


def phases(content: bytes) -> dict[int, list[tuple[int, str]]]:
    """Reads the phases of action units, `S001-001-oao_aucs.xml`.

    Returns:
        Action unit -> (first frame, phase) in order; frames count from 1; the phases are "0" neutral, "1" onset,
        "2" apex, "3" offset. A unit that is coded for one side of the face (L12) counts as that unit.

    Raises:
        ValueError: not XML, or markers without frame and type.
    """
    found: dict[int, list[tuple[int, str]]] = {}
    for unit in _elements(_parsed(content), "ActionUnit"):
        number = re.fullmatch(r"[LR]?(\d+)[A-Z]?", unit.get("Number", ""), re.IGNORECASE)
        markers = [(int(marker.get("Frame", "")), marker.get("Type", "")) for marker in _elements(unit, "Marker")]
        if any(kind not in (_NEUTRAL, _ONSET, _APEX, _OFFSET) for _, kind in markers):
            raise ValueError("a marker's type is not 0, 1, 2 or 3")
        if number:
            found.setdefault(int(number[1]), []).extend(markers)
    return {unit: sorted(markers) for unit, markers in found.items()}


def apex(units: Mapping[int, Sequence[tuple[int, str]]]) -> int | None:
    """The frame in the middle of the longest run of frames in which most action units are at their apex, if any is."""
    last = max((frame for markers in units.values() for frame, _ in markers), default=0)
    at_apex = [
        sum(_phase(markers, frame) == _APEX for markers in units.values()) if frame else 0 for frame in range(last + 1)
    ]
    most = max(at_apex, default=0)
    if most == 0:
        return None
    runs: list[list[int]] = []
    for frame in range(1, last + 1):
        if at_apex[frame] == most:
            if runs and runs[-1][-1] == frame - 1:
                runs[-1].append(frame)
            else:
                runs.append([frame])
    longest = max(runs, key=len)
    return longest[(len(longest) - 1) // 2]


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    selection: str = "fesr",
    views: Collection[str] = ("frontal",),
    peaks: str | Path | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads the videos of MMI that are labeled with one of six emotions: `Sessions/1/S001-001.avi` and XML files.

    The set does not tell the peak frame; FESR's authors chose it by eye. It is, in this order: the frame that `peaks`
    names; the middle of the frames in which most action units are at their apex, if `S001-001-oao_aucs.xml` tells;
    the middle of the video.

    Args:
        root: the folder or zip.
        split: None; the set has no official split.
        strict: raise on missing or damaged files and unknown codes; False leaves out those videos.
        selection: "fesr" (the peak frame and the frames before and after it) or "peak".
        views: of `VIEWS`; a video without a session.xml counts as frontal.
        peaks: a CSV file with columns sequence (S001-001) and frame (from 1); only the sequences in it are read.
        verify: decode every chosen frame, instead of a look at the videos' headers.

    Returns:
        Columns path, expression, identity (S001), sequence (S001-001), frame (from 1) and aus (1 for action units at
        their apex, NaN in onset and offset, 0 otherwise; NaN for videos without phases).

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("mmi", split, ())
    check_choice("mmi", "selection", selection, SELECTIONS)
    for view in views:
        check_choice("mmi", "views", view, VIEWS)
    chosen_peaks = None if peaks is None else _read_peaks(Path(peaks))
    source = open_source(root)
    recordings = _find_recordings(source)
    if not recordings:
        raise DatasetError(f"{root}: holds no Sessions/<number>/S001-001.xml, which tell what the videos show")
    problems = Problems("mmi", strict)
    for name in sorted(set(chosen_peaks or ()) - set(recordings)):
        problems.add(str(peaks), f"sequence {name} is not in the data set")
    tracks = {VIEWS[view] for view in views}
    rows: list[dict[str, Any]] = []
    for name, recording in sorted(recordings.items()):
        if chosen_peaks is None or name in chosen_peaks:
            peak = None if chosen_peaks is None else chosen_peaks[name]
            rows += _rows(source, name, recording, SELECTIONS[selection], tracks, peak, problems)
    if not rows and not problems.entries:
        raise DatasetError(f"{root}: holds no {' or '.join(views)} video labeled with an emotion from 1 to 6")
    wanted: dict[str, set[int]] = {}
    for row in rows:
        if recordings[row["sequence"]].video:
            wanted.setdefault(recordings[row["sequence"]].video, set()).add(row["frame"])
    videos = VideoSource(source, wanted)
    checked = [position for position, row in enumerate(rows) if verify or not recordings[row["sequence"]].video]
    usable = np.ones(len(rows), bool)
    usable[checked] = check_images(videos, [rows[position]["path"] for position in checked], problems, verify)
    return table_of_rows("mmi", videos, rows, BASIC6, problems, usable=usable)


def _read_peaks(file: Path) -> dict[str, int]:
    """Sequence -> number of its peak frame."""
    source = FolderSource(file.parent)
    rows = csv_rows(source, file.name)
    if not {"sequence", "frame"} <= set(rows.fieldnames or ()):
        raise DatasetError(f"{file}: its first line must be sequence,frame")
    peaks = {}
    for number, row in enumerate(rows, start=2):
        if not row["sequence"] or not (row["frame"] or "").strip().isdecimal() or int(row["frame"]) < 1:
            raise DatasetError(f"{file} line {number}: not a sequence and a frame from 1")
        peaks[row["sequence"].strip().upper()] = int(row["frame"])
    return peaks


def _find_recordings(source: ImageSource) -> dict[str, _Recording]:
    """Sequence -> its files."""
    names = source.names()
    annotations = {name for name in names if PurePosixPath(name).suffix.lower() == ".xml"}
    recordings = {
        PurePosixPath(name).stem.upper(): _Recording(name)
        for name in sorted(annotations)
        if _SEQUENCE.fullmatch(PurePosixPath(name).stem)
    }
    for name in names:
        path = PurePosixPath(name)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.stem.upper() in recordings:
            recordings[path.stem.upper()].video = name
        elif path.suffix.lower() in IMAGE_SUFFIXES and path.parent.name.upper() in recordings:
            if number := re.search(r"\d+$", path.stem):
                recordings[path.parent.name.upper()].images[int(number[0])] = name
    for recording in recordings.values():
        path = PurePosixPath(recording.annotation)
        beside = {name: path.with_name(name).as_posix() for name in (f"{path.stem}{_PHASES}.xml", _SESSION)}
        recording.phases, recording.session = (file if file in annotations else "" for file in beside.values())
    return recordings


def _parsed(content: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML ({error})") from error


def _elements(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The elements of a name below another, whatever their namespace."""
    return [element for element in root.iter() if element.tag.rpartition("}")[2].lower() == name.lower()]


def _emotion(content: bytes) -> int | None:
    """Value of the metatag "Emotion", if there is one."""
    for tag in _elements(_parsed(content), "Metatag"):
        if tag.get("Name", "").lower() == "emotion":
            return int(tag.get("Value", ""))
    return None


def _view(content: bytes) -> str:
    """The attribute `view` of the first track that has one; a session that does not tell counts as frontal."""
    return next((track.get("view", "") for track in _elements(_parsed(content), "track") if track.get("view")), "0")


def _phase(markers: Sequence[tuple[int, str]], frame: int) -> str:
    """The phase of an action unit in a frame."""
    return next((kind for start, kind in reversed(markers) if start <= frame), _NEUTRAL)


def _units(found: Mapping[int, Sequence[tuple[int, str]]], frame: int) -> np.ndarray:
    """float32 (14,): 1 for action units at their apex, NaN in onset and offset, else 0."""
    intensities = {_NEUTRAL: 0.0, _ONSET: np.nan, _APEX: 1.0, _OFFSET: np.nan}
    return action_unit_vector({unit: intensities[_phase(markers, frame)] for unit, markers in found.items()})


def _rows(
    source: ImageSource,
    name: str,
    recording: _Recording,
    steps: Sequence[int],
    tracks: Collection[str],
    peak: int | None,
    problems: Problems,
) -> list[dict[str, Any]]:
    """Rows of one recording; none if it shows no emotion or another view, or if something is wrong with it."""
    file = recording.annotation
    try:
        emotion = _emotion(bytes(source.read(file)))
        if emotion is None or emotion > max(CODES):
            return []
        if emotion not in CODES:
            raise ValueError(f"emotion {emotion} is not 1 or more")
        if file := recording.session:
            if _view(bytes(source.read(file))) not in tracks:
                return []
        found = phases(bytes(source.read(file))) if (file := recording.phases) else {}
        file = recording.video or next(iter(recording.images.values()), recording.annotation)
        first, last = _frame_range(source, recording)
        if last - first < max(steps) - min(steps):
            raise ValueError(f"has only {last - first + 1} frames")
        if peak is not None and not first <= peak <= last:
            raise ValueError(f"peak frame {peak} is not one of its frames {first} to {last}")
    except ValueError as error:
        problems.add_error(source.describe(file), error)
        return []
    peak = peak or apex(found) or (first + last) // 2
    peak = min(max(peak, first - min(steps)), last - max(steps))
    rows = []
    for number in (peak + step for step in steps):
        row = {
            "path": frame_path(recording.video, number) if recording.video else _image_path(recording, number),
            "expression": CODES[emotion],
            "identity": name.partition("-")[0],
            "sequence": name,
            "frame": number,
        }
        if found:
            row["aus"] = _units(found, number)
        rows.append(row)
    return rows


def _frame_range(source: ImageSource, recording: _Recording) -> tuple[int, int]:
    """Numbers of a recording's first and last frame."""
    if recording.video:
        return 1, VideoSource(source, {}).frame_count(recording.video)
    if not recording.images:
        raise ValueError("its video is missing")
    return min(recording.images), max(recording.images)


def _image_path(recording: _Recording, number: int) -> str:
    """Path of a frame's image: where it is, or where it would have to be."""
    if number in recording.images:
        return recording.images[number]
    like = PurePosixPath(recording.images[max(recording.images)])
    digits = re.findall(r"\d+$", like.stem)[0]
    return like.with_name(f"{like.stem.removesuffix(digits)}{number:0{len(digits)}}{like.suffix}").as_posix()

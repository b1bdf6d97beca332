"""What is asked for, and what is counted of it."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Asked", "Counts", "count_error", "kind_of_error"]


@dataclasses.dataclass(frozen=True)
class Asked:
    """How faces are recognized: the arguments of `kerasfer.recognize` by these names.

    Without a detector it is "mediapipe" for photos and "quick" for videos.
    """

    model: str
    detector: str | None = None
    batch_size: int = 32
    minimum_score: float = 0.5
    action_units: bool | str = False
    flip: bool = False
    blendshapes: bool = False
    prior: Any = None


@dataclasses.dataclass
class Counts:
    """What is in a shard, or in all of them.

    Attributes:
        photos: photos, also those with an error.
        frames: frames of videos.
        rows: rows of the table.
        faces: rows that tell of a face.
        errors: number of photos, videos and archives that could not be read, by the reason.
        left_out: files in archives that are no photos, by their ending.
    """

    photos: int = 0
    frames: int = 0
    rows: int = 0
    faces: int = 0
    errors: dict[str, int] = dataclasses.field(default_factory=dict)
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Adds what is in another shard."""
        for name in ("photos", "frames", "rows", "faces"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in ((self.errors, other.errors), (self.left_out, other.left_out)):
            for kind, count in theirs.items():
                mine[kind] = mine.get(kind, 0) + count


def kind_of_error(path: str, error: str) -> str:
    """What is wrong in a few words that are the same for many photos: an error without its path and its remedy."""
    text = error.removeprefix(f"{path}: ").removeprefix(f"{path!r}: ")
    ends = [place for mark in (" (", ";", ",") if (place := text.find(mark)) > 0]
    return text[: min(ends, default=80)]


def count_error(counts: Counts, path: str, error: str) -> None:
    """Counts an error by its kind."""
    kind = kind_of_error(path, error)
    counts.errors[kind] = counts.errors.get(kind, 0) + 1

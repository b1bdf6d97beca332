"""Videos in parts: they are cut at key frames, so that many workers can share one, and no picture is decoded twice.

People are followed within a part only. A part goes by the video's path with its times after it, as a Media Fragment
(clip.mp4#t=12.5,24.75); a video in one part by its path alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kerasfer.frames import Frame, KeyFrame, VideoError, key_frames, open_part
from kerasfer.ray.counts import Asked, Counts, count_error
from kerasfer.ray.places import open_anywhere
from kerasfer.ray.sources import VIDEO, Entry
from kerasfer.rows import Row, frame_rows, photo_rows
from kerasfer.video import FrameResult, VideoRecognizer

__all__ = ["cut", "name_of_part", "parts", "segment_rows"]

TOGETHER = 64
"""Videos that are looked through at a time."""


def cut(
    entries: Iterable[Entry], seconds: float, options: Mapping[str, Any], start: Callable[[], None]
) -> Iterator[Entry]:
    """The entries, each video in as many parts as it can be cut into.

    Args:
        entries: photos, archives and whole videos.
        seconds: least length of a part.
        options: for fsspec.
        start: connects to the cluster, which looks through the videos.
    """
    for is_video, group in itertools.groupby(entries, lambda entry: entry.kind == VIDEO):
        if not is_video:
            yield from group
            continue
        start()
        import ray

        look = ray.remote(num_cpus=1)(parts)
        while chunk := list(itertools.islice(group, TOGETHER)):
            for found in ray.get([look.remote(entry, seconds, options) for entry in chunk]):
                yield from found


def parts(entry: Entry, seconds: float, options: Mapping[str, Any]) -> list[Entry]:
    """The parts of a video, each `seconds` long or longer. One that cannot be read is one part, which will tell why."""
    try:
        with open_anywhere(entry.path, options) as file:
            found, count = key_frames(file, entry.path)
    except (OSError, VideoError):
        return [entry]
    cuts: list[KeyFrame] = []
    for key in found[1:]:
        if key.time - (cuts[-1].time if cuts else 0.0) >= seconds:
            cuts.append(key)
    starts = [(0.0, 0), *((key.time, key.number) for key in cuts)]
    ends = [*starts[1:], (math.inf, count)]
    return [
        Entry(VIDEO, entry.path, entry.size, time, end, first, after - first)
        for (time, first), (end, after) in zip(starts, ends, strict=True)
    ]


def name_of_part(entry: Entry) -> str:
    """What rows call a part of a video."""
    if entry.start == 0 and math.isinf(entry.end):
        return entry.path
    end = "" if math.isinf(entry.end) else f",{entry.end:.6f}".rstrip("0").rstrip(".")
    return f"{entry.path}#t={f'{entry.start:.6f}'.rstrip('0').rstrip('.')}{end}"


def segment_rows(how: Asked, options: Mapping[str, Any], entry: Entry, counts: Counts) -> Iterator[Row]:
    """The rows of a part of a video: those of `kerasfer recognize` on a video of that part alone."""
    name = name_of_part(entry)
    video = VideoRecognizer(
        how.model,
        how.detector or "quick",
        minimum_score=how.minimum_score,
        action_units=how.action_units,
        flip=how.flip,
        prior=how.prior,
        blendshapes=how.blendshapes,
    )
    problem: str | None = None
    try:
        with (
            open_anywhere(entry.path, options) as file,
            open_part(file, entry.path, entry.start, entry.end) as opened,
        ):
            for result in video.recognize(_frames(opened, entry)):
                counts.frames += 1
                counts.faces += len(result.faces)
                yield from frame_rows([_moved(result, entry.first)], name)
            problem = opened.problem
    except FileNotFoundError:
        problem = f"{entry.path}: no such file; check the path"
    except (VideoError, OSError) as error:
        problem = str(error)
    if problem is not None:
        count_error(counts, entry.path, problem)
        yield from photo_rows(name, problem, [])


def _frames(opened: Iterable[Frame], entry: Entry) -> Iterator[Frame]:
    """The frames of a part; `VideoError` if they begin elsewhere, as in a file that cannot be entered in the middle."""
    for frame in opened:
        if frame.number == 0 and entry.first and abs(frame.time - entry.start) > 0.01:
            raise VideoError(
                f"{entry.path}: cannot be entered at {entry.start:.2f} s; take longer segments, or convert it to MP4"
            )
        yield frame


def _moved(result: FrameResult, first: int) -> FrameResult:
    """A frame's result with its number in the whole video."""
    return FrameResult(first + result.number, result.time, result.faces, result.image, result.state)

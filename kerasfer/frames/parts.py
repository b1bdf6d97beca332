"""Parts of videos in files, from one key frame to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from kerasfer.frames.containers import is_cut
from kerasfer.frames.decoding import Damage, Video, VideoError, beginning, decoded_pictures, pyav
from kerasfer.frames.recordings import VideoFile

__all__ = ["KeyFrame", "key_frames", "open_part"]

_END = float("inf")


@dataclasses.dataclass(frozen=True)
class KeyFrame:
    """A picture at which a video can be cut: neither it nor one that comes later needs one that comes before.

    Attributes:
        number: of the frame, counted from 0.
        time: seconds since the video's beginning.
    """

    number: int
    time: float


class _Part(VideoFile):
    """A part of a video in a file, from one of `key_frames` to before another."""

    def __init__(self, name: str, file: BinaryIO, start: float, end: float) -> None:
        super().__init__(name, file, 0)
        self._from, self._to = start, end
        if start > 0:
            place = start + beginning(self._container)
            self._container.seek(round(place / self._stream.time_base), stream=self._stream)

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        if self._from <= 0 and self._to == _END:
            yield from super()._pictures()
            return
        half, damage = 0.5 / self.rate, Damage()
        for seconds, picture in decoded_pictures(self._container, self._stream, damage):
            if seconds is not None and seconds >= self._to - half:
                break
            if seconds is None or seconds >= self._from - half:
                yield seconds, picture
        if damage.broke_off or self._to == _END and is_cut(self._file, self._container.format.name):
            self.problem = f"{self.name}: ends early, as if cut off; get it again"
        elif damage.pictures:
            self.problem = f"{self.name}: {damage.pictures} of its pictures are damaged and left out; get it again"

    def told(self) -> tuple[list[KeyFrame], int]:
        """What `key_frames` returns."""
        times: list[int | None] = []
        marks: list[int] = []
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    if packet.is_keyframe:
                        marks.append(len(times))
                    times.append(packet.dts if packet.pts is None else packet.pts)
        except (pyav().FFmpegError, OSError):
            pass  # Whoever decodes the last part will tell.
        base, began = self._stream.time_base, beginning(self._container)
        if not times or base is None or any(time is None for time in times):
            return [], len(times)
        shown = np.array(times, np.int64)
        before = np.maximum.accumulate(shown)
        after = np.minimum.accumulate(shown[::-1])[::-1]
        found = [
            KeyFrame(place, float(shown[place] * base) - began)
            for place in marks
            if after[place] == shown[place] and (place == 0 or before[place - 1] < shown[place])
        ]
        return found, len(times)


def key_frames(file: BinaryIO, name: str) -> tuple[list[KeyFrame], int]:
    """Where a video can be cut. Reads its packets and decodes none.

    Args:
        file: the video, open for reading anywhere; it is closed.
        name: what messages call it.

    Returns:
        The key frames, in order, and the number of frames; no key frames if the video does not tell its times.

    Raises:
        VideoError: the file is empty, damaged or no video.
    """
    video = _opened(file, name, 0.0, _END)
    with video:
        return video.told()


def open_part(file: BinaryIO, name: str, start: float = 0.0, end: float = _END) -> Video:
    """Opens a part of a video; its frames are counted from 0, and their times are those in the whole video.

    Args:
        file: the video, open for reading anywhere; it is closed with the part.
        name: what messages call it.
        start, end: times of two of `key_frames`, the second of them no longer in the part; inf: to the video's end.

    Raises:
        VideoError: the file is empty, damaged or no video.
    """
    return _opened(file, name, start, end)


def _opened(file: BinaryIO, name: str, start: float, end: float) -> _Part:
    if not file.read(1):
        raise VideoError(f"{name}: the file is empty; get it again")
    return _Part(name, file, start, end)

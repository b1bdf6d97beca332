"""A video's pictures: each at its time, upright, with square pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from kerasfer import images

__all__ = ["Frame", "Video", "VideoError"]

SQUARE = 0.02
"""Deviation of a pixel's sides from being equal that is left alone."""

MOST_PIXELS = 64_000_000
"""Pixels that a frame may have."""

_COVER = 0x400
"""FFmpeg's mark of a picture that goes with a recording (AV_DISPOSITION_ATTACHED_PIC)."""


class VideoError(ValueError):
    """A video or a camera cannot be read, or a video cannot be written; the message names it and the remedy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        number: counted from 0.
        time: seconds since the video's beginning, at which the picture is to be shown.
        image: uint8 RGB (height, width, 3), upright.
        place: its number if those that cannot be decoded count, too, as far as the container tells them; None if it
            comes from no video.
    """

    number: int
    time: float
    image: np.ndarray
    place: int | None = None


class Video:
    """An open video, camera or stream, to be iterated over once; `open_video` makes it.

    Attributes:
        name: its path or address, or "camera <number>".
        count: number of frames, as the file's index tells; None where it does not.
        rate: frames per second, of a variable rate the one that most frames keep.
        is_live: whether it is a camera or a stream, which cannot be read a second time.
        problem: what is wrong with the video: it was cut off, or some of its pictures are damaged; None if nothing is.
            Known when the frames have been read.
    """

    def __init__(self, name: str, rate: float | None, count: int | None, is_live: bool, start: int) -> None:
        self.name = name
        self.rate = float(rate) if rate and 0 < rate < 1000 else 30.0
        self.count = count or None
        self.is_live = is_live
        self.problem: str | None = None
        self._start = start
        self._ratio: Fraction | None = None

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: Any) -> None:
        self._close()

    def __iter__(self) -> Iterator[Frame]:
        number, last = 0, -1.0
        for place, (seconds, picture) in enumerate(self._pictures()):
            if picture is None:
                continue
            if seconds is None or not seconds > last:
                seconds = last + 1 / self.rate if number else 0.0
            last = seconds
            if number >= self._start:
                yield Frame(number, seconds, _image(picture, self._ratio), place)
            number += 1

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        """Times and pictures, the latter as `_image` takes them; None for one that cannot be decoded."""
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


@dataclasses.dataclass
class Damage:
    """What went wrong while decoding.

    Attributes:
        broke_off: whether the container ended in the middle of something.
        pictures: how many could not be decoded.
    """

    broke_off: bool = False
    pictures: int = 0


def pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise VideoError(f"videos need PyAV ({error}); pip install av") from error
    return av


def video_stream(container: Any, name: str) -> Any:
    """The stream of moving pictures: no cover of an album, and of several the one that players show."""
    shown = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not shown:
        kinds = sorted({"a cover" if stream.type == "video" else stream.type for stream in container.streams})
        if not kinds:
            raise VideoError(f"{name}: holds no pictures; get it again")
        raise VideoError(f"{name}: holds no moving pictures, only {' and '.join(kinds)}; name a video")
    best = container.streams.best("video")
    stream = best if best in shown else shown[0]
    if stream.codec_context is None:
        raise VideoError(f"{name}: is coded in a way that cannot be decoded here; convert it to MP4")
    if stream.width * stream.height > MOST_PIXELS:
        raise VideoError(f"{name}: its frames have {stream.width} x {stream.height} pixels, too many; shrink it first")
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: Any) -> bool:
    return bool(int(getattr(stream, "disposition", 0)) & _COVER)


def rate_of(stream: Any) -> float | None:
    rate = stream.guessed_rate or stream.average_rate or stream.base_rate
    return None if rate is None else float(rate)


def beginning(container: Any) -> float:
    """Seconds at which a container begins. What is below zero are sounds that a player drops, or pictures that others
    are made of."""
    return max(container.start_time or 0, 0) / pyav().time_base


def decoded_pictures(container: Any, stream: Any, damage: Damage) -> Iterator[tuple[float | None, Any]]:
    """Seconds since the container's beginning and the frame of each picture; twice None if it cannot be decoded."""
    av = pyav()
    began = beginning(container)
    packets = container.demux(stream)
    decoded_some, corrupt = False, False
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.FFmpegError, OSError):
            damage.broke_off = True
            packet = None
        corrupt = packet.is_corrupt if packet is not None and packet.size else corrupt
        try:
            frames = stream.codec_context.decode(None) if packet is None else packet.decode()
        except av.FFmpegError:
            # A recording may begin in the middle of a group of pictures, which players pass over, too.
            frames = []
            if decoded_some and packet is not None:
                damage.pictures += 1
                yield None, None
        for frame in frames:
            decoded_some = True
            pts = frame.dts if frame.pts is None else frame.pts
            seconds = None if pts is None or frame.time_base is None else float(pts * frame.time_base) - began
            yield seconds, frame
        if packet is None:
            break
    damage.broke_off = damage.broke_off or corrupt


def _image(picture: Any, ratio: Fraction | None) -> np.ndarray:
    """A decoded frame as uint8 RGB (height, width, 3), upright and with square pixels; an array as it is.

    Args:
        picture: the frame.
        ratio: of a pixel's width to its height; None if it is not known.
    """
    if isinstance(picture, np.ndarray):
        return picture
    image = picture.to_ndarray(format="rgb24")
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if ratio and abs(ratio - 1) > SQUARE and 1 / 16 < ratio < 16:
        image = images.resize(image, (image.shape[0], max(1, round(image.shape[1] * float(ratio)))))
    return image if matrix is None else _upright(image, bytes(matrix))


def _upright(image: np.ndarray, matrix: bytes) -> np.ndarray:
    """Turns and mirrors an image by quarter turns, as a display matrix says.

    It holds nine int32, in the first two rows a, b and c, d: a pixel (x, y) is shown at (a x + c y, b x + d y), but for
    a shift.
    """
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix[:20], np.int32))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        down, across = d, a
    else:
        image = image.transpose(1, 0, 2)
        down, across = b, c
    turned = image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    return np.ascontiguousarray(turned)

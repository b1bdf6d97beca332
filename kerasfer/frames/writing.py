"""Writes videos."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import images
from kerasfer.files import aside_of, put_in_place, unwritable
from kerasfer.frames.decoding import Frame, VideoError, pyav

__all__ = ["VideoWriter"]

_TICKS = 60_000
"""Steps of a second in which times are written: all usual rates are whole numbers of them."""


class VideoWriter:
    """Writes a video; it gets its name when it is complete.

    Args:
        path: where to, ending in .mp4 (MPEG-4), .avi (Motion JPEG) or .mkv (MPEG-4).
        rate: frames per second.

    Raises:
        VideoError: another ending, or the file cannot be written.
    """

    CODECS = {".mp4": "mpeg4", ".avi": "mjpeg", ".mkv": "mpeg4"}

    _CONTAINERS = {".mp4": "mp4", ".avi": "avi", ".mkv": "matroska"}

    _QUALITY = 118 * 3
    """Coarseness of what is written: 118 times the quantizer, which goes from 1 to 31."""

    def __init__(self, path: str | os.PathLike[str], rate: float) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in self.CODECS:
            raise VideoError(f"{path}: cannot tell the video's format; let the name end in {', '.join(self.CODECS)}")
        self._rate = Fraction(rate).limit_denominator(1001)
        self._aside: Path | None = None
        self._last = -1
        self._failed = False

    def write(self, picture: np.ndarray | Frame) -> None:
        """Adds a picture, uint8 RGB (height, width, 3), or a frame with its time, which must be later than the last.

        Pictures without a time follow each other at the writer's rate. An AVI file repeats a frame as often as it takes
        to show the next at its time. Pictures of another size than the first are resized.
        """
        image = picture.image if isinstance(picture, Frame) else picture
        with self._reported():
            if self._aside is None:
                self._open(*image.shape[1::-1])
            if image.shape[:2] != (self._stream.height, self._stream.width):
                image = images.resize(image, (self._stream.height, self._stream.width))
            frame = self._converted(np.ascontiguousarray(image))
            ticks: Any = self._last + 1 / (self._rate * self._base) if self._last >= 0 else 0
            if isinstance(picture, Frame):
                ticks = picture.time / self._base
            self._last = max(round(ticks), self._last + 1)
            frame.pts, frame.time_base = self._last, self._base
            self._container.mux(self._stream.encode(frame))

    def _converted(self, image: np.ndarray) -> Any:
        """A picture as the codec takes it; OpenCV converts it in half the time that FFmpeg needs."""
        av = pyav()
        if self._stream.pix_fmt != "yuv420p" or self._stream.width % 2 or self._stream.height % 2:
            return av.VideoFrame.from_ndarray(image, format="rgb24")
        try:
            import cv2
        except ImportError:
            return av.VideoFrame.from_ndarray(image, format="rgb24")
        planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
        # Where they lie, not copied; PyAV rounds the height down to a multiple of four then.
        whole = self._stream.height % 4 == 0
        return (av.VideoFrame.from_numpy_buffer if whole else av.VideoFrame.from_ndarray)(planes, format="yuv420p")

    def _open(self, width: int, height: int) -> None:
        av = pyav()
        suffix = self.path.suffix.lower()
        # One name for all runs: what a killed one left is written over by the next.
        self._aside = aside_of(self.path).with_name(f".{self.path.stem[:40]}.unfinished{suffix}")
        self._file = self._aside.open("w+b")
        self._container = av.open(
            self._file, "w", format=self._CONTAINERS[suffix], options={"fflags": "+bitexact"}, buffer_size=1 << 18
        )
        options = {"flags": "+qscale+bitexact", "global_quality": str(self._QUALITY)}
        self._stream = self._container.add_stream(self.CODECS[suffix], rate=self._rate, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuvj420p" if suffix == ".avi" else "yuv420p"
        # Two threads take longer than one between them, and who writes a video has other work for the processors.
        self._stream.codec_context.thread_count = 1
        self._base = 1 / self._rate if suffix == ".avi" else Fraction(1, _TICKS)
        self._stream.time_base = self._stream.codec_context.time_base = self._base

    def close(self, keep: bool = True) -> None:
        """Finishes the file, or drops it; one that could not be written to its end is dropped, too."""
        if self._aside is None:
            return
        aside, self._aside = self._aside, None
        try:
            if keep and not self._failed:
                with self._reported():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    self._file.close()
                    put_in_place(aside, self.path, VideoError)
        finally:
            for opened in (self._container, self._file):
                with contextlib.suppress(Exception):
                    opened.close()
            with contextlib.suppress(OSError):
                aside.unlink()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failed = True
            if isinstance(error, VideoError):
                raise
            raise VideoError(unwritable(self.path, error) or f"{self.path}: cannot be written ({error})") from error

"""Cameras of this machine and streams from the network."""

from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasfer.frames.decoding import Damage, Video, VideoError, decoded_pictures, pyav, rate_of, video_stream

__all__ = ["camera_number", "is_stream_address"]

CONNECTING = 10.0
"""Seconds that a stream may take to open, or be silent, before it is opened anew."""

GIVING_UP = 30.0
"""Seconds without a picture after which a stream has ended."""

_STREAMS = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_PROTOCOLS = "crypto,data,hls,http,httpproxy,https,rtmp,rtmps,rtmpt,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
"""What a stream may be made of: no files of this machine."""


def camera_number(source: str | os.PathLike[str]) -> int | None:
    """The number of the camera that "camera", "camera:1", "1" or "/dev/video1" means; None if it means none."""
    told = re.fullmatch(r"camera(?::(\d+))?|/dev/video(\d+)|(\d{1,3})", os.fsdecode(source), re.ASCII)
    return None if told is None else int(told[1] or told[2] or told[3] or 0)


def is_stream_address(source: str | os.PathLike[str]) -> bool:
    """Whether this is the address of a stream, such as rtsp://camera.example/live."""
    return os.fsdecode(source).partition("://")[0].lower() in _STREAMS and "://" in os.fsdecode(source)


class Camera(Video):
    """A camera of this machine, through OpenCV, which knows every system's."""

    def __init__(self, number: int, start: int) -> None:
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise VideoError(f"camera {number}: cannot be opened; plug one in, or name another, such as camera:1")
        super().__init__(f"camera {number}", self._capture.get(cv2.CAP_PROP_FPS), None, True, start)

    def _close(self) -> None:
        self._capture.release()

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        began = time.monotonic()
        while True:
            read, image = self._capture.read()
            if not read or image is None:
                break
            yield time.monotonic() - began, np.ascontiguousarray(image[:, :, ::-1])
        self.problem = f"{self.name}: gives no more pictures; plug it in again"


class Stream(Video):
    """A stream from the network; what is live goes on after a break, by the clock of this machine."""

    def __init__(self, address: str, start: int) -> None:
        self._address = address
        shown = _without_password(address)
        self._open(shown)
        super().__init__(shown, rate_of(self._stream), None, True, start)
        self._ratio = self._stream.sample_aspect_ratio

    def _open(self, shown: str) -> None:
        av = pyav()
        scheme = self._address.partition("://")[0].lower()
        options = {"protocol_whitelist": _PROTOCOLS}
        if scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        if scheme.startswith("http"):
            options |= {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "5"}
        try:
            self._container = av.open(
                self._address, metadata_errors="ignore", options=options, timeout=(CONNECTING, CONNECTING)
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise VideoError(
                f"{shown}: no stream can be opened ({reason}); check the address and the network"
            ) from error
        try:
            self._stream = video_stream(self._container, shown)
        except VideoError:
            self._container.close()
            raise
        is_file = self._container.size > 0 and "hls" not in self._container.format.name
        self._has_end = self._container.duration is not None or is_file

    def _close(self) -> None:
        self._container.close()

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        began = time.monotonic()
        seen, count = began, 0
        while True:
            damage, first = Damage(), None
            for seconds, picture in decoded_pictures(self._container, self._stream, damage):
                if picture is not None:
                    seen, count = time.monotonic(), count + 1
                if self._has_end or seconds is None:
                    yield seconds, picture
                    continue
                first = (seconds, seen - began if count > 1 else 0.0) if first is None else first
                yield seconds - first[0] + first[1], picture
            if self._has_end:
                if damage.broke_off:
                    self.problem = f"{self.name}: broke off after {count} frames; try again"
                elif not count:
                    self.problem = f"{self.name}: holds no pictures; check the address"
                return
            while True:
                self._container.close()
                if time.monotonic() - seen > GIVING_UP:
                    self.problem = f"{self.name}: gave no more pictures after {count} frames; check the network"
                    return
                time.sleep(min(0.5, GIVING_UP / 4))
                with contextlib.suppress(VideoError):
                    self._open(self.name)
                    break


def _without_password(address: str) -> str:
    """An address as it may be shown."""
    parts = urllib.parse.urlsplit(address)
    if "@" not in parts.netloc:
        return address
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()

"""Videos in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from kerasfer.frames.containers import is_cut
from kerasfer.frames.decoding import Damage, Video, VideoError, decoded_pictures, pyav, rate_of, video_stream

_CONTAINERS = frozenset(
    (
        "3gp apng asf av1 avi dv flv gif h263 h264 hevc ivf live_flv m4v matroska mjpeg mov mpeg mpegts mpegvideo mxf "
        "nsv nut obu ogg rm vc1 webm wtv yuv4mpegpipe"
    ).split()
)
"""Containers that count as videos: no single pictures, and nothing that is a list of other files."""

_HEAD = 512
"""Bytes by which a file is seen to be text: what lists other files for FFmpeg is."""


class VideoFile(Video):
    """A video in a file."""

    def __init__(self, name: str, file: BinaryIO, start: int) -> None:
        av = pyav()
        self._file = file
        unusable = f"{name}: damaged, cut off or no video; get it again, or convert it to MP4"
        try:
            file.seek(0)
            head = file.read(_HEAD)
            file.seek(0)
            if _is_text(head):
                raise VideoError(unusable)
            self._container = av.open(_Nameless(file), metadata_errors="ignore", buffer_size=1 << 18)
        except (av.FFmpegError, OSError, ValueError) as error:
            file.close()
            raise VideoError(unusable) from error
        try:
            if not _CONTAINERS & set(self._container.format.name.split(",")):
                raise VideoError(unusable)
            self._stream = video_stream(self._container, name)
        except VideoError:
            self._close()
            raise
        super().__init__(name, rate_of(self._stream), self._stream.frames, False, start)
        self._ratio = self._stream.sample_aspect_ratio

    def _close(self) -> None:
        self._container.close()
        self._file.close()

    def counted(self) -> int:
        """Number of frames; `VideoError` if the file is cut off. The video cannot be read then."""
        if is_cut(self._file, self._container.format.name):
            raise VideoError(f"{self.name}: cut off; get it again")
        return self.count or sum(packet.size > 0 for packet in self._container.demux(self._stream))

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        count, damage = 0, Damage()
        for seconds, picture in decoded_pictures(self._container, self._stream, damage):
            count += picture is not None
            yield seconds, picture
        if damage.broke_off or is_cut(self._file, self._container.format.name):
            announced = f" of {self.count}" if self.count is not None and count < self.count else ""
            self.problem = f"{self.name}: ends after {count}{announced} frames, as if cut off; get it again"
        elif damage.pictures:
            self.problem = f"{self.name}: {damage.pictures} of its pictures are damaged and left out; get it again"
        elif not count:
            self.problem = f"{self.name}: holds no pictures; get it again"


def _is_text(head: bytes) -> bool:
    return not head.startswith(b"YUV4MPEG2") and all(byte >= 32 or byte in b"\t\n\f\r" for byte in head)


class _Nameless:
    """An open file without its name, in which FFmpeg would see protocols and formats."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

"""Frames of videos, cameras and streams, in and out.

FFmpeg decodes and encodes, through PyAV, and nothing rests on its defaults: a frame has the time at which it is to be
shown, is upright as the file's display matrix says, and its pixels are square. A file is complete if its container is
and every picture could be decoded, whatever the container estimates of its length.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
import urllib.parse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerasfer import images
from kerasfer.files import aside_of, put_in_place, unwritable
from kerasfer.folders import VIDEO_SUFFIXES

__all__ = [
    "VIDEO_SUFFIXES",
    "Frame",
    "Video",
    "VideoError",
    "VideoWriter",
    "camera_number",
    "count_frames",
    "is_stream_address",
    "open_video",
]

SQUARE = 0.02
"""Deviation of a pixel's sides from being equal that is left alone."""

CONNECTING = 10.0
"""Seconds that a stream may take to open, or be silent, before it is opened anew."""

GIVING_UP = 30.0
"""Seconds without a picture after which a stream has ended."""

MOST_PIXELS = 64_000_000
"""Pixels that a frame may have."""

_CONTAINERS = frozenset(
    (
        "3gp apng asf av1 avi dv flv gif h263 h264 hevc ivf live_flv m4v matroska mjpeg mov mpeg mpegts mpegvideo mxf "
        "nsv nut obu ogg rm vc1 webm wtv yuv4mpegpipe"
    ).split()
)
"""Containers that count as videos: no single pictures, and nothing that is a list of other files."""

_HEAD = 512
"""Bytes by which a file is seen to be text: what lists other files for FFmpeg is."""

_STREAMS = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_PROTOCOLS = "crypto,data,hls,http,httpproxy,https,rtmp,rtmps,rtmpt,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
"""What a stream may be made of: no files of this machine."""

_TAIL = 1 << 18
"""Bytes at a file's end in which its last packet or page is looked for."""

_COVER = 0x400
"""FFmpeg's mark of a picture that goes with a recording (AV_DISPOSITION_ATTACHED_PIC)."""

_TICKS = 60_000
"""Steps of a second in which times are written: all usual rates are whole numbers of them."""


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


def camera_number(source: str | os.PathLike[str]) -> int | None:
    """The number of the camera that "camera", "camera:1", "1" or "/dev/video1" means; None if it means none."""
    told = re.fullmatch(r"camera(?::(\d+))?|/dev/video(\d+)|(\d{1,3})", os.fsdecode(source), re.ASCII)
    return None if told is None else int(told[1] or told[2] or told[3] or 0)


def is_stream_address(source: str | os.PathLike[str]) -> bool:
    """Whether this is the address of a stream, such as rtsp://camera.example/live."""
    return os.fsdecode(source).partition("://")[0].lower() in _STREAMS and "://" in os.fsdecode(source)


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames of a video file, by its index, or counted without decoding them.

    Raises:
        VideoError: as `open_video`, or the video is cut off.
    """
    with open_video(path) as video:
        if not isinstance(video, _File):
            raise VideoError(f"{video.name}: has no end; name a video file")
        return video.counted()


def open_video(source: str | os.PathLike[str], start: int = 0) -> Video:
    """Opens a video file, a camera or a stream.

    Args:
        source: path of a video; "camera" or "0" for the first camera, "camera:1" or "1" for the second one; or an
            address that begins with rtsp://, http:// or the like. A stream that breaks off is opened anew, for up to
            half a minute; one that has an end is read to it.
        start: number of frames to leave out at the beginning.

    Raises:
        VideoError: there is no such file, camera or stream, or the file is empty, damaged or no video.
    """
    name = os.fsdecode(source)
    number = camera_number(name)
    if number is not None and (name.startswith("/dev/") or not os.path.lexists(name)):
        return _Camera(number, start)
    if is_stream_address(name):
        return _Stream(name, start)
    if not name:
        raise VideoError("the path of the video is empty; name a file, 'camera', or a stream's address")
    try:
        file = Path(name).open("rb")
        empty = not file.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{name}: cannot be read ({reason}); check the path") from error
    if empty:
        file.close()
        raise VideoError(f"{name}: the file is empty; get it again")
    return _File(name, file, start)


# -- files -------------------------------------------------------------------------------------------------------------


class _File(Video):
    """A video in a file."""

    def __init__(self, name: str, file: BinaryIO, start: int) -> None:
        av = _library()
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
            self._stream = _video_stream(self._container, name)
        except VideoError:
            self._close()
            raise
        super().__init__(name, _rate_of(self._stream), self._stream.frames, False, start)
        self._ratio = self._stream.sample_aspect_ratio

    def _close(self) -> None:
        self._container.close()
        self._file.close()

    def counted(self) -> int:
        """Number of frames; `VideoError` if the file is cut off. The video cannot be read then."""
        if _is_cut(self._file, self._container.format.name):
            raise VideoError(f"{self.name}: cut off; get it again")
        return self.count or sum(packet.size > 0 for packet in self._container.demux(self._stream))

    def _pictures(self) -> Iterator[tuple[float | None, Any]]:
        count, damage = 0, _Damage()
        for seconds, picture in _decoded(self._container, self._stream, damage):
            count += picture is not None
            yield seconds, picture
        if damage.broke_off or _is_cut(self._file, self._container.format.name):
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


@dataclasses.dataclass
class _Damage:
    """What went wrong while decoding.

    Attributes:
        broke_off: whether the container ended in the middle of something.
        pictures: how many could not be decoded.
    """

    broke_off: bool = False
    pictures: int = 0


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise VideoError(f"videos need PyAV ({error}); pip install av") from error
    return av


def _video_stream(container: Any, name: str) -> Any:
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


def _rate_of(stream: Any) -> float | None:
    rate = stream.guessed_rate or stream.average_rate or stream.base_rate
    return None if rate is None else float(rate)


def _decoded(container: Any, stream: Any, damage: _Damage) -> Iterator[tuple[float | None, Any]]:
    """Seconds since the container's beginning and the frame of each picture; twice None if it cannot be decoded."""
    av = _library()
    # What begins below zero are sounds that a player drops, or pictures that others are made of.
    began = max(container.start_time or 0, 0) / av.time_base
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


def _is_cut(file: BinaryIO, container: str) -> bool:
    """Whether a file's last piece is longer than what is left of the file, as its container's format counts."""
    names = container.split(",")
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    try:
        return _ends_beyond(file, size, names)
    except (OSError, ValueError):
        return False
    finally:
        file.seek(place)


def _ends_beyond(file: BinaryIO, size: int, names: list[str]) -> bool:
    if "avi" in names:
        return _chunks_end(file, size) > size
    if "mov" in names:
        return _boxes_end(file, size) > size
    if "matroska" in names:
        return _elements_end(file, size) > size
    if "asf" in names:
        return _objects_end(file, size) > size
    if "flv" in names:
        return not _ends_with_a_tag(file, size)
    if "ogg" in names:
        return not _ends_with_a_last_page(file, size)
    if "mpegts" in names:
        return _packets_rest(file, size) > 0
    if "mpeg" in names:
        return _packs_end(file, size) > size
    return "gif" in names and not _ends_with_a_trailer(file, size)


def _chunks_end(file: BinaryIO, size: int) -> int:
    """Where the last RIFF chunk of an AVI file ends."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        end += 8 + length + length % 2
    return min(end, size) if end == size + 1 else end


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 or QuickTime file ends."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        length = int.from_bytes(head[8:], "big") if length == 1 else length
        if length == 0 or not head[4:8].isalnum():
            break
        end += max(length, 8)
    return end


def _elements_end(file: BinaryIO, size: int) -> int:
    """Where the last element of a Matroska or WebM file ends; what is of unknown size ends where its parts do."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(12)
        named = _coded_length(head)
        counted = _coded_length(head[named:])
        if not named or not counted or len(head) < named + counted:
            break
        unknown = (1 << 7 * counted) - 1
        length = int.from_bytes(head[named : named + counted], "big") & unknown
        end += named + counted
        is_segment = head[:named] == b"\x18\x53\x80\x67"
        if length != unknown:
            if is_segment and end + length > size:
                return end + length
            end += 0 if is_segment else length
        elif not is_segment and head[:named] != b"\x1f\x43\xb6\x75":
            break
    return end


def _ends_with_a_tag(file: BinaryIO, size: int) -> bool:
    """Whether an FLV file ends as it should: behind each tag stands how long that is."""
    file.seek(size - 4)
    length = int.from_bytes(file.read(4), "big")
    file.seek(max(size - 4 - length, 0))
    return 11 + int.from_bytes(file.read(4)[1:], "big") == length


def _objects_end(file: BinaryIO, size: int) -> int:
    """Where the last object of an ASF or WMV file ends."""
    end = 0
    while end + 24 <= size:
        file.seek(end + 16)
        length = int.from_bytes(file.read(8), "little")
        if length < 24:
            break
        end += length
    return end


def _ends_with_a_last_page(file: BinaryIO, size: int) -> bool:
    """Whether an Ogg file ends with a whole page that says that it is its stream's last."""
    tail = _tail(file, size)
    page = tail.rfind(b"OggS")
    head = tail[page:]
    if page < 0 or len(head) < 27 or len(head) < 27 + head[26]:
        return False
    is_last = bool(head[5] & 4)
    return is_last and len(head) >= 27 + head[26] + sum(head[27 : 27 + head[26]])


def _packets_rest(file: BinaryIO, size: int) -> int:
    """Bytes of a last packet that is not whole in an MPEG transport stream; 0 if where packets lie cannot be told."""
    file.seek(0)
    head = file.read(1024)
    for mark, length in ((0, 188), (4, 192), (0, 204)):
        if set(head[mark::length]) == {0x47}:
            return size % length
    return 0


def _packs_end(file: BinaryIO, size: int) -> int:
    """Where the last packet of an MPEG program stream ends; 0 if the tail does not tell."""
    tail = _tail(file, size)
    first = size - len(tail)
    start = tail.find(b"\0\0\1\xba")
    while start >= 0:
        place = start
        while place + 6 <= len(tail) and tail[place : place + 3] == b"\0\0\1" and tail[place + 3] >= 0xB9:
            if tail[place + 3] == 0xB9:
                return first + place + 4
            if tail[place + 3] == 0xBA:
                is_second = tail[place + 4] >> 6 == 1
                place += 14 + (tail[place + 13] & 7 if len(tail) > place + 13 else 0) if is_second else 12
            else:
                place += 6 + int.from_bytes(tail[place + 4 : place + 6], "big")
        if place + 6 > len(tail):
            return first + place
        start = tail.find(b"\0\0\1\xba", start + 4)
    return 0


def _ends_with_a_trailer(file: BinaryIO, size: int) -> bool:
    """Whether the blocks of a GIF file end with its trailer, whatever follows."""
    file.seek(10)
    flags = file.read(3)[0]
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while place < size:
        file.seek(place)
        kind, head = file.read(1), file.read(9)
        if kind == b";":
            return True
        if kind == b"!":
            place += 2
        elif kind == b"," and len(head) == 9:
            place += 11 + (3 << (head[8] & 7) + 1 if head[8] & 0x80 else 0)
        else:
            return False
        length = 1
        while length:
            file.seek(place)
            length = (file.read(1) or b"\0")[0]
            place += 1 + length
    return False


def _tail(file: BinaryIO, size: int) -> bytes:
    """The last bytes of a file, more than its packets and pages are long."""
    file.seek(max(size - _TAIL, 0))
    return file.read()


def _coded_length(head: bytes) -> int:
    """Bytes of the number at the beginning, by its leading zeros; 0 if it is none."""
    return 9 - head[0].bit_length() if head and head[0] else 0


# -- cameras and streams -----------------------------------------------------------------------------------------------


class _Camera(Video):
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


class _Stream(Video):
    """A stream from the network; what is live goes on after a break, by the clock of this machine."""

    def __init__(self, address: str, start: int) -> None:
        self._address = address
        shown = _without_password(address)
        self._open(shown)
        super().__init__(shown, _rate_of(self._stream), None, True, start)
        self._ratio = self._stream.sample_aspect_ratio

    def _open(self, shown: str) -> None:
        av = _library()
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
            self._stream = _video_stream(self._container, shown)
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
            damage, first = _Damage(), None
            for seconds, picture in _decoded(self._container, self._stream, damage):
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


# -- writing -----------------------------------------------------------------------------------------------------------


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
        av = _library()
        image = picture.image if isinstance(picture, Frame) else picture
        with self._reported():
            if self._aside is None:
                self._open(*image.shape[1::-1])
            if image.shape[:2] != (self._stream.height, self._stream.width):
                image = images.resize(image, (self._stream.height, self._stream.width))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            ticks = self._last + 1 / (self._rate * self._base) if self._last >= 0 else 0
            if isinstance(picture, Frame):
                ticks = picture.time / self._base
            self._last = max(round(ticks), self._last + 1)
            frame.pts, frame.time_base = self._last, self._base
            self._container.mux(self._stream.encode(frame))

    def _open(self, width: int, height: int) -> None:
        av = _library()
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

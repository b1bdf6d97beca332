"""Opens whatever a path, an address or a camera's name means."""

from __future__ import annotations

import os
from pathlib import Path

from kerasfer.frames.decoding import Video, VideoError
from kerasfer.frames.live import Camera, Stream, camera_number, is_stream_address
from kerasfer.frames.recordings import VideoFile

__all__ = ["count_frames", "open_video"]


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames of a video file, by its index, or counted without decoding them.

    Raises:
        VideoError: as `open_video`, or the video is cut off.
    """
    with open_video(path) as video:
        if not isinstance(video, VideoFile):
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
        return Camera(number, start)
    if is_stream_address(name):
        return Stream(name, start)
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
    return VideoFile(name, file, start)

"""Frames of videos, cameras and streams, in and out.

FFmpeg decodes and encodes, through PyAV, and nothing rests on its defaults: a frame has the time at which it is to be
shown, is upright as the file's display matrix says, and its pixels are square. A file is complete if its container is
and every picture could be decoded, whatever the container estimates of its length.
"""

from __future__ import annotations

from kerasfer.folders import VIDEO_SUFFIXES
from kerasfer.frames.decoding import Frame, Video, VideoError
from kerasfer.frames.live import camera_number, is_stream_address
from kerasfer.frames.opening import count_frames, open_video
from kerasfer.frames.parts import KeyFrame, key_frames, open_part
from kerasfer.frames.writing import VideoWriter

__all__ = [
    "VIDEO_SUFFIXES",
    "Frame",
    "KeyFrame",
    "Video",
    "VideoError",
    "VideoWriter",
    "camera_number",
    "count_frames",
    "is_stream_address",
    "key_frames",
    "open_part",
    "open_video",
]

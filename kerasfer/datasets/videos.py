"""Single frames of videos as images of a table."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FolderSource, ImageSource
from kerasfer.folders import VIDEO_SUFFIXES
from kerasfer.frames import VideoError, count_frames, open_video

__all__ = ["VIDEO_SUFFIXES", "VideoSource", "frame_path"]


def frame_path(video: str, number: int) -> str:
    """Path of a video's frame in a `VideoSource`; the first frame is number 1."""
    return f"{video}#{number}"


@contextlib.contextmanager
def _file_of(source: ImageSource, video: str) -> Iterator[Path]:
    """A video as a file; what is not one in a folder is written to a temporary one. `VideoError` names the source."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, FolderSource):
            file = source.root / video
        else:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / f"video{PurePosixPath(video).suffix}"
            content: Any = source.read(video)
            file.write_bytes(content)
        try:
            yield file
        except VideoError as error:
            raise DatasetError(f"{source.describe(video)}: {str(error).removeprefix(f'{file}: ')}") from error


class VideoSource:
    """Frames of another source's videos. Each thread keeps the frames of the video that it read last.

    Args:
        source: holds the videos, and other files, which are read as they are.
        wanted: video -> numbers of the frames that are going to be read, from 1. They are decoded together, in one pass
            through the video, because jumps in compressed videos do not always land on the right frame.
    """

    def __init__(self, source: ImageSource, wanted: Mapping[str, Collection[int]]) -> None:
        self.source = source
        self.wanted = {video: frozenset(numbers) for video, numbers in wanted.items()}
        self._local = threading.local()

    def frame_count(self, video: str) -> int:
        """Number of a video's frames.

        Raises:
            DatasetError: the file is missing, is cut short or is not a video; the message names it.
        """
        with _file_of(self.source, video) as file:
            return count_frames(file)

    def _frames(self, video: str) -> dict[int, np.ndarray]:
        """Number -> uint8 (height, width, 3), RGB, of the wanted frames that the video has."""
        if getattr(self._local, "video", None) != video:
            wanted = self.wanted.get(video, frozenset())
            frames = {}
            if wanted:
                with _file_of(self.source, video) as file, open_video(file) as opened:
                    for frame in opened:
                        if frame.place != frame.number:
                            # Behind a damaged picture, nobody knows which is which.
                            break
                        if frame.number + 1 in wanted:
                            frames[frame.number + 1] = frame.image
                        if frame.number + 1 >= max(wanted):
                            break
            self._local.video, self._local.frames = video, frames
        return self._local.frames

    def read(self, path: str) -> bytes | np.ndarray:
        video, mark, number = path.rpartition("#")
        if not mark or video not in self.wanted:
            return self.source.read(path)
        frames = self._frames(video)
        if int(number) not in frames:
            raise DatasetError(f"{self.describe(path)}: cannot be decoded; the video is damaged or too short")
        return frames[int(number)]

    def exists(self, path: str) -> bool:
        video, mark, number = path.rpartition("#")
        if mark and video in self.wanted:
            return int(number) in self.wanted[video] and self.source.exists(video)
        return self.source.exists(path)

    def names(self) -> list[str]:
        return self.source.names()

    def describe(self, path: str) -> str:
        video, mark, number = path.rpartition("#")
        if mark and video in self.wanted:
            return f"{self.source.describe(video)} frame {number}"
        return self.source.describe(path)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "wanted": self.wanted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _local=threading.local())

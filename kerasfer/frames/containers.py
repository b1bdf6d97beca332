"""Where a video file's container ends, which tells whether the file was cut off."""

from __future__ import annotations

import os
from typing import BinaryIO

_TAIL = 1 << 18
"""Bytes at a file's end in which its last packet or page is looked for."""


def is_cut(file: BinaryIO, container: str) -> bool:
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

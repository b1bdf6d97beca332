"""Images in and out: decode, orient, color, resize, crop, scale, write.

Inside the project an image is a uint8 array, RGB (height, width, 3) or gray (height, width), upright as its EXIF tag
says. These modules make one out of whatever a camera, a phone or a data set wrote.

OpenCV samples the pixels; on a device without it Pillow does, much the same.
"""

from __future__ import annotations

from kerasfer.images.decoding import (
    FORMATS,
    IMAGE_SUFFIXES,
    ImageError,
    decode,
    floats_to_bytes,
    is_data_url,
    read,
    read_reduced,
)
from kerasfer.images.sampling import crop, prepare, prepare_uint8, resize, to_gray, warp
from kerasfer.images.writing import encode, write

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "ImageError",
    "crop",
    "decode",
    "encode",
    "floats_to_bytes",
    "is_data_url",
    "prepare",
    "prepare_uint8",
    "read",
    "read_reduced",
    "resize",
    "to_gray",
    "warp",
    "write",
]

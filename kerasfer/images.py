"""Images in and out: decode, orient, colour, resize, crop, scale, write.

Inside the project an image is a uint8 array, RGB (height, width, 3) or grey (height, width), upright as its EXIF tag
says. This module makes one out of whatever a camera, a phone or a data set wrote.

OpenCV samples the pixels; on a device without it Pillow does, much the same.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerasfer.faces import Box, ImageSpec
from kerasfer.files import write_aside

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "crop",
    "decode",
    "encode",
    "prepare",
    "prepare_uint8",
    "read",
    "resize",
    "to_grey",
    "warp",
    "write",
]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings, in lower case, of the files that count as photos when a folder is searched."""

_WRITE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


class ImageError(ValueError):
    """An image cannot be read or written; the message names it and the remedy."""


def decode(content: bytes, origin: str = "image") -> np.ndarray:
    """Decodes an image file's content.

    Grey becomes RGB, transparency is laid over white, 16 bits are scaled to 8, of an animation the first frame is
    taken, and the picture is turned upright as its EXIF orientation says. A damaged EXIF block is ignored.

    Args:
        content: the file's bytes, in any format that Pillow reads.
        origin: what a message calls the image, usually its path.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        ImageError: the content is empty, truncated, damaged, too large (over 178 megapixels) or not an image.
    """
    if not content:
        raise ImageError(f"{origin}: the file is empty; get it again")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            with contextlib.suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            return np.array(_rgb(image))
    except ImageError as error:
        raise ImageError(f"{origin}: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{origin}: not an image of a known format; convert it to JPEG or PNG") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{origin}: has more pixels than can be decoded safely; shrink it first") from error
    except Exception as error:
        # Pillow's plug-ins meet damage with errors of many types: OSError, SyntaxError, struct.error, zlib.error ...
        raise ImageError(f"{origin}: the image is damaged or truncated ({error}); get it again") from error


def _rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as mode RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = Image.fromarray(_bytes_of(np.asarray(image), sixteen_bit=image.mode != "F" and image.format == "PNG"))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _bytes_of(values: np.ndarray, sixteen_bit: bool) -> np.ndarray:
    """Scales integers of 16 or 32 bits, or floats, to uint8.

    Args:
        values: any numeric array.
        sixteen_bit: 65535 is white. Otherwise white is the least of 1 (floats only), 255, 65535 and the largest
            value that no value exceeds.
    """
    if (values.dtype.kind, values.dtype.itemsize) == ("u", 2) or sixteen_bit:
        white = 65535.0
    else:
        largest = float(values.max(initial=0))
        if not np.isfinite(values).all():
            raise ImageError("holds values that are not finite; save it with 8 bits a channel")
        levels = [1.0, 255.0, 65535.0] if values.dtype.kind == "f" else [255.0, 65535.0]
        white = next((level for level in levels if largest <= level), largest)
    return np.clip(np.rint(values.astype(np.float32) * (255.0 / white)), 0, 255).astype(np.uint8)


def read(image: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
    """Reads an image file, or takes an array as one.

    Args:
        image: a path; or a uint8 or uint16 array (height, width), (height, width, 1), RGB (height, width, 3) or RGBA
            (height, width, 4).

    Returns:
        uint8 (height, width, 3), RGB and upright.

    Raises:
        ImageError: there is no such file, it cannot be decoded, or the array has another type or shape.
    """
    if isinstance(image, np.ndarray):
        return _read_array(image)
    path = os.fspath(image)
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path}: is a folder; name an image file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path!r}: cannot be read ({reason}); check the path and its permissions") from error
    return decode(content, path)


def _read_array(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        image = _bytes_of(image, sixteen_bit=True)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if (
        image.dtype != np.uint8
        or 0 in image.shape
        or not (image.ndim == 2 or image.ndim == 3 and image.shape[2] in (3, 4))
    ):
        raise ImageError(
            f"an image array must be uint8 (height, width[, 1, 3 or 4]), got {image.dtype} {image.shape}; "
            "scale it to 0..255 and convert it"
        )
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return np.array(_rgb(Image.fromarray(image))) if image.shape[2] == 4 else np.ascontiguousarray(image)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB image after ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, rounded.

    Args:
        image: uint8 (height, width, 3), (height, width, 1) or (height, width); grey is returned as it is.

    Returns:
        uint8 (height, width).
    """
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    return np.array(Image.fromarray(image).convert("L"))


def resize(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resizes an image: mean over the covered area when it shrinks, bilinear when it grows, each axis on its own.

    Args:
        image: uint8 (height, width[, channels]).
        size: new height and width, or one number for both.

    Returns:
        uint8 (height, width[, channels]).
    """
    height, width = (size, size) if isinstance(size, int) else size
    if (height, width) == image.shape[:2]:
        return image
    shrunk = (min(height, image.shape[0]), min(width, image.shape[1]))
    cv2 = _opencv()
    if cv2 is None:
        resized = _shrunk(image[:, :, 0] if image.shape[2:] == (1,) else image, shrunk)
        if shrunk != (height, width):
            resized = resized.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized).reshape(height, width, *image.shape[2:])
    resized = image
    if shrunk != image.shape[:2]:
        resized = cv2.resize(resized, (shrunk[1], shrunk[0]), interpolation=cv2.INTER_AREA)
    if shrunk != (height, width):
        resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, *image.shape[2:])


@functools.cache
def _opencv() -> Any | None:
    """OpenCV, or None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def crop(image: np.ndarray, box: Box, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """Cuts a box out of an image; where the box leaves the image, the edge pixels repeat.

    Args:
        image: uint8 (height, width[, channels]).
        box: in pixels; its sides are rounded to whole pixels.
        size: height and width to resize to, or one number for both; None keeps the box's size.

    Returns:
        uint8 (height, width[, channels]).

    Raises:
        ImageError: the box is empty or not finite.
    """
    sides = np.array([box.left, box.top, box.right, box.bottom], np.float64)
    if not np.isfinite(sides).all() or box.width <= 0 or box.height <= 0:
        raise ImageError(f"cannot crop to the box {box}: it must be finite and not empty")
    left, top, right, bottom = np.floor(sides + 0.5).astype(np.int64)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    if left >= 0 and top >= 0 and right <= image.shape[1] and bottom <= image.shape[0]:
        cut = np.ascontiguousarray(image[top:bottom, left:right])
    else:
        columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
        rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
        cut = image[rows[:, None], columns]
    return cut if size is None else resize(cut, size)


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """An image in Pillow's hands, shrunk by area means."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    if size == image.shape[:2]:
        return picture
    if image.shape[0] % size[0] == 0 and image.shape[1] % size[1] == 0:
        return picture.reduce((image.shape[1] // size[1], image.shape[0] // size[0]))
    return picture.resize(size[::-1], Image.Resampling.BOX)


def warp(image: np.ndarray, matrix: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Samples an image along a similarity transform; where it leaves the image, the edge pixels repeat.

    When the image shrinks, the region is first reduced by area means, so that nothing aliases. Coordinates count from
    the upper left corner of the upper left pixel, whose centre is (0.5, 0.5).

    Args:
        image: uint8 (height, width, 3) or (height, width).
        matrix: (2, 3), takes (x, y, 1) in the result to (x, y) in the image.
        size: height and width of the result, or one number for both.

    Returns:
        uint8 (height, width[, 3]).
    """
    height, width = (size, size) if isinstance(size, int) else size
    matrix = np.asarray(matrix, np.float64)
    step = abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]) ** 0.5
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    margin = np.ceil(step) + 2
    limits = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(corners.min(0) - margin), 0, limits - 1).astype(int)
    last = np.clip(np.ceil(corners.max(0) + margin), first + 1, limits).astype(int)
    region = image[first[1] : last[1], first[0] : last[0]]
    reduced = last - first
    if step > 1:
        reduced = np.maximum(np.rint(reduced / step), 1).astype(int)
    ratio = reduced / (last - first)
    linear = matrix[:, :2] * ratio[:, None]
    offset = (matrix[:, 2] - first) * ratio
    cv2 = _opencv()
    if cv2 is None:
        return _warp_with_pillow(_shrunk(region, tuple(reduced[::-1].tolist())), linear, offset, (width, height))
    region = resize(region, tuple(reduced[::-1].tolist()))
    by_index = np.column_stack([linear, linear.sum(1) / 2 + offset - 0.5])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(region, by_index, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _warp_with_pillow(
    picture: Image.Image, linear: np.ndarray, offset: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """`warp` without reduction; Pillow paints black beyond an image, so its edge is made as wide as it takes."""
    reach = linear * size
    before = np.ceil(-(np.minimum(reach, 0).sum(1) + offset)).astype(int)
    after = np.ceil(np.maximum(reach, 0).sum(1) + offset - picture.size).astype(int)
    if before.max() > 0 or after.max() > 0:
        (left, top), (right, bottom) = np.maximum(before, 0), np.maximum(after, 0)
        region = np.asarray(picture)
        edges = ((top, bottom), (left, right), (0, 0))[: region.ndim]
        picture = Image.fromarray(np.pad(region, edges, mode="edge"))
        offset = offset + (left, top)
    inverse = (*linear[0], offset[0], *linear[1], offset[1])
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR))


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """The content of a PNG or JPEG file of an image.

    Args:
        image: uint8, grey (height, width[, 1]) or RGB (height, width, 3).
        suffix: .png, .jpg or .jpeg.

    Raises:
        ImageError: another suffix.
    """
    if suffix.lower() not in _WRITE_FORMATS:
        raise ImageError(f"cannot write an image as {suffix!r}; use {', '.join(_WRITE_FORMATS)}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, _WRITE_FORMATS[suffix.lower()], quality=95)
    return buffer.getvalue()


def write(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a PNG or JPEG file, first beside its place and then renamed, so that no half-written file is ever seen.

    Args:
        path: where to, ending in .png, .jpg or .jpeg; missing folders are made.
        image: uint8, grey (height, width[, 1]) or RGB (height, width, 3).

    Raises:
        ImageError: another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITE_FORMATS:
        raise ImageError(f"{path}: cannot tell the image's format; let the name end in {', '.join(_WRITE_FORMATS)}")
    write_aside(path, encode(image, path.suffix), ImageError)


def prepare_uint8(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's colour and size.

    Args:
        image: uint8, grey (height, width[, 1]) or RGB (height, width, 3).
        spec: the model's image format.

    Returns:
        uint8 of `spec.shape`.
    """
    if spec.channels == 1:
        image = to_grey(image)
    elif image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(resize(image, spec.size).reshape(spec.shape))


def prepare(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's colour, size and range: float32 of `spec.shape`; see `prepare_uint8`."""
    return spec.scale(prepare_uint8(image, spec))

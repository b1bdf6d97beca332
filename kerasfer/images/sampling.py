"""Resamples images: to gray, resized, cropped, warped, in a model's format.

OpenCV samples the pixels; on a device without it Pillow does, much the same.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import Image

from kerasfer.faces import Box, ImageSpec
from kerasfer.images.decoding import ImageError

__all__ = ["crop", "prepare", "prepare_uint8", "resize", "to_gray", "warp"]


def to_gray(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB image after ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, rounded.

    Args:
        image: uint8 (height, width, 3), (height, width, 1) or (height, width); gray is returned as it is.

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
        picture = _shrunk(image[:, :, 0] if image.shape[2:] == (1,) else image, shrunk)
        if shrunk != (height, width):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(picture).reshape(height, width, *image.shape[2:])
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


_CROP_SIDES, _CROP_PIXELS, _FARTHEST = 8, 1 << 25, 1 << 30
"""Sides of a box in sides of its image, pixels of a box, and pixels from the image's corner, at most."""


def crop(image: np.ndarray, box: Box, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """Cuts a box out of an image; where the box leaves the image, the edge pixels repeat.

    Args:
        image: uint8 (height, width[, channels]).
        box: in pixels; its sides are rounded to whole pixels.
        size: height and width to resize to, or one number for both; None keeps the box's size.

    Returns:
        uint8 (height, width[, channels]).

    Raises:
        ImageError: the box is empty, not finite or far larger than the image.
    """
    sides = np.array([box.left, box.top, box.right, box.bottom], np.float64)
    if not np.isfinite(sides).all() or box.width <= 0 or box.height <= 0:
        raise ImageError(f"cannot crop to the box {box}: it must be finite and not empty")
    longest, area = max(image.shape[:2]), image.shape[0] * image.shape[1]
    far = max(box.width, box.height) > _CROP_SIDES * longest + 1 or np.abs(sides).max() > _FARTHEST
    if far or box.width * box.height > max(_CROP_PIXELS, 4 * area):
        raise ImageError(
            f"cannot crop to a box of {box.width:.0f} x {box.height:.0f} pixels in an image of {image.shape[1]} x "
            f"{image.shape[0]}; correct the box"
        )
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
    # Pillow's box filter takes whole pixels: its means are of other areas than OpenCV's.
    means = _area_means(_area_means(image, size[0]).swapaxes(0, 1), size[1]).swapaxes(0, 1)
    return Image.fromarray(np.ascontiguousarray(np.rint(means).astype(np.uint8)))


def _area_means(values: np.ndarray, size: int) -> np.ndarray:
    """Means over `size` equal parts of the first axis, float32; a value on a border counts in parts on both sides."""
    length = len(values)
    borders = np.arange(size + 1) * (length / size)
    first = np.minimum(np.ceil(borders[:-1] - 1e-9).astype(np.int64), length - 1)
    last = np.minimum(np.floor(borders[1:] + 1e-9).astype(np.int64), length)
    # `reduceat` sums from each place to the next: every second sum is that of a part.
    places = np.stack([first, np.minimum(last, length - 1)], 1).ravel()
    sums = np.add.reduceat(values, places, axis=0, dtype=np.float32)[::2]
    shape = (size, *(1,) * (values.ndim - 1))
    sums[-1] = values[first[-1] :].sum(0, dtype=np.float32)
    sums *= (last > first).reshape(shape)
    before = (first - borders[:-1]).astype(np.float32).reshape(shape)
    after = (borders[1:] - last).astype(np.float32).reshape(shape)
    sums += before * values[np.maximum(first - 1, 0)] + after * values[np.minimum(last, length - 1)]
    return sums * np.float32(size / length)


def warp(image: np.ndarray, matrix: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Samples an image along a similarity transform; where it leaves the image, the edge pixels repeat.

    When the image shrinks, the region is first reduced by area means, so that nothing aliases. Coordinates count from
    the upper left corner of the upper left pixel, whose center is (0.5, 0.5). OpenCV 4 rounds them to a 32nd of a
    pixel, OpenCV 5 does not: what a doubtful face expresses may differ by some hundredths between the two.

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


def prepare_uint8(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's color and size.

    Args:
        image: uint8, gray (height, width[, 1]) or RGB (height, width, 3).
        spec: the model's image format.

    Returns:
        uint8 of `spec.shape`.
    """
    if spec.channels == 1:
        image = to_gray(image)
    elif image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(resize(image, spec.size).reshape(spec.shape))


def prepare(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Brings a face to a model's color, size and range: float32 of `spec.shape`; see `prepare_uint8`."""
    return spec.scale(prepare_uint8(image, spec))

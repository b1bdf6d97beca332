"""Reads photos: decodes, orients, converts to 8-bit RGB.

A photo comes as a path, the content of a file, an open file, a data: URL, a Pillow image or an array.
"""

from __future__ import annotations

import binascii
import contextlib
import functools
import io
import os
import re
import stat
import urllib.parse
from base64 import b64decode
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "ImageError",
    "decode",
    "floats_to_bytes",
    "is_data_url",
    "read",
    "read_reduced",
]

FORMATS: dict[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "SUN": (".ras",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "TGA": (".tga",),
}
"""The formats that are read, as Pillow names them, and the endings of their files; nothing else is tried on a file,
whatever its name. TGA, which has no mark of its own, comes last. HEIC needs the package pillow-heif."""

IMAGE_SUFFIXES = tuple(sorted(suffix for suffixes in FORMATS.values() for suffix in suffixes))
"""Endings, in lower case, of the files that count as photos when a folder is searched."""

LARGE = 64_000_000
"""Pixels above which `read_reduced` takes a photo smaller than it is."""

MOST_BYTES = 800_000_000
"""Memory that decoding one image may take."""

_MOST_CONTENT = 256_000_000
"""Bytes that are read of what is no file on a disk: a pipe, an open stream."""

_CORE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes that a pixel takes in Pillow's hands, by mode; 4 in others."""

_DECODER_BYTES = {"AVIF": 6, "GIF": 2, "HEIF": 6, "JPEG2000": 13, "WEBP": 9}
"""Bytes a pixel that a format's decoder takes beside that."""

_STRIP = 2_000_000
"""Pixels that are brought to RGB at a time."""

_WEB = re.compile(r"(?!data:)[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_DATA = re.compile(r"data:([^,]*),", re.IGNORECASE)


class ImageError(ValueError):
    """An image cannot be read or written; the message names it and the remedy."""


def decode(content: bytes, origin: str = "image") -> np.ndarray:
    """Decodes an image file's content.

    Gray becomes RGB, transparency is laid over white, 16 bits are scaled to 8, of an animation the first frame is
    taken, and the picture is turned upright as its EXIF orientation says. A damaged EXIF block is ignored.

    Args:
        content: the file's bytes, in one of `FORMATS`.
        origin: what a message calls the image, usually its path.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        ImageError: the content is empty, truncated, damaged, too large (decoding would take over 0.8 GB, as some
            110 megapixels of color do) or not an image.
    """
    return _decoded(io.BytesIO(content), origin)[0]


def _decoded(file: BinaryIO, origin: str, most: int | None = None) -> tuple[np.ndarray, int]:
    """A file's image, and by how much it was reduced: 1 unless it has more than `most` pixels."""
    if not file.read(1):
        raise ImageError(f"{origin}: the file is empty; get it again")
    file.seek(0)
    try:
        with _opened(file) as image:
            size = image.size
            factor = _factor(size, most)
            if factor > 1 and isinstance(image, JpegImagePlugin.JpegImageFile):
                # The decoder knows halves, quarters and eighths.
                factor = min(1 << (factor - 1).bit_length(), 8)
                image.draft(None, (-(-size[0] // factor), -(-size[1] // factor)))
            rest = max(1, round(factor * image.size[0] / size[0])) if factor > 1 else 1
            _require_memory(image, size, rest)
            image.load()
            return _pixels(image, rest), factor
    except ImageError as error:
        raise ImageError(f"{origin}: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{origin}: {_unknown(file)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{origin}: has more pixels than can be decoded safely; shrink it first") from error
    except Exception as error:
        # Pillow's plug-ins meet damage with errors of many types: OSError, SyntaxError, struct.error, zlib.error ...
        raise ImageError(f"{origin}: the image is damaged or truncated ({error}); get it again") from error


def _opened(file: BinaryIO) -> Image.Image:
    """An image of which only the head has been read."""
    if file.read(3) == b"\xff\xd8\xff":
        # Pillow's limit on pixels is for what must be decoded whole.
        file.seek(0)
        return JpegImagePlugin.jpeg_factory(file, "")
    file.seek(0)
    return Image.open(file, formats=_readable())


@functools.cache
def _readable() -> tuple[str, ...]:
    """The formats that can be read here."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        if "AVIF" not in Image.OPEN and hasattr(pillow_heif, "register_avif_opener"):
            pillow_heif.register_avif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _unknown(file: BinaryIO) -> str:
    """What to say of content that is in none of the formats."""
    file.seek(0)
    head = file.read(64)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis") and "AVIF" not in _readable():
            return "an AVIF image, which needs Pillow 11.3 or newer; upgrade it, or convert the image to JPEG"
        if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            if "HEIF" not in _readable():
                return "a HEIC photo, which needs pillow-heif; pip install pillow-heif, or convert it to JPEG"
            return "the image is damaged or truncated; get it again"
        return "a video, not a photo; give it to kerasfer.video.recognize_video"
    return "not an image of a known format; convert it to JPEG or PNG"


def _factor(size: tuple[int, int], most: int | None) -> int:
    """The least whole number by which both sides are divided for the image to have no more than `most` pixels."""
    factor = 1
    while most is not None and -(-size[0] // factor) * -(-size[1] // factor) > most:
        factor += 1
    return factor


def _require_memory(image: Image.Image, size: tuple[int, int], factor: int) -> None:
    """Raises `ImageError` if decoding an image of that size on the disk would take more than `MOST_BYTES`."""
    pixels = image.size[0] * image.size[1]
    need = pixels * (_CORE_BYTES.get(image.mode[:4], 4) + _DECODER_BYTES.get(image.format or "", 0) + 3 / factor**2)
    layers = getattr(image, "layer", None)
    if image.info.get("progressive") and layers:
        # A progressive JPEG's coefficients are all in memory, two bytes each.
        widest, highest = (max(layer[side] for layer in layers) for side in (1, 2))
        share = sum(layer[1] * layer[2] for layer in layers) / (widest * highest)
        need += 2 * size[0] * size[1] * share
    if need > MOST_BYTES:
        raise ImageError(
            f"has more pixels than can be decoded safely ({size[0]} x {size[1]}, {need / 1e9:.1f} GB of memory); "
            "shrink it first"
        )


def _pixels(image: Image.Image, factor: int) -> np.ndarray:
    """A loaded image, uint8 RGB (height, width, 3), upright, its sides divided by a whole number."""
    orientation = 1
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(0x0112, 1)
    width, height = (-(-side // factor) for side in image.size)
    upright = np.empty((width, height, 3) if orientation in (5, 6, 7, 8) else (height, width, 3), np.uint8)
    stored = _as_stored(upright, orientation)
    rows = max(1, _STRIP // (image.size[0] * factor)) * factor
    strips = range(0, image.size[1], rows)

    def strip(top: int) -> Image.Image:
        return image.crop((0, top, image.size[0], min(top + rows, image.size[1])))

    white = None
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        sixteen_bit = image.mode != "F" and image.format == "PNG"
        white = max(_white(np.asarray(strip(top)), sixteen_bit) for top in strips)
    for top in strips:
        part = strip(top)
        part = _rgb(part if white is None else Image.fromarray(_scaled(np.asarray(part), white)))
        stored[top // factor : (top + rows) // factor] = part if factor == 1 else part.reduce(factor)
    return upright


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """A view of an upright image as a camera with that EXIF orientation stores it."""
    if orientation in (5, 6, 7, 8):
        upright = upright.transpose(1, 0, 2)
    across = -1 if orientation in (2, 3, 7, 8) else 1
    down = -1 if orientation in (3, 4, 6, 7) else 1
    return upright[::down, ::across]


def _rgb(image: Image.Image) -> Image.Image:
    """A Pillow image of 8 bits as mode RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "LAB":
        from PIL import ImageCms

        return ImageCms.profileToProfile(  # type: ignore[return-value]  # None is for inPlace=True
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    return image.convert("RGB")


def _white(values: np.ndarray, sixteen_bit: bool) -> float:
    """What is white in pixels that are no bytes.

    Args:
        values: integers of 16 or 32 bits, or floats.
        sixteen_bit: 65535 is white. Otherwise white is the least of 1 (floats only), 255, 65535 and the largest
            value that no value exceeds.
    """
    if (values.dtype.kind, values.dtype.itemsize) == ("u", 2) or sixteen_bit:
        return 65535.0
    if not np.isfinite(values).all():
        raise ImageError("holds values that are not finite; save it with 8 bits a channel")
    largest = float(values.max(initial=0))
    levels = [1.0, 255.0, 65535.0] if values.dtype.kind == "f" else [255.0, 65535.0]
    return next((level for level in levels if largest <= level), largest)


def _scaled(values: np.ndarray, white: float) -> np.ndarray:
    """Numbers from 0 to `white`, as uint8."""
    return np.clip(np.rint(values.astype(np.float32) * (255.0 / white)), 0, 255).astype(np.uint8)


def floats_to_bytes(values: np.ndarray) -> np.ndarray:
    """Pixels in a range that can be told, as uint8: floats from 0 to 1 or from 0 to 255, integers from 0 to 255.

    Args:
        values: pixels of one image (height, width, channels) or of several that belong together. uint8 and uint16, and
            what has fewer axes, are returned as they are.

    Raises:
        ImageError: the values are not finite, or below 0 or above 255, or no numbers.
    """
    if values.dtype in (np.uint8, np.uint16) or values.dtype.kind not in "iuf" or values.ndim < 3 or not values.size:
        return values
    least, most = float(values.min()), float(values.max())
    if not (least >= 0 and most <= 255):
        raise ImageError(
            f"an image array's {values.dtype} values go from 0 to 255{' or to 1' if values.dtype.kind == 'f' else ''}, "
            f"not from {least:.4g} to {most:.4g}; scale it to 0..255"
        )
    white = 1.0 if values.dtype.kind == "f" and most <= 1 else 255.0
    return _scaled(values, white)


def is_data_url(photo: Any) -> bool:
    """Whether this is a text that begins like a data: URL."""
    return isinstance(photo, str) and _DATA.match(photo) is not None


def read(image: Any) -> np.ndarray:
    """Reads an image file, or takes what is in memory as one.

    Args:
        image: a path; the content of an image file, as bytes, an open binary file or a data: URL; a Pillow image; or an
            array (or a tensor) of uint8 or uint16, (height, width), (height, width, 1), RGB (height, width, 3) or RGBA
            (height, width, 4). Values of uint16 that all are bytes count as such.

    Returns:
        uint8 (height, width, 3), RGB and upright.

    Raises:
        ImageError: there is no such file, it cannot be decoded, or the array has another type or shape.
    """
    return _taken(image)[0]


def read_reduced(image: Any) -> tuple[np.ndarray, int]:
    """Reads an image file, as `read` does, but takes a photo of more than 64 megapixels smaller.

    JPEGs, of which there is no need to decode every pixel then, may have some 500 megapixels so.

    Args:
        image: as for `read`.

    Returns:
        uint8 (height, width, 3), RGB and upright, and the whole number by which its sides were divided, 1 for most.

    Raises:
        ImageError: as `read`.
    """
    return _taken(image, LARGE)


def _taken(image: Any, most: int | None = None) -> tuple[np.ndarray, int]:
    if isinstance(image, np.ndarray):
        return _read_array(image), 1
    if isinstance(image, Image.Image):
        return _of_pillow(image), 1
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decoded(io.BytesIO(image), "image", most)
    if is_data_url(image):
        return _decoded(io.BytesIO(_data_of(image)), "data URL", most)
    if isinstance(image, (str, os.PathLike)):
        return _of_path(image, most)
    if hasattr(image, "read"):
        return _of_stream(image, most)
    if not hasattr(image, "__array__"):
        raise ImageError(f"an image is a path, its content, a Pillow image or an array, not {type(image).__name__}")
    try:
        values = np.asarray(image)
    except Exception as error:
        raise ImageError(f"this {type(image).__name__} has no values ({error}); give an array") from error
    if values.ndim == 0 and isinstance(values.item(), bytes):
        return _taken(values.item(), most)
    return _read_array(values), 1


def _of_pillow(image: Image.Image) -> np.ndarray:
    origin = getattr(image, "filename", "") or "image"
    try:
        _require_memory(image, image.size, 1)
        image.load()
        return _pixels(image, 1)
    except ImageError as error:
        raise ImageError(f"{origin}: {error}") from error
    except Exception as error:
        raise ImageError(f"{origin}: the image is damaged or truncated ({error}); get it again") from error


def _data_of(address: str) -> bytes:
    """The content of a data: URL."""
    kind, _, data = address.partition(",")
    content = urllib.parse.unquote_to_bytes(data)
    if not kind.lower().endswith(";base64"):
        return content
    try:
        return b64decode(b"".join(content.split()), validate=True)
    except binascii.Error as error:
        raise ImageError(f"data URL: is not base64 as it says ({error}); copy it again") from error


def _of_path(path: str | os.PathLike[str], most: int | None) -> tuple[np.ndarray, int]:
    path = os.fsdecode(path)
    if not path:
        raise ImageError("the path of the image is empty; name an image file")
    if _WEB.match(path) and not os.path.lexists(path):
        raise ImageError(f"{path}: an address, not a path; download the image and name the file")
    try:
        with Path(path).open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _decoded(file, path, most)
            return _of_stream(file, most)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path}: is a folder; name an image file") from error
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path!r}: cannot be read ({reason}); check the path and its permissions") from error


def _of_stream(file: BinaryIO, most: int | None) -> tuple[np.ndarray, int]:
    name = getattr(file, "name", None)
    origin = name if isinstance(name, str) else "open file"
    try:
        content = file.read(_MOST_CONTENT + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"{origin}: cannot be read ({error}); open it for reading") from error
    if not isinstance(content, bytes):
        raise ImageError(f"{origin}: gives text, not bytes; open it with mode 'rb'")
    if len(content) > _MOST_CONTENT:
        raise ImageError(f"{origin}: gives more than {_MOST_CONTENT // 1_000_000} MB; name an image file")
    return _decoded(io.BytesIO(content), origin, most)


def _read_array(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        image = _scaled(image, 255.0 if image.max(initial=0) <= 255 else 65535.0)
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

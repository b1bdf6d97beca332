"""The pictures of a request, in whatever form they come, and the limits on them."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import re
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException, Request
from starlette.formparsers import MultiPartException, MultiPartParser

if TYPE_CHECKING:
    pass

__all__ = ["ApiLimits"]


@dataclasses.dataclass(frozen=True)
class ApiLimits:
    """What the service takes on.

    Attributes:
        image_bytes: of one picture's file.
        image_pixels: of one picture.
        images: pictures in a batch.
        request_bytes: of a whole request.
        body_seconds: until a request's body is there.
        seconds: until it is answered. Pictures of a batch that were not read by then get an error.
        workers: pictures that are read at the same time.
        waiting: pictures that are read or wait for it, of all requests; more are turned away.
    """

    image_bytes: int = 10_000_000
    image_pixels: int = 40_000_000
    images: int = 32
    request_bytes: int = 64_000_000
    body_seconds: float = 30.0
    seconds: float = 30.0
    workers: int = 2
    waiting: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) > 0 or not math.isfinite(getattr(self, field.name)):
                raise ValueError(f"{field.name} must be a number above 0, got {getattr(self, field.name)}")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a request: its content, or what is wrong with it already."""

    content: bytes
    name: str | None = None
    error: str | None = None
    too_large: bool = False


_DATA_URL = re.compile(r"data:[^,]*,", re.IGNORECASE)


def _decoded(text: Any, limit: int) -> Picture:
    """A picture given as base64."""
    if not isinstance(text, str) or not text:
        return Picture(b"", error="a picture is a string of base64; got none")
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return Picture(b"", error="addresses are not fetched; send the picture's content as base64")
    prefix = _DATA_URL.match(text[:200])
    encoded = text[prefix.end() :] if prefix else text
    if len(encoded) > limit * 4 / 3 + 100:
        return Picture(b"", error=too_large_message(limit), too_large=True)
    try:
        return Picture(base64.b64decode("".join(encoded.split()).encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return Picture(b"", error="not base64; encode the picture's whole file")


def too_large_message(limit: int) -> str:
    return f"the file has more than {limit:,} bytes; shrink the picture"


async def pictures_of(request: Request, field: str, most: int, limits: ApiLimits) -> list[Picture]:
    """The pictures of a request, whatever form they have.

    Raises:
        HTTPException: the request's form is wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pictures = await _of_form(request, field, most, limits)
    elif kind == "application/json":
        pictures = _of_json(await request.body(), field, limits)
    elif most == 1 and (kind == "application/octet-stream" or kind.startswith("image/")):
        pictures = [Picture(await request.body())]
    else:
        kinds = "multipart/form-data, application/json" + (", image/* or application/octet-stream" * (most == 1))
        raise HTTPException(415, f"content type {kind or 'missing'}; send {kinds}")
    if not pictures:
        raise HTTPException(422, f"no pictures; give them as {field!r}")
    if len(pictures) > most:
        raise HTTPException(413, f"more than {most} picture{'s' * (most > 1)}; send fewer at a time")
    return pictures


async def _of_form(request: Request, field: str, most: int, limits: ApiLimits) -> list[Picture]:
    if "boundary=" not in request.headers["content-type"]:
        raise HTTPException(400, "multipart/form-data without a boundary; let the client library set the header")
    parser = MultiPartParser(request.headers, request.stream(), max_files=most + 1, max_fields=20)
    # Nothing of a request is written to a disk.
    parser.spool_max_size = limits.request_bytes
    try:
        form = await parser.parse()
    except MultiPartException as error:
        many = "Too many files" in error.message
        raise HTTPException(413 if many else 400, f"the form cannot be read: {error.message}") from error
    pictures = []
    for name, value in form.multi_items():
        if name == field:
            content = value.encode() if isinstance(value, str) else await value.read()
            pictures.append(Picture(content, None if isinstance(value, str) else value.filename))
    await form.close()
    return pictures


def _of_json(body: bytes, field: str, limits: ApiLimits) -> list[Picture]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(given, dict) or field not in given:
        raise HTTPException(422, f"the body is an object with {field!r}")
    if field == "image":
        return [_decoded(given[field], limits.image_bytes)]
    if not isinstance(given[field], list):
        raise HTTPException(422, f"{field!r} is a list")
    return [_decoded(entry, limits.image_bytes) for entry in given[field]]

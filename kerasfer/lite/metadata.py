"""The metadata of kerasfer's TFLite files, and whether a file is intact."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasfer.faces import ImageSpec

__all__ = ["METADATA", "UNSEALED", "LiteError", "read_metadata", "require_whole", "sealed"]

METADATA = "kerasfer"
"""Name of the metadata buffer."""

UNSEALED = "0" * 64
"""What a file's metadata hold instead of its digest while that is computed."""

_SEAL = b'"sha256": "'
_DIGEST = re.compile("[0-9a-f]{64}")


class LiteError(ValueError):
    """A model file cannot be used, or an image has another type or shape; the message says what to do."""


def labels_of(metadata: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Names of the classes; `LiteError` if they are no names, each once."""
    labels: Any = metadata.get("labels")
    named = isinstance(labels, list) and labels and all(isinstance(label, str) and label.strip() for label in labels)
    if not named or len(set(labels)) != len(labels):
        raise LiteError(f"{path}: its labels are no names, each once ({labels!r}); export the model again")
    return tuple(labels)


def image_spec_of(metadata: dict[str, Any]) -> ImageSpec:
    image = metadata["image"]
    return ImageSpec(image["size"], image["channels"], image["pixel_range"])


def read_metadata(content: bytes, origin: str = "model") -> dict[str, Any]:
    """What a .tflite file written by kerasfer says of itself.

    Args:
        content: the file's bytes.
        origin: what a message calls the file.

    Raises:
        LiteError: not a TFLite file, a damaged one, one without kerasfer's metadata, or with metadata that cannot be:
            labels that are missing or there twice, an unknown pixel range, and the like.
    """
    if content[4:8] != b"TFL3":
        raise LiteError(f"{origin}: not a TFLite file; name a .tflite file written by kerasfer.export")
    try:
        for name, data in _metadata_buffers(content):
            if name == METADATA.encode():
                return _possible(json.loads(data), origin)
    except LiteError:
        raise
    except (struct.error, IndexError, ValueError, RecursionError) as error:
        raise LiteError(f"{origin}: damaged ({error}); copy or export it again") from error
    raise LiteError(
        f"{origin}: carries no kerasfer metadata, so its labels are unknown; export it with kerasfer.export"
    )


def _possible(metadata: Any, origin: str) -> dict[str, Any]:
    """Metadata, if they are such as an export writes; else `LiteError`."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise LiteError(f"{origin}: {what}; copy it or export it again")

    demand(isinstance(metadata, dict), "its metadata are no JSON object")
    labels = metadata.get("labels")
    texts = isinstance(labels, list) and all(isinstance(label, str) and label.strip() for label in labels)
    demand(bool(texts and labels), "its metadata have no list of labels, each with a name")
    demand(len(set(labels)) == len(labels), f"of its labels some are there twice: {reprlib.repr(labels)}")
    image = metadata.get("image")
    demand(isinstance(image, dict) and {"size", "channels", "pixel_range"} <= set(image), "tells no image format")
    try:
        image_spec_of(metadata)
    except ValueError as error:
        raise LiteError(f"{origin}: {error}; copy it or export it again") from error
    inputs = metadata.get("inputs", {} if metadata.get("part") != "generator" else None)
    shapes = isinstance(inputs, dict) and all(
        isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape) for shape in inputs.values()
    )
    demand(shapes, "tells no shapes of the generator's inputs")
    return metadata


def sealed(content: bytes) -> bytes:
    """A TFLite file whose metadata have the entry "sha256", `UNSEALED`, with the digest of the file in its place."""
    place = content.index(_SEAL + UNSEALED.encode()) + len(_SEAL)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:place] + digest + content[place + len(digest) :]


def require_whole(content: bytes, metadata: dict[str, Any], path: Path) -> None:
    """Raises `LiteError` if a file is not what was exported.

    The digest is in the file; for older files it is in the parity.json beside them, if there is one.

    Args:
        content: the file's bytes.
        metadata: what it says of itself.
        path: where it is.
    """
    digest = metadata.get("sha256")
    if digest is None and not any(isinstance(value, str) and _DIGEST.fullmatch(value) for value in metadata.values()):
        expected = _digest_beside(path)
        whole = expected in (None, hashlib.sha256(content).hexdigest())
    else:
        entry = _SEAL + str(digest).encode()
        bare = content.replace(entry, _SEAL + UNSEALED.encode(), 1)
        whole = entry in content and hashlib.sha256(bare).hexdigest() == digest
    if not whole:
        raise LiteError(f"{path}: damaged: its checksum is not that of the export; copy or export it again")


def _digest_beside(path: Path) -> str | None:
    """What the note of an export beside a file tells of it; None if nothing."""
    from kerasfer.weights import ZooError, read_json

    for name in ("parity.json", "generator_parity.json"):
        if (path.parent / name).is_file():
            try:
                entry = read_json(path.parent / name).get("files", {}).get(path.name)
                if entry is not None:
                    return str(entry["sha256"])
            except ZooError as error:
                raise LiteError(str(error)) from error
            except (AttributeError, KeyError, TypeError) as error:
                raise LiteError(f"{path.parent / name}: damaged; copy the model's folder again") from error
    return None


def _metadata_buffers(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each metadata buffer.

    Reads as much of the FlatBuffers format as that takes. In the schema of TFLite a Model has its buffers as field 4
    and its metadata as field 6, a Metadata its name as field 0 and the number of its buffer as field 1, and a Buffer
    its data as field 0.
    """

    def number(kind: str, position: int) -> int:
        return struct.unpack_from(f"<{kind}", content, position)[0]

    def field(table: int, index: int) -> int:
        """Where a field of a table is, or 0 if the table leaves it out."""
        layout = table - number("i", table)
        entry = 4 + 2 * index
        offset = number("H", layout + entry) if entry < number("H", layout) else 0
        return table + offset if offset else 0

    def target(position: int) -> int:
        return position + number("I", position)

    def tables(position: int) -> list[int]:
        start = target(position)
        return [target(start + 4 + 4 * index) for index in range(number("I", start))]

    def data(position: int) -> bytes:
        start = target(position)
        return content[start + 4 : start + 4 + number("I", start)]

    model = target(0)
    buffers = tables(field(model, 4))
    listed = field(model, 6)
    for entry in tables(listed) if listed else ():
        place = field(entry, 1)
        contained = field(buffers[number("I", place) if place else 0], 0)
        yield data(field(entry, 0)), data(contained) if contained else b""

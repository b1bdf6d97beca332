"""Files on disks, in object stores and on the web, by their addresses: a path, s3://..., gs://..., https://...

A disk is read and written by Python's own functions, everything else by fsspec.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from kerasfer.files import atomic_write, unwritable

__all__ = [
    "BulkError",
    "Folder",
    "Refused",
    "Unreachable",
    "asked_of",
    "fetch",
    "is_remote",
    "is_web",
    "local_path",
    "open_anywhere",
    "open_binary",
    "protocol_of",
    "store_of",
]

ATTEMPTS = 4
"""How often something is asked for, of a store that does not answer or is busy."""

PAUSE = 0.5
"""Seconds before the second attempt; twice as many before each further one."""

MOST_CONTENT = 256_000_000
"""Bytes that a photo in a store may have."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

_WHOLE_AT_ONCE = ("abfs", "adl", "az", "gcs", "gs", "memory", "oci", "s3", "s3a")
"""Stores in which an object is there only when all of it has come; in others a file is renamed when it is whole."""

Answer = TypeVar("Answer")


class BulkError(ValueError):
    """Many photos cannot be recognized; the message is one line that names the file or the store, and the remedy."""


class Refused(Exception):
    """A store does not let us in, as opposed to a photo that is missing; it is no reason to give a photo up."""


class Unreachable(Exception):
    """A store does not answer, although it was asked several times."""


def protocol_of(address: str) -> str:
    """The protocol of an address in lower case, "" for a path on a disk."""
    told = _ADDRESS.match(address)
    protocol = told[1].lower() if told else ""
    return "" if protocol in ("file", "local") else protocol


def is_remote(address: str) -> bool:
    """Whether an address is none of a disk's."""
    return protocol_of(address) != ""


def is_web(address: str) -> bool:
    """Whether an address is one of the web's, where each photo may be on another machine."""
    return protocol_of(address) in ("http", "https")


def local_path(address: str) -> str:
    """The path that a path, or an address such as file:///photos, means."""
    told = _ADDRESS.match(address)
    return address[told.end() :] if told else address


def store_of(address: str, options: Mapping[str, Any]) -> Any:
    """fsspec's file system for an address.

    Raises:
        BulkError: the protocol is not known, or what it needs is not installed.
    """
    try:
        import fsspec
    except ImportError as error:
        raise BulkError(f"{address}: needs fsspec ({error}); pip install 'kerasfer[ray]'") from error
    protocol = protocol_of(address)
    try:
        told = dict(options.get(protocol, {}))
        if protocol in _WHOLE_AT_ONCE and protocol != "memory":
            # A listing of a hundred million objects would stay in memory, and one of an hour ago would be believed.
            told.setdefault("use_listings_cache", False)
        return fsspec.filesystem(protocol, **told)
    except (ImportError, ValueError) as error:
        raise BulkError(f"{address}: {protocol}:// cannot be read here ({error})") from error
    except Exception as error:
        raise BulkError(f"{address}: {protocol}:// cannot be opened ({_reason(error)}); check its options") from error


def fetch(address: str, size: int, options: Mapping[str, Any]) -> bytes:
    """The content of a photo in a store or on the web.

    Args:
        address: of the photo.
        size: its bytes, if they are known; -1 if not.
        options: for fsspec.

    Raises:
        FileNotFoundError: there is no such photo.
        ValueError: the photo is too large, or the web refuses it; the message names it and the remedy.
        Refused: the store's credentials are missing, wrong or over.
        Unreachable: the store does not answer.
    """
    if size == 0:
        return b""
    if size > MOST_CONTENT:
        raise _too_large(address)
    store = store_of(address, options)

    def read() -> bytes:
        if size > 0:
            return store.cat_file(address)
        try:
            return store.cat_file(address, start=0, end=MOST_CONTENT + 1)
        except FileNotFoundError:
            raise
        except Exception:
            # Of an empty object there is no first byte, which some stores take for an error.
            with contextlib.suppress(Exception):
                if store.info(address).get("size") == 0:
                    return b""
            raise

    content = asked_of(read, address)
    if len(content) > MOST_CONTENT:
        raise _too_large(address)
    return content


def _too_large(address: str) -> ValueError:
    return ValueError(f"{address}: has more than {MOST_CONTENT // 1_000_000} MB; shrink it first")


def asked_of(ask: Callable[[], Answer], address: str) -> Answer:
    """What a store answers, asked again if it is busy or not reached.

    Raises:
        FileNotFoundError, ValueError, Refused, Unreachable: as `fetch`.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return ask()
        except (FileNotFoundError, IsADirectoryError, BulkError):
            raise
        except Exception as error:
            last, status = error, getattr(error, "status", None)
            if isinstance(error, PermissionError) or "credential" in f"{type(error).__name__} {error}".lower():
                if not is_web(address):
                    raise Refused(
                        f"{address}: the store refuses to be read or written ({_reason(error)}); renew the credentials"
                    ) from error
                status = 403
            if is_web(address) and isinstance(status, int) and 400 <= status < 500 and status not in (408, 429):
                told = f"{address}: the server refuses it ({_reason(error)}); check the address"
                raise ValueError(told) from error
    if is_web(address):
        raise ValueError(f"{address}: the server does not answer ({_reason(last)}); try again later") from last
    raise Unreachable(
        f"{address}: the store does not answer, asked {ATTEMPTS} times ({_reason(last)}); "
        "check the network and run the same command again"
    ) from last


def _reason(error: BaseException) -> str:
    """An error in one line; of what the web answers no more than its number and name."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    text = f"{status} {message}" if isinstance(status, int) else str(error) or type(error).__name__
    return " ".join(text.split())[:300]


@contextlib.contextmanager
def open_binary(address: str, options: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """A file on a disk or in a store, to be read from its beginning to its end.

    Raises:
        OSError: it cannot be opened.
        Refused, Unreachable: as `fetch`.
    """
    if not is_remote(address):
        with open(local_path(address), "rb") as file:
            yield file
        return
    store = store_of(address, options)
    try:
        file = asked_of(lambda: store.open(address, "rb", block_size=1 << 23, cache_type="readahead"), address)
    except ValueError as error:
        raise BulkError(str(error)) from error
    with file:
        yield file


@contextlib.contextmanager
def open_anywhere(address: str, options: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """A file on a disk or in a store, to be read in any order, a few megabytes at a time.

    Raises:
        OSError: it cannot be opened.
        Refused, Unreachable: as `fetch`.
    """
    if not is_remote(address):
        with open_binary(address, options) as file:
            yield file
        return
    store = store_of(address, options)
    try:
        file = asked_of(lambda: store.open(address, "rb", block_size=1 << 22, cache_type="blockcache"), address)
    except ValueError as error:
        raise BulkError(str(error)) from error
    with file:
        yield file


class Folder:
    """The folder that results are written to, on a disk that all machines see or in a store.

    Args:
        address: a path or an address.
        options: for fsspec.
    """

    def __init__(self, address: str, options: Mapping[str, Any] | None = None) -> None:
        self.address = local_path(address).rstrip("/") if not is_remote(address) else address.rstrip("/")
        if not is_remote(address):
            self.address = os.path.abspath(self.address or "/")
        self._options = dict(options or {})

    def __str__(self) -> str:
        return self.address

    def names(self) -> set[str]:
        """Names of the files in the folder; none if there is no folder yet."""
        if not is_remote(self.address):
            try:
                return set(os.listdir(self.address))
            except FileNotFoundError:
                return set()
            except OSError as error:
                raise BulkError(f"{self.address}: cannot be read ({error.strerror}); name another folder") from error
        store = store_of(self.address, self._options)
        with self._reported():
            store.invalidate_cache()
            try:
                found = asked_of(lambda: store.ls(self.address, detail=False), self.address)
            except FileNotFoundError:
                return set()
        return {name.rstrip("/").rpartition("/")[2] for name in found}

    def read(self, name: str) -> bytes | None:
        """A file's content, None if there is no such file."""
        place = f"{self.address}/{name}"
        try:
            if not is_remote(self.address):
                return Path(place).read_bytes()
            store = store_of(self.address, self._options)
            with self._reported():
                return asked_of(lambda: store.cat_file(place), place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BulkError(f"{place}: cannot be read ({error.strerror or error}); check its permissions") from error

    def open(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A file, to be read anywhere."""
        return open_anywhere(f"{self.address}/{name}", self._options)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, which is there when it is whole and not before; what had its name is gone then.

        Raises:
            BulkError: it cannot be written.
            Refused, Unreachable: as `fetch`.
        """
        place = f"{self.address}/{name}"
        if not is_remote(self.address):
            atomic_write(place, content, BulkError)
            return
        store = store_of(self.address, self._options)
        with self._reported():
            if protocol_of(self.address) in _WHOLE_AT_ONCE:
                asked_of(lambda: store.pipe_file(place, content), place)
            else:
                aside = f"{self.address}/.{uuid.uuid4().hex}.tmp"
                with contextlib.suppress(NotImplementedError):
                    store.makedirs(place.rpartition("/")[0], exist_ok=True)
                try:
                    asked_of(lambda: store.pipe_file(aside, content), place)
                    asked_of(lambda: store.mv(aside, place), place)
                finally:
                    with contextlib.suppress(Exception):
                        store.rm_file(aside)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        place = f"{self.address}/{name}"
        if not is_remote(self.address):
            Path(place).unlink(missing_ok=True)
            return
        store = store_of(self.address, self._options)
        with self._reported(), contextlib.suppress(FileNotFoundError):
            asked_of(lambda: store.rm_file(place), place)

    def sweep(self) -> None:
        """Removes what writers left that were killed."""
        if is_remote(self.address):
            return
        for folder in (Path(self.address), Path(self.address, "_plan")):
            for path in folder.glob(".*.tmp*"):
                with contextlib.suppress(OSError):
                    path.unlink()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Turns errors that say nothing of what helps into those that do."""
        try:
            yield
        except (BulkError, FileNotFoundError, Refused, Unreachable):
            raise
        except OSError as error:
            raise BulkError(unwritable(self.address, error) or str(error)) from error
        except ValueError as error:
            raise BulkError(str(error)) from error

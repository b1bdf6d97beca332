"""A web server that slow, hostile and vanished clients cannot hold up: uvicorn, with what it leaves to a proxy.

    with make_server(page(folder), "127.0.0.1", 8000) as server:
        server.serve_forever()

Needs starlette and uvicorn (`pip install 'kerasfer[serve]'`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import math
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

try:
    import h11
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
except ImportError as error:
    raise ImportError(f"{error.name} is missing, which serving needs; pip install 'kerasfer[serve]'") from error

__all__ = ["HostCheck", "Limits", "Server", "make_server", "page", "trusted_hosts"]

_POLICY = re.compile(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"')
_ABSOLUTE = re.compile(r"https?://([^/]*)(/.*)?", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"\s*(\d{1,18})-\d*\s*")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:\[\]/@?#]+)(?::\d{0,5})?")

_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
"""Types that do not depend on what the operating system knows."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long the server waits and how much it holds.

    Attributes:
        connections: most that are open at once. At one more the one is dropped that has waited longest for a request,
            or else the one whose client has not taken any of its answer for longest.
        header_seconds: from a connection's opening, and from one answer, until a request's headers are complete.
        keep_alive_seconds: after an answer until something of the next request comes.
        write_seconds: without a client taking any of an answer.
        header_bytes: of a request's line and headers.
    """

    connections: int = 256
    header_seconds: float = 10.0
    keep_alive_seconds: float = 5.0
    write_seconds: float = 60.0
    header_bytes: int = 16 * 1024


_PATIENCE = 5.0
"""Seconds that a client may take nothing of its answer before a new client is preferred to it."""

_BACKLOG = 1024
"""Clients that may wait to be let in."""

_OTHER_FILES = 128
"""Files that the process has open besides connections: those that it serves, models and the like."""


def _protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol, which waits for a request no longer than the limits say."""

    class Protocol(H11Protocol):
        _reading: asyncio.TimerHandle | None = None
        _writing: asyncio.TimerHandle | None = None
        _since = 0.0
        _stalled = math.inf

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_request()
            if len(self.connections) > limits.connections:
                self._make_room()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._reading, self._writing, self.timeout_keep_alive_task):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            while data and not self.transport.is_closing():
                # h11 measures headers that are not complete; so they come to it in small parts.
                size = 4096 if self.conn.their_state is h11.IDLE else len(data)
                super().data_received(data[:size])
                data = data[size:]

        def handle_events(self) -> None:
            answering = self.cycle
            super().handle_events()
            if self.cycle is not answering and not self.cycle.response_complete and self._reading is not None:
                self._reading.cancel()

        def on_response_complete(self) -> None:
            self._await_request()
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled = self.loop.time()
            self._writing = self.loop.call_later(limits.write_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stalled = math.inf
            if self._writing is not None:
                self._writing.cancel()

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, msg)

        def _await_request(self) -> None:
            if self._reading is not None:
                self._reading.cancel()
            self._since = self.loop.time()
            self._reading = self.loop.call_later(limits.header_seconds, self._give_up)

        def _give_up(self) -> None:
            """The request did not come in time: says so if it began, and closes."""
            if self.transport.is_closing():
                return
            if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
                self._refuse(408, "The request did not come in time.")
            else:
                self.transport.close()

        def _refuse(self, status: int, message: str) -> None:
            """Answers a request that is none, and closes."""
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.close()
                return
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(message)).encode()),
                (b"connection", b"close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=message.encode("ascii")),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
            self.transport.close()

        def _make_room(self) -> None:
            """Drops the connection that can best be done without; leaves all if each is being answered."""
            others = [other for other in self.connections if other is not self and isinstance(other, Protocol)]
            idle = [other for other in others if other.cycle is None or other.cycle.response_complete]
            late = self.loop.time() - _PATIENCE
            stalled = [other for other in others if other._stalled < late]
            if idle:
                victim = min(idle, key=lambda other: other._since)
            elif stalled:
                victim = min(stalled, key=lambda other: other._stalled)
            else:
                return
            self.connections.discard(victim)
            victim.transport.abort()

    return Protocol


class _Uvicorn(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
        # asyncio takes one number for how many clients may wait and for how many it lets in at a time.
        for listener in sockets or ():
            listener.listen(_BACKLOG)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a record tells of anything but an answer that the server's end cut off."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Server:
    """A server that is bound to its address. A context manager; `shutdown` may be called from another thread.

    Attributes:
        server_address: host and port listened at (of IPv6 two numbers more).
        url: the address to open.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, limits: Limits, headers: Sequence[tuple[str, str]]
    ) -> None:
        self._listener = listener
        self.server_address = listener.getsockname()
        host, port = self.server_address[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                http=_protocol(limits),
                ws="none",
                loop="asyncio",
                headers=list(headers),
                server_header=False,
                proxy_headers=False,
                access_log=False,
                log_config=None,
                log_level="error",
                backlog=_at_a_time(limits),
                limit_concurrency=limits.connections + 1,
                timeout_keep_alive=limits.keep_alive_seconds,  # type: ignore[arg-type]
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=limits.header_bytes,
            )
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()

    def serve_forever(self) -> None:
        """Serves until `shutdown` is called or the process gets SIGINT or SIGTERM."""
        self._server.run(sockets=[self._listener])

    def shutdown(self) -> None:
        """Ends `serve_forever`, after the answers that are being given."""
        self._server.should_exit = True


def _at_a_time(limits: Limits) -> int:
    """How many clients may be let in at a time, without running out of files before any can be dropped again.

    A connection may have a file that it is sent; and it takes the loop four turns to let clients in and to drop others.
    """
    held = 2 * limits.connections + _OTHER_FILES
    return max(16, min(256, (_open_files(held + 4 * 256) - held) // 4))


def _open_files(count: int) -> int:
    """Raises the process's limit of open files to this, as far as the system lets it; how many there may be then."""
    try:
        import resource
    except ImportError:  # Windows sets no such limit to sockets.
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def make_server(
    app: ASGIApp,
    host: str,
    port: int,
    limits: Limits | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Server:
    """A server of an ASGI application, bound to an address.

    Args:
        app: the application.
        host: a name or an address, IPv4 or IPv6, to listen at.
        port: 0 is any free one.
        limits: by default `Limits()`.
        headers: sent with every answer.

    Raises:
        ValueError: the address cannot be listened at.
    """
    limits = limits or Limits()
    try:
        if not 0 <= port <= 65535:
            raise OverflowError("a port is 0 to 65535")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ValueError(f"{host}:{port}: cannot be listened at ({error}); take another --port") from error
    return Server(app, listener, limits, headers)


# -- who may ask -------------------------------------------------------------------------------------------------------


def trusted_hosts(host: str, more: Iterable[str] = ()) -> tuple[frozenset[str], bool]:
    """The names that a server at an address goes by.

    Args:
        host: what is listened at.
        more: further names; "*" is any.

    Returns:
        Names in lower case, addresses of IPv6 in brackets, and whether every numeric address will do: so it is where
        all addresses of the machine are listened at. (No other page's name can be made to stand for a number.)
    """
    names = {"localhost", "127.0.0.1", "[::1]", *map(_bracketed, (host, *more))}
    everywhere = host in ("", "0.0.0.0", "::")
    if everywhere:
        names.add(socket.gethostname().lower())
    return frozenset(names), everywhere


def _bracketed(host: str) -> str:
    host = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".")
    return f"[{address}]" if address.version == 6 else str(address)


class HostCheck:
    """Answers only requests for a name that the server goes by: a page of another origin then cannot pass as this one.

    A request of HTTP/1.0, which no browser sends, may leave the name out.

    Args:
        app: what answers.
        hosts: as `trusted_hosts` gives them.
        any_address: whether every numeric address will do.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], any_address: bool = False) -> None:
        self._app, self._hosts, self._any_address = app, hosts, any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        absolute = _ABSOLUTE.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if absolute is not None:
            # RFC 9112, 3.2.2: as proxies are asked; the host given there counts.
            others = [entry for entry in scope["headers"] if entry[0] != b"host"]
            path, host = absolute[2] or "/", absolute[1].encode("utf-8", "replace")
            scope = {**scope, "path": path, "raw_path": path.encode(), "headers": [(b"host", host), *others]}
        if scope["type"] == "http" and not self._is_ours(scope):
            refusal = PlainTextResponse("unknown host; name it with --allow-host", status_code=400)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        if "*" in self._hosts:
            return True
        given = [value for name, value in scope["headers"] if name == b"host"]
        if not given:
            return scope["http_version"] == "1.0"
        match = _HOST.fullmatch(given[0].decode("latin-1").lower())
        if match is None or len(given) > 1:
            return False
        host = _bracketed(match[1])
        return host in self._hosts or (self._any_address and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


# -- the page ----------------------------------------------------------------------------------------------------------


class _Files(StaticFiles):
    """A folder's files; whatever cannot be had is not found."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ranges = dict(scope["headers"]).get(b"range", b"")
        # RFC 9110, 14.2: ranges are for GET, and those in an unknown unit are to be ignored.
        if scope["method"] != "GET" or not ranges.strip().lower().startswith(b"bytes"):
            scope = {**scope, "headers": [entry for entry in scope["headers"] if entry[0] != b"range"]}
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 405:
                raise
            raise HTTPException(404) from error
        except (OSError, ValueError) as error:
            raise HTTPException(404) from error

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        scope["headers"] = [
            (name, _satisfiable(value, stat_result.st_size) if name == b"range" else value)
            for name, value in scope["headers"]
        ]
        response = super().file_response(full_path, stat_result, scope, status_code)
        kind = _MEDIA_TYPES.get(Path(full_path).suffix.lower())
        if kind is not None and "content-type" in response.headers:
            response.headers["content-type"] = kind
        return response


def _satisfiable(ranges: bytes, size: int) -> bytes:
    """A Range header without those beyond the file's end, if others are left (RFC 9110, 14.1.2)."""
    unit, _, listed = ranges.decode("latin-1").partition("=")
    matches = [(part, _RANGE.fullmatch(part)) for part in listed.split(",")]
    kept = [part for part, match in matches if match is None or int(match[1]) < size]
    return f"{unit}={','.join(kept)}".encode("latin-1") if kept else ranges


def page(folder: Path, hosts: tuple[frozenset[str], bool]) -> tuple[ASGIApp, list[tuple[str, str]]]:
    """The application that serves a built page, and the headers that keep the page to itself.

    Args:
        folder: the built page.
        hosts: as `trusted_hosts` gives them.

    Raises:
        ValueError: the page is not there.
    """
    index = folder / "index.html"
    if not index.is_file():
        raise ValueError(f"{index}: missing; build the page with scripts/build_web.sh")
    policy = _POLICY.search(index.read_text(encoding="utf-8"))
    if policy is None:
        raise ValueError(f"{index}: holds no Content-Security-Policy; build the page again with scripts/build_web.sh")
    headers = [
        ("Content-Security-Policy", f"{policy.group(1)}; frame-ancestors 'none'"),
        ("Permissions-Policy", "camera=(self), microphone=(), geolocation=()"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-cache"),
    ]
    app = Starlette(
        routes=[Mount("/", _Files(directory=folder, html=True))],
        middleware=[Middleware(HostCheck, hosts=hosts[0], any_address=hosts[1])],
    )
    return app, headers

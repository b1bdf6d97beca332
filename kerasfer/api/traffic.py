"""Limits on every request, and the metrics for Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import prometheus_client
from fastapi import HTTPException

from kerasfer.api.pictures import ApiLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Bounded:
    """Lets no request's body be longer, or take longer, than it may; answers HEAD as GET; counts and sets headers.

    Args:
        app: what answers.
        limits: of the body.
        metrics: where to count.
    """

    def __init__(self, app: ASGIApp, limits: ApiLimits, metrics: Metrics) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        # The server itself leaves out the body that HEAD does not want.
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        started, status = time.perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), told)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        limit, deadline = self._limits.request_bytes, time.monotonic() + self._limits.body_seconds
        length = dict(scope["headers"]).get(b"content-length", b"")
        received, complete = 0, False

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            if length.isdigit() and int(length) > limit:
                raise HTTPException(413, too_long)
            try:
                message = await asyncio.wait_for(receive(), max(deadline - time.monotonic(), 0.001))
            except asyncio.TimeoutError as error:
                raise HTTPException(408, "the body did not come in time; send it faster") from error
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                raise HTTPException(413, too_long)
            return message

        too_long = f"the request has more than {limit:,} bytes; send fewer or smaller pictures"
        return bounded


class Metrics:
    """What Prometheus is told."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        kind: dict[str, Any] = {"registry": self.registry}
        self.requests = prometheus_client.Counter(
            "kerasfer_requests", "Requests answered.", ["method", "path", "status"], **kind
        )
        self.seconds = prometheus_client.Histogram(
            "kerasfer_request_seconds", "Seconds from request to answer.", ["path"], **kind
        )
        self.pictures = prometheus_client.Counter(
            "kerasfer_pictures", "Pictures read: faces, no face, error or late.", ["result"], **kind
        )
        self.faces = prometheus_client.Counter(
            "kerasfer_faces", "Faces recognized, by expression.", ["model", "expression"], **kind
        )
        self.reading = prometheus_client.Histogram(
            "kerasfer_reading_seconds", "Seconds from a picture's file to its expressions.", **kind
        )
        self.waiting = prometheus_client.Gauge("kerasfer_waiting", "Pictures that are read or wait for it.", **kind)


METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

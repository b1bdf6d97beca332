"""Recognition as a web service: pictures in, expressions out, by `kerasfer.lite` and so without TensorFlow.

    kerasfer serve --api --port 8000          # described at /docs and /openapi.json
    curl -F image=@photo.jpg http://127.0.0.1:8000/recognize

    app = create_app(["edge"])                # for any ASGI server

Pictures come in the request alone: no path is opened, no address fetched, and nothing is kept. Needs fastapi, uvicorn,
prometheus-client and python-multipart (`pip install 'kerasfer[serve]'`).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import dataclasses
import io
import json
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from kerasfer import images, lite
from kerasfer.detection.detectors import detect
from kerasfer.faces import Prediction
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.version import __version__
from kerasfer.weights import bundled

try:
    import prometheus_client
    import python_multipart  # noqa: F401
    from fastapi import FastAPI, HTTPException, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from pydantic import BaseModel, Field
    from starlette.exceptions import HTTPException as StarletteHTTPException
    from starlette.formparsers import MultiPartException, MultiPartParser
except ImportError as error:
    raise ImportError(f"{error.name} is missing, which serving needs; pip install 'kerasfer[serve]'") from error

from kerasfer import server

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ApiLimits", "create_app", "main"]

_log = logging.getLogger(__name__)


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


# -- what is said ------------------------------------------------------------------------------------------------------


class Problem(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="one line that says what is wrong and what to do")


class Pose(BaseModel):
    """Head rotation in degrees."""

    yaw: float = Field(description="positive when the person looks to the right side of the picture")
    pitch: float = Field(description="positive when the person looks up")
    roll: float = Field(description="positive when the head leans towards the right side of the picture")


class Face(BaseModel):
    """A face and what it expresses."""

    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom in pixels, upright picture")
    score: float = Field(description="the detector's confidence, 0 to 1")
    expression: str = Field(description="the most probable expression")
    probabilities: dict[str, float] = Field(description="expression to probability; they add up to 1")
    pose: Pose | None
    landmarks: list[tuple[float, float]] | None = Field(description="68 points in pixels, if asked for")


class Recognized(BaseModel):
    """The faces in a picture, the largest first."""

    model: str
    width: int
    height: int
    faces: list[Face]


class Entry(BaseModel):
    """One picture of a batch: its faces, or why there are none."""

    index: int = Field(description="place in the request, from 0")
    name: str | None = Field(description="the file's name, where one was given")
    width: int | None = None
    height: int | None = None
    faces: list[Face] | None = None
    error: str | None = Field(None, description="why the picture could not be read")


class Batch(BaseModel):
    """One entry for each picture, in order; a bad one has an error and does not stop the others."""

    model: str
    results: list[Entry]


class ModelCard(BaseModel):
    """A model that can be asked."""

    name: str
    default: bool
    labels: list[str]
    image_size: int
    channels: int
    storage: str = Field(description="numbers that it is stored in: float32, float16, dynamic or int8")
    bytes: int


class Models(BaseModel):
    """The models that can be asked, the default first."""

    models: list[ModelCard]


class Health(BaseModel):
    """That the service is there."""

    status: Literal["ok"]
    version: str
    waiting: int = Field(description="pictures that are read or wait for it")


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The request is malformed.",
        404: "There is no such model.",
        408: "The body did not come in time.",
        413: "A picture, their number or the request is too large.",
        415: "The content type is none of those described.",
        422: "A parameter, or the picture, cannot be used.",
        503: "Too many pictures are waiting; try again after the seconds in Retry-After.",
        504: "The answer took too long.",
    }.items()
}

_BINARY = {"type": "string", "format": "binary"}
_BASE64 = {
    "type": "string",
    "minLength": 1,
    "description": "a picture's file as base64, or as a data: URL; addresses are not fetched",
}
_ONE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BINARY}},
        },
        "application/json": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BASE64}},
        },
        "application/octet-stream": {"schema": _BINARY},
        "image/*": {"schema": _BINARY},
    },
}


def _batch_body(most: int) -> dict[str, Any]:
    def several(kind: dict[str, Any]) -> dict[str, Any]:
        listed = {"type": "array", "minItems": 1, "maxItems": most, "items": kind}
        return {"schema": {"type": "object", "required": ["images"], "properties": {"images": listed}}}

    return {
        "required": True,
        # What is no base64 gets an error of its own, whatever it is: the others are answered.
        "content": {
            "multipart/form-data": several(_BINARY),
            "application/json": several({"description": _BASE64["description"]}),
        },
    }


# -- what is asked -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Picture:
    """A picture of a request: its content, or what is wrong with it already."""

    content: bytes
    name: str | None = None
    error: str | None = None
    too_large: bool = False


_DATA_URL = re.compile(r"data:[^,]*,", re.IGNORECASE)


def _decoded(text: Any, limit: int) -> _Picture:
    """A picture given as base64."""
    if not isinstance(text, str) or not text:
        return _Picture(b"", error="a picture is a string of base64; got none")
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return _Picture(b"", error="addresses are not fetched; send the picture's content as base64")
    prefix = _DATA_URL.match(text[:200])
    encoded = text[prefix.end() :] if prefix else text
    if len(encoded) > limit * 4 / 3 + 100:
        return _Picture(b"", error=_too_large(limit), too_large=True)
    try:
        return _Picture(base64.b64decode("".join(encoded.split()).encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return _Picture(b"", error="not base64; encode the picture's whole file")


def _too_large(limit: int) -> str:
    return f"the file has more than {limit:,} bytes; shrink the picture"


async def _pictures(request: Request, field: str, most: int, limits: ApiLimits) -> list[_Picture]:
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
        pictures = [_Picture(await request.body())]
    else:
        kinds = "multipart/form-data, application/json" + (", image/* or application/octet-stream" * (most == 1))
        raise HTTPException(415, f"content type {kind or 'missing'}; send {kinds}")
    if not pictures:
        raise HTTPException(422, f"no pictures; give them as {field!r}")
    if len(pictures) > most:
        raise HTTPException(413, f"more than {most} picture{'s' * (most > 1)}; send fewer at a time")
    return pictures


async def _of_form(request: Request, field: str, most: int, limits: ApiLimits) -> list[_Picture]:
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
            pictures.append(_Picture(content, None if isinstance(value, str) else value.filename))
    await form.close()
    return pictures


def _of_json(body: bytes, field: str, limits: ApiLimits) -> list[_Picture]:
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


class _Bounded:
    """Lets no request's body be longer, or take longer, than it may; answers HEAD as GET; counts and sets headers.

    Args:
        app: what answers.
        limits: of the body.
        metrics: where to count.
    """

    def __init__(self, app: ASGIApp, limits: ApiLimits, metrics: _Metrics) -> None:
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


# -- the service -------------------------------------------------------------------------------------------------------


class _Service:
    """Models and the threads that ask them.

    Args:
        models: names, files or folders.
        limits: of the requests.
        metrics: where to count.
    """

    def __init__(self, models: Sequence[str | Path], limits: ApiLimits, metrics: _Metrics) -> None:
        self.limits, self.metrics = limits, metrics
        self.pipelines: dict[str, lite.Pipeline] = {}
        for model in models:
            name = str(model) if str(model) in bundled() else _name_of(Path(model))
            if name in self.pipelines:
                raise ValueError(f"two models are named {name!r}; rename the folder of one")
            self.pipelines[name] = lite.Pipeline(model)
        if not self.pipelines:
            raise ValueError("there are no models to serve; name one")
        self.default = next(iter(self.pipelines))
        self.waiting = 0
        self._executor: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Ends the threads; the next picture starts others."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def pipeline(self, name: str | None) -> tuple[str, lite.Pipeline]:
        name = self.default if name is None else name
        if name not in self.pipelines:
            raise HTTPException(404, f"no model {name[:100]!r}; there are: {', '.join(self.pipelines)}")
        return name, self.pipelines[name]

    async def read(
        self, pictures: Sequence[_Picture], model: str, look: Callable[[bytes], tuple[Any, list[Prediction]]]
    ) -> list[tuple[tuple[int, int] | None, list[Prediction], str | None]]:
        """Size, predictions and error of each picture.

        Raises:
            HTTPException: too many are waiting already.
        """
        if self.waiting + len(pictures) > self.limits.waiting:
            raise HTTPException(503, "too many pictures are waiting; try again", {"Retry-After": "1"})
        self.waiting += len(pictures)
        loop = asyncio.get_running_loop()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="kerasfer")
        futures = []
        for picture in pictures:
            future = self._executor.submit(self._look, picture, model, look)
            # Counted when it is done, not when nobody waits for it any more.
            future.add_done_callback(lambda _: self._done(loop))
            futures.append(future)
        done, late = await asyncio.wait(map(asyncio.wrap_future, futures), timeout=self.limits.seconds)
        for entry in late:
            entry.cancel()
        answers: list[Any] = []
        for future in futures:
            if future.done() and not future.cancelled():
                answers.append(future.result())
            else:
                self.metrics.pictures.labels("late").inc()
                answers.append((None, [], _LATE))
        return answers

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        def count() -> None:
            self.waiting -= 1

        # The loop may have ended before the picture did.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(count)

    def _look(
        self, picture: _Picture, model: str, look: Callable[[bytes], tuple[Any, list[Prediction]]]
    ) -> tuple[tuple[int, int] | None, list[Prediction], str | None]:
        started = time.perf_counter()
        try:
            size, faces = look(self._checked(picture))
        except (ValueError, OSError, MemoryError) as error:
            self.metrics.pictures.labels("error").inc()
            return None, [], " ".join(str(error).split()) or type(error).__name__
        except Exception:
            _log.exception("a picture could not be read")
            self.metrics.pictures.labels("error").inc()
            return None, [], "the picture could not be read, for a reason that the service's log tells"
        self.metrics.reading.observe(time.perf_counter() - started)
        self.metrics.pictures.labels("faces" if faces else "no face").inc()
        for face in faces:
            self.metrics.faces.labels(model, face.expression).inc()
        return size, faces, None

    def _checked(self, picture: _Picture) -> bytes:
        if picture.error is not None:
            raise ValueError(picture.error)
        if len(picture.content) > self.limits.image_bytes:
            raise ValueError(_too_large(self.limits.image_bytes))
        return picture.content


_LATE = "the picture was not read in time; send fewer at a time, or smaller ones"


def _name_of(path: Path) -> str:
    """What a model is called that is no bundled one: its folder's name, or its file's beside others of no folder."""
    path = path.resolve()
    return path.parent.name if path.suffix == ".tflite" and path.name in lite.RECOGNIZERS else path.stem


def _demand_few_pixels(content: bytes, most: int) -> None:
    """Refuses a picture of too many pixels before it is decoded; what is wrong with it otherwise, decoding tells."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            pixels = opened.width * opened.height
    except Exception:
        return
    if pixels > most:
        raise ValueError(f"the picture has {pixels:,} pixels, more than {most:,}; shrink it")


class _Metrics:
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
            "kerasfer_faces", "Faces recognised, by expression.", ["model", "expression"], **kind
        )
        self.reading = prometheus_client.Histogram(
            "kerasfer_reading_seconds", "Seconds from a picture's file to its expressions.", **kind
        )
        self.waiting = prometheus_client.Gauge("kerasfer_waiting", "Pictures that are read or wait for it.", **kind)


def create_app(
    models: Sequence[str | Path] | None = None,
    limits: ApiLimits | None = None,
    hosts: tuple[frozenset[str], bool] | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        models: names of bundled models, .tflite files that `kerasfer.export` wrote, or folders with one; the first is
            asked where a request names none. By default all bundled ones.
        limits: by default `ApiLimits()`.
        hosts: names that requests must be for, as `kerasfer.server.trusted_hosts` gives them; None: any.

    Raises:
        LiteError, ValueError: a model is missing or damaged, or two go by one name.
    """
    limits = limits or ApiLimits()
    metrics = _Metrics()
    if models is None:
        models = sorted(_servable(), key=lambda name: (name != DEFAULT_RECOGNIZER, name))
    service = _Service(models, limits, metrics)
    metrics.waiting.set_function(lambda: service.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="kerasfer",
        version=__version__,
        summary="Facial expression recognition: pictures in, expressions out.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service

    app.add_middleware(_Bounded, limits=limits, metrics=metrics)
    if hosts is not None:
        app.add_middleware(server.HostCheck, hosts=hosts[0], any_address=hosts[1])
    _explain_errors(app)

    @app.get("/health")
    async def health() -> Health:
        """Whether the service is there."""
        return Health(status="ok", version=__version__, waiting=service.waiting)

    @app.get("/models")
    async def list_models() -> Models:
        """The models that can be asked."""
        return Models(models=[_card(name, entry, name == service.default) for name, entry in service.pipelines.items()])

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def show_metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(prometheus_client.generate_latest(metrics.registry), media_type=_METRICS_TYPE)

    @app.post("/recognize", responses=_PROBLEMS, openapi_extra={"requestBody": _ONE_BODY})
    async def recognize(
        request: Request,
        model: ModelName = None,
        detector: DetectorName = "mediapipe",
        landmarks: WithLandmarks = False,
        minimum_score: MinimumScore = 0.5,
    ) -> Recognized:
        """The expression of every face in a picture, which is sent as a form, as JSON, or as the body itself."""
        name, pipeline = service.pipeline(model)
        [picture] = await _pictures(request, "image", 1, limits)
        look = _looker(pipeline, detector, minimum_score, limits.image_pixels)
        [(size, faces, error)] = await service.read([picture], name, look)
        if error is not None or size is None:
            too_large = picture.too_large or len(picture.content) > limits.image_bytes
            status = 504 if error == _LATE else 413 if too_large else 422
            raise HTTPException(status, error)
        return Recognized(model=name, width=size[0], height=size[1], faces=[_face(face, landmarks) for face in faces])

    @app.post("/recognize/batch", responses=_PROBLEMS, openapi_extra={"requestBody": _batch_body(limits.images)})
    async def recognize_batch(
        request: Request,
        model: ModelName = None,
        detector: DetectorName = "mediapipe",
        landmarks: WithLandmarks = False,
        minimum_score: MinimumScore = 0.5,
    ) -> Batch:
        """The same for several pictures. One that cannot be read has its own error; the others are answered."""
        name, pipeline = service.pipeline(model)
        pictures = await _pictures(request, "images", limits.images, limits)
        answers = await service.read(pictures, name, _looker(pipeline, detector, minimum_score, limits.image_pixels))
        results = []
        for index, (picture, (size, faces, error)) in enumerate(zip(pictures, answers, strict=True)):
            width, height = size or (None, None)
            found = None if error is not None else [_face(face, landmarks) for face in faces]
            results.append(Entry(index=index, name=picture.name, width=width, height=height, faces=found, error=error))
        return Batch(model=name, results=results)

    return app


_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

ModelName = Annotated[str | None, Query(description="a name of /models; by default its first", max_length=200)]
DetectorName = Annotated[
    Literal["mediapipe", "quick"],
    Query(description="quick looks no more than it must; mediapipe looks again for small faces beside large ones"),
]
WithLandmarks = Annotated[bool, Query(description="whether to give 68 landmarks")]
MinimumScore = Annotated[float, Query(ge=0, le=1, description="least confidence of the detector in a face")]


def _servable() -> list[str]:
    """Names of the bundled models that have a recogniser's file."""
    return [name for name, folder in bundled().items() if any((folder / file).is_file() for file in lite.RECOGNIZERS)]


def _looker(
    pipeline: lite.Pipeline, detector: str, minimum_score: float, most: int
) -> Callable[[bytes], tuple[tuple[int, int], list[Prediction]]]:
    """What reads a picture's content: its width and height, and its faces."""

    def look(content: bytes) -> tuple[tuple[int, int], list[Prediction]]:
        _demand_few_pixels(content, most)
        image: np.ndarray = images.decode(content, "the picture")
        faces = detect(image, detector, minimum_score=minimum_score)
        return (image.shape[1], image.shape[0]), pipeline.classify(image, faces)

    return look


def _face(prediction: Prediction, landmarks: bool) -> Face:
    values = prediction.to_json()
    return Face(
        **{key: values[key] for key in Face.model_fields if key != "landmarks"}
        | {"landmarks": values["landmarks"] if landmarks else None}
    )


def _card(name: str, pipeline: lite.Pipeline, default: bool) -> ModelCard:
    metadata = lite.read_metadata(pipeline.file.read_bytes(), str(pipeline.file))
    return ModelCard(
        name=name,
        default=default,
        labels=list(pipeline.labels),
        image_size=pipeline.image_spec.size,
        channels=pipeline.image_spec.channels,
        storage=str(metadata.get("storage", "float32")),
        bytes=pipeline.file.stat().st_size,
    )


def _explain_errors(app: FastAPI) -> None:
    """Every error is JSON of one line."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code in (408, 413):
            # What is still to come of the body will not be read.
            headers["Connection"] = "close"
        return JSONResponse({"error": " ".join(str(error.detail).split())}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "query")
        return JSONResponse({"error": " ".join(f"{where}: {first['msg']}".split())}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the service failed; its log tells why"}, 500)


# -- the command -------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = ApiLimits()
    parser = argparse.ArgumentParser(
        prog="kerasfer serve --api", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: %(default)s)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer requests for this name; * is any (may be given several times)",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME|FILE|DIR",
        help="a model to serve, the default first (may be given several times; default: all bundled ones)",
    )
    for option, field, what in (
        ("--max-image-bytes", "image_bytes", "largest file of a picture"),
        ("--max-image-pixels", "image_pixels", "most pixels of a picture"),
        ("--max-images", "images", "most pictures in a batch"),
        ("--max-request-bytes", "request_bytes", "largest request"),
        ("--max-waiting", "waiting", "most pictures that wait at a time"),
        ("--workers", "workers", "pictures that are read at the same time"),
    ):
        parser.add_argument(
            option, dest=field, type=int, default=getattr(defaults, field), help=f"{what} (default: %(default)s)"
        )
    parser.add_argument(
        "--timeout",
        dest="seconds",
        type=float,
        default=defaults.seconds,
        metavar="SECONDS",
        help="until a request is answered (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the service until it is interrupted; returns the exit code.

    Raises:
        ValueError: a model is missing, a limit is no number above 0, or the address cannot be listened at.
    """
    options = vars(parser().parse_args(argv))
    given = {field.name: options[field.name] for field in dataclasses.fields(ApiLimits) if field.name in options}
    hosts = server.trusted_hosts(options["host"], options["allow_host"])
    app = create_app(options["model"], ApiLimits(**given), hosts)
    with server.make_server(app, options["host"], options["port"]) as running:
        print(f"{running.url}docs  (Ctrl-C ends it)", flush=True)
        running.serve_forever()
    return 0

"""The service as an ASGI application."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import prometheus_client
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from kerasfer import lite, server
from kerasfer.api.pictures import ApiLimits, pictures_of
from kerasfer.api.schemas import (
    ONE_BODY,
    PROBLEMS,
    Batch,
    DetectorName,
    Entry,
    Face,
    Health,
    MinimumScore,
    ModelCard,
    ModelName,
    Models,
    PriorName,
    Recognized,
    WithLandmarks,
    WithUnits,
    batch_body,
)
from kerasfer.api.service import LATE, Service, looker, servable
from kerasfer.api.traffic import METRICS_TYPE, Bounded, Metrics
from kerasfer.faces import Prediction
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior
from kerasfer.version import __version__

if TYPE_CHECKING:
    pass

__all__ = ["create_app"]


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
    metrics = Metrics()
    if models is None:
        models = sorted(servable(), key=lambda name: (name != DEFAULT_RECOGNIZER, name))
    service = Service(models, limits, metrics)
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

    app.add_middleware(Bounded, limits=limits, metrics=metrics)
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
        return Response(prometheus_client.generate_latest(metrics.registry), media_type=METRICS_TYPE)

    @app.post(
        "/recognize",
        responses=PROBLEMS,
        response_model_exclude_unset=True,
        openapi_extra={"requestBody": ONE_BODY},
    )
    async def recognize(
        request: Request,
        model: ModelName = None,
        detector: DetectorName = "mediapipe",
        landmarks: WithLandmarks = False,
        minimum_score: MinimumScore = 0.5,
        prior: PriorName = None,
        action_units: WithUnits = False,
    ) -> Recognized:
        """The expression of every face in a picture, which is sent as a form, as JSON, or as the body itself."""
        name, pipeline = service.pipeline(model)
        weights = _weights(pipeline, prior)
        [picture] = await pictures_of(request, "image", 1, limits)
        look = looker(pipeline, detector, minimum_score, limits.image_pixels, weights, action_units)
        [(size, faces, error)] = await service.read([picture], name, look)
        if error is not None or size is None:
            too_large = picture.too_large or len(picture.content) > limits.image_bytes
            status = 504 if error == LATE else 413 if too_large else 422
            raise HTTPException(status, error)
        return Recognized(model=name, width=size[0], height=size[1], faces=[_face(face, landmarks) for face in faces])

    @app.post(
        "/recognize/batch",
        responses=PROBLEMS,
        response_model_exclude_unset=True,
        openapi_extra={"requestBody": batch_body(limits.images)},
    )
    async def recognize_batch(
        request: Request,
        model: ModelName = None,
        detector: DetectorName = "mediapipe",
        landmarks: WithLandmarks = False,
        minimum_score: MinimumScore = 0.5,
        prior: PriorName = None,
        action_units: WithUnits = False,
    ) -> Batch:
        """The same for several pictures. One that cannot be read has its own error; the others are answered."""
        name, pipeline = service.pipeline(model)
        weights = _weights(pipeline, prior)
        pictures = await pictures_of(request, "images", limits.images, limits)
        look = looker(pipeline, detector, minimum_score, limits.image_pixels, weights, action_units)
        answers = await service.read(pictures, name, look)
        results = []
        for index, (picture, (size, faces, error)) in enumerate(zip(pictures, answers, strict=True)):
            width, height = size or (None, None)
            found = None if error is not None else [_face(face, landmarks) for face in faces]
            results.append(Entry(index=index, name=picture.name, width=width, height=height, faces=found, error=error))
        return Batch(model=name, results=results)

    return app


def _weights(pipeline: lite.Pipeline, prior: str | None) -> np.ndarray | None:
    """What the prior of a request makes of probabilities; one that cannot be answered for is refused."""
    if prior is None:
        return None
    try:
        shares: Prior = json.loads(prior) if prior.lstrip().startswith("{") else prior
        return pipeline.weights_of(shares)
    except ValueError as error:
        reason = f"not a JSON object ({error})" if isinstance(error, json.JSONDecodeError) else error
        raise HTTPException(422, f"prior: {reason}") from error


def _face(prediction: Prediction, landmarks: bool) -> Face:
    values = prediction.to_json()
    return Face(
        **{key: values[key] for key in Face.model_fields if key in values and key != "landmarks"}
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

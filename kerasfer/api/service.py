"""The models, and the threads that ask them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import HTTPException

from kerasfer import images, lite
from kerasfer.api.pictures import ApiLimits, Picture, too_large_message
from kerasfer.api.traffic import Metrics
from kerasfer.detection.detectors import detect
from kerasfer.faces import Prediction
from kerasfer.weights import bundled

if TYPE_CHECKING:
    pass

_log = logging.getLogger(__name__)


class Service:
    """Models and the threads that ask them.

    Args:
        models: names, files or folders.
        limits: of the requests.
        metrics: where to count.
    """

    def __init__(self, models: Sequence[str | Path], limits: ApiLimits, metrics: Metrics) -> None:
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
        self, pictures: Sequence[Picture], model: str, look: Callable[[bytes], tuple[Any, list[Prediction]]]
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
                answers.append((None, [], LATE))
        return answers

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        def count() -> None:
            self.waiting -= 1

        # The loop may have ended before the picture did.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(count)

    def _look(
        self, picture: Picture, model: str, look: Callable[[bytes], tuple[Any, list[Prediction]]]
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

    def _checked(self, picture: Picture) -> bytes:
        if picture.error is not None:
            raise ValueError(picture.error)
        if len(picture.content) > self.limits.image_bytes:
            raise ValueError(too_large_message(self.limits.image_bytes))
        return picture.content


LATE = "the picture was not read in time; send fewer at a time, or smaller ones"


def _name_of(path: Path) -> str:
    """What a model is called that is no bundled one: its folder's name, or its file's beside others of no folder."""
    path = path.resolve()
    return path.parent.name if path.suffix == ".tflite" and path.name in lite.RECOGNIZERS else path.stem


def _require_few_pixels(content: bytes, most: int) -> None:
    """Refuses a picture of too many pixels before it is decoded; what is wrong with it otherwise, decoding tells."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            pixels = opened.width * opened.height
    except Exception:
        return
    if pixels > most:
        raise ValueError(f"the picture has {pixels:,} pixels, more than {most:,}; shrink it")


def servable() -> list[str]:
    """Names of the bundled models that have a recognizer's file."""
    return [name for name, folder in bundled().items() if any((folder / file).is_file() for file in lite.RECOGNIZERS)]


def looker(
    pipeline: lite.Pipeline,
    detector: str,
    minimum_score: float,
    most: int,
    weights: np.ndarray | None = None,
    action_units: bool = False,
) -> Callable[[bytes], tuple[tuple[int, int], list[Prediction]]]:
    """What reads a picture's content: its width and height, and its faces.

    Args:
        pipeline, detector, minimum_score: what looks for faces and recognizes them.
        most: pixels of a picture.
        weights, action_units: as for `lite.Pipeline.classify`.
    """

    def look(content: bytes) -> tuple[tuple[int, int], list[Prediction]]:
        _require_few_pixels(content, most)
        image: np.ndarray = images.decode(content, "the picture")
        faces = detect(image, detector, minimum_score=minimum_score)
        return (image.shape[1], image.shape[0]), pipeline.classify(image, faces, weights, action_units)

    return look

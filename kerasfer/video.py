"""Videos to expressions: decode, find faces, follow them, recognize, smooth; a stage each, side by side.

    with open_video("clip.mp4") as video:
        for frame in VideoRecognizer("ipdfer").recognize(video):
            for face in frame.faces:
                print(frame.time, face.person, face.prediction.expression)

`kerasfer.tracking` says how faces are followed and smoothed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from kerasfer import lite
from kerasfer.detection import landmarker
from kerasfer.detection.blazeface import Candidate
from kerasfer.faces import Box, DetectedFace, HeadPose, Prediction
from kerasfer.frames import VIDEO_SUFFIXES, Frame, Video, VideoError, VideoWriter, camera_number, open_video
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior
from kerasfer.recognition import COLORS, FaceClassifier, RecognitionModel
from kerasfer.recognition.classifier import ActionUnits
from kerasfer.tracking import Smoother, Tracker

__all__ = [
    "VIDEO_SUFFIXES",
    "Frame",
    "FrameResult",
    "PersonFace",
    "Smoother",
    "Tracker",
    "Video",
    "VideoError",
    "VideoRecognizer",
    "VideoWriter",
    "camera_number",
    "mark",
    "open_video",
    "recognize_video",
]

AHEAD = 8
"""Frames that one stage may be ahead of the next."""

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, eq=False)
class PersonFace:
    """A face in a frame.

    Attributes:
        person: number of the person, from 1 on.
        prediction: what the face expresses, averaged over time.
        measured: the probabilities of this frame alone.
    """

    person: int
    prediction: Prediction
    measured: dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class FrameResult:
    """What was recognized in a frame.

    Attributes:
        number, time: as of `Frame`.
        faces: in the order of the people's numbers.
        image: the frame, uint8 RGB (height, width, 3); None of one that was read back.
        state: what `Tracker.state` told after it.
    """

    number: int
    time: float
    faces: list[PersonFace]
    image: np.ndarray | None = None
    state: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> FrameResult:
        """What `to_json` made."""
        faces = []
        for face in entry["faces"]:
            prediction = Prediction(
                box=Box(*face["box"]),
                expression=face["expression"],
                probabilities=face["probabilities"],
                pose=face["pose"] and HeadPose(**face["pose"]),
                score=face["score"],
                action_units=face["action_units"] and {int(n): value for n, value in face["action_units"].items()},
                blendshapes=face["blendshapes"],
                unit_details=face.get("unit_details"),
            )
            faces.append(PersonFace(face["person"], prediction, face["measured"]))
        return cls(entry["frame"], entry["time"], faces, state=entry.get("state"))

    def to_json(self) -> dict[str, Any]:
        """Everything but image and landmarks, as plain numbers, strings and lists, exactly."""
        return {
            "frame": self.number,
            "time": self.time,
            "faces": [
                {
                    "person": face.person,
                    "box": list(dataclasses.astuple(face.prediction.box)),
                    "score": face.prediction.score,
                    "expression": face.prediction.expression,
                    "probabilities": face.prediction.probabilities,
                    "measured": face.measured,
                    "pose": None if face.prediction.pose is None else dataclasses.asdict(face.prediction.pose),
                    "action_units": face.prediction.action_units,
                    "blendshapes": face.prediction.blendshapes,
                    "unit_details": face.prediction.unit_details,
                }
                for face in self.faces
            ],
            "state": self.state,
        }


class _Followed(NamedTuple):
    """A frame between following and recognition."""

    frame: Frame
    people: list[tuple[int, DetectedFace]]
    state: dict[str, Any]


class VideoRecognizer:
    """Recognizes the faces of one video.

    Args:
        model: as for `kerasfer.recognize`; of a bundled model or a folder its TFLite file is taken if there is one.
        detector: a key of `kerasfer.detection.DETECTORS`.
        every: the detector looks at every n-th frame; in between, faces are followed.
        smoothing: seconds after which a past answer counts half; 0 for none.
        minimum_score: least confidence of the detector in a face, in [0, 1].
        action_units: also tell how likely each FACS action unit is, as for `kerasfer.recognize`; "machines" take the
            model itself, not its TFLite file.
        flip: take the mean of what the model says of each face and of its mirror image.
        prior: how frequent the expressions are to count as, as for `kerasfer.recognize`.
        blendshapes: also score the 52 movements of `kerasfer.detection.blendshapes`, where the mesh follows the face;
            they are those of each frame, not averaged over time.

    Raises:
        VideoError, DetectionError, ValueError: a wrong argument, or a model that cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
        detector: str = "quick",
        every: int = 5,
        smoothing: float = 0.3,
        minimum_score: float = 0.5,
        action_units: ActionUnits = False,
        flip: bool = False,
        prior: Prior | None = None,
        blendshapes: bool = False,
    ) -> None:
        self._blendshapes = blendshapes
        self._tracker = Tracker(detector, every, minimum_score)
        self._smoother = Smoother(smoothing)
        if isinstance(model, (str, os.PathLike)) and action_units != "machines":
            with contextlib.suppress(lite.LiteError):
                model = lite.recognizer_file(model)
        self._classifier = FaceClassifier(model, action_units=action_units, flip=flip, prior=prior)
        self.labels, self.units = self._classifier.labels, self._classifier.units

    def kept(self, frames: int) -> int:
        """How many of an earlier run's frames can be kept: up to one that the detector looks at."""
        return frames - frames % self._tracker.every

    def restore(self, frames: Iterable[FrameResult]) -> None:
        """Takes up an earlier run of the same video.

        Args:
            frames: its results, from the first on, as many as `kept` says.
        """
        for frame in frames:
            boxes = {face.person: face.prediction.box for face in frame.faces}
            self._tracker.restore(frame.time, boxes, frame.state)
            for face in frame.faces:
                self._smoother.update(face.person, frame.time, face.measured)

    def recognize(self, frames: Iterable[Frame]) -> Generator[FrameResult, None, None]:
        """The results of frames one after the other; reading, finding, following and recognizing go on side by side."""
        stages = _Stages()
        try:
            searched = stages.run(map(self._searched, stages.run(iter(frames))))
            followed = stages.run(map(self._followed, searched))
            if self._blendshapes or self._classifier.needs_movements:
                followed = stages.run(map(self._scored, followed))
            yield from stages.run(map(self._recognized, followed))
        finally:
            stages.stop()

    def _searched(self, frame: Frame) -> tuple[Frame, list[Candidate] | None]:
        return frame, self._tracker.find(frame)

    def _followed(self, searched: tuple[Frame, list[Candidate] | None]) -> _Followed:
        frame, seen = searched
        return _Followed(frame, self._tracker.update(frame, seen), self._tracker.state())

    def _scored(self, followed: _Followed) -> _Followed:
        """The same with the blendshapes of each face."""
        image, squares, people = followed.frame.image, followed.state["people"], []
        for number, face in followed.people:
            if str(number) in squares:
                x, y, side, roll = squares[str(number)][:4]
                face = landmarker.moved(face, landmarker.fit_where(image, (np.array([x, y]), side, roll)))
            else:
                (face,) = landmarker.with_movements(image, [face])
            people.append((number, face))
        return followed._replace(people=people)

    def _recognized(self, followed: _Followed) -> FrameResult:
        frame, people = followed.frame, followed.people
        faces = [face for _, face in people]
        predictions = self._classifier(faces, [self._classifier.aligned(frame.image, face) for face in faces])
        results = []
        for (number, _), prediction in zip(people, predictions, strict=True):
            averaged = self._smoother.update(number, frame.time, prediction.probabilities)
            shown = max(averaged, key=averaged.__getitem__)
            smooth = dataclasses.replace(prediction, expression=shown, probabilities=averaged)
            smooth = smooth if self._blendshapes else dataclasses.replace(smooth, blendshapes=None)
            results.append(PersonFace(number, smooth, prediction.probabilities))
        return FrameResult(frame.number, frame.time, results, frame.image, followed.state)


def recognize_video(
    source: str | os.PathLike[str],
    model: str | os.PathLike[str] | RecognitionModel = DEFAULT_RECOGNIZER,
    **options: Any,
) -> Iterator[FrameResult]:
    """The results of a video or camera, frame after frame.

    Args:
        source: as for `open_video`.
        model: as for `VideoRecognizer`.
        **options: the other arguments of `VideoRecognizer`.

    Raises:
        VideoError: the video cannot be read; at its end too, if it was cut off.
    """
    recognizer = VideoRecognizer(model, **options)
    with open_video(source) as video:
        yield from recognizer.recognize(video)
        if video.problem is not None:
            raise VideoError(video.problem)


class _Stages:
    """Threads that each fetch items for whoever comes next, at most `AHEAD` in advance."""

    _END = object()

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def run(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items, fetched by a thread of their own."""
        waiting: queue.Queue[tuple[Any, Exception | None]] = queue.Queue(AHEAD)

        def put(item: Any, error: Exception | None = None) -> None:
            while not self._stopped.is_set():
                with contextlib.suppress(queue.Full):
                    waiting.put((item, error), timeout=0.1)
                    return

        def fetch() -> None:
            try:
                for item in items:
                    put(item)
                    if self._stopped.is_set():
                        return
            except Exception as error:
                put(self._END, error)
            put(self._END)

        thread = threading.Thread(target=fetch, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self._taken(waiting)

    def _taken(self, waiting: queue.Queue[tuple[Any, Exception | None]]) -> Iterator[Any]:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Empty):
                item, error = waiting.get(timeout=0.1)
                if error is not None:
                    raise error
                if item is self._END:
                    return
                yield item

    def stop(self) -> None:
        """Ends the threads."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def mark(image: np.ndarray, faces: Iterable[PersonFace]) -> np.ndarray:
    """Draws each face's box with the person's number, the expression and its probability into a copy of a frame.

    Args:
        image: uint8 RGB (height, width, 3).
        faces: the faces in it.

    Returns:
        uint8 RGB of the same size.
    """
    import cv2

    image = image.copy()
    scale = max(0.4, min(image.shape[:2]) / 900)
    thick = max(1, round(2 * scale))
    for face in faces:
        color = COLORS[(face.person - 1) % len(COLORS)]
        left, top, right, bottom = (round(side) for side in dataclasses.astuple(face.prediction.box))
        cv2.rectangle(image, (left, top), (right, bottom), color, thick)
        text = f"{face.person} {face.prediction.expression} {face.prediction.confidence:.0%}"
        (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        left = min(max(left, 0), max(image.shape[1] - width, 0))
        top = max(top, height + base)
        cv2.rectangle(image, (left, top - height - base), (left + width, top), color, cv2.FILLED)
        place = (left, top - base // 2)
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return image

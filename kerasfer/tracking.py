"""Faces followed from frame to frame, and their probabilities smoothed.

Following: the detector looks at every fifth frame, and in those between the face mesh goes on from where it was. At the
beginning, where the scene changes (at most twice a second) and every three seconds, the detector "quick" looks more
closely: it finds small faces beside large ones then, and the mesh goes on from them for as long as it sees a face
there. Once it has seen a face, it looks at its highest resolution only every 0.8 seconds. A face that the detector
finds is the person whose box it overlaps most, if by three tenths or more and if that person was seen within the last
second; else it is a new person. Smoothing: each probability is averaged over time, with weights that fall by half in
`smoothing` seconds. Blendshapes, where they are asked for, are not averaged.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasfer import images
from kerasfer.detection import DETECTORS, blazeface, find_detector, head_pose
from kerasfer.detection.blazeface import Candidate
from kerasfer.detection.mesh import CONFIRMED, PRESENT, fit, follow, follow_from, landmarks_of, region
from kerasfer.faces import Box, DetectedFace
from kerasfer.frames import Frame, VideoError

__all__ = ["Smoother", "Tracker"]

SAME_PERSON = 0.3
"""Least overlap (intersection over union) of a found face's box with a person's last one."""

SAME_FACE = 0.6
"""Least overlap of two followed faces that are taken for one."""

PATIENCE = 1.0
"""Seconds that a person is remembered for without being seen."""

CLOSE_EVERY = 3.0
"""Seconds after which the detector looks closely again."""

CLOSE_APART = 0.5
"""Least seconds between two close looks."""

FINE_EVERY = 0.8
"""Seconds after which the detector looks at its highest resolution again, if it saw a face when it last did; fewer than
`PATIENCE`, so that nobody is forgotten whom it sees then alone."""

CUT = 16.0
"""Mean difference of two frames, reduced to a few gray pixels, from which on the scene has changed; of 255."""

REDUCED = (9, 16)
"""Height and width to which frames are reduced to see that."""


_Square = tuple[np.ndarray, float, float]


@dataclasses.dataclass
class _Person:
    """A person as last seen."""

    number: int
    box: Box
    seen: float
    face: DetectedFace | None = None
    points: np.ndarray | None = None
    frame: np.ndarray | None = None
    """Where the box lies in the mesh's square: center and size, in sides of the square, (4,)."""
    square: _Square | None = None
    """Where the mesh was in a frame of an earlier run, as `mesh.region` tells."""
    score: float = 1.0


class Tracker:
    """Finds faces and follows them from frame to frame, as this module's page tells.

    Args:
        detector: a key of `kerasfer.detection.DETECTORS`.
        every: the detector looks at each frame whose number is a multiple of this.
        minimum_score: least confidence of the detector in a face, in [0, 1].
    """

    def __init__(self, detector: str = "quick", every: int = 5, minimum_score: float = 0.5) -> None:
        if every < 1:
            raise VideoError(f"the detector looks at every frame or at every n-th, n at least 1; got {every}")
        self._find = find_detector(detector)
        self.every = every
        self._minimum_score = minimum_score
        self._people: list[_Person] = []
        self._count = 0
        self._closer = blazeface.find_closely if self._find is DETECTORS["quick"] else None
        self._coarser = functools.partial(blazeface.find_quickly, windows=2)
        self._looks: dict[int, dict[str, Any]] = {}
        self._reduced: np.ndarray | None = None
        self._closest: float | None = None
        self._finest: float | None = None
        self._look_state: dict[str, Any] | None = None

    def find(self, frame: Frame) -> list[Candidate] | None:
        """What the detector sees in a frame, None in one that it does not look at.

        This takes the frames alone, one after the other: it may go on ahead of `update`, in another thread.
        """
        if frame.number % self.every:
            return None
        if self._closer is None:
            return self._find(frame.image, self._minimum_score)
        # Halved first, which OpenCV does in a fraction of the time.
        height, width = (max(1, side // 2) for side in frame.image.shape[:2])
        reduced = images.to_gray(images.resize(images.resize(frame.image, (height, width)), REDUCED))
        since = np.inf if self._closest is None else frame.time - self._closest
        close = bool(since >= CLOSE_EVERY or since >= CLOSE_APART and self._is_cut(reduced))
        self._reduced = reduced
        self._closest = frame.time if close else self._closest
        fine = close or self._finest is None or frame.time - self._finest >= FINE_EVERY
        look = self._closer if close else self._find if fine else self._coarser
        seen = look(frame.image, self._minimum_score)
        if fine:
            self._finest = frame.time if seen else None
        found = bool(seen) if fine else None
        self._looks[frame.number] = {"close": close, "reduced": reduced.tobytes().hex(), "fine": found}
        return seen

    def _is_cut(self, reduced: np.ndarray) -> bool:
        return self._reduced is not None and np.abs(reduced.astype(np.float32) - self._reduced).mean() > CUT

    def update(self, frame: Frame, seen: list[Candidate] | None = None) -> list[tuple[int, DetectedFace]]:
        """The faces in the next frame: number of the person, from 1 on, and the face; ordered by the number.

        Args:
            frame: the next one.
            seen: what `find` said of it; found out here by default.
        """
        seen = self.find(frame) if seen is None else seen
        self._look_state = self._looks.pop(frame.number, None)
        if seen is not None:
            self._look(frame, seen, self._look_state or {"close": True, "fine": True})
        else:
            self._follow(frame)
        self._people = [person for person in self._people if frame.time - person.seen <= PATIENCE]
        present = [(person.number, person.face) for person in self._people if person.face is not None]
        return sorted(present, key=lambda entry: entry[0])

    def state(self) -> dict[str, Any]:
        """What `restore` needs, beside the boxes, to go on after the frame that `update` saw last; as JSON holds it."""
        people = {}
        for person in self._people:
            if person.face is not None and person.points is not None and person.frame is not None:
                center, side, roll = region(person.points)
                numbers = (*center, side, roll, *person.frame, person.face.score)
                people[str(person.number)] = [float(number) for number in numbers]
        still = {str(p.number): p.face.score for p in self._people if p.face is not None and p.points is None}
        state = {"people": people, "still": still, "look": self._look_state}
        return {name: value for name, value in state.items() if value or name == "people"}

    def restore(self, time: float, boxes: Mapping[int, Box], state: Mapping[str, Any] | None = None) -> None:
        """Notes who was where in a frame of an earlier run; `update` must then go on with a frame for the detector.

        Args:
            time: the frame's.
            boxes: number of the person -> where the face was.
            state: what `state` told after that frame.
        """
        look = (state or {}).get("look")
        if look is not None:
            self._reduced = np.frombuffer(bytes.fromhex(look["reduced"]), np.uint8).reshape(REDUCED)
            self._closest = time if look["close"] else self._closest
            if look.get("fine") is not None:
                self._finest = time if look["fine"] else None
        elif self._closest is None:
            self._closest = time
        for person in self._people:
            person.face = person.square = person.points = None
        known = {person.number: person for person in self._people}
        for number, box in boxes.items():
            if number not in known:
                known[number] = _Person(number, box, time)
                self._people.append(known[number])
            person = known[number]
            person.box, person.seen = box, time
            if (score := (state or {}).get("still", {}).get(str(number))) is not None:
                person.face = DetectedFace(box, score)
            if numbers := (state or {}).get("people", {}).get(str(number)):
                person.square = (np.array(numbers[:2]), numbers[2], numbers[3])
                person.frame, person.score = np.array(numbers[4:8]), numbers[8]
        self._count = max(self._count, *boxes, 0)
        self._people = [person for person in self._people if time - person.seen <= PATIENCE]

    def _look(self, frame: Frame, seen: list[Candidate], look: Mapping[str, Any]) -> None:
        found = []
        for candidate in seen:
            presence = PRESENT if candidate.trusted else CONFIRMED
            points = fit(frame.image, candidate.box, candidate.roll, presence)
            if points is not None or candidate.trusted:
                found.append((candidate, points))
        before = {person.number: (person.face, _square(person)) for person in self._people}
        for person in self._people:
            person.face = None
        free = [person for person in self._people if frame.time - person.seen <= PATIENCE]
        pairs = sorted(
            (-candidate.box.intersection_over_union(person.box), index, person.number)
            for index, (candidate, _) in enumerate(found)
            for person in free
        )
        chosen: dict[int, _Person] = {}
        by_number = {person.number: person for person in free}
        for overlap, index, number in pairs:
            if -overlap >= SAME_PERSON and index not in chosen and by_number[number] not in chosen.values():
                chosen[index] = by_number[number]
        for index, (candidate, points) in enumerate(found):
            known = chosen.get(index)
            if known is None:
                self._count += 1
                known = _Person(self._count, candidate.box, frame.time)
                self._people.append(known)
            _place(known, candidate, points, frame.time)
        if not look["close"]:
            taken = {person.number for person in chosen.values()}
            lost = [(person, *before[person.number]) for person in free if person.number not in taken]
            self._go_on(frame, lost, look["fine"] is None)

    def _go_on(
        self, frame: Frame, people: list[tuple[_Person, DetectedFace | None, _Square | None]], coarse: bool
    ) -> None:
        """Follows those whom a look that was not close did not find, from where they were: small faces, above all.

        Those without a mesh stay where they were after a look too coarse for them.
        """
        seen = [person for person in self._people if person.face is not None]
        for person, face, square in people:
            if square is None:
                overlaps = any(other.box.intersection_over_union(person.box) > SAME_PERSON for other in seen)
                person.face = face if coarse and not overlaps else None
                continue
            person.points = follow_from(frame.image, square)
            if person.points is None:
                continue
            face = _face(_moved(person), person.score, person.points)
            if any(other.box.intersection_over_union(face.box) > SAME_PERSON for other in seen):
                continue
            person.box, person.seen, person.face = face.box, frame.time, face
            seen.append(person)

    def _follow(self, frame: Frame) -> None:
        seen: list[_Person] = []
        for person in self._people:
            if person.face is None:
                continue
            face: DetectedFace | None = person.face
            if person.points is not None:
                person.points = follow(frame.image, person.points)
                face = None if person.points is None else _face(_moved(person), person.face.score, person.points)
            if face is None or any(other.box.intersection_over_union(face.box) > SAME_FACE for other in seen):
                person.face = None
                continue
            person.box, person.seen, person.face = face.box, frame.time, face
            seen.append(person)


def _square(person: _Person) -> _Square | None:
    """Where the mesh of somebody who was there in the frame before was; None if there was none."""
    if person.face is None or person.points is None:
        return person.square
    return region(person.points)


def _place(person: _Person, candidate: Candidate, points: np.ndarray | None, seen: float) -> None:
    person.box, person.seen, person.points = candidate.box, seen, points
    person.face, person.square, person.score = _face(candidate.box, candidate.score, points), None, candidate.score
    if points is not None:
        center, side, _ = region(points)
        size = np.array([candidate.box.width, candidate.box.height])
        person.frame = np.concatenate([np.array(candidate.box.center) - center, size]) / side


def _moved(person: _Person) -> Box:
    """The box of a person with a mesh, where the mesh is now."""
    assert person.points is not None and person.frame is not None
    center, side, _ = region(person.points)
    middle, size = center + side * person.frame[:2], side * person.frame[2:]
    return Box(*map(float, (*(middle - size / 2), *(middle + size / 2))))


def _face(box: Box, score: float, points: np.ndarray | None) -> DetectedFace:
    if points is None:
        return DetectedFace(box, score)
    landmarks = landmarks_of(points)
    return DetectedFace(box, score, landmarks, head_pose(landmarks))


class Smoother:
    """Averages each person's probabilities over time.

    Args:
        seconds: after so long a past answer counts half; 0 leaves the answers as they are.
    """

    def __init__(self, seconds: float = 0.3) -> None:
        if not seconds >= 0:
            raise VideoError(f"smoothing takes seconds, 0 or more; got {seconds}")
        self.seconds = seconds
        self._last: dict[int, tuple[float, dict[str, float]]] = {}

    def update(self, person: int, time: float, probabilities: Mapping[str, float]) -> dict[str, float]:
        """The averaged probabilities of a person, from those of the frame at that time."""
        fresh = dict(probabilities)
        before, averaged = self._last.get(person, (time, None))
        if self.seconds == 0:
            return fresh
        if averaged is not None and time - before <= PATIENCE:
            kept = 0.5 ** ((time - before) / self.seconds)
            fresh = {name: kept * averaged[name] + (1 - kept) * value for name, value in fresh.items()}
        self._last[person] = (time, fresh)
        return fresh

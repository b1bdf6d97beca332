"""What modules pass to one another: boxes, landmarks, head pose, detected faces, predictions and the image format.

Numpy only, so that `kerasfer.lite` can use it.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasfer import markup

__all__ = [
    "BLENDSHAPES",
    "LANDMARK_GROUPS",
    "LARGEST_FACE",
    "MIRRORED_BLENDSHAPES",
    "MIRRORED_LANDMARKS",
    "Box",
    "DetectedFace",
    "HeadPose",
    "ImageSpec",
    "Landmarks",
    "Prediction",
    "PIXEL_RANGES",
    "YAW_CLASSES",
    "checked_landmarks",
    "yaw_class",
]

PIXEL_RANGES: dict[str, tuple[float, float]] = {"unit": (0.0, 1.0), "signed": (-1.0, 1.0)}
"""Value ranges of a model's images by name: byte 0 maps to the first value, byte 255 to the second."""

RANGE_SLACK = 0.25
"""How far values may lie beyond a range, as a part of its width: bicubic resizing overshoots at edges."""


LARGEST_FACE = 4096
"""Most pixels that the side of an aligned face can have."""


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The image format of a model: the one place where pixel ranges are defined.

    Attributes:
        size: height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        pixel_range: a key of `PIXEL_RANGES`.
    """

    size: int
    channels: int = 1
    pixel_range: str = "unit"

    def __post_init__(self) -> None:
        numbers = all(isinstance(value, (int, np.integer)) for value in (self.size, self.channels))
        known = isinstance(self.pixel_range, str) and self.pixel_range in PIXEL_RANGES
        if not (numbers and known and 1 <= self.size <= LARGEST_FACE and self.channels in (1, 3)):
            raise ValueError(
                f"an image needs a size of 1 to {LARGEST_FACE}, channels 1 or 3, pixel_range "
                f"{' or '.join(PIXEL_RANGES)}; got {reprlib.repr(self.size)}, {reprlib.repr(self.channels)}, "
                f"{reprlib.repr(self.pixel_range)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.size, self.size, self.channels)

    def scale(self, pixels: Any) -> Any:
        """Maps values in [0, 255] (a float array or tensor, or a uint8 array) to the range, same type of container."""
        low, high = PIXEL_RANGES[self.pixel_range]
        if isinstance(pixels, np.ndarray):
            pixels = pixels.astype(np.float32)
        return pixels * ((high - low) / 255.0) + low

    def check_range(self, low: float, high: float, what: str = "faces") -> None:
        """Refuses images that were not brought to the range, or hold NaN.

        Args:
            low, high: the least and the greatest value of the images; up to `RANGE_SLACK` beyond the range is let pass.
            what: what the message calls them.

        Raises:
            ValueError: they are of another range.
        """
        first, last = PIXEL_RANGES[self.pixel_range]
        slack = RANGE_SLACK * (last - first)
        if first - slack <= low and high <= last + slack:
            return
        if np.isnan(low) or np.isnan(high):
            raise ValueError(f"{what} hold NaN where values from {first:g} to {last:g} are expected")
        raise ValueError(
            f"{what} have values from {low:g} to {high:g}, but the model takes {first:g} to {last:g}: bring pixels "
            "of 0 to 255 to its range with image_spec.scale(pixels)"
        )

    def unscale(self, values: np.ndarray) -> np.ndarray:
        """Maps values in the range back to uint8 pixels, rounded and clipped."""
        low, high = PIXEL_RANGES[self.pixel_range]
        pixels = (np.asarray(values, np.float32) - low) * (255.0 / (high - low))
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle in pixels, x to the right, y down; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def center(self) -> tuple[float, float]:
        return ((self.left + self.right) / 2, (self.top + self.bottom) / 2)

    def scaled(self, factor: float) -> Box:
        """The box in an image whose sides are so many times as long."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)

    def intersection_over_union(self, other: Box) -> float:
        """Overlap of two boxes in [0, 1]."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0.0) * max(height, 0.0)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


LANDMARK_GROUPS: dict[str, range] = {
    "jaw": range(0, 17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}
"""The 68 points in the order of Multi-PIE and iBUG 300-W, the one order in the project. "right" and "left" are the
person's own, so the right eye lies on the left of the picture."""


def _mirrored_landmarks() -> np.ndarray:
    order = np.arange(68)
    order[LANDMARK_GROUPS["jaw"]] = order[LANDMARK_GROUPS["jaw"]][::-1]
    swapped = {17: 26, 18: 25, 19: 24, 20: 23, 21: 22, 31: 35, 32: 34}
    swapped |= {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
    swapped |= {48: 54, 49: 53, 50: 52, 55: 59, 56: 58, 60: 64, 61: 63, 65: 67}
    for left, right in swapped.items():
        order[left], order[right] = right, left
    return order


MIRRORED_LANDMARKS = _mirrored_landmarks()
"""int (68,): the point of a mirrored face that each point becomes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """68 facial landmarks.

    Attributes:
        points: float32 (68, 2), x and y in pixels of the image they belong to, in the order of `LANDMARK_GROUPS`.
    """

    points: np.ndarray

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float32)
        if points.shape != (68, 2):
            raise ValueError(f"landmarks have shape (68, 2), got {points.shape}")
        object.__setattr__(self, "points", points)

    def group(self, name: str) -> np.ndarray:
        """The points of one part of the face, float32 (n, 2); names as in `LANDMARK_GROUPS`."""
        return self.points[list(LANDMARK_GROUPS[name])]

    @property
    def eye_centers(self) -> np.ndarray:
        """Centers of the right and the left eye, float32 (2, 2)."""
        return np.stack([self.group("right_eye").mean(0), self.group("left_eye").mean(0)])

    @property
    def inter_ocular_distance(self) -> float:
        """Distance of the outer eye corners (points 36 and 45) in pixels."""
        return float(np.hypot(*(self.points[45] - self.points[36])))


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Head rotation in degrees.

    Attributes:
        yaw: positive when the person looks to the right side of the picture.
        pitch: positive when the person looks up.
        roll: positive when the head leans toward the right side of the picture.
    """

    yaw: float
    pitch: float
    roll: float


YAW_CLASSES: tuple[tuple[float, float], ...] = ((0.0, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 40.0), (40.0, 180.0))
"""Pose classes by the size of the yaw in degrees, from the first number up to below the second (Table 1 of
"Disentangling Identity and Pose for Facial Expression Recognition")."""


def yaw_class(yaw: np.ndarray) -> np.ndarray:
    """Number of the entry of `YAW_CLASSES`, int32 (n,), of angles in degrees, float (n,); -1 for NaN."""
    size = np.abs(np.asarray(yaw, np.float64))
    return np.where(np.isnan(size), 0, np.digitize(size, [low for low, _ in YAW_CLASSES])).astype(np.int32) - 1


BLENDSHAPES: tuple[str, ...] = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
"""The names of MediaPipe's 52 blendshape scores, those of ARKit without the tongue, in MediaPipe's order. Left and
right are the person's own."""


def _mirrored_blendshapes() -> tuple[int, ...]:
    def other(name: str) -> str:
        for side, opposite in (("Left", "Right"), ("Right", "Left")):
            if name.endswith(side):
                return name.removesuffix(side) + opposite
        return name

    return tuple(BLENDSHAPES.index(other(name)) for name in BLENDSHAPES)


MIRRORED_BLENDSHAPES = _mirrored_blendshapes()
"""For each of `BLENDSHAPES`, the one that it is in the mirror image of the face."""


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face found in an image.

    Attributes:
        box: where, in pixels of the upright image.
        score: the detector's confidence in [0, 1].
        landmarks: 68 points, or None if none were asked for or found.
        pose: head pose, or None.
        points: right eye, left eye, nose and mouth as the detector sees them, float (4, 2), where it does and no
            landmarks were asked for; else None.
        blendshapes: each of `BLENDSHAPES` -> score in [0, 1]; None if none were asked for or the network that scores
            them sees no face.
        measures: of the same network's points, as `kerasfer.units.measured` takes them; None likewise.
    """

    box: Box
    score: float
    landmarks: Landmarks | None = None
    pose: HeadPose | None = None
    points: np.ndarray | None = None
    blendshapes: dict[str, float] | None = None
    measures: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What a recognizer says of one face.

    Attributes:
        box: where the face is, in pixels of the upright image.
        expression: name of the most probable expression.
        probabilities: name -> probability, in the model's order; they add up to 1.
        landmarks: 68 points, or None.
        pose: head pose, or None.
        score: the detector's confidence in [0, 1].
        action_units: number of a FACS action unit -> probability that it is present; None if none were asked for.
        blendshapes: name of a movement (`BLENDSHAPES`) -> score in [0, 1]; None if none were asked for, or the network
            that scores them sees no face.
        unit_details: where action units go by movements, "AU12_intensity" -> in [0, 5], and "AU12_left" and
            "AU12_right" -> in [0, 1], of the units that have them (`kerasfer.units.details`); else None.
        valence: how pleasant what the face shows is, in [-1, 1]; None of a model that has not learned it.
        arousal: how excited it is, in [-1, 1]; None likewise.
    """

    box: Box
    expression: str
    probabilities: dict[str, float]
    landmarks: Landmarks | None = None
    pose: HeadPose | None = None
    score: float = 1.0
    action_units: dict[int, float] | None = None
    blendshapes: dict[str, float] | None = None
    valence: float | None = None
    arousal: float | None = None
    unit_details: dict[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if value is not None and not -1 <= value <= 1:
                raise ValueError(f"{name} lies in [-1, 1], got {value}")

    @classmethod
    def of(
        cls,
        face: DetectedFace,
        labels: Sequence[str],
        probabilities: np.ndarray,
        action_units: dict[int, float] | None = None,
        unit_details: dict[str, float] | None = None,
    ) -> Prediction:
        """What probabilities, (K,) in the order of the labels, say of a face that was found."""
        return cls(
            box=face.box,
            expression=labels[int(probabilities.argmax())],
            probabilities={label: float(value) for label, value in zip(labels, probabilities, strict=True)},
            landmarks=face.landmarks,
            pose=face.pose,
            score=face.score,
            action_units=action_units,
            blendshapes=face.blendshapes,
            unit_details=unit_details,
        )

    def scaled(self, factor: float) -> Prediction:
        """The same of a photo whose sides are so many times as long."""
        landmarks = None if self.landmarks is None else Landmarks(self.landmarks.points * factor)
        return dataclasses.replace(self, box=self.box.scaled(factor), landmarks=landmarks)

    @property
    def confidence(self) -> float:
        """Probability of the expression named."""
        return self.probabilities[self.expression]

    def __repr__(self) -> str:
        box = self.box
        place = f"({box.left:.0f}, {box.top:.0f}) to ({box.right:.0f}, {box.bottom:.0f})"
        return f"Prediction({self.expression} {self.probabilities.get(self.expression, math.nan):.1%}, box {place})"

    @markup.optional
    def _repr_html_(self) -> str:
        rows = [
            (
                markup.Html(f"<b>{markup.escaped(name)}</b>") if name == self.expression else name,
                markup.bar(share),
                f"{share:.1%}",
            )
            for name, share in self.probabilities.items()
        ]
        return markup.table((), rows)

    def to_json(self) -> dict[str, Any]:
        """The prediction as plain numbers, strings and lists."""
        units, shapes, details = self.action_units, self.blendshapes, self.unit_details
        return {
            "box": [round(float(value), 2) for value in dataclasses.astuple(self.box)],
            "score": round(self.score, 4),
            "expression": self.expression,
            "probabilities": {name: round(float(value), 6) for name, value in self.probabilities.items()},
            "pose": None if self.pose is None else dataclasses.asdict(self.pose),
            "landmarks": None if self.landmarks is None else np.round(self.landmarks.points, 2).tolist(),
            **({} if units is None else {"action_units": {f"AU{n}": round(float(p), 6) for n, p in units.items()}}),
            **({} if details is None else {"unit_details": {name: round(p, 6) for name, p in details.items()}}),
            **({} if shapes is None else {"blendshapes": {name: round(p, 6) for name, p in shapes.items()}}),
            **{name: round(value, 6) for name in ("valence", "arousal") if (value := getattr(self, name)) is not None},
        }


def checked_landmarks(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Landmarks as float32 (n, 68, 2).

    Args:
        landmarks: (68, 2) or (n, 68, 2), in pixels of an aligned face.
        size: height and width of that face.

    Raises:
        ValueError: another number of points, not finite, far outside the image, all in one place, or in mirrored
            order.
    """
    points = np.asarray(landmarks, np.float32)
    points = points[None] if points.ndim == 2 else points
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise ValueError(f"landmarks are 68 points: shape (68, 2) or (n, 68, 2), got {np.shape(landmarks)}")
    wrong = np.argwhere(~np.isfinite(points).all(2))
    if len(wrong):
        raise ValueError(f"landmark {wrong[0][1]} of set {wrong[0][0]} is not a finite number")
    wrong = np.argwhere(((points < -size / 2) | (points > 1.5 * size)).any(2))
    if len(wrong):
        number, point = wrong[0]
        x, y = points[number, point]
        raise ValueError(
            f"landmark {point} of set {number} at ({x:g}, {y:g}) lies far outside the image; give landmarks in "
            f"pixels of an aligned face of {size} x {size}"
        )
    right, left, mouth = (
        points[:, list(LANDMARK_GROUPS[name])].mean(1) for name in ("right_eye", "left_eye", "outer_lips")
    )
    across, down = left - right, mouth - right
    turn = (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / size**2
    for number in np.flatnonzero(turn <= 1e-4):
        if turn[number] >= -1e-4:
            raise ValueError(f"landmarks of set {number} lie on a line or in one place; they show no face")
        raise ValueError(
            f"landmarks of set {number} are in mirrored order: points 36 to 41 are the person's right eye, on the "
            "left of the picture"
        )
    return points

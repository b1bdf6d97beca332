"""Image augmentation: crops, flips, shifts, rotations, light and cutout, drawn anew at every step."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from kerasfer.data.turning import turned_landmarks, turning_field, turns_without_folds
from kerasfer.faces import MIRRORED_LANDMARKS

__all__ = ["NO_AUGMENTATION", "PAPER_AUGMENTATION", "Augmentation", "augment"]


_SHARES = ("margin", "flip", "shift", "sharp", "cutout", "shade", "coarse", "blur", "grain", "jpeg")
"""Fields that are parts of something."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to each training image, drawn anew at every step.

    Every field at 0 is no augmentation. The default is the TDGAN paper's "random cropping and horizontal flipping",
    with a margin (the paper gives none) of 8 pixels at its size of 128.

    Attributes:
        margin: images are resized to this part more than the model's size, in whole pixels, and a crop of the model's
            size is taken at random.
        flip: probability of a horizontal flip.
        shift: further shift to each side, as a part of the image's side; border pixels repeat.
        scale: relative change of size to each side, 0.1 for 0.9 to 1.1.
        rotation: degrees to each side.
        yaw: degrees to each side that heads turn about their own vertical axis (`kerasfer.data.turning`), where a batch
            has landmarks.
        sharp: share of the images that are shifted by whole pixels, not scaled and not turned. The others lose a little
            sharpness, which faces have that are recognized.
        brightness: change to each side, as a part of the range from black to white.
        contrast: relative change of the distance from the image's mean, to each side.
        cutout: side of a square set to the image's mean, as a part of the image's side; its center is anywhere.
        gamma: change of the exponent that light goes by, to each side, as a power of two: 1 for 0.5 to 2.
        shade: how much lighter one side of the image gets than the other, at most, as a part of the range.
        coarse: share of the images that are made smaller, down to a third, and large again.
        blur: share of the images that are blurred, by a Gaussian of up to 1/40 of the side.
        grain: largest standard deviation of the noise of a sensor, as a part of the range from black to white.
        jpeg: share of the images that go through a JPEG of a quality from 15 to 80.
    """

    margin: float = 1 / 16
    flip: float = 0.5
    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    sharp: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    cutout: float = 0.0
    gamma: float = 0.0
    shade: float = 0.0
    coarse: float = 0.0
    blur: float = 0.0
    grain: float = 0.0
    jpeg: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        values = dataclasses.asdict(self)
        bad = [name for name, value in values.items() if not (math.isfinite(value) and value >= 0)]
        bad += [name for name in _SHARES if values[name] > 1]
        bad += [name for name in ("scale", "contrast") if values[name] >= 1]
        if bad:
            raise ValueError(f"augmentation {', '.join(bad)} is out of range: {self}")

    @classmethod
    def strong(cls) -> Augmentation:
        """A stronger recipe for classifiers: flip, shift, scale, rotation, light and cutout.

        It has no margin, so that faces are as large on average as when they are recognized.
        """
        return cls(margin=0.0, shift=0.06, scale=0.12, rotation=12.0, brightness=0.1, contrast=0.2, cutout=0.25)

    @classmethod
    def strong_and_sharp(cls) -> Augmentation:
        """`strong`, with half of the images as sharp as they were."""
        return dataclasses.replace(cls.strong(), sharp=0.5)

    @classmethod
    def warps(cls) -> Augmentation:
        """A face as two pictures of one person show it: turned, nearer, beside, its head turned about its axis."""
        return cls(margin=0.0, shift=0.05, scale=0.1, rotation=12.0, yaw=15.0)

    @classmethod
    def cameras(cls) -> Augmentation:
        """`strong_and_sharp` as other cameras would have taken it: light, focus, resolution, grain and compression."""
        cameras = {"gamma": 0.8, "shade": 0.25, "coarse": 0.25, "blur": 0.25, "grain": 0.04, "jpeg": 0.3}
        return dataclasses.replace(cls.strong_and_sharp(), brightness=0.15, contrast=0.35, **cameras)

    def margin_of(self, size: int) -> int:
        """The margin in pixels for images of a size."""
        return round(self.margin * size)

    @property
    def _cameras(self) -> bool:
        return any((self.gamma, self.shade, self.coarse, self.blur, self.grain, self.jpeg))

    @property
    def _resamples(self) -> bool:
        return self.shift > 0 or self.scale > 0 or self.rotation > 0 or self.yaw > 0


PAPER_AUGMENTATION = Augmentation()
"""What the TDGAN paper does, and every training unless told otherwise: a crop and a flip."""

NO_AUGMENTATION = Augmentation(margin=0.0, flip=0.0)
"""Images as they are."""


def augment(
    pixels: np.ndarray,
    generator: np.random.Generator,
    augmentation: Augmentation,
    size: int,
    landmarks: np.ndarray | None = None,
    mirror: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Augments a batch.

    Args:
        pixels: uint8 (n, size + margin, size + margin, channels).
        generator: what is drawn; one in the same state gives the same result.
        augmentation: what to do.
        size: height and width of the result.
        landmarks: float32 (n, 68, 2), in pixels of the images given; they move with their image.
        mirror: bool (n,), which images to flip; None draws them.

    Returns:
        uint8 (n, size, size, channels), and the landmarks, in pixels of these.
    """
    if augmentation == NO_AUGMENTATION:
        return pixels, landmarks
    count = len(pixels)
    draws = generator.random((12, count))
    sides = 2 * draws - 1
    if mirror is None:
        mirror = draws[0] < augmentation.flip
    corners = np.floor(draws[1:3] * (pixels.shape[1] - size + 1)).astype(np.int64)
    moves = sides[3:7] * np.array([[augmentation.shift * size]] * 2 + [[augmentation.scale], [augmentation.rotation]])
    sharp = draws[11] < augmentation.sharp
    moves[:, sharp] = np.rint(moves[:, sharp]) * [[1], [1], [0], [0]]
    transforms = _transforms(mirror, corners, moves, size)
    fields: list[np.ndarray] | None = None
    if augmentation.yaw and landmarks is not None:
        degrees = augmentation.yaw * (2 * generator.random(count) - 1) * ~sharp
        moved = turned_landmarks(landmarks, turns_without_folds(landmarks, degrees))
        fields = [turning_field(*points, pixels.shape[1]) for points in zip(landmarks, moved)]
        landmarks = moved
    result = np.empty((count, size, size, pixels.shape[3]), np.uint8)
    for index in range(count):
        if augmentation._resamples:
            field = None if fields is None else fields[index]
            result[index] = _warp(pixels[index], transforms[index], size, field)
        else:
            left, top = corners[:, index]
            crop = pixels[index, top : top + size, left : left + size]
            result[index] = crop[:, ::-1] if mirror[index] else crop
    if augmentation.brightness or augmentation.contrast:
        means = _means(result)
        factors = 1 + sides[8] * augmentation.contrast
        offsets = means * (1 - factors) + sides[7] * augmentation.brightness * 255
        levels = np.clip(np.rint(factors[:, None] * np.arange(256) + offsets[:, None]), 0, 255).astype(np.uint8)
        for index in range(count):
            result[index] = cv2.LUT(result[index], levels[index]).reshape(result[index].shape)
    if augmentation._cameras:
        seen = generator.random((9, count))
        for index in range(count):
            result[index] = _photographed(result[index], seen[:, index], generator, augmentation)
    if augmentation.cutout:
        half = augmentation.cutout * size / 2
        low = np.clip(np.rint(draws[9:11] * size - half), 0, size).astype(np.int64)
        high = np.clip(np.rint(draws[9:11] * size + half), 0, size).astype(np.int64)
        for index, mean in enumerate(np.rint(_means(result))):
            result[index, low[0, index] : high[0, index], low[1, index] : high[1, index]] = mean
    return result, None if landmarks is None else _move_landmarks(landmarks, transforms, mirror)


def _photographed(
    image: np.ndarray, draws: np.ndarray, generator: np.random.Generator, augmentation: Augmentation
) -> np.ndarray:
    """An image as another camera would have taken it.

    Args:
        image: uint8 (size, size, channels).
        draws: float64 (9,), in [0, 1): exponent, direction and strength of the light, whether and how coarse, whether
            and how blurred, noise, whether and how compressed, each by one draw.
        generator: of the noise.
        augmentation: what to do.
    """
    shape, size = image.shape, image.shape[0]
    values = np.float32(image.reshape(size, size, -1)) / 255
    values **= 2.0 ** (augmentation.gamma * (2 * draws[0] - 1))
    if augmentation.shade:
        angle, across = 2 * np.pi * draws[1], np.linspace(-0.5, 0.5, size, dtype=np.float32)
        slope = np.float32(np.cos(angle)) * across[None] + np.float32(np.sin(angle)) * across[:, None]
        values += (augmentation.shade * draws[2] * slope)[..., None]
    if draws[3] < augmentation.coarse:
        smaller = max(round(size * (1 / 3 + 2 / 3 * draws[4])), 1)
        small = cv2.resize(values, (smaller, smaller), interpolation=cv2.INTER_AREA)
        values = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR).reshape(size, size, -1)
    if draws[5] < augmentation.blur:
        sigma = size / 40 * max(draws[5] / augmentation.blur, 0.1)
        values = cv2.GaussianBlur(values, (0, 0), sigma).reshape(size, size, -1)
    if augmentation.grain:
        values += augmentation.grain * draws[6] * generator.standard_normal(values.shape, np.float32)
    pixels = np.uint8(np.rint(np.clip(values, 0, 1) * 255))
    if draws[7] < augmentation.jpeg:
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(15 + 65 * draws[8])])
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    return pixels.reshape(shape)


def _means(pixels: np.ndarray) -> np.ndarray:
    """Mean value of each image, (n,)."""
    return np.array([sum(cv2.mean(image)) / image.shape[2] for image in pixels])


def _transforms(mirror: np.ndarray, corners: np.ndarray, moves: np.ndarray, size: int) -> np.ndarray:
    """Where the pixels of each result come from: float64 (n, 2, 3), taking (x, y, 1) of the result to x and y of the
    image given, with whole numbers at the centers of pixels.

    Args:
        mirror: bool (n,).
        corners: left and top of the crop, int (2, n).
        moves: shift to the right and down in pixels, relative change of size, degrees: float64 (4, n).
        size: height and width of the result.
    """
    shift, zoom, angle = moves[:2], 1 / (1 + moves[2]), np.radians(moves[3])
    cosine, sine, sign = zoom * np.cos(angle), zoom * np.sin(angle), np.where(mirror, -1.0, 1.0)
    transforms = np.empty((len(mirror), 2, 3))
    transforms[:, 0, 0], transforms[:, 0, 1] = cosine * sign, -sine
    transforms[:, 1, 0], transforms[:, 1, 1] = sine * sign, cosine
    middle = (size - 1) / 2
    transforms[:, :, 2] = (corners + shift).T + middle - transforms[:, :, :2].sum(2) * middle
    return transforms


def _warp(image: np.ndarray, transform: np.ndarray, size: int, field: np.ndarray | None = None) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if field is None:
        warped = cv2.warpAffine(image, transform, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        columns, rows = np.meshgrid(np.arange(size), np.arange(size))
        places = np.stack([columns, rows, np.ones_like(rows)], -1) @ transform.T
        places = places.astype(np.float32) + cv2.warpAffine(
            field, transform, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        warped = cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped.reshape(size, size, image.shape[2])


def _move_landmarks(landmarks: np.ndarray, transforms: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Takes points, float32 (n, 68, 2), through the inverse of the transforms; a pixel's center lies at a half."""
    inverse = np.linalg.inv(transforms[:, :, :2])
    moved = np.einsum("nij,npj->npi", inverse, landmarks - 0.5 - transforms[:, None, :, 2]) + 0.5
    moved[mirror] = moved[mirror][:, MIRRORED_LANDMARKS]
    return moved.astype(np.float32)

"""Faces that turn about their own axis: landmarks, pixels, and both together in an augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import face_landmarks

from kerasfer.data import Augmentation
from kerasfer.data.augment import augment
from kerasfer.data.turning import turned_landmarks, turning_field, turns_without_folds
from kerasfer.detection.pose import MEAN_FACE, head_axes, head_poses

SIDE = 64


def dots(points: np.ndarray) -> np.ndarray:
    """Bright spots where points lie, uint8 (side, side, 1)."""
    ticks = np.arange(SIDE) + 0.5
    spots = [np.exp(-((ticks[None] - x) ** 2 + (ticks[:, None] - y) ** 2) / 8) for x, y in points]
    return np.uint8(255 * np.max(spots, 0))[..., None]


def brightest(image: np.ndarray) -> np.ndarray:
    """x and y of the one spot of an image."""
    weights = image[..., 0].astype(float) ** 2
    rows, columns = np.indices(weights.shape) + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def test_landmarks_turn_by_the_degrees_asked_for():
    points = np.repeat(face_landmarks(SIDE), 3, 0)
    turned = turned_landmarks(points, np.array([-15.0, 0.0, 12.0]))
    np.testing.assert_allclose(head_poses(turned)[:, 0], head_poses(points)[:, 0] + [-15, 0, 12], atol=0.5)
    np.testing.assert_allclose(turned[1], points[1], atol=1e-4)
    np.testing.assert_allclose(turned.mean(1), points.mean(1), atol=1e-3)
    # A head that leans to its shoulder turns about the axis that leans with it.
    angle = np.radians(40)
    leaning = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(
        turned_landmarks(points[:1] @ leaning.T, np.array([-15.0])), turned[:1] @ leaning.T, atol=1e-3
    )


def test_axes_of_the_mean_face_and_its_size():
    rotation, size = head_axes(30 * np.asarray(MEAN_FACE)[None, :, :2])
    np.testing.assert_allclose(rotation[0], np.eye(3), atol=1e-6)
    assert size[0] == pytest.approx(30)


def test_heads_in_profile_turn_back_alone():
    points = turned_landmarks(np.repeat(face_landmarks(SIDE), 3, 0), np.array([30.0, 30.0, 10.0]))
    turns = turns_without_folds(points, np.array([15.0, -15.0, 15.0]))
    np.testing.assert_allclose(turns, [0, -15, 10], atol=0.5)


def test_pixels_go_where_their_landmarks_go():
    """On the tip of the nose, on the corner of an eye, of the mouth, and on the chin."""
    points = face_landmarks(SIDE)[0]
    moved = turned_landmarks(points[None], np.array([12.0]))[0]
    field = turning_field(points, moved, SIDE)
    assert field.shape == (SIDE, SIDE, 2) and field.dtype == np.float32
    for point in (30, 36, 54, 8):
        column, row = np.floor(moved[point]).astype(int)
        np.testing.assert_allclose(field[row, column], points[point] - moved[point], atol=0.4)
    assert abs(points[30] - moved[30])[0] > 2


def test_an_augmentation_moves_landmarks_and_pixels_alike():
    points = np.repeat(face_landmarks(SIDE), 6, 0)
    nose = np.stack([dots(each[30:31]) for each in points])
    warps = Augmentation(margin=0.0, flip=0.5, shift=0.05, scale=0.1, rotation=12.0, yaw=15.0)
    images, moved = augment(nose, np.random.default_rng(3), warps, SIDE, points)
    again, _ = augment(nose, np.random.default_rng(3), warps, SIDE, points)
    np.testing.assert_array_equal(images, again)
    for image, where in zip(images, moved):
        np.testing.assert_allclose(brightest(image), where[30], atol=0.9)
    assert np.ptp(head_poses(moved)[:, 0]) > 8
    straight, _ = augment(nose, np.random.default_rng(3), Augmentation(margin=0.0, flip=0.5, yaw=15.0), SIDE)
    assert brightest(straight[0])[0] in (pytest.approx(brightest(nose[0])[0]), pytest.approx(SIDE - points[0, 30, 0]))

"""Calibration: numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer.evaluation.calibration import (
    calibrate,
    expected_calibration_error,
    negative_log_likelihood,
    tempered,
)


def test_calibration_error_by_hand():
    """Four answers at 0.8 of which two are right, one at 0.6 that is right: (4 * 0.3 + 1 * 0.4) / 5."""
    probabilities = np.array([[0.8, 0.2]] * 4 + [[0.6, 0.4]])
    true = np.array([0, 0, 1, 1, 0])
    assert expected_calibration_error(probabilities, true, bins=10) == pytest.approx(1.6 / 5)


def test_full_confidence_falls_in_the_last_bin():
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([1])) == 1


def test_likelihood_by_hand():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]])
    expected = -(np.log(0.5) + np.log(0.25)) / 2
    assert negative_log_likelihood(probabilities, np.array([0, 1])) == pytest.approx(expected)
    assert np.isfinite(negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])))


def test_tempered_by_hand():
    np.testing.assert_allclose(tempered(np.array([[0.8, 0.2]]), 2.0), [[2 / 3, 1 / 3]])
    np.testing.assert_allclose(tempered(np.array([[0.8, 0.2]]), 1.0), [[0.8, 0.2]])


def test_a_known_temperature_is_found():
    """Classes drawn from softmax(logits); a recognizer that says softmax(2 logits) needs temperature 2."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20000, 5)) * 2
    right = tempered(np.exp(logits - logits.max(1, keepdims=True)), 1.0)
    true = (right.cumsum(1) > generator.random((20000, 1))).argmax(1)
    found = calibrate(tempered(right, 0.5), true)
    assert found.temperature == pytest.approx(2.0, abs=0.05)
    assert found.error_after < 0.02 < found.error_before and found.likelihood_after < found.likelihood_before
    assert found.n == 20000 and "temperature 1.99" in str(found)


@pytest.mark.parametrize(
    "probabilities, true",
    [(np.ones((0, 2)), np.ones(0, int)), (np.ones((2, 2)) / 2, np.zeros(3, int)), (np.ones(3), np.zeros(3, int))],
)
def test_wrong_shapes(probabilities, true):
    with pytest.raises(ValueError, match="one face or more"):
        calibrate(probabilities, true)


def test_unknown_classes():
    with pytest.raises(ValueError, match="classes lie in 0..1"):
        expected_calibration_error(np.ones((1, 2)) / 2, np.array([-1]))

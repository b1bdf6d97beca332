"""Scores of generated images: numbers worked by hand, other implementations, bad input."""

import json
import math

import numpy as np
import pytest

from kerasfer.evaluation import synthesis
from kerasfer.evaluation.synthesis import FeatureNetwork, ScoreError
from kerasfer.faces import PIXEL_RANGES, ImageSpec


def features(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, width)


def test_frechet_distance_by_hand():
    real = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    assert synthesis.frechet_distance(real, real + [3.0, 4.0]) == pytest.approx(25)
    # One feature: variances 2 and 8, means 1 and 2: (1 - 2)^2 + (sqrt 2 - sqrt 8)^2 = 1 + 2.
    assert synthesis.frechet_distance([[0.0], [2.0]], [[0.0], [4.0]]) == pytest.approx(3)


def test_frechet_distance_is_symmetric_and_equals_the_matrix_root():
    import scipy.linalg

    real, generated = features(80, 7), features(60, 7, 1) @ np.diag(np.arange(1, 8)) + 0.5
    first, second = np.cov(real.T), np.cov(generated.T)
    root = scipy.linalg.sqrtm(first @ second).real
    expected = np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.trace(first + second - 2 * root)
    assert synthesis.frechet_distance(real, generated) == pytest.approx(expected, rel=1e-9)
    assert synthesis.frechet_distance(generated, real) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_fewer_images_than_features():
    real = features(5, 40)
    assert synthesis.frechet_distance(real, real) == pytest.approx(0, abs=1e-10)
    assert synthesis.frechet_distance(real, real[::-1] + 1.0) == pytest.approx(40)


def test_kernel_distance_by_hand():
    # width 1, kernel (x y + 1)^3; real 0, 1: k(0, 1) = 1; generated 1, 2: k(1, 2) = 27;
    # cross: k(0, 1) = 1, k(0, 2) = 1, k(1, 1) = 8, k(1, 2) = 27, mean 9.25.
    actual = synthesis.kernel_distance([[0.0], [1.0]], [[1.0], [2.0]])
    assert actual.value == pytest.approx(1 + 27 - 2 * 9.25)
    assert actual.standard_error is None
    assert actual.blocks == 1


def test_kernel_distance_blocks_and_error():
    real, generated = [[0.0], [1.0], [0.0], [1.0]], [[1.0], [2.0], [0.0], [1.0]]
    # The second block holds 0, 1 on both sides: 1 + 1 - 2 (1 + 1 + 1 + 8) / 4 = -3.5.
    actual = synthesis.kernel_distance(real, generated, block_size=2)
    assert actual.blocks == 2
    assert actual.value == pytest.approx((9.5 - 3.5) / 2)
    assert actual.standard_error == pytest.approx(math.sqrt(2 * 6.5**2) / math.sqrt(2))


def test_kernel_distance_is_unbiased():
    values = [
        synthesis.kernel_distance(features(20, 4, seed), features(20, 4, 1000 + seed)).value for seed in range(300)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values))


def test_inception_score_by_hand():
    certain = np.eye(4)
    assert synthesis.inception_score_from_probabilities(certain) == pytest.approx(4)
    assert synthesis.inception_score_from_probabilities(np.full((5, 4), 0.25)) == pytest.approx(1)
    assert synthesis.inception_score_from_probabilities(certain[[1, 1, 1]]) == pytest.approx(1)
    assert synthesis.inception_score_from_logits(1000 * certain) == pytest.approx(4)
    # Rows (3/4, 1/4) and (1/4, 3/4): KL to (1/2, 1/2) is 3/4 log(3/2) + 1/4 log(1/2).
    expected = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert synthesis.inception_score_from_probabilities([[0.75, 0.25], [0.25, 0.75]]) == pytest.approx(expected)
    assert synthesis.inception_score_from_logits([[math.log(3), 0], [0, math.log(3)]]) == pytest.approx(expected)


def images(seed: int = 0, channels: int = 3, count: int = 3, size: int = 24) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, channels)).astype(np.uint8)


def test_peak_signal_to_noise_ratio_by_hand():
    first = np.zeros((3, 2, 2, 1), np.uint8)
    second = first.copy()
    second[1] = 255
    second[2, 0, 0, 0] = 51
    expected = [math.inf, 0.0, 10 * math.log10(255**2 / (51**2 / 4))]
    np.testing.assert_allclose(synthesis.peak_signal_to_noise_ratio(first, second), expected, atol=1e-12)
    np.testing.assert_allclose(synthesis.peak_signal_to_noise_ratio(second, first), expected, atol=1e-12)


def test_structural_similarity_by_hand():
    first, second = np.full((1, 16, 16, 1), 100, np.uint8), np.full((1, 16, 16, 1), 150, np.uint8)
    stable = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + stable) / (100**2 + 150**2 + stable)
    assert synthesis.structural_similarity(first, second)[0] == pytest.approx(expected)
    np.testing.assert_allclose(synthesis.structural_similarity(images(), images()), 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_structural_similarity_equals_other_implementations(channels):
    import tensorflow as tf

    first = images(0, channels)
    second = (0.7 * first + 0.3 * images(1, channels)).astype(np.uint8)
    actual = synthesis.structural_similarity(first, second)
    np.testing.assert_allclose(actual, tf.image.ssim(first, second, 255), rtol=1e-4)
    ratio = synthesis.peak_signal_to_noise_ratio(first, second)
    np.testing.assert_allclose(ratio, tf.image.psnr(first, second, 255), rtol=1e-5)
    metrics = pytest.importorskip("skimage.metrics")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    for value, x, y in zip(actual, first, second, strict=True):
        assert value == pytest.approx(metrics.structural_similarity(x, y, data_range=255, **options), rel=1e-9)


@pytest.mark.parametrize("pixel_range", list(PIXEL_RANGES))
def test_scores_do_not_depend_on_the_pixels_range(pixel_range):
    first, second = images(0), images(1)
    spec = ImageSpec(24, 3, pixel_range)
    x, y = spec.scale(first), spec.scale(second)
    for score in (synthesis.structural_similarity, synthesis.peak_signal_to_noise_ratio):
        np.testing.assert_allclose(score(x, y, pixel_range), score(first, second), rtol=1e-4)


def mean_color(batch: np.ndarray) -> np.ndarray:
    return batch.mean((1, 2))


def brightness(batch: np.ndarray) -> np.ndarray:
    light = batch.mean((1, 2, 3)) / 255
    return np.stack([light, 1 - light], 1)


def test_report_states_its_feature_network_and_counts():
    network = FeatureNetwork("mean color", mean_color, brightness)
    real, generated = images(0, count=30), images(1, count=21)
    report = synthesis.evaluate_synthesis(real, generated, network, references=real[:21], batch_size=8)
    assert (report.feature_network, report.feature_width) == ("mean color", 3)
    assert (report.real_count, report.generated_count) == (30, 21)
    expected = synthesis.frechet_distance(mean_color(real), mean_color(generated))
    assert report.frechet_distance == pytest.approx(expected)
    kernel = synthesis.kernel_distance(mean_color(real), mean_color(generated))
    assert report.kernel_distance.value == pytest.approx(kernel.value)
    assert report.inception_score == pytest.approx(synthesis.inception_score_from_probabilities(brightness(generated)))
    assert report.structural_similarity == pytest.approx(synthesis.structural_similarity(real[:21], generated).mean())
    assert report.identical_pairs == 0
    for part in ("mean color", "3 wide", "30 real", "21 generated", "SSIM", "PSNR", "Inception Score"):
        assert part in str(report)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["feature_network"] == "mean color"


def test_report_of_identical_images_and_of_a_plain_network():
    real = images(0, count=4)
    report = synthesis.evaluate_synthesis(real, real, FeatureNetwork("mean color", mean_color), references=real)
    assert report.frechet_distance == pytest.approx(0, abs=1e-9)
    assert report.structural_similarity == pytest.approx(1)
    assert report.peak_signal_to_noise_ratio is None
    assert report.identical_pairs == 4
    assert report.inception_score is None
    json.dumps(report.to_json(), allow_nan=False)
    pixels = FeatureNetwork("pixels", lambda batch: batch.reshape(len(batch), -1))
    assert "biased" in str(synthesis.evaluate_synthesis(real, real, pixels))


def test_report_is_the_same_for_every_batch_size_and_depends_on_the_seed_through_blocks_alone():
    network = FeatureNetwork("mean color", mean_color)
    real, generated = images(0, count=30), images(1, count=30)

    def report(**options):
        return synthesis.evaluate_synthesis(real, generated, network, block_size=10, **options)

    assert report(batch_size=7).frechet_distance == report().frechet_distance
    assert report(seed=1).frechet_distance == report().frechet_distance
    assert report(seed=1).kernel_distance != report().kernel_distance
    assert report().kernel_distance == report().kernel_distance


def test_report_on_signed_pixels():
    network = FeatureNetwork("mean color", mean_color)
    real, generated = (ImageSpec(24, 3, "signed").scale(images(seed)) for seed in (0, 1))
    actual = synthesis.evaluate_synthesis(real, generated, network, references=real, pixel_range="signed")
    expected = synthesis.evaluate_synthesis(images(0), images(1), network, references=images(0))
    assert actual.structural_similarity == pytest.approx(expected.structural_similarity, rel=1e-4)
    assert actual.peak_signal_to_noise_ratio == pytest.approx(expected.peak_signal_to_noise_ratio, rel=1e-4)


NAN = np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthesis.frechet_distance(features(5, 3), features(5, 4)), "3 wide, generated ones 4"),
        (lambda: synthesis.frechet_distance(features(1, 3), features(5, 3)), "at least 2 rows, got 1"),
        (lambda: synthesis.frechet_distance(features(5, 2), NAN), "generated features: row 1 holds a NaN"),
        (lambda: synthesis.frechet_distance(np.zeros(4), features(5, 2)), r"\(n, width\)"),
        (lambda: synthesis.frechet_distance(np.zeros((3, 0)), np.zeros((3, 0))), "0 wide"),
        (lambda: synthesis.kernel_distance(features(5, 2), NAN), "NaN"),
        (lambda: synthesis.kernel_distance(features(5, 2), features(5, 2), block_size=1), "block_size=1"),
        (lambda: synthesis.kernel_distance(features(50, 2), features(5, 2), block_size=10), "5 rows do not fill 5"),
        (lambda: synthesis.inception_score_from_logits([[1.0, np.inf], [0.0, 0.0]]), "row 0"),
        (lambda: synthesis.inception_score_from_logits([[1.0, 2.0]]), "at least 2 rows"),
        (lambda: synthesis.inception_score_from_logits([[1.0], [2.0]]), "2 classes"),
        (lambda: synthesis.inception_score_from_probabilities([[0.5, 0.6], [0.5, 0.5]]), "add up to 1"),
        (lambda: synthesis.inception_score_from_probabilities([[1.5, -0.5], [0.5, 0.5]]), "at least 0"),
        (lambda: synthesis.structural_similarity(images(), images(count=2)), "one shape"),
        (lambda: synthesis.structural_similarity(images(size=8), images(size=8)), "larger images"),
        (lambda: synthesis.structural_similarity(images(), images(), window=10), "odd"),
        (lambda: synthesis.structural_similarity(images(count=0), images(count=0)), "one shape"),
        (lambda: synthesis.peak_signal_to_noise_ratio(images() / 255, images() * np.nan, "unit"), "NaN"),
        (lambda: synthesis.peak_signal_to_noise_ratio(images(), images(), "unit"), "take bytes and None"),
        (lambda: synthesis.peak_signal_to_noise_ratio(images() / 255, images() / 255), "pixel_range None"),
        (lambda: synthesis.peak_signal_to_noise_ratio(images() / 255, images() / 255, "byte"), "one of unit, signed"),
        (
            lambda: synthesis.structural_similarity(images() / 127.5 - 1, images() / 127.5 - 1, "unit"),
            "not in the range",
        ),
        (lambda: FeatureNetwork(" ", mean_color), "needs a name"),
        (
            lambda: synthesis.evaluate_synthesis(images(), images(count=1), FeatureNetwork("mean", mean_color)),
            "2 generated images, got 1",
        ),
        (
            lambda: synthesis.evaluate_synthesis(images(), images(), FeatureNetwork("sum", np.sum)),
            r"sum gave shape \(\) for 3 images",
        ),
        (
            lambda: synthesis.evaluate_synthesis(
                images(),
                images(),
                FeatureNetwork("uneven", lambda batch: np.zeros((len(batch), len(batch)))),
                batch_size=2,
            ),
            "uneven gave 2 features an image, then 1",
        ),
        (
            lambda: synthesis.evaluate_synthesis(images(), images(), FeatureNetwork("m", mean_color), batch_size=0),
            "batch_size",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ScoreError, match=message):
        call()

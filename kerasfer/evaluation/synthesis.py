"""How good generated faces are: Frechet and kernel distance, Inception Score, SSIM and PSNR.

The distances compare features, so they mean nothing without the network that made the features: `evaluate_synthesis`
asks for one with a name, and its report states the name, the feature width and the numbers of images. Distances of
different feature networks, or from different numbers of images, must not be compared. That holds above all for figures
from the literature, which come from an Inception network trained on ImageNet.

Everything is computed in float64. The formulas equal TF-GAN's `frechet_classifier_distance_from_activations`,
`kernel_classifier_distance_and_std_from_activations` and `classifier_score_from_logits`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kerasfer.faces import PIXEL_RANGES

__all__ = [
    "FeatureNetwork",
    "KernelDistance",
    "ScoreError",
    "SynthesisReport",
    "evaluate_synthesis",
    "frechet_distance",
    "inception_score_from_logits",
    "inception_score_from_probabilities",
    "kernel_distance",
    "peak_signal_to_noise_ratio",
    "structural_similarity",
]


class ScoreError(ValueError):
    """A score was asked for of data that it is not defined on."""


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """The network whose features are compared.

    Attributes:
        name: stated beside every figure, for example "tdgan expression encoder, FERPlus train".
        features: maps a batch of images, in the form in which `evaluate_synthesis` gets them, to (batch, width).
        probabilities: maps the same batch to class probabilities (batch, K), for the Inception Score; None for none.
    """

    name: str
    features: Callable[[np.ndarray], Any]
    probabilities: Callable[[np.ndarray], Any] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ScoreError("a feature network needs a name: it is stated beside every figure")


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """Result of `kernel_distance`.

    Attributes:
        value: the mean of the blocks' unbiased estimates; it can be slightly negative.
        standard_error: of that mean, from the spread of the blocks; None with a single block.
        blocks: how many blocks there were.
    """

    value: float
    standard_error: float | None
    blocks: int


@dataclasses.dataclass(frozen=True)
class SynthesisReport:
    """Scores of generated images, with what one must know to read them.

    Attributes:
        feature_network: its name.
        feature_width: number of features an image.
        real_count: number of real images.
        generated_count: number of generated images.
        frechet_distance: FID on those features, 0 for equal mean and covariance.
        kernel_distance: KID on those features.
        inception_score: from the network's class probabilities of the generated images; None without them.
        structural_similarity: mean SSIM of generated images and their references; None without references.
        peak_signal_to_noise_ratio: mean PSNR in dB over the same pairs, without the identical ones; None without
            references or if all pairs are identical.
        identical_pairs: how many pairs were identical, so that their PSNR is infinite.
    """

    feature_network: str
    feature_width: int
    real_count: int
    generated_count: int
    frechet_distance: float
    kernel_distance: KernelDistance
    inception_score: float | None = None
    structural_similarity: float | None = None
    peak_signal_to_noise_ratio: float | None = None
    identical_pairs: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as plain numbers, strings and dicts."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        error = self.kernel_distance.standard_error
        counts = f"{self.real_count} real and {self.generated_count} generated images"
        lines = [
            f"features of {self.feature_network} ({self.feature_width} wide), {counts}",
            f"  Frechet distance (FID)  {self.frechet_distance:.4f}",
            f"  kernel distance (KID)   {self.kernel_distance.value:.6f}" + (f" +- {error:.6f}" if error else ""),
        ]
        if min(self.real_count, self.generated_count) <= self.feature_width:
            lines.append("  (no more images than features: the covariances are singular and the FID is biased upwards)")
        if self.inception_score is not None:
            lines.append(f"  Inception Score         {self.inception_score:.4f}")
        if self.structural_similarity is not None:
            lines.append(f"  SSIM                    {self.structural_similarity:.4f}")
        if self.peak_signal_to_noise_ratio is not None:
            lines.append(f"  PSNR                    {self.peak_signal_to_noise_ratio:.2f} dB")
        if self.identical_pairs:
            lines.append(f"  ({self.identical_pairs} generated images are identical to their reference)")
        return "\n".join(lines)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with unbiased covariances.

    With the centered features A1 and A2 divided by sqrt(n - 1), S = A^T A, and Tr (S1 S2)^(1/2) is the sum of the
    singular values of A1 A2^T. That needs no matrix root and works with fewer images than features.

    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.

    Args:
        real: features (n1, width), n1 >= 2.
        generated: features (n2, width), n2 >= 2.

    Returns:
        The distance, not below 0.

    Raises:
        ScoreError: unequal widths, fewer than two rows, NaN or infinite features.
    """
    real, generated = _feature_pair(real, generated)
    mean_distance = np.sum((real.mean(0) - generated.mean(0)) ** 2)
    first, second = _covariance_root(real), _covariance_root(generated)
    cross = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return max(float(mean_distance + np.sum(first**2) + np.sum(second**2) - 2.0 * cross), 0.0)


def kernel_distance(real: np.ndarray, generated: np.ndarray, block_size: int = 1024) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / width + 1)^3, averaged over blocks.

    Both sets are cut into equally many blocks of nearly equal size, none above `block_size`, in the order given, so
    the rows must be in random order.

    Source: Binkowski et al. 2018, "Demystifying MMD GANs"; the blocks are those of Zaremba et al. 2013, "B-test".

    Args:
        real: features (n1, width).
        generated: features (n2, width).
        block_size: the most rows a block.

    Raises:
        ScoreError: unequal widths, a block with fewer than two rows, NaN or infinite features.
    """
    real, generated = _feature_pair(real, generated)
    if block_size < 2:
        raise ScoreError(f"a kernel distance needs blocks of at least 2 rows, not block_size={block_size}")
    blocks = math.ceil(max(len(real), len(generated)) / block_size)
    fewest = min(len(real), len(generated))
    if fewest // blocks < 2:
        raise ScoreError(
            f"{fewest} rows do not fill {blocks} blocks of at least 2: take more images or block_size over {block_size}"
        )
    estimates = [
        _squared_discrepancy(first, second)
        for first, second in zip(_blocks(real, blocks), _blocks(generated, blocks), strict=True)
    ]
    error = float(np.std(estimates, ddof=1) / math.sqrt(blocks)) if blocks > 1 else None
    return KernelDistance(float(np.mean(estimates)), error, blocks)


def inception_score_from_logits(logits: np.ndarray) -> float:
    """exp of the mean over images of KL(p(y|x) || p(y)), p(y|x) = softmax(logits), p(y) their mean.

    Source: Salimans et al. 2016, "Improved Techniques for Training GANs".

    Args:
        logits: (n, K), n >= 2.

    Returns:
        Between 1 and K.

    Raises:
        ScoreError: fewer than two rows, fewer than two classes, NaN or infinite logits.
    """
    logits = _classes("logits", logits)
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return _inception_score(np.exp(log_probabilities), log_probabilities)


def inception_score_from_probabilities(probabilities: np.ndarray) -> float:
    """`inception_score_from_logits` of probabilities.

    Args:
        probabilities: (n, K), n >= 2, rows in [0, 1] that add up to 1 (to 1e-2, as bfloat16 gives them; they are
            divided by their sum).

    Raises:
        ScoreError: as above, or rows that are no probabilities.
    """
    probabilities = _classes("probabilities", probabilities)
    sums = probabilities.sum(1, keepdims=True)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-2:
        raise ScoreError(
            "probabilities must be at least 0 and add up to 1 in every row; for logits there is another function"
        )
    probabilities = probabilities / sums
    with np.errstate(divide="ignore"):
        return _inception_score(probabilities, np.log(probabilities))


def structural_similarity(
    first: np.ndarray, second: np.ndarray, pixel_range: str | None = None, window: int = 11, sigma: float = 1.5
) -> np.ndarray:
    """SSIM of every pair: the mean over positions and channels of

    (2 m1 m2 + C1)(2 s12 + C2) / ((m1^2 + m2^2 + C1)(s1^2 + s2^2 + C2)),

    with Gaussian-weighted local means, variances and covariance, C1 = (0.01 L)^2 and C2 = (0.03 L)^2. Only positions
    where the window lies inside the image count. It is not defined on negative pixels, so all are mapped to [0, 1]
    first and L = 1.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity".

    Args:
        first: (n, height, width, channels), both sides at least `window`.
        second: same shape.
        pixel_range: of float images, a key of `kerasfer.faces.PIXEL_RANGES`; None for bytes.
        window: side of the window in pixels, odd.
        sigma: of the Gaussian in pixels.

    Returns:
        float64 (n,), 1 for identical images.

    Raises:
        ScoreError: unequal shapes, too small images, no images, NaN or infinite pixels, pixels outside their range,
            an even window.
    """
    low, length = _image_pair(first, second, pixel_range)
    if window < 1 or window % 2 == 0:
        raise ScoreError(f"the SSIM window must be odd, not {window}")
    if min(np.shape(first)[1:3]) < window:
        raise ScoreError(f"SSIM with a window of {window} pixels needs larger images than {np.shape(first)[1:3]}")
    offsets = np.arange(window) - window // 2
    kernel = np.exp(-(offsets**2) / (2.0 * sigma**2))
    kernel /= kernel.sum()
    stable_mean, stable_variance = 0.01**2, 0.03**2
    values = np.empty(len(first))
    for index, (x, y) in enumerate(zip(first, second, strict=True)):
        x, y = (np.asarray(x, np.float64) - low) / length, (np.asarray(y, np.float64) - low) / length
        x_mean, y_mean = _smooth(x, kernel), _smooth(y, kernel)
        x_variance = _smooth(x * x, kernel) - x_mean**2
        y_variance = _smooth(y * y, kernel) - y_mean**2
        covariance = _smooth(x * y, kernel) - x_mean * y_mean
        luminance = (2 * x_mean * y_mean + stable_mean) / (x_mean**2 + y_mean**2 + stable_mean)
        structure = (2 * covariance + stable_variance) / (x_variance + y_variance + stable_variance)
        values[index] = np.mean(luminance * structure)
    return values


def peak_signal_to_noise_ratio(first: np.ndarray, second: np.ndarray, pixel_range: str | None = None) -> np.ndarray:
    """10 log10(L^2 / mean squared error) of every pair, in dB, with L the length of the pixels' range.

    Args:
        first: (n, height, width, channels).
        second: same shape.
        pixel_range: as in `structural_similarity`.

    Returns:
        float64 (n,); infinite for identical images.

    Raises:
        ScoreError: unequal shapes, no images, NaN or infinite pixels, pixels outside their range.
    """
    _, length = _image_pair(first, second, pixel_range)
    errors = np.array([np.mean((np.asarray(x, np.float64) - y) ** 2) for x, y in zip(first, second, strict=True)])
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(length**2 / errors)


def evaluate_synthesis(
    real: np.ndarray,
    generated: np.ndarray,
    feature_network: FeatureNetwork,
    references: np.ndarray | None = None,
    pixel_range: str | None = None,
    batch_size: int = 64,
    block_size: int = 1024,
    seed: int = 0,
) -> SynthesisReport:
    """Compares generated images with real ones.

    Args:
        real: (n1, height, width, channels), in the form that `feature_network` takes.
        generated: (n2, height, width, channels), the same form.
        feature_network: what makes the features.
        references: for every generated image the real one that it should equal, same shape as `generated`; gives SSIM
            and PSNR.
        pixel_range: for SSIM and PSNR of float images, a key of `kerasfer.faces.PIXEL_RANGES`; None for bytes.
        batch_size: images that go through the network at a time.
        block_size: of the kernel distance.
        seed: of the shuffle before the kernel distance's blocks are cut.

    Raises:
        ScoreError: fewer than two images on a side, images or features of unequal shapes, NaN or infinite values.
    """
    for name, images in (("real", real), ("generated", generated)):
        if len(images) < 2:
            raise ScoreError(f"the distances need at least 2 {name} images, got {len(images)}")
    real_features = _in_batches(feature_network.features, real, batch_size, feature_network.name)
    generated_features = _in_batches(feature_network.features, generated, batch_size, feature_network.name)
    frechet = frechet_distance(real_features, generated_features)
    generator = np.random.default_rng(seed)
    kernel = kernel_distance(
        real_features[generator.permutation(len(real_features))],
        generated_features[generator.permutation(len(generated_features))],
        block_size,
    )
    inception = similarity = ratio = None
    identical = 0
    if feature_network.probabilities is not None:
        probabilities = _in_batches(feature_network.probabilities, generated, batch_size, feature_network.name)
        inception = inception_score_from_probabilities(probabilities)
    if references is not None:
        similarity = float(structural_similarity(references, generated, pixel_range).mean())
        ratios = peak_signal_to_noise_ratio(references, generated, pixel_range)
        finite = ratios[np.isfinite(ratios)]
        identical = len(ratios) - len(finite)
        ratio = float(finite.mean()) if len(finite) else None
    return SynthesisReport(
        feature_network=feature_network.name,
        feature_width=real_features.shape[1],
        real_count=len(real_features),
        generated_count=len(generated_features),
        frechet_distance=frechet,
        kernel_distance=kernel,
        inception_score=inception,
        structural_similarity=similarity,
        peak_signal_to_noise_ratio=ratio,
        identical_pairs=identical,
    )


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """A with A^T A = the unbiased covariance; as few rows as possible."""
    root = (features - features.mean(0)) / math.sqrt(len(features) - 1)
    return np.linalg.qr(root, mode="r") if len(root) > root.shape[1] else root


def _blocks(features: np.ndarray, count: int) -> list[np.ndarray]:
    """Cuts rows into `count` blocks; the last ones get a row more where it does not come out even."""
    size, larger = divmod(len(features), count)
    bounds = np.cumsum([0] + [size] * (count - larger) + [size + 1] * larger)
    return [features[start:stop] for start, stop in itertools.pairwise(bounds)]


def _squared_discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    width = first.shape[1]

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / width + 1.0) ** 3

    def mean_of_distinct(x: np.ndarray) -> float:
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return mean_of_distinct(first) + mean_of_distinct(second) - 2.0 * kernel(first, second).mean()


def _inception_score(probabilities: np.ndarray, log_probabilities: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = probabilities * (log_probabilities - np.log(probabilities.mean(0)))
    return float(np.exp(np.where(probabilities > 0, terms, 0.0).sum(1).mean()))


def _smooth(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlates (height, width, channels) with kernel x kernel; only where the window lies inside."""
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(image, len(kernel), axis=axis)
        image = windows @ kernel
    return image


def _in_batches(network: Callable[[np.ndarray], Any], images: np.ndarray, batch_size: int, name: str) -> np.ndarray:
    if batch_size < 1:
        raise ScoreError(f"batch_size must be at least 1, not {batch_size}")
    outputs = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        output = np.asarray(network(batch))
        if output.ndim != 2 or len(output) != len(batch):
            raise ScoreError(
                f"{name} gave shape {output.shape} for {len(batch)} images; ({len(batch)}, width) is needed"
            )
        if outputs and output.shape[1] != outputs[0].shape[1]:
            raise ScoreError(f"{name} gave {outputs[0].shape[1]} features an image, then {output.shape[1]}")
        outputs.append(output)
    return np.concatenate(outputs)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2:
        raise ScoreError(f"{name} must have shape (n, width), got {values.shape}")
    if len(values) < 2:
        raise ScoreError(f"{name}: a score needs at least 2 rows, got {len(values)}")
    if not np.isfinite(values).all():
        raise ScoreError(f"{name}: row {int(np.argmax(~np.isfinite(values).all(1)))} holds a NaN or infinite number")
    return values


def _feature_pair(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, generated = _matrix("real features", real), _matrix("generated features", generated)
    if real.shape[1] != generated.shape[1] or not real.shape[1]:
        raise ScoreError(
            f"real features are {real.shape[1]} wide, generated ones {generated.shape[1]}: take both from one network"
        )
    return real, generated


def _classes(name: str, values: np.ndarray) -> np.ndarray:
    values = _matrix(name, values)
    if values.shape[1] < 2:
        raise ScoreError(f"{name}: a score needs at least 2 classes, got {values.shape[1]}")
    return values


def _image_pair(first: np.ndarray, second: np.ndarray, pixel_range: str | None) -> tuple[float, float]:
    """Checks a pair of image arrays; the lowest pixel value and the length of the range."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 4 or not first.size:
        raise ScoreError(
            f"images must be two arrays of one shape (n, height, width, channels), got {first.shape} and {second.shape}"
        )
    are_bytes = first.dtype == np.uint8 and second.dtype == np.uint8
    if are_bytes == (pixel_range is not None) or not (are_bytes or pixel_range in PIXEL_RANGES):
        raise ScoreError(
            f"images of {first.dtype} and {second.dtype} with pixel_range {pixel_range}: take bytes and None, "
            f"or floats and one of {', '.join(PIXEL_RANGES)}"
        )
    low, high = (0.0, 255.0) if are_bytes else PIXEL_RANGES[pixel_range]
    margin = 1e-2 * (high - low)
    for images in (first, second):
        if not np.isfinite(images).all():
            raise ScoreError("an image holds a NaN or infinite pixel")
        if images.min() < low - margin or images.max() > high + margin:
            raise ScoreError(f"pixels from {images.min()} to {images.max()} are not in the range {pixel_range}")
    return low, high - low

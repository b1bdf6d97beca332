"""Writes the golden files of tests/golden from tensorflow-addons and tensorflow-gan.

Neither of the two imports beside Keras 3, so this script runs in an environment of its own (Python 3.11):

    python3.11 -m venv .venv-reference
    .venv-reference/bin/pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 tensorflow-gan==2.1.0 \
        tensorflow-probability==0.23.0
    .venv-reference/bin/python scripts/reference_values.py

Every file holds the packages' versions, the formula that makes the inputs, the inputs' parameters and the values that
the package computed. tests/test_golden.py rebuilds the inputs and compares kerasfer with the values.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kerasfer.files import atomic_write  # noqa: E402

FORMULA = (
    "float32(offset + scale * sin(step * i * i + phase)), i = 0, 1, ... in C order of shape, in float64 before the cast"
)
PACKAGES = ("tensorflow", "tensorflow-addons", "tensorflow-gan", "tensorflow-probability", "numpy")


def parameters(*shape: int, scale: float = 1.0, step: float = 0.37, phase: float = 0.0, offset: float = 0.0) -> dict:
    """What a golden file says of an input."""
    return {"shape": list(shape), "scale": scale, "step": step, "phase": phase, "offset": offset}


def build(spec: dict[str, Any]) -> np.ndarray:
    """The array of `parameters`, by `FORMULA`."""
    index = np.arange(np.prod(spec["shape"]), dtype=np.float64)
    values = spec["offset"] + spec["scale"] * np.sin(spec["step"] * index * index + spec["phase"])
    return values.reshape(spec["shape"]).astype(np.float32)


def plain(value: Any) -> Any:
    """Tensors and arrays as nested lists of numbers with ten digits."""
    array = np.asarray(value, np.float64)
    if array.ndim:
        return [plain(item) for item in array]
    return float(f"{float(array):.10g}")


def instance_norm() -> list[dict[str, Any]]:
    """`tfa.layers.InstanceNormalization` (group normalization with one group a channel): outputs and gradients."""
    import tensorflow as tf
    import tensorflow_addons as tfa

    cases = []
    for name, epsilon, affine, offset in (
        ("affine, epsilon 1e-3", 1e-3, True, 0.0),
        ("plain, epsilon 1e-5", 1e-5, False, 0.0),
        ("affine, mean far from zero", 1e-3, True, 7.0),
    ):
        inputs = {
            "images": parameters(2, 4, 5, 3, scale=1.5, offset=offset),
            "gamma": parameters(3, scale=0.5, phase=0.4, offset=1.0),
            "beta": parameters(3, scale=0.3, phase=1.1),
            "weights": parameters(2, 4, 5, 3, step=0.53, phase=0.2),
        }
        layer = tfa.layers.InstanceNormalization(epsilon=epsilon, center=affine, scale=affine)
        images = tf.constant(build(inputs["images"]))
        layer.build(images.shape)
        if affine:
            layer.gamma.assign(build(inputs["gamma"]))
            layer.beta.assign(build(inputs["beta"]))
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            total = tf.reduce_sum(outputs * build(inputs["weights"]))
        gradients = tape.gradient(total, [images, *layer.trainable_variables])
        values = {"outputs": plain(outputs), "gradient_of_images": plain(gradients[0])}
        if affine:
            names = [variable.name.split("/")[-1].split(":")[0] for variable in layer.trainable_variables]
            values |= {f"gradient_of_{key}": plain(value) for key, value in zip(names, gradients[1:], strict=True)}
        cases.append({"name": name, "epsilon": epsilon, "affine": affine, "inputs": inputs, "values": values})
    return cases


def spectral_norm() -> list[dict[str, Any]]:
    """`tfa.layers.SpectralNormalization`: kernel, u vector and outputs after two calls in training."""
    import tensorflow as tf
    import tensorflow_addons as tfa

    cases = []
    for name, shape, kernel_shape, power_iterations in (
        ("dense 6 -> 4", (5, 6), (6, 4), 1),
        ("convolution 3x3, 2 -> 4, three power iterations", (2, 4, 4, 2), (3, 3, 2, 4), 3),
    ):
        inputs = {
            "data": parameters(*shape, phase=0.3),
            "kernel": parameters(*kernel_shape, scale=0.8, step=0.61, phase=0.9),
            "u": parameters(1, 4, scale=0.02, phase=0.5, offset=0.005),
        }
        if len(kernel_shape) == 2:
            inner = tf.keras.layers.Dense(4, use_bias=False)
        else:
            inner = tf.keras.layers.Conv2D(4, 3, use_bias=False)
        layer = tfa.layers.SpectralNormalization(inner, power_iterations=power_iterations)
        data = tf.constant(build(inputs["data"]))
        layer.build(data.shape)
        layer.w.assign(build(inputs["kernel"]))
        layer.u.assign(build(inputs["u"]))
        values = {}
        for call in (1, 2):
            outputs = layer(data, training=True)
            values |= {f"kernel_{call}": plain(layer.w), f"u_{call}": plain(layer.u), f"outputs_{call}": plain(outputs)}
        cases.append({"name": name, "power_iterations": power_iterations, "inputs": inputs, "values": values})
    return cases


def gan_losses() -> list[dict[str, Any]]:
    """Means over a batch of TF-GAN's Wasserstein, minimax and modified losses."""
    from tensorflow_gan.python.losses import losses_impl

    cases = []
    for name, scale in (("moderate scores", 2.0), ("extreme scores", 60.0)):
        inputs = {
            "real": parameters(7, 1, scale=scale, phase=0.7),
            "fake": parameters(7, 1, scale=scale, step=0.71, phase=0.2),
        }
        real, fake = build(inputs["real"]), build(inputs["fake"])
        values = {
            "wasserstein_discriminator": losses_impl.wasserstein_discriminator_loss(real, fake),
            "wasserstein_generator": losses_impl.wasserstein_generator_loss(fake),
            "minimax_discriminator": losses_impl.minimax_discriminator_loss(real, fake, label_smoothing=0.0),
            "minimax_discriminator_smoothing_0.25": losses_impl.minimax_discriminator_loss(
                real, fake, label_smoothing=0.25
            ),
            "minimax_generator": losses_impl.minimax_generator_loss(fake),
            "modified_discriminator": losses_impl.modified_discriminator_loss(real, fake, label_smoothing=0.0),
            "modified_generator": losses_impl.modified_generator_loss(fake),
        }
        cases.append({"name": name, "inputs": inputs, "values": {key: plain(value) for key, value in values.items()}})
    return cases


def penalty_of(arrays: dict[str, np.ndarray], target: float) -> float:
    """TF-GAN's gradient penalty of the critic sum(weights * x * x + sin(x)) with the written alpha."""
    import tensorflow as tf
    from tensorflow_gan.python.losses import losses_impl

    def critic(images: tf.Tensor, _: None) -> tf.Tensor:
        return tf.reduce_sum(images * images * arrays["weights"] + tf.sin(images), axis=[1, 2, 3])

    def draw(shape: list[int]) -> tf.Tensor:
        return tf.reshape(tf.constant(arrays["alpha"]), shape)

    with tf.Graph().as_default(), mock.patch.object(tf.random, "uniform", draw):
        real, fake = tf.constant(arrays["real"]), tf.constant(arrays["fake"])
        penalty = losses_impl.wasserstein_gradient_penalty(real, fake, None, critic, "critic", target=target)
        with tf.compat.v1.Session() as session:
            return session.run(penalty)


def gradient_penalty() -> list[dict[str, Any]]:
    """TF-GAN's `wasserstein_gradient_penalty` with its random draw replaced by a written one."""
    cases = []
    for name, target, scale in (("target 1", 1.0, 0.1), ("steep critic", 1.0, 2.0), ("target 2", 2.0, 0.5)):
        inputs = {
            "real": parameters(3, 4, 4, 2, phase=0.1),
            "fake": parameters(3, 4, 4, 2, step=0.59, phase=0.8),
            "alpha": parameters(3, scale=0.5, phase=0.3, offset=0.5),
            "weights": parameters(4, 4, 2, scale=scale, step=0.47, phase=0.6),
        }
        value = penalty_of({key: build(spec) for key, spec in inputs.items()}, target)
        cases.append(
            {
                "name": name,
                "critic": "sum over height, width and channels of weights * x * x + sin(x)",
                "target": target,
                "inputs": inputs,
                "values": {"penalty": plain(value)},
            }
        )
    return cases


def feature_cases() -> list[tuple[str, dict[str, Any]]]:
    """Pairs of feature arrays on which the distances are compared."""
    return [
        (
            "same width, other mean and spread",
            {"real": parameters(60, 8), "generated": parameters(60, 8, scale=1.3, step=0.53, offset=0.2)},
        ),
        (
            "unequal numbers of examples",
            {"real": parameters(90, 6, phase=0.2), "generated": parameters(47, 6, scale=0.7, step=0.83, offset=-0.4)},
        ),
        (
            "fewer examples than features",
            {"real": parameters(9, 20, phase=0.4), "generated": parameters(7, 20, step=0.41, offset=0.1)},
        ),
        ("identical", {"real": parameters(40, 5), "generated": parameters(40, 5)}),
    ]


def frechet_distance() -> list[dict[str, Any]]:
    """TF-GAN's `frechet_classifier_distance_from_activations` in float64."""
    from tensorflow_gan.python.eval import classifier_metrics

    cases = []
    for name, inputs in feature_cases():
        real, generated = (build(inputs[key]).astype(np.float64) for key in ("real", "generated"))
        value = classifier_metrics.frechet_classifier_distance_from_activations(real, generated)
        cases.append({"name": name, "inputs": inputs, "values": {"distance": plain(value)}})
    return cases


def kernel_distance() -> list[dict[str, Any]]:
    """TF-GAN's `kernel_classifier_distance_and_std_from_activations` in float64; no error with a single block."""
    import tensorflow as tf
    from tensorflow_gan.python.eval import classifier_metrics

    cases = []
    for name, inputs in feature_cases():
        for block_size in (1024, 16):
            real, generated = (tf.constant(build(inputs[key]), tf.float64) for key in ("real", "generated"))
            value, error = classifier_metrics.kernel_classifier_distance_and_std_from_activations(
                real, generated, max_block_size=block_size
            )
            values = {"distance": plain(value), "standard_error": None if np.isnan(error) else plain(error)}
            cases.append({"name": name, "block_size": block_size, "inputs": inputs, "values": values})
    return cases


def classifier_score() -> list[dict[str, Any]]:
    """TF-GAN's `classifier_score_from_logits` (the Inception Score) in float64."""
    import tensorflow as tf
    from tensorflow_gan.python.eval import classifier_metrics

    cases = []
    for name, scale in (("unsure", 0.3), ("mixed", 2.0), ("certain", 40.0)):
        inputs = {"logits": parameters(50, 8, scale=scale, phase=0.6)}
        value = classifier_metrics.classifier_score_from_logits(tf.constant(build(inputs["logits"]), tf.float64))
        cases.append({"name": name, "inputs": inputs, "values": {"score": plain(value)}})
    return cases


GOLDEN = {
    "instance_norm": instance_norm,
    "spectral_norm": spectral_norm,
    "gan_losses": gan_losses,
    "gradient_penalty": gradient_penalty,
    "frechet_distance": frechet_distance,
    "kernel_distance": kernel_distance,
    "classifier_score": classifier_score,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "tests" / "golden",
        metavar="FOLDER",
        help="where the JSON files go (default: tests/golden)",
    )
    folder = parser.parse_args().output
    try:
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        print(f"reference_values: {error.name} is not installed; see the commands in --help", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for name, compute in GOLDEN.items():
        content = {
            "written_by": "scripts/reference_values.py",
            "source": " ".join(compute.__doc__.split()),
            "packages": {"python": platform.python_version(), **versions},
            "formula": FORMULA,
            "cases": compute(),
        }
        path = folder / f"{name}.json"
        atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())
        print(f"{path.name}: {len(content['cases'])} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())

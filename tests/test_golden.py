"""kerasfer against the values that tensorflow-addons and tensorflow-gan computed (scripts/reference_values.py)."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasfer import losses
from kerasfer.evaluation import synthesis
from kerasfer.layers import InstanceNormalization

GOLDEN = Path(__file__).parent / "golden"


def cases(name: str) -> list:
    content = json.loads((GOLDEN / f"{name}.json").read_text())
    return [pytest.param(case, id=case["name"]) for case in content["cases"]]


def build(case: dict) -> dict[str, np.ndarray]:
    """The inputs by the formula in the file: float32(offset + scale * sin(step * i * i + phase))."""
    arrays = {}
    for key, spec in case["inputs"].items():
        index = np.arange(np.prod(spec["shape"]), dtype=np.float64)
        values = spec["offset"] + spec["scale"] * np.sin(spec["step"] * index * index + spec["phase"])
        arrays[key] = values.reshape(spec["shape"]).astype(np.float32)
    return arrays


@pytest.mark.parametrize(
    "name",
    [
        "classifier_score",
        "frechet_distance",
        "gan_losses",
        "gradient_penalty",
        "instance_norm",
        "kernel_distance",
        "spectral_norm",
    ],
)
def test_every_file_names_its_packages(name):
    content = json.loads((GOLDEN / f"{name}.json").read_text())
    assert content["packages"]["tensorflow-addons"] == "0.23.0"
    assert content["packages"]["tensorflow-gan"] == "2.1.0"
    assert content["packages"]["tensorflow"] == "2.15.1"
    assert content["cases"]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", cases("instance_norm"))
def test_instance_normalization(case, training):
    arrays, expected = build(case), case["values"]
    layer = InstanceNormalization(epsilon=case["epsilon"], affine=case["affine"])
    images = tf.constant(arrays["images"])
    layer.build(images.shape)
    if case["affine"]:
        layer.gamma.assign(arrays["gamma"])
        layer.beta.assign(arrays["beta"])
    weights = [layer.gamma, layer.beta] if case["affine"] else []
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
        total = tf.reduce_sum(outputs * arrays["weights"])
    gradients = tape.gradient(total, [images, *(weight.value for weight in weights)])
    close = {"rtol": 1e-4, "atol": 2e-5}
    np.testing.assert_allclose(outputs, expected["outputs"], **close)
    np.testing.assert_allclose(gradients[0], expected["gradient_of_images"], **close)
    if case["affine"]:
        np.testing.assert_allclose(gradients[1], expected["gradient_of_gamma"], **close)
        np.testing.assert_allclose(gradients[2], expected["gradient_of_beta"], **close)


@pytest.mark.parametrize("case", cases("spectral_norm"))
def test_spectral_normalization_of_keras(case):
    """Keras' own layer takes the place of tensorflow-addons'."""
    arrays, expected = build(case), case["values"]
    if arrays["kernel"].ndim == 2:
        inner = keras.layers.Dense(4, use_bias=False)
    else:
        inner = keras.layers.Conv2D(4, 3, use_bias=False)
    layer = keras.layers.SpectralNormalization(inner, power_iterations=case["power_iterations"])
    layer.build(arrays["data"].shape)
    layer.kernel.assign(arrays["kernel"])
    layer.vector_u.assign(arrays["u"])
    for call in (1, 2):
        outputs = layer(arrays["data"], training=True)
        np.testing.assert_allclose(layer.kernel.value, expected[f"kernel_{call}"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.vector_u.value, expected[f"u_{call}"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs, expected[f"outputs_{call}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", cases("gan_losses"))
def test_gan_losses(case):
    arrays, expected = build(case), case["values"]
    real, fake = arrays["real"], arrays["fake"]
    constant = np.log(1 / (1 + np.exp(-1.0)))
    actual = {
        "wasserstein_discriminator": losses.wasserstein_critic_loss(real, fake),
        "wasserstein_generator": losses.wasserstein_generator_loss(fake),
        "minimax_discriminator": losses.minimax_discriminator_loss(real, fake),
        "minimax_discriminator_smoothing_0.25": losses.minimax_discriminator_loss(real, fake, real_target=0.875),
        "minimax_generator": losses.minimax_generator_loss(fake) + constant,
        "modified_discriminator": losses.minimax_discriminator_loss(real, fake),
        "modified_generator": losses.non_saturating_generator_loss(fake),
    }
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        assert float(tf.reduce_mean(value)) == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("case", cases("gradient_penalty"))
def test_gradient_penalty(case):
    arrays = build(case)

    def critic(points):
        return tf.reduce_sum(points * points * arrays["weights"] + tf.sin(points), axis=[1, 2, 3])

    penalty = losses.gradient_penalty(critic, arrays["real"], arrays["fake"], arrays["alpha"], case["target"])
    assert float(tf.reduce_mean(penalty)) == pytest.approx(case["values"]["penalty"], rel=1e-5)


@pytest.mark.parametrize("case", cases("frechet_distance"))
def test_frechet_distance(case):
    arrays = build(case)
    actual = synthesis.frechet_distance(arrays["real"], arrays["generated"])
    assert actual == pytest.approx(case["values"]["distance"], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("case", cases("kernel_distance"))
def test_kernel_distance(case):
    arrays, expected = build(case), case["values"]
    actual = synthesis.kernel_distance(arrays["real"], arrays["generated"], block_size=case["block_size"])
    assert actual.value == pytest.approx(expected["distance"], rel=1e-8, abs=1e-10)
    if expected["standard_error"] is None:
        assert actual.standard_error is None
    else:
        assert actual.standard_error == pytest.approx(expected["standard_error"], rel=1e-7)


@pytest.mark.parametrize("case", cases("classifier_score"))
def test_inception_score(case):
    logits = build(case)["logits"].astype(np.float64)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = pytest.approx(case["values"]["score"], rel=1e-9)
    assert synthesis.inception_score_from_logits(logits) == expected
    assert synthesis.inception_score_from_probabilities(probabilities) == expected

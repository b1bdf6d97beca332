"""Wild: the losses by hand, what moves, how it starts, and what its answers presume."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, moved, noise_table

from kerasfer.data import Augmentation
from kerasfer.data.kinds import ImagesWithMovements
from kerasfer.expressions import FERPLUS8
from kerasfer.faces import BLENDSHAPES, MIRRORED_BLENDSHAPES, ImageSpec
from kerasfer.models.base import ConfigError
from kerasfer.models.ipdfer import IPDFER, IPDFERConfig
from kerasfer.models.wild import Wild, WildConfig
from kerasfer.priors import adjusted, prior_weights

CONFIG = WildConfig.tiny().replace(seed=3)
SHARES = (0.3, 0.3, 0.1, 0.1, 0.1, 0.04, 0.04, 0.02)


def model_of(**fields) -> Wild:
    model = Wild(CONFIG.replace(**fields))
    model.compile(total_steps=10)
    return model


def batch_of(config: WildConfig) -> dict[str, tf.Tensor]:
    return next(iter(make_batches("images_with_movements", config, count=8).epoch(0)))


def recognizer_beside(**fields) -> IPDFER:
    """A baseline of IPD-FER with both networks, whose answers differ from face to face."""
    config = IPDFERConfig.tiny().replace(
        variant="baseline",
        identity="dlib_resnet",
        expression_networks=("identity", "fine"),
        encoder_size=71,
        encoder_blocks=11,
        encoder_norm=True,
        fine_width=4,
    )
    other = IPDFER(config.replace(**fields))
    read = other.networks["expression_classifier"].get_layer("fc")
    read.kernel.assign(np.random.default_rng(5).normal(0, 3, read.kernel.shape))
    return other


def test_the_losses_by_hand():
    """Labels adjusted by the classes' shares, movements where they are known, both over the whole batch."""
    model = model_of(training_prior=SHARES, adjustment=0.8, lambda_movements=2.0)
    batch = {name: value.numpy() for name, value in batch_of(model.config).items()}
    batch["label"][1] = 0.0
    batch["movements"][2] = np.nan
    features = model._features(batch["image"], training=True)
    logits = model.networks["head"](features).numpy().astype(np.float64) + 0.8 * np.log(SHARES)
    of_labels = -(batch["label"] * (logits - np.log(np.exp(logits).sum(1, keepdims=True)))).sum(1)
    moves = model.networks["movements"](features).numpy().astype(np.float64)
    scores = np.nan_to_num(batch["movements"])
    distances = (np.log1p(np.exp(moves)) - scores * moves).mean(1)
    distances[2] = 0.0
    found = model.train_step({name: tf.constant(value) for name, value in batch.items()})
    assert float(found["labels"]) == pytest.approx(of_labels.mean(), rel=1e-4)
    assert float(found["movements"]) == pytest.approx(2.0 * distances.mean(), rel=1e-4)


def test_all_but_the_expert_learns():
    model = model_of()
    batch = batch_of(model.config)
    assert moved(model, lambda: model.train_step(batch)) == {"body", "fine", "head", "movements"}


def test_the_answer_is_the_head_and_a_share_of_the_expert():
    model = model_of(expert_share=0.25, temperature=0.5)
    for layer in ("expert_hidden", "expert"):
        layer = model.networks["expert"].get_layer(layer)
        layer.kernel.assign(np.random.default_rng(4).normal(size=layer.kernel.shape))
    faces = batch_of(model.config)["image"]
    features = model._features(faces)
    judged = model.networks["expert"](model.networks["movements"](features))
    logits = (model.networks["head"](features) + 0.25 * judged) / 0.5
    np.testing.assert_allclose(model.recognizer()(faces), tf.nn.softmax(logits), atol=1e-5)
    scores = model.movement_scores()(faces)
    np.testing.assert_allclose(scores, tf.sigmoid(model.networks["movements"](features)), atol=1e-5)


def test_it_starts_as_an_ipdfer_sees():
    """Its answers are then those of the other, but for what the expert adds."""
    other = recognizer_beside()
    model = model_of(body_blocks=11, expert_share=0.0)
    model.start_from(other)
    faces = batch_of(model.config)["image"]
    np.testing.assert_allclose(model.recognizer()(faces), other.recognizer()(faces), atol=1e-5)
    with pytest.raises(ConfigError):
        model_of(body_blocks=12).start_from(other)


@pytest.mark.slow
def test_blending_goes_back_to_the_start():
    """At a share of 1 the answers are the other's, balanced; at 0 nothing changes; halfway the weights are means."""
    other = recognizer_beside(temperature=2.0, training_prior=SHARES)
    model = model_of(body_blocks=11, expert_share=0.0, training_prior=SHARES)
    before = [weight.numpy() for weight in model.networks["head"].weights]
    model.blend(other, 0.0)
    np.testing.assert_array_equal(model.networks["head"].weights[0], before[0])
    half = model_of(body_blocks=11, expert_share=0.0, training_prior=SHARES)
    half.blend(other, 0.5)
    model.blend(other, 1.0)
    ends = zip(half.networks["head"].weights, before, model.networks["head"].weights, strict=True)
    for middle, first, last in ends:
        np.testing.assert_allclose(middle, (first + last) / 2, atol=1e-6)
    faces = batch_of(model.config)["image"]
    expected = adjusted(np.asarray(other.recognizer()(faces)), prior_weights("balanced", FERPLUS8.labels, SHARES))
    np.testing.assert_allclose(model.recognizer()(faces), expected, atol=1e-5)
    for share, of in ((1.5, other), (0.5, IPDFER(IPDFERConfig.tiny().replace(expressions=("a", "b"))))):
        with pytest.raises(ConfigError):
            model.blend(of, share)


def test_the_expert_is_fitted_before_the_first_step():
    model = model_of()
    before = [weight.numpy() for weight in model.networks["expert"].weights]
    generator = np.random.default_rng(6)
    columns = {
        "movements": generator.uniform(0, 0.3, (60, len(BLENDSHAPES))).astype(np.float32),
        "label": np.eye(8, dtype=np.float32)[np.arange(60) % 8],
    }
    model.adapt(columns)
    after = [weight.numpy() for weight in model.networks["expert"].weights]
    assert all((one != other).any() for one, other in zip(before, after))


@pytest.mark.parametrize(("answered", "left"), [(1.0, [1 / 8] * 8), (0.0, SHARES)])
def test_what_the_answers_presume(answered, left):
    """And they are the trained answers with so much of the frequencies put back."""
    model = Wild(CONFIG.replace(training_prior=SHARES, answered=answered, expert_share=0.0))
    faces = batch_of(model.config)["image"]
    logits = model.networks["head"](model._features(faces)) + (1 - answered) * np.log(SHARES)
    np.testing.assert_allclose(model.recognizer()(faces), tf.nn.softmax(logits), atol=1e-5)
    assert model.training_prior == pytest.approx(left, abs=1e-5)
    assert model.recognizer().training_prior == pytest.approx(left, abs=1e-5)
    assert Wild(CONFIG).training_prior == ()


def test_a_class_that_nobody_showed_stays_one():
    shares = (0.5, 0.5, 0, 0, 0, 0, 0, 0)
    assert Wild(CONFIG.replace(training_prior=shares)).training_prior == pytest.approx(shares)


def test_movements_are_mirrored_with_their_image():
    def gathered(flip: float) -> list[np.ndarray]:
        augmentation = Augmentation(margin=0.0, flip=flip, shift=1e-9)
        spec = ImageSpec(32, 1, "signed")
        return ImagesWithMovements(noise_table(8, 32), spec, FERPLUS8, 4, seed=7, augmentation=augmentation)._gather(
            0, np.int64(0)
        )

    turned, plain = gathered(1.0), gathered(0.0)
    np.testing.assert_array_equal(turned[2], plain[2][:, list(MIRRORED_BLENDSHAPES)])
    np.testing.assert_array_equal(turned[0], plain[0][:, :, ::-1])


@pytest.mark.parametrize(
    "field", [{"adjustment": 1.5}, {"answered": -0.5}, {"lambda_movements": -1.0}, {"expert_share": -0.1}]
)
def test_fields_out_of_range(field):
    with pytest.raises(ConfigError):
        CONFIG.replace(**field)

"""G2-FER: Table II, equations worked out by hand, routes of the gradient, landmarks and what is drawn from them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import face_landmarks, make_batches, moved

from kerasfer import synthesis, zoo
from kerasfer.backbones.dlib_resnet import fold_normalization
from kerasfer.backbones.resnet import ResNetError, build_resnet50
from kerasfer.detection.pose import MEAN_FACE, head_poses
from kerasfer.faces import MIRRORED_LANDMARKS
from kerasfer.models.base import ConfigError, deviations
from kerasfer.models.g2fer import (
    EPSILON,
    G2FER,
    YAWS,
    G2FERConfig,
    LandmarkMaps,
    build_attribute_discriminator,
    build_classifier,
    build_decoder,
    build_encoder,
    build_geometry_decoder,
    build_geometry_encoder,
    build_identity_discriminator,
)
from kerasfer.models.ipdfer import IPDFER, IPDFERConfig
from kerasfer.synthesis import ByLandmarks

CONFIG = G2FERConfig.tiny()
OURS = {
    "pairs": "everybody",
    "adversarial": "hinge",
    "geometry_components": 5,
    "geometry_norm": "none",
    "attribute_norm": "spectral",
    "attribute_condition": "points",
    "wrong_landmarks": True,
    "identity_norm": "none",
    "identity_updates": 3,
    "lambda_attribute": 0.05,
    "lambda_identity": 0.02,
}
"""What the paper does not have."""
PAPER = G2FERConfig.paper()
SIZE = CONFIG.image_size


def turned_face(yaw: float, lower_lip: float = 0.0, size: int = SIZE) -> np.ndarray:
    """The mean face turned by some degrees, float32 (68, 2), in pixels of an image."""
    angle = np.radians(yaw)
    x, y, z = np.asarray(MEAN_FACE).T.copy()
    y[55:60] += lower_lip
    points = np.stack([np.cos(angle) * x - np.sin(angle) * z, y], 1)
    return (size * (0.5 + 0.37 * (points - [0.0, 0.35]))).astype(np.float32)


def model_of(**fields) -> G2FER:
    model = G2FER(CONFIG.replace(**fields))
    model.compile()
    return model


def batch_of(model: G2FER) -> dict[str, tf.Tensor]:
    """Four pairs, of which the second and the last are of different people."""
    batch = dict(next(iter(make_batches("landmark_pairs", model.config, count=16).epoch(0))))
    return {**batch, "label": tf.one_hot([3, 0, 1, 6], 8), "paired": tf.constant([1.0, 0.0, 1.0, 0.0])}


def columns(yaws=(-40, -30, -2, 0, 3, 20), classes=(1, 1, 1, 0, 1, 1)) -> dict[str, np.ndarray]:
    """Landmarks of a training set: happiness from -40 to 20 degrees, one neutral face."""
    points = np.stack([turned_face(yaw, 0.1 * label) for yaw, label in zip(yaws, classes)])
    return {"landmarks": points, "label": np.eye(8, dtype=np.float32)[list(classes)]}


@pytest.fixture(scope="module")
def still() -> G2FER:
    """A model that learns nothing, so that every term of a step can be worked out from its first weights."""
    model = model_of(learning_rate=0.0)
    model.adapt(columns())
    return model


@pytest.fixture(scope="module")
def stepped(still) -> tuple[G2FER, dict[str, np.ndarray], dict[str, float]]:
    batch = batch_of(still)
    terms = {name: float(value) for name, value in still.train_step(batch).items()}
    return still, {name: np.asarray(value) for name, value in batch.items()}, terms


# -- Table II ----------------------------------------------------------------------------------------------------------


def shapes(network, *names: str) -> list[tuple[int, ...]]:
    return [tuple(network.get_layer(name).output.shape[1:]) for name in names]


def test_generator_row_by_row():
    encoder = build_encoder(PAPER)
    assert encoder.input_shape == (None, 224, 224, 3)
    assert shapes(encoder, *(f"conv{number}" for number in range(1, 6)), "identity") == [
        (112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 1024), (50,)
    ]  # fmt: skip
    # 5 x 5 kernels and biases, then 7 * 7 * 1024 * 50 + 50.
    channels = (3, 64, 128, 256, 512, 1024)
    weights = sum(25 * one * other + other for one, other in zip(channels, channels[1:]))
    assert encoder.count_params() == weights + 50176 * 50 + 50
    decoder = build_decoder(PAPER)
    assert shapes(decoder, "concatenate", "fc", "map") == [(82,), (50176,), (7, 7, 1024)]
    assert shapes(decoder, *(f"deconv{number}" for number in range(1, 7)), "to_image") == [
        (14, 14, 1024), (28, 28, 512), (56, 56, 256), (112, 112, 128), (224, 224, 64), (224, 224, 32), (224, 224, 3)
    ]  # fmt: skip
    assert decoder.output.dtype == "float32" and decoder.get_layer("deconv6").kernel.shape[:2] == (5, 5)


def test_embedding_and_discriminators_row_by_row():
    first, second = build_geometry_encoder(PAPER), build_geometry_decoder(PAPER)
    widths = [layer.units for part in (first, second) for layer in part.layers if layer.name.startswith("fc")]
    assert widths == [128, 64, 32, 64, 128] and first.output_shape == (None, 32)
    assert second.output_shape == (None, 136) and second.get_layer("landmarks").activation.__name__ == "tanh"
    judge = build_attribute_discriminator(PAPER)
    assert shapes(judge, "conv1", "concatenate", "conv2", "conv3", "conv4", "fc1", "fc2") == [
        (112, 112, 16), (112, 112, 48), (56, 56, 32), (28, 28, 64), (14, 14, 128), (1024,), (1,)
    ]  # fmt: skip
    prior = build_identity_discriminator(PAPER)
    assert shapes(prior, "fc1", "fc2", "fc3", "logit") == [(64,), (32,), (16,), (1,)]
    assert prior.input_shape == (None, 50)
    assert sum("norm" in layer.name for layer in prior.layers) == 3


def test_resnet50_has_the_weights_of_the_paper():
    """25.6 million with ImageNet's last layer of 2,048,000 + 1000; 53,120 of the normalizations are not trained."""
    body = build_resnet50(initializer=keras.initializers.Zeros)
    assert sum(np.prod(weight.shape) for weight in body.trainable_weights) == 25_557_032 - 2_049_000
    assert sum(np.prod(weight.shape) for weight in body.non_trainable_weights) == 53_120
    assert shapes(body, "stem_pool", "stage1_block3_relu", "stage2_block4_relu", "stage3_block6_relu") == [
        (56, 56, 64), (56, 56, 256), (28, 28, 512), (14, 14, 1024)
    ]  # fmt: skip
    assert shapes(body, "stage4_block3_relu", "pool5") == [(7, 7, 2048), (2048,)]
    # The first convolution of a block halves the map, as in the paper.
    assert shapes(body, "stage2_block1_conv1", "stage2_block1_conv2") == [(28, 28, 128), (28, 28, 128)]
    with pytest.raises(ValueError, match="a stem of imagenet or half"):
        build_resnet50(stem="cifar")


def test_the_classifier_has_two_layers_after_pool5():
    config = G2FERConfig.small()
    classifier = build_classifier(config.replace(resnet_width=4))
    assert shapes(classifier, "stem_relu", "stage1_block3_relu", "pool5") == [(24, 24, 4), (24, 24, 16), (128,)]
    after = classifier.layers[[layer.name for layer in classifier.layers].index("pool5") + 1 :]
    assert [(layer.name, layer.units) for layer in after] == [("fc1", 512), ("fc2", 8)]
    assert classifier.output.dtype == "float32"


def test_the_zoos_identity_network_may_stand_in_for_resnet50():
    config = G2FERConfig.small().replace(classifier="dlib_resnet", dlib_size=96, dlib_blocks=11)
    one, other = (build_classifier(config) for _ in range(2))
    np.testing.assert_array_equal(one.get_layer("descriptor").kernel, other.get_layer("descriptor").kernel)
    assert one.get_layer("fc1").input.shape == (None, 128)


def test_small_differs_from_the_paper_in_size_and_in_what_few_steps_need():
    paper, small = PAPER.to_dict(), G2FERConfig.small().to_dict()
    size = {
        "image_size", "channels", "precision", "epochs", "encoder_channels", "decoder_channels", "attribute_channels",
        "attribute_units", "identity_units", "resnet_width", "resnet_stem", "deviation", "classifier_rate",
    }  # fmt: skip
    weights = {f"lambda_{name}" for name in ("attribute", "identity", "classification", "geometry", "variation")}
    assert {name for name in paper if paper[name] != small[name]} == (size | weights | set(OURS)) - {"lambda_identity"}
    told = {each.field for each in deviations(G2FERConfig.small())}
    assert {"pairs", "attribute_norm", "wrong_landmarks", "identity_updates", "geometry_components"} <= told
    assert not {each.field for each in deviations(PAPER.replace(classifier_start="imagenet"))}


def test_the_papers_values(still):
    weights = (PAPER.lambda_attribute, PAPER.lambda_identity, PAPER.lambda_classification)
    assert weights == (1e-3, 1e-3, 1e-3) and (PAPER.lambda_geometry, PAPER.lambda_variation) == (1e-4, 1e-4)
    assert (PAPER.learning_rate, PAPER.beta1, PAPER.beta2, PAPER.deviation) == (5e-4, 0.5, 0.999, 0.02)
    assert (PAPER.smoothing, PAPER.landmark_sets, PAPER.synthetic_images) == (0.1, 60, 1)
    for optimizer in still.optimizers.values():
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)
    # lambda3 is on all of C_exp's gradient: with an epsilon as much smaller, Adam does not feel it.
    assert still.optimizers["classifier"].epsilon == pytest.approx(1e-3 * EPSILON)


def test_the_classifier_has_a_rate_of_its_own():
    model = G2FER(CONFIG.replace(learning_rate=0.001, schedule="cosine", classifier_rate=0.2))
    model.compile(total_steps=50)
    rates = {name: float(optimizer._learning_rate(0)) for name, optimizer in model.optimizers.items()}
    assert rates.pop("classifier") == pytest.approx(2e-4) and len(rates) == 3
    assert list(rates.values()) == pytest.approx([1e-3] * 3)


def test_every_kernel_starts_from_the_papers_distribution():
    model = G2FER(CONFIG.replace(deviation=0.02, attribute_units=200, classifier_units=100))
    for name, network in model.networks.items():
        kernels = [weight for weight in network.weights if weight.name == "kernel"]
        assert kernels or name == "landmark_sets"
        for kernel in kernels:
            if kernel.shape.num_elements() > 500:
                assert np.std(kernel) == pytest.approx(0.02, rel=0.15), kernel.path
    one, two = (model.networks["geometry_encoder"].get_layer(f"fc{number}").kernel.numpy() for number in (1, 2))
    assert not np.array_equal(one[:12, :8], two)


# -- equations ---------------------------------------------------------------------------------------------------------


def run(model: G2FER, name: str, *values: np.ndarray, training: bool = True) -> np.ndarray:
    values = [np.asarray(value, np.float32) for value in values]
    return np.asarray(model.networks[name](values if len(values) > 1 else values[0], training=training), np.float64)


def real_and_generated(model: G2FER, real: np.ndarray, *generated: np.ndarray) -> np.ndarray:
    """C_exp's logits: of real images by their own statistics, of generated ones by the running ones."""
    parts = [run(model, "classifier", images, training=False) for images in generated]
    return np.concatenate([run(model, "classifier", real), *parts])


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.log1p(np.exp(-logits))


def cross_entropy(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return -(targets * (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))).sum(-1)


def test_every_term_of_a_step(stepped):
    """Equations 3 to 9 with the weights of 10, in numpy from the networks' outputs."""
    model, batch, terms = stepped
    geometry = batch["other_landmarks"].reshape(4, 136) * 2 / SIZE - 1
    identity = run(model, "encoder", batch["image"])
    code = run(model, "geometry_encoder", geometry)
    drawn = run(model, "decoder", identity, code)

    on_real = run(model, "attribute_discriminator", batch["other_image"], code)
    on_drawn = run(model, "attribute_discriminator", drawn, code)
    prior_seed = tf.stack([tf.constant(0, tf.int64), tf.constant(0, tf.int64)])
    prior = 2 * tf.random.stateless_uniform((4, 6), prior_seed).numpy() - 1
    on_prior, on_identity = run(model, "identity_discriminator", prior), run(model, "identity_discriminator", identity)
    expected = {
        "attribute_discriminator": -(log_sigmoid(on_real) + log_sigmoid(-on_drawn)).mean(),
        "identity_discriminator": -(log_sigmoid(on_prior) + log_sigmoid(-on_identity)).mean(),
        "attribute_adversarial": 1e-3 * log_sigmoid(-on_drawn).mean(),
        "identity_adversarial": 1e-3 * log_sigmoid(-on_identity).mean(),
    }
    target = np.where(batch["paired"][:, None, None, None] > 0, batch["other_image"], batch["image"])
    expected["content"] = np.abs(target - drawn).mean()
    variation = np.abs(np.diff(drawn, axis=1)).sum((1, 2, 3)) + np.abs(np.diff(drawn, axis=2)).sum((1, 2, 3))
    expected["variation"] = 1e-4 * variation.mean()
    rebuilt = run(model, "geometry_decoder", code)
    expected["geometry"] = 1e-4 * np.sqrt(((geometry - rebuilt) ** 2).sum(-1)).mean()

    logits = real_and_generated(model, batch["image"], drawn)
    # Equation 6 with rho 0.1 and K 8: 0.9125 on the class, 0.0125 on the others.
    smoothed = np.where(batch["other_label"] == 1, 0.9125, 0.0125)
    expected["classification"] = 1e-3 * cross_entropy(batch["label"], logits[:4]).mean()
    expected["synthetic"] = 1e-3 * cross_entropy(smoothed, logits[4:]).mean()
    expected["accuracy"] = (logits[:4].argmax(-1) == batch["label"].argmax(-1)).mean()
    expected["synthetic_accuracy"] = (logits[4:].argmax(-1) == batch["other_label"].argmax(-1)).mean()
    expected["paired"] = 0.5
    expected["identity_told"] = told(prior, identity)
    assert set(expected) == set(terms)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-3, atol=1e-7, err_msg=name)


def told(prior: np.ndarray, codes: np.ndarray) -> float:
    """Share of draws and codes on their side of the middle between their mean squared lengths."""
    drawn, coded = (prior**2).sum(1), (codes**2).sum(1)
    middle = (drawn.mean() + coded.mean()) / 2
    longer, shorter = (drawn, coded) if drawn.mean() > coded.mean() else (coded, drawn)
    return ((longer > middle).mean() + (shorter < middle).mean()) / 2


def test_what_the_paper_does_not_have_term_by_term():
    """Hinge, real images beside others' landmarks, three updates of D_i, each on draws of its own."""
    model = model_of(learning_rate=0.0, **OURS)
    given = batch_of(model)
    terms = {name: float(value) for name, value in model.train_step(given).items()}
    batch = {name: np.asarray(value) for name, value in given.items()}
    geometry = batch["other_landmarks"].reshape(4, 136) * 2 / SIZE - 1
    identity = run(model, "encoder", batch["image"])
    drawn = run(model, "decoder", identity, run(model, "geometry_encoder", geometry))
    on_real, on_drawn, on_wrong = (
        run(model, "attribute_discriminator", images, points, training=False)
        for images, points in (
            (batch["other_image"], geometry),
            (drawn, geometry),
            (batch["other_image"], np.roll(geometry, 1, 0)),
        )
    )
    refused = (np.maximum(0, 1 + on_drawn) + np.maximum(0, 1 + on_wrong)) / 2
    expected = (np.maximum(0, 1 - on_real) + refused).mean()
    # Each call finds the largest singular values a little more exactly.
    assert terms["attribute_discriminator"] == pytest.approx(expected, rel=0.05)
    assert terms["attribute_adversarial"] == pytest.approx(-0.05 * on_drawn.mean(), rel=0.05, abs=1e-3)
    seed = tf.stack([tf.constant(0, tf.int64), tf.constant(0, tf.int64)])
    prior = 2 * tf.random.stateless_uniform((4, 3, 6), seed).numpy() - 1
    on_prior = np.stack([run(model, "identity_discriminator", prior[:, number]) for number in range(3)])
    on_identity = run(model, "identity_discriminator", identity)
    expected = -(log_sigmoid(on_prior).mean() + log_sigmoid(-on_identity).mean())
    assert terms["identity_discriminator"] == pytest.approx(expected, rel=1e-3)
    assert terms["identity_adversarial"] == pytest.approx(-0.02 * log_sigmoid(on_identity).mean(), rel=1e-3)
    assert terms["identity_told"] == pytest.approx(told(prior[:, 0], identity))
    assert int(model.optimizers["identity_discriminator"].iterations) == 3
    assert int(model.optimizers["attribute_discriminator"].iterations) == 1


def test_exchanged_landmarks_term_by_term():
    """Of four examples the first two have each other's g^t and y^t, and equation 7 asks nothing of them."""
    model = model_of(learning_rate=0.0, exchanged_landmarks=0.5, content_target="target")
    given = {**batch_of(model), "other_label": tf.one_hot([0, 3, 5, 6], 8)}
    terms = {name: float(value) for name, value in model.train_step(given).items()}
    batch = {name: np.asarray(value) for name, value in given.items()}
    own = batch["other_landmarks"].reshape(4, 136) * 2 / SIZE - 1
    geometry = own[[1, 0, 2, 3]]
    code = run(model, "geometry_encoder", geometry)
    drawn = run(model, "decoder", run(model, "encoder", batch["image"]), code)
    assert terms["content"] == pytest.approx(np.abs(batch["other_image"] - drawn)[2:].mean(), rel=1e-3)
    on_real = run(model, "attribute_discriminator", batch["other_image"], code[[1, 0, 2, 3]])
    on_drawn = run(model, "attribute_discriminator", drawn, code)
    expected = -(log_sigmoid(on_real) + log_sigmoid(-on_drawn)).mean()
    assert terms["attribute_discriminator"] == pytest.approx(expected, rel=1e-4)
    logits = real_and_generated(model, batch["image"], drawn)
    smoothed = np.where(batch["other_label"][[1, 0, 2, 3]] == 1, 0.9125, 0.0125)
    assert terms["synthetic"] == pytest.approx(1e-3 * cross_entropy(smoothed, logits[4:]).mean(), rel=1e-3)
    wrong = {**given, "other_label": tf.gather(given["other_label"], [1, 0, 2, 3])}
    assert float(model.train_step(wrong)["synthetic"]) != pytest.approx(terms["synthetic"], rel=1e-3)


def test_spectral_discriminators_pass_on_no_more_than_they_get():
    judge = build_attribute_discriminator(CONFIG.replace(**OURS))
    image, points = np.random.default_rng(0).random((4, SIZE, SIZE, 1)), np.zeros((4, 136))
    for _ in range(20):
        judge([image.astype(np.float32), points.astype(np.float32)], training=True)
    kernel = judge.get_layer("conv1_spectral").layer.kernel.numpy()
    assert np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0] == pytest.approx(1, rel=1e-3)
    assert not any("norm" in layer.name for layer in judge.layers)


def test_maps_of_landmarks_show_where_each_part_lies():
    points = np.full((1, 68, 2), 1.5)
    points[0, 0] = (4.5, 12.5)
    points[0, 60] = (10.5, 2.0)
    maps = LandmarkMaps(16)(tf.constant(points.reshape(1, 136) / 8 - 1, tf.float32)).numpy()[0]
    assert maps.shape == (16, 16, 9)
    assert maps[12, 4, 0] == pytest.approx(1) and maps[12, 5, 0] == pytest.approx(np.exp(-0.5))
    assert maps[12, 4, 1:].max() < 1e-3 and maps[1, 1].min() == pytest.approx(1)
    assert maps[1, 10, 8] == maps[2, 10, 8] == pytest.approx(np.exp(-0.125))


def classified(model: G2FER, batch: dict[str, np.ndarray], drawn: tf.Tensor, identity: tf.Tensor) -> dict[str, float]:
    with tf.GradientTape() as tape:
        terms = model._classification_terms(batch, identity, drawn, tape)
    return {name: 1e3 * float(value) for name, value in terms.items()}


@pytest.fixture(scope="module")
def drawing(stepped) -> tuple[G2FER, dict[str, np.ndarray], tf.Tensor, tf.Tensor]:
    model, batch, _ = stepped
    drawn = tf.constant(model.synthesize(batch["image"], batch["other_landmarks"]))
    return model, batch, drawn, model.networks["encoder"](batch["image"])


def as_variant(model: G2FER, monkeypatch, **fields) -> None:
    monkeypatch.setattr(model, "config", model.config.replace(**fields))


def test_smoothing_is_for_generated_images_only(drawing, monkeypatch):
    model, batch, drawn, identity = drawing
    with_smoothing = classified(model, batch, drawn, identity)
    as_variant(model, monkeypatch, variant="no_ls")
    without = classified(model, batch, drawn, identity)
    assert without["classification"] == with_smoothing["classification"]
    logits = real_and_generated(model, batch["image"], drawn)
    assert without["synthetic"] == pytest.approx(cross_entropy(batch["other_label"], logits[4:]).mean(), rel=1e-3)
    assert abs(without["synthetic"] - with_smoothing["synthetic"]) > 1e-4


def test_generated_images_by_their_own_statistics(drawing, monkeypatch):
    """Apart from real ones, and without a say in the running statistics that real ones are recognized by."""
    model, batch, drawn, identity = drawing
    network = model.networks["classifier"]
    monkeypatch.setattr(model, "config", model.config.replace(synthetic_statistics="batch"))
    counted = [variable.numpy() for variable in network.non_trainable_variables]
    logits = model._judged_expressions(drawn).numpy()
    assert all(np.array_equal(old, new) for old, new in zip(counted, network.non_trainable_variables))
    found = classified(model, batch, drawn, identity)
    smoothed = np.where(batch["other_label"] == 1, 0.9125, 0.0125)
    assert found["synthetic"] == pytest.approx(cross_entropy(smoothed, logits).mean(), rel=1e-3)
    assert np.abs(logits - network(drawn, training=False).numpy()).max() > 1e-3
    # The paper's batch of one kind: what training gives for these images alone.
    np.testing.assert_allclose(logits, network(drawn, training=True).numpy(), rtol=1e-3, atol=1e-4)


def test_none_and_three_generated_images_beside_each_real_one(drawing, monkeypatch):
    """0N is the real part alone; 3N adds two more images of each person, drawn from the kept sets, at full weight."""
    model, batch, drawn, identity = drawing
    as_variant(model, monkeypatch, synthetic_images=0)
    alone = classified(model, batch, drawn, identity)
    logits = run(model, "classifier", batch["image"])
    assert alone["synthetic"] == 0
    assert alone["classification"] == pytest.approx(cross_entropy(batch["label"], logits).mean(), rel=1e-3)

    as_variant(model, monkeypatch, synthetic_images=3)
    further, labels = (np.asarray(part) for part in model._further(identity))
    assert further.shape == (8, SIZE, SIZE, 1) and set(labels.argmax(1)) <= {0, 1}
    seed = tf.stack([tf.constant(2, tf.int64), tf.convert_to_tensor(model.step)])
    numbers = (tf.random.stateless_uniform((4, 2), seed).numpy().ravel() * 5).astype(int)
    points = model.in_pixels(model.kept.sets.numpy()[numbers])
    expected = model.synthesize(np.repeat(batch["image"], 2, 0), points)
    np.testing.assert_allclose(further, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, model.kept.labels.numpy()[numbers])

    terms = classified(model, batch, drawn, identity)
    logits = real_and_generated(model, batch["image"], drawn, further)
    smooth = [0.9 * targets + 0.1 / 8 for targets in (batch["other_label"], labels)]
    expected = cross_entropy(smooth[0], logits[4:8]).mean() + 2 * cross_entropy(smooth[1], logits[8:]).mean()
    assert terms["synthetic"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "choice, expected",
    [("auto", [3.0, 1.0]), ("target", [3.0, 3.0]), ("input", [1.0, 1.0]), ("own", [3.0, 0.5])],
)
def test_content_targets(still, monkeypatch, choice, expected):
    """x is -1, x^t is -3, x' is 0, G(x) at x's own landmarks -0.5; the first pair is of one person."""
    as_variant(still, monkeypatch, content_target=choice)
    filled = {name: tf.fill((2, 4, 4, 1), value) for name, value in (("image", -1.0), ("other_image", -3.0))}
    batch = {**filled, "paired": tf.constant([1.0, 0.0])}
    own = tf.fill((2, 4, 4, 1), -0.5)
    assert still._content(batch, tf.zeros((2, 4, 4, 1)), own).numpy().tolist() == expected
    as_variant(still, monkeypatch, norm="sum")
    assert still._content(batch, tf.zeros((2, 4, 4, 1)), own).numpy().tolist() == [16 * value for value in expected]


def test_own_landmarks_give_the_own_face(drawing, monkeypatch):
    """A whole step with `content_target="own"`: unpaired faces are compared with their own, redrawn."""
    model, batch, _, _ = drawing
    as_variant(model, monkeypatch, content_target="own")
    geometry = [model._in_range(batch[name]) for name in ("other_landmarks", "landmarks")]
    codes = run(model, "geometry_encoder", np.concatenate(geometry))
    drawn = run(model, "decoder", np.tile(run(model, "encoder", batch["image"]), (2, 1)), codes)
    for tracker in model.trackers.values():
        tracker.reset_state()
    terms = model.train_step({name: tf.constant(value) for name, value in batch.items()})
    paired = batch["paired"][:, None, None, None] > 0
    difference = np.where(paired, batch["other_image"] - drawn[:4], batch["image"] - drawn[4:])
    assert float(terms["content"]) == pytest.approx(np.abs(difference).mean(), rel=1e-3)


def test_total_variation_by_hand():
    image = tf.constant([[[[0.0], [1.0]], [[3.0], [-1.0]]]])
    assert tf.image.total_variation(image).numpy().tolist() == [3 + 2 + 1 + 4]


def test_noise_is_in_pixels_of_an_image_of_224(still, monkeypatch):
    geometry = tf.zeros((4, 136))
    assert still._noisy(geometry, 1) is geometry
    as_variant(still, monkeypatch, landmark_noise=8.0)
    noise = still._noisy(geometry, 1).numpy()
    assert 0.95 * 16 / 224 < np.abs(noise).max() <= 16 / 224 and abs(noise.mean()) < 0.01
    assert (noise != still._noisy(geometry, 3).numpy()).any()


# -- routes of the gradient --------------------------------------------------------------------------------------------


def reached(model: G2FER, batch: dict[str, np.ndarray]) -> dict[str, set[str]]:
    """Term -> the networks that its gradient reaches."""
    geometry = model._scaled(tf.constant(batch["other_landmarks"]))
    with tf.GradientTape(persistent=True) as tape:
        identity = model.networks["encoder"](batch["image"], training=True)
        code = model.networks["geometry_encoder"](geometry, training=True)
        drawn = model.networks["decoder"]([identity, code], training=True)
        terms = model._synthesis_terms(batch, geometry, identity, code, drawn)
        terms |= model._classification_terms(batch, identity, drawn, tape)
        fixed = model._synthesis_terms(batch, geometry, identity, code, tf.stop_gradient(drawn))
        terms["condition"] = fixed["attribute_adversarial"]
    variables = {name: part.trainable_variables for name, part in model.networks.items()}
    return {
        term: {
            name
            for name, gradients in tape.gradient(value, variables).items()
            if any(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)
        }
        for term, value in terms.items()
    }


def test_which_networks_each_term_reaches(drawing, monkeypatch):
    model, batch, _, _ = drawing
    found = reached(model, batch)
    drawing_networks = {"encoder", "decoder", "geometry_encoder"}
    assert found["attribute_adversarial"] == drawing_networks | {"attribute_discriminator"}
    assert found["identity_adversarial"] == {"encoder", "identity_discriminator"}
    assert found["content"] == found["variation"] == drawing_networks
    assert found["geometry"] == {"geometry_encoder", "geometry_decoder"}
    assert found["classification"] == {"classifier"}
    assert found["synthetic"] == drawing_networks | {"classifier"}
    assert found["condition"] == {"attribute_discriminator"}
    as_variant(model, monkeypatch, variant="no_e2e")
    assert reached(model, batch)["synthetic"] == {"classifier"}


def test_what_each_part_of_a_step_moves():
    model = model_of(learning_rate=1e-3)
    batch = batch_of(model)
    code = tf.random.stateless_normal((4, 8), (0, 1))
    names = moved(model, lambda: model._train_attribute_discriminator(batch["other_image"], batch["image"], code))
    assert names == {"attribute_discriminator"}
    names = moved(model, lambda: model._train_identity_discriminator(tf.zeros((4, 6))))
    assert names == {"identity_discriminator"}
    # The generator's own losses leave the weights of both discriminators alone.
    plans = model.optimizer_plans()
    assert plans["generator"].networks + plans["classifier"].networks == (
        "encoder", "decoder", "geometry_encoder", "geometry_decoder", "classifier"
    )  # fmt: skip
    assert moved(model, lambda: model.train_step(batch)) == set(model.networks) - {"landmark_sets"}
    assert not model.networks["landmark_sets"].trainable_variables


def test_further_images_teach_the_generator_nothing(drawing, monkeypatch):
    model, batch, drawn, identity = drawing
    as_variant(model, monkeypatch, synthetic_images=2)
    with tf.GradientTape() as tape:
        tape.watch(identity)
        terms = model._classification_terms(batch, identity, drawn, tape)
    sources = [identity, *model.variables_of("decoder", "geometry_encoder")]
    assert all(gradient is None for gradient in tape.gradient(terms["synthetic"], sources))


def test_variants_have_their_networks():
    base = G2FER(CONFIG.replace(variant="no_synfi"))
    assert set(base.networks) == {"classifier"} and base.batch_kind_of(base.config) == "images_together"
    assert base.generator() is None and synthesis.of(base) == {}
    for call in (lambda: base.synthesize(np.zeros((1, SIZE, SIZE, 1)), turned_face(0)), lambda: ByLandmarks(base)):
        with pytest.raises(ValueError, match="no_synfi recognizes, and generates nothing"):
            call()
    full = G2FER(CONFIG)
    full.start_from(base)
    for mine, theirs in zip(full.networks["classifier"].weights, base.networks["classifier"].weights):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("norm", [True, False])
def test_the_classifier_starts_from_an_ipdfer(norm):
    """All but its last two layers, normalization folded in; an encoder of another depth is refused."""
    config = CONFIG.replace(variant="no_synfi", classifier="dlib_resnet", dlib_size=72, dlib_blocks=11)
    settings = {"variant": "baseline", "identity": "dlib_resnet", "encoder_size": 72, "image_size": SIZE}
    settings["encoder_norm"] = norm
    source = IPDFER(IPDFERConfig.tiny().replace(**settings, encoder_blocks=11))
    for weight in source.networks["expression_encoder"].weights:
        weight.assign_add(tf.ones_like(weight))
    model = G2FER(config)
    before = [weight.numpy() for weight in model.networks["classifier"].weights[-4:]]
    model.start_from(source)
    folded = fold_normalization(source.networks["expression_encoder"])
    for mine, theirs in zip(model.networks["classifier"].weights, folded.weights):
        np.testing.assert_array_equal(mine, theirs)
    for weight, value in zip(model.networks["classifier"].weights[-4:], before):
        np.testing.assert_array_equal(weight, value)
    with pytest.raises(ConfigError, match="other shapes"):
        model.start_from(IPDFER(IPDFERConfig.tiny().replace(**settings, encoder_blocks=12)))


# -- landmarks of the training set -------------------------------------------------------------------------------------


def test_the_training_set_leaves_means_by_expression_and_yaw(still):
    """-40 and -30 are nearest to -45 or -30; each face counts mirrored, too."""
    counts = ByLandmarks(still).seen()
    assert counts[1].tolist() == [1, 1, 1, 4, 1, 1, 1] and counts[0].tolist() == [0, 0, 0, 2, 0, 0, 0]
    assert not counts[2:].any()
    np.testing.assert_allclose(ByLandmarks(still).landmarks_of("neutral"), turned_face(0), atol=1e-3)
    np.testing.assert_allclose(ByLandmarks(still).landmarks_of("happiness", -45), turned_face(-40, 0.1), atol=1e-3)
    flipped = turned_face(-40, 0.1)[MIRRORED_LANDMARKS] * [-1, 1] + [SIZE, 0]
    np.testing.assert_allclose(ByLandmarks(still).landmarks_of("happiness", 45), flipped, atol=1e-3)
    halfway = (turned_face(-40, 0.1) + ByLandmarks(still).landmarks_of("happiness", -30)) / 2
    np.testing.assert_allclose(ByLandmarks(still).landmarks_of(1, -37.5), halfway, atol=1e-3)
    assert head_poses(ByLandmarks(still).landmarks_of("happiness", 30)[None])[0, 0] == pytest.approx(30, abs=6)


def test_the_kept_sets_are_spread_over_expressions_and_yaws(still):
    """Six faces in five cells, five sets: one of each cell, with its own label."""
    sets, labels = still.in_pixels(still.kept.sets.numpy()), still.kept.labels.numpy()
    every = columns()["landmarks"]
    rows = [int(np.abs(every - points).sum((1, 2)).argmin()) for points in sets]
    np.testing.assert_allclose(sets, every[rows], atol=1e-3)
    assert len(set(rows)) == 5 and {0, 1, 3, 5} < set(rows) and labels.argmax(1)[rows.index(3)] == 0
    fewer = G2FER(CONFIG.replace(landmark_sets=9))
    fewer.adapt(columns())
    assert len({points.tobytes() for points in fewer.kept.sets.numpy()}) == 6


def test_the_encoder_sees_every_component_alike():
    """Turned by far more than lips move, both ways of a face differ by as much to E."""
    generator = np.random.default_rng(0)
    points = np.stack(
        [turned_face(*pair) for pair in zip(generator.normal(0, 20, 300), generator.normal(0, 0.01, 300))]
    )
    model = G2FER(CONFIG.replace(geometry_components=3, geometry_norm="none"))
    model.adapt({"landmarks": points, "label": np.eye(8, dtype=np.float32)[np.ones(300, int)]})
    seen = keras.Model(model.networks["geometry_encoder"].input, model.networks["geometry_encoder"].layers[1].output)
    mirrored = points[:, MIRRORED_LANDMARKS] * [-1, 1] + [SIZE, 0]
    geometry = np.concatenate([points, mirrored]).reshape(600, 136) * 2 / SIZE - 1
    components = np.asarray(seen(geometry.astype(np.float32)))
    np.testing.assert_allclose(components.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(components, rowvar=False), np.eye(3), atol=0.02)
    assert not any("norm" in layer.name for layer in model.networks["geometry_encoder"].layers)


def test_components_stay_those_that_the_encoder_has_learned_on():
    model, other = (G2FER(CONFIG.replace(geometry_components=3)) for _ in range(2))
    model.adapt(columns())
    other.start_from(model)
    found = other.networks["geometry_encoder"].get_layer("components").projection.numpy()
    other.adapt(columns(yaws=(5, 10, 20, 10, 0, 3)))
    np.testing.assert_array_equal(other.networks["geometry_encoder"].get_layer("components").projection, found)
    assert ByLandmarks(other).seen()[1, 1] == 0, "what is kept beside is the new set's"


def test_fewer_faces_than_components_leave_the_rest_without_effect():
    model = G2FER(CONFIG.replace(geometry_components=12))
    model.adapt(columns(yaws=(0, 20), classes=(1, 1)))
    lengths = np.linalg.norm(model.networks["geometry_encoder"].get_layer("components").projection.numpy(), axis=0)
    assert np.isfinite(lengths).all() and (lengths[:2] > 0.1).all() and not lengths[4:].any()


def test_what_was_seen_survives_saving(still, tmp_path):
    zoo.save(still, tmp_path / "saved", storage={"generator": "float16"})
    loaded = zoo.load(tmp_path / "saved")
    np.testing.assert_array_equal(ByLandmarks(loaded).seen(), ByLandmarks(still).seen())
    np.testing.assert_allclose(
        ByLandmarks(loaded).landmarks_of("happiness", 30), ByLandmarks(still).landmarks_of("happiness", 30), atol=0.02
    )
    model = G2FER(CONFIG.replace(geometry_components=3))
    model.adapt(columns())
    zoo.save(model, tmp_path / "components", storage={"generator": "float16"})
    again = zoo.load(tmp_path / "components").networks["geometry_encoder"].get_layer("components")
    assert again.found
    expected = model.networks["geometry_encoder"].get_layer("components").projection
    np.testing.assert_allclose(again.projection, expected, rtol=2e-3, atol=1e-6)
    zoo.save(still, tmp_path / "alone", groups=("recognizer",))
    with pytest.raises(zoo.ZooError, match="landmark_sets"):
        ByLandmarks(zoo.load(tmp_path / "alone")).landmarks_of("happiness")


def test_a_pose_or_expression_no_data_has_seen(still):
    with pytest.raises(ValueError, match="happiness at a yaw of 60 degrees was not .* from -45 to 45"):
        ByLandmarks(still).landmarks_of("happiness", 60)
    with pytest.raises(ValueError, match="neutral at a yaw of 10 degrees was not .* from 0 to 0"):
        ByLandmarks(still).landmarks_of("neutral", 10)
    with pytest.raises(ValueError, match="seen no landmarks of fear; it has of neutral, happiness"):
        ByLandmarks(still).landmarks_of("fear")
    with pytest.raises(ValueError, match="unknown expression 'joy'; this model has neutral"):
        ByLandmarks(still).landmarks_of("joy")


# -- bad landmarks -----------------------------------------------------------------------------------------------------


def changed_face(point: int, value) -> np.ndarray:
    points = turned_face(0)
    points[point] = value
    return points


@pytest.mark.parametrize(
    "landmarks, message",
    [
        (turned_face(0)[:67], r"68 points: shape \(68, 2\) or \(n, 68, 2\), got \(67, 2\)"),
        (np.zeros((2, 68, 3)), r"got \(2, 68, 3\)"),
        (changed_face(12, np.nan), "landmark 12 of set 0 is not a finite number"),
        (changed_face(5, (500, 3)), r"landmark 5 of set 0 at \(500, 3\) lies far outside the image; .* 32 x 32"),
        (np.stack([turned_face(0), turned_face(0)[MIRRORED_LANDMARKS]]), "set 1 are in mirrored order"),
        (turned_face(0) * [-1, 1] + [SIZE, 0], "mirrored order"),
        (np.full((68, 2), 9.0), "lie on a line or in one place"),
    ],
)
def test_bad_landmarks(still, landmarks, message):
    with pytest.raises(ValueError, match=message):
        still.synthesize(np.zeros((1, SIZE, SIZE, 1), np.float32), landmarks)


def test_doubts(still):
    assert ByLandmarks(still).doubts(turned_face(10)) == []
    assert ByLandmarks(still).doubts(np.stack([turned_face(10), turned_face(70)])) == [
        "set 1 turns the head by 70 degrees; the training set shows -45 to 45"
    ]
    assert (
        ByLandmarks(still)
        .doubts(turned_face(0) - [14, 0])[0]
        .endswith("eyes, brows, nose or mouth of set 0 lie outside the image")
    )
    assert ByLandmarks(still).doubts(changed_face(8, (16, 33))) == []
    assert ByLandmarks(G2FER(CONFIG)).doubts(turned_face(0)) == [
        "this model was not trained: what it draws means nothing"
    ]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"variant": "no_gan"}, "variant is one of g2fer, no_synfi"),
        ({"content_target": "both"}, "content_target is one of"),
        ({"adversarial": "wasserstein"}, "adversarial is one of"),
        ({"pairs": "nobody"}, "pairs is one of people, everybody"),
        ({"attribute_norm": "none"}, "attribute_norm is one of"),
        ({"attribute_condition": "maps"}, "attribute_condition is one of"),
        ({"identity_norm": "spectral"}, "identity_norm is one of"),
        ({"geometry_norm": "spectral"}, "geometry_norm is one of batch, none"),
        ({"geometry_components": 137}, "geometry_components are 0 to 136"),
        ({"synthetic_statistics": "own"}, "synthetic_statistics is one of running, batch"),
        ({"exchanged_landmarks": 0.6}, "exchanged_landmarks lie in"),
        ({"identity_updates": 0}, "identity_updates is at least 1"),
        ({"classifier_start": "resnet50.h5"}, "classifier_start is a file where C_exp is a whole ResNet-50"),
        ({"image_size": 30}, "multiple of 8"),
        ({"pixel_range": "unit"}, "signed"),
        ({"geometry_units": (12, 8)}, "odd number of layers"),
        ({"resnet_blocks": (1, 1)}, "four numbers"),
        ({"classifier_rate": 0.0}, "classifier_rate is positive"),
        ({"smoothing": 1.5}, "smoothing lies in"),
        ({"synthetic_images": -1}, "synthetic_images is at least 0"),
        ({"landmark_noise": -2.0}, "not negative"),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        CONFIG.replace(**fields)


# -- synthesis ---------------------------------------------------------------------------------------------------------


def test_the_generator_draws_what_synthesize_does(stepped):
    model, batch, _ = stepped
    faces, points = batch["image"], batch["other_landmarks"]
    image = model.generator()({"face": faces, "landmarks": points})["image"]
    np.testing.assert_allclose(image, model.synthesize(faces, points), atol=1e-6)
    inputs = model.generator_inputs(faces)
    assert {name: values.shape for name, values in inputs.items()} == {
        "face": faces.shape, "landmarks": (4, 68, 2)
    }  # fmt: skip
    ByLandmarks(model).checked_landmarks(inputs["landmarks"])
    one = model.synthesize(faces, points[0])
    np.testing.assert_allclose(one, model.synthesize(faces, np.repeat(points[:1], 4, 0)), atol=1e-6)
    with pytest.raises(ValueError, match="as many faces as sets of landmarks"):
        model.synthesize(faces, points[:3])


def test_pose_grid_leaves_out_what_was_not_seen(stepped):
    model, batch, _ = stepped
    face = batch["image"][0]
    grid, shown = ByLandmarks(model).pose_grid(face)
    assert grid.shape == (7, 8, SIZE, SIZE, 1) and shown.sum() == 8
    assert shown[:, 1].all() and shown[YAWS.index(0.0), 0] and not shown[:, 2:].any()
    expected = model.synthesize(face[None], ByLandmarks(model).landmarks_of("happiness", -15))[0]
    np.testing.assert_allclose(grid[YAWS.index(-15.0), 1], expected, atol=1e-6)
    assert not grid[0, 0].any()
    with pytest.raises(ValueError, match="none of these expressions at these yaws"):
        ByLandmarks(model).pose_grid(face, ["fear"])
    with pytest.raises(ValueError, match="unknown expression 'joy'"):
        ByLandmarks(model).pose_grid(face, ["joy"])


def test_interpolation_runs_over_landmarks(stepped):
    model, batch, _ = stepped
    face, first, last = batch["image"][0], turned_face(-20), turned_face(20, 0.1)
    strip = ByLandmarks(model).interpolate(face, first, last, steps=3)
    for image, points in zip(strip, (first, (first + last) / 2, last)):
        np.testing.assert_allclose(image, model.synthesize(face[None], points)[0], atol=1e-5)
    with pytest.raises(ValueError, match="at least 2 steps"):
        ByLandmarks(model).interpolate(face, first, last, steps=1)


def test_enlarging_a_set(stepped):
    model, batch, _ = stepped
    images, labels = ByLandmarks(model).enlarge(batch["image"][:2], 5, seed=3)
    assert images.shape == (2, 5, SIZE, SIZE, 1) and labels.shape == (2, 5, 8)
    # Each face gets every one of the five sets, in an order of its own.
    assert labels[0].argmax(1).sum() == labels[1].argmax(1).sum() == 4
    order = [np.abs(model.kept.labels.numpy()[:, 0] - 1).argmin()]
    number = labels[0].argmax(1).tolist().index(0)
    points = model.in_pixels(model.kept.sets.numpy()[order])
    np.testing.assert_allclose(images[0, number], model.synthesize(batch["image"][:1], points)[0], atol=1e-5)
    with pytest.raises(ValueError, match="come with the training"):
        ByLandmarks(G2FER(CONFIG)).enlarge(batch["image"], 2)


def test_landmarks_of_the_batch_are_scaled_to_the_images_borders(still):
    points = np.tile(np.float32([[0, SIZE]]), (1, 68, 1))
    assert still._scaled(tf.constant(points)).numpy()[0, :2].tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(still._in_range(points), still._scaled(tf.constant(points)))
    np.testing.assert_array_equal(still.in_pixels(still._in_range(points)), points)
    assert face_landmarks(SIZE).shape == (1, 68, 2)


def test_the_generator_may_learn_first():
    """Until its step C_exp learns from real images alone, and G nothing from C_exp."""
    model = model_of(learning_rate=1e-3, generator_steps=2)
    batch = batch_of(model)
    losses = []
    for _ in range(3):
        for tracker in model.trackers.values():
            tracker.reset_state()
        model.phase = model.phase_at(int(model.step))
        losses.append(float(model.train_step(batch)["synthetic"]))
    assert losses[:2] == [0, 0] and losses[2] > 0
    assert G2FER(CONFIG).starts() == () and model.starts() == (2,)


def test_a_saved_model_that_imagenet_started_names_no_file():
    whole = {"resnet_width": 64, "resnet_blocks": (3, 4, 6, 3), "resnet_stem": "imagenet"}
    config = CONFIG.replace(classifier_start="/somewhere/resnet50.h5", **whole)
    with pytest.raises(ResNetError, match="/somewhere/resnet50.h5: there is no such file; give keras.applications'"):
        build_classifier(config)
    model = G2FER(CONFIG)
    model.config = config
    assert model.portable_config().classifier_start == "imagenet"
    assert not {each.field for each in deviations(config)} & {"classifier_start"}
    assert "classifier_start" in {each.field for each in deviations(PAPER)}


def test_a_classifier_of_another_kind_stays_as_it_starts(monkeypatch):
    model, other = G2FER(CONFIG.replace(seed=1)), G2FER(CONFIG)
    monkeypatch.setattr(other, "config", CONFIG.replace(classifier="dlib_resnet"))
    before = [weight.numpy() for weight in model.networks["classifier"].weights]
    model.start_from(other)
    for weight, value in zip(model.networks["classifier"].weights, before):
        np.testing.assert_array_equal(weight, value)
    for name in ("encoder", "decoder", "geometry_encoder", "identity_discriminator"):
        for mine, theirs in zip(model.networks[name].weights, other.networks[name].weights):
            np.testing.assert_array_equal(mine, theirs)

"""IPD-FER: shapes, equations worked out by hand, and which weights each loss moves."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, moved

from kerasfer import zoo
from kerasfer.faces import yaw_class
from kerasfer.models.base import ConfigError, OptimizerPlan
from kerasfer.models.ipdfer import (
    IPDFER,
    IPDFERConfig,
    build_classifier,
    build_decoder,
    build_encoder,
    build_fine_encoder,
)
from kerasfer.synthesis import ByPhoto

CONFIG = IPDFERConfig.tiny()


def model_of(**fields) -> IPDFER:
    model = IPDFER(CONFIG.replace(**fields))
    model.compile(total_steps=9)
    return model


def batch_of(model: IPDFER) -> dict[str, tf.Tensor]:
    """Four images: one is neutral, and one has no pose."""
    images = next(iter(make_batches("images", model.config, count=16).epoch(0)))["image"]
    return {"image": images, "label": tf.one_hot([3, 0, 1, 6], 8), "pose_label": tf.constant([1, 4, -1, 0])}


@functools.cache
def baseline() -> IPDFER:
    return model_of(schedule="steps", learning_rate=1.0, variant="baseline", seed=5)


@pytest.fixture(scope="module")
def still() -> IPDFER:
    """A model that learns nothing, so that every term of a step can be worked out from its first weights."""
    return model_of(learning_rate=0.0)


@pytest.fixture(scope="module")
def stepped(still) -> tuple[IPDFER, dict[str, np.ndarray], dict[str, float]]:
    batch = batch_of(still)
    terms = {name: float(value) for name, value in still.train_step(batch).items()}
    return still, {name: value.numpy() for name, value in batch.items()}, terms


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_the_decoder_at_the_papers_size():
    decoder = build_decoder(IPDFERConfig.paper(), 512)
    shapes = [tuple(decoder.get_layer(f"block{number}").output.shape[1:]) for number in range(1, 6)]
    assert shapes == [(7, 7, 512), (14, 14, 256), (28, 28, 128), (56, 56, 64), (112, 112, 32)]
    assert decoder.output_shape == (None, 112, 112, 3)


def test_the_encoder_at_the_papers_size_gives_512_numbers():
    config = IPDFERConfig.paper().replace(identity="untrained")
    encoder = build_encoder(config, "expression_encoder")
    assert encoder.input_shape == (None, 112, 112, 3) and encoder.output_shape == (None, 512)


def test_the_default_encoder_is_the_zoos_identity_network():
    config = IPDFERConfig.small()
    encoder = build_encoder(config, "expression_encoder")
    assert encoder.input_shape == (None, 48, 48, 1) and encoder.output_shape == (None, 128)
    again = build_encoder(config, "pose_encoder")
    for one, other in zip(encoder.weights, again.weights):
        np.testing.assert_array_equal(one, other)


def test_classifiers_are_one_layer():
    classifier = build_classifier(keras.Input((512,)), 8, "expression_classifier")
    assert [tuple(weight.shape) for weight in classifier.weights] == [(512, 8), (8,)]


def test_small_differs_from_the_paper_in_size_only():
    paper, small = IPDFERConfig.paper().to_dict(), IPDFERConfig.small().to_dict()
    different = {name for name in paper if paper[name] != small[name]}
    assert different == {
        "image_size",
        "channels",
        "precision",
        "epochs",
        "encoder_size",
        "encoder_blocks",
        "decoder_channels",
    }


def test_the_papers_values():
    paper = IPDFERConfig.paper()
    weights = (paper.lambda_neutral, paper.lambda_expression, paper.lambda_identity, paper.lambda_reconstruction)
    assert weights == (0.001, 0.001, 1.0, 10.0) and (paper.beta_cosine, paper.beta_confusion) == (0.5, 1.0)
    assert (paper.batch_size, paper.epochs, paper.learning_rate, paper.schedule) == (32, 30, 1e-4, "steps")
    assert (paper.image_size, paper.channels, paper.pose_classes) == (112, 3, 5)


def test_the_rate_falls_to_a_tenth_after_each_third():
    rate = baseline()._learning_rate(30)
    assert [round(float(rate(step)), 4) for step in (0, 10, 11, 20, 21, 29)] == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]


def test_the_encoders_schedule_counts_both_updates_of_a_step(still):
    plans = still.optimizer_plans()
    assert {name: plan.updates for name, plan in plans.items()} == {
        "encoders": 2,
        "classifiers": 1,
        "decoder": 1,
        "discriminator": 1,
    }
    model = IPDFER(baseline().config.replace(schedule="cosine"))
    model.optimizer_plans = lambda: {
        "classification": OptimizerPlan(("expression_encoder", "expression_classifier"), updates=2)
    }
    model.compile(total_steps=50)
    assert model.optimizers["classification"]._learning_rate.decay_steps == 100


def test_the_decoder_has_a_rate_of_its_own():
    model = IPDFER(IPDFERConfig.tiny().replace(learning_rate=0.001, schedule="cosine", decoder_rate=10.0))
    model.compile(total_steps=50)
    rates = {name: float(optimizer._learning_rate(0)) for name, optimizer in model.optimizers.items()}
    expected = {"encoders": 0.001, "classifiers": 0.001, "decoder": 0.01, "discriminator": 0.001}
    assert rates == pytest.approx(expected)
    assert [optimizer._learning_rate.decay_steps for optimizer in model.optimizers.values()] == [100, 50, 50, 50]


def test_a_residual_block_of_the_decoder_starts_as_nothing(still):
    block = still.networks["decoder"].get_layer("block2")
    inputs = np.random.default_rng(0).normal(size=(2, 2, 2, 8)).astype(np.float32)
    np.testing.assert_array_equal(block(inputs), block.norm1(block.grow(inputs)))


# -- equations ---------------------------------------------------------------------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def outputs(model: IPDFER, name: str, values: np.ndarray, training: bool = True) -> np.ndarray:
    return np.asarray(model.networks[name](values, training=training), np.float64)


def test_the_norms_of_the_encoders_fit_the_first_batch():
    model = IPDFER(IPDFERConfig.small().replace(variant="id_fer", precision="float32", encoder_size=71))
    images = np.random.default_rng(1).uniform(-1, 1, (32, 48, 48, 1)).astype(np.float32)
    before = model.encode("expression", images)
    changed = moved(model, lambda: model.prepare({"image": images}))
    assert changed == {"expression_encoder", "discriminator_encoder"}
    np.testing.assert_allclose(model.encode("expression", images), before, atol=1e-5)
    trained = model.networks["expression_encoder"](images, training=True)
    np.testing.assert_allclose(trained, before, atol=1e-4)


def test_the_pose_code_may_come_from_a_few_numbers():
    model = IPDFER(CONFIG.replace(pose_units=3))
    images = np.random.default_rng(0).uniform(-1, 1, (12, *model.image_spec.shape)).astype(np.float32)
    code = model.encode("pose", images)
    assert code.shape == model.encode("identity", images).shape == (12, 8)
    spread = np.linalg.svd(code - code.mean(0), compute_uv=False)
    assert spread[2] > 1e-4 * spread[0] > 10 * spread[3]
    model.compile()
    before = [layer.get_weights() for layer in model.networks["pose_encoder"].layers[-2:]]
    assert np.isfinite(float(model.train_step(batch_of(model))["pose"]))
    after = [layer.get_weights() for layer in model.networks["pose_encoder"].layers[-2:]]
    assert all((old[0] != new[0]).any() for old, new in zip(before, after))


def test_the_identity_code_is_scaled():
    plain, scaled = (IPDFER(CONFIG.replace(identity_scale=scale)) for scale in (1.0, 10.0))
    images = np.asarray(batch_of(plain)["image"])
    np.testing.assert_allclose(scaled.encode("identity", images), 10 * plain.encode("identity", images), rtol=1e-5)
    np.testing.assert_allclose(scaled.encode("expression", images), plain.encode("expression", images), rtol=1e-5)


@pytest.mark.parametrize("variant", ["baseline", pytest.param("ipd_fer", marks=pytest.mark.slow)])
def test_mixup_by_hand(variant):
    """The baseline's step, and line 2 of Algorithm 1; D and the decoder learn from images as they are."""
    model = model_of(variant=variant, learning_rate=0.0, mixup=0.5)
    batch = batch_of(model)
    shares = 0.5 * model.uniform((4, 1, 1, 1), 0).numpy()
    assert 0 <= shares.min() < shares.max() <= 0.5
    images, labels = (batch[name].numpy() for name in ("image", "label"))
    images = (1 - shares) * images + shares * images[[3, 0, 1, 2]]
    labels = (1 - shares[:, 0, 0]) * labels + shares[:, 0, 0] * labels[[3, 0, 1, 2]]
    networks = model.networks
    logits = networks["expression_classifier"](networks["expression_encoder"](images, training=True), training=True)
    expected = -(labels * tf.nn.log_softmax(logits).numpy()).sum(-1).mean()
    terms = {name: float(value) for name, value in model.train_step(batch).items()}
    assert terms["expression"] == pytest.approx(expected, rel=1e-4)
    if variant == "ipd_fer":
        plain = model_of(variant=variant, learning_rate=0.0)
        plain.start_from(model)
        unmixed = plain.train_step(batch)
        assert float(unmixed["expression"]) != pytest.approx(expected, rel=1e-3)
        for name in ("discriminator", "reconstruction", "identity", "confusion"):
            assert terms[name] == pytest.approx(float(unmixed[name]), rel=1e-4)


def test_every_term_of_a_step(stepped):
    """Equations 1 to 6, 8 to 10 with the weights of 11 and 12, in numpy from the networks' outputs."""
    model, batch, terms = stepped
    images, labels, pose_labels = batch["image"], batch["label"], batch["pose_label"]
    identity = outputs(model, "identity_encoder", images, False)
    pose = outputs(model, "pose_encoder", images)
    expression = outputs(model, "expression_encoder", images)
    logits = outputs(model, "expression_classifier", expression.astype(np.float32))

    def entropy(targets: np.ndarray, given: np.ndarray) -> np.ndarray:
        return -(targets * np.log(softmax(given))).sum(-1)

    expected = {"expression": entropy(labels, logits).mean()}
    cosine = np.abs((identity * expression).sum(-1)) / np.linalg.norm(identity, axis=-1)
    expected["cosine"] = 0.5 * (cosine / np.linalg.norm(expression, axis=-1)).mean()
    pose_logits = outputs(model, "pose_classifier", pose.astype(np.float32))
    known = pose_labels >= 0
    expected["pose"] = entropy(np.eye(5)[pose_labels[known]], pose_logits[known]).mean()
    expected["pose_accuracy"] = (pose_logits[known].argmax(-1) == pose_labels[known]).mean()
    confused = outputs(model, "pose_classifier", expression.astype(np.float32))
    expected["confusion"] = -np.log(softmax(confused)).mean(-1).mean()

    neutral = outputs(model, "decoder", (identity + pose).astype(np.float32)).astype(np.float32)
    whole = outputs(model, "decoder", (identity + pose + expression).astype(np.float32)).astype(np.float32)
    is_neutral = labels.argmax(-1) == 0
    reconstruction = np.abs(whole - images).mean((1, 2, 3)) + is_neutral * np.abs(neutral - images).mean((1, 2, 3))
    expected["reconstruction"] = 10 * reconstruction.mean()
    seen = [outputs(model, "identity_encoder", drawn, False) for drawn in (neutral, whole)]
    expected["identity"] = sum(np.abs(features - identity).mean() for features in seen)
    expected["accuracy"] = (logits.argmax(-1) == labels.argmax(-1)).mean()

    # D judged the drawings with the moving statistics that the real images had left: look before they move again.
    def judged(drawn: np.ndarray) -> np.ndarray:
        features = outputs(model, "discriminator_encoder", drawn, False).astype(np.float32)
        return outputs(model, "discriminator_head", features, False)

    as_neutral = np.eye(len(model.label_space))[np.zeros(len(images), int)]
    expected["neutral_adversarial"] = 0.001 * entropy(as_neutral, judged(neutral)).mean()
    expected["expression_adversarial"] = 0.001 * entropy(labels, judged(whole)).mean()
    real = outputs(model, "discriminator_head", outputs(model, "discriminator_encoder", images).astype(np.float32))
    expected["discriminator"] = entropy(labels, real).mean()
    assert set(expected) == set(terms)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-3, atol=1e-6, err_msg=name)


def test_a_batch_without_any_pose_costs_nothing_in_pose(stepped):
    model, batch, _ = stepped
    identity = model.networks["identity_encoder"](batch["image"], training=False)
    nobody = tf.fill((CONFIG.batch_size,), -1)
    terms, _ = model._classification_terms(batch["image"], batch["label"], nobody, identity, True)
    assert float(terms["pose"]) == 0 and all(np.isfinite(float(value)) for value in terms.values())


# -- routes of the gradient --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learner() -> tuple[IPDFER, dict[str, tf.Tensor], tf.Tensor]:
    model = model_of(learning_rate=1e-3)
    batch = batch_of(model)
    return model, batch, model.networks["identity_encoder"](batch["image"], training=False)


def test_classification_moves_encoders_and_classifiers(learner):
    model, batch, identity = learner
    names = moved(
        model, lambda: model._train_classification(batch["image"], batch["label"], batch["pose_label"], identity)
    )
    assert names == {"expression_encoder", "expression_classifier", "pose_encoder", "pose_classifier"}


def test_the_discriminator_learns_alone(learner):
    model, batch, _ = learner
    names = moved(model, lambda: model._train_discriminator(batch["image"], batch["label"]))
    assert names == {"discriminator_encoder", "discriminator_head"}


def test_the_generator_moves_no_classifier_and_no_discriminator(learner):
    model, batch, identity = learner
    names = moved(model, lambda: model._train_generator(batch["image"], batch["label"], batch["pose_label"], identity))
    assert names == {"expression_encoder", "pose_encoder", "decoder"}


def test_a_whole_step_moves_everything_but_the_identity_network(learner):
    model, batch, _ = learner
    assert moved(model, lambda: model.train_step(batch)) == set(model.networks) - {"identity_encoder"}
    assert not model.networks["identity_encoder"].trainable_variables


def test_the_discriminator_never_sees_a_generated_image(learner):
    """Its step is the same whatever the decoder draws."""
    model, batch, _ = learner
    networks = [model.networks[name] for name in ("decoder", "discriminator_encoder", "discriminator_head")]
    kept = [[weight.numpy() for weight in network.weights] for network in networks]
    losses = []
    for value in (0.0, 5.0):
        for network, values in zip(networks, kept):
            for weight, old in zip(network.weights, values):
                weight.assign(np.full(weight.shape, value, np.float32) if network.name == "decoder" else old)
        model.trackers["discriminator"].reset_state()
        model._train_discriminator(batch["image"], batch["label"])
        losses.append(float(model.result()["discriminator"]))
    for network, values in zip(networks, kept):
        for weight, old in zip(network.weights, values):
            weight.assign(old)
    assert losses[0] == losses[1]


def test_the_pose_confusion_reaches_the_expression_encoder(learner):
    model, batch, _ = learner
    images = batch["image"]
    with tf.GradientTape() as tape:
        features = model._encode("expression", images, True)
        logits = model.networks["pose_classifier"](features, training=False)
        loss = -tf.reduce_mean(tf.nn.log_softmax(logits))
    gradients = tape.gradient(loss, model.networks["expression_encoder"].trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


# -- variants, synthesis and errors ------------------------------------------------------------------------------------


def test_variants_have_their_networks(still):
    assert set(baseline().networks) == {"expression_encoder", "expression_classifier"}
    without = IPDFER(CONFIG.without_pose())
    assert set(still.networks) - set(without.networks) == {"pose_encoder", "pose_classifier"}
    assert without.loss_terms() == tuple(
        term for term in still.loss_terms() if term not in ("pose", "confusion", "pose_accuracy")
    )
    assert CONFIG.baseline().variant == "baseline" and CONFIG.without_pose().variant == "id_fer"


def test_a_baseline_gives_expression_and_discriminator_their_start():
    model = IPDFER(CONFIG)
    before = {name: [weight.numpy() for weight in part.weights] for name, part in model.networks.items()}
    model.start_from(baseline())
    for name in ("expression_encoder", "discriminator_encoder"):
        for mine, theirs in zip(model.networks[name].weights, baseline().networks["expression_encoder"].weights):
            np.testing.assert_array_equal(mine, theirs)
    for name in ("pose_encoder", "identity_encoder", "decoder"):
        for mine, old in zip(model.networks[name].weights, before[name]):
            np.testing.assert_array_equal(mine, old)


def test_a_model_saved_without_its_discriminator_gives_all_else_its_start(still, tmp_path):
    saved = zoo.load(zoo.save(still, tmp_path / "saved", groups=("recognizer", "generator", "identity")))
    assert saved.left_out() == ("discriminator_encoder", "discriminator_head") and still.left_out() == ()
    model = model_of(seed=7)
    model.start_from(saved)
    for name, source in (
        ("decoder", "decoder"),
        ("pose_encoder", "pose_encoder"),
        ("discriminator_encoder", "expression_encoder"),
        ("discriminator_head", "expression_classifier"),
    ):
        for mine, theirs in zip(model.networks[name].weights, still.networks[source].weights):
            np.testing.assert_array_equal(mine, theirs)
    recognizer = zoo.load(zoo.save(still, tmp_path / "recognizer", groups=("recognizer",)))
    with pytest.raises(zoo.ZooError, match="saved without its generator weights"):
        model.start_from(recognizer)
    with pytest.raises(zoo.ZooError, match="no pose_encoder: .* saved without its generator weights"):
        recognizer.encode("pose", np.zeros((1, 32, 32, 1), np.float32))


def both(**fields) -> IPDFER:
    return model_of(expression_networks=("identity", "fine"), fine_width=4, **fields)


def test_the_fine_network_sees_every_pixel():
    encoder = build_fine_encoder(IPDFERConfig.small())
    maps = [tuple(encoder.get_layer(name).output.shape[1:]) for name in FINE_MAPS]
    assert maps == [(48, 48, 32), (24, 24, 48), (24, 24, 48), (12, 12, 96), (12, 12, 96), (6, 6, 192), (6, 6, 192)]
    assert encoder.output_shape == (None, 128)


FINE_MAPS = (
    "fine_encoder_stem_relu",
    *(f"fine_encoder_stage{stage}_block{block}_relu2" for stage in (1, 2, 3) for block in (1, 2)),
)


def test_two_networks_of_e_exp_are_averaged():
    model = both()
    faces = batch_of(model)["image"]
    assert model.optimizer_plans()["encoders"].networks == ("expression_encoder", "fine_encoder", "pose_encoder")
    assert model.weight_groups()["recognizer"] == ("expression_encoder", "fine_encoder", "expression_classifier")
    parts = [np.asarray(model.networks[name](faces)) for name in ("expression_encoder", "fine_encoder")]
    np.testing.assert_allclose(model.encode("expression", faces), (parts[0] + parts[1]) / 2, atol=1e-6)
    logits = model.expression_logits(tf.constant(sum(parts) / 2))
    np.testing.assert_allclose(model.recognizer()(faces), tf.nn.softmax(logits), atol=1e-6)


def test_a_step_moves_both_networks_of_e_exp():
    model = both()
    assert {"expression_encoder", "fine_encoder", "expression_classifier"} <= moved(
        model, lambda: model.train_step(batch_of(model))
    )


def test_a_fine_network_joins_and_the_classifier_says_the_mean_of_what_both_said():
    coarse = model_of(variant="baseline", seed=5)
    fine = model_of(variant="baseline", seed=6, expression_networks=("fine",), fine_width=4)
    assert set(fine.networks) == {"fine_encoder", "expression_classifier"}
    for alone in (coarse, fine):  # classifiers with biases and vectors with offsets of their own
        for weight in alone.networks["expression_classifier"].weights:
            weight.assign_add(tf.random.stateless_normal(weight.shape, (alone.config.seed, 1)))
    fine.networks["fine_encoder"].get_layer("fine_encoder_vector").bias.assign(tf.linspace(-1.0, 1.0, 8))
    model = both(variant="baseline")
    model.start_from(coarse)
    model.start_from(fine)
    faces = batch_of(model)["image"]
    said = [alone.expression_logits(alone.encode("expression", faces)) for alone in (coarse, fine)]
    together = model.expression_logits(model.encode("expression", faces))
    np.testing.assert_allclose(together, (said[0] + said[1]) / 2, atol=1e-4)
    again = both()
    again.start_from(model)
    np.testing.assert_array_equal(again.encode("expression", faces), model.encode("expression", faces))


def test_weights_decay_by_their_share():
    plain, decayed = (
        model_of(variant="baseline", learning_rate=0.1, weight_decay=decay, schedule="constant") for decay in (0.0, 0.5)
    )
    before = [weight.numpy() for weight in plain.variables_of("expression_classifier")]
    for model in (plain, decayed):
        model.train_step(batch_of(model))
    for old, free, held in zip(
        before, plain.variables_of("expression_classifier"), decayed.variables_of("expression_classifier")
    ):
        np.testing.assert_allclose(free.numpy() - held.numpy(), 0.1 * 0.5 * old, atol=1e-6)


def test_disentangling_adds_part_after_part(stepped):
    model, batch, _ = stepped
    faces = batch["image"]
    drawn = ByPhoto(model).disentangle(faces)
    assert list(drawn) == ["identity", "pose", "expression"]
    codes = {part: model.encode(part, faces) for part in drawn}
    np.testing.assert_array_equal(drawn["identity"], model.decode(codes["identity"]))
    np.testing.assert_allclose(drawn["expression"], model.decode(sum(codes.values())), atol=1e-6)
    np.testing.assert_allclose(drawn["expression"], model.synthesize(faces, faces), atol=1e-6)


def test_synthesis_takes_each_part_from_its_image(stepped):
    model, batch, _ = stepped
    a, b = batch["image"][:2], batch["image"][2:4]
    expected = model.encode("identity", a) + model.encode("pose", b) + model.encode("expression", b)
    np.testing.assert_array_equal(model.synthesize(a, b, poses=b), model.decode(expected))


def test_interpolations_run_from_source_to_target(stepped):
    model, batch, _ = stepped
    a, b, c = batch["image"][:3]
    strip = ByPhoto(model).interpolate_expression(a, b, c, steps=3)
    np.testing.assert_allclose(strip[[0, 2]], model.synthesize(np.stack([a, a]), np.stack([b, c])), atol=1e-3)
    strip = ByPhoto(model).interpolate_face(a, b, c, steps=3)
    np.testing.assert_allclose(strip[[0, 2]], model.synthesize(np.stack([b, c]), np.stack([a, a])), atol=1e-3)
    with pytest.raises(ValueError, match="at least 2 steps"):
        ByPhoto(model).interpolate_face(a, b, c, steps=1)


def test_what_a_variant_cannot_do_is_said(stepped):
    model, batch, _ = stepped
    faces = batch["image"]
    with pytest.raises(ValueError, match="recognizes, and generates nothing"):
        baseline().synthesize(faces, faces)
    with pytest.raises(ValueError, match="baseline encodes expression, not 'identity'"):
        baseline().encode("identity", faces)
    with pytest.raises(ValueError, match=r"shape \(n, 32, 32, 1\)"):
        model.encode("pose", faces[:, :16])
    with pytest.raises(ValueError, match="as many faces as expressions"):
        model.synthesize(faces, faces[:1])


def test_without_a_neutral_class_its_loss_is_left_out_and_said():
    config = CONFIG.replace(variant="id_fer", expressions=("happy", "sad", "other"))
    model = IPDFER(config)
    (line,) = model.omissions()
    assert line.startswith("no class of happy, sad, other is neutral: L_neu (equation 9)")
    assert model.neutral_class is None and "neutral_adversarial" not in model.loss_terms()
    model.compile()
    terms = model.train_step(next(iter(make_batches("images", config).epoch(0))))
    assert tuple(terms) == model.loss_terms() and all(np.isfinite(float(value)) for value in terms.values())
    assert IPDFER(config.replace(variant="baseline")).omissions() == ()
    named = IPDFER(config.replace(expressions=("happy", "Neutral")))
    assert named.neutral_class == 1 and named.omissions() == () and "neutral_adversarial" in named.loss_terms()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"variant": "ipd"}, "variant is one of"),
        ({"image_size": 50}, "multiple of 16"),
        ({"decoder_channels": (8, 8)}, "five numbers"),
        ({"pixel_range": "unit"}, "signed"),
        ({"norm": "max"}, "mean or sum"),
        ({"mixup": 0.7}, r"mixup lies in \[0, 0.5\]"),
        ({"identity_scale": 0.0}, "identity_scale is positive"),
        ({"weight_decay": -1.0}, "weight_decay is not negative"),
        ({"expression_networks": ("fine", "identity")}, "expression_networks are"),
        ({"expression_networks": ()}, "expression_networks are"),
        ({"fine_width": 1}, "fine_width is at least 2"),
        ({"pose_units": -1}, "pose_units"),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        CONFIG.replace(**fields)


def test_yaw_classes():
    yaw = np.array([0.0, -9.9, 10.0, -25.0, 30.0, 40.0, -90.0, np.nan])
    assert yaw_class(yaw).tolist() == [0, 0, 1, 2, 3, 4, 4, -1]

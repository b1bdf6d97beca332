"""TDGAN against its paper: shapes of Tables I and II, equations 2 to 12, and where every gradient goes."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasfer import synthesis, zoo
from kerasfer.losses import cross_entropy_from_logits, hits
from kerasfer.models.base import ConfigError
from kerasfer.models.tdgan import (
    TDGAN,
    TDGANConfig,
    build_decoder,
    build_embedding,
    build_encoder,
    build_head,
)
from kerasfer.synthesis import ByPhoto

GENERATOR = ("face_encoder", "expression_encoder", "embedding", "decoder")
FACE_DISCRIMINATOR = ("face_discriminator_encoder", "face_discriminator_head")
EXPRESSION_DISCRIMINATOR = ("expression_discriminator_encoder", "expression_discriminator_head")


NETWORK_FREE = {
    "lambda_face",
    "lambda_expression",
    "lambda_dic",
    "lambda_perceptual",
    "perceptual",
    "norm",
    "face_discriminator_every",
    "expression_discriminator_every",
    "seed",
}
"""Settings that no network depends on once it is made: models that differ in these alone are made once."""


@functools.cache
def made(copy: int, **changes) -> tuple[TDGAN, dict[str, np.ndarray]]:
    """A model and its first state; `copy` tells models of the same config apart."""
    config = TDGANConfig.tiny().replace(inception_blocks=1, residual_blocks=1, **changes)
    model = TDGAN(config)
    model.compile()
    return model, {name: np.array(variable) for name, variable in model.state().items()}


def tiny_model(copy: int = 0, **changes) -> TDGAN:
    """A small model in its first state, without dropout, so that a forward pass can be repeated."""
    built = {name: value for name, value in changes.items() if name not in NETWORK_FREE}
    model, state = made(copy, **{"dropout": 0.0, **built})
    for name, variable in model.state().items():
        variable.assign(state[name])
    model.config = TDGANConfig.tiny().replace(inception_blocks=1, residual_blocks=1, **{"dropout": 0.0, **changes})
    model.phase = None
    return model


def shuffled(model: TDGAN, seed: int) -> TDGAN:
    """The model with other random weights."""
    rng = np.random.default_rng(seed)
    for network in model.networks.values():
        network.set_weights([rng.normal(0, 0.2, weight.shape) for weight in network.get_weights()])
    return model


def batch_of(count: int = 2, seed: int = 0) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.dirichlet(np.ones(8), count)
    labels[0] = np.eye(8)[3]
    return {
        "expression_image": tf.constant(rng.random((count, 32, 32, 1)), tf.float32),
        "expression_label": tf.constant(labels, tf.float32),
        "face_image": tf.constant(rng.random((count, 32, 32, 1)), tf.float32),
        "identity_label": tf.constant(rng.integers(0, 3, count), tf.int32),
    }


def weights_of(model: TDGAN) -> dict[str, list[np.ndarray]]:
    return {name: network.get_weights() for name, network in model.networks.items()}


def moved(model: TDGAN, before: dict[str, list[np.ndarray]]) -> set[str]:
    """Networks with a weight that is not what it was."""
    after = weights_of(model)
    return {name for name in after if any((a != b).any() for a, b in zip(after[name], before[name]))}


def freeze_all_but(model: TDGAN, *optimizers: str) -> None:
    for name, optimizer in model.optimizers.items():
        if name not in optimizers:
            optimizer.learning_rate = 0.0


# -- Tables I and II, Fig. 4 -------------------------------------------------------------------------------------------


def rows_of(network: keras.Model) -> dict[str, tuple[tuple[int, ...], int]]:
    """Layer -> shape of its output without the batch, number of its weights."""
    return {layer.name: (tuple(layer.output.shape[1:]), layer.count_params()) for layer in network.layers}


def test_table_1_encoder():
    # A 5x5 unit has 25 in out kernel weights, and out gammas and betas. An inception block: 1x1 units 64 -> 16 (1056
    # weights) at the head of all three branches, three 3x3 units 16 -> 16 (2336 each), a 1x1 convolution 48 -> 64.
    inception = 3 * (64 * 16 + 32) + 3 * (9 * 16 * 16 + 32) + (48 * 64 + 64)
    assert inception == 13312
    network = build_encoder(TDGANConfig.paper(), "encoder")
    assert rows_of(network) == {
        "image": ((128, 128, 1), 0),
        "conv1": ((64, 64, 32), 25 * 1 * 32 + 64),
        "conv2": ((32, 32, 64), 25 * 32 * 64 + 128),
        **{f"inception{block}": ((32, 32, 64), inception) for block in (1, 2, 3, 4)},
        "conv3": ((16, 16, 128), 25 * 64 * 128 + 256),
        "conv4": ((8, 8, 128), 25 * 128 * 128 + 256),
    }
    assert network.count_params() == 720_352
    for number in (1, 2, 3, 4):
        layer = network.get_layer(f"conv{number}")
        assert (layer.kernel_size, layer.pool, layer.epsilon) == (5, True, 1e-3)
    assert (network.get_layer("inception1").scale, network.get_layer("inception1").epsilon) == (0.17, 1e-3)


def test_figure_4_inception_block():
    shapes = {
        name: tuple(kernel.shape)
        for name, kernel in build_encoder(TDGANConfig.paper(), "encoder").get_layer("inception4").kernels.items()
    }
    assert shapes == {
        "branch0_0": (1, 1, 64, 16),
        "branch1_0": (1, 1, 64, 16),
        "branch1_1": (3, 3, 16, 16),
        "branch2_0": (1, 1, 64, 16),
        "branch2_1": (3, 3, 16, 16),
        "branch2_2": (3, 3, 16, 16),
    }


@pytest.mark.parametrize("classes", [21, 8])
def test_table_1_heads(classes):
    network = build_head(TDGANConfig.paper(), classes, "head", keras.Input((8, 8, 128), name="code"))
    assert rows_of(network) == {
        "code": ((8, 8, 128), 0),
        "flatten": ((8192,), 0),
        "dropout1": ((8192,), 0),
        "fc1": ((1024,), 8192 * 1024 + 1024),
        "dropout2": ((1024,), 0),
        "fc2": ((1024,), 1024 * 1024 + 1024),
        "fc3": ((classes,), 1024 * classes + classes),
    }
    assert [network.get_layer(name).rate for name in ("dropout1", "dropout2")] == [0.5, 0.5]
    activations = [network.get_layer(name).activation for name in ("fc1", "fc2", "fc3")]
    assert activations == [keras.activations.relu, keras.activations.relu, keras.activations.linear]


def test_table_2_embedding():
    network = build_embedding(TDGANConfig.paper())
    assert rows_of(network) == {
        "expression_code": ((8, 8, 128), 0),
        "face_code": ((8, 8, 128), 0),
        "noise": ((8, 8, 256), 0),
        "concatenate": ((8, 8, 512), 0),
        "conv": ((8, 8, 128), 9 * 512 * 128 + 128),
        **{f"residual{block}": ((8, 8, 128), 9 * 128 * 128 + 128) for block in range(1, 7)},
    }


def test_table_2_decoder():
    network = build_decoder(TDGANConfig.paper())
    assert rows_of(network) == {
        "fused": ((8, 8, 128), 0),
        "deconv1": ((16, 16, 512), 16 * 128 * 512),
        "norm1": ((16, 16, 512), 0),
        "deconv2": ((32, 32, 256), 16 * 512 * 256),
        "norm2": ((32, 32, 256), 0),
        "deconv3": ((64, 64, 128), 16 * 256 * 128),
        "norm3": ((64, 64, 128), 0),
        "deconv4": ((128, 128, 64), 16 * 128 * 64),
        "norm4": ((128, 128, 64), 0),
        "deconv5": ((128, 128, 1), 9 * 64 * 1),
        "sigmoid": ((128, 128, 1), 0),
    }
    norm = network.get_layer("norm1")
    assert (norm.affine, norm.relu, norm.epsilon) == (False, True, 1e-5)


def test_the_concatenation_is_expression_face_noise():
    network = build_embedding(TDGANConfig.tiny())
    codes = [tf.fill((1, 2, 2, channels), value) for channels, value in ((8, 1.0), (8, 2.0), (4, 3.0))]
    inner = keras.Model(network.inputs, network.get_layer("concatenate").output)
    np.testing.assert_array_equal(inner(codes)[0, 0, 0], [1] * 8 + [2] * 8 + [3] * 4)


def test_the_model_has_every_network_once():
    model = tiny_model()
    heads = {name: model.networks[name].output.shape[-1] for name in model.networks if "head" in name}
    assert heads == {"face_discriminator_head": 3 + 1, "expression_discriminator_head": 8}
    assert model.networks["expression_classifier"].output.shape[-1] == 8
    plans = [name for plan in model.optimizer_plans().values() for name in plan.networks]
    assert sorted(plans) == sorted(model.networks) and len(set(plans)) == 9
    assert sorted(name for group in model.weight_groups().values() for name in group) == sorted(model.networks)


def test_paper_and_released_settings():
    paper = TDGANConfig.paper()
    assert (paper.image_size, paper.channels, paper.pixel_range, paper.identities) == (128, 1, "unit", 20)
    assert (paper.lambda_face, paper.lambda_expression) == (0.2, 0.8)
    assert (paper.lambda_dic, paper.lambda_perceptual) == (5.0, 1.0)
    assert (paper.learning_rate, paper.schedule, paper.batch_size, paper.epochs) == (1e-4, "constant", 32, 100)
    differing = {
        field.name
        for field in dataclasses.fields(paper)
        if getattr(paper, field.name) != getattr(TDGANConfig.released(), field.name)
    }
    assert differing == {"perceptual", "deviation", "face_discriminator_every", "expression_discriminator_every"}
    assert TDGANConfig.released().perceptual == "face_discriminator_mse"
    assert TDGANConfig.paper().without_dic().lambda_dic == 0


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 40},
        {"variant": "gan"},
        {"norm": "l2"},
        {"perceptual": "vgg"},
        {"encoder_channels": (1, 2, 3)},
        {"decoder_channels": (1, 2, 3)},
        {"identities": 0},
        {"face_discriminator_every": 0},
        {"face_discriminator_steps": -1},
        {"faces_drawn": "evenly"},
        {"deviation": -0.1},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ConfigError):
        TDGANConfig.tiny().replace(**change)


# -- equations 2 to 10 -------------------------------------------------------------------------------------------------


def test_cross_entropies_by_hand():
    logits = tf.math.log([[1.0, 3.0], [1.0, 1.0]])
    numbers = tf.constant([1, 0])
    np.testing.assert_allclose(cross_entropy_from_logits(numbers, logits), [-np.log(0.75), np.log(2)], rtol=1e-6)
    labels = tf.constant([[0.5, 0.5], [1.0, 0.0]])
    expected = [-(np.log(0.25) + np.log(0.75)) / 2, np.log(2)]
    np.testing.assert_allclose(cross_entropy_from_logits(labels, logits), expected, rtol=1e-6)
    np.testing.assert_array_equal(hits(tf.constant([[0.0, 1.0], [0.0, 1.0]]), logits), [1, 0])


def equations(model: TDGAN, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Every term of a step, written out from the paper; averages over the batch, weights included."""
    config, networks = model.config, model.networks
    face, expression = batch["face_image"], batch["expression_image"]
    y_e, y_f = batch["expression_label"], tf.one_hot(batch["identity_label"], config.identities + 1)
    y_g = tf.one_hot([config.identities] * len(face), config.identities + 1)
    E_f, E_e = networks["face_encoder"], networks["expression_encoder"]

    def G(I_f, I_e, d_n):
        return networks["decoder"](networks["embedding"]([E_e(I_e), E_f(I_f), d_n]))

    def log_D(images, name):
        logits = networks[f"{name}_discriminator_head"](networks[f"{name}_discriminator_encoder"](images))
        return tf.math.log(tf.nn.softmax(logits))

    def against(labels, log_probabilities):
        return -tf.reduce_mean(tf.reduce_sum(labels * log_probabilities, -1))

    def l1(left, right):
        total = tf.reduce_sum(tf.abs(left - right)) / len(face)
        return total / np.prod(left.shape[1:]) if config.norm == "mean" else total

    noises = [model.noise(len(face), draw) for draw in range(3)]
    I_g = G(face, expression, noises[0])
    fixed = tf.stop_gradient(I_g)
    M_ER = tf.math.log(tf.nn.softmax(networks["expression_classifier"](tf.stop_gradient(E_e(expression)))))
    if config.perceptual == "face_encoder_l1":
        perceptual = l1(E_f(face), E_f(I_g))
    else:
        features = networks["face_discriminator_encoder"]
        perceptual = tf.reduce_mean(tf.square(features(I_g) - features(face)))
    consistency = l1(G(I_g, face, noises[1]), face) + l1(G(expression, I_g, noises[2]), expression)
    return {
        "face_discriminator": against(y_f, log_D(face, "face")) + against(y_g, log_D(fixed, "face")),
        "expression_discriminator": against(y_e, log_D(expression, "expression")),
        "generator_face": config.lambda_face * against(y_f, log_D(I_g, "face")),
        "generator_expression": config.lambda_expression * against(y_e, log_D(I_g, "expression")),
        "dual_image_consistency": config.lambda_dic * consistency,
        "perceptual": config.lambda_perceptual * perceptual,
        "expression_classifier": against(y_e, M_ER),
    }


VARIANTS = {
    "paper": {},
    "other weights, sums": {"norm": "sum", "lambda_face": 0.7, "lambda_expression": 0.3, "lambda_perceptual": 3.0},
    "without DIC": {"lambda_dic": 0.0},
    "released": {"perceptual": "face_discriminator_mse"},
    "released without DIC": {"perceptual": "face_discriminator_mse", "lambda_dic": 0.0},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_terms_and_gradients_equal_the_equations(changes, monkeypatch):
    model, batch = tiny_model(**changes), batch_of()
    gradients = {}

    def note(optimizer, loss, tape):
        networks = model.optimizer_plans()[optimizer].networks
        gradients[optimizer] = tape.gradient(loss, model.variables_of(*networks))

    monkeypatch.setattr(model, "minimize", note)
    with tf.GradientTape(persistent=True) as tape:
        expected = equations(model, batch)
        losses = {name: expected[name] for name in model.optimizers if name != "generator"}
        names = ("generator_face", "generator_expression", "dual_image_consistency", "perceptual")
        losses["generator"] = tf.add_n([expected[name] for name in names])  # equation 9
    reported = model.train_step(batch)
    for name, value in expected.items():
        np.testing.assert_allclose(reported[name], value, rtol=1e-4, err_msg=name)
    for optimizer, plan in model.optimizer_plans().items():
        variables = model.variables_of(*plan.networks)
        by_hand = tape.gradient(losses[optimizer], variables)
        assert len(gradients[optimizer]) == len(variables) > 0
        for variable, ours, theirs in zip(variables, gradients[optimizer], by_hand):
            scale = np.abs(theirs).max()
            assert scale > 0, variable.path
            np.testing.assert_allclose(ours, theirs, atol=2e-3 * scale, err_msg=variable.path)


def test_accuracy_is_that_of_the_classification_module():
    model, batch = tiny_model(), batch_of(4)
    freeze_all_but(model)
    probabilities = np.asarray(model.recognizer()(batch["expression_image"]))
    right = probabilities.argmax(1) == np.asarray(batch["expression_label"]).argmax(1)
    assert float(model.train_step(batch)["accuracy"]) == right.mean()


def test_terms_are_means_over_the_steps_since_the_reset():
    model, first, second = tiny_model(), batch_of(seed=1), batch_of(seed=2)
    freeze_all_but(model)
    one = float(model.train_step(first)["expression_discriminator"])
    mean = float(model.train_step(second)["expression_discriminator"])
    model.reset_metrics()
    two = float(model.train_step(second)["expression_discriminator"])
    assert mean == pytest.approx((one + two) / 2, rel=1e-5) and int(model.step) == 3


def test_recognizer_is_the_softmax_of_the_classification_module():
    model, images = tiny_model(), batch_of()["expression_image"]
    networks = model.networks
    logits = np.asarray(networks["expression_classifier"](networks["expression_encoder"](images)), np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.recognizer()(images), expected, atol=1e-6)
    np.testing.assert_array_equal(model(images), model.recognizer()(images))


# -- the routes of the gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "networks"),
    [
        ("generator", GENERATOR),
        ("face_discriminator", FACE_DISCRIMINATOR),
        ("expression_discriminator", EXPRESSION_DISCRIMINATOR),
        ("expression_classifier", ("expression_classifier",)),
    ],
)
def test_each_loss_moves_its_own_networks_only(optimizer, networks):
    model = tiny_model()
    freeze_all_but(model, optimizer)
    before = weights_of(model)
    model.train_step(batch_of())
    assert moved(model, before) == set(networks)


def test_the_classification_loss_never_reaches_the_expression_encoder():
    nothing = dict.fromkeys(("lambda_face", "lambda_expression", "lambda_dic", "lambda_perceptual"), 0.0)
    model = tiny_model(**nothing)
    before = weights_of(model)
    model.train_step(batch_of())
    assert "expression_classifier" in moved(model, before)
    assert not moved(model, before) & set(GENERATOR)


def test_the_expression_labels_of_the_classification_module_do_not_move_the_generator():
    one, other = tiny_model(lambda_expression=0.0), tiny_model(1, lambda_expression=0.0)
    batch = batch_of()
    one.train_step(batch)
    other.train_step({**batch, "expression_label": tf.roll(batch["expression_label"], 1, 1)})
    for name in GENERATOR:
        for ours, theirs in zip(one.networks[name].get_weights(), other.networks[name].get_weights()):
            np.testing.assert_array_equal(ours, theirs)
    assert "expression_classifier" in moved(one, weights_of(other))


def test_the_expression_discriminator_sees_real_expression_images_only(monkeypatch):
    model, other, batch = tiny_model(), tiny_model(1), batch_of()
    seen = []
    network = other.networks["expression_discriminator_head"]
    monkeypatch.setattr(
        other,
        "expression_logits",
        lambda x, training=False: (
            seen.append(x)
            or network(other.networks["expression_discriminator_encoder"](x, training=training), training=training)
        ),
    )
    model.train_step(batch)
    faces = batch_of(seed=9)
    other.train_step({**batch, "face_image": faces["face_image"], "identity_label": faces["identity_label"]})
    assert not moved(model, weights_of(other)) & set(EXPRESSION_DISCRIMINATOR)
    np.testing.assert_array_equal(seen[0], batch["expression_image"])
    assert len(seen) == 2  # learning from real images, and judging the generated ones for the generator


def test_the_face_discriminator_calls_generated_images_the_last_class():
    model, batch = tiny_model(), batch_of()
    freeze_all_but(model, "face_discriminator")
    faces, identities, noise = batch["face_image"], batch["identity_label"], np.asarray(model.noise(2))
    generated = model.synthesize(faces, batch["expression_image"], noise)
    before = cross_entropy_from_logits(identities, model.face_logits(faces)), model.face_logits(generated)
    model.train_step(batch)
    after = cross_entropy_from_logits(identities, model.face_logits(faces)), model.face_logits(generated)
    assert (after[0] < before[0]).numpy().all()
    rises = np.asarray(tf.nn.softmax(after[1]) - tf.nn.softmax(before[1]))
    assert set(rises.argmax(1)) == {model.config.identities} and rises.shape == (2, 4)


def test_the_generator_judges_by_discriminators_that_just_learned():
    """Both discriminators take their step first; the generator's terms are those of the new ones."""
    model, batch = tiny_model(), batch_of()
    freeze_all_but(model, "face_discriminator", "expression_discriminator")
    model.optimizers["face_discriminator"].learning_rate = 1e-2
    noise = model.noise(2)
    old = equations(model, batch)
    reported = model.train_step(batch)
    generated = model.decode(
        model.networks["expression_encoder"](batch["expression_image"]),
        model.networks["face_encoder"](batch["face_image"]),
        noise,
    )
    expected = 0.2 * tf.reduce_mean(cross_entropy_from_logits(batch["identity_label"], model.face_logits(generated)))
    np.testing.assert_allclose(reported["generator_face"], expected, rtol=1e-4)
    assert abs(float(expected) - float(old["generator_face"])) > 1e-4


def test_dropout_is_on_while_training_and_off_otherwise():
    model = tiny_model(dropout=0.5)
    images = batch_of()["face_image"]
    for logits in (model.face_logits, model.expression_logits):
        np.testing.assert_array_equal(logits(images), logits(images))
        assert np.abs(logits(images, True) - logits(images, True)).max() > 0


# -- variants ----------------------------------------------------------------------------------------------------------


def test_tdgan_d_reconstructs_nothing(monkeypatch):
    assert TDGANConfig.tiny().without_dic() == TDGANConfig.tiny().replace(lambda_dic=0.0)
    model, calls = tiny_model(), []
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda *codes, **options: calls.append(1) or decode(*codes, **options))
    for weight, passes in ((5.0, 2), (0.0, 1)):
        tiny_model(lambda_dic=weight)
        calls.clear()
        terms = model.train_step(batch_of())
        assert len(calls) == passes
        assert (float(terms["dual_image_consistency"]) > 0) == (weight > 0)


@pytest.mark.parametrize("loop_sets_phase", [False, True])
def test_the_released_variant_updates_the_discriminators_more_rarely(loop_sets_phase, monkeypatch):
    config = TDGANConfig.released().to_dict()
    model = tiny_model(
        **{name: config[name] for name in ("face_discriminator_every", "expression_discriminator_every")}
    )
    assert model.intervals() == (5, 10)
    steps = {name: [] for name in model.optimizers}
    monkeypatch.setattr(model, "minimize", lambda name, *_: steps[name].append(int(model.step)))
    for step in (1, 5, 10):
        model.step.assign(step)
        model.phase = model.phase_at(step) if loop_sets_phase else None
        model.train_step(batch_of(1))
    assert steps["generator"] == steps["expression_classifier"] == [1, 5, 10]
    assert steps["face_discriminator"] == [5, 10]
    assert steps["expression_discriminator"] == [10]


def test_released_kernels_start_from_a_normal_distribution():
    model = TDGAN(TDGANConfig.tiny().replace(deviation=0.02))
    kernels = [v.numpy() for net in model.networks.values() for v in net.trainable_variables if v.numpy().ndim > 1]
    values = np.concatenate([kernel.ravel() for kernel in kernels])
    assert np.std(values) == pytest.approx(0.02, rel=0.05) and abs(np.mean(values)) < 1e-3
    assert np.mean(np.abs(values) < 0.02) == pytest.approx(0.683, abs=0.02)
    same = [kernel for kernel in kernels if kernel.shape == kernels[0].shape]
    assert len(same) > 1 and not np.array_equal(same[0], same[1])
    gammas = [v.numpy() for v in model.networks["face_encoder"].trainable_variables if v.path.endswith("gamma")]
    assert gammas and all((gamma == 1).all() for gamma in gammas)


@pytest.mark.parametrize("loop_sets_phase", [False, True])
def test_d_f_may_learn_the_people_first(loop_sets_phase):
    """Two steps move D_f alone, on real faces alone; from the third on all networks learn."""
    model = TDGAN(TDGANConfig.tiny().replace(inception_blocks=1, residual_blocks=1, face_discriminator_steps=2))
    model.compile()
    for number in range(3):
        model.phase = model.phase_at(number) if loop_sets_phase else None
        before = {name: network.get_weights() for name, network in model.networks.items()}
        terms = model.train_step(batch_of())
        moved = {
            name
            for name, network in model.networks.items()
            if any(not np.array_equal(*pair) for pair in zip(before[name], network.get_weights()))
        }
        expected = set(FACE_DISCRIMINATOR) if number < 2 else set(model.networks)
        assert moved == expected, number
        assert (float(terms["generator_face"]) > 0) == (number == 2)


def test_cnn_base_is_the_expression_discriminator_alone():
    config = TDGANConfig.tiny().cnn_base()
    model = tiny_model(variant="cnn_base")
    assert config.variant == "cnn_base"
    assert set(model.networks) == set(EXPRESSION_DISCRIMINATOR)
    assert (TDGAN.batch_kind_of(config), TDGAN.batch_kind_of(TDGANConfig.tiny())) == ("images", "expression_and_face")
    batch = batch_of()
    images, labels = batch["expression_image"], batch["expression_label"]
    probabilities = np.asarray(model.recognizer()(images))
    expected = -(np.asarray(labels) * np.log(probabilities)).sum(1).mean()
    before = weights_of(model)
    terms = model.train_step({"image": images, "label": labels})
    np.testing.assert_allclose(terms["expression_discriminator"], expected, rtol=1e-5)
    assert set(terms) == {"expression_discriminator", "accuracy"}
    assert moved(model, before) == set(EXPRESSION_DISCRIMINATOR)
    with pytest.raises(ValueError, match="cnn_base recognizes, and generates nothing"):
        model.synthesize(images, images)
    assert synthesis.preview(model, {"image": images, "label": labels}) == []
    np.testing.assert_array_equal(
        model.encode_expressions(images), model.networks["expression_discriminator_encoder"](images)
    )


def test_start_from_copies_every_network():
    source, target = shuffled(tiny_model(1), 1), tiny_model()
    assert moved(target, weights_of(source)) == set(target.networks)
    target.start_from(source)
    assert moved(target, weights_of(source)) == set()
    target.train_step(batch_of())
    assert moved(target, weights_of(source)) == set(target.networks)


def test_start_from_cnn_base_starts_the_expression_branch():
    source, target = shuffled(tiny_model(variant="cnn_base"), 1), tiny_model()
    before = weights_of(target)
    target.start_from(source)
    started = {*EXPRESSION_DISCRIMINATOR, "expression_encoder", "expression_classifier"}
    assert moved(target, before) == started
    images = batch_of()["expression_image"]
    np.testing.assert_allclose(target.recognizer()(images), source.recognizer()(images), atol=1e-6)
    np.testing.assert_allclose(tf.nn.softmax(target.expression_logits(images)), source(images), atol=1e-6)


def test_start_from_a_tdgan_without_discriminators_starts_them_as_the_recognizer(tmp_path):
    zoo.save(shuffled(tiny_model(), 1), tmp_path / "bundled", groups=("recognizer", "generator"))
    source = zoo.load(tmp_path / "bundled")
    images = batch_of()["expression_image"]
    base = tiny_model(variant="cnn_base")
    base.start_from(source)
    np.testing.assert_allclose(base.recognizer()(images), source.recognizer()(images), atol=1e-6)
    target = tiny_model()
    before = weights_of(target)
    target.start_from(source)
    assert moved(target, before) == set(target.networks) - set(FACE_DISCRIMINATOR)
    np.testing.assert_allclose(tf.nn.softmax(target.expression_logits(images)), source.recognizer()(images), atol=1e-6)


def test_cnn_base_starts_from_the_discriminator_of_a_tdgan_that_has_it():
    source, base = shuffled(tiny_model(), 1), tiny_model(variant="cnn_base")
    base.start_from(source)
    images = batch_of()["expression_image"]
    np.testing.assert_allclose(base(images), tf.nn.softmax(source.expression_logits(images)), atol=1e-6)


def test_start_from_another_size_is_refused():
    source = tiny_model(variant="cnn_base", head_units=8)
    with pytest.raises(ConfigError, match="other shapes"):
        tiny_model().start_from(source)


# -- noise, synthesis, equations 11 and 12 -----------------------------------------------------------------------------


def test_noise_is_uniform_and_fresh_at_every_call():
    model = tiny_model()
    draws = []
    for step in range(3):
        model.step.assign(step)
        draws += [np.asarray(model.noise(100, draw)) for draw in range(3)]
    numbers = np.stack(draws)
    assert numbers.shape == (9, 100, 2, 2, 4) and numbers.dtype == np.float32
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 1 / 2) < 0.01 and abs(numbers.var() - 1 / 12) < 0.005
    assert len(np.unique(numbers)) > 0.99 * numbers.size  # no image, place or channel repeats another
    assert np.abs(np.corrcoef(numbers.reshape(9, -1)) - np.eye(9)).max() < 0.1
    model.step.assign(0)
    np.testing.assert_array_equal(model.noise(100, 0), draws[0])
    assert np.abs(tiny_model(seed=1).noise(100, 0) - draws[0]).max() > 0.1


def test_synthesis_is_the_decoder_of_both_codes_and_the_noise():
    model, batch = tiny_model(), batch_of(3)
    faces, expressions = np.asarray(batch["face_image"]), np.asarray(batch["expression_image"])
    noise = np.random.default_rng(5).random((3, 2, 2, 4), np.float32)
    networks = model.networks
    fused = networks["embedding"](
        [networks["expression_encoder"](expressions), networks["face_encoder"](faces), tf.constant(noise)]
    )
    expected = np.asarray(networks["decoder"](fused))
    generated = model.synthesize(faces, expressions, noise)
    assert generated.shape == (3, 32, 32, 1) and generated.dtype == np.float32
    assert generated.min() >= 0 and generated.max() <= 1
    np.testing.assert_allclose(generated, expected, atol=1e-6)
    np.testing.assert_array_equal(model.synthesize(faces, expressions, seed=5), generated)
    assert np.abs(model.synthesize(faces, expressions, seed=6) - generated).max() > 0
    assert np.abs(model.synthesize(faces[::-1], expressions, noise) - generated).max() > 1e-4
    assert np.abs(model.synthesize(faces, expressions[::-1], noise) - generated).max() > 1e-4


@pytest.mark.parametrize("kind", ["expression", "face"])
def test_interpolation_goes_from_one_synthesis_to_the_other(kind):
    model, batch = tiny_model(), batch_of()
    face, expression = np.asarray(batch["face_image"]), np.asarray(batch["expression_image"])
    noise = np.random.default_rng(3).random((1, 2, 2, 4), np.float32)
    if kind == "expression":
        strip = ByPhoto(model).interpolate_expression(face[0], *expression, steps=5, seed=3)
        ends = [model.synthesize(face[:1], image[None], noise)[0] for image in expression]
        codes = model.encode_expressions(expression)
        middle = model.decode_codes(codes.mean(0, keepdims=True), model.encode_faces(face[:1]), noise)
        quarter = 0.75 * codes[:1] + 0.25 * codes[1:]
        second = model.decode_codes(quarter, model.encode_faces(face[:1]), noise)
    else:
        strip = ByPhoto(model).interpolate_face(expression[0], *face, steps=5, seed=3)
        ends = [model.synthesize(image[None], expression[:1], noise)[0] for image in face]
        codes = model.encode_faces(face)
        middle = model.decode_codes(model.encode_expressions(expression[:1]), codes.mean(0, keepdims=True), noise)
        quarter = 0.75 * codes[:1] + 0.25 * codes[1:]
        second = model.decode_codes(model.encode_expressions(expression[:1]), quarter, noise)
    assert strip.shape == (5, 32, 32, 1)
    np.testing.assert_allclose(strip[[0, 4]], ends, atol=1e-6)
    np.testing.assert_allclose(strip[2], middle[0], atol=1e-6)
    np.testing.assert_allclose(strip[1], second[0], atol=1e-6)


def test_synthesis_refuses_what_does_not_fit():
    model, image = tiny_model(), np.zeros((1, 32, 32, 1), np.float32)
    with pytest.raises(ValueError, match=r"shape \(n, 32, 32, 1\), got \(1, 32, 32, 3\)"):
        model.synthesize(np.zeros((1, 32, 32, 3)), image)
    with pytest.raises(ValueError, match="as many faces as expressions"):
        model.synthesize(np.repeat(image, 2, 0), image)
    with pytest.raises(ValueError, match="at least 2 steps"):
        ByPhoto(model).interpolate_face(image[0], image[0], image[0], steps=1)


def test_preview_shows_faces_expressions_and_what_becomes_of_them():
    model, batch = tiny_model(), batch_of(3)
    faces, expressions, generated = synthesis.preview(model, {name: value.numpy() for name, value in batch.items()})
    np.testing.assert_array_equal(faces, batch["face_image"])
    np.testing.assert_array_equal(expressions, batch["expression_image"])
    np.testing.assert_array_equal(generated, model.synthesize(faces, expressions))

"""FESR: the tables' shapes, equations worked out by hand, whose weights each loss moves, and the two stages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, moved, state_arrays

from kerasfer import training, zoo
from kerasfer.backbones.dlib_resnet import fold_normalization
from kerasfer.losses import gradient_penalty, told_by_length
from kerasfer.models.base import ConfigError
from kerasfer.models.fesr import (
    FESR,
    VARIANTS,
    FESRConfig,
    build_classifier,
    build_critic,
    build_decoder,
    build_discriminator,
    build_discriminator_classifier,
    build_encoder,
    build_extractor,
    build_latent_discriminator,
    build_trunk,
)
from kerasfer.models.ipdfer import IPDFER, IPDFERConfig
from kerasfer.synthesis import FromNoise, NamedExpressions

CONFIG = FESRConfig.tiny().replace(dropout=0.0)
MAP = (17, 17, 64)


def model_of(**fields) -> FESR:
    model = FESR(CONFIG.replace(**fields))
    model.compile(total_steps=9)
    return model


def batch_of(config: FESRConfig, count: int = 16) -> dict[str, tf.Tensor]:
    return next(iter(make_batches(FESR.batch_kind_of(config), config, count=count).epoch(0)))


@pytest.fixture(scope="module")
def still() -> FESR:
    """A model that learns nothing, so that every term of a step can be worked out from its first weights."""
    return model_of(learning_rate=0.0)


@pytest.fixture(scope="module")
def stepped(still) -> tuple[FESR, dict[str, np.ndarray], dict[str, float]]:
    batch = batch_of(still.config)
    terms = {name: float(value) for name, value in still.train_step(batch).items()}
    still.step.assign(0)
    return still, {name: value.numpy() for name, value in batch.items()}, terms


@pytest.fixture(scope="module")
def learner() -> FESR:
    """Four steps have two stages."""
    return model_of(learning_rate=1e-3, pretraining_steps=2, average=0.5, schedule="cosine", seed=3)


# -- Tables I and II ---------------------------------------------------------------------------------------------------


def outputs_of(network, *names: str) -> list[tuple[int, ...]]:
    return [tuple(network.get_layer(name).output.shape[1:]) for name in names]


def test_table_1_row_by_row():
    config = FESRConfig.paper()
    encoder = build_encoder(config)
    assert encoder.input_shape == (None, 128, 128, 3)
    assert outputs_of(encoder, *(f"conv{row}" for row in range(1, 6)), "fc") == [
        (64, 64, 64), (32, 32, 128), (16, 16, 256), (8, 8, 512), (4, 4, 1024), (64,)
    ]  # fmt: skip
    decoder = build_decoder(config)
    assert outputs_of(decoder, "map", *(f"deconv{row}" for row in range(1, 6)), "to_image") == [
        (1, 1, 72), (4, 4, 512), (8, 8, 256), (16, 16, 128), (32, 32, 64), (64, 64, 32), (128, 128, 3)
    ]  # fmt: skip
    discriminator = build_discriminator(config)
    assert outputs_of(discriminator, *(f"conv{row}" for row in range(1, 5))) == [
        (64, 64, 64), (32, 32, 128), (16, 16, 256), (8, 8, 512)
    ]  # fmt: skip
    shape = discriminator.output_shape[1:]
    assert outputs_of(build_critic(config, shape), "scores") == [(4, 4, 1)]
    classifier = build_discriminator_classifier(config, shape)
    assert outputs_of(classifier, "conv", "classes", "flatten") == [(4, 4, 1024), (1, 1, 8), (8,)]
    kernels = [weight.shape[:2] for net in (encoder, discriminator, classifier) for weight in net.weights]
    assert {kernel for kernel in kernels if len(kernel) == 2 and kernel[0] < 10} == {(4, 4)}
    latent = build_latent_discriminator(config)
    assert outputs_of(latent, "fc1", "fc2", "fc3", "logit") == [(64,), (32,), (16,), (1,)]


def test_table_2_row_by_row():
    config = FESRConfig.paper().replace(identity="untrained")
    trunk = build_trunk(config)
    assert trunk.output_shape == (None, 16, 16, 192) and not trunk.trainable_variables
    extractor = build_extractor(config, trunk.output)
    names = [f"extractor_{name}" for name in ("conv1", "conv2", "fc1", "fc2", "dropout")]
    assert outputs_of(extractor, *names) == [
        (8, 8, 256), (4, 4, 512), (2048,), (512,), (512,)
    ]  # fmt: skip
    assert extractor.get_layer("extractor_dropout").rate == 0.5
    assert build_classifier(config, extractor.output).output_shape == (None, 8)


def test_the_papers_values():
    paper = FESRConfig.paper()
    weights = (paper.lambda_latent, paper.lambda_reconstruction, paper.lambda_identity, paper.lambda_expression)
    assert weights == (1.0, 10.0, 5.0, 1.0) and (paper.lambda_critic, paper.lambda_intra) == (1.0, 0.001)
    assert (paper.learning_rate, paper.beta1, paper.beta2, paper.batch_size) == (1e-4, 0.5, 0.999, 16)
    assert (paper.image_size, paper.latent, paper.penalty) == (128, 64, 10.0)
    small = FESRConfig.small()
    assert {name for name in vars(small) if getattr(small, name) != getattr(paper, name)} == {
        "image_size", "channels", "precision", "batch_size", "epochs", "trunk_size", "encoder_channels",
        "decoder_channels", "discriminator_channels", "extractor_channels", "extractor_units", "pretraining_steps",
    }  # fmt: skip


def test_without_light_cnn_the_zoos_identity_network_serves():
    config = FESRConfig.paper()
    trunk = build_trunk(config)
    assert trunk.output_shape == (None, *MAP) and trunk.layers[-1].name == "block7_relu"
    assert not trunk.trainable_variables and build_trunk(config.replace(train_trunk=True)).trainable_variables
    again = build_trunk(config)
    for one, other in zip(trunk.weights, again.weights):
        np.testing.assert_array_equal(one, other)


# -- equations ---------------------------------------------------------------------------------------------------------


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def through(model: FESR, name: str, *values: np.ndarray) -> np.ndarray:
    inputs = [np.asarray(value, np.float32) for value in values]
    return np.asarray(model.networks[name](inputs[0] if len(inputs) == 1 else inputs, training=True), np.float64)


def draws(model: FESR, count: int) -> dict[str, np.ndarray]:
    """What step 0 draws: z, y' as shifts, three times v, the places between real and changed, any expression."""
    latent, classes = model.config.latent, len(model.label_space)
    shapes = [(count, latent), (count,), (count, classes), (count, classes), (count, classes), (count,), (count,)]
    return dict(
        zip(
            ("z", "other", "changed", "own", "new", "between", "any"),
            [np.asarray(model.uniform(shape, number), np.float64) for number, shape in enumerate(shapes)],
        )
    )


def expected_terms(model: FESR, batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Equations 1 to 26 in numpy, from the networks' outputs."""
    images, labels = batch["image"], batch["label"]
    classes, drawn = labels.argmax(1), draws(model, len(images))
    one_hot = np.eye(8)
    wanted = (classes + 1 + np.floor(drawn["other"] * 7).astype(int)) % 8
    assert (wanted != classes).all()
    z = 2 * drawn["z"] - 1
    codes = through(model, "encoder", images)
    changed = through(model, "decoder", codes, drawn["changed"] * (2 * one_hot[wanted] - 1))
    reconstructed = through(model, "decoder", codes, drawn["own"] * (2 * one_hot[classes] - 1))
    new = through(model, "decoder", z, drawn["new"] * (2 * one_hot[classes] - 1))

    def judged(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = through(model, "discriminator", pictures)
        scores = through(model, "critic", features).mean((1, 2, 3))
        return scores, log_softmax(through(model, "discriminator_classifier", features))

    (on_real, real_classes), (on_changed, changed_classes) = judged(images), judged(changed)
    points = tf.constant(images + drawn["between"].reshape(-1, 1, 1, 1) * (changed - images), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        scores = tf.reduce_mean(model.networks["critic"](model.networks["discriminator"](points)), (1, 2, 3))
    slopes = np.sqrt((np.asarray(tape.gradient(scores, points), np.float64) ** 2).sum((1, 2, 3)))
    rows = np.arange(len(images))
    seen = [through(model, "identity", pictures) for pictures in (reconstructed, images)]
    terms = {
        "latent_discriminator": -np.log(sigmoid(through(model, "latent_discriminator", z))).mean()
        - np.log(1 - sigmoid(through(model, "latent_discriminator", codes))).mean(),
        "latent_told": float(told_by_length(z, codes)),
        "critic": on_changed.mean() - on_real.mean(),
        "penalty": 10 * ((slopes - 1) ** 2).mean(),
        "discriminator_expression": -(labels * real_classes).sum(1).mean(),
        "generator_critic": -on_changed.mean(),
        "generator_latent": -np.log(sigmoid(through(model, "latent_discriminator", codes))).mean(),
        "reconstruction": 10 * np.abs(images - reconstructed).mean(),
        "identity": 5 * np.abs(seen[0] - seen[1]).mean(),
        "generator_expression": -changed_classes[rows, wanted].mean(),
    }
    parts = (images, batch["positive_image"], new)
    features = [through(model, "extractor", through(model, "trunk", part)) for part in parts]
    real, _, synthetic = (through(model, "classifier", part) for part in features)
    return terms | {
        "generator_recognizer": -log_softmax(synthetic)[rows, classes].mean(),
        "recognizer_real": -(labels * log_softmax(real)).sum(1).mean(),
        "recognizer_synthetic": -log_softmax(synthetic)[rows, classes].mean(),
        "intra_real": 0.001 * np.sqrt(((features[0] - features[1]) ** 2).sum(1)).mean(),
        "intra_synthetic": 0.001 * np.sqrt(((features[0] - features[2]) ** 2).sum(1)).mean(),
        "accuracy": (real.argmax(1) == classes).mean(),
    }


def test_every_term_of_a_step(stepped):
    model, batch, terms = stepped
    assert (batch["label"].argmax(1) == batch["positive_label"].argmax(1)).all()
    expected = expected_terms(model, batch)
    assert set(expected) == set(terms)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_what_the_paper_does_not_have_term_by_term():
    """Three updates of D_z on more draws, the critic on new faces, R's new faces at half intensity at least."""
    ours = {"latent_updates": 3, "latent_draws": 3, "new_faces_judged": True, "least_intensity": 0.5}
    model = model_of(learning_rate=0.0, **ours)
    plain = expected_terms(model, {name: value.numpy() for name, value in batch_of(model.config).items()})
    batch = {name: value.numpy() for name, value in batch_of(model.config).items()}
    terms = {name: float(value) for name, value in model.train_step(batch_of(model.config)).items()}
    model.step.assign(0)
    images, classes, one_hot = batch["image"], batch["label"].argmax(1), np.eye(8)
    count, codes, z = len(images), through(model, "encoder", images), 2 * draws(model, len(images))["z"] - 1

    further = (2 * np.asarray(model.uniform((count * 9, 6), 7), np.float64) - 1).reshape(3, count * 3, 6)
    on_z, on_codes = (through(model, "latent_discriminator", values) for values in (further.reshape(-1, 6), codes))
    expected = -np.log(sigmoid(on_z)).mean() - np.log(1 - sigmoid(on_codes)).mean()
    assert terms["latent_discriminator"] == pytest.approx(expected, rel=1e-4)
    assert terms["latent_told"] == pytest.approx(float(told_by_length(further[0], codes)))
    assert int(model.optimizers["latent_discriminator"].iterations) == 3

    any_class = np.floor(8 * np.asarray(model.uniform((count,), 8))).astype(int)
    judged_as = np.asarray(model.uniform((count, 8), 9), np.float64) * (2 * one_hot[any_class] - 1)
    judged = through(model, "decoder", z, judged_as)
    on_new = through(model, "critic", through(model, "discriminator", judged)).mean()
    assert terms["generator_critic"] == pytest.approx((plain["generator_critic"] - on_new) / 2, rel=1e-3, abs=1e-6)
    on_real = through(model, "critic", through(model, "discriminator", images)).mean()
    critic = (on_new - plain["generator_critic"]) / 2 - on_real
    assert terms["critic"] == pytest.approx(critic, rel=1e-3, abs=1e-6)
    faces = (tf.constant(images), tf.constant(judged, tf.float32))
    on_new = float(tf.reduce_mean(gradient_penalty(model.critic_scores, *faces, model.uniform((count,), 10))))
    assert terms["penalty"] == pytest.approx((plain["penalty"] + 10 * on_new) / 2, rel=1e-3)
    assert terms["discriminator_expression"] == pytest.approx(plain["discriminator_expression"], rel=1e-3)
    assert terms["generator_expression"] == pytest.approx(plain["generator_expression"], rel=1e-3)

    v = 0.5 + 0.5 * draws(model, count)["new"]
    new = through(model, "decoder", z, v * (2 * one_hot[classes] - 1))
    logits = through(model, "classifier", through(model, "extractor", through(model, "trunk", new)))
    on_synthetic = -log_softmax(logits)[np.arange(count), classes].mean()
    assert terms["recognizer_synthetic"] == pytest.approx(on_synthetic, rel=1e-3)


def test_d_z_has_a_rate_of_its_own():
    model = model_of(learning_rate=1e-3, latent_rate=10.0)
    rates = {name: float(optimizer.learning_rate) for name, optimizer in model.optimizers.items()}
    assert rates["latent_discriminator"] == pytest.approx(0.01) and rates["generator"] == pytest.approx(1e-3)


def test_the_codes_of_expressions(still):
    classes = tf.constant([0, 3, 7, 3])
    codes = still.continuous(classes, 2).numpy()
    v = still.uniform((4, 8), 2).numpy()
    for row, target in enumerate(classes.numpy()):
        assert codes[row, target] == v[row, target] >= 0
        np.testing.assert_array_equal(np.delete(codes[row], target), -np.delete(v[row], target))
    many = tf.constant(np.arange(4000) % 8, tf.int32)
    others = still.other_classes(many).numpy()
    assert (others != many.numpy()).all()
    assert np.bincount((others - many.numpy()) % 8, minlength=8)[1:].min() > 480
    assert np.bincount(still.any_classes(4000).numpy(), minlength=8).min() > 400
    z = still.random_codes(1000).numpy()
    assert z.shape == (1000, 6) and -1 <= z.min() < -0.99 and 0.99 < z.max() < 1


def test_the_penalty_in_bfloat16_is_that_of_float32(stepped):
    model, batch, _ = stepped
    lower = FESR(CONFIG.replace(precision="mixed_bfloat16"))
    for name in ("discriminator", "critic"):
        for target, source in zip(lower.networks[name].weights, model.networks[name].weights):
            target.assign(source)
    images, alpha = batch["image"], tf.constant([0.1, 0.4, 0.6, 0.9])
    real, fake = tf.constant(images), tf.constant(images[::-1].copy())
    exact = gradient_penalty(model.critic_scores, real, fake, alpha)
    rounded = gradient_penalty(lower.critic_scores, real, fake, alpha)
    assert rounded.dtype == tf.float32
    np.testing.assert_allclose(rounded, exact, rtol=0.03)


# -- real data-guided back-propagation ---------------------------------------------------------------------------------


def linear_gradients(model: FESR | SimpleNamespace) -> list[np.ndarray]:
    """Gradients of both distances to W for features W x: x = (1, 0), x^{p,r} = (0, 1), x^{p,f} = (2, 2), W = I."""
    weights = tf.Variable(np.eye(2), dtype=tf.float32)
    found = []
    for number in (0, 1):
        with tf.GradientTape() as tape:
            features = tf.constant([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]) @ tf.transpose(weights)
            distance = FESR.intra_class_distances(model, *tf.split(features, 3))[number]
        found.append(tape.gradient(distance, weights).numpy())
    return found


def test_equations_17_and_18_worked_by_hand(still):
    """d|W(x - r)| / dW = e (x - r)^T with e the unit vector of W(x - r)."""
    real, guided = linear_gradients(still)
    unit = np.array([1.0, -1.0]) / np.sqrt(2)
    np.testing.assert_allclose(real, np.outer(unit, [1.0, -1.0]), atol=1e-5)
    unit = np.array([-1.0, -2.0]) / np.sqrt(5)
    np.testing.assert_allclose(guided, np.outer(unit, [-2.0, -2.0]), atol=1e-5)
    plain_real, plain = linear_gradients(SimpleNamespace(config=CONFIG.replace(variant="fesr_jl_rdbp")))
    np.testing.assert_allclose(plain_real, real)
    np.testing.assert_allclose(plain, np.outer(unit, [-1.0, -2.0]), atol=1e-5)


@pytest.mark.parametrize("guided", [True, False])
def test_the_gradient_of_the_network_against_finite_differences(stepped, guided):
    """With RDBP the real face's features are a constant, even where the weights change them."""
    model, batch, _ = stepped
    original = model.config
    object.__setattr__(model, "config", original.replace(variant="fesr_jl" if guided else "fesr_jl_rdbp"))
    weight = model.networks["extractor"].get_layer("extractor_fc2").kernel
    maps = [model.networks["trunk"](part) for part in (batch["image"], batch["positive_image"], batch["image"][::-1])]
    features = [model.networks["extractor"](part) for part in maps]
    constant = features[0]

    def distance(numerically: bool) -> tf.Tensor:
        anchor, real, synthetic = (model.networks["extractor"](part) for part in maps)
        anchor = constant if numerically and guided else anchor
        return tf.reduce_sum(model.intra_class_distances(anchor, real, synthetic)[1])

    try:
        with tf.GradientTape() as tape:
            loss = distance(False)
        gradient = tape.gradient(loss, weight.value).numpy()
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        kept, values = weight.numpy(), []
        for step in (1e-2, -1e-2):
            changed = kept.copy()
            changed[place] += step
            weight.assign(changed)
            values.append(float(distance(True)))
        weight.assign(kept)
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(gradient[place], rel=2e-2)
    finally:
        object.__setattr__(model, "config", original)


# -- Algorithm 1, and its two stages -----------------------------------------------------------------------------------


def test_the_order_of_updates(learner, monkeypatch):
    order = []
    monkeypatch.setattr(learner, "minimize", lambda name, loss, tape: order.append(name))
    batch = batch_of(learner.config)
    learner.phase = (False,)
    learner.train_step(batch)
    assert order == ["latent_discriminator", "discriminator", "generator"]
    learner.phase = (True,)
    learner.train_step(batch)
    assert order[3:] == ["latent_discriminator", "discriminator", "recognizer", "generator"]
    learner.phase = None
    learner.step.assign(0)
    for tracker in learner.trackers.values():
        tracker.reset_state()


def test_two_stages_and_going_on_across_the_switch(learner, tmp_path):
    """R begins to learn at step P_pre, its schedule too; a run that stops before goes on in the second stage."""
    assert [learner.phase_at(step) for step in range(4)] == [(False,), (False,), (True,), (True,)]
    assert learner.optimizers["recognizer"]._learning_rate.decay_steps == 9 - 2
    assert learner.optimizers["generator"]._learning_rate.decay_steps == 9
    batch = batch_of(learner.config)
    recognizer, fesgan = {"extractor", "classifier"}, set(learner.networks) - {"extractor", "classifier"}
    learns = fesgan - {"trunk", "identity"}
    assert moved(learner, lambda: learner.train_step(batch)) == learns
    assert learner.result()["recognizer_real"] == learner.result()["generator_recognizer"] == 0
    before = learner.networks["extractor"].weights[0].numpy()
    with learner.averaged_weights():
        np.testing.assert_array_equal(learner.networks["extractor"].weights[0].numpy(), before)
    assert moved(learner, lambda: learner.train_step(batch)) == learns
    training.save_state(learner, tmp_path / "state.safetensors")
    assert moved(learner, lambda: learner.train_step(batch)) == learns | recognizer
    expected = state_arrays(learner)
    again = FESR(learner.config)
    again.compile(total_steps=9)
    training.load_state(again, tmp_path / "state.safetensors")
    again.phase = again.phase_at(int(again.step.numpy()))
    again.train_step(batch)
    for name, value in state_arrays(again).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_g_learns_from_r_in_the_second_stage_only(stepped):
    """The decoder's gradient of lambda4 L^f_cls,R is the difference between both stages' gradients of L_G."""
    model, batch, _ = stepped
    found = {}

    def watch(name, loss, tape):
        if name == "generator":
            found[model.phase] = tape.gradient(loss, model.networks["decoder"].trainable_variables)

    original, model.minimize = model.minimize, watch
    model.starts = lambda: (1,)
    try:
        for model.phase in ((False,), (True,)):
            model.step.assign(0)
            model.train_step({name: tf.constant(value) for name, value in batch.items()})
    finally:
        model.minimize, model.phase = original, None
        del model.starts
        model.step.assign(0)
    classes = tf.argmax(batch["label"], -1, tf.int32)
    with tf.GradientTape() as tape:
        drawn = model.decode_codes(model.random_codes(4), model.continuous(classes, 4), True)
        logits = model.networks["classifier"](model.extract(drawn))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))
    for first, second, alone in zip(
        found[(False,)], found[(True,)], tape.gradient(loss, model.networks["decoder"].trainable_variables)
    ):
        np.testing.assert_allclose(second - first, alone, atol=1e-3)


@pytest.mark.slow
def test_graph_mode_traces_each_stage_once_and_goes_on_exactly(tmp_path):
    config = CONFIG.replace(epochs=2, pretraining_steps=3, learning_rate=1e-3)
    batches = make_batches("expression_pairs", config, count=16)
    steps = batches.steps_per_epoch

    def run(folder, *epochs: int) -> FESR:
        for until in epochs:
            model = FESR(config)
            training.fit(model, batches, folder, epochs=until, verbose=0)
        return model

    whole = run(tmp_path / "whole", 2)
    assert steps == 4 and set(whole.traced_steps._traced) == {(False,), (True,)}
    assert int(whole.optimizers["recognizer"].iterations) == 2 * steps - 3
    resumed = run(tmp_path / "parts", 1, 2)
    for name, value in state_arrays(resumed).items():
        np.testing.assert_allclose(value, state_arrays(whole)[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_keras_own_fit_decides_in_the_graph():
    config = CONFIG.replace(epochs=1, pretraining_steps=2, learning_rate=1e-3)
    model = FESR(config)
    model.compile(total_steps=4)
    history = model.fit(make_batches("expression_pairs", config, count=16).epoch(0), verbose=0)
    assert int(model.optimizers["recognizer"].iterations) == 2 and int(model.optimizers["generator"].iterations) == 4
    assert history.history["generator_recognizer"][0] > 0


# -- variants ----------------------------------------------------------------------------------------------------------

PARTS = {
    "fg_dimg": {"discriminator", "critic", "discriminator_classifier"},
    "fg_dimgcls": {"discriminator_classifier"},
    "fg_dz": {"latent_discriminator"},
    "fg_co": {"identity"},
    "fg_ip": {"identity"},
}
TERMS = {
    "fg_dimg": {
        "critic", "penalty", "discriminator_expression", "generator_critic", "generator_expression",
    },
    "fg_dimgcls": {"discriminator_expression", "generator_expression"},
    "fg_dz": {"latent_discriminator", "latent_told", "generator_latent"},
    "fg_co": {"reconstruction", "identity"},
    "fg_ip": {"identity"},
}  # fmt: skip
JOINT = {"generator_recognizer", "recognizer_synthetic", "intra_real", "intra_synthetic"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_leave_out_what_their_names_say(still, variant, monkeypatch):
    model = FESR.__new__(FESR)
    object.__setattr__(model, "config", CONFIG.replace(variant=variant))
    for name in ("build_trunk", "build_identity"):
        monkeypatch.setattr(f"kerasfer.models.fesr.{name}", lambda config, n=name: still.networks[n.split("_")[1]])
    networks = FESR.build_networks(model)
    object.__setattr__(model, "networks", networks)
    terms = set(model.loss_terms())
    every = set(still.networks)
    if variant == "baseline":
        assert set(networks) == {"trunk", "extractor", "classifier"} and terms == {"recognizer_real", "accuracy"}
        return
    assert every - set(networks) == PARTS.get(variant, set())
    lacking = set(still.loss_terms()) - terms
    if variant.startswith("fg"):
        assert lacking == JOINT | TERMS.get(variant, set())
    elif variant in ("fesr_jl_il", "fesr_real"):
        assert lacking == {"intra_real", "intra_synthetic"}
    elif variant == "fesr_sl":
        assert lacking == {"intra_real", "intra_synthetic", "generator_recognizer"}
    else:
        assert not lacking
    pairs = variant in ("fesr_jl", "fesr_onest", "fesr_jl_rdbp")
    assert FESR.batch_kind_of(model.config) == ("expression_pairs" if pairs else "images")
    later = variant.startswith("fesr") and variant != "fesr_onest"
    assert model.config.replace(pretraining_steps=7).pretrains == (7 if later else 0)


def test_fesr_real_teaches_r_faces_of_the_input_people():
    model = model_of(variant="fesr_real", learning_rate=0.0)
    batch = batch_of(model.config)
    terms = model.train_step(batch)
    model.step.assign(0)
    codes = through(model, "encoder", batch["image"].numpy())
    drawn = draws(model, 4)
    classes = np.floor(drawn["any"] * 8).astype(int)
    new = through(model, "decoder", codes, drawn["new"] * (2 * np.eye(8)[classes] - 1))
    logits = through(model, "classifier", through(model, "extractor", through(model, "trunk", new)))
    expected = -log_softmax(logits)[np.arange(4), classes].mean()
    assert float(terms["recognizer_synthetic"]) == pytest.approx(expected, rel=1e-3)
    assert float(terms["generator_recognizer"]) == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("teachers")
    for seed in (5, 6):
        zoo.save(FESR(CONFIG.replace(variant="baseline", seed=seed)), folder / str(seed))
    return tuple(str(folder / str(seed)) for seed in (5, 6))


def test_teachers_say_what_synthetic_faces_show(teachers):
    """Their mean is a quarter of the labels that R learns; G is to please R by the expression asked for."""
    settings = {"variant": "fesr_jl_il", "learning_rate": 0.0}
    model = model_of(**settings, synthetic_teachers=teachers, synthetic_teacher_share=0.25)
    batch = batch_of(model.config)
    with pytest.raises(ConfigError, match="call learn_from"):
        model.train_step(batch)
    model.step.assign(0)
    model.learn_from([zoo.load(teacher) for teacher in teachers])
    model.reset_metrics()
    terms = model.train_step(batch)
    model.step.assign(0)
    classes = batch["label"].numpy().argmax(-1)
    drawn = draws(model, 4)
    new = through(model, "decoder", 2 * drawn["z"] - 1, drawn["new"] * (2 * np.eye(8)[classes] - 1))
    said = np.mean([zoo.load(teacher).recognizer()(new) for teacher in teachers], 0)
    assert 0.01 < np.abs(said - 1 / 8).max()
    labels = 0.75 * np.eye(8)[classes] + 0.25 * said
    logits = log_softmax(through(model, "classifier", through(model, "extractor", through(model, "trunk", new))))
    assert float(terms["recognizer_synthetic"]) == pytest.approx(-(labels * logits).sum(-1).mean(), rel=1e-3)
    expected = -logits[np.arange(4), classes].mean()
    assert float(terms["generator_recognizer"]) == pytest.approx(expected, rel=1e-3)


def test_teachers_are_no_part_of_the_model(teachers, tmp_path):
    plain = FESR(CONFIG.replace(variant="fesr_sl"))
    taught = FESR(CONFIG.replace(variant="fesr_sl", synthetic_teachers=teachers, synthetic_teacher_share=0.5))
    taught.learn_from([zoo.load(teacher) for teacher in teachers])
    assert list(taught.state()) == list(plain.state()) and len(taught.weights) == len(plain.weights)
    zoo.save(taught, tmp_path / "saved")
    assert zoo.load(tmp_path / "saved").config == plain.config


@pytest.mark.parametrize(("names", "share"), [((), 0.5), (("edge",), 0.0), (("edge",), 1.5)])
def test_teachers_and_their_share_go_together(names, share):
    with pytest.raises(ConfigError, match="synthetic_teachers have a synthetic_teacher_share"):
        CONFIG.replace(synthetic_teachers=names, synthetic_teacher_share=share)


@pytest.mark.parametrize("name", ["edge", "dlib_resnet"])
def test_teachers_that_cannot_be(name):
    model = FESR(CONFIG.replace(variant="fesr_sl", synthetic_teachers=(name,), synthetic_teacher_share=0.5))
    with pytest.raises(ConfigError, match=f"the synthetic teacher {name} recognizes n"):
        model.learn_from([zoo.load(name)])


def test_teachers_of_other_expressions(teachers):
    expressions = CONFIG.expressions[:7]
    model = FESR(
        CONFIG.replace(
            variant="fesr_sl", expressions=expressions, synthetic_teachers=teachers, synthetic_teacher_share=0.5
        )
    )
    with pytest.raises(ConfigError, match="it is to know neutral, happiness, .*, fear in"):
        model.learn_from([zoo.load(teacher) for teacher in teachers])


def test_a_trained_recognizer_gives_the_start(learner):
    baseline = model_of(variant="baseline", seed=8)
    assert moved(learner, lambda: learner.start_from(baseline)) == {"trunk", "extractor", "classifier"}


@pytest.mark.parametrize("norm", [True, False])
def test_the_trunk_starts_from_an_ipdfer(norm):
    """Its blocks alone move, normalization folded in; an encoder with fewer blocks than R has is refused."""
    settings = {"variant": "baseline", "identity": "dlib_resnet", "image_size": 32, "encoder_norm": norm}
    source = IPDFER(IPDFERConfig.tiny().replace(**settings, encoder_size=72, encoder_blocks=11))
    for weight in source.networks["expression_encoder"].weights:
        weight.assign_add(tf.ones_like(weight))
    model = model_of(variant="baseline", identity="dlib_resnet", trunk_size=72)
    assert moved(model, lambda: model.start_from(source)) == {"trunk"}
    folded = fold_normalization(source.networks["expression_encoder"])
    for layer in model.networks["trunk"].layers:
        for mine, theirs in zip(layer.weights, folded.get_layer(layer.name).weights):
            np.testing.assert_array_equal(mine, theirs)
    deeper = model_of(variant="baseline", identity="dlib_resnet", trunk_size=72, trunk_blocks=12)
    with pytest.raises(ConfigError, match="'expression_encoder' has no block12"):
        deeper.start_from(source)


def test_the_trunk_can_learn():
    model = model_of(variant="baseline", train_trunk=True, learning_rate=1e-3)
    assert moved(model, lambda: model.train_step(batch_of(model.config))) == {"trunk", "extractor", "classifier"}


# -- synthesis ---------------------------------------------------------------------------------------------------------


def test_expressions_at_an_intensity(stepped):
    model, batch, _ = stepped
    codes = model.expression_codes(["surprise", 0], [0.25, 1.0])
    np.testing.assert_array_equal(codes[0], [-0.25, -0.25, 0.25, -0.25, -0.25, -0.25, -0.25, -0.25])
    np.testing.assert_array_equal(codes[1], [1, -1, -1, -1, -1, -1, -1, -1])
    faces = batch["image"]
    drawn = model.synthesize(faces[:2], ["surprise", 0], [0.25, 1.0])
    np.testing.assert_allclose(drawn, model.decode(model.encode(faces[:2]), codes), atol=1e-6)
    strip = NamedExpressions(model).each(faces[:2], ["surprise"] * 3, np.array([0.25, 0.5, 1.0]))
    assert strip.shape == (2, 3, 32, 32, 1) and NamedExpressions(model).each(faces[:1]).shape[1] == 8
    np.testing.assert_allclose(strip[0, 0], drawn[0], atol=1e-5)
    np.testing.assert_allclose(model.change_expression(faces[:2], np.array([2, 0])), model.synthesize(
        faces[:2], ["surprise", "neutral"]), atol=1e-6)  # fmt: skip


def test_new_people(still):
    people = NamedExpressions(still).new_people(3, ["happiness", "anger"], seed=4, intensity=0.5)
    assert people.shape == (3, 2, 32, 32, 1) and people.dtype == np.float32
    z = np.random.default_rng(4).uniform(-1, 1, (3, 6)).astype(np.float32)
    one = still.decode(z[1:2], still.expression_codes("anger", 0.5))
    np.testing.assert_allclose(people[1, 1], one[0], atol=1e-5)
    assert NamedExpressions(still).new_people(1).shape == (1, 8, 32, 32, 1)
    assert (NamedExpressions(still).new_people(2, 0, seed=5) != NamedExpressions(still).new_people(2, 0, seed=6)).any()
    faces = FromNoise(still).generate(9, seed=4)
    assert faces.shape == (9, 32, 32, 1)
    np.testing.assert_allclose(faces[[1]], still.decode(still.draw(9, 4)[1:2], still.expression_codes(1)), atol=1e-5)
    np.testing.assert_allclose(faces[[8]], still.decode(still.draw(9, 4)[8:], still.expression_codes(0)), atol=1e-5)
    with pytest.raises(ValueError, match="at least one face"):
        FromNoise(still).generate(0)


def test_the_generator_to_export(stepped):
    model, batch, _ = stepped
    generator = model.generator()
    inputs = model.generator_inputs(batch["image"], seed=1)
    assert {name: value.shape for name, value in inputs.items()} == {"face": (4, 32, 32, 1), "expression_code": (4, 8)}
    drawn = generator(inputs)["image"]
    expected = model.decode(model.encode(batch["image"]), inputs["expression_code"])
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert model_of(variant="baseline").generator() is None


def test_bad_input_is_said(stepped):
    model, batch, _ = stepped
    faces = batch["image"]
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="an intensity lies between 0 and 1, got"):
            model.synthesize(faces, "surprise", wrong)
    with pytest.raises(ValueError, match="unknown expression 'joy'; this model has neutral, "):
        model.synthesize(faces, "joy")
    with pytest.raises(ValueError, match="unknown expression 8"):
        NamedExpressions(model).new_people(2, [8])
    with pytest.raises(ValueError, match=r"z have shape \(n, 6\) for this model, got \(2, 5\)"):
        model.decode(np.zeros((2, 5)), model.expression_codes([0, 1]))
    with pytest.raises(ValueError, match=r"expression codes have shape \(n, 8\)"):
        model.decode(np.zeros((2, 6)), np.zeros((2, 7)))
    with pytest.raises(ValueError, match="as many z as expression codes"):
        model.decode(np.zeros((2, 6)), np.zeros((3, 8)))
    with pytest.raises(ValueError, match="as many faces as expressions"):
        model.synthesize(faces, ["fear"])
    with pytest.raises(ValueError, match="2 expressions need one intensity or 2, got 3"):
        model.expression_codes([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"shape \(n, 32, 32, 1\)"):
        model.encode(faces[:, :16])
    with pytest.raises(ValueError, match="at least one new person"):
        NamedExpressions(model).new_people(0)
    with pytest.raises(ValueError, match="recognizes, and generates nothing"):
        NamedExpressions(model_of(variant="baseline"))


def test_the_judge_of_identity_is_not_what_the_loss_looked_at():
    """With the dlib network in the loss, its judge looks at mirrored faces without their borders."""
    model = FESR(CONFIG.replace(identity="dlib_resnet", trunk_size=71, trunk_blocks=1, variant="fg"))
    faces = make_batches("images", model.config, count=8)
    faces = next(iter(faces.epoch(0)))["image"].numpy()[:2]
    codes = model.identity_codes(faces)
    assert codes.shape == (2, 128)
    assert np.abs(codes - model.networks["identity"](faces).numpy()).max() > 0.01
    framed = faces.copy()
    framed[:, :2] = framed[:, -2:] = framed[:, :, :2] = framed[:, :, -2:] = 1.0
    np.testing.assert_array_equal(model.identity_codes(framed), codes)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"variant": "fesr"}, "variant is one of"),
        ({"image_size": 50}, "multiple of 2"),
        ({"encoder_channels": (4, 4, 4, 4, 4)}, "encoder_channels are two or more"),
        ({"pixel_range": "unit"}, "signed"),
        ({"norm": "max"}, "mean or sum"),
        ({"trunk_blocks": 15}, "1 to 14"),
        ({"latent_updates": 0}, "latent_updates, latent_draws are at least 1"),
        ({"latent_draws": 0}, "latent_updates, latent_draws are at least 1"),
        ({"latent_rate": 0.0}, "latent_rate is positive"),
        ({"least_intensity": 1.5}, "least_intensity lies in"),
        ({"extractor_units": (3,)}, "two numbers each"),
        ({"pretraining_steps": -1}, "pretraining_steps is at least 0"),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        CONFIG.replace(**fields)

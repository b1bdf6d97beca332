"""Edge: the loss by hand, what moves, and what its teacher gives it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, moved

import kerasfer
from kerasfer.backbones.dlib_resnet import fold_normalization
from kerasfer.datasets.base import ArraySource, FaceTable
from kerasfer.expressions import FERPLUS8
from kerasfer.faces import ImageSpec
from kerasfer.models.base import ConfigError
from kerasfer.models.edge import Edge, EdgeConfig
from kerasfer.models.ipdfer import IPDFER, IPDFERConfig

CONFIG = EdgeConfig.tiny().replace(seed=3)
TEACHER = IPDFERConfig.tiny().replace(
    variant="baseline", identity="dlib_resnet", encoder_size=71, encoder_blocks=11, seed=4
)


def model_of(**fields) -> Edge:
    model = Edge(CONFIG.replace(**fields))
    model.compile(total_steps=10)
    return model


def batch_of(config: EdgeConfig) -> dict[str, tf.Tensor]:
    return next(iter(make_batches("images_together", config, count=8).epoch(0)))


@pytest.fixture(scope="module")
def teacher() -> IPDFER:
    model = IPDFER(TEACHER)
    generator = np.random.default_rng(5)
    for weight in model.networks["expression_classifier"].weights:
        weight.assign(generator.normal(0, 3, weight.shape))
    return model


@pytest.fixture(scope="module")
def taught(teacher) -> Edge:
    model = model_of()
    model.start_from(teacher)
    return model


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_the_small_recognizer_is_small():
    """Less than a million weights, so that a file of integers stays under 1 MB."""
    model = Edge(EdgeConfig.small().replace(teacher_share=0.0, norm=False))
    assert 500_000 < model.recognizer().count_params() < 950_000
    assert model.networks["body"].layers[-2].name == "block9_relu" and model.networks["body"].output_shape == (
        None,
        128,
    )


def test_the_loss_by_hand(taught):
    batch = batch_of(taught.config)
    logits = taught.networks["head"](taught.networks["body"](batch["image"], training=True)).numpy()
    answers = taught.networks["teacher_classifier"](taught.networks["teacher_encoder"](batch["image"])).numpy()
    terms = {name: float(value) for name, value in taught.train_step(batch).items()}
    labels = batch["label"].numpy()
    assert terms["labels"] == pytest.approx(-0.3 * (labels * log_softmax(logits)).sum(1).mean(), rel=1e-4)
    theirs, ours = log_softmax(answers / 2), log_softmax(logits / 2)
    divergence = (np.exp(theirs) * (theirs - ours)).sum(1).mean()
    assert divergence > 0.1 and terms["teacher"] == pytest.approx(0.7 * 4 * divergence, rel=1e-4)
    assert terms["accuracy"] == pytest.approx((logits.argmax(1) == labels.argmax(1)).mean())
    assert terms["agreement"] == pytest.approx((logits.argmax(1) == answers.argmax(1)).mean())


def test_what_the_teacher_says_is_all_there_is_to_lose_at_a_share_of_one(teacher):
    model = model_of(teacher_share=1.0)
    model.start_from(teacher)
    terms = model.train_step(batch_of(model.config))
    assert float(terms["labels"]) == 0 and float(terms["teacher"]) > 0


def test_the_teacher_stands_still(teacher):
    model = model_of()
    model.start_from(teacher)
    assert moved(model, lambda: model.train_step(batch_of(model.config))) == {"body", "head"}
    assert not model.networks["teacher_encoder"].trainable_variables


@pytest.mark.parametrize("norm", [True, False])
def test_a_teacher_gives_its_answers_and_its_blocks(teacher, norm):
    model = model_of(norm=norm)
    assert moved(model, lambda: model.start_from(teacher)) == {"body", "teacher_encoder", "teacher_classifier"}
    image = batch_of(model.config)["image"]
    answers = model.networks["teacher_classifier"](model.networks["teacher_encoder"](image))
    np.testing.assert_allclose(tf.nn.softmax(answers), teacher.recognizer()(image), atol=1e-5)
    encoder = teacher.networks["expression_encoder"]
    for layer in model.networks["body"].layers:
        theirs = (encoder if norm else fold_normalization(encoder)).get_layer(layer.name)
        assert len(layer.weights) == len(theirs.weights)
        for mine, its in zip(layer.weights, theirs.weights):
            np.testing.assert_array_equal(mine, its)


def test_the_norms_fit_the_first_batch():
    """The batch's own statistics, with which a step of training computes what the recognizer computes."""
    model = model_of(identity="dlib_resnet", internal_size=71, teacher_share=0.0)
    body, images = model.networks["body"], batch_of(model.config)["image"]
    before = body(images).numpy()
    assert moved(model, lambda: model.prepare({"image": images})) == {"body"}
    np.testing.assert_allclose(body(images), before, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(body(images, training=True), before, rtol=1e-3, atol=1e-4)


def test_without_norms_there_is_nothing_to_fit():
    model = model_of(norm=False)
    assert not any("_norm" in weight.path for weight in model.networks["body"].weights)
    assert moved(model, lambda: model.prepare(batch_of(model.config))) == set()


def test_without_a_teacher_it_learns_the_labels_alone(teacher):
    model = model_of(teacher_share=0.0)
    assert set(model.networks) == {"body", "head", "certainty"}
    assert model.weight_groups() == {"recognizer": ("body", "head", "certainty")}
    assert moved(model, lambda: model.start_from(teacher)) == {"body"}
    assert set(model.train_step(batch_of(model.config))) == {"labels", "accuracy"}


def test_of_a_wild_the_body_starts_as_its_first_blocks():
    wild = kerasfer.create("wild", size="tiny")
    model = model_of(teacher_share=0.0, blocks=3)
    assert moved(model, lambda: model.start_from(wild)) == {"body"}
    for layer in model.networks["body"].layers:
        if layer.weights:
            for mine, theirs in zip(layer.weights, wild.networks["body"].get_layer(layer.name).weights, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_it_learns_from_further_sets_as_well():
    def faces(count: int, label: int, name: str) -> FaceTable:
        columns = {"path": [str(row) for row in range(count)], "expression": [label] * count}
        return FaceTable(name, ArraySource(np.zeros((count, 32, 32, 1), np.uint8)), columns, FERPLUS8)

    config = EdgeConfig.tiny()
    recipe = kerasfer.data.Recipe(faces(6, 1, "one"), valid=0, faces=[faces(4, 3, "two")], split="all")
    prepared = recipe.prepare(Edge, config)
    batches = prepared.batches(ImageSpec(32, 1, "signed"), FERPLUS8, 5)
    labels = np.concatenate([batch["label"].numpy().argmax(1) for batch in batches.epoch(0)])
    assert sorted(labels.tolist()) == [1] * 6 + [3] * 4
    assert prepared.facts(batches)["images_of_sets"] == {"one": 6, "two": 4}


def test_a_trained_edge_gives_the_start(taught):
    other = model_of(seed=9, teacher_share=0.0)
    assert moved(other, lambda: other.start_from(taught)) == {"body", "head"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teacher_share": 1.5}, r"teacher_share lies in \[0, 1\]"),
        ({"softening": 0.0}, "softening is more than 0"),
        ({"identity": "someone"}, "identity is dlib_resnet or untrained"),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        CONFIG.replace(**fields)


def test_a_teacher_of_another_size_is_refused(teacher):
    with pytest.raises(ConfigError, match="other shapes"):
        model_of(teacher_blocks=12).start_from(teacher)
    with pytest.raises(ConfigError, match="has no block12_conv1"):
        model_of(teacher_share=0.0, blocks=12, internal_size=71).start_from(teacher)


def test_a_teacher_without_normalization_is_refused_where_the_body_has_it():
    with pytest.raises(ConfigError, match="has no block1_conv1_norm"):
        model_of().start_from(IPDFER(TEACHER.replace(encoder_norm=False)))


def test_a_teacher_with_a_fine_network_teaches_by_its_answers():
    teacher = IPDFER(TEACHER.replace(expression_networks=("identity", "fine"), fine_width=4))
    with pytest.raises(ConfigError, match="--teachers NAME --set teacher_share=0"):
        model_of().start_from(teacher)
    body = model_of(teacher_share=0.0)
    body.start_from(teacher)
    for layer in body.networks["body"].layers:
        for mine, theirs in zip(layer.weights, teacher.networks["expression_encoder"].get_layer(layer.name).weights):
            np.testing.assert_array_equal(mine, theirs)


def test_nobody_is_taught_by_random_weights():
    """Without a word about a teacher there is none: `train --model edge` learns from the labels."""
    for config in (EdgeConfig.paper(), EdgeConfig.small()):
        assert config.teacher_share == 0 and config == config.recognizing()

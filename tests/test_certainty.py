"""A temperature for each face: the answer stays, doubt where the features say so, and it is saved and exported."""

import numpy as np
import pytest

import kerasfer
from kerasfer.models.certainty import fit_certainty


def test_the_factor_is_small_where_answers_are_wrong_as_often_as_right_and_large_where_they_are_right():
    generator = np.random.default_rng(0)
    features = np.concatenate([generator.normal(2, 1, (400, 3)), generator.normal(-2, 1, (400, 3))])
    true = generator.integers(0, 4, 800)
    logits = 2.0 * np.eye(4)[true]
    logits[400:] = 2.0 * np.eye(4)[generator.integers(0, 4, 400)]
    kernel, bias = fit_certainty(features, logits, np.eye(4)[true])
    factors = 2 / (1 + np.exp(-(features @ kernel + bias)))
    assert kernel.shape == (3, 1) and bias.shape == (1,)
    assert np.median(factors[:400]) > 1.7 and np.median(factors[400:]) < 0.3


def test_the_fit_does_not_depend_on_the_features_scale():
    generator = np.random.default_rng(1)
    features, logits = generator.normal(size=(200, 2)), generator.normal(size=(200, 3))
    targets = np.eye(3)[generator.integers(0, 3, 200)]
    kernel, bias = fit_certainty(features, logits, targets)
    scaled, moved = fit_certainty(1000 * features + 5, logits, targets)
    np.testing.assert_allclose(features @ kernel + bias, (1000 * features + 5) @ scaled + moved, atol=1e-2)


@pytest.mark.parametrize("name", ["edge", "wild"])
def test_certainty_changes_how_sure_the_answer_is_and_not_the_answer(name, tmp_path):
    model = kerasfer.create(name, size="tiny")
    faces = np.random.default_rng(2).uniform(-1, 1, (6, 32, 32, 1)).astype(np.float32)
    layer = model.networks["certainty"].get_layer("certainty")
    before = np.asarray(model.recognizer()(faces))
    layer.bias.assign([-3.0])
    after = np.asarray(model.recognizer()(faces))
    assert (after.argmax(1) == before.argmax(1)).all() and (after.max(1) < before.max(1)).all()
    kerasfer.save(model, tmp_path / "saved")
    loaded = np.asarray(kerasfer.load(tmp_path / "saved").recognizer()(faces))
    np.testing.assert_allclose(loaded, after, atol=1e-3)


@pytest.mark.parametrize("name", ["edge", "wild"])
def test_other_classes_begin_without_a_certainty_that_was_fitted_to_those_before(name):
    config = kerasfer.create(name, size="tiny").config
    assert config.adaptive_temperature and not config.with_classes(("calm", "tense")).adaptive_temperature

"""Logit adjustment with numbers worked by hand, and priors that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer.priors import FERPLUS_SHARES, PriorError, adjusted, prior_weights, training_shares

LABELS = ("neutral", "happiness", "fear")


def test_answers_under_another_prior_by_hand() -> None:
    # 0.8 * (1/2 / 0.9) : 0.2 * (1/2 / 0.1) = 0.4444 : 1
    weights = prior_weights("balanced", ("neutral", "fear"), [0.9, 0.1])
    np.testing.assert_allclose(weights, [0.5 / 0.9, 5.0])
    answer = adjusted(np.float32([[0.8, 0.2], [0.9, 0.1]]), weights)
    np.testing.assert_allclose(answer, [[4 / 13, 9 / 13], [0.5, 0.5]], rtol=1e-6)
    assert answer.dtype == np.float32
    # 0.6 * 0.2/0.5 : 0.3 * 0.2/0.3 : 0.1 * 0.6/0.2 = 0.24 : 0.2 : 0.3
    weights = prior_weights({"fear": 6, "neutral": 2, "happiness": 2}, LABELS, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(adjusted(np.array([0.6, 0.3, 0.1]), weights), np.array([0.24, 0.2, 0.3]) / 0.74)


def test_the_training_prior_changes_nothing_and_no_prior_either() -> None:
    shares = dict(zip(LABELS, (0.5, 0.3, 0.2)))
    np.testing.assert_allclose(prior_weights(shares, LABELS, [0.5, 0.3, 0.2]), 1.0)
    assert prior_weights(None, ("joy",)) is None
    probabilities = np.array([[0.2, 0.3, 0.5]])
    assert adjusted(probabilities, None) is probabilities
    there_and_back = adjusted(
        adjusted(probabilities, prior_weights("balanced", LABELS, [0.5, 0.3, 0.2])),
        prior_weights(shares, LABELS, [1, 1, 1]),
    )
    np.testing.assert_allclose(there_and_back, probabilities)


def test_models_of_ferplus_classes_count_as_trained_on_ferplus() -> None:
    labels = tuple(reversed(FERPLUS_SHARES))
    assert sum(FERPLUS_SHARES.values()) == pytest.approx(1)
    np.testing.assert_allclose(prior_weights("ferplus", labels), 1.0)
    weights = dict(zip(labels, prior_weights("balanced", labels)))
    assert weights["neutral"] == pytest.approx(25060 / 8 / 8740) and weights["fear"] == pytest.approx(25060 / 8 / 532)
    np.testing.assert_allclose(training_shares(labels, [2] * 8), 1 / 8)


def test_a_class_that_was_never_trained_on_is_not_answered_and_zero_probabilities_are_no_harm() -> None:
    weights = prior_weights("balanced", LABELS, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(adjusted(np.array([0.1, 0.2, 0.7]), weights), [1 / 3, 2 / 3, 0.0])
    alone = prior_weights({"neutral": 0, "happiness": 0, "fear": 1}, LABELS, [0.4, 0.4, 0.2])
    np.testing.assert_allclose(adjusted(np.array([1.0, 0.0, 0.0]), alone), [0, 0, 1])


def test_a_config_holds_the_shares_of_what_it_was_trained_on(tmp_path, monkeypatch) -> None:
    from toy_model import Toy, ToyConfig

    from kerasfer import data, zoo
    from kerasfer.datasets.base import ArraySource, FaceTable
    from kerasfer.expressions import LabelSpace
    from kerasfer.models import MODELS
    from kerasfer.models.base import ConfigError

    space = LabelSpace.of(LABELS)
    votes = np.zeros((5, 8), np.float32)
    votes[0, :2] = 1, 3
    table = FaceTable(
        "t",
        ArraySource(np.zeros((5, 4, 4), np.uint8)),
        {"path": list("01234"), "expression": [0, 0, 1, -1, 5], "votes": votes},
        space,
    )
    shares = data.class_shares(table, space)
    assert shares == pytest.approx((2 / 3, 1 / 3, 0), abs=1e-6)
    assert data.class_shares(table, space, "votes") == pytest.approx((0.25, 0.75, 0))
    assert data.class_shares(table.select([3]), space) == ()
    config = ToyConfig(expressions=LABELS).replace(training_prior=shares)
    assert config.replace(seed=3).training_prior == shares
    assert config.replace(expressions=("joy", "fear")).training_prior == ()
    assert ToyConfig.from_dict(config.to_dict()) == config
    for wrong in ((0.5, 0.5), (-1.0, 1.0, 1.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ConfigError, match="training_prior: 3 shares"):
            config.replace(training_prior=wrong)
    monkeypatch.setitem(MODELS, "toy", ("toy_model", "Toy"))
    zoo.save(Toy(config), tmp_path / "toy")
    assert zoo.load(tmp_path / "toy").training_prior == shares
    assert "training_prior" not in (tmp_path / "toy" / "README.md").read_text()


@pytest.mark.parametrize(
    ("prior", "stored", "message"),
    [
        ("even", [1, 1, 1], "prior is balanced or ferplus or a share for every class, not 'even'"),
        ({"neutral": 1, "fear": 1}, [1, 1, 1], "names every class of the model: neutral, happiness, fear; got neutral"),
        ({"neutral": 1, "happiness": 1, "joy": 1}, [1, 1, 1], "names every class.*joy"),
        ({"neutral": 1, "happiness": -1, "fear": 1}, [1, 1, 1], "3 shares of at least 0"),
        ({"neutral": 0, "happiness": 0, "fear": 0}, [1, 1, 1], "not all 0"),
        ({"neutral": float("nan"), "happiness": 0, "fear": 0}, [1, 1, 1], "3 shares"),
        ({"neutral": "many", "happiness": 0, "fear": 0}, [1, 1, 1], "shares are numbers"),
        (7, [1, 1, 1], "names every class.*got 7"),
        ("balanced", None, "neutral, happiness, fear does not say how frequent"),
        ("balanced", [1, 1], "training_prior: 3 shares"),
    ],
)
def test_priors_that_cannot_be_used(prior, stored, message) -> None:
    with pytest.raises(PriorError, match=message):
        prior_weights(prior, LABELS, stored)
    with pytest.raises(PriorError, match="'ferplus' has shares of neutral"):
        prior_weights("ferplus", ("smile", "scream"), [1, 1])


def test_a_recognizer_in_a_file_of_its_own_says_what_it_was_trained_on(tmp_path) -> None:
    import keras

    from kerasfer import zoo
    from kerasfer.recognition import FaceClassifier

    shares = (0.5, 0.3, 0.2)
    model = zoo.create("edge", "tiny", expressions=LABELS, training_prior=shares)
    model.recognizer().save(tmp_path / "edge.keras")
    loaded = keras.models.load_model(tmp_path / "edge.keras")
    assert loaded.training_prior == shares
    FaceClassifier(loaded, prior="balanced")

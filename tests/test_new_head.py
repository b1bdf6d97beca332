"""Models of any classes, and new heads on trained networks."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import make_batches

import kerasfer
from kerasfer import training, zoo
from kerasfer.expressions import FERPLUS8
from kerasfer.models import MODELS, model_class
from kerasfer.models.base import ConfigError, FERModel
from kerasfer.zoo import ZooError

OWN = ("happy", "sad", "other")
HEADS = {
    "dcganfer": {"expression_svm"},
    "edge": {"head", "teacher_classifier"},
    "fesr": {"classifier", "decoder", "discriminator_classifier"},
    "g2fer": {"classifier", "landmark_sets"},
    "ipdfer": {"expression_classifier", "discriminator_head"},
    "tdgan": {"expression_classifier", "expression_discriminator_head"},
    "wild": {"head", "expert"},
}
"""Model -> its networks with weights that depend on the classes."""


def tiny(name: str, expressions=FERPLUS8.labels, **fields) -> FERModel:
    Model = model_class(name)
    return Model(Model.Config.tiny().replace(expressions=tuple(expressions), **fields))


def step(model: FERModel, **options) -> dict[str, float]:
    batches = make_batches(model.batch_kind_of(model.config), model.config, count=24)
    return {name: float(value) for name, value in model.train_step(next(iter(batches.epoch(0)))).items()}


def faces_for(model: FERModel, count: int = 2) -> np.ndarray:
    faces = np.random.default_rng(0).integers(0, 256, (count, *model.image_spec.shape)).astype(np.uint8)
    return model.image_spec.scale(faces)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "classes",
    [
        OWN,
        pytest.param(("a", "b"), marks=pytest.mark.slow),
        pytest.param(tuple(f"class {number}" for number in range(12)), marks=pytest.mark.slow),
    ],
    ids=len,
)
def test_every_model_learns_any_classes(name, classes):
    """One step, and an answer: nothing takes eight classes, or a neutral one, for granted."""
    model = tiny(name, classes)
    model.compile()
    terms = step(model)
    assert tuple(terms) == model.loss_terms() and all(np.isfinite(value) for value in terms.values()), terms
    probabilities = np.asarray(model.recognizer()(faces_for(model)))
    assert probabilities.shape == (2, len(classes)) and model.label_space.labels == classes
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)


LARGE = ("fesr", "g2fer", "ipdfer", "tdgan")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in MODELS]
)
def test_a_new_head_keeps_the_trunk(name, tmp_path):
    """What depends on the classes is new, all else as it was trained; saved and loaded, the model says its classes."""
    model = tiny(name, temperature=2.0)
    assert {network for network, places in model.class_weights().items() if places} == HEADS[name]
    for network in model.networks.values():
        for number, variable in enumerate(network.weights):
            variable.assign(np.full(variable.shape, 0.01 * (number + 1), np.float32))
    headed = zoo.with_new_head(model, OWN)
    assert headed.new_head and headed.label_space.labels == OWN and headed.config.temperature == 1.0
    fresh = type(model)(headed.config)
    replaced = model.class_weights()
    for network in headed.networks:
        for place, variable in enumerate(headed.networks[network].weights):
            source = fresh if place in replaced.get(network, ()) else model
            np.testing.assert_array_equal(variable.numpy(), source.networks[network].weights[place].numpy(), network)
    folder = zoo.save(headed, tmp_path / name)
    loaded = kerasfer.load(folder, recognizer_only=True)
    assert loaded.label_space.labels == OWN
    np.testing.assert_array_equal(loaded.recognizer()(faces_for(model)), headed.recognizer()(faces_for(model)))


def test_what_is_drawn_by_name_is_found_by_meaning():
    fesr = tiny("fesr", OWN)
    codes = fesr.expression_codes(["happiness", "other", 1])
    assert codes.argmax(1).tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="unknown expression 'anger'; this model has happy, sad, other"):
        fesr.expression_codes("anger")


def test_load_with_classes(tmp_path):
    model = tiny("edge", average=0.5)
    model.networks["head"].weights[0].assign_add(np.ones(model.networks["head"].weights[0].shape))
    folder = zoo.save(model, tmp_path / "edge")
    headed = kerasfer.load(folder, expressions=OWN)
    assert headed.label_space.labels == OWN and set(headed.networks) == {"body", "head"}
    assert headed.config.freeze_epochs > 0 and headed.config.schedule == "cosine"
    for mine, trained in zip(headed.networks["body"].weights, model.networks["body"].weights):
        np.testing.assert_array_equal(mine.numpy(), trained.numpy())
    same = kerasfer.load(folder, expressions=FERPLUS8.labels)
    assert not same.new_head and same.config.freeze_epochs == 0
    np.testing.assert_array_equal(same.recognizer()(faces_for(same)), model.recognizer()(faces_for(model)))
    turned = kerasfer.load(folder, expressions=FERPLUS8.labels[::-1])
    kernel = turned.networks["head"].weights[0].numpy()
    assert turned.new_head and (kernel != model.networks["head"].weights[0].numpy()).any()
    with pytest.raises(ConfigError, match="class 'sad' is named twice"):
        kerasfer.load(folder, expressions=("sad", "sad"))
    with pytest.raises(ConfigError, match="two classes or more, got sad"):
        kerasfer.load(folder, expressions=("sad",))
    with pytest.raises(ZooError, match="dlib_resnet: recognizes no expressions"):
        kerasfer.load("dlib_resnet", expressions=OWN)


def test_a_tdgan_gets_a_new_head_as_a_cnn_base(tmp_path):
    """It learns from images alone then; D_e, which the saved model lacks, starts as E_e."""
    model = tiny("tdgan")
    folder = zoo.save(model, tmp_path / "tdgan", groups=("recognizer", "generator"))
    headed = kerasfer.load(folder, expressions=OWN)
    assert headed.config.variant == "cnn_base" and headed.new_head and headed.label_space.labels == OWN
    assert headed.batch_kind_of(headed.config) == "images"
    encoder, trained = headed.networks["expression_discriminator_encoder"], model.networks["expression_encoder"]
    for mine, theirs in zip(encoder.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_a_head_that_does_not_fit_is_refused():
    """Also one of as many classes, which would have been copied."""
    trained = tiny("edge", teacher_share=0.0)
    for classes in (OWN, FERPLUS8.labels[::-1]):
        with pytest.raises(ConfigError, match="Edge has learned neutral, happiness.*--set expressions="):
            tiny("edge", classes, teacher_share=0.0).start_from(trained)
    with pytest.raises(ConfigError, match="was taught other classes than happy, sad, other .*--set teacher_share=0"):
        tiny("edge", OWN).start_from(zoo.with_new_head(trained, OWN))


FROZEN = {"teacher_share": 0.0, "batch_size": 4, "epochs": 4, "freeze_epochs": 2, "average": 0.9, "schedule": "cosine"}


def trainable(model: FERModel) -> dict[str, np.ndarray]:
    return {
        f"{name}/{place}": variable.numpy()
        for name, network in model.networks.items()
        for place, variable in enumerate(network.trainable_variables)
    }


def weights_after(folder, epochs: int | None = None) -> dict[str, np.ndarray]:
    model = tiny("edge", OWN, **FROZEN)
    training.fit(model, make_batches("images", model.config, count=8), folder, epochs=epochs, verbose=0)
    return trainable(model)


def test_the_trunk_is_frozen_at_first_and_then_learns(tmp_path):
    """After the epochs in which the head moves alone everything does, also where a training was stopped between."""
    start = tiny("edge", OWN, **FROZEN)
    start.prepare(next(iter(make_batches("images", start.config, count=8).epoch(0))))
    first = trainable(start)
    warm = weights_after(tmp_path / "run", epochs=2)
    for name, value in warm.items():
        assert name.startswith("head/") != np.array_equal(value, first[name]), name
    resumed, whole = weights_after(tmp_path / "run"), weights_after(tmp_path / "whole")
    for name, value in resumed.items():
        assert not np.array_equal(value, first[name]), name
        np.testing.assert_allclose(value, whole[name], atol=1e-5, err_msg=name)


def test_a_run_from_before_the_config_knew_of_freezing_goes_on(tmp_path, monkeypatch):
    model = tiny("edge", OWN, teacher_share=0.0)
    fields = type(model.config).to_dict
    with monkeypatch.context() as patch:
        patch.setattr(
            type(model.config),
            "to_dict",
            lambda self: {name: value for name, value in fields(self).items() if name != "freeze_epochs"},
        )
        training.save_state(model, tmp_path / "state.safetensors")
    training.load_state(model, tmp_path / "state.safetensors")
    other = tiny("edge", OWN, teacher_share=0.0, freeze_epochs=1)
    with pytest.raises(training.TrainingError, match="is of a run with another freeze_epochs"):
        training.load_state(other, tmp_path / "state.safetensors")


def test_freezing_needs_a_length():
    model = tiny("edge", OWN, teacher_share=0.0, freeze_epochs=1)
    with pytest.raises(ConfigError, match="need the number of steps"):
        model.compile()
    model.compile("adam")
    with pytest.raises(ConfigError, match="freeze_epochs lie between 0 and epochs"):
        model.config.replace(freeze_epochs=2)

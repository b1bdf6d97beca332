"""What every model of the zoo must fulfill, at its tiny size."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, state_arrays

from kerasfer import synthesis, training, zoo
from kerasfer.models import MODELS, model_class
from kerasfer.models.base import BATCH_KINDS, ConfigError, FERModel, ModelConfig

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in MODELS},
    "tdgan cnn_base": ("tdgan", {"variant": "cnn_base"}),
    "ipdfer id_fer": ("ipdfer", {"variant": "id_fer"}),
    "ipdfer baseline": ("ipdfer", {"variant": "baseline"}),
    "ipdfer fine": ("ipdfer", {"expression_networks": ("identity", "fine"), "fine_width": 4}),
    "g2fer no_synfi": ("g2fer", {"variant": "no_synfi"}),
    "edge untaught": ("edge", {"teacher_share": 0.0}),
    "fesr baseline": ("fesr", {"variant": "baseline"}),
}
"""Case -> model and fields of its config that differ from `tiny()`."""

SYNTHESES: dict[str, Callable[[Any, dict[str, tf.Tensor]], np.ndarray]] = {
    "dcganfer": lambda model, batch: model.generate(len(batch["image"]), seed=1),
    "edge": None,
    "fesr": lambda model, batch: model.synthesize(batch["image"].numpy(), "surprise"),
    "g2fer": lambda model, batch: model.synthesize(batch["image"].numpy(), batch["other_landmarks"].numpy()),
    "ipdfer": lambda model, batch: model.synthesize(batch["image"].numpy(), batch["image"].numpy()[::-1]),
    "tdgan": lambda model, batch: model.synthesize(batch["face_image"].numpy(), batch["expression_image"].numpy()),
    "wild": None,
}
"""Model -> how it generates images from a batch. Every model has an entry; None for one that generates nothing."""

PRECISIONS = ("float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow))


@dataclasses.dataclass
class Trained:
    """A model before and after one step."""

    model: FERModel
    batch: dict[str, tf.Tensor]
    before: dict[str, np.ndarray]
    terms: dict[str, float]


_trained: dict[tuple[str, str], Trained] = {}


def tiny_config(case: str, **fields: Any) -> ModelConfig:
    name, changes = CASES[case]
    return model_class(name).Config.tiny().replace(**{**changes, **fields})


def batch_of(model: FERModel) -> dict[str, tf.Tensor]:
    kind = model.batch_kind_of(model.config)
    return next(iter(make_batches(kind, model.config, count=16).epoch(0)))


def trained(case: str, precision: str = "float32") -> Trained:
    """One eager step; kept, since it takes seconds."""
    if (case, precision) not in _trained:
        model = model_class(CASES[case][0])(tiny_config(case, precision=precision, average=0.5))
        model.compile()
        batch = batch_of(model)
        before = state_arrays(model)
        terms = {name: float(value) for name, value in model.train_step(batch).items()}
        _trained[case, precision] = Trained(model, batch, before, terms)
    return _trained[case, precision]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", ["paper", "small", "tiny"])
def test_config_round_trip(name, size):
    Config = model_class(name).Config
    config = getattr(Config, size)()
    assert type(config) is Config
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.replace() == config and hash(config) == hash(config.replace())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


@pytest.mark.parametrize("name", MODELS)
def test_wrong_fields_raise(name):
    config = model_class(name).Config.tiny()
    for wrong in (
        {"no_such_field": 1},
        {"epochs": "many"},
        {"batch_size": 0},
        {"expressions": ("joy",)},
        {"precision": "float8"},
        {"image_size": True},
        {"average": 1.0},
        {"schedule": "linear"},
        {"temperature": 0.0},
        {"pixel_range": "percent"},
    ):
        with pytest.raises(ConfigError):
            config.replace(**wrong)
    with pytest.raises(ConfigError, match="no field 'no_such_field'; fields are .*batch_size"):
        type(config).from_dict({"no_such_field": 1})
    with pytest.raises(ConfigError):
        model_class(name)(object())


@pytest.mark.parametrize("text", ["8,6,4", "8, 6, 4", "[8, 6, 4]"])
def test_a_list_of_numbers_on_the_command_line(text):
    Config = model_class("fesr").Config
    name, value = Config.parse_override(f"decoder_channels={text}")
    assert Config.tiny().replace(**{name: value}).decoder_channels == (8, 6, 4)
    name, value = Config.parse_override("expressions=anger,neutral")
    assert Config.tiny().replace(**{name: value}).expressions == ("anger", "neutral")


@pytest.mark.parametrize("text", ["8,wide,4", "[8, 6.5, 4]", "[8, true, 4]", "8"])
def test_a_list_with_a_wrong_entry(text):
    Config = model_class("fesr").Config
    name, value = Config.parse_override(f"decoder_channels={text}")
    with pytest.raises(ConfigError, match="decoder_channels is"):
        Config.tiny().replace(**{name: value})


@pytest.mark.parametrize("case", CASES)
def test_each_trainable_variable_belongs_to_one_optimizer(case):
    model = trained(case).model
    owners: dict[int, list[str]] = {}
    for name, plan in model.optimizer_plans().items():
        for variable in model.variables_of(*plan.networks):
            owners.setdefault(id(variable), []).append(name)
        assert len(model.optimizers[name]._trainable_variables) == len(model.variables_of(*plan.networks))
    for network, part in model.networks.items():
        for variable in part.trainable_variables:
            expected = 0 if network in model.frozen else 1
            assert len(owners.get(id(variable), [])) == expected, f"{network}: {variable.path}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_step(case, precision):
    """Finite loss terms; every optimizer moves its networks, their slots and averages, and no frozen one."""
    done = trained(case, precision)
    model = done.model
    assert list(done.terms) == list(model.loss_terms())
    assert all(np.isfinite(value) for value in done.terms.values()), done.terms
    after = state_arrays(model)
    assert after["step"] == done.before["step"] + 1
    assert all(np.isfinite(value).all() for value in after.values())
    assert all(value.dtype == np.float32 for name, value in after.items() if np.issubdtype(value.dtype, np.floating))
    changed = {name for name in after if not np.array_equal(after[name], done.before[name])}
    for name, plan in model.optimizer_plans().items():
        for network in plan.networks:
            assert any(entry.startswith(f"network/{network}/") for entry in changed), f"{name} leaves {network} alone"
        assert model.optimizers[name].iterations.numpy() == plan.updates
        assert sum(entry.startswith(f"optimizer/{name}/") for entry in changed) > 3
    for network in model.frozen:
        assert not any(entry.startswith(f"network/{network}/") for entry in changed)


@pytest.mark.parametrize("case", CASES)
def test_the_batch_is_of_its_kind(case):
    done = trained(case)
    kind = done.model.batch_kind_of(done.model.config)
    assert set(done.batch) >= set(BATCH_KINDS[kind])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_recognizer(case, precision):
    model = trained(case, precision).model
    recognizer = model.recognizer()
    assert recognizer.input_shape == (None, *model.image_spec.shape)
    faces = np.random.default_rng(0).random((3, *model.image_spec.shape), np.float32)
    low, high = float(model.image_spec.scale(np.uint8(0))), float(model.image_spec.scale(np.uint8(255)))
    faces = low + (high - low) * faces
    probabilities = np.asarray(recognizer(faces))
    assert probabilities.shape == (3, len(model.label_space)) and probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(recognizer(faces), probabilities, err_msg="two answers differ")
    np.testing.assert_array_equal(model(faces), probabilities)
    one = np.asarray(recognizer(faces[:1]))
    np.testing.assert_allclose(one, probabilities[:1], atol=1e-5 if precision == "float32" else 0.02)


@pytest.mark.parametrize("case", CASES)
def test_weight_groups(case):
    """Every network is in one group, and the recognizer needs no other than its own."""
    model = trained(case).model
    groups = model.weight_groups()
    assert next(iter(groups)) == "recognizer"
    assert sorted(name for group in groups.values() for name in group) == sorted(model.networks)
    own = {id(variable) for name in groups["recognizer"] for variable in model.networks[name].weights}
    needed = {id(variable) for variable in model.recognizer().weights}
    assert needed and needed <= own


@pytest.mark.parametrize("name", MODELS)
def test_the_recognizer_alone_answers_alike(name, tmp_path):
    model = trained(name).model
    folder = zoo.save(model, tmp_path / name)
    whole, alone = zoo.load(folder), zoo.load(folder, recognizer_only=True)
    faces = np.random.default_rng(0).uniform(0, 1, (2, *model.image_spec.shape)).astype(np.float32)
    np.testing.assert_array_equal(alone.recognizer()(faces), whole.recognizer()(faces))
    assert set(alone.networks) <= set(whole.networks) and whole.config == model.config
    if name in ("edge", "fesr", "g2fer", "ipdfer"):
        assert set(alone.networks) == set(model.weight_groups()["recognizer"])


@pytest.mark.parametrize("case", CASES)
def test_state_holds_everything_and_is_the_same_for_the_same_config(case):
    """The names, and with them the values at the start."""
    done = trained(case)
    model = done.model
    state = model.state()
    held = {id(variable) for variable in state.values()}
    assert len(held) == len(state)
    for part in [*model.networks.values(), *model.optimizers.values(), *model.trackers.values()]:
        assert all(id(variable) in held for variable in part.variables)
    layers = [layer for part in model.networks.values() for layer in part.layers]
    dropouts = [layer for layer in layers if getattr(layer, "rate", 0) > 0]
    assert sum("seed_generator" in name for name in state) == len(dropouts)
    assert any("average" in variable.path for variable in state.values())
    again = type(model)(model.config)
    again.compile()
    fresh = state_arrays(again)
    assert list(fresh) == list(state)
    for name, value in fresh.items():
        np.testing.assert_array_equal(value, done.before[name], err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_state_can_be_saved_and_loaded(case, tmp_path):
    done = trained(case)
    path = tmp_path / "state.safetensors"
    training.save_state(done.model, path)
    expected = state_arrays(done.model)
    for variable in done.model.state().values():
        variable.assign(np.ones(variable.shape, variable.dtype))
    training.load_state(done.model, path)
    for name, value in state_arrays(done.model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("case", CASES)
def test_averaged_weights(case):
    """Inside they are in place, outside the trained ones; the first update keeps a tenth of the first weights."""
    done = trained(case)
    model = done.model
    plans = model.optimizer_plans().values()
    plan = next(plan for plan in plans if plan.average and plan.updates == 1 and not plan.start)
    variable = model.variables_of(*plan.networks)[0]
    name = next(name for name, found in model.state().items() if found is variable)
    value = variable.numpy()
    variable.assign(value + 1)
    with model.averaged_weights():
        np.testing.assert_allclose(variable.numpy(), 0.1 * done.before[name] + 0.9 * value, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(variable.numpy(), value + 1)
    variable.assign(value)


@pytest.mark.parametrize("case", CASES)
def test_preview(case):
    done = trained(case)
    batch = {name: value.numpy() for name, value in done.batch.items()}
    rows = synthesis.preview(done.model, batch)
    assert bool(rows) == done.model.generates
    for row in rows:
        assert row.shape == (len(rows[0]), *done.model.image_spec.shape)
        assert np.isfinite(row).all()


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("fesr", "reconstruction"),
        ("g2fer", "content"),
        ("ipdfer", "reconstruction"),
        ("tdgan", "dual_image_consistency"),
    ],
)
def test_norms_are_means_or_sums_over_entries(name, term):
    mean = trained(name).terms[term]
    model = model_class(name)(tiny_config(name, norm="sum"))
    model.compile()
    assert float(model.train_step(batch_of(model))[term]) == pytest.approx(32 * 32 * mean, rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_synthesize(name, precision):
    assert name in SYNTHESES, f"say in SYNTHESES how {name} generates images"
    done = trained(name, precision)
    if SYNTHESES[name] is None:
        return
    generated = SYNTHESES[name](done.model, done.batch)
    assert generated.shape == (done.model.config.batch_size, *done.model.image_spec.shape)
    assert generated.dtype == np.float32
    low, high = float(done.model.image_spec.scale(np.uint8(0))), float(done.model.image_spec.scale(np.uint8(255)))
    assert low <= generated.min() < generated.max() <= high
    np.testing.assert_array_equal(SYNTHESES[name](done.model, done.batch), generated)


@pytest.mark.parametrize("case", CASES)
def test_another_seed_gives_other_weights(case):
    other = state_arrays(model_class(CASES[case][0])(tiny_config(case, seed=2)))
    # What starts as zero, as the temperature of each face does, is the same whatever the seed.
    kernels = [name for name in other if name.endswith("kernel") and other[name].any()]
    assert kernels
    for name in kernels:
        assert (other[name] != trained(case).before[name]).any(), name


def test_a_network_without_optimizer_or_with_two_is_refused():
    TDGAN = model_class("tdgan")
    config = TDGAN.Config.tiny().replace(variant="cnn_base")

    class Forgetful(TDGAN):
        def optimizer_plans(self):
            return {}

    class Greedy(TDGAN):
        def optimizer_plans(self):
            plans = super().optimizer_plans()
            return {**plans, "second": plans["expression_discriminator"]}

    networks = "expression_discriminator_encoder, expression_discriminator_head"
    with pytest.raises(ConfigError, match=f"no optimizer moves {networks}"):
        Forgetful(config).compile()
    with pytest.raises(ConfigError, match="moved by both 'expression_discriminator' and 'second'"):
        Greedy(config).compile()
    with pytest.raises(ConfigError, match="needs the number of steps"):
        TDGAN(config.replace(schedule="cosine")).compile()

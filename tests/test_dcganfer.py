"""DCGAN-FER: shapes, what a step moves, and machines that live in the model, its files and its exports."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import make_batches, noise_table

from kerasfer import datasets, export, lite, training, zoo
from kerasfer.data import NO_AUGMENTATION
from kerasfer.data.kinds import Unlabeled
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation.collapse import CollapseError, collapse
from kerasfer.expressions import ACTION_UNITS, FERPLUS8
from kerasfer.models.base import ConfigError
from kerasfer.models.dcganfer import (
    DCGANFER,
    DCGANFERConfig,
    build_discriminator,
    build_generator,
    unit_labels,
)
from kerasfer.models.svm import SVMError

CONFIG = DCGANFERConfig.tiny()


def faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Faces in [-1, 1] whose class shows as a bright stripe, and class numbers."""
    generator = np.random.default_rng(seed)
    classes = np.arange(count) % 8
    images = generator.normal(-0.3, 0.15, (count, 32, 32, 1))
    for row, number in enumerate(classes):
        images[row, 4 * number : 4 * number + 4] += 0.9
    return np.clip(images, -1, 1).astype(np.float32), classes


@pytest.fixture(scope="module")
def fitted() -> DCGANFER:
    model = DCGANFER(CONFIG)
    images, classes = faces(64)
    model.fit_classifier(images, classes, seed=1)
    units = np.full((64, 14), np.nan, np.float32)
    units[:, 0], units[:, 7], units[:, 13] = classes < 4, classes % 2, 0
    model.fit_units(images, units, seed=1)
    return model


# -- shapes and fields -------------------------------------------------------------------------------------------------


def test_the_papers_size():
    config = DCGANFERConfig.paper()
    discriminator, generator = build_discriminator(config), build_generator(config)
    assert discriminator.input_shape == (None, 64, 64, 3) and discriminator.output_shape == (None, 4, 4, 512)
    assert generator.input_shape == (None, 100) and generator.output_shape == (None, 64, 64, 3)
    sides = [generator.get_layer(f"relu{number}").output.shape[1:] for number in range(4)]
    assert sides == [(4, 4, 512), (8, 8, 256), (16, 16, 128), (32, 32, 64)]
    fields = (config.batch_size, config.epochs, config.learning_rate, config.beta1, config.latent, config.folds)
    assert fields == (128, 300, 2e-4, 0.9, 100, 10)
    kernels = [layer.kernel.numpy() for layer in discriminator.layers if hasattr(layer, "kernel")]
    assert np.std(kernels[-1]) == pytest.approx(0.02, rel=0.02) and abs(kernels[-1].mean()) < 1e-4


@pytest.mark.parametrize("size", ["paper", "small"])
def test_the_feature_has_8192_numbers(size):
    model = DCGANFER(getattr(DCGANFERConfig, size)())
    assert model.feature_width == 8192 == model.feature_network().output_shape[1]
    assert model.recognizer().output_shape == (None, 8) and model.unit_detector().output_shape == (None, 14)


def test_more_layers_make_a_wider_feature():
    model = DCGANFER(CONFIG.replace(feature_layers=3))
    images, _ = faces(2)
    found = model.features(images)
    assert found.shape == (2, 4 * 4 * (4 + 6 + 8)) == (2, model.feature_width)
    np.testing.assert_array_equal(found[:, -128:], DCGANFER(CONFIG).features(images))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixel_range": "unit"},
        {"image_size": 8},
        {"generator_channels": (4,)},
        {"generator_loss": "wasserstein"},
        {"feature_layers": 4},
        {"folds": 1},
        {"svm_gamma": 0.0},
        {"landmarks": -1},
        {"search_images": 1},
    ],
)
def test_wrong_fields(wrong):
    with pytest.raises(ConfigError):
        CONFIG.replace(**wrong)


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_step_by_hand():
    """The terms from the first weights; D's statistics are those of the real faces."""
    model = DCGANFER(CONFIG.replace(learning_rate=0.0))
    model.compile()
    batch = next(iter(make_batches("unlabeled", CONFIG).epoch(0)))
    twin = DCGANFER(CONFIG)
    z = 2 * model.uniform((4, 6), 0) - 1
    real = 1 / (1 + np.exp(-np.asarray(twin.logits(batch["image"], training=True), np.float64)))
    expected = [value.numpy() for value in twin.networks["discriminator"].non_trainable_variables]
    made = twin.networks["generator"](z, training=True)
    fake = 1 / (1 + np.exp(-np.asarray(twin.logits(made, training=True), np.float64)))
    terms = {name: float(value) for name, value in model.train_step(batch).items()}
    assert terms["discriminator"] == pytest.approx(-(np.log(real) + np.log(1 - fake)).mean(), rel=1e-4)
    assert terms["generator"] == pytest.approx(-np.log(fake).mean(), rel=1e-4)
    assert terms["real_score"] == pytest.approx(real.mean(), rel=1e-4)
    assert terms["generated_score"] == pytest.approx(fake.mean(), rel=1e-4)
    for value, first in zip(model.networks["discriminator"].non_trainable_variables, expected):
        np.testing.assert_allclose(value.numpy(), first, atol=1e-6)
    assert np.abs(expected[0]).max() > 0


def test_the_printed_loss_of_the_generator():
    model = DCGANFER(CONFIG.replace(generator_loss="minimax"))
    model.compile()
    batch = next(iter(make_batches("unlabeled", CONFIG).epoch(0)))
    assert float(model.train_step(batch)["generator"]) < 0


def test_the_average_is_of_the_generator_alone():
    model = DCGANFER(CONFIG.replace(average=0.9, batch_size=4))
    model.compile()
    before = {name: [weight.numpy() for weight in net.trainable_variables] for name, net in model.networks.items()}
    for _ in range(3):
        model.train_step({"image": tf.constant(faces(4)[0])})
    trained = {name: [weight.numpy() for weight in net.trainable_variables] for name, net in model.networks.items()}
    with model.averaged_weights():
        for name in ("generator", "discriminator", "discriminator_head"):
            now = [weight.numpy() for weight in model.networks[name].trainable_variables]
            same = all(np.array_equal(one, other) for one, other in zip(now, trained[name]))
            assert same == (name != "generator"), name
    assert not np.array_equal(before["generator"][0], trained["generator"][0])


def test_augmentation_of_what_the_discriminator_sees():
    """Every image by itself: light, contrast, place and a gray square; nothing without the option."""
    image = np.linspace(-0.8, 0.9, 32 * 32, dtype=np.float32).reshape(1, 32, 32, 1)
    images = tf.constant(np.repeat(image, 400, 0))
    assert DCGANFER(CONFIG).augmented(images, 1) is images
    model = DCGANFER(CONFIG.replace(diff_augment=True))
    seen = model.augmented(images, 1).numpy()
    assert np.array_equal(seen, model.augmented(images, 1).numpy())
    assert not np.array_equal(seen, model.augmented(images, 2).numpy())
    assert len({part.tobytes() for part in seen}) == 400
    # The square covers 16 x 16 pixels where it lies inside, a quarter of that in a corner; shifts add 4 lines at most.
    gray = (seen == 0).sum((1, 2, 3))
    assert 64 <= gray.min() and gray.max() <= 256 + 2 * 4 * 32 and 150 < np.median(gray) < 400
    kept = [part[part != 0] for part in seen]
    # Contrast is 0.5 to 1.5 of what it was, light moves by 0.5 at most.
    slopes = [(part.max() - part.min()) / (image.max() - image.min()) for part in kept]
    assert 0.2 < min(slopes) < 0.6 and 1.3 < max(slopes) < 1.55
    assert all(abs(part.mean() - image.mean()) < 1.2 for part in kept) and np.std([part.mean() for part in kept]) > 0.2


def test_gradients_reach_the_generator_through_the_augmentation():
    model = DCGANFER(CONFIG.replace(diff_augment=True))
    images = tf.Variable(faces(4)[0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.augmented(images, 1) ** 2)
    assert np.count_nonzero(tape.gradient(loss, images).numpy()) > 4 * 32 * 32 / 3


def test_generated_faces_depend_on_the_seed_alone():
    model = DCGANFER(CONFIG)
    np.testing.assert_array_equal(model.generate(5, seed=2), model.generate(5, seed=2))
    assert (model.generate(5, seed=2) != model.generate(5, seed=3)).any()
    z = model.draw(1000)
    assert z.min() < -0.99 and z.max() > 0.99 and abs(z.mean()) < 0.02
    with pytest.raises(ValueError, match="at least one face is needed, got 0"):
        model.generate(0)


def test_a_training_reports_diversity_and_draws_neighbors(tmp_path):
    model = DCGANFER(CONFIG)
    made = make_batches("unlabeled", CONFIG)
    real = faces(12)[0]
    history = training.fit(
        model, made, tmp_path, on_epoch_end=[training.CollapseCheck(real, count=16)], verbose=0, epochs=1
    )
    assert {"diversity", "repeats", "novelty", "generator", "discriminator"} <= set(history[0])
    assert (tmp_path / "samples" / "epoch-00001-nearest.png").is_file()
    training.write_run(tmp_path, "dcganfer", model)
    np.testing.assert_array_equal(zoo.load(tmp_path).features(real), model.features(real))


# -- batches without labels --------------------------------------------------------------------------------------------


def test_unlabeled_batches_mix_several_sets():
    dark = FaceTable("dark", ArraySource(np.full((5, 36, 36), 10, np.uint8)), {"path": list("01234")}, FERPLUS8)
    light = noise_table(6).with_columns(expression=np.full(6, -1))
    spec = DCGANFER(CONFIG).image_spec
    table, _ = Unlabeled.together(dark, [light])
    both = Unlabeled(table, spec, FERPLUS8, 2, seed=1, augmentation=NO_AUGMENTATION)
    assert both.steps_per_epoch == 5 and set(both.element_spec) == {"image"}
    images = np.concatenate([batch["image"].numpy() for batch in both.epoch(0)])
    plain = sum(np.ptp(image) < 1e-6 for image in images)
    assert len(images) == 10 and plain in (4, 5)
    with pytest.raises(DatasetError, match=r"dark: 5 images, fewer than one batch of 6"):
        Unlabeled(dark, spec, FERPLUS8, 6)


# -- the machines in the model -----------------------------------------------------------------------------------------


def test_before_it_is_fitted_every_expression_is_as_likely():
    images, _ = faces(3)
    model = DCGANFER(CONFIG)
    np.testing.assert_allclose(model.recognizer()(images), 1 / 8, atol=1e-6)
    with pytest.raises(SVMError, match="no action unit was learned: fit_units first"):
        model.detect_units(images)


def test_the_fitted_recognizer(fitted):
    images, classes = faces(40, seed=5)
    answers = np.asarray(fitted.recognizer()(images))
    assert (answers.argmax(1) == classes).mean() > 0.8
    assert fitted.config.support_vectors == fitted.networks["expression_svm"].get_layer("rbf").vectors.shape[0] > 8
    machine = DCGANFER(CONFIG).fit_classifier(*faces(64), seed=1)
    np.testing.assert_allclose(fitted.decide(images), machine.decide(fitted.features(images)), atol=1e-4)


def test_units(fitted):
    images, classes = faces(40, seed=6)
    assert fitted.learned_units == (1, 12)
    found = fitted.detect_units(images)
    assert (
        found.shape == (40, 14) and np.isnan(found[:, 13]).all() and ((found[:, 0] > 0.5) == (classes < 4)).mean() > 0.8
    )
    np.testing.assert_array_equal(fitted.detect_units(images, [12])[:, 0], found[:, 7])
    np.testing.assert_allclose(fitted.unit_detector()(images)[:, 7], found[:, 7], atol=1e-5)
    with pytest.raises(
        SVMError, match="AU 4, 27 was not learned, as no face that it was fitted on showed it; learned are 1, 12"
    ):
        fitted.detect_units(images, [1, 4, 27])


def test_components_landmarks_and_tables():
    pixels = ((faces(32)[0][..., 0] + 1) * 127.5).astype(np.uint8)
    columns = {"path": [str(row) for row in range(32)], "expression": np.arange(32) % 8}
    table = FaceTable("stripes", ArraySource(pixels), columns, FERPLUS8)
    model = DCGANFER(CONFIG.replace(components=40, landmarks=24))
    machine = model.fit_classifier(table)
    assert machine.scaling.projection.shape[1] == 32 and model.config.support_vectors == 24
    np.testing.assert_allclose(model.decide(table), machine.decide(model.features(table)), atol=1e-4)
    model.fit_units(table)
    assert model.learned_units == ACTION_UNITS
    with pytest.raises(SVMError, match="the machine takes features of 128 numbers, this model's have 224"):
        DCGANFER(CONFIG.replace(feature_layers=2)).set_classifier(machine)
    with pytest.raises(SVMError, match="8 classes and 32 components, this model 8 and 0"):
        DCGANFER(CONFIG).set_classifier(machine)
    model.forget_classifier()
    assert model.config.support_vectors == 0 and model.learned_units == ()


def test_a_mirrored_feature_is_the_mean_of_both_sides(tmp_path):
    images, classes = faces(64)
    images[:, :, images.shape[2] // 2 :] = -1
    model = DCGANFER(CONFIG.replace(mirrored=True))
    plain = DCGANFER(CONFIG)
    plain.start_from(model)
    both = (plain.features(images) + plain.features(images[:, :, ::-1])) / 2
    np.testing.assert_allclose(model.features(images), both, atol=1e-6)
    assert np.abs(both - plain.features(images)).max() > 1e-3
    machine = model.fit_classifier(images, classes)
    model.fit_units(images, np.float32([np.isin(ACTION_UNITS, [1] if number < 4 else [12]) for number in classes]))
    assert (machine.classify(model.features(images[:, :, ::-1])) == classes).mean() > 0.9
    zoo.save(model, tmp_path / "mirrored")
    again = zoo.load(tmp_path / "mirrored")
    np.testing.assert_allclose(again.detect_units(images), model.detect_units(images), atol=1e-5)
    exact = np.asarray(model.recognizer()(images[:, :, ::-1]))
    np.testing.assert_allclose(again.recognizer()(images), exact, atol=1e-4)
    pixels = ((images[:12] + 1) * 127.5).astype(np.uint8)
    report = export.export(again, tmp_path, ("float32",), parity=pixels)
    assert report.good, report.table()


def test_fewer_faces_than_folds():
    images, classes = faces(6)
    with pytest.raises(SVMError, match="6 faces are fewer than the 10 folds"):
        DCGANFER(CONFIG.replace(folds=10)).fit_classifier(images, classes)
    with pytest.raises(SVMError, match="class numbers are missing"):
        DCGANFER(CONFIG).fit_classifier(images)


def test_saved_and_loaded(fitted, tmp_path):
    images, _ = faces(6, seed=2)
    zoo.save(fitted, tmp_path / "model")
    loaded = zoo.load(tmp_path / "model")
    assert loaded.config.support_vectors == fitted.config.support_vectors and loaded.learned_units == (1, 12)
    np.testing.assert_allclose(loaded.recognizer()(images), fitted.recognizer()(images), atol=1e-6)
    np.testing.assert_array_equal(loaded.detect_units(images), fitted.detect_units(images))
    files = json.loads((tmp_path / "model" / "config.json").read_text())["files"]
    assert set(files) == {"recognizer", "units", "generator", "training"}
    (tmp_path / "model" / "units.safetensors").unlink()
    with pytest.raises(zoo.ZooError, match="no unit_svms: .*units.safetensors is missing"):
        zoo.load(tmp_path / "model").detect_units(images)
    started = DCGANFER(CONFIG)
    started.start_from(fitted)
    assert started.config.support_vectors == 0
    np.testing.assert_array_equal(started.features(images), fitted.features(images))
    started = DCGANFER(dataclasses.replace(fitted.config, components=3))
    started.start_from(fitted)
    np.testing.assert_array_equal(started.features(images), fitted.features(images))
    tempered = DCGANFER(dataclasses.replace(fitted.config, temperature=2.0))
    tempered.start_from(fitted)
    cool, warm = (np.asarray(model.recognizer()(images)).max(1) for model in (fitted, tempered))
    assert (warm < cool).all()


def test_exported_files_answer_alike(fitted, tmp_path):
    pixels = ((faces(12, seed=3)[0] + 1) * 127.5).astype(np.uint8)
    report = export.export(fitted, tmp_path, ("saved_model", "float32"), parity=pixels)
    assert report.good, report.table()
    answers = lite.Recognizer(tmp_path / "model.tflite").recognize(pixels)
    exact = fitted.recognizer()(fitted.image_spec.scale(pixels))
    np.testing.assert_allclose(answers, exact, atol=1e-4)
    signature = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["aligned_faces"]
    served = signature(faces=tf.constant(fitted.image_spec.scale(pixels), tf.float32))["probabilities"]
    np.testing.assert_allclose(served, exact, atol=1e-4)


# -- labels ------------------------------------------------------------------------------------------------------------


def test_units_of_tables():
    pixels = ArraySource(np.zeros((4, 8, 8), np.uint8))
    columns = {"path": list("0123"), "expression": [1, 4, -1, 7]}
    by_rule = unit_labels(FaceTable("rules", pixels, columns, FERPLUS8))
    assert [unit for unit, value in zip(ACTION_UNITS, by_rule[0]) if value] == [6, 12, 25]
    assert [unit for unit, value in zip(ACTION_UNITS, by_rule[1]) if value] == [4, 5, 7, 17, 23, 24]
    assert np.isnan(by_rule[2]).all() and by_rule[3].sum() == 1
    own = np.full((4, 14), np.nan, np.float32)
    own[1], own[2, 5] = 0.0, 0.75
    mixed = unit_labels(FaceTable("mixed", pixels, {**columns, "aus": own}, FERPLUS8))
    np.testing.assert_array_equal(mixed[[0, 3]], by_rule[[0, 3]])
    np.testing.assert_array_equal(mixed[[1, 2]], own[[1, 2]])


# -- collapse ----------------------------------------------------------------------------------------------------------


def test_collapse_by_hand():
    """Faces of one gray value each: distances are differences of the values."""
    gray = lambda *values: np.array(values, np.float32)[:, None, None, None] * np.ones((1, 16, 16, 1))  # noqa: E731
    found = collapse(gray(0, 0, 2.5, 2.5), gray(0, 1, 2, 4))
    assert found.diversity == pytest.approx((10 / 6) / (13 / 6), rel=1e-4)
    assert found.novelty == pytest.approx(0.25, abs=1e-3) and found.repeats == 1.0
    assert found.nearest.tolist() == [0, 0, 2, 2]
    same = collapse(gray(1, 1, 1), gray(0, 1, 2, 4))
    assert same.diversity == 0 and same.novelty == 0
    with pytest.raises(CollapseError, match="two or more faces of one shape"):
        collapse(gray(1), gray(1, 2))
    with pytest.raises(CollapseError, match="most of the real faces are the same"):
        collapse(gray(1, 2), gray(1, 1, 1))


# -- the app -----------------------------------------------------------------------------------------------------------


def test_the_app_trains_on_two_sets_without_labels(tmp_path, monkeypatch, capsys):
    from kerasfer.cli.train import main

    faces_of = {"ferplus": 24, "lfw_expressions": 16}
    load = datasets.load

    def rendered(name, root=None, split=None, **options):
        table = load("synthetic", count=faces_of[name], size=40, channels=1)
        columns = {column: values for column, values in table.columns.items() if column != "split"}
        return FaceTable(name, table.source, columns, FERPLUS8)

    monkeypatch.setattr(datasets, "load", rendered)
    arguments = [
        "--model",
        "dcganfer",
        "--size",
        "tiny",
        "--dataset",
        "ferplus",
        "--faces",
        "lfw_expressions",
        "--quiet",
    ]
    assert main([*arguments, "--output", str(tmp_path), "--data", str(tmp_path)]) == 0
    assert "10 steps an epoch" in capsys.readouterr().out
    run = json.loads((tmp_path / "config.json").read_text())
    assert run["unlabeled"] == faces_of
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert "diversity" in header and "novelty" in header and "valid_accuracy" not in header

"""The training loop: resumed runs, interrupted runs, runs that go wrong."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import Losses, finish, least, make_batches, noise_table, start, state_arrays

from kerasfer import images, training
from kerasfer.data import NO_AUGMENTATION
from kerasfer.data.kinds import Images
from kerasfer.datasets.base import ArraySource, FaceTable
from kerasfer.evaluation import evaluate
from kerasfer.expressions import FERPLUS8
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan
from kerasfer.models.tdgan import TDGAN, TDGANConfig
from kerasfer.progress import Progress
from kerasfer.synthesis import Control

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class ToyConfig(ModelConfig):
    """A linear classifier; `ruin` makes the loss wrong: "nan" or "inf" from step `ruin_step` on, or "weights"."""

    image_size: int = 16
    epochs: int = 2
    batch_size: int = 4
    learning_rate: float = 0.01
    ruin: str = ""
    ruin_step: int = 3
    every: int = 1

    @classmethod
    def small(cls) -> ToyConfig:
        return cls()

    @classmethod
    def tiny(cls) -> ToyConfig:
        return cls()


class Negatives(Control):
    """Shows faces in negative."""

    name = "negatives"

    def preview(self, batch: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [1.0 - batch["image"]]


class Toy(FERModel):
    """The least model that can be trained, with dropout and a part of the step that is due at every so many steps."""

    Config = ToyConfig
    config: ToyConfig
    controls = (Negatives,)

    @classmethod
    def batch_kind_of(cls, config: ToyConfig) -> str:
        return "images"

    def build_networks(self) -> dict[str, keras.Model]:
        image = keras.Input((16, 16, 1))
        x = keras.layers.Dropout(0.5, seed=5)(keras.layers.Flatten()(image))
        classifier = keras.Model(image, keras.layers.Dense(8, dtype="float32", name="dense")(x), name="classifier")
        level = keras.Input((1,))
        bias = keras.Model(level, keras.layers.Dense(1, use_bias=False, name="level")(level), name="level")
        return {"classifier": classifier, "level": bias}

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        return {"classifier": OptimizerPlan(("classifier",)), "level": OptimizerPlan(("level",))}

    def loss_terms(self) -> tuple[str, ...]:
        return ("classification", "level")

    def intervals(self) -> tuple[int, ...]:
        return (self.config.every,)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self.networks["classifier"](batch["image"], training=True)
            loss = self.mean_over_batch(tf.nn.softmax_cross_entropy_with_logits(batch["label"], logits))
        self.minimize("classifier", loss, tape)
        self.report(classification=loss)
        self.when_due(0, self._level_step, lambda: tf.zeros([]))
        if self.config.ruin == "weights":
            self.networks["classifier"].weights[0].assign_add(self._ruined(0.0) * tf.ones((256, 8)))
        self.step.assign_add(1)
        return self.result()

    def _ruined(self, value: float) -> tf.Tensor:
        wrong = tf.constant(math.inf if self.config.ruin == "inf" else math.nan)
        late = tf.convert_to_tensor(self.step) >= self.config.ruin_step
        return tf.where(late & (self.config.ruin != ""), wrong, value)

    def _level_step(self) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.mean_over_batch(tf.square(self.networks["level"](tf.ones((1, 1)), training=True) - 3.0))
        self.minimize("level", loss, tape)
        self.report(level=self._ruined(loss) if self.config.ruin in ("nan", "inf") else loss)
        return tf.zeros([])

    def recognizer(self) -> keras.Model:
        return self.networks["classifier"]

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        return {"recognizer": ("classifier",), "training": ("level",)}


def fit_toy(folder, *, callbacks=(), images=16, model=None, epochs=None, **options):
    """Trains a `Toy`; returns it and its history. There are `images` / 4 steps an epoch."""
    fields = {key: options.pop(key) for key in list(options) if key in ToyConfig.__dataclass_fields__}
    if epochs is not None:
        options["epochs"] = epochs
    model = model or Toy(ToyConfig(**fields))
    batches = make_batches("images", model.config, images)
    options.setdefault("verbose", 0)
    return model, training.fit(model, batches, folder, callbacks=list(callbacks), **options)


def assert_same(one: FERModel, other: FERModel) -> None:
    ours, theirs = state_arrays(one), state_arrays(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


class At(keras.callbacks.Callback):
    """Does something when so many steps are done in this process."""

    def __init__(self, step, action):
        super().__init__()
        self.left, self.action = step, action

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.action()


def send(number):
    return lambda: os.kill(os.getpid(), number)


# Resumed runs


def killed_in_mid_epoch(folder, *arguments, steps=2, **options) -> None:
    """Trains in a process of its own until a checkpoint of this epoch's step is there, then kills it."""
    process = start(folder, *arguments, save_every=0.0, wait=0.3, **options)
    deadline = time.monotonic() + 900
    while not any(place.step >= steps for place, _ in training.Checkpoints(folder).places()):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("variant", ["cnn_base", pytest.param("tdgan", marks=pytest.mark.slow)])
def test_a_killed_run_ends_like_one_that_was_not(tmp_path, variant):
    fields = {"variant": variant, "dropout": 0.5, "average": 0.9, "schedule": "cosine"}
    task = {"images": 16, "deterministic": True}
    if variant == "tdgan":
        fields |= {"expression_discriminator_every": 2, "precision": "mixed_bfloat16"}
    whole = start(tmp_path / "whole", fields, output=tmp_path / "whole.npz", **task)
    killed_in_mid_epoch(tmp_path / "killed", fields, **task)
    assert training.Checkpoints(tmp_path / "killed").places()[-1][0].epoch == 0
    finish(start(tmp_path / "killed", fields, output=tmp_path / "killed.npz", **task), whole)
    with np.load(tmp_path / "whole.npz") as expected, np.load(tmp_path / "killed.npz") as found:
        assert 0 < len(found["losses"]) < len(expected["losses"]) == 8
        np.testing.assert_array_equal(found["losses"], expected["losses"][-len(found["losses"]) :])
        assert set(found) == set(expected)
        for name in expected:
            if name != "losses":
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert [row["epoch"] for row in history_of(tmp_path / "killed")] == ["1", "2"]


@pytest.mark.slow
def test_the_app_started_again_after_a_kill_ends_like_one_that_was_not_killed(tmp_path):
    def command(folder):
        fields = ["epochs=3", "inception_blocks=1", "residual_blocks=1", "variant=cnn_base", "batch_size=32"]
        changes = [part for field in fields for part in ("--set", field)]
        options = ["--size", "tiny", "--deterministic", "--images", "400", "--quiet", "--output", str(folder)]
        return [sys.executable, str(ROOT / "apps/train.py"), "--model", "tdgan", *options, *changes]

    killed = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not training.Checkpoints(tmp_path / "killed").places():
        assert killed.poll() is None, killed.stdout.read().decode()
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for name in ("killed", "whole"):
        subprocess.run(command(tmp_path / name), check=True, capture_output=True)
    states = []
    for name in ("killed", "whole"):
        config = TDGANConfig.from_dict(json.loads((tmp_path / name / "config.json").read_text())["config"])
        model = TDGAN(config)
        model.compile()
        assert training.Checkpoints(tmp_path / name).restore(model) == training.Place(3, 0)
        states.append(model)
    assert_same(*states)


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGINT, 1), (signal.SIGTERM, 3), (signal.SIGINT, 4), (signal.SIGINT, 6)]
)
def test_an_interrupted_run_is_saved_and_goes_on(tmp_path, number, step):
    whole, expected = fit_toy(tmp_path / "whole", average=0.5)
    with pytest.raises(training.Interrupted, match="saved in"):
        fit_toy(tmp_path / "run", callbacks=[At(step, send(number))], average=0.5)
    place, _ = training.Checkpoints(tmp_path / "run").places()[-1]
    assert (place.epoch, place.step) == divmod(step, 4)
    resumed, history = fit_toy(tmp_path / "run", average=0.5)
    assert_same(resumed, whole)
    for one, other in zip(history, expected, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_only_a_training_that_begins_is_prepared(tmp_path):
    prepared = []

    class Prepared(Toy):
        def prepare(self, batch):
            prepared.append(batch["image"].numpy())

    for epochs in (1, 2):
        fit_toy(tmp_path / "run", model=Prepared(ToyConfig()), epochs=epochs)
    (image,) = prepared
    first = next(iter(make_batches("images", ToyConfig(), 16).epoch(0)))["image"]
    np.testing.assert_array_equal(image, first)


def test_a_signal_in_the_last_step_does_not_spoil_the_end(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    _, history = fit_toy(tmp_path, callbacks=[At(8, send(signal.SIGINT))])
    assert len(history) == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_stops_at_once(tmp_path):
    def twice():
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit_toy(tmp_path, callbacks=[At(2, twice)])
    assert not isinstance(caught.value, training.Interrupted)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_stops_when_its_time_is_over(tmp_path):
    with pytest.raises(training.TimeIsOver):
        fit_toy(tmp_path, stop_after=0.0)
    assert training.Checkpoints(tmp_path).places()[-1][0] == training.Place(0, 1)


def test_a_finished_run_that_is_started_again_changes_nothing(tmp_path):
    first, history = fit_toy(tmp_path)
    again, same_history = fit_toy(tmp_path)
    assert_same(again, first)
    assert same_history == history


def test_an_epoch_whose_steps_are_all_done_is_closed(tmp_path):
    whole, expected = fit_toy(tmp_path / "whole")
    model = Toy(ToyConfig())
    with pytest.raises(training.Interrupted):
        fit_toy(tmp_path / "run", model=model, callbacks=[At(4, send(signal.SIGINT))])
    (_, path) = training.Checkpoints(tmp_path / "run").places()[-1]
    path.rename(path.with_name("00000-0000004"))
    (tmp_path / "run" / "history.csv").unlink()
    resumed, history = fit_toy(tmp_path / "run")
    assert_same(resumed, whole)
    assert [{**row, "seconds": 0} for row in history] == [{**row, "seconds": 0} for row in expected]


# Runs that go wrong


@pytest.mark.parametrize("ruin", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, ruin):
    with pytest.raises(training.NonFiniteLossError) as caught:
        fit_toy(tmp_path, ruin=ruin, ruin_step=5)
    message = str(caught.value)
    assert message.startswith(f"level is {ruin} in epoch 2, step 2;")
    assert "checkpoints/00001-0000000" in message and "\n" not in message
    model = Toy(ToyConfig(ruin=ruin, ruin_step=5))
    model.compile()
    assert training.Checkpoints(tmp_path).restore(model) == training.Place(1, 0)
    assert all(np.isfinite(value).all() for value in state_arrays(model).values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of the step that ruins the weights is still finite."""
    with pytest.raises(training.NonFiniteLossError) as caught:
        fit_toy(tmp_path, ruin="weights", ruin_step=2, save_every=0.0)
    message = str(caught.value)
    assert "kernel is no longer finite in epoch 1, step 3" in message and "00000-0000002" in message
    assert [place.step for place, _ in training.Checkpoints(tmp_path).places()] == [1, 2]


def test_a_run_that_fails_before_its_first_checkpoint_says_so(tmp_path):
    with pytest.raises(training.NonFiniteLossError, match="no checkpoint was written yet"):
        fit_toy(tmp_path, ruin="nan", ruin_step=0)


def test_checkpoints_of_another_config_are_refused(tmp_path):
    fit_toy(tmp_path, epochs=1)
    with pytest.raises(training.TrainingError, match=r"another learning_rate, every; train into an empty folder"):
        fit_toy(tmp_path, learning_rate=0.5, every=2)


def test_checkpoints_of_another_model_are_refused(tmp_path):
    fit_toy(tmp_path, epochs=1)
    config = least(variant="cnn_base")
    with pytest.raises(training.TrainingError, match="another .*variant.*train into an empty folder"):
        training.fit(TDGAN(config), make_batches("images", config), tmp_path, verbose=0)


def test_a_checkpoint_without_its_config_is_compared_by_its_variables(tmp_path):
    from safetensors.numpy import save_file

    model = Toy(ToyConfig())
    model.compile()
    arrays = {name: np.ascontiguousarray(value) for name, value in state_arrays(model).items()}
    assert arrays["step"].shape == (1,)
    save_file(arrays, tmp_path / "state.safetensors")
    training.load_state(model, tmp_path / "state.safetensors")
    averaging = Toy(ToyConfig(average=0.5))
    averaging.compile()
    with pytest.raises(training.TrainingError, match="is of another model or config"):
        training.load_state(averaging, tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    "damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"nonsense" * 50], ids=["empty", "cut", "other"]
)
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    fit_toy(tmp_path, epochs=1)
    (_, path) = training.Checkpoints(tmp_path).places()[-1]
    (path / "state.safetensors").write_bytes(damage)
    with pytest.raises(training.TrainingError, match=r"00001-0000000/state\.safetensors: .*(readable|another)"):
        fit_toy(tmp_path)


def test_a_checkpoint_that_is_cut_short_is_named(tmp_path):
    fit_toy(tmp_path, epochs=1)
    (_, path) = training.Checkpoints(tmp_path).places()[-1]
    content = (path / "state.safetensors").read_bytes()
    (path / "state.safetensors").write_bytes(content[:-100])
    with pytest.raises(training.TrainingError, match="not a readable checkpoint .*use the one before"):
        fit_toy(tmp_path)


def test_what_a_killed_process_left_over_is_removed(tmp_path):
    fit_toy(tmp_path, epochs=1)
    half = tmp_path / "checkpoints" / ".00001-0000002.123.tmp"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    fit_toy(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00001-0000000", "00002-0000000"]


def test_write_run_refuses_another_config(tmp_path):
    training.write_run(tmp_path, "toy", Toy(ToyConfig()), command="first")
    training.write_run(tmp_path, "toy", Toy(ToyConfig()), command="second")
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["command"] == "second" and written["config"]["learning_rate"] == 0.01
    with pytest.raises(training.TrainingError, match=r"config\.json: holds a run with another learning_rate;"):
        training.write_run(tmp_path, "toy", Toy(ToyConfig(learning_rate=0.5)), command="third")
    with pytest.raises(training.TrainingError, match="with another model;"):
        training.write_run(tmp_path, "other", Toy(ToyConfig()))
    assert json.loads((tmp_path / "config.json").read_text()) == written
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(training.TrainingError, match="not readable"):
        training.write_run(tmp_path, "toy", Toy(ToyConfig()))


# What a run leaves and tells


def history_of(folder) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_records(tmp_path):
    table = noise_table(8, 16)
    model = Toy(ToyConfig(average=0.5))
    batch = next(iter(make_batches("images", model.config).epoch(0)))
    seen = []

    def look(end: training.EpochEnd) -> dict[str, float]:
        seen.append((end.epoch, set(end.logs), model.networks["classifier"].weights[0].numpy()))
        return {"extra": end.epoch + 0.5}

    before = model.networks["classifier"].weights[0].numpy()
    _, history = fit_toy(
        tmp_path, model=model, on_epoch_end=[training.Validation(table), training.Preview(batch), look]
    )
    rows = history_of(tmp_path)
    columns = ["epoch", "classification", "level", "seconds", "valid_accuracy", "valid_balanced_accuracy", "extra"]
    assert list(rows[0]) == columns == list(history[0])
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["extra"]) for row in rows] == [0.5, 1.5]
    assert 0 <= float(rows[0]["valid_accuracy"]) <= 1
    for epoch in (1, 2):
        assert images.read(tmp_path / "samples" / f"epoch-{epoch:05d}.png").shape == (32, 64, 3)
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))
    assert [entry[0] for entry in seen] == [0, 1]
    averages, trained = seen[-1][2], model.networks["classifier"].weights[0].numpy()
    assert not np.allclose(averages, trained) and not np.allclose(trained, before)


def test_a_short_training_ends_no_worse_by_its_averages(tmp_path):
    """Forty updates leave an average with momentum 0.998 nothing of the random weights that they began at."""
    generator = np.random.default_rng(1)
    codes = np.arange(64) % 4
    pixels = generator.integers(0, 120, (64, 16, 16))
    for row, code in enumerate(codes):
        pixels[row, code // 2 * 8 : code // 2 * 8 + 8, code % 2 * 8 : code % 2 * 8 + 8] += 60
    columns = {"path": [str(row) for row in range(64)], "expression": codes}
    table = FaceTable("quarters", ArraySource(pixels.astype(np.uint8)), columns, FERPLUS8)
    model = Toy(ToyConfig(average=0.998, epochs=5, batch_size=8, learning_rate=0.02))
    made = Images(table, model.image_spec, FERPLUS8, 8, augmentation=NO_AUGMENTATION)
    training.fit(model, made, tmp_path, verbose=0)
    raw = evaluate(model, table).accuracy
    with model.averaged_weights():
        averaged = evaluate(model, table).accuracy
    assert raw > 0.9 and averaged >= raw - 0.05


def test_the_history_means_over_the_epoch(tmp_path):
    losses = Losses()
    _, history = fit_toy(tmp_path, callbacks=[losses], epochs=1)
    assert history[0]["level"] == losses.steps[-1]["level"]
    # (0 or so - 3)^2 falls as the level rises toward 3, so a mean over the epoch lies between its first and last.
    first, mean = losses.steps[0]["level"], history[0]["level"]
    assert mean < first
    assert len(losses.steps) == 4


def test_a_callback_can_stop_the_training(tmp_path):
    events = []

    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            events.append(("begin", self.params["epochs"], self.params["steps"]))

        def on_epoch_begin(self, epoch, logs=None):
            events.append(("epoch", epoch))

        def on_epoch_end(self, epoch, logs=None):
            assert {"classification", "level", "seconds"} <= set(logs)
            self.model.stop_training = True

        def on_train_end(self, logs=None):
            events.append("end")

    _, history = fit_toy(tmp_path, callbacks=[Stop()])
    assert len(history) == 1
    assert events == [("begin", 2, 4), ("epoch", 0), "end"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Terminal], ids=["file", "terminal"])
@pytest.mark.parametrize("width", [40, 100])
def test_progress_shows_every_term_within_the_width(monkeypatch, kind, width):
    monkeypatch.setenv("COLUMNS", str(width))
    stream = kind()
    monkeypatch.setattr(sys, "stdout", stream)
    clock = [100.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])
    names = ["generator_face", "generator_expression", "dual_image_consistency", "perceptual", "face_discriminator"]
    logs = {name: 0.123456 * 10.0 ** (3 * index - 6) for index, name in enumerate(names)}
    progress = Progress(2, 10, 20, 100, verbose=1)
    progress.show(21, logs)
    assert stream.getvalue() == ""
    clock[0] += 61
    progress.show(50, logs)
    shown = stream.getvalue()
    assert "epoch 3/10" in shown and "50/100" in shown
    clock[0] += 100
    progress.end({**logs, "seconds": 161.0})
    for text in (shown, stream.getvalue()[len(shown) :]):
        plain = text.replace("\x1b[2K", "").replace("\x1b[J", "").replace("\x1b[", "")
        assert all(name in plain for name in names)
        assert max(len(line) for line in plain.splitlines()) <= width + 3
    assert "2:41" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) == (kind is Terminal)


def test_progress_can_be_silent(tmp_path, capsys):
    fit_toy(tmp_path / "silent", verbose=0)
    assert capsys.readouterr().out == ""
    fit_toy(tmp_path / "brief", verbose=2)
    assert capsys.readouterr().out.count("epoch ") == 2


# The model under Keras' own loop


def test_keras_fit_trains_too(tmp_path):
    """With a part of the step that is due at every second step, which `Model.fit` decides in the graph."""
    ours, _ = fit_toy(tmp_path, epochs=1, every=2)
    model = Toy(ToyConfig(every=2))
    model.compile()
    history = model.fit(make_batches("images", model.config, 16).epoch(0), verbose=0)
    assert set(history.history) == {"classification", "level"}
    assert int(model.step.numpy()) == 4
    assert [int(model.optimizers[name].iterations.numpy()) for name in ("classifier", "level")] == [4, 2]
    for name, value in state_arrays(ours).items():
        np.testing.assert_allclose(state_arrays(model)[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.slow
def test_keras_fit_trains_the_released_variant_of_tdgan():
    released = TDGANConfig.released()
    model = TDGAN(
        least(
            perceptual=released.perceptual,
            face_discriminator_every=released.face_discriminator_every,
            expression_discriminator_every=released.expression_discriminator_every,
        )
    )
    model.compile()
    history = model.fit(make_batches("expression_and_face", model.config, 24).epoch(0), verbose=0)
    assert set(history.history) == set(model.loss_terms())
    assert all(np.isfinite(values).all() for values in history.history.values())
    updates = {name: int(optimizer.iterations.numpy()) for name, optimizer in model.optimizers.items()}
    assert updates == {
        "generator": 6,
        "expression_classifier": 6,
        "face_discriminator": 2,
        "expression_discriminator": 1,
    }


def test_the_loop_and_keras_agree_on_when_parts_are_due():
    model = Toy(ToyConfig(every=3))
    assert [model.phase_at(step) for step in range(4)] == [(True,), (False,), (False,), (True,)]

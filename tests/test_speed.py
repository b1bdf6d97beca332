"""The benchmark's measurements: what cannot be measured says why; the figures are there."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import speed

    return speed


def test_a_missing_peer_is_skipped_with_a_reason(speed, tmp_path, monkeypatch):
    """Whether fer is installed or not: an empty package of that name hides it."""
    (tmp_path / "fer").mkdir()
    (tmp_path / "fer" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    np.savez(tmp_path / "photos.npz", np.zeros((8, 8, 3), np.uint8))
    row = speed._measured(speed._FER, threads=1, photo=str(tmp_path / "photos.npz"), runs=1)
    assert row == {"skipped": "No module named 'fer.fer'"}


def test_what_fails_says_why_in_a_line(speed):
    with pytest.raises(ValueError, match=r"python[\d.]*: ZeroDivisionError: division by zero$"):
        speed._measured("1 / 0", threads=1)


def test_photos_are_taken_in_turn_after_some_that_do_not_count(speed):
    code = f"{speed._COMMON}seen = []\nrow = times(seen.append, [0, 1, 2, 3], {{runs}})"
    row = speed._measured(code + "\nprint(json.dumps({{**row, 'seen': seen}}))", threads=1, runs=5)
    assert row["seen"] == [0, 1, 2, 0, 1, 2, 3, 0]
    assert set(row) == {"ms/photo", "fastest ms", "processor ms", "MB", "seen"} and row["MB"] > 5
    assert 0 <= row["fastest ms"] <= row["ms/photo"]


def test_frames_of_the_video_differ(speed):
    first, second = speed.two_faces(0), speed.two_faces(10)
    assert first.shape == (720, 1280, 3) and first.dtype == np.uint8 and (first != second).any()


@pytest.mark.parametrize(
    ("change", "function"),
    [
        ("norm", "_conv_norm_relu"),
        ("batch-norm", "_batch_norm_layer"),
        ("prelu", "_prelu"),
        ("gray", "_convolve"),
        ("adam", None),
    ],
)
def test_what_is_fast_computes_the_same(monkeypatch, change, function):
    """Two steps of a network that has everything that is made faster, beside its straightforward form."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import straightforward

    called = []
    if function:
        plain = getattr(straightforward, function)

        @functools.wraps(plain)
        def counted(*values, **names):
            called.append(1)
            return plain(*values, **names)

        monkeypatch.setattr(straightforward, function, counted)
    fast = _stepped()
    assert not called
    with straightforward.without(change):
        slow = _stepped()
    assert bool(called) == bool(function) and len(fast) == len(slow) == 15
    for one, other in zip(fast, slow):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def _stepped() -> list[np.ndarray]:
    """The weights of a network after two steps."""
    import keras
    import tensorflow as tf

    from kerasfer.backbones import resnet
    from kerasfer.layers import ConvUnit, GrayConvTranspose, InstanceNormalization
    from kerasfer.optimizers import FusedAdam

    keras.utils.set_random_seed(3)
    image = keras.Input((12, 12, 2))
    x = ConvUnit(4, 3, pool=True)(GrayConvTranspose(1, 3)(image))
    x = resnet.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(x))
    x = InstanceNormalization(relu=True)(keras.layers.Conv2D(4, 3, use_bias=False)(resnet.PReLU()(x)))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    optimizer = FusedAdam(1e-2, epsilon=1e-2)
    images = tf.random.stateless_normal((4, 12, 12, 2), (1, 2))
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(images, training=True) ** 2)
        optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]), model.trainable_variables)
    return [weight.numpy() for weight in model.weights]


TRAINED = {"tdgan": ("norm", "gray", "adam"), "fesr": ("norm", "adam")}
"""Model -> what of its tiny step is made faster."""


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("model", TRAINED)
def test_fifty_steps_of_what_is_fast_lose_as_much(monkeypatch, model, precision):
    """The losses of a training differ from the plain form's by little beside how much its own go up and down."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import straightforward

    fast = _losses(model, precision)
    with straightforward.without(*TRAINED[model]):
        plain = _losses(model, precision)
    assert len(fast) == len(plain) == 50 and fast[0].keys() == plain[0].keys()
    for name in fast[0]:
        ours, theirs = (np.array([losses[name] for losses in run[25:]]) for run in (fast, plain))
        assert abs(ours.mean() - theirs.mean()) < 3 * theirs.std() + 1e-3, name


def _losses(name: str, precision: str) -> list[dict[str, float]]:
    """The loss terms of each of fifty training steps on a few batches again and again."""
    import tensorflow as tf
    from tiny_training import make_batches

    from kerasfer import zoo

    model = zoo.create(name, "tiny", precision=precision, seed=1, learning_rate=1e-3)
    batches = make_batches(model.batch_kind_of(model.config), model.config, count=16)
    model.prepare(next(iter(batches.epoch(0))))
    model.compile(total_steps=50)
    model.adapt(batches.columns)
    model.phase = (True,) * len(model.phase_at(0))
    step, losses = tf.function(model.train_step), []
    for batch in batches.epoch(0).repeat().take(50):
        for tracker in model.trackers.values():
            tracker.reset_state()
        losses.append({key: float(value) for key, value in step(batch).items()})
    return losses


def test_an_unknown_change_is_refused(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import straightforward

    with pytest.raises(ValueError, match="no such change: speed; there are norm"), straightforward.without("speed"):
        pass


@pytest.mark.slow
def test_every_figure_is_printed(speed):
    rows = speed.device_rows("tdgan", sys.executable, 10)
    assert [row["faces"] for row in rows] == [1] * 4 + [20] * 4
    assert all(row["ms/photo"] > 0 and row["MB"] > 10 and row["import s"] > 0 for row in rows)
    rows = speed.video_rows("tdgan", 12)
    assert [row["people"] for row in rows] == [2] * 6 and all(row["frames/s"] > 0 for row in rows)
    rows = speed.photo_rows("tdgan", sys.executable, 2, None)
    assert [row.get("found") for row in rows[:4]] == [1] * 4

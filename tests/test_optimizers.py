"""The fused Adam takes Adam's steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasfer.optimizers import FusedAdam


def variables() -> list[keras.Variable]:
    return [keras.Variable(np.linspace(-1, 1, 6).reshape(2, 3), name="a"), keras.Variable([0.5, -0.25], name="b")]


def gradients(step: int) -> list[tf.Tensor]:
    generator = np.random.default_rng(step)
    return [tf.constant(generator.normal(0, 10.0 ** (-step), shape), tf.float32) for shape in ((2, 3), (2,))]


def steps_of(optimizer: keras.optimizers.Optimizer, count: int = 5, in_graph: bool = False) -> list[np.ndarray]:
    moved = variables()
    optimizer.build(moved)

    def apply(values: list[tf.Tensor]) -> None:
        optimizer.apply(values, moved)

    apply = tf.function(apply) if in_graph else apply
    for step in range(count):
        apply(gradients(step))
    return [variable.numpy() for variable in [*moved, *optimizer.variables]]


def test_first_steps_by_hand():
    # g = 2, beta1 = 0.9, beta2 = 0.99: m = 0.2, v = 0.04, corrected 2 and 4, so the step is 0.1 * 2 / (2 + ~0) = 0.1.
    # g = 0 then: m = 0.18 / 0.19 = 0.947368, v = 0.0396 / 0.0199 = 1.989950, step 0.1 * 0.947368 / 1.410656 = 0.067158.
    moved = keras.Variable([1.0])
    optimizer = FusedAdam(0.1, beta_1=0.9, beta_2=0.99)
    optimizer.build([moved])
    optimizer.apply([tf.constant([2.0])], [moved])
    np.testing.assert_allclose(moved.numpy(), [0.9], atol=1e-6)
    optimizer.apply([tf.constant([0.0])], [moved])
    np.testing.assert_allclose(moved.numpy(), [0.832842], atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"beta_1": 0.5, "beta_2": 0.99, "epsilon": 1e-3},
        {"weight_decay": 0.1, "clipnorm": 0.5},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 4)},
    ],
    ids=["defaults", "constants", "decay and clipping", "schedule"],
)
@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
def test_the_same_numbers_as_adam(arguments, in_graph):
    arguments = {"learning_rate": 0.05, **arguments}
    ours, theirs = steps_of(FusedAdam(**arguments), in_graph=in_graph), steps_of(keras.optimizers.Adam(**arguments))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
def test_averages_warm_up(in_graph):
    """By hand: with momentum 0.2 the first three updates keep 1/10, 2/11 and, no more than asked for, 0.2."""
    moved = keras.Variable([8.0])
    optimizer = FusedAdam(1.0, use_ema=True, ema_momentum=0.2, ema_overwrite_frequency=None)
    optimizer.build([moved])
    (average,) = optimizer.averages
    average.assign(moved)

    def apply(value: tf.Tensor) -> None:
        optimizer.apply([value], [moved])

    apply = tf.function(apply) if in_graph else apply
    expected = 8.0
    for momentum in (0.1, 2 / 11, 0.2, 0.2):
        apply(tf.constant([3.0]))
        expected = momentum * expected + (1 - momentum) * moved.numpy()[0]
        np.testing.assert_allclose(average.numpy(), [expected], rtol=1e-6)
    # Adam's first step is 1 down the gradient: 8 to 7, of which the average takes nine tenths, 7.1; then 6 and 5.
    np.testing.assert_allclose(moved.numpy(), [4.0], atol=1e-4)
    np.testing.assert_allclose(expected, 0.2 * (0.2 * (2 / 11 * 7.1 + 9 / 11 * 6) + 0.8 * 5) + 0.8 * 4, atol=1e-4)


def test_the_slots_keep_their_order():
    """Checkpoints name an optimizer's variables by their place."""
    optimizer = FusedAdam(0.1, use_ema=True)
    optimizer.build(variables())
    slots = [variable.path.rpartition("/")[2] for variable in optimizer.variables]
    expected = ["iteration", "learning_rate", "average", "average", "momentum", "velocity", "momentum", "velocity"]
    assert [next(name for name in expected if slot.endswith(name)) for slot in slots] == expected


def test_no_averages_unless_asked_for():
    optimizer = FusedAdam(0.1)
    optimizer.build(variables())
    assert optimizer.averages == []


def test_a_variable_without_gradient_stays():
    moved = variables()
    optimizer = FusedAdam(0.1)
    optimizer.build(moved)
    with pytest.warns(UserWarning, match="Gradients do not exist|gradients"):
        optimizer.apply([gradients(0)[0], None], moved)
    np.testing.assert_array_equal(moved[1].numpy(), variables()[1].numpy())
    assert (moved[0].numpy() != variables()[0].numpy()).all()


def test_rows_that_were_looked_up():
    table = keras.Variable(np.ones((4, 2)))
    optimizer = FusedAdam(0.1)
    optimizer.build([table])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(tf.convert_to_tensor(table), [1, 1, 3]))
    optimizer.apply(tape.gradient(loss, [table.value]), [table])
    np.testing.assert_allclose(table.numpy(), [[1, 1], [0.9, 0.9], [1, 1], [0.9, 0.9]], atol=1e-6)


def test_eager_steps_after_steps_in_a_graph():
    moved = variables()
    optimizer = FusedAdam(0.1)
    optimizer.build(moved)
    tf.function(lambda values: optimizer.apply(values, moved))(gradients(0))
    optimizer.apply(gradients(1), moved)
    for one, other in zip(moved, steps_of(FusedAdam(0.1), count=2)):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)


def test_config_round_trip():
    optimizer = FusedAdam(0.02, beta_1=0.5, use_ema=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, FusedAdam)
    assert again.get_config() == optimizer.get_config()


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="no AMSGrad"):
        FusedAdam(amsgrad=True).build(variables())

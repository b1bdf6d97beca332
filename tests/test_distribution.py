"""Two devices, and two processes, train like one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import finish, free_ports, least, make_batches, start, train

from kerasfer import training
from kerasfer.models.tdgan import TDGAN

VARIANTS = [pytest.param("cnn_base"), pytest.param("tdgan", marks=pytest.mark.slow)]


def fields(variant: str, **others: object) -> dict[str, object]:
    return {"variant": variant, "average": 0.9, "learning_rate": 0.001, **others}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one replica in this process gets, by variant."""
    kept: dict[str, dict[str, np.ndarray]] = {}

    def of(variant: str) -> dict[str, np.ndarray]:
        if variant not in kept:
            kept[variant] = train(tmp_path_factory.mktemp("alone"), fields(variant))
        return kept[variant]

    return of


def assert_same_training(path, expected: dict[str, np.ndarray], replicas: int = 2) -> None:
    """Losses and all variables equal to 1e-5; the loss terms' sums are those of all replicas."""
    with np.load(path) as found:
        assert set(found) == set(expected)
        steps = len(found["losses"])
        assert steps
        np.testing.assert_allclose(found["losses"], expected["losses"][-steps:], rtol=0, atol=1e-5)
        for name, value in expected.items():
            if name.startswith("tracker/"):
                np.testing.assert_allclose(found[name], replicas * value, rtol=1e-5, err_msg=name)
            elif name != "losses":
                np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def start_workers(tmp_path, count: int = 2, **options):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        start(
            tmp_path / "run",
            tf_config={"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}},
            output=tmp_path / "state.npz",
            **options,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_devices_train_like_one(tmp_path, alone, variant):
    process = start(tmp_path / "run", fields(variant), replicas=2, output=tmp_path / "state.npz")
    expected = alone(variant)
    finish(process)
    assert_same_training(tmp_path / "state.npz", expected)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_train_like_one(tmp_path, alone, variant):
    processes = start_workers(tmp_path, fields=fields(variant))
    expected = alone(variant)
    finish(*processes)
    assert_same_training(tmp_path / "state.npz", expected)


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped(tmp_path, alone):
    finish(*start_workers(tmp_path, fields=fields("cnn_base"), epochs=1))
    assert len(training.Checkpoints(tmp_path / "run").places()) == 1
    finish(*start_workers(tmp_path, fields=fields("cnn_base")))
    assert_same_training(tmp_path / "state.npz", alone("cnn_base"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["cnn_base", "tdgan"])
def test_dropout_and_rarer_updates_work_on_two_devices(tmp_path, variant):
    rarer = fields(variant, dropout=0.5, face_discriminator_every=2, expression_discriminator_every=3)
    finish(start(tmp_path / "run", rarer, replicas=2, output=tmp_path / "state.npz"))
    with np.load(tmp_path / "state.npz") as found:
        assert all(np.isfinite(found[name]).all() for name in found)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path):
    class TwoReplicas:
        num_replicas_in_sync = 2

    config = least(variant="cnn_base", batch_size=3)
    batches = make_batches("images", config)
    with pytest.raises(training.TrainingError, match="batch of 3 cannot be shared by 2 replicas"):
        training.fit(TDGAN(config), batches, tmp_path / "run", strategy=TwoReplicas())
    assert not (tmp_path / "run").exists()


def test_devices_are_asked_for_before_tensorflow_is_used():
    tf.config.list_logical_devices()
    with pytest.raises(training.TrainingError, match="before TensorFlow is used"):
        training.local_strategy(2)

"""Models on the hub, sent to and fetched from a stand-in on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hub_stub import Hub

import kerasfer
from kerasfer import hub as hubs
from kerasfer import zoo
from kerasfer.models.base import FERModel
from kerasfer.weights import ZooError

pytest.importorskip("huggingface_hub")


def _without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads its settings when it is imported."""
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    stub = Hub()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "HF_ENDPOINT": stub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": stub.token,
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    _without_the_library(monkeypatch)
    yield stub
    stub.close()
    _without_the_library(monkeypatch)


@pytest.fixture(scope="module")
def model() -> FERModel:
    return zoo.create("edge", "tiny", teacher_share=0.0, temperature=0.5)


def answers(model: FERModel) -> np.ndarray:
    faces = np.random.default_rng(0).uniform(-1, 1, (3, *model.image_spec.shape)).astype(np.float32)
    return np.asarray(model.recognizer()(faces))


def test_a_model_goes_to_the_hub_and_comes_back(hub, model, monkeypatch):
    address = kerasfer.push_to_hub(
        model, "user/faces", license="apache-2.0", datasets=["fer: plus"], metrics={"accuracy": 0.5}
    )
    assert address.startswith(f"{hub.endpoint}/user/faces")
    first, files = hub.commits["user/faces"][-1]
    assert set(files) == {"config.json", "recognizer.safetensors", "README.md", "metrics.json"}
    card = files["README.md"].decode()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: keras\n")
    front = card.split("---\n")[1]
    assert '\ndatasets:\n- "fer: plus"\nmetrics:\n- accuracy\n' in front and "\n- kerasfer\n" in front
    assert card.count("library_name") == 1 and "# edge" in card
    files["evil.py"], files["weights.pkl"] = b"raise SystemExit", b"\x80"
    loaded = kerasfer.load("hf://user/faces")
    np.testing.assert_array_equal(answers(loaded), answers(model))
    assert {name.rpartition(".")[2] for name in hub.fetched} == {"json", "safetensors"}

    other = zoo.create("edge", "tiny", teacher_share=0.0, temperature=0.25)
    kerasfer.push_to_hub(other, "user/faces")
    assert kerasfer.load("hf://user/faces").config.temperature == 0.25
    assert kerasfer.load(f"hf://user/faces@{first}").config.temperature == 0.5

    hub.close()
    np.testing.assert_array_equal(answers(kerasfer.load(f"hf://user/faces@{first}")), answers(model))
    with pytest.raises(ZooError, match="hf://user/never: the hub cannot be reached .* not in the cache") as found:
        kerasfer.load("hf://user/never")
    assert "\n" not in str(found.value)
    with pytest.raises(ZooError, match=r"hf://user/faces: could not be sent") as found:
        kerasfer.push_to_hub(model, "user/faces")
    assert "\n" not in str(found.value)


def test_what_the_hub_refuses(hub, model, monkeypatch):
    with pytest.raises(ZooError, match="user/away: the hub has no such model, or not for you; check the name") as found:
        kerasfer.load("hf://user/away")
    assert "\n" not in str(found.value)
    kerasfer.push_to_hub(model, "user/faces")
    with pytest.raises(ZooError, match="hf://user/faces@v9: the model has no such revision; check the name"):
        kerasfer.load("hf://user/faces@v9")
    files = hub.commits["user/faces"][-1][1]
    files["recognizer.safetensors"] = files["recognizer.safetensors"][:-1] + b"\0\0"
    with pytest.raises(ZooError, match="damaged"):
        kerasfer.load("hf://user/faces")
    hub.token = "hf_another"
    with pytest.raises(ZooError, match="could not be sent .*hf auth login"):
        kerasfer.push_to_hub(model, "user/faces")


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@", "hf://a b/c", "hf://../x y"])
def test_addresses_that_are_none(address):
    with pytest.raises(ZooError, match="write hf://user/name"):
        kerasfer.load(address)


def test_addresses():
    address = hubs.Address("hf://user/name.of-it@refs/pr/1")
    assert (address.repository, address.revision) == ("user/name.of-it", "refs/pr/1")
    assert hubs.Address("hf://user/name").revision is None


def test_without_the_library(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: kerasfer.load("hf://user/name"), lambda: kerasfer.push_to_hub(model, "user/name")):
        with pytest.raises(ImportError, match=r"pip install 'kerasfer\[hub\]'"):
            call()

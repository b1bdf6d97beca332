"""The converter of the authors' checkpoints: against channel-first references in NumPy and, if installed, PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import channel_first_tdgan as reference
import numpy as np
import pytest

from kerasfer import zoo
from kerasfer.models.tdgan import TDGANConfig
from kerasfer.models.tdgan_checkpoint import (
    DISCRIMINATORS,
    FILES,
    CheckpointError,
    convert,
    convert_arrays,
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def states():
    return reference.random_states(reference.TINY)


@pytest.fixture(scope="module")
def model(states):
    return convert_arrays(states)


def images_for(model, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *model.image_spec.shape), np.float32)


def test_sizes_are_read_from_the_shapes(model):
    config = model.config
    assert (config.image_size, config.channels) == (32, 1)
    assert config.encoder_channels == (4, 6, 8, 8)
    assert (config.inception_blocks, config.inception_channels) == (2, 2)
    assert (config.embedding_channels, config.residual_blocks, config.noise_channels) == (7, 3, 5)
    assert config.decoder_channels == (9, 8, 6, 4)
    assert config.head_units == 10
    assert (config.identities, len(config.expressions)) == (3, 5)
    assert config.perceptual == "face_discriminator_mse"
    assert (config.face_discriminator_every, config.expression_discriminator_every) == (5, 10)


@pytest.mark.slow
def test_paper_sized_checkpoints_give_the_released_config():
    states = reference.random_states(reference.PAPER)
    config = convert_arrays(states).config
    labels = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert config == TDGANConfig.released().replace(expressions=labels, identities=20)


def test_encoders_and_discriminators_equal_the_reference(states, model):
    images = images_for(model, 3)
    theirs = reference.first(images)
    for file, ours in (("Enc_FR_G.pkl", model.encode_faces), ("Enc_ER_G.pkl", model.encode_expressions)):
        expected = reference.last(reference.encode(states[file], theirs))
        assert expected.std() > 0.1
        np.testing.assert_allclose(ours(images), expected, atol=1e-4)
    for file, ours in (("Dis_FR.pkl", model.face_logits), ("Dis_ER.pkl", model.expression_logits)):
        code = reference.encode(states[file], theirs, "enc.")
        expected = reference.classify(states[file], code, "fc.")
        assert expected.std() > 0.1
        np.testing.assert_allclose(ours(images), expected, atol=1e-4)


def test_recognizer_equals_the_reference(states, model):
    images = images_for(model, 3)
    code = reference.encode(states["Enc_ER_G.pkl"], reference.first(images))
    logits = reference.classify(states["fc_ER_G.pkl"], code)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.recognizer()(images), expected, atol=1e-4)


def test_synthesis_equals_the_reference(states, model):
    faces, expressions = images_for(model, 2, 1), images_for(model, 2, 2)
    noise = np.random.default_rng(3).random((2, 2, 2, 5), np.float32)
    expected = reference.decode(
        states["dec.pkl"],
        reference.encode(states["Enc_ER_G.pkl"], reference.first(expressions)),
        reference.encode(states["Enc_FR_G.pkl"], reference.first(faces)),
        reference.first(noise),
    )
    assert expected.std() > 0.01
    np.testing.assert_allclose(model.synthesize(faces, expressions, noise), reference.last(expected), atol=1e-4)


def test_prefixes_and_old_statistics_change_nothing(states, model):
    def disguised(state: dict, prefix: str) -> dict:
        extras = {
            key.replace("weight", name): np.zeros(3)
            for key in state
            if key.endswith("bn.weight")
            for name in ("running_mean", "running_var", "num_batches_tracked")
        }
        return {prefix + key: array for key, array in {**state, **extras}.items()}

    prefixes = dict(zip(FILES, ("module.", "", "module.", "module.", "", "module.")))
    again = convert_arrays({file: disguised(state, prefixes[file]) for file, state in states.items()})
    images = images_for(model, 2)
    np.testing.assert_array_equal(again.recognizer()(images), model.recognizer()(images))
    np.testing.assert_array_equal(again.face_logits(images), model.face_logits(images))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_key_is_named_with_its_file(states, file):
    key = next(reversed(states[file]))
    damaged = {**states, file: {name: array for name, array in states[file].items() if name != key}}
    with pytest.raises(CheckpointError, match=f"{file}: no key '{key}'"):
        convert_arrays(damaged)


@pytest.mark.parametrize("file", FILES)
def test_an_unknown_key_is_named_with_its_file(states, file):
    damaged = {**states, file: {**states[file], "extra.weight": np.zeros(3, np.float32)}}
    with pytest.raises(CheckpointError, match=f"{file}: unknown key 'extra.weight'"):
        convert_arrays(damaged)


def test_a_wrong_shape_is_named_with_file_and_key(states):
    state = {**states["Enc_FR_G.pkl"], "conv2.0.conv.weight": np.zeros((6, 4, 3, 3), np.float32)}
    with pytest.raises(CheckpointError, match=r"Enc_FR_G.pkl: 'conv2.0.conv.weight' has shape \(6, 4, 3, 3\)"):
        convert_arrays({**states, "Enc_FR_G.pkl": state})
    state = {**states["fc_ER_G.pkl"], "fc1.weight": np.zeros((10, 33), np.float32)}
    with pytest.raises(CheckpointError, match="fc_ER_G.pkl: 'fc1.weight' takes 33 numbers"):
        convert_arrays({**states, "fc_ER_G.pkl": state})
    state = {**states["Dis_ER.pkl"], "fc.fc3.weight": np.zeros((6, 10), np.float32)}
    with pytest.raises(CheckpointError, match=r"Dis_ER.pkl: 'fc.fc3.weight' has shape \(6, 10\)"):
        convert_arrays({**states, "Dis_ER.pkl": state})


def test_values_that_are_not_finite_are_refused(states):
    bias = states["dec.pkl"]["emb1.0.bias"].copy()
    bias[1] = np.nan
    with pytest.raises(CheckpointError, match="dec.pkl: 'emb1.0.bias' holds values that are not finite"):
        convert_arrays({**states, "dec.pkl": {**states["dec.pkl"], "emb1.0.bias": bias}})


def test_expressions_can_be_named_and_must_be_as_many_as_the_classes(states):
    names = ["fear", "anger", "neutral", "happiness", "disgust"]
    assert convert_arrays(states, names).label_space.labels == tuple(names)
    with pytest.raises(CheckpointError, match="has 5 classes, but 8 expressions are named"):
        convert_arrays(states, "ferplus8")
    assert convert_arrays(states, ["joy", *names[1:]]).label_space.labels[0] == "joy"
    with pytest.raises(CheckpointError, match="class 'anger' is named twice"):
        convert_arrays(states, ["anger", *names[1:]])


def test_discriminators_may_be_left_out_together(states):
    generator = {file: state for file, state in states.items() if file not in DISCRIMINATORS}
    model = convert_arrays(generator)
    assert model.config.identities == TDGANConfig.paper().identities
    with pytest.raises(CheckpointError, match="both or neither"):
        convert_arrays({**generator, "Dis_ER.pkl": states["Dis_ER.pkl"]})


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="is not a folder"):
        convert(tmp_path / "nowhere")
    for file in FILES[:4]:
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=r"no Dis_FR.pkl, Dis_ER.pkl.*discriminators=False"):
        convert(tmp_path)
    with pytest.raises(CheckpointError, match="its name tells no network"):
        convert([tmp_path / "weights.pkl"])
    with pytest.raises(CheckpointError, match="a second dec.pkl"):
        convert([tmp_path / "dec.pkl", tmp_path / "dec_50.pkl"])


@pytest.mark.slow
def test_the_script_says_what_is_wrong_in_one_line(tmp_path):
    script = ROOT / "scripts" / "convert_tdgan.py"
    arguments = ["--checkpoints", str(tmp_path), "--output", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "Enc_FR_G.pkl" in line and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


# -- with PyTorch ------------------------------------------------------------------------------------------------------


def torch_networks(size):
    """The networks as PyTorch modules with the checkpoints' names, and functions that run them: file -> module."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; only the converter needs it")
    from torch import nn

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, kernel):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
            self.bn = nn.InstanceNorm2d(outputs, eps=1e-3, affine=True)

        def forward(self, x):
            return torch.relu(self.bn(self.conv(x)))

    class Inception(nn.Module):
        def __init__(self, wide, narrow):
            super().__init__()
            self.branch0 = nn.Sequential(Unit(wide, narrow, 1))
            self.branch1 = nn.Sequential(Unit(wide, narrow, 1), Unit(narrow, narrow, 3))
            self.branch2 = nn.Sequential(Unit(wide, narrow, 1), Unit(narrow, narrow, 3), Unit(narrow, narrow, 3))
            self.conv2d = nn.Conv2d(3 * narrow, wide, 1)

        def forward(self, x):
            branches = [self.branch0(x), self.branch1(x), self.branch2(x)]
            return torch.relu(x + 0.17 * self.conv2d(torch.cat(branches, 1)))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            one, two, three, four = size["encoder"]
            self.conv1 = nn.Sequential(Unit(size["channels"], one, 5))
            self.conv2 = nn.Sequential(Unit(one, two, 5))
            self.repeat = nn.Sequential(*(Inception(two, size["branch"]) for _ in range(size["blocks"])))
            self.conv3 = nn.Sequential(Unit(two, three, 5))
            self.conv4 = nn.Sequential(Unit(three, four, 5))

        def forward(self, x):
            def pool(x):
                return nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)

            x = self.repeat(pool(self.conv2(pool(self.conv1(x)))))
            return pool(self.conv4(pool(self.conv3(x))))

    class Head(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.fc1 = nn.Linear(size["side"] ** 2 * size["encoder"][3], size["units"])
            self.fc2 = nn.Linear(size["units"], size["units"])
            self.fc3 = nn.Linear(size["units"], classes)

        def forward(self, code):
            return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(code.flatten(1))))))

    class Residual(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.infer = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())

        def forward(self, x):
            return x + self.infer(x)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            width = size["embedding"]
            inputs = 2 * size["encoder"][3] + size["noise"]
            self.emb1 = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU())
            self.emb2 = nn.Sequential(*(Residual(width) for _ in range(size["residuals"])))
            widths = (width, *size["decoder"])
            for number, (before, after) in enumerate(zip(widths, widths[1:]), 1):
                deconvolution = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
                setattr(self, f"us{number}", nn.Sequential(deconvolution, nn.InstanceNorm2d(after), nn.ReLU()))
            last = nn.ConvTranspose2d(widths[-1], size["channels"], 3, 1, 1, bias=False)
            self.us5 = nn.Sequential(last, nn.Sigmoid())

        def forward(self, expression, face, noise):
            x = self.emb2(self.emb1(torch.cat([expression, face, noise], 1)))
            return self.us5(self.us4(self.us3(self.us2(self.us1(x)))))

    class Discriminator(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.enc, self.fc = Encoder(), Head(classes)

        def forward(self, x):
            return self.fc(self.enc(x))

    networks = {
        "Enc_FR_G.pkl": Encoder(),
        "Enc_ER_G.pkl": Encoder(),
        "dec.pkl": Decoder(),
        "fc_ER_G.pkl": Head(size["expressions"]),
        "Dis_FR.pkl": Discriminator(size["identities"] + 1),
        "Dis_ER.pkl": Discriminator(size["expressions"]),
    }
    for file, state in reference.random_states(size, seed=7).items():
        tensors = {key: torch.from_numpy(array) for key, array in state.items()}
        networks[file].load_state_dict(tensors, strict=True)
        networks[file].eval()
    return torch, networks


@pytest.mark.parametrize("size", [reference.TINY, pytest.param(reference.PAPER, marks=pytest.mark.slow)])
def test_pytorch_checkpoints_compute_the_same(tmp_path, size):
    torch, networks = torch_networks(size)
    for file, network in networks.items():
        state = network.state_dict()
        if file == "Dis_ER.pkl":
            state = {"epoch": 3, "best": torch.tensor(0.5), "state_dict": state, "optimizer": {"state": {}}}
        elif file == "dec.pkl":
            state = {f"module.{key}": tensor for key, tensor in state.items()}
            state["module.us1.1.running_mean"] = torch.zeros(size["decoder"][0])
        torch.save(state, tmp_path / file, _use_new_zipfile_serialization=file != "Enc_FR_G.pkl")
    model = convert(tmp_path)
    faces, expressions = images_for(model, 2, 1), images_for(model, 2, 2)
    side = size["side"]
    noise = np.random.default_rng(3).random((2, side, side, size["noise"]), np.float32)
    with torch.no_grad():
        their_faces, their_expressions, their_noise = (
            torch.from_numpy(np.ascontiguousarray(reference.first(x))) for x in (faces, expressions, noise)
        )
        face_code = networks["Enc_FR_G.pkl"](their_faces)
        expression_code = networks["Enc_ER_G.pkl"](their_expressions)
        logits = networks["fc_ER_G.pkl"](expression_code)
        generated = networks["dec.pkl"](expression_code, face_code, their_noise)
        identity, expression = networks["Dis_FR.pkl"](their_faces), networks["Dis_ER.pkl"](their_expressions)
    our_code = model.encode_expressions(expressions)
    for ours, theirs in (
        (reference.first(model.encode_faces(faces)), face_code),
        (reference.first(our_code), expression_code),
        (model.networks["expression_classifier"](our_code), logits),
        (reference.first(model.synthesize(faces, expressions, noise)), generated),
        (model.face_logits(faces), identity),
        (model.expression_logits(expressions), expression),
    ):
        assert theirs.std() > 0.01
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
    np.testing.assert_allclose(model.recognizer()(expressions), torch.softmax(logits, 1).numpy(), atol=1e-4)


def test_the_script_saves_a_model_of_pytorch_files_that_loads_again(tmp_path):
    torch, networks = torch_networks(reference.TINY)
    for file, network in networks.items():
        if file not in DISCRIMINATORS:
            torch.save(network.state_dict(), tmp_path / file.replace(".pkl", "_50.pkl"))
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    command = [sys.executable, str(ROOT / "scripts" / "convert_tdgan.py"), "--checkpoints", *files]
    command += ["--output", str(tmp_path / "model"), "--without-discriminators"]
    command += ["--expressions", "fear,anger,neutral,happiness,disgust"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = zoo.load(tmp_path / "model")
    assert model.label_space.labels == ("fear", "anger", "neutral", "happiness", "disgust")
    expected = convert(files, model.label_space, discriminators=False)
    images = images_for(model, 2)
    np.testing.assert_array_equal(model.synthesize(images, images), expected.synthesize(images, images))
    np.testing.assert_array_equal(model.recognizer()(images), expected.recognizer()(images))


def test_pytorch_files_that_hold_something_else_are_refused(tmp_path):
    torch, networks = torch_networks(reference.TINY)
    for file, network in networks.items():
        torch.save(network.state_dict(), tmp_path / file)
    for content, message in (
        (lambda path: path.write_bytes(b"not a checkpoint"), "not a readable PyTorch file"),
        (lambda path: torch.save(torch.nn.Linear(2, 2), path), "not a readable PyTorch file"),
        (lambda path: torch.save([1, 2], path), "holds no state dict"),
    ):
        content(tmp_path / "dec.pkl")
        with pytest.raises(CheckpointError, match=f"dec.pkl: {message}"):
            convert(tmp_path)

"""Damaged and hostile files of models: every flipped bit is refused, and no number in a config takes memory first."""

import copy
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasfer import lite, training, weights, zoo
from kerasfer.models.base import ConfigError, weights_at_most

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "saved_models"
FLIPS = 8


def flipped(content, seed):
    """The content with one bit another."""
    generator = random.Random(seed)
    changed = bytearray(content)
    changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def refused(path, load, errors, flips=FLIPS):
    """How many of so many flipped bits are refused with one line that names the file's folder."""
    whole, count = path.read_bytes(), 0
    load()
    for seed in range(flips):
        path.write_bytes(flipped(whole, seed))
        try:
            load()
        except errors as error:
            assert "\n" not in str(error) and str(path.parent) in str(error)
            count += 1
    path.write_bytes(whole)
    load()
    return count


@pytest.fixture(scope="module")
def model():
    return zoo.create("dcganfer", "tiny", seed=3)


@pytest.fixture
def saved(model, tmp_path):
    return zoo.save(model, tmp_path / "saved")


@pytest.fixture
def run(model, tmp_path):
    folder = tmp_path / "run"
    training.write_run(folder, "dcganfer", model)
    training.Checkpoints(folder).save(model, training.Place(1, 0))
    return folder


@pytest.mark.parametrize("name", ["recognizer.safetensors", "config.json"])
def test_a_flipped_bit_of_a_saved_model_is_refused(saved, name):
    assert refused(saved / name, lambda: zoo.load(saved), (zoo.ZooError, ConfigError)) == FLIPS


@pytest.mark.parametrize("name", ["checkpoints/00001-0000000/state.safetensors", "config.json"])
def test_a_flipped_bit_of_a_run_is_refused(run, name):
    assert refused(run / name, lambda: zoo.load(run), (zoo.ZooError, ConfigError)) == FLIPS


def test_a_flipped_bit_of_a_checkpoint_is_refused_when_training_goes_on(model, run):
    path = run / "checkpoints" / "00001-0000000" / "state.safetensors"
    assert refused(path, lambda: training.load_state(model, path), training.TrainingError, 30) == 30
    path.write_bytes(flipped(path.read_bytes(), 1))
    with pytest.raises(training.TrainingError, match="not a readable checkpoint .*delete its folder"):
        training.Checkpoints(run).restore(model)


def test_a_flipped_bit_of_a_runs_config_is_refused_when_training_goes_on(model, run):
    path = run / "config.json"
    assert refused(path, lambda: training.write_run(run, "dcganfer", model), training.TrainingError) == FLIPS


@pytest.mark.parametrize("file", ["edge/model_int8.tflite", "g2fer/generator_int8.tflite"])
def test_a_flipped_bit_of_a_bundled_tflite_file_is_refused(file, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (BUNDLED / file).parent.glob("*parity.json"):
        shutil.copy(path, folder)
    path = folder / Path(file).name
    shutil.copy(BUNDLED / file, path)
    opened = lite.Generator if "generator" in file else lite.Recognizer
    assert refused(path, lambda: opened(path), lite.LiteError) == FLIPS


def sealed_tflite(changes=None):
    """A bundled file whose metadata carry a digest, as an export writes it, with changes to its metadata."""
    from kerasfer.export.tflite import with_metadata

    content = (BUNDLED / "edge" / "model_int8.tflite").read_bytes()
    metadata = copy.deepcopy(lite.read_metadata(content))
    return with_metadata(
        content.replace(b"kerasfer\x00", b"kerasfex\x00"), (changes or (lambda entries: entries))(metadata)
    )


def test_a_flipped_bit_of_an_exported_tflite_file_is_refused_wherever_it_lies(tmp_path):
    path = tmp_path / "copied.tflite"
    path.write_bytes(sealed_tflite())
    assert refused(path, lambda: lite.Recognizer(path), lite.LiteError, 40) == 40
    content = path.read_bytes()
    for entry in (b'"sha256"', b'"labels"', content[content.index(b'"sha256": "') + 11 :][:8]):
        place = content.rindex(entry)
        for offset in range(len(entry)):
            path.write_bytes(
                content[: place + offset] + bytes([content[place + offset] ^ 1]) + content[place + offset + 1 :]
            )
            with pytest.raises(lite.LiteError):
                lite.Recognizer(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda entries: {**entries, "labels": ["joy", "joy", *entries["labels"][2:]]}, "some are there twice"),
        (lambda entries: {**entries, "labels": ["", *entries["labels"][1:]]}, "each with a name"),
        (lambda entries: {**entries, "labels": []}, "no list of labels"),
        (lambda entries: {**entries, "labels": "happiness"}, "no list of labels"),
        (lambda entries: {**entries, "labels": [1, *entries["labels"][1:]]}, "each with a name"),
        (lambda entries: {**entries, "labels": entries["labels"][1:]}, "contradict its metadata"),
        (lambda entries: {**entries, "image": {**entries["image"], "size": 47}}, "contradict its metadata"),
        (lambda entries: {**entries, "image": {**entries["image"], "size": 10**9}}, "an image needs a size of 1 to"),
        (lambda entries: {**entries, "image": {**entries["image"], "size": "48"}}, "an image needs a size"),
        (lambda entries: {**entries, "image": {**entries["image"], "pixel_range": "bytes"}}, "unit or signed"),
        (lambda entries: {**entries, "image": {**entries["image"], "pixel_range": ["unit"]}}, "unit or signed"),
        (lambda entries: {**entries, "image": 48}, "tells no image format"),
        (lambda entries: {**entries, "part": "generator"}, "no shapes of the generator's inputs"),
    ],
)
def test_metadata_that_cannot_be_are_one_clear_error(changes, message, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(sealed_tflite(changes))
    with pytest.raises(lite.LiteError, match=message) as raised:
        lite.Recognizer(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 1000


def test_values_that_are_not_finite_are_refused(model, run, saved):
    path = run / "checkpoints" / "00001-0000000" / "state.safetensors"
    arrays, config = weights.read_state(path)
    name = next(name for name, values in arrays.items() if values.ndim > 1)
    arrays[name].flat[0] = np.nan
    weights.write_state(path, arrays, config)
    with pytest.raises(training.TrainingError, match="not finite"):
        training.load_state(model, path)
    with pytest.raises(zoo.ZooError, match="not finite"):
        zoo.load(run)


def test_a_full_disk_leaves_the_checkpoint_before(model, run, monkeypatch):
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(training.TrainingError, match="00002-0000000: cannot be written .No space .*make room"):
        training.Checkpoints(run).save(model, training.Place(2, 0))
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["00001-0000000"]
    monkeypatch.undo()
    assert training.Checkpoints(run).restore(model) == training.Place(1, 0)


def test_a_run_whose_config_is_of_another_is_refused(run, model):
    other = zoo.create("dcganfer", "tiny", seed=4)
    training.write_run(run.parent / "other", "dcganfer", other)
    shutil.copy(run.parent / "other" / "config.json", run / "config.json")
    with pytest.raises(zoo.ZooError, match="state.safetensors: is of a run with another config"):
        zoo.load(run)


# -- config.json -------------------------------------------------------------------------------------------------------

HUGE = [
    ("image_size", 10**9),
    ("latent", 10**9),
    ("latent", 10**6),
    ("latent", -1),
    ("latent", 2.5),
    ("latent", "64"),
    ("latent", True),
    ("latent", [64]),
    ("latent", {"a": 1}),
    ("latent", None),
    ("generator_channels", [10**6, 10**6]),
    ("generator_channels", [10**9]),
    ("generator_channels", [[64]]),
    ("generator_channels", [8] * 10**5),
    ("kernel", 10**5),
    ("kernel", 10**40),
    ("learning_rate", float("nan")),
    ("learning_rate", 1e999),
    ("expressions", ["happiness", {}]),
    ("expressions", [f"class {number}" for number in range(5000)]),
    ("pixel_range", "x" * 10**6),
    ("support_vectors", 10**9),
    ("seed", -1),
    ("seed", 10**30),
    ("unknown", 1),
]


@pytest.mark.parametrize(("field", "value"), HUGE, ids=lambda entry: str(entry)[:20])
def test_a_config_that_cannot_be_is_one_clear_error(saved, field, value):
    path = saved / "config.json"
    description = json.loads(path.read_text())
    description.pop("sha256")
    description["config"][field] = value
    path.write_text(json.dumps(description))
    with pytest.raises((zoo.ZooError, ConfigError)) as raised:
        zoo.load(saved)
    message = str(raised.value)
    assert str(path) in message and "\n" not in message and len(message) < 1500


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"config": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001,
        '{"format": 1, "model": ["dcganfer"], "config": {}}',
        '{"format": {}, "model": "dcganfer", "config": {}}',
        '{"format": 1, "model": "dcganfer", "config": []}',
        '{"format": 1, "model": "dcganfer", "config": {}, "files": [1]}',
        '{"format": 1, "model": "dcganfer", "config": {"seed": ' + "1" * 10_000 + "}}",
        "null",
        '"' + "x" * (1 << 25) + '"',
    ],
    ids=range(9),
)
def test_a_description_that_cannot_be_is_one_clear_error(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(zoo.ZooError) as raised:
        zoo.load(saved)
    message = str(raised.value)
    assert "config.json: " in message and "\n" not in message and len(message) < 1500


def test_no_memory_is_taken_for_a_number_in_a_config(saved):
    path = saved / "config.json"
    before = path.read_text()
    program = (
        "import json, resource, sys; from kerasfer import zoo\n"
        "zoo.load(sys.argv[1])\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for field, value in json.load(sys.stdin):\n"
        "    description = json.loads(sys.argv[2]); description['config'][field] = value\n"
        "    open(sys.argv[1] + '/config.json', 'w').write(json.dumps(description))\n"
        "    try: zoo.load(sys.argv[1]); print('loaded', field, value)\n"
        "    except ValueError: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)"
    )
    fields = [entry for entry in HUGE if entry[0] in ("image_size", "latent", "generator_channels", "kernel")]
    command = [sys.executable, "-c", program, saved, before]
    done = subprocess.run(command, input=json.dumps(fields), capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 500, "megabytes"


def test_weights_are_counted_before_they_are_made():
    import keras

    with weights_at_most(100):
        keras.layers.Dense(9).build((None, 10))
        with pytest.raises(ConfigError, match="more than 100 weights"):
            keras.layers.Dense(1).build((None, 10))
    keras.layers.Dense(9).build((None, 100))

"""The recognizer without TensorFlow: faces prepared as elsewhere, files that are told apart, nothing heavy imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_model import Toy, ToyConfig

from kerasfer import images, lite
from kerasfer.export import export
from kerasfer.faces import ImageSpec
from kerasfer.models import MODELS
from kerasfer.priors import PriorError

ROOT = Path(__file__).resolve().parent.parent
SHARES = (0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05)
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with gray faces of 8 x 8, and its float32 and int8 files."""
    folder = tmp_path_factory.mktemp("exported")
    model = Toy(ToyConfig(seed=1, training_prior=SHARES))
    faces = RANDOM.integers(0, 256, (20, 8, 8), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", ("toy_model", "Toy"))
        export(model, folder, ["float32", "int8"], calibration=faces, parity=faces)
    return model, folder


def spoiled(exported, tmp_path, old, new):
    """A copy of the float32 file with some bytes replaced by as many others."""
    content = (exported[1] / "model.tflite").read_bytes()
    assert old in content and len(old) == len(new)
    path = tmp_path / "spoiled.tflite"
    path.write_bytes(content.replace(old, new))
    return path


def test_the_file_says_what_it_is(exported):
    for name, storage in (("model.tflite", "float32"), ("model_int8.tflite", "int8")):
        recognizer = lite.Recognizer(exported[1] / name)
        assert recognizer.labels == exported[0].label_space.labels
        assert recognizer.image_spec == exported[0].image_spec
        assert recognizer.image_size == 8
        assert recognizer.metadata["model"] == "toy"
        assert recognizer.metadata["storage"] == storage
        assert recognizer.metadata["image"]["range"] == [0.0, 1.0]


def test_answers_are_the_models(exported):
    model, folder = exported
    faces = RANDOM.integers(0, 256, (6, 8, 8), np.uint8)
    expected = np.asarray(model.recognizer()(faces[..., np.newaxis].astype(np.float32) / 255))
    np.testing.assert_allclose(lite.Recognizer(folder / "model.tflite").recognize(faces), expected, atol=1e-6)
    quantized = lite.Recognizer(folder / "model_int8.tflite").recognize(faces)
    np.testing.assert_allclose(quantized, expected, atol=0.03)
    np.testing.assert_allclose(quantized.sum(1), 1, atol=1e-6)


def test_faces_of_another_range_are_refused(exported):
    """In the model's own format: pixels of 0 to 255, another range, NaN and integers; an overshoot at edges passes."""
    recognizer = lite.Recognizer(exported[1] / "model.tflite")
    faces = RANDOM.random((3, 8, 8, 1), np.float32)
    np.testing.assert_allclose(recognizer.run(faces).sum(1), 1, atol=1e-6)
    for scale, offset in ((1.2, -0.1), (0.0, 0.0)):
        assert recognizer.run(faces * scale + offset).shape == (3, 8)
    assert recognizer.run(faces[:0]).shape == (0, 8)
    for wrong in (faces * 255, faces * 2 - 1, faces * np.float32(-0.5)):
        with pytest.raises(lite.LiteError, match=r"have values from .* but the model takes 0 to 1: bring pixels"):
            recognizer.run(wrong)
    bad = faces.copy()
    bad[1, 2, 3] = np.nan
    with pytest.raises(lite.LiteError, match="faces hold NaN where values from 0 to 1 are expected"):
        recognizer.run(bad)
    bad[1, 2, 3] = np.inf
    with pytest.raises(lite.LiteError, match="to inf, but"):
        recognizer.run(bad)
    for wrong in (np.zeros((3, 8, 8, 1), np.uint8), faces[0], faces[..., :5, :]):
        with pytest.raises(lite.LiteError, match=r"are float32 \(n, 8, 8, 1\), got .* recognize\(\) takes uint8"):
            recognizer.run(wrong)


@pytest.mark.parametrize(("pixel_range", "low", "high"), [("unit", -0.25, 1.25), ("signed", -1.5, 1.5)])
def test_where_a_range_ends(pixel_range, low, high):
    spec = ImageSpec(4, pixel_range=pixel_range)
    spec.check_range(low, high)
    for wrong in ((low - 0.01, high), (low, high + 0.01)):
        with pytest.raises(ValueError, match="image_spec.scale"):
            spec.check_range(*wrong)


@pytest.mark.parametrize("name", ["model.tflite", "model_int8.tflite"])
def test_answers_under_another_prior(exported, name):
    face = RANDOM.integers(0, 256, (8, 8), np.uint8)
    plain = lite.Recognizer(exported[1] / name)
    assert plain.training_prior == SHARES
    answer = plain.recognize(face)
    expected = np.maximum(answer, 1e-12) / SHARES
    balanced = lite.Recognizer(exported[1] / name, prior="balanced")
    np.testing.assert_allclose(balanced.recognize(face), expected / expected.sum(), rtol=1e-5)
    same = lite.Recognizer(exported[1] / name, prior=dict(zip(plain.labels, SHARES)))
    np.testing.assert_allclose(same.recognize(face), answer, atol=1e-6)
    with pytest.raises(PriorError, match="names every class"):
        lite.Recognizer(exported[1] / name, prior={"neutral": 1})


def test_a_pipeline_takes_a_prior():
    photo = images.read(ROOT / "kerasfer" / "astronaut.jpg")
    only_fear = {label: float(label == "fear") for label in lite.Pipeline("edge").labels}
    assert [face.expression for face in lite.Pipeline("edge", prior=only_fear).recognize(photo)] == ["fear"]
    assert [face.expression for face in lite.Pipeline("edge").recognize(photo)] == ["happiness"]


def test_one_face_or_several_in_any_form(exported):
    recognizer = lite.Recognizer(exported[1] / "model.tflite", threads=2)
    gray = RANDOM.integers(0, 256, (3, 20, 16), np.uint8)
    rgb = np.repeat(gray[..., np.newaxis], 3, axis=3)
    answers = recognizer.recognize(gray)
    assert answers.shape == (3, 8) and answers.dtype == np.float32
    np.testing.assert_array_equal(recognizer.recognize(gray[0]), answers[0])
    np.testing.assert_array_equal(recognizer.recognize(gray[0][..., np.newaxis]), answers[0])
    np.testing.assert_array_equal(recognizer.recognize(gray[..., np.newaxis]), answers)
    np.testing.assert_array_equal(recognizer.recognize(rgb), answers)
    np.testing.assert_array_equal(recognizer.recognize(rgb[0]), answers[0])
    np.testing.assert_array_equal(recognizer.recognize([gray[0], rgb[1], gray[2][..., np.newaxis]]), answers)
    assert recognizer.recognize([]).shape == (0, 8)


@pytest.mark.parametrize(
    "face",
    [
        np.zeros((8, 8), np.float32),
        np.zeros((0, 8), np.uint8),
        np.zeros(64, np.uint8),
        [np.zeros((8, 8, 4), np.uint8)],
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((1, 1, 8, 8, 3), np.uint8),
    ],
)
def test_what_is_no_face(exported, face):
    with pytest.raises(lite.LiteError, match="got"):
        lite.Recognizer(exported[1] / "model.tflite").recognize(face)


def test_shrinking_takes_means_growing_goes_straight():
    row = np.array([[0, 100]], np.uint8)
    grown = lite.resize(row[:, :, np.newaxis], 4)[:, :, 0]
    np.testing.assert_array_equal(grown, [[0, 25, 75, 100]] * 4)
    image = np.array([[0, 10, 20, 30], [40, 50, 60, 70]] * 2, np.uint8)
    np.testing.assert_array_equal(lite.resize(image[:, :, np.newaxis], 2)[:, :, 0], [[25, 45], [25, 45]])
    # 3 -> 2: each new pixel is one old one and half the next, 2 / 3 and 1 / 3 of the mean.
    np.testing.assert_array_equal(lite.resize(np.array([[[0], [90], [240]]] * 3, np.uint8), 2)[0, :, 0], [30, 190])


def test_gray_is_luma():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]] * 4, np.uint8)
    np.testing.assert_array_equal(lite.prepare(colors, ImageSpec(4))[0, :, 0], [76, 150, 29, 255])


@pytest.mark.parametrize("shape", [(30, 40), (48, 48), (96, 96, 1), (200, 170, 3), (50, 47, 3), (20, 100, 3), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_faces_are_prepared_as_for_training(shape, channels):
    face = RANDOM.integers(0, 256, shape, np.uint8)
    spec = ImageSpec(48, channels)
    difference = lite.prepare(face, spec).astype(int) - images.prepare_uint8(face, spec)
    assert np.abs(difference).max() <= 1
    assert np.abs(difference.mean()) < 0.25


def test_files_that_cannot_be_used(exported, tmp_path):
    with pytest.raises(lite.LiteError, match="nowhere.tflite: cannot be read .No such file or directory.; name a"):
        lite.Recognizer(tmp_path / "nowhere.tflite")
    other = tmp_path / "photo.jpg"
    for content in (b"", b"\xff\xd8\xff\xe0\0\0\0\0\0\0", b"\x10\0\0\0TFL3"):
        other.write_bytes(content)
        with pytest.raises(lite.LiteError, match="photo.jpg: (not a TFLite file|damaged)"):
            lite.Recognizer(other)
    content = (exported[1] / "model.tflite").read_bytes()
    for length in (100, len(content) // 2, len(content) - 100):
        other.write_bytes(content[:length])
        with pytest.raises(lite.LiteError, match="photo.jpg: .*again"):
            lite.Recognizer(other)
    with pytest.raises(lite.LiteError, match="carries no kerasfer metadata"):
        lite.Recognizer(spoiled(exported, tmp_path, b"kerasfer", b"somebody"))
    with pytest.raises(lite.LiteError, match="is a conjurer__, not a recognizer"):
        lite.Recognizer(spoiled(exported, tmp_path, b'"recognizer"', b'"conjurer__"'))
    with pytest.raises(lite.LiteError, match="damaged: its checksum"):
        lite.Recognizer(spoiled(exported, tmp_path, b'"size": 8', b'"size": 9'))


def test_without_the_interpreter_one_line_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(lite.LiteError, match="pip install ai-edge-litert"):
        lite.Recognizer(exported[1] / "model.tflite")


@pytest.mark.parametrize("name", ["model.tflite", "model_int8.tflite"])
def test_it_runs_where_there_is_no_tensorflow(exported, name):
    code = f"""
import sys
blocked = ("tensorflow", "keras", "cv2", "PIL", "scipy", "sklearn", "skimage", "safetensors", "mediapipe", "matplotlib")
for module in blocked:
    sys.modules[module] = None
import numpy as np
from kerasfer.lite import Recognizer
recognizer = Recognizer({str(exported[1] / name)!r})
print(recognizer.recognize(np.zeros((30, 20, 3), np.uint8)).argmax(), len(recognizer.labels))
assert not [module for module in blocked if sys.modules[module] is not None]
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = lite.Recognizer(exported[1] / name).recognize(np.zeros((30, 20, 3), np.uint8)).argmax()
    assert result.stdout.split() == [str(expected), "8"]

"""From photos to expressions without TensorFlow: the same answers as elsewhere, with what little a device has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from kerasfer import images, lite
from kerasfer.detection import FERPLUS_TEMPLATE, DetectionError, alignment_matrix, blazeface, detect, graphs, transform
from kerasfer.faces import Box, DetectedFace
from kerasfer.recognition import recognize

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "saved_models" / "tdgan" / "model_int8.tflite"
ASTRONAUT = skimage.data.astronaut()
TWENTY = np.tile(ASTRONAUT[20:220, 120:340], (4, 5, 1))


def plain(predictions):
    return [prediction.to_json() for prediction in predictions]


@pytest.mark.parametrize("detector", ["quick", "mediapipe"])
def test_answers_are_those_of_recognize(detector, tmp_path):
    images.write(tmp_path / "photo.png", ASTRONAUT)
    (expected,) = recognize(ASTRONAUT, FILE, detector=detector)
    (face,) = lite.Pipeline("tdgan", detector=detector).recognize(tmp_path / "photo.png")
    assert plain([face]) == plain([expected])
    assert face.expression == "happiness" and face.pose is not None and face.landmarks is not None


def test_several_faces_side_by_side():
    alone = lite.Pipeline(FILE).recognize(TWENTY)
    together = lite.Pipeline(FILE, threads=3).recognize(TWENTY)
    assert len(alone) == 20 and plain(alone) == plain(together)


def test_without_landmarks():
    (face,) = lite.Pipeline(FILE, landmarks=False).recognize(ASTRONAUT)
    assert face.expression == "happiness" and face.landmarks is None and face.pose is None
    (found,) = detect(ASTRONAUT, "quick", landmarks=False, pose=False)
    (located,) = detect(ASTRONAUT, "quick")
    assert located.points is None
    np.testing.assert_allclose(found.points[:2], located.landmarks.eye_centers, atol=6)
    assert len(lite.Pipeline(FILE, landmarks=False).recognize(TWENTY)) == 20
    assert lite.Pipeline(FILE, landmarks=False).recognize(np.full((90, 120, 3), 80, np.uint8)) == []


def test_the_detectors_points_align_a_face():
    """Points that are the template's, ten times as large and shifted, go where the template has them."""
    points = FERPLUS_TEMPLATE.points * 480 + [100, 30]
    face = DetectedFace(Box(0, 0, 1, 1), 1.0, points=points)
    moved = transform(points, alignment_matrix(face, 48))
    np.testing.assert_allclose(moved, FERPLUS_TEMPLATE.points * 48, atol=1e-9)


def test_a_large_face_takes_one_look_and_small_ones_more(monkeypatch):
    sides = []
    network = blazeface._network()

    def noted(image):
        sides.append(image.shape[:2])
        return network(image)

    monkeypatch.setattr(blazeface, "_network", lambda: noted)
    assert len(blazeface.find_quickly(np.ascontiguousarray(ASTRONAUT[20:220, 120:340]))) == 1
    assert sides == [(128, 128)]
    sides.clear()
    assert len(blazeface.find_quickly(TWENTY)) == 20
    assert sides == [(128, 128), (128, 128), (192, 256)]
    sides.clear()
    assert blazeface.find_quickly(np.full((700, 300, 3), 90, np.uint8)) == []
    assert sides == [(128, 128), (128, 128), (256, 128), (512, 256)]


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [1, 1, 3, 3], [2, 0, 4, 2], [5, 5, 5, 5]], np.float32)
    np.testing.assert_allclose(blazeface._overlaps(boxes[0], boxes), [1, 1 / 3, 1 / 7, 0, 0], atol=1e-7)
    assert blazeface._overlaps(boxes[4], boxes[4:]).tolist() == [0]


def test_anchors_of_images():
    assert blazeface._anchors(128, 128).shape == (896, 2) and blazeface._anchors(64, 256).shape == (896, 2)
    anchors = blazeface._anchors(64, 256)[[0, 1, 2, 63, 64, 512, 517, 518, 608]]
    expected = [[4, 4], [4, 4], [12, 4], [252, 4], [4, 12], [8, 8], [8, 8], [24, 8], [8, 24]]
    np.testing.assert_array_equal(anchors, expected)


def test_few_interpreters_stay_open(monkeypatch):
    opened = []
    monkeypatch.setattr(
        graphs, "_open", lambda file, shape, open_=graphs._open: opened.append(shape) or open_(file, shape)
    )
    network = graphs.Graph("face_detection_short_range.tflite")
    shapes = [(64, 64 * number, 3) for number in range(1, 9)]
    for shape in [*shapes, shapes[-1], shapes[2], shapes[0]]:
        assert network(np.zeros(shape, np.float32))[shape[0] * shape[1] * 7 // 128].ndim == 1
    assert opened == [*shapes, shapes[0]] and len(network._local.opened) == graphs.MOST_OPENED


@pytest.mark.parametrize("size", [(128, 128), (60, 200), (300, 40), (700, 700), (200, 300)])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_images_are_resized_alike_without_opencv(size, channels, monkeypatch):
    image = ASTRONAUT[:200, 100:400]
    image = image if channels == (3,) else images.to_gray(image).reshape(200, 300, *channels)
    expected = images.resize(image, size)
    monkeypatch.setattr(images.sampling, "_opencv", lambda: None)
    resized = images.resize(image, size)
    assert resized.shape == expected.shape == (*size, *channels) and resized.dtype == np.uint8
    difference = np.abs(resized.astype(int) - expected)
    assert difference.mean() < 2.5 and abs(resized.mean() - expected.mean()) < 0.5


def test_means_are_exact_without_opencv(monkeypatch):
    monkeypatch.setattr(images.sampling, "_opencv", lambda: None)
    image = np.array([[0, 10, 20, 30], [40, 50, 60, 70]] * 2, np.uint8)
    np.testing.assert_array_equal(images.resize(image, 2), [[25, 45], [25, 45]])
    np.testing.assert_array_equal(images.resize(np.array([[0, 100]], np.uint8), (1, 4)), [[0, 25, 75, 100]])


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.9, 0.2, 30], [-0.2, 0.9, 60]],
        [[3.1, 0.4, -150], [-0.4, 3.1, -90]],
        [[0.25, 0, 380], [0, 0.25, 390]],
        [[1, 0, 700], [0, 1, -300]],
    ],
)
def test_images_are_warped_alike_without_opencv(matrix, monkeypatch):
    for image in (ASTRONAUT, images.to_gray(ASTRONAUT)):
        expected = images.warp(image, matrix, (96, 128))
        with monkeypatch.context() as patch:
            patch.setattr(images.sampling, "_opencv", lambda: None)
            warped = images.warp(image, matrix, (96, 128))
        assert warped.shape == expected.shape and warped.dtype == np.uint8
        assert np.abs(warped.astype(int) - expected).mean() < 2


def test_it_runs_without_tensorflow_opencv_or_importing_mediapipe(tmp_path):
    images.write(tmp_path / "photo.png", ASTRONAUT)
    code = f"""
import json, sys
blocked = ("tensorflow", "keras", "cv2", "scipy", "sklearn", "skimage", "safetensors", "matplotlib", "tqdm", "h5py")
for module in blocked:
    sys.modules[module] = None
from kerasfer.lite import Pipeline
print(json.dumps([face.to_json() for face in Pipeline("tdgan").recognize({str(tmp_path / "photo.png")!r})]))
assert not any(name.partition(".")[0] in ("mediapipe", "jax") for name in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (face,) = json.loads(result.stdout)
    (expected,) = plain(lite.Pipeline("tdgan").recognize(ASTRONAUT))
    np.testing.assert_allclose(face["box"], expected["box"], atol=1)
    np.testing.assert_allclose(face["landmarks"], expected["landmarks"], atol=2)
    assert face["expression"] == expected["expression"]
    for name, probability in expected["probabilities"].items():
        assert face["probabilities"][name] == pytest.approx(probability, abs=0.05)


def test_which_file_is_taken(tmp_path):
    assert lite.recognizer_file("tdgan") == FILE and lite.recognizer_file(str(FILE)) == FILE
    with pytest.raises(lite.LiteError, match="holds none of model_int8.tflite, model_dynamic.tflite, model_f"):
        lite.Pipeline(tmp_path)
    for name in ("model.tflite", "model_float16.tflite", "model_dynamic.tflite"):
        shutil.copy(FILE, tmp_path / name)
        assert lite.recognizer_file(tmp_path).name == name
    with pytest.raises(lite.LiteError, match="nothing: neither a .tflite file, nor a folder, nor one of: .*tdgan"):
        lite.Pipeline("nothing")


def test_what_cannot_be_used(tmp_path):
    other = tmp_path / "other.tflite"
    shutil.copy(blazeface._network().file, other)
    with pytest.raises(lite.LiteError, match="other.tflite: carries no kerasfer metadata"):
        lite.Pipeline(other)
    with pytest.raises(lite.LiteError, match="threads must be at least 1"):
        lite.Pipeline(FILE, threads=0)
    with pytest.raises(DetectionError, match="unknown detector"):
        lite.Pipeline(FILE, detector="none")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(images.ImageError, match="empty.jpg: the file is empty"):
        lite.Pipeline(FILE).recognize(tmp_path / "empty.jpg")


def test_networks_may_lie_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "FOLDER", tmp_path)
    with pytest.raises(DetectionError, match="face_detection_short_range.tflite: missing; install kerasfer again"):
        graphs.Graph("face_detection_short_range.tflite")
    (tmp_path / "face_detection_short_range.tflite").write_bytes(b"")
    assert graphs.Graph("face_detection_short_range.tflite").file.parent == tmp_path

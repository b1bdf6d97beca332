"""The 478 points and the 52 blendshapes are MediaPipe's own (scripts/reference_blendshapes.py)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import reference_blendshapes  # noqa: E402

from kerasfer import images, recognize  # noqa: E402
from kerasfer.detection import blendshapes, detect, landmarker, mesh  # noqa: E402
from kerasfer.detection.detectors import find_detector  # noqa: E402
from kerasfer.faces import BLENDSHAPES, Box, DetectedFace  # noqa: E402

GOLDEN = json.loads((ROOT / "tests/golden/blendshapes.json").read_text())
CASES = [pytest.param(case, id=case["picture"]) for case in GOLDEN["cases"]]
ASTRONAUT = reference_blendshapes.picture("astronaut")
RIGHT_IRIS, LEFT_IRIS = 468, 473


def test_the_reference_holds_what_it_should():
    names = [case["picture"] for case in GOLDEN["cases"]]
    assert set(reference_blendshapes.PICTURES) < set(names) and len(names) == len(set(names)) >= 8
    assert all(tuple(case["blendshapes"]) == BLENDSHAPES and len(case["points"]) == 478 for case in GOLDEN["cases"])


@pytest.mark.parametrize("case", CASES)
def test_points_and_scores_equal_mediapipes(case):
    """From the picture on, the detector among it: within a pixel and 0.01."""
    image = reference_blendshapes.picture(case["picture"])
    faces = detect(image)
    (region,) = landmarker._glance(image)
    points = landmarker.fit(image, *region)
    assert np.hypot(*(points[:, :2] - np.array(case["points"])).T).max() < 1
    (scores,) = blendshapes(image, faces)
    assert tuple(scores) == BLENDSHAPES
    assert np.abs(np.array(list(scores.values())) - list(case["blendshapes"].values())).max() < 0.01


@pytest.mark.parametrize("case", CASES)
def test_scores_of_mediapipes_own_points(case):
    scores = landmarker.scores_of(np.array(case["points"]))
    assert scores.shape == (52,) and scores.dtype == np.float32
    np.testing.assert_allclose(scores, list(case["blendshapes"].values()), atol=0.002)


def test_the_faces_say_what_they_show():
    expected = {"surprise.png": "jawOpen", "happiness.png": "mouthSmileLeft", "astronaut": "mouthSmileLeft"}
    scores = {name: blendshapes(reference_blendshapes.picture(name))[0] for name in (*expected, "anger.png")}
    for name, movement in expected.items():
        assert scores[name][movement] > 0.3 > scores["anger.png"][movement], name


def test_left_and_right_are_the_persons_own():
    (face,) = detect(ASTRONAUT)
    points = landmarker.fit(ASTRONAUT, face.box)
    right, left = face.landmarks.eye_centers
    assert np.hypot(*(points[RIGHT_IRIS, :2] - right)) < 3 and np.hypot(*(points[LEFT_IRIS, :2] - left)) < 3


def test_the_first_468_points_are_the_meshs():
    (face,) = detect(ASTRONAUT)
    expected = mesh.fit(ASTRONAUT, face.box)
    found = landmarker.fit(ASTRONAUT, face.box)
    assert np.hypot(*(found[:468, :2] - expected[:, :2]).T).mean() < 0.03 * face.landmarks.inter_ocular_distance
    assert np.abs(found[:, 2]).max() < face.box.width


def test_a_face_that_only_a_closer_look_shows():
    """A face of 26 pixels in 1200 x 900: the region is that of the face as it was found."""
    photo = np.full((900, 1200, 3), 90, np.uint8)
    photo[600:664, 200:264] = images.resize(ASTRONAUT[:256, 96:352], 64)
    assert landmarker._glance(photo) == []
    for landmarks in (True, False):
        (face,) = detect(photo, landmarks=landmarks, pose=False)
        (scores,) = blendshapes(photo, [face])
        assert scores["mouthSmileLeft"] > 0.3


def test_several_faces_keep_their_order():
    astronaut, surprised = ASTRONAUT[20:220, 120:320], images.resize(reference_blendshapes.picture("surprise.png"), 200)
    image = np.concatenate([astronaut, surprised], axis=1)
    faces = sorted(detect(image), key=lambda face: face.box.left)
    first, second = blendshapes(image, faces)
    assert second["jawOpen"] > 0.4 > first["jawOpen"]
    again, before = blendshapes(image, faces[::-1])
    assert (first, second) == (before, again)


def test_where_there_is_no_face():
    gray = np.full((240, 320, 3), 128, np.uint8)
    assert blendshapes(gray) == [] and blendshapes(gray, []) == []
    assert blendshapes(gray, [DetectedFace(Box(100, 80, 200, 180), 0.9)]) == [None]
    with pytest.raises(images.ImageError):
        blendshapes(np.zeros((4, 4, 7), np.uint8))


def test_gray_pictures_and_own_detectors():
    gray = images.to_gray(ASTRONAUT)
    (scores,) = blendshapes(gray, detector=find_detector("quick"))
    assert scores["mouthSmileLeft"] > 0.4


def test_recognize_scores_them_only_when_asked(monkeypatch):
    (face,) = recognize(ASTRONAUT, model="edge", blendshapes=True)
    (scores,) = blendshapes(ASTRONAUT)
    assert face.blendshapes == scores
    assert list(face.to_json()["blendshapes"]) == list(BLENDSHAPES)
    monkeypatch.setattr("kerasfer.detection.landmarker.fit", lambda *_: pytest.fail("nobody asked"))
    (face,) = recognize(ASTRONAUT, model="edge")
    assert face.blendshapes is None and "blendshapes" not in face.to_json()


def test_neither_tensorflow_nor_mediapipe_nor_opencv_is_needed():
    code = """
import json, sys
for module in ("tensorflow", "keras", "mediapipe", "cv2", "scipy", "sklearn", "safetensors"):
    sys.modules[module] = None
from kerasfer import images, sample
from kerasfer.detection import blendshapes
print(json.dumps(blendshapes(images.read(sample.PHOTO))))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    (scores,) = json.loads(result.stdout)
    expected = next(case["blendshapes"] for case in GOLDEN["cases"] if case["picture"] == "astronaut")
    assert np.abs(np.array(list(scores.values())) - list(expected.values())).max() < 0.05

"""Faces are found, located and aligned: on a real photo, and on scenes composed of it."""

import io
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kerasfer import images
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.detection import (
    FERPLUS_TEMPLATE,
    DetectionError,
    align,
    align_table,
    alignment_matrix,
    blazeface,
    detect,
    detectors,
    find_detector,
    head_pose,
    mesh,
    transform,
)
from kerasfer.detection.alignment import inverted, similarity
from kerasfer.detection.pose import MEAN_FACE
from kerasfer.expressions import FERPLUS8
from kerasfer.faces import LANDMARK_GROUPS, Box, DetectedFace, Landmarks
from kerasfer.recognition import recognize

ASTRONAUT = skimage.data.astronaut()
FACE = Box(175, 70, 275, 178)
"""Where the face is in it: hairline to chin, read off the picture."""

BACKDROP = skimage.data.coffee()


@pytest.fixture(scope="module")
def astronaut():
    (face,) = detect(ASTRONAUT)
    return face


def rotation(yaw, pitch, roll):
    """Turns the head by yaw, then pitch, then roll (degrees), in the axes of MEAN_FACE, by the signs of HeadPose."""
    yaw, pitch, roll = np.radians([-yaw, -pitch, roll])
    around_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    around_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return around_z @ around_x @ around_y


def test_mediapipe_finds_the_face(astronaut):
    assert astronaut.box.intersection_over_union(FACE) > 0.7
    assert 0.8 < astronaut.score <= 1.0
    assert abs(astronaut.pose.yaw) < 8 and abs(astronaut.pose.pitch) < 10


def installed(detector):
    """Whether what an optional detector needs is installed."""
    try:
        find_detector(detector)
    except DetectionError:
        return False
    return True


needs_haar = pytest.mark.skipif(not installed("haar"), reason="OpenCV came without Haar cascades (version 5)")
needs_mtcnn = pytest.mark.skipif(find_spec("mtcnn") is None, reason="mtcnn is not installed: kerasfer[mtcnn]")
needs_mediapipe = pytest.mark.skipif(
    not installed("mediapipe_solutions"), reason="mediapipe 0.10.21 is not installed: kerasfer[mediapipe]"
)


@needs_haar
def test_haar_finds_the_face(astronaut):
    (face,) = detect(ASTRONAUT, "haar")
    assert face.box.intersection_over_union(FACE) > 0.6
    assert np.abs(face.landmarks.points - astronaut.landmarks.points).mean() < 2


@pytest.mark.slow
@needs_mtcnn
def test_mtcnn_finds_the_face(astronaut):
    (face,) = detect(ASTRONAUT, "mtcnn")
    assert face.box.intersection_over_union(FACE) > 0.6
    assert np.abs(face.landmarks.points - astronaut.landmarks.points).mean() < 2
    assert detect(BACKDROP, "mtcnn") == []
    assert len(detect(np.tile(ASTRONAUT[20:220, 120:340], (2, 2, 1)), "mtcnn")) == 4


def test_unknown_detector():
    with pytest.raises(
        DetectionError, match="unknown detector 'dlib'; known are: mediapipe, quick, mediapipe_solutions, mtcnn, haar"
    ):
        detect(ASTRONAUT, "dlib")


@needs_mediapipe
def test_mediapipes_solutions_find_the_same_face(astronaut):
    (face,) = detect(ASTRONAUT, "mediapipe_solutions")
    (ours,) = blazeface._look(ASTRONAUT, 1.0, 0.5)
    assert face.box.intersection_over_union(ours.box) > 0.9 and face.score == pytest.approx(ours.score, abs=0.02)
    assert np.abs(face.landmarks.points - astronaut.landmarks.points).mean() < 2
    alone = find_detector("mediapipe_solutions")(ASTRONAUT, 0.5)[0]
    assert alone.roll == pytest.approx(ours.roll, abs=0.1)


@pytest.mark.parametrize(
    ("detector", "module", "remedy"),
    [
        ("mtcnn", "mtcnn", r"pip install 'kerasfer\[mtcnn\]'"),
        ("mediapipe_solutions", "mediapipe.python.solutions", r"pip install 'kerasfer\[mediapipe\]'"),
    ],
)
def test_a_detector_whose_package_is_missing_says_what_to_install(monkeypatch, detector, module, remedy):
    """At once, before a photo is looked at: a folder of photos would else be a list of the same error."""
    for cached in (detectors._mtcnn_network, detectors._mediapipe_package):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DetectionError, match=remedy):
        recognize([], detector=detector)


def test_haar_without_cascades_says_what_to_install(monkeypatch, tmp_path):
    import cv2

    detectors._haar_cascade.cache_clear()
    monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}/")
    with pytest.raises(DetectionError, match=r"not in OpenCV .*pip install 'kerasfer\[haar\]'"):
        find_detector("haar")


def test_own_detector():
    (face,) = detect(ASTRONAUT, lambda image, score: [blazeface.Candidate(FACE, score)], minimum_score=0.25)
    assert face.box == FACE and face.score == 0.25 and face.landmarks is not None


def test_missing_network_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("kerasfer.detection.graphs.FOLDER", tmp_path)
    with pytest.raises(DetectionError, match="face_detection_short_range.tflite: missing; install kerasfer again"):
        blazeface.Graph("face_detection_short_range.tflite")


@pytest.mark.parametrize(
    "detector",
    ["mediapipe", pytest.param("haar", marks=needs_haar), pytest.param("mediapipe_solutions", marks=needs_mediapipe)],
)
@pytest.mark.parametrize("size", [(300, 400), (1, 1), (3, 900), (20, 20)])
def test_no_face(detector, size):
    assert detect(np.full((*size, 3), 200, np.uint8), detector) == []


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "grass", "coins", "page", "immunohistochemistry"])
def test_nothing_is_taken_for_a_face(name):
    image = getattr(skimage.data, name)()
    assert detect(image) == detect(image, "quick") == detect(image, "quick", landmarks=False, pose=False) == []


def test_twenty_faces():
    faces = detect(np.tile(ASTRONAUT[20:220, 120:340], (4, 5, 1)))
    assert len(faces) == 20
    cells = {(int(face.box.center[0] // 220), int(face.box.center[1] // 200)) for face in faces}
    assert cells == {(column, row) for column in range(5) for row in range(4)}
    assert all(face.landmarks is not None for face in faces)


def test_small_faces_beside_a_large_one():
    """Their widths are a sixth and 1 / 27 of a photo's longer side: no video sees more of it than a photo does."""
    photo = ASTRONAUT[0:300, 100:360]
    canvas = np.full((720, 1280, 3), (90, 110, 100), np.uint8)
    for left, top, share in ((30, 20, 2.2), (1000, 300, 0.5)):
        face = images.resize(photo, (round(300 * share), round(260 * share)))
        canvas[top : top + face.shape[0], left : left + face.shape[1]] = face
    large, small = detect(canvas)
    assert 180 < large.box.width < 260 and 38 < small.box.width < 62
    assert 1000 < small.box.left and small.box.right < 1130


def test_small_face_in_a_large_photo():
    """A face of 26 pixels in 1200 x 900."""
    photo = images.resize(BACKDROP, (900, 1200))
    photo[600:664, 200:264] = images.resize(ASTRONAUT[:256, 96:352], 64)
    (face,) = detect(photo)
    expected = Box(*(side / 4 + offset for side, offset in zip((79, 70, 179, 178), (200, 600, 200, 600), strict=True)))
    assert face.box.intersection_over_union(expected) > 0.5
    assert face.landmarks is not None


@pytest.mark.parametrize("margin", [0, -8])
def test_face_fills_the_frame(margin, astronaut):
    left, top = 175 - margin, 70 - margin
    (face,) = detect(np.ascontiguousarray(ASTRONAUT[top : 178 + margin, left : 275 + margin]))
    moved = face.landmarks.points + [left, top]
    assert np.abs(moved - astronaut.landmarks.points).mean() < 5


@pytest.mark.parametrize("side", ["left", "right", "bottom"])
def test_face_cut_by_the_border(side):
    rows, columns = {
        "left": (slice(0, 400), slice(195, 512)),
        "right": (slice(0, 400), slice(0, 255)),
        "bottom": (slice(0, 165), slice(0, 512)),
    }[side]
    (face,) = detect(np.ascontiguousarray(ASTRONAUT[rows, columns]))
    aligned = align(ASTRONAUT[rows, columns], face, 48)
    assert aligned.shape == (48, 48, 3)


def test_fifty_megapixels_find_the_same(astronaut):
    (face,) = detect(np.repeat(np.repeat(ASTRONAUT, 14, axis=0), 14, axis=1))
    assert np.abs(face.landmarks.points / 14 - astronaut.landmarks.points).mean() < 1


def test_gray_and_landmarks_off(astronaut):
    (face,) = detect(images.to_gray(ASTRONAUT), landmarks=False, pose=False)
    assert face.landmarks is None and face.pose is None
    (face,) = detect(ASTRONAUT, landmarks=False)
    assert face.landmarks is None and face.pose == astronaut.pose


def test_threads_find_the_same(astronaut):
    with ThreadPoolExecutor(4) as executor:
        for (face,) in executor.map(detect, [ASTRONAUT] * 8):
            assert face.box == astronaut.box
            np.testing.assert_array_equal(face.landmarks.points, astronaut.landmarks.points)


def test_merge():
    candidates = [
        blazeface.Candidate(Box(0, 0, 10, 10), 0.6),
        blazeface.Candidate(Box(1, 1, 11, 11), 0.9),
        blazeface.Candidate(Box(3, 3, 6, 6), 0.7),
        blazeface.Candidate(Box(20, 0, 30, 10), 0.5),
    ]
    assert [face.score for face in blazeface.merge(candidates)] == [0.9, 0.5]


@pytest.mark.parametrize("side", [1, 127, 128, 129, 208, 209, 512, 1000])
def test_tiles_cover_a_side(side):
    starts = blazeface._starts(side)
    if side <= 128:
        assert starts == [(side - 128) // 2]
        return
    assert starts[0] == 0 and starts[-1] == side - 128
    assert all(later - sooner <= 80 for sooner, later in zip(starts[:-1], starts[1:], strict=True))


def test_mesh_points_stand_at_the_landmarks():
    assert list(mesh.MESH_POINTS) == list(LANDMARK_GROUPS)
    assert [len(points) for points in mesh.MESH_POINTS.values()] == [len(group) for group in LANDMARK_GROUPS.values()]
    assert len({point for points in mesh.MESH_POINTS.values() for point in points}) == 68


def test_landmarks_lie_on_the_face(astronaut):
    """The order of iBUG 300-W, by what must lie beside, above and below what."""
    points = astronaut.landmarks.points
    group = astronaut.landmarks.group
    np.testing.assert_allclose(astronaut.landmarks.eye_centers, [[204, 100], [245, 103]], atol=5)
    jaw = group("jaw")
    assert (np.diff(jaw[:, 0]) > -1).all() and jaw[:, 1].argmax() in (7, 8, 9)
    for name in ("right_brow", "left_brow", "nose_base"):
        assert (np.diff(group(name)[:, 0]) > 0).all(), name
    assert (np.diff(group("nose_bridge")[:, 1]) > 0).all()
    for brow, eye in (("right_brow", "right_eye"), ("left_brow", "left_eye")):
        assert group(brow)[:, 1].max() < group(eye)[:, 1].min()
        corners = group(eye)
        assert corners[0, 0] == corners[:, 0].min() and corners[3, 0] == corners[:, 0].max()
        assert corners[1:3, 1].max() < corners[4:6, 1].min()
    outer, inner = group("outer_lips"), group("inner_lips")
    assert outer[0, 0] == outer[:, 0].min() and outer[6, 0] == outer[:, 0].max() and outer[9, 1] == outer[:, 1].max()
    assert inner[0, 0] == inner[:, 0].min() and inner[4, 0] == inner[:, 0].max()
    assert outer[3, 1] < inner[2, 1] < inner[6, 1] < outer[9, 1]
    assert points[33, 1] < outer[3, 1] and outer[9, 1] < points[8, 1]


def test_mean_face_is_symmetric():
    mean = np.array(MEAN_FACE)
    assert mean.shape == (68, 3)
    np.testing.assert_allclose(mean[:17] * [-1, 1, 1], mean[16::-1], atol=1e-3)
    np.testing.assert_allclose(mean[36] * [-1, 1, 1], mean[45], atol=1e-3)
    assert mean[45, 0] - mean[36, 0] == pytest.approx(1.0)
    assert mean[30, 2] == mean[:, 2].min() and mean[8, 1] == mean[:, 1].max()


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, 0, 25), (35, -15, -40)])
def test_pose_of_the_turned_mean_face(angles):
    turned = np.array(MEAN_FACE) @ rotation(*angles).T
    pose = head_pose(Landmarks(turned[:, :2] * 70 + [300, 200]))
    np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], angles, atol=0.01)
    nose, eyes = turned[30], turned[[36, 45]].mean(0)
    straight = np.array(MEAN_FACE)[30, 1]
    if angles == (30, 0, 0):
        assert nose[0] > eyes[0], "who looks to the right of the picture has the nose there"
    if angles == (0, 20, 0):
        assert nose[1] < straight, "who looks up has the nose up"
    if angles == (0, 0, 25):
        assert turned[8, 0] < turned[27, 0], "whose head leans to the right has the chin to the left"


def test_pose_of_a_turned_photo(astronaut):
    """Turned clockwise by 20 degrees the head leans to the right; mirrored, yaw and roll change sign."""
    turned = np.array(Image.fromarray(ASTRONAUT).rotate(-20, Image.Resampling.BICUBIC))
    (face,) = detect(turned)
    assert face.pose.roll == pytest.approx(astronaut.pose.roll + 20, abs=2)
    assert face.pose.yaw == pytest.approx(astronaut.pose.yaw, abs=4)
    (face,) = detect(np.ascontiguousarray(ASTRONAUT[:, ::-1]))
    assert face.pose.roll == pytest.approx(-astronaut.pose.roll, abs=2)
    assert face.pose.yaw == pytest.approx(-astronaut.pose.yaw, abs=4)
    assert face.pose.pitch == pytest.approx(astronaut.pose.pitch, abs=4)


def test_similarity_by_hand():
    """A quarter turn, twice as large, shifted by (5, 7): (x, y) -> (5 - 2 y, 7 + 2 x)."""
    source = np.array([[0.0, 0], [1, 0], [0, 3]])
    target = np.array([[5.0, 7], [5, 9], [-1, 7]])
    matrix = similarity(source, target)
    np.testing.assert_allclose(matrix, [[0, -2, 5], [2, 0, 7]], atol=1e-12)
    np.testing.assert_allclose(transform(np.array([2.0, 2]), matrix), [1, 11])
    np.testing.assert_allclose(inverted(matrix), [[0, 0.5, -3.5], [-0.5, 0, 2.5]], atol=1e-12)
    with pytest.raises(ValueError, match="no inverse"):
        inverted(np.array([[1.0, 1, 0], [2, 2, 0]]))
    with pytest.raises(ValueError, match="one point"):
        similarity(np.ones((4, 2)), np.ones((4, 2)))


@pytest.mark.parametrize("size", [48, 64])
def test_alignment_brings_the_eyes_to_the_template(astronaut, size):
    matrix = alignment_matrix(astronaut, size)
    eyes = transform(astronaut.landmarks.eye_centers, matrix)
    np.testing.assert_allclose(eyes, FERPLUS_TEMPLATE.points[:2] * size, atol=size / 48)
    (face,) = detect(align(ASTRONAUT, astronaut, 4 * size))
    np.testing.assert_allclose(face.landmarks.eye_centers / 4, eyes, atol=1)


def test_alignment_undoes_rotation_and_scale(astronaut):
    upright = align(ASTRONAUT, astronaut, 48).astype(int)
    turned = np.array(Image.fromarray(ASTRONAUT).resize((700, 700)).rotate(17, Image.Resampling.BICUBIC))
    (face,) = detect(turned)
    assert np.abs(align(turned, face, 48).astype(int) - upright).mean() < 8


def test_alignment_by_a_box():
    """The template's square is 1.155 boxes wide and lies 0.096 boxes above the box's center."""
    box = Box(100, 200, 200, 260)
    matrix = alignment_matrix(box, 115)
    middle = np.array([150, 230 + FERPLUS_TEMPLATE.box_shift * 100])
    np.testing.assert_allclose(transform(middle, matrix), [57.5, 57.5])
    np.testing.assert_allclose(matrix[0, 0], 115 / (100 * FERPLUS_TEMPLATE.box_ratio))
    np.testing.assert_allclose(alignment_matrix(box, 115, zoom=2)[0, 0], 2 * matrix[0, 0])
    np.testing.assert_allclose(alignment_matrix(DetectedFace(box, 0.9), 115), matrix)
    with pytest.raises(ValueError, match="empty box"):
        alignment_matrix(Box(3, 3, 3, 5), 48)


def test_box_alone_aligns_much_like_landmarks(astronaut):
    by_points = alignment_matrix(astronaut, 48)
    by_box = alignment_matrix(DetectedFace(astronaut.box, 1.0), 48)
    eyes = [transform(astronaut.landmarks.eye_centers, matrix) for matrix in (by_points, by_box)]
    np.testing.assert_allclose(eyes[0], eyes[1], atol=5)


def test_gray_images_align(astronaut):
    gray = images.to_gray(ASTRONAUT)
    aligned = align(gray, astronaut, 48)
    assert aligned.shape == (48, 48)
    assert np.abs(aligned.astype(int) - images.to_gray(align(ASTRONAUT, astronaut, 48))).max() <= 2


class Bytes(ArraySource):
    """An array source one of whose images does not decode."""

    def read(self, path):
        return b"no image" if path == "2" else super().read(path)


@pytest.fixture
def table():
    crops = [ASTRONAUT[:256, 96:352], BACKDROP[:256, :256], BACKDROP[:256, :256], ASTRONAUT[20:276, 100:356]]
    columns = {"path": ["0", "1", "2", "3"], "expression": [1, 0, 2, 3], "identity": ["a", "b", "c", "a"]}
    return FaceTable("little", Bytes(np.stack(crops)), columns, FERPLUS8)


def test_align_table(table, tmp_path):
    aligned = align_table(table, 48, cache=tmp_path)
    assert aligned["expression"].tolist() == [1, 0, 3] and aligned["identity"].tolist() == ["a", "b", "a"]
    assert len(aligned.rejected) == 1 and "not an image" in aligned.rejected[0].reason
    assert np.isfinite(aligned["pose"]).all(1).tolist() == [True, False, True]
    assert aligned.read(0).shape == (48, 48)
    assert np.abs(aligned.read(0).astype(int) - aligned.read(2)).mean() < 6, "the same face in two frames"
    whole = images.resize(images.to_gray(BACKDROP[:256, :256]), 48)
    np.testing.assert_allclose(aligned.read(1).astype(int), whole, atol=1)
    eyes = Landmarks(aligned["landmarks"][0]).eye_centers
    np.testing.assert_allclose(eyes, FERPLUS_TEMPLATE.points[:2] * 48, atol=1)


def test_align_table_drops_what_has_no_face(table):
    aligned = align_table(table, 32, channels=3, missing="drop")
    assert aligned["expression"].tolist() == [1, 3] and aligned.read(1).shape == (32, 32, 3)
    assert [entry.path for entry in aligned.rejected] == ["memory[1]", "memory[2]"]
    assert aligned.rejected[0].reason == "no face found"
    with pytest.raises(DatasetError, match="no face could be aligned"):
        align_table(table.select([1]), 32, missing="drop")
    with pytest.raises(DatasetError, match="'keep' or 'drop'"):
        align_table(table, 32, missing="ignore")


def test_align_table_reads_its_cache(table, tmp_path, monkeypatch):
    first = align_table(table, 48, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("kerasfer.detection.tables.detect", lambda *_: pytest.fail("detected again"))
        again = align_table(table, 48, cache=tmp_path)
    np.testing.assert_array_equal(first.source.images, again.source.images)
    np.testing.assert_array_equal(first["landmarks"], again["landmarks"])
    file.write_bytes(file.read_bytes()[:1000])
    anew = align_table(table, 48, cache=tmp_path)
    np.testing.assert_array_equal(first.source.images, anew.source.images)
    assert align_table(table, 40, cache=tmp_path).read(0).shape == (40, 40)
    assert len(list(tmp_path.iterdir())) == 2


def test_align_table_takes_known_landmarks(table, astronaut):
    known = np.stack([astronaut.landmarks.points - [96, 0]])
    alone = table.select([0]).with_columns(landmarks=known)
    aligned = align_table(alone, 48, channels=3)
    np.testing.assert_array_equal(aligned.read(0), align(ASTRONAUT[:256, 96:352], Landmarks(known[0]), 48))


def test_detection_is_quiet_and_light():
    """Finding a face writes nothing and imports neither TensorFlow nor mediapipe."""
    code = (
        "import sys, skimage.data; from kerasfer.detection import detect;"
        "assert len(detect(skimage.data.astronaut())) == 1;"
        "assert not {'tensorflow', 'mediapipe', 'keras', 'mtcnn'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.slow
@needs_mediapipe
def test_equals_mediapipes_own_solution(astronaut):
    """Box and mesh agree with `mediapipe.solutions`, which runs the same networks in its own graph."""
    import mediapipe

    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as solution:
        points = solution.process(ASTRONAUT).multi_face_landmarks[0].landmark
    theirs = np.array([(point.x * 512, point.y * 512) for point in points])
    ours = mesh.fit(ASTRONAUT, astronaut.box, np.radians(astronaut.pose.roll))[:, :2]
    assert np.abs(ours - theirs).mean() < 0.02 * astronaut.landmarks.inter_ocular_distance
    with mediapipe.solutions.face_detection.FaceDetection(model_selection=0) as solution:
        (found,) = solution.process(ASTRONAUT).detections
    box = found.location_data.relative_bounding_box
    theirs = Box(box.xmin * 512, box.ymin * 512, (box.xmin + box.width) * 512, (box.ymin + box.height) * 512)
    plain = blazeface._look(ASTRONAUT, 1.0, 0.5)[0]
    assert plain.box.intersection_over_union(theirs) > 0.9
    assert plain.score == pytest.approx(found.score[0], abs=0.02)


DATA = os.environ.get("KERASFER_DATA")


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="set KERASFER_DATA to the folder with lfw_expressions.zip and ferplus.zip")
@pytest.mark.parametrize(("name", "share"), [("lfw_expressions", 0.99), ("ferplus", 0.96)])
def test_real_faces_are_found(name, share):
    with zipfile.ZipFile(Path(DATA) / f"{name}.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".png", ".jpg")))[::110]
        found = [len(detect(np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))) for name in names]
    assert np.mean([count >= 1 for count in found]) >= share
    assert np.mean([count > 1 for count in found]) <= 0.02


@pytest.mark.slow
@needs_mediapipe
@pytest.mark.skipif(DATA is None, reason="set KERASFER_DATA to the folder with lfw_expressions.zip")
def test_equals_mediapipes_own_solution_on_a_hundred_photos():
    """Boxes and meshes, at the detector's own resolution, where the way of shrinking a photo plays no part."""
    import mediapipe

    with zipfile.ZipFile(Path(DATA) / "lfw_expressions.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".png", ".jpg")))[::111][:100]
        photos = [np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    boxes, points = [], []
    with (
        mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh_solution,
        mediapipe.solutions.face_detection.FaceDetection(model_selection=0) as detection_solution,
    ):
        for photo in (images.resize(photo, 128) for photo in photos):
            theirs = detection_solution.process(photo).detections or []
            ours = blazeface._look(photo, 1.0, 0.5)
            assert bool(theirs) == bool(ours)
            if not ours:
                continue
            box, face = theirs[0].location_data.relative_bounding_box, max(ours, key=lambda face: face.score)
            corners = np.array([box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height]) * 128
            boxes.append(np.abs(corners - [face.box.left, face.box.top, face.box.right, face.box.bottom]).max())
            (found,) = mesh_solution.process(photo).multi_face_landmarks
            expected = np.array([(point.x * 128, point.y * 128) for point in found.landmark])
            points.append(np.hypot(*(mesh.fit(photo, face.box, face.roll)[:, :2] - expected).T).mean())
    assert len(boxes) >= 95 and max(boxes) < 1
    assert np.mean(np.array(points) < 1) >= 0.98 and np.median(points) < 0.3

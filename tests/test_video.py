"""Videos: people keep their numbers, answers are smoothed, what was stopped resumes, what is damaged says so."""

from __future__ import annotations

import collections
import csv
import importlib
import json
import shutil
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from kerasfer import recognition, tracking
from kerasfer.cli.common import run_app
from kerasfer.detection import blendshapes
from kerasfer.detection.blazeface import Candidate
from kerasfer.expressions import ACTION_UNITS, FERPLUS8
from kerasfer.faces import BLENDSHAPES, Box, ImageSpec
from kerasfer.video import (
    Frame,
    FrameResult,
    Smoother,
    Tracker,
    VideoError,
    VideoRecognizer,
    VideoWriter,
    camera_number,
    mark,
    open_video,
    recognize_video,
)

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "saved_models" / "tdgan" / "model_int8.tflite"
FACE = skimage.data.astronaut()[10:270, 90:350]


def scene(number):
    """A face that moves to the right and a smaller one, mirrored, that moves down."""
    image = np.full((240, 420, 3), 90, np.uint8)
    left = 10 + 3 * number
    image[20:220, left : left + 200] = cv2.resize(FACE, (200, 200), interpolation=cv2.INTER_AREA)
    small = cv2.resize(FACE, (130, 130), interpolation=cv2.INTER_AREA)[:, ::-1]
    image[20 + 2 * number : 150 + 2 * number, 285:415] = small
    return image


SCENES = [scene(number) for number in range(23)]
FRAMES = [Frame(number, number / 25, image) for number, image in enumerate(SCENES)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The scenes as a video of 25 frames/s."""
    path = tmp_path_factory.mktemp("clips") / "clip.avi"
    writer = VideoWriter(path, 25)
    for image in SCENES:
        writer.write(image)
    writer.close()
    return path


def boxes_tracker(monkeypatch, every=1):
    """A tracker whose detector finds the boxes in `shown`, and whose mesh sees nothing."""
    shown = []
    monkeypatch.setattr(tracking, "fit", lambda *_: None)
    tracker = Tracker(lambda *_: [Candidate(box, 0.9) for box in shown], every)
    numbers = iter(range(1000))

    def at(time, *boxes):
        shown[:] = [Box(x, 0, x + 10, 10) for x in boxes]
        found = tracker.update(Frame(next(numbers), time, SCENES[0]))
        return {number: face.box.left for number, face in found}

    return at


def test_a_face_is_whom_it_overlaps(monkeypatch):
    at = boxes_tracker(monkeypatch)
    assert at(0.0, 0, 50) == {1: 0, 2: 50}
    assert at(0.1, 53, 4) == {1: 4, 2: 53}
    assert at(0.2, 11, 56) == {2: 56, 3: 11}, "3 / 17 of the union is too little"
    assert at(0.3, 57, 12, 5) == {1: 5, 2: 57, 3: 12}, "the first is remembered"
    assert at(1.4, 5, 12, 57) == {4: 5, 5: 12, 6: 57}, "but not for longer than a second"


def test_nobody_is_two_faces(monkeypatch):
    at = boxes_tracker(monkeypatch)
    assert at(0.0, 0) == {1: 0}
    assert at(0.1, 2, 1) == {1: 1, 2: 2}, "the one that overlaps most is the one; 9 / 11 against 8 / 12"


def test_between_looks_faces_stay(monkeypatch):
    at = boxes_tracker(monkeypatch, every=3)
    assert at(0.0, 0) == at(0.1, 77, 99) == at(0.2) == {1: 0}
    assert at(0.3, 77) == {2: 77}


def test_faces_are_followed_between_looks():
    looks = []

    def detector(image, score):
        looks.append(1)
        return tracking.find_detector("quick")(image, score)

    tracker = Tracker(detector, every=10)
    found = [tracker.update(frame) for frame in FRAMES]
    assert len(looks) == 3
    assert [[number for number, _ in faces] for faces in found] == [[1, 2]] * 23
    moves = sorted([(3, 0), (0, 2)], reverse=found[0][0][1].box.left < 200)
    for first, second in zip(found[:-1], found[1:]):
        for person, (across, down) in enumerate(moves):
            before, after = (np.array(faces[person][1].box.center) for faces in (first, second))
            np.testing.assert_allclose(after - before, [across, down], atol=5)
            assert second[person][1].landmarks is not None
    total = np.array(found[-1][0][1].box.center) - found[0][0][1].box.center
    np.testing.assert_allclose(total, 22 * np.array(moves[0]), atol=6)


def test_the_detector_may_run_ahead():
    """What `find` sees in frames to come, before `update` has had those before, changes nothing."""
    alone, ahead = Tracker("quick", every=4), Tracker("quick", every=4)
    seen = [ahead.find(frame) for frame in FRAMES[:9]]
    assert [number for number, found in enumerate(seen) if found is not None] == [0, 4, 8]
    for frame, found in zip(FRAMES, seen):
        ours, theirs = ahead.update(frame, found), alone.update(frame)
        assert [number for number, _ in ours] == [number for number, _ in theirs] == [1, 2]
        for (_, one), (_, other) in zip(ours, theirs):
            assert one.box == other.box
            np.testing.assert_array_equal(one.landmarks.points, other.landmarks.points)


def test_two_followed_faces_become_one(monkeypatch):
    tracker = Tracker("quick", every=100)
    assert len(tracker.update(FRAMES[0])) == 2
    tracker._people[1].points = tracker._people[0].points
    tracker._people[1].frame = tracker._people[0].frame
    assert [number for number, _ in tracker.update(FRAMES[1])] == [1]


def test_smoothing_by_hand():
    smoother = Smoother(0.5)
    assert smoother.update(1, 0.0, {"a": 1.0, "b": 0.0}) == {"a": 1.0, "b": 0.0}
    assert smoother.update(1, 0.5, {"a": 0.0, "b": 1.0}) == {"a": 0.5, "b": 0.5}
    assert smoother.update(1, 1.5, {"a": 0.0, "b": 1.0}) == {"a": 0.125, "b": 0.875}
    assert smoother.update(2, 1.5, {"a": 0.3, "b": 0.7}) == {"a": 0.3, "b": 0.7}, "another person"
    assert smoother.update(1, 3.0, {"a": 1.0, "b": 0.0}) == {"a": 1.0, "b": 0.0}, "too long ago"
    plain = Smoother(0)
    assert plain.update(1, 0.0, {"a": 1.0}) == {"a": 1.0} and plain.update(1, 0.1, {"a": 0.2}) == {"a": 0.2}
    with pytest.raises(VideoError, match="0 or more; got -1"):
        Smoother(-1)


def test_recognition_of_frames():
    results = list(VideoRecognizer(MODEL).recognize(iter(FRAMES)))
    assert [result.number for result in results] == list(range(23))
    for result, frame in zip(results, FRAMES):
        assert result.image is frame.image and result.time == frame.time
        assert [(face.person, face.prediction.expression) for face in result.faces] == [
            (1, "happiness"),
            (2, "happiness"),
        ]
        assert sum(result.faces[0].prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    plain = list(VideoRecognizer(MODEL, smoothing=0).recognize(iter(FRAMES[:6])))
    for result, smooth in zip(plain, results):
        for face, other in zip(result.faces, smooth.faces):
            assert face.prediction.probabilities == face.measured == other.measured


class UnitModel:
    """Is always sad, and sees AU 12 and not AU 1."""

    image_spec = ImageSpec(48)
    label_space = FERPLUS8
    learned_units = (1, 12)

    def recognizer(self):
        return lambda faces: np.eye(8)[[3] * len(faces)]

    def unit_detector(self):
        return lambda faces: np.eye(14)[[ACTION_UNITS.index(12)] * len(faces)]


def test_action_units_of_frames():
    recognizer = VideoRecognizer(UnitModel(), action_units="machines")
    assert recognizer.units == (1, 12)
    (result,) = recognizer.recognize(iter(FRAMES[:1]))
    assert [face.prediction.action_units for face in result.faces] == [{1: 0.0, 12: 1.0}] * 2
    again = FrameResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again.faces[1].prediction.action_units == {1: 0.0, 12: 1.0}
    assert again.faces[1].prediction.expression == "sadness"


def test_blendshapes_of_frames():
    """They stay what they are while the face moves, and are those of a photo of the frame."""
    results = list(VideoRecognizer(MODEL, blendshapes=True).recognize(iter(FRAMES)))
    for person in (0, 1):
        smiles = [result.faces[person].prediction.blendshapes["mouthSmileLeft"] for result in results]
        assert 0.75 < min(smiles) and max(smiles) - min(smiles) < 0.1 and len(set(smiles)) > 10
    (photo,) = blendshapes(results[6].image[:, 285:])
    shown = results[6].faces[1].prediction.blendshapes
    assert list(shown) == list(photo) and max(abs(shown[name] - photo[name]) for name in photo) < 0.2
    again = FrameResult.from_json(json.loads(json.dumps(results[6].to_json())))
    assert again.faces[1].prediction.blendshapes == results[6].faces[1].prediction.blendshapes
    plain = list(VideoRecognizer(MODEL).recognize(iter(FRAMES[:6])))
    assert all(face.prediction.blendshapes is None for result in plain for face in result.faces)
    for one, other in zip(plain, results):
        assert [face.measured for face in one.faces] == [face.measured for face in other.faces]


def test_frames_may_be_flipped():
    """Twice as many faces go through the network."""
    asked = []

    class Counting(UnitModel):
        def recognizer(self):
            return lambda faces: asked.append(len(faces)) or np.eye(8)[[3] * len(faces)]

    for flip, times in ((False, 1), (True, 2)):
        asked.clear()
        (result,) = VideoRecognizer(Counting(), flip=flip).recognize(iter(FRAMES[:1]))
        assert len(result.faces) == 2 and sum(asked) == 2 * times


def test_frames_may_have_another_prior():
    class Even(UnitModel):
        training_prior = (0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)

        def recognizer(self):
            return lambda faces: np.tile([0.5, 0.5, 0, 0, 0, 0, 0, 0], (len(faces), 1))

    (result,) = VideoRecognizer(Even(), prior="balanced").recognize(iter(FRAMES[:1]))
    for face in result.faces:
        assert face.prediction.probabilities["happiness"] == pytest.approx(0.75, abs=1e-6)


def test_stopped_and_taken_up_is_as_if_never_stopped():
    whole = [result.to_json() for result in VideoRecognizer(MODEL).recognize(iter(FRAMES))]
    written = [json.loads(json.dumps(entry)) for entry in whole[:13]]
    recognizer = VideoRecognizer(MODEL)
    kept = recognizer.kept(13)
    assert kept == 10
    recognizer.restore(map(FrameResult.from_json, written[:kept]))
    rest = [result.to_json() for result in recognizer.recognize(iter(FRAMES[kept:]))]
    assert written[:kept] + rest == whole


def pair(number, left=40):
    """A large face that moves and a small one, 244 and 97 pixels wide as the detector sees them, in 960 x 540."""
    image = np.full((540, 960, 3), 90, np.uint8)
    shift = left + 2 * number
    tight = FACE[10:210, 30:230]
    image[30:520, shift : shift + 490] = cv2.resize(tight, (490, 490), interpolation=cv2.INTER_LINEAR)
    image[40 + number : 235 + number, 740:935] = cv2.resize(tight, (195, 195), interpolation=cv2.INTER_AREA)[:, ::-1]
    return image


PAIRS = [Frame(number, number / 25, pair(number)) for number in range(22)]


def test_a_small_face_beside_a_large_one():
    """Found by the close look at the beginning, followed in the looks after it; stopped anywhere, the same again."""
    whole = list(VideoRecognizer(MODEL).recognize(iter(PAIRS)))
    widths = sorted(face.prediction.box.width for face in whole[0].faces)
    assert widths == pytest.approx([97, 244], abs=20)
    assert [[face.person for face in result.faces] for result in whole] == [[1, 2]] * len(PAIRS)
    small = max(whole[0].faces, key=lambda face: face.prediction.box.left).person - 1
    moved = [result.faces[small].prediction.box.top for result in whole]
    np.testing.assert_allclose(moved, moved[0] + np.arange(len(PAIRS)), atol=4)
    entries = [json.loads(json.dumps(result.to_json())) for result in whole]
    for kept in (5, 10, 20):
        recognizer = VideoRecognizer(MODEL)
        recognizer.restore(map(FrameResult.from_json, entries[:kept]))
        rest = [result.to_json() for result in recognizer.recognize(iter(PAIRS[kept:]))]
        assert json.loads(json.dumps(rest)) == entries[kept:], kept


def close_looks(monkeypatch, images, rate=25):
    """Numbers of the frames that a tracker looks at closely, and of those that it looks at."""
    looks = {"close": [], "quick": []}
    now = []

    def seeing(kind):
        return lambda image, score: looks[kind].append(now[0]) or []

    monkeypatch.setitem(tracking.DETECTORS, "quick", seeing("quick"))
    monkeypatch.setattr(tracking.blazeface, "find_closely", seeing("close"))
    tracker = Tracker()
    for number, image in enumerate(images):
        now[:] = [number]
        tracker.update(Frame(number, number / rate, image))
    return looks["close"], looks["quick"]


def test_close_looks_come_at_the_start_and_every_three_seconds(monkeypatch):
    close, quick = close_looks(monkeypatch, [SCENES[0]] * 200)
    assert close == [0, 75, 150]
    assert sorted(close + quick) == list(range(0, 200, 5))


def test_close_looks_come_at_cuts(monkeypatch):
    other = np.full_like(SCENES[0], 200)
    assert close_looks(monkeypatch, [SCENES[0]] * 33 + [other] * 20)[0] == [0, 35]
    flicker = [SCENES[0] if number // 5 % 2 else other for number in range(60)]
    assert close_looks(monkeypatch, flicker)[0] == [0, 15, 30, 45], "no more than twice a second"


@pytest.mark.parametrize(("found", "fine"), [(1, [0, 20, 40]), (0, list(range(0, 50, 5)))])
def test_looks_at_the_highest_resolution_are_rare_where_faces_are_known(monkeypatch, found, fine):
    """Whom they alone see, and the mesh does not, stays in between; a run that is taken up does the same."""

    def seeing(windows):
        face = Candidate(Box(5, 5, 15, 15), 0.9)
        return lambda *_, **options: looks.append(options.get("windows", windows)) or [face] * found * (looks[-1] == 4)

    looks: list[int] = []
    monkeypatch.setattr(tracking, "fit", lambda *_: None)
    for name in ("find_closely", "find_quickly"):
        monkeypatch.setattr(tracking.blazeface, name, seeing(4))
    monkeypatch.setitem(tracking.DETECTORS, "quick", tracking.blazeface.find_quickly)

    def follow(tracker, numbers):
        for number in numbers:
            people.append([person for person, _ in tracker.update(Frame(number, number / 25, SCENES[0]))])
            states.append(tracker.state())

    people, states = [], []
    follow(Tracker(), range(50))
    assert people == [[1] * found] * 50
    assert [5 * place for place, windows in enumerate(looks) if windows == 4] == fine
    again = Tracker()
    for number in range(10):
        again.restore(number / 25, {1: Box(5, 5, 15, 15)} if found else {}, states[number])
    del looks[:], people[:]
    follow(again, range(10, 30))
    assert people == [[1] * found] * 20
    assert [10 + 5 * place for place, windows in enumerate(looks) if windows == 4] == [n for n in fine if 10 <= n < 30]


def test_only_the_quick_detector_looks_closely_at_times(monkeypatch):
    monkeypatch.setattr(tracking.blazeface, "find_closely", lambda *_: pytest.fail("looked closely"))
    tracker = Tracker(lambda *_: [])
    assert tracker.update(FRAMES[0]) == []


def test_a_stage_that_fails_and_one_that_is_left():
    def frames():
        yield FRAMES[0]
        raise VideoError("torn")

    with pytest.raises(VideoError, match="torn"):
        list(VideoRecognizer(MODEL).recognize(frames()))
    others = set(threading.enumerate())
    results = VideoRecognizer(MODEL).recognize(Frame(number, number / 25, SCENES[0]) for number in range(10**6))
    assert next(results).number == 0
    assert set(threading.enumerate()) - others
    results.close()
    assert not set(threading.enumerate()) - others


def test_reading_and_writing(clip):
    with open_video(clip) as opened:
        assert (opened.count, opened.rate) == (23, 25)
        frames = list(opened)
    assert opened.problem is None and len(frames) == 23
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(23) / 25, atol=0.002)
    assert np.abs(frames[7].image.astype(int) - SCENES[7]).mean() < 4
    with open_video(clip, 20) as opened:
        rest = list(opened)
    assert [frame.number for frame in rest] == [20, 21, 22]
    np.testing.assert_array_equal(rest[0].image, frames[20].image)


def test_damaged_videos(clip, tmp_path):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(VideoError, match="cut.avi: ends after [0-9]+ of 23 frames, as if cut off; get it again"):
        for count, _ in enumerate(recognize_video(cut, MODEL), 1):
            assert count < 20
    assert count > 5, "what is there was recognized"
    for name, content, message in (
        ("empty.mp4", b"", "the file is empty; get it again"),
        ("text.mp4", b"no video" * 99, "damaged, cut off or no video"),
        ("head.avi", clip.read_bytes()[:300], "damaged, cut off or no video"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError, match=f"{name}: {message}"):
            open_video(tmp_path / name)
    with pytest.raises(VideoError, match="gone.mp4: cannot be read .No such file"):
        open_video(tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match=r"camera 97: cannot be opened; plug one in"):
        open_video("camera:97")
    with pytest.raises(VideoError, match=r"let the name end in .mp4, .avi, .mkv"):
        VideoWriter(tmp_path / "a.gif", 25)


def test_cameras():
    names = ("camera", "camera:2", "camera:x", "camera.mp4", "cameras", "x:1")
    assert [camera_number(name) for name in names] == [0, 2, None, None, None, None]


def test_mark_draws_into_a_copy():
    (result,) = VideoRecognizer(MODEL).recognize(iter(FRAMES[:1]))
    before = SCENES[0].copy()
    drawn = mark(SCENES[0], result.faces)
    assert drawn.shape == before.shape and (SCENES[0] == before).all()
    box = result.faces[0].prediction.box
    assert tuple(drawn[round(box.bottom), round(box.center[0])]) == recognition.COLORS[0]


def test_no_more_photos_are_read_than_are_waited_for():
    from concurrent.futures import ThreadPoolExecutor

    started = []
    with ThreadPoolExecutor(1) as executor:
        results = recognition.photos._ahead(executor, lambda number: started.append(number) or -number, range(100), 5)
        assert next(results) == 0
        assert len(started) <= 6
        assert list(results) == [-number for number in range(1, 100)]


# -- the app -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def app():
    """`kerasfer recognize` as a module."""
    return importlib.import_module("kerasfer.cli.recognize")


def test_app_video(app, clip, tmp_path, capsys):
    out, table, lines, listed = (str(tmp_path / name) for name in ("out", "a.csv", "a.jsonl", "a.json"))
    arguments = [str(clip), "--model", str(MODEL), "--output", out, "--csv", table, "--jsonl", lines, "--json", listed]
    assert app.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "23 frames, 0.9 s, 2 people" in printed and "2. in 23 frames: happiness 100%" in printed
    with open_video(tmp_path / "out" / "clip_expressions.mp4") as marked:
        assert len(list(marked)) == 23
    rows = list(csv.DictReader(Path(table).open()))
    assert len(rows) == 46 and [row["person"] for row in rows[:4]] == ["1", "2", "1", "2"]
    assert float(rows[-1]["time"]) == pytest.approx(22 / 25, abs=0.002)
    entries = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    assert entries == json.loads(Path(listed).read_text()) and len(entries) == 23
    assert entries[3]["faces"][1]["person"] == 2 and set(entries[3]["faces"][1]["probabilities"]) >= {"happiness"}
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "a.csv",
        "a.json",
        "a.jsonl",
        "clip_expressions.mp4",
    ]


def test_app_blendshapes_of_videos(app, clip, tmp_path, monkeypatch, capsys):
    """A run that was stopped and goes on, one of all at once, and a folder's table hold the same 52 columns."""
    monkeypatch.chdir(tmp_path)
    asked = [str(clip), "--model", str(MODEL), "--blendshapes"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        added = []

        def stop(self, rows, entry, add=app.Tables.add):
            added.append(1)
            if len(added) == 14:
                raise KeyboardInterrupt
            add(self, rows, entry)

        patch.setattr(app.Tables, "add", stop)
        app.main([*asked, "--csv", "parts.csv"])
    assert app.main([*asked, "--csv", "parts.csv", "--jsonl", "parts.jsonl"]) == 0
    assert "resuming after 10 frames" in capsys.readouterr().out
    rows = list(csv.DictReader(Path("parts.csv").open()))
    assert len(rows) == 46 and list(rows[0])[-52:] == list(BLENDSHAPES)
    entries = [json.loads(line) for line in Path("parts.jsonl").read_text().splitlines()]
    shown = [face["blendshapes"] for entry in entries for face in entry["faces"]]
    assert [float(row["mouthSmileLeft"]) for row in rows] == [face["mouthSmileLeft"] for face in shown]
    assert app.main([str(ROOT / "kerasfer" / "astronaut.jpg"), *asked, "--csv", "both.csv", "--seconds", "0.2"]) == 0
    both = [row for row in csv.DictReader(Path("both.csv").open()) if row["path"] == str(clip)]
    assert len(both) == 10
    assert [row["jawOpen"] for row in both] == [row["jawOpen"] for row in rows[:10]]


def test_app_goes_on_after_a_kill(app, clip, tmp_path, monkeypatch, capsys):
    def arguments(name):
        return [str(clip), "--model", str(MODEL), "--output", str(tmp_path / name / "v.mp4"), "--csv", f"{name}.csv"]

    monkeypatch.chdir(tmp_path)
    assert app.main(arguments("whole")) == 0
    written = []

    def stop(self, image, write=VideoWriter.write):
        written.append(1)
        if len(written) == 14:
            raise KeyboardInterrupt
        write(self, image)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(app.VideoWriter, "write", stop)
        app.main(arguments("parts"))
    assert len(Path("parts.csv").read_text().splitlines()) == 1 + 2 * 14, "what was done is kept"
    journal = tmp_path / "parts" / ".clip.avi.journal"
    with journal.open("ab") as file:
        file.write(b'{"frame": 14, "ti')
    capsys.readouterr()
    assert app.main(arguments("parts")) == 0
    printed = capsys.readouterr().out
    assert "resuming after 10 frames" in printed and "23 frames" in printed
    assert Path("parts.csv").read_text() == Path("whole.csv").read_text()
    with open_video("whole/v.mp4") as whole, open_video("parts/v.mp4") as parts:
        for one, other in zip(whole, parts, strict=True):
            assert np.abs(one.image.astype(int) - other.image).mean() < 1
    assert not journal.exists()


@pytest.mark.parametrize("other", [["--every", "2"], ["--blendshapes"]])
def test_app_does_not_go_on_with_other_settings(app, clip, other, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [str(clip), "--model", str(MODEL), "--output", "none", "--csv", "a.csv"]

    def stop(self, entry, append=app.Journal.append):
        if self.count == 12:
            raise RuntimeError
        append(self, entry)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(app.Journal, "append", stop)
        app.main(arguments)
    assert Path(".clip.avi.journal").exists()
    assert app.main([*arguments, *other, "--seconds", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert "going on" not in printed and "8 frames" in printed


def test_app_keeps_what_a_broken_video_gave(app, clip, tmp_path, capsys):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    table = tmp_path / "cut.csv"
    assert app.main([str(cut), "--model", str(MODEL), "--output", str(tmp_path), "--csv", str(table)]) == 1
    assert "cut.avi: ends after" in capsys.readouterr().err
    assert len(table.read_text().splitlines()) > 10 and (tmp_path / "cut_expressions.mp4").exists()


def test_app_folder_of_videos_and_photos(app, clip, tmp_path, monkeypatch, capsys):
    """All in one table, each video under its path; what cannot be read stops no other; what is left out is counted."""
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    cases = ROOT / "tests" / "cases"
    shutil.copy(clip, folder / "clip.avi")
    shutil.copy(cases / "noface.mp4", folder / "b" / "clip")
    shutil.copy(cases / "a.jfif", folder / "photo.jfif")
    (folder / "broken.mp4").write_bytes(b"no video" * 99)
    (folder / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    arguments = ["in", "--model", str(MODEL), "--csv", "a.csv", "--jsonl", "a.jsonl", "--json", "a.json"]
    arguments += ["--output", "marked"]
    assert app.main(arguments) == 1
    said = capsys.readouterr()
    assert "1 of 4 photos and videos could not be read to the end" in said.err
    assert "in/broken.mp4: damaged, cut off or no video" in said.err
    rows = list(csv.DictReader(Path("a.csv").open()))
    assert list(rows[0])[:5] == ["path", "face", "frame", "time", "person"] and list(rows[0])[-1] == "error"
    counted = collections.Counter(row["path"] for row in rows)
    assert counted == {"in/photo.jfif": 1, "in/b/clip": 25, "in/broken.mp4": 1, "in/clip.avi": 46}
    assert {row["person"] for row in rows if row["path"] == "in/b/clip"} == {"0"}
    (photo,) = (row for row in rows if row["path"] == "in/photo.jfif")
    assert (photo["face"], photo["frame"], photo["expression"]) == ("1", "", "happiness")
    assert [row["error"] != "" for row in rows].count(True) == 1
    entries = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert len(entries) == len(json.loads(Path("a.json").read_text())) == 1 + 25 + 1 + 23
    assert sorted(path.name for path in Path("marked").iterdir()) == [
        "clip_2_expressions.mp4",
        "clip_expressions.mp4",
        "photo_expressions.png",
    ]
    assert app.main(arguments) == 1
    assert "4 photos and videos" in capsys.readouterr().err, "what was marked is no photo or video of the folder's"


def test_app_several_videos_go_on_after_a_kill(app, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "other.avi")

    def arguments(name):
        return [str(clip), "other.avi", "--model", str(MODEL), "--output", name, "--csv", f"{name}.csv"]

    assert app.main(arguments("whole")) == 0
    written = []

    def stop(self, image, write=VideoWriter.write):
        written.append(1)
        if len(written) == 23 + 14:
            raise KeyboardInterrupt
        write(self, image)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(app.VideoWriter, "write", stop)
        app.main(arguments("parts"))
    assert len(Path("parts.csv").read_text().splitlines()) == 1 + 2 * (23 + 14)
    capsys.readouterr()
    assert app.main(arguments("parts")) == 0
    assert "resuming after 10 frames" in capsys.readouterr().out
    assert Path("parts.csv").read_text() == Path("whole.csv").read_text()
    for name in ("clip_expressions.mp4", "other_expressions.mp4"):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes()
    assert sorted(path.name for path in Path("parts").iterdir()) == ["clip_expressions.mp4", "other_expressions.mp4"]


def test_app_marks_videos_of_variable_rate_at_their_times(app, tmp_path, capsys):
    source = ROOT / "tests" / "cases" / "screen.webm"
    assert app.main([str(source), "--model", str(MODEL), "--output", str(tmp_path)]) == 0
    assert "68 frames, 9.0 s, 1 person" in capsys.readouterr().out
    with open_video(source) as video, open_video(tmp_path / "screen_expressions.mp4") as marked:
        times = [[frame.time for frame in opened] for opened in (video, marked)]
    np.testing.assert_allclose(*times, atol=0.002)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["empty.mp4"], "empty.mp4: the file is empty"),
        (["gone.mp4"], "gone.mp4: cannot be read"),
        (["camera:97"], "camera 97: cannot be opened"),
        (["CLIP", "camera"], "camera: has no end; name it alone, or say after how many --seconds to go on"),
        (["CLIP", "CLIP", "--output", "a.mp4"], "a.mp4: one file cannot hold 2 photos and videos; name a folder"),
        (["http://127.0.0.1:9/a.jpg"], "http://127.0.0.1:9/a.jpg: an address, not a path; download the image"),
        (["http://127.0.0.1:9/live"], "http://127.0.0.1:9/live: no stream can be opened"),
        ([""], "the path of the photo is empty"),
        (["CLIP", "--model", "other.tflite"], "other.tflite: carries no kerasfer metadata"),
        (["CLIP", "--model", "gone.tflite"], "gone.tflite: cannot be read"),
        (["CLIP", "--every", "0"], "n at least 1; got 0"),
        (["CLIP", "--csv", "no/such/a.csv", "--seconds", "0.1"], "no/such"),
        (["CLIP", "--output", "CLIP"], "would overwrite"),
    ],
)
def test_app_bad_input_is_one_line_and_exit_code_2(app, clip, arguments, message, tmp_path, monkeypatch, capsys):
    from kerasfer.detection import blazeface

    monkeypatch.chdir(tmp_path)
    Path("empty.mp4").touch()
    Path("other.tflite").write_bytes(blazeface._network().file.read_bytes())
    arguments = [str(clip) if argument == "CLIP" else argument for argument in arguments]
    model = [] if "--model" in arguments else ["--model", str(MODEL)]
    output = [] if "--output" in arguments else ["--output", "none"]
    monkeypatch.setattr(sys, "argv", ["recognize.py", *arguments, *model, *output])
    with pytest.raises(SystemExit) as ended:
        run_app(app.main)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and error.startswith("error: ") and error.count("\n") == 1


def test_app_parquet(app, clip, tmp_path, monkeypatch):
    arguments = [str(clip), "--model", str(MODEL), "--output", "none", "--parquet", str(tmp_path / "a.parquet")]
    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match=r"needs pyarrow \(.*\); pip install 'pyarrow<20'"),
    ):
        patch.setitem(sys.modules, "pyarrow", None)
        app.main(arguments)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert app.main(arguments) == 0
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == 46 and table["person"].to_pylist()[:2] == [1, 2]
    assert table["happiness"].to_pylist()[0] > 0.9 and str(table.schema.field("expression").type) == "string"

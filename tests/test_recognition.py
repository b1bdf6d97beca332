"""From photos to predictions, with a model whose answer is known."""

import base64
import csv
import dataclasses
import importlib
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kerasfer import images, recognition, units
from kerasfer.cli.common import run_app
from kerasfer.detection import DetectionError, detect
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import Box, ImageSpec, Prediction
from kerasfer.priors import PriorError
from kerasfer.recognition import (
    FaceClassifier,
    RecognitionError,
    annotate,
    classify,
    find_photos,
    recognize,
    recognize_each,
    recognize_faces,
)

ASTRONAUT = skimage.data.astronaut()
EMPTY = np.full((120, 160, 3), 90, np.uint8)


class BrightnessModel:
    """Says happiness of bright faces and sadness of dark ones; notes the batches it was asked."""

    def __init__(self, spec=None, damaged=False):
        self.image_spec = spec or ImageSpec(48)
        self.label_space = FERPLUS8
        self.damaged = damaged
        self.batches = []

    def recognizer(self):
        def answer(faces):
            assert faces.dtype == np.float32 and faces.shape[1:] == self.image_spec.shape
            self.batches.append(len(faces))
            probabilities = np.zeros((len(faces), 8), np.float32)
            probabilities[:, 1] = self.image_spec.unscale(faces).mean((1, 2, 3)) / 255
            probabilities[:, 3] = 1 - probabilities[:, 1]
            return probabilities * (np.nan if self.damaged else 1)

        return answer


class UnitModel(BrightnessModel):
    """Also sees AU 12 in bright faces and AU 1 in dark ones, and has learned no other unit."""

    learned_units = (1, 12)

    def unit_detector(self):
        def answer(faces):
            units = np.full((len(faces), 14), 0.5, np.float32)
            units[:, 7] = self.image_spec.unscale(faces).mean((1, 2, 3)) / 255
            units[:, 0] = 1 - units[:, 7]
            return units

        return answer


@pytest.fixture
def folder(tmp_path):
    """A bright face, a dark one in a sub-folder, no face, a broken file; and files that are no photos."""
    (tmp_path / "sub").mkdir()
    images.write(tmp_path / "a.png", ASTRONAUT)
    images.write(tmp_path / "b.png", EMPTY)
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff broken")
    images.write(tmp_path / "sub" / "d.png", ASTRONAUT // 4)
    images.write(tmp_path / ".hidden.png", ASTRONAUT)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_one_photo(folder):
    model = BrightnessModel()
    for photo in (ASTRONAUT, folder / "a.png", str(folder / "a.png")):
        (prediction,) = recognize(photo, model)
        (face,) = detect(ASTRONAUT)
        assert prediction.box == face.box and prediction.pose == face.pose and prediction.score == face.score
        assert prediction.expression == "happiness" and prediction.confidence > 0.5
        assert list(prediction.probabilities) == list(FERPLUS8.labels)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-6)
        np.testing.assert_array_equal(prediction.landmarks.points, face.landmarks.points)
    (prediction,) = recognize(ASTRONAUT // 4, model)
    assert prediction.expression == "sadness"


def test_action_units(folder):
    (bright,) = recognize(ASTRONAUT, UnitModel(), action_units="machines")
    assert list(bright.action_units) == [1, 12]
    assert bright.action_units[12] == pytest.approx(bright.probabilities["happiness"], abs=1e-6)
    assert bright.to_json()["action_units"] == {
        f"AU{unit}": round(value, 6) for unit, value in bright.action_units.items()
    }
    results = recognize([ASTRONAUT, EMPTY, ASTRONAUT // 4], UnitModel(), batch_size=1, action_units="machines")
    found = [face.action_units for result in results for face in result.predictions]
    assert [units[12] > units[1] for units in found] == [True, False]
    (without,) = recognize(ASTRONAUT, UnitModel())
    assert without.action_units is None and "action_units" not in without.to_json()
    with pytest.raises(
        RecognitionError, match="the BrightnessModel model has no machines for action units; take one that has"
    ):
        recognize(ASTRONAUT, BrightnessModel(), action_units="machines")


def test_action_units_by_movements(folder):
    """Of every model; the astronaut smiles with her teeth."""
    (face,) = recognize(ASTRONAUT, BrightnessModel(), action_units=True)
    assert tuple(face.action_units) == tuple(units.UNITS) and face.blendshapes is None
    assert face.action_units[12] > 0.7 and face.action_units[25] > 0.7
    assert max(face.action_units[unit] for unit in (1, 2, 15, 27)) < 0.4
    assert list(face.unit_details) == units.detail_columns(tuple(units.UNITS))
    left, right = (face.unit_details[f"AU12_{side}"] for side in ("left", "right"))
    assert min(left, right) > 0.7 and face.unit_details["AU12_intensity"] > 3
    assert face.to_json()["unit_details"]["AU12_intensity"] == round(face.unit_details["AU12_intensity"], 6)
    (both,) = recognize(ASTRONAUT, BrightnessModel(), action_units="movements", blendshapes=True)
    assert both.action_units == face.action_units and both.blendshapes["mouthSmileLeft"] > 0.7
    (box,) = [face.box for face in recognize(ASTRONAUT, BrightnessModel())]
    crop = ASTRONAUT[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
    cut_out = recognize_faces(crop, BrightnessModel(), action_units=True)
    assert cut_out.action_units[12] > 0.7 and cut_out.blendshapes is None
    with pytest.raises(RecognitionError, match="action_units is True, False, movements or machines, got 'all'"):
        recognize(ASTRONAUT, BrightnessModel(), action_units="all")


class LeftModel(BrightnessModel):
    """Says happiness as much as the left half of a face is brighter than the right."""

    def recognizer(self):
        def answer(faces):
            faces = np.asarray(faces, np.float64)
            half = faces.shape[2] // 2
            happy = 0.5 + faces[:, :, :half].mean((1, 2, 3)) / 4 - faces[:, :, half:].mean((1, 2, 3)) / 4
            others = np.repeat((1 - happy)[:, None] / 7, 8, 1)
            others[:, FERPLUS8.labels.index("happiness")] = happy
            return others

        return answer


def test_flip_is_the_mean_with_the_mirror_image():
    photo, (face,) = ASTRONAUT.copy(), detect(ASTRONAUT)
    photo[:, round(face.box.center[0]) :] //= 3
    model = LeftModel()
    aligned = FaceClassifier(model).aligned(photo, face)
    face_alone, mirrored = model.recognizer()(np.stack([aligned, aligned[:, ::-1]]))[:, 1]
    assert face_alone > mirrored + 0.1
    for flip, expected in ((False, face_alone), (True, (face_alone + mirrored) / 2)):
        (prediction,) = FaceClassifier(model, flip=flip)([face], [aligned])
        assert prediction.probabilities["happiness"] == pytest.approx(expected, abs=1e-6)
    (result,) = recognize([photo], model, flip=True)
    assert [shown.probabilities["happiness"] for shown in result.predictions] == [pytest.approx(0.5, abs=1e-6)]


def test_a_tflite_file_flips_too(app, folder, capsys):
    file = str(Path(recognition.__file__).parents[2] / "saved_models" / "edge" / "model_int8.tflite")
    answers = [recognize(ASTRONAUT, file, flip=flip)[0].probabilities["happiness"] for flip in (False, True)]
    mirrored = recognize(np.ascontiguousarray(ASTRONAUT[:, ::-1]), file)[0].probabilities["happiness"]
    assert abs(answers[1] - (answers[0] + mirrored) / 2) < 0.1
    assert app.main([str(folder / "a.png"), "--model", file, "--flip", "--output", "none"]) == 0
    assert "happiness" in capsys.readouterr().out


def test_a_prior_changes_what_is_told(app, folder, capsys):
    """Of the bright face the model says p of happiness, 1 - p of sadness; training had 4 times as much sadness."""
    model = BrightnessModel()
    model.training_prior = (0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.05, 0.05)
    (plain,) = recognize(ASTRONAUT, model)
    (balanced,) = recognize(ASTRONAUT, model, prior="balanced")
    p = plain.probabilities["happiness"]
    assert balanced.probabilities["happiness"] == pytest.approx(4 * p / (4 * p + 1 - p), abs=1e-6)
    (result,) = recognize_each(ASTRONAUT, FaceClassifier(model, prior=dict.fromkeys(FERPLUS8.labels, 1)))
    assert result.predictions[0].probabilities == pytest.approx(balanced.probabilities)
    shares = dict(zip(FERPLUS8.labels, (0, 0, 0, 1, 0, 0, 0, 0)))
    assert recognize(ASTRONAUT, model, prior=shares)[0].expression == "sadness"
    with pytest.raises(PriorError, match="not 'even'"):
        recognize_each(ASTRONAUT, model, prior="even")
    file = Path(__file__).parents[1] / "saved_models/edge/model_int8.tflite"
    asked = [str(folder / "a.png"), "--model", str(file), "--output", "none"]
    assert app.main(asked) == 0
    before = capsys.readouterr().out
    assert app.main([*asked, "--prior", json.dumps({label: float(label == "fear") for label in FERPLUS8.labels})]) == 0
    assert "fear 100" in capsys.readouterr().out and "fear 100" not in before


def test_no_face_is_an_empty_list():
    assert recognize(EMPTY, BrightnessModel()) == []


@pytest.mark.parametrize("spec", [ImageSpec(64, 3, "signed"), ImageSpec(40, 1, "signed"), ImageSpec(112, 3, "unit")])
def test_faces_come_in_the_models_format(spec):
    (prediction,) = recognize(ASTRONAUT, BrightnessModel(spec))
    assert prediction.probabilities["happiness"] == pytest.approx(0.6, abs=0.15)


def test_one_bad_photo_raises(folder):
    with pytest.raises(images.ImageError, match=r"c\.jpg: "):
        recognize(folder / "c.jpg", BrightnessModel())
    with pytest.raises(images.ImageError, match=r"none\.png: no such file"):
        recognize(folder / "none.png", BrightnessModel())


def test_folder(folder):
    results = recognize(folder, BrightnessModel())
    assert [Path(result.path).name for result in results] == ["a.png", "b.png", "c.jpg", "d.png"]
    assert [len(result.predictions) for result in results] == [1, 0, 0, 1]
    assert [result.error is None for result in results] == [True, True, False, True]
    assert "c.jpg" in results[2].error
    assert [result.predictions[0].expression for result in results[::3]] == ["happiness", "sadness"]


def test_pattern_and_list(folder):
    model = BrightnessModel()
    assert [Path(result.path).name for result in recognize(f"{folder}/*.png", model)] == ["a.png", "b.png"]
    assert len(recognize(f"{folder}/**/*.png", model)) == 3
    results = recognize([folder / "sub", ASTRONAUT, str(folder / "gone.png"), np.zeros((2, 2))], model)
    assert [Path(result.path).name for result in results] == ["d.png", "array 1", "gone.png", "array 3"]
    assert [len(result.predictions) for result in results] == [1, 1, 0, 0]
    assert "no such file" in results[2].error and "uint8" in results[3].error
    assert len(recognize([ASTRONAUT], model)) == 1, "a list of one is a list"


def test_one_photo_in_memory(folder, tmp_path):
    """The content of a file, a Pillow image, a tensor: the same answer, and one photo each."""
    import tensorflow as tf

    path = folder / "a.png"
    content = path.read_bytes()
    expected = recognize(path, BrightnessModel())[0]
    with path.open("rb") as file:
        for photo in (
            content,
            bytearray(content),
            io.BytesIO(content),
            file,
            "data:image/png;base64," + base64.b64encode(content).decode(),
            Image.open(path),
            tf.io.read_file(str(path)),
            tf.constant(ASTRONAUT),
            tf.image.convert_image_dtype(tf.constant(ASTRONAUT), tf.float32),
            ASTRONAUT.astype(np.float32),
            ASTRONAUT.astype(np.int64),
        ):
            (prediction,) = recognize(photo, BrightnessModel())
            assert prediction.box == expected.box, type(photo)
            assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-3)


@pytest.mark.parametrize("white", [1.0, 255.0, np.uint8(255)])
def test_a_batch_gives_a_list_of_lists(white):
    import tensorflow as tf

    batch = np.stack([ASTRONAUT, np.full_like(ASTRONAUT, 5), ASTRONAUT // 4])
    batch = batch if isinstance(white, np.uint8) else (batch / 255.0 * white).astype(np.float32)
    for photos in (batch, tf.constant(batch)):
        answers = recognize(photos, BrightnessModel())
        assert [[face.expression for face in faces] for faces in answers] == [["happiness"], [], ["sadness"]]
    assert recognize(batch[:0], BrightnessModel()) == []
    with pytest.raises(images.ImageError, match=r"uint8 .*, 2\)"):
        recognize(np.zeros((3, 32, 32, 2), np.uint8), BrightnessModel())


def test_what_no_photo_can_be_is_one_clear_error(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = BrightnessModel()
    for photo, message in (
        ("", "the path of the photo is empty"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg: an address, not a path; download the image"),
        (ASTRONAUT.astype(np.float32) / 127.5 - 1, "float32 values go from 0 to 255 or to 1, not from -1 to 1; scale"),
        (ASTRONAUT.astype(np.float32) * 300, "not from 0 to 7.65e.04; scale it"),
        (np.full((2, 8, 8, 3), np.nan, np.float32), "not from nan to nan"),
        (np.transpose(ASTRONAUT, (2, 0, 1)), r"uint8 \(height, width.*got uint8 \(3, 512, 512\)"),
        (b"no photo", "image: not an image of a known format"),
    ):
        with pytest.raises(ValueError, match=message):
            recognize(photo, model)
    results = recognize([ASTRONAUT / -1.0, ASTRONAUT, "https://example.org/a.jpg", b"x"], model)
    assert [len(result.predictions) for result in results] == [0, 1, 0, 0], "one bad photo stops no others"
    assert [result.path for result in results] == ["array 0", "array 1", "https://example.org/a.jpg", "image 3"]


def test_videos_in_a_folder_of_photos_are_told(folder):
    cases = Path(__file__).parent / "cases"
    shutil.copy(cases / "obs.mkv", folder / "z.mkv")
    results = recognize(folder, BrightnessModel())
    assert len(results) == 5
    assert results[-1].error == f"{folder}/z.mkv: a video, not a photo; give it to kerasfer.video.recognize_video"
    with pytest.raises(images.ImageError, match="noface.mp4: a video, not a photo; give it to kerasfer.video"):
        recognize(cases / "noface.mp4", BrightnessModel())


def test_boxes_are_those_of_the_whole_photo(folder, monkeypatch):
    """Of a photo that is decoded smaller than it is."""
    images.write(folder / "large.jpg", images.resize(ASTRONAUT, 1024))
    (whole,) = recognize(folder / "large.jpg", BrightnessModel())
    monkeypatch.setattr(images.decoding, "LARGE", 512 * 512)
    (reduced,) = recognize(folder / "large.jpg", BrightnessModel())
    assert np.abs(np.subtract(dataclasses.astuple(whole.box), dataclasses.astuple(reduced.box))).max() < 12
    assert np.abs(whole.landmarks.points - reduced.landmarks.points).max() < 12


def test_a_photo_whose_name_looks_like_a_pattern(folder):
    images.write(folder / "[1].png", ASTRONAUT)
    (prediction,) = recognize(folder / "[1].png", BrightnessModel())
    assert isinstance(prediction, Prediction)


def test_nothing_to_recognize(tmp_path):
    model = BrightnessModel()
    for photos, message in (
        (tmp_path, "holds no images"),
        (f"{tmp_path}/*.jpg", "no file matches"),
        ([], "empty"),
        (5, "not int"),
    ):
        with pytest.raises(RecognitionError, match=message):
            recognize(photos, model)


def test_wrong_arguments_raise_before_any_photo_is_read():
    with pytest.raises(DetectionError, match="unknown detector"):
        recognize_each([ASTRONAUT], BrightnessModel(), detector="none")
    with pytest.raises(RecognitionError, match="has no image_spec, label_space, recognizer"):
        recognize_each([ASTRONAUT], object())
    with pytest.raises(RecognitionError, match="at least 1"):
        recognize_each([ASTRONAUT], BrightnessModel(), batch_size=0)
    with pytest.raises(RecognitionError, match="damaged"):
        recognize(ASTRONAUT, BrightnessModel(damaged=True))


def test_twenty_faces_and_faces_of_several_photos_share_batches():
    model = BrightnessModel()
    group = np.tile(ASTRONAUT[20:220, 120:340], (4, 5, 1))
    assert len(recognize(group, model, batch_size=8)) == 20
    assert model.batches == [8, 8, 4]
    model = BrightnessModel()
    results = recognize([ASTRONAUT, EMPTY, ASTRONAUT // 4, ASTRONAUT], model, batch_size=3)
    assert model.batches == [3]
    labels = [[face.expression for face in result.predictions] for result in results]
    assert labels == [["happiness"], [], ["sadness"], ["happiness"]]


def test_results_come_while_others_are_still_looked_for():
    results = recognize_each((ASTRONAUT for _ in range(6)), BrightnessModel(), batch_size=2)
    assert next(results).path == "array 0"
    results.close()


def test_classify_takes_found_faces():
    faces = detect(ASTRONAUT)
    (prediction,) = classify(BrightnessModel(), ASTRONAUT, faces)
    assert prediction.box == faces[0].box and prediction.expression == "happiness"
    assert classify(BrightnessModel(), ASTRONAUT, []) == []
    shares = {label: float(label == "sadness") for label in FERPLUS8.labels}
    assert classify(BrightnessModel(), ASTRONAUT, faces, prior=shares)[0].expression == "sadness"


def test_keras_models_are_traced_once():
    keras = pytest.importorskip("keras")

    class KerasModel(BrightnessModel):
        traces = 0

        def recognizer(self):
            outer = self

            class Spy(keras.layers.Layer):
                def call(self, inputs):
                    outer.traces += 1
                    return inputs

            inputs = keras.Input(self.image_spec.shape)
            hidden = keras.layers.GlobalAveragePooling2D()(Spy()(inputs))
            network = keras.Model(inputs, keras.layers.Dense(8, activation="softmax")(hidden))
            outer.traces = 0
            return network

    model = KerasModel()
    keras.utils.set_random_seed(0)
    one = recognition.classifier._Classifier(model, 4)
    faces = [np.full(model.image_spec.shape, index / 10, np.float32) for index in range(11)]
    together = one(faces)
    assert model.traces == 1
    assert together.shape == (11, 8)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(together[5], one(faces[5:6])[0], atol=1e-6)
    assert model.traces == 1


def test_find_photos_keeps_order(folder):
    found = [Path(photo).name for photo in find_photos([folder / "b.png", folder / "sub", folder / "a.png"])]
    assert found == ["b.png", "d.png", "a.png"]


def test_annotate_draws_box_and_bars():
    probabilities = dict.fromkeys(FERPLUS8.labels, 0.0) | {"happiness": 0.9, "neutral": 0.1}
    prediction = Prediction(Box(100, 120, 300, 340), "happiness", probabilities)
    photo = np.full((480, 640, 3), 255, np.uint8)
    drawn = annotate(photo, [prediction])
    assert drawn.dtype == np.uint8 and drawn.shape[0] >= 480 and drawn.shape[1] > 640
    color = drawn[230, 100]
    assert (color != 255).any() and (drawn[230, 300] == color).all() and (drawn[340, 200] == color).all()
    assert (drawn[230, 200] == 255).all(), "the face itself stays visible"
    panel = drawn[:, 640:].astype(int)
    long = (np.abs(panel - color).sum(2) == 0).sum(1).max()
    gray = (np.abs(panel - 190).sum(2) == 0).sum(1).max()
    assert long / gray == pytest.approx(9, rel=0.3), "bars are as long as the probabilities are large"
    assert (photo == 255).all(), "the photo given is left alone"


@pytest.mark.parametrize("shape", [(10, 12), (3000, 40), (2000, 3000)])
@pytest.mark.parametrize("count", [0, 1, 25])
def test_annotate_takes_any_size(shape, count):
    probabilities = dict.fromkeys(LabelSpace.of("basic7").labels, 1 / 7)
    predictions = [Prediction(Box(-5 + n, -5, shape[1] + 9, shape[0] / 2), "fear", probabilities) for n in range(count)]
    drawn = annotate(np.zeros((*shape, 3), np.uint8), predictions)
    assert drawn.ndim == 3 and 480 <= max(drawn.shape) <= 8000


@pytest.fixture
def app(monkeypatch):
    """`kerasfer recognize` as a module, its model replaced."""
    module = importlib.import_module("kerasfer.cli.recognize")
    monkeypatch.setattr(recognition.classifier, "_named_model", lambda name: BrightnessModel())
    return module


def test_app_one_photo(app, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert app.main([str(folder / "a.png"), "--output", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 face" in printed and "happiness" in printed and "contempt 0.0%" in printed and "box (174, 74)" in printed
    assert os.listdir(out) == ["a_expressions.png"]
    assert app.main([str(folder / "b.png"), "--output", str(tmp_path / "marked.jpg")]) == 0
    assert "no face found" in capsys.readouterr().out
    assert images.read(tmp_path / "marked.jpg").shape[0] >= 120


def test_app_tells_action_units(app, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recognition.classifier, "_named_model", lambda name: UnitModel())
    table = tmp_path / "units.csv"
    photos = [str(folder / "a.png"), str(folder / "b.png")]
    assert app.main([*photos, "--action-units", "machines", "--output", "none", "--csv", str(table)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("     AU1 ") == 1 and ", AU12 " in printed
    row, without = csv.DictReader(table.open())
    assert float(row["AU1"]) + float(row["AU12"]) == pytest.approx(1, abs=1e-5) and row["error"] == ""
    assert without["face"] == "0" and without["AU1"] == ""


def test_app_many(app, folder, tmp_path, capsys):
    out, table, found = (str(tmp_path / name) for name in ("out", "faces.csv", "faces.json"))
    code = app.main([str(folder), "--output", out, "--csv", table, "--json", found])
    printed = capsys.readouterr()
    assert code == 1 and "1 of 4 photos could not be read" in printed.err and "c.jpg" in printed.err
    assert sorted(os.listdir(out)) == ["a_expressions.png", "b_expressions.png", "d_expressions.png"]
    rows = list(csv.DictReader(Path(table).read_text().splitlines()))
    assert [row["expression"] for row in rows] == ["happiness", "", "", "sadness"] and "c.jpg" in rows[2]["error"]
    assert [row["face"] for row in rows] == ["1", "0", "", "1"] and rows[1]["error"] == ""
    assert float(rows[0]["happiness"]) + float(rows[0]["sadness"]) == pytest.approx(1, abs=1e-5)
    plain = json.loads(Path(found).read_text())
    assert [len(photo["faces"]) for photo in plain] == [1, 0, 0, 1] and len(plain[0]["faces"][0]["landmarks"]) == 68


def test_app_never_overwrites_a_photo(app, folder):
    before = (folder / "a.png").read_bytes()
    with pytest.raises(images.ImageError, match="would overwrite"):
        app.main([str(folder / "a.png"), "--output", str(folder / "a.png")])
    with pytest.raises(images.ImageError, match="one file cannot hold"):
        app.main([str(folder), "--output", str(folder / "all.png")])
    assert (folder / "a.png").read_bytes() == before
    assert app.main([str(folder / "a.png"), str(folder / "sub"), "--output", str(folder)]) == 0
    assert app.main([str(folder), "--output", str(folder)]) == 1, "its own pictures are not taken for photos"
    assert sorted(file.name for file in folder.glob("*_expressions*")) == [
        "a_expressions.png",
        "b_expressions.png",
        "d_expressions.png",
    ]


def test_app_names_do_not_clash(app, folder, tmp_path):
    images.write(folder / "sub" / "a.png", ASTRONAUT)
    out = tmp_path / "out"
    app.main([str(folder), "--output", str(out)])
    assert sorted(os.listdir(out))[:2] == ["a_expressions.png", "a_expressions_2.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], "gone.png: no such file"),
        (["broken.jpg"], "broken.jpg"),
        (["empty_folder"], "holds no images"),
        (["*.gif"], "no file matches"),
        (["good.png", "--detector", "dlib"], "unknown detector"),
        (["good.png", "--output", "good.png/out"], "cannot be written"),
        (["good.png", "--csv", "no/such/folder.csv"], "cannot be written"),
    ],
)
def test_app_bad_input_is_one_line_and_exit_code_2(app, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images.write("good.png", ASTRONAUT)
    Path("broken.jpg").write_bytes(b"broken")
    Path("empty_folder").mkdir()
    monkeypatch.setattr(sys, "argv", ["recognize.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app(app.main)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not [file for file in tmp_path.rglob("*") if ".tmp" in file.name]


def test_app_help_and_ctrl_c(app, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        app.main(["--help"])
    assert ended.value.code == 0 and "--detector" in capsys.readouterr().out

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_app(interrupted)
    assert ended.value.code == 130

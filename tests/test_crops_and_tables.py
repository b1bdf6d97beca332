"""Faces that are cut out, what their answers rest on, and results as tables."""

from __future__ import annotations

import io
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import kerasfer
from kerasfer.expressions import LabelSpace
from kerasfer.faces import Box, HeadPose, ImageSpec, Prediction
from kerasfer.images import ImageError, prepare
from kerasfer.models.recognizer import Probabilities, Recognizer
from kerasfer.recognition import PhotoResult, RecognitionError
from kerasfer.video import FrameResult, PersonFace

LABELS = ("neutral", "happiness")


@pytest.fixture(scope="module")
def left_is_happy() -> Recognizer:
    """Happy as far as the left half of the face is brighter than the right one, by maps of 8 x 8."""
    image = keras.Input((16, 16, 1), name="image")
    maps = keras.layers.AveragePooling2D(2, name="maps")(image)
    sides = []
    for name, gone in (("left", (0, 4)), ("right", (4, 0))):
        half = keras.layers.Cropping2D((0, gone), name=name)(maps)
        sides.append(keras.layers.ZeroPadding2D((0, gone), name=f"{name}_side")(half))
    both = keras.layers.Concatenate(name="both")(sides)
    features = keras.layers.GlobalAveragePooling2D(name="pooled")(both)
    dense = keras.layers.Dense(2, name="fc")
    end = Probabilities(LABELS, "unit", "pooled", name="probabilities")
    model = Recognizer(image, end(dense(features)))
    dense.kernel.assign([[-3.0, 3.0], [3.0, -3.0]])
    return model


def halves(left: int, right: int, height: int = 16, width: int = 16) -> np.ndarray:
    face = np.full((height, width), right, np.uint8)
    face[:, : width // 2] = left
    return face


# -- recognize_faces ---------------------------------------------------------------------------------------------------


def test_crops_of_every_kind(left_is_happy, tmp_path):
    happy, neutral = halves(250, 5), halves(5, 250)
    Image.fromarray(happy).save(tmp_path / "a.png")
    color = np.repeat(halves(5, 250, 40, 31)[..., np.newaxis], 3, 2)
    content = io.BytesIO()
    Image.fromarray(neutral).save(content, "PNG")
    crops = [
        tmp_path / "a.png", str(tmp_path / "a.png"), happy, happy[..., np.newaxis], color, Image.fromarray(color),
        content.getvalue(), color[:, ::-1] / np.float32(255.0),
    ]  # fmt: skip
    results = kerasfer.recognize_faces(crops, model=left_is_happy, batch_size=3)
    assert [result.error for result in results] == [None] * len(crops)
    found = [prediction.expression for result in results for prediction in result.predictions]
    assert found == ["happiness"] * 4 + ["neutral"] * 3 + ["happiness"]
    assert results[4].predictions[0].box == Box(0, 0, 31, 40) and results[0].path == str(tmp_path / "a.png")
    for crop, result in zip(crops[2:4], results[2:4]):
        one = kerasfer.recognize_faces(crop, model=left_is_happy)
        assert isinstance(one, Prediction)
        assert one.probabilities == pytest.approx(result.predictions[0].probabilities, abs=1e-6)
        face = prepare(np.asarray(crop), left_is_happy.image_spec)
        assert list(one.probabilities.values()) == pytest.approx(np.asarray(left_is_happy(face[None]))[0], abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 20, 30), (5, 20, 30, 1), (5, 20, 30, 3)])
def test_an_array_of_crops(left_is_happy, shape):
    crops = np.stack([halves(9 + 60 * number, 130, 20, 30) for number in range(5)])
    crops = np.broadcast_to(crops.reshape(5, 20, 30, *([1] if len(shape) > 3 else [])), shape)
    results = kerasfer.recognize_faces(np.ascontiguousarray(crops), model=left_is_happy, batch_size=2)
    assert [result.path for result in results] == [f"array {number}" for number in range(5)]
    happy = [result.predictions[0].probabilities["happiness"] for result in results]
    assert happy == sorted(happy) and happy[0] < 0.2 < 0.8 < happy[4]
    assert kerasfer.recognize_faces(crops[:0], model=left_is_happy) == []


def test_one_bad_crop_stops_no_other(left_is_happy, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    good = halves(250, 5)
    crops = [good, None, tmp_path / "bad.jpg", tmp_path / "away.png", np.zeros((0, 4), np.uint8), "", good]
    results = kerasfer.recognize_faces(crops, model=left_is_happy)
    assert [result.error is None for result in results] == [True, False, False, False, False, False, True]
    assert "bad.jpg" in results[2].error and "away.png" in results[3].error
    assert [len(result.predictions) for result in results] == [1, 0, 0, 0, 0, 0, 1]
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        kerasfer.recognize_faces(crops[2:], model=left_is_happy, on_error="raise")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        kerasfer.recognize_faces(tmp_path / "bad.jpg", model=left_is_happy)
    with pytest.raises(RecognitionError, match="'entry' or 'raise'"):
        kerasfer.recognize_faces(good, model=left_is_happy, on_error="ignore")
    with pytest.raises(RecognitionError, match="empty"):
        kerasfer.recognize_faces([], model=left_is_happy)


# -- explain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_the_half_that_speaks_for_the_answer_is_hot(left_is_happy, method):
    face = np.full((40, 32), 5, np.uint8)
    face[:, :8] = 250
    found = kerasfer.explain(left_is_happy, face, method=method)
    assert found.expression == "happiness" and found.method == method and 0.5 < found.probability <= 1
    heat = np.asarray(found)
    assert heat.shape == (40, 32) and heat.dtype == np.float32 and heat.min() >= 0 and heat.max() == 1.0
    assert heat[:, :8].mean() > 2 * heat[:, 12:].mean()
    other = kerasfer.explain(left_is_happy, face[:, ::-1], expression="neutral", method=method)
    assert other.expression == "neutral" and other.probability == pytest.approx(found.probability, abs=1e-5)
    np.testing.assert_allclose(other.heatmap, heat[:, ::-1], atol=0.01)


def test_grad_cam_of_one_map_by_hand():
    """One channel, a gradient of 3 everywhere: the heatmap is the map itself."""
    image = keras.Input((4, 4, 1), name="image")
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(keras.layers.Identity(name="map")(image))
    dense = keras.layers.Dense(2, use_bias=False, name="fc")
    model = Recognizer(image, Probabilities(LABELS, "unit", "pooled", name="probabilities")(dense(pooled)))
    dense.kernel.assign([[-3.0, 3.0]])
    face = np.arange(0, 160, 10, np.uint8).reshape(4, 4)
    np.testing.assert_allclose(kerasfer.explain(model, face, "happiness"), face / 150, atol=1e-5)
    assert not np.asarray(kerasfer.explain(model, face, "neutral")).any()


def test_the_picture(left_is_happy):
    found = kerasfer.explain(left_is_happy, halves(250, 5, 40, 32))
    picture = found.picture(size=80)
    assert picture.size == (80, 100) and picture.mode == "RGB"
    pixels = np.asarray(picture).astype(int)
    assert (pixels[50, 10] != pixels[50, 10, 0]).any() and np.ptp(pixels[50, 75]) < 30
    with Image.open(io.BytesIO(found._repr_png_())) as shown:
        assert shown.format == "PNG" and shown.size == (240, 300)


def test_explanations_that_cannot_be(left_is_happy):
    class Answers:
        image_spec = ImageSpec(16)
        label_space = LabelSpace.of(LABELS)

        def recognizer(self):
            return lambda faces: np.stack([1 - faces[:, 0, 0, 0], faces[:, 0, 0, 0]], 1)

    face = halves(200, 100)
    found = kerasfer.explain(Answers(), face)
    assert found.method == "occlusion" and found.heatmap[0, 0] == 1.0 and not found.heatmap[8:].any()
    for arguments, message in (
        ((Answers(), face, None, "grad-cam"), "Grad-CAM needs a Keras model"),
        ((left_is_happy, face, "rage"), "the model knows no 'rage'; it knows neutral, happiness"),
        ((left_is_happy, face, None, "guess"), "method is one of grad-cam, occlusion"),
        ((left_is_happy,), "takes a model and a face"),
    ):
        with pytest.raises(RecognitionError, match=message):
            kerasfer.explain(*arguments)


# -- valence, arousal, tables ------------------------------------------------------------------------------------------


def prediction(happy: float, **fields) -> Prediction:
    expression = LABELS[happy > 0.5]
    return Prediction(Box(1, 2, 11, 22), expression, dict(zip(LABELS, (1 - happy, happy))), **fields)


def test_valence_and_arousal_are_there_where_they_are_known():
    assert not {"valence", "arousal"} & set(prediction(0.75).to_json())
    known = prediction(0.75, valence=0.5, arousal=-0.25)
    assert known.to_json()["valence"] == 0.5 and known.to_json()["arousal"] == -0.25
    with pytest.raises(ValueError, match=r"valence lies in \[-1, 1\]"):
        prediction(0.75, valence=1.5)


def test_photos_as_a_table():
    results = [
        PhotoResult(
            "a.jpg", [prediction(0.75, pose=HeadPose(1.0, 2.0, 3.0), action_units={12: 0.5}), prediction(0.25)]
        ),
        PhotoResult("none.jpg", []),
        PhotoResult("bad.jpg", [], "bad.jpg: no image"),
    ]
    table = kerasfer.to_dataframe(results)
    assert list(table.columns) == [
        "path", "face", "left", "top", "right", "bottom", "score", "expression", "confidence", "neutral", "happiness",
        "yaw", "pitch", "roll", "valence", "arousal", "AU12", "error",
    ]  # fmt: skip
    assert list(table["path"]) == ["a.jpg", "a.jpg", "none.jpg", "bad.jpg"]
    assert list(table["face"].fillna(-1)) == [0, 1, -1, -1]
    assert list(table["happiness"].fillna(-1)) == [0.75, 0.25, -1, -1]
    assert list(table["confidence"].fillna(-1)) == [0.75, 0.75, -1, -1]
    assert list(table["expression"].fillna("")) == ["happiness", "neutral", "", ""]
    assert list(table["right"].fillna(-1)) == [11, 11, -1, -1] and list(table["AU12"].fillna(-1)) == [0.5, -1, -1, -1]
    assert list(table["error"].fillna("")) == ["", "", "", "bad.jpg: no image"]
    assert table["yaw"].notna().sum() == 1 and not table["valence"].notna().any()


def test_videos_single_faces_and_batches_as_tables():
    frames = [FrameResult(3, 0.5, [PersonFace(7, prediction(0.75), True)]), FrameResult(4, 0.75, [])]
    table = kerasfer.to_dataframe(iter(frames))
    assert list(table.columns[:4]) == ["frame", "time", "person", "face"] and "error" not in table
    assert list(table["frame"]) == [3, 4] and list(table["person"].fillna(-1)) == [7, -1]
    assert len(kerasfer.to_dataframe(prediction(0.75))) == 1
    assert list(kerasfer.to_dataframe([[prediction(0.75)], [], [prediction(0.25)] * 2])["face"]) == [0, 0, 1]
    assert len(kerasfer.to_dataframe([])) == 0 and "confidence" in kerasfer.to_dataframe([])
    odd = Prediction(Box(0, 0, 1, 1), "left", {"left": 0.75, "error": 0.25})
    assert kerasfer.to_dataframe(odd)["probability_left"][0] == 0.75 and kerasfer.to_dataframe(odd)["left"][0] == 0
    with pytest.raises(TypeError, match="not int"):
        kerasfer.to_dataframe([1])


def test_polars_and_pyarrow_read_the_table():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    table = kerasfer.to_dataframe([PhotoResult("a.jpg", [prediction(0.75)]), PhotoResult("b.jpg", [], "bad")])
    arrow = pyarrow.table(table)
    assert arrow.column("happiness").to_pylist()[0] == 0.75 and arrow.column("error").to_pylist()[1] == "bad"
    assert arrow.column("face").to_pylist() == [0, None]
    for frame in (polars.from_pandas(table), polars.DataFrame(arrow), polars.from_dataframe(table)):
        assert frame["path"].to_list() == ["a.jpg", "b.jpg"] and frame["expression"].to_list()[0] == "happiness"
        assert frame["confidence"][0] == 0.75 and frame["face"].to_list() == [0, None]


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'kerasfer\[pandas\]'"):
        kerasfer.to_dataframe([])

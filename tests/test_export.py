"""Exported files answer as the model does, say what they are, and appear complete or not at all."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file
from toy_model import Toy, ToyConfig

import kerasfer
from kerasfer import datasets, images, lite, zoo
from kerasfer.export import (
    FILES,
    FORMATS,
    GENERATOR_FILES,
    ExportError,
    GeneratorParity,
    Parity,
    Report,
    export,
    export_generator,
)
from kerasfer.faces import ImageSpec
from kerasfer.interpreter import open_interpreter
from kerasfer.models import MODELS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

OTHERS = ("tdgan", "fesr", "g2fer", "ipdfer", "dcganfer")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def toy_in_zoo():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", ("toy_model", "Toy"))
        yield


@pytest.fixture(scope="module")
def model():
    """Two classes that bright and dark faces divide, in color and in the range [-1, 1], made for bfloat16."""
    model = Toy(
        ToyConfig(
            channels=3, pixel_range="signed", expressions=("neutral", "happiness"), precision="mixed_bfloat16", units=2
        )
    )
    network = model.recognizer()
    for variable, value in zip(network.weights, (1 / 27, 0, 0, 0)):
        variable.assign(np.full(variable.shape, value))
    network.weights[2].assign(np.tile([[0.0, 0.1]], (72, 1)))
    network.weights[3].assign([0.0, -0.5])
    return model


def some_faces(count=30, seed=0):
    """Faces of 16 x 16, from dark to bright."""
    noise = np.random.default_rng(seed).integers(-20, 21, (count, 16, 16, 3))
    return np.clip(np.linspace(20, 235, count).reshape(-1, 1, 1, 1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return folder, export(model, folder, calibration=some_faces(), parity=some_faces(seed=1))


def expected(model, faces):
    """What the model answers in float32, worked out by hand: two equal means of 3 x 3 x 3 boxes, a ReLU, a sum."""
    values = np.stack([images.prepare(face, model.image_spec) for face in faces]).mean(-1)
    boxes = np.lib.stride_tricks.sliding_window_view(values, (3, 3), (1, 2)).mean((3, 4))
    logit = 0.2 * np.maximum(boxes, 0).sum((1, 2)) - 0.5
    return np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], 1)


def test_every_format_is_written_and_keeps_its_target(exported):
    folder, report = exported
    assert sorted(path.name for path in folder.iterdir()) == sorted([*(FILES[name] for name in FORMATS), "parity.json"])
    assert set(report.files) == set(FORMATS)
    assert all(path.exists() for path in report.files.values())
    assert [entry.format for entry in report.parity] == [
        "saved_model",
        "saved_model, encoded images",
        "float32",
        "float16",
        "dynamic",
        "int8",
    ]
    assert report.good
    assert all(entry.faces == 30 and entry.bytes > 0 for entry in report.parity)
    assert json.loads((folder / "parity.json").read_text()) == report.to_json()
    assert report.table().count("kept") == 6


def test_a_model_made_for_bfloat16_is_exported_in_float32(model, exported):
    faces = [images.prepare_uint8(face, model.image_spec) for face in some_faces(10, seed=2)]
    answers = lite.Recognizer(exported[0] / "model.tflite").recognize(faces)
    assert 0.2 < answers[:, 1].min() < 0.45 and answers[:, 1].max() > 0.9
    np.testing.assert_allclose(answers, expected(model, faces), atol=1e-5)
    assert model.recognizer().get_layer("conv").compute_dtype == "bfloat16"


def test_signatures_of_the_saved_model(model, exported):
    signatures = tf.saved_model.load(str(exported[0] / "saved_model")).signatures
    assert set(signatures) == {"aligned_faces", "encoded_images", "serving_default"}
    faces = some_faces(4, seed=3)
    tensors = np.stack([images.prepare(face, model.image_spec) for face in faces])
    for name in ("aligned_faces", "serving_default"):
        answers = signatures[name](faces=tf.constant(tensors))["probabilities"]
        np.testing.assert_allclose(answers, expected(model, faces), atol=1e-5)
    contents = [images.encode(face) for face in faces]
    answers = signatures["encoded_images"](images=tf.constant(contents))["probabilities"]
    np.testing.assert_allclose(answers, expected(model, faces), atol=2e-3)
    description = json.loads((exported[0] / "saved_model" / "assets.extra" / "kerasfer.json").read_text())
    assert description["labels"] == ["neutral", "happiness"]
    assert description["image"] == {"size": 8, "channels": 3, "pixel_range": "signed", "range": [-1.0, 1.0]}


@pytest.mark.parametrize("shape", [(8, 8, 3), (30, 20, 3), (5, 11), (8, 7, 3), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoded_images_are_prepared_as_for_training(shape, channels):
    from kerasfer.export.saved_model import _decoded

    face = np.random.default_rng(4).integers(0, 256, shape, np.uint8)
    spec = ImageSpec(8, channels)
    difference = _decoded(tf.constant(images.encode(face)), spec).numpy() - images.prepare_uint8(face, spec)
    assert np.abs(difference).max() <= 1


def test_int8_computes_in_integers_on_bytes(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exported[0] / "model_int8.tflite"))
    interpreter.allocate_tensors()
    kinds = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert kinds <= {"uint8", "int8", "int32", "int64"}
    face, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert face["dtype"] == answer["dtype"] == np.uint8
    assert face["quantization"][0] == pytest.approx(2 / 255, rel=1e-4)
    assert face["quantization"][1] in (127, 128)
    assert answer["quantization"] == (1 / 256, 0)


def test_bytes_go_into_a_unit_range_model_as_they_are(tmp_path):
    faces = np.full((3, 8, 8), 90, np.uint8) + np.arange(64, dtype=np.uint8).reshape(8, 8)
    export(Toy(ToyConfig()), tmp_path, ["int8"], calibration=faces, parity=faces)
    recognizer = lite.Recognizer(tmp_path / "model_int8.tflite")
    scale, zero = recognizer._input["quantization"]
    assert scale == pytest.approx(1 / 255, rel=1e-6) and zero == 0


def test_a_figure_that_misses_its_target_is_shown():
    report = Report(
        {}, (Parity("int8", 500, 0.4, 0.05, 0.969, 10), Parity("float32", 500, 1e-5, 1e-6, 1, 20)), "x", "y"
    )
    assert [entry.good for entry in report.parity] == [False, True]
    assert not report.good
    assert "same label on 97.0%: MISSED" in report.table()
    assert not Parity("float32", 500, 2e-4, 1e-6, 1.0, 20).good
    assert Parity("float16", 500, 2e-4, 1e-6, 0.995, 20).good


@pytest.mark.parametrize(
    ("name", "difference", "same"),
    [
        ("saved_model", 1e-4, 1.0),
        ("saved_model, encoded images", 1e-4, 1.0),
        ("float32", 1e-4, 1.0),
        ("float16", 1.0, 0.995),
        ("dynamic", 1.0, 0.98),
        ("int8", 1.0, 0.97),
        ("onnx", 1e-4, 1.0),
    ],
)
def test_figures_at_their_targets_are_good_and_beyond_not(name, difference, same):
    assert Parity(name, 500, difference, 1e-6, same, 10).good
    assert not Parity(name, 500, difference * 1.01, 1e-6, same, 10).good
    assert not Parity(name, 500, difference, 1e-6, same - 0.001, 10).good


@pytest.mark.parametrize(
    ("name", "psnr"),
    [("saved_model", 60), ("float32", 60), ("float16", 40), ("dynamic", 40), ("int8", 30), ("onnx", 60)],
)
def test_generated_images_at_their_targets(name, psnr):
    fields = {field.name: 1 for field in dataclasses.fields(GeneratorParity)} | {"format": name}
    assert GeneratorParity(**fields | {"psnr": float(psnr)}).good
    assert not GeneratorParity(**fields | {"psnr": psnr - 0.1}).good


def test_how_answers_are_compared():
    """By hand: differences 0.1, 0.1, 0.3 and 0.3, one label of two the same."""
    from kerasfer.export.parity import compared

    expected = np.array([[0.4, 0.6], [0.7, 0.3]])
    parity = compared("int8", np.array([[0.3, 0.7], [0.4, 0.6]], np.float32), expected, 10)
    assert (parity.format, parity.faces, parity.same_label, parity.bytes) == ("int8", 2, 0.5, 10)
    assert parity.max_difference == pytest.approx(0.3) and parity.mean_difference == pytest.approx(0.2)


def test_faces_come_from_a_table_or_from_the_synthetic_set(tmp_path):
    model = Toy(ToyConfig())
    table = datasets.load("synthetic", count=12, size=32)
    report = export(model, tmp_path / "table", ["float32"], parity=table)
    assert report.compared_on.startswith("12 faces of synthetic")
    assert report.calibration == ""
    report = kerasfer.export(model, tmp_path / "synthetic", ["float32"])
    assert report.compared_on.startswith("500 faces of synthetic")
    assert isinstance(report, Report)


def test_many_faces_are_thinned_evenly():
    from kerasfer.export.exporter import _faces

    faces = np.tile(np.arange(250, dtype=np.uint8).reshape(-1, 1, 1), (1, 4, 4))
    name, chosen = _faces(faces, ImageSpec(4), 3, seed=0)
    assert name == "3 faces"
    np.testing.assert_array_equal(chosen[:, 0, 0, 0], [0, 124, 249])


def test_what_cannot_be_exported(tmp_path):
    model = Toy(ToyConfig())
    with pytest.raises(ExportError, match="formats are saved_model, float32, float16, dynamic, int8, onnx; got coreml"):
        export(model, tmp_path / "out", ["float32", "coreml"])
    with pytest.raises(ExportError, match="got none"):
        export(model, tmp_path / "out", [])
    with pytest.raises(ExportError, match="no faces"):
        export(model, tmp_path / "out", ["float32"], parity=np.zeros((0, 8, 8), np.uint8))
    with pytest.raises(ExportError, match="faces are uint8"):
        export(model, tmp_path / "out", ["float32"], parity=np.zeros((2, 8, 8), np.float32))
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file: is a file; name a folder"):
        export(model, tmp_path / "file", ["float32"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_export_leaves_the_files_before(tmp_path, monkeypatch):
    model = Toy(ToyConfig())
    (tmp_path / "model.tflite").write_bytes(b"before")
    (tmp_path / "notes.txt").write_text("mine")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerasfer.export.exporter.compared", fail)
    with pytest.raises(ExportError, match="cannot be written .No space left on device."):
        export(model, tmp_path, ["float32"], parity=np.zeros((1, 8, 8), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tflite", "notes.txt"]
    assert (tmp_path / "model.tflite").read_bytes() == b"before"
    with pytest.raises(ExportError):
        export(model, tmp_path / "new", ["float32"], parity=np.zeros((1, 8, 8), np.uint8))
    assert not (tmp_path / "new").exists()


def test_an_export_may_lie_in_a_saved_models_folder(tmp_path):
    model = Toy(ToyConfig())
    folder = zoo.save(model, tmp_path / "toy")
    export(model, folder, ["saved_model", "float32"], parity=np.zeros((2, 8, 8), np.uint8))
    export(model, folder, ["saved_model"], parity=np.zeros((2, 8, 8), np.uint8))
    assert zoo.load(folder).config == model.config
    assert load_file(folder / "recognizer.safetensors")
    zoo.save(model, folder)
    assert not (folder / "model.tflite").exists()


@pytest.mark.slow
def test_tdgan_keeps_its_targets_in_every_format(tmp_path):
    model = zoo.create("tdgan", "tiny", precision="mixed_bfloat16", seed=2)
    table = datasets.load("synthetic", count=100, size=32)
    report = export(model, tmp_path, calibration=table, parity=table)
    assert {entry.format: entry.good for entry in report.parity if entry.format != "int8"} == {
        "saved_model": True,
        "saved_model, encoded images": True,
        "float32": True,
        "float16": True,
        "dynamic": True,
    }
    assert next(entry for entry in report.parity if entry.format == "int8").mean_difference < 0.01


@pytest.fixture(scope="module")
def painter():
    return zoo.create("fesr", "tiny", precision="mixed_bfloat16", variant="fg_co")


@pytest.fixture(scope="module")
def painted(painter, tmp_path_factory):
    """A generator in every format, and its report."""
    folder = tmp_path_factory.mktemp("painted")
    faces = datasets.load("synthetic", count=12, size=32)
    return folder, export_generator(painter, folder, calibration=faces, parity=faces)


def test_a_generator_is_written_in_every_format(painted):
    folder, report = painted
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(GENERATOR_FILES[name] for name in FORMATS), "generator_parity.json"]
    )
    assert json.loads((folder / "generator_parity.json").read_text()) == report.to_json()
    good = {entry.format: entry.good for entry in report.parity}
    assert good["saved_model"] and good["float32"] and good["float16"] and set(good) == set(FORMATS)
    assert all(entry.faces == 12 and entry.bytes > 0 for entry in report.parity)
    assert report.table().count("kept") + report.table().count("MISSED") == 5


def test_a_generator_has_named_inputs_everywhere(painter, painted):
    folder, _ = painted
    exact = zoo.create("fesr", "tiny", variant="fg_co")
    exact.start_from(painter)
    spec = painter.image_spec
    faces = np.random.default_rng(0).uniform(-1, 1, (3, *spec.shape)).astype(np.float32)
    code = painter.expression_codes(["fear", "anger", "neutral"], 0.5)
    expected = exact.synthesize(faces, ["fear", "anger", "neutral"], 0.5)
    signature = tf.saved_model.load(str(folder / "generator_saved_model")).signatures["generate"]
    images_ = signature(face=tf.constant(faces), expression_code=tf.constant(code))["image"]
    np.testing.assert_allclose(images_, expected, atol=1e-4)
    generator = lite.Generator(folder / "generator.tflite")
    assert generator.inputs == {"face": (32, 32, 1), "expression_code": (8,)}
    assert generator.labels == painter.label_space.labels and generator.image_spec == spec
    np.testing.assert_allclose(generator.generate(face=faces, expression_code=code), expected, atol=1e-4)
    assert generator.generate(face=faces[:0], expression_code=code[:0]).shape == (0, 32, 32, 1)
    with pytest.raises(lite.LiteError, match="the inputs are face, expression_code; got face"):
        generator.generate(face=faces)
    with pytest.raises(lite.LiteError, match=r"expression_code has shape \(n, 8\), got \(3, 7\)"):
        generator.generate(face=faces, expression_code=code[:, :7])
    with pytest.raises(lite.LiteError, match="one number of rows, got 2, 3"):
        generator.generate(face=faces[:2], expression_code=code)
    with pytest.raises(lite.LiteError, match="is a generator, not a recognizer"):
        lite.Recognizer(folder / "generator.tflite")


def test_a_model_without_a_generator(tmp_path):
    with pytest.raises(ExportError, match="toy: this variant has no generator"):
        export_generator(Toy(ToyConfig()), tmp_path)


@pytest.mark.slow
def test_two_averaged_networks_become_integers(tmp_path):
    """The converter may fold the mean's factor into a layer whose bias then stays a float, which does not run."""
    settings = {"variant": "baseline", "expression_networks": ("identity", "fine"), "fine_width": 8, "temperature": 0.7}
    model = zoo.create("ipdfer", "small", **settings, encoder_size=71, precision="float32")
    for network, layer in (("fine_encoder", "fine_encoder_vector"), ("expression_classifier", "fc")):
        bias = model.networks[network].get_layer(layer).bias
        bias.assign(np.linspace(-1, 1, bias.shape[0]))
    faces = datasets.load("synthetic", count=24, size=48)
    report = export(model, tmp_path, ("int8",), calibration=faces, parity=faces)
    assert report.parity[0].max_difference < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tdgan", "ipdfer"])
def test_other_generators(name, tmp_path):
    model = zoo.create(name, "tiny")
    faces = datasets.load("synthetic", count=6, size=32)
    report = export_generator(model, tmp_path, ("saved_model", "float32"), parity=faces)
    assert report.good
    inputs = model.generator_inputs(np.zeros((2, *model.image_spec.shape), np.float32))
    drawn = lite.Generator(report.files["float32"]).generate(**inputs)
    arguments = [inputs["face"], inputs["expression"], *([inputs["noise"]] if "noise" in inputs else [])]
    np.testing.assert_allclose(drawn, model.synthesize(*arguments), atol=1e-4)


@pytest.mark.parametrize("storage", ["float32", "float16", "dynamic", "int8"])
def test_a_batch_goes_through_a_tflite_file_at_once(model, exported, storage):
    """An interpreter whose input is resized; the file says that this is possible."""
    path = exported[0] / FILES[storage]
    assert lite.Recognizer(path).metadata["batch"] == "any"
    resting = open_interpreter(path.read_bytes()).get_input_details()[0]
    assert list(resting["shape_signature"]) == [1, *model.image_spec.shape], "LiteRT's CompiledModel takes no other"
    faces = np.stack([images.prepare_uint8(face, model.image_spec) for face in some_faces(5, seed=3)])
    interpreter = open_interpreter(path.read_bytes(), shape=(5, *model.image_spec.shape))
    entrance, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(entrance["index"], faces if storage == "int8" else model.image_spec.scale(faces))
    interpreter.invoke()
    answers = interpreter.get_tensor(answer["index"]) / (256 if storage == "int8" else 1)
    np.testing.assert_allclose(answers, lite.Recognizer(path).recognize(faces), atol=0.01)
    np.testing.assert_allclose(answers, expected(model, faces), atol=0.05)


def test_a_file_that_cannot_take_several_faces_says_so(tmp_path):
    """Here one row is added up with the others: resizing would give another answer without a message."""
    from kerasfer.export.tflite import converted, with_any_batch, write_one_face

    spec = ImageSpec(4)
    face = keras.Input(spec.shape)
    mixed = keras.layers.Lambda(lambda x: tf.reshape(x, (1, 16)) + tf.reduce_sum(x), output_shape=(16,))(face)
    write_one_face(keras.Model(face, mixed), spec, tmp_path / "model")
    content = converted(tmp_path / "model", "float32", None, spec)
    assert with_any_batch(content, spec) == (content, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tdgan", "fesr", "g2fer", "ipdfer", "dcganfer", "edge"])
def test_every_models_tflite_file_takes_batches(name, tmp_path):
    faces = datasets.load("synthetic", count=8, size=64)
    model = zoo.load(name, recognizer_only=True)
    report = export(model, tmp_path, ["float32", "int8"], calibration=faces, parity=faces)
    for path in report.files.values():
        assert lite.Recognizer(path).metadata["batch"] == "any", path
        open_interpreter(path.read_bytes(), shape=(3, *model.image_spec.shape)).invoke()


def onnx_session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("opset", [13, 18])
def test_onnx_answers_as_the_model_and_says_what_it_is(model, tmp_path, opset):
    report = export(model, tmp_path, ["onnx"], parity=some_faces(seed=1), opset=opset)
    assert report.good and [entry.format for entry in report.parity] == ["onnx"]
    assert json.loads((tmp_path / "parity.json").read_text()) == report.to_json()
    content = onnx.load(tmp_path / "model.onnx")
    assert {entry.domain: entry.version for entry in content.opset_import}[""] == opset
    session = onnx_session(tmp_path / "model.onnx")
    [faces], [answer] = session.get_inputs(), session.get_outputs()
    assert (faces.name, faces.shape, faces.type) == ("faces", ["n", 8, 8, 3], "tensor(float)")
    assert (answer.name, answer.shape) == ("probabilities", ["n", 2])
    description = json.loads(session.get_modelmeta().custom_metadata_map["kerasfer"])
    assert description["labels"] == ["neutral", "happiness"] and description["storage"] == "onnx"
    assert description["image"]["range"] == [-1.0, 1.0]
    for count in (1, 7):
        pixels = [images.prepare_uint8(face, model.image_spec) for face in some_faces(count, seed=2)]
        values = model.image_spec.scale(np.stack(pixels))
        np.testing.assert_allclose(session.run(None, {"faces": values})[0], expected(model, pixels), atol=1e-5)


def test_a_generator_as_onnx(painter, tmp_path):
    faces = datasets.load("synthetic", count=6, size=32)
    report = export_generator(painter, tmp_path, ["onnx"], parity=faces)
    assert report.good and report.files["onnx"].name == "generator.onnx"
    session = onnx_session(report.files["onnx"])
    assert {entry.name: entry.shape for entry in session.get_inputs()} == {
        "face": ["n", 32, 32, 1],
        "expression_code": ["n", 8],
    }


def test_what_onnx_cannot_be(tmp_path, monkeypatch):
    model, faces = Toy(ToyConfig()), some_faces(2)
    for opset, age in ((12, "old"), (0, "old"), (99, "new")):
        with pytest.raises(ExportError, match=f"opset {opset} is too {age} to be written; take 13 to 18"):
            export(model, tmp_path / "out", ["float32", "onnx"], parity=faces, opset=opset)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ExportError, match=r"tf2onnx is missing, which ONNX takes; pip install 'kerasfer\[onnx\]'"):
        export(model, tmp_path / "out", ["onnx"], parity=faces)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["edge", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_recognizers_as_onnx(name, tmp_path):
    [entry] = export(zoo.load(name, recognizer_only=True), tmp_path, ["onnx"], parity=some_faces(20)).parity
    assert entry.max_difference < 1e-4 and entry.same_label == 1


def app(*arguments, cwd):
    command = [sys.executable, str(ROOT / "apps" / "export.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_app_exports_and_says_what_is_wrong(tmp_path):
    folder = zoo.save(zoo.create("tdgan", "tiny"), tmp_path / "mine", groups=["recognizer"])
    result = app("--model", str(folder), "--formats", "float32", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "compared on 500 faces of synthetic" in result.stdout
    assert (tmp_path / "exported" / "mine" / "model.tflite").is_file()
    for arguments, message in (
        (("--model", "nobody"), "nobody: neither a trained model nor a folder"),
        (("--model", str(folder), "--data", "nowhere"), "nowhere: no such folder"),
        (("--formats", "coreml"), "invalid choice: 'coreml'"),
        (("--formats", "onnx", "--opset", "9"), "opset 9 is too old to be written; take 13 to 18"),
    ):
        result = app(*arguments, "--output", "new", cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
        assert not (tmp_path / "new").exists()

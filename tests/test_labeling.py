"""Labels go to people and come back: the same faces by every format, and one clear error for what is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasfer import datasets, images, labeling
from kerasfer.cli import labels as command
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import FERPLUS8
from kerasfer.labeling import LabeledFace, LabelingError

FACES = [
    LabeledFace("a.jpg", (10.0, 20.0, 50.0, 70.0), "happiness", 0.9),
    LabeledFace("a.jpg", (60.0, 5.0, 95.0, 45.0), "anger", 0.4),
    LabeledFace("trip/b & c.png", (0.0, 0.0, 64.0, 48.0), "neutral", 0.7),
    LabeledFace("trip/a.jpg", (3.0, 4.0, 33.0, 44.0), "sadness", None),
    LabeledFace("turned.jpg", (5.0, 50.0, 35.0, 90.0), "fear", 0.3),
]


@pytest.fixture
def photos(tmp_path) -> Path:
    """Photos, one of them stored on its side: upright it is 40 x 100."""
    root = tmp_path / "photos"
    generator = np.random.default_rng(0)
    for name, (width, height) in {"a.jpg": (100, 80), "trip/b & c.png": (64, 48), "trip/a.jpg": (40, 50)}.items():
        images.write(root / name, generator.integers(0, 256, (height, width, 3)).astype(np.uint8))
    turned = Image.fromarray(generator.integers(0, 256, (40, 100, 3)).astype(np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / "turned.jpg", exif=exif)
    return root


def annotated(tasks: list[dict]) -> list[dict]:
    """Tasks as Label Studio exports them after people submitted the predictions as they were."""
    return [
        {
            "id": number,
            **task,
            "annotations": [{"id": number, "was_cancelled": False, "result": task["predictions"][0]["result"]}],
        }
        for number, task in enumerate(tasks, start=1)
    ]


def exported(kind: str, folder: Path) -> Path:
    """What comes back if nobody changes anything."""
    if kind == "csv":
        return folder / "labels.csv"
    if kind == "fiftyone":
        return folder
    path = folder / "export.json"
    path.write_text(json.dumps(annotated(json.loads((folder / "tasks.json").read_text()))))
    return path


@pytest.mark.parametrize("kind", labeling.FORMATS)
def test_what_goes_out_comes_back_as_a_table(photos, tmp_path, kind):
    labeling.export(kind, FACES, photos, tmp_path / "out")
    said: list[str] = []
    table = labeling.load(kind, exported(kind, tmp_path / "out"), photos, say=said.append)
    rows = {(path, name) for path, name in zip(table["path"].tolist(), table.class_names().tolist())}
    assert rows == {(face.path, face.expression) for face in FACES}
    for face in FACES:
        row = [row for row in range(len(table)) if table["path"][row] == face.path][0 if face != FACES[1] else 1]
        np.testing.assert_allclose(table["box"][row], face.box, atol=0.02)
    assert said == ["0 of 5 faces are labeled otherwise than they were recognized"]
    again = datasets.load("csv", photos / "labels.csv")
    assert again["path"].tolist() == table["path"].tolist()


def test_the_csv_of_another_folder_names_photos_from_there(photos, tmp_path):
    labeling.export("csv", FACES, photos, tmp_path / "out")
    table = labeling.load("csv", tmp_path / "out/labels.csv", photos, tmp_path / "mine.csv")
    assert table["path"][0] == "photos/a.jpg" and len(table) == 5
    with pytest.raises(LabelingError, match="put it into .*photos, or above"):
        labeling.load("csv", tmp_path / "out/labels.csv", photos, tmp_path / "out/mine.csv")


def test_corrections_are_counted(photos, tmp_path):
    labeling.export("csv", FACES, photos, tmp_path)
    path = tmp_path / "labels.csv"
    lines = list(csv.DictReader(path.open()))
    lines[1]["expression"] = "Surprised"
    lines[2]["expression"] = ""
    with path.open("w") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    said: list[str] = []
    table = labeling.load("csv", path, photos, say=said.append)
    assert sorted(table.class_names().tolist()) == ["fear", "happiness", "sadness", "surprise"]
    assert said == [
        "1 lines without an expression are left out",
        "1 of 4 faces are labeled otherwise than they were recognized",
    ]


def test_label_studio_gets_percents_the_least_sure_score_and_an_interface(photos, tmp_path):
    labeling.export(
        "label-studio",
        FACES,
        photos,
        tmp_path,
        expressions=("happiness", "anger", "neutral", "sadness", "fear", 'a"<b'),
    )
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["path"] for task in tasks] == ["a.jpg", "trip/b & c.png", "trip/a.jpg", "turned.jpg"]
    assert tasks[1]["data"]["image"] == "/data/local-files/?d=trip/b%20%26%20c.png"
    first = tasks[0]["predictions"][0]
    assert first["score"] == 0.4 and [entry["score"] for entry in first["result"]] == [0.9, 0.4]
    value = first["result"][0]["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == [10.0, 25.0, 40.0, 62.5]
    turned = tasks[3]["predictions"][0]["result"][0]
    assert (turned["original_width"], turned["original_height"]) == (40, 100)
    assert "<Label value='a\"&lt;b'/>" in (tmp_path / "labels.xml").read_text()


def test_fiftyone_gets_relative_boxes_and_tells_endings_apart(photos, tmp_path):
    images.write(photos / "a.png", np.zeros((80, 100), np.uint8))
    labeling.export("fiftyone", [*FACES, LabeledFace("a.png", None, "anger")], photos, tmp_path)
    told = json.loads((tmp_path / "labels.json").read_text())
    assert told["labels"]["a_jpg"][0]["bounding_box"] == pytest.approx([0.1, 0.25, 0.4, 0.625])
    assert told["labels"]["a_png"][0]["bounding_box"] == [0.0, 0.0, 1.0, 1.0]
    data = json.loads((tmp_path / "data.json").read_text())
    assert data["a_png"] == str(photos / "a.png") and data["trip/b & c_png"] == str(photos / "trip/b & c.png")


def test_fiftyone_may_number_the_classes(photos, tmp_path):
    labels = {"a": [{"label": 1, "bounding_box": [0.1, 0.1, 0.5, 0.5]}]}
    (tmp_path / "labels.json").write_text(json.dumps({"classes": ["calm", "wild"], "labels": labels}))
    table = labeling.load("fiftyone", tmp_path / "labels.json", photos / "trip")
    assert table.class_names().tolist() == ["wild"] and table["path"].tolist() == ["a.jpg"]


def test_a_table_goes_out_too():
    columns = {"path": ["0", "1"], "expression": [1, -1], "box": [[1, 2, 3, 4], [np.nan] * 4]}
    table = FaceTable("mine", ArraySource(np.zeros((2, 4, 4), np.uint8)), columns, FERPLUS8)
    assert labeling.of_table(table) == [LabeledFace("0", (1, 2, 3, 4), "happiness"), LabeledFace("1", None, "")]


# -- from what was recognized ------------------------------------------------------------------------------------------

RESULTS = """path,face,left,top,right,bottom,score,expression,happiness,class time,error
a.jpg,0,10,20,50,70,0.99,happiness,0.9,0.1,
{root}/a.jpg,1,60,5,95,45,0.9,time,0.2,0.8,
trip/a.jpg,,,,,,,,,,
trip/none.jpg,,,,,,,,,,cannot be read
"""


def test_the_table_of_recognize(photos, tmp_path):
    (tmp_path / "found.csv").write_text(RESULTS.format(root=photos))
    faces, said = labeling.read_results(tmp_path / "found.csv", photos)
    assert faces == [
        LabeledFace("a.jpg", (10, 20, 50, 70), "happiness", 0.9),
        LabeledFace("a.jpg", (60, 5, 95, 45), "time", 0.8),
    ]
    assert said == "left out: 1 photos without a face, 1 photos with an error"
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    pandas.read_csv(tmp_path / "found.csv").to_parquet(tmp_path / "found.parquet")
    assert labeling.read_results(tmp_path / "found.parquet", photos)[0] == faces


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path,face", "file,face", "has no column path"),
        ("10,20,50,70", "50,20,10,70", "row 1: .* is no box"),
        ("10,20,50,70", "10,x,50,70", "row 1: could not convert"),
        ("0.9,0.1", "1.9,0.1", "row 1: a confidence of 1.9"),
        ("60,5,95,45", "10,20,50,70", "face 2: labels the same face of a.jpg as face 1; keep one"),
        ("{root}/a.jpg", "/elsewhere/a.jpg", "row 2: /elsewhere/a.jpg: is not in"),
        ("{root}/a.jpg", "../photos/a.jpg", "row 2: ../photos/a.jpg: leads out of"),
    ],
)
def test_results_that_are_wrong(photos, tmp_path, old, new, message):
    assert old in RESULTS
    path = tmp_path / "found.csv"
    path.write_text(RESULTS.replace(old, new, 1).format(root=photos))
    with pytest.raises(LabelingError, match=message) as error:
        labeling.read_results(path, photos)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_photos_with_a_doubtful_face():
    assert labeling.least_sure(FACES, 0.5) == [FACES[0], FACES[1], FACES[3], FACES[4]]


# -- wrong or there twice ----------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_an_export_is_one_error_and_nothing_is_written(photos, tmp_path):
    bad = [
        *FACES,
        LabeledFace("no.jpg", (0, 0, 5, 5), "anger"),
        LabeledFace("a.jpg", (200, 0, 250, 5), "anger"),
    ]
    with pytest.raises(
        LabelingError, match="2 entries cannot be used: .*no.jpg: cannot be read.*outside of its 100 x 80"
    ):
        labeling.export("fiftyone", bad, photos, tmp_path / "out")
    with pytest.raises(LabelingError, match="a.jpg: class 'happiness' is not one of calm"):
        labeling.export("csv", FACES, photos, tmp_path / "out", expressions=("calm",))
    with pytest.raises(LabelingError, match="no face to label"):
        labeling.export("csv", [], photos, tmp_path / "out")
    with pytest.raises(LabelingError, match="no format 'excel'"):
        labeling.export("excel", FACES, photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_with_a_csv(photos, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "path,expression,box\n"
        "a.jpg,anger,10 20 50 70\n"
        "a.jpg,fear,11 20 50 70\n"
        "a.jpg,fear,50 20 11 70\n"
        "../secret.jpg,fear,\n"
        "trip/a.jpg\n"
    )
    with pytest.raises(LabelingError) as error:
        labeling.load("csv", path, photos)
    message = str(error.value)
    for part in ("4 entries", "line 3: labels the same face of a.jpg as line 2", "line 4", "line 5", "line 6"):
        assert part in message
    assert "\n" not in message and not (photos / "labels.csv").exists()
    path.write_text("photo,label\n")
    with pytest.raises(LabelingError, match="must name path and expression"):
        labeling.load("csv", path, photos)
    path.write_text("path,expression\nno.jpg,fear\n")
    with pytest.raises(DatasetError, match="no.jpg: missing"):
        labeling.load("csv", path, photos)
    path.write_text("path,expression\n")
    with pytest.raises(LabelingError, match="holds no labels yet"):
        labeling.load("csv", path, photos)


def changed_tasks(photos: Path, tmp_path: Path, change) -> Path:
    labeling.export("label-studio", FACES, photos, tmp_path / "out")
    path = exported("label-studio", tmp_path / "out")
    tasks = json.loads(path.read_text())
    change(tasks)
    path.write_text(json.dumps(tasks))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: tasks.append(tasks[0]), "task 1: labels a.jpg, as task 1 does; keep one"),
        (lambda tasks: tasks[0]["annotations"].append(tasks[0]["annotations"][0]), "task 1: 2 annotations of a.jpg"),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"].append(tasks[0]["annotations"][0]["result"][0]),
            "task 1 region face0: labels the same face of a.jpg as task 1 region face0",
        ),
        (lambda tasks: tasks[0]["annotations"][0]["result"][0].update(type="brushlabels"), "a 'brushlabels' instead"),
        (lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].update(rotation=30), "is turned"),
        (lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].update(rectanglelabels=[]), "0 labels instead"),
        (lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].update(x=90), "leads out of its photo"),
        (lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].pop("width"), "face0: has no 'width'"),
        (lambda tasks: tasks[0]["data"].update(path="../a.jpg"), "leads out of the folder"),
        (lambda tasks: tasks[0]["data"].update(path="gone.jpg"), "task 1: cannot be read as a photo"),
        (lambda tasks: [task.pop("annotations") for task in tasks], "no annotations; export the project as JSON"),
    ],
)
def test_what_is_wrong_with_tasks(photos, tmp_path, change, message):
    path = changed_tasks(photos, tmp_path, change)
    with pytest.raises(LabelingError, match=message) as error:
        labeling.load("label-studio", path, photos)
    assert "\n" not in str(error.value) and not (photos / "labels.csv").exists()


def test_tasks_that_nobody_did_are_left_out_and_counted(photos, tmp_path):
    def change(tasks):
        tasks[0]["annotations"] = []
        tasks[1]["annotations"][0]["was_cancelled"] = True
        tasks[2]["annotations"][0]["result"] = []
        tasks[3]["annotations"][0]["result"][0]["value"]["rectanglelabels"] = ["surprise"]
        tasks[3]["predictions"][0]["result"][0]["value"]["rectanglelabels"] = ["fear"]

    said: list[str] = []
    table = labeling.load("label-studio", changed_tasks(photos, tmp_path, change), photos, say=said.append)
    assert table["path"].tolist() == ["turned.jpg"]
    assert said == [
        "2 tasks without an annotation are left out",
        "1 photos in which people marked no face are left out",
        "1 of 1 faces are labeled otherwise than they were recognized",
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"nobody": [{"label": "anger", "bounding_box": [0, 0, 1, 1]}]}, "nobody: is no photo in"),
        ({"a": [{"label": "anger", "bounding_box": [0, 0, 1, 1]}]}, "a: may be a.jpg or trip/a.jpg in .*data.json"),
        ({"trip/a": [{"label": "anger", "bounding_box": [0, 0, 2, 1]}]}, "trip/a detection 1: a box that leads out"),
        ({"trip/a": [{"label": "anger", "bounding_box": [0, 0, 0, 1]}]}, "without a width"),
        ({"trip/a": [{"bounding_box": [0, 0, 1, 1]}]}, "has no 'label'"),
        ({"trip/a": [{"label": None, "bounding_box": [0, 0, 1, 1]}]}, "the name of a class is a text"),
        ({"trip/a": [{"label": name, "bounding_box": [0, 0, 1, 1]} for name in "ab"]}, "labels the same face"),
        ({"trip/a": "many"}, "trip/a detection 1"),
        ([], "is no labels.json"),
    ],
)
def test_what_is_wrong_with_labels_of_fiftyone(photos, tmp_path, labels, message):
    (tmp_path / "labels.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(LabelingError, match=message) as error:
        labeling.load("fiftyone", tmp_path, photos)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["fiftyone", "label-studio"])
def test_a_file_of_something_else(photos, tmp_path, kind):
    path = tmp_path / "labels.json"
    for content in (b"\xff\xfe", b"not json", b"[" * 100_000, b"3"):
        path.write_bytes(content)
        with pytest.raises(LabelingError, match="labels.json"):
            labeling.load(kind, path, photos)


# -- their own importers -----------------------------------------------------------------------------------------------


def test_label_studio_takes_the_tasks(photos, tmp_path):
    """The interface that Label Studio parses, its check of predictions, and its converter of what people labeled."""
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    converter = pytest.importorskip("label_studio_sdk.converter")
    labeling.export("label-studio", FACES, photos, tmp_path / "out")
    text = (tmp_path / "out/labels.xml").read_text()
    parsed = interface.LabelInterface(text)
    parsed.validate()
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    for task in tasks:
        assert parsed.validate_task({"data": task["data"]})
        assert all(parsed.validate_prediction(prediction) for prediction in task["predictions"])
    path = exported("label-studio", tmp_path / "out")
    converter.Converter(text, str(tmp_path), download_resources=False).convert_to_coco(
        str(path), str(tmp_path / "coco"), is_dir=False
    )
    coco = json.loads((tmp_path / "coco/result.json").read_text())
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    assert [names[entry["category_id"]] for entry in coco["annotations"]] == [face.expression for face in FACES]
    boxes = [[left, top, right - left, bottom - top] for left, top, right, bottom in (face.box for face in FACES)]
    np.testing.assert_allclose([entry["bbox"] for entry in coco["annotations"]], boxes, atol=0.02)


def test_fiftyone_takes_and_gives_the_data_set(photos, tmp_path):
    """FiftyOne's importer of the data set's type, and its exporter after a correction."""
    data = pytest.importorskip("fiftyone.utils.data")
    labeling.export("fiftyone", FACES, photos, tmp_path / "out")
    importer = data.FiftyOneImageDetectionDatasetImporter(str(tmp_path / "out"), data_path="data.json")
    exporter = data.FiftyOneImageDetectionDatasetExporter(
        str(tmp_path / "back"), data_path="data.json", export_media="manifest", rel_dir=str(photos)
    )
    found = set()
    with importer, exporter:
        for path, _, detections in importer:
            for face in detections.detections:
                found.add((Path(path).relative_to(photos).as_posix(), face.label, face.confidence))
                face.label = "surprise" if face.label == "anger" else face.label
            exporter.export_sample(path, detections)
    assert found == {(face.path, face.expression, face.confidence) for face in FACES}
    said: list[str] = []
    table = labeling.load("fiftyone", tmp_path / "back", photos, say=said.append)
    assert sorted(table.class_names().tolist()) == ["fear", "happiness", "neutral", "sadness", "surprise"]
    assert said == ["1 of 5 faces are labeled otherwise than they were recognized"]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(photos, tmp_path, capsys):
    (tmp_path / "found.csv").write_text(RESULTS.format(root=photos).replace("time", "anger"))
    where = ["--photos", str(photos)]
    out = ["export", "csv", str(tmp_path / "found.csv"), *where, "--output", str(tmp_path / "out")]
    assert command.main([*out, "--below", "0.85"]) == 0
    said = capsys.readouterr().out
    assert "1 photos without a face, 1 photos with an error" in said and "2 faces of 1 photos" in said
    assert command.main(["import", "csv", str(tmp_path / "out/labels.csv"), *where]) == 0
    said = capsys.readouterr().out
    assert "2 faces: happiness 1, anger 1" in said and f"--data {photos / 'labels.csv'}" in said
    for arguments, message in (
        ([*out, "--below", "2"], "--below lies between 0 and 1"),
        ([*out, "--below", "0.1"], "there is no face to label"),
        (["import", "csv", str(tmp_path / "no.csv"), *where], "no.csv: cannot be read"),
        (["import", "csv", str(tmp_path / "no.csv"), "--photos", str(tmp_path / "no")], "no such folder of photos"),
        (
            ["import", "csv", str(tmp_path / "out/labels.csv"), *where, "--expressions", "happy,sad"],
            "'anger' is not one of happy, sad",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            command.main(arguments)

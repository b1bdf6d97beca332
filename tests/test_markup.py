"""What results, models, reports and tables show of themselves in a notebook: small, escaped, never failing."""

from __future__ import annotations

import copy
import gc
import html.parser
import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasfer import images, markup
from kerasfer.datasets.base import FaceTable, FolderSource
from kerasfer.evaluation import Report
from kerasfer.export.parity import Parity
from kerasfer.export.parity import Report as ExportReport
from kerasfer.expressions import FERPLUS8
from kerasfer.faces import Box, Prediction
from kerasfer.recognition import Faces, PhotoResult, PhotoResults

HOSTILE = '<img src=x onerror="alert(1)">\'&"</td><script>'


def face(expression: str = "happiness") -> Prediction:
    return Prediction(Box(10, 12, 50, 60), expression, {expression: 0.75, "neutral": 0.25})


def tags(text: str) -> set[str]:
    """The names of a page's elements; checks that none is open at the end and none has a handler."""
    found: set[str] = set()
    open_ones: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.add(tag)
            assert not [name for name, _ in attributes if name.startswith("on")]
            if tag not in ("img", "br"):
                open_ones.append(tag)

        def handle_endtag(self, tag):
            assert open_ones.pop() == tag

    Reader().feed(text)
    assert not open_ones
    return found


def hostile_folder(folder: Path) -> str:
    """A folder with one face whose name is HTML, as far as a file system lets it."""
    name = HOSTILE.replace("/", "") + ".png"
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(folder / name, "PNG")
    return name


def test_texts_cannot_become_html(tmp_path):
    name = hostile_folder(tmp_path)
    table = FaceTable(HOSTILE, FolderSource(tmp_path), {"path": [name, "none.png"], "expression": [0, 1]}, FERPLUS8)
    labels = (HOSTILE, "b")
    shown = [
        table._repr_html_(),
        PhotoResults([PhotoResult(name, [face(HOSTILE)]), PhotoResult("b", [], HOSTILE)])._repr_html_(),
        PhotoResult(str(tmp_path / "gone"), [face(HOSTILE)])._repr_html_(),
        Faces([face(HOSTILE)])._repr_html_(),
        face(HOSTILE)._repr_html_(),
        Report(labels, np.eye(2), HOSTILE, HOSTILE, "", HOSTILE)._repr_html_(),
        ExportReport({HOSTILE: Path(HOSTILE)}, (), HOSTILE, HOSTILE)._repr_html_(),
        markup.facts(HOSTILE, [(HOSTILE, HOSTILE)]),
        markup.picture(b"", HOSTILE),
    ]
    for text in shown:
        assert "script" not in tags(text) and "<img src=x" not in text
    assert all("&lt;script&gt;" in text for text in shown if text is not shown[-1])


def test_a_photo_shows_its_faces_marked(tmp_path):
    photo = np.full((900, 1200, 3), 90, np.uint8)
    shown = Faces([face()], photo)
    assert isinstance(shown, list) and shown._repr_html_() is None
    with Image.open(io.BytesIO(shown._repr_png_())) as picture:
        assert picture.format == "PNG" and 640 < picture.width < 1200 and picture.height == 480
    images.write(tmp_path / "a.png", photo)
    assert Faces([face()], tmp_path / "a.png")._repr_png_()[:4] == b"\x89PNG"
    result = PhotoResult(str(tmp_path / "a.png"), [face()])
    assert result._repr_png_()[:4] == b"\x89PNG" and result._repr_html_() is None


def test_results_keep_no_picture_alive(tmp_path):
    photo = np.zeros((50, 60, 3), np.uint8)
    shown = Faces([face()], photo)
    assert len(pickle.dumps(shown)) < 2000
    for other in (pickle.loads(pickle.dumps(shown)), copy.deepcopy(shown)):
        assert type(other) is Faces and other[0].expression == "happiness" and other._repr_png_() is None
        assert "happiness" in other._repr_html_()
    del photo
    gc.collect()
    assert shown._repr_png_() is None and "happiness" in shown._repr_html_()
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    shown = Faces([], path)
    assert shown._repr_png_() is None, "never fails"
    path.unlink()
    assert shown._repr_html_() == "no face found"


def test_recognize_gives_lists_that_show_themselves(tmp_path):
    import kerasfer
    from kerasfer.sample import PHOTO

    model = kerasfer.create("edge", "tiny")
    found = kerasfer.recognize(PHOTO, model=model)
    assert isinstance(found, list) and found._repr_png_()[:4] == b"\x89PNG"
    assert re.fullmatch(r"\[Prediction\(\w+ [\d.]+%, box \(\d+, \d+\) to \(\d+, \d+\)\)\]", repr(found))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    many = kerasfer.recognize([PHOTO, tmp_path / "bad.jpg"], model=model)
    text = many._repr_html_()
    assert isinstance(many, list) and tags(text) >= {"table"} and "2 photos, 1 faces, 1 could not be read" in text
    text = model._repr_html_()
    assert "48 x 48" not in text and "32 x 32" in text and "contempt" in text and tags(text) >= {"table"}


def test_many_results_are_a_short_table():
    text = PhotoResults(PhotoResult(f"{number}.jpg", [face()]) for number in range(1000))._repr_html_()
    assert "1,000 photos, 1,000 faces" in text and "and 980 more" in text and text.count("<tr>") == 21
    assert len(text) < 20_000


def test_a_table_shows_some_of_its_faces(tmp_path):
    for number in range(30):
        Image.fromarray(np.full((200, 200, 3), number * 8, np.uint8)).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(30)]
    table = FaceTable("mine", FolderSource(tmp_path), {"path": paths, "expression": [1] * 30}, FERPLUS8)
    text = table._repr_html_()
    assert "30 faces; happiness 30" in text and text.count("data:image/jpeg") == 12 and len(text) < 40_000
    assert 'title="0.png"' in text and 'title="29.png"' in text, "from the whole of the table"
    (tmp_path / "0.png").write_bytes(b"no image")
    text = table._repr_html_()
    assert text.count("data:image/jpeg") == 11 and "no image" in text
    empty = table.select([])
    assert "0 faces; no labels" in empty._repr_html_()
    assert repr(table) == "FaceTable('mine', 30 faces, columns path, expression)"


def test_reports():
    report = Report(("a", "b", "c"), np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), "set", "valid", "", "toy")
    assert repr(report) == "Report(toy on set valid: 8 faces, accuracy 87.5%, mean recall 87.5%)"
    text = report._repr_html_()
    assert "accuracy 87.5%" in text and "75.0%" in text and "–" in text and tags(text) >= {"table"}
    parity = (Parity("int8", 9, 0.5, 0.1, 0.2, 2_000_000),)
    exported = ExportReport({"int8": Path("x/model_int8.tflite")}, parity, "faces", "others")
    assert repr(exported) == "Report(int8: MISSED by 1)"
    assert "MISSED" in exported._repr_html_() and "2.00 MB" in exported._repr_html_()


def test_a_training_shows_its_last_epochs(tmp_path):
    from kerasfer.trainer import Run

    history = [{"epoch": float(number), "loss": 1 / (number + 1)} for number in range(9)]
    run = Run(None, history, tmp_path / "<script>", "its time is over")
    assert repr(run).startswith("Run(NoneType, 9 epochs, stopped: its time is over, folder ")
    text = run._repr_html_()
    assert text.count("<tr>") == 7 and "0.1111" in text and "script" not in tags(text)
    assert Run(None, None, tmp_path)._repr_html_() is None, "never fails"


@pytest.mark.parametrize("text", ["a" * 10_000, "\udcff\x1b[31m\n"])
def test_any_text_can_be_shown(text):
    shown = markup.escaped(text)
    assert len(shown) <= 200 and shown.encode() and "\x1b" not in shown and "\n" not in shown

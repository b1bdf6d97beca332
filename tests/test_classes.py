"""Classes of any names: label spaces, tables, readers and what a model makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_layouts import picture, write_lines

from kerasfer import datasets, images, splits
from kerasfer.data import label_distributions
from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation.classification import evaluate, true_classes
from kerasfer.expressions import FERPLUS8, KNOWN_CLASSES, Expression, LabelSpace, label_codes

OWN = ("happy", "sad", "other")


def table_of(names: list[str], space: LabelSpace | tuple[str, ...] = OWN, **columns) -> FaceTable:
    """A table in memory whose faces are of these classes."""
    source = ArraySource(np.zeros((len(names), 16, 16), np.uint8))
    paths = [str(row) for row in range(len(names))]
    votes = {"vote_space": columns.pop("vote_space")} if "vote_space" in columns else {}
    space = LabelSpace.of(space)
    return FaceTable("own", source, {"path": paths, "expression": names, **columns}, space, **votes)


def folder_of(root: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        images.write(root / path, picture(number))
    return root


# -- label spaces ------------------------------------------------------------------------------------------------------


def test_a_label_space_takes_any_names_as_they_are():
    space = LabelSpace.of(["Happy", "not sure", "Überrascht", "笑顔"])
    assert space.labels == ("Happy", "not sure", "Überrascht", "笑顔")
    assert space.expressions == (Expression.HAPPINESS, None, None, None)
    assert len(LabelSpace.of([f"class {number}" for number in range(300)])) == 300
    assert LabelSpace.of(list(FERPLUS8.labels)) is FERPLUS8


def test_classes_are_found_by_name_then_by_meaning():
    space = LabelSpace.of(OWN)
    assert [space.find(name) for name in ("happy", "Happy", "happiness", Expression.SADNESS)] == [0, 0, 0, 1]
    assert space.find("anger") == -1 and space.find("OTHER") == 2
    both = LabelSpace.of(["happiness", "happy", "sad"])
    assert both.find("happy") == 1 and both.find("happiness") == 0
    angers = LabelSpace.of(["anger", "angry"])
    assert angers.find("ANGRY") == 1 and FERPLUS8.find("angry") == 4
    with pytest.raises(ValueError, match="'anger' is not in label space 'custom': happy, sad, other"):
        space.index("anger")


def test_a_composed_and_a_decomposed_letter_are_one():
    composed, decomposed = "\u00fcber", "u\u0308ber"
    assert LabelSpace.of([decomposed]).labels == (composed,)
    with pytest.raises(ValueError, match="named twice"):
        LabelSpace.of([composed, decomposed])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sad", "happy", "sad"), "class 'sad' is named twice; give every class a name of its own"),
        (("happy", "Happy"), "class 'Happy' is named twice .'happy' differs in upper and lower case alone"),
        (("happy", "  "), "the name of a class is empty"),
        (("happy", "sad\x1b[31m"), "holds control characters"),
        (("happy", "sad\nother"), "holds control characters"),
        (("happy", "\u202egnp"), "holds control characters"),
        (("happy", "s" * 101), "longer than 100 characters"),
        ((), "has no class"),
    ],
)
def test_names_that_are_none(names, message):
    with pytest.raises(ValueError, match=message) as error:
        LabelSpace.of(names)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)


def test_the_numbers_of_data_sets():
    assert [label_codes("FER-2013")[code].label for code in range(7)] == [
        *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    ]
    assert [label_codes("rafdb")[code].label for code in range(1, 8)] == [
        *("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    ]
    assert label_codes("affectnet")[3] is Expression.SURPRISE and label_codes("CK+")[3] is Expression.DISGUST
    assert list(label_codes("ferplus")) == list(range(8)) and label_codes("ferplus")[4].label == "anger"
    with pytest.raises(ValueError, match="the codes of 'imagenet' are not known; known are those of affectnet"):
        label_codes("imagenet")


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_of_own_classes():
    table = table_of(["sad", "other", "", "happy", "other"])
    assert table.classes == (*KNOWN_CLASSES, *OWN)
    assert table.class_names().tolist() == ["sad", "other", "", "happy", "other"]
    assert table.counts() == {"happy": 1, "sad": 1, "other": 2}
    assert table.encoded().tolist() == [1, 2, -1, 0, 2]
    assert len(table.labeled()) == 4 and len(table.select([0, 1]).where(expression="other")) == 1
    assert len(table.where(expression="happiness")) == 1
    with pytest.raises(DatasetError, match="own: no class 'joy'; classes are neutral"):
        table.where(expression="joy")
    with pytest.raises(DatasetError, match="class 'joy' is not among those of the label space: happy, sad, other"):
        table_of(["happy", "joy"])
    with pytest.raises(DatasetError, match="expression codes"):
        FaceTable("own", table.source, {"path": ["0"], "expression": [14]}, LabelSpace.of(OWN))


def test_what_a_model_of_other_classes_makes_of_them():
    """By name, then by meaning; what it has no class for is counted."""
    table = table_of(["sad", "other", "", "happy", "other"])
    assert table.encoded(FERPLUS8).tolist() == [3, -1, -1, 1, -1]
    assert table.outside(FERPLUS8) == {"other": 2} and table.outside(LabelSpace.of(OWN)) == {}
    assert true_classes(table, LabelSpace.of(["other", "happiness"])).tolist() == [-1, 0, -1, 1, 0]
    ferplus = table_of(["happiness", "contempt", "neutral"], FERPLUS8)
    assert ferplus.encoded(LabelSpace.of(OWN)).tolist() == [0, -1, -1]
    assert ferplus["expression"].tolist() == [Expression.HAPPINESS, Expression.CONTEMPT, Expression.NEUTRAL]
    targets = [[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert label_distributions(table, LabelSpace.of(OWN)).tolist() == targets


def test_tables_are_put_together_by_name():
    """The same number may be another class in another table."""
    first = table_of(["bored", "sad"], ("bored", "sad"))
    second = table_of(["other", "bored", "", "fear"], LabelSpace.of(("other", "bored", "fear")))
    whole = FaceTable.concatenate("whole", [first, second, table_of(["happiness"], FERPLUS8)])
    assert whole.class_names().tolist() == ["bored", "sad", "other", "bored", "", "fear", "happiness"]
    assert set(whole.label_space.labels) == {*FERPLUS8.labels, "bored", "sad", "other"}
    assert whole.where(expression="bored")["path"].tolist() == ["0/0", "1/1"]


def test_votes_of_any_width():
    votes = [[3, 1, 0], [0, 0, 5]]
    table = table_of(["happy", "other"], votes=votes, vote_space=LabelSpace.of(OWN))
    np.testing.assert_allclose(label_distributions(table, LabelSpace.of(OWN), "votes"), [[0.75, 0.25, 0], [0, 0, 1]])
    turned = LabelSpace.of(["other", "happiness"])
    np.testing.assert_array_equal(table.votes_for(turned), [[0, 3], [5, 0]])
    assert true_classes(table, turned, "votes").tolist() == [1, 0]
    with pytest.raises(DatasetError, match="own: no one votes on neutral.*, only on happy, sad, other"):
        table.votes_for(FERPLUS8)
    with pytest.raises(DatasetError, match="votes are for happy, sad, other: 3 numbers a face"):
        table_of(["happy"], votes=np.ones((1, 8)), vote_space=LabelSpace.of(OWN))
    ferplus = table_of(["fear"], FERPLUS8, votes=[range(8)])
    both = FaceTable.concatenate("both", [table, ferplus])
    assert both.votes_for(LabelSpace.of(["other", "happiness", "contempt"])).tolist() == [
        [0, 3, 0],
        [5, 0, 0],
        [0, 1, 7],
    ]


def test_classes_gathered_into_others():
    table = table_of(["happiness", "anger", "sadness", "neutral"], FERPLUS8, votes=np.eye(8)[[1, 4, 3, 0]])
    mine = table.mapped({"happiness": "happy", "sadness": "sad", "neutral": "other", "anger": "other"})
    assert mine.label_space.labels == OWN and mine.class_names().tolist() == ["happy", "other", "sad", "other"]
    assert mine["votes"].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert table.mapped({"fear": "afraid", "anger": "angry"}).class_names().tolist() == ["", "angry", "", ""]
    with pytest.raises(DatasetError, match="own: 'joy' is not in label space"):
        table.mapped({"joy": "happy"})


def test_splits_of_own_classes():
    table = table_of([OWN[row % 3] for row in range(60)])
    held = splits.holdout(table, 0.2)
    assert held.test.counts() == {"happy": 4, "sad": 4, "other": 4} and held.train.label_space.labels == OWN
    crossed = splits.cross_database(table, table_of(["happiness", "sadness", "fear"] * 4, FERPLUS8))
    assert crossed.train.label_space.labels == ("happy", "sad")
    assert crossed.test.encoded().tolist() == [0, 1] * 4


# -- readers -----------------------------------------------------------------------------------------------------------


def test_folders_of_any_names(tmp_path):
    root = folder_of(tmp_path, "train/sad/a.png", "train/other/b.png", "train/happy/c.png", "test/Sad/d.png")
    table = datasets.load("folder", root)
    assert table.counts() == {"happy": 1, "other": 1, "Sad": 2} and table.label_space.labels[2] == "Sad"
    part = datasets.load("folder", root, split="test", expressions=OWN)
    assert part.label_space.labels == OWN and part.class_names().tolist() == ["sad"]
    with pytest.raises(DatasetError, match="2 missing .*class 'Sad' is not one of happy, other"):
        datasets.load("folder", root, expressions="happy,other")
    left = datasets.load("folder", root, expressions="happy,other", strict=False)
    assert len(left) == 2 and len(left.rejected) == 2


def test_folders_of_known_expressions_are_these(tmp_path):
    table = datasets.load("folder", folder_of(tmp_path, "Sad/a.png", "happy/b.png"))
    assert table.label_space.labels == ("happiness", "sadness") and table.encoded(FERPLUS8).tolist() == [3, 1]
    own = datasets.load("folder", tmp_path, expressions=("sad", "happy"))
    assert own.label_space.labels == ("sad", "happy") and own.counts() == {"sad": 1, "happy": 1}


def test_a_misspelled_expression_does_not_become_a_class(tmp_path):
    root = folder_of(tmp_path, "sadness/a.png", "hapiness/b.png", "fear/c.png")
    with pytest.raises(DatasetError, match="unknown expression 'hapiness', which looks like 'happiness'; if it is a"):
        datasets.load("folder", root)
    assert datasets.load("folder", root, strict=False).counts() == {"sadness": 1, "fear": 1}
    assert datasets.load("folder", root, expressions=("hapiness", "sadness", "fear")).counts()["hapiness"] == 1
    assert len(datasets.load("folder", folder_of(tmp_path / "own", "content/a.png", "sad/b.png", "happy1/c.png"))) == 3


def test_folders_that_are_numbers_need_whose(tmp_path):
    root = folder_of(tmp_path, "1/a.png", "4/b.png")
    with pytest.raises(DatasetError, match=r"'1': folders hold numbers \(1, 4\).*--labels-of.*fer2013"):
        datasets.load("folder", root, strict=False)
    assert datasets.load("folder", root, labels_of="raf_db").class_names().tolist() == ["surprise", "happiness"]
    assert datasets.load("folder", root, labels_of="fer2013").class_names().tolist() == ["disgust", "sadness"]
    assert datasets.load("folder", root, labels_of="names").label_space.labels == ("1", "4")
    assert datasets.load("folder", root, expressions=("4", "1")).encoded().tolist() == [1, 0]
    with pytest.raises(DatasetError, match="folder: the codes of 'mine' are not known; known are"):
        datasets.load("folder", root, labels_of="mine")
    with pytest.raises(DatasetError, match="people have no expressions"):
        datasets.load("folder", root, classes="identity", labels_of="raf_db")


def test_csv_of_any_names_and_votes(tmp_path):
    folder_of(tmp_path, "a.png", "b.png", "c.png")
    file = tmp_path / "labels.csv"
    write_lines(file, ["path,expression,votes", "a.png,other,1 0 2", "b.png,,", "c.png,happy,3 0 0"])
    table = datasets.load("csv", file, expressions=OWN)
    assert table.class_names().tolist() == ["other", "", "happy"]
    np.testing.assert_array_equal(table.votes_for(LabelSpace.of(OWN)), [[1, 0, 2], [0, 0, 0], [3, 0, 0]])
    with pytest.raises(DatasetError, match="column votes: 3 numbers instead of 8"):
        datasets.load("csv", file)
    coded = datasets.load("csv", file, expressions=("H", "O", "S"), classes={"other": "O", "happy": "H"})
    assert coded.counts() == {"H": 1, "O": 1, "S": 0}


def test_csv_numbers_need_whose(tmp_path):
    folder_of(tmp_path, "a.png", "b.png", "c.png")
    file = tmp_path / "labels.csv"
    write_lines(file, ["path,expression", "a.png,3", "b.png,0", "c.png,-1"])
    with pytest.raises(
        DatasetError, match=r"labels.csv line 3: unknown expression 0: cells hold numbers \(0, 3\).*--labels-of"
    ):
        datasets.load("csv", file)
    read = {name: datasets.load("csv", file, labels_of=name).class_names().tolist() for name in ("fer2013", "kerasfer")}
    assert read == {"fer2013": ["happiness", "anger", ""], "kerasfer": ["sadness", "neutral", ""]}
    write_lines(file, ["path,expression", "a.png,3.0", "b.png,8"])
    with pytest.raises(
        DatasetError, match="1 missing .*line 3: column expression: 8 is no code of fer2013, which has 0, 1"
    ):
        datasets.load("csv", file, labels_of="fer2013")
    table = datasets.load("csv", file, labels_of="fer2013", strict=False)
    assert table.class_names().tolist() == ["happiness"] and len(table.rejected) == 1


# -- evaluation --------------------------------------------------------------------------------------------------------


class Sure:
    """A recognizer that always answers with its first class."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        from kerasfer.faces import ImageSpec

        self.image_spec, self.label_space = ImageSpec(16), LabelSpace.of(labels)

    def recognizer(self):
        return lambda faces: np.eye(len(self.label_space), dtype=np.float32)[np.zeros(len(faces), int)]


def test_a_report_names_the_classes_that_were_left_out():
    table = table_of(["happy", "other", "other", "", "sad", "happy"])
    report = evaluate(Sure(FERPLUS8.labels[1:4]), table)
    assert report.n == 3 and report.left_out == 3 and report.outside == {"other": 2}
    assert "other (2)" in str(report) and type(report).from_json(report.to_json()) == report
    own = evaluate(Sure(OWN), table)
    assert own.labels == OWN and own.n == 5 and own.outside == {} and own.accuracy == 2 / 5


# -- what is written and drawn -----------------------------------------------------------------------------------------

ODD = (
    "score",
    "AU12",
    "yaw",
    "a,b",
    'say "x"',
    "$5 or $x_$",
    "_hidden",
    "笑顔",
    "path",
    "class 9",
    "class 10",
    "class 11",
)


def test_a_report_of_twelve_classes_of_odd_names_is_drawn():
    import io

    from kerasfer import plots
    from kerasfer.evaluation.classification import Report

    true = np.arange(120) % 12
    report = Report.of(true, np.roll(true, 7), LabelSpace.of(ODD))
    assert ODD[5] in str(report) and Report.from_json(report.to_json()) == report
    figure = plots.confusion_matrix(report)
    figure.savefig(io.BytesIO(), format="png")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()][:2] == ["score", "AU12"]
    curves = plots.roc_curves(true, np.random.default_rng(0).random((120, 12)), ODD)
    curves.savefig(io.BytesIO(), format="png")
    assert len(curves.axes[0].get_legend().get_texts()) == 12


def test_columns_of_classes_that_are_called_like_other_columns():
    from kerasfer.cli import tables
    from kerasfer.faces import Box, Prediction

    names = tables.columns(["path", "face"], ODD, (12,))
    assert len(set(names)) == len(names) and {"class score", "class AU12", "class yaw", "class path"} <= set(names)
    probabilities = dict(zip(ODD, np.arange(12) / 66, strict=True))
    row = tables.face_row(Prediction(Box(1, 2, 3, 4), "score", probabilities, score=0.5, action_units={12: 0.25}))
    assert row["score"] == 0.5 and row["expression"] == "score" and row["AU12"] == 0.25
    assert row["class AU12"] == pytest.approx(1 / 66, abs=1e-6) and set(row) <= set(names)


def test_a_bundle_quotes_names_for_each_language():
    from types import SimpleNamespace

    from kerasfer.bundle import _numbers
    from kerasfer.faces import ImageSpec

    metadata = {"model": "edge", "storage": "float32"}
    numbers = _numbers(SimpleNamespace(labels=ODD[4:6], image_spec=ImageSpec(48), metadata=metadata), "model.tflite")
    assert numbers["swift_labels"] == r'"say \"x\"", "$5 or $x_$"'
    assert numbers["kotlin_labels"] == r'"say \"x\"", "\$5 or \$x_\$"'


@pytest.mark.parametrize("labels", [None, [], ["happy", "happy"], ["happy", " "], ["happy", 3], "happy"])
def test_a_tflite_file_whose_labels_are_none(labels, monkeypatch):
    from kerasfer import lite

    path = Path(__file__).resolve().parents[1] / "saved_models" / "edge" / "model_int8.tflite"
    read = lite.read_metadata
    monkeypatch.setattr(lite.networks, "read_metadata", lambda *arguments: {**read(*arguments), "labels": labels})
    with pytest.raises(lite.LiteError, match="model_int8.tflite: its labels are no names, each once"):
        lite.Recognizer(path)

"""Groups of faces: tones of skin as pictures show them, and shares and accuracies that add up."""

import numpy as np
import pytest

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.evaluation.groups import SKIN_TONES, by_group, grouped, skin_tones, typology_angle
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import ImageSpec


def plain(*colors):
    return np.stack([np.full((96, 96, 3), color, np.uint8) for color in colors])


def table_of(faces, labels=None, **columns):
    labels = labels or ["neutral"] * len(faces)
    paths = [str(number) for number in range(len(faces))]
    codes = [FERPLUS8.labels.index(label) for label in labels]
    return FaceTable("own", ArraySource(faces), {"path": paths, "expression": codes, **columns}, FERPLUS8)


class Brightness:
    """Says happiness of bright faces, sadness of others."""

    label_space = LabelSpace.of(("neutral", "happiness", "sadness"))
    image_spec = ImageSpec(32, 1, "unit")

    def recognizer(self):
        return lambda faces: np.eye(3)[np.where(np.asarray(faces).mean((1, 2, 3)) > 0.5, 1, 2)]


def test_the_angle_falls_from_light_to_dark_skin():
    angles = typology_angle(plain((240, 215, 195), (205, 160, 125), (150, 105, 75), (75, 50, 40)))
    assert (np.diff(angles) < 0).all() and angles[0] > 55 and angles[-1] < -30


def test_only_the_cheeks_are_looked_at():
    face = plain((240, 215, 195))
    face[:, :40] = 0
    face[:, 75:] = 0
    np.testing.assert_allclose(typology_angle(face), typology_angle(plain((240, 215, 195))))


def test_gray_pictures_show_no_tone():
    with pytest.raises(DatasetError, match="gray"):
        skin_tones(table_of(plain((90, 90, 90))))
    assert skin_tones(table_of(plain((240, 215, 195), (75, 50, 40)))).tolist() == ["very light", "dark"]
    assert list(SKIN_TONES.values()) == sorted(SKIN_TONES.values(), reverse=True)


def test_each_group_has_its_accuracy_and_the_shares_answered_and_labeled():
    faces = plain((250, 250, 240), (250, 250, 240), (20, 20, 10), (20, 20, 10), (250, 250, 240))
    table = table_of(
        faces, ["happiness", "sadness", "sadness", "neutral", "happiness"], identity=["a", "a", "b", "", ""]
    )
    report = by_group(Brightness(), table, ["one", "one", "two", "two", ""])
    one, two = report.results
    assert (one.name, one.n, one.people, one.accuracy.value) == ("one", 2, 1, 0.5)
    assert one.answered["happiness"].value == 1 and one.labeled == {"neutral": 0.0, "happiness": 0.5, "sadness": 0.5}
    assert two.people == 1 and two.answered["sadness"].value == 1 and two.labeled["neutral"] == 0.5
    assert report.unknown == 1 and "1 faces are in no group" in str(report)
    with pytest.raises(DatasetError, match="5 faces need as many groups"):
        by_group(Brightness(), table, ["one"])


def test_groups_come_from_a_column_or_a_file_that_names_faces(tmp_path):
    table = table_of(plain((0, 0, 0), (9, 9, 9)), identity=["ann", "bob"])
    assert grouped(table, "identity", 32)[1].tolist() == ["ann", "bob"]
    file = tmp_path / "ages.csv"
    file.write_text("path,group\n1,old\nother.png,young\n")
    assert grouped(table, str(file), 32)[1].tolist() == ["", "old"]
    file.write_text("path,age\n1,old\n")
    with pytest.raises(DatasetError, match="path and group are needed"):
        grouped(table, str(file), 32)
    file.write_text("path,group\nx.png,old\n")
    with pytest.raises(DatasetError, match="names none of the faces"):
        grouped(table, str(file), 32)
    with pytest.raises(DatasetError, match="no column 'age'; group by skin_tone"):
        grouped(table, "age", 32)

"""Votes mixed with what models say, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable
from kerasfer.expressions import FERPLUS8, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.teaching import answers, taught


class Teacher:
    """Says the first of its expressions of dark faces and the last of bright ones, the more the brighter."""

    image_spec = ImageSpec(8, 1, "unit")

    def __init__(self, *labels: str) -> None:
        self.label_space = LabelSpace.of(labels)
        self.asked = 0

    def recognizer(self):
        def recognize(faces: np.ndarray) -> np.ndarray:
            self.asked += len(faces)
            bright = faces[:, :, :4].mean((1, 2, 3))
            middle = np.zeros((len(faces), len(self.label_space) - 2))
            return np.concatenate([1 - bright[:, None], middle, bright[:, None]], 1)

        return recognize


def table(votes: list[list[float]] | None) -> FaceTable:
    """A black face, a white one, and one whose left half alone is white."""
    pixels = np.zeros((3, 8, 8), np.uint8)
    pixels[1], pixels[2, :, :4] = 255, 255
    columns = {} if votes is None else {"votes": np.float32(votes)}
    return FaceTable(
        "toy", ArraySource(pixels), {"path": ["0", "1", "2"], "expression": [0, 1, 2], **columns}, FERPLUS8
    )


VOTES = [[10, 0, 0, 0, 0, 0, 0, 0], [0, 3, 3, 0, 0, 0, 0, 0], [0] * 8]


def test_the_mean_of_teachers_of_both_sides():
    teachers = [Teacher("neutral", "happiness"), Teacher("surprise", "anger", "happiness")]
    seen = []
    said = answers(teachers, table(None), lambda done, of: seen.append((done, of)))
    black = [0.5, 0, 0.5, 0, 0, 0, 0, 0]
    white = [0, 1, 0, 0, 0, 0, 0, 0]
    half = [0.25, 0.5, 0.25, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(said, [black, white, half], atol=1e-6)
    assert said.dtype == np.float32 and seen == [(3, 6), (6, 6)]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_votes_by_hand(share):
    result = taught(table(VOTES), [Teacher("neutral", "sadness")], share)
    mine = np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5]])
    said = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0.5, 0, 0, 0.5]])
    expected = 10 * ((1 - share) * mine + share * said)
    np.testing.assert_allclose(result["votes"][:, :4], expected, atol=1e-5)
    assert not result["votes"][:, 4:].any()
    np.testing.assert_array_equal(result["expression"], [0, 1, 2])


def test_teachers_are_asked_once(tmp_path):
    teacher, cache = Teacher("neutral", "fear"), tmp_path / "new" / "teachers.npy"
    first = taught(table(VOTES), [teacher], 0.5, cache)
    assert teacher.asked == 6
    again = taught(table(VOTES), [], 0.5, cache)
    np.testing.assert_array_equal(again["votes"], first["votes"])
    assert [file.name for file in cache.parent.iterdir()] == ["teachers.npy"]
    with pytest.raises(DatasetError, match="teachers.npy: is of other faces; delete it"):
        taught(table(VOTES).select([0, 1]), [teacher], 0.5, cache)
    cache.write_bytes(b"no array")
    with pytest.raises(DatasetError, match="teachers.npy: not readable"):
        taught(table(VOTES), [teacher], 0.5, cache)


def test_what_cannot_be_learned_from():
    with pytest.raises(DatasetError, match="no model was given"):
        answers([], table(None))
    with pytest.raises(DatasetError, match="a teacher knows neutral, smile; take one of the FERPlus"):
        answers([Teacher("neutral", "smile")], table(None))
    with pytest.raises(DatasetError, match=r"lies in \[0, 1\], got 1.5"):
        taught(table(VOTES), [Teacher("neutral", "fear")], 1.5)
    with pytest.raises(DatasetError, match="toy: has no votes"):
        taught(table(None), [Teacher("neutral", "fear")])

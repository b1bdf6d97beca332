"""Charts and grids: the numbers and pixels in them, and what cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kerasfer import plots
from kerasfer.evaluation import Report
from kerasfer.images import ImageError
from kerasfer.plots import PlotError

LABELS = ("neutral", "happiness", "fear")


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_confusion_matrix_shows_shares_and_counts():
    report = Report(LABELS, [[3, 1, 0], [0, 5, 0], [0, 0, 0]], model="tdgan", dataset="ferplus")
    figure = plots.confusion_matrix(report)
    (axes,) = figure.axes
    assert texts(figure)[:6] == ["75%\n3", "25%\n1", "0%\n0", "0%\n0", "100%\n5", "0%\n0"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(LABELS)
    assert axes.get_title() == "tdgan, ferplus: 88.9% of 9"


def test_roc_areas_by_hand():
    # Of the four pairs (positive, negative) of the first class three are in order; the third class never occurs.
    scores = np.array([[0.1, 0.9, 0], [0.4, 0.6, 0], [0.35, 0.65, 0], [0.8, 0.2, 0]])
    figure = plots.roc_curves(np.array([1, 1, 0, 0]), scores, LABELS)
    assert legend(figure.axes[0]) == ["neutral: 0.750", "happiness: 0.750", "fear: not in the set, or nothing else"]
    units = np.array([[0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 1]])
    figure = plots.roc_curves(units, scores, ("AU 1", "AU 2", "AU 4"))
    assert legend(figure.axes[0])[:2] == ["AU 1: 0.750", "AU 2: 0.750"]
    assert legend(figure.axes[0])[2] == "AU 4: 0.500"


def test_roc_refuses_what_does_not_fit():
    with pytest.raises(PlotError, match=r"scores \(n, 3\)"):
        plots.roc_curves(np.zeros(4, int), np.zeros((4, 2)), LABELS)
    with pytest.raises(PlotError, match="not finite"):
        plots.roc_curves(np.zeros(4, int), np.full((4, 3), np.nan), LABELS)


def test_tsne_keeps_distant_groups_apart():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(0, 1, (20, 2, 2, 3)), rng.normal(30, 1, (20, 2, 2, 3))])
    figure = plots.tsne(codes, ["happiness"] * 20 + ["fear"] * 20, seed=1)
    one, other = (collection.get_offsets() for collection in figure.axes[0].collections)
    assert len(one) == len(other) == 20
    spread = max(np.linalg.norm(group - group.mean(0), axis=1).max() for group in (one, other))
    assert np.linalg.norm(one.mean(0) - other.mean(0)) > 2 * spread
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["happiness", "fear"]
    with pytest.raises(PlotError, match="at least 4 codes"):
        plots.tsne(codes[:3], ["a"] * 3)
    with pytest.raises(PlotError, match="not finite"):
        plots.tsne(np.full((5, 2), np.inf), ["a"] * 5)


def test_learning_curves_pair_training_and_validation(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss,accuracy,valid_accuracy\n1,2.0,0.3,\n2,1.5,0.5,0.45\n")
    for history in (path, [{"epoch": 1, "loss": 2.0, "accuracy": 0.3}, {"epoch": 2, "loss": 1.5, "accuracy": 0.5}]):
        figure = plots.learning_curves(history)
        assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
        np.testing.assert_allclose(figure.axes[0].lines[0].get_xydata(), [[1, 2.0], [2, 1.5]])
    figure = plots.learning_curves(path)
    assert legend(figure.axes[1]) == ["training", "validation"]
    alone = plots.learning_curves([{"epoch": 1, "valid_balanced_accuracy": 0.5}])
    assert alone.axes[0].get_title() == "valid balanced accuracy"
    np.testing.assert_allclose(figure.axes[1].lines[1].get_xydata(), [[2, 0.45]])


def test_learning_curves_say_what_is_wrong_with_the_file(tmp_path):
    with pytest.raises(PlotError, match=r"nothing.csv: cannot be read \(No such file"):
        plots.learning_curves(tmp_path / "nothing.csv")
    (tmp_path / "words.csv").write_text("epoch,loss\n1,much\n")
    with pytest.raises(PlotError, match="words.csv: not a table of numbers"):
        plots.learning_curves(tmp_path / "words.csv")
    (tmp_path / "empty.csv").write_text("epoch,loss\n")
    with pytest.raises(PlotError, match="holds no epochs"):
        plots.learning_curves(tmp_path / "empty.csv")


def plain(gray: int, channels: int | None = 1, side: int = 96) -> np.ndarray:
    return np.full((side, side) if channels is None else (side, side, channels), gray, np.uint8)


def test_transfer_grid_has_inputs_on_its_borders_and_every_pair_inside():
    faces, expressions = [plain(10), plain(20)], [plain(30), plain(40), plain(50)]
    generated = [[plain(100 + 10 * row + column) for column in range(3)] for row in range(2)]
    grid = plots.transfer_grid(faces, expressions, generated, ["ann", "bob"], ["neutral", "joy", "fear"])
    assert grid.dtype == np.uint8 and grid.shape[2] == 3
    centers = {}
    for value in (10, 20, 30, 40, 50, 100, 101, 102, 110, 111, 112):
        ys, xs = np.nonzero((grid == value).all(2))
        counts = np.bincount(ys)
        assert counts.max() >= 96
        centers[value] = (np.median(ys), np.median(xs))
    for row, face in ((100, 10), (110, 20)):
        for column, expression in enumerate((30, 40, 50)):
            assert abs(centers[row + column][0] - centers[face][0]) <= 1
            assert abs(centers[row + column][1] - centers[expression][1]) <= 1
    assert centers[10][1] < centers[100][1] < centers[101][1] and centers[30][0] < centers[100][0] < centers[110][0]
    unnamed = plots.transfer_grid(faces, expressions, generated)
    assert unnamed.shape[0] < grid.shape[0] and unnamed.shape[1] < grid.shape[1]


def test_parts_grid_has_a_column_for_each_part():
    grid = plots.parts_grid([plain(10), plain(20)], {"who": [plain(30), plain(40)], "+ pose": [plain(50), plain(60)]})
    centers = {value: np.median(np.nonzero((grid == value).all(2)), axis=1) for value in (10, 20, 30, 40, 50, 60)}
    assert centers[10][1] < centers[30][1] < centers[50][1] and abs(centers[10][0] - centers[50][0]) <= 1
    assert centers[10][0] < centers[20][0] and abs(centers[20][0] - centers[40][0]) <= 1
    with pytest.raises(PlotError, match="as many images in every column"):
        plots.parts_grid([plain(10)], {"who": []})


def test_small_faces_are_enlarged_and_long_names_cut():
    grid = plots.transfer_grid(
        [plain(10, 3, 32)], [plain(30, None, 32)], [[plain(99, 1, 32)]], ["x" * 400], ["y" * 400]
    )
    assert (grid == 99).all(2).sum() == 96 * 96
    assert grid.shape[1] < 6 * 96


def test_interpolation_strip_has_its_ends_outside():
    frames = [[plain(100), plain(120), plain(140)]]
    strip = plots.interpolation_strip(frames, [plain(10)], [plain(20)], ["ann"])
    order = [np.median(np.nonzero((strip == value).all(2))[1]) for value in (10, 100, 120, 140, 20)]
    assert order == sorted(order)
    assert plots.interpolation_strip(frames).shape[1] < strip.shape[1]
    kept = plots.interpolation_strip(frames, [plain(10)], [plain(20)], ["ann"], [plain(70)], "face")
    order = [np.median(np.nonzero((kept == value).all(2))[1]) for value in (70, 10, 100, 120, 140, 20)]
    assert order == sorted(order)


def test_grids_refuse_what_does_not_fit():
    face = plain(1)
    with pytest.raises(PlotError, match="at least one face"):
        plots.transfer_grid([], [face], [])
    with pytest.raises(PlotError, match="as many rows and columns"):
        plots.transfer_grid([face], [face, face], [[face]])
    with pytest.raises(PlotError, match="as many names"):
        plots.transfer_grid([face], [face], [[face]], ["a", "b"])
    with pytest.raises(PlotError, match="one size"):
        plots.transfer_grid([face], [face], [[plain(1, side=48)]])
    with pytest.raises(PlotError, match="uint8"):
        plots.transfer_grid([face], [face], [[np.zeros((96, 96, 1), np.float32)]])
    with pytest.raises(PlotError, match="at least two images"):
        plots.interpolation_strip([[face]])


def test_gif_goes_there_and_back_and_repeats(tmp_path):
    path = tmp_path / "new" / "way.gif"
    plots.write_gif(path, [plain(value) for value in (0, 100, 200)], seconds=0.1)
    with Image.open(path) as gif:
        assert gif.n_frames == 4 and gif.info["loop"] == 0
        grays, times = [], []
        for number in range(4):
            gif.seek(number)
            grays.append(gif.convert("L").getpixel((5, 5)))
            times.append(gif.info["duration"])
    assert grays == [0, 100, 200, 100] and times == [400, 100, 400, 100]
    plots.write_gif(path, [plain(value, None) for value in (0, 100)], there_and_back=False)
    with Image.open(path) as gif:
        assert gif.n_frames == 2
    with pytest.raises(PlotError, match="name end in .gif"):
        plots.write_gif(tmp_path / "way.png", [plain(0), plain(1)])
    with pytest.raises(PlotError, match="at least two frames"):
        plots.write_gif(path, [plain(0)])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".svg", ".pdf"])
def test_charts_are_written_whole_or_not_at_all(tmp_path, ending):
    figure = plots.learning_curves([{"epoch": 1, "loss": 2.0}])
    plots.save(figure, tmp_path / "charts" / f"curves{ending}")
    (written,) = (tmp_path / "charts").iterdir()
    assert written.name == f"curves{ending}" and written.stat().st_size > 500


def test_saving_says_what_is_wrong(tmp_path):
    figure = plots.learning_curves([{"epoch": 1, "loss": 2.0}])
    with pytest.raises(PlotError, match="cannot tell the chart's format"):
        plots.save(figure, tmp_path / "curves.xyz")
    with pytest.raises(ImageError):
        plots.save(plain(1), tmp_path / "face.svg")
    (tmp_path / "file").write_text("")
    with pytest.raises(PlotError, match="cannot be written"):
        plots.save(figure, tmp_path / "file" / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""apps/synthesize.py, from its options to the pictures, with a small untrained model."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kerasfer import images, plots, synthesis, zoo
from kerasfer.cli.common import run_app
from kerasfer.models.tdgan import TDGAN, TDGANConfig
from kerasfer.rendering import render_image

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def app():
    return importlib.import_module("kerasfer.cli.synthesize")


@pytest.fixture(scope="module")
def model():
    return TDGAN(TDGANConfig.tiny().replace(inception_blocks=1, residual_blocks=1))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return str(zoo.save(model, tmp_path_factory.mktemp("zoo") / "tiny", groups=("recognizer", "generator")))


@pytest.fixture
def drawn(monkeypatch):
    """What the app gives to the functions that draw."""
    calls = {}
    for name in ("transfer_grid", "interpolation_strip", "write_gif"):
        original = getattr(plots, name)

        def noting(*arguments, _name=name, _original=original, **options):
            calls[_name] = (arguments, options)
            return _original(*arguments, **options)

        monkeypatch.setattr(plots, name, noting)
    return calls


def test_default_is_synthetic_people_with_all_eight_expressions(app, model, saved, drawn, tmp_path, capsys):
    path = tmp_path / "grid.png"
    assert app.main(["--model", saved, "--output", str(path)]) == 0
    (faces, expressions, cells, face_names, expression_names), _ = drawn["transfer_grid"]
    assert faces.shape == (4, 32, 32, 1) and cells.shape == (4, 8, 32, 32, 1) and cells.dtype == np.uint8
    assert expression_names == list(model.label_space.labels)
    assert face_names == ["person 1", "person 2", "person 3", "person 4"]
    assert len({image.tobytes() for image in [*faces, *expressions]}) == 12
    spec = model.image_spec
    noise = np.random.default_rng(0).random((32, 2, 2, 4), np.float32)[17:18]
    one = model.synthesize(spec.scale(faces[2:3]), spec.scale(expressions[1:2]), noise)
    np.testing.assert_allclose(cells[2, 1], spec.unscale(one)[0], atol=1)
    assert images.read(path).shape[0] > 5 * 96
    assert str(path) in capsys.readouterr().out


def test_seeds_repeat_and_differ(app, saved, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, seed in zip(paths, ("3", "3", "4")):
        assert app.main(["--model", saved, "--people", "1", "--seed", seed, "--output", str(path)]) == 0
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other


def test_photos_are_detected_and_aligned(app, saved, drawn, tmp_path):
    images.write(tmp_path / "astronaut.png", skimage.data.astronaut())
    arguments = ["--model", saved, "--faces", str(tmp_path / "astronaut.png"), "--output", str(tmp_path / "grid.jpg")]
    assert app.main(arguments) == 0
    (faces, _, _, names, _), _ = drawn["transfer_grid"]
    assert names == ["astronaut"] and faces.shape == (1, 32, 32, 1)
    assert app.main([*arguments, "--aligned"]) == 0
    (whole, *_), _ = drawn["transfer_grid"]
    np.testing.assert_array_equal(whole[0, :, :, 0], images.resize(images.to_gray(skimage.data.astronaut()), 32))
    assert np.abs(whole.astype(int) - faces).mean() > 20


@pytest.mark.parametrize("kind", ["expression", "face"])
def test_interpolation_writes_a_strip_and_an_animation(app, model, saved, drawn, tmp_path, kind):
    arguments = ["--model", saved, "--interpolate", kind, "--steps", "3", "--people", "2"]
    arguments += ["--output", str(tmp_path / "strip.png"), "--gif", str(tmp_path / "way.gif"), "--seed", "1"]
    assert app.main(arguments) == 0
    (frames, first, last, names, kept, kept_name), _ = drawn["interpolation_strip"]
    rows = 2 if kind == "expression" else 8
    assert np.shape(frames) == (rows, 3, 32, 32, 1) and len(names) == len(kept) == rows
    assert {kind, kept_name} == {"expression", "face"}
    assert (first[0] == first[-1]).all() and (first[0] != last[0]).any()
    spec = model.image_spec
    with Image.open(tmp_path / "way.gif") as gif:
        assert gif.n_frames == 4 and gif.size == (rows * 128, 128)
    if kind == "face":
        options = app.parser().parse_args(["--seed", "1"])
        expressions, _ = app.inputs(["synthetic"], spec, options, lambda: app.synthetic_expressions(options, ["fear"]))
        row = model.label_space.index("fear")
        noise = np.random.default_rng(1).random((1, 2, 2, 4), np.float32)
        for number, end in ((0, first), (-1, last)):
            expected = model.synthesize(spec.scale(end[:1]), expressions, noise)
            np.testing.assert_allclose(frames[row][number], spec.unscale(expected)[0], atol=1)


def bad(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    images.write(tmp_path / "wall.png", np.full((100, 100, 3), 90, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    (tmp_path / "none").mkdir()
    return {
        "unknown model": (["--model", str(tmp_path / "nothing")], "nothing"),
        "no such photo": (["--faces", str(tmp_path / "me.jpg")], "me.jpg: no such file"),
        "no face": (["--faces", str(tmp_path / "wall.png")], "wall.png: no face found"),
        "broken photo": (["--expressions", str(tmp_path / "broken.jpg")], "broken.jpg"),
        "empty folder": (["--faces", str(tmp_path / "none")], "holds no images"),
        "output": (["--output", str(tmp_path / "grid.bmp")], "grid.bmp: cannot tell"),
        "gif alone": (["--gif", str(tmp_path / "way.gif")], "add --interpolate"),
        "gif ending": (["--interpolate", "face", "--gif", "way.png"], "way.png: an animation is a GIF"),
        "steps": (["--interpolate", "face", "--steps", "1"], "--steps is at least 2"),
        "one photo": (["--interpolate", "face", "--aligned", "--faces", str(tmp_path / "wall.png")], "give two photos"),
        "detector": (["--detector", "eyes", "--faces", str(tmp_path / "wall.png")], "eyes"),
    }


def test_bad_input_is_one_line_and_exit_code_2(app, saved, tmp_path, monkeypatch, capsys):
    for name, (arguments, message) in bad(tmp_path).items():
        first = [] if name == "unknown model" else ["--model", saved]
        last = [] if name == "output" else ["--output", str(tmp_path / "grid.png")]
        monkeypatch.setattr(sys, "argv", ["synthesize.py", *first, *arguments, *last])
        with pytest.raises(SystemExit) as exit:
            run_app(app.main)
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert exit.value.code == 2 and line.startswith("error: ") and message in line, name
        assert not list(tmp_path.glob("*grid*")) and not list(tmp_path.glob("*.gif")), name


def test_a_model_that_generates_nothing_is_refused(app, tmp_path):
    base = TDGAN(TDGANConfig.tiny().replace(inception_blocks=1).cnn_base())
    folder = zoo.save(base, tmp_path / "base")
    with pytest.raises(ValueError, match="base: a TDGAN recognizes, and generates nothing; use another"):
        app.main(["--model", str(folder), "--output", str(tmp_path / "grid.png")])
    assert not (tmp_path / "grid.png").exists()


def test_synthetic_renderings_are_faces_the_detector_knows():
    from kerasfer.detection import detect

    assert len(detect(render_image(0, zoom=0.8), pose=False)) == 1


def test_disentangling_draws_each_part(app, tmp_path, capsys):
    from kerasfer.models.ipdfer import IPDFER, IPDFERConfig

    folder = zoo.save(IPDFER(IPDFERConfig.tiny()), tmp_path / "tiny")
    path = tmp_path / "parts.png"
    assert app.main(["--model", str(folder), "--disentangle", "--people", "2", "--output", str(path)]) == 0
    assert "2 faces, drawn from + identity, + pose, + expression" in capsys.readouterr().out
    assert images.read(path).shape[1] > images.read(path).shape[0]


def test_a_model_without_parts_does_not_disentangle(app, saved):
    with pytest.raises(ValueError, match="a TDGAN does not disentangle; use another"):
        app.main(["--model", saved, "--disentangle"])
    with pytest.raises(ValueError, match="give one of them"):
        app.main(["--model", saved, "--disentangle", "--interpolate", "face"])


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A model that takes expressions by name, saved."""
    from kerasfer.models.fesr import FESR, FESRConfig

    model = FESR(FESRConfig.tiny().replace(variant="fg_co"))
    return model, str(zoo.save(model, tmp_path_factory.mktemp("zoo") / "named", groups=("recognizer", "generator")))


def test_expressions_by_name_and_new_people(app, named, monkeypatch, tmp_path, capsys):
    model, folder = named
    calls = []
    for name in ("parts_grid", "faces_grid"):
        original = getattr(plots, name)

        def noting(*arguments, _original=original):
            calls.append(arguments)
            return _original(*arguments)

        monkeypatch.setattr(plots, name, noting)
    path = tmp_path / "drawn.png"
    start = ["--model", folder, "--people", "2", "--output", str(path)]
    assert app.main(start) == 0
    faces, cells, names = calls.pop()
    assert list(cells) == list(model.label_space.labels) and names == ["person 1", "person 2"]
    spec = model.image_spec
    expected = spec.unscale(model.synthesize(spec.scale(faces), "fear"))
    np.testing.assert_allclose(np.stack(cells["fear"]).astype(int), expected, atol=1)
    assert app.main([*start, "--expression", "surprise", "fear", "--intensity", "0.5:1.0:3"]) == 0
    faces, cells, names = calls.pop()
    assert list(cells) == ["0.50", "0.75", "1.00"] and faces.shape == (4, 32, 32, 1)
    assert names == ["person 1 surprise", "person 1 fear", "person 2 surprise", "person 2 fear"]
    np.testing.assert_allclose(cells["1.00"][1].astype(int), expected[0], atol=1)
    assert app.main([*start, "--new-people", "3", "--expression", "anger", "--seed", "2"]) == 0
    cells, names = calls.pop()
    people = spec.unscale(synthesis.NamedExpressions(model).new_people(3, ["anger"], seed=2))
    np.testing.assert_array_equal(cells["anger"], people[:, 0])
    assert names == ["new 1", "new 2", "new 3"]
    assert "3 people with anger" in capsys.readouterr().out and images.read(path).shape[0] > 3 * 96


def test_bad_input_of_named_expressions(app, named, saved, tmp_path):
    _, folder = named
    output = ["--output", str(tmp_path / "drawn.png")]
    for model, arguments, message in (
        (folder, ["--intensity", "0.1:1.5:4"], "0.1:1.5:4: write a number in"),
        (folder, ["--intensity", "-1"], "write a number in"),
        (folder, ["--intensity", "0:1:1"], "two or more"),
        (folder, ["--intensity", "much"], "--intensity much"),
        (folder, ["--expression", "joy"], "unknown expression 'joy'; this model has neutral"),
        (folder, ["--new-people", "0"], "--new-people is at least 1"),
        (folder, ["--interpolate", "face"], "takes expressions by name: give --expression"),
        (folder, ["--expressions", "photo.jpg"], "takes expressions by name: give --expression"),
        (folder, ["--interpolate", "face", "--new-people", "2"], "give nothing else beside"),
        (saved, ["--expression", "fear"], "a TDGAN takes expressions from photos: give --expressions"),
    ):
        with pytest.raises(ValueError, match=message):
            app.main(["--model", model, *arguments, *output])
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A model that landmarks drive and that has seen rendered faces, saved."""
    from kerasfer import datasets
    from kerasfer.detection import align_table
    from kerasfer.models.g2fer import G2FER, G2FERConfig

    model = G2FER(G2FERConfig.tiny())
    faces = align_table(datasets.load("synthetic", count=120, identities=8, size=48), model.image_spec.size)
    labels = np.eye(8, dtype=np.float32)[faces.encoded(model.label_space)]
    model.adapt({"landmarks": faces["landmarks"], "label": labels})
    return model, str(zoo.save(model, tmp_path_factory.mktemp("zoo") / "driven"))


def test_faces_driven_by_landmarks(app, driven, drawn, monkeypatch, tmp_path, capsys):
    import json

    model, folder = driven
    calls = []
    original = plots.parts_grid
    monkeypatch.setattr(plots, "parts_grid", lambda *arguments: calls.append(arguments) or original(*arguments))
    points = synthesis.ByLandmarks(model).landmarks_of("surprise", 15)
    (tmp_path / "points.json").write_text(json.dumps(points.tolist()))
    images.write(tmp_path / "you.png", skimage.data.astronaut()[:256, 100:356])
    start = ["--model", folder, "--people", "2", "--output", str(tmp_path / "drawn.png")]
    assert app.main([*start, "--aligned", "--landmarks", str(tmp_path / "points.json")]) == 0
    faces, cells, names = calls.pop()
    spec = model.image_spec
    expected = spec.unscale(model.synthesize(spec.scale(faces), points))
    np.testing.assert_allclose(cells["points"].astype(int), expected, atol=1)
    assert names == ["person 1", "person 2"] and list(cells) == ["points"]
    files = [str(tmp_path / name) for name in ("points.json", "you.png")]
    assert app.main([*start, "--landmarks", *files, "--expression", "fear", "--yaw", "-15", "0"]) == 0
    assert list(calls.pop()[1]) == ["points", "you", "fear -15", "fear 0"]
    assert app.main(start) == 0
    faces, cells, names = calls.pop()
    assert list(cells) == list(model.label_space.labels) and names[0] == "person 1, -45" and len(names) == 14
    assert cells["neutral"][3].shape == spec.shape and cells["neutral"][0] is None
    gif = tmp_path / "way.gif"
    way = ["--expression", "neutral", "surprise", "--interpolate", "geometry", "--steps", "3", "--gif", str(gif)]
    assert app.main([*start, *way]) == 0
    (frames,), _ = drawn["interpolation_strip"]
    assert np.shape(frames) == (2, 3, 32, 32, 1)
    with Image.open(gif) as animation:
        assert animation.n_frames == 4
    assert "2 faces with neutral, surprise" in capsys.readouterr().out


def test_bad_landmarks_on_the_command_line(app, driven, model, saved, monkeypatch, tmp_path):
    import json

    loaded = {saved: model}
    model, folder = driven
    loaded[folder] = model
    monkeypatch.setattr(zoo, "load", loaded.__getitem__)
    points = synthesis.ByLandmarks(model).landmarks_of("neutral").tolist()
    for name, content in (("few", points[:60]), ("mirrored", [[32 - x, y] for x, y in points])):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for source, arguments, message in (
        (folder, ["--landmarks", str(tmp_path / "few.json")], r"few.json: holds points of shape \(60, 2\)"),
        (folder, ["--landmarks", str(tmp_path / "mirrored.json")], "mirrored.json: landmarks .* in mirrored order"),
        (folder, ["--expression", "fear", "--yaw", "80"], "fear at a yaw of 80 degrees was not in the training set"),
        (folder, ["--expression", "joy"], "unknown expression 'joy'"),
        (folder, ["--yaw", "10"], "--yaw turns an expression"),
        (folder, ["--interpolate", "geometry"], "goes between two: name two, not 0"),
        (folder, ["--interpolate", "face"], "is driven by landmarks: give --landmarks"),
        (folder, ["--disentangle"], "is driven by landmarks"),
        (folder, ["--new-people", "3"], "takes no --new-people"),
        (saved, ["--landmarks", "a.json"], "a TDGAN takes no --landmarks and no --yaw; use g2fer"),
        (saved, ["--interpolate", "geometry"], "a TDGAN does not interpolate geometry"),
    ):
        with pytest.raises(ValueError, match=message):
            app.main(["--model", source, *arguments, "--people", "1", "--output", str(tmp_path / "drawn.png")])
    assert not (tmp_path / "drawn.png").exists()

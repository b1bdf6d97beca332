"""Puts expressions on faces with a trained model, and draws the result.

    kerasfer synthesize --model tdgan                                   # synthetic faces, all expressions
    kerasfer synthesize --faces me.jpg you.jpg --expressions laugh.jpg frown.jpg --output grid.png
    kerasfer synthesize --interpolate expression --faces me.jpg --expressions calm.jpg laugh.jpg --gif me.gif

    kerasfer synthesize --model ipdfer --disentangle --faces me.jpg     # who, in which pose, with what expression

    kerasfer synthesize --model fesr --faces me.jpg                                     # all expressions by name
    kerasfer synthesize --model fesr --faces me.jpg --expression surprise --intensity 0.1:1.0:6
    kerasfer synthesize --model fesr --new-people 16                                    # people who do not exist

    kerasfer synthesize --model dcganfer --new-people 16                                # the same, of no expression

    kerasfer synthesize --model g2fer --faces me.jpg --landmarks you.jpg points.json    # my face, your pose
    kerasfer synthesize --model g2fer --faces me.jpg --expression happiness --yaw -30 0 30
    kerasfer synthesize --model g2fer --expression neutral surprise --interpolate geometry --gif me.gif

The grid shows each face (left) with each expression (top). --interpolate goes from the first expression to the second
on each face, or from the first face to the second with each expression. --intensity goes from weak to strong. Exit
code 2: bad input.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasfer.cli.common import say
from kerasfer.cli.geometry import draw
from kerasfer.cli.opening import add_open_option, open_result
from kerasfer.progress import Status

if TYPE_CHECKING:
    import numpy as np

    from kerasfer.faces import ImageSpec
    from kerasfer.rendering import Rendering

SYNTHETIC = "synthetic"
PICTURES = (".png", ".jpg", ".jpeg")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tdgan", help="name of a bundled model, or a folder (default: tdgan)")
    parser.add_argument(
        "--faces",
        nargs="+",
        default=[SYNTHETIC],
        metavar="PHOTO",
        help="photos, folders or patterns, of each photo the largest face; or 'synthetic' for people (default)",
    )
    parser.add_argument(
        "--expressions",
        nargs="+",
        default=[SYNTHETIC],
        metavar="PHOTO",
        help="the same for the expressions; 'synthetic' is one person with each expression (default)",
    )
    parser.add_argument(
        "--output", default="synthesized.png", metavar="FILE", help="PNG or JPEG (default: %(default)s)"
    )
    parser.add_argument(
        "--interpolate", choices=("expression", "face", "geometry"), help="interpolate between two of these"
    )
    parser.add_argument(
        "--disentangle",
        action="store_true",
        help="draw each face from its parts: the person, with pose, with expression",
    )
    parser.add_argument(
        "--expression",
        nargs="+",
        metavar="NAME",
        help="expressions by name, for models that take them so (default: all)",
    )
    parser.add_argument(
        "--intensity",
        default="1",
        metavar="LOW:HIGH:COUNT",
        help="how strong a named expression is, in [0, 1]: a number, or COUNT from LOW to HIGH (default: %(default)s)",
    )
    parser.add_argument(
        "--landmarks",
        nargs="+",
        metavar="FILE",
        help="68 points (.json, .pts, .csv, .txt) or photos whose landmarks drive the faces",
    )
    parser.add_argument(
        "--yaw", nargs="+", type=float, metavar="DEGREES", help="turn heads with a named --expression (default: 0)"
    )
    parser.add_argument("--new-people", type=int, metavar="N", help="draw N people who do not exist")
    parser.add_argument("--steps", type=int, default=8, help="frames of an interpolation (default: 8)")
    parser.add_argument("--gif", metavar="FILE", help="write the interpolation as an animation too")
    parser.add_argument("--people", type=int, default=4, help="number of synthetic faces (default: 4)")
    parser.add_argument("--aligned", action="store_true", help="the photos are aligned crops already: detect no faces")
    parser.add_argument("--detector", default="mediapipe", help="face detector, as of recognize (default: mediapipe)")
    add_open_option(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of the synthetic people (default: 0)")
    parser.set_defaults(status=Status())
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    check(options)
    with options.status:
        options.status.tell(f"loading {options.model} ...")
        done = synthesize(options)
    if options.gif:
        say(f"animation: {options.gif}")
    say(f"{done}: {options.output}")
    if options.open:
        open_result(options.gif or options.output)
    return 0


def synthesize(options: argparse.Namespace) -> str:
    """Draws what is asked for into the file; returns what that is."""
    from kerasfer import synthesis, zoo

    model = zoo.load(options.model)
    controls = synthesis.of(model)
    a_model = f"{options.model}: a {type(model).__name__}"
    if not controls:
        raise ValueError(f"{a_model} recognizes, and generates nothing; use another")
    if (options.landmarks or options.yaw) and "landmarks" not in controls:
        raise ValueError(f"{a_model} takes no --landmarks and no --yaw; use g2fer")
    for name, drawn_by in DRAWN_BY.items():
        if name in controls:
            return drawn_by(controls[name], options)
    raise ValueError(
        f"{a_model} is controlled by {', '.join(controls)}, for which there is no option; use kerasfer.synthesis"
    )


def draw_by_landmarks(control: Any, options: argparse.Namespace) -> str:
    """Draws faces with the expression and the pose of landmarks."""
    spec = control.model.image_spec
    faces, names = inputs(options.faces, spec, options, lambda: synthetic_people(options))
    return draw(control, options, faces, names, enlarged)


def draw_by_photo(control: Any, options: argparse.Namespace) -> str:
    """Draws faces with the expressions of photos, on the way between two, or part by part."""
    from kerasfer import plots

    model, spec = control.model, control.model.image_spec
    a_model = f"{options.model}: a {type(model).__name__}"
    if named(options):
        raise ValueError(f"{a_model} takes expressions from photos: give --expressions, not names")
    if options.interpolate == "geometry":
        raise ValueError(f"{a_model} does not interpolate geometry; use another")
    if options.disentangle and not control.disentangles:
        raise ValueError(f"{a_model} does not disentangle; use another")
    faces, face_names = inputs(options.faces, spec, options, lambda: synthetic_people(options))
    if options.disentangle:
        drawn = {f"+ {part}": spec.unscale(images) for part, images in control.disentangle(faces).items()}
        plots.save(plots.parts_grid(spec.unscale(faces), drawn, face_names), options.output)
        return f"{len(faces)} faces, drawn from {', '.join(drawn)}"
    expressions, expression_names = inputs(
        options.expressions, spec, options, lambda: synthetic_expressions(options, model.label_space.labels)
    )
    if options.interpolate:
        between, others, names, kept = (
            (expressions, faces, face_names, "face")
            if options.interpolate == "expression"
            else (faces, expressions, expression_names, "expression")
        )
        first, last = ends(between, options)
        way = control.interpolate_expression if options.interpolate == "expression" else control.interpolate_face
        frames = [spec.unscale(way(other, first, last, steps=options.steps, seed=options.seed)) for other in others]
        begin, end = (spec.unscale(side)[None].repeat(len(others), 0) for side in (first, last))
        plots.save(plots.interpolation_strip(frames, begin, end, names, spec.unscale(others), kept), options.output)
        if options.gif:
            plots.write_gif(options.gif, enlarged(frames))
    else:
        count = len(expressions)
        every_face, every_expression = faces.repeat(count, 0), expressions[list(range(count)) * len(faces)]
        generated = control.transfer(every_face, every_expression, options.seed)
        cells = spec.unscale(generated).reshape(len(faces), count, *spec.shape)
        grid = plots.transfer_grid(spec.unscale(faces), spec.unscale(expressions), cells, face_names, expression_names)
        plots.save(grid, options.output)
    return f"{len(faces)} faces, {len(expressions)} expressions"


def check(options: argparse.Namespace) -> None:
    """`ValueError` for options that cannot work, before anything is loaded."""
    if Path(options.output).suffix.lower() not in PICTURES:
        raise ValueError(f"{options.output}: cannot tell the image's format; let the name end in {', '.join(PICTURES)}")
    if options.disentangle and options.interpolate:
        raise ValueError("--disentangle draws parts and --interpolate a way: give one of them")
    if options.gif and not options.interpolate:
        raise ValueError("--gif shows an interpolation: add --interpolate expression, face or geometry")
    if options.gif and Path(options.gif).suffix.lower() != ".gif":
        raise ValueError(f"{options.gif}: an animation is a GIF; let the name end in .gif")
    if options.interpolate in ("expression", "face") or options.disentangle or options.expressions != [SYNTHETIC]:
        if named(options):
            raise ValueError(
                "--expression, --intensity and --new-people draw named expressions: give nothing else beside"
            )
    if options.new_people is not None and options.new_people < 1:
        raise ValueError("--new-people is at least 1")
    levels(options.intensity)
    if options.steps < 2 or options.people < 1 or options.seed < 0:
        raise ValueError("--steps is at least 2, --people at least 1 and --seed not negative")


def named(options: argparse.Namespace) -> bool:
    """Whether expressions are asked for by name."""
    return bool(options.expression) or options.new_people is not None or options.intensity != "1"


def levels(text: str) -> np.ndarray:
    """The intensities of "LOW:HIGH:COUNT" or of one number; `ValueError` if they are not in [0, 1]."""
    import numpy as np

    parts = text.split(":")
    try:
        low, high = float(parts[0]), float(parts[min(1, len(parts) - 1)])
        count = 1 if len(parts) == 1 else int(parts[2])
    except (ValueError, IndexError):
        low, high, count = -1.0, -1.0, -1
    if len(parts) not in (1, 3) or not (0 <= low <= 1 and 0 <= high <= 1 and (len(parts) == 1 or count >= 2)):
        raise ValueError(
            f"--intensity {text}: write a number in [0, 1], or LOW:HIGH:COUNT with two or more, as 0.1:1.0:6"
        )
    return np.linspace(low, high, count, dtype=np.float32)


def draw_people(control: Any, options: argparse.Namespace) -> str:
    """Draws people who do not exist, with expressions that nobody chose."""
    from kerasfer import plots

    model = control.model
    given = options.expression or options.intensity != "1" or options.expressions != [SYNTHETIC]
    if given or options.interpolate or options.disentangle or options.faces != [SYNTHETIC]:
        raise ValueError(
            f"{options.model}: a {type(model).__name__} draws people of its own: give --new-people N alone"
        )
    options.status.tell("drawing ...")
    people = model.image_spec.unscale(control.generate(options.new_people or options.people, options.seed))
    names = [f"new {number + 1}" for number in range(len(people))]
    plots.save(plots.faces_grid({"": list(people)}, names), options.output)
    return f"{len(people)} people"


def draw_named(control: Any, options: argparse.Namespace) -> str:
    """Draws faces, or people who do not exist, with expressions by name, at one intensity or from weak to strong."""
    import numpy as np

    from kerasfer import plots

    model = control.model
    if options.interpolate or options.disentangle or options.expressions != [SYNTHETIC]:
        raise ValueError(
            f"{options.model}: a {type(model).__name__} takes expressions by name: give --expression NAME instead"
        )
    spec, intensities = model.image_spec, levels(options.intensity)
    expressions = options.expression or list(model.label_space.labels)
    model.expression_codes(expressions)
    if options.new_people is not None:
        options.status.tell("drawing ...")
        faces, names = None, [f"new {number + 1}" for number in range(options.new_people)]
    else:
        faces, names = inputs(options.faces, spec, options, lambda: synthetic_people(options))

    def drawn(chosen: list[str], intensity: Any) -> np.ndarray:
        if faces is None:
            return spec.unscale(control.new_people(len(names), chosen, options.seed, intensity))
        return spec.unscale(control.each(faces, chosen, intensity))

    if len(intensities) == 1:
        images, columns, rows = drawn(expressions, intensities[0]), expressions, names
    else:
        strips = [drawn([expression] * len(intensities), intensities) for expression in expressions]
        images = np.stack([strip[row] for row in range(len(names)) for strip in strips])
        columns = [f"{intensity:.2f}" for intensity in intensities]
        rows = [f"{name} {expression}" for name in names for expression in expressions]
    cells = {column: [row[number] for row in images] for number, column in enumerate(columns)}
    if faces is None:
        grid = plots.faces_grid(cells, rows)
    else:
        grid = plots.parts_grid(spec.unscale(faces).repeat(len(rows) // len(names), 0), cells, rows)
    plots.save(grid, options.output)
    return f"{len(names)} people with {', '.join(expressions)}"


DRAWN_BY: dict[str, Callable[[Any, argparse.Namespace], str]] = {
    "landmarks": draw_by_landmarks,
    "names": draw_named,
    "photos": draw_by_photo,
    "noise": draw_people,
}
"""Control of `kerasfer.synthesis` -> what draws with it; of a model that has several the first."""


def inputs(
    paths: list[str], spec: ImageSpec, options: argparse.Namespace, render: Callable[[], list[tuple[str, Rendering]]]
) -> tuple[np.ndarray, list[str]]:
    """The aligned faces of photos or renderings, float32 (n, h, w, c) in the model's range, and their names."""
    import numpy as np

    from kerasfer import images
    from kerasfer.detection import align, detect
    from kerasfer.faces import Landmarks
    from kerasfer.recognition import find_photos

    found, names = [], []
    if paths == [SYNTHETIC]:
        for name, rendering in render():
            found.append(align(rendering.image, Landmarks(rendering.landmarks), spec.size))
            names.append(name)
    else:
        named: list[Any] = find_photos(paths)
        for number, photo in enumerate(map(os.fsdecode, named), 1):
            options.status.tell(f"looking for the face in photo {number} of {len(named)} ...")
            image, _ = images.read_reduced(photo)
            if not options.aligned:
                detected = detect(image, options.detector, pose=False)
                if not detected:
                    raise ValueError(f"{photo}: no face found; use another photo, or --aligned if it is one face alone")
                image = align(image, detected[0], spec.size)
            found.append(image)
            names.append(Path(photo).stem)
    options.status.tell("drawing ...")
    return np.stack([images.prepare(image, spec) for image in found]), names


def synthetic_people(options: argparse.Namespace) -> list[tuple[str, Rendering]]:
    """Names and renderings of people with a neutral face."""
    from kerasfer.rendering import make_factors, render

    return [
        (f"person {number + 1}", render(make_factors(number, zoom=0.8, background=number, seed=options.seed), 256, 3))
        for number in range(max(options.people, 2 if options.interpolate == "face" else 1))
    ]


def synthetic_expressions(options: argparse.Namespace, labels: tuple[str, ...]) -> list[tuple[str, Rendering]]:
    """Names and renderings of one more person with each of the model's expressions that can be rendered."""
    from kerasfer.expressions import FERPLUS8
    from kerasfer.rendering import make_factors, render

    return [
        (label, render(make_factors(1000, label, zoom=0.8, seed=options.seed), 256, 3))
        for label in labels
        if FERPLUS8.find(label) >= 0
    ]


def ends(images: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """The two images to go between."""
    given = getattr(options, f"{options.interpolate}s")
    if len(images) != 2 and given != [SYNTHETIC]:
        raise ValueError(f"--interpolate {options.interpolate} goes between two: give two photos, not {len(images)}")
    return images[:2]


def enlarged(frames: list[np.ndarray]) -> list[np.ndarray]:
    """The frames of an animation, all rows side by side, large enough to see."""
    import numpy as np

    from kerasfer import images

    scale = max(1, -(-128 // frames[0].shape[1]))
    side_by_side = np.concatenate(frames, axis=2)
    size = (side_by_side.shape[1] * scale, side_by_side.shape[2] * scale)
    return [images.resize(frame, size) for frame in side_by_side]

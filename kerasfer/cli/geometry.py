"""The part of `kerasfer synthesize` for models that landmarks drive."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from kerasfer.cli.common import say

__all__ = ["draw"]


def draw(control: Any, options: argparse.Namespace, faces: Any, names: list[str], enlarged: Callable) -> str:
    """Draws faces with given landmarks, with named expressions and yaws, on the way between two, or in every pose.

    Args:
        control: the model's `ByLandmarks`.
        options: of the command line.
        faces: float32 (n, h, w, c) in [-1, 1].
        names: n names.
        enlarged: makes the frames of an animation of rows of images.

    Returns:
        What was drawn.
    """
    from kerasfer import plots

    model, spec = control.model, control.model.image_spec
    if options.disentangle or options.expressions != ["synthetic"] or options.interpolate in ("expression", "face"):
        raise ValueError(
            f"{options.model}: a {type(model).__name__} is driven by landmarks: give --landmarks FILE or PHOTO, or "
            "--expression NAME and --yaw DEGREES; between two of them, --interpolate geometry"
        )
    if options.new_people is not None or options.intensity != "1":
        raise ValueError(f"{options.model}: a {type(model).__name__} takes no --new-people and no --intensity")
    sets = chosen(control, options)
    for name, points in sets.items():
        for doubt in control.doubts(points):
            with options.status.hidden():
                say(f"{name}: {doubt}")
    if options.interpolate:
        if len(sets) != 2:
            raise ValueError(f"--interpolate geometry goes between two: name two, not {len(sets)}")
        frames = [spec.unscale(control.interpolate(face, *sets.values(), steps=options.steps)) for face in faces]
        strip = plots.interpolation_strip(frames, row_names=names, kept=spec.unscale(faces), kept_name="face")
        plots.save(strip, options.output)
        if options.gif:
            plots.write_gif(options.gif, enlarged(frames))
    elif sets:
        drawn = {name: spec.unscale(control.transfer(faces, points)) for name, points in sets.items()}
        plots.save(plots.parts_grid(spec.unscale(faces), drawn, names), options.output)
    else:
        plots.save(poses(control, faces, names), options.output)
    return f"{len(faces)} faces with {', '.join(sets) or 'every pose and expression'}"


def chosen(control: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Name -> landmarks, (68, 2) in pixels of the model's images, as the command line asks for them."""
    from pathlib import Path

    from kerasfer.detection.points import driver_landmarks

    sets = {}
    for path in options.landmarks or []:
        points = driver_landmarks(path, control.model.image_spec.size, options.detector, options.aligned)
        try:
            control.checked_landmarks(points)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        name = Path(path).stem
        sets[name if name not in sets else str(path)] = points
    if options.yaw and not options.expression:
        raise ValueError("--yaw turns an expression: name one with --expression")
    for expression in options.expression or []:
        for yaw in options.yaw or [0.0]:
            name = f"{expression} {yaw:g}" if options.yaw else expression
            sets[name] = control.landmarks_of(expression, yaw)
    return sets


def poses(control: Any, faces: Any, names: list[str]) -> Any:
    """Each face in every pose (rows) with every expression (columns); left empty what the training set did not show."""
    from kerasfer import plots

    spec, labels = control.model.image_spec, control.model.label_space.labels
    cells: dict[str, list[Any]] = {label: [] for label in labels}
    for face in faces:
        grid, shown = control.pose_grid(face)
        pictures = spec.unscale(grid)
        for column, label in enumerate(labels):
            cells[label] += [
                picture if there else None for picture, there in zip(pictures[:, column], shown[:, column])
            ]
    rows = [f"{name}, {yaw:g}" for name in names for yaw in control.yaws]
    return plots.parts_grid(spec.unscale(faces).repeat(len(control.yaws), 0), cells, rows)

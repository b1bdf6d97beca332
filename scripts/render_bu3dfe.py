#!/usr/bin/env python3
"""Renders BU-3DFE's models as G2-FER trains on: seven pan and five tilt angles, level 4, six expressions.

    python scripts/render_bu3dfe.py ROOT OUT                   # 21,000 images of 224 x 224
    python scripts/render_bu3dfe.py ROOT OUT --people 5 --workers 1

ROOT is the folder or zip with F0001/F0001_AN04WH_F3D.wrl and its texture beside it. Views are written to
OUT/F0001/F0001_AN04WH_y-30_p+15.png; those that are there already are kept, so a run that was stopped resumes. Then
`kerasfer.datasets.load("bu3dfe", OUT)` reads them.

Rays are cast by Embree (`pip install '.[render]'`): it needs neither a display nor a graphics driver.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps"))

from common import run_app  # noqa: E402

from kerasfer import images  # noqa: E402
from kerasfer.datasets import bu3dfe  # noqa: E402
from kerasfer.datasets.base import DatasetError, ImageSource, open_source  # noqa: E402
from kerasfer.datasets.vrml import Mesh, parse_vrml  # noqa: E402

OVERSAMPLING = 2
"""Rays along each side of a pixel."""

MARGIN = 0.05
"""Part of the image's side that stays free around the frontal face, on each side."""


def rotation(yaw: float, pitch: float) -> np.ndarray:
    """The matrix (3, 3) that turns a head: first by its pitch, then by its yaw, in degrees as in `HeadPose`."""
    across, up = np.radians(yaw), np.radians(pitch)
    by_yaw = [[np.cos(across), 0, np.sin(across)], [0, 1, 0], [-np.sin(across), 0, np.cos(across)]]
    by_pitch = [[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]]
    return np.array(by_yaw) @ np.array(by_pitch)


def sample(texture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Colors, uint8 (height, width, 3), of an RGB texture at places in it, float32 (height, width, 2)."""
    height, width = texture.shape[:2]
    x, y = places[..., 0] * width - 0.5, (1 - places[..., 1]) * height - 0.5
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def render(mesh: Mesh, texture: np.ndarray, poses: list[tuple[int, int]], size: int) -> list[np.ndarray]:
    """Renders a model in parallel projection on black, in the colors of its texture, without further light.

    The scale is the same in all views: the frontal face fills the image but for `MARGIN`. The head turns about the
    middle of the model's bounding box.

    Args:
        mesh: the model.
        texture: uint8 (height, width, 3).
        poses: yaw and pitch of each view, in degrees.
        size: height and width of the images.

    Returns:
        For each pose an image, uint8 (size, size, 3).
    """
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    low, high = mesh.points.min(0), mesh.points.max(0)
    reach = float(np.linalg.norm(high - low))
    half = float((high - low)[:2].max()) / 2 / (1 - 2 * MARGIN)
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(mesh.points - (low + high) / 2), np.ascontiguousarray(mesh.triangles))
    steps = (np.arange(size * OVERSAMPLING) + 0.5) / (size * OVERSAMPLING) * 2 - 1
    x, y = np.meshgrid(steps * half, -steps * half)
    starts = np.stack([x.ravel(), y.ravel(), np.full(x.size, reach)], 1)
    views = []
    for yaw, pitch in poses:
        turned = rotation(yaw, pitch)
        origins = np.ascontiguousarray(starts @ turned, np.float32)
        directions = np.tile(np.float32([0, 0, -1] @ turned), (len(starts), 1))
        hits = scene.run(origins, directions, query="INTERSECT", output=True)
        seen = hits["primID"] >= 0
        u, v = hits["u"][seen, None], hits["v"][seen, None]
        corners = mesh.corners[hits["primID"][seen]]
        places = np.zeros((len(starts), 2), np.float32)
        places[seen] = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
        picture = sample(texture, places.reshape(*x.shape, 2))
        picture[~seen.reshape(x.shape)] = 0
        views.append(images.resize(picture, size))
    return views


def load_model(source: ImageSource, path: str) -> tuple[Mesh, np.ndarray]:
    """A model and its texture, uint8 (height, width, 3).

    Raises:
        DatasetError, kerasfer.images.ImageError: one of them is missing or damaged; the message names it.
    """
    text = bytes(source.read(path)).decode("utf-8-sig", "replace")
    mesh = parse_vrml(text, source.describe(path))
    folder = PurePosixPath(path).parent
    names = [mesh.texture, *(PurePosixPath(path).stem + ending for ending in (".bmp", ".png", ".jpg"))]
    for name in names:
        texture = (folder / PurePosixPath(name.replace("\\", "/")).name).as_posix()
        if source.exists(texture):
            return mesh, images.decode(bytes(source.read(texture)), source.describe(texture))
    raise DatasetError(f"{source.describe(path)}: its texture {mesh.texture!r} does not lie beside it")


def render_model(source: ImageSource, out: Path, poses: list[tuple[int, int]], size: int, path: str) -> str | None:
    """Writes the views of a model that are not there yet; returns what is wrong with it, or None."""
    model = PurePosixPath(path).stem.removesuffix("_F3D")
    targets = {pose: out / model[:5] / bu3dfe.view_name(model, *pose) for pose in poses}
    left = [pose for pose in poses if not targets[pose].exists()]
    try:
        if left:
            for pose, view in zip(left, render(*load_model(source, path), left, size)):
                images.write(targets[pose], view)
    except ValueError as error:
        return str(error)
    return None


def models(source: ImageSource, expressions: list[str], levels: list[int], people: int | None) -> list[str]:
    """Paths of the models asked for; `people` limits them to the first so many people."""
    found = []
    for path in source.names():
        name = bu3dfe.MODEL_NAME.fullmatch(PurePosixPath(path).name)
        if name and name["expression"].upper() in expressions and int(name["level"]) in (0, *levels):
            found.append((name["person"], path))
    persons = sorted({person for person, _ in found})[:people]
    return [path for person, path in found if person in persons]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="render_bu3dfe.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    six = [code for code in bu3dfe.EXPRESSIONS if code != "NE"]
    parser.add_argument("root", help="folder or zip of BU-3DFE")
    parser.add_argument("out", help="folder for the views")
    parser.add_argument("--size", type=int, default=224, help="height and width; default: 224")
    parser.add_argument("--expressions", nargs="+", default=six, choices=list(bu3dfe.EXPRESSIONS), metavar="CODE")
    parser.add_argument("--levels", nargs="+", type=int, default=[4], help="of intensity, 1 to 4; default: 4")
    parser.add_argument("--yaw", nargs="+", type=int, default=list(bu3dfe.YAW), help="degrees; default: the paper's 7")
    parser.add_argument("--pitch", nargs="+", type=int, default=list(bu3dfe.PITCH), help="default: the paper's 5")
    parser.add_argument("--people", type=int, help="only the first so many")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one a processor")
    options = parser.parse_args(arguments)
    try:
        import embreex  # noqa: F401
    except ImportError as error:
        raise ValueError("rendering needs embreex; install it: pip install '.[render]'") from error
    if options.size < 1 or max(map(abs, options.yaw + options.pitch)) > 90:
        raise ValueError("the size must be at least 1, and yaw and pitch lie between -90 and 90")
    source = open_source(options.root)
    paths = models(source, options.expressions, options.levels, options.people)
    if not paths:
        raise DatasetError(f"{options.root}: holds no model asked for, such as F0001/F0001_AN04WH_F3D.wrl")
    poses = [(yaw, pitch) for pitch in options.pitch for yaw in options.yaw]
    work = functools.partial(render_model, source, Path(options.out), poses, options.size)
    problems = []
    with multiprocessing.get_context("spawn").Pool(max(1, min(options.workers, len(paths)))) as pool:
        for number, problem in enumerate(pool.imap(work, paths), 1):
            if problem:
                problems.append(problem)
            if number % 10 == 0 or number == len(paths):
                print(f"\r{number} of {len(paths)} models", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    print(f"{(len(paths) - len(problems)) * len(poses)} views of {len(paths) - len(problems)} models in {options.out}")
    return 1 if problems else 0


if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""Measures the mean face and the FERPlus template that `kerasfer.detection` uses, and prints them as Python.

    python scripts/measure_faces.py --data DIR
    python scripts/measure_faces.py --data DIR --box lfw        # the box of a set's reader: faces as tight as FER+'s

DIR holds ferplus.zip and lfw_expressions.zip (or folders of these names). The constants come out the same every time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kerasfer import datasets, detection, images  # noqa: E402
from kerasfer.datasets.base import ImageSource, open_source  # noqa: E402
from kerasfer.detection import alignment, blazeface, mesh  # noqa: E402
from kerasfer.faces import Landmarks  # noqa: E402

PAIRS = [
    *((index, 16 - index) for index in range(8)),
    *((17 + index, 26 - index) for index in range(5)),
    *((31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
]
"""Landmarks that are each other's mirror image."""


def open_data(data: Path, name: str) -> ImageSource:
    """The data set's folder or zip in the data folder."""
    return open_source(data / name if (data / name).is_dir() else data / f"{name}.zip")


def measure(source: ImageSource, names: list[str], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Meshes and boxes of evenly chosen images with one face: (n, 468, 3), (n, 4), and the images' sides (n,)."""
    meshes, boxes, sides = [], [], []
    for name in names[:: max(1, len(names) // count)][:count]:
        image = images.decode(source.read(name), name)
        found = blazeface.find(image)
        points = mesh.fit(image, found[0].box, found[0].roll) if len(found) == 1 else None
        if points is not None:
            box = found[0].box
            meshes.append(points)
            boxes.append((box.left, box.top, box.right, box.bottom))
            sides.append(image.shape[0])
    print(f"# {len(meshes)} faces of {min(count, len(names))} images", file=sys.stderr)
    return np.array(meshes, np.float64), np.array(boxes), np.array(sides, np.float64)


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that turns centered points (n, 3) nearest to others (Kabsch)."""
    left, _, right = np.linalg.svd(source.T @ target)
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return (left @ handed @ right).T


def mean_face(meshes: np.ndarray) -> np.ndarray:
    """Generalized Procrustes mean of 68 points in space, symmetric, turned to the mean direction: (68, 3)."""
    indices = [index for group in mesh.MESH_POINTS.values() for index in group]
    faces = meshes[:, indices]
    faces = faces - faces.mean(axis=1, keepdims=True)
    faces = faces / np.sqrt((faces**2).sum(axis=(1, 2), keepdims=True))
    mirror = np.arange(68)
    for one, other in PAIRS:
        mirror[[one, other]] = other, one
    faces = np.concatenate([faces, faces[:, mirror] * [-1.0, 1.0, 1.0]])
    mean = faces[0]
    for _ in range(20):
        mean = np.mean([face @ rotation(face, mean).T for face in faces], axis=0)
        mean /= np.sqrt((mean**2).sum())
    left, _, right = np.linalg.svd(np.sum([rotation(mean, face) for face in faces], axis=0))
    mean = mean @ (left @ right).T
    mean -= mean[[36, 45]].mean(0)
    return mean / np.linalg.norm(mean[45] - mean[36])


def template(meshes: np.ndarray, boxes: np.ndarray, sides: np.ndarray) -> alignment.Template:
    """Medians of the parts' places in square crops, made symmetric."""
    parts = np.array([alignment.parts(Landmarks(mesh.landmarks_of(points).points)) for points in meshes])
    right, left, nose, mouth = np.median(parts / sides[:, None, None], axis=0)
    out = (left[0] - right[0]) / 2
    height = (left[1] + right[1]) / 2
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    shift = np.median((sides / 2 - (boxes[:, 1] + boxes[:, 3]) / 2) / longer)
    values = [(0.5 - out, height), (0.5 + out, height), (0.5, nose[1]), (0.5, mouth[1])]
    rounded = [tuple(round(float(value), 3) for value in point) for point in values]
    return alignment.Template(*rounded, round(float(np.median(sides / longer)), 3), round(float(shift), 3))


def box(name: str, data: Path, count: int = 300) -> str:
    """The square of a set's images, all of one size, in which the median landmarks lie where the template has them."""
    root = datasets.find(name, data)
    if root is None:
        raise ValueError(f"{data}: holds no {name}")
    table = datasets.load(name, root)
    sides, found = [], []
    for row in range(len(table))[:: max(1, len(table) // count)][:count]:
        image = images.decode(table.read(row), str(table["path"][row]))
        faces = detection.detect(image)
        if faces and faces[0].landmarks is not None:
            found.append(alignment.parts(faces[0].landmarks))
            sides.append(image.shape[:2])
    if len(set(sides)) != 1:
        raise ValueError(f"{root}: its images are of several sizes, or none shows a face")
    middle, wanted = np.median(found, axis=0), alignment.FERPLUS_TEMPLATE.points
    spread = wanted - wanted.mean(0)
    side = ((middle - middle.mean(0)) * spread).sum() / (spread**2).sum()
    left, top = middle.mean(0) - side * wanted.mean(0)
    numbers = ", ".join(f"{value:.1f}" for value in (left, top, left + side, top + side))
    height, width = sides[0]
    return f"BOX = ({numbers})  # {name}: {len(found)} faces of images of {width} x {height}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ferplus.zip and lfw_expressions.zip")
    parser.add_argument("--count", type=int, default=2000, help="images to measure of each set (default: 2000)")
    parser.add_argument("--box", metavar="NAME", help="measure the box of this set instead, on 300 images")
    options = parser.parse_args(arguments)
    if options.box:
        print(box(options.box, options.data))
        return 0
    lfw = open_data(options.data, "lfw_expressions")
    meshes, _, _ = measure(lfw, [name for name in lfw.names() if name.endswith(".jpg")], options.count)
    rows = ", ".join(f"({x:.3f}, {y:.3f}, {z:.3f})" for x, y, z in mean_face(meshes) + 0.0)
    print(f"MEAN_FACE = ({rows})")
    ferplus = open_data(options.data, "ferplus")
    names = [name for name in ferplus.names() if "FER2013Train/" in name and name.endswith(".png")]
    print(f"FERPLUS_TEMPLATE = {template(*measure(ferplus, names, options.count))}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)

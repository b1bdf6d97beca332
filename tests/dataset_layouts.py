"""Small trees in the official layouts of the data sets, for the readers' tests."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from kerasfer import datasets, images
from kerasfer.datasets import shards
from kerasfer.datasets.base import COLUMNS

FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FERPLUS_ROWS = [
    ("Training", "fer0000000.png", [0, 9, 0, 0, 0, 0, 0, 0, 1, 0]),
    ("Training", "fer0000001.png", [5, 4, 0, 0, 0, 0, 0, 0, 1, 0]),
    ("Training", "fer0000002.png", [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("Training", "", [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),
    ("PublicTest", "fer0028638.png", [0, 0, 8, 0, 0, 0, 1, 0, 1, 0]),
    ("PrivateTest", "fer0032220.png", [0, 0, 0, 0, 10, 0, 0, 0, 0, 0]),
]
FERPLUS_FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def picture(number: int, size: int = 48, channels: int = 1) -> np.ndarray:
    """A picture that is different for every number."""
    shape = (size, size) if channels == 1 else (size, size, channels)
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ferplus_votes(root: Path) -> None:
    write_lines(
        root / "fer2013new.csv",
        [FERPLUS_HEADER, *(f"{usage},{name},{','.join(map(str, votes))}" for usage, name, votes in FERPLUS_ROWS)],
    )


def write_ferplus(root: Path) -> None:
    ferplus_votes(root)
    for number, (usage, name, _) in enumerate(FERPLUS_ROWS):
        if name:
            images.write(root / FERPLUS_FOLDERS[usage] / name, picture(number))


def write_ferplus_pixels(root: Path) -> None:
    ferplus_votes(root)
    lines = ["emotion,pixels,Usage"]
    for number, (usage, _, _) in enumerate(FERPLUS_ROWS):
        lines.append(f"3,{' '.join(map(str, picture(number).ravel()))},{usage}")
    write_lines(root / "fer2013.csv", lines)


def write_lfw(root: Path) -> None:
    rows = [("A_B/A_B_0001.jpg", "A_B", "happiness"), ("A_B/A_B_0002.jpg", "A_B", "neutral")]
    rows += [("C_D/C_D_0001.jpg", "C_D", "anger")]
    write_lines(root / "labels.csv", ["image,identity,expression", *(",".join(row) for row in rows)])
    for number, (name, _, _) in enumerate(rows):
        images.write(root / name, picture(number, 160))


LFW_PHOTOGRAPHS = {"A_B/A_B_0001": 250, "A_B/A_B_0002": 168, "C_D/C_D_0001": 168, "C_D/C_D_0003": 100}
"""Name of an image and its side in pixels."""


def write_lfw_photographs(root: Path) -> None:
    for number, (name, side) in enumerate(LFW_PHOTOGRAPHS.items()):
        images.write(root / f"{name}.jpg", picture(number, side, 3))


CK48_FILES = [
    "anger/S010_004_00000017.png",
    "anger/S010_004_00000018.png",
    "contempt/S138_008_00000009.png",
    "happy/S010_006_00000013.png",
]


def write_ck48(root: Path) -> None:
    for number, name in enumerate(CK48_FILES):
        images.write(root / "CK+48" / name, picture(number))


def write_london(root: Path) -> None:
    write_lines(root / "LICENSE.md", ["Attribution 4.0 International"])
    names = ["neutral_front/001_03", "neutral_front/002_03", "smiling_front/001_08", "neutral_left_profile/001_01"]
    for number, name in enumerate(names):
        images.write(root / f"{name}.jpg", picture(number, 512 if number else 256, 3))


def write_casia(root: Path) -> None:
    for number, name in enumerate(["0000045/001.jpg", "0000045/015.jpg", "0000099/001.jpg", "0000100/003.jpg"]):
        images.write(root / name, picture(number, 50, 3))


def write_folder(root: Path) -> None:
    for number, name in enumerate(["train/Happy/a.png", "train/sadness/b.jpg", "val/happy/c.png", "test/fear/d.png"]):
        images.write(root / name, picture(number, 30 + number, 3))


def write_csv(root: Path) -> None:
    pairs = np.arange(136) / 2
    with_everything = {
        "path": "faces/a.png",
        "expression": "surprise",
        "votes": "0 0 9 0 0 0 1 0",
        "identity": "anna",
        "box": "1 2 30.5 31",
        "pose": "10 -5 0",
        "landmarks": " ".join(map(str, pairs)),
        "blendshapes": " ".join(["0.25"] * 52),
        "aus": " ".join(["0.5"] * 14),
        "split": "train",
        "fold": "3",
        "sequence": "s1",
        "frame": "7",
    }
    assert set(with_everything) == set(COLUMNS)
    rows = [
        with_everything,
        {"path": "faces/b.png", "expression": "Angry", "split": "val"},
        {"path": "faces/c.png", "split": "test"},
    ]
    (root / "faces").mkdir(parents=True, exist_ok=True)
    with open(root / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS), restval="")
        writer.writeheader()
        writer.writerows(rows)
    for number, row in enumerate(rows):
        images.write(root / row["path"], picture(number, 40, 3))


def write_shards(root: Path) -> None:
    """The rows of `write_csv`, two in a shard."""
    write_csv(root.with_name("listed"))
    shards.write(datasets.load("csv", root.with_name("listed")).replace(name="shards"), root, rows=2)

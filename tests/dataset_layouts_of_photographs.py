"""Small trees in the official layouts of TFEID, RaFD, BAUM-2i, RAF-DB and TFD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_layouts import picture, write_lines

from kerasfer import images

RAFD_NAMES = [
    "Rafd090_01_Caucasian_female_angry_frontal",
    "Rafd090_01_Caucasian_female_angry_left",
    "Rafd090_01_Caucasian_female_contemptuous_frontal",
    "Rafd000_29_Moroccan_male_happy_frontal",
    "Rafd045_29_Moroccan_male_neutral_right",
    "Rafd135_06_Kid_female_fearful_frontal",
    "Rafd180_06_Kid_female_surprised_frontal",
]


def write_rafd(root: Path) -> None:
    for number, name in enumerate(RAFD_NAMES):
        images.write(root / f"{name}.jpg", picture(number, 60, 3))


RAF_DB_LINES = [
    "train_00001.jpg 5",
    "train_00002.jpg 1",
    "train_00003.jpg 7",
    "test_0001.jpg 4",
    "test_0002.jpg 2",
]


def write_raf_db(root: Path) -> None:
    write_lines(root / "basic/EmoLabel/list_patition_label.txt", RAF_DB_LINES)
    for number, line in enumerate(RAF_DB_LINES):
        stem = line.partition(".")[0]
        images.write(root / f"basic/Image/aligned/{stem}_aligned.jpg", picture(number, 40, 3))
        images.write(root / f"basic/Image/original/{stem}.jpg", picture(number + 50, 60, 3))
        box = "3.5 4 43 50" if number % 2 else "1 2 30 40"
        write_lines(root / f"basic/Annotation/boundingbox/{stem}_boundingbox.txt", [box])


def write_raf_db_folders(root: Path) -> None:
    for number, line in enumerate(RAF_DB_LINES):
        name, code = line.split()
        part, stem = name.partition("_")[0], name.partition(".")[0]
        images.write(root / f"DATASET/{part}/{code}/{stem}_aligned.jpg", picture(number, 40, 3))
    write_lines(root / "train_labels.csv", ["image,label"])


TFD_EXPRESSIONS = [1, 2, 3, 4, 5, 6, 7, 4, -1, -1]
TFD_PEOPLE = [11, 12, 13, 14, 15, 16, 17, -1, -1, 99]
TFD_FOLDS = [
    [3, 1, 1, 1, 1],
    [1, 3, 1, 1, 1],
    [1, 1, 3, 1, 1],
    [1, 1, 1, 3, 1],
    [1, 1, 1, 1, 3],
    [3, 2, 2, 2, 2],
    [2, 3, 1, 1, 1],
    [1, 2, 3, 1, 1],
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
]


def tfd_fields(size: int = 48) -> dict[str, np.ndarray]:
    return {
        "images": np.stack([picture(number, size) for number in range(len(TFD_FOLDS))]),
        "labs_ex": np.array(TFD_EXPRESSIONS, np.int16)[:, None],
        "labs_id": np.array(TFD_PEOPLE, np.int16)[:, None],
        "folds": np.array(TFD_FOLDS, np.uint8),
    }


def write_tfd(root: Path) -> None:
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    savemat(root / "TFD_48x48.mat", tfd_fields(), do_compression=True)


TFEID_NAMES = [
    "high/f01_an_high.jpg",
    "high/f01_co_high.jpg",
    "high/m02_ha_high.jpg",
    "slight/f01_an_slight.jpg",
    "slight/m02_su_slight.jpg",
    "neutral/f01.jpg",
]


def write_tfeid(root: Path) -> None:
    for number, name in enumerate(TFEID_NAMES):
        images.write(root / name, picture(number, 60, 3))


BAUM2I_NAMES = ["Anger/S001_01.png", "Contempt/S002_01.png", "Happiness/S001_02.png", "Sadness/S003_01.png"]


def write_baum2i(root: Path) -> None:
    (root / "__MACOSX").mkdir(parents=True)
    (root / "__MACOSX/list.csv").write_bytes(b"\xff\0")
    for number, name in enumerate(BAUM2I_NAMES):
        images.write(root / name, picture(number, 60, 3))


def write_baum2i_list(root: Path) -> None:
    lines = ["File Name,Subject,Emotion", "clip_1,12,Surprise", "clip_2.png,13,neutral", "clip_3.png,12,Contempt"]
    write_lines(root / "Annotations.csv", lines)
    for number in (1, 2, 3):
        images.write(root / f"peaks/clip_{number}.png", picture(number, 60, 3))

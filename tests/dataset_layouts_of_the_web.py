"""Small trees in the official layouts of SFEW, AffectNet and CelebA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_layouts import picture, write_lines

from kerasfer import images

SFEW_FILES = [
    "Test/Test_Aligned_Faces/Bridesmaids_003001600_00000018",
    "Train/Train_Aligned_Faces/Angry/Airheads_000519240_00000005",
    "Train/Train_Aligned_Faces/Happy/About_a_Boy_000137540_00000012",
    "Val/Val_Aligned_Faces_new/Sad/Juno_004500960_00000029",
]
SFEW_FRAMES = ["Train/Angry/Airheads_000519240_00000005", "Train/Fear/Harry_000100000_00000001"]
SFEW_1_FILES = [
    "Set 1/Surprise/Hangover_000231240_00000016",
    "Set 2/Disgust/Juno_004500960_00000029",
    "Set 2/Neutral/x",
]


def write_sfew(root: Path) -> None:
    for number, name in enumerate(SFEW_FILES + SFEW_FRAMES):
        images.write(root / f"{name}.png", picture(number, 40, 3))


def write_sfew_1(root: Path) -> None:
    for number, name in enumerate(SFEW_1_FILES):
        images.write(root / f"{name}.png", picture(number, 40, 3))


AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
AFFECTNET_POINTS = np.arange(136) / 4


def affectnet_line(name: str, code: int, box: str = "2,3,20,24", points: bool = True) -> str:
    cell = ";".join(map(str, AFFECTNET_POINTS)) if points else "NULL"
    return f"{name},{box},{cell},{code},0.25,-0.5"


AFFECTNET_TRAIN = [
    ("103/aa.jpg", 4, True),
    ("103/bb.jpg", 7, True),
    ("7/cc.png", 10, False),
    ("7/dd.jpg", 1, True),
    ("8/ee.jpg", 2, False),
]
"""File, code and whether a face was found; the third shows no face and is not there at all."""

AFFECTNET_VALID = [("9/ff.jpg", 3), ("9/gg.jpg", 6)]


def write_affectnet(root: Path) -> None:
    lists, folder = root / "Manually_Annotated_file_lists", root / "Manually_Annotated_Images"
    train = [
        affectnet_line(name, code, *(() if found else ("NULL,NULL,NULL,NULL", False)))
        for name, code, found in AFFECTNET_TRAIN
    ]
    write_lines(lists / "training.csv", [AFFECTNET_HEADER, *train])
    write_lines(lists / "validation.csv", [affectnet_line(name, code) for name, code in AFFECTNET_VALID])
    for number, (name, code, *_) in enumerate(AFFECTNET_TRAIN + AFFECTNET_VALID):
        if code != 10:
            images.write(folder / name, picture(number, 40, 3))


AFFECTNET_ARRAYS = [("train_set", "0", "6"), ("train_set", "12", "7"), ("train_set", "5", "3"), ("val_set", "77", "0")]
"""Part, name and code of each image, in the order in which they are read."""


def write_affectnet_arrays(root: Path) -> None:
    for number, (part, name, code) in enumerate(AFFECTNET_ARRAYS):
        images.write(root / part / "images" / f"{name}.jpg", picture(number, 40, 3))
        folder = root / part / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}_exp.npy", np.array(code))
        np.save(folder / f"{name}_val.npy", np.array("0.1"))
        np.save(folder / f"{name}_aro.npy", np.array("-0.1"))
        if name != "5":
            np.save(folder / f"{name}_lnd.npy", AFFECTNET_POINTS + number)


CELEBA_IMAGES = [("000001.jpg", 0, 2880), ("000002.jpg", 0, 2937), ("000003.jpg", 1, 2880), ("000004.jpg", 2, 8692)]
CELEBA_ATTRIBUTES = ["5_o_Clock_Shadow", "Smiling", "Young"]


def write_celeba_lists(root: Path) -> None:
    names = [name for name, _, _ in CELEBA_IMAGES]
    write_lines(root / "Eval/list_eval_partition.txt", [f"{name} {part}" for name, part, _ in CELEBA_IMAGES])
    write_lines(root / "Anno/identity_CelebA.txt", [f"{name} {person}" for name, _, person in CELEBA_IMAGES])
    attributes = [f"{name} -1  {1 if number % 2 else -1} 1" for number, name in enumerate(names)]
    header = " ".join(CELEBA_ATTRIBUTES)
    write_lines(root / "Anno/list_attr_celeba.txt", [str(len(names)), header, *attributes])
    columns = [f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
    points = [f"{name}  69 109 106 113 77 142 73 152 108 {150 + number}" for number, name in enumerate(names)]
    write_lines(root / "Anno/list_landmarks_align_celeba.txt", [str(len(names)), " ".join(columns), *points])


def write_celeba(root: Path) -> None:
    write_celeba_lists(root)
    for number, (name, _, _) in enumerate(CELEBA_IMAGES):
        images.write(root / "Img/img_align_celeba" / name, picture(number, 40, 3))

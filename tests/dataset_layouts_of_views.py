"""Small trees in the official layouts of Multi-PIE, BU-3DFE and KDEF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_layouts import picture, write_lines

from kerasfer import images

KDEF_FILES = ["AF01/AF01AFFL", "AF01/AF01ANHL", "BF01/BF01DIS", "AM31/AM31HAHR", "AM31/AM31H", "BM35/BM35NEFR"]


def write_kdef(root: Path) -> None:
    for number, name in enumerate(KDEF_FILES):
        images.write(root / f"KDEF_and_AKDEF/KDEF/{name}.JPG", picture(number, 40, 3))
    images.write(root / "KDEF_and_AKDEF/AKDEF/AFAFS.JPG", picture(99, 40, 3))


MULTI_PIE_FILES = [
    "session01/multiview/001/01/05_1/001_01_01_051_07",
    "session01/multiview/001/02/05_0/001_01_02_050_08",
    "session01/multiview/001/02/05_0/001_01_02_050_18",
    "session02/multiview/001/01/05_1/001_02_01_051_07",
    "session02/multiview/002/03/24_0/002_02_03_240_00",
    "session03/multiview/002/03/19_1/002_03_03_191_00",
    "session04/multiview/002/01/13_0/002_04_01_130_05",
    "session04/multiview/002/02/13_0/002_04_02_130_05",
    "session04/multiview/002/03/13_0/002_04_03_130_05",
]


def write_multi_pie(root: Path) -> None:
    for number, name in enumerate(MULTI_PIE_FILES):
        images.write(root / f"data/{name}.png", picture(number, 32, 3))
    images.write(root / "data/session01/highres/001/01/001_01_01.jpg", picture(99, 32, 3))


BU3DFE_VIEWS = ["F0001_AN04WH_y-45_p+00", "F0001_AN04WH_y+15_p-30", "M0044_NE00BL_y+00_p+00", "M0044_SU03BL_y+30_p+15"]


def write_bu3dfe(root: Path) -> None:
    for number, name in enumerate(BU3DFE_VIEWS):
        images.write(root / name[:5] / f"{name}.png", picture(number, 32, 3))


PYRAMID = np.array([[-60, -80, 0], [60, -80, 0], [60, 80, 0], [-60, 80, 0], [0, 0, 90]], np.float64)
"""A face for the renderer: a blue plate with a nose whose tip is red."""

PYRAMID_VRML = """#VRML V2.0 utf8
# A comment with a brace { and a word, geometry IndexedFaceSet {
Group {{ children [ Shape {{
  appearance Appearance {{
    material Material {{ diffuseColor 1 1 1 }}
    texture ImageTexture {{ url [ "{texture}" ] }}
  }}
  geometry IndexedFaceSet {{
    solid FALSE
    coord Coordinate {{ point [
      {points}
    ] }}
    coordIndex [ 0, 1, 4, -1, 1, 2, 4, -1, 2, 3, 4, -1, 3, 0, 4, -1, 3, 2, 1, 0, -1 ]
    texCoord TextureCoordinate {{ point [ 0.25 0.5, 0.75 0.5 ] }}
    texCoordIndex [ 0, 0, 1, -1, 0, 0, 1, -1, 0, 0, 1, -1, 0, 0, 1, -1, 0, 0, 0, 0, -1 ]
  }}
}} ] }}
"""


def pyramid_vrml(texture: str = "F0001_AN04WH_F3D.bmp") -> str:
    points = ",\n      ".join(" ".join(map(str, point)) for point in PYRAMID.tolist())
    head, _, body = PYRAMID_VRML.partition("Group")
    return head + ("Group" + body).format(texture=texture, points=points)


def write_bu3dfe_model(root: Path, model: str = "F0001_AN04WH") -> None:
    """A model and its texture: blue, and ever redder from a quarter to three quarters of its width."""
    from PIL import Image

    write_lines(root / model[:5] / f"{model}_F3D.wrl", [pyramid_vrml(f"{model}_F3D.bmp")])
    texture = np.zeros((8, 64, 3), np.uint8)
    texture[:, :, 0] = np.clip(np.linspace(-0.5, 1.5, 64), 0, 1) * 250
    texture[:, :, 2] = 200
    Image.fromarray(texture).save(root / model[:5] / f"{model}_F3D.bmp")

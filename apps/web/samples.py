#!/usr/bin/env python3
"""Makes the gallery's photos from the London set: small, two of one person each and one of three people.

    python apps/web/samples.py london.zip

They are written to apps/web/samples, whose README gives the credit that the license asks for.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import run_app  # noqa: E402  (lies one folder up)

from kerasfer import images  # noqa: E402

SIDE = 360
"""Height and width of a photo of one person, in pixels."""

ONE = {"london_smile.jpg": "smiling_front/025_08.jpg", "london_neutral.jpg": "neutral_front/012_03.jpg"}
SEVERAL = {"london_three.jpg": ("smiling_front/008_08.jpg", "neutral_front/021_03.jpg", "smiling_front/030_08.jpg")}
"""Names of the samples -> photos of the set."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", metavar="london.zip", type=Path)
    archive = parser.parse_args(arguments).archive
    if not archive.is_file():
        raise ValueError(f"{archive}: missing; name the London set's archive")
    with zipfile.ZipFile(archive) as photos:

        def photo(name: str) -> np.ndarray:
            return images.resize(images.decode(photos.read(f"london/{name}")), SIDE)

        for name, source in ONE.items():
            images.write(HERE / "samples" / name, photo(source))
        for name, sources in SEVERAL.items():
            # The middle of each: they stand side by side.
            across = slice(SIDE // 6, SIDE - SIDE // 6)
            images.write(HERE / "samples" / name, np.hstack([photo(source)[:, across] for source in sources]))
    return 0


if __name__ == "__main__":
    run_app(main)

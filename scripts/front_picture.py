#!/usr/bin/env python3
"""Makes README's picture: four people of the London set in one photo, recognized and marked by `kerasfer recognize`.

    python scripts/front_picture.py --data DIR    # DIR holds london, as a folder or a zip; writes docs/front.jpg

They were chosen for looking different, before anything was recognized. The set is CC BY 4.0: the
credit (`kerasfer.datasets.london.CREDIT`) stands below the picture wherever it is shown.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from kerasfer import datasets, images  # noqa: E402
from kerasfer.cli import recognize  # noqa: E402

SHOWN = (("137", "neutral"), ("087", "happiness"), ("172", "happiness"), ("136", "neutral"))
"""Person and posed expression, row by row."""

SIDE = 480
"""Pixels of each photo's side."""


def group(data: Path) -> np.ndarray:
    """The four photos as one, uint8 RGB (2 * SIDE, 2 * SIDE, 3)."""
    table = datasets.load("london", datasets.find("london", data) or data)
    rows = {pair: row for row, pair in enumerate(zip(table["identity"].tolist(), table.class_names()))}
    photos = [images.resize(images.decode(table.read(rows[pair])), (SIDE, SIDE)) for pair in SHOWN]
    return np.vstack([np.hstack(photos[:2]), np.hstack(photos[2:])])


def main(arguments: list[str] | None = None) -> int:
    """Writes the picture; returns the exit code of `kerasfer recognize`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder that holds london or london.zip"
    )
    parser.add_argument("--output", default=str(ROOT / "docs" / "front.jpg"), metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "people.png"
        images.write(photo, group(options.data))
        return recognize.main([str(photo), "--output", options.output])


if __name__ == "__main__":
    sys.exit(main())

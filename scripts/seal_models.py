#!/usr/bin/env python3
"""Writes digests beside saved models that carry none: of config.json into itself, of TFLite files into parity.json.

    python scripts/seal_models.py saved_models/*

`kerasfer.save` and `kerasfer.export` write digests themselves; this is for folders that older versions wrote. Weights
and TFLite files stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps"))

from common import run_app  # noqa: E402

PARTS = {"parity.json": "model*.tflite", "generator_parity.json": "generator*.tflite"}


def seal_folder(folder: Path) -> None:
    """Writes the digests of one model's folder."""
    from kerasfer.files import atomic_write
    from kerasfer.weights import read_json, read_weights, seal

    def write(name: str, content: dict) -> None:
        atomic_write(folder / name, (json.dumps(content, indent=2) + "\n").encode())

    description = read_json(folder / "config.json")
    for entry in description.get("files", {}).values():
        read_weights(folder / entry["file"], entry)
    write("config.json", seal(description))
    for name, pattern in PARTS.items():
        files = sorted(folder.glob(pattern))
        if (folder / name).is_file() and files:
            contents = {file.name: file.read_bytes() for file in files}
            digests = {
                file: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for file, content in contents.items()
            }
            write(name, {**read_json(folder / name), "files": digests})


def main(arguments: list[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for folder in parser.parse_args(arguments).folders:
        seal_folder(folder)
        print(f"{folder}: digests written")
    return 0


if __name__ == "__main__":
    run_app(main)

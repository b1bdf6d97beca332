#!/usr/bin/env python3
"""Converts the checkpoints that TDGAN's authors released for PyTorch into a folder that kerasfer.load takes.

    python scripts/convert_tdgan.py --checkpoints DIR --output DIR

DIR holds Enc_FR_G.pkl, Enc_ER_G.pkl, dec.pkl, fc_ER_G.pkl, Dis_FR.pkl and Dis_ER.pkl. Reading them needs PyTorch:
pip install ".[convert]". Nothing else here or in the result does.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kerasfer import zoo
from kerasfer.models.tdgan_checkpoint import convert


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--checkpoints", required=True, nargs="+", metavar="DIR|FILE", help="their folder, or the files"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="where the converted model goes")
    parser.add_argument(
        "--expressions",
        metavar="NAMES",
        help="the classes in the order of the outputs, with commas between, or a label space such as ferplus8; the "
        "files hold no names (default: for 7 classes RAF-DB's, which the released weights have)",
    )
    parser.add_argument(
        "--without-discriminators", action="store_true", help="leave Dis_FR.pkl and Dis_ER.pkl out: no more training"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the conversion; returns the exit code."""
    options = parser().parse_args(arguments)
    checkpoints = options.checkpoints
    if len(checkpoints) == 1 and not Path(checkpoints[0]).is_file():
        (checkpoints,) = checkpoints
    try:
        model = convert(
            checkpoints,
            options.expressions.split(",") if "," in (options.expressions or "") else options.expressions,
            discriminators=not options.without_discriminators,
        )
        groups = ("recognizer", "generator") if options.without_discriminators else None
        folder = zoo.save(model, options.output, groups=groups)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    named = "as given" if options.expressions else "assumed: the files do not name them; --expressions does"
    print(f"expressions: {', '.join(model.label_space.labels)} ({named})")
    print(f"saved: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

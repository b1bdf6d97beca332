"""Finds kerasfer in the checkout where it is not installed, for the doors to its commands and for scripts."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("kerasfer") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kerasfer.cli.common import locate, run_app  # noqa: E402

__all__ = ["locate", "run_app"]

"""`--open`: shows what a command wrote with the program that the system has for it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kerasfer.cli.common import say

__all__ = ["add_open_option", "open_result"]


def add_open_option(parser: argparse.ArgumentParser) -> None:
    """Adds --open."""
    parser.add_argument("--open", action="store_true", help="show the result with the system's viewer at the end")


def open_result(path: str | os.PathLike[str]) -> bool:
    """Opens a file or a folder and does not wait; where nothing can show it, says so on stderr.

    Returns:
        Whether a program was started.
    """
    target = os.path.abspath(os.fsdecode(path))
    if sys.platform == "win32":
        os.startfile(target)
        return True
    program = _opener()
    if program is None:
        say(f"{path}: cannot be shown here (no screen, or no xdg-open); open it yourself", sys.stderr)
        return False
    nothing = subprocess.DEVNULL
    try:
        subprocess.Popen([program, target], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    except OSError as error:
        say(f"{path}: cannot be shown ({Path(program).name}: {error.strerror}); open it yourself", sys.stderr)
        return False
    return True


def _opener() -> str | None:
    """The program that opens whatever it is given; None where there is none, or no screen to show anything on."""
    if sys.platform == "darwin":
        return "/usr/bin/open"
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return shutil.which("xdg-open") if screen else None

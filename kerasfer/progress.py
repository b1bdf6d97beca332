"""How far an epoch has come, on standard output."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

__all__ = ["Progress"]


class Progress:
    """Shows an epoch on standard output: where it stands and every loss term, within the width of a terminal.

    A terminal shows one block of lines that changes in place; anything else gets a block a minute. Keras' `Progbar` has
    one line, which the terms of a GAN do not fit into: a terminal then repeats it at every step.
    """

    def __init__(self, epoch: int, epochs: int, first: int, steps: int, verbose: int) -> None:
        self._title = f"epoch {epoch + 1}/{epochs}"
        self._first = first
        self._steps = steps
        self._verbose = verbose
        self._terminal = sys.stdout.isatty()
        self._started = self._shown = time.monotonic()
        self._height = 0

    @property
    def seconds(self) -> float:
        """Time since the epoch, or its part that this process trains, began."""
        return time.monotonic() - self._started

    def show(self, step: int, logs: dict[str, float]) -> None:
        """Tells that a number of steps are done, if it is time for it."""
        now = time.monotonic()
        if self._verbose != 1 or now - self._shown < (0.5 if self._terminal else 60.0):
            return
        self._shown = now
        rate = (step - self._first) / max(now - self._started, 1e-9)
        speed = f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s/step"
        left = _clock((self._steps - step) / max(rate, 1e-9))
        self._print([f"{step / self._steps:4.0%}", f"step {step}/{self._steps}", speed, f"{left} left"], logs)

    def end(self, logs: dict[str, float]) -> None:
        """Shows the outcome of the epoch."""
        if self._verbose:
            terms = {name: value for name, value in logs.items() if name != "seconds"}
            self._print([_clock(logs["seconds"])], terms)

    def _print(self, facts: list[str], logs: dict[str, float]) -> None:
        width = max(shutil.get_terminal_size((100, 24)).columns - 1, 20)
        terms = [
            f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e4 or not value else f"{name} {value:.3e}"
            for name, value in logs.items()
        ]
        lines = [*_wrapped([self._title, *facts], width), *_wrapped(terms, width, "  ")]
        if self._terminal:
            up = f"\x1b[{self._height}A" if self._height else ""
            print(up + "".join(f"\x1b[2K{line[:width]}\n" for line in lines), end="\x1b[J", flush=True)
            self._height = len(lines)
        else:
            print("\n".join(lines), flush=True)


def _wrapped(parts: Sequence[str], width: int, indent: str = "") -> list[str]:
    """Lines of whole parts, two spaces between them."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(indent + part)
    return lines


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

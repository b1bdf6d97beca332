"""How far a command has come: an epoch on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

__all__ = ["Progress", "Status", "bar"]

LONG = 60.0
"""Seconds after which work is long enough to be told of where no terminal shows it, and between two such lines."""


def bar(steps: Iterable[Any], total: int | None, unit: str, initial: int = 0) -> Any:
    """tqdm's bar over steps, on standard error: at once on a terminal, elsewhere a line now and then if it takes long.

    Use it as `with bar(...) as shown: for step in shown: ...`; without tqdm, on devices, these are just the steps.
    Whoever prints meanwhile does it with `tqdm.write`.

    Args:
        steps: what is gone through.
        total: their number, if it is known.
        unit: what one of them is called.
        initial: number of those that an earlier run has done.
    """
    if importlib.util.find_spec("tqdm") is None:
        return contextlib.nullcontext(steps)
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    often = {} if terminal else {"delay": LONG, "mininterval": LONG, "ascii": True, "ncols": 100}
    return tqdm(steps, total=total, initial=initial, unit=unit, disable=False, **often)


class Status:
    """A line on standard error that says what goes on, while it does.

    A terminal shows it in one place, and nothing of it afterwards. Elsewhere nothing is told of short work, and of long
    work a line every `LONG` seconds at most.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._told = time.monotonic()
        self._line = ""

    def __enter__(self) -> Status:
        return self

    def __exit__(self, *reason: object) -> None:
        self.tell("")

    def tell(self, text: str) -> None:
        """Shows another text, "" for none."""
        self._line = text
        if self._terminal:
            width = max(shutil.get_terminal_size((100, 24)).columns - 1, 20)
            print(f"\r\x1b[2K{text[:width]}", end="", file=self._stream, flush=True)
        elif text and time.monotonic() - self._told >= LONG:
            self._told = time.monotonic()
            print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Other lines may be printed inside."""
        text = self._line
        if self._terminal:
            self.tell("")
        try:
            yield
        finally:
            if self._terminal:
                self.tell(text)


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

"""What every command does: keep TensorFlow quiet, turn errors into exit codes, find data sets."""

from __future__ import annotations

import argparse
import contextlib
import importlib.machinery
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from kerasfer.files import printable
from kerasfer.interpreter import silent_stderr

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel

__all__ = [
    "Terminated",
    "add_labels_of",
    "add_recognition_options",
    "load_recognizer",
    "locate",
    "own_options",
    "prior",
    "run_app",
    "say",
    "undisturbed",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class _QuietTensorFlow(MetaPathFinder):
    """Imports TensorFlow without what its libraries say of the processor before any setting of theirs is read."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with silent_stderr():
                    load(module)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


def run_app(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Runs a command's `main` and exits with its code.

    Bad input (`ValueError`, `OSError`) and a package that is not installed (`ImportError`) become one line on stderr
    and exit code 2, Ctrl-C exit code 130, and SIGTERM, which leaves what was done as Ctrl-C does, exit code 143.
    """
    sys.meta_path.insert(0, _QuietTensorFlow())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main(None)
        sys.stdout.flush()
    except KeyboardInterrupt as reason:
        say("interrupted", sys.stderr)
        code = 143 if isinstance(reason, Terminated) else 130
    except (ValueError, OSError, ImportError) as error:
        say(f"error: {' '.join(str(error).split())}", sys.stderr)
        code = 2
    sys.exit(code)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; it is taken like Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> None:
    """Stops once: what is being finished is not to be stopped by a second signal, which some tools send."""
    signal.signal(number, signal.SIG_IGN)
    raise Terminated


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until what is inside is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before: dict[int, Any] = {
        number: signal.signal(number, lambda number, _: noted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(noted):
            signal.raise_signal(number)


def say(text: str, file: TextIO | None = None) -> None:
    """Prints a line that may have names of files in it; a terminal gets nothing in them to obey."""
    print(printable(text), file=file or sys.stdout, flush=True)


def load_recognizer(source: str) -> FERModel:
    """A trained model that recognizes expressions, as `kerasfer.load` finds it.

    Raises:
        ValueError: it cannot be loaded, or is one that tells people apart.
    """
    from kerasfer import zoo
    from kerasfer.models.base import FERModel

    model = zoo.load(source)
    if not isinstance(model, FERModel):
        raise ValueError(f"{source}: recognizes no expressions, it tells people apart (kerasfer.verify); name another")
    return model


def locate(name: str, data: str | None) -> Path | None:
    """Where a data set lies: in the folder `data` under a name that it goes by, or `data` itself.

    None if `data` is not given.
    """
    if data is None:
        return None
    from kerasfer import datasets

    return datasets.locate(name, data)


def add_recognition_options(parser: argparse.ArgumentParser) -> None:
    """Adds what every command that recognizes faces lets its users ask for."""
    from kerasfer.recognition.classifier import UNIT_SOURCES

    parser.add_argument(
        "--minimum-score",
        type=float,
        default=0.5,
        metavar="SCORE",
        help="lowest detection confidence of a face, 0 to 1 (default: 0.5)",
    )
    parser.add_argument(
        "--action-units",
        nargs="?",
        choices=UNIT_SOURCES,
        const=UNIT_SOURCES[0],
        default=False,
        help="also tell FACS action units (AUs): by movements of the face and what the expression implies, or by the "
        "machines of a model that has them, as dcganfer (default: movements)",
    )
    parser.add_argument(
        "--blendshapes", action="store_true", help="also score MediaPipe's 52 blendshapes, such as jawOpen"
    )
    parser.add_argument(
        "--flip", action="store_true", help="test-time augmentation: average each face with its mirror image"
    )
    parser.add_argument(
        "--prior",
        type=prior,
        help="class prior to answer for: balanced, ferplus, or a JSON object with a share for each class "
        "(default: that of the model's training set)",
    )


def prior(text: str) -> Any:
    """A prior as it is written on the command line: a name, or a JSON object with a share for each expression."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a JSON object ({error})") from error


def add_labels_of(parser: Any) -> None:
    """Adds --labels-of to a parser or a group of one."""
    from kerasfer.expressions import LABEL_CODES

    parser.add_argument(
        "--labels-of",
        metavar="NAME",
        help="whose numbers the labels of csv or folder are, if they are numbers: "
        f"{', '.join(LABEL_CODES)}; or names, if each number is the name of a class",
    )


def own_options(name: str, labels_of: str | None, voted: Sequence[str] | None = None) -> dict[str, Any]:
    """Options of the readers of one's own data, {} for another set.

    Args:
        name: of the data set.
        labels_of: what --labels-of says.
        voted: the classes that the votes of a CSV file are for, if they count.

    Raises:
        ValueError: --labels-of with a set whose labels are known.
    """
    from kerasfer import datasets

    if name not in datasets.OWN_DATA:
        if labels_of:
            raise ValueError(f"--labels-of explains the numbers of {' or '.join(datasets.OWN_DATA)}, not of {name}")
        return {}
    told: dict[str, Any] = {"labels_of": labels_of} if labels_of else {}
    return {**told, "expressions": voted} if voted and name == "csv" else told

"""`kerasfer COMMAND ...`: the entry point of all commands."""

from __future__ import annotations

import importlib
import sys

from kerasfer.cli.common import run_app
from kerasfer.version import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "recognize": "expressions of the faces in photos, folders, videos or from a camera",
    "recognize-many": "the same of photos by the million, on a Ray cluster, into Parquet files",
    "train": "a model on your own labeled crops, a data set, or rendered faces",
    "evaluate": "accuracy, recall and confusion on a data set; the papers' tables",
    "synthesize": "faces with other expressions, or of new people",
    "export": "SavedModel, TFLite, ONNX and bundles for devices",
    "data": "data sets: the list, their cards, whether yours is complete",
    "labels": "to people who correct what was recognized, and back: CSV, FiftyOne, Label Studio",
    "serve": "the page in the browser; with --api, recognition as a web service",
    "bench": "milliseconds a face and photos a second on this machine",
}
"""Command -> what it is for; each is a module of this package with a `main`."""


def usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: kerasfer COMMAND ...\n\n"
        f"Facial expression recognition (kerasfer {__version__}).\n\n{rows}\n\n"
        "kerasfer COMMAND --help explains a command; kerasfer --version prints the version."
    )


def main() -> None:
    """The entry point of the wheel."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
    elif name in ("-V", "--version"):
        print(f"kerasfer {__version__}")
    elif name in COMMANDS:
        sys.argv = [f"kerasfer {name}", *arguments]
        run_app(lambda _: importlib.import_module(f"kerasfer.cli.{name.replace('-', '_')}").main(arguments))
    else:
        print(f"error: there is no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""What every app does: find kerasfer in the checkout, and what every command does."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["add_labels_of", "locate", "own_options", "prior", "run_app", "say", "undisturbed"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if importlib.util.find_spec("kerasfer") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from kerasfer.cli.common import locate, run_app, say, undisturbed  # noqa: E402


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

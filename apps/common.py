"""What every app does: find kerasfer in the checkout, keep TensorFlow quiet, turn errors into exit codes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

__all__ = ["locate", "run_app"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if importlib.util.find_spec("kerasfer") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def run_app(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Runs an app's `main` and exits with its code.

    Bad input (`ValueError`, `OSError`) becomes one line on stderr and exit code 2, Ctrl-C exit code 130.
    """
    try:
        code = main(None)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    sys.exit(code)


def locate(name: str, data: str | None) -> Path | None:
    """Where a data set lies: in the folder `data` under a name that it goes by, or `data` itself.

    None if `data` is not given.
    """
    if data is None:
        return None
    from kerasfer import datasets

    return datasets.find(name, data) or Path(data)

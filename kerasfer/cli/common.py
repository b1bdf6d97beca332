"""What every command does: keep TensorFlow quiet, turn errors into exit codes, find data sets."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from kerasfer.interpreter import silent_stderr

__all__ = ["locate", "run_app"]

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
    and exit code 2, Ctrl-C exit code 130.
    """
    sys.meta_path.insert(0, _QuietTensorFlow())
    try:
        code = main(None)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except (ValueError, OSError, ImportError) as error:
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

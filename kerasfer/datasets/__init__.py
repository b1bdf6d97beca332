"""Data sets of faces as tables: `load("ferplus", "data/ferplus.zip", split="train")`.

A reader is a function `read(root, split=None, strict=True, **options) -> FaceTable` in a module of its own, and every
set has a page in `cards/` that says who owns it, where to apply for it, its license, layout, counts and label order.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.checking import CheckReport, count_all

__all__ = [
    "FILES",
    "OWN_DATA",
    "READERS",
    "DatasetError",
    "FaceTable",
    "card",
    "check",
    "find",
    "load",
    "locate",
    "names",
    "reader",
]

READERS: dict[str, tuple[str, str]] = {
    "affectnet": ("kerasfer.datasets.affectnet", "read"),
    "baum2i": ("kerasfer.datasets.baum2i", "read"),
    "bu3dfe": ("kerasfer.datasets.bu3dfe", "read"),
    "casia_webface": ("kerasfer.datasets.casia_webface", "read"),
    "celeba": ("kerasfer.datasets.celeba", "read"),
    "ck48": ("kerasfer.datasets.ck48", "read"),
    "ck_enhanced": ("kerasfer.datasets.ck_enhanced", "read"),
    "ck_plus": ("kerasfer.datasets.ck_plus", "read"),
    "csv": ("kerasfer.datasets.generic", "read_csv"),
    "ferplus": ("kerasfer.datasets.ferplus", "read"),
    "folder": ("kerasfer.datasets.generic", "read_folder"),
    "kdef": ("kerasfer.datasets.kdef", "read"),
    "lfw": ("kerasfer.datasets.lfw", "read"),
    "lfw_expressions": ("kerasfer.datasets.lfw_expressions", "read"),
    "london": ("kerasfer.datasets.london", "read"),
    "mmi": ("kerasfer.datasets.mmi", "read"),
    "multi_pie": ("kerasfer.datasets.multi_pie", "read"),
    "oulu_casia": ("kerasfer.datasets.oulu_casia", "read"),
    "raf_db": ("kerasfer.datasets.raf_db", "read"),
    "rafd": ("kerasfer.datasets.rafd", "read"),
    "sfew": ("kerasfer.datasets.sfew", "read"),
    "shards": ("kerasfer.datasets.shards", "read"),
    "synthetic": ("kerasfer.datasets.synthetic", "read"),
    "tfd": ("kerasfer.datasets.tfd", "read"),
    "tfeid": ("kerasfer.datasets.tfeid", "read"),
}
"""Name -> module and function of each reader; the module is imported when it is asked for."""

FILES: dict[str, tuple[str, ...]] = {
    "ck48": ("CK+48",),
    "lfw": ("lfw_color", "lfw-deepfunneled", "lfw_funneled"),
    "london": ("london_faces",),
}
"""Name -> other names that the set's folder or zip goes by."""


OWN_DATA = ("csv", "folder")
"""The readers of people's own faces, whose classes may be any."""


def names() -> list[str]:
    """Names of all data sets, sorted."""
    return sorted(READERS)


def reader(name: str) -> Callable[..., FaceTable]:
    """Returns a data set's reader.

    Raises:
        DatasetError: there is no data set of that name.
    """
    if name not in READERS:
        raise DatasetError(f"unknown data set {name!r}; known are: {', '.join(names())}")
    module, function = READERS[name]
    return getattr(importlib.import_module(module), function)


def find(name: str, folder: str | Path) -> Path | None:
    """Where a data set lies in a folder: its name, or another that it goes by, as a folder or a zip; None: nowhere."""
    for known in (name, *FILES.get(name, ())):
        for path in (Path(folder) / known, Path(folder) / f"{known}.zip"):
            if path.exists():
                return path
    return None


def locate(name: str, folder: str | Path) -> Path:
    """Where a data set lies: in a folder under a name that it goes by, or, if it is not there, the folder itself."""
    return find(name, folder) or Path(folder)


def load(
    name: str, root: str | Path | None = None, split: str | None = None, strict: bool = True, **options: Any
) -> FaceTable:
    """Reads a data set.

    Args:
        name: one of `names()`.
        root: the data set's folder or a zip of it; only `synthetic` needs none.
        split: "train", "valid" or "test" to read only that part; None reads all.
        strict: raise if files are missing or damaged or labels are unknown; False leaves those rows out and lists
            them in the table's `rejected`.
        **options: the reader's own options; its docstring and card name them.

    Returns:
        The table.

    Raises:
        DatasetError: an unknown name or option, no root, or files that are not as the layout says.
    """
    read = reader(name)
    parameters = inspect.signature(read).parameters.values()
    known = [entry.name for entry in parameters if entry.name not in ("root", "split", "strict")]
    unknown = sorted(set(options) - set(known))
    if unknown and not any(entry.kind is entry.VAR_KEYWORD for entry in parameters):
        raise DatasetError(f"{name}: no option {', '.join(unknown)}; options are: {', '.join(known) or 'none'}")
    if root is None and name != "synthetic":
        raise DatasetError(f"{name}: say where its folder or zip is; its card says where to get it")
    return read(root, split, strict, **options)


def check(name: str, root: str | Path, **options: Any) -> CheckReport:
    """Tells what of a data set is there and what is missing, with counts beside the owners' and the papers'.

    Args:
        name: one of `names()`.
        root: its folder or zip.
        **options: of the reader. The counts that are known are for its defaults, or name options of their own.

    Returns:
        The report; print it, or look at `complete`, `readings` and `rejected`.

    Raises:
        DatasetError: an unknown name or option, or nothing of the set is there.
    """
    return count_all(name, root, options, load)


def card(name: str) -> str:
    """The data set's card, Markdown.

    Raises:
        DatasetError: there is no data set of that name.
    """
    reader(name)
    return (resources.files("kerasfer.datasets") / "cards" / f"{name}.md").read_text(encoding="utf-8")

"""For the reference: kerasfer's public functions, which it imports lazily, under the names that users call them by."""

from __future__ import annotations

import ast
from typing import Any

import griffe

PACKAGE = "kerasfer"


class LazyNames(griffe.Extension):
    """Makes `kerasfer.recognize` and its like known, from the table that kerasfer/__init__.py looks them up in."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        if pkg.name != PACKAGE:
            return
        for name, module in ast.literal_eval(str(pkg["_PUBLIC"].value)).items():
            pkg.set_member(name, griffe.Alias(name, f"{module}.{name}"))

"""How the bundled models are trained: a module a model, which says it in Python.

    kerasfer.recipes.names()                              # the models that have one
    plan = kerasfer.recipes.plan("tdgan")                 # its trainings, and what is measured of them
    plan.run("cnn_base").train("data", "runs/zoo-tdgan")  # one of them

A module's docstring states the command that does it all, the hardware, the hours, the paper's figure and ours; its
`PLAN` is what `scripts/build_zoo.py` works through. A new one is a file beside these; nothing else has to know of it.
"""

from __future__ import annotations

import importlib
import pkgutil

from kerasfer.recipes.planning import Mean, Plan, PlanError, Run, Teachers

__all__ = ["Mean", "Plan", "PlanError", "Run", "Teachers", "names", "plan"]


def names() -> list[str]:
    """Names of the models that have a recipe, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "planning")


def plan(name: str) -> Plan:
    """The plan of a model.

    Raises:
        PlanError: there is none of that name; the message lists the names.
    """
    if name not in names():
        raise PlanError(f"no recipe for {name!r}; there is one for: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").PLAN

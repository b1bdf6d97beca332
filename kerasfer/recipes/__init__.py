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

from kerasfer.recipes import coming as coming_plans
from kerasfer.recipes.planning import Mean, Plan, PlanError, Run, Teachers

__all__ = ["Mean", "Plan", "PlanError", "Run", "Teachers", "names", "plan"]


def names() -> list[str]:
    """Names of the models that have a recipe, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in ("planning", "coming"))


def plan(name: str, coming: bool = False) -> Plan:
    """The plan of a model.

    Args:
        name: of the model.
        coming: whether it is the plan that is to take the place of the bundled model's (`kerasfer.recipes.coming`).

    Raises:
        PlanError: there is none of that name; the message lists the names.
    """
    place = f"{__name__}.coming" if coming else __name__
    known = sorted(module.name for module in pkgutil.iter_modules(coming_plans.__path__)) if coming else names()
    if name not in known:
        raise PlanError(f"no {'coming ' if coming else ''}recipe for {name!r}; there is one for: {', '.join(known)}")
    return importlib.import_module(f"{place}.{name}").PLAN

"""Processes made by os.fork(): what holds threads, locks or interpreters is renewed in them; TensorFlow cannot be.

A child has one thread, the one that forked. Pools whose threads are gone would be waited for without end, as would
locks that another thread held. What can be made anew is; TensorFlow's pools cannot, and the child is told so at once.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

__all__ = ["ForkError", "renew_in_child", "use_tensorflow"]


class ForkError(ValueError):
    """TensorFlow cannot compute in this process; the message says what to do."""


class Renewable(Protocol):
    """What is renewed in a child."""

    def _renew(self) -> None:
        """Replaces the pools, locks and interpreters that came from the parent by new ones."""


_renewables: weakref.WeakSet[Any] = weakref.WeakSet()
_tensorflow = {"used": False, "lost": False}


def renew_in_child(owner: Renewable) -> None:
    """Lets an object's `_renew` be called in every child, as long as there is the object."""
    _renewables.add(owner)


def use_tensorflow() -> None:
    """Must be called before TensorFlow computes.

    Raises:
        ForkError: it did so before this process was made by os.fork(), and would now wait without end.
    """
    if _tensorflow["lost"]:
        raise ForkError(
            "TensorFlow cannot compute in a process made by os.fork() once it has computed in the parent; start "
            "processes with multiprocessing.get_context('spawn') and load the model in each, or take kerasfer.lite, "
            "which can"
        )
    _tensorflow["used"] = True


def _in_child() -> None:
    for owner in list(_renewables):
        owner._renew()
    _tensorflow["lost"] = _tensorflow["used"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

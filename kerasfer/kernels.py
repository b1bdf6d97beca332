"""Which kernels TensorFlow computes with.

On x86 processors without AVX-512, TensorFlow leaves oneDNN's kernels off. What it takes instead needs twice as long for
the gradients of convolutions, and twenty times where maps are small and channels many.
"""

from __future__ import annotations

import os
import sys

__all__ = ["ONEDNN", "prefer_onednn"]

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""The environment variable, "0" or "1", that TensorFlow reads when it is imported."""


def prefer_onednn() -> None:
    """Switches oneDNN's kernels on where nobody has chosen; too late if TensorFlow has been imported."""
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        os.environ.setdefault(ONEDNN, "1")

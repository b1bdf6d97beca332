"""Which kernels TensorFlow computes with, and what the processor lacks for others.

On x86 processors without AVX-512, TensorFlow leaves oneDNN's kernels off. What it takes instead needs longer for the
gradients of convolutions, most so where maps are small and channels many (docs/benchmarks.md has trainings' steps).

With a single thread oneDNN's gradient of a convolution's kernel writes beyond its memory (TensorFlow 2.21, eager, found
by glibc's MALLOC_CHECK_), so it is left alone where a process has one processor or is told to use one thread.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

__all__ = ["ONEDNN", "bfloat16_lacks", "prefer_onednn", "processor_flags"]

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""The environment variable, "0" or "1", that TensorFlow reads when it is imported."""

_CHOSEN = "KERASFER_CHOSE_ONEDNN"
"""Tells a process that inherits the variable that kerasfer has set it, and no person."""


_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}
"""What of an x86-64 processor multiplies bfloat16 numbers, as Linux calls it -> as its maker does."""

_INTEL = "GenuineIntel"


def bfloat16_lacks() -> tuple[str, ...]:
    """What the processor would need one of to train in bfloat16 sooner than in float32; () if it has it.

    Of Intel's, those with AVX512-BF16 and without AMX take longer in bfloat16 (docs/benchmarks.md, "Training steps").
    Also () where the system does not tell, and on processors other than x86-64.
    """
    flags = processor_flags()
    quicker = {flag: name for flag, name in _BFLOAT16.items() if _INTEL not in flags or flag == "amx_bf16"}
    return () if not flags or flags & quicker.keys() else tuple(quicker.values())


@functools.cache
def processor_flags() -> frozenset[str]:
    """What an x86-64 processor can do, as Linux names it, and its maker; none where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    told = [
        next((line.partition(":")[2] for line in lines if line.startswith(key)), "") for key in ("flags", "vendor_id")
    ]
    return frozenset(" ".join(told).split()) if told[0] else frozenset()


def prefer_onednn() -> None:
    """Switches oneDNN's kernels on where nobody has chosen; too late if TensorFlow has been imported."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return
    allowed = getattr(os, "sched_getaffinity", None)
    processors = len(allowed(0)) if allowed else os.cpu_count() or 1
    if processors < 2 or os.environ.get("TF_NUM_INTRAOP_THREADS") == "1":
        if os.environ.pop(_CHOSEN, None):
            os.environ.pop(ONEDNN, None)
    elif ONEDNN not in os.environ:
        os.environ.update({ONEDNN: "1", _CHOSEN: "1"})

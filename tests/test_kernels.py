"""`import kerasfer` switches oneDNN's kernels on, where nobody has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kerasfer import kernels
from kerasfer.models import networks


@pytest.mark.parametrize(
    ("platform", "machine", "processors", "environment", "then"),
    [
        ("linux", "x86_64", 2, {}, "1"),
        ("linux", "x86_64", 2, {kernels.ONEDNN: "0"}, "0"),
        ("linux", "x86_64", 1, {}, None),
        ("linux", "x86_64", 2, {"TF_NUM_INTRAOP_THREADS": "1"}, None),
        ("linux", "x86_64", 2, {"TF_NUM_INTRAOP_THREADS": "2"}, "1"),
        ("linux", "x86_64", 1, {kernels.ONEDNN: "1"}, "1"),
        ("linux", "x86_64", 1, {kernels.ONEDNN: "1", kernels._CHOSEN: "1"}, None),
        ("linux", "aarch64", 2, {}, None),
        ("win32", "x86_64", 2, {}, None),
    ],
)
def test_onednn_is_preferred_where_it_helps_and_never_with_one_thread(
    monkeypatch, platform, machine, processors, environment, then
):
    for name in (kernels.ONEDNN, kernels._CHOSEN, "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kernels.os, "sched_getaffinity", lambda process: set(range(processors)))
    monkeypatch.setattr(kernels.sys, "platform", platform)
    monkeypatch.setattr(kernels.os, "uname", lambda: os.uname_result(("", "", "", "", machine)))
    kernels.prefer_onednn()
    assert os.environ.get(kernels.ONEDNN) == then


def test_importing_kerasfer_does_it():
    left_out = (kernels.ONEDNN, kernels._CHOSEN, "TF_NUM_INTRAOP_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    code = f"import os, kerasfer; print(os.environ.get({kernels.ONEDNN!r}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    helps = sys.platform == "linux" and os.uname().machine == "x86_64" and len(os.sched_getaffinity(0)) > 1
    assert done.stdout.strip() == str("1" if helps else None)


@pytest.mark.parametrize(
    ("flags", "lacking"),
    [
        ({"avx2", "avx512f", "amx_bf16"}, ()),
        ({"avx2", "avx512f", "avx512_bf16"}, ()),
        ({"GenuineIntel", "avx512_bf16", "amx_bf16"}, ()),
        ({"GenuineIntel", "avx512f", "avx512_bf16"}, ("AMX-BF16",)),
        ({"avx2", "avx512f"}, ("AVX512-BF16", "AMX-BF16")),
        (set(), ()),
    ],
)
def test_bfloat16_by_default_is_for_processors_that_compute_in_it(monkeypatch, flags, lacking):
    monkeypatch.setattr(kernels, "processor_flags", lambda: frozenset(flags))
    assert kernels.bfloat16_lacks() == lacking
    assert networks.chosen_precision("mixed_bfloat16") == ("float32" if lacking else "mixed_bfloat16")
    assert networks.chosen_precision("mixed_float16") == "mixed_float16"


def test_a_gpu_computes_in_bfloat16_whatever_the_processor_lacks(monkeypatch):
    monkeypatch.setattr(kernels, "processor_flags", lambda: frozenset({"avx2"}))
    devices = [networks.tf.config.PhysicalDevice(f"/physical_device:{kind}:0", kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(networks.tf.config, "list_physical_devices", lambda: devices)
    assert networks.chosen_precision("mixed_bfloat16") == "mixed_bfloat16"


@pytest.mark.skipif(not (sys.platform == "linux" and os.uname().machine == "x86_64"), reason="flags of x86-64 on Linux")
def test_linux_tells_what_the_processor_can_do():
    assert "sse2" in kernels.processor_flags()


def test_the_maker_is_told_beside_the_flags(monkeypatch):
    told = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: sse2 avx512_bf16\n"
    monkeypatch.setattr(kernels.Path, "read_text", lambda path, **options: told)
    assert kernels.processor_flags.__wrapped__() == {"GenuineIntel", "sse2", "avx512_bf16"}
    monkeypatch.setattr(kernels.Path, "read_text", lambda path, **options: "vendor_id\t: GenuineIntel\n")
    assert kernels.processor_flags.__wrapped__() == set()

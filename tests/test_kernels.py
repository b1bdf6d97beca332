"""`import kerasfer` switches oneDNN's kernels on, where nobody has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kerasfer import kernels


@pytest.mark.parametrize(
    ("platform", "machine", "chosen", "then"),
    [
        ("linux", "x86_64", None, "1"),
        ("linux", "x86_64", "0", "0"),
        ("linux", "aarch64", None, None),
        ("win32", "x86_64", None, None),
    ],
)
def test_onednn_is_preferred_where_it_is_known_to_help(monkeypatch, platform, machine, chosen, then):
    monkeypatch.delenv(kernels.ONEDNN, raising=False)
    if chosen is not None:
        monkeypatch.setenv(kernels.ONEDNN, chosen)
    monkeypatch.setattr(kernels.sys, "platform", platform)
    monkeypatch.setattr(kernels.os, "uname", lambda: os.uname_result(("", "", "", "", machine)))
    kernels.prefer_onednn()
    assert os.environ.get(kernels.ONEDNN) == then


def test_importing_kerasfer_does_it():
    environment = {name: value for name, value in os.environ.items() if name != kernels.ONEDNN}
    code = f"import os, kerasfer; print(os.environ.get({kernels.ONEDNN!r}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    helps = sys.platform == "linux" and os.uname().machine == "x86_64"
    assert done.stdout.strip() == str("1" if helps else None)

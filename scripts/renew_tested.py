"""Writes scripts/tested.txt: the versions that pip takes today for each Python, to be committed when the tests pass.

    python scripts/renew_tested.py dist/kerasfer-0.1.0-py3-none-any.whl

Asks pip what it would install of the wheel and of all that the tests need, for each Python, on 64-bit Linux; installs
nothing. Then: scripts/install.sh dev tested, with each Python, and the tests.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FILE = Path(__file__).resolve().parent / "tested.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HEAD = """\
# Versions that were all tried together: scripts/install.sh tested takes them. Written by scripts/renew_tested.py.
"""


def versions(wheel: Path, python: str) -> dict[str, str]:
    """Package -> version, as pip resolves them for a Python on 64-bit Linux."""
    tags = [f"manylinux_2_{number}_x86_64" for number in (34, 28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"]
    with tempfile.TemporaryDirectory() as nowhere:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--report",
            "-",
        ]
        command += ["--only-binary=:all:", "--target", nowhere, "--implementation", "cp", "--python-version", python]
        command += [part for tag in tags for part in ("--platform", tag)]
        done = subprocess.run([*command, f"{wheel}[cpu,dev]"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"pip finds no versions for Python {python}: {done.stderr[-500:]}")
    entries = [entry["metadata"] for entry in json.loads(done.stdout)["install"]]
    found = {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in entries}
    del found["kerasfer"]
    return {**found, "tensorflow": found["tensorflow-cpu"]}


def lines(resolved: dict[str, dict[str, str]]) -> list[str]:
    """The pins of all Pythons, one for each version of a package, with the Pythons that it is for."""
    found = []
    for name in sorted({name for pins in resolved.values() for name in pins}):
        users: dict[str, list[str]] = {}
        for python, pins in resolved.items():
            if name in pins:
                users.setdefault(pins[name], []).append(python)
        for version, pythons in users.items():
            marker = " or ".join(f'python_version == "{python}"' for python in pythons)
            found.append(f"{name}=={version}" + ("" if len(users) == 1 else f"; {marker}"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="kerasfer's, as pip wheel --no-deps . builds it")
    wheel = parser.parse_args().wheel.resolve()
    pins = lines({python: versions(wheel, python) for python in PYTHONS})
    FILE.write_text(HEAD + "\n".join(pins) + "\n", encoding="utf-8")
    print(f"wrote {FILE}: {len(pins)} pins")
    return 0


if __name__ == "__main__":
    sys.exit(main())

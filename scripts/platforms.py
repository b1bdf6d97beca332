"""Writes docs/platforms.md: for which systems there are wheels of what kerasfer needs, by asking the package index.

    python scripts/platforms.py

Asks pip for the newest wheel of each requirement in setup.cfg, for the oldest and the newest Python, as it would choose
on each system; downloads nothing. It takes some minutes.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "platforms.md"
PYTHONS = ("3.10", "3.13")

SYSTEMS = {
    "Linux x86-64": [f"manylinux_2_{number}_x86_64" for number in (28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"],
    "Linux ARM 64": [f"manylinux_2_{number}_aarch64" for number in (28, 27, 26, 17)] + ["manylinux2014_aarch64"],
    "macOS ARM": [f"macosx_{number}_0_{kind}" for number in (14, 13, 12, 11) for kind in ("arm64", "universal2")]
    + ["macosx_10_13_universal2", "macosx_10_9_universal2"],
    "Windows x86-64": ["win_amd64"],
}
"""System -> the tags of the wheels that run on it."""

LEFT_OUT = ("cuda", "dev", "mediapipe", "convert")
"""Extras whose packages are asked for by others, are for developers, or exist for few systems."""


def requirements() -> list[tuple[str, str]]:
    """Package and the extra that brings it, each package once."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found: dict[str, str] = {}
    groups = {"kerasfer": setup["options"]["install_requires"], **setup["options.extras_require"]}
    for extra, text in groups.items():
        for line in text.split():
            name = re.match(r"[A-Za-z][\w-]*(?=$|[>=;])", line)
            if extra not in LEFT_OUT and name and "kerasfer" not in line and name[0] not in ("platform_machine",):
                found.setdefault(name[0], extra)
    return list(found.items())


def newest(package: str, tags: list[str], python: str) -> str:
    """The version that pip would install from a wheel, or a dash."""
    with tempfile.TemporaryDirectory() as nowhere:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed"]
        command += ["--only-binary=:all:", "--target", nowhere, "--implementation", "cp", "--python-version", python]
        command += ["--report", "-", package, *(part for tag in tags for part in ("--platform", tag))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["install"][0]["metadata"]["version"] if done.returncode == 0 else "–"


def main() -> int:
    rows = requirements()
    jobs = [(package, tags, python) for package, _ in rows for tags in SYSTEMS.values() for python in PYTHONS]
    with ThreadPoolExecutor(2) as pool:
        answers = iter(list(pool.map(lambda job: newest(*job), jobs)))
    lines = [
        "# Wheels for each system",
        "",
        f"The newest version of each package that pip finds a wheel of, for Python {' and '.join(PYTHONS)}; written by",
        "`python scripts/platforms.py`. Where a system has no `tensorflow-cpu`, take `kerasfer[train]`.",
        "",
        f"| package | brought by | {' | '.join(SYSTEMS)} |",
        f"| --- | --- |{' --- |' * len(SYSTEMS)}",
    ]
    for package, extra in rows:
        cells = []
        for _ in SYSTEMS:
            versions = [next(answers) for _ in PYTHONS]
            cells.append(versions[0] if len(set(versions)) == 1 else ", ".join(versions))
        name = extra if extra == "kerasfer" else f"kerasfer[{extra}]"
        lines.append(f"| `{package}` | `{name}` | {' | '.join(cells)} |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE}: {len(rows)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())

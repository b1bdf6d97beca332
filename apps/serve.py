#!/usr/bin/env python3
"""`kerasfer serve`, run from a checkout: `python apps/serve.py --help`."""

from __future__ import annotations

import common  # noqa: F401  finds kerasfer in the checkout

from kerasfer.cli.common import run_app
from kerasfer.cli.serve import SITE, main, make_server, parser

__all__ = ["SITE", "main", "make_server", "parser"]

if __name__ == "__main__":
    run_app(main)

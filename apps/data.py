#!/usr/bin/env python3
"""`kerasfer data` from the checkout: python apps/data.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.data import main

if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""`kerasfer export` from the checkout: python apps/export.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.export import main

if __name__ == "__main__":
    run_app(main)

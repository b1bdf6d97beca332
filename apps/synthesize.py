#!/usr/bin/env python3
"""`kerasfer synthesize` from the checkout: python apps/synthesize.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.synthesize import main

if __name__ == "__main__":
    run_app(main)

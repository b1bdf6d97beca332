#!/usr/bin/env python3
"""`kerasfer evaluate` from the checkout: python apps/evaluate.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.evaluate import main

if __name__ == "__main__":
    run_app(main)

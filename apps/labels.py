#!/usr/bin/env python3
"""`kerasfer labels` from the checkout: python apps/labels.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.labels import main

if __name__ == "__main__":
    run_app(main)

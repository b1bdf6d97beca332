#!/usr/bin/env python3
"""`kerasfer serve` from the checkout: python apps/serve.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.serve import main

if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""`kerasfer bench` from the checkout: python apps/bench.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.bench import main

if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""`kerasfer train` from the checkout: python apps/train.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.train import main

if __name__ == "__main__":
    run_app(main)

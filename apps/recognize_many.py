#!/usr/bin/env python3
"""`kerasfer recognize-many` from the checkout: python apps/recognize_many.py --help."""

from common import run_app  # first: it finds kerasfer in the checkout

from kerasfer.cli.recognize_many import main

if __name__ == "__main__":
    run_app(main)

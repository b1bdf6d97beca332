#!/bin/sh
# Checks style and types. scripts/test.sh, pre-commit and the workflow on GitHub call it after scripts/install.sh dev.
#
#     scripts/check.sh          both
#     scripts/check.sh style    ruff alone
#     scripts/check.sh types    mypy alone
set -eu
cd "$(dirname "$0")/.."
python=${KERASFER_VENV:-.venv}/bin/python
wrong=0
for what in ${*:-style types}; do
    case $what in
    style)
        echo "Checking the style (ruff) ..."
        "$python" -m ruff check --quiet . || wrong=1
        "$python" -m ruff format --quiet --diff . || wrong=1
        ;;
    types)
        echo "Checking the types (mypy) ..."
        "$python" -m mypy || wrong=1
        ;;
    *)
        echo "error: no check $what; there are style and types" >&2
        exit 2
        ;;
    esac
done
exit "$wrong"

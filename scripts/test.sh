#!/bin/sh
# Installs kerasfer with its development tools into .venv if that is not done yet, checks style and types and runs the
# tests.
#
#     scripts/test.sh                     the default suite
#     scripts/test.sh -m slow             the slow tests; every argument goes to pytest
#     KERASFER_DATA=DIR scripts/test.sh   the tests on real data too: DIR holds ferplus.zip and lfw_expressions.zip
set -eu
cd "$(dirname "$0")/.."
scripts/install.sh dev
python=${KERASFER_VENV:-.venv}/bin/python

style=0
scripts/check.sh || style=1

echo "Running the tests (pytest) ..."
tests=0
"$python" -m pytest "$@" || tests=$?
if [ "$tests" -eq 0 ] && [ "$style" -ne 0 ]; then
    echo "error: the tests pass, but the checks of style or types above found something" >&2
    exit 1
fi
exit "$tests"

#!/bin/sh
# Installs kerasfer from this checkout into the folder .venv (or $KERASFER_VENV), unless that is done and up to date.
#
#     scripts/install.sh                what recognizing, training, exporting and the servers need
#     scripts/install.sh dev            what the tests need too: pytest, ruff, mypy and others
#     scripts/install.sh [dev] tested   not the newest versions but those of scripts/tested.txt, all tried together
#
# Needs Python 3.10 or newer with venv, 1.6 GB of disk and a Python package index. PYTHON=/path/to/python chooses the
# Python. On 64-bit Intel and AMD under Linux it takes TensorFlow's wheel without GPU code, which is much smaller, unless
# the other one is there already.
set -eu
cd "$(dirname "$0")/.."
venv=${KERASFER_VENV:-.venv}
extras=
tested=
for word in "$@"; do
    if [ "$word" = tested ]; then tested=tested; else extras="$extras $word"; fi
done

fail() {
    echo "error: $*" >&2
    exit 2
}

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 10))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10 or newer; name one, or unset it"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.10 or newer found; install one (Debian, Ubuntu: apt-get install python3 python3-venv)" \
        "or name it: PYTHON=/path/to/python $0"
}

make_venv() {
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    remedy="Python $version ($python) cannot make a virtual environment: install its venv module"
    remedy="$remedy (Debian, Ubuntu: apt-get install python$version-venv) and run this again"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$remedy"
    echo "Making $venv with Python $version ..."
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >"$venv.log" 2>&1; then
        rm -rf "$venv" "$venv.log"
        fail "$remedy"
    fi
    rm -f "$venv.log"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! fits "$venv/bin/python"; then
    make_venv
fi
python=$venv/bin/python

# The stamp says what was installed: it changes with the dependencies, the checkout's place and the Python.
stamp=$(
    {
        cat setup.cfg pyproject.toml scripts/install.sh scripts/tested.txt
        pwd
        "$python" --version
    } | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
)
done_before=$(cat "$venv/kerasfer-stamp" 2>/dev/null || true)
case "$done_before" in
"$stamp$tested dev") exit 0 ;;
"$stamp$tested$extras") exit 0 ;;
esac

log=$venv/install.log
pip() {
    "$python" -m pip "$@" >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "pip $1 failed (the whole log is $log); see to its reason above and run this again." \
            "With versions that are known to fit each other: scripts/install.sh$extras tested"
    }
}
echo "Installing kerasfer and what it needs into $venv (400 MB of downloads, some minutes; log: $log) ..."
rm -f "$venv/kerasfer-stamp" "$log"
tensorflow=$("$python" - <<'END'
import platform
import sys
from importlib.metadata import distributions

plain = "tensorflow" in {distribution.metadata["Name"] for distribution in distributions()}
print("cpu" if (sys.platform, platform.machine()) == ("linux", "x86_64") and not plain else "train")
END
)
wanted=$(echo "$tensorflow,serve,heic$extras" | tr ' ' ',')
pip install --disable-pip-version-check --no-compile ${tested:+-c scripts/tested.txt} -e ".[$wanted]"

# Of TensorFlow's wheel, two fifths serve those who compile operators of their own: the headers and the symbols.
"$python" - <<'END'
import importlib.util
import shutil
import subprocess
from pathlib import Path

folder = Path(importlib.util.find_spec("tensorflow").origin).parent
shutil.rmtree(folder / "include", ignore_errors=True)
if shutil.which("strip"):
    for file in folder.rglob("*.so*"):
        if file.stat().st_size > 2**20:
            subprocess.run(["strip", "--strip-unneeded", file], check=False)
END
# pip would compile what nobody imports, too; without byte code every start of TensorFlow takes as long again.
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 PYTHONDONTWRITEBYTECODE='' "$python" -c 'import cv2, keras'
echo "$stamp$tested$extras" >"$venv/kerasfer-stamp"

#!/bin/sh
# Installs kerasfer from this checkout into the folder .venv (or $KERASFER_VENV), unless that is done and up to date.
#
#     scripts/install.sh          what recognising, training and exporting need
#     scripts/install.sh dev      pytest and ruff too
#
# Needs Python 3.10 to 3.12 with venv, 2.5 GB of disk and a Python package index. PYTHON=/path/to/python chooses the
# Python. On 64-bit Intel and AMD it takes TensorFlow's wheel without GPU code, which is 250 MB instead of 645 MB, unless
# the other one is there already. The versions are those of scripts/constraints.txt.
set -eu
cd "$(dirname "$0")/.."
venv=${KERASFER_VENV:-.venv}
extras=${1:-}

fail() {
    echo "error: $*" >&2
    exit 2
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10, 3.11 or 3.12; name one, or unset it"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.10; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.10, 3.11 or 3.12 found; install one (Debian, Ubuntu: apt-get install python3 python3-venv)" \
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

# The stamp says what was installed: it changes with the dependencies, the extras, the checkout's place and the Python.
stamp=$(
    {
        cat setup.cfg pyproject.toml scripts/install.sh scripts/constraints.txt
        pwd
        "$python" --version
    } | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
)
done_before=$(cat "$venv/kerasfer-stamp" 2>/dev/null || true)
case "$done_before" in
"$stamp dev") exit 0 ;;
"$stamp ") [ "$extras" = "" ] && exit 0 ;;
esac

log=$venv/install.log
pip() {
    "$python" -m pip "$@" >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "pip $1 failed (the whole log is $log); see to its reason above and run this again"
    }
}
echo "Installing kerasfer and what it needs into $venv (700 MB of downloads, some minutes; log: $log) ..."
rm -f "$venv/kerasfer-stamp" "$log"
"$python" - "$extras" >"$venv/requirements.txt" <<'END'
import configparser
import platform
import sys
from importlib.metadata import distributions

setup = configparser.ConfigParser()
setup.read("setup.cfg", encoding="utf-8")
lines = setup["options"]["install_requires"].splitlines()
for extra in sys.argv[1].split():
    lines += setup["options.extras_require"][extra].splitlines()
present = {distribution.metadata["Name"] for distribution in distributions()}
if (sys.platform, platform.machine()) == ("linux", "x86_64") and "tensorflow" not in present:
    lines = [line.replace("tensorflow ", "tensorflow-cpu ") for line in lines]
print("\n".join(lines))
END
pip install --disable-pip-version-check -c scripts/constraints.txt -r "$venv/requirements.txt"
pip install --disable-pip-version-check --no-deps -e .

# mediapipe asks for opencv-contrib-python, which does not import on a machine without a display's libGL. The headless
# build of the same version holds the same module without the windows.
opencv=$("$python" -c 'from importlib.metadata import version; print(version("opencv-contrib-python"))' 2>/dev/null || true)
if [ -n "$opencv" ]; then
    echo "Putting opencv-contrib-python-headless $opencv in the place of opencv-contrib-python (needs no libGL) ..."
    pip uninstall --yes opencv-contrib-python
    pip install --disable-pip-version-check --no-deps --force-reinstall "opencv-contrib-python-headless==$opencv"
fi
"$python" -c 'import cv2'
echo "$stamp $extras" >"$venv/kerasfer-stamp"

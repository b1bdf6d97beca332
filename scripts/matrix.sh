#!/bin/sh
# Builds the wheel, installs it into fresh environments as users have them, and tries it there, outside the checkout.
#
#     scripts/matrix.sh                   all of them
#     scripts/matrix.sh oldest lite       some of them
#
#     oldest     the lowest version of everything that setup.cfg allows (Python 3.10, TensorFlow 2.19, NumPy 1.26)
#     newest     the newest version of everything, on the newest Python that is here and fits
#     pandas     the newest beside the newest pandas, scikit-image and seaborn, which nothing may hold back
#     lite       what a device has: NumPy, Pillow and LiteRT, no TensorFlow
#     mediapipe  the package mediapipe 0.10.21, with the versions that it wants; its detector beside ours
#     haar       OpenCV 4, with its cascades, and mtcnn
#
# Each takes up to four minutes, most of it downloads, and 2 GB of disk while it runs; KERASFER_MATRIX names a folder for
# the environments (default: a temporary one). PYTHON310 and so on name Pythons that are not found. Exit code 1: one
# failed; each prints its versions and what was tried, and the disk that it takes.
set -u
cd "$(dirname "$0")/.."
root=$(pwd)
folder=${KERASFER_MATRIX:-$(mktemp -d)}
mkdir -p "$folder"
[ -n "${KERASFER_MATRIX:-}" ] || trap 'rm -rf "$folder"' EXIT INT TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1 TF_CPP_MIN_LOG_LEVEL=3

# find_python 3.13 3.12: the first of these that is here and can make environments.
find_python() {
    for version in "$@"; do
        named=$(eval echo "\${PYTHON$(echo "$version" | tr -d .):-}")
        for candidate in $named "python$version" "$HOME/.pyenv/versions/$version".*/bin/python python3; do
            if "$candidate" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
                echo "$candidate"
                return 0
            fi
        done
    done
    return 1
}

# make NAME PYTHON REQUIREMENT...: a fresh environment with these installed; extra arguments of pip in $more.
make() {
    name=$1
    shift
    rm -rf "${folder:?}/$name"
    "$1" -m venv "$folder/$name" || return 1
    shift
    # shellcheck disable=SC2086
    "$folder/$name/bin/python" -m pip install --no-compile ${more:-} "$@" >"$folder/$name.log" 2>&1 || {
        tail -n 15 "$folder/$name.log"
        return 1
    }
}

smoke() {
    name=$1
    shift
    (cd / && "$folder/$name/bin/python" "$root/scripts/smoke.py" "$@") || return 1
    echo "  disk: $(du -sm "$folder/$name" | cut -f1) MB"
}

# tests NAME ARGUMENT...: tests of the checkout, with the environment's packages.
tests() {
    name=$1
    shift
    "$folder/$name/bin/python" -m pytest -n 0 -q -p no:cacheprovider "$@" >"$folder/$name-tests.log" 2>&1
    code=$?
    grep -E "^(FAILED|ERROR|SKIPPED)|passed|failed|error" "$folder/$name-tests.log" | tail -n 20
    return $code
}

# lowest EXTRA: the lower limits of setup.cfg as constraints: the base's, and those of an extra.
lowest() {
    python3 - "$1" <<'END'
import configparser
import re
import sys

setup = configparser.ConfigParser()
setup.read("setup.cfg", encoding="utf-8")
waiting = setup["options"]["install_requires"].split("\n") + [f"kerasfer[{sys.argv[1]}]"]
for line in waiting:
    if inner := re.fullmatch(r"kerasfer\[(\w+)\]", line):
        waiting += setup["options.extras_require"][inner[1]].split("\n")
    elif limit := re.match(r"([\w-]+)(?:\[[\w-]+\])? >=([\d.]+)", line):
        print(f"{limit[1]}=={limit[2]}.*")
END
}

# cpu_or_train: the extra with the smaller TensorFlow, where there is one.
case "$(uname -sm)" in "Linux x86_64") whole=cpu ;; *) whole=train ;; esac

oldest() {
    python=$(find_python 3.10 3.11 3.12) || missing "Python 3.10, 3.11 or 3.12" || return
    lowest $whole >"$folder/oldest.txt"
    more="-c $folder/oldest.txt" make oldest "$python" "kerasfer[$whole] @ file://$wheel" || return 1
    smoke oldest --numpy 1.26 whole
}

newest() {
    python=$(find_python 3.14 3.13 3.12 3.11 3.10) || missing "a Python" || return
    make newest "$python" "kerasfer[$whole,serve,heic,parquet] @ file://$wheel" || return 1
    smoke newest --numpy 2 whole
}

pandas() {
    python=$(find_python 3.13 3.12 3.11) || missing "Python 3.11, 3.12 or 3.13" || return
    make pandas "$python" pandas scikit-image seaborn || return 1
    before=$("$folder/pandas/bin/python" -m pip freeze)
    "$folder/pandas/bin/python" -m pip install --no-compile "kerasfer[$whole] @ file://$wheel" \
        >"$folder/pandas.log" 2>&1 || { tail -n 15 "$folder/pandas.log"; return 1; }
    after=$("$folder/pandas/bin/python" -m pip freeze)
    for kept in $before; do
        echo "$after" | grep -qxF "$kept" || { echo "FAILED: $kept was replaced"; return 1; }
    done
    echo "  ok: pandas and all that was there before are as they were"
    "$folder/pandas/bin/python" -m pip check || return 1
    smoke pandas --numpy 2 whole
}

lite() {
    python=$(find_python 3.13 3.12 3.11 3.10) || missing "a Python" || return
    make lite "$python" "kerasfer[lite] @ file://$wheel" || return 1
    smoke lite lite
}

mediapipe() {
    python=$(find_python 3.12 3.11 3.10) || missing "Python 3.10, 3.11 or 3.12" || return
    make mediapipe "$python" "kerasfer[mediapipe] @ file://$wheel" pytest pytest-xdist scikit-image || return 1
    # mediapipe asks for the OpenCV that needs a display's libGL; the headless build holds the same module.
    opencv=$("$folder/mediapipe/bin/python" -c 'from importlib.metadata import version as v; print(v("opencv-contrib-python"))')
    "$folder/mediapipe/bin/python" -m pip uninstall -y -q opencv-contrib-python &&
        "$folder/mediapipe/bin/python" -m pip install -q --no-deps "opencv-contrib-python-headless==$opencv" || return 1
    tests mediapipe -m "slow or not slow" tests/test_detection.py tests/test_blendshapes.py -k "mediapipe or haar or equal"
}

haar() {
    python=$(find_python 3.13 3.12 3.11 3.10) || missing "a Python" || return
    make haar "$python" "kerasfer[$whole,haar] @ file://$wheel" mtcnn pytest pytest-xdist scikit-image || return 1
    tests haar -m "slow or not slow" tests/test_detection.py -k "haar or mtcnn"
}

missing() {
    echo "skipped: $1 is not here (name one: PYTHON310=/path/to/python and the like)"
    skipped="$skipped $name_of_row"
    return 1
}

echo "Building the wheel ..."
python=$(find_python 3.13 3.12 3.11 3.10) || { echo "error: no Python 3.10 or newer found" >&2; exit 2; }
# From a copy, so that no build folder is left in the checkout and nothing of an older one gets in.
rm -rf "$folder/source" "$folder"/kerasfer-*.whl
mkdir "$folder/source"
cp -R setup.cfg pyproject.toml README.md LICENSE kerasfer saved_models "$folder/source/"
"$python" -m pip wheel -q --no-deps -w "$folder" "$folder/source" || exit 2
rm -rf "$folder/source"
wheel=$(ls -t "$folder"/kerasfer-*.whl | head -n 1)
echo "$(basename "$wheel"): $(du -m "$wheel" | cut -f1) MB"

failed= skipped=
for name_of_row in ${*:-lite oldest newest pandas mediapipe haar}; do
    case $name_of_row in
    oldest | newest | pandas | lite | mediapipe | haar) ;;
    *) echo "error: no environment $name_of_row; there are oldest, newest, pandas, lite, mediapipe, haar" >&2; exit 2 ;;
    esac
    echo
    echo "== $name_of_row"
    $name_of_row || case $skipped in *"$name_of_row"*) ;; *) failed="$failed $name_of_row" ;; esac
    [ -n "${KERASFER_MATRIX:-}" ] || rm -rf "${folder:?}/$name_of_row"
done
echo
echo "failed:${failed:- none}; skipped:${skipped:- none}"
[ -z "$failed" ]

#!/bin/sh
# Builds what a release uploads, wheel and sdist, and tries both as users get them: each is installed without TensorFlow
# (kerasfer[lite]) into an empty environment, outside the checkout, where `kerasfer --version` has to name the version of
# kerasfer/version.py and `kerasfer recognize` has to find the face in the photo that comes with it, smiling.
#
#     scripts/release_check.sh                   the wheel on every Python of setup.cfg's classifiers that is here
#     scripts/release_check.sh --output dist     keeps wheel and sdist in that folder, to be uploaded by twine
#
# The wheel has to stay under 65 MB, the sdist has to install the same files, and twine has to find nothing. Takes minutes
# and 1 GB of a temporary folder. PYTHON310 and so on name Pythons that are not found. Exit code 1: something failed.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
output=
case "$#${1:-}" in
0) ;;
2--output) output=$2 ;;
*) echo "error: the only option is --output DIR" >&2; exit 2 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH
started=$(date +%s)

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# find_python 3.13: that Python, if it is here and can make environments.
find_python() {
    named=$(eval echo "\${PYTHON$(echo "$1" | tr -d .):-}")
    for candidate in $named "python$1" "$HOME/.pyenv/versions/$1".*/bin/python python3; do
        if "$candidate" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# try NAME PYTHON FILE: installs the file into an empty environment and recognizes a face there.
try() {
    "$2" -m venv "$folder/$1"
    python=$folder/$1/bin/python
    "$python" -m pip install -q --no-compile "kerasfer[lite] @ file://$3" >"$folder/$1.log" 2>&1 || {
        tail -n 15 "$folder/$1.log" >&2
        fail "$(basename "$3") cannot be installed on $("$python" --version)"
    }
    mkdir -p "$folder/empty"
    cd "$folder/empty"
    found=$("$folder/$1/bin/kerasfer" --version)
    [ "$found" = "kerasfer $version" ] || fail "$1: says '$found' instead of 'kerasfer $version'"
    photo=$("$python" -c 'from kerasfer import sample; print(sample.PHOTO)')
    case $photo in "$folder/$1"/*) ;; *) fail "$1: $photo is not of the installed package" ;; esac
    "$folder/$1/bin/kerasfer" recognize "$photo" --json answer.json >answer.txt 2>&1 || {
        cat answer.txt >&2
        fail "$1: kerasfer recognize"
    }
    "$python" - <<'END' || fail "$1: kerasfer recognize does not find one face that smiles: $(cat answer.txt)"
import json
import sys

rows = json.load(open("answer.json"))
sys.exit([face["expression"] for row in rows for face in row["faces"]] != ["happiness"])
END
    # What was installed, without what pip adds of its own.
    "$python" - >"$folder/$1.files" <<'END'
from importlib.metadata import files

print(*sorted(str(file) for file in files("kerasfer") if file.parts[0] == "kerasfer"), sep="\n")
END
    cd "$root"
    echo "  ok: $1, $("$python" --version): kerasfer $version finds the face, $(du -sm "$folder/$1" | cut -f1) MB installed"
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' kerasfer/version.py)
[ -n "$version" ] || fail "kerasfer/version.py states no version"
grep -q "^## $version " CHANGELOG.md || fail "CHANGELOG.md has no heading for version $version"
pythons=$(sed -n 's/^ *Programming Language :: Python :: \(3\.[0-9]*\)$/\1/p' setup.cfg)
for each in $pythons; do
    if main=$(find_python "$each"); then break; fi
done
[ -n "${main:-}" ] || { echo "error: none of Python $(echo $pythons) is here" >&2; exit 2; }

echo "Building kerasfer $version ..."
# From a copy, so that no build folder is left in the checkout and nothing of an older one gets in.
mkdir "$folder/source" "$folder/built"
cp -R setup.cfg pyproject.toml MANIFEST.in ./*.md CITATION.cff LICENSE kerasfer saved_models "$folder/source/"
"$main" -m venv "$folder/tools"
"$folder/tools/bin/python" -m pip install -q build twine >"$folder/tools.log" 2>&1 || {
    tail -n 15 "$folder/tools.log" >&2
    fail "build and twine cannot be installed"
}
(cd "$folder/source" && "$folder/tools/bin/python" -m build --outdir "$folder/built" . >"$folder/build.log" 2>&1) || {
    tail -n 15 "$folder/build.log" >&2
    fail "python -m build"
}
rm -rf "$folder/source"
wheel=$(echo "$folder"/built/*.whl)
sdist=$(echo "$folder"/built/*.tar.gz)
for file in "$wheel" "$sdist"; do
    bytes=$(wc -c <"$file")
    echo "  $(basename "$file"): $((bytes / 100000 / 10)).$((bytes / 100000 % 10)) MB"
done
[ "$(wc -c <"$wheel")" -lt 65000000 ] || fail "the wheel is not under 65 MB"
"$folder/tools/bin/twine" check --strict "$wheel" "$sdist" || fail "twine check"

echo "Installing into empty environments ..."
missing=
for each in $pythons; do
    if found_python=$(find_python "$each"); then
        try "wheel-$each" "$found_python" "$wheel"
    else
        missing="$missing $each"
    fi
    rm -rf "$folder/wheel-$each"
done
try sdist "$main" "$sdist"
cmp -s "$folder/sdist.files" "$folder"/wheel-"$("$main" -c 'import sys; print("%d.%d" % sys.version_info[:2])')".files ||
    fail "the sdist installs other files than the wheel"
echo "  ok: sdist and wheel install the same $(wc -l <"$folder/sdist.files") files"

if [ -n "$output" ]; then
    mkdir -p "$output"
    cp "$wheel" "$sdist" "$output/"
    echo "In $output: $(basename "$wheel") $(basename "$sdist")"
fi
[ -z "$missing" ] || echo "not tried, as they are not here: Python$missing"
echo "kerasfer $version is ready, after $(($(date +%s) - started)) s"

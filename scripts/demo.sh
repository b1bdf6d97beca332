#!/bin/sh
# Installs kerasfer into .venv if that is not done yet, recognizes the expressions in a photo and, with the bundled TDGAN,
# moves expressions onto faces. Everything is on this machine: nothing is downloaded but the packages.
#
#     scripts/demo.sh              the photo of an astronaut that comes with kerasfer (NASA, public domain)
#     scripts/demo.sh PHOTO...     your own photos
#
# Writes out/astronaut.png (photo), out/<photo>_expressions.png (photo with its faces marked) and out/transfer.png.
set -eu
start=$(pwd)
cd "$(dirname "$0")/.."
scripts/install.sh
python=$(pwd)/${KERASFER_VENV:-.venv}/bin/python
case ${KERASFER_VENV:-} in /*) python=$KERASFER_VENV/bin/python ;; esac
export TF_CPP_MIN_LOG_LEVEL=3
out=$(pwd)/out
apps=$(pwd)/apps
mkdir -p "$out"

if [ $# -eq 0 ]; then
    "$python" - "$out/astronaut.png" <<'END'
import sys

from kerasfer import images, sample

images.write(sys.argv[1], images.read(sample.PHOTO))
END
    set -- "$out/astronaut.png"
fi

echo
echo "1. Recognizing the expressions in $* ..."
(cd "$start" && "$python" "$apps/recognize.py" "$@" --output "$out")

echo
echo "2. Moving expressions onto synthetic faces with TDGAN's generator ..."
"$python" "$apps/synthesize.py" --model tdgan --faces synthetic --output "$out/transfer.png"

echo
echo "Look at the pictures in $out:"
ls -1 "$out"/*.png

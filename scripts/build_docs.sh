#!/bin/sh
# Builds the site into build/site, with warnings as errors; checks its links, and runs the code on its pages.
#
#     scripts/build_docs.sh         all of it
#     scripts/build_docs.sh site    without the code
#
# Installs into .venv (or $KERASFER_VENV) what is missing. The site is plain files that load nothing from elsewhere:
# open build/site/index.html, or put the folder on any web server.
set -eu
cd "$(dirname "$0")/.."
case "${*:-all}" in
all | site) ;;
*)
    echo "error: no word $*; there is site" >&2
    exit 2
    ;;
esac
python=${KERASFER_VENV:-.venv}/bin/python
"$python" -c 'import kerasfer, latex2mathml, material, mkdocs, mkdocstrings_handlers.python' 2>/dev/null ||
    scripts/install.sh dev
export NO_MKDOCS_2_WARNING=1 PYTHONPATH="$PWD" TF_CPP_MIN_LOG_LEVEL=3

echo "Comparing figures and data sets on the pages with their files ..."
"$python" scripts/site_figures.py --check
echo "Building the site (mkdocs) ..."
"$python" -m mkdocs build --quiet --strict
echo "Checking the links ..."
"$python" scripts/check_docs.py links build/site
if [ "${*:-all}" = all ]; then
    echo "Running the code on the pages ..."
    "$python" scripts/check_docs.py code
fi
echo "built build/site/index.html"

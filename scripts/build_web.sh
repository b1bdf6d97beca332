#!/bin/sh
# Builds the page that reads faces in the browser, into apps/web/build/site: plain files for any web server.
#
#     scripts/build_web.sh     then: python apps/serve.py
#
# Needs Node 20.19 or newer with npm, a package registry (the first time), and the environment of scripts/install.sh;
# PYTHON=/path/to/python names another one that kerasfer is installed in. It takes seconds, and a minute the first time:
# the generators that come without a TFLite file are exported then.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "error: $*" >&2
    exit 2
}

python=${PYTHON:-${KERASFER_VENV:-.venv}/bin/python}
command -v "$python" >/dev/null 2>&1 || fail "$python is missing; run scripts/install.sh, or name a Python: PYTHON=python3 $0"
command -v npm >/dev/null 2>&1 || fail "npm is missing; install Node 20.19 or newer (nodejs.org, or your system's nodejs and npm)"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    fail "Node $(node --version) is too old; install 20.19 or newer"

page=apps/web
# A copy of the lock file tells what was installed last.
stamp=$page/node_modules/.kerasfer-lock
if ! cmp -s $page/package-lock.json $stamp; then
    echo "Installing the page's packages (npm ci) ..."
    (cd $page && npm ci --no-audit --no-fund --loglevel=error)
    cp $page/package-lock.json $stamp
fi
echo "Gathering the networks ..."
"$python" $page/manifest.py $page/build/public
echo "Building the page (tsc, vite) ..."
(cd $page && npm run --silent build -- --logLevel warn)
echo "built $page/build/site; look at it with: $python apps/serve.py"

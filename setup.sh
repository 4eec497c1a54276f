#!/bin/sh
# Makes the virtual environment .venv beside this file with bench in it.
#   ./setup.sh         to use it
#   ./setup.sh test    to work on it: editable, with what the tests need
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup.sh: bench needs Python 3.11 or newer; PYTHON=python3.12 ./setup.sh names another one" >&2
    exit 2
fi
if [ ! -x .venv/bin/pip ]; then
    rm -rf .venv
    if ! "$python" -m venv .venv 2>/dev/null; then
        # Debian and Ubuntu keep venv in a package of its own.
        echo "setup.sh: installing python3-venv" >&2
        root=$([ "$(id -u)" -eq 0 ] || echo sudo)
        $root apt-get update -qq
        $root apt-get install -y -qq python3-venv
        rm -rf .venv
        "$python" -m venv .venv
    fi
fi
if [ "${1:-}" = test ]; then
    .venv/bin/pip install --disable-pip-version-check -q -e '.[test]'
else
    .venv/bin/pip install --disable-pip-version-check -q .
fi

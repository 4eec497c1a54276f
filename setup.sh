#!/bin/sh
# Makes the virtual environment .venv beside this file with bench in it, all of whose packages have the versions and
# hashes of the lock files, which are those that the tests passed with.
#   ./setup.sh         to use it
#   ./setup.sh test    to work on it: editable, with what the tests need
set -eu
cd "$(dirname "$0")"
case "${1:-}" in
    "") lock=requirements.lock extra=all editable= ;;
    test) lock=requirements-test.lock extra=test editable=-e ;;
    *) echo "setup.sh: ./setup.sh, or ./setup.sh test; not ./setup.sh $1" >&2; exit 2 ;;
esac
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
install=".venv/bin/pip install --disable-pip-version-check -q"
version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
here="Python $version on $(uname -s) $(uname -m)"
case "$here" in
    "Python 3.11 on Linux x86_64" | "Python 3.12 on Linux x86_64" | "Python 3.13 on Linux x86_64")
        # The lock is complete, and holds what builds bench too: nothing else is looked for.
        $install --no-deps --require-hashes -r "$lock"
        $install --no-deps --no-build-isolation $editable .
        ;;
    *)
        echo "setup.sh: there is no lock for $here: installing the newest versions that pyproject.toml allows;" \
            ".venv/bin/bench doctor --full says whether they work" >&2
        $install $editable ".[$extra]"
        ;;
esac

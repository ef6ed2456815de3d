#!/bin/sh
# Make .venv ready: `setup.sh run` for the demo, `setup.sh dev` for the tests and checks as well.
#
# Needs Python 3.11 or newer (PYTHON chooses one) and pip; uses uv instead of pip when it is on the PATH.
# What was installed is remembered in .venv/.installed-*, so that doing it again costs nothing.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
run) lock=requirements.lock ;;
dev) lock=requirements-dev.lock ;;
*) echo "usage: $0 run|dev" >&2 && exit 2 ;;
esac
goal=$1

fail() {
    echo "$*" >&2
    exit 1
}

# A stamp names everything that the content of .venv follows from.
fingerprint() {
    cat "$1" pyproject.toml emulator/pyproject.toml starter/pyproject.toml "$0" | sha256sum
    pwd
}

done_before() {
    [ -f ".venv/.installed-$1" ] && [ "$(cat ".venv/.installed-$1")" = "$(fingerprint "$2")" ]
}

make_venv() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "No '$python' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old: Python 3.11 or newer is needed. Name one: make PYTHON=/path/to/python3"
    rm -rf .venv
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$(command -v "$python")" .venv
    elif "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    else
        # Debian splits ensurepip off into python3-venv; pip can install into a .venv from outside.
        "$python" -m venv --without-pip .venv
        "$python" -m pip --version >/dev/null 2>&1 ||
            fail "Neither pip nor uv nor ensurepip here. On Debian: apt-get install python3-venv"
    fi
}

install() {
    if [ -n "$uv" ]; then
        "$uv" pip install --quiet --python .venv/bin/python "$@"
    elif .venv/bin/python -c 'import pip' 2>/dev/null; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    else
        "${PYTHON:-python3}" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check "$@"
    fi
}

uv=$(command -v uv || true)

if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if done_before "$goal" "$lock" || { [ "$goal" = run ] && done_before dev requirements-dev.lock; }; then
        exit 0
    fi
else
    make_venv
fi

echo "Setting up .venv from $lock with ${uv:-pip} ..."
rm -f .venv/.installed-*
install --require-hashes --requirement "$lock"
install --no-deps --no-build-isolation --editable . --editable ./emulator --editable ./starter
fingerprint "$lock" >".venv/.installed-$goal"

#!/bin/sh
# Write the two lock files: everything the demo needs, and that plus the tools for tests and checks.
#
# Hashes and no addresses: a lock file says what is installed, the machine's own configuration says from where.
# Universal: one file serves Python 3.11 to 3.13 on Linux, x86_64 and aarch64.
# Extras stay in the pins: older pips look for the newest release of `coverage[toml]` beside a pin of `coverage`, and refuse
# it for its missing hash on the day that there is a newer one.
# Versions that still fit are kept; `scripts/lock.sh --upgrade` takes the newest ones.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv || echo .cache/uv/bin/uv)
if [ ! -x "$uv" ]; then
    echo "Installing uv into .cache/uv ..."
    "${PYTHON:-python3}" -m venv .cache/uv
    .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
fi

compile() {
    output=$1
    shift
    printf '%s\n' '-e .[fastapi]' '-e ./emulator' '-e ./starter' |
        "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
            --no-emit-index-url --no-emit-find-links --no-emit-build-options \
            --no-emit-package paidup --no-emit-package stripe-emulator --no-emit-package saas-starter \
            --custom-compile-command 'make lock' --output-file "$output" "$@" -
    if grep -n '://' "$output"; then
        echo "$output must not contain addresses" >&2
        exit 1
    fi
}

compile requirements.lock --group build "$@"
compile requirements-dev.lock --group dev --constraint requirements.lock "$@"
grep -c == requirements.lock requirements-dev.lock

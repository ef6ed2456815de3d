"""
Find the official Stripe CLI for the tests, and get it when there is none.

`python scripts/stripe_cli.py` prints the path of `stripe`, installing it first if need be; everything else it says
goes to stderr. The order: `STRIPE_CLI_PATH`, what is in `.cache/stripe_cli` already, the npm package `@stripe/cli` put
there; npm itself comes from Debian's packages when it is missing. A `stripe` on the PATH is not taken: its version
and its login are somebody's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "@stripe/cli@1.52.0"

_HOME = Path(__file__).resolve().parent.parent / ".cache" / "stripe_cli"

_REMEDY = (
    "No Stripe CLI for the tests. Install npm (on Debian: `apt-get install npm` as root) and try again, "
    "or set STRIPE_CLI_PATH to the executable of the Stripe CLI."
)


class NoStripeCli(Exception):
    """There is no usable Stripe CLI; the message says what to do."""


def find() -> Path | None:
    """
    The CLI that is here already, or None.

    Raises NoStripeCli when STRIPE_CLI_PATH is set but is not an executable: an explicit choice is never replaced.
    """
    if chosen := os.environ.get("STRIPE_CLI_PATH"):
        if os.access(chosen, os.X_OK) and Path(chosen).is_file():
            return Path(chosen)
        raise NoStripeCli(f"STRIPE_CLI_PATH={chosen} is not an executable file; correct it or unset it.")
    wanted = _home() / "node_modules" / "@stripe"
    return next((path for path in sorted(wanted.glob("cli-*/bin/stripe")) if os.access(path, os.X_OK)), None)


def install() -> Path:
    """Get the CLI through npm, and npm from Debian when it is missing. Raises NoStripeCli when that fails."""
    if not shutil.which("npm"):
        _install_npm_from_debian()
    if not shutil.which("npm"):
        raise NoStripeCli(_REMEDY)
    _say(f"Installing {PACKAGE} into {_home()} ...")
    # Its install script would fetch from elsewhere what the package for this platform already holds.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
    _home().mkdir(parents=True, exist_ok=True)
    _run(["npm", "install", "--prefix", str(_home()), *options, PACKAGE])
    if found := find():
        return found
    raise NoStripeCli(f"npm did not install {PACKAGE}; what it said is above. {_REMEDY}")


def _home() -> Path:
    """A directory of its own for each version, so that a new one is fetched."""
    return _HOME / PACKAGE.rpartition("@")[2]


def _install_npm_from_debian() -> None:
    if not shutil.which("apt-get"):
        return
    become_root = _become_root()
    if become_root is None:
        _say("Not root and no passwordless sudo, so Debian's npm can't be installed.")
        return
    _say("Installing Debian's nodejs and npm ...")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _run([*become_root, *environment, "apt-get", "update", "-q"])
    _run([*become_root, *environment, "apt-get", "install", "-q", "-y", "--no-install-recommends", "nodejs", "npm"])


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return sudo
    return None


def _run(command: list[str]) -> None:
    # Its output goes to stderr: stdout is for the path. A failure shows there, and then in `find()`.
    try:
        subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        _say(f"Gave up on `{' '.join(command)}` after 15 minutes.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Print the path of the Stripe CLI; 1 and the remedy when there is none."""
    try:
        print(find() or install())
    except NoStripeCli as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

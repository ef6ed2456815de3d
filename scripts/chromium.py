"""
Find a Chromium for the browser tests, and get one when there is none.

`python scripts/chromium.py` prints the path of the browser, installing it first if need be; everything else it says
goes to stderr. The order: `CHROMIUM_PATH`, the system's Chromium or Chrome, Debian's package, playwright's download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_REMEDY = (
    "No Chromium for the browser tests. Install one (on Debian: `apt-get install chromium` as root), "
    "or set CHROMIUM_PATH to the executable of a Chromium or Chrome."
)


class NoChromium(Exception):
    """There is no usable browser; the message says what to do."""


def find() -> Path | None:
    """
    The browser that is here already, or None.

    Raises NoChromium when CHROMIUM_PATH is set but is not an executable: an explicit choice is never replaced.
    """
    if chosen := os.environ.get("CHROMIUM_PATH"):
        if os.access(chosen, os.X_OK) and Path(chosen).is_file():
            return Path(chosen)
        raise NoChromium(f"CHROMIUM_PATH={chosen} is not an executable file; correct it or unset it.")
    for name in _NAMES:
        if found := shutil.which(name):
            return Path(found)
    return _playwrights_own()


def install() -> Path:
    """Get a browser, from Debian when allowed to, else playwright's. Raises NoChromium when neither works."""
    for attempt in (_install_from_debian, _install_from_playwright):
        attempt()
        if browser := find():
            return browser
    raise NoChromium(_REMEDY)


def _playwrights_own() -> Path | None:
    from playwright.sync_api import sync_playwright  # imported late: it is needed only without a system browser

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


def _install_from_debian() -> None:
    if not shutil.which("apt-get"):
        return
    become_root = _become_root()
    if become_root is None:
        _say("Not root and no passwordless sudo, so Debian's chromium can't be installed.")
        return
    _say("Installing Debian's chromium ...")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _run([*become_root, *environment, "apt-get", "update", "-q"])
    _run([*become_root, *environment, "apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"])


def _install_from_playwright() -> None:
    _say("Downloading playwright's chromium ...")
    _run([sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"])


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
    """Print the path of a browser; 1 and the remedy when there is none."""
    try:
        print(find() or install())
    except NoChromium as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

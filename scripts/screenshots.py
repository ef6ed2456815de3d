"""
Take pictures of the demo's main pages into `screenshots/`: light, dark and on a phone.

`python scripts/screenshots.py [FOLDER]` starts a demo of its own with fresh data, lives through the stories that lead
to each page, and stops it again. CHROMIUM_PATH names the browser, else the one that `scripts/chromium.py` finds. With
`--docs` those that the documents show are put into `docs/pictures/` as well.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
_IN_DOCS = {
    "3-checkout": "checkout",
    "4-cancel": "cancel",
    "4-dashboard-canceling": "canceling",
    "4-billing-past-due": "past_due",
    "3-next-invoice": "next_invoice",
    "3-portal": "portal",
    "3-account": "account",
    "3-reports": "exports",
    "6-change": "change",
    "6-billing-change-planned": "change_planned",
}
"""What they are called there: light, and as on a desktop."""
_DESKTOP = (1200, 800)
_PHONE = (390, 780)
_START_SECONDS = 90.0


class Photographer:
    """Goes through the app and takes each page's picture three times."""

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self._page = page
        self._url = url
        self._folder = folder
        self._users = 0

    def visitor(self) -> None:
        """What somebody sees who is not signed in."""
        for name, path in {
            "home": "/",
            "pricing": "/pricing?interval=year",
            "sign-up": "/sign-up",
            "sign-in": "/sign-in",
        }.items():
            self._go(path)
            self._shoot(f"1-{name}")

    def newcomer(self) -> None:
        """On Free: the limit, and what only Pro has."""
        self._sign_up("/sign-up?next=/pricing%3Fplan%3Dpro")
        self._shoot("2-chosen-plan")
        for name in ("Website relaunch", "Autumn newsletter"):
            self._add_project(name)
        self._shoot("2-dashboard-free")
        self._add_project("One too many")
        self._shoot("2-limit-reached")
        self._go("/reports")
        self._shoot("2-upgrade")
        self._go("/nothing-here")
        self._shoot("2-not-found")

    def subscriber(self) -> None:
        """From Checkout to Pro, then a failed payment, then a cancellation."""
        self._choose("pro")
        self._shoot("3-checkout")
        self._enter_card("4242 4242 4242 4242")
        self._page.locator("#submit").click()
        self._page.locator("[data-state=subscribed]").wait_for()
        self._shoot("3-welcome")
        self._go("/dashboard")
        self._page.locator("#live-history li").first.wait_for()
        self._shoot("3-dashboard-pro")
        for name, path in {
            "reports": "/reports",
            "billing": "/settings/billing",
            "next-invoice": "/settings/billing/next-invoice",
            "account": "/settings/account",
            "pricing-pro": "/pricing",
            "change": "/change?plan=pro&interval=year",
        }.items():
            self._go(path)
            self._shoot(f"3-{name}")
        self._go("/settings/billing")
        self._page.get_by_text("Cancel subscription").click()
        self._shoot("4-cancel")
        self._press("Open billing portal", "**/p/session/**")
        self._shoot("3-portal")
        self._page.locator("#cancel-plan").click()
        self._page.locator("#confirm-cancel").click()
        self._see_on_dashboard("Pro ends on")
        self._shoot("4-dashboard-canceling")

    def debtor(self) -> None:
        """A renewal that fails."""
        self._sign_up("/sign-up")
        self._choose("pro")
        self._enter_card("4242 4242 4242 4242")
        self._page.locator("#submit").click()
        self._page.locator("[data-state=subscribed]").wait_for()
        self._go("/dashboard")
        self._press("Let the next payment fail", re.compile("clock=decline"))
        self._press("Skip to renewal", re.compile("clock=moved"))
        self._see_on_dashboard("Your last payment failed")
        self._shoot("4-dashboard-past-due")
        self._go("/settings/billing")
        self._shoot("4-billing-past-due")

    def taster(self) -> None:
        """A trial without a card."""
        self._sign_up("/sign-up")
        self._choose("basic")
        self._shoot("5-checkout-trial")
        self._page.locator("#submit").click()
        self._page.locator("[data-state=subscribed]").wait_for()
        self._see_on_dashboard("Your Basic trial ends on")
        self._shoot("5-dashboard-trial")

    def changer(self) -> None:
        """More at once, less at the period's end."""
        self._sign_up("/sign-up")
        self._choose("pro")
        self._enter_card("4242 4242 4242 4242")
        self._page.locator("#submit").click()
        self._page.locator("[data-state=subscribed]").wait_for()
        self._go("/change?plan=pro&interval=year")
        self._shoot("6-change")
        self._go("/change?plan=basic&interval=month")
        self._press(re.compile("^Change on"), "**/settings/billing**")
        self._shoot("6-billing-change-planned")

    def _sign_up(self, path: str) -> None:
        self._page.context.clear_cookies()
        self._users += 1
        self._go(path)
        self._page.get_by_label("Name", exact=True).fill("Ada Lovelace")
        self._page.get_by_label("E-mail").fill(f"ada{self._users}@example.com")
        self._page.get_by_label("Password").fill("a perfectly fine password")
        self._page.get_by_role("button", name="Create account").click()
        self._page.wait_for_url(re.compile("/(dashboard|pricing)"))

    def _add_project(self, name: str) -> None:
        self._go("/dashboard")
        self._page.get_by_label("Name of the new project").fill(name)
        self._page.get_by_role("button", name="Add").click()
        self._page.wait_for_load_state()

    def _choose(self, plan: str) -> None:
        self._go("/pricing")
        self._page.locator(f"[data-plan={plan}]").get_by_role("button").click()
        self._page.wait_for_url("**/c/pay/**")

    def _enter_card(self, number: str) -> None:
        for name, value in {"cardNumber": number, "cardExpiry": "12 / 40", "cardCvc": "123"}.items():
            self._page.locator(f"[name={name}]").fill(value)
        self._page.locator("[name=billingName]").fill("Ada Lovelace")

    def _see_on_dashboard(self, text: str) -> None:
        self._go("/dashboard")
        self._page.locator("#live-banner", has_text=text).wait_for()

    def _press(self, button: str | re.Pattern[str], leads_to: str | re.Pattern[str]) -> None:
        self._page.get_by_role("button", name=button).click()
        self._page.wait_for_url(leads_to)

    def _go(self, path: str) -> None:
        self._page.goto(self._url + path)

    def _shoot(self, name: str) -> None:
        self._picture(f"{name}.light", _DESKTOP, dark=False)
        self._picture(f"{name}.dark", _DESKTOP, dark=True)
        self._picture(f"{name}.phone", _PHONE, dark=False)
        self._page.set_viewport_size({"width": _DESKTOP[0], "height": _DESKTOP[1]})
        print(f"  {name}", flush=True)

    def _picture(self, name: str, size: tuple[int, int], *, dark: bool) -> None:
        width, height = size
        self._page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self._page.set_viewport_size({"width": width, "height": height})
        whole = self._page.evaluate("document.documentElement.scrollHeight")
        # As tall as the page, so that what sticks to the window's edge is at the page's.
        self._page.set_viewport_size({"width": width, "height": max(height, int(whole))})
        self._page.screenshot(path=self._folder / f"{name}.png")


@contextmanager
def demo(data: Path) -> Iterator[str]:
    """A demo on ports of its own; its address."""
    port, emulator_port = _free_port(), _free_port()
    environment = os.environ | {"PORT": str(port), "EMULATOR_PORT": str(emulator_port), "DEMO_DATA": str(data)}
    for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        environment.pop(name, None)
    process = subprocess.Popen([sys.executable, "-m", "saas.demo"], env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/healthz", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def main(arguments: list[str]) -> int:
    """Take all pictures."""
    for_docs = "--docs" in arguments
    named = [each for each in arguments if each != "--docs"]
    folder = Path(named[0]) if named else ROOT / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, demo(Path(data)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=_ARGUMENTS)
        page = browser.new_page(device_scale_factor=1, locale="en-US")
        photographer = Photographer(page, url, folder)
        photographer.visitor()
        photographer.newcomer()
        photographer.subscriber()
        photographer.debtor()
        photographer.taster()
        photographer.changer()
        browser.close()
    if for_docs:
        pictures = ROOT / "docs" / "pictures"
        pictures.mkdir(exist_ok=True)
        for name, called in _IN_DOCS.items():
            shutil.copyfile(folder / f"{name}.light.png", pictures / f"{called}.png")
    print(f"Pictures are in {folder}")
    return 0


def _chromium() -> str:
    if chosen := os.environ.get("CHROMIUM_PATH"):
        return chosen
    finder = [sys.executable, str(Path(__file__).with_name("chromium.py"))]
    return subprocess.run(finder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("the demo did not start")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit("the demo did not answer in time")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A real Chromium for the tests that look at pages: fixtures `browser` and `page`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

from scripts import chromium

_PATIENCE_MS = 10_000

_ARGUMENTS = [
    "--no-sandbox",  # root may run it; it sees only pages of this repository
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    One headless Chromium for the tests of a file.

    Not for the whole run: playwright's event loop stays in this thread as long, and the next test may have its own.
    """
    executable = chromium.find()
    if executable is None:
        pytest.fail("no Chromium here: `make test` gets one, and so does `python scripts/chromium.py`")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of this test alone: its own cookies, a desktop window."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(_PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def complaints() -> list[str]:
    """
    What pages complained about: console errors and uncaught exceptions.

    The test fails when any are left at its end. One that provokes an error on purpose removes it from the list.
    """
    return []


@pytest.fixture
def page(request: pytest.FixtureRequest, context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    """A tab that fails the test when a page logs an error or throws."""
    if "starter_app" in request.fixturenames:
        # There first, and so gone last: a page that asks how things stand would complain of an app that has stopped.
        request.getfixturevalue("starter_app")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{message.text} ({message.location.get('url', tab.url)})")

    def on_page_error(error: Error) -> None:
        complaints.append(f"uncaught: {error}")

    tab = context.new_page()
    tab.on("console", on_console)
    tab.on("pageerror", on_page_error)
    yield tab
    tab.close()
    assert not complaints, "the browser's console has errors:\n" + "\n".join(complaints)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests with a browser last: the quick ones then fail first."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))

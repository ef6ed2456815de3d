"""Stored before answered: what was answered with 200 is not lost when everything is killed before it is processed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.acceptance.person import Person
from tests.acceptance.running_demo import RunningDemo
from tests.support.waiting import eventually


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    running = RunningDemo(tmp_path)
    running.start()
    try:
        yield running
    finally:
        running.kill_everything()


@pytest.mark.timeout(240)
def test_a_subscription_survives_sigkill_between_the_200_and_its_processing(demo: RunningDemo, page: Page) -> None:
    ada = Person(page, demo.url)
    ada.sign_up()
    ada.choose("pro")
    eventually(lambda: _events(demo, "pending") == [], 30)  # what signing up and Checkout caused is dealt with
    os.kill(demo.children()["worker"], signal.SIGSTOP)
    _pay_and_close_the_tab(page.url)
    eventually(lambda: "checkout.session.completed" in _events(demo, "pending"), 30)
    eventually(lambda: _deliveries_still_owed(demo) == 0, 30)  # all were answered 200: Stripe will not send them again

    ada.go("/dashboard")
    ada.sees_plan("Free")
    page.goto("about:blank")
    demo.kill_everything()
    assert "checkout.session.completed" in _events(demo, "pending")

    demo.start()
    ada.go("/dashboard")
    ada.sees_plan("Pro")
    ada.sees_status("Active")
    assert ada.has_reports()
    assert demo.stop() == 0


def _pay_and_close_the_tab(checkout: str) -> None:
    """Pay, and never follow the redirect back: only the webhook can tell the app."""
    card = {"cardNumber": "4242424242424242", "cardExpiry": "12/40", "cardCvc": "123", "billingName": "Ada Lovelace"}
    answer = httpx.post(checkout, data=card, headers={"Accept": "text/html"}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    assert "/billing/return" in answer.headers["Location"]


def _deliveries_still_owed(demo: RunningDemo) -> int:
    return int(httpx.get(f"http://127.0.0.1:{demo.emulator_port}/_emulator/settled").json()["owed"])


def _events(demo: RunningDemo, state: str) -> list[str]:
    with closing(sqlite3.connect(f"file:{demo.database}?mode=ro", uri=True)) as database:
        return [row[0] for row in database.execute("SELECT type FROM billing_events WHERE state = ?", [state])]

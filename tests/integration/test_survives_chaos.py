"""
An app on paidup under everything the emulator's plugin can do to it, in every flow it has.

Each event of a flow comes twice, late, or at the very end; after each the app is killed; each call to Stripe is
refused, hangs, is answered late or not at all; the person clicks twice, comes too early, never comes back; the bank
declines. Then several of these at once. Whenever the app has taken all there is, it shows what Stripe has. There are
hundreds of ways; CHAOS_SECONDS makes it try more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe as sdk

from stripe_emulator.testing import Stripe, assert_survives_chaos
from tests.support.databases import DatabaseMaker, PostgresDatabases
from tests.support.surviving import App, Portal, Switchboard, a_switchboard, app_on

SECONDS = int(os.environ.get("CHAOS_SECONDS", "6"))
FEWEST = 8
"""Schedules of each flow that are run on the slowest machine, too: one twist of each kind."""
MIXED = 60
CARD = {"cardExpiry": "12 / 40", "cardCvc": "123"}
GOOD = "5555555555554444"
PLANS = {"basic_month": "basic", "pro_month": "pro"}
WORTH_SOMETHING = ("trialing", "active", "past_due")


@pytest.fixture(scope="module")
def switchboard() -> Iterator[Switchboard]:
    with a_switchboard() as board:
        yield board


@pytest.fixture(autouse=True)
def hurried_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's pauses before it asks again change nothing but how long this takes."""
    monkeypatch.setattr(sdk.HTTPClient, "INITIAL_DELAY", 0.001)
    monkeypatch.setattr(sdk.HTTPClient, "MAX_DELAY", 0.001)


def subscribes(stripe: Stripe, app: App, plan: str = "pro") -> None:
    for url in stripe.clicks(lambda: app.checkout(plan)):
        stripe.pay(url, visit=app.visit)
    stripe.settle()


def portal(stripe: Stripe, app: App) -> Portal:
    opened = stripe.insist(lambda: app.browser.post("/billing/portal", json={}))
    return Portal(str(opened.json()["url"]))


def changes_plan(stripe: Stripe, app: App) -> None:
    subscribes(stripe, app)
    with closing(portal(stripe, app)) as page:
        basic = stripe.api.prices.list({"lookup_keys": ["basic_month"]}).data[0].id
        page.submit(page.leads("change-plan") + "/confirm", price=basic, quantity="1")
    stripe.settle()


def cancels(stripe: Stripe, app: App) -> None:
    subscribes(stripe, app)
    with closing(portal(stripe, app)) as page:
        page.submit(page.leads("cancel-plan"), feedback="unused")
    stripe.advance(days=32)
    stripe.settle()


def takes_the_cancellation_back(stripe: Stripe, app: App) -> None:
    subscribes(stripe, app)
    with closing(portal(stripe, app)) as page:
        page.submit(page.leads("cancel-plan"), feedback="unused")
        page.submit(page.leads("resume-plan"))
    stripe.settle()


def renews(stripe: Stripe, app: App) -> None:
    subscribes(stripe, app)
    stripe.advance(to="renewal")
    stripe.settle()


def fails_to_renew_and_recovers(stripe: Stripe, app: App) -> None:
    subscribes(stripe, app)
    (subscription,) = stripe.api.subscriptions.list({}).data
    worn = stripe.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": str(subscription.customer)})
    stripe.api.subscriptions.update(subscription.id, {"default_payment_method": worn.id})
    stripe.advance(to="renewal")
    stripe.settle()
    with closing(portal(stripe, app)) as page:
        page.submit(page.leads("update-card"), cardNumber=GOOD, **CARD)
    for invoice in stripe.api.invoices.list({"status": "open"}).data:
        with closing(Portal(str(invoice.hosted_invoice_url))) as page:
            page.submit(str(invoice.hosted_invoice_url), cardNumber=GOOD, **CARD)
    stripe.settle()


FLOWS = [subscribes, changes_plan, cancels, takes_the_cancellation_back, renews, fails_to_renew_and_recovers]


def shown(app: App) -> Any:
    access = app.browser.get("/billing/access").raise_for_status().json()
    invoices = app.browser.get("/billing/invoices").raise_for_status().json()
    return {
        "plan": access["plan"],
        "status": access["status"],
        "canceling": access["canceling"],
        "until": access["until"] if access["status"] in ("trialing", "active") else None,
        "invoices": sorted((each["status"], each["amount_paid"]) for each in invoices),
    }


def at_stripe(stripe: Stripe) -> Any:
    found = stripe.api.subscriptions.list({"status": "all"}).data
    invoices = [each for each in stripe.api.invoices.list({"limit": 100}).data if each.status != "draft"]
    seen: dict[str, Any] = {"plan": "free", "status": None, "canceling": False, "until": None}
    for subscription in found[:1]:
        item = subscription["items"].data[0]
        running = subscription.status in ("trialing", "active")
        ends = subscription.cancel_at or (item.current_period_end if subscription.cancel_at_period_end else None)
        if subscription.status in WORTH_SOMETHING:
            seen["plan"] = PLANS[item.price.lookup_key]
        seen["status"] = subscription.status
        seen["canceling"] = running and ends is not None
        if running:
            seen["until"] = datetime.fromtimestamp(ends or item.current_period_end, UTC).isoformat()
    return {**seen, "invoices": sorted((each.status, each.amount_paid) for each in invoices)}


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("flow", FLOWS)
def test_it_survives_chaos(switchboard: Switchboard, databases: DatabaseMaker, flow: Callable[..., None]) -> None:
    """One twist of each kind first; which, is drawn otherwise for the other kind of database."""
    seed = int(isinstance(databases, PostgresDatabases))
    start = app_on(switchboard, databases)
    assert_survives_chaos(
        flow, app=start, outcome=shown, at_stripe=at_stripe, seed=seed, seconds=SECONDS, fewest=FEWEST, mixed=MIXED
    )

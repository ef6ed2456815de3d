"""
The plugin's assertion shows and names ten classic mistakes, each in a small shop, and lets the honest shop pass.

What it plays are Stripe's own promises: [DOC] docs.stripe.com/webhooks#best-practices (duplicates, order, answer fast),
docs.stripe.com/api/idempotent_requests, docs.stripe.com/checkout/fulfillment (the redirect).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emulator.tests.broken_apps import mistakes
from emulator.tests.broken_apps.honest import EVENTS, SECRET, USER, Running, Shop, serving
from stripe_emulator.testing import Diverged, Schedule, Stripe, assert_survives_chaos

Flow = Callable[[Stripe, Running], object]


def app_of(kind: type[Shop]) -> Any:
    @contextmanager
    def start(stripe: Stripe) -> Iterator[Running]:
        prices = {
            "seat": stripe.price("seat", amount=500),
            "pro": stripe.price("pro"),
            "team": stripe.price("team", amount=5000),
        }
        product = stripe.api.products.create({"name": "Ten credits"}).id
        prices["credits"] = stripe.api.prices.create({"product": product, "currency": "usd", "unit_amount": 900}).id
        with serving(kind, stripe.url, prices) as running:
            stripe.add_endpoint(running.webhook_url, SECRET, EVENTS)
            yield running

    return start


def subscribes(stripe: Stripe, app: Running) -> None:
    for url in stripe.clicks(lambda: page(stripe, app, "/subscribe")):
        stripe.pay(url)
    stripe.settle()


def upgrades(stripe: Stripe, app: Running) -> None:
    subscribes(stripe, app)
    stripe.insist(lambda: app.post("/upgrade"))
    stripe.settle()


def buys_credits(stripe: Stripe, app: Running) -> None:
    for url in stripe.clicks(lambda: page(stripe, app, "/credits")):
        stripe.pay(url)
    stripe.settle()


def tops_up(stripe: Stripe, app: Running) -> None:
    subscribes(stripe, app)
    stripe.insist(lambda: app.post("/top-up", request="r1"))
    stripe.settle()


def page(stripe: Stripe, app: Running, path: str) -> str:
    return str(stripe.insist(lambda: app.post(path)).json())


def outcome(app: Running) -> Any:
    return app.browser.get("/", params={"user": USER}).json()


def at_stripe(stripe: Stripe) -> Any:
    live = [one for one in stripe.api.subscriptions.list().data if one.status in ("trialing", "active")]
    items = live[0]["items"].data if live else []
    paid = [
        one
        for one in stripe.api.checkout.sessions.list().data
        if one.mode == "payment" and one.payment_status == "paid"
    ]
    return {
        "plan": next((item.price.lookup_key for item in items if item.price.lookup_key != "seat"), None),
        "period_end": max((item.current_period_end for item in items), default=None),
        "credits": 10 * len(paid),
    }


def check(kind: type[Shop], flow: Flow, *, mirror: bool = True, runs: int = 30, replay: str | None = None) -> None:
    assert_survives_chaos(
        flow,
        app=app_of(kind),
        outcome=outcome if mirror else plan_and_credits,
        at_stripe=at_stripe if mirror else None,
        runs=runs,
        replay=replay,
    )


def plan_and_credits(app: Running) -> Any:
    return {key: value for key, value in outcome(app).items() if key != "period_end"}


@pytest.mark.parametrize("flow", [subscribes, buys_credits])
def test_the_honest_shop_survives(flow: Flow) -> None:
    check(Shop, flow, runs=4)


@pytest.mark.parametrize(
    ("kind", "flow", "schedule", "named"),
    [
        (mistakes.NoDedupe, buys_credits, "duplicate checkout.session.completed#1", "no dedupe"),
        (mistakes.SwallowsErrors, subscribes, "500 GET /v1/subscriptions/*#1", "swallowed error"),
        (mistakes.DoubleCustomer, subscribes, "lost-answer POST /v1/customers#1", "double customer"),
        (mistakes.DoubleSubscription, subscribes, "click-twice click#1", "double subscription"),
        (mistakes.GrantsOnRedirect, buys_credits, "returns-early pay#1", "granted on redirect"),
        (mistakes.PeriodFromTheOldPlace, subscribes, "", "the period is read from its old place"),
        (mistakes.FirstItem, subscribes, "", "items[0]"),
        (mistakes.NoIdempotencyKey, tops_up, "lost-answer POST /v1/invoiceitems#1", "no idempotency key"),
        (
            mistakes.AcknowledgesBeforeStoring,
            buys_credits,
            "restart checkout.session.completed#1",
            "acknowledged before stored",
        ),
        (
            mistakes.TrustsPayloadOrder,
            upgrades,
            "lost customer.subscription.created#1",
            "trusts payload order",
        ),
    ],
)
def test_the_mistake_is_shown_and_named(kind: type[Shop], flow: Flow, schedule: str, named: str) -> None:
    with pytest.raises(Diverged) as found:
        check(kind, flow, replay=schedule)
    assert f"Most likely: {named}" in str(found.value)


def test_a_schedule_is_shrunk_to_what_matters() -> None:
    many = "late customer.subscription.created#1; duplicate checkout.session.completed#1; 429 POST /v1/customers#1"
    with pytest.raises(Diverged) as found:
        check(mistakes.NoDedupe, buys_credits, replay=many)
    assert str(found.value.schedule) == "duplicate checkout.session.completed#1"


def test_a_printed_schedule_is_read_back_and_nonsense_is_not() -> None:
    text = "duplicate customer.created#1; lost-answer POST /v1/customers#2"
    assert str(Schedule.parse(text)) == text
    with pytest.raises(ValueError, match="is no twist"):
        Schedule.parse("explode customer.created#1")

"""
The plugin's assertion finds and names twelve classic mistakes, each in a small shop, and lets the honest shop pass.

What it plays are Stripe's own promises: [DOC] docs.stripe.com/webhooks#best-practices (duplicates, order, answer fast),
docs.stripe.com/api/idempotent_requests, docs.stripe.com/checkout/fulfillment (the redirect, delayed
payments), docs.stripe.com/billing/subscriptions/pending-updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emulator.tests.broken_apps import mistakes
from emulator.tests.broken_apps.honest import EVENTS, SECRET, USER, Shop
from emulator.tests.broken_apps.serving import Running, Server
from stripe_emulator.testing import Diverged, Stripe, Survived, assert_survives_chaos

Flow = Callable[[Stripe, Running], object]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def app_of(server: Server, kind: type[Shop]) -> Any:
    prices: dict[str, str] = {}
    furnished: list[str] = []

    @contextmanager
    def start(stripe: Stripe) -> Iterator[Running]:
        if furnished:
            stripe.restore(furnished[0])
        else:
            prices.update(seat=stripe.price("seat", amount=500), pro=stripe.price("pro"))
            prices.update(team=stripe.price("team", amount=5000), credits=stripe.price("credits", interval=None))
            furnished.append(stripe.snapshot())
        with server.open(kind, stripe.url, prices) as running:
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


def buys_credits_by_debit(stripe: Stripe, app: Running) -> None:
    for url in stripe.clicks(lambda: page(stripe, app, "/credits")):
        stripe.pay(url, account="000123456789")
    stripe.settle()
    stripe.advance(days=5)
    stripe.settle()


def leaves(stripe: Stripe, app: Running) -> None:
    subscribes(stripe, app)
    stripe.insist(lambda: app.post("/cancel"))
    stripe.advance(days=32)
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


def check(server: Server, kind: type[Shop], flow: Flow, *, mirror: bool = True, **more: Any) -> Survived:
    return assert_survives_chaos(
        flow,
        app=app_of(server, kind),
        outcome=outcome if mirror else plan_and_credits,
        at_stripe=at_stripe if mirror else None,
        **more,
    )


def plan_and_credits(app: Running) -> Any:
    return {key: value for key, value in outcome(app).items() if key != "period_end"}


FLOWS = [subscribes, upgrades, buys_credits, buys_credits_by_debit, tops_up, leaves]


@pytest.mark.parametrize("flow", FLOWS)
def test_the_honest_shop_survives(server: Server, flow: Flow) -> None:
    survived = check(server, Shop, flow, mixed=5, seconds=90)
    assert survived.untried == ()


@pytest.mark.parametrize(
    ("kind", "flow", "named"),
    [
        (mistakes.NoDedupe, buys_credits, "no dedupe"),
        (mistakes.TrustsPayloadOrder, leaves, "trusts payload order"),
        (mistakes.SwallowsErrors, subscribes, "swallowed error"),
        (mistakes.DoubleCustomer, subscribes, "double customer"),
        (mistakes.DoubleSubscription, subscribes, "double subscription"),
        (mistakes.GrantsOnRedirect, buys_credits, "granted on redirect"),
        (mistakes.GrantsUnpaidCheckouts, buys_credits_by_debit, "ignores async payment"),
        (mistakes.IgnoresAsyncPayment, buys_credits_by_debit, "ignores async payment"),
        (mistakes.PeriodFromTheOldPlace, subscribes, "the period is read from its old place"),
        (mistakes.FirstItem, subscribes, "items[0]"),
        (mistakes.NoIdempotencyKey, tops_up, "no idempotency key"),
        (mistakes.AcknowledgesBeforeStoring, buys_credits, "acknowledged before stored"),
        (mistakes.UpgradesBeforePayment, upgrades, "upgraded before payment"),
    ],
)
def test_the_mistake_is_found_shrunk_and_named(server: Server, kind: type[Shop], flow: Flow, named: str) -> None:
    with pytest.raises(Diverged) as found:
        check(server, kind, flow)
    assert f"Most likely: {named}" in str(found.value)
    assert len(found.value.schedule.twists) <= 1


def test_a_printed_schedule_is_run_alone(server: Server) -> None:
    with pytest.raises(Diverged) as found:
        check(server, mistakes.NoDedupe, buys_credits)
    again = f'replay="{found.value.schedule}"'
    assert again in str(found.value)
    with pytest.raises(Diverged, match="credits is 20"):
        check(server, mistakes.NoDedupe, buys_credits, replay=str(found.value.schedule))
    assert check(server, Shop, buys_credits, replay=str(found.value.schedule)).runs == 2


def test_a_schedule_is_shrunk_to_what_matters(server: Server) -> None:
    many = "slow POST /v1/customers#1; duplicate checkout.session.completed#1; 429 POST /v1/checkout/sessions#1"
    with pytest.raises(Diverged) as found:
        check(server, mistakes.NoDedupe, buys_credits, replay=many)
    assert str(found.value.schedule) == "duplicate checkout.session.completed#1"


def test_without_stripes_state_the_undisturbed_run_is_the_measure(server: Server) -> None:
    with pytest.raises(Diverged, match="undisturbed it was None") as found:
        check(server, mistakes.TrustsPayloadOrder, leaves, mirror=False)
    assert [twist.kind for twist in found.value.schedule.twists] == ["late"]


def test_what_there_was_no_time_for_is_told(server: Server) -> None:
    survived = check(server, Shop, subscribes, seconds=0.5)
    assert survived.runs >= 1
    assert survived.untried
    assert f"no time for {len(survived.untried)} twists" in str(survived)


def test_progress_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="stripe_emulator.testing"):
        survived = check(server, Shop, buys_credits, seconds=0.5)
    assert str(survived) in caplog.messages


def test_at_least_so_many_are_run_whatever_time_they_take(server: Server) -> None:
    survived = check(server, Shop, subscribes, seconds=0, fewest=3)
    assert survived.runs == 4, "the undisturbed run and three more"

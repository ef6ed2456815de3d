"""A status that Stripe adds one day: nothing breaks, nothing is given away, and somebody is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paidup import Billing, Change, CheckoutRefused
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.go_between import GoBetween, a_go_between
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def between(stripe: Emulator) -> Iterator[GoBetween]:
    with a_go_between(stripe) as between:
        yield between


@pytest.fixture
def billing(make_billing: MakeBilling, between: GoBetween) -> Billing:
    billing = make_billing(api_base=between.url, clock=a_hurrying_clock())
    billing.push_catalog()
    return billing


@pytest.mark.parametrize("status", ["hibernating", "paused"])
def test_a_status_nobody_knows_grants_nothing_and_alarms(
    billing: Billing, between: GoBetween, stripe: Emulator, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """H82: and `paused` is one that is known. Access returns with a status that grants it."""
    told: list[Change] = []
    billing.on_change()(told.append)
    pay(str(billing.checkout(OWNER, "pro").url))
    between.change = lambda answer: answer.replace(b'"status": "active"', f'"status": "{status}"'.encode())
    for event in stripe.events() * 2:
        deliver(billing, event)
        billing.run_until_idle()
    assert billing.queue() == []
    assert {event.state for event in billing.events()} <= {"done", "ignored"}
    access, subscription = billing.access(OWNER), billing.subscription(OWNER)
    assert (access.plan, access.status, access.reason, access.can("reports")) == ("free", status, status, False)
    assert subscription is not None
    assert not subscription.has_ended
    with pytest.raises(CheckoutRefused):
        billing.checkout(OWNER, "pro")
    alarms = [change for change in told if change.kind == "status.unknown"]
    assert [(each.data["status"], each.subscription) for each in alarms] == (
        [(status, subscription.id)] if status == "hibernating" else []
    )
    assert ("status.unknown" in caplog.text) is (status == "hibernating")
    between.change = lambda answer: answer
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "pro"

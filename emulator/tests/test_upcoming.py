"""
`invoice.upcoming`. [DOC] docs.stripe.com/billing/subscriptions/webhooks: some days before the renewal, by the account's
settings; docs.stripe.com/api/events/types: for an invoice that is charged automatically, and without an id.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop, period
from stripe_emulator import Emulator, Settings

DAY = 86_400
UPCOMING = "invoice.upcoming"


def told(shop: Shop) -> list[int]:
    """When the upcoming invoices were told of."""
    return [event["created"] for event in shop.emulator.events(UPCOMING)]


def test_it_comes_seven_days_before_the_renewal_once_a_period(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    start, end = period(subscription)
    emulator.advance(seconds=end - 7 * DAY - start - 60)
    assert told(shop) == []
    emulator.advance(days=1)
    assert told(shop) == [end - 7 * DAY]
    emulator.advance(days=5)
    assert told(shop) == [end - 7 * DAY]
    emulator.advance(days=30)
    next_end = period(shop.api.subscriptions.retrieve(subscription.id))[1]
    assert told(shop) == [end - 7 * DAY, next_end - 7 * DAY]


def test_its_invoice_is_the_renewals_without_an_id(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price(2500).id, quantity=2)
    shop.api.invoice_items.create(
        {"customer": customer.id, "subscription": subscription.id, "amount": 700, "currency": "usd"}
    )
    end = period(subscription)[1]
    emulator.advance(days=25)
    invoice = shop.last_event(UPCOMING)["data"]["object"]
    assert "id" not in invoice
    assert (invoice["object"], invoice["status"], invoice["billing_reason"]) == ("invoice", "draft", "upcoming")
    assert (invoice["customer"], invoice["amount_due"], invoice["created"]) == (customer.id, 5700, end)
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription.id
    assert invoice["next_payment_attempt"] == end + 3600
    assert [line["invoice"] for line in invoice["lines"]["data"]] == [None, None]
    assert "upcoming_in" not in str(invoice)


def test_nothing_is_kept_of_it(shop: Shop, emulator: Emulator) -> None:
    """What was pending goes on the renewal's invoice, and no preview is listed."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.api.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    emulator.advance(days=25)
    assert len(told(shop)) == 1
    assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 1
    assert len(shop.api.invoice_items.list({"pending": True}).data) == 1


def test_it_is_delivered_signed_and_listed_like_any_event(shop: Shop, emulator: Emulator) -> None:
    with Receiver() as receiver:
        secret = emulator.add_endpoint(receiver.url, enabled_events=[UPCOMING])
        shop.subscribe(shop.customer().id, shop.price().id)
        emulator.advance(days=25)
        emulator.wait_for_deliveries()
        event = stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], secret)
        assert (event.type, "id" in event.data.object) == (UPCOMING, False)
        assert [delivery["status"] for delivery in emulator.deliveries()] == ["delivered"]
        listed = shop.api.events.list({"type": UPCOMING}).data[0]
        assert (listed.id, listed.pending_webhooks) == (event.id, 0)
        assert shop.api.events.retrieve(event.id).data.object["amount_due"] == 3000


@pytest.mark.parametrize(
    "change",
    [
        {"cancel_at_period_end": True},
        {"cancel_at": "max_period_end"},
        {"pause_collection": {"behavior": "void"}},
        {"collection_method": "send_invoice", "days_until_due": 7},
    ],
)
def test_it_does_not_come_when_nothing_will_be_charged(shop: Shop, emulator: Emulator, change: Any) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, change)
    emulator.advance(days=40)
    assert told(shop) == []


def test_it_comes_when_the_end_is_after_the_renewal(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, {"cancel_at": period(subscription)[1] + 10 * DAY})
    emulator.advance(days=25)
    assert len(told(shop)) == 1


def test_what_is_undone_after_its_time_does_not_bring_it(shop: Shop, emulator: Emulator) -> None:
    """It is due at a moment; one that has passed is over, and time never runs back."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    emulator.advance(days=27)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    emulator.advance(days=2)
    assert told(shop) == []


def test_it_comes_before_a_trials_end(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=14)
    emulator.advance(days=8)
    assert subscription.trial_end is not None
    assert told(shop) == [subscription.trial_end - 7 * DAY]
    assert shop.last_event(UPCOMING)["data"]["object"]["amount_due"] == 3000


def test_a_trial_ended_earlier_than_the_notice_is_not_told_of(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=30)
    now = int(emulator.now.timestamp())
    shop.api.subscriptions.update(subscription.id, {"trial_end": now + 5 * DAY, "proration_behavior": "none"})
    emulator.advance(days=4)
    assert told(shop) == []
    emulator.advance(days=4 + 24)
    assert len(told(shop)) == 1


@pytest.mark.parametrize("interval", ["day", "week"])
def test_a_period_no_longer_than_the_notice_has_none(shop: Shop, emulator: Emulator, interval: str) -> None:
    shop.subscribe(shop.customer().id, shop.price(interval=interval).id)
    emulator.advance(days=15)
    assert told(shop) == []


def test_it_comes_on_a_test_clock(shop: Shop) -> None:
    now = int(shop.emulator.now.timestamp())
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": now})
    subscription = shop.subscribe(shop.customer(clock=clock.id).id, shop.price().id)
    end = period(subscription)[1]
    shop.api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": end + 3601})
    shop.emulator.wait_for_deliveries()
    assert told(shop) == [end - 7 * DAY]
    types = [event["type"] for event in shop.emulator.events()]
    assert types.index(UPCOMING) < types.index("invoice.created", types.index(UPCOMING))


@pytest.mark.parametrize(("days", "expected"), [(None, []), (3, [3])])
def test_the_account_says_how_many_days_before(days: int | None, expected: list[int]) -> None:
    with Emulator(settings=Settings(upcoming_days=days)) as emulator:
        shop = Shop(emulator)
        end = period(shop.subscribe(shop.customer().id, shop.price().id))[1]
        emulator.advance(days=29)
        assert told(shop) == [end - wanted * DAY for wanted in expected]
        shop.pages.close()

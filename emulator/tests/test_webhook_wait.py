"""
Waiting for a 2xx to `invoice.created`. [DOC] docs.stripe.com/invoicing/integration/workflow-transitions#finalized: an
hour after a successful response, and if there is none within 72 hours, then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop, period
from stripe_emulator import Emulator, Settings

HOUR = 3600


@pytest.fixture
def patient() -> Iterator[Shop]:
    """An account whose drafts wait."""
    settings = Settings(wait_for_webhooks=True, delivery_delays=(0.05,) * 200)
    with Emulator(settings=settings) as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def to_the_boundary(shop: Shop) -> str:
    """Subscribe, and let the period end; returns the subscription's id."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.emulator.advance(seconds=period(subscription)[1] - int(shop.emulator.now.timestamp()))
    return subscription.id


def latest(shop: Shop, subscription: str) -> stripe.Invoice:
    found = shop.api.subscriptions.retrieve(subscription, {"expand": ["latest_invoice"]}).latest_invoice
    assert isinstance(found, stripe.Invoice)
    return found


def refusing_drafts(event: Any, number: int) -> int:
    return 500 if event["type"] == "invoice.created" else 200


def test_a_draft_is_finalised_an_hour_after_its_event_was_taken(patient: Shop) -> None:
    with Receiver() as app:
        patient.emulator.add_endpoint(app.url)
        subscription = to_the_boundary(patient)
        patient.emulator.wait_for_deliveries()
        drafted = latest(patient, subscription)
        assert drafted.webhooks_delivered_at is not None
        assert drafted.automatically_finalizes_at == drafted.webhooks_delivered_at + HOUR
        patient.emulator.advance(seconds=HOUR - 60)
        assert latest(patient, subscription).status == "draft"
        patient.emulator.advance(seconds=120)
        assert latest(patient, subscription).status == "paid"


def test_without_a_2xx_it_waits_72_hours(patient: Shop) -> None:
    with Receiver(refusing_drafts) as app:
        patient.emulator.add_endpoint(app.url)
        subscription = to_the_boundary(patient)
        patient.emulator.wait_for_deliveries(first_try=True)
        created = latest(patient, subscription).created
        patient.emulator.advance(seconds=71 * HOUR)
        assert latest(patient, subscription).status == "draft"
        patient.emulator.advance(seconds=HOUR + 60)
        paid = latest(patient, subscription)
        assert (paid.status, paid.status_transitions.finalized_at) == ("paid", created + 72 * HOUR)


def test_one_endpoint_that_does_not_take_it_holds_it_up(patient: Shop) -> None:
    """[DOC] it holds for every endpoint that listens."""
    with Receiver() as good, Receiver(refusing_drafts) as bad:
        patient.emulator.add_endpoint(good.url)
        patient.emulator.add_endpoint(bad.url)
        subscription = to_the_boundary(patient)
        patient.emulator.wait_for_deliveries(first_try=True)
        patient.emulator.advance(seconds=2 * HOUR)
        assert latest(patient, subscription).status == "draft"


def test_a_late_2xx_begins_the_hour(patient: Shop) -> None:
    with Receiver() as app:
        patient.emulator.add_endpoint(app.url)
        patient.emulator.deliveries.pause()
        subscription = to_the_boundary(patient)
        patient.emulator.advance(seconds=10 * HOUR)
        assert latest(patient, subscription).status == "draft"
        patient.emulator.deliveries.resume()
        patient.emulator.wait_for_deliveries()
        patient.emulator.advance(seconds=HOUR - 60)
        assert latest(patient, subscription).status == "draft"
        patient.emulator.advance(seconds=120)
        assert latest(patient, subscription).status == "paid"


def test_nobody_who_listens_is_nobody_to_wait_for(patient: Shop) -> None:
    """[DOC] docs.stripe.com/api/invoices: with no webhooks configured, one hour after creation."""
    with Receiver() as app:
        patient.emulator.add_endpoint(app.url, enabled_events=["invoice.paid"])
        patient.emulator.deliveries.pause()
        subscription = to_the_boundary(patient)
        patient.emulator.advance(seconds=HOUR)
        assert latest(patient, subscription).status == "paid"


def test_a_scheduled_finalisation_does_not_wait(patient: Shop) -> None:
    """[DOC] docs.stripe.com/invoicing/scheduled-finalization: not delayed because of invoice.created failures."""
    with Receiver(refusing_drafts) as app:
        patient.emulator.add_endpoint(app.url)
        moment = int(patient.emulator.now.timestamp()) + 5 * HOUR
        invoice = patient.api.invoices.create(
            {"customer": patient.customer().id, "auto_advance": True, "automatically_finalizes_at": moment}
        )
        patient.emulator.wait_for_deliveries(first_try=True)
        patient.emulator.advance(seconds=5 * HOUR)
        assert patient.api.invoices.retrieve(invoice.id).status_transitions.finalized_at == moment


@pytest.mark.parametrize("on_a_test_clock", [False, True])
def test_a_leap_does_not_stall(patient: Shop, on_a_test_clock: bool) -> None:
    """Nothing is delivered on the way, so that each draft waits its 72 hours and is finalised on the way."""
    with Receiver(refusing_drafts) as app:
        patient.emulator.add_endpoint(app.url)
        now = int(patient.emulator.now.timestamp())
        clocks = patient.api.test_helpers.test_clocks
        clock = clocks.create({"frozen_time": now}).id if on_a_test_clock else None
        subscription = patient.subscribe(patient.customer(clock=clock).id, patient.price().id).id
        if clock is not None:
            clocks.advance(clock, {"frozen_time": now + 40 * 24 * HOUR})
            patient.emulator.wait_for_deliveries(first_try=True)
        else:
            patient.emulator.advance(days=40)
        paid = latest(patient, subscription)
        assert (paid.status, paid.billing_reason) == ("paid", "subscription_cycle")
        assert paid.status_transitions.finalized_at == paid.created + 72 * HOUR


def test_by_default_nothing_waits(shop: Shop, emulator: Emulator) -> None:
    with Receiver(refusing_drafts) as app:
        emulator.add_endpoint(app.url)
        subscription = to_the_boundary(shop)
        emulator.advance(seconds=HOUR)
        assert latest(shop, subscription).status == "paid"


def test_it_is_switched_on_and_off_while_it_runs_and_a_reset_forgets_it(shop: Shop, emulator: Emulator) -> None:
    settings = f"{emulator.url}/_emulator/settings"
    with Receiver(refusing_drafts) as app:
        emulator.add_endpoint(app.url)
        emulator.configure(wait_for_webhooks=True)
        subscription = to_the_boundary(shop)
        emulator.advance(seconds=2 * HOUR)
        assert latest(shop, subscription).status == "draft"
        emulator.configure(wait_for_webhooks=False)
        emulator.advance(seconds=1)
        assert latest(shop, subscription).status == "paid"
    emulator.configure(wait_for_webhooks=True)
    assert httpx.get(settings, trust_env=False).json()["wait_for_webhooks"] is True
    emulator.reset()
    assert httpx.get(settings, trust_env=False).json()["wait_for_webhooks"] is False
    with pytest.raises(ValueError, match="wait_for_webhooks"):
        emulator._post("/_emulator/settings", {"wait_for_webhooks": "perhaps"})

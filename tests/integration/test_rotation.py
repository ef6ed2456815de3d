"""Signatures over time: secrets are rolled while deliveries go on, and events are processed long after they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import stripe as sdk

from paidup import Billing, InvalidSignature
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support import host_app
from tests.support.deliveries import deliver
from tests.support.serving import bound_socket, serving

OLD, NEW = "whsec_of_yesterday", "whsec_of_today"


def told_while_served(
    billing: Billing, stripe: Emulator, *, roll: bool = False, endpoint: str | None = None
) -> int | None:
    """Which of the app's secrets matched when Stripe told it of a new product; None when it refused."""
    listener = bound_socket()
    with serving(host_app.build(billing), listener) as url:
        stripe.add_endpoint(url + host_app.WEBHOOK_PATH, secret=OLD if endpoint is None else endpoint)
        if roll:
            stripe.roll_secret(url + host_app.WEBHOOK_PATH, NEW, expires_in=3600)
        product = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1.products.create(
            {"name": "X"}
        )
        stripe.wait_for_deliveries(first_try=True)
    [event] = [each for each in stripe.events("product.created") if each["data"]["object"]["id"] == product.id]
    return {each.id: each.secret for each in billing.events()}.get(event["id"])


def test_every_delivery_of_a_rotation_is_accepted_and_says_which_secret_it_was(
    make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H27: two signatures in one header, two secrets in one app, in any combination; then the old one is retired."""
    only_old, both, only_new = (make_billing(webhook_secrets=each) for each in (OLD, f"{NEW},{OLD}", NEW))
    assert told_while_served(only_old, stripe) == 0
    assert told_while_served(both, stripe) == 1, "the old one, while Stripe does not sign with the new one yet"
    assert told_while_served(only_new, stripe) is None
    assert told_while_served(only_old, stripe, roll=True) == 0
    assert told_while_served(both, stripe, roll=True) == 0, "the new one: nothing needs the old one any more"
    assert told_while_served(only_new, stripe, roll=True) == 0
    assert told_while_served(both, stripe, endpoint=NEW) == 0
    assert told_while_served(only_old, stripe, endpoint=NEW) is None


def test_a_signature_is_checked_when_it_comes_and_never_again(make_billing: MakeBilling, stripe: Emulator) -> None:
    """H26: an event that waited for a day is processed; and it is recorded how late it came."""
    receiving = make_billing()
    receiving.push_catalog()
    event = stripe.events("product.created")[0]
    late = datetime.fromtimestamp(event["created"], UTC) + timedelta(hours=3)
    deliver(make_billing(clock=lambda: late), event, at=late)
    make_billing(clock=lambda: late + timedelta(days=1)).run_until_idle()
    stored = receiving.event(event["id"])
    assert stored.state == "done"
    assert stored.created is not None
    assert stored.received_at - stored.created == timedelta(hours=3)


@pytest.mark.parametrize(("age", "accepted"), [(59, True), (61, False), (-59, True), (-61, False)])
def test_how_old_a_signature_may_be_is_a_setting(
    make_billing: MakeBilling, stripe: Emulator, age: int, accepted: bool
) -> None:
    """H26, H31: in seconds, into the past and the future alike."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    billing = make_billing(webhook_tolerance=60, clock=lambda: now)
    event = {"id": "evt_1", "object": "event", "type": "topup.created", "livemode": False, "data": {"object": {}}}
    if accepted:
        assert deliver(billing, event, at=now - timedelta(seconds=age)).state == "ignored"
    else:
        with pytest.raises(InvalidSignature, match=f"{abs(age)} seconds"):
            deliver(billing, event, at=now - timedelta(seconds=age))
    assert len(billing.events()) == accepted

"""A signing secret is rolled while deliveries go on: none is lost, and one can tell when the old one is done with."""

from __future__ import annotations

import stripe as sdk

from paidup import Billing
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support import host_app
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

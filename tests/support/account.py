"""An account at Stripe with a life of its own, for the tests of reconciliation."""

from __future__ import annotations

from typing import Any

import stripe as sdk

from paidup import Billing, Customer, Reconciliation
from stripe_emulator import Emulator
from tests.support.deliveries import deliver
from tests.support.paying import pay

OWNER = "user:1"


def subscribe(billing: Billing, plan: str = "pro", *, owner: str = OWNER) -> None:
    """The owner buys a plan and pays; nothing is delivered."""
    pay(str(billing.checkout(owner, plan).url))


def deliver_all(billing: Billing, stripe: Emulator) -> None:
    """Everything that happened so far, oldest first."""
    for event in stripe.events():
        deliver(billing, event)


def price_of(client: sdk.StripeClient, lookup_key: str = "pro_month") -> str:
    """The id of a price of the plans."""
    return client.v1.prices.list({"lookup_keys": [lookup_key]}).data[0].id


def a_customer(client: sdk.StripeClient, user: int | str, *, price: str | None = None, **more: Any) -> str:
    """A customer that some other system made, with a subscription if a price is given."""
    params: Any = {"metadata": {"app_user": str(user)}, **more}
    if price:
        params |= {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    customer = client.v1.customers.create(params)
    if price:
        client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
    return customer.id


def by_app_user(customer: Customer) -> str | None:
    """Whose such a customer is."""
    user = customer.metadata.get("app_user")
    return f"user:{user}" if user else None


def told(report: Reconciliation) -> set[tuple[str, str, str, str | None, str | None]]:
    """What a report says differs: kind, object, field, ours, theirs."""
    return {(each.kind, each.object, each.field, each.ours, each.theirs) for each in report.differences}

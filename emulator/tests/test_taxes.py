"""
Tax rates, and automatic tax without a registration.

[DOC] docs.stripe.com/tax/registering: where nothing is registered, nothing is collected.
"""

from __future__ import annotations

import pytest
import stripe

from emulator.tests.shop import Shop


def test_a_tax_rate_is_made_renamed_archived_and_listed(shop: Shop) -> None:
    """docs.stripe.com/api/tax_rates."""
    seen = shop.seen()
    rate = shop.api.tax_rates.create(
        {"display_name": "VAT", "inclusive": False, "percentage": 19, "country": "DE", "tax_type": "vat"}
    )
    assert (rate.display_name, rate.percentage, rate.inclusive, rate.active) == ("VAT", 19, False, True)
    shop.api.tax_rates.update(rate.id, {"active": False, "display_name": "MwSt."})
    assert shop.types_since(seen) == ["tax_rate.created", "tax_rate.updated"]
    assert shop.api.tax_rates.retrieve(rate.id).display_name == "MwSt."
    assert shop.api.tax_rates.list({"active": True}).data == []
    assert [found.id for found in shop.api.tax_rates.list({"inclusive": False}).data] == [rate.id]
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.tax_rates.create({"display_name": "VAT", "inclusive": False, "percentage": 101})


def test_automatic_tax_is_on_and_collects_nothing(shop: Shop) -> None:
    """docs.stripe.com/billing/taxes/collect-taxes: the subscription and its invoices say that it is on."""
    customer = shop.customer().id
    subscription = shop.subscribe(customer, shop.price().id, automatic_tax={"enabled": True})
    assert subscription.automatic_tax.enabled
    (invoice,) = shop.api.invoices.list({"customer": customer}).data
    assert (invoice.automatic_tax.enabled, invoice.automatic_tax.status) == (True, "complete")
    assert (invoice.total, invoice.total_taxes) == (3000, [])
    off = shop.api.subscriptions.update(subscription.id, {"automatic_tax": {"enabled": False}})
    assert (off.automatic_tax.enabled, off.automatic_tax.liability) == (False, None)


def test_automatic_tax_in_checkout_reaches_the_subscription(shop: Shop) -> None:
    """docs.stripe.com/tax/checkout: the location is known once the page is completed."""
    session = shop.session(shop.price().id, automatic_tax={"enabled": True})
    assert (session.automatic_tax.enabled, session.automatic_tax.status) == (True, "requires_location_inputs")
    shop.pay(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert done.automatic_tax.status == "complete"
    assert done.total_details is not None
    assert done.total_details.amount_tax == 0
    assert isinstance(done.subscription, stripe.Subscription)
    assert done.subscription.automatic_tax.enabled


def test_a_deleted_invoice_item_is_a_stub_without_taxes(shop: Shop) -> None:
    """docs.stripe.com/api/invoiceitems/delete: id, object and deleted."""
    item = shop.api.invoice_items.create({"customer": shop.customer().id, "amount": 500, "currency": "usd"})
    deleted = shop.api.invoice_items.delete(item.id)
    assert deleted.to_dict() == {"id": item.id, "object": "invoiceitem", "deleted": True}
    assert shop.api.invoice_items.list().data == []

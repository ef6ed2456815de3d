"""Tax rates at work: on invoices line by line, after discounts, in prorations, in previews and in Checkout."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import SUCCESS, Shop


def a_rate(shop: Shop, percentage: float, *, inclusive: bool = False, **more: Any) -> str:
    sent: Any = {"display_name": "VAT", "percentage": percentage, "inclusive": inclusive, **more}
    return shop.api.tax_rates.create(sent).id


def first_invoice(shop: Shop, subscription: stripe.Subscription) -> stripe.Invoice:
    return shop.api.invoices.retrieve(str(subscription.latest_invoice))


def sums(invoice: stripe.Invoice) -> tuple[int, int | None, int, int | None]:
    return (invoice.subtotal, invoice.subtotal_excluding_tax, invoice.total, invoice.total_excluding_tax)


def test_an_exclusive_rate_comes_on_top(shop: Shop) -> None:
    """[DOC billing/taxes/tax-rates]"""
    rate = a_rate(shop, 19)
    subscription = shop.subscribe(shop.customer().id, shop.price(3000).id, default_tax_rates=[rate])
    assert [one.id for one in subscription.default_tax_rates or []] == [rate]
    invoice = first_invoice(shop, subscription)
    assert sums(invoice) == (3000, 3000, 3570, 3000)
    assert (invoice.amount_paid, invoice.status) == (3570, "paid")
    [tax] = invoice.total_taxes or []
    assert (tax.amount, tax.tax_behavior, tax.taxable_amount, tax.type) == (570, "exclusive", 3000, "tax_rate_details")
    assert tax.tax_rate_details is not None
    assert tax.tax_rate_details.tax_rate == rate
    assert [one.amount for one in invoice.lines.data[0].taxes or []] == [570]


def test_an_inclusive_rate_is_in_the_price(shop: Shop) -> None:
    """[DOC tax/tax-rates#inclusive-vs-exclusive-tax]"""
    rate = a_rate(shop, 25, inclusive=True)
    subscription = shop.subscribe(shop.customer().id, shop.price(3000).id, default_tax_rates=[rate])
    invoice = first_invoice(shop, subscription)
    assert sums(invoice) == (3000, 2400, 3000, 2400)
    assert [(tax.amount, tax.taxable_amount) for tax in invoice.total_taxes or []] == [(600, 2400)]


def test_a_lines_own_rate_wins(shop: Shop) -> None:
    """[DOC billing/taxes/tax-rates#multiple-tax-rates]"""
    own, default = a_rate(shop, 7), a_rate(shop, 19)
    items: Any = [{"price": shop.price(1000).id, "tax_rates": [own]}, {"price": shop.price(2000, name="Seat").id}]
    sent: Any = {"customer": shop.customer().id, "items": items, "default_tax_rates": [default]}
    subscription = shop.api.subscriptions.create(sent)
    assert [[rate.id for rate in item.tax_rates or []] for item in subscription["items"].data] == [[own], []]
    assert first_invoice(shop, subscription).total == 1070 + 2380


def test_taxes_are_rounded_on_every_line(shop: Shop) -> None:
    """[DOC tax/invoicing#rounding] 105 at 19 % is 19.95, twice."""
    prices = [shop.price(105).id, shop.price(105, name="Other").id]
    sent: Any = {
        "customer": shop.customer().id,
        "items": [{"price": price} for price in prices],
        "default_tax_rates": [a_rate(shop, 19)],
    }
    assert first_invoice(shop, shop.api.subscriptions.create(sent)).total == 2 * (105 + 20)


def test_what_is_taxed_is_what_the_discount_leaves(shop: Shop) -> None:
    """[DOC billing/taxes/tax-rates#discounts]"""
    coupon = shop.api.coupons.create({"percent_off": 50, "duration": "forever"}).id
    subscription = shop.subscribe(
        shop.customer().id,
        shop.price(3000).id,
        default_tax_rates=[a_rate(shop, 10)],
        discounts=[{"coupon": coupon}],
    )
    assert sums(first_invoice(shop, subscription)) == (3000, 3000, 1650, 1500)


@pytest.mark.parametrize(("exempt", "reason"), [("exempt", "customer_exempt"), ("reverse", "reverse_charge")])
def test_an_exempt_customer_is_not_taxed(shop: Shop, exempt: Any, reason: str) -> None:
    """[DOC billing/customer/tax-ids#tax-exempt]"""
    customer = shop.customer()
    shop.api.customers.update(customer.id, {"tax_exempt": exempt})
    subscription = shop.subscribe(customer.id, shop.price(3000).id, default_tax_rates=[a_rate(shop, 19)])
    invoice = first_invoice(shop, subscription)
    assert invoice.total == 3000
    assert [(tax.amount, tax.taxability_reason) for tax in invoice.total_taxes or []] == [(0, reason)]


def test_a_renewal_is_taxed_and_the_next_by_new_rates(shop: Shop) -> None:
    old, new = a_rate(shop, 10), a_rate(shop, 20)
    subscription = shop.subscribe(shop.customer().id, shop.price(1000).id, default_tax_rates=[old])
    shop.emulator.advance(to="renewal")
    shop.api.subscriptions.update(subscription.id, {"default_tax_rates": [new]})
    shop.emulator.advance(to="renewal")
    shop.api.subscriptions.update(subscription.id, {"default_tax_rates": ""})
    shop.emulator.advance(to="renewal")
    totals = [invoice.total for invoice in shop.api.invoices.list({"subscription": subscription.id}).data]
    assert totals == [1000, 1200, 1100, 1100]


def test_an_upgrade_is_taxed_both_ways(shop: Shop) -> None:
    """[DOC billing/subscriptions/prorations] The credit gives back the tax of what it credits."""
    subscription = shop.subscribe(shop.customer().id, shop.price(1000).id, default_tax_rates=[a_rate(shop, 10)])
    item = subscription["items"].data[0]
    change: Any = {
        "items": [{"id": item.id, "price": shop.price(3000, name="Team").id}],
        "proration_behavior": "always_invoice",
    }
    updated = shop.api.subscriptions.update(subscription.id, change)
    invoice = first_invoice(shop, updated)
    assert [(line.amount, [tax.amount for tax in line.taxes or []]) for line in invoice.lines.data] == [
        (-1000, [-100]),
        (3000, [300]),
    ]
    assert invoice.total == 2200


def test_a_preview_is_what_is_charged(shop: Shop) -> None:
    customer, price, rate = shop.customer().id, shop.price(3000).id, a_rate(shop, 19)
    details: Any = {"items": [{"price": price, "tax_rates": [rate]}]}
    preview = shop.api.invoices.create_preview({"customer": customer, "subscription_details": details})
    sent: Any = {"customer": customer, "items": details["items"]}
    assert preview.total == first_invoice(shop, shop.api.subscriptions.create(sent)).total == 3570


def test_an_invoice_of_items_is_taxed(shop: Shop) -> None:
    """[DOC invoicing/taxes/tax-rates] Rates of an item, and of the draft for the rest."""
    customer = shop.customer().id
    own, default = a_rate(shop, 7), a_rate(shop, 19)
    for sent in ({"amount": 1000, "tax_rates": [own]}, {"amount": 1000}):
        item: Any = {"customer": customer, "currency": "usd", **sent}
        shop.api.invoice_items.create(item)
    draft = shop.api.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert draft.total == 2070
    updated = shop.api.invoices.update(draft.id, {"default_tax_rates": [default]})
    assert updated.total == 2260
    paid = shop.api.invoices.pay(draft.id)
    assert (paid.amount_paid, paid.status) == (2260, "paid")
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.invoices.update(draft.id, {"default_tax_rates": [own]})


@pytest.mark.parametrize("where", ["line", "subscription"])
def test_checkout_charges_the_tax_and_the_renewals_too(shop: Shop, where: str) -> None:
    """[DOC payments/checkout/use-manual-tax-rates]"""
    rate, price = a_rate(shop, 20), shop.price(3000).id
    sent: Any = {"mode": "subscription", "success_url": SUCCESS, "line_items": [{"price": price, "quantity": 1}]}
    if where == "line":
        sent["line_items"][0]["tax_rates"] = [rate]
    else:
        sent["subscription_data"] = {"default_tax_rates": [rate]}
    session = shop.api.checkout.sessions.create(sent)
    assert session.total_details is not None
    assert (session.amount_subtotal, session.total_details.amount_tax, session.amount_total) == (3000, 600, 3600)
    page = shop.pages.get(str(session.url)).text
    assert 'id="tax">$6.00' in page
    shop.pay(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["line_items"]})
    assert done.line_items is not None
    assert [(item.amount_tax, item.amount_total) for item in done.line_items.data] == [(600, 3600)]
    invoice = shop.api.invoices.retrieve(str(done.invoice))
    assert (invoice.total, invoice.amount_paid) == (3600, 3600)
    shop.emulator.advance(to="renewal")
    assert shop.api.invoices.list({"subscription": str(done.subscription)}).data[0].total == 3600


@pytest.mark.parametrize("kind", ["unknown", "archived", "too many"])
def test_rates_that_cannot_be_used_are_refused(shop: Shop, kind: str) -> None:
    rate = a_rate(shop, 5, active=kind != "archived")
    sent = {"unknown": ["txr_nobody"], "archived": [rate], "too many": [rate] * 6}[kind]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(shop.customer().id, shop.price().id, default_tax_rates=sent)
    assert str(caught.value.param).startswith("default_tax_rates")

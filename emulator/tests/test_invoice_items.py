"""Invoice items: put on the next invoice or a draft, discounted, changed and taken back."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop


def add(shop: Shop, customer: str, **terms: Any) -> stripe.InvoiceItem:
    sent: Any = {"customer": customer, "currency": "usd", **({"amount": 1000} | terms)}
    return shop.api.invoice_items.create(sent)


def a_draft(shop: Shop, customer: str, **terms: Any) -> stripe.Invoice:
    sent: Any = {"customer": customer, "pending_invoice_items_behavior": "include", **terms}
    return shop.api.invoices.create(sent)


def half_off(shop: Shop, **terms: Any) -> str:
    sent: Any = {"percent_off": 50, "duration": "once", **terms}
    return shop.api.coupons.create(sent).id


def a_one_time_price(shop: Shop, amount: int = 500) -> str:
    return shop.api.prices.create({"currency": "usd", "unit_amount": amount, "product_data": {"name": "Set-up"}}).id


def test_an_items_discount_lowers_its_line_only(shop: Shop) -> None:
    """[DOC billing/coupons: discounts of an invoice item]"""
    customer = shop.customer().id
    add(shop, customer, discounts=[{"coupon": half_off(shop)}])
    add(shop, customer)
    draft = a_draft(shop, customer)
    assert (draft.subtotal, draft.total) == (2000, 1500)
    assert [[cut.amount for cut in line.discount_amounts or []] for line in draft.lines.data] == [[500], []]


def test_an_invoices_discount_spares_what_is_not_discountable(shop: Shop) -> None:
    customer = shop.customer().id
    add(shop, customer, discountable=False)
    add(shop, customer)
    draft = a_draft(shop, customer, discounts=[{"coupon": half_off(shop)}])
    assert (draft.subtotal, draft.total) == (2000, 1500)
    assert shop.api.invoices.update(draft.id, {"discounts": ""}).total == 2000
    shop.api.invoices.finalize_invoice(draft.id)
    with pytest.raises(stripe.InvalidRequestError, match="finalized"):
        shop.api.invoices.update(draft.id, {"discounts": [{"coupon": half_off(shop)}]})


def test_an_item_on_a_draft_is_changed_with_its_line(shop: Shop) -> None:
    """[DOC invoicing/integration/drafts]"""
    customer = shop.customer().id
    item = add(shop, customer)
    draft = a_draft(shop, customer)
    [line] = draft.lines.data
    shop.api.invoice_items.update(item.id, {"amount": 700, "description": "Set-up"})
    changed = shop.api.invoices.retrieve(draft.id)
    assert (changed.total, changed.lines.data[0].description, changed.lines.data[0].id) == (700, "Set-up", line.id)


def test_an_items_quantity_is_priced_anew(shop: Shop) -> None:
    customer, price = shop.customer().id, a_one_time_price(shop)
    item = shop.api.invoice_items.create({"customer": customer, "pricing": {"price": price}})
    assert item.amount == 500
    assert shop.api.invoice_items.update(item.id, {"quantity": 3}).amount == 1500


def test_deleting_an_item_takes_its_line_off_the_draft(shop: Shop) -> None:
    customer = shop.customer().id
    item, _ = add(shop, customer), add(shop, customer, amount=300)
    draft = a_draft(shop, customer)
    assert shop.api.invoice_items.delete(item.id).deleted
    assert shop.api.invoices.retrieve(draft.id).total == 300


def test_nothing_of_a_final_invoice_is_changed(shop: Shop) -> None:
    customer = shop.customer().id
    item = add(shop, customer)
    draft = a_draft(shop, customer)
    shop.api.invoices.finalize_invoice(draft.id)
    with pytest.raises(stripe.InvalidRequestError, match="finalized"):
        shop.api.invoice_items.update(item.id, {"amount": 1})
    with pytest.raises(stripe.InvalidRequestError, match="finalized"):
        shop.api.invoice_items.delete(item.id)
    with pytest.raises(stripe.InvalidRequestError, match="finalized"):
        add(shop, customer, invoice=draft.id)


def test_a_new_subscription_takes_one_time_prices_along(shop: Shop) -> None:
    """[DOC billing/invoices/subscription#adding-upcoming-invoice-items]"""
    extra: Any = [{"price": a_one_time_price(shop), "quantity": 2, "discounts": [{"coupon": half_off(shop)}]}]
    subscription = shop.subscribe(shop.customer().id, shop.price(3000).id, add_invoice_items=extra)
    first = shop.api.invoices.retrieve(str(subscription.latest_invoice))
    assert (first.subtotal, first.total) == (4000, 3500)
    shop.emulator.advance(to="renewal")
    assert shop.api.invoices.list({"subscription": subscription.id}).data[0].total == 3000


def test_an_update_leaves_them_for_the_next_invoice(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price(3000).id)
    extra: Any = [{"price": a_one_time_price(shop)}]
    shop.api.subscriptions.update(subscription.id, {"add_invoice_items": extra})
    assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 1
    shop.emulator.advance(to="renewal")
    assert shop.api.invoices.list({"subscription": subscription.id}).data[0].total == 3500


def test_a_recurring_price_is_no_invoice_item(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="one-time"):
        shop.subscribe(shop.customer().id, shop.price().id, add_invoice_items=[{"price": shop.price(1).id}])

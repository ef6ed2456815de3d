"""
Discounts, promotion codes and one-time prices in Checkout.

[DOC] docs.stripe.com/payments/checkout/discounts: `discounts` or `allow_promotion_codes`, at most one at a time.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import DECLINED, Shop


def a_code(shop: Shop, code: str = "FALL20", **coupon: Any) -> str:
    terms: Any = {"percent_off": 20, "duration": "forever", **coupon}
    made = shop.api.coupons.create(terms)
    return shop.api.promotion_codes.create({"promotion": {"type": "coupon", "coupon": made.id}, "code": code}).id


def type_code(shop: Shop, session: str, code: str) -> str:
    """Type a code on the page; returns the page that follows."""
    answer = shop.pages.post(f"/c/pay/{session}/promotion-code", data={"promotionCode": code}, follow_redirects=True)
    return answer.text


def test_a_merchants_discount_is_in_the_price_and_the_subscription(shop: Shop) -> None:
    """docs.stripe.com/api/checkout/sessions/object: `discounts` and `total_details.amount_discount`."""
    coupon = shop.api.coupons.create({"amount_off": 1000, "currency": "usd", "duration": "forever", "name": "Welcome"})
    session = shop.session(shop.price().id, discounts=[{"coupon": coupon.id}])
    assert (session.amount_subtotal, session.amount_total) == (3000, 2000)
    assert session.total_details is not None
    assert session.total_details.amount_discount == 1000
    assert [(entry.coupon, entry.promotion_code) for entry in session.discounts or []] == [(coupon.id, None)]
    (line,) = shop.api.checkout.sessions.line_items.list(session.id).data
    assert (line.amount_subtotal, line.amount_discount, line.amount_total) == (3000, 1000, 2000)
    page = shop.pages.get(f"/c/pay/{session.id}").text
    assert "$10.00 off forever" in page
    assert "promotionCode" not in page
    assert shop.api.coupons.retrieve(coupon.id).times_redeemed == 0
    seen = shop.seen()
    shop.pay(session.id)
    assert "customer.discount.created" in shop.types_since(seen)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription.discounts", "invoice"]})
    assert isinstance(done.subscription, stripe.Subscription)
    assert isinstance(done.invoice, stripe.Invoice)
    assert (done.invoice.subtotal, done.invoice.total, done.invoice.amount_paid) == (3000, 2000, 2000)
    discount = done.subscription.discounts[0]
    assert isinstance(discount, stripe.Discount)
    assert (discount.source.coupon, discount.checkout_session) == (coupon.id, session.id)
    assert shop.api.coupons.retrieve(coupon.id).times_redeemed == 1


def test_a_typed_code_lowers_the_price(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/discounts#promotion-codes: typed in any case, counted when it is paid."""
    code = a_code(shop)
    session = shop.session(shop.price().id, allow_promotion_codes=True)
    assert 'name="promotionCode"' in shop.pages.get(f"/c/pay/{session.id}").text
    page = type_code(shop, session.id, "fall20")
    assert "20% off forever" in page
    assert "$24.00" in page
    changed = shop.api.checkout.sessions.retrieve(session.id)
    assert changed.amount_total == 2400
    assert [(entry.coupon, entry.promotion_code) for entry in changed.discounts or []] == [(None, code)]
    assert shop.api.promotion_codes.retrieve(code).times_redeemed == 0
    shop.pay(session.id)
    assert shop.api.promotion_codes.retrieve(code).times_redeemed == 1
    assert [invoice.amount_paid for invoice in shop.api.invoices.list().data] == [2400]


def test_a_wrong_code_is_refused_at_its_field(shop: Shop) -> None:
    session = shop.session(shop.price().id, allow_promotion_codes=True)
    page = type_code(shop, session.id, "NOPE")
    assert 'id="promotionCode-error"' in page
    assert "This code is invalid." in page
    assert shop.api.checkout.sessions.retrieve(session.id).amount_total == 3000


def test_a_typed_code_is_taken_back(shop: Shop) -> None:
    a_code(shop)
    session = shop.session(shop.price().id, allow_promotion_codes=True)
    assert 'id="remove-promotion"' in type_code(shop, session.id, "FALL20")
    assert 'name="promotionCode" type="text"' in type_code(shop, session.id, "")
    assert shop.api.checkout.sessions.retrieve(session.id).amount_total == 3000


def test_a_session_without_codes_takes_none(shop: Shop) -> None:
    a_code(shop)
    session = shop.session(shop.price().id)
    type_code(shop, session.id, "FALL20")
    assert shop.api.checkout.sessions.retrieve(session.id).amount_total == 3000


def test_a_code_typed_after_a_decline_lowers_the_payment(shop: Shop) -> None:
    """[INF] the payment that was begun is for the new price."""
    a_code(shop)
    session = shop.session(shop.price().id, allow_promotion_codes=True)
    shop.pay(session.id, DECLINED)
    type_code(shop, session.id, "FALL20")
    shop.pay(session.id)
    assert shop.last_event("charge.succeeded")["data"]["object"]["amount"] == 2400
    assert [invoice.amount_paid for invoice in shop.api.invoices.list().data] == [2400]


def test_a_code_used_up_meanwhile_charges_nobody(shop: Shop) -> None:
    """[INF] what can't be redeemed any more is said before the card is charged."""
    code = a_code(shop, max_redemptions=1)
    sessions = [shop.session(shop.price().id, discounts=[{"promotion_code": code}]) for _ in range(2)]
    shop.pay(sessions[0].id)
    seen = shop.seen()
    shop.pay(sessions[1].id)
    assert shop.types_since(seen) == []
    assert shop.api.checkout.sessions.retrieve(sessions[1].id).status == "open"


def test_everything_off_needs_no_payment(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/no-cost-orders: `no_payment_required`, no payment intent."""
    coupon = shop.api.coupons.create({"percent_off": 100}).id
    product = shop.api.products.create({"name": "Book"}).id
    price = shop.api.prices.create({"product": product, "currency": "usd", "unit_amount": 900}).id
    session = shop.api.checkout.sessions.create(
        {
            "mode": "payment",
            "line_items": [{"price": price, "quantity": 1}],
            "discounts": [{"coupon": coupon}],
            "success_url": "http://shop.test/",
        }
    )
    shop.pay(session.id, None)
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status, done.payment_intent) == ("complete", "no_payment_required", None)
    assert shop.api.coupons.retrieve(coupon).times_redeemed == 1


def test_a_discount_waits_for_the_trials_end(shop: Shop) -> None:
    """[INF] nothing is due, so nothing is taken off; the subscription has the discount."""
    coupon = shop.api.coupons.create({"percent_off": 50}).id
    session = shop.session(shop.price().id, discounts=[{"coupon": coupon}], subscription_data={"trial_period_days": 14})
    assert (session.amount_subtotal, session.amount_total) == (0, 0)
    shop.pay(session.id)
    subscription = shop.api.subscriptions.list().data[0]
    assert len(subscription.discounts) == 1
    shop.emulator.advance(days=15)
    assert sorted(invoice.total for invoice in shop.api.invoices.list().data) == [0, 1500]


def test_a_one_time_price_is_on_the_first_invoice_only(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/build-subscriptions: one-time prices go on the initial invoice."""
    product = shop.api.products.create({"name": "Set-up"}).id
    setup = shop.api.prices.create({"product": product, "currency": "usd", "unit_amount": 5000}).id
    recurring = shop.price().id
    session = shop.session(recurring, line_items=[{"price": recurring, "quantity": 1}, {"price": setup, "quantity": 1}])
    assert session.amount_total == 8000
    page = shop.pages.get(f"/c/pay/{session.id}").text
    assert "$80.00" in page
    assert "Then $30.00/month" in page
    seen = shop.seen()
    shop.pay(session.id)
    assert "invoiceitem.created" in shop.types_since(seen)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["invoice", "subscription"]})
    assert isinstance(done.invoice, stripe.Invoice)
    assert isinstance(done.subscription, stripe.Subscription)
    assert done.invoice.amount_paid == 8000
    assert sorted((line.amount, line.parent.type) for line in done.invoice.lines.data if line.parent) == [
        (3000, "subscription_item_details"),
        (5000, "invoice_item_details"),
    ]
    assert len(done.subscription["items"].data) == 1
    shop.emulator.advance(days=32)
    assert [invoice.amount_paid for invoice in shop.api.invoices.list().data] == [3000, 8000]


def test_a_one_time_price_is_charged_though_a_trial_is_free(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/free-trials: only what recurs is free."""
    product = shop.api.products.create({"name": "Set-up"}).id
    setup = shop.api.prices.create({"product": product, "currency": "usd", "unit_amount": 5000}).id
    recurring = shop.price().id
    session = shop.session(
        recurring,
        line_items=[{"price": recurring, "quantity": 1}, {"price": setup, "quantity": 1}],
        subscription_data={"trial_period_days": 14},
    )
    assert session.amount_total == 5000
    shop.pay(session.id)
    assert [invoice.amount_paid for invoice in shop.api.invoices.list().data] == [5000]
    assert shop.api.subscriptions.list().data[0].status == "trialing"


def test_contradictory_discounts_are_refused(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/discounts: one discount, and not together with typed codes."""
    one, two = (shop.api.coupons.create({"percent_off": 10}).id for _ in range(2))
    price = shop.price().id
    wrong: list[dict[str, Any]] = [
        {"discounts": [{"coupon": one}], "allow_promotion_codes": True},
        {"discounts": [{"coupon": one}, {"coupon": two}]},
        {"discounts": [{"coupon": "nope"}]},
    ]
    for more in wrong:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.session(price, **more)
        assert str(caught.value.param).startswith("discounts")

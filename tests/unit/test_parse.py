"""Stripe's JSON of several API versions, read into one shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from paidup.core import parse
from paidup.core.discount import Discount
from paidup.core.timestamps import from_unix

START, END = 1_780_000_000, 1_782_678_400


def a_subscription_body(**fields: Any) -> dict[str, Any]:
    """A subscription as API version 2026-10-28.endive renders it, cut down to what is read."""
    body: dict[str, Any] = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "currency": "usd",
        "collection_method": "charge_automatically",
        "items": {"data": [an_item_body()], "has_more": False},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "trial_start": None,
        "trial_end": None,
        "pause_collection": None,
        "latest_invoice": "in_1",
        "default_payment_method": None,
        "created": START,
        "livemode": False,
        "metadata": {},
    }
    return body | fields


def an_item_body(**fields: Any) -> dict[str, Any]:
    price = {
        "id": "price_1",
        "product": "prod_1",
        "lookup_key": "pro_month",
        "unit_amount": 2900,
        "currency": "usd",
        "recurring": {"interval": "month", "interval_count": 1},
        "metadata": {"paidup_plan": "pro"},
    }
    return {
        "id": "si_1",
        "price": price,
        "quantity": 3,
        "current_period_start": START,
        "current_period_end": END,
    } | fields


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_the_period_is_read_from_the_item() -> None:
    found = parse.subscription(a_subscription_body())
    assert (found.current_period_start, found.current_period_end) == (moment(START), moment(END))


def test_the_period_of_versions_before_basil_is_read_from_the_subscription() -> None:
    """H72."""
    item = an_item_body()
    del item["current_period_start"], item["current_period_end"]
    body = a_subscription_body(items={"data": [item]}, current_period_start=START, current_period_end=END)
    assert parse.subscription(body).current_period_end == moment(END)


def test_with_several_items_the_period_that_ends_first_counts() -> None:
    later = an_item_body(id="si_2", current_period_end=END + 86_400)
    for data in ([an_item_body(), later], [later, an_item_body()]):
        assert parse.subscription(a_subscription_body(items={"data": data})).current_period_end == moment(END)


def test_a_subscription_without_any_period_has_none() -> None:
    item = an_item_body(current_period_start=None, current_period_end=None)
    assert parse.subscription(a_subscription_body(items={"data": [item]})).current_period_end is None


def test_items_carry_price_plan_and_quantity() -> None:
    (item,) = parse.subscription(a_subscription_body()).items
    assert (item.price, item.product, item.lookup_key, item.plan_hint, item.quantity, item.unit_amount) == (
        "price_1",
        "prod_1",
        "pro_month",
        "pro",
        3,
        2900,
    )


def test_expanded_and_bare_references_are_the_same() -> None:
    expanded = a_subscription_body(customer={"id": "cus_1", "object": "customer"}, latest_invoice={"id": "in_1"})
    assert parse.subscription(expanded) == parse.subscription(a_subscription_body())


def test_an_expanded_card_has_a_label() -> None:
    method = {
        "id": "pm_1",
        "type": "card",
        "card": {"brand": "visa", "last4": "4242", "exp_month": 5, "exp_year": 2030},
    }
    found = parse.subscription(a_subscription_body(default_payment_method=method)).payment_method
    assert found is not None
    assert found.label == "Visa •••• 4242"


def test_a_payment_method_that_was_not_expanded_is_unknown() -> None:
    assert parse.subscription(a_subscription_body(default_payment_method="pm_1")).payment_method is None


@pytest.mark.parametrize(
    "fields",
    [
        {"cancel_at": END, "cancel_at_period_end": False},
        {"cancel_at": None, "cancel_at_period_end": True},
        {"cancel_at": END, "cancel_at_period_end": True},
    ],
)
def test_either_way_to_schedule_an_end_is_canceling(fields: dict[str, Any]) -> None:
    """H71: the portal sets `cancel_at` alone in flexible billing mode."""
    found = parse.subscription(a_subscription_body(**fields))
    assert found.is_canceling
    assert found.ends_at == moment(END)
    assert found.renews_at is None


def test_a_running_subscription_renews_at_the_end_of_its_period() -> None:
    found = parse.subscription(a_subscription_body())
    assert (found.is_canceling, found.ends_at, found.renews_at) == (False, None, moment(END))


def test_an_ended_subscription_is_not_canceling_any_more() -> None:
    found = parse.subscription(a_subscription_body(status="canceled", cancel_at_period_end=True, ended_at=END))
    assert (found.is_canceling, found.has_ended, found.ends_at) == (False, True, moment(END))


def an_invoice_body(**fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "in_1",
        "customer": "cus_1",
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}},
        "number": "A-0001",
        "status": "open",
        "currency": "usd",
        "total": 2900,
        "amount_due": 2900,
        "amount_paid": 0,
        "amount_remaining": 2900,
        "billing_reason": "subscription_cycle",
        "attempt_count": 1,
        "next_payment_attempt": END,
        "period_start": START,
        "period_end": END,
        "due_date": None,
        "created": START,
        "status_transitions": {"finalized_at": START + 3600, "paid_at": None},
        "hosted_invoice_url": "https://invoice.example/i",
        "invoice_pdf": "https://invoice.example/pdf",
        "livemode": False,
    }
    return body | fields


def test_an_invoice_names_its_subscription_below_parent() -> None:
    assert parse.invoice(an_invoice_body()).subscription == "sub_1"


def test_an_invoice_of_versions_before_basil_names_it_at_the_top() -> None:
    """H73."""
    body = an_invoice_body(subscription="sub_1")
    del body["parent"]
    assert parse.invoice(body).subscription == "sub_1"


def test_an_open_invoice_with_an_attempt_has_failed() -> None:
    assert parse.invoice(an_invoice_body()).has_failed
    assert not parse.invoice(an_invoice_body(attempt_count=0)).has_failed
    assert not parse.invoice(an_invoice_body(status="paid")).has_failed


def test_a_deleted_customer_is_a_stub() -> None:
    found = parse.customer({"id": "cus_1", "object": "customer", "deleted": True}, owner="user:1")
    assert (found.deleted, found.email, found.owner) == (True, None, "user:1")


_COUPON = {"id": "SPRING", "object": "coupon", "name": "Spring", "percent_off": 20.0, "amount_off": None}
_HALF_A_YEAR = {"id": "di_1", "object": "discount", "end": 1_800_000_000, "promotion_code": "promo_1"}


@pytest.mark.parametrize(
    "fields",
    [
        {"discount": _HALF_A_YEAR | {"coupon": _COUPON}, "discounts": []},
        {"discount": _HALF_A_YEAR | {"coupon": _COUPON}},
        {"discount": None, "discounts": [_HALF_A_YEAR | {"coupon": _COUPON}]},
        {"discounts": [_HALF_A_YEAR | {"source": {"type": "coupon", "coupon": _COUPON}}]},
        {"discounts": [_HALF_A_YEAR | {"promotion_code": {"id": "promo_1"}, "source": {"coupon": _COUPON}}]},
    ],
    ids=["singular", "singular alone", "list", "source", "code expanded"],
)
def test_a_discount_is_read_wherever_a_release_keeps_it(fields: dict[str, Any]) -> None:
    """H75."""
    (found,) = parse.discounts(fields)
    assert (found.id, found.coupon, found.name, found.percent_off) == ("di_1", "SPRING", "Spring", 20.0)
    assert (found.promotion_code, found.ends_at) == ("promo_1", from_unix(1_800_000_000))


def test_a_discount_that_is_only_named_keeps_its_id() -> None:
    """H75."""
    source = {"id": "di_2", "source": {"type": "coupon", "coupon": "SPRING"}, "end": None}
    named, without_terms = parse.discounts({"discounts": ["di_1", source]})
    assert named == Discount("di_1")
    assert (without_terms.coupon, without_terms.percent_off) == ("SPRING", None)
    assert parse.discounts({"discounts": None, "discount": None}) == ()


def shown_item(**price: Any) -> dict[str, Any]:
    shown = {"id": "price_1", "product": "prod_1", "currency": "usd", "unit_amount": 2900} | price
    return {"id": "si_1", "quantity": 1, "price": shown, "current_period_start": START, "current_period_end": END}


def test_an_item_costs_what_its_price_has_in_the_subscriptions_currency() -> None:
    """H59: Stripe shows a price of several currencies in its own, whatever the subscription is billed in."""
    options = {"usd": {"unit_amount": 2900}, "eur": {"unit_amount": 2700}}
    for price, amount in (({"currency_options": options}, 2700), ({}, None), ({"currency_options": {}}, None)):
        body = a_subscription_body(currency="eur", items={"data": [shown_item(**price)]})
        (item,) = parse.subscription(body).items
        assert (item.unit_amount, item.currency) == (amount, "eur")
        assert [each["id"] for each in parse.prices_elsewhere(body)] == ["price_1"]
    at_home = a_subscription_body(currency="usd", items={"data": [shown_item()]})
    assert parse.subscription(at_home).items[0].unit_amount == 2900
    assert parse.prices_elsewhere(at_home) == []

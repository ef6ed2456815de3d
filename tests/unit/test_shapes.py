"""The same subscription and invoice in the shapes of five releases of Stripe's API, as their references show them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from paidup.catalog import file
from paidup.core import parse
from paidup.core.access import decide
from paidup.core.policy import AccessPolicy
from tests.conftest import PLANS

START, END = 1_767_225_600, 1_769_904_000
PERIOD = (datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(END, UTC))

_PRICE = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "currency": "usd",
    "lookup_key": "pro_month",
    "metadata": {"paidup_plan": "pro"},
    "product": "prod_1",
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "type": "recurring",
    "unit_amount": 2900,
}
_SUBSCRIPTION: dict[str, Any] = {
    "id": "sub_1",
    "object": "subscription",
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "collection_method": "charge_automatically",
    "created": START,
    "customer": "cus_1",
    "default_payment_method": "pm_1",
    "ended_at": None,
    "latest_invoice": "in_1",
    "livemode": False,
    "metadata": {},
    "pause_collection": None,
    "schedule": None,
    "status": "active",
    "trial_end": None,
    "trial_start": None,
}
_COUPON = {"id": "SPRING", "object": "coupon", "duration": "forever", "name": "Spring", "percent_off": 20.0}
_OLD_ITEM = {"id": "si_1", "object": "subscription_item", "metadata": {}, "price": _PRICE, "quantity": 3}
_ITEM = {**_OLD_ITEM, "current_period_start": START, "current_period_end": END}
_TOP = {"current_period_start": START, "current_period_end": END}

SUBSCRIPTIONS: dict[str, dict[str, Any]] = {
    "2020-08-27": {
        **_SUBSCRIPTION,
        **_TOP,
        "discount": {"id": "di_1", "object": "discount", "coupon": _COUPON, "end": None, "promotion_code": None},
        "items": {"object": "list", "data": [{**_OLD_ITEM, "plan": {"id": "price_1", "interval": "month"}}]},
        "plan": {"id": "price_1", "interval": "month"},
        "quantity": 3,
    },
    "2024-06-20": {
        **_SUBSCRIPTION,
        **_TOP,
        "currency": "usd",
        "discount": {"id": "di_1", "object": "discount", "coupon": _COUPON, "end": None, "promotion_code": None},
        "discounts": [{"id": "di_1", "object": "discount", "coupon": _COUPON, "end": None, "promotion_code": None}],
        "items": {"object": "list", "data": [{**_OLD_ITEM, "discounts": []}], "has_more": False},
    },
    "2025-03-31.basil": {
        **_SUBSCRIPTION,
        "currency": "usd",
        "discounts": [{"id": "di_1", "object": "discount", "coupon": _COUPON, "end": None, "promotion_code": None}],
        "items": {"object": "list", "data": [{**_ITEM, "discounts": []}], "has_more": False},
    },
    "2025-09-30.clover": {
        **_SUBSCRIPTION,
        "billing_mode": {"type": "flexible"},
        "currency": "usd",
        "discounts": [
            {"id": "di_1", "object": "discount", "end": None, "source": {"type": "coupon", "coupon": _COUPON}}
        ],
        "items": {"object": "list", "data": [{**_ITEM, "discounts": []}], "has_more": False},
    },
    "2026-10-28.endive": {
        **_SUBSCRIPTION,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
        "billing_schedules": [],
        "currency": "usd",
        "discounts": [
            {"id": "di_1", "object": "discount", "end": None, "source": {"type": "coupon", "coupon": _COUPON}}
        ],
        "items": {"object": "list", "data": [{**_ITEM, "discounts": [], "current_trial": None}], "has_more": False},
        "status_details": None,
    },
}

_INVOICE: dict[str, Any] = {
    "id": "in_1",
    "object": "invoice",
    "amount_due": 8700,
    "amount_paid": 8700,
    "amount_remaining": 0,
    "attempt_count": 1,
    "billing_reason": "subscription_cycle",
    "created": START,
    "currency": "usd",
    "customer": "cus_1",
    "livemode": False,
    "period_end": START,
    "period_start": START - 2_678_400,
    "status": "paid",
    "status_transitions": {"finalized_at": START + 3600, "paid_at": START + 3600},
    "total": 8700,
}
_LINE = {"id": "il_1", "amount": 8700, "currency": "usd", "period": {"start": START, "end": END}, "quantity": 3}
_OLD_LINE = {**_LINE, "price": _PRICE, "proration": False, "subscription": "sub_1", "type": "subscription"}
_NEW_LINE = {
    **_LINE,
    "parent": {
        "type": "subscription_item_details",
        "subscription_item_details": {"proration": False, "proration_details": {"credited_items": None}},
    },
    "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_1"}},
}
_PARENT = {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {}}}

INVOICES: dict[str, dict[str, Any]] = {
    "2020-08-27": {**_INVOICE, "paid": True, "subscription": "sub_1", "lines": {"data": [_OLD_LINE]}},
    "2024-06-20": {**_INVOICE, "paid": True, "subscription": "sub_1", "lines": {"data": [_OLD_LINE]}, "charge": "ch_1"},
    "2025-03-31.basil": {**_INVOICE, "parent": _PARENT, "lines": {"data": [_NEW_LINE]}},
    "2026-10-28.endive": {**_INVOICE, "parent": _PARENT, "lines": {"data": [_NEW_LINE]}, "status_details": None},
}


@pytest.mark.parametrize("release", SUBSCRIPTIONS)
def test_a_subscription_is_the_same_in_every_release(release: str) -> None:
    """H72, H75: its period has moved to the items, its discount to a list and from its coupon to a source."""
    found = parse.subscription(SUBSCRIPTIONS[release])
    assert (found.current_period_start, found.current_period_end) == PERIOD
    assert (found.renews_at, found.currency, found.status) == (PERIOD[1], "usd", "active")
    (item,) = found.items
    assert (item.lookup_key, item.plan_hint, item.interval, item.quantity) == ("pro_month", "pro", "month", 3)
    assert (item.current_period_start, item.current_period_end) == PERIOD
    assert [(each.id, each.coupon, each.percent_off) for each in found.discounts] == [("di_1", "SPRING", 20.0)]


@pytest.mark.parametrize("release", INVOICES)
def test_an_invoice_is_the_same_in_every_release(release: str) -> None:
    """H73, H74: its subscription has moved to its parent, a line's price to its pricing; paid is a status."""
    found = parse.invoice(INVOICES[release])
    assert (found.subscription, found.is_paid, found.amount_paid) == ("sub_1", True, 8700)
    assert (found.service_start, found.service_end, found.begins_a_period) == (*PERIOD, True)
    (line,) = parse.billed_lines(INVOICES[release]["lines"]["data"])
    assert (line.price, line.quantity, line.is_proration, (line.start, line.end)) == ("price_1", 3, False, PERIOD)


@pytest.mark.parametrize(("status", "plan"), [("active", "pro"), ("past_due", "free"), ("canceled", "free")])
def test_without_a_period_the_status_decides_and_no_end_is_told(status: str, plan: str) -> None:
    """H72: no period is neither one that is over nor one that lasts for ever."""
    item = {**_OLD_ITEM, "current_period_start": None, "current_period_end": None}
    body = {**SUBSCRIPTIONS["2026-10-28.endive"], "status": status, "items": {"data": [item]}}
    found = parse.subscription(body)
    access = decide(
        "user:1", [found], catalog=file.load(PLANS), policy=AccessPolicy(), now=datetime(2026, 1, 9, tzinfo=UTC)
    )
    assert (access.plan, access.until) == (plan, None)

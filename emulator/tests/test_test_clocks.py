"""Test clocks. [DOC] docs.stripe.com/billing/testing/test-clocks."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop

FROZEN = 1_801_440_000
DAY = 86_400


def clock(shop: Shop) -> str:
    return shop.api.test_helpers.test_clocks.create({"frozen_time": FROZEN, "name": "ours"}).id


def advance(shop: Shop, id: str, to: int) -> None:
    shop.api.test_helpers.test_clocks.advance(id, {"frozen_time": to})
    while shop.api.test_helpers.test_clocks.retrieve(id).status == "advancing":
        pass


def test_objects_on_a_clock_live_in_its_time(shop: Shop) -> None:
    id = clock(shop)
    customer = shop.customer(clock=id)
    subscription = shop.subscribe(customer.id, shop.price().id)
    assert (customer.created, subscription.created) == (FROZEN, FROZEN)
    shop.emulator.advance(days=40)
    assert len(shop.api.invoices.list({"customer": customer.id}).data) == 1
    advance(shop, id, FROZEN + 29 * DAY)
    invoices = shop.api.invoices.list({"customer": customer.id}).data
    assert [invoice.status for invoice in invoices] == ["paid", "paid"]
    created = [event["created"] for event in shop.emulator.events("invoice.created")]
    assert created == [FROZEN, FROZEN + 28 * DAY]


def test_advancing_answers_first_and_is_ready_later(shop: Shop) -> None:
    id = clock(shop)
    begun = shop.api.test_helpers.test_clocks.advance(id, {"frozen_time": FROZEN + 1})
    assert begun.status == "advancing"
    while shop.api.test_helpers.test_clocks.retrieve(id).status == "advancing":
        pass
    assert [type for type in shop.types_since() if "clock" in type] == [
        "test_helpers.test_clock.created",
        "test_helpers.test_clock.advancing",
        "test_helpers.test_clock.ready",
    ]


def test_a_clock_goes_forward_only_and_at_most_two_intervals(shop: Shop) -> None:
    id = clock(shop)
    shop.subscribe(shop.customer(clock=id).id, shop.price().id)
    for target in (FROZEN, FROZEN - 1, FROZEN + 90 * DAY):
        with pytest.raises(stripe.InvalidRequestError):
            shop.api.test_helpers.test_clocks.advance(id, {"frozen_time": target})


def test_a_schedule_limits_the_way_too_and_without_either_it_is_two_years(shop: Shop) -> None:
    id = clock(shop)
    clocks = shop.api.test_helpers.test_clocks
    customer = shop.customer(clock=id)
    with pytest.raises(stripe.InvalidRequestError):
        clocks.advance(id, {"frozen_time": FROZEN + 2 * 365 * DAY + 2 * DAY})
    phase: Any = {"items": [{"price": shop.price().id}], "duration": {"interval": "month"}}
    start = FROZEN + 365 * DAY
    shop.api.subscription_schedules.create({"customer": customer.id, "start_date": start, "phases": [phase]})
    with pytest.raises(stripe.InvalidRequestError):
        clocks.advance(id, {"frozen_time": FROZEN + 90 * DAY})
    assert clocks.advance(id, {"frozen_time": FROZEN + 59 * DAY}).status == "advancing"


def test_a_customer_on_a_clock_has_three_subscriptions(shop: Shop) -> None:
    customer = shop.customer(clock=clock(shop)).id
    price = shop.price().id
    first, _, _ = (shop.subscribe(customer, price) for _ in range(3))
    phase: Any = {"items": [{"price": price}]}
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        shop.subscribe(customer, price)
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        shop.api.subscription_schedules.create({"customer": customer, "start_date": "now", "phases": [phase]})
    shop.api.subscriptions.cancel(first.id)
    assert shop.subscribe(customer, price).status == "active"


def test_a_customer_can_be_put_on_a_new_clock(shop: Shop) -> None:
    """[DOC] docs.stripe.com/changelog/dahlia/2026-05-27/test-clock-creation-customer-parameter"""
    customer = shop.customer()
    clocks = shop.api.test_helpers.test_clocks
    id = clocks.create({"frozen_time": FROZEN, "customer": customer.id}).id
    assert shop.api.customers.retrieve(customer.id).test_clock == id
    assert shop.subscribe(customer.id, shop.price().id).created == FROZEN
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        clocks.create({"frozen_time": FROZEN, "customer": customer.id})


def test_objects_on_a_clock_are_left_out_of_lists_that_name_none(shop: Shop) -> None:
    id = clock(shop)
    customer = shop.customer(clock=id)
    shop.subscribe(customer.id, shop.price().id)
    assert shop.api.customers.list().data == []
    assert shop.api.subscriptions.list().data == []
    assert len(shop.api.customers.list({"test_clock": id}).data) == 1
    assert len(shop.api.subscriptions.list({"customer": customer.id}).data) == 1


def test_a_clock_takes_three_customers(shop: Shop) -> None:
    id = clock(shop)
    for _ in range(3):
        shop.customer(card=None, clock=id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.customer(card=None, clock=id)


def test_deleting_a_clock_deletes_what_lives_on_it(shop: Shop) -> None:
    id = clock(shop)
    customer = shop.customer(clock=id)
    coupon = shop.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    subscription = shop.subscribe(customer.id, shop.price().id, discounts=[{"coupon": coupon}])
    assert subscription.discounts
    assert shop.api.test_helpers.test_clocks.delete(id).deleted is True
    for gone in (subscription.id, str(subscription.latest_invoice), str(subscription.discounts[0])):
        with pytest.raises(KeyError):
            shop.emulator.get(gone)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.customers.retrieve(customer.id)
    assert shop.api.test_helpers.test_clocks.list().data == []


def test_the_global_clock_only_moves_forward(shop: Shop) -> None:
    before = shop.emulator.now
    after = shop.emulator.advance(days=3)
    assert (after - before).total_seconds() >= 3 * DAY
    with pytest.raises(ValueError, match="forward"):
        shop.emulator.advance(seconds=-5)
    with pytest.raises(ValueError, match="no renewal"):
        shop.emulator.advance(to="renewal")

"""Usage: meters, what is reported to them, and metered prices charged in arrears."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import SUCCESS, Shop

DAY = 86_400


def a_meter(shop: Shop, formula: Any = "sum", *, event: str = "api_calls") -> stripe.billing.Meter:
    return shop.api.billing.meters.create(
        {"display_name": "API calls", "event_name": event, "default_aggregation": {"formula": formula}}
    )


def a_metered_price(shop: Shop, meter: str, **terms: Any) -> stripe.Price:
    sent: Any = {
        "currency": "usd",
        "product_data": {"name": "API calls"},
        "recurring": {"interval": "month", "usage_type": "metered", "meter": meter},
        **(terms or {"unit_amount": 10}),
    }
    return shop.api.prices.create(sent)


def use(shop: Shop, customer: str, value: float, **more: Any) -> stripe.billing.MeterEvent:
    payload = {"stripe_customer_id": customer, "value": str(value)}
    sent: Any = {"event_name": "api_calls", "payload": payload, **more}
    return shop.api.billing.meter_events.create(sent)


def subscribe(shop: Shop, customer: str, *prices: str) -> stripe.Subscription:
    sent: Any = {"customer": customer, "items": [{"price": price} for price in prices]}
    return shop.api.subscriptions.create(sent)


def newest_lines(shop: Shop, subscription: str) -> list[tuple[int, int | None]]:
    invoice = shop.api.invoices.list({"subscription": subscription}).data[0]
    return [(line.amount, line.quantity) for line in invoice.lines.data]


def test_a_meter_is_made_renamed_switched_off_and_on(shop: Shop) -> None:
    """[DOC api/billing/meter]"""
    meter = a_meter(shop)
    assert (meter.status, meter.value_settings.event_payload_key) == ("active", "value")
    assert meter.customer_mapping.event_payload_key == "stripe_customer_id"
    assert shop.api.billing.meters.update(meter.id, {"display_name": "Calls"}).display_name == "Calls"
    off = shop.api.billing.meters.deactivate(meter.id)
    assert (off.status, off.status_transitions.deactivated_at) == ("inactive", off.updated)
    assert shop.api.billing.meters.list({"status": "active"}).data == []
    assert shop.api.billing.meters.reactivate(meter.id).status == "active"
    assert [type for type in shop.types_since() if type.startswith("billing.meter")] == [
        "billing.meter.created",
        "billing.meter.updated",
        "billing.meter.deactivated",
        "billing.meter.reactivated",
    ]


def test_one_active_meter_takes_the_events_of_a_name(shop: Shop) -> None:
    first = a_meter(shop)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        a_meter(shop)
    shop.api.billing.meters.deactivate(first.id)
    a_meter(shop)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.api.billing.meters.reactivate(first.id)


def test_usage_is_charged_in_arrears(shop: Shop) -> None:
    """[DOC billing/subscriptions/usage-based/implementation-guide] Nothing at first, the month's usage at its end."""
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = subscribe(shop, customer, price)
    assert "quantity" not in subscription["items"].data[0]
    assert shop.api.invoices.retrieve(str(subscription.latest_invoice)).total == 0
    use(shop, customer, 30)
    use(shop, customer, 12)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(420, 42)]
    invoice = shop.api.invoices.list({"subscription": subscription.id}).data[0]
    item = subscription["items"].data[0]
    period = invoice.lines.data[0].period
    assert (period.start, period.end) == (item.current_period_start, item.current_period_end), "the month that is over"
    assert invoice.status == "paid"
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(0, 0)], "what was charged is not charged again"


def test_a_base_fee_in_advance_goes_with_usage_in_arrears(shop: Shop) -> None:
    """[DOC billing/subscriptions/usage-based/implementation-guide#fixed-fee-and-overage]"""
    customer, metered = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = subscribe(shop, customer, shop.price(2000).id, metered)
    assert newest_lines(shop, subscription.id) == [(2000, 1)]
    use(shop, customer, 5)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(2000, 1), (50, 5)]


def test_usage_of_tiers_and_packages(shop: Shop) -> None:
    tiers: Any = [{"up_to": 10, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": "2.5"}]
    price = a_metered_price(shop, a_meter(shop).id, billing_scheme="tiered", tiers_mode="graduated", tiers=tiers)
    customer = shop.customer().id
    subscription = subscribe(shop, customer, price.id)
    use(shop, customer, 15)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(13, 15)]


@pytest.mark.parametrize(("formula", "total"), [("sum", 9), ("count", 3), ("last", 2)])
def test_events_are_aggregated_by_the_meters_formula(shop: Shop, formula: str, total: int) -> None:
    """[DOC billing/subscriptions/usage-based/meters/configure#aggregation]"""
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop, formula).id).id
    subscription = subscribe(shop, customer, price)
    for value in (4, 3, 2):
        use(shop, customer, value)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(total * 10, total)]


def test_a_preview_shows_the_usage_so_far(shop: Shop) -> None:
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = subscribe(shop, customer, price)
    use(shop, customer, 7)
    assert shop.api.invoices.create_preview({"subscription": subscription.id}).total == 70


def test_usage_is_for_the_customer_and_the_time_it_names(shop: Shop) -> None:
    price = a_metered_price(shop, a_meter(shop).id).id
    customer, other = shop.customer().id, shop.customer().id
    subscription = subscribe(shop, customer, price)
    use(shop, other, 100)
    use(shop, customer, 8, timestamp=subscription.created - DAY)
    use(shop, customer, 1, timestamp=subscription.created + 60)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(10, 1)]


def test_an_identifier_counts_once(shop: Shop) -> None:
    """[DOC billing/subscriptions/usage-based/recording-usage-api] Unique within at least 24 hours."""
    a_meter(shop)
    customer = shop.customer().id
    assert use(shop, customer, 1, identifier="call-1").identifier == "call-1"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        use(shop, customer, 1, identifier="call-1")
    assert caught.value.param == "identifier"
    assert use(shop, customer, 1).identifier


def test_an_event_is_taken_back(shop: Shop) -> None:
    """[DOC billing/subscriptions/usage-based/recording-usage-api#fix-incorrect-usage]"""
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = subscribe(shop, customer, price)
    use(shop, customer, 5, identifier="wrong")
    use(shop, customer, 1)
    sent: Any = {"event_name": "api_calls", "type": "cancel", "cancel": {"identifier": "wrong"}}
    assert shop.api.billing.meter_event_adjustments.create(sent).status == "complete"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.billing.meter_event_adjustments.create(sent)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(10, 1)]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"event_name": "unheard"}, "event_name"),
        ({"payload": {"value": "1"}}, "payload"),
        ({"payload": {"stripe_customer_id": "cus_nobody", "value": "1"}}, "payload"),
        ({"payload": {"stripe_customer_id": "CUSTOMER"}}, "payload"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "many"}}, "payload"),
        ({"timestamp": 36 * -DAY}, "timestamp"),
        ({"timestamp": 600}, "timestamp"),
    ],
)
def test_an_event_that_cannot_be_counted_is_refused(shop: Shop, wrong: Any, param: str) -> None:
    """[DOC billing/subscriptions/usage-based/recording-usage-api] The past 35 days, 5 minutes ahead."""
    a_meter(shop)
    customer = shop.customer().id
    sent: Any = {"event_name": "api_calls", "payload": {"stripe_customer_id": customer, "value": "1"}, **wrong}
    sent["payload"] = {key: customer if value == "CUSTOMER" else value for key, value in sent["payload"].items()}
    if "timestamp" in sent:
        sent["timestamp"] += int(shop.emulator.now.timestamp())
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.billing.meter_events.create(sent)
    assert caught.value.param == param


def test_summaries_by_the_day_and_as_a_whole(shop: Shop) -> None:
    """[DOC api/billing/meter-event_summary/list]"""
    meter = a_meter(shop)
    customer = shop.customer().id
    today = int(shop.emulator.now.timestamp()) // DAY * DAY
    for days_ago, value in ((3, 1), (3, 2), (1, 4)):
        use(shop, customer, value, timestamp=today - days_ago * DAY + 3600)
    sent: Any = {"customer": customer, "start_time": today - 4 * DAY, "end_time": today}
    [whole] = shop.api.billing.meters.event_summaries.list(meter.id, sent).data
    assert (whole.aggregated_value, whole.start_time, whole.end_time) == (7, today - 4 * DAY, today)
    by_day: Any = {**sent, "value_grouping_window": "day"}
    days = shop.api.billing.meters.event_summaries.list(meter.id, by_day).data
    assert [(day.aggregated_value, day.start_time) for day in days] == [(4, today - DAY), (3, today - 3 * DAY)]
    askew: Any = {**sent, "start_time": today - 4 * DAY + 1}
    with pytest.raises(stripe.InvalidRequestError, match="aligned"):
        shop.api.billing.meters.event_summaries.list(meter.id, askew)


@pytest.mark.parametrize("how", ["now", "at the end"])
def test_the_last_usage_is_charged_when_it_ends(shop: Shop, how: str) -> None:
    """[DOC billing/subscriptions/cancel#usage-based-billing] At once only with `invoice_now`."""
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = subscribe(shop, customer, price)
    use(shop, customer, 6, timestamp=subscription.created)
    if how == "now":
        shop.emulator.advance(days=1)
        shop.api.subscriptions.cancel(subscription.id, {"invoice_now": True})
    else:
        shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        shop.emulator.advance(days=33)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "canceled"
    assert newest_lines(shop, subscription.id) == [(60, 6)]


def test_usage_in_a_trial_is_free(shop: Shop) -> None:
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = shop.api.subscriptions.create(
        {"customer": customer, "items": [{"price": price}], "trial_period_days": 7}
    )
    use(shop, customer, 6)
    shop.emulator.advance(to="trial_end")
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    assert {invoice.total for invoice in shop.api.invoices.list({"subscription": subscription.id}).data} == {0}


def test_a_metered_item_is_added_and_never_prorated(shop: Shop) -> None:
    customer, price = shop.customer().id, a_metered_price(shop, a_meter(shop).id).id
    subscription = shop.subscribe(customer, shop.price(2000).id)
    shop.emulator.advance(days=10)
    change: Any = {"items": [{"price": price}], "proration_behavior": "always_invoice"}
    shop.api.subscriptions.update(subscription.id, change)
    assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 1
    use(shop, customer, 3)
    shop.emulator.advance(to="renewal")
    assert newest_lines(shop, subscription.id) == [(2000, 1), (30, 3)]


def test_a_quantity_and_a_metered_price_do_not_go_together(shop: Shop) -> None:
    meter = a_meter(shop).id
    price = a_metered_price(shop, meter).id
    with pytest.raises(stripe.InvalidRequestError, match="quantity"):
        shop.subscribe(shop.customer().id, price)
    recurring: Any = {"interval": "month", "usage_type": "metered"}
    sent: Any = {"currency": "usd", "unit_amount": 1, "product_data": {"name": "Calls"}, "recurring": recurring}
    with pytest.raises(stripe.InvalidRequestError, match="meter"):
        shop.api.prices.create(sent)


def test_checkout_sells_usage(shop: Shop) -> None:
    """[DOC billing/subscriptions/usage-based/implementation-guide] A metered line has no quantity."""
    price = a_metered_price(shop, a_meter(shop).id).id
    items: Any = [{"price": price}, {"price": shop.price(2000).id, "quantity": 1}]
    session = shop.api.checkout.sessions.create({"mode": "subscription", "line_items": items, "success_url": SUCCESS})
    assert session.amount_total == 2000
    assert "based on usage" in shop.pages.get(str(session.url)).text
    shop.pay(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id)
    use(shop, str(done.customer), 2)
    shop.emulator.advance(to="renewal")
    assert sorted(newest_lines(shop, str(done.subscription))) == [(20, 2), (2000, 1)]

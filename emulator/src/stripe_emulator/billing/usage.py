"""
Usage: what meters have counted, and the lines it becomes, in arrears.

See https://docs.stripe.com/billing/subscriptions/usage-based
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from stripe_emulator.billing import lines
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

METER = "billing.meter"
EVENT = "_meter_event"


def is_metered(price: Json) -> bool:
    """Is what was used charged, rather than what was agreed?"""
    return bool((price["recurring"] or {}).get("usage_type") == "metered")


def events_of(engine: Engine, meter: Json, customer: str, start: int, end: int) -> list[Json]:
    """A customer's events from `start` up to, and without, `end`; newest first."""
    return [
        event
        for event in engine.store.scan(EVENT)
        if event["_meter"] == meter["id"]
        and event["_customer"] == customer
        and not event["_canceled"]
        and start <= event["timestamp"] < end
    ]


def aggregate(meter: Json, events: Iterable[Json]) -> Decimal:
    """What events, newest first, come to by the meter's formula."""
    events = list(events)
    match meter["default_aggregation"]["formula"]:
        case "count":
            return Decimal(len(events))
        case "last":
            newest = max(events, key=lambda event: event["timestamp"], default=None)
            return Decimal(newest["_value"]) if newest is not None else Decimal(0)
        case _:
            return sum((Decimal(event["_value"]) for event in events), Decimal(0))


def usage_line(engine: Engine, subscription: Json, item: Json, *, start: int, end: int) -> Json:
    """The line for what was used of a metered item in a period."""
    price = engine.find("price", item["price"])
    meter = engine.find(METER, price["recurring"]["meter"])
    total = aggregate(meter, events_of(engine, meter, subscription["customer"], start, end))
    quantity = int(total.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    line = lines.period_line(engine, subscription, {**item, "quantity": quantity}, start=start, end=end)
    line["amount"] = line["subtotal"] = amount_of(price, quantity, subscription["currency"])
    return line


def usage_lines(engine: Engine, subscription: Json, end: int) -> list[Json]:
    """The lines for what was used of every metered item in its current period, up to `end`."""
    return [
        usage_line(engine, subscription, item, start=item["current_period_start"], end=end)
        for item in subscription["items"]
        if is_metered(engine.find("price", item["price"]))
    ]


def bill_at_the_end(engine: Engine, subscription: Json, end: int) -> list[Json]:
    """Leave what was used until an end as pending invoice items; nothing for what was not used at all."""
    customer = engine.find("customer", subscription["customer"])
    return [
        lines.add_invoice_item(
            engine,
            customer=customer,
            amount=line["amount"],
            currency=line["currency"],
            description=line["description"],
            price=engine.find("price", line["pricing"]["price_details"]["price"]),
            quantity=line["quantity"],
            start=line["period"]["start"],
            end=line["period"]["end"],
            proration=False,
            subscription=subscription["id"],
            subscription_item=line["parent"]["subscription_item_details"]["subscription_item"],
            tax_rates=line["_tax_rates"],
        )
        for line in usage_lines(engine, subscription, end)
        if line["amount"]
    ]

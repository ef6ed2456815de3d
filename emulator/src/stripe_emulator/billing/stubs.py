"""
Stubs: periods that begin in the middle of their cycle, and cost a part of it.

See https://docs.stripe.com/billing/subscriptions/billing-cycle#new-subscriptions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import lines
from stripe_emulator.billing.periods import is_boundary, previous_boundary
from stripe_emulator.billing.proration import prorate
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def is_stub(engine: Engine, subscription: Json, item: Json) -> bool:
    """Does an item's current period begin in the middle of its cycle?"""
    return cycle_start(engine, subscription, item) < int(item["current_period_start"])


def stub_line(engine: Engine, subscription: Json, item: Json) -> Json:
    """The line of a period that began in the middle of its cycle."""
    start, end = item["current_period_start"], item["current_period_end"]
    line = lines.period_line(engine, subscription, item, start=start, end=end)
    whole = cycle_start(engine, subscription, item)
    line["amount"] = line["subtotal"] = prorate(line["amount"], start=whole, end=end, at=start)
    line["parent"]["subscription_item_details"]["proration"] = True
    return line


def cycle_start(engine: Engine, subscription: Json, item: Json) -> int:
    """When the whole period began that an item's current one is the rest of."""
    recurring = engine.find("price", item["price"])["recurring"]
    cycle = subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"]
    end = int(item["current_period_end"])
    return previous_boundary(*cycle, end) if is_boundary(*cycle, end) else int(item["current_period_start"])

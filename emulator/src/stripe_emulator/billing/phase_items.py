"""A subscription's items as a phase of its schedule wants them, now or foreseen."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from stripe_emulator.billing import usage
from stripe_emulator.billing.changing_plans import Change
from stripe_emulator.billing.periods import is_boundary, next_boundary
from stripe_emulator.billing.subscribing import make_item
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def change_items(engine: Engine, subscription: Json, phase: Json, now: int) -> list[Change]:
    """Items are told apart by their prices: one of another price is another item."""
    rest = list(subscription["items"])
    changes, items = [], []
    for wanted in phase["items"]:
        item = next((item for item in rest if item["price"] == wanted["price"]), None)
        if item is None:
            item = _add_item(engine, subscription, wanted, now)
            changes.append(Change(None, item))
        else:
            rest.remove(item)
            changes.append(Change(copy.deepcopy(item), item))
            item["quantity"] = _quantity(engine.find("price", item["price"]), wanted)
            both = {**item["metadata"], **wanted["metadata"]}
            item["metadata"] = {key: value for key, value in both.items() if value != ""}
        items.append(item)
    subscription["items"] = items
    return [Change(item, None) for item in rest] + changes


def _add_item(engine: Engine, subscription: Json, wanted: Json, now: int) -> Json:
    price = engine.find("price", wanted["price"])
    start, end = now, now
    if subscription["status"] == "trialing":
        end = subscription["trial_end"]
    else:
        cycle = interval_of_price(price)
        anchor = subscription["billing_cycle_anchor"]
        fellow = next((one for one in subscription["items"] if interval_of(engine, one) == cycle), None)
        if fellow is not None and fellow["current_period_end"] > now:
            start, end = fellow["current_period_start"], fellow["current_period_end"]
        elif not is_boundary(anchor, *cycle, now):
            end = next_boundary(anchor, *cycle, now)
    metadata = {key: value for key, value in wanted["metadata"].items() if value != ""}
    return make_item(engine, subscription, price, _quantity(price, wanted), metadata, start=start, end=end)


def _quantity(price: Json, wanted: Json) -> int:
    return 0 if usage.is_metered(price) else int(wanted["quantity"])


def foreseen(engine: Engine, subscription: Json, moment: int) -> Json:
    """A subscription as it will be at the end of its period, if a phase of its schedule begins then."""
    schedule = engine.store.get(subscription["schedule"] or "", "subscription_schedule")
    if schedule is None or schedule["status"] != "active":
        return subscription
    phase = next((phase for phase in schedule["phases"] if phase["start_date"] == moment), None)
    if phase is None:
        return subscription
    changed = copy.deepcopy(subscription)
    changed["status"] = "active"
    change_items(engine, changed, phase, moment)
    wanted = phase["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]
    if wanted == "phase_start":
        changed["billing_cycle_anchor"] = moment
        for item in changed["items"]:
            item["current_period_end"] = moment
    named = [discount[name] for discount in phase["discounts"] for name in discount if discount[name] is not None]
    held = {id: engine.find("discount", id) for id in subscription["discounts"]}
    changed["discounts"] = [
        id
        for id, discount in held.items()
        if id in named or discount["source"]["coupon"] in named or discount["promotion_code"] in named
    ]
    return changed


def interval_of_price(price: Json) -> tuple[str, int]:
    """How often a price is billed."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def interval_of(engine: Engine, item: Json) -> tuple[str, int]:
    """How often an item is billed."""
    return interval_of_price(engine.find("price", item["price"]))

"""Changing what a subscription is for: its items, prorated, or a new cycle begun at once."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from stripe_emulator.billing import (
    collection,
    currencies,
    discounts,
    invoicing,
    lines,
    standing,
    taxes,
    usage,
)
from stripe_emulator.billing.changing_plans import Change, prorate_changes
from stripe_emulator.billing.periods import add_interval, next_boundary
from stripe_emulator.billing.subscribing import make_item
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.resources import prices
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def change_items(engine: Engine, subscription: Json, params: Params) -> Json | None:
    """Change the items as asked, prorated; returns the invoice this made at once, finalised but not charged."""
    behavior = params.get("proration_behavior", "create_prorations")
    now = engine.now(subscription["test_clock"])
    at = params.get("proration_date") or now
    anchor = params.at("billing_cycle_anchor").get("type")
    anchor_now = anchor == "now"
    sent = params.list_of("items")
    if not sent and not anchor_now:
        return None
    old = copy.deepcopy(subscription["items"])
    changes = _changes(engine, subscription, sent)
    if not any(change.counts for change in changes) and not anchor_now:
        return None
    classic = subscription["billing_mode"]["type"] == "classic"
    if anchor_now or (classic and anchor != "unchanged" and _interval_changes(engine, changes)):
        return _begin_anew(engine, subscription, old, behavior, now, at)
    if subscription["status"] not in ("trialing", "incomplete", "paused"):
        _begin_stubs(engine, subscription, changes, now)
    if subscription["status"] in ("trialing", "incomplete", "paused") or behavior == "none":
        return None
    prorate_changes(engine, subscription, changes, at)
    return invoice_pending(engine, subscription) if behavior == "always_invoice" else None


def invoice_pending(engine: Engine, subscription: Json) -> Json | None:
    """An invoice of what is pending, finalised at once; None when nothing is."""
    customer = engine.find("customer", subscription["customer"])
    if not lines.pending_items(engine, customer["id"], subscription["id"]):
        return None
    invoice = invoicing.draft(
        engine,
        customer,
        [],
        reason="subscription_update",
        currency=subscription["currency"],
        subscription=subscription,
        period=period_of(subscription),
        auto_advance=subscription["status"] not in standing.ENDED,
    )
    subscription["latest_invoice"] = invoice["id"]
    collection.open_invoice(engine, invoice)
    return invoice


def period_of(subscription: Json) -> tuple[int, int]:
    """The first item's current period."""
    item = subscription["items"][0]
    return item["current_period_start"], item["current_period_end"]


def _changes(engine: Engine, subscription: Json, sent: list[Params]) -> list[Change]:
    changes: list[Change] = []
    for wanted in sent:
        if "id" in wanted:
            changes.append(_change_item(engine, subscription, wanted))
        else:
            changes.append(_add_item(engine, subscription, wanted))
    return changes


def _change_item(engine: Engine, subscription: Json, wanted: Params) -> Change:
    item = next((item for item in subscription["items"] if item["id"] == wanted["id"]), None)
    if item is None:
        raise no_such("subscription_item", wanted["id"], param=wanted.name_of("id"))
    old = copy.deepcopy(item)
    if wanted.get("deleted", False):
        wanted.ignore("clear_usage")
        if len(subscription["items"]) == 1:
            raise invalid(
                "A subscription must have at least one active plan. To cancel a subscription, please use the cancel "
                "API endpoint on a subscription."
            )
        subscription["items"].remove(item)
        return Change(old, None)
    price = _price(engine, wanted, subscription["currency"])
    if price is not None:
        item["price"] = price["id"]
    if "quantity" in wanted:
        item["quantity"] = wanted["quantity"]
    item["metadata"] = merged(item["metadata"], wanted)
    if "tax_rates" in wanted:
        item["tax_rates"] = taxes.read(engine, wanted, "tax_rates")
    _item_discounts(engine, subscription, item, wanted)
    return Change(old, item)


def _add_item(engine: Engine, subscription: Json, wanted: Params) -> Change:
    price = _price(engine, wanted, subscription["currency"])
    if price is None:
        raise invalid("Missing required param: price.", param=wanted.name_of("price"), code="parameter_missing")
    if any(item["price"] == price["id"] for item in subscription["items"]):
        raise invalid(
            f"Cannot add multiple subscription items with the same plan: {price['id']}", param=wanted.name_of("price")
        )
    now = engine.now(subscription["test_clock"])
    start, end = period_of(subscription)
    recurring = price["recurring"]
    if _interval(engine, subscription["items"][0]) != (recurring["interval"], recurring["interval_count"]):
        start = now
        end = next_boundary(
            subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], now
        )
    item = make_item(
        engine, subscription, price, _quantity(price, wanted), wanted.get("metadata") or {}, start=start, end=end
    )
    item["tax_rates"] = taxes.read(engine, wanted, "tax_rates")
    subscription["items"].append(item)
    _item_discounts(engine, subscription, item, wanted)
    return Change(None, item)


def _quantity(price: Json, wanted: Params) -> int:
    if usage.is_metered(price) and "quantity" in wanted:
        raise invalid("You cannot set the quantity for metered prices.", param=wanted.name_of("quantity"))
    return 0 if usage.is_metered(price) else int(wanted.get("quantity", 1))


def _item_discounts(engine: Engine, subscription: Json, item: Json, wanted: Params) -> None:
    if "discounts" not in wanted:
        return
    customer = engine.find("customer", subscription["customer"])
    sent = wanted.list_of("discounts")
    wishes = discounts.wishes(engine, sent, customer=customer, currency=subscription["currency"])
    kept = [wish.discount["id"] for wish in wishes if wish.discount is not None]
    for id in [id for id in item["discounts"] if id not in kept]:
        discounts.remove(engine, subscription, id)
    item["discounts"] = [
        discounts.redeem(engine, wish, customer=customer, subscription=subscription, item=item["id"]) for wish in wishes
    ]


def _price(engine: Engine, wanted: Params, currency: str) -> Json | None:
    data = wanted.at("price_data")
    if data:
        price = prices.from_data(engine, data)
    elif "price" in wanted:
        price = prices.usable(engine, wanted["price"], param=wanted.name_of("price"), recurring=True)
    else:
        return None
    currencies.check(price, currency, param=wanted.name_of("price"))
    return price


def _interval(engine: Engine, item: Json) -> tuple[str, int]:
    recurring = engine.find("price", item["price"])["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _interval_changes(engine: Engine, changes: list[Change]) -> bool:
    return any(
        change.old is not None
        and change.new is not None
        and _interval(engine, change.old) != _interval(engine, change.new)
        for change in changes
    )


def _begin_stubs(engine: Engine, subscription: Json, changes: list[Change], now: int) -> None:
    """An item of another interval joins the cycle where it is: its first period is the rest of one."""
    for change in changes:
        if change.new is not None and _interval_changes(engine, [change]):
            cycle = subscription["billing_cycle_anchor"], *_interval(engine, change.new)
            change.new.update(current_period_start=now, current_period_end=next_boundary(*cycle, now))


def _begin_anew(engine: Engine, subscription: Json, old: list[Json], behavior: str, now: int, at: int) -> Json | None:
    """A new cycle from now: the rest of the old one is credited as from `at`, a whole new period charged."""
    in_trial = subscription["status"] == "trialing"
    if in_trial:
        return None
    if behavior != "none":
        prorate_changes(engine, subscription, [Change(item, None) for item in old], at)
    subscription["billing_cycle_anchor"] = now
    made = []
    for item in subscription["items"]:
        interval, count = _interval(engine, item)
        end = add_interval(now, interval, count)
        begun = item["current_period_start"]
        item.update(current_period_start=now, current_period_end=end)
        if usage.is_metered(engine.find("price", item["price"])):
            made.append(usage.usage_line(engine, subscription, item, start=begun, end=now))
            item["_paid"] = [0, now, end]
            continue
        line = lines.period_line(engine, subscription, item, start=now, end=end)
        item["_paid"] = [line["amount"], now, end]
        made.append(line)
    customer = engine.find("customer", subscription["customer"])
    invoice = invoicing.draft(
        engine,
        customer,
        made,
        reason="subscription_update",
        currency=subscription["currency"],
        subscription=subscription,
    )
    subscription["latest_invoice"] = invoice["id"]
    collection.open_invoice(engine, invoice)
    return invoice

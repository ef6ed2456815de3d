"""
Pausing a subscription on demand, and bringing a paused one back.

A resumption with something to pay waits for its invoice: meanwhile the subscription stays paused with a pending update.
See https://docs.stripe.com/billing/subscriptions/pause
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from stripe_emulator.billing import invoicing, lines
from stripe_emulator.billing.changing_plans import Change, credit_whole_period, prorate_changes
from stripe_emulator.billing.periods import next_boundary
from stripe_emulator.events import follow
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ON_ATTEMPT, ON_SUCCESS = "resume_on_payment_attempt", "resume_on_payment_success"
WAITS_FOR = {ON_ATTEMPT: 23 * 3600, ON_SUCCESS: 365 * DAY}
UPDATED = "customer.subscription.updated"


def pause(engine: Engine, subscription: Json, *, unused_from: str) -> None:
    """
    Stop service and invoices now; the current period ends with it.

    `unused_from`: the unused time is credited from `now` on, with the whole period (`item_current_period_start`), or
    not at all (`none`).
    """
    now = engine.now(subscription["test_clock"])
    with engine.changing(subscription, UPDATED):
        match unused_from:
            case "now":
                prorate_changes(engine, subscription, [Change(item, None) for item in subscription["items"]], now)
            case "item_current_period_start":
                credit_whole_period(engine, subscription)
            case _:
                pass
        set_paused(subscription, "pause_requested", now)
        for item in subscription["items"]:
            item["current_period_end"] = now
            if unused_from != "none":
                item["_paid"] = [0, now, now]


def set_paused(subscription: Json, reason: str, now: int) -> None:
    """The status and its details."""
    subscription["status"] = "paused"
    subscription["status_details"] = {
        "paused": {"subscription": {"type": reason}, "transitioned_at": now, "type": "subscription"}
    }


def begin_anew(engine: Engine, subscription: Json) -> list[Json]:
    """A new cycle from now: the lines of its first period."""
    subscription["billing_cycle_anchor"] = engine.now(subscription["test_clock"])
    return _begin_periods(engine, subscription)


def go_on(engine: Engine, subscription: Json, *, behavior: str, at: int) -> None:
    """
    The old cycle goes on: what is left of its period is debited unless it is `none`, from `at` on.

    Time that was paid and not credited by the pause isn't debited again.
    """
    paid = [item["_paid"][2] for item in subscription["items"]]
    _begin_periods(engine, subscription, keep_paid=True)
    if behavior == "none":
        return
    unpaid = [item for item, end in zip(subscription["items"], paid, strict=True) if end <= at]
    prorate_changes(engine, subscription, [Change(None, item) for item in unpaid], at)


def _begin_periods(engine: Engine, subscription: Json, *, keep_paid: bool = False) -> list[Json]:
    now = engine.now(subscription["test_clock"])
    made = []
    for item in subscription["items"]:
        recurring = engine.find("price", item["price"])["recurring"]
        anchor = subscription["billing_cycle_anchor"]
        end = next_boundary(anchor, recurring["interval"], recurring["interval_count"], now)
        item.update(current_period_start=now, current_period_end=end)
        if not keep_paid:
            line = lines.period_line(engine, subscription, item, start=now, end=end)
            item["_paid"] = [line["amount"], now, end]
            made.append(line)
    return made


def draft(engine: Engine, subscription: Json, made: list[Json]) -> Json | None:
    """The resumption invoice, with what is pending; None when there is nothing to invoice."""
    if not made and not lines.pending_items(engine, subscription["customer"], subscription["id"]):
        return None
    invoice = invoicing.draft(
        engine,
        engine.find("customer", subscription["customer"]),
        made,
        reason="subscription_update",
        currency=subscription["currency"],
        subscription=subscription,
        auto_advance=False,
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def remember(subscription: Json) -> Json:
    """What resuming changes."""
    return {name: copy.deepcopy(subscription[name]) for name in ("items", "billing_cycle_anchor")}


def wait(engine: Engine, subscription: Json, before: Json, invoice: Json, behavior: str) -> None:
    """Stay paused, as it was `before`, until the resumption invoice is paid."""
    wanted = remember(subscription)
    subscription.update(before)
    subscription["_resumption"] = {"invoice": invoice["id"], "behavior": behavior, "wanted": wanted}
    anchor = wanted["billing_cycle_anchor"]
    subscription["pending_update"] = {
        "billing_cycle_anchor": anchor if anchor != before["billing_cycle_anchor"] else None,
        "expires_at": engine.now(subscription["test_clock"]) + WAITS_FOR[behavior],
        "subscription_items": None,
        "trial_end": None,
        "trial_from_plan": None,
    }
    invoice["auto_advance"] = behavior == ON_SUCCESS


def _carry_out(engine: Engine, subscription: Json, status: str) -> None:
    with engine.changing(subscription, UPDATED):
        subscription.update(subscription.pop("_resumption")["wanted"], pending_update=None)
        subscription.update(status=status, status_details=None)
    engine.emit("customer.subscription.resumed", subscription)


def after_paid(engine: Engine, subscription: Json, invoice: Json) -> bool:
    """Resume if this is the invoice a resumption waited for; says whether it is."""
    if not _waits_for(subscription, invoice):
        return False
    _carry_out(engine, subscription, "active")
    return True


def after_failed(engine: Engine, subscription: Json, invoice: Json) -> bool:
    """A failed attempt resumes it as past due, or leaves it paused; says whether the invoice is a resumption's."""
    if not _waits_for(subscription, invoice):
        return False
    if subscription["_resumption"]["behavior"] == ON_ATTEMPT:
        _carry_out(engine, subscription, "past_due")
    return True


def _waits_for(subscription: Json, invoice: Json) -> bool:
    waiting = subscription.get("_resumption")
    return waiting is not None and waiting["invoice"] == invoice["id"]


def expire(engine: Engine, subscription: Json) -> bool:
    """A resumption nobody paid for: its invoice is voided and the pause goes on; says whether there was one."""
    waiting = subscription.get("_resumption")
    if waiting is None:
        return False
    invoice = engine.find("invoice", waiting["invoice"])
    if invoice["status"] == "open":
        invoicing.void(engine, invoice)
    _forget(engine, subscription)
    return True


def _forget(engine: Engine, subscription: Json) -> None:
    with engine.changing(subscription, UPDATED):
        subscription.pop("_resumption", None)
        subscription["pending_update"] = None


def _follow_void(engine: Engine, invoice: Json) -> None:
    subscription = engine.store.get(invoicing.subscription_of(invoice) or "", "subscription")
    if subscription is not None and _waits_for(subscription, invoice):
        _forget(engine, subscription)


def _follow_uncollectible(engine: Engine, invoice: Json) -> None:
    subscription = engine.store.get(invoicing.subscription_of(invoice) or "", "subscription")
    if subscription is not None:
        after_paid(engine, subscription, invoice)


follow("invoice.voided", _follow_void)
follow("invoice.marked_uncollectible", _follow_uncollectible)

"""What a subscription does by itself: warn of a trial's end, end it, renew, expire, end when it was told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.billing import invoicing, lines, pausing, pending_updates, standing, upcoming, usage
from stripe_emulator.billing.periods import next_boundary
from stripe_emulator.billing.stubs import is_stub, stub_line
from stripe_emulator.billing.subscribing import TRIAL_WARNING
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

INCOMPLETE_FOR = 23 * 3600


def next_due(engine: Engine, subscription: Json) -> int | None:
    """The next moment something happens to a subscription by itself."""
    moments: list[int] = []
    match subscription["status"]:
        case "incomplete":
            moments.append(subscription["created"] + INCOMPLETE_FOR)
        case "trialing":
            moments.append(subscription["trial_end"])
            if not subscription["_warned"]:
                moments.append(max(subscription["created"], subscription["trial_end"] - TRIAL_WARNING))
        case "active" | "past_due" | "unpaid":
            moments += [item["current_period_end"] for item in subscription["items"]]
        case "paused":
            pass
        case _:
            return None
    if subscription["cancel_at"] is not None and subscription["status"] != "incomplete":
        moments.append(subscription["cancel_at"])
    pause = subscription["pause_collection"]
    if pause is not None and pause["resumes_at"] is not None:
        moments.append(pause["resumes_at"])
    expiry = pending_updates.expires_at(subscription)
    if expiry is not None:
        moments.append(expiry)
    notice = upcoming.next_due(engine, subscription)
    if notice is not None and subscription["status"] != "paused":
        moments.append(notice)
    return min(moments, default=None)


def when_due(engine: Engine, subscription: Json) -> None:
    """Do the one thing that is due; a scheduled end wins over a renewal."""
    now = engine.now(subscription["test_clock"])
    pause = subscription["pause_collection"]
    notice = upcoming.next_due(engine, subscription)
    if notice is not None and notice <= now and subscription["status"] != "paused":
        upcoming.tell(engine, subscription)
    elif subscription["status"] == "incomplete":
        _expire(engine, subscription)
    elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        _end(engine, subscription, now)
    elif subscription["pending_update"] is not None and subscription["pending_update"]["expires_at"] <= now:
        if not pausing.expire(engine, subscription):
            pending_updates.expire(engine, subscription)
    elif pause is not None and pause["resumes_at"] is not None and pause["resumes_at"] <= now:
        with engine.changing(subscription, "customer.subscription.updated"):
            subscription["pause_collection"] = None
    elif subscription["status"] == "trialing":
        if subscription["trial_end"] <= now:
            end_trial(engine, subscription)
        else:
            subscription["_warned"] = True
            engine.emit("customer.subscription.trial_will_end", subscription)
    else:
        renew(engine, subscription)


def renew(engine: Engine, subscription: Json) -> Json:
    """Begin the next period of every item whose period is over, and draft its invoice."""
    now = engine.now(subscription["test_clock"])
    customer = engine.find("customer", subscription["customer"])
    with engine.changing(subscription, "customer.subscription.updated"):
        old_period = _period(subscription)
        made = _roll(engine, subscription, now)
        invoice = invoicing.draft(
            engine,
            customer,
            made,
            reason="subscription_cycle",
            currency=subscription["currency"],
            subscription=subscription,
            period=old_period,
            auto_advance=subscription["status"] != "unpaid",
        )
        subscription["latest_invoice"] = invoice["id"]
    return invoice


def _end(engine: Engine, subscription: Json, now: int) -> None:
    """The scheduled end has come; what was used until then is invoiced."""
    used = [line for line in usage.usage_lines(engine, subscription, now) if line["amount"]]
    standing.cancel(engine, subscription, reason="cancellation_requested")
    if used:
        invoice = invoicing.draft(
            engine,
            engine.find("customer", subscription["customer"]),
            used,
            reason="subscription_cycle",
            currency=subscription["currency"],
            subscription=subscription,
            period=_period(subscription),
        )
        subscription["latest_invoice"] = invoice["id"]


def end_trial(engine: Engine, subscription: Json, *, immediately: bool = False) -> Json | None:
    """
    A trial that ran out: the first paid period begins, unless there is no card and the settings say otherwise.

    `pause` and `cancel` make no invoice. `immediately`: ended through the API, so that the reason of the invoice is
    `subscription_update`, and whoever ends it finalises it there and then, and tells of the change afterwards.
    """
    has_method = subscription["collection_method"] == "send_invoice" or _has_method(engine, subscription)
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if not has_method and behavior == "cancel":
        standing.cancel(engine, subscription, reason=None)
        return None
    if not has_method and behavior == "pause":
        with engine.changing(subscription, "customer.subscription.updated"):
            now = engine.now(subscription["test_clock"])
            pausing.set_paused(subscription, "trial_end_without_payment_method", now)
        engine.emit("customer.subscription.paused", subscription)
        return None
    if immediately:
        return begin_paid_period(engine, subscription, reason="subscription_update")
    with engine.changing(subscription, "customer.subscription.updated"):
        return begin_paid_period(engine, subscription, reason="subscription_cycle")


def begin_paid_period(engine: Engine, subscription: Json, *, reason: str) -> Json:
    """The period after a trial, and the draft of its invoice."""
    old_period = _period(subscription)
    subscription["status"] = "active"
    if not subscription.pop("_keeps_anchor", False):
        subscription["billing_cycle_anchor"] = subscription["trial_end"]
    made = _roll(engine, subscription, engine.now(subscription["test_clock"]))
    invoice = invoicing.draft(
        engine,
        engine.find("customer", subscription["customer"]),
        made,
        reason=reason,
        currency=subscription["currency"],
        subscription=subscription,
        period=old_period,
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def _roll(engine: Engine, subscription: Json, now: int) -> list[Json]:
    made = []
    for item in subscription["items"]:
        start = item["current_period_end"]
        if start > now:
            continue
        recurring = engine.find("price", item["price"])["recurring"]
        anchor = subscription["billing_cycle_anchor"]
        end = next_boundary(anchor, recurring["interval"], recurring["interval_count"], start)
        begun = item["current_period_start"]
        item.update(current_period_start=start, current_period_end=end)
        if usage.is_metered(engine.find("price", item["price"])):
            item["_paid"] = [0, start, end]
            if start != subscription["trial_end"]:  # what is used in a trial is free
                made.append(usage.usage_line(engine, subscription, item, start=begun, end=start))
            continue
        if is_stub(engine, subscription, item):
            line = stub_line(engine, subscription, item)
        else:
            line = lines.period_line(engine, subscription, item, start=start, end=end)
        item["_paid"] = [line["amount"], start, end]
        made.append(line)
    return made


def _period(subscription: Json) -> tuple[int, int]:
    first = min(subscription["items"], key=lambda item: item["current_period_end"])
    return first["current_period_start"], first["current_period_end"]


def _has_method(engine: Engine, subscription: Json) -> bool:
    customer = engine.find("customer", subscription["customer"])
    return bool(subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"])


def _expire(engine: Engine, subscription: Json) -> None:
    now = engine.now(subscription["test_clock"])
    invoice = engine.store.get(subscription["latest_invoice"] or "", "invoice")
    with engine.changing(subscription, "customer.subscription.updated"):
        subscription.update(status="incomplete_expired", ended_at=now)
    if invoice is not None and invoice["status"] == "open":
        invoicing.void(engine, invoice)


agenda.register("subscription", next_due=next_due, when_due=when_due)

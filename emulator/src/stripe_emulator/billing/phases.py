"""
What a phase of a schedule makes of its subscription.

At the end of a billing period nothing is prorated: the renewal bills the new phase's prices. In the middle of one, the
phase's `proration_behavior` decides. See https://docs.stripe.com/billing/subscriptions/subscription-schedules
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, discounts, invoicing, pending_updates, renewal, trials
from stripe_emulator.billing.changing_plans import Change, prorate_changes
from stripe_emulator.billing.phase_items import change_items, interval_of
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

RENEWING = ("active", "past_due", "unpaid")
INHERITED = ("collection_method", "default_payment_method", "description")
"""What a phase may set and the schedule's `default_settings` say otherwise."""


def apply(
    engine: Engine, subscription: Json, schedule: Json, phase: Json, *, behavior: str, entering: bool = True
) -> None:
    """
    Make a subscription what a phase says, prorated as `behavior` says, and bill what begins now.

    `entering`: the phase begins now. Otherwise it is the current one, changed.
    """
    now = engine.now(subscription["test_clock"])
    with engine.changing(subscription, "customer.subscription.updated"):
        if subscription["pending_update"] is not None:
            pending_updates.expire(engine, subscription)
        inherit(subscription, schedule, phase)
        apply_discounts(engine, subscription, phase)
        on_trial = _set_trial(engine, subscription, phase, behavior, now)
        old = copy.deepcopy(subscription["items"])
        changes = change_items(engine, subscription, phase, now)
        if _resets_anchor(engine, subscription, schedule, phase, old, entering=entering):
            changes = _reset(subscription, old, now)
        if on_trial:
            trials.invoice(engine, subscription)
        _bill(engine, subscription, changes, behavior, now)


def inherit(subscription: Json, schedule: Json, phase: Json) -> None:
    """Metadata is merged; what neither phase nor schedule sets stays as it is."""
    for name in INHERITED:
        value = phase[name] if phase[name] is not None else schedule["default_settings"][name]
        if value is not None:
            subscription[name] = value
    both = {**subscription["metadata"], **phase["metadata"]}
    subscription["metadata"] = {key: value for key, value in both.items() if value != ""}


def apply_discounts(engine: Engine, subscription: Json, phase: Json) -> None:
    """A phase's discounts are all there are; one that holds on is not redeemed again, one that ran out is left out."""
    customer = engine.find("customer", subscription["customer"])
    wanted: list[discounts.Wish] = []
    for named in phase["discounts"]:
        held = _held(engine, subscription, named)
        sent = Params({"discount": held} if held else {name: id for name, id in named.items() if id is not None})
        try:
            wanted += discounts.wishes(engine, [sent], customer=customer, currency=subscription["currency"])
        except ApiError:
            continue
    if wanted or subscription["discounts"]:
        discounts.replace(engine, subscription, wanted)


def _held(engine: Engine, subscription: Json, named: Json) -> str | None:
    for id in subscription["discounts"]:
        discount = engine.find("discount", id)
        same_code = named["promotion_code"] is not None and discount["promotion_code"] == named["promotion_code"]
        if same_code or (named["coupon"] is not None and discount["source"]["coupon"] == named["coupon"]):
            return str(id)
    return None


def _set_trial(engine: Engine, subscription: Json, phase: Json, behavior: str, now: int) -> bool:
    """Begin, move or end a trial as the phase says; says whether one begins for what was paid until now."""
    end = phase["trial_end"]
    if end is not None and end > now:
        if subscription["status"] != "trialing" or subscription["trial_end"] != end:
            return trials.extend(engine, subscription, end, behavior)
    elif subscription["status"] == "trialing":
        subscription["trial_end"] = now
        for item in subscription["items"]:
            item["current_period_end"] = now
    return False


def _resets_anchor(
    engine: Engine, subscription: Json, schedule: Json, phase: Json, old: list[Json], *, entering: bool
) -> bool:
    """`phase_start` resets it; another interval does so by itself in classic billing mode only."""
    if subscription["status"] not in RENEWING:
        return False
    wanted = phase["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]
    if entering and wanted == "phase_start":
        return True
    before = {interval_of(engine, item) for item in old}
    after = {interval_of(engine, item) for item in subscription["items"]}
    return bool(subscription["billing_mode"]["type"] == "classic" and not before & after)


def _reset(subscription: Json, old: list[Json], now: int) -> list[Change]:
    """A new cycle from now for every item; what was paid of the old ones is to be credited."""
    subscription["billing_cycle_anchor"] = now
    for item in subscription["items"]:
        item["current_period_end"] = now
    return [Change(item, None) for item in old]


def _bill(engine: Engine, subscription: Json, changes: list[Change], behavior: str, now: int) -> None:
    if subscription["status"] == "trialing":
        if subscription["trial_end"] <= now:
            renewal.end_trial(engine, subscription)
        return
    if subscription["status"] not in RENEWING:
        return
    made = []
    if behavior != "none":
        made = prorate_changes(engine, subscription, [_prorated(change, now) for change in changes], now)
    if any(item["current_period_end"] <= now for item in subscription["items"]):
        renewal.renew(engine, subscription)
    elif made and behavior == "always_invoice":
        _invoice_pending(engine, subscription)


def _prorated(change: Change, now: int) -> Change:
    """A change as far as it falls into a period that goes on; a renewal bills what begins now."""
    if change.new is None or change.new["current_period_end"] > now:
        return change
    return Change(change.old, None) if change.counts else change


def _invoice_pending(engine: Engine, subscription: Json) -> None:
    invoice = invoicing.draft(
        engine,
        engine.find("customer", subscription["customer"]),
        [],
        reason="subscription_update",
        currency=subscription["currency"],
        subscription=subscription,
    )
    subscription["latest_invoice"] = invoice["id"]
    collection.when_due(engine, invoice)

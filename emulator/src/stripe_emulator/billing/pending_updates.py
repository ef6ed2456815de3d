"""
Pending updates: a change that waits for its payment.

With `payment_behavior=pending_if_incomplete` the subscription stays as it is until the change's invoice is paid; after
23 hours, or when the trial or the period ends before, the change is dropped and the invoice voided. See
https://docs.stripe.com/billing/subscriptions/pending-updates-reference
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from stripe_emulator.billing import discounts, invoicing
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

WAITS_FOR = 23 * 3600
FIELDS = (
    "items",
    "billing_cycle_anchor",
    "cancel_at",
    "cancel_at_period_end",
    "canceled_at",
    "cancellation_details",
    "discounts",
    "latest_invoice",
    "metadata",
    "status",
    "trial_end",
    "trial_start",
    "_keeps_anchor",
)


def remember(subscription: Json) -> Json:
    """What a subscription is before a change that may have to wait."""
    return {name: copy.deepcopy(subscription.get(name)) for name in FIELDS}


def postpone(engine: Engine, subscription: Json, before: Json, invoice: Json) -> None:
    """Put the subscription back to what it was and keep the change until its invoice is paid."""
    wanted = remember(subscription)
    subscription.update({name: before[name] for name in FIELDS if name != "latest_invoice"})
    discounts.put_off(engine, before["discounts"], wanted["discounts"])
    subscription["_wanted"] = wanted
    subscription["_awaits"] = invoice["id"]
    expires = engine.now(subscription["test_clock"]) + WAITS_FOR
    subscription["pending_update"] = {
        "billing_cycle_anchor": _if_changed("billing_cycle_anchor", before, wanted),
        "cancel_at_period_end": _if_changed("cancel_at_period_end", before, wanted),
        "discounts": _if_changed("discounts", before, wanted),
        "expires_at": min(expires, *(int(item["current_period_end"]) for item in subscription["items"])),
        "metadata": _if_changed("metadata", before, wanted),
        "subscription_items": wanted["items"],
        "trial_end": _if_changed("trial_end", before, wanted),
        "trial_from_plan": None,
    }
    invoice.update(auto_advance=False, next_payment_attempt=None)


def apply(engine: Engine, subscription: Json, invoice: Json) -> bool:
    """Carry out the change that waited for this invoice; says whether there was one."""
    if subscription["pending_update"] is None or subscription.get("_awaits") != invoice["id"]:
        return False
    with engine.changing(subscription, "customer.subscription.updated"):
        discounts.put_off(engine, subscription["discounts"], subscription["_wanted"]["discounts"], by=False)
        subscription.update(subscription["_wanted"])
        _forget(subscription)
    engine.emit("customer.subscription.pending_update_applied", subscription)
    return True


def expire(engine: Engine, subscription: Json) -> None:
    """Drop a change nobody paid for."""
    invoice = engine.store.get(subscription["_awaits"], "invoice")
    with engine.changing(subscription, "customer.subscription.updated"):
        _forget(subscription)
    engine.emit("customer.subscription.pending_update_expired", subscription)
    if invoice is not None and invoice["status"] == "open":
        invoicing.void(engine, invoice)


def discard_voided(engine: Engine, invoice: Json) -> None:
    """Voiding the invoice that a change waits for cancels the change."""
    for subscription in engine.store.of_customer("subscription", invoice["customer"]):
        if subscription["pending_update"] is not None and subscription.get("_awaits") == invoice["id"]:
            expire(engine, engine.find("subscription", subscription["id"]))


def expires_at(subscription: Json) -> int | None:
    """When the waiting change is dropped."""
    pending = subscription["pending_update"]
    return None if pending is None else int(pending["expires_at"])


def _if_changed(field: str, before: Json, wanted: Json) -> Any:
    return wanted[field] if wanted[field] != before[field] else None


def _forget(subscription: Json) -> None:
    subscription["pending_update"] = None
    subscription.pop("_wanted", None)
    subscription.pop("_awaits", None)

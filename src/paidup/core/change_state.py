"""
How a change stands in Stripe's JSON: what a quote was computed from, whether it was carried out, what a schedule does.

Like `parse`, it knows where fields live; nothing here calls anybody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paidup.core.parse import QUOTE_KEY, Json, reference
from paidup.core.timestamps import from_unix

ARCHIVED = {"paidup_archived": "yes"}
"""Metadata on a price that is active for the moment of a call alone."""

_STATE = (
    "billing_cycle_anchor",
    "cancel_at",
    "cancel_at_period_end",
    "collection_method",
    "currency",
    "pause_collection",
    "status",
    "trial_end",
)
_KEPT_IN_PHASES = (
    "application_fee_percent",
    "automatic_tax",
    "collection_method",
    "currency",
    "default_payment_method",
    "description",
    "invoice_settings",
    "on_behalf_of",
    "transfer_data",
)


def fingerprint(subscription: Json) -> str:
    """A hash of everything about a subscription that a quote depends on."""
    facts = {name: subscription.get(name) for name in _STATE}
    facts["items"] = sorted(
        (
            item["id"],
            item["price"]["id"],
            item.get("quantity") or 0,
            item.get("current_period_start") or 0,
            item.get("current_period_end") or 0,
            [reference(each) for each in item.get("discounts") or []],
        )
        for item in subscription["items"]["data"]
    )
    facts["discounts"] = [reference(each) for each in subscription.get("discounts") or []]
    facts["tax"] = (
        bool((subscription.get("automatic_tax") or {}).get("enabled")),
        [reference(each) for each in subscription.get("default_tax_rates") or []],
    )
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def is_done(subscription: Json, quote_id: str) -> bool:
    """Has it become what a quote says?"""
    return bool((subscription.get("metadata") or {}).get(QUOTE_KEY) == quote_id)


def is_waiting(subscription: Json, quote_id: str | None = None) -> bool:
    """Does a change wait for its payment: that of a quote, or whichever?"""
    pending = subscription.get("pending_update")
    if pending is None or quote_id is None:
        return pending is not None
    return bool((pending.get("metadata") or {}).get(QUOTE_KEY) == quote_id)


def dropped_at(subscription: Json) -> datetime | None:
    """When Stripe drops the change that waits for its payment; None without one."""
    return from_unix((subscription.get("pending_update") or {}).get("expires_at"))


def proration_date(preview: Json) -> int | None:
    """The moment to which a preview was computed, on Stripe's clock; None if nothing is prorated."""
    moments = [line["period"]["start"] for line in preview["lines"]["data"] if _is_proration(line)]
    return max(moments, default=None)


def credit(preview: Json) -> int:
    """How much a preview gives back of what was paid already."""
    return sum(max(0, -int(line["amount"])) for line in preview["lines"]["data"] if _is_proration(line))


def period_end(preview: Json) -> int | None:
    """When the first of the periods is over that a preview charges as a whole; None without one."""
    lines = [line for line in preview["lines"]["data"] if not _is_proration(line)]
    whole = [line for line in lines if (line.get("parent") or {}).get("subscription_item_details")]
    return min((line["period"]["end"] for line in whole), default=None)


def has_payment_method(subscription: Json, customer: Json) -> bool:
    """Is there anything that an invoice of a subscription would be charged to?"""
    default = (customer.get("invoice_settings") or {}).get("default_payment_method")
    own = subscription.get("default_payment_method") or subscription.get("default_source")
    return bool(own or default or customer.get("default_source"))


def _is_proration(line: Json) -> bool:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(details.get("proration"))


def payment_of(invoice: Json) -> Json:
    """The payment intent behind an invoice, with the payments expanded; empty if there is none."""
    payments = (invoice.get("payments") or {}).get("data") or []
    # Their order means nothing; the default one is what Stripe tries to collect.
    for payment in sorted(payments, key=lambda each: not each.get("is_default")):
        intent = (payment.get("payment") or {}).get("payment_intent")
        if isinstance(intent, Mapping):
            return intent
    return {}


def changed_items(items: list[Json], changes: list[Json]) -> list[dict[str, Any]]:
    """The items of a subscription after changes to them; without their ids, as a phase wants them."""
    changed = {each["id"]: each for each in changes if "id" in each}
    new = [dict(each) for each in changes if "id" not in each]
    stay = [item for item in items if not changed.get(item["id"], {}).get("deleted")]
    return [_phase_item(item) | _without_id(changed.get(item["id"], {})) for item in stay] + new


def archived_prices(subscription: Json) -> list[str]:
    """The prices of a subscription that are not sold any more, those that are active for a call included."""
    prices = [item["price"] for item in subscription["items"]["data"]]
    return [
        each["id"]
        for each in prices
        if each.get("active") is False or ARCHIVED.items() <= dict(each.get("metadata") or {}).items()
    ]


def _without_id(change: Json) -> dict[str, Any]:
    return {name: value for name, value in change.items() if name != "id"}


def _phase_item(item: Json) -> dict[str, Any]:
    metered = ((item["price"].get("recurring") or {}) if isinstance(item["price"], Mapping) else {}).get("usage_type")
    kept: dict[str, Any] = {"price": reference(item["price"])}
    if metered != "metered":
        kept["quantity"] = item.get("quantity") or 0
    if item.get("metadata"):
        kept["metadata"] = dict(item["metadata"])
    if item.get("discounts"):
        kept["discounts"] = [{"discount": reference(each)} for each in item["discounts"]]
    if item.get("tax_rates"):
        kept["tax_rates"] = [reference(each) for each in item["tax_rates"]]
    return kept


def phases(
    schedule: Json,
    subscription: Json,
    changes: list[Json],
    *,
    at: int,
    new_cycle: bool,
    metadata: Mapping[str, str],
    discounts: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """
    What a schedule has to say for items to change at a moment: the present until then, the changes for a day.

    A day, because a schedule that is over lets the subscription go on as it is then. Another interval begins a new
    cycle there: in the old one, a period that begins in its middle would not be charged as a whole. `discounts` are
    those from the change on, None for the present ones.
    """
    current = schedule["phases"][-1]
    shared = {name: _param(current[name]) for name in _KEPT_IN_PHASES if current.get(name) not in (None, [], {})}
    if current.get("default_tax_rates"):
        shared["default_tax_rates"] = [reference(each) for each in current["default_tax_rates"]]
    held = [{"discount": reference(each)} for each in subscription.get("discounts") or []]
    if held:
        shared["discounts"] = held
    items = subscription["items"]["data"]
    now: dict[str, Any] = {
        **shared,
        "items": [_phase_item(item) for item in items],
        "start_date": current["start_date"],
        "end_date": at,
        "proration_behavior": "none",
    }
    if current.get("metadata"):
        now["metadata"] = dict(current["metadata"])
    then = {
        **shared,
        "items": changed_items(items, changes),
        "duration": {"interval": "day", "interval_count": 1},
        "proration_behavior": "none",
        "metadata": {**(current.get("metadata") or {}), **metadata},
    }
    if discounts is not None:
        then["discounts"] = discounts
    if new_cycle:
        then["billing_cycle_anchor"] = "phase_start"
        if any((item.get("current_period_end") or at) != at for item in items):
            then["proration_behavior"] = "create_prorations"  # what is in the middle of its period gets the rest back
    return [now, then]


def _param(value: Any) -> Any:
    """A field of a phase as the API takes it: ids for objects, and nothing for what is not set."""
    if not isinstance(value, Mapping):
        return value
    if "id" in value and "object" in value:
        return value["id"]
    # What Stripe says of its own accord is no parameter.
    return {name: _param(each) for name, each in value.items() if each is not None and name != "disabled_reason"}


def changes_nothing(schedule: Json) -> bool:
    """Is nothing to come of a schedule? It has no later phase, and lets its subscription go on at its end."""
    current = schedule.get("current_phase")
    later = current is None or any(phase["start_date"] >= current["end_date"] for phase in schedule["phases"])
    return schedule["status"] == "active" and not later and schedule.get("end_behavior") == "release"


def quote_of(schedule: Json) -> str | None:
    """The quote whose change a schedule is about; None when it isn't ours."""
    found: str | None = (schedule.get("metadata") or {}).get(QUOTE_KEY)
    return found


def card_of(schedule: Json) -> str | None:
    """The card that a schedule has its subscription charged to where a phase names none."""
    return reference((schedule.get("default_settings") or {}).get("default_payment_method"))


def is_over(schedule: Json) -> bool:
    """Does it manage nothing any more?"""
    return schedule["status"] not in ("active", "not_started")

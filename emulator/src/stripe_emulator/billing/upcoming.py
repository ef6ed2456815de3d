"""
The invoice a subscription will have next, and telling of it some days before.

See https://docs.stripe.com/billing/subscriptions/webhooks: `invoice.upcoming` comes as many days before the renewal as
the account's settings say; https://docs.stripe.com/api/events/types: only when the invoice will be charged
automatically, and it has no id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import invoicing, lines, usage
from stripe_emulator.billing.periods import next_boundary
from stripe_emulator.billing.phase_items import foreseen
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TOLD_WHILE = ("trialing", "active", "past_due")


def preview(engine: Engine, subscription: Json, made: list[Json] | None = None) -> Json:
    """The next invoice as it stands, not kept; `made`: its lines, when they are not those of a renewal."""
    first, end = subscription["items"][0], _ends(subscription)
    if made is None:
        subscription = foreseen(engine, subscription, end)
        made = _next_period(engine, subscription, end)
    return invoicing.draft(
        engine,
        engine.find("customer", subscription["customer"]),
        made,
        reason="upcoming",
        currency=subscription["currency"],
        subscription=subscription,
        period=(first["current_period_start"], first["current_period_end"]),
        keep=False,
        at=first["current_period_end"],
    )


def _next_period(engine: Engine, subscription: Json, first: int) -> list[Json]:
    """The lines of the period that begins at `first`, of the items that renew then."""
    made = []
    for item in subscription["items"]:
        if item["current_period_end"] != first:
            continue
        recurring = engine.find("price", item["price"])["recurring"]
        end = next_boundary(
            subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], first
        )
        if usage.is_metered(engine.find("price", item["price"])):
            begun = item["current_period_start"]
            made.append(usage.usage_line(engine, subscription, item, start=begun, end=first))
        else:
            made.append(lines.period_line(engine, subscription, item, start=first, end=end))
    return made


def next_due(engine: Engine, subscription: Json) -> int | None:
    """When to tell of the next renewal: once a period, and never in one as short as the notice."""
    days, end = engine.settings.upcoming_days, _ends(subscription)
    if days is None or subscription.get("_told_of") == end:
        return None
    moment = end - days * DAY
    return moment if moment > max(item["current_period_start"] for item in subscription["items"]) else None


def tell(engine: Engine, subscription: Json) -> None:
    """Emit `invoice.upcoming`, unless no invoice will be charged."""
    subscription["_told_of"] = _ends(subscription)
    if not _will_be_charged(subscription):
        return
    invoice = preview(engine, subscription)
    end = _ends(subscription)
    attempt = end + engine.settings.finalize_after
    invoice.update(created=end, automatically_finalizes_at=attempt, next_payment_attempt=attempt)
    engine.emit("invoice.upcoming", invoice)


def forgo(engine: Engine, subscription: Json) -> None:
    """After the current period's end was moved: if it is too late to tell of it, it isn't told of."""
    moment = next_due(engine, subscription)
    if moment is not None and moment <= engine.now(subscription["test_clock"]):
        subscription["_told_of"] = _ends(subscription)


def _ends(subscription: Json) -> int:
    return min(int(item["current_period_end"]) for item in subscription["items"])


def _will_be_charged(subscription: Json) -> bool:
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= _ends(subscription):
        return False
    if subscription["collection_method"] != "charge_automatically" or subscription["pause_collection"] is not None:
        return False
    return subscription["status"] in TOLD_WHILE

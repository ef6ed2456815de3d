"""
Previews: what the next invoice would be, with or without a change.

The change is really made, the invoice drawn up, and all of it undone: a preview can't disagree with the update that
follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import (
    changing_plans,
    collection,
    discounts,
    invoicing,
    lines,
    pausing,
    schedules,
    taxes,
    trials,
    upcoming,
)
from stripe_emulator.billing.standing import ENDED
from stripe_emulator.billing.subscribing import Terms, build, first_lines, starts_free
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.routing import Reply
from stripe_emulator.rendering import show
from stripe_emulator.resources import customers, item_changes, prices, subscription_pauses, subscription_updates
from stripe_emulator.resources.subscriptions import trial_end
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


class Undone(Exception):
    """Carries a preview out of the transaction that is undone."""

    def __init__(self, preview: Json) -> None:
        super().__init__("preview")
        self.preview = preview


def create_preview(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Always ends by raising Undone, which the server answers with."""
    details = params.at("subscription_details")
    subscription_id = params.get("subscription")
    if "schedule" in params:
        params.ignore("customer")
        invoice = _of_schedule(engine, params["schedule"])
    elif subscription_id is not None:
        subscription = engine.find("subscription", subscription_id, param="subscription")
        params.ignore("customer")
        _redeem(engine, subscription, params)
        invoice = _of_change(engine, subscription, details)
    else:
        if "customer" not in params:
            raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
        customer = customers.existing(engine, params["customer"], param="customer")
        invoice = _of_new(engine, customer, details, params)
    unread = [name for name in params.unread() if name != "expand"]
    if unread:
        raise invalid(f"stripe_emulator does not have {unread[0]} in previews", param=unread[0])
    raise Undone(show(engine, invoice))


def _redeem(engine: Engine, subscription: Json, params: Params) -> None:
    if "discounts" not in params:
        return
    customer = engine.find("customer", subscription["customer"])
    sent = params.list_of("discounts")
    wishes = discounts.wishes(engine, sent, customer=customer, currency=subscription["currency"])
    discounts.replace(engine, subscription, wishes)


def _of_new(engine: Engine, customer: Json, details: Params, params: Params) -> Json:
    items: list[tuple[Json, int, Json]] = [
        (
            prices.usable(engine, item["price"], param=item.name_of("price"), recurring=True),
            item.get("quantity", 1),
            {},
        )
        for item in details.list_of("items")
    ]
    if not items:
        raise invalid("Nothing to invoice for customer", code="invoice_upcoming_none", status=404)
    now = engine.now(customer["test_clock"])
    terms = Terms(
        currency=params.get("currency"),
        trial_end=trial_end(details, now),
        billing_cycle_anchor=_new_anchor(details),
        proration_behavior=details.get("proration_behavior", "create_prorations"),
        item_tax_rates={
            position: taxes.read(engine, item, "tax_rates") for position, item in enumerate(details.list_of("items"))
        },
    )
    subscription = build(engine, customer, items, terms)
    if starts_free(engine, subscription, terms):
        raise _nothing()
    _redeem(engine, subscription, params)
    made = first_lines(engine, subscription, terms)
    invoice = invoicing.draft(
        engine,
        customer,
        made,
        reason="upcoming",
        currency=subscription["currency"],
        subscription=subscription,
        auto_advance=False,
        keep=False,
    )
    invoice["parent"] = None
    return invoice


def _new_anchor(details: Params) -> int | None:
    anchor = details.at("billing_cycle_anchor")
    if not anchor:
        return None
    if anchor["type"] != "timestamp" or "timestamp" not in anchor:
        raise invalid("The billing_cycle_anchor of a new subscription is a timestamp.", param=anchor.name_of("type"))
    return int(anchor["timestamp"])


def _of_schedule(engine: Engine, id: str) -> Json:
    schedule = engine.find(schedules.KIND, id, param="schedule")
    if schedule["status"] == "not_started":
        schedules.start(engine, schedule)
        first = engine.find("subscription", schedule["subscription"])["latest_invoice"]
        return _as_preview(engine.find("invoice", first))
    if schedule["status"] != "active":
        raise _nothing()
    return _of_change(engine, engine.find("subscription", schedule["subscription"]), Params())


def _of_change(engine: Engine, subscription: Json, details: Params) -> Json:
    if "pause" in details:
        return _of_pause(engine, subscription, details.at("pause"))
    if "resume_at" in details:
        return _of_resumption(engine, subscription, details)
    behavior = details.get("proration_behavior", "create_prorations")
    if details.get("cancel_now", False):
        if behavior != "none" and subscription["status"] not in ENDED:
            changing_plans.credit_unused_time(engine, subscription)
        return _of_pending(engine, subscription)
    if details:
        before = subscription["latest_invoice"]
        with engine.changing(subscription, None):
            subscription_updates.schedule_end(engine, subscription, details)
            subscription_updates.move_trial(engine, subscription, details)
            invoice = item_changes.change_items(engine, subscription, details)
            if subscription_updates.ends_trial(subscription, details):
                invoice = trials.end_now(engine, subscription, is_preview=True)
                assert invoice is not None
                collection.open_invoice(engine, invoice)
                return _as_preview(invoice)
        if invoice is not None and invoice["id"] != before and behavior == "always_invoice":
            return _as_preview(invoice)
    if subscription["cancel_at"] is not None or subscription["status"] in ENDED:
        return _of_pending(engine, subscription)
    return upcoming.preview(engine, subscription)


def _of_pause(engine: Engine, subscription: Json, params: Params) -> Json:
    """See https://docs.stripe.com/billing/subscriptions/pause#preview-the-invoice-before-pausing"""
    params.ignore("type")
    subscription_pauses.check_pausable(subscription)
    unused = subscription_pauses.unused_from(params)
    if params.get("invoicing_behavior") != "invoice":
        raise _nothing()
    pausing.pause(engine, subscription, unused_from=unused)
    return _of_pending(engine, subscription)


def _of_resumption(engine: Engine, subscription: Json, details: Params) -> Json:
    """See https://docs.stripe.com/billing/subscriptions/pause#preview-the-invoice-before-resuming"""
    details.ignore("resume_at")
    subscription_pauses.check_resumable(engine, subscription, pausing.ON_ATTEMPT)
    behavior = details.get("proration_behavior", "create_prorations")
    at = details.get("proration_date") or engine.now(subscription["test_clock"])
    if details.at("billing_cycle_anchor").get("type", "now") == "now":
        return upcoming.preview(engine, subscription, pausing.begin_anew(engine, subscription))
    pausing.go_on(engine, subscription, behavior=behavior, at=at)
    if behavior != "always_invoice":
        raise _nothing()
    return _of_pending(engine, subscription)


def _of_pending(engine: Engine, subscription: Json) -> Json:
    if not lines.pending_items(engine, subscription["customer"], subscription["id"]):
        raise _nothing()
    return upcoming.preview(engine, subscription, [])


def _nothing() -> ApiError:
    return invalid("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)


def _as_preview(invoice: Json) -> Json:
    invoice.update(status="draft", number=None, billing_reason="upcoming", ending_balance=None)
    return invoice

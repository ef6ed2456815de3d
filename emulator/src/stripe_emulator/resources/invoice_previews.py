"""
Previews: what the next invoice would be, with or without a change.

The change is really made, the invoice drawn up, and all of it undone: a preview can't disagree with the update that
follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import discounts, invoicing, lines, schedules, upcoming
from stripe_emulator.billing.subscribing import Terms, build, first_lines
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply
from stripe_emulator.rendering import show
from stripe_emulator.resources import customers, prices, subscription_updates
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
    terms = Terms()
    subscription = build(engine, customer, items, terms)
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


def _of_schedule(engine: Engine, id: str) -> Json:
    schedule = engine.find(schedules.KIND, id, param="schedule")
    if schedule["status"] == "not_started":
        schedules.start(engine, schedule)
        first = engine.find("subscription", schedule["subscription"])["latest_invoice"]
        return _as_preview(engine.find("invoice", first))
    if schedule["status"] != "active":
        raise invalid("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
    return _of_change(engine, engine.find("subscription", schedule["subscription"]), Params())


def _of_change(engine: Engine, subscription: Json, details: Params) -> Json:
    behavior = details.get("proration_behavior", "create_prorations")
    customer = engine.find("customer", subscription["customer"])
    if details:
        before = subscription["latest_invoice"]
        with engine.changing(subscription, None):
            subscription_updates.schedule_end(engine, subscription, details)
            invoice = subscription_updates.change_items(engine, subscription, details)
        if invoice is not None and invoice["id"] != before and behavior == "always_invoice":
            return _as_preview(invoice)
    if subscription["cancel_at"] is not None or subscription["status"] in ("canceled", "incomplete_expired"):
        pending = lines.pending_items(engine, customer["id"], subscription["id"])
        if not pending:
            raise invalid("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
        return upcoming.preview(engine, subscription, [])
    return upcoming.preview(engine, subscription)


def _as_preview(invoice: Json) -> Json:
    invoice.update(status="draft", number=None, billing_reason="upcoming", ending_balance=None)
    return invoice

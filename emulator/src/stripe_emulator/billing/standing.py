"""
A subscription's standing: how paid and unpaid invoices move its status.

The status follows the most recent invoice that was not voided. See
https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import invoicing, pausing, pending_updates
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ENDED = ("canceled", "incomplete_expired")


def after_paid(engine: Engine, invoice: Json) -> None:
    """A paid invoice makes its subscription active again, if it is the latest one."""
    subscription = subscription_for(engine, invoice)
    if subscription is not None and (
        pausing.after_paid(engine, subscription, invoice) or pending_updates.apply(engine, subscription, invoice)
    ):
        pass
    elif subscription is not None and subscription["latest_invoice"] == invoice["id"]:
        match subscription["status"]:
            case "incomplete" | "past_due" | "unpaid":
                with engine.changing(subscription, "customer.subscription.updated"):
                    trial_end = subscription["trial_end"]
                    in_trial = trial_end is not None and trial_end > engine.now(subscription["test_clock"])
                    subscription["status"] = "trialing" if in_trial else "active"
                    _adopt_method(engine, subscription, invoice)
            case _:
                pass
    _set_delinquent(engine, invoice["customer"])


def after_action_required(engine: Engine, invoice: Json) -> None:
    """A payment that waits for its payer leaves an update's subscription past due."""
    after_failed(engine, invoice, delinquent=False)


def after_processing(engine: Engine, invoice: Json) -> None:
    """A first payment that only awaits its bank makes the subscription active at once."""
    subscription = subscription_for(engine, invoice)
    if subscription is None or subscription["latest_invoice"] != invoice["id"]:
        return
    if subscription["status"] == "incomplete":
        with engine.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
            _adopt_method(engine, subscription, invoice)


def after_awaiting(engine: Engine, invoice: Json) -> None:
    """A change whose payment nobody has confirmed yet leaves its subscription past due."""
    subscription = subscription_for(engine, invoice)
    if subscription is not None and subscription["status"] in ("active", "trialing"):
        with engine.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"


def after_failed(engine: Engine, invoice: Json, *, delinquent: bool = True) -> None:
    """A failed renewal or update is past due; a failed first invoice leaves the subscription incomplete."""
    subscription = subscription_for(engine, invoice)
    if subscription is None or subscription["latest_invoice"] != invoice["id"] or invoice.get("_may_wait"):
        return
    if invoice["collection_method"] == "send_invoice":
        return
    if pausing.after_failed(engine, subscription, invoice):
        pass
    elif subscription["status"] in ("active", "trialing") and not invoicing.is_first(invoice):
        with engine.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
    if delinquent and not invoicing.is_first(invoice):
        _set_delinquent(engine, invoice["customer"])


def after_overdue(engine: Engine, invoice: Json) -> None:
    """An invoice that was sent and not paid by its due date, also a first one: its subscription is past due."""
    subscription = subscription_for(engine, invoice)
    invoice["_overdue"] = True
    if subscription is not None and subscription["status"] == "active" and _is_latest(engine, invoice):
        with engine.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
    _set_delinquent(engine, invoice["customer"])


def after_last_try(engine: Engine, invoice: Json) -> None:
    """What the account's settings make of a subscription whose invoice could not be collected."""
    subscription = subscription_for(engine, invoice)
    if subscription is None or subscription["status"] in (*ENDED, "paused"):
        return
    match engine.settings.dunning_end:
        case "cancel":
            cancel(engine, subscription, reason="payment_failed")
        case "unpaid":
            with engine.changing(subscription, "customer.subscription.updated"):
                subscription["status"] = "unpaid"
        case "past_due":
            pass


def cancel(
    engine: Engine,
    subscription: Json,
    *,
    reason: str | None,
    feedback: str | None = None,
    comment: str | None = None,
) -> None:
    """End it now. Unpaid invoices stay as they are and are not tried again."""
    now = engine.now(subscription["test_clock"])
    details = subscription["cancellation_details"]
    subscription.update(
        status="canceled",
        ended_at=now,
        canceled_at=subscription["canceled_at"] or now,
        cancel_at_period_end=False,
        cancellation_details={
            "comment": comment if comment is not None else details["comment"],
            "feedback": feedback if feedback is not None else details["feedback"],
            "reason": details["reason"] or reason,
        },
        pending_update=None,
    )
    if subscription["cancel_at"] is not None and subscription["cancel_at"] > now:
        subscription["cancel_at"] = None
    invoicing.stop_collecting(engine, subscription)
    engine.emit("customer.subscription.deleted", subscription)


def subscription_for(engine: Engine, invoice: Json) -> Json | None:
    """The subscription an invoice is for, as stored."""
    id = invoicing.subscription_of(invoice)
    return engine.store.get(id, "subscription") if id else None


def collection_pause(engine: Engine, invoice: Json) -> str | None:
    """What a paused collection does with this invoice, or None when it is collected."""
    subscription = subscription_for(engine, invoice)
    if subscription is None or subscription["pause_collection"] is None:
        return None
    return str(subscription["pause_collection"]["behavior"])


def _adopt_method(engine: Engine, subscription: Json, invoice: Json) -> None:
    """`save_default_payment_method=on_subscription`: the method that paid becomes the subscription's."""
    settings = subscription["payment_settings"] or {}
    if settings.get("save_default_payment_method") != "on_subscription":
        return
    intent = invoicing.intent_of(engine, invoice)
    if intent is not None and subscription["default_payment_method"] is None:
        subscription["default_payment_method"] = intent["payment_method"]


def _set_delinquent(engine: Engine, customer_id: str) -> None:
    owed = any(
        invoice["status"] == "open" and (invoice.get("_overdue") or _has_failed(invoice))
        for invoice in engine.store.of_customer("invoice", customer_id)
        if _is_latest(engine, invoice)
    )
    customer = engine.find("customer", customer_id)
    if customer["delinquent"] != owed:
        with engine.changing(customer, "customer.updated"):
            customer["delinquent"] = owed


def _has_failed(invoice: Json) -> bool:
    """Was it charged for in vain? One that was sent is not due yet; after a first one nothing is owed."""
    charged = invoice["attempted"] and invoice["collection_method"] == "charge_automatically"
    charged = charged and not invoice.get("_processing")
    return bool(charged and not invoicing.is_first(invoice))


def _is_latest(engine: Engine, invoice: Json) -> bool:
    subscription = subscription_for(engine, invoice)
    return subscription is None or subscription["latest_invoice"] == invoice["id"]

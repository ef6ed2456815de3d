"""Pausing a subscription on demand and resuming a paused one, through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, pausing, pending_updates
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import item_changes
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

NOT_PAUSABLE = ("paused", "incomplete", "incomplete_expired", "canceled", "trialing")


def pause(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Stop service and invoices. Unused time is credited, by default as pending invoice items.

    There is no metered usage to bill, so that `outstanding_usage_through` is the same in all its values.
    """
    subscription = engine.find("subscription", ids[0])
    params.ignore("type", "expand")
    check_pausable(subscription)
    unused = unused_from(params)
    if subscription["pending_update"] is not None:
        pending_updates.expire(engine, subscription)
    with engine.changing(subscription, pausing.UPDATED):
        pausing.pause(engine, subscription, unused_from=unused)
        if params.get("invoicing_behavior", "pending_invoice_item") == "invoice":
            invoice = item_changes.invoice_pending(engine, subscription)
            if invoice is not None and invoice["status"] == "open":
                _charge(engine, invoice)
    engine.emit("customer.subscription.paused", subscription)
    return subscription


def unused_from(params: Params) -> str:
    """`bill_for.unused_time_from`"""
    bill_for = params.at("bill_for")
    bill_for.ignore("outstanding_usage_through")
    return str(bill_for.at("unused_time_from").get("type", "now"))


def check_pausable(subscription: Json) -> None:
    """Refuse what can't be paused, saying why."""
    reason = None
    if subscription["status"] in NOT_PAUSABLE:
        reason = f"its status is {subscription['status']}"
    elif subscription["billing_mode"]["type"] != "flexible":
        reason = "its billing mode is not flexible"
    elif subscription["collection_method"] != "charge_automatically":
        reason = "its collection method is send_invoice"
    elif subscription["schedule"] is not None:
        reason = f"it is managed by the subscription schedule `{subscription['schedule']}`"
    if reason is not None:
        raise invalid(f"This subscription cannot be paused because {reason}.")


def resume(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Bring a paused subscription back, at once when there is nothing to pay.

    Otherwise it stays paused until its resumption invoice is paid: `resume_on_payment_success` tries to now and later,
    `resume_on_payment_attempt` (the default) leaves that to `POST /v1/invoices/{id}/pay`, and is past due if it fails.
    """
    subscription = engine.find("subscription", ids[0])
    params.ignore("expand")
    behavior = params.get("payment_behavior", pausing.ON_ATTEMPT)
    prorations = params.get("proration_behavior", "create_prorations")
    anchor = params.at("billing_cycle_anchor").get("type", "now")
    at = params.get("proration_date") or engine.now(subscription["test_clock"])
    check_resumable(engine, subscription, behavior)
    before = pausing.remember(subscription)
    with engine.changing(subscription, pausing.UPDATED):
        if anchor == "now":
            invoice = pausing.draft(engine, subscription, pausing.begin_anew(engine, subscription))
        else:
            pausing.go_on(engine, subscription, behavior=prorations, at=at)
            invoice = pausing.draft(engine, subscription, []) if prorations == "always_invoice" else None
        if invoice is not None:
            collection.open_invoice(engine, invoice)
        if invoice is None or invoice["status"] == "paid":
            subscription.update(status="active", status_details=None)
        else:
            pausing.wait(engine, subscription, before, invoice, behavior)
    if subscription["status"] == "active":
        engine.emit("customer.subscription.resumed", subscription)
    elif invoice is not None and behavior == pausing.ON_SUCCESS:
        _charge(engine, invoice)
    return subscription


def check_resumable(engine: Engine, subscription: Json, behavior: str) -> None:
    """Refuse what can't be resumed, saying why."""
    if subscription["status"] != "paused":
        raise invalid(
            f"This subscription cannot be resumed because it is not paused. Its status is {subscription['status']}."
        )
    if subscription["collection_method"] != "charge_automatically":
        raise invalid("This subscription cannot be resumed because its collection method is send_invoice.")
    if subscription["pending_update"] is not None:
        raise invalid("This subscription cannot be resumed because a resumption is waiting for its payment.")
    if behavior == pausing.ON_SUCCESS:
        if subscription["billing_mode"]["type"] != "flexible":
            raise invalid("resume_on_payment_success needs flexible billing mode.", param="payment_behavior")
        customer = engine.find("customer", subscription["customer"])
        if not (subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]):
            raise invalid(
                "This customer has no attached payment source or default payment method.", code="resource_missing"
            )


def _charge(engine: Engine, invoice: Json) -> None:
    method = collection.default_method(engine, invoice)
    if method is None:
        collection.fail_without_method(engine, invoice)
    else:
        collection.charge(engine, invoice, method, off_session=True)


ROUTES = [
    Route("POST", "/v1/subscriptions/{id}/pause", pause, "SubscriptionPauseParams"),
    Route("POST", "/v1/subscriptions/{id}/resume", resume, "SubscriptionResumeParams"),
]

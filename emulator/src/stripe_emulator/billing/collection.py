"""
Collecting what an invoice asks for, and what follows for its subscription.

Finalise, charge, and on failure dun: retried on the account's schedule, then cancelled, left unpaid or past due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.billing import debits, invoicing, sending, standing, webhook_wait
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.billing.payments import confirm, create_intent
from stripe_emulator.cards import AUTHENTICATION_REQUIRED
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def default_method(engine: Engine, invoice: Json) -> Json | None:
    """Whom Stripe charges: the invoice's own method, the subscription's, the customer's default; None when none."""
    candidates = [invoice["default_payment_method"]]
    subscription = invoicing.subscription_of(invoice)
    if subscription is not None:
        candidates.append(engine.find("subscription", subscription)["default_payment_method"])
    customer = engine.find("customer", invoice["customer"])
    candidates.append(customer["invoice_settings"]["default_payment_method"])
    for id in candidates:
        method = engine.store.get(id, "payment_method") if id else None
        if method is not None:
            return method
    return None


def open_invoice(engine: Engine, invoice: Json) -> None:
    """Finalise; with nothing due it is paid at once, else a payment intent waits for the money."""
    invoicing.finalize(engine, invoice)
    if invoice["amount_due"] == 0:
        invoicing.mark_paid(engine, invoice, by_payment=False)
    else:
        prepare_payment(engine, invoice)


def prepare_payment(engine: Engine, invoice: Json) -> Json:
    """The payment intent an open invoice is paid with, made when there is none yet."""
    intent = invoicing.intent_of(engine, invoice)
    if intent is None:
        subscription = invoicing.subscription_of(invoice)
        intent = create_intent(
            engine,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            clock=invoice["test_clock"],
            description=_description(invoice),
            setup_future_usage="off_session" if subscription else None,
        )
        invoicing.add_payment(engine, invoice, intent)
    return intent


def await_confirmation(engine: Engine, invoice: Json, method: Json | None) -> None:
    """`default_incomplete`: leave the payment to whoever confirms its intent, with the default method ready."""
    intent = prepare_payment(engine, invoice)
    if method is not None:
        intent.update(payment_method=method["id"], status="requires_confirmation")


def charge(engine: Engine, invoice: Json, method: Json, *, off_session: bool) -> Attempt:
    """
    Charge an open invoice once and record how it went on the invoice and its subscription.

    An attempt that waits for 3D Secure counts as attempted, but not as a try.
    """
    intent = prepare_payment(engine, invoice)
    attempt = confirm(engine, intent, method, off_session=off_session)
    conclude(engine, invoice, attempt, method)
    return attempt


def conclude(engine: Engine, invoice: Json, attempt: Attempt, method: Json | None) -> None:
    """
    Record an attempt's end, also one that a 3D Secure challenge or a bank had held up.

    While a bank has not answered, the invoice stays open and isn't tried again.
    """
    invoice["_processing"] = attempt.status == "processing"
    if attempt.status == "succeeded":
        invoicing.mark_paid(engine, invoice, by_payment=True, tries=1)
        standing.after_paid(engine, invoice)
    elif attempt.status == "requires_action":
        with engine.changing(invoice, "invoice.updated"):
            invoice["attempted"] = True
        engine.emit("invoice.payment_action_required", invoice)
        standing.after_action_required(engine, invoice)
    elif attempt.status == "processing":
        with engine.changing(invoice, "invoice.updated"):
            invoice.update(attempted=True, next_payment_attempt=None)
        standing.after_processing(engine, invoice)
    else:
        _record_failure(engine, invoice, attempt, method)


def fail_without_method(engine: Engine, invoice: Json) -> None:
    """Nothing to charge: that counts as a failed try."""
    _record_failure(engine, invoice, Attempt("failed"), None)


def _record_failure(engine: Engine, invoice: Json, attempt: Attempt, method: Json | None) -> None:
    now = engine.now(invoice["test_clock"])
    invoice["_failed_method"] = method["id"] if method else None
    invoice["_hard"] = method is None or (attempt.decline is not None and attempt.decline.is_hard)
    with engine.changing(invoice, "invoice.updated"):
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        if _is_dunned(invoice):
            invoice.setdefault("_first_failure", now)
            invoice["next_payment_attempt"] = _next_try(engine, invoice, now)
    engine.emit("invoice.payment_failed", invoice)
    if attempt.decline == AUTHENTICATION_REQUIRED:
        engine.emit("invoice.payment_action_required", invoice)
    standing.after_failed(engine, invoice)


def _is_dunned(invoice: Json) -> bool:
    return bool(invoice["auto_advance"]) and not sending.is_sent(invoice) and not invoicing.is_first(invoice)


def _next_try(engine: Engine, invoice: Json, now: int) -> int | None:
    for days in engine.settings.dunning_days[invoice["_retries"] :]:
        moment = int(invoice["_first_failure"]) + days * DAY
        if moment > now:
            return moment
    return None


def next_due(engine: Engine, invoice: Json) -> int | None:
    """When an invoice is finalised, tried again, or due."""
    if sending.is_sent(invoice) and invoice["status"] == "open":
        return sending.next_due(engine, invoice)
    if not invoice["auto_advance"]:
        return None
    if invoice["status"] == "draft":
        moment = webhook_wait.finalizes_at(engine, invoice)
    elif invoice["status"] == "open":
        moment = invoice["next_payment_attempt"]
    else:
        return None
    return None if moment is None else int(moment)


def when_due(engine: Engine, invoice: Json) -> None:
    """Finalise a draft, then charge or send it; try an open invoice again, or mind its due date."""
    if invoice["status"] == "draft":
        _finalize_and_collect(engine, invoice)
    elif sending.is_sent(invoice):
        sending.when_due(engine, invoice)
    else:
        _retry(engine, invoice)


def _finalize_and_collect(engine: Engine, invoice: Json) -> None:
    behavior = standing.collection_pause(engine, invoice)
    if behavior is not None:
        open_paused(engine, invoice, behavior)
        return
    open_invoice(engine, invoice)
    if invoice["status"] == "paid":
        standing.after_paid(engine, invoice)
    elif sending.is_sent(invoice):
        sending.send(engine, invoice)
    else:
        method = default_method(engine, invoice)
        if method is None:
            fail_without_method(engine, invoice)
        else:
            charge(engine, invoice, method, off_session=True)


def open_paused(engine: Engine, invoice: Json, behavior: str) -> None:
    """What a paused collection makes of an invoice: kept as a draft, voided or given up."""
    if behavior == "keep_as_draft":
        with engine.changing(invoice, "invoice.updated"):
            invoice.update(auto_advance=False, automatically_finalizes_at=None)
        return
    invoicing.finalize(engine, invoice)
    if behavior == "void":
        invoicing.void(engine, invoice)
    else:
        invoicing.mark_uncollectible(engine, invoice)


def _retry(engine: Engine, invoice: Json) -> None:
    now = engine.now(invoice["test_clock"])
    invoice["_retries"] += 1
    method = default_method(engine, invoice)
    waits = method is None or (invoice.get("_hard") and method["id"] == invoice.get("_failed_method"))
    if waits:
        with engine.changing(invoice, "invoice.updated"):
            invoice["next_payment_attempt"] = _next_try(engine, invoice, now)
    else:
        assert method is not None
        charge(engine, invoice, method, off_session=True)
    _give_up_after_last(engine, invoice)


def _give_up_after_last(engine: Engine, invoice: Json) -> None:
    if invoice["status"] == "open" and invoice["next_payment_attempt"] is None and not invoice.get("_processing"):
        standing.after_last_try(engine, invoice)


def _settled(engine: Engine, intent: Json, attempt: Attempt, method: Json) -> None:
    """
    A bank has answered for an invoice.

    A first invoice that isn't paid after all is voided, and its subscription stays active. See
    https://docs.stripe.com/billing/subscriptions/overview#delayed-payment-confirmation
    """
    invoice = engine.store.get(intent.get("_invoice") or "", "invoice")
    if invoice is None or invoice["status"] not in ("open", "uncollectible"):
        return
    conclude(engine, invoice, attempt, method)
    if attempt.status == "failed":
        if invoicing.is_first(invoice):
            invoicing.void(engine, invoice)
        elif _is_dunned(invoice):
            _give_up_after_last(engine, invoice)


def _description(invoice: Json) -> str:
    reasons = {
        "subscription_create": "Subscription creation",
        "subscription_cycle": "Subscription update",
        "subscription_update": "Subscription update",
    }
    return reasons.get(invoice["billing_reason"], f"Payment for Invoice {invoice['number']}")


debits.when_settled(_settled)
agenda.register("invoice", next_due=next_due, when_due=when_due)

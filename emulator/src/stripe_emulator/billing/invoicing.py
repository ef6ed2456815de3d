"""Invoices: drafted, finalised, paid, voided. Who pays, and what it means for a subscription, is decided elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import balance, discounts, taxes
from stripe_emulator.billing.lines import line_of, pending_items
from stripe_emulator.billing.payments import cancel_intent
from stripe_emulator.ids import new_id, token
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def draft(
    engine: Engine,
    customer: Json,
    lines: list[Json],
    *,
    reason: str,
    currency: str,
    subscription: Json | None = None,
    period: tuple[int, int] | None = None,
    auto_advance: bool = True,
    take_pending: bool = True,
    metadata: Json | None = None,
    emit: bool = True,
    keep: bool = True,
    at: int | None = None,
) -> Json:
    """
    A draft with these lines and whatever was pending, lowered by the subscription's discounts.

    `keep=False` makes a preview: nothing is stored and pending items stay pending; `at` is when it would be made.
    """
    now = engine.now(customer["test_clock"])
    id = new_id("in") if keep else "upcoming_" + new_id("in")
    pending = (
        pending_items(engine, customer["id"], subscription["id"] if subscription else None) if take_pending else []
    )
    pending = [item for item in pending if item["currency"] == currency]
    all_lines = [line_of(engine, item) for item in pending] + lines
    for line in all_lines:
        line["invoice"] = id
    start, end = period or (now, now)
    invoice: Json = {
        **nulls("invoice"),
        "id": id,
        "object": "invoice",
        "account_country": engine.settings.country,
        "account_name": engine.settings.merchant_name,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": auto_advance,
        "automatic_tax": _automatic_tax(subscription),
        "automatically_finalizes_at": now + engine.settings.finalize_after if auto_advance else None,
        "billing_reason": reason,
        "collection_method": subscription["collection_method"] if subscription else "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": list(subscription["default_tax_rates"]) if subscription else [],
        "discounts": discounts.lasting(engine, subscription["discounts"], at or now) if subscription else [],
        "issuer": {"type": "self"},
        "lines": all_lines,
        "livemode": False,
        "metadata": metadata or {},
        "parent": _parent(subscription),
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": end,
        "period_start": start,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "rendering": None,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "test_clock": customer["test_clock"],
        "total": 0,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "_token": token(40),
        "_retries": 0,
    }
    if subscription is not None and subscription["collection_method"] == "send_invoice":
        days = subscription["days_until_due"]
        invoice["due_date"] = (at or now) + (engine.settings.days_until_due if days is None else days) * DAY
    add_up(engine, invoice, customer["balance"])
    if not keep:
        return invoice
    for item in pending:
        item["invoice"] = id
    engine.store.add(invoice)
    if subscription is not None:
        _note_paid(subscription, lines)
        taken = [cut["discount"] for cut in invoice["total_discount_amounts"] if cut["amount"]]
        discounts.use_up(engine, subscription, taken)
    if emit:
        engine.emit("invoice.created", invoice)
    return invoice


def add_up(engine: Engine, invoice: Json, starting: int) -> None:
    """Sum a draft's lines; `starting` is what the customer owes (or, negative, is owed) besides."""
    discounts.apply(engine, invoice)
    taxes.apply(engine, invoice)
    subtotal = sum(line["amount"] for line in invoice["lines"])
    on_top, within = taxes.added(invoice["total_taxes"]), taxes.included(invoice["total_taxes"])
    total = subtotal - sum(cut["amount"] for cut in invoice["total_discount_amounts"]) + on_top
    due = 0 if total < 0 else max(0, total + starting)
    invoice.update(
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal - within,
        total=total,
        total_excluding_tax=total - on_top - within,
        starting_balance=starting,
        amount_due=due,
        amount_remaining=due,
    )


def finalize(engine: Engine, invoice: Json) -> None:
    """
    Fix the amounts, number it and open it; one with nothing due is paid at once.

    The customer's balance is applied here: a credit lowers what is due, a negative total becomes a credit.
    """
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    customer = engine.find("customer", invoice["customer"])
    add_up(engine, invoice, customer["balance"])
    left = invoice["total"] + customer["balance"]
    ending = 0 if left >= 0 and invoice["total"] >= 0 else left
    now = engine.now(invoice["test_clock"])
    invoice.update(
        status="open",
        number=_next_number(customer),
        effective_at=now,
        ending_balance=ending,
        automatically_finalizes_at=None,
        webhooks_delivered_at=invoice["webhooks_delivered_at"] or now,
    )
    invoice["status_transitions"]["finalized_at"] = now
    if ending != customer["balance"]:
        balance.book(
            engine,
            customer,
            ending - customer["balance"],
            type="applied_to_invoice",
            currency=invoice["currency"],
            invoice=invoice["id"],
        )
    engine.emit("invoice.finalized", invoice)


def mark_paid(engine: Engine, invoice: Json, *, by_payment: bool, tries: int = 0, elsewhere: bool = False) -> None:
    """
    It is paid. `by_payment`: money was taken, so that the payment's own events follow; `tries` count as attempts.
    `elsewhere`: there was something to pay, and it was not paid here.

    Order as recorded: updated, paid, payment_succeeded, invoice_payment.paid.
    """
    now = engine.now(invoice["test_clock"])
    with engine.changing(invoice, "invoice.updated" if by_payment or elsewhere else None):
        invoice.update(
            status="paid",
            amount_paid=invoice["amount_due"],
            amount_remaining=0,
            attempted=True,
            attempt_count=invoice["attempt_count"] + tries,
            auto_advance=False,
            next_payment_attempt=None,
        )
        invoice["status_transitions"]["paid_at"] = now
    engine.emit("invoice.paid", invoice)
    if by_payment:
        engine.emit("invoice.payment_succeeded", invoice)
        payment = payment_of(engine, invoice)
        if payment is not None:
            payment.update(status="paid", amount_paid=invoice["amount_due"])
            payment["status_transitions"]["paid_at"] = now
            engine.emit("invoice_payment.paid", payment)


def void(engine: Engine, invoice: Json) -> None:
    """It never was."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only pass in open or uncollectible invoices. This invoice is {invoice['status']}.")
    _close(engine, invoice, "void", "voided_at")
    _give_back(engine, invoice)
    engine.emit("invoice.voided", invoice)


def _give_back(engine: Engine, invoice: Json) -> None:
    """A voided invoice leaves the balance as if it had never been."""
    taken = (invoice["ending_balance"] or 0) - invoice["starting_balance"]
    if taken:
        balance.book(
            engine,
            engine.find("customer", invoice["customer"]),
            -taken,
            type="unapplied_from_invoice",
            currency=invoice["currency"],
            invoice=invoice["id"],
        )


def mark_uncollectible(engine: Engine, invoice: Json, *, reason: str = "user_forgiven") -> None:
    """Nobody expects it to be paid any more."""
    if invoice["status"] != "open":
        raise invalid(f"You can only pass in open invoices. This invoice is {invoice['status']}.")
    _close(engine, invoice, "uncollectible", "marked_uncollectible_at")
    invoice["status_details"] = {"uncollectible": {"reason": reason}}
    engine.emit("invoice.marked_uncollectible", invoice)


def stop_collecting(engine: Engine, subscription: Json) -> None:
    """An ended subscription's unpaid invoices stay as they are, untried."""
    for found in list(engine.store.of_customer("invoice", subscription["customer"])):
        if (
            subscription_of(found) == subscription["id"]
            and found["status"] in ("draft", "open")
            and found["auto_advance"]
        ):
            invoice = engine.find("invoice", found["id"])
            with engine.changing(invoice, "invoice.updated"):
                invoice.update(auto_advance=False, next_payment_attempt=None, automatically_finalizes_at=None)


def is_first(invoice: Json) -> bool:
    """Is it one whose failure leaves a new subscription incomplete? A schedule's first invoice is like a renewal's."""
    return bool(invoice["billing_reason"] == "subscription_create") and not invoice.get("_like_renewal")


def subscription_of(invoice: Json) -> str | None:
    """The subscription an invoice is for."""
    parent = invoice["parent"]
    details = parent["subscription_details"] if parent else None
    return details["subscription"] if details else None


def payment_of(engine: Engine, invoice: Json) -> Json | None:
    """The invoice's default payment."""
    return engine.store.get(invoice.get("_payment") or "", "invoice_payment")


def intent_of(engine: Engine, invoice: Json) -> Json | None:
    """The payment intent an invoice is paid with."""
    payment = payment_of(engine, invoice)
    return engine.store.get(payment["payment"]["payment_intent"], "payment_intent") if payment else None


def add_payment(engine: Engine, invoice: Json, intent: Json) -> Json:
    """Let a payment intent be what pays an invoice."""
    payment = engine.store.add(
        {
            **nulls("invoice_payment"),
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": engine.now(invoice["test_clock"]),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
            "_clock": invoice["test_clock"],
        }
    )
    invoice["_payment"] = payment["id"]
    intent["_invoice"] = invoice["id"]
    return payment


def _note_paid(subscription: Json, lines: list[Json]) -> None:
    """What an item was really debited, its discounts taken off: what there is to credit when it changes."""
    items = {item["id"]: item for item in subscription["items"]}
    for line in lines:
        details = (line["parent"] or {}).get("subscription_item_details")
        if details and details["subscription_item"] in items:
            off = sum(cut["amount"] for cut in line["discount_amounts"])
            items[details["subscription_item"]]["_paid"][0] = line["amount"] - off


def _close(engine: Engine, invoice: Json, status: str, transition: str) -> None:
    with engine.changing(invoice, None):
        invoice.update(status=status, auto_advance=False, next_payment_attempt=None)
        invoice["status_transitions"][transition] = engine.now(invoice["test_clock"])
    intent = intent_of(engine, invoice)
    if intent is not None and status == "void":
        cancel_intent(engine, intent, "void_invoice")
        payment = payment_of(engine, invoice)
        if payment is not None:
            payment["status"] = "canceled"
            payment["status_transitions"]["canceled_at"] = engine.now(invoice["test_clock"])


def _automatic_tax(subscription: Json | None) -> Json:
    enabled = subscription is not None and subscription["automatic_tax"]["enabled"]
    return {
        "disabled_reason": None,
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": "complete" if enabled else None,
    }


def _parent(subscription: Json | None) -> Json | None:
    if subscription is None:
        return None
    return {
        "quote_details": None,
        "subscription_details": {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]},
        "type": "subscription_details",
    }


def _next_number(customer: Json) -> str:
    sequence = int(customer["next_invoice_sequence"])
    customer["next_invoice_sequence"] = sequence + 1
    return f"{customer['invoice_prefix']}-{sequence:04d}"

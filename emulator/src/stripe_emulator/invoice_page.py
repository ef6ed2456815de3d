"""What the hosted invoice page does: show an invoice, and take its payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import typed_card
from stripe_emulator.billing import collection, payments
from stripe_emulator.billing.challenges import challenge_of
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.hosted_views import CardInput, InvoicePageView, LineView, Outcome
from stripe_emulator.resources import payment_methods
from stripe_emulator.resources.payment_intents import invoice_of
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PURPOSE = "invoice"


def find(engine: Engine, token: str) -> Json | None:
    """The finalised invoice behind a page's token."""
    for found in engine.store.scan("invoice"):
        if found["_token"] == token and found["status"] != "draft":
            return engine.find("invoice", found["id"])
    return None


def view(engine: Engine, invoice: Json) -> InvoicePageView:
    """The page as it stands."""
    method = collection.default_method(engine, invoice)
    return InvoicePageView(
        id=invoice["id"],
        number=invoice["number"],
        status=invoice["status"],
        created=invoice["created"],
        due_date=invoice["due_date"],
        customer_name=invoice["customer_name"],
        customer_email=invoice["customer_email"],
        lines=[_line(engine, line) for line in invoice["lines"]],
        subtotal=invoice["subtotal"],
        tax=sum(tax["amount"] for tax in invoice["total_taxes"]),
        total=invoice["total"],
        amount_due=invoice["amount_due"],
        amount_paid=invoice["amount_paid"],
        amount_remaining=invoice["amount_remaining"],
        currency=invoice["currency"],
        payable=is_payable(invoice),
        pdf_url=f"/i/{invoice['_token']}/pdf",
        merchant_name=engine.settings.merchant_name,
        card=card_view(method),
    )


def is_payable(invoice: Json) -> bool:
    """Is it open with something due, and no bank about to pay it?"""
    return bool(invoice["status"] == "open" and invoice["amount_remaining"] > 0 and not invoice.get("_processing"))


def pay(engine: Engine, invoice: Json, card: CardInput | None, *, back: str) -> Outcome:
    """Pay with a typed card, or (None) the default one; `back` is where a 3D Secure challenge returns to."""
    if invoice.get("_processing"):
        return Outcome("closed", "The payment of this invoice is being processed by your bank.")
    if not is_payable(invoice):
        return Outcome("closed", "This invoice has already been paid." if invoice["status"] == "paid" else "")
    if card is not None:
        method = typed_card.make(engine, card, email=invoice["customer_email"], clock=invoice["test_clock"])
    else:
        found = collection.default_method(engine, invoice)
        if found is None:
            return Outcome("declined", "Enter your card number.", "cardNumber")
        method = found
    attempt = collection.charge(engine, invoice, method, off_session=False)
    if attempt.status == "failed":
        assert attempt.decline is not None
        return typed_card.declined(attempt.decline)
    if attempt.status == "requires_action":
        intent = collection.prepare_payment(engine, invoice)
        challenge = challenge_of(engine, intent)
        assert challenge is not None
        challenge.update(purpose=PURPOSE, method=method["id"], back=back)
        return Outcome("requires_action", redirect=f"/c/3ds/{challenge['id']}")
    if method["customer"] is None:
        payment_methods.attach(engine, method, invoice["customer"])
    return Outcome("complete", redirect=back)


def answer_challenge(engine: Engine, challenge: Json, intent: Json, ok: bool) -> Outcome:
    """What follows a 3D Secure challenge of an invoice's payment, wherever it was begun."""
    back = challenge.get("back")
    invoice = invoice_of(engine, intent)
    method = engine.find("payment_method", challenge.get("method") or intent["payment_method"])
    if ok:
        attempt = payments.confirm(engine, intent, method, off_session=False, authenticated=True)
    else:
        attempt = payments.fail_authentication(engine, intent)
    if invoice is not None:
        collection.conclude(engine, invoice, attempt, method)
    if attempt.status != "succeeded":
        assert attempt.decline is not None
        return typed_card.declined(attempt.decline, redirect=back)
    if method["customer"] is None and intent["customer"] is not None:
        payment_methods.attach(engine, method, intent["customer"])
    return Outcome("complete", redirect=back)


def card_view(method: Json | None) -> Json | None:
    """A card, or a bank account, as pages show it."""
    if method is None:
        return None
    if method["type"] != "card":
        details = method[method["type"]]
        return {"brand": details.get("bank_name") or "sepa_debit", "last4": details["last4"]}
    return {name: method["card"][name] for name in ("brand", "last4", "exp_month", "exp_year")}


def _line(engine: Engine, line: Json) -> LineView:
    details = (line["pricing"] or {}).get("price_details")
    price = engine.store.get(details["price"], "price") if details else None
    recurring = (price["recurring"] if price else None) or {}
    return LineView(
        name=line["description"] or "",
        description=None,
        quantity=line["quantity"] or 1,
        unit_amount=amount_of(price, 1, line["currency"]) if price else line["amount"],
        amount=line["amount"],
        currency=line["currency"],
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count", 1),
    )

"""
What follows a Checkout page that was submitted with success.

The customer, the subscription and its invoice come into being together, once the money was taken or its debit begun;
then the session is complete. See
https://docs.stripe.com/changelog/basil/2025-03-31/checkout-legacy-subscription-upgrade and, for methods that pay
later, https://docs.stripe.com/checkout/fulfillment#delayed-notification
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, debits, discounts, invoicing
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.billing.lines import add_invoice_item
from stripe_emulator.billing.subscribing import Terms, announce_trial, build, first_invoice
from stripe_emulator.hosted_views import Outcome
from stripe_emulator.resources import checkout_discounts, checkout_sessions, customers, payment_methods
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def complete(engine: Engine, session: Json, email: str, method: Json | None, intent: Json | None) -> Outcome:
    """Carry out what was bought: attach the payment method, make the customer, subscription and invoice, say so."""
    customer = _settle_customer(engine, session, email, method, intent)
    if method is not None and customer is not None and method["customer"] is None and _keeps_method(session):
        payment_methods.attach(engine, method, customer["id"])
    invoice: Json | None = None
    if session["mode"] == "subscription":
        assert customer is not None
        subscription, invoice = _subscribe(engine, session, customer, method, intent)
        session["subscription"] = subscription["id"]
        session["invoice"] = invoice["id"]
    elif intent is not None:
        session["payment_intent" if intent["object"] == "payment_intent" else "setup_intent"] = intent["id"]
    wish = checkout_discounts.wish_of(engine, session)
    if wish is not None and session["mode"] == "payment":
        discounts.count(wish)
    session.update(
        status="complete",
        payment_status=_payment_status(session, intent),
        customer=customer["id"] if customer else None,
        customer_details=checkout_sessions.details(
            email, (method["billing_details"]["name"] if method else None) or (customer["name"] if customer else None)
        ),
    )
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = "complete"
    engine.emit("checkout.session.completed", session)
    return Outcome("complete", redirect=success_url(session))


def success_url(session: Json) -> str | None:
    """Where to go when done, with the session's id filled in; nowhere when the merchant's page stays as it is."""
    target = session["success_url"] or session.get("return_url")
    return None if target is None else str(target).replace("{CHECKOUT_SESSION_ID}", session["id"])


def trial_end_of(engine: Engine, session: Json) -> int | None:
    """When the trial of a subscription begun now would end."""
    data = session["_subscription_data"]
    if not data:
        return None
    if data["trial_end_after"] is not None:
        return engine.now(session["_clock"]) + int(data["trial_end_after"]) * DAY
    return None if data["trial_end"] is None else int(data["trial_end"])


def customer_of(engine: Engine, session: Json) -> Json | None:
    """The customer a session is for, if there is one yet."""
    return engine.store.get(session["customer"], "customer") if session["customer"] else None


def _payment_status(session: Json, intent: Json | None) -> str:
    if intent is not None and intent["status"] == "processing":
        return "unpaid"
    return "paid" if session["mode"] == "subscription" or session["amount_total"] else "no_payment_required"


def _settled(engine: Engine, intent: Json, attempt: Attempt, method: Json) -> None:
    """The bank has answered for a session that was completed unpaid; it stays complete either way."""
    session = engine.store.get(intent.get("_session") or "", "checkout.session")
    if session is None or session["status"] != "complete" or session["payment_status"] != "unpaid":
        return
    if attempt.status == "succeeded":
        session["payment_status"] = "paid"
        engine.emit("checkout.session.async_payment_succeeded", session)
    else:
        engine.emit("checkout.session.async_payment_failed", session)


def _keeps_method(session: Json) -> bool:
    """Is the payment method for later too? A single payment keeps it only with `setup_future_usage`."""
    return session["mode"] != "payment" or bool((session.get("_intent_terms") or {}).get("setup_future_usage"))


def _settle_customer(
    engine: Engine, session: Json, email: str, method: Json | None, intent: Json | None
) -> Json | None:
    name = method["billing_details"]["name"] if method else None
    customer = customer_of(engine, session)
    if customer is not None:
        with engine.changing(customer, "customer.updated"):
            customer["email"] = customer["email"] or email
            customer["name"] = customer["name"] or name
        return customer
    kept = session["mode"] == "payment" and _keeps_method(session)
    if session["mode"] != "subscription" and session["customer_creation"] != "always" and not kept:
        return None
    customer = customers.make(engine, clock=session["_clock"], email=email, name=name)
    engine.emit("customer.created", customer)
    if intent is not None:
        intent["customer"] = customer["id"]
        charge = engine.store.get(intent.get("latest_charge") or "", "charge")
        if charge is not None:
            charge["customer"] = customer["id"]
    return customer


def _subscribe(
    engine: Engine, session: Json, customer: Json, method: Json | None, intent: Json | None
) -> tuple[Json, Json]:
    data, wish = session["_subscription_data"], checkout_discounts.wish_of(engine, session)
    terms = Terms(
        currency=session["currency"],
        trial_end=trial_end_of(engine, session),
        default_payment_method=method["id"] if method else None,
        missing_payment_method=data["missing_payment_method"],
        metadata=dict(data["metadata"]),
        description=data["description"],
        billing_mode=data["billing_mode"],
        discounts=[wish] if wish else [],
        checkout_session=session["id"],
        automatic_tax=session["automatic_tax"]["enabled"],
        default_tax_rates=data["default_tax_rates"],
        item_tax_rates=dict(enumerate(item["_tax_rates"] for item in session["_items"] if item["_recurring"])),
    )
    items: list[tuple[Json, int, Json]] = [
        (engine.find("price", item["price"]), item["quantity"], {}) for item in session["_items"] if item["_recurring"]
    ]
    subscription = build(engine, customer, items, terms)
    for item in session["_items"]:
        if not item["_recurring"]:
            _add_once(engine, customer, subscription, item)
    invoice = first_invoice(engine, customer, subscription, terms, emit=False)
    in_trial = subscription["status"] == "trialing"
    processing = intent is not None and intent["status"] == "processing"
    if not in_trial:
        engine.emit("customer.subscription.created", subscription)
    engine.emit("invoice.created", invoice)
    if intent is not None and intent["object"] == "payment_intent":
        invoicing.finalize(engine, invoice)
        invoicing.add_payment(engine, invoice, intent)
        if processing:
            collection.conclude(engine, invoice, Attempt("processing"), method)
        else:
            invoicing.mark_paid(engine, invoice, by_payment=True, tries=1)
    else:
        collection.open_invoice(engine, invoice)
    if in_trial:
        engine.emit("customer.subscription.created", subscription)
        announce_trial(engine, subscription)
    return subscription, invoice


def _add_once(engine: Engine, customer: Json, subscription: Json, item: Json) -> None:
    """A one-time price beside a subscription is charged on its first invoice."""
    now = engine.now(customer["test_clock"])
    add_invoice_item(
        engine,
        customer=customer,
        amount=item["amount_subtotal"],
        currency=item["currency"],
        description=item["description"],
        price=engine.find("price", item["price"]),
        quantity=item["quantity"],
        start=now,
        end=now,
        proration=False,
        subscription=subscription["id"],
        tax_rates=item["_tax_rates"],
    )


debits.when_settled(_settled)

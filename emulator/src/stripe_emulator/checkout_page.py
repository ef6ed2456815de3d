"""
What the Checkout page does.

Until the payment has succeeded there is a session and a payment intent, nothing else; then the customer, the
subscription and its paid invoice come into being together. See
https://docs.stripe.com/changelog/basil/2025-03-31/checkout-legacy-subscription-upgrade
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import money, typed_card
from stripe_emulator.billing import collection, discounts, invoicing
from stripe_emulator.billing.lines import add_invoice_item
from stripe_emulator.billing.payments import (
    Attempt,
    challenge_of,
    confirm,
    confirm_setup,
    create_intent,
    create_setup_intent,
    fail_authentication,
    fail_setup_authentication,
)
from stripe_emulator.billing.subscribing import Terms, announce_trial, build, first_invoice
from stripe_emulator.hosted_views import CardInput, CheckoutView, DiscountView, LineView, Outcome
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.resources import checkout_discounts, checkout_sessions, customers, payment_methods
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PURPOSE = "checkout"


def view(engine: Engine, session: Json) -> CheckoutView:
    """The page as it stands."""
    lines = [_line(engine, item) for item in session["_items"]]
    data = session["_subscription_data"] or {}
    customer = _customer(engine, session)
    return CheckoutView(
        id=session["id"],
        status=session["status"],
        mode=session["mode"],
        customer_email=_email(engine, session),
        email_locked=bool(session["customer_email"] or (customer and customer["email"])),
        lines=lines,
        amount_total=sum(line.amount for line in lines if line.interval or session["mode"] != "subscription"),
        due_today=session["amount_total"] or 0,
        currency=session["currency"] or engine.settings.default_currency,
        trial_end=_trial_end(engine, session),
        trial_days=data.get("trial_end_after"),
        needs_card=needs_card(session),
        cancel_url=session["cancel_url"],
        success_url=success_url(session),
        merchant_name=engine.settings.merchant_name,
        takes_codes=bool(session["allow_promotion_codes"]),
        discount=_discount(engine, session),
    )


def needs_card(session: Json) -> bool:
    """Must a card be given? Not when nothing is due and the session asks for one only if required."""
    if session["mode"] == "setup" or session["amount_total"]:
        return True
    return bool(session["mode"] == "subscription" and session["payment_method_collection"] == "always")


def success_url(session: Json) -> str:
    """Where to go when done, with the session's id filled in."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def pay(engine: Engine, session: Json, *, email: str | None, card: CardInput | None) -> Outcome:
    """Submit the page. Raises a card error for a card that can't be right as typed."""
    if session["status"] != "open":
        return closed(session)
    checkout_discounts.check(engine, session)
    address = _email(engine, session) or (email or "").strip()
    if "@" not in address:
        return Outcome("declined", "Enter your email address.", "email")
    if not needs_card(session):
        return _complete(engine, session, address, None, None)
    if card is None:
        return Outcome("declined", "Enter your card number.", "cardNumber")
    method = typed_card.make(engine, card, email=address, clock=session["_clock"])
    return _take(engine, session, method, address, authenticated=False)


def set_promotion_code(engine: Engine, session: Json, code: str | None) -> Outcome:
    """Apply a typed promotion code, or (None) take it back."""
    if session["status"] != "open":
        return closed(session)
    if code is None:
        checkout_discounts.forget_code(engine, session)
        return Outcome("complete")
    try:
        checkout_discounts.type_code(engine, session, code)
    except ApiError as error:
        return Outcome("declined", error.message, "promotionCode")
    return Outcome("complete")


def pay_with(engine: Engine, session: Json, method: Json) -> Outcome:
    """Submit the page of an open session with a payment method that is there already."""
    address = _email(engine, session) or method["billing_details"]["email"] or ""
    if "@" not in address:
        return Outcome("declined", "Enter your email address.", "email")
    return _take(engine, session, method, address, authenticated=False)


def answer_challenge(engine: Engine, challenge: Json, ok: bool) -> Outcome:
    """What follows a 3D Secure challenge of a Checkout page."""
    session = checkout_sessions.find(engine, challenge["session"])
    if session["status"] != "open":
        return closed(session)
    method = engine.find("payment_method", challenge["method"])
    if ok:
        outcome = _take(engine, session, method, challenge["email"], authenticated=True)
    else:
        intent = _intent(engine, session)
        assert intent is not None
        fail = fail_authentication if intent["object"] == "payment_intent" else fail_setup_authentication
        outcome = _declined(fail(engine, intent))
    if outcome.kind == "declined":
        return Outcome("declined", outcome.message, outcome.field, f"/c/pay/{session['id']}")
    return outcome


def closed(session: Json) -> Outcome:
    """The page can't be used any more."""
    if session["status"] == "complete":
        return Outcome("closed", "You're all done here. This checkout session has been completed.")
    return Outcome("closed", "This checkout session has expired.")


def _take(engine: Engine, session: Json, method: Json, email: str, *, authenticated: bool) -> Outcome:
    intent = _prepare(engine, session)
    if intent["object"] == "payment_intent":
        attempt = confirm(engine, intent, method, off_session=False, authenticated=authenticated)
    else:
        attempt = confirm_setup(engine, intent, method, authenticated=authenticated)
    if attempt.status == "failed":
        return _declined(attempt)
    if attempt.status == "requires_action":
        challenge = challenge_of(engine, intent)
        assert challenge is not None
        challenge.update(purpose=PURPOSE, session=session["id"], method=method["id"], email=email)
        return Outcome("requires_action", redirect=f"/c/3ds/{challenge['id']}")
    return _complete(engine, session, email, method, intent)


def _declined(attempt: Attempt) -> Outcome:
    assert attempt.decline is not None
    return typed_card.declined(attempt.decline)


def _prepare(engine: Engine, session: Json) -> Json:
    intent = _intent(engine, session)
    if intent is not None and intent["status"] not in ("canceled", "succeeded"):
        return intent
    if session["amount_total"]:
        intent = create_intent(
            engine,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=session["customer"],
            clock=session["_clock"],
            description="Subscription creation" if session["mode"] == "subscription" else None,
            setup_future_usage="off_session" if session["mode"] == "subscription" else None,
            metadata=session["_intent_metadata"],
            terms=session.get("_intent_terms"),
        )
    else:
        intent = create_setup_intent(
            engine, session["customer"], clock=session["_clock"], metadata=session["_setup_metadata"]
        )
    session["_intent"] = intent["id"]
    return intent


def _intent(engine: Engine, session: Json) -> Json | None:
    return engine.store.get(session["_intent"]) if session.get("_intent") else None


def _complete(engine: Engine, session: Json, email: str, method: Json | None, intent: Json | None) -> Outcome:
    customer = _settle_customer(engine, session, email, method, intent)
    if method is not None and customer is not None:
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
        payment_status="paid"
        if session["mode"] == "subscription" or session["amount_total"]
        else "no_payment_required",
        customer=customer["id"] if customer else None,
        customer_details=checkout_sessions.details(
            email, (method["billing_details"]["name"] if method else None) or (customer["name"] if customer else None)
        ),
    )
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = "complete"
    engine.emit("checkout.session.completed", session)
    return Outcome("complete", redirect=success_url(session))


def _settle_customer(
    engine: Engine, session: Json, email: str, method: Json | None, intent: Json | None
) -> Json | None:
    name = method["billing_details"]["name"] if method else None
    customer = _customer(engine, session)
    if customer is not None:
        with engine.changing(customer, "customer.updated"):
            customer["email"] = customer["email"] or email
            customer["name"] = customer["name"] or name
        return customer
    if session["mode"] != "subscription" and session["customer_creation"] != "always":
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
        trial_end=_trial_end(engine, session),
        default_payment_method=method["id"] if method else None,
        missing_payment_method=data["missing_payment_method"],
        metadata=dict(data["metadata"]),
        description=data["description"],
        billing_mode=data["billing_mode"],
        discounts=[wish] if wish else [],
        checkout_session=session["id"],
        automatic_tax=session["automatic_tax"]["enabled"],
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
    if not in_trial:
        engine.emit("customer.subscription.created", subscription)
    engine.emit("invoice.created", invoice)
    if intent is not None and intent["object"] == "payment_intent":
        invoicing.finalize(engine, invoice)
        invoicing.add_payment(engine, invoice, intent)
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
    )


def _discount(engine: Engine, session: Json) -> DiscountView | None:
    wish = checkout_discounts.wish_of(engine, session)
    if wish is None:
        return None
    coupon, code = wish.coupon, wish.promotion_code
    assert coupon is not None
    return DiscountView(
        name=code["code"] if code else coupon["name"] or coupon["id"],
        text=_words(coupon, session),
        amount=session["total_details"]["amount_discount"],
        lasts=coupon["duration"] == "forever",
        removable=bool(session["allow_promotion_codes"]),
    )


def _words(coupon: Json, session: Json) -> str:
    if coupon["percent_off"] is not None:
        off = f"{coupon['percent_off']:g}% off"
    else:
        amount = discounts.amount_off(discounts.terms_of(coupon), session["currency"]) or 0
        off = f"{money.text(amount, session['currency'])} off"
    months = coupon["duration_in_months"]
    if session["mode"] != "subscription" or coupon["duration"] == "once":
        return off
    if not months:
        return f"{off} forever"
    return f"{off} for {months} months" if months > 1 else f"{off} for 1 month"


def _trial_end(engine: Engine, session: Json) -> int | None:
    data = session["_subscription_data"]
    if not data:
        return None
    if data["trial_end_after"] is not None:
        return engine.now(session["_clock"]) + int(data["trial_end_after"]) * DAY
    return None if data["trial_end"] is None else int(data["trial_end"])


def _customer(engine: Engine, session: Json) -> Json | None:
    return engine.store.get(session["customer"], "customer") if session["customer"] else None


def _email(engine: Engine, session: Json) -> str | None:
    customer = _customer(engine, session)
    return session["customer_email"] or (customer["email"] if customer else None)


def _line(engine: Engine, item: Json) -> LineView:
    price = engine.find("price", item["price"])
    product = engine.find("product", price["product"])
    recurring = price["recurring"] or {}
    return LineView(
        name=product["name"],
        description=product["description"],
        quantity=item["quantity"],
        unit_amount=price["unit_amount"] or 0,
        amount=item["amount_subtotal"],
        currency=price["currency"],
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count", 1),
    )

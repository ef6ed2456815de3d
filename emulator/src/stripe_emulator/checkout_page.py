"""
What the Checkout page does.

Until the payment has succeeded, or its debit has begun, there is a session and a payment intent, nothing else. What
comes then is in `checkout_completion`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import money, typed_bank, typed_card
from stripe_emulator.billing import discounts
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.billing.challenges import challenge_of
from stripe_emulator.billing.payments import confirm, create_intent, fail_authentication
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.setups import confirm_setup, create_setup_intent, fail_setup_authentication
from stripe_emulator.checkout_completion import complete, customer_of, success_url, trial_end_of
from stripe_emulator.hosted_views import BankInput, CardInput, CheckoutView, DiscountView, LineView, Outcome
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.resources import checkout_discounts, checkout_sessions
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PURPOSE = "checkout"


def view(engine: Engine, session: Json) -> CheckoutView:
    """The page as it stands."""
    lines = [_line(engine, item) for item in session["_items"]]
    data = session["_subscription_data"] or {}
    customer = customer_of(engine, session)
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
        trial_end=trial_end_of(engine, session),
        trial_days=data.get("trial_end_after"),
        needs_card=needs_card(session),
        cancel_url=session["cancel_url"],
        success_url=success_url(session),
        merchant_name=engine.settings.merchant_name,
        takes_codes=bool(session["allow_promotion_codes"]),
        discount=_discount(engine, session),
        tax=(session["total_details"] or {"amount_tax": 0})["amount_tax"],
        payment_method_types=tuple(session["payment_method_types"]),
    )


def needs_card(session: Json) -> bool:
    """Must a card be given? Not when nothing is due and the session asks for one only if required."""
    if session["mode"] == "setup" or session["amount_total"]:
        return True
    return bool(session["mode"] == "subscription" and session["payment_method_collection"] == "always")


def pay(
    engine: Engine, session: Json, *, email: str | None, card: CardInput | None, bank: BankInput | None = None
) -> Outcome:
    """Submit the page. Raises an API error for a card or an account that can't be right as typed."""
    if session["status"] != "open":
        return closed(session)
    checkout_discounts.check(engine, session)
    address = _email(engine, session) or (email or "").strip()
    if "@" not in address:
        return Outcome("declined", "Enter your email address.", "email")
    if not needs_card(session):
        return complete(engine, session, address, None, None)
    if bank is not None and bank.type in session["payment_method_types"]:
        method = typed_bank.make(engine, bank, email=address, clock=session["_clock"])
    elif card is not None and "card" in session["payment_method_types"]:
        method = typed_card.make(engine, card, email=address, clock=session["_clock"])
    else:
        return Outcome("declined", "Enter your card number.", "cardNumber")
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
    return complete(engine, session, email, method, intent)


def _declined(attempt: Attempt) -> Outcome:
    assert attempt.decline is not None
    return typed_card.declined(attempt.decline)


def _prepare(engine: Engine, session: Json) -> Json:
    intent = _intent(engine, session)
    if intent is not None and intent["status"] not in ("canceled", "succeeded"):
        return intent
    types = {"payment_method_types": list(session["payment_method_types"])}
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
            terms={**(session.get("_intent_terms") or {}), **types},
        )
    else:
        intent = create_setup_intent(
            engine,
            session["customer"],
            clock=session["_clock"],
            metadata=session["_setup_metadata"],
            terms=types,
        )
    session["_intent"] = intent["id"]
    intent["_session"] = session["id"]
    return intent


def _intent(engine: Engine, session: Json) -> Json | None:
    return engine.store.get(session["_intent"]) if session.get("_intent") else None


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


def _email(engine: Engine, session: Json) -> str | None:
    customer = customer_of(engine, session)
    return session["customer_email"] or (customer["email"] if customer else None)


def _line(engine: Engine, item: Json) -> LineView:
    price = engine.find("price", item["price"])
    product = engine.find("product", price["product"])
    recurring = price["recurring"] or {}
    return LineView(
        name=product["name"],
        description=product["description"],
        quantity=item["quantity"],
        unit_amount=amount_of(price, 1, item["currency"]),
        amount=item["amount_subtotal"],
        currency=item["currency"],
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count", 1),
    )

"""What a Checkout session takes off: one coupon or promotion code, given by the merchant or typed on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import discounts, taxes
from stripe_emulator.billing.discounts import Wish
from stripe_emulator.billing.payments import cancel_intent
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.resources import promotion_codes
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def give(engine: Engine, session: Json, params: Params) -> None:
    """The `discounts` of a new session. See https://docs.stripe.com/payments/checkout/discounts"""
    sent = params.list_of("discounts")
    if not sent:
        return
    if "allow_promotion_codes" in params:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.", param="discounts"
        )
    if len(sent) > 1:
        raise invalid("You can only apply one discount to a Checkout Session.", param="discounts")
    if session["mode"] == "setup":
        raise invalid("You can not pass `discounts` in `setup` mode.", param="discounts")
    (wish,) = discounts.wishes(
        engine, sent, customer=_customer(engine, session), currency=session["currency"], subtotal=_subtotal(session)
    )
    _set(engine, session, wish)


def type_code(engine: Engine, session: Json, code: str) -> None:
    """A promotion code typed on the page; raises when it is no good for this session and customer."""
    found = promotion_codes.by_code(engine, code)
    if not session["allow_promotion_codes"] or found is None:
        raise invalid("This code is invalid.", param="promotionCode")
    wish = discounts.of_code(
        engine,
        found,
        customer=_customer(engine, session),
        currency=session["currency"],
        subtotal=_subtotal(session),
        param="promotionCode",
    )
    _set(engine, session, wish)
    _reprice_intent(engine, session)


def forget_code(engine: Engine, session: Json) -> None:
    """Take back what was typed; what the merchant gave stays."""
    if session["allow_promotion_codes"]:
        _set(engine, session, None)
        _reprice_intent(engine, session)


def wish_of(engine: Engine, session: Json) -> Wish | None:
    """What is to be redeemed when the session is completed."""
    for entry in session["discounts"] or []:
        if entry["promotion_code"] is None:
            return Wish(coupon=engine.find("coupon", entry["coupon"]))
        code = engine.find("promotion_code", entry["promotion_code"])
        return Wish(coupon=engine.find("coupon", code["promotion"]["coupon"]), promotion_code=code)
    return None


def check(engine: Engine, session: Json) -> None:
    """Raise when what was promised can't be redeemed any more, before anything is charged."""
    wish = wish_of(engine, session)
    if wish is None:
        return
    assert wish.coupon is not None
    if wish.promotion_code is not None:
        customer = _customer(engine, session)
        discounts.of_code(
            engine,
            wish.promotion_code,
            customer=customer,
            currency=session["currency"],
            subtotal=_subtotal(session),
            param="promotionCode",
        )
    else:
        discounts.redeemable(engine, wish.coupon["id"], session["currency"], param="discounts[0][coupon]")


def price(engine: Engine, session: Json) -> None:
    """Work out the lines and the totals: what completing the session charges at once. Nothing recurs in a trial."""
    items = session["_items"]
    if not items:
        return
    data = session["_subscription_data"]
    in_trial = bool(data and (data["trial_end_after"] is not None or data["trial_end"] is not None))
    charged = [item for item in items if not (in_trial and item["_recurring"])]
    lines: list[Json] = [
        {
            "discountable": True,
            "pricing": {"price_details": {"product": engine.find("price", item["price"])["product"]}},
        }
        for item in charged
    ]
    wish = wish_of(engine, session)
    amounts = [item["amount_subtotal"] for item in charged]
    off = discounts.take(wish.terms, lines, amounts, session["currency"]) if wish else [0] * len(charged)
    cuts = {item["id"]: amount for item, amount in zip(charged, off, strict=True)}
    for item in items:
        _price_item(engine, session, item, cuts.get(item["id"], 0))
    session.update(
        amount_subtotal=sum(amounts),
        amount_total=sum(item["amount_total"] for item in charged),
        total_details={
            **session["total_details"],
            "amount_discount": sum(off),
            "amount_tax": sum(item["amount_tax"] for item in charged),
        },
    )


def _price_item(engine: Engine, session: Json, item: Json, off: int) -> None:
    customer = _customer(engine, session)
    defaults = (session["_subscription_data"] or {}).get("default_tax_rates", [])
    rates = item["_tax_rates"] or defaults
    exempt = customer["tax_exempt"] if customer else "none"
    found = taxes.on(engine, item["amount_subtotal"] - off, rates, exempt=exempt)
    item.update(
        amount_discount=off,
        amount_tax=sum(tax["amount"] for tax in found),
        amount_total=item["amount_subtotal"] - off + taxes.added(found),
    )


def _set(engine: Engine, session: Json, wish: Wish | None) -> None:
    if wish is None:
        session["discounts"] = []
    else:
        code = wish.promotion_code
        assert wish.coupon is not None
        session["discounts"] = [
            {"coupon": None if code else wish.coupon["id"], "promotion_code": code["id"] if code else None}
        ]
    price(engine, session)


def _reprice_intent(engine: Engine, session: Json) -> None:
    """A payment begun before the price changed is for the new price, or given up when there is none."""
    intent = engine.store.get(session.get("_intent") or "")
    if intent is None or intent["status"] in ("succeeded", "canceled"):
        return
    if intent["object"] == "payment_intent" and session["amount_total"]:
        intent["amount"] = session["amount_total"]
        return
    session["_intent"] = None
    if intent["object"] == "payment_intent":
        cancel_intent(engine, intent, "abandoned")


def _subtotal(session: Json) -> int:
    return sum(item["amount_subtotal"] for item in session["_items"])


def _customer(engine: Engine, session: Json) -> Json | None:
    return engine.store.get(session["customer"], "customer") if session["customer"] else None

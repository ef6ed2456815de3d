"""
Discounts: coupons redeemed, how long they last, and what they take off an invoice's lines.

A discount keeps the terms its coupon had when it was redeemed: deleting a coupon takes nothing from those who have it.
See https://docs.stripe.com/billing/subscriptions/coupons
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.billing.periods import add_interval
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TERMS = ("amount_off", "currency", "currency_options", "percent_off", "applies_to", "duration")


@dataclass(frozen=True, slots=True)
class Wish:
    """A coupon to be redeemed, perhaps through a promotion code; or a discount that is there already."""

    coupon: Json | None = None
    promotion_code: Json | None = None
    discount: Json | None = None

    @property
    def terms(self) -> Json:
        """What it takes off."""
        if self.discount is not None:
            terms: Json = self.discount["_terms"]
            return terms
        assert self.coupon is not None
        return terms_of(self.coupon)


def terms_of(coupon: Json) -> Json:
    """What a coupon takes off, and for how long."""
    return {name: coupon.get(name, coupon.get(f"_{name}")) for name in TERMS}


def is_valid(engine: Engine, coupon: Json) -> bool:
    """May a coupon still be redeemed? Its number of redemptions and its last day decide."""
    return (
        not coupon.get("_deleted")
        and (coupon["redeem_by"] is None or engine.now() < coupon["redeem_by"])
        and (coupon["max_redemptions"] is None or coupon["times_redeemed"] < coupon["max_redemptions"])
    )


def is_active(engine: Engine, code: Json) -> bool:
    """May a promotion code be used? Only while its coupon may be redeemed, too."""
    return (
        bool(code["active"])
        and (code["expires_at"] is None or engine.now() < code["expires_at"])
        and (code["max_redemptions"] is None or code["times_redeemed"] < code["max_redemptions"])
        and is_valid(engine, engine.find("coupon", code["promotion"]["coupon"]))
    )


def wishes(
    engine: Engine, sent: Sequence[Params], *, customer: Json | None, currency: str, subtotal: int | None = None
) -> list[Wish]:
    """
    A request's `discounts`, each checked.

    `subtotal` is held against a promotion code's minimum; None where the amount is not known yet.
    """
    found: list[Wish] = []
    for element in sent:
        coupon, code, discount = (element.get(name) for name in ("coupon", "promotion_code", "discount"))
        if sum(value is not None for value in (coupon, code, discount)) != 1:
            raise invalid(
                "You must pass exactly one of coupon, promotion_code and discount in an element of discounts.",
                param=element.name_of("coupon"),
            )
        if discount is not None:
            kept = engine.store.get(discount, "discount")
            if kept is None or not kept["_on"]:
                raise no_such("discount", discount, param=element.name_of("discount"))
            found.append(Wish(discount=kept))
        elif coupon is not None:
            found.append(Wish(coupon=redeemable(engine, coupon, currency, param=element.name_of("coupon"))))
        else:
            param = element.name_of("promotion_code")
            named = engine.store.get(code, "promotion_code")
            if named is None:
                raise no_such("promotion code", code, param=param)
            found.append(of_code(engine, named, customer=customer, currency=currency, subtotal=subtotal, param=param))
    chosen = [str((wish.coupon or {}).get("id")) for wish in found if wish.coupon is not None]
    if len(set(chosen)) != len(chosen):
        raise invalid("A coupon can't be applied more than once.", param="discounts")
    return found


def redeemable(engine: Engine, id: str, currency: str, *, param: str) -> Json:
    """A coupon that may be redeemed in a currency."""
    coupon = engine.store.get(id, "coupon")
    if coupon is None or coupon.get("_deleted"):
        raise no_such("coupon", id, param=param)
    if not is_valid(engine, coupon):
        raise invalid(f"Coupon expired: {id}", param=param, code="coupon_expired")
    if coupon["amount_off"] is not None and amount_off(terms_of(coupon), currency) is None:
        raise invalid(
            f"The coupon {id} takes off an amount in {coupon['currency']}, but this is in {currency}.", param=param
        )
    return coupon


def of_code(
    engine: Engine, code: Json, *, customer: Json | None, currency: str, subtotal: int | None, param: str
) -> Wish:
    """A promotion code that this customer may use for this much."""
    if not is_active(engine, code):
        raise invalid(f"This promotion code is inactive: {code['code']}", param=param)
    if code["customer"] is not None and (customer is None or customer["id"] != code["customer"]):
        raise invalid("This promotion code cannot be redeemed because it belongs to a different customer.", param=param)
    restrictions = code["restrictions"]
    if restrictions["first_time_transaction"] and customer is not None and _has_paid(engine, customer["id"]):
        raise invalid(
            "This promotion code cannot be redeemed because the associated customer has prior transactions.",
            param=param,
        )
    minimum = _minimum(restrictions, currency)
    if minimum is not None and subtotal is not None and subtotal < minimum:
        raise invalid(
            "This promotion code cannot be redeemed because the minimum amount has not been met.", param=param
        )
    return Wish(coupon=redeemable(engine, code["promotion"]["coupon"], currency, param=param), promotion_code=code)


def redeem(
    engine: Engine,
    wish: Wish,
    *,
    customer: Json,
    subscription: Json | None = None,
    item: str | None = None,
    invoice: str | None = None,
    invoice_item: str | None = None,
    checkout_session: str | None = None,
) -> str:
    """Make a wish a discount, counted on the coupon and the code; returns its id."""
    if wish.discount is not None:
        return str(wish.discount["id"])
    coupon, code = wish.coupon, wish.promotion_code
    assert coupon is not None
    count(wish)
    now = engine.now(customer["test_clock"])
    months = coupon["duration_in_months"]
    discount = engine.store.add(
        {
            **nulls("discount"),
            "id": new_id("di"),
            "object": "discount",
            "checkout_session": checkout_session,
            "customer": customer["id"],
            "end": add_interval(now, "month", months) if months else None,
            "invoice": invoice,
            "invoice_item": invoice_item,
            "promotion_code": code["id"] if code else None,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": now,
            "subscription": subscription["id"] if subscription else None,
            "subscription_item": item,
            "_clock": customer["test_clock"],
            "_on": True,
            "_terms": terms_of(coupon),
        }
    )
    engine.emit("customer.discount.created", discount)
    return str(discount["id"])


def count(wish: Wish) -> None:
    """One redemption more."""
    if wish.coupon is not None:
        wish.coupon["times_redeemed"] += 1
    if wish.promotion_code is not None:
        wish.promotion_code["times_redeemed"] += 1


def replace(engine: Engine, subscription: Json, wanted: list[Wish]) -> None:
    """Let a subscription have these discounts and no others."""
    kept = [wish.discount["id"] for wish in wanted if wish.discount is not None]
    for id in list(subscription["discounts"]):
        if id not in kept:
            remove(engine, subscription, id)
    customer = engine.find("customer", subscription["customer"])
    subscription["discounts"] = [redeem(engine, wish, customer=customer, subscription=subscription) for wish in wanted]


def put_off(engine: Engine, before: Iterable[str], wanted: Iterable[str], *, by: bool = True) -> None:
    """Let the discounts of a change wait, as if they had not been redeemed; `by` False when the change comes about."""
    before, wanted = set(before), set(wanted)
    for id in wanted - before:
        discount = engine.find("discount", id)
        discount["_on"] = not by
        for kind, counted in (("coupon", discount["source"]["coupon"]), ("promotion_code", discount["promotion_code"])):
            if counted is not None and (redeemed := engine.store.get(counted, kind)) is not None:
                redeemed["times_redeemed"] += -1 if by else 1
    for id in before - wanted:
        engine.find("discount", id)["_on"] = by


def remove(engine: Engine, subscription: Json, id: str) -> Json:
    """Take a discount off a subscription, or off one of its items; invoices already drawn up keep it."""
    for holder in (subscription, *subscription["items"]):
        if id in holder["discounts"]:
            holder["discounts"].remove(id)
    discount = engine.find("discount", id)
    discount["_on"] = False
    engine.emit("customer.discount.deleted", discount)
    return discount


def lasting(engine: Engine, ids: Iterable[str], at: int) -> list[str]:
    """Those of the discounts that hold at a moment."""
    found = [engine.find("discount", id) for id in ids]
    return [discount["id"] for discount in found if discount["end"] is None or at < discount["end"]]


def use_up(engine: Engine, subscription: Json, used: Iterable[str]) -> None:
    """A discount that holds once is over when an invoice was lowered by it."""
    spent = set(used)
    for holder in (subscription, *subscription["items"]):
        for id in list(holder["discounts"]):
            if id in spent and engine.find("discount", id)["_terms"]["duration"] == "once":
                remove(engine, subscription, id)


def apply(engine: Engine, invoice: Json) -> None:
    """Work out what each discount takes off each line of an invoice, the lines' own discounts first."""
    cuts = [(id, engine.find("discount", id)["_terms"]) for id in invoice["discounts"]]
    lines = invoice["lines"]
    left = [line["amount"] for line in lines]
    for position, line in enumerate(lines):
        line["discount_amounts"] = []
        for id in line["discounts"]:
            (amount,) = take(engine.find("discount", id)["_terms"], [line], [left[position]], invoice["currency"])
            left[position] -= amount
            line["discount_amounts"].append({"amount": amount, "discount": id})
    for id, terms in cuts:
        for position, amount in enumerate(take(terms, lines, left, invoice["currency"])):
            left[position] -= amount
            if amount or _covers(terms, lines[position]):
                lines[position]["discount_amounts"].append({"amount": amount, "discount": id})
    totals: dict[str, int] = dict.fromkeys(invoice["discounts"], 0)
    for line in lines:
        for taken in line["discount_amounts"]:
            totals[taken["discount"]] = totals.get(taken["discount"], 0) + taken["amount"]
    invoice["total_discount_amounts"] = [{"amount": amount, "discount": id} for id, amount in totals.items()]


def take(terms: Json, lines: Sequence[Json], left: Sequence[int], currency: str) -> list[int]:
    """
    What terms take off each line, given what is left of it after earlier discounts.

    A percentage is rounded on every line alone, halves up; an amount is spread in proportion, to the last minor unit,
    and never takes more than there is.
    """
    bases = [rest if _covers(terms, line) and rest > 0 else 0 for line, rest in zip(lines, left, strict=True)]
    if terms["percent_off"] is not None:
        share = Decimal(str(terms["percent_off"])) / 100
        return [int((base * share).quantize(Decimal(1), ROUND_HALF_UP)) for base in bases]
    total = sum(bases)
    if total == 0:
        return [0] * len(bases)
    off = min(amount_off(terms, currency) or 0, total)
    taken = [off * base // total for base in bases]
    rests = sorted(range(len(bases)), key=lambda position: -(off * bases[position] % total))
    for position in rests[: off - sum(taken)]:
        taken[position] += 1
    return taken


def net_of(engine: Engine, subscription: Json, amounts: dict[str, int], at: int) -> dict[str, int]:
    """
    What is left of each item's amount (by item id) for as long as the subscription's discounts last.

    Prorations are made of these; a discount that holds once waits for a whole invoice.
    """
    items = [item for item in subscription["items"] if item["id"] in amounts]
    lines: list[Json] = [_as_line(engine, item) for item in items]
    left = [amounts[item["id"]] for item in items]
    for position, item in enumerate(items):
        for terms in _proratable(engine, item["discounts"], at):
            left[position] -= take(terms, [lines[position]], [left[position]], subscription["currency"])[0]
    for terms in _proratable(engine, subscription["discounts"], at):
        off = take(terms, lines, left, subscription["currency"])
        left = [rest - amount for rest, amount in zip(left, off, strict=True)]
    return {item["id"]: rest for item, rest in zip(items, left, strict=True)}


def _proratable(engine: Engine, ids: list[str], at: int) -> list[Json]:
    terms = [engine.find("discount", id)["_terms"] for id in lasting(engine, ids, at)]
    return [one for one in terms if one["duration"] != "once"]


def _as_line(engine: Engine, item: Json) -> Json:
    product = engine.find("price", item["price"])["product"]
    return {"discountable": True, "pricing": {"price_details": {"product": product}}}


def _covers(terms: Json, line: Json) -> bool:
    if not line["discountable"]:
        return False
    if not terms["applies_to"]:
        return True
    details = (line["pricing"] or {}).get("price_details")
    return bool(details and details["product"] in terms["applies_to"]["products"])


def amount_off(terms: Json, currency: str) -> int | None:
    """The amount terms take off in a currency; None when they say nothing about it."""
    if terms["currency"] == currency:
        return int(terms["amount_off"])
    option = (terms["currency_options"] or {}).get(currency)
    return int(option["amount_off"]) if option else None


def _minimum(restrictions: Json, currency: str) -> int | None:
    if restrictions["minimum_amount"] is not None and restrictions["minimum_amount_currency"] == currency:
        return int(restrictions["minimum_amount"])
    option = (restrictions.get("currency_options") or {}).get(currency)
    return int(option["minimum_amount"]) if option else None


def _has_paid(engine: Engine, customer: str) -> bool:
    if any(invoice["amount_paid"] > 0 for invoice in engine.store.of_customer("invoice", customer)):
        return True
    return any(
        charge["customer"] == customer and charge["status"] == "succeeded" for charge in engine.store.scan("charge")
    )


def _next_due(engine: Engine, discount: Json) -> int | None:
    on_subscription = discount["_on"] and discount["subscription"] is not None
    return int(discount["end"]) if on_subscription and discount["end"] is not None else None


def _when_due(engine: Engine, discount: Json) -> None:
    subscription = engine.find("subscription", discount["subscription"])
    with engine.changing(subscription, "customer.subscription.updated"):
        remove(engine, subscription, discount["id"])


agenda.register("discount", next_due=_next_due, when_due=_when_due)

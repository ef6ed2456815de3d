"""
What takes something off a purchase: a promotion code or a coupon, chosen by the app's server.

A code that somebody types is looked up at Stripe first, so that a mistake is told before anything is made; Stripe has
the last word when it makes the session, and counts a redemption only once the session is paid.
"""

from __future__ import annotations

from collections.abc import Mapping

from paidup.arguments import is_id
from paidup.errors import (
    DiscountExpired,
    DiscountNotApplicable,
    DiscountRefused,
    InvalidRequest,
    StripeError,
    StripeNotFound,
    UnknownDiscount,
)
from paidup.stripe_api.gateway import Gateway

_LONGEST = 500
_REMEDY = "check its spelling, or go on without it"


def choose(
    gateway: Gateway, *, promotion_code: str | None, coupon: str | None, customer_id: str | None
) -> dict[str, str] | None:
    """
    What Stripe is told about the discount, None for none. `promotion_code` is as people type it, `coupon` an id.

    `customer_id` is None for an owner without a customer. Raises UnknownDiscount, DiscountExpired,
    DiscountNotApplicable, InvalidRequest for both at once, StripeError.
    """
    if promotion_code is not None and coupon is not None:
        raise InvalidRequest("there is a promotion code and a coupon", remedy="pass one of them")
    if not all(given is None or _is_text(given) for given in (promotion_code, coupon)):
        raise InvalidRequest("a promotion code and a coupon's id are text", remedy="pass a str, or leave it out")
    if coupon is not None:
        if not is_id(coupon):
            raise UnknownDiscount("this is not a coupon's id", remedy="pass one of Stripe's Dashboard")
        return {"coupon": coupon}
    if promotion_code is None:
        return None
    code = promotion_code.strip()
    if not code or len(code) > _LONGEST or not code.isprintable():
        raise UnknownDiscount("this is not a promotion code", remedy=_REMEDY)
    found = gateway.list_promotion_codes(code)
    if not found:
        raise UnknownDiscount(f"there is no promotion code {code!r}", remedy=_REMEDY)
    active = [each for each in found if each["active"]]
    if not active:
        raise DiscountExpired(f"promotion code {code!r} is no longer valid", remedy="go on without it")
    usable = [each for each in active if each["customer"] in (None, customer_id)]
    if not usable:
        raise DiscountNotApplicable(f"promotion code {code!r} is for somebody else", remedy="go on without it")
    return {"promotion_code": str(usable[0]["id"])}


def is_used_up(gateway: Gateway, discount: Mapping[str, str]) -> bool:
    """Is a discount that was chosen over with the first whole invoice it is taken off? Raises StripeError."""
    return bool(gateway.coupon_of(discount).get("duration") == "once")


def refusal(error: StripeError) -> DiscountRefused | None:
    """What Stripe's refusal says about a discount, wherever it stands; None when it is about something else."""
    if "discounts" not in (error.param or ""):
        return None
    if isinstance(error, StripeNotFound):
        return UnknownDiscount("Stripe has no such discount", remedy=_REMEDY)
    if error.stripe_code == "coupon_expired":
        return DiscountExpired("the discount is no longer valid", remedy="go on without it")
    return DiscountNotApplicable(f"the discount does not apply: {error.message}", remedy="go on without it")


def _is_text(value: object) -> bool:
    return isinstance(value, str)

"""Promotion codes: the words customers type to redeem a coupon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.discounts import is_active, is_valid
from stripe_emulator.ids import new_id, token
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import public, renders
from stripe_emulator.resources import coupons, customers
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A code for a coupon, perhaps for one customer, a number of times or until a moment."""
    promotion = params.at("promotion")
    promotion.get("type")
    if "coupon" not in promotion:
        raise invalid("Missing required param: promotion[coupon].", param="promotion[coupon]", code="parameter_missing")
    coupon = coupons.find(engine, promotion["coupon"], param="promotion[coupon]")
    customer = params.get("customer")
    if customer is not None:
        customers.existing(engine, customer, param="customer")
    code = params.get("code") or token(8).upper()
    _check_free(engine, code)
    expires_at, most = params.get("expires_at"), params.get("max_redemptions")
    if expires_at is not None and expires_at <= engine.now():
        raise invalid("Timestamp must be in the future.", param="expires_at")
    if most is not None and most < 1:
        raise invalid("This value must be greater than or equal to 1.", param="max_redemptions")
    if most is not None and coupon["max_redemptions"] is not None and most > coupon["max_redemptions"]:
        raise invalid("max_redemptions can't be more than that of the coupon.", param="max_redemptions")
    made = engine.store.add(
        {
            **nulls("promotion_code"),
            "id": new_id("promo"),
            "object": "promotion_code",
            "active": params.get("active", True),
            "code": code,
            "created": engine.now(),
            "customer": customer,
            "expires_at": expires_at,
            "livemode": False,
            "max_redemptions": most,
            "metadata": params.get("metadata") or {},
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "restrictions": _restrictions(params.at("restrictions")),
            "times_redeemed": 0,
        }
    )
    engine.emit("promotion_code.created", made)
    return made


def by_code(engine: Engine, code: str) -> Json | None:
    """The active promotion code a customer typed, in whatever case."""
    wanted = code.strip().casefold()
    for found in engine.store.scan("promotion_code"):
        if found["code"].casefold() == wanted and is_active(engine, found):
            return engine.find("promotion_code", found["id"])
    return None


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One promotion code, by its id."""
    return engine.find("promotion_code", ids[0], noun="promotion code")


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Whether it is active, its metadata, and its minimum in further currencies."""
    code = engine.find("promotion_code", ids[0], noun="promotion code")
    with engine.changing(code, "promotion_code.updated"):
        if "active" in params:
            wanted = params["active"]
            if wanted and not is_valid(engine, engine.find("coupon", code["promotion"]["coupon"])):
                raise invalid("A promotion code can't be active when its coupon is not valid.", param="active")
            if wanted and not code["active"]:
                _check_free(engine, code["code"])
            code["active"] = wanted
        options = params.at("restrictions").plain("currency_options")
        if options:
            code["restrictions"]["currency_options"] = {**code["restrictions"].get("currency_options", {}), **options}
        code["metadata"] = merged(code["metadata"], params)
    return code


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Promotion codes by code (in any case), coupon, customer and activity."""
    active, code, coupon, customer = (params.get(name) for name in ("active", "code", "coupon", "customer"))
    return [
        found
        for found in engine.store.scan("promotion_code")
        if (active is None or active == is_active(engine, found))
        and (code is None or code.casefold() == found["code"].casefold())
        and coupon in (None, found["promotion"]["coupon"])
        and customer in (None, found["customer"])
    ]


def _restrictions(sent: Params) -> Json:
    minimum, currency = sent.get("minimum_amount"), sent.get("minimum_amount_currency")
    if minimum is not None and currency is None:
        raise invalid(
            "You must pass minimum_amount_currency with minimum_amount.",
            param="restrictions[minimum_amount_currency]",
            code="parameter_missing",
        )
    restrictions: Json = {
        "first_time_transaction": sent.get("first_time_transaction", False),
        "minimum_amount": minimum,
        "minimum_amount_currency": currency.lower() if currency else None,
    }
    options = sent.plain("currency_options")
    return {**restrictions, "currency_options": options} if options else restrictions


def _check_free(engine: Engine, code: str) -> None:
    if by_code(engine, code) is not None:
        raise invalid(
            f"An active promotion code with `code: {code}` already exists.",
            param="code",
            code="resource_already_exists",
        )


@renders("promotion_code")
def show_promotion_code(engine: Engine, code: Json) -> Json:
    """With what its redemptions, its coupon and the time have made of its activity."""
    return {**public(code), "active": is_active(engine, code)}


ROUTES = [
    Route("POST", "/v1/promotion_codes", create, "PromotionCodeCreateParams"),
    Route("GET", "/v1/promotion_codes", listing, "PromotionCodeListParams"),
    Route("GET", "/v1/promotion_codes/{id}", retrieve, "PromotionCodeRetrieveParams"),
    Route("POST", "/v1/promotion_codes/{id}", update, "PromotionCodeUpdateParams"),
]

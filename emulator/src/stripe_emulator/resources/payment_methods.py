"""Payment methods: cards and bank accounts by test number, token or name, attached to customers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stripe_emulator.cards import ALREADY_SET_UP, CARDS, Decline, TestCard, number_of, problem_with
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.debit_methods import create_debit, make_debit, number_named
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

_CHANGEABLE = {"card": ("exp_month", "exp_year"), "us_bank_account": ("account_holder_type", "account_type")}
EMPTY_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def make_card(
    engine: Engine,
    number: str,
    *,
    exp_month: int = 0,
    exp_year: int = 0,
    billing_details: Json | None = None,
    metadata: Json | None = None,
    clock: str | None = None,
) -> Json:
    """Store a card that belongs to nobody yet. Without an expiry it expires next year, as `pm_card_*` do."""
    card = CARDS[number]
    now = engine.now(clock)
    return engine.store.add(
        {
            **nulls("payment_method"),
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing_details_of(billing_details or {}),
            "card": {
                "brand": card.brand,
                "checks": _checks(card),
                "country": card.country,
                "display_brand": card.brand,
                "exp_month": exp_month or datetime.fromtimestamp(now, UTC).month,
                "exp_year": exp_year or datetime.fromtimestamp(now, UTC).year + 1,
                "fingerprint": hashlib.sha256(number.encode()).hexdigest()[:16],
                "funding": card.funding,
                "generated_from": None,
                "last4": number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": now,
            "customer": None,
            "livemode": False,
            "metadata": metadata or {},
            "type": "card",
            "_number": number,
            "_set_up": number in ALREADY_SET_UP,
        }
    )


def _checks(card: TestCard) -> Json:
    checks: Json = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
    return {**checks, **dict.fromkeys(card.failing, "fail")}


def check_typed_card(engine: Engine, number: str, exp_month: int, exp_year: int, cvc: str | None) -> None:
    """Raise the card error Stripe answers to a card that can't be right as typed."""
    today = datetime.fromtimestamp(engine.now(), UTC)
    problem = problem_with(number, exp_month, exp_year, cvc, now=(today.year, today.month))
    if problem is not None:
        raise problem.error()


def usable(engine: Engine, id: str, customer: str | None, *, param: str) -> Json:
    """
    The payment method an id names; the name of a test payment method makes a new one.

    Raises as Stripe does when it belongs to another customer.
    """
    method = _from_name(engine, id)
    if method is not None:
        if customer is not None:
            attach(engine, method, customer)
        return method
    found = engine.store.get(id, "payment_method")
    if found is None:
        raise no_such("PaymentMethod", id, param=param)
    if customer is not None and found["customer"] != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {id}. "
            "The payment method must be attached to the customer.",
            param=param,
            code="resource_missing",
        )
    return found


def attach(engine: Engine, method: Json, customer: str, *, emit: bool = True) -> None:
    """Give a payment method to a customer."""
    owner = engine.find("customer", customer)
    method["customer"] = customer
    method["_clock"] = owner["test_clock"]
    if emit:
        engine.emit("payment_method.attached", method)


def _from_name(engine: Engine, name: str) -> Json | None:
    """A new payment method of a `pm_card_*`, `pm_usBankAccount_*` or `pm_sepaDebit_*` name."""
    number = number_of(name) if name.startswith("pm_card_") else None
    if number is not None:
        return make_card(engine, number)
    number = number_named(name)
    if number is None:
        return None
    return make_debit(engine, number, billing_details_of({"name": "Jenny Rosen", "email": "jenny@example.com"}))


def billing_details_of(given: Json) -> Json:
    """`billing_details` in full; what wasn't given is null."""
    address = given.get("address") or {}
    return {
        "address": {**EMPTY_ADDRESS, **address},
        "email": given.get("email"),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "tax_id": given.get("tax_id"),
    }


def shipping_of(params: Params) -> Json | None:
    """Where a request's `shipping` sends the goods."""
    sent = params.plain("shipping")
    if not sent:
        return None
    address = {**EMPTY_ADDRESS, **sent["address"]}
    optional = {name: sent.get(name) for name in ("carrier", "phone", "tracking_number")}
    return {**optional, "name": sent["name"], "address": address}


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """`type=card` with a number or a token; `us_bank_account` and `sepa_debit` with an account."""
    type = params.get("type")
    details = params.plain("billing_details") or {}
    metadata = params.get("metadata") or {}
    if type in ("us_bank_account", "sepa_debit"):
        return create_debit(engine, params, billing_details_of(details), metadata)
    if type != "card":
        raise invalid("stripe_emulator knows card, us_bank_account and sepa_debit only", param="type")
    card = params.at("card")
    token = card.get("token")
    if token:
        number = number_of(token)
        if number is None:
            raise no_such("token", token, param="card[token]")
        return make_card(engine, number, billing_details=details, metadata=metadata)
    for name in ("number", "exp_month", "exp_year"):
        if name not in card:
            raise invalid(f"Missing required param: card[{name}].", param=f"card[{name}]", code="parameter_missing")
    number = str(card["number"]).replace(" ", "")
    month, year = card["exp_month"], card["exp_year"]
    check_typed_card(engine, number, month, year, card.get("cvc"))
    return make_card(engine, number, exp_month=month, exp_year=year, billing_details=details, metadata=metadata)


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One payment method."""
    return engine.find("payment_method", ids[0], noun="PaymentMethod")


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Billing details, a card's expiry, an account's holder and type, and metadata."""
    method = engine.find("payment_method", ids[0], noun="PaymentMethod")
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    with engine.changing(method, "payment_method.updated"):
        if "billing_details" in params:
            merged_details = {**method["billing_details"], **(params.plain("billing_details") or {})}
            method["billing_details"] = billing_details_of(merged_details)
        if "allow_redisplay" in params:
            method["allow_redisplay"] = params["allow_redisplay"]
        for type, names in _CHANGEABLE.items():
            sent = params.at(type) if method["type"] == type else Params()
            method_details: Json = method.get(type) or {}
            method_details.update({name: sent[name] for name in names if name in sent})
        method["metadata"] = merged(method["metadata"], params)
    return method


def attach_route(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Attach to a customer; a card that declines on setup is refused here."""
    customer = params.get("customer")
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    if engine.store.get(customer, "customer") is None or engine.find("customer", customer).get("_deleted"):
        raise no_such("customer", customer, param="customer")
    method = _from_name(engine, ids[0]) or engine.find("payment_method", ids[0], noun="PaymentMethod")
    if method["customer"] is not None and method["customer"] != customer:
        raise invalid("The payment method you provided has already been attached to a customer.")
    if method.get("_detached"):
        raise invalid(
            "The payment method you provided was previously used with a PaymentIntent without Customer attachment, "
            "shared with a connected account without Customer attachment, or was detached from a Customer. "
            "It may not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first."
        )
    refusal = refuses_setup(method)
    if refusal is not None:
        raise refusal.error()
    if method["customer"] is None:
        attach(engine, method, customer)
    return method


def detach(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take it from its customer for good."""
    method = engine.find("payment_method", ids[0], noun="PaymentMethod")
    customer = method["customer"]
    if customer is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    forget_defaults(engine, customer, method["id"])
    with engine.changing(method, None):
        method["customer"] = None
        method["_detached"] = True
    engine.emit("payment_method.detached", method, {"customer": customer})
    return method


def forget_defaults(engine: Engine, customer: str, method: str) -> None:
    """Clear a payment method from wherever it is a default."""
    owner = engine.find("customer", customer)
    if owner["invoice_settings"]["default_payment_method"] == method:
        with engine.changing(owner, "customer.updated"):
            owner["invoice_settings"]["default_payment_method"] = None
    for subscription in list(engine.store.of_customer("subscription", customer)):
        if subscription["default_payment_method"] == method:
            with engine.changing(engine.find("subscription", subscription["id"]), "customer.subscription.updated") as s:
                s["default_payment_method"] = None


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A customer's payment methods; without a customer, none."""
    customer = ids[0] if ids else params.get("customer")
    if customer is None:
        return []
    if engine.store.get(customer, "customer") is None:
        raise no_such("customer", customer, param="id" if ids else "customer")
    wanted = params.get("type")
    return [
        method
        for method in engine.store.scan("payment_method")
        if method["customer"] == customer and wanted in (None, method["type"])
    ]


def retrieve_of_customer(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One payment method of a customer."""
    method = engine.find("payment_method", ids[1], noun="PaymentMethod")
    if method["customer"] != ids[0]:
        raise no_such("PaymentMethod", ids[1])
    return method


def must_authenticate(method: Json, *, off_session: bool) -> bool:
    """Does charging it need 3D Secure now? Only cards ever do."""
    if method["type"] != "card":
        return False
    authentication = CARDS[method["_number"]].authentication
    if authentication == "always":
        return True
    if authentication == "until_set_up":
        return not method["_set_up"]
    return authentication == "on_setup" and not (method["_set_up"] or (off_session and method["customer"] is not None))


def refuses_setup(method: Json) -> Decline | None:
    """How a payment method refuses to be saved."""
    return CARDS[method["_number"]].setup if method["type"] == "card" else None


ROUTES = [
    Route("POST", "/v1/payment_methods", create, "PaymentMethodCreateParams"),
    Route("GET", "/v1/payment_methods", listing, "PaymentMethodListParams"),
    Route("GET", "/v1/payment_methods/{id}", retrieve, "PaymentMethodRetrieveParams"),
    Route("POST", "/v1/payment_methods/{id}", update, "PaymentMethodUpdateParams"),
    Route("POST", "/v1/payment_methods/{id}/attach", attach_route, "PaymentMethodAttachParams"),
    Route("POST", "/v1/payment_methods/{id}/detach", detach, "PaymentMethodDetachParams"),
    Route("GET", "/v1/customers/{id}/payment_methods", listing, "CustomerListPaymentMethodsParams"),
    Route(
        "GET",
        "/v1/customers/{id}/payment_methods/{id}",
        retrieve_of_customer,
        "CustomerRetrievePaymentMethodParams",
    ),
]

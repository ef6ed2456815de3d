"""Customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import standing
from stripe_emulator.billing.balance import book
from stripe_emulator.ids import new_id, token
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import public, renders
from stripe_emulator.resources import payment_methods
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TEXTS = ("name", "email", "phone", "description")
LONGEST = {"name": 256, "email": 512}
"""In characters: docs.stripe.com/api/customers/create."""
MAX_PER_CLOCK = 3


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A customer, on a test clock if one is named."""
    clock = params.get("test_clock")
    if clock is not None:
        if engine.store.get(clock, "test_helpers.test_clock") is None:
            raise no_such("testhelpers.testclock", clock, param="test_clock")
        if sum(customer["test_clock"] == clock for customer in engine.store.scan("customer")) >= MAX_PER_CLOCK:
            raise invalid(f"A test clock can have at most {MAX_PER_CLOCK} customers.", param="test_clock")
    customer = make(engine, clock=clock)
    _apply(engine, customer, params, new=True)
    method = params.get("payment_method")
    if method is not None:
        payment_methods.attach(
            engine, payment_methods.usable(engine, method, None, param="payment_method"), customer["id"]
        )
    engine.emit("customer.created", customer)
    return customer


def make(engine: Engine, *, clock: str | None = None, email: str | None = None, name: str | None = None) -> Json:
    """Store a customer; no event yet."""
    return engine.store.add(
        {
            **nulls("customer"),
            "id": new_id("cus"),
            "object": "customer",
            "balance": 0,
            "created": engine.now(clock),
            "delinquent": False,
            "email": email,
            "invoice_prefix": token(8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": {},
            "name": name,
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
            "test_clock": clock,
        }
    )


def existing(engine: Engine, id: str, *, param: str) -> Json:
    """A customer that may be acted for; a deleted one is none."""
    customer = engine.store.get(id, "customer")
    if customer is None or customer.get("_deleted"):
        raise no_such("customer", id, param=param)
    return customer


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One customer; a deleted one is a stub that says so."""
    return engine.find("customer", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Any of its fields."""
    customer = existing(engine, ids[0], param="id")
    with engine.changing(customer, "customer.updated"):
        _apply(engine, customer, params)
    return customer


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Gone for good; its subscriptions end at once."""
    customer = existing(engine, ids[0], param="id")
    for found in list(engine.store.of_customer("subscription", customer["id"])):
        if found["status"] not in standing.ENDED:
            standing.cancel(engine, engine.find("subscription", found["id"]), reason="cancellation_requested")
    engine.emit("customer.deleted", customer)
    customer["_deleted"] = True
    return customer


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Customers by e-mail (exactly as written) and test clock; those on a clock only when it is named."""
    email, clock = params.get("email"), params.get("test_clock")
    return [
        customer
        for customer in engine.store.scan("customer")
        if not customer.get("_deleted")
        and customer["test_clock"] == clock
        and (email is None or customer["email"] == email)
    ]


def _apply(engine: Engine, customer: Json, params: Params, *, new: bool = False) -> None:
    for name in TEXTS:
        if name in params:
            customer[name] = params[name] or None
    for name, longest in LONGEST.items():
        if len(customer[name] or "") > longest:
            raise invalid(f"Invalid string: must be at most {longest} characters", param=name)
    if customer["email"] is not None and "@" not in customer["email"]:
        raise invalid(f"Invalid email address: {customer['email']}", param="email", code="email_invalid")
    for name in ("address", "shipping"):
        if name in params:
            sent = params.plain(name)
            if name == "address" and sent is not None:
                sent = {**payment_methods.EMPTY_ADDRESS, **sent}
            customer[name] = sent
    if "balance" in params and params["balance"] != customer["balance"]:
        book(
            engine,
            customer,
            params["balance"] - customer["balance"],
            type="initial" if new else "adjustment",
            currency=customer["currency"] or engine.settings.default_currency,
        )
    if "tax_exempt" in params:
        customer["tax_exempt"] = params["tax_exempt"] or "none"
    if "invoice_prefix" in params:
        customer["invoice_prefix"] = params["invoice_prefix"]
    if "next_invoice_sequence" in params:
        customer["next_invoice_sequence"] = params["next_invoice_sequence"]
    if "preferred_locales" in params:
        customer["preferred_locales"] = params["preferred_locales"]
    settings = params.at("invoice_settings")
    if "default_payment_method" in settings:
        wanted = settings["default_payment_method"]
        if wanted:
            method = payment_methods.usable(
                engine, wanted, customer["id"], param="invoice_settings[default_payment_method]"
            )
            wanted = method["id"]
        customer["invoice_settings"]["default_payment_method"] = wanted or None
    if "footer" in settings:
        customer["invoice_settings"]["footer"] = settings["footer"] or None
    customer["metadata"] = merged(customer["metadata"], params)


@renders("customer")
def show_customer(engine: Engine, customer: Json) -> Json:
    """A deleted customer is only its id."""
    if customer.get("_deleted"):
        return {"id": customer["id"], "object": "customer", "deleted": True}
    return public(customer)


ROUTES = [
    Route("POST", "/v1/customers", create, "CustomerCreateParams"),
    Route("GET", "/v1/customers", listing, "CustomerListParams"),
    Route("GET", "/v1/customers/{id}", retrieve, "CustomerRetrieveParams"),
    Route("POST", "/v1/customers/{id}", update, "CustomerUpdateParams"),
    Route("DELETE", "/v1/customers/{id}", delete, "CustomerDeleteParams"),
]

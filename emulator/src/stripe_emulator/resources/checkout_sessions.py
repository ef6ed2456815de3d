"""Checkout sessions: made, listed, expired. What their page does is in `checkout_page`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.billing import taxes
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list, includes, public, renders, show
from stripe_emulator.resources import (
    checkout_addresses,
    checkout_discounts,
    checkout_lines,
    checkout_methods,
    customers,
)
from stripe_emulator.resources.metadata import merged
from stripe_emulator.resources.payment_methods import shipping_of
from stripe_emulator.resources.subscriptions import missing_payment_method, trial_end
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

IGNORED = (
    "adaptive_pricing",
    "branding_settings",
    "consent_collection",
    "custom_text",
    "payment_method_options",
    "phone_number_collection",
    "saved_payment_method_options",
    "wallet_options",
    "expand",
)
INTENT_DETAILS = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
)
MIN_EXPIRY, MAX_EXPIRY = 1800, DAY


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    A session whose page takes a payment, a subscription or a card.

    Nothing but the session exists until the page is completed.
    """
    params.ignore(*IGNORED)
    mode = params.get("mode", "payment")
    id = new_id("cs_test")
    addresses = checkout_addresses.read(params, id)
    customer = _customer(engine, params)
    _check_customer_update(params, customer)
    clock = customer["test_clock"] if customer else None
    now = engine.now(clock)
    asked = params.get("currency")
    items = checkout_lines.make(engine, customer, params.list_of("line_items"), asked)
    currency = items[0]["currency"] if items else asked
    checkout_lines.check(items, mode)
    allowed = params.get("allowed_payment_method_types")
    methods = checkout_methods.offered(
        engine,
        currency,
        allowed=allowed,
        excluded=params.get("excluded_payment_method_types"),
    )
    details = params.at("subscription_data")
    session: Json = {
        **nulls("checkout.session"),
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False} if mode != "setup" else None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "automatic_tax": _automatic_tax(params.at("automatic_tax").get("enabled", False)),
        "billing_address_collection": params.get("billing_address_collection"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer["id"] if customer else None,
        "customer_creation": params.get("customer_creation", "if_required") if mode == "payment" else None,
        "customer_details": _details(customer, params.get("customer_email")),
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": _expiry(params, now),
        "integration_identifier": params.get("integration_identifier"),
        "livemode": False,
        "locale": params.get("locale"),
        "metadata": params.get("metadata") or {},
        "mode": mode,
        "origin_context": params.get("origin_context"),
        "payment_method_collection": _method_collection(params, mode),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": methods,
        **({"allowed_payment_method_types": allowed} if allowed else {}),
        "payment_status": "unpaid" if mode != "setup" else "no_payment_required",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        }
        if customer and mode != "setup"
        else None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0} if items else None,
        **addresses,
        "_items": items,
        "_clock": clock,
        "_subscription_data": _subscription_data(engine, details, mode, now),
        "_intent_metadata": params.at("payment_intent_data").get("metadata") or {},
        "_intent_terms": _intent_terms(params.at("payment_intent_data"), mode),
        "_setup_metadata": params.at("setup_intent_data").get("metadata") or {},
    }
    checkout_discounts.price(engine, session)
    checkout_discounts.give(engine, session, params)
    engine.store.add(session)
    return session


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One session."""
    return find(engine, ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its metadata."""
    session = find(engine, ids[0])
    session["metadata"] = merged(session["metadata"], params)
    return session


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Sessions by customer, status, subscription and payment intent."""
    wanted = {name: params.get(name) for name in ("customer", "status", "subscription", "payment_intent")}
    email = params.at("customer_details").get("email")
    return [
        session
        for session in engine.store.scan("checkout.session")
        if all(value in (None, session[name]) for name, value in wanted.items())
        and (email is None or (session["customer_details"] or {}).get("email") == email)
    ]


def list_line_items(engine: Engine, ids: list[str], params: Params) -> Reply:
    """What is being bought."""
    return [public(item) for item in find(engine, ids[0])["_items"]]


def expire_route(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Close an open session."""
    session = find(engine, ids[0])
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of {session['status']}."
        )
    expire(engine, session)
    return session


def find(engine: Engine, id: str) -> Json:
    """The session, or Stripe's answer that there is none."""
    return engine.find("checkout.session", id, noun="checkout.session")


def expire(engine: Engine, session: Json) -> None:
    """Its time is over; a payment that was begun is given up."""
    from stripe_emulator.billing.payments import cancel_intent

    session["status"] = "expired"
    intent = engine.store.get(session["_intent"], "payment_intent") if session.get("_intent") else None
    if intent is not None:
        cancel_intent(engine, intent, "abandoned")
    engine.emit("checkout.session.expired", session)


def _customer(engine: Engine, params: Params) -> Json | None:
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if "customer" not in params:
        return None
    return customers.existing(engine, params["customer"], param="customer")


def _check_customer_update(params: Params, customer: Json | None) -> None:
    """
    An existing customer is changed only when that is said, and tax needs what is typed on the page.

    See https://docs.stripe.com/tax/checkout and https://docs.stripe.com/tax/checkout/tax-ids
    """
    update = params.at("customer_update")
    if customer is None:
        if update:
            raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
        return
    addresses = (update.get("address"), update.get("shipping"))
    if params.at("automatic_tax").get("enabled") and not customer["address"] and "auto" not in addresses:
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' "
            "to save the address entered in Checkout to the Customer.",
            param="automatic_tax",
            code="customer_tax_location_invalid",
        )
    if params.at("tax_id_collection").get("enabled") and update.get("name") != "auto":
        raise invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
            "existing customer, please set `customer_update[name]` to `auto`.",
            param="tax_id_collection",
        )


def _intent_terms(sent: Params, mode: str) -> Json:
    """`payment_intent_data`, as the payment intent will have it; a session without one takes none of it."""
    if sent and mode != "payment":
        raise invalid("You can not pass `payment_intent_data` in this mode.", param="payment_intent_data")
    return {"shipping": shipping_of(sent), **{name: sent[name] for name in INTENT_DETAILS if name in sent}}


def _automatic_tax(enabled: bool) -> Json:
    if not enabled:
        return {"enabled": False, "liability": None, "provider": None, "status": None}
    return {
        "enabled": True,
        "liability": {"type": "self"},
        "provider": "stripe",
        "status": "requires_location_inputs",
    }


def _details(customer: Json | None, email: str | None) -> Json | None:
    if customer is None and email is None:
        return None
    address = email if customer is None else customer["email"]
    return details(address, customer["name"] if customer else None)


def details(email: str | None, name: str | None) -> Json:
    """The `customer_details` of a session."""
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _expiry(params: Params, now: int) -> int:
    expires_at = params.get("expires_at")
    if expires_at is None:
        return now + MAX_EXPIRY
    if not now + MIN_EXPIRY <= expires_at <= now + MAX_EXPIRY:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours from Checkout Session "
            "creation.",
            param="expires_at",
        )
    return int(expires_at)


def _method_collection(params: Params, mode: str) -> str | None:
    wanted = params.get("payment_method_collection")
    if mode == "subscription":
        return wanted or "always"
    if wanted is not None:
        raise invalid(
            "You can only set `payment_method_collection` if there are recurring prices.",
            param="payment_method_collection",
        )
    return None


def _subscription_data(engine: Engine, sent: Params, mode: str, now: int) -> Json | None:
    if mode != "subscription":
        if sent:
            raise invalid("You can not pass `subscription_data` in this mode.", param="subscription_data")
        return None
    end = trial_end(sent, now)
    days = sent.get("trial_period_days")
    return {
        "trial_end": None if days else end,
        "trial_end_after": days,
        "missing_payment_method": missing_payment_method(sent),
        "metadata": sent.get("metadata") or {},
        "description": sent.get("description"),
        "default_tax_rates": taxes.read(engine, sent, "default_tax_rates"),
        "billing_mode": sent.at("billing_mode").get("type", "flexible"),
    }


def _has_page(session: Json) -> bool:
    return bool(session["status"] == "open" and session["ui_mode"] == checkout_addresses.HOSTED)


@renders("checkout.session")
def show_session(engine: Engine, session: Json) -> Json:
    """Its address only while it is open."""
    shown = public(session)
    shown["url"] = f"{engine.base_url}/c/pay/{session['id']}" if _has_page(session) else None
    return shown


@includes("checkout.session", "line_items")
def show_line_items(engine: Engine, session: Json) -> Json:
    """What is being bought, when expanded."""
    items = [show(engine, item) for item in session["_items"]]
    return as_list(items, f"/v1/checkout/sessions/{session['id']}/line_items")


def _next_due(engine: Engine, session: Json) -> int | None:
    return int(session["expires_at"]) if session["status"] == "open" else None


agenda.register("checkout.session", next_due=_next_due, when_due=expire)

ROUTES = [
    Route("POST", "/v1/checkout/sessions", create, "checkout.SessionCreateParams"),
    Route("GET", "/v1/checkout/sessions", listing, "checkout.SessionListParams"),
    Route("GET", "/v1/checkout/sessions/{id}", retrieve, "checkout.SessionRetrieveParams"),
    Route("POST", "/v1/checkout/sessions/{id}", update, "checkout.SessionUpdateParams"),
    Route(
        "GET",
        "/v1/checkout/sessions/{id}/line_items",
        list_line_items,
        "checkout.SessionLineItemListParams",
    ),
    Route("POST", "/v1/checkout/sessions/{id}/expire", expire_route, "checkout.SessionExpireParams"),
]

"""
What each kind of object can be searched by, and how.

See https://docs.stripe.com/search#supported-query-fields-for-each-resource
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from stripe_emulator.billing import invoicing
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json

Type = Literal["token", "string", "numeric"]

SOURCES = ("card", "card_present", "interac_present")
OF_CARDS = ("last4", "exp_month", "exp_year", "brand", "fingerprint")

FIELDS: dict[str, dict[str, Type]] = {
    "charge": {
        "amount": "numeric",
        "billing_details.address.postal_code": "token",
        "created": "numeric",
        "currency": "token",
        "customer": "token",
        "disputed": "token",
        **{f"payment_method_details.{source}.{name}": "token" for source in SOURCES for name in OF_CARDS},
        "refunded": "token",
        "status": "token",
    },
    "customer": {"created": "numeric", "email": "string", "name": "string", "phone": "string"},
    "invoice": {
        "created": "numeric",
        "currency": "token",
        "customer": "token",
        "number": "string",
        "receipt_number": "string",
        "status": "string",
        "subscription": "string",
        "total": "numeric",
    },
    "payment_intent": {
        "amount": "numeric",
        "created": "numeric",
        "currency": "token",
        "customer": "token",
        "status": "token",
    },
    "price": {"active": "token", "currency": "token", "lookup_key": "string", "product": "string", "type": "token"},
    "product": {
        "active": "token",
        "description": "string",
        "name": "string",
        "shippable": "token",
        "url": "string",
    },
    "subscription": {"created": "numeric", "status": "token"},
}
"""By kind; every kind has `metadata` too, whose values are tokens."""

PLURALS = {
    "charge": "charges",
    "customer": "customers",
    "invoice": "invoices",
    "payment_intent": "payment_intents",
    "price": "prices",
    "product": "products",
    "subscription": "subscriptions",
}


def type_of(kind: str, field: str) -> Type:
    """How a field is compared, or Stripe's 400."""
    if field == "metadata":
        return "token"
    found = FIELDS[kind].get(field)
    if found is None:
        plural = PLURALS[kind]
        raise invalid(
            f"Field `{field}` is an unsupported search field for resource `{plural}`. "
            f"See http://stripe.com/docs/search#query-fields-for-{plural.replace('_', '-')} "
            "for a list of supported fields.",
            param="query",
        )
    return found


def value_of(value: Json, field: str, key: str | None) -> Any:
    """What an object has in a field; None when nothing."""
    if key is not None:
        return (value.get("metadata") or {}).get(key)
    special = _SPECIAL.get((value["object"], field))
    if special is not None:
        return special(value)
    found: Any = value
    for step in field.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _refunded(charge: Json) -> bool | None:
    """True for a full refund, False for a partial one, null for none."""
    return bool(charge["refunded"]) if charge["amount_refunded"] else None


_SPECIAL: dict[tuple[str, str], Callable[[Json], Any]] = {
    ("charge", "refunded"): _refunded,
    ("invoice", "subscription"): invoicing.subscription_of,
}

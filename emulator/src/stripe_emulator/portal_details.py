"""
Who a customer is, as they may change it in the portal: name, e-mail, phone, address.

See https://docs.stripe.com/api/customer_portal/configurations/object#portal_configuration_object-features-customer_update
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.hosted_views import DetailsInput
from stripe_emulator.resources.payment_methods import EMPTY_ADDRESS
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

_TEXTS = ("name", "email", "phone")


def shown(customer: Json, feature: Json) -> dict[str, str]:
    """The form's fields with what they hold now; empty where nothing may be changed."""
    if not feature["enabled"]:
        return {}
    found = {name: customer[name] or "" for name in _TEXTS if name in feature["allowed_updates"]}
    if "address" in feature["allowed_updates"]:
        address = customer["address"] or EMPTY_ADDRESS
        found |= {name: address.get(name) or "" for name in EMPTY_ADDRESS}
    return found


def save(engine: Engine, customer: Json, feature: Json, typed: DetailsInput) -> bool:
    """Change what may be changed; what was not on the form stays. False when nothing may be."""
    may = shown(customer, feature)
    wanted = {name: value or None for name, value in typed.fields.items() if name in may}
    with engine.changing(customer, "customer.updated"):
        customer.update({name: value for name, value in wanted.items() if name in _TEXTS})
        address = {name: value for name, value in wanted.items() if name in EMPTY_ADDRESS}
        if address:
            both = {**(customer["address"] or EMPTY_ADDRESS), **address}
            customer["address"] = both if any(both.values()) else None
    return bool(may)

"""
Brings Stripe in line with the plans file: products, prices and the portal's configuration.

One idempotent call: a second run finds nothing to do, and a run that died in the middle is finished by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paidup.catalog import diff
from paidup.catalog.diff import Step
from paidup.core.catalog import Catalog
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

__all__ = ["Step", "push"]

_LOOKUP_KEYS_A_CALL = 10


def push(catalog: Catalog, gateway: Gateway, *, on_step: Callable[[Step], None] | None = None) -> list[Step]:
    """
    Do what is missing, in order, and return it; `on_step` hears each step when it is done.

    Raises StripeError at the first step Stripe refuses; what came before it stays, and running again goes on there.
    """
    done: list[Step] = []

    def finished(step: Step) -> None:
        done.append(step)
        if on_step is not None:
            on_step(step)

    ids = [diff.product_id(plan) for plan in diff.sold(catalog)]
    for step in diff.products(catalog, {each: gateway.find_product(each) for each in ids}):
        if step.object_id is None:
            gateway.create_product(step.params, idempotency_key=_key(step))
        else:
            gateway.update_product(step.object_id, step.params)
        finished(step)
    for step in diff.prices(catalog, _existing_prices(catalog, gateway)):
        _price(step, gateway)
        finished(step)
    price_ids = {each["lookup_key"]: each["id"] for each in _existing_prices(catalog, gateway)}
    for step in diff.portal(catalog, gateway.find_portal_configuration(), price_ids):
        if step.object_id is None:
            gateway.create_portal_configuration(step.params, idempotency_key=_key(step))
        else:
            gateway.update_portal_configuration(step.object_id, step.params)
        finished(step)
    return done


def _price(step: Step, gateway: Gateway) -> None:
    match step.action:
        case "create":
            gateway.create_price(step.params, idempotency_key=_key(step))
        case "replace":
            # The new price takes the lookup key first, so that there is no moment without one.
            gateway.create_price(step.params, idempotency_key=_key(step))
            gateway.update_price(str(step.object_id), {"active": False})
        case _:
            gateway.update_price(str(step.object_id), step.params)


def _existing_prices(catalog: Catalog, gateway: Gateway) -> list[dict[str, Any]]:
    keys = [price.lookup_key for plan in diff.sold(catalog) for price in plan.prices]
    found: list[dict[str, Any]] = []
    for start in range(0, len(keys), _LOOKUP_KEYS_A_CALL):
        found += gateway.list_prices(lookup_keys=keys[start : start + _LOOKUP_KEYS_A_CALL], active=True)
    return found


def _key(step: Step) -> str:
    # The replaced price is part of the intent: going back to an earlier amount is a new price, not the old answer.
    return idempotency.key("catalog", f"{step.kind}-{step.subject}-{step.object_id or 'new'}", step.params)

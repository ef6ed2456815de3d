"""
Brings Stripe in line with the plans file: products, prices and the portal's configuration.

One idempotent call: a second run finds nothing to do, and a run that died in the middle is finished by the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from time import time
from typing import Any

from paidup.catalog import diff
from paidup.catalog.diff import Step
from paidup.core.catalog import Catalog
from paidup.core.differences import Difference
from paidup.errors import PortalDiffers
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

__all__ = ["Step", "portal_drift", "preview", "push"]

_LOOKUP_KEYS_A_CALL = 10
_UNKNOWN = "(not created yet)"
_ATTEMPT_SECONDS = 600
PUSH = "push_catalog"
"""The reason of a difference that `paidup catalog push` mends: a process with an older plans file must not."""


def push(catalog: Catalog, gateway: Gateway, *, on_step: Callable[[Step], None] | None = None) -> list[Step]:
    """
    Do what is missing, in order, and return it; `on_step` hears each step when it is done.

    Raises StripeError at the first step Stripe refuses, and PortalDiffers when it did not do what it was asked; what
    came before stays, and running again goes on there.
    """
    done: list[Step] = []

    def finished(step: Step) -> None:
        done.append(step)
        if on_step is not None:
            on_step(step)

    for step in diff.products(catalog, _products(catalog, gateway)):
        if step.object_id is None:
            gateway.create_product(step.params, idempotency_key=_key(step))
        else:
            gateway.update_product(step.object_id, step.params)
        finished(step)
    for step in diff.prices(catalog, _prices(catalog, gateway)):
        _apply_price(step, gateway)
        finished(step)
    ids = _ids(_prices(catalog, gateway))
    for step in diff.portal(catalog, gateway.find_portal_configuration(), ids):
        if step.object_id is None:
            made = gateway.create_portal_configuration(step.params, idempotency_key=_key(step))
        else:
            made = gateway.update_portal_configuration(step.object_id, step.params)
        _verify(diff.portal_faults(catalog, made, ids))
        finished(step)
    return done


def preview(catalog: Catalog, gateway: Gateway) -> list[Step]:
    """What `push` would do now. Nothing is written; prices that do not exist yet have no id in its steps."""
    products = _products(catalog, gateway)
    prices = _prices(catalog, gateway, [each for each in products if products[each] is not None])
    steps = diff.products(catalog, products) + (price_steps := diff.prices(catalog, prices))
    new = {step.subject: _UNKNOWN for step in price_steps if step.action in ("create", "replace")}
    ids = _ids(prices) | new
    return steps + diff.portal(catalog, gateway.find_portal_configuration(), ids)


def portal_drift(catalog: Catalog, gateway: Gateway) -> list[Difference]:
    """In what the portal's configuration is not what was pushed, or would be now; none before the first push."""
    existing = gateway.find_portal_configuration()
    if existing is None:
        return []
    keys = [price.lookup_key for product in diff.sold(catalog) for price in product.prices]
    ids = _ids(_prices(catalog, gateway, products=()))
    if not ids.keys() >= set(keys):
        return []  # the plans themselves are not there: `paidup catalog diff` tells
    return [
        Difference(
            "portal",
            existing["id"],
            None,
            fault.field,
            json.dumps(fault.wanted, sort_keys=True),
            json.dumps(fault.found, sort_keys=True),
            state="unsafe",
            reason=PUSH,
        )
        for fault in diff.portal_faults(catalog, existing, ids)
    ]


def _verify(faults: Sequence[diff.Fault]) -> None:
    if faults:
        fields = [fault.field for fault in faults]
        raise PortalDiffers(
            f"Stripe did not take all of the portal's configuration: {', '.join(fields)}",
            fields=fields,
            remedy="look at the portal's settings in the Dashboard, and push again",
        )


def _apply_price(step: Step, gateway: Gateway) -> None:
    if step.action in ("update", "archive"):
        gateway.update_price(str(step.object_id), step.params)
        return
    gateway.create_price(step.params, idempotency_key=_key(step))
    if step.action == "replace":
        gateway.update_price(str(step.object_id), {"active": False})


def _products(catalog: Catalog, gateway: Gateway) -> dict[str, dict[str, Any] | None]:
    return {each: gateway.find_product(each) for each in map(diff.product_id, diff.sold(catalog))}


def _prices(catalog: Catalog, gateway: Gateway, products: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Those with our lookup keys, archived ones too, and every active one of our products."""
    sold = diff.sold(catalog)
    keys = [price.lookup_key for product in sold for price in product.everything_sold]
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(keys), _LOOKUP_KEYS_A_CALL):
        batch = gateway.list_prices(lookup_keys=keys[start : start + _LOOKUP_KEYS_A_CALL])
        found |= {each["id"]: each for each in batch}
    for product in products if products is not None else map(diff.product_id, sold):
        found |= {each["id"]: each for each in gateway.list_prices(product=product, active=True)}
    return list(found.values())


def _ids(prices: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {each["lookup_key"]: each["id"] for each in prices if each["lookup_key"]}


def _key(step: Step) -> str:
    # Two deployments that push at once mean the same call. Not for ever: Stripe repeats a stored failure for a day, and
    # a later push looks first at what is there. The replaced price is part of the intent too: going back to an earlier
    # amount is a new price, not the old answer.
    attempt = int(time()) // _ATTEMPT_SECONDS
    return idempotency.key("catalog", f"{step.kind}-{step.subject}-{step.object_id or 'new'}-{attempt}", step.params)

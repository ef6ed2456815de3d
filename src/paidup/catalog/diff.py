"""
The difference between the plans file and what Stripe has: pure, and therefore shown before it is done.

A price's amount cannot be changed at Stripe. A new amount is a new price that takes the lookup key over; the old one is
archived and keeps its subscribers, who stay on their plan because the plan's key stands in its metadata. A further
currency is added to the price there is. Another amount in it, or one that stands no more in the file, makes a new price
as well, so that nobody's subscription loses what it is billed by.

Add-ons are products with prices like plans, but for another key in the metadata: nobody may take one for a plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paidup.core.catalog import Addon, Catalog, Plan, PlanPrice
from paidup.core.parse import ADDON_KEY, PLAN_KEY, PORTAL_MARK, reference

Json = Mapping[str, Any]

_ONCE = "once"
_FINGERPRINT = "paidup_features"
"""Metadata key on the portal's configuration: a hash of the features it was last given."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing to do at Stripe.

    `action` is create, update, replace or archive (take off sale); `kind` is product, price or portal. `subject` names
    it for people (`pro`, `pro_month`), `object_id` is Stripe's id when there is one already.
    """

    action: str
    kind: str
    subject: str
    detail: str
    params: Mapping[str, Any]
    object_id: str | None = None


def product_id(product: Plan | Addon) -> str:
    """The id we give a product, so that making it twice is impossible; a plan and an add-on may have the same key."""
    return f"paidup-addon_{product.key}" if isinstance(product, Addon) else f"paidup_{product.key}"


def sold(catalog: Catalog) -> list[Plan | Addon]:
    """The plans and add-ons that exist at Stripe."""
    return [*_plans_sold(catalog), *catalog.addons]


def _plans_sold(catalog: Catalog) -> list[Plan]:
    return [plan for plan in catalog.plans if not plan.is_free]


def _mark(product: Plan | Addon) -> dict[str, str]:
    """What products and prices say about what they are."""
    return {ADDON_KEY if isinstance(product, Addon) else PLAN_KEY: product.key}


def products(catalog: Catalog, existing: Mapping[str, Json | None]) -> list[Step]:
    """What to do with products; `existing` is what Stripe has by id, None where there is none."""
    steps = []
    for product in sold(catalog):
        wanted: dict[str, Any] = {"name": product.name, "active": True, "metadata": _mark(product)}
        if product.description:
            wanted["description"] = product.description
        found = existing.get(product_id(product))
        if found is None:
            params = {"id": product_id(product), **wanted}
            steps.append(Step("create", "product", product.key, product.name, params))
            continue
        changed = {key: value for key, value in wanted.items() if key != "metadata" and found.get(key) != value}
        if not _is_marked(found, product):
            changed["metadata"] = wanted["metadata"]
        if changed:
            detail = ", ".join(sorted(changed))
            steps.append(Step("update", "product", product.key, detail, changed, object_id=found["id"]))
    return steps


def prices(catalog: Catalog, existing: Iterable[Json]) -> list[Step]:
    """What to do with prices; `existing` are those with our lookup keys, and the active ones of our products."""
    existing = list(existing)
    by_key = {each["lookup_key"]: each for each in existing if each.get("lookup_key")}
    steps: list[Step] = []
    for product in sold(catalog):
        for price in product.everything_sold:
            found = by_key.get(price.lookup_key)
            if found is None:
                steps.append(Step("create", "price", price.lookup_key, _amount(price), _price(product, price)))
                continue
            changed: dict[str, Any] = {} if _is_marked(found, product) else {"metadata": _mark(product)}
            if _is_same(product, price, found):
                if not found.get("active"):
                    changed["active"] = True
                if new := {code: each for code, each in _options(price).items() if code not in _amounts_of(found)}:
                    changed["currency_options"] = new
            if changed:
                # A price that will be replaced is marked as well, and first: its subscribers must stay what they are.
                steps.append(
                    Step(
                        "update", "price", price.lookup_key, ", ".join(sorted(changed)), changed, object_id=found["id"]
                    )
                )
            if not _is_same(product, price, found):
                detail = f"{_amount(price)} instead of {_told(_amounts_of(found))}"
                steps.append(
                    Step("replace", "price", price.lookup_key, detail, _price(product, price), object_id=found["id"])
                )
        steps += _leftovers(product, existing)
    return steps


def _leftovers(product: Plan | Addon, existing: Iterable[Json]) -> list[Step]:
    """Prices of ours that are still for sale but stand no more in the file, or lost their key to a newer one."""
    keys = {price.lookup_key for price in product.everything_sold}
    return [
        Step(
            "archive", "price", each["lookup_key"] or each["id"], "not in the plans file", {"active": False}, each["id"]
        )
        for each in existing
        if each.get("active")
        and reference(each.get("product")) == product_id(product)
        and _is_marked(each, product)
        and each.get("lookup_key") not in keys
    ]


def portal(catalog: Catalog, existing: Json | None, price_ids: Mapping[str, str]) -> list[Step]:
    """What to do with the portal's configuration; `price_ids` is Stripe's id by lookup key."""
    wanted = _portal(catalog, price_ids)
    params = {"metadata": dict([PORTAL_MARK]) | {_FINGERPRINT: _fingerprint(wanted)}, "features": wanted}
    if existing is None:
        return [Step("create", "portal", "configuration", "cards, invoices, cancellation", params)]
    faults = portal_faults(catalog, existing, price_ids)
    if not faults:
        return []
    detail = ", ".join(fault.field for fault in faults)
    return [Step("update", "portal", "configuration", detail, params, object_id=existing["id"])]


@dataclass(frozen=True, slots=True)
class Fault:
    """A field of the portal's configuration that is not as the plans file says."""

    field: str
    wanted: object
    found: object


def portal_faults(catalog: Catalog, existing: Json, price_ids: Mapping[str, str]) -> list[Fault]:
    """In what the portal's configuration at Stripe is not the plans file's."""
    wanted = _portal(catalog, price_ids)
    found = existing.get("features") or {}
    # Stripe may leave the products out of its answer; what we last asked for is then told by the fingerprint alone.
    told = wanted
    if (found.get("subscription_update") or {}).get("products") is None:
        told = wanted | {"subscription_update": {**wanted["subscription_update"], "products": None}}
    faults = list(_faults(found, told, "features"))
    pushed = (existing.get("metadata") or {}).get(_FINGERPRINT)
    if not faults and pushed != _fingerprint(wanted):
        faults.append(Fault("features", _fingerprint(wanted), pushed))
    return faults


def _faults(found: Any, wanted: Any, path: str) -> Iterator[Fault]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            yield from _faults(found.get(name), value, f"{path}.{name}")
    elif not _covers(found, wanted):
        yield Fault(path, wanted, found)


def _fingerprint(features: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(features, sort_keys=True).encode()).hexdigest()[:16]


def _price(product: Plan | Addon, price: PlanPrice) -> dict[str, Any]:
    return {
        "product": product_id(product),
        "currency": price.currency,
        "unit_amount": price.amount,
        **({"currency_options": _options(price)} if price.currencies else {}),
        **({} if price.interval == _ONCE else {"recurring": {"interval": price.interval}}),
        "lookup_key": price.lookup_key,
        "transfer_lookup_key": True,  # in the same call, so that there is no moment without a price of this key
        "metadata": _mark(product),
    }


def _is_marked(found: Json, product: Plan | Addon) -> bool:
    return _mark(product).items() <= dict(found.get("metadata") or {}).items()


def _is_same(product: Plan | Addon, price: PlanPrice, found: Json) -> bool:
    """A currency it lacks is added to it. One it has too many would go from its subscribers as well: it is another."""
    recurring = found.get("recurring") or {"interval": _ONCE, "interval_count": 1}
    return (
        found.get("currency") == price.currency
        and price.amount == found.get("unit_amount")
        and _amounts_of(found).items() <= price.amounts.items()
        and recurring.get("interval") == price.interval
        and recurring.get("interval_count") == 1
        and reference(found.get("product")) == product_id(product)
    )


def _options(price: PlanPrice) -> dict[str, dict[str, int]]:
    return {code: {"unit_amount": amount} for code, amount in price.currencies.items()}


def _amounts_of(found: Json) -> dict[str, int | None]:
    """What a price at Stripe costs in each currency, its own first; `currency_options` is expanded, its own in it."""
    options = found.get("currency_options") or {}
    own = {str(found.get("currency")): found.get("unit_amount")}
    return own | {code: option.get("unit_amount") for code, option in options.items() if code not in own}


def _amount(price: PlanPrice) -> str:
    return f"{_told(price.amounts)} {'' if price.interval == _ONCE else 'per '}{price.interval}"


def _told(amounts: Mapping[str, int | None]) -> str:
    return ", ".join(f"{amount} {code}" for code, amount in amounts.items())


_REASONS = (
    "too_expensive",
    "missing_features",
    "switched_service",
    "unused",
    "customer_service",
    "too_complex",
    "other",
)


def _portal(catalog: Catalog, price_ids: Mapping[str, str]) -> dict[str, Any]:
    features: dict[str, Any] = {
        "customer_update": {"enabled": True, "allowed_updates": ["email", "name", "address", "tax_id"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": True,
            "mode": "at_period_end",
            "cancellation_reason": {"enabled": True, "options": list(_REASONS)},
        },
        "subscription_pause": {"enabled": False},
        "subscription_update": {"enabled": False},
    }
    if catalog.portal.pause:
        features["subscription_pause"] = {"enabled": True, "duration": {"type": "indefinite"}}
    if plans := catalog.plans_in_portal:
        seats = catalog.portal.change_seats
        features["subscription_update"] = {
            "enabled": True,
            "default_allowed_updates": ["price", "quantity"] if seats else ["price"],
            "proration_behavior": "always_invoice",
            "trial_update_behavior": "end_trial",  # else a trial of the cheapest plan would be one of the dearest
            "products": [_in_portal(plan, price_ids, seats=seats) for plan in plans],
        }
    return features


def _in_portal(plan: Plan, price_ids: Mapping[str, str], *, seats: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "product": product_id(plan),
        "prices": [price_ids[each.lookup_key] for each in plan.prices],
    }
    if seats:
        low, high = (plan.seats.min, plan.seats.max) if plan.seats else (1, 1)
        shown["adjustable_quantity"] = {"enabled": True, "minimum": low, "maximum": high}
    return shown


def _covers(found: Any, wanted: Any) -> bool:
    """Does what Stripe has say everything that is wanted? It may say more; the order of lists does not matter."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return (
            isinstance(found, Sequence)
            and len(found) == len(wanted)
            and all(any(_covers(each, value) for each in found) for value in wanted)
        )
    return bool(found == wanted)

"""From the terms that are meant to the items of a subscription that Stripe is asked to change, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paidup.core.addons import addon_items
from paidup.core.catalog import Catalog, PlanPrice
from paidup.core.quote import Terms
from paidup.core.subscription import Subscription, SubscriptionItem


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A plan or an add-on of a subscription: the items it has of it, and how many it is to have.

    `price` is the one to be sold at, None where what is held keeps its own: that may be an archived one, which Stripe
    lets stay but not name.
    """

    items: tuple[SubscriptionItem, ...]
    quantity: int
    price: PlanPrice | None


def wanted(
    subscription: Subscription, item: SubscriptionItem, before: Terms, after: Terms, catalog: Catalog
) -> list[Wanted]:
    """What a subscription is to have: its plan, which `item` is now, and the add-ons there are or shall be."""
    stays = (after.plan, after.interval) == (before.plan, before.interval)
    found = [Wanted((item,), after.seats, None if stays else catalog.plan(after.plan).price(after.interval))]
    held = addon_items(subscription, catalog)
    for addon in catalog.addons:
        items, quantity = tuple(held.get(addon.key, ())), after.addons.get(addon.key, 0)
        if items or quantity:
            stays = bool(items) and items[0].interval == after.interval
            found.append(Wanted(items, quantity, None if stays else addon.price(after.interval)))
    return found


def prices_of(changes: Iterable[Wanted]) -> list[PlanPrice]:
    """The prices whose ids have to be known."""
    return [each.price for each in changes if each.price is not None and each.quantity]


def item_changes(changes: Iterable[Wanted], ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The elements of Stripe's `items` for what becomes different; `ids` are those of prices, by lookup key."""
    return [item for each in changes for item in _of(each, ids)]


def _of(each: Wanted, ids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    sold_at = {"price": ids[each.price.lookup_key]} if each.price and each.quantity else {}
    if each.quantity and not each.items:
        yield {**sold_at, "quantity": each.quantity}
    elif each.quantity and (sold_at or each.items[0].quantity != each.quantity):
        yield {"id": each.items[0].id, **sold_at, "quantity": each.quantity}
    for item in each.items[bool(each.quantity) :]:
        yield {"id": item.id, "deleted": True}

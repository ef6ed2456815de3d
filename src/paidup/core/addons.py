"""What stands beside a plan in a subscription: which add-ons, how many, and what becomes of them when it changes."""

from __future__ import annotations

from collections.abc import Mapping

from paidup.core.catalog import Addon, Catalog
from paidup.core.subscription import Subscription, SubscriptionItem


def addon_of(item: SubscriptionItem, catalog: Catalog) -> Addon | None:
    """
    The add-on an item is, by lookup key, else by what paidup wrote on the price; None for anything else.

    A price that was replaced loses its lookup key and keeps its subscribers.
    """
    found = catalog.find_addon(item.lookup_key) if item.lookup_key else None
    if found is None and item.addon_hint:
        found = catalog.addon(item.addon_hint)
    return found


def addon_items(subscription: Subscription, catalog: Catalog) -> dict[str, list[SubscriptionItem]]:
    """The items that are add-ons, by the add-on's key. Mostly one each; the Dashboard can make several."""
    found: dict[str, list[SubscriptionItem]] = {}
    for item in sorted(subscription.items, key=lambda each: each.id):
        addon = addon_of(item, catalog)
        if addon is not None:
            found.setdefault(addon.key, []).append(item)
    return found


def addons_held(subscription: Subscription, catalog: Catalog) -> dict[str, int]:
    """How many of each add-on a subscription has, by key, in the catalog's order."""
    items = addon_items(subscription, catalog)
    return {
        addon.key: sum(item.quantity for item in items[addon.key]) for addon in catalog.addons if addon.key in items
    }


def addons_to_have(
    held: Mapping[str, int],
    asked: Mapping[str, int],
    catalog: Catalog,
    *,
    plan: str,
    interval: str,
    changes_plan: bool,
) -> dict[str, int]:
    """
    The add-ons that are meant: those asked for, 0 being none, and of the others what may stay.

    What isn't sold with the new plan or per its interval goes with the old one.
    """
    meant: dict[str, int] = {}
    for addon in catalog.addons:
        stays = addon.price(interval) is not None and (plan in addon.plans or not changes_plan)
        quantity = asked[addon.key] if addon.key in asked else held.get(addon.key, 0) if stays else 0
        if quantity:
            meant[addon.key] = quantity
    return meant

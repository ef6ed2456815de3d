"""Stripe's ids of the prices in the plans file, asked for by lookup key whenever something is sold."""

from __future__ import annotations

from collections.abc import Sequence

from paidup.core import parse
from paidup.core.catalog import PlanPrice
from paidup.errors import PlanNotForSale
from paidup.stripe_api.gateway import Gateway

_LOOKUP_KEYS_A_CALL = 10


def price_ids(gateway: Gateway, prices: Sequence[PlanPrice], *, currency: str) -> dict[str, str]:
    """
    The ids by lookup key; ten prices are one call.

    Raises PlanNotForSale when one does not exist at Stripe, is archived, or has another amount in this currency there.
    """
    keys = [each.lookup_key for each in prices]
    found = [
        body
        for start in range(0, len(keys), _LOOKUP_KEYS_A_CALL)
        for body in gateway.list_prices(lookup_keys=keys[start : start + _LOOKUP_KEYS_A_CALL], active=True)
    ]
    ids = {}
    for price in prices:
        sold = [body for body in found if body["lookup_key"] == price.lookup_key]
        amount = price.amount_in(currency)
        same = [body for body in sold if amount is not None and parse.unit_amount(body, currency) == amount]
        if not same:
            what = f"has another amount in {currency} at Stripe than in the plans file"
            what = what if sold else "does not exist at Stripe"
            raise PlanNotForSale(f"price {price.lookup_key!r} {what}", remedy="run `paidup catalog push`")
        ids[price.lookup_key] = str(same[0]["id"])
    return ids

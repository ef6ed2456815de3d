"""
The account's balance: what has been taken, less what was given back.

A payment waits two days before its money can be paid out, that of `pm_card_bypassPending` not at all; only the latter
is announced with `balance.available`. There are no fees and no payouts. See https://docs.stripe.com/testing#available-balance
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.cards import CARDS
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

WAITS_FOR = 2 * DAY


def balance(engine: Engine) -> Json:
    """What is available and what is pending, in minor units, one amount a currency."""
    available: dict[str, int] = {engine.settings.default_currency: 0}
    pending: dict[str, int] = {engine.settings.default_currency: 0}
    for charge in engine.store.scan("charge"):
        if charge["captured"] and charge["paid"]:
            amounts = available if _is_available(engine, charge) else pending
            amounts[charge["currency"]] = amounts.get(charge["currency"], 0) + charge["amount_captured"]
            available[charge["currency"]] = available.get(charge["currency"], 0) - charge["amount_refunded"]
    for dispute in engine.store.scan("dispute"):
        if dispute["_withdrawn"]:
            available[dispute["currency"]] = available.get(dispute["currency"], 0) - dispute["amount"]
    return {
        **nulls("balance"),
        "object": "balance",
        "available": _amounts(available),
        "livemode": False,
        "pending": _amounts(pending),
    }


def announce(engine: Engine, charge: Json) -> None:
    """Say that a charge's money can be paid out."""
    engine.emit("balance.available", {**balance(engine), "_clock": charge["_clock"]})


def _is_available(engine: Engine, charge: Json) -> bool:
    method = engine.store.get(charge["payment_method"], "payment_method")
    bypasses = method is not None and method["type"] == "card" and CARDS[method["_number"]].bypasses_pending
    return bypasses or int(charge["created"]) + WAITS_FOR <= engine.now(charge["_clock"])


def _amounts(totals: dict[str, int]) -> list[Json]:
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted(totals.items())
    ]

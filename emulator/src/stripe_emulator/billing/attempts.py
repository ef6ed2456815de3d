"""How an attempt to take money, or to save a payment method, ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stripe_emulator.cards import Decline
from stripe_emulator.rendering import show
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt's end. `processing`: the bank will say in some days."""

    status: Literal["succeeded", "failed", "requires_action", "processing"]
    decline: Decline | None = None

    @property
    def went_through(self) -> bool:
        """Is there nothing left for the payer to do?"""
        return self.status in ("succeeded", "processing")


def last_error(decline: Decline, method: str | None, charge: str | None) -> Json:
    """What an intent keeps of its last failure."""
    error: Json = {
        "charge": charge,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://docs.stripe.com/error-codes#{decline.code.replace('_', '-')}",
        "message": decline.message,
        "param": decline.param,
        "payment_method": method,
        "type": "card_error",
    }
    return {key: value for key, value in error.items() if value is not None}


def with_error_method(engine: Engine, shown: Json, field: str) -> Json:
    """An intent whose last error has its payment method in full, as Stripe sends it."""
    error = shown[field]
    if error and isinstance(error.get("payment_method"), str):
        method = engine.store.get(error["payment_method"], "payment_method")
        error["payment_method"] = show(engine, method) if method else None
    return shown

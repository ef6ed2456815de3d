"""Who pays, as Stripe knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from paidup.core.discount import Discount


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """How a customer pays; the card fields are None for other kinds."""

    id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None

    @property
    def label(self) -> str:
        """What a page shows: `Visa •••• 4242`."""
        name = (self.brand or self.type).replace("_", " ").title()
        return f"{name} •••• {self.last4}" if self.last4 else name


@dataclass(frozen=True, slots=True)
class Customer:
    """
    A Stripe customer.

    `owner` is set only from a customer that paidup created; `balance` is in minor units, negative is credit.
    """

    id: str
    owner: str | None
    email: str | None
    name: str | None
    currency: str | None
    balance: int
    delinquent: bool
    payment_method: PaymentMethod | None
    deleted: bool
    livemode: bool
    created: datetime
    metadata: Mapping[str, str]
    discounts: tuple[Discount, ...] = ()
    """What is taken off everything of theirs that has no discount of its own."""

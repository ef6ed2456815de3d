"""What takes something off what is billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Discount:
    """
    A coupon that a customer or a subscription has. Either `percent_off`, or `amount_off` in minor units of `currency`.

    `duration` is Stripe's: once, repeating or forever; `ends_at` is None while it has no end. `promotion_code` is the
    id of the code it came by. Of one that Stripe only named, nothing but the `id` is known.
    """

    id: str
    coupon: str | None = None
    name: str | None = None
    percent_off: float | None = None
    amount_off: int | None = None
    currency: str | None = None
    duration: str | None = None
    promotion_code: str | None = None
    ends_at: datetime | None = None

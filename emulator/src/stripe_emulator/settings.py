"""What the emulated account has set in its Dashboard, and how the emulator itself behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DAY = 86_400


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a second: in `total`, to each endpoint, and to each that searches."""

    total: float
    per_endpoint: float = 25
    search: float = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """
    `dunning_days`: when a failed renewal is tried again, in days after the first failure; by default Stripe's
    recommendation, eight times within two weeks. `dunning_end`: what becomes of the subscription after the last.
    `payment_method_types`: what Checkout offers when a session does not list what it allows.
    `delivery_delays`: seconds of real time between the tries of a webhook; `delivery_timeout` ends one try.
    `finalize_after`: seconds a renewal's invoice stays a draft. `debit_settles_after`: seconds until a bank says how a
    debit ended; "typically 4 business days" at https://docs.stripe.com/payments/ach-direct-debit
    `wait_for_webhooks`: a draft that advances by itself is finalised that long after every endpoint that listens has
    taken its `invoice.created`, and 72 hours after it was made if one has not. A leap over the whole time delivers
    nothing on the way, so that every draft made on it waits to the end.
    `search_lag`: seconds of the global clock until search sees what was written.
    `upcoming_days`: how long before a renewal `invoice.upcoming` tells of it, None for never.
    `days_until_due`: when an invoice that is sent is due, if its subscription doesn't say (one by a schedule may not).
    `will_be_due_days`: how long before its due date an invoice that was sent is reminded of, None for never;
    `overdue_end_days`: how long after it `dunning_end` happens to the subscription.
    `rate_limits`: what `rate_limits.MODES` has for live mode and for sandboxes, or one's own; None for none.
    """

    dunning_days: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 13, 14)
    dunning_end: Literal["cancel", "unpaid", "past_due"] = "cancel"
    finalize_after: int = 3600
    wait_for_webhooks: bool = False
    search_lag: int = 0
    debit_settles_after: int = 4 * DAY
    upcoming_days: int | None = 7
    days_until_due: int = 30
    will_be_due_days: int | None = 3
    overdue_end_days: int = 30
    delivery_delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
    delivery_timeout: float = 10.0
    merchant_name: str = "Emulated Inc."
    default_currency: str = "usd"
    payment_method_types: tuple[str, ...] = ("card",)
    country: str = "US"
    rate_limits: RateLimits | None = None
    account_id: str = field(default="acct_1EmulatedAccount0001")

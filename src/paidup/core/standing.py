"""How a subscription stands at Stripe at this moment: what a cancellation, a pause and a resumption are decided by."""

from __future__ import annotations

from dataclasses import dataclass

from paidup.core.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription, and what of it only matters to whoever changes its course. Read from Stripe, never stored."""

    subscription: Subscription
    schedule: str | None
    """The subscription schedule that manages it: Stripe then takes no direct change of its end."""
    is_resuming: bool
    """Paused, and waiting for the invoice of its resumption to be paid."""
    is_flexible: bool
    """In flexible billing mode, the one Checkout makes today."""
    feedback: str | None
    """Why it was canceled, one of Stripe's values."""
    comment: str | None
    planned_quote: str | None = None
    """The quote whose change the schedule is about; None for a schedule that was made elsewhere."""
    schedule_is_idle: bool = False
    """Nothing is to come of the schedule any more."""

"""What was billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """
    A Stripe invoice. Amounts are integers of minor units of `currency`.

    The hosted and PDF links are Stripe's; they are as fresh as the last synchronisation.
    """

    id: str
    customer: str
    subscription: str | None
    number: str | None
    status: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    billing_reason: str | None
    attempt_count: int
    next_payment_attempt: datetime | None
    period_start: datetime
    period_end: datetime
    due_date: datetime | None
    created: datetime
    finalized_at: datetime | None
    paid_at: datetime | None
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    livemode: bool

    @property
    def is_paid(self) -> bool:
        """Paid, in whatever way, or nothing was due."""
        return self.status == "paid"

    @property
    def is_open(self) -> bool:
        """Finalised and waiting for money."""
        return self.status == "open"

    @property
    def has_failed(self) -> bool:
        """Open, and at least one attempt to collect it failed."""
        return self.is_open and self.attempt_count > 0

"""What was billed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from paidup.core.reversal import LOST_DISPUTE, OPEN_DISPUTES
from paidup.core.subscription import Subscription


@dataclass(frozen=True, slots=True)
class BilledLine:
    """
    A line of an invoice, for the time from `start` to `end`. `amount` is in minor units, below zero for a credit.

    `credited` are the lines that it gives back a part of, as far as Stripe says.
    """

    id: str
    price: str | None
    amount: int
    quantity: int | None
    start: datetime
    end: datetime
    is_proration: bool
    credited: tuple[str, ...] = ()

    @property
    def gives_back(self) -> bool:
        """Is it for time that was paid for and is not used?"""
        return self.is_proration and (self.amount < 0 or bool(self.credited))


@dataclass(frozen=True, slots=True)
class SoldPrice:
    """A price as it is at Stripe. The hints are the keys of the plan or the add-on that paidup wrote on it."""

    id: str
    lookup_key: str | None
    plan_hint: str | None
    addon_hint: str | None
    interval: str | None


@dataclass(frozen=True, slots=True)
class Invoice:
    """
    A Stripe invoice. Amounts are integers of minor units of `currency`.

    The hosted and PDF links are Stripe's and as old as the last synchronisation, and they run out:
    `billing.invoice_page` has fresh ones.
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
    service_start: datetime | None = None
    """The period it charges a subscription for, as its lines say; `period_start` is that which it looks back on."""
    service_end: datetime | None = None
    amount_refunded: int = 0
    """What of the payment went back to the customer, or is on its way."""
    dispute: str | None = None
    """Stripe's status of the dispute about its payment that weighs most, such as needs_response, lost or won."""

    @property
    def begins_a_period(self) -> bool:
        """Is it for a new period of a subscription? One for a change in the middle, such as a seat more, is not."""
        return self.billing_reason in ("subscription_create", "subscription_cycle")

    @property
    def is_disputed(self) -> bool:
        """Has a bank taken the payment back, for good or until it decides?"""
        return self.dispute in (*OPEN_DISPUTES, LOST_DISPUTE)

    @property
    def is_refunded(self) -> bool:
        """Did all that was paid go back?"""
        return self.amount_paid > 0 and self.amount_refunded >= self.amount_paid

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


def waited_for(subscription: Subscription, invoices: Iterable[Invoice]) -> Invoice | None:
    """
    Which of a subscription's invoices has to be paid for it to be active again; None when none is open.

    The latest one, if it is open and there is something to pay. A later invoice over nothing, such as that of a change
    of plan, does not hide the one before it.
    """
    owed = [each for each in invoices if each.is_open and each.amount_remaining > 0]
    return max(owed, key=lambda each: (each.id == subscription.latest_invoice, each.created), default=None)


@dataclass(frozen=True, slots=True)
class UpcomingLine:
    """A line of the next invoice. `amount` is in minor units of the invoice's currency, negative for a credit."""

    description: str
    amount: int
    quantity: int | None
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class UpcomingInvoice:
    """
    What the next invoice will be if nothing changes until then. Amounts are integers of minor units of `currency`.

    `amount_due` is `total` less what the customer's balance covers. `date` is when the period ends and the invoice is
    drawn up; it is charged about an hour later. `lines` are the first ones when `has_more_lines`.
    """

    subscription: str | None
    currency: str
    total: int
    amount_due: int
    date: datetime
    lines: tuple[UpcomingLine, ...]
    has_more_lines: bool

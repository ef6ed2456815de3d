"""
A subscription, and the questions a product asks of it.

Statuses are Stripe's, kept as plain strings: Stripe adds new ones, and every question here answers no to one it
does not know. See https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from paidup.core.customer import PaymentMethod
from paidup.core.discount import Discount

LIVE_STATUSES = frozenset({"trialing", "active", "past_due", "unpaid", "paused", "incomplete"})
"""The statuses in which Stripe still bills, or still may: a second subscription beside one of these is a mistake."""

_ENDED = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, slots=True)
class SubscriptionItem:
    """
    One price of a subscription. `unit_amount` is in minor units of `currency`, which is the subscription's.

    It is None for tiered prices, and where it is not known yet what a price of several currencies costs in this one.
    """

    id: str
    price: str
    product: str
    lookup_key: str | None
    plan_hint: str | None
    """The plan key that paidup wrote on the price when it made it; None on prices made by others."""
    quantity: int
    interval: str | None
    interval_count: int
    unit_amount: int | None
    currency: str
    current_period_start: datetime | None
    current_period_end: datetime | None
    addon_hint: str | None = None
    """The add-on's key that paidup wrote on the price when it made it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    A Stripe subscription.

    The period is that of the item that ends first: periods live on the items since API version 2025-03-31.basil.
    """

    id: str
    customer: str
    status: str
    items: tuple[SubscriptionItem, ...]
    currency: str
    collection_method: str
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_start: datetime | None
    trial_end: datetime | None
    paused_collection: str | None
    """The behaviour of `pause_collection` while it is set: void, keep_as_draft or mark_uncollectible."""
    resumes_at: datetime | None
    latest_invoice: str | None
    payment_method: PaymentMethod | None
    created: datetime
    livemode: bool
    metadata: Mapping[str, str]
    plan: str | None = None
    """The plan it was last seen on. Kept when nobody knows its price: it was paid for."""
    schedule: str | None = None
    """The subscription schedule that manages it: a change is planned, or was."""
    past_due_since: datetime | None = None
    """When the first of the failed payments behind `past_due` was due; None while nothing is open."""
    awaits_first_payment: bool = False
    """It was never paid for: a bank takes its days, though Stripe calls it active."""
    waiting_quote: str | None = None
    """The quote whose change waits for its payment, as the user's bank asks them first."""
    discounts: tuple[Discount, ...] = ()
    """What is taken off its invoices; its customer may have one beside it, which holds where it has none."""
    refunded: bool = False
    """All that was paid for the current period went back."""
    disputed: bool = False
    """A payment is disputed, or was lost that way and no later invoice was paid."""

    @property
    def is_trialing(self) -> bool:
        """In a trial."""
        return self.status == "trialing"

    @property
    def is_active(self) -> bool:
        """Paid, or nothing due; scheduled cancellation included."""
        return self.status == "active"

    @property
    def is_past_due(self) -> bool:
        """The last payment failed and Stripe is still trying."""
        return self.status == "past_due"

    @property
    def waits_for_payment(self) -> bool:
        """Does an invoice have to be paid before it is, or stays, in order?"""
        return self.status in ("past_due", "unpaid", "incomplete")

    @property
    def is_paused(self) -> bool:
        """Paused by Stripe's status, or by pausing its collection (the status then stays `active`)."""
        return self.status == "paused" or self.paused_collection is not None

    @property
    def is_canceling(self) -> bool:
        """Still live and going to end. The portal sets `cancel_at` alone; the API mostly `cancel_at_period_end`."""
        return self.is_live and (self.cancel_at_period_end or self.cancel_at is not None)

    @property
    def has_ended(self) -> bool:
        """Over for good."""
        return self.status in _ENDED

    @property
    def has_unknown_status(self) -> bool:
        """A status that Stripe has added since: it grants nothing, and nothing else may be concluded from it."""
        return self.status not in LIVE_STATUSES | _ENDED

    @property
    def is_live(self) -> bool:
        """Stripe bills it, or may again: a new Checkout would make a second one."""
        return self.status in LIVE_STATUSES

    @property
    def ends_at(self) -> datetime | None:
        """When it ends: the scheduled date while canceling, the real one once over, else None."""
        if self.has_ended:
            return self.ended_at
        if self.cancel_at is not None:
            return self.cancel_at
        return self.current_period_end if self.cancel_at_period_end else None

    @property
    def renews_at(self) -> datetime | None:
        """When the next period is billed; None when it will not be."""
        if self.status not in ("trialing", "active", "past_due") or self.is_canceling:
            return None
        end = self.current_period_end
        if self.paused_collection is not None and not (self.resumes_at and end and self.resumes_at <= end):
            return None
        return end

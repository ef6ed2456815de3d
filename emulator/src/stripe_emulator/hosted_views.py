"""
What the hosted pages are given to show, and what their forms hand back.

Amounts are integers of minor units beside their currency; times are Unix seconds of the emulated clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stripe_emulator.bank_accounts import DebitType

MethodType = Literal["card", "us_bank_account", "sepa_debit"]
OutcomeKind = Literal["complete", "declined", "requires_action", "closed"]


@dataclass(frozen=True, slots=True)
class CardInput:
    """A card as typed into a form: `number` may hold spaces; month and year are integers, the year has four digits."""

    number: str = field(repr=False)
    exp_month: int
    exp_year: int
    cvc: str = field(repr=False)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class BankInput:
    """
    A bank account as typed into a form. `type` is us_bank_account or sepa_debit; `number` is an account number or an
    IBAN, the latter without a `routing_number`.
    """

    type: DebitType
    number: str = field(repr=False)
    routing_number: str = ""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How a submitted form ended.

    `complete`: done, go to `redirect` (None: show the page again). `declined`: show `message` at `field` (a form
    field's name, or None for the whole form) and let them try again. `requires_action`: go to `redirect`, the 3DS
    page's path. `closed`: the page is no longer usable (completed, expired, unknown); `message` says why.
    """

    kind: OutcomeKind
    message: str = ""
    field: str | None = None
    redirect: str | None = None


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of what is being bought. `interval` is None for a one-time price; `unit_amount` and `amount` are
    per recurring period."""

    name: str
    description: str | None
    quantity: int
    unit_amount: int
    amount: int
    currency: str
    interval: str | None
    interval_count: int = 1


@dataclass(frozen=True, slots=True)
class DiscountView:
    """What is taken off: `text` is the coupon in words, `amount` what it takes off today. `lasts`: as long as the
    subscription; `removable`: the customer typed it."""

    name: str
    text: str
    amount: int
    lasts: bool
    removable: bool


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """
    A Checkout page. `status` is open, complete or expired. `amount_total` is a full period's price without discount,
    `due_today` what the button charges now (0 in a trial). `tax` is in it. `takes_codes`: promotion codes may be typed.
    `email_locked`: the customer already has an address, it can't be changed. `payment_method_types` are what one may
    pay with.
    """

    id: str
    status: str
    mode: str
    customer_email: str | None
    email_locked: bool
    lines: list[LineView]
    amount_total: int
    due_today: int
    currency: str
    trial_end: int | None
    trial_days: int | None
    needs_card: bool
    cancel_url: str | None
    success_url: str | None
    merchant_name: str
    livemode: bool = False
    takes_codes: bool = False
    discount: DiscountView | None = None
    tax: int = 0
    payment_method_types: tuple[MethodType, ...] = ("card",)


@dataclass(frozen=True, slots=True)
class ChallengeView:
    """A 3D Secure question. `amount` is 0 when a card is only being saved."""

    token: str
    amount: int
    currency: str
    merchant_name: str


@dataclass(frozen=True, slots=True)
class SubView:
    """
    A subscription in the portal. `amount` is one unit's price per `interval`; `cancel_at` is set when it is scheduled
    to end, however it was scheduled. `name` is the product's.
    """

    id: str
    name: str
    amount: int
    currency: str
    interval: str
    interval_count: int
    quantity: int
    status: str
    current_period_end: int
    cancel_at: int | None
    trial_end: int | None
    can_cancel: bool
    can_resume: bool
    can_change: bool = False
    can_pause: bool = False


@dataclass(frozen=True, slots=True)
class DetailsInput:
    """Who a customer is, as typed into a form; `fields` are those that were on it, by name, empty ones included."""

    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """A row of the invoice history. `payable`: it is open and something is due."""

    id: str
    number: str | None
    created: int
    amount: int
    currency: str
    status: str
    hosted_url: str | None
    pdf_url: str | None
    payable: bool


@dataclass(frozen=True, slots=True)
class PortalView:
    """
    The portal's home. `payment_method` is the default card as {brand, last4, exp_month, exp_year} or None. `features`
    is the configuration's `features` object; `flow` the deep link ({type, subscription, return_url}) or None. `details`
    is what may be changed of who the customer is, by the form's field.
    """

    customer_email: str | None
    payment_method: dict[str, Any] | None
    subscriptions: list[SubView]
    invoices: list[InvoiceView]
    return_url: str | None
    features: dict[str, Any]
    flow: dict[str, Any] | None
    merchant_name: str = ""
    headline: str | None = None
    now: int = 0
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceChoice:
    """A price the portal offers to switch to. `current`: the one the subscription has."""

    price_id: str
    name: str
    amount: int
    currency: str
    interval: str
    interval_count: int
    current: bool


@dataclass(frozen=True, slots=True)
class ChangeView:
    """
    What a plan switch costs: today, and on the next invoice at `next_at` (Unix seconds), in minor units.

    `at_end`: it waits for the period's end.
    """

    due_today: int
    next_amount: int
    next_at: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class InvoicePageView:
    """A hosted invoice page. `payable`: open, and something is due; `card` is the default card, as in PortalView."""

    id: str
    number: str | None
    status: str
    created: int
    due_date: int | None
    customer_name: str | None
    customer_email: str | None
    lines: list[LineView]
    subtotal: int
    tax: int
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    currency: str
    payable: bool
    pdf_url: str | None
    merchant_name: str
    card: dict[str, Any] | None = field(default=None)

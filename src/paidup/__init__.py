"""paidup: the Stripe billing layer for Python SaaS apps."""

from __future__ import annotations

from paidup.async_billing import AsyncBilling
from paidup.billing import Billing
from paidup.checkout import Checkout
from paidup.core.access import Access
from paidup.core.catalog import Catalog, Plan, PlanPrice
from paidup.core.changes import Change
from paidup.core.customer import Customer, PaymentMethod
from paidup.core.differences import Difference
from paidup.core.invoice import Invoice, UpcomingInvoice, UpcomingLine
from paidup.core.money import Money
from paidup.core.policy import AccessPolicy, Grants
from paidup.core.reconciliation import Progress, Reconciliation
from paidup.core.subscription import Subscription, SubscriptionItem
from paidup.errors import (
    AccessRefused,
    BillingError,
    CatalogError,
    CheckoutNotFound,
    CheckoutRefused,
    CrossOriginRequest,
    CustomerNotFound,
    DatabaseUnavailable,
    EventNotFound,
    FeatureNotInPlan,
    InvalidOwner,
    InvalidPayload,
    InvalidRequest,
    InvalidReturnUrl,
    InvalidSeats,
    InvalidSignature,
    InvoiceNotFound,
    LimitReached,
    NoSubscription,
    NotAllowed,
    NothingToPay,
    NotSignedIn,
    PayloadTooLarge,
    PaymentDeclined,
    PaymentFailed,
    PaymentNeedsUser,
    PaymentPastDue,
    PlanNotForSale,
    Problem,
    ReconciliationRunning,
    SettingsError,
    StripeDeclined,
    StripeError,
    StripeNotFound,
    StripeRateLimited,
    StripeRejected,
    StripeUnauthorized,
    StripeUnavailable,
    SubscriptionRefused,
    UnknownInterval,
    UnknownPlan,
    WrongAccount,
)
from paidup.inbox import Receipt
from paidup.reconciliation.missed import Filled
from paidup.settings import Settings
from paidup.web.owner import Owner
from paidup.worker import Worker

__all__ = [
    "Access",
    "AccessPolicy",
    "AccessRefused",
    "AsyncBilling",
    "Billing",
    "BillingError",
    "Catalog",
    "CatalogError",
    "Change",
    "Checkout",
    "CheckoutNotFound",
    "CheckoutRefused",
    "CrossOriginRequest",
    "Customer",
    "CustomerNotFound",
    "DatabaseUnavailable",
    "Difference",
    "EventNotFound",
    "FeatureNotInPlan",
    "Filled",
    "Grants",
    "InvalidOwner",
    "InvalidPayload",
    "InvalidRequest",
    "InvalidReturnUrl",
    "InvalidSeats",
    "InvalidSignature",
    "Invoice",
    "InvoiceNotFound",
    "LimitReached",
    "Money",
    "NoSubscription",
    "NotAllowed",
    "NotSignedIn",
    "NothingToPay",
    "Owner",
    "PayloadTooLarge",
    "PaymentDeclined",
    "PaymentFailed",
    "PaymentMethod",
    "PaymentNeedsUser",
    "PaymentPastDue",
    "Plan",
    "PlanNotForSale",
    "PlanPrice",
    "Problem",
    "Progress",
    "Receipt",
    "Reconciliation",
    "ReconciliationRunning",
    "Settings",
    "SettingsError",
    "StripeDeclined",
    "StripeError",
    "StripeNotFound",
    "StripeRateLimited",
    "StripeRejected",
    "StripeUnauthorized",
    "StripeUnavailable",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionRefused",
    "UnknownInterval",
    "UnknownPlan",
    "UpcomingInvoice",
    "UpcomingLine",
    "Worker",
    "WrongAccount",
]

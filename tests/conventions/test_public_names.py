"""The public names: adding one is a decision, removing one breaks somebody's app."""

from __future__ import annotations

import inspect

import paidup
import paidup.models
from paidup import errors

NAMES = [
    "Access",
    "AccessPolicy",
    "AccessRefused",
    "Addon",
    "AsyncBilling",
    "Billing",
    "BillingError",
    "Catalog",
    "CatalogError",
    "Change",
    "ChangeNotPaid",
    "Checkout",
    "CheckoutNotFound",
    "CheckoutRefused",
    "CreditEntry",
    "CreditName",
    "CrossOriginRequest",
    "CurrencyRefused",
    "Customer",
    "CustomerNotFound",
    "DatabaseUnavailable",
    "Difference",
    "Discount",
    "DiscountExpired",
    "DiscountNotApplicable",
    "DiscountRefused",
    "EventNotFound",
    "FeatureNotInPlan",
    "Filled",
    "Grants",
    "InsufficientCredits",
    "InvalidOwner",
    "InvalidPayload",
    "InvalidQuantity",
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
    "PendingChange",
    "Plan",
    "PlanNotForSale",
    "PlanPrice",
    "PortalDiffers",
    "Problem",
    "Progress",
    "Quote",
    "QuoteChanged",
    "QuoteNotFound",
    "Receipt",
    "Reconciliation",
    "ReconciliationRunning",
    "ScheduledChange",
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
    "Terms",
    "TransferRefused",
    "UnknownAddon",
    "UnknownCredit",
    "UnknownDiscount",
    "UnknownInterval",
    "UnknownPlan",
    "Unused",
    "UpcomingInvoice",
    "UpcomingLine",
    "Worker",
    "WrongAccount",
]

MODELS = ["Customer", "Invoice", "Price", "Product", "Subscription", "SubscriptionItem"]


def test_the_public_names_are_these() -> None:
    assert paidup.__all__ == NAMES


def test_the_public_names_are_sorted() -> None:
    assert paidup.__all__ == sorted(set(paidup.__all__))


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    undocumented = [name for name in paidup.__all__ if not inspect.getdoc(getattr(paidup, name))]
    assert undocumented == []


def test_every_error_is_public() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.BillingError) and not name.startswith("_")
    }
    assert kinds - set(paidup.__all__) == set()


def test_an_app_may_query_these_models() -> None:
    assert set(MODELS) <= set(paidup.models.__all__)


def test_every_public_error_has_a_code_of_its_own() -> None:
    public = [getattr(paidup, name) for name in paidup.__all__]
    kinds = [each for each in public if inspect.isclass(each) and issubclass(each, paidup.BillingError)]
    by_code: dict[str, list[str]] = {}
    for kind in kinds:
        by_code.setdefault(kind.code, []).append(kind.__name__)
    assert {code: names for code, names in by_code.items() if len(names) > 1} == {}

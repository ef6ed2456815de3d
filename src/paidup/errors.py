"""
Everything paidup raises, one tree.

```
BillingError
├── SettingsError, CatalogError          configuration: every problem at once, each with key and remedy
├── DatabaseUnavailable                  503  the database did not answer; nothing was stored
├── StripeError
│   ├── StripeUnavailable                503  no answer, or a 5xx; retry later
│   ├── StripeRateLimited                503  429 from Stripe; retry later
│   ├── StripeNotFound                   502  the object does not exist at Stripe
│   ├── StripeUnauthorized               502  the key is wrong or lacks a permission
│   └── StripeRejected                   502  Stripe refused the request; retrying unchanged will not help
│       └── StripeDeclined               502  the bank refused the charge
├── InvalidSignature, InvalidPayload     400  a webhook body that is not from Stripe, or not an event
├── PayloadTooLarge                      413
├── UnknownPlan, UnknownInterval, PlanNotForSale, InvalidSeats   422
├── UnknownAddon, UnknownCredit, InvalidQuantity, InvalidOwner   422
├── InvalidRequest, InvalidReturnUrl     422
├── DiscountRefused                      422  the promotion code or coupon cannot be used for this
│   ├── UnknownDiscount
│   ├── DiscountExpired
│   └── DiscountNotApplicable
├── CheckoutNotFound, CustomerNotFound, EventNotFound, InvoiceNotFound, QuoteNotFound   404
├── ReconciliationRunning                409  another runner is at it
├── CheckoutRefused                      409  the owner already has a subscription; `action` says what to do
├── CurrencyRefused                      409  the customer is billed in another currency
├── SubscriptionRefused                  409  it cannot end, pause or go on like this; `action` says what to do
├── QuoteChanged                         409  a change costs something else by now; `quote` is the new one
├── ChangeNotPaid                        402  the old plan stays, and nothing is owed
├── AccessRefused                        402
│   ├── NoSubscription
│   ├── FeatureNotInPlan
│   ├── LimitReached
│   ├── InsufficientCredits
│   └── PaymentPastDue
├── NothingToPay                         409  no subscription waits for a payment
├── PaymentFailed                        402  the invoice is still open; `url` is where the user pays it
│   ├── PaymentDeclined                       with another card
│   └── PaymentNeedsUser                      once their bank has their word, or Stripe a card
├── NotSignedIn                          401
├── NotAllowed                           403
└── CrossOriginRequest                   403
```

`code` is stable and meant for machines, `status` is the HTTP status a web adapter answers with, and
`remedy` says what the reader can do about it. Messages never carry secrets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from paidup.core.quote import Quote


class BillingError(Exception):
    """Anything paidup refuses or cannot do."""

    code: ClassVar[str] = "billing_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready facts: code, message, remedy and whatever the kind adds."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy} | dict(self._facts())

    def _facts(self) -> Mapping[str, object]:
        return {}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration: where, what, and what to do."""

    key: str
    message: str
    remedy: str


class _ConfigurationError(BillingError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{p.key}: {p.message} ({p.remedy})" for p in self.problems]
        super().__init__(f"{self._subject}: " + "; ".join(lines))

    _subject: ClassVar[str] = "configuration"

    def _facts(self) -> Mapping[str, object]:
        return {"problems": [{"key": p.key, "message": p.message, "remedy": p.remedy} for p in self.problems]}


class SettingsError(_ConfigurationError):
    """Settings are missing or contradict each other; `problems` lists all of them."""

    code = "settings"
    _subject = "billing settings"


class CatalogError(_ConfigurationError):
    """The plans file is not valid; `problems` lists all of them."""

    code = "catalog"
    _subject = "plans file"


class PortalDiffers(BillingError):
    """Stripe took the portal's configuration, and answered with another one: `fields` names what is not as asked."""

    code = "portal_differs"
    status = 502

    def __init__(self, message: str, *, fields: Sequence[str], remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.fields = tuple(fields)

    def _facts(self) -> Mapping[str, object]:
        return {"fields": list(self.fields)}


class DatabaseUnavailable(BillingError):
    """The database did not answer. Nothing was stored."""

    code = "database_unavailable"
    status = 503
    retry_after: ClassVar[int] = 5


class StripeError(BillingError):
    """Stripe could not, or would not, do what was asked."""

    code = "stripe_error"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        stripe_code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: int = 5,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.stripe_code = stripe_code
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds after which a retry is reasonable."""

    def _facts(self) -> Mapping[str, object]:
        return {"stripe_code": self.stripe_code, "param": self.param, "request_id": self.request_id}


class StripeUnavailable(StripeError):
    """No answer in time, or a 5xx. Whether the work was done is unknown: retry with the same idempotency key."""

    code = "stripe_unavailable"
    status = 503


class StripeRateLimited(StripeError):
    """Stripe answered 429: everybody in this process should slow down."""

    code = "stripe_rate_limited"
    status = 503


class StripeNotFound(StripeError):
    """Stripe has no such object (for this key and mode)."""

    code = "stripe_not_found"


class StripeUnauthorized(StripeError):
    """The API key is wrong, or a restricted key lacks a permission."""

    code = "stripe_unauthorized"


class StripeRejected(StripeError):
    """Stripe refused the request for its parameters or the object's state."""

    code = "stripe_rejected"


class StripeDeclined(StripeRejected):
    """The bank refused the charge, or asks the payer first; `decline_code` is its reason in Stripe's words."""

    code = "stripe_declined"

    decline_code: str | None = None


class InvalidSignature(BillingError):
    """
    The webhook was not signed with one of our secrets, or too long ago. Nothing was stored.

    `reason` is missing, malformed, too_old, too_new or no_match.
    """

    code = "invalid_signature"
    status = 400

    def __init__(self, message: str, *, remedy: str = "", reason: str = "no_match") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class InvalidPayload(BillingError):
    """The webhook body is signed but is not an event."""

    code = "invalid_payload"
    status = 400


class PayloadTooLarge(BillingError):
    """The webhook body is larger than any event."""

    code = "payload_too_large"
    status = 413


class UnknownPlan(BillingError):
    """No such plan in the plans file."""

    code = "unknown_plan"
    status = 422


class UnknownInterval(BillingError):
    """The plan has no price for that interval."""

    code = "unknown_interval"
    status = 422


class PlanNotForSale(BillingError):
    """The plan is free, or its price is not available at Stripe."""

    code = "plan_not_for_sale"
    status = 422


class InvalidSeats(BillingError):
    """The number of seats is not a whole number within the plan's bounds."""

    code = "invalid_seats"
    status = 422


class UnknownCredit(BillingError):
    """There is no such credit in the plans file."""

    code = "unknown_credit"
    status = 422


class UnknownAddon(BillingError):
    """There is no such add-on, or it is not sold with this plan."""

    code = "unknown_addon"
    status = 422


class InvalidQuantity(BillingError):
    """The number of an add-on is not a whole number within its bounds."""

    code = "invalid_quantity"
    status = 422


class InvalidOwner(BillingError):
    """An owner is a non-empty string of at most 200 characters."""

    code = "invalid_owner"
    status = 422


class InvalidRequest(BillingError):
    """The request has fields that do not exist, or values that cannot be."""

    code = "invalid_request"
    status = 422


class InvalidReturnUrl(BillingError):
    """The return URL leads to a host that is not allowed."""

    code = "invalid_return_url"
    status = 422


class DiscountRefused(BillingError):
    """A promotion code or coupon that cannot be used for this purchase; without it, the purchase can go on."""

    code = "discount_refused"
    status = 422


class UnknownDiscount(DiscountRefused):
    """Stripe has no such promotion code or coupon."""

    code = "unknown_discount"


class DiscountExpired(DiscountRefused):
    """It was switched off, its time is over, or it was redeemed as often as it may be."""

    code = "discount_expired"


class DiscountNotApplicable(DiscountRefused):
    """It is for other customers, other plans, a first purchase, a larger amount or another currency."""

    code = "discount_not_applicable"


class CheckoutNotFound(BillingError):
    """No such Checkout session of this owner."""

    code = "checkout_not_found"
    status = 404


class CustomerNotFound(BillingError):
    """The owner has no Stripe customer yet."""

    code = "customer_not_found"
    status = 404


class EventNotFound(BillingError):
    """No such event was received."""

    code = "event_not_found"
    status = 404


class InvoiceNotFound(BillingError):
    """No such invoice of this owner, or one that has no page yet."""

    code = "invoice_not_found"
    status = 404


class QuoteNotFound(BillingError):
    """No such quote of this owner."""

    code = "quote_not_found"
    status = 404


class QuoteChanged(BillingError):
    """A change costs something else than was quoted, or the quote is too old. Nothing was charged or changed."""

    code = "quote_changed"
    status = 409

    def __init__(self, message: str, *, quote: Quote, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.quote = quote
        """What it costs now."""

    def _facts(self) -> Mapping[str, object]:
        return {"quote": self.quote.as_dict()}


class ChangeNotPaid(BillingError):
    """A change of plan was declined. The old plan stays, its invoice is void; the quote may be confirmed again."""

    code = "change_not_paid"
    status = 402

    def __init__(self, message: str, *, decline_code: str | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.decline_code = decline_code
        """The bank's reason: https://docs.stripe.com/declines/codes. Not all are meant to be told to the user."""


class ReconciliationRunning(BillingError):
    """Another process reconciles this account; there is one at a time."""

    code = "reconciliation_running"
    status = 409


class CheckoutRefused(BillingError):
    """
    The owner already has a live subscription in the plan's group.

    `action` names the right way on: `change_plan`, `fix_payment`, `resume` or `pending`.
    """

    code = "checkout_refused"
    status = 409

    def __init__(self, message: str, *, action: str, plan: str | None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.action = action
        self.plan = plan
        """The plan the owner is on now; None while a payment is pending."""

    def _facts(self) -> Mapping[str, object]:
        return {"action": self.action, "plan": self.plan}


class CurrencyRefused(BillingError):
    """Stripe bills a customer in one currency, `currency`, and another was asked for, or is all the plan is sold in."""

    code = "currency_refused"
    status = 409

    def __init__(self, message: str, *, currency: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.currency = currency

    def _facts(self) -> Mapping[str, object]:
        return {"currency": self.currency}


class SubscriptionRefused(BillingError):
    """
    What was asked of the owner's subscription cannot be done as it stands.

    `action` names the right way on: `checkout` (there is none, or it is over), `resume`, `cancel_now`, `fix_payment`,
    `update_payment_method`, `undo_change` (the planned one first), `plan_change` (a schedule that was made elsewhere is
    in the way), `pause_collection` (the only kind of pause it can have), `choose_group` or `contact_us`. A change of
    plan may also be refused with `nothing_to_change` or `update_address`. What the portal does not do may be refused
    with `change_plan` or `pause`: the app's own way to it.
    """

    code = "subscription_refused"
    status = 409

    def __init__(self, message: str, *, action: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.action = action

    def _facts(self) -> Mapping[str, object]:
        return {"action": self.action}


class AccessRefused(BillingError):
    """The owner's plan or payment does not cover what was asked."""

    code = "access_refused"
    status = 402

    def __init__(
        self,
        message: str,
        *,
        owner: str,
        plan: str,
        plans: Sequence[str] = (),
        addons: Sequence[str] = (),
        feature: str | None = None,
        limit: str | None = None,
        allowed: int | None = None,
        used: int | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.owner = owner
        self.plan = plan
        """The plan the owner has now."""
        self.plans = tuple(plans)
        """The plans that would do, cheapest first."""
        self.addons = tuple(addons)
        """The add-ons of the plan they have that would do."""
        self.feature = feature
        self.limit = limit
        self.allowed = allowed
        self.used = used

    def _facts(self) -> Mapping[str, object]:
        facts: dict[str, object] = {"plan": self.plan, "plans": list(self.plans), "addons": list(self.addons)}
        if self.feature is not None:
            facts["feature"] = self.feature
        if self.limit is not None:
            facts |= {"limit": self.limit, "allowed": self.allowed, "used": self.used}
        return facts


class NoSubscription(AccessRefused):
    """Nothing is subscribed, and the default plan does not include the feature."""

    code = "no_subscription"


class FeatureNotInPlan(AccessRefused):
    """The owner's plan does not include the feature."""

    code = "feature_not_in_plan"


class LimitReached(AccessRefused):
    """The owner has used all that the plan allows."""

    code = "limit_reached"


class InsufficientCredits(AccessRefused):
    """The owner has fewer units of `credit` than are `needed`; `balance` is how many, below zero for a debt."""

    code = "insufficient_credits"

    def __init__(
        self,
        message: str,
        *,
        owner: str,
        plan: str,
        credit: str,
        needed: int,
        balance: int,
        plans: Sequence[str] = (),
        addons: Sequence[str] = (),
        remedy: str = "",
    ) -> None:
        super().__init__(message, owner=owner, plan=plan, plans=plans, addons=addons, remedy=remedy)
        self.credit = credit
        self.needed = needed
        self.balance = balance

    def _facts(self) -> Mapping[str, object]:
        return {**super()._facts(), "credit": self.credit, "needed": self.needed, "balance": self.balance}


class PaymentPastDue(AccessRefused):
    """The plan would include it, but its payment failed and the grace period is over."""

    code = "payment_past_due"


class WrongAccount(BillingError):
    """The database holds the data of another Stripe account than the key's."""

    code = "wrong_account"


class TransferRefused(BillingError):
    """A customer cannot go to that owner, or not now."""

    code = "transfer_refused"
    status = 409


class NothingToPay(BillingError):
    """No subscription of the owner waits for a payment."""

    code = "nothing_to_pay"
    status = 409


class PaymentFailed(BillingError):
    """An open invoice could not be paid. `url` is Stripe's page for it, where the user can; it does not last."""

    code = "payment_failed"
    status = 402

    def __init__(
        self, message: str, *, invoice: str, url: str, decline_code: str | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.invoice = invoice
        self.url = url
        self.decline_code = decline_code
        """The bank's reason: https://docs.stripe.com/declines/codes. Not all are meant to be told to the user."""

    def _facts(self) -> Mapping[str, object]:
        return {"invoice": self.invoice, "url": self.url}


class PaymentDeclined(PaymentFailed):
    """The bank refused it."""

    code = "payment_declined"


class PaymentNeedsUser(PaymentFailed):
    """The bank wants the user's confirmation (3D Secure), or there is no payment method on file."""

    code = "payment_needs_user"


class NotSignedIn(BillingError):
    """Nobody is signed in."""

    code = "not_signed_in"
    status = 401


class NotAllowed(BillingError):
    """The person may not manage this owner's billing."""

    code = "not_allowed"
    status = 403


class CrossOriginRequest(BillingError):
    """A browser sent a state-changing request from another site."""

    code = "cross_origin"
    status = 403

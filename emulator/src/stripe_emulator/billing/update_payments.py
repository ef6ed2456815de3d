"""
Paying for a change of a subscription, as its `payment_behavior` says.

What a declined payment leaves: `allow_incomplete` past due, `default_incomplete` past due and not even tried,
`error_if_incomplete` nothing at all, `pending_if_incomplete` the subscription as it was. See
https://docs.stripe.com/api/subscriptions/update and https://docs.stripe.com/billing/subscriptions/pending-updates
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, pending_updates, sending, standing
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.protocol.errors import ApiError, card_error, invalid
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def collect(engine: Engine, subscription: Json, invoice: Json, behavior: str, before: Json) -> None:
    """Collect a change's invoice; `before` is the subscription as it was, for a change that has to wait."""
    if sending.is_sent(invoice):
        sending.send(engine, invoice)
        return
    if invoice["status"] == "paid":
        return
    method = collection.default_method(engine, invoice)
    if behavior == "default_incomplete":
        collection.await_confirmation(engine, invoice, method)
        standing.after_awaiting(engine, invoice)
        return
    if behavior == "pending_if_incomplete" and method is not None and method["type"] != "card":
        raise invalid(
            f"Pending updates are not supported when the subscription is paid by {method['type']}.",
            param="payment_behavior",
        )
    invoice["_may_wait"] = behavior == "pending_if_incomplete"
    if method is None:
        if behavior == "error_if_incomplete":
            raise invalid("This customer has no attached payment source or default payment method.")
        collection.fail_without_method(engine, invoice)
        attempt = Attempt("failed")
    else:
        attempt = collection.charge(engine, invoice, method, off_session=False)
    if attempt.went_through:
        return
    if behavior == "error_if_incomplete":
        raise refusal(attempt)
    if behavior == "pending_if_incomplete":
        pending_updates.postpone(engine, subscription, before, invoice)


def refusal(attempt: Attempt) -> ApiError:
    """The 402 of `error_if_incomplete`."""
    if attempt.decline is not None:
        return attempt.decline.error()
    return card_error(
        "This payment required an authentication action to complete, but `error_on_requires_action` was set. "
        "When you're ready, you can upgrade your integration to handle actions at "
        "https://docs.stripe.com/payments/payment-intents/upgrade-to-handle-actions.",
        code="subscription_payment_intent_requires_action",
    )

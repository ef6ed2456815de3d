"""The SDK's errors, translated once into ours. Nothing outside `stripe_api` sees a `stripe` exception."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import stripe

from paidup import errors
from paidup.stripe_api import idempotency
from paidup.stripe_api.budget import one_call

_PERSONAL = ("email", "name", "phone")
"""Parameters whose values Stripe quotes after a colon when it refuses them."""
_ADDRESS = re.compile(r"[^\s'\"<>]+@[^\s'\"<>]+")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Run a call to Stripe; `what` names it in the error: `create a Checkout session`."""
    try:
        with one_call():
            yield
    except stripe.StripeError as error:
        # What the SDK's error quotes would stand in every traceback, and wherever those are sent.
        raise _ours(error, what) from error if _may_be_shown(error) else None


def _ours(error: stripe.StripeError, what: str) -> errors.StripeError:
    status = error.http_status
    kind: type[errors.StripeError]
    if isinstance(error, stripe.RateLimitError) or status == 429:
        kind, remedy = errors.StripeRateLimited, "it is retried more slowly"
    elif isinstance(error, stripe.APIConnectionError) or status is None or status >= 500:
        kind, remedy = errors.StripeUnavailable, "nothing is lost; try again in a moment"
    elif isinstance(error, stripe.IdempotencyError) or status == 409:
        # Another call with this key is still under way: what it did is not known yet, so the same call is repeated.
        kind, remedy = errors.StripeUnavailable, "the same request is under way; try again in a moment"
        if getattr(error, "code", None) != "idempotency_key_in_use" and status != 409:
            kind, remedy = errors.StripeRejected, "the idempotency key was used with other parameters"
    elif isinstance(error, stripe.AuthenticationError | stripe.PermissionError) or status in (401, 403):
        kind, remedy = errors.StripeUnauthorized, "check STRIPE_SECRET_KEY and the permissions of a restricted key"
    elif status == 404 or error.code == "resource_missing":
        kind, remedy = errors.StripeNotFound, "check that the key belongs to the same account and mode"
    elif isinstance(error, stripe.CardError):
        kind, remedy = errors.StripeDeclined, "the payer has to confirm it, or use another card"
    else:
        kind, remedy = errors.StripeRejected, "the request has to change before it can succeed"
    ours = kind(
        f"could not {what}: {_explain(error)}",
        remedy=remedy,
        stripe_code=error.code or (idempotency.REUSED if isinstance(error, stripe.IdempotencyError) else None),
        param=getattr(error, "param", None),
        request_id=error.request_id,
    )
    if isinstance(ours, errors.StripeDeclined):
        ours.decline_code = getattr(error.error, "decline_code", None)
    return ours


def _explain(error: stripe.StripeError) -> str:
    """Stripe's own words, without the key and the personal data that they may quote."""
    if isinstance(error, stripe.AuthenticationError):
        return "Stripe does not accept the API key"
    if isinstance(error, stripe.APIConnectionError):
        return "no answer from Stripe"
    said = _words(error)
    if getattr(error, "param", None) in _PERSONAL:
        return said.partition(":")[0]
    return _ADDRESS.sub("(an address)", said)


def _may_be_shown(error: stripe.StripeError) -> bool:
    return isinstance(error, stripe.APIConnectionError) or _explain(error) == _words(error)


def _words(error: stripe.StripeError) -> str:
    return error.user_message or error.code or f"HTTP {error.http_status}"

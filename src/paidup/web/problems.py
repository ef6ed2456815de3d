"""Errors as RFC 9457 problem documents: the same body and status in every web framework."""

from __future__ import annotations

from typing import Any

from paidup.errors import (
    AccessRefused,
    BillingError,
    CheckoutRefused,
    CustomerNotFound,
    DatabaseUnavailable,
    StripeError,
)

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "Bad request",
    401: "Not signed in",
    402: "Payment required",
    403: "Not allowed",
    404: "Not found",
    409: "Conflict",
    413: "Too large",
    422: "Not valid",
    500: "Internal error",
    502: "Stripe refused",
    503: "Not available",
}


def document(error: BillingError, *, upgrade_url: str) -> dict[str, Any]:
    """The body. What went wrong inside (5xx) is told by its code alone: details belong into the log."""
    body: dict[str, Any] = {
        "type": f"urn:paidup:problem:{error.code}",
        "title": _TITLES.get(error.status, "Error"),
        "status": error.status,
    }
    if error.status in (500, 502):
        return body | {"code": error.code, "detail": "Billing could not do this; it has been noted."}
    facts = error.as_dict()
    body |= {"detail": facts.pop("message")} | facts
    if isinstance(error, AccessRefused | CheckoutRefused | CustomerNotFound):
        body["upgrade_url"] = upgrade_url
    return body


def headers(error: BillingError) -> dict[str, str]:
    """`Retry-After` where waiting helps, and never a cache."""
    found = {"Cache-Control": "no-store"}
    if isinstance(error, StripeError | DatabaseUnavailable) and error.status == 503:
        found["Retry-After"] = str(error.retry_after)
    return found

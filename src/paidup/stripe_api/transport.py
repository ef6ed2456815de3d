"""
The SDK's HTTP client, within the budget: every request to Stripe takes a turn, and tells how it was answered.

The SDK repeats what failed on the way, conflicts, and what Stripe asks it to repeat, with the same idempotency key. It
doesn't repeat a 429, which Stripe answers before it does any work: that is done here, for a call that a user waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import stripe

from paidup import metrics
from paidup.stripe_api.budget import Budget, is_in_background, patience

_Answer = tuple[Any, int, Mapping[str, str]]
_NAMESPACES = frozenset({"billing", "billing_portal", "checkout", "entitlements", "test_helpers"})


_aside: ContextVar[list[bytes] | None] = ContextVar("paidup_aside", default=None)


@contextmanager
def unparsed() -> Iterator[list[bytes]]:
    """
    The bodies of what succeeds in this block, which the SDK sees nothing of.

    It would write each into a log line, used or not, and read it into ordered dictionaries: a tenth of a second for a
    thousand objects.
    """
    bodies: list[bytes] = []
    token = _aside.set(bodies)
    try:
        yield bodies
    finally:
        _aside.reset(token)


class Transport(stripe.RequestsClient):
    """`timeout` is (connect, read) in seconds."""

    def __init__(self, budget: Budget, *, timeout: tuple[float, float]) -> None:
        super().__init__(timeout=timeout)
        self._budget = budget

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> _Answer:
        """One request; a 429 is the SDK's to see only when the patience is at an end, or nobody waits."""
        endpoint = endpoint_of(method, url)
        tries = 0
        while True:
            tries += 1
            with self._budget.slot(endpoint):
                answer = self._measured(endpoint, method, url, headers, post_data)
            body, status, sent = answer
            if status == 200 and (aside := _aside.get()) is not None:
                aside.append(body)
                return b"{}", status, sent
            if status != 429:
                return answer
            retry_after = _seconds(sent.get("Retry-After"))
            wait = self._budget.limited(endpoint, _reason(body, sent), retry_after=retry_after, tries=tries)
            if is_in_background() or sent.get("Stripe-Should-Retry") == "true" or not patience().wait(wait):
                return answer

    def _measured(self, endpoint: str, *arguments: Any) -> _Answer:
        began, status = perf_counter(), "none"
        try:
            answer: _Answer = super().request(*arguments)
            status = str(answer[1])
        finally:
            metrics.stripe_requests.labels(endpoint, status).inc()
            metrics.stripe_request_seconds.labels(endpoint).observe(perf_counter() - began)
        return answer


def endpoint_of(method: str, url: str) -> str:
    """An endpoint as Stripe counts it: `get /v1/customers/:id`."""
    parts = urlsplit(url).path.strip("/").split("/")
    name = 3 if len(parts) > 1 and parts[1] in _NAMESPACES else 2
    named = [*parts[:name], *([":id"] if len(parts) > name else []), *parts[name + 1 :]]
    return f"{method.lower()} /{'/'.join(named)}"


def _reason(body: bytes | str, sent: Mapping[str, str]) -> str | None:
    reason = sent.get("Stripe-Rate-Limited-Reason")
    if reason is not None:
        return reason
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    return "lock_timeout" if '"lock_timeout"' in text else None


def _seconds(value: str | None) -> float:
    """Of a Retry-After header; 0 for none, or for a date."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else 0.0

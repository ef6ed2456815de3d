"""Deliveries by hand: events of the emulator's log, signed and handed to a Billing, in whatever order a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe as sdk

from paidup import Billing, Receipt


def signed(body: bytes, *, secret: str, at: datetime | None = None) -> str:
    """The Stripe-Signature header of a body."""
    moment = int((at or datetime.now(UTC)).timestamp())
    return str(sdk.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=moment))


def deliver(billing: Billing, event: Mapping[str, Any], *, at: datetime | None = None) -> Receipt:
    """Hand an event to `receive`, as an endpoint that trusts the first configured secret; signed now, or `at`."""
    body = json.dumps(event).encode()
    secret = billing.settings.webhook_secrets[0].get_secret_value()
    return billing.receive(body, signed(body, secret=secret, at=at))


def a_hurrying_clock(step: timedelta = timedelta(milliseconds=150)) -> Callable[[], datetime]:
    """A clock that is a step further at each look, so that debounces and backoffs are over without waiting."""
    started = datetime.now(UTC)
    looks = 0

    def now() -> datetime:
        nonlocal looks
        looks += 1
        return started + looks * step

    return now

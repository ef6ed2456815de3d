"""
A webhook's body, reduced to what paidup reads from it: ids and types, never state.

An event is a hint that something changed. What it changed to is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paidup.core.parse import reference
from paidup.core.timestamps import from_iso, from_unix

_NEVER = 253_402_300_800
"""The year 10000, in Unix seconds."""


class NotAnEvent(ValueError):
    """The body is JSON but not a Stripe event."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    Who says what changed.

    `created` has Stripe's resolution of one second and is used for display and clocks, never for order.
    `customer` and `charge` are what the object says it belongs to. `is_thin` marks a v2 notification: it
    names its object but carries no snapshot.
    """

    id: str
    type: str
    api_version: str | None
    livemode: bool
    account: str | None
    created: datetime | None
    object_type: str | None
    object_id: str | None
    customer: str | None
    is_thin: bool
    charge: str | None = None


def parse(body: object) -> Event:
    """Read an event of either style. Raises NotAnEvent."""
    if not isinstance(body, dict):
        raise NotAnEvent("the body is not a JSON object")
    kind = body.get("object")
    if kind not in ("event", "v2.core.event"):
        raise NotAnEvent(f"the body's object is {kind!r}, not an event")
    if not _is_text(body.get("id")) or not _is_text(body.get("type")):
        raise NotAnEvent("the event has no id or no type")
    return _thin(body) if kind == "v2.core.event" else _snapshot(body)


def _snapshot(body: Mapping[str, Any]) -> Event:
    data = body.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise NotAnEvent("the event has no data.object")
    before = data.get("previous_attributes") or {} if isinstance(data, dict) else {}
    object_id = subject.get("id")
    if subject.get("object") == "customer":
        customer = object_id
    else:
        # A detached payment method has no customer any more; the one it left is in previous_attributes.
        customer = reference(subject.get("customer")) or reference(before.get("customer"))
    created = body.get("created")
    return Event(
        id=body["id"],
        type=body["type"],
        api_version=body.get("api_version"),
        livemode=body.get("livemode") is True,
        account=body.get("account"),
        created=from_unix(created) if isinstance(created, int) and 0 <= created < _NEVER else None,
        object_type=_text(subject.get("object")),
        object_id=_text(object_id),
        customer=_text(customer),
        is_thin=False,
        charge=_text(reference(subject.get("charge"))),
    )


def _thin(body: Mapping[str, Any]) -> Event:
    related = body.get("related_object")
    related = related if isinstance(related, dict) else {}
    object_type, object_id = _text(related.get("type")), _text(related.get("id"))
    return Event(
        id=body["id"],
        type=body["type"],
        api_version=None,
        livemode=body.get("livemode") is True,
        account=_text(body.get("context")),
        created=from_iso(body.get("created")),
        object_type=object_type,
        object_id=object_id,
        customer=object_id if object_type == "customer" else None,
        is_thin=True,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and _is_text(value) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255

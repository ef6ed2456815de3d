"""
Whose a customer is that nobody here knows: ours from before a lost commit, the app's to say, or nobody's.

Never by e-mail, which is neither unique at Stripe nor proof of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paidup.core import parse
from paidup.core.customer import Customer
from paidup.core.differences import Difference
from paidup.customers import check_owner
from paidup.database.adoptions import Claim, second_claim
from paidup.errors import InvalidOwner

OwnerOf = Callable[[Customer], str | None]

INVALID_OWNER = "invalid_owner"
"""What the app said cannot be an owner."""

Intents = Mapping[str, tuple[str, str | None]]
"""By owner: the intent of the mapping here, and the customer it has."""


def is_our_orphan(body: Mapping[str, Any], intents: Intents) -> bool:
    """Did we ask for this customer, and lose the answer? Its intent has to be one of our own rows."""
    owner, intent = _said(body)
    return owner is not None and intents.get(owner) == (intent, None)


def has_another(body: Mapping[str, Any], intents: Intents) -> str | None:
    """The owner that paidup wrote on the customer, if that owner has another customer here."""
    owner, _ = _said(body)
    known = intents.get(owner) if owner else None
    return owner if known is not None and known[1] not in (None, body["id"]) else None


def claim(body: Mapping[str, Any], intents: Intents, owner_of: OwnerOf | None) -> Claim | Difference | None:
    """What is to be done with a customer: take it in, report it, or leave it alone."""
    taken = has_another(body, intents)
    if taken is not None:
        return second_claim(body["id"], taken)
    owner = owner_of(parse.customer(body, owner=None)) if owner_of is not None else None
    if owner is None:
        return None
    try:
        return Claim(body, check_owner(owner))
    except InvalidOwner:
        id = body["id"]
        return Difference("customer", id, id, "owner", None, str(owner), state="unsafe", reason=INVALID_OWNER)


def written_owner(body: Mapping[str, Any]) -> list[str]:
    """The owner that paidup wrote on a customer when it asked for it, if it did."""
    owner, _ = _said(body)
    return [owner] if owner else []


def _said(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    metadata = body.get("metadata") or {}
    owner, intent = metadata.get(parse.OWNER_KEY), metadata.get(parse.INTENT_KEY)
    return (owner, intent) if owner and intent else (None, None)

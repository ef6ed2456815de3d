"""
What a person is told by without being named: keyed hashes of an e-mail address or of a card's fingerprint.

Without the key nobody can tell from a mark what it was made of, not even by trying every address there is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

OWNER_PREFIX = "owner:"
_LENGTH = 64
_DOTS_DO_NOT_COUNT = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def unaliased(email: str) -> str:
    """The address behind the many somebody may write: small letters, no +tag, none of the dots that Gmail ignores."""
    mailbox, _, domain = email.strip().casefold().rpartition("@")
    mailbox = mailbox.partition("+")[0] or mailbox
    if domain in _DOTS_DO_NOT_COUNT:
        mailbox, domain = mailbox.replace(".", ""), _DOTS_DO_NOT_COUNT[domain]
    return f"{mailbox}@{domain}"


def of_email(key: str, email: str) -> str:
    """The mark of an address, the same for all its aliases."""
    return _mark(key, f"email:{unaliased(email)}")


def of_payment_methods(key: str, bodies: Iterable[Mapping[str, Any] | str | None]) -> set[str]:
    """The marks of payment methods that were expanded; a kind without a fingerprint has none."""
    return {
        _mark(key, f"{body['type']}:{found}")
        for body in bodies
        if isinstance(body, Mapping) and (found := (body.get(body["type"]) or {}).get("fingerprint"))
    }


def of_owner(owner: str) -> str:
    """The mark of an owner, who is named by other rows anyway: no secret, and never the same as one of a person."""
    return f"{OWNER_PREFIX}{hashlib.sha256(owner.encode()).hexdigest()[: _LENGTH - len(OWNER_PREFIX)]}"


def _mark(key: str, value: str) -> str:
    return hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()

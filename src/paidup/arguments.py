"""
What the verbs may be given: checked at the edge, before the database or Stripe are asked.

An app passes on what a browser sent, so an id may be anything. Owners are checked in `customers`, what is bought in
`purchase`, promotion codes in `discounts`.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from paidup.core.catalog import Catalog
from paidup.errors import InvalidRequest

LONGEST_EMAIL = 512
LONGEST_NAME = 256
"""In characters; Stripe takes no more."""

_LONGEST_ID = 255
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LINES = str.maketrans("", "", "\n\r\t")


def is_id(value: object) -> TypeGuard[str]:
    """Can it be an id at all? PostgreSQL stores no NUL, and an index no text without end."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()


def is_text(value: object) -> TypeGuard[str]:
    """Can it be what somebody wrote, in several lines maybe?"""
    return isinstance(value, str) and value.translate(_LINES).isprintable()


def check_group(group: object, catalog: Catalog) -> None:
    """Raises InvalidRequest for a group that no plan is in; None stands for none in particular."""
    known = sorted({plan.group for plan in catalog.plans})
    if group is not None and group not in known:
        raise InvalidRequest(f"there is no plan group {group!r:.80}", remedy=f"name one of: {', '.join(known)}")


def email_of(value: object) -> str | None:
    """The e-mail, None for an empty one. Raises InvalidRequest for what is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_EMAIL or not value.isprintable() or not _is_email(value):
        raise InvalidRequest(
            "this is not an e-mail address",
            remedy=f"pass one like 'ada@example.com', of at most {LONGEST_EMAIL} characters, or None",
        )
    return value


def name_of(value: object) -> str | None:
    """The name. Raises InvalidRequest for what is none."""
    if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable()):
        raise InvalidRequest(
            "this is not a customer's name", remedy=f"pass at most {LONGEST_NAME} printable characters, or None"
        )
    return value


def _is_email(value: str) -> bool:
    return _EMAIL.fullmatch(value) is not None

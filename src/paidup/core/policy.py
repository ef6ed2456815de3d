"""What each subscription status grants: the policy, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType


class Grants(StrEnum):
    """What a status is worth."""

    YES = "yes"
    GRACE = "grace"
    """Yes until the grace period after the first failed payment is over."""
    NO = "no"


DEFAULT_STATUSES: Mapping[str, Grants] = MappingProxyType(
    {
        "trialing": Grants.YES,
        "active": Grants.YES,
        "past_due": Grants.GRACE,
        "unpaid": Grants.NO,
        "paused": Grants.NO,
        "incomplete": Grants.NO,
        "incomplete_expired": Grants.NO,
        "canceled": Grants.NO,
    }
)


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """
    Which statuses give access, and for how long after a failed payment.

    A status that is not listed grants nothing. `pause_collection` counts as paused: Stripe leaves such a
    subscription `active` though nobody pays for it.

    Stripe knows no status for money that went back, and bills on. `refunded` is what a subscription is worth whose
    current period was refunded whole: a gift by default, as ending it is a call of its own. `disputed` is one of which
    a payment is disputed, or was lost that way and not made up for: nothing by default, until it is won or paid.
    """

    past_due_grace: timedelta = timedelta(days=14)
    statuses: Mapping[str, Grants] = field(default_factory=lambda: DEFAULT_STATUSES)
    refunded: Grants = Grants.YES
    disputed: Grants = Grants.NO

    def __post_init__(self) -> None:
        """Raises ValueError for a grace period where none is counted."""
        if Grants.GRACE in (self.refunded, self.disputed):
            raise ValueError("money that went back has no grace period: refunded and disputed are YES or NO")

    def of(self, status: str) -> Grants:
        """What this status grants."""
        return self.statuses.get(status, Grants.NO)

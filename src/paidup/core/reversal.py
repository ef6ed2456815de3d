"""Money that went back: refunds, and disputes that a bank decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

OPEN_DISPUTES = ("needs_response", "under_review")
"""The bank has taken the money and has not decided. An inquiry (`warning_...`) takes none."""
LOST_DISPUTE = "lost"
NOT_REFUNDED = ("failed", "canceled")
"""The statuses of a refund that gives nothing back; any other one does, or is about to."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """
    A refund (`re_...`) or a dispute (`du_...`) of a charge. `amount` is in minor units of `currency`.

    `kind` is `refund` or `dispute`, `status` Stripe's. `customer` is None when the charge is nobody's, `invoice` when
    it paid none.
    """

    id: str
    kind: str
    charge: str
    payment_intent: str | None
    customer: str | None
    invoice: str | None
    amount: int
    currency: str
    status: str
    reason: str | None
    created: datetime
    livemode: bool

    @property
    def gives_back(self) -> bool:
        """A refund that was made, or is being made."""
        return self.kind == "refund" and self.status not in NOT_REFUNDED

    @property
    def is_open_dispute(self) -> bool:
        """A dispute that the bank has not decided, and whose money it has taken meanwhile."""
        return self.kind == "dispute" and self.status in OPEN_DISPUTES

    @property
    def is_decided_dispute(self) -> bool:
        """A dispute that was won or lost; an inquiry that was closed took no money."""
        return self.kind == "dispute" and self.status in ("won", LOST_DISPUTE)

"""What a reconciliation found, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from paidup.core.differences import Difference

CATALOG = ("product", "price")
LISTED = ("customer", "invoice", "subscription")
"""What is compared, in this order: subscriptions last, when the invoices behind them are known."""
REVERSALS = ("refund", "dispute")
"""What is compared then, when it is known whose the charges are."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: objects of Stripe's that were read in this phase, and how many the last run had there."""

    phase: str
    done: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """
    A comparison of every mirrored row with Stripe, both ways.

    `state` is running, done or failed (with `error`); only a run that reached the last page is done. `differences`
    are the first of them, `found`, `fixed` and `unsafe` count all. Money is in minor units per currency: `at_risk`
    hangs on what is left, `mended` on what was fixed. `in_flight` customers are being synchronised and were not
    judged; `foreign` ones are nobody's here; `adopted` ones were taken in, with what was `imported` of each kind.
    """

    id: str
    livemode: bool
    fix: bool
    state: str
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    compared: Mapping[str, int]
    imported: Mapping[str, int]
    differences: tuple[Difference, ...]
    found: int
    fixed: int
    unsafe: int
    at_risk: Mapping[str, int]
    mended: Mapping[str, int]
    in_flight: int = 0
    adopted: int = 0
    foreign: int = 0
    events: Mapping[str, object] = field(default_factory=dict)
    """
    The events that never came and were fetched: how many were `found` and `stored`, and `window_exceeded` when there
    may have been more, too old for Stripe's list; the comparison saw what they did all the same.
    """

    @property
    def is_clean(self) -> bool:
        """Does every row equal Stripe's object now?"""
        return self.state == "done" and self.found == 0 and self.unsafe == 0

    def as_dict(self) -> dict[str, object]:
        """The report as JSON-ready facts, but for its datetimes."""
        return {
            "id": self.id,
            "state": self.state,
            "clean": self.is_clean,
            "livemode": self.livemode,
            "fix": self.fix,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "error": self.error,
            "compared": dict(self.compared),
            "imported": dict(self.imported),
            "adopted": self.adopted,
            "foreign": self.foreign,
            "in_flight": self.in_flight,
            "events": dict(self.events),
            "found": self.found,
            "fixed": self.fixed,
            "unsafe": self.unsafe,
            "at_risk": dict(self.at_risk),
            "mended": dict(self.mended),
            "differences": [asdict(each) for each in self.differences],
        }

"""What a change of plan, interval or seats will cost, and a change that is still to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from paidup.core.invoice import UpcomingLine

When = Literal["now", "period_end"]
"""When a change takes effect: at once, once paid, or when what is paid for is over."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is subscribed to: a plan's key, an interval, a number of seats, and how many of which add-ons, by key."""

    plan: str
    interval: str
    seats: int
    addons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quote:
    """
    What a change will cost, as Stripe computed it. Amounts are integers of minor units of `currency`.

    `before` and `after` are the terms. `total` is that of the invoice of today, `due_now` what is charged of it after
    the customer's balance; below zero, `total` goes to that balance. `credit` is how much of what was paid already is
    given back in it, not below zero. `lines` are the first lines of that invoice, tax and discounts aside.
    `next_amount` is the total of the invoice after it, drawn up at `next_at`, the balance aside; both are None if there
    will be none.
    `effective_at` is None for a change at once. `ends_trial`: the first paid period begins when it is confirmed, and
    `next_at` is as far from then as it is from now. `promotion_code` is the one that was asked with. Confirmed before
    `expires_at`, it holds to the cent or is refused.
    """

    id: str
    owner: str
    subscription: str
    before: Terms
    after: Terms
    when: When
    effective_at: datetime | None
    currency: str
    total: int
    due_now: int
    credit: int
    lines: tuple[UpcomingLine, ...]
    next_amount: int | None
    next_at: datetime | None
    expires_at: datetime
    promotion_code: str | None = None
    ends_trial: bool = False

    @property
    def addons_changed(self) -> dict[str, int]:
        """How many there will be of each add-on of which there will be more or fewer."""
        before, after = self.before.addons, self.after.addons
        return {key: after.get(key, 0) for key in {**before, **after} if before.get(key, 0) != after.get(key, 0)}

    def as_dict(self) -> dict[str, Any]:
        """The quote as JSON-ready facts; moments are ISO 8601 in UTC."""
        return {
            "id": self.id,
            "owner": self.owner,
            "subscription": self.subscription,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "when": self.when,
            "effective_at": _iso(self.effective_at),
            "currency": self.currency,
            "total": self.total,
            "due_now": self.due_now,
            "credit": self.credit,
            "lines": [_line(each) for each in self.lines],
            "next_amount": self.next_amount,
            "next_at": _iso(self.next_at),
            "expires_at": _iso(self.expires_at),
            "promotion_code": self.promotion_code,
            "ends_trial": self.ends_trial,
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Quote:
        """The quote that `as_dict` described."""
        return cls(
            **{
                **facts,
                "before": Terms(**facts["before"]),
                "after": Terms(**facts["after"]),
                "lines": tuple(_as_line(each) for each in facts["lines"]),
                **{name: _moment(facts[name]) for name in ("effective_at", "next_at", "expires_at")},
            }
        )


@dataclass(frozen=True, slots=True)
class ScheduledChange:
    """A change that was confirmed and takes effect when the period ends; until then it can be undone."""

    quote: str
    subscription: str
    before: Terms
    after: Terms
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class PendingChange:
    """
    A change that was confirmed and waits for the user's bank; until it is paid for, what there was before goes on.

    At `url` the user answers the bank; it runs out, so it is asked for anew each time. At `expires_at` Stripe drops it.
    """

    quote: str
    subscription: str
    before: Terms
    after: Terms
    url: str
    expires_at: datetime


def _line(line: UpcomingLine) -> dict[str, Any]:
    return {**asdict(line), "period_start": _iso(line.period_start), "period_end": _iso(line.period_end)}


def _as_line(facts: Mapping[str, Any]) -> UpcomingLine:
    return UpcomingLine(**{**facts, **{name: _moment(facts[name]) for name in ("period_start", "period_end")}})


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> Any:
    return datetime.fromisoformat(text) if text else None

"""
Is billing well? What is measured, and what of it somebody should look at.

| finding | means |
|---|---|
| `migration` | the tables are older than the library |
| `waiting` | a target has waited for a worker for minutes: none runs, or they can't keep up |
| `gave_up` | targets were given up on after the last attempt |
| `changes_failed` | changes were given up on: the app's handlers never had them |
| `changes_waiting` | a change has waited for its handlers for minutes |
| `refused` | webhooks were refused within the last hour |
| `unresolved_money` | money went back lately, and nobody knows of whom or for what: access and credits stay |
| `gap` | events may be missing that Stripe lists no more |
| `version` | events come in another release of the API than the one that is asked in |
| `old_secret` | a configured secret signed nothing in the last day |
| `never_reconciled`, `reconciled_long_ago`, `reconcile_failed`, `drift` | what is known of the comparison with Stripe |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_WAITING = timedelta(minutes=5)
_WAITING_LONG = timedelta(hours=1)
_RECENT = timedelta(hours=1)
_SIGNED = {
    "no_match": "compare STRIPE_WEBHOOK_SECRET with the secret of this endpoint and mode at Stripe",
    "too_old": "check this machine's clock",
    "too_new": "check this machine's clock",
}
"""Refusals of what has a signature, and what to do about them."""


@dataclass(frozen=True, slots=True)
class Refused:
    """How often webhooks were refused for a reason, and why the last one was."""

    reason: str
    count: int
    first_at: datetime
    last_at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What the database says at one moment.

    `lag` is the seconds from receipt to processing within the last hour, by percentile (`p50`, `p95`, `p99`); it is
    empty when nothing was processed. `failures` counts failed events by `type: error`. `unresolved_ours` counts the
    refunds and disputes of the last week of our customers' charges that paid no invoice, `unresolved_others` those of
    charges without a customer. `secrets` tells when each configured secret, counted from 0, last signed an event within
    the last day, `versions` the same for each release of the API that events came in. `drift` is what the last finished
    reconciliation left.
    """

    at: datetime
    revision: str | None
    newest_revision: str
    waiting: int = 0
    waiting_since: datetime | None = None
    gave_up: int = 0
    lag: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    changes_waiting: int = 0
    changes_waiting_since: datetime | None = None
    changes_failed: int = 0
    refused: tuple[Refused, ...] = ()
    has_gap: bool = False
    unresolved_ours: int = 0
    unresolved_others: int = 0
    configured_secrets: int = 1
    secrets: Mapping[int, datetime] = field(default_factory=dict)
    api_version: str = ""
    versions: Mapping[str, datetime] = field(default_factory=dict)
    reconcile_every: timedelta = timedelta(0)
    reconciled_at: datetime | None = None
    reconcile_error: str | None = None
    drift: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that somebody should look at. `severity` is critical, warning or note; `todo` is what to type."""

    name: str
    severity: str
    message: str
    todo: str


@dataclass(frozen=True, slots=True)
class Health:
    """The facts, and what stands out of them, the worst first."""

    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Nothing worse than a note."""
        return all(each.severity == "note" for each in self.findings)


def judge(facts: Facts) -> Health:
    """Decide what of the facts somebody should look at."""
    found = [*_database(facts), *_inbound(facts), *_outbound(facts), *_comparison(facts)]
    order = ("critical", "warning", "note")
    return Health(facts, tuple(sorted(found, key=lambda each: order.index(each.severity))))


def _database(facts: Facts) -> list[Finding]:
    if facts.revision == facts.newest_revision:
        return []
    message = f"the tables are at {facts.revision or 'nothing'}, this release needs {facts.newest_revision}"
    return [Finding("migration", "critical", message, "paidup db upgrade")]


def _inbound(facts: Facts) -> list[Finding]:
    found = []
    age = facts.at - facts.waiting_since if facts.waiting_since else timedelta(0)
    if age > _WAITING:
        severity = "critical" if age > _WAITING_LONG else "warning"
        message = f"{facts.waiting} targets wait to be synchronised, the first for {_short(age)}: does a worker run?"
        found.append(Finding("waiting", severity, message, "paidup queue"))
    if facts.gave_up:
        message = f"{facts.gave_up} targets were given up on"
        found.append(Finding("gave_up", "critical", message, "paidup queue --failed, then paidup queue --retry"))
    for each in facts.refused:
        if facts.at - each.last_at <= _RECENT:
            message = f"webhooks are refused ({each.reason}, {each.count} so far): {each.detail}"
            # What bears no signature is not Stripe's: scanners call every address there is.
            severity = "warning" if each.reason in _SIGNED else "note"
            todo = _SIGNED.get(each.reason, "nothing, unless a proxy drops headers or rewrites bodies")
            found.append(Finding("refused", severity, message, todo))
    if facts.has_gap:
        message = "events may have been missed that are too old for Stripe's list"
        found.append(Finding("gap", "warning", message, "paidup reconcile --fix"))
    found += _money(facts)
    release = facts.api_version.partition(".")[2]
    for version in sorted(facts.versions):
        if version.partition(".")[2] != release:
            message = f"events come in {version}, Stripe is asked in {facts.api_version}; nothing is read from them"
            found.append(Finding("version", "note", message, f"set the endpoint to {facts.api_version} at Stripe"))
    unused = [number for number in range(facts.configured_secrets) if number not in facts.secrets]
    if facts.secrets and facts.configured_secrets > 1:
        for number in unused:
            message = f"the {_ordinal(number)} of {facts.configured_secrets} webhook secrets signed nothing in a day"
            found.append(Finding("old_secret", "note", message, "remove it from STRIPE_WEBHOOK_SECRET"))
    return found


def _money(facts: Facts) -> list[Finding]:
    found = []
    if facts.unresolved_ours:
        message = (
            f"{facts.unresolved_ours} refunds or disputes of our customers are of no invoice: access stays as it is"
        )
        todo = "look at billing_reversals without an invoice_id, and decide what it means"
        found.append(Finding("unresolved_money", "warning", message, todo))
    if facts.unresolved_others:
        message = f"{facts.unresolved_others} refunds or disputes are of charges without a customer"
        todo = "nothing, if the account takes such payments elsewhere"
        found.append(Finding("unresolved_money", "note", message, todo))
    return found


def _outbound(facts: Facts) -> list[Finding]:
    found = []
    if facts.changes_failed:
        message = f"{facts.changes_failed} changes were given up on: handlers never had them"
        found.append(
            Finding(
                "changes_failed",
                "critical",
                message,
                "paidup changes list --state failed, then paidup changes retry --all",
            )
        )
    age = facts.at - facts.changes_waiting_since if facts.changes_waiting_since else timedelta(0)
    if age > _WAITING:
        message = f"{facts.changes_waiting} changes wait for handlers, the first for {_short(age)}"
        found.append(Finding("changes_waiting", "warning", message, "paidup changes list"))
    return found


def _comparison(facts: Facts) -> list[Finding]:
    found = []
    if facts.reconcile_error is not None:
        message = f"the last reconciliation failed: {facts.reconcile_error}"
        found.append(Finding("reconcile_failed", "warning", message, "paidup reconcile"))
    if facts.drift:
        message = f"the last reconciliation left {facts.drift} differences from Stripe"
        found.append(Finding("drift", "warning", message, "paidup reconcile --fix"))
    if facts.reconciled_at is None:
        found.append(
            Finding("never_reconciled", "note", "nothing was ever compared with Stripe", "paidup reconcile --fix")
        )
    elif facts.reconcile_every and facts.at - facts.reconciled_at > 2 * facts.reconcile_every:
        message = f"the last comparison with Stripe was {_short(facts.at - facts.reconciled_at)} ago"
        found.append(Finding("reconciled_long_ago", "warning", message, "paidup reconcile --fix"))
    return found


def _short(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _ordinal(number: int) -> str:
    return {0: "first", 1: "second", 2: "third"}.get(number, f"{number + 1}th")

"""What of the facts somebody should look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paidup.core.health import Facts, Refused, judge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WELL = Facts(
    at=NOW,
    revision="5",
    newest_revision="5",
    secrets={0: NOW},
    api_version="2026-10-28.endive",
    reconcile_every=timedelta(days=1),
    reconciled_at=NOW - timedelta(hours=3),
    drift=0,
)


def found(facts: Facts) -> dict[str, str]:
    return {each.name: each.severity for each in judge(facts).findings}


def test_with_nothing_to_see_all_is_well() -> None:
    assert found(WELL) == {}
    assert judge(WELL).is_well


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        (replace(WELL, revision="4"), {"migration": "critical"}),
        (replace(WELL, revision=None), {"migration": "critical"}),
        (replace(WELL, waiting=3, waiting_since=NOW - timedelta(minutes=1)), {}),
        (replace(WELL, waiting=3, waiting_since=NOW - timedelta(minutes=6)), {"waiting": "warning"}),
        (replace(WELL, waiting=3, waiting_since=NOW - timedelta(hours=2)), {"waiting": "critical"}),
        (replace(WELL, gave_up=1), {"gave_up": "critical"}),
        (replace(WELL, changes_failed=2), {"changes_failed": "critical"}),
        (
            replace(WELL, changes_waiting=2, changes_waiting_since=NOW - timedelta(minutes=6)),
            {"changes_waiting": "warning"},
        ),
        (replace(WELL, reconciled_at=None, drift=None), {"never_reconciled": "note"}),
        (replace(WELL, reconciled_at=NOW - timedelta(days=3)), {"reconciled_long_ago": "warning"}),
        (replace(WELL, reconcile_every=timedelta(0), reconciled_at=NOW - timedelta(days=300)), {}),
        (replace(WELL, reconcile_error="StripeUnavailable"), {"reconcile_failed": "warning"}),
        (replace(WELL, drift=4), {"drift": "warning"}),
    ],
)
def test_each_trouble_is_found(facts: Facts, finding: dict[str, str]) -> None:
    assert found(facts) == finding
    assert judge(facts).is_well is (set(finding.values()) <= {"note"})


@pytest.mark.parametrize("reason", ["missing", "malformed", "invalid_payload", "payload_too_large"])
def test_a_scanner_is_no_alarm(reason: str) -> None:
    refused = Refused(reason, 1, NOW, NOW, "the Stripe-Signature header is missing")
    assert found(replace(WELL, refused=(refused,))) == {"refused": "note"}
    assert judge(replace(WELL, refused=(refused,))).is_well


def test_refusals_are_told_while_they_are_fresh_with_their_hint() -> None:
    """H29."""
    first_at, last_at = NOW - timedelta(days=9), NOW - timedelta(minutes=5)
    last = Refused("no_match", 7, first_at, last_at, "none made this (is it that of…)")
    told = judge(replace(WELL, refused=(last,))).findings[0]
    assert (told.name, told.severity) == ("refused", "warning")
    assert "no_match, 7 so far" in told.message
    assert last.detail in told.message
    assert found(replace(WELL, refused=(replace(last, last_at=NOW - timedelta(hours=2)),))) == {}


def test_another_release_of_the_api_is_a_note() -> None:
    """H76."""
    assert found(replace(WELL, versions={"2024-06-20": NOW})) == {"version": "note"}
    assert found(replace(WELL, versions={"2026-09-30.endive": NOW})) == {}


def test_an_old_secret_is_told_once_the_others_do_the_work() -> None:
    """H27: it can be retired then."""
    assert found(replace(WELL, configured_secrets=2, secrets={0: NOW})) == {"old_secret": "note"}
    assert found(replace(WELL, configured_secrets=2, secrets={0: NOW, 1: NOW})) == {}
    assert found(replace(WELL, configured_secrets=2, secrets={})) == {}


def test_the_worst_comes_first() -> None:
    facts = replace(WELL, drift=1, gave_up=1, reconciled_at=None)
    assert [each.severity for each in judge(facts).findings] == ["critical", "warning", "note"]

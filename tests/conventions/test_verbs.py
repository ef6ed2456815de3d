"""Whatever calls Stripe for an app has to survive interruptions: tests/support/verbs.py lists it."""

from __future__ import annotations

import inspect

from paidup import Billing
from tests.support.verbs import VERBS

CALL_NOBODY = {
    "access",
    "changes",
    "close",
    "credit_entries",
    "credits",
    "customer",
    "database_revision",
    "event",
    "events",
    "find_checkout",
    "from_env",
    "give_credits",
    "health",
    "health_metrics",
    "invoices",
    "last_reconciliation",
    "on_change",
    "open_invoice",
    "owner_of",
    "payment_method",
    "queue",
    "receive",
    "receive_soon",
    "replay",
    "replay_events",
    "require",
    "require_limit",
    "retry_changes",
    "retry_queue",
    "run_until_idle",
    "scheduled_change",
    "spend_credits",
    "subscription",
    "upgrade_database",
    "worker",
}
"""What only reads or writes the database, and the worker, which test_crashes.py kills; a planned change asks Stripe, if
at all, what became of a call before."""


def test_every_verb_that_calls_stripe_is_interrupted() -> None:
    public = {name for name, _ in inspect.getmembers(Billing, callable) if not name.startswith("_")}
    assert public - CALL_NOBODY == {verb.method for verb in VERBS.values()}


def test_what_is_said_to_call_nobody_raises_no_error_of_stripes() -> None:
    assert {name for name in CALL_NOBODY if "StripeError" in (inspect.getdoc(getattr(Billing, name)) or "")} == set()

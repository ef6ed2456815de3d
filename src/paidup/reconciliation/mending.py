"""
One verb: mend what a reconciliation found, by the way that events take.

A target is synchronised under its lease, so that changes and handlers hold, and nothing newer is overwritten. What
can't be mended now stays dirty, and the workers go on trying.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from paidup.database import reconciliations
from paidup.database.engine import Database
from paidup.errors import BillingError, DatabaseUnavailable
from paidup.stripe_api.budget import in_background
from paidup.stripe_api.listing import patiently
from paidup.sync import Synchroniser

HELD = "held_by_another_worker"
"""It was being synchronised for longer than we waited; that worker mends it."""

_CHUNK = 24
_WAIT = timedelta(seconds=30)


class Mender:
    """Mends found differences, some targets at a time."""

    def __init__(self, *, database: Database, synchroniser: Synchroniser, stopping: threading.Event) -> None:
        self._database = database
        self._synchroniser = synchroniser
        self._stopping = stopping

    def some(self, lease: reconciliations.Lease, pool: Executor, *, then: Callable[[Session], object]) -> int:
        """
        Mend some of what is found; how many targets that were, 0 when nothing is left.

        `then` is called in the transaction that records it. Raises DatabaseUnavailable, RunLost.
        """
        with self._database.read() as session:
            batch = reconciliations.to_mend(session, lease, most=_CHUNK)
        calls = {target: pool.submit(self._synchronise, target) for target in batch}
        outcomes = {target: call.exception() or call.result() for target, call in calls.items()}
        meanings = {target: _meaning(outcome) for target, outcome in outcomes.items()}

        def settle(session: Session) -> None:
            for target, (state, reason) in meanings.items():
                reconciliations.settle(session, lease, target, state=state, reason=reason)
            then(session)

        self._database.run(settle)
        return len(batch)

    def _synchronise(self, target: str) -> bool:
        with in_background():
            return patiently(partial(self._synchroniser.now, target, wait=_WAIT), self._stopping)


def _meaning(outcome: BaseException | bool) -> tuple[str, str | None]:
    if outcome is True:
        return "fixed", None
    if isinstance(outcome, DatabaseUnavailable):
        raise outcome
    if isinstance(outcome, BaseException):
        return "found", outcome.code if isinstance(outcome, BillingError) else type(outcome).__name__
    return "found", HELD

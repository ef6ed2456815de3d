"""
An owner leaves: everything that could still charge them is ended, and then they are deleted at Stripe.

What is wanted is stored before Stripe is called, as a target like any other. So whatever fails, or dies half-way, is
finished by the workers, with their backoff, and stands in the queue until it is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from paidup import inbox
from paidup.core import targets
from paidup.customers import check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from paidup.errors import StripeError
from paidup.sync import Synchroniser


class Leaving:
    """Lets owners go. `returns` runs what users wait for."""

    def __init__(
        self,
        *,
        database: Database,
        synchroniser: Synchroniser,
        livemode: bool,
        clock: Callable[[], datetime],
        returns: Executor,
    ) -> None:
        self._database = database
        self._synchroniser = synchroniser
        self._livemode = livemode
        self._clock = clock
        self._returns = returns

    def delete(self, owner: str, *, wait: timedelta) -> bool:
        """True once nothing is left to end; False when the workers go on with it. Raises DatabaseUnavailable."""
        check_owner(owner)
        with self._database.read() as session:
            mapping = store.mapping_of(session, owner, livemode=self._livemode)
        if mapping is None or (mapping.customer_id is None and not mapping.params):
            return True
        target = targets.leaving(mapping.customer_id or mapping.intent)
        with self._database.read() as session:
            is_gone = mapping.customer_id is not None and store.is_deleted(session, mapping.customer_id)
            if is_gone and not inbox.is_dirty(session, target):
                return True

        def ask(session: Session) -> bool:
            # Locked, so that nobody gives the customer away until this is seen by who would.
            locked = session.get(OwnerMapping, (owner, self._livemode), with_for_update=True)
            is_theirs = locked is not None and (
                locked.customer_id == mapping.customer_id
                or (mapping.customer_id is None and locked.intent == mapping.intent)
            )
            if is_theirs:
                inbox.request(session, target, now=self._clock())
            return is_theirs

        if not self._database.run(ask):
            return self.delete(owner, wait=wait)  # it is somebody else's since a moment
        asked = self._returns.submit(self._finish, owner, mapping.customer_id, mapping.intent, wait)
        try:
            return asked.result(wait.total_seconds())
        except (StripeError, TimeoutError):
            return False  # it is noted on the target, which the workers take up again

    def _finish(self, owner: str, customer_id: str | None, intent: str, wait: timedelta) -> bool:
        if customer_id is None:
            # Of a creation whose answer never came, the answer is asked for first: there may be a customer.
            if not self._synchroniser.now(targets.leaving(intent), wait=wait):
                return False
            with self._database.read() as session:
                mapping = store.mapping_of(session, owner, livemode=self._livemode)
            if mapping is None or mapping.customer_id is None:
                return True
            customer_id = mapping.customer_id
        done = self._synchroniser.now(targets.leaving(customer_id), wait=wait)
        return done and self._synchroniser.now(targets.customer(customer_id), wait=wait)

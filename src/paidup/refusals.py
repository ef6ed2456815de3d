"""
Webhooks that were refused: counted by reason, with why the last one was. A wrong secret looks like silence otherwise.

Anybody can send garbage, so it is counted in memory and written every few seconds, one row a reason.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from paidup import metrics
from paidup.database.engine import Database
from paidup.database.refused import Count, add
from paidup.errors import BillingError, DatabaseUnavailable, InvalidSignature

logger = logging.getLogger("paidup")

WRITE_EVERY = 5.0
"""Seconds between two writes, at least."""


class Refusals:
    """Counts what is refused. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._counts: dict[str, Count] = {}
        self._timer: threading.Timer | None = None

    def note(self, error: BillingError, *, at: datetime) -> None:
        """Count one; its message, which contains nothing of the request's body, is kept as the last."""
        reason = error.reason if isinstance(error, InvalidSignature) else error.code
        metrics.webhooks.labels(reason).inc()
        with self._lock:
            known = self._counts.setdefault(reason, Count(0, at, at, ""))
            known.count, known.last_at, known.detail = known.count + 1, at, str(error)
            if self._timer is None or not self._timer.is_alive():
                self._timer = threading.Timer(WRITE_EVERY, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Add what was counted to the rows. What can't be written now is with the next."""
        with self._lock:
            taken, self._counts, self._timer = self._counts, {}, None
        if not taken:
            return
        try:
            self._database.run(lambda session: add(session, taken))
        except DatabaseUnavailable as error:
            logger.warning("refused webhooks could not be counted: %s", error)
            with self._lock:
                for reason, count in self._counts.items():
                    count.count += taken.pop(reason, Count(0, count.first_at, count.last_at, "")).count
                self._counts |= taken

    def close(self) -> None:
        """Write what was counted."""
        if self._timer is not None:
            self._timer.cancel()
        self.write()

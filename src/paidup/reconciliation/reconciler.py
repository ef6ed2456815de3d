"""
One verb: reconcile, the whole account with every mirrored row, both ways.

Everything is listed page by page beside our rows of the same window of time, so that what either side lacks is seen.
What seems to differ is looked at a second time and recorded when it is real. With `fix` it is mended by the way that
events take, so that leases, changes and handlers hold. A run that is cut short is gone on with where it was; only one
runs at a time, on any machine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from paidup.core.catalog import Catalog
from paidup.core.differences import Difference
from paidup.core.reconciliation import Reconciliation
from paidup.database import adoptions, reconciliations
from paidup.database.engine import Database
from paidup.database.tables import ReconciliationRun
from paidup.errors import BillingError, ReconciliationRunning
from paidup.reconciliation.adoption import OwnerOf
from paidup.reconciliation.comparison import Comparison
from paidup.reconciliation.missed import MissedEvents
from paidup.reconciliation.run import Interrupted, OnProgress, Run
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser

logger = logging.getLogger("paidup")

AGAIN_AFTER_FAILURE = timedelta(hours=1)
"""How long the schedule rests after a run that failed."""


class Reconciler:
    """Reconciles one account and mode. `also` compares what is no row of ours."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        synchroniser: Synchroniser,
        missed: MissedEvents,
        catalog: Catalog,
        livemode: bool,
        clock: Callable[[], datetime],
        also: Callable[[], list[Difference]],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._synchroniser = synchroniser
        self._missed = missed
        self._livemode = livemode
        self._clock = clock
        self._also = also
        self._comparison = Comparison(
            database=database, gateway=gateway, catalog=catalog, livemode=livemode, clock=clock
        )

    def run(
        self,
        *,
        fix: bool = False,
        owner_of: OwnerOf | None = None,
        on_progress: OnProgress | None = None,
        stopping: threading.Event | None = None,
    ) -> Reconciliation:
        """
        Compare everything, and with `fix` mend what is safe; goes on with a run that was cut short.

        `stopping` ends it early, for the next runner to go on. Raises ReconciliationRunning while another runner is
        at it; StripeError and DatabaseUnavailable, after which the next runner goes on as well.
        """

        def begin(session: Session) -> reconciliations.Lease | None:
            lease = reconciliations.begin(
                session, livemode=self._livemode, fix=fix, adopts=owner_of is not None, now=self._clock()
            )
            if lease is not None and lease.is_new:
                adoptions.discard(session, livemode=self._livemode)
            return lease

        lease = self._database.run(begin)
        if lease is None:
            raise _running()
        run = Run(
            lease=lease,
            database=self._database,
            gateway=self._gateway,
            synchroniser=self._synchroniser,
            missed=self._missed,
            comparison=self._comparison,
            livemode=self._livemode,
            clock=self._clock,
            fix=fix,
            owner_of=owner_of,
            on_progress=on_progress,
            stopping=stopping or threading.Event(),
            also=self._also,
        )
        try:
            run.to_its_end()
        except Interrupted:
            self._database.run(partial(reconciliations.release, lease=lease))
        except reconciliations.RunLost as error:
            raise _running() from error
        except BaseException as error:
            self._stopped(lease, error)
            raise
        return self._report(lease.id)

    def latest(self) -> Reconciliation | None:
        """What the newest run found, whether it ended or not; None when there was none."""
        with self._database.read() as session:
            run = reconciliations.latest(session, livemode=self._livemode)
            return None if run is None else reconciliations.report(session, run)

    def is_due(self, every: timedelta) -> bool:
        """Is it time for the schedule's next run? One that was cut short is due at once, a failed one in an hour."""
        now = self._clock()
        with self._database.read() as session:
            run = reconciliations.latest(session, livemode=self._livemode, fix=True)
        if run is None:
            return True
        if run.state == "running":
            return run.lease_until is None or run.lease_until < now
        rest = every if run.state == "done" else min(every, AGAIN_AFTER_FAILURE)
        return (run.finished_at or run.started_at) <= now - rest

    def _stopped(self, lease: reconciliations.Lease, error: BaseException) -> None:
        # The error itself is what the caller has to see, not that it could not be noted.
        what = f"{type(error).__name__}: {error}"
        with suppress(BillingError, reconciliations.RunLost):
            self._database.run(partial(reconciliations.fail, lease=lease, error=what, now=self._clock()))

    def _report(self, run_id: str) -> Reconciliation:
        with self._database.read() as session:
            run = session.get_one(ReconciliationRun, run_id)
            return reconciliations.report(session, run)


def _running() -> ReconciliationRunning:
    return ReconciliationRunning(
        "another reconciliation is running", remedy="wait for its end; a runner that died is followed after 3 minutes"
    )

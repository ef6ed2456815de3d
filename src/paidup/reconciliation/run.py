"""
A run of reconciliation under its lease: every list to its end, then what is left to settle.

Each page's findings, imports and the place where the next page begins are one transaction, so that a run may be
killed anywhere. No transaction is open during a call to Stripe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy.orm import Session

from paidup import inbox
from paidup.core import parse, targets
from paidup.core.differences import Difference
from paidup.core.place import Place
from paidup.core.reconciliation import CATALOG, LISTED, REVERSALS, Progress
from paidup.database import adoptions, mirror, reconciliations
from paidup.database.engine import Database
from paidup.database.rows import Row
from paidup.reconciliation.adoption import OwnerOf
from paidup.reconciliation.comparison import Comparison, Verdict
from paidup.reconciliation.mending import Mender
from paidup.reconciliation.missed import MissedEvents
from paidup.reconciliation.page_sorting import Sorting, Work, holders_of
from paidup.stripe_api.budget import in_background
from paidup.stripe_api.gateway import Gateway
from paidup.stripe_api.listing import Page, Pages, patiently
from paidup.sync import Synchroniser

Json = dict[str, Any]
OnProgress = Callable[[Progress], None]

_AT_ONCE = 6
"""Second looks, and synchronisations, that run side by side."""
_CHUNK = 24
_BATCH = 500
_LOOK_SECONDS = 0.5
_RENEW_SECONDS = 30.0
_REVERSALS_BACK = timedelta(days=365)
"""A dispute comes within four months of its payment, and is decided within some more."""


class Interrupted(Exception):
    """The process is to end; the next runner goes on."""


class Run:
    """One run, from where it is to its end."""

    def __init__(
        self,
        *,
        lease: reconciliations.Lease,
        database: Database,
        gateway: Gateway,
        synchroniser: Synchroniser,
        missed: MissedEvents,
        comparison: Comparison,
        livemode: bool,
        clock: Callable[[], datetime],
        fix: bool,
        owner_of: OwnerOf | None,
        on_progress: OnProgress | None,
        stopping: threading.Event,
        also: Callable[[], list[Difference]],
    ) -> None:
        self._lease = lease
        self._database = database
        self._gateway = gateway
        self._sorting = Sorting(comparison, livemode=livemode, owner_of=owner_of, may_write=fix)
        self._synchroniser = synchroniser
        self._missed = missed
        self._comparison = comparison
        self._livemode = livemode
        self._clock = clock
        self._fix = fix
        self._owner_of = owner_of
        self._on_progress = on_progress
        self._stopping = stopping
        self._also = also
        self._adopts = fix and owner_of is not None
        self._places = {kind: Place.read(lease.cursors.get(kind)) for kind in (*CATALOG, *LISTED, *REVERSALS)}
        self._arrived = threading.Event()
        self._looked_when: dict[str, tuple[int, datetime]] = {}
        self._counts: Json = {"read": {}, "compared": {}, "imported": {}} | lease.counts
        self._looked_at: set[str] = set()
        self._in_flight: set[str] = set()
        self._in_flight_before = int(lease.counts.get("in_flight", 0))
        self._expected: dict[str, int] = {}
        self._renewed = monotonic()

    def to_its_end(self) -> None:
        """
        Read every list to its end, settle what is left, and record that the run is done.

        Raises RunLost when another runner took over, Interrupted, StripeError, DatabaseUnavailable.
        """
        with self._database.read() as session:
            last = reconciliations.latest(session, livemode=self._livemode, state="done")
            self._expected = dict(last.counts.get("read", {})) if last is not None else {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="paidup-reconcile") as self._pool, ExitStack() as stack:
            pages = {
                kind: stack.enter_context(
                    Pages(
                        self._gateway,
                        kind,
                        after=self._places[kind].after,
                        clock=self._clock,
                        arrived=self._arrived,
                    )
                )
                for kind in (*CATALOG, *LISTED)
                if not self._places[kind].is_done
            }
            since = self._clock() - _REVERSALS_BACK
            reversals = {
                kind: stack.enter_context(Pages(self._gateway, kind, since=since, clock=self._clock))
                for kind in REVERSALS
                if not self._places[kind].is_done
            }
            also = self._pool.submit(self._ask_also)
            for kind in CATALOG:
                if kind in pages:
                    self._compare_catalog(kind, pages[kind])
            self._compare_listed({kind: pages[kind] for kind in LISTED if kind in pages})
            self._take_in()
            for kind, found in reversals.items():
                self._compare_reversals(kind, found)
            with self._database.read() as session:
                late = mirror.late_marks(session, livemode=self._livemode)
            self._look(targets.customer(each) for each in late)
            self._advance(also.result())
            self._in_flight_before += self._database.run(self._settle)
            if self._fix:
                self._fill()
                self._mend()
        self._database.run(self._finish)
        if self._fix:
            self._missed.note_filled(self._lease.started_at)

    def _compare_catalog(self, kind: str, pages: Pages) -> None:
        """Products and prices: they have no window of time, so what Stripe lacks is known at the end of the list."""
        seen: set[str] = set()
        for page in pages:
            with self._database.read() as session:
                rows = mirror.by_id(session, kind, [body["id"] for body in page.bodies])
            self._look(
                f"{kind}:{body['id']}"
                for body in page.bodies
                if self._comparison.differs(kind, body, rows.get(body["id"]), at=page.fetched_at)
            )
            seen.update(body["id"] for body in page.bodies)
            self._advance()
            self._tell(kind, len(seen))
        with self._database.read() as session:
            gone = mirror.ids(session, kind, livemode=self._livemode) - seen
        self._look(f"{kind}:{each}" for each in sorted(gone))
        self._counts["read"][kind] = self._counts["compared"][kind] = len(seen)
        self._places[kind] = Place(is_done=True)
        self._advance()

    def _ask_also(self) -> list[Difference]:
        with in_background():
            return patiently(self._also, self._stopping)

    def _compare_reversals(self, kind: str, pages: Pages) -> None:
        """Refunds or disputes of the last year: of each charge that has one we don't know, or know otherwise."""
        count = 0
        for page in pages:
            with self._database.read() as session:
                rows = mirror.by_id(session, kind, [body["id"] for body in page.bodies])
            self._look(
                targets.charge(charge)
                for body in page.bodies
                if (charge := parse.reference(body["charge"])) and _is_other(rows.get(body["id"]), body)
            )
            count += len(page.bodies)
            self._advance()
            self._tell(kind, count)
        self._counts["read"][kind] = self._counts["compared"][kind] = count
        self._places[kind] = Place(is_done=True)
        self._advance()

    def _compare_listed(self, lists: dict[str, Pages]) -> None:
        """Customers, invoices and subscriptions, as their pages come: each beside our rows of its window of time."""
        while lists:
            self._check()
            self._arrived.clear()
            ready = [kind for kind, pages in lists.items() if self._is_ready(kind, pages.peek())]
            for kind in ready:
                page = lists[kind].peek()
                assert page is not None
                self._compare_page(kind, page)
                lists[kind].drop()
                if page.is_last:
                    del lists[kind]
            if not ready and not self._arrived.wait(_LOOK_SECONDS) and monotonic() - self._renewed > _RENEW_SECONDS:
                self._advance()

    def _is_ready(self, kind: str, page: Page | None) -> bool:
        """Is it known whose the objects of a page are? Invoices may come before the customers that are taken in."""
        if page is None:
            return False
        if kind == "customer" or not self._adopts or self._places["customer"].is_done:
            return True
        look = (self._counts["read"].get("customer", 0), page.fetched_at)
        if self._looked_when.get(kind) == look:
            return False
        self._looked_when[kind] = look
        holders = holders_of(page)
        with self._database.read() as session:
            known = adoptions.noted(session, holders.values())
            known |= mirror.owners(session, holders.values(), livemode=self._livemode).keys()
        return known.issuperset(holders.values())

    def _compare_page(self, kind: str, page: Page) -> None:
        with in_background():
            for body in page.bodies if kind == "subscription" else ():
                patiently(partial(self._gateway.complete_items, body), self._stopping)
        with self._database.read() as session:
            work = self._sorting.sort(session, kind, page)
            following = self._gone(session, kind, page, work)
        self._look(work.suspects)
        self._count("read", kind, len(page.bodies))
        self._count("compared", kind, work.compared)
        self._counts["foreign"] = self._counts.get("foreign", 0) + work.foreign
        self._places[kind] = following
        self._write(kind, page, work)
        self._tell(kind, self._counts["read"][kind])

    def _gone(self, session: Session, kind: str, page: Page, work: Work) -> Place:
        """Suspect the customers of rows in this page's window that the page lacks; where the next window begins."""
        place = self._places[kind]
        created = {body["id"]: datetime.fromtimestamp(body["created"], UTC) for body in page.bodies}
        following = place.after_page(created, is_last=page.is_last)
        seen = place.seen | created.keys()
        after = None if page.is_last else following.until
        for id, holder in mirror.window(session, kind, livemode=self._livemode, after=after, until=place.until):
            if id not in seen:
                work.suspects.append(targets.customer(holder))
        return following

    def _write(self, kind: str, page: Page, work: Work) -> None:
        """All that a page brought and where the next one begins, in one transaction."""

        def write(session: Session) -> Json:
            refused = adoptions.note(session, work.claims, livemode=self._livemode, fetched_at=page.fetched_at)
            reconciliations.record(session, self._lease, work.found + refused, now=self._clock())
            imported = 0
            if kind == "invoice":
                imported = adoptions.store_invoices(session, work.imports)
            if kind == "subscription":
                imported = adoptions.store_subscriptions(session, work.imports, work.items)
            return self._renew(session, imported={kind: imported})

        self._counts = self._database.run(write)

    def _look(self, suspects: Iterable[str]) -> None:
        """Look at targets a second time, once in a run each, and record what differs."""
        new = [each for each in dict.fromkeys(suspects) if each not in self._looked_at]
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            verdicts = list(self._pool.map(self._verdict, chunk))
            self._looked_at.update(chunk)
            self._in_flight.update(target for target, each in zip(chunk, verdicts, strict=True) if each.in_flight)
            self._advance([difference for each in verdicts for difference in each.differences])

    def _verdict(self, target: str) -> Verdict:
        kind, object_id = targets.split(target)
        looks = {"customer": self._comparison.of_customer, "charge": self._comparison.of_charge}
        look = looks.get(kind) or partial(self._comparison.of_catalog, kind)
        with in_background():
            return patiently(partial(look, object_id), self._stopping)

    def _take_in(self) -> None:
        """Make noted customers their owners'; in a run that only compares, report them."""
        some = self._adopt_some if self._fix else self._announce_some
        while self._owner_of is not None and (counts := self._database.run(some)) is not None:
            self._counts = counts

    def _adopt_some(self, session: Session) -> Json | None:
        done = adoptions.publish(session, livemode=self._livemode, now=self._clock(), most=_BATCH)
        if done is None:
            return None
        for target in done.moved:
            inbox.request(session, target, now=self._clock())
        reconciliations.record(session, self._lease, done.refused, now=self._clock())
        return self._renew(session, adopted=len(done.adopted), imported={"customer": len(done.adopted)})

    def _announce_some(self, session: Session) -> Json | None:
        found = adoptions.announce(session, livemode=self._livemode, most=_BATCH)
        reconciliations.record(session, self._lease, found, now=self._clock())
        return self._renew(session) if found else None

    def _settle(self, session: Session) -> int:
        """Forget what was told meanwhile; of how many customers."""
        overtaken = reconciliations.drop_overtaken(session, self._lease)
        self._renew(session)
        return overtaken

    def _finish(self, session: Session) -> None:
        self._renew(session)
        reconciliations.finish(session, self._lease, now=self._clock())

    def _fill(self) -> None:
        """
        Fetch the events that never came, so that they are kept, and mended with what they are about.

        After an import, and before the first fill, there is nothing that they could add.
        """
        if self._missed.filled_until() is not None and "events" not in self._counts:
            filled = self._missed.fill(self._on_progress)
            self._counts["events"] = asdict(filled)
            self._advance()

    def _mend(self) -> None:
        """Synchronise what differs, as an event would have it, until nothing is left that is safe."""
        mender = Mender(database=self._database, synchroniser=self._synchroniser, stopping=self._stopping)
        done = 0
        while count := mender.some(self._lease, self._pool, then=self._renew):
            done += count
            self._tell("mended", done)
            self._check()

    def _advance(self, found: Sequence[Difference] = ()) -> None:
        self._check()

        def advance(session: Session) -> None:
            reconciliations.record(session, self._lease, found, now=self._clock())
            self._renew(session)

        self._database.run(advance)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Interrupted

    def _renew(self, session: Session, *, adopted: int = 0, imported: Mapping[str, int] | None = None) -> Json:
        """Note how far the run is; its counts with what this transaction adds, which count once it is committed."""
        counts = dict(self._counts)
        counts["in_flight"] = self._in_flight_before + len(self._in_flight)
        counts["adopted"] = counts.get("adopted", 0) + adopted
        for kind, number in (imported or {}).items():
            counts["imported"] = counts["imported"] | {kind: counts["imported"].get(kind, 0) + number}
        cursors = {kind: place.stored() for kind, place in self._places.items()}
        reconciliations.advance(session, self._lease, cursors=cursors, counts=counts, now=self._clock())
        self._renewed = monotonic()
        return counts

    def _count(self, what: str, kind: str, number: int) -> None:
        self._counts[what][kind] = self._counts[what].get(kind, 0) + number

    def _tell(self, phase: str, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(phase, done, self._expected.get(phase)))


def _is_other(row: Row | None, body: Json) -> bool:
    """Is a refund or a dispute not known, or known otherwise?"""
    return row is None or (row["status"], row["amount"]) != (body["status"], body["amount"])

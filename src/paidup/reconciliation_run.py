"""
A run of reconciliation under its lease: every list to its end, then what is left to settle.

Each page's findings, imports and the place where the next page begins are one transaction, so that a run may be
killed anywhere. No transaction is open during a call to Stripe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from paidup import adoption, inbox
from paidup.adoption import OwnerOf
from paidup.comparison import Comparison, Verdict
from paidup.core import parse, targets
from paidup.core.differences import Difference
from paidup.core.place import Place
from paidup.core.reconciliation import CATALOG, LISTED, Progress
from paidup.database import adoptions, mirror, reconciliations
from paidup.database.engine import Database
from paidup.database.rows import Row
from paidup.errors import BillingError, DatabaseUnavailable
from paidup.stripe_api.budget import in_background
from paidup.stripe_api.gateway import Gateway
from paidup.stripe_api.listing import Page, Pages, patiently
from paidup.sync import Synchroniser

Json = dict[str, Any]
OnProgress = Callable[[Progress], None]

_AT_ONCE = 6
"""Second looks, and synchronisations, that run side by side."""
_CHUNK = 100
_BATCH = 500
_MEND_WAIT = timedelta(seconds=30)

HELD = "held_by_another_worker"
"""It was being synchronised for longer than we waited; that worker mends it."""


class Interrupted(Exception):
    """The process is to end; the next runner goes on."""


@dataclass(slots=True)
class _Work:
    """What a page asks for."""

    suspects: list[str] = field(default_factory=list)
    claims: list[adoptions.Claim] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)
    imports: list[Row] = field(default_factory=list)
    items: list[Row] = field(default_factory=list)
    compared: int = 0
    foreign: int = 0


class Run:
    """One run, from where it is to its end."""

    def __init__(
        self,
        *,
        lease: reconciliations.Lease,
        database: Database,
        gateway: Gateway,
        synchroniser: Synchroniser,
        comparison: Comparison,
        livemode: bool,
        clock: Callable[[], datetime],
        fix: bool,
        owner_of: OwnerOf | None,
        on_progress: OnProgress | None,
        stopping: threading.Event,
    ) -> None:
        self._lease = lease
        self._database = database
        self._gateway = gateway
        self._synchroniser = synchroniser
        self._comparison = comparison
        self._livemode = livemode
        self._clock = clock
        self._fix = fix
        self._owner_of = owner_of
        self._on_progress = on_progress
        self._stopping = stopping
        self._cursors = dict(lease.cursors)
        self._counts: Json = {"read": {}, "compared": {}, "imported": {}} | lease.counts
        self._looked_at: set[str] = set()
        self._in_flight: set[str] = set()
        self._in_flight_before = int(lease.counts.get("in_flight", 0))
        self._expected: dict[str, int] = {}

    def to_its_end(self) -> None:
        """
        Read every list to its end, settle what is left, and record that the run is done.

        Raises RunLost when another runner took over, Interrupted, StripeError, DatabaseUnavailable.
        """
        with self._database.read() as session:
            last = reconciliations.latest(session, livemode=self._livemode, state="done")
            self._expected = dict(last.counts.get("read", {})) if last is not None else {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="paidup-reconcile") as self._pool, ExitStack() as stack:
            places = {kind: Place.read(self._cursors.get(kind)) for kind in (*CATALOG, *LISTED)}
            reading = {
                kind: stack.enter_context(
                    Pages(self._gateway, kind, after=place.after if kind in LISTED else None, clock=self._clock)
                )
                for kind, place in places.items()
                if not place.is_done
            }
            for kind, pages in reading.items():
                if kind in CATALOG:
                    self._compare_catalog(kind, pages)
                else:
                    self._compare_listed(kind, pages, places[kind])
            self._take_in()
            with self._database.read() as session:
                late = mirror.late_marks(session, livemode=self._livemode)
            self._look(targets.customer(each) for each in late)
            self._settle()
            if self._fix:
                self._mend()
        with self._database.write() as session:
            self._renew(session)
            reconciliations.finish(session, self._lease, now=self._clock())

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
        self._cursors[kind] = Place(is_done=True).stored()
        self._advance()

    def _compare_listed(self, kind: str, pages: Pages, place: Place) -> None:
        """Customers, invoices and subscriptions, each page beside our rows of the same window of time."""
        for page in pages:
            work = self._customers(page) if kind == "customer" else self._belongings(kind, page)
            next_place = self._gone(kind, page, place, work)
            self._look(work.suspects)
            self._count("read", kind, len(page.bodies))
            self._count("compared", kind, work.compared)
            self._counts["foreign"] = self._counts.get("foreign", 0) + work.foreign
            place = next_place
            self._cursors[kind] = place.stored()
            self._write(kind, page, work)
            self._tell(kind, self._counts["read"][kind])

    def _customers(self, page: Page) -> _Work:
        work = _Work()
        ids = [body["id"] for body in page.bodies]
        with self._database.read() as session:
            owners = mirror.owners(session, ids, livemode=self._livemode)
            rows = mirror.by_id(session, "customer", list(owners))
            written = filter(None, (adoption.written_owner(body) for body in page.bodies if body["id"] not in owners))
            intents = mirror.intents(session, written, livemode=self._livemode)
        for body in page.bodies:
            id = body["id"]
            if id in owners:
                work.compared += 1
                if self._comparison.differs("customer", body, rows.get(id), at=page.fetched_at, owner=owners[id]):
                    work.suspects.append(targets.customer(id))
            elif adoption.is_our_orphan(body, intents):
                work.suspects.append(targets.customer(id))
            else:
                match adoption.claim(body, intents, self._owner_of):
                    case adoptions.Claim() as claim:
                        work.claims.append(claim)
                    case Difference() as difference:
                        work.found.append(difference)
                    case None:
                        work.foreign += 1
        return work

    def _belongings(self, kind: str, page: Page) -> _Work:
        """Invoices or subscriptions: of known customers they are compared, of those being taken in they are stored."""
        work = _Work()
        if kind == "subscription":
            for body in page.bodies:
                patiently(partial(self._gateway.complete_items, body), self._stopping)
        holders = {body["id"]: parse.reference(body.get("customer")) or "" for body in page.bodies}
        with self._database.read() as session:
            owners = mirror.owners(session, holders.values(), livemode=self._livemode)
            noted = adoptions.noted(session, holders.values()) if self._owner_of is not None and self._fix else set()
            rows = mirror.by_id(session, kind, [id for id, holder in holders.items() if holder in owners])
            late = mirror.past_due_since(session, list(holders)) if noted and kind == "subscription" else {}
        for body in page.bodies:
            id, holder = body["id"], holders[body["id"]]
            if holder in owners:
                work.compared += 1
                if self._comparison.differs(kind, body, rows.get(id), at=page.fetched_at):
                    work.suspects.append(targets.customer(holder))
            elif holder in noted:
                row = self._comparison.expected(kind, body, at=page.fetched_at)
                work.items += row.pop("items", {}).values()
                work.imports.append(row | {"past_due_since": late.get(id)} if kind == "subscription" else row)
        return work

    def _gone(self, kind: str, page: Page, place: Place, work: _Work) -> Place:
        """Suspect the customers of rows in this page's window that the page lacks; where the next window begins."""
        created = {body["id"]: datetime.fromtimestamp(body["created"], UTC) for body in page.bodies}
        following = place.after_page(created, is_last=page.is_last)
        seen = place.seen | created.keys()
        with self._database.read() as session:
            window = mirror.window(
                session,
                kind,
                livemode=self._livemode,
                after=None if page.is_last else following.until,
                until=place.until,
            )
            work.suspects += [targets.customer(holder) for id, holder in window if id not in seen]
        return following

    def _write(self, kind: str, page: Page, work: _Work) -> None:
        """All that a page brought and where the next one begins, in one transaction."""
        with self._database.write() as session:
            refused = adoptions.note(session, work.claims, livemode=self._livemode, fetched_at=page.fetched_at)
            if kind == "invoice":
                self._count("imported", kind, adoptions.store_invoices(session, work.imports))
            if kind == "subscription":
                self._count("imported", kind, adoptions.store_subscriptions(session, work.imports, work.items))
            reconciliations.record(session, self._lease, work.found + refused, now=self._clock())
            self._renew(session)

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
        look = self._comparison.of_customer if kind == "customer" else partial(self._comparison.of_catalog, kind)
        return patiently(partial(look, object_id), self._stopping)

    def _take_in(self) -> None:
        """Make noted customers their owners'; in a run that only compares, report them."""
        while self._owner_of is not None:
            with self._database.write() as session:
                if not self._fix:
                    left = adoptions.announce(session, livemode=self._livemode, most=_BATCH)
                    if not left:
                        return
                    reconciliations.record(session, self._lease, left, now=self._clock())
                else:
                    done = adoptions.publish(session, livemode=self._livemode, now=self._clock(), most=_BATCH)
                    if done is None:
                        return
                    for target in done.moved:
                        inbox.request(session, target, now=self._clock())
                    reconciliations.record(session, self._lease, done.refused, now=self._clock())
                    self._counts["adopted"] = self._counts.get("adopted", 0) + len(done.adopted)
                    self._count("imported", "customer", len(done.adopted))
                self._renew(session)

    def _settle(self) -> None:
        with self._database.write() as session:
            overtaken = reconciliations.drop_overtaken(session, self._lease)
            self._in_flight_before += overtaken
            self._renew(session)

    def _mend(self) -> None:
        """Synchronise what differs, as an event would have it, until nothing is left that is safe."""
        done = 0
        while True:
            with self._database.read() as session:
                batch = reconciliations.to_mend(session, self._lease, most=_CHUNK)
            if not batch:
                return
            calls = {target: self._pool.submit(self._synchronise, target) for target in batch}
            outcomes = {target: call.exception() or call.result() for target, call in calls.items()}
            with self._database.write() as session:
                for target, outcome in outcomes.items():
                    state, reason = _outcome(outcome)
                    reconciliations.settle(session, self._lease, target, state=state, reason=reason)
                self._renew(session)
            done += len(batch)
            self._tell("mended", done)

    def _synchronise(self, target: str) -> bool:
        with in_background():
            return patiently(partial(self._synchroniser.now, target, wait=_MEND_WAIT), self._stopping)

    def _advance(self, found: Iterable[Difference] = ()) -> None:
        if self._stopping.is_set():
            raise Interrupted
        with self._database.write() as session:
            reconciliations.record(session, self._lease, found, now=self._clock())
            self._renew(session)

    def _renew(self, session: Any) -> None:
        counts = self._counts | {"in_flight": self._in_flight_before + len(self._in_flight)}
        reconciliations.advance(session, self._lease, cursors=self._cursors, counts=counts, now=self._clock())

    def _count(self, what: str, kind: str, number: int) -> None:
        self._counts[what][kind] = self._counts[what].get(kind, 0) + number

    def _tell(self, phase: str, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(phase, done, self._expected.get(phase)))


def _outcome(outcome: BaseException | bool) -> tuple[str, str | None]:
    if outcome is True:
        return "fixed", None
    if isinstance(outcome, DatabaseUnavailable):
        raise outcome
    if isinstance(outcome, BaseException):
        # It is recorded on the target, which stays dirty: the workers go on trying.
        return "found", outcome.code if isinstance(outcome, BillingError) else type(outcome).__name__
    return "found", HELD

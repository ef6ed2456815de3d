"""
One verb: fill in the events that never came.

Stripe gives up on a webhook after three days, and lists every event for thirty. Those we don't have, and that lead
somewhere, go through the same door as webhooks. Up to when all are here is remembered only after the last page, so a
fill that broke off is simply done again. What is older than Stripe's list is healed by `reconcile` alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paidup import inbox
from paidup.core import event as events
from paidup.core import targets
from paidup.core.reconciliation import Progress
from paidup.database import event_cursors
from paidup.database.engine import Database
from paidup.stripe_api.gateway import Gateway
from paidup.stripe_api.listing import Pages

KEPT_BY_STRIPE = timedelta(days=30)
"""How far Stripe's list of events goes back. See https://docs.stripe.com/api/events"""
OVERLAP = timedelta(hours=6)
"""How much of what was filled before is listed again: events show up late, and clocks differ."""


@dataclass(frozen=True, slots=True)
class Filled:
    """
    What a fill did: events listed that lead somewhere (`found`), and how many of them we lacked (`stored`).

    `window_exceeded` says that Stripe may have had more, too old to be listed: compare everything with `reconcile`.
    """

    found: int
    stored: int
    window_exceeded: bool


class MissedEvents:
    """Fills in what was missed, for one account and mode; `keep_payloads` as the settings have it."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        livemode: bool,
        keep_payloads: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._livemode = livemode
        self._keep_payloads = keep_payloads
        self._clock = clock

    def fill(self, on_progress: Callable[[Progress], None] | None = None) -> Filled:
        """
        Store every event since the last fill that we lack; without one, as far as Stripe's list goes back.

        The workers process them. Two fills at once do no harm. Raises StripeError and DatabaseUnavailable; what was
        stored stays, and the next fill begins where this one began.
        """
        began = self._clock()
        with self._database.read() as session:
            cursor = event_cursors.filled_until(session, livemode=self._livemode)
            had_gap = event_cursors.has_gap(session, livemode=self._livemode)
        # Told until everything was compared: whoever heard it first may have died of it.
        window_exceeded = had_gap or cursor is None or cursor - OVERLAP < began - KEPT_BY_STRIPE
        read = found = stored = 0
        since = cursor - OVERLAP if cursor is not None else None
        with Pages(self._gateway, "event", since=since, clock=self._clock) as pages:
            for page in pages:
                routed = self._routed(page.bodies)
                read, found, stored = read + len(page.bodies), found + len(routed), stored + self._store(routed)
                if on_progress is not None:
                    on_progress(Progress("event", read, None))
        gap = True if window_exceeded else None
        self._database.run(lambda session: event_cursors.advance(session, livemode=self._livemode, to=began, gap=gap))
        return Filled(found, stored, window_exceeded)

    def filled_until(self) -> datetime | None:
        """Up to when all events are here; None before the first fill."""
        with self._database.read() as session:
            return event_cursors.filled_until(session, livemode=self._livemode)

    def note_filled(self, at: datetime) -> None:
        """Note that everything up to a time is known some other way, such as by a full comparison."""
        self._database.run(lambda session: event_cursors.advance(session, livemode=self._livemode, to=at, gap=False))

    def _routed(self, bodies: Sequence[dict[str, Any]]) -> list[inbox.Delivery]:
        now = self._clock()
        found = []
        for body in bodies:
            event = events.parse(body)
            route = targets.route(event, livemode=self._livemode, api_version=self._gateway.api_version)
            if route.target is not None:
                payload = json.dumps(body) if self._keep_payloads else ""
                found.append(inbox.Delivery(event, route, payload, inbox.FROM_API, now))
        return found

    def _store(self, deliveries: Sequence[inbox.Delivery]) -> int:
        """Store a page's new events in one transaction; how many these were."""
        with self._database.read() as session:
            known = event_cursors.known(session, [each.event.id for each in deliveries])
        missing = [each for each in deliveries if each.event.id not in known]
        if not missing:
            return 0
        receipts = self._database.run(lambda session: inbox.accept(session, missing))
        return sum(each.state != "duplicate" for each in receipts)

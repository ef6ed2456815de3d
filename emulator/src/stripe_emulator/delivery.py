"""
Delivering events to webhook endpoints.

Every delivery owed is in the store, so those that were still owed when the process died are sent when it is back. A
2xx is success; anything else, a redirect too, is tried again after a while. Signatures carry the real time, made anew
for every try.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from stripe_emulator.billing import webhook_wait
from stripe_emulator.clock import real_time
from stripe_emulator.delivery_rules import DELIVERY, Plan, is_held, plan, release
from stripe_emulator.faults import delivery_mode
from stripe_emulator.rendering import show
from stripe_emulator.resources.webhook_endpoints import active_secrets, former_secret
from stripe_emulator.sending import DROPPED, Sender
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CONCURRENT = 8
KEPT = 5000


class Deliverer:
    """
    Sends what is owed, several at a time, from one asyncio loop.

    `kick` may be called from synchronous code on that loop whenever something was queued.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sending: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sender: Sender | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()
        self._owed: dict[str, float | None] = {}
        self._held: set[str] = set()
        self._queue: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._era = 0

    def start(self) -> None:
        """Begin sending; what was owed before is due now."""
        self._sender = Sender(self._engine.settings.delivery_timeout)
        self._note_all()

    async def stop(self) -> None:
        """Stop sending; what is owed stays owed."""
        if self._wake is not None:
            self._wake.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    def note(self, changed: list[str]) -> None:
        """Look at objects that were changed: a delivery may be owed now, or not any more."""
        for id in changed:
            if id.startswith(DELIVERY):
                self._note(id)
        self.kick()

    def kick(self) -> None:
        """Send what is due, as many at once as allowed, and come back when the next is."""
        mode = delivery_mode(self._engine)
        if self._sender is None or mode == "paused":
            return
        now = time.time()
        if mode == "shuffle":
            self._queue = [(due, self._engine.ids.lot(id), id) for due, _, id in self._queue]
            heapq.heapify(self._queue)
        while self._queue and self._queue[0][0] <= now and len(self._sending) < CONCURRENT:
            due, _, id = heapq.heappop(self._queue)
            if self._owed.get(id) == due and id not in self._sending:
                self._send_soon(id)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._queue and len(self._sending) < CONCURRENT:
            wait = max(0.02, self._queue[0][0] - now)
            self._wake = asyncio.get_running_loop().call_later(wait, self.kick)

    def owed(self) -> list[Json]:
        """Deliveries neither made nor given up."""
        found = [self._engine.store.get(id, DELIVERY) for id in self._owed]
        return [delivery for delivery in found if delivery is not None]

    def begin_anew(self) -> None:
        """The whole state is another one: break off what is on its way, and owe what is owed there."""
        self._era += 1
        for task in self._tasks:
            task.cancel()
        self._sending.clear()
        self._owed.clear()
        self._held.clear()
        self._queue.clear()
        self._progress.set()
        self._note_all()

    def is_settled(self) -> bool:
        """Has every delivery owed had its first try, but for those that wait for others, with none on its way?"""
        if self._sending:
            return False
        return delivery_mode(self._engine) == "paused" or all(
            delivery["attempts"] or delivery["due"] is None for delivery in self.owed()
        )

    async def settle(self, seconds: float) -> bool:
        """Wait until deliveries are settled, but no longer than this; returns whether they are."""
        deadline = time.monotonic() + seconds
        while not self.is_settled():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), left)
            except TimeoutError:
                return False
        return True

    async def attempt(self, id: str) -> Json | None:
        """
        Try one delivery at once, whatever became of it before and however deliveries are disturbed.

        Returns the attempt, as it is kept with the delivery; None when there is no such delivery or endpoint.
        """
        if self._engine.store.get(id, DELIVERY) is None:
            return None
        era = self._era
        self._sending.add(id)  # before it is owed again, so that it is not sent by the way as well
        try:
            with self._engine.transaction():
                self._engine.find(DELIVERY, id).update(status="pending", due=real_time())
            prepared = self._prepare(id)
            if prepared is None:
                return None
            assert self._sender is not None
            endpoint, body = prepared
            secrets = active_secrets(self._engine, endpoint)
            made = await self._sender.attempts(endpoint["url"], body, secrets, None, Plan())
            if era == self._era:
                self._record(id, made)
            return made[0]
        finally:
            if era == self._era:
                self._sending.discard(id)
            self._progress.set()
            self.kick()

    def resend(self, id: str) -> bool:
        """Send one again, whatever became of it before."""
        if self._engine.store.get(id, DELIVERY) is None:
            return False
        with self._engine.transaction():
            self._engine.find(DELIVERY, id).update(status="pending", due=real_time())
        return True

    def _note_all(self) -> None:
        self.note([delivery["id"] for delivery in reversed(list(self._engine.store.scan(DELIVERY)))])

    def _note(self, id: str) -> None:
        delivery = self._engine.store.get(id, DELIVERY)
        if delivery is None or delivery["status"] != "pending":
            self._owed.pop(id, None)
        elif id not in self._owed or self._owed[id] != delivery["due"]:
            self._owed[id] = delivery["due"]
            if delivery["due"] is not None:
                heapq.heappush(self._queue, (delivery["due"], next(self._order), id))
        if delivery is not None and is_held(delivery):
            self._held.add(id)
        else:
            self._held.discard(id)

    def _send_soon(self, id: str) -> None:
        self._sending.add(id)
        task = asyncio.get_running_loop().create_task(self._send(id))
        self._tasks.add(task)
        era = self._era
        task.add_done_callback(lambda done: self._finished(id, done, era))

    def _finished(self, id: str, task: asyncio.Task[None], era: int) -> None:
        if era == self._era:
            self._sending.discard(id)
        self._tasks.discard(task)
        self._progress.set()
        if not task.cancelled():
            task.result()
            self.kick()

    async def _send(self, id: str) -> None:
        prepared = self._prepare(id)
        if prepared is not None:
            self._record(id, await self._attempts(id, *prepared))

    async def _attempts(self, id: str, endpoint: Json, body: str) -> list[Json]:
        assert self._sender is not None
        planned = plan(self._engine.find(DELIVERY, id))
        match delivery_mode(self._engine):
            case "drop":
                planned = replace(planned, dropped=True)
            case "duplicate":
                planned = replace(planned, copies=max(2, planned.copies))
        active, old = active_secrets(self._engine, endpoint), former_secret(endpoint)
        return await self._sender.attempts(endpoint["url"], body, active, old, planned)

    def _prepare(self, id: str) -> tuple[Json, str] | None:
        delivery = self._engine.store.get(id, DELIVERY)
        if delivery is None or delivery["status"] != "pending":
            return None
        event = self._engine.store.get(delivery["event"], "event")
        endpoint = self._engine.store.get(delivery["endpoint"], "webhook_endpoint")
        if event is None or endpoint is None or endpoint["status"] != "enabled":
            why = "the endpoint is gone" if endpoint is None else "the endpoint is disabled"
            self._record(id, [{"at": real_time(), "status": None, "error": why, "seconds": 0.0}], final="failed")
            return None
        return endpoint, json.dumps(show(self._engine, event), indent=2)

    def _record(self, id: str, attempts: list[Json], *, final: str | None = None) -> None:
        with self._engine.transaction():
            delivery = self._engine.store.get(id, DELIVERY)
            if delivery is None:
                return
            delivery["attempts"] += attempts
            attempt = attempts[0]
            delays = self._engine.settings.delivery_delays
            tries = sum(not one.get("copy") for one in delivery["attempts"])
            succeeded = attempt["status"] is not None and 200 <= attempt["status"] < 300
            if attempt["error"] == DROPPED:
                delivery["status"] = "dropped"
            elif final is not None:
                delivery["status"] = final
            elif succeeded:
                self._succeed(delivery)
            elif tries > len(delays):
                delivery["status"] = "failed"
            else:
                delivery["due"] = time.time() + delays[tries - 1]
            self._forget_old()

    def _succeed(self, delivery: Json) -> None:
        delivery["status"] = "delivered"
        event = self._engine.store.get(delivery["event"], "event")
        if event is not None and not delivery.get("_taken", False):
            event["pending_webhooks"] -= 1
            if event["pending_webhooks"] == 0:
                webhook_wait.note_taken(self._engine, event)
        delivery["_taken"] = True
        held = [self._engine.store.get(id, DELIVERY) for id in self._held]
        release([one for one in held if one is not None and is_held(one)], delivery)

    def _forget_old(self) -> None:
        if self._engine.store.count(DELIVERY) <= KEPT + KEPT // 5:
            return
        for delivery in list(self._engine.store.scan(DELIVERY))[KEPT:]:
            if delivery["status"] != "pending":
                self._engine.store.remove(delivery["id"])

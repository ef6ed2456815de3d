"""Twelve classic mistakes, each in a shop of its own; one of them in two forms."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import stripe as sdk

from emulator.tests.broken_apps.honest import SECRET, USER, Shop


class NoDedupe(Shop):
    """Adds credits each time it hears of a purchase."""

    def webhook(self, body: bytes, signature: str) -> tuple[int, Any]:
        event = sdk.Webhook.construct_event(body, signature, SECRET)
        with self.rows() as rows:
            self.handle(rows, event.type, event.data.object)
        return 200, "done"

    def grant_credits(self, rows: sqlite3.Connection, user: str, session: str) -> None:
        rows.execute(
            "insert into credits values (?, 10) on conflict (user) do update set amount = amount + 10", (user,)
        )


class TrustsPayloadOrder(Shop):
    """Believes that the last event to arrive is the last that happened."""

    def sync(self, rows: sqlite3.Connection, user: str, body: Any) -> None:
        self.keep(rows, user, body)


class SwallowsErrors(Shop):
    """Thanks for every event, done or not."""

    def webhook(self, body: bytes, signature: str) -> tuple[int, Any]:
        try:
            return super().webhook(body, signature)
        except (sdk.StripeError, LookupError):
            return 200, "thank you"


class DoubleCustomer(Shop):
    """Makes the customer without an idempotency key."""

    def make_customer(self, user: str) -> str:
        return str(self.api.customers.create({"email": user}).id)


class DoubleSubscription(Shop):
    """Opens another Checkout at each click."""

    def open_session(self, key: str, sent: dict[str, Any]) -> Any:
        return super().open_session(f"{key}-{time.monotonic_ns()}", sent)


class GrantsOnRedirect(Shop):
    """Takes the visit of the return address for a payment."""

    def welcome(self, session_id: str) -> tuple[int, Any]:
        session = self.api.checkout.sessions.retrieve(session_id)
        if session.mode == "payment":
            with self.rows() as rows:
                self.grant_credits(rows, USER, session_id)
        return 200, "thank you for paying"


class GrantsUnpaidCheckouts(Shop):
    """Takes a completed Checkout for a paid one."""

    def session_done(self, rows: sqlite3.Connection, user: str, type: str, session: Any) -> None:
        if session.mode == "payment" and type == "checkout.session.completed":
            self.grant_credits(rows, user, session.id)


class IgnoresAsyncPayment(Shop):
    """Has never heard of checkout.session.async_payment_succeeded."""

    def session_done(self, rows: sqlite3.Connection, user: str, type: str, session: Any) -> None:
        if type == "checkout.session.completed":
            super().session_done(rows, user, type, session)


class PeriodFromTheOldPlace(Shop):
    """Reads the period where it was before 2025-03-31."""

    def period_end_of(self, subscription: Any) -> int | None:
        found: int | None = subscription.to_dict().get("current_period_end")
        return found


class FirstItem(Shop):
    """Takes the first item for the plan."""

    def plan_of(self, subscription: Any) -> str | None:
        key: str | None = subscription["items"].data[0].price.lookup_key
        return key


class NoIdempotencyKey(Shop):
    """Takes money without idempotency keys."""

    def key(self, name: str) -> dict[str, Any]:
        return {}


class AcknowledgesBeforeStoring(Shop):
    """Answers 200 and works on the event afterwards, from memory."""

    def __init__(self, api_base: str, database: Path, prices: dict[str, str], url: str) -> None:
        super().__init__(api_base, database, prices, url)
        self._waiting: queue.Queue[tuple[bytes, str]] = queue.Queue()
        self._dead = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def webhook(self, body: bytes, signature: str) -> tuple[int, Any]:
        self._waiting.put((body, signature))
        return 200, "thank you"

    def settle(self) -> None:
        self._waiting.join()

    def die(self) -> None:
        self._dead.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._dead.wait(0.02):  # a batch now and then
            while not self._waiting.empty() and not self._dead.is_set():
                body, signature = self._waiting.get()
                try:
                    super().webhook(body, signature)
                except (sdk.StripeError, LookupError):
                    self._waiting.put((body, signature))  # in memory it is tried again, as long as there is memory
                finally:
                    self._waiting.task_done()


class UpgradesBeforePayment(Shop):
    """Has the higher plan when the call returns; what comes later is for the status and the period alone."""

    def upgrade(self, user: str) -> tuple[int, Any]:
        answer = super().upgrade(user)
        with self.rows() as rows:
            rows.execute("update subscriptions set plan = 'team' where user = ?", (user,))
        return answer

    def keep(self, rows: sqlite3.Connection, user: str, subscription: Any) -> None:
        before = rows.execute("select plan from subscriptions where user = ?", (user,)).fetchone()
        super().keep(rows, user, subscription)
        if before:
            rows.execute("update subscriptions set plan = ? where user = ?", (before[0], user))

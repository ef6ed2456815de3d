"""The database is away: webhooks are refused, so that they come again, and nothing is done by halves."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe as sdk
from sqlalchemy import text
from sqlalchemy.orm import Session

from paidup import Billing, Change, DatabaseUnavailable
from paidup.database import engine
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.conftest import WEBHOOK_SECRET, MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver, signed
from tests.support.host_app import HostApp
from tests.support.outage import database_away
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked SQLite file is waited for as long as a user can stand; here, that is not long."""
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.2)


def post(app: HostApp, event: dict[str, Any]) -> httpx.Response:
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": signed(body, secret=WEBHOOK_SECRET)}
    return httpx.post(app.webhook_url, content=body, headers=headers, timeout=60)


def test_webhooks_are_refused_until_it_is_back_and_then_taken(host_app: HostApp, stripe: Emulator) -> None:
    """H10: 5xx and no row; the retry of the very same delivery is processed, by workers that outlived it all."""
    billing = host_app.billing
    stripe.deliveries.pause()
    pay(str(billing.checkout(OWNER, "pro").url))
    with database_away(billing.settings.database_url.get_secret_value()):
        for event in stripe.events("customer.subscription.created") * 2:
            answer = post(host_app, event)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
    assert billing.events() == []
    assert billing.access(OWNER).plan == "free"
    for event in stripe.events():
        assert post(host_app, event).status_code == 200
    eventually(lambda: billing.access(OWNER).plan == "pro" and not billing.queue())
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    [theirs] = client.v1.subscriptions.list({"status": "all"}).data
    ours = billing.subscription(OWNER)
    assert ours is not None
    assert (ours.id, ours.status) == (theirs.id, theirs.status)
    assert {event.state for event in billing.events(limit=500)} <= {"done", "ignored"}


class Ledger:
    """The app's own table, written in the transaction that finds a change; the first time, the database breaks."""

    def __init__(self, billing: Billing) -> None:
        self.database = Database(billing.settings.database_url.get_secret_value())
        self.attempts = 0
        self.seen: list[list[str]] = []
        with self.database.write() as session:
            session.execute(text("CREATE TABLE credits (invoice VARCHAR(255))"))
        billing.on_change("invoice.paid", in_transaction=True)(self.grant)

    def grant(self, change: Change, session: Session) -> None:
        """Give credits for a paid invoice."""
        self.attempts += 1
        self.seen.append(self.granted())
        session.execute(text("INSERT INTO credits VALUES (:invoice)"), {"invoice": change.invoice})
        if self.attempts == 1 and self.database.is_postgresql:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        elif self.attempts == 1:
            connection: Any = session.connection().connection.driver_connection
            connection.close()

    def granted(self) -> list[str]:
        """The invoices credits were given for."""
        with self.database.read() as session:
            return list(session.scalars(text("SELECT invoice FROM credits")))


def test_a_connection_lost_before_the_commit_leaves_no_effect_and_the_retry_has_it_once(
    make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H10: what was done, and that it was done, are one commit."""
    billing = make_billing(clock=a_hurrying_clock(timedelta(seconds=1)))
    billing.push_catalog()
    ledger = Ledger(billing)
    pay(str(billing.checkout(OWNER, "pro").url))
    for event in stripe.events():
        deliver(billing, event)
    with suppress(DatabaseUnavailable):
        billing.run_until_idle()
    billing.run_until_idle(60)
    assert billing.access(OWNER).plan == "pro"
    assert ledger.granted() == [billing.invoices(OWNER)[0].id]
    assert (ledger.attempts, ledger.seen) == (2, [[], []])
    ledger.database.close()

"""An app on paidup for the emulator's chaos: served once, emptied for every run, killed and started again at will."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from paidup import Billing, Settings, inbox
from paidup.core.targets import EVENTS
from paidup.database.engine import Database
from stripe_emulator.testing import Stripe
from tests.support.databases import DatabaseMaker, removed_afterwards
from tests.support.host_app import OWNER_HEADER, WEBHOOK_PATH, build
from tests.support.serving import bound_socket, serving

OWNER = "user:1"
STEP = timedelta(milliseconds=150)
PLANS = Path(__file__).parent / "plans.toml"
WEBHOOK_SECRET = "whsec_paidup_tests"


class Clock:
    """Aware UTC, a step further at each look, so that pauses and backoffs are over without waiting; it may skip."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self._now += STEP
        return self._now

    def skip(self, time: timedelta) -> None:
        """Let time pass."""
        self._now += time


class App:
    """The app while it runs, for one owner's `browser`. Its worker works when it is told to `settle`."""

    def __init__(self, switchboard: Switchboard, api_base: str, database_url: str) -> None:
        self.webhook_url = switchboard.url + WEBHOOK_PATH
        self.browser = switchboard.browser
        self._switchboard = switchboard
        self._settings = Settings.from_env(
            secret_key="sk_test_paidup",
            webhook_secrets=WEBHOOK_SECRET,
            api_base=api_base,
            database_url=database_url,
            app_url=switchboard.url,
            plans_file=str(PLANS),
            worker="outside",
        )
        self.told: list[str] = []
        self._clock = Clock()
        self.billing = self._start()

    def settle(self) -> None:
        """Work until nothing is left to do."""
        self.billing.run_until_idle(60)

    def restart(self) -> None:
        """Die with work in hand, and start again on the same data when the lease on that work has run out."""
        database = Database(self._settings.database_url.get_secret_value())
        with database.write() as session:
            inbox.claim(session, now=self._clock())
        database.close()
        self._clock.skip(inbox.LEASE)
        self.stop()
        self.billing = self._start()

    def stop(self) -> None:
        """Give everything back."""
        self.billing.close()

    def checkout(self, plan: str) -> str:
        """The address to pay at, or what stood in the way."""
        answer = self.browser.post("/billing/checkout", json={"plan": plan})
        answer.raise_for_status()
        return str(answer.json()["url"])

    def visit(self, url: str) -> httpx.Response:
        """Open an address as the signed-in person."""
        return self.browser.get(url, follow_redirects=True)

    def _start(self) -> Billing:
        billing = Billing(self._settings, clock=self._clock)
        billing.on_change()(lambda change: self.told.append(change.id))
        self._switchboard.app = build(billing)
        return billing


class Portal:
    """Stripe's portal as the person uses it, by its links and forms."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=urljoin(url, "/"), follow_redirects=True, timeout=30, trust_env=False)
        self.page = self._client.get(url).text

    def leads(self, id: str) -> str:
        """Where the link or the button with this id leads."""
        link = re.search(rf'<a id="{id}"[^>]*href="([^"]*)"', self.page)
        form = re.search(rf'<form method="post" action="([^"]*)"[^>]*><button id="{id}"', self.page)
        found = link or form
        assert found is not None, f"the page has no {id}"
        return found[1]

    def submit(self, where: str, **form: str) -> None:
        """Post a form and go where it leads."""
        answer = self._client.post(where, data=form)
        answer.raise_for_status()
        self.page = answer.text

    def close(self) -> None:
        """Leave."""
        self._client.close()


class Switchboard:
    """Serves whichever app is set now."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.url = ""
        self.browser = httpx.Client()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; starting and stopping are the server's alone."""
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        assert self.app is not None
        await self.app(scope, receive, send)


@contextmanager
def a_switchboard() -> Iterator[Switchboard]:
    """Serve one until the block ends."""
    board = Switchboard()
    with serving(board, bound_socket()) as url:
        board.url = url
        headers = {OWNER_HEADER: OWNER}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as board.browser:
            yield board


def app_on(board: Switchboard, databases: DatabaseMaker) -> Any:
    """What `assert_survives_chaos` starts each run with: an empty database, the plans at Stripe, the webhook."""

    furnished: list[str] = []

    @contextmanager
    def start(stripe: Stripe) -> Iterator[App]:
        with removed_afterwards(databases, databases.migrated()) as url:
            app = App(board, stripe.url, url)
            try:
                if furnished:
                    stripe.restore(furnished[0])
                else:
                    app.billing.push_catalog()
                    furnished.append(stripe.snapshot())
                stripe.add_endpoint(app.webhook_url, WEBHOOK_SECRET, sorted(EVENTS))
                yield app
            finally:
                app.stop()

    return start

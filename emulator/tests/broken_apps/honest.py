"""The honest base: a shop with a subscription, an upgrade, credits and a top-up, on Starlette and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import stripe as sdk

SECRET = "whsec_shop"
USER = "ann@example.com"
EVENTS = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
]
PLANS = ("pro", "team")
TABLES = """
create table customers (user text primary key, id text not null);
create table subscriptions (user text primary key, status text, plan text, period_end integer);
create table purchases (id text primary key, user text not null);
create table done (event text primary key);
create table credits (user text primary key, amount integer not null);
"""


class Shop:
    """What the app does; the broken ones override one method each."""

    def __init__(self, api_base: str, database: Path, prices: dict[str, str], url: str) -> None:
        self.api: Any = sdk.StripeClient("sk_test_shop", base_addresses={"api": api_base}, max_network_retries=0).v1
        self.database = database
        self.prices = prices
        self.url = url

    @contextmanager
    def rows(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def customer(self, user: str) -> str:
        with self.rows() as rows:
            found = rows.execute("select id from customers where user = ?", (user,)).fetchone()
        if found:
            return str(found[0])
        made = self.make_customer(user)
        with self.rows() as rows:
            rows.execute("insert or ignore into customers values (?, ?)", (user, made))
        return made

    def make_customer(self, user: str) -> str:
        return str(self.api.customers.create({"email": user}, {"idempotency_key": f"customer-{user}"}).id)

    def subscribe(self, user: str) -> tuple[int, Any]:
        customer = self.customer(user)
        if self.api.subscriptions.list({"customer": customer}).data:
            return 409, "you are subscribed"
        items = [{"price": self.prices[name], "quantity": 1} for name in ("seat", "pro")]
        session = self.open_session(
            f"subscribe-{user}", {"mode": "subscription", "customer": customer, "line_items": items}
        )
        return 200, session.url

    def buy_credits(self, user: str) -> tuple[int, Any]:
        items = [{"price": self.prices["credits"], "quantity": 1}]
        sent = {
            "mode": "payment",
            "customer": self.customer(user),
            "line_items": items,
            "allowed_payment_method_types": ["card", "us_bank_account"],
        }
        return 200, self.open_session(f"credits-{user}", sent).url

    def open_session(self, key: str, sent: dict[str, Any]) -> Any:
        back = f"{self.url}/welcome?session_id={{CHECKOUT_SESSION_ID}}"
        return self.api.checkout.sessions.create({**sent, "success_url": back}, {"idempotency_key": key})

    def welcome(self, session_id: str) -> tuple[int, Any]:
        return 200, "thank you; your plan is there in a moment"

    def upgrade(self, user: str) -> tuple[int, Any]:
        subscription = self.api.subscriptions.list({"customer": self.customer(user)}).data[0]
        plan = next(item for item in subscription["items"].data if item.price.lookup_key in PLANS)
        self.api.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": plan.id, "price": self.prices["team"]}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "pending_if_incomplete",
            },
        )
        return 200, "ok"

    def cancel(self, user: str) -> tuple[int, Any]:
        for subscription in self.api.subscriptions.list({"customer": self.customer(user)}).data:
            self.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        return 200, "ok"

    def top_up(self, user: str, request: str) -> tuple[int, Any]:
        customer = self.customer(user)
        item = {"customer": customer, "amount": 500, "currency": "usd"}
        self.api.invoice_items.create(item, self.key(f"{request}-item"))
        invoice = self.api.invoices.create(
            {"customer": customer, "pending_invoice_items_behavior": "include"}, self.key(f"{request}-invoice")
        )
        try:
            card = self.api.payment_methods.list({"customer": customer}).data[0].id
            self.api.invoices.pay(invoice.id, {"payment_method": card}, self.key(f"{request}-pay"))
        except sdk.CardError:
            return 402, "declined"
        return 200, "ok"

    def key(self, name: str) -> dict[str, Any]:
        return {"idempotency_key": name}

    def webhook(self, body: bytes, signature: str) -> tuple[int, Any]:
        event = sdk.Webhook.construct_event(body, signature, SECRET)
        with self.rows() as rows:
            if rows.execute("select 1 from done where event = ?", (event.id,)).fetchone():
                return 200, "done before"
            self.handle(rows, event.type, event.data.object)
            rows.execute("insert into done values (?)", (event.id,))
        return 200, "done"

    def handle(self, rows: sqlite3.Connection, type: str, body: Any) -> None:
        user = self.user_of(rows, body.customer)
        if user is None:
            raise LookupError(f"nobody is {body.customer} yet")
        if type.startswith("checkout.session."):
            self.session_done(rows, user, type, body)
        else:
            self.sync(rows, user, body)

    def user_of(self, rows: sqlite3.Connection, customer: str) -> str | None:
        found = rows.execute("select user from customers where id = ?", (customer,)).fetchone()
        return found[0] if found else None

    def session_done(self, rows: sqlite3.Connection, user: str, type: str, session: Any) -> None:
        if session.mode == "payment" and session.payment_status == "paid":
            self.grant_credits(rows, user, session.id)

    def grant_credits(self, rows: sqlite3.Connection, user: str, session: str) -> None:
        rows.execute("insert or ignore into purchases values (?, ?)", (session, user))

    def sync(self, rows: sqlite3.Connection, user: str, body: Any) -> None:
        self.keep(rows, user, self.api.subscriptions.retrieve(body.id))

    def keep(self, rows: sqlite3.Connection, user: str, subscription: Any) -> None:
        row = (user, subscription.status, self.plan_of(subscription), self.period_end_of(subscription))
        rows.execute("insert or replace into subscriptions values (?, ?, ?, ?)", row)

    def plan_of(self, subscription: Any) -> str | None:
        keys = [item.price.lookup_key for item in subscription["items"].data]
        return next((key for key in keys if key in PLANS), None)

    def period_end_of(self, subscription: Any) -> int | None:
        found: int = max(item.current_period_end for item in subscription["items"].data)
        return found

    def state(self, user: str) -> dict[str, Any]:
        with self.rows() as rows:
            found = rows.execute(
                "select plan, period_end from subscriptions where user = ? and status in ('trialing', 'active')",
                (user,),
            ).fetchone()
            bought = rows.execute("select count(*) from purchases where user = ?", (user,)).fetchone()[0]
            more = rows.execute("select coalesce(sum(amount), 0) from credits where user = ?", (user,)).fetchone()[0]
        plan, period_end = found or (None, None)
        return {"plan": plan, "period_end": period_end, "credits": 10 * bought + more}

    def settle(self) -> None:
        """Work off what was taken; the honest shop has done so before it answers."""

    def die(self) -> None:
        """The process is killed; what was in memory is gone."""

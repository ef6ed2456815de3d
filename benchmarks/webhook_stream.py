"""
How long it takes until 1,929 webhooks of 150 sign-ups have become Stripe's state, and how many API calls that costs.

A twentieth of the deliveries come twice, one in ten comes early or late, 16 are under way at a time; Stripe takes 80 ms
for each call. The floor fetches each customer's parts once, as many at a time as there are deliveries, and does nothing
with them.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import httpx
from sqlalchemy import select

from benchmarks.accept_webhooks import PLANS, send, serving
from benchmarks.measuring import Row, at_most, options, report
from benchmarks.receiving import billing as opened
from benchmarks.serving import emulator
from paidup import Billing
from paidup.core.targets import EVENTS
from paidup.models import Customer, Invoice, Subscription
from tests.support import postgres
from tests.support.paying import pay

SIGN_UPS = 150
DELIVERIES = 1_929
AT_ONCE = 16
LATENCY = 0.08
_MANY = 1_000_000

Event = dict[str, Any]


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=3)
    rows: list[Row] = []
    server = postgres.start(durable=True)
    try:
        rows += _measure("PostgreSQL", (server.create() for _ in range(chosen.rounds)))
    finally:
        server.stop()
    with tempfile.TemporaryDirectory() as folder:
        rows += _measure("SQLite", (f"sqlite:///{folder}/{number}.db" for number in range(chosen.rounds)))
    report(f"{DELIVERIES:,} webhooks of {SIGN_UPS} sign-ups, {LATENCY * 1000:.0f} ms an API call", rows, chosen)


def _measure(name: str, databases: Iterator[str]) -> list[Row]:
    seconds: list[float] = []
    calls: list[float] = []
    floor: list[float] = []
    for database_url in databases:
        with emulator() as stripe_url:
            found = _one_round(database_url, stripe_url)
            seconds.append(found[0])
            calls.append(found[1] / DELIVERIES)
            floor.append(found[2])
    fewest = [3 * SIGN_UPS / DELIVERIES] * len(calls)
    return [
        Row(f"{name}: all in step", "s", seconds, floor, at_most(15)),
        Row(f"{name}: API calls an event", "", calls, fewest, at_most(0.35)),
    ]


def _one_round(database_url: str, stripe_url: str) -> tuple[float, int, float]:
    """Seconds until all is in step, API calls that took, seconds of the floor."""
    control = httpx.Client(base_url=f"{stripe_url}/_emulator", trust_env=False, timeout=60)
    billing = opened(database_url, str(PLANS), stripe_url)
    billing.upgrade_database()
    billing.push_catalog()
    before = {event["id"] for event in control.get("events").json()}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: _sign_up(billing, number), range(SIGN_UPS)))
    events = [event for event in control.get("events").json() if event["id"] not in before]
    control.post("faults", data={"path": "*", "slow": LATENCY, "times": _MANY}).raise_for_status()
    with serving("paidup", database_url, stripe_url) as url:
        begun = time.perf_counter()
        asyncio.run(send(f"{url}/billing/webhook", _deliveries(events), at_once=AT_ONCE))
        while billing.queue(limit=1):
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
    calls = _MANY - control.get("faults").json()["faults"][0]["times"]
    floor = _fetch_once(billing)
    control.delete("faults")
    _check(billing)
    billing.close()
    return seconds, calls, floor


def _sign_up(billing: Billing, number: int) -> None:
    url = billing.checkout(f"user:{number}", "pro", email=f"{number}@example.com").url
    pay(str(url))


def _deliveries(events: list[Event]) -> list[bytes]:
    """What an endpoint listens to, and some of what it doesn't know; one in twenty comes twice, some out of order."""
    listened_to = [event for event in events if event["type"] in EVENTS]
    unknown = [event for event in events if event["type"] not in EVENTS]
    chance = random.Random(1)
    once = DELIVERIES - DELIVERIES // 21
    chosen = listened_to + chance.sample(unknown, k=once - len(listened_to))
    chosen += chance.sample(chosen, k=DELIVERIES - once)
    places = {event["id"]: place for place, event in enumerate(events)}
    moved = [
        (places[event["id"]] + (chance.uniform(-60, 60) if chance.random() < 0.1 else 0), event) for event in chosen
    ]
    return [json.dumps(event).encode() for _, event in sorted(moved, key=itemgetter(0))]


def _fetch_once(billing: Billing) -> float:
    customers = [each["id"] for each in _customers(billing)]
    parts = (billing.gateway.find_customer, billing.gateway.list_subscriptions, billing.gateway.list_invoices)
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part in [pool.submit(part, customer) for customer in customers for part in parts]:
            part.result()
    return time.perf_counter() - begun


def _customers(billing: Billing) -> list[Any]:
    with billing._database.read() as session:
        return [row.snapshot for row in session.scalars(select(Customer))]


def _check(billing: Billing) -> None:
    """Every row is Stripe's object, and none is missing."""
    with billing._database.read() as session:
        subscriptions = {row.id: row.snapshot for row in session.scalars(select(Subscription))}
        invoices = {row.id: row.snapshot for row in session.scalars(select(Invoice))}
    customers = _customers(billing)
    gateway = billing.gateway
    if not len(customers) == len(subscriptions) == len(invoices) == SIGN_UPS:
        raise RuntimeError(f"{len(customers)} customers, {len(subscriptions)} subscriptions, {len(invoices)} invoices")
    for customer in customers:
        id = customer["id"]
        is_same = customer == gateway.find_customer(id)
        is_same &= all(subscriptions.get(each["id"]) == each for each in gateway.list_subscriptions(id))
        is_same &= all(invoices.get(each["id"]) == each for each in gateway.list_invoices(id))
        if not is_same:
            raise RuntimeError(f"{id} is not as it is at Stripe")


if __name__ == "__main__":
    main()

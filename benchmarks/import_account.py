"""
How long it takes to take in an existing account of 5,000 customers with a subscription and an invoice each, and how
much memory beside one of 1,000, when Stripe takes 80 ms for each call.

The floor fetches the same pages, parses them, and does nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import stripe

from benchmarks.accept_webhooks import PLANS
from benchmarks.importing import KEY, OWNER_KEY
from benchmarks.measuring import Row, at_most, options, report
from benchmarks.receiving import billing as opened
from benchmarks.serving import emulator
from paidup.database import migrate
from paidup.database.engine import Database
from tests.support import postgres

CUSTOMERS = 5_000
FEWER = 1_000
LATENCY = 0.08
_MANY = 1_000_000
_COPIED = ("customer", "payment_method", "subscription", "invoice")
_APART = 60
_IDS = re.compile(r"\b(?:cus|pm|sub|si|in|il)_\w+")

Json = dict[str, Any]


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=3)
    rows: list[Row] = []
    server = postgres.start(durable=True)
    try:
        with _account(CUSTOMERS) as many, _account(FEWER) as few:
            rows += _measure("PostgreSQL", (server.create() for _ in range(2 * chosen.rounds)), many, few)
            with tempfile.TemporaryDirectory() as folder:
                urls = (f"sqlite:///{folder}/{number}.db" for number in range(2 * chosen.rounds))
                rows += _measure("SQLite", urls, many, few)
    finally:
        server.stop()
    report(f"First import of {CUSTOMERS:,} customers, {LATENCY * 1000:.0f} ms an API call", rows, chosen)


def _measure(name: str, databases: Iterator[str], many: str, few: str) -> list[Row]:
    seconds, floor, peak, lower = [], [], [], []
    for database_url in databases:
        _prepare(database_url)
        whole = _run("paidup", database_url, many)
        if [whole["found"].get(kind) for kind in ("customer", "subscription", "invoice")] != [CUSTOMERS] * 3:
            raise RuntimeError(f"the import found {whole['found']}")
        seconds.append(whole["seconds"])
        peak.append(whole["peak_mb"])
        floor.append(_run("floor", database_url, many)["seconds"])
        another = next(databases)
        _prepare(another)
        lower.append(_run("paidup", another, few)["peak_mb"])
    return [
        Row(f"{name}: all taken in", "s", seconds, floor, at_most(8)),
        Row(f"{name}: memory, beside {FEWER:,} customers", "MB", peak, lower, at_most(1.25, of_the_floor=True)),
    ]


def _prepare(database_url: str) -> None:
    database = Database(database_url)
    migrate.upgrade(database)
    database.close()


def _run(kind: str, database_url: str, stripe_url: str) -> Json:
    command = [sys.executable, "-m", "benchmarks.importing", kind, database_url, str(PLANS), stripe_url]
    found: Json = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


@contextmanager
def _account(customers: int) -> Iterator[str]:
    """A Stripe with so many customers: copies of one that came about as they do, a minute apart."""
    with emulator() as url, httpx.Client(base_url=f"{url}/_emulator", trust_env=False, timeout=120) as control:
        _first_customer(url)
        name = control.post("snapshots", json={}).raise_for_status().json()["name"]
        document = control.get(f"snapshots/{name}").raise_for_status().json()
        document["objects"] = list(_copied(document["objects"], customers - 1))
        document["name"] = "copies"
        control.post("snapshots", json={"snapshot": document}).raise_for_status()
        control.post("snapshots/copies/restore", json={}).raise_for_status()
        for each in (name, "copies"):
            control.delete(f"snapshots/{each}")
        control.post("faults", data={"path": "*", "slow": LATENCY, "times": _MANY}).raise_for_status()
        yield url


def _first_customer(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        billing = opened(f"sqlite:///{folder}/billing.db", str(PLANS), url)
        billing.push_catalog()
        billing.close()
    api = stripe.StripeClient(KEY, base_addresses={"api": url}).v1
    customer = api.customers.create(
        {
            "email": "first@example.com",
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
            "metadata": {OWNER_KEY: "first"},
        }
    )
    price = api.prices.list({"lookup_keys": ["pro_month"]}).data[0]
    api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})


def _copied(objects: list[Json], count: int) -> Iterator[Json]:
    """The objects without their events, and older copies of the customer with what is theirs, the oldest first."""
    originals = [each for each in objects if each["object"] in _COPIED]
    yield from (each for each in objects if each["object"] not in (*_COPIED, "event", "_idempotency"))
    texts = [json.dumps(each) for each in originals]
    for number in range(count):
        for text in texts:
            copy = json.loads(_IDS.sub(rf"\g<0>x{number}", text).replace('"first"', f'"{number}"'))
            copy["created"] -= (count - number) * _APART
            yield copy
    yield from originals


if __name__ == "__main__":
    main()

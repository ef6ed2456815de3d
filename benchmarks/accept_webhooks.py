"""
How many webhooks a second one process stores and answers, and how long the slowest wait, beside a minimal server.

The floor verifies the signature, parses the JSON and inserts one row, and does nothing else. Both store durably.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import stripe

from benchmarks.measuring import Row, at_least, at_most, in_turn, options, report
from benchmarks.receiving import SECRET
from paidup.database import migrate
from paidup.database.engine import Database
from tests.support import postgres

EVENTS = 3_000
AT_ONCE = 32
PLANS = Path(__file__).parents[1] / "tests" / "support" / "plans.toml"

_numbers = itertools.count()


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    server = postgres.start(durable=True)
    try:
        rows = _compare("PostgreSQL", server.create(), 0.6, rounds=chosen.rounds)
    finally:
        server.stop()
    with tempfile.TemporaryDirectory() as folder:
        rows += _compare("SQLite", f"sqlite:///{folder}/billing.db", 0.5, rounds=chosen.rounds)
    report("Webhooks stored and answered by one process", rows, chosen)


def _compare(name: str, database_url: str, share: float, *, rounds: int) -> list[Row]:
    database = Database(database_url)
    migrate.upgrade(database)
    database.close()
    slow: dict[str, list[float]] = {"paidup": [], "floor": []}

    def rate(kind: str, url: str) -> float:
        bodies = [_an_event() for _ in range(EVENTS)]
        begun = time.perf_counter()
        waits = asyncio.run(send(url, bodies))
        seconds = time.perf_counter() - begun
        slow[kind].append(sorted(waits)[int(len(waits) * 0.99)])
        return EVENTS / seconds

    with serving("paidup", database_url) as own, serving("floor", database_url) as floor:
        measured = in_turn(
            lambda: rate("paidup", f"{own}/billing/webhook"), lambda: rate("floor", floor), rounds=rounds
        )
    slowest = slow["paidup"][1:], slow["floor"][1:]
    return [
        Row(f"{name}", "events/s", *measured, at_least(share, of_the_floor=True)),
        Row(f"{name}, p99 of {AT_ONCE} at once", "s", *slowest, at_most(3, of_the_floor=True)),
    ]


@contextmanager
def serving(kind: str, database_url: str, *stripe_url: str) -> Iterator[str]:
    """A server of webhooks in a process of its own; its address."""
    command = [sys.executable, "-m", "benchmarks.receiving", kind, database_url, str(PLANS), *stripe_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the server {kind} did not start")
        yield url
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _an_event() -> bytes:
    """About the size of Stripe's: 3 KB."""
    number = next(_numbers)
    invoice = {"id": f"in_{number}", "object": "invoice", "customer": f"cus_{number % 500}", "filler": "x" * 2_700}
    event = {
        "id": f"evt_{time.time_ns()}_{number}",
        "object": "event",
        "type": "invoice.paid",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": invoice},
    }
    return json.dumps(event).encode()


async def send(url: str, bodies: list[bytes], *, at_once: int = AT_ONCE) -> list[float]:
    """Post every body, signed, so many at a time, each on a connection that stays open; how long each took."""
    parts = urlsplit(url)
    waiting = iter([_request(parts.path or "/", body) for body in bodies])
    waits: list[float] = []

    async def sender() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for request in waiting:
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode(errors="replace"))
            lines = head.lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:")).split(b":")[1]
            await reader.readexactly(int(length))
            waits.append(time.perf_counter() - begun)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(sender() for _ in range(at_once)))
    return waits


def _request(path: str, body: bytes) -> bytes:
    signature = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, timestamp=int(time.time()))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nStripe-Signature: {signature}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()

"""
How long a month takes in which a thousand customers' subscriptions renew and are paid for.

The floor is what merely writing and reading back as many events as JSON takes.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import stripe

from benchmarks.measuring import Row, at_most, on_one_core, options, report
from stripe_emulator import Emulator

CUSTOMERS = 1000
MONTH = 31
EVENTS = 10
"""Of one renewal."""


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=3)
    on_one_core()
    with Emulator() as in_memory:
        rows = [_months(in_memory, "in memory", rounds=chosen.rounds)]
    with tempfile.TemporaryDirectory() as folder, Emulator(state=Path(folder) / "stripe.db") as in_a_file:
        rows.append(_months(in_a_file, "kept in a file", rounds=chosen.rounds))
    report(f"A month of {CUSTOMERS:,} renewals", rows, chosen)


def _months(emulator: Emulator, name: str, *, rounds: int) -> Row:
    _subscribe(emulator)
    measured, floor = [], []
    for month in range(1, rounds + 1):
        begun = time.perf_counter()
        emulator.advance(days=MONTH)
        measured.append(time.perf_counter() - begun)
        paid = emulator.events("invoice.paid")
        if len(paid) != CUSTOMERS * (month + 1):
            raise RuntimeError(f"{len(paid)} invoices were paid by month {month}, not {CUSTOMERS * (month + 1)}")
        floor.append(_copying(paid[-CUSTOMERS:]))
    return Row(name, "s", measured, floor, at_most(10))


def _subscribe(emulator: Emulator) -> None:
    api: Any = stripe.StripeClient("sk_test_benchmark", base_addresses={"api": emulator.url}).v1
    price = api.prices.create(
        {"currency": "usd", "unit_amount": 1200, "recurring": {"interval": "month"}, "product_data": {"name": "Pro"}}
    )
    card = {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    for _ in range(CUSTOMERS):
        customer = api.customers.create(card)
        api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})


def _copying(events: list[Any]) -> float:
    begun = time.perf_counter()
    for _ in range(EVENTS):
        for event in events:
            json.loads(json.dumps(event))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()

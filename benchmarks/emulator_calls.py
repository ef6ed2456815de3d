"""
How many calls a second the SDK makes to the emulator: client and server on one core, one call after the other.

The floor is the same SDK calling a server that answers with the same bytes and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import stripe

from benchmarks.measuring import Row, at_least, in_turn, on_one_core, options, report
from benchmarks.serving import bare, emulator

CALLS = 300
NOT_SIMPLE = ("list ten customers",)
"""The SDK alone, beside a server that does nothing, takes twice as long for these."""

Call = Callable[[Any], Any]


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    on_one_core()
    with emulator() as url:
        api = _client(url)
        customer = api.customers.create({"email": "jenny@example.com"})
        price = api.prices.create(
            {
                "currency": "usd",
                "unit_amount": 1200,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Pro"},
            }
        )
        for _ in range(20):
            api.customers.create({"email": "jenny@example.com"})
        calls: list[tuple[str, Call]] = [
            ("create a customer", lambda to: to.customers.create({"email": "jenny@example.com"})),
            ("update a customer", lambda to: to.customers.update(customer.id, {"name": "Jenny"})),
            ("retrieve a customer", lambda to: to.customers.retrieve(customer.id)),
            ("retrieve a price", lambda to: to.prices.retrieve(price.id)),
            ("list ten customers", lambda to: to.customers.list({"limit": 10})),
            ("list a customer's subscriptions", lambda to: to.subscriptions.list({"customer": customer.id})),
        ]
        rows = [_compare(name, call, api, rounds=chosen.rounds) for name, call in calls]
    report("Calls of the SDK on one core", rows, chosen)


def _compare(name: str, call: Call, api: Any, *, rounds: int) -> Row:
    answer = call(api).last_response.body.encode()
    with bare(answer) as url:
        floor = _client(url)
        rates = in_turn(lambda: _rate(call, api), lambda: _rate(call, floor), rounds=rounds)
        return Row(name, "calls/s", *rates, None if name in NOT_SIMPLE else at_least(500))


def _client(url: str) -> Any:
    return stripe.StripeClient("sk_test_benchmark", base_addresses={"api": url}).v1


def _rate(call: Call, api: Any) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        call(api)
    return CALLS / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()

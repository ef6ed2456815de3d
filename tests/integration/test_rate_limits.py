"""Stripe's rate limits met by a worker and by users at once, with the limits the emulator has on request."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
import stripe as sdk

from paidup import Billing
from paidup.errors import StripeRateLimited
from paidup.stripe_api.gateway import Gateway
from stripe_emulator import Emulator
from tests.support.calls import counted
from tests.support.deliveries import deliver
from tests.support.host_app import HostApp
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNERS = [f"user:{number}" for number in range(6)]


def subscribed(billing: Billing, stripe: Emulator) -> None:
    """Every owner pays; nothing is delivered yet."""
    for owner in OWNERS:
        pay(str(billing.checkout(owner, "pro").url))


def test_a_users_call_is_tried_again_after_a_429(stripe: Emulator) -> None:
    """H112: what was not done may be repeated, with the same key."""
    stripe.fail_next("/v1/customers", status=429, times=2, reason="endpoint-rate")
    made = Gateway("sk_test_paidup", api_base=stripe.url).create_customer({"name": "A"}, idempotency_key="k")
    api = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
    assert [each.id for each in api.customers.list().data] == [made["id"]]


def test_a_users_call_ends_with_a_clear_error_in_time(stripe: Emulator) -> None:
    """H112: nobody waits for ever."""
    stripe.fail_next("/v1/customers", status=429, times=1000)
    begun = time.monotonic()
    with pytest.raises(StripeRateLimited) as error:
        Gateway("sk_test_paidup", api_base=stripe.url).create_customer({"name": "A"}, idempotency_key="k")
    assert time.monotonic() - begun < 12
    assert error.value.status == 503


class _Impatient(BaseHTTPRequestHandler):
    """Answers 429 with a Retry-After at first, an empty list then."""

    asked: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        self.asked.append(time.monotonic())
        first = len(self.asked) == 1
        body = b'{"error": {}}' if first else b'{"object": "list", "data": [], "has_more": false}'
        self.send_response(429 if first else 200)
        if first:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


def test_stripes_own_wish_is_kept_to() -> None:
    """H112: Retry-After, though the SDK ignores it."""
    server = HTTPServer(("127.0.0.1", 0), _Impatient)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        gateway = Gateway("sk_test_paidup", api_base=f"http://127.0.0.1:{server.server_port}")
        assert gateway.list_products() == []
    finally:
        server.shutdown()
        server.server_close()
    first, second = _Impatient.asked
    assert second - first >= 1


def test_a_lock_timeout_is_repeated(stripe: Emulator) -> None:
    """H113."""
    stripe.fail_next("/v1/customers/*", status=429, times=1, code="lock_timeout", should_retry=True)
    gateway = Gateway("sk_test_paidup", api_base=stripe.url)
    assert gateway.find_customer("cus_unknown") is None
    assert gateway.budget.pause() == 0


def test_a_backlog_within_stripes_limits_ends_well_while_users_get_through(billing: Billing, stripe: Emulator) -> None:
    """H112: four worker threads keep to the pace they are told, and a Checkout is not behind them."""
    subscribed(billing, stripe)
    stripe.limit_rates("sandbox")
    worker = billing.worker(threads=4)
    worker.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda event: deliver(billing, event), stripe.events()))
        assert billing.checkout("user:new", "pro").url
        eventually(lambda: not billing.queue(), 60)
    finally:
        assert worker.stop()
    assert {billing.access(owner).plan for owner in OWNERS} == {"pro"}
    assert all(event.state in ("done", "ignored") for event in billing.events(limit=500))


def test_a_customer_whose_calls_are_slow_holds_nobody_else_up(billing: Billing, stripe: Emulator) -> None:
    """H17."""
    subscribed(billing, stripe)
    slow, *others = OWNERS
    for event in stripe.events("customer.created"):
        deliver(billing, event)
    billing.run_until_idle()
    customer = billing.customer(slow)
    assert customer is not None
    stripe.slow_next(f"/v1/customers/{customer.id}", 3, times=1)
    worker = billing.worker(threads=2)
    worker.start()
    try:
        for event in stripe.events():
            deliver(billing, event)
        eventually(lambda: {billing.access(owner).plan for owner in others} == {"pro"})
    finally:
        assert worker.stop()


def test_a_storm_for_one_customer_lets_the_others_move(billing: Billing, stripe: Emulator) -> None:
    """H17."""
    subscribed(billing, stripe)
    events = stripe.events()
    first = billing.checkout("user:stormy", "pro").url
    pay(str(first))
    stormy = [event for event in stripe.events() if event["id"] not in {each["id"] for each in events}]
    storm = [{**stormy[number % len(stormy)], "id": f"evt_storm_{number}"} for number in range(300)]
    worker = billing.worker(threads=2)
    worker.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            storming = [pool.submit(deliver, billing, event) for event in storm]
            for event in events:
                deliver(billing, event)
            eventually(lambda: {billing.access(owner).plan for owner in OWNERS} == {"pro"}, 20)
            assert all(each.result() for each in storming)
        eventually(lambda: not billing.queue(), 20)
    finally:
        assert worker.stop()
    assert billing.access("user:stormy").plan == "pro"


def test_a_slow_stripe_does_not_stop_the_event_loop(host_app: HostApp, stripe: Emulator) -> None:
    """H115: calls to Stripe never run in the loop; a page that needs none is served meanwhile."""
    stripe.slow_next("/v1/customers", 2, times=1)
    with host_app.client("user:1") as slow, host_app.client("user:2") as quick:
        waiting = threading.Thread(
            target=lambda: slow.post("/billing/checkout", data={"plan": "pro", "interval": "month"})
        )
        waiting.start()
        waits = []
        while waiting.is_alive():
            begun = time.monotonic()
            assert quick.get("/").status_code == 200
            waits.append(time.monotonic() - begun)
        waiting.join()
    assert len(waits) > 10
    assert max(waits) < 1


def test_two_keys_side_by_side_each_use_their_own(stripe: Emulator) -> None:
    """H116: no key is global."""
    gateways = [Gateway(f"sk_test_{name}", api_base=stripe.url) for name in ("one", "two")]
    with counted(stripe) as calls, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: gateways[number % 2].find_customer("cus_unknown"), range(16)))
        assert calls.count == 16
    assert sdk.api_key is None

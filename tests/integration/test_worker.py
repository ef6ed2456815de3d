"""The worker: woken from another process, stopped without losing anything, and no slower for one customer's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import stripe as sdk

from paidup import AsyncBilling, Billing, CheckoutNotFound, CustomerNotFound, FeatureNotInPlan, inbox
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"


def subscribe(billing: Billing, owner: str = OWNER) -> None:
    pay(str(billing.checkout(owner, "pro", email="a@example.com").url))


def deliver_all(billing: Billing, stripe: Emulator) -> None:
    for event in stripe.events():
        deliver(billing, event)


def test_a_webhook_taken_by_one_process_wakes_the_worker_of_another(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """By NOTIFY on PostgreSQL, where polling alone would take five seconds a round; by polling on SQLite."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    subscribe(billing)
    customer = billing.customer(OWNER)
    assert customer is not None
    worker = make_billing().worker(threads=1)
    worker.start()
    try:
        for name in ("Ada", "Grace", "Barbara"):
            client.v1.customers.update(customer.id, {"name": name})
            deliver(billing, stripe.events("customer.updated")[-1])
            eventually(partial(is_called, billing, name), 4)
    finally:
        assert worker.stop()


def is_called(billing: Billing, name: str) -> bool:
    customer = billing.customer(OWNER)
    return customer is not None and customer.name == name


def test_a_worker_that_is_stopped_leaves_the_rest_for_the_next(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    owners = [f"user:{number}" for number in range(5)]
    for owner in owners:
        subscribe(billing, owner)
    deliver_all(billing, stripe)
    first = billing.worker(threads=1)
    first.start()
    assert first.stop()
    second = make_billing().worker()
    second.start()
    try:
        eventually(lambda: all(billing.access(owner).plan == "pro" for owner in owners))
    finally:
        assert second.stop()


def test_a_worker_runs_once_at_a_time_and_may_be_started_again(billing: Billing) -> None:
    worker = billing.worker()
    worker.start()
    with pytest.raises(RuntimeError, match="already running"):
        worker.start()
    assert worker.stop()
    worker.start()
    assert worker.stop()


def test_a_worker_forgets_events_that_are_long_done_with(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert billing.events()
    later = make_billing(clock=lambda: datetime.now(UTC) + timedelta(days=91)).worker()
    later.start()
    try:
        eventually(lambda: billing.events() == [])
    finally:
        assert later.stop()
    assert billing.access(OWNER).plan == "pro"


def test_one_customer_that_fails_does_not_hold_up_the_others(billing: Billing, stripe: Emulator) -> None:
    """H17."""
    subscribe(billing, "user:1")
    subscribe(billing, "user:2")
    broken = billing.customer("user:1")
    assert broken is not None
    stripe.fail_next(f"/v1/customers/{broken.id}", status=500, times=1000)
    worker = billing.worker(threads=2)
    worker.start()
    try:
        deliver_all(billing, stripe)
        eventually(lambda: billing.access("user:2").plan == "pro")
        assert billing.access("user:1").plan == "free"
        eventually(lambda: any(each.last_error for each in billing.queue()), 20)
    finally:
        stripe.clear_faults()
        assert worker.stop()


def test_coroutines_have_the_same_verbs_and_do_not_block_the_loop(billing: Billing, stripe: Emulator) -> None:
    """H115: the loop goes on ticking while Stripe is asked."""
    verbs = AsyncBilling(billing)

    async def ticks(until: asyncio.Event) -> int:
        count = 0
        while not until.is_set():
            await asyncio.sleep(0.001)
            count += 1
        return count

    async def life() -> int:
        done = asyncio.Event()
        ticking = asyncio.create_task(ticks(done))
        checkout = await verbs.checkout(OWNER, "pro", email="a@example.com")
        await asyncio.to_thread(pay, str(checkout.url))
        assert (await verbs.find_checkout(OWNER, str(checkout.session_id))).state == "open"
        assert (await verbs.finish_checkout(OWNER, str(checkout.session_id))).state == "complete"
        await verbs.sync(OWNER)
        assert (await verbs.access(OWNER)).plan == "pro"
        assert (await verbs.require(OWNER, "reports")).can("reports")
        assert (await verbs.require_limit(OWNER, "projects", 49)).limit("projects") == 50
        subscription, customer = await verbs.subscription(OWNER), await verbs.customer(OWNER)
        method, invoices = await verbs.payment_method(OWNER), await verbs.invoices(OWNER)
        assert subscription is not None
        assert subscription.is_active
        assert customer is not None
        assert customer.email == "a@example.com"
        assert method is not None
        assert method.last4 == "4242"
        assert [each.is_paid for each in invoices] == [True]
        assert (await verbs.portal(OWNER)).startswith(stripe.url)
        with pytest.raises(FeatureNotInPlan):
            await verbs.require("user:2", "reports")
        with pytest.raises(CheckoutNotFound):
            await verbs.finish_checkout("user:2", str(checkout.session_id))
        with pytest.raises(CustomerNotFound):
            await verbs.sync("user:2")
        done.set()
        return await ticking

    assert asyncio.run(life()) > 50


def test_a_worker_outlives_a_failure_that_took_longer_than_its_lease(
    make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """H17: somebody else has the target by then, and what is noted about it; this one takes the next."""
    late = timedelta(0)
    billing = make_billing(clock=lambda: datetime.now(UTC) + late)
    billing.push_catalog()
    subscribe(billing)
    stripe.slow_next("/v1/customers/*", 1.5)
    stripe.fail_next("/v1/subscriptions", status=400)
    [event] = stripe.events("customer.subscription.created")
    deliver(billing, event)
    database = Database(billing.settings.database_url.get_secret_value())
    worker = billing.worker(threads=1)
    worker.start()
    try:
        eventually(lambda: any(each.lease_token for each in billing.queue()), every=0.005)
        with database.write() as session:
            taken = inbox.claim(session, now=datetime.now(UTC) + 2 * inbox.LEASE)
        assert taken is not None
        late = 4 * inbox.LEASE
        eventually(lambda: billing.queue() == [])
        assert billing.access(OWNER).plan == "pro"
    finally:
        assert worker.stop()
        database.close()

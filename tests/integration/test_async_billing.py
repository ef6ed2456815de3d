"""Billing as coroutines: who waits in which threads. What the verbs do is tested where they are."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from paidup import AsyncBilling, Billing
from paidup.threads import CALLING, READING, Threads
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.waiting import eventually

OWNER = "user:1"
MANY = 40
"""More than any machine has threads in its event loop: 32."""


def named(prefix: str) -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(prefix)]


def test_access_is_decided_while_many_wait_for_a_slow_stripe(billing: Billing, stripe: Emulator) -> None:
    """H115: it comes before the first of those who were there before; once it came behind all of them."""
    verbs = AsyncBilling(billing)
    stripe.slow_next("/v1/*", seconds=4, times=500)

    async def life() -> list[str]:
        waiting = [asyncio.create_task(verbs.checkout(f"user:{number}", "pro")) for number in range(2, MANY)]
        await asyncio.sleep(0)
        try:
            found = [(await verbs.access(OWNER)).plan, (await verbs.require_limit(OWNER, "projects", 0)).plan]
            assert await verbs.subscription(OWNER) is None
            assert not any(each.done() for each in waiting)
        finally:
            stripe.clear_faults()
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return found

    assert asyncio.run(life()) == ["free", "free"]


@pytest.mark.parametrize(("kind", "threads"), [("read", READING), ("call", CALLING)])
def test_there_are_so_many_threads_of_a_kind_and_no_more(kind: str, threads: int) -> None:
    pools = Threads()
    full = threading.Barrier(threads + 1)
    verb = getattr(pools, kind)

    async def life() -> int:
        first = [asyncio.create_task(verb(full.wait, 30)) for _ in range(threads)]
        later = [asyncio.create_task(verb(threading.get_ident)) for _ in range(MANY)]
        await asyncio.to_thread(full.wait, 30)
        await asyncio.gather(*first)
        return len(set(await asyncio.gather(*later)))

    try:
        assert asyncio.run(life()) <= threads
        assert len(named("paidup-reading") + named("paidup-calling")) == threads
    finally:
        pools.close()


def test_a_verb_sees_the_context_variables_of_its_caller() -> None:
    request = ContextVar("request", default="none")
    pools = Threads()

    async def life(name: str) -> tuple[str, str]:
        request.set(name)
        return await pools.read(request.get), await pools.call(request.get)

    async def two() -> list[tuple[str, str]]:
        return list(await asyncio.gather(life("one"), life("two")))

    try:
        assert asyncio.run(two()) == [("one", "one"), ("two", "two")]
        assert request.get() == "none"
    finally:
        pools.close()


def test_closing_leaves_no_thread(make_billing: MakeBilling) -> None:
    billing = make_billing()
    verbs = AsyncBilling(billing)
    billing.push_catalog()
    asyncio.run(verbs.access(OWNER))
    asyncio.run(verbs.checkout(OWNER, "pro"))
    assert named("paidup-reading")
    assert named("paidup-calling")
    billing.close()
    eventually(lambda: named("paidup-reading") + named("paidup-calling") == [])

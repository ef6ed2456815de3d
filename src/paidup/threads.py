"""
The threads in which `AsyncBilling` waits: some for the database alone, others for what calls Stripe.

Who waits for a slow Stripe never stands before somebody whose access is to be decided, which needs no Stripe. Nor does
either take threads from the app, as the event loop's own would be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from paidup.database.engine import MOST_CONNECTIONS

READING = 8
"""Threads for the database alone: each is done within milliseconds."""
CALLING = MOST_CONNECTIONS - READING
"""Threads for what calls Stripe. More of all of them would wait for a connection to the database, should it be slow."""

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


class Threads:
    """Both kinds of threads. None is started before it is needed."""

    def __init__(self) -> None:
        self._reading = ThreadPoolExecutor(READING, thread_name_prefix="paidup-reading")
        self._calling = ThreadPoolExecutor(CALLING, thread_name_prefix="paidup-calling")

    async def read(self, verb: Callable[_Asked, _Found], *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Found:
        """Run what needs the database alone, with the caller's context variables."""
        return await _run(self._reading, partial(verb, *args, **kwargs))

    async def call(self, verb: Callable[_Asked, _Found], *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Found:
        """Run what may wait for Stripe, with the caller's context variables."""
        return await _run(self._calling, partial(verb, *args, **kwargs))

    def close(self) -> None:
        """Let what is under way finish; what has not begun is canceled."""
        for executor in (self._calling, self._reading):
            executor.shutdown(wait=True, cancel_futures=True)


async def _run(executor: Executor, verb: Callable[[], _Found]) -> _Found:
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(verb))

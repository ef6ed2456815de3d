"""Waiting for something to become true, with a deadline; nothing in the tests sleeps for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(fact: Callable[[], T], timeout: float = 10.0, *, every: float = 0.02) -> T:
    """
    Call `fact` until it gives something true, and return that.

    An AssertionError raised by `fact` means "not yet". After `timeout` seconds the last one, or what `fact` gave
    last, is the failure.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            if value := fact():
                return value
            problem = AssertionError(f"still {value!r} after {timeout} seconds")
        except AssertionError as error:
            problem = error
        if time.monotonic() >= deadline:
            raise problem
        time.sleep(every)

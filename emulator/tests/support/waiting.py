"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(fact: Callable[[], bool], timeout: float = 10.0) -> None:
    """Look until `fact` is true; an AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < deadline, f"still not so after {timeout} seconds"
        time.sleep(0.01)

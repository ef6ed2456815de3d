"""How many calls the app makes to the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from stripe_emulator import Emulator

_MANY = 1_000_000


class Calls:
    """Counts from its making on, by a delay of a thousandth of a second that each call uses up one of."""

    def __init__(self, stripe: Emulator) -> None:
        self._faults = f"{stripe.url}/_emulator/faults"
        stripe.slow_next("*", 0.001, times=_MANY)

    @property
    def count(self) -> int:
        """How many there have been."""
        (fault,) = httpx.get(self._faults, trust_env=False).json()["faults"]
        return _MANY - int(fault["times"])


@contextmanager
def counted(stripe: Emulator) -> Iterator[Calls]:
    """The calls of the block; faults from before are over."""
    stripe.clear_faults()
    yield Calls(stripe)
    stripe.clear_faults()

"""
Ids, tokens and secrets in Stripe's forms: random, or from a seed the same in every run.

Each engine has its source. While one of its transactions is open, `new_id` and `token` draw from it.
"""

from __future__ import annotations

import random
import secrets
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_ALPHABET = string.ascii_letters + string.digits
_LENGTHS = {"cus": 14, "prod": 14, "si": 14, "req": 14, "cs_test": 58, "whsec": 32}


class Ids:
    """
    Where an engine's ids come from.

    With a seed the nth id of a prefix is the same in every run, whatever else was drawn in between. `drawn` says how
    many there have been, `resume` goes on from there.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.drawn: Counter[str] = Counter()

    def new_id(self, prefix: str) -> str:
        """A fresh id: `cus_` and 14 characters, `cs_test_` and 58, most others 24."""
        return f"{prefix}_{self._letters(prefix, _LENGTHS.get(prefix, 24))}"

    def token(self, length: int = 32) -> str:
        """Random letters and digits."""
        return self._letters("", length)

    def request_id(self, method: str) -> str:
        """A request's id. Those that only read have a row of their own: how often a client polls is up to time."""
        return f"req_{self._letters('req' if method != 'GET' else 'req of GET', _LENGTHS['req'])}"

    def lot(self, name: str) -> int:
        """A number drawn for something; with a seed the same one whenever it is drawn."""
        source = random if self.seed is None else random.Random(f"{self.seed} lot {name}")
        return source.getrandbits(32)

    def resume(self, drawn: Mapping[str, int]) -> None:
        """Go on after so many."""
        self.drawn = Counter(drawn)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While the block runs, `new_id` and `token` draw from here."""
        before = _SOURCE.set(self)
        try:
            yield
        finally:
            _SOURCE.reset(before)

    def _letters(self, row: str, length: int) -> str:
        if self.seed is None:
            return "".join(secrets.choice(_ALPHABET) for _ in range(length))
        self.drawn[row] += 1
        return "".join(random.Random(f"{self.seed} {row} {self.drawn[row]}").choices(_ALPHABET, k=length))


def new_id(prefix: str) -> str:
    """A fresh id of the engine that is at work."""
    return _SOURCE.get().new_id(prefix)


def token(length: int = 32) -> str:
    """Random letters and digits of the engine that is at work."""
    return _SOURCE.get().token(length)


_SOURCE: ContextVar[Ids] = ContextVar("ids", default=Ids())  # noqa: B039  draws without a seed keep nothing

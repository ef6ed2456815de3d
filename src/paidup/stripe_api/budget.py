"""
How fast Stripe may be called, shared by everything in the process.

Stripe allows 100 requests a second for an account and 25 for an endpoint, and answers 429 beyond. One such answer
slows all of them down: those to the same endpoint, or to any, as Stripe's reason says. Calls that nobody waits for
(`in_background`) leave some room to those that a user waits for, and hold still during a pause; a user's call goes on
trying for a while.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic, sleep

from paidup.errors import StripeRateLimited

_SHORTEST = 0.5
_LONGEST = 30.0
_MOST_RETRY_AFTER = 60.0
_SPREAD = 0.1
_BACKGROUND_PATIENCE = 2.0
_USERS_PATIENCE = 8.0
_EVERYWHERE = ""

_background: ContextVar[bool] = ContextVar("paidup_background", default=False)


@contextmanager
def in_background() -> Iterator[None]:
    """Calls of this block are nobody's who waits: they yield to others."""
    token = _background.set(True)
    try:
        yield
    finally:
        _background.reset(token)


def is_in_background() -> bool:
    """Does nobody wait for what is done here?"""
    return _background.get()


class Patience:
    """How many seconds one call may still wait for turns and between tries, however many requests it takes."""

    def __init__(self) -> None:
        self.left = _BACKGROUND_PATIENCE if _background.get() else _USERS_PATIENCE

    def wait(self, seconds: float) -> bool:
        """Sleep so long, if there is patience for it."""
        if seconds > self.left:
            return False
        self.left -= seconds
        sleep(seconds)
        return True


_patience: ContextVar[Patience | None] = ContextVar("paidup_patience", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """The requests of this block, repetitions included, share one patience."""
    token = _patience.set(Patience())
    try:
        yield
    finally:
        _patience.reset(token)


def patience() -> Patience:
    """That of the call under way."""
    return _patience.get() or Patience()


@dataclass(slots=True)
class _Pause:
    """A pause of an endpoint, or of everything: until when, and how long the last one was asked to be."""

    until: float = 0.0
    wait: float = 0.0

    def grow(self, now: float) -> float:
        """Twice the last one, which halves for each time its own length that went by without a 429."""
        quiet = (now - self.until) / max(self.wait, _SHORTEST)
        self.wait = min(max(2 * self.wait * 0.5 ** min(quiet, 64), _SHORTEST), _LONGEST)
        return self.wait


class Budget:
    """
    A bounded number of calls at a time, and the pauses Stripe asked for.

    Of `concurrency`, a quarter is for calls that somebody waits for. Safe to use from several threads.
    """

    def __init__(self, concurrency: int = 20, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._all = concurrency
        self._for_background = concurrency - max(1, concurrency // 4)
        self._condition = threading.Condition()
        self._under_way = 0
        self._in_background = 0
        self._pauses: dict[str, _Pause] = {}

    @contextmanager
    def slot(self, endpoint: str) -> Iterator[None]:
        """
        Wait for a turn to call an endpoint, and hold it.

        Raises StripeRateLimited when there is none in time, for background calls also during a long pause.
        """
        background = _background.get()
        with self._condition:
            self._wait_for_a_turn(endpoint, background=background)
            self._under_way += 1
            self._in_background += background
        try:
            yield
        finally:
            with self._condition:
                self._under_way -= 1
                self._in_background -= background
                self._condition.notify_all()

    def _wait_for_a_turn(self, endpoint: str, *, background: bool) -> None:
        own = patience()
        began = self._clock()
        spread = random.uniform(0, _SPREAD)  # not all at once when a pause is over
        while True:
            now = self._clock()
            paused_until = self._paused_until(endpoint) if background else 0.0
            if paused_until and now < paused_until:
                paused_until += spread
            if now >= paused_until and self._has_room(background=background):
                own.left -= now - began
                return
            deadline = began + own.left
            if now >= deadline or paused_until > deadline:
                raise StripeRateLimited(
                    "too many calls to Stripe at once",
                    remedy="it is retried more slowly",
                    retry_after=max(1, round(paused_until - now)),
                )
            self._condition.wait(min(deadline, max(paused_until, now + 0.05)) - now)

    def _has_room(self, *, background: bool) -> bool:
        if self._under_way >= self._all:
            return False
        return not background or self._in_background < self._for_background

    def limited(self, endpoint: str, reason: str | None, *, retry_after: float = 0.0, tries: int = 1) -> float:
        """
        Stripe answered 429 to so many tries, for this reason if it gave one; seconds to wait before the next.

        A pause grows with each 429 after it, and shrinks with the time without one. It is jittered, and never shorter
        than Stripe's own `retry_after`. A reason that is about one object only pauses nobody else.
        """
        at_least = min(retry_after, _MOST_RETRY_AFTER) * random.uniform(1.0, 1.25)
        scope = _scope(endpoint, reason)
        if scope is None:
            own = min(_SHORTEST * 2.0 ** (tries - 1), _LONGEST)
            return max(own * random.uniform(0.5, 1.0), at_least)
        with self._condition:
            now = self._clock()
            pause = self._pauses.setdefault(scope, _Pause(until=now))
            if now >= pause.until:  # answers to calls that were under way already are no news
                pause.until = now + max(pause.grow(now) * random.uniform(0.5, 1.0), at_least)
            return pause.until - now

    def pause(self) -> float:
        """Seconds for which it is no use to begin what nobody waits for; 0 without a pause."""
        with self._condition:
            return max(0.0, max((each.until for each in self._pauses.values()), default=0.0) - self._clock())

    def _paused_until(self, endpoint: str) -> float:
        pauses = (self._pauses.get(scope) for scope in (endpoint, _EVERYWHERE))
        return max((pause.until for pause in pauses if pause), default=0.0)


def _scope(endpoint: str, reason: str | None) -> str | None:
    """What a 429 pauses: an endpoint, everything, or nothing else (None)."""
    match reason:
        case "endpoint-rate" | "endpoint-concurrency":
            return endpoint
        case "resource-specific" | "lock_timeout":
            return None
        case _:
            return _EVERYWHERE

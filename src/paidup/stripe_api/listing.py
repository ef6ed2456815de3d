"""
Everything of one kind there is at Stripe, page by page, newest first, the next pages fetched while one is worked on.

Pages that wait are kept as compressed text, a bounded number of them, so that memory stays flat however large the
account is. Every page is read: a list ends where Stripe says that there is no more.
"""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from paidup import fast_json
from paidup.errors import StripeNotFound, StripeRateLimited
from paidup.stripe_api.budget import in_background
from paidup.stripe_api.gateway import Gateway

AHEAD = 64
"""Pages of a kind that wait at most; 64 of 100 invoices are about 3 MB."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_LOOK_SECONDS = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Up to a hundred objects; `fetched_at` is when the call for them began."""

    bodies: list[dict[str, Any]]
    is_last: bool
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class _Packed:
    """A page that has to wait behind others."""

    text: bytes
    fetched_at: datetime

    def unpacked(self) -> Page:
        parsed = fast_json.loads(zlib.decompress(self.text))
        return Page(parsed["data"], not parsed["has_more"], self.fetched_at)


class Pages:
    """
    The pages of one kind, after an object if one is named, created since a time if one is given.

    A thread reads ahead while the block lasts, and sets `arrived` with each page. Some objects may be given twice, when
    those beside them are deleted meanwhile. Reading raises StripeError where a page could not be fetched; what came
    before was given out.
    """

    def __init__(
        self,
        gateway: Gateway,
        kind: str,
        *,
        after: str | None = None,
        since: datetime | None = None,
        clock: Callable[[], datetime],
        arrived: threading.Event | None = None,
    ) -> None:
        self._gateway = gateway
        self._kind = kind
        self._after = after
        self._since = int(since.timestamp()) if since else None
        self._clock = clock
        self._arrived = arrived or threading.Event()
        self._head: Page | None = None
        self._waiting: queue.Queue[Page | _Packed | None] = queue.Queue(AHEAD)
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"paidup-list-{kind}")
        self._reading: Future[None] | None = None

    def __enter__(self) -> Pages:
        self._reading = self._threads.submit(self._read)
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._threads.shutdown()

    def __iter__(self) -> Iterator[Page]:
        """The pages in order; the last one says so."""
        is_last = False
        while not is_last:
            page = self._parsed(self._waiting.get())
            is_last = page.is_last
            yield page

    def peek(self) -> Page | None:
        """The next page, which stays the next; None while it is on its way."""
        if self._head is None and not self._waiting.empty():
            self._head = self._parsed(self._waiting.get())
        return self._head

    def drop(self) -> None:
        """The next page is done with."""
        self._head = None

    def _parsed(self, found: Page | _Packed | None) -> Page:
        if found is None:
            assert self._reading is not None
            self._reading.result()
            raise RuntimeError(f"the list of every {self._kind} ended before its last page")
        return found if isinstance(found, Page) else found.unpacked()

    def _read(self) -> None:
        before: list[str | None] = [None, self._after]
        has_more = True
        try:
            while has_more and not self._stopping.is_set():
                fetched_at = self._clock()
                try:
                    read = partial(self._gateway.read_page, self._kind, after=before[-1], created_from=self._since)
                    with in_background():
                        page = patiently(read, self._stopping)
                except StripeNotFound:
                    # The object to go on after was deleted meanwhile: go on after the one before it.
                    if before.pop() is None:
                        raise
                    continue
                has_more = page.has_more
                before = [None, *(each["id"] for each in page.bodies)]
                if self._waiting.empty():
                    self._put(Page(page.bodies, not has_more, fetched_at))
                else:
                    self._put(_Packed(zlib.compress(page.json, 1), fetched_at))
        finally:
            self._put(None)

    def _put(self, found: Page | _Packed | None) -> None:
        while not self._stopping.is_set():
            try:
                self._waiting.put(found, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            self._arrived.set()
            return


def patiently(call: Callable[[], T], stopping: threading.Event) -> T:
    """A call that waits, ever longer, and is repeated while Stripe says that there are too many."""
    for pause in _PAUSES:
        try:
            return call()
        except StripeRateLimited as error:
            if stopping.wait(max(pause, error.retry_after)):
                raise
    return call()

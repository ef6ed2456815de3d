"""A signal may interrupt the main thread of a worker process anywhere, also where it is about to wait for one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from paidup.worker import Worker


class Idle(Worker):
    """Has nothing to do. Signals its own process at the n-th thing that the main thread does after the start."""

    def __init__(self, moment: int) -> None:
        self._left = moment
        self._once = iter([signal.SIGTERM])
        self._later = threading.Timer(0.2, self._end)  # for moments after the last one

    def start(self) -> None:
        self._later.start()
        sys.setprofile(self._profile)

    def stop(self, timeout: float | None = None) -> bool:
        sys.setprofile(None)
        self._later.cancel()
        return True

    def _profile(self, frame: Any, event: str, argument: object) -> None:
        self._left -= 1
        if self._left == 0:
            self._end()

    def _end(self) -> None:
        for number in self._once:
            os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    sys.setprofile(None)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("moment", range(1, 16))
def test_a_worker_ends_wherever_the_signal_meets_it(moment: int) -> None:
    """With a lock in its hands, it would wait for itself."""
    worker = Idle(moment)
    assert worker.run_forever()
    worker._later.join()


class Signalled(Worker):
    """Its signal comes to another thread, as the system likes for a process that was just continued."""

    def __init__(self) -> None:
        self._thread = threading.Timer(0.2, self._end)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        return True

    def _end(self) -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        threading.Event().wait(0.1)


@pytest.mark.timeout(10)
def test_a_worker_ends_whichever_thread_the_signal_comes_to() -> None:
    worker = Signalled()
    assert worker.run_forever()
    worker._thread.join()

"""Threads that die: from a chosen statement on, every one they send to the database ends them, as SIGKILL would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Engine, event


class Killed(BaseException):
    """The end of a thread. No `except Exception` survives it."""


class _Life(threading.local):
    left: int | None = None


_life = _Life()


def is_doomed() -> bool:
    """Does this thread die sooner or later?"""
    return _life.left is not None


@contextmanager
def mortality() -> Iterator[None]:
    """Threads of `doomed` die in here."""
    hooks: list[tuple[str, Callable[..., Any]]] = [("before_cursor_execute", _pass_away), ("commit", _pass_away)]
    for name, hook in hooks:
        event.listen(Engine, name, hook)
    try:
        yield
    finally:
        for name, hook in hooks:
            event.remove(Engine, name, hook)


def doomed(work: Callable[[], object], *, statements: int) -> None:
    """Do work in a thread that dies before its so many'th statement or commit, if it does not end earlier."""

    def live() -> None:
        _life.left = statements
        with suppress(Killed):
            work()

    thread = threading.Thread(target=live, name="doomed")
    thread.start()
    thread.join()


def _pass_away(*_: Any) -> None:
    if _life.left is None:
        return
    if _life.left == 0:
        raise Killed
    _life.left -= 1

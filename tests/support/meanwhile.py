"""What somebody else does between two steps of a verb, each of which is a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


def after_the_next_commit(do: Callable[[], object]) -> Any:
    """Do something right after the first commit of a block; by another Billing: the writers of one take turns."""
    return _once("after_commit", do)


def after_the_next_look(do: Callable[[], object]) -> Any:
    """Do something right after the first transaction of a block, though it be one that only reads."""
    return _once("after_transaction_end", do)


@contextmanager
def _once(what: str, do: Callable[[], object]) -> Iterator[None]:
    done: list[object] = []

    def once(*of: object) -> None:
        if not done:
            done.append(of)
            do()

    event.listen(Session, what, once)
    try:
        yield
    finally:
        event.remove(Session, what, once)
    assert done

"""The app's handlers: which get a change, and the names they are known by."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from paidup.core.changes import Change
from paidup.handlers import Handlers


def one(change: Change) -> None: ...


async def later(change: Change) -> None: ...


def inside(change: Change, session: Any) -> None: ...


def names(handlers: Handlers, kind: str = "invoice.paid", **more: Any) -> list[str]:
    return [each.name.removeprefix(f"{__name__}.") for each in handlers.of(kind, in_transaction=False, **more)]


def test_a_change_goes_to_the_handlers_of_its_kind_and_to_those_of_all_in_order() -> None:
    handlers = Handlers()
    handlers.add(one, kind=None, in_transaction=False)
    handlers.add(later, kind="invoice.paid", in_transaction=False)
    handlers.add(inside, kind=None, in_transaction=True)
    assert names(handlers) == ["one", "later"]
    assert names(handlers, "payment.failed") == ["one"]
    assert [each.function for each in handlers.of("invoice.paid", in_transaction=True)] == [inside]


def test_those_that_have_had_it_are_left_out() -> None:
    handlers = Handlers()
    for each in (one, later):
        handlers.add(each, kind=None, in_transaction=False)
    assert names(handlers, handled=[f"{__name__}.one"]) == ["later"]


def test_whatever_can_be_called_has_a_name_of_its_own() -> None:
    handlers, told = Handlers(), list[Change]()
    for each in (one, one, one, told.append, partial(one)):
        handlers.add(each, kind=None, in_transaction=False)
    assert names(handlers) == ["one", "one#2", "one#3", "builtins.list.append", "functools.partial"]


def test_a_name_is_that_of_the_function_whatever_the_process() -> None:
    """H12: what one process noted, another one understands."""
    handlers = Handlers()
    handlers.add(one, kind="invoice.paid", in_transaction=False)
    (handler,) = handlers.of("invoice.paid", in_transaction=False)
    assert handler.name == f"{one.__module__}.one"


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown change 'invoice\.payed'"):
        Handlers().add(one, kind="invoice.payed", in_transaction=False)


def test_a_coroutine_cannot_be_part_of_a_transaction() -> None:
    with pytest.raises(ValueError, match="cannot be async"):
        Handlers().add(later, kind=None, in_transaction=True)

"""The app's handlers of changes: which there are, and what each is known by."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from paidup.core.changes import KINDS, Change


class HandlerGaveUp(Exception):
    """A handler wanted to end more than itself."""


@dataclass(frozen=True, slots=True)
class Handler:
    """
    A function of the app, for one kind of change or (None) for all.

    `name` is the same in every process that registers it, so that a change can tell which handlers have had it.
    """

    name: str
    kind: str | None
    function: Callable[..., Any]
    in_transaction: bool

    def __call__(self, change: Change, *arguments: Any) -> None:
        """Run it to its end; an `async def` one in an event loop of its own."""
        try:
            result = self.function(change, *arguments)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
        except (SystemExit, asyncio.CancelledError) as error:
            # Neither is an Exception: it would end the thread that calls handlers, and then the next one.
            raise HandlerGaveUp(f"{self.name} raised {type(error).__name__}") from error


class Handlers:
    """
    The app's handlers, by kind of change, in the order in which they were registered.

    After so many `attempts` a change that they cannot take is given up.
    """

    def __init__(self, *, attempts: int = 12) -> None:
        self.attempts = attempts
        self._registered: list[Handler] = []

    def add(self, function: Callable[..., Any], *, kind: str | None, in_transaction: bool) -> None:
        """Register a handler; None is every kind. Raises ValueError for a kind that does not exist."""
        if kind is not None and kind not in KINDS:
            raise ValueError(f"unknown change {kind!r}; there are: {', '.join(sorted(KINDS))}")
        if in_transaction and inspect.iscoroutinefunction(function):
            raise ValueError("an in-transaction handler cannot be async: the transaction is synchronous")
        self._registered.append(Handler(self._name(function), kind, function, in_transaction))

    @property
    def has_inside(self) -> bool:
        """Is there any in-transaction handler?"""
        return any(each.in_transaction for each in self._registered)

    def of(self, kind: str, *, in_transaction: bool, handled: Collection[str] = ()) -> list[Handler]:
        """The handlers of a kind of change, those left out that have had it already."""
        return [
            each
            for each in self._registered
            if each.in_transaction is in_transaction and each.kind in (None, kind) and each.name not in handled
        ]

    def _name(self, function: Callable[..., Any]) -> str:
        described = function if hasattr(function, "__qualname__") else type(function)
        module = getattr(described, "__module__", None) or "builtins"
        name = f"{module}.{described.__qualname__}"
        taken = {each.name for each in self._registered}
        number = 2
        while (unique := name if name not in taken else f"{name}#{number}") in taken:
            number += 1
        return unique


async def _awaited(result: Any) -> None:
    await result

"""Endpoints: a method and a path, the SDK's name for its parameters, and the function that answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

Reply = Json | list[Json]
"""What a handler gives: a stored object, or all stored objects of a list, newest first and not yet paged."""

Handler = Callable[["Engine", list[str], Params], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """
    One endpoint. `params` names a TypedDict below `stripe.params`, or is one when the SDK has none. A handler's `Json`
    answer is shown as its kind is shown, unless `shown` says it is so already.
    """

    method: str
    path: str
    handler: Handler
    params: str | type[Any]
    shown: bool = False


class Router:
    """Finds the endpoint of a request; fixed words in a path win over ids."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Route]] = []
        for route in routes:
            if "{" in route.path:
                pattern = re.compile(re.sub(r"\{[^}]+\}", "([^/]+)", route.path) + "$")
                self._patterns.append((route.method, pattern, route))
            else:
                self._exact[route.method, route.path] = route

    def match(self, method: str, path: str) -> tuple[Route, list[str]]:
        """The endpoint and the ids in the path, or Stripe's 404."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, []
        for candidate, pattern, route in self._patterns:
            if candidate == method and (found := pattern.match(path)):
                return route, list(found.groups())
        raise invalid(
            f"Unrecognized request URL ({method}: {path}). stripe_emulator does not have this endpoint; "
            "its README lists those it has.",
            status=404,
        )

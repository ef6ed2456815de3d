"""Lists: newest first, a page at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable

from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

DEFAULT_LIMIT, MAX_LIMIT = 10, 100
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def page(values: list[Json], params: Params) -> tuple[list[Json], bool]:
    """The page asked for of values given newest first, and whether there is more in its direction."""
    limit = limit_of(params)
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    if params.get("created") is not None:
        was_created = range_of(params, "created")
        values = [value for value in values if was_created(value.get("created", value.get("date", 0)))]
    if after:
        position = _position(values, after, "starting_after")
        rest = values[position + 1 :]
        return rest[:limit], len(rest) > limit
    if before:
        rest = values[: _position(values, before, "ending_before")]
        return rest[-limit:], len(rest) > limit
    return values[:limit], len(values) > limit


def limit_of(params: Params) -> int:
    """How many objects a page has, at most."""
    limit = int(params.get("limit", DEFAULT_LIMIT))
    if not 1 <= limit <= MAX_LIMIT:
        word = "greater than or equal to 1" if limit < 1 else f"less than or equal to {MAX_LIMIT}"
        raise invalid(f"This value must be {word}.", param="limit", code="parameter_invalid_integer")
    return limit


def _position(values: list[Json], id: str, param: str) -> int:
    for position, value in enumerate(values):
        if value["id"] == id:
            return position
    raise no_such("object", id, param=param)


def range_of(params: Params, name: str) -> Callable[[int | None], bool]:
    """
    Is a number what was asked for: the number itself, or within `gt`, `gte`, `lt` and `lte`?

    Without the parameter every one is; with it, one that is missing never.
    """
    wanted = params.get(name)
    if wanted is None:
        return lambda number: True
    if not isinstance(wanted, Params):
        return lambda number: number == wanted
    bounds = [(compare, wanted[word]) for word, compare in _COMPARE.items() if word in wanted]
    return lambda number: number is not None and all(compare(number, bound) for compare, bound in bounds)

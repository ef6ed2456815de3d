"""
Does an object match a query?

Tokens match as a whole, strings by words in the same order or by a part of them, numbers by comparing; case never
counts.
See https://docs.stripe.com/search#query-types
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.search.fields import type_of, value_of
from stripe_emulator.search.query import Clause, Query
from stripe_emulator.state import Json

SHORTEST = 3
OPERATORS = {"token": (":",), "string": (":", "~"), "numeric": (":", ">", "<", ">=", "<=")}
_COMPARE: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ":": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

Test = Callable[[Json], bool]


def test_of(kind: str, query: Query) -> Test:
    """The question a query asks of each object of a kind; raises Stripe's 400 for what can't be asked."""
    tests = [_test(kind, clause) for clause in query.clauses]
    if query.any:
        return lambda value: any(test(value) for test in tests)
    return lambda value: all(test(value) for test in tests)


def _test(kind: str, clause: Clause) -> Test:
    type = type_of(kind, clause.field)
    if clause.operator not in OPERATORS[type]:
        raise _unsupported(clause, f"The operator `{clause.operator}` can't be used on a {type} field")
    holds = _holds(clause, type)
    return lambda value: holds(value_of(value, clause.field, clause.key)) != clause.negated


def _holds(clause: Clause, type: str) -> Callable[[Any], bool]:
    wanted = clause.value
    if wanted is None:
        return lambda found: found is None or found == ""
    if type == "numeric":
        number, compare = _number(clause), _COMPARE[clause.operator]
        return lambda found: found is not None and compare(Decimal(found), number)
    folded = wanted.casefold()
    if clause.operator == "~":
        if len(wanted) < SHORTEST:
            raise _unsupported(clause, f"A substring must have at least {SHORTEST} characters")
        return lambda found: found is not None and folded in _text(found)
    if type == "token":
        return lambda found: found is not None and _text(found) == folded
    words = folded.split()
    return lambda found: found is not None and _contains(_text(found).split(), words)


def _text(found: Any) -> str:
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found).casefold()


def _contains(words: list[str], wanted: list[str]) -> bool:
    size = len(wanted)
    return any(words[start : start + size] == wanted for start in range(len(words) - size + 1))


def _number(clause: Clause) -> Decimal:
    try:
        return Decimal(clause.value or "")
    except InvalidOperation as error:
        raise _unsupported(clause, "The value of a numeric field must be a number") from error


def _unsupported(clause: Clause, why: str) -> ApiError:
    return invalid(f"{why}: `{clause.field}{clause.operator}{clause.value}`.", param="query")

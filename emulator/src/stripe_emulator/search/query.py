"""
Stripe's search query language: clauses of a field, an operator and a value, joined by AND or by OR.

See https://docs.stripe.com/search#search-query-language
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stripe_emulator.protocol.errors import ApiError, invalid

UNREADABLE = (
    'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` to query for metadata '
    'or key:"value" to query for other fields.'
)
_CLAUSE = re.compile(
    r"""
    (?P<negated>-?)
    (?P<field>[A-Za-z_][\w.]*)
    (?:\[(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\])?
    (?P<operator>:|~|>=|<=|>|<)
    (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"']+)
    (?=\s|$)
    """,
    re.VERBOSE,
)
_JOINT = re.compile(r"\s+(?:(?P<word>and|or)\s+)?(?=\S)", re.IGNORECASE)
_BARE = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition. `key` is metadata's; `value` None asks for absence."""

    field: str
    key: str | None
    operator: str
    value: str | None
    negated: bool


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses of which all must hold, or any."""

    clauses: list[Clause]
    any: bool


def parse(text: str) -> Query:
    """Read a query, or raise Stripe's 400."""
    text = text.strip()
    clauses: list[Clause] = []
    words: set[str] = set()
    position = 0
    while True:
        found = _CLAUSE.match(text, position)
        if found is None:
            raise unreadable()
        clauses.append(_clause(found))
        position = found.end()
        if position == len(text):
            break
        joint = _JOINT.match(text, position)
        if joint is None:
            raise unreadable()
        words.add((joint["word"] or "and").lower())
        position = joint.end()
    if len(words) > 1:
        raise unreadable("AND and OR can't be combined in one query.")
    return Query(clauses, words == {"or"})


def unreadable(why: str = "") -> ApiError:
    """Stripe's answer to a query that is none."""
    return invalid(f"{UNREADABLE} {why}".strip(), param="query")


def _clause(found: re.Match[str]) -> Clause:
    value, operator = found["value"], found["operator"]
    quoted = value[0] in "\"'"
    if not quoted and value.lower() == "null":
        if operator != ":":
            raise unreadable("null goes with `:`.")
        return Clause(found["field"], _key(found), operator, None, bool(found["negated"]))
    if not quoted and not _BARE.fullmatch(value):
        raise unreadable()
    text = _unquoted(value) if quoted else value
    return Clause(found["field"], _key(found), operator, text, bool(found["negated"]))


def _key(found: re.Match[str]) -> str | None:
    if (found["field"] == "metadata") != (found["key"] is not None):
        raise unreadable()
    return None if found["key"] is None else _unquoted(found["key"])


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])

"""Stripe's bracketed form encoding: `items[0][price]=p`, `expand[]=a`, `metadata[k]=v`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from stripe_emulator.protocol.errors import invalid

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


def decode(encoded: str) -> dict[str, Any]:
    """
    Decode a query string or form body into nested dictionaries.

    Arrays stay dictionaries keyed by position; only their declared type tells an array from a map with numeric
    keys. A repeated `name[]` is appended.
    """
    decoded: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        _put(decoded, _keys(name), value, name)
    return decoded


def _keys(name: str) -> list[str]:
    match = _NAME.match(name)
    if match is None:
        raise invalid(f"Invalid parameter name: {name}", param=name)
    return [match[1], *_BRACKET.findall(match[2])]


def _put(target: dict[str, Any], keys: list[str], value: str, name: str) -> None:
    for position, key in enumerate(keys):
        if key == "":
            key = _next_position(target, keys[position + 1 :])
        if position == len(keys) - 1:
            target[key] = value
            return
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            raise invalid(f"Invalid parameter: {name} is given both as a value and as an object", param=name)
        target = inner


def _next_position(target: dict[str, Any], rest: list[str]) -> str:
    """`items[][price]=a&items[][quantity]=2` fills one element until a key repeats, as Rack and Stripe read it."""
    if not target:
        return "0"
    last = str(len(target) - 1)
    current = target.get(last)
    if rest and isinstance(current, dict) and rest[0] not in current:
        return last
    return str(len(target))

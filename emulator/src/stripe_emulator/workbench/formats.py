"""How moments, JSON and objects are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from stripe_emulator.pages.formats import money
from stripe_emulator.state import Json

Peek = Callable[[str], Json | None]

_NAMES = ("email", "name", "nickname", "lookup_key", "number", "url")
_AMOUNTS = ("amount_due", "amount", "unit_amount")
_TONES = {
    "good": {"active", "paid", "succeeded", "complete", "delivered", "enabled", "trialing", "ready"},
    "bad": {"past_due", "unpaid", "canceled", "failed", "uncollectible", "incomplete_expired", "dropped"},
    "warn": {"open", "incomplete", "pending", "paused", "processing", "requires_action", "advancing"},
}


def moment(seconds: float | None) -> str:
    """Unix seconds as a UTC date and time."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def minute(seconds: float) -> str:
    """Unix seconds as a UTC date and time, without the seconds."""
    return moment(seconds)[:-3]


def clock_time(seconds: float) -> str:
    """Unix seconds as a UTC time of day."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")


def milliseconds(seconds: float) -> str:
    """A duration."""
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def tone(status: object) -> str:
    """The badge a status is shown in."""
    return next((f"badge-{name}" for name, words in _TONES.items() if status in words), "badge-quiet")


def about(value: Json) -> str:
    """An object in a few words: whose it is, how it stands, how much."""
    words = [
        str(value[name]) for name in ("email", "name", "nickname", "lookup_key", "number", "url") if value.get(name)
    ]
    amount = next(
        (value[name] for name in ("amount_due", "amount", "unit_amount") if value.get(name) is not None), None
    )
    if isinstance(amount, int) and isinstance(value.get("currency"), str):
        words.append(money(amount, value["currency"]))
    if isinstance(value.get("customer"), str):
        words.append(value["customer"])
    return " · ".join(words[:3])


def linked(value: Any, peek: Peek) -> Markup:
    """JSON, indented; ids of objects there are lead to them."""
    return Markup("").join(_lines(value, peek, 0))


def _ordered(value: Json) -> Json:
    """An object's id and kind first."""
    return {name: value[name] for name in ("id", "object") if name in value} | value


def _lines(value: Any, peek: Peek, depth: int) -> list[Markup]:
    indent, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, dict) and value:
        parts = [Markup("{\n")]
        for position, (name, each) in enumerate(_ordered(value).items()):
            parts += [Markup('{}<span class="key">{}</span>: ').format(inner, json.dumps(name, ensure_ascii=False))]
            parts += _lines(each, peek, depth + 1)
            parts.append(Markup(",\n" if position < len(value) - 1 else "\n"))
        return [*parts, Markup("{}}}").format(indent)]
    if isinstance(value, list) and value:
        parts = [Markup("[\n")]
        for position, each in enumerate(value):
            parts += [escape(inner), *_lines(each, peek, depth + 1)]
            parts.append(Markup(",\n" if position < len(value) - 1 else "\n"))
        return [*parts, Markup("{}]").format(indent)]
    text = json.dumps(value, ensure_ascii=False)
    found = peek(value) if isinstance(value, str) else None
    if found is not None and not found["object"].startswith("_"):
        where = "events" if found["object"] == "event" else "objects"
        return [Markup('<a href="/workbench/{}/{}">{}</a>').format(where, value, text)]
    return [escape(text)]

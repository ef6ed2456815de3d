"""What a request to the control API carries, read by name and held to a type."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from stripe_emulator.protocol.errors import invalid

HIGHEST = 1_000_000_000
_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")


class Sent:
    """
    The parameters of one request. An empty one counts as not sent, as an empty field of a form does.

    Each getter raises the 400 that names the parameter; `refuse_unread` does so for names that nobody asked for.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value not in ("", None)}
        self._read = {"return_to"}

    @classmethod
    def parse(cls, body: bytes, query: dict[str, str]) -> Sent:
        """Read a form or a JSON object, and the query string."""
        try:
            text = body.decode()
            values = json.loads(text) if text.lstrip()[:1] in ("{", "[") else dict(parse_qsl(text))
        except ValueError as error:
            raise invalid(f"The body is neither a form nor JSON: {error}") from error
        if not isinstance(values, dict):
            raise invalid("The body is JSON, but no object.")
        return cls({**query, **values})

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """A string, if it was sent."""
        value = self._take(name)
        if value is not None and not isinstance(value, (str, int)):
            raise invalid(f"{name} must be a string.", param=name)
        return None if value is None else str(value)

    def needed(self, name: str) -> str:
        """A string that must be sent."""
        found = self.text(name)
        if found is None:
            raise invalid(f"{name} is missing.", param=name)
        return found

    def whole(self, name: str, default: int, *, least: int = 1, most: int = HIGHEST) -> int:
        """A whole number between two others."""
        found = self._whole(name)
        if found is None:
            return default
        if not least <= found <= most:
            raise invalid(f"{name} must be a whole number from {least} to {most}.", param=name)
        return found

    def number(self, name: str, *, least: float = 0, most: float = HIGHEST) -> float | None:
        """A number between two others, if it was sent."""
        value = self._take(name)
        if value is None:
            return None
        try:
            found = math.nan if isinstance(value, (bool, dict, list)) else float(value)
        except ValueError:
            found = math.nan
        if not least <= found <= most:
            raise invalid(f"{name} must be a number from {least:g} to {most:g}.", param=name)
        return found

    def flag(self, name: str) -> bool | None:
        """Yes or no, if it was sent."""
        value = self._take(name)
        if value is None:
            return None
        word = str(value).lower()
        if word not in (*_TRUE, *_FALSE):
            raise invalid(f"{name} must be true or false.", param=name)
        return word in _TRUE

    def choice(self, name: str, among: Collection[str], default: str | None = None) -> str | None:
        """One of some words."""
        found = self.text(name)
        if found is None:
            return default
        if found not in among:
            raise invalid(f"{name} is one of {', '.join(among)}.", param=name)
        return found

    def words(self, name: str) -> list[str] | None:
        """Several strings: a JSON array, or separated by commas."""
        value = self._take(name)
        if value is None:
            return None
        found = value.split(",") if isinstance(value, str) else value
        if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
            raise invalid(f"{name} must be strings, as an array or separated by commas.", param=name)
        return found

    def structure(self, name: str) -> Any:
        """Whatever JSON was sent, if it was."""
        return self._take(name)

    def refuse_unread(self) -> None:
        """Raise for a parameter that means nothing here."""
        for name in self._values:
            if name not in self._read:
                known = ", ".join(sorted(self._read - {"return_to"})) or "none"
                raise invalid(f"{name} means nothing here; there is {known}.", param=name)

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._values.get(name)

    def _whole(self, name: str) -> int | None:
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise invalid(f"{name} must be a whole number.", param=name)
        try:
            found = int(value)
        except (ValueError, OverflowError) as error:
            raise invalid(f"{name} must be a whole number.", param=name) from error
        if isinstance(value, float) and found != value:
            raise invalid(f"{name} must be a whole number.", param=name)
        return found

"""
A request's parameters, typed, with a record of which were read.

An endpoint of the emulator that never looks at a parameter it was given would be lying by silence; the record lets
the server refuse such a request loudly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Params:
    """A validated parameter object. Nested objects are Params, arrays are lists, maps are plain dictionaries."""

    def __init__(self, values: dict[str, Any] | None = None, path: str = "") -> None:
        self._values = values or {}
        self._path = path
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` when it was not sent."""
        self._read.add(name)
        return self._values.get(name, default)

    def at(self, name: str) -> Params:
        """A nested object, empty when it was not sent (or was unset with an empty string)."""
        value = self.get(name)
        return value if isinstance(value, Params) else Params(path=self.name_of(name))

    def list_of(self, name: str) -> list[Params]:
        """An array of objects, empty when it was not sent."""
        return [element for element in self.get(name) or [] if isinstance(element, Params)]

    def ignore(self, *names: str) -> None:
        """Accept parameters that change nothing here."""
        self._read.update(names)
        for name in names:
            _mark(self._values.get(name))

    def plain(self, name: str, default: Any = None) -> Any:
        """The value as plain JSON, all of it taken as read. An empty string (unset) becomes None."""
        if name not in self._values:
            return default
        self._read.add(name)
        value = self._values[name]
        _mark(value)
        return None if value == "" else _plain(value)

    def as_names(self) -> list[str]:
        """What was sent, by name."""
        return list(self._values)

    def as_dict(self) -> dict[str, Any]:
        """Everything sent, as plain JSON, taken as read."""
        return {name: self.plain(name) for name in self._values}

    def name_of(self, name: str) -> str:
        """How Stripe writes the parameter's place: `subscription_data[metadata]`."""
        return f"{self._path}[{name}]" if self._path else name

    def unread(self) -> Iterator[str]:
        """Where the parameters are that nobody looked at."""
        for name, value in self._values.items():
            if name not in self._read:
                yield self.name_of(name)
            elif isinstance(value, Params):
                yield from value.unread()
            elif isinstance(value, list):
                for element in value:
                    if isinstance(element, Params):
                        yield from element.unread()


def _plain(value: Any) -> Any:
    if isinstance(value, Params):
        return value.as_dict()
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value


def _mark(value: Any) -> None:
    if isinstance(value, Params):
        value.as_dict()
    elif isinstance(value, list):
        for element in value:
            _mark(element)

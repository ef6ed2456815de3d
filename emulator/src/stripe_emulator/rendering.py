"""How stored objects become what Stripe sends: the emulator's own keys dropped, computed fields filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

Renderer = Callable[["Engine", Json], Json]
Filler = Callable[["Engine", Json], Json | list[Json] | None]

_RENDERERS: dict[str, Renderer] = {}
_INCLUDABLES: dict[tuple[str, str], Filler] = {}


def renders(kind: str) -> Callable[[Renderer], Renderer]:
    """Register how a kind of object is shown."""

    def register(renderer: Renderer) -> Renderer:
        _RENDERERS[kind] = renderer
        return renderer

    return register


def includes(kind: str, field: str) -> Callable[[Filler], Filler]:
    """Register a field that is absent until it is expanded."""

    def register(filler: Filler) -> Filler:
        _INCLUDABLES[kind, field] = filler
        return filler

    return register


def includable(kind: str, field: str) -> Filler | None:
    """What fills a field that is absent until it is expanded."""
    return _INCLUDABLES.get((kind, field))


def show(engine: Engine, value: Json) -> Json:
    """The object as Stripe sends it, its own copy, nothing expanded."""
    renderer = _RENDERERS.get(value["object"])
    return renderer(engine, value) if renderer else public(value)


def public(value: Json) -> Json:
    """A deep copy without the emulator's own keys."""
    return {
        key: _copy(inner) if isinstance(inner, (dict, list)) else inner
        for key, inner in value.items()
        if key[:1] != "_"
    }


def as_list(values: list[Json], url: str, *, has_more: bool = False) -> Json:
    """A list object."""
    return {"object": "list", "data": values, "has_more": has_more, "url": url}


def _copy(value: object) -> object:
    if isinstance(value, dict):
        return public(value)
    if isinstance(value, list):
        return [_copy(element) for element in value]
    return value

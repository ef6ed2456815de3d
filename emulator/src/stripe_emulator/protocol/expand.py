"""Expansion: ids in an answer replaced by the objects they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.rendering import includable, show
from stripe_emulator.state import Json
from stripe_emulator.validation.annotations import (
    Hint,
    fields_of,
    is_structure,
    list_element,
    options_of,
    page_element,
    resource_class,
)

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MAX_DEPTH = 4


def expand(engine: Engine, answer: Json, paths: list[str]) -> None:
    """
    Replace ids by objects along each path (`data.latest_invoice.payments`), in place.

    A path that leads to nothing expandable is a 400, also when the value is null at the moment.
    """
    for path in paths:
        steps = path.split(".")
        if len([step for step in steps if step != "data"]) > MAX_DEPTH:
            raise invalid(f"You cannot expand more than {MAX_DEPTH} levels of a property ({path}).", param="expand")
        _walk(engine, answer, steps, path)


def _walk(engine: Engine, value: Any, steps: list[str], path: str) -> None:
    if not steps or value is None:
        return
    if isinstance(value, list):
        for element in value:
            _walk(engine, element, steps, path)
        return
    step, rest = steps[0], steps[1:]
    if value.get("object") in ("list", "search_result"):
        if step == "total_count" and step in value:
            return
        if step != "data":
            raise _refusal(path, f"You may want to try expanding 'data.{path}' instead.")
        _walk(engine, value["data"], rest, path)
        return
    kind = value.get("object")
    if kind is not None:
        _check(kind, step, rest, path)
    filler = includable(kind, step) if kind else None
    if filler is not None and value.get(step) is None:
        stored = engine.store.get(value["id"], kind)
        value[step] = filler(engine, stored) if stored is not None else None
    elif isinstance(value.get(step), str):
        found = engine.store.get(value[step])
        if found is None:
            raise _refusal(path, "")
        value[step] = show(engine, found)
    elif isinstance(value.get(step), list):
        value[step] = [_resolved(engine, element) for element in value[step]]
    _walk(engine, value.get(step), rest, path)


def _resolved(engine: Engine, element: Any) -> Any:
    found = engine.store.get(element) if isinstance(element, str) else None
    return show(engine, found) if found is not None else element


def _check(kind: str, step: str, rest: list[str], path: str) -> None:
    cls = resource_class(kind)
    if cls is None or includable(kind, step) is not None:
        return
    hint = fields_of(cls).get(step)
    if hint is None or not _leads_on(hint, cls.__module__, last=not rest):
        raise _refusal(path, "")


def _leads_on(hint: Hint, module: str, *, last: bool) -> bool:
    options = options_of(hint, module)
    if not last:
        return any(_holds_objects(option) for option in options)
    for option in options:
        element = list_element(option)
        if element is not None and _leads_on(element, module, last=True):
            return True
        if page_element(option) is not None:
            return True
    return str in options and any(is_structure(option) for option in options)


def _holds_objects(option: Hint) -> bool:
    return is_structure(option) or page_element(option) is not None or list_element(option) is not None


def _refusal(path: str, hint: str) -> ApiError:
    return invalid(f"This property cannot be expanded ({path}). {hint}".strip(), param="expand")

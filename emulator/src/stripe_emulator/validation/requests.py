"""
Requests against the SDK's request TypedDicts.

The walk follows the TypedDict and the decoded form side by side: it coerces form strings to the declared types and
fails with the code and `param` Stripe uses. Enumerations are open in the SDK's types (`Literal[...] | str`, so that
an old SDK can send a new value) but closed at Stripe's door, and so here.
"""

from __future__ import annotations

import importlib
import re
import typing
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import typing_extensions
from stripe._request_options import RequestOptions

from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.validation.annotations import (
    Hint,
    is_literal,
    is_structure,
    list_element,
    map_value,
    options_of,
    resolve,
)
from stripe_emulator.validation.params import Params

METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500
_INTEGER = re.compile(r"-?\d+$")


@cache
def typed_dict(name: str) -> Any:
    """The SDK's TypedDict by its name below `stripe.params`, as in `checkout.SessionCreateParams`."""
    package, _, class_name = ("stripe.params." + name).rpartition(".")
    return getattr(importlib.import_module(package), class_name)


def parse(params: str | type[Any], sent: dict[str, Any]) -> Params:
    """Validate and coerce what was sent for a TypedDict or the name of one; raises ApiError as Stripe answers."""
    return _object(typed_dict(params) if isinstance(params, str) else params, sent, "")


@cache
def _hints(cls: Any) -> dict[str, Hint]:
    """The fields of a request. The SDK's own options (API key, idempotency key, ...) share the class, not the wire."""
    own = {key: hint for key, hint in cls.__annotations__.items() if key not in RequestOptions.__annotations__}
    return {key: _without_qualifier(hint, cls.__module__) for key, hint in own.items()}


def _without_qualifier(hint: Hint, module: str) -> Hint:
    hint = resolve(hint, module)
    qualifiers: tuple[Any, ...] = (typing_extensions.NotRequired, typing_extensions.Required)
    if typing_extensions.get_origin(hint) in qualifiers:
        return typing.get_args(hint)[0]
    return hint


def _object(cls: Any, sent: Any, path: str) -> Params:
    if not isinstance(sent, dict):
        raise invalid("Invalid object", param=path)
    hints = _hints(cls)
    unknown = [_at(path, key) for key in sent if key not in hints]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise invalid(
            f"Received unknown parameter{plural}: {', '.join(unknown)}", param=unknown[0], code="parameter_unknown"
        )
    for key in sorted(cls.__required_keys__):
        if key not in sent:
            param = _at(path, key)
            raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    values = {key: _value(hints[key], value, _at(path, key), cls.__module__) for key, value in sent.items()}
    return Params(values, path)


def _at(path: str, key: str) -> str:
    return f"{path}[{key}]" if path else key


def _value(hint: Hint, sent: Any, path: str, module: str) -> Any:
    options = options_of(hint, module)
    if isinstance(sent, dict):
        return _nested(options, sent, path, module)
    return _leaf(options, sent, path)


def _nested(options: list[Hint], sent: dict[str, Any], path: str, module: str) -> Any:
    failure: ApiError | None = None
    for option in options:
        element = list_element(option)
        try:
            if element is not None:
                return [_value(element, sent[key], _at(path, key), module) for key in _positions(sent, path)]
            if typing_extensions.is_typeddict(option):
                return _object(option, sent, path)
        except ApiError as error:
            failure = error
            continue
        held = map_value(option)
        if held is not None and not is_structure(option):
            described = [inner for inner in options_of(held, module) if typing_extensions.is_typeddict(inner)]
            if described:
                return Params({key: _object(described[0], inner, _at(path, key)) for key, inner in sent.items()}, path)
            return _map(sent, path)
    raise failure or invalid(f"Invalid {_expected(options)}", param=path)


def _positions(sent: dict[str, Any], path: str) -> list[str]:
    if not all(key.isdigit() for key in sent):
        raise invalid("Invalid array", param=path)
    return sorted(sent, key=int)


def _map(sent: dict[str, Any], path: str) -> dict[str, str]:
    if len(sent) > METADATA_KEYS:
        raise invalid(f"You can have at most {METADATA_KEYS} keys in {path}", param=path)
    for key, value in sent.items():
        if not isinstance(value, str):
            raise invalid(f"Invalid {path}: values must be strings", param=_at(path, key))
        if len(key) > METADATA_KEY_LENGTH:
            raise invalid(f"Metadata keys can be up to {METADATA_KEY_LENGTH} characters: '{key}'", param=path)
        if len(value) > METADATA_VALUE_LENGTH:
            raise invalid(
                f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters, "
                f"but you passed in a value that is {len(value)} characters.",
                param=_at(path, key),
            )
    return dict(sent)


def _leaf(options: list[Hint], sent: str, path: str) -> Any:
    literals = [value for option in options if is_literal(option) for value in typing.get_args(option)]
    if sent in literals:
        return sent
    if sent == "":
        raise invalid(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            param=path,
            code="parameter_invalid_empty",
        )
    for kind, convert in _CONVERSIONS:
        if kind in options:
            converted = convert(sent)
            if converted is not None:
                return converted
    choices = [value for value in literals if value != ""]
    if str in options and not choices:
        return sent
    raise _mismatch(options, choices, sent, path)


def _mismatch(options: list[Hint], choices: list[Any], sent: str, path: str) -> ApiError:
    if int in options:
        return invalid(f"Invalid integer: {sent}", param=path, code="parameter_invalid_integer")
    if choices:
        named = [str(choice) for choice in choices]
        listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])}, or {named[-1]}"
        return invalid(f"Invalid {path}: must be one of {listed}", param=path)
    if bool in options:
        return invalid(f"Invalid boolean: {sent}", param=path)
    return invalid(f"Invalid {_expected(options)}", param=path)


def _expected(options: list[Hint]) -> str:
    if any(list_element(option) is not None for option in options):
        return "array"
    if any(typing_extensions.is_typeddict(option) or map_value(option) is not None for option in options):
        return "object"
    if float in options or Decimal in options:
        return "decimal"
    return "string"


def _integer(sent: str) -> int | None:
    return int(sent) if _INTEGER.match(sent) else None


def _boolean(sent: str) -> bool | None:
    return {"true": True, "false": False, "1": True, "0": False}.get(sent.lower())


def _decimal(sent: str) -> str | None:
    try:
        Decimal(sent)
    except InvalidOperation:
        return None
    return sent


def _float(sent: str) -> float | None:
    try:
        return float(sent)
    except ValueError:
        return None


_CONVERSIONS: tuple[tuple[Any, Any], ...] = (
    (int, _integer),
    (bool, _boolean),
    (Decimal, _decimal),
    (float, _float),
)

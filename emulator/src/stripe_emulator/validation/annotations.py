"""
The SDK's annotations, resolved.

Resource classes name each other in strings under `TYPE_CHECKING` imports; those imports are read from the module's
source, so that `"CardResource"` or `"TestClock"` resolve to what the SDK's author meant.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, ForwardRef, Literal, Union

import typing_extensions
from stripe._list_object import ListObject
from stripe._object_classes import get_object_class
from stripe._stripe_object import StripeObject, UntypedStripeObject

Hint = Any
ResourceClass = Any
"""One of the SDK's object classes; typed as Any because mypy takes no class object for hashable."""
NoneType = type(None)


def resource_class(object_name: str) -> ResourceClass | None:
    """The SDK's class for an object's `object` field, or None when the SDK has none."""
    found: ResourceClass = get_object_class("V1", object_name)
    return None if found is StripeObject else found


@cache
def fields_of(cls: ResourceClass) -> Mapping[str, Hint]:
    """The declared fields of a resource class or one of its nested classes, each with a resolved hint."""
    own = inspect.get_annotations(cls)
    module = cls.__module__
    return {name: resolve(hint, module) for name, hint in own.items() if _is_field(name, hint)}


def resolve(hint: Hint, module: str) -> Hint:
    """A hint with its outermost names looked up; what is inside is resolved when it is reached."""
    while isinstance(hint, (str, ForwardRef)):
        source = hint if isinstance(hint, str) else hint.__forward_arg__
        hint = eval(source, dict(_namespace(module)))
    return hint


def options_of(hint: Hint, module: str) -> list[Hint]:
    """The alternatives of a union, flattened and resolved; a hint that is none is its own only alternative."""
    hint = resolve(hint, module)
    if _origin(hint) in (Union, types.UnionType):
        return [option for argument in typing.get_args(hint) for option in options_of(argument, module)]
    return [hint]


def is_literal(hint: Hint) -> bool:
    """Is it `Literal[...]`?"""
    return _origin(hint) is Literal


def is_optional(hint: Hint, module: str) -> bool:
    """May the field be null?"""
    return NoneType in options_of(hint, module)


def is_structure(hint: Hint) -> bool:
    """Is it one of the SDK's object classes (not a list, not free-form)?"""
    return inspect.isclass(hint) and issubclass(hint, StripeObject) and hint is not UntypedStripeObject


def list_element(hint: Hint) -> Hint | None:
    """The element's hint of `List[...]`, else None."""
    return typing.get_args(hint)[0] if _origin(hint) in (list, typing.List) else None  # noqa: UP006


def page_element(hint: Hint) -> Hint | None:
    """The element's hint of a `ListObject[...]`, else None."""
    return typing.get_args(hint)[0] if _origin(hint) is ListObject else None


def map_value(hint: Hint) -> Hint | None:
    """The value's hint of a free-form map (`Dict[str, ...]`, `UntypedStripeObject[...]`), else None."""
    origin = _origin(hint)
    if origin in (dict, typing.Dict):  # noqa: UP006
        return typing.get_args(hint)[1]
    if origin is UntypedStripeObject:
        return typing.get_args(hint)[0]
    return Any if hint is UntypedStripeObject else None


def _origin(hint: Hint) -> Any:
    return typing_extensions.get_origin(hint)


def _is_field(name: str, hint: Hint) -> bool:
    return not name.startswith("_") and name != "OBJECT_NAME" and _origin(hint) is not typing.ClassVar


@cache
def _namespace(module: str) -> Mapping[str, Any]:
    loaded = sys.modules[module]
    names = dict(vars(loaded))
    for node in ast.walk(ast.parse(inspect.getsource(loaded))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            names.update(_imported(node))
    return names


def _imported(block: ast.If) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in block.body:
        if not isinstance(statement, ast.ImportFrom) or statement.module is None or ".params" in statement.module:
            continue
        source = importlib.import_module(statement.module)
        for alias in statement.names:
            found[alias.asname or alias.name] = getattr(source, alias.name)
    return found

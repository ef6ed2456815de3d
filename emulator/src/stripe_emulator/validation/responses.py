"""
Responses against the SDK's resource classes.

Every object the emulator emits, in an answer or inside an event, must have the fields the SDK declares: none missing,
none of another type, none the SDK has not heard of (a removed field that creeps back in is found here). Open
enumerations stay open.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, get_args

from stripe_emulator.validation.annotations import (
    Hint,
    ResourceClass,
    fields_of,
    is_literal,
    is_optional,
    is_structure,
    list_element,
    map_value,
    options_of,
    page_element,
    resource_class,
)

Problems = list[str]
_Check = Callable[[Any, str, Problems], None]

ABSENT_UNLESS_ASKED: dict[str, frozenset[str]] = {
    "account": frozenset({"company", "deleted", "groups", "individual", "controller", "future_requirements"}),
    "charge": frozenset(
        {"authorization_code", "level3", "presentment_details", "radar_options", "refunds", "source", "transfer"}
    ),
    "checkout.session": frozenset(
        {
            "after_expiration",
            "allowed_payment_method_types",
            "branding_settings",
            "consent",
            "consent_collection",
            "currency_conversion",
            "excluded_payment_method_types",
            "line_items",
            "managed_payments",
            "name_collection",
            "optional_items",
            "payment_method_options",
            "presentment_details",
            "redirect_on_completion",
            "return_url",
            "shipping_address_collection",
            "shipping_cost",
            "tax_id_collection",
        }
    ),
    "coupon": frozenset({"applies_to", "currency_options", "deleted"}),
    "customer": frozenset(
        {
            "business_name",
            "cash_balance",
            "customer_account",
            "deleted",
            "individual_name",
            "invoice_credit_balance",
            "sources",
            "subscriptions",
            "tax",
            "tax_ids",
        }
    ),
    "event": frozenset({"account", "context"}),
    "invoice": frozenset(
        {
            "amount_paid_off_stripe",
            "confirmation_secret",
            "deleted",
            "payments",
            "rendering",
            "status_details",
            "threshold_reason",
        }
    ),
    "invoiceitem": frozenset({"deleted", "frozen_fields", "invoicing_rules", "proration_details"}),
    "line_item": frozenset(),
    "item": frozenset({"adjustable_quantity", "discounts", "metadata", "taxes"}),
    "payment_intent": frozenset(
        {
            "allowed_payment_method_types",
            "amount_details",
            "hooks",
            "managed_payments",
            "payment_details",
            "payment_record",
            "presentment_details",
        }
    ),
    "plan": frozenset({"deleted", "tiers"}),
    "price": frozenset({"currency_options", "deleted", "tiers"}),
    "product": frozenset({"deleted"}),
    "refund": frozenset(
        {
            "description",
            "failure_balance_transaction",
            "failure_reason",
            "instructions_email",
            "next_action",
            "pending_reason",
            "presentment_details",
        }
    ),
    "setup_intent": frozenset({"allowed_payment_method_types", "attach_to_self", "managed_payments"}),
    "subscription": frozenset({"managed_payments", "presentment_details"}),
    "subscription_item": frozenset({"billed_until", "current_trial", "deleted", "quantity"}),
    "webhook_endpoint": frozenset({"deleted", "secret"}),
    "test_helpers.test_clock": frozenset({"deleted"}),
}
"""Optional fields that Stripe leaves out altogether, or sends only when expanded or when they apply."""

PRESENT_ANYWAY: dict[str, frozenset[str]] = {
    "payment_method": frozenset({"allow_redisplay", "customer", "customer_account", "metadata"}),
}
"""For objects with a field per variant: the optional fields that are always sent."""


class ShapeError(AssertionError):
    """The emulator was about to send an object the SDK would not recognise; a defect of the emulator."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def problems_of(value: dict[str, Any]) -> Problems:
    """Everything wrong with an object (or list) about to be emitted, each with its place."""
    problems: Problems = []
    if value.get("object") in ("list", "search_result"):
        for position, element in enumerate(value.get("data", [])):
            _resource(element, f"data[{position}]", problems)
        for key in ("data", "has_more", "url"):
            if key not in value:
                problems.append(f"list: {key} is missing")
    else:
        _resource(value, "", problems)
    return problems


def assert_shape(value: dict[str, Any]) -> None:
    """Raise ShapeError unless the object is what the SDK declares."""
    problems = problems_of(value)
    if problems:
        raise ShapeError(problems)


@cache
def nulls(object_name: str) -> dict[str, None]:
    """Every optional field Stripe always sends for an object, as null: the base to build one on. Not to be mutated."""
    cls = resource_class(object_name)
    assert cls is not None, object_name
    hints = fields_of(cls)
    return {name: None for name in hints if _is_sent(object_name, name, hints[name], cls.__module__)}


def _is_sent(object_name: str, name: str, hint: Hint, module: str) -> bool:
    if not is_optional(hint, module):
        return False
    if object_name in PRESENT_ANYWAY:
        return name in PRESENT_ANYWAY[object_name]
    return name not in ABSENT_UNLESS_ASKED.get(object_name, frozenset()) and name != "deleted"


def _resource(value: Any, path: str, problems: Problems) -> None:
    name = value.get("object") if isinstance(value, dict) else None
    cls = resource_class(name) if isinstance(name, str) else None
    if cls is None:
        problems.append(f"{path or 'answer'}: {name!r} is no object of the SDK")
        return
    _structure(cls)(value, path or str(name), problems)


@cache
def _structure(cls: ResourceClass) -> _Check:
    hints = fields_of(cls)
    module = cls.__module__
    checks = {name: _check(hint, module) for name, hint in hints.items()}
    plain = {name: _plain(options_of(hint, module)) for name, hint in hints.items()}
    words = {name: _words(options_of(hint, module)) for name, hint in hints.items()}
    object_name: str = getattr(cls, "OBJECT_NAME", "") if "object" in hints else ""
    required = {name for name in hints if not is_optional(hints[name], module)}
    if object_name:
        required |= {name for name in hints if _is_sent(object_name, name, hints[name], module)}

    def check(value: Any, path: str, problems: Problems) -> None:
        if not isinstance(value, dict):
            problems.append(f"{path}: expected an object, got {value!r}")
            return
        if not required <= value.keys() and value.get("deleted") is not True:
            problems.extend(f"{path}.{name} is missing" for name in sorted(required - value.keys()))
        for name, element in value.items():
            if name not in checks:
                problems.append(f"{path}.{name} is unknown to the SDK")
            elif type(element) not in plain[name] and (type(element) is not str or element not in words[name]):
                # Most fields never come here, so that most need no path.
                checks[name](element, f"{path}.{name}", problems)

    return check


def _check(hint: Hint, module: str) -> _Check:
    options = options_of(hint, module)
    scalars = _scalars(options)
    nested = [_nested(option, module) for option in options]
    containers = [check for check in nested if check is not None]
    plain = _plain(options)

    def check(value: Any, path: str, problems: Problems) -> None:
        if type(value) in plain:
            return
        if isinstance(value, (dict, list)):
            if not containers:
                problems.append(f"{path}: expected {_names(options)}, got {type(value).__name__}")
                return
            attempts: list[Problems] = []
            for container in containers:
                found: Problems = []
                container(value, path, found)
                if not found:
                    return
                attempts.append(found)
            fewest = min(attempts, key=len)
            problems.extend(fewest)
        elif not any(accepts(value) for accepts in scalars):
            problems.append(f"{path}: expected {_names(options)}, got {value!r}")

    return check


def _plain(options: list[Hint]) -> frozenset[type]:
    """The types of which any value will do."""
    return frozenset(kind for kind in (str, int, bool, float, type(None)) if kind in options)


def _words(options: list[Hint]) -> frozenset[str]:
    """The strings that are allowed by name."""
    literals = [one for option in options if is_literal(option) for one in get_args(option)]
    return frozenset(one for one in literals if isinstance(one, str))


def _scalars(options: list[Hint]) -> list[Callable[[Any], bool]]:
    accepts: list[Callable[[Any], bool]] = []
    for option in options:
        if option is Any:
            accepts.append(lambda value: True)
        elif option is type(None):
            accepts.append(lambda value: value is None)
        elif option is bool:
            accepts.append(lambda value: isinstance(value, bool))
        elif option is int:
            accepts.append(lambda value: isinstance(value, int) and not isinstance(value, bool))
        elif option is float:
            accepts.append(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
        elif option is str:
            accepts.append(lambda value: isinstance(value, str))
        elif option is Decimal:
            accepts.append(_is_decimal_string)
        elif is_literal(option):
            accepts.append(_one_of(get_args(option)))
    return accepts


def _one_of(allowed: tuple[Any, ...]) -> Callable[[Any], bool]:
    return lambda value: value in allowed and any(value == one and type(value) is type(one) for one in allowed)


def _is_decimal_string(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        Decimal(value)
    except InvalidOperation:
        return False
    return True


def _nested(option: Hint, module: str) -> _Check | None:
    element = list_element(option)
    if element is not None:
        return _array(_check(element, module))
    element = page_element(option)
    if element is not None:
        return _page(_check(element, module))
    value = map_value(option)
    if value is not None:
        return _map(None if Any in options_of(value, module) else _check(value, module))
    if is_structure(option):
        return lambda value, path, problems: _structure(option)(value, path, problems)
    if option is Any:
        return lambda value, path, problems: None
    return None


def _array(check: _Check) -> _Check:
    def each(value: Any, path: str, problems: Problems) -> None:
        if not isinstance(value, list):
            problems.append(f"{path}: expected an array")
            return
        for position, element in enumerate(value):
            check(element, f"{path}[{position}]", problems)

    return each


def _map(check: _Check | None) -> _Check:
    """A map of which each value is checked; None when any value will do."""

    def each(value: Any, path: str, problems: Problems) -> None:
        if not isinstance(value, dict):
            problems.append(f"{path}: expected a map")
        elif check is not None:
            for key, element in value.items():
                check(element, f"{path}.{key}", problems)

    return each


def _page(check: _Check) -> _Check:
    each = _array(check)

    def page(value: Any, path: str, problems: Problems) -> None:
        if not isinstance(value, dict) or value.get("object") != "list":
            problems.append(f"{path}: expected a list object")
            return
        if set(value) != {"object", "data", "has_more", "url"}:
            problems.append(f"{path}: a list has object, data, has_more and url, got {sorted(value)}")
            return
        each(value["data"], f"{path}.data", problems)

    return page


def _names(options: list[Hint]) -> str:
    return " or ".join(str(getattr(option, "__name__", option)) for option in options)

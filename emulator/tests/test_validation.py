"""
Requests against the SDK's TypedDicts, responses against its resource classes, both shown to catch what they must.

[DOC] docs.stripe.com/error-codes: parameter_unknown, parameter_missing, parameter_invalid_integer,
parameter_invalid_empty.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import stripe

from emulator.tests.shop import SUCCESS, Shop
from stripe_emulator.engine import Engine
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.protocol.forms import decode
from stripe_emulator.rendering import renders, show
from stripe_emulator.resources.customers import make as make_customer
from stripe_emulator.resources.customers import show_customer
from stripe_emulator.resources.index import ROUTES
from stripe_emulator.state import Json, Store
from stripe_emulator.validation.annotations import resource_class
from stripe_emulator.validation.requests import parse, typed_dict
from stripe_emulator.validation.responses import (
    ABSENT_UNLESS_ASKED,
    PRESENT_ANYWAY,
    ShapeError,
    problems_of,
)

WRONG = [
    ("checkout.SessionCreateParams", "mode=subscription&nonsense=1", "parameter_unknown", "nonsense"),
    ("checkout.SessionCreateParams", "subscription_data[foo]=1", "parameter_unknown", "subscription_data[foo]"),
    ("checkout.SessionCreateParams", "payment_method_types[]=card", "parameter_unknown", "payment_method_types"),
    ("checkout.SessionCreateParams", "ui_mode=hosted", None, "ui_mode"),
    ("PriceCreateParams", "unit_amount=100", "parameter_missing", "currency"),
    ("SubscriptionUpdateParams", "items[0][quantity]=two", "parameter_invalid_integer", "items[0][quantity]"),
    ("SubscriptionUpdateParams", "billing_cycle_anchor=now", None, "billing_cycle_anchor"),
    ("SubscriptionUpdateParams", "cancel_at_period_end=maybe", None, "cancel_at_period_end"),
    ("SubscriptionCreateParams", "coupon=HALF", "parameter_unknown", "coupon"),
    ("CustomerCreateParams", "email=", "parameter_invalid_empty", "email"),
    ("CustomerCreateParams", "metadata[k]=" + "v" * 501, None, "metadata[k]"),
    ("CustomerCreateParams", "idempotency_key=k", "parameter_unknown", "idempotency_key"),
    ("PriceListParams", "lookup_keys[]=", "parameter_invalid_empty", "lookup_keys[0]"),
]


@pytest.mark.parametrize(("name", "form", "code", "param"), WRONG)
def test_a_wrong_request_fails_with_stripes_code_and_place(name: str, form: str, code: str, param: str) -> None:
    """Removed fields too: `coupon` and `payment_method_types` are gone from the API, an endive change [DOC]."""
    with pytest.raises(ApiError) as caught:
        parse(name, decode(form))
    assert (caught.value.code, caught.value.param, caught.value.status) == (code, param, 400)


def test_form_strings_become_the_declared_types() -> None:
    form = "customer=cus_1&items[0][price]=p&items[0][quantity]=2&trial_end=now&metadata[a]=b&off_session=true"
    assert parse("SubscriptionCreateParams", decode(form)).as_dict() == {
        "customer": "cus_1",
        "items": [{"price": "p", "quantity": 2}],
        "trial_end": "now",
        "metadata": {"a": "b"},
        "off_session": True,
    }


def test_every_endpoint_has_its_typed_dict_in_the_sdk() -> None:
    """Only the two calls of Checkout's own page are in no SDK; they bring their own."""
    for route in ROUTES:
        if isinstance(route.params, str):
            assert typed_dict(route.params).__annotations__ is not None, route
        else:
            assert route.path.startswith("/v1/payment_pages/"), route


def test_the_wire_carries_the_error_the_sdk_raises(shop: Shop) -> None:
    unknown: Any = {"mode": "subscription", "success_url": SUCCESS, "subscription_data": {"foo": "1"}}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.checkout.sessions.create(unknown)
    assert caught.value.param == "subscription_data[foo]"
    assert caught.value.code == "parameter_unknown"


@pytest.fixture
def engine() -> Engine:
    return Engine(Store())


@pytest.fixture
def customer(engine: Engine) -> Json:
    return show(engine, make_customer(engine, email="jenny@example.com"))


def test_a_whole_object_has_no_problems(customer: Json) -> None:
    assert problems_of(customer) == []


@pytest.mark.parametrize("key", ["email", "invoice_settings", "test_clock", "created", "livemode"])
def test_a_missing_field_is_found(customer: Json, key: str) -> None:
    del customer[key]
    assert problems_of(customer) == [f"customer.{key} is missing"]


def test_a_field_the_sdk_does_not_know_is_found(customer: Json) -> None:
    customer["current_period_end"] = 1
    assert problems_of(customer) == ["customer.current_period_end is unknown to the SDK"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("created",), "1700000000"),
        (("created",), True),
        (("livemode",), 0),
        (("email",), 5),
        (("invoice_settings",), "none"),
        (("invoice_settings", "default_payment_method"), 5),
        (("metadata",), {"a": 1}),
        (("preferred_locales",), "en"),
    ],
)
def test_a_field_of_the_wrong_type_is_found(customer: Json, path: tuple[str, ...], value: object) -> None:
    broken = copy.deepcopy(customer)
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert len(problems_of(broken)) == 1


def test_a_closed_literal_is_closed_and_an_open_enumeration_open(customer: Json) -> None:
    assert problems_of({**customer, "tax_exempt": "a_value_of_next_year"}) == []
    assert problems_of({**customer, "object": "costumer"}) == ["answer: 'costumer' is no object of the SDK"]


def test_an_event_about_a_misshapen_object_is_refused(engine: Engine) -> None:
    """Strict mode looks at what goes out, not only at what handlers answer."""
    made = make_customer(engine)
    engine.store.commit()
    made["plan"] = "pro"
    with pytest.raises(ShapeError), engine.transaction():
        engine.emit("customer.created", engine.find("customer", made["id"]))
    assert engine.shape_failures == ["customer.plan is unknown to the SDK"]
    assert list(engine.store.scan("event")) == []


def test_a_misshapen_answer_is_a_loud_500(shop: Shop) -> None:
    customer = shop.customer(card=None)

    def without_email(engine: Engine, value: Json) -> Json:
        shown = show_customer(engine, value)
        del shown["email"]
        return shown

    try:
        renders("customer")(without_email)
        answer = shop.http("GET", f"/v1/customers/{customer.id}")
    finally:
        renders("customer")(show_customer)
    assert answer.status_code == 500
    assert "customer.email is missing" in answer.json()["error"]["message"]
    assert shop.emulator.shape_failures == ["customer.email is missing"]
    shop.emulator.reset()


def test_fields_said_to_be_absent_or_present_are_fields_of_the_sdk() -> None:
    """A stale name in the tables of exceptions would hide a missing field."""
    for kind, names in [*ABSENT_UNLESS_ASKED.items(), *PRESENT_ANYWAY.items()]:
        cls = resource_class(kind)
        assert cls is not None, kind
        assert names <= set(cls.__annotations__), kind


@pytest.mark.parametrize(("param", "longest"), [("name", 256), ("email", 512)])
def test_a_customers_name_and_email_have_their_lengths(shop: Shop, param: str, longest: int) -> None:
    """docs.stripe.com/api/customers/create: 256 and 512 characters."""
    longest_one = "a@" + "x" * (longest - 2)
    customers: Any = shop.api.customers
    customer = customers.create({param: longest_one})
    for call in (customers.create, lambda sent: customers.update(customer.id, sent)):
        with pytest.raises(stripe.InvalidRequestError, match=f"at most {longest} characters") as refused:
            call({param: longest_one + "x"})
        assert refused.value.param == param
    assert getattr(customers.retrieve(customer.id), param) == longest_one
